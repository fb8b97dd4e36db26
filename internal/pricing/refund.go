package pricing

import (
	"fmt"
	"slices"
	"time"

	"marquee/internal/apperr"
)

// RefundStep says what comes back of a ticket that is cancelled early enough.
type RefundStep struct {
	Minutes     int32 `json:"minutes"`     // before the start, at least
	BasisPoints int32 `json:"basisPoints"` // of the ticket's price, in hundredths of a percent
}

// RefundPolicy says what comes back when a customer cancels. The JSON form is stored: do not rename.
type RefundPolicy struct {
	Steps              []RefundStep `json:"steps"`              // the longest lead first; the nearer the start, the less comes back
	LateWithoutRefund  bool         `json:"lateWithoutRefund"`  // after the last step seats can be given back for nothing; else not at all
	KeptPerTicketMinor int64        `json:"keptPerTicketMinor"` // of what comes back of each ticket's price
	KeptOnceMinor      int64        `json:"keptOnceMinor"`      // of what comes back in all, each time something is cancelled
	FeesReturned       bool         `json:"feesReturned"`       // booking fees come back, too, while a step holds
	Swap               *SwapTerms   `json:"swap,omitempty"`     // nil: customers cannot swap
}

// DefaultRefundPolicy is that of theaters which have set none: until the start everything comes back. It is part of what
// their customers bought under, so it must never change.
func DefaultRefundPolicy() RefundPolicy {
	return RefundPolicy{Steps: []RefundStep{{Minutes: 0, BasisPoints: whole}}, FeesReturned: true}
}

const (
	// maxSteps bounds a curve.
	maxSteps = 10
	// maxLead is the longest lead of a step: a year.
	maxLead = 366 * 24 * 60
)

// Check records what keeps the policy from being one, by the fields of the input that it came in at path.
func (p RefundPolicy) Check(bad *apperr.Fields, path string) {
	if len(p.Steps) > maxSteps {
		bad.Add(path+"steps", "Give at most %d steps.", maxSteps)
	}
	for i, step := range p.Steps[:min(len(p.Steps), maxSteps)] {
		at := fmt.Sprintf("%ssteps.%d.", path, i)
		switch {
		case step.Minutes < 0 || step.Minutes > maxLead:
			bad.Add(at+"minutesBefore", "Give 0 to %d minutes, which is a year.", maxLead)
		case i > 0 && step.Minutes >= p.Steps[i-1].Minutes:
			bad.Add(at+"minutesBefore", "Each step is nearer to the start than the one before it.")
		}
		switch {
		case step.BasisPoints < 1 || step.BasisPoints > whole:
			bad.Add(at+"percentBasisPoints", "Give 1 to %d hundredths of a percent. After the last step nothing comes back.", whole)
		case i > 0 && step.BasisPoints >= p.Steps[i-1].BasisPoints:
			bad.Add(at+"percentBasisPoints", "Less comes back with each step.")
		}
	}
	for field, minor := range map[string]int64{"keptPerTicketMinor": p.KeptPerTicketMinor, "keptOnceMinor": p.KeptOnceMinor} {
		if minor < 0 || minor > most {
			bad.Add(path+field, "Give 0 to %d minor units.", most)
		}
	}
	if p.Swap != nil {
		p.Swap.check(bad, path+"swap.")
	}
}

// Terms is what a policy comes to at a moment.
type Terms struct {
	BasisPoints int32
	Until       time.Time // the last moment at which they hold; of the last step of all it is the start
	Refused     bool      // customers cannot cancel any more
}

// At returns the terms for a customer who cancels so long before the start of a showtime.
func (p RefundPolicy) At(now, startsAt time.Time) Terms {
	for _, step := range p.Steps {
		if until := startsAt.Add(-time.Duration(step.Minutes) * time.Minute); !now.After(until) && now.Before(startsAt) {
			return Terms{BasisPoints: step.BasisPoints, Until: until}
		}
	}
	return Terms{Until: startsAt, Refused: !p.LateWithoutRefund || !now.Before(startsAt)}
}

// From returns the terms that hold one after the other from a moment on; none when the showtime has started, and the last of
// them refuses only where it is the only one.
func (p RefundPolicy) From(now, startsAt time.Time) []Terms {
	var all []Terms
	for now.Before(startsAt) {
		terms := p.At(now, startsAt)
		if terms.Refused {
			break
		}
		all = append(all, terms)
		now = terms.Until.Add(time.Nanosecond)
	}
	return all
}

// TicketRefund is what comes back of one ticket.
type TicketRefund struct {
	Ticket
	BackMinor    int64 // of its price
	FeeBackMinor int64 // of its fees
}

// Refund is what comes back of cancelled tickets.
type Refund struct {
	Tickets    []TicketRefund // by position; none when the price is undivided
	OnceMinor  int64          // fees for the whole reservation that go with these tickets
	OnceBack   int64          // of them
	KeptOnce   int64          // kept of all that would come back
	PaidMinor  int64          // what the tickets came to, with what goes with them
	TotalMinor int64          // what comes back
}

// Everything returns the refund of tickets of a bill for which a policy does not count: all that they came to, fees and all.
func (b Bill) Everything(positions []int16) (Refund, error) {
	return RefundPolicy{FeesReturned: true}.Refund(b, positions, Terms{BasisPoints: whole})
}

// Refund returns what comes back of tickets of a bill, all of them or some, to a customer who cancels under terms. Rounding is
// in favour of the customer: what is kept of a ticket's price is rounded down to the minor unit, ticket by ticket, and
// everything else is added up. ErrUndivided for some tickets of an undivided price.
func (p RefundPolicy) Refund(b Bill, positions []int16, terms Terms) (Refund, error) {
	var r Refund
	switch {
	case b.tickets == nil && len(positions) != b.count:
		return r, ErrUndivided
	case b.tickets == nil:
		price := b.total - b.once - b.kept
		r.PaidMinor, r.TotalMinor = price, p.back(price, terms, int64(b.count))
	default:
		for _, ticket := range b.tickets {
			if !slices.Contains(positions, ticket.Position) {
				continue
			}
			one := TicketRefund{Ticket: ticket, BackMinor: p.back(ticket.PriceMinor, terms, 1), FeeBackMinor: p.feesBack(ticket.FeeMinor, terms)}
			r.Tickets = append(r.Tickets, one)
			r.PaidMinor += ticket.PriceMinor + ticket.FeeMinor
			r.TotalMinor += one.BackMinor + one.FeeBackMinor
		}
	}
	if !b.costsWithout(positions) {
		r.OnceMinor, r.OnceBack = b.once, p.feesBack(b.once, terms)
		r.PaidMinor += r.OnceMinor
		r.TotalMinor += r.OnceBack
	}
	r.KeptOnce = min(p.KeptOnceMinor, r.TotalMinor)
	r.TotalMinor -= r.KeptOnce
	return r, nil
}

// back returns what comes back of the price of some tickets.
func (p RefundPolicy) back(price int64, terms Terms, tickets int64) int64 {
	kept := fraction(price, int64(whole-terms.BasisPoints), whole)
	return max(price-kept-p.KeptPerTicketMinor*tickets, 0)
}

func (p RefundPolicy) feesBack(fee int64, terms Terms) int64 {
	if p.FeesReturned && terms.BasisPoints > 0 {
		return fee
	}
	return 0
}
