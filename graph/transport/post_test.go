package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/transport"
)

func TestPOST_Do(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	big := "9007199254740993" // not representable as a float64

	tests := map[string]struct {
		accept      string
		body        string
		status      int
		contentType string
		answer      string
	}{
		"query": {
			body: `{"query":"{hello}"}`, status: 200, contentType: typeJSON, answer: `{"data":{"hello":"world"}}`,
		},
		"mutation": {
			body: `{"query":"mutation{bump}"}`, status: 200, contentType: typeJSON, answer: `{"data":{"bump":1}}`,
		},
		"unknown_keys_and_nulls_are_ignored": {
			body:   `{"query":"{hello}","operationName":null,"variables":null,"extensions":null,"Query":1,"id":2}`,
			status: 200, contentType: typeJSON, answer: `{"data":{"hello":"world"}}`,
		},
		"operation_is_picked_by_name": {
			body:   `{"query":"query A{hello} query B{b:hello}","operationName":"B"}`,
			status: 200, contentType: typeJSON, answer: `{"data":{"b":"world"}}`,
		},
		"integers_keep_their_precision": {
			body:   `{"query":"query($v:Any){echo(value:$v)}","variables":{"v":{"deep":[` + big + `]}}}`,
			status: 200, contentType: typeJSON, answer: `{"data":{"echo":{"deep":[` + big + `]}}}`,
		},
		"integer_variable": {
			body:   `{"query":"query($v:Int){echo(int:$v)}","variables":{"v":` + big + `}}`,
			status: 200, contentType: typeJSON, answer: `{"data":{"echo":` + big + `}}`,
		},
		"field_error_keeps_data": {
			accept: "application/graphql-response+json",
			body:   `{"query":"{failing(times:1)}"}`,
			status: 200, contentType: typeGraphQL, answer: `{"errors":[{"message":"failure 0"}],"data":{"failing":null}}`,
		},
		"errors_are_capped": {
			body:   `{"query":"{failing(times:12)}"}`,
			status: 200, contentType: typeJSON,
			answer: `{"errors":[` + failures(10) + `],"data":{"failing":null},"extensions":{"errorsOmitted":2}}`,
		},
		"parse_failure_as_json": {
			body: `{"query":"{"}`, status: 200, contentType: typeJSON,
			answer: `{"errors":[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],` +
				`"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
		},
		"parse_failure_as_graphql_response": {
			accept: "application/graphql-response+json",
			body:   `{"query":"{"}`, status: 400, contentType: typeGraphQL,
			answer: `{"errors":[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],` +
				`"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
		},
		"panic_is_masked": {
			body: `{"query":"{panicking}"}`, status: 500, contentType: typeJSON,
			answer: `{"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`,
		},
		"unencodable_extension_is_a_defect_not_a_broken_answer": {
			body: `{"query":"{unencodable}"}`, status: 500, contentType: typeJSON,
			answer: `{"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`,
		},
		"throttled": {
			body: `{"query":"{refused(code:\"THROTTLED\")}"}`, status: 429, contentType: typeJSON,
			answer: `{"errors":[{"message":"refused","extensions":{"code":"THROTTLED","retryAfter":1.5}}]}`,
		},
		"refusal_without_code_gets_one": {
			accept: "application/graphql-response+json",
			body:   `{"query":"{refused(code:\"\")}"}`, status: 400, contentType: typeGraphQL,
			answer: `{"errors":[{"message":"refused","extensions":{"code":"BAD_USER_INPUT","hint":1}}]}`,
		},
		"unencodable_error_is_a_defect": {
			body: `{"query":"{refused(code:\"UNENCODABLE\")}"}`, status: 500, contentType: typeJSON,
			answer: `{"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`,
		},
		"word_defer_is_not_the_directive": {
			body: `{"query":"{defer:hello self{...{hello}} ...F} fragment F on Query{again:hello}"}`, status: 200, contentType: typeJSON,
			answer: `{"data":{"defer":"world","self":null,"again":"world"}}`,
		},
		"persisted_hash_without_text_reaches_the_executor": {
			body: `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"0"}}}`, status: 200, contentType: typeJSON,
			answer: `{"errors":[{"message":"no operation provided","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := e.post(t, test.accept, test.body)
			if got.status != test.status || got.body != test.answer {
				t.Errorf("got %d %s\nwant %d %s", got.status, got.body, test.status, test.answer)
			}
			for header, want := range map[string]string{
				"Content-Type": test.contentType, "Vary": "Accept, Accept-Encoding", "Cache-Control": "private, no-store",
			} {
				if value := got.header.Get(header); value != want {
					t.Errorf("%s is %q, want %q", header, value, want)
				}
			}
		})
	}
}

func failures(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"message":"failure %d"}`, i)
	}
	return strings.Join(list, ",")
}

func TestPOST_Do_statuses_of_refusals(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	for code, want := range map[string]struct{ json, graphql int }{
		"BAD_USER_INPUT":  {200, 400},
		"UNAUTHENTICATED": {200, 401},
		"FORBIDDEN":       {200, 403},
		"THROTTLED":       {429, 429},
		"UNAVAILABLE":     {503, 503},
		"INTERNAL":        {500, 500},
		"SOMETHING_ELSE":  {200, 400},
	} {
		body := fmt.Sprintf(`{"query":"{refused(code:\"%s\")}"}`, code)
		if got := e.post(t, "application/json", body); got.status != want.json {
			t.Errorf("%s as json is %d, want %d", code, got.status, want.json)
		}
		got := e.post(t, "application/graphql-response+json", body)
		if got.status != want.graphql {
			t.Errorf("%s as graphql-response is %d, want %d", code, got.status, want.graphql)
		}
		if retry := got.header.Get("Retry-After"); retry != map[string]string{"THROTTLED": "2", "UNAVAILABLE": "7"}[code] {
			t.Errorf("Retry-After of %s is %q", code, retry)
		}
		if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (got.status == 401) {
			t.Errorf("WWW-Authenticate of %s is %q", code, challenge)
		}
	}
}

// TestPOST_refuses covers what is refused before the executor sees it, and what of the GQ list concerns a transport.
func TestPOST_refuses(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{MaxBytes: 1 << 20}, transport.GET{})
	deep := 100_000

	tests := map[string]struct {
		body   string
		status int
	}{
		"GQ5_list_of_ten_operations":         {`[` + strings.Repeat(`{"query":"{hello}"},`, 9) + `{"query":"{hello}"}]`, 400},
		"GQ12_deep_list_in_the_document":     {`{"query":"{echo(value:` + nest(deep) + `)}"}`, 400},
		"GQ12_deep_variables":                {`{"query":"query($v:Any){echo(value:$v)}","variables":{"v":` + nest(deep) + `}}`, 400},
		"GQ12_deep_variables_unclosed":       {`{"query":"{hello}","variables":{"v":` + strings.Repeat("[", deep), 400},
		"GQ12_deep_objects":                  {strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep), 400},
		"GQ17_trailing_document":             {`{"query":"{hello}"}{"query":"{hello}"}`, 400},
		"GQ17_trailing_garbage":              {`{"query":"{hello}"}x`, 400},
		"GQ17_duplicate_query":               {`{"query":"{hello}","query":"{hello}"}`, 400},
		"GQ17_duplicate_query_escaped":       {`{"query":"{hello}","\u0071uery":"{hello}"}`, 400},
		"GQ17_duplicate_variable":            {`{"query":"{hello}","variables":{"a":1,"a":2}}`, 400},
		"GQ17_null_query":                    {`{"query":null}`, 400},
		"GQ17_variables_as_list":             {`{"query":"{hello}","variables":[]}`, 400},
		"GQ17_variables_as_text":             {`{"query":"{hello}","variables":"{}"}`, 400},
		"GQ18_unknown_operation_name":        {`{"query":"query A{hello}","operationName":"B"}`, 400},
		"GQ18_two_operations_without_a_name": {`{"query":"query A{hello} query B{hello}"}`, 400},
		"empty_body":                         {``, 400},
		"empty_object":                       {`{}`, 400},
		"null":                               {`null`, 400},
		"text":                               {`"{hello}"`, 400},
		"blank_query":                        {`{"query":" \n"}`, 400},
		"query_of_other_case":                {`{"Query":"{hello}"}`, 400},
		"extensions_as_list":                 {`{"query":"{hello}","extensions":[]}`, 400},
		"operation_name_as_number":           {`{"query":"{hello}","operationName":1}`, 400},
		"truncated":                          {`{"query":"{hello}"`, 400},
		"not_utf8":                           {"{\"query\":\"{hello} #\xff\"}", 400},
		"byte_order_mark":                    {"\ufeff" + `{"query":"{hello}"}`, 400},
		"subscription":                       {`{"query":"subscription{ticks}"}`, 400},
		"defer_on_fragment":                  {`{"query":"{...@defer{hello}}"}`, 400},
		"defer_spread_with_blanks":           {`{"query":"query{...F @ ,defer(if:false)} fragment F on Query{hello}"}`, 400},
		"defer_inside_a_field":               {`{"query":"{self{self{...@defer{hello}}}}"}`, 400},
		"defer_inside_a_fragment":            {`{"query":"{...F} fragment F on Query{...{...@defer{hello}}}"}`, 400},
		"defer_in_unused_operation":          {`{"query":"query A{hello} query B{...@defer{hello}}","operationName":"A"}`, 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := e.post(t, "application/graphql-response+json", test.body)
			if got.status != test.status {
				t.Errorf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if code := got.code(t); code != "BAD_USER_INPUT" && code != "GRAPHQL_PARSE_FAILED" {
				t.Errorf("code %s", code)
			}
			if strings.Contains(got.body, `"data"`) {
				t.Errorf("a request that was not executed has data: %s", got.body)
			}
		})
	}
	t.Cleanup(func() { e.mustNotRun(t) })
}

