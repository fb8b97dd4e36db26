package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/gorilla/websocket"

	"marquee/graph/transport"
	"marquee/internal/apperr"
)

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
