package stripe

import (
	"context"
	"fmt"
	"slices"

	sdk "github.com/stripe/stripe-go/v85"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// Refund gives back amount of a captured intent. A refund that is there already is found by its metadata in the list of the
// intent's refunds, which is of now and forgets nothing; the idempotency key is for those that come at the same time.
func (g *Gateway) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	intent, err := g.known(ctx, key)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	refunds, err := g.refunds(ctx, intent.ID)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	left := intent.AmountReceived
	for _, refund := range refunds {
		if refund.Metadata[refundField] == refundKey {
			return chargeRefund(refund)
		}
		if statusOf(refund) != payment.RefundFailed {
			left -= refund.Amount
		}
	}
	minor, err := toStripe(amount)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	if intent.Status != sdk.PaymentIntentStatusSucceeded || lower(amount.Currency) != string(intent.Currency) || minor > left {
		return payment.ChargeRefund{}, fmt.Errorf("%w: not a part of what is left", payment.ErrRefused)
	}
	params := &sdk.RefundCreateParams{
		PaymentIntent: &intent.ID, Amount: &minor, Metadata: map[string]string{keyField: key, refundField: refundKey},
	}
	params.SetIdempotencyKey(idempotency(refundKey, "refund"))
	refund, err := g.api.V1Refunds.Create(ctx, params)
	if err == nil && repeated(refund.LastResponse) {
		refund, err = g.api.V1Refunds.Retrieve(ctx, refund.ID, nil)
	}
	if err != nil {
		return payment.ChargeRefund{}, fault(err)
	}
	return chargeRefund(refund)
}

// LookupRefund finds a refund by its metadata in the list of the intent's refunds.
func (g *Gateway) LookupRefund(ctx context.Context, key, refundKey string) (payment.ChargeRefund, error) {
	intent, err := g.known(ctx, key)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	refunds, err := g.refunds(ctx, intent.ID)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	i := slices.IndexFunc(refunds, func(refund *sdk.Refund) bool { return refund.Metadata[refundField] == refundKey })
	if i < 0 {
		return payment.ChargeRefund{}, payment.ErrNoSuchRefund
	}
	return chargeRefund(refunds[i])
}

// releases are the reasons of what Stripe lists among refunds and is none: funds let go of that were never captured.
var releases = map[sdk.RefundReason]bool{"partial_capture": true, sdk.RefundReasonExpiredUncapturedCharge: true}

// refunds returns all refunds of an intent, those made at the dashboard and those that failed included.
func (g *Gateway) refunds(ctx context.Context, intent string) ([]*sdk.Refund, error) {
	params := &sdk.RefundListParams{PaymentIntent: &intent}
	const page = 100
	params.Limit = sdk.Int64(page)
	var all []*sdk.Refund
	for refund, err := range g.api.V1Refunds.List(ctx, params).All(ctx) {
		if err != nil {
			return nil, fault(err)
		}
		if !releases[refund.Reason] {
			all = append(all, refund)
		}
	}
	return all, nil
}

func chargeRefund(refund *sdk.Refund) (payment.ChargeRefund, error) {
	amount, err := fromStripe(refund.Amount, refund.Currency)
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	return payment.ChargeRefund{Reference: refund.ID, Status: statusOf(refund), Code: string(refund.FailureReason), Amount: amount}, nil
}

func statusOf(refund *sdk.Refund) payment.RefundStatus {
	switch refund.Status {
	case sdk.RefundStatusSucceeded:
		return payment.RefundDone
	case sdk.RefundStatusFailed, sdk.RefundStatusCanceled:
		return payment.RefundFailed
	default:
		return payment.RefundPending
	}
}
