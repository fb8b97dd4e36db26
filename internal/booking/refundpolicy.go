package booking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/typeid"
)

// RefundPolicy is a version of what a theater gives back to customers who cancel.
type RefundPolicy struct {
	pricing.RefundPolicy
	Version   int32      // 0: the theater has set none, and has the default
	HoldsFrom *time.Time // for seats that are first held then or later; nil of the default
	Currency  string     // of its amounts
}

// KeptPerTicket returns KeptPerTicketMinor as money.
func (p RefundPolicy) KeptPerTicket() money.Money {
	return money.Money{AmountMinor: p.KeptPerTicketMinor, Currency: p.Currency}
}

// KeptOnce returns KeptOnceMinor as money.
func (p RefundPolicy) KeptOnce() money.Money {
	return money.Money{AmountMinor: p.KeptOnceMinor, Currency: p.Currency}
}

// SwapTerms are those of the policy, with the fee as money.
type SwapTerms struct {
	MinutesBefore int32
	Fee           money.Money
}

// SwapTerms returns the policy's terms for swaps; nil: there are none.
func (p RefundPolicy) SwapTerms() *SwapTerms {
	if p.Swap == nil {
		return nil
	}
	return &SwapTerms{MinutesBefore: p.Swap.Minutes, Fee: money.Money{AmountMinor: p.Swap.FeeMinor, Currency: p.Currency}}
}

// policyDelay is how long after it is set a policy begins to hold. It is committed by then, whatever happens: every
// transaction ends sooner by the timeouts of its connection. So each reservation finds the policy that held when its seats
// were held by the time alone, and claims know nothing of policies.
const policyDelay = time.Minute

// SetRefundPolicy says what a theater gives back to customers who cancel, for seats that are held from a minute later on. What
// was held before keeps its policy. The viewer manages the theater: FORBIDDEN for others, STEP_UP_REQUIRED without a recent
// proof. NOT_FOUND for an unknown theater, BAD_USER_INPUT. It is recorded.
func (s *Service) SetRefundPolicy(ctx context.Context, viewer auth.Viewer, theaterID uuid.UUID, policy pricing.RefundPolicy) (RefundPolicy, error) {
	if !viewer.Has(auth.RoleTheaterManager, theaterID) {
		return RefundPolicy{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if err := viewer.Recent(s.clock.Now()); err != nil {
		return RefundPolicy{}, err
	}
	var bad apperr.Fields
	policy.Check(&bad, "input.policy.")
	if err := bad.Err(); err != nil {
		return RefundPolicy{}, err
	}
	if policy.Steps == nil {
		policy.Steps = []pricing.RefundStep{}
	}
	steps, err := json.Marshal(policy.Steps)
	if err != nil {
		return RefundPolicy{}, fmt.Errorf("writing steps: %w", err)
	}
	var swapMinutes, swapFee sql.NullInt64
	if policy.Swap != nil {
		swapMinutes, swapFee = sql.NullInt64{Int64: int64(policy.Swap.Minutes), Valid: true}, sql.NullInt64{Int64: policy.Swap.FeeMinor, Valid: true}
	}
	set := RefundPolicy{RefundPolicy: policy}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT currency FROM theaters WHERE id = $1 FOR NO KEY UPDATE`, theaterID).Scan(&set.Currency)
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("theater")
		}
		if err != nil {
			return fmt.Errorf("locking a theater: %w", err)
		}
		before, err := scanPolicy(tx.QueryRowContext(ctx, `SELECT `+policyColumns+` FROM theaters t LEFT JOIN LATERAL (
			SELECT `+versionColumns+` FROM refund_policies p WHERE p.theater_id = t.id ORDER BY p.version DESC LIMIT 1) p ON true WHERE t.id = $1`, theaterID))
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `INSERT INTO refund_policies (theater_id, version, steps, late_without_refund, kept_per_ticket_minor,
				kept_once_minor, fees_returned, swap_minutes, swap_fee_minor, holds_from)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, greatest(clock_timestamp() + $10 * interval '1 millisecond', $11)) RETURNING version, holds_from`,
			theaterID, before.Version+1, string(steps), policy.LateWithoutRefund, policy.KeptPerTicketMinor, policy.KeptOnceMinor,
			policy.FeesReturned, swapMinutes, swapFee, policyDelay.Milliseconds(), before.HoldsFrom).Scan(&set.Version, &set.HoldsFrom)
		if err != nil {
			return fmt.Errorf("writing a refund policy: %w", err)
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.RefundPolicySet, Actor: viewer.UserID, Subject: typeid.Encode(typeid.Theater, theaterID), Theater: theaterID,
			Before: before.RefundPolicy, After: policy,
		})
	})
	return set, err
}

// policyColumns are those of a version p of the theater t; NULL where it has none.
const policyColumns = `t.currency, ` + versionColumns

const versionColumns = `p.version, p.steps, p.late_without_refund, p.kept_per_ticket_minor, p.kept_once_minor, p.fees_returned,
	p.swap_minutes, p.swap_fee_minor, p.holds_from`

// policyAt is what has the version p that holds for the theater t at a moment.
func policyAt(moment string) string {
	return ` LEFT JOIN LATERAL (SELECT ` + versionColumns + ` FROM refund_policies p WHERE p.theater_id = t.id AND p.holds_from <= ` + moment + `
		ORDER BY p.version DESC LIMIT 1) p ON true `
}

// scanPolicy reads policyColumns after those of leading.
func scanPolicy(row interface{ Scan(...any) error }, leading ...any) (p RefundPolicy, err error) {
	var (
		version         sql.NullInt32
		steps           []byte
		late, fees      sql.NullBool
		perTicket, once sql.NullInt64
		swapMinutes     sql.NullInt32
		swapFee         sql.NullInt64
	)
	if err := row.Scan(append(leading, &p.Currency, &version, &steps, &late, &perTicket, &once, &fees, &swapMinutes, &swapFee, &p.HoldsFrom)...); err != nil {
		return p, err
	}
	if !version.Valid {
		p.RefundPolicy = pricing.DefaultRefundPolicy()
		return p, nil
	}
	p.Version = version.Int32
	p.LateWithoutRefund, p.KeptPerTicketMinor, p.KeptOnceMinor, p.FeesReturned = late.Bool, perTicket.Int64, once.Int64, fees.Bool
	if swapMinutes.Valid {
		p.Swap = &pricing.SwapTerms{Minutes: swapMinutes.Int32, FeeMinor: swapFee.Int64}
	}
	if err := json.Unmarshal(steps, &p.Steps); err != nil {
		return p, fmt.Errorf("reading the steps of a refund policy: %w", err)
	}
	return p, nil
}

// RefundPolicies returns the policies that hold for what is held at this moment, by theater. One statement.
func (s *Service) RefundPolicies(ctx context.Context, theaters []uuid.UUID) (map[uuid.UUID]RefundPolicy, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT t.id, `+policyColumns+` FROM theaters t`+policyAt(`now()`)+`
		WHERE t.id = ANY ($1::uuid[])`, postgres.UUIDs(theaters))
	if err != nil {
		return nil, fmt.Errorf("reading refund policies: %w", err)
	}
	return collectPolicies(rows, func(rows *sql.Rows) (id uuid.UUID, p RefundPolicy, err error) {
		p, err = scanPolicy(rows, &id)
		return id, p, err
	})
}

