package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"marquee/internal/clock"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "NZD"} }

const secret = "a secret for webhooks"

// open starts a gateway that ends with the test.
func open(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := server.Options{
		Journal: filepath.Join(t.TempDir(), "journal.jsonl"), Key: "key", Pages: "https://bank.example", Secret: secret,
		Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	s, err := server.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// inProcess is a client of a gateway without a network between.
func inProcess(s *server.Server) *sandbox.Gateway {
	return sandbox.New(sandbox.Config{URL: "http://sandbox", Key: "key", Secrets: []string{secret}, Transport: s.Transport()})
}

// overHTTP is a client of a gateway on a port of its own.
func overHTTP(t *testing.T, s http.Handler) *sandbox.Gateway {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	lines := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(lines.CloseIdleConnections)
	return sandbox.New(sandbox.Config{URL: web.URL, Key: "key", Secrets: []string{secret}, Transport: lines})
}

func subject(s *server.Server, g *sandbox.Gateway) gatewaytest.Subject {
	return gatewaytest.Subject{
		Gateway: g,
		Good:    payment.Request{Amount: nzd(1200)},
		Declined: map[string]payment.Request{
			"do_not_honor": {Amount: nzd(1205)}, "insufficient_funds": {Amount: nzd(1251)}, "expired_card": {Amount: nzd(1254)},
		},
		LostAnswer: payment.Request{Amount: nzd(1291)},
		Action:     payment.Request{Amount: nzd(1200), Token: sandbox.TokenChallenge, ReturnURL: "https://tickets.example/paid"},
		Processing: payment.Request{Amount: nzd(1200), Token: sandbox.TokenSlow},
		SlowRefund: nzd(77),
		Resolve: func(_ context.Context, key string, well bool) error {
			_, err := s.Resolve(key, well)
			return err
		},
		RefundByHand: func(_ context.Context, key string, amount money.Money) error {
			_, err := s.RefundByHand(key, amount.AmountMinor, amount.Currency)
			return err
		},
		Webhook: func(ctx context.Context, key string, at time.Time) (http.Header, []byte, error) {
			charge, err := g.Lookup(ctx, key)
			if err != nil {
				return nil, nil, err
			}
			body, err := json.Marshal(sandbox.Notice{ID: "evt_1", Kind: payment.EventCharge, OccurredAt: at, Charge: sandbox.Charge{
				Key: key, Reference: charge.Reference, Status: charge.Status, Currency: "NZD", CapturedMinor: charge.Captured.AmountMinor,
			}})
			return http.Header{sandbox.SignatureHeader: {sandbox.Sign(secret, body, at)}}, body, err
		},
	}
}

func TestGateway_conforms(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(*server.Server) *sandbox.Gateway{
		"in_process": inProcess, "over_HTTP": func(s *server.Server) *sandbox.Gateway { return overHTTP(t, s) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, nil)
			if err := s.Inject(server.Fault{Op: server.Refund, Do: server.Pend, AmountMinor: 77}); err != nil {
				t.Fatal(err)
			}
			g := client(s)
			gatewaytest.Run(t, func(*testing.T) gatewaytest.Subject { return subject(s, g) })
		})
	}
}

