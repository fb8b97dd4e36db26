package booking_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

func TestService_Pay(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
	r := h.hold(t, viewer, 12, 11)
	h.hints.take()
	in := payInput(r)
	result, err := h.booking.Pay(t.Context(), viewer, in)
	paid := is[booking.Paid](t, result, err).Reservation

	want := r
	want.Status, want.HeldUntil = booking.StatusConfirmed, nil
	if diff := cmp.Diff(want, paid, sameInstant); diff != "" {
		t.Errorf("the reservation: %s", diff)
	}
	if got := h.letters(t, 10, 11, 12, 13); got != "ATTA" {
		t.Errorf("seats %s, want ATTA", got)
	}
	if got := h.hints.take()[h.Show()]; got < 1 {
		t.Errorf("%d hints", got)
	}
	p := h.paymentOf(t, r)
	if p.Status != payment.StatusCaptured || p.Amount != nzd(2400) || p.Refunded != nzd(0) || p.Gateway != "fake" {
		t.Errorf("the payment is %+v", p)
	}
	h.wantAttempts(t, r, payment.AttemptCaptured)
	found, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	tickets := found[r.Reference()]
	if len(tickets) != 2 || tickets[0].Seat.ID != h.Seats[10].ID || tickets[1].Seat.ID != h.Seats[11].ID {
		t.Fatalf("tickets %+v", tickets)
	}
	for i, ticket := range tickets {
		if ticket.Status != booking.TicketIssued || len(ticket.Code) != 25 || strings.Trim(ticket.Code, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
			t.Errorf("ticket %d is %+v", i, ticket)
		}
	}
	if tickets[0].Code == tickets[1].Code {
		t.Error("two tickets have one code")
	}

	calls := len(h.gateway.Calls())
	for name, key := range map[string]string{"the same key": in.IdempotencyKey, "another key": newKey()} {
		in.IdempotencyKey = key
		result, err = h.booking.Pay(t.Context(), viewer, in)
		if again := is[booking.Paid](t, result, err).Reservation; !cmp.Equal(again, paid, sameInstant) {
			t.Errorf("%s: %s", name, cmp.Diff(paid, again, sameInstant))
		}
	}
	if n := len(h.gateway.Calls()); n != calls {
		t.Errorf("paying again called the gateway %d times", n-calls)
	}
	h.rests(t)
}

