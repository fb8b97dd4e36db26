package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
)

// inbox takes webhooks, after it has refused the first ones.
type inbox struct {
	gateway *sandbox.Gateway
	refuse  int
	got     chan payment.Event
	forged  chan error
}

func newInbox(t *testing.T, refuse int) (*inbox, string) {
	t.Helper()
	in := &inbox{gateway: sandbox.New(sandbox.Config{Secrets: []string{secret}}), refuse: refuse, got: make(chan payment.Event, 100), forged: make(chan error, 100)}
	turn := make(chan struct{}, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn <- struct{}{}
		defer func() { <-turn }()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			in.forged <- err
		}
		event, err := in.gateway.Verify(r.Header, body, time.Now())
		if err != nil {
			in.forged <- err
		}
		if in.refuse--; in.refuse >= 0 {
			http.Error(w, "Not now.", http.StatusServiceUnavailable)
			return
		}
		in.got <- event
	}))
	t.Cleanup(web.Close)
	return in, web.URL
}

// take returns the next n events.
func (in *inbox) take(t *testing.T, n int) (events []payment.Event) {
	t.Helper()
	for range n {
		select {
		case event := <-in.got:
			events = append(events, event)
		case err := <-in.forged:
			t.Fatal(err)
		case <-t.Context().Done():
			t.Fatal("no webhook")
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d webhooks came", len(events), n)
		}
	}
	return events
}

func TestServer_webhooks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  server.Deed
		refuse int
		want   []payment.ChargeStatus // as they were told, in any order
	}{
		"are_sent":               {"", 0, []payment.ChargeStatus{payment.ChargeAuthorized, payment.ChargeCaptured}},
		"are_sent_until_taken":   {"", 3, []payment.ChargeStatus{payment.ChargeAuthorized, payment.ChargeCaptured}},
		"are_lost":               {server.Lose, 0, []payment.ChargeStatus{payment.ChargeCaptured}},
		"are_sent_twice":         {server.Duplicate, 0, []payment.ChargeStatus{payment.ChargeAuthorized, payment.ChargeAuthorized, payment.ChargeCaptured}},
		"are_sent_after_another": {server.Reorder, 0, []payment.ChargeStatus{payment.ChargeCaptured, payment.ChargeAuthorized}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, address := newInbox(t, test.refuse)
			s := open(t, func(o *server.Options) { o.WebhookURL, o.Pause = address, 20*time.Millisecond })
			if test.fault != "" {
				if err := s.Inject(server.Fault{Op: server.Webhook, Do: test.fault, Times: 1}); err != nil {
					t.Fatal(err)
				}
			}
			g := inProcess(s)
			charge, err := g.Authorize(t.Context(), "key", payment.Request{Amount: nzd(1200)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Capture(t.Context(), "key", nzd(1200)); err != nil {
				t.Fatal(err)
			}
			events := in.take(t, len(test.want))
			var told []payment.ChargeStatus
			ids := map[string]payment.ChargeStatus{}
			for _, event := range events {
				told = append(told, event.Charge.Status)
				if event.Kind != payment.EventCharge || event.Key != "key" || event.Reference != charge.Reference {
					t.Errorf("the event is %+v", event)
				}
				if status, known := ids[event.ID]; known && status != event.Charge.Status {
					t.Errorf("two events have the id %s", event.ID)
				}
				ids[event.ID] = event.Charge.Status
			}
			if test.fault != server.Reorder {
				slices.Sort(told)
			}
			if !slices.Equal(told, test.want) {
				t.Errorf("told %v, want %v", told, test.want)
			}
		})
	}
	t.Run("tell_of_refunds_and_disputes", func(t *testing.T) {
		t.Parallel()
		in, address := newInbox(t, 0)
		s := open(t, func(o *server.Options) { o.WebhookURL = address })
		g := inProcess(s)
		if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: nzd(1200)}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Capture(t.Context(), "key", nzd(1200)); err != nil {
			t.Fatal(err)
		}
		in.take(t, 2)
		if _, err := s.RefundByHand("key", 200, "NZD"); err != nil {
			t.Fatal(err)
		}
		if event := in.take(t, 1)[0]; event.Kind != payment.EventRefund || event.Charge.Refunded != nzd(200) {
			t.Errorf("of a refund it tells %+v", event)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/admin/charges/key/dispute", http.NoBody)
		r.Header.Set("Authorization", "Bearer key")
		if s.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Fatalf("the dispute is answered %d", w.Code)
		}
		if event := in.take(t, 1)[0]; event.Kind != payment.EventDispute {
			t.Errorf("of a dispute it tells %+v", event)
		}
	})
	t.Run("end_with_the_gateway", func(t *testing.T) {
		t.Parallel()
		_, address := newInbox(t, 1000)
		s := open(t, func(o *server.Options) { o.WebhookURL, o.Pause = address, time.Hour })
		if _, err := inProcess(s).Authorize(t.Context(), "key", payment.Request{Amount: nzd(1200)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