// TestOpen_remembers: what somebody was told is there after a crash, however its last line was torn, and nothing else.
func TestOpen_remembers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bank", "journal.jsonl")
	at := func(o *server.Options) { o.Journal = path }
	s := open(t, at)
	g := inProcess(s)
	want := map[string]payment.Charge{}
	for key, do := range map[string]func(key string) (payment.Charge, error){
		"authorized": func(key string) (payment.Charge, error) {
			return g.Authorize(t.Context(), key, payment.Request{Amount: nzd(1200)})
		},
		"declined": func(key string) (payment.Charge, error) {
			return g.Authorize(t.Context(), key, payment.Request{Amount: nzd(1251)})
		},
		"void": func(key string) (payment.Charge, error) { return g.Void(t.Context(), key) },
		"challenged": func(key string) (payment.Charge, error) {
			return g.Authorize(t.Context(), key, payment.Request{Amount: nzd(1200), Token: sandbox.TokenChallenge})
		},
		"refunded": func(key string) (payment.Charge, error) {
			_, first := g.Authorize(t.Context(), key, payment.Request{Amount: nzd(1200)})
			_, second := g.Capture(t.Context(), key, nzd(1000))
			_, third := g.Refund(t.Context(), key, key+"/1", nzd(300))
			charge, err := g.Lookup(t.Context(), key)
			return charge, errors.Join(first, second, third, err)
		},
	} {
		charge, err := do(key)
		if err != nil {
			t.Fatal(err)
		}
		want[key] = charge
	}
	if _, err := server.Open(server.Options{Journal: path, Key: "key", Clock: clock.System{}}); err == nil {
		t.Fatal("two processes have one journal")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Authorize(t.Context(), "late", payment.Request{Amount: nzd(1)}); err == nil {
		t.Error("a gateway that is closed answers")
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, torn := range map[string]string{"whole": "", "half a line": `{"number":8,"charge":{"key":"never`, "room": "\x00\x00\x00\x00"} {
		if err := os.WriteFile(path, append(slices.Clip(whole), torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, at)
		g := inProcess(s)
		for key, charge := range want {
			if found, err := g.Lookup(t.Context(), key); err != nil || found != charge {
				t.Errorf("%s: %s was %+v and is %+v, %v", name, key, charge, found, err)
			}
		}
		if refund, err := g.Refund(t.Context(), "refunded", "refunded/1", nzd(300)); err != nil || refund.Amount != nzd(300) {
			t.Errorf("%s: the refund is %+v, %v", name, refund, err)
		}
		if _, err := g.Refund(t.Context(), "refunded", "refunded/2", nzd(701)); !errors.Is(err, payment.ErrRefused) {
			t.Errorf("%s: a refund above the rest gives %v", name, err)
		}
		if _, err := s.Resolve("challenged", true); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if entries, err := server.ReadJournal(path); err != nil || len(entries) != strings.Count(string(whole), "\n")+1 {
			t.Errorf("%s: the journal has %d entries, %v", name, len(entries), err)
		}
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for name, text := range map[string]string{
		"a line of noise":  lines[0] + "noise\n" + strings.Join(lines[1:], ""),
		"a line too few":   strings.Join(lines[1:], ""),
		"a line twice":     lines[0] + string(whole),
		"a last line lies": string(whole) + "noise\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Open(server.Options{Journal: path, Key: "key", Clock: clock.System{}}); err == nil {
			t.Errorf("%s: the gateway opens", name)
		}
	}
}

// TestServer_tells_nobody_before_it_is_written: whoever was told finds it in the file, at that moment.
func TestServer_tells_nobody_before_it_is_written(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	g := inProcess(open(t, func(o *server.Options) { o.Journal = path }))
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			key := string(rune('A' + i))
			if _, err := g.Authorize(t.Context(), key, payment.Request{Amount: nzd(1200)}); err != nil {
				t.Error(err)
				return
			}
			entries, err := server.ReadJournal(path)
			found := false
			for _, e := range entries {
				found = found || e.Charge.Key == key
			}
			if !found || err != nil {
				t.Errorf("%s was told and is not in the journal: %v", key, err)
			}
		})
	}
	all.Wait()
}

func TestServer_faults(t *testing.T) {
	t.Parallel()
	type call func(ctx context.Context, g *sandbox.Gateway) error
	authorize := func(ctx context.Context, g *sandbox.Gateway) error {
		_, err := g.Authorize(ctx, "key", payment.Request{Amount: nzd(1200)})
		return err
	}
	capture := func(ctx context.Context, g *sandbox.Gateway) error {
		_, err := g.Capture(ctx, "key", nzd(1200))
		return err
	}
	for name, test := range map[string]struct {
		fault    server.Fault
		calls    []call
		unheard  bool // the last call has no answer
		status   payment.ChargeStatus
		captured int64
	}{
		"fails_before":   {server.Fault{Op: server.Authorize, Do: server.FailBefore}, []call{authorize}, true, "", 0},
		"fails_after":    {server.Fault{Op: server.Authorize, Do: server.FailAfter}, []call{authorize}, true, payment.ChargeAuthorized, 0},
		"hangs":          {server.Fault{Op: server.Authorize, Do: server.Hang}, []call{authorize}, true, "", 0},
		"is_late":        {server.Fault{Op: server.Authorize, Do: server.Delay, DelayMillis: 1}, []call{authorize}, false, payment.ChargeAuthorized, 0},
		"is_too_late":    {server.Fault{Op: server.Authorize, Do: server.Delay, DelayMillis: 60_000}, []call{authorize}, true, "", 0},
		"declines":       {server.Fault{Op: server.Authorize, Do: server.Decline, Code: "stolen_card"}, []call{authorize}, false, payment.ChargeDeclined, 0},
		"challenges":     {server.Fault{Op: server.Authorize, Do: server.Challenge}, []call{authorize}, false, payment.ChargeRequiresAction, 0},
		"pends":          {server.Fault{Op: server.Authorize, Do: server.Pend}, []call{authorize}, false, payment.ChargeProcessing, 0},
		"of_another_key": {server.Fault{Op: server.Authorize, Do: server.Hang, Key: "other"}, []call{authorize}, false, payment.ChargeAuthorized, 0},
		"of_more":        {server.Fault{Op: server.Authorize, Do: server.Hang, AmountMinor: 1201}, []call{authorize}, false, payment.ChargeAuthorized, 0},
		"once":           {server.Fault{Op: server.Authorize, Do: server.FailBefore, Times: 1}, []call{authorize, authorize}, false, payment.ChargeAuthorized, 0},
		"captures_half":  {server.Fault{Op: server.Capture, Do: server.Partial}, []call{authorize, capture}, false, payment.ChargeCaptured, 600},
		"captures_unheard": {
			server.Fault{Op: server.Capture, Do: server.FailAfter}, []call{authorize, capture}, true, payment.ChargeCaptured, 1200,
		},
	} {
		for way, client := range map[string]func(*server.Server) *sandbox.Gateway{
			"in_process": inProcess, "over_HTTP": func(s *server.Server) *sandbox.Gateway { return overHTTP(t, s) },
		} {
			t.Run(name+"_"+way, func(t *testing.T) {
				s := open(t, nil)
				g := client(s)
				if err := s.Inject(test.fault); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				var err error
				for _, call := range test.calls {
					err = call(ctx, g)
				}
				if (err != nil) != test.unheard || errors.Is(err, payment.ErrRefused) || errors.Is(err, payment.ErrNoSuchCharge) {
					t.Errorf("the answer is %v", err)
				}
				s.Heal()
				charge, err := g.Lookup(t.Context(), "key")
				if charge.Status != test.status || charge.Captured.AmountMinor != test.captured || (err != nil) != (test.status == "") {
					t.Errorf("the charge is %+v, %v", charge, err)
				}
			})
		}
	}
	t.Run("that_cannot_be_are_refused", func(t *testing.T) {
		s := open(t, nil)
		for _, fault := range []server.Fault{
			{},
			{Op: server.Capture, Do: server.Decline, Code: "x"},
			{Op: server.Authorize, Do: server.Decline},
			{Op: server.Lookup, Do: server.Delay},
			{Op: server.Lookup, Do: server.Hang, DelayMillis: 5},
			{Op: server.Lookup, Do: server.Hang, Times: -1},
			{Op: server.Webhook, Do: server.Hang},
		} {
			if s.Inject(fault) == nil {
				t.Errorf("%+v is accepted", fault)
			}
		}
	})
}

