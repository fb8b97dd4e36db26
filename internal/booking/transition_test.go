package booking_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/typeid"
)

var (
	statuses = []booking.Status{
		booking.StatusHeld, booking.StatusReserved, booking.StatusConfirmed, booking.StatusCancelled, booking.StatusExpired,
	}
	events = []booking.Event{
		booking.EventReserve, booking.EventChange, booking.EventConfirm, booking.EventCancel, booking.EventExpire, booking.EventRetake,
	}
)

func TestStatus_After(t *testing.T) {
	t.Parallel()
	const forbidden = ""
	want := map[booking.Status]map[booking.Event]booking.Status{
		booking.StatusHeld: {
			booking.EventReserve: booking.StatusReserved, booking.EventChange: booking.StatusHeld,
			booking.EventConfirm: booking.StatusConfirmed, booking.EventCancel: booking.StatusCancelled, booking.EventExpire: booking.StatusExpired,
		},
		booking.StatusReserved: {
			booking.EventReserve: forbidden, booking.EventChange: booking.StatusReserved,
			booking.EventConfirm: booking.StatusConfirmed, booking.EventCancel: booking.StatusCancelled, booking.EventExpire: booking.StatusExpired,
		},
		booking.StatusConfirmed: {
			booking.EventReserve: forbidden, booking.EventChange: forbidden,
			booking.EventConfirm: forbidden, booking.EventCancel: booking.StatusCancelled, booking.EventExpire: forbidden,
		},
		booking.StatusCancelled: {
			booking.EventReserve: forbidden, booking.EventChange: forbidden, booking.EventConfirm: forbidden, booking.EventCancel: forbidden, booking.EventExpire: forbidden,
		},
		booking.StatusExpired: {
			booking.EventRetake:  booking.StatusHeld,
			booking.EventReserve: forbidden, booking.EventChange: forbidden, booking.EventConfirm: forbidden, booking.EventCancel: forbidden, booking.EventExpire: forbidden,
		},
	}
	for _, status := range statuses {
		for _, event := range events {
			next, ok := status.After(event)
			if next != want[status][event] || ok != (want[status][event] != forbidden) {
				t.Errorf("%s after %s is %q, %t; want %q", status, event, next, ok, want[status][event])
			}
		}
	}
	if next, ok := booking.Status("UNHEARD_OF").After(booking.EventCancel); ok {
		t.Errorf("an unknown state becomes %s", next)
	}
	if next, ok := booking.StatusHeld.After("UNHEARD_OF"); ok {
		t.Errorf("an unknown event leads to %s", next)
	}
}

// plant writes a reservation of one seat in a given state, with the claim and the ticket that belong to it, past the
// service.
func (h *house) plant(t testing.TB, viewer auth.Viewer, status booking.Status, position int, amount int64, heldUntil *time.Time) booking.Reservation {
	t.Helper()
	r := booking.Reservation{ShowtimeID: h.Show(), ID: typeid.New(), Status: status}
	h.Exec(t, `INSERT INTO reservations (showtime_id, id, viewer_id, status, seats, amount_minor, currency, lines, held_until, pay_by, confirmed_at, ended_at)
		VALUES ($1, $2, $3, $4, ARRAY[$5::smallint], $6, 'NZD', '[]', $7, CASE WHEN $4 = 'RESERVED' THEN now() + interval '1 day' END,
			CASE WHEN $4 = 'CONFIRMED' THEN now() END, CASE WHEN $4 IN ('CANCELLED', 'EXPIRED') THEN now() END)`,
		r.ShowtimeID, r.ID, viewer.UserID, status, position, amount, heldUntil)
	if status != booking.StatusCancelled && status != booking.StatusExpired {
		h.Exec(t, `INSERT INTO seat_claims (showtime_id, seat_no, reservation_id, held_until) VALUES ($1, $2, $3, $4)`,
			r.ShowtimeID, position, r.ID, heldUntil)
	}
	if status == booking.StatusConfirmed {
		h.Exec(t, `INSERT INTO tickets (showtime_id, id, reservation_id, seat_no, code) VALUES ($1, $2, $3, $4, $2::uuid)`,
			r.ShowtimeID, typeid.New(), r.ID, position)
	}
	return r
}

