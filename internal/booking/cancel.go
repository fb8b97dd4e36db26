package booking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/payment"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// CancelInput asks to give a reservation back, or some of its seats.
type CancelInput struct {
	ShowtimeID    uuid.UUID
	ReservationID uuid.UUID
	SeatIDs       []uuid.UUID         // none: all
	RefundTo      payment.Destination `json:",omitempty"` // payment.ToStoreCredit, by a customer with an account; else the way it was paid
}

// validate returns BAD_USER_INPUT for a seat that stands in the list twice.
func (in CancelInput) validate() error {
	if len(in.SeatIDs) == 0 {
		return nil
	}
	var bad apperr.Fields
	checkSeats(&bad, in.SeatIDs, nil)
	return bad.Err()
}

// Cancel gives a reservation, or some of its seats, back before its showtime starts. What was paid comes back as the policy
// has it under which the seats were held; all of it when the showtime was called off. The gateway is told at once or, when
// it does not answer, by Reconcile. Rules of seats count for what is left of an unpaid reservation, and not for what is paid.
// What is left keeps its price, ticket by ticket, and its state; the last seat ends the reservation. Cancelling twice gives the
// same answer.
//
// NOT_FOUND when the reservation is missing or someone else's; BAD_USER_INPUT for a seat that it never had; CONFLICT when it
// has expired, a payment for it is under way, or one of the tickets has admitted someone.
func (s *Service) Cancel(ctx context.Context, viewer auth.Viewer, in CancelInput) (CancelResult, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	layout, err := s.layoutOf(ctx, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	var offer *showtime.Offer
	if len(in.SeatIDs) > 0 {
		if offer, err = s.showtimes.Offer(ctx, in.ShowtimeID); err != nil {
			return nil, err
		}
	}
	result, err := s.tryCancel(ctx, viewer, in, layout, offer)
	alone, ok := errors.AsType[*leftAloneError](err)
	if !ok {
		return result, err
	}
	broken, relaxed, err := s.restBroken(ctx, offer, layout, alone)
	if err != nil || !relaxed {
		return broken, err
	}
	return s.tryCancel(ctx, viewer, in, layout, nil)
}

// tryCancel is Cancel under the rules of seats of an offer, nil for none: *leftAloneError when what is left would break one.
func (s *Service) tryCancel(ctx context.Context, viewer auth.Viewer, in CancelInput, layout *theater.Layout, offer *showtime.Offer) (CancelResult, error) {
	var done cancellation
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		done = cancellation{}
		r, _, err := s.lockTx(ctx, tx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		c, err := cancellingOf(ctx, tx, layout, r, in.SeatIDs)
		if err != nil || len(c.positions) == 0 {
			return err
		}
		if done.refusal = c.refusal(); done.refusal != nil {
			return nil
		}
		if err := leavesAloneTx(ctx, tx, offer, layout, c); err != nil {
			return err
		}
		back, err := c.refund()
		if err != nil {
			return err
		}
		c.to = in.RefundTo
		return s.cancelTx(ctx, tx, &done, c, back.TotalMinor, c.cause())
	})
	if err != nil {
		return nil, err
	}
	if done.refusal != nil {
		return done.refusal, nil
	}
	if err := s.afterwards(ctx, in.ShowtimeID, done); err != nil {
		return nil, err
	}
	r, _, err := s.reservation(context.WithoutCancel(ctx), viewer.UserID, in.ShowtimeID, in.ReservationID)
	return Cancelled{Reservation: r}, err
}

// cancellation is what came of the transaction.
type cancellation struct {
	refusal CancelResult     // nothing was changed
	freed   bool             // seats are free
	refunds []payment.Refund // to be given back, driven by this call
}

