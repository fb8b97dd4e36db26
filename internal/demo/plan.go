package demo

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
	_ "time/tzdata" // the plan is the same on a machine without a zone database
)

// Showing is one projection of a film on a screen.
type Showing struct {
	TheaterKey, ScreenKey string
	Film                  int       // index into the films given to Plan
	StartsAt              time.Time // UTC; the trailers start
	EndsAt                time.Time // UTC; the film ends
	OccupiedUntil         time.Time // UTC; the screen is clean again
	Language              string    // BCP 47, of the sound
	Subtitles             string    // BCP 47, or "" for none
	Format                string    // one of the screen's
}

const (
	minRunTimeMinutes   = 60 // shorter films are no evening, longer ones need an interval
	maxShownMinutes     = 240
	startStep           = 5 * time.Minute
	filmsPerScreen      = 6 // films a screen alternates between in one week
	emptySlotStep       = 30 * time.Minute
	longestStartDelay   = 6 // in start steps, so that a theater's screens do not all open at once
	longestPauseInSteps = 3
)

// Plan returns the showings of days civil days from the date of from, ordered by theater, screen and start, in the
// order theaters and screens are given.
//
// The plan of one screen on one date depends on nothing but that screen, its theater's hours, zone and country, the
// films and the seed: not on from, on days, nor on the other screens, so missing dates can be added at any time.
//
// Starts are on five minutes of the theater's clock and not before it opens; the screen is clean when it closes, by
// the wall clock also on the days it is changed. Films of unknown run time, or outside 60 to 240 minutes, are never
// shown. Plan panics when a theater's zone is not an IANA zone.
func Plan(theaters []Theater, films []Film, from time.Time, days int, seed uint64) []Showing {
	first := civil(from)
	repertory := newRepertory(films, seed)
	programmes := map[int][]booking{}
	var plan []Showing
	for _, theater := range theaters {
		zone, err := time.LoadLocation(theater.Zone)
		if err != nil {
			panic(fmt.Errorf("demo: theater %s: %w", theater.Key, err))
		}
		for _, screen := range theater.Screens {
			for day := range days {
				date := first.AddDate(0, 0, day)
				week := weekOf(date)
				programme, known := programmes[week]
				if !known {
					programme = repertory.week(week)
					programmes[week] = programme
				}
				d := screenDay{
					theater: theater,
					screen:  screen,
					zone:    zone,
					films:   films,
					random:  randomFor(seed, "day", screen.Key, date.Format(time.DateOnly)),
				}
				d.programme = houseProgramme(programme, randomFor(seed, "week", screen.Key, fmt.Sprint(week)))
				plan = append(plan, d.showings(date)...)
			}
		}
	}
	return plan
}

