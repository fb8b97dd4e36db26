package booking_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
)

// policy gives the house a refund policy for what is held from now on.
func (h *house) policy(t testing.TB, p pricing.RefundPolicy) {
	t.Helper()
	steps, err := json.Marshal(append([]pricing.RefundStep{}, p.Steps...))
	if err != nil {
		t.Fatal(err)
	}
	var minutes, fee *int64
	if p.Swap != nil {
		minutes, fee = new(int64(p.Swap.Minutes)), &p.Swap.FeeMinor
	}
	h.Exec(t, `INSERT INTO refund_policies (theater_id, version, steps, late_without_refund, kept_per_ticket_minor, kept_once_minor, fees_returned,
			swap_minutes, swap_fee_minor, holds_from)
		SELECT $1, 1 + count(*), $2, $3, $4, $5, $6, $7, $8, now() FROM refund_policies WHERE theater_id = $1`,
		h.TheaterID, string(steps), p.LateWithoutRefund, p.KeptPerTicketMinor, p.KeptOnceMinor, p.FeesReturned, minutes, fee)
}

// half gives back half of the price until an hour before the start, a tenth until the start, and no fees.
var half = pricing.RefundPolicy{
	Steps:              []pricing.RefundStep{{Minutes: 60, BasisPoints: 5000}, {Minutes: 0, BasisPoints: 1000}},
	KeptPerTicketMinor: 20, KeptOnceMinor: 50,
}

// seatsOf asks to cancel seats of a reservation, by position.
func (h *house) seatsOf(r booking.Reservation, positions ...int) booking.CancelInput {
	in := cancelInput(r)
	in.SeatIDs = h.SeatIDs(positions...)
	return in
}

// cancels does what a preview was made of, which must work: it does what the preview says, to the minor unit.
func (h *house) cancels(t testing.TB, viewer auth.Viewer, in booking.CancelInput) booking.Reservation {
	t.Helper()
	before := h.promised(t, in)
	preview, err := h.booking.PreviewRefund(t.Context(), viewer, in)
	told := is[booking.RefundPreview](t, preview, err)
	result, err := h.booking.Cancel(t.Context(), viewer, in)
	r := is[booking.Cancelled](t, result, err).Reservation
	if got := h.promised(t, in) - before; got != told.Refund.AmountMinor {
		t.Errorf("%d comes back, %d was told", got, told.Refund.AmountMinor)
	}
	sum := told.FeesRefunded.AmountMinor - told.Kept.AmountMinor
	for _, seat := range told.Seats {
		sum += seat.Refund.AmountMinor
	}
	if sum != told.Refund.AmountMinor {
		t.Errorf("the parts of a preview are %d, the whole %d", sum, told.Refund.AmountMinor)
	}
	left := r.Total.AmountMinor
	if r.Status == booking.StatusCancelled {
		left = fixture.Get[int64](t, h.DB, `SELECT coalesce(sum(captured_minor - promised_minor), 0)::bigint FROM payments
			WHERE showtime_id = $1 AND reservation_id = $2 AND status = 'CAPTURED'`, in.ShowtimeID, in.ReservationID)
	}
	if left != told.Remaining.AmountMinor {
		t.Errorf("it costs %d afterwards, %d was told", left, told.Remaining.AmountMinor)
	}
	preview, err = h.booking.PreviewRefund(t.Context(), viewer, in)
	if again := is[booking.RefundPreview](t, preview, err); again.Remaining != told.Remaining || again.Refund.AmountMinor != 0 {
		t.Errorf("asked again, %v is left, and %v comes back; %v was told", again.Remaining, again.Refund, told.Remaining)
	}
	return r
}

// promised is what goes back of a reservation's payment.
func (h *house) promised(t testing.TB, in booking.CancelInput) int64 {
	t.Helper()
	return fixture.Get[int64](t, h.DB, `SELECT coalesce(sum(promised_minor), 0)::bigint FROM payments WHERE showtime_id = $1 AND reservation_id = $2`,
		in.ShowtimeID, in.ReservationID)
}

// startsIn moves the first showtime.
func (h *house) startsIn(t testing.TB, lead time.Duration) {
	t.Helper()
	h.Exec(t, `UPDATE showtimes SET starts_at = now() + $2 * interval '1 millisecond', ends_at = now() + $2 * interval '1 millisecond' + interval '122 minutes',
		occupied_until = now() + $2 * interval '1 millisecond' + interval '142 minutes' WHERE id = $1`, h.Show(), lead.Milliseconds())
}

