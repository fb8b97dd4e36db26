package seating

import (
	"slices"

	"marquee/internal/seatfeed"
	"marquee/internal/theater"
)

// Suggest returns up to limit selections of free seats, as many as wanted, that could be taken instead of the wanted
// ones: side by side in one row, nearest first, not overlapping. A love seat is suggested whole or not at all, and
// wheelchair and companion places only to those who wanted one. It is pure and takes a pass over the map.
func Suggest(layout *theater.Layout, states []State, wanted []theater.Seat, limit int) [][]theater.Seat {
	if len(wanted) == 0 {
		return nil
	}
	candidates := candidatesFor(layout, states, wanted)
	var chosen [][]theater.Seat
	for len(chosen) < limit && len(candidates) > 0 {
		nearest := slices.MinFunc(candidates, func(a, b candidate) int { return a.distance - b.distance })
		chosen = append(chosen, layout.SeatsAt(layout.RowOrder()[nearest.first:nearest.first+len(wanted)]))
		candidates = slices.DeleteFunc(candidates, func(c candidate) bool { return abs(c.first-nearest.first) < len(wanted) })
	}
	return chosen
}

// candidate is a run of free seats, as many as wanted.
type candidate struct {
	first    int // of the run, in the layout's row order
	distance int // from the wanted seats, in quarter seats
}

// candidatesFor returns all runs that could be taken, in row order.
func candidatesFor(layout *theater.Layout, states []State, wanted []theater.Seat) []candidate {
	allowed := allowedCategories(wanted)
	order := layout.RowOrder()
	seat := func(i int) *theater.Seat { return &layout.Seats[order[i]-1] }
	from := middleOf(len(wanted), func(i int) *theater.Seat { return &wanted[i] })
	var found []candidate
	length := 0
	for i := range order {
		switch s := seat(i); {
		case states[s.Position-1] != seatfeed.Available || !allowed(s.Category):
			length = 0
			continue
		case length > 0 && s.Y == seat(i-1).Y && s.X == seat(i-1).X+1:
			length++
		default:
			length = 1
		}
		first := i + 1 - len(wanted)
		if length < len(wanted) || cutsGroup(layout, first, len(wanted)) {
			continue
		}
		c := candidate{first, middleOf(len(wanted), func(k int) *theater.Seat { return seat(first + k) }).distance(from)}
		for k := range wanted {
			if seat(first+k).Category != wanted[k].Category {
				c.distance += otherCategory
			}
		}
		found = append(found, c)
	}
	return found
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

// cutsGroup reports whether either end of the run, n seats from first in row order, parts a group.
func cutsGroup(layout *theater.Layout, first, n int) bool {
	order := layout.RowOrder()
	parts := func(inside, outside int) bool {
		if outside < 0 || outside >= len(order) {
			return false
		}
		in, out := &layout.Seats[order[inside]-1], &layout.Seats[order[outside]-1]
		return in.GroupNo != 0 && in.GroupNo == out.GroupNo && in.Y == out.Y
	}
	return parts(first, first-1) || parts(first+n-1, first+n)
}

// Distances are in quarter seats, so that the middle of two seats is a whole number.
const (
	quarter       = 4
	otherCategory = 3 * quarter
)

// middle is the centre of a selection on the drawing grid, in quarter seats.
type middle struct{ x, y int }

func middleOf(n int, seat func(int) *theater.Seat) middle {
	var m middle
	for i := range n {
		m.x += int(seat(i).X) * quarter
		m.y += int(seat(i).Y) * quarter
	}
	return middle{m.x / n, m.y / n}
}

// distance counts a row as one and a half seats.
func (m middle) distance(other middle) int {
	return abs(m.x-other.x) + abs(m.y-other.y)*3/2
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
