package pricing_test

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"marquee/internal/apperr"
	"marquee/internal/money"
	"marquee/internal/pricing"
)

// friday is a Friday at 20:15 on the theater's clock.
var friday = time.Date(2026, time.November, 27, 20, 15, 0, 0, time.UTC)

func ticket(position int16, category string, base int64, ticketType pricing.TicketType) pricing.Item {
	return pricing.Item{Position: position, Category: category, Title: category[:1] + "…", Type: ticketType, BaseMinor: base}
}

// texts returns the lines as a customer reads them.
func texts(q pricing.Quote) []string {
	var out []string
	for _, l := range q.Lines {
		amount := money.Money{AmountMinor: l.AmountMinor, Currency: q.Total.Currency}.Formatted()
		if !l.Adds() {
			amount = "(" + amount + ")"
		}
		out = append(out, string(l.Kind)+": "+l.Description+" "+amount)
	}
	return append(out, q.Total.Formatted())
}

func TestChain_Price(t *testing.T) {
	t.Parallel()
	house := []pricing.Rule{
		{Kind: pricing.Tax, Label: "VAT 20%", BasisPoints: 2000, Included: true},
		{Kind: pricing.Fee, Label: "Booking fee", AmountMinor: 50},
		{Kind: pricing.Fee, Label: "Card fee", AmountMinor: 30, PerReservation: true},
		{Kind: pricing.ByTime, Label: "Weekend evening", Weekdays: pricing.DaysOf(time.Friday, time.Saturday), From: 18 * 60, To: 24 * 60, BasisPoints: 1000},
		{Kind: pricing.ByTime, Label: "Matinee", Weekdays: pricing.DaysOf(time.Friday), From: 0, To: 12 * 60, BasisPoints: -3000},
		{Kind: pricing.ByFormat, Label: "IMAX", Format: "IMAX", AmountMinor: 300},
		{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, BasisPoints: -3333},
		{Kind: pricing.ByType, Label: "Student", TicketType: pricing.Student, AmountMinor: -200},
	}
	items := []pricing.Item{
		ticket(3, "Standard", 1250, pricing.Child), ticket(1, "Standard", 1250, pricing.Adult), ticket(7, "Premium", 1801, pricing.Adult),
		ticket(4, "Standard", 1250, pricing.Child), ticket(9, "Companion", 0, pricing.Adult),
	}
	for name, c := range map[string]struct {
		rules    []pricing.Rule
		items    []pricing.Item
		format   string
		currency string
		want     []string
	}{
		"without_rules_a_seat_costs_what_its_category_costs": {
			items: items, currency: "EUR",
			want: []string{
				"SEATS: 1 x Adult, P… EUR 18.01", "SEATS: 1 x Adult, S… EUR 12.50", "SEATS: 2 x Child, S… EUR 25.00", "SEATS: 1 x Adult, C… EUR 0.00",
				"EUR 55.51",
			},
		},
		"every_step_is_explained": {
			rules: house, items: items, format: "IMAX", currency: "EUR",
			want: []string{
				"SEATS: 1 x Adult, P… EUR 18.01", "SEATS: 1 x Adult, S… EUR 12.50", "SEATS: 2 x Child, S… EUR 25.00", "SEATS: 1 x Adult, C… EUR 0.00",
				"TICKET_TYPE: 2 x Child EUR -8.34", // 416.625 each
				"FORMAT: 4 x IMAX EUR 12.00",
				"TIME_BAND: Weekend evening EUR 2.10", "TIME_BAND: Weekend evening EUR 1.55", "TIME_BAND: 2 x Weekend evening EUR 2.26",
				"FEE: 4 x Booking fee EUR 2.00", "FEE: Card fee EUR 0.30",
				"INCLUDED_TAX: VAT 20% (EUR 11.24)",
				"EUR 67.38",
			},
		},
		"what_costs_nothing_carries_no_fee": {
			rules: house, items: items[4:], format: "2D", currency: "EUR",
			want: []string{"SEATS: 1 x Adult, C… EUR 0.00", "EUR 0.00"},
		},
		"yen_have_no_decimals": {
			rules: []pricing.Rule{
				{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, BasisPoints: -5000},
				{Kind: pricing.Tax, Label: "Tax", BasisPoints: 1000},
			},
			items: []pricing.Item{ticket(1, "Standard", 1901, pricing.Child), ticket(2, "Standard", 1901, pricing.Child)}, currency: "JPY",
			want: []string{
				"SEATS: 2 x Child, S… JPY 3,802", "TICKET_TYPE: 2 x Child JPY -1,902", "TAX: Tax JPY 190", "JPY 2,090",
			},
		},
		"dinars_have_three": {
			rules: []pricing.Rule{{Kind: pricing.ByType, Label: "Senior", TicketType: pricing.Senior, BasisPoints: -1}},
			items: []pricing.Item{ticket(1, "Standard", 4500, pricing.Senior), ticket(2, "Standard", 5500, pricing.Senior)}, currency: "KWD",
			want: []string{
				// Half a fils goes away from zero: 0.45 and 0.55.
				"SEATS: 1 x Senior, S… KWD 5.500", "SEATS: 1 x Senior, S… KWD 4.500", "TICKET_TYPE: Senior KWD -0.001", "KWD 9.999",
			},
		},
		"no_ticket_costs_less_than_nothing": {
			rules: []pricing.Rule{
				{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, AmountMinor: -2000},
				{Kind: pricing.ByFormat, Label: "2D", Format: "2D", BasisPoints: -10000},
				{Kind: pricing.ByTime, Label: "Friday", Weekdays: pricing.DaysOf(time.Friday), From: 0, To: 1440, AmountMinor: -1},
			},
			items: []pricing.Item{ticket(1, "Standard", 1200, pricing.Child), ticket(2, "Standard", 1200, pricing.Adult)}, format: "2D", currency: "EUR",
			want: []string{
				"SEATS: 1 x Adult, S… EUR 12.00", "SEATS: 1 x Child, S… EUR 12.00", "TICKET_TYPE: Child EUR -12.00", "FORMAT: 2D EUR -12.00", "EUR 0.00",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := pricing.NewChain(c.rules, c.format, friday).Price(c.items, c.currency)
			if diff := cmp.Diff(c.want, texts(got)); err != nil || diff != "" {
				t.Errorf("error %v, difference:\n%s", err, diff)
			}
		})
	}
	t.Run("a_sum_out_of_range_is_refused", func(t *testing.T) {
		t.Parallel()
		tax := []pricing.Rule{{Kind: pricing.Tax, Label: "Tax", BasisPoints: 10000}}
		for _, c := range []struct {
			rules []pricing.Rule
			items []pricing.Item
		}{
			{nil, []pricing.Item{ticket(1, "Standard", math.MaxInt64, pricing.Adult), ticket(2, "Standard", math.MaxInt64, pricing.Adult)}},
			{nil, []pricing.Item{ticket(1, "Standard", math.MaxInt64, pricing.Adult), ticket(2, "Premium", 1, pricing.Adult)}},
			{tax, []pricing.Item{ticket(1, "Standard", math.MaxInt64, pricing.Adult)}},
		} {
			if _, err := pricing.NewChain(c.rules, "2D", friday).Price(c.items, "EUR"); !errors.Is(err, money.ErrOverflow) {
				t.Errorf("error = %v, want ErrOverflow", err)
			}
		}
	})
}

