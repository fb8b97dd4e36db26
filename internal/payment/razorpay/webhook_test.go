package razorpay_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/internal/payment"
	"marquee/internal/payment/razorpay"
)

// shapes are webhooks as Razorpay documents them, about nobody.
//
//go:embed testdata/*.json
var shapes embed.FS

func sign(secret string, text []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

func headers(signature, eventID string) http.Header {
	header := http.Header{}
	header.Set("X-Razorpay-Signature", signature)
	header.Set("X-Razorpay-Event-Id", eventID)
	return header
}

// paidWebhook returns what Razorpay sends when the order of a key is paid.
func paidWebhook(d *double) func(context.Context, string, time.Time) (http.Header, []byte, error) {
	return func(_ context.Context, key string, at time.Time) (http.Header, []byte, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		o := d.of(key)[0]
		body, err := json.Marshal(map[string]any{
			"entity": "event", "account_id": "acc_marquee", "event": "order.paid", "contains": []string{"payment", "order"}, "created_at": at.Unix(),
			"payload": map[string]any{
				"payment": map[string]any{"entity": o.Payments[0].json(o, d)}, "order": map[string]any{"entity": o.json(nil)},
			},
		})
		return headers(sign(webhookSecret, body), "event_"+o.ID), body, err
	}
}

// The signatures were made by openssl dgst -sha256 -hmac.
func TestGateway_Verify(t *testing.T) {
	t.Parallel()
	g := razorpay.New(razorpay.Config{KeyID: keyID, KeySecret: keySecret, WebhookSecrets: []string{webhookSecret}})
	now := time.Unix(1763937010, 0)
	for shape, want := range map[string]struct {
		signature string
		event     payment.Event
	}{
		"order.paid": {"89de8a89340d35ac9f4918e48b34acee9bfe1d4ded957b06dd78595f5d2282ff", payment.Event{
			Kind: payment.EventCharge, Key: "0199f3a2-7c1e-7b52-9a77-3f0c5a1d2e4b", Reference: "order_M4rqu33Ord001", OccurredAt: time.Unix(1763937000, 0).UTC(),
		}},
		"payment.authorized": {"d3d532d5fefb4f2e5109edd35ef7a9107990ba40ba92800466b1960bd15a519b", payment.Event{
			Kind: payment.EventCharge, Reference: "order_M4rqu33Ord001", OccurredAt: time.Unix(1763936995, 0).UTC(),
		}},
		"payment.failed": {"f8bdf1a348ad170684701720fff6cef6bc278687fe86b69421daad69975048af", payment.Event{
			Kind: payment.EventCharge, Reference: "order_M4rqu33Ord002", OccurredAt: time.Unix(1763936600, 0).UTC(),
		}},
		"refund.failed": {"885f60f1226e61ff297f310a385b8243eef63ed40a0e6aaed61b5f891498900e", payment.Event{
			Kind: payment.EventRefund, Reference: "order_M4rqu33Ord001", OccurredAt: time.Unix(1763939000, 0).UTC(),
		}},
		"payment.dispute.created": {"6ea775dffe5369c7a17d9cb54198d88cf564a3c486468ccc1a87170c4a03d410", payment.Event{
			Kind: payment.EventDispute, Reference: "order_M4rqu33Ord001", OccurredAt: time.Unix(1764000001, 0).UTC(),
		}},
		"payment.downtime.started": {"222ab25cccfde038a70f23d0783223e53b37e3fabce614d5771eb49af00f3157", payment.Event{
			Kind: payment.EventOther, OccurredAt: time.Unix(1763936002, 0).UTC(),
		}},
	} {
		t.Run(shape, func(t *testing.T) {
			t.Parallel()
			body, err := shapes.ReadFile("testdata/" + shape + ".json")
			if err != nil {
				t.Fatal(err)
			}
			want.event.ID = "event-1"
			genuine := headers(want.signature, "event-1")
			// Razorpay repeats a webhook for a day, and signs no time.
			for _, at := range []time.Time{now, now.Add(24 * time.Hour), now.Add(-24 * time.Hour)} {
				if event, err := g.Verify(genuine, body, at); err != nil || event != want.event {
					t.Errorf("at %s the event is %+v, %v; want %+v", at, event, err, want.event)
				}
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, body, "", "  "); err != nil {
				t.Fatal(err)
			}
			for name, forged := range map[string]struct {
				header http.Header
				body   []byte
			}{
				"unsigned":                    {headers("", "event-1"), body},
				"signed with the key":         {headers(sign(keySecret, body), "event-1"), body},
				"signed with nothing":         {headers(sign("", body), "event-1"), body},
				"signed in capitals":          {headers(strings.ToUpper(want.signature), "event-1"), body},
				"another amount":              {genuine, bytes.ReplaceAll(body, []byte("9"), []byte("8"))},
				"another order":               {genuine, bytes.ReplaceAll(body, []byte("event"), []byte("tneve"))},
				"written anew":                {genuine, indented.Bytes()},
				"cut":                         {genuine, bytes.TrimSpace(body)},
				"empty":                       {genuine, nil},
				"without an id":               {headers(want.signature, ""), body},
				"with an id of a kilobyte":    {headers(want.signature, strings.Repeat("e", 1<<10)), body},
				"signed, and no JSON":         {headers(sign(webhookSecret, []byte("<html>")), "event-1"), []byte("<html>")},
				"signed, of another's shapes": {headers(sign(webhookSecret, []byte(`{"event":7}`)), "event-1"), []byte(`{"event":7}`)},
			} {
				if event, err := g.Verify(forged.header, forged.body, now); !errors.Is(err, payment.ErrForged) || event != (payment.Event{}) {
					t.Errorf("%s: %+v, %v; want ErrForged", name, event, err)
				}
			}
		})
	}
	t.Run("an_account_without_a_secret_believes_nothing", func(t *testing.T) {
		t.Parallel()
		body := []byte(`{"event":"order.paid"}`)
		if event, err := razorpay.New(razorpay.Config{KeyID: keyID}).Verify(headers(sign("", body), "event-1"), body, now); !errors.Is(err, payment.ErrForged) {
			t.Errorf("the event is %+v, %v", event, err)
		}
	})
}

func TestGateway_VerifyCheckout(t *testing.T) {
	t.Parallel()
	const (
		reference = "order_M4rqu33Ord001"
		paid      = "pay_M4rqu33Paid001"
		signature = "a18d7fe5c8bdeba874f4338351f03363d5eb25677de857376e17f5680ffd2354"
	)
	g := razorpay.New(razorpay.Config{KeyID: keyID, KeySecret: keySecret, WebhookSecrets: []string{webhookSecret}})
	var handed razorpay.Checkout
	shape := `{"razorpay_payment_id":"` + paid + `","razorpay_order_id":"` + reference + `","razorpay_signature":"` + signature + `"}`
	if err := json.Unmarshal([]byte(shape), &handed); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it says the same when it is said again
		if err := g.VerifyCheckout(reference, handed); err != nil {
			t.Errorf("a genuine checkout gives %v", err)
		}
	}
	for name, forged := range map[string]struct {
		reference string
		checkout  razorpay.Checkout
	}{
		"unsigned":                   {reference, razorpay.Checkout{OrderID: reference, PaymentID: paid}},
		"another payment":            {reference, razorpay.Checkout{OrderID: reference, PaymentID: "pay_M4rqu33Paid002", Signature: signature}},
		"of another order":           {"order_M4rqu33Ord002", handed},
		"said to be of another":      {"order_M4rqu33Ord002", razorpay.Checkout{OrderID: "order_M4rqu33Ord002", PaymentID: paid, Signature: signature}},
		"a bar moved":                {reference + "|pay", razorpay.Checkout{OrderID: reference + "|pay", PaymentID: paid[3:], Signature: signature}},
		"signed with the webhook's":  {reference, razorpay.Checkout{OrderID: reference, PaymentID: paid, Signature: sign(webhookSecret, []byte(reference+"|"+paid))}},
		"signed with nothing at all": {reference, razorpay.Checkout{OrderID: reference, PaymentID: paid, Signature: sign("", []byte(reference+"|"+paid))}},
	} {
		if err := g.VerifyCheckout(forged.reference, forged.checkout); !errors.Is(err, payment.ErrForged) {
			t.Errorf("%s: %v; want ErrForged", name, err)
		}
	}
}
