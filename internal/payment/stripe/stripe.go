// Package stripe is Stripe as a payment gateway: PaymentIntents that are captured by hand.
//
// Stripe gives its intents ids of its own, and this package stores nothing. What ties a key of ours to an intent is the
// creation: its parameters follow from the key alone (a price that means nothing, our key as metadata) under an idempotency
// key that follows from it too. Whoever repeats it, also because an answer was lost, in another process or beside others,
// gets the same intent. An intent is blank until Authorize has priced and confirmed it: nothing is charged by it, and for
// callers it does not exist. Void cancels it, blank or not, and a cancelled intent never takes money.
//
// Stripe keeps idempotency keys for at least 24 hours. Our keys are UUIDs of version 7 and tell their age: past 23 hours an
// intent is looked for by its metadata, which Stripe's search knows within a minute as a rule and an hour at worst, long before
// it is needed. Such an old key that nothing is found for is never authorized: ErrRefused.
//
// Calls that take or give money have idempotency keys of ours too. Past 24 hours a second capture is impossible, and refunds are
// looked for before they are made. Cancelling is the same however often it is done and has
// none: Stripe would repeat a failure of the past for as long as it keeps the key.
//
// No number of a card comes here: customers give those to Stripe's own form, whose token is what Authorize takes.
package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	sdk "github.com/stripe/stripe-go/v85"

	"marquee/internal/clock"
	"marquee/internal/money"
	"marquee/internal/payment"
)

// Name is what attempts store.
const Name = "stripe"

// Options are an account at Stripe and the way to it.
type Options struct {
	SecretKey      string            // sk_…
	PublishableKey string            // pk_…, for the customer's browser
	WebhookSecrets []string          // whsec_…, of the endpoint that Stripe tells; several while they are changed
	URL            string            // of the API; "": Stripe's own
	Transport      http.RoundTripper // nil: the default one
	Clock          clock.Clock       // nil: the machine's
}

// Gateway is an account at Stripe. It is safe for concurrent use.
type Gateway struct {
	api            *sdk.Client
	publishableKey string
	webhookSecrets []string
	clock          clock.Clock
}

var (
	_ payment.Gateway  = (*Gateway)(nil)
	_ payment.Webhooks = (*Gateway)(nil)
	_ payment.Books    = (*Gateway)(nil)
)

// New returns the gateway of an account. It asks nobody.
func New(o Options) *Gateway {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	return &Gateway{
		api: sdk.NewClient(o.SecretKey, sdk.WithBackends(backends(o))), publishableKey: o.PublishableKey,
		webhookSecrets: slices.Clone(o.WebhookSecrets), clock: o.Clock,
	}
}

// Name returns "stripe".
func (*Gateway) Name() string { return Name }

// Capabilities are those of cards and of wallets that hold cards: methods that can be authorized first and captured later.
func (g *Gateway) Capabilities() payment.Capabilities {
	return payment.Capabilities{
		Currencies: currencies, Instruments: []payment.Instrument{payment.InstrumentCard, payment.InstrumentWallet},
		Actions: true, Asynchronous: true, PartialCapture: true, SignedTime: true, Step: payment.StepConfirmOnClient, PublicKey: g.publishableKey,
	}
}

// Authorize prices and confirms the intent of a key, or leaves it to the customer to confirm where there is no token. A key
// that was used with other parameters and came to nothing is refused.
func (g *Gateway) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	minor, err := toStripe(request.Amount)
	if err != nil {
		return payment.Charge{}, err
	}
	intent, err := g.find(ctx, key)
	if errors.Is(err, payment.ErrNoSuchCharge) {
		return payment.Charge{}, fmt.Errorf("%w: a key of more than %s ago", payment.ErrRefused, freshness)
	}
	if err != nil {
		return payment.Charge{}, err
	}
	if blank(intent) {
		intent, err = g.confirm(ctx, key, intent.ID, minor, request)
		if err != nil {
			return payment.Charge{}, err
		}
		if blank(intent) {
			return payment.Charge{}, fmt.Errorf("%w: the key was used for another request", payment.ErrRefused)
		}
	}
	return g.charge(ctx, intent)
}

