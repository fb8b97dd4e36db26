package sandbox_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
)

// TestGateway_believes_no_stranger: what is not the sandbox's answer says nothing, however it looks; nothing else is asked.
func TestGateway_believes_no_stranger(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		kind   string
		body   string
	}{
		"a_page":                    {200, "text/html", "<html>Welcome to our hotel</html>"},
		"a_page_that_is_not_there":  {404, "text/html", "<html>Not found</html>"},
		"no_such_charge_of_another": {200, "application/json", `{"code":"NO_SUCH_CHARGE"}`},
		"a_refusal_of_another":      {403, "application/json", `{"code":"REFUSED"}`},
		"an_empty_refusal":          {422, "application/json", `{}`},
		"ten_megabytes":             {200, "application/json", `{"key":"key","status":"AUTHORIZED","reference":"` + strings.Repeat("x", 10<<20) + `"}`},
		"half_an_answer":            {200, "application/json", `{"key":"key","status":"AUTHO`},
		"another_charge":            {200, "application/json", `{"key":"yek","status":"AUTHORIZED"}`},
		"a_failure":                 {500, "application/json", `{"code":"NOT_WRITTEN"}`},
		"a_way_to_somewhere_else":   {302, "application/json", `{"key":"key","status":"AUTHORIZED"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var elsewhere atomic.Int32
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					elsewhere.Add(1)
				}
				w.Header().Set("Content-Type", test.kind)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body)) // a client that has read enough hangs up
			}))
			defer web.Close()
			lines := &http.Transport{DisableKeepAlives: true}
			g := sandbox.New(sandbox.Config{URL: web.URL, Key: "key", Transport: lines})
			charge, err := g.Authorize(t.Context(), "key", payment.Request{Amount: money.Money{AmountMinor: 1200, Currency: "NZD"}})
			if err == nil || errors.Is(err, payment.ErrNoSuchCharge) || errors.Is(err, payment.ErrRefused) || charge != (payment.Charge{}) {
				t.Errorf("it is told %+v, %v", charge, err)
			}
			if elsewhere.Load() != 0 {
				t.Error("it followed")
			}
		})
	}
}
