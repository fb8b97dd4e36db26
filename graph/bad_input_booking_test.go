package graph_test

import (
	"maps"
	"slices"
	"strings"

	"marquee/internal/apitest"
	"marquee/internal/typeid"
)

func (w *badWorld) seats() []badInput {
	ask := func(name string, in vars) badInput {
		return badInput{name: name, who: w.customer, query: reserveSeats, vars: vars{"in": in}}
	}
	with := func(in vars, key string, value any) vars {
		in[key] = value
		return in
	}
	best := func(name string, wish vars) badInput {
		in := vars{"showtimeId": w.show.ID(), "seats": 2}
		maps.Copy(in, wish)
		return badInput{name: "the best for " + name, who: w.anonymous, query: bestAvailable, vars: vars{"in": in}}
	}
	thousand := make([]string, 1000)
	for i := range thousand {
		thousand[i] = typeid.Encode(typeid.Seat, typeid.New())
	}
	foreign := w.elsewhere.Screen.SeatIDs(11)[0]
	mine := w.show.Screen.SeatIDs(11)[0]
	return []badInput{
		ask("none", seatsInput(w.show)),
		ask("thousand", with(seatsInput(w.show), "seatIds", thousand)),
		ask("thousand times one", with(seatsInput(w.show), "seatIds", slices.Repeat([]string{mine}, 1000))),
		ask("one twice", seatsInput(w.show, 11, 12, 11)),
		ask("of another screen", with(seatsInput(w.show), "seatIds", []string{mine, foreign})),
		ask("unknown", with(seatsInput(w.show), "seatIds", []string{"sea_" + nothing})),
		ask("malformed", with(seatsInput(w.show), "seatIds", []string{mine, "sea_1"})),
		ask("of another kind", with(seatsInput(w.show), "seatIds", []string{mine, w.show.ID()})),
		ask("null", with(seatsInput(w.show), "seatIds", []any{nil})),
		ask("as one text", with(seatsInput(w.show), "seatIds", "junk")),
		ask("of an unknown showtime", with(seatsInput(w.show, 11), "showtimeId", "sho_"+nothing)),
		ask("of a malformed showtime", with(seatsInput(w.show, 11), "showtimeId", "sho_")),
		ask("of a showtime that is a movie", with(seatsInput(w.show, 11), "showtimeId", w.World.Movies[0].ID())),
		ask("of a showtime that has started", seatsInput(w.started, 11)),
		ask("of a showtime not yet on sale", seatsInput(w.notYet, 11)),
		ask("of a showtime called off", seatsInput(w.calledOff, 11)),
		ask("of a category without a price", seatsInput(w.unpriced, 11, 1)),
		ask("taken", seatsInput(w.show, 9, 11)),
		ask("that cost more than was agreed to", with(seatsInput(w.show, 11), "maxTotalMinor", "1")),
		ask("held by oneself", seatsInput(w.show, 1)),
		ask("more than one may have", seatsInput(w.elsewhere, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12)),
		ask("with the key of another request", with(seatsInput(w.elsewhere, 8), "idempotencyKey", w.usedKey)),
		best("nobody", vars{"seats": 0}),
		best("the most there are", vars{"seats": 1<<31 - 1}),
		best("more than there can be", vars{"seats": 1 << 31}),
		best("a part of a seat", vars{"seats": 1.5}),
		best("more wheelchair places than seats", vars{"wheelchairPlaces": 3}),
		best("fewer wheelchair places than none", vars{"wheelchairPlaces": -1}),
		best("wheelchair places as a category", vars{"categories": []string{"WHEELCHAIR"}}),
		best("an unknown category", vars{"categories": []string{"THRONE"}}),
		best("a category twice", vars{"categories": []string{"PREMIUM", "PREMIUM"}}),
		best("a negative price", vars{"maxTotalMinor": "-1"}),
		best("a price in words", vars{"maxTotalMinor": "ten"}),
		best("a seed beyond all numbers", vars{"seed": "9223372036854775808"}),
		best("no selection", vars{"limit": 0}),
		best("a hundred selections", vars{"limit": 100}),
		best("of an unknown showtime", vars{"showtimeId": "sho_" + nothing}),
		best("of a malformed showtime", vars{"showtimeId": "sho_"}),
		best("of a showtime that is a movie", vars{"showtimeId": w.World.Movies[0].ID()}),
	}
}

