package graph

import (
	"fmt"

	"marquee/graph/model"
	"marquee/internal/booking"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

func tenderInput(t model.CounterTenderInput) booking.Tender {
	out := booking.Tender{Method: t.Method, Minor: t.AmountMinor}
	if t.TerminalReference != nil {
		out.Terminal = *t.TerminalReference
	}
	return out
}

func saleInput(input model.SellAtCounterInput) (in booking.SaleInput, err error) {
	in = booking.SaleInput{
		PromoCodes: input.PromoCodes, AccessibleNeed: input.AccessibleNeed, OverrideSeatRules: input.OverrideSeatRules,
		CustomerEmail: input.CustomerEmail, Tender: tenderInput(input.Tender), IdempotencyKey: input.IdempotencyKey,
	}
	if in.ShowtimeID, err = decodeID(typeid.Showtime, "input.showtimeId", input.ShowtimeID); err != nil {
		return in, err
	}
	in.SeatIDs, in.TicketTypes, err = seatsInput(input.SeatIds, input.TicketTypes)
	return in, err
}

func payOutInput(input model.PayOutAtCounterInput) (in booking.PayOutInput, err error) {
	in = booking.PayOutInput{Cancel: input.Cancel, Method: input.Method, OtherMethod: input.OtherMethod, IdempotencyKey: input.IdempotencyKey}
	if input.TerminalReference != nil {
		in.Terminal = *input.TerminalReference
	}
	in.CancelInput, err = cancelInput(input.ReservationID, input.SeatIds)
	return in, err
}

var payOutMethods = map[payment.TillMethod]string{
	payment.TillCash: "This was paid in cash and goes back in cash.",
	payment.TillCard: "This was paid by card and goes back by card, at the terminal.",
}

// payOutAtCounterResult encodes what booking made of a return.
func payOutAtCounterResult(result booking.PayOutResult) (model.PayOutAtCounterResult, error) {
	switch r := result.(type) {
	case booking.PaidOut:
		return model.PayOutAtCounterPayload{Reservation: r.Reservation, PaidOut: r.Amount}, nil
	case booking.PayOutMethodRefused:
		return model.PayOutMethodRefused{
			Code: model.UserErrorCodePayOutMethodRefused, Message: payOutMethods[r.Method], Method: r.Method, Due: r.Due,
		}, nil
	}
	// What is left are the refusals of cancelling.
	if refusal, ok := result.(booking.CancelResult); ok {
		encoded, err := cancelReservationResult(refusal)
		if err != nil {
			return nil, err
		}
		if paid, ok := encoded.(model.PayOutAtCounterResult); ok {
			return paid, nil
		}
	}
	return nil, fmt.Errorf("graph: no answer for %T", result)
}

// payAtCounterResult encodes what booking made of money for a reservation.
func payAtCounterResult(result booking.CounterPayResult) (model.PayAtCounterResult, error) {
	switch r := result.(type) {
	case booking.PaidAtCounter:
		return model.PayAtCounterPayload{Reservation: r.Reservation, Receipt: r.Receipt}, nil
	case booking.TenderRefused:
		return tenderRefused(r), nil
	case booking.UnderWay:
		return model.PaymentUnderWay{
			Code:    model.UserErrorCodePaymentUnderWay,
			Message: "The customer's own payment is under way. It comes to its end by itself; try again in a moment.", Reservation: r.Reservation,
		}, nil
	case booking.Expired:
		return reservationExpired(r), nil
	case booking.ShowtimeClosed:
		return showtimeClosed(r), nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// sellAtCounterResult encodes what booking made of a sale.
func sellAtCounterResult(result booking.SaleResult) (model.SellAtCounterResult, error) {
	switch r := result.(type) {
	case booking.PaidAtCounter:
		return model.SellAtCounterPayload{Reservation: r.Reservation, Receipt: r.Receipt}, nil
	case booking.TenderRefused:
		return tenderRefused(r), nil
	}
	// What is left are the refusals of seats.
	if refusal, ok := result.(booking.ReserveResult); ok {
		encoded, err := reserveSeatsResult(refusal)
		if err != nil {
			return nil, err
		}
		if sold, ok := encoded.(model.SellAtCounterResult); ok {
			return sold, nil
		}
	}
	return nil, fmt.Errorf("graph: no answer for %T", result)
}

func tenderRefused(r booking.TenderRefused) model.TenderRefused {
	return model.TenderRefused{
		Code: model.UserErrorCodeTenderRefused, Message: "This does not pay the " + r.Due.Formatted() + " that are due. Nothing was done.",
		Due: r.Due, Given: r.Given,
	}
}
