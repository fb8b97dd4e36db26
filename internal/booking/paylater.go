package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// PayLaterPolicy says on which terms a theater lets customers reserve without payment.
type PayLaterPolicy struct {
	LeadMinutes int32 `json:"leadMinutes"` // how long before the start a reservation must be paid
	MaxOpen     int32 `json:"maxOpen"`     // unpaid reservations that one customer may have at the theater
}

// Bounds of a PayLaterPolicy; the table has them too.
const (
	maxLeadMinutes = 7 * 24 * 60
	mostOpen       = 100
)

// PayBy returns when a reservation of a showtime must be paid.
func (p PayLaterPolicy) PayBy(startsAt time.Time) time.Time {
	return startsAt.Add(-time.Duration(p.LeadMinutes) * time.Minute)
}

func (p PayLaterPolicy) validate() error {
	var bad apperr.Fields
	if p.LeadMinutes < 0 || p.LeadMinutes > maxLeadMinutes {
		bad.Add("input.policy.leadMinutes", "Give 0 to %d minutes, which is a week.", maxLeadMinutes)
	}
	if p.MaxOpen < 1 || p.MaxOpen > mostOpen {
		bad.Add("input.policy.maxOpen", "Give 1 to %d reservations.", mostOpen)
	}
	return bad.Err()
}

// PayLaterPolicies returns the policies of those theaters that have one. One statement.
func (s *Service) PayLaterPolicies(ctx context.Context, theaters []uuid.UUID) (map[uuid.UUID]PayLaterPolicy, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT theater_id, lead_minutes, max_open FROM pay_later_policies
		WHERE theater_id = ANY ($1::uuid[])`, postgres.UUIDs(theaters))
	if err != nil {
		return nil, fmt.Errorf("reading policies of theaters: %w", err)
	}
	type row struct {
		theater uuid.UUID
		policy  PayLaterPolicy
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.theater, &r.policy.LeadMinutes, &r.policy.MaxOpen)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	policies := make(map[uuid.UUID]PayLaterPolicy, len(found))
	for _, r := range found {
		policies[r.theater] = r.policy
	}
	return policies, nil
}

// SetPayLaterPolicy says on which terms a theater lets customers reserve without payment from the present on; nil: not
// at all. What is reserved already keeps its deadline. The viewer manages the theater: FORBIDDEN for others; no
// recent proof, since it moves no money. NOT_FOUND for an unknown theater, BAD_USER_INPUT. It is recorded.
func (s *Service) SetPayLaterPolicy(ctx context.Context, viewer auth.Viewer, theaterID uuid.UUID, policy *PayLaterPolicy) error {
	if !viewer.Has(auth.RoleTheaterManager, theaterID) {
		return apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if policy != nil {
		if err := policy.validate(); err != nil {
			return err
		}
	}
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		before, exists, err := lockPayLaterPolicyTx(ctx, tx, theaterID)
		if err != nil {
			return err
		}
		if policy == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM pay_later_policies WHERE theater_id = $1`, theaterID)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO pay_later_policies (theater_id, lead_minutes, max_open) VALUES ($1, $2, $3)
				ON CONFLICT (theater_id) DO UPDATE SET lead_minutes = excluded.lead_minutes, max_open = excluded.max_open, updated_at = now()`,
				theaterID, policy.LeadMinutes, policy.MaxOpen)
		}
		if err != nil {
			return fmt.Errorf("writing a theater's policy: %w", err)
		}
		entry := audit.Entry{
			Action: audit.PayLaterPolicySet, Actor: viewer.UserID, Subject: typeid.Encode(typeid.Theater, theaterID), Theater: theaterID,
		}
		if exists {
			entry.Before = before
		}
		if policy != nil {
			entry.After = policy
		}
		return audit.RecordTx(ctx, tx, entry)
	})
}

// lockPayLaterPolicyTx returns the policy of a theater, if it has one, and keeps others from changing it: NOT_FOUND when
// there is no such theater.
func lockPayLaterPolicyTx(ctx context.Context, tx *sql.Tx, theaterID uuid.UUID) (policy PayLaterPolicy, exists bool, err error) {
	var lead, most sql.NullInt32
	err = tx.QueryRowContext(ctx, `SELECT p.lead_minutes, p.max_open FROM theaters t LEFT JOIN pay_later_policies p ON p.theater_id = t.id
		WHERE t.id = $1 FOR NO KEY UPDATE OF t`, theaterID).Scan(&lead, &most)
	if errors.Is(err, sql.ErrNoRows) {
		return policy, false, apperr.Missing("theater")
	}
	if err != nil {
		return policy, false, fmt.Errorf("reading a theater's policy: %w", err)
	}
	return PayLaterPolicy{LeadMinutes: lead.Int32, MaxOpen: most.Int32}, lead.Valid, nil
}
