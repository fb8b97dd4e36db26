package razorpay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Error is Razorpay's refusal of a request, or a failure of its own. It says nothing about whether the request had an effect.
type Error struct {
	Status      int    // of HTTP
	Code        string // BAD_REQUEST_ERROR, GATEWAY_ERROR, SERVER_ERROR; "" when the answer was none of Razorpay's
	Description string
	Field       string // of the request, that is wrong
	Reason      string
}

// Error says what Razorpay says.
func (e *Error) Error() string {
	return fmt.Sprintf("razorpay: status %d: %s: %s (field %q, reason %q)", e.Status, cmp.Or(e.Code, "no answer of the API"), e.Description, e.Field, e.Reason)
}

// call is one request to the API.
type call struct {
	method, path string
	query        url.Values
	body         any    // nil: none
	once         string // the idempotency key of a refund
}

// maxAnswer bounds what is read of an answer: a hundred orders with their payments are a tenth of it, and what is cut off is no
// JSON.
const maxAnswer = 2 << 20

// call makes a request and reads the answer into out, unless that is nil. Every error but Error means that no answer was
// understood.
func (g *Gateway) call(ctx context.Context, c call, out any) error {
	var body io.Reader
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return fmt.Errorf("razorpay: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, g.cfg.URL+c.path, body)
	if err != nil {
		return fmt.Errorf("razorpay: %w", err)
	}
	request.URL.RawQuery = c.query.Encode()
	request.SetBasicAuth(g.cfg.KeyID, g.cfg.KeySecret)
	request.Header.Set("Accept", "application/json")
	if c.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.once != "" {
		request.Header.Set("X-Refund-Idempotency", c.once)
	}
	response, err := g.client.Do(request)
	if err != nil {
		return fmt.Errorf("razorpay: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("razorpay: reading the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("razorpay: an answer that is none: %w", err)
	}
	return nil
}

// refusal reads what an answer says is wrong. Whatever it cannot read is left out, since it may be anybody's page.
func refusal(status int, text []byte) *Error {
	var answer struct {
		Error struct {
			Code        string `json:"code"`
			Description string `json:"description"`
			Field       string `json:"field"`
			Reason      string `json:"reason"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return &Error{Status: status}
	}
	e := answer.Error
	return &Error{Status: status, Code: brief(e.Code), Description: brief(e.Description), Field: brief(e.Field), Reason: brief(e.Reason)}
}

// brief keeps a foreign text to the length of a sentence.
func brief(text string) string {
	const sentence = 200
	return strings.ToValidUTF8(text[:min(len(text), sentence)], "")
}
