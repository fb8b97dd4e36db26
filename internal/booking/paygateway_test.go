package booking_test

import (
	"context"
	"errors"
	"testing"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// outcome is what a story of a payment must come to, in three looks: the answer, the state after it, and the state when
// the reconciler has been there.
type outcome struct {
	result   any // of the kind that Pay answers with
	code     string
	stored   string
	attempts []payment.AttemptStatus
	settled  string
	final    []payment.AttemptStatus
	captured int64

	meanwhile func(f *gatewaytest.Fake) // what will go wrong for the reconciler; nil: nothing
}

// TestService_Pay_gateway leads a payment through every way a gateway can behave.
func TestService_Pay_gateway(t *testing.T) {
	t.Parallel()
	const (
		started, authorized, captured = payment.AttemptStarted, payment.AttemptAuthorized, payment.AttemptCaptured
		declined, voiding, voided     = payment.AttemptDeclined, payment.AttemptVoidPending, payment.AttemptVoided
		authorize, capture            = gatewaytest.Authorize, gatewaytest.Capture
		void, lookup                  = gatewaytest.Void, gatewaytest.Lookup
	)
	h := newHouse(t, fixture.Plan{Seats: 100})
	is := func(states ...payment.AttemptStatus) []payment.AttemptStatus { return states }
	lostDecline := func(f *gatewaytest.Fake) gatewaytest.Fault {
		return func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
			_, err := f.Declines("do_not_honor")(ctx, key, effect)
			return gatewaytest.Answer{}, errors.Join(gatewaytest.ErrNoAnswer, err)
		}
	}
	paid := outcome{result: booking.Paid{}, stored: "CONFIRMED", attempts: is(captured), settled: "CONFIRMED", final: is(captured), captured: 1200}
	later := func(now payment.AttemptStatus) outcome {
		return outcome{result: booking.Pending{}, stored: "HELD", attempts: is(now), settled: "CONFIRMED", final: is(captured), captured: 1200}
	}
	givenUp := outcome{result: booking.Pending{}, stored: "HELD", attempts: is(started), settled: "HELD", final: is(voided)}
	refusal := func(code string) outcome {
		return outcome{result: booking.Declined{}, code: code, stored: "HELD", attempts: is(declined), settled: "HELD", final: is(declined)}
	}
	lapsed := outcome{
		result: booking.Declined{}, code: "authorization_lapsed", stored: "HELD", attempts: is(voided), settled: "HELD", final: is(voided),
	}
	givenBack := outcome{
		result: booking.Expired{}, stored: "HELD", attempts: is(payment.AttemptRefunded), settled: "EXPIRED", final: is(payment.AttemptRefunded),
	}
	expired := outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voided), settled: "HELD", final: is(voided)}
	for name, test := range map[string]struct {
		faults func(t *testing.T, h *house, r booking.Reservation)
		want   outcome
	}{
		"all_is_well": {func(*testing.T, *house, booking.Reservation) {}, paid},
		"the_issuer_declines": {func(_ *testing.T, h *house, _ booking.Reservation) {
			h.gateway.Next(authorize, h.gateway.Declines("insufficient_funds"))
		}, refusal("insufficient_funds")},
		"the_issuer_declines_without_a_word": {
			func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(authorize, h.gateway.Declines("")) }, refusal(payment.DeclineNoAnswer),
		},
		"authorize_unanswered_and_lookup_finds_it_authorized": {
			func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(authorize, gatewaytest.AnswerLost) }, paid,
		},
		"authorize_unanswered_and_lookup_finds_it_declined": {
			func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(authorize, lostDecline(h.gateway)) }, refusal("do_not_honor"),
		},
		"authorize_unanswered_and_lookup_too": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.AnswerLost)
				h.gateway.Next(lookup, gatewaytest.NeverArrives)
			}, later(started),
		},
		"authorize_never_arrives": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.NeverArrives)
			}, givenUp,
		},
		"authorize_takes_the_money_at_once": {
			func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(authorize, h.gateway.Takes) }, paid,
		},
		"authorize_takes_the_money_unanswered": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(authorize, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
					_, err := h.gateway.Takes(ctx, key, effect)
					return gatewaytest.Answer{}, errors.Join(gatewaytest.ErrNoAnswer, err)
				})
			}, paid,
		},
		"the_hold_runs_out_and_authorize_takes_the_money": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
					h.lose(t, r)
					return h.gateway.Takes(ctx, key, effect)
				})
			}, givenBack,
		},
		"the_hold_runs_out_and_void_finds_the_money_taken": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.lose(t, r) }))
				h.gateway.Next(void, h.gateway.Takes)
			}, givenBack,
		},
		"a_lapse_was_none_and_void_finds_the_money_taken": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(capture, func(context.Context, string, gatewaytest.Effect) (gatewaytest.Answer, error) {
					return gatewaytest.Answer{Charge: payment.Charge{Status: payment.ChargeVoided}}, nil
				})
				h.gateway.Next(void, h.gateway.Takes)
			}, outcome{
				result: booking.Declined{}, code: "authorization_lapsed", stored: "HELD", attempts: is(payment.AttemptRefunded),
				settled: "HELD", final: is(payment.AttemptRefunded),
			},
		},
		"authorize_unanswered_and_the_gateway_forgets_for_a_while": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.AnswerLost)
				h.gateway.Next(lookup, forgets)
			}, outcome{
				result: booking.Pending{}, stored: "HELD", attempts: is(started), settled: "HELD", final: is(payment.AttemptRefunded),
				meanwhile: func(f *gatewaytest.Fake) {
					f.Next(lookup, forgets)
					f.Next(void, f.Takes)
				},
			},
		},
		"authorize_says_nonsense": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.Says(func(c *gatewaytest.Answer) { c.Status = "<html>" }))
			}, later(started),
		},
		"capture_unanswered_and_lookup_finds_it_captured": {
			func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(capture, gatewaytest.AnswerLost) }, paid,
		},
		"capture_unanswered_and_still_authorized": {
			func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(capture, gatewaytest.NeverArrives) }, later(authorized),
		},
		"capture_unanswered_and_lookup_too": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(capture, gatewaytest.AnswerLost)
				h.gateway.Next(lookup, gatewaytest.NeverArrives)
			}, later(authorized),
		},
		"capture_finds_it_voided": {func(_ *testing.T, h *house, _ booking.Reservation) { h.gateway.Next(capture, h.gateway.Lapses) }, lapsed},
		"capture_says_that_it_took_less": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(capture, gatewaytest.Says(func(c *gatewaytest.Answer) { c.Captured.AmountMinor-- }))
			}, paid,
		},
		"capture_says_that_it_took_more": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(capture, gatewaytest.Says(func(c *gatewaytest.Answer) { c.Captured.AmountMinor++ }))
			}, paid,
		},
		"capture_says_that_it_took_another_currency": {
			func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(capture, gatewaytest.Says(func(c *gatewaytest.Answer) { c.Captured.Currency = "AUD" }))
			}, paid,
		},
		"the_hold_runs_out_during_authorize": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.lose(t, r) }))
			}, with(expired, "EXPIRED"),
		},
		"the_hold_runs_out_and_is_swept_during_authorize": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.Before(func() {
					h.lose(t, r)
					if _, _, err := h.booking.Sweep(t.Context()); err != nil {
						t.Error(err)
					}
				}))
			}, outcome{result: booking.Expired{}, stored: "EXPIRED", attempts: is(voided), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_and_void_never_arrives": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.lose(t, r) }))
				h.gateway.Next(void, gatewaytest.NeverArrives)
			}, outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voiding), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_and_void_is_unanswered": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.lose(t, r) }))
				h.gateway.Next(void, gatewaytest.AnswerLost)
			}, outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voiding), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_and_void_says_it_is_authorized_still": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.lose(t, r) }))
				h.gateway.Next(void, gatewaytest.Says(func(c *gatewaytest.Answer) { c.Status = payment.ChargeAuthorized }))
			}, outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voiding), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_before_a_decline": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
					h.lose(t, r)
					return h.gateway.Declines("do_not_honor")(ctx, key, effect)
				})
			}, outcome{result: booking.Declined{}, code: "do_not_honor", stored: "HELD", attempts: is(declined), settled: "EXPIRED", final: is(declined)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, before := newViewer(), h.captured()
			r := h.hold(t, viewer, h.fresh(1)...)
			h.hints.take()
			test.faults(t, h, r)
			in := payInput(r)
			result, err := h.booking.Pay(t.Context(), viewer, in)
			h.check(t, "the answer", r, result, err, test.want.result, test.want.code)
			h.wantStored(t, "after the answer", r, test.want.stored)
			h.wantAttempts(t, r, test.want.attempts...)
			if left := h.gateway.Pending(); len(left) != 0 {
				t.Errorf("%v did not happen", left)
			}

			if test.want.meanwhile != nil {
				test.want.meanwhile(h.gateway)
			}
			h.reconcile(t)
			if _, _, err := h.booking.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.wantStored(t, "in the end", r, test.want.settled)
			h.wantAttempts(t, r, test.want.final...)
			if got := h.captured() - before; got != test.want.captured {
				t.Errorf("the gateway has %d, want %d", got, test.want.captured)
			}
			if h.hints.take()[h.Show()] == 0 && test.want.settled != "HELD" {
				t.Error("no hint was given")
			}
			h.rests(t)

			// The same key tells how it ended.
			calls := len(h.gateway.Calls())
			result, err = h.booking.Pay(t.Context(), viewer, in)
			want, code := test.want.result, test.want.code
			if _, pending := want.(booking.Pending); pending && test.want.settled == "CONFIRMED" {
				want = booking.Paid{}
			} else if pending {
				want, code = booking.Declined{}, payment.DeclineNoAnswer
			}
			h.check(t, "the answer again", r, result, err, want, code)
			if len(h.gateway.Calls()) != calls {
				t.Error("asking again called the gateway")
			}

			// What is still held can be paid with another card.
			if test.want.settled == "HELD" {
				result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
				h.check(t, "another card", r, result, err, booking.Paid{}, "")
				h.wantAttempts(t, r, append(test.want.final, captured)...)
				if got := h.captured() - before; got != 1200 {
					t.Errorf("the gateway has %d, want 1200", got)
				}
				h.rests(t)
			}
		})
	}
}

