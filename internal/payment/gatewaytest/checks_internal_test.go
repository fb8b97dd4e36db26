package gatewaytest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// TestChecks_find_each_fault spoils a gateway in one way after the other; the suite must notice each.
func TestChecks_find_each_fault(t *testing.T) {
	t.Parallel()
	type charge = payment.Charge
	faults := map[string]*bent{
		"has_a_name": {name: "none"},
		"authorize_reserves_and_takes_nothing": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			_, err := f.Authorize(ctx, key, request)
			if err != nil {
				return charge{}, err
			}
			return f.Capture(ctx, key, request.Amount)
		}},
		"authorize_twice_is_one_charge": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			c, err := f.Authorize(ctx, key, request)
			c.Reference = newKey()
			return c, err
		}},
		"authorize_in_parallel_is_one_charge": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			c, err := f.Authorize(ctx, key, request)
			c.Reference = newKey()
			return c, err
		}},
		"a_key_keeps_its_first_amount": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			c, err := f.Authorize(ctx, key, request)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.charges[key].amount = request.Amount
			return c, err
		}},
		"a_decline_is_an_answer_and_final": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			c, err := issue(f, ctx, key, request)
			if c.Status == payment.ChargeDeclined {
				return charge{}, errors.New("declined")
			}
			return c, err
		}},
		"capture_takes_the_whole_amount_once": {capture: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := f.Capture(ctx, key, amount)
			c.Captured.AmountMinor--
			return c, err
		}},
		"authorize_after_capture_tells_of_the_capture": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			c, err := f.Authorize(ctx, key, request)
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
		}, capture: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			c, err := f.Capture(ctx, key, amount)
			c.Status = payment.ChargeCaptured
			return c, err
		}},
		"void_leaves_a_captured_charge": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Void(ctx, key)
			c.Status = payment.ChargeVoided
			return c, err
		}},
		"offers_an_instrument": {nothing: true},
		"a_currency_it_does_not_take_is_refused": {capture: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			amount.Currency = "NZD"
			return f.Capture(ctx, key, amount)
		}},
		"a_part_is_captured_or_refused": {capture: func(f *Fake, ctx context.Context, key string, _ money.Money) (charge, error) {
			return f.Capture(ctx, key, good.Amount)
		}},
		"no_more_is_captured_than_was_authorized": {capture: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			amount.AmountMinor = min(amount.AmountMinor, good.Amount.AmountMinor)
			return f.Capture(ctx, key, amount)
		}},
		"refund_gives_back_once_per_key": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			return f.Refund(ctx, key, refundKey+newKey(), amount)
		}},
		"a_refund_is_found_by_its_key": {find: func(f *Fake, ctx context.Context, key, refundKey string) (payment.ChargeRefund, error) {
			return f.Refund(ctx, key, refundKey, money.Money{AmountMinor: good.Amount.AmountMinor / 3, Currency: good.Amount.Currency})
		}},
		"parts_of_a_refund_add_up": {refund: func(f *Fake, ctx context.Context, key, _ string, amount money.Money) (payment.ChargeRefund, error) {
			return f.Refund(ctx, key, key, amount)
		}},
		"refunds_never_exceed_the_capture": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			f.mu.Lock()
			f.charges[key].charge.Refunded = money.Money{Currency: amount.Currency}
			f.mu.Unlock()
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"a_refund_above_the_capture_is_refused": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			amount.AmountMinor = min(amount.AmountMinor, f.Charges()[key].Captured.AmountMinor)
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"a_refund_of_nothing_or_in_another_currency_is_refused": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			amount.Currency = "NZD"
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"what_was_not_captured_is_not_refunded": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			if c, err := f.Lookup(ctx, key); err != nil || c.Status == payment.ChargeAuthorized {
				return payment.ChargeRefund{}, err
			}
			return f.Refund(ctx, key, refundKey, amount)
		}},
		"refunds_by_hand_count": {lookup: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Lookup(ctx, key)
			c.Refunded.AmountMinor = 0
			return c, err
		}},
		"an_action_is_told_and_leads_on": {lookup: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Lookup(ctx, key)
			c.Next = nil
			return c, err
		}},
		"an_action_that_fails_is_a_decline": {lookup: failsAs(payment.ChargeVoided)},
		"void_ends_an_action":               {void: func(f *Fake, ctx context.Context, key string) (charge, error) { return f.Lookup(ctx, key) }},
		"what_is_processing_leads_on": {capture: func(f *Fake, ctx context.Context, key string, amount money.Money) (charge, error) {
			f.Resolve(key, true)
			return f.Capture(ctx, key, amount)
		}},
		"what_is_processing_can_fail": {lookup: failsAs(payment.ChargeProcessing)},
		"void_ends_what_is_processing_or_leaves_it": {void: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Lookup(ctx, key)
			c.Status = payment.ChargeVoided
			return c, err
		}},
		"a_pending_refund_counts_once_it_is_done": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			r, err := f.Refund(ctx, key, refundKey, amount)
			r.Status = payment.RefundPending
			return r, err
		}},
		"a_refund_that_fails_is_no_refund": {refund: func(f *Fake, ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
			r, err := slowly(f, ctx, key, refundKey, amount)
			if r.Status == payment.RefundFailed {
				r.Status = payment.RefundDone
			}
			return r, err
		}},
		"a_webhook_tells_of_its_charge": {verify: func(f *Fake, header http.Header, body []byte, now time.Time) (payment.Event, error) {
			event, err := f.Verify(header, body, now)
			event.Key = ""
			return event, err
		}},
		"a_webhook_sent_again_has_the_same_id": {verify: func(f *Fake, header http.Header, body []byte, now time.Time) (payment.Event, error) {
			event, err := f.Verify(header, body, now)
			event.ID += now.String()
			return event, err
		}},
		"an_unsigned_webhook_is_forged": {verify: func(f *Fake, header http.Header, body []byte, now time.Time) (payment.Event, error) {
			if len(header) == 0 {
				return payment.Event{}, nil
			}
			return f.Verify(header, body, now)
		}},
		"a_webhook_with_any_byte_changed_is_forged":                {verify: trusting},
		"a_webhook_written_anew_is_forged":                         {verify: trusting},
		"a_webhook_with_another_signature_is_forged":               {verify: trustingTheTime},
		"a_webhook_of_long_ago_is_forged_where_the_time_is_signed": {verify: trustingTheTime},
		"the_list_has_what_is_looked_up": {booked: func(f *Fake, ctx context.Context, from, to time.Time, after string) ([]payment.BookedCharge, string, error) {
			page, next, err := f.Booked(ctx, from, to, after)
			for i := range page {
				page[i].Refunded.AmountMinor = 0
			}
			return page, next, err
		}},
		"the_list_goes_on_from_page_to_page": {booked: func(f *Fake, ctx context.Context, from, to time.Time, after string) ([]payment.BookedCharge, string, error) {
			page, next, err := f.Booked(ctx, from, to, after)
			return page[:len(page)-1], next, err
		}},
		"the_list_keeps_to_its_period": {booked: func(f *Fake, ctx context.Context, _, to time.Time, after string) ([]payment.BookedCharge, string, error) {
			return f.Booked(ctx, time.Time{}, to, after)
		}},
		"an_unknown_key_is_no_such_charge": {lookup: func(f *Fake, ctx context.Context, key string) (charge, error) {
			c, err := f.Lookup(ctx, key)
			if errors.Is(err, payment.ErrNoSuchCharge) {
				err = ErrNoAnswer
			}
			return c, err
		}},
		"a_lost_answer_is_found_again": {authorize: func(f *Fake, ctx context.Context, key string, request payment.Request) (charge, error) {
			if request == lost {
				return charge{}, ErrNoAnswer
			}
			return issue(f, ctx, key, request)
		}},
		"an_ended_context_ends_the_call": {capture: func(f *Fake, _ context.Context, key string, amount money.Money) (charge, error) {
			return f.Capture(t.Context(), key, amount)
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

// failsAs is a Lookup that says otherwise of what was declined.
func failsAs(status payment.ChargeStatus) func(f *Fake, ctx context.Context, key string) (payment.Charge, error) {
	return func(f *Fake, ctx context.Context, key string) (payment.Charge, error) {
		c, err := f.Lookup(ctx, key)
		if c.Status == payment.ChargeDeclined {
			c.Status = status
		}
		return c, err
	}
}

// trusting believes whatever it can read, as long as it is signed at all.
func trusting(_ *Fake, header http.Header, body []byte, _ time.Time) (payment.Event, error) {
	if len(header) == 0 {
		return payment.Event{}, payment.ErrForged
	}
	return readEvent(body)
}

// trustingTheTime does not look at the time, and does with a signature that is no number what it likes.
func trustingTheTime(f *Fake, header http.Header, body []byte, _ time.Time) (payment.Event, error) {
	if len(header) == 0 {
		return payment.Event{}, payment.ErrForged
	}
	event, err := trusting(f, header, body, time.Time{})
	event.OccurredAt = event.OccurredAt.Add(time.Duration(len(header.Get(fakeSignature))))
	return event, err
}
