package review

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/page"
	"marquee/internal/postgres"
)

const columns = `r.id, r.movie_id, r.user_id, r.rating, r.document, r.spoiler, r.named, r.status, r.hidden_for, r.helpful,
	r.created_at, r.edited_at, r.queued_at`

// scan reads columns.
func scan(row interface{ Scan(...any) error }) (r Review, err error) {
	var stored []byte
	err = row.Scan(&r.ID, &r.MovieID, &r.AuthorID, &r.Rating, &stored, &r.Spoiler, &r.Named, &r.Status, &r.HiddenFor, &r.HelpfulVotes,
		&r.CreatedAt, &r.EditedAt, &r.queuedAt)
	if err != nil {
		return r, err
	}
	r.Text, r.Aspects, err = read(stored)
	return r, err
}

// read reads a stored document.
func read(stored []byte) (text *string, aspects Aspects, err error) {
	var d document
	if err := json.Unmarshal(stored, &d); err != nil {
		return nil, Aspects{}, fmt.Errorf("reading the document of a review: %w", err)
	}
	return d.Text, d.Aspects, nil
}

// found makes NOT_FOUND of a row that is none.
func found(r Review, err error) (Review, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return r, apperr.Missing("review")
	}
	return r, err
}

// Moderates reports whether somebody is shown hidden reviews, and may hide others.
func Moderates(viewer auth.Viewer) bool { return viewer.Has(auth.RoleSupport, auth.Platform) }

// visibleTo reports whether somebody is shown a review; the zero viewer is nobody.
func (r Review) visibleTo(viewer auth.Viewer) bool {
	return r.Status == StatusVisible || r.AuthorID == viewer.UserID || Moderates(viewer)
}

// Review returns a review: NOT_FOUND when it is missing, or hidden from the viewer. The zero viewer is nobody.
func (s *Service) Review(ctx context.Context, viewer auth.Viewer, id uuid.UUID) (Review, error) {
	r, err := found(scan(s.db.SQL().QueryRowContext(ctx, `SELECT `+columns+` FROM reviews r WHERE r.id = $1`, id)))
	if err != nil {
		return r, fmt.Errorf("reading a review: %w", err)
	}
	if !r.visibleTo(viewer) {
		return Review{}, apperr.Missing("review")
	}
	return r, nil
}

// list is a list of reviews that is read by pages.
type list struct {
	conditions []string
	args       []any
	by         []string // expressions that it is sorted by
	types      []string // of those
	ascending  bool
}

func (l *list) arg(value any) string {
	l.args = append(l.args, value)
	return fmt.Sprintf("$%d", len(l.args))
}

func (l *list) where(format string, value any) {
	l.conditions = append(l.conditions, fmt.Sprintf(format, l.arg(value)))
}

// bound cuts the list off at a cursor.
func (l *list) bound(operator string, key []string) {
	bounds := make([]string, len(key))
	for i, value := range key {
		bounds[i] = l.arg(value) + "::" + l.types[i]
	}
	l.conditions = append(l.conditions, "("+strings.Join(l.by, ", ")+") "+operator+" ("+strings.Join(bounds, ", ")+")")
}

// page reads one page of the list. One statement.
func (s *Service) page(ctx context.Context, l list, request page.Request) (page.Page[Review], error) {
	after, before, direction := "<", ">", " DESC"
	if l.ascending {
		after, before = before, after
	}
	if l.ascending != request.Backward {
		direction = ""
	}
	if request.After != nil {
		l.bound(after, request.After)
	}
	if request.Before != nil {
		l.bound(before, request.Before)
	}
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+columns+` FROM reviews r WHERE `+strings.Join(l.conditions, " AND ")+
		` ORDER BY `+strings.Join(l.by, direction+", ")+direction+` LIMIT `+l.arg(request.Limit+1), l.args...)
	if err != nil {
		return page.Page[Review]{}, fmt.Errorf("reading reviews: %w", err)
	}
	reviews, err := postgres.Collect(rows, func(rows *sql.Rows) (Review, error) { return scan(rows) })
	if err != nil {
		return page.Page[Review]{}, fmt.Errorf("reading reviews: %w", err)
	}
	return page.Cut(request, reviews), nil
}

// Reviews returns a page of the visible reviews of a movie. One statement, read from an index of the ordering.
func (s *Service) Reviews(ctx context.Context, movieID uuid.UUID, filter Filter, by Sort, request page.Request) (page.Page[Review], error) {
	if filter.Rating != nil && (*filter.Rating < leastRating || *filter.Rating > mostRating) {
		return page.Page[Review]{}, apperr.Invalid("filter.rating", "Ratings are whole numbers from %d to %d.", leastRating, mostRating)
	}
	l := list{conditions: []string{`r.status = 'VISIBLE'`}, by: []string{"r.id"}, types: []string{"uuid"}}
	switch by {
	case SortHighest, SortLowest:
		l.by, l.types, l.ascending = []string{"r.rating", "r.id"}, []string{"smallint", "uuid"}, by == SortLowest
	case SortMostHelpful:
		l.by, l.types = []string{"r.helpful", "r.id"}, []string{"integer", "uuid"}
	case SortNewest:
	}
	l.where("r.movie_id = %s", movieID)
	if filter.Spoiler != nil {
		l.where("r.spoiler = %s", *filter.Spoiler)
	}
	if filter.Rating != nil {
		l.where("r.rating = %s", *filter.Rating)
	}
	return s.page(ctx, l, request)
}

// ReviewsOf returns a page of the viewer's own reviews, newest first, hidden ones among them. One statement.
func (s *Service) ReviewsOf(ctx context.Context, viewer auth.Viewer, request page.Request) (page.Page[Review], error) {
	l := list{by: []string{"r.id"}, types: []string{"uuid"}}
	l.where("r.user_id = %s", viewer.UserID)
	return s.page(ctx, l, request)
}

// RatingsByMovie returns what the reviews of movies come to; a movie that was never reviewed is absent. One statement.
func (s *Service) RatingsByMovie(ctx context.Context, movieIDs []uuid.UUID) (map[uuid.UUID]Rating, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT movie_id, rating, reviews FROM movie_ratings WHERE movie_id = ANY ($1::uuid[])`, postgres.UUIDs(movieIDs))
	if err != nil {
		return nil, fmt.Errorf("reading ratings: %w", err)
	}
	type row struct {
		movie  uuid.UUID
		rating int
		count  int32
	}
	counts, err := postgres.Collect(rows, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.movie, &r.rating, &r.count)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading ratings: %w", err)
	}
	byMovie := make(map[uuid.UUID]Rating, len(movieIDs))
	for _, c := range counts {
		rating := byMovie[c.movie]
		rating.Histogram[c.rating-1] = c.count
		byMovie[c.movie] = rating
	}
	return byMovie, nil
}

// AuthorNames returns what may be shown of authors, who let it be shown. One statement.
func (s *Service) AuthorNames(ctx context.Context, authors []uuid.UUID) (map[uuid.UUID]string, error) {
	return s.accounts.GivenNames(ctx, authors)
}
