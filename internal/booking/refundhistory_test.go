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

// life is a reservation without a database: its states follow the table of the program, its money the program's arithmetic,
// and what it should have come to is kept beside, ticket by ticket.
type life struct {
	status   booking.Status
	lines    []pricing.Line
	items    []pricing.Item
	policy   pricing.RefundPolicy
	now      time.Time
	startsAt time.Time

	worth          map[int16]int64 // of each ticket, as it was held
	once           int64
	paid, returned int64
	kept           int64
}

var (
	moments = time.Date(2026, time.November, 23, 20, 0, 0, 0, time.UTC)
	houses  = []pricing.Rule{childRule, flatRule, feeRule, onceRule, taxRule}
)

func newLife(t *rapid.T) *life {
	l := &life{
		status: booking.StatusHeld, policy: policies(t), startsAt: moments,
		now: moments.Add(-time.Duration(rapid.IntRange(1, 3000).Draw(t, "lead")) * time.Minute), worth: map[int16]int64{},
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "seats") {
		l.items = append(l.items, pricing.Item{
			Position: int16(i + 1), Category: rapid.SampledFrom([]string{"STANDARD", "COMPANION"}).Draw(t, "category"), Title: "Seat",
			Type: rapid.SampledFrom(pricing.TicketTypes()).Draw(t, "type"),
		})
		if l.items[i].Category == "STANDARD" {
			l.items[i].BaseMinor = 1285
		}
	}
	rules := slices.DeleteFunc(slices.Clone(houses), func(pricing.Rule) bool { return rapid.Bool().Draw(t, "without") })
	quote, err := pricing.NewChain(rules, "2D", moments).Price(l.items, rapid.SampledFrom([]string{"JPY", "EUR", "KWD"}).Draw(t, "currency"))
	if err != nil {
		t.Fatal(err)
	}
	l.lines, l.once = quote.Lines, quote.Total.AmountMinor
	for _, ticket := range pricing.BillOf(l.lines, l.items).Tickets() {
		l.worth[ticket.Position] = ticket.PriceMinor + ticket.FeeMinor
		l.once -= l.worth[ticket.Position]
	}
	return l
}

// policies draws a policy that can be set.
func policies(t *rapid.T) pricing.RefundPolicy {
	p := pricing.RefundPolicy{
		LateWithoutRefund: rapid.Bool().Draw(t, "late"), FeesReturned: rapid.Bool().Draw(t, "fees"),
		KeptPerTicketMinor: rapid.Int64Range(0, 200).Draw(t, "per ticket"), KeptOnceMinor: rapid.Int64Range(0, 300).Draw(t, "once"),
	}
	for minutes, share := int32(3000), int32(10_000); share > 0 && minutes >= 0 && len(p.Steps) < 4; {
		p.Steps = append(p.Steps, pricing.RefundStep{Minutes: minutes, BasisPoints: share})
		minutes -= rapid.Int32Range(1, 2000).Draw(t, "sooner")
		share -= rapid.Int32Range(1, 6000).Draw(t, "less")
	}
	return p
}

// some draws tickets of the reservation, one at least.
func (l *life) some(t *rapid.T) []int16 {
	all := make([]int16, len(l.items))
	for i, item := range l.items {
		all[i] = item.Position
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID[int16]).Draw(t, "seats")
}

