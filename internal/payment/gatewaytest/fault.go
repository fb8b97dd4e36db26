package gatewaytest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// Answer is what a gateway says: of a charge, and in answer to Refund of the refund as well.
type Answer struct {
	payment.Charge
	Refund payment.ChargeRefund
}

// Effect carries out what a call asked for, in the books of the gateway, and gives the honest answer.
type Effect func(ctx context.Context) (Answer, error)

// Fault stands between a caller and the gateway for one call. It decides whether the effect happens and what the
// caller hears of it, and it may block or panic.
type Fault func(ctx context.Context, key string, effect Effect) (Answer, error)

// ErrNoAnswer is what a caller hears when the line breaks.
var ErrNoAnswer = errors.New("fake gateway: no answer")

// Death is what a gateway call panics with when the process is to die in it.
const Death = "fake gateway: the process dies here"

// NeverArrives loses the request: no effect, no answer.
func NeverArrives(context.Context, string, Effect) (Answer, error) {
	return Answer{}, ErrNoAnswer
}

// AnswerLost loses the answer: the effect has happened, and the caller does not know.
func AnswerLost(ctx context.Context, _ string, effect Effect) (Answer, error) {
	_, err := effect(ctx)
	return Answer{}, errors.Join(ErrNoAnswer, err)
}

// DiesBefore ends the calling process before the request is sent.
func DiesBefore(context.Context, string, Effect) (Answer, error) {
	panic(Death)
}

// DiesAfter ends the calling process when the effect has happened and the answer has not been heard.
func DiesAfter(ctx context.Context, _ string, effect Effect) (Answer, error) {
	_, _ = effect(ctx)
	panic(Death)
}

// Honest lets a call through as it is.
func Honest(ctx context.Context, _ string, effect Effect) (Answer, error) { return effect(ctx) }

// Before does something before the effect.
func Before(do func()) Fault {
	return func(ctx context.Context, _ string, effect Effect) (Answer, error) {
		do()
		return effect(ctx)
	}
}

// After does something between the effect and its answer.
func After(do func()) Fault {
	return func(ctx context.Context, _ string, effect Effect) (Answer, error) {
		answer, err := effect(ctx)
		do()
		return answer, err
	}
}

// Says changes the honest answer on its way to the caller; the books stay as they are.
func Says(change func(*Answer)) Fault {
	return func(ctx context.Context, _ string, effect Effect) (Answer, error) {
		answer, err := effect(ctx)
		change(&answer)
		return answer, err
	}
}

// Next sets the faults that the next calls of an Op go through, one each, after those set before.
func (f *Fake) Next(op Op, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[op] = append(f.faults[op], faults...)
}

// Opens is a Fault of Authorize: an unknown charge comes to stand as given.
func (f *Fake) Opens(charge payment.Charge) Fault {
	return func(ctx context.Context, key string, effect Effect) (Answer, error) {
		f.mu.Lock()
		f.open(key, charge)
		f.mu.Unlock()
		return effect(ctx)
	}
}

// Declines is a Fault of Authorize: the issuer refuses.
func (f *Fake) Declines(code string) Fault {
	return f.Opens(payment.Charge{Status: payment.ChargeDeclined, DeclineCode: code})
}

// RequiresAction is a Fault of Authorize: the customer has a step to do, which Resolve does.
func (f *Fake) RequiresAction(next payment.NextStep) Fault {
	return f.Opens(payment.Charge{Status: payment.ChargeRequiresAction, Next: next})
}

// Processes is a Fault of Authorize: the bank takes its time, which Resolve ends.
func (f *Fake) Processes(ctx context.Context, key string, effect Effect) (Answer, error) {
	return f.Opens(payment.Charge{Status: payment.ChargeProcessing})(ctx, key, effect)
}

// Lapses is a Fault of any call: the issuer lets go of the authorization just before.
func (f *Fake) Lapses(ctx context.Context, key string, effect Effect) (Answer, error) {
	f.mu.Lock()
	if a, ok := f.charges[key]; ok && a.charge.Status == payment.ChargeAuthorized {
		a.charge.Status = payment.ChargeVoided
	}
	f.mu.Unlock()
	return effect(ctx)
}

