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
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// Subject is a gateway under test, with requests by which it can be made to answer in each way, and hands where there are no
// customers, banks and dashboards. What its capabilities leave out, a Subject does not have.
type Subject struct {
	Gateway    payment.Gateway
	Good       payment.Request            // is authorized; the amount is large enough to be divided by three
	Declined   map[string]payment.Request // by decline code; at least one
	LostAnswer payment.Request            // is authorized, but the first answer is lost
	Foreign    money.Money                // of a currency that the gateway does not take, if there is one

	Action     payment.Request // requires an action of the customer; with Capabilities.Actions
	Processing payment.Request // is processing, and SlowRefund pending, until Resolve; with Capabilities.Asynchronous
	SlowRefund money.Money     // less than Good

	Resolve      func(ctx context.Context, key string, well bool) error                           // does what a charge or refund waits for
	RefundByHand func(ctx context.Context, key string, amount money.Money) error                  // at the gateway's dashboard
	Webhook      func(ctx context.Context, key string, at time.Time) (http.Header, []byte, error) // about a charge; of payment.Webhooks
}

// Run puts a gateway through the suite. open is called once for each test and may provide the same gateway every time:
// no test uses the key of another.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			if err := s.check(); err != nil {
				t.Fatal(err)
			}
			if err := c.run(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
}

// check says what a Subject lacks, or has too much of, for the checks to judge its gateway.
func (s Subject) check() error {
	caps := s.Gateway.Capabilities()
	_, tells := s.Gateway.(payment.Webhooks)
	for what, wrong := range map[string]bool{
		"Declined":               len(s.Declined) == 0,
		"LostAnswer":             s.LostAnswer == (payment.Request{}),
		"RefundByHand":           s.RefundByHand == nil,
		"Good, of its currency":  !caps.Takes(s.Good.Amount.Currency),
		"Foreign":                (s.Foreign == (money.Money{})) != (caps.Currencies == nil) || caps.Takes(s.Foreign.Currency) && caps.Currencies != nil,
		"Action":                 (s.Action == (payment.Request{})) == caps.Actions,
		"Processing, SlowRefund": (s.Processing == (payment.Request{})) == caps.Asynchronous || (s.SlowRefund == (money.Money{})) == caps.Asynchronous,
		"Resolve":                (s.Resolve == nil) == (caps.Actions || caps.Asynchronous),
		"Webhook":                (s.Webhook == nil) == tells,
	} {
		if wrong {
			return fmt.Errorf("the subject is not what its capabilities say: see %s", what)
		}
	}
	return nil
}

// check is one demand on a gateway; its error says how the gateway falls short of it.
type check struct {
	name string
	run  func(ctx context.Context, s Subject) error
}

// crowd is how many callers ask for the same thing at once.
const crowd = 20

var checks = slices.Concat(basics, amounts, pendings, webhooks, books)

