package gqlclient_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/gqlclient"
)

// exchange is what a fake server was asked, and what it answers.
type exchange struct {
	status int
	answer string

	header http.Header
	body   string
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.header, e.body = r.Header.Clone(), string(body)
	w.WriteHeader(e.status)
	_, _ = io.WriteString(w, e.answer)
}

func serve(t *testing.T, handler http.Handler) gqlclient.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return gqlclient.Client{URL: server.URL, HTTP: server.Client()}
}

func TestClient_Do(t *testing.T) {
	t.Parallel()

	t.Run("sends the operation as JSON and decodes its data", func(t *testing.T) {
		t.Parallel()
		e := &exchange{status: http.StatusOK, answer: `{"data":{"me":{"name":"Ada"}}}`}
		client := serve(t, e)
		client.Token = "mqs_secret"
		var out struct{ Me struct{ Name string } }
		if err := client.Do(t.Context(), "query($a:Int){me{name}}", map[string]any{"a": 1}, &out); err != nil {
			t.Fatal(err)
		}
		if out.Me.Name != "Ada" {
			t.Errorf("decoded %+v", out)
		}
		if want := `{"query":"query($a:Int){me{name}}","variables":{"a":1}}`; e.body != want {
			t.Errorf("sent %s, not %s", e.body, want)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Authorization": "Bearer mqs_secret", "Accept": "application/graphql-response+json",
		} {
			if got := e.header.Get(name); got != want {
				t.Errorf("sent %s: %s, not %s", name, got, want)
			}
		}
	})

	t.Run("an anonymous visitor without variables sends neither", func(t *testing.T) {
		t.Parallel()
		e := &exchange{status: http.StatusOK, answer: `{"data":{}}`}
		if err := serve(t, e).Do(t.Context(), "{me{id}}", nil, nil); err != nil {
			t.Fatal(err)
		}
		if e.body != `{"query":"{me{id}}"}` || e.header.Get("Authorization") != "" {
			t.Errorf("sent %s with Authorization %q", e.body, e.header.Get("Authorization"))
		}
	})

	t.Run("errors keep code, path, fields, request id and the data beside them", func(t *testing.T) {
		t.Parallel()
		e := &exchange{status: http.StatusOK, answer: `{"errors":[{"message":"No.","path":["a",0],"extensions":{
			"code":"BAD_USER_INPUT","requestId":"r1","fields":[{"path":"input.x","message":"Bad."}]}}],"data":{"a":7}}`}
		var out struct{ A int }
		err := serve(t, e).Do(t.Context(), "{a}", nil, &out)
		failed, ok := errors.AsType[*gqlclient.Error](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		want := []gqlclient.Problem{{
			Message: "No.", Path: []any{"a", 0.0}, Code: apperr.BadUserInput, RequestID: "r1",
			Fields: []apperr.FieldError{{Path: "input.x", Message: "Bad."}},
		}}
		if failed.Status != http.StatusOK || !reflect.DeepEqual(failed.Problems, want) {
			t.Errorf("got %+v", failed)
		}
		if gqlclient.CodeOf(err) != apperr.BadUserInput || out.A != 7 {
			t.Errorf("code %q, data %+v", gqlclient.CodeOf(err), out)
		}
		if got := err.Error(); got != "answer 200: BAD_USER_INPUT No. (input.x: Bad.)" {
			t.Errorf("it reads %q", got)
		}
	})

	for name, e := range map[string]*exchange{
		"a refusal keeps its status":                  {status: http.StatusBadRequest, answer: `{"errors":[{"message":"No."}]}`},
		"an answer of a proxy is an error":            {status: http.StatusBadGateway, answer: "<html>"},
		"an object that is no response is an error":   {status: http.StatusOK, answer: `{}`},
		"data under a status of failure is an error":  {status: http.StatusInternalServerError, answer: `{"data":{"a":1}}`},
		"an answer that is cut in the middle is seen": {status: http.StatusOK, answer: `{"data":{"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := serve(t, e).Do(t.Context(), "{a}", nil, nil)
			failed, ok := errors.AsType[*gqlclient.Error](err)
			if !ok || failed.Status != e.status {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestClient_Send(t *testing.T) {
	t.Parallel()
	e := &exchange{status: http.StatusBadRequest, answer: `{"errors":[{"message":"No.","extensions":{"code":"BAD_USER_INPUT"}}]}`}
	err := serve(t, e).Send(t.Context(), []byte(`{"query":`), nil)
	if e.body != `{"query":` || json.Valid([]byte(e.body)) {
		t.Errorf("sent %s", e.body)
	}
	if gqlclient.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("got %v", err)
	}
}
