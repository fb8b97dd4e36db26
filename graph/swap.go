package graph

import (
	"context"
	"fmt"

	"marquee/graph/limit"
	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/cookie"
	"marquee/internal/typeid"
)

// swapInput decodes which seats go for which.
func swapInput(reservationID string, giveBack []string, showtimeID string, seatIDs []string, types []model.SeatTicketTypeInput) (in booking.SwapInput, err error) {
	if in.CancelInput, err = cancelInput(reservationID, giveBack); err != nil {
		return in, apperr.Renamed(err, "input.seatIds", "input.giveBack")
	}
	if in.Take.ShowtimeID, err = decodeID(typeid.Showtime, "input.showtimeId", showtimeID); err != nil {
		return in, err
	}
	in.Take.SeatIDs, in.Take.TicketTypes, err = seatsInput(seatIDs, types)
	return in, err
}

func swapSeatsInput(ctx context.Context, input model.SwapSeatsInput) (booking.SwapInput, error) {
	in, err := swapInput(input.ReservationID, input.GiveBack, input.ShowtimeID, input.SeatIds, input.TicketTypes)
	in.MostDueMinor = input.MaxDueMinor
	in.Take.PromoCodes, in.Take.AccessibleNeed, in.Take.IdempotencyKey = input.PromoCodes, input.AccessibleNeed, input.IdempotencyKey
	in.Take.Address, in.Take.Device = limit.AddressOf(ctx), cookie.DeviceOf(ctx)
	return in, err
}

// swapSeatsResult encodes what booking made of a request for a swap.
func swapSeatsResult(result booking.SwapResult) (model.SwapSeatsResult, error) {
	switch r := result.(type) {
	case booking.SwapHeld:
		return model.SwapSeatsPayload{Reservation: r.Reservation, ServerTime: r.ServerTime}, nil
	case booking.SwapUnavailable:
		return swapUnavailable(r), nil
	case booking.CoolingDown:
		return coolingDown(r), nil
	}
	if refusal, ok := refusedSeats(result).(model.SwapSeatsResult); ok {
		return refusal, nil
	}
	return nil, fmt.Errorf("graph: no answer for %T", result)
}

// swapPreviewResult encodes what booking says of a swap.
func swapPreviewResult(result booking.SwapPreviewResult) (model.SwapPreviewResult, error) {
	switch r := result.(type) {
	case booking.SwapPreview:
		return model.SwapPreview{
			Value: r.Value, Fee: r.Fee, Price: r.Price, Credit: r.Credit, Due: r.Due, ComesBack: r.ComesBack, Until: r.Until, ServerTime: r.ServerTime,
		}, nil
	case booking.SwapUnavailable:
		return swapUnavailable(r), nil
	}
	if refusal, ok := refusedSeats(result).(model.SwapPreviewResult); ok {
		return refusal, nil
	}
	return nil, fmt.Errorf("graph: no answer for %T", result)
}

var swapMessages = map[booking.SwapReason]string{
	booking.SwapNotOffered:   "By what was agreed on when they were held, these seats cannot be swapped.",
	booking.SwapTooLate:      "It is too late to swap these seats.",
	booking.SwapOtherTheater: "Seats can be swapped for others of the same theater, in the same currency.",
	booking.SwapUnderWay:     "Another swap of this reservation is being paid. Try again in a moment.",
}

func swapUnavailable(r booking.SwapUnavailable) model.SwapUnavailable {
	return model.SwapUnavailable{Code: model.UserErrorCodeSwapUnavailable, Message: swapMessages[r.Reason], Why: r.Reason, ClosedAt: r.ClosedAt}
}
