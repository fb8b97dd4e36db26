package pricing_test

import (
	"cmp"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"marquee/internal/apperr"
	"marquee/internal/pricing"
)

// split parts items into those that stay and those that go.
func split(items []pricing.Item, gone []int16) (stay []pricing.Item) {
	for _, item := range items {
		if !slices.Contains(gone, item.Position) {
			stay = append(stay, item)
		}
	}
	return stay
}

func positions(items []pricing.Item) (all []int16) {
	for _, item := range items {
		all = append(all, item.Position)
	}
	return all
}

// withoutOnce leaves out fees for the whole reservation.
func withoutOnce(rules []pricing.Rule) (each []pricing.Rule) {
	for _, r := range rules {
		if !r.PerReservation {
			each = append(each, r)
		}
	}
	return each
}

// TestP5_Bill_properties takes prices apart: what each ticket came to is what it costs alone, and what is left costs what it
// would have cost without those that go. It runs 10,000 times.
func TestP5_Bill_properties(t *testing.T) {
	t.Parallel()
	for range 100 { // rapid's own number is 100
		rapid.Check(t, func(t *rapid.T) {
			rules, items := rules(t), party(t)
			chain := pricing.NewChain(rules, "2D", friday)
			quote, err := chain.Price(items, "EUR")
			if err != nil {
				t.Fatal(err)
			}
			bill := pricing.BillOf(quote.Lines, items)
			tickets := bill.Tickets()
			if len(tickets) != len(items) || bill.Total() != quote.Total.AmountMinor {
				t.Fatalf("%d of %d tickets, %d of %d", len(tickets), len(items), bill.Total(), quote.Total.AmountMinor)
			}
			for i, ticket := range tickets {
				alone, _ := exact(withoutOnce(rules), items[i:i+1])
				if sum := ticket.PriceMinor + ticket.FeeMinor; big.NewInt(sum).Cmp(alone) != 0 || ticket.PriceMinor < 0 || ticket.FeeMinor < 0 {
					t.Fatalf("ticket %+v, which alone costs %s", ticket, alone)
				}
			}
			gone := rapid.SliceOfDistinct(rapid.SampledFrom(append(positions(items), 1)), rapid.ID[int16]).Draw(t, "gone")
			stay := split(items, gone)
			rest, err := bill.Without(gone)
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := chain.Price(stay, "EUR")
			if err != nil {
				t.Fatal(err)
			}
			// Lines of one rule come in the order of the tickets that they began with.
			for _, lines := range [][]pricing.Line{fresh.Lines, rest} {
				slices.SortFunc(lines, func(a, b pricing.Line) int {
					return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.UnitMinor, b.UnitMinor), slices.Compare(a.Each, b.Each), cmp.Compare(a.Description, b.Description))
				})
			}
			if !reflect.DeepEqual(fresh.Lines, rest) {
				t.Fatalf("%v go: %+v, want %+v", gone, rest, fresh.Lines)
			}
		})
	}
}

// policies draws a policy that Check lets pass.
func policies(t *rapid.T) pricing.RefundPolicy {
	steps := rapid.IntRange(0, 4).Draw(t, "steps")
	minutes := rapid.SliceOfNDistinct(rapid.Int32Range(0, 3000), steps, steps, rapid.ID[int32]).Draw(t, "minutes")
	shares := rapid.SliceOfNDistinct(rapid.Int32Range(1, 10_000), steps, steps, rapid.ID[int32]).Draw(t, "shares")
	slices.Sort(minutes)
	slices.Sort(shares)
	p := pricing.RefundPolicy{
		LateWithoutRefund: rapid.Bool().Draw(t, "late"), FeesReturned: rapid.Bool().Draw(t, "fees"),
		KeptPerTicketMinor: rapid.Int64Range(0, 300).Draw(t, "per ticket"), KeptOnceMinor: rapid.Int64Range(0, 500).Draw(t, "once"),
	}
	for i := range steps {
		p.Steps = append(p.Steps, pricing.RefundStep{Minutes: minutes[steps-1-i], BasisPoints: shares[steps-1-i]})
	}
	return p
}

