package graph_test

import (
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/auth"
)

// TestStoreCredit: a customer takes a refund as credit, sees it, and pays with it.
func TestStoreCredit(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	here := newTenant(a, a.World.Theaters[0])
	paid, _, _ := here.bought(t)
	here.customer.With(t).Get(`mutation ($id: ID!) { cancelReservation(input: {reservationId: $id, refundTo: STORE_CREDIT}) { __typename } }`, vars{"id": paid}, &struct{}{})
	type credit struct {
		Theater   struct{ ID string }
		Balance   struct{ AmountMinor string }
		Movements []struct {
			Kind   string
			Amount struct{ AmountMinor string }
		}
	}
	read := func(who apitest.Client) []credit {
		t.Helper()
		var out struct{ StoreCredits []credit }
		who.With(t).Get(`{ storeCredits { theater { id } balance { amountMinor } movements { kind amount { amountMinor } } } }`, nil, &out)
		return out.StoreCredits
	}
	got := read(here.customer)
	if len(got) != 1 || got[0].Theater.ID != here.theater.ID() || len(got[0].Movements) != 1 || got[0].Movements[0].Kind != "REFUNDED" || got[0].Movements[0].Amount != got[0].Balance {
		t.Fatalf("%+v", got)
	}
	if others := read(a.Customer()); len(others) != 0 {
		t.Errorf("another customer sees %+v", others)
	}
	var out struct {
		PayReservation struct {
			Reservation struct {
				Status  string
				Payment struct{ Method, Gateway string }
			}
		}
	}
	here.customer.With(t).Get(`mutation ($id: ID!) { payReservation(input: {reservationId: $id, idempotencyKey: "by store credit", storeCredit: true}) {
		... on PayReservationPayload { reservation { status payment { method gateway } } } } }`, vars{"id": here.held(t)}, &out)
	if r := out.PayReservation.Reservation; r.Status != "CONFIRMED" || r.Payment.Method != "STORE_CREDIT" || r.Payment.Gateway != "credit" {
		t.Errorf("%+v", r)
	}
	if got := read(here.customer); got[0].Balance.AmountMinor != "0" || len(got[0].Movements) != 2 {
		t.Errorf("%+v", got)
	}
	var adjusted struct {
		AdjustStoreCredit struct{ Balance struct{ AmountMinor string } }
	}
	a.As(auth.Grant{Role: auth.RoleFinance}).With(t).Get(`mutation ($in: AdjustStoreCreditInput!) { adjustStoreCredit(input: $in) { balance { amountMinor } } }`, vars{"in": vars{
		"userId": here.customer.User.NodeID(), "theaterId": here.theater.ID(), "amountMinor": "750", "reason": "The film stopped.", "idempotencyKey": "a grant of credit",
	}}, &adjusted)
	if got := adjusted.AdjustStoreCredit.Balance.AmountMinor; got != "750" {
		t.Errorf("%s are left", got)
	}
}
