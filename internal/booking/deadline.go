package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/payment"
	"marquee/internal/postgres"
)

// HoldInput names a reservation of the viewer.
type HoldInput struct {
	ShowtimeID    uuid.UUID
	ReservationID uuid.UUID
}

// Extend gives a hold its full time again, as often as the customer asks, but never beyond Config.HoldLimit from when
// the seats were first held. NOT_FOUND when the reservation is missing or someone else's; CONFLICT when it is not held
// any more, or a payment has secured its seats.
func (s *Service) Extend(ctx context.Context, viewer auth.Viewer, in HoldInput) (ExtendResult, error) {
	limited := false
	r, now, err := s.changeHeld(ctx, viewer, in, func(tx *sql.Tx, r Reservation, now time.Time) (changed bool, err error) {
		if r.Status != StatusHeld {
			return false, apperr.New(apperr.Conflict, "This reservation is kept until it must be paid, and no longer.")
		}
		limited = !r.HeldUntil.Before(s.lastDeadline(r))
		return s.extendTx(ctx, tx, r, now)
	})
	switch {
	case errors.Is(err, errHoldLost):
		return Expired{Reservation: r}, nil
	case err != nil:
		return nil, err
	case limited:
		return HoldLimitReached{Reservation: r, ServerTime: now}, nil
	default:
		return Extended{Reservation: r, ServerTime: now}, nil
	}
}

// lastDeadline is how far the deadline of a hold can be moved.
func (s *Service) lastDeadline(r Reservation) time.Time { return r.CreatedAt.Add(s.cfg.HoldLimit) }

// extendTx gives a hold its full time again, as far as lastDeadline lets it; errHoldLost when the one it has is over.
func (s *Service) extendTx(ctx context.Context, tx *sql.Tx, r Reservation, now time.Time) (moved bool, err error) {
	until, last := now.Add(s.cfg.Hold), s.lastDeadline(r)
	if until.After(last) {
		until = last
	}
	if !until.After(*r.HeldUntil) {
		return false, nil
	}
	return true, s.moveDeadlineTx(ctx, tx, HoldInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID}, StatusHeld, until)
}

// PayLater keeps a held reservation without payment until the deadline that its theater sets. Asking twice gives the same
// answer. NOT_FOUND and CONFLICT as Extend has them.
func (s *Service) PayLater(ctx context.Context, viewer auth.Viewer, in HoldInput) (PayLaterResult, error) {
	var refusal PayLaterReason
	r, now, err := s.changeHeld(ctx, viewer, in, func(tx *sql.Tx, r Reservation, _ time.Time) (changed bool, err error) {
		if r.Status == StatusReserved {
			return false, nil
		}
		if err := notSwapTx(ctx, tx, r.Reference()); err != nil {
			return false, err
		}
		var payBy time.Time
		if payBy, refusal, err = s.payByTx(ctx, tx, r); err != nil || refusal != "" {
			return false, err
		}
		// What is kept for no longer than the hold lasts by itself need not be kept.
		if !payBy.After(*r.HeldUntil) {
			refusal = PayLaterTooLate
			return false, nil
		}
		return true, s.moveDeadlineTx(ctx, tx, in, StatusReserved, payBy)
	})
	switch {
	case errors.Is(err, errHoldLost):
		return Expired{Reservation: r}, nil
	case err != nil:
		return nil, err
	case refusal != "":
		return PayLaterUnavailable{Reason: refusal, Reservation: r}, nil
	default:
		return KeptUnpaid{Reservation: r, ServerTime: now}, nil
	}
}

// changeHeld runs change in a transaction on a reservation of the viewer that waits for its payment, and tells those who
// watch when something has changed. It returns the reservation as it stands afterwards, with the database's clock;
// errHoldLost, and the reservation, when its deadline has passed.
func (s *Service) changeHeld(ctx context.Context, viewer auth.Viewer, in HoldInput,
	change func(tx *sql.Tx, r Reservation, now time.Time) (changed bool, err error),
) (Reservation, time.Time, error) {
	changed := false
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, now, err := s.lockTx(ctx, tx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		switch {
		case err != nil:
			return err
		case r.Status == StatusExpired:
			return errHoldLost
		case r.Status != StatusHeld && r.Status != StatusReserved:
			return apperr.New(apperr.Conflict, "This reservation does not wait for its payment any more.")
		case r.HeldUntil == nil:
			return errPaymentUnderWay()
		}
		// Seats that are offered for money are held as long as the offer stands, and no longer.
		if a, _, err := s.payments.LatestAttemptTx(ctx, tx, in.ShowtimeID, in.ReservationID); err != nil {
			return err
		} else if a.Status == payment.AttemptOffered {
			return errPaymentUnderWay()
		}
		changed, err = change(tx, r, now)
		return err
	})
	if err != nil && !errors.Is(err, errHoldLost) {
		return Reservation{}, time.Time{}, err
	}
	if err == nil && changed {
		s.hint(in.ShowtimeID)
	}
	r, now, readErr := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	return r, now, errors.Join(err, readErr)
}

// moveDeadlineTx gives a hold another deadline; errHoldLost when the one it has is over.
func (s *Service) moveDeadlineTx(ctx context.Context, tx *sql.Tx, in HoldInput, to Status, until time.Time) error {
	var moved bool
	err := tx.QueryRowContext(ctx, `SELECT move_deadline($1, $2, $3, $4)`, in.ShowtimeID, in.ReservationID, to, until).Scan(&moved)
	switch {
	case postgres.SQLState(err) == lostRace, err == nil && !moved:
		return errHoldLost
	case err != nil:
		return fmt.Errorf("moving a deadline: %w", err)
	default:
		return nil
	}
}

// payByTx returns the deadline that the theater sets for a reservation that is paid later, or why it sets none. Until the
// transaction ends the viewer can keep no other reservation.
func (s *Service) payByTx(ctx context.Context, tx *sql.Tx, r Reservation) (payBy time.Time, refusal PayLaterReason, err error) {
	var (
		theaterID uuid.UUID
		most      int
	)
	err = tx.QueryRowContext(ctx, `SELECT s.theater_id, p.max_open, s.starts_at - p.lead_minutes * interval '1 minute'
		FROM showtimes s JOIN pay_later_policies p ON p.theater_id = s.theater_id WHERE s.id = $1 AND s.status = 'SCHEDULED'`,
		r.ShowtimeID).Scan(&theaterID, &most, &payBy)
	if errors.Is(err, sql.ErrNoRows) {
		return payBy, PayLaterNotOffered, nil
	}
	if err != nil {
		return payBy, "", fmt.Errorf("reading a theater's deadline: %w", err)
	}
	if _, err = tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('pay later ' || $1, 0))`, r.ViewerID.String()); err != nil {
		return payBy, "", fmt.Errorf("waiting for the viewer's other reservations: %w", err)
	}
	var open int
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM reservations r JOIN showtimes s ON s.id = r.showtime_id
		WHERE r.viewer_id = $1 AND r.status = 'RESERVED' AND (r.held_until IS NULL OR r.held_until > now()) AND s.theater_id = $2`,
		r.ViewerID, theaterID).Scan(&open)
	if err != nil {
		return payBy, "", fmt.Errorf("counting unpaid reservations: %w", err)
	}
	if open >= most {
		refusal = PayLaterTooMany
	}
	return payBy, refusal, nil
}
