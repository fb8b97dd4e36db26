package graph_test

import (
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
	bank "marquee/internal/payment/sandbox/server"
	"marquee/internal/typeid"
)

// failedRefund gives a paid reservation back, whose refund fails for good, and returns the ids of both.
func failedRefund(t *testing.T, a *apitest.App, of *tenant) (refund, reservation string) {
	t.Helper()
	reservation, _, _ = of.bought(t)
	if err := a.Bank.Inject(bank.Fault{Op: bank.Refund, Do: bank.Decline, Code: "account_closed", Times: 1}); err != nil {
		t.Fatal(err)
	}
	of.customer.With(t).Get(`mutation ($id: ID!) { cancelReservation(input: {reservationId: $id}) { __typename } }`, vars{"id": reservation}, &struct{}{})
	showtime, key, err := typeid.DecodeIn(typeid.Reservation, reservation)
	if err != nil {
		t.Fatal(err)
	}
	// As after the last try.
	row := a.DB().SQL().QueryRowContext(t.Context(), `UPDATE refunds r SET status = 'FAILED' FROM payments p
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 AND r.showtime_id = p.showtime_id AND r.payment_id = p.id RETURNING r.id`, showtime, key)
	if err := row.Scan(&key); err != nil {
		t.Fatal(err)
	}
	return typeid.EncodeIn(typeid.Refund, showtime, key), reservation
}

// TestPM11_failed_refunds: a refund that failed for good is delayed for its customer, and waits for those who run the theater or
// look after money to decide, once.
func TestPM11_failed_refunds(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	here, there := newTenant(a, a.World.Theaters[0]), newTenant(a, a.World.Theaters[1])
	id, reservation := failedRefund(t, a, here)
	told := func() (status, method string) {
		t.Helper()
		var out struct {
			Node struct {
				Payment struct {
					Refunds []struct{ Status, Method string }
				}
			}
		}
		here.customer.With(t).Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { payment { refunds { status method } } } } }`, vars{"id": reservation}, &out)
		if len(out.Node.Payment.Refunds) != 1 {
			t.Fatalf("%+v", out)
		}
		return out.Node.Payment.Refunds[0].Status, out.Node.Payment.Refunds[0].Method
	}
	if status, _ := told(); status != "DELAYED" {
		t.Errorf("the customer is told %s", status)
	}
	type failed struct {
		ID, ReservationID, FailureCode, Cause, Gateway string
		Tries                                          int
		Amount, ByHand                                 struct{ AmountMinor string }
		Theater                                        struct{ ID string }
	}
	const list = `query ($id: ID) { failedRefunds(theaterId: $id) { id reservationId failureCode cause gateway tries amount { amountMinor } byHand { amountMinor } theater { id } } }`
	for who, client := range map[string]apitest.Client{"finance": a.As(auth.Grant{Role: auth.RoleFinance}), "manager": here.manager} {
		for name, theater := range map[string]any{"here": here.theater.ID(), "there": there.theater.ID(), "everywhere": nil} {
			if who == "manager" && name == "there" {
				continue
			}
			var out struct{ FailedRefunds []failed }
			client.With(t).Get(list, vars{"id": theater}, &out)
			if (len(out.FailedRefunds) == 1) != (name != "there") {
				t.Fatalf("%s, %s: %+v", who, name, out)
			}
			for _, f := range out.FailedRefunds {
				if f.ID != id || f.ReservationID != reservation || f.FailureCode != "account_closed" || f.Tries != 2 || f.Theater.ID != here.theater.ID() ||
					f.Cause != "CUSTOMER" || f.Gateway != "sandbox" || f.Amount.AmountMinor == "0" || f.ByHand.AmountMinor != "0" {
					t.Errorf("%s, %s: %+v", who, name, f)
				}
			}
		}
	}
	var out struct {
		RetryRefund struct{ RefundID, Status, Method string }
	}
	const retry = `mutation ($in: RetryRefundInput!) { retryRefund(input: $in) { refundId status method } }`
	here.manager.With(t).Get(retry, vars{"in": vars{"refundId": id, "to": "CASH_AT_COUNTER", "reason": "The account is closed."}}, &out)
	if got := out.RetryRefund; got.RefundID != id || got.Status != "PENDING" || got.Method != "COUNTER_CASH" {
		t.Errorf("%+v", got)
	}
	if status, method := told(); status != "PENDING" || method != "COUNTER_CASH" {
		t.Errorf("the customer is told %s, %s", status, method)
	}
	if err := here.manager.With(t).Refused(retry, vars{"in": vars{"refundId": id, "reason": "Once more."}}); gqlclient.CodeOf(err) != "CONFLICT" {
		t.Error(err)
	}
}
