package ratelimit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/clock"
	"marquee/internal/ratelimit"
)

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ann   = ratelimit.Caller{Viewer: uuid.MustParse("00000000-0000-7000-8000-000000000001"), Address: "192.0.2.1"}
	ben   = ratelimit.Caller{Viewer: uuid.MustParse("00000000-0000-7000-8000-000000000002"), Address: "192.0.2.1"}
	away  = ratelimit.Caller{Viewer: ann.Viewer, Address: "198.51.100.7"}
	rates = ratelimit.Rates{Browse: ratelimit.Rate{Viewer: 10, Address: 30}, Purchase: ratelimit.Rate{Viewer: 2, Address: 4}}
)

// full is what an account can hold at a rate.
func full(rate int) int { return rate * int(ratelimit.Burst/time.Second) }

func TestLimiter_Take(t *testing.T) {
	t.Parallel()
	begin := func() (*ratelimit.Limiter, *clock.Fake) {
		c := clock.NewFake(start)
		return ratelimit.New(c, rates), c
	}
	granted := func(t *testing.T, l *ratelimit.Limiter, lane ratelimit.Lane, who ratelimit.Caller, cost int) ratelimit.Standing {
		t.Helper()
		s, wait := l.Take(lane, who, cost)
		if wait != 0 {
			t.Fatalf("%d points are refused for %s: %+v", cost, wait, s)
		}
		return s
	}
	refused := func(t *testing.T, l *ratelimit.Limiter, lane ratelimit.Lane, who ratelimit.Caller, cost int) time.Duration {
		t.Helper()
		s, wait := l.Take(lane, who, cost)
		if wait <= 0 {
			t.Fatalf("%d points are granted: %+v", cost, s)
		}
		return wait
	}
	t.Run("the_standing_is_that_after_the_charge", func(t *testing.T) {
		t.Parallel()
		l, c := begin()
		want := ratelimit.Standing{Limit: 200, Remaining: 150, PerSecond: 10, FullAt: start.Add(5 * time.Second)}
		if got := granted(t, l, ratelimit.Browse, ann, 50); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		c.Advance(2 * time.Second)
		want.Remaining = 170
		if got := granted(t, l, ratelimit.Browse, ann, 0); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
	t.Run("an_account_holds_no_more_than_its_burst", func(t *testing.T) {
		t.Parallel()
		l, c := begin()
		c.Advance(24 * time.Hour)
		granted(t, l, ratelimit.Browse, ann, full(10))
		refused(t, l, ratelimit.Browse, ann, 1)
	})
	t.Run("the_wait_is_exact", func(t *testing.T) {
		t.Parallel()
		l, c := begin()
		granted(t, l, ratelimit.Browse, ann, full(10))
		wait := refused(t, l, ratelimit.Browse, ann, 25)
		if wait != 2500*time.Millisecond {
			t.Errorf("wait %s", wait)
		}
		c.Advance(wait - 1)
		refused(t, l, ratelimit.Browse, ann, 25)
		c.Advance(1)
		granted(t, l, ratelimit.Browse, ann, 25)
	})
	t.Run("work_dearer_than_an_account_needs_a_full_one", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		if s := granted(t, l, ratelimit.Browse, ann, 1<<30); s.Remaining != 0 {
			t.Errorf("%+v", s)
		}
		if wait := refused(t, l, ratelimit.Browse, ann, 1<<30); wait != ratelimit.Burst {
			t.Errorf("wait %s", wait)
		}
	})
	t.Run("a_refusal_charges_no_account", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		granted(t, l, ratelimit.Browse, away, full(10))
		before := granted(t, l, ratelimit.Browse, ratelimit.Caller{Address: ann.Address}, 0)
		refused(t, l, ratelimit.Browse, ann, 5) // the viewer's is empty, the address's full
		if after := granted(t, l, ratelimit.Browse, ratelimit.Caller{Address: ann.Address}, 0); after != before {
			t.Errorf("the address stood at %+v, and stands at %+v", before, after)
		}
	})
	t.Run("a_viewer_is_one_at_every_address", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		granted(t, l, ratelimit.Browse, ann, full(10))
		refused(t, l, ratelimit.Browse, away, 1)
		granted(t, l, ratelimit.Browse, ben, 1)
	})
	t.Run("viewers_share_their_address", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		for range 3 {
			granted(t, l, ratelimit.Browse, ratelimit.Caller{Viewer: uuid.New(), Address: ann.Address}, full(10))
		}
		refused(t, l, ratelimit.Browse, ben, 1)
		refused(t, l, ratelimit.Browse, ratelimit.Caller{Address: ann.Address}, 1)
		granted(t, l, ratelimit.Browse, away, 1)
	})
	t.Run("an_anonymous_caller_has_the_address_alone", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		if s := granted(t, l, ratelimit.Browse, ratelimit.Caller{Address: ann.Address}, 0); s.Limit != full(30) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("browsing_never_starves_a_purchase", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		granted(t, l, ratelimit.Browse, ann, full(10))
		refused(t, l, ratelimit.Browse, ann, 1)
		granted(t, l, ratelimit.Purchase, ann, full(2))
	})
	t.Run("purchases_never_starve_browsing", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		granted(t, l, ratelimit.Purchase, ann, full(2))
		refused(t, l, ratelimit.Purchase, ann, 1)
		granted(t, l, ratelimit.Browse, ann, full(10))
	})
	t.Run("points_that_no_decimal_fraction_holds", func(t *testing.T) {
		t.Parallel()
		for _, rate := range []int{3, 7, 10, 100, 435, 1_000_000} {
			l := ratelimit.New(clock.NewFake(start), ratelimit.Rates{Browse: ratelimit.Rate{Viewer: rate}})
			for taken := 1; taken <= 20; taken++ {
				if s := granted(t, l, ratelimit.Browse, ann, 1); s.Limit != full(rate) || s.Remaining != full(rate)-taken {
					t.Fatalf("%d a second: %d points of %d remain after %d", rate, s.Remaining, s.Limit, taken)
				}
			}
		}
	})
	t.Run("a_rate_of_zero_limits_nobody", func(t *testing.T) {
		t.Parallel()
		for name, test := range map[string]struct {
			rates ratelimit.Rates
			want  int
		}{
			"none":            {ratelimit.Rates{}, 0},
			"of_the_viewer":   {ratelimit.Rates{Browse: ratelimit.Rate{Address: 30}}, full(30)},
			"of_the_address":  {ratelimit.Rates{Browse: ratelimit.Rate{Viewer: 10}}, full(10)},
			"less_than_zero":  {ratelimit.Rates{Browse: ratelimit.Rate{Viewer: -1, Address: -1}}, 0},
			"of_another_lane": {ratelimit.Rates{Purchase: ratelimit.Rate{Viewer: 1, Address: 1}}, 0},
		} {
			l := ratelimit.New(clock.NewFake(start), test.rates)
			for range 3 {
				if s := granted(t, l, ratelimit.Browse, ann, 1); s.Limit != test.want {
					t.Errorf("%s: %+v", name, s)
				}
			}
		}
	})
	t.Run("nobody_is_limited_without_a_name", func(t *testing.T) {
		t.Parallel()
		l, _ := begin()
		if s := granted(t, l, ratelimit.Browse, ratelimit.Caller{}, 1<<30); s != (ratelimit.Standing{}) {
			t.Errorf("%+v", s)
		}
	})
}