// TestP5_Refund_properties holds what comes back, what is kept and what is left together, whatever the policy, the price and
// the moment. It runs 10,000 times.
func TestP5_Refund_properties(t *testing.T) {
	t.Parallel()
	for range 100 { // rapid's own number is 100
		rapid.Check(t, func(t *rapid.T) {
			rules, items, policy := rules(t), party(t), policies(t)
			var bad apperr.Fields
			if policy.Check(&bad, ""); bad.Err() != nil {
				t.Fatal(bad.Err())
			}
			quote, err := pricing.NewChain(rules, "2D", friday).Price(items, "EUR")
			if err != nil {
				t.Fatal(err)
			}
			bill := pricing.BillOf(quote.Lines, items)
			gone := rapid.SliceOfDistinct(rapid.SampledFrom(append(positions(items), 1)), rapid.ID[int16]).Draw(t, "gone")
			lead := time.Duration(rapid.Int64Range(-60, 4000*60).Draw(t, "lead")) * time.Second
			terms := policy.At(friday.Add(-lead), friday)

			// What holds at a moment, in words of its own: the largest share among the steps that are early enough.
			var share int32
			for _, step := range policy.Steps {
				if lead > 0 && lead >= time.Duration(step.Minutes)*time.Minute {
					share = max(share, step.BasisPoints)
				}
			}
			if terms.BasisPoints != share || terms.Refused != (lead <= 0 || share == 0 && !policy.LateWithoutRefund) {
				t.Fatalf("%s before, %+v gives %+v, want %d", lead, policy, terms, share)
			}

			back, err := policy.Refund(bill, gone, terms)
			if err != nil {
				t.Fatal(err)
			}
			var want, paid int64
			for _, ticket := range bill.Tickets() {
				if !slices.Contains(gone, ticket.Position) {
					continue
				}
				kept := new(big.Int).Mul(big.NewInt(ticket.PriceMinor), big.NewInt(int64(10_000-share)))
				kept.Quo(kept, big.NewInt(10_000)) // rounded down: in favour of the customer
				want += max(ticket.PriceMinor-kept.Int64()-policy.KeptPerTicketMinor, 0)
				if policy.FeesReturned && share > 0 {
					want += ticket.FeeMinor
				}
				paid += ticket.PriceMinor + ticket.FeeMinor
			}
			paid += back.OnceMinor
			if policy.FeesReturned && share > 0 {
				want += back.OnceMinor
			}
			want -= min(want, policy.KeptOnceMinor)
			if back.TotalMinor != want || back.PaidMinor != paid || want < 0 || want > paid {
				t.Fatalf("%+v; want %d of %d", back, want, paid)
			}
			rest, err := bill.Rest(gone, back.TotalMinor)
			if err != nil || pricing.Sum(rest) != quote.Total.AmountMinor-want {
				t.Fatalf("%d is left of %d after %d, %v", pricing.Sum(rest), quote.Total.AmountMinor, want, err)
			}
			if all, err := bill.Everything(gone); err != nil || all.TotalMinor != paid {
				t.Fatalf("everything is %d of %d, %v", all.TotalMinor, paid, err)
			}
			// What is told of the future comes true.
			now := friday.Add(-lead)
			for _, step := range policy.From(now, friday) {
				at := policy.At(step.Until, friday)
				if step.Until.Before(now) || step.Until.Before(friday) && at.BasisPoints != step.BasisPoints || step.BasisPoints > share {
					t.Fatalf("%+v is told, and then is %+v", step, at)
				}
				now, share = step.Until, step.BasisPoints
			}
		})
	}
}

// TestRefund_of_currencies takes amounts with no, two and three decimals: they are minor units all.
func TestRefund_of_currencies(t *testing.T) {
	t.Parallel()
	for currency, c := range map[string]struct{ price, back int64 }{"JPY": {1901, 951}, "EUR": {1285, 643}, "KWD": {3575, 1788}} {
		items := []pricing.Item{ticket(1, "Standard", c.price, pricing.Adult), ticket(2, "Standard", c.price, pricing.Adult)}
		quote, err := pricing.NewChain(nil, "2D", friday).Price(items, currency)
		if err != nil {
			t.Fatal(err)
		}
		half := pricing.RefundPolicy{Steps: []pricing.RefundStep{{BasisPoints: 5000}}}
		back, err := half.Refund(pricing.BillOf(quote.Lines, items), []int16{2}, half.At(friday.Add(-time.Hour), friday))
		if err != nil || back.TotalMinor != c.back {
			t.Errorf("%s: %+v, %v; want %d", currency, back, err, c.back)
		}
	}
}

// TestRefundPolicy_default is what everybody bought under who bought before there were policies.
func TestRefundPolicy_default(t *testing.T) {
	t.Parallel()
	policy := pricing.DefaultRefundPolicy()
	if got := policy.At(friday.Add(-time.Microsecond), friday); got.BasisPoints != 10_000 || got.Refused || !policy.FeesReturned ||
		policy.KeptOnceMinor+policy.KeptPerTicketMinor != 0 {
		t.Errorf("%+v gives %+v", policy, got)
	}
	if got := policy.At(friday, friday); !got.Refused || got.BasisPoints != 0 {
		t.Errorf("at the start: %+v", got)
	}
}

