package booking_test

import (
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
)

// TestP4_PM10_twenty_full_refunds_at_once has the customer cancel, support give back all, webhooks be followed and nodes look for what is
// left, at once and again, and sometimes somebody give back all of it at the gateway's dashboard: what was captured goes back once.
func TestP4_PM10_twenty_full_refunds_at_once(t *testing.T) {
	t.Parallel()
	const rounds, times, price = 8, 20, 2400
	h := newHouse(t, fixture.Plan{Seats: 60})
	support, nodes := worker(auth.RoleSupport, auth.Platform), []*booking.Service{h.booking, h.process(h.gateway, settings)}
	for round := range rounds {
		viewer := newViewer()
		r := h.buy(t, viewer, h.fresh(2)...)
		attempt, err := h.payments.Attempt(t.Context(), r.ShowtimeID, uuid.MustParse(h.attemptOf(t, r)))
		if err != nil {
			t.Fatal(err)
		}
		together(times, func(i int) {
			node := nodes[i/4%2]
			var err error
			switch i % 4 {
			case 0:
				_, err = node.Cancel(t.Context(), viewer, cancelInput(r))
			case 1:
				_, err = node.Refund(t.Context(), support, booking.RefundInput{
					CancelInput: cancelInput(r), Cause: payment.Goodwill, Reason: "They asked for it.", IdempotencyKey: newKey(),
				})
			case 2:
				err = node.Follow(t.Context(), attempt)
			default:
				if round%2 == 1 && i == 3 {
					_ = h.gateway.RefundByHand(attempt.Key(), nzd(price)) // too late, perhaps
				}
				_, err = node.Reconcile(t.Context())
			}
			if err != nil && apperr.CodeOf(err) != apperr.Conflict {
				t.Errorf("number %d: %v", i, err)
			}
		})
		h.reconcile(t)
		if charge := h.chargeOf(t, r); charge.Captured != nzd(price) || charge.Refunded != nzd(price) {
			t.Errorf("round %d: of %v went back %v", round, charge.Captured, charge.Refunded)
		}
		promised := int64(0)
		for _, refund := range h.paymentOf(t, r).Refunds {
			promised += refund.Amount.AmountMinor
			if refund.Status != payment.RefundDone {
				t.Errorf("round %d: a refund is %s", round, refund.Status)
			}
		}
		if promised != price {
			t.Errorf("round %d: %d are promised, want %d once", round, promised, price)
		}
		h.rests(t)
	}
}
