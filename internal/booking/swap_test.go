package booking_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/pricing"
)

// swappable lets customers swap until half an hour before the start, for 100; who cancels gets half, and a tenth in the last hour.
var swappable = pricing.RefundPolicy{
	Steps: []pricing.RefundStep{{Minutes: 60, BasisPoints: 5000}, {Minutes: 0, BasisPoints: 1000}},
	Swap:  &pricing.SwapTerms{Minutes: 30, FeeMinor: 100},
}

// freely is swappable that gives everything back and asks nothing.
var freely = pricing.RefundPolicy{
	Steps: []pricing.RefundStep{{Minutes: 0, BasisPoints: 10_000}}, FeesReturned: true, Swap: &pricing.SwapTerms{},
}

// swapInput asks to give seats of a reservation, all without any, for seats of a showtime of the house.
func (h *house) swapInput(r booking.Reservation, give []int, showtime int, take ...int) booking.SwapInput {
	in := booking.SwapInput{CancelInput: cancelInput(r), Take: h.request(take...)}
	in.SeatIDs, in.Take.ShowtimeID = h.SeatIDs(give...), h.Showtimes[showtime].ID
	return in
}

// holds asks for a swap, which must be held as it was told, and returns the reservation that comes.
func (h *house) holds(t testing.TB, viewer auth.Viewer, in booking.SwapInput) (booking.Reservation, booking.SwapPreview) {
	t.Helper()
	preview, err := h.booking.PreviewSwap(t.Context(), viewer, in)
	told := is[booking.SwapPreview](t, preview, err)
	result, err := h.booking.SwapSeats(t.Context(), viewer, in)
	r := is[booking.SwapHeld](t, result, err).Reservation
	swap := h.swapOf(t, r)
	if swap.State != booking.SwapOpen || swap.Due != told.Due || swap.Credit != told.Credit || swap.Fee != told.Fee || swap.Value != told.Value || r.Total != told.Price {
		t.Errorf("it is %+v, told was %+v", swap, told)
	}
	return r, told
}

func (h *house) swapOf(t testing.TB, r booking.Reservation) booking.Swap {
	t.Helper()
	swaps, err := h.booking.SwapsOf(t.Context(), []payment.Reference{r.Reference()})
	if err != nil || len(swaps) != 1 {
		t.Fatalf("swaps %v, %v", swaps, err)
	}
	return swaps[r.Reference()]
}

// swaps holds and pays, which must work, and returns the reservation that came and the one that gave.
func (h *house) swaps(t testing.TB, viewer auth.Viewer, in booking.SwapInput) (came, gave booking.Reservation, told booking.SwapPreview) {
	t.Helper()
	came, told = h.holds(t, viewer, in)
	before := h.captured()
	result, err := h.booking.Pay(t.Context(), viewer, payInput(came))
	came = is[booking.Paid](t, result, err).Reservation
	if got, want := h.captured()-before, told.Due.AmountMinor-told.ComesBack.AmountMinor; got != want {
		t.Errorf("the gateway has %d more, %d was told", got, want)
	}
	gave, err = h.booking.Reservation(t.Context(), viewer, in.ShowtimeID, in.ReservationID)
	if err != nil {
		t.Fatal(err)
	}
	return came, gave, told
}

// admits returns the positions of those tickets of a reservation that admit.
func (h *house) admits(t testing.TB, r booking.Reservation) (positions []int) {
	t.Helper()
	tickets, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	for _, ticket := range tickets[r.Reference()] {
		if ticket.Status == booking.TicketIssued {
			positions = append(positions, int(ticket.Seat.Position))
		}
	}
	return positions
}

