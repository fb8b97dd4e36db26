package booking_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// credited returns what a viewer has at the house's theater, and what changed it, the latest first.
func (h *house) credited(t testing.TB, viewer auth.Viewer) (left int64, movements string) {
	t.Helper()
	credits, err := h.payments.StoreCredits(t.Context(), viewer.UserID)
	if err != nil || len(credits) > 1 {
		t.Fatalf("%+v, %v", credits, err)
	}
	if len(credits) == 0 {
		return 0, ""
	}
	var lines []string
	for _, m := range credits[0].Movements {
		lines = append(lines, fmt.Sprintf("%s %d", m.Kind, m.Amount.AmountMinor))
	}
	return credits[0].Balance.AmountMinor, strings.Join(lines, ", ")
}

func byCredit(r booking.Reservation) booking.PayInput {
	in := payInput(r)
	in.StoreCredit = true
	return in
}

func toCredit(r booking.Reservation) booking.CancelInput {
	in := cancelInput(r)
	in.RefundTo = payment.ToStoreCredit
	return in
}

// TestStoreCredit: what is given back becomes credit when its customer wants that, pays for other seats, and comes back again;
// ledger and rulebook agree after each step.
func TestStoreCredit(t *testing.T) {
	t.Parallel()
	t.Run("pays_for_other_seats_and_comes_back", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		viewer := newViewer()
		first := h.cancels(t, viewer, toCredit(h.buy(t, viewer, 11, 12)))
		h.wantRefunds(t, first, "2400 CUSTOMER DONE")
		if left, _ := h.credited(t, viewer); left != 2400 || h.captured() != 2400 {
			t.Fatalf("%d of credit, %d at the gateway", left, h.captured())
		}
		h.rests(t)
		held := h.hold(t, viewer, 13)
		in := byCredit(held)
		for range 2 { // the same key pays once
			result, err := h.booking.Pay(t.Context(), viewer, in)
			is[booking.Paid](t, result, err)
		}
		if p := h.paymentOf(t, held); p.Method() != payment.MethodCredit {
			t.Errorf("it was paid by %s", p.Method())
		}
		h.rests(t)
		h.cancels(t, viewer, cancelInput(held))
		if left, movements := h.credited(t, viewer); left != 2400 || movements != "RETURNED 1200, SPENT -1200, REFUNDED 2400" {
			t.Errorf("%d: %s", left, movements)
		}
		h.rests(t)
	})
	t.Run("is_not_enough", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		viewer, other := newViewer(), newViewer()
		h.cancels(t, viewer, toCredit(h.buy(t, viewer, 11)))
		for who, seats := range map[*auth.Viewer][]int{&viewer: {12, 13}, &other: {14}} { // the other has none
			r := h.hold(t, *who, seats...)
			result, err := h.booking.Pay(t.Context(), *who, byCredit(r))
			if got := is[booking.Declined](t, result, err); got.Code != "insufficient_funds" {
				t.Errorf("%+v", got)
			}
			result, err = h.booking.Pay(t.Context(), *who, payInput(r)) // with a card instead
			is[booking.Paid](t, result, err)
		}
		if left, _ := h.credited(t, viewer); left != 1200 {
			t.Errorf("%d are left", left)
		}
		h.rests(t)
	})
	t.Run("a_token_beside_it_is_refused", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		viewer := newViewer()
		in := byCredit(h.hold(t, viewer, 11))
		in.Token = "tok_other"
		_, err := h.booking.Pay(t.Context(), viewer, in)
		refused(t, nil, err, apperr.BadUserInput)
	})
	t.Run("is_spent_once_by_two_nodes", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{MaxSeats: 20})
		viewer := newViewer()
		h.cancels(t, viewer, toCredit(h.buy(t, viewer, 11, 12, 13)))
		nodes := []*booking.Service{h.booking, h.process(h.gateway, settings)}
		var held []booking.Reservation
		for _, seat := range h.fresh(8) {
			held = append(held, h.hold(t, viewer, seat))
		}
		var paid atomic.Int32
		together(len(held), func(i int) {
			result, err := nodes[i%2].Pay(t.Context(), viewer, byCredit(held[i]))
			switch result.(type) {
			case booking.Paid:
				paid.Add(1)
			case booking.Declined:
			default:
				t.Errorf("%#v, %v", result, err)
			}
		})
		if left, _ := h.credited(t, viewer); paid.Load() != 3 || left != 0 {
			t.Errorf("%d are paid of 3, %d left", paid.Load(), left)
		}
		for _, r := range held {
			if h.stored(t, r) == "HELD" {
				h.cancels(t, viewer, cancelInput(r))
			}
		}
		h.rests(t)
	})
	t.Run("is_driven_on_when_its_driver_has_vanished", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		viewer := auth.Viewer{UserID: h.Users[0].ID}
		h.cancels(t, viewer, toCredit(h.buy(t, viewer, 11, 12)))
		// It dies when it has committed what others are told of: the seats are secured, the refund is promised.
		dying := h.processTelling(h.gateway, settings, func(uuid.UUID) { panic(gatewaytest.Death) })
		held := h.hold(t, viewer, 13)
		died(t, func() { _, _ = dying.Pay(t.Context(), viewer, byCredit(held)) })
		if h.reconcile(t); h.stored(t, held) != "CONFIRMED" {
			t.Fatalf("the reservation is %s", h.stored(t, held))
		}
		h.rests(t)
		died(t, func() { _, _ = dying.Cancel(t.Context(), viewer, cancelInput(held)) })
		h.reconcile(t)
		if left, _ := h.credited(t, viewer); left != 2400 {
			t.Errorf("%d are left of the credit that came back", left)
		}
		h.rests(t)
		in := h.saleInput(cash(1200), 14)
		in.CustomerEmail = &h.Users[0].Email
		result, err := h.booking.SellAtCounter(t.Context(), h.staff(), in)
		sold := is[booking.PaidAtCounter](t, result, err).Reservation
		died(t, func() { _, _ = dying.Cancel(t.Context(), viewer, toCredit(sold)) })
		h.reconcile(t)
		if left, _ := h.credited(t, viewer); left != 3600 {
			t.Errorf("%d are left with the cash that became credit", left)
		}
		h.rests(t)
	})
	t.Run("and_the_gateway_give_back_no_more_than_was_captured", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		viewer := newViewer()
		r := h.buy(t, viewer, 11, 12)
		in := h.seatsOf(r, 11)
		in.RefundTo = payment.ToStoreCredit
		h.cancels(t, viewer, in)
		if err := h.gateway.RefundByHand(h.keyOf(t, r), nzd(1200)); err != nil {
			t.Fatal(err)
		}
		h.cancels(t, viewer, h.seatsOf(r, 12))
		if left, _ := h.credited(t, viewer); left != 1200 || h.chargeOf(t, r).Refunded != nzd(1200) {
			t.Errorf("%d became credit and %v went back of 2400", left, h.chargeOf(t, r).Refunded)
		}
		h.rests(t)
	})
	t.Run("is_granted_and_revoked", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		viewer, finance := newViewer(), worker(auth.RoleFinance, auth.Platform)
		in := payment.AdjustInput{CustomerID: viewer.UserID, TheaterID: h.TheaterID, AmountMinor: 2000, Reason: "The film stopped.", IdempotencyKey: newKey()}
		_, err := h.booking.AdjustCredit(t.Context(), finance, in)
		refused(t, nil, err, apperr.NotFound) // no account yet
		h.Exec(t, `INSERT INTO users (id, email_sealed, email_index, name_sealed) VALUES ($1, '\x00', sha256(uuid_send($1)) || '\x00000000', '\x00')`, viewer.UserID)
		for range 2 {
			if left, err := h.booking.AdjustCredit(t.Context(), finance, in); err != nil || left != nzd(2000) {
				t.Fatalf("%v, %v", left, err)
			}
		}
		in.AmountMinor, in.IdempotencyKey = -2001, newKey()
		_, err = h.booking.AdjustCredit(t.Context(), finance, in)
		refused(t, nil, err, apperr.Conflict)
		in.AmountMinor = -500
		if left, err := h.booking.AdjustCredit(t.Context(), finance, in); err != nil || left != nzd(1500) {
			t.Fatalf("%v, %v", left, err)
		}
		if left, movements := h.credited(t, viewer); left != 1500 || movements != "REVOKED -500, GRANTED 2000" {
			t.Errorf("%d: %s", left, movements)
		}
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = 'store_credit.adjusted' AND actor_id IS NOT NULL`); n != 2 {
			t.Errorf("%d are recorded", n)
		}
		for name, c := range map[string]struct {
			who   auth.Viewer
			spoil func(*payment.AdjustInput)
			code  apperr.Code
		}{
			"a_customer": {viewer, nil, apperr.Forbidden}, "a_manager": {worker(auth.RoleTheaterManager, h.TheaterID), nil, apperr.Forbidden},
			"without_proof": {auth.Viewer{UserID: finance.UserID, Strong: true, Grants: finance.Grants}, nil, apperr.StepUpRequired},
			"nothing":       {finance, func(in *payment.AdjustInput) { in.AmountMinor = 0 }, apperr.BadUserInput},
			"too_much":      {finance, func(in *payment.AdjustInput) { in.AmountMinor = 1 << 62 }, apperr.BadUserInput},
			"no_reason":     {finance, func(in *payment.AdjustInput) { in.Reason = "" }, apperr.BadUserInput},
			"no_key":        {finance, func(in *payment.AdjustInput) { in.IdempotencyKey = "short" }, apperr.BadUserInput},
			"no_theater":    {finance, func(in *payment.AdjustInput) { in.TheaterID = in.CustomerID }, apperr.NotFound},
		} {
			in := payment.AdjustInput{CustomerID: viewer.UserID, TheaterID: h.TheaterID, AmountMinor: 1, Reason: "To see.", IdempotencyKey: newKey()}
			if c.spoil != nil {
				c.spoil(&in)
			}
			if _, err := h.booking.AdjustCredit(t.Context(), c.who, in); apperr.CodeOf(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
		h.rests(t)
	})
	t.Run("takes_a_refund_that_failed", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		r, refund := h.failed(t)
		finance := worker(auth.RoleFinance, auth.Platform)
		_, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToStoreCredit))
		refused(t, nil, err, apperr.Conflict) // there is no account
		h.Exec(t, `INSERT INTO users (id, email_sealed, email_index, name_sealed) SELECT viewer_id, '\x00', sha256(uuid_send(viewer_id)) || '\x00000000', '\x00' FROM reservations WHERE id = $1`, r.ID)
		got, err := h.booking.RetryRefund(t.Context(), finance, retryInput(refund, payment.ToStoreCredit))
		if err != nil || got.Status != payment.RefundDone || got.Method() != payment.MethodCredit {
			t.Fatalf("%+v, %v", got, err)
		}
		if left, _ := h.credited(t, auth.Viewer{UserID: r.ViewerID}); left != 1200 {
			t.Errorf("%d of credit", left)
		}
		h.rests(t)
	})
}
