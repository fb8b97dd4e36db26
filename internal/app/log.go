package app

import (
	"context"
	"io"
	"log/slog"

	"marquee/internal/httpserver"
)

// LogHandler writes JSON lines to w, each with the id of the request it belongs to.
func LogHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return withRequestID{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})}
}

type withRequestID struct{ slog.Handler }

// Handle adds the request id of ctx.
func (h withRequestID) Handle(ctx context.Context, r slog.Record) error {
	if id := httpserver.RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("requestId", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the request id on derived loggers.
func (h withRequestID) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withRequestID{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the request id on derived loggers.
func (h withRequestID) WithGroup(name string) slog.Handler {
	return withRequestID{h.Handler.WithGroup(name)}
}
