package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
)

// refundPauses are the times between the tries of a refund; after the last, a failed refund rests until somebody decides.
var refundPauses = []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}

// Codes of failed refunds where the gateway gives no reason.
const (
	refundUnexplained = "gateway_failed"
	refundRefused     = "gateway_refused"
	refundUnknown     = "no_such_charge"
)

// failedRefundError says that a try of a refund has failed for good. What is known is recorded.
type failedRefundError struct{ code string }

func (e failedRefundError) Error() string { return "booking: a try of a refund has failed: " + e.code }

// giveBack drives a pending refund that the caller has leased until the gateway has answered, and records that. It may be
// repeated, for the gateway knows each try by its key. An error leaves the refund for Reconcile: errPending when the gateway has
// still to carry it out, failedRefundError when it is tried again later, or no more.
func (s *Service) giveBack(ctx context.Context, r payment.Refund) error {
	if r.AtCounter() {
		return errPending // until it is paid out
	}
	if r.Destination == payment.ToStoreCredit {
		return s.creditBack(ctx, r)
	}
	gateway, err := s.gatewayNamed(r.Gateway)
	if err != nil {
		return err
	}
	r, err = s.askBack(ctx, gateway, r)
	if failed, ok := errors.AsType[failedRefundError](err); ok {
		return errors.Join(err, s.refundFailed(ctx, r, failed.code))
	}
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error { return s.payments.FinishRefundTx(ctx, tx, r) })
	s.changed(payment.Reference{ShowtimeID: r.ShowtimeID, ID: r.PaymentID})
	if errors.Is(err, payment.ErrMoved) {
		return nil // somebody else saw to it
	}
	return err
}

// creditBack gives a refund to its customer as store credit.
func (s *Service) creditBack(ctx context.Context, r payment.Refund) error {
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.payments.FinishRefundTx(ctx, tx, r); err != nil {
			return err
		}
		return s.payments.CreditRefundTx(ctx, tx, r)
	})
	if errors.Is(err, payment.ErrMoved) {
		return nil // somebody else saw to it
	}
	return err
}

// AdjustCredit grants a customer store credit, or revokes some: see payment.Service.AdjustCredit.
func (s *Service) AdjustCredit(ctx context.Context, viewer auth.Viewer, in payment.AdjustInput) (money.Money, error) {
	return s.payments.AdjustCredit(ctx, viewer, in, s.clock.Now())
}

// refundFailed lets a refund be tried again after a pause that grows, or rest when that was the last try.
func (s *Service) refundFailed(ctx context.Context, r payment.Refund, code string) (err error) {
	defer s.changed(payment.Reference{ShowtimeID: r.ShowtimeID, ID: r.PaymentID})
	if tried := int(r.Try); tried <= len(refundPauses) {
		err = s.payments.TryAgain(ctx, r, code, refundPauses[tried-1])
	} else if err = s.payments.FailRefund(ctx, r, code); err == nil {
		s.log.ErrorContext(ctx, "refund failed for good: somebody must decide how it goes back", "refund", r.ID, "attempt", r.AttemptID, "code", code)
	}
	if errors.Is(err, payment.ErrMoved) {
		return nil
	}
	return err
}

// askBack asks a gateway for what is due of a refund: nil once the money has gone back. Of what it refuses since somebody gave
// it back by hand, that is stored, and the rest asked for; the refund is returned as it stands then.
func (s *Service) askBack(ctx context.Context, gateway payment.Gateway, r payment.Refund) (payment.Refund, error) {
	if r.Try > 1 {
		back, err := s.wentBack(ctx, gateway, r, r.Try-1)
		if back || err != nil {
			return r, err
		}
	}
	// What went another way does not show in the gateway's books, which would give more than was captured.
	elsewhere, err := s.payments.GivenElsewhere(ctx, r)
	if err != nil {
		return r, err
	}
	if elsewhere > 0 {
		if back, err := s.wentBack(ctx, gateway, r, r.Try); back || err != nil {
			return r, err
		}
		if r, err = s.lessByHand(ctx, gateway, r); err != nil {
			return r, err
		}
	}
	for r.Due().AmountMinor > 0 {
		due := r.Due()
		refund, err := call(ctx, s, gateway, func(ctx context.Context) (payment.ChargeRefund, error) {
			return gateway.Refund(ctx, r.AttemptKey(), r.Key(r.Try), due)
		})
		switch {
		case errors.Is(err, payment.ErrRefused):
			// Who asked at the same time may have got it.
			if back, err := s.wentBack(ctx, gateway, r, r.Try); back || err != nil {
				return r, err
			}
			if r, err = s.lessByHand(ctx, gateway, r); err != nil {
				return r, err
			}
			if r.Due() == due {
				return r, failedRefundError{refundRefused}
			}
		case errors.Is(err, payment.ErrNoSuchCharge):
			return r, failedRefundError{refundUnknown}
		case err != nil:
			return r, err
		default:
			return r, answered(refund, due, r.Key(r.Try))
		}
	}
	return r, nil
}

