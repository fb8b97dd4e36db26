package booking_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
	"marquee/internal/postgres"
)

// TestV3_a_hanging_gateway_keeps_nothing: payments that wait for their gateway have neither a connection nor a lock, so that others
// browse and reserve meanwhile, and are settled when the gateway is back.
func TestV3_a_hanging_gateway_keeps_nothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 200}, dbtest.With(func(c *postgres.Config) { c.MaxConns = 4 }))
	const paying = 20
	var (
		all   sync.WaitGroup
		asked atomic.Int32
	)
	hangs, back := make(chan struct{}), make(chan struct{})
	comeBack := sync.OnceFunc(func() { close(back) })
	t.Cleanup(comeBack)
	for range paying {
		h.gateway.Next(gatewaytest.Authorize, gatewaytest.Before(func() {
			if asked.Add(1) == paying {
				close(hangs)
			}
			<-back
		}))
	}
	ctx := context.WithoutCancel(t.Context())
	for range paying {
		viewer := newViewer()
		in := payInput(h.hold(t, viewer, h.fresh(1)...))
		all.Go(func() {
			result, err := h.booking.Pay(ctx, viewer, in)
			if _, ok := result.(booking.Paid); !ok || err != nil {
				t.Errorf("when the gateway is back: %#v, %v", result, err)
			}
		})
	}
	within(t, hangs, "not every payment reaches the gateway")
	if n := h.DB.SQL().Stats().InUse; n != 0 {
		t.Errorf("%d connections wait for the gateway", n)
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`); n != 0 {
		t.Errorf("%d transactions wait for the gateway", n)
	}
	for range paying {
		viewer := newViewer()
		seats := h.fresh(1)
		r := h.hold(t, viewer, seats...)
		if got := h.letters(t, seats...); got != "H" {
			t.Errorf("the seat is %s", got)
		}
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err != nil {
			t.Error(err)
		}
	}
	comeBack()
	all.Wait()
	h.rests(t)
}

// mischief answers instead of a gateway, before or after it has done what it was asked.
type mischief struct {
	next   http.RoundTripper
	after  bool
	answer nonsense
	times  atomic.Int32 // that it still does so

	strangers atomic.Int32 // requests to somebody else than the gateway
	longest   atomic.Int64 // bytes of a body that were read
}

// nonsense is what comes instead of an answer.
type nonsense struct {
	status               int
	kind, body, location string
}

func (m *mischief) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host != "sandbox" {
		m.strangers.Add(1)
	}
	if m.times.Add(-1) < 0 {
		return m.next.RoundTrip(request)
	}
	if m.after {
		response, err := m.next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		if err := response.Body.Close(); err != nil {
			return nil, err
		}
	}
	header := http.Header{"Content-Type": {m.answer.kind}}
	if m.answer.location != "" {
		header.Set("Location", m.answer.location)
	}
	return &http.Response{StatusCode: m.answer.status, Header: header, Body: io.NopCloser(&counted{Reader: strings.NewReader(m.answer.body), longest: &m.longest}), Request: request}, nil
}

// counted counts what is read of it.
type counted struct {
	io.Reader

	read    int64
	longest *atomic.Int64 // of several
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.read += int64(n); c.read > c.longest.Load() {
		c.longest.Store(c.read)
	}
	return n, err
}

// TestPM13_nonsense_from_the_gateway: whatever comes instead of an answer is unknown: nothing is lost, nothing is taken twice, nobody else
// is asked, and no more than a megabyte is read.
func TestPM13_nonsense_from_the_gateway(t *testing.T) {
	t.Parallel()
	const json = "application/json"
	bank, err := server.Open(server.Options{Journal: filepath.Join(t.TempDir(), "bank.jsonl"), Key: "key", Pages: "http://bank", Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bank.Close() })
	h := newHouse(t, fixture.Plan{Seats: 200})
	for name, answer := range map[string]nonsense{
		"a_page":                 {http.StatusOK, "text/html", "<html>Sorry!</html>", ""},
		"a_page_called_json":     {http.StatusOK, json, "<html>Sorry!</html>", ""},
		"ten_megabytes":          {http.StatusOK, json, `{"status": "` + strings.Repeat("A", 10<<20) + `"}`, ""},
		"something_else":         {http.StatusOK, json, `{"weather": "fine"}`, ""},
		"half_an_answer":         {http.StatusOK, json, `{"status": "AUTHO`, ""},
		"nothing":                {http.StatusOK, json, "", ""},
		"an_error":               {http.StatusInternalServerError, "text/plain", "oops", ""},
		"an_error_of_a_proxy":    {http.StatusBadGateway, "text/html", "<h1>502</h1>", ""},
		"a_way_to_the_own_house": {http.StatusFound, json, "", "http://127.0.0.1:1/"},
	} {
		for when, after := range map[string]bool{"instead": false, "after": true} {
			for _, times := range []int32{1, 2, 5} { // the first call, its lookup too, all of a payment
				t.Run(name+"_"+when, func(t *testing.T) {
					line := &mischief{next: bank.Transport(), after: after, answer: answer}
					line.times.Store(times)
					gateways := payment.NewGateways([]payment.Gateway{sandbox.New(sandbox.Config{URL: "http://sandbox", Key: "key", Transport: line})})
					service, viewer := h.processOf(gateways), newViewer()
					r := h.hold(t, viewer, h.fresh(1)...)
					if _, err := service.Pay(t.Context(), viewer, payInput(r)); err != nil {
						t.Errorf("paying: %v", err)
					}
					if n := line.strangers.Load(); n != 0 {
						t.Errorf("%d requests go where the gateway has pointed", n)
					}
					if n := line.longest.Load(); n > 1<<20 {
						t.Errorf("%d bytes of an answer are read", n)
					}
					line.times.Store(0) // it is itself again
					h.endLeases(t)
					if _, err := service.Reconcile(t.Context()); err != nil {
						t.Error(err)
					}
					for _, status := range h.attempts(t, r) {
						if !status.Settled() {
							t.Errorf("an attempt is %s", status)
						}
					}
					key := fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID)
					gateway, err := gateways.Named("sandbox")
					if err != nil {
						t.Fatal(err)
					}
					charge, err := gateway.Lookup(t.Context(), key)
					if err != nil {
						t.Fatal(err)
					}
					if paid := h.stored(t, r) == "CONFIRMED"; paid != (charge.Status == payment.ChargeCaptured) {
						t.Errorf("the reservation is %s and the charge %s", h.stored(t, r), charge.Status)
					}
				})
			}
		}
	}
}
