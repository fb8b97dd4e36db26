package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// giveBack drives a refund that the caller has leased: one call to the gateway, then one transaction. It may be repeated, for
// the gateway knows the refund by its key. An error leaves it where it stands, for Reconcile: errPending when the gateway has
// still to carry it out.
func (s *Service) giveBack(ctx context.Context, r payment.Refund) error {
	gateway, err := s.gateways.Named(r.Gateway)
	if err != nil {
		return err
	}
	if err := s.askBack(ctx, gateway, r.AttemptKey(), r.Key(), r.Amount); err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error { return s.payments.FinishRefundTx(ctx, tx, r) })
	if errors.Is(err, payment.ErrMoved) {
		return nil // somebody else saw to it
	}
	return err
}

// askBack asks a gateway for a refund: nil once the money has gone back, errPending while it is on its way.
func (s *Service) askBack(ctx context.Context, gateway payment.Gateway, key, refundKey string, amount money.Money) error {
	refund, err := call(ctx, s, gateway, func(ctx context.Context) (payment.ChargeRefund, error) {
		return gateway.Refund(ctx, key, refundKey, amount)
	})
	switch {
	case errors.Is(err, payment.ErrRefused):
		// There may be nothing left, since somebody has given it back by hand.
		charge, lookupErr := call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Lookup(ctx, key) })
		if lookupErr == nil && charge.Status == payment.ChargeCaptured && charge.Refunded == charge.Captured {
			return nil
		}
		return errors.Join(err, lookupErr)
	case err != nil:
		return err
	case refund.Amount != amount:
		return fmt.Errorf("the gateway gives back %s of %s for %s", refund.Amount.Formatted(), amount.Formatted(), refundKey)
	case refund.Status == payment.RefundDone:
		return nil
	case refund.Status == payment.RefundPending:
		return errPending
	default:
		return fmt.Errorf("refund %s is %s at the gateway", refundKey, refund.Status)
	}
}

// reconcileRefunds takes over refunds whose driver has vanished, one at a time, as Reconcile does with attempts.
func (s *Service) reconcileRefunds(ctx context.Context) (settled int, err error) {
	for range reconcileBatch {
		refunds, err := s.payments.LeaseRefunds(ctx, 1, s.cfg.AttemptLease)
		if err != nil || len(refunds) == 0 {
			return settled, err
		}
		err = s.giveBack(ctx, refunds[0])
		if errors.Is(err, errPending) {
			continue // until its lease is over
		}
		if err != nil {
			s.log.WarnContext(ctx, "refund not given back yet", "refund", refunds[0].ID, "attempt", refunds[0].AttemptID, "error", err)
			continue
		}
		settled++
	}
	return settled, nil
}
