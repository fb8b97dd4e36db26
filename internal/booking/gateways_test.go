package booking_test

import (
	"maps"
	"testing"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// TestService_gateways leads payments through an installation that comes to offer another gateway, and then loses the first.
func TestService_gateways(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	first, second := h.gateway, gatewaytest.NewFakeNamed("second")
	both := payment.NewGateways([]payment.Gateway{second}, first)
	alone := payment.NewGateways([]payment.Gateway{second})
	viewer := newViewer()
	paid, begun := h.buy(t, viewer, h.fresh(1)...), h.hold(t, viewer, h.fresh(1)...)
	first.Next(gatewaytest.Authorize, first.RequiresAction(payment.Redirect{URL: "https://bank.example"}))
	result, err := h.booking.Pay(t.Context(), viewer, payInput(begun))
	is[booking.Pending](t, result, err)

	// A process without the first gateway leaves what was begun there, and does all else.
	here := h.processOf(alone)
	result, err = here.Pay(t.Context(), viewer, payInput(h.hold(t, viewer, h.fresh(1)...)))
	if r := is[booking.Paid](t, result, err).Reservation; h.paymentOf(t, r).Gateway != second.Name() {
		t.Errorf("the payment went through %q", h.paymentOf(t, r).Gateway)
	}
	if _, err := here.Cancel(t.Context(), viewer, cancelInput(paid)); err != nil {
		t.Error(err)
	}
	h.endLeases(t)
	if n, err := here.Reconcile(t.Context()); n != 0 || err != nil {
		t.Errorf("%d settled without their gateway, %v", n, err)
	}
	h.wantAttempts(t, begun, payment.AttemptStarted)
	h.wantRefunds(t, paid, "1200 CUSTOMER PENDING")

	// One that has it, and offers the other, brings it to its end.
	for key := range first.Charges() {
		first.Resolve(key, true)
	}
	h.endLeases(t)
	if _, err := h.processOf(both).Reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	h.wantAttempts(t, begun, payment.AttemptCaptured)
	h.wantRefunds(t, paid, "1200 CUSTOMER DONE")
	if n := first.Count(gatewaytest.Authorize); n != 2 {
		t.Errorf("the gateway that is not offered was asked %d times to authorize", n)
	}
	books := first.Charges()
	maps.Copy(books, second.Charges())
	if breaches, err := compareBooks(t.Context(), h.DB.SQL(), books); err != nil || len(breaches) > 0 {
		t.Errorf("the books disagree: %q, %v", breaches, err)
	}
}
