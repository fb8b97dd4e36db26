package graph

import (
	"fmt"
	"time"

	"marquee/graph/limit"
	"marquee/graph/model"
	"marquee/internal/booking"
	"marquee/internal/payment"
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

// seatsRefused is why seats are not given, whether they are wanted for a reservation or for a change of one.
type seatsRefused interface {
	model.ReserveSeatsResult
	model.ChangeSeatsResult
}

// refusedSeats encodes why seats are not given; nil for what is no such refusal.
func refusedSeats(result any) seatsRefused {
	switch r := result.(type) {
	case booking.SeatsUnavailable:
		return model.SeatsUnavailable{
			Code:         model.UserErrorCodeSeatsUnavailable,
			Message:      takenMessage,
			ShowtimeID:   r.ShowtimeID,
			Seats:        r.Seats,
			Alternatives: r.Alternatives,
		}
	case booking.ShowtimeClosed:
		return showtimeClosed(r)
	case booking.PromotionRefused:
		return model.PromotionRefused{
			Code: model.UserErrorCodePromotionRefused, Message: promotionWords[r.Reason], PromoCode: r.Code, Refusal: r.Reason,
		}
	case booking.LimitExceeded:
		return model.LimitExceeded{
			Code: model.UserErrorCodeLimitExceeded, Message: limitMessage(r), Of: r.Of, Limit: r.Limit, Remaining: r.Remaining,
		}
	case booking.PriceTooHigh:
		return model.PriceTooHigh{
			Code: model.UserErrorCodePriceTooHigh, Message: "These seats cost more than what was agreed to.", Total: r.Total,
		}
	case booking.RuleBroken:
		return seatRuleBroken(r)
	default:
		return nil
	}
}

// reserveSeatsResult encodes what booking made of a request for seats.
func reserveSeatsResult(result booking.ReserveResult) (model.ReserveSeatsResult, error) {
	switch r := result.(type) {
	case booking.Reserved:
		return model.ReserveSeatsPayload{Reservation: r.Reservation, ServerTime: r.ServerTime}, nil
	case booking.CoolingDown:
		return coolingDown(r), nil
	}
	if refusal := refusedSeats(result); refusal != nil {
		return refusal, nil
	}
	return nil, fmt.Errorf("graph: no answer for %T", result)
}

// changeSeatsResult encodes what booking made of a request for other seats.
func changeSeatsResult(result booking.ChangeResult) (model.ChangeSeatsResult, error) {
	switch r := result.(type) {
	case booking.Changed:
		return model.ChangeSeatsPayload{Reservation: r.Reservation, ServerTime: r.ServerTime}, nil
	case booking.Expired:
		return reservationExpired(r), nil
	}
	if refusal := refusedSeats(result); refusal != nil {
		return refusal, nil
	}
	return nil, fmt.Errorf("graph: no answer for %T", result)
}

// payReservationResult encodes what booking made of a request to pay.
func payReservationResult(result booking.PayResult) (model.PayReservationResult, error) {
	switch r := result.(type) {
	case booking.Paid:
		return model.PayReservationPayload{Reservation: r.Reservation}, nil
	case booking.Expired:
		return reservationExpired(r), nil
	case booking.ShowtimeClosed:
		return showtimeClosed(r), nil
	case booking.Declined:
		return model.PaymentDeclined{
			Code:    model.UserErrorCodePaymentDeclined,
			Message: "The payment was declined. You pay nothing.", DeclineCode: r.Code,
			Reservation: r.Reservation, ServerTime: r.ServerTime,
		}, nil
	case booking.Pending:
		return model.PaymentPending{
			Code:        model.UserErrorCodePaymentPending,
			Message:     "The payment is under way. It comes to its end by itself; ask again in a moment.",
			Reservation: r.Reservation, ServerTime: r.ServerTime, NextStep: nextStep(r.Next),
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// acceptOfferedSeatsResult encodes what booking made of an answer that pays, as payReservationResult does.
func acceptOfferedSeatsResult(result booking.PayResult) (model.AcceptOfferedSeatsResult, error) {
	if paid, ok := result.(booking.Paid); ok {
		return model.AcceptOfferedSeatsPayload{Reservation: paid.Reservation}, nil
	}
	answer, err := payReservationResult(result)
	if err != nil {
		return nil, err
	}
	refusal, ok := answer.(model.AcceptOfferedSeatsResult)
	if !ok {
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
	return refusal, nil
}

// nextStep encodes what a customer has to do; nil for nothing.
func nextStep(next payment.NextStep) model.PaymentNextStep {
	switch next := next.(type) {
	case payment.Redirect:
		return model.PaymentRedirect{URL: next.URL}
	case payment.ConfirmOnClient:
		return model.PaymentClientConfirmation{PublicKey: next.PublicKey, ClientSecret: next.ClientSecret}
	default:
		return nil
	}
}

// extendHoldResult encodes what booking made of a request for more time.
func extendHoldResult(result booking.ExtendResult) (model.ExtendHoldResult, error) {
	switch r := result.(type) {
	case booking.Extended:
		return model.ExtendHoldPayload{Reservation: r.Reservation, ServerTime: r.ServerTime}, nil
	case booking.HoldLimitReached:
		return model.HoldLimitReached{
			Code:        model.UserErrorCodeHoldLimitReached,
			Message:     "The seats cannot be held any longer. Pay before the deadline.",
			Reservation: r.Reservation, ServerTime: r.ServerTime,
		}, nil
	case booking.Expired:
		return reservationExpired(r), nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// payLaterResult encodes what booking made of a request to keep seats without payment.
func payLaterResult(result booking.PayLaterResult) (model.PayLaterResult, error) {
	switch r := result.(type) {
	case booking.KeptUnpaid:
		return model.PayLaterPayload{Reservation: r.Reservation, ServerTime: r.ServerTime}, nil
	case booking.PayLaterUnavailable:
		messages := map[booking.PayLaterReason]string{
			booking.PayLaterNotOffered: "This theater does not keep seats without payment.",
			booking.PayLaterTooLate:    "It is too late to keep these seats without payment. Pay them before the hold ends.",
			booking.PayLaterTooMany:    "You have as many unpaid reservations at this theater as one may have. Pay one or give it back.",
		}
		return model.PayLaterUnavailable{
			Code: model.UserErrorCodePayLaterUnavailable, Message: messages[r.Reason], Reason: r.Reason, Reservation: r.Reservation,
		}, nil
	case booking.Expired:
		return reservationExpired(r), nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

func reservationExpired(r booking.Expired) model.ReservationExpired {
	return model.ReservationExpired{
		Code:    model.UserErrorCodeReservationExpired,
		Message: "The seats were held too long ago. You pay nothing; money that was taken is given back.", Reservation: r.Reservation,
	}
}

// cancelReservationResult encodes what booking made of a request to give seats back.
func cancelReservationResult(result booking.CancelResult) (model.CancelReservationResult, error) {
	switch r := result.(type) {
	case booking.Cancelled:
		return model.CancelReservationPayload{Reservation: r.Reservation}, nil
	case booking.CancellationClosed:
		return cancellationClosed(r), nil
	case booking.RuleBroken:
		return seatRuleBroken(r), nil
	case booking.ShowtimeClosed:
		return startedAlready(r), nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// refundPreviewResult encodes what booking says of a cancellation.
func refundPreviewResult(result booking.PreviewResult) (model.RefundPreviewResult, error) {
	switch r := result.(type) {
	case booking.RefundPreview:
		return model.RefundPreview{
			Seats: r.Seats, FeesPaid: r.FeesPaid, FeesRefunded: r.FeesRefunded, Kept: r.Kept, Paid: r.Paid, Refund: r.Refund,
			Remaining: r.Remaining, Until: r.Until, Steps: r.Steps, ServerTime: r.ServerTime,
		}, nil
	case booking.CancellationClosed:
		return cancellationClosed(r), nil
	case booking.ShowtimeClosed:
		return startedAlready(r), nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

func cancellationClosed(r booking.CancellationClosed) model.CancellationClosed {
	return model.CancellationClosed{
		Code:    model.UserErrorCodeCancellationClosed,
		Message: "By what was agreed on when they were held, these seats cannot be given back any more.", ClosedAt: r.ClosedAt,
	}
}

func startedAlready(r booking.ShowtimeClosed) model.ShowtimeClosed {
	return model.ShowtimeClosed{
		Code:    model.UserErrorCodeShowtimeClosed,
		Message: "The showtime has started. Its seats cannot be given back any more.", Reason: r.Reason,
	}
}

func seatRuleBroken(r booking.RuleBroken) model.SeatRuleBroken {
	return model.SeatRuleBroken{
		Code: model.UserErrorCodeSeatRuleBroken, Message: ruleMessages[r.Rule], Rule: r.Rule, Seats: r.Seats, Alternatives: r.Alternatives,
	}
}

func coolingDown(r booking.CoolingDown) model.CoolingDown {
	return model.CoolingDown{Code: model.UserErrorCodeCoolingDown, Message: coolingMessage, RetryAfter: seconds(r.Wait)}
}

func showtimeClosed(r booking.ShowtimeClosed) model.ShowtimeClosed {
	return model.ShowtimeClosed{Code: model.UserErrorCodeShowtimeClosed, Message: closedMessages[r.Reason], Reason: r.Reason}
}
