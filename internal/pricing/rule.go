package pricing

import (
	"cmp"
	"slices"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/words"
)

const (
	// whole is a hundred percent in basis points.
	whole = 10_000
	// most is what a rule may add or take off, in minor units.
	most = 1_000_000_000
	// day is the end of a day in minutes.
	day = 24 * 60
	// maxWords bounds label and format.
	maxWords = 60
)

// Weekdays is a set of days.
type Weekdays uint8

// DaysOf returns a set of days.
func DaysOf(days ...time.Weekday) Weekdays {
	var set Weekdays
	for _, d := range days {
		set |= 1 << d
	}
	return set
}

// Has reports whether the set has a day.
func (w Weekdays) Has(d time.Weekday) bool { return w&(1<<d) != 0 }

// Rule is one rule of a theater. Which of the fields it has goes by its kind; Check says so. The JSON form is what the
// database gives.
type Rule struct {
	Kind  Kind   `json:"kind"`
	Label string `json:"label"` // the words on its line: "Weekend evening"

	TicketType TicketType `json:"ticketType"` // ByType: for whom
	Format     string     `json:"format"`     // ByFormat: of which showtimes
	Weekdays   Weekdays   `json:"weekdays"`   // ByTime: on which days of the theater
	From       int16      `json:"from"`       // ByTime: from which minute of the day a showtime starts
	To         int16      `json:"to"`         // ByTime: before which minute; not after From: of the next day

	// One of the two is not zero.
	BasisPoints int32 `json:"basisPoints"` // hundredths of a percent, of the price that the step began with
	AmountMinor int64 `json:"amountMinor"` // minor units of the theater's currency

	// What a promotion is for; an empty list restricts nothing. Categories are those of Item.
	Code        string       `json:"-"`
	Categories  []string     `json:"-"`
	TicketTypes []TicketType `json:"-"`

	PerReservation bool `json:"perReservation"` // Fee: once, not on each ticket
	Included       bool `json:"included"`       // Tax: contained in the price, not on top of it
}

// Check records what keeps the rule from being one, by the fields of the input that it came in at path.
func (r Rule) Check(bad *apperr.Fields, path string) {
	named := func(field, text string) {
		words.Check(bad, path+field, text, maxWords, "Give 1 to %d printable characters.")
	}
	named("label", r.Label)
	only := func(field string, kind Kind, given bool) {
		if given && r.Kind != kind {
			bad.Add(path+field, "This belongs to rules of the kind %s.", kind)
		}
	}
	only("ticketType", ByType, r.TicketType != "")
	only("format", ByFormat, r.Format != "")
	only("weekdays", ByTime, r.Weekdays != 0)
	only("from", ByTime, r.From != 0)
	only("to", ByTime, r.To != 0)
	only("perReservation", Fee, r.PerReservation)
	only("included", Tax, r.Included)
	lowest, highest := int64(-1), int64(1) // of a hundred percent, and of the largest amount
	switch r.Kind {
	case ByType:
		if !slices.Contains(TicketTypes(), r.TicketType) {
			bad.Add(path+"ticketType", "Say for which ticket type the rule is.")
		}
	case ByFormat:
		named("format", r.Format)
	case ByTime:
		if r.Weekdays == 0 {
			bad.Add(path+"weekdays", "Say on which days the rule holds.")
		}
		if r.From == r.To && r.From != 0 {
			bad.Add(path+"to", "The two times must differ. A whole day is from 00:00 to 24:00.")
		} else if r.From < 0 || r.From >= day || r.To < 1 || r.To > day || r.From == r.To {
			bad.Add(path+"to", "Say from when to when the rule holds: two times of a day, from 00:00 to 24:00.")
		}
	case Fee, Tax:
		lowest = 0
	default:
		bad.Add(path+"kind", "There are no rules of this kind.")
	}
	switch {
	case (r.BasisPoints == 0) == (r.AmountMinor == 0):
		bad.Add(path+"percentBasisPoints", "Say a percentage or an amount: one of them, and not nothing.")
	case r.AmountMinor != 0 && r.Kind == Tax:
		bad.Add(path+"amountMinor", "A tax is a percentage.")
	case r.BasisPoints != 0 && r.PerReservation:
		bad.Add(path+"percentBasisPoints", "A fee for the whole reservation is an amount.")
	case int64(r.BasisPoints) < lowest*whole || int64(r.BasisPoints) > highest*whole:
		bad.Add(path+"percentBasisPoints", "Give %d to %d hundredths of a percent.", lowest*whole, highest*whole)
	case r.AmountMinor < lowest*most || r.AmountMinor > highest*most:
		bad.Add(path+"amountMinor", "Give %d to %d minor units.", lowest*most, highest*most)
	}
}

// holds reports whether the rule is for showtimes of a format that start at a moment of the theater's clock.
func (r Rule) holds(format string, starts time.Time) bool {
	switch r.Kind {
	case ByFormat:
		return r.Format == format
	case ByTime:
		minute := int16(starts.Hour()*60 + starts.Minute())
		if r.From < r.To {
			return r.Weekdays.Has(starts.Weekday()) && minute >= r.From && minute < r.To
		}
		// Over midnight: what starts after it belongs to the evening before.
		return minute >= r.From && r.Weekdays.Has(starts.Weekday()) || minute < r.To && r.Weekdays.Has((starts.Weekday()+6)%7)
	default:
		return true
	}
}

// compare brings the rules of a kind into one order, whatever order they came in: what adds comes before what takes
// off, so that nothing is cut at zero which a surcharge would have carried.
func (r Rule) compare(other Rule) int {
	flag := func(set bool) int {
		if set {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(flag(r.takesOff()), flag(other.takesOff())), cmp.Compare(flag(r.PerReservation), flag(other.PerReservation)),
		cmp.Compare(r.Label, other.Label), cmp.Compare(r.TicketType, other.TicketType),
		cmp.Compare(r.BasisPoints, other.BasisPoints), cmp.Compare(r.AmountMinor, other.AmountMinor), cmp.Compare(r.Code, other.Code),
	)
}

// covers reports whether the rule is for a ticket.
func (r Rule) covers(item *Item) bool {
	switch r.Kind {
	case ByType:
		return item.Type == r.TicketType
	case Promotion:
		return (len(r.Categories) == 0 || slices.Contains(r.Categories, item.Category)) &&
			(len(r.TicketTypes) == 0 || slices.Contains(r.TicketTypes, item.Type))
	default:
		return true
	}
}

func (r Rule) takesOff() bool { return r.BasisPoints < 0 || r.AmountMinor < 0 }
