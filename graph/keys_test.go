package graph_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"marquee/graph"
	"marquee/internal/apitest"
)

// TestPM2_keys asks every mutation that takes an idempotency key without one, with an empty, a short and a long one, and with the key of
// another request: it is refused by its code, and nothing is changed. A mutation without a case fails the test.
func TestPM2_keys(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	theater := a.World.Theaters[0]
	admin, customer, show := a.Admin(), a.Customer(), a.World.Showtimes[0]
	held, other, paid := reserve(t, customer, show, 1), reserve(t, customer, show, 2), reserve(t, customer, show, 3)
	pay(t, customer, paid)
	tender := vars{"method": "CASH", "amountMinor": "100000"}
	seats := func(positions ...int16) []string { return show.Screen.SeatIDs(positions...) }
	cases := map[string]struct {
		who   apitest.Client
		in    vars
		other vars // what else the key is then used for; nil where the first use would change what is to stay
	}{
		"reserveSeats":        {customer, vars{"showtimeId": show.ID(), "seatIds": seats(11)}, vars{"seatIds": seats(12)}},
		"payReservation":      {customer, vars{"reservationId": held}, vars{"reservationId": other}},
		"changeSeats":         {customer, vars{"reservationId": other, "seatIds": seats(20)}, vars{"seatIds": seats(21)}},
		"sellAtCounter":       {admin, vars{"showtimeId": show.ID(), "seatIds": seats(23), "tender": tender}, vars{"seatIds": seats(24)}},
		"swapSeats":           {customer, vars{"reservationId": paid, "showtimeId": show.ID(), "seatIds": seats(22)}, nil},
		"acceptOfferedSeats":  {customer, vars{"reservationId": held}, nil},
		"declineOfferedSeats": {customer, vars{"reservationId": held}, nil},
		"payAtCounter":        {admin, vars{"reservationId": held, "tender": tender}, nil},
		"payOutAtCounter":     {admin, vars{"reservationId": paid, "cancel": true, "method": "CASH"}, nil},
		"refundReservation": {
			admin, vars{"reservationId": paid, "cause": "THEATER", "reason": "To see."}, vars{"cause": "GOODWILL"},
		},
		"adjustStoreCredit": {admin, vars{"userId": customer.User.NodeID(), "theaterId": theater.ID(), "amountMinor": "1", "reason": "To see."}, nil},
	}
	with := func(in vars, more vars) vars {
		in = maps.Clone(in)
		maps.Copy(in, more)
		return in
	}
	const selection = `{ __typename ... on UserError { code message } }`
	schema := graph.NewSchema(&graph.Resolver{}).Schema()
	ask := func(name string, in vars) apitest.Answer {
		query := mutation(name, selection)
		if typ := schema.Types[schema.Mutation.Fields.ForName(name).Type.Name()]; len(typ.Types) == 0 { // no union: its errors are those of the request
			query = mutation(name, `{ __typename }`)
		}
		return cases[name].who.Raw(query, vars{"in": in})
	}
	asks := map[string]bool{}
	for _, field := range fieldsOf(schema.Mutation) {
		if in := field.Arguments.ForName("input"); in != nil && schema.Types[in.Type.Name()].Fields.ForName("idempotencyKey") != nil {
			asks[field.Name] = true
			if _, known := cases[field.Name]; !known {
				t.Errorf("%s takes an idempotency key and has no case", field.Name)
			}
		}
	}
	refused := func(t *testing.T, name, what string, in vars, words ...string) {
		t.Helper()
		before := a.Dump()
		answer := ask(name, in)
		for _, word := range words {
			if !strings.Contains(string(answer.Body), word) || answer.Status >= http.StatusInternalServerError {
				t.Errorf("with %s: %v; want %s", what, answer, word)
			}
		}
		if after := a.Dump(); after != before {
			t.Errorf("with %s something is changed:\n%s", what, difference(before, after))
		}
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if !asks[name] {
				t.Fatal("it takes no idempotency key")
			}
			refused(t, name, "no key", test.in, "BAD_USER_INPUT", "idempotencyKey")
			for what, key := range map[string]any{
				"null": nil, "an empty key": "", "a short key": "1234567", "a number": 12345678, "a key of 10 kB": strings.Repeat("k", 10<<10),
			} {
				refused(t, name, what, with(test.in, vars{"idempotencyKey": key}), "BAD_USER_INPUT", "idempotencyKey")
			}
			if test.other == nil {
				return
			}
			key := "used already to " + name
			if first := ask(name, with(test.in, vars{"idempotencyKey": key})); strings.Contains(string(first.Body), `"code"`) {
				t.Fatalf("the first use of a key: %v", first)
			}
			refused(t, name, "the key of another request", with(with(test.in, test.other), vars{"idempotencyKey": key}), "IDEMPOTENCY_KEY_REUSED")
		})
	}
}
