package seating

import (
	"slices"

	"marquee/internal/seatfeed"
	"marquee/internal/theater"
)

// hall is a seat map as a wish sees it: the seats in row order, by which everything here is numbered.
type hall struct {
	wish    Wish
	weights Weights
	seats   []place
	rows    int32
	terms   [kinds]terms
	target  middle
	wanted  [kinds]int   // how many of wish.Near are of each kind
	room    map[int]bool // what roomy found, by size
}

// place is a seat of a hall.
type place struct {
	*theater.Seat

	row     int32
	kind    uint8 // of its category
	free    bool
	allowed bool // free, and of use for the wish
	open    bool // sold, and no protected place: it goes to anybody
	joined  bool // the seat before it is its neighbour
	block   bool // and in the same block, see EdgesOf
}

// terms are what a category is to a wish.
type terms struct {
	sold    bool
	allowed bool
	rank    int   // in the wishes
	price   int64 // in minor units
}

func newHall(layout *theater.Layout, states []State, wish Wish, weights Weights) *hall {
	order := layout.RowOrder()
	h := &hall{wish: wish, weights: weights, seats: make([]place, len(order))}
	for kind, category := range categories {
		h.terms[kind] = wish.termsOf(category)
	}
	for i, position := range order {
		seat := &layout.Seats[position-1]
		kind := kindOf(seat.Category)
		free := states[position-1] == seatfeed.Available
		p := place{
			Seat: seat, kind: kind, free: free, allowed: free && h.terms[kind].allowed,
			open: h.terms[kind].sold && kind != wheelchair && kind != companion,
		}
		if i == 0 || h.seats[i-1].Y != seat.Y {
			h.rows++
		} else {
			before := &h.seats[i-1]
			p.joined = before.X+1 == seat.X
			p.block = p.joined && p.open && before.open && p.GroupNo == before.GroupNo
		}
		p.row = h.rows
		h.seats[i] = p
	}
	h.target = h.bestPoint()
	for _, seat := range wish.Near {
		h.wanted[kindOf(seat.Category)]++
	}
	return h
}

// bestPoint is where the party wants to sit: with the wanted seats, or in the middle two thirds from the screen.
func (h *hall) bestPoint() middle {
	if len(h.wish.Near) > 0 {
		return middleOf(h.wish.Near)
	}
	if len(h.seats) == 0 {
		return middle{}
	}
	left, right := h.sides()
	front, back := int(h.seats[0].Y), int(h.seats[len(h.seats)-1].Y)
	return middle{x: (left + right) * quarter / 2, y: front*quarter + (back-front)*quarter*2/3}
}

// sides returns where the leftmost and the rightmost seat are.
func (h *hall) sides() (left, right int) {
	left, right = int(h.seats[0].X), int(h.seats[0].X)
	for _, p := range h.seats {
		left, right = min(left, int(p.X)), max(right, int(p.X))
	}
	return left, right
}

// quarter is the unit of distances: a quarter of a seat, so that the middle of two seats is a whole number.
const quarter = 4

// middle is the centre of seats on the drawing grid, in quarter seats.
type middle struct{ x, y int }

func middleOf(seats []theater.Seat) middle {
	var m middle
	for _, seat := range seats {
		m.x += int(seat.X) * quarter
		m.y += int(seat.Y) * quarter
	}
	return middle{m.x / len(seats), m.y / len(seats)}
}

// far is how far a point is from where the party wants to sit.
func (h *hall) far(at middle) int {
	return abs(at.x-h.target.x)*h.weights.Side/quarter + abs(at.y-h.target.y)*h.weights.Row/quarter
}

// run is neighbouring seats in one row that a party, or one of its groups, could take.
type run struct {
	first, end  int // the numbers of its seats: from first to before end
	x, y        int // sums of the seats' places on the grid
	wheelchairs int
	price       int64
	flaws       int   // what counts against it wherever it is
	singles     int   // seats that it leaves alone
	kinds       uint8 // of its seats, a bit for each
}

