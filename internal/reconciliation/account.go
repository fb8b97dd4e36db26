package reconciliation

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/postgres"
)

// accountsQuery reads accounts; $1 is how long ago, in milliseconds, an attempt that rests must have come to rest.
const accountsQuery = `SELECT a.showtime_id, a.id, a.payment_id, s.theater_id, a.gateway, a.status, coalesce(a.taken_minor, a.amount_minor), p.currency, a.amount_minor,
		b.returned, b.on_the_way,
		a.updated_at > now() - $1 * interval '1 millisecond'
			OR a.leased_until > now() AND a.status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING')
	FROM payment_attempts a
	JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
	JOIN showtimes s ON s.id = a.showtime_id
	CROSS JOIN LATERAL (SELECT
			coalesce(sum(CASE WHEN r.status = 'DONE' AND r.destination = 'ORIGINAL' THEN r.amount_minor ELSE r.by_hand_minor END), 0) AS returned,
			coalesce(sum(r.amount_minor - r.by_hand_minor) FILTER (WHERE r.status = 'PENDING' AND r.destination = 'ORIGINAL'), 0) AS on_the_way
		FROM (SELECT a.showtime_id, a.id UNION ALL SELECT c.showtime_id, c.id FROM payment_attempts c WHERE c.origin_key = a.id::text) AS holder (showtime_id, id)
		JOIN refunds r ON r.showtime_id = holder.showtime_id AND r.attempt_id = holder.id AND r.to_reservation_id IS NULL) AS b
	WHERE a.status <> 'CARRIED' AND `

// accounts returns what we know of charges, by their keys; what we know nothing of is absent. One statement.
func (s *Service) accounts(ctx context.Context, keys []string) (map[string]Account, error) {
	ids := make(postgres.UUIDs, 0, len(keys))
	for _, key := range keys {
		if id, err := uuid.Parse(key); err == nil && id.String() == key {
			ids = append(ids, id)
		}
	}
	found, err := s.readAccounts(ctx, `a.id = ANY ($2)`, ids)
	accounts := make(map[string]Account, len(found))
	for _, account := range found {
		accounts[account.Attempt.ID.String()] = account
	}
	return accounts, err
}

// account is accounts for one key; nil where there is none.
func (s *Service) account(ctx context.Context, key string) (*Account, error) {
	found, err := s.accounts(ctx, []string{key})
	if account, ok := found[key]; ok {
		return &account, err
	}
	return nil, err
}

// takers are the attempts at a gateway that were made in a period and took money, as we have it, in the order of their ids: so
// many after one of them.
func (s *Service) takers(ctx context.Context, gateway string, after uuid.UUID, to time.Time, limit int) ([]Account, error) {
	return s.readAccounts(ctx, `a.id > $2 AND a.id < $3 AND a.gateway = $4 AND a.status IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED')
		ORDER BY a.id LIMIT $5`, after, idAt(to), gateway, limit)
}

// idAt returns the id before all that are made from a moment on: the first 48 bits of ids are milliseconds.
func idAt(t time.Time) (id uuid.UUID) {
	const bits, version = 48, 6
	for i, ms := range [version]int{40, 32, 24, 16, 8, 0} {
		id[i] = byte(t.UnixMilli() & (1<<bits - 1) >> ms)
	}
	return id
}

func (s *Service) readAccounts(ctx context.Context, where string, args ...any) ([]Account, error) {
	rows, err := s.db.SQL().QueryContext(ctx, accountsQuery+where, append([]any{s.cfg.Grace.Milliseconds()}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	accounts, err := postgres.Collect(rows, func(rows *sql.Rows) (a Account, err error) {
		err = rows.Scan(&a.Attempt.ShowtimeID, &a.Attempt.ID, &a.Payment, &a.Theater, &a.Gateway, &a.Status, &a.Amount.AmountMinor, &a.Amount.Currency, &a.Price,
			&a.Returned, &a.OnTheWay, &a.Busy)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	return accounts, nil
}
