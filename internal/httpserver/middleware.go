package httpserver

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/cookie"
	"marquee/internal/peer"
)

const requestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to, "" outside one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WithRequestID returns a context of a fresh request id; for what does not come as an HTTP request of its own.
func WithRequestID(ctx context.Context) context.Context {
	return context.WithValue(ctx, requestIDKey{}, uuid.NewString())
}

// observe gives each request an id, logs how it went, and turns a panic into a 500.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := WithRequestID(r.Context())
		r = r.WithContext(ctx)
		w.Header().Set(requestIDHeader, RequestID(ctx))
		out := &recorder{ResponseWriter: w, status: http.StatusOK}
		start := time.Now()
		defer func() {
			switch panicked := recover(); panicked {
			case nil:
			case http.ErrAbortHandler:
				panic(panicked)
			default:
				s.o.Log.ErrorContext(ctx, "panic", "panic", panicked, "stack", string(debug.Stack()))
				if !out.wrote {
					graphqlError(out, http.StatusInternalServerError, string(apperr.Internal), "Something went wrong on our side.")
				}
			}
			took := time.Since(start)
			// Not the path, which may hold whatever a client has typed.
			s.o.Log.DebugContext(ctx, "request", "method", r.Method, "route", r.Pattern, "status", out.status, "ms", took.Milliseconds())
			// How long somebody watches a stream says nothing of how fast requests are answered.
			if s.o.Observe != nil && out.status != http.StatusSwitchingProtocols && !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
				s.o.Observe(out.status, took)
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack hands the connection to a websocket.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.status, r.wrote = http.StatusSwitchingProtocols, true
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// noPage is the policy of answers that are no page: nothing in them may be run, shown or framed. The console brings
// its own.
const noPage = "default-src 'none'; frame-ancestors 'none'"

// knownHosts refuses requests for hosts that are not the operators' listener. Any site can let its name lead to a loopback
// address, and its pages are then of the listener's origin for the browser. No site can do so with an address.
func (s *Server) knownHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
		address, notAddress := netip.ParseAddr(host)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		switch {
		case strings.EqualFold(host, "localhost"), notAddress == nil && address.IsLoopback(),
			notAddress == nil && local != nil && address.Unmap() == local.AddrPort().Addr().Unmap(),
			slices.ContainsFunc(s.o.OpsHosts, func(known string) bool { return strings.EqualFold(known, host) }):
			next.ServeHTTP(w, r)
		default:
			say(w, http.StatusMisdirectedRequest, "not a name of this listener")
		}
	})
}

// oneYear is for how long a browser that came by TLS shall not come without it.
const oneYear = "max-age=31536000"

// secure sets the headers that every answer carries.
func (s *Server) secure(next http.Handler) http.Handler {
	overTLS := peer.Secure(s.o.TrustedProxies)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", noPage)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		// Pages of other origins read answers through CORS, which this does not touch, or not at all.
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if overTLS(r) {
			h.Set("Strict-Transport-Security", oneYear)
		}
		next.ServeHTTP(w, r)
	})
}

// authenticate finds the viewer of a request: by its bearer token, else by the cookies that a browser adds to it, where
// they are kept. A bearer token that is no good is refused at once: answering as if nobody were signed in would hide it
// from the client. One from a cookie is refused behind this, where it is known what is asked: the page cannot leave the
// cookie out of the request that renews the session.
func (s *Server) authenticate(next http.Handler, cookies bool) http.Handler {
	policy := cookie.Policy{RefreshPath: endpointPath, Secure: peer.Secure(s.o.TrustedProxies), Plain: s.o.PlainCookies}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers := r.Header.Values("Authorization")
		// Many clients send the header empty while nobody is signed in.
		authorized := strings.TrimSpace(strings.Join(headers, "")) != ""
		ctx := r.Context()
		var kept *cookie.Exchange
		if cookies {
			var malformed *apperr.Error
			if ctx, kept, malformed = policy.Begin(w, r, authorized); malformed != nil {
				graphqlError(w, http.StatusBadRequest, string(malformed.Code), malformed.Message)
				return
			}
		}
		token := kept.Access()
		if authorized {
			var malformed *apperr.Error
			if token, malformed = BearerToken(headers...); malformed != nil {
				w.Header().Set("WWW-Authenticate", "Bearer")
				graphqlError(w, http.StatusUnauthorized, string(malformed.Code), malformed.Message)
				return
			}
		}
		if token == "" {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		viewer, err := s.o.Authenticate(ctx, token)
		switch code := apperr.CodeOf(err); {
		case code == "":
			next.ServeHTTP(w, r.WithContext(auth.WithViewer(ctx, viewer)))
		case code == apperr.Unauthenticated && authorized:
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			graphqlError(w, http.StatusUnauthorized, string(code), "Your session has ended. Sign in again.")
		case code == apperr.Unauthenticated:
			kept.Refuse()
			next.ServeHTTP(w, r.WithContext(ctx))
		default:
			s.o.Log.WarnContext(ctx, "cannot authenticate", "error", err)
			w.Header().Set("Retry-After", "1")
			graphqlError(w, http.StatusServiceUnavailable, string(apperr.Unavailable), "The service is not available at this moment. Try again.")
		}
	})
}

// isToken reports whether a text has the syntax of a bearer token (RFC 6750, section 2.1): letters, digits and a few
// signs, padded with "=". Every request asks.
func isToken(text string) bool {
	text = strings.TrimRight(text, "=")
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', strings.IndexByte("._~+/-", c) >= 0:
		default:
			return false
		}
	}
	return text != ""
}

// BearerToken returns the token of the values of the Authorization header. The error is UNAUTHENTICATED and says what
// is wrong with their form.
func BearerToken(headers ...string) (string, *apperr.Error) {
	if len(headers) != 1 {
		return "", apperr.New(apperr.Unauthenticated, "Send one Authorization header, with one token.")
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(headers[0]), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", apperr.New(apperr.Unauthenticated, "The Authorization header must be of the scheme Bearer: Bearer, a space, the token.")
	}
	if token = strings.TrimSpace(token); !isToken(token) {
		return "", apperr.New(apperr.Unauthenticated, "The Authorization header holds no well-formed token: Bearer, a space, the token.")
	}
	return token, nil
}

// graphqlError answers a request that never reaches the GraphQL endpoint in the shape its clients know.
func graphqlError(w http.ResponseWriter, status int, code, message string) {
	extensions := map[string]any{"code": code}
	if id := w.Header().Get(requestIDHeader); id != "" {
		extensions["requestId"] = id
	}
	body, err := json.Marshal(map[string]any{"errors": []any{map[string]any{"message": message, "extensions": extensions}}})
	if err != nil {
		panic("httpserver: strings always marshal: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
