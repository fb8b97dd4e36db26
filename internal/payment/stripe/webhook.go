package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"marquee/internal/payment"
)

// signatureHeader holds "t=<Unix seconds>,v1=<HMAC in hex>", with a v1 for each secret while the endpoint changes it.
const signatureHeader = "Stripe-Signature"

// Verify returns the event of a webhook. It reads no more of it than the fields below, which are in every version of the API:
// an endpoint may be of another one than this program, which the SDK's own verification refuses.
func (g *Gateway) Verify(header http.Header, body []byte, now time.Time) (payment.Event, error) {
	if !g.signed(header.Get(signatureHeader), body, now) {
		return payment.Event{}, payment.ErrForged
	}
	var event struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Created int64  `json:"created"`
		Data    struct {
			Object struct {
				ID            string            `json:"id"`
				Object        string            `json:"object"`
				PaymentIntent json.RawMessage   `json:"payment_intent"` // an id, or the intent itself
				Metadata      map[string]string `json:"metadata"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil || event.ID == "" {
		return payment.Event{}, fmt.Errorf("%w: it is signed, but no event", payment.ErrForged)
	}
	object := event.Data.Object
	told := payment.Event{ID: event.ID, Kind: kindOf(event.Type), OccurredAt: time.Unix(event.Created, 0).UTC()}
	if told.Kind != payment.EventOther {
		told.Key, told.Reference = object.Metadata[keyField], object.ID
		if object.Object != "payment_intent" {
			told.Reference = intentID(object.PaymentIntent)
		}
	}
	return told, nil
}

// signed reports whether one of the signatures is of the body and of now.
func (g *Gateway) signed(header string, body []byte, now time.Time) bool {
	var stamp string
	var signatures [][]byte
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			if signature, err := hex.DecodeString(value); err == nil {
				signatures = append(signatures, signature)
			}
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > payment.WebhookAge {
		return false
	}
	for _, secret := range g.webhookSecrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		if secret != "" && slices.ContainsFunc(signatures, func(s []byte) bool { return hmac.Equal(s, want) }) {
			return true
		}
	}
	return false
}

// kindOf sorts Stripe's types of events.
func kindOf(name string) payment.EventKind {
	switch {
	case strings.HasPrefix(name, "charge.dispute."):
		return payment.EventDispute
	case strings.HasPrefix(name, "refund."), strings.HasPrefix(name, "charge.refund"):
		return payment.EventRefund
	case strings.HasPrefix(name, "payment_intent."), strings.HasPrefix(name, "charge."):
		return payment.EventCharge
	default:
		return payment.EventOther
	}
}

// intentID returns the id of an intent that is given by it, or whole.
func intentID(raw json.RawMessage) string {
	var id string
	if json.Unmarshal(raw, &id) == nil {
		return id
	}
	var whole struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(raw, &whole) // none: "" says so
	return whole.ID
}
