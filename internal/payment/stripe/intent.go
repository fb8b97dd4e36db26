package stripe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sdk "github.com/stripe/stripe-go/v85"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// The metadata of intents and refunds.
const (
	keyField      = "marquee_key"         // our key of the charge
	refundField   = "marquee_refund"      // our key of the refund
	awaitsField   = "marquee_awaits"      // set where the customer confirms, not we
	declinedField = "marquee_declined_as" // the code of a decline, which Stripe forgets when it cancels
)

// open returns the intent of a fresh key, blank if this is the first that Stripe hears of it.
func (g *Gateway) open(ctx context.Context, key string) (*sdk.PaymentIntent, error) {
	const meaningless = 100
	params := &sdk.PaymentIntentCreateParams{
		Amount: sdk.Int64(meaningless), Currency: sdk.String(string(sdk.CurrencyUSD)),
		CaptureMethod:      sdk.String(string(sdk.PaymentIntentCaptureMethodManual)),
		PaymentMethodTypes: []*string{sdk.String(string(sdk.PaymentMethodTypeCard))},
		Metadata:           map[string]string{keyField: key},
	}
	params.SetIdempotencyKey(idempotency(key, "open"))
	intent, err := g.api.V1PaymentIntents.Create(ctx, params)
	if err != nil {
		return nil, fault(err)
	}
	return g.current(ctx, intent.ID, intent, nil)
}

// find returns the intent of a key as it stands, perhaps blank: ErrNoSuchCharge where the key is old and there is none.
func (g *Gateway) find(ctx context.Context, key string) (*sdk.PaymentIntent, error) {
	if g.fresh(key) {
		return g.open(ctx, key)
	}
	params := &sdk.PaymentIntentSearchParams{}
	params.Query = fmt.Sprintf("metadata['%s']:'%s'", keyField, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(key))
	for found, err := range g.api.V1PaymentIntents.Search(ctx, params).All(ctx) {
		if err != nil {
			return nil, fault(err)
		}
		// What the search says of an intent may be of earlier.
		return g.retrieve(ctx, found.ID)
	}
	return nil, payment.ErrNoSuchCharge
}

// known is find for an intent that is there for callers too: ErrNoSuchCharge for a blank one.
func (g *Gateway) known(ctx context.Context, key string) (*sdk.PaymentIntent, error) {
	intent, err := g.find(ctx, key)
	if err == nil && blank(intent) {
		err = payment.ErrNoSuchCharge
	}
	return intent, err
}

func (g *Gateway) retrieve(ctx context.Context, id string) (*sdk.PaymentIntent, error) {
	intent, err := g.api.V1PaymentIntents.Retrieve(ctx, id, nil)
	return intent, fault(err)
}

// current returns what a call has made of an intent. Where Stripe repeats what it said before, or the intent had moved on, that
// is asked for.
func (g *Gateway) current(ctx context.Context, id string, answer *sdk.PaymentIntent, err error) (*sdk.PaymentIntent, error) {
	if movedOn(err) || err == nil && repeated(answer.LastResponse) {
		return g.retrieve(ctx, id)
	}
	return answer, fault(err)
}

func repeated(response *sdk.APIResponse) bool {
	return response != nil && response.Header.Get("Idempotent-Replayed") == "true"
}

// blank reports whether nothing was asked of an intent: neither we nor the customer has let it be charged.
func blank(intent *sdk.PaymentIntent) bool {
	switch intent.Status {
	case sdk.PaymentIntentStatusRequiresConfirmation:
		return true
	case sdk.PaymentIntentStatusRequiresPaymentMethod:
		return intent.Metadata[awaitsField] == "" && declineOf(intent) == ""
	default:
		return false
	}
}

var errUnreadable = errors.New("stripe: the answer makes no sense")

// charge returns an intent that is not blank in our terms.
func (g *Gateway) charge(ctx context.Context, intent *sdk.PaymentIntent) (payment.Charge, error) {
	if code := declineOf(intent); code != "" && intent.Status == sdk.PaymentIntentStatusRequiresPaymentMethod {
		var err error
		if intent, err = g.decline(ctx, intent.ID, code); err != nil {
			return payment.Charge{}, err
		}
	}
	charge := payment.Charge{Reference: intent.ID}
	switch intent.Status {
	case sdk.PaymentIntentStatusRequiresPaymentMethod, sdk.PaymentIntentStatusRequiresAction:
		charge.Status, charge.Next = payment.ChargeRequiresAction, g.nextStep(intent)
	case sdk.PaymentIntentStatusProcessing:
		charge.Status = payment.ChargeProcessing
	case sdk.PaymentIntentStatusRequiresCapture:
		charge.Status = payment.ChargeAuthorized
	case sdk.PaymentIntentStatusCanceled:
		charge.Status, charge.DeclineCode = payment.ChargeVoided, declineOf(intent)
		if charge.DeclineCode != "" {
			charge.Status = payment.ChargeDeclined
		}
	case sdk.PaymentIntentStatusSucceeded:
		charge.Status = payment.ChargeCaptured
		return g.withMoney(ctx, charge, intent)
	default:
		return payment.Charge{}, fmt.Errorf("%w: the status %q", errUnreadable, intent.Status)
	}
	return charge, nil
}

// nextStep returns what the customer has to do.
func (g *Gateway) nextStep(intent *sdk.PaymentIntent) payment.NextStep {
	if next := intent.NextAction; next != nil && next.RedirectToURL != nil && next.RedirectToURL.URL != "" {
		return payment.Redirect{URL: next.RedirectToURL.URL}
	}
	return payment.ConfirmOnClient{PublicKey: g.publishableKey, ClientSecret: intent.ClientSecret}
}

// withMoney adds what was captured of an intent, and what has gone back of it.
func (g *Gateway) withMoney(ctx context.Context, charge payment.Charge, intent *sdk.PaymentIntent) (payment.Charge, error) {
	refunds, err := g.refunds(ctx, intent.ID)
	if err != nil {
		return payment.Charge{}, err
	}
	back := int64(0)
	for _, refund := range refunds {
		if refund.Status == sdk.RefundStatusSucceeded {
			back += refund.Amount
		}
	}
	for target, minor := range map[*money.Money]int64{&charge.Captured: intent.AmountReceived, &charge.Refunded: back} {
		if *target, err = fromStripe(minor, intent.Currency); err != nil {
			return payment.Charge{}, err
		}
	}
	return charge, nil
}

// decline closes an intent whose card was declined: it keeps the code, and no card is charged by it any more. An intent that
// had moved on is returned as it stands.
func (g *Gateway) decline(ctx context.Context, id, code string) (*sdk.PaymentIntent, error) {
	answer, err := g.api.V1PaymentIntents.Update(ctx, id, &sdk.PaymentIntentUpdateParams{Metadata: map[string]string{declinedField: code}})
	if err == nil {
		answer, err = g.api.V1PaymentIntents.Cancel(ctx, id, nil)
	}
	return g.current(ctx, id, answer, err)
}
