package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/transport"
	"marquee/internal/apperr"
)

const (
	throttled = "This connection runs as many operations as it may: complete one first. Try again in 1 seconds."
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

func TestWebsocket_WS1_origin(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	host := strings.TrimPrefix(s.URL, "http://")
	for origin, want := range map[string]int{
		s.URL:                            101,
		"https://" + host:                101,
		"":                               101,
		"null":                           403,
		"https://evil.example":           403,
		"https://" + host + ".evil.test": 403,
		"https://evil" + host:            403,
		"https://evil.test/" + host:      403,
		"https://evil.test?" + host:      403,
		"https://evil.test#" + host:      403,
		"https://" + host + "@evil.test": 403,
		"%":                              403,
	} {
		header := http.Header{"Cookie": {"session=1"}}
		if origin != "" {
			header.Set("Origin", origin)
		}
		c, refused := s.dialWith(t, dialer(), header)
		switch {
		case want == 101 && c == nil:
			t.Errorf("origin %q is refused with %d", origin, refused.status)
		case want != 101 && (c != nil || refused.status != want || refused.code(t) != "FORBIDDEN"):
			t.Errorf("origin %q is not refused: %+v", origin, refused)
		}
	}
	if c, refused := s.dialWith(t, dialer(), http.Header{"Origin": {s.URL, "https://evil.test"}}); c != nil || refused.status != 403 {
		t.Errorf("two origins are answered with %d", refused.status)
	}
}

func TestWebsocket_CheckOrigin(t *testing.T) {
	s := newSockets(t, &transport.Websocket{CheckOrigin: func(r *http.Request) bool {
		return r.Header.Get("Origin") == "https://app.example"
	}})
	if c, _ := s.dialWith(t, dialer(), http.Header{"Origin": {"https://app.example"}}); c == nil {
		t.Error("an allowed origin is refused")
	}
	if c, _ := s.dialWith(t, dialer(), http.Header{"Origin": {s.URL}}); c != nil {
		t.Error("another origin is allowed")
	}
}

func TestWebsocket_WS2_protocol(t *testing.T) {
	const invalid = "Invalid message received"
	for name, test := range map[string]struct {
		initialised bool
		message     string
		code        int
		reason      string
	}{
		"subscribe_before_init":       {false, `{"id":"a","type":"subscribe","payload":{"query":"{hello}"}}`, 4401, "Unauthorized"},
		"second_init":                 {true, `{"type":"connection_init"}`, 4429, "Too many initialisation requests"},
		"malformed_json":              {true, `{"type":`, 4400, invalid},
		"malformed_json_before_init":  {false, `x`, 4400, invalid},
		"list":                        {true, `[{"type":"ping"}]`, 4400, invalid},
		"duplicate_key":               {true, `{"type":"ping","type":"pong"}`, 4400, invalid},
		"deep":                        {true, `{"type":"ping","payload":{"a":` + nest(1000) + `}}`, 4400, invalid},
		"no_type":                     {true, `{"id":"a"}`, 4400, "Invalid message type"},
		"unknown_type":                {true, `{"type":"start","id":"a"}`, 4400, "Invalid message type"},
		"type_of_the_server":          {true, `{"type":"next","id":"a","payload":{}}`, 4400, "Invalid message type"},
		"legacy_protocol":             {false, `{"type":"start","id":"a","payload":{"query":"{hello}"}}`, 4400, "Invalid message type"},
		"init_payload_as_list":        {false, `{"type":"connection_init","payload":[]}`, 4400, invalid},
		"subscribe_without_id":        {true, `{"type":"subscribe","payload":{"query":"{hello}"}}`, 4400, invalid},
		"subscribe_with_empty_id":     {true, `{"id":"","type":"subscribe","payload":{"query":"{hello}"}}`, 4400, invalid},
		"subscribe_with_long_id":      {true, `{"id":"` + strings.Repeat("x", 129) + `","type":"subscribe","payload":{"query":"{hello}"}}`, 4400, invalid},
		"subscribe_with_number_id":    {true, `{"id":1,"type":"subscribe","payload":{"query":"{hello}"}}`, 4400, invalid},
		"subscribe_without_payload":   {true, `{"id":"a","type":"subscribe"}`, 4400, invalid},
		"subscribe_without_query":     {true, `{"id":"a","type":"subscribe","payload":{}}`, 4400, "The parameter query is missing."},
		"subscribe_variables_as_list": {true, `{"id":"a","type":"subscribe","payload":{"query":"{hello}","variables":[]}}`, 4400, "The parameter variables must be an object."},
		"complete_without_id":         {true, `{"type":"complete"}`, 4400, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSockets(t, &transport.Websocket{})
			c := s.dial(t)
			if test.initialised {
				c.send(`{"type":"connection_init","payload":null}`)
				c.want(`{"type":"connection_ack"}`)
			}
			c.send(test.message)
			c.wantClose(test.code, test.reason)
		})
	}

	t.Run("binary", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{})
		c := s.begin(t)
		if err := c.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)); err != nil {
			t.Fatal(err)
		}
		c.wantClose(4400, invalid)
	})
	t.Run("silence", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{InitTimeout: 20 * time.Millisecond})
		s.dial(t).wantClose(4408, "Connection initialisation timeout")
	})
	t.Run("pings_instead_of_init", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{InitTimeout: 50 * time.Millisecond})
		c := s.dial(t)
		c.send(`{"type":"ping"}`)
		c.want(`{"type":"pong"}`)
		c.wantClose(4408, "Connection initialisation timeout")
	})
	t.Run("slow_init", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{
			InitTimeout: 20 * time.Millisecond,
			Init: func(ctx context.Context, _ map[string]any, _ *http.Request) (context.Context, error) {
				<-ctx.Done()
				return ctx, nil
			},
		})
		c := s.dial(t)
		c.send(`{"type":"connection_init"}`)
		c.wantClose(4408, "Connection initialisation timeout")
	})
	for name, offered := range map[string][]string{
		"other_subprotocol": {"graphql-ws"}, "no_subprotocol": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSockets(t, &transport.Websocket{})
			c, _ := s.dialWith(t, &websocket.Dialer{Subprotocols: offered}, nil)
			c.wantClose(4406, "Subprotocol not acceptable: offer graphql-transport-ws")
		})
	}
	t.Run("subprotocol_among_others", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{})
		c, _ := s.dialWith(t, &websocket.Dialer{Subprotocols: []string{"graphql-ws", "graphql-transport-ws"}}, nil)
		c.send(`{"type":"connection_init"}`)
		c.want(`{"type":"connection_ack"}`)
	})
}