var basics = []check{
	{"has_a_name", func(_ context.Context, s Subject) error {
		if s.Gateway.Name() == "" {
			return errors.New("the gateway has no name")
		}
		return nil
	}},
	{"offers_an_instrument", func(_ context.Context, s Subject) error {
		if len(s.Gateway.Capabilities().Instruments) == 0 {
			return errors.New("nobody can pay with anything")
		}
		caps := s.Gateway.Capabilities()
		if caps.Step == "" && !caps.Actions {
			return nil // a token is always enough
		}
		if caps.Step != payment.StepRedirect && caps.Step != payment.StepConfirmOnClient {
			return fmt.Errorf("customers have to do %q", caps.Step)
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
		more.Amount.AmountMinor *= 2
		// A gateway may refuse the contradiction or answer with the charge as it stands.
		_, _ = s.Gateway.Authorize(ctx, key, more)
		_, err := s.Gateway.Capture(ctx, key, more.Amount)
		if err := refused(ctx, s, key, err, payment.ChargeAuthorized, 0); err != nil {
			return err
		}
		charge, err := s.Gateway.Capture(ctx, key, s.Good.Amount)
		return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0)
	}},
	{"a_decline_is_an_answer_and_final", func(ctx context.Context, s Subject) error {
		for code, request := range s.Declined {
			if err := declines(ctx, s, code, request); err != nil {
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
		charges, err := inParallel(func(int) (payment.Charge, error) { return s.Gateway.Capture(ctx, key, s.Good.Amount) })
		if err != nil {
			return err
		}
		for _, charge := range charges {
			if err := expect(charge, nil, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0); err != nil {
				return err
			}
			if charge.Captured != s.Good.Amount {
				return fmt.Errorf("captured %v of %v", charge.Captured, s.Good.Amount)
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
		return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0)
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
			return s.Gateway.Capture(ctx, key, s.Good.Amount)
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
			return expect(charges[0], nil, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0)
		}
		return staysVoided(ctx, s, key)
	}},
	{"void_leaves_a_captured_charge", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		charge, err := s.Gateway.Void(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0)
	}},
	{"an_unknown_key_is_no_such_charge", func(ctx context.Context, s Subject) error {
		for name, call := range map[string]func(key string) (payment.Charge, error){
			"Lookup":  func(key string) (payment.Charge, error) { return s.Gateway.Lookup(ctx, key) },
			"Capture": func(key string) (payment.Charge, error) { return s.Gateway.Capture(ctx, key, s.Good.Amount) },
			"Refund": func(key string) (payment.Charge, error) {
				_, err := s.Gateway.Refund(ctx, key, key+"/refund", s.Good.Amount)
				return payment.Charge{}, err
			},
		} {
			if charge, err := call(newKey()); !errors.Is(err, payment.ErrNoSuchCharge) {
				return fmt.Errorf("%s of an unknown key gives %+v, %v; want ErrNoSuchCharge", name, charge, fmt.Sprint(err))
			}
		}
		return nil
	}},
	{"a_lost_answer_is_found_again", func(ctx context.Context, s Subject) error {
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
		charge, err := s.Gateway.Capture(ctx, key, s.LostAnswer.Amount)
		return expect(charge, err, payment.ChargeCaptured, s.LostAnswer.Amount.AmountMinor, 0)
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
			"Capture":   func() (payment.Charge, error) { return s.Gateway.Capture(ended, key, s.Good.Amount) },
			"Void":      func() (payment.Charge, error) { return s.Gateway.Void(ended, newKey()) },
			"Refund": func() (payment.Charge, error) {
				_, err := s.Gateway.Refund(ended, key, key+"/refund", s.Good.Amount)
				return payment.Charge{}, err
			},
			"Lookup": func() (payment.Charge, error) { return s.Gateway.Lookup(ended, key) },
			"LookupRefund": func() (payment.Charge, error) {
				_, err := s.Gateway.LookupRefund(ended, key, key+"/refund")
				return payment.Charge{}, err
			},
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
	charge, err := s.Gateway.Capture(ctx, key, s.Good.Amount)
	return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0)
}

func declines(ctx context.Context, s Subject, code string, request payment.Request) error {
	key := newKey()
	charge, err := s.Gateway.Authorize(ctx, key, request)
	if err := expect(charge, err, payment.ChargeDeclined, 0, 0); err != nil {
		return err
	}
	if charge.DeclineCode != code {
		return fmt.Errorf("the decline code is %q", charge.DeclineCode)
	}
	if err := unchanged(ctx, s, key, charge); err != nil {
		return err
	}
	again, err := s.Gateway.Authorize(ctx, key, request)
	if err := errors.Join(err, same(charge, again)); err != nil {
		return err
	}
	captured, err := s.Gateway.Capture(ctx, key, s.Good.Amount)
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
		func() (payment.Charge, error) { return s.Gateway.Capture(ctx, key, s.Good.Amount) },
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
func inParallel[T any](call func(i int) (T, error)) ([]T, error) {
	answers, errs := make([]T, crowd), make([]error, crowd)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			<-start
			answers[i], errs[i] = call(i)
		})
	}
	close(start)
	all.Wait()
	return answers, errors.Join(errs...)
}
