package reconciliation

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// State is where a mismatch stands.
type State string

// The states.
const (
	Open     State = "OPEN"
	Healed   State = "HEALED"   // the program brought both sides in line
	Vanished State = "VANISHED" // both sides were in line when they were compared again
	Resolved State = "RESOLVED" // somebody settled it; with the same amounts it is not opened again
)

// Mismatch is where the books of a gateway and ours disagree about a charge.
type Mismatch struct {
	ID         uuid.UUID
	Gateway    string
	ChargeKey  string // what the gateway knows the attempt by; its own id of what was charged without us
	Kind       Kind
	Reference  string             // the gateway's own id; "" where it knows no such charge
	Payment    *payment.Reference // nil where we know none
	Theater    *uuid.UUID
	Ours       money.Money
	Theirs     money.Money
	State      State
	Owner      *uuid.UUID // who looks after it
	Note       string     // how it was settled
	LastSeenAt time.Time
	ClosedAt   *time.Time
	CreatedAt  time.Time
	Age        time.Duration // until it was closed, or now
}

// IsNode marks a mismatch as something that can be asked for by its id.
func (Mismatch) IsNode() {}

// NodeID returns the mismatch's public id.
func (m Mismatch) NodeID() string { return typeid.Encode(typeid.Mismatch, m.ID) }

// PaymentID returns the public id of the payment, nil where we know none.
func (m Mismatch) PaymentID() *string {
	if m.Payment == nil {
		return nil
	}
	return new(typeid.EncodeIn(typeid.Payment, m.Payment.ShowtimeID, m.Payment.ID))
}

// TheaterID returns the public id of the theater, nil where we know none.
func (m Mismatch) TheaterID() *string {
	if m.Theater == nil {
		return nil
	}
	return new(typeid.Encode(typeid.Theater, *m.Theater))
}

// OwnerID returns the public id of the owner, nil for nobody.
func (m Mismatch) OwnerID() *string {
	if m.Owner == nil {
		return nil
	}
	return new(typeid.Encode(typeid.User, *m.Owner))
}

// AgeSeconds is the age in whole seconds.
func (m Mismatch) AgeSeconds() int32 { return int32(min(m.Age/time.Second, 1<<31-1)) }

const mismatchColumns = `id, gateway, charge_key, kind, reference, showtime_id, payment_id, theater_id, ours_minor, ours_currency, theirs_minor, theirs_currency,
	state, owner_id, note, last_seen_at, closed_at, created_at, extract(epoch FROM coalesce(closed_at, now()) - created_at)::bigint`

func scanMismatch(row interface{ Scan(...any) error }) (m Mismatch, err error) {
	var (
		showtime, paid, theater, owner uuid.NullUUID
		seconds                        int64
	)
	err = row.Scan(&m.ID, &m.Gateway, &m.ChargeKey, &m.Kind, &m.Reference, &showtime, &paid, &theater, &m.Ours.AmountMinor, &m.Ours.Currency,
		&m.Theirs.AmountMinor, &m.Theirs.Currency, &m.State, &owner, &m.Note, &m.LastSeenAt, &m.ClosedAt, &m.CreatedAt, &seconds)
	if paid.Valid {
		m.Payment, m.Theater = &payment.Reference{ShowtimeID: showtime.UUID, ID: paid.UUID}, &theater.UUID
	}
	if owner.Valid {
		m.Owner = &owner.UUID
	}
	m.LastSeenAt, m.CreatedAt, m.Age = m.LastSeenAt.UTC(), m.CreatedAt.UTC(), time.Duration(seconds)*time.Second
	if m.ClosedAt != nil {
		m.ClosedAt = new(m.ClosedAt.UTC())
	}
	return m, err
}

