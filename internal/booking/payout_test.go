package booking_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

func payOutInput(r booking.Reservation, cancel bool) booking.PayOutInput {
	return booking.PayOutInput{CancelInput: cancelInput(r), Cancel: cancel, Method: payment.TillCash, IdempotencyKey: newKey()}
}

// payOutBy is payOutInput for money that goes back in a way.
func payOutBy(method payment.TillMethod, r booking.Reservation, cancel bool) booking.PayOutInput {
	in := payOutInput(r, cancel)
	if in.Method = method; method == payment.TillCard {
		in.Terminal = "T1-000124"
	}
	return in
}

// soldAtCounter sells seats of the first showtime to somebody who is not known.
func (h *house) soldAtCounter(t testing.TB, positions ...int) booking.Reservation {
	t.Helper()
	sold, err := h.booking.SellAtCounter(t.Context(), h.staff(), h.saleInput(cash(100_000), positions...))
	return is[booking.PaidAtCounter](t, sold, err).Reservation
}

// What was paid at the counter goes back there and never through a gateway: with the seats and the tickets at once where the
// customer gives them back at the counter, and from the moment on that they ask where they cancelled elsewhere.
func TestService_PayOutAtCounter(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	staff := h.staff()
	t.Run("what_is_given_back_at_the_counter", func(t *testing.T) {
		seats := h.fresh(3)
		r := h.soldAtCounter(t, seats...)
		h.hints.take()
		in := payOutInput(r, true)
		in.SeatIDs = h.SeatIDs(seats[0])
		for range 2 { // the second time tells what the first has done
			got, err := h.booking.PayOutAtCounter(t.Context(), staff, in)
			out := is[booking.PaidOut](t, got, err)
			if out.Amount.AmountMinor != 1200 || out.Reservation.Status != booking.StatusConfirmed || h.letters(t, seats...) != "ATT" {
				t.Errorf("%+v, seats %s", out, h.letters(t, seats...))
			}
		}
		h.rests(t)
		got, err := h.booking.PayOutAtCounter(t.Context(), staff, payOutInput(r, true))
		out := is[booking.PaidOut](t, got, err)
		if out.Amount.AmountMinor != 2400 || out.Reservation.Status != booking.StatusCancelled || h.letters(t, seats...) != "AAA" {
			t.Errorf("%+v, seats %s", out, h.letters(t, seats...))
		}
		if p := h.paymentOf(t, r); p.Status != payment.StatusRefunded || h.audited(t, "counter.paid_out", r) != 2 || h.hints.take()[h.Show()] != 2 {
			t.Errorf("%+v, %d entries", p, h.audited(t, "counter.paid_out", r))
		}
		if calls := h.gateway.Calls(); len(calls) != 0 {
			t.Errorf("the gateway was asked: %v", calls)
		}
		h.rests(t)
	})
	t.Run("what_its_customer_cancelled_elsewhere", func(t *testing.T) {
		viewer := auth.Viewer{UserID: h.Users[0].ID}
		in := h.saleInput(card(1200), h.fresh(1)...)
		in.CustomerEmail = &h.Users[0].Email
		sold, err := h.booking.SellAtCounter(t.Context(), staff, in)
		r := is[booking.PaidAtCounter](t, sold, err).Reservation
		cancelled, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, cancelled, err)
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM refunds WHERE status = 'PENDING' AND leased_until < 'infinity'`); n != 0 {
			t.Errorf("%d refunds are to be driven by the program", n)
		}
		if settled := h.reconcile(t); settled != 0 || h.paymentOf(t, r).Status != payment.StatusRefundPending {
			t.Errorf("the reconciler settled %d; the payment is %+v", settled, h.paymentOf(t, r))
		}
		got, err := h.booking.PayOutAtCounter(t.Context(), staff, payOutBy(payment.TillCard, r, false))
		if out := is[booking.PaidOut](t, got, err); out.Amount.AmountMinor != 1200 {
			t.Errorf("%+v", out)
		}
		if calls := h.gateway.Calls(); len(calls) != 0 {
			t.Errorf("the gateway was asked: %v", calls)
		}
		h.rests(t)
	})
	t.Run("BK8_the_way_it_was_paid", func(t *testing.T) {
		for _, tender := range []booking.Tender{cash(1200), card(1200)} {
			seats, other := h.fresh(1), tender.Method.Instead()
			sold, err := h.booking.SellAtCounter(t.Context(), staff, h.saleInput(tender, seats...))
			r := is[booking.PaidAtCounter](t, sold, err).Reservation
			got, err := h.booking.PayOutAtCounter(t.Context(), staff, payOutBy(other, r, true))
			if no := is[booking.PayOutMethodRefused](t, got, err); no.Method != tender.Method || no.Due != nzd(1200) {
				t.Errorf("%+v", no)
			}
			byStaff := payOutBy(other, r, true)
			byStaff.OtherMethod = true
			got, err = h.booking.PayOutAtCounter(t.Context(), staff, byStaff)
			refused(t, got, err, apperr.Forbidden)
			if h.stored(t, r) != "CONFIRMED" || h.letters(t, seats...) != "T" || h.till(t, r) != "1 of 1200" || h.audited(t, "counter.paid_out", r) != 0 {
				t.Errorf("it is %s, %s in the till", h.stored(t, r), h.till(t, r))
			}
			h.rests(t)
			in, paidBy := payOutBy(tender.Method, r, true), ""
			if tender.Method == payment.TillCard { // and as a manager decides otherwise
				in, paidBy = byStaff, "CARD"
				staff := worker(auth.RoleTheaterManager, h.TheaterID)
				got, err = h.booking.PayOutAtCounter(t.Context(), staff, in)
			} else {
				got, err = h.booking.PayOutAtCounter(t.Context(), staff, in)
			}
			if out := is[booking.PaidOut](t, got, err); out.Amount != nzd(1200) || h.stored(t, r) != "CANCELLED" || h.letters(t, seats...) != "A" {
				t.Errorf("%+v", out)
			}
			if said := fixture.Get[string](t, h.DB, `SELECT coalesce(after ->> 'paidBy', '') FROM audit_entries
				WHERE action = 'counter.paid_out' AND subject = $1`, r.NodeID()); said != paidBy {
				t.Errorf("recorded is that it was paid by %q, want %q", said, paidBy)
			}
			h.rests(t)
		}
	})
	for name, cancelledBefore := range map[string]bool{"clerks_pay_out_once": false, "clerks_pay_out_once_what_was_cancelled_elsewhere": true} {
		t.Run(name, func(t *testing.T) {
			r := h.soldAtCounter(t, h.fresh(1)...)
			if cancelledBefore {
				cancelled, err := h.booking.Cancel(t.Context(), viewerOf(r), cancelInput(r))
				is[booking.Cancelled](t, cancelled, err)
			}
			var paid atomic.Int64
			var clerks sync.WaitGroup
			exec, done := h.begin(t)
			exec(`SELECT FROM reservations WHERE showtime_id = $1 AND id = $2 FOR UPDATE`, r.ShowtimeID, r.ID)
			for range 4 {
				clerks.Go(func() {
					got, err := h.booking.PayOutAtCounter(t.Context(), staff, payOutInput(r, !cancelledBefore))
					if _, ok := got.(booking.PaidOut); ok {
						paid.Add(1)
					} else if apperr.CodeOf(err) != apperr.Conflict {
						t.Errorf("%+v, %v", got, err)
					}
				})
			}
			h.blocked(t, 4)
			done()
			clerks.Wait()
			if paid.Load() != 1 || h.till(t, r) != "2 of 2400" { // taken, and paid out
				t.Errorf("paid out %d times, %s in the till", paid.Load(), h.till(t, r))
			}
			h.rests(t)
		})
	}
	t.Run("not_what_was_paid_elsewhere_nor_twice", func(t *testing.T) {
		online, held, sold := h.buy(t, newViewer(), h.fresh(1)...), h.hold(t, newViewer(), h.fresh(1)...), h.soldAtCounter(t, h.fresh(1)...)
		for _, in := range []booking.PayOutInput{payOutInput(online, true), payOutInput(held, true), payOutInput(sold, false)} {
			got, err := h.booking.PayOutAtCounter(t.Context(), staff, in)
			refused(t, got, err, apperr.Conflict)
		}
		if h.stored(t, online) != "CONFIRMED" || h.stored(t, held) != "HELD" {
			t.Error("something was cancelled")
		}
	})
	t.Run("bad_input", func(t *testing.T) {
		r := h.soldAtCounter(t, h.fresh(1)...)
		seats, terminal, key := payOutInput(r, false), payOutInput(r, true), payOutInput(r, true)
		seats.SeatIDs, terminal.Terminal, key.IdempotencyKey = h.SeatIDs(11), "T", ""
		for _, in := range []booking.PayOutInput{seats, terminal, key} {
			got, err := h.booking.PayOutAtCounter(t.Context(), staff, in)
			refused(t, got, err, apperr.BadUserInput)
		}
	})
	t.Run("AZ1_not_by_staff_of_another_theater", func(t *testing.T) {
		r := h.soldAtCounter(t, h.fresh(1)...)
		stranger := auth.Viewer{UserID: typeid.New(), Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: typeid.New()})}
		got, err := h.booking.PayOutAtCounter(t.Context(), stranger, payOutInput(r, true))
		refused(t, got, err, apperr.NotFound)
		if h.stored(t, r) != "CONFIRMED" {
			t.Errorf("it is %s", h.stored(t, r))
		}
	})
	t.Run("not_once_the_showtime_has_started", func(t *testing.T) {
		r := h.soldAtCounter(t, h.fresh(1)...)
		h.Exec(t, `UPDATE showtimes SET starts_at = now() - interval '1 minute', ends_at = now() + interval '1 hour', occupied_until = now() + interval '2 hours' WHERE id = $1`, h.Show())
		got, err := h.booking.PayOutAtCounter(t.Context(), staff, payOutInput(r, true))
		is[booking.ShowtimeClosed](t, got, err)
		h.rests(t)
	})
}

// TestService_PayOutAtCounter_with_one_connection makes sure that a return which holds a connection waits for no other one: all
// connections of a node could be waiting like that.
func TestService_PayOutAtCounter_with_one_connection(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100}, dbtest.With(func(c *postgres.Config) { c.MaxConns = 1 }))
	r := h.soldAtCounter(t, h.fresh(1)...)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	// In a process that has nothing in memory yet.
	got, err := h.process(h.gateway, settings).PayOutAtCounter(ctx, h.staff(), payOutInput(r, true))
	if out := is[booking.PaidOut](t, got, err); out.Amount.AmountMinor != 1200 || out.Reservation.Status != booking.StatusCancelled {
		t.Errorf("%+v", out)
	}
}

// What the database itself refuses to keep of money at the counter, whoever writes it.
func TestTill_database(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	got, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(h.soldAtCounter(t, 11), true))
	is[booking.PaidOut](t, got, err)
	h.soldAtCounter(t, 12)
	online := h.buy(t, newViewer(), 13)
	cancelled, err := h.booking.Cancel(t.Context(), viewerOf(online), cancelInput(online))
	is[booking.Cancelled](t, cancelled, err)

	const (
		ofTaking = `SELECT showtime_id, payment_id FROM till_entries WHERE kind = 'TAKEN' LIMIT 1`
		ofPayOut = `SELECT showtime_id, payment_id, refund_id FROM till_entries WHERE kind = 'PAID_OUT'`
		unpaid   = `SELECT r.showtime_id, r.payment_id, r.id FROM refunds r WHERE NOT EXISTS (SELECT FROM till_entries e WHERE e.refund_id = r.id)`
	)
	write := func(of, columns, values string) error {
		_, err := h.DB.SQL().ExecContext(t.Context(), `INSERT INTO till_entries (showtime_id, payment_id, `+columns+`, id, theater_id, staff_id, idempotency_key)
			SELECT o.*, `+values+`, gen_random_uuid(), $1, $1, 'key' FROM (`+of+`) AS o`, h.TheaterID)
		return err
	}
	const entry = `kind, method, amount_minor, given_minor, terminal_reference`
	if err := write(ofTaking, entry, `'TAKEN', 'CASH', 1200, 1200, NULL`); !postgres.IsUniqueViolation(err, "till_entries_taken_key") {
		t.Errorf("a payment is taken twice: %v", err)
	}
	if err := write(ofPayOut, `refund_id, `+entry, `'PAID_OUT', 'CASH', 1200, 1200, NULL`); !postgres.IsUniqueViolation(err, "till_entries_refund_key") {
		t.Errorf("a refund is paid out twice: %v", err)
	}
	for values, constraint := range map[string]string{
		`'LENT', 'CASH', 1200, 1200, NULL`:                "till_entries_kind_check",
		`'TAKEN', 'CASH', 1200, 1200, NULL`:               "till_entries_kind_check", // for a refund
		`'PAID_OUT', 'CHEQUE', 1200, 1200, NULL`:          "till_entries_method_check",
		`'PAID_OUT', 'CARD', 1200, 1200, NULL`:            "till_entries_method_check",
		`'PAID_OUT', 'CASH', 1200, 1200, 'T'`:             "till_entries_method_check",
		`'PAID_OUT', 'CARD', 1200, 1200, ''`:              "till_entries_method_check",
		`'PAID_OUT', 'CARD', 1200, 1200, repeat('x', 65)`: "till_entries_method_check",
		`'PAID_OUT', 'CASH', 0, 0, NULL`:                  "till_entries_amount_check",
		`'PAID_OUT', 'CASH', 1200, 1300, NULL`:            "till_entries_amount_check", // change of what is paid out
		`'PAID_OUT', 'CASH', 1200, 1100, NULL`:            "till_entries_amount_check",
	} {
		if err := write(unpaid, `refund_id, `+entry, values); !postgres.IsCheckViolation(err, constraint) {
			t.Errorf("%s: %v, want %s", values, err, constraint)
		}
	}
	if err := write(ofTaking, entry, `'PAID_OUT', 'CASH', 1200, 1200, NULL`); !postgres.IsCheckViolation(err, "till_entries_kind_check") {
		t.Errorf("paid out for no refund: %v", err)
	}
	for values, constraint := range map[string]string{
		`'TAKEN', 'CARD', 1200, 1300, 'T'`:  "till_entries_amount_check", // change of a card
		`'TAKEN', 'CASH', 1200, 1100, NULL`: "till_entries_amount_check",
	} {
		if err := write(ofTaking, entry, values); !postgres.IsCheckViolation(err, constraint) {
			t.Errorf("%s: %v, want %s", values, err, constraint)
		}
	}
}
