package seatfeed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"marquee/internal/seatfeed"
)

const (
	available = int(seatfeed.Available)
	held      = int(seatfeed.Held)
	taken     = int(seatfeed.Taken)
)

func TestFeed_Watch(t *testing.T) {
	t.Parallel()

	t.Run("begins with the whole map and goes on with what changes", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.set(s.show, 2, seatfeed.Taken)
			c := s.watch()
			s.wantEvent(c, seatfeed.Event{Snapshot: true, Version: 1, States: []seatfeed.State{0, seatfeed.Taken, 0, 0}})
			advance(window)

			s.change(3, seatfeed.Held)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(3, held)})
			s.house.set(s.show, 3, seatfeed.Taken)
			s.house.set(s.show, 1, seatfeed.Blocked)
			s.feed.Hint(s.show)
			advance(window)
			s.wantEvent(c, seatfeed.Event{FromVersion: 2, Version: 3, Changes: changes(1, int(seatfeed.Blocked), 3, taken)})
			s.wantNothing(c)
		})
	})

	t.Run("is silent when a hint turns out to be about nothing", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.feed.Hint(s.show)
			advance(window)
			s.wantReads(2)
			s.wantNothing(c)
			s.change(1, seatfeed.Held)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, held)})
		})
	})

	t.Run("of one showtime hears nothing of another", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.feed.Hint(uuid.New())
			advance(window)
			s.wantReads(1)
			s.wantNothing(c)
		})
	})

	t.Run("shares one read among all that arrive together", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.slow(time.Second)
			var watchers sync.WaitGroup
			for range 100 {
				watchers.Go(func() { s.receive(s.watch()) })
			}
			watchers.Wait()
			s.wantReads(1)
		})
	})

	t.Run("fails when the first read fails, and the next call tries again", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.slow(time.Second)
			s.house.fail(errBroken)
			var watchers sync.WaitGroup
			for range 10 {
				watchers.Go(func() {
					if _, err := s.feed.Watch(s.t.Context(), s.show); !errors.Is(err, errBroken) {
						s.t.Errorf("Watch gave %v, want %v", err, errBroken)
					}
				})
			}
			watchers.Wait()
			s.wantReads(1)
			s.house.fail(nil)
			s.receive(s.watch())
			s.wantReads(2)
		})
	})

	t.Run("never fails twice for one and the same read", func(t *testing.T) {
		t.Parallel()
		var reads atomic.Int64
		source := func(context.Context, uuid.UUID) ([]seatfeed.State, time.Duration, error) {
			return nil, 0, readError(reads.Add(1))
		}
		feed := newFeed(t, seatfeed.Config{Source: source, Bus: &wire{}})
		defer feed.Close()
		show := uuid.New()
		var watchers sync.WaitGroup
		for range 8 {
			watchers.Go(func() {
				var last, this readError
				for range 500 {
					if _, err := feed.Watch(t.Context(), show); !errors.As(err, &this) || this <= last {
						t.Errorf("Watch gave %v after %v", err, last)
						return
					}
					last = this
				}
			})
		}
		watchers.Wait()
	})

	t.Run("gives up waiting with its context and leaves no follower", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.slow(time.Hour)
			ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
			defer cancel()
			if _, err := s.feed.Watch(ctx, s.show); !errors.Is(err, context.DeadlineExceeded) {
				s.t.Errorf("Watch gave %v, want %v", err, context.DeadlineExceeded)
			}
			synctest.Wait()
			s.wantReads(1)
			s.house.slow(0)
			s.receive(s.watch())
		})
	})

	t.Run("sends another snapshot when the number of seats changes", func(t *testing.T) {
		t.Parallel()
		onStage(t, 2, func(s *stage) {
			prompt, slow := s.watchFromNow(), s.watchFromNow()
			s.change(1, seatfeed.Taken)
			s.receive(prompt)
			s.house.resize(s.show, 3)
			s.feed.Hint(s.show)
			advance(window)
			want := seatfeed.Event{Snapshot: true, Version: 3, States: make([]seatfeed.State, 3)}
			s.wantEvent(prompt, want)
			s.wantEvent(slow, want)
		})
	})

	t.Run("refuses a map with more seats than can be numbered", func(t *testing.T) {
		t.Parallel()
		onStage(t, 1<<15, func(s *stage) {
			if _, err := s.feed.Watch(s.t.Context(), s.show); err == nil || !strings.Contains(err.Error(), "32768 seats") {
				s.t.Errorf("Watch gave %v", err)
			}
		})
	})

	t.Run("of a showtime without seats begins with an empty snapshot", func(t *testing.T) {
		t.Parallel()
		onStage(t, 0, func(s *stage) {
			s.wantEvent(s.watch(), seatfeed.Event{Snapshot: true, Version: 1, States: []seatfeed.State{}})
		})
	})
}

