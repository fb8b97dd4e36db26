package transport_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/transport"
)

const (
	throttled = "This connection runs as many operations as it may: complete one first. Try again in a second."
	noMutate  = "A mutation is sent with POST, not over a websocket."
)

func TestWebsocket_Do_streams_and_answers(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.begin(t)

	c.subscribe("a", "subscription{ticks}")
	ticks := s.next(t)
	c.subscribe("b", "subscription{other:ticks}")
	other := s.next(t)
	ticks.feed(t, "1")
	c.want(nextMessage("a", `{"ticks":1}`))
	other.feed(t, "2")
	c.want(nextMessage("b", `{"other":2}`))
	ticks.feed(t, "3")
	c.want(nextMessage("a", `{"ticks":3}`))
	close(ticks.events)
	c.want(completeMessage("a"))

	c.subscribe("a", "{hello}") // the id is free again
	c.want(nextMessage("a", `{"hello":"world"}`))
	c.want(completeMessage("a"))
	c.subscribe(`"<1>"`, "{hello}")
	c.want(`{"id":"\"\u003c1\u003e\"","type":"next","payload":{"data":{"hello":"world"}}}`)
	c.want(`{"id":"\"\u003c1\u003e\"","type":"complete"}`)

	other.feed(t, "4")
	c.want(nextMessage("b", `{"other":4}`))
}

func TestWebsocket_Do_parameters(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.begin(t)
	c.send(`{"id":"a","type":"subscribe","payload":{"query":"query A{hello} query B($v:Any){echo(value:$v)}",` +
		`"operationName":"B","variables":{"v":9007199254740993},"extensions":{}}}`)
	c.want(nextMessage("a", `{"echo":9007199254740993}`))
	c.want(completeMessage("a"))
}

