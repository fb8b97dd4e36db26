package graph_test

import (
	"fmt"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
)

// staffView is what staff read of reservations.
const staffView = `{ edges { customer { name email } node { id code status seats { label } payment { status } tickets { code } showtime { movie { title } screen { name } } } } }`

type staffList struct {
	Edges []struct {
		Customer *struct{ Name, Email *string }
		Node     struct {
			ID, Code, Status string
			Tickets          []struct{ Code string }
		}
	}
}

// What staff see of reservations is what their work takes: at a theater enough of a name to tell who stands there, and the
// tickets of a reservation whose code the customer tells; on the platform name and address and no ticket.
func TestStaffReservations(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.Batched())
	here, there := newTenant(a, a.World.Theaters[0]), newTenant(a, a.World.Theaters[1])
	paid, _, _ := here.bought(t)
	there.bought(t)
	support := a.As(auth.Grant{Role: auth.RoleSupport})
	at := func(who apitest.Client, arguments string) staffList {
		var out struct{ TheaterReservations staffList }
		who.With(t).Get(fmt.Sprintf(`{ theaterReservations(theaterId: %q, first: 50, %s) %s }`, here.theater.ID(), arguments, staffView), nil, &out)
		return out.TheaterReservations
	}
	all := func(arguments string) staffList {
		var out struct{ Reservations staffList }
		support.With(t).Get(`{ reservations(first: 50, `+arguments+`) `+staffView+` }`, nil, &out)
		return out.Reservations
	}
	t.Run("A8_staff_of_a_theater", func(t *testing.T) {
		list := at(here.staff, "sort: LATEST_SHOWTIME")
		if len(list.Edges) != 1 || list.Edges[0].Node.ID != paid {
			t.Fatalf("%+v", list)
		}
		seen := list.Edges[0]
		if seen.Customer == nil || seen.Customer.Name == nil || *seen.Customer.Name != here.customer.User.ShortName() ||
			seen.Customer.Email != nil || len(seen.Node.Tickets) != 0 {
			t.Errorf("%+v", seen)
		}
		if found := at(here.manager, fmt.Sprintf(`filter: {code: %q}`, seen.Node.Code)); len(found.Edges) != 1 || len(found.Edges[0].Node.Tickets) != 1 ||
			found.Edges[0].Customer.Email != nil {
			t.Errorf("by its code: %+v", found)
		}
	})
	t.Run("those_who_help_customers", func(t *testing.T) {
		list := all(fmt.Sprintf(`sort: NEWEST, filter: {customerEmail: %q}`, here.customer.User.Email))
		if len(list.Edges) != 1 || list.Edges[0].Node.ID != paid {
			t.Fatalf("%+v", list)
		}
		seen := list.Edges[0]
		if seen.Customer == nil || seen.Customer.Email == nil || *seen.Customer.Email != here.customer.User.Email || len(seen.Node.Tickets) != 0 ||
			*seen.Customer.Name != here.customer.User.Name {
			t.Errorf("%+v", seen)
		}
		if both := all("sort: SOONEST_SHOWTIME"); len(both.Edges) != 2 {
			t.Errorf("%+v", both)
		}
	})
	t.Run("those_who_look_after_money", func(t *testing.T) {
		finance := a.As(auth.Grant{Role: auth.RoleFinance})
		var list struct{ Reservations, TheaterReservations staffList }
		finance.With(t).Get(fmt.Sprintf(`{ reservations(first: 50) %s theaterReservations(theaterId: %q, first: 50) %[1]s }`, staffView, here.theater.ID()), nil, &list)
		if len(list.Reservations.Edges) != 2 || len(list.TheaterReservations.Edges) != 1 {
			t.Fatalf("%+v", list)
		}
		for _, seen := range append(list.Reservations.Edges, list.TheaterReservations.Edges...) {
			if seen.Customer != nil || len(seen.Node.Tickets) != 0 {
				t.Errorf("%+v", seen)
			}
		}
		var one struct {
			Node struct {
				ID      string
				Payment struct{ Amount struct{ AmountMinor string } }
				Tickets []struct{ Code string }
			}
		}
		const read = `query ($id: ID!) { node(id: $id) { ... on Reservation { id payment { amount { amountMinor } } tickets { code } } } }`
		if finance.With(t).Get(read, vars{"id": paid}, &one); one.Node.ID != paid || one.Node.Payment.Amount.AmountMinor == "" || len(one.Node.Tickets) != 0 {
			t.Errorf("%+v", one)
		}
		refused := finance.With(t).Refused(fmt.Sprintf(`{ reservations(first: 1, filter: {customerEmail: %q}) { nodes { id } } }`, here.customer.User.Email), nil)
		if refused.Problems[0].Code != apperr.Forbidden {
			t.Error(refused)
		}
	})
	t.Run("statements_do_not_grow_with_the_page", func(t *testing.T) {
		few := a.Statements(func() { at(here.staff, "sort: SOONEST_SHOWTIME") })
		for range 9 {
			here.bought(t)
		}
		many := a.Statements(func() { at(here.staff, "sort: SOONEST_SHOWTIME") })
		// session; reservations; customers, showtimes, payments, tickets; movies, screens
		const most = 8
		if len(few) != len(many) || len(many) > most {
			t.Errorf("%d statements for one, %d for ten, want at most %d: %q", len(few), len(many), most, many)
		}
	})
	t.Run("whose_account_is_erased_has_no_name", func(t *testing.T) {
		var out struct {
			DeleteAccount struct {
				Typename string `json:"__typename"`
			}
		}
		here.customer.With(t).Get(`mutation { deleteAccount(input: {leaveReservations: true}) { __typename } }`, nil, &out)
		if out.DeleteAccount.Typename != "DeleteAccountPayload" {
			t.Fatalf("%+v", out)
		}
		for _, seen := range at(here.staff, "sort: SOONEST_SHOWTIME").Edges {
			if seen.Customer != nil {
				t.Errorf("%+v", seen.Customer)
			}
		}
	})
}
