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
// missing or someone else's; CONFLICT when it has expired or a payment for it is under way.
func (s *Service) Cancel(ctx context.Context, viewer auth.Viewer, in CancelInput) (CancelResult, error) {
	var refund *payment.Attempt
	var changed, started bool
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		refund, changed, started = nil, false, false
		r, err := s.lockTx(ctx, tx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		if r.Status == StatusCancelled {
			return nil
		}
		if _, allowed := r.Status.After(EventCancel); !allowed {
			return apperr.New(apperr.Conflict, "This reservation has expired.")
		}
		attempt, paid, err := s.payments.LatestAttemptTx(ctx, tx, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		switch {
		case r.Status == StatusConfirmed:
			if started, err = s.startedTx(ctx, tx, in.ShowtimeID); err != nil || started {
				return err
			}
			if err := s.revokeTicketsTx(ctx, tx, in.ShowtimeID, in.ReservationID); err != nil {
				return err
			}
			if paid {
				attempt, err = s.payments.AdvanceTx(ctx, tx, attempt, payment.Step{To: payment.AttemptRefundPending})
				if err != nil {
					return err
				}
				refund = &attempt
			}
		case paid && (attempt.Status == payment.AttemptStarted || attempt.Status == payment.AttemptAuthorized):
			return apperr.New(apperr.Conflict, "A payment for this reservation is under way. Try again in a moment.")
		}
		changed, err = s.endTx(ctx, tx, in.ShowtimeID, in.ReservationID, EventCancel)
		return err
	})
	if err != nil {
		return nil, err
	}
	if started {
		return ShowtimeClosed{Reason: ClosedSalesEnded}, nil
	}
	if changed {
		s.hint(in.ShowtimeID)
	}
	if refund != nil {
		if _, err := s.settle(context.WithoutCancel(ctx), *refund); err != nil {
			s.log.WarnContext(ctx, "refund left to the reconciler", "attempt", refund.ID, "error", err)
		}
	}
	r, _, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	return Cancelled{Reservation: r}, err
}

func (s *Service) startedTx(ctx context.Context, tx *sql.Tx, showtimeID uuid.UUID) (started bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT starts_at <= now() FROM showtimes WHERE id = $1`, showtimeID).Scan(&started)
	if err != nil {
		return false, fmt.Errorf("reading a showtime's start: %w", err)
	}
	return started, nil
}

func (s *Service) revokeTicketsTx(ctx context.Context, tx *sql.Tx, showtimeID, reservationID uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `UPDATE tickets SET status = 'REVOKED' WHERE showtime_id = $1 AND reservation_id = $2`,
		showtimeID, reservationID)
	if err != nil {
		return fmt.Errorf("revoking tickets: %w", err)
	}
	return nil
}

// endTx ends a reservation by an event and frees its seats; false when it was not in a state that allows the event.
func (s *Service) endTx(ctx context.Context, tx interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, showtimeID, id uuid.UUID, event Event) (ended bool, err error) {
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
