package gatewaytest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/payment"
)

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "NZD"} }

// bent is a Fake that declines one amount and loses the answer to another, and of which a method can be spoiled.
type bent struct {
	*Fake
	name      string
	nothing   bool // to pay with
	authorize func(f *Fake, ctx context.Context, key string, request payment.Request) (payment.Charge, error)
	capture   func(f *Fake, ctx context.Context, key string, amount money.Money) (payment.Charge, error)
	void      func(f *Fake, ctx context.Context, key string) (payment.Charge, error)
	refund    func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error)
	lookup    func(f *Fake, ctx context.Context, key string) (payment.Charge, error)
	find      func(f *Fake, ctx context.Context, key, refundKey string) (payment.ChargeRefund, error)
	booked    func(f *Fake, ctx context.Context, from, to time.Time, after string) ([]payment.BookedCharge, string, error)
	verify    func(f *Fake, header http.Header, body []byte, now time.Time) (payment.Event, error)
}

var (
	good       = payment.Request{Amount: nzd(1200)}
	declined   = payment.Request{Amount: nzd(1251)}
	lost       = payment.Request{Amount: nzd(1291)}
	action     = payment.Request{Amount: nzd(1265)}
	processing = payment.Request{Amount: nzd(1209)}
	slow       = nzd(109)
)

func (b *bent) subject() Subject {
	b.Fake = NewFake()
	return Subject{
		Gateway: b, Good: good, Declined: map[string]payment.Request{"insufficient_funds": declined}, LostAnswer: lost,
		Action: action, Processing: processing, SlowRefund: slow,
		Resolve: func(_ context.Context, key string, well bool) error {
			b.Resolve(key, well)
			return nil
		},
		RefundByHand: func(_ context.Context, key string, amount money.Money) error { return b.RefundByHand(key, amount) },
		Webhook: func(_ context.Context, key string, at time.Time) (http.Header, []byte, error) {
			return b.Webhook(key, at)
		},
	}
}

func (b *bent) Name() string {
	if b.name == "" {
		return b.Fake.Name()
	}
	return ""
}

func (b *bent) Capabilities() payment.Capabilities {
	caps := b.Fake.Capabilities()
	if b.nothing {
		caps.Instruments = nil
	}
	return caps
}

func (b *bent) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	if b.authorize != nil {
		return b.authorize(b.Fake, ctx, key, request)
	}
	return issue(b.Fake, ctx, key, request)
}

// issue is Authorize with the answers that go by the amount.
func issue(f *Fake, ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	_, known := f.Charges()[key]
	switch {
	case known:
	case request == declined:
		f.Next(Authorize, f.Declines("insufficient_funds"))
	case request == lost:
		f.Next(Authorize, AnswerLost)
	case request == action:
		f.Next(Authorize, f.RequiresAction(payment.Redirect{URL: "https://bank.example/" + key}))
	case request == processing:
		f.Next(Authorize, f.Processes)
	}
	return f.Authorize(ctx, key, request)
}

func (b *bent) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	if b.capture != nil {
		return b.capture(b.Fake, ctx, key, amount)
	}
	return b.Fake.Capture(ctx, key, amount)
}

func (b *bent) Void(ctx context.Context, key string) (payment.Charge, error) {
	if b.void != nil {
		return b.void(b.Fake, ctx, key)
	}
	return b.Fake.Void(ctx, key)
}

func (b *bent) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	if b.refund != nil {
		return b.refund(b.Fake, ctx, key, refundKey, amount)
	}
	return slowly(b.Fake, ctx, key, refundKey, amount)
}

// slowly is Refund where one amount takes its time.
func slowly(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	if amount == slow {
		f.Next(Refund, f.RefundsLater)
	}
	return f.Refund(ctx, key, refundKey, amount)
}

func (b *bent) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	if b.lookup != nil {
		return b.lookup(b.Fake, ctx, key)
	}
	return b.Fake.Lookup(ctx, key)
}

func (b *bent) LookupRefund(ctx context.Context, key, refundKey string) (payment.ChargeRefund, error) {
	if b.find != nil {
		return b.find(b.Fake, ctx, key, refundKey)
	}
	return b.Fake.LookupRefund(ctx, key, refundKey)
}

func (b *bent) Booked(ctx context.Context, from, to time.Time, after string) ([]payment.BookedCharge, string, error) {
	if b.booked != nil {
		return b.booked(b.Fake, ctx, from, to, after)
	}
	return b.Fake.Booked(ctx, from, to, after)
}

