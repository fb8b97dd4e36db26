package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// Charge is a charge as the sandbox tells of it and keeps it. The JSON form is stored: do not rename.
type Charge struct {
	Key           string               `json:"key"`
	Reference     string               `json:"reference"`
	Status        payment.ChargeStatus `json:"status"`
	AmountMinor   int64                `json:"amountMinor"`
	Currency      string               `json:"currency"`
	CapturedMinor int64                `json:"capturedMinor"`
	RefundedMinor int64                `json:"refundedMinor"`
	DeclineCode   string               `json:"declineCode,omitempty"`
	Page          string               `json:"page,omitempty"`    // the secret of the page on which its customer confirms it; kept, not told
	PageURL       string               `json:"pageUrl,omitempty"` // where that is, while it requires that; told, not kept
	ReturnURL     string               `json:"returnUrl,omitempty"`
	Disputed      bool                 `json:"disputed,omitempty"`
}

// Told returns the charge as Marquee knows charges.
func (c Charge) Told() payment.Charge {
	told := payment.Charge{
		Reference: c.Reference, Status: c.Status, DeclineCode: c.DeclineCode,
		Captured: money.Money{AmountMinor: c.CapturedMinor, Currency: c.Currency},
		Refunded: money.Money{AmountMinor: c.RefundedMinor, Currency: c.Currency},
	}
	if c.Status == payment.ChargeRequiresAction {
		told.Next = payment.Redirect{URL: c.PageURL}
	}
	return told
}

// Refund is a refund as the sandbox tells of it and keeps it. The JSON form is stored: do not rename.
type Refund struct {
	Key         string               `json:"key"`
	ChargeKey   string               `json:"chargeKey"`
	Reference   string               `json:"reference"`
	Status      payment.RefundStatus `json:"status"`
	FailureCode string               `json:"failureCode,omitempty"`
	AmountMinor int64                `json:"amountMinor"`
	Currency    string               `json:"currency"`
}

// Told returns the refund as Marquee knows refunds.
func (r Refund) Told() payment.ChargeRefund {
	return payment.ChargeRefund{
		Reference: r.Reference, Status: r.Status, Code: r.FailureCode, Amount: money.Money{AmountMinor: r.AmountMinor, Currency: r.Currency},
	}
}

// Amount is what calls send.
type Amount struct {
	Key         string `json:"key,omitempty"` // of a refund
	AmountMinor int64  `json:"amountMinor"`
	Currency    string `json:"currency"`
	Token       string `json:"token,omitempty"`     // of Authorize
	ReturnURL   string `json:"returnUrl,omitempty"` // of Authorize
}

// Page is a part of the gateway's books.
type Page struct {
	Charges []Booked `json:"charges"`
	Next    string   `json:"next,omitempty"` // what to ask for the next page with; "": there is none
}

// Booked is a charge in the books, without what only its customer needs.
type Booked struct {
	Charge

	CreatedAt time.Time `json:"createdAt"`
}

// Problem is what the sandbox answers instead.
type Problem struct {
	Code string `json:"code"`
}

// The codes of problems that are definite.
const (
	NoSuchCharge = "NO_SUCH_CHARGE"
	NoSuchRefund = "NO_SUCH_REFUND"
	Refused      = "REFUSED"
)

// Notice is the body of a webhook.
type Notice struct {
	ID         string            `json:"id"`
	Kind       payment.EventKind `json:"kind"`
	OccurredAt time.Time         `json:"occurredAt"`
	Charge     Charge            `json:"charge"`
}

// SignatureHeader is where the signature of a webhook is: t=SECONDS,v1=HEX.
const SignatureHeader = "Sandbox-Signature"

// Sign returns the signature of a webhook's body at a moment: HMAC-SHA256 of the seconds, a full stop and the body.
func Sign(secret string, body []byte, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// The tokens that stand for instruments with a mind of their own.
const (
	TokenChallenge = "tok_challenge" // the customer confirms on a page
	TokenSlow      = "tok_slow"      // the bank takes its time
)
