// Package pricing turns seats and a price list into money lines. It is pure: no clock, no database, no rounding.
package pricing

import (
	"errors"
	"fmt"
	"slices"

	"marquee/internal/money"
)

// ErrNotSold is returned for a seat whose category has no price.
var ErrNotSold = errors.New("pricing: this kind of seat is not sold")

// Line is one line of a quote. The JSON form is stored with a reservation: do not rename.
type Line struct {
	Description string `json:"description"` // for people: "2 x Premium"
	Category    string `json:"category"`    // seat category
	Quantity    int32  `json:"quantity"`
	UnitMinor   int64  `json:"unitMinor"`   // price of one, in minor units of the quote's currency
	AmountMinor int64  `json:"amountMinor"` // UnitMinor times Quantity
}

// Quote is the price of a selection of seats.
type Quote struct {
	Lines []Line
	Total money.Money // sum of the lines
}

// Item is a seat to be priced.
type Item struct {
	Category string
	Title    string // the category for people
}

// Price quotes items by a price list in minor units of a currency. Lines come dearest first. It returns ErrNotSold or
// money.ErrOverflow.
func Price(items []Item, prices map[string]int64, currency string) (Quote, error) {
	byCategory := map[string]*Line{}
	titles := map[string]string{}
	for _, item := range items {
		unit, sold := prices[item.Category]
		if !sold {
			return Quote{}, fmt.Errorf("%w: %s", ErrNotSold, item.Category)
		}
		line := byCategory[item.Category]
		if line == nil {
			line = &Line{Category: item.Category, UnitMinor: unit}
			byCategory[item.Category] = line
			titles[item.Category] = item.Title
		}
		line.Quantity++
	}
	quote := Quote{Lines: make([]Line, 0, len(byCategory)), Total: money.Money{Currency: currency}}
	for category, line := range byCategory {
		amount, err := money.Money{AmountMinor: line.UnitMinor, Currency: currency}.Times(int(line.Quantity))
		if err != nil {
			return Quote{}, err
		}
		line.AmountMinor = amount.AmountMinor
		line.Description = fmt.Sprintf("%d x %s", line.Quantity, titles[category])
		if quote.Total, err = quote.Total.Add(amount); err != nil {
			return Quote{}, err
		}
		quote.Lines = append(quote.Lines, *line)
	}
	slices.SortFunc(quote.Lines, func(a, b Line) int {
		if a.UnitMinor != b.UnitMinor {
			if a.UnitMinor > b.UnitMinor {
				return -1
			}
			return 1
		}
		if a.Category < b.Category {
			return -1
		}
		return 1
	})
	return quote, nil
}
