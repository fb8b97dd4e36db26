package apitest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
)

// Webhook is what a gateway sends, or what somebody sends in its name.
type Webhook struct {
	Header http.Header
	Body   []byte
}

// Signed returns a webhook as the bank signs it with a secret at a moment; the bank's own is BankSecret.
func Signed(secret string, body []byte, at time.Time) Webhook {
	return Webhook{Header: http.Header{sandbox.SignatureHeader: {sandbox.Sign(secret, body, at)}}, Body: body}
}

// Tell returns a webhook of the bank that tells of a charge, signed at a moment.
func Tell(t testing.TB, id string, kind payment.EventKind, c sandbox.Charge, at time.Time) Webhook {
	t.Helper()
	body, err := json.Marshal(sandbox.Notice{ID: id, Kind: kind, OccurredAt: at, Charge: c})
	if err != nil {
		t.Fatal(err)
	}
	return Signed(BankSecret, body, at)
}

// Deliver sends a webhook to a path and returns the status of the answer, 0 when there is none, which fails the test. Safe in any goroutine.
func (a *App) Deliver(path string, w Webhook) int {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.URL+path, bytes.NewReader(w.Body))
	if err != nil {
		a.t.Error(err)
		return 0
	}
	r.Header = w.Header.Clone()
	r.Header.Set("Content-Type", "application/json")
	answer, err := a.http.Do(r)
	if err != nil {
		a.t.Error(err)
		return 0
	}
	if err := answer.Body.Close(); err != nil {
		a.t.Error(err)
	}
	return answer.StatusCode
}