func TestFeed_leaving(t *testing.T) {
	t.Parallel()

	t.Run("closes the channel and withdraws what waits in it", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c, other := s.watchFromNow(), s.watchFromNow()
			s.change(1, seatfeed.Taken)
			c.leave()
			synctest.Wait()
			if event, open := <-c.events; open {
				s.t.Errorf("received %+v after leaving", event)
			}
			s.wantEvent(other, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)})
		})
	})

	t.Run("in any order leaves the others watching", func(t *testing.T) {
		t.Parallel()
		onStage(t, 10, func(s *stage) {
			var clients []*client
			for range 10 {
				clients = append(clients, s.watchFromNow())
			}
			for i, leaver := range []int{0, 9, 4, 5, 1} {
				clients[leaver].leave()
				clients[leaver] = nil
				synctest.Wait()
				s.change(i+1, seatfeed.Taken)
				advance(window)
				for _, c := range clients {
					if c != nil {
						s.wantEvent(c, seatfeed.Event{FromVersion: int32(i + 1), Version: int32(i + 2), Changes: changes(i+1, taken)})
					}
				}
			}
		})
	})

	t.Run("ends the follower with the last watcher", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			first, second := s.watchFromNow(), s.watchFromNow()
			first.leave()
			advance(window)
			s.change(1, seatfeed.Taken)
			s.wantReads(2)
			second.leave()
			synctest.Wait()
			s.feed.Hint(s.show)
			s.wire.gap()
			advance(24 * time.Hour)
			s.wantReads(2)

			// A watcher that comes later finds a follower that begins anew.
			s.wantEvent(s.watch(), seatfeed.Event{Snapshot: true, Version: 1, States: []seatfeed.State{seatfeed.Taken, 0, 0, 0}})
		})
	})

	t.Run("during a read interrupts it", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.house.slow(time.Hour)
			s.feed.Hint(s.show)
			synctest.Wait()
			left := time.Now()
			c.leave()
			s.house.slow(0)
			s.receive(s.watch())
			if took := time.Since(left); took != 0 {
				s.t.Errorf("the read went on for %s", took)
			}
		})
	})

	t.Run("while others arrive never loses a watcher", func(t *testing.T) {
		t.Parallel()
		show := uuid.New()
		h, w := newHouse(30, show), &wire{}
		feed := newFeed(t, seatfeed.Config{Source: h.read, Bus: w, Window: time.Microsecond})
		defer feed.Close()

		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				for range 300 {
					ctx, cancel := context.WithCancel(t.Context())
					events, err := feed.Watch(ctx, show)
					if err != nil {
						t.Errorf("Watch: %v", err)
						cancel()
						return
					}
					c := &client{events: events}
					if err := c.apply(<-events); err != nil {
						t.Error(err)
					}
					h.set(show, i+1, 1-c.states[i])
					feed.Hint(show)
					for wanted := 1 - c.states[i]; c.states[i] != wanted; {
						if err := c.apply(<-events); err != nil {
							t.Error(err)
							break
						}
					}
					cancel()
					for range events {
						continue
					}
				}
			})
		}
		clients.Wait()
	})
}