func TestNewChain_hours(t *testing.T) {
	t.Parallel()
	evening := pricing.Rule{Kind: pricing.ByTime, Label: "Evening", Weekdays: pricing.DaysOf(time.Friday), From: 18 * 60, To: 24 * 60, AmountMinor: 100}
	late := pricing.Rule{Kind: pricing.ByTime, Label: "Late", Weekdays: pricing.DaysOf(time.Friday), From: 22 * 60, To: 2 * 60, AmountMinor: 100}
	at := func(day, hour, minute int) time.Time {
		return time.Date(2026, time.November, day, hour, minute, 0, 0, time.UTC)
	}
	for _, c := range []struct {
		rule   pricing.Rule
		starts time.Time
		want   bool
	}{
		{evening, at(27, 17, 59), false},
		{evening, at(27, 18, 0), true},
		{evening, at(27, 23, 59), true},
		{evening, at(28, 0, 0), false},
		{evening, at(26, 20, 0), false},
		{late, at(27, 21, 59), false},
		{late, at(27, 22, 0), true},
		{late, at(28, 0, 30), true},
		{late, at(28, 1, 59), true},
		{late, at(28, 2, 0), false},
		{late, at(27, 0, 30), false},
		{late, at(28, 23, 0), false},
	} {
		q, err := pricing.NewChain([]pricing.Rule{c.rule}, "2D", c.starts).Price([]pricing.Item{ticket(1, "Standard", 1000, pricing.Adult)}, "EUR")
		if got := q.Total.AmountMinor == 1100; err != nil || got != c.want {
			t.Errorf("%s at %s: %v, %v, want %v", c.rule.Label, c.starts.Format("Mon 15:04"), got, err, c.want)
		}
	}
}