// houseProgramme draws the films a screen shows in a week, the popular ones more often than the others.
func houseProgramme(programme []booking, random *rand.Rand) []booking {
	left := slices.Clone(programme)
	var drawn []booking
	for len(drawn) < filmsPerScreen && len(left) > 0 {
		i := draw(random, left, func(b booking) uint64 { return b.share })
		drawn = append(drawn, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return drawn
}

// screenDay plans one date of one screen.
type screenDay struct {
	theater   Theater
	screen    Screen
	zone      *time.Location
	films     []Film
	programme []booking
	random    *rand.Rand
}

func (d screenDay) showings(date time.Time) []Showing {
	closes := wallTime(d.zone, date, d.theater.Closes)
	start := wallTime(d.zone, date, d.theater.Opens)
	start = roundUp(start.Add(time.Duration(d.random.IntN(longestStartDelay+1)) * startStep))
	var shown []Showing
	before := -1
	for start.Before(closes) {
		film, ok := d.choose(start, closes, before)
		if !ok {
			start = start.Add(emptySlotStep)
			continue
		}
		showing := d.showing(film, start)
		shown = append(shown, showing)
		before = film
		pause := time.Duration(d.random.IntN(longestPauseInSteps+1)) * startStep
		start = roundUp(showing.OccupiedUntil).Add(pause)
	}
	return shown
}

// choose draws a film that fits before closing time and suits the hour; the one just shown has a third of its chance.
func (d screenDay) choose(start, closes time.Time, before int) (film int, ok bool) {
	hour := start.In(d.zone).Hour()
	i := draw(d.random, d.programme, func(b booking) uint64 {
		film := d.films[b.film]
		if start.Add(d.occupancy(film)).After(closes) {
			return 0
		}
		weight := 3 * b.share * appeal(film, hour)
		if b.film == before {
			weight /= 3
		}
		return weight
	})
	if i < 0 {
		return 0, false
	}
	return d.programme[i].film, true
}

func (d screenDay) showing(film int, start time.Time) Showing {
	f := d.films[film]
	language, subtitles := version(f, d.theater.CountryCode, d.random)
	ends := start.Add(minutes(d.screen.TrailerMinutes + f.RunTimeMinutes))
	return Showing{
		TheaterKey:    d.theater.Key,
		ScreenKey:     d.screen.Key,
		Film:          film,
		StartsAt:      start,
		EndsAt:        ends,
		OccupiedUntil: ends.Add(minutes(d.screen.CleaningMinutes)),
		Language:      language,
		Subtitles:     subtitles,
		Format:        format(f, d.screen.Formats, d.random),
	}
}

func (d screenDay) occupancy(f Film) time.Duration {
	return minutes(d.screen.TrailerMinutes + f.RunTimeMinutes + d.screen.CleaningMinutes)
}

// draw returns the index of an item with a chance proportional to its weight, or -1 when no item has any.
func draw[T any](random *rand.Rand, items []T, weight func(T) uint64) int {
	var total uint64
	for _, item := range items {
		total += weight(item)
	}
	if total == 0 {
		return -1
	}
	ticket := random.Uint64N(total)
	return slices.IndexFunc(items, func(item T) bool {
		w := weight(item)
		if ticket < w {
			return true
		}
		ticket -= w
		return false
	})
}

// randomFor returns the source of chance for one purpose; the same names give the same sequence for ever.
func randomFor(seed uint64, names ...string) *rand.Rand {
	h := fnv.New64a()
	for _, name := range names {
		_, _ = h.Write([]byte(name))
		_, _ = h.Write([]byte{0})
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// wallTime returns the first instant at which the clocks of a zone show offset past midnight of date, or more: where
// they show it twice that is the first time, where they skip it the moment they are put forward. A date that is skipped
// altogether, as 30 December 2011 was in Samoa, so opens and closes at one instant.
func wallTime(zone *time.Location, date time.Time, offset time.Duration) time.Time {
	wall := date.Add(offset)
	const day = 24 * time.Hour // no zone changes its clocks twice within two days
	before, after := instant(zone, wall, wall.Add(-day)), instant(zone, wall, wall.Add(day))
	switch {
	case shows(zone, before, wall):
		return before
	case shows(zone, after, wall):
		return after
	}
	change, _ := before.In(zone).ZoneBounds()
	return change
}

// instant returns when the clocks show wall if they go as they do at reference.
func instant(zone *time.Location, wall, reference time.Time) time.Time {
	_, offset := reference.In(zone).Zone()
	return wall.Add(-time.Duration(offset) * time.Second)
}

// shows reports whether the clocks of a zone show wall at t.
func shows(zone *time.Location, t, wall time.Time) bool {
	_, offset := t.In(zone).Zone()
	return t.Add(time.Duration(offset) * time.Second).Equal(wall)
}

// civil returns the date of t, as t's own zone has it, as midnight UTC.
func civil(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// weekOf numbers the weeks in which the programme stays the same, Thursday to Wednesday. 1 January 1970 was a Thursday.
func weekOf(date time.Time) int {
	days := int(date.Unix() / int64(24*time.Hour/time.Second))
	return floorDiv(days, 7)
}

// roundUp rounds to the next start on the clock: since 1972 every zone is a multiple of the step away from UTC.
func roundUp(t time.Time) time.Time {
	rounded := t.Truncate(startStep)
	if rounded.Before(t) {
		rounded = rounded.Add(startStep)
	}
	return rounded.UTC()
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// floorDiv divides by a positive number and rounds down, for dates before 1970 as well.
func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
