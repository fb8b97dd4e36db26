package razorpay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// The parts of Razorpay's entities that anything follows from. What customers type in the checkout is among what is not read.
type (
	order struct {
		ID        string `json:"id"`
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Receipt   string `json:"receipt"`
		Notes     notes  `json:"notes"`
		CreatedAt int64  `json:"created_at"` // Unix seconds
		Payments  struct {
			Items []charged `json:"items"`
		} `json:"payments"`
	}
	// charged is a payment.
	charged struct {
		ID             string `json:"id"`
		OrderID        string `json:"order_id"`
		Amount         int64  `json:"amount"`
		Currency       string `json:"currency"`
		Status         string `json:"status"`
		Captured       bool   `json:"captured"` // ever
		AmountRefunded int64  `json:"amount_refunded"`
		RefundStatus   string `json:"refund_status"`
		ErrorCode      string `json:"error_code"`
		ErrorReason    string `json:"error_reason"`
		CreatedAt      int64  `json:"created_at"`
	}
	notes map[string]any
)

// voidNote is the note of an order that nothing is captured for any more.
const voidNote = "marquee_void"

// UnmarshalJSON reads an object; Razorpay writes one without fields as an empty array.
func (n *notes) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		*n = nil
		return nil
	}
	return json.Unmarshal(text, (*map[string]any)(n))
}

// with returns the notes with one more: Razorpay replaces all of them at once.
func (n notes) with(name string, value any) notes {
	more := notes{name: value}
	maps.Copy(more, n)
	more[name] = value
	return more
}

func (o order) void() bool { return o.Notes[voidNote] != nil }

func (p charged) money() money.Money {
	return money.Money{AmountMinor: p.Amount, Currency: p.Currency}
}

// taken reports whether the payment's money was captured; some of it may have gone back.
func (p charged) taken() bool {
	return p.Status == "captured" || p.Status == "refunded" && p.Captured
}

// unheard is a status that Razorpay does not document: it may mean anything.
const unheard payment.ChargeStatus = ""

// standings are how payments stand, the last what counts most when an order has several.
var standings = []payment.ChargeStatus{
	payment.ChargeDeclined, payment.ChargeVoided, payment.ChargeProcessing, payment.ChargeAuthorized, unheard, payment.ChargeCaptured,
}

// status returns how a payment stands. One that lapsed is refunded without having been captured.
func (p charged) status() payment.ChargeStatus {
	switch {
	case p.taken():
		return payment.ChargeCaptured
	case p.Status == "authorized":
		return payment.ChargeAuthorized
	case p.Status == "created", p.Status == "pending":
		return payment.ChargeProcessing
	case p.Status == "refunded":
		return payment.ChargeVoided
	case p.Status == "failed":
		return payment.ChargeDeclined
	default:
		return unheard
	}
}

// record is what Razorpay knows of a key: its orders, the oldest first, at least one, and the refunds of its leading payment.
type record struct {
	orders  []order
	refunds []refund
}

// isKey reports whether a text can be an order's receipt.
func isKey(key string) bool {
	const longest = 40
	return key != "" && len(key) <= longest
}

// collection is a page of a list.
type collection[T any] struct {
	Items []T `json:"items"`
}

// pageSize is the most that Razorpay gives at once.
const pageSize = "100"

// read asks for the record of a key, or gives ErrNoSuchCharge.
func (g *Gateway) read(ctx context.Context, key string) (record, error) {
	if !isKey(key) {
		return record{}, payment.ErrNoSuchCharge
	}
	var found collection[order]
	err := g.call(ctx, call{
		method: http.MethodGet, path: "/orders",
		query: url.Values{"receipt": {key}, "expand[]": {"payments"}, "count": {pageSize}},
	}, &found)
	if err != nil {
		return record{}, err
	}
	// The documentation leaves open whether a part of a receipt is enough to be found.
	r := record{orders: slices.DeleteFunc(found.Items, func(o order) bool { return o.Receipt != key })}
	if len(r.orders) == 0 {
		return record{}, payment.ErrNoSuchCharge
	}
	slices.SortFunc(r.orders, func(a, b order) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	if p, ok := r.leading(); ok && p.taken() && (p.AmountRefunded > 0 || p.RefundStatus != "") {
		r.refunds, err = g.refunds(ctx, p.ID)
	}
	return r, err
}

// amount is what the key's charge is for.
func (r record) amount() money.Money {
	return money.Money{AmountMinor: r.orders[0].Amount, Currency: r.orders[0].Currency}
}

// leading returns the payment that has come farthest, of these the oldest; false when nobody has tried to pay.
func (r record) leading() (charged, bool) {
	var all []charged
	for _, o := range r.orders {
		all = append(all, o.Payments.Items...)
	}
	if len(all) == 0 {
		return charged{}, false
	}
	return slices.MinFunc(all, func(a, b charged) int {
		return cmp.Or(
			cmp.Compare(slices.Index(standings, b.status()), slices.Index(standings, a.status())),
			cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID),
		)
	}), true
}

// charge says how the key stands. The reference is the id of the oldest order, from the first answer on.
func (r record) charge(publicKey string) (payment.Charge, error) {
	none := money.Money{Currency: r.amount().Currency}
	charge := payment.Charge{Reference: r.orders[0].ID, Status: payment.ChargeRequiresAction, Captured: none, Refunded: none}
	p, paid := r.leading()
	if paid {
		charge.Status = p.status()
	}
	if charge.Status == unheard {
		return payment.Charge{}, fmt.Errorf("razorpay: payment %s is %q, whatever that is", p.ID, brief(p.Status))
	}
	if charge.Status != payment.ChargeCaptured && slices.ContainsFunc(r.orders, order.void) {
		charge.Status = payment.ChargeVoided
	}
	switch charge.Status {
	case payment.ChargeRequiresAction:
		charge.Next = payment.ConfirmOnClient{PublicKey: publicKey, ClientSecret: charge.Reference}
	case payment.ChargeDeclined:
		charge.DeclineCode = cmp.Or(p.ErrorReason, p.ErrorCode, "payment_failed")
	case payment.ChargeCaptured:
		charge.Captured = p.money()
		charge.Refunded = money.Money{AmountMinor: total(r.refunds, payment.RefundDone), Currency: p.Currency}
	default:
	}
	return charge, nil
}
