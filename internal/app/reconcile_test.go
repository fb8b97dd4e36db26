package app_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
	"marquee/internal/typeid"
)

// TestCommand_Reconcile compares a gateway's books with an empty database: what the gateway took belongs to nobody.
func TestCommand_Reconcile(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t))
	c, out := command(cfg)
	if err := c.Reconcile(t.Context(), "", time.Time{}, time.Time{}); err != nil ||
		!strings.HasSuffix(out.String(), "\nRESULT reconcile found=0 healed=0 open=0 gateways=1 silent=0\n") {
		t.Errorf("with empty books: %v\n%s", err, out)
	}
	key := typeid.New().String()
	atBank := func(do func(ctx context.Context, gateway payment.Gateway) error) {
		t.Helper()
		bank, err := server.Open(server.Options{
			Journal: filepath.Join(cfg.DataDir, server.JournalName), Key: "key", Pages: "https://bank.example", Clock: clock.System{}, Log: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := do(t.Context(), sandbox.New(sandbox.Config{URL: "http://sandbox", Key: "key", Transport: bank.Transport()})); err != nil {
			t.Error(err)
		}
		if err := bank.Close(); err != nil {
			t.Error(err)
		}
	}
	price := money.Money{AmountMinor: 1200, Currency: "NZD"}
	atBank(func(ctx context.Context, gateway payment.Gateway) error {
		if _, err := gateway.Authorize(ctx, key, payment.Request{Amount: price}); err != nil {
			return err
		}
		_, err := gateway.Capture(ctx, key, price)
		return err
	})
	for _, found := range []string{"found=1", "found=0"} {
		c, out = command(cfg)
		sentence(t, c.Reconcile(t.Context(), "sandbox", time.Time{}, time.Time{}), "1 mismatches are open")
		if !strings.HasSuffix(out.String(), "\nRESULT reconcile "+found+" healed=0 open=1 gateways=1 silent=0\n") {
			t.Errorf("%s", out)
		}
	}
	atBank(func(ctx context.Context, gateway payment.Gateway) error {
		_, err := gateway.Refund(ctx, key, key+"/refund", price)
		return err
	})
	c, out = command(cfg)
	if err := c.Reconcile(t.Context(), "sandbox", time.Now().Add(-time.Hour), time.Time{}); err != nil {
		t.Errorf("once it went back: %v\n%s", err, out)
	}
	sentence(t, c.Reconcile(t.Context(), "nobody", time.Time{}, time.Time{}), "no such gateway")
}
