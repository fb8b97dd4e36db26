package booking_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/seating"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestService_Best(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	party := func(h *house, seats int32) booking.BestInput {
		return booking.BestInput{ShowtimeID: h.Show(), Seats: seats, Limit: 3}
	}
	t.Run("can_be_reserved_at_its_price", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		h.hold(t, newViewer(), 12, 13)
		h.buy(t, newViewer(), 15)
		h.Block(t, h.Show(), 16)
		best, err := h.booking.Best(t.Context(), party(h, 2))
		if err != nil || len(best) != 3 {
			t.Fatalf("%+v, %v: want 3 selections", best, err)
		}
		for _, found := range best {
			in := h.request(11)
			in.SeatIDs = idsOf(found.Seats)
			result, err := h.booking.Reserve(t.Context(), newViewer(), in)
			if r := is[booking.Reserved](t, result, err).Reservation; r.Total != found.Total || len(found.Reasons) == 0 {
				t.Errorf("%+v costs %v", found, r.Total)
			}
		}
	})
	t.Run("what_is_held_comes_back_with_its_deadline", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Seats: 2, MaxSeats: 2})
		in := party(h, 2)
		in.Wheelchairs = 1
		held := h.hold(t, newViewer(), 1, 2)
		if best, err := h.booking.Best(t.Context(), in); err != nil || best == nil || len(best) != 0 {
			t.Errorf("%+v, %v from a full house", best, err)
		}
		h.Expire(t, h.Show(), held.ID)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); ; <-tick.C { // what was read a moment before serves for another
			best, err := h.booking.Best(t.Context(), in)
			if err == nil && len(best) == 1 {
				break
			}
			if err != nil || time.Since(began) > 10*time.Second {
				t.Fatalf("%+v, %v: want the two seats", best, err)
			}
		}
	})
	t.Run("by_category_and_price", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{Prices: map[string]int64{"PREMIUM": 1800, "STANDARD": 1200}})
		in, most := party(h, 2), int64(3000)
		in.Categories = []theater.Category{theater.CategoryPremium, theater.CategoryStandard}
		best, err := h.booking.Best(t.Context(), in)
		if err != nil || len(best) == 0 || best[0].Seats[0].Category != theater.CategoryPremium || best[0].Total.AmountMinor != 3600 {
			t.Errorf("%+v, %v: want premium seats", best, err)
		}
		in.MostMinor = &most
		best, err = h.booking.Best(t.Context(), in)
		if err != nil || len(best) == 0 {
			t.Fatalf("%+v, %v", best, err)
		}
		for _, found := range best {
			if found.Total.AmountMinor > most {
				t.Errorf("%v for at most %d", found.Total, most)
			}
		}
	})
	t.Run("with_a_wheelchair_place", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		in := party(h, 2)
		in.Wheelchairs = 1
		best, err := h.booking.Best(t.Context(), in)
		if err != nil || len(best) == 0 || !slices.Contains(best[0].Reasons, seating.ReasonAccessible) {
			t.Errorf("%+v, %v", best, err)
		}
		for _, found := range best {
			if !slices.ContainsFunc(found.Seats, func(s theater.Seat) bool { return s.Category == theater.CategoryWheelchair }) {
				t.Errorf("%+v has no wheelchair place", found.Seats)
			}
		}
	})
}

func TestService_Best_bad_input(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{MaxSeats: 4})
	less := int64(-1)
	for name, test := range map[string]struct {
		change func(*booking.BestInput)
		field  string
	}{
		"nobody":                       {func(in *booking.BestInput) { in.Seats = 0 }, "input.seats"},
		"fewer_than_nobody":            {func(in *booking.BestInput) { in.Seats = -1 << 31 }, "input.seats"},
		"more_than_one_may_have":       {func(in *booking.BestInput) { in.Seats = 5 }, "input.seats"},
		"more_wheelchairs_than_seats":  {func(in *booking.BestInput) { in.Wheelchairs = 3 }, "input.wheelchairPlaces"},
		"fewer_wheelchairs_than_none":  {func(in *booking.BestInput) { in.Wheelchairs = -1 }, "input.wheelchairPlaces"},
		"wheelchair_places_as_a_taste": {func(in *booking.BestInput) { in.Categories = []theater.Category{"WHEELCHAIR"} }, "input.categories"},
		"companion_seats_as_a_taste":   {func(in *booking.BestInput) { in.Categories = []theater.Category{"COMPANION"} }, "input.categories"},
		"a_category_twice":             {func(in *booking.BestInput) { in.Categories = []theater.Category{"PREMIUM", "PREMIUM"} }, "input.categories"},
		"a_negative_price":             {func(in *booking.BestInput) { in.MostMinor = &less }, "input.maxTotalMinor"},
		"no_selection":                 {func(in *booking.BestInput) { in.Limit = 0 }, "input.limit"},
		"too_many_selections":          {func(in *booking.BestInput) { in.Limit = 11 }, "input.limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := booking.BestInput{ShowtimeID: h.Show(), Seats: 2, Limit: 3}
			test.change(&in)
			got, err := h.booking.Best(t.Context(), in)
			refused(t, got, err, apperr.BadUserInput)
			var problem *apperr.Error
			if !errors.As(err, &problem) || len(problem.Fields) != 1 || problem.Fields[0].Path != test.field {
				t.Errorf("%v, want a problem of %s alone", err, test.field)
			}
		})
	}
	got, err := h.booking.Best(t.Context(), booking.BestInput{ShowtimeID: typeid.New(), Seats: 2, Limit: 3})
	refused(t, got, err, apperr.NotFound)
	got, err = h.booking.Best(t.Context(), booking.BestInput{ShowtimeID: uuid.Nil, Seats: 2, Limit: 3})
	refused(t, got, err, apperr.NotFound)
}
