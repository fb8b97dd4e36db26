package demo_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"marquee/internal/demo"
)

const seed = 1926

func day(year int, month time.Month, date int) time.Time {
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	world := demo.World()
	first := day(2026, time.October, 1) // every zone changes its clocks twice in the year that follows
	year := demo.Plan(world, films, first, 366, seed)

	t.Run("keeps_every_rule_for_a_year", func(t *testing.T) {
		t.Parallel()
		checkPlan(t, world, films, year)
		if len(year) < 366*40*3 {
			t.Errorf("%d showings in a year are fewer than three a day on each screen", len(year))
		}
	})
	t.Run("leaves_no_screen_dark", func(t *testing.T) {
		t.Parallel()
		type screenDay struct {
			screen string
			date   time.Time
		}
		lit := map[screenDay]bool{}
		zones := zonesOf(t, world)
		for _, s := range year {
			local := s.StartsAt.In(zones[s.TheaterKey]).Add(-6 * time.Hour)
			lit[screenDay{s.ScreenKey, day(local.Date())}] = true
		}
		if len(lit) != 366*40 {
			t.Errorf("%d of %d evenings have a showing", len(lit), 366*40)
		}
	})
	t.Run("runs_about_sixty_films_that_change_on_thursdays", func(t *testing.T) {
		t.Parallel()
		checkWeeks(t, world, year)
	})
	t.Run("speaks_to_its_audience", func(t *testing.T) {
		t.Parallel()
		checkVersions(t, films, year)
	})
	t.Run("shows_popular_films_more_often", func(t *testing.T) {
		t.Parallel()
		checkPopularity(t, films, year)
	})
	t.Run("suits_the_hour", func(t *testing.T) {
		t.Parallel()
		zones := zonesOf(t, world)
		for _, s := range year {
			film, hour := films[s.Film], s.StartsAt.In(zones[s.TheaterKey]).Hour()
			if film.Genre == "Horror" && hour >= 6 && hour < 17 || film.Certificate == "G" && (hour >= 20 || hour < 6) {
				t.Fatalf("%s, %s, %s at %d o'clock", film.Title, film.Genre, film.Certificate, hour)
			}
		}
	})
	t.Run("uses_every_format_and_language", func(t *testing.T) {
		t.Parallel()
		seen := map[string]bool{}
		for _, s := range year {
			seen[s.Format], seen[s.Language], seen[s.Subtitles] = true, true, true
		}
		for _, want := range []string{"2D", "3D", "IMAX", "en", "ja", "de", "hi", "es-419", "fr", "ar", ""} {
			if !seen[want] {
				t.Errorf("%q never appears", want)
			}
		}
	})
}

// Weeks are counted from a Thursday in 1970, and both ways from there.
func TestPlan_changes_on_thursdays_before_1970_too(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	world := demo.World()
	checkWeeks(t, world, demo.Plan(world, films, day(1969, time.November, 20), 84, seed))
	checkWeeks(t, world, demo.Plan(world, films, day(1911, time.November, 20), 28, seed))
}

// A date planned alone, in another range, or for a single screen must come out the same: later runs add missing dates.
func TestPlan_of_a_date_depends_on_nothing_else(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	world := demo.World()
	rapid.Check(t, func(t *rapid.T) {
		first := day(2026, time.January, 1).AddDate(0, 0, rapid.IntRange(-46_000, 20_000).Draw(t, "day"))
		days := rapid.IntRange(1, 12).Draw(t, "days")
		theater := world[rapid.IntRange(0, len(world)-1).Draw(t, "theater")]
		screen := rapid.IntRange(0, len(theater.Screens)-1).Draw(t, "screen")
		one := theater
		one.Screens = theater.Screens[screen : screen+1]

		var pieces []demo.Showing
		for i := range days {
			atNoon := first.AddDate(0, 0, i).Add(12 * time.Hour)
			pieces = append(pieces, demo.Plan([]demo.Theater{one}, films, atNoon, 1, seed)...)
		}
		whole := demo.Plan([]demo.Theater{theater}, films, first, days, seed)
		whole = slices.DeleteFunc(whole, func(s demo.Showing) bool { return s.ScreenKey != one.Screens[0].Key })
		if !reflect.DeepEqual(whole, pieces) {
			t.Fatalf("planned at once:\n%v\nday by day:\n%v", whole, pieces)
		}
	})
}