// TestBill_undivided: of a price whose lines do not say what each ticket has of them, all comes back or nothing.
func TestBill_undivided(t *testing.T) {
	t.Parallel()
	items := []pricing.Item{ticket(1, "Standard", 1000, pricing.Adult), ticket(2, "Standard", 1000, pricing.Child)}
	lines := []pricing.Line{
		{Category: "Standard", Description: "1 x Standard", Quantity: 1, UnitMinor: 1000, AmountMinor: 1000},
		{Kind: pricing.Seats, Category: "Standard", TicketType: pricing.Child, Positions: []int16{2}, Quantity: 1, UnitMinor: 1000, AmountMinor: 1000},
		{Kind: pricing.ByType, TicketType: pricing.Child, Quantity: 1, UnitMinor: -300, AmountMinor: -300},
		{Kind: pricing.Fee, Quantity: 1, UnitMinor: 90, AmountMinor: 90},
	}
	bill := pricing.BillOf(lines, items)
	if _, err := bill.Without([]int16{1}); !errors.Is(err, pricing.ErrUndivided) || bill.Tickets() != nil {
		t.Errorf("%+v, %v", bill.Tickets(), err)
	}
	policy := pricing.RefundPolicy{Steps: []pricing.RefundStep{{BasisPoints: 5000}}, KeptPerTicketMinor: 100}
	terms := policy.At(friday.Add(-time.Hour), friday)
	if _, err := policy.Refund(bill, []int16{1}, terms); !errors.Is(err, pricing.ErrUndivided) {
		t.Errorf("error %v", err)
	}
	if back, err := policy.Refund(bill, []int16{1, 2}, terms); err != nil || back.TotalMinor != 1700/2-200 || back.PaidMinor != 1790 {
		t.Errorf("%+v, %v", back, err)
	}
	if back, err := bill.Everything([]int16{1, 2}); err != nil || back.TotalMinor != 1790 {
		t.Errorf("%+v, %v", back, err)
	}
	// Without a line that tells: the whole is known all the same.
	if back, err := pricing.BillOf(nil, items).Everything([]int16{1, 2}); err != nil || back.TotalMinor != 0 {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestRefundPolicy_Check(t *testing.T) {
	t.Parallel()
	step := func(minutes, share int32) pricing.RefundStep {
		return pricing.RefundStep{Minutes: minutes, BasisPoints: share}
	}
	many := make([]pricing.RefundStep, 11)
	for i := range many {
		many[i] = step(int32(1000-i), int32(10_000-i))
	}
	for name, c := range map[string]struct {
		policy pricing.RefundPolicy
		field  string // "": none
	}{
		"none":                  {},
		"the_most":              {policy: pricing.RefundPolicy{Steps: many[:10], KeptOnceMinor: 1_000_000_000, KeptPerTicketMinor: 1_000_000_000}},
		"too_many_steps":        {pricing.RefundPolicy{Steps: many}, "policy.steps"},
		"after_the_start":       {pricing.RefundPolicy{Steps: []pricing.RefundStep{step(-1, 1)}}, "policy.steps.0.minutesBefore"},
		"long_before":           {pricing.RefundPolicy{Steps: []pricing.RefundStep{step(366*24*60+1, 1)}}, "policy.steps.0.minutesBefore"},
		"not_nearer":            {pricing.RefundPolicy{Steps: []pricing.RefundStep{step(9, 9), step(9, 8)}}, "policy.steps.1.minutesBefore"},
		"not_less":              {pricing.RefundPolicy{Steps: []pricing.RefundStep{step(9, 9), step(8, 9)}}, "policy.steps.1.percentBasisPoints"},
		"nothing":               {pricing.RefundPolicy{Steps: []pricing.RefundStep{step(9, 0)}}, "policy.steps.0.percentBasisPoints"},
		"more_than_all":         {pricing.RefundPolicy{Steps: []pricing.RefundStep{step(9, 10_001)}}, "policy.steps.0.percentBasisPoints"},
		"kept_below_zero":       {pricing.RefundPolicy{KeptOnceMinor: -1}, "policy.keptOnceMinor"},
		"kept_of_a_ticket_much": {pricing.RefundPolicy{KeptPerTicketMinor: 1_000_000_001}, "policy.keptPerTicketMinor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bad apperr.Fields
			c.policy.Check(&bad, "policy.")
			refusal, refused := errors.AsType[*apperr.Error](bad.Err())
			if refused != (c.field != "") || refused && (len(refusal.Fields) != 1 || refusal.Fields[0].Path != c.field) {
				t.Errorf("refused: %v, want %q", bad.Err(), c.field)
			}
		})
	}
}