// afterwards tells those who watch, and sees to it that the money goes back.
func (s *Service) afterwards(ctx context.Context, showtimeID uuid.UUID, done cancellation) error {
	if done.freed {
		s.hint(showtimeID)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for _, refund := range done.refunds {
		s.changed(payment.Reference{ShowtimeID: refund.ShowtimeID, ID: refund.PaymentID})
		err := s.giveBack(ctx, refund)
		if errors.Is(err, errPending) {
			continue // for the reconciler, once the lease is over
		}
		if _, failed := errors.AsType[failedRefundError](err); failed {
			s.log.WarnContext(ctx, "refund failed", "refund", refund.ID, "attempt", refund.AttemptID, "error", err)
			continue // for the reconciler, after its pause
		}
		if err != nil {
			s.log.WarnContext(ctx, "refund left to the reconciler", "refund", refund.ID, "attempt", refund.AttemptID, "error", err)
			if err := s.payments.ReleaseRefund(ctx, refund); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancelling is a reservation, the seats of it that shall go, and what was agreed on about that.
type cancelling struct {
	r         Reservation
	positions seatno.List // in ascending order; none when all that shall go has gone before
	whole     bool        // they are all that it has
	contract  contract
	bill      pricing.Bill
	to        payment.Destination // of what comes back
}

// layoutOf returns the seats of the showtime of a reservation. Of a showtime that does not exist it tells no more than of a
// reservation that does not.
func (s *Service) layoutOf(ctx context.Context, showtimeID uuid.UUID) (*theater.Layout, error) {
	layout, err := s.seating.Layout(ctx, showtimeID)
	if apperr.CodeOf(err) == apperr.NotFound {
		return nil, apperr.Missing("reservation")
	}
	return layout, err
}

// cancellingOf finds out what a request to cancel seats of a reservation is about; no seats are all that it has.
func cancellingOf(ctx context.Context, on querier, layout *theater.Layout, r Reservation, seatIDs []uuid.UUID) (c cancelling, err error) {
	c.r = r
	var bad apperr.Fields
	wanted := make(seatno.List, len(seatIDs))
	for i, id := range seatIDs {
		position, known := layout.PositionOf(id)
		if !known || !slices.Contains(r.Positions, position) && !slices.Contains(r.Released, position) {
			bad.Add(fmt.Sprintf("input.seatIds.%d", i), "This seat is not one of this reservation.")
		}
		wanted[i] = position
	}
	if err := bad.Err(); err != nil {
		return c, err
	}
	switch r.Status {
	case StatusCancelled:
		return c, nil
	case StatusExpired:
		return c, apperr.New(apperr.Conflict, "This reservation has expired.")
	default:
	}
	c.positions = r.Positions.Sorted()
	if len(wanted) > 0 {
		c.positions = slices.DeleteFunc(c.positions, func(p int16) bool { return !slices.Contains(wanted, p) })
	}
	if err := keepsCompany(layout, r.Positions, c.positions); err != nil {
		return c, err
	}
	return leaving(ctx, on, layout, r, c.positions)
}

// leaving is seats of a reservation, all of which it has, that are to go.
func leaving(ctx context.Context, on querier, layout *theater.Layout, r Reservation, positions seatno.List) (c cancelling, err error) {
	c = cancelling{r: r, positions: positions, whole: len(positions) == len(r.Positions)}
	c.bill = pricing.BillOf(r.Stored, itemsOf(layout.SeatsAt(r.Positions.Sorted()), r.Types))
	c.contract, err = contractOf(ctx, on, r.Reference())
	return c, err
}

// keepsCompany is BAD_USER_INPUT when a companion's seat would stay behind without the place that it belongs to.
func keepsCompany(layout *theater.Layout, all, going seatno.List) error {
	rest := slices.DeleteFunc(slices.Clone(all), func(p int16) bool { return slices.Contains(going, p) })
	_, alone := seating.Protected(layout.SeatsAt(all), true)
	_, left := seating.Protected(layout.SeatsAt(rest), true)
	if len(left) > len(alone) {
		return apperr.Invalid("input.seatIds", "A companion's seat goes with the place for a wheelchair that it belongs to: choose both.")
	}
	return nil
}

// cause says whose doing it is that the viewer cancels.
func (c cancelling) cause() payment.Cause {
	if c.contract.calledOff {
		return payment.ByTheater
	}
	return payment.ByCustomer
}

// refusal says why the viewer cannot cancel; nil: nothing keeps them from it.
func (c cancelling) refusal() CancelResult {
	if c.r.Status != StatusConfirmed || c.contract.calledOff {
		return nil
	}
	if !c.contract.now.Before(c.contract.startsAt) {
		return ShowtimeClosed{Reason: showtime.ClosedSalesEnded}
	}
	if c.contract.terms().Refused {
		return CancellationClosed{ClosedAt: c.contract.closedAt()}
	}
	return nil
}

// refund says what comes back when the viewer cancels.
func (c cancelling) refund() (pricing.Refund, error) { return c.refundFor(c.cause()) }

func (c cancelling) refundFor(cause payment.Cause) (pricing.Refund, error) {
	if c.r.Status != StatusConfirmed {
		return pricing.Refund{}, nil
	}
	var back pricing.Refund
	var err error
	if cause == payment.ByCustomer {
		back, err = c.contract.policy.Refund(c.bill, c.positions, c.contract.terms())
	} else {
		back, err = c.bill.Everything(c.positions)
	}
	return back, undivided(err)
}

// undivided words pricing.ErrUndivided for people.
func undivided(err error) error {
	if errors.Is(err, pricing.ErrUndivided) {
		return apperr.New(apperr.Conflict, "This reservation can only be cancelled as a whole.")
	}
	return err
}

// cancelTx frees the seats, takes the right of admission from their tickets, and promises backMinor of what was paid. CONFLICT
// while a payment or a swap is under way.
func (s *Service) cancelTx(ctx context.Context, tx *sql.Tx, done *cancellation, c cancelling, backMinor int64, cause payment.Cause) error {
	if c.r.Status == StatusConfirmed {
		if err := notTakenTx(ctx, tx, c.r.Reference()); err != nil {
			return err
		}
	} else {
		attempt, tried, err := s.payments.LatestAttemptTx(ctx, tx, c.r.ShowtimeID, c.r.ID)
		if err != nil {
			return err
		}
		if tried && attempt.Status.Undecided() {
			return errPaymentUnderWay()
		}
	}
	return s.leaveTx(ctx, tx, done, c, backMinor, cause, func() error {
		return s.promiseTx(ctx, tx, done, c.r.Reference(), backMinor, cause, c.positions, c.to)
	})
}

// leaveTx frees the seats and takes the right of admission from their tickets. What is left costs what it does when so much is
// gone, and pay says where that goes.
func (s *Service) leaveTx(ctx context.Context, tx *sql.Tx, done *cancellation, c cancelling, goneMinor int64, cause payment.Cause, pay func() error) (err error) {
	if c.r.Status == StatusConfirmed {
		if err := s.revokeTicketsTx(ctx, tx, c.r, c.positions, cause); err != nil {
			return err
		}
	}
	var rest []pricing.Line
	if c.whole {
		done.freed, err = s.endTx(ctx, tx, c.r.ShowtimeID, c.r.ID, EventCancel)
	} else {
		rest, err = c.rest(goneMinor)
		if err == nil {
			done.freed, err = s.releaseTx(ctx, tx, c, rest)
		}
	}
	if err != nil {
		return err
	}
	if goneMinor > 0 {
		if err := pay(); err != nil {
			return err
		}
	}
	if c.whole {
		return nil
	}
	use := promotion.Use{ViewerID: c.r.ViewerID, ShowtimeID: c.r.ShowtimeID, ReservationID: c.r.ID}
	return promotion.LessenTx(ctx, tx, use, pricing.Quote{Lines: c.r.Stored}, pricing.Quote{Lines: rest})
}

// promiseTx records that money goes back, for this call to see to.
func (s *Service) promiseTx(ctx context.Context, tx *sql.Tx, done *cancellation, of payment.Reference, minor int64, cause payment.Cause, seats seatno.List, to payment.Destination) error {
	refunds, err := s.payments.OpenRefundsTx(ctx, tx, of, payment.RefundOpening{
		AmountMinor: minor, Cause: cause, Seats: seats, To: to, Lease: s.cfg.AttemptLease,
	})
	if err != nil {
		return fmt.Errorf("reservation %s: %w", of.ID, err)
	}
	for _, refund := range refunds {
		if !refund.AtCounter() { // what was paid at the counter waits to be paid out there
			done.refunds = append(done.refunds, refund)
		}
	}
	return nil
}

// rest returns the price of what is left, with what is kept of the seats that go.
func (c cancelling) rest(backMinor int64) ([]pricing.Line, error) {
	if c.r.Status != StatusConfirmed {
		rest, err := c.bill.Without(c.positions)
		return rest, undivided(err)
	}
	rest, err := c.bill.Rest(c.positions, backMinor)
	return rest, undivided(err)
}

// releaseTx takes seats from a reservation that keeps others.
func (s *Service) releaseTx(ctx context.Context, tx *sql.Tx, c cancelling, rest []pricing.Line) (released bool, err error) {
	lines, err := json.Marshal(rest)
	if err != nil {
		return false, fmt.Errorf("writing price lines: %w", err)
	}
	err = tx.QueryRowContext(ctx, `SELECT release_seats($1, $2, $3, $4::text[], $5, $6)`, c.r.ShowtimeID, c.r.ID, c.positions,
		textArray(EventCancel.from()), pricing.Sum(rest), string(lines)).Scan(&released)
	if err != nil {
		return false, fmt.Errorf("releasing seats: %w", err)
	}
	return released, nil
}

// revokeTicketsTx takes the right of admission from the tickets of seats; CONFLICT when one has been used, which only
// matters where the theater is not at fault.
func (s *Service) revokeTicketsTx(ctx context.Context, tx *sql.Tx, r Reservation, positions seatno.List, cause payment.Cause) error {
	result, err := tx.ExecContext(ctx, `UPDATE tickets SET status = 'REVOKED'
		WHERE showtime_id = $1 AND reservation_id = $2 AND seat_no = ANY ($3::smallint[]) AND status = ANY ($4::text[])`,
		r.ShowtimeID, r.ID, positions, textArray(revocable(cause)))
	if err != nil {
		return fmt.Errorf("revoking tickets: %w", err)
	}
	revoked, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("revoking tickets: %w", err)
	}
	if revoked != int64(len(positions)) {
		return errUsed()
	}
	return nil
}

// revocable are the states of tickets that can be cancelled for a cause.
func revocable(cause payment.Cause) []string {
	switch cause {
	case payment.ByTheater:
		return []string{string(TicketIssued), string(TicketRedeemed)}
	case payment.BySwap:
		return []string{string(TicketSuspended)}
	default:
		return []string{string(TicketIssued)}
	}
}

func errUsed() error {
	return apperr.New(apperr.Conflict, "A ticket of this reservation has been used.")
}

// executor is a querier that asks for nothing.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// querier is a transaction, or the pool for a statement that is one by itself.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// endTx ends a reservation by an event and frees its seats; false when it was not in a state that allows the event.
func (s *Service) endTx(ctx context.Context, tx querier, showtimeID, id uuid.UUID, event Event) (ended bool, err error) {
	to := StatusCancelled
	if event == EventExpire {
		to = StatusExpired
	}
	err = tx.QueryRowContext(ctx, `SELECT end_reservation($1, $2, $3::text[], $4)`, showtimeID, id, textArray(event.from()), to).Scan(&ended)
	if err != nil {
		return false, fmt.Errorf("ending a reservation: %w", err)
	}
	return ended, nil
}
