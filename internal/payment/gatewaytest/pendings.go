package gatewaytest

import (
	"context"
	"errors"
	"fmt"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// pendings are demands on what is decided later: by the customer, a bank or the gateway.
var pendings = []check{
	{"an_action_is_told_and_leads_on", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Actions {
			return actsAtOnce(ctx, s)
		}
		key, charge, err := pending(ctx, s, s.Action, payment.ChargeRequiresAction)
		if err != nil {
			return err
		}
		switch next := charge.Next.(type) {
		case payment.Redirect:
			if next.URL == "" {
				return errors.New("the customer is sent nowhere")
			}
		case payment.ConfirmOnClient:
			if next.ClientSecret == "" {
				return errors.New("the client has nothing to confirm with")
			}
		default:
			return fmt.Errorf("the charge requires the action %#v", next)
		}
		return resolved(ctx, s, key, s.Action.Amount)
	}},
	{"an_action_that_fails_is_a_decline", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Actions {
			return actsAtOnce(ctx, s)
		}
		key, _, err := pending(ctx, s, s.Action, payment.ChargeRequiresAction)
		if err != nil {
			return err
		}
		return failed(ctx, s, key)
	}},
	{"void_ends_an_action", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Actions {
			return actsAtOnce(ctx, s)
		}
		key, _, err := pending(ctx, s, s.Action, payment.ChargeRequiresAction)
		if err != nil {
			return err
		}
		charge, err := s.Gateway.Void(ctx, key)
		if err := expect(charge, err, payment.ChargeVoided, 0, 0); err != nil {
			return err
		}
		// A customer who comes too late may be told so.
		_ = s.Resolve(ctx, key, true)
		return staysVoided(ctx, s, key)
	}},
	{"what_is_processing_leads_on", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Asynchronous {
			return actsAtOnce(ctx, s)
		}
		key, charge, err := pending(ctx, s, s.Processing, payment.ChargeProcessing)
		if err != nil {
			return err
		}
		if charge.Next != nil {
			return fmt.Errorf("nobody waits for the customer, who has %#v to do", charge.Next)
		}
		return resolved(ctx, s, key, s.Processing.Amount)
	}},
	{"what_is_processing_can_fail", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Asynchronous {
			return actsAtOnce(ctx, s)
		}
		key, _, err := pending(ctx, s, s.Processing, payment.ChargeProcessing)
		if err != nil {
			return err
		}
		return failed(ctx, s, key)
	}},
	{"void_ends_what_is_processing_or_leaves_it", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Asynchronous {
			return actsAtOnce(ctx, s)
		}
		key, _, err := pending(ctx, s, s.Processing, payment.ChargeProcessing)
		if err != nil {
			return err
		}
		charge, err := s.Gateway.Void(ctx, key)
		if err != nil {
			return err
		}
		if charge.Status != payment.ChargeProcessing {
			return staysVoided(ctx, s, key)
		}
		if err := s.Resolve(ctx, key, false); err != nil {
			return err
		}
		charge, err = s.Gateway.Void(ctx, key)
		return expectEnd(charge, err)
	}},
	{"a_pending_refund_counts_once_it_is_done", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Asynchronous {
			return refundsAtOnce(ctx, s)
		}
		key, err := pendingRefund(ctx, s)
		if err != nil {
			return err
		}
		if err := s.Resolve(ctx, key, true); err != nil {
			return err
		}
		refund, err := s.Gateway.Refund(ctx, key, key+"/refund", s.SlowRefund)
		if err := expectRefund(refund, err, payment.RefundDone, s.SlowRefund); err != nil {
			return err
		}
		if found, err := s.Gateway.LookupRefund(ctx, key, key+"/refund"); err != nil || found != refund {
			return fmt.Errorf("the refund %+v is found as %+v: %w", refund, found, orNone(err))
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		return expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, s.SlowRefund.AmountMinor)
	}},
	{"a_refund_that_fails_is_no_refund", func(ctx context.Context, s Subject) error {
		if !s.Gateway.Capabilities().Asynchronous {
			return refundsAtOnce(ctx, s)
		}
		key, err := pendingRefund(ctx, s)
		if err != nil {
			return err
		}
		if err := s.Resolve(ctx, key, false); err != nil {
			return err
		}
		refund, err := s.Gateway.Refund(ctx, key, key+"/refund", s.SlowRefund)
		if err := expectRefund(refund, err, payment.RefundFailed, s.SlowRefund); err != nil {
			return err
		}
		if found, err := s.Gateway.LookupRefund(ctx, key, key+"/refund"); err != nil || found != refund {
			return fmt.Errorf("the refund %+v is found as %+v: %w", refund, found, orNone(err))
		}
		charge, err := s.Gateway.Lookup(ctx, key)
		if err := expect(charge, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor, 0); err != nil {
			return err
		}
		// What did not go back can still go back, by another key.
		refund, err = s.Gateway.Refund(ctx, key, key+"/again", s.Good.Amount)
		return expectRefund(refund, err, payment.RefundDone, s.Good.Amount)
	}},
}

