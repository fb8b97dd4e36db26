package graph

import (
	"fmt"
	"time"

	"marquee/graph/limit"
	"marquee/graph/model"
	"marquee/internal/booking"
)

// rateLimit encodes what an operation was charged, and how its caller stands.
func rateLimit(report limit.Report) *model.RateLimit {
	shown := &model.RateLimit{Cost: int32(report.Cost)}
	if s := report.Standing; s.Limit > 0 {
		most, left, rate, full := int32(s.Limit), int32(s.Remaining), int32(s.PerSecond), s.FullAt.Truncate(time.Millisecond)
		shown.Limit, shown.Remaining, shown.RestoreRate, shown.ResetAt = &most, &left, &rate, &full
	}
	return shown
}

// reserveSeatsResult encodes what booking made of a request for seats.
func reserveSeatsResult(result booking.ReserveResult) (model.ReserveSeatsResult, error) {
	switch r := result.(type) {
	case booking.Reserved:
		return model.ReserveSeatsPayload{Reservation: r.Reservation, ServerTime: r.ServerTime}, nil
	case booking.SeatsUnavailable:
		return model.SeatsUnavailable{
			Code:         model.UserErrorCodeSeatsUnavailable,
			Message:      takenMessage,
			Seats:        r.Seats,
			Alternatives: r.Alternatives,
		}, nil
	case booking.ShowtimeClosed:
		return showtimeClosed(r), nil
	case booking.LimitExceeded:
		return model.LimitExceeded{
			Code: model.UserErrorCodeLimitExceeded, Message: limitMessage(r), Of: r.Of, Limit: r.Limit, Remaining: r.Remaining,
		}, nil
	case booking.RuleBroken:
		return model.SeatRuleBroken{
			Code: model.UserErrorCodeSeatRuleBroken, Message: ruleMessages[r.Rule], Rule: r.Rule, Seats: r.Seats, Alternatives: r.Alternatives,
		}, nil
	case booking.CoolingDown:
		return model.CoolingDown{
			Code: model.UserErrorCodeCoolingDown, Message: coolingMessage, RetryAfter: seconds(r.Wait),
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// payReservationResult encodes what booking made of a request to pay.
func payReservationResult(result booking.PayResult) (model.PayReservationResult, error) {
	switch r := result.(type) {
	case booking.Paid:
		return model.PayReservationPayload{Reservation: r.Reservation}, nil
	case booking.Expired:
		return model.ReservationExpired{
			Code:    model.UserErrorCodeReservationExpired,
			Message: "The seats were held too long ago. You pay nothing; money that was taken is given back.", Reservation: r.Reservation,
		}, nil
	case booking.Declined:
		return model.PaymentDeclined{
			Code:    model.UserErrorCodePaymentDeclined,
			Message: "The payment was declined. You pay nothing.", DeclineCode: r.Code, Reservation: r.Reservation,
		}, nil
	case booking.Pending:
		return model.PaymentPending{
			Code:    model.UserErrorCodePaymentPending,
			Message: "The payment is under way. It comes to its end by itself; ask again in a moment.", Reservation: r.Reservation,
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// cancelReservationResult encodes what booking made of a request to give seats back.
func cancelReservationResult(result booking.CancelResult) (model.CancelReservationResult, error) {
	switch r := result.(type) {
	case booking.Cancelled:
		return model.CancelReservationPayload{Reservation: r.Reservation}, nil
	case booking.ShowtimeClosed:
		return model.ShowtimeClosed{
			Code:    model.UserErrorCodeShowtimeClosed,
			Message: "The showtime has started. Its seats cannot be given back any more.", Reason: r.Reason,
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

func showtimeClosed(r booking.ShowtimeClosed) model.ShowtimeClosed {
	return model.ShowtimeClosed{Code: model.UserErrorCodeShowtimeClosed, Message: closedMessages[r.Reason], Reason: r.Reason}
}