// TestServer_by_lot: the same seed deals the same, however calls are mixed, and money comes out right.
func TestServer_by_lot(t *testing.T) {
	t.Parallel()
	deal := func(seed uint64) string {
		s := open(t, func(o *server.Options) { o.Seed, o.Share = seed, 0.5 })
		g := inProcess(s)
		var dealt strings.Builder
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			for range 3 {
				_, err := g.Authorize(t.Context(), key, payment.Request{Amount: nzd(1200)})
				dealt.WriteString(map[bool]string{true: "-", false: "+"}[err != nil])
			}
		}
		for _, charge := range s.Charges() {
			if charge.Status != payment.ChargeAuthorized || charge.AmountMinor != 1200 {
				t.Errorf("a charge is %+v", charge)
			}
		}
		return dealt.String()
	}
	first := deal(7)
	if again := deal(7); again != first || !strings.Contains(first, "+") || !strings.Contains(first, "-") {
		t.Errorf("one seed deals %s and %s", first, again)
	}
	if other := deal(8); other == first {
		t.Errorf("two seeds deal %s", other)
	}
}

// TestServer_ServeHTTP_refuses: nothing happens for whoever has no key, and nothing comes of what is no call.
func TestServer_ServeHTTP_refuses(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	for name, test := range map[string]struct {
		method, path, key, body string
		want                    int
	}{
		"no_key":        {"PUT", "/v1/charges/k", "", `{"amountMinor":1,"currency":"NZD"}`, 401},
		"another_key":   {"PUT", "/v1/charges/k", "yek", `{"amountMinor":1,"currency":"NZD"}`, 401},
		"admin_no_key":  {"POST", "/admin/faults", "", `{"op":"LOOKUP","do":"HANG"}`, 401},
		"no_json":       {"PUT", "/v1/charges/k", "key", `amount=1`, 400},
		"a_card_number": {"PUT", "/v1/charges/k", "key", `{"amountMinor":1,"currency":"NZD","cardNumber":"4242424242424242"}`, 400},
		"too_much":      {"PUT", "/v1/charges/k", "key", `{"token":"` + strings.Repeat("x", 20<<10) + `"}`, 400},
		"no_amount":     {"PUT", "/v1/charges/k", "key", `{"currency":"NZD"}`, 422},
		"no_such_page":  {"GET", "/confirm/guess", "", "", 404},
		"no_such_call":  {"POST", "/v1/charges/k/steal", "key", "{}", 404},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.path, strings.NewReader(test.body))
			if test.key != "" {
				r.Header.Set("Authorization", "Bearer "+test.key)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, test.want)
			}
		})
	}
	if charges := s.Charges(); len(charges) != 0 {
		t.Errorf("the books have %+v", charges)
	}
}
