package apitest

import (
	"log/slog"
	"path/filepath"
	"testing"

	"marquee/internal/clock"
	bank "marquee/internal/payment/sandbox/server"
)

// BankKey is what App.Bank lets callers in with.
const BankKey = "the key of a bank for tests"

// BankSecret is what App.Bank signs webhooks with.
const BankSecret = "the secret of a bank for tests"

// newBank starts a payment gateway that outlives every node of the test.
func newBank(t testing.TB) *bank.Server {
	t.Helper()
	b, err := bank.Open(bank.Options{
		Journal: filepath.Join(t.TempDir(), bank.JournalName), Key: BankKey, Pages: "https://bank.example", Secret: BankSecret, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("start the payment gateway: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("stop the payment gateway: %v", err)
		}
	})
	return b
}
