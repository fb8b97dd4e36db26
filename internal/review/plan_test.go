package review_test

import (
	"database/sql"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/review"
)

// TestReviews_plan: of a movie with 100,000 reviews each page in each order is read from an index, within 5 ms at the
// database.
func TestReviews_plan(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	movie := h.World.Movies[0].Key
	const many, parts = 100_000, 20 // each within the time that a statement has
	for range parts {
		h.Exec(`WITH people AS (INSERT INTO users (id, email_sealed, email_index, name_sealed)
				SELECT id, '\x00', sha256(id::text::bytea) || '\x00000000'::bytea, '\x00' FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2::int)) AS p
				RETURNING id, email_index)
			INSERT INTO reviews (id, movie_id, user_id, rating, document, helpful)
			SELECT gen_random_uuid(), $1, id, 1 + get_byte(email_index, 0) % 10, jsonb_build_object('text', repeat('A fine movie. ', 20), 'aspects', '{}'::jsonb),
				get_byte(email_index, 1) % 50 FROM people`, movie, many/parts)
	}
	h.Exec(`ANALYZE reviews`)
	ratings, err := h.RatingsByMovie(t.Context(), []uuid.UUID{movie})
	if err != nil || ratings[movie].Count() < many {
		t.Fatalf("%d ratings, %v", ratings[movie].Count(), err)
	}
	middle := uuid.MustParse("80000000-0000-4000-8000-000000000000").String()
	for by, key := range map[review.Sort][]string{
		review.SortNewest: {middle}, review.SortHighest: {"5", middle}, review.SortLowest: {"5", middle}, review.SortMostHelpful: {"25", middle},
	} {
		for _, request := range []page.Request{
			{Limit: 20},
			{Limit: 20, Backward: true},
			{Limit: 20, After: key},
			{Limit: 20, Backward: true, Before: key},
		} {
			var p page.Page[review.Review]
			var err error
			sent := h.Statements(func() { p, err = h.Reviews(t.Context(), movie, review.Filter{}, by, request) })
			if err != nil || len(p.Items) != 20 || len(sent) != 1 {
				t.Fatalf("%d reviews by %d statements, %v", len(p.Items), len(sent), err)
			}
			args := []any{movie}
			for _, part := range append(request.After, request.Before...) {
				args = append(args, part)
			}
			args = append(args, request.Limit+1)
			plan := h.explain(sent[0], args...)
			if strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "Index") {
				t.Errorf("by %s, %+v:\n%s", by, request, plan)
			}
			const bar = 5.0
			took := timeOf(plan)
			for range 3 { // the machine may have had other work
				took = min(took, timeOf(h.explain(sent[0], args...)))
			}
			t.Logf("by %s, %+v: %.3f ms", by, request, took)
			if took > bar {
				t.Errorf("by %s, %+v: %.3f ms", by, request, took)
			}
		}
	}
}

// TestAttended_plan: whether somebody has seen a movie is read from their own reservations.
func TestAttended_plan(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	show := h.World.Showtimes[0]
	h.Exec(`INSERT INTO reservations (showtime_id, id, viewer_id, status, seats, amount_minor, currency, lines, confirmed_at)
		SELECT $1, gen_random_uuid(), gen_random_uuid(), 'CONFIRMED', '{1}', 1, 'EUR', '[]', now() FROM generate_series(1, 5000)`, show.Key)
	h.Exec(`ANALYZE reservations`)
	viewer := h.people(1)[0]
	for _, statement := range h.Statements(func() {
		if result, err := h.Write(t.Context(), viewer, review.WriteInput{MovieID: show.Movie.Key, Content: review.Content{Rating: 5}}); result != (review.TicketRequired{}) {
			t.Errorf("%+v, %v", result, err)
		}
	}) {
		if strings.Contains(statement, "FROM reservations") {
			if plan := h.explain(statement, viewer.UserID, show.Movie.Key, false); !strings.Contains(plan, "reservations_viewer_idx") {
				t.Error(plan)
			}
			return
		}
	}
	t.Error("nothing was asked of the reservations")
}

var executionTime = regexp.MustCompile(`Execution Time: ([0-9.]+) ms`)

// timeOf returns for how many milliseconds a plan was executed.
func timeOf(plan string) float64 {
	const long = 1e9
	took := executionTime.FindStringSubmatch(plan)
	if took == nil {
		return long
	}
	ms, err := strconv.ParseFloat(took[1], 64)
	if err != nil {
		return long
	}
	return ms
}

// explain executes a statement and returns its plan.
func (h *house) explain(statement string, args ...any) string {
	h.t.Helper()
	rows, err := h.DB().SQL().QueryContext(h.t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+statement, args...)
	if err != nil {
		h.t.Fatalf("%s: %v", statement, err)
	}
	lines, err := postgres.Collect(rows, func(rows *sql.Rows) (line string, err error) {
		err = rows.Scan(&line)
		return line, err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
