// Package razorpay is a payment gateway over Razorpay's orders, payments and refunds.
//
// A charge is an order whose receipt is our key; the customer pays it in Razorpay's checkout, which is given the public key
// and the order's id, and the payment that comes of it is captured by us. An order moves no money by itself: one whose id
// nobody was told is never paid. The program in the browser should open the checkout without retries (retry.enabled false),
// since the first payment that fails is a decline, after which seats may be let go.
//
// Orders have no idempotency key, and receipts need not be unique. Within a process calls of one key wait for each other, and
// an order is opened only after asking for the key's orders; processes are kept apart by the lease that an attempt is driven
// under. Should there be two orders in spite of that, payments of both count, and at most one of them is captured.
//
// Razorpay does not let go of a payment once it is authorized. Void therefore writes on the order that it is void, which
// nobody but us heeds: a payment that is authorized later, or was before, is never captured, and Razorpay gives it back by
// itself captureWithin after it was made. To capture it in order to refund it would be faster, but a process that dies in
// between would have taken money for nothing. An account that is made to capture by itself (Direct Settlement) takes the
// money of a void order all the same: such a charge is CAPTURED, to be refunded by whoever looks it up.
//
// What Razorpay does not document and this package does not lean on: for how long a refund's idempotency key holds (the
// refunds of a payment are asked for its receipt first), whether amount_refunded counts pending refunds (they are added up one
// by one), whether an order's notes are copied to its payments, and how soon an order is found by its receipt (one that is
// not was never given to a customer, and is never paid).
package razorpay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// captureWithin is for how long an authorized payment can be captured before Razorpay gives it back: more than an outage
// that customers wait for, and no longer than a customer should miss money for a payment that came too late. Razorpay
// takes from 12 minutes to 5 days.
const captureWithin = time.Hour

// callTimeout bounds a call whose context does not.
const callTimeout = 30 * time.Second

// idleConns is how many connections are kept between calls: as many as a busy evening has calls at once.
const idleConns = 32

// Config says whose account it is, and where.
type Config struct {
	KeyID          string // is told to customers' browsers
	KeySecret      string
	WebhookSecrets []string // several while they are changed; none: no webhook is believed
	URL            string   // of the API, without a slash at its end; "": Razorpay's own
}

// Gateway is an account at Razorpay. It is safe for concurrent use.
type Gateway struct {
	cfg    Config
	client *http.Client
	turns  turns
}

var (
	_ payment.Gateway  = (*Gateway)(nil)
	_ payment.Webhooks = (*Gateway)(nil)
	_ payment.Books    = (*Gateway)(nil)
)