func TestService_Pay_refusals(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{MaxSeats: 30}), newViewer()
	for name, test := range map[string]struct {
		prepare func(t *testing.T) (auth.Viewer, booking.PayInput)
		code    apperr.Code // "": the hold has expired
	}{
		"cancelled": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			r := h.hold(t, viewer, 11)
			if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err != nil {
				t.Fatal(err)
			}
			return viewer, payInput(r)
		}, apperr.Conflict},
		"expired": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			r := h.hold(t, viewer, 12)
			h.Expire(t, h.Show(), r.ID)
			return viewer, payInput(r)
		}, ""},
		"expired_and_swept": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			r := h.hold(t, viewer, 13)
			h.Expire(t, h.Show(), r.ID)
			if _, _, err := h.booking.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			return viewer, payInput(r)
		}, ""},
		"another_customer's": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			return newViewer(), payInput(h.hold(t, viewer, 14))
		}, apperr.NotFound},
		"of_another_showtime": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			in := payInput(h.hold(t, viewer, 15))
			in.ShowtimeID = typeid.New()
			return viewer, in
		}, apperr.NotFound},
		"missing": {func(*testing.T) (auth.Viewer, booking.PayInput) {
			return viewer, payInput(booking.Reservation{ShowtimeID: h.Show(), ID: typeid.New()})
		}, apperr.NotFound},
		"without_a_key": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			in := payInput(h.hold(t, viewer, 16))
			in.IdempotencyKey = ""
			return viewer, in
		}, apperr.BadUserInput},
		"with_a_key_of_ten_thousand": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			in := payInput(h.hold(t, viewer, 17))
			in.IdempotencyKey = strings.Repeat("k", 10_000)
			return viewer, in
		}, apperr.BadUserInput},
		"with_the_key_of_the_hold": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			reserve := h.request(18)
			result, err := h.booking.Reserve(t.Context(), viewer, reserve)
			in := payInput(is[booking.Reserved](t, result, err).Reservation)
			in.IdempotencyKey = reserve.IdempotencyKey
			return viewer, in
		}, apperr.IdempotencyKeyReused},
		"with_the_key_of_another_payment": {func(t *testing.T) (auth.Viewer, booking.PayInput) {
			first, second := payInput(h.hold(t, viewer, 19)), payInput(h.hold(t, viewer, 20))
			if _, err := h.booking.Pay(t.Context(), viewer, first); err != nil {
				t.Fatal(err)
			}
			second.IdempotencyKey = first.IdempotencyKey
			return viewer, second
		}, apperr.IdempotencyKeyReused},
	} {
		t.Run(name, func(t *testing.T) {
			who, in := test.prepare(t)
			before := h.gateway.Count(gatewaytest.Authorize)
			result, err := h.booking.Pay(t.Context(), who, in)
			if test.code != "" {
				refused(t, result, err, test.code)
			} else if got := is[booking.Expired](t, result, err).Reservation.Status; got != booking.StatusExpired {
				t.Errorf("the reservation is %s", got)
			}
			if h.gateway.Count(gatewaytest.Authorize) != before {
				t.Error("the gateway was asked")
			}
			if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM payments WHERE reservation_id = $1`, in.ReservationID); n != 0 {
				t.Errorf("%d payments", n)
			}
		})
	}
}

// An expired or confirmed reservation does not use up a key.
func TestService_Pay_keeps_no_key_without_an_attempt(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r, other := h.hold(t, viewer, 11), h.hold(t, viewer, 12)
	h.Expire(t, h.Show(), r.ID)
	in := payInput(r)
	result, err := h.booking.Pay(t.Context(), viewer, in)
	is[booking.Expired](t, result, err)
	in.ReservationID = other.ID
	result, err = h.booking.Pay(t.Context(), viewer, in)
	is[booking.Paid](t, result, err)
}

func TestService_Pay_free_of_charge(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	t.Run("is_confirmed_without_a_payment", func(t *testing.T) {
		r := h.hold(t, viewer, 2)
		in := payInput(r)
		for range 2 {
			result, err := h.booking.Pay(t.Context(), viewer, in)
			if got := is[booking.Paid](t, result, err).Reservation; got.Status != booking.StatusConfirmed || got.Total != nzd(0) {
				t.Errorf("the reservation is %+v", got)
			}
		}
		in.IdempotencyKey = newKey()
		result, err := h.booking.Pay(t.Context(), viewer, in)
		is[booking.Paid](t, result, err)
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM payments`); n != 0 || len(h.gateway.Calls()) != 0 {
			t.Errorf("%d payments, gateway calls %v", n, h.gateway.Calls())
		}
		if got := h.letters(t, 2); got != "T" {
			t.Errorf("the seat is %s", got)
		}
		h.rests(t)
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("is_lost_to_another_at_the_deadline", func(t *testing.T) {
		r, other := h.hold(t, viewer, 2), newViewer()
		exec, commit := h.begin(t)
		exec(`SELECT FROM reservations WHERE id = $1 FOR UPDATE`, r.ID)
		var result booking.PayResult
		var err error
		var call sync.WaitGroup
		call.Go(func() { result, err = h.booking.Pay(t.Context(), viewer, payInput(r)) })
		h.blocked(t, 1)
		// The deadline passes while the payment, whose transaction began before it, waits; another takes the seat.
		exec(`UPDATE seat_claims SET held_until = clock_timestamp() WHERE reservation_id = $1`, r.ID)
		exec(`UPDATE reservations SET held_until = clock_timestamp() WHERE id = $1`, r.ID)
		taken := h.plantOver(t, exec, other, 2)
		commit()
		call.Wait()
		is[booking.Expired](t, result, err)
		if owner := fixture.Get[uuid.UUID](t, h.DB, `SELECT reservation_id FROM seat_claims WHERE seat_no = 2`); owner != taken {
			t.Errorf("the seat belongs to %s, want %s", owner, taken)
		}
		if _, _, err := h.booking.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.rests(t)
	})
}

// plantOver takes an expired seat over as a claim does, within a transaction of the test.
func (h *house) plantOver(t *testing.T, exec func(string, ...any), viewer auth.Viewer, position int) (reservationID uuid.UUID) {
	t.Helper()
	id := typeid.New()
	exec(`INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until)
		VALUES ($1, $2, $3, ARRAY[$4::smallint], 0, 'NZD', '[]', now() + interval '1 hour')`, h.Show(), id, viewer.UserID, position)
	exec(`UPDATE seat_claims SET reservation_id = $2, held_until = now() + interval '1 hour' WHERE showtime_id = $1 AND seat_no = $3`,
		h.Show(), id, position)
	return id
}

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
					h.Expire(t, h.Show(), r.ID)
					return h.gateway.Takes(ctx, key, effect)
				})
			}, givenBack,
		},
		"the_hold_runs_out_and_void_finds_the_money_taken": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.Expire(t, h.Show(), r.ID) }))
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
				h.gateway.Next(authorize, gatewaytest.After(func() { h.Expire(t, h.Show(), r.ID) }))
			}, with(expired, "EXPIRED"),
		},
		"the_hold_runs_out_and_is_swept_during_authorize": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.Before(func() {
					h.Expire(t, h.Show(), r.ID)
					if _, _, err := h.booking.Sweep(t.Context()); err != nil {
						t.Error(err)
					}
				}))
			}, outcome{result: booking.Expired{}, stored: "EXPIRED", attempts: is(voided), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_and_void_never_arrives": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.Expire(t, h.Show(), r.ID) }))
				h.gateway.Next(void, gatewaytest.NeverArrives)
			}, outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voiding), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_and_void_is_unanswered": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.Expire(t, h.Show(), r.ID) }))
				h.gateway.Next(void, gatewaytest.AnswerLost)
			}, outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voiding), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_and_void_says_it_is_authorized_still": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, gatewaytest.After(func() { h.Expire(t, h.Show(), r.ID) }))
				h.gateway.Next(void, gatewaytest.Says(func(c *gatewaytest.Answer) { c.Status = payment.ChargeAuthorized }))
			}, outcome{result: booking.Expired{}, stored: "HELD", attempts: is(voiding), settled: "EXPIRED", final: is(voided)},
		},
		"the_hold_runs_out_before_a_decline": {
			func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(authorize, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
					h.Expire(t, h.Show(), r.ID)
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

func TestService_Pay_holds_the_seats_again(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.hold(t, viewer, 11, 12)
	h.Exec(t, `UPDATE reservations SET held_until = now() + interval '1 minute'`)
	h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	got := is[booking.Declined](t, result, err).Reservation
	if got.HeldUntil == nil || time.Until(*got.HeldUntil) < settings.Hold/2 {
		t.Errorf("the hold is until %v, want a full one", got.HeldUntil)
	}
	for table, key := range map[string]string{"reservations": "id", "seat_claims": "reservation_id"} {
		same := fixture.Get[bool](t, h.DB, `SELECT bool_and(held_until = $2) FROM `+table+` WHERE `+key+` = $1`, r.ID, got.HeldUntil)
		if !same {
			t.Errorf("%s has another deadline", table)
		}
	}
	// Nobody else has come in between, and it expires like any other.
	if got := h.letters(t, 11, 12); got != "HH" {
		t.Errorf("seats %s, want HH", got)
	}
	h.Expire(t, h.Show(), r.ID)
	h.hold(t, newViewer(), 11, 12)
}

func TestService_Pay_after_the_seats_went_to_another(t *testing.T) {
	t.Parallel()
	h, viewer, other := newHouse(t, fixture.Plan{}), newViewer(), newViewer()
	r := h.hold(t, viewer, 11, 12)
	var second booking.Reservation
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.After(func() {
		h.Expire(t, h.Show(), r.ID)
		second = h.hold(t, other, 12, 13)
	}))
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	if got := is[booking.Expired](t, result, err).Reservation.Status; got != booking.StatusExpired {
		t.Errorf("the reservation is %s", got)
	}
	if h.captured() != 0 {
		t.Errorf("%d was captured", h.captured())
	}
	result, err = h.booking.Pay(t.Context(), other, payInput(second))
	is[booking.Paid](t, result, err)
	if got := h.letters(t, 11, 12, 13); got != "ATT" {
		t.Errorf("seats %s, want ATT", got)
	}
	if _, _, err := h.booking.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.rests(t)
}

// A claim that began a moment after the deadline may take a seat while the payment is securing them.
func TestService_Pay_loses_a_seat_at_the_deadline(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.hold(t, viewer, 11, 12)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.After(func() {
		// The reservation has not expired by its own row; a seat is gone all the same.
		exec, commit := h.begin(t)
		h.plantOver(t, exec, newViewer(), 12)
		commit()
	}))
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Expired](t, result, err)
	h.wantAttempts(t, r, payment.AttemptVoided)
	if h.captured() != 0 {
		t.Errorf("%d was captured", h.captured())
	}
	if until := fixture.Get[bool](t, h.DB, `SELECT held_until IS NOT NULL FROM seat_claims WHERE seat_no = 11`); !until {
		t.Error("seat 11 stays secured without a payment")
	}
}

