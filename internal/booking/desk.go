package booking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/showtime"
	"marquee/internal/words"
)

// Tender is what a customer gives at the counter.
type Tender struct {
	Method   payment.TillMethod
	Minor    int64  // handed over, or taken by the terminal
	Terminal string // what the terminal calls it; of a card only
}

// longestTerminal bounds what a terminal calls a payment; the table does too.
const longestTerminal = 64

func (t Tender) check(bad *apperr.Fields) {
	const most = 1_000_000_000_000 // in whatever currency, more than anybody hands over
	if t.Minor < 0 || t.Minor > most {
		bad.Add("input.tender.amountMinor", "Give 0 to %d.", int64(most))
	}
	checkTerminal(bad, "input.tender.terminalReference", t.Method, t.Terminal)
}

func checkTerminal(bad *apperr.Fields, path string, method payment.TillMethod, terminal string) {
	switch {
	case method != payment.TillCard && terminal != "":
		bad.Add(path, "Only a terminal for cards gives this.")
	case method == payment.TillCard:
		words.Check(bad, path, terminal, longestTerminal, "Give what the terminal calls the payment, 1 to %d characters.")
	}
}

// pays reports whether the tender pays an amount: cash at least it, since change is given; a card to the minor unit, since
// the terminal has taken it already.
func (t Tender) pays(due money.Money) bool {
	if t.Method == payment.TillCard {
		return t.Minor == due.AmountMinor
	}
	return t.Minor >= due.AmountMinor
}

// CounterPayInput asks to take the price of somebody's reservation at the counter.
type CounterPayInput struct {
	ShowtimeID     uuid.UUID
	ReservationID  uuid.UUID
	Tender         Tender
	IdempotencyKey string
}

// Validate returns BAD_USER_INPUT for a tender that is none, or without a usable key.
func (in CounterPayInput) Validate() error {
	var bad apperr.Fields
	in.Tender.check(&bad)
	checkKey(&bad, in.IdempotencyKey)
	return bad.Err()
}

// Answers of the counter.
type (
	// PaidAtCounter says that the reservation is paid and its tickets are issued.
	PaidAtCounter struct {
		Reservation Reservation
		Receipt     *payment.TillEntry // nil where nothing was to be paid
	}
	// TenderRefused says that the tender does not pay what is due; nothing was done.
	TenderRefused struct{ Due, Given money.Money }
	// UnderWay says that the customer is paying the reservation at this moment, or that money of theirs is on its way back.
	UnderWay struct{ Reservation Reservation }
)

// CounterPayResult is PaidAtCounter, TenderRefused, UnderWay, ShowtimeClosed or Expired.
type CounterPayResult interface{ isCounterPayResult() }

func (PaidAtCounter) isCounterPayResult()  {}
func (TenderRefused) isCounterPayResult()  {}
func (UnderWay) isCounterPayResult()       {}
func (Expired) isCounterPayResult()        {}
func (ShowtimeClosed) isCounterPayResult() {}

// refusedCounterError carries a refusal out of a transaction that keeps nothing.
type refusedCounterError struct{ CounterPayResult }

func (*refusedCounterError) Error() string { return "booking: refused at the counter" }

// PayAtCounter takes the price of a held or reserved reservation at the counter of its theater and issues its tickets:
// the money is on record in the same transaction. Repeating it with the same key gives the same answer. NOT_FOUND when the
// reservation is missing or of a theater where the viewer does not work, CONFLICT when it is paid or cancelled,
// IDEMPOTENCY_KEY_REUSED. It is recorded.
func (s *Service) PayAtCounter(ctx context.Context, viewer auth.Viewer, in CounterPayInput) (CounterPayResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	theaterID, err := s.deskOf(ctx, viewer, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	asked, err := s.fingerprintOf(in)
	if err != nil {
		return nil, err
	}
	done := false
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		done = false
		r, _, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		if replayed, err := rememberTx(ctx, tx, viewer.UserID, r.Reference(), in.IdempotencyKey, "PAY_AT_COUNTER", asked); err != nil || replayed {
			return err
		}
		switch r.Status {
		case StatusHeld, StatusReserved:
		case StatusConfirmed:
			return apperr.New(apperr.Conflict, "This reservation is paid.")
		case StatusExpired:
			return &refusedCounterError{Expired{Reservation: r}}
		default:
			return apperr.New(apperr.Conflict, "This reservation was cancelled.")
		}
		if err := notSwapTx(ctx, tx, r.Reference()); err != nil {
			return err
		}
		unsettled, err := s.payments.UnsettledTx(ctx, tx, in.ShowtimeID, in.ReservationID)
		switch {
		case err != nil:
			return err
		case unsettled:
			return &refusedCounterError{UnderWay{Reservation: r}}
		case !in.Tender.pays(r.Total):
			return &refusedCounterError{TenderRefused{Due: r.Total, Given: money.Money{AmountMinor: in.Tender.Minor, Currency: r.Total.Currency}}}
		}
		if err := s.takeTx(ctx, tx, viewer, theaterID, r, in.Tender, in.IdempotencyKey); err != nil {
			return err
		}
		done = true
		return recordCounterTx(ctx, tx, audit.CounterPaid, viewer, theaterID, r, takenFor(r, in.Tender.Method))
	})
	switch {
	case errors.Is(err, errHoldLost):
		err = &refusedCounterError{Expired{}}
	case errors.Is(err, errCalledOff):
		err = &refusedCounterError{ShowtimeClosed{Reason: showtime.ClosedCancelled}}
	}
	refused, isRefusal := errors.AsType[*refusedCounterError](err)
	if err != nil && !isRefusal {
		return nil, err
	}
	if done {
		s.hint(in.ShowtimeID)
	}
	paid, err := s.paidAtCounter(ctx, payment.Reference{ShowtimeID: in.ShowtimeID, ID: in.ReservationID})
	if err != nil || !isRefusal {
		return paid, err
	}
	switch refused.CounterPayResult.(type) {
	case Expired:
		return Expired{Reservation: paid.Reservation}, nil
	case UnderWay:
		return UnderWay{Reservation: paid.Reservation}, nil
	default:
		return refused.CounterPayResult, nil
	}
}

