package showtime

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// PriceRule is a rule of the prices of a theater.
type PriceRule struct {
	ID        uuid.UUID
	TheaterID uuid.UUID
	Rule      pricing.Rule
	Active    bool
}

// NodeID returns the rule's public id.
func (r PriceRule) NodeID() string { return typeid.Encode(typeid.PriceRule, r.ID) }

// maxPriceRules bounds what every quote of a theater looks at.
const maxPriceRules = 100

// PriceRuleInput is a rule as it shall be.
type PriceRuleInput struct {
	Rule   pricing.Rule
	Active bool
}

func (in *PriceRuleInput) validate() error {
	in.Rule.Label = words.Clean(in.Rule.Label)
	in.Rule.Format = words.Clean(in.Rule.Format)
	var bad apperr.Fields
	in.Rule.Check(&bad, "input.rule.")
	return bad.Err()
}

// shownTx returns BAD_USER_INPUT for a rule that is to hold for a format of which the theater has no showtime, past or to come:
// spelled otherwise it would hold for none, and nobody would notice.
func (in *PriceRuleInput) shownTx(ctx context.Context, tx *sql.Tx, theaterID uuid.UUID) error {
	if in.Rule.Kind != pricing.ByFormat || !in.Active {
		return nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT format FROM showtimes WHERE theater_id = $1 ORDER BY format`, theaterID)
	if err != nil {
		return fmt.Errorf("reading formats: %w", err)
	}
	shown, err := postgres.Collect(rows, func(rows *sql.Rows) (format string, err error) {
		err = rows.Scan(&format)
		return format, err
	})
	switch {
	case err != nil || slices.Contains(shown, in.Rule.Format):
		return err
	case len(shown) == 0:
		return apperr.Invalid("input.rule.format", "This theater has no showtimes yet. Let the rule hold when it has some of this format.")
	default:
		return apperr.Invalid("input.rule.format", "This theater has no showtime of this format, but of %s.", strings.Join(shown, ", "))
	}
}

// requirePricing returns nil for a viewer who may set the prices of a theater and has proved of late who they are;
// otherwise refusal for who may not, or STEP_UP_REQUIRED.
func (s *Service) requirePricing(v auth.Viewer, theaterID uuid.UUID, refusal error) error {
	if !v.Has(auth.RoleTheaterManager, theaterID) {
		return refusal
	}
	return v.Recent(s.clock.Now())
}

const ruleColumns = `id, theater_id, kind, label, ticket_type, format, weekdays, from_minute, to_minute, basis_points, amount_minor,
	per_reservation, included, active`

func scanRule(row interface{ Scan(...any) error }) (r PriceRule, err error) {
	err = row.Scan(&r.ID, &r.TheaterID, &r.Rule.Kind, &r.Rule.Label, &r.Rule.TicketType, &r.Rule.Format, &r.Rule.Weekdays, &r.Rule.From, &r.Rule.To,
		&r.Rule.BasisPoints, &r.Rule.AmountMinor, &r.Rule.PerReservation, &r.Rule.Included, &r.Active)
	return r, err
}

func (r PriceRule) values() []any {
	return []any{
		r.ID, r.TheaterID, r.Rule.Kind, r.Rule.Label, r.Rule.TicketType, r.Rule.Format, int16(r.Rule.Weekdays), r.Rule.From, r.Rule.To,
		r.Rule.BasisPoints, r.Rule.AmountMinor, r.Rule.PerReservation, r.Rule.Included, r.Active,
	}
}

// PriceRules returns the rules of a theater, the first made first, to those who work there or look after money: FORBIDDEN
// for others. One statement.
func (s *Service) PriceRules(ctx context.Context, v auth.Viewer, theaterID uuid.UUID) ([]PriceRule, error) {
	if !v.Has(auth.RoleTheaterStaff, theaterID) && !v.Has(auth.RoleFinance, auth.Platform) {
		return nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	found, err := s.PriceRulesByTheater(ctx, []uuid.UUID{theaterID})
	return found[theaterID], err
}

// PriceRulesByTheater returns the rules of theaters, the first made first. Who may see them was decided before. One
// statement.
func (s *Service) PriceRulesByTheater(ctx context.Context, theaterIDs []uuid.UUID) (map[uuid.UUID][]PriceRule, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+ruleColumns+` FROM price_rules WHERE theater_id = ANY ($1) ORDER BY id`, postgres.UUIDs(theaterIDs))
	if err != nil {
		return nil, fmt.Errorf("reading price rules: %w", err)
	}
	rules, err := postgres.Collect(rows, func(rows *sql.Rows) (PriceRule, error) { return scanRule(rows) })
	found := make(map[uuid.UUID][]PriceRule, len(theaterIDs))
	for _, rule := range rules {
		found[rule.TheaterID] = append(found[rule.TheaterID], rule)
	}
	return found, err
}

// CreatePriceRule gives a theater another rule: FORBIDDEN, STEP_UP_REQUIRED, BAD_USER_INPUT, NOT_FOUND when there is no such
// theater, CONFLICT when it has as many rules as one can have. What was quoted before is refused and quoted again.
func (s *Service) CreatePriceRule(ctx context.Context, v auth.Viewer, theaterID uuid.UUID, in PriceRuleInput) (PriceRule, error) {
	if err := s.requirePricing(v, theaterID, apperr.New(apperr.Forbidden, "Your role does not allow this.")); err != nil {
		return PriceRule{}, err
	}
	if err := in.validate(); err != nil {
		return PriceRule{}, err
	}
	made := PriceRule{ID: typeid.New(), TheaterID: theaterID, Rule: in.Rule, Active: in.Active}
	err := s.changeRules(ctx, theaterID, func(tx *sql.Tx) error {
		if err := in.shownTx(ctx, tx, theaterID); err != nil {
			return err
		}
		var count int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM price_rules WHERE theater_id = $1`, theaterID).Scan(&count); err != nil {
			return err
		}
		if count >= maxPriceRules {
			return apperr.New(apperr.Conflict, "A theater has at most %d price rules. Delete one first.", maxPriceRules)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO price_rules (`+ruleColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, made.values()...)
		if err != nil {
			return err
		}
		return recordRuleTx(ctx, tx, audit.PriceRuleCreated, v, nil, &made)
	})
	return made, err
}

// UpdatePriceRule makes a rule another one, of whatever kind: NOT_FOUND when there is none, or it is not of a theater
// whose prices the viewer sets; STEP_UP_REQUIRED, BAD_USER_INPUT. What was quoted before is refused and quoted again.
func (s *Service) UpdatePriceRule(ctx context.Context, v auth.Viewer, id uuid.UUID, in PriceRuleInput) (PriceRule, error) {
	was, err := s.ruleOf(ctx, v, id)
	if err != nil {
		return PriceRule{}, err
	}
	if err := in.validate(); err != nil {
		return PriceRule{}, err
	}
	is := PriceRule{ID: id, TheaterID: was.TheaterID, Rule: in.Rule, Active: in.Active}
	err = s.changeRules(ctx, was.TheaterID, func(tx *sql.Tx) error {
		if was, err = lockRuleTx(ctx, tx, id); err != nil {
			return err
		}
		if err := in.shownTx(ctx, tx, was.TheaterID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE price_rules SET (`+ruleColumns+`)
			= ROW($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) WHERE id = $1`, is.values()...)
		if err != nil {
			return err
		}
		return recordRuleTx(ctx, tx, audit.PriceRuleChanged, v, &was, &is)
	})
	return is, err
}

