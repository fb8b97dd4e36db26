package graph_test

import (
	"slices"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
)

type scheduled struct {
	Typename string `json:"__typename"`
	Code     string
	Showtime struct {
		ID, Format, StartsAtLocal, EndsAtLocal string
		Version                                int
		Prices                                 []struct{ Price struct{ Formatted string } }
	}
	Showtimes    []struct{ ID string }
	Reservations int
	Fields       []string
}

// TestSchedule_through_the_API publishes a showtime, which a customer finds and reserves, and changes it before and after.
func TestSchedule_through_the_API(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	theater, movie := a.World.Theaters[0], a.World.Movies[0]
	screen := theater.Screens[0]
	a.Exec(`UPDATE movies SET run_time_minutes = 100 WHERE id = $1`, movie.Key)
	manager, customer := a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: theater.Key}), a.Customer()
	soon := time.Now().UTC().AddDate(0, 4, 0).Truncate(24 * time.Hour).Add(20 * time.Hour)
	create := func(show vars) scheduled {
		t.Helper()
		var out struct{ CreateShowtime scheduled }
		manager.Get(createShowtime, vars{"in": vars{"screenId": screen.ID(), "showtime": show}}, &out)
		return out.CreateShowtime
	}
	made := create(plannedShow(movie.ID(), soon))
	// The screen has 10 minutes of trailers and 20 of cleaning.
	if made.Typename != "CreateShowtimePayload" || made.Showtime.Version != 1 || len(made.Showtime.Prices) != 5 ||
		made.Showtime.EndsAtLocal != soon.Add(110*time.Minute).Format("2006-01-02T15:04:05") {
		t.Fatalf("%+v", made)
	}
	if next := create(plannedShow(movie.ID(), soon.Add(129*time.Minute))); next.Code != "SCREEN_OCCUPIED" || len(next.Showtimes) != 1 || next.Showtimes[0].ID != made.Showtime.ID {
		t.Errorf("%+v", next)
	}
	if next := create(plannedShow(movie.ID(), soon.Add(130*time.Minute))); next.Typename != "CreateShowtimePayload" {
		t.Errorf("%+v", next)
	}
	update := func(version int, show vars) scheduled {
		t.Helper()
		var out struct{ UpdateShowtime scheduled }
		manager.Get(updateShowtime, vars{"in": vars{"showtimeId": made.Showtime.ID, "version": version, "showtime": show}}, &out)
		return out.UpdateShowtime
	}
	earlier := plannedShow(movie.ID(), soon.Add(-time.Hour))
	earlier["format"] = "IMAX"
	if got := update(1, earlier); got.Showtime.Version != 2 || got.Showtime.Format != "IMAX" || got.Showtime.StartsAtLocal != earlier["startsAtLocal"] {
		t.Fatalf("%+v", got)
	}

	var got reserved
	customer.Get(reserveSeats, vars{"in": vars{"showtimeId": made.Showtime.ID, "seatIds": screen.SeatIDs(1, 2), "idempotencyKey": "a planned showtime"}}, &got)
	if got.ReserveSeats.Typename != "ReserveSeatsPayload" || got.ReserveSeats.Reservation.Total.Formatted == "" {
		t.Fatalf("%+v", got)
	}
	if refused := update(2, plannedShow(movie.ID(), soon)); refused.Code != "SHOWTIME_RESERVED" || refused.Reservations != 1 ||
		!slices.Equal(refused.Fields, []string{"input.showtime.format", "input.showtime.startsAtLocal"}) {
		t.Errorf("%+v", refused)
	}
	earlier["prices"].([]vars)[0]["amountMinor"] = "1300"
	if got := update(2, earlier); got.Showtime.Version != 3 {
		t.Errorf("%+v", got)
	}
	// Who comes later pays the price of later.
	customer.Get(reserveSeats, vars{"in": vars{"showtimeId": made.Showtime.ID, "seatIds": screen.SeatIDs(3, 4), "idempotencyKey": "a planned showtime again"}}, &got)
	if total := got.ReserveSeats.Reservation.Total.Formatted; total != theater.Currency+" 26.00" {
		t.Errorf("the price is %s", total)
	}
}
