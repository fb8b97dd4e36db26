package gatewaytest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/payment"
)

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "NZD"} }

// bent is a Fake that declines one amount and loses the answer to another, and of which a method can be spoiled.
type bent struct {
	*Fake
	name      string
	authorize func(f *Fake, ctx context.Context, key string, amount money.Money) (payment.Charge, error)
	capture   func(f *Fake, ctx context.Context, key string) (payment.Charge, error)
	void      func(f *Fake, ctx context.Context, key string) (payment.Charge, error)
	refund    func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.Charge, error)
	lookup    func(f *Fake, ctx context.Context, key string) (payment.Charge, error)
}

var (
	good     = nzd(1200)
	declined = nzd(1251)
	lost     = nzd(1291)
)

func (b *bent) subject() Subject {
	b.Fake = NewFake()
	return Subject{
		Gateway: b, Good: good, Declined: map[string]money.Money{"insufficient_funds": declined}, LostAnswer: lost,
	}
}

func (b *bent) Name() string {
	if b.name == "" {
		return b.Fake.Name()
	}
	return ""
}

func (b *bent) Authorize(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	if b.authorize != nil {
		return b.authorize(b.Fake, ctx, key, amount)
	}
	return issue(b.Fake, ctx, key, amount)
}

// issue is Authorize with the answers that go by the amount.
func issue(f *Fake, ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	_, known := f.Charges()[key]
	switch {
	case !known && amount == declined:
		f.Next(Authorize, f.Declines("insufficient_funds"))
	case !known && amount == lost:
		f.Next(Authorize, AnswerLost)
	}
	return f.Authorize(ctx, key, amount)
}

func (b *bent) Capture(ctx context.Context, key string) (payment.Charge, error) {
	if b.capture != nil {
		return b.capture(b.Fake, ctx, key)
	}
	return b.Fake.Capture(ctx, key)
}

func (b *bent) Void(ctx context.Context, key string) (payment.Charge, error) {
	if b.void != nil {
		return b.void(b.Fake, ctx, key)
	}
	return b.Fake.Void(ctx, key)
}

func (b *bent) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.Charge, error) {
	if b.refund != nil {
		return b.refund(b.Fake, ctx, key, refundKey, amount)
	}
	return b.Fake.Refund(ctx, key, refundKey, amount)
}

func (b *bent) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	if b.lookup != nil {
		return b.lookup(b.Fake, ctx, key)
	}
	return b.Fake.Lookup(ctx, key)
}

func TestRun_honest_gateway_passes(t *testing.T) {
	t.Parallel()
	Run(t, func(*testing.T) Subject { return (&bent{}).subject() })
}

// TestChecks_find_each_fault spoils a gateway in one way after the other; the suite must notice each.
func TestChecks_find_each_fault(t *testing.T) {
	t.Parallel()
	type charge = payment.Charge
	faults := map[string]*bent{
		"has_a_name": {name: "none"},
		"authorize_reserves_and_takes_nothing": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			_, err := f.Authorize(ctx, key, amount)
			if err != nil {
				return charge{}, err
			}
			return f.Capture(ctx, key)
		}},
		"authorize_twice_is_one_charge": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := f.Authorize(ctx, key, amount)
			c.Reference = newKey()
			return c, err
		}},
		"authorize_in_parallel_is_one_charge": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := f.Authorize(ctx, key, amount)
			c.Reference = newKey()
			return c, err
		}},
		"a_key_keeps_its_first_amount": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := f.Authorize(ctx, key, amount)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.charges[key].amount = amount
			return c, err
		}},
		"a_decline_is_an_answer_and_final": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := issue(f, ctx, key, amount)
			if c.Status == payment.ChargeDeclined {
				return charge{}, errors.New("declined")
			}
			return c, err
		}},
		"capture_takes_the_whole_amount_once": {capture: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Capture(ctx, key)
			c.Captured.AmountMinor--
			return c, err
		}},
		"authorize_after_capture_tells_of_the_capture": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := f.Authorize(ctx, key, amount)
			c.Status = payment.ChargeAuthorized
			return c, err
		}},
		"void_lets_go_for_good": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Lookup(ctx, key)
			c.Status = payment.ChargeVoided
			return c, err
		}},
		"void_before_authorize_wins": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			if c, err := f.Lookup(ctx, key); err != nil {
				return charge{Status: payment.ChargeVoided}, nil //nolint:nilerr // this gateway forgets
			} else if c.Status != payment.ChargeAuthorized {
				return c, nil
			}
			return f.Void(ctx, key)
		}},
		"void_beside_authorize_wins": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			return f.Lookup(ctx, key)
		}},
		"void_beside_capture_has_one_winner": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Void(ctx, key)
			c.Status = payment.ChargeVoided
			return c, err
		}, capture: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Capture(ctx, key)
			c.Status = payment.ChargeCaptured
			return c, err
		}},
		"void_leaves_a_captured_charge": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Void(ctx, key)
			c.Status = payment.ChargeVoided
			return c, err
		}},
		"refund_gives_back_once_per_key": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (charge, error) {
			return f.Refund(ctx, key, refundKey+newKey(), amount)
		}},
		"parts_of_a_refund_add_up": {refund: func(f *Fake, ctx context.Context, key, _ string, amount money.Money) (charge, error) {
			return f.Refund(ctx, key, key, amount)
		}},
		"refunds_never_exceed_the_capture": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (charge, error) {
			f.mu.Lock()
			f.charges[key].charge.Refunded = money.Money{Currency: amount.Currency}
			f.mu.Unlock()
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"a_refund_above_the_capture_is_refused": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (charge, error) {
			amount.AmountMinor = min(amount.AmountMinor, f.Charges()[key].Captured.AmountMinor)
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"what_was_not_captured_is_not_refunded": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (charge, error) {
			if c, err := f.Lookup(ctx, key); err != nil || c.Status == payment.ChargeAuthorized {
				return c, err
			}
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"an_unknown_key_is_no_such_charge": {lookup: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Lookup(ctx, key)
			if errors.Is(err, payment.ErrNoSuchCharge) {
				err = ErrNoAnswer
			}
			return c, err
		}},
		"a_lost_answer_is_found_again": {authorize: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			if amount == lost {
				return charge{}, ErrNoAnswer
			}
			return issue(f, ctx, key, amount)
		}},
		"an_ended_context_ends_the_call": {capture: func(f *Fake, _ context.Context, key string) (charge, error) {
			return f.Capture(t.Context(), key)
		}},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spoiled, ok := faults[c.name]
			if !ok {
				t.Fatal("no gateway has been spoiled for this check")
			}
			if err := c.run(t.Context(), spoiled.subject()); err == nil {
				t.Error("the check passes on a gateway that fails it")
			} else {
				t.Log(err)
			}
		})
	}
	if len(faults) != len(checks) {
		t.Errorf("%d faults for %d checks", len(faults), len(checks))
	}
}

