package payment

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"marquee/internal/money"
)

// The definite errors of a gateway. Any other means that the outcome is unknown, and that Lookup must be asked before
// anything else is done.
var (
	// ErrNoSuchCharge is returned by a gateway that has never heard of a key.
	ErrNoSuchCharge = errors.New("payment: the gateway knows no such charge")
	// ErrNoSuchRefund is returned by a gateway that knows the charge, and has never heard of the refund's key.
	ErrNoSuchRefund = errors.New("payment: the gateway knows no such refund")
	// ErrRefused is returned for what a gateway does not do: nothing has changed, and asking again changes nothing.
	ErrRefused = errors.New("payment: the gateway refuses")
)

// ChargeStatus is where a charge stands in a gateway's books.
type ChargeStatus string

// The states of a charge. The first two are pending: neither money nor seats depend on them yet.
const (
	ChargeRequiresAction ChargeStatus = "REQUIRES_ACTION" // the customer has to do Charge.Next
	ChargeProcessing     ChargeStatus = "PROCESSING"      // the gateway or a bank has, which can take days
	ChargeAuthorized     ChargeStatus = "AUTHORIZED"
	ChargeDeclined       ChargeStatus = "DECLINED"
	ChargeCaptured       ChargeStatus = "CAPTURED" // all of it or a part; the rest is let go
	ChargeVoided         ChargeStatus = "VOIDED"
)

// Pending reports whether it is still to be decided whether there are funds; Lookup tells how that went.
func (s ChargeStatus) Pending() bool { return s == ChargeRequiresAction || s == ChargeProcessing }

// Charge is what a gateway says of one attempt. Charges can be compared.
type Charge struct {
	Reference   string // the gateway's own id
	Status      ChargeStatus
	DeclineCode string   // set when declined
	Next        NextStep // set while it requires action
	Captured    money.Money
	Refunded    money.Money // that has gone back, by whomever: also by hand, at the gateway's own dashboard
}

// NextStep is what a customer has to do before a charge can go on: Redirect or ConfirmOnClient.
type NextStep interface{ isNextStep() }

// Redirect sends the customer to a page of the gateway or the bank, which sends them back to Request.ReturnURL.
type Redirect struct{ URL string }

// ConfirmOnClient lets the gateway's own program in the customer's browser or app go on.
type ConfirmOnClient struct {
	PublicKey    string // names our account at the gateway; no secret
	ClientSecret string // opens this charge and no other; for its customer alone
}

func (Redirect) isNextStep()        {}
func (ConfirmOnClient) isNextStep() {}

// Request is what Authorize asks for. It has no room for the number of a card: those go from the customer to the gateway.
type Request struct {
	Amount    money.Money
	Token     string // what the gateway calls the customer's instrument, from its own form; "": the customer has still to choose
	ReturnURL string // where a page of the gateway sends the customer back; "": nowhere
}

// ChargeRefund is what a gateway says of one refund.
type ChargeRefund struct {
	Reference string       // the gateway's own id
	Status    RefundStatus // RefundFailed is final: whoever tries again uses another key
	Code      string       // why it failed, in the gateway's words, if it says so
	Amount    money.Money
}

// Instrument is what customers pay with.
type Instrument string

// The instruments.
const (
	InstrumentCard         Instrument = "CARD"
	InstrumentWallet       Instrument = "WALLET"
	InstrumentBankTransfer Instrument = "BANK_TRANSFER"
	InstrumentUPI          Instrument = "UPI"
	InstrumentStoreCredit  Instrument = "STORE_CREDIT"
)

// StepKind is what customers do after they have asked to pay, unless a token of theirs is enough.
type StepKind string

// The kinds of steps.
const (
	StepRedirect        StepKind = "REDIRECT"          // on a page of the gateway: Redirect
	StepConfirmOnClient StepKind = "CONFIRM_ON_CLIENT" // in the gateway's own form: ConfirmOnClient
)

