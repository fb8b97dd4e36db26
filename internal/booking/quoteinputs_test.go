package booking_test

import (
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/pricing"
)

// TestP12_no_input_decides_a_price asks for seats in any order, for anybody, at whatever most that is to be paid: a hold costs what the
// theater's prices come to, in its currency, and is paid at that whatever the prices become meanwhile.
func TestP12_no_input_decides_a_price(t *testing.T) {
	t.Parallel()
	const fee = 75
	h := newHouse(t, fixture.Plan{Seats: 60, MaxSeats: 60})
	office := h.office()
	office.rule(t, feeRule)
	prices, tooHigh, held := fixture.Prices(), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		viewer, before := newViewer(), h.captured()
		positions := rapid.SliceOfNDistinct(rapid.IntRange(3, 60), 1, 6, rapid.ID[int]).Draw(rt, "seats")
		in, want := h.request(positions...), int64(0)
		for i, position := range positions {
			want += prices[h.Seats[position-1].Category] + fee
			if of := rapid.SampledFrom([]pricing.TicketType{"", pricing.Adult, pricing.Child, pricing.Student, pricing.Senior}).Draw(rt, "for"); of != "" {
				in.TicketTypes = append(in.TicketTypes, booking.SeatType{SeatID: in.SeatIDs[i], Type: of})
			}
		}
		if rapid.Bool().Draw(rt, "agreed") {
			most := rapid.OneOf(rapid.Just(want), rapid.Just(want-1), rapid.Int64Range(0, 20_000), rapid.Int64Range(-5, -1)).Draw(rt, "most")
			in.MostMinor = &most
		}
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		if most := in.MostMinor; most != nil && *most < want {
			if got, ok := result.(booking.PriceTooHigh); !ok || err != nil || got.Total != nzd(want) {
				rt.Fatalf("at most %d of %d: %#v, %v", *most, want, result, err)
			}
			tooHigh++
			return
		}
		reserved, ok := result.(booking.Reserved)
		if !ok || err != nil || reserved.Reservation.Total != nzd(want) {
			rt.Fatalf("%#v, %v; want %d", result, err, want)
		}
		held++
		r := reserved.Reservation
		dearer := office.rule(t, onceRule)
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		if got, ok := paid.(booking.Paid); !ok || err != nil || got.Reservation.Total != nzd(want) || h.captured()-before != want {
			rt.Fatalf("%#v, %v, %d captured; want %d", paid, err, h.captured()-before, want)
		}
		if err := office.DeletePriceRule(t.Context(), office.manager, dearer.ID); err != nil {
			rt.Fatal(err)
		}
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err != nil {
			rt.Fatal(err)
		}
	})
	if tooHigh == 0 || held == 0 {
		t.Errorf("%d were too dear and %d held", tooHigh, held)
	}
	h.rests(t)
}
