package gqlclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"marquee/internal/apperr"
	"marquee/internal/gqlclient"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// script is the server's side of one connection.
type script func(t *testing.T, socket *websocket.Conn)

const begin = `{"type":"connection_ack"}`

// follow serves one connection by a script; the test ends only when the script has.
func follow(t *testing.T, play script) gqlclient.Client {
	t.Helper()
	over := make(chan struct{})
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		upgrader := websocket.Upgrader{Subprotocols: []string{"graphql-transport-ws"}}
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer socket.Close()
		_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		play(t, socket)
	}))
	t.Cleanup(func() { <-over })
	return client
}

func send(t *testing.T, socket *websocket.Conn, text string) {
	t.Helper()
	if err := socket.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Errorf("send %s: %v", text, err)
	}
}

func expect(t *testing.T, socket *websocket.Conn, want string) {
	t.Helper()
	_, got, err := socket.ReadMessage()
	if err != nil || string(got) != want {
		t.Errorf("received %s, %v, not %s", got, err, want)
	}
}

// accept plays the beginning of every subscription.
func accept(t *testing.T, socket *websocket.Conn) {
	t.Helper()
	expect(t, socket, `{"type":"connection_init"}`)
	send(t, socket, begin)
	expect(t, socket, `{"id":"1","type":"subscribe","payload":{"query":"subscription{n}"}}`)
}

