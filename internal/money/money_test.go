package money_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/money"
)

func TestMoney_Formatted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount   int64
		currency string
		want     string
	}{
		{1250, "EUR", "EUR 12.50"},
		{5, "EUR", "EUR 0.05"},
		{0, "USD", "USD 0.00"},
		{-123456, "USD", "USD -1,234.56"},
		{1900, "JPY", "JPY 1,900"},
		{3500, "KWD", "KWD 3.500"},
		{100, "KWD", "KWD 0.100"},
		{1234567890, "JPY", "JPY 1,234,567,890"},
		{math.MinInt64, "JPY", "JPY -9,223,372,036,854,775,808"},
	} {
		if got := (money.Money{AmountMinor: c.amount, Currency: c.currency}).Formatted(); got != c.want {
			t.Errorf("%d %s = %q, want %q", c.amount, c.currency, got, c.want)
		}
	}
}

func TestNew_refuses_unknown_currencies(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "EU", "eur", "QQQ", "EURO"} {
		if _, err := money.New(1, code); err == nil {
			t.Errorf("New(1, %q) was accepted", code)
		}
	}
}

func TestMoney_Add(t *testing.T) {
	t.Parallel()
	t.Run("currencies_never_mix", func(t *testing.T) {
		t.Parallel()
		_, err := money.Money{AmountMinor: 1, Currency: "EUR"}.Add(money.Money{AmountMinor: 1, Currency: "USD"})
		if !errors.Is(err, money.ErrCurrencyMismatch) {
			t.Errorf("error = %v, want ErrCurrencyMismatch", err)
		}
	})
	t.Run("is_exact_or_refuses", rapid.MakeCheck(func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		sum, err := money.Money{AmountMinor: a, Currency: "EUR"}.Add(money.Money{AmountMinor: b, Currency: "EUR"})
		fits := (b >= 0 && a <= math.MaxInt64-b) || (b < 0 && a >= math.MinInt64-b)
		if fits != (err == nil) {
			t.Fatalf("%d + %d: error %v, but fits = %v", a, b, err, fits)
		}
		if fits && sum.AmountMinor != a+b {
			t.Fatalf("%d + %d = %d", a, b, sum.AmountMinor)
		}
	}))
}

func TestMoney_Times_refuses_overflow(t *testing.T) {
	t.Parallel()
	if _, err := (money.Money{AmountMinor: math.MaxInt64 / 2, Currency: "EUR"}).Times(3); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("error = %v, want ErrOverflow", err)
	}
	got, err := money.Money{AmountMinor: 1250, Currency: "EUR"}.Times(4)
	if err != nil || got.AmountMinor != 5000 {
		t.Errorf("Times = %v, %v; want 5000", got, err)
	}
}
