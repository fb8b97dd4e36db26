package reconciliation_test

import (
	"testing"
	"time"

	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/reconciliation"
)

// TestPM7_wrong_money_is_flagged: a reservation of which the gateway takes a unit less or more than the price, or its price in another
// currency, is not confirmed, and whoever looks after money finds it in the queue; amounts have gone back whole by then.
func TestPM7_wrong_money_is_flagged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	gateway := gatewaytest.NewFake()
	h.booking = h.bookings(gateway)
	books := h.service(gateway)
	_, right := h.pay(viewer(), "")
	price := h.price()
	want := map[string]string{}
	for _, test := range []struct {
		takes       money.Money
		kind        reconciliation.Kind
		reservation string
	}{
		{nzd(price - 1), reconciliation.AmountDiffers, "HELD"},
		{nzd(price + 1), reconciliation.AmountDiffers, "HELD"},
		{nzd(1), reconciliation.AmountDiffers, "HELD"},
		{money.Money{AmountMinor: price, Currency: "AUD"}, reconciliation.CurrencyDiffers, "HELD"},
	} {
		gateway.Next(gatewaytest.Capture, gateway.TakesInstead(test.takes))
		r, key := h.pay(viewer(), "")
		want[key] = string(test.kind) + " OPEN"
		if got := fixture.Get[string](t, h.DB, `SELECT status FROM reservations WHERE id = $1`, r.ID); got != test.reservation {
			t.Errorf("the gateway took %v of %d and the reservation is %s", test.takes, price, got)
		}
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM tickets WHERE reservation_id = $1`, r.ID); n != 0 {
			t.Errorf("the gateway took %v of %d, and there are %d tickets", test.takes, price, n)
		}
		kept := gateway.Charges()[key]
		if left := kept.Captured.AmountMinor - kept.Refunded.AmountMinor; left != 0 && test.kind == reconciliation.AmountDiffers {
			t.Errorf("of %v the gateway keeps %d", test.takes, left)
		}
	}
	for i, found := range []int32{4, 0} {
		run, err := books.Reconcile(t.Context(), gateway.Name(), time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
		if err != nil || run.Outcome != reconciliation.Done || run.Found != found || run.Healed != 0 {
			t.Errorf("run %d is %+v, %v", i, run, err)
		}
		h.wantQueue(want)
	}
	if got := gateway.Charges()[right].Captured; got != nzd(price) {
		t.Errorf("of the right one the gateway has %v", got)
	}
}