// Takes is a Fault of Authorize and Void: the gateway takes the money of an authorized charge by itself.
func (f *Fake) Takes(ctx context.Context, key string, effect Effect) (Answer, error) {
	f.take(key)
	answer, err := effect(ctx)
	if taken, ok := f.take(key); ok {
		answer.Charge = taken
	}
	return answer, err
}

// TakesInstead is a Fault of Capture: the gateway takes another amount than it is asked for.
func (f *Fake) TakesInstead(amount money.Money) Fault {
	return func(ctx context.Context, key string, effect Effect) (Answer, error) {
		f.mu.Lock()
		if a, ok := f.charges[key]; ok {
			a.capture(amount)
		}
		f.mu.Unlock()
		return effect(ctx)
	}
}

// take captures a charge if it is authorized, and returns it.
func (f *Fake) take(key string) (charge payment.Charge, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.charges[key]
	if !ok {
		return charge, false
	}
	a.capture(a.amount)
	return a.charge, true
}

// RefundsLater is a Fault of Refund: what is opened by it stays pending until Resolve.
func (f *Fake) RefundsLater(ctx context.Context, key string, effect Effect) (Answer, error) {
	f.refunding(key, func(a *account) { a.later = true })
	defer f.refunding(key, func(a *account) { a.later = false })
	return effect(ctx)
}

// RefundFails is a Fault of Refund: what is opened by it fails.
func (f *Fake) RefundFails(code string) Fault {
	return func(ctx context.Context, key string, effect Effect) (Answer, error) {
		f.refunding(key, func(a *account) { a.fails = code })
		defer f.refunding(key, func(a *account) { a.fails = "" })
		return effect(ctx)
	}
}

// refunding sets how the refunds of a charge go that are opened from here on.
func (f *Fake) refunding(key string, set func(*account)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.charges[key]; ok {
		set(a)
	}
}

// Resolve brings whatever is pending of a charge, its refunds included, to its end: well or not.
func (f *Fake) Resolve(key string, well bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.charges[key]
	switch {
	case a.charge.Status.Pending() && well:
		a.charge.Status, a.charge.Next = payment.ChargeAuthorized, nil
	case a.charge.Status.Pending():
		a.charge.Status, a.charge.Next, a.charge.DeclineCode = payment.ChargeDeclined, nil, "authentication_failed"
	}
	for _, r := range a.refunds {
		switch {
		case r.Status == payment.RefundPending && well:
			r.Status = payment.RefundDone
			a.charge.Refunded.AmountMinor += r.Amount.AmountMinor
		case r.Status == payment.RefundPending:
			r.Status, r.Code = payment.RefundFailed, "account_closed"
		}
	}
}

// RefundByHand gives money of a charge back as somebody does at the gateway's dashboard.
func (f *Fake) RefundByHand(key string, amount money.Money) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.charges[key].refund(typeid.New().String(), amount)
	return err
}

// Charges returns the books: every charge by its key.
func (f *Fake) Charges() map[string]payment.Charge {
	f.mu.Lock()
	defer f.mu.Unlock()
	books := make(map[string]payment.Charge, len(f.charges))
	for key, a := range f.charges {
		books[key] = a.charge
	}
	return books
}

// Calls returns the journal: every call in the order of arrival, with those that a Fault has cut off.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count returns how many calls of an Op there were.
func (f *Fake) Count(op Op) int {
	n := 0
	for _, call := range f.Calls() {
		if call.Op == op {
			n++
		}
	}
	return n
}

// Pending returns the calls for which a Fault is set that has not happened.
func (f *Fake) Pending() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []Op
	for _, op := range slices.Sorted(maps.Keys(f.faults)) {
		for range f.faults[op] {
			left = append(left, op)
		}
	}
	return left
}

// Heal takes back the faults that have not happened: from here on every call is honest.
func (f *Fake) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.faults)
}