// cancel is what the program does: it judges, gives back and takes away.
func (l *life) cancel(t *rapid.T, positions []int16, cause payment.Cause) {
	next, ok := l.status.After(booking.EventCancel)
	if !ok {
		return
	}
	bill, whole := pricing.BillOf(l.lines, l.items), len(positions) == len(l.items)
	var back pricing.Refund
	var err error
	switch terms := l.policy.At(l.now, l.startsAt); {
	case l.status != booking.StatusConfirmed:
	case cause != payment.ByCustomer:
		back, err = bill.Everything(positions)
	case terms.Refused:
		return
	default:
		back, err = l.policy.Refund(bill, positions, terms)
	}
	if err != nil {
		t.Fatal(err)
	}
	gone := l.leave(positions)
	if l.status == booking.StatusConfirmed {
		if back.PaidMinor != gone || back.TotalMinor < 0 || back.TotalMinor > gone || cause != payment.ByCustomer && back.TotalMinor != gone {
			t.Fatalf("%d of %d comes back, of what was worth %d", back.TotalMinor, back.PaidMinor, gone)
		}
		l.returned += back.TotalMinor
		l.kept += gone - back.TotalMinor
	}
	switch {
	case whole:
		l.status = next
	case l.status == booking.StatusConfirmed:
		l.lines, err = bill.Rest(positions, back.TotalMinor)
	default:
		l.lines, err = bill.Without(positions)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// leave takes tickets away, and returns what they were worth.
func (l *life) leave(positions []int16) (gone int64) {
	for _, position := range positions {
		gone += l.worth[position]
		delete(l.worth, position)
	}
	l.items = slices.DeleteFunc(l.items, func(i pricing.Item) bool { return slices.Contains(positions, i.Position) })
	for _, worth := range l.worth {
		if worth > 0 {
			return gone
		}
	}
	gone += l.once
	l.once = 0
	return gone
}

// check holds the books together, to the minor unit.
func (l *life) check(t *rapid.T) {
	left := l.once
	for _, worth := range l.worth {
		left += worth
	}
	if l.status == booking.StatusConfirmed && pricing.Sum(l.lines) != l.paid-l.returned {
		t.Fatalf("it costs %d, of %d paid %d went back", pricing.Sum(l.lines), l.paid, l.returned)
	}
	switch l.status {
	case booking.StatusConfirmed, booking.StatusCancelled:
		if l.paid != 0 && l.paid != l.returned+l.kept+left || l.returned > l.paid {
			t.Fatalf("of %d, %d went back, %d were kept and %d are left", l.paid, l.returned, l.kept, left)
		}
	case booking.StatusHeld, booking.StatusReserved:
		if pricing.Sum(l.lines) != left || l.paid != 0 {
			t.Fatalf("it costs %d, want %d", pricing.Sum(l.lines), left)
		}
	default:
	}
}

// TestP4_P5_histories lives 10,000 lives of reservations, and more: held, kept unpaid, paid, expired, given back in parts and
// as a whole, by the customer and by the theater. After each step the sums agree to the minor unit.
func TestP4_P5_histories(t *testing.T) {
	t.Parallel()
	ends := map[booking.Status]int{}
	lives, partly := 0, 0
	for range 100 { // rapid's own number is 100
		rapid.Check(t, func(t *rapid.T) {
			l := newLife(t)
			lives++
			for _, step := range rapid.SliceOfN(rapid.SampledFrom([]string{"pay", "pay", "keep", "expire", "wait", "some", "some", "all", "theater", "theater some"}), 1, 8).Draw(t, "steps") {
				switch step {
				case "pay":
					if next, ok := l.status.After(booking.EventConfirm); ok {
						l.status, l.paid = next, pricing.Sum(l.lines)
					}
				case "keep":
					if next, ok := l.status.After(booking.EventReserve); ok {
						l.status = next
					}
				case "expire":
					if next, ok := l.status.After(booking.EventExpire); ok {
						l.status = next
					}
				case "wait":
					l.now = l.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "minutes")) * time.Minute)
				case "all":
					l.cancel(t, l.positions(), payment.ByCustomer)
				case "theater":
					l.cancel(t, l.positions(), payment.ByTheater)
				default:
					cause := payment.ByCustomer
					if step != "some" {
						cause = payment.ByTheater
					}
					if len(l.items) > 0 {
						l.cancel(t, l.some(t), cause)
						partly++
					}
				}
				l.check(t)
			}
			ends[l.status]++
		})
	}
	for _, status := range statuses {
		if ends[status] == 0 {
			t.Errorf("of %d lives none ends as %s", lives, status)
		}
	}
	if lives < 10_000 || partly < 1000 {
		t.Errorf("%d lives, %d cancellations of some seats", lives, partly)
	}
}

func (l *life) positions() []int16 {
	all := make([]int16, len(l.items))
	for i, item := range l.items {
		all[i] = item.Position
	}
	return all
}

// TestP4_histories_in_the_database lives some of them with everything that belongs to them: seats, tickets, the gateway. Each
// cancellation does what was told before, and in the end the rules of the house hold.
func TestP4_histories_in_the_database(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 60})
	for _, rule := range []pricing.Rule{childRule, feeRule, onceRule, taxRule} {
		h.office().rule(t, rule)
	}
	support := worker(auth.RoleSupport, auth.Platform)
	rapid.Check(t, func(rt *rapid.T) {
		viewer := newViewer()
		h.startsIn(t, 60*time.Hour)
		h.policy(t, policies(rt))
		seats := rapid.SliceOfNDistinct(rapid.IntRange(3, 40), 1, 5, rapid.ID[int]).Draw(rt, "seats")
		in := h.request(seats...)
		in.TicketTypes = []booking.SeatType{{SeatID: in.SeatIDs[0], Type: pricing.Child}}
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		r := is[booking.Reserved](t, result, err).Reservation
		for range rapid.IntRange(1, 4).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				if r.Status == booking.StatusHeld {
					result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
					r = is[booking.Paid](t, result, err).Reservation
				}
			case 1:
				h.startsIn(t, time.Duration(rapid.IntRange(1, 3000).Draw(rt, "minutes"))*time.Minute)
			default:
				in := h.seatsOf(r, seats[rapid.IntRange(0, len(seats)-1).Draw(rt, "seat")])
				if preview, err := h.booking.PreviewRefund(t.Context(), viewer, in); err != nil {
					t.Fatal(err)
				} else if _, closed := preview.(booking.CancellationClosed); closed {
					continue
				}
				r = h.cancels(t, viewer, in)
			}
		}
		paid := h.promised(t, cancelInput(r)) + r.Total.AmountMinor
		switch {
		case r.Status == booking.StatusHeld:
			h.cancels(t, viewer, cancelInput(r))
		case r.Status == booking.StatusConfirmed && r.Total.AmountMinor > 0:
			got, err := h.booking.Refund(t.Context(), support, booking.RefundInput{
				CancelInput: cancelInput(r), Cause: payment.Goodwill, Reason: "The end of a history.", IdempotencyKey: newKey(),
			})
			if err != nil || got.Returned.AmountMinor != paid || got.Paid.AmountMinor != paid {
				t.Fatalf("%+v, %v; want all of %d", got, err, paid)
			}
		case r.Status == booking.StatusConfirmed:
			h.startsIn(t, time.Hour)
			h.Exec(t, `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, h.Show())
			h.cancels(t, viewer, cancelInput(r))
			h.Exec(t, `UPDATE showtimes SET status = 'SCHEDULED' WHERE id = $1`, h.Show())
		}
	})
	h.rests(t)
}
