package server

import (
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"marquee/internal/clock"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/typeid"
)

// books is every charge and refund by its key, as the journal has them. What a call has changed counts, and is answered, once
// it is on disk.
type books struct {
	clock   clock.Clock
	journal *journal
	told    func(Entry, whom) // of each entry that is on disk
	pages   string            // where the pages are that customers confirm charges on

	mu       sync.Mutex
	number   int64
	accounts map[string]*account
	opened   []*account        // in the order in which they were
	secrets  map[string]string // keys of charges by the secrets of their pages
}

type account struct {
	charge  sandbox.Charge
	refunds map[string]*sandbox.Refund
	batch   *batch // of its last entry; nil: on disk since the start
	created time.Time
}

func newBooks(c clock.Clock, j *journal, entries []Entry) *books {
	b := &books{
		clock: c, journal: j, number: int64(len(entries)), told: func(Entry, whom) {},
		accounts: map[string]*account{}, secrets: map[string]string{},
	}
	for _, entry := range entries {
		a := b.accounts[entry.Charge.Key]
		if a == nil {
			a = &account{refunds: map[string]*sandbox.Refund{}, created: entry.At}
			b.accounts[entry.Charge.Key], b.opened = a, append(b.opened, a)
		}
		a.charge = entry.Charge
		if entry.Refund != nil {
			a.refunds[entry.Refund.Key] = entry.Refund
		}
		if entry.Charge.Page != "" {
			b.secrets[entry.Charge.Page] = entry.Charge.Key
		}
	}
	return b
}

// whom says who has changed a charge.
type whom bool

const (
	caller whom = true  // whoever is answered with how it stands
	others whom = false // a customer, a bank, an operator
)

// change runs do on the account of a key, nil when there is none, and returns how its charge stands when that is on disk. do
// returns the account when it has changed it, with the refund that is the reason; ErrNoSuchCharge where there is none.
func (b *books) change(by whom, key string, do func(a *account) (changed *account, refund *sandbox.Refund, err error)) (sandbox.Charge, error) {
	b.mu.Lock()
	a, refund, err := do(b.accounts[key])
	if err != nil {
		b.mu.Unlock()
		return sandbox.Charge{}, err
	}
	var entry Entry
	if a != nil {
		b.number++
		entry = Entry{Number: b.number, At: b.clock.Now().UTC(), Charge: a.charge, Refund: refund}
		a.batch = b.journal.append(entry)
		if b.accounts[key] == nil {
			a.created = entry.At
			b.accounts[key], b.opened = a, append(b.opened, a)
		}
		if refund != nil {
			a.refunds[refund.Key] = refund
		}
	} else if a = b.accounts[key]; a == nil {
		b.mu.Unlock()
		return sandbox.Charge{}, payment.ErrNoSuchCharge
	}
	charge, onDisk := a.charge, a.batch
	b.mu.Unlock()
	if onDisk != nil {
		if err := onDisk.wait(); err != nil {
			return sandbox.Charge{}, err
		}
	}
	if entry.Number > 0 {
		b.told(entry, by)
	}
	return b.withPage(charge), nil
}

// withPage tells where the page of a charge is.
func (b *books) withPage(c sandbox.Charge) sandbox.Charge {
	if c.Status == payment.ChargeRequiresAction {
		c.PageURL = b.pages + c.Page
	}
	c.Page = ""
	return c
}

// opened is how a new charge comes to stand.
type opened struct {
	status payment.ChargeStatus
	code   string
}

// authorize opens a charge unless there is one; first says that it did.
func (b *books) authorize(key string, in sandbox.Amount, as opened) (charge sandbox.Charge, first bool, err error) {
	if in.AmountMinor <= 0 || len(in.Currency) != len("NZD") {
		return charge, false, payment.ErrRefused
	}
	charge, err = b.change(caller, key, func(a *account) (*account, *sandbox.Refund, error) {
		if a != nil {
			return nil, nil, nil
		}
		first = true
		a = &account{refunds: map[string]*sandbox.Refund{}, charge: sandbox.Charge{
			Key: key, Reference: newReference(), Status: as.status, DeclineCode: as.code,
			AmountMinor: in.AmountMinor, Currency: in.Currency, ReturnURL: in.ReturnURL,
		}}
		if as.status == payment.ChargeRequiresAction {
			a.charge.Page = rand.Text()
			b.secrets[a.charge.Page] = key
		}
		return a, nil, nil
	})
	return charge, first, err
}