func TestFake_faults(t *testing.T) {
	t.Parallel()
	// Each fault of Authorize, what the caller hears, and how the charge stands afterwards.
	for name, test := range map[string]struct {
		fault  func(f *Fake) Fault
		err    error
		dies   bool
		hears  payment.ChargeStatus
		stands payment.ChargeStatus
	}{
		"honest":        {fault: func(*Fake) Fault { return Honest }, hears: payment.ChargeAuthorized, stands: payment.ChargeAuthorized},
		"never_arrives": {fault: func(*Fake) Fault { return NeverArrives }, err: ErrNoAnswer},
		"answer_lost":   {fault: func(*Fake) Fault { return AnswerLost }, err: ErrNoAnswer, stands: payment.ChargeAuthorized},
		"dies_before":   {fault: func(*Fake) Fault { return DiesBefore }, dies: true},
		"dies_after":    {fault: func(*Fake) Fault { return DiesAfter }, dies: true, stands: payment.ChargeAuthorized},
		"declines": {
			fault: func(f *Fake) Fault { return f.Declines("do_not_honor") },
			hears: payment.ChargeDeclined, stands: payment.ChargeDeclined,
		},
		"takes": {
			fault: func(f *Fake) Fault { return f.Takes },
			hears: payment.ChargeCaptured, stands: payment.ChargeCaptured,
		},
		"says": {
			fault: func(*Fake) Fault { return Says(func(c *payment.Charge) { c.Status = payment.ChargeCaptured }) },
			hears: payment.ChargeCaptured, stands: payment.ChargeAuthorized,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := NewFake()
			f.Next(Authorize, test.fault(f))
			var heard payment.Charge
			var err error
			died := func() (died bool) {
				defer func() { died = recover() != nil }()
				heard, err = f.Authorize(t.Context(), "key", good)
				return false
			}()
			if !errors.Is(err, test.err) || died != test.dies || heard.Status != test.hears {
				t.Errorf("hears %+v, %v, dies %t; want %s, %v, %t", heard, err, died, test.hears, test.err, test.dies)
			}
			if got := f.Charges()["key"].Status; got != test.stands {
				t.Errorf("the charge stands at %s, want %s", cmp.Or(got, "nothing"), cmp.Or(test.stands, "nothing"))
			}
			if len(f.Pending()) != 0 || f.Count(Authorize) != 1 {
				t.Errorf("%v left, %d calls in the journal", f.Pending(), f.Count(Authorize))
			}
		})
	}
	t.Run("an_authorization_lapses", func(t *testing.T) {
		t.Parallel()
		f := NewFake()
		f.Next(Capture, f.Lapses)
		_, err := f.Authorize(t.Context(), "key", good)
		charge, captureErr := f.Capture(t.Context(), "key")
		if err := errors.Join(err, captureErr); err != nil || charge.Status != payment.ChargeVoided {
			t.Errorf("the capture gives %+v, %v; want VOIDED", charge, err)
		}
	})
	t.Run("what_is_taken_is_not_voided", func(t *testing.T) {
		t.Parallel()
		f := NewFake()
		f.Next(Void, f.Takes)
		_, err := f.Authorize(t.Context(), "key", good)
		charge, voidErr := f.Void(t.Context(), "key")
		if err := errors.Join(err, voidErr); err != nil || charge.Status != payment.ChargeCaptured || charge.Captured != good {
			t.Errorf("the void gives %+v, %v; want CAPTURED", charge, err)
		}
	})
	t.Run("actions_stand_before_and_after_the_effect", func(t *testing.T) {
		t.Parallel()
		f := NewFake()
		key := uuid.NewString()
		var seen []int
		look := func() { seen = append(seen, len(f.Charges())) }
		f.Next(Authorize, Before(look), After(look))
		for range 2 {
			if _, err := f.Authorize(t.Context(), key+string(rune('a'+len(seen))), good); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(seen, []int{0, 2}) {
			t.Errorf("charges seen: %v, want 0 before the first effect and 2 after the second", seen)
		}
	})
}