func TestService_Cancel_seats(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100})
	t.Run("the_rest_stays", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(3)
		r := h.buy(t, viewer, seats...)
		h.hints.take()
		got := h.cancels(t, viewer, h.seatsOf(r, seats[1]))
		if got.Status != booking.StatusConfirmed || got.Total != nzd(2400) || !slices.Equal(got.Positions, []int16{int16(seats[0]), int16(seats[2])}) ||
			!slices.Equal(got.Released, []int16{int16(seats[1])}) {
			t.Errorf("it is %+v", got)
		}
		if letters := h.letters(t, seats...); letters != "TAT" || h.hints.take()[h.Show()] != 1 {
			t.Errorf("seats %s, want TAT, and one hint", letters)
		}
		tickets, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []booking.TicketStatus{booking.TicketIssued, booking.TicketRevoked, booking.TicketIssued} {
			if one := tickets[r.Reference()][i]; one.Status != want {
				t.Errorf("ticket %+v, want %s", one, want)
			}
		}
		if p := h.paymentOf(t, r); p.Status != payment.StatusCaptured || p.Refunded != nzd(1200) {
			t.Errorf("the payment is %+v", p)
		}
		// The same again changes nothing, with a seat that went before or without.
		for _, in := range []booking.CancelInput{h.seatsOf(r, seats[1]), h.seatsOf(r, seats[1], seats[2]), h.seatsOf(r, seats[1], seats[2])} {
			result, err := h.booking.Cancel(t.Context(), viewer, in)
			is[booking.Cancelled](t, result, err)
		}
		h.wantRefunds(t, r, "1200 CUSTOMER DONE", "1200 CUSTOMER DONE")
		// Someone else has the seat, and the last one ends it.
		h.buy(t, newViewer(), seats[1])
		if got := h.cancels(t, viewer, h.seatsOf(r, seats[0])); got.Status != booking.StatusCancelled {
			t.Errorf("without a seat it is %s", got.Status)
		}
		h.wantRefunds(t, r, "1200 CUSTOMER DONE", "1200 CUSTOMER DONE", "1200 CUSTOMER DONE")
		if p := h.paymentOf(t, r); p.Status != payment.StatusRefunded || p.Refunded != nzd(3600) {
			t.Errorf("the payment is %+v", p)
		}
		h.wantAttempts(t, r, payment.AttemptCaptured)
		h.rests(t)
	})
	t.Run("of_a_hold", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(3)
		r := h.hold(t, viewer, seats...)
		h.gateway.Next(gatewaytest.Authorize, h.gateway.Declines("do_not_honor"))
		declined, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, declined, err)
		got := h.cancels(t, viewer, h.seatsOf(r, seats[0], seats[2]))
		if got.Status != booking.StatusHeld || got.Total != nzd(1200) || !got.HeldUntil.Equal(*r.HeldUntil) || h.letters(t, seats...) != "AHA" {
			t.Errorf("it is %+v, seats %s", got, h.letters(t, seats...))
		}
		result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, seats[0]))
		if again := is[booking.Cancelled](t, result, err).Reservation; again.Total != nzd(1200) {
			t.Errorf("once more it is %+v", again)
		}
		// It is paid at what it costs, whatever an attempt was for that came before.
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Paid](t, paid, err)
		if p := h.paymentOf(t, r); p.Amount != nzd(1200) || p.Status != payment.StatusCaptured {
			t.Errorf("the payment is %+v", p)
		}
		h.rests(t)
	})
	t.Run("a_companion_goes_with_the_place", func(t *testing.T) {
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		for name, paid := range map[string]bool{"held": false, "paid": true} {
			r := h.hold(t, viewer, 1, 2, 3)
			if paid {
				result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
				r = is[booking.Paid](t, result, err).Reservation
			}
			result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, 1, 3))
			refused(t, result, err, apperr.BadUserInput)
			preview, err := h.booking.PreviewRefund(t.Context(), viewer, h.seatsOf(r, 1))
			refused(t, preview, err, apperr.BadUserInput)
			result, err = h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, 1, 2))
			if got := is[booking.Cancelled](t, result, err).Reservation.Positions; !slices.Equal(got, []int16{3}) {
				t.Errorf("%s: it has %v", name, got)
			}
			result, err = h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			is[booking.Cancelled](t, result, err)
		}
	})
	t.Run("bad_seats", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(3)
		r := h.buy(t, viewer, seats[:2]...)
		h.buy(t, viewer, seats[2])
		twice := h.seatsOf(r, seats[0])
		twice.SeatIDs = append(twice.SeatIDs, twice.SeatIDs[0])
		elsewhere := cancelInput(r)
		elsewhere.SeatIDs = []uuid.UUID{uuid.New()}
		for _, in := range []booking.CancelInput{twice, elsewhere, h.seatsOf(r, seats[0], seats[2])} {
			result, err := h.booking.Cancel(t.Context(), viewer, in)
			refused(t, result, err, apperr.BadUserInput)
			preview, err := h.booking.PreviewRefund(t.Context(), viewer, in)
			refused(t, preview, err, apperr.BadUserInput)
		}
		for _, foreign := range []booking.CancelInput{h.seatsOf(r, seats[0]), {ShowtimeID: uuid.New(), ReservationID: r.ID}} {
			result, err := h.booking.Cancel(t.Context(), newViewer(), foreign)
			refused(t, result, err, apperr.NotFound)
			preview, err := h.booking.PreviewRefund(t.Context(), newViewer(), foreign)
			refused(t, preview, err, apperr.NotFound)
		}
		h.wantRefunds(t, r)
		h.rests(t)
	})
	t.Run("beside_a_used_ticket", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.buy(t, viewer, seats...)
		h.Exec(t, `UPDATE tickets SET status = 'REDEEMED' WHERE seat_no = $1`, seats[0])
		for _, in := range []booking.CancelInput{cancelInput(r), h.seatsOf(r, seats[0])} {
			result, err := h.booking.Cancel(t.Context(), viewer, in)
			refused(t, result, err, apperr.Conflict)
			preview, err := h.booking.PreviewRefund(t.Context(), viewer, in)
			refused(t, preview, err, apperr.Conflict)
		}
		h.cancels(t, viewer, h.seatsOf(r, seats[1]))
		h.rests(t)
	})
	t.Run("while_a_payment_is_under_way", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats...)
		h.gateway.Next(gatewaytest.Capture, gatewaytest.Before(func() {
			result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, seats[0]))
			refused(t, result, err, apperr.Conflict)
		}))
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Paid](t, paid, err)
		h.rests(t)
	})
	t.Run("all_at_once", func(t *testing.T) { // P4
		viewer, seats, before := newViewer(), h.fresh(10), h.captured()
		r := h.buy(t, viewer, seats...)
		together(20, func(i int) {
			result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, seats[i%10]))
			if _, ok := result.(booking.Cancelled); !ok {
				t.Errorf("%#v, %v", result, err)
			}
		})
		h.reconcile(t)
		if h.captured() != before || h.stored(t, r) != "CANCELLED" || len(h.paymentOf(t, r).Refunds) != 10 {
			t.Errorf("%d, %s, %d refunds", h.captured()-before, h.stored(t, r), len(h.paymentOf(t, r).Refunds))
		}
		h.rests(t)
	})
	t.Run("refunds_that_go_wrong_do_not_touch_each_other", func(t *testing.T) {
		viewer, seats, before := newViewer(), h.fresh(4), h.captured()
		r := h.buy(t, viewer, seats...)
		for i, fault := range []gatewaytest.Fault{gatewaytest.AnswerLost, gatewaytest.NeverArrives, gatewaytest.Honest} {
			h.gateway.Next(gatewaytest.Refund, fault)
			result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, seats[i]))
			is[booking.Cancelled](t, result, err)
		}
		if p := h.paymentOf(t, r); p.Status != payment.StatusCaptured || p.Refunded != nzd(1200) {
			t.Errorf("the payment is %+v", p)
		}
		together(4, func(int) {
			if _, err := h.process(h.gateway, settings).Reconcile(t.Context()); err != nil {
				t.Error(err)
			}
		})
		h.wantRefunds(t, r, "1200 CUSTOMER DONE", "1200 CUSTOMER DONE", "1200 CUSTOMER DONE")
		if got := h.captured() - before; got != 1200 {
			t.Errorf("the gateway has %d more, want 1200", got)
		}
		h.rests(t)
	})
}

