package pricing

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"marquee/internal/money"
)

// Chain is what the rules of a theater come to for one showtime. The zero Chain has no rules: a seat costs what its
// category costs. It is safe for concurrent use.
type Chain struct {
	changes []Rule // of ticket types, then of the format, then of the hour, then promotions
	fees    []Rule
	taxes   []Rule
	gross   int64 // what a price is of its net, in basis points: a hundred percent and all included taxes
}

// NewChain returns the chain of those rules that hold for showtimes of a format that start at a moment of the theater's
// clock, in whatever order they come.
func NewChain(rules []Rule, format string, starts time.Time) Chain {
	c := Chain{gross: whole}
	for _, kind := range []Kind{ByType, ByFormat, ByTime, Fee, Tax} {
		var step []Rule
		for _, r := range rules {
			if r.Kind == kind && r.holds(format, starts) {
				step = append(step, r)
			}
		}
		slices.SortFunc(step, Rule.compare)
		switch kind {
		case Fee:
			c.fees = step
		case Tax:
			c.taxes = step
		default:
			c.changes = append(c.changes, step...)
		}
	}
	for _, tax := range c.taxes {
		if tax.Included {
			c.gross += int64(tax.BasisPoints)
		}
	}
	return c
}

// Once returns what a reservation pays once, whatever its seats, with its tax: 0 for seats that cost nothing.
func (c Chain) Once() (int64, error) {
	var b book
	b.taxes(c, b.once(c.fees))
	return b.total.AmountMinor, b.err
}

// With returns the chain with promotions behind its other changes, in whatever order they come.
func (c Chain) With(promotions []Rule) Chain {
	if len(promotions) == 0 {
		return c
	}
	promotions = slices.Clone(promotions)
	slices.SortFunc(promotions, Rule.compare)
	c.changes = slices.Concat(c.changes, promotions)
	return c
}

// group is so many equal tickets under calculation.
type group struct {
	Item
	count     int32
	positions []int16
	from      int64 // price of one when the step began
	price     int64 // price of one; from the fees on with them
}

// Price quotes tickets in a currency. The seats come first, dearest first; then each step. It returns
// money.ErrOverflow.
func (c Chain) Price(items []Item, currency string) (Quote, error) {
	b := book{groups: groupsOf(items), total: money.Money{Currency: currency}}
	b.lines = make([]Line, 0, len(b.groups)*(1+len(c.changes))+len(c.fees)+len(c.taxes))
	for i := range b.groups {
		g := &b.groups[i]
		b.enter(Line{
			Kind: Seats, Category: g.Category, TicketType: g.Type, Positions: g.positions, Quantity: g.count, UnitMinor: g.BaseMinor,
		}, g.Type.Title()+", "+g.Title)
	}
	var step Kind
	for i := range c.changes {
		rule := &c.changes[i]
		if rule.Kind != step {
			step = rule.Kind
			b.begin()
		}
		b.change(rule)
	}
	var once int64
	if slices.ContainsFunc(b.groups, func(g group) bool { return g.price > 0 }) {
		b.fees(c.fees)
		once = b.once(c.fees)
	}
	b.taxes(c, once)
	return Quote{Lines: b.lines, Total: b.total}, b.err
}

// groupsOf puts equal tickets together, the dearest first.
func groupsOf(items []Item) []group {
	groups := make([]group, 0, 4)
	for i := range items {
		item := &items[i]
		at := slices.IndexFunc(groups, func(g group) bool {
			return g.Category == item.Category && g.Type == item.Type && g.BaseMinor == item.BaseMinor
		})
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{Item: *item, from: item.BaseMinor, price: item.BaseMinor})
		}
		g := &groups[at]
		g.count++
		if g.Type != Adult {
			g.positions = append(g.positions, item.Position)
		}
	}
	types := TicketTypes()
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(
			cmp.Compare(b.BaseMinor, a.BaseMinor), cmp.Compare(a.Category, b.Category),
			cmp.Compare(slices.Index(types, a.Type), slices.Index(types, b.Type)),
		)
	})
	return groups
}

// book is a calculation under way. The first thing that goes out of range is remembered; what follows it is worthless.
type book struct {
	groups []group
	lines  []Line
	total  money.Money
	err    error
}

// enter writes a line.
func (b *book) enter(line Line, words string) {
	line.AmountMinor = b.times(line.UnitMinor, line.Quantity)
	if line.Adds() {
		b.total.AmountMinor = b.plus(b.total.AmountMinor, line.AmountMinor)
	}
	line.Description = words
	if line.Quantity > 1 || line.Kind == Seats {
		line.Description = strconv.Itoa(int(line.Quantity)) + " x " + words
	}
	b.lines = append(b.lines, line)
}

