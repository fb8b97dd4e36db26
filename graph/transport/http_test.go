package transport_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/executor"

	"marquee/graph/transport"
)

const (
	typeJSON    = "application/json; charset=utf-8"
	typeGraphQL = "application/graphql-response+json; charset=utf-8"
)

// endpoint serves a schema over POST and GET and counts what ran.
type endpoint struct {
	*httptest.Server
	ran chan string
}

func newEndpoint(t *testing.T, post transport.POST, get transport.GET, configure ...func(*executor.Executor)) *endpoint {
	t.Helper()
	e := &endpoint{ran: make(chan string, 100)}
	s := newSchema()
	s.ran = func(field string) { e.ran <- field }
	exec := s.executor()
	exec.Use(refuser{})
	for _, f := range configure {
		f(exec)
	}
	e.Server = httptest.NewServer(transport.Handler(exec, get, post, transport.Fallback{}))
	t.Cleanup(e.Close)
	return e
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) code(t *testing.T) string {
	t.Helper()
	var body struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || len(body.Errors) == 0 {
		t.Fatalf("no errors in the body %s (%v)", r.body, err)
	}
	return body.Errors[0].Extensions.Code
}

func (e *endpoint) do(t *testing.T, method, query string, header http.Header, body io.Reader) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, e.URL+"/graphql"+query, body)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	if sized, ok := body.(interface{ Len() int }); ok {
		r.ContentLength = int64(sized.Len())
	}
	response, err := e.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

// post sends a JSON body, accepting the given media type.
func (e *endpoint) post(t *testing.T, accept, body string) reply {
	t.Helper()
	header := http.Header{"Content-Type": {"application/json"}}
	if accept != "" {
		header.Set("Accept", accept)
	}
	return e.do(t, http.MethodPost, "", header, strings.NewReader(body))
}

// mustNotRun fails the test when any root field was executed.
func (e *endpoint) mustNotRun(t *testing.T) {
	t.Helper()
	select {
	case field := <-e.ran:
		t.Errorf("%s was executed", field)
	default:
	}
}

func TestHandler_methods(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	const allow = "GET, HEAD, POST, OPTIONS"

	t.Run("head_is_get_without_a_body", func(t *testing.T) {
		t.Parallel()
		get := e.do(t, http.MethodGet, "?query={hello}", nil, nil)
		head := e.do(t, http.MethodHead, "?query={hello}", nil, nil)
		if head.status != get.status || head.body != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
			t.Errorf("HEAD is %+v, GET is %+v", head, get)
		}
	})
	t.Run("options", func(t *testing.T) {
		t.Parallel()
		got := e.do(t, http.MethodOptions, "", nil, nil)
		if got.status != 204 || got.header.Get("Allow") != allow || got.body != "" {
			t.Errorf("answered with %+v", got)
		}
	})
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "BREW"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			got := e.do(t, method, "?query={hello}", nil, strings.NewReader(`{"query":"{hello}"}`))
			if got.status != 405 || got.header.Get("Allow") != allow || got.code(t) != "BAD_USER_INPUT" {
				t.Errorf("answered with %+v", got)
			}
		})
	}
	t.Run("without_a_fallback_the_guard_stands", func(t *testing.T) {
		t.Parallel()
		recorder := httptest.NewRecorder()
		transport.Handler(newSchema().executor(), transport.POST{}).
			ServeHTTP(recorder, httptest.NewRequest(http.MethodPut, "/graphql", nil))
		if recorder.Code != 405 {
			t.Errorf("answered with %d", recorder.Code)
		}
	})
}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	const jsonType, graphqlType = typeJSON, typeGraphQL
	for name, test := range map[string]struct {
		accept []string
		want   string
	}{
		"none":                              {nil, jsonType},
		"empty":                             {[]string{""}, jsonType},
		"anything":                          {[]string{"*/*"}, jsonType},
		"any_application":                   {[]string{"application/*"}, jsonType},
		"json":                              {[]string{"application/json"}, jsonType},
		"json_in_utf8":                      {[]string{"application/json; charset=UTF-8"}, jsonType},
		"graphql":                           {[]string{"application/graphql-response+json"}, graphqlType},
		"graphql_then_json":                 {[]string{"application/graphql-response+json, application/json"}, graphqlType},
		"json_then_graphql":                 {[]string{"application/json, application/graphql-response+json"}, jsonType},
		"in_two_headers":                    {[]string{"text/html", "application/graphql-response+json"}, graphqlType},
		"graphql_then_anything":             {[]string{"application/graphql-response+json, */*"}, graphqlType},
		"apollo_client_4":                   {[]string{"application/graphql-response+json,application/json;q=0.9"}, graphqlType},
		"apollo_client_3":                   {[]string{"*/*"}, jsonType},
		"urql":                              {[]string{"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"}, graphqlType},
		"multipart_of_apollo":               {[]string{"multipart/mixed;deferSpec=20220824,application/graphql-response+json,application/json;q=0.9"}, graphqlType},
		"quality_beats_order":               {[]string{"application/graphql-response+json;q=0.4, application/json;q=0.5"}, jsonType},
		"precise_quality_beats_wildcard":    {[]string{"application/graphql-response+json;q=0.5, */*"}, jsonType},
		"zero_excludes":                     {[]string{"application/json;q=0, */*"}, graphqlType},
		"browser_navigation":                {[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, jsonType},
		"unparsable_range_is_skipped":       {[]string{";;, application/graphql-response+json"}, graphqlType},
		"unparsable_quality_is_skipped":     {[]string{"application/json;q=2, application/graphql-response+json;q=0.1"}, graphqlType},
		"html_only":                         {[]string{"text/html"}, ""},
		"everything_excluded":               {[]string{"*/*;q=0"}, ""},
		"another_charset":                   {[]string{"application/json; charset=utf-16"}, ""},
		"named_after_more_ranges_than_read": {[]string{strings.Repeat("text/html,", 32) + "application/json"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Content-Type": {"application/json"}}
			if test.accept != nil {
				header["Accept"] = test.accept
			}
			got := e.do(t, http.MethodPost, "", header, strings.NewReader(`{"query":"{hello}"}`))
			if test.want == "" {
				if got.status != 406 || got.code(t) != "BAD_USER_INPUT" || got.header.Get("Content-Type") != typeJSON {
					t.Errorf("answered with %+v", got)
				}
				return
			}
			if got.status != 200 || got.header.Get("Content-Type") != test.want {
				t.Errorf("answered with %d %s, want %s", got.status, got.header.Get("Content-Type"), test.want)
			}
		})
	}
}
