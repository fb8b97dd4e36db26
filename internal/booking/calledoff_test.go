package booking_test

import (
	"context"
	"testing"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/showtime"
)

// TestCalledOff asks for money for the seats of a showtime that does not take place.
func TestCalledOff(t *testing.T) {
	t.Parallel()
	const callOff = `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`
	wantClosed := func(t *testing.T, result any, err error) {
		t.Helper()
		if closed, ok := result.(booking.ShowtimeClosed); err != nil || !ok || closed.Reason != showtime.ClosedCancelled {
			t.Errorf("the result is %#v, %v; want that it was called off", result, err)
		}
	}
	t.Run("a_hold_is_not_paid", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11, 12)
		h.Exec(t, callOff, h.Show())
		for range 2 {
			result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			wantClosed(t, result, err)
		}
		if calls := h.gateway.Calls(); len(calls) != 0 || len(h.attempts(t, r)) != 0 {
			t.Errorf("calls %v, attempts %v", calls, h.attempts(t, r))
		}
		h.wantStored(t, "afterwards", r, "HELD")
		h.rests(t)
	})
	t.Run("nor_one_that_costs_nothing", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{Prices: map[string]int64{"STANDARD": 0}}), newViewer()
		r := h.hold(t, viewer, 11)
		h.Exec(t, callOff, h.Show())
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		wantClosed(t, result, err)
		h.wantStored(t, "afterwards", r, "HELD")
	})
	t.Run("nor_at_the_counter", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		r, staff := h.hold(t, newViewer(), 11), h.staff()
		h.Exec(t, callOff, h.Show())
		result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(3000)))
		wantClosed(t, result, err)
		sold, err := h.booking.SellAtCounter(t.Context(), staff, h.saleInput(cash(3000), 12))
		wantClosed(t, sold, err)
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM till_entries WHERE showtime_id = $1`, h.Show()); n != 0 {
			t.Errorf("%d entries of the till", n)
		}
		h.wantStored(t, "afterwards", r, "HELD")
	})
	t.Run("a_payment_under_way_is_let_go", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11)
		h.gateway.Next(gatewaytest.Authorize, func(ctx context.Context, _ string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
			h.Exec(t, callOff, h.Show())
			return effect(ctx)
		})
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		if got := is[booking.Declined](t, result, err).Code; got != "showtime_called_off" {
			t.Errorf("declined for %q", got)
		}
		h.wantAttempts(t, r, payment.AttemptVoided)
		if got := h.captured(); got != 0 {
			t.Errorf("%d were taken", got)
		}
		h.rests(t)
	})
	t.Run("what_a_gateway_took_by_itself_goes_back", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11)
		h.gateway.Next(gatewaytest.Authorize, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
			h.Exec(t, callOff, h.Show())
			if answer, err := effect(ctx); err != nil {
				return answer, err
			}
			charge, err := h.gateway.Capture(ctx, key, r.Total)
			return gatewaytest.Answer{Charge: charge}, err
		})
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, result, err)
		h.wantAttempts(t, r, payment.AttemptRefunded)
		h.rests(t)
	})
}
