package transport_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"go.uber.org/goleak"

	"marquee/graph/transport"
	"marquee/internal/apperr"
)

const typeEvents = "text/event-stream; charset=utf-8"

// streams is a server of event streams whose subscriptions are fed by the test. As with sockets, the tests that use it
// are not parallel.
type streams struct {
	*httptest.Server
	opened chan *source
}

func newStreams(t *testing.T, sse *transport.SSE, configure ...func(*http.Server, *executor.Executor)) *streams {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	if sse.Registry == nil {
		sse.Registry = &transport.Registry{}
	}
	sse.Registry.DrainWindow = time.Millisecond
	s := &streams{opened: make(chan *source, 100)}
	schema := newSchema()
	schema.open = fedBy(s.opened)
	exec := schema.executor()
	exec.Use(refuser{})
	s.Server = httptest.NewUnstartedServer(transport.Handler(exec, sse, transport.GET{}, transport.POST{}))
	for _, f := range configure {
		f(s.Config, exec)
	}
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// fedBy opens subscriptions whose events the test sends.
func fedBy(opened chan<- *source) func(context.Context, string, map[string]any) (stream, error) {
	return func(ctx context.Context, field string, _ map[string]any) (stream, error) {
		if field == "failing" {
			return nil, errors.New("no source")
		}
		from := &source{ctx: ctx, field: field, events: make(chan string)}
		opened <- from
		return func(ctx context.Context) (string, bool) {
			select {
			case event, ok := <-from.events:
				if field == "panicking" {
					panic(event)
				}
				return event, ok
			case <-ctx.Done():
				return "", false
			}
		}, nil
	}
}

// next returns the subscription that was opened next.
func (s *streams) next(t *testing.T) *source { return (&sockets{opened: s.opened}).next(t) }

// listener is the client of one stream.
type listener struct {
	*http.Response
	t     *testing.T
	lines *bufio.Reader
	leave context.CancelFunc
}

// listen sends an operation with POST, or with GET when the method says so.
func (s *streams) listen(t *testing.T, method, query string, header ...string) *listener {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	target, body := s.URL+"/graphql", io.Reader(http.NoBody)
	if method == http.MethodPost {
		body = strings.NewReader(`{"query":"` + query + `"}`)
	} else {
		target += "?query=" + url.QueryEscape(query)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &listener{Response: response, t: t, lines: bufio.NewReader(response.Body), leave: leave}
}

// event returns the next event as "name data", ":" for a comment and the error as text when the stream has ended.
func (l *listener) event() string {
	l.t.Helper()
	var lines []string
	for {
		line, err := l.lines.ReadString('\n')
		switch line = strings.TrimSuffix(line, "\n"); {
		case err != nil:
			return err.Error()
		case line != "":
			lines = append(lines, line)
		case len(lines) == 1:
			return lines[0]
		case len(lines) == 2:
			name, data := strings.TrimPrefix(lines[0], "event: "), strings.TrimPrefix(lines[1], "data: ")
			return strings.TrimSpace(name + " " + data)
		default:
			l.t.Fatalf("an event of %d lines: %q", len(lines), lines)
		}
	}
}

func (l *listener) want(events ...string) {
	l.t.Helper()
	for _, want := range events {
		if got := l.event(); got != want {
			l.t.Fatalf("%s\nwant %s", got, want)
		}
	}
}

const ended = "EOF"

func TestSSE_Do_streams(t *testing.T) {
	s := newStreams(t, &transport.SSE{})
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		l := s.listen(t, method, "subscription{ticks}")
		if got := l.Header.Get("Content-Type"); l.StatusCode != http.StatusOK || got != typeEvents {
			t.Fatalf("%s: %d %s", method, l.StatusCode, got)
		}
		for name, want := range map[string]string{
			"Cache-Control": "private, no-store", "X-Accel-Buffering": "no", "Vary": "Accept, Accept-Encoding", "Content-Encoding": "",
		} {
			if got := l.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		from := s.next(t)
		from.feed(t, "1")
		l.want(`next {"data":{"ticks":1}}`)
		from.feed(t, "[2,\r\n2]")
		l.want(`next {"data":{"ticks":[2,  2]}}`)
		close(from.events)
		l.want("complete", ended)
		from.mustEnd(t)
	}
}

func TestSSE_Do_one_result(t *testing.T) {
	s := newStreams(t, &transport.SSE{}, func(_ *http.Server, exec *executor.Executor) {
		// As a deadline of an extension does, the context ends with the result.
		exec.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
			if graphql.GetOperationContext(ctx).Operation.Operation == "subscription" {
				return next(ctx)
			}
			ctx, cancel := context.WithTimeout(ctx, patience)
			answer := next(ctx)
			return func(ctx context.Context) *graphql.Response {
				defer cancel()
				return answer(ctx)
			}
		})
	})
	for name, test := range map[string]struct {
		method, query string
		events        []string
	}{
		"query":            {http.MethodPost, "{hello}", []string{`next {"data":{"hello":"world"}}`, "complete", ended}},
		"query_by_get":     {http.MethodGet, "{hello}", []string{`next {"data":{"hello":"world"}}`, "complete", ended}},
		"mutation":         {http.MethodPost, "mutation{bump}", []string{`next {"data":{"bump":1}}`, "complete", ended}},
		"field_error":      {http.MethodPost, "{failing(times:1)}", []string{`next {"errors":[{"message":"failure 0"}],"data":{"failing":null}}`, "complete", ended}},
		"error_of_a_field": {http.MethodPost, "subscription{failing}", []string{`next {"errors":[{"message":"no source"}]}`, "complete", ended}},
		"invalid_document": {http.MethodPost, "{nothing}", []string{
			`next {"errors":[{"message":"Cannot query field \"nothing\" on type \"Query\".","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`, "complete", ended,
		}},
		"refused_by_an_extension": {http.MethodPost, `{refused(code:\"FORBIDDEN\")}`, []string{
			`next {"errors":[{"message":"refused","extensions":{"code":"FORBIDDEN"}}]}`, "complete", ended,
		}},
		"panic":               {http.MethodPost, "{panicking}", []string{`next {"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`, "complete", ended}},
		"unencodable_result":  {http.MethodPost, "{unencodable}", []string{`next {"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`, "complete", ended}},
		"errors_are_no_flood": {http.MethodPost, "{failing(times:11)}", []string{`next {"errors":[` + failures(10) + `],"data":{"failing":null},"extensions":{"errorsOmitted":1}}`, "complete", ended}},
	} {
		t.Run(name, func(t *testing.T) {
			l := s.listen(t, test.method, test.query)
			if got := l.Header.Get("Content-Type"); l.StatusCode != http.StatusOK || got != typeEvents {
				t.Fatalf("%d %s", l.StatusCode, got)
			}
			l.want(test.events...)
		})
	}
}

