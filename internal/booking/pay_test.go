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
		h.lose(t, r)
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

// A gateway that does not answer is given its time and no more: the payment is pending then, and settled later.
func TestV3_Service_Pay_gives_a_gateway_its_time(t *testing.T) {
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

func TestP13_Service_Pay_in_parallel(t *testing.T) {
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
