package graph_test

import (
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/typeid"
)

// TestCounter sells seats to who stands at the counter and takes them back: whose account has them is told to the clerk, and
// what was paid by card does not leave the till as cash.
func TestCounter(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show, customer := a.World.Showtimes[0], a.Customer()
	clerk := a.As(auth.Grant{Role: auth.RoleTheaterStaff, Theater: show.Theater.Key})
	var price struct {
		Quote struct{ Total struct{ AmountMinor string } }
	}
	clerk.Get(`query ($in: QuoteInput!) { quote(input: $in) { total { amountMinor } } }`,
		vars{"in": vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(3)}}, &price)

	sell := func(position int16, email any) (reservation string, customer *struct{ Name, Email *string }) {
		t.Helper()
		in := seatsInput(show, position)
		in["customerEmail"] = email
		in["tender"] = vars{"method": "CARD", "amountMinor": price.Quote.Total.AmountMinor, "terminalReference": "T1-000123"}
		var got struct {
			SellAtCounter struct {
				Reservation struct{ ID string }
				Customer    *struct{ Name, Email *string }
			}
		}
		clerk.Get(`mutation ($in: SellAtCounterInput!) { sellAtCounter(input: $in) {
			... on SellAtCounterPayload { reservation { id } customer { name email } } } }`, vars{"in": in}, &got)
		return got.SellAtCounter.Reservation.ID, got.SellAtCounter.Customer
	}
	sold, whose := sell(3, customer.User.Email)
	if whose == nil || whose.Name == nil || *whose.Name != customer.User.ShortName() || whose.Email != nil {
		t.Errorf("to a customer with an account: %+v", whose)
	}
	for position, email := range map[int16]any{4: "nobody@nest.example", 5: nil} {
		if _, whose := sell(position, email); whose != nil {
			t.Errorf("to %v: %+v", email, whose)
		}
	}

	var back struct {
		PayOutAtCounter struct {
			Code, Method string
			Due          struct{ AmountMinor string }
		}
	}
	clerk.Get(`mutation ($in: PayOutAtCounterInput!) { payOutAtCounter(input: $in) {
		... on PayOutMethodRefused { code method due { amountMinor } } } }`,
		vars{"in": vars{"reservationId": sold, "cancel": true, "method": "CASH", "idempotencyKey": typeid.New().String()}}, &back)
	if got := back.PayOutAtCounter; got.Code != "PAY_OUT_METHOD_REFUSED" || got.Method != "CARD" || got.Due != price.Quote.Total {
		t.Errorf("%+v, the price is %+v", got, price.Quote)
	}
}
