package graph_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"marquee/internal/apitest"
)

// TestRequestErrors holds the answers to requests that are not executed: their status, one error with a code and the
// id of the request, no data key, nothing of the request itself, and not for any cache.
func TestRequestErrors(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare())
	c := a.Anonymous()
	const secret = "hunter2"
	for name, test := range map[string]struct {
		method, parameters, body string
		header                   []string
		status                   int
		says                     string
	}{
		"no_json":             {"POST", "", `{"password":"` + secret, nil, 400, "ends in the middle"},
		"a_list":              {"POST", "", `[{"query":"{me{id}}"},{"query":"{me{id}}"}]`, nil, 400, "one operation per request"},
		"no_text":             {"POST", "", `{"variables":{"password":"` + secret + `"}}`, nil, 400, "query is missing"},
		"an_id_of_no_text":    {"POST", "", `{"documentId":1}`, nil, 400, "documentId must be a string"},
		"a_relay_id_of_none":  {"POST", "", `{"id":{"` + secret + `":1}}`, nil, 400, "id must be a string"},
		"too_long_an_id":      {"POST", "", `{"documentId":"` + strings.Repeat("x", 257) + `"}`, nil, 400, "at most 256 bytes"},
		"defer":               {"POST", "", `{"query":"{...@defer{me{id}}}"}`, []string{"Accept", "application/graphql-response+json"}, 400, "@defer"},
		"stream":              {"POST", "", `{"query":"{genres @stream{id}}"}`, []string{"Accept", "application/graphql-response+json"}, 400, "@stream"},
		"subscription":        {"POST", "", `{"query":"subscription{seatMapChanged(showtimeId:\"x\"){__typename}}"}`, nil, 400, "text/event-stream"},
		"mutation_by_get":     {"GET", "query=mutation{signOut{signedOut}}", "", nil, 405, "send it with POST"},
		"another_method":      {"PUT", "", `{"query":"{me{id}}"}`, nil, 405, "with POST"},
		"nothing_acceptable":  {"POST", "", `{"query":"{me{id}}"}`, []string{"Accept", "text/html"}, 406, "accept one of them"},
		"too_large":           {"POST", "", `{"query":"` + strings.Repeat(" ", 100<<10) + `"}`, nil, 413, "larger than"},
		"too_long_an_address": {"GET", "query=" + strings.Repeat("+", 17<<10), "", nil, 414, "longer than"},
		"a_form":              {"POST", "", "query={me{id}}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		"compressed":          {"POST", "", "{}", []string{"Content-Encoding", "gzip"}, 415, "not supported"},
		"cookie_alone":        {"GET", "query=" + url.QueryEscape("{me{id}}"), "", []string{"Cookie", "marquee=" + secret}, 403, "must carry the header"},
		"another_site":        {"POST", "", `{"query":"{me{id}}"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "not allowed"},
		"no_bearer":           {"POST", "", `{"query":"{me{id}}"}`, []string{"Authorization", "Basic " + secret}, 401, "scheme Bearer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), test.method, c.URL+"?"+test.parameters, io.NopCloser(strings.NewReader(test.body)))
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = int64(len(test.body))
			if test.method != http.MethodGet {
				r.Header.Set("Content-Type", "application/json")
			}
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Set(test.header[i], test.header[i+1])
			}
			answer := c.With(t).Send(r)
			var body map[string]json.RawMessage
			var errs []struct {
				Message    string
				Extensions struct{ Code, RequestID string }
			}
			if err := json.Unmarshal(answer.Body, &body); err != nil || json.Unmarshal(body["errors"], &errs) != nil || len(errs) != 1 || body["data"] != nil {
				t.Fatalf("%s (%v)", answer, err)
			}
			if answer.Status != test.status || !strings.Contains(errs[0].Message, test.says) || errs[0].Extensions.Code == "" {
				t.Errorf("%s, want %d with %q", answer, test.status, test.says)
			}
			if id := answer.Header.Get("X-Request-Id"); id == "" || errs[0].Extensions.RequestID != id {
				t.Errorf("the error is of request %q, the answer of %q", errs[0].Extensions.RequestID, id)
			}
			if !strings.Contains(answer.Header.Get("Cache-Control"), "no-store") {
				t.Errorf("Cache-Control is %q", answer.Header.Get("Cache-Control"))
			}
			if strings.Contains(string(answer.Body), secret) || strings.Contains(a.Logged(), secret) {
				t.Errorf("the request is told: %s", answer)
			}
		})
	}
}