func TestService_SwapSeats(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100, Showtimes: 3})
	h.policy(t, swappable)
	for name, test := range map[string]struct {
		bought, give, showtime   int
		category                 string
		take                     int
		value, credit, due, back int64
	}{
		"one_seat_for_a_dearer_one_of_the_same_showtime": {2, 1, 0, "PREMIUM", 1, 1200, 1100, 700, 0},
		"all_for_a_dearer_one_of_another_showtime":       {1, 0, 1, "PREMIUM", 1, 1200, 1100, 700, 0},
		"two_for_a_cheaper_one":                          {2, 0, 1, "STANDARD", 1, 2400, 1200, 0, 550},
		"one_of_three_for_a_cheaper_one":                 {3, 1, 2, "WHEELCHAIR", 1, 1200, 1100, 0, 0},
		"one_for_what_costs_nothing":                     {1, 0, 2, "COMPANION", 1, 1200, 0, 0, 550},
		"one_for_more":                                   {1, 0, 2, "STANDARD", 3, 1200, 1100, 2500, 0},
	} {
		t.Run(name, func(t *testing.T) {
			viewer := newViewer()
			bought := h.fresh(test.bought)
			o := h.buy(t, viewer, bought...)
			take := h.Positions(test.category)[:test.take]
			if test.category == "STANDARD" {
				take = h.fresh(test.take)
			}
			h.hints.take()
			came, gave, told := h.swaps(t, viewer, h.swapInput(o, bought[:test.give], test.showtime, take...))
			if told.Value != nzd(test.value) || told.Fee != nzd(100) || told.Credit != nzd(test.credit) || told.Due != nzd(test.due) || told.ComesBack != nzd(test.back) {
				t.Errorf("told was %+v", told)
			}
			kept := bought[test.give:]
			if test.give == 0 {
				kept = nil
			}
			if got := h.admits(t, gave); !slices.Equal(got, kept) || (gave.Status == booking.StatusCancelled) != (test.give == 0) {
				t.Errorf("of the one that gave %v admit, want %v; it is %s", got, kept, gave.Status)
			}
			if got := h.admits(t, came); !slices.Equal(got, take) || came.Status != booking.StatusConfirmed {
				t.Errorf("of the one that came %v admit, want %v; it is %s", got, take, came.Status)
			}
			if swap := h.swapOf(t, came); swap.State != booking.SwapDone || swap.From != o.Reference() {
				t.Errorf("the swap is %+v", swap)
			}
			p := h.paymentOf(t, gave)
			if got := p.Carried().AmountMinor; got != test.credit || p.Refunded != nzd(test.back) || p.Promised() != nzd(test.back) {
				t.Errorf("%d were carried, %v and %v go back", got, p.Refunded, p.Promised())
			}
			if paid := h.paymentOf(t, came); paid.Amount != came.Total || paid.Status != payment.StatusCaptured {
				t.Errorf("the payment is %+v", paid)
			}
			if hints := h.hints.take(); hints[h.Show()] == 0 || hints[h.Showtimes[test.showtime].ID] == 0 {
				t.Errorf("those who watch were told %v", hints)
			}
			h.rests(t)
			// Whoever comes next gets the seats, and the one that came is given back as it is worth: every part the way it came.
			h.buy(t, newViewer(), bought[:max(test.give, 1)]...)
			before := h.captured()
			h.cancels(t, viewer, cancelInput(came))
			if got := before - h.captured(); got != came.Total.AmountMinor/2 {
				t.Errorf("%d of %d went back", got, came.Total.AmountMinor)
			}
			h.rests(t)
		})
	}
}

// Money goes on with the seats, however often they are swapped, and comes back to the card that paid.
func TestService_SwapSeats_again_and_again(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Seats: 100, Showtimes: 3}), newViewer()
	h.policy(t, freely)
	r := h.buy(t, viewer, 11, 12)
	premium := h.Positions("PREMIUM")
	r, _, _ = h.swaps(t, viewer, h.swapInput(r, nil, 1, 11, premium[0]))   // 600 more
	r, _, _ = h.swaps(t, viewer, h.swapInput(r, []int{11}, 2, premium[1])) // 600 more; the other stays
	if r.Total != nzd(1800) {
		t.Fatalf("it costs %v", r.Total)
	}
	r, _, _ = h.swaps(t, viewer, h.swapInput(r, nil, 0, 13, 14)) // 600 more
	h.rests(t)
	result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, 13))
	is[booking.Cancelled](t, result, err)
	h.rests(t)
	h.gateway.Next(gatewaytest.Refund, gatewaytest.AnswerLost, gatewaytest.NeverArrives)
	result, err = h.booking.Cancel(t.Context(), viewer, cancelInput(r))
	is[booking.Cancelled](t, result, err)
	h.reconcile(t)
	h.rests(t)
	// One is left, which cost 1800.
	if got := h.captured(); got != 1800 {
		t.Errorf("the gateway has %d, want 1800", got)
	}
}