func TestFeed_Hint(t *testing.T) {
	t.Parallel()

	t.Run("is read at once, and a burst once more at the end of the window", func(t *testing.T) {
		t.Parallel()
		onStage(t, 100, func(s *stage) {
			c := s.watchFromNow()
			began := time.Now()
			for seatNo := range 100 {
				s.change(seatNo+1, seatfeed.Held)
				if seatNo == 0 {
					s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, held)})
				}
			}
			if took := time.Since(began); took != 0 {
				s.t.Fatalf("the burst took %s", took)
			}
			s.wantReads(2)
			advance(window - 1)
			s.wantReads(2)
			s.wantNothing(c)
			advance(1)
			s.wantReads(3)
			event := <-c.events
			if len(event.Changes) != 99 {
				s.t.Errorf("the burst came as %+v", event)
			}
			advance(10 * window)
			s.wantReads(3)
		})
	})

	t.Run("during a read is followed by another", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.house.slow(200 * time.Millisecond)
			s.feed.Hint(s.show)
			advance(150 * time.Millisecond)
			s.change(1, seatfeed.Taken) // after the read in progress has looked
			advance(50 * time.Millisecond)
			s.wantReads(2)
			s.wantNothing(c)
			advance(window + 200*time.Millisecond)
			s.wantReads(3)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)})
		})
	})

	t.Run("during the first read is followed by another", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.slow(200 * time.Millisecond)
			time.AfterFunc(150*time.Millisecond, func() {
				s.house.set(s.show, 1, seatfeed.Taken)
				s.feed.Hint(s.show)
			})
			c := s.watch()
			s.receive(c)
			advance(window + 200*time.Millisecond)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)})
		})
	})

	t.Run("under constant fire keeps to one read in a window", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.house.slow(10 * time.Millisecond)
			before := len(s.house.reads(s.show))
			for i := range 1000 {
				s.change(1, seatfeed.State(1+i%2))
				s.receive(c)
				advance(time.Millisecond)
			}
			reads := s.house.reads(s.show)[before:]
			if len(reads) < 15 || len(reads) > 17 {
				s.t.Errorf("%d reads in a second", len(reads))
			}
		})
	})

	t.Run("works on this process when the bus refuses it", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.wire.refuse(errBroken)
			s.change(1, seatfeed.Taken)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)})
		})
	})

	t.Run("that is no showtime's id is ignored", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			for _, payload := range []string{"", "x", strings.Repeat("x", 17), s.show.String()} {
				if err := s.wire.Publish("", []byte(payload)); err != nil {
					s.t.Fatal(err)
				}
			}
			advance(window)
			s.wantReads(1)
			s.wantNothing(c)
		})
	})
}

func TestFeed_withoutHints(t *testing.T) {
	t.Parallel()

	t.Run("a hold that runs out shows at that moment", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.hold(s.show, 2, 10*time.Second)
			s.house.hold(s.show, 3, 12*time.Second)
			c := s.watchFromNow()
			advance(10*time.Second - window - 1)
			s.wantReads(1)
			s.wantNothing(c)
			advance(1)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(2, available)})
			advance(2 * time.Second)
			s.wantEvent(c, seatfeed.Event{FromVersion: 2, Version: 3, Changes: changes(3, available)})
			s.wantReads(3)
		})
	})

	t.Run("a hold that runs out within the window waits for its end", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.hold(s.show, 2, window/2)
			c := s.watch()
			s.receive(c)
			advance(window - 1)
			s.wantReads(1)
			advance(1)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(2, available)})
		})
	})

	t.Run("the safety net reads within half a minute", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.house.set(s.show, 1, seatfeed.Taken)
			advance(26 * time.Second)
			s.wantReads(1)
			advance(4 * time.Second)
			s.wantReads(2)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)})
		})
	})

	t.Run("a gap on the bus has every watched showtime read, a few at a time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			shows := make([]uuid.UUID, 40)
			for i := range shows {
				shows[i] = uuid.New()
			}
			h, w := newHouse(4, shows...), &wire{}
			feed := newFeed(t, seatfeed.Config{Source: h.read, Bus: w, MaxReads: 3})
			defer feed.Close()
			for _, show := range shows {
				if _, err := feed.Watch(t.Context(), show); err != nil {
					t.Fatal(err)
				}
			}
			advance(window)
			h.slow(10 * time.Millisecond)
			w.gap()
			advance(10 * time.Millisecond * 14)
			for _, show := range shows {
				if reads := len(h.reads(show)); reads != 2 {
					t.Errorf("a showtime was read %d times, want 2", reads)
				}
			}
			if most := h.most(); most != 3 {
				t.Errorf("%d reads at once, want 3", most)
			}
		})
	})
}

