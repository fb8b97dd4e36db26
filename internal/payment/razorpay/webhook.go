package razorpay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"marquee/internal/payment"
)

const (
	signatureHeader = "X-Razorpay-Signature"
	eventIDHeader   = "X-Razorpay-Event-Id"
)

// maxEventID bounds a header that is not signed.
const maxEventID = 100

// notification is the body of a webhook.
type notification struct {
	Event     string `json:"event"`
	CreatedAt int64  `json:"created_at"` // Unix seconds
	Payload   struct {
		Payment struct {
			Entity charged `json:"entity"`
		} `json:"payment"`
		Order struct {
			Entity order `json:"entity"`
		} `json:"order"`
	} `json:"payload"`
}

// Verify believes what is signed with a secret of the webhook and says which event it is. The id is in a header that the
// signature does not cover, and no time is signed: whoever repeats a webhook, under whatever id, makes us look the charge
// up and nothing else. Only order.paid says our key; the others have the order's id for a reference.
func (g *Gateway) Verify(header http.Header, body []byte, _ time.Time) (payment.Event, error) {
	id := header.Get(eventIDHeader)
	isSigned := slices.ContainsFunc(g.cfg.WebhookSecrets, func(secret string) bool { return signed(secret, body, header.Get(signatureHeader)) })
	if !isSigned || id == "" || len(id) > maxEventID {
		return payment.Event{}, payment.ErrForged
	}
	var n notification
	if err := json.Unmarshal(body, &n); err != nil {
		return payment.Event{}, errors.Join(payment.ErrForged, err)
	}
	event := payment.Event{
		ID: id, Kind: kind(n.Event), Key: n.Payload.Order.Entity.Receipt, Reference: n.Payload.Order.Entity.ID,
		OccurredAt: time.Unix(n.CreatedAt, 0).UTC(),
	}
	if event.Reference == "" {
		event.Reference = n.Payload.Payment.Entity.OrderID
	}
	return event, nil
}

// kind returns what an event is about.
func kind(event string) payment.EventKind {
	switch {
	case strings.HasPrefix(event, "payment.dispute."):
		return payment.EventDispute
	case strings.HasPrefix(event, "refund."):
		return payment.EventRefund
	case event == "order.paid", event == "payment.authorized", event == "payment.captured", event == "payment.failed", event == "payment.pending":
		return payment.EventCharge
	default:
		return payment.EventOther
	}
}

// Checkout is what Razorpay's checkout hands the browser when the customer has paid.
type Checkout struct {
	OrderID   string `json:"razorpay_order_id"`
	PaymentID string `json:"razorpay_payment_id"`
	Signature string `json:"razorpay_signature"`
}

// VerifyCheckout returns ErrForged unless Razorpay has signed that an order was paid by a payment. reference is the order
// of the charge that the browser claims to have paid, from our own records. It proves that the payment was made, once; how
// it stands, Lookup says.
func (g *Gateway) VerifyCheckout(reference string, c Checkout) error {
	if c.OrderID != reference || !signed(g.cfg.KeySecret, []byte(c.OrderID+"|"+c.PaymentID), c.Signature) {
		return payment.ErrForged
	}
	return nil
}

// signed reports whether a signature is the HMAC-SHA256 of a text, in hexadecimal. Nothing is signed with an empty secret.
func signed(secret string, text []byte, signature string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(text)
	return secret != "" && hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(signature))
}
