package booking_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/notify"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// late is a hold that ran out while its charge was pending, which has funds by now.
func (h *house) late(t *testing.T, viewer auth.Viewer, positions ...int) (r booking.Reservation, key string) {
	t.Helper()
	r = h.hold(t, viewer, positions...)
	h.gateway.Next(gatewaytest.Authorize, h.gateway.Processes)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Pending](t, result, err)
	h.Expire(t, h.Show(), r.ID)
	key = h.attemptOf(t, r)
	h.gateway.Resolve(key, true)
	return r, key
}

// lose lets a hold run out, and nothing be had for money that comes after it: until the test ends its showtime is not on sale.
func (h *house) lose(t *testing.T, r booking.Reservation) {
	t.Helper()
	h.Expire(t, r.ShowtimeID, r.ID)
	h.Exec(t, `UPDATE showtime_sales SET status = 'CLOSED' WHERE showtime_id = $1`, r.ShowtimeID)
	t.Cleanup(func() { h.Exec(t, `UPDATE showtime_sales SET status = 'OPEN' WHERE showtime_id = $1`, r.ShowtimeID) })
}

func (h *house) attemptOf(t *testing.T, r booking.Reservation) string {
	t.Helper()
	return fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1 ORDER BY a.number DESC LIMIT 1`, r.ID)
}

// recovery is what became of the money for a reservation.
func (h *house) recovery(t *testing.T, r booking.Reservation) booking.Recovery {
	t.Helper()
	ref := payment.Reference{ShowtimeID: r.ShowtimeID, ID: h.paymentOf(t, r).ID}
	found, err := h.booking.RecoveriesByPayment(t.Context(), []payment.Reference{ref})
	if err != nil {
		t.Fatal(err)
	}
	return found[ref]
}

func (h *house) wantRecovery(t *testing.T, viewer auth.Viewer, r booking.Reservation, rung booking.Rung, answer booking.RecoveryAnswer, letters ...notify.Kind) {
	t.Helper()
	var given booking.RecoveryAnswer
	if got := h.recovery(t, r); got.Answer != nil {
		given = *got.Answer
	}
	if got := h.recovery(t, r); got.Rung != rung || given != answer || (got.AnswerBy != nil) != (rung == booking.RungOtherSeats && answer == "") {
		t.Errorf("the recovery is %+v, want %s %s", got, rung, answer)
	}
	if got := h.post.to(viewer); !slices.Equal(got, letters) {
		t.Errorf("letters %v, want %v", got, letters)
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = 'payment.recovered' AND subject = $1`, r.NodeID()); n != len(letters) && n != len(letters)+1 {
		t.Errorf("%d entries of the audit log for %d letters", n, len(letters))
	}
}