// begin fixes the prices that the rules of a step mean.
func (b *book) begin() {
	for i := range b.groups {
		b.groups[i].from = b.groups[i].price
	}
}

// change applies a rule to the tickets that it is for.
func (b *book) change(rule *Rule) {
	b.each(rule, func(g *group) int64 {
		if g.from == 0 || !rule.covers(&g.Item) {
			return 0
		}
		unit := max(b.of(rule, g.from), -g.price)
		g.price = b.plus(g.price, unit)
		return unit
	})
}

// each writes what a rule changes, a line for each unit: of a percentage it is another for tickets of another price.
func (b *book) each(rule *Rule, apply func(g *group) (unit int64)) {
	start := len(b.lines)
	for i := range b.groups {
		g := &b.groups[i]
		unit := apply(g)
		if unit == 0 {
			continue
		}
		at := slices.IndexFunc(b.lines[start:], func(l Line) bool { return l.UnitMinor == unit })
		if at < 0 {
			b.lines = append(b.lines, Line{
				Kind: rule.Kind, TicketType: rule.TicketType, Code: rule.Code, UnitMinor: unit, Each: make([]int64, len(b.groups)),
			})
			at = len(b.lines) - 1 - start
		}
		b.lines[start+at].Quantity += g.count
		b.lines[start+at].Each[i] = unit
	}
	written := b.lines[start:]
	b.lines = b.lines[:start]
	for _, line := range written {
		b.enter(line, rule.Label)
	}
}

// fees puts the fees on tickets that cost something.
func (b *book) fees(rules []Rule) {
	b.begin()
	for i := range rules {
		rule := &rules[i]
		if rule.PerReservation {
			continue
		}
		b.each(rule, func(g *group) int64 {
			if g.from == 0 {
				return 0
			}
			unit := b.of(rule, g.from)
			g.price = b.plus(g.price, unit)
			return unit
		})
	}
}

// once writes the fees for the whole reservation, and returns their sum.
func (b *book) once(rules []Rule) (sum int64) {
	for i := range rules {
		if rule := &rules[i]; rule.PerReservation {
			b.enter(Line{Kind: Fee, Quantity: 1, UnitMinor: rule.AmountMinor}, rule.Label)
			sum = b.plus(sum, rule.AmountMinor)
		}
	}
	return sum
}

// taxes writes a line for each tax: the sum of what it is of each ticket with its fees, and of what is paid once.
func (b *book) taxes(c Chain, once int64) {
	for i := range c.taxes {
		tax := &c.taxes[i]
		line := Line{Kind: Tax, Quantity: 1, Each: make([]int64, len(b.groups))}
		base := int64(whole)
		if tax.Included {
			line.Kind, base = IncludedTax, c.gross
		}
		line.UnitMinor = b.part(once, int64(tax.BasisPoints), base)
		for j := range b.groups {
			g := &b.groups[j]
			line.Each[j] = b.part(g.price, int64(tax.BasisPoints), base)
			line.UnitMinor = b.plus(line.UnitMinor, b.times(line.Each[j], g.count))
		}
		if line.UnitMinor != 0 {
			b.enter(line, tax.Label)
		}
	}
}

// of returns what a rule changes of a price.
func (b *book) of(rule *Rule, price int64) int64 {
	if rule.AmountMinor != 0 {
		return rule.AmountMinor
	}
	return b.part(price, int64(rule.BasisPoints), whole)
}

func (b *book) plus(m, n int64) int64 {
	sum, err := money.Money{AmountMinor: m}.Add(money.Money{AmountMinor: n})
	b.err = cmp.Or(b.err, err)
	return sum.AmountMinor
}

func (b *book) times(m int64, n int32) int64 {
	product, err := money.Money{AmountMinor: m}.Times(int(n))
	b.err = cmp.Or(b.err, err)
	return product.AmountMinor
}

// part returns amount * share / base, rounded to a whole number, halves away from zero; amount is not negative, base is
// positive.
func (b *book) part(amount, share, base int64) int64 {
	if b.err != nil {
		return 0
	}
	high, low := bits.Mul64(uint64(amount), uint64(max(share, -share)))
	if high >= uint64(base) {
		b.err = money.ErrOverflow
		return 0
	}
	quotient, rest := bits.Div64(high, low, uint64(base))
	if rest >= uint64(base)-rest {
		quotient++
	}
	if quotient > math.MaxInt64 {
		b.err = money.ErrOverflow
		return 0
	}
	if share < 0 {
		return -int64(quotient)
	}
	return int64(quotient)
}