// TestLimiter_Take_at_once lets many ask for more than there is: exactly what there is may be granted.
func TestLimiter_Take_at_once(t *testing.T) {
	t.Parallel()
	l := ratelimit.New(clock.NewFake(start), rates)
	var taken atomic.Int64
	var group sync.WaitGroup
	for i := range 16 {
		who := ratelimit.Caller{Viewer: uuid.New(), Address: ann.Address}
		if i%2 == 0 {
			who = ratelimit.Caller{Address: ann.Address}
		}
		group.Go(func() {
			for range 100 {
				if _, wait := l.Take(ratelimit.Browse, who, 1); wait == 0 {
					taken.Add(1)
				}
			}
		})
	}
	group.Wait()
	if got := int(taken.Load()); got != full(30) {
		t.Errorf("%d points were granted, want %d", got, full(30))
	}
}

// TestLimiter_memory meets more addresses than it remembers.
func TestLimiter_memory(t *testing.T) {
	t.Parallel()
	const perShard = 4
	l := ratelimit.NewSized(clock.NewFake(start), rates, perShard)
	for range 10_000 {
		l.Take(ratelimit.Browse, ratelimit.Caller{Address: uuid.NewString()}, 1)
	}
	if n := l.Accounts(); n > 64*perShard {
		t.Errorf("%d accounts are remembered", n)
	}
	// Who calls all the time is not forgotten.
	busy := ratelimit.Caller{Address: ann.Address}
	l.Take(ratelimit.Browse, busy, full(30))
	for range 10_000 {
		l.Take(ratelimit.Browse, ratelimit.Caller{Address: uuid.NewString()}, 1)
		if _, wait := l.Take(ratelimit.Browse, busy, 1); wait == 0 {
			t.Fatal("the account of a busy address was forgotten")
		}
	}
}

func BenchmarkLimiter_Take(b *testing.B) {
	l := ratelimit.New(clock.System{}, ratelimit.Rates{Browse: ratelimit.Rate{Viewer: 1 << 30, Address: 1 << 30}})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		who := ratelimit.Caller{Viewer: uuid.New(), Address: "192.0.2.1"}
		for p.Next() {
			l.Take(ratelimit.Browse, who, 1)
		}
	})
}
