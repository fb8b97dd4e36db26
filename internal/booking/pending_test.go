package booking_test

import (
	"context"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// steps are what customers have to do while a charge is pending.
var steps = map[string]payment.NextStep{
	"the_customer_is_sent_away": payment.Redirect{URL: "https://bank.example/challenge"},
	"the_client_has_to_confirm": payment.ConfirmOnClient{PublicKey: "pk", ClientSecret: "secret"},
	"the_bank_takes_its_time":   nil,
}

// TestService_Pay_pending leads payments on whose charge nothing is decided when they are made.
func TestService_Pay_pending(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	for name, step := range steps {
		fault := h.gateway.RequiresAction(step)
		if step == nil {
			fault = h.gateway.Processes
		}
		for end, test := range map[string]struct {
			meanwhile func(r booking.Reservation, key string)
			attempt   payment.AttemptStatus
			stored    string
			captured  int64
		}{
			"ends_well": {func(_ booking.Reservation, key string) { h.gateway.Resolve(key, true) }, payment.AttemptCaptured, "CONFIRMED", 1200},
			"fails":     {func(_ booking.Reservation, key string) { h.gateway.Resolve(key, false) }, payment.AttemptDeclined, "HELD", 0},
			"is_late": {
				func(r booking.Reservation, _ string) { h.Expire(t, h.Show(), r.ID) }, payment.AttemptVoided, "EXPIRED", 0,
			},
			"ends_well_too_late": {func(r booking.Reservation, key string) {
				h.Expire(t, h.Show(), r.ID)
				h.gateway.Resolve(key, true)
			}, payment.AttemptCaptured, "CONFIRMED", 1200}, // since the seats are free
			"cannot_be_stopped_when_it_is_late": {func(r booking.Reservation, key string) {
				h.Expire(t, h.Show(), r.ID)
				h.gateway.Next(gatewaytest.Void, func(context.Context, string, gatewaytest.Effect) (gatewaytest.Answer, error) {
					return gatewaytest.Answer{Charge: payment.Charge{Status: payment.ChargeProcessing}}, nil
				})
				h.reconcile(t)
				h.wantAttempts(t, r, payment.AttemptVoidPending)
				h.gateway.Resolve(key, true)
				h.gateway.Next(gatewaytest.Void, h.gateway.Takes)
			}, payment.AttemptRefunded, "EXPIRED", 0},
		} {
			t.Run(name+"_and_"+end, func(t *testing.T) {
				viewer, before := newViewer(), h.captured()
				r := h.hold(t, viewer, h.fresh(1)...)
				h.gateway.Next(gatewaytest.Authorize, fault)
				captures, authorizes := h.gateway.Count(gatewaytest.Capture), h.gateway.Count(gatewaytest.Authorize)
				in := payInput(r)
				for range 2 {
					result, err := h.booking.Pay(t.Context(), viewer, in)
					if next := is[booking.Pending](t, result, err).Next; next != step {
						t.Errorf("the customer has %#v to do, want %#v", next, step)
					}
					h.wantAttempts(t, r, payment.AttemptStarted)
					if n := h.reconcile(t); n != 0 {
						t.Errorf("%d settled while nothing is decided", n)
					}
				}
				// Another attempt would be a second charge.
				result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
				is[booking.Pending](t, result, err)
				if n := h.gateway.Count(gatewaytest.Capture) - captures; n != 0 {
					t.Errorf("%d captures of a pending charge", n)
				}
				if n := h.gateway.Count(gatewaytest.Authorize) - authorizes; n != 1 {
					t.Errorf("the gateway was asked %d times to authorize", n)
				}

				test.meanwhile(r, fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID))
				h.reconcile(t)
				if _, _, err := h.booking.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.wantAttempts(t, r, test.attempt)
				h.wantStored(t, "in the end", r, test.stored)
				if got := h.captured() - before; got != test.captured {
					t.Errorf("the gateway has %d, want %d", got, test.captured)
				}
				h.rests(t)
			})
		}
	}
}

// TestService_Pay_back_from_the_bank: who comes back asks again and need not wait, however it ended; who never left learns nothing.
func TestService_Pay_back_from_the_bank(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	for name, test := range map[string]struct {
		well   bool
		status string
	}{"well": {true, "CONFIRMED"}, "badly": {false, "HELD"}} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			r := h.hold(t, viewer, h.fresh(1)...)
			h.gateway.Next(gatewaytest.Authorize, h.gateway.RequiresAction(steps["the_customer_is_sent_away"]))
			in := payInput(r)
			in.Token, in.ReturnURL = "tok_1", "https://tickets.example/paid"
			result, err := h.booking.Pay(t.Context(), viewer, in)
			is[booking.Pending](t, result, err)
			h.gateway.Resolve(fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID), test.well)
			ask := func() (decided bool) {
				result, err := h.booking.Pay(t.Context(), viewer, in)
				_, paid := result.(booking.Paid)
				_, declined := result.(booking.Declined)
				if err != nil || paid && !test.well || declined && test.well {
					t.Errorf("back from the bank: %#v, %v", result, err)
				}
				return paid || declined
			}
			// In as many tabs as they like: one of them finds out, others may be asked to wait for it.
			together(4, func(int) { ask() })
			if !ask() {
				t.Error("it is not decided")
			}
			h.wantStored(t, "in the end", r, test.status)
			other := in
			other.Token = "tok_2"
			if _, err := h.booking.Pay(t.Context(), viewer, other); apperr.CodeOf(err) != apperr.IdempotencyKeyReused {
				t.Errorf("another card with the same key: %v", err)
			}
			h.rests(t)
		})
	}
}

