package main

import (
	"context"
	"errors"
	"fmt"

	"marquee/internal/postgres"
)

// audit is what the tables say of a run after it.
type audit struct {
	reservations int
	soldTwice    int // seats that were given to someone while someone else had them
	misplaced    int // seats that do not belong to whom they were given last
	keyless      int // reservations without their idempotency key, or keys without a reservation
	unpaid       int // reservations without their money and tickets, and money without a payment, where all are paid
}

// add adds the findings of another run.
func (a *audit) add(other audit) {
	a.reservations += other.reservations
	a.soldTwice += other.soldTwice
	a.misplaced += other.misplaced
	a.keyless += other.keyless
	a.unpaid += other.unpaid
}

// err says what is wrong.
func (a *audit) err() error {
	if a.soldTwice+a.misplaced+a.keyless+a.unpaid == 0 {
		return nil
	}
	return fmt.Errorf("%d seats were sold twice, %d do not belong to whom they were given, %d reservations and keys do not match, %d lack their money or tickets",
		a.soldTwice, a.misplaced, a.keyless, a.unpaid)
}

// A claim writes reservation and key in one transaction, and the key never changes, so the key's transaction number
// puts the claims of one seat into the order in which they were granted: the later one could only be granted after the
// earlier one was committed.
const grants = `WITH grants AS (
	SELECT r.showtime_id, seat_no, r.id, r.status, r.created_at, r.xmin::text::bigint AS written, k.xmin::text::bigint AS granted
	FROM reservations r
	JOIN idempotency_keys k ON k.showtime_id = r.showtime_id AND k.reservation_id = r.id AND k.operation = 'RESERVE', unnest(r.seats) AS seat_no)`

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
	FULL JOIN (SELECT * FROM idempotency_keys WHERE operation = 'RESERVE') k ON k.showtime_id = r.showtime_id AND k.reservation_id = r.id AND k.viewer_id = r.viewer_id
	WHERE k.key IS NULL OR r.id IS NULL`

const unpaid = `SELECT (SELECT count(*) FROM bench_gateway.charges c LEFT JOIN payment_attempts a ON a.id::text = c.key
		WHERE c.captured_minor > 0 AND a.status IS DISTINCT FROM 'CAPTURED') + count(*) FROM reservations r
	LEFT JOIN payments p ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id
	LEFT JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
	LEFT JOIN bench_gateway.charges c ON c.key = a.id::text
	WHERE r.status <> 'CONFIRMED' OR p.status IS DISTINCT FROM 'CAPTURED' OR p.captured_minor IS DISTINCT FROM r.amount_minor
		OR a.status IS DISTINCT FROM 'CAPTURED' OR c.captured_minor IS DISTINCT FROM r.amount_minor
		OR cardinality(r.seats) <> (SELECT count(*) FROM tickets t WHERE t.showtime_id = r.showtime_id AND t.reservation_id = r.id AND t.status = 'ISSUED')`

// examine reads the tables that a run of the scenario left.
func examine(ctx context.Context, db *postgres.DB, s scenario) (audit, error) {
	var a audit
	var errs []error
	type question struct {
		text   string
		args   []any
		answer *int
	}
	questions := []question{
		{`SELECT count(*) FROM reservations`, nil, &a.reservations},
		{soldTwice, []any{s.hold.Milliseconds()}, &a.soldTwice},
		{misplaced, nil, &a.misplaced},
		{keyless, nil, &a.keyless},
	}
	if s.paid {
		questions = append(questions, question{unpaid, nil, &a.unpaid})
	}
	for _, q := range questions {
		errs = append(errs, db.SQL().QueryRowContext(ctx, q.text, q.args...).Scan(q.answer))
	}
	if err := errors.Join(errs...); err != nil {
		return a, fmt.Errorf("examine the tables: %w", err)
	}
	return a, nil
}