// New returns the gateway of an account. It asks nobody.
func New(cfg Config) *Gateway {
	if cfg.URL == "" {
		cfg.URL = "https://api.razorpay.com/v1"
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = idleConns
	return &Gateway{cfg: cfg, client: &http.Client{
		Transport: transport,
		Timeout:   callTimeout,
		// Credentials go nowhere else, whatever the answer says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name is what attempts store to find this gateway again.
const Name = "razorpay"

// Name returns Name.
func (*Gateway) Name() string { return Name }

// Capabilities are what the API can do; what an account may take is settled with Razorpay. Webhooks carry no signed time.
func (g *Gateway) Capabilities() payment.Capabilities {
	return payment.Capabilities{
		Currencies: slices.Clone(currencies),
		Instruments: []payment.Instrument{
			payment.InstrumentCard, payment.InstrumentUPI, payment.InstrumentWallet, payment.InstrumentBankTransfer,
		},
		Actions:      true,
		Asynchronous: true,
		Step:         payment.StepConfirmOnClient,
		PublicKey:    g.cfg.KeyID,
	}
}

// Authorize opens an order for the customer to pay; ConfirmOnClient has its id as the secret. Request.Token and ReturnURL
// are not used: the instrument is chosen in the checkout.
func (g *Gateway) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	return g.inTurn(ctx, key, func() (payment.Charge, error) {
		if charge, err := g.Lookup(ctx, key); !errors.Is(err, payment.ErrNoSuchCharge) {
			return charge, err
		}
		return g.open(ctx, key, request.Amount, nil)
	})
}

// Capture takes the whole amount: Razorpay takes no part. ErrRefused when the customer has paid another amount than that of
// the order, as they do where they are made to bear the fee.
func (g *Gateway) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	return g.inTurn(ctx, key, func() (payment.Charge, error) {
		r, err := g.read(ctx, key)
		if err != nil {
			return payment.Charge{}, err
		}
		charge, err := r.charge(g.cfg.KeyID)
		if err != nil || charge.Status != payment.ChargeAuthorized {
			return charge, err
		}
		p, _ := r.leading()
		if amount != r.amount() || amount != p.money() {
			return payment.Charge{}, fmt.Errorf("razorpay: capturing %s of a payment of %s: %w", amount.Formatted(), p.money().Formatted(), payment.ErrRefused)
		}
		err = g.call(ctx, call{
			method: http.MethodPost, path: "/payments/" + p.ID + "/capture", body: captureRequest{amount.AmountMinor, amount.Currency},
		}, nil)
		// Whatever was answered, what counts is how the payment stands: it may have been captured, or given back, meanwhile.
		charge, readErr := g.Lookup(ctx, key)
		if readErr != nil || charge.Status == payment.ChargeAuthorized {
			return payment.Charge{}, errors.Join(err, readErr, errUncaptured)
		}
		return charge, nil
	})
}

var errUncaptured = errors.New("razorpay: the payment is not known to be captured")

type captureRequest struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Void marks the orders of a key as void; see the package on what becomes of their payments. For a key without an order it
// opens one of a rupee, marked from the start, whose id nobody is told.
func (g *Gateway) Void(ctx context.Context, key string) (payment.Charge, error) {
	return g.inTurn(ctx, key, func() (payment.Charge, error) {
		r, err := g.read(ctx, key)
		if errors.Is(err, payment.ErrNoSuchCharge) {
			return g.open(ctx, key, money.Money{AmountMinor: rupee, Currency: "INR"}, notes{voidNote: true})
		}
		if err != nil {
			return payment.Charge{}, err
		}
		if p, ok := r.leading(); ok && p.taken() {
			return r.charge(g.cfg.KeyID)
		}
		for _, o := range r.orders {
			if o.void() {
				continue
			}
			if err := g.call(ctx, call{method: http.MethodPatch, path: "/orders/" + o.ID, body: map[string]notes{"notes": o.Notes.with(voidNote, true)}}, nil); err != nil {
				return payment.Charge{}, err
			}
		}
		return g.Lookup(ctx, key)
	})
}

// rupee is the least that an order is for, in paise.
const rupee = 100

// Lookup says how the payments of a key's orders stand.
func (g *Gateway) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	r, err := g.read(ctx, key)
	if err != nil {
		return payment.Charge{}, err
	}
	return r.charge(g.cfg.KeyID)
}

type orderRequest struct {
	Amount   int64       `json:"amount"`
	Currency string      `json:"currency"`
	Receipt  string      `json:"receipt"`
	Notes    notes       `json:"notes,omitempty"`
	Payment  captureRule `json:"payment"`
}

// captureRule overrides what the account's dashboard says of capturing.
type captureRule struct {
	Capture string         `json:"capture"`
	Options captureOptions `json:"capture_options"`
}

type captureOptions struct {
	ManualExpiryPeriod int    `json:"manual_expiry_period"` // minutes
	RefundSpeed        string `json:"refund_speed"`
}

// open makes an order and says how its key stands then. The caller has the key's turn.
func (g *Gateway) open(ctx context.Context, key string, amount money.Money, n notes) (payment.Charge, error) {
	if !takes(amount) || !isKey(key) {
		return payment.Charge{}, fmt.Errorf("razorpay: an order of %s for key %q: %w", amount.Formatted(), key, payment.ErrRefused)
	}
	var made order
	err := g.call(ctx, call{method: http.MethodPost, path: "/orders", body: orderRequest{
		Amount: amount.AmountMinor, Currency: amount.Currency, Receipt: key, Notes: n,
		Payment: captureRule{Capture: "manual", Options: captureOptions{ManualExpiryPeriod: int(captureWithin / time.Minute), RefundSpeed: "normal"}},
	}}, &made)
	if wrong, ok := errors.AsType[*Error](err); ok && wrong.Status == http.StatusBadRequest && (wrong.Field == "amount" || wrong.Field == "currency") {
		return payment.Charge{}, errors.Join(payment.ErrRefused, err)
	}
	if err != nil {
		return payment.Charge{}, err
	}
	// Another process may have opened an order for the key at the same moment: the older one is what both are told of.
	charge, err := g.Lookup(ctx, key)
	if errors.Is(err, payment.ErrNoSuchCharge) {
		return record{orders: []order{made}}.charge(g.cfg.KeyID) // it is not listed yet
	}
	return charge, err
}

// inTurn does something when no other call of this process is at work on the key.
func (g *Gateway) inTurn(ctx context.Context, key string, do func() (payment.Charge, error)) (payment.Charge, error) {
	release, err := g.turns.take(ctx, key)
	if err != nil {
		return payment.Charge{}, err
	}
	defer release()
	return do()
}
