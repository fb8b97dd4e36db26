// Package gatewaytest holds what every payment gateway must keep to, as one suite of tests that each adapter passes,
// and Fake, a gateway in memory whose calls can be made to go wrong in any way.
//
// The suite judges a gateway by payment.Gateway's contract alone, through its methods: what it remembers of a key, that
// an effect happens once however often and however much in parallel it is asked for, and that no order of calls takes
// money twice or gives back more than was taken. For tests only.
package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// Subject is a gateway under test, with amounts by which it can be made to answer in each way.
type Subject struct {
	Gateway    payment.Gateway
	Good       money.Money            // is authorized; large enough to be divided by three
	Declined   map[string]money.Money // by decline code; at least one
	LostAnswer money.Money            // is authorized, but the first answer is lost; zero where a gateway has no such amount
}

// Run puts a gateway through the suite. open is called once for each test and may provide the same gateway every time:
// no test uses the key of another.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.run(t.Context(), open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// check is one demand on a gateway; its error says how the gateway falls short of it.
type check struct {
	name string
	run  func(ctx context.Context, s Subject) error
}

// crowd is how many callers ask for the same thing at once.
const crowd = 20

var checks = []check{
	{"has_a_name", func(_ context.Context, s Subject) error {
		if s.Gateway.Name() == "" {
			return errors.New("the gateway has no name")
		}
		return nil
	}},
	{"authorize_reserves_and_takes_nothing", func(ctx context.Context, s Subject) error {
		key := newKey()
		charge, err := s.Gateway.Authorize(ctx, key, s.Good)
		if err := expect(charge, err, payment.ChargeAuthorized, 0, 0); err != nil {
			return err
		}
		if charge.Reference == "" {
			return errors.New("the charge has no reference")
		}
		return unchanged(ctx, s, key, charge)
	}},
	{"authorize_twice_is_one_charge", func(ctx context.Context, s Subject) error {
		key := newKey()
		first, err := s.Gateway.Authorize(ctx, key, s.Good)
		if err != nil {
			return err
		}
		again, err := s.Gateway.Authorize(ctx, key, s.Good)
		if err := expect(again, err, payment.ChargeAuthorized, 0, 0); err != nil {
			return err
		}
		return same(first, again)
	}},
	{"authorize_in_parallel_is_one_charge", func(ctx context.Context, s Subject) error {
		key := newKey()
		charges, err := inParallel(func(int) (payment.Charge, error) { return s.Gateway.Authorize(ctx, key, s.Good) })
		if err != nil {
			return err
		}
		for _, charge := range charges {
			if err := same(charges[0], charge); err != nil {
				return err
			}
		}
		return unchanged(ctx, s, key, charges[0])
	}},
	{"a_key_keeps_its_first_amount", func(ctx context.Context, s Subject) error {
		key := newKey()
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		more := s.Good
		more.AmountMinor *= 2
		// A gateway may refuse the contradiction or answer with the charge as it stands.
		_, _ = s.Gateway.Authorize(ctx, key, more)
		charge, err := s.Gateway.Capture(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, 0)
	}},
	{"a_decline_is_an_answer_and_final", func(ctx context.Context, s Subject) error {
		if len(s.Declined) == 0 {
			return errors.New("the subject has no amount that is declined")
		}
		for code, amount := range s.Declined {
			if err := declines(ctx, s, code, amount); err != nil {
				return fmt.Errorf("%s: %w", code, err)
			}
		}
		return nil
	}},
	{"capture_takes_the_whole_amount_once", func(ctx context.Context, s Subject) error {
		key := newKey()
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		charges, err := inParallel(func(int) (payment.Charge, error) { return s.Gateway.Capture(ctx, key) })
		if err != nil {
			return err
		}
		for _, charge := range charges {
			if err := expect(charge, nil, payment.ChargeCaptured, s.Good.AmountMinor, 0); err != nil {
				return err
			}
			if charge.Captured != s.Good {
				return fmt.Errorf("captured %v of %v", charge.Captured, s.Good)
			}
		}
		return unchanged(ctx, s, key, charges[0])
	}},
	{"authorize_after_capture_tells_of_the_capture", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		charge, err := s.Gateway.Authorize(ctx, key, s.Good)
		return expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, 0)
	}},
	{"void_lets_go_for_good", func(ctx context.Context, s Subject) error {
		key := newKey()
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		for range 2 {
			charge, err := s.Gateway.Void(ctx, key)
			if err := expect(charge, err, payment.ChargeVoided, 0, 0); err != nil {
				return err
			}
		}
		return staysVoided(ctx, s, key)
	}},
	{"void_before_authorize_wins", func(ctx context.Context, s Subject) error {
		key := newKey()
		charge, err := s.Gateway.Void(ctx, key)
		if err := expect(charge, err, payment.ChargeVoided, 0, 0); err != nil {
			return err
		}
		return staysVoided(ctx, s, key)
	}},
	{"void_beside_authorize_wins", func(ctx context.Context, s Subject) error {
		key := newKey()
		_, err := inParallel(func(i int) (payment.Charge, error) {
			if i%2 == 0 {
				return s.Gateway.Void(ctx, key)
			}
			return s.Gateway.Authorize(ctx, key, s.Good)
		})
		if err != nil {
			return err
		}
		return staysVoided(ctx, s, key)
	}},
	{"void_beside_capture_has_one_winner", func(ctx context.Context, s Subject) error {
		key := newKey()
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		charges, err := inParallel(func(i int) (payment.Charge, error) {
			if i%2 == 0 {
				return s.Gateway.Void(ctx, key)
			}
			return s.Gateway.Capture(ctx, key)
		})
		if err != nil {
			return err
		}
		for _, charge := range charges {
			if err := same(charges[0], charge); err != nil {
				return err
			}
		}
		if charges[0].Status == payment.ChargeCaptured {
			return expect(charges[0], nil, payment.ChargeCaptured, s.Good.AmountMinor, 0)
		}
		return staysVoided(ctx, s, key)
	}},
	{"void_leaves_a_captured_charge", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		charge, err := s.Gateway.Void(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, 0)
	}},
	{"refund_gives_back_once_per_key", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		charges, err := inParallel(func(int) (payment.Charge, error) { return s.Gateway.Refund(ctx, key, key+"/refund", s.Good) })
		if err != nil {
			return err
		}
		for _, charge := range charges {
			if err := expect(charge, nil, payment.ChargeCaptured, s.Good.AmountMinor, s.Good.AmountMinor); err != nil {
				return err
			}
			if charge.Refunded != s.Good {
				return fmt.Errorf("refunded %v of %v", charge.Refunded, s.Good)
			}
		}
		return unchanged(ctx, s, key, charges[0])
	}},
	{"parts_of_a_refund_add_up", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		part := s.Good
		part.AmountMinor /= 3
		for i := range int64(2) {
			charge, err := s.Gateway.Refund(ctx, key, fmt.Sprintf("%s/refund/%d", key, i), part)
			if err := expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, (i+1)*part.AmountMinor); err != nil {
				return err
			}
		}
		return nil
	}},
	{"refunds_never_exceed_the_capture", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		var mu sync.Mutex
		refused := 0
		_, _ = inParallel(func(i int) (payment.Charge, error) {
			charge, err := s.Gateway.Refund(ctx, key, fmt.Sprintf("%s/refund/%d", key, i), s.Good)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				refused++
			}
			return charge, nil
		})
		if refused != crowd-1 {
			return fmt.Errorf("%d of %d full refunds were refused, want all but one", refused, crowd)
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, s.Good.AmountMinor)
	}},
	{"a_refund_above_the_capture_is_refused", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		more := s.Good
		more.AmountMinor++
		if _, err := s.Gateway.Refund(ctx, key, key+"/refund", more); err == nil {
			return errors.New("a refund of more than was captured went through")
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, 0)
	}},
	{"what_was_not_captured_is_not_refunded", func(ctx context.Context, s Subject) error {
		key := newKey()
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		if _, err := s.Gateway.Refund(ctx, key, key+"/refund", s.Good); err == nil {
			return errors.New("a refund of an uncaptured charge went through")
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		return expect(charge, err, payment.ChargeAuthorized, 0, 0)
	}},
	{"an_unknown_key_is_no_such_charge", func(ctx context.Context, s Subject) error {
		for name, call := range map[string]func(key string) (payment.Charge, error){
			"Lookup":  func(key string) (payment.Charge, error) { return s.Gateway.Lookup(ctx, key) },
			"Capture": func(key string) (payment.Charge, error) { return s.Gateway.Capture(ctx, key) },
			"Refund":  func(key string) (payment.Charge, error) { return s.Gateway.Refund(ctx, key, key+"/refund", s.Good) },
		} {
			if charge, err := call(newKey()); !errors.Is(err, payment.ErrNoSuchCharge) {
				return fmt.Errorf("%s of an unknown key gives %+v, %v; want ErrNoSuchCharge", name, charge, fmt.Sprint(err))
			}
		}
		return nil
	}},
	{"a_lost_answer_is_found_again", func(ctx context.Context, s Subject) error {
		if s.LostAnswer == (money.Money{}) {
			return nil
		}
		key := newKey()
		if charge, err := s.Gateway.Authorize(ctx, key, s.LostAnswer); err == nil || errors.Is(err, payment.ErrNoSuchCharge) {
			return fmt.Errorf("the answer was to be lost, but is %+v, %v", charge, fmt.Sprint(err))
		}
		found, err := s.Gateway.Lookup(ctx, key)
		if err := expect(found, err, payment.ChargeAuthorized, 0, 0); err != nil {
			return err
		}
		again, err := s.Gateway.Authorize(ctx, key, s.LostAnswer)
		if err := errors.Join(err, same(found, again)); err != nil {
			return err
		}
		charge, err := s.Gateway.Capture(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.LostAnswer.AmountMinor, 0)
	}},
	{"an_ended_context_ends_the_call", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		ended, end := context.WithCancel(ctx)
		end()
		for name, call := range map[string]func() (payment.Charge, error){
			"Authorize": func() (payment.Charge, error) { return s.Gateway.Authorize(ended, newKey(), s.Good) },
			"Capture":   func() (payment.Charge, error) { return s.Gateway.Capture(ended, key) },
			"Void":      func() (payment.Charge, error) { return s.Gateway.Void(ended, newKey()) },
			"Refund":    func() (payment.Charge, error) { return s.Gateway.Refund(ended, key, key+"/refund", s.Good) },
			"Lookup":    func() (payment.Charge, error) { return s.Gateway.Lookup(ended, key) },
		} {
			if charge, err := call(); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s with an ended context gives %+v, %v; want context.Canceled", name, charge, fmt.Sprint(err))
			}
		}
		return nil
	}},
}

