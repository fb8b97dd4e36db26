package pricing

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// ErrUndivided is returned for the price of a reservation that was made when lines did not say yet what each ticket has of
// them: such a one is cancelled as a whole.
var ErrUndivided = errors.New("pricing: the price cannot be divided among its tickets")

// Ticket is what one ticket came to.
type Ticket struct {
	Position   int16
	PriceMinor int64 // with all that changed it, and the tax on that
	FeeMinor   int64 // the fees on it, with the tax on them
}

// Bill is the price of a reservation, taken apart ticket by ticket. It does not change, and is safe for concurrent use.
type Bill struct {
	lines   []Line
	tickets []Ticket // by position; none when the price is undivided
	group   []int    // of each ticket: which line of Seats it is on
	count   int      // tickets
	total   int64
	once    int64 // fees for the whole reservation, with the tax on them
	kept    int64 // of tickets that were cancelled before
}

// BillOf takes the lines of a reservation apart. Of the items it asks position, category and type.
func BillOf(lines []Line, items []Item) Bill {
	b := Bill{lines: lines, count: len(items), total: Sum(lines)}
	var groups []Ticket
	for i := range lines {
		line := &lines[i]
		switch {
		case line.seats():
			groups = append(groups, Ticket{PriceMinor: line.UnitMinor})
		case line.Kind == Kept:
			b.kept += line.AmountMinor
		case line.Kind == Fee && line.Each == nil:
			b.once += line.AmountMinor
		}
	}
	group, known := assign(lines, items)
	if b.group = group; known && divide(lines, groups) {
		b.tickets = make([]Ticket, len(items))
		b.once = b.total - b.kept
		for i, group := range b.group {
			b.tickets[i] = groups[group]
			b.tickets[i].Position = items[i].Position
			b.once -= groups[group].PriceMinor + groups[group].FeeMinor
		}
	}
	return b
}

// seats reports whether the line is about seats; lines of old have no kind.
func (l Line) seats() bool { return l.Kind == Seats || l.Kind == "" }

// assign finds the line of Seats of each ticket; false when lines and tickets do not fit together.
func assign(lines []Line, items []Item) (group []int, ok bool) {
	type of struct {
		category   string
		ticketType TicketType
	}
	groups, left := map[of]int{}, []int32(nil)
	for i := range lines {
		if line := &lines[i]; line.seats() {
			groups[of{line.Category, cmp.Or(line.TicketType, Adult)}] = len(left)
			left = append(left, line.Quantity)
		}
	}
	group = make([]int, len(items))
	for i := range items {
		at, known := groups[of{items[i].Category, cmp.Or(items[i].Type, Adult)}]
		if !known || left[at] == 0 {
			return nil, false
		}
		group[i] = at
		left[at]--
	}
	return group, !slices.ContainsFunc(left, func(n int32) bool { return n != 0 })
}

// divide adds to the tickets of each line of Seats what they have of the other lines; false when the lines do not say it. The
// tax on a fee is what the fee is of the price with its fees, rounded down: the rest is the ticket's.
func divide(lines []Line, groups []Ticket) bool {
	taxes := make([]int64, len(groups))
	for i := range lines {
		line := &lines[i]
		if line.seats() || line.Kind == Kept || line.Kind == Fee && line.Each == nil && line.Quantity == 1 {
			continue
		}
		if len(line.Each) != len(groups) {
			return false
		}
		for j, each := range line.Each {
			switch line.Kind {
			case Fee:
				groups[j].FeeMinor += each
			case Tax:
				taxes[j] += each
			case IncludedTax:
			default:
				groups[j].PriceMinor += each
			}
		}
	}
	for j := range groups {
		g := &groups[j]
		if whole := g.PriceMinor + g.FeeMinor; whole > 0 {
			onFee := fraction(taxes[j], g.FeeMinor, whole)
			g.PriceMinor, g.FeeMinor = g.PriceMinor+taxes[j]-onFee, g.FeeMinor+onFee
		}
	}
	return true
}

// fraction returns amount * share / base rounded down; none is negative, base is not zero, and share is at most base.
func fraction(amount, share, base int64) int64 {
	high, low := bits.Mul64(uint64(amount), uint64(share))
	quotient, _ := bits.Div64(high, low, uint64(base))
	return int64(quotient)
}