// TestTransitions_in_the_database asks the SQL functions for every step from every state: they do what the table allows
// and nothing else.
func TestTransitions_in_the_database(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100})
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	deadlines := map[string]*time.Time{"past": &past, "future": &future, "none": nil}
	position := 0
	for _, status := range statuses {
		for when, deadline := range deadlines {
			if open := status == booking.StatusHeld || status == booking.StatusReserved; !open && deadline != nil {
				continue // a check of the table forbids it
			}
			for _, event := range events {
				position++
				t.Run(fmt.Sprintf("%s_until_%s_by_%s", status, when, event), func(t *testing.T) {
					r := h.plant(t, newViewer(), status, position, 1200, deadline)
					next, allowed := status.After(event)
					switch event {
					case booking.EventReserve, booking.EventChange:
						allowed = allowed && when == "future"
					case booking.EventConfirm: // which begins with securing the seats
						allowed, next = allowed && when == "future", status
					case booking.EventExpire:
						allowed = allowed && when == "past"
					case booking.EventRetake: // a deadline that has passed is the end, whoever has written it down
						allowed, next = allowed || when == "past", booking.StatusHeld
					case booking.EventCancel:
					}
					if done := h.step(t, r, event); done != allowed {
						t.Errorf("done: %t, want %t", done, allowed)
					}
					if !allowed {
						next = status
					}
					if got := h.stored(t, r); got != string(next) {
						t.Errorf("it is %s afterwards, want %s", got, next)
					}
					claims := fixture.Get[int](t, h.DB, `SELECT count(*) FROM seat_claims WHERE reservation_id = $1`, r.ID)
					if live := next == booking.StatusHeld || next == booking.StatusReserved || next == booking.StatusConfirmed; live != (claims == 1) {
						t.Errorf("a %s reservation has %d of 1 seat", next, claims)
					}
				})
			}
		}
	}
}

// step calls the SQL function of an event with the states that the table allows it in.
func (h *house) step(t *testing.T, r booking.Reservation, event booking.Event) (done bool) {
	t.Helper()
	var states []string
	for _, status := range statuses {
		if _, ok := status.After(event); ok {
			states = append(states, string(status))
		}
	}
	from := "{" + strings.Join(states, ",") + "}"
	if event == booking.EventChange {
		return fixture.Get[bool](t, h.DB, `SELECT outcome = 'CHANGED' FROM reservations r,
			change_seats(r.showtime_id, r.id, $2::text[], r.seats, 1, 1200, 'NZD', '[]', 'a key for it', '', '{}', '{}', NULL, 0, 0) WHERE r.id = $1`, r.ID, from)
	}
	if event == booking.EventRetake {
		tx := h.beginTx(t)
		a, err := h.payments.OpenAttemptTx(t.Context(), tx, payment.Opening{
			ShowtimeID: r.ShowtimeID, ReservationID: r.ID, ViewerID: r.ViewerID, Gateway: "fake", Amount: nzd(1200), IdempotencyKey: newKey(),
		})
		if err != nil {
			t.Fatal(err)
		}
		err = tx.QueryRowContext(t.Context(), `SELECT retake_seats(r.showtime_id, r.id, $2, 'reference', r.seats, '[]', '{}', '{}', 0, 0, NULL) = 'RETAKEN'
			FROM reservations r WHERE r.id = $1`, r.ID, a.ID).Scan(&done)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		return done
	}
	if event == booking.EventReserve {
		return fixture.Get[bool](t, h.DB, `SELECT move_deadline($1, $2, 'RESERVED', now() + interval '2 hours')`, r.ShowtimeID, r.ID)
	}
	if event == booking.EventConfirm {
		done = fixture.Get[bool](t, h.DB, `SELECT secure_reservation($1, $2)`, r.ShowtimeID, r.ID)
		if done && !fixture.Get[bool](t, h.DB, `SELECT held_until IS NULL FROM seat_claims WHERE reservation_id = $1`, r.ID) {
			t.Error("the seat still expires")
		}
		return done
	}
	to := map[booking.Event]booking.Status{booking.EventCancel: booking.StatusCancelled, booking.EventExpire: booking.StatusExpired}[event]
	return fixture.Get[bool](t, h.DB, `SELECT end_reservation($1, $2, $3::text[], $4)`,
		r.ShowtimeID, r.ID, from, to)
}

// TestTransitions_in_the_service asks the service for the same from every state.
func TestTransitions_in_the_service(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100})
	future := time.Now().Add(time.Hour)
	position := 0
	for _, status := range statuses {
		deadline := &future
		if status != booking.StatusHeld && status != booking.StatusReserved {
			deadline = nil
		}
		plant := func(t *testing.T, viewer auth.Viewer) booking.Reservation {
			t.Helper()
			position++
			return h.plant(t, viewer, status, position, 0, deadline)
		}
		t.Run(string(status)+"_is_paid", func(t *testing.T) {
			viewer := newViewer()
			r := plant(t, viewer)
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			switch status {
			case booking.StatusCancelled:
				refused(t, result, err, apperr.Conflict)
			case booking.StatusExpired:
				is[booking.Expired](t, result, err)
			default:
				if got := is[booking.Paid](t, result, err).Reservation.Status; got != booking.StatusConfirmed {
					t.Errorf("it is %s", got)
				}
			}
		})
		t.Run(string(status)+"_is_cancelled", func(t *testing.T) {
			viewer := newViewer()
			r := plant(t, viewer)
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			if status == booking.StatusExpired {
				refused(t, result, err, apperr.Conflict)
			} else if got := is[booking.Cancelled](t, result, err).Reservation.Status; got != booking.StatusCancelled {
				t.Errorf("it is %s", got)
			}
		})
		t.Run(string(status)+"_is_changed", func(t *testing.T) {
			viewer := newViewer()
			r := plant(t, viewer)
			position++
			result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, position))
			next, allowed := status.After(booking.EventChange)
			switch {
			case status == booking.StatusExpired:
				is[booking.Expired](t, result, err)
			case !allowed:
				refused(t, result, err, apperr.Conflict)
			default:
				if got := is[booking.Changed](t, result, err).Reservation.Status; got != next {
					t.Errorf("it is %s, want %s", got, next)
				}
			}
		})
		t.Run(string(status)+"_is_swept", func(t *testing.T) {
			r := plant(t, newViewer())
			h.Expire(t, r.ShowtimeID, r.ID)
			ended, _, err := h.booking.Sweep(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, allowed := status.After(booking.EventExpire)
			if (ended == 1) != allowed || allowed && h.stored(t, r) != "EXPIRED" || !allowed && h.stored(t, r) != string(status) {
				t.Errorf("%d ended, and it is %s", ended, h.stored(t, r))
			}
		})
	}
}

