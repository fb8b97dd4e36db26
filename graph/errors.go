package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// internalMessage is all that a caller learns of a fault on our side.
const internalMessage = "Something went wrong on our side. Tell us the request id if it happens again."

// presenter is the one place where errors become part of an answer.
type presenter struct {
	log *slog.Logger
	// classify translates faults of the engines (a database that is away, a deadline) into an *apperr.Error; nil when it
	// knows nothing.
	classify func(error) *apperr.Error
	// requestID returns the id that the request's log entries carry.
	requestID func(context.Context) string
}

// present gives err its code, fields and request id. What nobody translated is INTERNAL: its cause goes to the log only.
func (p presenter) present(ctx context.Context, err error) *gqlerror.Error {
	shown := &gqlerror.Error{Path: graphql.GetPath(ctx), Extensions: map[string]any{}}
	if from, ok := errors.AsType[*gqlerror.Error](err); ok {
		shown.Locations = from.Locations
		// Seconds, from the limits; the transport makes a Retry-After header of it.
		if seconds, ok := from.Extensions["retryAfter"]; ok {
			shown.Extensions["retryAfter"] = seconds
		}
		if len(from.Path) > 0 {
			shown.Path = from.Path
		}
	}
	known := p.translate(ctx, err)
	shown.Err = known
	shown.Message = known.Message
	shown.Extensions["code"] = string(known.Code)
	if len(known.Fields) > 0 {
		fields := make([]map[string]string, len(known.Fields))
		for i, field := range known.Fields {
			fields[i] = map[string]string{"path": field.Path, "message": field.Message}
		}
		shown.Extensions["fields"] = fields
	}
	if id := p.requestID(ctx); id != "" {
		shown.Extensions["requestId"] = id
	}
	return shown
}

func (p presenter) translate(ctx context.Context, err error) *apperr.Error {
	if known, ok := errors.AsType[*apperr.Error](err); ok {
		if known.Code == apperr.Internal {
			p.log.ErrorContext(ctx, "internal error", "path", graphql.GetPath(ctx).String(), "error", err)
		}
		return known
	}
	if known := p.classify(err); known != nil {
		p.log.WarnContext(ctx, "request refused", "code", known.Code, "error", err)
		return known
	}
	if fault := requestFault(err); fault != nil {
		return fault
	}
	p.log.ErrorContext(ctx, "internal error", "path", graphql.GetPath(ctx).String(), "error", err)
	return apperr.New(apperr.Internal, internalMessage)
}

// requestFault recognises the errors of the GraphQL libraries themselves: a document that does not parse or validate,
// a number out of range.
func requestFault(err error) *apperr.Error {
	if _, ok := errors.AsType[*graphql.NumberOverflowError](err); ok {
		return apperr.New(apperr.BadUserInput, "A number is out of range.")
	}
	if _, ok := errors.AsType[*graphql.IntegerError](err); ok {
		return apperr.New(apperr.BadUserInput, "A number is not a whole number.")
	}
	document, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		return nil
	}
	_, coded := document.Extensions["code"]
	if document.Rule != "" || coded || document.Err == nil {
		return apperr.New(apperr.BadUserInput, "%s", document.Message)
	}
	return nil
}

// recovered turns a panic in a resolver into an error for present, with its stack in the log.
func (p presenter) recovered(ctx context.Context, panicked any) error {
	p.log.ErrorContext(ctx, "panic", "path", graphql.GetPath(ctx).String(), "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return apperr.New(apperr.Internal, internalMessage)
}
