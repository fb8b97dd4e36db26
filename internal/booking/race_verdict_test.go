package booking_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"marquee/internal/clock"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	bank "marquee/internal/payment/sandbox/server"
)

// settle ends the holds that are left and lets the reconciler finish.
func (r *race) settle(t *testing.T) {
	t.Helper()
	last := r.process(r.gateway(), settings)
	r.payOutTheRest(t, last)
	r.endLeases(t)
	for left := 1; left > 0; {
		if _, err := last.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		const unsettled = `SELECT (SELECT count(*) FROM payment_attempts WHERE leased_until < now()
				AND status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING'))
			+ (SELECT count(*) FROM handovers WHERE leased_until < now() AND status = 'TAKEN')
			+ (SELECT count(*) FROM refunds WHERE leased_until < now() AND status = 'PENDING')`
		left = fixture.Get[int](t, r.DB, unsettled)
	}
	for _, table := range []string{"reservations", "seat_claims"} {
		r.Exec(t, `UPDATE `+table+` SET held_until = now() - interval '1 second' WHERE held_until IS NOT NULL`)
	}
	if _, _, err := last.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// judge returns a line for everything that was not as it must be, and for what is not in the tables and the bank's books.
func (r *race) judge(t *testing.T) []string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	breaches, err := audit(ctx, r.DB.SQL(), slices.Concat(always, atRest))
	if err != nil {
		t.Fatal(err)
	}
	books := bankBooks(r.bank)
	unequal, err := compareBooks(ctx, r.DB.SQL(), books)
	if err != nil {
		t.Fatal(err)
	}
	breaches = slices.Concat(r.breaches, breaches, unequal)
	taken := r.inTheTill(t)
	for _, charge := range books {
		taken += charge.Captured.AmountMinor - charge.Refunded.AmountMinor
	}
	sold := fixture.Get[int64](t, r.DB, `SELECT coalesce(sum(amount_minor), 0) FROM reservations WHERE status = 'CONFIRMED'`)
	if taken != sold {
		breaches = append(breaches, fmt.Sprintf("bank and till have %d for reservations of %d", taken, sold))
	}
	wants := map[answer][]string{toldPaid: {"CONFIRMED"}, toldNotPaid: {"EXPIRED", "CANCELLED"}, toldCancelled: {"CANCELLED"}, toldSwapping: {"CONFIRMED", "CANCELLED"}}
	for ref, what := range r.told {
		status := fixture.Get[string](t, r.DB, `SELECT status FROM reservations WHERE showtime_id = $1 AND id = $2`, ref.ShowtimeID, ref.ID)
		if !slices.Contains(wants[what], status) {
			breaches = append(breaches, fmt.Sprintf("a customer was told %q of reservation %s, which is %s", what, ref.ID, status))
		}
	}
	if n := r.tally.deadlocks.Load() + int64(r.DB.Stats().TxRetries); n != 0 {
		breaches = append(breaches, fmt.Sprintf("%d deadlocks", n))
	}
	return breaches
}

// bankKey is what the bank lets processes in with.
const bankKey = "the key of a bank for tests"

// newBank starts a gateway that all processes of a race share.
func newBank(t *testing.T) *bank.Server {
	t.Helper()
	b, err := bank.Open(bank.Options{
		Journal: filepath.Join(t.TempDir(), bank.JournalName), Key: bankKey, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// gateway is a line of a process to the bank.
func (r *race) gateway() payment.Gateway {
	return sandbox.New(sandbox.Config{URL: "http://sandbox", Key: bankKey, Transport: r.bank.Transport()})
}

func bankBooks(b *bank.Server) map[string]payment.Charge {
	books := map[string]payment.Charge{}
	for _, charge := range b.Charges() {
		books[charge.Key] = charge.Told()
	}
	return books
}

// lostAnswers counts the charges whose first answer was lost.
func (r *race) lostAnswers() (n int64) {
	for _, charge := range r.bank.Charges() {
		if charge.AmountMinor%100 == 91 {
			n++
		}
	}
	return n
}

func (r *race) report(t *testing.T) {
	t.Helper()
	n := &r.tally
	t.Logf("%d reserved, %d lost, %d told to try again; %d kept unpaid, %d changed, %d not; %d paid, %d declined, %d expired, %d pending; %d cancelled, %d in part, %d not; %d snapshots, %d sums; at the counters: %s; swaps: %s",
		n.reserved.Load(), n.lost.Load(), n.again.Load(), n.kept.Load(), n.changed.Load(), n.unchanged.Load(), n.paid.Load(), n.declined.Load(), n.expired.Load(), n.pending.Load(),
		n.cancelled.Load(), n.lessened.Load(), n.conflicts.Load(), n.snapshots.Load(), n.sums.Load(), &n.counters, &n.swappers)
}

// provesSomething demands that the race was one.
func (r *race) provesSomething(t *testing.T, claims int64) {
	t.Helper()
	n := &r.tally
	counts := map[string]int64{
		"holds": n.reserved.Load(), "lost claims": n.lost.Load() * 20 / claims, "payments": n.paid.Load(), "unpaid ones kept": n.kept.Load(),
		"changes of seats": n.changed.Load(), "changes that came too late": n.unchanged.Load(),
		"declines": n.declined.Load(), "holds that ran out on the way": n.expired.Load(), "cancellations": n.cancelled.Load(), "seats given back": n.lessened.Load(),
		"snapshots": n.snapshots.Load() / 10, "sums": n.sums.Load() / 10,
		"lost answers":  r.lostAnswers(),
		"expired holds": fixture.Get[int64](t, r.DB, `SELECT count(*) FROM reservations WHERE status = 'EXPIRED'`),
		"sold seats":    fixture.Get[int64](t, r.DB, `SELECT count(*) FROM tickets WHERE status = 'ISSUED'`),
	}
	maps.Copy(counts, n.counters.counts())
	maps.Copy(counts, n.swappers.counts())
	for what, count := range counts {
		if count == 0 {
			t.Errorf("the race had too few %s", what)
		}
	}
}
