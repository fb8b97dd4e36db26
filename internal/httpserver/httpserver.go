// Package httpserver owns the network edge: addresses, headers, who is calling, health, and the order of going away.
//
// It knows nothing of GraphQL: it is given handlers. Two listeners serve: a public one, and one for operators (metrics,
// profiles, where wanted a console for administrators) that belongs on a loopback address.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/rs/cors"

	"marquee/internal/auth"
	"marquee/internal/cookie"
)

// Options are what a Server serves and how.
type Options struct {
	Listeners      Listeners
	GraphQL        http.Handler
	Console        http.Handler // nil: none
	OpsConsole     http.Handler // the same for administrators, on the operators' listener; nil: none
	OpsGraphQL     http.Handler // the endpoint of OpsConsole, which answers administrators only
	Mailbox        http.Handler // mails that were kept instead of sent, on the operators' listener; nil: none
	BankPages      http.Handler // of a sandbox gateway in this process, on the operators' listener, below /confirm/; nil: none
	Webhooks       http.Handler // takes what payment gateways tell, below WebhookPath; nil: nothing does
	KeySet         http.Handler // what access tokens are verified with
	Metrics        http.Handler
	Authenticate   func(ctx context.Context, token string) (auth.Viewer, error)
	Ready          func(ctx context.Context) error      // nil error: requests can be served
	CloseSockets   func(ctx context.Context) error      // tells open sockets to move and waits for them
	AllowedOrigins []string                             // of pages on other hosts; same-origin pages always may
	PlainCookies   bool                                 // whether clients without TLS may have their session in cookies
	OpsHosts       []string                             // names under which operators reach their listener, beside localhost
	RetireDelay    time.Duration                        // for which /readyz is red before connections are refused
	TrustedProxies []netip.Prefix                       // whose word on the client's connection is believed
	Observe        func(status int, took time.Duration) // told of every request but sockets, streams of events and the operators' probes; may be nil
	Log            *slog.Logger
}

// allowedHeaders are those that pages of the allowed origins may send: what the endpoint reads, what clients send with a
// GET so that the browser asks for permission first, and what GraphQL clients and tracers add to every request.
var allowedHeaders = []string{
	"Authorization", "Content-Type", "Accept", cookie.Header, cookie.DeviceHeader,
	"Apollo-Require-Preflight", "GraphQL-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With",
	"ApolloGraphQL-Client-Name", "ApolloGraphQL-Client-Version", "Traceparent", "Tracestate", "X-Request-Id",
	"Cache-Control", "If-None-Match",
}

// endpointPath is where both listeners have their GraphQL endpoint.
const endpointPath = "/graphql"

// WebhookPath is where the public listener takes webhooks; the name of a gateway follows.
const WebhookPath = "/webhooks/"

const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 32 << 10
	readyTimeout      = 2 * time.Second
)

// Listeners are the open ports: one for everybody, one for operators.
type Listeners struct{ Public, Ops net.Listener }

// Listen opens the ports; an occupied one is one clear sentence.
func Listen(ctx context.Context, public, ops string) (l Listeners, err error) {
	var listen net.ListenConfig
	if l.Public, err = listen.Listen(ctx, "tcp", public); err != nil {
		return l, fmt.Errorf("cannot listen on %s (MARQUEE_LISTEN): %w", public, reason(err))
	}
	if l.Ops, err = listen.Listen(ctx, "tcp", ops); err != nil {
		return l, errors.Join(fmt.Errorf("cannot listen on %s (MARQUEE_OPS_LISTEN): %w", ops, reason(err)), l.Public.Close())
	}
	return l, nil
}

