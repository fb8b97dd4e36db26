package graph_test

import (
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/gqlclient"
	"marquee/internal/typeid"
)

type amount struct{ Formatted string }

// swapped is what a request for a swap came to.
type swapped struct {
	SwapSeats struct {
		Typename    string `json:"__typename"`
		Code        string
		Why         string
		Reservation struct {
			ID     string
			Status string
			Total  amount
			Swap   struct {
				State, ReplacesID       string
				Seats                   []struct{ Label string }
				Value, Fee, Credit, Due amount
			}
		}
	}
}

// offersSwaps lets who holds seats of a theater from now on swap them, for 1.00, and get half back.
func offersSwaps(a *apitest.App, theater apitest.Theater) {
	a.Exec(`INSERT INTO refund_policies (theater_id, version, steps, late_without_refund, kept_per_ticket_minor, kept_once_minor, fees_returned,
			swap_minutes, swap_fee_minor, holds_from)
		VALUES ($1, 1, '[{"minutes":0,"basisPoints":5000}]', false, 0, 0, false, 60, 100, now())`, theater.Key)
}

func swapRequest(reservation string, show apitest.Showtime, positions ...int16) vars {
	return vars{"reservationId": reservation, "showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(positions...), "idempotencyKey": typeid.New().String()}
}

// TestSwapSeats is the way of a paid reservation to another showtime: what is due is told, held, paid, and shown to all who may
// know of it.
func TestSwapSeats(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show, customer := a.World.Showtimes[0], a.Customer()
	other := a.AddShowtime(a.World.Movies[0], show.Theater, show.Screen, 240*time.Hour)
	offersSwaps(a, show.Theater)
	bought := reserve(t, customer, show, 1, 2)
	pay(t, customer, bought)

	in := swapRequest(bought, other, 9)
	in["giveBack"] = show.Screen.SeatIDs(1)
	preview := vars{"reservationId": bought, "giveBack": in["giveBack"], "showtimeId": in["showtimeId"], "seatIds": in["seatIds"]}
	var told struct {
		SwapPreview struct {
			Value, Fee, Price, Credit, Due, ComesBack amount
			Until                                     *time.Time
		}
	}
	customer.Get(swapPreview, vars{"in": preview}, &told)
	if p := told.SwapPreview; p.Value.Formatted != "EUR 12.00" || p.Fee.Formatted != "EUR 1.00" || p.Credit.Formatted != "EUR 11.00" ||
		p.Due.Formatted != "EUR 4.00" || p.ComesBack.Formatted != "EUR 0.00" || p.Until == nil || !p.Until.Equal(show.Starts.Add(-time.Hour)) {
		t.Errorf("told was %+v", p)
	}
	var held swapped
	customer.Get(swapSeats, vars{"in": in}, &held)
	r := held.SwapSeats.Reservation
	if r.Status != "HELD" || r.Total.Formatted != "EUR 15.00" || r.Swap.State != "OPEN" || r.Swap.ReplacesID != bought || len(r.Swap.Seats) != 1 ||
		r.Swap.Seats[0].Label != "A1" || r.Swap.Due.Formatted != "EUR 4.00" {
		t.Fatalf("it is %+v", held.SwapSeats)
	}
	if err := customer.Refused(payLater, vars{"in": vars{"reservationId": r.ID}}); gqlclient.CodeOf(err) != "CONFLICT" {
		t.Errorf("kept unpaid: %v", err)
	}
	if err := a.Customer().Refused(swapPreview, vars{"in": preview}); gqlclient.CodeOf(err) != "NOT_FOUND" {
		t.Errorf("a stranger's: %v", err)
	}
	pay(t, customer, r.ID)

	var after struct {
		Came struct {
			Status  string
			Swap    struct{ State string }
			Payment struct{ Amount, Carried amount }
			Tickets []struct{ Status string }
		}
		Gave struct {
			Status  string
			Total   amount
			Swap    *struct{ State string }
			Payment struct {
				Carried, Refunded amount
				Refunds           []struct {
					Amount      amount
					Cause       string
					Method      string
					CarriedToID *string
				}
			}
			Tickets []struct{ Status string }
		}
	}
	customer.Get(`query ($came: ID!, $gave: ID!) {
		came: node(id: $came) { ... on Reservation { status swap { state } payment { amount { formatted } carried { formatted } } tickets { status } } }
		gave: node(id: $gave) { ... on Reservation { status total { formatted } swap { state } tickets { status }
			payment { carried { formatted } refunded { formatted } refunds { amount { formatted } cause method carriedToId } } } } }`,
		vars{"came": r.ID, "gave": bought}, &after)
	if got := after.Came; got.Status != "CONFIRMED" || got.Swap.State != "DONE" || got.Payment.Amount.Formatted != "EUR 15.00" || len(got.Tickets) != 1 || got.Tickets[0].Status != "ISSUED" {
		t.Errorf("what came is %+v", got)
	}
	got := after.Gave
	if got.Status != "CONFIRMED" || got.Total.Formatted != "EUR 13.00" || got.Swap != nil || got.Payment.Carried.Formatted != "EUR 11.00" || got.Payment.Refunded.Formatted != "EUR 0.00" ||
		len(got.Tickets) != 2 || got.Tickets[0].Status != "REVOKED" || got.Tickets[1].Status != "ISSUED" {
		t.Errorf("what gave is %+v", got)
	}
	if refunds := got.Payment.Refunds; len(refunds) != 1 || refunds[0].Cause != "SWAP" || refunds[0].Method != "ONLINE" || refunds[0].CarriedToID == nil || *refunds[0].CarriedToID != r.ID {
		t.Errorf("its money is %+v", refunds)
	}
	// Another theater's seats are no swap.
	var refused swapped
	customer.Get(swapSeats, vars{"in": swapRequest(bought, a.World.Showtimes[2], 9)}, &refused)
	if refused.SwapSeats.Code != "SWAP_UNAVAILABLE" || refused.SwapSeats.Why != "OTHER_THEATER" {
		t.Errorf("for another theater it is %+v", refused.SwapSeats)
	}
}
