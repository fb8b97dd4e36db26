package booking

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/theater"
)

// PayOutInput asks to pay out at the counter what is due back of a reservation that was paid there.
type PayOutInput struct {
	CancelInput
	Cancel         bool // the customer gives it back first, or the seats of SeatIDs
	Method         payment.TillMethod
	Terminal       string // what the terminal calls the return; of a card only
	OtherMethod    bool   `json:",omitempty"` // by a manager: in another way than it was paid
	IdempotencyKey string
}

// Validate returns BAD_USER_INPUT for seats that are not to be cancelled, for a method that is none, or without a usable key.
func (in PayOutInput) Validate() error {
	var bad apperr.Fields
	checkTerminal(&bad, "input.terminalReference", in.Method, in.Terminal)
	checkKey(&bad, in.IdempotencyKey)
	if len(in.SeatIDs) > 0 && !in.Cancel {
		bad.Add("input.seatIds", "Seats are paid out when they are given back: say cancel.")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	return in.validate()
}

// PaidOut says how a reservation stands after money was paid out.
type PaidOut struct {
	Reservation Reservation
	Amount      money.Money // by this command; nothing where the policy gives nothing back
}

// PayOutMethodRefused says that what is due goes back in another way, that in which it was paid; nothing was done.
type PayOutMethodRefused struct {
	Method payment.TillMethod
	Due    money.Money
}

// PayOutResult is PaidOut, PayOutMethodRefused, ShowtimeClosed or CancellationClosed.
type PayOutResult interface{ isPayOutResult() }

func (PaidOut) isPayOutResult()             {}
func (PayOutMethodRefused) isPayOutResult() {}
func (ShowtimeClosed) isPayOutResult()      {}
func (CancellationClosed) isPayOutResult()  {}

// refusedPayOutError carries a refusal out of a transaction that keeps nothing.
type refusedPayOutError struct{ PayOutResult }

func (*refusedPayOutError) Error() string { return "booking: a return at the counter is refused" }

// PayOutAtCounter pays out at the counter what is due back of a reservation that was paid there, or of what its gateway could
// not give back: what was promised to the customer before, and, when they give it back at the counter, what its refund policy gives them for it, as Cancel has it.
// Money goes back the way it came, or a card's charge would leave the till as cash; only managers of the theater may pay it out
// otherwise.
// Seats, tickets and the money in the till change together. Repeating it with the same key pays nothing again. NOT_FOUND when
// the reservation is missing or of a theater where the viewer does not work, BAD_USER_INPUT, IDEMPOTENCY_KEY_REUSED, FORBIDDEN
// for OtherMethod by who is no manager, and what Cancel answers; CONFLICT when it was not paid at the counter, or nothing is
// due. It is recorded.
func (s *Service) PayOutAtCounter(ctx context.Context, viewer auth.Viewer, in PayOutInput) (PayOutResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	theaterID, err := s.deskOf(ctx, viewer, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	layout, err := s.layoutOf(ctx, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	if in.OtherMethod && !viewer.Has(auth.RoleTheaterManager, theaterID) {
		return nil, apperr.New(apperr.Forbidden, "Only managers of the theater may pay out in another way than was paid.")
	}
	asked, err := s.fingerprintOf(in)
	if err != nil {
		return nil, err
	}
	var (
		done cancellation
		out  PaidOut
	)
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		done, out = cancellation{}, PaidOut{}
		r, _, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		out.Amount.Currency = r.Total.Currency
		replayed, err := rememberTx(ctx, tx, viewer.UserID, r.Reference(), in.IdempotencyKey, "PAY_OUT_AT_COUNTER", asked)
		if err != nil {
			return err
		}
		if replayed {
			out.Amount.AmountMinor, err = s.payments.PaidOutTx(ctx, tx, r.Reference(), in.IdempotencyKey)
			return err
		}
		if err := s.payableThereTx(ctx, tx, r); err != nil {
			return err
		}
		if in.Cancel {
			if err := s.returnTx(ctx, tx, &done, layout, r, in.SeatIDs); err != nil {
				return err
			}
		}
		otherwise, err := s.payOutTx(ctx, tx, viewer, theaterID, r, in, &out.Amount)
		switch {
		case err != nil:
			return err
		case otherwise && !in.OtherMethod:
			return &refusedPayOutError{PayOutMethodRefused{Method: in.Method.Instead(), Due: out.Amount}}
		case out.Amount.AmountMinor == 0 && !done.freed:
			return apperr.New(apperr.Conflict, "Nothing of this reservation is to be paid out.")
		}
		act := counted{Method: in.Method, Minor: out.Amount.AmountMinor, Currency: out.Amount.Currency}
		if otherwise {
			act.PaidBy = in.Method.Instead()
		}
		return recordCounterTx(ctx, tx, audit.CounterPaidOut, viewer, theaterID, r, act)
	})
	if refusal, ok := errors.AsType[*refusedPayOutError](err); ok {
		return refusal.PayOutResult, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.afterwards(ctx, in.ShowtimeID, done); err != nil {
		return nil, err
	}
	paid, err := s.paidAtCounter(ctx, payment.Reference{ShowtimeID: in.ShowtimeID, ID: in.ReservationID})
	out.Reservation = paid.Reservation
	return out, err
}

// payableThereTx is CONFLICT when nothing of a reservation was paid at the counter, or waits there.
func (s *Service) payableThereTx(ctx context.Context, tx *sql.Tx, r Reservation) error {
	due, err := s.payments.DueAtCounterTx(ctx, tx, r.Reference())
	if err != nil || len(due) > 0 {
		return err
	}
	sources, err := s.payments.SourcesTx(ctx, tx, r.Reference())
	if err != nil || slices.ContainsFunc(sources, func(source payment.Source) bool { return payment.AtCounter(source.Gateway) }) {
		return err
	}
	return apperr.New(apperr.Conflict, "This reservation was not paid at the counter.")
}

// returnTx cancels a reservation, or some of its seats, as its customer may.
func (s *Service) returnTx(ctx context.Context, tx *sql.Tx, done *cancellation, layout *theater.Layout, r Reservation, seatIDs []uuid.UUID) error {
	c, err := cancellingOf(ctx, tx, layout, r, seatIDs)
	if err != nil || len(c.positions) == 0 {
		return err
	}
	if refusal, ok := c.refusal().(PayOutResult); ok {
		return &refusedPayOutError{refusal}
	}
	back, err := c.refund()
	if err != nil {
		return err
	}
	return s.cancelTx(ctx, tx, done, c, back.TotalMinor, c.cause())
}

// payOutTx takes out of the till whatever is due of a reservation, and adds it to sum. otherwise says that it was paid in
// another way.
func (s *Service) payOutTx(ctx context.Context, tx *sql.Tx, viewer auth.Viewer, theaterID uuid.UUID, r Reservation, in PayOutInput, sum *money.Money) (otherwise bool, err error) {
	due, err := s.payments.DueAtCounterTx(ctx, tx, r.Reference())
	if err != nil {
		return false, err
	}
	for _, refund := range due {
		otherwise = otherwise || refund.Through() != in.Method.Gateway()
		if err := s.payments.FinishRefundTx(ctx, tx, refund); err != nil {
			return false, err
		}
		_, err := s.payments.RecordTillTx(ctx, tx, payment.TillEntry{
			ShowtimeID: r.ShowtimeID, PaymentID: refund.PaymentID, RefundID: uuid.NullUUID{UUID: refund.ID, Valid: true},
			TheaterID: theaterID, StaffID: viewer.UserID, Kind: payment.TillPaidOut, Method: in.Method,
			Amount: refund.Due(), Given: refund.Due(), Terminal: in.Terminal, Key: in.IdempotencyKey,
		})
		if err != nil {
			return false, err
		}
		if *sum, err = sum.Add(refund.Due()); err != nil {
			return false, err
		}
	}
	return otherwise, nil
}