// DeletePriceRule takes a rule away, as UpdatePriceRule changes it.
func (s *Service) DeletePriceRule(ctx context.Context, v auth.Viewer, id uuid.UUID) error {
	was, err := s.ruleOf(ctx, v, id)
	if err != nil {
		return err
	}
	return s.changeRules(ctx, was.TheaterID, func(tx *sql.Tx) error {
		if was, err = lockRuleTx(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM price_rules WHERE id = $1`, id); err != nil {
			return err
		}
		return recordRuleTx(ctx, tx, audit.PriceRuleDeleted, v, &was, nil)
	})
}

// ruleOf returns a rule that the viewer may change.
func (s *Service) ruleOf(ctx context.Context, v auth.Viewer, id uuid.UUID) (PriceRule, error) {
	r, err := scanRule(s.db.SQL().QueryRowContext(ctx, `SELECT `+ruleColumns+` FROM price_rules WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return PriceRule{}, apperr.Missing("price rule")
	}
	if err != nil {
		return PriceRule{}, fmt.Errorf("reading a price rule: %w", err)
	}
	return r, s.requirePricing(v, r.TheaterID, apperr.Missing("price rule"))
}

func lockRuleTx(ctx context.Context, tx *sql.Tx, id uuid.UUID) (PriceRule, error) {
	r, err := scanRule(tx.QueryRowContext(ctx, `SELECT `+ruleColumns+` FROM price_rules WHERE id = $1 FOR UPDATE`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return PriceRule{}, apperr.Missing("price rule")
	}
	return r, err
}

// changeRules runs do in a transaction that has the rules of a theater to itself, of prices and of seats, and makes the
// offers of all its showtimes that are or will be on sale another version. Nobody who buys waits for it, and it waits for nobody who
// buys: the claim of seats only reads the version.
func (s *Service) changeRules(ctx context.Context, theaterID uuid.UUID, do func(*sql.Tx) error) error {
	var repriced []uuid.UUID
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		var found bool
		err := tx.QueryRowContext(ctx, `SELECT true FROM theaters WHERE id = $1 FOR NO KEY UPDATE`, theaterID).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("theater")
		}
		if err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `UPDATE showtime_sales sale SET price_version = price_version + 1 FROM showtimes s
			WHERE s.theater_id = $1 AND sale.showtime_id = s.id AND sale.closes_at > now() RETURNING sale.showtime_id`, theaterID)
		if err != nil {
			return err
		}
		repriced, err = postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
			err = rows.Scan(&id)
			return id, err
		})
		return err
	})
	switch {
	case postgres.IsUniqueViolation(err, "price_rules_ticket_type_key"):
		return apperr.Invalid("input.rule.ticketType", "There is a rule for this ticket type. Change that one.")
	case postgres.IsUniqueViolation(err, "price_rules_format_key"):
		return apperr.Invalid("input.rule.format", "There is a rule for this format. Change that one.")
	case postgres.IsExclusionViolation(err, "price_rules_taxes_excl"):
		return apperr.Invalid("input.rule.included", "The prices of a theater contain its taxes, or its taxes come on top. Another tax says otherwise.")
	case err != nil:
		return fmt.Errorf("changing the rules of a theater: %w", err)
	}
	for _, id := range repriced {
		s.offers.Remove(id)
	}
	return nil
}

func recordRuleTx(ctx context.Context, tx *sql.Tx, action audit.Action, v auth.Viewer, before, after *PriceRule) error {
	entry := audit.Entry{Action: action, Actor: v.UserID}
	for _, r := range []*PriceRule{before, after} {
		if r != nil {
			entry.Subject, entry.Theater = r.NodeID(), r.TheaterID
		}
	}
	if before != nil {
		entry.Before = before.recorded()
	}
	if after != nil {
		entry.After = after.recorded()
	}
	return audit.RecordTx(ctx, tx, entry)
}

// recorded is what the audit log knows of a rule.
func (r PriceRule) recorded() any {
	return struct {
		pricing.Rule
		Active bool `json:"active"`
	}{r.Rule, r.Active}
}
