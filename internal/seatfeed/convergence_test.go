package seatfeed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"marquee/internal/seatfeed"
)

// act is one thing that happens in a scenario.
type act struct {
	kind string
	who  int           // a seat or a client, modulo how many there are
	what int           // a state, or how many events
	time time.Duration // of a hold, a read, or to let pass
	flag bool
}

func (a act) String() string {
	return fmt.Sprintf("{%s who=%d what=%d time=%s flag=%t}", a.kind, a.who, a.what, a.time, a.flag)
}

func drawActs(t *rapid.T) []act {
	kinds := []string{
		"see", "see", "see", "see", "see", "see", "see", "see",
		"set", "set and hint", "set and hint", "hold and hint", "hint",
		"receive", "receive", "receive all", "pass", "pass", "pass long",
		"join", "leave", "gap", "lose hints", "fail", "slow",
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
		return act{
			kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			who:  rapid.IntRange(0, 59).Draw(t, "who"),
			what: rapid.IntRange(0, 3).Draw(t, "what"),
			time: time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond,
			flag: rapid.Bool().Draw(t, "flag"),
		}
	}), 20, 120).Draw(t, "acts")
}

// E3: whatever changes, is lost or fails, and however slowly clients receive,
// each ends with the map as the source has it, and each event applies to what
// the client has.
func TestFeed_followersConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		acts := drawActs(rt)
		size := rapid.IntRange(1, 6).Draw(rt, "seats")
		var err error
		synctest.Test(t, func(t *testing.T) { err = perform(t.Context(), size, acts) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func perform(ctx context.Context, size int, acts []act) error {
	show := uuid.New()
	h, w := newHouse(size, show), &wire{}
	feed, err := seatfeed.New(seatfeed.Config{Source: h.read, Bus: w})
	if err != nil {
		return err
	}
	defer feed.Close()

	var clients []*client
	join := func() error {
		ctx, cancel := context.WithCancel(ctx)
		events, err := feed.Watch(ctx, show)
		if err != nil {
			cancel()
			return err
		}
		clients = append(clients, &client{events: events, leave: cancel})
		return nil
	}
	if err := join(); err != nil {
		return err
	}

	for _, a := range acts {
		seatNo, c := 1+a.who%size, clients[a.who%len(clients)]
		var err error
		switch a.kind {
		case "set":
			h.set(show, seatNo, seatfeed.State(a.what))
		case "set and hint":
			h.set(show, seatNo, seatfeed.State(a.what))
			feed.Hint(show)
		case "see":
			h.set(show, seatNo, seatfeed.State(a.what%2))
			feed.Hint(show)
			advance(window)
		case "hold and hint":
			h.hold(show, seatNo, 100*a.time)
			feed.Hint(show)
		case "hint":
			feed.Hint(show)
		case "receive":
			err = c.receive(a.what)
		case "receive all":
			for _, c := range clients {
				err = errors.Join(err, c.receive(2))
			}
		case "pass":
			advance(a.time)
		case "pass long":
			advance(20 * a.time)
		case "join":
			// Where a follower lives, joining needs no read.
			err = join()
		case "leave":
			if len(clients) > 1 {
				c.leave()
				clients = slices.DeleteFunc(clients, func(other *client) bool { return other == c })
			}
		case "gap":
			w.gap()
		case "lose hints":
			w.lose(a.flag)
		case "fail":
			if h.fail(nil); a.flag {
				h.fail(errBroken)
			}
		case "slow":
			if h.slow(0); a.flag {
				h.slow(a.time)
			}
		}
		if err != nil {
			return fmt.Errorf("at %s: %w", a, err)
		}
	}

	// Nothing more is hinted: back-off and safety net have to find the rest.
	h.fail(nil)
	advance(40 * time.Second)
	want := h.states(show)
	for i, c := range clients {
		if err := c.receive(2); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
		if !slices.Equal(c.states, want) {
			return fmt.Errorf("client %d ends with\n%v, the source with\n%v", i, c.states, want)
		}
	}
	reads := h.reads(show)
	for i, read := range reads[1:] {
		if rest := read.began.Sub(reads[i].ended); rest < window {
			return fmt.Errorf("read %d began %s after the one before it", i+1, rest)
		}
	}
	return nil
}