func TestWebsocket_Do_errors_of_operations(t *testing.T) {
	s := newSockets(t, &transport.Websocket{}, func(exec *executor.Executor, _ *schema) { exec.Use(refuser{}) })
	c := s.begin(t)
	for query, want := range map[string]string{
		"mutation{bump}":                  errorMessage("a", noMutate, "BAD_USER_INPUT"), // WS8
		"query A{hello} mutation B{bump}": errorMessage("a", "The document holds several operations: name one in operationName.", "BAD_USER_INPUT"),
		"{...@defer{hello}}":              errorMessage("a", "The directive @defer is not supported: select the fields without it.", "BAD_USER_INPUT"),
		`{refused(code:"THROTTLED")}`:     `{"id":"a","type":"error","payload":[{"message":"refused","extensions":{"code":"THROTTLED","retryAfter":1.5}}]}`,
		`{refused(code:"UNENCODABLE")}`:   errorMessage("a", "The operation gave no answer.", "INTERNAL"),
		"{aborting}":                      errorMessage("a", "masked", "INTERNAL"),
		`{refused(code:"")}`:              `{"id":"a","type":"error","payload":[{"message":"refused","extensions":{"code":"BAD_USER_INPUT","hint":1}}]}`,
		"{":                               `{"id":"a","type":"error","payload":[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
		"subscription{failing}":           `{"id":"a","type":"error","payload":[{"message":"no source"}]}`,
		"{panicking}":                     errorMessage("a", "masked", "INTERNAL"),
		"{unencodable}":                   errorMessage("a", "masked", "INTERNAL"),
		"{" + strings.Repeat("hello @nope ", 20) + "}": "",
	} {
		c.subscribe("a", query)
		if want == "" {
			got, err := c.receive()
			if n := strings.Count(got, "message"); err != nil || n != transport.MaxErrors {
				t.Errorf("%d errors, want %d: %s (%v)", n, transport.MaxErrors, got, err)
			}
			continue
		}
		c.want(want)
	}
	c.subscribe("a", "{failing(times:1)}")
	c.want(`{"id":"a","type":"next","payload":{"errors":[{"message":"failure 0"}],"data":{"failing":null}}}`)
	c.want(completeMessage("a"))
}

func TestWebsocket_Do_panic_in_an_event_ends_that_operation_alone(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.begin(t)
	c.subscribe("steady", "subscription{ticks}")
	steady := s.next(t)
	c.subscribe("a", "subscription{panicking}")
	panicking := s.next(t)
	panicking.feed(t, "a secret")
	c.want(errorMessage("a", "masked", "INTERNAL"))
	panicking.mustEnd(t)
	steady.feed(t, "1")
	c.want(nextMessage("steady", `{"ticks":1}`))
}

func TestWebsocket_Do_panic_in_the_presenter_is_masked(t *testing.T) {
	s := newSockets(t, &transport.Websocket{}, func(exec *executor.Executor, _ *schema) {
		exec.SetRecoverFunc(func(context.Context, any) error { panic("again") })
	})
	c := s.begin(t)
	c.subscribe("a", "{panicking}")
	c.want(errorMessage("a", "Something went wrong on our side.", "INTERNAL"))
}

func TestWebsocket_Do_deadline_of_an_extension(t *testing.T) {
	s := newSockets(t, &transport.Websocket{}, func(exec *executor.Executor, _ *schema) {
		exec.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
			ctx, cancel := context.WithDeadline(ctx, time.Now())
			cancel()
			return next(ctx)
		})
	})
	c := s.begin(t)
	c.subscribe("a", "{hello}")
	c.want(errorMessage("a", "The operation took too long and was stopped.", "UNAVAILABLE"))
}

func TestWebsocket_Do_extension_that_cancels_with_the_response(t *testing.T) {
	s := newSockets(t, &transport.Websocket{}, func(exec *executor.Executor, _ *schema) {
		exec.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
			ctx, cancel := context.WithCancel(ctx)
			answer := next(ctx)
			return func(ctx context.Context) *graphql.Response {
				defer cancel()
				return answer(ctx)
			}
		})
	})
	c := s.begin(t)
	c.subscribe("a", "{hello}")
	c.want(nextMessage("a", `{"hello":"world"}`))
	c.want(completeMessage("a"))
}

func TestWebsocket_Do_client_completes(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.begin(t)
	c.subscribe("a", "subscription{ticks}")
	first := s.next(t)
	first.feed(t, "1")
	c.want(nextMessage("a", `{"ticks":1}`))
	c.send(`{"id":"a","type":"complete"}`)
	first.mustEnd(t)

	// The id is free at once, and nothing is said about the first stream.
	c.subscribe("a", "subscription{ticks}")
	second := s.next(t)
	second.feed(t, "2")
	c.want(nextMessage("a", `{"ticks":2}`))
	c.send(`{"id":"unknown","type":"complete"}`)
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
}

// blocker is an extension that holds an operation until it is released, and then refuses it.
type blocker struct{ entered, release chan struct{} }

func (blocker) ExtensionName() string { return "Blocker" }

func (blocker) Validate(graphql.ExecutableSchema) error { return nil }

func (b blocker) MutateOperationContext(context.Context, *graphql.OperationContext) *gqlerror.Error {
	b.entered <- struct{}{}
	<-b.release
	return &gqlerror.Error{Message: "refused"}
}

func TestWebsocket_Do_nothing_is_said_of_an_operation_that_the_client_completed(t *testing.T) {
	block := blocker{make(chan struct{}), make(chan struct{})}
	s := newSockets(t, &transport.Websocket{}, func(exec *executor.Executor, _ *schema) { exec.Use(block) })
	c := s.begin(t)
	c.subscribe("a", "{hello}")
	<-block.entered
	c.send(`{"id":"a","type":"complete"}`)
	c.subscribe("b", "{hello}")
	<-block.entered
	close(block.release)
	c.want(errorMessage("b", "refused", "BAD_USER_INPUT"))
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
}

func TestWebsocket_Do_client_goes(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"with_a_close_frame": func(c *client) {
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
			c.wantClose(1000, "")
		},
		"without_a_word": func(c *client) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			registry := &transport.Registry{}
			s := newSockets(t, &transport.Websocket{Registry: registry})
			c := s.begin(t)
			c.subscribe("a", "subscription{ticks}")
			from := s.next(t)
			leave(c)
			from.mustEnd(t)
			eventually(t, "an empty registry", func() bool { return registry.Len() == 0 })
		})
	}
}

func TestWebsocket_Do_ping(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.dial(t)
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
	c.send(`{"type":"ping","payload":{"n":[1,2.50],"s":"x"}}`)
	c.want(`{"type":"pong","payload":{"n":[1,2.50],"s":"x"}}`)
	c.send(`{"type":"pong","payload":{}}`)
	c.send(`{"type":"ping","payload":[]}`)
	c.wantClose(4400, "Invalid message received")
}

func TestWebsocket_Do_liveness(t *testing.T) {
	t.Run("answered_pings_keep_the_socket", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{PingInterval: 10 * time.Millisecond, PongTimeout: patience})
		c := s.begin(t)
		for range 20 {
			if _, message, err := c.ReadMessage(); err != nil || string(message) != `{"type":"ping"}` {
				t.Fatalf("received %s (%v)", message, err)
			}
			c.send(`{"type":"pong"}`)
		}
	})
	t.Run("silence_is_cut", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{PingInterval: 20 * time.Millisecond, PongTimeout: 20 * time.Millisecond})
		c := s.begin(t)
		c.subscribe("a", "subscription{ticks}")
		from := s.next(t)
		c.wantCut()
		from.mustEnd(t)
	})
}

func TestWebsocket_Supports(t *testing.T) {
	t.Parallel()
	upgrade := http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}
	for name, test := range map[string]struct {
		method string
		header http.Header
		want   bool
	}{
		"upgrade":            {http.MethodGet, upgrade, true},
		"plain":              {http.MethodGet, nil, false},
		"other_upgrade":      {http.MethodGet, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"h2c"}}, false},
		"upgrade_of_a_post":  {http.MethodPost, upgrade, false},
		"without_connection": {http.MethodGet, http.Header{"Upgrade": {"websocket"}}, false},
	} {
		r := httptest.NewRequest(test.method, "/graphql", nil)
		r.Header = test.header
		if got := (&transport.Websocket{}).Supports(r); got != test.want {
			t.Errorf("%s gives %t", name, got)
		}
	}
}

func TestWebsocket_Do_upgrade(t *testing.T) {
	t.Run("malformed", func(t *testing.T) {
		registry := &transport.Registry{}
		s := newSockets(t, &transport.Websocket{Registry: registry})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/graphql", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"8"}}
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("Sec-WebSocket-Version") != "13" || registry.Len() != 0 {
			t.Errorf("answered with %d %v, %d sockets", response.StatusCode, response.Header, registry.Len())
		}
	})
	t.Run("without_a_connection_to_take_over", func(t *testing.T) {
		recorder := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/graphql", nil)
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
		transport.Handler(newSchema().executor(), &transport.Websocket{}).ServeHTTP(recorder, r)
		if recorder.Code != 500 {
			t.Errorf("answered with %d %s", recorder.Code, recorder.Body)
		}
	})
	t.Run("behind_middleware_that_only_unwraps", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{})
		inner := s.Config.Handler
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(unwrapper{w}, r)
		})
		s.begin(t)
	})
}

// unwrapper is the writer of a middleware: it hides everything but the way to the writer inside.
type unwrapper struct{ inner http.ResponseWriter }

func (u unwrapper) Header() http.Header         { return u.inner.Header() }
func (u unwrapper) Write(p []byte) (int, error) { return u.inner.Write(p) }
func (u unwrapper) WriteHeader(status int)      { u.inner.WriteHeader(status) }
func (u unwrapper) Unwrap() http.ResponseWriter { return u.inner }