// TestSSE_Do_refuses holds what is answered as plain HTTP, before a stream begins.
func TestSSE_Do_refuses(t *testing.T) {
	s := newStreams(t, &transport.SSE{POST: transport.POST{MaxBytes: 200}, GET: transport.GET{MaxBytes: 200}})
	for name, test := range map[string]struct {
		method, query string
		header        []string
		status        int
		want          map[string]string
	}{
		"mutation_by_get":     {http.MethodGet, "mutation{bump}", nil, http.StatusMethodNotAllowed, map[string]string{"Allow": "POST"}},
		"cookie_alone":        {http.MethodGet, "{hello}", []string{"Cookie", "session=1"}, http.StatusForbidden, nil},
		"content_of_a_form":   {http.MethodPost, "{hello}", []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType, map[string]string{"Accept": "application/json"}},
		"no_json":             {http.MethodPost, `{hello"`, nil, http.StatusBadRequest, nil},
		"too_long_a_body":     {http.MethodPost, strings.Repeat(" ", 200) + "{hello}", nil, http.StatusRequestEntityTooLarge, nil},
		"too_long_an_address": {http.MethodGet, strings.Repeat(" ", 200) + "{hello}", nil, http.StatusRequestURITooLong, nil},
		"nothing_to_run":      {http.MethodPost, "", nil, http.StatusBadRequest, nil},
		"defer":               {http.MethodPost, "{...@defer{hello}}", nil, http.StatusBadRequest, nil},
		"too_many_requests":   {http.MethodPost, `{refused(code:\"THROTTLED\")}`, nil, http.StatusTooManyRequests, map[string]string{"Retry-After": "2"}},
		"a_part_is_away":      {http.MethodPost, `{refused(code:\"UNAVAILABLE\")}`, nil, http.StatusServiceUnavailable, map[string]string{"Retry-After": "7"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := s.listen(t, test.method, test.query, test.header...)
			body, err := io.ReadAll(l.Body)
			if err != nil || l.StatusCode != test.status || l.Header.Get("Content-Type") != typeGraphQL || !strings.HasPrefix(string(body), `{"errors":[`) {
				t.Fatalf("%d %s %s (%v)", l.StatusCode, l.Header.Get("Content-Type"), body, err)
			}
			for header, want := range test.want {
				if got := l.Header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
		})
	}
}

func TestSSE_Do_panic_in_an_event_ends_the_stream(t *testing.T) {
	s := newStreams(t, &transport.SSE{})
	l := s.listen(t, http.MethodPost, "subscription{panicking}")
	from := s.next(t)
	from.feed(t, "1")
	l.want(`next {"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`, "complete", ended)
	from.mustEnd(t)
}

func TestSSE_Do_client_goes(t *testing.T) {
	sse := &transport.SSE{}
	s := newStreams(t, sse)
	l := s.listen(t, http.MethodPost, "subscription{ticks}")
	from := s.next(t)
	l.leave()
	from.mustEnd(t)
	eventually(t, "the place of the stream is free", func() bool { return sse.Registry.Len() == 0 })
}

// TestSSE_Do_outlives_the_write_timeout_of_the_server reads a silent stream for longer than any other answer may take.
func TestSSE_Do_outlives_the_write_timeout_of_the_server(t *testing.T) {
	const serverTimeout = 100 * time.Millisecond
	s := newStreams(t, &transport.SSE{KeepAlive: 20 * time.Millisecond}, func(server *http.Server, _ *executor.Executor) {
		server.WriteTimeout = serverTimeout
	})
	start := time.Now()
	l := s.listen(t, http.MethodPost, "subscription{ticks}")
	from := s.next(t)
	for time.Since(start) < 3*serverTimeout {
		l.want(":")
	}
	close(from.events)
	for event := l.event(); event != "complete"; event = l.event() {
		if event != ":" {
			t.Fatal(event)
		}
	}
}

// TestSSE_Do_client_stops_reading has a client that takes nothing, so that the write deadline ends its stream.
func TestSSE_Do_client_stops_reading(t *testing.T) {
	sse := &transport.SSE{WriteTimeout: 100 * time.Millisecond}
	s := newStreams(t, sse)
	var dial net.Dialer
	conn, err := dial.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /graphql?query=subscription%7Bticks%7D HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	from := s.next(t)
	event := `"` + strings.Repeat("x", 256<<10) + `"`
	for range 1000 {
		select {
		case from.events <- event:
			continue
		case <-from.ctx.Done():
		case <-time.After(patience):
			t.Fatal("the stream is not ended")
		}
		break
	}
	from.mustEnd(t)
	eventually(t, "the place of the stream is free", func() bool { return sse.Registry.Len() == 0 })
}

// unflushed is a connection that takes bytes and then cannot pass them on.
type unflushed struct{ http.ResponseWriter }

func (unflushed) FlushError() error { return errors.New("broken pipe") }

func TestSSE_Do_connection_breaks(t *testing.T) {
	sse := &transport.SSE{}
	s := newStreams(t, sse, func(server *http.Server, _ *executor.Executor) {
		whole := server.Handler
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { whole.ServeHTTP(unflushed{w}, r) })
	})
	var dial net.Dialer
	conn, err := dial.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /graphql?query=subscription%7Bticks%7D HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	from := s.next(t)
	select {
	case from.events <- `"tick"`:
	case <-from.ctx.Done():
	}
	from.mustEnd(t)
	eventually(t, "the place of the stream is free", func() bool { return sse.Registry.Len() == 0 })
}

