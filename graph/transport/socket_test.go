package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"marquee/graph/transport"
)

// patience is how long a test waits for something that must happen. It is only spent by a test that fails.
const patience = 20 * time.Second

// sockets is a server of websockets whose subscriptions are fed by the test.
//
// The tests that use it are not parallel: each ends by looking for goroutines that it left, and those are counted for
// the whole process.
type sockets struct {
	*httptest.Server
	opened chan *source
}

// source is an open subscription.
type source struct {
	ctx    context.Context
	field  string
	events chan string // the test sends JSON values; closing ends the stream
}

// feed yields one event, and fails the test when nobody takes it.
func (s *source) feed(t *testing.T, event string) {
	t.Helper()
	select {
	case s.events <- event:
	case <-time.After(patience):
		t.Fatal("the event is not taken")
	}
}

// mustEnd waits until the operation is cancelled.
func (s *source) mustEnd(t *testing.T) {
	t.Helper()
	select {
	case <-s.ctx.Done():
	case <-time.After(patience):
		t.Fatal("the operation is not cancelled")
	}
}

func newSockets(t *testing.T, socket *transport.Websocket, configure ...func(*executor.Executor, *schema)) *sockets {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	if socket.Registry == nil {
		socket.Registry = &transport.Registry{}
	}
	if socket.Registry.DrainWindow == 0 {
		socket.Registry.DrainWindow = time.Millisecond
	}
	s := &sockets{opened: make(chan *source, 1000)}
	schema := newSchema()
	schema.open = func(ctx context.Context, field string, _ map[string]any) (stream, error) {
		if field == "failing" {
			return nil, errors.New("no source")
		}
		from := &source{ctx: ctx, field: field, events: make(chan string)}
		s.opened <- from
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
	exec := schema.executor()
	for _, f := range configure {
		f(exec, schema)
	}
	s.Server = httptest.NewServer(transport.Handler(exec, socket, transport.GET{}, transport.POST{}))
	t.Cleanup(func() {
		s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := socket.Registry.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// next returns the subscription that was opened next.
func (s *sockets) next(t *testing.T) *source {
	t.Helper()
	select {
	case from := <-s.opened:
		return from
	case <-time.After(patience):
		t.Fatal("no subscription is opened")
		return nil
	}
}

// client is a socket of a test.
type client struct {
	*websocket.Conn
	t *testing.T
}

func dialer() *websocket.Dialer {
	return &websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: patience}
}

// dial opens a socket.
func (s *sockets) dial(t *testing.T) *client {
	t.Helper()
	c, response := s.dialWith(t, dialer(), nil)
	if c == nil {
		t.Fatalf("the upgrade is refused with %d", response.status)
	}
	return c
}

// dialWith opens a socket or returns the answer that refuses it.
func (s *sockets) dialWith(t *testing.T, d *websocket.Dialer, header http.Header) (*client, reply) {
	t.Helper()
	conn, response, err := d.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/graphql", header)
	if errors.Is(err, websocket.ErrBadHandshake) {
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body) // gorilla keeps the first kilobyte
		if err != nil {
			t.Fatal(err)
		}
		return nil, reply{response.StatusCode, response.Header, string(body)}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{conn, t}, reply{}
}

// begin opens a socket and initialises it.
func (s *sockets) begin(t *testing.T) *client {
	t.Helper()
	c := s.dial(t)
	c.send(`{"type":"connection_init"}`)
	c.want(`{"type":"connection_ack"}`)
	return c
}

func (c *client) send(message string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatalf("send %.80s: %v", message, err)
	}
}

// subscribe starts an operation.
func (c *client) subscribe(id, query string) {
	c.t.Helper()
	encoded, err := json.Marshal(map[string]any{"id": id, "type": "subscribe", "payload": map[string]any{"query": query}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(encoded))
}

// receive returns the next message that is not a ping.
func (c *client) receive() (string, error) {
	for {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, message, err := c.ReadMessage()
		if err != nil || string(message) != `{"type":"ping"}` {
			return string(message), err
		}
	}
}

func (c *client) want(message string) {
	c.t.Helper()
	if got, err := c.receive(); err != nil || got != message {
		c.t.Fatalf("received %s (%v), want %s", got, err, message)
	}
}

// wantClose expects the close frame and nothing before it.
func (c *client) wantClose(code int, reason string) {
	c.t.Helper()
	message, err := c.receive()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Text != reason {
		c.t.Fatalf("received %s (%v), want to be closed with %d %s", message, err, code, reason)
	}
}

// wantCut expects the connection to end, whatever comes before.
func (c *client) wantCut() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.t.Fatal("the connection goes on")
			}
			return
		}
	}
}

func nextMessage(id, data string) string {
	return fmt.Sprintf(`{"id":%q,"type":"next","payload":{"data":%s}}`, id, data)
}

func completeMessage(id string) string { return fmt.Sprintf(`{"id":%q,"type":"complete"}`, id) }

func errorMessage(id, message, code string) string {
	return fmt.Sprintf(`{"id":%q,"type":"error","payload":[{"message":%q,"extensions":{"code":%q}}]}`, id, message, code)
}

// eventually waits for a condition that no signal tells of.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s does not come true", what)
		}
	}
}
