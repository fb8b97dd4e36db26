package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// Op is one of a gateway's calls.
type Op string

// The calls.
const (
	Authorize Op = "Authorize"
	Capture   Op = "Capture"
	Void      Op = "Void"
	Refund    Op = "Refund"
	Lookup    Op = "Lookup"
)

// Call is one entry of a Fake's journal.
type Call struct {
	Op  Op
	Key string
}

// Effect carries out what a call asked for, in the books of the gateway, and gives the honest answer.
type Effect func(ctx context.Context) (payment.Charge, error)

// Fault stands between a caller and the gateway for one call. It decides whether the effect happens and what the
// caller hears of it, and it may block or panic.
type Fault func(ctx context.Context, key string, effect Effect) (payment.Charge, error)

// ErrNoAnswer is what a caller hears when the line breaks.
var ErrNoAnswer = errors.New("fake gateway: no answer")

// ErrRefused is the answer to a refund that exceeds what was captured.
var ErrRefused = errors.New("fake gateway: refused")

// Death is what a gateway call panics with when the process is to die in it.
const Death = "fake gateway: the process dies here"

// NeverArrives loses the request: no effect, no answer.
func NeverArrives(context.Context, string, Effect) (payment.Charge, error) {
	return payment.Charge{}, ErrNoAnswer
}

// AnswerLost loses the answer: the effect has happened, and the caller does not know.
func AnswerLost(ctx context.Context, _ string, effect Effect) (payment.Charge, error) {
	_, err := effect(ctx)
	return payment.Charge{}, errors.Join(ErrNoAnswer, err)
}

// DiesBefore ends the calling process before the request is sent.
func DiesBefore(context.Context, string, Effect) (payment.Charge, error) {
	panic(Death)
}

// DiesAfter ends the calling process when the effect has happened and the answer has not been heard.
func DiesAfter(ctx context.Context, _ string, effect Effect) (payment.Charge, error) {
	_, _ = effect(ctx)
	panic(Death)
}

// Honest lets a call through as it is.
func Honest(ctx context.Context, _ string, effect Effect) (payment.Charge, error) { return effect(ctx) }

// Before does something before the effect.
func Before(do func()) Fault {
	return func(ctx context.Context, _ string, effect Effect) (payment.Charge, error) {
		do()
		return effect(ctx)
	}
}

// After does something between the effect and its answer.
func After(do func()) Fault {
	return func(ctx context.Context, _ string, effect Effect) (payment.Charge, error) {
		charge, err := effect(ctx)
		do()
		return charge, err
	}
}

// Says changes the honest answer on its way to the caller; the books stay as they are.
func Says(change func(*payment.Charge)) Fault {
	return func(ctx context.Context, _ string, effect Effect) (payment.Charge, error) {
		charge, err := effect(ctx)
		change(&charge)
		return charge, err
	}
}

// Fake is an honest gateway in memory; each call goes through the next Fault that was set for it. It is safe for
// concurrent use.
type Fake struct {
	mu      sync.Mutex
	charges map[string]*account
	faults  map[Op][]Fault
	calls   []Call
}

// account is what the books say of one key.
type account struct {
	charge  payment.Charge
	amount  money.Money
	refunds map[string]bool
}

var _ payment.Gateway = (*Fake)(nil)

// NewFake returns a Fake with empty books and no faults.
func NewFake() *Fake {
	return &Fake{charges: map[string]*account{}, faults: map[Op][]Fault{}}
}

// Next sets the faults that the next calls of an Op go through, one each, after those set before.
func (f *Fake) Next(op Op, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[op] = append(f.faults[op], faults...)
}

// Declines is a Fault of Authorize: the issuer refuses.
func (f *Fake) Declines(code string) Fault {
	return func(ctx context.Context, key string, effect Effect) (payment.Charge, error) {
		f.mu.Lock()
		f.open(key, payment.Charge{Status: payment.ChargeDeclined, DeclineCode: code}, money.Money{})
		f.mu.Unlock()
		return effect(ctx)
	}
}

// Lapses is a Fault of any call: the issuer lets go of the authorization just before.
func (f *Fake) Lapses(ctx context.Context, key string, effect Effect) (payment.Charge, error) {
	f.mu.Lock()
	if a, ok := f.charges[key]; ok && a.charge.Status == payment.ChargeAuthorized {
		a.charge.Status = payment.ChargeVoided
	}
	f.mu.Unlock()
	return effect(ctx)
}

