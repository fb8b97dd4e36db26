package graph_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph"
	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/dbtest"
	"marquee/internal/typeid"
)

// tenant is a theater, those who work there, and a customer of it.
type tenant struct {
	theater                  apitest.Theater
	customer, staff, manager apitest.Client
	shows                    []apitest.Showtime
	made                     int // reservations
}

// held makes a reservation of the customer.
func (n *tenant) held(t *testing.T) string {
	t.Helper()
	show, position := n.shows[n.made%len(n.shows)], 1+n.made/len(n.shows)
	n.made++
	return reserve(t, n.customer, show, int16(position))
}

// bought makes a reservation that is paid, and returns the ids of what hangs from it.
func (n *tenant) bought(t *testing.T) (reservation, payment, ticket string) {
	t.Helper()
	reservation = n.held(t)
	pay(t, n.customer, reservation)
	var out struct {
		Node struct {
			Payment struct{ ID string }
			Tickets []struct{ ID string }
		}
	}
	n.customer.Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { payment { id } tickets { id } } } }`, vars{"id": reservation}, &out)
	return reservation, out.Node.Payment.ID, out.Node.Tickets[0].ID
}

func newTenant(a *apitest.App, theater apitest.Theater) *tenant {
	at := func(role auth.Role) apitest.Client { return a.As(auth.Grant{Role: role, Theater: theater.Key}) }
	n := &tenant{theater: theater, customer: a.Customer(), staff: at(auth.RoleTheaterStaff), manager: at(auth.RoleTheaterManager)}
	for _, s := range a.World.Showtimes {
		if s.Theater.Key == theater.Key {
			n.shows = append(n.shows, s)
		}
	}
	return n
}

// tenantCase asks an operation for a thing of the other side.
type tenantCase struct {
	operation string // of the variable $id
	input     vars   // further fields of the variable $in, in which the id is set under field
	field     string
	// theirs makes a thing of the other side, and returns its id and who may do with it what the operation does; a nil owner
	// says that nobody of either side may.
	theirs func(t *testing.T) (id string, owner *apitest.Client)
	// known says why everybody may know of the thing: then there is nothing to compare.
	known string
}

func (c tenantCase) ask(who apitest.Client, id string) apitest.Answer {
	if c.input == nil {
		return who.Raw(c.operation, vars{"id": id})
	}
	in := maps.Clone(c.input)
	in[c.field] = id
	return who.Raw(c.operation, vars{"in": in})
}

// TestA8_AZ1_AZ3_two_tenants is the differential test of the isolation of theaters and customers, AZ1 and AZ3: every argument of
// every field that takes an id is given one of a thing of the other side, by everybody of this side, and what comes back
// is what comes back for a thing that does not exist, and nothing is changed. An argument without a case fails the test.
func TestA8_AZ1_AZ3_two_tenants(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	ours, theirs := newTenant(a, a.World.Theaters[0]), newTenant(a, a.World.Theaters[1])
	admin, support := a.Admin(), a.As(auth.Grant{Role: auth.RoleSupport})

	const result = `{ __typename ... on UserError { code message } }`
	mutation := func(name, selection string) string {
		return fmt.Sprintf(`mutation ($in: %sInput!) { %s(input: $in) %s }`, strings.ToUpper(name[:1])+name[1:], name, selection)
	}
	thing := func(id func(t *testing.T) string, owner *apitest.Client) func(*testing.T) (string, *apitest.Client) {
		return func(t *testing.T) (string, *apitest.Client) { return id(t), owner }
	}
	their := func(id string, owner *apitest.Client) func(*testing.T) (string, *apitest.Client) {
		return thing(func(*testing.T) string { return id }, owner)
	}
	fresh := func(with func(*apitest.App) (apitest.Client, string)) func(*testing.T) (string, *apitest.Client) {
		return func(*testing.T) (string, *apitest.Client) { owner, id := with(a); return id, &owner }
	}
	reservation := thing(theirs.held, &theirs.customer)
	payment := thing(func(t *testing.T) string { _, id, _ := theirs.bought(t); return id }, &theirs.customer)
	ticket := thing(func(t *testing.T) string { _, _, id := theirs.bought(t); return id }, &theirs.customer)
	session := thing(func(*testing.T) string {
		other := theirs.customer
		other.Token = openSession(theirs.customer, theirs.customer.User.Email, apitest.Password).Token
		return devices(other)[0].ID
	}, &theirs.customer)
	user := their(theirs.customer.User.NodeID(), &theirs.customer)
	account := their(typeid.Encode(typeid.Account, theirs.staff.User.ID), &support)
	entry := thing(func(*testing.T) string { return newestEntry(a, admin) }, &admin)
	staffUser, staffOwner := theirs.staff.User.NodeID(), &theirs.manager
	appointed := func(then string) func(*testing.T) (string, *apitest.Client) {
		return func(t *testing.T) (string, *apitest.Client) {
			theirs.manager.With(t).Get(mutation("grantRole", result), vars{"in": vars{
				"userId": staffUser, "theaterId": theirs.theater.ID(), "role": "THEATER_STAFF", "reason": "hired again",
			}}, nil)
			return then, &theirs.manager
		}
	}
	fee := vars{"kind": "FEE", "label": "Fee", "amountMinor": "50"}
	ruleOf := func(t *testing.T) string {
		var out struct {
			CreatePriceRule struct{ Rule struct{ ID string } }
		}
		theirs.manager.With(t).Get(mutation("createPriceRule", `{ rule { id } }`), vars{"in": vars{"theaterId": theirs.theater.ID(), "rule": fee}}, &out)
		return out.CreatePriceRule.Rule.ID
	}
	rule, finance := thing(ruleOf, &theirs.manager), a.As(auth.Grant{Role: auth.RoleFinance})
	comparison := thing(func(*testing.T) string { return compared(a) }, &finance)
	event := thing(func(*testing.T) string { return told(a) }, &finance)
	job := thing(func(*testing.T) string { return queued(a) }, &admin)
	mismatch := thing(func(*testing.T) string { return mismatched(a) }, &finance)
	review := func(hidden bool) func(*testing.T) (string, *apitest.Client) {
		return fresh(func(a *apitest.App) (apitest.Client, string) { return withReview(a, theirs.shows[0], hidden) })
	}
	const offSale = "what is on where is for everybody"

	// Asked for by us at our theater.
	ourReservations := func(condition string) string {
		return fmt.Sprintf(`query ($id: ID!) { theaterReservations(theaterId: %q, first: 5, filter: {%s: $id}) { nodes { id } } }`, ours.theater.ID(), condition)
	}
	const node = `query ($id: ID!) { node(id: $id) { __typename id } }`
	const nodes = `query ($id: ID!) { nodes(ids: [$id]) { __typename id } }`
	appoint := vars{"role": "THEATER_STAFF", "reason": "to see whether it works"}
	at := func(theater apitest.Theater, more vars) vars {
		in := maps.Clone(appoint)
		in["theaterId"] = theater.ID()
		maps.Copy(in, more)
		return in
	}
	cases := map[string][]tenantCase{
		"Query.node(id)": {
			{operation: node, theirs: reservation},
			{operation: node, theirs: payment},
			{operation: node, theirs: ticket},
			{operation: node, theirs: user},
			{operation: node, theirs: account},
			{operation: node, theirs: entry},
			{operation: node, theirs: mismatch},
			{operation: node, theirs: comparison},
			{operation: node, theirs: event},
			{operation: node, theirs: job},
			{operation: node, theirs: review(true)},
		},
		"Query.nodes(ids)": {
			{operation: nodes, theirs: reservation},
			{operation: nodes, theirs: payment},
			{operation: nodes, theirs: ticket},
			{operation: nodes, theirs: user},
			{operation: nodes, theirs: account},
			{operation: nodes, theirs: entry},
			{operation: nodes, theirs: mismatch},
			{operation: nodes, theirs: comparison},
			{operation: nodes, theirs: event},
			{operation: nodes, theirs: job},
			{operation: nodes, theirs: review(true)},
		},
		"Query.users(filter.userId)":    {{operation: `query ($id: ID!) { users(first: 5, filter: {userId: $id}) { nodes { email } } }`, theirs: their(staffUser, &support)}},
		"Query.users(filter.theaterId)": {{operation: `query ($id: ID!) { users(first: 5, filter: {theaterId: $id}) { nodes { email } } }`, theirs: their(theirs.theater.ID(), &support)}},
		"Query.auditLog(filter.userId)": {{operation: `query ($id: ID!) { auditLog(first: 5, filter: {userId: $id}) { nodes { id } } }`, theirs: their(staffUser, &admin)}},
		"Query.auditLog(filter.theaterId)": {
			{operation: `query ($id: ID!) { auditLog(first: 5, filter: {theaterId: $id}) { nodes { id } } }`, theirs: thing(func(t *testing.T) string {
				in := at(theirs.theater, vars{"userId": staffUser})
				theirs.manager.With(t).Get(mutation("grantRole", result), vars{"in": in}, nil) // an entry about the theater
				theirs.manager.With(t).Get(mutation("revokeRole", result), vars{"in": in}, nil)
				theirs.manager.With(t).Get(mutation("grantRole", result), vars{"in": in}, nil)
				return theirs.theater.ID()
			}, &admin)},
		},
		// Whose side a user is of nobody says: a manager appoints whom they know the id of. What the other side has
		// appointed them to is not shown, and not changed.
		"Mutation.grantRole(input.userId)": {
			{operation: mutation("grantRole", result), input: at(theirs.theater, nil), field: "userId", theirs: their(staffUser, staffOwner)},
		},
		"Mutation.grantRole(input.theaterId)": {
			{operation: mutation("grantRole", result), input: at(theirs.theater, vars{"userId": staffUser}), field: "theaterId", theirs: their(theirs.theater.ID(), staffOwner)},
		},
		"Mutation.revokeRole(input.userId)": {
			{operation: mutation("revokeRole", result), input: at(ours.theater, nil), field: "userId", theirs: their(staffUser, nil)},
			{operation: mutation("revokeRole", result), input: at(theirs.theater, nil), field: "userId", theirs: appointed(staffUser)},
		},
		"Mutation.revokeRole(input.theaterId)": {
			{operation: mutation("revokeRole", result), input: vars{"userId": staffUser, "role": "THEATER_STAFF", "reason": "to see"}, field: "theaterId", theirs: appointed(theirs.theater.ID())},
		},
		"Mutation.disableUser(input.userId)": {{operation: mutation("disableUser", result), input: vars{"reason": "to see"}, field: "userId", theirs: their(a.Customer().User.NodeID(), &admin)}},
		"Mutation.enableUser(input.userId)":  {{operation: mutation("enableUser", `{ account { id } }`), input: vars{"reason": "to see"}, field: "userId", theirs: their(a.Customer().User.NodeID(), &admin)}},
		"Mutation.eraseUser(input.userId)":   {{operation: mutation("eraseUser", result), input: vars{"reason": "to see"}, field: "userId", theirs: their(a.Customer().User.NodeID(), &admin)}},
		"Mutation.cancelReservation(input.reservationId)": {
			{operation: mutation("cancelReservation", result), input: vars{}, field: "reservationId", theirs: reservation},
			{operation: mutation("cancelReservation", result), input: vars{}, field: "reservationId", theirs: thing(func(t *testing.T) string { id, _, _ := theirs.bought(t); return id }, &theirs.customer)},
		},
		"Mutation.cancelReservation(input.seatIds)": {{known: offSale}},
		"Query.refundPreview(input.seatIds)":        {{known: offSale}},
		"Mutation.refundReservation(input.seatIds)": {{known: offSale}},
		"Query.refundPreview(input.reservationId)": {
			{
				operation: `query ($in: RefundPreviewInput!) { refundPreview(input: $in) { __typename } }`, input: vars{}, field: "reservationId", theirs: reservation,
			},
		},
		"Mutation.refundReservation(input.reservationId)": {
			{
				operation: mutation("refundReservation", `{ status }`), input: vars{"cause": "THEATER", "reason": "to see", "idempotencyKey": "two tenants refund"},
				field: "reservationId", theirs: thing(func(t *testing.T) string { id, _, _ := theirs.bought(t); return id }, &theirs.manager),
			},
		},
		"Mutation.retryRefund(input.refundId)": {
			{
				operation: mutation("retryRefund", `{ refundId }`), input: vars{"reason": "to see"}, field: "refundId",
				theirs: thing(func(t *testing.T) string { id, _ := failedRefund(t, a, theirs); return id }, &theirs.manager),
			},
		},
		"Mutation.adjustStoreCredit(input.userId)": {
			{
				operation: mutation("adjustStoreCredit", `{ balance { amountMinor } }`), field: "userId", theirs: their(theirs.customer.User.NodeID(), &admin),
				input: vars{"theaterId": theirs.theater.ID(), "amountMinor": "100", "reason": "to see", "idempotencyKey": "two tenants credit"},
			},
		},
		"Mutation.adjustStoreCredit(input.theaterId)": {
			{
				operation: mutation("adjustStoreCredit", `{ balance { amountMinor } }`), field: "theaterId", theirs: their(theirs.theater.ID(), &admin),
				input: vars{"userId": theirs.customer.User.NodeID(), "amountMinor": "100", "reason": "to see", "idempotencyKey": "two tenants credit 2"},
			},
		},
		"Query.failedRefunds(theaterId)": {
			{operation: `query ($id: ID!) { failedRefunds(theaterId: $id) { id } }`, theirs: thing(func(*testing.T) string { return theirs.theater.ID() }, &theirs.manager)},
		},
		"Mutation.setRefundPolicy(input.theaterId)": {
			{
				operation: mutation("setRefundPolicy", `{ theater { id } }`), input: vars{"policy": vars{"steps": []vars{}}}, field: "theaterId",
				theirs: their(theirs.theater.ID(), &theirs.manager),
			},
		},
		"Mutation.changeSeats(input.reservationId)": {
			{
				operation: mutation("changeSeats", result), input: vars{"seatIds": theirs.theater.Screens[0].SeatIDs(20), "idempotencyKey": "two tenants change"},
				field: "reservationId", theirs: reservation,
			},
		},
		"Query.quote(input.reservationId)": {
			{
				operation: `query ($in: QuoteInput!) { quote(input: $in) { total { amountMinor } } }`,
				input:     vars{"showtimeId": theirs.shows[0].ID(), "seatIds": theirs.theater.Screens[0].SeatIDs(20)}, field: "reservationId",
				theirs: thing(func(t *testing.T) string { return reserve(t, theirs.customer, theirs.shows[0], 21) }, &theirs.customer),
			},
		},
		"Query.validateSelection(input.reservationId)": {
			{
				operation: `query ($in: ValidateSelectionInput!) { validateSelection(input: $in) { reservable } }`,
				input:     vars{"showtimeId": theirs.shows[0].ID(), "seatIds": theirs.theater.Screens[0].SeatIDs(20)}, field: "reservationId",
				theirs: thing(func(t *testing.T) string { return reserve(t, theirs.customer, theirs.shows[0], 22) }, &theirs.customer),
			},
		},
		"Mutation.swapSeats(input.reservationId)": {
			{
				operation: mutation("swapSeats", result), field: "reservationId",
				input:  vars{"showtimeId": theirs.shows[1].ID(), "seatIds": theirs.theater.Screens[0].SeatIDs(20), "idempotencyKey": "two tenants swap"},
				theirs: thing(func(t *testing.T) string { id, _, _ := theirs.bought(t); return id }, &theirs.customer),
			},
		},
		"Query.swapPreview(input.reservationId)": {
			{
				operation: `query ($in: SwapPreviewInput!) { swapPreview(input: $in) { __typename } }`, field: "reservationId",
				input:  vars{"showtimeId": theirs.shows[1].ID(), "seatIds": theirs.theater.Screens[0].SeatIDs(20)},
				theirs: thing(func(t *testing.T) string { id, _, _ := theirs.bought(t); return id }, &theirs.customer),
			},
		},
		"Mutation.swapSeats(input.giveBack)":             {{known: offSale}},
		"Mutation.swapSeats(input.showtimeId)":           {{known: offSale}},
		"Mutation.swapSeats(input.seatIds)":              {{known: offSale}},
		"Mutation.swapSeats(input.ticketTypes.seatId)":   {{known: offSale}},
		"Query.swapPreview(input.giveBack)":              {{known: offSale}},
		"Query.swapPreview(input.showtimeId)":            {{known: offSale}},
		"Query.swapPreview(input.seatIds)":               {{known: offSale}},
		"Query.swapPreview(input.ticketTypes.seatId)":    {{known: offSale}},
		"Mutation.changeSeats(input.seatIds)":            {{known: offSale}},
		"Mutation.changeSeats(input.ticketTypes.seatId)": {{known: offSale}},
		"Mutation.extendHold(input.reservationId)": {
			{operation: mutation("extendHold", result), input: vars{}, field: "reservationId", theirs: reservation},
		},
		"Mutation.payLater(input.reservationId)": {
			{operation: mutation("payLater", result), input: vars{}, field: "reservationId", theirs: reservation},
		},
		"Mutation.setPayLaterPolicy(input.theaterId)": {
			{
				operation: mutation("setPayLaterPolicy", `{ theater { id } }`), input: vars{"policy": vars{"leadMinutes": 60, "maxOpen": 2}}, field: "theaterId",
				theirs: their(theirs.theater.ID(), &theirs.manager),
			},
		},
		// Over a socket, which these operations are not sent by: TestSubscription_paymentChanged.
		"Subscription.paymentChanged(id)": {{
			operation: `subscription ($id: ID!) { paymentChanged(id: $id) { id } }`,
			theirs:    func(t *testing.T) (string, *apitest.Client) { id, _ := payment(t); return id, nil },
		}},
		"Query.payment(id)": {{operation: `query ($id: ID!) { payment(id: $id) { id } }`, theirs: payment}},
		"Mutation.acceptOfferedSeats(input.reservationId)": {
			{operation: mutation("acceptOfferedSeats", result), input: vars{"idempotencyKey": "two tenants accept"}, field: "reservationId", theirs: reservation},
		},
		"Mutation.declineOfferedSeats(input.reservationId)": {
			{operation: mutation("declineOfferedSeats", `{ reservation { id } }`), input: vars{"idempotencyKey": "two tenants decline"}, field: "reservationId", theirs: reservation},
		},
		"Mutation.payReservation(input.reservationId)": {
			{operation: mutation("payReservation", result), input: vars{"idempotencyKey": "two tenants pay"}, field: "reservationId", theirs: reservation},
		},
		"Mutation.endSession(input.sessionId)": {{operation: mutation("endSession", `{ sessionId }`), input: vars{}, field: "sessionId", theirs: session}},
		"Mutation.renameFactor(input.factorId)": {
			{operation: mutation("renameFactor", `{ factor { name } }`), input: vars{"name": "Mine"}, field: "factorId", theirs: fresh(withPasskey)},
		},
		"Mutation.removeFactor(input.factorId)": {
			{operation: mutation("removeFactor", result), input: vars{}, field: "factorId", theirs: fresh(withPasskey)},
		},
		"Mutation.unlinkProvider(input.linkId)": {
			{operation: mutation("unlinkProvider", result), input: vars{}, field: "linkId", theirs: fresh(withLink)},
		},
		"Mutation.setSeatRules(input.theaterId)": {
			{operation: mutation("setSeatRules", `{ theater { id } }`), input: vars{
				"noSeatLeftAlone": false, "relaxedAtFreePercent": 5, "relaxedMinutesBeforeStart": 10, "accessibleReleaseMinutes": 10080,
			}, field: "theaterId", theirs: their(theirs.theater.ID(), &theirs.manager)},
		},
		"Query.validateSelection(input.showtimeId)": {{known: offSale}},
		"Query.validateSelection(input.seatIds)":    {{known: offSale}},
		"Mutation.createPriceRule(input.theaterId)": {
			{operation: mutation("createPriceRule", `{ rule { label } }`), input: vars{"rule": fee}, field: "theaterId", theirs: their(theirs.theater.ID(), &theirs.manager)},
		},
		"Mutation.updatePriceRule(input.ruleId)": {
			{operation: mutation("updatePriceRule", `{ rule { label } }`), input: vars{"rule": fee}, field: "ruleId", theirs: rule},
		},
		"Mutation.deletePriceRule(input.ruleId)": {
			{operation: mutation("deletePriceRule", `{ ruleId }`), input: vars{}, field: "ruleId", theirs: rule},
		},
		"Mutation.createPromotion(input.theaterId)": {
			{operation: mutation("createPromotion", `{ promotion { label } }`), input: vars{"promotion": quarterOff("TENANTS1")}, field: "theaterId", theirs: their(theirs.theater.ID(), &theirs.manager)},
		},
		"Mutation.updatePromotion(input.promotionId)": {
			{operation: mutation("updatePromotion", `{ promotion { label } }`), input: vars{"promotion": quarterOff("TENANTS2")}, field: "promotionId", theirs: thing(func(t *testing.T) string {
				var out struct {
					CreatePromotion struct{ Promotion struct{ ID string } }
				}
				in := vars{"theaterId": theirs.theater.ID(), "promotion": quarterOff("TENANTS2")}
				theirs.manager.With(t).Get(mutation("createPromotion", `{ promotion { id } }`), vars{"in": in}, &out)
				return out.CreatePromotion.Promotion.ID
			}, &theirs.manager)},
		},
		"Mutation.createPromotion(input.promotion.movieIds)": {{known: offSale}},
		"Mutation.updatePromotion(input.promotion.movieIds)": {{known: offSale}},
		"Query.priceRules(theaterId)": {
			{operation: `query ($id: ID!) { priceRules(theaterId: $id) { label } }`, theirs: thing(func(t *testing.T) string { ruleOf(t); return theirs.theater.ID() }, &finance)},
		},
		"Mutation.payAtCounter(input.reservationId)": {
			{
				operation: mutation("payAtCounter", result), input: vars{"tender": vars{"method": "CASH", "amountMinor": "100000"}, "idempotencyKey": "two tenants at the counter"},
				field: "reservationId", theirs: thing(theirs.held, &theirs.manager),
			},
		},
		"Mutation.payOutAtCounter(input.reservationId)": {
			{
				operation: mutation("payOutAtCounter", result), input: vars{"method": "CASH", "cancel": true, "idempotencyKey": "two tenants pay out"},
				field: "reservationId", theirs: thing(theirs.held, &theirs.manager),
			},
		},
		"Mutation.payOutAtCounter(input.seatIds)":          {{known: offSale}},
		"Mutation.sellAtCounter(input.showtimeId)":         {{known: offSale}},
		"Mutation.sellAtCounter(input.seatIds)":            {{known: offSale}},
		"Mutation.sellAtCounter(input.ticketTypes.seatId)": {{known: offSale}},
		"Query.theaterReservations(theaterId)": {
			{operation: `query ($id: ID!) { theaterReservations(theaterId: $id, first: 5) { nodes { id } } }`, theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.theater.ID() }, &theirs.manager)},
		},
		"Query.paymentMethods(reservationId)": {
			{operation: `query ($id: ID!) { paymentMethods(reservationId: $id) { method } }`, theirs: reservation},
		},
		"Query.theaterGateways(theaterId)": {
			{operation: `query ($id: ID!) { theaterGateways(theaterId: $id) { gateways } }`, theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.theater.ID() }, &theirs.manager)},
		},
		"Mutation.setTheaterGateways(input.theaterId)": {
			{
				operation: mutation("setTheaterGateways", `{ theater { id } }`), input: vars{"currency": "NZD", "gateways": []string{}}, field: "theaterId",
				theirs: their(theirs.theater.ID(), &theirs.manager),
			},
		},
		"Query.theaterStatement(theaterId)": {
			{operation: `query ($id: ID!) { theaterStatement(theaterId: $id, day: "2026-01-01") { day } }`, theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.theater.ID() }, &theirs.manager)},
		},
		"Query.theaterReservations(filter.showtimeId)": {{operation: ourReservations("showtimeId"), theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.shows[0].ID() }, nil)}},
		"Query.theaterReservations(filter.screenId)": {
			{operation: ourReservations("screenId"), theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.theater.Screens[0].ID() }, nil)},
		},
		"Query.reservations(filter.theaterId)": {
			{operation: `query ($id: ID!) { reservations(first: 5, filter: {theaterId: $id}) { nodes { id } } }`, theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.theater.ID() }, &support)},
		},
		"Query.reservations(filter.showtimeId)": {
			{operation: `query ($id: ID!) { reservations(first: 5, filter: {showtimeId: $id}) { nodes { id } } }`, theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.shows[0].ID() }, &support)},
		},
		"Query.myReservations(filter.theaterId)":          {{operation: `query ($id: ID!) { myReservations(first: 5, filter: {theaterId: $id}) { nodes { id } } }`, theirs: thing(func(t *testing.T) string { theirs.held(t); return theirs.theater.ID() }, &theirs.customer)}},
		"Query.myReservations(filter.movieId)":            {{known: offSale}},
		"Mutation.reserveSeats(input.showtimeId)":         {{known: offSale}},
		"Mutation.reserveSeats(input.seatIds)":            {{known: offSale}},
		"Mutation.reserveSeats(input.ticketTypes.seatId)": {{known: offSale}},
		"Query.quote(input.showtimeId)":                   {{known: offSale}},
		"Query.quote(input.seatIds)":                      {{known: offSale}},
		"Query.quote(input.ticketTypes.seatId)":           {{known: offSale}},
		"Query.movie(id)":                                 {{known: offSale}},
		"Query.showtime(id)":                              {{known: offSale}},
		"Query.theater(id)":                               {{known: offSale}},
		"Query.seatMap(showtimeId)":                       {{known: offSale}},
		"Query.bestAvailable(input.showtimeId)":           {{known: offSale}},
		"Query.showtimes(filter.movieId)":                 {{known: offSale}},
		"Query.showtimes(filter.theaterId)":               {{known: offSale}},
		"Movie.showtimes(filter.theaterId)":               {{known: offSale}},
		"Theater.showtimes(filter.movieId)":               {{known: offSale}},
		"Subscription.seatMapChanged(showtimeId)":         {{known: offSale}},
		"Mutation.editReview(input.reviewId)": {
			{operation: mutation("editReview", `{ review { id } }`), input: vars{"rating": 3}, field: "reviewId", theirs: review(false)},
		},
		"Mutation.deleteReview(input.reviewId)": {
			{operation: mutation("deleteReview", result), input: vars{}, field: "reviewId", theirs: review(false)},
		},
		"Mutation.voteReview(input.reviewId)": {
			{operation: mutation("voteReview", `{ review { id } }`), input: vars{}, field: "reviewId", theirs: review(true)},
		},
		"Mutation.reportReview(input.reviewId)": {
			{operation: mutation("reportReview", `{ review { id } }`), input: vars{"fault": "SPAM"}, field: "reviewId", theirs: review(true)},
		},
		"Mutation.replayWebhook(input.webhookEventId)": {
			{operation: mutation("replayWebhook", `{ event { id } }`), input: vars{}, field: "webhookEventId", theirs: event},
		},
		"Mutation.retryJob(input.jobId)":  {{operation: mutation("retryJob", `{ job { id } }`), input: vars{}, field: "jobId", theirs: job}},
		"Mutation.cancelJob(input.jobId)": {{operation: mutation("cancelJob", `{ job { id } }`), input: vars{}, field: "jobId", theirs: job}},
		"Mutation.assignMismatch(input.mismatchId)": {
			{operation: mutation("assignMismatch", `{ mismatch { id } }`), input: vars{}, field: "mismatchId", theirs: mismatch},
		},
		"Mutation.assignMismatch(input.ownerId)": {
			{operation: mutation("assignMismatch", `{ mismatch { ownerId } }`), input: vars{"mismatchId": mismatched(a)}, field: "ownerId", theirs: their(finance.User.NodeID(), &finance)},
		},
		"Mutation.resolveMismatch(input.mismatchId)": {
			{operation: mutation("resolveMismatch", `{ mismatch { id } }`), input: vars{"note": "to see"}, field: "mismatchId", theirs: mismatch},
		},
		"Query.mismatches(ownerId)": {
			{operation: `query ($id: ID!) { mismatches(first: 1, ownerId: $id) { nodes { gatewayKey } } }`, theirs: thing(func(t *testing.T) string {
				finance.With(t).Get(assignMismatch, vars{"in": vars{"mismatchId": mismatched(a), "ownerId": finance.User.NodeID()}}, nil)
				return finance.User.NodeID()
			}, &finance)},
		},
		"Mutation.moderateReview(input.reviewId)": {
			{operation: mutation("moderateReview", `{ review { id } }`), input: vars{}, field: "reviewId", theirs: thing(func(*testing.T) string {
				_, id := withReview(a, theirs.shows[0], true)
				return id
			}, &support)},
		},
		"Mutation.writeReview(input.movieId)": {{known: offSale}},
		"Query.reviews(movieId)":              {{known: offSale}},
	}
	schema := graph.NewSchema(&graph.Resolver{}).Schema()
	known := strings.Fields("Movie Genre Theater Screen Seat SeatLayout Showtime Reservation Payment Ticket User Account AuditEntry Review Mismatch Reconciliation WebhookEvent Job")
	for _, definition := range schema.GetPossibleTypes(schema.Types["Node"]) {
		if !slices.Contains(known, definition.Name) {
			t.Errorf("%s can be read by its id, and neither Query.node nor this list has a case", definition.Name)
		}
	}
	for _, argument := range idArguments(schema) {
		if len(cases[argument]) == 0 {
			t.Errorf("%s takes ids and has no case: what happens with those of another theater, or another customer?", argument)
		}
	}
	ourSide := map[string]apitest.Client{"nobody": a.Anonymous(), "customer": ours.customer, "staff": ours.staff, "manager": ours.manager}
	for _, argument := range slices.Sorted(maps.Keys(cases)) {
		for i, c := range cases[argument] {
			if c.known != "" {
				continue
			}
			t.Run(fmt.Sprintf("%s_%d", strings.Trim(strings.NewReplacer("(", "_", ")", "", ".", "_").Replace(argument), "_"), i), func(t *testing.T) {
				id, owner := c.theirs(t)
				missing := id[:len(id)-len(nothing)] + nothing
				before := a.Dump()
				for name, who := range ourSide {
					foreign, none := said(t, c.ask(who.With(t), id), id), said(t, c.ask(who.With(t), missing), missing)
					if foreign != none {
						t.Errorf("%s is told of a thing of the other side\n%s\nand of one that does not exist\n%s", name, foreign, none)
					}
				}
				if after := a.Dump(); after != before {
					t.Errorf("something was changed:\n%s", difference(before, after))
				}
				if owner == nil {
					return
				}
				if mine, none := said(t, c.ask(owner.With(t), id), id), said(t, c.ask(owner.With(t), missing), missing); mine == none {
					t.Errorf("the case shows nothing: who may is told the same of both: %s", mine)
				}
			})
		}
	}
}

// idArguments returns every argument that takes ids, with its way through inputs, of every field of the contract.
func idArguments(schema *ast.Schema) []string {
	var found []string
	var walk func(at string, of *ast.Type)
	walk = func(at string, of *ast.Type) {
		definition := schema.Types[of.Name()]
		if definition.Name == "ID" {
			found = append(found, at+")")
		}
		for _, field := range definition.Fields { // of an input
			walk(at+"."+field.Name, field.Type)
		}
	}
	for _, definition := range contract(schema) {
		if definition.Kind != ast.Object {
			continue
		}
		for _, field := range fieldsOf(definition) {
			for _, argument := range field.Arguments {
				walk(definition.Name+"."+field.Name+"("+argument.Name, argument.Type)
			}
		}
	}
	return found
}

// said is all that an answer tells of an id, without what differs from request to request.
func said(t *testing.T, answer apitest.Answer, id string) string {
	t.Helper()
	var body struct {
		Data   any              `json:"data"`
		Errors []map[string]any `json:"errors"`
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		t.Fatal(err)
	}
	for _, problem := range body.Errors {
		if extensions, ok := problem["extensions"].(map[string]any); ok {
			delete(extensions, "requestId")
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.Status, strings.ReplaceAll(string(text), id, "ID"))
}

// difference returns the lines that only one of two dumps has.
func difference(before, after string) string {
	var lines []string
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// quarterOff is a promotion.
func quarterOff(code string) vars {
	return vars{"promoCode": code, "label": "Quarter off", "percentOffBasisPoints": 2500, "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"}
}

// newestEntry returns the id of an entry of the audit log.
func newestEntry(a *apitest.App, admin apitest.Client) string {
	var out struct {
		AuditLog struct{ Nodes []struct{ ID string } }
	}
	admin.Get(`{ auditLog(first: 1) { nodes { id } } }`, nil, &out)
	return out.AuditLog.Nodes[0].ID
}

// withPasskey returns a customer with a second factor, and the factor's id. Nobody can prove it.
func withPasskey(a *apitest.App) (owner apitest.Client, id string) {
	owner = a.Customer()
	key := typeid.New()
	a.Exec(`INSERT INTO factors (id, user_id, kind, name_sealed, credential_hash, credential_sealed, confirmed_at)
		VALUES ($1, $2, 'PASSKEY', $3, sha256($4), '\x00', now())`, key, owner.User.ID, dbtest.Sealed("factors", "name_sealed", key, "Key"), key[:])
	return owner, typeid.Encode(typeid.Factor, key)
}

// withReview returns a customer and the id of their review of what a showtime shows, hidden from others or not.
func withReview(a *apitest.App, show apitest.Showtime, hidden bool) (owner apitest.Client, id string) {
	owner = a.Customer()
	key := typeid.New()
	a.Exec(`INSERT INTO reviews (id, movie_id, user_id, rating, document) VALUES ($1, $2, $3, 7, '{}')`, key, show.Movie.Key, owner.User.ID)
	if hidden {
		a.Exec(`UPDATE reviews SET status = 'HIDDEN', hidden_for = 'SPAM' WHERE id = $1`, key)
	}
	return owner, typeid.Encode(typeid.Review, key)
}

// withLink returns a customer who may sign in by a provider too, and the link's id.
func withLink(a *apitest.App) (owner apitest.Client, id string) {
	owner = a.Customer()
	key := typeid.New()
	a.Exec(`INSERT INTO federated_identities (id, user_id, issuer, subject_sealed, subject_index, used_at)
		VALUES ($1, $2, 'https://accounts.example', '\x00', $3, now())`, key, owner.User.ID, dbtest.Vault().Index("subject", key.String()))
	return owner, typeid.Encode(typeid.Link, key)
}
