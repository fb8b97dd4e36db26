package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	bank "marquee/internal/payment/sandbox/server"
	"marquee/internal/typeid"
)

const inbox = "/webhooks/sandbox"

// TestPM4_one_webhook_sent_fifty_times_has_one_effect sends it to two nodes at once, which both do jobs.
func TestPM4_one_webhook_sent_fifty_times_has_one_effect(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	b := apitest.New(t, apitest.Still(), apitest.Beside(a))
	c := a.Customer()
	held := reserve(t, a, c, 1)
	key := pay(t, a, c, held, sandbox.TokenSlow)
	if _, err := a.Bank.Resolve(key, true); err != nil {
		t.Fatal(err)
	}
	h := apitest.Tell(t, "evt_1", payment.EventCharge, charge(t, a, key), time.Now())
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if got := []*apitest.App{a, b}[i%2].Deliver(inbox, h); got != http.StatusNoContent {
				t.Errorf("number %d is answered %d", i, got)
			}
		})
	}
	wait.Wait()
	if n := apitest.Value[int64](a, `SELECT count(*) * 1000 + (SELECT count(*) FROM river.river_job) FROM webhook_events`); n != 1001 {
		t.Errorf("%d events and %d jobs", n/1000, n%1000)
	}
	work(t, a)
	work(t, b)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED' AND processed_at IS NOT NULL AND payment_id IS NOT NULL`)
	if got, money := status(a, c, held), charge(t, a, key); got != "CONFIRMED" || money.CapturedMinor != money.AmountMinor {
		t.Errorf("the reservation is %s, the charge %+v", got, money)
	}
	if n := apitest.Value[int64](a, `SELECT count(*) FROM tickets`); n != 1 {
		t.Errorf("%d tickets", n)
	}
}

// TestPM5_webhooks_in_any_order_end_alike tells of what happened in every order, each twice.
func TestPM5_webhooks_in_any_order_end_alike(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	work(t, a)
	for n, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		c := a.Customer()
		held := reserve(t, a, c, int16(n+1))
		key := pay(t, a, c, held, sandbox.TokenSlow)
		if _, err := a.Bank.Resolve(key, true); err != nil {
			t.Fatal(err)
		}
		kinds := []payment.EventKind{payment.EventCharge, payment.EventCharge, payment.EventRefund}
		for _, i := range append(order, order...) {
			told := charge(t, a, key)
			told.Status = []payment.ChargeStatus{payment.ChargeAuthorized, payment.ChargeCaptured, payment.ChargeCaptured}[i]
			if got := a.Deliver(inbox, apitest.Tell(t, fmt.Sprint("evt_", n, "_", i), kinds[i], told, time.Now())); got != http.StatusNoContent {
				t.Errorf("answered %d", got)
			}
		}
		await(t, a, 3, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED' AND event_id LIKE $1`, fmt.Sprint("evt_", n, "_%"))
		if got, money := status(a, c, held), charge(t, a, key); got != "CONFIRMED" || money.CapturedMinor != money.AmountMinor || money.RefundedMinor != 0 {
			t.Errorf("%v: the reservation is %s, the charge %+v", order, got, money)
		}
	}
}

// TestPM6_a_webhook_of_an_unknown_payment_is_kept until its payment is known.
func TestPM6_a_webhook_of_an_unknown_payment_is_kept(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	c := a.Customer()
	work(t, a)
	unknown := sandbox.Charge{Key: typeid.New().String(), Reference: "cha_early", Status: payment.ChargeCaptured}
	if got := a.Deliver(inbox, apitest.Tell(t, "evt_1", payment.EventCharge, unknown, time.Now())); got != http.StatusNoContent {
		t.Errorf("answered %d", got)
	}
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'UNKNOWN_PAYMENT' AND payment_id IS NULL`)
	pay(t, a, c, reserve(t, a, c, 1), "")
	a.Exec(`UPDATE payment_attempts SET gateway_reference = 'cha_early'`)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED' AND payment_id IS NOT NULL`)
}

// TestPM11_a_failed_refund_is_never_done tells of a refund that the gateway could not carry out.
func TestPM11_a_failed_refund_is_never_done(t *testing.T) {
	t.Parallel()
	for name, well := range map[string]bool{"failed": false, "done": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := apitest.New(t, apitest.Still())
			a.Exec(`INSERT INTO refund_policies (theater_id, version, steps, late_without_refund, kept_per_ticket_minor, kept_once_minor, fees_returned, holds_from)
				SELECT id, 1, '[{"minutesBefore": 0, "basisPoints": 10000}]', false, 0, 0, true, now() - interval '1 hour' FROM theaters`)
			c := a.Customer()
			work(t, a)
			held := reserve(t, a, c, 1)
			key := pay(t, a, c, held, "")
			if err := a.Bank.Inject(bank.Fault{Op: bank.Refund, Do: bank.Pend, Times: 1}); err != nil {
				t.Fatal(err)
			}
			c.Get(`mutation ($in: CancelReservationInput!) { cancelReservation(input: $in) { __typename ... on CancelReservationPayload { reservation { status } } } }`,
				vars{"in": vars{"reservationId": held}}, nil)
			await(t, a, 1, `SELECT count(*) FROM refunds WHERE status = 'PENDING'`)
			if _, err := a.Bank.Resolve(key, well); err != nil {
				t.Fatal(err)
			}
			if got := a.Deliver(inbox, apitest.Tell(t, "evt_1", payment.EventRefund, charge(t, a, key), time.Now())); got != http.StatusNoContent {
				t.Errorf("answered %d", got)
			}
			await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED'`)
			want := `SELECT count(*) FROM refunds WHERE status = 'PENDING' AND try = 2 AND failure_code IS NOT NULL`
			if well {
				want = `SELECT count(*) FROM refunds WHERE status = 'DONE' AND try = 1`
			}
			if n := apitest.Value[int64](a, want); n != 1 {
				t.Errorf("refunds: %s", apitest.Value[string](a, `SELECT string_agg(r::text, ' ') FROM refunds r`))
			}
		})
	}
}

