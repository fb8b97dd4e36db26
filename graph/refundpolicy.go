package graph

import (
	"marquee/graph/model"
	"marquee/internal/booking"
	"marquee/internal/pricing"
)

// refundPolicyInput decodes a policy as it shall be.
func refundPolicyInput(input model.RefundPolicyInput) pricing.RefundPolicy {
	return pricing.RefundPolicy{
		Steps: mapped(input.Steps, func(step model.RefundPolicyStepInput) pricing.RefundStep {
			return pricing.RefundStep{Minutes: step.MinutesBefore, BasisPoints: step.PercentBasisPoints}
		}),
		LateWithoutRefund: input.LateWithoutRefund, KeptPerTicketMinor: input.KeptPerTicketMinor, KeptOnceMinor: input.KeptOnceMinor,
		FeesReturned: input.FeesReturned,
	}
}

// refundInput decodes money that staff give back.
func refundInput(input model.RefundReservationInput) (in booking.RefundInput, err error) {
	in = booking.RefundInput{Cause: input.Cause, AmountMinor: input.AmountMinor, Reason: input.Reason, IdempotencyKey: input.IdempotencyKey}
	in.CancelInput, err = cancelInput(input.ReservationID, input.SeatIds)
	return in, err
}
