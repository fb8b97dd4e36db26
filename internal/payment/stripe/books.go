package stripe

import (
	"context"
	"time"

	sdk "github.com/stripe/stripe-go/v85"

	"marquee/internal/payment"
)

// Booked lists intents, the last made first, those included that others have made at the account. Blank ones are left out.
func (g *Gateway) Booked(ctx context.Context, from, to time.Time, after string) (page []payment.BookedCharge, next string, err error) {
	const pageSize = 100
	params := &sdk.PaymentIntentListParams{CreatedRange: &sdk.RangeQueryParams{GreaterThanOrEqual: from.Unix(), LesserThanOrEqual: to.Unix()}}
	params.Limit = sdk.Int64(pageSize)
	params.AddExpand("data.latest_charge")
	if after != "" {
		params.StartingAfter = &after
	}
	read := 0
	for intent, err := range g.api.V1PaymentIntents.List(ctx, params).All(ctx) {
		if err != nil {
			return nil, "", fault(err)
		}
		if !blank(intent) {
			booked, err := bookedOf(intent)
			if err != nil {
				return nil, "", err
			}
			page = append(page, booked)
		}
		if read++; read == pageSize {
			return page, intent.ID, nil
		}
	}
	return page, "", nil
}

// bookedOf returns an intent with its charge expanded. What has gone back is what that says, refunds on their way included.
func bookedOf(intent *sdk.PaymentIntent) (payment.BookedCharge, error) {
	booked := payment.BookedCharge{Key: intent.Metadata[keyField], CreatedAt: time.Unix(intent.Created, 0), Charge: payment.Charge{Reference: intent.ID}}
	booked.DeclineCode = declineOf(intent)
	switch intent.Status {
	case sdk.PaymentIntentStatusProcessing:
		booked.Status = payment.ChargeProcessing
	case sdk.PaymentIntentStatusRequiresCapture:
		booked.Status = payment.ChargeAuthorized
	case sdk.PaymentIntentStatusSucceeded:
		booked.Status = payment.ChargeCaptured
		back := int64(0)
		if intent.LatestCharge != nil {
			back = intent.LatestCharge.AmountRefunded
		}
		var err error
		if booked.Captured, err = fromStripe(intent.AmountReceived, intent.Currency); err == nil {
			booked.Refunded, err = fromStripe(back, intent.Currency)
		}
		return booked, err
	case sdk.PaymentIntentStatusCanceled:
		booked.Status = payment.ChargeVoided
		if booked.DeclineCode != "" {
			booked.Status = payment.ChargeDeclined
		}
	default:
		// A declined card is closed by whoever looks it up.
		booked.Status = payment.ChargeRequiresAction
	}
	return booked, nil
}
