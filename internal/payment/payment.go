// Package payment owns the record of collecting money: payments, the attempts under them, and the gateways that move it.
//
// A payment collects one amount for one reservation. Each try at a gateway is an attempt; the gateway knows it by the
// attempt's id, so that asking twice never takes money twice. States only move forward, each step guarded by the state
// it starts from, and at most one attempt of a payment can take money: the database has a unique index for it.
//
// Money that was captured in order goes back by refunds, as many as are asked for, each known to the gateway by a key of its
// own; the attempt stays captured. All refunds of a payment together never pass what was captured: a check of the table.
// Money that a gateway took without us goes back whole, by a refund too, which has the id of the attempt and brings it to its end.
//
// A refund can fail. Each try has a key of its own, and its number is stored before the gateway is asked; the next is made only
// when the gateway says that the one before has failed. What was tried in vain often enough rests as failed, still promised.
//
// What a payment is for (seats, tickets), when its steps happen and how much goes back is the business of booking.
package payment

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/typeid"
)

// Status is where a payment stands.
type Status string

// The states of a payment.
const (
	StatusPending       Status = "PENDING"        // an attempt is under way, or can be made
	StatusCaptured      Status = "CAPTURED"       // the money was taken; some of it may have been given back
	StatusRefundPending Status = "REFUND_PENDING" // all of it goes back
	StatusRefunded      Status = "REFUNDED"       // given back in full
	StatusFailed        Status = "FAILED"         // no money was taken, and none will be
)

// Payment is the record of collecting one amount for one reservation.
type Payment struct {
	ShowtimeID    uuid.UUID
	ID            uuid.UUID
	ReservationID uuid.UUID
	Gateway       string // of the latest attempt; where that takes nothing, of the money that was carried to it
	Status        Status
	Amount        money.Money
	Refunded      money.Money
	Refunds       []Refund // the first made first
	CreatedAt     time.Time
}

// NodeID returns the payment's public id, which carries its showtime.
func (p Payment) NodeID() string { return typeid.EncodeIn(typeid.Payment, p.ShowtimeID, p.ID) }

// IsNode marks what clients can read again by its id.
func (Payment) IsNode() {}

// Reference names the payment among those of all showtimes.
func (p Payment) Reference() Reference { return Reference{p.ShowtimeID, p.ID} }

// AttemptStatus is where an attempt stands.
type AttemptStatus string

// The states of an attempt.
const (
	AttemptStarted       AttemptStatus = "STARTED"        // recorded; what the gateway did is not known
	AttemptOffered       AttemptStatus = "OFFERED"        // there are funds and the seats are gone: the customer is to say whether others will do
	AttemptAuthorized    AttemptStatus = "AUTHORIZED"     // funds are reserved and the seats are secured
	AttemptCaptured      AttemptStatus = "CAPTURED"       // the money was taken
	AttemptDeclined      AttemptStatus = "DECLINED"       // the issuer refused
	AttemptVoidPending   AttemptStatus = "VOID_PENDING"   // the reserved funds are to be let go
	AttemptVoided        AttemptStatus = "VOIDED"         // they were
	AttemptRefundPending AttemptStatus = "REFUND_PENDING" // money that was taken without us is to be given back
	AttemptRefunded      AttemptStatus = "REFUNDED"       // it was
	AttemptCarried       AttemptStatus = "CARRIED"        // no try: money of another reservation's attempt, which pays this one
)

// AttemptStatuses returns the states of an attempt, each after those that lead to it.
func AttemptStatuses() []AttemptStatus {
	return []AttemptStatus{
		AttemptStarted, AttemptOffered, AttemptAuthorized, AttemptCaptured, AttemptDeclined, AttemptVoidPending, AttemptVoided,
		AttemptRefundPending, AttemptRefunded, AttemptCarried,
	}
}

// attemptEdges is every step an attempt may take. Nothing moves backward.
var attemptEdges = map[AttemptStatus][]AttemptStatus{
	AttemptStarted:       {AttemptOffered, AttemptAuthorized, AttemptDeclined, AttemptVoidPending, AttemptRefundPending},
	AttemptOffered:       {AttemptAuthorized, AttemptVoidPending},
	AttemptAuthorized:    {AttemptCaptured, AttemptVoidPending},
	AttemptVoidPending:   {AttemptVoided, AttemptRefundPending},
	AttemptRefundPending: {AttemptRefunded},
	// Only when the gateway took the money after all: its books tell later what it did not tell then.
	AttemptDeclined: {AttemptRefundPending},
	AttemptVoided:   {AttemptRefundPending},
}

// CanBecome reports whether an attempt may step from s to next.
func (s AttemptStatus) CanBecome(next AttemptStatus) bool {
	return slices.Contains(attemptEdges[s], next)
}

// Undecided reports whether it is open yet whether the attempt takes money for what it pays.
func (s AttemptStatus) Undecided() bool {
	return s == AttemptStarted || s == AttemptOffered || s == AttemptAuthorized
}

// Settled reports whether nothing remains to be done at the gateway.
func (s AttemptStatus) Settled() bool {
	switch s {
	case AttemptCaptured, AttemptDeclined, AttemptVoided, AttemptRefunded, AttemptCarried:
		return true
	default:
		return false
	}
}

// DeclineNoAnswer is the decline code of an attempt that was given up because the gateway never said how it went. The
// gateway is told to let go of whatever it may have reserved.
const DeclineNoAnswer = "gateway_no_answer"

// DeclineRefused is the decline code of an attempt for an amount that the gateway never charges.
const DeclineRefused = "gateway_refused"

// DeclineUnreached is the decline code of an attempt that its gateway never heard of, and never will.
const DeclineUnreached = "gateway_unavailable"

// DeclineWrongAmount is the decline code of an attempt of which the gateway took another amount than it was asked for. All that
// it took goes back.
const DeclineWrongAmount = "wrong_amount_taken"

// DeclineNoSwap is the decline code of an attempt that was given up because the seats that were to be swapped cannot be any
// more. The gateway is told to let go.
const DeclineNoSwap = "swap_unavailable"

// Attempt is one try at a gateway, with what is needed to drive it.
type Attempt struct {
	ShowtimeID    uuid.UUID
	ID            uuid.UUID
	PaymentID     uuid.UUID
	ReservationID uuid.UUID
	Gateway       string
	Amount        money.Money
	Status        AttemptStatus
	DeclineCode   string // set when it was declined or given up
	CreditMinor   *int64 // of a swap: what the seats that are given for it pay beside the amount; nil: no swap
}

// PaymentReference names the attempt's payment among those of all showtimes.
func (a Attempt) PaymentReference() Reference { return Reference{a.ShowtimeID, a.PaymentID} }

// Key is what the gateway knows the attempt by.
func (a Attempt) Key() string { return a.ID.String() }
