package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startServer returns a server that accepts this process and, where it is
// clustered, its peers.
func startServer(ctx context.Context, options *server.Options, log *slog.Logger) (*server.Server, error) {
	listen := net.JoinHostPort(options.Cluster.Host, strconv.Itoa(options.Cluster.Port))
	srv, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("bus: configure the embedded server: %w", err)
	}
	fatal := make(chan error, 1)
	srv.SetLogger(&serverLog{log: log, fatal: fatal}, false, false)
	srv.Start()

	// The server offers no signal for being ready, only this question, which
	// waits up to the given time for a yes.
	for {
		select {
		case err = <-fatal:
			err = listenError(listen, err)
		case <-ctx.Done():
			err = fmt.Errorf("bus: the embedded server did not start: %w", context.Cause(ctx))
		default:
			if srv.ReadyForConnections(50 * time.Millisecond) {
				return srv, nil
			}
			continue
		}
		shutdown(srv)
		return nil, err
	}
}

// listenError makes one sentence of what the server gave up for. The only thing
// it asks of the system while starting is a listener.
func listenError(address string, err error) error {
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("bus: cannot listen for peers on %s: %w", address, operation.Err)
	}
	return fmt.Errorf("bus: the embedded server did not start: %w", err)
}

func shutdown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// serverLog passes the embedded server's log on. Nothing that goes wrong on the
// bus is worse than a warning, because nothing depends on it; what keeps the
// server from starting goes to fatal.
type serverLog struct {
	log   *slog.Logger
	fatal chan<- error
}

func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	for _, argument := range v {
		if cause, ok := argument.(error); ok {
			err = cause
		}
	}
	select {
	case l.fatal <- err:
	default:
	}
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "The embedded NATS server reports.", "report", fmt.Sprintf(format, v...))
	}
}
