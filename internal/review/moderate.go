package review

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// ReportInput says what is wrong with a review.
type ReportInput struct {
	ReviewID uuid.UUID
	Fault    Fault
}

// Report brings a review before the moderators: NOT_FOUND, THROTTLED, BAD_USER_INPUT for one's own. Each viewer reports a
// review once; again does nothing, whatever the fault, unless it was edited since the report was settled.
func (s *Service) Report(ctx context.Context, viewer auth.Viewer, in ReportInput) (Review, error) {
	var r Review
	err := s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		if r, err = othersTx(ctx, tx, viewer, in.ReviewID); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `INSERT INTO review_reports (id, review_id, user_id, fault) VALUES ($1, $2, $3, $4)
			ON CONFLICT (review_id, user_id) DO UPDATE SET fault = EXCLUDED.fault, created_at = EXCLUDED.created_at, settled_at = NULL
			WHERE review_reports.settled_at < $5`, typeid.New(), in.ReviewID, viewer.UserID, in.Fault, r.EditedAt)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE reviews SET queued_at = now() WHERE id = $1 AND queued_at IS NULL`, in.ReviewID); err != nil {
			return err
		}
		return s.accounts.SpendTx(ctx, tx, "report a review", viewer.UserID, s.cfg.Reports)
	})
	if err != nil {
		return Review{}, fmt.Errorf("reporting a review: %w", erased(err))
	}
	return r, nil
}

// VoteInput says whether the viewer finds a review helpful.
type VoteInput struct {
	ReviewID uuid.UUID
	Helpful  bool
}

// Vote gives a review the viewer's vote, or takes it back: NOT_FOUND, BAD_USER_INPUT for one's own. Each viewer has one vote
// for a review; doing it again changes nothing.
func (s *Service) Vote(ctx context.Context, viewer auth.Viewer, in VoteInput) (Review, error) {
	var r Review
	err := s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		if _, err = othersTx(ctx, tx, viewer, in.ReviewID); err != nil {
			return err
		}
		if in.Helpful {
			_, err = tx.ExecContext(ctx, `INSERT INTO review_votes (id, review_id, user_id) VALUES ($1, $2, $3)
				ON CONFLICT (review_id, user_id) DO NOTHING`, typeid.New(), in.ReviewID, viewer.UserID)
		} else {
			_, err = tx.ExecContext(ctx, `DELETE FROM review_votes WHERE review_id = $1 AND user_id = $2`, in.ReviewID, viewer.UserID)
		}
		if err != nil {
			return err
		}
		r, err = scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reviews r WHERE r.id = $1`, in.ReviewID))
		return err
	})
	if err != nil {
		return Review{}, fmt.Errorf("voting for a review: %w", erased(err))
	}
	return r, nil
}

