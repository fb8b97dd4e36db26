package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"marquee/internal/payment"
)

// giveBack drives a refund that the caller has leased: one call to the gateway, then one transaction. It may be repeated, for
// the gateway knows the refund by its key. An error leaves it where it stands, for Reconcile.
func (s *Service) giveBack(ctx context.Context, r payment.Refund) error {
	if r.Gateway != s.gateway.Name() {
		return fmt.Errorf("refund %s goes through gateway %q, which this installation does not have", r.ID, r.Gateway)
	}
	charge, err := s.call(ctx, func(ctx context.Context) (payment.Charge, error) {
		return s.gateway.Refund(ctx, r.AttemptKey(), r.Key(), r.Amount)
	})
	if err != nil {
		return err
	}
	// Others of the same attempt may go back at the same time.
	least, err := r.Before.Add(r.Amount)
	if err != nil {
		return err
	}
	back := charge.Refunded
	if back.Currency != r.Amount.Currency || back.AmountMinor < least.AmountMinor || back.AmountMinor > r.Captured.AmountMinor {
		return fmt.Errorf("the gateway says that %s of %s went back of attempt %s, with refund %s of %s",
			back.Formatted(), r.Captured.Formatted(), r.AttemptID, r.ID, r.Amount.Formatted())
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error { return s.payments.FinishRefundTx(ctx, tx, r) })
	if errors.Is(err, payment.ErrMoved) {
		return nil // somebody else saw to it
	}
	return err
}

// reconcileRefunds takes over refunds whose driver has vanished, one at a time, as Reconcile does with attempts.
func (s *Service) reconcileRefunds(ctx context.Context) (settled int, err error) {
	for range reconcileBatch {
		refunds, err := s.payments.LeaseRefunds(ctx, 1, s.cfg.AttemptLease)
		if err != nil || len(refunds) == 0 {
			return settled, err
		}
		if err := s.giveBack(ctx, refunds[0]); err != nil {
			s.log.WarnContext(ctx, "refund not given back yet", "refund", refunds[0].ID, "attempt", refunds[0].AttemptID, "error", err)
			continue
		}
		settled++
	}
	return settled, nil
}
