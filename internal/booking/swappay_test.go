package booking_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// whole demands that a reservation has its seats, its tickets and its money.
func (h *house) whole(t testing.TB, viewer auth.Viewer, r booking.Reservation) {
	t.Helper()
	got, err := h.booking.Reservation(t.Context(), viewer, r.ShowtimeID, r.ID)
	if err != nil || got.Status != booking.StatusConfirmed || got.Total != r.Total || len(h.admits(t, got)) != len(r.Positions) {
		t.Errorf("it is %+v, %v, and %v admit", got, err, h.admits(t, got))
	}
	if p := h.paymentOf(t, r); p.Status != payment.StatusCaptured || len(p.Refunds) != 0 {
		t.Errorf("its payment is %+v", p)
	}
}

// A swap that is not paid leaves everything as it was.
func TestService_SwapSeats_unpaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, Showtimes: 2})
	h.policy(t, swappable)
	premium := h.Positions("PREMIUM")
	for name, test := range map[string]struct {
		op    gatewaytest.Op
		fault gatewaytest.Fault
		code  string
	}{
		"declined":          {gatewaytest.Authorize, h.gateway.Declines("do_not_honor"), "do_not_honor"},
		"lapsed_at_capture": {gatewaytest.Capture, h.gateway.Lapses, "authorization_lapsed"},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, seats := newViewer(), h.fresh(2)
			o := h.buy(t, viewer, seats...)
			in := h.swapInput(o, seats[:1], 1, premium[0])
			held, _ := h.holds(t, viewer, in)
			h.gateway.Next(test.op, test.fault)
			result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
			declined := is[booking.Declined](t, result, err)
			if declined.Code != test.code || declined.Reservation.Status != booking.StatusHeld || declined.Reservation.HeldUntil == nil {
				t.Errorf("it is %+v", declined)
			}
			h.whole(t, viewer, o)
			h.rests(t)
			// Another card pays, for the same seats.
			result, err = h.booking.Pay(t.Context(), viewer, payInput(held))
			is[booking.Paid](t, result, err)
			h.rests(t)
			h.cancels(t, viewer, cancelInput(held))
		})
	}
	t.Run("expired", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(1)
		o := h.buy(t, viewer, seats...)
		held, _ := h.holds(t, viewer, h.swapInput(o, nil, 1, premium[0]))
		h.Expire(t, held.ShowtimeID, held.ID)
		result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
		is[booking.Expired](t, result, err)
		if swap := h.swapOf(t, held); swap.State != booking.SwapGivenUp {
			t.Errorf("the swap is %+v", swap)
		}
		h.whole(t, viewer, o)
		// It may be tried again.
		h.swaps(t, viewer, h.swapInput(o, nil, 1, premium[1]))
	})
	t.Run("expired_while_it_is_authorized", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(1)
		o := h.buy(t, viewer, seats...)
		for _, take := range []int{premium[2], h.fresh(1)[0]} { // something is due, and nothing is
			held, _ := h.holds(t, viewer, h.swapInput(o, nil, 1, take))
			if take == premium[2] {
				h.gateway.Next(gatewaytest.Authorize, gatewaytest.After(func() { h.Expire(t, held.ShowtimeID, held.ID) }))
				result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
				is[booking.Expired](t, result, err)
				h.whole(t, viewer, o)
			}
		}
	})
	if _, _, err := h.booking.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.rests(t)
}

