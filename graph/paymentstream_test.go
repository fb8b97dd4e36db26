package graph_test

import (
	"errors"
	"io"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
)

// TestSubscription_paymentChanged follows a payment over a socket: as it is, then each step to its end; by its customer and those who
// work where it was made, and by nobody else.
func TestSubscription_paymentChanged(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	const watch = `subscription ($id: ID!) { paymentChanged(id: $id) { id status refunded { formatted } recovery { rung } } }`
	type event struct{ PaymentChanged struct{ ID, Status string } }
	show, c := a.World.Showtimes[0], a.Customer().With(t)
	reservation := reserve(t, c, show, 1)
	in := vars{"reservationId": reservation, "idempotencyKey": "followed over a socket", "paymentToken": "tok_challenge", "returnUrl": "https://tickets.example/paid"}
	c.Get(payReservation, vars{"in": in}, nil)
	var out struct {
		Node struct{ Payment struct{ ID string } }
	}
	c.Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { payment { id } } } }`, vars{"id": reservation}, &out)
	id := out.Node.Payment.ID

	for name, who := range map[string]apitest.Client{
		"another_customer":  a.Customer(),
		"staff_elsewhere":   a.As(auth.Grant{Role: auth.RoleTheaterStaff, Theater: a.AddTheater(apitest.Theater{Name: "Elsewhere", City: "Waitangi", Country: "NZ", Zone: "Pacific/Chatham", Currency: "NZD"}, 1).Key}),
		"nobody_in_support": a.As(auth.Grant{Role: auth.RoleSupport}),
	} {
		if err := who.With(t).Watch(watch, vars{"id": id}).Try(nil); gqlclient.CodeOf(err) != apperr.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		var none struct{ Payment *struct{ ID string } }
		if who.With(t).Get(`query ($id: ID!) { payment(id: $id) { id } }`, vars{"id": id}, &none); none.Payment != nil {
			t.Errorf("%s sees the payment", name)
		}
	}
	if err := a.Anonymous().With(t).Watch(watch, vars{"id": id}).Try(nil); gqlclient.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}

	watchers := map[string]*apitest.Watcher{
		"its customer": c.Watch(watch, vars{"id": id}),
		"staff":        a.As(auth.Grant{Role: auth.RoleTheaterStaff, Theater: show.Theater.Key}).With(t).Watch(watch, vars{"id": id}),
		"finance":      a.As(auth.Grant{Role: auth.RoleFinance}).With(t).Watch(watch, vars{"id": id}),
	}
	for name, w := range watchers {
		var first event
		if w.Next(&first); first.PaymentChanged.ID != id || first.PaymentChanged.Status != "PENDING" {
			t.Errorf("%s is first told %+v", name, first)
		}
	}
	if _, err := a.Bank.Resolve(a.Bank.Charges()[0].Key, true); err != nil {
		t.Fatal(err)
	}
	c.Get(payReservation, vars{"in": in}, nil)
	for name, w := range watchers {
		var last event
		for last.PaymentChanged.Status != "CAPTURED" {
			w.Next(&last)
		}
		for err := error(nil); err == nil; {
			if err = w.Try(&last); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%s: the stream ends with %v", name, err)
			}
		}
		if last.PaymentChanged.Status != "CAPTURED" {
			t.Errorf("%s is told %+v in the end", name, last)
		}
	}
	// What is settled already is told once.
	w := c.Watch(watch, vars{"id": id})
	var again event
	if w.Next(&again); again.PaymentChanged.Status != "CAPTURED" {
		t.Errorf("%+v", again)
	}
	if err := w.Try(nil); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on after the end: %v", err)
	}
}
