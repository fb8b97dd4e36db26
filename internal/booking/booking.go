// Package booking owns reservations: the claim on seats of one showtime, from the hold to the tickets or the end.
//
// What never happens, because the database forbids it: a seat in two live reservations, a reservation with some of its
// seats, a ticket without its seat. The claim of seats is one call of the SQL function claim_seats, which commits by
// itself; every other step is a guarded transaction. Deadlines are judged by the database's clock alone. A hint to the
// seat feed follows each commit; losing it delays a screen and nothing else.
package booking

import (
	"cmp"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/pricing"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// Status is where a reservation stands.
type Status string

// The states of a reservation.
const (
	StatusHeld      Status = "HELD"      // the seats are the viewer's until a deadline
	StatusReserved  Status = "RESERVED"  // reserved in advance, unpaid
	StatusConfirmed Status = "CONFIRMED" // paid, tickets issued
	StatusCancelled Status = "CANCELLED" // given back
	StatusExpired   Status = "EXPIRED"   // the deadline passed
)

// Event is what can happen to a reservation.
type Event string

// The events of a reservation.
const (
	EventReserve Event = "RESERVE" // the customer keeps it, to pay later
	EventChange  Event = "CHANGE"  // the customer takes other seats instead
	EventConfirm Event = "CONFIRM" // its payment was captured
	EventCancel  Event = "CANCEL"  // the customer gives it back
	EventExpire  Event = "EXPIRE"  // its deadline has passed
	EventRetake  Event = "RETAKE"  // its money came when the deadline had passed, and there are seats for it
)

// transitions is the whole life of a reservation: what is not here is forbidden.
var transitions = map[Status]map[Event]Status{
	StatusHeld: {
		EventReserve: StatusReserved, EventChange: StatusHeld, EventConfirm: StatusConfirmed, EventCancel: StatusCancelled, EventExpire: StatusExpired,
	},
	StatusReserved: {
		EventChange: StatusReserved, EventConfirm: StatusConfirmed, EventCancel: StatusCancelled, EventExpire: StatusExpired,
	},
	StatusConfirmed: {EventCancel: StatusCancelled},
	StatusExpired:   {EventRetake: StatusHeld},
}

// Statuses returns the states of a reservation.
func Statuses() []Status {
	return []Status{StatusHeld, StatusReserved, StatusConfirmed, StatusCancelled, StatusExpired}
}

// Events returns what can happen to a reservation.
func Events() []Event {
	return []Event{EventReserve, EventChange, EventConfirm, EventCancel, EventExpire, EventRetake}
}

// After returns the state that event leads to from s; ok is false where the event is forbidden.
func (s Status) After(event Event) (next Status, ok bool) {
	next, ok = transitions[s][event]
	return next, ok
}

// from lists the states in which event is allowed, for the guards of the SQL statements.
func (e Event) from() []string {
	var states []string
	for _, s := range Statuses() {
		if _, ok := s.After(e); ok {
			states = append(states, string(s))
		}
	}
	return states
}

// Reservation is a customer's claim on seats of one showtime.
type Reservation struct {
	ShowtimeID uuid.UUID
	ID         uuid.UUID
	ViewerID   uuid.UUID
	Status     Status // EXPIRED as soon as the deadline has passed
	Positions  seatno.List
	Released   seatno.List                  // positions that it had
	Seats      []theater.Seat               // by position
	Types      map[int16]pricing.TicketType // by position; a seat that is missing is an adult's
	Lines      []Line
	PromoCodes []string // that took something off
	Total      money.Money
	HeldUntil  *time.Time // nil when a payment has secured the seats, and in every end state
	PayBy      *time.Time // the deadline it was given with RESERVED; nil for one that was always to be paid at once
	CreatedAt  time.Time
	Stored     []pricing.Line // what Lines are made of

	TicketsWithheld bool // the viewer may see the reservation, and not what admits to it
}

// NodeID returns the reservation's public id, which carries its showtime.
func (r Reservation) NodeID() string { return typeid.EncodeIn(typeid.Reservation, r.ShowtimeID, r.ID) }

// IsNode marks what clients can read again by its id.
func (Reservation) IsNode() {}

// Reference names the reservation among those of all showtimes.
func (r Reservation) Reference() payment.Reference {
	return payment.Reference{ShowtimeID: r.ShowtimeID, ID: r.ID}
}

// Line is one line of a reservation's price.
type Line struct {
	Kind        pricing.Kind
	Description string
	Category    *theater.Category   // of seats only
	TicketType  *pricing.TicketType // of seats, and what a ticket type changes
	Quantity    int32
	UnitPrice   money.Money
	Amount      money.Money
}

func linesOf(lines []pricing.Line, currency string) []Line {
	out := make([]Line, len(lines))
	for i, line := range lines {
		out[i] = Line{
			Kind:        cmp.Or(line.Kind, pricing.Seats),
			Description: line.Description,
			Quantity:    line.Quantity,
			UnitPrice:   money.Money{AmountMinor: line.UnitMinor, Currency: currency},
			Amount:      money.Money{AmountMinor: line.AmountMinor, Currency: currency},
		}
		if line.Category != "" {
			category := theater.Category(line.Category)
			out[i].Category = &category
		}
		ticketType := line.TicketType
		if out[i].Kind == pricing.Seats {
			ticketType = cmp.Or(ticketType, pricing.Adult)
		}
		if ticketType != "" {
			out[i].TicketType = &ticketType
		}
	}
	return out
}

// Ticket is the right of admission for one seat.
type Ticket struct {
	ShowtimeID uuid.UUID
	ID         uuid.UUID
	Code       string
	Status     TicketStatus
	Seat       theater.Seat
	Type       pricing.TicketType
}

// NodeID returns the ticket's public id, which carries its showtime.
func (t Ticket) NodeID() string { return typeid.EncodeIn(typeid.Ticket, t.ShowtimeID, t.ID) }

// IsNode marks what clients can read again by its id.
func (Ticket) IsNode() {}

// TicketStatus is whether a ticket admits.
type TicketStatus string

// The states of a ticket.
const (
	TicketIssued    TicketStatus = "ISSUED"
	TicketSuspended TicketStatus = "SUSPENDED" // a payment decides whether its seat is swapped
	TicketRedeemed  TicketStatus = "REDEEMED"
	TicketRevoked   TicketStatus = "REVOKED"
)

// Suggestion is a selection of seats that could be taken.
type Suggestion struct {
	Seats   []theater.Seat
	Total   money.Money
	Reasons []seating.Reason
}

// LimitOf is whom a limit of seats is for.
type LimitOf string

// The limits of a showtime.
const (
	LimitOfCustomer LimitOf = "CUSTOMER"
	LimitOfAddress  LimitOf = "ADDRESS" // the network address that requests come from
	LimitOfDevice   LimitOf = "DEVICE"  // the device that the client says it runs on
)

// PayLaterReason is why a reservation cannot be paid later.
type PayLaterReason string

// The reasons.
const (
	PayLaterNotOffered PayLaterReason = "NOT_OFFERED" // by the theater, or for this showtime
	PayLaterTooLate    PayLaterReason = "TOO_LATE"    // the theater's deadline has passed, or comes before the hold's
	PayLaterTooMany    PayLaterReason = "TOO_MANY"    // the viewer has as many unpaid reservations there as one may
)

// Refusals: results that are not errors, because the caller asked for something sensible that cannot be had.
type (
	// SeatsUnavailable says that seats belong to someone else, and what could be had instead.
	SeatsUnavailable struct {
		ShowtimeID   uuid.UUID
		Seats        []theater.Seat
		Alternatives []Suggestion
	}
	// ShowtimeClosed says that the showtime is not on sale.
	ShowtimeClosed struct{ Reason showtime.ClosedReason }
	// LimitExceeded says that the viewer would have more seats than one customer may, or one address, or one device.
	LimitExceeded struct {
		Of               LimitOf
		Limit, Remaining int32
	}
	// PriceTooHigh says that the seats cost more than the viewer had agreed to pay.
	PriceTooHigh struct{ Total money.Money }
	// CoolingDown says that too many holds of the viewer at this showtime ended unpaid lately.
	CoolingDown struct{ Wait time.Duration }
	// Expired says that the hold ran out before it was paid.
	Expired struct{ Reservation Reservation }
	// Declined says that the issuer refused, or that the gateway never answered and the attempt was given up.
	Declined struct {
		Reservation Reservation
		ServerTime  time.Time
		Code        string
	}
	// HoldLimitReached says that the seats are held for as long as they can be.
	HoldLimitReached struct {
		Reservation Reservation
		ServerTime  time.Time
	}
	// PayLaterUnavailable says that the seats cannot be kept without payment; they are held as before.
	PayLaterUnavailable struct {
		Reason      PayLaterReason
		Reservation Reservation
	}
	// CancellationClosed says that the policy under which the seats were held lets nobody give them back any more.
	CancellationClosed struct {
		ClosedAt *time.Time // nil: it never did
	}
	// Pending says that it is not decided yet how it goes.
	Pending struct {
		Reservation Reservation
		ServerTime  time.Time
		Next        payment.NextStep // what the customer has to do for that; nil: nothing
	}
)

// Successes.
type (
	// Reserved says that the seats are held.
	Reserved struct {
		Reservation Reservation
		ServerTime  time.Time // the database's clock
	}
	// Changed says that the reservation has the seats, until the same moment as before.
	Changed struct {
		Reservation Reservation
		ServerTime  time.Time
	}
	// Extended says until when the seats are held.
	Extended struct {
		Reservation Reservation
		ServerTime  time.Time
	}
	// KeptUnpaid says that the seats are kept until the theater's deadline for payment.
	KeptUnpaid struct {
		Reservation Reservation
		ServerTime  time.Time
	}
	// Paid says that the reservation is paid and its tickets are issued.
	Paid struct{ Reservation Reservation }
	// Cancelled says that the seats are given back, and how the reservation stands.
	Cancelled struct{ Reservation Reservation }
)

// ReserveResult is Reserved, SeatsUnavailable, RuleBroken, PriceTooHigh, ShowtimeClosed, LimitExceeded or CoolingDown.
type ReserveResult interface{ isReserveResult() }

func (Reserved) isReserveResult()         {}
func (SeatsUnavailable) isReserveResult() {}
func (ShowtimeClosed) isReserveResult()   {}
func (LimitExceeded) isReserveResult()    {}
func (PriceTooHigh) isReserveResult()     {}
func (CoolingDown) isReserveResult()      {}

// ExtendResult is Extended, HoldLimitReached or Expired.
type ExtendResult interface{ isExtendResult() }

func (Extended) isExtendResult()         {}
func (HoldLimitReached) isExtendResult() {}
func (Expired) isExtendResult()          {}

// PayLaterResult is KeptUnpaid, PayLaterUnavailable or Expired.
type PayLaterResult interface{ isPayLaterResult() }

func (KeptUnpaid) isPayLaterResult()          {}
func (PayLaterUnavailable) isPayLaterResult() {}
func (Expired) isPayLaterResult()             {}

// ChangeResult is Changed, SeatsUnavailable, RuleBroken, PriceTooHigh, PromotionRefused, ShowtimeClosed, LimitExceeded or
// Expired.
type ChangeResult interface{ isChangeResult() }

func (Changed) isChangeResult()          {}
func (SeatsUnavailable) isChangeResult() {}
func (ShowtimeClosed) isChangeResult()   {}
func (LimitExceeded) isChangeResult()    {}
func (PriceTooHigh) isChangeResult()     {}
func (Expired) isChangeResult()          {}

// PayResult is Paid, Expired, ShowtimeClosed, Declined or Pending.
type PayResult interface{ isPayResult() }

func (Paid) isPayResult()           {}
func (Expired) isPayResult()        {}
func (ShowtimeClosed) isPayResult() {}
func (Declined) isPayResult()       {}
func (Pending) isPayResult()        {}

// CancelResult is Cancelled, CancellationClosed, RuleBroken or ShowtimeClosed.
type CancelResult interface{ isCancelResult() }

func (Cancelled) isCancelResult()          {}
func (CancellationClosed) isCancelResult() {}
func (ShowtimeClosed) isCancelResult()     {}