// confirm prices a blank intent and lets it be charged. The first parameters of a key win, also beside others: the idempotency
// keys see to it.
func (g *Gateway) confirm(ctx context.Context, key, id string, minor int64, request payment.Request) (*sdk.PaymentIntent, error) {
	price := &sdk.PaymentIntentUpdateParams{Amount: &minor, Currency: sdk.String(lower(request.Amount.Currency)), Metadata: map[string]string{}}
	if request.Token == "" {
		price.Metadata[awaitsField] = "customer"
	}
	price.SetIdempotencyKey(idempotency(key, "price"))
	priced, err := g.api.V1PaymentIntents.Update(ctx, id, price)
	if err != nil || request.Token == "" {
		return g.current(ctx, id, priced, err)
	}
	confirmation := &sdk.PaymentIntentConfirmParams{PaymentMethod: &request.Token}
	if request.ReturnURL != "" {
		confirmation.ReturnURL = &request.ReturnURL
	}
	confirmation.SetIdempotencyKey(idempotency(key, "confirm"))
	confirmed, err := g.api.V1PaymentIntents.Confirm(ctx, id, confirmation)
	if code, declined := declinedFor(err); declined {
		return g.decline(ctx, id, code)
	}
	return g.current(ctx, id, confirmed, err)
}

// Capture takes amount of an authorized intent, and Stripe lets go of the rest.
func (g *Gateway) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	intent, err := g.known(ctx, key)
	if err != nil {
		return payment.Charge{}, err
	}
	if intent.Status != sdk.PaymentIntentStatusRequiresCapture {
		return g.charge(ctx, intent)
	}
	minor, err := toStripe(amount)
	if err != nil {
		return payment.Charge{}, err
	}
	if lower(amount.Currency) != string(intent.Currency) || minor > intent.AmountCapturable {
		return payment.Charge{}, fmt.Errorf("%w: not a part of what was authorized", payment.ErrRefused)
	}
	params := &sdk.PaymentIntentCaptureParams{AmountToCapture: &minor}
	params.SetIdempotencyKey(idempotency(key, "capture"))
	captured, err := g.api.V1PaymentIntents.Capture(ctx, intent.ID, params)
	if intent, err = g.current(ctx, intent.ID, captured, err); err != nil {
		return payment.Charge{}, err
	}
	return g.charge(ctx, intent)
}

// Void cancels the intent of a key, which it makes if there is none. What Stripe does not cancel is returned as it stands.
func (g *Gateway) Void(ctx context.Context, key string) (payment.Charge, error) {
	intent, err := g.find(ctx, key)
	if errors.Is(err, payment.ErrNoSuchCharge) {
		intent, err = g.open(ctx, key)
	}
	if err != nil {
		return payment.Charge{}, err
	}
	cancelled, err := g.api.V1PaymentIntents.Cancel(ctx, intent.ID, nil)
	if intent, err = g.current(ctx, intent.ID, cancelled, err); err != nil {
		return payment.Charge{}, err
	}
	return g.charge(ctx, intent)
}

// Lookup says how the intent of a key stands. One whose last card was declined is closed, so that no other card is charged by it.
func (g *Gateway) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	intent, err := g.known(ctx, key)
	if err != nil {
		return payment.Charge{}, err
	}
	return g.charge(ctx, intent)
}

// freshness is for how long the creation of an intent is repeated to find it: an hour less than Stripe promises.
const freshness = 23 * time.Hour

// fresh reports whether a key is so young that Stripe knows all idempotency keys made of it. A key without time is not.
func (g *Gateway) fresh(key string) bool {
	id, err := uuid.Parse(key)
	const timed = 7
	if err != nil || id.Version() != timed {
		return false
	}
	return g.clock.Now().Sub(time.Unix(id.Time().UnixTime())) < freshness
}

// idempotency returns what Stripe knows a call by.
func idempotency(key, call string) string { return "marquee/" + key + "/" + call }