func event(t *testing.T, socket *websocket.Conn, n int) {
	t.Helper()
	send(t, socket, fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"n":%d}}}`, n))
}

// untilClosed reads to the end of the connection and returns the code of the client's close frame.
func untilClosed(socket *websocket.Conn) int {
	for {
		_, _, err := socket.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return closed.Code
		}
		if err != nil {
			return 0
		}
	}
}

func subscribe(t *testing.T, client gqlclient.Client) *gqlclient.Subscription {
	t.Helper()
	s, err := client.Subscribe(t.Context(), "subscription{n}", nil)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

func next(t *testing.T, s *gqlclient.Subscription) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out struct{ N int }
	err := s.Next(ctx, &out)
	return out.N, err
}

func TestClient_Subscribe(t *testing.T) {
	t.Parallel()

	t.Run("introduces the viewer and passes variables", func(t *testing.T) {
		t.Parallel()
		client := follow(t, func(t *testing.T, socket *websocket.Conn) {
			expect(t, socket, `{"type":"connection_init","payload":{"Authorization":"Bearer mqs_secret"}}`)
			send(t, socket, `{"type":"ping"}`)
			expect(t, socket, `{"type":"pong"}`)
			send(t, socket, begin)
			expect(t, socket, `{"id":"1","type":"subscribe","payload":{"query":"subscription{n}","variables":{"a":1}}}`)
			untilClosed(socket)
		})
		client.Token = "mqs_secret"
		s, err := client.Subscribe(t.Context(), "subscription{n}", map[string]int{"a": 1})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	})

	t.Run("a refused upgrade keeps its status and code", func(t *testing.T) {
		t.Parallel()
		client := serve(t, &exchange{
			status: http.StatusTooManyRequests, answer: `{"errors":[{"message":"No.","extensions":{"code":"THROTTLED"}}]}`,
		})
		_, err := client.Subscribe(t.Context(), "subscription{n}", nil)
		failed, ok := errors.AsType[*gqlclient.Error](err)
		if !ok || failed.Status != http.StatusTooManyRequests || gqlclient.CodeOf(err) != apperr.Throttled {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a server without the subprotocol is refused", func(t *testing.T) {
		t.Parallel()
		client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var upgrader websocket.Upgrader
			if socket, err := upgrader.Upgrade(w, r, nil); err == nil {
				_ = socket.Close()
			}
		}))
		if _, err := client.Subscribe(t.Context(), "subscription{n}", nil); err == nil {
			t.Error("it was accepted")
		}
	})

	t.Run("a refused session is the close code", func(t *testing.T) {
		t.Parallel()
		client := follow(t, func(_ *testing.T, socket *websocket.Conn) {
			_ = socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4403, "Forbidden"))
			untilClosed(socket)
		})
		_, err := client.Subscribe(t.Context(), "subscription{n}", nil)
		closed, ok := errors.AsType[*gqlclient.CloseError](err)
		if !ok || closed.Code != 4403 || closed.Reason != "Forbidden" {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a server that never acknowledges costs until the context ends", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		client := follow(t, func(t *testing.T, socket *websocket.Conn) {
			expect(t, socket, `{"type":"connection_init"}`)
			cancel()
			untilClosed(socket)
		})
		if _, err := client.Subscribe(ctx, "subscription{n}", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSubscription_Next(t *testing.T) {
	t.Parallel()

	t.Run("events in order, then the end", func(t *testing.T) {
		t.Parallel()
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			event(t, socket, 1)
			send(t, socket, `{"type":"ping","payload":{"a":1}}`)
			expect(t, socket, `{"type":"pong","payload":{"a":1}}`)
			event(t, socket, 2)
			send(t, socket, `{"id":"1","type":"complete"}`)
			untilClosed(socket)
		}))
		for want := 1; want <= 2; want++ {
			if got, err := next(t, s); err != nil || got != want {
				t.Errorf("event %d, %v, not %d", got, err, want)
			}
		}
		for range 2 {
			if _, err := next(t, s); !errors.Is(err, io.EOF) {
				t.Errorf("after the end: %v", err)
			}
		}
	})

	t.Run("a failed operation", func(t *testing.T) {
		t.Parallel()
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			send(t, socket, `{"id":"1","type":"error","payload":[{"message":"No.","extensions":{"code":"NOT_FOUND"}}]}`)
			untilClosed(socket)
		}))
		if _, err := next(t, s); gqlclient.CodeOf(err) != apperr.NotFound {
			t.Errorf("got %v", err)
		}
	})

	t.Run("an event with errors is not the end", func(t *testing.T) {
		t.Parallel()
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			send(t, socket, `{"id":"1","type":"next","payload":{"data":{"n":1},"errors":[{"message":"No."}]}}`)
			event(t, socket, 2)
			untilClosed(socket)
		}))
		got, err := next(t, s)
		if _, ok := errors.AsType[*gqlclient.Error](err); !ok || got != 1 {
			t.Errorf("got %d, %v", got, err)
		}
		if got, err := next(t, s); err != nil || got != 2 {
			t.Errorf("got %d, %v", got, err)
		}
	})

	t.Run("the close code of a server that goes away", func(t *testing.T) {
		t.Parallel()
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			event(t, socket, 1)
			_ = socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1012, "Service restart"))
			untilClosed(socket)
		}))
		if got, err := next(t, s); err != nil || got != 1 {
			t.Errorf("got %d, %v", got, err)
		}
		_, err := next(t, s)
		if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != 1012 {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a connection that breaks is code 1006", func(t *testing.T) {
		t.Parallel()
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			_ = socket.Close()
		}))
		_, err := next(t, s)
		if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != 1006 {
			t.Errorf("got %v", err)
		}
	})

	for name, text := range map[string]string{
		"an event of another operation": `{"id":"2","type":"next","payload":{"data":{}}}`,
		"an unknown type":               `{"id":"1","type":"data","payload":{}}`,
		"no JSON":                       `next`,
	} {
		t.Run(name+" breaks the protocol", func(t *testing.T) {
			t.Parallel()
			s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
				accept(t, socket)
				send(t, socket, text)
				untilClosed(socket)
			}))
			if _, err := next(t, s); err == nil {
				t.Error("it was taken")
			}
		})
	}

	t.Run("an event that was not waited for comes with the next call", func(t *testing.T) {
		t.Parallel()
		wanted := make(chan struct{})
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			<-wanted
			event(t, socket, 1)
			untilClosed(socket)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Next(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(wanted)
		if got, err := next(t, s); err != nil || got != 1 {
			t.Errorf("got %d, %v", got, err)
		}
	})

	t.Run("pings are answered while nobody reads", func(t *testing.T) {
		t.Parallel()
		const events = 200
		answered := make(chan struct{})
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			for n := range events {
				event(t, socket, n)
			}
			send(t, socket, `{"type":"ping"}`)
			expect(t, socket, `{"type":"pong"}`)
			close(answered)
			untilClosed(socket)
		}))
		<-answered
		for want := range events {
			if got, err := next(t, s); err != nil || got != want {
				t.Fatalf("event %d, %v, not %d", got, err, want)
			}
		}
	})
}

func TestSubscription_Close(t *testing.T) {
	t.Parallel()

	t.Run("completes the operation and says goodbye", func(t *testing.T) {
		t.Parallel()
		code := make(chan int, 1)
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			expect(t, socket, `{"id":"1","type":"complete"}`)
			code <- untilClosed(socket)
		}))
		s.Close()
		s.Close()
		if got := <-code; got != websocket.CloseNormalClosure {
			t.Errorf("closed with %d", got)
		}
		if _, err := next(t, s); err == nil {
			t.Error("an event after the end")
		}
	})

	t.Run("does not wait for a reader that is far behind", func(t *testing.T) {
		t.Parallel()
		s := subscribe(t, follow(t, func(t *testing.T, socket *websocket.Conn) {
			accept(t, socket)
			for n := range 400 {
				event(t, socket, n)
			}
			untilClosed(socket)
		}))
		if got, err := next(t, s); err != nil || got != 0 {
			t.Errorf("got %d, %v", got, err)
		}
		s.Close()
	})
}
