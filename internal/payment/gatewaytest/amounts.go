package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// amounts are demands on how much is taken and given back.
var amounts = []check{
	{"a_currency_it_does_not_take_is_refused", func(ctx context.Context, s Subject) error {
		key, foreign := newKey(), s.Good
		if s.Gateway.Capabilities().Currencies == nil {
			// Of a gateway that takes every currency, no charge changes its own.
			if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
				return err
			}
			foreign.Amount.Currency = other(s.Good.Amount.Currency)
			_, err := s.Gateway.Capture(ctx, key, foreign.Amount)
			return refused(ctx, s, key, err, payment.ChargeAuthorized, 0)
		}
		foreign.Amount = s.Foreign
		if _, err := s.Gateway.Authorize(ctx, key, foreign); !errors.Is(err, payment.ErrRefused) {
			return fmt.Errorf("a charge of %v gives %w; want ErrRefused", s.Foreign, orNone(err))
		}
		if _, err := s.Gateway.Lookup(ctx, key); !errors.Is(err, payment.ErrNoSuchCharge) {
			return fmt.Errorf("a charge of %v that was refused gives %w; want ErrNoSuchCharge", s.Foreign, orNone(err))
		}
		return nil
	}},
	{"a_part_is_captured_or_refused", func(ctx context.Context, s Subject) error {
		key, part := newKey(), third(s)
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		charge, err := s.Gateway.Capture(ctx, key, part)
		if !s.Gateway.Capabilities().PartialCapture {
			return refused(ctx, s, key, err, payment.ChargeAuthorized, 0)
		}
		if err := expect(charge, err, payment.ChargeCaptured, part.AmountMinor, 0); err != nil {
			return err
		}
		// The rest is let go: it is not taken any more, nor given back.
		charge, err = s.Gateway.Capture(ctx, key, s.Good.Amount)
		if err := expect(charge, err, payment.ChargeCaptured, part.AmountMinor, 0); err != nil {
			return err
		}
		_, err = s.Gateway.Refund(ctx, key, key+"/refund", s.Good.Amount)
		return refused(ctx, s, key, err, payment.ChargeCaptured, part.AmountMinor)
	}},
	{"no_more_is_captured_than_was_authorized", func(ctx context.Context, s Subject) error {
		key, more := newKey(), s.Good.Amount
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		more.AmountMinor++
		_, err := s.Gateway.Capture(ctx, key, more)
		return refused(ctx, s, key, err, payment.ChargeAuthorized, 0)
	}},
	{"refund_gives_back_once_per_key", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		refunds, err := inParallel(func(int) (payment.ChargeRefund, error) {
			return s.Gateway.Refund(ctx, key, key+"/refund", s.Good.Amount)
		})
		if err != nil {
			return err
		}
		for _, refund := range refunds {
			if refund != refunds[0] {
				return fmt.Errorf("one key has the refunds %+v and %+v", refunds[0], refund)
			}
		}
		if err := expectRefund(refunds[0], nil, payment.RefundDone, s.Good.Amount); err != nil {
			return err
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, s.Good.Amount.AmountMinor)
	}},
	{"a_refund_is_found_by_its_key", func(ctx context.Context, s Subject) error {
		key := newKey()
		if found, err := s.Gateway.LookupRefund(ctx, key, key+"/refund"); !errors.Is(err, payment.ErrNoSuchCharge) {
			return fmt.Errorf("a refund of an unknown charge is %+v, %w; want ErrNoSuchCharge", found, orNone(err))
		}
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		for range 2 { // who looks does not open one
			if found, err := s.Gateway.LookupRefund(ctx, key, key+"/refund"); !errors.Is(err, payment.ErrNoSuchRefund) {
				return fmt.Errorf("an unknown refund is %+v, %w; want ErrNoSuchRefund", found, orNone(err))
			}
		}
		made, err := s.Gateway.Refund(ctx, key, key+"/refund", third(s))
		if err := expectRefund(made, err, payment.RefundDone, third(s)); err != nil {
			return err
		}
		found, err := s.Gateway.LookupRefund(ctx, key, key+"/refund")
		if err != nil || found != made {
			return fmt.Errorf("one key has the refunds %+v and %+v: %w", made, found, orNone(err))
		}
		if _, err := s.Gateway.LookupRefund(ctx, key, key+"/refund/2"); !errors.Is(err, payment.ErrNoSuchRefund) {
			return fmt.Errorf("another refund of the charge gives %w; want ErrNoSuchRefund", orNone(err))
		}
		return nil
	}},
	{"parts_of_a_refund_add_up", func(ctx context.Context, s Subject) error {
		key, part := newKey(), third(s)
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		for i := range int64(2) {
			refund, err := s.Gateway.Refund(ctx, key, fmt.Sprintf("%s/refund/%d", key, i), part)
			if err := expectRefund(refund, err, payment.RefundDone, part); err != nil {
				return err
			}
			charge, err := s.Gateway.Lookup(ctx, key)
			if err := expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, (i+1)*part.AmountMinor); err != nil {
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
		var refusals atomic.Int32
		_, err := inParallel(func(i int) (payment.ChargeRefund, error) {
			refund, err := s.Gateway.Refund(ctx, key, fmt.Sprintf("%s/refund/%d", key, i), s.Good.Amount)
			if errors.Is(err, payment.ErrRefused) {
				refusals.Add(1)
				err = nil
			}
			return refund, err
		})
		if err != nil {
			return err
		}
		if n := refusals.Load(); n != crowd-1 {
			return fmt.Errorf("%d of %d full refunds were refused, want all but one", n, crowd)
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, s.Good.Amount.AmountMinor)
	}},
	{"a_refund_above_the_capture_is_refused", func(ctx context.Context, s Subject) error {
		key, more := newKey(), s.Good.Amount
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		more.AmountMinor++
		_, err := s.Gateway.Refund(ctx, key, key+"/refund", more)
		return refused(ctx, s, key, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor)
	}},
	{"a_refund_of_nothing_or_in_another_currency_is_refused", func(ctx context.Context, s Subject) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		for i, amount := range []money.Money{
			{AmountMinor: 0, Currency: s.Good.Amount.Currency},
			{AmountMinor: -1, Currency: s.Good.Amount.Currency},
			{AmountMinor: 1, Currency: other(s.Good.Amount.Currency)},
		} {
			_, err := s.Gateway.Refund(ctx, key, fmt.Sprintf("%s/refund/%d", key, i), amount)
			if err := refused(ctx, s, key, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor); err != nil {
				return fmt.Errorf("%v: %w", amount, err)
			}
		}
		return nil
	}},
	{"what_was_not_captured_is_not_refunded", func(ctx context.Context, s Subject) error {
		key := newKey()
		if _, err := s.Gateway.Authorize(ctx, key, s.Good); err != nil {
			return err
		}
		_, err := s.Gateway.Refund(ctx, key, key+"/refund", s.Good.Amount)
		return refused(ctx, s, key, err, payment.ChargeAuthorized, 0)
	}},
	{"refunds_by_hand_count", func(ctx context.Context, s Subject) error {
		key, part := newKey(), third(s)
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		if err := s.RefundByHand(ctx, key, part); err != nil {
			return err
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		if err := expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, part.AmountMinor); err != nil {
			return err
		}
		if _, err := s.Gateway.Refund(ctx, key, key+"/refund", s.Good.Amount); !errors.Is(err, payment.ErrRefused) {
			return fmt.Errorf("a full refund after one by hand gives %w; want ErrRefused", orNone(err))
		}
		return nil
	}},
}

// third returns a third of what is authorized for Good.
func third(s Subject) money.Money {
	part := s.Good.Amount
	part.AmountMinor /= 3
	return part
}

// other returns another currency.
func other(currency string) string {
	if currency == "JPY" {
		return "KRW"
	}
	return "JPY"
}

var errNone = errors.New("no error")

func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

// refused demands that a call was refused, and that its charge stands as it should, with nothing given back.
func refused(ctx context.Context, s Subject, key string, err error, status payment.ChargeStatus, captured int64) error {
	if !errors.Is(err, payment.ErrRefused) {
		return fmt.Errorf("the call gives %w; want ErrRefused", orNone(err))
	}
	charge, err := s.Gateway.Lookup(ctx, key)
	return expect(charge, err, status, captured, 0)
}

func expectRefund(got payment.ChargeRefund, err error, status payment.RefundStatus, amount money.Money) error {
	if err != nil {
		return err
	}
	if got.Status != status || got.Amount != amount || got.Reference == "" {
		return fmt.Errorf("the refund is %+v; want %v, %s, with a reference", got, amount, status)
	}
	return nil
}
