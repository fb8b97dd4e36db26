package booking

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"marquee/internal/payment"
)

// pendingError says that a charge or refund waits for its customer, for a bank or for the gateway. What is known is recorded, and
// it is asked again.
type pendingError struct {
	next payment.NextStep // that the customer has to do; nil: none
}

func (pendingError) Error() string { return "booking: pending at the gateway" }

// Is lets errPending stand for every one.
func (pendingError) Is(target error) bool { return target == errPending }

var errPending error = pendingError{}

// pendingPause is how long the reconciler leaves an attempt alone whose charge is pending.
const pendingPause = 5 * time.Second

// Reconcile takes over attempts whose driver has vanished and brings each to its end. It returns how many it settled;
// those that the gateway still says nothing about come up again after the lease. So it is with swaps and refunds. Safe on every node at
// once.
func (s *Service) Reconcile(ctx context.Context) (settled int, err error) {
	for _, reconcile := range []func(context.Context) (int, error){s.reconcileAttempts, s.reconcileSwaps, s.reconcileRefunds} {
		more, err := reconcile(ctx)
		settled += more
		if err != nil {
			return settled, err
		}
	}
	return settled, nil
}

// reconcileBatch bounds one round.
const reconcileBatch = 50

func (s *Service) reconcileAttempts(ctx context.Context) (settled int, err error) {
	for range reconcileBatch {
		// One at a time: a lease must not run out while others are being driven.
		attempts, err := s.payments.LeaseUnsettled(ctx, 1, s.cfg.AttemptLease)
		if err != nil || len(attempts) == 0 {
			return settled, err
		}
		for _, a := range attempts {
			_, err := s.settle(ctx, a)
			if errors.Is(err, errPending) {
				err = s.payments.Release(ctx, a, pendingPause)
				if err == nil {
					continue
				}
			}
			if err != nil {
				s.log.WarnContext(ctx, "payment attempt not settled yet", "attempt", a.ID, "status", a.Status, "error", err)
				continue
			}
			settled++
		}
	}
	return settled, nil
}

// lookAgain tells how an attempt stands whose charge was pending when it was last looked at, and takes it as far as it goes: its
// customer, who is back from a page of the bank, need not wait for the reconciler. Others are left to who drives them.
func (s *Service) lookAgain(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
	pending, err := s.payments.IsPending(ctx, a)
	if err != nil {
		return a, err
	}
	if !pending { // it may have gone on since
		return s.payments.Attempt(ctx, a.ShowtimeID, a.ID)
	}
	charge, err := s.lookup(ctx, a)
	if err != nil {
		return a, err
	}
	return s.settleFrom(ctx, a, func(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
		return s.authorized(ctx, a, charge)
	})
}

// resume is the first step of a started attempt whose driver has vanished: it is looked up, and what the gateway has never heard
// of is given up, and the gateway is told never to accept it.
func (s *Service) resume(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
	charge, err := s.lookup(ctx, a)
	if errors.Is(err, payment.ErrNoSuchCharge) {
		return s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptVoidPending, DeclineCode: payment.DeclineNoAnswer})
	}
	if err != nil {
		return a, err
	}
	return s.authorized(ctx, a, charge)
}

// pending leaves a started attempt to its customer or its gateway, who have yet to do something. The first time, its hold gets
// its full time again, within Config.HoldLimit. When the deadline has passed, the attempt is given up.
func (s *Service) pending(ctx context.Context, a payment.Attempt, charge payment.Charge) (payment.Attempt, error) {
	moved := false
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		moved = false
		r, now, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, a.ShowtimeID, a.ReservationID)
		if err != nil {
			return err
		}
		if r.HeldUntil == nil || !r.HeldUntil.After(now) {
			return errHoldLost
		}
		first, err := s.payments.PendingTx(ctx, tx, a, charge.Reference)
		if err != nil || !first || r.Status != StatusHeld {
			return err
		}
		moved, err = s.extendTx(ctx, tx, r, now)
		return err
	})
	if errors.Is(err, errHoldLost) {
		return s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptVoidPending, Reference: charge.Reference})
	}
	if err != nil {
		return a, err
	}
	if moved {
		s.hint(a.ShowtimeID)
	}
	return a, pendingError{next: charge.Next}
}
