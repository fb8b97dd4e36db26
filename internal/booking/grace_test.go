package booking_test

import (
	"testing"
	"time"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// graceful are settings with a grace that no test waits for.
func graceful() booking.Config {
	with := settings
	with.PaymentGrace = 5 * time.Minute
	return with
}

func (h *house) left(t *testing.T, r booking.Reservation) time.Duration {
	t.Helper()
	same := fixture.Get[bool](t, h.DB, `SELECT bool_and(c.held_until = r.held_until) FROM reservations r JOIN seat_claims c ON c.reservation_id = r.id WHERE r.id = $1`, r.ID)
	if !same {
		t.Error("the seats have another deadline than their reservation")
	}
	return time.Duration(fixture.Get[int64](t, h.DB, `SELECT extract(epoch FROM held_until - now())::bigint FROM reservations WHERE id = $1`, r.ID)) * time.Second
}

// TestService_Pay_grace: whoever pays at the last moment has the grace to be answered, and to try another card; not again and again.
func TestService_Pay_grace(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 2})
	node := h.process(h.gateway, graceful())
	near := func(t *testing.T, r booking.Reservation, want time.Duration) {
		t.Helper()
		if got := h.left(t, r); (got - want).Abs() > 20*time.Second {
			t.Errorf("the hold has %s left, want %s", got, want)
		}
	}
	for name, test := range map[string]struct {
		age, left time.Duration // of the hold when it is paid
		want      time.Duration // that it has left after the decline
		reserved  bool
	}{
		"a_fresh_hold_keeps_its_time":                     {0, 9 * time.Minute, 9 * time.Minute, false},
		"one_that_is_nearly_over_has_the_grace":           {9 * time.Minute, time.Minute, 5 * time.Minute, false},
		"one_at_its_limit_too":                            {30*time.Minute - 10*time.Second, 10 * time.Second, 5 * time.Minute, false},
		"one_that_had_some_of_it_has_the_rest":            {33 * time.Minute, 10 * time.Second, 2 * time.Minute, false},
		"one_that_had_it_has_no_more":                     {35 * time.Minute, 30 * time.Second, 30 * time.Second, false},
		"what_is_kept_until_the_theaters_deadline_has_it": {35 * time.Minute, 30 * time.Second, 5 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			r := h.hold(t, viewer, h.fresh(1)...)
			if test.reserved {
				result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
				is[booking.KeptUnpaid](t, result, err)
			}
			h.Exec(t, `UPDATE reservations SET created_at = now() - $2 * interval '1 second', held_until = now() + $3 * interval '1 second',
				pay_by = CASE WHEN pay_by IS NOT NULL THEN now() + $3 * interval '1 second' END WHERE id = $1`, r.ID, test.age.Seconds(), test.left.Seconds())
			h.Exec(t, `UPDATE seat_claims c SET held_until = r.held_until FROM reservations r WHERE r.id = c.reservation_id AND r.id = $1`, r.ID)
			h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("do_not_honor"))
			result, err := node.Pay(t.Context(), viewer, payInput(r))
			is[booking.Declined](t, result, err)
			near(t, r, test.want)
			result, err = node.Pay(t.Context(), viewer, payInput(r))
			is[booking.Paid](t, result, err)
			h.wantAttempts(t, r, payment.AttemptDeclined, payment.AttemptCaptured)
			h.rests(t)
		})
	}
	t.Run("a_card_that_lapses_again_and_again_holds_the_seats_no_longer", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		for _, lapse := range []struct{ age, left time.Duration }{
			{25 * time.Minute, 5 * time.Minute}, {32 * time.Minute, 3 * time.Minute}, {36 * time.Minute, 0},
		} {
			h.Exec(t, `UPDATE reservations SET created_at = now() - $2 * interval '1 second' WHERE id = $1`, r.ID, lapse.age.Seconds())
			h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
			if _, err := node.Pay(t.Context(), viewer, payInput(r)); err != nil {
				t.Fatal(err)
			}
			if lapse.left > 0 {
				near(t, r, lapse.left)
			}
		}
		h.wantStored(t, "in the end", r, "EXPIRED")
		h.rests(t)
	})
}

// TestGateway_is_asked_before_a_hold_with_a_payment_in_flight_is_released: the grace is longer than a lease, so that of a payment
// whose driver has vanished the gateway is asked while the seats are still held, and the answer counts.
func TestGateway_is_asked_before_a_hold_with_a_payment_in_flight_is_released(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	with := graceful()
	with.AttemptLease = time.Minute
	node := h.process(h.gateway, with)
	r := h.hold(t, viewer, h.fresh(1)...)
	h.shorten(t, r, 10*time.Second)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.DiesAfter)
	died(t, func() { _, _ = node.Pay(t.Context(), viewer, payInput(r)) })
	// When the hold would have been over, and the lease is.
	for _, table := range []string{"reservations", "seat_claims"} {
		h.Exec(t, `UPDATE `+table+` SET held_until = held_until - interval '70 seconds' WHERE held_until IS NOT NULL`)
	}
	h.Exec(t, `UPDATE payment_attempts SET leased_until = leased_until - interval '70 seconds'`)
	h.sweep(t)
	if n, err := node.Reconcile(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d settled, %v", n, err)
	}
	h.wantStored(t, "in the end", r, "CONFIRMED")
	if h.post.to(viewer) != nil {
		t.Errorf("the payment was late: %v", h.post.to(viewer))
	}
	h.rests(t)
}

// TestP13_two_tabs: of payments in two tabs, and in as many as there are, one is captured, whichever card is slower.
func TestP13_two_tabs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	for name, fault := range map[string]gatewaytest.Fault{"well": gatewaytest.Honest, "unanswered": gatewaytest.AnswerLost, "pending": h.gateway.Processes} {
		t.Run(name, func(t *testing.T) {
			viewer, before := newViewer(), h.captured()
			r := h.hold(t, viewer, h.fresh(2)...)
			h.gateway.Next(gatewaytest.Authorize, fault)
			together(6, func(int) {
				if _, err := h.booking.Pay(t.Context(), viewer, payInput(r)); err != nil {
					t.Error(err)
				}
			})
			h.gateway.Resolve(h.attemptOf(t, r), true)
			h.reconcile(t)
			h.wantAttempts(t, r, payment.AttemptCaptured)
			if got := h.captured() - before; got != 2400 {
				t.Errorf("the gateway has %d, want 2400", got)
			}
			h.rests(t)
		})
	}
}
