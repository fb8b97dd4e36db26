package gatewaytest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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
	Booked    Op = "Booked"

	LookupRefund Op = "LookupRefund"
)

// Call is one entry of a Fake's journal.
type Call struct {
	Op  Op
	Key string
}

// Fake is an honest gateway in memory; each call goes through the next Fault that was set for it. It is safe for
// concurrent use.
type Fake struct {
	name    string
	mu      sync.Mutex
	charges map[string]*account
	faults  map[Op][]Fault
	calls   []Call
}

// account is what the books say of one key.
type account struct {
	charge  payment.Charge
	amount  money.Money
	refunds map[string]*payment.ChargeRefund
	later   bool   // what is refunded stays pending
	fails   string // what is refunded fails, for this reason
	created time.Time
}

var (
	_ payment.Gateway  = (*Fake)(nil)
	_ payment.Webhooks = (*Fake)(nil)
	_ payment.Books    = (*Fake)(nil)
)

// NewFake returns a Fake with empty books and no faults, whose name is "fake".
func NewFake() *Fake { return NewFakeNamed("fake") }

// NewFakeNamed is NewFake for one of several.
func NewFakeNamed(name string) *Fake {
	return &Fake{name: name, charges: map[string]*account{}, faults: map[Op][]Fault{}}
}

// Name returns the name that it was given.
func (f *Fake) Name() string { return f.name }

// Capabilities returns all that there are.
func (*Fake) Capabilities() payment.Capabilities {
	return payment.Capabilities{
		Instruments: []payment.Instrument{payment.InstrumentCard}, Actions: true, Asynchronous: true, PartialCapture: true, SignedTime: true,
		Step: payment.StepRedirect,
	}
}

// Authorize reserves the amount unless a Fault decides otherwise.
func (f *Fake) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	return f.call(ctx, Authorize, key, func() (payment.Charge, error) {
		a := f.open(key, payment.Charge{Status: payment.ChargeAuthorized})
		if a.amount == (money.Money{}) {
			a.amount = request.Amount
		}
		return a.charge, nil
	})
}

// Capture takes an amount of an authorized charge.
func (f *Fake) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	return f.change(ctx, Capture, key, func(a *account) error {
		if a.charge.Status != payment.ChargeAuthorized {
			return nil
		}
		if amount.Currency != a.amount.Currency || amount.AmountMinor > a.amount.AmountMinor || amount.AmountMinor <= 0 {
			return payment.ErrRefused
		}
		a.capture(amount)
		return nil
	})
}

// Void lets go of an uncaptured charge, and marks an unknown key so that it can never be authorized.
func (f *Fake) Void(ctx context.Context, key string) (payment.Charge, error) {
	return f.call(ctx, Void, key, func() (payment.Charge, error) {
		a := f.open(key, payment.Charge{Status: payment.ChargeVoided})
		if a.charge.Status == payment.ChargeAuthorized || a.charge.Status.Pending() {
			a.charge.Status, a.charge.Next = payment.ChargeVoided, nil
		}
		return a.charge, nil
	})
}

// Refund gives back part or all of a captured charge, once per refundKey.
func (f *Fake) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	answer, err := f.answer(ctx, Refund, key, func() (answer Answer, err error) {
		a, ok := f.charges[key]
		if !ok {
			return answer, payment.ErrNoSuchCharge
		}
		answer.Refund, err = a.refund(refundKey, amount)
		answer.Charge = a.charge
		return answer, err
	})
	return answer.Refund, err
}

// LookupRefund says how a refund stands.
func (f *Fake) LookupRefund(ctx context.Context, key, refundKey string) (payment.ChargeRefund, error) {
	answer, err := f.answer(ctx, LookupRefund, key, func() (answer Answer, err error) {
		a, ok := f.charges[key]
		if !ok {
			return answer, payment.ErrNoSuchCharge
		}
		r, ok := a.refunds[refundKey]
		if !ok {
			return answer, payment.ErrNoSuchRefund
		}
		return Answer{Charge: a.charge, Refund: *r}, nil
	})
	return answer.Refund, err
}

