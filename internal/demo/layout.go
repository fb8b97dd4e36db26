package demo

import "fmt"

// SeatCategory is what a seat is sold as.
type SeatCategory string

// Seat categories.
const (
	Standard   SeatCategory = "STANDARD"
	Premium    SeatCategory = "PREMIUM"
	Recliner   SeatCategory = "RECLINER"
	LoveSeat   SeatCategory = "LOVE_SEAT"
	Wheelchair SeatCategory = "WHEELCHAIR"
	Companion  SeatCategory = "COMPANION"
)

// Layout is the seating of one screen. Validate tells what a sound layout is.
type Layout struct {
	Rows         int   // rows of seats
	Width, Depth int16 // extent of the grid: X runs from 1 to Width, Y from 1 at the screen to Depth
	Seats        []Seat
}

// Seat is one place. Two seats are neighbours when Y is the same and X differs by one: an aisle is a gap in X, a
// cross aisle a gap in Y.
type Seat struct {
	No          int16  // 1 to N without gaps, row by row from the screen outwards, left to right
	Row         string // A is the row next to the screen; I and O are skipped, as on real seats
	Number      int16  // printed on the seat: 1 to n without gaps within the row, left to right
	X, Y        int16
	Category    SeatCategory
	Group       int16 // seats sold together share a number above 0
	CompanionOf int16 // for a COMPANION the No of the WHEELCHAIR place beside it, else 0
}

// Label returns the seat as people call it, such as F12.
func (s Seat) Label() string { return fmt.Sprintf("%s%d", s.Row, s.Number) }

// seatPlan describes the seating of a screen in a few numbers. Wing blocks grow from the front row to the last one,
// fast at first, so the rows follow the curve of the walls; the aisles stay straight.
type seatPlan struct {
	rows        int
	centre      int    // seats between two aisles; 0 where the wings meet
	wings       [2]int // seats of each wing in the first and in the last row
	aisle       bool   // where the wings meet: whether an aisle parts them
	crossAisle  int    // rows in front of the cross aisle; 0 without one
	premium     [2]int // first and last row, counted from 1, whose middle half is PREMIUM
	recliners   int    // rows of RECLINER seats at the back, in front of the love seats
	loveSeats   bool   // whether the last row is sold in pairs
	wheelchairs int    // places in the row behind the cross aisle, or in the first row; at most 4
}

// build lays out the seats.
func (p seatPlan) build() Layout {
	layout := Layout{Rows: p.rows, Width: p.width(), Depth: p.depth(p.rows)}
	var group int16
	for row := 1; row <= p.rows; row++ {
		first := len(layout.Seats)
		blocks := p.blocks(row)
		for _, block := range blocks {
			for x := block.from; x <= block.to; x++ {
				layout.Seats = append(layout.Seats, Seat{
					No:       int16(len(layout.Seats) + 1),
					Row:      rowLabel(row),
					Number:   int16(len(layout.Seats) - first + 1),
					X:        x,
					Y:        p.depth(row),
					Category: p.category(row, x, blocks),
				})
			}
		}
		seats := layout.Seats[first:]
		if p.loveSeats && row == p.rows {
			pairUp(seats, &group)
		}
		if row == p.crossAisle+1 {
			p.placeWheelchairs(seats, blocks)
		}
	}
	return layout
}

// span is a block of neighbouring seats in one row.
type span struct{ from, to int16 }

func (p seatPlan) width() int16 {
	width := 2*p.wings[1] + p.centre
	switch {
	case p.centre > 0:
		width += 2
	case p.aisle:
		width++
	}
	return int16(width)
}

// depth returns the grid line of a row.
func (p seatPlan) depth(row int) int16 {
	if p.crossAisle > 0 && row > p.crossAisle {
		row++
	}
	return int16(row)
}

// blocks returns the seats of a row from left to right, as stretches without an aisle.
func (p seatPlan) blocks(row int) []span {
	wing, widest := int16(p.wing(row)), int16(p.wings[1])
	left := span{widest - wing + 1, widest}
	if p.centre == 0 && !p.aisle {
		return []span{{left.from, widest + wing}}
	}
	if p.centre == 0 {
		return []span{left, {widest + 2, widest + 1 + wing}}
	}
	centre := span{widest + 2, widest + 1 + int16(p.centre)}
	return []span{left, centre, {centre.to + 2, centre.to + 1 + wing}}
}

// wing returns the seats of a wing block in a row: a parabola from the first to the last row, rounded.
func (p seatPlan) wing(row int) int {
	if p.rows == 1 {
		return p.wings[1]
	}
	last := p.rows - 1
	missing := p.rows - row
	narrowing := (p.wings[1] - p.wings[0]) * missing * missing
	return p.wings[1] - (narrowing+last*last/2)/(last*last)
}

// category is decided by the distance from the screen and, for PREMIUM, from the middle of the row.
func (p seatPlan) category(row int, x int16, blocks []span) SeatCategory {
	back := p.rows
	if p.loveSeats {
		back--
	}
	if row > back-p.recliners {
		return Recliner
	}
	left, right := blocks[0].from, blocks[len(blocks)-1].to
	fromMiddle := 2*x - left - right
	if row >= p.premium[0] && row <= p.premium[1] && 2*max(fromMiddle, -fromMiddle) <= right-left {
		return Premium
	}
	return Standard
}

// pairUp turns a row into love seats. A block with an odd number of seats keeps its last one single.
func pairUp(seats []Seat, group *int16) {
	for i := 0; i+1 < len(seats); {
		if seats[i+1].X != seats[i].X+1 {
			i++
			continue
		}
		*group++
		for _, half := range []int{i, i + 1} {
			seats[half].Category, seats[half].Group = LoveSeat, *group
		}
		i += 2
	}
}

// placeWheelchairs takes the ends of the blocks, those at an aisle first, each with the seat beside it for a companion.
func (p seatPlan) placeWheelchairs(seats []Seat, blocks []span) {
	at := func(x int16) *Seat {
		for i := range seats {
			if seats[i].X == x {
				return &seats[i]
			}
		}
		return nil
	}
	type end struct{ place, companion int16 }
	leftOf := func(b span) end { return end{b.from, b.from + 1} }
	rightOf := func(b span) end { return end{b.to, b.to - 1} }
	var ends []end
	switch len(blocks) {
	case 1:
		ends = []end{leftOf(blocks[0]), rightOf(blocks[0])}
	case 2:
		ends = []end{rightOf(blocks[0]), leftOf(blocks[1]), leftOf(blocks[0]), rightOf(blocks[1])}
	default:
		ends = []end{leftOf(blocks[1]), rightOf(blocks[1]), rightOf(blocks[0]), leftOf(blocks[2])}
	}
	for _, e := range ends[:min(p.wheelchairs, len(ends))] {
		place, companion := at(e.place), at(e.companion)
		place.Category = Wheelchair
		companion.Category, companion.CompanionOf = Companion, place.No
	}
}

// rowLabel returns A to Z without I and O, then AA, AB and so on.
func rowLabel(row int) string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
	label := ""
	for row > 0 {
		row--
		label = letters[row%len(letters):][:1] + label
		row /= len(letters)
	}
	return label
}
