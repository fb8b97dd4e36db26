package stripe_test

import (
	"bufio"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/clock"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// Every request that the adapter makes is one of Stripe's API: stripe-mock, which the module names as a tool, holds them against
// the published description. It keeps no state, so that what the double was asked is asked again of it.
func TestGateway_requests_are_those_of_the_api(t *testing.T) {
	t.Parallel()
	asked := everyRequest(t)
	address := startMock(t)
	var calls []string
	for _, request := range asked {
		call := request.method + " " + regexp.MustCompile(`(pi|re)_\d+`).ReplaceAllString(request.path, "$1")
		if !slices.Contains(calls, call) {
			calls = append(calls, call)
		}
		// Cancelling and closing are the same however often they are done.
		natural := strings.HasSuffix(call, "/cancel") || request.form.Has("metadata[marquee_declined_as]")
		if request.method == http.MethodPost && strings.HasPrefix(request.key, "marquee/") == natural {
			t.Errorf("%s with %v has the idempotency key %q", call, request.form, request.key)
		}
		if status, answer := ask(t, address, request); status != http.StatusOK {
			t.Errorf("%s with %v gives %d: %s", call, request.form, status, answer)
		}
	}
	slices.Sort(calls)
	want := []string{
		"GET /v1/payment_intents", "GET /v1/payment_intents/pi", "GET /v1/payment_intents/search", "GET /v1/refunds", "GET /v1/refunds/re",
		"POST /v1/payment_intents", "POST /v1/payment_intents/pi", "POST /v1/payment_intents/pi/cancel",
		"POST /v1/payment_intents/pi/capture", "POST /v1/payment_intents/pi/confirm", "POST /v1/refunds",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("the calls are %q, want %q", calls, want)
	}
	// stripe-mock notices what is not of the API.
	for name, value := range map[string]string{"amount": "abc", "amuont": "1200"} {
		wrong := exchange{method: http.MethodPost, path: "/v1/payment_intents", form: map[string][]string{"currency": {"nzd"}, "amount": {"1200"}}}
		wrong.form.Set(name, value)
		if status, _ := ask(t, address, wrong); status != http.StatusBadRequest {
			t.Errorf("%s=%s gives %d", name, value, status)
		}
	}
}

// everyRequest leads a double through all that the adapter does, and returns what it asked.
func everyRequest(t *testing.T) []exchange {
	t.Helper()
	now := clock.NewFake(time.Now())
	d, gateway := open(t, now)
	for _, request := range []payment.Request{
		{Amount: nzd(1200), Token: "pm_3ds", ReturnURL: "https://tickets.example/back"}, pays(""), pays("pm_declined_do_not_honor"), pays("pm_processing"),
	} {
		key := typeid.New().String()
		must(t)(gateway.Authorize(t.Context(), key, request))
		must(t)(gateway.Void(t.Context(), key))
	}
	key := typeid.New().String()
	must(t)(gateway.Authorize(t.Context(), key, good))
	must(t)(gateway.Capture(t.Context(), key, nzd(1100)))
	refund := func() {
		if _, err := gateway.Refund(t.Context(), key, key+"/refund", nzd(slow)); err != nil {
			t.Fatal(err)
		}
	}
	refund()
	// The same at the same time: the list does not yet have what the idempotency key finds.
	d.refunds[0].Metadata = nil
	refund()
	d.forget()
	now.Advance(25 * time.Hour)
	must(t)(gateway.Lookup(t.Context(), key))
	if _, _, err := gateway.Booked(t.Context(), time.Now().Add(-time.Hour), time.Now(), d.of(key).ID); err != nil {
		t.Fatal(err)
	}
	return d.requests
}

// ask makes a request of stripe-mock.
func ask(t *testing.T, address string, e exchange) (status int, answer string) {
	t.Helper()
	target, body := "http://"+address+e.path, e.form.Encode()
	if e.method == http.MethodGet {
		target, body = target+"?"+body, ""
	}
	request, err := http.NewRequestWithContext(t.Context(), e.method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secretKey)
	if e.method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(said)
}

// startMock runs stripe-mock until the test ends, and returns its address.
func startMock(t *testing.T) string {
	t.Helper()
	program, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "stripe-mock").Output()
	if err != nil {
		t.Fatalf("go tool stripe-mock, which the module proxy has: %v", err)
	}
	mock := exec.CommandContext(t.Context(), strings.TrimSpace(string(program)), "-http-addr", "127.0.0.1:0")
	out, err := mock.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mock.Process.Kill()
		_ = mock.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "Listening for HTTP at address: "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return address
		}
	}
	t.Fatalf("stripe-mock does not listen: %v", lines.Err())
	return ""
}