func TestService_Pay_goes_on_without_the_customer(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	for _, op := range []gatewaytest.Op{gatewaytest.Authorize, gatewaytest.Capture} {
		t.Run("gone_during_"+string(op), func(t *testing.T) {
			r := h.hold(t, viewer, h.fresh(1)...)
			ctx, leave := context.WithCancel(t.Context())
			h.gateway.Next(op, gatewaytest.Before(leave))
			in := payInput(r)
			result, err := h.booking.Pay(ctx, viewer, in)
			is[booking.Paid](t, result, err)
			h.wantStored(t, "without the customer", r, "CONFIRMED")
			h.rests(t)
		})
	}
}

// A gateway that does not answer is given its time and no more.
func TestService_Pay_gives_a_gateway_its_time(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	impatient := settings
	impatient.GatewayTimeout = 10 * time.Millisecond
	h.booking = h.process(h.gateway, impatient)
	silent := func(ctx context.Context, _ string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
		charge, err := effect(ctx)
		<-ctx.Done()
		return charge, errors.Join(ctx.Err(), err)
	}
	h.gateway.Next(gatewaytest.Authorize, silent)
	h.gateway.Next(gatewaytest.Lookup, silent)
	r := h.hold(t, viewer, 11)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Pending](t, result, err)
	h.reconcile(t)
	h.wantStored(t, "in the end", r, "CONFIRMED")
	h.rests(t)
}

