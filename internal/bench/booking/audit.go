package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"marquee/internal/postgres"
)

// audit is what the tables say of a run after it.
type audit struct {
	reservations int
	soldTwice    int // seats that were given to someone while someone else had them
	misplaced    int // seats that do not belong to whom they were given last
	keyless      int // reservations without their idempotency key, or keys without a reservation
}

// add adds the findings of another run.
func (a *audit) add(other audit) {
	a.reservations += other.reservations
	a.soldTwice += other.soldTwice
	a.misplaced += other.misplaced
	a.keyless += other.keyless
}

// err says what is wrong.
func (a *audit) err() error {
	if a.soldTwice+a.misplaced+a.keyless == 0 {
		return nil
	}
	return fmt.Errorf("%d seats were sold twice, %d do not belong to whom they were given, %d reservations and keys do not match",
		a.soldTwice, a.misplaced, a.keyless)
}

// A claim writes reservation and key in one transaction, and the key never changes, so the key's transaction number
// puts the claims of one seat into the order in which they were granted: the later one could only be granted after the
// earlier one was committed.
const grants = `WITH grants AS (
	SELECT r.showtime_id, seat_no, r.id, r.status, r.created_at, r.xmin::text::bigint AS written, k.xmin::text::bigint AS granted
	FROM reservations r
	JOIN idempotency_keys k ON k.showtime_id = r.showtime_id AND k.reservation_id = r.id, unnest(r.seats) AS seat_no)`

// Whose hold had run out when the next one asked, or was ended before the next one was written, has lost nothing.
const soldTwice = grants + `, lives AS (
	SELECT created_at, granted, lag(created_at) OVER seat AS earlier, lag(status) OVER seat AS status, lag(written) OVER seat AS ended
	FROM grants WINDOW seat AS (PARTITION BY showtime_id, seat_no ORDER BY granted))
	SELECT count(*) FROM lives
	WHERE created_at < earlier + $1 * interval '1 millisecond' AND NOT (status = 'EXPIRED' AND ended < granted)`

// A claim that was made in part, or lost its seats to nobody, shows here. A hold that was ended has no claim.
const misplaced = grants + `, latest AS (
	SELECT DISTINCT ON (showtime_id, seat_no) showtime_id, seat_no, id, status FROM grants ORDER BY showtime_id, seat_no, granted DESC)
	SELECT count(*) FROM latest l FULL JOIN seat_claims c USING (showtime_id, seat_no)
	WHERE c.reservation_id IS DISTINCT FROM l.id AND NOT (c.seat_no IS NULL AND l.status = 'EXPIRED')`

const keyless = `SELECT count(*) FROM reservations r
	FULL JOIN idempotency_keys k ON k.showtime_id = r.showtime_id AND k.reservation_id = r.id AND k.viewer_id = r.viewer_id
	WHERE k.key IS NULL OR r.id IS NULL`

// examine reads the tables of a run whose holds lasted as given.
func examine(ctx context.Context, db *postgres.DB, hold time.Duration) (audit, error) {
	var a audit
	var errs []error
	for _, question := range []struct {
		text   string
		args   []any
		answer *int
	}{
		{`SELECT count(*) FROM reservations`, nil, &a.reservations},
		{soldTwice, []any{hold.Milliseconds()}, &a.soldTwice},
		{misplaced, nil, &a.misplaced},
		{keyless, nil, &a.keyless},
	} {
		errs = append(errs, db.SQL().QueryRowContext(ctx, question.text, question.args...).Scan(question.answer))
	}
	if err := errors.Join(errs...); err != nil {
		return a, fmt.Errorf("examine the tables: %w", err)
	}
	return a, nil
}