func TestWebsocket_WS3_duplicate_id(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.begin(t)
	id := "x" + strings.Repeat("ä", 63)
	c.subscribe(id, "subscription{ticks}")
	first := s.next(t)
	c.subscribe(id, "subscription{ticks}")
	c.wantClose(4409, "Subscriber for x"+strings.Repeat("ä", 53)) // the reason fits a control frame
	first.mustEnd(t)
}

func TestWebsocket_WS4_operations_are_capped(t *testing.T) {
	s := newSockets(t, &transport.Websocket{MaxOperations: 3})
	c := s.begin(t)
	for i := range 3 {
		c.subscribe(fmt.Sprint(i), "subscription{ticks}")
	}
	sources := []*source{s.next(t), s.next(t), s.next(t)}
	c.subscribe("more", "subscription{ticks}")
	c.want(errorMessage("more", throttled, "THROTTLED"))

	close(sources[0].events)
	if message, err := c.receive(); err != nil || !strings.Contains(message, `"complete"`) {
		t.Fatalf("received %s (%v)", message, err)
	}
	c.subscribe("more", "subscription{ticks}")
	s.next(t).feed(t, "1")
	c.want(nextMessage("more", `{"ticks":1}`))
}

func TestWebsocket_WS4_completed_operations_that_linger_are_capped(t *testing.T) {
	release := make(chan struct{})
	s := newSockets(t, &transport.Websocket{MaxOperations: 2}, func(_ *executor.Executor, schema *schema) {
		schema.open = func(context.Context, string, map[string]any) (stream, error) {
			<-release // deaf to its context
			return func(context.Context) (string, bool) { return "", false }, nil
		}
	})
	c := s.begin(t)
	for i := range 4 {
		c.subscribe(fmt.Sprint(i), "subscription{ticks}")
		c.send(fmt.Sprintf(`{"id":"%d","type":"complete"}`, i))
	}
	c.subscribe("more", "subscription{ticks}")
	c.want(errorMessage("more", throttled, "THROTTLED"))
	close(release)
}