// A fault of the database while the answer is looked up is a fault, not an answer.
func TestService_Pay_does_not_hide_a_fault(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.buy(t, viewer, 11)
	h.Exec(t, `ALTER TABLE payment_attempts RENAME decline_code TO mislaid`)
	if result, err := h.booking.Pay(t.Context(), viewer, payInput(r)); postgres.SQLState(err) != "42703" || result != nil {
		t.Errorf("the result is %#v, %v; want the fault", result, err)
	}
}

func TestService_Pay_in_parallel(t *testing.T) {
	t.Parallel()
	const tabs = 50
	h := newHouse(t, fixture.Plan{})
	for name, keys := range map[string]func() string{
		"one_key_pays_once":        func() func() string { key := newKey(); return func() string { return key } }(),
		"many_keys_pay_once":       newKey,
		"many_keys_after_declines": newKey,
	} {
		t.Run(name, func(t *testing.T) {
			viewer, before, calls := newViewer(), h.captured(), h.gateway.Count(gatewaytest.Capture)
			r := h.hold(t, viewer, h.fresh(2)...)
			if name == "many_keys_after_declines" {
				for range 3 {
					h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("insufficient_funds"))
				}
			}
			inputs := make([]booking.PayInput, tabs)
			for i := range inputs {
				inputs[i] = payInput(r)
				inputs[i].IdempotencyKey = keys()
			}
			var paid, declined atomic.Int32
			together(tabs, func(i int) {
				result, err := h.booking.Pay(t.Context(), viewer, inputs[i])
				switch result.(type) {
				case booking.Paid:
					paid.Add(1)
				case booking.Pending:
				case booking.Declined:
					declined.Add(1)
				default:
					t.Errorf("%#v, %v", result, err)
				}
			})
			if name != "many_keys_after_declines" {
				if paid.Load() == 0 || declined.Load() != 0 {
					t.Errorf("%d paid and %d declined", paid.Load(), declined.Load())
				}
			} else {
				// Who comes while an attempt is under way makes none: some of the declines may be left.
				for h.stored(t, r) != "CONFIRMED" && declined.Load() <= 3 {
					if result, err := h.booking.Pay(t.Context(), viewer, payInput(r)); err != nil {
						t.Fatal(err)
					} else if _, ok := result.(booking.Declined); ok {
						declined.Add(1)
					}
				}
				if declined.Load() > 3 {
					t.Errorf("%d declined, want 3 at most", declined.Load())
				}
			}
			if n, taken := h.gateway.Count(gatewaytest.Capture)-calls, h.captured()-before; n != 1 || taken != 2400 {
				t.Errorf("%d captures of %d together, want one of 2400", n, taken)
			}
			if name == "one_key_pays_once" && len(h.attempts(t, r)) != 1 {
				t.Errorf("attempts %v", h.attempts(t, r))
			}
			// Afterwards they all hear the same.
			for _, in := range inputs {
				result, err := h.booking.Pay(t.Context(), viewer, in)
				if _, ok := result.(booking.Declined); !ok || name != "many_keys_after_declines" {
					is[booking.Paid](t, result, err)
				}
			}
			h.rests(t)
		})
	}
}