// actsAtOnce demands that a gateway which is never pending decides at once.
func actsAtOnce(ctx context.Context, s Subject) error {
	key := newKey()
	charge, err := s.Gateway.Authorize(ctx, key, s.Good)
	if err := expect(charge, err, payment.ChargeAuthorized, 0, 0); err != nil {
		return err
	}
	if charge.Next != nil {
		return fmt.Errorf("a charge of a gateway without actions requires %#v", charge.Next)
	}
	return unchanged(ctx, s, key, charge)
}

// refundsAtOnce demands that a gateway which is never pending gives back at once.
func refundsAtOnce(ctx context.Context, s Subject) error {
	key := newKey()
	if err := capture(ctx, s, key); err != nil {
		return err
	}
	refund, err := s.Gateway.Refund(ctx, key, key+"/refund", third(s))
	return expectRefund(refund, err, payment.RefundDone, third(s))
}

// pending opens a charge that is pending, and demands that asking again and capturing change nothing about that.
func pending(ctx context.Context, s Subject, request payment.Request, status payment.ChargeStatus) (key string, charge payment.Charge, err error) {
	key = newKey()
	charge, err = s.Gateway.Authorize(ctx, key, request)
	if err := expect(charge, err, status, 0, 0); err != nil {
		return key, charge, err
	}
	if charge.Reference == "" {
		return key, charge, errors.New("the charge has no reference")
	}
	for _, call := range []func() (payment.Charge, error){
		func() (payment.Charge, error) { return s.Gateway.Lookup(ctx, key) },
		func() (payment.Charge, error) { return s.Gateway.Authorize(ctx, key, request) },
		func() (payment.Charge, error) { return s.Gateway.Capture(ctx, key, request.Amount) },
		func() (payment.Charge, error) { return s.Gateway.Lookup(ctx, key) },
	} {
		again, err := call()
		if err := errors.Join(err, same(charge, again)); err != nil {
			return key, charge, err
		}
	}
	return key, charge, nil
}

// resolved lets a pending charge end well, and demands that it is captured once, if the gateway has not done so by itself.
func resolved(ctx context.Context, s Subject, key string, amount money.Money) error {
	if err := s.Resolve(ctx, key, true); err != nil {
		return err
	}
	charge, err := s.Gateway.Lookup(ctx, key)
	if err != nil {
		return err
	}
	if charge.Status != payment.ChargeAuthorized && charge.Status != payment.ChargeCaptured || charge.Next != nil {
		return fmt.Errorf("what ended well is %+v", charge)
	}
	charge, err = s.Gateway.Capture(ctx, key, amount)
	return expect(charge, err, payment.ChargeCaptured, amount.AmountMinor, 0)
}

// failed lets a pending charge end badly, and demands that it is declined for good.
func failed(ctx context.Context, s Subject, key string) error {
	if err := s.Resolve(ctx, key, false); err != nil {
		return err
	}
	charge, err := s.Gateway.Lookup(ctx, key)
	if err := expect(charge, err, payment.ChargeDeclined, 0, 0); err != nil {
		return err
	}
	if charge.DeclineCode == "" || charge.Next != nil {
		return fmt.Errorf("what failed is %+v; want a code, and nothing to do", charge)
	}
	captured, err := s.Gateway.Capture(ctx, key, s.Good.Amount)
	return errors.Join(err, same(charge, captured))
}

// pendingRefund opens a refund that is pending, and demands that it has not gone back and cannot go back twice.
func pendingRefund(ctx context.Context, s Subject) (key string, err error) {
	key = newKey()
	if err := capture(ctx, s, key); err != nil {
		return key, err
	}
	for range 2 {
		refund, err := s.Gateway.Refund(ctx, key, key+"/refund", s.SlowRefund)
		if err := expectRefund(refund, err, payment.RefundPending, s.SlowRefund); err != nil {
			return key, err
		}
	}
	_, err = s.Gateway.Refund(ctx, key, key+"/all", s.Good.Amount)
	return key, refused(ctx, s, key, err, payment.ChargeCaptured, s.Good.Amount.AmountMinor)
}

// expectEnd demands that nothing was taken, and nothing will be.
func expectEnd(got payment.Charge, err error) error {
	if err == nil && got.Status != payment.ChargeVoided && got.Status != payment.ChargeDeclined {
		err = fmt.Errorf("the charge is %+v; want it over", got)
	}
	return err
}