func (w *badWorld) payments() []badInput {
	payment := func(name, reservation string) badInput {
		return badInput{name: name, who: w.customer, query: payReservation, vars: vars{"in": vars{"reservationId": reservation, "idempotencyKey": typeid.New().String()}}}
	}
	cancellation := func(name, reservation string) badInput {
		return badInput{name: name, who: w.customer, query: cancelReservation, vars: vars{"in": vars{"reservationId": reservation}}}
	}
	unknown := "res_" + nothing + nothing
	return []badInput{
		payment("pay expired", w.expired),
		payment("pay cancelled", w.cancelled),
		payment("pay someone else's", w.alien),
		payment("pay unknown", unknown),
		payment("pay malformed", "res_"+nothing),
		payment("pay a showtime", w.show.ID()),
		{name: "pay with a short key", who: w.customer, query: payReservation, vars: vars{"in": vars{"reservationId": w.held, "idempotencyKey": "short"}}},
		{name: "pay with the key of another request", who: w.customer, query: payReservation, vars: vars{"in": vars{
			"reservationId": reservationOf(w), "idempotencyKey": w.usedKey,
		}}},
		{name: "pay with the number of a card", who: w.customer, query: payReservation, vars: vars{"in": vars{
			"reservationId": w.held, "idempotencyKey": "12345678", "paymentToken": "4242-4242-4242-4242",
		}}},
		{name: "pay and go to a program", who: w.customer, query: payReservation, vars: vars{"in": vars{
			"reservationId": w.held, "idempotencyKey": "12345678", "returnUrl": "javascript:alert(1)",
		}}},
		cancellation("cancel expired", w.expired),
		cancellation("cancel someone else's", w.alien),
		cancellation("cancel unknown", unknown),
		cancellation("cancel malformed", "junk"),
		cancellation("cancel after the start", w.begun),
	}
}

func (w *badWorld) otherSeats() []badInput {
	of := func(name, reservation string, change vars) badInput {
		in := vars{"reservationId": reservation, "seatIds": w.show.Screen.SeatIDs(11), "idempotencyKey": typeid.New().String()}
		maps.Copy(in, change)
		return badInput{name: name, who: w.customer, query: changeSeats, vars: vars{"in": in}}
	}
	said := func(name string, who apitest.Client, reservation string) []badInput {
		in := vars{"in": vars{"showtimeId": w.show.ID(), "seatIds": w.show.Screen.SeatIDs(11), "reservationId": reservation}}
		return []badInput{
			{name: "the price " + name, who: who, query: `query ($in: QuoteInput!) { quote(input: $in) { total { formatted } } }`, vars: in},
			{name: "the rules " + name, who: who, query: checkSeats, vars: in},
		}
	}
	seats, foreign := w.show.Screen.SeatIDs(9, 11, 12), w.elsewhere.Screen.SeatIDs(11)[0]
	return slices.Concat(
		said("without a session", w.anonymous, w.held),
		said("of another showtime", w.customer, typeid.EncodeIn(typeid.Reservation, w.elsewhere.Key, typeid.New())),
		said("of a malformed reservation", w.customer, "res_1"),
		said("of a cancelled reservation", w.customer, w.cancelled),
		[]badInput{
			of("none", w.held, vars{"seatIds": []string{}}),
			of("one twice", w.held, vars{"seatIds": []string{seats[1], seats[2], seats[1]}}),
			of("a thousand times one", w.held, vars{"seatIds": slices.Repeat([]string{seats[1]}, 1000)}),
			of("of another screen", w.held, vars{"seatIds": []string{seats[1], foreign}}),
			of("malformed", w.held, vars{"seatIds": []string{"sea_1"}}),
			of("taken", w.held, vars{"seatIds": seats[:2]}),
			of("a type for a seat that is not wanted", w.held, vars{"ticketTypes": []vars{{"seatId": seats[0], "type": "CHILD"}}}),
			of("a code that is none", w.held, vars{"promoCodes": []string{"' OR 1=1 --"}}),
			of("four codes", w.held, vars{"promoCodes": []string{"a", "b", "c", "d"}}),
			of("a code as a number", w.held, vars{"promoCodes": []int{1}}),
			of("a short key", w.held, vars{"idempotencyKey": "short"}),
			of("of an expired reservation", w.expired, nil),
			of("of a cancelled reservation", w.cancelled, nil),
			of("of someone else's reservation", w.alien, nil),
			of("of an unknown reservation", "res_"+nothing+nothing, nil),
			of("of a malformed reservation", "junk", nil),
		},
	)
}

