package booking_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/showtime"
	"marquee/internal/typeid"
)

func TestService_Cancel(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, Showtimes: 2})
	t.Run("a_hold_is_given_back", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats...)
		h.hints.take()
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		got := is[booking.Cancelled](t, result, err).Reservation
		if got.ID != r.ID || got.Status != booking.StatusCancelled || got.HeldUntil != nil {
			t.Errorf("the reservation is %+v", got)
		}
		if got := h.letters(t, seats...); got != "AA" {
			t.Errorf("seats %s, want AA", got)
		}
		if got := h.hints.take()[h.Show()]; got != 1 {
			t.Errorf("%d hints, want one", got)
		}
		h.hold(t, newViewer(), seats...)
		h.rests(t)
	})
	t.Run("what_was_paid_is_refunded", func(t *testing.T) {
		viewer, seats, before := newViewer(), h.fresh(3), h.captured()
		r, kept := h.buy(t, viewer, seats[:2]...), h.buy(t, viewer, seats[2])
		h.hints.take()
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		if got := is[booking.Cancelled](t, result, err).Reservation.Status; got != booking.StatusCancelled {
			t.Errorf("the reservation is %s", got)
		}
		if got := h.letters(t, seats...); got != "AAT" {
			t.Errorf("seats %s, want AAT", got)
		}
		if p := h.paymentOf(t, r); p.Status != payment.StatusRefunded || p.Refunded != p.Amount {
			t.Errorf("the payment is %+v", p)
		}
		h.wantAttempts(t, r, payment.AttemptCaptured)
		found, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference(), kept.Reference()})
		if err != nil {
			t.Fatal(err)
		}
		for _, ticket := range found[r.Reference()] {
			if ticket.Status != booking.TicketRevoked {
				t.Errorf("ticket %+v admits", ticket)
			}
		}
		if got := found[kept.Reference()]; len(got) != 1 || got[0].Status != booking.TicketIssued {
			t.Errorf("the other reservation's tickets are %+v", got)
		}
		if got := h.captured() - before; got != 1200 || h.hints.take()[h.Show()] != 1 {
			t.Errorf("the gateway has %d, want 1200, and one hint", got)
		}
		// The seats are sold again, to tickets of their own.
		h.buy(t, newViewer(), seats[:2]...)
		h.rests(t)
	})
	t.Run("what_was_free_needs_no_refund", func(t *testing.T) {
		viewer, calls := newViewer(), len(h.gateway.Calls())
		r := h.buy(t, viewer, h.Positions("COMPANION")...)
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, result, err)
		if got := h.gateway.Calls()[calls:]; len(got) != 0 {
			t.Errorf("gateway calls %v", got)
		}
		h.rests(t)
	})
	t.Run("after_a_decline", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("do_not_honor"))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, result, err)
		cancelled, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		is[booking.Cancelled](t, cancelled, err)
		if p := h.paymentOf(t, r); p.Status != payment.StatusFailed {
			t.Errorf("the payment is %s, want FAILED", p.Status)
		}
		h.rests(t)
	})
	t.Run("twice_gives_the_same_answer", func(t *testing.T) {
		viewer, refunds := newViewer(), h.gateway.Count(gatewaytest.Refund)
		r := h.buy(t, viewer, h.fresh(1)...)
		for range 2 {
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			is[booking.Cancelled](t, result, err)
		}
		if n := h.gateway.Count(gatewaytest.Refund) - refunds; n != 1 {
			t.Errorf("%d refunds", n)
		}
		h.rests(t)
	})
	t.Run("many_at_once_are_one_refund", func(t *testing.T) {
		viewer, refunds, before := newViewer(), h.gateway.Count(gatewaytest.Refund), h.captured()
		r := h.buy(t, viewer, h.fresh(2)...)
		together(20, func(int) {
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			if _, ok := result.(booking.Cancelled); !ok || err != nil {
				t.Errorf("%#v, %v", result, err)
			}
		})
		if n := h.gateway.Count(gatewaytest.Refund) - refunds; n != 1 || h.captured() != before {
			t.Errorf("%d refunds, the gateway has %d more", n, h.captured()-before)
		}
		h.rests(t)
	})
	t.Run("another_customer's_and_a_missing_one_are_not_found", func(t *testing.T) {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(1)...)
		foreign, err := h.booking.Cancel(t.Context(), newViewer(), cancelInput(r))
		refused(t, foreign, err, apperr.NotFound)
		foreignText := err.Error()
		elsewhere := r
		elsewhere.ShowtimeID = h.Showtimes[1].ID
		for _, missing := range []booking.Reservation{{ShowtimeID: h.Show(), ID: typeid.New()}, elsewhere} {
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(missing))
			refused(t, result, err, apperr.NotFound)
			if err.Error() != foreignText {
				t.Errorf("%q can be told from %q", err, foreignText)
			}
		}
		h.wantStored(t, "afterwards", r, "CONFIRMED")
	})
	t.Run("expired", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(1)
		r := h.hold(t, viewer, seats...)
		h.Expire(t, h.Show(), r.ID)
		h.hold(t, newViewer(), seats...)
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		refused(t, result, err, apperr.Conflict)
		if got := h.letters(t, seats...); got != "H" {
			t.Errorf("the seat, which is another's, is %s", got)
		}
	})
	t.Run("after_admission", func(t *testing.T) {
		viewer, seats, before := newViewer(), h.fresh(2), h.captured()
		r := h.buy(t, viewer, seats...)
		h.Exec(t, `UPDATE tickets SET status = 'REDEEMED' WHERE seat_no = $1`, seats[1])
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		refused(t, result, err, apperr.Conflict)
		revoked := fixture.Get[int](t, h.DB, `SELECT count(*) FROM tickets WHERE status = 'REVOKED' AND reservation_id = $1`, r.ID)
		if got := h.captured() - before; revoked != 0 || got != 2400 {
			t.Errorf("%d tickets revoked, the gateway has %d", revoked, got)
		}
		h.rests(t)
	})
	t.Run("beside_an_admission", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(1)
		r := h.buy(t, viewer, seats...)
		exec, commit := h.begin(t)
		exec(`UPDATE tickets SET status = 'REDEEMED' WHERE seat_no = $1 AND status = 'ISSUED'`, seats[0])
		var result booking.CancelResult
		var err error
		var call sync.WaitGroup
		call.Go(func() { result, err = h.booking.Cancel(t.Context(), viewer, cancelInput(r)) })
		h.blocked(t, 1)
		commit()
		call.Wait()
		refused(t, result, err, apperr.Conflict)
		h.rests(t)
	})
	for name, op := range map[string]gatewaytest.Op{"started": gatewaytest.Authorize, "authorized": gatewaytest.Capture} {
		t.Run("while_a_payment_is_"+name, func(t *testing.T) {
			viewer := newViewer()
			r := h.hold(t, viewer, h.fresh(1)...)
			var result booking.CancelResult
			var err error
			h.gateway.Next(op, gatewaytest.Before(func() {
				result, err = h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			}))
			paid, payErr := h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Paid](t, paid, payErr)
			refused(t, result, err, apperr.Conflict)
			h.rests(t)
		})
	}
	t.Run("beside_a_payment_one_of_them_wins", func(t *testing.T) {
		var paid, cancelled atomic.Int32
		for range 20 {
			viewer := newViewer()
			r := h.hold(t, viewer, h.fresh(1)...)
			together(2, func(which int) {
				if which == 0 {
					result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
					if _, ok := result.(booking.Paid); ok {
						paid.Add(1)
					} else if apperr.CodeOf(err) != apperr.Conflict {
						t.Errorf("%#v, %v", result, err)
					}
				} else if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err == nil {
					cancelled.Add(1)
				} else if apperr.CodeOf(err) != apperr.Conflict {
					t.Error(err)
				}
			})
		}
		h.rests(t)
		if paid.Load()+cancelled.Load() < 20 {
			t.Errorf("%d paid and %d cancelled of 20", paid.Load(), cancelled.Load())
		}
	})
	t.Run("after_the_start", func(t *testing.T) {
		viewer, seats, before := newViewer(), h.fresh(1), h.captured()
		r := h.buy(t, viewer, seats...)
		h.Exec(t, `UPDATE showtimes SET starts_at = now() - interval '1 second' WHERE id = $1`, h.Show())
		h.hints.take()
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		if got := is[booking.ShowtimeClosed](t, result, err).Reason; got != showtime.ClosedSalesEnded {
			t.Errorf("closed because %s", got)
		}
		if got := h.captured() - before; got != 1200 || h.letters(t, seats...) != "T" || len(h.hints.take()) != 0 {
			t.Errorf("the gateway has %d and the seat is %s", got, h.letters(t, seats...))
		}
		h.rests(t)
	})
}

