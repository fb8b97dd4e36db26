package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/payment"
	"marquee/internal/postgres"
)

// sweepBatch bounds one sweep.
const sweepBatch = 500

// KeyAge is how long an idempotency key is remembered; after that the same key means a new request.
const KeyAge = 48 * time.Hour

// Sweep turns holds whose deadline has passed into EXPIRED reservations and tells the watchers. The seats were free
// from the deadline on without it. It returns how many it ended; a full batch means that there is more. Safe on every
// node at once.
func (s *Service) Sweep(ctx context.Context) (ended int, full bool, err error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT showtime_id, id FROM reservations WHERE held_until <= now()
		ORDER BY held_until LIMIT $1`, sweepBatch)
	if err != nil {
		return 0, false, fmt.Errorf("looking for expired holds: %w", err)
	}
	expired, err := postgres.Collect(rows, func(rows *sql.Rows) (r payment.Reference, err error) {
		err = rows.Scan(&r.ShowtimeID, &r.ID)
		return r, err
	})
	if err != nil {
		return 0, false, err
	}
	changed := map[uuid.UUID]bool{}
	var failed error
	defer func() {
		for id := range changed {
			s.hint(id)
		}
	}()
	for _, r := range expired {
		done, err := s.endTx(ctx, s.db.SQL(), r.ShowtimeID, r.ID, EventExpire)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if done {
			ended++
			changed[r.ShowtimeID] = true
		}
	}
	// A batch in which others were faster does not call for another at once.
	return ended, len(expired) == sweepBatch && ended > 0, failed
}

// ForgetKeys deletes idempotency keys older than KeyAge and returns how many.
func (s *Service) ForgetKeys(ctx context.Context) (forgotten int64, err error) {
	const batch = 5000
	for {
		result, err := s.db.SQL().ExecContext(ctx, `DELETE FROM idempotency_keys WHERE (showtime_id, viewer_id, key) IN (
			SELECT showtime_id, viewer_id, key FROM idempotency_keys WHERE created_at < now() - $1 * interval '1 second' LIMIT $2)`,
			KeyAge.Seconds(), batch)
		if err != nil {
			return forgotten, fmt.Errorf("forgetting keys: %w", err)
		}
		n, err := result.RowsAffected()
		forgotten += n
		if err != nil || n < batch {
			return forgotten, err
		}
	}
}
