package reconciliation

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
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/words"
)

// The names of the orderings of mismatches, the oldest first, and of runs, the latest first.
const (
	QueueCursor = "mismatches"
	RunsCursor  = "reconciliations"
)

// CursorKey is where a mismatch stands among others.
func (m Mismatch) CursorKey() []string {
	return []string{m.CreatedAt.Format(time.RFC3339Nano), m.ID.String()}
}

// CursorKey is where a run stands among others.
func (r Run) CursorKey() []string {
	return []string{r.CreatedAt.Format(time.RFC3339Nano), r.ID.String()}
}

// Filter restricts the queue; nil conditions hold for every mismatch.
type Filter struct {
	State   *State
	Gateway *string
	Kind    *Kind
	Owner   *uuid.UUID
}

// require returns FORBIDDEN for who does not look after money.
func require(viewer auth.Viewer) error {
	if !viewer.Has(auth.RoleFinance, auth.Platform) {
		return apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	return nil
}

// Mismatches returns a page of those that match a filter, the oldest first. FORBIDDEN. One statement.
func (s *Service) Mismatches(ctx context.Context, viewer auth.Viewer, f Filter, request page.Request) (page.Page[Mismatch], error) {
	if err := require(viewer); err != nil {
		return page.Page[Mismatch]{}, err
	}
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+mismatchColumns+` FROM mismatches
		WHERE ($6::text IS NULL OR state = $6) AND ($7::text IS NULL OR gateway = $7) AND ($8::text IS NULL OR kind = $8) AND ($9::uuid IS NULL OR owner_id = $9)`+
		between(request, false), append(bounds(request), f.State, f.Gateway, f.Kind, f.Owner)...)
	if err != nil {
		return page.Page[Mismatch]{}, fmt.Errorf("reading mismatches: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (Mismatch, error) { return scanMismatch(rows) })
	if err != nil {
		return page.Page[Mismatch]{}, fmt.Errorf("reading mismatches: %w", err)
	}
	return page.Cut(request, found), nil
}

// Runs returns a page of the runs, the latest first. FORBIDDEN. One statement.
func (s *Service) Runs(ctx context.Context, viewer auth.Viewer, gateway *string, request page.Request) (page.Page[Run], error) {
	if err := require(viewer); err != nil {
		return page.Page[Run]{}, err
	}
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+runColumns+` FROM reconciliations
		WHERE ($6::text IS NULL OR gateway = $6)`+between(request, true), append(bounds(request), gateway)...)
	if err != nil {
		return page.Page[Run]{}, fmt.Errorf("reading reconciliations: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (Run, error) { return scanRun(rows) })
	if err != nil {
		return page.Page[Run]{}, fmt.Errorf("reading reconciliations: %w", err)
	}
	return page.Cut(request, found), nil
}

const runColumns = `id, gateway, period_from, period_to, outcome, compared, found, healed, created_at, ended_at`

func scanRun(row interface{ Scan(...any) error }) (r Run, err error) {
	err = row.Scan(&r.ID, &r.Gateway, &r.From, &r.To, &r.Outcome, &r.Compared, &r.Found, &r.Healed, &r.CreatedAt, &r.EndedAt)
	r.From, r.To, r.CreatedAt = r.From.UTC(), r.To.UTC(), r.CreatedAt.UTC()
	if r.EndedAt != nil {
		r.EndedAt = new(r.EndedAt.UTC())
	}
	return r, err
}

// Mismatch returns one. FORBIDDEN, NOT_FOUND.
func (s *Service) Mismatch(ctx context.Context, viewer auth.Viewer, id uuid.UUID) (m Mismatch, err error) {
	if err := require(viewer); err != nil {
		return m, err
	}
	m, err = scanMismatch(s.db.SQL().QueryRowContext(ctx, `SELECT `+mismatchColumns+` FROM mismatches WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return m, apperr.Missing("mismatch")
	}
	if err != nil {
		return m, fmt.Errorf("reading a mismatch: %w", err)
	}
	return m, nil
}

// Run returns one. FORBIDDEN, NOT_FOUND.
func (s *Service) Run(ctx context.Context, viewer auth.Viewer, id uuid.UUID) (r Run, err error) {
	if err := require(viewer); err != nil {
		return r, err
	}
	r, err = scanRun(s.db.SQL().QueryRowContext(ctx, `SELECT `+runColumns+` FROM reconciliations WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, apperr.Missing("reconciliation")
	}
	if err != nil {
		return r, fmt.Errorf("reading a reconciliation: %w", err)
	}
	return r, nil
}

// between is the rest of a statement that reads a page by created_at and id; bounds are its parameters, the first five.
func between(request page.Request, latestFirst bool) string {
	after, before, order := ">", "<", "ASC"
	if latestFirst {
		after, before = before, after
	}
	if latestFirst != request.Backward {
		order = "DESC"
	}
	return ` AND ($1::timestamptz IS NULL OR (created_at, id) ` + after + ` ($1, $2::uuid))
		AND ($3::timestamptz IS NULL OR (created_at, id) ` + before + ` ($3, $4::uuid))
		ORDER BY created_at ` + order + `, id ` + order + ` LIMIT $5`
}

func bounds(request page.Request) []any {
	args := []any{nil, nil, nil, nil, request.Limit + 1}
	for i, key := range [][]string{request.After, request.Before} {
		if key != nil {
			args[2*i], args[2*i+1] = key[0], key[1]
		}
	}
	return args
}

// Assign gives an open mismatch to somebody who looks after money, or takes it from whoever has it; nil: to nobody. FORBIDDEN,
// NOT_FOUND, CONFLICT for one that is closed, BAD_USER_INPUT for somebody else. It is recorded.
func (s *Service) Assign(ctx context.Context, viewer auth.Viewer, id uuid.UUID, owner *uuid.UUID) (Mismatch, error) {
	return s.change(ctx, viewer, id, audit.MismatchAssigned, func(ctx context.Context, tx *sql.Tx, m Mismatch) (Mismatch, error) {
		if owner != nil {
			var able bool
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM role_grants WHERE user_id = $1 AND role IN ('FINANCE', 'ADMIN') AND theater_id IS NULL)`, owner).
				Scan(&able); err != nil {
				return m, fmt.Errorf("reading grants: %w", err)
			}
			if !able {
				return m, apperr.Invalid("input.ownerId", "Name somebody who looks after money, or nobody.")
			}
		}
		m.Owner = owner
		if _, err := tx.ExecContext(ctx, `UPDATE mismatches SET owner_id = $2 WHERE id = $1`, id, owner); err != nil {
			return m, fmt.Errorf("assigning a mismatch: %w", err)
		}
		return m, nil
	})
}

// longestNote bounds how a mismatch was settled.
const longestNote = 500

// Resolve closes an open mismatch that somebody has settled, with how. Found again with the same amounts it stays closed. FORBIDDEN,
// NOT_FOUND, CONFLICT for one that is closed, BAD_USER_INPUT for a note that says nothing. It is recorded.
func (s *Service) Resolve(ctx context.Context, viewer auth.Viewer, id uuid.UUID, note string) (Mismatch, error) {
	if err := require(viewer); err != nil {
		return Mismatch{}, err
	}
	var bad apperr.Fields
	note = words.Clean(note)
	words.Check(&bad, "input.note", note, longestNote, "Say in 1 to %d printable characters how it was settled.")
	if err := bad.Err(); err != nil {
		return Mismatch{}, err
	}
	return s.change(ctx, viewer, id, audit.MismatchResolved, func(ctx context.Context, tx *sql.Tx, _ Mismatch) (Mismatch, error) {
		return scanMismatch(tx.QueryRowContext(ctx, `UPDATE mismatches SET state = 'RESOLVED', closed_at = now(), note = $2 WHERE id = $1 RETURNING `+mismatchColumns, id, note))
	})
}

// change does something with an open mismatch, and records it.
func (s *Service) change(ctx context.Context, viewer auth.Viewer, id uuid.UUID, action audit.Action, do func(context.Context, *sql.Tx, Mismatch) (Mismatch, error)) (is Mismatch, err error) {
	if err := require(viewer); err != nil {
		return Mismatch{}, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		was, err := scanMismatch(tx.QueryRowContext(ctx, `SELECT `+mismatchColumns+` FROM mismatches WHERE id = $1 FOR UPDATE`, id))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return apperr.Missing("mismatch")
		case err != nil:
			return fmt.Errorf("reading a mismatch: %w", err)
		case was.State != Open:
			return apperr.New(apperr.Conflict, "This mismatch is closed.")
		}
		if is, err = do(ctx, tx, was); err != nil {
			return err
		}
		entry := audit.Entry{Action: action, Actor: viewer.UserID, Subject: is.NodeID(), Reason: is.Note, Before: told(was), After: told(is)}
		if is.Theater != nil {
			entry.Theater = *is.Theater
		}
		return audit.RecordTx(ctx, tx, entry)
	})
	return is, err
}

// told is what the audit log has of a mismatch.
func told(m Mismatch) map[string]any {
	return map[string]any{"kind": m.Kind, "gateway": m.Gateway, "state": m.State, "ownerId": m.OwnerID(), "ours": m.Ours, "theirs": m.Theirs}
}

// ReconcileFor is Reconcile on behalf of somebody who looks after money. FORBIDDEN. It is recorded.
func (s *Service) ReconcileFor(ctx context.Context, viewer auth.Viewer, gateway string, from, to time.Time) (Run, error) {
	if err := require(viewer); err != nil {
		return Run{}, err
	}
	run, err := s.Reconcile(ctx, gateway, from, to)
	if err != nil {
		return run, err
	}
	// Money may have moved: that is recorded also when whoever asked has gone.
	ctx = context.WithoutCancel(ctx)
	return run, s.db.InTx(ctx, func(tx *sql.Tx) error {
		return audit.RecordTx(ctx, tx, audit.Entry{Action: audit.PaymentsReconciled, Actor: viewer.UserID, Subject: run.NodeID(), After: map[string]any{
			"gateway": run.Gateway, "from": run.From, "to": run.To, "outcome": run.Outcome, "found": run.Found, "healed": run.Healed,
		}})
	})
}
