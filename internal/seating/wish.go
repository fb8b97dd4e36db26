package seating

import (
	"slices"

	"marquee/internal/theater"
)

// Wish is what a party wants of a showtime's seats.
type Wish struct {
	Seats       int                        // the size of the party, at least 1
	Wheelchairs int                        // how many of the seats are wheelchair places: exactly so many
	Categories  []theater.Category         // of the other seats, the preferred one first; none: any
	Prices      map[theater.Category]int64 // of a seat, in minor units; a category without a price is not sold
	Ceiling     *int64                     // most that all seats may cost together, in minor units; nil: anything
	Near        []theater.Seat             // as many seats, which these are to be near to and like; none: where the screen is seen best
	NoneAlone   bool                       // no seat is left alone, see EdgesOf, while there is room for as many anywhere without that
	Together    bool                       // not in two groups either
	Seed        uint64                     // decides between what is equally good; 0: the order of the seats does
}

// Instead returns the wish of a party that cannot have the wanted seats: as many, near to them, with as many places for
// wheelchairs when it needs them.
func Instead(wanted []theater.Seat, prices map[theater.Category]int64, accessible bool) Wish {
	wish := Wish{Seats: len(wanted), Near: wanted, Prices: prices}
	for _, seat := range wanted {
		if accessible && seat.Category == theater.CategoryWheelchair {
			wish.Wheelchairs++
		}
	}
	return wish
}

// termsOf returns what a category is to the wish.
func (w Wish) termsOf(c theater.Category) terms {
	price, sold := w.Prices[c]
	t := terms{sold: sold, allowed: sold, price: price}
	protected := c == theater.CategoryWheelchair || c == theater.CategoryCompanion
	if len(w.Categories) > 0 && !protected {
		t.rank = slices.Index(w.Categories, c)
		t.allowed = sold && t.rank >= 0
	}
	return t
}

// Reason is why a selection is a good one.
type Reason string

// The reasons.
const (
	ReasonTogether   Reason = "TOGETHER"        // side by side in one row
	ReasonSplit      Reason = "SPLIT"           // two groups: one behind the other, or across an aisle
	ReasonNear       Reason = "NEAR_WANTED"     // at most three seats from those that were wanted
	ReasonCentral    Reason = "CENTRAL"         // in the middle of the house
	ReasonBestRows   Reason = "BEST_ROWS"       // as far from the screen as it is seen best
	ReasonNoSingle   Reason = "NO_SINGLE_LEFT"  // no seat beside them is left alone
	ReasonAccessible Reason = "ACCESSIBLE"      // with as many wheelchair places as were asked for
	ReasonCheapest   Reason = "CHEAPEST"        // nothing else that is offered costs less, and something costs more
	ReasonPreferred  Reason = "PREFERRED_SEATS" // all of the category that was named first
)

// Selection is seats that a party could take.
type Selection struct {
	Seats   []theater.Seat // by row from the screen outwards, each row from the left
	Reasons []Reason
}

// Weights say what makes a selection better than another, in quarters of a seat's width: what a flaw counts is how much
// further from the best seats the party would sit instead.
type Weights struct {
	Side     int // for each seat's width to the side
	Row      int // for each row nearer to the screen or further away
	Single   int // for each seat that is left alone beside the selection
	Category int // for each seat of another category: than the one wanted in its place, or for each place down the list of wishes
	Mixed    int // for each category beyond the first
	Gap      int // for each seat's width between the two groups of a party
}

// DefaultWeights suit a house with straight rows.
func DefaultWeights() Weights {
	return Weights{Side: 4, Row: 6, Single: 12, Category: 12, Mixed: 12, Gap: 4}
}
