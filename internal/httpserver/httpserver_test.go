package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
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

// running is a server on ports of its own.
type running struct {
	listeners httpserver.Listeners
	url, ops  string
	stop      context.CancelFunc
	ended     chan error
	client    *http.Client
}

func serve(t *testing.T, o httpserver.Options, drain time.Duration) *running {
	t.Helper()
	listeners, err := httpserver.Listen(t.Context(), "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listeners = listeners
	ctx, stop := context.WithCancel(context.Background())
	s := &running{
		listeners: listeners, url: "http://" + listeners.Public.Addr().String(), ops: "http://" + listeners.Ops.Addr().String(),
		stop: stop, ended: make(chan error, 1), client: &http.Client{Transport: &http.Transport{}, Timeout: patience},
	}
	go func() { s.ended <- httpserver.New(o).Serve(ctx, drain) }()
	t.Cleanup(func() {
		stop()
		s.client.CloseIdleConnections()
		if err := listeners.Close(); err != nil {
			t.Errorf("close the listeners: %v", err)
		}
	})
	return s
}

// get returns the status and the text at an address, 0 when nobody answers.
func (s *running) get(url string) (int, string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func (s *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the server does not end")
		return nil
	}
}

func TestServer_Serve(t *testing.T) {
	t.Parallel()
	t.Run("goes_away_in_order", func(t *testing.T) {
		t.Parallel()
		o := options()
		o.RetireDelay = 500 * time.Millisecond
		var mu sync.Mutex
		var order []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
		}
		begun, finish := make(chan struct{}), make(chan struct{})
		o.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-finish
			note("request finished")
			_, _ = w.Write([]byte("finished"))
		})
		o.CloseSockets = func(ctx context.Context) error {
			if _, bounded := ctx.Deadline(); !bounded || ctx.Err() != nil {
				t.Error("sockets have no time of their own to close")
			}
			note("sockets told")
			close(finish)
			return nil
		}
		s := serve(t, o, patience)
		answer := make(chan string, 1)
		go func() {
			_, text := s.get(s.url + "/graphql")
			answer <- text
		}()
		<-begun
		if status, _ := s.get(s.url + "/readyz"); status != http.StatusOK {
			t.Errorf("before the end /readyz is %d", status)
		}
		s.stop()
		for {
			status, text := s.get(s.url + "/readyz")
			if status == http.StatusServiceUnavailable && strings.Contains(text, "going away") {
				note("not ready")
				break
			}
			if status != http.StatusOK {
				t.Fatalf("between ready and not ready: %d %s", status, text)
			}
		}
		if status, _ := s.get(s.url + "/healthz"); status != http.StatusOK {
			t.Errorf("while it waits to be noticed /healthz is %d", status)
		}
		if err := s.end(t); err != nil {
			t.Errorf("the end: %v", err)
		}
		if text := <-answer; text != "finished" {
			t.Errorf("the running request got %q", text)
		}
		if want := []string{"not ready", "sockets told", "request finished"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		if status, _ := s.get(s.url + "/healthz"); status != 0 {
			t.Errorf("after the end the port answers %d", status)
		}
		if status, _ := s.get(s.ops + "/metrics"); status != 0 {
			t.Errorf("after the end the operators' port answers %d", status)
		}
	})
	t.Run("ends_in_time_whatever_is_stuck", func(t *testing.T) {
		t.Parallel()
		const drain = 500 * time.Millisecond
		o := options()
		begun, gone := make(chan struct{}), make(chan struct{})
		o.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			close(gone)
		})
		o.CloseSockets = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		s := serve(t, o, drain)
		go s.get(s.url + "/graphql")
		<-begun
		s.stop()
		start := time.Now()
		if err := s.end(t); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the end: %v", err)
		}
		if took := time.Since(start); took > drain+patience/2 {
			t.Errorf("it took %s", took)
		}
		<-gone
	})
	t.Run("a_port_that_breaks_ends_it", func(t *testing.T) {
		t.Parallel()
		s := serve(t, options(), patience)
		if status, _ := s.get(s.url + "/healthz"); status != http.StatusOK {
			t.Fatalf("%d", status)
		}
		if err := s.listeners.Public.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.end(t); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
	t.Run("operators_see_metrics_and_profiles", func(t *testing.T) {
		t.Parallel()
		s := serve(t, options(), patience)
		if status, text := s.get(s.ops + "/metrics"); status != http.StatusOK || text != "metrics" {
			t.Errorf("/metrics: %d %s", status, text)
		}
		if status, text := s.get(s.ops + "/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(text, "goroutine profile") {
			t.Errorf("pprof: %d %s", status, text)
		}
		if status, _ := s.get(s.ops + "/graphql"); status != http.StatusNotFound {
			t.Errorf("the endpoint on the operators' port: %d", status)
		}
		s.stop()
		if err := s.end(t); err != nil {
			t.Errorf("the end: %v", err)
		}
	})
	t.Run("operators_have_the_console_where_there_is_one", func(t *testing.T) {
		t.Parallel()
		o := options()
		var who auth.Viewer
		o.OpsConsole = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("console")) })
		o.OpsGraphQL = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, _ = auth.ViewerFrom(r.Context())
			_, _ = w.Write([]byte("for administrators"))
		})
		o.AllowedOrigins = []string{"https://tickets.example"}
		s := serve(t, o, patience)
		if status, text := s.get(s.ops + "/"); status != http.StatusOK || text != "console" {
			t.Errorf("the page: %d %s", status, text)
		}
		if status, _ := s.get(s.url + "/"); status != http.StatusNotFound {
			t.Errorf("the page on the public port: %d", status)
		}
		if status, text := s.get(s.ops + "/metrics"); status != http.StatusOK || text != "metrics" {
			t.Errorf("/metrics beside it: %d %s", status, text)
		}
		for name, test := range map[string]struct {
			headers map[string]string
			status  int
		}{
			"a_session":                 {map[string]string{"Authorization": "Bearer " + goodToken}, http.StatusOK},
			"a_session_that_has_ended":  {map[string]string{"Authorization": "Bearer bad"}, http.StatusUnauthorized},
			"a_page_of_another_host":    {map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
			"a_page_the_public_may_use": {map[string]string{"Origin": "https://tickets.example"}, http.StatusForbidden},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.ops+"/graphql", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			for header, value := range test.headers {
				r.Header.Set(header, value)
			}
			who = auth.Viewer{}
			response, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != test.status || (who == viewer) != (test.status == http.StatusOK) {
				t.Errorf("%s: %d %s, viewer %+v, %v", name, response.StatusCode, text, who, err)
			}
			if response.Header.Get("X-Frame-Options") != "DENY" || response.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s: the headers of the house are missing: %v", name, response.Header)
			}
		}
		s.stop()
		if err := s.end(t); err != nil {
			t.Errorf("the end: %v", err)
		}
	})
	t.Run("operators_reach_it_by_names_of_theirs_alone", func(t *testing.T) {
		t.Parallel()
		o := options()
		o.OpsHosts = []string{"node-1.internal"}
		s := serve(t, o, patience)
		_, port, err := net.SplitHostPort(s.listeners.Ops.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for host, want := range map[string]int{
			"localhost:" + port: http.StatusOK, "127.0.0.1:" + port: http.StatusOK, "127.9.9.9": http.StatusOK, "[::1]:" + port: http.StatusOK,
			"LOCALHOST.": http.StatusOK, "Node-1.internal:" + port: http.StatusOK,
			"evil.example:" + port: http.StatusMisdirectedRequest, "localhost.evil.example": http.StatusMisdirectedRequest,
			"127.0.0.1.evil.example": http.StatusMisdirectedRequest, "10.1.2.3:" + port: http.StatusMisdirectedRequest,
			"node-1.internal.evil.example": http.StatusMisdirectedRequest,
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ops+"/metrics", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			response, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("asked as %s: %d, want %d", host, response.StatusCode, want)
			}
		}
		s.stop()
		if err := s.end(t); err != nil {
			t.Errorf("the end: %v", err)
		}
	})
	t.Run("a_connection_can_be_taken_over", func(t *testing.T) {
		t.Parallel()
		o := options()
		observed := make(chan int, 1)
		o.Observe = func(status int, _ time.Duration) { observed <- status }
		o.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.Write([]byte("taken over\n"))
			_ = conn.Close()
		})
		s := serve(t, o, patience)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listeners.Public.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET /graphql HTTP/1.1\r\nHost: example.com\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "taken over\n" {
			t.Errorf("%q, %v", line, err)
		}
		s.stop()
		if err := s.end(t); err != nil {
			t.Errorf("the end: %v", err)
		}
		select {
		case status := <-observed:
			t.Errorf("how long a socket was open counts as the time of a request: %d", status)
		default:
		}
	})
	t.Run("headers_are_bounded", func(t *testing.T) {
		t.Parallel()
		s := serve(t, options(), patience)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Long", strings.Repeat("x", 64<<10))
		response, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d", response.StatusCode)
		}
		s.stop()
		if err := s.end(t); err != nil {
			t.Errorf("the end: %v", err)
		}
	})
}

