package seating

import (
	"slices"

	"marquee/internal/seatfeed"
	"marquee/internal/seatno"
	"marquee/internal/theater"
)

// What a selection of seats does to the seats around it. All of it follows from the layout, which never changes, so that
// the claim of the seats only has to look at two or three seats more.
//
// A block is neighbouring seats in one row that go to anybody together. An aisle and the end of the row end it, and so do
// places for wheelchairs and their companions, seats that are not sold, and the edges of a love seat, which is a block of
// its own: whoever takes half of one leaves the other half alone. A free seat is alone when it has no free seat beside it
// in its block. Places for wheelchairs and companions are never alone, since they are not for whoever comes next; and a
// group with a wheelchair sits where its place is, so it may leave a seat alone.

// Edges are the seats beside a selection in their blocks, one at each place of the lists.
type Edges struct {
	Beside seatno.List // each once, in ascending order
	Beyond seatno.List // the seat on the other side of it; 0 where its block ends, or a selected seat is
	Size   []int       // how many selected seats side by side it lies beside
}

// EdgesOf returns the seats beside a selection. Categories without a price are not sold. It is pure.
func EdgesOf(layout *theater.Layout, positions []int16, prices map[theater.Category]int64) Edges {
	b := blocks{layout, prices}
	type edge struct {
		beside, beyond int16
		size           int
	}
	var found []edge
	for _, position := range positions {
		left, right := layout.Beside(position)
		for side, beside := range [2]int16{left, right} {
			if beside == 0 || slices.Contains(positions, beside) || !b.same(position, beside) {
				continue
			}
			size, accessible := b.group(positions, position)
			if accessible {
				continue
			}
			if i := slices.IndexFunc(found, func(e edge) bool { return e.beside == beside }); i >= 0 { // from the other side already
				found[i].size = min(found[i].size, size)
				continue
			}
			next := [2]int16{}
			next[0], next[1] = layout.Beside(beside)
			beyond := next[side]
			if beyond != 0 && (slices.Contains(positions, beyond) || !b.same(beside, beyond)) {
				beyond = 0
			}
			found = append(found, edge{beside, beyond, size})
		}
	}
	slices.SortFunc(found, func(a, b edge) int { return int(a.beside) - int(b.beside) })
	var edges Edges
	for _, e := range found {
		edges.Beside, edges.Beyond, edges.Size = append(edges.Beside, e.beside), append(edges.Beyond, e.beyond), append(edges.Size, e.size)
	}
	return edges
}

// Alone returns those of the seats beside that are free and would be left alone.
func (e Edges) Alone(states []State) seatno.List {
	var alone seatno.List
	for i, beside := range e.Beside {
		beyond := e.Beyond[i]
		if states[beside-1] == seatfeed.Available && (beyond == 0 || states[beyond-1] != seatfeed.Available) {
			alone = append(alone, beside)
		}
	}
	return alone
}

// blocks tells where blocks end.
type blocks struct {
	layout *theater.Layout
	prices map[theater.Category]int64
}

// same reports whether two neighbours are in one block.
func (b blocks) same(one, other int16) bool {
	a, c := &b.layout.Seats[one-1], &b.layout.Seats[other-1]
	return a.GroupNo == c.GroupNo && b.open(a) && b.open(c)
}

// open reports whether a seat goes to anybody.
func (b blocks) open(seat *theater.Seat) bool {
	_, sold := b.prices[seat.Category]
	return sold && seat.Category != theater.CategoryWheelchair && seat.Category != theater.CategoryCompanion
}

// group returns how many selected seats are side by side where one is, and whether a place for a wheelchair is among them.
func (b blocks) group(positions []int16, at int16) (size int, accessible bool) {
	for left, _ := b.layout.Beside(at); left != 0 && slices.Contains(positions, left); left, _ = b.layout.Beside(at) {
		at = left
	}
	for ; at != 0 && slices.Contains(positions, at); _, at = b.layout.Beside(at) {
		size++
		accessible = accessible || b.layout.Seats[at-1].Category == theater.CategoryWheelchair
	}
	return size, accessible
}

// Protected returns the seats of a selection that are kept for others: places for wheelchairs, unless the party needs
// one, and companion seats without the place that they belong to. It is pure.
func Protected(seats []theater.Seat, needed bool) (wheelchairs, companions []theater.Seat) {
	for _, seat := range seats {
		switch seat.Category {
		case theater.CategoryWheelchair:
			if !needed {
				wheelchairs = append(wheelchairs, seat)
			}
		case theater.CategoryCompanion:
			if !slices.ContainsFunc(seats, func(s theater.Seat) bool { return s.Position == seat.CompanionNo }) {
				companions = append(companions, seat)
			}
		default:
		}
	}
	return wheelchairs, companions
}

// Roomy reports whether so many could sit side by side somewhere, in seats that go to anybody, and leave no seat alone. It
// is pure, and takes one pass over the map.
func Roomy(layout *theater.Layout, states []State, prices map[theater.Category]int64, n int) bool {
	return newHall(layout, states, Wish{Seats: n, Prices: prices}, Weights{}).roomy(n)
}
