package showtime_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"marquee/internal/showtime"
)

func inZone(t interface{ Fatal(...any) }, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestWall_Moments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, wall string
		want       []string
	}{
		"an_ordinary_evening":      {"Europe/Berlin", "2026-06-01T20:00:00", []string{"2026-06-01T18:00:00Z"}},
		"skipped_in_spring":        {"Europe/Berlin", "2026-03-29T02:30:00", nil},
		"the_last_before_the_gap":  {"Europe/Berlin", "2026-03-29T01:59:59", []string{"2026-03-29T00:59:59Z"}},
		"the_first_after_the_gap":  {"Europe/Berlin", "2026-03-29T03:00:00", []string{"2026-03-29T01:00:00Z"}},
		"twice_in_autumn":          {"Europe/Berlin", "2026-10-25T02:30:00", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"}},
		"the_first_shown_twice":    {"Europe/Berlin", "2026-10-25T02:00:00", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"}},
		"the_first_shown_once":     {"Europe/Berlin", "2026-10-25T03:00:00", []string{"2026-10-25T02:00:00Z"}},
		"south_in_spring":          {"Australia/Sydney", "2026-10-04T02:30:00", nil},
		"south_in_autumn":          {"Australia/Sydney", "2026-04-05T02:30:00", []string{"2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"}},
		"half_an_hour_in_autumn":   {"Australia/Lord_Howe", "2026-04-05T01:45:00", []string{"2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"}},
		"a_day_that_never_was":     {"Pacific/Apia", "2011-12-30T12:00:00", nil},
		"where_clocks_stay":        {"Asia/Kolkata", "2026-03-29T02:30:00", []string{"2026-03-28T21:00:00Z"}},
		"where_clocks_are_without": {"UTC", "2026-03-29T02:30:00", []string{"2026-03-29T02:30:00Z"}},
	} {
		wall, err := time.Parse("2006-01-02T15:04:05", c.wall)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, moment := range (showtime.Wall{Time: wall}).Moments(inZone(t, c.zone)) {
			got = append(got, moment.UTC().Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestProperty_Wall_Moments compares with a walk over all quarters of an hour near changes of clocks and far from them.
func TestProperty_Wall_Moments(t *testing.T) {
	t.Parallel()
	names := []string{
		"Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Sydney", "Australia/Lord_Howe", "Africa/Casablanca",
		"Asia/Kolkata", "Asia/Kathmandu", "America/Santiago", "Pacific/Apia", "Pacific/Chatham", "Europe/Dublin", "UTC",
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := inZone(t, rapid.SampledFrom(names).Draw(t, "zone"))
		near := time.Unix(rapid.Int64Range(1_300_000_000, 1_900_000_000).Draw(t, "near"), 0)
		if _, change := near.In(zone).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "atChange") {
			near = change
		}
		near = near.Truncate(15 * time.Minute).Add(time.Duration(rapid.IntRange(-12, 12).Draw(t, "quarters")) * 15 * time.Minute)
		shown := near.In(zone)
		wall := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), 0, 0, time.UTC)
		wall = wall.Add(time.Duration(rapid.IntRange(-6, 6).Draw(t, "aside")) * 15 * time.Minute)

		const clock = "2006-01-02 15:04"
		var want []time.Time
		for moment := wall.Add(-26 * time.Hour); moment.Before(wall.Add(26 * time.Hour)); moment = moment.Add(15 * time.Minute) {
			if moment.In(zone).Format(clock) == wall.Format(clock) {
				want = append(want, moment)
			}
		}
		got := showtime.Wall{Time: wall}.Moments(zone)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s in %s: %v, want %v", wall.Format(clock), zone, got, want)
		}
		for _, moment := range got {
			if moment.Format(clock) != wall.Format(clock) {
				t.Fatalf("%s reads %s", wall.Format(clock), moment.Format(clock))
			}
		}
	})
}
