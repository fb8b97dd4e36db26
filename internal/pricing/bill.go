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
	if b.assign(items) && divide(lines, groups) {
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
func (l *Line) seats() bool { return l.Kind == Seats || l.Kind == "" }

// assign finds the line of Seats of each ticket; false when lines and tickets do not fit together.
func (b *Bill) assign(items []Item) bool {
	type of struct {
		category   string
		ticketType TicketType
	}
	groups, left := map[of]int{}, []int32(nil)
	for i := range b.lines {
		if line := &b.lines[i]; line.seats() {
			groups[of{line.Category, cmp.Or(line.TicketType, Adult)}] = len(left)
			left = append(left, line.Quantity)
		}
	}
	b.group = make([]int, len(items))
	for i := range items {
		group, known := groups[of{items[i].Category, cmp.Or(items[i].Type, Adult)}]
		if !known || left[group] == 0 {
			return false
		}
		b.group[i] = group
		left[group]--
	}
	return !slices.ContainsFunc(left, func(n int32) bool { return n != 0 })
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
	var gone []int32 // by line of Seats
	for i := range b.lines {
		if b.lines[i].seats() {
			gone = append(gone, 0)
		}
	}
	for i, ticket := range b.tickets {
		if slices.Contains(positions, ticket.Position) {
			gone[b.group[i]]++
		}
	}
	costs := b.costsWithout(positions)
	rest := make([]Line, 0, len(b.lines))
	stay := make([]bool, len(gone))
	group := 0
	for _, line := range b.lines {
		words := line.Description
		if line.Quantity > 1 || line.seats() {
			words = strings.TrimPrefix(words, strconv.Itoa(int(line.Quantity))+" x ")
		}
		switch {
		case line.seats():
			line.Quantity -= gone[group]
			line.Positions = slices.DeleteFunc(slices.Clone(line.Positions), func(p int16) bool { return slices.Contains(positions, p) })
			if len(line.Positions) == 0 {
				line.Positions = nil
			}
			stay[group] = line.Quantity > 0
			group++
		case line.Kind == Kept:
		case line.Each == nil:
			if !costs {
				line.Quantity = 0
			}
		case line.Kind == Tax || line.Kind == IncludedTax:
			once := line.UnitMinor
			for j, each := range line.Each {
				line.UnitMinor -= each * int64(gone[j])
				once -= each * int64(b.countOf(j))
			}
			if !costs {
				line.UnitMinor -= once
			}
			if line.UnitMinor == 0 {
				line.Quantity = 0
			}
		default:
			for j, each := range line.Each {
				if each != 0 {
					line.Quantity -= gone[j]
				}
			}
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
	for i := range rest {
		if each := rest[i].Each; each != nil {
			rest[i].Each = make([]int64, 0, len(each))
			for j := range each {
				if stay[j] {
					rest[i].Each = append(rest[i].Each, each[j])
				}
			}
		}
	}
	return rest, nil
}

func (b Bill) countOf(group int) (n int) {
	for _, g := range b.group {
		if g == group {
			n++
		}
	}
	return n
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
