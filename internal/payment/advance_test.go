package payment_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// TestService_AdvanceTx takes every step from every state: the tables move along the edges and nowhere else.
func TestService_AdvanceTx(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	for _, from := range states {
		for _, to := range states {
			t.Run(string(from)+"_to_"+string(to), func(t *testing.T) {
				a := l.in(t, from)
				next, err := l.advance(t, a, payment.Step{To: to, DeclineCode: "a code", Reference: "a reference"})
				want, allowed := to, slices.Contains(edges[from], to)
				if !allowed {
					want = from
				}
				if (err == nil) != allowed || errors.Is(err, payment.ErrMoved) {
					t.Errorf("error %v, allowed %t", err, allowed)
				}
				read, err := l.Attempt(t.Context(), a.ShowtimeID, a.ID)
				if err != nil || read.Status != want {
					t.Errorf("the attempt is %s, %v; want %s", read.Status, err, want)
				}
				if allowed && (next != read || read.DeclineCode != "a code") {
					t.Errorf("returned %+v, stored %+v", next, read)
				}
				p := l.payment(t, a)
				refunded := nzd(0)
				if want == payment.AttemptRefunded {
					refunded = nzd(price)
				}
				if p.Status != paymentIn[want] || p.Refunded != refunded || p.Amount != nzd(price) {
					t.Errorf("the payment is %+v, want %s", p, paymentIn[want])
				}
			})
		}
	}
	t.Run("from_a_state_that_is_past", func(t *testing.T) {
		stale := l.in(t, payment.AttemptStarted)
		if _, err := l.advance(t, stale, payment.Step{To: payment.AttemptAuthorized, Reference: "first"}); err != nil {
			t.Fatal(err)
		}
		for _, to := range edges[payment.AttemptStarted] {
			if _, err := l.advance(t, stale, payment.Step{To: to}); !errors.Is(err, payment.ErrMoved) {
				t.Errorf("to %s: error %v, want ErrMoved", to, err)
			}
		}
	})
	t.Run("of_an_attempt_that_is_not_there", func(t *testing.T) {
		a := l.in(t, payment.AttemptStarted)
		a.ID = typeid.New()
		if _, err := l.advance(t, a, payment.Step{To: payment.AttemptAuthorized}); !errors.Is(err, payment.ErrMoved) {
			t.Errorf("error %v, want ErrMoved", err)
		}
	})
	t.Run("a_payment_out_of_step_stops_it", func(t *testing.T) {
		a := l.in(t, payment.AttemptAuthorized)
		l.Exec(t, `UPDATE payments SET status = 'FAILED' WHERE id = $1`, a.PaymentID)
		if _, err := l.advance(t, a, payment.Step{To: payment.AttemptCaptured}); !errors.Is(err, payment.ErrMoved) {
			t.Errorf("error %v, want ErrMoved", err)
		}
		if read, err := l.Attempt(t.Context(), a.ShowtimeID, a.ID); err != nil || read.Status != payment.AttemptAuthorized {
			t.Errorf("the attempt is %s, %v: half a step was taken", read.Status, err)
		}
	})
	t.Run("what_is_known_is_not_forgotten", func(t *testing.T) {
		a, err := l.advance(t, l.in(t, payment.AttemptStarted), payment.Step{To: payment.AttemptVoidPending, Reference: "ref", DeclineCode: "why"})
		if err != nil {
			t.Fatal(err)
		}
		if a, err = l.advance(t, a, payment.Step{To: payment.AttemptVoided}); err != nil || a.DeclineCode != "why" {
			t.Errorf("declined because %q, %v", a.DeclineCode, err)
		}
		if ref := fixture.Get[string](t, l.DB, `SELECT gateway_reference FROM payment_attempts WHERE id = $1`, a.ID); ref != "ref" {
			t.Errorf("the gateway's reference is %q", ref)
		}
	})
	t.Run("of_many_at_once_one_is_taken", func(t *testing.T) {
		a := l.in(t, payment.AttemptStarted)
		var mu sync.Mutex
		taken := map[payment.AttemptStatus]int{}
		var all sync.WaitGroup
		for i := range 20 {
			to := edges[payment.AttemptStarted][i%3]
			all.Go(func() {
				if _, err := l.advance(t, a, payment.Step{To: to}); err == nil {
					mu.Lock()
					defer mu.Unlock()
					taken[to]++
				} else if !errors.Is(err, payment.ErrMoved) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		read, err := l.Attempt(t.Context(), a.ShowtimeID, a.ID)
		if err != nil || len(taken) != 1 || taken[read.Status] != 1 {
			t.Errorf("taken %v, and it is %s, %v", taken, read.Status, err)
		}
	})
}

// TestService_AdvanceTx_of_stray_money follows a payment of which a gateway has taken the money of an attempt by itself.
func TestService_AdvanceTx_of_stray_money(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	const (
		authorized, captured = payment.AttemptAuthorized, payment.AttemptCaptured
		refunding, refunded  = payment.AttemptRefundPending, payment.AttemptRefunded
	)
	type move struct {
		attempt int // 0 is the stray one
		to      payment.AttemptStatus
		payment payment.Status // where it stands then
	}
	const (
		pending, paid    = payment.StatusPending, payment.StatusCaptured
		goesBack, isBack = payment.StatusRefundPending, payment.StatusRefunded
	)
	for name, moves := range map[string][]move{
		"alone": {{0, refunding, goesBack}, {0, refunded, isBack}},
		"after_a_void_that_came_too_late": {
			{0, payment.AttemptVoidPending, pending}, {0, refunding, goesBack}, {0, refunded, isBack},
		},
		"back_before_another_pays": {
			{0, refunding, goesBack}, {0, refunded, isBack}, {1, authorized, isBack}, {1, captured, paid},
		},
		"back_after_another_has_paid": {
			{0, refunding, goesBack}, {1, authorized, goesBack}, {1, captured, paid}, {0, refunded, paid},
		},
		"noticed_after_another_has_paid": {
			{0, payment.AttemptVoidPending, pending}, {1, authorized, pending}, {1, captured, paid}, {0, refunding, paid}, {0, refunded, paid},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := l.opening(t)
			first, err := l.open(t, o)
			if err != nil {
				t.Fatal(err)
			}
			attempts := []payment.Attempt{first}
			for i, m := range moves {
				if m.attempt == len(attempts) {
					o.IdempotencyKey = typeid.New().String()
					another, err := l.open(t, o)
					if err != nil {
						t.Fatal(err)
					}
					attempts = append(attempts, another)
				}
				next, err := l.advance(t, attempts[m.attempt], payment.Step{To: m.to})
				if err != nil {
					t.Fatalf("move %d: %v", i, err)
				}
				attempts[m.attempt] = next
				p, back := l.payment(t, next), int64(0)
				if m.payment == isBack {
					back = price
				}
				if p.Status != m.payment || p.Refunded != nzd(back) {
					t.Errorf("after move %d the payment is %+v, want %s", i, p, m.payment)
				}
			}
		})
	}
	t.Run("at_another_price", func(t *testing.T) {
		t.Parallel()
		o := l.opening(t)
		stray, err := l.open(t, o)
		if err != nil {
			t.Fatal(err)
		}
		if stray, err = l.advance(t, stray, payment.Step{To: payment.AttemptVoidPending}); err != nil {
			t.Fatal(err)
		}
		o.Amount, o.IdempotencyKey = nzd(price/2), typeid.New().String()
		good, err := l.open(t, o)
		if err != nil {
			t.Fatal(err)
		}
		if p := l.payment(t, good); p.Amount != nzd(price/2) {
			t.Errorf("%s is to be paid, want half of %s", p.Amount.Formatted(), nzd(price).Formatted())
		}
		for _, to := range []payment.AttemptStatus{authorized, captured} {
			if good, err = l.advance(t, good, payment.Step{To: to}); err != nil {
				t.Fatal(err)
			}
		}
		for _, to := range []payment.AttemptStatus{refunding, refunded} {
			if stray, err = l.advance(t, stray, payment.Step{To: to}); err != nil {
				t.Fatal(err)
			}
		}
		// What goes back is what was taken, and what is paid is what it costs.
		if read, err := l.Attempt(t.Context(), stray.ShowtimeID, stray.ID); err != nil || read.Amount != nzd(price) {
			t.Errorf("%+v, %v", read, err)
		}
		if p := l.payment(t, good); p.Status != paid || p.Amount != nzd(price/2) || p.Refunded != nzd(0) {
			t.Errorf("the payment is %+v", p)
		}
	})
	t.Run("at_another_price_while_it_goes_back", func(t *testing.T) {
		t.Parallel()
		o := l.opening(t)
		stray, err := l.open(t, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.advance(t, stray, payment.Step{To: refunding}); err != nil {
			t.Fatal(err)
		}
		o.Amount, o.IdempotencyKey = nzd(price/2), typeid.New().String()
		good, err := l.open(t, o)
		if err != nil {
			t.Fatal(err)
		}
		// The payment tells of the money that is on its way back until the other is taken.
		if p := l.payment(t, good); p.Status != goesBack || p.Amount != nzd(price) || good.Amount != nzd(price/2) {
			t.Errorf("the payment is %+v with the attempt %+v", p, good)
		}
	})
	t.Run("of_a_payment_that_had_failed", func(t *testing.T) {
		t.Parallel()
		a := l.in(t, payment.AttemptVoidPending)
		l.Exec(t, `UPDATE payments SET status = 'FAILED' WHERE id = $1`, a.PaymentID)
		for _, to := range []payment.AttemptStatus{refunding, refunded} {
			var err error
			if a, err = l.advance(t, a, payment.Step{To: to}); err != nil {
				t.Fatal(err)
			}
		}
		if p := l.payment(t, a); p.Status != isBack || p.Refunded != nzd(price) {
			t.Errorf("the payment is %+v", p)
		}
	})
}

// TestP6_Service_AdvanceTx_in_any_order brings the same events of one attempt late, doubled and out of order: it moves along
// the edges and never back.
func TestP6_Service_AdvanceTx_in_any_order(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	rapid.Check(t, func(rt *rapid.T) {
		a := l.in(t, payment.AttemptStarted)
		stands := payment.AttemptStarted
		for _, event := range rapid.SliceOfN(rapid.SampledFrom(states), 1, 8).Draw(rt, "events") {
			seen := rapid.SampledFrom([]payment.AttemptStatus{stands, payment.AttemptStarted, payment.AttemptAuthorized}).Draw(rt, "as seen")
			claimed := a
			claimed.Status = seen
			_, err := l.advance(t, claimed, payment.Step{To: event})
			possible := seen == stands && slices.Contains(edges[stands], event)
			if (err == nil) != possible {
				rt.Fatalf("%s to %s, seen as %s: %v", stands, event, seen, err)
			}
			if possible {
				stands = event
			}
		}
		if read, err := l.Attempt(t.Context(), a.ShowtimeID, a.ID); err != nil || read.Status != stands {
			rt.Fatalf("it is %s, %v; want %s", read.Status, err, stands)
		}
		if p := l.payment(t, a); p.Status != paymentIn[stands] {
			rt.Fatalf("the payment is %s, want %s", p.Status, paymentIn[stands])
		}
	})
}

// Money that a gateway took without being asked goes back, and does not stand in the way of what another attempt takes
// in order.
func TestService_AdvanceTx_stray_money_goes_back_beside_a_capture(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	o := l.opening(t)
	stray, err := l.open(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if stray, err = l.advance(t, stray, payment.Step{To: payment.AttemptVoidPending}); err != nil {
		t.Fatal(err)
	}
	if stray, err = l.advance(t, stray, payment.Step{To: payment.AttemptRefundPending}); err != nil {
		t.Fatal(err)
	}
	o.IdempotencyKey = typeid.New().String()
	good, err := l.open(t, o)
	for _, to := range []payment.AttemptStatus{payment.AttemptAuthorized, payment.AttemptCaptured} {
		if err == nil {
			good, err = l.advance(t, good, payment.Step{To: to})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.advance(t, stray, payment.Step{To: payment.AttemptRefunded}); err != nil {
		t.Fatal(err)
	}
	if p := l.payment(t, good); p.Status != payment.StatusCaptured || p.Refunded != nzd(0) {
		t.Errorf("the payment is %+v, want CAPTURED with nothing refunded", p)
	}
}