// wentBack reports whether a try of a refund has given the money back: never, when it failed or the gateway does not know it.
func (s *Service) wentBack(ctx context.Context, gateway payment.Gateway, r payment.Refund, try int16) (bool, error) {
	found, err := call(ctx, s, gateway, func(ctx context.Context) (payment.ChargeRefund, error) {
		return gateway.LookupRefund(ctx, r.AttemptKey(), r.Key(try))
	})
	if errors.Is(err, payment.ErrNoSuchRefund) || err == nil && found.Status == payment.RefundFailed {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = answered(found, r.Due(), r.Key(try))
	return err == nil, err
}

// answered acts on what a gateway says of a refund: nil once the money has gone back.
func answered(refund payment.ChargeRefund, due money.Money, key string) error {
	switch {
	case refund.Amount != due:
		return fmt.Errorf("the gateway gives back %s of %s for %s", refund.Amount.Formatted(), due.Formatted(), key)
	case refund.Status == payment.RefundDone:
		return nil
	case refund.Status == payment.RefundFailed && refund.Code == "":
		return failedRefundError{refundUnexplained}
	case refund.Status == payment.RefundFailed:
		return failedRefundError{refund.Code}
	default:
		return errPending
	}
}

// lessByHand stores of a refund what somebody has given back of it by hand: what is due of it and is left no more.
func (s *Service) lessByHand(ctx context.Context, gateway payment.Gateway, r payment.Refund) (payment.Refund, error) {
	left, err := s.leftOf(ctx, gateway, r)
	if err != nil || left >= r.Due().AmountMinor {
		return r, err
	}
	return s.payments.GivenByHand(ctx, r, r.Amount.AmountMinor-left)
}

// leftOf returns what is left of the money of a refund at its gateway, in minor units: not what went back to its customer another
// way.
func (s *Service) leftOf(ctx context.Context, gateway payment.Gateway, r payment.Refund) (int64, error) {
	charge, err := call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Lookup(ctx, r.AttemptKey()) })
	if err != nil {
		return 0, err
	}
	if charge.Status != payment.ChargeCaptured {
		return 0, fmt.Errorf("the gateway says that attempt %s is %s, of which it took money", r.AttemptID, charge.Status)
	}
	elsewhere, err := s.payments.GivenElsewhere(ctx, r)
	if err != nil {
		return 0, err
	}
	return max(0, charge.Captured.AmountMinor-charge.Refunded.AmountMinor-elsewhere), nil
}

// reconcileRefunds takes over refunds at a gateway whose driver has vanished, as reconcileAttempts does with attempts.
func (s *Service) reconcileRefunds(ctx context.Context, gateway string) (settled int, err error) {
	lease := func(ctx context.Context) ([]payment.Refund, error) {
		return s.payments.LeaseRefunds(ctx, gateway, reconcileWidth, s.cfg.AttemptLease)
	}
	return inBatches(ctx, lease, func(ctx context.Context, r payment.Refund) bool {
		err := s.giveBack(ctx, r)
		if err != nil && !errors.Is(err, errPending) { // that one waits until its lease is over
			s.log.WarnContext(ctx, "refund not given back yet", "refund", r.ID, "attempt", r.AttemptID, "error", err)
		}
		return err == nil
	})
}
