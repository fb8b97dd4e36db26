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
)

// PayInput asks to pay a reservation.
type PayInput struct {
	ShowtimeID     uuid.UUID
	ReservationID  uuid.UUID
	IdempotencyKey string
}

// Validate returns BAD_USER_INPUT when there is no usable key.
func (in PayInput) Validate() error {
	var bad apperr.Fields
	checkKey(&bad, in.IdempotencyKey)
	return bad.Err()
}

// Pay collects the price of a held reservation and issues its tickets. Repeating it with the same key tells how that
// attempt stands; paying what is paid already changes nothing and says so. NOT_FOUND when the reservation is missing
// or someone else's, CONFLICT when it was cancelled, IDEMPOTENCY_KEY_REUSED.
//
// The gateway is called between transactions, never inside one; the seats are secured before money is captured. If
// this process dies at any point, Reconcile brings the attempt to its end.
func (s *Service) Pay(ctx context.Context, viewer auth.Viewer, in PayInput) (PayResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	opened, err := s.openAttempt(ctx, viewer, in)
	if err != nil {
		return nil, err
	}
	attempt := opened.attempt
	// The customer may close the tab, or the request run out of time: the money must come to rest all the same, and the
	// answer says how it did.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if opened.drive {
		if attempt, err = s.settle(ctx, attempt); err != nil {
			s.log.WarnContext(ctx, "payment attempt left to the reconciler", "attempt", attempt.ID, "status", attempt.Status, "error", err)
			if err := s.payments.Release(ctx, attempt, 0); err != nil {
				return nil, err
			}
		}
	}
	r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	if err != nil {
		return nil, err
	}
	if opened.free {
		return Paid{Reservation: r}, nil
	}
	return payResult(opened, attempt, r, now), nil
}

// payResult says how an attempt stands; now is the database's clock.
func payResult(opened opened, attempt payment.Attempt, r Reservation, now time.Time) PayResult {
	switch {
	case opened.expired:
		return Expired{Reservation: r}
	case attempt.Status == payment.AttemptCaptured:
		return Paid{Reservation: r}
	case attempt.DeclineCode != "" && attempt.Status != payment.AttemptStarted:
		return Declined{Reservation: r, ServerTime: now, Code: attempt.DeclineCode}
	case attempt.Status == payment.AttemptRefundPending, attempt.Status == payment.AttemptRefunded:
		if r.Status == StatusCancelled {
			return Paid{Reservation: r} // and given back since
		}
		return Expired{Reservation: r} // the money came when the seats were gone, and goes back
	case attempt.Status == payment.AttemptVoided, attempt.Status == payment.AttemptVoidPending:
		return Expired{Reservation: r}
	default:
		return Pending{Reservation: r, ServerTime: now}
	}
}

// opened is what came of asking for an attempt.
type opened struct {
	attempt payment.Attempt
	drive   bool // the attempt was made by this call: it is ours to drive
	expired bool // the hold had run out; no attempt was made
	free    bool // nothing is to be paid: the reservation is confirmed
}

