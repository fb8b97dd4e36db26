package review

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// WriteInput asks for a review of a movie.
type WriteInput struct {
	MovieID uuid.UUID
	Content Content
}

// WriteResult is Written, TicketRequired or AlreadyReviewed.
type WriteResult interface{ isWriteResult() }

type (
	// Written is the review.
	Written struct{ Review Review }
	// TicketRequired says that the viewer has no past ticket for the movie. Nothing was changed.
	TicketRequired struct{}
	// AlreadyReviewed is the viewer's review that there is. Nothing was changed.
	AlreadyReviewed struct{ Review Review }
)

func (Written) isWriteResult()         {}
func (TicketRequired) isWriteResult()  {}
func (AlreadyReviewed) isWriteResult() {}

// Write writes the viewer's review of a movie: BAD_USER_INPUT, NOT_FOUND, THROTTLED.
func (s *Service) Write(ctx context.Context, viewer auth.Viewer, in WriteInput) (WriteResult, error) {
	content, err := in.Content.checked()
	if err != nil {
		return nil, err
	}
	doc, err := content.document()
	if err != nil {
		return nil, err
	}
	var result WriteResult
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		attended, err := s.booking.AttendedTx(ctx, tx, viewer.UserID, in.MovieID, s.cfg.Attendance)
		if err != nil {
			return err
		}
		if !attended {
			result = TicketRequired{}
			return movieExistsTx(ctx, tx, in.MovieID)
		}
		r, err := scan(tx.QueryRowContext(ctx, `INSERT INTO reviews AS r (id, movie_id, user_id, rating, spoiler, named, document)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (movie_id, user_id) DO NOTHING RETURNING `+columns,
			typeid.New(), in.MovieID, viewer.UserID, content.Rating, content.Spoiler, content.Named, doc))
		if errors.Is(err, sql.ErrNoRows) {
			r, err = scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reviews r WHERE r.movie_id = $1 AND r.user_id = $2`, in.MovieID, viewer.UserID))
			if errors.Is(err, sql.ErrNoRows) {
				return apperr.New(apperr.Conflict, "Your review of this movie was deleted at this moment. Try again.")
			}
			result = AlreadyReviewed{r}
			return err
		}
		if err != nil {
			return err
		}
		result = Written{r}
		return s.accounts.SpendTx(ctx, tx, "write a review", viewer.UserID, s.cfg.Writes)
	})
	if err != nil {
		return nil, fmt.Errorf("writing a review: %w", erased(err))
	}
	return result, nil
}

// erased says so when the viewer's account was erased meanwhile.
func erased(err error) error {
	if postgres.IsForeignKeyViolation(err, "reviews_user_fkey", "review_reports_user_fkey", "review_votes_user_fkey") {
		return apperr.Wrap(err, apperr.Unauthenticated, "The account is no more.")
	}
	return err
}

// movieExistsTx returns NOT_FOUND unless the movie exists.
func movieExistsTx(ctx context.Context, tx *sql.Tx, id uuid.UUID) error {
	var exists bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM movies WHERE id = $1)`, id).Scan(&exists); err != nil {
		return fmt.Errorf("looking for a movie: %w", err)
	}
	if !exists {
		return apperr.Missing("movie")
	}
	return nil
}

// EditInput says what a review is to say.
type EditInput struct {
	ReviewID uuid.UUID
	Content  Content
}

// Edit replaces what one of the viewer's reviews says, and keeps what it said: BAD_USER_INPUT, NOT_FOUND when it is missing or
// someone else's, THROTTLED. One that is hidden stays so, and moderators look at it again. What changes nothing leaves no
// trace.
func (s *Service) Edit(ctx context.Context, viewer auth.Viewer, in EditInput) (Review, error) {
	content, err := in.Content.checked()
	if err != nil {
		return Review{}, err
	}
	doc, err := content.document()
	if err != nil {
		return Review{}, err
	}
	var r Review
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		before, err := s.ownTx(ctx, tx, viewer.UserID, in.ReviewID)
		if err != nil {
			return err
		}
		if r = before; reflect.DeepEqual(before.content(), content) {
			return nil
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO review_edits (id, review_id, rating, spoiler, document)
			SELECT $1, id, rating, spoiler, document FROM reviews WHERE id = $2`, typeid.New(), in.ReviewID)
		if err != nil {
			return err
		}
		r, err = scan(tx.QueryRowContext(ctx, `UPDATE reviews AS r SET rating = $2, spoiler = $3, named = $4, document = $5, edited_at = clock_timestamp(),
				queued_at = CASE WHEN status = 'HIDDEN' THEN coalesce(queued_at, now()) ELSE queued_at END
			WHERE id = $1 RETURNING `+columns, in.ReviewID, content.Rating, content.Spoiler, content.Named, doc))
		if err != nil {
			return err
		}
		return s.accounts.SpendTx(ctx, tx, "write a review", viewer.UserID, s.cfg.Writes)
	})
	if err != nil {
		return Review{}, fmt.Errorf("editing a review: %w", err)
	}
	return r, nil
}

// DeleteResult is Deleted, Hidden or Reported.
type DeleteResult interface{ isDeleteResult() }

type (
	// Deleted says that the review is no more.
	Deleted struct{ ReviewID uuid.UUID }
	// Hidden says that moderators have hidden the review. Nothing was changed.
	Hidden struct{ Fault Fault }
	// Reported says that moderators have not looked yet at what was reported of the review. Nothing was changed.
	Reported struct{}
)

func (Deleted) isDeleteResult()  {}
func (Hidden) isDeleteResult()   {}
func (Reported) isDeleteResult() {}

// Delete deletes one of the viewer's reviews with its history: NOT_FOUND when it is missing or someone else's.
func (s *Service) Delete(ctx context.Context, viewer auth.Viewer, id uuid.UUID) (DeleteResult, error) {
	var result DeleteResult
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, err := s.ownTx(ctx, tx, viewer.UserID, id)
		if err != nil {
			return err
		}
		switch {
		case r.HiddenFor != nil:
			result = Hidden{*r.HiddenFor}
			return nil
		case r.queuedAt != nil:
			result = Reported{}
			return nil
		}
		result = Deleted{id}
		_, err = tx.ExecContext(ctx, `DELETE FROM reviews WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deleting a review: %w", err)
	}
	return result, nil
}

// ownTx locks one of a person's reviews.
func (s *Service) ownTx(ctx context.Context, tx *sql.Tx, userID, id uuid.UUID) (Review, error) {
	return found(scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reviews r WHERE r.id = $1 AND r.user_id = $2 FOR UPDATE`, id, userID)))
}

// content returns what the author says.
func (r Review) content() Content {
	return Content{Rating: r.Rating, Text: r.Text, Aspects: r.Aspects, Spoiler: r.Spoiler, Named: r.Named}
}

// document returns what goes into the document of a review.
func (c Content) document() (string, error) {
	text, err := json.Marshal(document{Text: c.Text, Aspects: c.Aspects})
	if err != nil {
		return "", fmt.Errorf("encoding a review: %w", err)
	}
	return string(text), nil
}