// rules draws rules that a theater could have.
func rules(t *rapid.T) []pricing.Rule {
	included := rapid.Bool().Draw(t, "included")
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pricing.Rule {
		r := pricing.Rule{
			Kind:  rapid.SampledFrom([]pricing.Kind{pricing.ByType, pricing.ByFormat, pricing.ByTime, pricing.Fee, pricing.Tax}).Draw(t, "kind"),
			Label: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "label"),
		}
		lowest := -1
		switch r.Kind {
		case pricing.ByType:
			r.TicketType = rapid.SampledFrom(pricing.TicketTypes()).Draw(t, "type")
		case pricing.ByFormat:
			r.Format = rapid.SampledFrom([]string{"2D", "IMAX"}).Draw(t, "format")
		case pricing.ByTime:
			r.Weekdays = pricing.Weekdays(rapid.IntRange(1, 127).Draw(t, "days"))
			r.From, r.To = rapid.Int16Range(0, 1439).Draw(t, "from"), rapid.Int16Range(1, 1440).Draw(t, "to")
			if r.From == r.To {
				r.To = 1440
			}
		case pricing.Fee:
			lowest = 0
			r.PerReservation = rapid.Bool().Draw(t, "once")
		case pricing.Tax:
			lowest = 0
			r.Included = included
		default:
		}
		if r.Kind == pricing.Tax || !r.PerReservation && rapid.Bool().Draw(t, "percent") {
			r.BasisPoints = rapid.Int32Range(int32(lowest)*10_000, 10_000).Filter(func(n int32) bool { return n != 0 }).Draw(t, "points")
		} else {
			r.AmountMinor = rapid.Int64Range(int64(lowest)*3_000, 3_000).Filter(func(n int64) bool { return n != 0 }).Draw(t, "amount")
		}
		return r
	}), 0, 10).Draw(t, "rules")
}

// party draws tickets of a house: a category has one price.
func party(t *rapid.T) []pricing.Item {
	bases := map[string]int64{"Standard": 1250, "Premium": 1801, "Companion": 0, "Dear": 1 << 40}
	var items []pricing.Item
	for i := range rapid.IntRange(0, 12).Draw(t, "seats") {
		category := rapid.SampledFrom([]string{"Standard", "Premium", "Companion", "Dear"}).Draw(t, "category")
		items = append(items, ticket(int16(i+1), category, bases[category], rapid.SampledFrom(pricing.TicketTypes()).Draw(t, "type")))
	}
	return items
}

// exact is the sum to be paid, ticket by ticket and rule by rule in whole fractions. It says which rules hold in words of
// its own: on a Friday at 20:15, in 2D.
func exact(rules []pricing.Rule, items []pricing.Item) (total, included *big.Int) {
	of := func(amount *big.Int, share, base int64) *big.Int {
		r := new(big.Rat).Mul(new(big.Rat).SetInt(amount), big.NewRat(share, base))
		negative := r.Sign() < 0
		r.Abs(r).Add(r, big.NewRat(1, 2))
		n := new(big.Int).Quo(r.Num(), r.Denom())
		if negative {
			n.Neg(n)
		}
		return n
	}
	by := func(r pricing.Rule, amount *big.Int) *big.Int {
		if r.AmountMinor != 0 {
			return big.NewInt(r.AmountMinor)
		}
		return of(amount, int64(r.BasisPoints), 10_000)
	}
	const minute = 20*60 + 15
	holds := func(r pricing.Rule, item pricing.Item) bool {
		switch r.Kind {
		case pricing.ByType:
			return r.TicketType == item.Type
		case pricing.ByFormat:
			return r.Format == "2D"
		case pricing.ByTime:
			if r.From < r.To {
				return r.Weekdays.Has(time.Friday) && r.From <= minute && minute < r.To
			}
			return r.Weekdays.Has(time.Friday) && r.From <= minute || r.Weekdays.Has(time.Thursday) && minute < r.To
		default:
			return true
		}
	}
	gross := int64(10_000)
	for _, r := range rules {
		if r.Kind == pricing.Tax && r.Included {
			gross += int64(r.BasisPoints)
		}
	}
	total, included = new(big.Int), new(big.Int)
	tax := func(amount *big.Int) {
		for _, r := range rules {
			switch {
			case r.Kind == pricing.Tax && r.Included:
				included.Add(included, of(amount, int64(r.BasisPoints), gross))
			case r.Kind == pricing.Tax:
				total.Add(total, of(amount, int64(r.BasisPoints), 10_000))
			}
		}
		total.Add(total, amount)
	}
	costs := false
	for _, item := range items {
		price := big.NewInt(item.BaseMinor)
		for _, kind := range []pricing.Kind{pricing.ByType, pricing.ByFormat, pricing.ByTime} {
			next := new(big.Int).Set(price)
			for _, r := range rules {
				if r.Kind == kind && holds(r, item) && price.Sign() > 0 {
					next.Add(next, by(r, price))
				}
			}
			if next.Sign() < 0 {
				next.SetInt64(0)
			}
			price = next
		}
		if price.Sign() > 0 {
			costs = true
			next := new(big.Int).Set(price)
			for _, r := range rules {
				if r.Kind == pricing.Fee && !r.PerReservation {
					next.Add(next, by(r, price))
				}
			}
			price = next
		}
		tax(price)
	}
	if costs {
		once := new(big.Int)
		for _, r := range rules {
			if r.Kind == pricing.Fee && r.PerReservation {
				once.Add(once, big.NewInt(r.AmountMinor))
			}
		}
		tax(once)
	}
	return total, included
}