// Capabilities are what a gateway can do: what theaters choose by, and what the saga may ask for.
type Capabilities struct {
	Currencies     []string // ISO 4217, others are refused; nil: every one
	Instruments    []Instrument
	Actions        bool // a charge may require an action of the customer
	Asynchronous   bool // a charge may be processing, and a refund pending
	PartialCapture bool // less can be captured than was authorized
	Step           StepKind
	PublicKey      string // with which its own form is opened in the customer's browser or app, no secret; "": it needs none
	SignedTime     bool   // webhooks are signed with the time; without, whoever repeats one is known by its id alone
}

// Takes reports whether charges can be of a currency.
func (c Capabilities) Takes(currency string) bool {
	return c.Currencies == nil || slices.Contains(c.Currencies, currency)
}

// Gateway moves money. Every call may be repeated with the same key and has its effect once. An error other than
// ErrNoSuchCharge, ErrNoSuchRefund and ErrRefused says nothing about whether the effect happened. Implementations are safe for concurrent
// use, honour ctx, and never run inside a database transaction of the caller.
type Gateway interface {
	// Name is what attempts store to find the gateway again.
	Name() string
	// Capabilities never change while the program runs.
	Capabilities() Capabilities
	// Authorize asks for funds to be reserved. An issuer's no is a Charge with ChargeDeclined, not an error. Only the first
	// call of a key counts: others get the charge as it stands, whatever they ask for. A key that was voided before it was
	// authorized stays voided. ErrRefused for an amount that the gateway never charges.
	Authorize(ctx context.Context, key string, request Request) (Charge, error)
	// Capture takes amount of an authorized charge, once, and lets go of the rest. A charge that cannot be captured, or was
	// before, is returned as it stands. ErrRefused for more than was authorized, and for less without PartialCapture.
	Capture(ctx context.Context, key string, amount money.Money) (Charge, error)
	// Void lets go of an uncaptured charge, and makes sure that a key the gateway has not seen can never be authorized. A
	// captured charge is returned as it stands, and so is one that is processing where that cannot be stopped.
	Void(ctx context.Context, key string) (Charge, error)
	// Refund gives back amount of a captured charge; refundKey makes it once only. Asked again, it says how the refund stands.
	// ErrRefused for more than is left of what was captured, pending refunds counted.
	Refund(ctx context.Context, key, refundKey string, amount money.Money) (ChargeRefund, error)
	// Lookup says how a charge stands, or ErrNoSuchCharge.
	Lookup(ctx context.Context, key string) (Charge, error)
	// LookupRefund says how a refund of a charge stands, and makes none: ErrNoSuchCharge, ErrNoSuchRefund.
	LookupRefund(ctx context.Context, key, refundKey string) (ChargeRefund, error)
}

// ErrForged is returned for a webhook that the gateway did not sign as it is, or not lately.
var ErrForged = errors.New("payment: the webhook is not the gateway's")

// WebhookAge is how old, or how far ahead by its own clock, a signature may be.
const WebhookAge = 5 * time.Minute

// Webhooks is implemented by gateways that tell of what happens to charges.
type Webhooks interface {
	// Verify returns the event of a webhook whose signature holds for the body, byte by byte, and is of now as far as
	// Capabilities.SignedTime: ErrForged otherwise. It asks nobody.
	Verify(header http.Header, body []byte, now time.Time) (Event, error)
}

// EventKind is what an event is about.
type EventKind string

// The kinds of events.
const (
	EventCharge  EventKind = "CHARGE"  // a charge came to stand otherwise
	EventRefund  EventKind = "REFUND"  // a refund did
	EventDispute EventKind = "DISPUTE" // a customer contests a charge at their bank
	EventOther   EventKind = "OTHER"   // anything that nothing here follows from
)

// Event is what a webhook tells: possibly late, twice, or after what happened later. What counts is what Lookup says.
type Event struct {
	ID         string // unique at the gateway: the same when it is sent again
	Kind       EventKind
	Key        string // of the charge; "" where the gateway does not say, or has it from somebody else
	Reference  string // the gateway's own id of the charge
	OccurredAt time.Time
	Charge     *Charge // as it stood then; nil where the gateway does not say
}
