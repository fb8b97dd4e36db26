package seating

import (
	"iter"
	"math/bits"
	"slices"

	"marquee/internal/theater"
)

// Best returns up to limit selections of free seats that fulfil a wish, the best first, none overlapping another. All
// seats of a party are side by side in one row; only when there are too few such selections, and the wish allows it,
// it is parted into two groups, as equal as can be, one behind the other or across an aisle. What the house protects
// is kept: a love seat is taken whole or not at all, wheelchair places go to those who ask for them, and their companion
// seats to those who come along. The same wish for the same seats always has the same answer.
//
// It is pure. It takes some passes over the map, and for groups looks at each pair of runs in neighbouring rows.
func Best(layout *theater.Layout, states []State, wish Wish, weights Weights, limit int) []Selection {
	if wish.Seats < 1 || limit < 1 {
		return nil
	}
	h := newHall(layout, states, wish, weights)
	chosen := h.choose(nil, slices.Values(h.together()), limit)
	if !wish.Together {
		for larger := (wish.Seats + 1) / 2; larger < wish.Seats && len(chosen) < limit; larger++ {
			chosen = h.choose(chosen, h.split(larger), limit)
		}
	}
	return h.selections(chosen)
}

// candidate is a selection under consideration: one run, or two.
type candidate struct {
	one, other *run // other is noRun when all are together
	score      int
}

// noRun is a run without seats. It is never changed.
var noRun = &run{}

func (c candidate) split() bool { return c.other != noRun }

func (c candidate) price() int64 { return c.one.price + c.other.price }

func (c candidate) overlaps(d candidate) bool {
	return meet(c.one, d.one) || meet(c.one, d.other) || meet(c.other, d.one) || meet(c.other, d.other)
}

func meet(a, b *run) bool { return a.first < b.end && b.first < a.end }

// together returns every selection in one run.
func (h *hall) together() []candidate {
	runs := h.runs(h.wish.Seats)
	found := make([]candidate, 0, len(runs))
	for i := range runs {
		if c, ok := h.candidate(&runs[i], noRun); ok {
			found = append(found, c)
		}
	}
	return found
}

// split yields every selection in two runs, one of them of so many seats and the other of the rest, that are near enough
// for one party.
func (h *hall) split(larger int) iter.Seq[candidate] {
	large := h.runs(larger)
	small := large
	if rest := h.wish.Seats - larger; rest != larger {
		small = h.runs(rest)
	}
	return func(yield func(candidate) bool) {
		from := 0
		for i := range large {
			a := &large[i]
			// Both are in row order: what is far in front of a is far in front of all that follow.
			for from < len(small) && h.seats[small[from].first].row < h.seats[a.first].row-1 {
				from++
			}
			for j := range small[from:] {
				b := &small[from+j]
				if h.seats[b.first].row > h.seats[a.first].row+1 {
					break
				}
				if !h.near(a, b) {
					continue
				}
				if c, ok := h.candidate(a, b); ok && !yield(c) {
					return
				}
			}
		}
	}
}

// acrossAisle is the widest gap, in seats, over which two groups are still one party.
const acrossAisle = 2

// near reports whether two groups can be one party: one behind the other, or across an aisle with nobody between.
func (h *hall) near(a, b *run) bool {
	if h.seats[a.first].row != h.seats[b.first].row {
		return h.seats[a.first].X <= h.seats[b.end-1].X && h.seats[b.first].X <= h.seats[a.end-1].X
	}
	return (a.end == b.first || b.end == a.first) && h.gap(a, b) > 0 && h.gap(a, b) <= acrossAisle
}

// gap is how many seats' widths are between two groups in one row, and how many seats aside and rows beyond the next a
// group is of the one in front of it.
func (h *hall) gap(a, b *run) int {
	if b == noRun {
		return 0
	}
	if h.seats[a.first].row != h.seats[b.first].row {
		aside := abs(a.x*quarter/(a.end-a.first)-b.x*quarter/(b.end-b.first)) / quarter
		return aside + abs(int(h.seats[a.first].Y)-int(h.seats[b.first].Y)) - 1
	}
	return max(int(h.seats[b.first].X)-int(h.seats[a.end-1].X), int(h.seats[a.first].X)-int(h.seats[b.end-1].X)) - 1
}

