package booking_test

import (
	"context"
	"sync"
	"testing"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// TestReconcile_after_a_death lets the process die in every call to the gateway, just before it is sent and just after
// it has taken effect. Whoever comes next brings the payment to its end.
func TestReconcile_after_a_death(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	deaths := map[string]gatewaytest.Fault{"before": gatewaytest.DiesBefore, "after": gatewaytest.DiesAfter}
	for when, death := range deaths {
		for name, test := range map[string]struct {
			op       gatewaytest.Op
			prepare  func(t *testing.T, h *house, r booking.Reservation)
			want     map[string]string // how the reservation ends, by when the process died
			captured map[string]int64
		}{
			"Authorize": {gatewaytest.Authorize, nil, map[string]string{"before": "HELD", "after": "CONFIRMED"}, map[string]int64{"after": 1200}},
			"Capture":   {gatewaytest.Capture, nil, map[string]string{"before": "CONFIRMED", "after": "CONFIRMED"}, map[string]int64{"before": 1200, "after": 1200}},
			"Lookup": {gatewaytest.Lookup, func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost)
			}, map[string]string{"before": "CONFIRMED", "after": "CONFIRMED"}, map[string]int64{"before": 1200, "after": 1200}},
			"Void": {gatewaytest.Void, func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(gatewaytest.Authorize, gatewaytest.After(func() { h.lose(t, r) }))
			}, map[string]string{"before": "EXPIRED", "after": "EXPIRED"}, nil},
			"Capture_of_a_lapsed_authorization": {gatewaytest.Void, func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
			}, map[string]string{"before": "HELD", "after": "HELD"}, nil},
		} {
			t.Run(when+"_"+name, func(t *testing.T) {
				viewer, before := newViewer(), h.captured()
				r := h.hold(t, viewer, h.fresh(1)...)
				if test.prepare != nil {
					test.prepare(t, h, r)
				}
				h.gateway.Next(test.op, death)
				in := payInput(r)
				died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, in) })
				if breaches, err := audit(t.Context(), h.DB.SQL(), always); err != nil || len(breaches) != 0 {
					t.Errorf("just after the death: %q, %v", breaches, err)
				}
				// While the lease lasts nobody takes over, and the customer hears that it is pending, or that it is over.
				if n, err := h.process(h.gateway, settings).Reconcile(t.Context()); n != 0 || err != nil {
					t.Errorf("%d attempts taken over within the lease, %v", n, err)
				}
				h.reconcile(t)
				if _, _, err := h.booking.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.wantStored(t, "in the end", r, test.want[when])
				if got := h.captured() - before; got != test.captured[when] {
					t.Errorf("the gateway has %d, want %d", got, test.captured[when])
				}
				h.rests(t)
			})
		}
	}
}