func newKey() string { return typeid.New().String() }

// expect compares an answer with what it must be. Amounts are in minor units.
func expect(got payment.Charge, err error, status payment.ChargeStatus, captured, refunded int64) error {
	if err != nil {
		return err
	}
	if got.Status != status || got.Captured.AmountMinor != captured || got.Refunded.AmountMinor != refunded {
		return fmt.Errorf("the charge is %+v; want %s with %d captured and %d refunded", got, status, captured, refunded)
	}
	return nil
}

func same(a, b payment.Charge) error {
	if a != b {
		return fmt.Errorf("one key has the charges %+v and %+v", a, b)
	}
	return nil
}

// unchanged demands that the gateway still says the same of a charge.
func unchanged(ctx context.Context, s Subject, key string, want payment.Charge) error {
	got, err := s.Gateway.Lookup(ctx, key)
	if err != nil {
		return err
	}
	return same(want, got)
}

func capture(ctx context.Context, s Subject, key string) error {
	if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
		return err
	}
	charge, err := s.Gateway.Capture(ctx, key)
	return expect(charge, err, payment.ChargeCaptured, s.Good.AmountMinor, 0)
}

func declines(ctx context.Context, s Subject, code string, amount money.Money) error {
	key := newKey()
	charge, err := s.Gateway.Authorize(ctx, key, amount)
	if err := expect(charge, err, payment.ChargeDeclined, 0, 0); err != nil {
		return err
	}
	if charge.DeclineCode != code {
		return fmt.Errorf("the decline code is %q", charge.DeclineCode)
	}
	if err := unchanged(ctx, s, key, charge); err != nil {
		return err
	}
	again, err := s.Gateway.Authorize(ctx, key, amount)
	if err := errors.Join(err, same(charge, again)); err != nil {
		return err
	}
	captured, err := s.Gateway.Capture(ctx, key)
	if err := expect(captured, err, payment.ChargeDeclined, 0, 0); err != nil {
		return err
	}
	voided, err := s.Gateway.Void(ctx, key)
	if err != nil {
		return err
	}
	if voided.Status != payment.ChargeDeclined && voided.Status != payment.ChargeVoided {
		return fmt.Errorf("the void of a declined charge gives %+v", voided)
	}
	return nil
}

// staysVoided demands that nothing makes money of a voided key.
func staysVoided(ctx context.Context, s Subject, key string) error {
	for _, call := range []func() (payment.Charge, error){
		func() (payment.Charge, error) { return s.Gateway.Lookup(ctx, key) },
		func() (payment.Charge, error) { return s.Gateway.Authorize(ctx, key, s.Good) },
		func() (payment.Charge, error) { return s.Gateway.Capture(ctx, key) },
		func() (payment.Charge, error) { return s.Gateway.Lookup(ctx, key) },
	} {
		charge, err := call()
		if err := expect(charge, err, payment.ChargeVoided, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// inParallel makes a crowd of calls at once and returns all answers, or every error.
func inParallel(call func(i int) (payment.Charge, error)) ([]payment.Charge, error) {
	charges, errs := make([]payment.Charge, crowd), make([]error, crowd)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			<-start
			charges[i], errs[i] = call(i)
		})
	}
	close(start)
	all.Wait()
	return charges, errors.Join(errs...)
}
