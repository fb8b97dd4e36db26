package pricing_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"marquee/internal/money"
	"marquee/internal/pricing"
)

func TestPrice(t *testing.T) {
	t.Parallel()
	prices := map[string]int64{"STANDARD": 1250, "PREMIUM": 1800, "COMPANION": 0}
	standard := pricing.Item{Category: "STANDARD", Title: "Standard"}
	premium := pricing.Item{Category: "PREMIUM", Title: "Premium"}
	t.Run("groups_by_category_dearest_first", func(t *testing.T) {
		t.Parallel()
		got, err := pricing.Price([]pricing.Item{standard, premium, standard}, prices, "EUR")
		want := pricing.Quote{
			Lines: []pricing.Line{
				{Description: "1 x Premium", Category: "PREMIUM", Quantity: 1, UnitMinor: 1800, AmountMinor: 1800},
				{Description: "2 x Standard", Category: "STANDARD", Quantity: 2, UnitMinor: 1250, AmountMinor: 2500},
			},
			Total: money.Money{AmountMinor: 4300, Currency: "EUR"},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, difference:\n%s", err, diff)
		}
	})
	t.Run("a_category_without_a_price_is_not_sold", func(t *testing.T) {
		t.Parallel()
		_, err := pricing.Price([]pricing.Item{{Category: "RECLINER"}}, prices, "EUR")
		if !errors.Is(err, pricing.ErrNotSold) {
			t.Errorf("error = %v, want ErrNotSold", err)
		}
	})
	t.Run("a_sum_out_of_range_is_refused", func(t *testing.T) {
		t.Parallel()
		_, err := pricing.Price([]pricing.Item{standard, standard}, map[string]int64{"STANDARD": math.MaxInt64}, "EUR")
		if !errors.Is(err, money.ErrOverflow) {
			t.Errorf("error = %v, want ErrOverflow", err)
		}
	})
	t.Run("lines_always_add_up_to_the_total", rapid.MakeCheck(func(t *rapid.T) {
		categories := []string{"STANDARD", "PREMIUM", "COMPANION"}
		var items []pricing.Item
		var sum int64
		for range rapid.IntRange(0, 40).Draw(t, "seats") {
			category := rapid.SampledFrom(categories).Draw(t, "category")
			items = append(items, pricing.Item{Category: category, Title: category})
			sum += prices[category]
		}
		quote, err := pricing.Price(items, prices, "JPY")
		if err != nil {
			t.Fatal(err)
		}
		var lines int64
		for _, line := range quote.Lines {
			lines += line.AmountMinor
		}
		if lines != sum || quote.Total.AmountMinor != sum {
			t.Fatalf("lines %d, total %d, want %d", lines, quote.Total.AmountMinor, sum)
		}
	}))
}