// TestP5_Chain_properties holds money to be whole minor units that add up, whatever the rules and the seats. It runs
// 10,000 times and more.
func TestP5_Chain_properties(t *testing.T) {
	t.Parallel()
	for range 100 { // rapid's own number is 100
		rapid.Check(t, func(t *rapid.T) {
			rules, items := rules(t), party(t)
			quote, err := pricing.NewChain(rules, "2D", friday).Price(items, "EUR")
			if err != nil {
				t.Fatal(err)
			}
			var sum, contained int64
			var seats int32
			kinds := []pricing.Kind{pricing.Seats, pricing.ByType, pricing.ByFormat, pricing.ByTime, pricing.Fee, pricing.Tax, pricing.IncludedTax}
			step := 0
			for _, line := range quote.Lines {
				if line.AmountMinor != line.UnitMinor*int64(line.Quantity) {
					t.Fatalf("%+v: the amount is not the unit times the quantity", line)
				}
				if line.AmountMinor < 0 && !slices.Contains([]pricing.Kind{pricing.ByType, pricing.ByFormat, pricing.ByTime}, line.Kind) {
					t.Fatalf("%+v is negative", line)
				}
				at := slices.Index(kinds, line.Kind)
				if at < step {
					t.Fatalf("%+v comes after %s", line, kinds[step])
				}
				step = at
				if line.Kind == pricing.Seats {
					seats += line.Quantity
				}
				if line.Adds() {
					sum += line.AmountMinor
				} else {
					contained += line.AmountMinor
				}
			}
			want, included := exact(rules, items)
			if sum != quote.Total.AmountMinor || want.Cmp(big.NewInt(sum)) != 0 || included.Cmp(big.NewInt(contained)) != 0 {
				t.Fatalf("lines %d, total %d, contained %d; exact are %s and %s", sum, quote.Total.AmountMinor, contained, want, included)
			}
			if sum < 0 || int(seats) != len(items) {
				t.Fatalf("total %d for %d of %d seats", sum, seats, len(items))
			}
			// Neither the order of the rules nor that of the seats matters.
			other, err := pricing.NewChain(rapid.Permutation(rules).Draw(t, "other rules"), "2D", friday).Price(rapid.Permutation(items).Draw(t, "other items"), "EUR")
			sorted := cmpopts.SortSlices(func(a, b int16) bool { return a < b })
			if diff := cmp.Diff(quote, other, sorted); err != nil || diff != "" {
				t.Fatalf("in another order: %v\n%s", err, diff)
			}
			types := pricing.TypesOf(quote.Lines)
			for _, item := range items {
				if got := types[item.Position]; got != item.Type && (got != "" || item.Type != pricing.Adult) {
					t.Fatalf("seat %d is for %q, want %q", item.Position, got, item.Type)
				}
			}
		})
	}
}