func (h *house) sweep(t *testing.T) {
	t.Helper()
	if _, _, err := h.booking.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func answerOf(r booking.Reservation) booking.OfferAnswer {
	return booking.OfferAnswer{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: newKey()}
}

// TestP8_late_success: money that comes when the hold has run out has the same seats if they are free, swept or not, whether the
// gateway reserved it or has taken it; without them the offer of others, and without those it goes back.
func TestP8_late_success(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	t.Run("has_the_same_seats_again", func(t *testing.T) {
		for name, test := range map[string]struct{ swept, taken bool }{
			"before_a_sweep": {}, "after_a_sweep": {swept: true}, "taken_by_the_gateway": {swept: true, taken: true},
		} {
			t.Run(name, func(t *testing.T) {
				viewer, before := newViewer(), h.captured()
				seats := h.fresh(2)
				r, key := h.late(t, viewer, seats...)
				if test.swept {
					h.sweep(t)
				}
				if test.taken {
					if _, err := h.gateway.Capture(t.Context(), key, nzd(2400)); err != nil {
						t.Fatal(err)
					}
				}
				h.reconcile(t)
				h.wantAttempts(t, r, payment.AttemptCaptured)
				h.wantStored(t, "in the end", r, "CONFIRMED")
				h.wantRecovery(t, viewer, r, booking.RungSameSeats, "", notify.SeatsRetaken)
				if got := h.letters(t, seats...); got != "TT" {
					t.Errorf("the seats are %s", got)
				}
				if got := h.captured() - before; got != 2400 {
					t.Errorf("the gateway has %d", got)
				}
				h.rests(t)
			})
		}
	})
	// offered has a customer whose seats went to others, and who is offered as many.
	offered := func(t *testing.T) (auth.Viewer, booking.Reservation) {
		t.Helper()
		viewer, seats := newViewer(), h.fresh(2)
		r, _ := h.late(t, viewer, seats...)
		h.buy(t, newViewer(), seats[0])
		h.reconcile(t)
		h.wantAttempts(t, r, payment.AttemptOffered)
		h.wantRecovery(t, viewer, r, booking.RungOtherSeats, "", notify.SeatsOffered)
		offer := h.recovery(t, r)
		if len(offer.Offered) != 2 || offer.Offered[0].Row != offer.Offered[1].Row || offer.Offered[1].Number != offer.Offered[0].Number+1 || len(offer.Lost) != 2 {
			t.Errorf("offered are %+v", offer)
		}
		if got := h.letters(t, int(offer.Offered[0].Position), int(offer.Offered[1].Position)); got != "HH" {
			t.Errorf("the seats that are offered are %s", got)
		}
		return viewer, r
	}
	t.Run("is_offered_others", func(t *testing.T) {
		viewer, r := offered(t)
		t.Run("AZ1_not_to_others", func(t *testing.T) {
			_, err := h.booking.AcceptOffered(t.Context(), newViewer(), answerOf(r))
			refused(t, nil, err, apperr.NotFound)
		})
		t.Run("while_nobody_answers_the_seats_stay", func(t *testing.T) {
			if n := h.reconcile(t); n != 0 {
				t.Errorf("%d settled", n)
			}
			for name, call := range map[string]func() error{
				"cancel": func() error { _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); return err },
				"extend": func() error { _, err := h.booking.Extend(t.Context(), viewer, holdInput(r)); return err },
				"change": func() error {
					_, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(r, h.fresh(1)...))
					return err
				},
			} {
				if err := call(); apperr.CodeOf(err) != apperr.Conflict {
					t.Errorf("%s: %v", name, err)
				}
			}
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Pending](t, result, err)
		})
		in, paid := answerOf(r), booking.Reservation{}
		for range 2 {
			result, err := h.booking.AcceptOffered(t.Context(), viewer, in)
			paid = is[booking.Paid](t, result, err).Reservation
		}
		_, err := h.booking.DeclineOffered(t.Context(), viewer, in)
		refused(t, nil, err, apperr.IdempotencyKeyReused)
		_, err = h.booking.AcceptOffered(t.Context(), viewer, answerOf(r))
		refused(t, nil, err, apperr.Conflict)
		h.wantAttempts(t, r, payment.AttemptCaptured)
		h.wantRecovery(t, viewer, r, booking.RungOtherSeats, booking.RecoveryAccepted, notify.SeatsOffered)
		h.rests(t)
		// The price can be taken apart: one of the seats can be given back.
		one := cancelInput(r)
		one.SeatIDs = []uuid.UUID{paid.Seats[0].ID}
		result, err := h.booking.Cancel(t.Context(), viewer, one)
		is[booking.Cancelled](t, result, err)
		h.rests(t)
	})
	t.Run("is_declined_and_goes_back", func(t *testing.T) {
		before := h.captured()
		viewer, r := offered(t)
		in := answerOf(r)
		for range 2 {
			if _, err := h.booking.DeclineOffered(t.Context(), viewer, in); err != nil {
				t.Fatal(err)
			}
		}
		h.wantAttempts(t, r, payment.AttemptVoided)
		h.wantStored(t, "in the end", r, "CANCELLED")
		h.wantRecovery(t, viewer, r, booking.RungRefund, booking.RecoveryDeclined, notify.SeatsOffered, notify.LateRefund)
		if got := h.captured() - before; got != 1200 {
			t.Errorf("the gateway has %d, want what the other one paid", got)
		}
		h.rests(t)
	})
	t.Run("goes_back_when_nobody_answers", func(t *testing.T) {
		viewer, r := offered(t)
		h.Expire(t, h.Show(), r.ID)
		result, err := h.booking.AcceptOffered(t.Context(), viewer, answerOf(r))
		is[booking.Expired](t, result, err)
		h.sweep(t)
		h.reconcile(t)
		h.wantAttempts(t, r, payment.AttemptVoided)
		h.wantStored(t, "in the end", r, "EXPIRED")
		h.wantRecovery(t, viewer, r, booking.RungRefund, booking.RecoveryLapsed, notify.SeatsOffered, notify.LateRefund)
		h.rests(t)
	})
	t.Run("answered_both_ways_at_once", func(t *testing.T) {
		viewer, r := offered(t)
		together(8, func(i int) {
			if i%2 == 0 {
				_, _ = h.booking.AcceptOffered(t.Context(), viewer, answerOf(r))
			} else {
				_, _ = h.booking.DeclineOffered(t.Context(), viewer, answerOf(r))
			}
		})
		h.reconcile(t)
		h.rests(t)
	})
}

// TestPM9_late_success_without_seats: money that comes when the house is full goes back whole, with one letter.
func TestPM9_late_success_without_seats(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"reserved_at_the_gateway": false, "taken_by_the_gateway": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{Seats: 12})
			viewer := newViewer()
			r, key := h.late(t, viewer, 11)
			if taken {
				if _, err := h.gateway.Capture(t.Context(), key, nzd(1200)); err != nil {
					t.Fatal(err)
				}
			}
			for seat := 3; seat <= 12; seat++ {
				h.buy(t, newViewer(), seat)
			}
			h.reconcile(t)
			h.reconcile(t)
			h.sweep(t)
			h.wantAttempts(t, r, map[bool]payment.AttemptStatus{false: payment.AttemptVoided, true: payment.AttemptRefunded}[taken])
			h.wantStored(t, "in the end", r, "EXPIRED")
			h.wantRecovery(t, viewer, r, booking.RungRefund, "", notify.LateRefund)
			if got := h.captured(); got != 12000 {
				t.Errorf("the gateway has %d, want what the ten others paid", got)
			}
			h.rests(t)
		})
	}
}
