package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/httpserver"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil {
		_, _ = io.WriteString(os.Stderr, "goroutines are left after the last test: "+err.Error()+"\n")
		code = max(code, 1)
	}
	os.Exit(code)
}

// patience bounds every wait; nothing takes that long on a machine that works.
const patience = 30 * time.Second

// goodToken is the one that viewer signed in with.
const goodToken = "good"

var viewer = auth.Viewer{UserID: uuid.Max}

// options serve an endpoint that says "served".
func options() httpserver.Options {
	return httpserver.Options{
		GraphQL: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("served")) }),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }),
		Authenticate: func(_ context.Context, token string) (auth.Viewer, error) {
			switch token {
			case goodToken:
				return viewer, nil
			case "away":
				return auth.Viewer{}, errors.New("the database is away")
			default:
				return auth.Viewer{}, apperr.New(apperr.Unauthenticated, "no such session")
			}
		},
		Ready:        func(context.Context) error { return nil },
		CloseSockets: func(context.Context) error { return nil },
		Log:          slog.New(slog.DiscardHandler),
	}
}

// ask sends a request to the public handler.
func ask(o httpserver.Options, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	httpserver.New(o).Handler().ServeHTTP(w, r)
	return w
}

// codeOf returns the code of an answer that carries one error, with its request id checked.
func codeOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Errors []struct {
			Message    string
			Extensions struct{ Code, RequestID string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Errors) != 1 || body.Errors[0].Message == "" {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if id := body.Errors[0].Extensions.RequestID; id == "" || id != w.Header().Get("X-Request-Id") {
		t.Errorf("the error is of request %q, the answer of %q", id, w.Header().Get("X-Request-Id"))
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		t.Errorf("the answer is %s", w.Header().Get("Content-Type"))
	}
	return body.Errors[0].Extensions.Code
}

func TestServer_Handler(t *testing.T) {
	t.Parallel()
	t.Run("each_request_has_an_id", func(t *testing.T) {
		t.Parallel()
		o := options()
		var within []string
		o.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			within = append(within, httpserver.RequestID(r.Context()))
		})
		first := ask(o, http.MethodPost, "/graphql", "X-Request-Id", "chosen by the client")
		second := ask(o, http.MethodPost, "/graphql")
		shown := []string{first.Header().Get("X-Request-Id"), second.Header().Get("X-Request-Id")}
		if !slices.Equal(within, shown) || shown[0] == shown[1] || uuid.Validate(shown[0]) != nil {
			t.Errorf("within %v, shown %v", within, shown)
		}
	})
	t.Run("every_answer_has_the_headers_of_the_house", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/graphql", "/healthz", "/readyz", "/nowhere"} {
			w := ask(options(), http.MethodGet, path)
			for header, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
			} {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s: %s is %q", path, header, got)
				}
			}
			if w.Header().Get("X-Request-Id") == "" {
				t.Errorf("%s: no request id", path)
			}
		}
	})
	t.Run("health", func(t *testing.T) {
		t.Parallel()
		o := options()
		away := false
		var allowed time.Duration
		o.Ready = func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			allowed = time.Until(deadline)
			if away {
				return errors.New("dial 10.0.0.1: refused")
			}
			return nil
		}
		if w := ask(o, http.MethodGet, "/readyz"); w.Code != http.StatusOK || allowed <= 0 || allowed > patience {
			t.Errorf("/readyz: %d, which had %s", w.Code, allowed)
		}
		away = true
		if w := ask(o, http.MethodGet, "/readyz"); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "10.0.0.1") {
			t.Errorf("/readyz: %d %s", w.Code, w.Body)
		}
		if w := ask(o, http.MethodGet, "/healthz"); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("/healthz: %d", w.Code)
		}
		if w := ask(o, http.MethodPost, "/healthz"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST /healthz: %d", w.Code)
		}
	})
	t.Run("the_console_is_served_where_there_is_one", func(t *testing.T) {
		t.Parallel()
		o := options()
		if w := ask(o, http.MethodGet, "/"); w.Code != http.StatusNotFound {
			t.Errorf("without: %d", w.Code)
		}
		o.Console = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("console")) })
		if w := ask(o, http.MethodGet, "/"); w.Body.String() != "console" {
			t.Errorf("with: %d %s", w.Code, w.Body)
		}
		if w := ask(o, http.MethodGet, "/graphql"); w.Body.String() != "served" {
			t.Errorf("the endpoint beside it: %s", w.Body)
		}
	})
	t.Run("operators_pages_are_not_public", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/profile"} {
			if w := ask(options(), http.MethodGet, path); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	})
	t.Run("a_panic_is_an_answer", func(t *testing.T) {
		t.Parallel()
		o := options()
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		var observed int
		o.Observe = func(status int, _ time.Duration) { observed = status }
		o.GraphQL = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the index is 7") })
		w := ask(o, http.MethodPost, "/graphql")
		if w.Code != http.StatusInternalServerError || codeOf(t, w) != "INTERNAL" || strings.Contains(w.Body.String(), "index") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if observed != http.StatusInternalServerError || !strings.Contains(log.String(), "the index is 7") || !strings.Contains(log.String(), "httpserver_test.go") {
			t.Errorf("observed %d, logged %s", observed, log.String())
		}
	})
	t.Run("a_panic_after_the_answer_adds_nothing", func(t *testing.T) {
		t.Parallel()
		o := options()
		o.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("half"))
			panic("late")
		})
		if w := ask(o, http.MethodPost, "/graphql"); w.Code != http.StatusOK || w.Body.String() != "half" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("an_aborted_request_stays_aborted", func(t *testing.T) {
		t.Parallel()
		o := options()
		o.GraphQL = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Error("the server does not learn of it")
			}
		}()
		ask(o, http.MethodPost, "/graphql")
	})
	t.Run("every_answer_is_observed", func(t *testing.T) {
		t.Parallel()
		o := options()
		var observed []int
		o.Observe = func(status int, took time.Duration) {
			if took < 0 {
				t.Error("it took less than nothing")
			}
			observed = append(observed, status)
		}
		ask(o, http.MethodPost, "/graphql")
		ask(o, http.MethodGet, "/nowhere")
		ask(o, http.MethodPost, "/graphql", "Authorization", "Bearer bad")
		o.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		})
		ask(o, http.MethodPost, "/graphql")
		if want := []int{200, 404, 401}; !slices.Equal(observed, want) {
			t.Errorf("%v, want %v", observed, want)
		}
	})
}

