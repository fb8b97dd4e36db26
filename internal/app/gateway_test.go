package app_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
)

// TestApp_own_gateway: by itself the program has a gateway in its data folder, which no other process has.
func TestApp_own_gateway(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t))
	a, err := app.New(timeLimit(t), cfg, slog.New(slog.DiscardHandler), app.Seams{Still: true})
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := server.ReadJournal(filepath.Join(cfg.DataDir, server.JournalName)); err != nil || len(entries) != 0 {
		t.Errorf("the journal has %v, %v", entries, err)
	}
	if second, err := app.New(timeLimit(t), cfg, slog.New(slog.DiscardHandler), app.Seams{Still: true}); err == nil {
		t.Error("two processes have one journal")
		_ = second.Close()
	} else if !strings.Contains(err.Error(), "MARQUEE_SANDBOX_URL") {
		t.Errorf("the second is told %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestApp_account: with an account at a gateway the program needs no sandbox, and asks nobody before there is something to pay.
func TestApp_account(t *testing.T) {
	t.Parallel()
	for gateway, sign := range map[string]func(cfg *config.Config){
		"stripe": func(cfg *config.Config) {
			cfg.StripeKey, cfg.StripePublishableKey, cfg.StripeWebhookSecret = "sk_test_1", "pk_test_1", "whsec_1"
		},
		"razorpay": func(cfg *config.Config) {
			cfg.RazorpayKeyID, cfg.RazorpayKeySecret, cfg.RazorpayWebhookSecret = "rzp_test_1", "s", "w"
		},
	} {
		t.Run(gateway, func(t *testing.T) {
			t.Parallel()
			cfg := configuration(t, dbtest.NewURL(t))
			cfg.Gateways = []string{gateway}
			sign(&cfg)
			a, err := app.New(timeLimit(t), cfg, slog.New(slog.DiscardHandler), app.Seams{Still: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(cfg.DataDir, server.JournalName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a sandbox beside %s: %v", gateway, err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSandboxGateway_Run serves a gateway as a process of its own does, ends it while a call hangs, and serves it again.
func TestSandboxGateway_Run(t *testing.T) {
	t.Parallel()
	g := app.SandboxGateway{Listen: spare(t), Journal: filepath.Join(t.TempDir(), "bank.jsonl"), Key: "key"}
	lines := &http.Transport{DisableKeepAlives: true}
	client := sandbox.New(sandbox.Config{URL: "http://" + g.Listen, Key: "key", Transport: lines})
	price := payment.Request{Amount: money.Money{AmountMinor: 1200, Currency: "NZD"}}
	for _, first := range []bool{true, false} {
		ctx, end := context.WithCancel(timeLimit(t))
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, slog.New(slog.DiscardHandler)) }()
		var charge payment.Charge
		eventually(t, "the gateway is open", func() (open bool) {
			var err error
			if first {
				charge, err = client.Authorize(ctx, "key", price)
			} else {
				charge, err = client.Lookup(ctx, "key")
			}
			return err == nil
		})
		if charge.Status != payment.ChargeAuthorized {
			t.Errorf("the charge is %+v", charge)
		}
		hanging := make(chan error, 1)
		if first {
			fault, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Listen+"/admin/faults", strings.NewReader(`{"op":"CAPTURE","do":"HANG"}`))
			if err != nil {
				t.Fatal(err)
			}
			fault.Header.Set("Authorization", "Bearer key")
			response, err := (&http.Client{Transport: lines}).Do(fault)
			if err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusOK {
				t.Fatalf("the fault is answered %v, %v", response, err)
			}
			go func() {
				_, err := client.Capture(context.WithoutCancel(ctx), "key", price.Amount)
				hanging <- err
			}()
		} else {
			hanging <- context.Canceled
		}
		end()
		if err := <-done; err != nil {
			t.Errorf("the gateway ends with %v", err)
		}
		if err := <-hanging; err == nil {
			t.Error("what hangs was answered")
		}
	}
}
