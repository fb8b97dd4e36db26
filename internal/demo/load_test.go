package demo_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"marquee/internal/dbtest"
	"marquee/internal/demo"
	"marquee/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// today is a Sunday on which the clocks change in Santiago and a week in which those of Europe do.
var today = time.Date(2026, time.October, 25, 0, 0, 0, 0, time.UTC)

// One database serves the whole story: a load takes seconds.
func TestLoad_and_TopUp(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, dbtest.With(func(c *postgres.Config) { c.StatementTimeout = time.Minute }))
	log := slog.New(slog.DiscardHandler)

	summary, err := demo.Load(t.Context(), db, today)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("everything_of_the_world_is_there", func(t *testing.T) {
		for table, want := range map[string]int{
			"movies": summary.Films.Imported, "theaters": summary.Theaters, "screens": summary.Screens,
			"seats": summary.Seats, "showtimes": summary.Showtimes, "showtime_sales": summary.Showtimes,
		} {
			if got := count(t, db, `SELECT count(*) FROM `+table); got != want || got == 0 {
				t.Errorf("%s has %d rows, want %d", table, got, want)
			}
		}
		if summary.Theaters != 12 || summary.Screens != 40 || summary.Films.Imported != 3200 {
			t.Errorf("summary = %+v", summary)
		}
	})
	t.Run("every_seat_has_a_price_and_a_place", func(t *testing.T) {
		for what, query := range map[string]string{
			"seats without a price": `SELECT count(*) FROM showtimes s JOIN seats e ON e.layout_id = s.layout_id
				WHERE NOT EXISTS (SELECT FROM price_tiers p WHERE p.showtime_id = s.id AND p.category = e.category)`,
			"layouts whose seats are not 1 to N": `SELECT count(*) FROM seat_layouts y
				WHERE y.seat_count <> (SELECT count(*) FROM seats e WHERE e.layout_id = y.id AND e.seat_no BETWEEN 1 AND y.seat_count)`,
			"sales that do not know their seats": `SELECT count(*) FROM showtimes s JOIN showtime_sales a ON a.showtime_id = s.id
				JOIN seat_layouts y ON y.id = s.layout_id WHERE a.seat_count <> y.seat_count`,
			"showtimes outside the opening hours": `SELECT count(*) FROM showtimes s JOIN theaters t ON t.id = s.theater_id,
				LATERAL (SELECT s.starts_at AT TIME ZONE t.time_zone AS local) l
				WHERE mod((extract(epoch FROM l.local::time) / 60)::int - t.opens_minute + 1440, 1440) > t.closes_minute - t.opens_minute`,
		} {
			if got := count(t, db, query); got != 0 {
				t.Errorf("%s: %d", what, got)
			}
		}
	})
	t.Run("who_buys_now_can_give_back_and_swap", func(t *testing.T) {
		got := count(t, db, `SELECT count(*) FROM theaters t JOIN refund_policies p ON p.theater_id = t.id
			WHERE p.holds_from <= now() AND p.steps = '[{"minutes": 60, "basisPoints": 10000}, {"minutes": 0, "basisPoints": 5000}]'
				AND p.fees_returned AND p.swap_minutes = 120 AND p.swap_fee_minor = 0`)
		if got != summary.Theaters {
			t.Errorf("%d theaters have the policy of the demo world", got)
		}
	})
	t.Run("one_screen_declines_on_purpose", func(t *testing.T) {
		got := count(t, db, `SELECT count(DISTINCT s.screen_id) FROM showtimes s JOIN price_tiers p ON p.showtime_id = s.id
			WHERE p.amount_minor % 100 IN (5, 51, 54, 91)`)
		if got != 1 {
			t.Errorf("%d screens decline, want 1", got)
		}
	})
	t.Run("the_same_day_adds_nothing", func(t *testing.T) {
		added, known, err := demo.TopUp(t.Context(), db, today, log)
		if err != nil || !known || added != 0 {
			t.Errorf("TopUp = %d, %v, %v", added, known, err)
		}
	})
	t.Run("later_days_are_added_as_a_fresh_load_would_plan_them", func(t *testing.T) {
		later := today.AddDate(0, 0, 3)
		added, known, err := demo.TopUp(t.Context(), db, later, log)
		if err != nil || !known || added == 0 {
			t.Fatalf("TopUp = %d, %v, %v", added, known, err)
		}
		topped := schedule(t, db, later.AddDate(0, 0, 1))
		if _, err := demo.Load(t.Context(), db, later); err != nil {
			t.Fatal(err)
		}
		if fresh := schedule(t, db, later.AddDate(0, 0, 1)); fresh != topped {
			t.Error("a topped-up schedule differs from a fresh one")
		}
	})
	t.Run("another_world_is_left_alone", func(t *testing.T) {
		if _, err := db.SQL().ExecContext(t.Context(), `UPDATE screens SET name = 'Renamed' WHERE id = (SELECT min(id::text)::uuid FROM screens)`); err != nil {
			t.Fatal(err)
		}
		before := count(t, db, `SELECT count(*) FROM showtimes`)
		added, known, err := demo.TopUp(t.Context(), db, today.AddDate(0, 1, 0), log)
		if err != nil || known || added != 0 || count(t, db, `SELECT count(*) FROM showtimes`) != before {
			t.Errorf("TopUp = %d, %v, %v", added, known, err)
		}
	})
}

func count(t *testing.T, db *postgres.DB, query string) (n int) {
	t.Helper()
	if err := db.SQL().QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// schedule is a digest of all showtimes from a moment on, by what they show and not by their ids.
func schedule(t *testing.T, db *postgres.DB, from time.Time) (digest string) {
	t.Helper()
	err := db.SQL().QueryRowContext(t.Context(), `SELECT md5(string_agg(concat_ws('|', t.name, c.name, m.title, s.starts_at, s.format), ';'
			ORDER BY t.name, c.name, s.starts_at))
		FROM showtimes s JOIN theaters t ON t.id = s.theater_id JOIN screens c ON c.id = s.screen_id JOIN movies m ON m.id = s.movie_id
		WHERE s.starts_at >= $1`, from).Scan(&digest)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
