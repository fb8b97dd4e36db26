package booking_test

import (
	"context"
	"errors"
	"maps"
	"net"
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

// unreached is what a call comes to that finds no connection.
func unreached(context.Context, string, gatewaytest.Effect) (gatewaytest.Answer, error) {
	return gatewaytest.Answer{}, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

// TestService_Pay_unreached: a payment that its gateway never heard of is over at once, and nobody asks how it went.
func TestService_Pay_unreached(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	viewer := newViewer()
	r := h.hold(t, viewer, h.fresh(1)...)
	h.gateway.Next(gatewaytest.Authorize, unreached)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	if code := is[booking.Declined](t, result, err).Code; code != payment.DeclineUnreached {
		t.Errorf("declined as %q", code)
	}
	h.wantAttempts(t, r, payment.AttemptDeclined)
	if n := h.gateway.Count(gatewaytest.Lookup) + h.gateway.Count(gatewaytest.Void); n != 0 {
		t.Errorf("the gateway was asked %d times about what it does not know", n)
	}
	result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Paid](t, result, err)
	h.rests(t)
}

// TestReconcile_beside_pending_charges: charges that wait for their customers, and a gateway that is slow to say so, keep an attempt
// whose driver has died from nothing.
func TestReconcile_beside_pending_charges(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	const pending = 20
	waiting := map[string]bool{}
	for range pending {
		viewer := newViewer()
		h.gateway.Next(gatewaytest.Authorize, h.gateway.RequiresAction(payment.Redirect{URL: "https://bank.example"}))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(h.hold(t, viewer, h.fresh(1)...)))
		is[booking.Pending](t, result, err)
	}
	for key := range h.gateway.Charges() {
		waiting[key] = true
	}
	viewer := newViewer()
	left := h.hold(t, viewer, h.fresh(1)...)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.DiesAfter)
	died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, payInput(left)) })
	h.endLeases(t)
	h.Exec(t, `UPDATE payment_attempts SET leased_until = now() - interval '1 minute' WHERE gateway_reference IS NOT NULL`)

	settled, open := make(chan struct{}), make(chan struct{})
	for range pending + 1 {
		h.gateway.Next(gatewaytest.Lookup, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
			if waiting[key] {
				<-open
			}
			return effect(ctx)
		})
	}
	h.gateway.Next(gatewaytest.Capture, gatewaytest.After(func() { close(settled) }))
	done := make(chan error, 1)
	go func() {
		_, err := h.process(h.gateway, settings).Reconcile(context.WithoutCancel(t.Context()))
		done <- err
	}()
	within(t, settled, "the attempt left behind is not captured")
	close(open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	h.wantAttempts(t, left, payment.AttemptCaptured)
	if n := h.gateway.Count(gatewaytest.Lookup); n != pending+1 {
		t.Errorf("%d lookups of %d charges", n, pending+1)
	}
}

// TestReconcile_beside_a_hanging_gateway: what was begun at another gateway is settled meanwhile, and that of the first when it is back.
func TestReconcile_beside_a_hanging_gateway(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	second := gatewaytest.NewFakeNamed("second")
	viewer := newViewer()
	first, other := h.hold(t, viewer, h.fresh(1)...), h.hold(t, viewer, h.fresh(1)...)
	for _, of := range []struct {
		gateway *gatewaytest.Fake
		r       booking.Reservation
	}{{h.gateway, first}, {second, other}} {
		of.gateway.Next(gatewaytest.Authorize, gatewaytest.DiesAfter)
		died(t, func() { _, _ = h.process(of.gateway, settings).Pay(t.Context(), viewer, payInput(of.r)) })
	}
	h.endLeases(t)
	open, hangs := make(chan struct{}), make(chan struct{})
	h.gateway.Next(gatewaytest.Lookup, gatewaytest.Before(func() { close(hangs); <-open }))
	service := h.processOf(payment.NewGateways([]payment.Gateway{h.gateway, second}))
	done := make(chan error, 1)
	go func() {
		_, err := service.ReconcileAt(context.WithoutCancel(t.Context()), h.gateway.Name())
		done <- err
	}()
	within(t, hangs, "the gateway is not asked")
	if n, err := service.ReconcileAt(t.Context(), second.Name()); n != 1 || err != nil {
		t.Errorf("%d settled at the other gateway, %v", n, err)
	}
	h.wantAttempts(t, other, payment.AttemptCaptured)
	h.wantAttempts(t, first, payment.AttemptStarted)
	close(open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	h.wantAttempts(t, first, payment.AttemptCaptured)
}

// within waits for a signal.
func within(t testing.TB, signal <-chan struct{}, failure string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-signal:
	case <-ctx.Done():
		t.Fatal(failure)
	}
}