// RefundPoliciesOf returns the policies under which reservations were made. The caller has made sure that the viewer may see
// the reservations. One statement.
func (s *Service) RefundPoliciesOf(ctx context.Context, reservations []payment.Reference) (map[payment.Reference]RefundPolicy, error) {
	showtimes, ids := payment.Columns(reservations)
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT r.showtime_id, r.id, `+policyColumns+`
		FROM unnest($1::uuid[], $2::uuid[]) AS wanted (showtime_id, id)
		JOIN reservations r ON r.showtime_id = wanted.showtime_id AND r.id = wanted.id
		JOIN showtimes s ON s.id = r.showtime_id JOIN theaters t ON t.id = s.theater_id`+policyAt(`r.created_at`), showtimes, ids)
	if err != nil {
		return nil, fmt.Errorf("reading refund policies: %w", err)
	}
	return collectPolicies(rows, func(rows *sql.Rows) (ref payment.Reference, p RefundPolicy, err error) {
		p, err = scanPolicy(rows, &ref.ShowtimeID, &ref.ID)
		return ref, p, err
	})
}

func collectPolicies[K comparable](rows *sql.Rows, scan func(*sql.Rows) (K, RefundPolicy, error)) (map[K]RefundPolicy, error) {
	found := map[K]RefundPolicy{}
	_, err := postgres.Collect(rows, func(rows *sql.Rows) (struct{}, error) {
		key, p, err := scan(rows)
		found[key] = p
		return struct{}{}, err
	})
	return found, err
}

// contract is what a reservation was made under, and how its showtime stands.
type contract struct {
	policy    RefundPolicy
	now       time.Time // the database's clock
	startsAt  time.Time
	calledOff bool
	theaterID uuid.UUID
}

// terms are those for who cancels now.
func (c contract) terms() pricing.Terms { return c.policy.At(c.now, c.startsAt) }

// closedAt is the last moment at which customers can cancel; nil: they never could.
func (c contract) closedAt() *time.Time {
	if c.policy.LateWithoutRefund {
		return &c.startsAt
	}
	if n := len(c.policy.Steps); n > 0 {
		return new(c.startsAt.Add(-time.Duration(c.policy.Steps[n-1].Minutes) * time.Minute))
	}
	return nil
}

// contractOf reads the contract of a reservation.
func contractOf(ctx context.Context, on querier, of payment.Reference) (c contract, err error) {
	c.policy, err = scanPolicy(on.QueryRowContext(ctx, `SELECT now(), s.starts_at, s.status = 'CANCELLED', s.theater_id, `+policyColumns+`
		FROM reservations r JOIN showtimes s ON s.id = r.showtime_id JOIN theaters t ON t.id = s.theater_id`+policyAt(`r.created_at`)+`
		WHERE r.showtime_id = $1 AND r.id = $2`, of.ShowtimeID, of.ID), &c.now, &c.startsAt, &c.calledOff, &c.theaterID)
	if err != nil {
		return c, fmt.Errorf("reading the contract of a reservation: %w", err)
	}
	return c, nil
}