func (b *bent) Verify(header http.Header, body []byte, now time.Time) (payment.Event, error) {
	if b.verify != nil {
		return b.verify(b.Fake, header, body, now)
	}
	return b.Fake.Verify(header, body, now)
}

// plain is a Fake that can do no more than it must.
type plain struct {
	payment.Gateway // without Webhooks and Books
}

func (plain) Capabilities() payment.Capabilities {
	return payment.Capabilities{Currencies: []string{"NZD"}, Instruments: []payment.Instrument{payment.InstrumentCard}, Step: payment.StepRedirect}
}

func (p plain) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	if request.Amount.Currency != "NZD" {
		return payment.Charge{}, payment.ErrRefused
	}
	return p.Gateway.Authorize(ctx, key, request)
}

func (p plain) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	if charge, err := p.Lookup(ctx, key); err != nil || charge.Status == payment.ChargeAuthorized && amount.AmountMinor < good.Amount.AmountMinor {
		return payment.Charge{}, cmp.Or(err, payment.ErrRefused)
	}
	return p.Gateway.Capture(ctx, key, amount)
}

func (b *bent) plain() Subject {
	s := b.subject()
	return Subject{
		Gateway: plain{b}, Good: s.Good, Declined: s.Declined, LostAnswer: s.LostAnswer, Foreign: money.Money{AmountMinor: 1200, Currency: "AUD"},
		RefundByHand: s.RefundByHand,
	}
}

func TestRun_plain_gateway_passes(t *testing.T) {
	t.Parallel()
	Run(t, func(*testing.T) Subject { return (&bent{}).plain() })
}

// TestSubject_check takes one hand after the other from a Subject, and gives it one that its gateway has no use for.
func TestSubject_check(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *Subject){
		"declined": func(s *Subject) { s.Declined = nil }, "lost": func(s *Subject) { s.LostAnswer = payment.Request{} },
		"by hand": func(s *Subject) { s.RefundByHand = nil }, "action": func(s *Subject) { s.Action = payment.Request{} },
		"processing": func(s *Subject) { s.Processing = payment.Request{} }, "slow": func(s *Subject) { s.SlowRefund = money.Money{} },
		"resolve": func(s *Subject) { s.Resolve = nil }, "webhook": func(s *Subject) { s.Webhook = nil },
		"foreign": func(s *Subject) { s.Foreign = nzd(1) },
	} {
		s := (&bent{}).subject()
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		if spoil(&s); s.check() == nil {
			t.Errorf("%s: the subject passes", name)
		}
	}
	full := (&bent{}).subject()
	for name, spoil := range map[string]func(s *Subject){
		"foreign": func(s *Subject) { s.Foreign = money.Money{} }, "a foreign one of its own": func(s *Subject) { s.Foreign = nzd(1) },
		"action": func(s *Subject) { s.Action = action }, "processing": func(s *Subject) { s.Processing = processing },
		"slow": func(s *Subject) { s.SlowRefund = slow }, "resolve": func(s *Subject) { s.Resolve = full.Resolve },
		"webhook": func(s *Subject) { s.Webhook = full.Webhook }, "good": func(s *Subject) { s.Good.Amount.Currency = "AUD" },
	} {
		s := (&bent{}).plain()
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		if spoil(&s); s.check() == nil {
			t.Errorf("plain, %s: the subject passes", name)
		}
	}
}

func TestRun_honest_gateway_passes(t *testing.T) {
	t.Parallel()
	Run(t, func(*testing.T) Subject { return (&bent{}).subject() })
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
		"requires_action": {
			fault: func(f *Fake) Fault { return f.RequiresAction(payment.ConfirmOnClient{ClientSecret: "secret"}) },
			hears: payment.ChargeRequiresAction, stands: payment.ChargeRequiresAction,
		},
		"processes": {
			fault: func(f *Fake) Fault { return f.Processes },
			hears: payment.ChargeProcessing, stands: payment.ChargeProcessing,
		},
		"takes": {
			fault: func(f *Fake) Fault { return f.Takes },
			hears: payment.ChargeCaptured, stands: payment.ChargeCaptured,
		},
		"says": {
			fault: func(*Fake) Fault { return Says(func(c *Answer) { c.Status = payment.ChargeCaptured }) },
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
		charge, captureErr := f.Capture(t.Context(), "key", good.Amount)
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
		if err := errors.Join(err, voidErr); err != nil || charge.Status != payment.ChargeCaptured || charge.Captured != good.Amount {
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