// TestReconcile_after_a_death lets the process die in every call to the gateway, just before it is sent and just after
// it has taken effect. Whoever comes next brings the payment to its end.
func TestReconcile_after_a_death(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	deaths := map[string]gatewaytest.Fault{"before": gatewaytest.DiesBefore, "after": gatewaytest.DiesAfter}
	for when, death := range deaths {
		for name, test := range map[string]struct {
			op       gatewaytest.Op
			prepare  func(t *testing.T, h *house, r booking.Reservation)
			want     map[string]string // how the reservation ends, by when the process died
			captured map[string]int64
		}{
			"Authorize": {gatewaytest.Authorize, nil, map[string]string{"before": "HELD", "after": "CONFIRMED"}, map[string]int64{"after": 1200}},
			"Capture":   {gatewaytest.Capture, nil, map[string]string{"before": "CONFIRMED", "after": "CONFIRMED"}, map[string]int64{"before": 1200, "after": 1200}},
			"Lookup": {gatewaytest.Lookup, func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost)
			}, map[string]string{"before": "CONFIRMED", "after": "CONFIRMED"}, map[string]int64{"before": 1200, "after": 1200}},
			"Void": {gatewaytest.Void, func(t *testing.T, h *house, r booking.Reservation) {
				h.gateway.Next(gatewaytest.Authorize, gatewaytest.After(func() { h.Expire(t, h.Show(), r.ID) }))
			}, map[string]string{"before": "EXPIRED", "after": "EXPIRED"}, nil},
			"Capture_of_a_lapsed_authorization": {gatewaytest.Void, func(_ *testing.T, h *house, _ booking.Reservation) {
				h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
			}, map[string]string{"before": "HELD", "after": "HELD"}, nil},
		} {
			t.Run(when+"_"+name, func(t *testing.T) {
				viewer, before := newViewer(), h.captured()
				r := h.hold(t, viewer, h.fresh(1)...)
				if test.prepare != nil {
					test.prepare(t, h, r)
				}
				h.gateway.Next(test.op, death)
				in := payInput(r)
				died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, in) })
				if breaches, err := audit(t.Context(), h.DB.SQL(), always); err != nil || len(breaches) != 0 {
					t.Errorf("just after the death: %q, %v", breaches, err)
				}
				// While the lease lasts nobody takes over, and the customer hears that it is pending, or that it is over.
				if n, err := h.process(h.gateway, settings).Reconcile(t.Context()); n != 0 || err != nil {
					t.Errorf("%d attempts taken over within the lease, %v", n, err)
				}
				h.reconcile(t)
				if _, _, err := h.booking.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.wantStored(t, "in the end", r, test.want[when])
				if got := h.captured() - before; got != test.captured[when] {
					t.Errorf("the gateway has %d, want %d", got, test.captured[when])
				}
				h.rests(t)
			})
		}
	}
}

