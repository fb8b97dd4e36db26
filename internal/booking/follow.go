package booking

import (
	"context"
	"errors"

	"marquee/internal/payment"
)

// Follow takes an attempt of which a gateway tells something as far as it goes, and with it the refunds that wait for the
// gateway, as Reconcile would do later. What somebody drives at this moment is left to them. An error leaves all where it stands.
func (s *Service) Follow(ctx context.Context, a payment.Attempt) error {
	if a.Status == payment.AttemptDeclined || a.Status == payment.AttemptVoided {
		return s.Realign(ctx, payment.Reference{ShowtimeID: a.ShowtimeID, ID: a.ID})
	}
	a, err := s.lookAgain(ctx, a)
	if err == nil && !a.Status.Settled() {
		var mine bool
		if mine, err = s.payments.Lease(ctx, a, s.cfg.AttemptLease); mine {
			_, err = s.settle(ctx, a)
			if errors.Is(err, errPending) {
				err = s.payments.Release(ctx, a, pendingPause)
			}
		}
	}
	if err != nil && !errors.Is(err, errPending) {
		return err
	}
	refunds, err := s.payments.RefundsUnderWay(ctx, a)
	for _, r := range refunds {
		back := s.giveBack(ctx, r)
		// That it has failed is recorded as well, and so is what somebody else made of it at the same time.
		if _, failed := errors.AsType[failedRefundError](back); !failed && !errors.Is(back, errPending) && !errors.Is(back, payment.ErrMoved) {
			err = errors.Join(err, back)
		}
	}
	return err
}
