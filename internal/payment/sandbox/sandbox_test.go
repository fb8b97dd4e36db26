package sandbox_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/payment/sandbox"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "NZD"} }

func TestGateway_conforms(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	gatewaytest.Run(t, func(*testing.T) gatewaytest.Subject {
		return gatewaytest.Subject{
			Gateway: sandbox.New(db),
			Good:    payment.Request{Amount: nzd(1200)},
			Declined: map[string]payment.Request{
				"do_not_honor": {Amount: nzd(1205)}, "insufficient_funds": {Amount: nzd(1251)}, "expired_card": {Amount: nzd(1254)},
			},
			LostAnswer: payment.Request{Amount: nzd(1291)},
			RefundByHand: func(_ context.Context, key string, amount money.Money) error {
				_, err := db.SQL().ExecContext(t.Context(), `UPDATE sandbox_gateway.charges SET refunded_minor = refunded_minor + $2 WHERE key = $1`,
					key, amount.AmountMinor)
				return err
			},
		}
	})
}

func TestGateway_Refund(t *testing.T) {
	t.Parallel()
	g := sandbox.New(dbtest.New(t))
	for _, key := range []string{"dollars", "declined"} {
		amount := map[string]money.Money{"dollars": nzd(1200), "declined": nzd(1205)}[key]
		if _, err := g.Authorize(t.Context(), key, payment.Request{Amount: amount}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Capture(t.Context(), key, amount); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a_declined_charge_has_nothing_to_give_back", func(t *testing.T) {
		t.Parallel()
		if _, err := g.Refund(t.Context(), "declined", "declined/refund", nzd(1)); !errors.Is(err, payment.ErrRefused) {
			t.Errorf("error %v, want ErrRefused", err)
		}
	})
	t.Run("a_refused_key_may_be_used_again", func(t *testing.T) {
		t.Parallel()
		if _, err := g.Refund(t.Context(), "dollars", "dollars/again", nzd(9999)); !errors.Is(err, payment.ErrRefused) {
			t.Fatalf("error %v, want ErrRefused", err)
		}
		refund, err := g.Refund(t.Context(), "dollars", "dollars/again", nzd(100))
		if err != nil || refund.Amount != nzd(100) {
			t.Errorf("refunded %v, %v; want 100", refund.Amount, err)
		}
	})
}

// The books are what audits compare Marquee's own with: they must not lean on them.
func TestGateway_keeps_its_own_books(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	g := sandbox.New(db)
	if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: nzd(1200)}); err != nil {
		t.Fatal(err)
	}
	// Another process on the same database sees the same books.
	if charge, err := sandbox.New(db).Lookup(t.Context(), "key"); err != nil || charge.Status != payment.ChargeAuthorized {
		t.Errorf("another process finds %+v, %v", charge, err)
	}
	const foreign = `SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'sandbox_gateway'::regnamespace
		AND confrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'sandbox_gateway'::regnamespace)`
	if n := fixture.Get[int](t, db, foreign); n != 0 {
		t.Errorf("%d foreign keys lead out of the sandbox", n)
	}
}
