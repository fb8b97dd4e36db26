package promotion

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// maxPromotions bounds a theater's list.
const maxPromotions = 500

// PromotionsByTheater returns the promotions of theaters, the first made first. Who may see them was decided before. One
// statement.
func (s *Service) PromotionsByTheater(ctx context.Context, theaterIDs []uuid.UUID) (map[uuid.UUID][]Promotion, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT to_jsonb(p) FROM promotions p WHERE theater_id = ANY ($1) ORDER BY id`, postgres.UUIDs(theaterIDs))
	if err != nil {
		return nil, fmt.Errorf("reading promotions: %w", err)
	}
	promotions, err := postgres.Collect(rows, func(rows *sql.Rows) (p Promotion, err error) {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return p, err
		}
		return read(text)
	})
	found := make(map[uuid.UUID][]Promotion, len(theaterIDs))
	for _, p := range promotions {
		found[p.TheaterID] = append(found[p.TheaterID], p)
	}
	return found, err
}

// Create gives a theater another promotion: FORBIDDEN, STEP_UP_REQUIRED, BAD_USER_INPUT, NOT_FOUND when there is no such
// theater, CONFLICT when it has as many as one can have.
func (s *Service) Create(ctx context.Context, v auth.Viewer, theaterID uuid.UUID, in Input) (Promotion, error) {
	if err := s.require(v, theaterID, apperr.New(apperr.Forbidden, "Your role does not allow this.")); err != nil {
		return Promotion{}, err
	}
	if err := in.validate(); err != nil {
		return Promotion{}, err
	}
	made := in.applied(Promotion{ID: typeid.New(), TheaterID: theaterID, Version: 1})
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		var found bool
		err := tx.QueryRowContext(ctx, `SELECT true FROM theaters WHERE id = $1 FOR NO KEY UPDATE`, theaterID).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("theater")
		}
		if err != nil {
			return err
		}
		var count int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM promotions WHERE theater_id = $1`, theaterID).Scan(&count); err != nil {
			return err
		}
		if count >= maxPromotions {
			return apperr.New(apperr.Conflict, "A theater has at most %d promotions.", maxPromotions)
		}
		if err := in.knownTx(ctx, tx); err != nil {
			return err
		}
		if err := write(ctx, tx, `INSERT INTO promotions (id, theater_id, code, label, basis_points, amount_minor, starts_at, ends_at,
				max_uses, max_minor, per_user, combinable, scope, active)
			SELECT id, theater_id, code, label, basis_points, amount_minor, starts_at, ends_at,
				max_uses, max_minor, per_user, combinable, scope, active FROM jsonb_populate_record(NULL::promotions, $1)`, made); err != nil {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.PromotionCreated, Actor: v.UserID, Subject: made.NodeID(), Theater: theaterID, After: made,
		})
	})
	return made, refusal(err)
}

// Update makes a promotion another one; what it was used for stays. NOT_FOUND when there is none, or it is not of a theater
// whose prices the viewer sets; STEP_UP_REQUIRED, BAD_USER_INPUT.
func (s *Service) Update(ctx context.Context, v auth.Viewer, id uuid.UUID, in Input) (Promotion, error) {
	was, err := one(s.db.SQL().QueryRowContext(ctx, `SELECT to_jsonb(p) FROM promotions p WHERE id = $1`, id))
	if err != nil {
		return Promotion{}, err
	}
	if err := s.require(v, was.TheaterID, apperr.Missing("promotion")); err != nil {
		return Promotion{}, err
	}
	if err := in.validate(); err != nil {
		return Promotion{}, err
	}
	var is Promotion
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		was, err := one(tx.QueryRowContext(ctx, `SELECT to_jsonb(p) FROM promotions p WHERE id = $1 FOR UPDATE`, id))
		if err != nil {
			return err
		}
		if err := in.knownTx(ctx, tx); err != nil {
			return err
		}
		is = in.applied(was)
		is.Version++
		if err := write(ctx, tx, `UPDATE promotions p SET (code, label, basis_points, amount_minor, starts_at, ends_at, max_uses, max_minor, per_user, combinable, scope, active, version)
			= (SELECT code, label, basis_points, amount_minor, starts_at, ends_at, max_uses, max_minor, per_user, combinable, scope, active, version
				FROM jsonb_populate_record(NULL::promotions, $1)) WHERE id = ($1::jsonb ->> 'id')::uuid`, is); err != nil {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.PromotionChanged, Actor: v.UserID, Subject: is.NodeID(), Theater: is.TheaterID, Before: was, After: is,
		})
	})
	return is, refusal(err)
}

// knownTx returns BAD_USER_INPUT that names the movies that do not exist.
func (in *Input) knownTx(ctx context.Context, tx *sql.Tx) error {
	if len(in.Scope.MovieIDs) == 0 {
		return nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT id FROM movies WHERE id = ANY ($1)`, postgres.UUIDs(in.Scope.MovieIDs))
	if err != nil {
		return fmt.Errorf("reading movies: %w", err)
	}
	known, err := postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return err
	}
	var bad apperr.Fields
	for i, id := range in.Scope.MovieIDs {
		if !slices.Contains(known, id) {
			bad.Add(fmt.Sprintf("input.promotion.movieIds.%d", i), "There is no such movie.")
		}
	}
	return bad.Err()
}

// require returns nil for a viewer who may set the prices of a theater and has proved of late who they are; otherwise
// refusal for who may not, or STEP_UP_REQUIRED.
func (s *Service) require(v auth.Viewer, theaterID uuid.UUID, refusal error) error {
	if !v.Has(auth.RoleTheaterManager, theaterID) {
		return refusal
	}
	return v.Recent(s.clock.Now())
}

func write(ctx context.Context, tx *sql.Tx, statement string, p Promotion) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, statement, string(text))
	return err
}

func one(row *sql.Row) (Promotion, error) {
	var text []byte
	err := row.Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return Promotion{}, apperr.Missing("promotion")
	}
	if err != nil {
		return Promotion{}, fmt.Errorf("reading a promotion: %w", err)
	}
	return read(text)
}

// refusal says of a code that another promotion of the theater has it.
func refusal(err error) error {
	if postgres.IsUniqueViolation(err, "promotions_code_key") {
		return apperr.Invalid("input.promotion.promoCode", "A promotion of the theater has this code.")
	}
	return err
}
