package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/auth"
	"marquee/internal/httpserver"
)

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