// An authorize that is still on its way when the reconciler gives the attempt up must not take money later.
func TestReconcile_beside_a_slow_driver(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 20})
	type gate struct{ reached, open chan struct{} }
	newGate := func() gate { return gate{make(chan struct{}), make(chan struct{})} }
	wait := func(g gate) func() { return func() { close(g.reached); <-g.open } }
	for name, test := range map[string]struct {
		fault  func(g gate) gatewaytest.Fault
		op     gatewaytest.Op
		result any
		code   string
		stored string
	}{
		"authorize_not_yet_sent": {
			func(g gate) gatewaytest.Fault { return gatewaytest.Before(wait(g)) }, gatewaytest.Authorize,
			booking.Declined{},
			payment.DeclineNoAnswer, "HELD",
		},
		"authorize_not_yet_answered": {
			func(g gate) gatewaytest.Fault { return gatewaytest.After(wait(g)) }, gatewaytest.Authorize,
			booking.Paid{},
			"", "CONFIRMED",
		},
		"authorize_answered_with_what_came_later": {
			func(g gate) gatewaytest.Fault {
				return func(ctx context.Context, _ string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
					if _, err := effect(ctx); err != nil {
						return gatewaytest.Answer{}, err
					}
					wait(g)()
					return effect(ctx)
				}
			}, gatewaytest.Authorize, booking.Paid{}, "", "CONFIRMED",
		},
		"capture_not_yet_sent": {
			func(g gate) gatewaytest.Fault { return gatewaytest.Before(wait(g)) }, gatewaytest.Capture,
			booking.Paid{},
			"", "CONFIRMED",
		},
		"capture_not_yet_answered": {
			func(g gate) gatewaytest.Fault { return gatewaytest.After(wait(g)) }, gatewaytest.Capture,
			booking.Paid{},
			"", "CONFIRMED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, before, calls := newViewer(), h.captured(), h.gateway.Count(gatewaytest.Capture)
			r, g := h.hold(t, viewer, h.fresh(1)...), newGate()
			h.gateway.Next(test.op, test.fault(g))
			in := payInput(r)
			var result booking.PayResult
			var err error
			var call sync.WaitGroup
			call.Go(func() { result, err = h.booking.Pay(t.Context(), viewer, in) })
			<-g.reached
			if n := h.reconcile(t); n != 1 {
				t.Errorf("%d attempts settled, want one", n)
			}
			h.wantStored(t, "after the reconciler", r, test.stored)
			close(g.open)
			call.Wait()
			h.check(t, "the slow driver's answer", r, result, err, test.result, test.code)
			h.wantStored(t, "in the end", r, test.stored)
			if n, taken := h.gateway.Count(gatewaytest.Capture)-calls, h.captured()-before; taken > 1200 || n > 2 {
				t.Errorf("%d captured in %d calls", taken, n)
			}
			h.rests(t)
		})
	}
	// No lease protects a driver for long: reconcilers drive every attempt beside it, from the first moment on.
	t.Run("everywhere_at_once", func(t *testing.T) {
		stop, ready := make(chan struct{}), make(chan struct{}, 3)
		var reconcilers sync.WaitGroup
		for range 3 {
			reconcilers.Go(func() {
				node := h.process(h.gateway, settings)
				for first := true; ; first = false {
					h.endLeases(t)
					if _, err := node.Reconcile(t.Context()); err != nil {
						t.Error(err)
					}
					if first {
						ready <- struct{}{}
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		for range 3 {
			<-ready
		}
		viewer := newViewer()
		held := make([]booking.Reservation, 20)
		for i := range held {
			held[i] = h.hold(t, viewer, h.fresh(1)...)
		}
		together(len(held), func(i int) {
			result, err := h.booking.Pay(t.Context(), viewer, payInput(held[i]))
			switch result.(type) {
			case booking.Paid, booking.Pending, booking.Declined:
			default:
				t.Errorf("%#v, %v", result, err)
			}
		})
		close(stop)
		reconcilers.Wait()
		h.reconcile(t)
		h.rests(t)
	})
}

// What went through a gateway that this installation does not have waits for one that does.
func TestService_Reconcile_knows_its_gateway(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.hold(t, viewer, 11)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.DiesBefore)
	died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, payInput(r)) })
	h.Exec(t, `UPDATE payment_attempts SET gateway = 'another'`)
	calls := len(h.gateway.Calls())
	if n := h.reconcile(t); n != 0 || len(h.gateway.Calls()) != calls {
		t.Errorf("%d settled, calls %v", n, h.gateway.Calls()[calls:])
	}
	h.wantAttempts(t, r, payment.AttemptStarted)
	h.Exec(t, `UPDATE payment_attempts SET gateway = 'fake'`)
	if n := h.reconcile(t); n != 1 {
		t.Errorf("%d settled, want one", n)
	}
	h.rests(t)
}

func TestService_Reconcile_leaves_what_it_cannot_settle(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	var held []booking.Reservation
	for i := range 3 {
		viewer := newViewer()
		held = append(held, h.hold(t, viewer, 11+i))
		h.gateway.Next(gatewaytest.Capture, gatewaytest.NeverArrives)
		result, err := h.booking.Pay(t.Context(), viewer, payInput(held[i]))
		is[booking.Pending](t, result, err)
	}
	// The first it comes to is not answered; the others are settled all the same.
	h.gateway.Next(gatewaytest.Capture, gatewaytest.NeverArrives)
	h.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
	if n := h.reconcile(t); n != 2 {
		t.Errorf("%d settled, want 2", n)
	}
	// It is left alone until its lease is over.
	if n, err := h.booking.Reconcile(t.Context()); n != 0 || err != nil {
		t.Errorf("%d settled within the lease, %v", n, err)
	}
	if n := h.reconcile(t); n != 1 {
		t.Errorf("%d settled, want the last one", n)
	}
	for _, r := range held {
		h.wantStored(t, "in the end", r, "CONFIRMED")
	}
	h.rests(t)
}
