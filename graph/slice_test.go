package graph_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/config"
	"marquee/internal/gqlclient"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

type session struct {
	Typename  string `json:"__typename"`
	Token     string
	ExpiresAt time.Time
	User      struct{ ID, Email, Name, Role string }
}

type ticket struct {
	ID, Code, Status string
	Seat             struct{ Position int16 }
}

type paid struct {
	PayReservation struct {
		Typename    string `json:"__typename"`
		DeclineCode string
		NextStep    struct {
			Typename string `json:"__typename"`
			URL      string
		}
		Reservation struct {
			Status    string
			HeldUntil *time.Time
			Payment   struct {
				ID, Status       string
				Amount, Refunded struct{ Formatted string }
			}
			Tickets []ticket
		}
	}
}

// TestSlice is the main job from the first visit to the refund.
func TestSlice(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	visitor := a.Anonymous()

	visitor.Get(signUp, vars{"email": " Nora@Example.COM "}, nil)
	var signed struct{ ConfirmSignUp session }
	visitor.Get(confirmSignUp, vars{"in": vars{
		"token": a.Mailed("nora@example.com", "confirm-sign-up"), "password": "nora goes to the movies", "name": "Nora",
	}}, &signed)
	if s := signed.ConfirmSignUp; s.Typename != "SessionPayload" || s.User.Email != "nora@example.com" || s.User.Role != "CUSTOMER" ||
		time.Until(s.ExpiresAt) < 10*time.Minute {
		t.Fatalf("signed up as %+v", s)
	}
	nora := visitor
	nora.Token = signed.ConfirmSignUp.Token

	var found struct {
		Movies struct {
			Nodes []struct {
				Title     string
				Showtimes struct {
					Nodes []struct {
						ID      string
						Theater struct{ Currency string }
						Prices  []struct {
							Category string
							Price    struct{ AmountMinor, Currency, Formatted string }
						}
					}
				}
			}
		}
	}
	nora.Get(`{ movies(first: 1, filter: {titleContains: "metro", playingInCity: "berlin"}) { nodes { title showtimes(first: 1, filter: {city: "Berlin"}) {
		nodes { id theater { currency } prices { category price { amountMinor currency formatted } } } } } } }`, nil, &found)
	show := found.Movies.Nodes[0].Showtimes.Nodes[0]
	if price := show.Prices[0]; len(show.Prices) != len(apitest.Prices) || price.Category != "LOVE_SEAT" || price.Price.AmountMinor != "1700" ||
		price.Price.Currency != "EUR" || price.Price.Formatted != "EUR 17.00" {
		t.Errorf("prices, dearest first: %+v", show.Prices)
	}
	projection := showtimeOf(t, a, show.ID)
	seats := nora.WatchSeats(show.ID)
	if want := strings.Repeat("A", apitest.SeatsPerScreen); seats.Letters() != want {
		t.Fatalf("the map is %s, want %s", seats.Letters(), want)
	}

	in := seatsInput(projection, 4, 3)
	var mine, again reserved
	nora.Get(reserveSeats, vars{"in": in}, &mine)
	held := mine.ReserveSeats.Reservation
	if left := held.HeldUntil.Sub(mine.ReserveSeats.ServerTime); held.Status != "HELD" || held.Total.Formatted != "EUR 24.00" ||
		left <= 0 || left > a.Config.Hold || held.Seats[0].Position != 3 || held.Seats[1].Position != 4 {
		t.Fatalf("held: %+v, for %s", held, left)
	}
	seats.Until("HELD", 3, 4)
	nora.Get(reserveSeats, vars{"in": in}, &again)
	if again.ReserveSeats.Reservation.ID != held.ID {
		t.Errorf("the same key gave %s after %s", again.ReserveSeats.Reservation.ID, held.ID)
	}

	rival := a.Customer()
	var refused reserved
	rival.Get(reserveSeats, vars{"in": seatsInput(projection, 2, 3)}, &refused)
	if r := refused.ReserveSeats; r.Code != "SEATS_UNAVAILABLE" || len(r.Seats) != 1 || r.Seats[0].Label != "A3" ||
		len(r.Alternatives) == 0 || len(r.Alternatives[0].Seats) != 2 || r.Alternatives[0].Total.Formatted != "EUR 24.00" {
		t.Fatalf("the rival was told %+v", r)
	}
	reserve(t, rival, projection, 1, 2)
	seats.Until("HELD", 1, 2)

	var bought paid
	nora.Get(payReservation, vars{"in": vars{"reservationId": held.ID, "idempotencyKey": "nora pays once"}}, &bought)
	sold := bought.PayReservation.Reservation
	if sold.Status != "CONFIRMED" || sold.HeldUntil != nil || sold.Payment.Status != "CAPTURED" || sold.Payment.Amount.Formatted != "EUR 24.00" ||
		len(sold.Tickets) != 2 || sold.Tickets[0].Seat.Position != 3 || sold.Tickets[1].Status != "ISSUED" ||
		len(sold.Tickets[0].Code) < 20 || sold.Tickets[0].Code == sold.Tickets[1].Code {
		t.Fatalf("sold: %+v", bought)
	}
	seats.Until("TAKEN", 3, 4)

	var list struct {
		MyReservations struct {
			Nodes []struct {
				ID, Status string
				Tickets    []ticket
				Showtime   struct {
					ID    string
					Movie struct{ Title string }
				}
			}
		}
	}
	nora.Get(`{ myReservations(first: 10) { nodes { id status tickets { code } showtime { id movie { title } } } } }`, nil, &list)
	if n := list.MyReservations.Nodes; len(n) != 1 || n[0].ID != held.ID || n[0].Status != "CONFIRMED" || n[0].Showtime.ID != show.ID ||
		n[0].Showtime.Movie.Title != "Metropolis" || n[0].Tickets[0].Code != sold.Tickets[0].Code {
		t.Errorf("Nora's reservations: %+v", n)
	}

	var given struct {
		CancelReservation struct {
			Reservation struct {
				Status  string
				Payment struct {
					Status   string
					Refunded struct{ Formatted string }
				}
				Tickets []ticket
			}
		}
	}
	for range 2 {
		nora.Get(cancelReservation, vars{"in": vars{"reservationId": held.ID}}, &given)
		if r := given.CancelReservation.Reservation; r.Status != "CANCELLED" || r.Payment.Status != "REFUNDED" ||
			r.Payment.Refunded.Formatted != "EUR 24.00" || r.Tickets[0].Status != "REVOKED" {
			t.Fatalf("given back: %+v", r)
		}
	}
	seats.Until("AVAILABLE", 3, 4)
	if want := "HHAA" + strings.Repeat("A", apitest.SeatsPerScreen-4); seats.Letters() != want {
		t.Errorf("in the end the map is %s, want %s", seats.Letters(), want)
	}
	var now struct {
		SeatMap struct {
			StateLetters   string
			AvailableCount int
		}
	}
	visitor.Get(`query ($id: ID!) { seatMap(showtimeId: $id) { stateLetters availableCount } }`, vars{"id": show.ID}, &now)
	if now.SeatMap.StateLetters != seats.Letters() || now.SeatMap.AvailableCount != apitest.SeatsPerScreen-2 {
		t.Errorf("the watcher has %s, the database %+v", seats.Letters(), now.SeatMap)
	}

	nora.Get(`mutation { signOut { signedOut } }`, nil, nil)
	if refusal := nora.Refused(`{ me { name } }`, nil); refusal.Status != http.StatusUnauthorized || refusal.Problems[0].Code != apperr.Unauthenticated {
		t.Errorf("after signing out: %v", refusal)
	}
	var signedIn struct{ SignIn session }
	visitor.Get(signIn, vars{"in": vars{"email": "NORA@example.com", "password": "nora goes to the movies"}}, &signedIn)
	if signedIn.SignIn.User.ID != signed.ConfirmSignUp.User.ID {
		t.Errorf("signed in as %+v", signedIn.SignIn)
	}
}

