package graph_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/typeid"
)

// tenantCases returns the cases of every argument that takes ids, by the argument's name.
func tenantCases(a *apitest.App, ours, theirs *tenant) map[string][]tenantCase {
	admin, support := a.Admin(), a.As(auth.Grant{Role: auth.RoleSupport})
	const result = `{ __typename ... on UserError { code message } }`
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
	planned := plannedShow(a.World.Movies[0].ID(), time.Now().AddDate(0, 6, 0))
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
	return map[string][]tenantCase{
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
		"Mutation.createShowtime(input.screenId)": {
			{operation: mutation("createShowtime", result), input: vars{"showtime": planned}, field: "screenId", theirs: their(theirs.theater.Screens[0].ID(), &theirs.manager)},
		},
		"Mutation.createShowtime(input.showtime.movieId)": {{known: offSale}},
		"Mutation.updateShowtime(input.showtimeId)": {
			{operation: mutation("updateShowtime", result), input: vars{"version": 1, "showtime": planned}, field: "showtimeId", theirs: their(theirs.shows[0].ID(), &theirs.manager)},
		},
		"Mutation.updateShowtime(input.showtime.movieId)": {{known: offSale}},
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
}
