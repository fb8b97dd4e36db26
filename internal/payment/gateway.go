package payment

import (
	"context"
	"errors"

	"marquee/internal/money"
)

// ErrNoSuchCharge is returned by a gateway that has never heard of a key. It is the only definite error: any other
// means that the outcome is unknown, and that Lookup must be asked before anything else is done.
var ErrNoSuchCharge = errors.New("payment: the gateway knows no such charge")

// ChargeStatus is where a charge stands in a gateway's books.
type ChargeStatus string

// The states of a charge.
const (
	ChargeAuthorized ChargeStatus = "AUTHORIZED"
	ChargeDeclined   ChargeStatus = "DECLINED"
	ChargeCaptured   ChargeStatus = "CAPTURED"
	ChargeVoided     ChargeStatus = "VOIDED"
)

// Charge is what a gateway says of one attempt.
type Charge struct {
	Reference   string // the gateway's own id
	Status      ChargeStatus
	DeclineCode string // set when declined
	Captured    money.Money
	Refunded    money.Money
}

// Gateway moves money. Every call may be repeated with the same key and has its effect once. An error other than
// ErrNoSuchCharge says nothing about whether the effect happened. Implementations are safe for concurrent use, honour
// ctx, and never run inside a database transaction of the caller.
type Gateway interface {
	// Name is what payments store to find the gateway again.
	Name() string
	// Authorize reserves amount with the issuer. A refusal is a Charge with ChargeDeclined, not an error. A key that was
	// voided before it was authorized stays voided.
	Authorize(ctx context.Context, key string, amount money.Money) (Charge, error)
	// Capture takes the whole authorized amount. A charge that cannot be captured any more is returned as it stands.
	Capture(ctx context.Context, key string) (Charge, error)
	// Void lets go of an uncaptured charge, and makes sure that a key the gateway has not seen can never be authorized.
	// A captured charge is returned as it stands.
	Void(ctx context.Context, key string) (Charge, error)
	// Refund gives back amount of a captured charge; refundKey makes it once only. Never more than was captured.
	Refund(ctx context.Context, key, refundKey string, amount money.Money) (Charge, error)
	// Lookup says how a charge stands, or ErrNoSuchCharge.
	Lookup(ctx context.Context, key string) (Charge, error)
}
