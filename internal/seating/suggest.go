package seating

import (
	"slices"

	"marquee/internal/seatfeed"
	"marquee/internal/theater"
)

// Suggest returns up to limit selections of free seats, as many as wanted, that could be taken instead of the wanted
// ones: side by side in one row, nearest first, not overlapping. A love seat is suggested whole or not at all, and
// wheelchair and companion places only to those who wanted one. It is pure and takes no longer than a pass over the map.
func Suggest(layout *theater.Layout, states []State, wanted []theater.Seat, limit int) [][]theater.Seat {
	if len(wanted) == 0 {
		return nil
	}
	var runs [][]theater.Seat
	allowed := allowedCategories(wanted)
	seats := slices.Clone(layout.Seats)
	slices.SortFunc(seats, func(a, b theater.Seat) int {
		if a.Y != b.Y {
			return int(a.Y) - int(b.Y)
		}
		return int(a.X) - int(b.X)
	})
	length := 0
	for i, seat := range seats {
		switch {
		case states[seat.Position-1] != seatfeed.Available || !allowed(seat.Category):
			length = 0
		case length > 0 && seat.Y == seats[i-1].Y && seat.X == seats[i-1].X+1:
			length++
		default:
			length = 1
		}
		if length >= len(wanted) {
			run := seats[i+1-len(wanted) : i+1]
			if wholeGroups(run, seats, i) {
				runs = append(runs, run)
			}
		}
	}
	slices.SortStableFunc(runs, func(a, b []theater.Seat) int { return distance(a, wanted) - distance(b, wanted) })

	var chosen [][]theater.Seat
	used := map[int16]bool{}
	for _, run := range runs {
		if len(chosen) == limit {
			break
		}
		if slices.ContainsFunc(run, func(s theater.Seat) bool { return used[s.Position] }) {
			continue
		}
		for _, seat := range run {
			used[seat.Position] = true
		}
		chosen = append(chosen, slices.Clone(run))
	}
	return chosen
}

// allowedCategories keeps wheelchair and companion places for those who asked for one.
func allowedCategories(wanted []theater.Seat) func(theater.Category) bool {
	special := slices.ContainsFunc(wanted, func(s theater.Seat) bool {
		return s.Category == theater.CategoryWheelchair || s.Category == theater.CategoryCompanion
	})
	return func(c theater.Category) bool {
		return special || (c != theater.CategoryWheelchair && c != theater.CategoryCompanion)
	}
}

// wholeGroups reports whether no group is cut by either end of the run, which ends at seats[last].
func wholeGroups(run, seats []theater.Seat, last int) bool {
	first := last + 1 - len(run)
	cut := func(inside, outside int) bool {
		return outside >= 0 && outside < len(seats) && seats[inside].GroupNo != 0 &&
			seats[inside].GroupNo == seats[outside].GroupNo && seats[inside].Y == seats[outside].Y
	}
	return !cut(first, first-1) && !cut(last, last+1)
}

// distance is how far the middle of a selection is from the middle of the wanted seats, in quarter seats; a row counts
// as one and a half seats, another category as three.
func distance(run, wanted []theater.Seat) int {
	const quarter = 4
	middle := func(seats []theater.Seat) (x, y int) {
		for _, seat := range seats {
			x += int(seat.X) * quarter
			y += int(seat.Y) * quarter
		}
		return x / len(seats), y / len(seats)
	}
	rx, ry := middle(run)
	wx, wy := middle(wanted)
	d := abs(rx-wx) + abs(ry-wy)*3/2
	for i, seat := range run {
		if seat.Category != wanted[i].Category {
			d += 3 * quarter
		}
	}
	return d
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