func (w *badWorld) deadlines() []badInput {
	of := func(name, query, reservation string) badInput {
		return badInput{name: name, who: w.customer, query: query, vars: vars{"in": vars{"reservationId": reservation}}}
	}
	policy := func(name, theater string, terms vars) badInput {
		return badInput{name: name, who: w.admin, query: setPayLaterPolicy, vars: vars{"in": vars{"theaterId": theater, "policy": terms}}}
	}
	theater, unknown := w.World.Theaters[0].ID(), "res_"+nothing+nothing
	cases := []badInput{
		policy("terms with a negative lead", theater, vars{"leadMinutes": -1, "maxOpen": 1}),
		policy("terms with an endless lead", theater, vars{"leadMinutes": 10081, "maxOpen": 1}),
		policy("terms that allow nothing", theater, vars{"leadMinutes": 60, "maxOpen": 0}),
		policy("terms that allow everything", theater, vars{"leadMinutes": 60, "maxOpen": 101}),
		policy("terms of an unknown theater", "the_"+nothing, vars{"leadMinutes": 60, "maxOpen": 1}),
		policy("terms of a malformed theater", "junk", nil),
		{name: "terms by a customer", who: w.customer, query: setPayLaterPolicy, vars: vars{"in": vars{"theaterId": theater}}},
	}
	for verb, query := range map[string]string{"extend": extendHold, "keep": payLater} {
		cases = append(cases, of(verb+" expired", query, w.expired), of(verb+" cancelled", query, w.cancelled),
			of(verb+" someone else's", query, w.alien), of(verb+" unknown", query, unknown), of(verb+" malformed", query, "res_"+nothing))
	}
	return append(cases, of("keep what the theater does not keep", payLater, w.held))
}

func (w *badWorld) refunds() []badInput {
	theater, unknown := w.World.Theaters[0].ID(), "res_"+nothing+nothing
	policy := func(name, theater string, terms vars) badInput {
		return badInput{name: name, who: w.admin, query: setRefundPolicy, vars: vars{"in": vars{"theaterId": theater, "policy": terms}}}
	}
	steps := func(of ...int) vars { // minutes and shares by turns
		list := []vars{}
		for i := 0; i < len(of); i += 2 {
			list = append(list, vars{"minutesBefore": of[i], "percentBasisPoints": of[i+1]})
		}
		return vars{"steps": list}
	}
	money := func(reservation string, more vars) vars {
		in := vars{"reservationId": reservation, "cause": "GOODWILL", "reason": "They were kind.", "idempotencyKey": typeid.New().String()}
		maps.Copy(in, more)
		return vars{"in": in}
	}
	cases := []badInput{
		policy("policy that gives back more than all", theater, steps(60, 10_001)),
		policy("policy that gives back less than nothing", theater, steps(60, -1)),
		policy("policy after the start", theater, steps(-5, 100)),
		policy("policy of steps in disorder", theater, steps(10, 5000, 60, 1000)),
		policy("policy that gives back more with time", theater, steps(60, 1000, 10, 5000)),
		policy("policy of many steps", theater, steps(make([]int, 22)...)),
		policy("policy that keeps less than nothing", theater, vars{"steps": []vars{}, "keptOnceMinor": "-1"}),
		policy("policy that keeps a fortune", theater, vars{"steps": []vars{}, "keptPerTicketMinor": "99999999999999999"}),
		policy("policy of an unknown theater", "the_"+nothing, steps(60, 5000)),
		policy("policy of a malformed theater", "junk", steps(60, 5000)),
		{name: "policy by a customer", who: w.customer, query: setRefundPolicy, vars: vars{"in": vars{"theaterId": theater, "policy": steps()}}},
		{name: "money by a customer", who: w.customer, query: refundReservation, vars: money(w.paid, nil)},
		{name: "money of nobody's reservation", who: w.admin, query: refundReservation, vars: money(unknown, nil)},
		{name: "money of an unpaid reservation", who: w.admin, query: refundReservation, vars: money(w.held, nil)},
		{name: "money that was never paid", who: w.admin, query: refundReservation, vars: money(w.paid, vars{"amountMinor": "99999999"})},
		{name: "money below zero", who: w.admin, query: refundReservation, vars: money(w.paid, vars{"amountMinor": "-1"})},
		{name: "money for no reason", who: w.admin, query: refundReservation, vars: money(w.paid, vars{"reason": ""})},
		{name: "money for a long reason", who: w.admin, query: refundReservation, vars: money(w.paid, vars{"reason": strings.Repeat("x", 501)})},
		{name: "money in a customer's name", who: w.admin, query: refundReservation, vars: money(w.paid, vars{"cause": "CUSTOMER"})},
		{name: "money with a short key", who: w.admin, query: refundReservation, vars: money(w.paid, vars{"idempotencyKey": "short"})},
	}
	for verb, query := range map[string]string{"preview": refundPreview, "cancel": cancelReservation} {
		of := func(name, reservation string, seats ...string) badInput {
			return badInput{name: verb + name, who: w.customer, query: query, vars: vars{"in": vars{"reservationId": reservation, "seatIds": seats}}}
		}
		mine := w.show.Screen.SeatIDs(5)[0]
		cases = append(cases, of(" no seats", w.paid, []string{}...), of(" a malformed seat", w.paid, "junk"), of(" an unknown seat", w.paid, "sea_"+nothing),
			of(" another's seat", w.paid, w.show.Screen.SeatIDs(20)[0]), of(" a seat twice", w.paid, mine, mine),
			of(" seats of an unknown reservation", unknown, mine), of(" a seat of someone else's", w.alien, mine))
	}
	for verb, query := range map[string]string{"preview a swap": swapPreview, "swap": swapSeats} {
		of := func(name string, with vars) badInput {
			in := vars{"reservationId": w.paid, "showtimeId": w.show.ID(), "seatIds": w.show.Screen.SeatIDs(20)}
			if query == swapSeats {
				in["idempotencyKey"] = "a key for a swap"
			}
			maps.Copy(in, with)
			return badInput{name: verb + " " + name, who: w.customer, query: query, vars: vars{"in": in}}
		}
		mine := w.show.Screen.SeatIDs(5)[0]
		cases = append(cases, of("that is not offered", nil), of("of nobody's reservation", vars{"reservationId": unknown}),
			of("of someone else's", vars{"reservationId": w.alien}), of("of what is not paid", vars{"reservationId": w.held}),
			of("of no seats", vars{"giveBack": []string{}}), of("of a seat twice", vars{"giveBack": []string{mine, mine}}),
			of("of an unknown seat", vars{"giveBack": []string{"sea_" + nothing}}), of("for no seats", vars{"seatIds": []string{}}),
			of("for a malformed showtime", vars{"showtimeId": "junk"}), of("for an unknown showtime", vars{"showtimeId": "sho_" + nothing}))
		if query == swapSeats {
			cases = append(cases, of("with a short key", vars{"idempotencyKey": "short"}))
		}
	}
	cases = append(cases, policy("policy of swaps below zero", theater, vars{"steps": []vars{}, "swap": vars{"minutesBefore": -1, "feeMinor": "-1"}}))
	return cases
}

