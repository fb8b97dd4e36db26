package graph_test

import (
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/typeid"
)

// changed is what a change of seats came to.
type changed struct {
	ChangeSeats struct {
		Typename    string `json:"__typename"`
		Code        string
		ServerTime  time.Time
		Reservation struct {
			Status    string
			Seats     []struct{ Label string }
			Total     struct{ Formatted string }
			HeldUntil *time.Time
		}
		Seats              []struct{ Label string }
		Alternatives       []struct{ Seats []struct{ Label string } }
		PromoCode, Refusal string
	}
}

func changeInput(reservation string, show apitest.Showtime, positions ...int16) vars {
	return vars{"reservationId": reservation, "seatIds": show.Screen.SeatIDs(positions...), "idempotencyKey": typeid.New().String()}
}

// TestChangeSeats is the way of a reservation to other seats: who watches sees those that become free and those that are
// held by it, and none of those that it keeps move.
func TestChangeSeats(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show, customer := a.World.Showtimes[0], a.Customer()
	var held reserved
	customer.Get(reserveSeats, vars{"in": seatsInput(show, 3, 4)}, &held)
	r := held.ReserveSeats.Reservation
	watcher := a.Anonymous().WatchSeats(show.ID())
	watcher.Until("HELD", 3, 4)

	var said struct {
		Quote             struct{ Total struct{ Formatted string } }
		ValidateSelection struct{ Reservable bool }
	}
	asked := vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(4, 5), "reservationId": r.ID}
	customer.Get(`query ($q: QuoteInput!, $v: ValidateSelectionInput!) {
		quote(input: $q) { total { formatted } } validateSelection(input: $v) { reservable } }`, vars{"q": asked, "v": asked}, &said)
	if !said.ValidateSelection.Reservable {
		t.Error("a seat of its own keeps the reservation from others")
	}
	in := changeInput(r.ID, show, 4, 5)
	var first, again changed
	customer.Get(changeSeats, vars{"in": in}, &first)
	got := first.ChangeSeats
	if got.Typename != "ChangeSeatsPayload" || got.Reservation.Status != "HELD" || len(got.Reservation.Seats) != 2 || got.Reservation.Seats[1].Label != "A5" ||
		!got.Reservation.HeldUntil.Equal(*r.HeldUntil) || got.ServerTime.IsZero() || got.Reservation.Total.Formatted != said.Quote.Total.Formatted {
		t.Fatalf("the change is %+v, the hold was %+v", got, r)
	}
	watcher.Until("HELD", 4, 5)
	watcher.Until("AVAILABLE", 3)
	customer.Get(changeSeats, vars{"in": in}, &again)
	if again.ChangeSeats.Typename != "ChangeSeatsPayload" {
		t.Errorf("the same key again: %+v", again.ChangeSeats)
	}

	rival := a.Customer()
	reserve(t, rival, show, 3)
	var refused changed
	customer.Get(changeSeats, vars{"in": changeInput(r.ID, show, 3, 4)}, &refused)
	if got := refused.ChangeSeats; got.Code != "SEATS_UNAVAILABLE" || len(got.Seats) != 1 || got.Seats[0].Label != "A3" || len(got.Alternatives) == 0 {
		t.Errorf("a seat that somebody has: %+v", got)
	}

	coded := changeInput(r.ID, show, 4, 5)
	coded["promoCodes"] = []string{"nevermind"}
	customer.Get(changeSeats, vars{"in": coded}, &refused)
	if got := refused.ChangeSeats; got.Code != "PROMOTION_REFUSED" || got.PromoCode != "NEVERMIND" || got.Refusal != "UNKNOWN" {
		t.Errorf("a code that does not exist: %+v", got)
	}
	pay(t, customer, r.ID)
	watcher.Until("TAKEN", 4, 5)
	watcher.Until("HELD", 3)
}