// Lookup says how a charge stands.
func (f *Fake) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	return f.change(ctx, Lookup, key, func(*account) error { return nil })
}

// fakePage is how many charges Booked lists at once.
const fakePage = 10

// Booked lists charges by key.
func (f *Fake) Booked(ctx context.Context, from, to time.Time, after string) (page []payment.BookedCharge, next string, err error) {
	_, err = f.answer(ctx, Booked, after, func() (Answer, error) {
		for _, key := range slices.Sorted(maps.Keys(f.charges)) {
			a := f.charges[key]
			if key <= after || a.created.Before(from) || !a.created.Before(to) {
				continue
			}
			if len(page) == fakePage {
				next = page[fakePage-1].Key
				break
			}
			booked := payment.BookedCharge{Charge: a.charge, Key: key, CreatedAt: a.created}
			booked.Next = nil
			page = append(page, booked)
		}
		return Answer{}, nil
	})
	return page, next, err
}

// open returns the account of a key and makes it when there is none. The caller holds the lock.
func (f *Fake) open(key string, charge payment.Charge) *account {
	if a, ok := f.charges[key]; ok {
		return a
	}
	charge.Reference = f.name + "_" + typeid.New().String()
	a := &account{charge: charge, refunds: map[string]*payment.ChargeRefund{}, created: time.Now()}
	f.charges[key] = a
	return a
}

// capture takes an amount of the charge if it is authorized. The caller holds the lock.
func (a *account) capture(amount money.Money) {
	if a.charge.Status == payment.ChargeAuthorized {
		a.charge.Status, a.charge.Captured = payment.ChargeCaptured, amount
		a.charge.Refunded.Currency = amount.Currency
	}
}

// refund opens a refund, or says how it stands. The caller holds the lock.
func (a *account) refund(key string, amount money.Money) (payment.ChargeRefund, error) {
	if r, ok := a.refunds[key]; ok {
		return *r, nil
	}
	left := a.charge.Captured.AmountMinor - a.charge.Refunded.AmountMinor
	for _, r := range a.refunds {
		if r.Status == payment.RefundPending {
			left -= r.Amount.AmountMinor
		}
	}
	if amount.Currency != a.charge.Captured.Currency || amount.AmountMinor <= 0 || amount.AmountMinor > left {
		return payment.ChargeRefund{}, payment.ErrRefused
	}
	r := &payment.ChargeRefund{Reference: "fake_" + typeid.New().String(), Status: payment.RefundDone, Amount: amount}
	a.refunds[key] = r
	switch {
	case a.fails != "":
		r.Status, r.Code = payment.RefundFailed, a.fails
	case a.later:
		r.Status = payment.RefundPending
	default:
		a.charge.Refunded.AmountMinor += amount.AmountMinor
	}
	return *r, nil
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

// call is answer for what is about a charge alone.
func (f *Fake) call(ctx context.Context, op Op, key string, do func() (payment.Charge, error)) (payment.Charge, error) {
	answer, err := f.answer(ctx, op, key, func() (Answer, error) {
		charge, err := do()
		return Answer{Charge: charge}, err
	})
	return answer.Charge, err
}

// answer writes the journal and leads a call through its Fault; do runs under the lock.
func (f *Fake) answer(ctx context.Context, op Op, key string, do func() (Answer, error)) (Answer, error) {
	f.mu.Lock()
	f.calls = append(f.calls, Call{Op: op, Key: key})
	fault := Fault(Honest)
	if queue := f.faults[op]; len(queue) > 0 {
		fault, f.faults[op] = queue[0], queue[1:]
	}
	f.mu.Unlock()
	return fault(ctx, key, func(ctx context.Context) (Answer, error) {
		if err := ctx.Err(); err != nil {
			return Answer{}, fmt.Errorf("fake gateway: %w", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return do()
	})
}
