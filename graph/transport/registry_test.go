package transport_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/gorilla/websocket"

	"marquee/graph/transport"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRegistry_Drain_closes_with_1012_over_the_window(t *testing.T) {
	const n, window = 20, 400 * time.Millisecond
	registry := &transport.Registry{DrainWindow: window}
	s := newSockets(t, &transport.Websocket{Registry: registry})
	var (
		closed  [n]time.Time
		readers sync.WaitGroup
	)
	for i := range n {
		c := s.begin(t)
		if i%2 == 0 {
			c.subscribe("a", "subscription{ticks}")
			s.next(t)
		}
		readers.Go(func() {
			// No complete may come before the close frame: the client would not subscribe again.
			if message, err := c.receive(); !websocket.IsCloseError(err, 1012) {
				t.Errorf("received %s (%v), want to be closed with 1012", message, err)
			}
			closed[i] = time.Now()
		})
	}
	if got := registry.Len(); got != n {
		t.Errorf("%d sockets are open, want %d", got, n)
	}
	if err := registry.Drain(within(t, patience)); err != nil {
		t.Error(err)
	}
	if got := registry.Len(); got != 0 {
		t.Errorf("%d sockets are left", got)
	}
	readers.Wait()
	first, last := closed[0], closed[0]
	for _, at := range closed {
		if at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if spread := last.Sub(first); spread < window/2 {
		t.Errorf("all were closed within %s, want them spread over %s", spread, window)
	}

	c, refused := s.dialWith(t, dialer(), nil)
	if c != nil || refused.status != http.StatusServiceUnavailable || refused.header.Get("Retry-After") == "" {
		t.Errorf("a new socket is answered with %+v", refused)
	}
	if err := registry.Drain(within(t, patience)); err != nil {
		t.Errorf("a second call: %v", err)
	}
}

func TestRegistry_Drain_of_nothing(t *testing.T) {
	t.Parallel()
	if err := new(transport.Registry).Drain(within(t, patience)); err != nil {
		t.Error(err)
	}
}

func TestRegistry_Drain_reaches_sockets_that_are_not_initialised(t *testing.T) {
	registry := &transport.Registry{DrainWindow: time.Millisecond}
	s := newSockets(t, &transport.Websocket{Registry: registry})
	c := s.dial(t)
	drained := make(chan error, 1)
	go func() { drained <- registry.Drain(within(t, patience)) }()
	c.wantClose(1012, "Service restart")
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestRegistry_Drain_cuts_what_does_not_end(t *testing.T) {
	release := make(chan struct{})
	registry := &transport.Registry{DrainWindow: time.Millisecond}
	s := newSockets(t, &transport.Websocket{Registry: registry}, func(_ *executor.Executor, schema *schema) {
		schema.open = func(context.Context, string, map[string]any) (stream, error) {
			<-release // deaf to its context
			return func(context.Context) (string, bool) { return "", false }, nil
		}
	})
	c := s.begin(t)
	c.subscribe("a", "subscription{ticks}")
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
	if err := registry.Drain(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained with %v", err)
	}
	c.wantCut()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 50 {
		if got := registry.Len(); got != 1 {
			t.Fatalf("%d sockets are left while an operation of one still runs", got)
		}
		<-tick.C
	}
	close(release)
	eventually(t, "the end of the socket", func() bool { return registry.Len() == 0 })
}

func TestRegistry_Drain_without_time(t *testing.T) {
	registry := &transport.Registry{DrainWindow: time.Hour}
	s := newSockets(t, &transport.Websocket{Registry: registry})
	c, d := s.begin(t), s.begin(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := registry.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("drained with %v", err)
	}
	c.wantCut()
	d.wantCut()
}

func TestWebsocket_Do_end_of_the_server_context_is_a_restart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s := newSockets(t, &transport.Websocket{})
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(ctx))
	})
	c := s.begin(t)
	c.subscribe("a", "subscription{ticks}")
	from := s.next(t)
	cancel()
	c.wantClose(1012, "Service restart")
	from.mustEnd(t)
}

func TestRegistry_Drain_while_a_stream_is_shared(t *testing.T) {
	const n = 20
	b := newBoard()
	registry := &transport.Registry{}
	ended := make(chan struct{})
	s := newSockets(t, sharing(&transport.Websocket{Registry: registry}), func(_ *executor.Executor, schema *schema) {
		schema.open = func(ctx context.Context, field string, arguments map[string]any) (stream, error) {
			context.AfterFunc(ctx, func() { close(ended) })
			return b.open(ctx, field, arguments)
		}
	})
	followers := make([]*follower, n)
	for i := range followers {
		followers[i] = s.begin(t).follow("a")
		followers[i].mustReach(0, 0)
	}
	drained := make(chan error, 1)
	go func() { drained <- registry.Drain(within(t, patience)) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		b.step(1)
		select {
		case err := <-drained:
			if err != nil {
				t.Error(err)
			}
			<-ended
			for _, f := range followers {
				for {
					if err := f.next(); err != nil {
						if !websocket.IsCloseError(err, 1012) {
							t.Errorf("ended with %v, want to be closed with 1012", err)
						}
						break
					}
				}
			}
			return
		case <-tick.C:
		}
	}
}