// TestService_Cancel_refund_gone_wrong: what the gateway does not answer, the reconciler brings to its end, once.
func TestService_Cancel_refund_gone_wrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	for name, test := range map[string]struct {
		fault gatewaytest.Fault
		dies  bool
	}{
		"never_arrives": {fault: gatewaytest.NeverArrives},
		"answer_lost":   {fault: gatewaytest.AnswerLost},
		"dies_before":   {fault: gatewaytest.DiesBefore, dies: true},
		"dies_after":    {fault: gatewaytest.DiesAfter, dies: true},
		"gives_back_less": {fault: gatewaytest.Says(func(c *gatewaytest.Answer) {
			c.Refund.Amount.AmountMinor--
		})},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, seats := newViewer(), h.fresh(1)
			r := h.buy(t, viewer, seats...)
			h.gateway.Next(gatewaytest.Refund, test.fault)
			if test.dies {
				died(t, func() { _, _ = h.booking.Cancel(t.Context(), viewer, cancelInput(r)) })
			} else {
				result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
				is[booking.Cancelled](t, result, err)
			}
			if p := h.paymentOf(t, r); p.Status != payment.StatusRefundPending || p.Refunded != nzd(0) {
				t.Errorf("the payment is %+v, want REFUND_PENDING", p)
			}
			h.wantRefunds(t, r, "1200 CUSTOMER PENDING")
			h.wantStored(t, "without a refund", r, "CANCELLED")
			if got := h.letters(t, seats...); got != "A" {
				t.Errorf("the seat is %s", got)
			}
			// The customer asks again; and several nodes reconcile at once.
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			is[booking.Cancelled](t, result, err)
			if test.dies {
				h.endLeases(t) // who lives gives the lease back
			}
			together(4, func(int) {
				if _, err := h.process(h.gateway, settings).Reconcile(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if p := h.paymentOf(t, r); p.Status != payment.StatusRefunded || p.Refunded != nzd(1200) {
				t.Errorf("the payment is %+v, want REFUNDED", p)
			}
			if h.captured() != 0 {
				t.Errorf("the gateway has %d", h.captured())
			}
			if n := h.reconcile(t); n != 0 {
				t.Errorf("%d more settled", n)
			}
			h.rests(t)
		})
	}
}