// runs returns every run of n seats, in row order.
func (h *hall) runs(n int) []run {
	var found []run
	length := 0
	for i := range h.seats {
		switch p := &h.seats[i]; {
		case !p.allowed:
			length = 0
			continue
		case length > 0 && p.joined:
			length++
		default:
			length = 1
		}
		if length < n {
			continue
		}
		if r, ok := h.runAt(i+1-n, i+1); ok {
			found = append(found, r)
		}
	}
	return found
}

// runAt returns the run of allowed neighbours from first to before end; ok is false when it takes what it should not.
func (h *hall) runAt(first, end int) (r run, ok bool) {
	if h.partsGroup(first-1) || h.partsGroup(end-1) {
		return run{}, false
	}
	r = run{first: first, end: end}
	for i := first; i < end; i++ {
		p := &h.seats[i]
		switch p.kind {
		case wheelchair:
			r.wheelchairs++
		case companion:
			if !h.hasPosition(first, end, p.CompanionNo) {
				return run{}, false
			}
		default:
		}
		r.x, r.y = r.x+int(p.X), r.y+int(p.Y)
		r.price += h.terms[p.kind].price
		r.flaws += h.terms[p.kind].rank * h.weights.Category
		r.kinds |= 1 << p.kind
	}
	r.singles = h.singleBefore(first) + h.singleAfter(end)
	r.flaws += r.singles * h.weights.Single
	if h.wish.NoneAlone && r.singles > 0 && r.wheelchairs == 0 && h.roomy(end-first) {
		return run{}, false
	}
	return r, true
}

// categories are all there are, by their kinds.
var categories = [kinds]theater.Category{
	theater.CategoryStandard, theater.CategoryPremium, theater.CategoryRecliner, theater.CategoryLoveSeat,
	wheelchair: theater.CategoryWheelchair, companion: theater.CategoryCompanion,
}

const (
	wheelchair = 4
	companion  = 5
	kinds      = 6
)

// kindOf numbers the categories.
func kindOf(c theater.Category) uint8 { return uint8(slices.Index(categories[:], c)) }

func (h *hall) hasPosition(first, end int, position int16) bool {
	for i := first; i < end; i++ {
		if h.seats[i].Position == position {
			return true
		}
	}
	return false
}

// neighbours reports whether the seats numbered i and i+1 exist side by side.
func (h *hall) neighbours(i int) bool { return i >= 0 && i+1 < len(h.seats) && h.seats[i+1].joined }

// partsGroup reports whether a cut between the seats numbered i and i+1 parts what is sold whole.
func (h *hall) partsGroup(i int) bool {
	return h.neighbours(i) && h.seats[i].GroupNo != 0 && h.seats[i].GroupNo == h.seats[i+1].GroupNo
}

// singleBefore is 1 when a run that begins at first leaves the seat before it alone.
func (h *hall) singleBefore(first int) int {
	i := first - 1
	if !h.inBlock(i) || !h.seats[i].free || h.inBlock(i-1) && h.seats[i-1].free {
		return 0
	}
	return 1
}

// singleAfter is 1 when a run that ends before end leaves the seat after it alone.
func (h *hall) singleAfter(end int) int {
	if !h.inBlock(end-1) || !h.seats[end].free || h.inBlock(end) && h.seats[end+1].free {
		return 0
	}
	return 1
}

// inBlock reports whether the seats numbered i and i+1 are neighbours in one block.
func (h *hall) inBlock(i int) bool { return i >= 0 && i+1 < len(h.seats) && h.seats[i+1].block }

// roomy is Roomy.
func (h *hall) roomy(n int) bool {
	if found, known := h.room[n]; known {
		return found
	}
	found, length := false, 0
	for i := range h.seats {
		switch p := &h.seats[i]; {
		case !p.free || !p.open:
			length = 0
		case length > 0 && p.joined:
			length++
		default:
			length = 1
		}
		first, end := i+1-n, i+1
		if length >= n && !h.partsGroup(first-1) && !h.partsGroup(i) && h.singleBefore(first)+h.singleAfter(end) == 0 {
			found = true
			break
		}
	}
	if h.room == nil {
		h.room = map[int]bool{}
	}
	h.room[n] = found
	return found
}
