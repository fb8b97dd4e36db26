package webhook_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/typeid"
)

// TestP7_one_event_has_one_effect has a webhook come fifty times, to two nodes which both do jobs, while both look by themselves and the
// customer is back from the bank in several tabs: whoever is first, it comes to what one alone comes to.
func TestP7_one_event_has_one_effect(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	b := apitest.New(t, apitest.Still(), apitest.Beside(a))
	nodes := []*apitest.App{a, b}
	work(t, a)
	work(t, b)
	// effects is what there is of a payment: its tickets, what the ledger has of it, and the entries of the audit log since.
	effects := func(key string, entries int64) string {
		return apitest.Value[string](a, `SELECT format('%s tickets, %s transfers of %s, %s of the audit log, attempt %s, reservation %s',
				(SELECT count(*) FROM tickets t WHERE t.reservation_id = p.reservation_id), count(l), sum(l.amount_minor),
				(SELECT count(*) FROM audit_entries) - $2, a.status, (SELECT r.status FROM reservations r WHERE r.id = p.reservation_id))
			FROM payment_attempts a JOIN payments p ON p.id = a.payment_id LEFT JOIN ledger_transfers l ON l.payment_id = p.id
			WHERE a.id = $1 GROUP BY p.reservation_id, a.status`, key, entries)
	}
	one := func(seat int16, all bool) string {
		c := a.Customer()
		in := vars{"in": vars{"reservationId": reserve(t, a, c, seat), "idempotencyKey": typeid.New().String(), "paymentToken": sandbox.TokenSlow}}
		const ask = `mutation ($in: PayReservationInput!) { payReservation(input: $in) { __typename } }`
		c.Get(ask, in, nil)
		key := apitest.Value[string](a, `SELECT id FROM payment_attempts ORDER BY id DESC LIMIT 1`)
		if _, err := a.Bank.Resolve(key, true); err != nil {
			t.Fatal(err)
		}
		entries := apitest.Value[int64](a, `SELECT count(*) FROM audit_entries`)
		h := apitest.Tell(t, fmt.Sprint("evt_", seat), payment.EventCharge, charge(t, a, key), time.Now())
		const times, looks = 50, 6
		var wait sync.WaitGroup
		start := make(chan struct{})
		at := func(do func()) {
			wait.Go(func() {
				<-start
				do()
			})
		}
		if !all {
			at(func() { a.Deliver(inbox, h) })
		} else {
			a.Exec(`UPDATE payment_attempts SET leased_until = now() - interval '1 second' WHERE id = $1`, key) // so that it is looked for
			for i := range times {
				at(func() {
					if got := nodes[i%2].Deliver(inbox, h); got != http.StatusNoContent {
						t.Errorf("number %d is answered %d", i, got)
					}
				})
			}
			for i := range looks {
				at(func() {
					if _, err := nodes[i%2].Booking.Reconcile(t.Context()); err != nil {
						t.Errorf("looking: %v", err)
					}
				})
				tab := c
				tab.URL = nodes[i%2].URL + "/graphql"
				at(func() {
					if answer := tab.Raw(ask, in); answer.Status != http.StatusOK {
						t.Errorf("back from the bank: %v", answer)
					}
				})
			}
		}
		close(start)
		wait.Wait()
		await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED' AND event_id = $1`, fmt.Sprint("evt_", seat))
		if money := charge(t, a, key); money.CapturedMinor != money.AmountMinor || money.RefundedMinor != 0 {
			t.Errorf("the charge is %+v", money)
		}
		return effects(key, entries)
	}
	want := one(1, false)
	for seat := int16(2); seat <= 6; seat++ {
		if got := one(seat, true); got != want {
			t.Errorf("with seat %d there are %s; one alone has %s", seat, got, want)
		}
	}
	if n := apitest.Value[int64](a, `SELECT count(*) * 1000 + (SELECT count(*) FROM river.river_job) FROM webhook_events`); n != 6006 {
		t.Errorf("%d events and %d jobs, want 6 and 6", n/1000, n%1000)
	}
}