func TestListen(t *testing.T) {
	t.Parallel()
	taken, err := httpserver.Listen(t.Context(), "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
		if err := taken.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	}()
	busy := taken.Public.Addr().String()
	for name, test := range map[string]struct{ public, ops, says string }{
		"the_public_port_is_taken":     {busy, "127.0.0.1:0", "cannot listen on " + busy + " (MARQUEE_LISTEN): "},
		"the_operators_port_is_taken":  {"127.0.0.1:0", busy, "cannot listen on " + busy + " (MARQUEE_OPS_LISTEN): "},
		"the_address_is_none":          {"127.0.0.1:99999", "127.0.0.1:0", "cannot listen on 127.0.0.1:99999 (MARQUEE_LISTEN): "},
		"the_address_is_someone_elses": {"192.0.2.1:0", "127.0.0.1:0", "cannot listen on 192.0.2.1:0 (MARQUEE_LISTEN): "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := httpserver.Listen(t.Context(), test.public, test.ops)
			if err == nil || !strings.HasPrefix(err.Error(), test.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("both_ports_are_given_back", func(t *testing.T) {
		free, err := httpserver.Listen(t.Context(), "127.0.0.1:0", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := free.Public.Addr().String()
		if err := free.Close(); err != nil {
			t.Fatal(err)
		}
		// The operators' port is taken: the public one must be closed again.
		if _, err := httpserver.Listen(t.Context(), address, busy); err == nil {
			t.Fatal("a taken port was opened")
		}
		again, err := httpserver.Listen(t.Context(), address, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
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
