//go:build linux

package main

// The letters that the seat map has for a seat.
const (
	available = byte('A')
	held      = byte('H')
	blocked   = byte('B')
)

// change is one event: a seat comes to a state.
type change struct {
	seat  int // from 1
	state byte
}

// plan is the sequence of changes of a phase, the same for both sides: the seats of a range are taken in turn, and given
// back in the same order so much later that no subscriber is told of a seat twice at one time.
type plan struct {
	first, count int  // the range
	state        byte // of a seat that is taken

	taken, returned int
	returning       bool
}

// distance is how many seats are taken at a time.
const distance = 60

// sales are the changes that viewers make, blocks those of the house. They do not meet.
func sales() *plan  { return &plan{first: 1, count: seats / 2, state: held} }
func blocks() *plan { return &plan{first: seats/2 + 1, count: seats / 2, state: blocked} }

// isBlock tells a change of the house from one of a viewer.
func isBlock(c change) bool { return c.seat > seats/2 }

func (p *plan) next() change {
	if p.returning = p.taken-p.returned >= distance && !p.returning; p.returning {
		c := change{p.first + p.returned%p.count, available}
		p.returned++
		return c
	}
	c := change{p.first + p.taken%p.count, p.state}
	p.taken++
	return c
}