// TestService_Pay_pending_hold: customers get the time for what their bank asks of them once, and no more than a hold can last.
func TestService_Pay_pending_hold(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	const left = `SELECT extract(epoch FROM held_until - now())::bigint FROM reservations WHERE id = $1`
	soon := func(t *testing.T, r booking.Reservation) {
		t.Helper()
		h.Exec(t, `UPDATE reservations SET held_until = now() + interval '1 minute' WHERE id = $1`, r.ID)
		h.Exec(t, `UPDATE seat_claims SET held_until = now() + interval '1 minute' WHERE reservation_id = $1`, r.ID)
	}
	for name, test := range map[string]struct {
		age   string
		pays  time.Duration // that the hold has left while the charge is pending
		again time.Duration // that it has left after it was asked for again
	}{
		"a_fresh_hold_has_its_time_again": {"0 minutes", settings.Hold, time.Minute},
		"an_old_one_has_what_is_left":     {"25 minutes", 5 * time.Minute, time.Minute},
		"one_at_its_limit_has_no_more":    {"30 minutes", time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			r := h.hold(t, viewer, h.fresh(1)...)
			h.Exec(t, `UPDATE reservations SET created_at = now() - $2::interval WHERE id = $1`, r.ID, test.age)
			soon(t, r)
			h.hints.take()
			h.gateway.Next(gatewaytest.Authorize, h.gateway.Processes)
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Pending](t, result, err)
			near := func(what string, want time.Duration) {
				t.Helper()
				if got := time.Duration(fixture.Get[int64](t, h.DB, left, r.ID)) * time.Second; (got - want).Abs() > 20*time.Second {
					t.Errorf("%s the hold has %s left, want %s", what, got, want)
				}
			}
			near("while the charge is pending", test.pays)
			if hinted := h.hints.take()[h.Show()] > 0; hinted != (test.pays > time.Minute) {
				t.Errorf("hinted %t", hinted)
			}
			soon(t, r)
			h.reconcile(t)
			near("asked again,", test.again)
		})
	}
}

// TestService_Cancel_pending_refund: money on its way back is not back, and what goes back by hand is.
func TestService_Cancel_pending_refund(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	key := func(t *testing.T, r booking.Reservation) string {
		t.Helper()
		return fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID)
	}
	t.Run("is_done_once_the_gateway_says_so", func(t *testing.T) {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(1)...)
		h.gateway.Next(gatewaytest.Refund, h.gateway.RefundsLater)
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, result, err)
		for range 2 {
			h.wantRefunds(t, r, "1200 CUSTOMER PENDING")
			if n := h.reconcile(t); n != 0 {
				t.Errorf("%d settled while the refund is on its way", n)
			}
		}
		h.gateway.Resolve(key(t, r), true)
		h.reconcile(t)
		h.wantRefunds(t, r, "1200 CUSTOMER DONE")
		h.rests(t)
	})
	t.Run("that_fails_is_never_shown_as_done", func(t *testing.T) {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(1)...)
		h.gateway.Next(gatewaytest.Refund, h.gateway.RefundsLater)
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, result, err)
		h.gateway.Resolve(key(t, r), false)
		h.reconcile(t)
		h.wantRefunds(t, r, "1200 CUSTOMER PENDING")
		if p := h.paymentOf(t, r); p.Status != payment.StatusRefundPending || p.Refunded != nzd(0) {
			t.Errorf("the payment is %+v", p)
		} else if p.Refunds[0].Shown() != payment.RefundFailed {
			t.Errorf("its customer is told %s", p.Refunds[0].Shown())
		}
		h.reconcile(t)
		h.wantRefunds(t, r, "1200 CUSTOMER DONE")
	})
	t.Run("that_went_back_by_hand_is_done", func(t *testing.T) {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(1)...)
		if err := h.gateway.RefundByHand(key(t, r), nzd(1200)); err != nil {
			t.Fatal(err)
		}
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, result, err)
		h.wantRefunds(t, r, "1200 CUSTOMER DONE")
	})
	t.Run("of_which_a_part_went_back_by_hand_is_asked_for_the_rest", func(t *testing.T) {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(1)...)
		if err := h.gateway.RefundByHand(key(t, r), nzd(200)); err != nil {
			t.Fatal(err)
		}
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, result, err)
		h.wantRefunds(t, r, "1200 CUSTOMER DONE")
		if charge := h.gateway.Charges()[key(t, r)]; charge.Refunded != nzd(1200) {
			t.Errorf("%v went back", charge.Refunded)
		}
		byHand := fixture.Get[string](t, h.DB, `SELECT string_agg(kind || ' ' || l.amount_minor, ', ' ORDER BY kind) FROM ledger_transfers l JOIN refunds r ON r.id = l.subject_id
			JOIN payments p ON p.id = r.payment_id WHERE p.reservation_id = $1`, r.ID)
		if byHand != "PROMISED 1200, RETURNED 1000, RETURNED_BY_HAND 200" {
			t.Errorf("the ledger has %s", byHand)
		}
	})
	h.rests(t)
}

