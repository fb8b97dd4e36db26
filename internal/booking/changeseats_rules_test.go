package booking_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
)

// TestService_ChangeSeats_rules judges a change as if the seats that it gives back were free already.
func TestService_ChangeSeats_rules(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	house := func(t *testing.T) (*house, auth.Viewer) { t.Helper(); return houseIn(t, db, strict), newViewer() }
	t.Run("what_is_given_back_may_not_be_left_alone", func(t *testing.T) {
		t.Parallel()
		h, viewer := house(t)
		r := h.hold(t, viewer, 15, 16)
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 16))
		got := is[booking.RuleBroken](t, result, err)
		if got.Rule != booking.RuleSeatAlone || labelsOf(got.Seats) != "B5" || len(got.Alternatives) == 0 {
			t.Errorf("the refusal is %+v", got)
		}
		for _, other := range got.Alternatives {
			in := h.changeTo(r)
			in.SeatIDs = idsOf(other.Seats)
			result, err := h.booking.ChangeSeats(t.Context(), viewer, in)
			is[booking.Changed](t, result, err)
			result, err = h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 15, 16))
			is[booking.Changed](t, result, err)
		}
	})
	t.Run("what_it_has_is_offered_again", func(t *testing.T) {
		t.Parallel()
		h, viewer := house(t)
		r := h.hold(t, viewer, 17, 18)
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 16, 17))
		got := is[booking.RuleBroken](t, result, err)
		if labelsOf(got.Seats) != "B5" || len(got.Alternatives) == 0 || labelsOf(got.Alternatives[0].Seats) != "B5 B6" {
			t.Errorf("the refusal is %+v, want the party one seat aside first", got)
		}
		if letters := h.letters(t, 15, 16, 17, 18); letters != "AAHH" {
			t.Errorf("the seats are %s", letters)
		}
	})
	t.Run("near_the_start_anything_goes", func(t *testing.T) {
		t.Parallel()
		h, viewer := house(t)
		h.Exec(t, `UPDATE showtimes SET starts_at = now() + interval '29 minutes' WHERE id = $1`, h.Show())
		r := h.hold(t, viewer, 15, 16)
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 16, 17))
		is[booking.Changed](t, result, err)
	})
	t.Run("a_place_for_a_wheelchair_takes_the_need", func(t *testing.T) {
		t.Parallel()
		h, viewer := house(t)
		r := h.hold(t, viewer, 15)
		in := h.changeTo(r, 1)
		result, err := h.booking.ChangeSeats(t.Context(), viewer, in)
		if got := is[booking.RuleBroken](t, result, err); got.Rule != booking.RuleWheelchair {
			t.Errorf("the refusal is %+v", got)
		}
		in.AccessibleNeed = true
		result, err = h.booking.ChangeSeats(t.Context(), viewer, in)
		is[booking.Changed](t, result, err)
		in.AccessibleNeed = false
		result, err = h.booking.ChangeSeats(t.Context(), viewer, in)
		refused(t, result, err, apperr.IdempotencyKeyReused)
	})
}

// TestChange_is_what_was_said_before asks what a change would be refused for and what it would cost, and then makes it: the
// change does what was said, whatever seats are asked for.
func TestChange_is_what_was_said_before(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, strict), newViewer()
	code := h.code(t, "ONLYONCE", func(in *promotion.Input) {
		in.MaxUses, in.PerUser, in.Scope.Categories = new(int32(1)), new(int32(1)), []string{"STANDARD"}
	})
	result, err := h.booking.Reserve(t.Context(), viewer, using(h.request(15, 16, 17), "ONLYONCE"))
	r := is[booking.Reserved](t, result, err).Reservation
	h.hold(t, viewer, 25, 26, 27, 28)
	h.hold(t, newViewer(), 11, 12)
	random := rand.New(rand.NewPCG(1, 2))
	var said [2]int
	for range 150 {
		h := houseAgain(h) // a refusal judges by what the process knew of the seats within the last moment
		seats := random.Perm(26)[:1+random.IntN(7)]
		for i := range seats {
			seats[i]++
			if random.IntN(8) > 0 { // mostly neighbours
				seats[i] = seats[0] + i
			}
		}
		slices.Sort(seats)
		seats = slices.Compact(seats)
		checked, err := h.booking.Check(t.Context(), viewer.UserID, booking.CheckInput{ShowtimeID: r.ShowtimeID, SeatIDs: h.SeatIDs(seats...), Instead: r.ID})
		if err != nil {
			t.Fatal(err)
		}
		quoted, err := h.booking.Quote(t.Context(), booking.QuoteInput{
			ShowtimeID: r.ShowtimeID, SeatIDs: h.SeatIDs(seats...), ViewerID: viewer.UserID, Instead: r.ID,
		})
		if err != nil || len(quoted.Promotions) != 1 {
			t.Fatal(quoted, err)
		}
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats...))
		got, done := result.(booking.Changed)
		if err != nil || done != (checked.Reservable() && quoted.Promotions[0].Refusal == "") {
			t.Fatalf("%v: said %+v and %+v, done %#v, %v", seats, checked.Problems, quoted.Promotions, result, err)
		}
		if done {
			said[1]++
			if got.Reservation.Total != quoted.Total {
				t.Fatalf("%v: said %v, costs %v", seats, quoted.Total, got.Reservation.Total)
			}
			continue
		}
		said[0]++
	}
	if min(said[0], said[1]) < 10 {
		t.Errorf("%d refused and %d done prove little", said[0], said[1])
	}
	h.wantUsed(t, code, 1, fixture.Get[int](t, h.DB, `SELECT used_minor::integer FROM promotions`))
	// Of what cannot be changed nothing is said.
	if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err != nil {
		t.Fatal(err)
	}
	_, err = h.booking.Check(t.Context(), viewer.UserID, booking.CheckInput{ShowtimeID: r.ShowtimeID, SeatIDs: h.SeatIDs(15), Instead: r.ID})
	refused(t, nil, err, apperr.Conflict)
	asked := booking.QuoteInput{ShowtimeID: r.ShowtimeID, SeatIDs: h.SeatIDs(15), ViewerID: viewer.UserID, Instead: r.ID}
	_, err = h.booking.Quote(t.Context(), asked)
	refused(t, nil, err, apperr.Conflict)
	asked.ViewerID = newViewer().UserID
	_, err = h.booking.Quote(t.Context(), asked)
	refused(t, nil, err, apperr.NotFound)
}

