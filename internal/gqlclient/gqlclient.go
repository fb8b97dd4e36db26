// Package gqlclient is a small client of the GraphQL API, for the programs and tests that drive Marquee from outside.
//
// It speaks what a client on the network speaks: POST for queries and mutations, graphql-transport-ws for
// subscriptions. It knows no type of the schema, retries nothing, reconnects nothing and caches nothing: whoever judges
// the server must see what the server did.
package gqlclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"marquee/internal/apperr"
)

// maxAnswer bounds what is read of one answer. The largest page that the API serves has less than a tenth of it.
const maxAnswer = 16 << 20

// Client calls one endpoint as one viewer. It is a value: copy it to change the viewer. Its methods may be called from
// several goroutines.
type Client struct {
	URL   string       // of the endpoint: http://127.0.0.1:8080/graphql
	Token string       // of the viewer's session; empty for an anonymous visitor
	HTTP  *http.Client // nil means a client with the standard library's transport
}

// request is the body of a POST and the payload of a subscription.
type request struct {
	Query     string `json:"query"`
	Variables any    `json:"variables,omitempty"`
}

// Do sends a query or mutation and decodes its data into out, which may be nil. Variables are anything that encodes to
// a JSON object, nil for none.
//
// An answer with errors is an *Error. Where it has data too, out is filled in all the same.
func (c Client) Do(ctx context.Context, query string, variables, out any) error {
	body, err := json.Marshal(request{query, variables})
	if err != nil {
		return fmt.Errorf("encode the variables: %w", err)
	}
	return c.Send(ctx, body, out)
}

// Send is Do with a request body as it is, well formed or not.
func (c Client) Send(ctx context.Context, body []byte, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("prepare a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/graphql-response+json")
	if c.Token != "" {
		r.Header.Set("Authorization", c.bearer())
	}
	client := c.HTTP
	if client == nil {
		client = &http.Client{}
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return decodeAnswer(answer.StatusCode, content, out)
}

func (c Client) bearer() string { return "Bearer " + c.Token }

// Error is an answer that says what went wrong.
type Error struct {
	// Status is that of the HTTP answer; 0 for an answer over a websocket.
	Status int
	// Problems are the errors of the answer in its order. There are none in an answer that is not of GraphQL's form.
	Problems []Problem
	// Text is the beginning of an answer that is not of GraphQL's form.
	Text string
}

// Problem is one error of an answer.
type Problem struct {
	Message   string
	Path      []any // names and list indexes from the root of the data; nil for the request as a whole
	Code      apperr.Code
	Fields    []apperr.FieldError
	RequestID string
}

// Error tells everything, for a person.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("answer")
	if e.Status != 0 {
		fmt.Fprintf(&b, " %d", e.Status)
	}
	for i, p := range e.Problems {
		separator := ";"
		if i == 0 {
			separator = ":"
		}
		fmt.Fprintf(&b, "%s %s %s", separator, p.Code, p.Message)
		for _, field := range p.Fields {
			fmt.Fprintf(&b, " (%s: %s)", field.Path, field.Message)
		}
	}
	if e.Text != "" {
		fmt.Fprintf(&b, ": %q", e.Text)
	}
	return b.String()
}

// CodeOf returns the code of the first problem of an *Error in err's chain; "" where there is none.
func CodeOf(err error) apperr.Code {
	if e, ok := errors.AsType[*Error](err); ok && len(e.Problems) > 0 {
		return e.Problems[0].Code
	}
	return ""
}

// result is a GraphQL response.
type result struct {
	Data   json.RawMessage `json:"data"`
	Errors []fault         `json:"errors"`
}

// fault is an error as it travels.
type fault struct {
	Message    string `json:"message"`
	Path       []any  `json:"path"`
	Extensions struct {
		Code      apperr.Code `json:"code"`
		RequestID string      `json:"requestId"`
		Fields    []struct {
			Path    string `json:"path"`
			Message string `json:"message"`
		} `json:"fields"`
	} `json:"extensions"`
}

// decodeAnswer reads the body of an HTTP answer. Success is data without errors, under status 200.
func decodeAnswer(status int, body []byte, out any) error {
	var r result
	if err := json.Unmarshal(body, &r); err != nil || len(r.Data) == 0 && len(r.Errors) == 0 {
		const telling = 200
		return &Error{Status: status, Text: string(body[:min(len(body), telling)])}
	}
	if err := r.decode(status, out); err != nil {
		return err
	}
	if status != http.StatusOK {
		return &Error{Status: status}
	}
	return nil
}

// decode fills in out and returns the errors of the response.
func (r result) decode(status int, out any) error {
	if out != nil && len(r.Data) > 0 {
		if err := json.Unmarshal(r.Data, out); err != nil {
			return fmt.Errorf("decode the data of an answer: %w", err)
		}
	}
	if len(r.Errors) == 0 {
		return nil
	}
	return &Error{Status: status, Problems: problems(r.Errors)}
}

func problems(faults []fault) []Problem {
	list := make([]Problem, len(faults))
	for i, f := range faults {
		list[i] = Problem{Message: f.Message, Path: f.Path, Code: f.Extensions.Code, RequestID: f.Extensions.RequestID}
		for _, field := range f.Extensions.Fields {
			list[i].Fields = append(list[i].Fields, apperr.FieldError{Path: field.Path, Message: field.Message})
		}
	}
	return list
}
