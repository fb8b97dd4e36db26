package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// FailedRefund is a refund that its gateway could not give back.
type FailedRefund struct {
	Refund

	Reservation uuid.UUID
	TheaterID   uuid.UUID
}

// ReservationID returns the public id of the reservation that was paid with the money.
func (r FailedRefund) ReservationID() string {
	return typeid.EncodeIn(typeid.Reservation, r.ShowtimeID, r.Reservation)
}

// mostFailed bounds a list.
const mostFailed = 100

// FailedRefunds returns refunds that failed for good and wait for somebody to decide, the oldest first, at most 100: of a theater
// or of all, to those who look after money, and to managers of theirs. FORBIDDEN.
func (s *Service) FailedRefunds(ctx context.Context, viewer auth.Viewer, theaterID *uuid.UUID) ([]FailedRefund, error) {
	all := viewer.Has(auth.RoleFinance, auth.Platform) || viewer.Has(auth.RoleTheaterManager, auth.Platform)
	var theaters postgres.UUIDs
	for held := range viewer.Grants.All() {
		if theaterID == nil && viewer.Has(auth.RoleTheaterManager, held.Theater) {
			theaters = append(theaters, held.Theater)
		}
	}
	if theaterID != nil && (all || viewer.Has(auth.RoleTheaterManager, *theaterID)) {
		all, theaters = false, postgres.UUIDs{*theaterID}
	}
	if !all && len(theaters) == 0 {
		return nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+refundColumns+`, p.reservation_id, s.theater_id`+refundSource+` JOIN showtimes s ON s.id = r.showtime_id
		WHERE r.status = 'FAILED' AND ($1 OR s.theater_id = ANY ($2::uuid[])) ORDER BY r.created_at, r.id LIMIT $3`, all, theaters, mostFailed)
	if err != nil {
		return nil, fmt.Errorf("reading failed refunds: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (f FailedRefund, err error) {
		f.Refund, err = scanRefund(trailing{rows, []any{&f.Reservation, &f.TheaterID}})
		return f, err
	})
}

// trailing scans columns that follow those of a refund.
type trailing struct {
	rows *sql.Rows
	into []any
}

func (t trailing) Scan(into ...any) error { return t.rows.Scan(append(into, t.into...)...) }

// Refund returns a refund; ok is false when there is none. The caller makes sure that the viewer may know.
func (s *Service) Refund(ctx context.Context, ref Reference) (r Refund, ok bool, err error) {
	r, err = scanRefund(s.db.SQL().QueryRowContext(ctx, `SELECT `+refundColumns+refundSource+` WHERE r.showtime_id = $1 AND r.id = $2`, ref.ShowtimeID, ref.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading a refund: %w", err)
	}
	return r, true, nil
}

// DecideTx lets a failed refund go on: to a destination, of which the original one is tried under another key, and with so much,
// in minor units, of it given back by hand. The caller drives it for the time of the lease. ErrMoved when it is not where r stands.
func (s *Service) DecideTx(ctx context.Context, tx *sql.Tx, r Refund, to Destination, byHandMinor int64, lease time.Duration) (Refund, error) {
	next := r
	next.Status, next.Destination, next.ByHand.AmountMinor = RefundPending, to, byHandMinor
	if to == ToOriginal {
		next.Try++
	}
	result, err := tx.ExecContext(ctx, `UPDATE refunds SET status = 'PENDING', try = $4, destination = $5, by_hand_minor = $6,
			leased_until = CASE WHEN $7 THEN 'infinity' ELSE now() + $8 * interval '1 millisecond' END
		WHERE showtime_id = $1 AND id = $2 AND status = 'FAILED' AND try = $3`,
		r.ShowtimeID, r.ID, r.Try, next.Try, to, byHandMinor, next.AtCounter(), lease.Milliseconds())
	return next, changedOne(result, err)
}
