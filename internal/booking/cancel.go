package booking

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/payment"
)

// CancelInput asks to give a reservation back.
type CancelInput struct {
	ShowtimeID    uuid.UUID
	ReservationID uuid.UUID
}

// Cancel gives a reservation back before its showtime starts; what was paid is refunded in full, at once or, when the
// gateway does not answer, by Reconcile. Cancelling twice gives the same answer. NOT_FOUND when the reservation is
// missing or someone else's; CONFLICT when it has expired, a payment for it is under way, or one of its tickets has
// admitted someone.
func (s *Service) Cancel(ctx context.Context, viewer auth.Viewer, in CancelInput) (CancelResult, error) {
	var c cancellation
	err := s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		c, err = s.cancelTx(ctx, tx, viewer.UserID, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.tooLate {
		return ShowtimeClosed{Reason: ClosedSalesEnded}, nil
	}
	if c.ended {
		s.hint(in.ShowtimeID)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if c.refund != nil {
		if _, err := s.settle(ctx, *c.refund); err != nil {
			s.log.WarnContext(ctx, "refund left to the reconciler", "attempt", c.refund.ID, "error", err)
			if err := s.payments.Release(ctx, *c.refund, 0); err != nil {
				return nil, err
			}
		}
	}
	r, _, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	return Cancelled{Reservation: r}, err
}

// cancellation is what came of the transaction.
type cancellation struct {
	ended   bool             // the reservation ended by it; false when it was cancelled before
	tooLate bool             // the showtime has started; nothing was changed
	refund  *payment.Attempt // to be given back, driven by this call
}

func (s *Service) cancelTx(ctx context.Context, tx *sql.Tx, viewerID uuid.UUID, in CancelInput) (c cancellation, err error) {
	r, _, err := s.lockTx(ctx, tx, viewerID, in.ShowtimeID, in.ReservationID)
	if err != nil || r.Status == StatusCancelled {
		return c, err
	}
	if _, allowed := r.Status.After(EventCancel); !allowed {
		return c, apperr.New(apperr.Conflict, "This reservation has expired.")
	}
	attempt, tried, err := s.payments.LatestAttemptTx(ctx, tx, in.ShowtimeID, in.ReservationID)
	if err != nil {
		return c, err
	}
	if r.Status == StatusConfirmed {
		if c.tooLate, err = s.startedTx(ctx, tx, in.ShowtimeID); err != nil || c.tooLate {
			return c, err
		}
		if err := s.revokeTicketsTx(ctx, tx, r); err != nil {
			return c, err
		}
	} else if tried && (attempt.Status == payment.AttemptStarted || attempt.Status == payment.AttemptAuthorized) {
		return c, errPaymentUnderWay()
	}
	if c.ended, err = s.endTx(ctx, tx, in.ShowtimeID, in.ReservationID, EventCancel); err != nil {
		return c, err
	}
	if tried && attempt.Status == payment.AttemptCaptured {
		if attempt, err = s.payments.AdvanceTx(ctx, tx, attempt, payment.Step{To: payment.AttemptRefundPending}); err != nil {
			return c, err
		}
		c.refund = &attempt
	}
	return c, nil
}

func (s *Service) startedTx(ctx context.Context, tx *sql.Tx, showtimeID uuid.UUID) (started bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT starts_at <= now() FROM showtimes WHERE id = $1`, showtimeID).Scan(&started)
	if err != nil {
		return false, fmt.Errorf("reading a showtime's start: %w", err)
	}
	return started, nil
}

// revokeTicketsTx takes the right of admission from every ticket of a reservation; CONFLICT when one has been used.
func (s *Service) revokeTicketsTx(ctx context.Context, tx *sql.Tx, r Reservation) error {
	result, err := tx.ExecContext(ctx, `UPDATE tickets SET status = 'REVOKED'
		WHERE showtime_id = $1 AND reservation_id = $2 AND status <> 'REDEEMED'`, r.ShowtimeID, r.ID)
	if err != nil {
		return fmt.Errorf("revoking tickets: %w", err)
	}
	revoked, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("revoking tickets: %w", err)
	}
	if revoked != int64(len(r.Positions)) {
		return apperr.New(apperr.Conflict, "A ticket of this reservation has been used.")
	}
	return nil
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