// Tickets returns what each ticket came to, by position; none when the price is undivided.
func (b Bill) Tickets() []Ticket { return slices.Clone(b.tickets) }

// Total returns the sum of the lines that add.
func (b Bill) Total() int64 { return b.total }

// Without returns the price of what is left when tickets go, all but one at most, each with what it had of the lines. What is
// paid once stays until nothing is left that costs anything. ErrUndivided.
func (b Bill) Without(positions []int16) ([]Line, error) {
	if b.tickets == nil {
		return nil, ErrUndivided
	}
	costs := b.costsWithout(positions)
	counts := b.counts(positions)
	rest := make([]Line, 0, len(b.lines))
	group := 0
	for _, line := range b.lines {
		words := line.Description
		if line.Quantity > 1 || line.seats() {
			words = strings.TrimPrefix(words, strconv.Itoa(int(line.Quantity))+" x ")
		}
		switch {
		case line.seats():
			line.Quantity = counts[group].stay
			line.Positions = slices.DeleteFunc(slices.Clone(line.Positions), func(p int16) bool { return slices.Contains(positions, p) })
			if len(line.Positions) == 0 {
				line.Positions = nil
			}
			group++
		case line.Kind == Kept:
		case line.Each == nil && !costs:
			line.Quantity = 0
		case line.Each != nil:
			line = line.of(counts, costs)
		}
		if line.Quantity == 0 {
			continue
		}
		line.AmountMinor = line.UnitMinor * int64(line.Quantity)
		if line.Description = words; line.Quantity > 1 || line.seats() {
			line.Description = strconv.Itoa(int(line.Quantity)) + " x " + words
		}
		rest = append(rest, line)
	}
	return rest, nil
}

// count is how many tickets of a line of Seats stay and go.
type count struct{ stay, gone int32 }

// counts returns the counts by line of Seats.
func (b Bill) counts(gone []int16) []count {
	var counts []count
	for i := range b.lines {
		if b.lines[i].seats() {
			counts = append(counts, count{})
		}
	}
	for i, ticket := range b.tickets {
		if of := &counts[b.group[i]]; slices.Contains(gone, ticket.Position) {
			of.gone++
		} else {
			of.stay++
		}
	}
	return counts
}

// of returns a line that tickets have a part of, for those that stay. Taxes are one sum, of tickets and of what is paid once,
// which is gone when nothing is left that costs anything; what else there is counts tickets.
func (l Line) of(counts []count, costs bool) Line {
	sum := l.Kind == Tax || l.Kind == IncludedTax
	once, each := l.UnitMinor, make([]int64, 0, len(l.Each))
	for i, unit := range l.Each {
		switch c := counts[i]; {
		case sum:
			once -= unit * int64(c.stay+c.gone)
			l.UnitMinor -= unit * int64(c.gone)
		case unit != 0:
			l.Quantity -= c.gone
		}
		if counts[i].stay > 0 {
			each = append(each, unit)
		}
	}
	if sum && !costs {
		l.UnitMinor -= once
	}
	if l.UnitMinor == 0 {
		l.Quantity = 0
	}
	l.Each = each
	return l
}

// costsWithout reports whether what is left without tickets costs anything.
func (b Bill) costsWithout(positions []int16) bool {
	return slices.ContainsFunc(b.tickets, func(t Ticket) bool {
		return t.PriceMinor > 0 && !slices.Contains(positions, t.Position)
	})
}

// Sum returns the sum of lines that add.
func Sum(lines []Line) (minor int64) {
	for _, line := range lines {
		if line.Adds() {
			minor += line.AmountMinor
		}
	}
	return minor
}

// Rest returns the price of what is left when tickets that were paid go and so much of it comes back: that of Without, with
// what is kept. ErrUndivided.
func (b Bill) Rest(positions []int16, backMinor int64) ([]Line, error) {
	rest, err := b.Without(positions)
	kept := b.total - backMinor - Sum(rest)
	if err != nil || kept == 0 {
		return rest, err
	}
	if n := len(rest) - 1; n >= 0 && rest[n].Kind == Kept {
		kept += rest[n].AmountMinor
		rest = rest[:n]
	}
	return append(rest, Line{Kind: Kept, Description: "Kept of cancelled tickets", Quantity: 1, UnitMinor: kept, AmountMinor: kept}), nil
}
