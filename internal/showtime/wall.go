package showtime

import (
	"slices"
	"time"
)

// Repeated says which of two moments a wall time means that a clock shows twice, as it is set back.
type Repeated string

// The moments; "" is for times that come once.
const (
	RepeatedEarlier Repeated = "EARLIER"
	RepeatedLater   Repeated = "LATER"
)

// Wall is a time as a clock on the wall of a theater shows it.
type Wall struct {
	Time     time.Time // its date and clock; the location does not count
	Repeated Repeated  // counts only where the clock shows the time twice
}

// Moments returns when a clock in a zone shows a wall time, in order: never where clocks are set forward past it, twice where they are
// set back over it, else once.
func (w Wall) Moments(zone *time.Location) []time.Time {
	t := w.Time
	shown := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	// A time beside a change of the clock may be read by the offset before it, or by the one after it.
	guess := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
	begins, ends := guess.ZoneBounds()
	beside := []time.Time{guess}
	if !begins.IsZero() {
		beside = append(beside, begins.Add(-1))
	}
	if !ends.IsZero() {
		beside = append(beside, ends)
	}
	var moments []time.Time
	for _, near := range beside {
		_, offset := near.Zone()
		moment := shown.Add(-time.Duration(offset) * time.Second).In(zone)
		if _, same := moment.Zone(); same == offset {
			moments = append(moments, moment)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	return slices.CompactFunc(moments, time.Time.Equal)
}
