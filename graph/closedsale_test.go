package graph_test

import (
	"testing"

	"marquee/internal/apitest"
)

// TestClosedSale asks for seats of a showtime that nobody can buy: each answer says why, and none offers seats.
func TestClosedSale(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	for i, c := range []struct{ change, why string }{
		{`UPDATE showtime_sales SET opens_at = now() + interval '1 hour' WHERE showtime_id = $1`, "NOT_YET_OPEN"},
		{`UPDATE showtime_sales SET closes_at = now() - interval '1 second' WHERE showtime_id = $1`, "SALES_ENDED"},
		{`UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, "CANCELLED"},
		{`SELECT $1::uuid`, ""},
	} {
		show := a.World.Showtimes[i]
		a.Exec(c.change, show.Key)
		var got struct {
			Showtime      struct{ SaleClosed *string }
			Quote         struct{ SaleClosed *string }
			BestAvailable []struct{ Reasons []string }
		}
		a.Anonymous().Get(`query ($id: ID!, $q: QuoteInput!, $b: BestAvailableInput!) {
			showtime(id: $id) { saleClosed } quote(input: $q) { saleClosed } bestAvailable(input: $b) { reasons } }`, vars{
			"id": show.ID(), "q": vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(3)}, "b": vars{"showtimeId": show.ID(), "seats": 2},
		}, &got)
		for _, said := range []*string{got.Showtime.SaleClosed, got.Quote.SaleClosed} {
			if (said == nil) != (c.why == "") || said != nil && *said != c.why {
				t.Errorf("%q: %+v", c.why, got)
			}
		}
		if open := c.why == ""; open != (len(got.BestAvailable) > 0) {
			t.Errorf("%q: %+v", c.why, got.BestAvailable)
		}
	}
}

// TestAZ1_SeatsUnavailable_yours asks for seats that the viewer has in another window: they are told which reservation it is,
// and nobody else is.
func TestAZ1_SeatsUnavailable_yours(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show, viewer, rival := a.World.Showtimes[0], a.Customer(), a.Customer()
	mine := reserve(t, viewer, show, 3)
	theirs := reserve(t, rival, show, 4)
	const fields = `seats { label } yours { id seats { label } }`
	type taken struct {
		Code  string
		Yours []struct{ ID string }
	}
	only := func(of taken, want ...string) {
		t.Helper()
		if of.Code != "SEATS_UNAVAILABLE" || len(of.Yours) != len(want) || len(want) > 0 && of.Yours[0].ID != want[0] {
			t.Errorf("%+v, want %q", of, want)
		}
	}
	for _, c := range []struct {
		who  apitest.Client
		want []string
	}{{viewer, []string{mine}}, {rival, []string{theirs}}, {a.Customer(), nil}, {a.Anonymous(), nil}} {
		var said struct{ ValidateSelection struct{ Problems []taken } }
		c.who.Get(`query ($in: ValidateSelectionInput!) { validateSelection(input: $in) { problems { code `+fields+` } } }`,
			vars{"in": vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(3, 4)}}, &said)
		if len(said.ValidateSelection.Problems) != 1 {
			t.Fatalf("%+v", said)
		}
		only(said.ValidateSelection.Problems[0], c.want...)
	}
	for _, c := range []struct {
		who  apitest.Client
		want []string
	}{{viewer, []string{mine}}, {rival, []string{theirs}}, {a.Customer(), nil}} {
		var got struct{ ReserveSeats taken }
		c.who.Get(`mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) { ... on SeatsUnavailable { code `+fields+` } } }`,
			vars{"in": seatsInput(show, 3, 4)}, &got)
		only(got.ReserveSeats, c.want...)
	}
}