func TestWebsocket_WS4_ten_thousand_subscriptions(t *testing.T) {
	s := newSockets(t, &transport.Websocket{})
	c := s.begin(t)
	go func() {
		for i := range 10_000 {
			message := fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"subscription{ticks}"}}`, i)
			if c.WriteMessage(websocket.TextMessage, []byte(message)) != nil {
				return
			}
		}
	}()
	c.wantCut()
	eventually(t, "the end of every operation", func() bool {
		select {
		case from := <-s.opened:
			from.mustEnd(t)
			return false
		default:
			return true
		}
	})
}

func TestWebsocket_WS4_sockets_are_capped(t *testing.T) {
	type userKey struct{}
	socket := &transport.Websocket{
		MaxConnections: 6, MaxPerAddress: 4, MaxPerUser: 2,
		Address: func(r *http.Request) string { return r.Header.Get("X-Address") },
		Init: func(ctx context.Context, payload map[string]any, _ *http.Request) (context.Context, error) {
			return context.WithValue(ctx, userKey{}, payload["user"]), nil
		},
		User: func(ctx context.Context) string {
			user, _ := ctx.Value(userKey{}).(string)
			return user
		},
		Registry: &transport.Registry{},
	}
	s := newSockets(t, socket)
	from := func(address string) http.Header { return http.Header{"X-Address": {address}} }
	begin := func(address, user string) *client {
		t.Helper()
		c, refused := s.dialWith(t, dialer(), from(address))
		if c == nil {
			t.Fatalf("refused with %d", refused.status)
		}
		c.send(fmt.Sprintf(`{"type":"connection_init","payload":{"user":%q}}`, user))
		return c
	}

	ann := begin("1", "ann")
	ann.want(`{"type":"connection_ack"}`)
	begin("1", "ann").want(`{"type":"connection_ack"}`)
	begin("2", "ann").wantClose(1013, "Too many connections")
	eventually(t, "its place given back", func() bool { return socket.Registry.Len() == 2 })
	begin("1", "").want(`{"type":"connection_ack"}`)
	begin("1", "").want(`{"type":"connection_ack"}`)
	if c, refused := s.dialWith(t, dialer(), from("1")); c != nil || refused.status != 429 || refused.code(t) != "THROTTLED" {
		t.Errorf("a fifth socket of an address is answered with %+v", refused)
	}
	begin("2", "").want(`{"type":"connection_ack"}`)
	begin("2", "").want(`{"type":"connection_ack"}`)
	if c, refused := s.dialWith(t, dialer(), from("3")); c != nil || refused.status != 503 || refused.code(t) != "UNAVAILABLE" {
		t.Errorf("a seventh socket is answered with %+v", refused)
	}
	if n := socket.Registry.Len(); n != 6 {
		t.Errorf("%d sockets are open, want 6", n)
	}

	_ = ann.Close()
	eventually(t, "a free place", func() bool { return socket.Registry.Len() == 5 })
	begin("3", "ann").want(`{"type":"connection_ack"}`)
}

func TestWebsocket_WS5_frames(t *testing.T) {
	t.Run("two_megabytes", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{})
		c := s.begin(t)
		c.subscribe("a", "subscription{ticks}")
		from := s.next(t)
		go func() { _ = c.WriteMessage(websocket.TextMessage, make([]byte, 2<<20)) }()
		c.wantClose(1009, "")
		from.mustEnd(t)
	})
	t.Run("largest_allowed", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{ReadLimit: 1024})
		c := s.begin(t)
		message := `{"type":"ping"` + strings.Repeat(" ", 1024-len(`{"type":"ping"}`)) + `}`
		c.send(message)
		c.want(`{"type":"pong"}`)
		c.send(message + " ")
		c.wantClose(1009, "")
	})
	t.Run("endless_fragments", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{WriteTimeout: 50 * time.Millisecond})
		c := s.begin(t)
		c.subscribe("a", "subscription{ticks}")
		from := s.next(t)
		empty := func(opcode byte) []byte { return []byte{opcode, 0x80, 0, 0, 0, 0} } // not final, masked, no payload
		if _, err := c.NetConn().Write(empty(websocket.TextMessage)); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(patience)
		for time.Now().Before(deadline) {
			if _, err := c.NetConn().Write(empty(0)); err != nil {
				break
			}
		}
		from.mustEnd(t)
	})
	t.Run("frame_that_never_ends", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{WriteTimeout: 20 * time.Millisecond})
		c := s.begin(t)
		if _, err := c.NetConn().Write([]byte{0x81, 0x85, 0, 0, 0, 0, 'x'}); err != nil {
			t.Fatal(err)
		}
		c.wantCut()
	})
	t.Run("unmasked_frame", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{})
		c := s.begin(t)
		if _, err := c.NetConn().Write([]byte{0x81, 0x01, 'x'}); err != nil {
			t.Fatal(err)
		}
		c.wantClose(1002, "bad MASK")
	})
	t.Run("flood_of_pings", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{MessageRate: 10})
		c := s.begin(t)
		go func() {
			for range 10_000 {
				if c.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)) != nil {
					return
				}
			}
		}()
		pongs := 0
		for {
			message, err := c.receive()
			if err == nil && message == `{"type":"pong"}` {
				pongs++
				continue
			}
			if !websocket.IsCloseError(err, 1008) {
				t.Errorf("received %s (%v)", message, err)
			}
			break
		}
		if pongs > 500 { // the burst of 40, and 10 a second on a slow machine
			t.Errorf("%d pings were answered", pongs)
		}
	})
	t.Run("flood_of_control_frames", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{MessageRate: 10})
		c := s.begin(t)
		c.SetPongHandler(func(string) error { return nil })
		go func() {
			for range 10_000 {
				if c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)) != nil {
					return
				}
			}
		}()
		c.wantClose(1008, "Too many messages")
	})
	t.Run("unlimited_rate", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{MessageRate: -1})
		c := s.begin(t)
		for range 500 {
			c.send(`{"type":"ping"}`)
			c.want(`{"type":"pong"}`)
		}
	})
}

// TestWebsocket_WS6_client_stops_reading holds that a client which reads nothing is cut within the write timeout, that
// no more of its events are pulled than the network buffers take, and that nobody else waits.
func TestWebsocket_WS6_client_stops_reading(t *testing.T) {
	const writeTimeout = 2 * time.Second
	event := `"` + strings.Repeat("x", 64<<10) + `"`
	var pulled atomic.Int64
	var lastPull atomic.Pointer[time.Time]
	stuckEnded := make(chan time.Time, 1)
	registry := &transport.Registry{}
	s := newSockets(t, &transport.Websocket{WriteTimeout: writeTimeout, Registry: registry}, func(_ *executor.Executor, schema *schema) {
		open := schema.open
		schema.open = func(ctx context.Context, field string, arguments map[string]any) (stream, error) {
			if field != "forever" {
				return open(ctx, field, arguments)
			}
			context.AfterFunc(ctx, func() { stuckEnded <- time.Now() })
			return func(context.Context) (string, bool) {
				now := time.Now()
				lastPull.Store(&now)
				pulled.Add(1)
				return event, true
			}, nil
		}
	})

	d := dialer()
	d.NetDialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}
	stuck, _ := s.dialWith(t, d, nil)
	stuck.send(`{"type":"connection_init"}`)
	stuck.want(`{"type":"connection_ack"}`)

	var (
		readers [5]*client
		sources [5]*source
	)
	for i := range readers {
		readers[i] = s.begin(t)
		readers[i].subscribe("a", "subscription{ticks}")
		sources[i] = s.next(t)
	}
	stuck.subscribe("a", "subscription{forever}")

	var slowest time.Duration
	for round := 0; ; round++ {
		select {
		case at := <-stuckEnded:
			if took := at.Sub(*lastPull.Load()); took > writeTimeout+time.Second {
				t.Errorf("cut %s after the last event, want %s", took, writeTimeout)
			}
			if slowest > writeTimeout/2 {
				t.Errorf("another client waited %s for an event", slowest)
			}
			if n := pulled.Load(); n > 1000 {
				t.Errorf("%d events of 64 KiB were pulled for a client that reads none", n)
			}
			eventually(t, "the socket to be gone", func() bool { return registry.Len() == len(readers) })
			return
		default:
		}
		for i, reader := range readers {
			start := time.Now()
			sources[i].feed(t, fmt.Sprint(round))
			reader.want(nextMessage("a", fmt.Sprintf(`{"ticks":%d}`, round)))
			slowest = max(slowest, time.Since(start))
		}
	}
}

func TestWebsocket_Init(t *testing.T) {
	type key struct{}
	t.Run("payload_and_request_make_the_session", func(t *testing.T) {
		seen := make(chan any, 2)
		s := newSockets(t, &transport.Websocket{
			Init: func(ctx context.Context, payload map[string]any, r *http.Request) (context.Context, error) {
				return context.WithValue(ctx, key{}, fmt.Sprint(payload["Authorization"], " ", r.Header.Get("Cookie"))), nil
			},
			OperationContext: func(ctx context.Context) context.Context {
				seen <- ctx.Value(key{})
				return context.WithValue(ctx, key{}, "operation")
			},
		})
		c, _ := s.dialWith(t, dialer(), http.Header{"Cookie": {"a=1"}})
		c.send(`{"type":"connection_init","payload":{"Authorization":"Bearer x"}}`)
		c.want(`{"type":"connection_ack"}`)
		c.subscribe("a", "subscription{ticks}")
		if value := s.next(t).ctx.Value(key{}); value != "operation" {
			t.Errorf("the operation sees %v", value)
		}
		if value := <-seen; value != "Bearer x a=1" {
			t.Errorf("the session holds %v", value)
		}
	})

	refusal := func(err error) func(context.Context, map[string]any, *http.Request) (context.Context, error) {
		return func(context.Context, map[string]any, *http.Request) (context.Context, error) { return nil, err }
	}
	for name, test := range map[string]struct {
		init   func(context.Context, map[string]any, *http.Request) (context.Context, error)
		code   int
		reason string
	}{
		"error_without_context": {refusal(errors.New("a secret")), 4403, "Forbidden"},
		"unauthenticated":       {refusal(apperr.New(apperr.Unauthenticated, "Sign in.")), 4403, "Forbidden"},
		"unavailable":           {refusal(fmt.Errorf("session: %w", apperr.New(apperr.Unavailable, "Later."))), 1013, "Try again later"},
		"throttled":             {refusal(apperr.New(apperr.Throttled, "Later.")), 1013, "Try again later"},
		"deadline":              {refusal(context.DeadlineExceeded), 1013, "Try again later"},
		"panic": {func(context.Context, map[string]any, *http.Request) (context.Context, error) {
			panic("a secret")
		}, 4500, "Internal server error"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSockets(t, &transport.Websocket{Init: test.init})
			c := s.dial(t)
			c.send(`{"type":"connection_init"}`)
			c.wantClose(test.code, test.reason)
		})
	}

	t.Run("nil_context_stands_for_the_given_one", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{Init: refusal(nil)})
		c := s.begin(t)
		c.subscribe("a", "{hello}")
		c.want(nextMessage("a", `{"hello":"world"}`))
	})
	t.Run("context_of_other_descent_ends_with_the_socket", func(t *testing.T) {
		s := newSockets(t, &transport.Websocket{
			Init: func(context.Context, map[string]any, *http.Request) (context.Context, error) {
				return context.Background(), nil
			},
		})
		c := s.begin(t)
		c.subscribe("a", "subscription{ticks}")
		from := s.next(t)
		_ = c.Close()
		from.mustEnd(t)
	})
	t.Run("end_of_the_session_closes_the_socket", func(t *testing.T) {
		var end context.CancelFunc
		s := newSockets(t, &transport.Websocket{
			Init: func(ctx context.Context, _ map[string]any, _ *http.Request) (context.Context, error) {
				ctx, end = context.WithCancel(ctx)
				return ctx, nil
			},
		})
		c := s.begin(t)
		c.subscribe("a", "subscription{ticks}")
		from := s.next(t)
		end()
		c.wantClose(4403, "Session ended")
		from.mustEnd(t)
	})
}

func TestWebsocket_WS7_session_is_rechecked(t *testing.T) {
	type key struct{}
	for name, test := range map[string]struct {
		err    error
		code   int
		reason string
	}{
		"signed_out":  {errors.New("signed out"), 4403, "Forbidden"},
		"unavailable": {apperr.New(apperr.Unavailable, "Later."), 1013, "Try again later"},
		"panic":       {nil, 4500, "Internal server error"},
	} {
		t.Run(name, func(t *testing.T) {
			checks := make(chan error)
			s := newSockets(t, &transport.Websocket{
				RecheckInterval: 5 * time.Millisecond,
				Init: func(ctx context.Context, _ map[string]any, _ *http.Request) (context.Context, error) {
					return context.WithValue(ctx, key{}, "ann"), nil
				},
				Recheck: func(ctx context.Context) error {
					if ctx.Value(key{}) != "ann" {
						t.Error("the session is not that of Init")
					}
					err := <-checks
					if errors.Is(err, errPanic) {
						panic("a secret")
					}
					return err
				},
			})
			c := s.begin(t)
			c.subscribe("a", "subscription{ticks}")
			from := s.next(t)
			checks <- nil
			checks <- nil
			from.feed(t, "1")
			c.want(nextMessage("a", `{"ticks":1}`))
			if test.err == nil {
				test.err = errPanic
			}
			checks <- test.err
			c.wantClose(test.code, test.reason)
			from.mustEnd(t)
		})
	}
}

var errPanic = errors.New("panic")

// TestWebsocket_WS8_mutations_are_refused holds that none is executed, however it is sent, and that the socket stays.
func TestWebsocket_WS8_mutations_are_refused(t *testing.T) {
	var ran atomic.Int32
	s := newSockets(t, &transport.Websocket{}, func(_ *executor.Executor, schema *schema) {
		schema.ran = func(string) { ran.Add(1) }
	})
	c := s.begin(t)
	for _, payload := range []string{
		`{"query":"mutation{bump}"}`,
		`{"query":"mutation M{bump bump2:bump}","operationName":"M"}`,
		`{"query":"query A{hello} mutation B{bump}","operationName":"B"}`,
		`{"query":"mutation{...f} fragment f on Mutation{bump}"}`,
	} {
		c.send(`{"id":"a","type":"subscribe","payload":` + payload + `}`)
		c.want(errorMessage("a", noMutate, "BAD_USER_INPUT"))
	}
	if n := ran.Load(); n != 0 {
		t.Errorf("%d fields were executed", n)
	}
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
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
