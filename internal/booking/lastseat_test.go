package booking_test

import (
	"sync/atomic"
	"testing"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/dbtest/rulebook"
)

// TestRace_for_the_last_seat lets 64 customers ask for one seat at the same moment, through two processes, round after
// round: each time one of them has it, and the others are told that it is gone. Then it is given back, or its deadline passes.
func TestRace_for_the_last_seat(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 11})
	processes := []*booking.Service{h.booking, h.process(h.gateway, settings)}
	const customers, seat = 64, 11
	h.Block(t, h.Show(), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) // so that there is nothing to offer instead
	wins := [2]int{}
	for round := range lastSeatRounds {
		var (
			winner atomic.Pointer[booking.Reservation]
			won    atomic.Int64
			by     atomic.Int64
		)
		together(customers, func(i int) {
			viewer := newViewer()
			result, err := processes[i%2].Reserve(t.Context(), viewer, h.request(seat))
			switch result := result.(type) {
			case booking.Reserved:
				won.Add(1)
				by.Store(int64(i % 2))
				winner.Store(&result.Reservation)
			case booking.SeatsUnavailable:
				if len(result.Seats) != 1 || result.Seats[0].ID != h.SeatIDs(seat)[0] {
					t.Errorf("round %d: %v are gone", round, result.Seats)
				}
			default:
				t.Errorf("round %d: %#v, %v", round, result, err)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of %d have the seat", round, won.Load(), customers)
		}
		wins[by.Load()]++
		r := winner.Load()
		if round%2 == 0 {
			h.Expire(t, r.ShowtimeID, r.ID)
		} else if _, err := h.booking.Cancel(t.Context(), auth.Viewer{UserID: r.ViewerID}, cancelInput(*r)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v of %d rounds", wins, lastSeatRounds)
	if wins[0] == 0 || wins[1] == 0 {
		t.Error("this was no race of two processes")
	}
	breaches, err := audit(t.Context(), h.DB.SQL(), rulebook.Always())
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range breaches {
		t.Error(breach)
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations`); n != lastSeatRounds {
		t.Errorf("%d reservations after %d rounds", n, lastSeatRounds)
	}
}
