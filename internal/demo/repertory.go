package demo

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
)

const (
	programmeSize   = 60 // films that run at the same time
	longestRunWeeks = 6
)

// repertory decides which films run in which week, for the past and the future alike.
//
// Sixty lines of films run side by side. Each film belongs to one line, which shows its films one after the other and
// begins again after the last, so no film runs twice at a time. A popular film runs up to six weeks, an unknown one two.
type repertory struct {
	lines []line
}

type line struct {
	runs  []run
	weeks int // until the line begins again
	shift int // weeks by which the line is ahead of the calendar
}

type run struct {
	film, weeks int
	popularity  uint64
}

// booking is a film that runs in a week. Its share is its weight against the others, largest when it opens.
type booking struct {
	film  int
	share uint64
}

func newRepertory(films []Film, seed uint64) repertory {
	var shown []run
	for i, film := range films {
		if film.RunTimeMinutes >= minRunTimeMinutes && film.RunTimeMinutes <= maxShownMinutes {
			shown = append(shown, run{film: i, popularity: popularity(film)})
		}
	}
	slices.SortStableFunc(shown, func(a, b run) int { return cmp.Compare(b.popularity, a.popularity) })
	lines := make([]line, min(programmeSize, len(shown)))
	for rank, run := range shown {
		tier := rank * (longestRunWeeks - 1) / len(shown)
		run.weeks = longestRunWeeks - tier
		l := &lines[rank%len(lines)]
		l.runs = append(l.runs, run)
	}
	for i := range lines {
		random := randomFor(seed, "line", strconv.Itoa(i))
		l := &lines[i]
		random.Shuffle(len(l.runs), func(a, b int) { l.runs[a], l.runs[b] = l.runs[b], l.runs[a] })
		for _, r := range l.runs {
			l.weeks += r.weeks
		}
		l.shift = random.IntN(l.weeks)
	}
	return repertory{lines}
}

// week returns what runs in a week, one film of each line.
func (r repertory) week(number int) []booking {
	programme := make([]booking, 0, len(r.lines))
	for _, l := range r.lines {
		at := number + l.shift
		at -= floorDiv(at, l.weeks) * l.weeks
		for _, run := range l.runs {
			if at < run.weeks {
				programme = append(programme, booking{film: run.film, share: max(1, run.popularity*4/uint64(4+at))})
				break
			}
			at -= run.weeks
		}
	}
	return programme
}

// popularity weighs a film by its rating and by how many people voted at all: 1 for an unknown film to some 3,000.
// Integers, so that every machine draws the same films.
func popularity(f Film) uint64 {
	liked := uint64(f.IMDBRatingTenths) * uint64(bits.Len(uint(f.IMDBVotes)))
	return 1 + liked*liked/1000
}