// othersTx locks a review that somebody else has written and the viewer is shown.
func othersTx(ctx context.Context, tx *sql.Tx, viewer auth.Viewer, id uuid.UUID) (Review, error) {
	r, err := found(scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reviews r WHERE r.id = $1 FOR UPDATE`, id)))
	switch {
	case err != nil:
		return r, err
	case !r.visibleTo(viewer):
		return Review{}, apperr.Missing("review")
	case r.AuthorID == viewer.UserID:
		return Review{}, apperr.Invalid("input.reviewId", "This is your own review.")
	}
	return r, nil
}

// ModerateInput says what becomes of a review.
type ModerateInput struct {
	ReviewID uuid.UUID
	HideFor  *Fault // nil: it is visible
	// SeenEditedAt is when what was judged was edited last, or written when it never was; nil: whatever it says.
	SeenEditedAt *time.Time
}

// standing is what a decision of a moderator changes, for the audit log.
type standing struct {
	Status    Status `json:"status"`
	HiddenFor *Fault `json:"hiddenFor,omitempty"`
}

// Moderate hides a review or shows it, and settles what was reported: FORBIDDEN unless the viewer helps customers, NOT_FOUND,
// CONFLICT when it does not say any more what the viewer has judged. It is recorded when it changes or settles something.
func (s *Service) Moderate(ctx context.Context, viewer auth.Viewer, in ModerateInput) (Review, error) {
	if !Moderates(viewer) {
		return Review{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	status, action := StatusVisible, audit.ReviewShown
	if in.HideFor != nil {
		status, action = StatusHidden, audit.ReviewHidden
	}
	var r Review
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		before, err := found(scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reviews r WHERE r.id = $1 FOR UPDATE`, in.ReviewID)))
		if err != nil {
			return err
		}
		if in.SeenEditedAt != nil && !in.SeenEditedAt.Equal(before.saidSince()) {
			return apperr.New(apperr.Conflict, "The review was edited meanwhile. Read it again.")
		}
		if r = before; before.queuedAt == nil && before.Status == status && same(before.HiddenFor, in.HideFor) {
			return nil
		}
		r, err = scan(tx.QueryRowContext(ctx, `UPDATE reviews AS r SET status = $2, hidden_for = $3, queued_at = NULL WHERE r.id = $1 RETURNING `+columns,
			in.ReviewID, status, in.HideFor))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE review_reports SET settled_at = clock_timestamp() WHERE review_id = $1 AND settled_at IS NULL`, in.ReviewID); err != nil {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: action, Actor: viewer.UserID, Subject: r.NodeID(),
			Before: standing{before.Status, before.HiddenFor}, After: standing{r.Status, r.HiddenFor},
		})
	})
	if err != nil {
		return Review{}, fmt.Errorf("moderating a review: %w", err)
	}
	return r, nil
}

// saidSince returns since when a review says what it says.
func (r Review) saidSince() time.Time {
	if r.EditedAt != nil {
		return *r.EditedAt
	}
	return r.CreatedAt
}

func same(a, b *Fault) bool { return a == b || a != nil && b != nil && *a == *b }

// Queue returns a page of the reviews that moderators are to look at, who waits longest first: FORBIDDEN unless the viewer
// helps customers. One statement.
func (s *Service) Queue(ctx context.Context, viewer auth.Viewer, request page.Request) (page.Page[Review], error) {
	if !Moderates(viewer) {
		return page.Page[Review]{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	return s.page(ctx, list{
		conditions: []string{"r.queued_at IS NOT NULL"}, ascending: true,
		by: []string{"r.queued_at", "r.id"}, types: []string{"timestamptz", "uuid"},
	}, request)
}

// ReportsByReview returns what is reported of reviews and not settled, by fault. The caller has made sure that the viewer
// moderates. One statement.
func (s *Service) ReportsByReview(ctx context.Context, reviewIDs []uuid.UUID) (map[uuid.UUID][]ReportCount, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT review_id, fault, count(*) FROM review_reports
		WHERE review_id = ANY ($1::uuid[]) AND settled_at IS NULL GROUP BY review_id, fault ORDER BY review_id, count(*) DESC, fault`, postgres.UUIDs(reviewIDs))
	return byReview(rows, err, func(rows *sql.Rows, review *uuid.UUID) (c ReportCount, err error) {
		err = rows.Scan(review, &c.Fault, &c.Count)
		return c, err
	})
}

// mostEdits bounds the history that moderators are shown of one review.
const mostEdits = 50

// EditsByReview returns what reviews said before, the latest first and at most 50 each. The caller has made sure that the
// viewer moderates. One statement.
func (s *Service) EditsByReview(ctx context.Context, reviewIDs []uuid.UUID) (map[uuid.UUID][]Edit, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT e.review_id, e.rating, e.document, e.spoiler, e.replaced_at
		FROM unnest($1::uuid[]) AS wanted (id), LATERAL (
			SELECT id, review_id, rating, document, spoiler, replaced_at FROM review_edits WHERE review_id = wanted.id
			ORDER BY id DESC LIMIT $2) AS e
		ORDER BY e.review_id, e.id DESC`, postgres.UUIDs(reviewIDs), mostEdits)
	return byReview(rows, err, func(rows *sql.Rows, review *uuid.UUID) (e Edit, err error) {
		var stored []byte
		if err := rows.Scan(review, &e.Rating, &stored, &e.Spoiler, &e.ReplacedAt); err != nil {
			return e, err
		}
		e.Text, e.Aspects, err = read(stored)
		return e, err
	})
}

// byReview collects rows of several reviews.
func byReview[T any](rows *sql.Rows, err error, scan func(*sql.Rows, *uuid.UUID) (T, error)) (map[uuid.UUID][]T, error) {
	if err != nil {
		return nil, fmt.Errorf("reading what belongs to reviews: %w", err)
	}
	all := map[uuid.UUID][]T{}
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var review uuid.UUID
		one, err := scan(rows, &review)
		all[review] = append(all[review], one)
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what belongs to reviews: %w", err)
	}
	return all, nil
}
