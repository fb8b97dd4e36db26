package payment

import (
	"context"
	"time"
)

// BookedCharge is an entry of a gateway's own books. The charge is as its list has it, without Next: it may be of a moment ago,
// and what counts is what Lookup says.
type BookedCharge struct {
	Charge

	Key       string    // ours; "" for what was charged without us
	CreatedAt time.Time // when the gateway first heard of it
}

// Books is implemented by gateways that list what they have.
type Books interface {
	// Booked returns a page of the charges that the gateway first heard of from one moment to another, give or take a second, and
	// what to ask for the next page with: "" after the last. The first is asked for with "". What was there before the first page
	// is on one of them, or on several.
	Booked(ctx context.Context, from, to time.Time, after string) (page []BookedCharge, next string, err error)
}
