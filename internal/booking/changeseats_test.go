package booking_test

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/pricing"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// changeTo asks for other seats for a hold under a fresh key.
func (h *house) changeTo(r booking.Reservation, positions ...int) booking.ChangeInput {
	return booking.ChangeInput{
		ShowtimeID: r.ShowtimeID, ReservationID: r.ID, SeatIDs: h.SeatIDs(positions...), IdempotencyKey: newKey(),
	}
}

func positionsOf(r booking.Reservation) []int {
	var positions []int
	for _, seat := range r.Seats {
		positions = append(positions, int(seat.Position))
	}
	return positions
}

func TestService_ChangeSeats(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 200})
	t.Run("the_hold_has_other_seats_at_their_price_until_the_same_moment", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(4)
		premium := h.Positions("PREMIUM")[0]
		r := h.hold(t, viewer, seats[:3]...)
		h.hints.take()
		in := h.changeTo(r, seats[2], seats[3], premium)
		in.TicketTypes = []booking.SeatType{{SeatID: h.SeatIDs(seats[3])[0], Type: pricing.Child}}
		result, err := h.booking.ChangeSeats(t.Context(), viewer, in)
		got := is[booking.Changed](t, result, err)
		want := []int{premium, seats[2], seats[3]}
		slices.Sort(want)
		if !slices.Equal(positionsOf(got.Reservation), want) || got.Reservation.Total.AmountMinor != 2*1200+1800 || got.ServerTime.IsZero() {
			t.Errorf("the reservation is %+v, want seats %v", got.Reservation, want)
		}
		if got.Reservation.Types[int16(seats[3])] != pricing.Child {
			t.Errorf("the ticket types are %v", got.Reservation.Types)
		}
		if !got.Reservation.HeldUntil.Equal(*r.HeldUntil) || !got.Reservation.CreatedAt.Equal(r.CreatedAt) {
			t.Errorf("it is held until %s, before it was %s", got.Reservation.HeldUntil, r.HeldUntil)
		}
		if letters := h.letters(t, append(slices.Clone(seats), premium)...); letters != "AAHHH" || h.hints.take()[h.Show()] != 1 {
			t.Errorf("seats %s, want AAHHH and one hint", letters)
		}
		h.hold(t, newViewer(), seats[:2]...)
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		if got := is[booking.Paid](t, paid, err).Reservation; got.Total.AmountMinor != 4200 || h.paymentOf(t, got).Amount.AmountMinor != 4200 {
			t.Errorf("it was paid with %+v", h.paymentOf(t, got))
		}
		h.rests(t)
	})
	t.Run("all_or_none", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(5)
		r := h.hold(t, viewer, seats[:2]...)
		h.hold(t, newViewer(), seats[3])
		h.hints.take()
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats[1], seats[2], seats[3]))
		got := is[booking.SeatsUnavailable](t, result, err)
		if len(got.Seats) != 1 || int(got.Seats[0].Position) != seats[3] || len(got.Alternatives) == 0 {
			t.Errorf("the refusal is %+v", got)
		}
		if letters := h.letters(t, seats...); letters != "HHAHA" || h.hints.take()[h.Show()] != 0 {
			t.Errorf("seats %s, want HHAHA and no hint", letters)
		}
		h.rests(t)
	})
	t.Run("twice_with_one_key_is_once", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(4)
		r := h.hold(t, viewer, seats[0])
		first := h.changeTo(r, seats[1])
		var all sync.Mutex
		together(8, func(int) {
			result, err := h.booking.ChangeSeats(t.Context(), viewer, first)
			all.Lock()
			defer all.Unlock()
			is[booking.Changed](t, result, err)
		})
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats[2]))
		is[booking.Changed](t, result, err)
		result, err = h.booking.ChangeSeats(t.Context(), viewer, first)
		if got := positionsOf(is[booking.Changed](t, result, err).Reservation); !slices.Equal(got, seats[2:3]) {
			t.Errorf("a late twin brought it to %v, want %v", got, seats[2:3])
		}
		first.SeatIDs = h.SeatIDs(seats[3])
		result, err = h.booking.ChangeSeats(t.Context(), viewer, first)
		refused(t, result, err, apperr.IdempotencyKeyReused)
		asked := h.request(seats[3])
		asked.IdempotencyKey = first.IdempotencyKey
		other, err := h.booking.Reserve(t.Context(), viewer, asked)
		refused(t, other, err, apperr.IdempotencyKeyReused)
		h.rests(t)
	})
	t.Run("seats_are_for_whom_those_were_that_they_come_for", func(t *testing.T) {
		const a, c, s = pricing.Adult, pricing.Child, pricing.Student
		seats := h.fresh(8)
		for name, test := range map[string]struct {
			had, gets  []int // of seats
			types, now []pricing.TicketType
		}{
			"all others":            {[]int{0, 1, 2}, []int{3, 4, 5}, []pricing.TicketType{c, a, s}, []pricing.TicketType{c, a, s}},
			"one aside":             {[]int{0, 1, 2}, []int{1, 2, 3}, []pricing.TicketType{c, a, s}, []pricing.TicketType{a, s, c}},
			"one aside to the left": {[]int{3, 4}, []int{2, 3}, []pricing.TicketType{a, s}, []pricing.TicketType{s, a}},
			"more":                  {[]int{0, 1}, []int{2, 3, 4}, []pricing.TicketType{c, s}, []pricing.TicketType{a, a, a}},
			"fewer":                 {[]int{0, 1, 2}, []int{2, 3}, []pricing.TicketType{c, a, s}, []pricing.TicketType{s, a}},
			"the same":              {[]int{0, 1}, []int{0, 1}, []pricing.TicketType{a, c}, []pricing.TicketType{a, c}},
		} {
			viewer := newViewer()
			pick := func(of []int) (positions []int) {
				for _, i := range of {
					positions = append(positions, seats[i])
				}
				return positions
			}
			in := h.request(pick(test.had)...)
			for i, of := range test.types {
				in.TicketTypes = append(in.TicketTypes, booking.SeatType{SeatID: in.SeatIDs[i], Type: of})
			}
			result, err := h.booking.Reserve(t.Context(), viewer, in)
			r := is[booking.Reserved](t, result, err).Reservation
			asked := h.changeTo(r, pick(test.gets)...)
			quoted, err := h.booking.Quote(t.Context(), booking.QuoteInput{ShowtimeID: r.ShowtimeID, SeatIDs: asked.SeatIDs, ViewerID: viewer.UserID, Instead: r.ID})
			if err != nil {
				t.Fatal(err)
			}
			changed, err := h.booking.ChangeSeats(t.Context(), viewer, asked)
			got := is[booking.Changed](t, changed, err).Reservation
			if !slices.EqualFunc(got.Seats, test.now, func(seat theater.Seat, of pricing.TicketType) bool { return cmp.Or(got.Types[seat.Position], a) == of }) {
				t.Errorf("%s: the types are %v, want %v", name, got.Types, test.now)
			}
			if diff := gocmp.Diff(quoted.Lines, got.Lines); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(got)); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("seats_that_it_keeps_are_for_whom_they_were", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(3)
		in := h.request(seats[0], seats[1])
		in.TicketTypes = []booking.SeatType{{SeatID: in.SeatIDs[0], Type: pricing.Child}, {SeatID: in.SeatIDs[1], Type: pricing.Student}}
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		r := is[booking.Reserved](t, result, err).Reservation
		change := h.changeTo(r, seats[0], seats[2])
		for range 2 { // the second time it is what was done already
			changed, err := h.booking.ChangeSeats(t.Context(), viewer, change)
			got := is[booking.Changed](t, changed, err).Reservation
			if want := map[int16]pricing.TicketType{int16(seats[0]): pricing.Child, int16(seats[2]): pricing.Student}; !maps.Equal(got.Types, want) {
				t.Errorf("the types are %v, want %v", got.Types, want)
			}
		}
		adults := h.changeTo(r, seats[0], seats[2])
		adults.TicketTypes = []booking.SeatType{}
		changed, err := h.booking.ChangeSeats(t.Context(), viewer, adults)
		if got := is[booking.Changed](t, changed, err).Reservation; len(got.Types) != 0 {
			t.Errorf("the types are %v, want none", got.Types)
		}
	})
	t.Run("what_was_done_stays_done_when_it_cannot_be_priced_any_more", func(t *testing.T) {
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		asked := h.request(11)
		result, err := h.booking.Reserve(t.Context(), viewer, asked)
		r := is[booking.Reserved](t, result, err).Reservation
		change := h.changeTo(r, 12)
		changed, err := h.booking.ChangeSeats(t.Context(), viewer, change)
		is[booking.Changed](t, changed, err)
		h.Exec(t, `WITH gone AS (DELETE FROM price_tiers WHERE showtime_id = $1)
			UPDATE showtime_sales SET price_version = price_version + 1 WHERE showtime_id = $1`, h.Show())
		h.booking = h.process(h.gateway, settings) // nothing is in memory
		result, err = h.booking.Reserve(t.Context(), viewer, asked)
		if again := is[booking.Reserved](t, result, err).Reservation; again.ID != r.ID {
			t.Errorf("the same request made %s and %s", r.ID, again.ID)
		}
		changed, err = h.booking.ChangeSeats(t.Context(), viewer, change)
		if again := is[booking.Changed](t, changed, err).Reservation; again.ID != r.ID {
			t.Errorf("the change is of %s, want %s", again.ID, r.ID)
		}
		_, err = h.booking.Reserve(t.Context(), viewer, h.request(13))
		refused(t, nil, err, apperr.BadUserInput)
		asked.AccessibleNeed, change.AccessibleNeed = true, true
		_, err = h.booking.Reserve(t.Context(), viewer, asked)
		refused(t, nil, err, apperr.IdempotencyKeyReused)
		_, err = h.booking.ChangeSeats(t.Context(), viewer, change)
		refused(t, nil, err, apperr.IdempotencyKeyReused)
	})
	t.Run("S10_the_cap_counts_what_it_has_afterwards", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(12)
		r := h.hold(t, viewer, seats[:6]...)
		other := h.hold(t, viewer, seats[6])
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, slices.Concat(seats[:6], seats[7:11])...))
		if got := is[booking.LimitExceeded](t, result, err); got.Limit != 10 || got.Remaining != 3 {
			t.Errorf("the refusal is %+v, want 3 more of 10", got)
		}
		result, err = h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, slices.Concat(seats[:6], seats[7:10])...))
		is[booking.Changed](t, result, err)
		result, err = h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(other, seats[6], seats[10]))
		is[booking.LimitExceeded](t, result, err)
		h.rests(t)
	})
	t.Run("not_once_it_has_run_out", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats[0])
		h.Expire(t, r.ShowtimeID, r.ID)
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats[1]))
		if got := is[booking.Expired](t, result, err).Reservation; got.Status != booking.StatusExpired {
			t.Errorf("it is %s", got.Status)
		}
		if h.letters(t, seats...) != "AA" {
			t.Errorf("seats %s", h.letters(t, seats...))
		}
	})
	t.Run("kept_unpaid_it_stays_so", func(t *testing.T) {
		h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 5})
		viewer, seats := newViewer(), h.fresh(3)
		r := h.hold(t, viewer, seats[0])
		kept, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		payBy := *is[booking.KeptUnpaid](t, kept, err).Reservation.PayBy
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats[1:]...))
		got := is[booking.Changed](t, result, err).Reservation
		if got.Status != booking.StatusReserved || !got.HeldUntil.Equal(payBy) || !got.PayBy.Equal(payBy) || got.Total != nzd(2400) {
			t.Errorf("it is %+v, want it RESERVED until %s", got, payBy)
		}
		if letters := h.letters(t, seats...); letters != "AHH" {
			t.Errorf("seats %s, want AHH", letters)
		}
		h.rests(t)
	})
	t.Run("not_what_is_paid_or_over_nor_others", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(4)
		paid, held, cancelled := h.buy(t, viewer, seats[0]), h.hold(t, viewer, seats[1]), h.hold(t, viewer, seats[2])
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(cancelled)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []booking.Reservation{paid, cancelled} {
			result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats[3]))
			refused(t, result, err, apperr.Conflict)
		}
		result, err := h.booking.ChangeSeats(t.Context(), newViewer(), h.changeTo(held, seats[3]))
		refused(t, result, err, apperr.NotFound)
		unknown := h.changeTo(held, seats[3])
		unknown.ReservationID = paid.ShowtimeID
		result, err = h.booking.ChangeSeats(t.Context(), viewer, unknown)
		refused(t, result, err, apperr.NotFound)
		if got := h.letters(t, seats...); got != "THAA" {
			t.Errorf("seats %s, want THAA", got)
		}
		h.rests(t)
	})
	t.Run("not_when_sales_are_over_or_the_price_list_is_older", func(t *testing.T) {
		h := newHouse(t, fixture.Plan{})
		viewer := newViewer()
		r := h.hold(t, viewer, 11)
		h.Exec(t, `UPDATE price_tiers SET amount_minor = 1300 WHERE category = 'STANDARD'`)
		h.Exec(t, `UPDATE showtime_sales SET price_version = price_version + 1`)
		result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 11, 12))
		if got := is[booking.Changed](t, result, err).Reservation; got.Total != nzd(2600) {
			t.Errorf("it costs %v, want the price of this moment", got.Total)
		}
		for change, want := range map[string]showtime.ClosedReason{
			`UPDATE showtime_sales SET opens_at = now() + interval '1 hour'`: showtime.ClosedNotYetOpen,
			`UPDATE showtime_sales SET status = 'CLOSED'`:                    showtime.ClosedSalesEnded,
		} {
			h := houseAgain(h)
			h.Exec(t, change)
			result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 12))
			if got := is[booking.ShowtimeClosed](t, result, err); got.Reason != want {
				t.Errorf("%s: %s", change, got.Reason)
			}
			h.Exec(t, `UPDATE showtime_sales SET opens_at = now() - interval '1 hour', status = 'OPEN'`)
		}
		h.rests(t)
	})
	t.Run("BK1_not_to_nothing_or_to_what_is_no_seat", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats[0])
		strange := h.changeTo(r, seats[1])
		strange.SeatIDs[0] = r.ID
		for _, in := range []booking.ChangeInput{h.changeTo(r), h.changeTo(r, seats[1], seats[1]), strange} {
			result, err := h.booking.ChangeSeats(t.Context(), viewer, in)
			refused(t, result, err, apperr.BadUserInput)
		}
		h.rests(t)
	})
	t.Run("not_while_its_payment_is_under_way", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats[0])
		for _, op := range []gatewaytest.Op{gatewaytest.Authorize, gatewaytest.Capture} {
			h.gateway.Next(op, gatewaytest.Before(func() {
				result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats[1]))
				refused(t, result, err, apperr.Conflict)
				asked := booking.CheckInput{ShowtimeID: r.ShowtimeID, SeatIDs: h.SeatIDs(seats[1]), Instead: r.ID}
				checked, err := h.booking.Check(t.Context(), viewer.UserID, asked)
				refused(t, checked, err, apperr.Conflict)
				quoted, err := h.booking.Quote(t.Context(), booking.QuoteInput{
					ShowtimeID: r.ShowtimeID, SeatIDs: h.SeatIDs(seats[1]), ViewerID: viewer.UserID, Instead: r.ID,
				})
				refused(t, quoted, err, apperr.Conflict)
			}))
		}
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Paid](t, result, err)
		h.rests(t)
	})
	t.Run("after_a_decline_another_amount_is_paid", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(3)
		r := h.hold(t, viewer, seats[0])
		h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("do_not_honor"))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, result, err)
		changed, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, seats...))
		is[booking.Changed](t, changed, err)
		result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
		if p := h.paymentOf(t, is[booking.Paid](t, result, err).Reservation); p.Amount.AmountMinor != 3600 || p.Status != payment.StatusCaptured {
			t.Errorf("the payment is %+v", p)
		}
		h.rests(t)
	})
	t.Run("after_a_decline_for_nothing", func(t *testing.T) {
		viewer, companion := newViewer(), 2
		r := h.hold(t, viewer, h.fresh(1)...)
		h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("do_not_honor"))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, result, err)
		changed, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, companion))
		is[booking.Changed](t, changed, err)
		for range 2 {
			result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
			got := is[booking.Paid](t, result, err).Reservation
			if p := h.paymentOf(t, got); got.Total != nzd(0) || got.Status != booking.StatusConfirmed || p.Status != payment.StatusFailed {
				t.Errorf("it is %+v, its payment %+v", got, p)
			}
		}
		h.rests(t)
	})
	t.Run("opposite_ways_at_once", func(t *testing.T) {
		one, other, seats := newViewer(), newViewer(), h.fresh(6)
		for range 30 {
			a, b := h.hold(t, one, seats[0], seats[1], seats[4]), h.hold(t, other, seats[2], seats[3], seats[5])
			together(2, func(i int) {
				var result booking.ChangeResult
				var err error
				if i == 0 {
					result, err = h.booking.ChangeSeats(t.Context(), one, h.changeTo(a, seats[2], seats[3]))
				} else {
					result, err = h.booking.ChangeSeats(t.Context(), other, h.changeTo(b, seats[1], seats[0]))
				}
				if _, taken := result.(booking.SeatsUnavailable); err != nil || !taken {
					t.Errorf("%#v, %v; want the seats of the other to be taken", result, err)
				}
			})
			for _, r := range []booking.Reservation{a, b} {
				if _, err := h.booking.Cancel(t.Context(), viewerOf(r), cancelInput(r)); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.rests(t)
	})
}

// TestS3_change_at_the_deadline lets a hold run out while a change of its seats waits: whoever takes the seats then has
// them.
func TestS3_change_at_the_deadline(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for name, contested := range map[string]bool{"the_hold_is_over": false, "somebody_has_a_seat_by_then": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
			r := h.hold(t, viewer, 11, 12)
			exec, commit := h.begin(t)
			exec(`SELECT FROM reservations WHERE id = $1 FOR UPDATE`, r.ID)
			var result booking.ChangeResult
			var err error
			var call sync.WaitGroup
			call.Go(func() { result, err = h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 12, 13)) })
			h.blocked(t, 1)
			exec(`UPDATE seat_claims SET held_until = clock_timestamp() WHERE reservation_id = $1`, r.ID)
			exec(`UPDATE reservations SET held_until = clock_timestamp() WHERE id = $1`, r.ID)
			owner := r.ID
			if contested {
				owner = h.plantOver(t, exec, newViewer(), 12)
			}
			commit()
			call.Wait()
			is[booking.Expired](t, result, err)
			const claimed = `SELECT reservation_id FROM seat_claims WHERE showtime_id = $1 AND seat_no = 12`
			if got := fixture.Get[uuid.UUID](t, h.DB, claimed, h.Show()); got != owner {
				t.Errorf("the seat belongs to %s, want %s", got, owner)
			}
			if letters := h.letters(t, 13); letters != "A" {
				t.Errorf("the other seat is %s", letters)
			}
		})
	}
	t.Run("a_seat_that_it_keeps_is_lost", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11, 12)
		h.Exec(t, `UPDATE seat_claims SET held_until = now() - interval '1 second' WHERE reservation_id = $1`, r.ID)
		taken := h.hold(t, newViewer(), 11, 12)
		_, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, 11, 12, 13))
		if apperr.CodeOf(err) != apperr.Unavailable {
			t.Errorf("error %v, want %s", err, apperr.Unavailable)
		}
		if mine := fixture.Get[int](t, h.DB, `SELECT count(*) FROM seat_claims WHERE reservation_id = $1`, taken.ID); mine != 2 {
			t.Errorf("who took the seats has %d of 2", mine)
		}
	})
}
