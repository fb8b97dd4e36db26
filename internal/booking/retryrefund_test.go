package booking_test

import (
	"slices"
	"strings"
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

// failed gives a seat back whose refund fails for good.
func (h *house) failed(t testing.TB) (booking.Reservation, payment.Refund) {
	t.Helper()
	viewer := newViewer()
	r := h.buy(t, viewer, h.fresh(1)...)
	h.fails(tries, "account_closed")
	result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
	is[booking.Cancelled](t, result, err)
	for range tries {
		h.reconcile(t)
	}
	refund := h.refundOf(t, r)
	if refund.Status != payment.RefundFailed {
		t.Fatalf("%+v", refund)
	}
	return r, refund
}

func retryInput(r payment.Refund, to payment.Destination) booking.RetryRefundInput {
	return booking.RetryRefundInput{ShowtimeID: r.ShowtimeID, RefundID: r.ID, To: to, Reason: "The customer has another card."}
}

func TestService_RetryRefund(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	finance := worker(auth.RoleFinance, auth.Platform)
	transfers := func(t *testing.T, refund payment.Refund) string {
		t.Helper()
		return fixture.Get[string](t, h.DB, `SELECT string_agg(concat_ws(' ', kind, gateway, amount_minor), ', ' ORDER BY kind) FROM ledger_transfers WHERE subject_id = $1`, refund.ID)
	}
	t.Run("the_original_way", func(t *testing.T) {
		r, refund := h.failed(t)
		got, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToOriginal))
		if err != nil || got.Status != payment.RefundDone || h.chargeOf(t, r).Refunded != nzd(1200) {
			t.Fatalf("%+v, %v", got, err)
		}
		entry := fixture.Get[string](t, h.DB, `SELECT concat_ws(' ', action, actor_id, subject, reason) FROM audit_entries WHERE action = 'refund.decided'`)
		if want := strings.Join([]string{"refund.decided", finance.UserID.String(), refund.NodeID(), "The customer has another card."}, " "); entry != want {
			t.Errorf("recorded %q, want %q", entry, want)
		}
		_, err = h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToOriginal))
		refused(t, nil, err, apperr.Conflict)
		h.rests(t)
	})
	t.Run("that_fails_once_more_rests_again", func(t *testing.T) {
		r, refund := h.failed(t)
		h.fails(1, "still_closed")
		got, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToOriginal))
		if err != nil || got.Status != payment.RefundFailed || got.Code != "still_closed" || h.chargeOf(t, r).Refunded != nzd(0) {
			t.Fatalf("%+v, %v", got, err)
		}
		if got, err = h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToOriginal)); err != nil || got.Status != payment.RefundDone {
			t.Fatalf("%+v, %v", got, err)
		}
		h.rests(t)
	})
	t.Run("over_the_counter", func(t *testing.T) {
		r, refund := h.failed(t)
		_, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(r, false))
		refused(t, nil, err, apperr.Conflict)
		got, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToCash))
		if err != nil || got.Status != payment.RefundPending || got.Shown() != payment.RefundPending || got.Method() != payment.MethodCash {
			t.Fatalf("%+v, %v", got, err)
		}
		if settled, err := h.booking.Reconcile(t.Context()); settled != 0 || err != nil {
			t.Errorf("a program gives back what waits at the counter: %d, %v", settled, err)
		}
		result, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutBy(payment.TillCard, r, false))
		if otherwise := is[booking.PayOutMethodRefused](t, result, err); otherwise.Due != nzd(1200) || otherwise.Method != payment.TillCash {
			t.Errorf("%+v", otherwise)
		}
		result, err = h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(r, false))
		if out := is[booking.PaidOut](t, result, err); out.Amount != nzd(1200) {
			t.Errorf("%v is paid out", out.Amount)
		}
		h.wantRefunds(t, r, "1200 CUSTOMER DONE")
		if got := transfers(t, refund); got != "PROMISED fake 1200, RETURNED COUNTER_CASH 1200" {
			t.Errorf("the ledger has %s", got)
		}
		h.rests(t)
	})
	t.Run("of_what_went_back_by_hand_only_the_rest", func(t *testing.T) {
		r, refund := h.failed(t)
		if err := h.gateway.RefundByHand(h.keyOf(t, r), nzd(500)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToCash)); err != nil {
			t.Fatal(err)
		}
		result, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(r, false))
		if out := is[booking.PaidOut](t, result, err); out.Amount != nzd(700) {
			t.Errorf("%v is paid out", out.Amount)
		}
		if got := transfers(t, refund); got != "PROMISED fake 1200, RETURNED COUNTER_CASH 700, RETURNED_BY_HAND fake 500" {
			t.Errorf("the ledger has %s", got)
		}
		h.rests(t)
	})
	t.Run("nothing_is_paid_of_what_went_back_after_all", func(t *testing.T) {
		for _, name := range []string{"by hand", "by the gateway"} {
			viewer := newViewer()
			r := h.buy(t, viewer, h.fresh(1)...)
			h.fails(tries-1, "account_closed")
			if name == "by the gateway" { // which says that it failed, and thinks better of it
				h.gateway.Next(gatewaytest.Refund, gatewaytest.Says(func(a *gatewaytest.Answer) { a.Refund.Status = payment.RefundFailed }))
			} else {
				h.fails(1, "account_closed")
			}
			result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			is[booking.Cancelled](t, result, err)
			for range tries {
				h.reconcile(t)
			}
			refund := h.refundOf(t, r)
			if name == "by hand" {
				if err := h.gateway.RefundByHand(h.keyOf(t, r), nzd(1200)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToCash))
			if err != nil || got.Status != payment.RefundDone || h.chargeOf(t, r).Refunded != nzd(1200) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			h.gateway.Heal()
			h.rests(t)
		}
	})
	t.Run("nothing_is_decided_while_the_gateway_is_silent", func(t *testing.T) {
		r, refund := h.failed(t)
		h.gateway.Next(gatewaytest.LookupRefund, gatewaytest.NeverArrives)
		_, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToCash))
		refused(t, nil, err, apperr.Unavailable)
		h.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
		_, err = h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToCash))
		refused(t, nil, err, apperr.Unavailable)
		h.wantRefunds(t, r, "1200 CUSTOMER FAILED")
	})
	t.Run("one_of_many_decides", func(t *testing.T) {
		_, refund := h.failed(t)
		var decided atomic.Int32
		together(10, func(i int) {
			to := []payment.Destination{payment.ToCash, payment.ToOriginal}[i%2]
			if _, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, to)); err == nil {
				decided.Add(1)
			} else if apperr.CodeOf(err) != apperr.Conflict {
				t.Error(err)
			}
		})
		if decided.Load() != 1 {
			t.Errorf("%d have decided", decided.Load())
		}
	})
	t.Run("refusals", func(t *testing.T) {
		_, refund := h.failed(t)
		manager := worker(auth.RoleTheaterManager, h.TheaterID)
		stale := manager
		stale.ProvedAt = time.Now().Add(-time.Hour)
		for name, c := range map[string]struct {
			who   auth.Viewer
			spoil func(*booking.RetryRefundInput)
			code  apperr.Code
		}{
			"a_customer":             {newViewer(), nil, apperr.Forbidden},
			"staff":                  {h.staff(), nil, apperr.Forbidden},
			"support":                {worker(auth.RoleSupport, auth.Platform), nil, apperr.Forbidden},
			"a_manager_elsewhere":    {worker(auth.RoleTheaterManager, uuid.New()), nil, apperr.NotFound},
			"a_proof_of_an_hour_ago": {stale, nil, apperr.StepUpRequired},
			"no_reason":              {manager, func(in *booking.RetryRefundInput) { in.Reason = " " }, apperr.BadUserInput},
			"no_such_refund":         {manager, func(in *booking.RetryRefundInput) { in.RefundID = uuid.New() }, apperr.NotFound},
			"no_such_showtime":       {manager, func(in *booking.RetryRefundInput) { in.ShowtimeID = uuid.New() }, apperr.NotFound},
		} {
			in := retryInput(refund, payment.ToOriginal)
			if c.spoil != nil {
				c.spoil(&in)
			}
			if _, err := h.booking.RetryRefund(t.Context(), c.who, in); apperr.CodeOf(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
		for name, c := range map[string]struct {
			who  auth.Viewer
			at   *uuid.UUID
			code apperr.Code
		}{
			"a_customer": {newViewer(), &h.TheaterID, apperr.Forbidden}, "a_manager_of_theirs": {manager, nil, ""},
			"a_customer_everywhere": {newViewer(), nil, apperr.Forbidden},
			"a_manager_elsewhere":   {manager, new(uuid.New()), apperr.Forbidden}, "a_manager": {manager, &h.TheaterID, ""},
		} {
			found, err := h.payments.FailedRefunds(t.Context(), c.who, c.at)
			if apperr.CodeOf(err) != c.code && c.code != "" || c.code == "" && (err != nil || !slices.ContainsFunc(found, func(f payment.FailedRefund) bool { return f.ID == refund.ID })) {
				t.Errorf("%s: %v, %v, want %s", name, found, err, c.code)
			}
		}
	})
}
