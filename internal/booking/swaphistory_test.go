package booking_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/pricing"
)

// chain is the reservations of a customer who swaps and cancels, without a database: the program's arithmetic, and beside it what
// went in and came out.
type chain struct {
	policy   pricing.RefundPolicy
	links    []link
	paid     int64 // by the customer
	returned int64
}

// link is a reservation: paid with money that is there yet, for what it has.
type link struct {
	lines []pricing.Line
	items []pricing.Item
	money int64
}

// priced draws seats with what they cost.
func priced(t *rapid.T, rules []pricing.Rule, currency string) link {
	items := make([]pricing.Item, rapid.IntRange(1, 4).Draw(t, "seats"))
	for i := range items {
		items[i] = pricing.Item{
			Position: int16(i + 1), Category: rapid.SampledFrom([]string{"STANDARD", "COMPANION"}).Draw(t, "category"), Title: "Seat",
			Type: rapid.SampledFrom(pricing.TicketTypes()).Draw(t, "type"),
		}
		if items[i].Category == "STANDARD" {
			items[i].BaseMinor = rapid.Int64Range(1, 3000).Draw(t, "price")
		}
	}
	// One category has one price.
	for i := range items {
		if items[i].Category == "STANDARD" {
			items[i].BaseMinor = items[slices.IndexFunc(items, func(one pricing.Item) bool { return one.Category == "STANDARD" })].BaseMinor
		}
	}
	quote, err := pricing.NewChain(rules, "2D", moments).Price(items, currency)
	if err != nil {
		t.Fatal(err)
	}
	return link{lines: quote.Lines, items: items, money: quote.Total.AmountMinor}
}

// leave takes seats and money from a link.
func (l *link) leave(t *rapid.T, bill pricing.Bill, positions []int16, minor int64) {
	if len(positions) < len(l.items) {
		rest, err := bill.Rest(positions, minor)
		if err != nil {
			t.Fatal(err)
		}
		l.lines = rest
	}
	l.items = slices.DeleteFunc(l.items, func(i pricing.Item) bool { return slices.Contains(positions, i.Position) })
	l.money -= minor
}

// TestP4_P5_swap_histories lives 10,000 chains of swaps and cancellations, and more: sums agree to the minor unit after each step,
// and a swap gives nobody what a cancellation does not.
func TestP4_P5_swap_histories(t *testing.T) {
	t.Parallel()
	var chains, swaps, dues, backs int
	for range 100 { // rapid's own number is 100
		rapid.Check(t, func(t *rapid.T) {
			chains++
			c := chain{policy: policies(t)}
			c.policy.Swap = &pricing.SwapTerms{FeeMinor: rapid.Int64Range(0, 500).Draw(t, "fee")}
			rules := slices.DeleteFunc(slices.Clone(houses), func(pricing.Rule) bool { return rapid.Bool().Draw(t, "without") })
			currency := rapid.SampledFrom([]string{"JPY", "EUR", "KWD"}).Draw(t, "currency")
			c.links = []link{priced(t, rules, currency)}
			c.paid = c.links[0].money
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				at := rapid.IntRange(0, len(c.links)-1).Draw(t, "of")
				gives := &c.links[at]
				if len(gives.items) == 0 {
					continue
				}
				bill := pricing.BillOf(gives.lines, gives.items)
				all := make([]int16, len(gives.items))
				for i, item := range gives.items {
					all[i] = item.Position
				}
				positions := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID[int16]).Draw(t, "seats")
				terms := c.policy.At(moments.Add(-time.Duration(rapid.IntRange(1, 6000).Draw(t, "lead"))*time.Minute), moments)
				cancelled, err := c.policy.Refund(bill, positions, terms)
				if err != nil {
					t.Fatal(err)
				}
				if rapid.IntRange(0, 3).Draw(t, "cancels") == 0 {
					gives.leave(t, bill, positions, cancelled.TotalMinor)
					c.returned += cancelled.TotalMinor
				} else {
					swaps++
					came := priced(t, rules, currency)
					worth, err := bill.ExchangeOf(positions, c.policy.Swap.FeeMinor)
					if err != nil {
						t.Fatal(err)
					}
					credit := worth.Credit(came.money)
					back, err := c.policy.Surplus(bill, positions, worth, credit, terms)
					if err != nil {
						t.Fatal(err)
					}
					due := came.money - credit
					if back < 0 || due < 0 || credit < 0 || due > 0 && back > 0 || back > cancelled.TotalMinor || worth.FeeMinor+credit+back > worth.ValueMinor {
						t.Fatalf("of %+v, %d pay for %d, and %d come back, of a cancellation %d", worth, credit, came.money, back, cancelled.TotalMinor)
					}
					gives.leave(t, bill, positions, credit+back)
					c.links = append(c.links, came)
					c.paid, c.returned = c.paid+due, c.returned+back
					if due > 0 {
						dues++
					}
					if back > 0 {
						backs++
					}
				}
				var had int64
				for _, l := range c.links {
					if len(l.items) > 0 && pricing.Sum(l.lines) != l.money || l.money < 0 {
						t.Fatalf("what costs %d has %d", pricing.Sum(l.lines), l.money)
					}
					had += l.money
				}
				if had != c.paid-c.returned {
					t.Fatalf("of %d, %d came back, and %d are there", c.paid, c.returned, had)
				}
			}
		})
	}
	if chains < 10_000 || swaps < 10_000 || dues < 1000 || backs < 500 {
		t.Errorf("%d chains, %d swaps, %d with something due, %d with something left", chains, swaps, dues, backs)
	}
}