func TestFeed_failures(t *testing.T) {
	t.Parallel()

	t.Run("of the source leave watchers with what they have, until it recovers", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.house.fail(errBroken)
			s.change(1, seatfeed.Taken)
			advance(time.Minute)
			s.wantNothing(c)
			late := s.watch()
			s.wantEvent(late, seatfeed.Event{Snapshot: true, Version: 1, States: make([]seatfeed.State, 4)})
			s.house.fail(nil)
			advance(5 * time.Second)
			want := seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)}
			s.wantEvent(c, want)
			s.wantEvent(late, want)
		})
	})

	t.Run("are retried ever more slowly, hints or not", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.watchFromNow()
			s.house.fail(errBroken)
			for range 3000 {
				s.feed.Hint(s.show)
				advance(10 * time.Millisecond)
			}
			reads := s.house.reads(s.show)[1:]
			var waits []string
			for i, read := range reads[1:] {
				waits = append(waits, read.began.Sub(reads[i].ended).String())
			}
			want := "100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s 5s 5s"
			if got := strings.Join(waits, " "); got != want {
				s.t.Errorf("the source was tried again after %s, want %s", got, want)
			}
		})
	})

	t.Run("are logged once, and so is the recovery", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			show := uuid.New()
			h := newHouse(4, show)
			var log strings.Builder
			feed := newFeed(t, seatfeed.Config{Source: h.read, Bus: &wire{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if _, err := feed.Watch(t.Context(), show); err != nil {
				t.Fatal(err)
			}
			h.fail(errBroken)
			advance(5 * time.Minute)
			h.fail(nil)
			advance(5 * time.Minute)
			feed.Close()
			for _, once := range []string{"cannot be read", errBroken.Error(), "can be read again"} {
				if n := strings.Count(log.String(), once); n != 1 {
					t.Errorf("the log says %q %d times:\n%s", once, n, log.String())
				}
			}
		})
	})

	t.Run("by panic are failures like others", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			show := uuid.New()
			h, w := newHouse(4, show), &wire{}
			var sick atomic.Bool
			feed := newFeed(t, seatfeed.Config{Bus: w, Source: func(ctx context.Context, id uuid.UUID) ([]seatfeed.State, time.Duration, error) {
				if sick.Load() {
					panic("no such column")
				}
				return h.read(ctx, id)
			}})
			defer feed.Close()
			sick.Store(true)
			if _, err := feed.Watch(t.Context(), show); err == nil || !strings.Contains(err.Error(), "no such column") {
				t.Errorf("Watch gave %v", err)
			}
			sick.Store(false)
			events, err := feed.Watch(t.Context(), show)
			if err != nil {
				t.Fatal(err)
			}
			<-events
			sick.Store(true)
			feed.Hint(show)
			advance(time.Second)
			h.set(show, 1, seatfeed.Taken)
			sick.Store(false)
			advance(5 * time.Second)
			if event := <-events; len(event.Changes) != 1 {
				t.Errorf("received %+v", event)
			}
		})
	})

	t.Run("a read that hangs is cut off", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.house.slow(24 * time.Hour)
			s.change(1, seatfeed.Taken)
			advance(5 * time.Second)
			s.wantReads(2)
			s.house.slow(0)
			advance(100 * time.Millisecond)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 2, Changes: changes(1, taken)})
		})
	})
}

func TestFeed_slowWatcher(t *testing.T) {
	t.Parallel()

	t.Run("finds all it has missed in one event", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			for _, change := range changes(3, held, 1, taken, 3, taken) {
				s.change(int(change.SeatNo), change.State)
				advance(window)
			}
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 4, Changes: changes(1, taken, 3, taken)})
			s.wantNothing(c)
			s.change(2, seatfeed.Held)
			s.wantEvent(c, seatfeed.Event{FromVersion: 4, Version: 5, Changes: changes(2, held)})
		})
	})

	t.Run("does not hear of a seat that is back where it was", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			for _, change := range changes(1, held, 2, held, 1, available) {
				s.change(int(change.SeatNo), change.State)
				advance(window)
			}
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 4, Changes: changes(2, held)})
		})
	})

	t.Run("hears nothing when all is as it was, and goes on from what it has", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.change(1, seatfeed.Held)
			advance(window)
			s.change(1, seatfeed.Available)
			advance(window)
			s.wantNothing(c)
			s.change(2, seatfeed.Held)
			advance(window)
			s.wantEvent(c, seatfeed.Event{FromVersion: 1, Version: 4, Changes: changes(2, held)})
		})
	})

	t.Run("that has nothing yet gets the latest map", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watch()
			advance(window)
			s.change(1, seatfeed.Held)
			advance(window)
			s.change(2, seatfeed.Taken)
			s.wantEvent(c, seatfeed.Event{Snapshot: true, Version: 3, States: []seatfeed.State{seatfeed.Held, seatfeed.Taken, 0, 0}})
			s.wantNothing(c)
		})
	})

	// E5: one of 200 stops reading.
	t.Run("among two hundred delays none and keeps one event", func(t *testing.T) {
		t.Parallel()
		onStage(t, 300, func(s *stage) {
			stuck := s.watchFromNow()
			prompt := make([]*client, 199)
			for i := range prompt {
				prompt[i] = s.watch()
				s.receive(prompt[i])
			}
			const rounds = 500
			for i := range rounds {
				s.change(1+i%300, seatfeed.State(1+(i+i/300)%3))
				advance(window)
				for _, c := range prompt {
					s.receive(c)
					if c.version != int32(i+2) {
						s.t.Fatalf("a window after change %d a client has version %d", i+1, c.version)
					}
				}
			}
			if waiting := len(stuck.events); waiting != 1 {
				s.t.Errorf("%d events wait for the stuck client", waiting)
			}
			s.receive(stuck)
			if stuck.version != rounds+1 || !slices.Equal(stuck.states, s.house.states(s.show)) {
				s.t.Errorf("the stuck client ends with version %d and\n%v, want version %d and\n%v",
					stuck.version, stuck.states, rounds+1, s.house.states(s.show))
			}
		})
	})
}