// capture takes an amount of an authorized charge; share is what is taken of it, in percent.
func (b *books) capture(key string, in sandbox.Amount, share int64) (sandbox.Charge, error) {
	return b.change(caller, key, func(a *account) (*account, *sandbox.Refund, error) {
		if a == nil || a.charge.Status != payment.ChargeAuthorized {
			return nil, nil, nil
		}
		if in.Currency != a.charge.Currency || in.AmountMinor <= 0 || in.AmountMinor > a.charge.AmountMinor {
			return nil, nil, payment.ErrRefused
		}
		a.charge.Status, a.charge.CapturedMinor = payment.ChargeCaptured, in.AmountMinor*share/100
		return a, nil, nil
	})
}

// void lets go of a charge that is not captured, and closes a key that is not known.
func (b *books) void(key string) (sandbox.Charge, error) {
	return b.change(caller, key, func(a *account) (*account, *sandbox.Refund, error) {
		switch {
		case a == nil:
			// Which amount it would have been, nobody says.
			nobody := sandbox.Charge{Key: key, Reference: newReference(), Status: payment.ChargeVoided, Currency: "XXX"}
			return &account{charge: nobody, refunds: map[string]*sandbox.Refund{}}, nil, nil
		case a.charge.Status == payment.ChargeAuthorized || a.charge.Status.Pending():
			a.charge.Status = payment.ChargeVoided
			return a, nil, nil
		default:
			return nil, nil, nil
		}
	})
}

// refund opens a refund of a captured charge, unless there is one, and says how it stands.
func (b *books) refund(by whom, key string, in sandbox.Amount, status payment.RefundStatus, code string) (sandbox.Refund, error) {
	var told sandbox.Refund
	_, err := b.change(by, key, func(a *account) (*account, *sandbox.Refund, error) {
		if a == nil {
			return nil, nil, payment.ErrNoSuchCharge
		}
		if known, ok := a.refunds[in.Key]; ok {
			told = *known
			return nil, nil, nil
		}
		left := a.charge.CapturedMinor - a.charge.RefundedMinor
		for _, r := range a.pending() {
			left -= r.AmountMinor
		}
		if in.Key == "" || in.Currency != a.charge.Currency || in.AmountMinor <= 0 || in.AmountMinor > left {
			return nil, nil, payment.ErrRefused
		}
		r := &sandbox.Refund{Key: in.Key, ChargeKey: key, Reference: newReference(), Status: status, FailureCode: code, AmountMinor: in.AmountMinor, Currency: in.Currency}
		if status == payment.RefundDone {
			a.charge.RefundedMinor += in.AmountMinor
		}
		told = *r
		return a, r, nil
	})
	return told, err
}

// lookupRefund says how a refund of a charge stands.
func (b *books) lookupRefund(key, refundKey string) (told sandbox.Refund, err error) {
	_, err = b.change(caller, key, func(a *account) (*account, *sandbox.Refund, error) {
		if a == nil {
			return nil, nil, payment.ErrNoSuchCharge
		}
		known, ok := a.refunds[refundKey]
		if !ok {
			return nil, nil, payment.ErrNoSuchRefund
		}
		told = *known
		return nil, nil, nil
	})
	return told, err
}

// pending returns the refunds that are on their way. The caller holds the lock.
func (a *account) pending() (pending []*sandbox.Refund) {
	for _, key := range slices.Sorted(maps.Keys(a.refunds)) {
		if r := a.refunds[key]; r.Status == payment.RefundPending {
			pending = append(pending, r)
		}
	}
	return pending
}

