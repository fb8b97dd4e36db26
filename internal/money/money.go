// Package money holds amounts the way banks do: whole minor units with their ISO 4217 currency beside them.
//
// There is no conversion between currencies and no floating point anywhere.
package money

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
)

// ErrCurrencyMismatch is returned when amounts of two currencies would be mixed.
var ErrCurrencyMismatch = errors.New("money: different currencies")

// ErrOverflow is returned when a sum does not fit 64 bits.
var ErrOverflow = errors.New("money: amount out of range")

// Money is an amount in the minor unit of a currency: cents, yen, fils.
type Money struct {
	AmountMinor int64
	Currency    string // ISO 4217, upper case
}

// New returns amountMinor of a currency, or an error for a code that ISO 4217 does not know.
func New(amountMinor int64, code string) (Money, error) {
	if _, err := currency.ParseISO(code); err != nil || code != strings.ToUpper(code) {
		return Money{}, fmt.Errorf("money: unknown currency %q", code)
	}
	return Money{AmountMinor: amountMinor, Currency: code}, nil
}

// Digits returns how many decimals a currency has: 0 for JPY, 2 for EUR, 3 for KWD; 2 for an unknown code.
func Digits(code string) int {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	scale, _ := currency.Standard.Rounding(unit)
	return scale
}

// Add returns m + other, ErrCurrencyMismatch or ErrOverflow.
func (m Money) Add(other Money) (Money, error) {
	if m.Currency != other.Currency {
		return Money{}, fmt.Errorf("%w: %s and %s", ErrCurrencyMismatch, m.Currency, other.Currency)
	}
	sum := m.AmountMinor + other.AmountMinor
	if (sum > m.AmountMinor) != (other.AmountMinor > 0) {
		return Money{}, ErrOverflow
	}
	return Money{AmountMinor: sum, Currency: m.Currency}, nil
}

// Times returns n times m, or ErrOverflow.
func (m Money) Times(n int) (Money, error) {
	product := m.AmountMinor * int64(n)
	if n != 0 && product/int64(n) != m.AmountMinor {
		return Money{}, ErrOverflow
	}
	return Money{AmountMinor: product, Currency: m.Currency}, nil
}

// Formatted returns the amount for people, the same in every language: "EUR 1,234.50", "JPY 1,900", "KWD 3.500".
func (m Money) Formatted() string {
	digits := Digits(m.Currency)
	text := strconv.FormatInt(m.AmountMinor, 10)
	text, negative := strings.CutPrefix(text, "-")
	if missing := digits + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	whole, fraction := text[:len(text)-digits], text[len(text)-digits:]
	var out strings.Builder
	out.WriteString(m.Currency)
	out.WriteByte(' ')
	if negative {
		out.WriteByte('-')
	}
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(r)
	}
	if digits > 0 {
		out.WriteByte('.')
		out.WriteString(fraction)
	}
	return out.String()
}
