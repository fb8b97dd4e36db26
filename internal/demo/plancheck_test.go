package demo_test

import (
	"slices"
	"testing"
	"time"

	"marquee/internal/demo"
)

// reporter is what checks need of *testing.T and *rapid.T.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

func zonesOf(t reporter, theaters []demo.Theater) map[string]*time.Location {
	t.Helper()
	zones := map[string]*time.Location{}
	for _, theater := range theaters {
		zone, err := time.LoadLocation(theater.Zone)
		if err != nil {
			t.Fatalf("%s: %v", theater.Key, err)
		}
		zones[theater.Key] = zone
	}
	return zones
}

// wall reads the clock on the wall at t, as if it were UTC.
func wall(t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	year, month, date := local.Date()
	return time.Date(year, month, date, local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
}

// checkPlan checks each showing by itself and against the one before on its screen.
func checkPlan(t reporter, theaters []demo.Theater, films []demo.Film, plan []demo.Showing) {
	t.Helper()
	zones := zonesOf(t, theaters)
	type place struct {
		theater demo.Theater
		screen  demo.Screen
	}
	places := map[string]place{}
	for _, theater := range theaters {
		for _, screen := range theater.Screens {
			places[screen.Key] = place{theater, screen}
		}
	}
	var before demo.Showing
	for _, s := range plan {
		where, known := places[s.ScreenKey]
		if !known || where.theater.Key != s.TheaterKey {
			t.Fatalf("%+v is nowhere", s)
		}
		film := films[s.Film]
		if film.RunTimeMinutes < 60 || film.RunTimeMinutes > 240 {
			t.Fatalf("%+v shows a film of %d minutes", s, film.RunTimeMinutes)
		}
		trailersAndFilm := time.Duration(where.screen.TrailerMinutes+film.RunTimeMinutes) * time.Minute
		if s.EndsAt.Sub(s.StartsAt) != trailersAndFilm {
			t.Fatalf("%+v does not last %v", s, trailersAndFilm)
		}
		if s.OccupiedUntil.Sub(s.EndsAt) != time.Duration(where.screen.CleaningMinutes)*time.Minute {
			t.Fatalf("%+v is not cleaned for %d minutes", s, where.screen.CleaningMinutes)
		}
		if s.ScreenKey == before.ScreenKey && s.StartsAt.Before(before.OccupiedUntil) {
			t.Fatalf("%+v begins before the end of %+v", s, before)
		}
		if !slices.Contains(where.screen.Formats, s.Format) {
			t.Fatalf("%+v cannot be projected on a screen for %v", s, where.screen.Formats)
		}
		if s.Language == "" || s.Language == s.Subtitles {
			t.Fatalf("%+v has odd languages", s)
		}
		checkHours(t, where.theater, zones[s.TheaterKey], s)
		before = s
	}
}

// checkHours reads the wall clock at the start and through to the end: it must be the theater's opening hours
// throughout, also when the clock is changed meanwhile.
func checkHours(t reporter, theater demo.Theater, zone *time.Location, s demo.Showing) {
	t.Helper()
	start := wall(s.StartsAt, zone)
	if s.StartsAt.Location() != time.UTC || start.Minute()%5 != 0 || start.Second() != 0 {
		t.Fatalf("%+v starts at %v", s, start)
	}
	date := start.Truncate(24 * time.Hour)
	if start.Before(date.Add(theater.Opens)) {
		date = date.AddDate(0, 0, -1)
	}
	for at := s.StartsAt; at.Before(s.OccupiedUntil); at = at.Add(15 * time.Minute) {
		checkOpen(t, theater, date, wall(at, zone), s)
	}
	checkOpen(t, theater, date, wall(s.OccupiedUntil.Add(-time.Second), zone), s)
}

func checkOpen(t reporter, theater demo.Theater, date, wall time.Time, s demo.Showing) {
	t.Helper()
	if !wall.Before(date.Add(theater.Closes)) {
		t.Fatalf("%+v: at %v on the clock, but %s closes at %v on %s", s, wall, theater.Key, theater.Closes, date.Format(time.DateOnly))
	}
}

// checkWeeks looks at each whole week from Thursday to Wednesday, by the theaters' own calendars.
func checkWeeks(t *testing.T, world []demo.Theater, plan []demo.Showing) {
	t.Helper()
	thursday := day(1900, time.January, 4)
	zones := zonesOf(t, world)
	perWeek := map[int]map[int]bool{}
	perScreen := map[string]map[int]map[int]bool{}
	for _, s := range plan {
		local := wall(s.StartsAt, zones[s.TheaterKey]).Add(-6 * time.Hour)
		week := int(local.Sub(thursday).Hours()) / (7 * 24)
		if perScreen[s.ScreenKey] == nil {
			perScreen[s.ScreenKey] = map[int]map[int]bool{}
		}
		for _, films := range []map[int]map[int]bool{perWeek, perScreen[s.ScreenKey]} {
			if films[week] == nil {
				films[week] = map[int]bool{}
			}
			films[week][s.Film] = true
		}
	}
	first, last := 1<<60, 0
	for week := range perWeek {
		first, last = min(first, week), max(last, week)
	}
	for week := first + 1; week < last; week++ { // the outer weeks are cut
		if running := len(perWeek[week]); running < 40 || running > 60 {
			t.Errorf("%d films run in week %d", running, week)
		}
		fresh := 0
		for film := range perWeek[week] {
			if !perWeek[week-1][film] {
				fresh++
			}
		}
		if fresh < 4 || fresh > 40 {
			t.Errorf("%d films open in week %d", fresh, week)
		}
		for screen, weeks := range perScreen {
			if len(weeks[week]) > 6 {
				t.Errorf("%s shows %d films in week %d", screen, len(weeks[week]), week)
			}
		}
	}
}

// checkVersions compares the ways English films are shown in each country: dubbed, with subtitles, or as they are.
func checkVersions(t *testing.T, films []demo.Film, plan []demo.Showing) {
	t.Helper()
	type version struct{ theater, language, subtitles string }
	count, children := map[version]int{}, map[string]bool{}
	for _, s := range plan {
		count[version{s.TheaterKey, s.Language, s.Subtitles}]++
		if films[s.Film].Certificate == "G" {
			children[s.TheaterKey+" "+s.Language] = true
		}
	}
	for v, want := range map[version]string{
		{"london-lantern", "en", ""}:            "nearly all",
		{"newyork-hudson", "en", ""}:            "nearly all",
		{"sydney-harbourlights", "en", ""}:      "nearly all",
		{"kuwait-nakheel", "en", "ar"}:          "nearly all",
		{"berlin-spreebogen", "de", ""}:         "most",
		{"berlin-spreebogen", "en", "de"}:       "some",
		{"tokyo-hoshinoza", "en", "ja"}:         "most",
		{"tokyo-hoshinoza", "ja", ""}:           "some",
		{"santiago-cordillera", "en", "es-419"}: "some",
		{"santiago-cordillera", "es-419", ""}:   "some",
		{"mumbai-raag", "en", ""}:               "most",
		{"mumbai-raag", "hi", ""}:               "some",
		{"bengaluru-neelam", "hi", ""}:          "some",
		{"london-lantern", "en", "en"}:          "none",
		{"berlin-spreebogen", "en", ""}:         "none",
		{"mumbai-raag", "en", "en"}:             "none",
		{"santiago-cordillera", "es", "es-419"}: "none",
		{"berlin-spreebogen", "de", "de"}:       "none",
	} {
		all := 0
		for other, n := range count {
			if other.theater == v.theater {
				all += n
			}
		}
		share := map[string][2]int{"nearly all": {90, 100}, "most": {50, 89}, "some": {10, 59}, "none": {0, 0}}[want]
		if percent := 100 * count[v] / all; percent < share[0] || percent > share[1] || want == "none" && count[v] > 0 {
			t.Errorf("%+v is %d%% of the showings, want %s", v, percent, want)
		}
	}
	if !children["berlin-spreebogen de"] || children["berlin-spreebogen en"] || !children["mumbai-raag en"] || !children["mumbai-raag hi"] {
		t.Errorf("children hear %v", children)
	}
}

// checkPopularity compares the best and the least known fifth of the films that can be shown at all.
func checkPopularity(t *testing.T, films []demo.Film, plan []demo.Showing) {
	t.Helper()
	shown := map[int]int{}
	for _, s := range plan {
		shown[s.Film]++
	}
	var able []int
	for i, film := range films {
		if film.RunTimeMinutes >= 60 && film.RunTimeMinutes <= 240 {
			able = append(able, i)
		}
	}
	slices.SortFunc(able, func(a, b int) int { return films[b].IMDBVotes - films[a].IMDBVotes })
	fifth := len(able) / 5
	known, unknown := 0, 0
	for i := range fifth {
		known += shown[able[i]]
		unknown += shown[able[len(able)-1-i]]
	}
	if known < 10*unknown {
		t.Errorf("the best known fifth has %d showings, the least known %d", known, unknown)
	}
}
