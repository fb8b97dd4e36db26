package booking_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"testing"

	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/postgres"
)

// settle ends the holds that are left and lets the reconciler finish.
func (r *race) settle(t *testing.T) {
	t.Helper()
	last := r.process(sandbox.New(r.bank), settings)
	r.payOutTheRest(t, last)
	r.endLeases(t)
	for left := 1; left > 0; {
		if _, err := last.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		const unsettled = `SELECT (SELECT count(*) FROM payment_attempts WHERE leased_until < now()
				AND status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'))
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
	books := bankBooks(t, r.bank)
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
	if n := r.tally.deadlocks.Load() + int64(r.DB.Stats().TxRetries) + int64(r.bank.Stats().TxRetries); n != 0 {
		breaches = append(breaches, fmt.Sprintf("%d deadlocks", n))
	}
	return breaches
}

func bankBooks(t *testing.T, bank *postgres.DB) map[string]payment.Charge {
	t.Helper()
	rows, err := bank.SQL().QueryContext(t.Context(), `SELECT key, status, captured_minor, refunded_minor, currency FROM sandbox_gateway.charges`)
	if err != nil {
		t.Fatal(err)
	}
	books := map[string]payment.Charge{}
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var key, currency string
		var charge payment.Charge
		err := rows.Scan(&key, &charge.Status, &charge.Captured.AmountMinor, &charge.Refunded.AmountMinor, &currency)
		charge.Captured, charge.Refunded = money.Money{AmountMinor: charge.Captured.AmountMinor, Currency: currency},
			money.Money{AmountMinor: charge.Refunded.AmountMinor, Currency: currency}
		books[key] = charge
		return struct{}{}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return books
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
		"lost answers":  fixture.Get[int64](t, r.bank, `SELECT count(*) FROM sandbox_gateway.charges WHERE amount_minor % 100 = 91`),
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
