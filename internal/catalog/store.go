package catalog

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"marquee/ent"
	"marquee/ent/genre"
	"marquee/ent/movie"
	"marquee/ent/predicate"
	"marquee/ent/showtime"
	"marquee/ent/theater"
	"marquee/internal/clock"
	"marquee/internal/page"
	"marquee/internal/postgres"
)

// Service answers questions about movies. It is safe for concurrent use.
type Service struct {
	ent   *ent.Client
	clock clock.Clock
}

// NewService returns a Service that reads through client.
func NewService(client *ent.Client, c clock.Clock) *Service {
	return &Service{ent: client, clock: c}
}

// Movies returns a page of the movies that match filter, in the given order. One statement.
func (s *Service) Movies(ctx context.Context, filter MovieFilter, order MovieOrder, request page.Request) (page.Page[Movie], error) {
	if err := filter.Validate(); err != nil {
		return page.Page[Movie]{}, err
	}
	rows, err := s.ent.Movie.Query().
		Where(s.matches(filter)...).
		Where(keyset(order.sorting(), request)).
		Limit(request.Limit + 1).
		All(ctx)
	if err != nil {
		return page.Page[Movie]{}, fmt.Errorf("reading movies: %w", err)
	}
	movies := make([]Movie, len(rows))
	for i, row := range rows {
		movies[i] = fromEnt(row)
	}
	return page.Cut(request, movies), nil
}

// keyset orders the query and cuts it off at the request's cursors. ent qualifies no column inside a written-out
// expression, which is safe here: conditions on other tables are subqueries of their own.
func keyset(by sorting, request page.Request) predicate.Movie {
	return func(sel *sql.Selector) {
		bound := func(operator string, key []string) {
			sel.Where(sql.P(func(b *sql.Builder) {
				b.WriteString("(" + by.expression + ", id) " + operator + " (").Arg(key[0]).WriteString("::" + by.sqlType + ", ")
				b.Arg(key[1]).WriteString("::uuid)")
			}))
		}
		after, before, direction := ">", "<", ""
		if by.descending {
			after, before = "<", ">"
		}
		if by.descending != request.Backward {
			direction = " DESC"
		}
		if request.After != nil {
			bound(after, request.After)
		}
		if request.Before != nil {
			bound(before, request.Before)
		}
		sel.OrderExpr(sql.Expr(by.expression+direction), sql.Expr("id"+direction))
	}
}

func (s *Service) matches(f MovieFilter) []predicate.Movie {
	var all []predicate.Movie
	if f.TitleContains != nil {
		all = append(all, movie.TitleContainsFold(*f.TitleContains))
	}
	if f.Genre != nil {
		all = append(all, movie.HasGenresWith(genre.NameEqualFold(*f.Genre)))
	}
	upcoming := []predicate.Showtime{showtime.StartsAtGTE(s.clock.Now()), showtime.StatusEQ("SCHEDULED")}
	if f.Playing != nil {
		playing := movie.HasShowtimesWith(upcoming...)
		if !*f.Playing {
			playing = movie.Not(playing)
		}
		all = append(all, playing)
	}
	if f.PlayingInCity != nil {
		all = append(all, movie.HasShowtimesWith(append(upcoming,
			showtime.HasTheaterWith(theater.CityEqualFold(*f.PlayingInCity)))...))
	}
	return all
}

// MoviesByID returns the movies that exist among ids. One statement.
func (s *Service) MoviesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Movie, error) {
	rows, err := s.ent.Movie.Query().Where(ent.AnyOf(movie.FieldID, "uuid[]", postgres.UUIDs(ids))).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading movies by id: %w", err)
	}
	found := make(map[uuid.UUID]Movie, len(rows))
	for _, row := range rows {
		found[row.ID] = fromEnt(row)
	}
	return found, nil
}

// Genres returns all genres by name.
func (s *Service) Genres(ctx context.Context) ([]Genre, error) {
	rows, err := s.ent.Genre.Query().Order(genre.ByName(), genre.ByID()).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading genres: %w", err)
	}
	genres := make([]Genre, len(rows))
	for i, row := range rows {
		genres[i] = Genre{ID: row.ID, Name: row.Name}
	}
	return genres, nil
}

// GenresByID returns the genres that exist among ids. One statement.
func (s *Service) GenresByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Genre, error) {
	rows, err := s.ent.Genre.Query().Where(ent.AnyOf(genre.FieldID, "uuid[]", postgres.UUIDs(ids))).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading genres by id: %w", err)
	}
	found := make(map[uuid.UUID]Genre, len(rows))
	for _, row := range rows {
		found[row.ID] = Genre{ID: row.ID, Name: row.Name}
	}
	return found, nil
}

// GenresByMovie returns the genres of each movie, by name; a movie without any is absent. One statement.
func (s *Service) GenresByMovie(ctx context.Context, movieIDs []uuid.UUID) (map[uuid.UUID][]Genre, error) {
	var rows []struct {
		MovieID uuid.UUID `sql:"movie_id"`
		ID      uuid.UUID `sql:"id"`
		Name    string    `sql:"name"`
	}
	err := s.ent.Genre.Query().
		Modify(func(sel *sql.Selector) {
			link := sql.Table(genre.MoviesTable)
			sel.Join(link).On(sel.C(genre.FieldID), link.C(genre.MoviesPrimaryKey[1]))
			sel.Where(sql.P(func(b *sql.Builder) {
				b.Ident(link.C(genre.MoviesPrimaryKey[0])).WriteString(" = ANY (").Arg(postgres.UUIDs(movieIDs)).WriteString("::uuid[])")
			}))
			sel.Select(link.C(genre.MoviesPrimaryKey[0]), sel.C(genre.FieldID), sel.C(genre.FieldName))
			sel.OrderBy(sel.C(genre.FieldName), sel.C(genre.FieldID))
		}).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("reading genres of movies: %w", err)
	}
	byMovie := make(map[uuid.UUID][]Genre, len(movieIDs))
	for _, row := range rows {
		byMovie[row.MovieID] = append(byMovie[row.MovieID], Genre{ID: row.ID, Name: row.Name})
	}
	return byMovie, nil
}

func fromEnt(row *ent.Movie) Movie {
	m := Movie{
		ID:             row.ID,
		Title:          row.Title,
		ReleaseDate:    row.ReleaseDate,
		RunTimeMinutes: row.RunTimeMinutes,
		Certificate:    row.Certificate,
		Director:       row.Director,
		Distributor:    row.Distributor,
		meanTenths:     row.ImdbRatingTenths,
		votes:          row.ImdbVotes,
	}
	if row.ImdbVotes > 0 {
		m.Rating = &Rating{MeanTenths: row.ImdbRatingTenths, Votes: row.ImdbVotes, Source: RatingSourceIMDB}
	}
	return m
}
