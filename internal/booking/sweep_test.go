package booking_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/postgres"
)

func TestService_Sweep(t *testing.T) {
	t.Parallel()
	t.Run("ends_what_has_expired_and_nothing_else", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{Showtimes: 3}), newViewer()
		var expired []booking.Reservation
		for i, show := range h.Showtimes[:2] {
			for position := 11; position <= 12; position++ {
				in := h.request(position)
				in.ShowtimeID = show.ID
				result, err := h.booking.Reserve(t.Context(), viewer, in)
				r := is[booking.Reserved](t, result, err).Reservation
				h.Expire(t, show.ID, r.ID)
				expired = append(expired, r)
			}
			if h.hints.take()[show.ID] != 2 {
				t.Errorf("showtime %d: no hints of the holds", i)
			}
		}
		held, paid := h.hold(t, viewer, 13), h.buy(t, viewer, 14)
		h.hints.take()
		ended, full, err := h.booking.Sweep(t.Context())
		if ended != 4 || full || err != nil {
			t.Errorf("%d ended, full %t, %v; want 4", ended, full, err)
		}
		for _, r := range expired {
			h.wantStored(t, "after the sweep", r, "EXPIRED")
		}
		h.wantStored(t, "after the sweep", held, "HELD")
		h.wantStored(t, "after the sweep", paid, "CONFIRMED")
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM seat_claims`); n != 2 {
			t.Errorf("%d claims are left, want 2", n)
		}
		hints := h.hints.take()
		if len(hints) != 2 || hints[h.Showtimes[0].ID] != 1 || hints[h.Showtimes[1].ID] != 1 {
			t.Errorf("hints %v, want one for each of two showtimes", hints)
		}
		if ended, _, err := h.booking.Sweep(t.Context()); ended != 0 || err != nil || len(h.hints.take()) != 0 {
			t.Errorf("%d ended again, %v", ended, err)
		}
		h.rests(t)
	})
	t.Run("leaves_seats_that_have_been_taken_over", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		old := h.hold(t, newViewer(), 11, 12)
		h.Expire(t, h.Show(), old.ID)
		h.hold(t, newViewer(), 12)
		if ended, _, err := h.booking.Sweep(t.Context()); ended != 1 || err != nil {
			t.Errorf("%d ended, %v", ended, err)
		}
		if got := h.letters(t, 11, 12); got != "AH" {
			t.Errorf("seats %s, want AH", got)
		}
		h.rests(t)
	})
	t.Run("does_not_touch_a_payment_under_way", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11)
		h.gateway.Next(gatewaytest.Capture, gatewaytest.Before(func() {
			if ended, _, err := h.booking.Sweep(t.Context()); ended != 0 || err != nil {
				t.Errorf("%d ended, %v", ended, err)
			}
			if got := h.letters(t, 11); got != "T" {
				t.Errorf("the seat is %s", got)
			}
			result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(11))
			if _, ok := result.(booking.SeatsUnavailable); !ok {
				t.Errorf("another customer gets %#v, %v", result, err)
			}
		}))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Paid](t, result, err)
		h.rests(t)
	})
	t.Run("closes_the_payment", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11)
		h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("do_not_honor"))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, result, err)
		h.Expire(t, h.Show(), r.ID)
		if _, _, err := h.booking.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := h.paymentOf(t, r); p.Status != payment.StatusFailed {
			t.Errorf("the payment is %s, want FAILED", p.Status)
		}
		h.rests(t)
	})
	t.Run("several_sweepers_end_each_hold_once_and_say_when_there_is_more", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{Seats: 1100, MaxSeats: 10})
		h.Exec(t, `INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until)
			SELECT $1, gen_random_uuid(), gen_random_uuid(), ARRAY[n::smallint], 1200, 'NZD', '[]', now() - interval '1 second'
			FROM generate_series(1, 1100) n`, h.Show())
		h.Exec(t, `INSERT INTO seat_claims SELECT showtime_id, seats[1], id, held_until FROM reservations`)
		var ended atomic.Int64
		var sawFull atomic.Bool
		together(4, func(int) {
			node := h.process(h.gateway, settings)
			for full := true; full; {
				var n int
				var err error
				if n, full, err = node.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
				ended.Add(int64(n))
				if full {
					sawFull.Store(true)
				}
			}
		})
		if ended.Load() != 1100 || !sawFull.Load() {
			t.Errorf("%d ended, full %t; want 1100 in several batches", ended.Load(), sawFull.Load())
		}
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM seat_claims`); n != 0 {
			t.Errorf("%d claims are left", n)
		}
		h.rests(t)
	})
	t.Run("passes_over_a_hold_that_another_is_busy_with", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		busy, idle := h.hold(t, newViewer(), 11), h.hold(t, newViewer(), 12)
		h.Expire(t, h.Show(), busy.ID)
		h.Expire(t, h.Show(), idle.ID)
		exec, commit := h.begin(t)
		exec(`SELECT FROM reservations WHERE id = $1 FOR UPDATE`, busy.ID)
		if ended, _, err := h.booking.Sweep(t.Context()); ended != 1 || err != nil {
			t.Errorf("%d ended, %v; want one", ended, err)
		}
		commit()
		if ended, _, err := h.booking.Sweep(t.Context()); ended != 1 || err != nil {
			t.Errorf("%d ended later, %v; want the other", ended, err)
		}
		h.rests(t)
	})
	t.Run("goes_on_after_a_fault_and_tells_of_it", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{}, dbtest.With(func(c *postgres.Config) { c.LockTimeout = 20 * time.Millisecond }))
		stuck, free := h.hold(t, newViewer(), 11), h.hold(t, newViewer(), 12)
		h.Expire(t, h.Show(), stuck.ID)
		h.Expire(t, h.Show(), free.ID)
		exec, commit := h.begin(t)
		exec(`SELECT FROM seat_claims WHERE reservation_id = $1 FOR UPDATE`, stuck.ID)
		h.hints.take()
		if n, full, err := h.booking.Sweep(t.Context()); n != 1 || full || postgres.SQLState(err) != "55P03" {
			t.Errorf("%d ended, full %t, %v; want one, and the fault", n, full, err)
		}
		h.wantStored(t, "after the fault", stuck, "HELD")
		h.wantStored(t, "beside the fault", free, "EXPIRED")
		if h.hints.take()[h.Show()] != 1 {
			t.Error("no hint was given")
		}
		commit()
		if n, _, err := h.booking.Sweep(t.Context()); n != 1 || err != nil {
			t.Errorf("%d ended later, %v; want one", n, err)
		}
		h.rests(t)
	})
	t.Run("ends_nothing_when_it_may_not_begin", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		r := h.hold(t, newViewer(), 11)
		h.Expire(t, h.Show(), r.ID)
		ended, end := context.WithCancel(t.Context())
		end()
		if n, full, err := h.booking.Sweep(ended); n != 0 || full || !errors.Is(err, context.Canceled) {
			t.Errorf("%d ended, full %t, %v; want an error", n, full, err)
		}
		h.wantStored(t, "after a sweep that could not", r, "HELD")
	})
}

