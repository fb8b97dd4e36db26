package jobs

import (
	"context"
	"errors"

	"marquee/internal/postgres"
)

// Reason is why an attempt failed, in a word that can be stored and shown.
type Reason string

// The reasons.
const (
	Internal            Reason = "INTERNAL"             // the log knows more
	TimedOut            Reason = "TIMED_OUT"            // it took longer than jobs of its kind may
	DatabaseUnavailable Reason = "DATABASE_UNAVAILABLE" // the database was away
	GatewayUnavailable  Reason = "GATEWAY_UNAVAILABLE"  // a payment gateway did not answer, or not with an answer
	UnknownCharge       Reason = "UNKNOWN_CHARGE"       // a payment gateway told of a charge that we have no record of
	NodeLost            Reason = "NODE_LOST"            // the node that worked on it did not finish
	Cancelled           Reason = "CANCELLED"            // somebody cancelled the job while it was worked on
)

// because is an error with its reason.
type because struct {
	reason Reason
	cause  error
}

func (b because) Error() string { return string(b.reason) + ": " + b.cause.Error() }

func (b because) Unwrap() error { return b.cause }

// Because says why a job fails; nil stays nil.
func Because(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return because{reason, err}
}

// reasonOf returns the reason of an error.
func reasonOf(err error) Reason {
	if b, ok := errors.AsType[because](err); ok {
		return b.reason
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case postgres.IsConnectionFailure(err):
		return DatabaseUnavailable
	default:
		return Internal
	}
}

// rescued is what River stores of a job whose node was lost.
const rescued = "Stuck job rescued by JobRescuer"

// stored returns the reason that a stored text says.
func stored(text string) Reason {
	switch reason := Reason(text); reason {
	case TimedOut, DatabaseUnavailable, GatewayUnavailable, UnknownCharge, Cancelled:
		return reason
	case rescued:
		return NodeLost
	default:
		return Internal
	}
}