// forgets is a gateway that does not know yet what it has done.
func forgets(context.Context, string, gatewaytest.Effect) (gatewaytest.Answer, error) {
	return gatewaytest.Answer{}, payment.ErrNoSuchCharge
}

// with is an outcome after which the sweeper finds the hold expired.
func with(o outcome, settled string) outcome {
	o.settled = settled
	return o
}

// check compares the kind of a result, its decline code and its reservation.
func (*house) check(t *testing.T, when string, r booking.Reservation, result booking.PayResult, err error, want any, code string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	var got booking.Reservation
	var kind bool
	switch result := result.(type) {
	case booking.Paid:
		_, kind = want.(booking.Paid)
		got = result.Reservation
	case booking.Declined:
		_, kind = want.(booking.Declined)
		got = result.Reservation
		if result.Code != code {
			t.Errorf("%s: declined with %q, want %q", when, result.Code, code)
		}
	case booking.Expired:
		_, kind = want.(booking.Expired)
		got = result.Reservation
	case booking.Pending:
		_, kind = want.(booking.Pending)
		got = result.Reservation
	}
	if !kind || got.ID != r.ID {
		t.Fatalf("%s is %#v; want a %T of %s", when, result, want, r.ID)
	}
}

func (h *house) wantStored(t *testing.T, when string, r booking.Reservation, want string) {
	t.Helper()
	if got := h.stored(t, r); got != want {
		t.Errorf("%s the reservation is %s, want %s", when, got, want)
	}
}