func (s *Service) openAttempt(ctx context.Context, viewer auth.Viewer, in PayInput) (opened, error) {
	var out opened
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		out = opened{}
		// The row lock comes first: two requests with one key run one after the other, and the second finds the attempt
		// of the first.
		r, _, err := s.lockTx(ctx, tx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		replayed, err := s.rememberKeyTx(ctx, tx, viewer.UserID, in)
		if err != nil {
			return err
		}
		if replayed {
			var found bool
			out.attempt, found, err = s.payments.AttemptByKeyTx(ctx, tx, in.ShowtimeID, in.ReservationID, in.IdempotencyKey)
			out.free = err == nil && !found
			return err
		}
		switch r.Status {
		case StatusHeld, StatusReserved:
		case StatusConfirmed:
			var found bool
			out.attempt, found, err = s.payments.LatestAttemptTx(ctx, tx, in.ShowtimeID, in.ReservationID)
			if err != nil {
				return err
			}
			out.free = !found || r.Total.AmountMinor == 0
			return errKeepNothing
		case StatusExpired:
			out.expired = true
			return errKeepNothing
		default:
			return apperr.New(apperr.Conflict, "This reservation was cancelled.")
		}
		if r.Total.AmountMinor == 0 {
			if err := s.secureTx(ctx, tx, in.ShowtimeID, in.ReservationID); errors.Is(err, errHoldLost) {
				out.expired = true
				return errKeepNothing
			} else if err != nil {
				return err
			}
			out.free = true
			if err := s.confirmTx(ctx, tx, in.ShowtimeID, in.ReservationID); err != nil {
				return err
			}
			// Attempts for seats that it had before, and that cost something, came to nothing.
			return s.payments.GiveUpTx(ctx, tx, in.ShowtimeID, in.ReservationID)
		}
		out.attempt, err = s.payments.OpenAttemptTx(ctx, tx, payment.Opening{
			ShowtimeID: in.ShowtimeID, ReservationID: in.ReservationID, ViewerID: viewer.UserID,
			Gateway: s.gateway.Name(), Amount: r.Total, IdempotencyKey: in.IdempotencyKey, Lease: s.cfg.AttemptLease,
		})
		out.drive = err == nil
		return err
	})
	switch {
	case errors.Is(err, errKeepNothing):
		return out, nil
	case errors.Is(err, payment.ErrMoved):
		// Another attempt is under way; its owner or the reconciler will bring it to an end.
		return opened{attempt: payment.Attempt{Status: payment.AttemptStarted}}, nil
	case err == nil && out.free:
		s.hint(in.ShowtimeID)
	}
	return out, err
}

// errKeepNothing rolls the transaction back although the answer is known: the key is not remembered, so that it may be
// used again.
var errKeepNothing = errors.New("booking: nothing to keep")

// rememberKeyTx stores the command's key; replayed is true when it was stored before for the same command.
func (s *Service) rememberKeyTx(ctx context.Context, tx *sql.Tx, viewerID uuid.UUID, in PayInput) (replayed bool, err error) {
	return rememberTx(ctx, tx, viewerID, payment.Reference{ShowtimeID: in.ShowtimeID, ID: in.ReservationID}, in.IdempotencyKey, "PAY", fingerprint("PAY", in.ReservationID, nil))
}

// rememberTx stores the key of an operation on a reservation with what was asked; replayed is true when it was stored before
// for the same, and IDEMPOTENCY_KEY_REUSED is returned when for something else.
func rememberTx(ctx context.Context, tx *sql.Tx, viewerID uuid.UUID, of payment.Reference, key, operation string, asked []byte) (replayed bool, err error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, of.ShowtimeID, viewerID, key, operation, asked, of.ID)
	if err != nil {
		return false, fmt.Errorf("remembering a key: %w", err)
	}
	if stored, err := result.RowsAffected(); err != nil || stored == 1 {
		return false, err
	}
	var same bool
	err = tx.QueryRowContext(ctx, `SELECT operation = $4 AND fingerprint = $5 FROM idempotency_keys
		WHERE showtime_id = $1 AND viewer_id = $2 AND key = $3`, of.ShowtimeID, viewerID, key, operation, asked).Scan(&same)
	if err != nil {
		return false, fmt.Errorf("reading a key: %w", err)
	}
	if !same {
		return false, errKeyReused()
	}
	return true, nil
}

// lockTx reads one of the viewer's reservations, with the database's clock, and keeps others from changing it: NOT_FOUND
// when it is missing or someone else's. The seats are not filled in.
func (s *Service) lockTx(ctx context.Context, tx *sql.Tx, viewerID, showtimeID, id uuid.UUID) (Reservation, time.Time, error) {
	return s.lockAnyTx(ctx, tx, uuid.NullUUID{UUID: viewerID, Valid: true}, showtimeID, id)
}

// lockAnyTx is lockTx for a reservation of anybody where no viewer is given.
func (s *Service) lockAnyTx(ctx context.Context, tx *sql.Tx, viewerID uuid.NullUUID, showtimeID, id uuid.UUID) (Reservation, time.Time, error) {
	r, now, err := scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reservations r
		WHERE r.showtime_id = $1 AND r.id = $2 AND ($3::uuid IS NULL OR r.viewer_id = $3) FOR UPDATE`, showtimeID, id, viewerID))
	if errors.Is(err, sql.ErrNoRows) {
		return r, now, apperr.Missing("reservation")
	}
	if err != nil {
		return r, now, fmt.Errorf("locking a reservation: %w", err)
	}
	return r, now, nil
}