// record stores a finding and returns its open mismatch: nil when somebody has settled it with the same amounts. fresh says that it
// was not known before.
func (s *Service) record(ctx context.Context, gateway, key string, f Finding, ours *Account, theirs *payment.Charge) (m *Mismatch, fresh bool, err error) {
	reference := ""
	if theirs != nil {
		reference = theirs.Reference
	}
	var showtime, paid, theater uuid.NullUUID
	if ours != nil {
		showtime = uuid.NullUUID{UUID: ours.Attempt.ShowtimeID, Valid: true}
		paid, theater = uuid.NullUUID{UUID: ours.Payment, Valid: true}, uuid.NullUUID{UUID: ours.Theater, Valid: true}
	}
	id := typeid.New()
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		m, fresh = nil, false
		settled, err := tx.ExecContext(ctx, `UPDATE mismatches SET last_seen_at = now() WHERE gateway = $1 AND charge_key = $2 AND kind = $3 AND state = 'RESOLVED'
				AND (ours_minor, ours_currency, theirs_minor, theirs_currency) = ($4, $5, $6, $7)`,
			gateway, key, f.Kind, f.Ours.AmountMinor, f.Ours.Currency, f.Theirs.AmountMinor, f.Theirs.Currency)
		if err != nil {
			return err
		}
		if n, err := settled.RowsAffected(); err != nil || n > 0 {
			return err
		}
		open, err := scanMismatch(tx.QueryRowContext(ctx, `INSERT INTO mismatches (id, gateway, charge_key, kind, reference, showtime_id, payment_id, theater_id,
				ours_minor, ours_currency, theirs_minor, theirs_currency)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (gateway, charge_key, kind) WHERE (state = 'OPEN') DO UPDATE SET last_seen_at = now(), reference = excluded.reference,
				ours_minor = excluded.ours_minor, ours_currency = excluded.ours_currency,
				theirs_minor = excluded.theirs_minor, theirs_currency = excluded.theirs_currency
			RETURNING `+mismatchColumns, id, gateway, key, f.Kind, reference, showtime, paid, theater,
			f.Ours.AmountMinor, f.Ours.Currency, f.Theirs.AmountMinor, f.Theirs.Currency))
		m, fresh = &open, open.ID == id
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("storing a mismatch: %w", err)
	}
	return m, fresh, nil
}

// vanish closes the open mismatches of a charge that were not found again.
func (s *Service) vanish(ctx context.Context, gateway, key string, found []Finding) error {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+mismatchColumns+` FROM mismatches WHERE gateway = $1 AND charge_key = $2 AND state = 'OPEN'`, gateway, key)
	if err != nil {
		return fmt.Errorf("reading mismatches: %w", err)
	}
	open, err := postgres.Collect(rows, func(rows *sql.Rows) (Mismatch, error) { return scanMismatch(rows) })
	if err != nil {
		return err
	}
	for _, m := range open {
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Kind == m.Kind }) {
			continue
		}
		if _, err := s.close(ctx, m.ID, Vanished); err != nil {
			return err
		}
	}
	return nil
}

// close ends an open mismatch; closed is false when somebody was quicker.
func (s *Service) close(ctx context.Context, id uuid.UUID, as State) (closed bool, err error) {
	result, err := s.db.SQL().ExecContext(ctx, `UPDATE mismatches SET state = $2, closed_at = now() WHERE id = $1 AND state = 'OPEN'`, id, as)
	if err != nil {
		return false, fmt.Errorf("closing a mismatch: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// openKeys returns the keys of charges at a gateway with open mismatches.
func (s *Service) openKeys(ctx context.Context, gateway string) (map[string]bool, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT DISTINCT charge_key FROM mismatches WHERE gateway = $1 AND state = 'OPEN'`, gateway)
	if err != nil {
		return nil, fmt.Errorf("reading mismatches: %w", err)
	}
	keys, err := postgres.Collect(rows, func(rows *sql.Rows) (key string, err error) {
		err = rows.Scan(&key)
		return key, err
	})
	open := make(map[string]bool, len(keys))
	for _, key := range keys {
		open[key] = true
	}
	return open, err
}

// Waiting returns the open mismatches, the oldest first, so many at most.
func (s *Service) Waiting(ctx context.Context, limit int) ([]Mismatch, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+mismatchColumns+` FROM mismatches WHERE state = 'OPEN' ORDER BY created_at, id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading mismatches: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (Mismatch, error) { return scanMismatch(rows) })
}

// Backlog is what waits for somebody.
type Backlog struct {
	Open   int
	Oldest time.Duration // its age; 0 when nothing waits
}

// Backlog returns what waits.
func (s *Service) Backlog(ctx context.Context) (b Backlog, err error) {
	var seconds float64
	err = s.db.SQL().QueryRowContext(ctx, `SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM mismatches WHERE state = 'OPEN'`).
		Scan(&b.Open, &seconds)
	if err != nil {
		return b, fmt.Errorf("counting mismatches: %w", err)
	}
	b.Oldest = time.Duration(seconds * float64(time.Second))
	return b, nil
}
