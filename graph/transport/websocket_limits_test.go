package transport_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/gorilla/websocket"

	"marquee/graph/transport"
)

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