// What stands in the way when the money is to be taken ends the swap, and no money moves.
func TestService_SwapSeats_gone_meanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, Showtimes: 2})
	h.policy(t, swappable)
	for name, gone := range map[string]func(t *testing.T, viewer auth.Viewer, o booking.Reservation, seats []int){
		"cancelled": func(t *testing.T, viewer auth.Viewer, o booking.Reservation, _ []int) {
			h.cancels(t, viewer, cancelInput(o))
		},
		"one_of_its_seats_is_cancelled": func(t *testing.T, viewer auth.Viewer, o booking.Reservation, seats []int) {
			h.cancels(t, viewer, h.seatsOf(o, seats[0]))
		},
		"a_ticket_was_used": func(t *testing.T, _ auth.Viewer, o booking.Reservation, seats []int) {
			h.Exec(t, `UPDATE tickets SET status = 'REDEEMED' WHERE reservation_id = $1 AND seat_no = $2`, o.ID, seats[1])
		},
		"swapped": func(t *testing.T, viewer auth.Viewer, o booking.Reservation, seats []int) {
			h.swaps(t, viewer, h.swapInput(o, seats[:1], 1, h.fresh(1)...))
		},
		"given_back_out_of_goodwill": func(t *testing.T, _ auth.Viewer, o booking.Reservation, _ []int) {
			_, err := h.booking.Refund(t.Context(), worker(auth.RoleSupport, auth.Platform), booking.RefundInput{
				CancelInput: cancelInput(o), Cause: payment.Goodwill, Reason: "They asked.", IdempotencyKey: newKey(),
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		for when, due := range map[string]bool{"something_due": true, "nothing_due": false} {
			t.Run(name+"/"+when, func(t *testing.T) {
				viewer, seats := newViewer(), h.fresh(3)
				o := h.buy(t, viewer, seats[:2]...)
				take := h.fresh(3)
				if !due {
					take = take[:1]
				}
				held, told := h.holds(t, viewer, h.swapInput(o, seats[:2], 1, take...))
				if (told.Due.AmountMinor > 0) != due {
					t.Fatalf("told was %+v", told)
				}
				gone(t, viewer, o, seats)
				before := h.captured()
				result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
				declined := is[booking.Declined](t, result, err)
				if declined.Code != payment.DeclineNoSwap || declined.Reservation.Status != booking.StatusHeld || h.captured() != before {
					t.Errorf("it is %+v, and the gateway has %d more", declined, h.captured()-before)
				}
				h.cancels(t, viewer, cancelInput(held))
				h.rests(t)
			})
		}
	}
	t.Run("worth_more_by_now", func(t *testing.T) { // what is paid once goes with the last seat
		h := newHouse(t, fixture.Plan{Showtimes: 2})
		h.policy(t, swappable)
		h.office().rule(t, onceRule)
		viewer := newViewer()
		o := h.buy(t, viewer, 11, 12)
		held, told := h.holds(t, viewer, h.swapInput(o, []int{11}, 1, 11, 12))
		if told.Value != nzd(1200) {
			t.Errorf("told was %+v", told)
		}
		h.cancels(t, viewer, h.seatsOf(o, 12))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
		if got := is[booking.Declined](t, result, err); got.Code != payment.DeclineNoSwap {
			t.Errorf("it is %+v", got)
		}
		h.rests(t)
	})
	t.Run("its_showtime_has_started", func(t *testing.T) {
		h := newHouse(t, fixture.Plan{Showtimes: 2})
		h.policy(t, swappable)
		viewer := newViewer()
		o := h.buy(t, viewer, 11)
		held, _ := h.holds(t, viewer, h.swapInput(o, nil, 1, 11, 12))
		h.startsIn(t, 0)
		result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
		if got := is[booking.Declined](t, result, err); got.Code != payment.DeclineNoSwap {
			t.Errorf("it is %+v", got)
		}
		h.whole(t, viewer, o)
		h.rests(t)
	})
}

// Who tries again and again to pay a swap that is not to be had holds its seats for no longer than anybody.
func TestService_SwapSeats_held_no_longer(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, Showtimes: 2})
	h.policy(t, freely)
	for name, more := range map[string]int{"nothing_due": 0, "something_due": 1} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			o := h.buy(t, viewer, h.fresh(1)...)
			take := h.fresh(1 + more)
			held, _ := h.holds(t, viewer, h.swapInput(o, nil, 1, take...))
			h.cancels(t, viewer, cancelInput(o))
			pays := func() booking.Reservation {
				t.Helper()
				result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
				declined := is[booking.Declined](t, result, err)
				if declined.Code != payment.DeclineNoSwap {
					t.Errorf("it is %+v", declined)
				}
				h.rests(t)
				return declined.Reservation
			}
			h.setBack(t, held, settings.HoldLimit-2*time.Minute)
			for range 2 {
				got := pays()
				if last := got.CreatedAt.Add(settings.HoldLimit); got.Status != booking.StatusHeld || !got.HeldUntil.Equal(last) {
					t.Errorf("it is %s until %v, want %s", got.Status, got.HeldUntil, last)
				}
			}
			h.setBack(t, held, 3*time.Minute)
			if got := pays(); got.Status != booking.StatusExpired || h.swapOf(t, held).State != booking.SwapGivenUp {
				t.Errorf("it is %+v", got)
			}
			result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
			is[booking.Expired](t, result, err)
			in := h.request(take...)
			in.ShowtimeID = held.ShowtimeID
			reserved, err := h.booking.Reserve(t.Context(), newViewer(), in)
			is[booking.Reserved](t, reserved, err)
			h.rests(t)
		})
	}
}

