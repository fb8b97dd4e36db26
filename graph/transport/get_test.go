package transport_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"marquee/graph/transport"
)

func TestGET_Do(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{MaxBytes: 4096})
	query := func(parameters ...string) string {
		values := url.Values{}
		for i := 0; i < len(parameters); i += 2 {
			values.Add(parameters[i], parameters[i+1])
		}
		return "?" + values.Encode()
	}
	tests := map[string]struct {
		query  string
		status int
		answer string
	}{
		"query":                     {query("query", "{hello}"), 200, `{"data":{"hello":"world"}}`},
		"variables":                 {query("query", "query($v:Int){echo(int:$v)}", "variables", `{"v":9007199254740993}`), 200, `{"data":{"echo":9007199254740993}}`},
		"operation_name":            {query("query", "query A{hello} query B{b:hello}", "operationName", "B"), 200, `{"data":{"b":"world"}}`},
		"empty_parameters":          {query("query", "{hello}", "operationName", "", "variables", "", "extensions", ""), 200, `{"data":{"hello":"world"}}`},
		"GQ15_mutation":             {query("query", "mutation{bump}"), 405, ""},
		"mutation_picked_by_name":   {query("query", "query A{hello} mutation B{bump}", "operationName", "B"), 405, ""},
		"subscription":              {query("query", "subscription{ticks}"), 400, ""},
		"no_query":                  {"", 400, ""},
		"two_queries":               {query("query", "{hello}", "query", "{hello}"), 400, ""},
		"variables_as_list":         {query("query", "{hello}", "variables", "[]"), 400, ""},
		"variables_malformed":       {query("query", "{hello}", "variables", "hunter2"), 400, ""},
		"variables_with_tail":       {query("query", "{hello}", "variables", "{}{}"), 400, ""},
		"variables_deep":            {query("query", "{hello}", "variables", `{"v":`+nest(200)+`}`), 400, ""},
		"extensions_malformed":      {query("query", "{hello}", "extensions", "{"), 400, ""},
		"address_encoded_wrongly":   {"?query=%zz", 400, ""},
		"address_with_a_semicolon":  {"?query={hello};a=b", 400, ""},
		"parameters_longer_than_it": {query("query", "{hello}"+strings.Repeat(" ", 4096)), 414, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := e.do(t, http.MethodGet, test.query, http.Header{"Accept": {"application/graphql-response+json"}}, nil)
			if got.status != test.status {
				t.Fatalf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if test.status == 200 {
				if got.body != test.answer {
					t.Errorf("answered with %s, want %s", got.body, test.answer)
				}
				return
			}
			if code := got.code(t); code != "BAD_USER_INPUT" || strings.Contains(got.body, "hunter2") || strings.Contains(got.body, `"data"`) {
				t.Errorf("answered with %s", got.body)
			}
			if allow := got.header.Get("Allow"); (allow == "POST") != (test.status == 405) {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
}

func TestGET_cookie_alone_does_not_authenticate(t *testing.T) {
	t.Parallel()
	anyCookie := newEndpoint(t, transport.POST{}, transport.GET{})
	session := newEndpoint(t, transport.POST{}, transport.GET{
		ByCookie: func(r *http.Request) bool {
			_, err := r.Cookie("__Host-session")
			return err == nil
		},
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "https://ours.example" },
	})
	const cookie = "__Host-session=1"
	for name, test := range map[string]struct {
		e      *endpoint
		header http.Header
		status int
	}{
		"GQ15_cookie_only":                 {anyCookie, http.Header{"Cookie": {"a=1"}}, 403},
		"GQ15_session_cookie_only":         {session, http.Header{"Cookie": {"a=1; " + cookie}}, 403},
		"cookie_from_another_site":         {session, http.Header{"Cookie": {cookie}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		"cookie_from_a_sibling_site":       {session, http.Header{"Cookie": {cookie}, "Sec-Fetch-Site": {"same-site"}}, 403},
		"cookie_with_the_type_of_a_form":   {session, http.Header{"Cookie": {cookie}, "Content-Type": {"text/plain"}}, 403},
		"cookie_from_a_foreign_origin":     {session, http.Header{"Cookie": {cookie}, "Origin": {"https://theirs.example"}}, 403},
		"cookie_from_an_allowed_origin":    {session, http.Header{"Cookie": {cookie}, "Origin": {"https://ours.example"}}, 200},
		"another_cookie":                   {session, http.Header{"Cookie": {"a=1"}}, 200},
		"no_cookie":                        {anyCookie, http.Header{}, 200},
		"cookie_from_the_same_origin":      {session, http.Header{"Cookie": {cookie}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		"cookie_with_a_preflight_header":   {session, http.Header{"Cookie": {cookie}, "Apollo-Require-Preflight": {""}}, 200},
		"cookie_with_a_content_type":       {session, http.Header{"Cookie": {cookie}, "Content-Type": {"application/json"}}, 200},
		"cookie_with_an_operation_name":    {session, http.Header{"Cookie": {cookie}, "X-Apollo-Operation-Name": {"A"}}, 200},
		"cookie_beside_another_credential": {session, http.Header{"Cookie": {cookie}, "Authorization": {"Bearer x"}}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.e.do(t, http.MethodGet, "?query={hello}", test.header, nil)
			if got.status != test.status {
				t.Fatalf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if test.status == 403 && got.code(t) != "FORBIDDEN" {
				t.Errorf("answered with %s", got.body)
			}
		})
	}
}

// TestGET_MaxAge shares what the rule allows, without what extensions tell of one request.
func TestGET_MaxAge(t *testing.T) {
	t.Parallel()
	const query = "?query={hello}"
	for name, test := range map[string]struct {
		age   time.Duration
		query string
		want  string
		body  string
	}{
		"for_a_minute":      {time.Minute + time.Millisecond, query, "public, max-age=60", `{"data":{"hello":"world"}}`},
		"not_for_a_moment":  {time.Millisecond, query, "private, no-store", `{"data":{"hello":"world"},"extensions":{"trace":1}}`},
		"not_at_all":        {0, query, "private, no-store", `{"data":{"hello":"world"},"extensions":{"trace":1}}`},
		"not_with_an_error": {time.Minute, "?query={failing(times:1)}", "private, no-store", `{"errors":[{"message":"failure 0"}],"data":{"failing":null},"extensions":{"trace":1}}`},
		"not_a_refusal":     {time.Minute, "?query={nothing}", "private, no-store", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := func(_ context.Context, operation *graphql.OperationContext) time.Duration {
				if operation.Operation == nil {
					t.Error("the rule is asked of no operation")
				}
				return test.age
			}
			e := newEndpoint(t, transport.POST{}, transport.GET{MaxAge: rule}, func(exec *executor.Executor) {
				exec.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
					response := next(ctx)
					response.Extensions = map[string]any{"trace": 1}
					return response
				})
			})
			got := e.do(t, http.MethodGet, test.query, nil, nil)
			if got.header.Get("Cache-Control") != test.want || test.body != "" && got.body != test.body {
				t.Errorf("%s %s", got.header.Get("Cache-Control"), got.body)
			}
		})
	}
}
