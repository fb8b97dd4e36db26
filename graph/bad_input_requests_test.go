package graph_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"marquee/internal/apitest"
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
