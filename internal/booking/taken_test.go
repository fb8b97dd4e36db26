package booking_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/theater"
)

func TestService_Reserve_taken_seats(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	// refuse demands that seats are refused, some of them lost, with alternatives that can be had.
	refuse := func(t *testing.T, h *house, positions []int, lost ...int) booking.SeatsUnavailable {
		t.Helper()
		before := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations WHERE showtime_id = $1`, h.Show())
		result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(positions...))
		got := is[booking.SeatsUnavailable](t, result, err)
		if !slices.Equal(idsOf(got.Seats), h.SeatIDs(lost...)) {
			t.Errorf("lost %v, want %v", got.Seats, lost)
		}
		if after := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations WHERE showtime_id = $1`, h.Show()); after != before {
			t.Errorf("the refusal left %d reservations behind", after-before)
		}
		if len(got.Alternatives) > 3 {
			t.Errorf("%d alternatives, want 3 at most", len(got.Alternatives))
		}
		for _, alternative := range got.Alternatives {
			if len(alternative.Seats) != len(positions) {
				t.Errorf("an alternative for %d seats has %v", len(positions), alternative.Seats)
			}
		}
		return got
	}
	t.Run("held_taken_and_blocked_seats_are_lost", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		h.hold(t, newViewer(), 11)
		h.buy(t, newViewer(), 12)
		h.Block(t, h.Show(), 13)
		h.hints.take()
		refuse(t, h, []int{11}, 11)
		refuse(t, h, []int{12}, 12)
		refuse(t, h, []int{13}, 13)
		refuse(t, h, []int{14, 13, 12, 11, 10}, 11, 12, 13)
		if got := h.letters(t, 10, 11, 12, 13, 14); got != "AHTBA" {
			t.Errorf("seats %s, want AHTBA", got)
		}
		if got := h.hints.take(); len(got) != 0 {
			t.Errorf("refusals gave the hints %v", got)
		}
	})
	t.Run("alternatives_can_be_had_at_their_price", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		h.hold(t, newViewer(), 12, 13)
		h.Block(t, h.Show(), 16)
		got := refuse(t, h, []int{12, 13}, 12, 13)
		if len(got.Alternatives) != 3 {
			t.Fatalf("%d alternatives, want 3", len(got.Alternatives))
		}
		for _, alternative := range got.Alternatives {
			in := h.request(11)
			in.SeatIDs = idsOf(alternative.Seats)
			result, err := h.booking.Reserve(t.Context(), newViewer(), in)
			if total := is[booking.Reserved](t, result, err).Reservation.Total; total != alternative.Total {
				t.Errorf("%v costs %v, not %v", alternative.Seats, total, alternative.Total)
			}
		}
	})
	t.Run("alternatives_are_for_sale", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Prices: map[string]int64{"PREMIUM": 1800}})
		for range 3 {
			h.hold(t, newViewer(), h.firstFree(t, "PREMIUM")...)
		}
		got := refuse(t, h, []int{21}, 21)
		for _, alternative := range got.Alternatives {
			if alternative.Seats[0].Category != theater.CategoryPremium {
				t.Errorf("%v is offered, which is not sold", alternative.Seats)
			}
		}
	})
	t.Run("a_full_house_has_no_alternatives", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Seats: 2, MaxSeats: 2})
		h.hold(t, newViewer(), 1, 2)
		if got := refuse(t, h, []int{1}, 1); len(got.Alternatives) != 0 {
			t.Errorf("alternatives %v", got.Alternatives)
		}
	})
	t.Run("an_overlap_holds_none_of_the_seats", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		h.hold(t, newViewer(), 15)
		refuse(t, h, []int{13, 14, 15, 16, 17}, 15)
		if got := h.letters(t, 13, 14, 15, 16, 17); got != "AAHAA" {
			t.Errorf("seats %s, want AAHAA", got)
		}
	})
	t.Run("an_expired_hold_is_taken_over_in_place", func(t *testing.T) {
		t.Parallel()
		h, first := houseIn(t, db, fixture.Plan{}), newViewer()
		old := h.hold(t, first, 11, 12, 13)
		h.Expire(t, h.Show(), old.ID)
		second := h.hold(t, newViewer(), 12, 14)
		if got := h.letters(t, 11, 12, 13, 14); got != "AHAH" {
			t.Errorf("seats %s, want AHAH", got)
		}
		if stored := h.stored(t, old); stored != "HELD" {
			t.Errorf("the old hold is stored as %s: something has swept", stored)
		}
		read, err := h.booking.Reservation(t.Context(), first, old.ShowtimeID, old.ID)
		if err != nil || read.Status != booking.StatusExpired || read.HeldUntil != nil {
			t.Errorf("the old hold reads %+v, %v", read, err)
		}
		owner := fixture.Get[uuid.UUID](t, db, `SELECT reservation_id FROM seat_claims WHERE showtime_id = $1 AND seat_no = 12`, h.Show())
		if owner != second.ID {
			t.Errorf("seat 12 belongs to %s, want %s", owner, second.ID)
		}
	})
	t.Run("a_seat_that_is_just_being_taken_is_lost_and_not_offered", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Seats: 20})
		exec, commit := h.begin(t)
		// As a claim does that has not committed.
		exec(`SELECT pg_try_advisory_xact_lock(hashtext($1::uuid::text), 12)`, h.Show())
		for _, alternative := range refuse(t, h, []int{12}, 12).Alternatives {
			if alternative.Seats[0].Position == 12 {
				t.Error("the lost seat itself is offered")
			}
		}
		commit()
	})
	t.Run("who_loses_a_seat_keeps_nobody_from_the_seats_behind_it", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		winner, _ := h.begin(t)
		winner(`SELECT pg_try_advisory_xact_lock(hashtext($1::uuid::text), 11)`, h.Show())
		loser, _ := h.begin(t)
		loser(`SELECT claim_seats($1, gen_random_uuid(), gen_random_uuid(), '{11,12}', 1, 2400, 'NZD', '[]', 60000, 'a loser''s key', '', '{}', '{}', false, NULL, NULL, 0, NULL, 0, 0, 0, NULL, NULL)`, h.Show())
		h.hold(t, newViewer(), 12, 13)
	})
	t.Run("a_race_lost_after_the_checks_is_a_refusal", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		exec, commit := h.begin(t)
		exec(`INSERT INTO seat_claims (showtime_id, seat_no) VALUES ($1, 12)`, h.Show())
		var result booking.ReserveResult
		var err error
		var call sync.WaitGroup
		call.Go(func() { result, err = h.booking.Reserve(t.Context(), newViewer(), h.request(11, 12, 13)) })
		h.blocked(t, 1)
		commit()
		call.Wait()
		if got := is[booking.SeatsUnavailable](t, result, err).Seats; !slices.Equal(idsOf(got), h.SeatIDs(12)) {
			t.Errorf("lost %v, want seat 12", got)
		}
		if got := h.letters(t, 11, 12, 13); got != "ABA" {
			t.Errorf("seats %s, want ABA", got)
		}
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations`); n != 0 {
			t.Errorf("%d reservations are left of it", n)
		}
	})
	t.Run("one_seat_has_one_winner", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		for position := 11; position <= 15; position++ {
			var won, lost atomic.Int32
			together(40, func(int) {
				result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(position))
				switch result.(type) {
				case booking.Reserved:
					won.Add(1)
				case booking.SeatsUnavailable:
					lost.Add(1)
				default:
					t.Errorf("%#v, %v", result, err)
				}
			})
			if won.Load() != 1 || lost.Load() != 39 {
				t.Errorf("seat %d: %d winners and %d losers, want 1 and 39", position, won.Load(), lost.Load())
			}
		}
	})
	t.Run("opposite_orders_do_not_deadlock", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{MaxSeats: 20})
		for range 5 {
			var winner atomic.Pointer[booking.Reservation]
			together(20, func(i int) {
				positions := []int{11, 12, 13, 14, 15, 16}
				if i%2 == 1 {
					slices.Reverse(positions)
				}
				result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(positions...))
				if won, ok := result.(booking.Reserved); ok {
					if !winner.CompareAndSwap(nil, &won.Reservation) {
						t.Error("two have won")
					}
				} else if _, ok := result.(booking.SeatsUnavailable); !ok {
					t.Errorf("%#v, %v", result, err)
				}
			})
			won := winner.Load()
			if won == nil {
				t.Fatal("nobody has won")
			}
			if got := h.letters(t, 11, 12, 13, 14, 15, 16); got != "HHHHHH" {
				t.Errorf("seats %s, want HHHHHH", got)
			}
			h.Expire(t, h.Show(), won.ID)
		}
	})
}

// firstFree returns the first free position of a category, alone.
func (h *house) firstFree(t *testing.T, category string) []int {
	t.Helper()
	for _, position := range h.Positions(category) {
		if h.letters(t, position) == "A" {
			return []int{position}
		}
	}
	t.Fatalf("no %s seat is free", category)
	return nil
}