func TestSSE_Do_session(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		events []string
	}{
		"signed_out": {
			apperr.New(apperr.Unauthenticated, "Your session has ended."),
			[]string{`next {"errors":[{"message":"Your session has ended.","extensions":{"code":"UNAUTHENTICATED"}}]}`, "complete", ended},
		},
		"an_error_without_a_code": {
			errors.New("a secret"),
			[]string{`next {"errors":[{"message":"Your session has ended. Sign in again.","extensions":{"code":"UNAUTHENTICATED"}}]}`, "complete", ended},
		},
		"nobody_can_look_it_up": {apperr.New(apperr.Unavailable, "away"), []string{ended}},
		"too_slow_to_look_up":   {context.DeadlineExceeded, []string{ended}},
		"a_panic":               {nil, []string{ended}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			s := newStreams(t, &transport.SSE{
				RecheckInterval: time.Millisecond,
				Recheck: func(context.Context) error {
					if asked.Add(1) < 3 {
						return nil
					}
					if test.err == nil {
						panic("recheck")
					}
					return test.err
				},
			})
			l := s.listen(t, http.MethodPost, "subscription{ticks}")
			from := s.next(t)
			l.want(test.events...)
			from.mustEnd(t)
			if asked.Load() != 3 {
				t.Errorf("asked %d times, want 3", asked.Load())
			}
		})
	}
}