// nest is a list that holds itself depth times.
func nest(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestPOST_refuses_hints(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	for body, hint := range map[string]string{
		`[{"query":"{hello}"}]`:                        "one operation per request",
		`{"query":"subscription{ticks}"}`:              "graphql-transport-ws",
		`{"query":"{...@defer{hello}}"}`:               "without it",
		`{"query":"query A{hello} query B{hello}"}`:    "operationName",
		`{"query":"{hello}","variables":[]}`:           "variables must be an object",
		`{"query":"{hello}","variables":{"a":[1,2,}}`:  "not valid JSON at byte",
		`{"query":"{hello}","variables":{"a":1,"a":1}`: "a key twice",
	} {
		if got := e.post(t, "", body); !strings.Contains(got.body, hint) {
			t.Errorf("%s is answered without %q: %s", body, hint, got.body)
		}
	}
}

func TestPOST_never_echoes_a_malformed_body(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	for _, body := range []string{ // GQ14
		`{"query":"{hello}","variables":{"password":"hunter2"`,
		`{"query":"{hello}","variables":{"password":hunter2}}`,
		`{"query":"{hello}","variables":"hunter2"}`,
		`{"query":"{hello}","operationName":["hunter2"]}`,
		`{"query":"{hello}","hunter2":1,"hunter2":1}`,
		`{"query":"query hunter{hello}","operationName":"hunter2"}`,
		`{"query":"{hello}"} hunter2`,
		`"hunter2"`,
		`hunter2`,
	} {
		got := e.post(t, "application/graphql-response+json", body)
		if got.status != 400 || strings.Contains(got.body, "hunter2") {
			t.Errorf("%s is answered with %d %s", body, got.status, got.body)
		}
	}
}

func TestPOST_content(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	body := `{"query":"mutation{bump}"}`
	for name, test := range map[string]struct {
		header http.Header
		status int
	}{
		"json":                      {http.Header{"Content-Type": {"application/json"}}, 200},
		"json_in_utf8":              {http.Header{"Content-Type": {`application/json; charset="UTF-8"`}}, 200},
		"json_in_capitals":          {http.Header{"Content-Type": {"Application/JSON"}}, 200},
		"identity":                  {http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, 200},
		"GQ16_text":                 {http.Header{"Content-Type": {"text/plain"}}, 415},
		"GQ16_urlencoded":           {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		"GQ16_multipart":            {http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, 415},
		"none":                      {http.Header{}, 415},
		"malformed":                 {http.Header{"Content-Type": {"application/json; ="}}, 415},
		"json_hidden_in_parameter":  {http.Header{"Content-Type": {"text/plain; a=application/json"}}, 415},
		"json_in_another_charset":   {http.Header{"Content-Type": {"application/json; charset=utf-16"}}, 415},
		"compressed":                {http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 415},
		"graphql_response_not_body": {http.Header{"Content-Type": {"application/graphql-response+json"}}, 415},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := e.do(t, http.MethodPost, "", test.header, strings.NewReader(body))
			if got.status != test.status {
				t.Fatalf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if test.status == 415 && (got.code(t) != "BAD_USER_INPUT" || got.header.Get("Content-Type") != typeJSON) {
				t.Errorf("answered with %v %s", got.header, got.body)
			}
		})
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

// counter is a body of ten megabytes that counts what is read of it.
type counter struct{ n int }

func (c *counter) Len() int { return 10 << 20 }

func (c *counter) Read(p []byte) (int, error) {
	if c.n >= c.Len() {
		return 0, io.EOF
	}
	c.n += len(p)
	return len(p), nil
}

func TestPOST_body_limits(t *testing.T) {
	t.Parallel()
	header := http.Header{"Content-Type": {"application/json"}}

	t.Run("GQ13_ten_megabytes", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{})
		// A client that asks whether it may send its body is refused before it has sent a byte.
		e.Client().Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
		sent := &counter{}
		large := http.Header{"Content-Type": {"application/json"}, "Expect": {"100-continue"}}
		got := e.do(t, http.MethodPost, "", large, sent)
		if got.status != 413 || got.code(t) != "BAD_USER_INPUT" || sent.n != 0 {
			t.Errorf("answered with %d %s after %d bytes", got.status, got.body, sent.n)
		}
	})
	t.Run("GQ13_chunked_without_end", func(t *testing.T) {
		t.Parallel()
		recorder := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/graphql", endless{})
		r.ContentLength = -1
		r.Header = header.Clone()
		transport.Handler(newSchema().executor(), transport.POST{}).ServeHTTP(recorder, r)
		if recorder.Code != 413 {
			t.Errorf("answered with %d %s", recorder.Code, recorder.Body)
		}
	})
	t.Run("GQ13_chunked_that_stalls", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{ReadTimeout: 50 * time.Millisecond}, transport.GET{})
		body, w := io.Pipe()
		t.Cleanup(func() { _ = w.Close() })
		got := e.do(t, http.MethodPost, "", header, body)
		if got.status != 408 || got.code(t) != "BAD_USER_INPUT" {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("largest_allowed", func(t *testing.T) {
		t.Parallel()
		body := `{"query":"{hello}"}`
		e := newEndpoint(t, transport.POST{MaxBytes: int64(len(body))}, transport.GET{})
		if got := e.post(t, "", body); got.status != 200 {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
		if got := e.post(t, "", body+" "); got.status != 413 {
			t.Errorf("one byte more is answered with %d %s", got.status, got.body)
		}
		unknownLength := io.MultiReader(strings.NewReader(body + " "))
		if got := e.do(t, http.MethodPost, "", header, unknownLength); got.status != 413 {
			t.Errorf("one byte more in chunks is answered with %d %s", got.status, got.body)
		}
	})
}

func TestPOST_operation_that_yields_nothing(t *testing.T) {
	t.Parallel()
	around := func(middleware graphql.OperationMiddleware) func(*executor.Executor) {
		return func(exec *executor.Executor) { exec.AroundOperations(middleware) }
	}
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{},
			around(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
				ctx, cancel := context.WithDeadline(ctx, time.Now())
				t.Cleanup(cancel)
				return next(ctx)
			}))
		got := e.post(t, "", `{"query":"{hello}"}`)
		if got.status != 503 || got.code(t) != "UNAVAILABLE" {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("nil", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{},
			around(func(context.Context, graphql.OperationHandler) graphql.ResponseHandler {
				return func(context.Context) *graphql.Response { return nil }
			}))
		got := e.post(t, "", `{"query":"{hello}"}`)
		if got.status != 500 || got.code(t) != "INTERNAL" {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("neither_data_nor_errors", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{},
			around(func(context.Context, graphql.OperationHandler) graphql.ResponseHandler {
				return graphql.OneShot(&graphql.Response{})
			}))
		got := e.post(t, "", `{"query":"{hello}"}`)
		if got.status != 500 || got.code(t) != "INTERNAL" {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("errors_of_an_interceptor_are_capped", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{},
			around(func(context.Context, graphql.OperationHandler) graphql.ResponseHandler {
				errs := make(gqlerror.List, 11)
				for i := range errs {
					errs[i] = &gqlerror.Error{Message: fmt.Sprintf("failure %d", i)}
				}
				return graphql.OneShot(&graphql.Response{Errors: errs})
			}))
		got := e.post(t, "", `{"query":"{hello}"}`)
		if want := `{"errors":[` + failures(10) + `],"extensions":{"errorsOmitted":1}}`; got.status != 200 || got.body != want {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("nil_from_a_response_extension", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{}, func(exec *executor.Executor) {
			exec.AroundResponses(func(context.Context, graphql.ResponseHandler) *graphql.Response { return nil })
		})
		got := e.post(t, "", `{"query":"{"}`)
		if got.status != 200 || got.code(t) != "GRAPHQL_PARSE_FAILED" {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("refusal_of_an_interceptor", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{},
			around(func(ctx context.Context, _ graphql.OperationHandler) graphql.ResponseHandler {
				return graphql.OneShot(graphql.ErrorResponse(ctx, "no"))
			}))
		got := e.post(t, "application/graphql-response+json", `{"query":"{hello}"}`)
		if got.status != 400 || got.body != `{"errors":[{"message":"no"}]}` {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
}

func TestPOST_body_that_ends_too_early(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, transport.POST{}, transport.GET{})
	conn, err := net.Dial("tcp", e.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("answered with %d", response.StatusCode)
	}
}

func TestPOST_panics(t *testing.T) {
	t.Parallel()
	t.Run("abort_drops_the_connection", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{})
		response, err := e.Client().Post(e.URL, "application/json", strings.NewReader(`{"query":"{aborting}"}`))
		if err == nil {
			response.Body.Close()
			t.Errorf("answered with %d", response.StatusCode)
		}
	})
	t.Run("error_without_a_code_gets_one", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, transport.POST{}, transport.GET{}, func(exec *executor.Executor) {
			exec.SetRecoverFunc(func(context.Context, any) error { return errors.New("masked") })
		})
		got := e.post(t, "", `{"query":"{panicking}"}`)
		if want := `{"errors":[{"message":"masked","extensions":{"code":"INTERNAL"}}]}`; got.status != 500 || got.body != want {
			t.Errorf("answered with %d %s", got.status, got.body)
		}
	})
	t.Run("executor_that_presents_none", func(t *testing.T) {
		t.Parallel()
		exec := struct{ graphql.GraphExecutor }{newSchema().executor()}
		recorder := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"{panicking}"}`))
		r.Header.Set("Content-Type", "application/json")
		transport.Handler(exec, transport.POST{}).ServeHTTP(recorder, r)
		if recorder.Code != 500 || strings.Contains(recorder.Body.String(), "secret") {
			t.Errorf("answered with %d %s", recorder.Code, recorder.Body)
		}
	})
}