// TestPM12_a_card_number_in_a_webhook_is_kept_nowhere sends one as gateways never should.
func TestPM12_a_card_number_in_a_webhook_is_kept_nowhere(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	work(t, a)
	const card = "4242424242424242"
	for i, body := range []string{
		`{"id":"evt_1","kind":"CHARGE","occurredAt":"2026-01-01T00:00:00Z","charge":{"key":"k","reference":"r","card":"` + card + `"}}`,
		`{"id":"evt_2","kind":"OTHER","occurredAt":"2026-01-01T00:00:00Z","note":"` + card + `"}`,
		`{"id":"` + card + `\u0000"}`,
	} {
		want := http.StatusNoContent
		if i == 2 {
			want = http.StatusBadRequest
		}
		h := apitest.Signed(apitest.BankSecret, []byte(body), time.Now())
		if got := a.Deliver(inbox, h); got != want {
			t.Errorf("answered %d, want %d", got, want)
		}
	}
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'UNKNOWN_PAYMENT'`)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED'`)
	if strings.Contains(a.DumpAll()+a.Logged()+string(a.Visit("/metrics").Body), card) {
		t.Error("the number of the card is somewhere")
	}
}

// TestService_Follow_when_the_gateway_is_away says so, and goes on when it is back.
func TestService_Follow_when_the_gateway_is_away(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	c := a.Customer()
	held := reserve(t, a, c, 1)
	key := pay(t, a, c, held, sandbox.TokenSlow)
	if _, err := a.Bank.Resolve(key, true); err != nil {
		t.Fatal(err)
	}
	if err := a.Bank.Inject(bank.Fault{Op: bank.Lookup, Do: bank.FailBefore, Times: 1}); err != nil {
		t.Fatal(err)
	}
	a.Deliver(inbox, apitest.Tell(t, "evt_1", payment.EventCharge, charge(t, a, key), time.Now()))
	work(t, a)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'FAILED'`)
	await(t, a, 1, `SELECT count(*) FROM river.river_job WHERE errors[1] ->> 'error' = 'GATEWAY_UNAVAILABLE'`)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED'`)
	if got := status(a, c, held); got != "CONFIRMED" {
		t.Errorf("the reservation is %s", got)
	}
}

// TestService_Receive_when_the_database_is_away has the gateway send it again.
func TestService_Receive_when_the_database_is_away(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.Cuttable())
	h := apitest.Tell(t, "evt_1", payment.EventCharge, sandbox.Charge{Key: "k", Reference: "r"}, time.Now())
	a.CutDatabase()
	if got := a.Deliver(inbox, h); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d", got)
	}
	a.MendDatabase()
	if got := a.Deliver(inbox, h); got != http.StatusNoContent {
		t.Errorf("answered %d", got)
	}
	work(t, a)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'UNKNOWN_PAYMENT'`)
	a.CutDatabase()
	a.MendDatabase()
	if got := a.Deliver(inbox, apitest.Tell(t, "evt_2", payment.EventCharge, sandbox.Charge{Key: "k", Reference: "r"}, time.Now())); got != http.StatusNoContent {
		t.Errorf("answered %d", got)
	}
	await(t, a, 2, `SELECT count(*) FROM webhook_events WHERE state = 'UNKNOWN_PAYMENT'`)
}

// TestService_disputes are recorded once, and change neither money nor seats.
func TestService_disputes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	c := a.Customer()
	held := reserve(t, a, c, 1)
	key := pay(t, a, c, held, "")
	for range 2 {
		a.Deliver(inbox, apitest.Tell(t, "evt_1", payment.EventDispute, charge(t, a, key), time.Now()))
	}
	work(t, a)
	await(t, a, 1, `SELECT count(*) FROM webhook_events WHERE state = 'PROCESSED' AND kind = 'DISPUTE'`)
	if n := apitest.Value[int64](a, `SELECT count(*) FROM audit_entries WHERE action = 'payment.disputed' AND subject LIKE 'pay_%' AND after ->> 'event' = 'evt_1'`); n != 1 {
		t.Errorf("%d entries", n)
	}
	if got := status(a, c, held); got != "CONFIRMED" {
		t.Errorf("the reservation is %s", got)
	}
}