// TestBK7_lessened: what seats that go had of a code is given back to it.
func TestBK7_lessened(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	code := h.code(t, "QUARTER", func(in *promotion.Input) { in.Scope.Categories = []string{"STANDARD"} })
	premium := h.Positions("PREMIUM")[0]
	for name, paid := range map[string]bool{"held": false, "paid": true} {
		t.Run(name, func(t *testing.T) {
			seats := h.fresh(2)
			result, err := h.booking.Reserve(t.Context(), viewer, using(h.request(seats[0], seats[1], premium), "QUARTER"))
			r := is[booking.Reserved](t, result, err).Reservation
			h.wantUsed(t, code, 1, 600)
			if paid {
				result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
				is[booking.Paid](t, result, err)
			}
			if got := h.cancels(t, viewer, h.seatsOf(r, seats[0])); got.Total != nzd(900+1800) {
				t.Errorf("it costs %+v", got.Total)
			}
			h.wantUsed(t, code, 1, 300)
			if got := h.cancels(t, viewer, h.seatsOf(r, seats[1])); got.Total != nzd(1800) || len(got.Lines) != 1 {
				t.Errorf("it is %+v", got.Lines)
			}
			h.wantUsed(t, code, 0, 0)
			h.cancels(t, viewer, cancelInput(r))
			h.wantUsed(t, code, 0, 0)
			h.rests(t)
		})
	}
}