// Close closes both ports.
func (l Listeners) Close() error {
	err := errors.Join(l.Public.Close(), l.Ops.Close())
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Server serves on a pair of listeners.
type Server struct {
	o           Options
	public, ops *http.Server
	retired     chan struct{}
}

// New returns a Server; Serve serves.
func New(o Options) *Server {
	s := &Server{o: o, retired: make(chan struct{})}
	s.public = s.server(s.Handler())
	s.ops = s.server(s.opsHandler())
	return s
}

// reason is the last cause of a failed listen: "address already in use".
func reason(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}

// Handler returns what the public listener serves.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	if s.o.KeySet != nil {
		mux.Handle("GET /.well-known/jwks.json", s.o.KeySet)
	}
	if s.o.Webhooks != nil {
		// Gateways are no browsers: they have no session that a page of somebody else could use.
		mux.Handle("POST "+WebhookPath+"{gateway}", s.o.Webhooks)
	}
	mux.Handle(endpointPath, s.guarded(s.authenticate(s.o.GraphQL, true), s.o.AllowedOrigins))
	if s.o.Console != nil {
		mux.Handle("/", s.o.Console)
	}
	return s.observe(s.secure(cors.New(cors.Options{
		AllowedOrigins:   s.o.AllowedOrigins,
		AllowOriginFunc:  s.originFunc(),
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:   allowedHeaders,
		ExposedHeaders:   []string{requestIDHeader, "Retry-After"},
		AllowCredentials: true,
		MaxAge:           600,
	}).Handler(mux)))
}

// guarded is an endpoint that lets pages of its own host and of the given origins send what changes something, whatever
// the browser adds to it by itself.
func (s *Server) guarded(endpoint http.Handler, origins []string) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	for _, origin := range origins {
		// Validate of the configuration has parsed them; a malformed one only fails to be trusted.
		if err := crossOrigin.AddTrustedOrigin(origin); err != nil {
			s.o.Log.Warn("origin not trusted", "origin", origin, "error", err)
		}
	}
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		graphqlError(w, http.StatusForbidden, "FORBIDDEN", "Requests from this origin are not allowed.")
	}))
	return crossOrigin.Handler(endpoint)
}

// originFunc refuses every other origin where none is configured: the library's default would allow them all.
func (s *Server) originFunc() func(string) bool {
	if len(s.o.AllowedOrigins) > 0 {
		return nil
	}
	return func(string) bool { return false }
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.retired:
		say(w, http.StatusServiceUnavailable, "going away")
		return
	default:
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.o.Ready(ctx); err != nil {
		s.o.Log.WarnContext(ctx, "not ready", "error", err)
		say(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	say(w, http.StatusOK, "ready")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

func (s *Server) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.o.Metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	if s.o.Mailbox != nil {
		mux.Handle("GET /mailbox", s.o.Mailbox)
	}
	if s.o.BankPages != nil {
		mux.Handle("/confirm/", s.o.BankPages)
	}
	if s.o.OpsConsole != nil {
		mux.Handle("/", s.observe(s.secure(s.o.OpsConsole)))
		// A cookie is sent to every port of a host, so that here none counts.
		mux.Handle(endpointPath, s.observe(s.secure(s.guarded(s.authenticate(s.o.OpsGraphQL, false), nil))))
	}
	return s.knownHosts(mux)
}

// Serve serves until ctx ends, then goes away in order: not ready, and after RetireDelay no new connections, sockets told
// to move, running requests finished. It returns nil after an orderly end and never takes longer than drain after ctx has ended.
func (s *Server) Serve(ctx context.Context, drain time.Duration) error {
	failed := make(chan error, 2)
	for _, one := range []struct {
		server *http.Server
		on     net.Listener
	}{{s.public, s.o.Listeners.Public}, {s.ops, s.o.Listeners.Ops}} {
		go func() {
			if err := one.server.Serve(one.on); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	close(s.retired)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	select {
	case <-time.After(s.o.RetireDelay):
	case <-bounded.Done():
	}
	sockets := make(chan error, 1)
	go func() { sockets <- s.o.CloseSockets(bounded) }()
	err := s.public.Shutdown(bounded)
	err = errors.Join(cause, err, <-sockets, s.ops.Shutdown(bounded))
	if err != nil {
		_ = s.public.Close()
		_ = s.ops.Close()
	}
	return err
}