func TestRule_Check(t *testing.T) {
	t.Parallel()
	child := pricing.Rule{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, BasisPoints: -10_000}
	evening := pricing.Rule{Kind: pricing.ByTime, Label: "Evening", Weekdays: 127, From: 1080, To: 1440, AmountMinor: 100}
	tax := pricing.Rule{Kind: pricing.Tax, Label: "VAT", BasisPoints: 1900, Included: true}
	fee := pricing.Rule{Kind: pricing.Fee, Label: "Fee", AmountMinor: 50, PerReservation: true}
	with := func(r pricing.Rule, change func(*pricing.Rule)) pricing.Rule { change(&r); return r }
	for name, c := range map[string]struct {
		rule pricing.Rule
		want []string
	}{
		"child":                    {rule: child},
		"evening":                  {rule: evening},
		"tax":                      {rule: tax},
		"fee":                      {rule: fee},
		"no_label":                 {with(fee, func(r *pricing.Rule) { r.Label = "" }), []string{"in.label"}},
		"label_with_a_line_break":  {with(fee, func(r *pricing.Rule) { r.Label = "a\nb" }), []string{"in.label"}},
		"no_kind":                  {with(fee, func(r *pricing.Rule) { r.Kind = "SEATS"; r.PerReservation = false }), []string{"in.kind"}},
		"unknown_ticket_type":      {with(child, func(r *pricing.Rule) { r.TicketType = "DOG" }), []string{"in.ticketType"}},
		"a_ticket_type_of_a_fee":   {with(fee, func(r *pricing.Rule) { r.TicketType = pricing.Child }), []string{"in.ticketType"}},
		"no_days":                  {with(evening, func(r *pricing.Rule) { r.Weekdays = 0 }), []string{"in.weekdays"}},
		"no_time":                  {with(evening, func(r *pricing.Rule) { r.To = r.From }), []string{"in.to"}},
		"nothing":                  {with(evening, func(r *pricing.Rule) { r.AmountMinor = 0 }), []string{"in.percentBasisPoints"}},
		"both":                     {with(evening, func(r *pricing.Rule) { r.BasisPoints = 1 }), []string{"in.percentBasisPoints"}},
		"more_than_all_off":        {with(child, func(r *pricing.Rule) { r.BasisPoints = -10_001 }), []string{"in.percentBasisPoints"}},
		"more_than_double":         {with(child, func(r *pricing.Rule) { r.BasisPoints = 10_001 }), []string{"in.percentBasisPoints"}},
		"an_amount_beyond_reason":  {with(evening, func(r *pricing.Rule) { r.AmountMinor = -1_000_000_001 }), []string{"in.amountMinor"}},
		"a_fee_that_gives":         {with(fee, func(r *pricing.Rule) { r.AmountMinor = -1 }), []string{"in.amountMinor"}},
		"a_tax_that_gives":         {with(tax, func(r *pricing.Rule) { r.BasisPoints = -1 }), []string{"in.percentBasisPoints"}},
		"a_tax_that_is_an_amount":  {with(tax, func(r *pricing.Rule) { r.BasisPoints, r.AmountMinor = 0, 5 }), []string{"in.amountMinor"}},
		"a_percentage_for_all":     {with(fee, func(r *pricing.Rule) { r.BasisPoints, r.AmountMinor = 5, 0 }), []string{"in.percentBasisPoints"}},
		"once_for_a_ticket_type":   {with(child, func(r *pricing.Rule) { r.PerReservation = true }), []string{"in.perReservation", "in.percentBasisPoints"}},
		"a_ticket_type_contained":  {with(child, func(r *pricing.Rule) { r.Included = true }), []string{"in.included"}},
		"a_format_without_a_name":  {pricing.Rule{Kind: pricing.ByFormat, Label: "3D", AmountMinor: 1}, []string{"in.format"}},
		"hours_for_a_ticket_type":  {with(child, func(r *pricing.Rule) { r.Weekdays, r.From, r.To = 1, 1, 1 }), []string{"in.from", "in.to", "in.weekdays"}},
		"a_format_of_a_time_band ": {with(evening, func(r *pricing.Rule) { r.Format = "2D" }), []string{"in.format"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bad apperr.Fields
			c.rule.Check(&bad, "in.")
			var got []string
			if e, ok := errors.AsType[*apperr.Error](bad.Err()); ok {
				for _, field := range e.Fields {
					got = append(got, field.Path)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v: refused are %q, want %q", bad.Err(), got, c.want)
			}
		})
	}
}

func BenchmarkPrice(b *testing.B) {
	items := []pricing.Item{
		ticket(1, "Standard", 1250, pricing.Adult), ticket(2, "Standard", 1250, pricing.Adult), ticket(3, "Premium", 1800, pricing.Adult),
	}
	all := []pricing.Rule{
		{Kind: pricing.Tax, Label: "VAT 20%", BasisPoints: 2000, Included: true},
		{Kind: pricing.Fee, Label: "Booking fee", AmountMinor: 50},
		{Kind: pricing.ByTime, Label: "Weekend evening", Weekdays: 127, From: 18 * 60, To: 24 * 60, BasisPoints: 1000},
		{Kind: pricing.ByFormat, Label: "IMAX", Format: "IMAX", AmountMinor: 300},
		{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, BasisPoints: -3333},
	}
	for name, chain := range map[string]pricing.Chain{"without_rules": {}, "with_rules": pricing.NewChain(all, "IMAX", friday)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chain.Price(items, "EUR"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