// What a swap cost stays what it was when seats of it are given back.
func TestService_SwapsOf_cancelled_in_part(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, freely)
	came, _, told := h.swaps(t, viewer, h.swapInput(h.buy(t, viewer, 11, 12), nil, 1, 11, 12, 13))
	h.cancels(t, viewer, h.seatsOf(came, 12, 13))
	if swap := h.swapOf(t, came); swap.Credit != told.Credit || swap.Due != told.Due || swap.Due != nzd(1200) {
		t.Errorf("the swap is %+v, told was %+v", swap, told)
	}
	h.rests(t)
}

// What was paid at the counter pays what it is swapped for, and is paid out there.
func TestService_SwapSeats_paid_at_the_counter(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, freely)
	held := h.hold(t, viewer, 11, 12)
	paid, err := h.booking.PayAtCounter(t.Context(), h.staff(), booking.CounterPayInput{
		ShowtimeID: held.ShowtimeID, ReservationID: held.ID, Tender: cash(2400), IdempotencyKey: newKey(),
	})
	is[booking.PaidAtCounter](t, paid, err)
	came, told := h.holds(t, viewer, h.swapInput(held, []int{11}, 1, h.Positions("PREMIUM")[0]))
	counter, err := h.booking.PayAtCounter(t.Context(), h.staff(), booking.CounterPayInput{
		ShowtimeID: came.ShowtimeID, ReservationID: came.ID, Tender: cash(5000), IdempotencyKey: newKey(),
	})
	refused(t, counter, err, apperr.Conflict)
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 2})
	later, err := h.booking.PayLater(t.Context(), viewer, holdInput(came))
	refused(t, later, err, apperr.Conflict)
	result, err := h.booking.Pay(t.Context(), viewer, payInput(came))
	is[booking.Paid](t, result, err)
	if told.Due != nzd(600) || h.captured() != 600 {
		t.Errorf("%v is due, the gateway has %d", told.Due, h.captured())
	}
	h.rests(t)
	got, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(came, true))
	if out := is[booking.PaidOut](t, got, err); out.Amount != nzd(1200) || h.captured() != 0 {
		t.Errorf("%v was paid out, the gateway has %d", out.Amount, h.captured())
	}
	h.rests(t)
}

// Cash that a swap carried is cash: what it pays alone was paid with it, and of what it pays with other money each part goes back
// the way it came.
func TestService_SwapSeats_carries_cash(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, freely)
	held := h.hold(t, viewer, 11, 12)
	paid, err := h.booking.PayAtCounter(t.Context(), h.staff(), counterInput(held, cash(2400)))
	is[booking.PaidAtCounter](t, paid, err)
	for _, test := range []struct {
		give, take int
		method     payment.Method
		refunds    map[payment.Method]payment.RefundStatus
	}{
		{11, 11, payment.MethodCash, map[payment.Method]payment.RefundStatus{payment.MethodCash: payment.RefundPending}},
		{12, h.Positions("PREMIUM")[0], payment.MethodOnline, map[payment.Method]payment.RefundStatus{
			payment.MethodOnline: payment.RefundDone, payment.MethodCash: payment.RefundPending,
		}},
	} {
		came, _, _ := h.swaps(t, viewer, h.swapInput(held, []int{test.give}, 1, test.take))
		if got := h.paymentOf(t, came).Method(); got != test.method {
			t.Errorf("what came for %d was paid %s, want %s", test.give, got, test.method)
		}
		h.cancels(t, viewer, cancelInput(came))
		got := map[payment.Method]payment.RefundStatus{}
		for _, refund := range h.paymentOf(t, came).Refunds {
			got[refund.Method()] = refund.Status
		}
		if !maps.Equal(got, test.refunds) {
			t.Errorf("of what came for %d goes back %v, want %v", test.give, got, test.refunds)
		}
		out, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(came, false))
		if out := is[booking.PaidOut](t, out, err); out.Amount != nzd(1200) {
			t.Errorf("for %d, %v was paid out", test.give, out.Amount)
		}
	}
	for _, refund := range h.paymentOf(t, held).Refunds {
		if refund.To == nil || refund.Method() != payment.MethodCash {
			t.Errorf("carried was %+v", refund)
		}
	}
	h.rests(t)
}

