package graph_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"marquee/internal/apitest"
	"marquee/internal/typeid"
)

// nothing is a key that no table has.
const nothing = "01h455vb4pex5vsknk084sn02q"

func (w *badWorld) ids() []badInput {
	ask := func(name, query string, v vars) badInput {
		return badInput{name: name, who: w.customer, query: query, vars: v}
	}
	movie := w.World.Movies[0].ID()
	many := make([]string, 101)
	for i := range many {
		many[i] = movie
	}
	const one = `query ($id: ID!) { movie(id: $id) { title } }`
	const node = `query ($id: ID!) { node(id: $id) { id } }`
	return []badInput{
		ask("movie unknown", one, vars{"id": "mov_" + nothing}),
		ask("theater unknown", `query ($id: ID!) { theater(id: $id) { name } }`, vars{"id": "the_" + nothing}),
		ask("showtime unknown", `query ($id: ID!) { showtime(id: $id) { startsAt } }`, vars{"id": "sho_" + nothing}),
		ask("seat map unknown", `query ($id: ID!) { seatMap(showtimeId: $id) { stateLetters } }`, vars{"id": "sho_" + nothing}),
		ask("movie of another kind", one, vars{"id": w.World.Theaters[0].ID()}),
		ask("movie empty", one, vars{"id": ""}),
		ask("movie prefix only", one, vars{"id": "mov_"}),
		ask("movie too short", one, vars{"id": movie[:len(movie)-1]}),
		ask("movie too long", one, vars{"id": movie + "0"}),
		ask("movie in capitals", one, vars{"id": strings.ToUpper(movie)}),
		ask("movie with a letter outside the alphabet", one, vars{"id": movie[:len(movie)-1] + "u"}),
		ask("movie with more than 128 bits", one, vars{"id": "mov_z" + movie[5:]}),
		ask("movie with a line break", one, vars{"id": "mov_\n" + movie[5:]}),
		ask("movie with NUL", one, vars{"id": "mov_\x00" + movie[5:]}),
		ask("movie as UUID", one, vars{"id": w.World.Movies[0].Key.String()}),
		ask("movie as number", one, vars{"id": 12}),
		ask("movie as fraction", one, vars{"id": 1.5}),
		ask("movie as truth value", one, vars{"id": true}),
		ask("movie as list", one, vars{"id": []string{movie}}),
		ask("movie null", one, vars{"id": nil}),
		ask("movie absent", one, nil),
		ask("movie in SQL", one, vars{"id": "mov_' OR 1=1 --"}),
		ask("node unknown", node, vars{"id": "mov_" + nothing}),
		ask("node malformed", node, vars{"id": "mov_?"}),
		ask("node without kind", node, vars{"id": nothing}),
		ask("node of no kind", node, vars{"id": "foo_" + nothing}),
		ask("node of no kind and malformed", node, vars{"id": "<script>alert(1)</script>_"}),
		ask("node reservation malformed", node, vars{"id": "res_" + nothing}),
		ask("nodes too many", `query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": many}),
		ask("nodes with one malformed", `query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": []string{movie, "junk"}}),
		ask("nodes with null", `query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, vars{"ids": []any{movie, nil}}),
		ask("filter with a malformed movie", `{ showtimes(first: 1, filter: {movieId: "mov_1"}) { nodes { id } } }`, nil),
		ask("filter with a theater as movie", `query ($id: ID!) { showtimes(first: 1, filter: {movieId: $id}) { nodes { id } } }`,
			vars{"id": w.World.Theaters[0].ID()}),
		ask("nested filter with a malformed theater",
			`{ movies(first: 1) { nodes { showtimes(first: 1, filter: {theaterId: "x"}) { nodes { id } } } } }`, nil),
	}
}

func (w *badWorld) pages() []badInput {
	credit := func(spoilt vars) vars {
		in := vars{"userId": w.customer.User.NodeID(), "theaterId": w.World.Theaters[0].ID(), "amountMinor": "1", "reason": "To see.", "idempotencyKey": "bad-input-00001"}
		maps.Copy(in, spoilt)
		return vars{"in": in}
	}
	ask := func(name, arguments string) badInput {
		return badInput{name: name, who: w.customer, query: `{ movies(` + arguments + `) { nodes { title } } }`}
	}
	variable := func(name, number string) badInput {
		return badInput{
			name: name, who: w.customer,
			body: `{"query":"query ($n: Int) { movies(first: $n) { nodes { title } } }","variables":{"n":` + number + `}}`,
		}
	}
	cursor := func(name, cursor string) badInput {
		return badInput{name: name, who: w.customer, query: `query ($c: String) { movies(first: 2, after: $c) { nodes { title } } }`, vars: vars{"c": cursor}}
	}
	const atCounter = `mutation ($id: ID!, $tender: CounterTenderInput!) {
		payAtCounter(input: {reservationId: $id, tender: $tender, idempotencyKey: "at the counter"}) { __typename ... on UserError { code message } } }`
	tampered := []byte(w.movieCursor)
	tampered[len(tampered)/2] ^= 1
	return []badInput{
		ask("neither first nor last", `orderBy: TITLE`),
		ask("first 0", `first: 0`),
		ask("first negative", `first: -1`),
		ask("first 101", `first: 101`),
		ask("last 0", `last: 0`),
		ask("last 101", `last: 101`),
		ask("first and last", `first: 1, last: 1`),
		ask("first null", `first: null`),
		ask("first as text", `first: "1"`),
		ask("first as fraction", `first: 1.5`),
		ask("first beyond 32 bits", `first: 2147483648`),
		ask("first beyond 64 bits", `first: 99999999999999999999999`),
		ask("first far below zero", `first: -99999999999999999999999`),
		variable("first beyond 32 bits in a variable", `2147483648`),
		variable("first beyond 64 bits in a variable", `99999999999999999999999`),
		variable("first as fraction in a variable", `1.5`),
		variable("first with an exponent in a variable", `1e2`),
		variable("first endless in a variable", `1e999`),
		variable("first as text in a variable", `"1"`),
		variable("first as truth value in a variable", `true`),
		variable("first as list in a variable", `[1]`),
		variable("first as object in a variable", `{"n":1}`),
		{
			name: "default of a variable beyond 64 bits", who: w.customer,
			query: `query ($n: Int = 99999999999999999999) { movies(first: $n) { nodes { title } } }`,
		},
		cursor("cursor tampered with", string(tampered)),
		cursor("cursor cut", w.movieCursor[:len(w.movieCursor)-4]),
		cursor("cursor of another list", w.theaterCursor),
		cursor("cursor empty", ""),
		cursor("cursor malformed", "not a cursor!"),
		cursor("cursor endless", strings.Repeat("A", 50_000)),
		{name: "cursor of another order", who: w.customer, query: `query ($c: String) { movies(first: 2, after: $c, orderBy: TITLE) { nodes { title } } }`, vars: vars{"c": w.movieCursor}},
		{name: "nested page too large", who: w.customer, query: `{ theaters(first: 1) { nodes { showtimes(first: 101) { nodes { id } } } } }`},
		{name: "nested page without size", who: w.customer, query: `{ movies(first: 1) { nodes { showtimes { nodes { id } } } } }`},
		{name: "reservations with status twice", who: w.customer, query: `{ myReservations(first: 1, status: HELD, filter: {statuses: [HELD]}) { nodes { id } } }`},
		{name: "reservations with too many statuses", who: w.customer, query: `{ myReservations(first: 1, filter: {statuses: [HELD, HELD, HELD, HELD, HELD, HELD]}) { nodes { id } } }`},
		{name: "reservations of no period", who: w.customer, query: `{ myReservations(first: 1, filter: {from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z"}) { nodes { id } } }`},
		{name: "reservations of a malformed movie", who: w.customer, query: `{ myReservations(first: 1, filter: {movieId: "the_1"}) { nodes { id } } }`},
		{name: "reservations of all by a customer", who: w.customer, query: `{ reservations(first: 1) { nodes { id } } }`},
		{name: "reservations by a code that is none", who: w.admin, query: `{ reservations(first: 1, filter: {code: "M82KR"}) { nodes { id } } }`},
		{name: "reservations of no address", who: w.admin, query: `{ reservations(first: 1, filter: {customerEmail: ""}) { nodes { id } } }`},
		{name: "reservations of all by age", who: w.admin, query: `{ reservations(first: 1, sort: NEWEST) { nodes { id } } }`},
		{name: "reservations of a malformed theater", who: w.admin, query: `{ theaterReservations(theaterId: "mov_1", first: 1) { nodes { id } } }`},
		{name: "reservations made in no period", who: w.admin, query: `query ($id: ID!) { theaterReservations(theaterId: $id, first: 1,
			filter: {reservedFrom: "2026-01-02T00:00:00Z", reservedTo: "2026-01-01T00:00:00Z"}) { nodes { id } } }`, vars: vars{"id": w.World.Theaters[0].ID()}},
		{name: "statement of a malformed theater", who: w.admin, query: `{ theaterStatement(theaterId: "mov_1", day: "2026-11-22") { day } }`},
		{name: "failed refunds of a malformed theater", who: w.admin, query: `{ failedRefunds(theaterId: "mov_1") { id } }`},
		{name: "failed refunds of all theaters by a customer", who: w.customer, query: `{ failedRefunds { id } }`},
		{name: "a decision on no refund", who: w.admin, query: retryRefund, vars: vars{"in": vars{"refundId": "ref_" + nothing + nothing, "reason": "To see."}}},
		{name: "a decision on a malformed refund", who: w.admin, query: retryRefund, vars: vars{"in": vars{"refundId": "res_" + nothing + nothing, "reason": "To see."}}},
		{name: "a decision on a refund for no reason", who: w.admin, query: retryRefund, vars: vars{"in": vars{"refundId": "ref_" + nothing + nothing, "reason": ""}}},
		{name: "credit by a customer", who: w.customer, query: adjustStoreCredit, vars: credit(nil)},
		{name: "credit of nothing", who: w.admin, query: adjustStoreCredit, vars: credit(vars{"amountMinor": "0"})},
		{name: "credit taken that nobody has", who: w.admin, query: adjustStoreCredit, vars: credit(vars{"amountMinor": "-99999"})},
		{name: "credit of nobody", who: w.admin, query: adjustStoreCredit, vars: credit(vars{"userId": "usr_" + nothing})},
		{name: "credit of a malformed user", who: w.admin, query: adjustStoreCredit, vars: credit(vars{"userId": "mov_1"})},
		{name: "credit of a malformed theater", who: w.admin, query: adjustStoreCredit, vars: credit(vars{"theaterId": "mov_1"})},
		{name: "credit with a short key", who: w.admin, query: adjustStoreCredit, vars: credit(vars{"idempotencyKey": "short"})},
		{name: "statement of no day", who: w.admin, query: `query ($id: ID!) { theaterStatement(theaterId: $id, day: "2026-02-30") { day } }`, vars: vars{"id": w.World.Theaters[0].ID()}},
		{name: "statement of the year 0", who: w.admin, query: `query ($id: ID!) { theaterStatement(theaterId: $id, day: "0000-01-01") { day } }`, vars: vars{"id": w.World.Theaters[0].ID()}},
		{name: "statement of the last day", who: w.admin, query: `query ($id: ID!) { theaterStatement(theaterId: $id, day: "9999-12-31") { day } }`, vars: vars{"id": w.World.Theaters[0].ID()}},
		{name: "statement by a customer", who: w.customer, query: `query ($id: ID!) { theaterStatement(theaterId: $id, day: "2026-11-22") { day } }`, vars: vars{"id": w.World.Theaters[0].ID()}},
		{name: "counter by a customer", who: w.customer, query: atCounter, vars: vars{"id": w.held, "tender": vars{"method": "CASH", "amountMinor": "1200"}}},
		{name: "counter with less than nothing", who: w.admin, query: atCounter, vars: vars{"id": w.held, "tender": vars{"method": "CASH", "amountMinor": "-1"}}},
		{name: "counter with too little", who: w.admin, query: atCounter, vars: vars{"id": w.held, "tender": vars{"method": "CASH", "amountMinor": "1"}}},
		{name: "counter with cash of a terminal", who: w.admin, query: atCounter, vars: vars{"id": w.held, "tender": vars{"method": "CASH", "amountMinor": "1200", "terminalReference": "T"}}},
		{name: "counter with a card of no terminal", who: w.admin, query: atCounter, vars: vars{"id": w.held, "tender": vars{"method": "CARD", "amountMinor": "1200"}}},
		{name: "counter for what is paid", who: w.admin, query: atCounter, vars: vars{"id": w.paid, "tender": vars{"method": "CASH", "amountMinor": "100000"}}},
		{name: "counter for what has expired", who: w.admin, query: atCounter, vars: vars{"id": w.expired, "tender": vars{"method": "CASH", "amountMinor": "100000"}}},
		{name: "counter pays out what was paid elsewhere", who: w.admin, query: `mutation ($id: ID!) { payOutAtCounter(input: {reservationId: $id, cancel: true, method: CASH, idempotencyKey: "pay out here"}) { __typename } }`, vars: vars{"id": w.paid}},
		{name: "counter sells a strange seat", who: w.admin, query: `mutation ($show: ID!, $seat: ID!) { sellAtCounter(input: {showtimeId: $show, seatIds: [$seat],
			tender: {method: CASH, amountMinor: "100000"}, idempotencyKey: "sell it here"}) { __typename } }`, vars: vars{"show": w.show.ID(), "seat": "sea_" + nothing}},
		{name: "reservations too many", who: w.customer, query: `{ myReservations(first: 1000) { nodes { id } } }`},
	}
}

func (w *badWorld) texts() []badInput {
	// raw writes the text as it is into the body, so that what Go's strings cannot hold gets there.
	raw := func(name, query, text string) badInput {
		encoded, err := json.Marshal(query)
		if err != nil {
			panic(err)
		}
		return badInput{name: name, who: w.customer, body: `{"query":` + string(encoded) + `,"variables":{"s":"` + text + `"}}`}
	}
	const title = `query ($s: String) { movies(first: 1, filter: {titleContains: $s}) { nodes { title } } }`
	const genre = `query ($s: String) { movies(first: 1, filter: {genre: $s}) { nodes { title } } }`
	const city = `query ($s: String) { showtimes(first: 1, filter: {city: $s}) { nodes { id } } }`
	const theaters = `query ($s: String) { theaters(first: 1, filter: {city: $s}) { nodes { id } } }`
	const country = `query ($s: String) { theaters(first: 1, filter: {countryCode: $s}) { nodes { id } } }`
	const playing = `query ($s: String) { movies(first: 1, filter: {playingInCity: $s}) { nodes { title } } }`
	var list []badInput
	for name, query := range map[string]string{"title": title, "genre": genre, "showtime city": city, "theater city": theaters, "country": country, "playing city": playing} {
		list = append(list,
			raw(name+" empty", query, ""),
			raw(name+" too long", query, strings.Repeat("x", 301)),
			raw(name+" with NUL", query, `a\u0000`),
		)
	}
	key := `mutation ($s: String!) { reserveSeats(input: {showtimeId: "` + w.show.ID() + `", seatIds: ["` + w.show.Screen.Seats[20].ID() + `"], idempotencyKey: $s}) { __typename } }`
	const email = `mutation ($s: String!) { signUp(input: {email: $s}) { __typename } }`
	name := `mutation ($s: String!) { confirmSignUp(input: {token: "` + w.link + `", password: "a long enough password", name: $s}) { __typename } }`
	password := `mutation ($s: String!) { confirmSignUp(input: {token: "` + w.link + `", password: $s, name: "Someone"}) { __typename } }`
	list = append(list,
		raw("key too short", key, "1234567"),
		raw("key too long", key, strings.Repeat("k", 256)),
		raw("key with NUL", key, `12345678\u0000`),
		raw("name empty", name, ""),
		raw("name blank", name, "   "),
		raw("name too long", name, strings.Repeat("n", 101)),
		raw("name with NUL", name, `a\u0000b`),
		raw("name with a lone surrogate", name, `a\ud800b`),
		raw("name with a line break", name, `a\nb`),
		raw("name that turns the direction", name, `a\u202eb`),
		raw("email without domain", email, "someone"),
		raw("email with a display name", email, "Someone <someone@apitest.example>"),
		raw("email without a dot in its domain", email, "someone@apitest"),
		raw("email too long", email, strings.Repeat("e", 250)+"@apitest.example"),
		raw("email with NUL", email, `some\u0000one@apitest.example`),
		raw("email with a lone surrogate", email, `some\udfffone@apitest.example`),
		raw("email with a line break", email, `someone@apitest.example\nBcc: all@apitest.example`),
		raw("password too short", password, "short of fifte"),
		raw("password too long", password, strings.Repeat("p", 257)),
		raw("password with NUL", password, `a long enough password\u0000`),
		badInput{name: "body that is not UTF-8", who: w.customer, body: "{\"query\":\"{ movies(first: 1, filter: {titleContains: \\\"\xff\\\"}) { nodes { title } } }\"}"},
		badInput{name: "everything wrong at once", who: w.anonymous, query: confirmSignUp, vars: vars{"in": vars{"token": w.link, "password": "y", "name": ""}}},
	)
	return list
}

func (w *badWorld) documents() []badInput {
	ask := func(name, query string) badInput { return badInput{name: name, who: w.customer, query: query} }
	variable := func(name, query, variables string) badInput {
		return badInput{name: name, who: w.customer, body: `{"query":"` + query + `","variables":` + variables + `}`}
	}
	const from = `query ($t: DateTime) { showtimes(first: 1, filter: {from: $t}) { nodes { id } } }`
	return []badInput{
		ask("unknown field", `{ films { title } }`),
		ask("unknown argument", `{ movies(first: 1, page: 2) { nodes { title } } }`),
		ask("unknown enum value", `{ movies(first: 1, orderBy: COLOUR) { nodes { title } } }`),
		ask("enum value in small letters", `{ movies(first: 1, orderBy: title) { nodes { title } } }`),
		ask("enum value as text", `{ movies(first: 1, orderBy: "TITLE") { nodes { title } } }`),
		ask("enum value null", `{ movies(first: 1, orderBy: null) { nodes { title } } }`),
		variable("unknown enum value in a variable", `query ($o: MovieOrder!) { movies(first: 1, orderBy: $o) { nodes { title } } }`, `{"o":"COLOUR"}`),
		variable("enum value in small letters in a variable", `query ($o: MovieOrder!) { movies(first: 1, orderBy: $o) { nodes { title } } }`, `{"o":"title"}`),
		variable("status in small letters in a variable", `query ($s: ReservationStatus) { myReservations(first: 1, status: $s) { nodes { id } } }`, `{"s":"held"}`),
		variable("text as number in a variable", `query ($s: String) { movies(first: 1, filter: {genre: $s}) { nodes { title } } }`, `{"s":12}`),
		variable("text as number in an input in a variable", `query ($f: MovieFilter) { movies(first: 1, filter: $f) { nodes { title } } }`, `{"f":{"genre":12}}`),
		variable("enum value in a variable as number", `query ($o: MovieOrder!) { movies(first: 1, orderBy: $o) { nodes { title } } }`, `{"o":1}`),
		variable("unknown status in a variable", `query ($s: ReservationStatus) { myReservations(first: 1, status: $s) { nodes { id } } }`, `{"s":"SOLD"}`),
		ask("time that is none", `{ showtimes(first: 1, filter: {from: "tomorrow"}) { nodes { id } } }`),
		ask("time as number", `{ showtimes(first: 1, filter: {from: 1700000000}) { nodes { id } } }`),
		variable("time that is none in a variable", from, `{"t":"tomorrow"}`),
		variable("time as number in a variable", from, `{"t":1700000000}`),
		variable("time without zone in a variable", from, `{"t":"2026-11-22T19:30:00"}`),
		variable("time on the 30th of February", from, `{"t":"2026-02-30T19:30:00Z"}`),
		variable("time before the calendar", from, `{"t":"0000-01-01T00:00:00+01:00"}`),
		variable("time after the calendar", from, `{"t":"9999-12-31T23:59:59-01:00"}`),
		ask("period that ends before it begins", `{ showtimes(first: 1, filter: {from: "2026-02-02T00:00:00Z", to: "2026-02-01T00:00:00Z"}) { nodes { id } } }`),
		ask("nested period that ends before it begins",
			`{ theaters(first: 1) { nodes { showtimes(first: 1, filter: {from: "2026-02-02T00:00:00Z", to: "2026-02-01T00:00:00Z"}) { nodes { id } } } } }`),
		ask("unknown input field", `{ movies(first: 1, filter: {year: 1985}) { nodes { title } } }`),
		variable("unknown input field in a variable", `query ($f: MovieFilter) { movies(first: 1, filter: $f) { nodes { title } } }`, `{"f":{"year":1985}}`),
		variable("input field of another type in a variable", `query ($f: MovieFilter) { movies(first: 1, filter: $f) { nodes { title } } }`, `{"f":{"playing":"yes"}}`),
		ask("missing argument", `{ movie { title } }`),
		ask("missing input field", `mutation { reserveSeats(input: {showtimeId: "x", seatIds: []}) { __typename } }`),
		ask("missing selection", `{ movies(first: 1) }`),
		ask("selection of a leaf", `{ me { name { first } } }`),
		ask("syntax", `{ movies(first: 1) { nodes { title }`),
		ask("syntax of a text", `{ movie(id: "mov_) { title } }`),
		ask("unknown fragment", `{ me { ...nobody } }`),
		ask("fragment on itself", `query { me { ...a } } fragment a on User { name ...b } fragment b on User { ...a }`),
		ask("fragment on another type", `{ me { ... on Movie { title } } }`),
		ask("unknown directive", `{ me @trim { name } }`),
		ask("deferred", `{ ... @defer { me { name } } }`),
		ask("unused variable", `query ($x: Int) { me { name } }`),
		ask("undeclared variable", `{ movie(id: $x) { title } }`),
		ask("no operation", `fragment a on User { name }`),
		ask("type of its own", `type Query { a: Int }`),
		{name: "two operations without a name", who: w.customer, body: `{"query":"query a { me { name } } query b { me { name } }"}`},
		{name: "operation name that is not there", who: w.customer, body: `{"query":"query a { me { name } }","operationName":"b"}`},
	}
}

func (w *badWorld) requests() []badInput {
	body := func(name, text string) badInput { return badInput{name: name, who: w.customer, body: text} }
	request := func(name, method, url, contentType, text string, header ...string) badInput {
		return badInput{name: name, who: w.customer, send: func() apitest.Answer {
			r, err := http.NewRequest(method, url, strings.NewReader(text))
			if err != nil {
				panic(err)
			}
			r.Header.Set("Content-Type", contentType)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			return w.customer.Send(r)
		}}
	}
	const asJSON = "application/json"
	url := w.customer.URL
	return []badInput{
		body("not JSON", `{"query":`),
		body("nothing at all", ` `),
		body("list", `[{"query":"{ me { name } }"}]`),
		body("text", `"{ me { name } }"`),
		body("no query", `{"variables":{}}`),
		body("query null", `{"query":null}`),
		body("query blank", `{"query":"  "}`),
		body("query as number", `{"query":1}`),
		body("variables as list", `{"query":"{ me { name } }","variables":[]}`),
		body("operation name as number", `{"query":"{ me { name } }","operationName":1}`),
		body("key twice", `{"query":"{ me { name } }","query":"{ me { email } }"}`),
		body("nested too deep", `{"query":"{ me { name } }","variables":{"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}}`),
		body("subscription without a stream", `{"query":"subscription { seatMapChanged(showtimeId: \"`+w.show.ID()+`\") { __typename } }"}`),
		body("too large", `{"query":"`+strings.Repeat(" ", 101<<10)+`{ me { name } }"}`),
		body("persisted document", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"aa"}}}`),
		request("content of another type", http.MethodPost, url, "text/plain", `{"query":"{ me { name } }"}`),
		request("form", http.MethodPost, url, "application/x-www-form-urlencoded", `query={me{name}}`),
		request("mutation by GET", http.MethodGet, w.customer.GetURL(`mutation { signOut { signedOut } }`), asJSON, ""),
		request("PUT", http.MethodPut, url, asJSON, `{"query":"{ me { name } }"}`),
		request("answer in another type", http.MethodPost, url, asJSON, `{"query":"{ me { name } }"}`, "Accept", "text/html"),
		request("page of another site", http.MethodPost, url, asJSON, `{"query":"{ me { name } }"}`, "Sec-Fetch-Site", "cross-site"),
		request("origin of another site", http.MethodPost, url, asJSON, `{"query":"{ me { name } }"}`, "Origin", "https://evil.example"),
		request("token that is none", http.MethodPost, url, asJSON, `{"query":"{ me { name } }"}`, "Authorization", "Bearer mqs_nobody"),
		request("token of another kind", http.MethodPost, url, asJSON, `{"query":"{ me { name } }"}`, "Authorization", "Basic YTpi"),
		request("token empty", http.MethodPost, url, asJSON, `{"query":"{ me { name } }"}`, "Authorization", "Bearer "),
	}
}

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

func (w *badWorld) accounts() []badInput {
	in := func(name, email, password string) badInput {
		return badInput{name: name, who: w.anonymous, query: signIn, vars: vars{"in": vars{"email": email, "password": password}}}
	}
	account := func(name, token string) badInput {
		return badInput{name: name, who: w.anonymous, query: confirmSignUp, vars: vars{"in": vars{"token": token, "password": apitest.Password, "name": "Twin"}}}
	}
	email := w.customer.User.Email
	return []badInput{
		in("wrong password", email, "wrong horse battery staple"),
		in("password in other letters", email, strings.ToUpper(apitest.Password)),
		in("password with a blank", email, apitest.Password+" "),
		in("password empty", email, ""),
		in("password endless", email, strings.Repeat("p", 50_000)),
		in("password with NUL", email, apitest.Password+"\x00"),
		in("unknown user", "nobody@apitest.example", apitest.Password),
		in("email empty", "", apitest.Password),
		in("email endless", strings.Repeat("e", 50_000), apitest.Password),
		in("email with NUL", email+"\x00", apitest.Password),
		in("email in SQL", "' OR 1=1 --", apitest.Password),
		account("address taken meanwhile", w.overtaken),
		account("link made up", "mqm_AAAAAAAAAAAAAAAAAAAAAAAAAA"),
		account("link empty", ""),
	}
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

func (w *badWorld) tooLarge() []badInput {
	ask := func(name, query string) badInput { return badInput{name: name, who: w.customer, query: query} }
	deep := "{ theaters(first: 1) { nodes { " + strings.Repeat("screens { theater { ", 8) + "name" + strings.Repeat(" } }", 8) + " } } }"
	var aliases, roots strings.Builder
	for i := range 61 {
		fmt.Fprintf(&aliases, "a%d: name ", i)
	}
	for range 21 {
		roots.WriteString("genres { name } ")
	}
	var bomb strings.Builder
	bomb.WriteString("query { theaters(first: 1) { nodes { ...f0 } } } ")
	for i := range 22 {
		fmt.Fprintf(&bomb, "fragment f%d on Theater { name ...f%d ...f%d } ", i, i+1, i+1)
	}
	bomb.WriteString("fragment f22 on Theater { screens { name } }")
	return []badInput{
		ask("too deep", deep),
		ask("too many aliases", "{ me { "+aliases.String()+"} }"),
		ask("too many root fields", "{ "+roots.String()+"}"),
		ask("too dear", `{ movies(first: 100) { nodes { showtimes(first: 100) { nodes { id movie { id } } } } } }`),
		ask("too many words", "{ me { "+strings.Repeat("name ", 2000)+"} }"),
		ask("fragments that grow", bomb.String()),
	}
}