// An authorize that is still on its way when the reconciler gives the attempt up must not take money later.
func TestReconcile_beside_a_slow_driver(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 20})
	type gate struct{ reached, open chan struct{} }
	newGate := func() gate { return gate{make(chan struct{}), make(chan struct{})} }
	wait := func(g gate) func() { return func() { close(g.reached); <-g.open } }
	for name, test := range map[string]struct {
		fault  func(g gate) gatewaytest.Fault
		op     gatewaytest.Op
		result any
		code   string
		stored string
	}{
		"authorize_not_yet_sent": {
			func(g gate) gatewaytest.Fault { return gatewaytest.Before(wait(g)) }, gatewaytest.Authorize,
			booking.Declined{},
			payment.DeclineNoAnswer, "HELD",
		},
		"authorize_not_yet_answered": {
			func(g gate) gatewaytest.Fault { return gatewaytest.After(wait(g)) }, gatewaytest.Authorize,
			booking.Paid{},
			"", "CONFIRMED",
		},
		"authorize_answered_with_what_came_later": {
			func(g gate) gatewaytest.Fault {
				return func(ctx context.Context, _ string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
					if _, err := effect(ctx); err != nil {
						return gatewaytest.Answer{}, err
					}
					wait(g)()
					return effect(ctx)
				}
			}, gatewaytest.Authorize, booking.Paid{}, "", "CONFIRMED",
		},
		"capture_not_yet_sent": {
			func(g gate) gatewaytest.Fault { return gatewaytest.Before(wait(g)) }, gatewaytest.Capture,
			booking.Paid{},
			"", "CONFIRMED",
		},
		"capture_not_yet_answered": {
			func(g gate) gatewaytest.Fault { return gatewaytest.After(wait(g)) }, gatewaytest.Capture,
			booking.Paid{},
			"", "CONFIRMED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, before, calls := newViewer(), h.captured(), h.gateway.Count(gatewaytest.Capture)
			r, g := h.hold(t, viewer, h.fresh(1)...), newGate()
			h.gateway.Next(test.op, test.fault(g))
			in := payInput(r)
			var result booking.PayResult
			var err error
			var call sync.WaitGroup
			call.Go(func() { result, err = h.booking.Pay(t.Context(), viewer, in) })
			<-g.reached
			if n := h.reconcile(t); n != 1 {
				t.Errorf("%d attempts settled, want one", n)
			}
			h.wantStored(t, "after the reconciler", r, test.stored)
			close(g.open)
			call.Wait()
			h.check(t, "the slow driver's answer", r, result, err, test.result, test.code)
			h.wantStored(t, "in the end", r, test.stored)
			if n, taken := h.gateway.Count(gatewaytest.Capture)-calls, h.captured()-before; taken > 1200 || n > 2 {
				t.Errorf("%d captured in %d calls", taken, n)
			}
			h.rests(t)
		})
	}
	// No lease protects a driver for long: reconcilers drive every attempt beside it, from the first moment on.
	t.Run("everywhere_at_once", func(t *testing.T) {
		stop, ready := make(chan struct{}), make(chan struct{}, 3)
		var reconcilers sync.WaitGroup
		for range 3 {
			reconcilers.Go(func() {
				node := h.process(h.gateway, settings)
				for first := true; ; first = false {
					h.endLeases(t)
					if _, err := node.Reconcile(t.Context()); err != nil {
						t.Error(err)
					}
					if first {
						ready <- struct{}{}
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		for range 3 {
			<-ready
		}
		viewer := newViewer()
		held := make([]booking.Reservation, 20)
		for i := range held {
			held[i] = h.hold(t, viewer, h.fresh(1)...)
		}
		together(len(held), func(i int) {
			result, err := h.booking.Pay(t.Context(), viewer, payInput(held[i]))
			switch result.(type) {
			case booking.Paid, booking.Pending, booking.Declined:
			default:
				t.Errorf("%#v, %v", result, err)
			}
		})
		close(stop)
		reconcilers.Wait()
		h.reconcile(t)
		h.rests(t)
	})
}

// A reservation in advance is paid like a hold.
func TestService_Pay_reserved(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	payBy := time.Now().Add(time.Hour)
	r := h.plant(t, viewer, booking.StatusReserved, 11, 1200, &payBy)
	h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	if got := is[booking.Declined](t, result, err).Reservation; got.Status != booking.StatusReserved || got.HeldUntil == nil {
		t.Errorf("after a lapse it is %+v", got)
	}
	result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Paid](t, result, err)
	h.rests(t)
}

// While another card is tried, the gateway turns out to have taken the money of an attempt that was given up: it goes
// back, and the other attempt is none the worse.
func TestService_Pay_beside_a_refund(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.hold(t, viewer, 11)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost)
	h.gateway.Next(gatewaytest.Lookup, forgets)
	h.gateway.Next(gatewaytest.Lookup, forgets)
	first := payInput(r)
	result, err := h.booking.Pay(t.Context(), viewer, first)
	is[booking.Pending](t, result, err)
	h.gateway.Next(gatewaytest.Void, gatewaytest.NeverArrives)
	h.reconcile(t)
	h.wantAttempts(t, r, payment.AttemptVoidPending)

	h.gateway.Next(gatewaytest.Void, h.gateway.Takes)
	h.gateway.Next(gatewaytest.Capture, gatewaytest.Before(func() {
		h.Exec(t, `UPDATE payment_attempts SET leased_until = now() - interval '1 second' WHERE status = 'VOID_PENDING'`)
		if n, err := h.process(h.gateway, settings).Reconcile(t.Context()); n != 1 || err != nil {
			t.Errorf("%d settled, %v; want one", n, err)
		}
	}))
	result, err = h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Paid](t, result, err)
	h.wantAttempts(t, r, payment.AttemptRefunded, payment.AttemptCaptured)
	if p := h.paymentOf(t, r); p.Status != payment.StatusCaptured || p.Refunded != nzd(0) {
		t.Errorf("the payment is %+v", p)
	}
	h.rests(t)
	result, err = h.booking.Pay(t.Context(), viewer, first)
	if got := is[booking.Declined](t, result, err).Code; got != payment.DeclineNoAnswer {
		t.Errorf("the first attempt was declined with %q", got)
	}

	cancelled, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
	is[booking.Cancelled](t, cancelled, err)
	if p := h.paymentOf(t, r); p.Status != payment.StatusRefunded || p.Refunded != nzd(1200) || h.captured() != 0 {
		t.Errorf("the payment is %+v, the gateway has %d", p, h.captured())
	}
	h.rests(t)
}

// What went through a gateway that this installation does not have waits for one that does.
func TestService_Reconcile_knows_its_gateway(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.hold(t, viewer, 11)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.DiesBefore)
	died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, payInput(r)) })
	h.Exec(t, `UPDATE payment_attempts SET gateway = 'another'`)
	calls := len(h.gateway.Calls())
	if n := h.reconcile(t); n != 0 || len(h.gateway.Calls()) != calls {
		t.Errorf("%d settled, calls %v", n, h.gateway.Calls()[calls:])
	}
	h.wantAttempts(t, r, payment.AttemptStarted)
	h.Exec(t, `UPDATE payment_attempts SET gateway = 'fake'`)
	if n := h.reconcile(t); n != 1 {
		t.Errorf("%d settled, want one", n)
	}
	h.rests(t)
}