func TestFeed_Close(t *testing.T) {
	t.Parallel()

	t.Run("closes every channel, and Watch from then on fails", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			c := s.watchFromNow()
			s.change(1, seatfeed.Taken)
			s.feed.Close()
			if event, open := <-c.events; open {
				s.t.Errorf("received %+v after Close", event)
			}
			c.leave()
			if _, err := s.feed.Watch(s.t.Context(), s.show); !errors.Is(err, seatfeed.ErrClosed) {
				s.t.Errorf("Watch gave %v, want %v", err, seatfeed.ErrClosed)
			}
			s.feed.Hint(s.show)
			s.wire.gap()
			s.feed.Close()
		})
	})

	t.Run("fails a Watch that waits", func(t *testing.T) {
		t.Parallel()
		onStage(t, 4, func(s *stage) {
			s.house.slow(time.Hour)
			failed := make(chan error)
			go func() {
				_, err := s.feed.Watch(s.t.Context(), s.show)
				failed <- err
			}()
			synctest.Wait()
			go s.feed.Close()
			if err := <-failed; !errors.Is(err, seatfeed.ErrClosed) {
				s.t.Errorf("Watch gave %v, want %v", err, seatfeed.ErrClosed)
			}
		})
	})
}

func TestNew(t *testing.T) {
	t.Parallel()
	source := newHouse(0).read

	if _, err := seatfeed.New(seatfeed.Config{Source: source}); err == nil {
		t.Error("a feed without a bus was accepted")
	}
	if _, err := seatfeed.New(seatfeed.Config{Bus: &wire{}}); err == nil {
		t.Error("a feed without a source was accepted")
	}
	if _, err := seatfeed.New(seatfeed.Config{Source: source, Bus: &wire{refusal: errBroken}}); !errors.Is(err, errBroken) {
		t.Errorf("New gave %v, want %v", err, errBroken)
	}
}

// readError is the failure of the read with that number.
type readError int64

func (e readError) Error() string { return fmt.Sprintf("read %d failed", int64(e)) }

func TestEvent_Then(t *testing.T) {
	t.Parallel()
	show := uuid.New()
	first := seatfeed.Event{ShowtimeID: show, Snapshot: true, Version: 3, States: []seatfeed.State{seatfeed.Available, seatfeed.Held, seatfeed.Taken}}
	step := seatfeed.Event{ShowtimeID: show, FromVersion: 3, Version: 5, Changes: changes(1, int(seatfeed.Held), 3, int(seatfeed.Blocked))}
	want := seatfeed.Event{ShowtimeID: show, Snapshot: true, Version: 5, States: []seatfeed.State{seatfeed.Held, seatfeed.Held, seatfeed.Blocked}}
	if got := first.Then(step); !reflect.DeepEqual(got, want) {
		t.Errorf("a step leads to %+v, want %+v", got, want)
	}
	if first.States[0] != seatfeed.Available {
		t.Error("the snapshot was changed")
	}
	if got := (seatfeed.Event{}).Then(first); !reflect.DeepEqual(got, first) {
		t.Errorf("a snapshot leads to %+v", got)
	}
}