// Any catalogue, hours and zone, from 1974 on.
func TestPlan_keeps_every_rule_anywhere(t *testing.T) {
	t.Parallel()
	zones := []string{
		"UTC", "Europe/London", "America/Santiago", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo", "Pacific/Apia",
		"Asia/Kathmandu", "America/Los_Angeles", "Asia/Beirut",
	}
	world := demo.World()
	rapid.Check(t, func(t *rapid.T) {
		theater := world[rapid.IntRange(0, len(world)-1).Draw(t, "theater")]
		theater.Zone = rapid.SampledFrom(zones).Draw(t, "zone")
		// From four o'clock on: when clocks are put back at night, what has opened just before is shut on the clock again.
		theater.Opens = time.Duration(rapid.IntRange(4*12, 18*12).Draw(t, "opens")) * 5 * time.Minute
		theater.Closes = theater.Opens + time.Duration(rapid.IntRange(0, 24*12).Draw(t, "hours open"))*5*time.Minute
		films := rapid.SliceOfN(rapid.Custom(drawFilm), 0, 80).Draw(t, "films")
		first := day(2026, time.January, 1).AddDate(0, 0, rapid.IntRange(-19_000, 4_000).Draw(t, "day"))
		plan := demo.Plan([]demo.Theater{theater}, films, first, rapid.IntRange(0, 9).Draw(t, "days"), rapid.Uint64().Draw(t, "seed"))
		checkPlan(t, []demo.Theater{theater}, films, plan)
	})
}

func TestPlan_on_the_days_the_clocks_change(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	world := demo.World()
	for _, c := range []struct {
		theater string
		date    time.Time
		open    time.Duration
	}{
		{"london-lantern", day(2027, time.March, 27), 14*time.Hour + 30*time.Minute}, // closes before the change
		{"losangeles-sunset", day(2027, time.March, 13), 16 * time.Hour},             // closes the moment 2:00 becomes 3:00
		{"losangeles-sunset", day(2026, time.October, 31), 17 * time.Hour},           // 1:00 to 2:00 comes twice
		{"newyork-hudson", day(2026, time.October, 31), 15*time.Hour + 30*time.Minute},
		{"santiago-cordillera", day(2026, time.September, 5), 13 * time.Hour}, // midnight becomes 1:00, past closing
		{"santiago-cordillera", day(2027, time.April, 3), 14*time.Hour + 30*time.Minute},
	} {
		theater := world[slices.IndexFunc(world, func(t demo.Theater) bool { return t.Key == c.theater })]
		zone := zonesOf(t, world)[c.theater]
		opens := time.Date(c.date.Year(), c.date.Month(), c.date.Day(), 0, int(theater.Opens.Minutes()), 0, 0, zone)
		latest := opens
		for s := range uint64(60) { // the longest of so many possible evenings all but fills the opening hours
			for _, showing := range demo.Plan([]demo.Theater{theater}, films, c.date, 1, s) {
				if showing.OccupiedUntil.After(latest) {
					latest = showing.OccupiedUntil
				}
			}
		}
		if used := latest.Sub(opens); used > c.open || used < c.open-10*time.Minute {
			t.Errorf("%s on %s: open for %v, used for %v", c.theater, c.date.Format(time.DateOnly), c.open, used)
		}
	}
}

// The plan of a date never changes, on any machine: a database filled in parts by different builds must fit together.
func TestPlan_of_one_evening(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	var got []string
	for _, s := range demo.Plan(demo.World(), films, day(2026, time.December, 24), 1, seed) {
		if s.ScreenKey == "tokyo-hoshinoza-1" {
			hours := s.StartsAt.Format("15:04") + "-" + s.EndsAt.Format("15:04") + "-" + s.OccupiedUntil.Format("15:04")
			got = append(got, strings.Join([]string{hours, films[s.Film].Title, s.Format, s.Language, s.Subtitles}, " "))
		}
	}
	want := []string{
		"23:45-02:34-02:54 Jackie Brown 2D en ja",
		"02:55-05:22-05:42 I Am Sam 2D ja ",
		"06:00-08:33-08:53 The Matrix Reloaded IMAX en ja",
		"09:00-11:49-12:09 Jackie Brown 2D ja ",
		"12:15-14:48-15:08 The Matrix Reloaded IMAX en ja",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("showings (-want +got):\n%s", diff)
	}
}

func TestPlan_skips_a_date_its_zone_never_had(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	theater := demo.World()[0]
	theater.Zone = "Pacific/Apia"
	if plan := demo.Plan([]demo.Theater{theater}, films, day(2011, time.December, 30), 1, seed); len(plan) != 0 {
		t.Errorf("%d showings on a Friday that did not take place", len(plan))
	}
}

func TestPlan_panics_without_a_zone(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a theater without a zone was planned")
		}
	}()
	demo.Plan([]demo.Theater{{Key: "nowhere", Zone: "Nowhere/Land"}}, nil, day(2026, time.May, 1), 1, seed)
}

// drawFilm makes films of every length, shown or not.
func drawFilm(t *rapid.T) demo.Film {
	return demo.Film{
		Title:            "A Film",
		RunTimeMinutes:   rapid.IntRange(0, 260).Draw(t, "minutes"),
		Certificate:      rapid.SampledFrom([]string{"", "G", "PG", "R", "NC-17"}).Draw(t, "certificate"),
		Genre:            rapid.SampledFrom([]string{"", "Horror", "Drama", "Action"}).Draw(t, "genre"),
		IMDBRatingTenths: rapid.IntRange(0, 100).Draw(t, "rating"),
		IMDBVotes:        rapid.IntRange(0, 600_000).Draw(t, "votes"),
	}
}