// TestConfirm_refuses_what_is_not_held changes a reservation while its payment is captured, which nothing in the program
// does: even then no ticket is issued for it, nor for seats that are to expire.
func TestConfirm_refuses_what_is_not_held(t *testing.T) {
	t.Parallel()
	for _, status := range []booking.Status{booking.StatusHeld, booking.StatusConfirmed, booking.StatusCancelled, booking.StatusExpired} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{})
			viewer := newViewer()
			r := h.hold(t, viewer, 11)
			h.gateway.Next(gatewaytest.Capture, func(ctx context.Context, _ string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
				h.Exec(t, `UPDATE reservations SET status = $2, confirmed_at = CASE WHEN $2 <> 'HELD' THEN now() END,
					held_until = CASE WHEN $2 = 'HELD' THEN now() + interval '1 hour' END,
					ended_at = CASE WHEN $2 IN ('CANCELLED', 'EXPIRED') THEN now() END WHERE id = $1`, r.ID, status)
				return effect(ctx)
			})
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Pending](t, result, err)
			if got := h.stored(t, r); got != string(status) {
				t.Errorf("it is %s, want %s", got, status)
			}
			if tickets := fixture.Get[int](t, h.DB, `SELECT count(*) FROM tickets`); tickets != 0 {
				t.Errorf("%d tickets", tickets)
			}
		})
	}
}

// TestTables_forbid_impossible_reservations goes past the program: the database has the last word.
func TestTables_forbid_impossible_reservations(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	viewer := newViewer()
	r := h.buy(t, viewer, 11, 12)
	other := h.hold(t, newViewer(), 13)
	for name, test := range map[string]struct {
		statement  string
		args       []any
		constraint string
	}{
		"a_seat_in_two_claims": {
			`INSERT INTO seat_claims (showtime_id, seat_no, reservation_id) VALUES ($1, 11, $2)`, []any{h.Show(), other.ID}, "seat_claims_pkey",
		},
		"a_claim_of_an_unknown_reservation": {
			`INSERT INTO seat_claims (showtime_id, seat_no, reservation_id) VALUES ($1, 20, $2)`, []any{h.Show(), uuid.New()}, "seat_claims_reservation_fkey",
		},
		"a_second_live_ticket_for_a_seat": {
			`INSERT INTO tickets (showtime_id, id, reservation_id, seat_no, code) VALUES ($1, gen_random_uuid(), $2, 11, 'code')`,
			[]any{h.Show(), other.ID},
			"tickets_seat_key",
		},
		"a_ticket_of_an_unknown_reservation": {
			`INSERT INTO tickets (showtime_id, id, reservation_id, seat_no, code) VALUES ($1, gen_random_uuid(), $2, 20, 'code')`,
			[]any{h.Show(), uuid.New()},
			"tickets_reservation_fkey",
		},
		"a_second_payment_of_a_reservation": {
			`INSERT INTO payments (showtime_id, id, reservation_id, viewer_id, amount_minor, currency)
				VALUES ($1, gen_random_uuid(), $2, $3, 1, 'NZD')`,
			[]any{h.Show(), r.ID, viewer.UserID},
			"payments_reservation_key",
		},
		"more_refunded_than_captured": {
			`UPDATE payments SET refunded_minor = captured_minor + 1 WHERE reservation_id = $1`, []any{r.ID}, "payments_amounts_check",
		},
		"an_ended_reservation_with_a_deadline": {
			`UPDATE reservations SET status = 'CANCELLED', ended_at = now(), held_until = now() WHERE id = $1`, []any{other.ID}, "reservations_deadline_check",
		},
		"a_reservation_without_seats": {
			`UPDATE reservations SET seats = '{}' WHERE id = $1`, []any{other.ID}, "reservations_seats_check",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := h.DB.SQL().ExecContext(t.Context(), test.statement, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.constraint) {
				t.Errorf("error %v, want a breach of %s", err, test.constraint)
			}
		})
	}
}
