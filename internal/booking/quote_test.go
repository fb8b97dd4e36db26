package booking_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/pricing"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// seatsLine is the line of so many seats at the price of their category.
func seatsLine(words string, category theater.Category, of pricing.TicketType, quantity int32, unit int64) booking.Line {
	return booking.Line{
		Kind: pricing.Seats, Description: words, Category: &category, TicketType: &of, Quantity: quantity, UnitPrice: nzd(unit), Amount: nzd(unit * int64(quantity)),
	}
}

// office is where the prices of a house are set: a process of its own, and a manager who has just proved who they are.
type office struct {
	*showtime.Service
	manager auth.Viewer
	theater uuid.UUID
}

func (h *house) office() office {
	return office{showtime.NewService(h.DB, clock.System{}), worker(auth.RoleTheaterManager, h.TheaterID), h.TheaterID}
}

func worker(role auth.Role, at uuid.UUID) auth.Viewer {
	return auth.Viewer{UserID: typeid.New(), Strong: true, ProvedAt: time.Now(), Grants: auth.NewGrants(auth.Grant{Role: role, Theater: at})}
}

// rule gives the house a price rule, which must work.
func (o office) rule(t testing.TB, rule pricing.Rule) showtime.PriceRule {
	t.Helper()
	made, err := o.CreatePriceRule(t.Context(), o.manager, o.theater, showtime.PriceRuleInput{Rule: rule, Active: true})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var (
	childRule = pricing.Rule{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, BasisPoints: -3333}
	flatRule  = pricing.Rule{Kind: pricing.ByFormat, Label: "2D", Format: "2D", AmountMinor: 110}
	feeRule   = pricing.Rule{Kind: pricing.Fee, Label: "Booking fee", AmountMinor: 75}
	onceRule  = pricing.Rule{Kind: pricing.Fee, Label: "Card fee", AmountMinor: 90, PerReservation: true}
	taxRule   = pricing.Rule{Kind: pricing.Tax, Label: "GST 15%", BasisPoints: 1500}
)

// asked is the quote for what a reservation would ask.
func asked(in booking.ReserveInput) booking.QuoteInput {
	return booking.QuoteInput{ShowtimeID: in.ShowtimeID, SeatIDs: in.SeatIDs, TicketTypes: in.TicketTypes}
}

// priceOnly leaves out what a quote knows for what comes back of it.
var priceOnly = cmpopts.IgnoreUnexported(booking.Quoted{})

// TestP12_Service_Quote holds what is quoted, held, paid and written on the tickets together.
func TestP12_Service_Quote(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	t.Run("is_what_the_hold_costs", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer() // a house of its own, which comes to rest
		for _, rule := range []pricing.Rule{childRule, flatRule, feeRule, onceRule, taxRule} {
			h.office().rule(t, rule)
		}
		in := h.request(11, 12, 21, 22)
		in.TicketTypes = []booking.SeatType{{SeatID: in.SeatIDs[1], Type: pricing.Child}, {SeatID: in.SeatIDs[3], Type: pricing.Student}, {SeatID: in.SeatIDs[0], Type: pricing.Adult}}
		quoted, err := h.booking.Quote(t.Context(), asked(in))
		if err != nil {
			t.Fatal(err)
		}
		child := pricing.Child
		// Of the child's 12.00 go 4.00, then come 1.10 and 0.75: 9.85, of which GST is 1.48; of 13.85 it is 2.08, of 19.85
		// 2.98, of the 0.90 for the card 0.14.
		want := booking.Quoted{
			Lines: []booking.Line{
				seatsLine("1 x Adult, Premium", theater.CategoryPremium, pricing.Adult, 1, 1800),
				seatsLine("1 x Student, Premium", theater.CategoryPremium, pricing.Student, 1, 1800),
				seatsLine("1 x Adult, Standard", theater.CategoryStandard, pricing.Adult, 1, 1200),
				seatsLine("1 x Child, Standard", theater.CategoryStandard, pricing.Child, 1, 1200),
				{Kind: pricing.ByType, Description: "Child", TicketType: &child, Quantity: 1, UnitPrice: nzd(-400), Amount: nzd(-400)},
				{Kind: pricing.ByFormat, Description: "4 x 2D", Quantity: 4, UnitPrice: nzd(110), Amount: nzd(440)},
				{Kind: pricing.Fee, Description: "4 x Booking fee", Quantity: 4, UnitPrice: nzd(75), Amount: nzd(300)},
				{Kind: pricing.Fee, Description: "Card fee", Quantity: 1, UnitPrice: nzd(90), Amount: nzd(90)},
				{Kind: pricing.Tax, Description: "GST 15%", Quantity: 1, UnitPrice: nzd(148 + 208 + 2*298 + 14), Amount: nzd(148 + 208 + 2*298 + 14)},
			},
			Total: nzd(6000 - 400 + 440 + 300 + 90 + 966),
		}
		if diff := cmp.Diff(want, quoted, priceOnly); diff != "" {
			t.Error(diff)
		}
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		held := is[booking.Reserved](t, result, err).Reservation
		if diff := cmp.Diff(quoted, booking.Quoted{Lines: held.Lines, Total: held.Total}, priceOnly); diff != "" {
			t.Error(diff)
		}
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(held))
		r := is[booking.Paid](t, paid, err).Reservation
		if diff := cmp.Diff(held.Lines, r.Lines); diff != "" || r.Total != held.Total || h.captured() != held.Total.AmountMinor {
			t.Errorf("paid %v, captured %d: %s", r.Total, h.captured(), diff)
		}
		tickets, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()})
		if err != nil {
			t.Fatal(err)
		}
		var types []pricing.TicketType
		for _, ticket := range tickets[r.Reference()] {
			types = append(types, ticket.Type)
			if one, err := h.booking.Ticket(t.Context(), viewer, ticket.ShowtimeID, ticket.ID); err != nil || one != ticket {
				t.Errorf("%+v, %v; want %+v", one, err, ticket)
			}
		}
		if want := []pricing.TicketType{pricing.Adult, pricing.Child, pricing.Adult, pricing.Student}; !slices.Equal(types, want) {
			t.Errorf("tickets for %v, want %v", types, want)
		}
		h.rests(t)
	})
	t.Run("is_stale_when_a_rule_changes", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		office := h.office()
		price := func() int64 {
			t.Helper()
			r := h.hold(t, newViewer(), h.fresh(1)...)
			return r.Total.AmountMinor
		}
		if got := price(); got != 1200 {
			t.Fatalf("without rules: %d", got)
		}
		made := office.rule(t, flatRule) // another process remembers the price of before
		if quoted, err := h.booking.Quote(t.Context(), asked(h.request(18))); err != nil || quoted.Total.AmountMinor != 1200 {
			t.Fatalf("the other process quotes %v, %v: it remembers nothing, so the test shows nothing", quoted.Total, err)
		}
		if got := price(); got != 1310 {
			t.Errorf("with a rule: %d", got)
		}
		in := showtime.PriceRuleInput{Rule: flatRule}
		if _, err := office.UpdatePriceRule(t.Context(), office.manager, made.ID, in); err != nil {
			t.Fatal(err)
		}
		if got := price(); got != 1200 {
			t.Errorf("with a rule switched off: %d", got)
		}
		in.Active, in.Rule.AmountMinor = true, 500
		if _, err := office.UpdatePriceRule(t.Context(), office.manager, made.ID, in); err != nil {
			t.Fatal(err)
		}
		if got := price(); got != 1700 {
			t.Errorf("with a rule changed: %d", got)
		}
		if err := office.DeletePriceRule(t.Context(), office.manager, made.ID); err != nil {
			t.Fatal(err)
		}
		if got := price(); got != 1200 {
			t.Errorf("without the rule: %d", got)
		}
	})
	t.Run("holds_are_never_of_two_price_lists", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Seats: 200})
		office, done := h.office(), atomic.Bool{}
		made := office.rule(t, flatRule)
		const changes, buyers = 20, 6
		together(buyers+1, func(i int) {
			if i == buyers {
				defer done.Store(true)
				for n := range changes {
					in := showtime.PriceRuleInput{Rule: flatRule, Active: n%2 == 1}
					if _, err := office.UpdatePriceRule(t.Context(), office.manager, made.ID, in); err != nil {
						t.Error(err)
					}
				}
				return
			}
			for n := 0; n < 25 && !done.Load(); n++ {
				result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(30+i*25+n))
				if apperr.CodeOf(err) == apperr.Unavailable {
					continue // the list changed faster than it could be read
				}
				if got, ok := result.(booking.Reserved); err != nil || !ok || got.Reservation.Total.AmountMinor != 1200 && got.Reservation.Total.AmountMinor != 1310 {
					t.Errorf("%#v, %v", result, err)
				}
			}
		})
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations WHERE showtime_id = $1
			AND amount_minor <> (SELECT sum((line ->> 'amountMinor')::bigint) FROM jsonb_array_elements(lines) line)`, h.Show()); n != 0 {
			t.Errorf("the lines of %d reservations do not add up", n)
		}
	})
	t.Run("names_what_is_wrong", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Prices: map[string]int64{"STANDARD": 1200}})
		of := func(positions []int, types ...booking.SeatType) booking.QuoteInput {
			return booking.QuoteInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(positions...), TicketTypes: types}
		}
		child := func(position int) booking.SeatType {
			return booking.SeatType{SeatID: h.SeatIDs(position)[0], Type: pricing.Child}
		}
		for field, in := range map[string]booking.QuoteInput{
			"input.seatIds":              of(nil),
			"input.seatIds.1":            of([]int{11, 11}),
			"input.ticketTypes.0.seatId": of([]int{11}, child(12)),
			"input.ticketTypes.1.seatId": of([]int{11}, child(11), child(11)),
		} {
			_, err := h.booking.Quote(t.Context(), in)
			_, reserving := h.booking.Reserve(t.Context(), newViewer(), booking.ReserveInput{
				ShowtimeID: in.ShowtimeID, SeatIDs: in.SeatIDs, TicketTypes: in.TicketTypes, IdempotencyKey: newKey(),
			})
			for _, err := range []error{err, reserving} {
				if e, ok := errors.AsType[*apperr.Error](err); !ok || e.Code != apperr.BadUserInput || len(e.Fields) != 1 || e.Fields[0].Path != field {
					t.Errorf("%s: %v", field, err)
				}
			}
		}
		_, err := h.booking.Quote(t.Context(), of([]int{21}))
		refused(t, nil, err, apperr.BadUserInput) // PREMIUM, which has no price
		_, err = h.booking.Quote(t.Context(), booking.QuoteInput{ShowtimeID: uuid.Max, SeatIDs: h.SeatIDs(11)})
		refused(t, nil, err, apperr.NotFound)
		_, err = h.booking.Quote(t.Context(), booking.QuoteInput{ShowtimeID: h.Show(), SeatIDs: []uuid.UUID{uuid.Max}})
		refused(t, nil, err, apperr.BadUserInput)
	})
	t.Run("reads_what_was_stored_before_there_were_rules", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		r := h.buy(t, viewer, 11, 12)
		h.Exec(t, `UPDATE reservations SET lines = '[{"description": "2 x Standard", "category": "STANDARD", "quantity": 2, "unitMinor": 1200, "amountMinor": 2400}]'
			WHERE showtime_id = $1 AND id = $2`, r.ShowtimeID, r.ID)
		got, err := h.booking.Reservation(t.Context(), viewer, r.ShowtimeID, r.ID)
		want := []booking.Line{seatsLine("2 x Standard", theater.CategoryStandard, pricing.Adult, 2, 1200)}
		if diff := cmp.Diff(want, got.Lines); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
		tickets, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()})
		if of := tickets[r.Reference()]; err != nil || len(of) != 2 || of[0].Type != pricing.Adult {
			t.Errorf("%+v, %v", of, err)
		}
	})
}

// TestP1_Service_Reserve_ticket_types makes sure that whom the seats are for is part of what a key was used for.
func TestP1_Service_Reserve_ticket_types(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	in := h.request(11, 12)
	result, err := h.booking.Reserve(t.Context(), viewer, in)
	first := is[booking.Reserved](t, result, err).Reservation
	in.TicketTypes = []booking.SeatType{{SeatID: in.SeatIDs[0], Type: pricing.Adult}}
	result, err = h.booking.Reserve(t.Context(), viewer, in)
	if again := is[booking.Reserved](t, result, err).Reservation; again.ID != first.ID {
		t.Errorf("saying that an adult is an adult makes another reservation, %v", again.ID)
	}
	in.TicketTypes[0].Type = pricing.Child
	result, err = h.booking.Reserve(t.Context(), viewer, in)
	refused(t, result, err, apperr.IdempotencyKeyReused)

	in = h.request(13, 14)
	in.TicketTypes = []booking.SeatType{{SeatID: in.SeatIDs[0], Type: pricing.Child}}
	result, err = h.booking.Reserve(t.Context(), viewer, in)
	child := is[booking.Reserved](t, result, err).Reservation
	result, err = h.booking.Reserve(t.Context(), viewer, in)
	if again := is[booking.Reserved](t, result, err).Reservation; again.ID != child.ID || again.Types[13] != pricing.Child || len(again.Types) != 1 {
		t.Errorf("the same again is %+v", again)
	}
	for _, types := range [][]booking.SeatType{nil, {{SeatID: in.SeatIDs[1], Type: pricing.Child}}, {{SeatID: in.SeatIDs[0], Type: pricing.Senior}}} {
		in.TicketTypes = types
		result, err = h.booking.Reserve(t.Context(), viewer, in)
		refused(t, result, err, apperr.IdempotencyKeyReused)
	}
}

func TestService_Best_by_the_rules(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	for _, rule := range []pricing.Rule{flatRule, feeRule, onceRule, taxRule} {
		h.office().rule(t, rule)
	}
	// Two standard seats: 12.00, 1.10 and 0.75 with 2.08 of tax each, and 0.90 with 0.14 for the card.
	const two = 2*(1385+208) + 90 + 14
	for _, c := range []struct {
		most int64
		want bool
	}{{two, true}, {two - 1, false}} {
		best, err := h.booking.Best(t.Context(), booking.BestInput{
			ShowtimeID: h.Show(), Seats: 2, Limit: 1, MostMinor: &c.most, Categories: []theater.Category{theater.CategoryStandard},
		})
		if err != nil || len(best) > 0 != c.want || c.want && best[0].Total != nzd(two) {
			t.Errorf("for at most %d: %+v, %v", c.most, best, err)
		}
	}
}