// Takes is a Fault of Authorize and Void: the gateway takes the money of an authorized charge by itself.
func (f *Fake) Takes(ctx context.Context, key string, effect Effect) (payment.Charge, error) {
	f.take(key)
	charge, err := effect(ctx)
	if taken, ok := f.take(key); ok {
		charge = taken
	}
	return charge, err
}

// take captures a charge if it is authorized, and returns it.
func (f *Fake) take(key string) (charge payment.Charge, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.charges[key]
	if !ok {
		return charge, false
	}
	a.capture()
	return a.charge, true
}

// capture takes the whole authorized amount. The caller holds the lock.
func (a *account) capture() {
	if a.charge.Status == payment.ChargeAuthorized {
		a.charge.Status, a.charge.Captured = payment.ChargeCaptured, a.amount
		a.charge.Refunded.Currency = a.amount.Currency
	}
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

// Name returns "fake".
func (*Fake) Name() string { return "fake" }

// Authorize reserves amount unless a Fault declines it.
func (f *Fake) Authorize(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	return f.call(ctx, Authorize, key, func() (payment.Charge, error) {
		return f.open(key, payment.Charge{Status: payment.ChargeAuthorized}, amount).charge, nil
	})
}

// Capture takes the whole authorized amount.
func (f *Fake) Capture(ctx context.Context, key string) (payment.Charge, error) {
	return f.change(ctx, Capture, key, func(a *account) error {
		a.capture()
		return nil
	})
}

// Void lets go of an uncaptured charge, and marks an unknown key so that it can never be authorized.
func (f *Fake) Void(ctx context.Context, key string) (payment.Charge, error) {
	return f.call(ctx, Void, key, func() (payment.Charge, error) {
		a := f.open(key, payment.Charge{Status: payment.ChargeVoided}, money.Money{})
		if a.charge.Status == payment.ChargeAuthorized {
			a.charge.Status = payment.ChargeVoided
		}
		return a.charge, nil
	})
}

// Refund gives back part or all of a captured charge, once per refundKey.
func (f *Fake) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.Charge, error) {
	return f.change(ctx, Refund, key, func(a *account) error {
		if a.refunds[refundKey] {
			return nil
		}
		refunded, err := a.charge.Refunded.Add(amount)
		if err != nil {
			return errors.Join(ErrRefused, err)
		}
		if refunded.AmountMinor > a.charge.Captured.AmountMinor {
			return ErrRefused
		}
		a.refunds[refundKey], a.charge.Refunded = true, refunded
		return nil
	})
}

// Lookup says how a charge stands.
func (f *Fake) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	return f.change(ctx, Lookup, key, func(*account) error { return nil })
}

// open returns the account of a key and makes it when there is none. The caller holds the lock.
func (f *Fake) open(key string, charge payment.Charge, amount money.Money) *account {
	if a, ok := f.charges[key]; ok {
		return a
	}
	charge.Reference = "fake_" + typeid.New().String()
	a := &account{charge: charge, amount: amount, refunds: map[string]bool{}}
	f.charges[key] = a
	return a
}

// change is a call that needs a charge to be there.
func (f *Fake) change(ctx context.Context, op Op, key string, do func(*account) error) (payment.Charge, error) {
	return f.call(ctx, op, key, func() (payment.Charge, error) {
		a, ok := f.charges[key]
		if !ok {
			return payment.Charge{}, payment.ErrNoSuchCharge
		}
		if err := do(a); err != nil {
			return payment.Charge{}, err
		}
		return a.charge, nil
	})
}

// call writes the journal and leads a call through its Fault; do runs under the lock.
func (f *Fake) call(ctx context.Context, op Op, key string, do func() (payment.Charge, error)) (payment.Charge, error) {
	f.mu.Lock()
	f.calls = append(f.calls, Call{Op: op, Key: key})
	fault := Fault(Honest)
	if queue := f.faults[op]; len(queue) > 0 {
		fault, f.faults[op] = queue[0], queue[1:]
	}
	f.mu.Unlock()
	return fault(ctx, key, func(ctx context.Context) (payment.Charge, error) {
		if err := ctx.Err(); err != nil {
			return payment.Charge{}, fmt.Errorf("fake gateway: %w", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return do()
	})
}