func (b *books) lookup(key string) (sandbox.Charge, error) {
	return b.change(caller, key, func(*account) (*account, *sandbox.Refund, error) { return nil, nil, nil })
}

// resolve brings what is pending of a charge to its end: well, or declined. Refunds too, one after the other.
func (b *books) resolve(key string, well bool) (charge sandbox.Charge, err error) {
	for left := true; left && err == nil; {
		charge, err = b.change(others, key, func(a *account) (*account, *sandbox.Refund, error) {
			left = false
			if a == nil {
				return nil, nil, nil
			}
			if pending := a.pending(); len(pending) > 0 {
				left = true
				refund := a.resolved(*pending[0], well)
				return a, refund, nil
			}
			if !a.charge.Status.Pending() {
				return nil, nil, nil
			}
			a.decide(well)
			return a, nil, nil
		})
	}
	return charge, err
}

// confirm takes the answer of a customer to what their charge asks of them: nothing where it asks nothing.
func (b *books) confirm(key string, well bool) (sandbox.Charge, error) {
	return b.change(others, key, func(a *account) (*account, *sandbox.Refund, error) {
		if a == nil || a.charge.Status != payment.ChargeRequiresAction {
			return nil, nil, nil
		}
		a.decide(well)
		return a, nil, nil
	})
}

// decide ends what is pending of the account's charge. The caller holds the lock.
func (a *account) decide(well bool) {
	if well {
		a.charge.Status = payment.ChargeAuthorized
	} else {
		a.charge.Status, a.charge.DeclineCode = payment.ChargeDeclined, "authentication_failed"
	}
}

// refundFailed is why a refund fails that was pending.
const refundFailed = "account_closed"

// resolved returns a refund of the account that has come to its end. The caller holds the lock.
func (a *account) resolved(r sandbox.Refund, well bool) *sandbox.Refund {
	r.Status, r.FailureCode = payment.RefundFailed, refundFailed
	if well {
		r.Status, r.FailureCode = payment.RefundDone, ""
		a.charge.RefundedMinor += r.AmountMinor
	}
	return &r
}

// dispute records that the customer contests a captured charge.
func (b *books) dispute(key string) (sandbox.Charge, error) {
	return b.change(others, key, func(a *account) (*account, *sandbox.Refund, error) {
		if a == nil || a.charge.Disputed {
			return nil, nil, nil
		}
		if a.charge.Status != payment.ChargeCaptured {
			return nil, nil, payment.ErrRefused
		}
		a.charge.Disputed = true
		return a, nil, nil
	})
}

// all returns every charge, by key.
func (b *books) all() []sandbox.Charge {
	b.mu.Lock()
	defer b.mu.Unlock()
	charges := make([]sandbox.Charge, 0, len(b.accounts))
	for _, key := range slices.Sorted(maps.Keys(b.accounts)) {
		charges = append(charges, b.withPage(b.accounts[key].charge))
	}
	return charges
}

// pageSize is how many charges are listed at once.
const pageSize = 50

// page returns charges that were opened from one moment to another, from a place in the order on, once they are on disk, and the
// place where the next page begins; 0: nowhere.
func (b *books) page(from, to time.Time, place int) (page []sandbox.Booked, next int, err error) {
	var onDisk []*batch
	b.mu.Lock()
	for i, a := range b.opened[min(place, len(b.opened)):] {
		if a.created.Before(from) || !a.created.Before(to) {
			continue
		}
		if len(page) == pageSize {
			next = place + i
			break
		}
		booked := sandbox.Booked{Charge: a.charge, CreatedAt: a.created}
		booked.Page, booked.ReturnURL = "", ""
		page = append(page, booked)
		if a.batch != nil {
			onDisk = append(onDisk, a.batch)
		}
	}
	b.mu.Unlock()
	for _, written := range onDisk {
		if err := written.wait(); err != nil {
			return nil, 0, err
		}
	}
	return page, next, nil
}

// keyOf returns the key of the charge with a page of that secret.
func (b *books) keyOf(page string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, ok := b.secrets[page]
	return key, ok
}

func newReference() string { return "sbx_" + typeid.New().String() }