// TestP4_swap_histories_in_the_database lives some of them with everything that belongs to them: seats, tickets, the gateway and the
// money that is carried. In the end everything is given back, and nobody has anything left.
func TestP4_swap_histories_in_the_database(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 60, MaxSeats: 60, Showtimes: 3})
	for _, rule := range []pricing.Rule{childRule, feeRule, onceRule, taxRule} {
		h.office().rule(t, rule)
	}
	support := worker(auth.RoleSupport, auth.Platform)
	swapped := 0
	rapid.Check(t, func(rt *rapid.T) {
		viewer := newViewer()
		policy := policies(rt)
		policy.Swap = &pricing.SwapTerms{FeeMinor: rapid.Int64Range(0, 500).Draw(rt, "fee")}
		h.policy(t, policy)
		seats := func(n int) []int {
			return rapid.SliceOfNDistinct(rapid.IntRange(3, 60), 1, n, rapid.ID[int]).Draw(rt, "seats")
		}
		result, err := h.booking.Reserve(t.Context(), viewer, h.request(3, 4, 5))
		reserved, ok := result.(booking.Reserved)
		if !ok {
			t.Fatalf("%#v, %v", result, err)
		}
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(reserved.Reservation))
		all := []booking.Reservation{is[booking.Paid](t, paid, err).Reservation}
		for range rapid.IntRange(1, 4).Draw(rt, "steps") {
			at := rapid.IntRange(0, len(all)-1).Draw(rt, "of")
			r, err := h.booking.Reservation(t.Context(), viewer, all[at].ShowtimeID, all[at].ID)
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != booking.StatusConfirmed {
				continue
			}
			var give []int
			if rapid.Bool().Draw(rt, "some") {
				give = []int{int(r.Positions[rapid.IntRange(0, len(r.Positions)-1).Draw(rt, "seat")])}
			}
			if rapid.IntRange(0, 4).Draw(rt, "cancels") == 0 {
				in := h.seatsOf(r, give...)
				if preview, err := h.booking.PreviewRefund(t.Context(), viewer, in); err != nil {
					t.Fatal(err)
				} else if _, closed := preview.(booking.CancellationClosed); !closed {
					h.cancels(t, viewer, in)
				}
				continue
			}
			in := h.swapInput(r, give, rapid.IntRange(0, 2).Draw(rt, "showtime"), seats(4)...)
			if in.Take.ShowtimeID == r.ShowtimeID && slices.ContainsFunc(r.Positions, func(p int16) bool {
				return slices.Contains(in.Take.SeatIDs, h.Seats[p-1].ID)
			}) {
				continue
			}
			held, err := h.booking.SwapSeats(t.Context(), viewer, in)
			if _, lost := held.(booking.SeatsUnavailable); lost {
				continue
			}
			came := is[booking.SwapHeld](t, held, err).Reservation
			paid, err := h.booking.Pay(t.Context(), viewer, payInput(came))
			all = append(all, is[booking.Paid](t, paid, err).Reservation)
			swapped++
		}
		for _, r := range all {
			if kept := h.kept(t, r); kept > 0 {
				_, err := h.booking.Refund(t.Context(), support, booking.RefundInput{
					CancelInput: cancelInput(r), Cause: payment.Goodwill, Reason: "The end of a history.", IdempotencyKey: newKey(),
				})
				if err != nil {
					t.Fatal(err)
				}
			} else {
				result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
				if _, closed := result.(booking.CancellationClosed); err != nil || closed {
					h.Exec(t, `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, r.ShowtimeID)
					h.cancels(t, viewer, cancelInput(r))
					h.Exec(t, `UPDATE showtimes SET status = 'SCHEDULED' WHERE id = $1`, r.ShowtimeID)
				}
			}
		}
		if left := h.captured(); left != 0 {
			t.Fatalf("the gateway has %d left", left)
		}
	})
	if swapped < 20 {
		t.Errorf("only %d swaps", swapped)
	}
	h.rests(t)
}

// kept returns what a reservation's payment has taken and not promised to anybody, in minor units.
func (h *house) kept(t testing.TB, r booking.Reservation) int64 {
	t.Helper()
	return fixture.Get[int64](t, h.DB, `SELECT coalesce(sum(captured_minor - promised_minor), 0)::bigint FROM payments WHERE showtime_id = $1 AND reservation_id = $2`,
		r.ShowtimeID, r.ID)
}