// While a payment decides, nobody else touches what is given.
func TestService_SwapSeats_under_way(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Seats: 100, Showtimes: 2}), newViewer()
	h.policy(t, swappable)
	o := h.buy(t, viewer, 11, 12)
	held, _ := h.holds(t, viewer, h.swapInput(o, []int{11}, 1, 21))
	held2, _ := h.holds(t, viewer, h.swapInput(o, []int{12}, 1, 22, 23))
	late, _ := h.holds(t, viewer, h.swapInput(o, []int{11}, 1, 24, 25))
	changed, err := h.booking.ChangeSeats(t.Context(), viewer, func() booking.ChangeInput {
		in := h.changeTo(held, 21, 26)
		in.ShowtimeID = held.ShowtimeID
		return in
	}())
	is[booking.Changed](t, changed, err)
	h.gateway.Next(gatewaytest.Capture, gatewaytest.Before(func() {
		for _, in := range []booking.CancelInput{cancelInput(o), h.seatsOf(o, 11), h.seatsOf(o, 12)} {
			result, err := h.booking.Cancel(t.Context(), viewer, in)
			refused(t, result, err, apperr.Conflict)
		}
		if got := h.admits(t, o); !slices.Equal(got, []int{12}) {
			t.Errorf("%v admit", got)
		}
		result, err := h.booking.SwapSeats(t.Context(), viewer, h.swapInput(o, []int{12}, 1, 27))
		if got := is[booking.SwapUnavailable](t, result, err); got.Reason != booking.SwapUnderWay {
			t.Errorf("it is %+v", got)
		}
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(held2))
		if got := is[booking.Declined](t, paid, err); got.Code != payment.DeclineNoSwap {
			t.Errorf("it is %+v", got)
		}
		// The reconciler lets it be: it is not decided.
		if _, err := h.process(h.gateway, settings).Reconcile(t.Context()); err != nil {
			t.Error(err)
		}
	}))
	result, err := h.booking.Pay(t.Context(), viewer, payInput(held))
	is[booking.Paid](t, result, err)
	h.rests(t)
	result, err = h.booking.Pay(t.Context(), viewer, payInput(late))
	is[booking.Declined](t, result, err)
	result, err = h.booking.Pay(t.Context(), viewer, payInput(held2))
	is[booking.Paid](t, result, err)
	h.rests(t)
}

