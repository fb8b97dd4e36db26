package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	sweepEvery        = time.Second
	mailEvery         = time.Second
	revocationsEvery  = time.Second
	keysetEvery       = time.Second
	reconcileEvery    = 5 * time.Second
	strandedEvery     = time.Minute
	sealEvery         = 10 * time.Second
	housekeepingEvery = time.Hour
	booksEvery        = time.Minute
	// compareEvery is how often the books of a gateway are compared with ours, by whichever node.
	compareEvery = time.Hour
)

// background does the periodic work of this node until ctx ends. Every job is safe to run on all nodes at once.
func (a *App) background(ctx context.Context) {
	type job struct {
		name  string
		every time.Duration
		run   func(context.Context) error
	}
	jobs := []job{
		{"sweep", sweepEvery, a.sweep},
		{"mail", mailEvery, a.DeliverMail},
		{"revocations", revocationsEvery, a.Identity.SyncRevocations},
		{"keyset", keysetEvery, func(context.Context) error { return a.vault.Refresh() }},
		{"reconcile own", reconcileEvery, func(ctx context.Context) error { return a.reconciled(a.Booking.ReconcileOwn(ctx)) }},
		{"stranded payments", strandedEvery, a.lookForStranded},
		{"books", booksEvery, a.compareBooks},
		{"audit", sealEvery, a.sealer.Seal},
		{"housekeeping", housekeepingEvery, a.Housekeeping},
	}
	// Each gateway has a job of its own, so that one that hangs keeps no other waiting.
	for _, gateway := range a.gateways.Names() {
		jobs = append(jobs, job{"reconcile " + gateway, reconcileEvery, func(ctx context.Context) error {
			return a.reconciled(a.Booking.ReconcileAt(ctx, gateway))
		}})
	}
	var wait sync.WaitGroup
	for _, job := range jobs {
		wait.Go(func() {
			for {
				// A little noise keeps the nodes of a cluster from working in step.
				pause := time.NewTimer(job.every - time.Duration(rand.Int64N(int64(job.every/5))))
				select {
				case <-ctx.Done():
					pause.Stop()
					return
				case <-pause.C:
				}
				if err := job.run(ctx); err != nil && ctx.Err() == nil {
					a.log.WarnContext(ctx, "background work failed", "job", job.name, "error", err)
				}
			}
		})
	}
	wait.Go(func() {
		if err := a.Jobs.Run(ctx); err != nil {
			a.log.ErrorContext(ctx, "jobs are not done", "error", err)
		}
	})
	wait.Wait()
}

// sweep ends expired holds until there are no more.
func (a *App) sweep(ctx context.Context) error {
	for full := true; full; {
		var ended int
		var err error
		if ended, full, err = a.Booking.Sweep(ctx); err != nil {
			return err
		}
		a.metrics.expired.Add(float64(ended))
	}
	return nil
}

// reconciled counts what a round of the reconciler settled.
func (a *App) reconciled(settled int, err error) error {
	a.metrics.reconciled.Add(float64(settled))
	return err
}

// lookForStranded tells operators of payments that nobody brings to their end, since their gateway is not set up.
func (a *App) lookForStranded(ctx context.Context) error {
	stranded, err := a.payments.Stranded(ctx, a.gateways.Names())
	if err != nil {
		return err
	}
	a.metrics.stranded.Reset()
	for gateway, count := range stranded {
		a.metrics.stranded.WithLabelValues(gateway).Set(float64(count))
		a.log.WarnContext(ctx, "payments wait for a gateway that is not set up", "gateway", gateway, "attempts_and_refunds", count)
	}
	return nil
}

// compareBooks holds the books of gateways against ours where it is time to, and counts what waits for somebody.
func (a *App) compareBooks(ctx context.Context) error {
	runs, err := a.Reconciliation.Periodic(ctx, time.Now(), compareEvery)
	for _, run := range runs {
		a.log.InfoContext(ctx, "books were compared", "gateway", run.Gateway, "outcome", run.Outcome, "charges", run.Compared, "found", run.Found, "healed", run.Healed)
	}
	backlog, backlogErr := a.Reconciliation.Backlog(ctx)
	if backlogErr == nil {
		a.metrics.mismatches.Set(float64(backlog.Open))
		a.metrics.mismatchAge.Set(backlog.Oldest.Seconds())
	}
	return errors.Join(err, backlogErr)
}

// Housekeeping deletes what is past the time for which it is kept, as the classification in package privacy says, and
// applies the changes of address to which the present address has said nothing for as long as it may. What fails keeps
// nothing else from being done. It runs by itself, on every node, each hour.
func (a *App) Housekeeping(ctx context.Context) error {
	_, keys := a.Booking.ForgetKeys(ctx)
	_, mails := a.post.Outbox.Forget(ctx)
	failed := errors.Join(keys, mails)
	for _, forget := range []func(context.Context) (int, error){
		a.Identity.ForgetSessions, a.Identity.ForgetGuesses, a.Identity.ForgetCeremonies, a.Identity.ForgetFlows,
		a.Identity.ForgetMailedTokens, a.Identity.SettleEmailChanges, a.Identity.ForgetDevices, a.Identity.ForgetEnrolments,
		a.promos.ForgetGuesses, a.Webhooks.Forget,
	} {
		_, err := forget(ctx)
		failed = errors.Join(failed, err)
	}
	return failed
}
