package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/postgres"
)

// Charged returns the attempt of a charge as its gateway names it: by our key, which may be "" or somebody else's, and by an id of the
// gateway's own, which is "" where it does not say. ok is false when there is no record of it. An attempt without the gateway's
// id is found, but for those that took money: of them it is known.
func (s *Service) Charged(ctx context.Context, gateway, key, reference string) (a Attempt, ok bool, err error) {
	if reference != "" {
		a, ok, err = s.charged(ctx, `a.gateway_reference = $1 AND a.gateway = $2 AND a.status <> 'CARRIED'`, reference, gateway)
		if ok || err != nil {
			return a, ok, err
		}
	}
	if ours := uuid.Validate(key) == nil; !ours {
		return Attempt{}, false, nil
	}
	return s.charged(ctx, `a.id = $1 AND a.gateway = $2 AND a.status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING', 'DECLINED', 'VOIDED')`, key, gateway)
}

func (s *Service) charged(ctx context.Context, which string, args ...any) (a Attempt, ok bool, err error) {
	a, err = scanAttempt(s.db.SQL().QueryRowContext(ctx, `SELECT `+attemptColumns+attemptSource+` WHERE `+which+` LIMIT 1`, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return Attempt{}, false, nil
	}
	if err != nil {
		return Attempt{}, false, fmt.Errorf("looking for an attempt: %w", err)
	}
	return a, true, nil
}

// Lease takes over an attempt whose driver has let its lease run out; mine is false when somebody drives it.
func (s *Service) Lease(ctx context.Context, a Attempt, lease time.Duration) (mine bool, err error) {
	result, err := s.db.SQL().ExecContext(ctx, `UPDATE payment_attempts SET leased_until = now() + $3 * interval '1 millisecond'
		WHERE showtime_id = $1 AND id = $2 AND leased_until < now()`, a.ShowtimeID, a.ID, lease.Milliseconds())
	if err := changedOne(result, err); errors.Is(err, ErrMoved) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// RefundsUnderWay returns the refunds that go back through the charge of an attempt and that its gateway has still to carry out, those of
// reservations included to which its money was carried. One that has failed before is none while it pauses.
func (s *Service) RefundsUnderWay(ctx context.Context, a Attempt) ([]Refund, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+refundColumns+refundSource+`
		WHERE r.status = 'PENDING' AND a.gateway = $1 AND coalesce(a.origin_key, a.id::text) = $2 AND (r.try = 1 OR r.leased_until < now())
			AND r.leased_until < 'infinity' ORDER BY r.id`, a.Gateway, a.Key())
	if err != nil {
		return nil, fmt.Errorf("looking for refunds: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (Refund, error) { return scanRefund(rows) })
}