func TestServer_authentication(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header string
		status int
		code   string
		known  bool
	}{
		"nobody":                    {"", http.StatusOK, "", false},
		"a_good_token":              {"Bearer " + goodToken, http.StatusOK, "", true},
		"the_scheme_in_any_letters": {"bEARER  " + goodToken + " ", http.StatusOK, "", true},
		"a_bad_token":               {"Bearer bad", http.StatusUnauthorized, "UNAUTHENTICATED", false},
		"no_token":                  {"Bearer", http.StatusUnauthorized, "UNAUTHENTICATED", false},
		"another_scheme":            {"Basic " + goodToken, http.StatusUnauthorized, "UNAUTHENTICATED", false},
		"a_token_without_a_scheme":  {goodToken, http.StatusUnauthorized, "UNAUTHENTICATED", false},
		"a_session_nobody_can_look": {"Bearer away", http.StatusServiceUnavailable, "UNAVAILABLE", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			var who auth.Viewer
			var known, served bool
			o.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				who, known = auth.ViewerFrom(r.Context())
				served = true
			})
			var headers []string
			if test.header != "" {
				headers = []string{"Authorization", test.header}
			}
			w := ask(o, http.MethodPost, "/graphql", headers...)
			if w.Code != test.status || known != test.known || served != (test.code == "") || known && who != viewer {
				t.Errorf("%d, viewer %+v (%v), served %v", w.Code, who, known, served)
			}
			if test.code == "" {
				return
			}
			if code := codeOf(t, w); code != test.code || strings.Contains(w.Body.String(), "database") {
				t.Errorf("%s", w.Body)
			}
			if (w.Header().Get("WWW-Authenticate") != "") != (test.status == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate is %q", w.Header().Get("WWW-Authenticate"))
			}
			if (w.Header().Get("Retry-After") != "") != (test.status == http.StatusServiceUnavailable) {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestServer_origins(t *testing.T) {
	t.Parallel()
	const ours, theirs = "https://tickets.example", "https://evil.example"
	open := options()
	open.AllowedOrigins = []string{ours}
	preflight := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"}
	for name, test := range map[string]struct {
		o       httpserver.Options
		method  string
		headers []string
		status  int
		allowed string // Access-Control-Allow-Origin
	}{
		"preflight_of_a_configured_page": {open, http.MethodOptions, append([]string{"Origin", ours}, preflight...), http.StatusNoContent, ours},
		"preflight_of_another_page":      {open, http.MethodOptions, append([]string{"Origin", theirs}, preflight...), http.StatusNoContent, ""},
		"preflight_where_none_is":        {options(), http.MethodOptions, append([]string{"Origin", ours}, preflight...), http.StatusNoContent, ""},
		"preflight_of_another_method": {
			open, http.MethodOptions, []string{"Origin", ours, "Access-Control-Request-Method", "DELETE"}, http.StatusNoContent, "",
		},
		"post_of_a_configured_page":       {open, http.MethodPost, []string{"Origin", ours, "Sec-Fetch-Site", "cross-site"}, http.StatusOK, ours},
		"post_of_another_page":            {open, http.MethodPost, []string{"Origin", theirs, "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, ""},
		"post_of_another_page_where_none": {options(), http.MethodPost, []string{"Origin", theirs}, http.StatusForbidden, ""},
		"post_of_a_page_beside_ours":      {options(), http.MethodPost, []string{"Origin", "https://other.example.com", "Sec-Fetch-Site", "same-site"}, http.StatusForbidden, ""},
		"post_of_a_sandboxed_page":        {options(), http.MethodPost, []string{"Origin", "null"}, http.StatusForbidden, ""},
		"post_of_our_own_page":            {options(), http.MethodPost, []string{"Origin", "http://example.com", "Sec-Fetch-Site", "same-origin"}, http.StatusOK, ""},
		"post_of_an_old_browser":          {options(), http.MethodPost, []string{"Origin", "http://example.com"}, http.StatusOK, ""},
		"post_of_a_program":               {options(), http.MethodPost, nil, http.StatusOK, ""},
		"get_of_another_page":             {open, http.MethodGet, []string{"Origin", theirs, "Sec-Fetch-Site", "cross-site"}, http.StatusOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := ask(test.o, test.method, "/graphql", test.headers...)
			if w.Code != test.status || w.Header().Get("Access-Control-Allow-Origin") != test.allowed {
				t.Errorf("%d, allowed %q; want %d, %q", w.Code, w.Header().Get("Access-Control-Allow-Origin"), test.status, test.allowed)
			}
			if test.status == http.StatusForbidden && codeOf(t, w) != "FORBIDDEN" {
				t.Errorf("%s", w.Body)
			}
			if test.method == http.MethodOptions && w.Body.Len() > 0 {
				t.Errorf("a preflight is answered with %s", w.Body)
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	if id := httpserver.RequestID(t.Context()); id != "" {
		t.Errorf("outside a request: %q", id)
	}
	a, b := httpserver.WithRequestID(t.Context()), httpserver.WithRequestID(t.Context())
	if httpserver.RequestID(a) == "" || httpserver.RequestID(a) == httpserver.RequestID(b) {
		t.Errorf("%q, %q", httpserver.RequestID(a), httpserver.RequestID(b))
	}
}
