package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/promotion"
	"marquee/internal/reconciliation"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

const (
	// mismatchGrace is how long an attempt is left alone by the comparison of books after it has changed.
	mismatchGrace = time.Minute
	// reconcileLease covers a page of a list, or the healing of one attempt, many times over.
	reconcileLease = 5 * time.Minute
)

func newReconciliation(db *postgres.DB, gateways *payment.Gateways, bookings *booking.Service, log *slog.Logger) *reconciliation.Service {
	return reconciliation.NewService(db, gateways, bookings, log, reconciliation.Config{Grace: mismatchGrace, Timeout: gatewayTimeout, Lease: reconcileLease})
}

// Books are what Reconcile compares.
type Books struct {
	Gateway  string    // "": all of them
	From, To time.Time // the zero ones: the last days, and until now
	Restored time.Time // what the database was restored to; the zero one: it was not
}

// setPeriod sets the times that are not given.
func (b *Books) setPeriod() {
	if b.To.IsZero() {
		b.To = time.Now()
	}
	if !b.From.IsZero() {
		return
	}
	b.From = b.To.Add(-reconciliation.Period)
	if before := b.Restored.Add(-24 * time.Hour); !b.Restored.IsZero() && before.Before(b.From) {
		b.From = before // what was begun before, and was under way then
	}
}

// compare compares the books of a gateway.
func (b *Books) compare(ctx context.Context, books *reconciliation.Service, gateway string) (reconciliation.Run, error) {
	if b.Restored.IsZero() {
		return books.Reconcile(ctx, gateway, b.From, b.To)
	}
	return books.ReconcileRestored(ctx, gateway, b.From, b.To, b.Restored)
}

// Reconcile holds the books of gateways against ours, heals what can be healed, and says what came of it, with a line RESULT in the
// end. Where the database was restored, it goes back a day more than that, and gives back the money of attempts that are not in it.
// An error when mismatches are open afterwards, or a gateway did not tell.
func (c Command) Reconcile(ctx context.Context, of Books) error {
	return c.withDatabase(ctx, func(db *postgres.DB) (err error) {
		var opened closers
		defer func() { err = errors.Join(err, opened.close()) }()
		gateways, _, err := openGateways(c.Config, places{}, clock.System{}, c.Log, &opened)
		if err != nil {
			return err
		}
		of.setPeriod()
		names := gateways.Names()
		if of.Gateway != "" {
			names = []string{of.Gateway}
		}
		bookings, err := c.bookings(db, gateways)
		if err != nil {
			return err
		}
		books := newReconciliation(db, gateways, bookings, c.Log)
		var found, healed int32
		failed := 0
		for _, name := range names {
			run, err := of.compare(ctx, books, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "%s from %s to %s: %s, %d charges compared, %d mismatches found, %d of them healed.\n", name,
				run.From.Format(time.RFC3339), run.To.Format(time.RFC3339), run.Outcome, run.Compared, run.Found, run.Healed)
			found, healed = found+run.Found, healed+run.Healed
			if run.Outcome != reconciliation.Done {
				failed++
			}
		}
		backlog, err := books.Backlog(ctx)
		if err != nil {
			return err
		}
		const most = 1000
		waiting, err := books.Waiting(ctx, most)
		if err != nil {
			return err
		}
		for _, m := range waiting {
			subject := "of no payment"
			if id := m.PaymentID(); id != nil {
				subject = *id
			}
			fmt.Fprintf(c.Out, "%s %s, %s old: %s charge %s (%s), here %s, there %s\n",
				m.Kind, subject, m.Age, m.Gateway, m.ChargeKey, m.Reference, m.Ours.Formatted(), m.Theirs.Formatted())
		}
		fmt.Fprintf(c.Out, "RESULT reconcile found=%d healed=%d open=%d gateways=%d silent=%d\n", found, healed, backlog.Open, len(names), failed)
		switch {
		case failed > 0:
			return fmt.Errorf("%d of %d gateways did not tell what they have", failed, len(names))
		case backlog.Open > 0:
			return fmt.Errorf("%d mismatches are open", backlog.Open)
		default:
			return nil
		}
	})
}

// bookings returns a service of bookings that drives attempts, for no customer.
func (c Command) bookings(db *postgres.DB, gateways *payment.Gateways) (*booking.Service, error) {
	accounts, err := c.accounts(db)
	if err != nil {
		return nil, err
	}
	showtimes := showtime.NewService(db, clock.System{})
	return booking.NewService(booking.Deps{
		DB: db, Showtimes: showtimes, Seating: seating.NewService(db, showtimes, theater.NewService(ent.Over(db.SQL()))),
		Payments: payment.NewService(db), Promotions: promotion.NewService(db, clock.System{}), Gateways: gateways,
		Hint: func(uuid.UUID) {}, Clock: clock.System{}, Tell: accounts.TellTx, Log: c.Log,
	}, bookingConfig(c.Config)), nil
}

func bookingConfig(cfg config.Config) booking.Config {
	return booking.Config{
		Hold: cfg.Hold, HoldLimit: cfg.HoldLimit, GatewayTimeout: gatewayTimeout, AttemptLease: attemptLease,
		OfferTime: offerTime, PaymentGrace: paymentGrace,
		SeatsPerAddress: cfg.SeatsPerAddress, SeatsPerDevice: cfg.SeatsPerDevice, IdleHolds: cfg.IdleHolds, IdleWindow: cfg.IdleWindow,
	}
}
