package booking_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// planOf returns the plan that PostgreSQL keeps for a prepared statement, whatever its arguments are.
func (h *house) planOf(t testing.TB, statement string) string {
	t.Helper()
	conn, err := h.DB.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	arguments := 0
	for strings.Contains(statement, fmt.Sprintf("$%d", arguments+1)) {
		arguments++
	}
	for _, before := range []string{`SET plan_cache_mode = force_generic_plan`, `PREPARE planned AS ` + statement} {
		if _, err := conn.ExecContext(t.Context(), before); err != nil {
			t.Fatalf("%s: %v", before, err)
		}
	}
	rows, err := conn.QueryContext(t.Context(), `EXPLAIN EXECUTE planned (`+strings.Repeat(`NULL, `, arguments-1)+`NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := postgres.Collect(rows, func(rows *sql.Rows) (line string, err error) {
		err = rows.Scan(&line)
		return line, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []string{`DEALLOCATE planned`, `RESET plan_cache_mode`} {
		if _, err := conn.ExecContext(t.Context(), after); err != nil {
			t.Fatalf("%s: %v", after, err)
		}
	}
	return strings.Join(lines, "\n")
}

// blocks returns how many blocks of the tables and their indexes the one connection has read so far.
func (h *house) blocks(t testing.TB) int64 {
	t.Helper()
	fixture.Get[any](t, h.DB, `SELECT pg_stat_force_next_flush()::text`)
	return fixture.Get[int64](t, h.DB, `SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint
		FROM pg_statio_user_tables WHERE relname IN ('reservations', 'showtimes')`)
}

// wholeTable is in the plan of a statement that reads all there is.
var wholeTable = regexp.MustCompile(`Seq Scan on (reservations|showtimes)`)

// TestReservations_plan: with 100,000 reservations of 1,000 showtimes each page of each list is read from indexes, whoever
// asks and in whichever order, and few of their blocks.
func TestReservations_plan(t *testing.T) {
	t.Parallel()
	var statements dbtest.Statements
	h := newHouse(t, fixture.Plan{}, dbtest.With(func(c *postgres.Config) { c.MaxConns, c.OnStatement = 1, statements.Record }))
	viewer := auth.Viewer{UserID: h.Users[0].ID}
	h.Exec(t, `INSERT INTO showtimes (id, movie_id, theater_id, screen_id, layout_id, starts_at, ends_at, occupied_until, format, language)
		SELECT gen_random_uuid(), s.movie_id, s.theater_id, s.screen_id, s.layout_id, at, at + interval '2 hours', at + interval '2 hours', '2D', 'en'
		FROM (SELECT *, date_trunc('hour', now()) + (n - 500) * interval '3 hours' + interval '30 minutes' AS at
			FROM showtimes, generate_series(1, 999) AS n) s WHERE abs(n - 508) > 1`)
	h.Exec(t, `INSERT INTO showtime_sales (showtime_id, opens_at, closes_at, seat_count, max_seats, currency)
		SELECT id, starts_at - interval '30 days', starts_at, 40, 10, 'NZD' FROM showtimes ON CONFLICT DO NOTHING`)
	// One viewer has one in 200 of them.
	const many, parts = 100, 20 // each part within the time that a statement has
	for part := range parts {
		h.Exec(t, `INSERT INTO reservations (showtime_id, id, viewer_id, status, seats, amount_minor, currency, lines, confirmed_at, ended_at, held_until)
			SELECT s.id, gen_random_uuid(), CASE WHEN n % 200 = row_number() OVER () % 200 THEN $1::uuid ELSE gen_random_uuid() END, x.status, ARRAY[1 + n % 40]::smallint[], 100, 'NZD', '[]',
				CASE x.status WHEN 'CONFIRMED' THEN now() END, CASE x.status WHEN 'CANCELLED' THEN now() END, CASE x.status WHEN 'HELD' THEN now() END
			FROM showtimes s, generate_series($2::int, $3::int) AS n, LATERAL (SELECT CASE n % 3 WHEN 0 THEN 'CONFIRMED' WHEN 1 THEN 'CANCELLED' ELSE 'HELD' END AS status) x`,
			viewer.UserID, 1+part*many/parts, (part+1)*many/parts)
	}
	h.Exec(t, `ANALYZE reservations`)
	h.Exec(t, `ANALYZE showtimes`)
	show := h.Show()
	old := new(time.Unix(0, 0))
	reserved := []booking.Status{booking.StatusConfirmed, booking.StatusHeld}
	lists := map[string]struct {
		lister

		filter booking.Filter
		orders []booking.Sort
	}{
		"of_a_customer":           {h.mine(t, viewer), booking.Filter{}, []booking.Sort{booking.SortNewest, booking.SortSoonest, booking.SortLatest}},
		"of_a_customer_filtered":  {h.mine(t, viewer), booking.Filter{Statuses: reserved, Period: booking.PeriodUpcoming}, []booking.Sort{booking.SortNewest, booking.SortSoonest}},
		"of_a_theater":            {h.theaters(t, h.staff()), booking.Filter{}, []booking.Sort{booking.SortSoonest, booking.SortLatest}},
		"of_a_theater_since_ever": {h.theaters(t, h.staff()), booking.Filter{From: old, Statuses: reserved}, []booking.Sort{booking.SortSoonest, booking.SortLatest}},
		"of_a_showtime":           {h.theaters(t, h.staff()), booking.Filter{ShowtimeID: &show}, []booking.Sort{booking.SortNewest, booking.SortSoonest}},
		"by_code":                 {h.theaters(t, h.staff()), booking.Filter{Code: new(booking.Reservation{ID: typeid.New()}.Code())}, []booking.Sort{booking.SortSoonest}},
		"of_all_theaters": {
			func(filter booking.Filter, by booking.Sort, request page.Request) (page.Page[booking.Listed], error) {
				return of(h.booking.AllReservations(t.Context(), support(), nil, filter, by, request))
			}, booking.Filter{}, []booking.Sort{booking.SortSoonest, booking.SortLatest},
		},
	}
	middle := booking.Listed{StartsAt: h.Showtimes[0].StartsAt, Reservation: booking.Reservation{ID: uuid.MustParse("80000000-0000-4000-8000-000000000000"), ShowtimeID: show}}
	for name, list := range lists {
		for _, by := range list.orders {
			for at, request := range map[string]page.Request{
				"first": {Limit: 20}, "last": {Limit: 20, Backward: true},
				"after": {Limit: 20, After: middle.CursorKey(by)}, "before": {Limit: 20, Backward: true, Before: middle.CursorKey(by)},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, by, at), func(t *testing.T) {
					ask := func() {
						if p, err := list.lister(list.filter, by, request); err != nil || name != "by_code" && len(p.Items) == 0 {
							t.Fatalf("%+v, %v", p, err)
						}
					}
					ask() // layouts and offers come into memory
					statements.Take()
					before := h.blocks(t)
					statements.Take()
					ask()
					sent := statements.Take()
					if len(sent) != 1 {
						t.Fatalf("statements %q", sent)
					}
					const most = 2500 // the tables have some 9,000, and each of 500 showtimes is looked up in 4 of them by a code
					read := h.blocks(t) - before
					t.Logf("%d blocks", read)
					if plan := h.planOf(t, sent[0]); wholeTable.MatchString(plan) || read > most {
						t.Errorf("%d blocks; %s\n%s", read, sent[0], plan)
					}
				})
			}
		}
	}
}