// TestS10_change_of_seats_of_one_source lets holds from one address, or on one device, grow at once: together they get
// what one may have.
func TestS10_change_of_seats_of_one_source(t *testing.T) {
	t.Parallel()
	const most, holds = 10, 8
	for of, limit := range map[booking.LimitOf]func(c *booking.Config, most int){
		booking.LimitOfAddress: func(c *booking.Config, most int) { c.SeatsPerAddress = most },
		booking.LimitOfDevice:  func(c *booking.Config, most int) { c.SeatsPerDevice = most },
	} {
		t.Run(string(of), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100})
			limitedTo := func(most int) *booking.Service {
				return h.process(h.gateway, limited(func(c *booking.Config) { limit(c, most) }))
			}
			node := limitedTo(most)
			held := make([]booking.Reservation, holds)
			for i := range held {
				in := h.request(11 + 5*i)
				in.Address, in.Device = "192.0.2.7", "the only one"
				result, err := node.Reserve(t.Context(), newViewer(), in)
				held[i] = is[booking.Reserved](t, result, err).Reservation
			}
			var grown atomic.Int32
			together(holds, func(i int) {
				r := held[i]
				result, err := node.ChangeSeats(t.Context(), viewerOf(r), h.changeTo(r, 11+5*i, 12+5*i))
				switch got := result.(type) {
				case booking.Changed:
					grown.Add(1)
				case booking.LimitExceeded:
					if want := (booking.LimitExceeded{Of: of, Limit: most}); got != want {
						t.Errorf("refused with %+v", got)
					}
				default:
					t.Errorf("%#v, %v", result, err)
				}
			})
			if grown.Load() != most-holds {
				t.Errorf("%d holds grew, want %d", grown.Load(), most-holds)
			}
			// Who wants no more than before is never refused, whatever became of the limit.
			node = limitedTo(1)
			for i, r := range held {
				result, err := node.ChangeSeats(t.Context(), viewerOf(r), h.changeTo(r, 13+5*i))
				is[booking.Changed](t, result, err)
			}
			h.rests(t)
		})
	}
}

// TestS10_changes_beside_reservations lets a viewer grow holds and make others in many tabs at once.
func TestS10_changes_beside_reservations(t *testing.T) {
	t.Parallel()
	const most = 10
	h, viewer := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: most}), newViewer()
	r := h.hold(t, viewer, 11)
	together(40, func(i int) {
		if i%2 == 0 {
			result, err := h.booking.Reserve(t.Context(), viewer, h.request(50+i))
			if _, ok := result.(booking.ShowtimeClosed); ok || err != nil {
				t.Errorf("reserve: %#v, %v", result, err)
			}
			return
		}
		seats := []int{11}
		for seat := range i % 8 {
			seats = append(seats, 12+seat)
		}
		if _, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats...)); err != nil {
			t.Errorf("change: %v", err)
		}
	})
	h.rests(t)
	if left := fixture.Get[int](t, h.DB, `SELECT $2 - sum(cardinality(seats))::integer FROM reservations WHERE viewer_id = $1`, viewer.UserID, most); left > most/2 {
		t.Errorf("%d seats are left to the customer: the tabs did not meet", left)
	}
}

