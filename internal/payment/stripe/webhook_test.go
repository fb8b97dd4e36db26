package stripe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"marquee/internal/clock"
	"marquee/internal/payment"
	"marquee/internal/payment/stripe"
)

// recorded returns the body of a webhook of a type, from the shapes that Stripe publishes with its API.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "webhooks", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Stripe's own library signs, for versions of the API that are not the adapter's.
func TestGateway_Verify_recorded(t *testing.T) {
	t.Parallel()
	_, gateway := open(t, clock.System{})
	at := time.Now()
	const key, intent = "0199f1c2-7b3a-7c1e-9d2f-5a6b7c8d9e0f", "pi_3SJmarKB7WZ01zgk1PjUoXyz"
	for name, want := range map[string]payment.Event{
		"payment_intent.amount_capturable_updated": {Kind: payment.EventCharge, Key: key, Reference: intent},
		"payment_intent.succeeded":                 {Kind: payment.EventCharge, Key: key, Reference: intent},
		"payment_intent.payment_failed":            {Kind: payment.EventCharge, Key: key, Reference: intent},
		"charge.refunded":                          {Kind: payment.EventRefund, Key: key, Reference: intent},
		"refund.failed":                            {Kind: payment.EventRefund, Key: key, Reference: intent},
		"charge.dispute.created":                   {Kind: payment.EventDispute, Reference: intent},
		"customer.created":                         {Kind: payment.EventOther},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := recorded(t, name)
			signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: webhookSecret, Timestamp: at})
			got, err := gateway.Verify(http.Header{"Stripe-Signature": {signed.Header}}, body, at)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got.ID, "evt_") {
				t.Errorf("the event has the id %q", got.ID)
			}
			want.ID, want.OccurredAt = got.ID, time.Unix(1793000000, 0).UTC()
			if got != want {
				t.Errorf("the event is %+v, want %+v", got, want)
			}
		})
	}
}

func TestGateway_Verify_signatures(t *testing.T) {
	t.Parallel()
	_, gateway := open(t, clock.System{})
	body, at := recorded(t, "payment_intent.succeeded"), time.Unix(1793000000, 0)
	header := func(text string) http.Header { return http.Header{"Stripe-Signature": {text}} }
	genuine := sign(webhookSecret, body, at).Get("Stripe-Signature")
	other := sign("whsec_of_somebody_else", body, at).Get("Stripe-Signature")
	_, otherV1, _ := strings.Cut(other, ",")
	_, genuineV1, _ := strings.Cut(genuine, ",")
	stamp, _, _ := strings.Cut(genuine, ",")
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		now    time.Time
		valid  bool
	}{
		"genuine":                              {header(genuine), body, at, true},
		"while_the_secret_changes":             {header(stamp + "," + otherV1 + "," + genuineV1), body, at, true},
		"with_a_scheme_of_tests_beside":        {header(genuine + ",v0=00"), body, at, true},
		"five_minutes_later":                   {header(genuine), body, at.Add(payment.WebhookAge), true},
		"six_minutes_later":                    {header(genuine), body, at.Add(6 * time.Minute), false},
		"six_minutes_ahead":                    {header(genuine), body, at.Add(-6 * time.Minute), false},
		"of_another_endpoint":                  {header(other), body, at, false},
		"unsigned":                             {http.Header{}, body, at, false},
		"only_a_scheme_of_tests":               {header(stamp + "," + strings.Replace(genuineV1, "v1", "v0", 1)), body, at, false},
		"without_a_time":                       {header(genuineV1), body, at, false},
		"with_two_times":                       {header("t=1793003600," + genuine), body, at.Add(time.Hour), false},
		"replayed_with_a_time_of_now":          {header("t=1793003600," + genuineV1), body, at.Add(time.Hour), false},
		"written_anew":                         {header(genuine), compact.Bytes(), at, false},
		"one_amount_changed":                   {header(genuine), bytes.Replace(body, []byte("1200"), []byte("1"), 1), at, false},
		"signed_but_no_event":                  {sign(webhookSecret, []byte("{}"), at), []byte("{}"), at, false},
		"signed_but_not_even_an_object":        {sign(webhookSecret, []byte("[]"), at), []byte("[]"), at, false},
		"a_time_so_far_that_the_age_overflows": {header("t=-9223372036854775808," + genuineV1), body, at, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := gateway.Verify(c.header, c.body, c.now)
			if c.valid && (err != nil || event.ID == "") || !c.valid && (!errors.Is(err, payment.ErrForged) || event != payment.Event{}) {
				t.Errorf("the event is %+v, %v; valid: %v", event, err, c.valid)
			}
		})
	}
}

// An endpoint without a secret believes nobody, least of all who signs with none.
func TestGateway_Verify_without_a_secret(t *testing.T) {
	t.Parallel()
	gateway := stripe.New(stripe.Options{SecretKey: secretKey})
	body, at := recorded(t, "payment_intent.succeeded"), time.Now()
	if _, err := gateway.Verify(sign("", body, at), body, at); !errors.Is(err, payment.ErrForged) {
		t.Errorf("error %v, want ErrForged", err)
	}
}
