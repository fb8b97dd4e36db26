package app_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/payment"
	"marquee/internal/payment/razorpay"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/stripe"
)

const inbox = "/webhooks/sandbox"

// TestP11_PM3_a_webhook_that_is_not_believed_changes_nothing sends what nobody signed, what somebody has changed, what is old, and what
// is meant for another inbox: afterwards every row of every table is what it was.
func TestP11_PM3_a_webhook_that_is_not_believed_changes_nothing(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.AlsoAt(
		stripe.New(stripe.Options{SecretKey: "sk_test_ours", WebhookSecrets: []string{stripeSecret}}),
		razorpay.New(razorpay.Config{KeyID: "rzp_test_ours", KeySecret: "ours", WebhookSecrets: []string{razorpaySecret}}),
	))
	c := a.Customer()
	const (
		hold = `mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) { ... on ReserveSeatsPayload { reservation { id } } } }`
		pay  = `mutation ($in: PayReservationInput!) { payReservation(input: $in) { __typename } }`
	)
	var held struct {
		ReserveSeats struct{ Reservation struct{ ID string } }
	}
	show := a.World.Showtimes[0]
	c.Get(hold, apitest.Vars{"in": apitest.Vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(1), "idempotencyKey": "hold a seat"}}, &held)
	c.Get(pay, apitest.Vars{"in": apitest.Vars{"reservationId": held.ReserveSeats.Reservation.ID, "idempotencyKey": "pay for it", "paymentToken": sandbox.TokenSlow}}, nil)
	key := apitest.Value[string](a, `SELECT id FROM payment_attempts`)
	// That the bank has taken the money is so, but who tells it here is not to be believed.
	if _, err := a.Bank.Resolve(key, true); err != nil {
		t.Fatal(err)
	}
	now, charge := time.Now(), a.Bank.Charges()[0]
	genuine := apitest.Tell(t, "evt_1", payment.EventCharge, charge, now)
	var anew bytes.Buffer
	if err := json.Indent(&anew, genuine.Body, "", " "); err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(genuine.Body)
	changed[len(changed)/2] ^= 1
	signed := func(body string) apitest.Webhook { return apitest.Signed(apitest.BankSecret, []byte(body), now) }
	const atStripe, atRazorpay = "/webhooks/stripe", "/webhooks/razorpay"
	intent := []byte(`{"id":"evt_2","object":"event","type":"payment_intent.succeeded","created":1793000000,"data":{"object":{"id":"pi_1","object":"payment_intent",
		"status":"succeeded","amount":1200,"amount_received":1200,"currency":"nzd","metadata":{"marquee_attempt":"` + key + `"}}}}`)
	order := []byte(`{"event":"order.paid","created_at":1793000000,"payload":{"order":{"entity":{"id":"order_1","receipt":"` + key + `","amount":1200,"status":"paid"}}}}`)
	cut := func(body []byte) []byte { return bytes.Replace(body, []byte("1200"), []byte("120"), 1) }
	before := a.DumpAll()
	for name, test := range map[string]struct {
		path string
		hook apitest.Webhook
		want int
	}{
		"unsigned":                  {inbox, apitest.Webhook{Header: http.Header{}, Body: genuine.Body}, http.StatusBadRequest},
		"a_byte_changed":            {inbox, apitest.Webhook{Header: genuine.Header, Body: changed}, http.StatusBadRequest},
		"written_anew":              {inbox, apitest.Webhook{Header: genuine.Header, Body: anew.Bytes()}, http.StatusBadRequest},
		"six_minutes_old":           {inbox, apitest.Tell(t, "evt_1", payment.EventCharge, charge, now.Add(-6*time.Minute)), http.StatusBadRequest},
		"six_minutes_ahead":         {inbox, apitest.Tell(t, "evt_1", payment.EventCharge, charge, now.Add(6*time.Minute)), http.StatusBadRequest},
		"of_another_account":        {inbox, apitest.Signed("another", genuine.Body, now), http.StatusBadRequest},
		"signed_and_a_page":         {inbox, signed("<html>Sign in to the network</html>"), http.StatusBadRequest},
		"signed_without_an_id":      {inbox, signed("{}"), http.StatusBadRequest},
		"signed_with_a_long_id":     {inbox, apitest.Tell(t, strings.Repeat("e", 256), payment.EventCharge, charge, now), http.StatusBadRequest},
		"signed_with_a_strange_id":  {inbox, signed(`{"id":"evt_\u0000","kind":"CHARGE"}`), http.StatusBadRequest},
		"signed_with_a_strange_day": {inbox, signed(`{"id":"evt_1","kind":"CHARGE","occurredAt":"9999999-01-01"}`), http.StatusBadRequest},
		"empty":                     {inbox, apitest.Webhook{Header: http.Header{}, Body: nil}, http.StatusBadRequest},
		"ten_megabytes":             {inbox, apitest.Webhook{Header: genuine.Header, Body: bytes.Repeat([]byte(" "), 10<<20)}, http.StatusRequestEntityTooLarge},
		"of_an_unknown_gateway":     {"/webhooks/paypal", genuine, http.StatusNotFound},

		"of_the_sandbox_at_stripe":    {atStripe, genuine, http.StatusBadRequest},
		"of_the_sandbox_at_razorpay":  {atRazorpay, genuine, http.StatusBadRequest},
		"of_stripe_at_the_sandbox":    {inbox, byStripe(stripeSecret, intent, now), http.StatusBadRequest},
		"of_stripe_at_razorpay":       {atRazorpay, byStripe(stripeSecret, intent, now), http.StatusBadRequest},
		"of_razorpay_at_the_sandbox":  {inbox, byRazorpay(razorpaySecret, order), http.StatusBadRequest},
		"of_razorpay_at_stripe":       {atStripe, byRazorpay(razorpaySecret, order), http.StatusBadRequest},
		"of_another_stripe_account":   {atStripe, byStripe("whsec_theirs", intent, now), http.StatusBadRequest},
		"of_another_razorpay_account": {atRazorpay, byRazorpay("theirs", order), http.StatusBadRequest},
		"of_stripe_and_unsigned":      {atStripe, apitest.Webhook{Header: http.Header{}, Body: intent}, http.StatusBadRequest},
		"of_razorpay_and_unsigned":    {atRazorpay, apitest.Webhook{Header: http.Header{}, Body: order}, http.StatusBadRequest},
		"of_stripe_and_changed":       {atStripe, apitest.Webhook{Header: byStripe(stripeSecret, intent, now).Header, Body: cut(intent)}, http.StatusBadRequest},
		"of_razorpay_and_changed":     {atRazorpay, apitest.Webhook{Header: byRazorpay(razorpaySecret, order).Header, Body: cut(order)}, http.StatusBadRequest},
		"of_stripe_and_old":           {atStripe, byStripe(stripeSecret, intent, now.Add(-6*time.Minute)), http.StatusBadRequest},
	} {
		if got := a.Deliver(test.path, test.hook); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
		if after := a.DumpAll(); after != before {
			t.Fatalf("%s: the tables were\n%s\nand are\n%s", name, before, after)
		}
	}
	for path, h := range map[string]apitest.Webhook{inbox: genuine, atStripe: byStripe(stripeSecret, intent, now), atRazorpay: byRazorpay(razorpaySecret, order)} {
		if got := a.Deliver(path, h); got != http.StatusNoContent {
			t.Errorf("a genuine one at %s: %d", path, got)
		}
	}
	if after := a.DumpAll(); after == before {
		t.Error("genuine ones change nothing: the tables do not show what a webhook does")
	}
}

// What the gateways of the tests sign with.
const (
	stripeSecret   = "whsec_ours"
	razorpaySecret = "the secret of our webhooks"
)

// byStripe signs a webhook as an account at Stripe does.
func byStripe(secret string, body []byte, at time.Time) apitest.Webhook {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return apitest.Webhook{Header: http.Header{"Stripe-Signature": {"t=" + stamp + ",v1=" + signature(secret, stamp+"."+string(body))}}, Body: body}
}

// byRazorpay signs a webhook as an account at Razorpay does.
func byRazorpay(secret string, body []byte) apitest.Webhook {
	header := http.Header{}
	header.Set("X-Razorpay-Signature", signature(secret, string(body)))
	header.Set("X-Razorpay-Event-Id", "event-1")
	return apitest.Webhook{Header: header, Body: body}
}

func signature(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
