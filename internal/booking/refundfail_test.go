package booking_test

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// refundOf returns the refund of a reservation that has one.
func (h *house) refundOf(t testing.TB, r booking.Reservation) payment.Refund {
	t.Helper()
	refunds := h.paymentOf(t, r).Refunds
	if len(refunds) != 1 {
		t.Fatalf("%d refunds", len(refunds))
	}
	return refunds[0]
}

func (h *house) chargeOf(t testing.TB, r booking.Reservation) payment.Charge {
	t.Helper()
	return h.gateway.Charges()[h.keyOf(t, r)]
}

// keyOf returns what the gateway knows the charge of a reservation by that has one.
func (h *house) keyOf(t testing.TB, r booking.Reservation) string {
	t.Helper()
	return fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID)
}

// fails makes the next refunds fail.
func (h *house) fails(times int, code string) {
	for range times {
		h.gateway.Next(gatewaytest.Refund, h.gateway.RefundFails(code))
	}
}

// tries is how often a refund is tried before somebody has to decide.
const tries = 5

// TestPM11_failed_refund holds that a refund which fails is tried again under another key, so many times with growing pauses, and
// never shown as done before the gateway says so.
func TestPM11_failed_refund(t *testing.T) {
	t.Parallel()
	for name, cancel := range map[string]func(t *testing.T, h *house) booking.Reservation{
		"of_a_cancellation": func(t *testing.T, h *house) booking.Reservation {
			t.Helper()
			viewer := newViewer()
			r := h.buy(t, viewer, 11)
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			is[booking.Cancelled](t, result, err)
			return r
		},
		"of_what_was_taken_in_vain": func(t *testing.T, h *house) booking.Reservation {
			t.Helper()
			viewer := newViewer()
			r := h.hold(t, viewer, 11)
			h.gateway.Next(gatewaytest.Capture, h.gateway.TakesInstead(nzd(700)))
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Declined](t, result, err)
			h.wantAttempts(t, r, payment.AttemptRefundPending)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{})
			h.fails(tries, "account_closed")
			r := cancel(t, h)
			pause := time.Duration(0)
			for try := int16(2); try <= tries; try++ {
				got := h.refundOf(t, r)
				if got.Status != payment.RefundPending || got.Try != try || got.Shown() != payment.RefundFailed {
					t.Fatalf("before try %d: %+v", try, got)
				}
				if n := h.chargeOf(t, r).Refunded; n.AmountMinor != 0 {
					t.Fatalf("%v went back", n)
				}
				longer := time.Duration(fixture.Get[float64](t, h.DB, `SELECT extract(epoch FROM leased_until - now())::float8 FROM refunds WHERE id = $1`, got.ID) * float64(time.Second))
				if longer <= pause {
					t.Errorf("the pause before try %d is %s, after %s", try, longer, pause)
				}
				pause = longer
				if settled, err := h.booking.Reconcile(t.Context()); err != nil || settled != 0 {
					t.Errorf("%d settled before the pause is over, %v", settled, err)
				}
				h.reconcile(t)
			}
			got := h.refundOf(t, r)
			if got.Status != payment.RefundFailed || got.Try != tries {
				t.Fatalf("after the last try: %+v", got)
			}
			if code := fixture.Get[string](t, h.DB, `SELECT failure_code FROM refunds`); code != "account_closed" {
				t.Errorf("the code is %q", code)
			}
			if found, err := h.payments.FailedRefunds(t.Context(), worker(auth.RoleFinance, auth.Platform), nil); err != nil || len(found) != 1 || found[0].ID != got.ID {
				t.Errorf("finance is told %+v, %v", found, err)
			}
			calls := h.gateway.Count(gatewaytest.Refund)
			if n := h.reconcile(t); n != 0 || h.gateway.Count(gatewaytest.Refund) != calls || calls != tries {
				t.Errorf("%d settled, %d calls; want %d in all", n, h.gateway.Count(gatewaytest.Refund), tries)
			}
		})
	}
}