func TestService_ForgetKeys(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	old, recent := h.request(11), h.request(12)
	for _, in := range []booking.ReserveInput{old, recent} {
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		is[booking.Reserved](t, result, err)
	}
	age := func(in booking.ReserveInput, by time.Duration) {
		h.Exec(t, `UPDATE idempotency_keys SET created_at = now() - $2 * interval '1 second' WHERE key = $1`, in.IdempotencyKey, by.Seconds())
	}
	age(old, booking.KeyAge+time.Second)
	age(recent, booking.KeyAge-time.Minute)
	if n, err := h.booking.ForgetKeys(t.Context()); n != 1 || err != nil {
		t.Errorf("%d forgotten, %v; want one", n, err)
	}
	// What is forgotten means a new request; what is remembered gives the old answer.
	for in, fresh := range map[*booking.ReserveInput]bool{&old: true, &recent: false} {
		result, err := h.booking.Reserve(t.Context(), viewer, *in)
		if _, refused := result.(booking.SeatsUnavailable); refused != fresh || err != nil {
			t.Errorf("the key is new: %t, want %t: %#v, %v", refused, fresh, result, err)
		}
	}
}

// The cap and the expiry of a hold follow the database's clock, whatever sweeps.
func TestExpiry_needs_no_sweeper(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{MaxSeats: 2}), newViewer()
	r := h.hold(t, viewer, 11, 12)
	h.Expire(t, h.Show(), r.ID)
	if got := h.letters(t, 11, 12); got != "AA" {
		t.Errorf("seats %s, want AA", got)
	}
	read, err := h.booking.Reservation(t.Context(), viewer, r.ShowtimeID, r.ID)
	if err != nil || read.Status != booking.StatusExpired || read.HeldUntil != nil {
		t.Errorf("it reads %+v, %v", read, err)
	}
	h.hold(t, viewer, 12, 13)
}
