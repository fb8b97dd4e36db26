package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/payment"
	"marquee/internal/showtime"
)

// OfferAnswer says what a customer makes of other seats that are held for money that came too late.
type OfferAnswer struct {
	ShowtimeID     uuid.UUID
	ReservationID  uuid.UUID
	IdempotencyKey string
}

func (in OfferAnswer) validate() error {
	var bad apperr.Fields
	checkKey(&bad, in.IdempotencyKey)
	return bad.Err()
}

// AcceptOffered takes the seats that are offered for money that came too late, and brings the payment to its end. Repeating it
// with the same key tells how that stands. NOT_FOUND when the reservation is missing or someone else's, CONFLICT when nothing
// is offered, IDEMPOTENCY_KEY_REUSED.
func (s *Service) AcceptOffered(ctx context.Context, viewer auth.Viewer, in OfferAnswer) (PayResult, error) {
	var late bool
	a, drive, err := s.answerTx(ctx, viewer, in, "ACCEPT_OFFERED", func(tx *sql.Tx, a payment.Attempt, r Reservation, theaterID uuid.UUID) (payment.Attempt, error) {
		if late = r.Status == StatusExpired; late {
			return a, nil
		}
		if err := s.secureTx(ctx, tx, r.ShowtimeID, r.ID); err != nil {
			return a, err
		}
		next, err := s.payments.AdvanceTx(ctx, tx, a, payment.Step{To: payment.AttemptAuthorized})
		if err != nil {
			return a, err
		}
		_, err = tx.ExecContext(ctx, `WITH leased AS (UPDATE payment_attempts SET leased_until = now() + $3 * interval '1 millisecond' WHERE showtime_id = $1 AND id = $2)
			UPDATE payment_recoveries SET answer = 'ACCEPTED', answered_at = now() WHERE showtime_id = $1 AND attempt_id = $2`,
			a.ShowtimeID, a.ID, s.cfg.AttemptLease.Milliseconds())
		if err != nil {
			return a, fmt.Errorf("accepting seats: %w", err)
		}
		return next, audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.PaymentRecovered, Actor: viewer.UserID, Subject: r.NodeID(), Theater: theaterID,
			After: recovered{Rung: RungOtherSeats, Answer: RecoveryAccepted},
		})
	})
	switch {
	case errors.Is(err, errCalledOff):
		return ShowtimeClosed{Reason: showtime.ClosedCancelled}, nil
	case errors.Is(err, errHoldLost):
		late = true
	case err != nil:
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if drive && !late {
		s.hint(in.ShowtimeID)
		s.changed(a.PaymentReference())
		if a, err = s.settle(ctx, a); err != nil {
			s.log.WarnContext(ctx, "payment attempt left to the reconciler", "attempt", a.ID, "status", a.Status, "error", err)
			if err := s.payments.Release(ctx, a, 0); err != nil {
				return nil, err
			}
		}
	}
	r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	if err != nil {
		return nil, err
	}
	return payResult(opened{expired: late}, a, r, now, nil), nil
}

// DeclineOffered gives back seats that are offered for money that came too late: all of the money goes back. Repeating it with the
// same key tells the same. Errors as those of AcceptOffered.
func (s *Service) DeclineOffered(ctx context.Context, viewer auth.Viewer, in OfferAnswer) (Cancelled, error) {
	a, drive, err := s.answerTx(ctx, viewer, in, "DECLINE_OFFERED", func(tx *sql.Tx, a payment.Attempt, r Reservation, theaterID uuid.UUID) (payment.Attempt, error) {
		if _, err := s.endTx(ctx, tx, r.ShowtimeID, r.ID, EventCancel); err != nil {
			return a, err
		}
		return s.letGoLateTx(ctx, tx, a, r, theaterID, payment.Step{To: payment.AttemptVoidPending}, RecoveryDeclined)
	})
	if err != nil {
		return Cancelled{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if drive {
		s.hint(in.ShowtimeID)
		s.changed(a.PaymentReference())
		if _, err := s.settle(ctx, a); err != nil {
			s.log.WarnContext(ctx, "payment attempt left to the reconciler", "attempt", a.ID, "status", a.Status, "error", err)
			if err := s.payments.Release(ctx, a, 0); err != nil {
				return Cancelled{}, err
			}
		}
	}
	r, _, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	return Cancelled{Reservation: r}, err
}

// answerTx runs an answer to an offer in one transaction that has the reservation's row. drive says that this call has given it;
// another with its key gets the attempt as it stands.
func (s *Service) answerTx(ctx context.Context, viewer auth.Viewer, in OfferAnswer, operation string,
	answer func(tx *sql.Tx, a payment.Attempt, r Reservation, theaterID uuid.UUID) (payment.Attempt, error),
) (a payment.Attempt, drive bool, err error) {
	if err := in.validate(); err != nil {
		return a, false, err
	}
	offer, err := s.showtimes.Offer(ctx, in.ShowtimeID)
	if apperr.CodeOf(err) == apperr.NotFound {
		err = apperr.Missing("reservation")
	}
	if err != nil {
		return a, false, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		drive = false
		var tried bool
		r, _, err := s.lockTx(ctx, tx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		replayed, err := rememberTx(ctx, tx, viewer.UserID, r.Reference(), in.IdempotencyKey, operation, fingerprint(operation, in.ReservationID, nil))
		if err != nil {
			return err
		}
		if a, tried, err = s.payments.LatestAttemptTx(ctx, tx, in.ShowtimeID, in.ReservationID); err != nil || replayed {
			return err
		}
		if !tried || a.Status != payment.AttemptOffered {
			return apperr.New(apperr.Conflict, "No seats are offered for this reservation, or the offer was answered.")
		}
		drive = true
		a, err = answer(tx, a, r, offer.TheaterID)
		return err
	})
	return a, drive, err
}
