package razorpay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// refund is Razorpay's. Its currency is left out: it is that of the payment, and empty in some answers.
type refund struct {
	ID      string `json:"id"`
	Amount  int64  `json:"amount"`
	Status  string `json:"status"`
	Receipt string `json:"receipt"`
}

// status returns how a refund stands; "" for a word that Razorpay does not document.
func (r refund) status() payment.RefundStatus {
	switch r.Status {
	case "processed":
		return payment.RefundDone
	case "pending":
		return payment.RefundPending
	case "failed":
		return payment.RefundFailed
	default:
		return ""
	}
}

func (r refund) answer(currency string) (payment.ChargeRefund, error) {
	if r.status() == "" {
		return payment.ChargeRefund{}, fmt.Errorf("razorpay: refund %s is %q, whatever that is", r.ID, brief(r.Status))
	}
	return payment.ChargeRefund{Reference: r.ID, Status: r.status(), Amount: money.Money{AmountMinor: r.Amount, Currency: currency}}, nil
}

type refundRequest struct {
	Amount  int64  `json:"amount"`
	Speed   string `json:"speed"`
	Receipt string `json:"receipt"`
}

// receipt is what a refund is found again by, and its idempotency key: Razorpay wants at least ten letters, digits, hyphens
// and underscores there, and no more than forty in a receipt.
func receipt(refundKey string) string {
	const enough = 16 // bytes
	sum := sha256.Sum256([]byte(refundKey))
	return hex.EncodeToString(sum[:enough])
}

// Refund gives back an amount the way it came, at normal speed: the instant one costs a fee. A refund that Razorpay does not
// make while the account has too little is an Error, and may be asked for again.
func (g *Gateway) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	release, err := g.turns.take(ctx, key)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	defer release()
	r, err := g.read(ctx, key)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	charge, err := r.charge(g.cfg.KeyID)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	if charge.Status != payment.ChargeCaptured {
		return payment.ChargeRefund{}, fmt.Errorf("razorpay: a refund of what was not captured: %w", payment.ErrRefused)
	}
	p, _ := r.leading()
	once := receipt(refundKey)
	made, err := g.refunds(ctx, p.ID)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	if i := slices.IndexFunc(made, func(r refund) bool { return r.Receipt == once }); i >= 0 {
		return made[i].answer(p.Currency)
	}
	if err := p.allows(amount, made); err != nil {
		return payment.ChargeRefund{}, err
	}
	var fresh refund
	err = g.call(ctx, call{
		method: http.MethodPost, path: "/payments/" + p.ID + "/refund", once: once,
		body: refundRequest{Amount: amount.AmountMinor, Speed: "normal", Receipt: once},
	}, &fresh)
	if wrong, ok := errors.AsType[*Error](err); ok && wrong.Status == http.StatusBadRequest {
		// Somebody may have given it back by hand just now.
		made, readErr := g.refunds(ctx, p.ID)
		if readErr != nil {
			return payment.ChargeRefund{}, errors.Join(err, readErr)
		}
		return payment.ChargeRefund{}, errors.Join(p.allows(amount, made), err)
	}
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	return fresh.answer(p.Currency)
}

// LookupRefund finds a refund by its receipt in the list of the payment's refunds.
func (g *Gateway) LookupRefund(ctx context.Context, key, refundKey string) (payment.ChargeRefund, error) {
	r, err := g.read(ctx, key)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	p, paid := r.leading()
	if !paid {
		return payment.ChargeRefund{}, payment.ErrNoSuchRefund
	}
	made, err := g.refunds(ctx, p.ID)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	if i := slices.IndexFunc(made, func(one refund) bool { return one.Receipt == receipt(refundKey) }); i >= 0 {
		return made[i].answer(p.Currency)
	}
	return payment.ChargeRefund{}, payment.ErrNoSuchRefund
}

// allows returns ErrRefused for an amount that cannot be given back beside the refunds that were made.
func (p charged) allows(amount money.Money, made []refund) error {
	left := p.Amount - total(made, payment.RefundDone) - total(made, payment.RefundPending)
	if amount.Currency == p.Currency && takes(amount) && amount.AmountMinor <= left {
		return nil
	}
	return fmt.Errorf("razorpay: a refund of %s where %d of %s is left: %w", amount.Formatted(), left, p.money().Formatted(), payment.ErrRefused)
}

// refunds asks for all refunds of a payment, by whomever.
func (g *Gateway) refunds(ctx context.Context, paymentID string) (all []refund, err error) {
	for {
		var page collection[refund]
		err := g.call(ctx, call{
			method: http.MethodGet, path: "/payments/" + paymentID + "/refunds",
			query: url.Values{"count": {pageSize}, "skip": {strconv.Itoa(len(all))}},
		}, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if strconv.Itoa(len(page.Items)) != pageSize {
			return all, nil
		}
	}
}

// total adds up the refunds of a status, in minor units.
func total(refunds []refund, status payment.RefundStatus) (minor int64) {
	for _, r := range refunds {
		if r.status() == status {
			minor += r.Amount
		}
	}
	return minor
}
