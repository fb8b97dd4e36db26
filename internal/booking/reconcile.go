package booking

import (
	"context"
	"database/sql"
	"errors"
	"sync"
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

const (
	// reconcileWidth is how many attempts or refunds are driven beside each other.
	reconcileWidth = 8
	// reconcileBatches bounds one round.
	reconcileBatches = 50
)

// Reconcile takes over attempts whose driver has vanished and brings each to its end. It returns how many it settled;
// those that the gateway still says nothing about come up again after the lease. So it is with swaps and refunds. Safe on every node at
// once.
func (s *Service) Reconcile(ctx context.Context) (settled int, err error) {
	gateways := s.gateways.Names()
	attempts, err := sideBySide(ctx, gateways, s.reconcileAttempts)
	if err != nil {
		return attempts, err
	}
	own, err := s.ReconcileOwn(ctx)
	if err != nil {
		return attempts + own, err
	}
	refunds, err := sideBySide(ctx, gateways, s.reconcileRefunds)
	return attempts + own + refunds, err
}

// ReconcileAt is Reconcile for the attempts and refunds of one gateway, so that another which hangs delays none.
func (s *Service) ReconcileAt(ctx context.Context, gateway string) (settled int, err error) {
	settled, err = s.reconcileAttempts(ctx, gateway)
	if err != nil {
		return settled, err
	}
	refunds, err := s.reconcileRefunds(ctx, gateway)
	return settled + refunds, err
}

// ReconcileOwn is Reconcile for what needs nobody outside: store credit, attempts that take nothing, and handovers.
func (s *Service) ReconcileOwn(ctx context.Context) (settled int, err error) {
	settled, err = s.ReconcileAt(ctx, payment.CreditName)
	if err != nil {
		return settled, err
	}
	nothing, err := s.reconcileAttempts(ctx, payment.NoGateway)
	if err != nil {
		return settled + nothing, err
	}
	swaps, err := s.reconcileSwaps(ctx)
	return settled + nothing + swaps, err
}

// reconcileAttempts takes over attempts at a gateway. Those whose charge is pending, of which there can be thousands, keep the
// others from nothing.
func (s *Service) reconcileAttempts(ctx context.Context, gateway string) (settled int, err error) {
	queues := []payment.Queue{{Gateway: gateway}, {Gateway: gateway, Pending: true}}
	return sideBySide(ctx, queues, func(ctx context.Context, queue payment.Queue) (int, error) {
		lease := func(ctx context.Context) ([]payment.Attempt, error) {
			return s.payments.LeaseUnsettled(ctx, queue, reconcileWidth, s.cfg.AttemptLease)
		}
		return inBatches(ctx, lease, s.takeOver)
	})
}

// takeOver drives an attempt that was leased, and reports whether it rests.
func (s *Service) takeOver(ctx context.Context, a payment.Attempt) bool {
	_, err := s.settle(ctx, a)
	if errors.Is(err, errPending) {
		if err = s.payments.Release(ctx, a, pendingPause); err == nil {
			return false
		}
	}
	if err != nil {
		s.log.WarnContext(ctx, "payment attempt not settled yet", "attempt", a.ID, "status", a.Status, "error", err)
	}
	return err == nil
}

// inBatches leases what is left behind and drives each batch side by side, so that no lease runs out meanwhile, until there is no
// more. It returns how many it drove to the end.
func inBatches[T any](ctx context.Context, lease func(context.Context) ([]T, error), drive func(context.Context, T) bool) (settled int, err error) {
	for range reconcileBatches {
		batch, err := lease(ctx)
		if err != nil || len(batch) == 0 {
			return settled, err
		}
		n, err := sideBySide(ctx, batch, func(ctx context.Context, one T) (int, error) {
			if drive(ctx, one) {
				return 1, nil
			}
			return 0, nil
		})
		settled += n
		if err != nil {
			return settled, err
		}
	}
	return settled, nil
}

// sideBySide does the same with each of a few, and adds up what they come to. What panics in one panics in the caller.
func sideBySide[T any](ctx context.Context, all []T, do func(context.Context, T) (int, error)) (sum int, err error) {
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		death any
	)
	for _, one := range all {
		wait.Go(func() {
			defer func() {
				if thrown := recover(); thrown != nil {
					mu.Lock()
					defer mu.Unlock()
					death = thrown
				}
			}()
			n, err := do(ctx, one)
			mu.Lock()
			defer mu.Unlock()
			sum += n
			errs = append(errs, err)
		})
	}
	wait.Wait()
	if death != nil {
		panic(death)
	}
	return sum, errors.Join(errs...)
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
