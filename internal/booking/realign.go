package booking

import (
	"context"
	"errors"
	"fmt"

	"marquee/internal/payment"
)

// Realign brings an attempt in line with what its gateway has of it, unless somebody drives it. One that was left behind is
// settled, as Reconcile does; of one that was declined or let go, funds that are reserved all the same are let go, and money that
// was taken all the same goes back. It may be repeated. An error leaves the rest for another time.
func (s *Service) Realign(ctx context.Context, ref payment.Reference) error {
	a, ok, err := s.payments.LeaseAttempt(ctx, ref, s.cfg.AttemptLease)
	if err != nil || !ok {
		return err
	}
	if a.Status == payment.AttemptDeclined || a.Status == payment.AttemptVoided {
		if a, err = s.takeBack(ctx, a); err != nil {
			return err
		}
	}
	_, err = s.settle(ctx, a)
	if errors.Is(err, errPending) {
		return s.payments.Release(ctx, a, pendingPause)
	}
	return err
}

// takeBack lets go of the funds of an attempt that has come to nothing; what the gateway took of them is to go back.
func (s *Service) takeBack(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
	gateway, err := s.gatewayOf(a)
	if err != nil {
		return a, err
	}
	charge, err := call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Void(ctx, a.Key()) })
	if err != nil || charge.Status != payment.ChargeCaptured {
		return a, err
	}
	if charge.Captured.Currency != a.Amount.Currency {
		return a, fmt.Errorf("the gateway captured %s of %s for attempt %s", charge.Captured.Formatted(), a.Amount.Formatted(), a.ID)
	}
	next, err := s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptRefundPending, Reference: charge.Reference, TakenMinor: &charge.Captured.AmountMinor})
	if errors.Is(err, payment.ErrMoved) {
		return s.payments.Attempt(ctx, a.ShowtimeID, a.ID)
	}
	return next, err
}

// GiveBackUnknown lets go of a charge at a gateway of which there is no attempt here, and gives back what is left of it, once however often
// it is asked to. Whoever calls it knows that the charge is ours. An error leaves the rest for another time.
func (s *Service) GiveBackUnknown(ctx context.Context, gatewayName, key string) error {
	gateway, err := s.gatewayNamed(gatewayName)
	if err != nil {
		return err
	}
	charge, err := call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Void(ctx, key) })
	if err != nil || charge.Status != payment.ChargeCaptured {
		return err
	}
	left := charge.Captured
	if left.AmountMinor -= charge.Refunded.AmountMinor; left.AmountMinor <= 0 {
		return nil
	}
	back, err := call(ctx, s, gateway, func(ctx context.Context) (payment.ChargeRefund, error) {
		return gateway.Refund(ctx, key, key+"/unknown", left)
	})
	if err == nil && back.Status == payment.RefundFailed {
		return fmt.Errorf("the gateway cannot give back %s of charge %s: %s", left.Formatted(), key, back.Code)
	}
	return err
}
