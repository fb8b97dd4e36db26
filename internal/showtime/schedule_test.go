package showtime_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// stage is a bundle whose screen in Berlin has two categories of seats, trailers and cleaning, and whose movie runs 100 minutes.
type stage struct {
	*bundle

	manager auth.Viewer
}

func setupStage(t *testing.T) *stage {
	t.Helper()
	b := setup(t)
	b.run(`UPDATE movies SET run_time_minutes = 100 WHERE id = $1`, b.movie)
	b.run(`UPDATE screens SET trailer_minutes = 20, cleaning_minutes = 15`)
	for i, category := range []string{"STANDARD", "PREMIUM"} {
		b.run(`INSERT INTO seats (id, layout_id, seat_no, row_label, number, x, y, category) SELECT gen_random_uuid(), l.id, $1, 'A', $1, $1, 1, $2 FROM seat_layouts l`, i+1, category)
	}
	return &stage{b, worker(auth.RoleTheaterManager, b.berlin.theater)}
}

func (b *bundle) run(statement string, args ...any) {
	b.t.Helper()
	if _, err := b.db.SQL().ExecContext(b.t.Context(), statement, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (s *stage) details(local string) showtime.Details {
	s.t.Helper()
	wall, err := time.Parse("2006-01-02 15:04", local)
	if err != nil {
		s.t.Fatal(err)
	}
	return showtime.Details{
		MovieID: s.movie, Starts: showtime.Wall{Time: wall}, Format: "2D", Language: "en",
		Prices: map[theater.Category]int64{"STANDARD": 900, "PREMIUM": 1200}, MaxSeats: 10, SalesMinutes: 15,
	}
}

func (s *stage) create(local string) showtime.Showtime {
	s.t.Helper()
	made, err := s.Create(s.t.Context(), s.manager, s.berlin.screen, s.details(local))
	if _, ok := made.(showtime.Created); !ok {
		s.t.Fatalf("%+v, %v", made, err)
	}
	return made.(showtime.Created).Showtime
}

// reserve gives a showtime a reservation that has no more than its row.
func (s *stage) reserve(id uuid.UUID) {
	s.t.Helper()
	s.run(`INSERT INTO reservations (showtime_id, id, viewer_id, status, seats, amount_minor, currency, lines, held_until)
		VALUES ($1, $2, $2, 'HELD', '{1}', 900, 'EUR', '[]', now() + interval '10 minutes')`, id, typeid.New())
}

// everything counts what a change could leave behind.
func (s *stage) everything() string {
	s.t.Helper()
	return fixture.Get[string](s.t, s.db, `SELECT concat_ws(' ', (SELECT count(*) FROM showtimes), (SELECT sum(version) FROM showtimes), (SELECT count(*) FROM showtime_sales),
		(SELECT sum(price_version) FROM showtime_sales), (SELECT sum(amount_minor) FROM price_tiers), (SELECT count(*) FROM audit_entries))`)
}

func TestService_Create(t *testing.T) {
	t.Parallel()
	s := setupStage(t)
	made := s.create("2026-06-01 20:00")
	if !made.StartsAt.Equal(time.Date(2026, time.June, 1, 18, 0, 0, 0, time.UTC)) || made.EndsAt.Sub(made.StartsAt) != 2*time.Hour ||
		made.TheaterID != s.berlin.theater || made.LayoutID != s.berlin.layout || made.Version != 1 || made.Currency != "EUR" ||
		!made.SalesOpenAt.Equal(noon) || made.SalesCloseAt.Sub(made.StartsAt) != 15*time.Minute || made.MaxSeats != 10 {
		t.Errorf("%+v", made)
	}
	if until := fixture.Get[time.Time](t, s.db, `SELECT occupied_until FROM showtimes WHERE id = $1`, made.ID); until.Sub(made.EndsAt) != 15*time.Minute {
		t.Errorf("the screen is taken until %s", until)
	}
	if offer, err := s.Offer(t.Context(), made.ID); err != nil || offer.Prices["PREMIUM"] != 1200 || len(offer.Prices) != 2 {
		t.Errorf("%+v, %v", offer, err)
	}
	if got := fixture.Get[string](t, s.db, `SELECT concat_ws(' ', action, subject, theater_id = $1, actor_id = $2, after ->> 'format', after -> 'pricesMinor' ->> 'PREMIUM') FROM audit_entries`,
		s.berlin.theater, s.manager.UserID); got != "showtime.created "+made.NodeID()+" t t 2D 1200" {
		t.Errorf("recorded is %q", got)
	}
	// The newest layout is the one.
	newest := typeid.New()
	s.must(s.client.SeatLayout.Create().SetID(newest).SetScreenID(s.berlin.screen).SetVersion(2).SetSeatCount(7).Exec)
	later := s.details("2026-06-02 20:00")
	later.Prices = map[theater.Category]int64{}
	got, err := s.Create(t.Context(), s.manager, s.berlin.screen, later)
	if made, ok := got.(showtime.Created); !ok || made.Showtime.LayoutID != newest {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestService_Create_refuses asks as everybody who may not, and for what cannot be shown. Nothing comes of it.
func TestService_Create_refuses(t *testing.T) {
	t.Parallel()
	s := setupStage(t)
	untimed, stale := s.addMovie(), s.manager
	stale.ProvedAt = noon.Add(-time.Hour)
	before := s.everything()
	for name, c := range map[string]struct {
		change func(*showtime.Details)
		who    *auth.Viewer
		screen *uuid.UUID
		code   apperr.Code
		field  string
	}{
		"a_manager_elsewhere":       {who: new(worker(auth.RoleTheaterManager, s.sydney.theater)), code: apperr.NotFound},
		"staff":                     {who: new(worker(auth.RoleTheaterStaff, s.berlin.theater)), code: apperr.NotFound},
		"without_a_recent_proof":    {who: &stale, code: apperr.StepUpRequired},
		"no_screen":                 {screen: &uuid.Max, code: apperr.NotFound},
		"no_movie":                  {change: func(d *showtime.Details) { d.MovieID = uuid.Max }, code: apperr.NotFound},
		"a_movie_without_run_time":  {change: func(d *showtime.Details) { d.MovieID = untimed }, field: "movieId"},
		"a_skipped_time":            {change: func(d *showtime.Details) { d.Starts.Time = s.details("2026-03-29 02:30").Starts.Time }, field: "startsAtLocal"},
		"a_time_that_comes_twice":   {change: func(d *showtime.Details) { d.Starts.Time = s.details("2026-10-25 02:30").Starts.Time }, field: "whenRepeated"},
		"the_past":                  {change: func(d *showtime.Details) { d.Starts.Time = s.details("2026-03-01 13:00").Starts.Time }, field: "startsAtLocal"},
		"the_year_9999":             {change: func(d *showtime.Details) { d.Starts.Time = s.details("9999-12-31 23:59").Starts.Time }, field: "startsAtLocal"},
		"the_year_0":                {change: func(d *showtime.Details) { d.Starts.Time = s.details("0000-01-01 00:00").Starts.Time }, field: "startsAtLocal"},
		"no_format":                 {change: func(d *showtime.Details) { d.Format = " " }, field: "format"},
		"no_language":               {change: func(d *showtime.Details) { d.Language = "English" }, field: "language"},
		"strange_subtitles":         {change: func(d *showtime.Details) { d.Subtitles = new("??") }, field: "subtitles"},
		"a_price_below_nothing":     {change: func(d *showtime.Details) { d.Prices["STANDARD"] = -1 }, field: "prices"},
		"a_price_beyond_all":        {change: func(d *showtime.Details) { d.Prices["STANDARD"] = 1_000_000_001 }, field: "prices"},
		"a_category_without_price":  {change: func(d *showtime.Details) { delete(d.Prices, "PREMIUM") }, field: "prices"},
		"a_category_without_seats":  {change: func(d *showtime.Details) { d.Prices["RECLINER"] = 1 }, field: "prices"},
		"no_seats_for_a_customer":   {change: func(d *showtime.Details) { d.MaxSeats = 0 }, field: "maxSeatsPerCustomer"},
		"too_many_for_one":          {change: func(d *showtime.Details) { d.MaxSeats = 101 }, field: "maxSeatsPerCustomer"},
		"sales_that_end_far_before": {change: func(d *showtime.Details) { d.SalesMinutes = -1441 }, field: "salesCloseMinutesAfterStart"},
		"sales_after_the_film":      {change: func(d *showtime.Details) { d.SalesMinutes = 121 }, field: "salesCloseMinutesAfterStart"},
		"sales_that_begin_after":    {change: func(d *showtime.Details) { d.SalesOpenAt = new(noon.AddDate(1, 0, 0)) }, field: "salesOpenAt"},
	} {
		d, who, screen := s.details("2026-06-01 20:00"), s.manager, s.berlin.screen
		if c.change != nil {
			c.change(&d)
		}
		if c.who != nil {
			who = *c.who
		}
		if c.screen != nil {
			screen = *c.screen
		}
		got, err := s.Create(t.Context(), who, screen, d)
		if c.field != "" {
			bad, ok := errors.AsType[*apperr.Error](err)
			if !ok || bad.Code != apperr.BadUserInput || len(bad.Fields) != 1 || bad.Fields[0].Path != "input.showtime."+c.field {
				t.Errorf("%s: %+v, %+v", name, got, err)
			}
		} else if apperr.CodeOf(err) != c.code {
			t.Errorf("%s: %+v, %v, want %s", name, got, err, c.code)
		}
	}
	if after := s.everything(); after != before {
		t.Errorf("it left %s behind, there was %s", after, before)
	}
	for repeated, hour := range map[showtime.Repeated]int{showtime.RepeatedEarlier: 0, showtime.RepeatedLater: 1} {
		d := s.details(map[int]string{0: "2026-10-25 02:30", 1: "2027-10-31 02:30"}[hour])
		d.Starts.Repeated = repeated
		got, err := s.Create(t.Context(), s.manager, s.berlin.screen, d)
		if made, ok := got.(showtime.Created); !ok || made.Showtime.StartsAt.UTC().Hour() != hour {
			t.Errorf("%s: %+v, %v", repeated, got, err)
		}
	}
}

func TestService_Update(t *testing.T) {
	t.Parallel()
	s := setupStage(t)
	made, next := s.create("2026-06-01 20:00"), s.create("2026-06-01 22:15")
	update := func(version int32, d showtime.Details) showtime.UpdateResult {
		t.Helper()
		got, err := s.Update(t.Context(), s.manager, made.ID, version, d)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	// A minute later the cleaning is not done when the next one begins.
	if got, ok := update(1, s.details("2026-06-01 20:01")).(showtime.Occupied); !ok || !slices.Equal(ids(got.By), []uuid.UUID{next.ID}) {
		t.Errorf("%+v", got)
	}
	d := s.details("2026-06-01 19:00")
	d.Format, d.Subtitles, d.Prices["PREMIUM"] = "3D", new("fr"), 1500
	got, ok := update(1, d).(showtime.Updated)
	if !ok || got.Showtime.Version != 2 || got.Showtime.Format != "3D" || *got.Showtime.Subtitles != "fr" || !got.Showtime.StartsAt.Equal(made.StartsAt.Add(-time.Hour)) ||
		got.Showtime.EndsAt.Sub(got.Showtime.StartsAt) != 2*time.Hour || !got.Showtime.SalesCloseAt.Equal(made.SalesCloseAt.Add(-time.Hour)) {
		t.Fatalf("%+v", got)
	}
	if offer, err := s.Offer(t.Context(), made.ID); err != nil || offer.PriceVersion != 2 || offer.Prices["PREMIUM"] != 1500 {
		t.Errorf("%+v, %v", offer, err)
	}
	if got := fixture.Get[string](t, s.db, `SELECT concat_ws(' ', action, before ->> 'format', after ->> 'format') FROM audit_entries ORDER BY id DESC LIMIT 1`); got != "showtime.changed 2D 3D" {
		t.Errorf("recorded is %q", got)
	}

	// From the first reservation on it stays what it is, for all but those who come later.
	s.reserve(made.ID)
	before := s.everything()
	for field, change := range map[string]func(*showtime.Details){
		"startsAtLocal": func(d *showtime.Details) { d.Starts = s.details("2026-06-01 18:00").Starts },
		"movieId":       func(d *showtime.Details) { d.MovieID = s.addMovie() },
		"format":        func(d *showtime.Details) { d.Format = "2D" },
		"language":      func(d *showtime.Details) { d.Language = "de" },
		"subtitles":     func(d *showtime.Details) { d.Subtitles = nil },
	} {
		other := d
		change(&other)
		if got, ok := update(2, other).(showtime.Reserved); !ok || got.Reservations != 1 || !slices.Equal(got.Fields, []string{"input.showtime." + field}) {
			t.Errorf("%s: %+v", field, got)
		}
	}
	if after := s.everything(); after != before {
		t.Errorf("it left %s behind, there was %s", after, before)
	}
	d.Prices["PREMIUM"], d.MaxSeats, d.SalesOpenAt = 1600, 4, new(noon.AddDate(0, 1, 0))
	if got, ok := update(2, d).(showtime.Updated); !ok || got.Showtime.MaxSeats != 4 || !got.Showtime.SalesOpenAt.Equal(*d.SalesOpenAt) || got.Showtime.Version != 3 {
		t.Errorf("%+v", got)
	}
	d.SalesOpenAt = nil
	if got, ok := update(3, d).(showtime.Updated); !ok || !got.Showtime.SalesOpenAt.Equal(noon.AddDate(0, 1, 0)) {
		t.Errorf("sales begin at another time: %+v", got)
	}

	for name, c := range map[string]struct {
		id      uuid.UUID
		who     auth.Viewer
		version int32
		code    apperr.Code
		before  func()
	}{
		"none":              {uuid.Max, s.manager, 1, apperr.NotFound, nil},
		"a_stale_version":   {next.ID, s.manager, 2, apperr.Conflict, nil},
		"manager_elsewhere": {next.ID, worker(auth.RoleTheaterManager, s.sydney.theater), 1, apperr.NotFound, nil},
		"called_off":        {s.create("2026-07-01 20:00").ID, s.manager, 1, apperr.Conflict, func() { s.run(`UPDATE showtimes SET status = 'CANCELLED' WHERE starts_at > '2026-07-01'`) }},
		"begun":             {s.show(s.movie, s.berlin, noon.Add(-time.Minute), nil), s.manager, 1, apperr.Conflict, nil},
	} {
		if c.before != nil {
			c.before()
		}
		if _, err := s.Update(t.Context(), c.who, c.id, c.version, s.details("2026-08-01 20:00")); apperr.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestProperty_Schedule_overlap plans a screen at random, one command after the other, and compares with what a
// list of intervals says.
func TestProperty_Schedule_overlap(t *testing.T) {
	t.Parallel()
	s := setupStage(t)
	day := 0
	rapid.Check(t, func(t *rapid.T) {
		day++
		base := time.Date(2026, time.April, 1, 8, 0, 0, 0, time.UTC).AddDate(0, 0, 2*day)
		type kept struct {
			id      uuid.UUID
			version int32
			at      time.Time
		}
		var shows []kept
		for range rapid.IntRange(1, 8).Draw(t, "commands") {
			wall := base.Add(time.Duration(rapid.IntRange(0, 96).Draw(t, "quarters")) * 15 * time.Minute / 2)
			d := s.details(wall.Format("2006-01-02 15:04"))
			moving := -1
			if len(shows) > 0 && rapid.Bool().Draw(t, "move") {
				moving = rapid.IntRange(0, len(shows)-1).Draw(t, "which")
			}
			var inTheWay []uuid.UUID
			for i, other := range shows {
				if i != moving && other.at.Sub(wall).Abs() < 135*time.Minute {
					inTheWay = append(inTheWay, other.id)
				}
			}
			var result any
			var err error
			if moving < 0 {
				result, err = s.Create(s.t.Context(), s.manager, s.berlin.screen, d)
			} else {
				result, err = s.Update(s.t.Context(), s.manager, shows[moving].id, shows[moving].version, d)
			}
			if err != nil {
				t.Fatal(err)
			}
			switch r := result.(type) {
			case showtime.Created:
				shows = append(shows, kept{r.Showtime.ID, 1, wall})
			case showtime.Updated:
				shows[moving].version, shows[moving].at = r.Showtime.Version, wall
			case showtime.Occupied:
				if got := ids(r.By); len(got) != len(inTheWay) || slices.ContainsFunc(got, func(id uuid.UUID) bool { return !slices.Contains(inTheWay, id) }) {
					t.Fatalf("in the way are %v, told is %v", inTheWay, got)
				}
				continue
			}
			if len(inTheWay) > 0 {
				t.Fatalf("%v was planned over %v", wall, inTheWay)
			}
		}
	})
	if n := fixture.Get[int](t, s.db, `SELECT count(*) FROM showtimes a JOIN showtimes b ON a.screen_id = b.screen_id AND a.id < b.id
		AND tstzrange(a.starts_at, a.occupied_until) && tstzrange(b.starts_at, b.occupied_until)`); n != 0 {
		t.Errorf("%d pairs overlap", n)
	}
}

// TestService_Create_at_once lets managers want one screen at the same moment: one gets it, the others are told who.
func TestService_Create_at_once(t *testing.T) {
	t.Parallel()
	s := setupStage(t)
	const rivals = 8
	answers := make(chan string, rivals)
	for i := range rivals {
		go func() {
			got, err := s.Create(t.Context(), s.manager, s.berlin.screen, s.details(fmt.Sprintf("2026-06-01 20:%02d", i)))
			if refused, ok := got.(showtime.Occupied); ok && len(refused.By) != 1 {
				err = fmt.Errorf("%d are in the way", len(refused.By))
			}
			answers <- fmt.Sprintf("%T %v", got, err)
		}()
	}
	var all []string
	for range rivals {
		all = append(all, <-answers)
	}
	slices.Sort(all)
	if want := "showtime.Created <nil> " + strings.TrimSuffix(strings.Repeat("showtime.Occupied <nil> ", rivals-1), " "); strings.Join(all, " ") != want {
		t.Errorf("%q", all)
	}
}
