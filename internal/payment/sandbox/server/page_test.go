package server_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
)

// TestServer_page leads customers to the bank's page and back.
func TestServer_page(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(nil)
	s := open(t, func(o *server.Options) { o.Pages = "http://" + web.Listener.Addr().String() })
	web.Config.Handler = s
	web.Start()
	t.Cleanup(web.Close)
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	g := inProcess(s)
	for answer, want := range map[string]payment.ChargeStatus{"accept": payment.ChargeAuthorized, "refuse": payment.ChargeDeclined} {
		charge, err := g.Authorize(t.Context(), answer, payment.Request{
			Amount: nzd(123456), Token: sandbox.TokenChallenge, ReturnURL: "https://tickets.example/" + answer,
		})
		next, ok := charge.Next.(payment.Redirect)
		if err != nil || !ok {
			t.Fatalf("the charge is %+v, %v", charge, err)
		}
		if text := get(t, browser, next.URL); !strings.Contains(text, "1,234.56") || !strings.Contains(text, `value="accept"`) {
			t.Errorf("the page is %s", text)
		}
		if status, _ := post(t, browser, next.URL, "maybe"); status != http.StatusBadRequest {
			t.Errorf("maybe is answered %d", status)
		}
		if status, location := post(t, browser, next.URL, answer); status != http.StatusSeeOther || location != "https://tickets.example/"+answer {
			t.Errorf("%s is answered %d, and leads to %s", answer, status, location)
		}
		if charge, err := g.Lookup(t.Context(), answer); err != nil || charge.Status != want || charge.Next != nil {
			t.Errorf("after %s the charge is %+v, %v", answer, charge, err)
		}
		// Who comes again changes nothing.
		post(t, browser, next.URL, "refuse")
		if charge, err := g.Lookup(t.Context(), answer); err != nil || charge.Status != want {
			t.Errorf("after %s and another answer the charge is %+v, %v", answer, charge, err)
		}
		if text := get(t, browser, next.URL); strings.Contains(text, "button") {
			t.Errorf("the page still asks: %s", text)
		}
	}
	t.Run("no_answer_to_a_refund", func(t *testing.T) {
		charge, err := g.Authorize(t.Context(), "refunded", payment.Request{Amount: nzd(100), Token: sandbox.TokenChallenge})
		next, ok := charge.Next.(payment.Redirect)
		if err != nil || !ok {
			t.Fatalf("the charge is %+v, %v", charge, err)
		}
		post(t, browser, next.URL, "accept")
		if _, err := g.Capture(t.Context(), "refunded", nzd(100)); err != nil {
			t.Fatal(err)
		}
		if err := s.Inject(server.Fault{Op: server.Refund, Do: server.Pend, Times: 1}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			refund, err := g.Refund(t.Context(), "refunded", "refunded/refund", nzd(100))
			if err != nil || refund.Status != payment.RefundPending {
				t.Errorf("the refund is %+v, %v", refund, err)
			}
			post(t, browser, next.URL, "refuse")
		}
	})
}

func get(t *testing.T, browser *http.Client, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func post(t *testing.T, browser *http.Client, address, said string) (status int, location string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(url.Values{"answer": {said}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Location")
}