// TestPM11_tries_beside_each_other holds that of two who drive a refund at once none asks under another key before the try has
// failed: only once does money go back, whoever dies when.
func TestPM11_tries_beside_each_other(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	for name, test := range map[string]struct {
		faults []gatewaytest.Fault
		look   []gatewaytest.Fault
	}{
		"the_answer_of_the_second_try_is_lost": {faults: []gatewaytest.Fault{h.gateway.RefundFails("no"), gatewaytest.AnswerLost}},
		"the_failure_is_not_heard": {faults: []gatewaytest.Fault{func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
			_, err := h.gateway.RefundFails("no")(ctx, key, effect)
			return gatewaytest.Answer{}, err
		}}},
		"the_former_try_cannot_be_looked_up": {
			faults: []gatewaytest.Fault{h.gateway.RefundFails("no")}, look: []gatewaytest.Fault{gatewaytest.NeverArrives},
		},
	} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			r := h.buy(t, viewer, h.fresh(1)...)
			h.gateway.Next(gatewaytest.Refund, test.faults...)
			h.gateway.Next(gatewaytest.LookupRefund, test.look...)
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			is[booking.Cancelled](t, result, err)
			for range 3 {
				h.endLeases(t)
				together(3, func(int) {
					if _, err := h.process(h.gateway, settings).Reconcile(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			h.wantRefunds(t, r, "1200 CUSTOMER DONE")
			if got := h.chargeOf(t, r).Refunded; got != nzd(1200) {
				t.Errorf("%v went back", got)
			}
			h.gateway.Heal()
			h.rests(t)
		})
	}
	t.Run("the_former_try_did_go_back", func(t *testing.T) {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(1)...)
		// The gateway says that it failed, and thinks better of it.
		h.gateway.Next(gatewaytest.Refund, gatewaytest.Says(func(a *gatewaytest.Answer) { a.Refund.Status = payment.RefundFailed }))
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, result, err)
		h.wantRefunds(t, r, "1200 CUSTOMER PENDING")
		calls := h.gateway.Count(gatewaytest.Refund)
		h.reconcile(t)
		h.wantRefunds(t, r, "1200 CUSTOMER DONE")
		if n := h.gateway.Count(gatewaytest.Refund); n != calls {
			t.Errorf("it was asked for %d times more", n-calls)
		}
		h.rests(t)
	})
}

// TestPM10_refunds_by_hand lives 100 histories: seats are given back one by one, while somebody gives back money of the same
// charge at the gateway's dashboard, refunds fail, are pending and are tried again. In the end what went back is, to the minor
// unit, what was promised, less what went by hand twice over, and never more than was captured.
func TestPM10_refunds_by_hand(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 60})
	h.policy(t, freely)
	beyond, parts := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		viewer := newViewer()
		positions := rapid.SliceOfNDistinct(rapid.IntRange(3, 40), 1, 5, rapid.ID[int]).Draw(rt, "seats")
		r := h.buy(t, viewer, positions...)
		key := h.keyOf(t, r)
		byHand := int64(0)
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"cancel", "cancel", "fail", "pend", "lose", "hand", "resolve", "reconcile"}).Draw(rt, "step") {
			case "cancel":
				if seat := rapid.SampledFrom(positions).Draw(rt, "seat"); h.stored(t, r) == "CONFIRMED" {
					result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, seat))
					is[booking.Cancelled](t, result, err)
				}
			case "fail":
				h.fails(1, "account_closed")
			case "pend":
				h.gateway.Next(gatewaytest.Refund, h.gateway.RefundsLater)
			case "lose":
				h.gateway.Next(gatewaytest.Refund, gatewaytest.AnswerLost)
			case "hand":
				amount := nzd(rapid.Int64Range(1, 2000).Draw(rt, "minor"))
				if err := h.gateway.RefundByHand(key, amount); err == nil {
					byHand += amount.AmountMinor
				}
			case "resolve":
				h.gateway.Resolve(key, rapid.Bool().Draw(rt, "well"))
			case "reconcile":
				h.reconcile(t)
			}
			if charge := h.gateway.Charges()[key]; charge.Refunded.AmountMinor > charge.Captured.AmountMinor {
				rt.Fatalf("more went back than was captured: %+v", charge)
			}
		}
		h.gateway.Heal()
		h.gateway.Resolve(key, true)
		for range tries + 2 {
			h.reconcile(t)
		}
		promised, counted := h.promised(t, cancelInput(r)), fixture.Get[int64](t, h.DB, `SELECT coalesce(sum(by_hand_minor), 0) FROM refunds f JOIN payments p ON p.id = f.payment_id
			WHERE p.reservation_id = $1`, r.ID)
		charge := h.gateway.Charges()[key]
		switch {
		case promised-counted+byHand != charge.Refunded.AmountMinor:
			rt.Fatalf("%d promised, %d of it by hand of %d: %+v", promised, counted, byHand, charge)
		case counted > 0 && charge.Refunded != charge.Captured:
			rt.Fatalf("of %d by hand %d count, and there is more left: %+v", byHand, counted, charge)
		case counted > 0:
			parts++
		case byHand > 0 && promised > 0:
			beyond++
		}
		if left := fixture.Get[int](t, h.DB, `SELECT count(*) FROM refunds WHERE status <> 'DONE'`); left != 0 {
			rt.Fatalf("%d refunds are left", left)
		}
		if h.stored(t, r) == "CONFIRMED" { // its seats are wanted again
			_, err := h.booking.Refund(t.Context(), worker(auth.RoleSupport, auth.Platform), booking.RefundInput{
				CancelInput: cancelInput(r), Cause: payment.Goodwill, Reason: "The end of a history.", IdempotencyKey: newKey(),
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
	})
	if parts == 0 || beyond == 0 {
		t.Errorf("%d histories in which refunds by hand count, %d in which none does", parts, beyond)
	}
	breaches, err := audit(t.Context(), h.DB.SQL(), always)
	for _, breach := range append(breaches, errorText(err)...) {
		t.Error(breach)
	}
}

func errorText(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}