// showtimeOf returns the showtime of the world with a public id.
func showtimeOf(t *testing.T, a *apitest.App, id string) apitest.Showtime {
	t.Helper()
	i := slices.IndexFunc(a.World.Showtimes, func(s apitest.Showtime) bool { return s.ID() == id })
	if i < 0 {
		t.Fatalf("the world has no showtime %s", id)
	}
	return a.World.Showtimes[i]
}

// TestExpiry lets a hold run out by itself: no sweep helps.
func TestExpiry(t *testing.T) {
	t.Parallel()
	const hold = 3 * time.Second
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) { c.Hold = hold }))
	show, slow, quick := a.World.Showtimes[0], a.Customer(), a.Customer()
	seats := a.Anonymous().WatchSeats(show.ID())
	id := reserve(t, slow, show, 5, 6)
	seats.Until("HELD", 5, 6)
	seats.Until("AVAILABLE", 5, 6)

	var out struct {
		Node struct {
			Status    string
			HeldUntil *time.Time
		}
	}
	slow.Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { status heldUntil } } }`, vars{"id": id}, &out)
	if out.Node.Status != "EXPIRED" || out.Node.HeldUntil != nil {
		t.Errorf("after its deadline the reservation is %+v", out.Node)
	}
	var late paid
	slow.Get(payReservation, vars{"in": vars{"reservationId": id, "idempotencyKey": "too late to pay"}}, &late)
	if late.PayReservation.Typename != "ReservationExpired" {
		t.Errorf("paying after the deadline: %+v", late.PayReservation)
	}
	reserve(t, quick, show, 5, 6)
	seats.Until("HELD", 5, 6)
	if ended, _, err := a.Booking.Sweep(t.Context()); err != nil || ended != 1 {
		t.Errorf("the sweep ended %d reservations, %v; want 1", ended, err)
	}
	if n := apitest.Value[int](a, `SELECT count(*) FROM seat_claims WHERE showtime_id = $1`, show.Key); n != 2 {
		t.Errorf("after the sweep %d seats are claimed, want those of the second customer", n)
	}
}

// TestDecline pays with amounts that the sandbox declines.
func TestDecline(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show, c := a.World.Showtimes[0], a.Customer()
	a.Exec(`UPDATE price_tiers SET amount_minor = 1251 WHERE showtime_id = $1 AND category = 'STANDARD'`, show.Key)
	id := reserve(t, c, show, 1)
	var out paid
	c.Get(payReservation, vars{"in": vars{"reservationId": id, "idempotencyKey": "a first card"}}, &out)
	if p := out.PayReservation; p.Typename != "PaymentDeclined" || p.DeclineCode != "insufficient_funds" || p.Reservation.Status != "HELD" {
		t.Errorf("declined: %+v", p)
	}
}

// TestNextStep pays with an instrument whose bank wants to see the customer.
func TestNextStep(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show, c := a.World.Showtimes[0], a.Customer()
	in := vars{"reservationId": reserve(t, c, show, 1), "idempotencyKey": "a first card", "paymentToken": "tok_challenge", "returnUrl": "https://tickets.example/paid"}
	pay := func() paid {
		var out paid
		c.Get(payReservation, vars{"in": in}, &out)
		return out
	}
	for range 2 {
		p := pay().PayReservation
		if p.Typename != "PaymentPending" || p.NextStep.Typename != "PaymentRedirect" || !strings.HasPrefix(p.NextStep.URL, "https://bank.example/confirm/") {
			t.Fatalf("while the bank waits: %+v", p)
		}
	}
	if _, err := a.Bank.Resolve(a.Bank.Charges()[0].Key, true); err != nil {
		t.Fatal(err)
	}
	if p := pay().PayReservation; p.Typename != "PayReservationPayload" || p.Reservation.Status != "CONFIRMED" {
		t.Errorf("back from the bank: %+v", p)
	}
	in["paymentToken"] = "tok_other"
	if refused := c.Refused(payReservation, vars{"in": in}); gqlclient.CodeOf(refused) != apperr.IdempotencyKeyReused {
		t.Errorf("another card with the same key: %v", refused)
	}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	const watch = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`
	for name, test := range map[string]struct {
		id   string
		code apperr.Code
	}{
		"unknown_showtime":   {"sho_" + nothing, apperr.NotFound},
		"malformed_showtime": {"sho_?", apperr.BadUserInput},
		"another_kind":       {a.World.Movies[0].ID(), apperr.BadUserInput},
	} {
		t.Run(name, func(t *testing.T) {
			err := a.Anonymous().With(t).Watch(watch, vars{"id": test.id}).Try(nil)
			if gqlclient.CodeOf(err) != test.code {
				t.Errorf("%v, want %s", err, test.code)
			}
		})
	}
	t.Run("token_that_is_none", func(t *testing.T) {
		c := a.Anonymous()
		c.Token = "mqs_nobody"
		_, err := c.Subscribe(t.Context(), watch, vars{"id": a.World.Showtimes[0].ID()})
		if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != 4403 {
			t.Errorf("%v, want the close code 4403", err)
		}
	})
	t.Run("signing_out_ends_it", func(t *testing.T) {
		t.Parallel()
		c := a.Customer().With(t)
		w := c.Watch(watch, vars{"id": a.World.Showtimes[0].ID()})
		w.Next(nil)
		start := time.Now()
		c.Get(`mutation { signOut { signedOut } }`, nil, nil)
		err := w.Try(nil)
		if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != 4403 {
			t.Errorf("%v, want the close code 4403", err)
		}
		// The interval is 3 s; the rest is for a busy machine.
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("the socket was closed after %s", took)
		}
	})
	t.Run("a_demotion_ends_it", func(t *testing.T) {
		t.Parallel()
		c := a.Manager().With(t)
		w := c.Watch(watch, vars{"id": a.World.Showtimes[0].ID()})
		w.Next(nil)
		in := identity.ChangeGrantInput{UserID: c.User.ID, Grant: auth.Grant{Role: auth.RoleTheaterManager}, Reason: "on leave"}
		if err := a.Identity.RevokeRole(t.Context(), a.Identity.Operator(), in); err != nil {
			t.Fatal(err)
		}
		if closed, ok := errors.AsType[*gqlclient.CloseError](w.Try(nil)); !ok || closed.Code != 4403 {
			t.Errorf("%v, want the close code 4403", closed)
		}
	})
}