// Whose seats are called off while they are swapped gets everything back that does not pay the others: no fee is kept, and of what
// is left over no share.
func TestService_SwapSeats_called_off_meanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100, Showtimes: 2})
	h.policy(t, swappable)
	for name, test := range map[string]struct {
		gives           func(t *testing.T, viewer auth.Viewer) booking.Reservation
		take            int
		credit, due     int64
		told, comesBack int64
	}{
		"something_is_left": {func(t *testing.T, viewer auth.Viewer) booking.Reservation {
			return h.buy(t, viewer, h.fresh(2)...)
		}, 1, 1200, 0, 550, 1200},
		"paid_by_money_of_two_attempts": {func(t *testing.T, viewer auth.Viewer) booking.Reservation {
			o := h.buy(t, viewer, h.fresh(1)...)
			came, _, _ := h.swaps(t, viewer, h.swapInput(o, nil, 0, h.Positions("PREMIUM")[0]))
			return came
		}, 2, 1700, 700, 0, 100},
	} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			gave := test.gives(t, viewer)
			held, told := h.holds(t, viewer, h.swapInput(gave, nil, 1, h.fresh(test.take)...))
			if told.Credit != nzd(test.credit) || told.Due != nzd(test.due) || told.ComesBack != nzd(test.told) {
				t.Fatalf("told was %+v", told)
			}
			before, dies := h.captured(), h.mortal(2) // when the seats are taken, and not yet given
			died(t, func() { _, _ = dies.Pay(t.Context(), viewer, payInput(held)) })
			h.Exec(t, `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, gave.ShowtimeID)
			h.reconcile(t)
			h.Exec(t, `UPDATE showtimes SET status = 'SCHEDULED' WHERE id = $1`, gave.ShowtimeID)
			if got, want := h.captured()-before, test.due-test.comesBack; got != want {
				t.Errorf("the gateway has %d more, want %d", got, want)
			}
			p := h.paymentOf(t, gave)
			if p.Carried() != nzd(test.credit) || p.Refunded != nzd(test.comesBack) || p.Status != payment.StatusRefunded {
				t.Errorf("its payment is %+v", p)
			}
			back := fixture.Get[int64](t, h.DB, `SELECT back_minor FROM handovers WHERE showtime_id = $1 AND reservation_id = $2`, gave.ShowtimeID, gave.ID)
			if back != test.comesBack {
				t.Errorf("the handover says that %d come back", back)
			}
			h.rests(t)
		})
	}
}

// mortal is a process that dies when it tells those who watch for the nth time: just after the nth commit that changed seats.
func (h *house) mortal(n int32) *booking.Service {
	var told atomic.Int32
	return h.processTelling(h.gateway, settings, func(id uuid.UUID) {
		h.hints.add(id)
		if told.Add(1) == n {
			panic(gatewaytest.Death)
		}
	})
}

// TestService_SwapSeats_deaths ends the process that pays at each edge. Others bring it to one of two ends: either everything is
// as it was, or it is swapped; and the gateway's books are those of the tables.
func TestService_SwapSeats_deaths(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 200, MaxSeats: 100, Showtimes: 2})
	h.policy(t, swappable)
	type edge struct {
		dies  func() *booking.Service
		swaps bool
		due   bool // something is to be paid
		back  bool // something comes back
	}
	gateway := func(op gatewaytest.Op, fault gatewaytest.Fault) func() *booking.Service {
		return func() *booking.Service {
			h.gateway.Next(op, fault)
			return h.booking
		}
	}
	told := func(n int32) func() *booking.Service { return func() *booking.Service { return h.mortal(n) } }
	lapses := func() *booking.Service {
		h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
		return h.mortal(2)
	}
	edges := map[string]edge{
		"before_it_is_authorized":          {gateway(gatewaytest.Authorize, gatewaytest.DiesBefore), false, true, false},
		"after_it_is_authorized":           {gateway(gatewaytest.Authorize, gatewaytest.DiesAfter), true, true, false},
		"before_the_seats_are_taken":       {told(1), true, true, false},
		"before_the_capture":               {gateway(gatewaytest.Capture, gatewaytest.DiesBefore), true, true, false},
		"after_the_capture":                {gateway(gatewaytest.Capture, gatewaytest.DiesAfter), true, true, false},
		"before_the_seats_are_given":       {told(2), true, true, false},
		"after_the_seats_are_given":        {told(3), true, true, false},
		"when_the_capture_failed":          {lapses, false, true, false},
		"nothing_due_before_they_are_held": {told(1), true, false, true},
		"nothing_due_before_they_go":       {told(2), true, false, true},
		"before_what_is_left_comes_back":   {told(3), true, false, true},
		"while_what_is_left_comes_back":    {gateway(gatewaytest.Refund, gatewaytest.DiesAfter), true, false, true},
	}
	for name, edge := range edges {
		for _, showtime := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s/showtime_%d", name, showtime), func(t *testing.T) {
				viewer, seats := newViewer(), h.fresh(2)
				o := h.buy(t, viewer, seats...)
				give, take := seats[:1], h.fresh(2)
				if edge.back {
					give, take = nil, take[:1]
				}
				held, told := h.holds(t, viewer, h.swapInput(o, give, showtime, take...))
				if (told.Due.AmountMinor > 0) != edge.due || (told.ComesBack.AmountMinor > 0) != edge.back {
					t.Fatalf("told was %+v", told)
				}
				before := h.captured()
				dies := edge.dies()
				died(t, func() { _, _ = dies.Pay(t.Context(), viewer, payInput(held)) })
				together(3, func(int) {
					if _, err := h.process(h.gateway, settings).Reconcile(t.Context()); err != nil {
						t.Error(err)
					}
				})
				for range 2 {
					h.reconcile(t)
				}
				if !edge.swaps {
					h.whole(t, viewer, o)
					h.rests(t)
					h.cancels(t, viewer, cancelInput(held))
					return
				}
				if got, want := h.captured()-before, told.Due.AmountMinor-told.ComesBack.AmountMinor; got != want {
					t.Errorf("the gateway has %d more, %d was told", got, want)
				}
				got, err := h.booking.Reservation(t.Context(), viewer, held.ShowtimeID, held.ID)
				if err != nil || got.Status != booking.StatusConfirmed || len(h.admits(t, got)) != len(take) {
					t.Errorf("what came is %+v, %v", got, err)
				}
				if got := h.admits(t, o); len(give) == 0 && len(got) != 0 || len(give) > 0 && !slices.Equal(got, seats[1:]) {
					t.Errorf("of what gave %v admit", got)
				}
				h.rests(t)
			})
		}
	}
}
