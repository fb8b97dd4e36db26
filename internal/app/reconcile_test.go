package app_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"marquee/internal/app"
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
	if err := c.Reconcile(t.Context(), app.Books{}); err != nil ||
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
		sentence(t, c.Reconcile(t.Context(), app.Books{Gateway: "sandbox"}), "1 mismatches are open")
		if !strings.HasSuffix(out.String(), "\nRESULT reconcile "+found+" healed=0 open=1 gateways=1 silent=0\n") {
			t.Errorf("%s", out)
		}
	}
	atBank(func(ctx context.Context, gateway payment.Gateway) error {
		_, err := gateway.Refund(ctx, key, key+"/refund", price)
		return err
	})
	c, out = command(cfg)
	if err := c.Reconcile(t.Context(), app.Books{Gateway: "sandbox", From: time.Now().Add(-time.Hour)}); err != nil {
		t.Errorf("once it went back: %v\n%s", err, out)
	}
	sentence(t, c.Reconcile(t.Context(), app.Books{Gateway: "nobody"}), "no such gateway")

	// The database is one that was restored to what it was before the next charge.
	restored := time.Now()
	key = typeid.New().String()
	atBank(func(ctx context.Context, gateway payment.Gateway) error {
		if _, err := gateway.Authorize(ctx, key, payment.Request{Amount: price}); err != nil {
			return err
		}
		_, err := gateway.Capture(ctx, key, price)
		return err
	})
	c, _ = command(cfg)
	sentence(t, c.Reconcile(t.Context(), app.Books{Restored: restored.Add(time.Minute)}), "1 mismatches are open")
	c, out = command(cfg)
	if err := c.Reconcile(t.Context(), app.Books{Restored: restored}); err != nil || !strings.HasSuffix(out.String(), "\nRESULT reconcile found=0 healed=1 open=0 gateways=1 silent=0\n") {
		t.Errorf("of a restored database: %v\n%s", err, out)
	}
	atBank(func(ctx context.Context, gateway payment.Gateway) error {
		if charge, err := gateway.Lookup(ctx, key); err != nil || charge.Refunded != price {
			t.Errorf("the charge is %+v, %v", charge, err)
		}
		return nil
	})
}