func TestService_SwapSeats_refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 4, Showtimes: 2})
	viewer := newViewer()
	unoffered := h.buy(t, viewer, 11)
	h.policy(t, swappable)
	r := h.buy(t, viewer, 12, 13)
	unavailable := func(t *testing.T, in booking.SwapInput, want booking.SwapReason) {
		t.Helper()
		preview, err := h.booking.PreviewSwap(t.Context(), viewer, in)
		if got := is[booking.SwapUnavailable](t, preview, err); got.Reason != want {
			t.Errorf("the preview says %s, want %s", got.Reason, want)
		}
		result, err := h.booking.SwapSeats(t.Context(), viewer, in)
		if got := is[booking.SwapUnavailable](t, result, err); got.Reason != want || (got.ClosedAt != nil) != (want == booking.SwapTooLate) {
			t.Errorf("it is %+v, want %s", got, want)
		}
	}
	bad := func(t *testing.T, viewer auth.Viewer, in booking.SwapInput, code apperr.Code) {
		t.Helper()
		result, err := h.booking.SwapSeats(t.Context(), viewer, in)
		refused(t, result, err, code)
		preview, err := h.booking.PreviewSwap(t.Context(), viewer, in)
		refused(t, preview, err, code)
	}
	t.Run("under_a_policy_that_has_none", func(t *testing.T) { unavailable(t, h.swapInput(unoffered, nil, 1, 20), booking.SwapNotOffered) })
	t.Run("of_strangers", func(t *testing.T) { bad(t, newViewer(), h.swapInput(r, nil, 1, 20), apperr.NotFound) })
	t.Run("of_what_is_not_paid", func(t *testing.T) {
		held := h.hold(t, viewer, 14)
		bad(t, viewer, h.swapInput(held, nil, 1, 20), apperr.Conflict)
		h.cancels(t, viewer, cancelInput(held))
		bad(t, viewer, h.swapInput(held, nil, 1, 20), apperr.Conflict)
	})
	t.Run("for_its_own_seats", func(t *testing.T) { bad(t, viewer, h.swapInput(r, []int{12}, 0, 13), apperr.BadUserInput) })
	t.Run("of_seats_that_it_never_had", func(t *testing.T) { bad(t, viewer, h.swapInput(r, []int{15}, 1, 20), apperr.BadUserInput) })
	t.Run("for_a_showtime_that_does_not_exist", func(t *testing.T) {
		in := h.swapInput(r, nil, 1, 20)
		in.Take.ShowtimeID = viewer.UserID
		bad(t, viewer, in, apperr.NotFound)
	})
	t.Run("for_another_theater", func(t *testing.T) {
		other := fixture.New(t, h.DB, fixture.Plan{})
		in := h.swapInput(r, nil, 1, 20)
		in.Take.ShowtimeID, in.Take.SeatIDs = other.Show(), other.SeatIDs(20)
		unavailable(t, in, booking.SwapOtherTheater)
	})
	t.Run("for_another_currency", func(t *testing.T) {
		h := newHouse(t, fixture.Plan{Showtimes: 2})
		h.policy(t, swappable)
		h.Exec(t, `UPDATE showtime_sales SET currency = 'EUR' WHERE showtime_id = $1`, h.Showtimes[1].ID)
		r := h.buy(t, viewer, 11)
		result, err := h.booking.SwapSeats(t.Context(), viewer, h.swapInput(r, nil, 1, 20))
		if got := is[booking.SwapUnavailable](t, result, err); got.Reason != booking.SwapOtherTheater {
			t.Errorf("it is %+v", got)
		}
	})
	t.Run("of_used_tickets", func(t *testing.T) {
		h.Exec(t, `UPDATE tickets SET status = 'REDEEMED' WHERE seat_no = 12`)
		bad(t, viewer, h.swapInput(r, nil, 1, 20), apperr.Conflict)
		result, err := h.booking.SwapSeats(t.Context(), viewer, h.swapInput(r, []int{13}, 1, 20))
		h.cancels(t, viewer, cancelInput(is[booking.SwapHeld](t, result, err).Reservation))
		h.Exec(t, `UPDATE tickets SET status = 'ISSUED' WHERE seat_no = 12`)
	})
	t.Run("for_seats_of_others", func(t *testing.T) {
		h.Block(t, h.Showtimes[1].ID, 21)
		result, err := h.booking.SwapSeats(t.Context(), viewer, h.swapInput(r, nil, 1, 20, 21))
		is[booking.SeatsUnavailable](t, result, err)
	})
	t.Run("for_more_than_was_agreed", func(t *testing.T) {
		in := h.swapInput(r, []int{12}, 1, 20)
		in.MostDueMinor = new(int64(99))
		result, err := h.booking.SwapSeats(t.Context(), viewer, in)
		is[booking.PriceTooHigh](t, result, err)
		in.MostDueMinor = new(int64(100))
		result, err = h.booking.SwapSeats(t.Context(), viewer, in)
		h.cancels(t, viewer, cancelInput(is[booking.SwapHeld](t, result, err).Reservation))
	})
	t.Run("for_less_than_nothing", func(t *testing.T) {
		in := h.swapInput(r, []int{12}, 1, 20)
		in.MostDueMinor = new(int64(-1))
		bad(t, viewer, in, apperr.BadUserInput)
	})
	t.Run("beyond_the_limit", func(t *testing.T) { // three are had, one of which does not count
		result, err := h.booking.SwapSeats(t.Context(), viewer, h.swapInput(r, []int{12}, 0, 21, 22, 23))
		if got := is[booking.LimitExceeded](t, result, err); got.Remaining != 2 {
			t.Errorf("it is %+v", got)
		}
		held, _ := h.holds(t, viewer, h.swapInput(r, []int{12}, 0, 21))
		for size, want := range map[int]bool{3: false, 2: true} {
			result, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(held, []int{21, 23, 24}[:size]...))
			if _, changed := result.(booking.Changed); changed != want || err != nil {
				t.Errorf("%d seats: %#v, %v", size, result, err)
			}
		}
		reserved, err := h.booking.Reserve(t.Context(), viewer, h.request(25))
		is[booking.LimitExceeded](t, reserved, err)
		h.rests(t)
		h.cancels(t, viewer, cancelInput(held))
	})
	t.Run("too_late", func(t *testing.T) {
		h.startsIn(t, 29*time.Minute)
		unavailable(t, h.swapInput(r, nil, 1, 20), booking.SwapTooLate)
	})
	h.rests(t)
}

