package reconciliation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/payment"
)

// round is a run under way.
type round struct {
	*Service
	Run

	gateway  payment.Gateway
	restored *time.Time      // what the database was restored to; nil: it was not
	open     map[string]bool // keys of charges with open mismatches that nobody has looked at in this run
	seen     map[string]bool // keys that the gateway has listed
}

// carryOut does a run that was begun. What the gateway does not answer ends it, as FAILED, without an error.
func (s *Service) carryOut(ctx context.Context, run Run, gateway payment.Gateway, restored *time.Time) (Run, error) {
	books, lists := gateway.(payment.Books)
	if !lists {
		err := s.end(ctx, &run, NoList)
		return run, err
	}
	open, err := s.openKeys(ctx, run.Gateway)
	if err != nil {
		err = errors.Join(err, s.end(context.WithoutCancel(ctx), &run, Failed))
		return run, err
	}
	r := &round{Service: s, Run: run, gateway: gateway, restored: restored, open: open, seen: map[string]bool{}}
	outcome := Done
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return r.theirs(ctx, books) }, r.ours, r.left,
	} {
		if err = step(ctx); err != nil {
			outcome = Failed
			break
		}
	}
	if silent, ok := errors.AsType[silentError](err); ok {
		s.log.WarnContext(ctx, "a gateway does not tell what it has", "gateway", run.Gateway, "error", silent.error)
		err = nil
	}
	err = errors.Join(err, s.end(context.WithoutCancel(ctx), &r.Run, outcome))
	return r.Run, err
}

// silentError is what a gateway said instead of an answer.
type silentError struct{ error }

// ask gives one conversation with the gateway its time.
func ask[T any](ctx context.Context, r *round, call func(context.Context) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	err = r.gateways.Ask(ctx, r.gateway.Name(), func(ctx context.Context) error {
		answer, err = call(ctx)
		return err
	})
	if err != nil && !errors.Is(err, payment.ErrNoSuchCharge) {
		err = silentError{fmt.Errorf("gateway %s: %w", r.gateway.Name(), err)}
	}
	return answer, err
}

// theirs goes through what the gateway lists.
func (r *round) theirs(ctx context.Context, books payment.Books) error {
	for after, more := "", true; more; more = after != "" {
		type page struct {
			charges []payment.BookedCharge
			next    string
		}
		p, err := ask(ctx, r, func(ctx context.Context) (p page, err error) {
			p.charges, p.next, err = books.Booked(ctx, r.From, r.To, after)
			return p, err
		})
		if err != nil {
			return err
		}
		keys := make([]string, len(p.charges))
		for i, charge := range p.charges {
			keys[i] = charge.Key
		}
		accounts, err := r.accounts(ctx, keys)
		if err != nil {
			return err
		}
		for _, charge := range p.charges {
			if err := r.listed(ctx, charge, accounts); err != nil {
				return err
			}
		}
		if err := r.alive(ctx, r.Run); err != nil {
			return err
		}
		after = p.next
	}
	return nil
}

// listed compares a charge as it is listed, and examines it if that disagrees, or did before.
func (r *round) listed(ctx context.Context, charge payment.BookedCharge, accounts map[string]Account) error {
	name := nameOf(charge)
	if !r.seen[name] {
		r.seen[name] = true
		r.Compared++
	}
	var ours *Account
	if account, ok := accounts[charge.Key]; ok {
		ours = &account
	}
	if len(Compare(ours, &charge.Charge)) == 0 && !r.open[name] {
		return nil
	}
	return r.examine(ctx, name, &charge)
}

// ours goes through what we say that the gateway took, and it did not list.
func (r *round) ours(ctx context.Context) error {
	const page = 100
	after, more := idAt(r.From), true
	for more {
		accounts, err := r.takers(ctx, r.Gateway, after, r.To, page)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			after = account.Attempt.ID
			if key := after.String(); !r.seen[key] {
				r.Compared++
				if err := r.examine(ctx, key, nil); err != nil {
					return err
				}
			}
		}
		more = len(accounts) == page
	}
	return nil
}