// deskOf returns the theater of a showtime to those who work there; NOT_FOUND of a reservation for others, and for a
// showtime that does not exist.
func (s *Service) deskOf(ctx context.Context, viewer auth.Viewer, showtimeID uuid.UUID) (theaterID uuid.UUID, err error) {
	offer, err := s.showtimes.Offer(ctx, showtimeID)
	if apperr.CodeOf(err) == apperr.NotFound || err == nil && !viewer.Has(auth.RoleTheaterStaff, offer.TheaterID) {
		return uuid.Nil, apperr.Missing("reservation")
	}
	if err != nil {
		return uuid.Nil, err
	}
	return offer.TheaterID, nil
}

// takeTx confirms a reservation, of which it needs keys, positions and total, whose price is given at the counter: its seats,
// its tickets and the money, or nothing.
// errHoldLost when its deadline has passed, errCalledOff when its showtime does not take place.
func (s *Service) takeTx(ctx context.Context, tx *sql.Tx, viewer auth.Viewer, theaterID uuid.UUID, r Reservation, tender Tender, key string) error {
	if err := s.secureTx(ctx, tx, r.ShowtimeID, r.ID); err != nil {
		return err
	}
	if err := s.confirmTx(ctx, tx, r); err != nil {
		return err
	}
	if r.Total.AmountMinor == 0 {
		return s.payments.GiveUpTx(ctx, tx, r.ShowtimeID, r.ID)
	}
	// The way of every payment, with nothing to wait for in between.
	attempt, err := s.payments.OpenAttemptTx(ctx, tx, payment.Opening{
		ShowtimeID: r.ShowtimeID, ReservationID: r.ID, ViewerID: r.ViewerID, Gateway: tender.Method.Gateway(), Amount: r.Total, IdempotencyKey: key,
	})
	for _, to := range []payment.AttemptStatus{payment.AttemptAuthorized, payment.AttemptCaptured} {
		if err == nil {
			attempt, err = s.payments.AdvanceTx(ctx, tx, attempt, payment.Step{To: to, Reference: tender.Terminal})
		}
	}
	if err != nil {
		return err
	}
	_, err = s.payments.RecordTillTx(ctx, tx, payment.TillEntry{
		ShowtimeID: r.ShowtimeID, PaymentID: attempt.PaymentID, TheaterID: theaterID, StaffID: viewer.UserID,
		Kind: payment.TillTaken, Method: tender.Method, Amount: r.Total, Given: money.Money{AmountMinor: tender.Minor, Currency: r.Total.Currency},
		Terminal: tender.Terminal, Key: key,
	})
	return err
}

// counted is what the audit log keeps of money at the counter.
type counted struct {
	Method   payment.TillMethod `json:"method"`
	Minor    int64              `json:"amountMinor"`
	Currency string             `json:"currency"`
	PaidBy   payment.TillMethod `json:"paidBy,omitempty"` // of money that goes back in another way than it came
}

func recordCounterTx(ctx context.Context, tx *sql.Tx, action audit.Action, viewer auth.Viewer, theaterID uuid.UUID, r Reservation, act counted) error {
	return audit.RecordTx(ctx, tx, audit.Entry{Action: action, Actor: viewer.UserID, Subject: r.NodeID(), Theater: theaterID, After: act})
}

// takenFor is what is recorded of the price of a reservation that was taken.
func takenFor(r Reservation, method payment.TillMethod) counted {
	return counted{Method: method, Minor: r.Total.AmountMinor, Currency: r.Total.Currency}
}

// paidAtCounter reads a reservation with how it was paid at the counter, if it was. The caller has made sure that the viewer
// works there.
func (s *Service) paidAtCounter(ctx context.Context, ref payment.Reference) (paid PaidAtCounter, err error) {
	if paid.Reservation, err = s.anyReservation(ctx, ref); err != nil {
		return paid, err
	}
	entry, ok, err := s.payments.TakenAtCounter(ctx, ref)
	if ok {
		paid.Receipt = &entry
	}
	return paid, err
}

// fingerprintOf tells requests apart by all that they ask, without saying to others what it is: an address may be in it.
func (s *Service) fingerprintOf(in any) ([]byte, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("telling requests apart: %w", err)
	}
	return s.source("command " + string(text)), nil // which no address looks like
}