// TestService_Cancel_by_the_policy follows reservations that were made under other terms than everything.
func TestService_Cancel_by_the_policy(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	for _, rule := range []pricing.Rule{feeRule, onceRule} {
		h.office().rule(t, rule)
	}
	old := h.buy(t, viewer, 11)
	h.policy(t, half)
	r, other := h.buy(t, viewer, 12, 13, 14), h.buy(t, viewer, 15)
	const each, once = 1200 + 75, 90
	if r.Total != nzd(3*each+once) {
		t.Fatalf("it costs %+v", r.Total)
	}

	// Before it is bought, and before it is cancelled, the same is told.
	steps := func(times ...int64) []booking.RefundStep {
		start := h.Showtimes[0].StartsAt
		return []booking.RefundStep{{Until: start.Add(-time.Hour), Refund: nzd(times[0])}, {Until: start, Refund: nzd(times[1])}}
	}
	want := steps(3*580-50, 3*100-50)
	equal := func(what string, got []booking.RefundStep) {
		t.Helper()
		if !slices.EqualFunc(got, want, func(a, b booking.RefundStep) bool { return a.Until.Equal(b.Until) && a.Refund == b.Refund }) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	quote, err := h.booking.Quote(t.Context(), asked(h.request(16, 17, 18)))
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := h.booking.QuotedRefund(t.Context(), quote)
	if err != nil {
		t.Fatal(err)
	}
	equal("quoted", quoted)
	preview, err := h.booking.PreviewRefund(t.Context(), viewer, cancelInput(r))
	told := is[booking.RefundPreview](t, preview, err)
	equal("bought", told.Steps)
	if told.Until == nil || !told.Until.Equal(want[0].Until) || told.Paid != r.Total || told.Kept != nzd(50) ||
		told.FeesPaid != nzd(once) || told.FeesRefunded != nzd(0) || told.Seats[0].Paid != nzd(each) || told.Seats[0].Refund != nzd(580) {
		t.Errorf("told %+v", told)
	}

	got := h.cancels(t, viewer, h.seatsOf(r, 12))
	if last := got.Lines[len(got.Lines)-1]; got.Total != nzd(3*each+once-530) || last.Kind != pricing.Kept || last.Amount != nzd(each-530) {
		t.Errorf("it costs %+v, kept %+v", got.Total, last)
	}
	got = h.cancels(t, viewer, h.seatsOf(r, 13))
	if last := got.Lines[len(got.Lines)-1]; last.Amount != nzd(2*(each-530)) || len(got.Lines) != 4 {
		t.Errorf("kept %+v", last)
	}
	h.startsIn(t, 30*time.Minute)
	if h.cancels(t, viewer, cancelInput(r)); h.promised(t, cancelInput(r)) != 2*530+50 {
		t.Errorf("%d came back", h.promised(t, cancelInput(r)))
	}
	h.wantRefunds(t, r, "530 CUSTOMER DONE", "530 CUSTOMER DONE", "50 CUSTOMER DONE")
	if p := h.paymentOf(t, r); p.Status != payment.StatusCaptured || p.Refunded != nzd(1110) {
		t.Errorf("the payment is %+v", p)
	}
	// What was held before has what was agreed on then.
	if h.cancels(t, viewer, cancelInput(old)); h.promised(t, cancelInput(old)) != each+once {
		t.Errorf("%d came back of an older reservation", h.promised(t, cancelInput(old)))
	}
	h.startsIn(t, -time.Minute)
	for _, in := range []booking.CancelInput{cancelInput(other), h.seatsOf(other, 15)} {
		result, err := h.booking.Cancel(t.Context(), viewer, in)
		is[booking.ShowtimeClosed](t, result, err)
		preview, err := h.booking.PreviewRefund(t.Context(), viewer, in)
		is[booking.ShowtimeClosed](t, preview, err)
	}
	// The theater's cancellation returns everything, the fees too, and at any time.
	h.Exec(t, `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, h.Show())
	if h.cancels(t, viewer, cancelInput(other)); h.promised(t, cancelInput(other)) != each+once {
		t.Errorf("%d of %d came back", h.promised(t, cancelInput(other)), each+once)
	}
	h.wantRefunds(t, other, "1365 THEATER DONE")
	h.rests(t)
}

// TestService_Cancel_closed: after the last step of a policy nothing is given back, or only for nothing.
func TestService_Cancel_closed(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	early := []pricing.RefundStep{{Minutes: 60, BasisPoints: 10_000}}
	h.policy(t, pricing.RefundPolicy{Steps: early})
	closed := h.buy(t, viewer, 11)
	h.policy(t, pricing.RefundPolicy{})
	never := h.buy(t, viewer, 12)
	h.policy(t, pricing.RefundPolicy{Steps: early, LateWithoutRefund: true, FeesReturned: true})
	late := h.buy(t, viewer, 13)
	unpaid := h.hold(t, viewer, 14)
	h.startsIn(t, 59*time.Minute)
	startsAt := fixture.Get[time.Time](t, h.DB, `SELECT starts_at FROM showtimes WHERE id = $1`, h.Show())
	for name, c := range map[string]struct {
		of booking.Reservation
		at *time.Time
	}{"closed": {closed, new(startsAt.Add(-time.Hour))}, "never": {never, nil}} {
		result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(c.of))
		got := is[booking.CancellationClosed](t, result, err)
		preview, err := h.booking.PreviewRefund(t.Context(), viewer, cancelInput(c.of))
		told := is[booking.CancellationClosed](t, preview, err)
		for _, at := range []*time.Time{got.ClosedAt, told.ClosedAt} {
			if (at == nil) != (c.at == nil) || at != nil && !at.Equal(*c.at) {
				t.Errorf("%s at %v, want %v", name, at, c.at)
			}
		}
		h.wantStored(t, name, c.of, "CONFIRMED")
	}
	if got := h.cancels(t, viewer, cancelInput(late)); got.Status != booking.StatusCancelled || h.promised(t, cancelInput(late)) != 0 {
		t.Errorf("it is %s, and %d came back", got.Status, h.promised(t, cancelInput(late)))
	}
	if got := h.cancels(t, viewer, cancelInput(unpaid)); got.Status != booking.StatusCancelled {
		t.Errorf("an unpaid one is %s", got.Status)
	}
	h.rests(t)
}

// TestAU_refund_policy sets policies: who may, what is refused, from when they hold, and that nothing changes them.
func TestAU_refund_policy(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	manager := worker(auth.RoleTheaterManager, h.TheaterID)
	stale := manager
	stale.ProvedAt = time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		who  auth.Viewer
		at   uuid.UUID
		p    pricing.RefundPolicy
		code apperr.Code
	}{
		"staff":            {worker(auth.RoleTheaterStaff, h.TheaterID), h.TheaterID, half, apperr.Forbidden},
		"manager_of_other": {worker(auth.RoleTheaterManager, uuid.New()), h.TheaterID, half, apperr.Forbidden},
		"finance":          {worker(auth.RoleFinance, auth.Platform), h.TheaterID, half, apperr.Forbidden},
		"long_ago":         {stale, h.TheaterID, half, apperr.StepUpRequired},
		"no_theater":       {worker(auth.RoleAdmin, auth.Platform), uuid.New(), half, apperr.NotFound},
		"bad":              {manager, h.TheaterID, pricing.RefundPolicy{KeptOnceMinor: -1}, apperr.BadUserInput},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.booking.SetRefundPolicy(t.Context(), c.who, c.at, c.p)
			refused(t, nil, err, c.code)
		})
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM refund_policies`); n != 0 {
		t.Fatalf("%d policies", n)
	}
	r := h.buy(t, viewer, 11)
	set, err := h.booking.SetRefundPolicy(t.Context(), manager, h.TheaterID, half)
	if err != nil || set.Version != 1 || set.Currency != fixture.Currency {
		t.Fatalf("%+v, %v", set, err)
	}
	next := half
	next.KeptOnceMinor = 60
	second, err := h.booking.SetRefundPolicy(t.Context(), manager, h.TheaterID, next)
	if err != nil || second.Version != 2 || second.HoldsFrom.Before(*set.HoldsFrom) {
		t.Fatalf("%+v, %v", second, err)
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = 'refund_policy.set' AND theater_id = $1 AND actor_id = $2`,
		h.TheaterID, manager.UserID); n != 2 {
		t.Errorf("%d entries", n)
	}
	versionOf := func(r booking.Reservation) int32 {
		found, err := h.booking.RefundPoliciesOf(t.Context(), []payment.Reference{r.Reference()})
		if err != nil {
			t.Fatal(err)
		}
		return found[r.Reference()].Version
	}
	// Until it holds, everybody has the one before; who held at that moment keeps it.
	of, err := h.booking.RefundPolicies(t.Context(), []uuid.UUID{h.TheaterID, uuid.New()})
	if err != nil || len(of) != 1 || of[h.TheaterID].Version != 0 || versionOf(r) != 0 || versionOf(h.hold(t, viewer, 12)) != 0 {
		t.Errorf("%+v, %v", of, err)
	}
	h.Exec(t, `UPDATE reservations SET created_at = $2 WHERE id = $1`, r.ID, set.HoldsFrom)
	if got := versionOf(r); got != 1 {
		t.Errorf("held at the moment from which it holds: version %d", got)
	}
	for _, statement := range []string{`UPDATE refund_policies SET kept_once_minor = 0`, `DELETE FROM refund_policies`} {
		if _, err := h.DB.SQL().ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s: done", statement)
		}
	}
}

// TestService_Refund gives money back that the policy keeps.
func TestService_Refund(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	h.policy(t, half)
	support := worker(auth.RoleSupport, auth.Platform)
	ask := func(r booking.Reservation, cause payment.Cause, minor int64, positions ...int) booking.RefundInput {
		in := booking.RefundInput{CancelInput: cancelInput(r), Cause: cause, Reason: "The projector failed.", IdempotencyKey: newKey()}
		if len(positions) > 0 {
			in.SeatIDs = h.SeatIDs(positions...)
		}
		if minor != 0 {
			in.AmountMinor = &minor
		}
		return in
	}
	t.Run("who_may", func(t *testing.T) {
		r := h.buy(t, viewer, h.fresh(1)...)
		stale := support
		stale.ProvedAt = time.Now().Add(-time.Hour)
		for name, c := range map[string]struct {
			who  auth.Viewer
			code apperr.Code
		}{
			"the_customer": {viewer, apperr.Forbidden}, "staff": {worker(auth.RoleTheaterStaff, h.TheaterID), apperr.Forbidden},
			"manager_elsewhere": {worker(auth.RoleTheaterManager, uuid.New()), apperr.NotFound}, "long_ago": {stale, apperr.StepUpRequired},
		} {
			_, err := h.booking.Refund(t.Context(), c.who, ask(r, payment.ByTheater, 0))
			if apperr.CodeOf(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
		for _, missing := range []booking.Reservation{{ShowtimeID: h.Show(), ID: uuid.New()}, {ShowtimeID: uuid.New(), ID: r.ID}} {
			_, err := h.booking.Refund(t.Context(), support, ask(missing, payment.ByTheater, 0))
			refused(t, nil, err, apperr.NotFound)
		}
		h.wantRefunds(t, r)
		for _, role := range []auth.Viewer{worker(auth.RoleFinance, auth.Platform), worker(auth.RoleTheaterManager, h.TheaterID)} {
			if _, err := h.booking.Refund(t.Context(), role, ask(h.buy(t, viewer, h.fresh(1)...), payment.ByTheater, 0)); err != nil {
				t.Error(err)
			}
		}
		h.rests(t)
	})
	t.Run("how_much", func(t *testing.T) {
		seats := h.fresh(3)
		r := h.buy(t, viewer, seats...)
		h.cancels(t, viewer, h.seatsOf(r, seats[0])) // 530 of 1200
		for _, minor := range []int64{-1, 529, 1201} {
			_, err := h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, minor, seats[1]))
			refused(t, nil, err, apperr.BadUserInput)
		}
		_, err := h.booking.Refund(t.Context(), support, ask(r, payment.ByTheater, 600, seats[1]))
		refused(t, nil, err, apperr.BadUserInput)
		_, err = h.booking.Refund(t.Context(), support, ask(r, payment.ByCustomer, 0, seats[1]))
		refused(t, nil, err, apperr.BadUserInput)
		_, err = h.booking.Refund(t.Context(), support, ask(r, payment.ByTheater, 0, seats[0]))
		refused(t, nil, err, apperr.Conflict)

		in := ask(r, payment.Goodwill, 1000, seats[1])
		for range 3 {
			got, err := h.booking.Refund(t.Context(), support, in)
			if err != nil || got.Returned != nzd(1530) || got.Paid != nzd(3600) || got.Reservation.Total != nzd(2070) {
				t.Errorf("%+v, %v", got, err)
			}
		}
		in.AmountMinor = new(int64(1001))
		_, err = h.booking.Refund(t.Context(), support, in)
		refused(t, nil, err, apperr.IdempotencyKeyReused)
		h.Exec(t, `UPDATE tickets SET status = 'REDEEMED' WHERE seat_no = $1`, seats[2])
		_, err = h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, 0))
		refused(t, nil, err, apperr.Conflict)
		if got, err := h.booking.Refund(t.Context(), support, ask(r, payment.ByTheater, 0)); err != nil || got.Returned != nzd(2730) || got.Reservation.Status != booking.StatusCancelled {
			t.Errorf("%+v, %v", got, err)
		}
		// What was kept of the others can still be given.
		_, err = h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, 871))
		refused(t, nil, err, apperr.BadUserInput)
		for _, minor := range []int64{70, 0} {
			if _, err := h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, minor)); err != nil {
				t.Error(err)
			}
		}
		_, err = h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, 0))
		refused(t, nil, err, apperr.Conflict)
		h.wantRefunds(t, r, "530 CUSTOMER DONE", "1000 GOODWILL DONE", "1200 THEATER DONE", "70 GOODWILL DONE", "800 GOODWILL DONE")
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = 'reservation.refunded' AND subject = $1
			AND actor_id = $2 AND reason <> '' AND theater_id = $3`, r.NodeID(), support.UserID, h.TheaterID); n != 4 {
			t.Errorf("%d entries", n)
		}
		h.rests(t)
	})
	t.Run("of_all_with_what_was_kept", func(t *testing.T) {
		seats := h.fresh(2)
		r := h.buy(t, viewer, seats...)
		h.cancels(t, viewer, h.seatsOf(r, seats[0]))
		if got, err := h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, 0)); err != nil || got.Returned != nzd(2400) {
			t.Errorf("%+v, %v", got, err)
		}
		h.rests(t)
	})
	t.Run("many_at_once", func(t *testing.T) { // PM10
		r := h.buy(t, viewer, h.fresh(2)...)
		together(20, func(int) {
			if _, err := h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, 0)); err != nil && apperr.CodeOf(err) != apperr.Conflict {
				t.Error(err)
			}
		})
		h.wantRefunds(t, r, "2400 GOODWILL DONE")
		h.rests(t)
	})
	t.Run("of_what_is_not_paid", func(t *testing.T) {
		for _, r := range []booking.Reservation{h.hold(t, viewer, h.fresh(1)...), h.buy(t, viewer, h.Positions("COMPANION")...)} {
			_, err := h.booking.Refund(t.Context(), support, ask(r, payment.Goodwill, 0))
			refused(t, nil, err, apperr.Conflict)
		}
	})
}