// left examines what disagreed before and was in none of the lists.
func (r *round) left(ctx context.Context) error {
	for key := range r.open {
		if r.seen[key] {
			continue
		}
		if err := r.examine(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// examine looks at a charge closely, and stores what is wrong with it. listed is the gateway's entry where that is known.
func (r *round) examine(ctx context.Context, key string, listed *payment.BookedCharge) error {
	if err := r.alive(ctx, r.Run); err != nil {
		return err
	}
	delete(r.open, key)
	ours, theirs, still, err := r.standing(ctx, key, listed)
	if err != nil || !still {
		return err
	}
	found := Compare(ours, theirs)
	if err := r.vanish(ctx, r.Gateway, key, found); err != nil {
		return err
	}
	for _, finding := range found {
		m, fresh, err := r.record(ctx, r.Gateway, key, finding, ours, theirs)
		if err != nil {
			return err
		}
		if fresh {
			r.Found++
		}
		var do func() error
		switch {
		case m == nil:
		case finding.Kind.IsHealed():
			do = func() error { return r.booking.Realign(ctx, ours.Attempt) }
		case finding.Kind == UnknownCharge && r.isLost(key):
			do = func() error { return r.booking.GiveBackUnknown(ctx, r.Gateway, key) }
		}
		if do == nil {
			continue
		}
		if err := r.heal(ctx, *m, do); err != nil {
			return err
		}
	}
	return nil
}

// standing returns how a charge stands on both sides; still is false while one of them moves, or the gateway cannot be asked about
// it by itself.
func (r *round) standing(ctx context.Context, key string, listed *payment.BookedCharge) (ours *Account, theirs *payment.Charge, still bool, err error) {
	if ours, err = r.account(ctx, key); err != nil {
		return nil, nil, false, err
	}
	if listed != nil && listed.Key == "" {
		return nil, &listed.Charge, true, nil
	}
	if isOurs := uuid.Validate(key) == nil; !isOurs { // of what was charged without us only the list knows
		return nil, nil, false, nil
	}
	charge, err := ask(ctx, r, func(ctx context.Context) (payment.Charge, error) { return r.gateway.Lookup(ctx, key) })
	known := !errors.Is(err, payment.ErrNoSuchCharge)
	if known && err != nil {
		return nil, nil, false, err
	}
	if known {
		theirs = &charge
	}
	again, err := r.account(ctx, key)
	if err != nil {
		return nil, nil, false, err
	}
	still = (ours == nil) == (again == nil) && (ours == nil || *ours == *again && !ours.Busy)
	return ours, theirs, still, nil
}

// isLost reports whether a charge is known by the id of an attempt that was made after what the database was restored to.
func (r *round) isLost(key string) bool {
	const made = 7 // the version of ids that begin with their time
	id, err := uuid.Parse(key)
	if r.restored == nil || err != nil || id.Version() != made {
		return false
	}
	first := idAt(*r.restored)
	return bytes.Compare(id[:], first[:]) >= 0
}

// heal lets booking bring a charge in line, and closes the mismatch if that has helped.
func (r *round) heal(ctx context.Context, m Mismatch, do func() error) error {
	if err := do(); err != nil {
		r.log.WarnContext(ctx, "a mismatch is not healed yet", "mismatch", m.ID, "kind", m.Kind, "error", err)
		return nil
	}
	ours, err := r.account(ctx, m.ChargeKey)
	if err != nil {
		return err
	}
	charge, err := ask(ctx, r, func(ctx context.Context) (payment.Charge, error) { return r.gateway.Lookup(ctx, m.ChargeKey) })
	if err != nil {
		return err
	}
	for _, finding := range Compare(ours, &charge) {
		if finding.Kind == m.Kind {
			return nil
		}
	}
	closed, err := r.close(ctx, m.ID, Healed)
	if closed {
		r.Healed++
	}
	return err
}

// nameOf returns what a mismatch of a charge is stored under: our key, or the gateway's id of what was charged without us.
func nameOf(charge payment.BookedCharge) string {
	if charge.Key == "" {
		return charge.Reference
	}
	return charge.Key
}