// TestService_Pay_refused holds that a gateway's refusal is an answer: nothing is looked up, nothing waits, and another
// attempt may follow at once.
func TestService_Pay_refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	viewer := newViewer()
	r := h.hold(t, viewer, 11)
	h.gateway.Next(gatewaytest.Authorize, func(context.Context, string, gatewaytest.Effect) (gatewaytest.Answer, error) {
		return gatewaytest.Answer{}, payment.ErrRefused
	})
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	if got := is[booking.Declined](t, result, err); got.Code != payment.DeclineRefused {
		t.Errorf("%+v", got)
	}
	h.wantAttempts(t, r, payment.AttemptDeclined)
	result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Paid](t, result, err)
	h.rests(t)
}

// TestPM7_wrong_amount: of whatever a gateway takes instead of the price all goes back, be it less, more or nothing,
// and also when somebody has given back some of it by hand; the seats can be paid again meanwhile.
func TestPM7_wrong_amount(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	key := func(t *testing.T, r booking.Reservation) string {
		t.Helper()
		return fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID)
	}
	for name, test := range map[string]struct{ taken, byHand int64 }{
		"less": {600, 0}, "more": {1800, 0}, "nothing": {0, 0}, "some_of_it_went_back_by_hand": {700, 300}, "all_of_it_did": {700, 700},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, before := newViewer(), h.captured()
			r := h.hold(t, viewer, h.fresh(1)...)
			h.gateway.Next(gatewaytest.Capture, h.gateway.TakesInstead(nzd(test.taken)))
			// The refund has to wait, so that somebody can be quicker.
			h.gateway.Next(gatewaytest.Refund, gatewaytest.NeverArrives)
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := result.(booking.Declined); ok && got.Code != payment.DeclineWrongAmount {
				t.Errorf("%+v", got)
			}
			h.wantStored(t, "after the capture", r, "HELD")
			if test.byHand > 0 {
				if err := h.gateway.RefundByHand(key(t, r), nzd(test.byHand)); err != nil {
					t.Fatal(err)
				}
			}
			h.gateway.Heal()
			h.reconcile(t)
			h.wantAttempts(t, r, payment.AttemptRefunded)
			if got := h.captured() - before; got != 0 {
				t.Errorf("the gateway has kept %d", got)
			}
			result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Paid](t, result, err)
			if got := h.captured() - before; got != 1200 {
				t.Errorf("the gateway has %d, want 1200", got)
			}
			h.rests(t)
		})
	}
}

// TestService_Pay_taken_is_given_back holds that money which a gateway took counts as given back only when it says so of the
// charge that has it: an answer that knows of no capture settles nothing.
func TestService_Pay_taken_is_given_back(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	viewer := newViewer()
	r := h.hold(t, viewer, 11)
	h.gateway.Next(gatewaytest.Capture, h.gateway.TakesInstead(nzd(600)))
	h.gateway.Next(gatewaytest.Refund, func(context.Context, string, gatewaytest.Effect) (gatewaytest.Answer, error) {
		return gatewaytest.Answer{}, payment.ErrRefused
	})
	stale := gatewaytest.Says(func(a *gatewaytest.Answer) {
		a.Charge = payment.Charge{Reference: a.Reference, Status: payment.ChargeAuthorized}
	})
	h.gateway.Next(gatewaytest.Lookup, gatewaytest.Honest, stale)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	if got := is[booking.Declined](t, result, err); got.Code != payment.DeclineWrongAmount {
		t.Errorf("%+v", got)
	}
	h.wantAttempts(t, r, payment.AttemptRefundPending)
	h.reconcile(t)
	h.wantAttempts(t, r, payment.AttemptRefunded)
	if got := h.captured(); got != 0 {
		t.Errorf("the gateway has kept %d", got)
	}
	h.rests(t)
}
