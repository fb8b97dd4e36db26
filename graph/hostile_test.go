package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/config"
)

// production is what changes the configuration to that of a public installation.
func production(c *config.Config) { c.Env = config.Production }

// errorsOf returns the errors of an answer that has no data.
func errorsOf(t *testing.T, answer apitest.Answer) []shownError {
	t.Helper()
	var body struct {
		Data   json.RawMessage
		Errors []shownError
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil || body.Data != nil || len(body.Errors) == 0 {
		t.Fatalf("not a refusal: %v, %v", err, answer)
	}
	return body.Errors
}

type shownError struct {
	Message    string
	Extensions struct {
		Code       string
		RetryAfter int
	}
}

// chain is a document of fragments, each of which spreads the next so many times.
func chain(fragments, times int, last string) string {
	var text strings.Builder
	text.WriteString("{ theaters(first: 1) { nodes { ...f0 } } } ")
	for i := range fragments {
		fmt.Fprintf(&text, "fragment f%d on Theater { %s} ", i, strings.Repeat(fmt.Sprintf("...f%d ", i+1), times))
	}
	fmt.Fprintf(&text, "fragment f%d on Theater { %s }", fragments, last)
	return text.String()
}

// nested alternates two fields down to a depth.
func nested(levels int) string {
	text, end := "{ movies(first: 1) { nodes { ", " } } }"
	for range levels {
		text += "showtimes(first: 1) { nodes { movie { "
		end = " } } }" + end
	}
	return text + "id" + end
}

// TestHostileRequests sends what is made to choke or to sound out the server, to the whole program as it runs in
// production. The cases are numbered as in the list of attacks; those of one body or header are in package transport.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.With(production), apitest.With(func(c *config.Config) { c.LogLevel = -4 }))
	anonymous := a.Anonymous()

	for name, test := range map[string]struct {
		query string
		says  string // a part of the message
	}{
		"GQ1_anonymous_schema":                 {`{ __schema { types { name } } }`, "Sign in first."},
		"GQ1_anonymous_type":                   {`{ __type(name: "Movie") { fields { name } } }`, "Sign in first."},
		"GQ1_anonymous_schema_in_a_fragment":   {`{ genres { name } ...f } fragment f on Query { ... { s: __schema { types { name } } } }`, "Sign in first."},
		"GQ3_101_aliases_of_one_field":         {"{ genres {" + numbered(101, "a%d: name ") + "} }", "more than 60 aliases"},
		"GQ3_101_aliases_of_one_root_field":    {"{" + numbered(101, "a%d: genres { name } ") + "}", "more than 20 root fields"},
		"GQ4_sign_in_100_times":                {"mutation {" + numbered(100, `a%d: signIn(input: {email: "a@b.example", password: "%[1]d"}) { __typename } `) + "}", "more than 20 root fields"},
		"GQ4_sign_in_10_times":                 {"mutation {" + numbered(10, `a%d: signIn(input: {email: "a@b.example", password: "%[1]d"}) { __typename } `) + "}", "at most 10000 are served"},
		"GQ6_4000_times_the_same_field":        {"{ genres {" + strings.Repeat("name ", 4000) + "} }", "more than 2000 words and signs"},
		"GQ6_1900_times_the_same_field":        {"{ genres {" + strings.Repeat("name ", 1900) + "} }", "names the same fields too often"},
		"GQ7_40000_unknown_directives":         {"{ genres { name " + strings.Repeat("@a", 40_000) + "} }", "more than 2000 words and signs"},
		"GQ7_900_unknown_directives":           {"{ genres { name " + strings.Repeat("@a", 900) + "} }", "more than 100 directives"},
		"GQ8_movie_to_showtimes_to_movie":      {nested(16), "more than 15 levels"},
		"GQ9_fragment_that_spreads_itself":     {`{ genres { ...a } } fragment a on Genre { name ...a }`, "within itself"},
		"GQ9_cycle_of_three_fragments":         {`{ genres { ...a } } fragment a on Genre { ...b } fragment b on Genre { ...c } fragment c on Genre { ...a }`, "within itself"},
		"GQ10_30_fragments_spread_twice":       {chain(30, 2, "name"), "more than 2000 fields"},
		"GQ10_30_fragments_of_objects":         {chain(30, 2, "screens { id }"), "more than 2000 fields"},
		"GQ10_8_fragments_of_dear_lists":       {chain(8, 2, "screens { id } showtimes(first: 100) { nodes { id } }"), "at most 10000 are served"},
		"GQ11_first_beyond_32_bits":            {`{ movies(first: 2147483648) { nodes { id } } }`, "non 32-bit signed integer"},
		"GQ11_last_below_32_bits":              {`{ movies(last: -2147483649) { nodes { id } } }`, "non 32-bit signed integer"},
		"GQ11_first_in_an_input_of_a_fragment": {`{ ...f } fragment f on Query { theaters(first: 1) { nodes { showtimes(first: 3000000000) { nodes { id } } } } }`, "non 32-bit signed integer"},
		"GQ11_first_of_99999999":               {`{ movies(first: 99999999) { nodes { id } } }`, "at most 10000 are served"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := errorsOf(t, anonymous.With(t).Raw(test.query, nil))
			if len(shown) > 10 || !strings.Contains(shown[0].Message, test.says) {
				t.Errorf("%d errors, the first %q, want %q", len(shown), shown[0].Message, test.says)
			}
			if code := shown[0].Extensions.Code; code != "BAD_USER_INPUT" && !strings.HasPrefix(name, "GQ1_") {
				t.Errorf("the code is %s", code)
			}
		})
	}

	for name, query := range map[string]string{
		"GQ2_misspelt_field":            `{ genres { nam } }`,
		"GQ2_misspelt_root_field":       `{ genre { name } }`,
		"GQ2_leaf_without_a_selection":  `{ genres }`,
		"GQ2_misspelt_argument":         `{ movies(firs: 1) { nodes { id } } }`,
		"GQ2_misspelt_type":             `query ($f: MovieFilte) { movies(first: 1, filter: $f) { nodes { id } } }`,
		"GQ2_misspelt_type_of_fragment": `{ genres { ... on Genr { name } } }`,
		"GQ2_misspelt_enum_value":       `{ movies(first: 1, orderBy: TITL) { nodes { id } } }`,
		"GQ2_enum_value_as_text":        `{ movies(first: 1, orderBy: "TITLE") { nodes { id } } }`,
		"GQ2_misspelt_input_field":      `{ movies(first: 1, filter: {genr: "Drama"}) { nodes { id } } }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := anonymous.With(t).Raw(query, nil)
			errorsOf(t, answer)
			if strings.Contains(strings.ToLower(string(answer.Body)), "did you mean") {
				t.Errorf("a suggestion: %v", answer)
			}
		})
	}

	for name, arguments := range map[string]string{
		"GQ11_first_of_minus_1": `first: -1`, "GQ11_first_of_0": `first: 0`, "GQ11_first_with_last": `first: 1, last: 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := anonymous.With(t).Raw(`{ movies(`+arguments+`) { nodes { id } } }`, nil)
			if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"BAD_USER_INPUT"`) {
				t.Error(answer)
			}
		})
	}

	t.Run("GQ5_list_of_ten_operations", func(t *testing.T) {
		t.Parallel()
		answer := anonymous.With(t).Post("[" + strings.Repeat(`{"query":"{ genres { name } }"},`, 9) + `{"query":"{ genres { name } }"}]`)
		if shown := errorsOf(t, answer); answer.Status != http.StatusBadRequest || len(shown) != 1 {
			t.Error(answer)
		}
	})
	t.Run("GQ6_500_times_the_same_field", func(t *testing.T) {
		t.Parallel()
		var out struct{ Genres []map[string]string }
		anonymous.With(t).Get("{ genres {"+strings.Repeat("name ", 500)+"} }", nil, &out)
		if len(out.Genres) == 0 || len(out.Genres[0]) != 1 || out.Genres[0]["name"] == "" {
			t.Errorf("not merged: %v", out)
		}
	})
	t.Run("GQ7_100000_unknown_directives", func(t *testing.T) {
		t.Parallel()
		answer := anonymous.With(t).Raw("{ genres { name "+strings.Repeat("@a", 100_000)+"} }", nil)
		if answer.Status != http.StatusRequestEntityTooLarge || len(errorsOf(t, answer)) > 10 {
			t.Error(answer)
		}
	})
	t.Run("GQ14_malformed_JSON_that_holds_a_password", func(t *testing.T) {
		t.Parallel()
		const secret = "hunter2 hunter2 hunter2"
		for _, body := range []string{
			`{"query":"mutation { signIn }","variables":{"password":"` + secret + `"`,
			`{"query":"mutation { signIn(input: {password: \"` + secret + `\"}","variables":}`,
			`"password":"` + secret + `"`,
		} {
			answer := anonymous.With(t).Post(body)
			if answer.Status != http.StatusBadRequest || strings.Contains(string(answer.Body), "hunter2") {
				t.Error(answer)
			}
		}
		if strings.Contains(a.Logged(), "hunter2") {
			t.Error("the password is in the log")
		}
	})
	for _, path := range []string{"/", "/graphiql", "/console", "/playground", "/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars"} {
		t.Run("GQ20_"+strings.Trim(strings.ReplaceAll(path, "/", "_"), "_"), func(t *testing.T) {
			if answer := a.Visit(path); answer.Status != http.StatusNotFound {
				t.Errorf("%s: %v", path, answer)
			}
		})
	}
	t.Run("GQ21_500_connections_that_never_end_their_headers", func(t *testing.T) {
		t.Parallel()
		const many = 500
		var dial net.Dialer
		slow := make([]net.Conn, many)
		for i := range slow {
			conn, err := dial.DialContext(t.Context(), "tcp", a.Address().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := io.WriteString(conn, "POST /graphql HTTP/1.1\r\nHost: marquee\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
			slow[i] = conn
		}
		anonymous.With(t).Get(`{ genres { name } }`, nil, nil)
		deadline := time.Now().Add(apitest.Patience)
		for _, conn := range slow {
			if err := conn.SetReadDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), " 200 ") {
				t.Fatalf("a slow connection is not cut: %q, %v", answer, err)
			}
		}
	})
}

// numbered repeats a text with the numbers from 0.
func numbered(n int, format string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

// TestIntrospection_production reads the schema as every kind of viewer, on every way in that carries queries.
func TestIntrospection_production(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.With(production))
	for role, test := range map[string]struct {
		who  apitest.Client
		code string // "" for who may
	}{
		"anonymous": {a.Anonymous(), "UNAUTHENTICATED"},
		"customer":  {a.Customer(), "FORBIDDEN"},
		"manager":   {a.Manager(), "FORBIDDEN"},
		"admin":     {a.Admin(), ""},
	} {
		t.Run(role, func(t *testing.T) {
			answers := map[string]apitest.Answer{"POST": test.who.With(t).Raw(`{ __schema { queryType { name } } }`, nil)}
			r, err := http.NewRequest(http.MethodGet, test.who.GetURL(`{ __schema { queryType { name } } }`), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answers["GET"] = test.who.With(t).Send(r)
			for way, answer := range answers {
				if test.code == "" {
					if !strings.Contains(string(answer.Body), `"Query"`) {
						t.Errorf("%s: %v", way, answer)
					}
					continue
				}
				if shown := errorsOf(t, answer); shown[0].Extensions.Code != test.code {
					t.Errorf("%s: %v", way, answer)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
			defer cancel()
			stream, err := test.who.Subscribe(ctx, `{ __schema { queryType { name } } }`, nil)
			if err == nil {
				defer stream.Close()
				err = stream.Next(ctx, nil)
			}
			if (err == nil) != (test.code == "") {
				t.Errorf("over a socket: %v", err)
			}
		})
	}
}