// A showtime that was called off is worth all that was paid for it.
func TestService_SwapSeats_called_off(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, swappable)
	early, late := h.buy(t, viewer, 11, 12), h.buy(t, viewer, 13)
	before, told := h.holds(t, viewer, h.swapInput(early, nil, 1, 11))
	if told.Fee != nzd(100) || told.ComesBack != nzd(550) {
		t.Errorf("told was %+v", told)
	}
	h.startsIn(t, time.Minute)
	h.Exec(t, `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, h.Show())
	// What was held before gets back what it did not pay with, the fee too.
	result, err := h.booking.Pay(t.Context(), viewer, payInput(before))
	is[booking.Paid](t, result, err)
	h.wantRefunds(t, early, "1200 SWAP DONE", "1200 SWAP DONE")
	in := h.swapInput(late, nil, 1, h.Positions("PREMIUM")[0])
	h.Exec(t, `UPDATE tickets SET status = 'REDEEMED' WHERE reservation_id = $1`, late.ID)
	preview, err := h.booking.PreviewSwap(t.Context(), viewer, in)
	refused(t, preview, err, apperr.Conflict)
	swapped, err := h.booking.SwapSeats(t.Context(), viewer, in)
	refused(t, swapped, err, apperr.Conflict)
	h.Exec(t, `UPDATE tickets SET status = 'ISSUED' WHERE reservation_id = $1`, late.ID)
	_, _, told = h.swaps(t, viewer, in)
	if told.Fee != nzd(0) || told.Due != nzd(600) || told.Until != nil {
		t.Errorf("told was %+v", told)
	}
	h.rests(t)
}

// Codes are used for what comes, and those of what goes are given back with it.
func TestService_SwapSeats_with_codes(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, freely)
	code := h.code(t, "QUARTER", nil)
	reserved, err := h.booking.Reserve(t.Context(), viewer, using(h.request(11, 12), "QUARTER"))
	r := is[booking.Reserved](t, reserved, err).Reservation
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Paid](t, result, err)
	h.wantUsed(t, code, 1, 600)
	in := h.swapInput(r, []int{11}, 1, h.Positions("PREMIUM")[0])
	in.Take = using(in.Take, "QUARTER")
	held, told := h.holds(t, viewer, in)
	if told.Value != nzd(900) || told.Due != nzd(450) {
		t.Errorf("told was %+v", told)
	}
	// Without the code more is due.
	changed, err := h.booking.ChangeSeats(t.Context(), viewer, func() booking.ChangeInput {
		in := h.changeTo(held, h.Positions("PREMIUM")[0])
		in.PromoCodes = []string{}
		return in
	}())
	is[booking.Changed](t, changed, err)
	if swap := h.swapOf(t, held); swap.Due != nzd(900) || swap.Credit != nzd(900) {
		t.Errorf("the swap is %+v", swap)
	}
	before := h.captured()
	result, err = h.booking.Pay(t.Context(), viewer, payInput(held))
	is[booking.Paid](t, result, err)
	if h.captured()-before != 900 {
		t.Errorf("the gateway has %d more", h.captured()-before)
	}
	h.wantUsed(t, code, 1, 300)
	h.rests(t)
}

// Twins of one key hold seats once, and what was done stays done.
func TestService_SwapSeats_twins(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, freely)
	r := h.buy(t, viewer, 11, 12)
	in := h.swapInput(r, nil, 1, 11)
	var held [8]booking.Reservation
	together(len(held), func(i int) {
		result, err := h.booking.SwapSeats(t.Context(), viewer, in)
		if got, ok := result.(booking.SwapHeld); ok {
			held[i] = got.Reservation
		} else {
			t.Errorf("%#v, %v", result, err)
		}
	})
	for _, one := range held {
		if one.ID != held[0].ID {
			t.Errorf("%s and %s", one.ID, held[0].ID)
		}
	}
	result, err := h.booking.Pay(t.Context(), viewer, payInput(held[0]))
	is[booking.Paid](t, result, err)
	again, err := h.booking.SwapSeats(t.Context(), viewer, in)
	if got := is[booking.SwapHeld](t, again, err).Reservation; got.ID != held[0].ID || got.Status != booking.StatusConfirmed {
		t.Errorf("once more it is %+v", got)
	}
	other := in
	other.SeatIDs = h.SeatIDs(11)
	again, err = h.booking.SwapSeats(t.Context(), viewer, other)
	refused(t, again, err, apperr.IdempotencyKeyReused)
	plain, err := h.booking.Reserve(t.Context(), viewer, in.Take)
	refused(t, plain, err, apperr.IdempotencyKeyReused)
	h.rests(t)
}