// candidate judges a selection; ok is false when the wish forbids it.
func (h *hall) candidate(one, other *run) (c candidate, ok bool) {
	c = candidate{one: one, other: other}
	if one.wheelchairs+other.wheelchairs != h.wish.Wheelchairs {
		return c, false
	}
	if h.wish.Ceiling != nil && c.price() > *h.wish.Ceiling {
		return c, false
	}
	c.score = h.far(h.middle(c)) + one.flaws + other.flaws + h.gap(one, other)*h.weights.Gap
	if len(h.wish.Near) > 0 {
		c.score += h.otherThanWanted(c) * h.weights.Category
	} else {
		c.score += (bits.OnesCount8(one.kinds|other.kinds) - 1) * h.weights.Mixed
	}
	return c, true
}

func (h *hall) middle(c candidate) middle {
	n := h.wish.Seats
	return middle{(c.one.x + c.other.x) * quarter / n, (c.one.y + c.other.y) * quarter / n}
}

// otherThanWanted is how many seats are of a category of which the party wanted no more.
func (h *hall) otherThanWanted(c candidate) int {
	wanted := h.wanted
	n := 0
	for i := range h.numbers(c) {
		if kind := h.seats[i].kind; wanted[kind] > 0 {
			wanted[kind]--
		} else {
			n++
		}
	}
	return n
}

// numbers yields the numbers of a candidate's seats, in row order.
func (h *hall) numbers(c candidate) iter.Seq[int] {
	return func(yield func(int) bool) {
		first, last := c.one, c.other
		if c.split() && last.first < first.first {
			first, last = last, first
		}
		for _, r := range []*run{first, last} {
			for i := r.first; i < r.end; i++ {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// choose adds the best candidates, as many as limit allows, to those chosen before, which they do not overlap.
func (h *hall) choose(chosen []candidate, candidates iter.Seq[candidate], limit int) []candidate {
	for len(chosen) < limit {
		var best candidate
		found := false
		for c := range candidates {
			if (!found || h.better(c, best)) && !slices.ContainsFunc(chosen, c.overlaps) {
				best, found = c, true
			}
		}
		if !found {
			break
		}
		chosen = append(chosen, best)
	}
	return chosen
}

// better reports whether c is better than d. It is an order: of two candidates one is better.
func (h *hall) better(c, d candidate) bool {
	if c.score != d.score {
		return c.score < d.score
	}
	a, b := h.lot(c), h.lot(d)
	return a < b || a == b && (c.one.first < d.one.first || c.one.first == d.one.first && c.other.first < d.other.first)
}

// lot is what the seed draws for a candidate: 0 for all without one.
func (h *hall) lot(c candidate) uint64 {
	if h.wish.Seed == 0 {
		return 0
	}
	// The steps of splitmix64, which scatters numbers that differ little.
	z := h.wish.Seed + uint64(c.one.first)<<32 + uint64(c.other.first) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func abs(n int) int { return max(n, -n) }

const (
	nearWanted = 3 * quarter // the distance that is still near
	bestRows   = 1           // rows from the best one that are as good
	centralOf  = 10          // the part of the width, one in so many, that either side of the middle is central
)

// selections turns candidates into what the caller sees.
func (h *hall) selections(chosen []candidate) []Selection {
	var all []Selection
	cheapest, dearest := int64(0), int64(0)
	for i, c := range chosen {
		if i == 0 {
			cheapest, dearest = c.price(), c.price()
		}
		cheapest, dearest = min(cheapest, c.price()), max(dearest, c.price())
	}
	for _, c := range chosen {
		var s Selection
		for i := range h.numbers(c) {
			s.Seats = append(s.Seats, *h.seats[i].Seat)
		}
		s.Reasons = h.reasons(c)
		if c.price() == cheapest && cheapest < dearest {
			s.Reasons = append(s.Reasons, ReasonCheapest)
		}
		all = append(all, s)
	}
	return all
}

// reasons says what speaks for a candidate.
func (h *hall) reasons(c candidate) []Reason {
	at := h.middle(c)
	left, right := h.sides()
	reasons := []Reason{ReasonTogether}
	if c.split() {
		reasons[0] = ReasonSplit
	}
	add := func(reason Reason, holds bool) {
		if holds {
			reasons = append(reasons, reason)
		}
	}
	near := len(h.wish.Near) > 0
	add(ReasonNear, near && h.far(at) <= nearWanted*h.weights.Side/quarter)
	add(ReasonCentral, !near && abs(at.x-h.target.x) <= (right-left+1)*quarter/centralOf)
	add(ReasonBestRows, !near && abs(at.y-h.target.y) <= bestRows*quarter)
	add(ReasonAccessible, h.wish.Wheelchairs > 0)
	add(ReasonPreferred, len(h.wish.Categories) > 1 && c.one.kinds|c.other.kinds == 1<<kindOf(h.wish.Categories[0]))
	add(ReasonNoSingle, c.one.singles+c.other.singles == 0)
	return reasons
}
