package graph_test

import (
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/config"
)

// timed is a reservation with its deadlines, as the commands that move them answer.
type timed struct {
	Typename    string `json:"__typename"`
	ServerTime  time.Time
	Reservation struct {
		Status           string
		HeldUntil, PayBy *time.Time
	}
}

// TestPayLater is the way of a reservation that is paid after the hold it began with would have run out.
func TestPayLater(t *testing.T) {
	t.Parallel()
	const hold = 10 * time.Minute
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) { c.Hold, c.HoldLimit = hold, time.Hour }))
	show, customer := a.World.Showtimes[0], a.Customer()
	manager := a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: show.Theater.Key})
	type terms struct{ LeadMinutes, MaxOpen int }
	var offered struct {
		SetPayLaterPolicy struct {
			Theater struct{ PayLaterPolicy *terms }
		}
	}
	manager.Get(setPayLaterPolicy, vars{"in": vars{"theaterId": show.Theater.ID(), "policy": vars{"leadMinutes": 90, "maxOpen": 1}}}, &offered)
	if got := offered.SetPayLaterPolicy.Theater.PayLaterPolicy; got == nil || *got != (terms{90, 1}) {
		t.Fatalf("the terms are %+v", got)
	}
	var shown struct {
		Showtime struct {
			StartsAt time.Time
			PayBy    *time.Time
			Theater  struct{ PayLaterPolicy *terms }
		}
	}
	a.Anonymous().Get(`query ($id: ID!) { showtime(id: $id) { startsAt payBy theater { payLaterPolicy { leadMinutes maxOpen } } } }`,
		vars{"id": show.ID()}, &shown)
	payBy := shown.Showtime.StartsAt.Add(-90 * time.Minute)
	if got := shown.Showtime; got.PayBy == nil || !got.PayBy.Equal(payBy) || got.Theater.PayLaterPolicy == nil {
		t.Fatalf("the showtime is %+v, want it to be paid by %s", got, payBy)
	}

	id := reserve(t, customer, show, 5, 6)
	seats := a.Anonymous().WatchSeats(show.ID())
	seats.Until("HELD", 5, 6)
	var more struct{ ExtendHold timed }
	customer.Get(extendHold, vars{"in": vars{"reservationId": id}}, &more)
	got := more.ExtendHold
	if got.Typename != "ExtendHoldPayload" || got.Reservation.HeldUntil == nil {
		t.Fatalf("the extension is %+v", got)
	}
	if left := got.Reservation.HeldUntil.Sub(got.ServerTime); left <= 0 || left > hold {
		t.Errorf("%s are left, want at most %s", left, hold)
	}
	var later struct{ PayLater timed }
	customer.Get(payLater, vars{"in": vars{"reservationId": id}}, &later)
	if got := later.PayLater; got.Typename != "PayLaterPayload" || got.Reservation.Status != "RESERVED" || got.Reservation.PayBy == nil ||
		!got.Reservation.PayBy.Equal(payBy) || !got.Reservation.HeldUntil.Equal(payBy) {
		t.Fatalf("it is %+v", got)
	}

	if moved := apitest.Value[bool](a, `SELECT every(held_until = $2) FROM seat_claims WHERE showtime_id = $1 AND held_until IS NOT NULL`, show.Key, payBy); !moved {
		t.Error("the seats still run out with the hold")
	}
	var refused reserved
	a.Customer().Get(reserveSeats, vars{"in": seatsInput(show, 5)}, &refused)
	if refused.ReserveSeats.Typename != "SeatsUnavailable" {
		t.Errorf("another customer is told %+v", refused.ReserveSeats)
	}
	pay(t, customer, id)
	seats.Until("TAKEN", 5, 6)
}

// TestMutation_commands_see_what_the_one_before_did sets the terms of a theater twice in one operation.
func TestMutation_commands_see_what_the_one_before_did(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	theater := a.World.Showtimes[0].Theater
	var got map[string]struct {
		Theater struct {
			PayLaterPolicy struct{ LeadMinutes int }
		}
	}
	a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: theater.Key}).Get(`mutation ($id: ID!) {
		first: setPayLaterPolicy(input: {theaterId: $id, policy: {leadMinutes: 60, maxOpen: 1}}) { theater { payLaterPolicy { leadMinutes } } }
		then: setPayLaterPolicy(input: {theaterId: $id, policy: {leadMinutes: 120, maxOpen: 1}}) { theater { payLaterPolicy { leadMinutes } } }
	}`, vars{"id": theater.ID()}, &got)
	if first, then := got["first"].Theater.PayLaterPolicy.LeadMinutes, got["then"].Theater.PayLaterPolicy.LeadMinutes; first != 60 || then != 120 {
		t.Errorf("the terms are %d, then %d", first, then)
	}
}