func TestService_Reconcile_leaves_what_it_cannot_settle(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	var held []booking.Reservation
	for i := range 3 {
		viewer := newViewer()
		held = append(held, h.hold(t, viewer, 11+i))
		h.gateway.Next(gatewaytest.Capture, gatewaytest.NeverArrives)
		result, err := h.booking.Pay(t.Context(), viewer, payInput(held[i]))
		is[booking.Pending](t, result, err)
	}
	// The first it comes to is not answered; the others are settled all the same.
	h.gateway.Next(gatewaytest.Capture, gatewaytest.NeverArrives)
	h.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
	if n := h.reconcile(t); n != 2 {
		t.Errorf("%d settled, want 2", n)
	}
	// It is left alone until its lease is over.
	if n, err := h.booking.Reconcile(t.Context()); n != 0 || err != nil {
		t.Errorf("%d settled within the lease, %v", n, err)
	}
	if n := h.reconcile(t); n != 1 {
		t.Errorf("%d settled, want the last one", n)
	}
	for _, r := range held {
		h.wantStored(t, "in the end", r, "CONFIRMED")
	}
	h.rests(t)
}

func TestService_Pay_releases_what_it_cannot_settle(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	h.gateway.Next(gatewaytest.Capture, gatewaytest.NeverArrives)
	r := h.hold(t, viewer, 11)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Pending](t, result, err)
	// The lease was given back: the next round of any node takes it up.
	if n, err := h.booking.Reconcile(t.Context()); n != 1 || err != nil {
		t.Errorf("%d settled, %v; want one", n, err)
	}
	h.rests(t)
}

func TestTicketCodes_are_unique(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 200, MaxSeats: 200})
	all := make([]int, 190)
	for i := range all {
		all[i] = i + 1
	}
	h.buy(t, newViewer(), all...)
	if n := fixture.Get[int](t, h.DB, `SELECT count(DISTINCT code) FROM tickets WHERE length(code) = 25`); n != 190 {
		t.Errorf("%d different codes for 190 tickets", n)
	}
}