// reservationOf returns the reservation that was made with the used key.
func reservationOf(w *badWorld) string {
	id := apitest.Value[string](w.App, `SELECT reservation_id::text FROM idempotency_keys WHERE key = $1`, w.usedKey)
	return typeid.EncodeIn(typeid.Reservation, w.elsewhere.Key, mustUUID(id))
}

func (w *badWorld) withoutSession() []badInput {
	ask := func(name, query string, v vars) badInput {
		return badInput{name: name, who: w.anonymous, query: query, vars: v}
	}
	return []badInput{
		ask("reserveSeats", reserveSeats, vars{"in": seatsInput(w.show, 11)}),
		ask("payReservation", payReservation, vars{"in": vars{"reservationId": w.held, "idempotencyKey": "12345678"}}),
		ask("cancelReservation", cancelReservation, vars{"in": vars{"reservationId": w.held}}),
		ask("changeSeats", changeSeats, vars{"in": vars{"reservationId": w.held, "seatIds": []string{}, "idempotencyKey": "12345678"}}),
		ask("extendHold", extendHold, vars{"in": vars{"reservationId": w.held}}),
		ask("payLater", payLater, vars{"in": vars{"reservationId": w.held}}),
		ask("setPayLaterPolicy", setPayLaterPolicy, vars{"in": vars{"theaterId": w.World.Theaters[0].ID()}}),
		ask("myReservations", `{ myReservations(first: 1) { nodes { id } } }`, nil),
		ask("signOut", `mutation { signOut { signedOut } }`, nil),
		ask("me", `{ me { email } }`, nil),
		ask("node of a reservation", `query ($id: ID!) { node(id: $id) { id } }`, vars{"id": w.held}),
		ask("node of a user", `query ($id: ID!) { node(id: $id) { id } }`, vars{"id": w.customer.User.NodeID()}),
	}
}
