package seatfeed_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/bus"
	"marquee/internal/seatfeed"
)

// Two processes with their own feeds watch one showtime over a real bus: what
// one of them changes the other's clients see, and what was changed while the
// other was away they see as soon as it is back.
func TestFeed_acrossProcesses(t *testing.T) {
	t.Parallel()
	show := uuid.New()
	h := newHouse(10, show)
	const noSafetyNet = time.Hour

	startBus := func(listen string, peers ...string) *bus.Bus {
		b, err := bus.Start(t.Context(), bus.Config{ClusterListen: listen, Peers: peers, ClusterPassword: "a password for tests"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	// The house takes one read at a time, which is a promise of one feed only.
	reading := make(chan struct{}, 1)
	startFeed := func(b *bus.Bus) *client {
		feed := newFeed(t, seatfeed.Config{Bus: b, SafetyNet: noSafetyNet, Source: serially(reading, h.read)})
		t.Cleanup(feed.Close)
		events, err := feed.Watch(t.Context(), show)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{events: events, hint: func() { feed.Hint(show) }}
		c.until(t, func() bool { return c.version == 1 })
		return c
	}

	busA := startBus("127.0.0.1:0")
	a := startFeed(busA)
	busB := startBus("127.0.0.1:0", "nats-route://"+busA.ClusterAddress())
	b := startFeed(busB)

	// The nodes need not be connected yet: the gap when they are heals what the
	// hint misses.
	h.set(show, 1, seatfeed.Taken)
	a.hint()
	for _, c := range []*client{a, b} {
		c.until(t, func() bool { return c.states[0] == seatfeed.Taken })
	}
	for seatNo := 2; seatNo <= 10; seatNo++ {
		from := []*client{a, b}[seatNo%2]
		h.set(show, seatNo, seatfeed.Held)
		from.hint()
		for _, c := range []*client{a, b} {
			c.until(t, func() bool { return c.states[seatNo-1] == seatfeed.Held })
		}
	}

	if err := busB.Close(); err != nil {
		t.Fatal(err)
	}
	h.set(show, 5, seatfeed.Taken)
	b.hint()
	b.until(t, func() bool { return b.states[4] == seatfeed.Taken })
	c := startFeed(startBus("127.0.0.1:0", "nats-route://"+busA.ClusterAddress()))
	a.until(t, func() bool { return a.states[4] == seatfeed.Taken })
	if c.states[4] != seatfeed.Taken {
		t.Errorf("a client that came later has %v", c.states)
	}
}

func serially(turn chan struct{}, read seatfeed.Source) seatfeed.Source {
	return func(ctx context.Context, id uuid.UUID) ([]seatfeed.State, time.Duration, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		return read(ctx, id)
	}
}

// until applies events until the condition holds.
func (c *client) until(t *testing.T, condition func() bool) {
	t.Helper()
	for !condition() {
		select {
		case event := <-c.events:
			if err := c.apply(event); err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("after half a minute the client has version %d, %v", c.version, c.states)
		}
	}
}