// TestSSE_Do_drain ends streams without complete, so that their clients come back, and takes no new one.
func TestSSE_Do_drain(t *testing.T) {
	sse := &transport.SSE{}
	s := newStreams(t, sse)
	var open []*listener
	for range 3 {
		open = append(open, s.listen(t, http.MethodPost, "subscription{ticks}"))
		s.next(t)
	}
	if err := sse.Registry.Drain(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	for _, l := range open {
		l.want(ended)
	}
	if l := s.listen(t, http.MethodPost, "subscription{ticks}"); l.StatusCode != http.StatusServiceUnavailable || l.Header.Get("Retry-After") == "" {
		t.Errorf("%d, retry after %q", l.StatusCode, l.Header.Get("Retry-After"))
	}
}

// TestSSE_Do_drain_lets_a_query_end makes sure that what ends by itself gets its answer although the process is going.
func TestSSE_Do_drain_lets_a_query_end(t *testing.T) {
	sse := &transport.SSE{}
	release := make(chan struct{})
	s := newStreams(t, sse, func(_ *http.Server, exec *executor.Executor) {
		exec.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
			if graphql.GetOperationContext(ctx).Operation.Operation == ast.Query {
				select {
				case <-release:
				case <-ctx.Done():
					t.Error("the query was cut short")
				}
			}
			return next(ctx)
		})
	})
	query := s.listen(t, http.MethodPost, "{hello}")
	var streams []*listener
	for range 10 {
		streams = append(streams, s.listen(t, http.MethodPost, "subscription{ticks}"))
		s.next(t)
	}
	drained := make(chan error, 1)
	go func() { drained <- sse.Registry.Drain(within(t, patience)) }()
	for _, l := range streams {
		l.want(ended)
	}
	close(release)
	if text, err := io.ReadAll(query.Body); err != nil || !strings.Contains(string(text), "event: next") || !strings.Contains(string(text), "event: complete") {
		t.Errorf("the query is answered %q, %v", text, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestSSE_Do_places counts streams where sockets are counted.
func TestSSE_Do_places(t *testing.T) {
	for name, test := range map[string]struct {
		sse    *transport.SSE
		status int
	}{
		"of_the_process":  {&transport.SSE{MaxConnections: 2}, http.StatusServiceUnavailable},
		"of_the_address":  {&transport.SSE{MaxPerAddress: 2}, http.StatusTooManyRequests},
		"of_the_user":     {&transport.SSE{MaxPerUser: 2, User: func(context.Context) string { return "anna" }}, http.StatusTooManyRequests},
		"without_a_bound": {&transport.SSE{MaxConnections: -1, MaxPerAddress: -1, MaxPerUser: -1}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreams(t, test.sse)
			first := s.listen(t, http.MethodPost, "subscription{ticks}")
			s.listen(t, http.MethodPost, "subscription{ticks}")
			third := s.listen(t, http.MethodPost, "subscription{ticks}")
			if third.StatusCode != test.status {
				t.Fatalf("the third stream is answered with %d, want %d", third.StatusCode, test.status)
			}
			if test.status == http.StatusOK {
				return
			}
			if third.Header.Get("Retry-After") != "5" {
				t.Errorf("Retry-After is %q", third.Header.Get("Retry-After"))
			}
			first.leave()
			eventually(t, "the place is free", func() bool { return test.sse.Registry.Len() == 1 })
			if again := s.listen(t, http.MethodPost, "subscription{ticks}"); again.StatusCode != http.StatusOK {
				t.Errorf("the freed place is answered with %d", again.StatusCode)
			}
		})
	}
}

func TestSSE_Supports(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                    false,
		"*/*":                                 false,
		"text/*":                              false,
		"text/event-stream":                   true,
		"text/event-stream;q=0":               false,
		"text/event-stream, multipart/mixed":  true,
		"application/json, text/event-stream": false,
		"text/event-stream, application/json": true,
		"text/event-stream;q=0.5, application/json":                              false,
		"text/event-stream, */*;q=0.1":                                           true,
		"application/graphql-response+json, application/json, text/event-stream": false,
	} {
		for method, may := range map[string]bool{http.MethodPost: true, http.MethodGet: true, http.MethodHead: false, http.MethodPut: false} {
			r := httptest.NewRequest(method, "/graphql", http.NoBody)
			if accept != "" {
				r.Header.Set("Accept", accept)
			}
			if got := (&transport.SSE{}).Supports(r); got != (want && may) {
				t.Errorf("%s that accepts %q: %t", method, accept, got)
			}
		}
	}
}
