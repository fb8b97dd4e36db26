package graph_test

func (w *badWorld) gateways() []badInput {
	const set = `mutation ($in: SetTheaterGatewaysInput!) { setTheaterGateways(input: $in) { theater { id } } }`
	theater := w.World.Theaters[0].ID()
	choice := func(name, theater, currency string, gateways ...string) badInput {
		if gateways == nil {
			gateways = []string{}
		}
		return badInput{name: name, who: w.admin, query: set, vars: vars{"in": vars{"theaterId": theater, "currency": currency, "gateways": gateways}}}
	}
	methods := func(name, reservation string) badInput {
		return badInput{name: name, who: w.customer, query: `query ($id: ID!) { paymentMethods(reservationId: $id) { method } }`, vars: vars{"id": reservation}}
	}
	pay := func(name, gateway string) badInput {
		return badInput{
			name: name, who: w.customer, query: payReservation,
			vars: vars{"in": vars{"reservationId": w.held, "idempotencyKey": "pay at " + name, "gateway": gateway}},
		}
	}
	return []badInput{
		choice("gateways of an unknown theater", "the_"+nothing, "NZD"),
		choice("gateways of a malformed theater", "junk", "NZD"),
		choice("gateways of no currency", theater, "KIWI"),
		choice("gateways that are not offered", theater, "NZD", "paypal"),
		choice("gateways named twice", theater, "NZD", "sandbox", "sandbox"),
		{name: "gateways by a customer", who: w.customer, query: set, vars: vars{"in": vars{"theaterId": theater, "currency": "NZD", "gateways": []string{}}}},
		{name: "gateways read by a customer", who: w.customer, query: `query ($id: ID!) { theaterGateways(theaterId: $id) { gateways } }`, vars: vars{"id": theater}},
		{name: "gateways of the installation", who: w.customer, query: `{ paymentGateways { name } }`},
		methods("methods of someone else's", w.alien),
		methods("methods of an unknown one", "res_"+nothing+nothing),
		methods("methods of a malformed one", "junk"),
		pay("an unknown gateway", "paypal"),
		pay("a long gateway", string(make([]byte, 65))),
	}
}
