package graph

import (
	"marquee/graph/model"
	"marquee/internal/booking"
	"marquee/internal/pricing"
)

// refundPolicyInput decodes a policy as it shall be.
func refundPolicyInput(input model.RefundPolicyInput) pricing.RefundPolicy {
	policy := pricing.RefundPolicy{
		Steps: mapped(input.Steps, func(step model.RefundPolicyStepInput) pricing.RefundStep {
			return pricing.RefundStep{Minutes: step.MinutesBefore, BasisPoints: step.PercentBasisPoints}
		}),
		LateWithoutRefund: input.LateWithoutRefund, FeesReturned: input.FeesReturned,
	}
	if input.KeptPerTicketMinor != nil {
		policy.KeptPerTicketMinor = *input.KeptPerTicketMinor
	}
	if input.KeptOnceMinor != nil {
		policy.KeptOnceMinor = *input.KeptOnceMinor
	}
	if input.Swap != nil {
		policy.Swap = &pricing.SwapTerms{Minutes: input.Swap.MinutesBefore}
		if input.Swap.FeeMinor != nil {
			policy.Swap.FeeMinor = *input.Swap.FeeMinor
		}
	}
	return policy
}

// refundInput decodes money that staff give back.
func refundInput(input model.RefundReservationInput) (in booking.RefundInput, err error) {
	in = booking.RefundInput{Cause: input.Cause, AmountMinor: input.AmountMinor, Reason: input.Reason, IdempotencyKey: input.IdempotencyKey}
	in.CancelInput, err = cancelInput(input.ReservationID, input.SeatIds)
	return in, err
}
