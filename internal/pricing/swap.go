package pricing

import (
	"time"

	"marquee/internal/apperr"
)

// SwapTerms says on which terms customers may swap seats that are paid. The JSON form is stored: do not rename.
type SwapTerms struct {
	Minutes  int32 `json:"minutes"`  // until how long before the start
	FeeMinor int64 `json:"feeMinor"` // for each swap, of what was paid for the seats
}

func (t SwapTerms) check(bad *apperr.Fields, path string) {
	if t.Minutes < 0 || t.Minutes > maxLead {
		bad.Add(path+"minutesBefore", "Give 0 to %d minutes, which is a year.", maxLead)
	}
	if t.FeeMinor < 0 || t.FeeMinor > most {
		bad.Add(path+"feeMinor", "Give 0 to %d minor units.", most)
	}
}

// Until returns the last moment at which seats of a showtime may be swapped.
func (t SwapTerms) Until(startsAt time.Time) time.Time {
	return startsAt.Add(-time.Duration(t.Minutes) * time.Minute)
}

// Exchange is what paid tickets are worth when others are taken instead.
type Exchange struct {
	ValueMinor int64 // that was paid for them, fees and all
	FeeMinor   int64 // kept of it for the swap
}

// ExchangeOf returns what tickets of a bill are worth: at most their whole value is kept as a fee. ErrUndivided for some
// tickets of an undivided price.
func (b Bill) ExchangeOf(positions []int16, feeMinor int64) (Exchange, error) {
	all, err := b.Everything(positions)
	return Exchange{ValueMinor: all.TotalMinor, FeeMinor: min(feeMinor, all.TotalMinor)}, err
}

// Credit returns how much of a price the tickets pay.
func (e Exchange) Credit(priceMinor int64) int64 { return min(e.ValueMinor-e.FeeMinor, priceMinor) }

// Surplus returns what comes back of tickets that are worth more than what they are exchanged for, when so much of their value
// has been used: the share that would come back of a price, and no more than if they were cancelled, so that a
// swap gives back nothing that a cancellation does not. ErrUndivided.
func (p RefundPolicy) Surplus(b Bill, positions []int16, e Exchange, usedMinor int64, terms Terms) (int64, error) {
	cancelled, err := p.Refund(b, positions, terms)
	if err != nil {
		return 0, err
	}
	left := e.ValueMinor - e.FeeMinor - usedMinor
	return min(left-fraction(left, int64(whole-terms.BasisPoints), whole), cancelled.TotalMinor), nil
}