// TestBK7_change_of_seats makes sure that a code counts once for a reservation, whichever seats it has, and for what it
// takes off them.
func TestBK7_change_of_seats(t *testing.T) {
	t.Parallel()
	hold := func(t *testing.T, h *house, position int, codes ...string) booking.Reservation {
		t.Helper()
		result, err := h.booking.Reserve(t.Context(), newViewer(), using(h.request(position), codes...))
		return is[booking.Reserved](t, result, err).Reservation
	}
	change := func(t *testing.T, h *house, in booking.ChangeInput, r booking.Reservation) (booking.ChangeResult, error) {
		t.Helper()
		result, err := h.booking.ChangeSeats(t.Context(), viewerOf(r), in)
		h.rests(t)
		return result, err
	}
	with := func(in booking.ChangeInput, codes ...string) booking.ChangeInput {
		in.PromoCodes = append([]string{}, codes...)
		return in
	}
	t.Run("its_codes_stay_and_are_counted_once", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		most := int64(900)
		code := h.code(t, "JUSTENOUGH", func(in *promotion.Input) { in.MaxUses, in.PerUser, in.MaxMinor = new(int32(1)), new(int32(1)), &most })
		r := hold(t, h, 11, "JUSTENOUGH")
		for seats, want := range map[int]int{3: 900, 1: 300, 2: 600} {
			positions := []int{12, 13, 14}[:seats]
			result, err := change(t, h, h.changeTo(r, positions...), r)
			if got := is[booking.Changed](t, result, err).Reservation; got.Total != nzd(int64(900*seats)) {
				t.Errorf("%d seats cost %v: %+v", seats, got.Total, got.Lines)
			}
			h.wantUsed(t, code, 1, want)
		}
		before := h.usedOf(t, code)
		result, err := change(t, h, h.changeTo(r, 12, 13, 14, 15), r)
		if got := is[booking.PromotionRefused](t, result, err); got.Reason != promotion.TooLittleLeft || got.Code != "JUSTENOUGH" {
			t.Errorf("%+v, want the budget to be too small", got)
		}
		if got := h.usedOf(t, code); got != before {
			t.Errorf("the code is used %s after a refusal, %s before", got, before)
		}
		if _, err := h.booking.Cancel(t.Context(), viewerOf(r), cancelInput(r)); err != nil {
			t.Fatal(err)
		}
		h.wantUsed(t, code, 0, 0)
	})
	t.Run("others_are_used_instead_and_back_again", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		one, other := h.code(t, "FIRSTCODE", nil), h.code(t, "OTHERCODE", func(in *promotion.Input) { in.BasisPoints, in.AmountMinor = 0, -100 })
		r := hold(t, h, 11, "FIRSTCODE")
		for i, want := range []struct {
			codes      []string
			total      int64
			one, other int
		}{
			{[]string{"othercode"}, 1100, 0, 1},
			{nil, 1200, 0, 0},
			{[]string{"FIRSTCODE"}, 900, 1, 0},
			{[]string{"FIRSTCODE"}, 900, 1, 0},
		} {
			result, err := change(t, h, with(h.changeTo(r, 12), want.codes...), r)
			if got := is[booking.Changed](t, result, err).Reservation; got.Total != nzd(want.total) || len(got.PromoCodes) != len(want.codes) {
				t.Errorf("change %d: %v with %v", i, got.Total, got.PromoCodes)
			}
			h.wantUsed(t, one, want.one, 300*want.one)
			h.wantUsed(t, other, want.other, 100*want.other)
		}
	})
	t.Run("a_code_that_is_not_for_them_changes_nothing", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		code := h.code(t, "STANDARDS", func(in *promotion.Input) { in.Scope.Categories = []string{"STANDARD"} })
		r, premium := hold(t, h, 11, "STANDARDS"), h.Positions("PREMIUM")[0]
		refusedFor := func(in booking.ChangeInput, code string, reason promotion.Reason) {
			t.Helper()
			result, err := change(t, h, in, r)
			if got := is[booking.PromotionRefused](t, result, err); got.Code != code || got.Reason != reason {
				t.Errorf("%+v, want %s of %s", got, reason, code)
			}
		}
		in := h.changeTo(r, premium)
		refusedFor(in, "STANDARDS", promotion.NotForThis)
		refusedFor(with(h.changeTo(r, 12), "NOSUCHCODE"), "NOSUCHCODE", promotion.Unknown)
		refusedFor(with(h.changeTo(r, 12), "STANDARDS", "NOSUCHCODE"), "STANDARDS", promotion.NotCombinable)
		h.wantUsed(t, code, 1, 300)
		if letters := h.letters(t, 11, 12, premium); letters != "HAA" {
			t.Errorf("seats %s, want HAA", letters)
		}
		h.Exec(t, `UPDATE promotions SET active = false, version = version + 1`)
		refusedFor(h.changeTo(r, 12), "STANDARDS", promotion.Unknown)
		// What a refusal keeps from a change, another request may have.
		result, err := change(t, h, with(in), r)
		if got := is[booking.Changed](t, result, err).Reservation; got.Total != nzd(1800) {
			t.Errorf("it costs %v", got.Total)
		}
		h.wantUsed(t, code, 0, 0)
	})
	t.Run("A5_who_guessed_may_keep_what_they_have", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		h.code(t, "RIGHTONE", nil)
		r := hold(t, h, 11, "RIGHTONE")
		for i := range 10 {
			result, err := change(t, h, with(h.changeTo(r, 12), fmt.Sprintf("GUESS%d", i)), r)
			is[booking.PromotionRefused](t, result, err)
		}
		result, err := change(t, h, with(h.changeTo(r, 12), "RIGHTONE"), r)
		refused(t, result, err, apperr.Throttled)
		result, err = change(t, h, h.changeTo(r, 12), r)
		is[booking.Changed](t, result, err)
	})
	t.Run("what_another_change_did_meanwhile_counts", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		code := h.code(t, "FORAWHILE", nil)
		r := hold(t, h, 11, "FORAWHILE")
		exec, commit := h.begin(t)
		exec(`SELECT FROM reservations WHERE id = $1 FOR UPDATE`, r.ID)
		var result booking.ChangeResult
		var err error
		var call sync.WaitGroup
		call.Go(func() { result, err = h.booking.ChangeSeats(t.Context(), viewerOf(r), h.changeTo(r, 12)) })
		h.blocked(t, 1)
		exec(`UPDATE reservations SET lines = '[]', amount_minor = 1200 WHERE id = $1`, r.ID)
		exec(`DELETE FROM promotion_redemptions`)
		exec(`UPDATE promotions SET used_count = 0, used_minor = 0`)
		commit()
		call.Wait()
		if got := is[booking.Changed](t, result, err).Reservation; got.Total != nzd(1200) {
			t.Errorf("it costs %v: %+v", got.Total, got.Lines)
		}
		h.wantUsed(t, code, 0, 0)
	})
	t.Run("promotions_are_locked_by_their_ids", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		combinable := func(in *promotion.Input) { in.Combinable = true }
		lower, higher := h.code(t, "ALPHACODE", combinable), h.code(t, "BRAVOCODE", combinable)
		r := hold(t, h, 11, higher.Code)
		exec, commit := h.begin(t)
		exec(`SELECT FROM promotions WHERE id = $1 FOR UPDATE`, lower.ID)
		var result booking.ChangeResult
		var err error
		var call sync.WaitGroup
		call.Go(func() {
			result, err = h.booking.ChangeSeats(t.Context(), viewerOf(r), with(h.changeTo(r, 12), higher.Code, lower.Code))
		})
		h.blocked(t, 1)
		exec(`SELECT FROM promotions WHERE id = $1 FOR UPDATE NOWAIT`, higher.ID)
		commit()
		call.Wait()
		is[booking.Changed](t, result, err)
	})
	t.Run("codes_and_types_come_and_go_at_once", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{Seats: 100})
		combinable := func(in *promotion.Input) { in.Combinable, in.MaxUses = true, new(int32(40)) }
		codes := []promotion.Promotion{h.code(t, "ALPHACODE", combinable), h.code(t, "BRAVOCODE", combinable)}
		var held [2]booking.Reservation
		for i := range held {
			held[i] = hold(t, h, 21+i, codes[i].Code)
		}
		retries := h.DB.Stats().TxRetries
		together(24, func(i int) {
			r := held[i%2]
			in := h.changeTo(r, 31+i, 61+i)
			if i%3 > 0 {
				in = with(in, codes[i%3-1].Code, codes[i%3%2].Code)
			}
			in.TicketTypes = []booking.SeatType{{SeatID: in.SeatIDs[0], Type: pricing.Child}}
			result, err := h.booking.ChangeSeats(t.Context(), viewerOf(r), in)
			if _, ok := result.(booking.Changed); !ok && apperr.CodeOf(err) != apperr.Unavailable {
				t.Errorf("%#v, %v", result, err)
			}
		})
		if n := h.DB.Stats().TxRetries - retries; n != 0 {
			t.Errorf("%d deadlocks", n)
		}
		for _, code := range codes {
			lines := fixture.Get[int](t, h.DB, `SELECT coalesce(-sum((line->>'amountMinor')::bigint), 0)::integer
				FROM reservations, jsonb_array_elements(lines) line WHERE line->>'code' = $1`, code.Code)
			uses := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations WHERE lines @> jsonb_build_array(jsonb_build_object('code', $1::text))`, code.Code)
			h.wantUsed(t, code, uses, lines)
		}
		h.rests(t)
	})
}