// TestNode reads each kind of thing by its id, as each kind of viewer.
func TestNode(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	owner, stranger, admin, nobody := a.Customer(), a.Customer(), a.Admin(), a.Anonymous()
	show := a.World.Showtimes[0]
	id := reserve(t, owner, show, 1)
	pay(t, owner, id)
	var mine struct {
		Node struct {
			Payment struct{ ID string }
			Tickets []struct{ ID string }
		}
	}
	owner.Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { payment { id } tickets { id } } } }`, vars{"id": id}, &mine)
	public := map[string]string{
		"Movie": a.World.Movies[0].ID(), "Theater": a.World.Theaters[0].ID(), "Screen": show.Screen.ID(), "Showtime": show.ID(),
		"Seat": show.Screen.Seats[0].ID(), "SeatLayout": typeid.Encode(typeid.SeatLayout, show.Screen.Layout),
		"Genre": typeid.Encode(typeid.Genre, a.World.Genres[0].Key),
	}
	private := map[string]string{
		"User": owner.User.NodeID(), "Reservation": id, "Payment": mine.Node.Payment.ID, "Ticket": mine.Node.Tickets[0].ID,
	}
	type node struct {
		Typename string `json:"__typename"`
		ID       string
	}
	const one = `query ($id: ID!) { node(id: $id) { __typename id } }`
	see := func(t *testing.T, c apitest.Client, id string) *node {
		t.Helper()
		var out struct{ Node *node }
		c.With(t).Get(one, vars{"id": id}, &out)
		return out.Node
	}
	for typename, id := range public {
		t.Run(typename+"_is_for_everybody", func(t *testing.T) {
			for _, c := range []apitest.Client{nobody, owner} {
				if n := see(t, c, id); n == nil || n.Typename != typename || n.ID != id {
					t.Errorf("%s: %+v", id, n)
				}
			}
		})
		t.Run(typename+"_unknown_is_null", func(t *testing.T) {
			if n := see(t, nobody, id[:4]+nothing); n != nil {
				t.Errorf("%+v", n)
			}
		})
	}
	for typename, id := range private {
		t.Run(typename+"_is_for_its_owner", func(t *testing.T) {
			if n := see(t, owner, id); n == nil || n.Typename != typename || n.ID != id {
				t.Errorf("%s: %+v", id, n)
			}
		})
		t.Run(typename+"_of_another_is_null", func(t *testing.T) {
			for _, c := range []apitest.Client{nobody, stranger, admin} {
				// Whoever looks after money may, and administrators may what they may.
				if n := see(t, c, id); n != nil && (typename != "Reservation" || c.Token != admin.Token) {
					t.Errorf("%s sees %+v", c.User.Name, n)
				}
			}
		})
		t.Run(typename+"_unknown_is_null", func(t *testing.T) {
			unknown := id[:4] + nothing
			if typename != "User" {
				unknown += nothing
			}
			if n := see(t, owner, unknown); n != nil {
				t.Errorf("%+v", n)
			}
		})
	}
	t.Run("a_key_is_not_found_under_another_showtime", func(t *testing.T) {
		for typename, id := range private {
			if typename == "User" {
				continue
			}
			other := id[:4] + strings.TrimPrefix(a.World.Showtimes[1].ID(), "sho_") + id[4+26:]
			if n := see(t, owner, other); n != nil {
				t.Errorf("%s: %+v", typename, n)
			}
		}
	})
	t.Run("nodes_keep_their_order", func(t *testing.T) {
		ids := []string{public["Seat"], private["Reservation"], public["Movie"], "mov_" + nothing, public["Movie"], private["User"]}
		for _, c := range []apitest.Client{owner, stranger, nobody} {
			var out struct{ Nodes []*node }
			c.With(t).Get(`query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }`, vars{"ids": ids}, &out)
			for i, n := range out.Nodes {
				hidden := i == 3 || c.Token != owner.Token && (i == 1 || i == 5)
				if hidden != (n == nil) || n != nil && n.ID != ids[i] {
					t.Errorf("the node at %d is %+v", i, n)
				}
			}
		}
	})
	t.Run("nodes_of_nothing", func(t *testing.T) {
		var out struct{ Nodes []*node }
		nobody.With(t).Get(`{ nodes(ids: []) { id } }`, nil, &out)
		if out.Nodes == nil || len(out.Nodes) != 0 {
			t.Errorf("%+v", out.Nodes)
		}
	})
}
