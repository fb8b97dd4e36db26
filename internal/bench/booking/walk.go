package main

import "math/rand/v2"

// selection is what one request asks for.
type selection struct {
	showtime int
	first    int // seat number
	count    int
	step     int // 1, or -1 for descending order
	viewer   int
}

// seat returns the number of the i-th seat asked for.
func (s selection) seat(i int) int { return s.first + i*s.step }

const mostSeats = 6

// blocks is how many selections of the largest size fit into a showtime side by side, and spots how many there are.
const (
	blocks = seats / mostSeats
	spots  = showtimes * blocks
)

// spotAt turns a number below spots into a showtime and the first seat of a block that no other number has. Numbers that
// follow each other are blocks of one showtime.
func spotAt(n int) (showtime, first int) { return n / blocks, 1 + mostSeats*(n%blocks) }

// pick is one client's source of selections; false means that there are no more.
type pick func() (selection, bool)

// freePick walks the spots in an order that all clients share through next, so that every request asks for seats that
// nobody else asks for: what is timed is the successful reservation.
func freePick(random *rand.Rand, order []int, next func() int) pick {
	return func() (selection, bool) {
		n := next()
		if n >= len(order) {
			return selection{}, false
		}
		showtime, first := spotAt(order[n])
		return selection{
			showtime: showtime, first: first, count: 1 + random.IntN(mostSeats), step: 1, viewer: random.IntN(viewers),
		}, true
	}
}

// hotShowtime is the one that everybody wants.
const hotShowtime = 0

// hotPick asks for random neighbours of one showtime, half of the time in descending order.
func hotPick(random *rand.Rand) pick {
	return func() (selection, bool) {
		s := selection{showtime: hotShowtime, count: 1 + random.IntN(mostSeats), step: 1, viewer: random.IntN(viewers)}
		s.first = 1 + random.IntN(seats+1-s.count)
		if random.IntN(2) == 1 {
			s.first, s.step = s.first+s.count-1, -1
		}
		return s, true
	}
}
