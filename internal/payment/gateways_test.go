package payment_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

var errSilence = errors.New("the gateway does not answer")

func answers(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// TestGateways_health: a gateway that fails begins nothing, is asked about the rest, and is tried again.
func TestGateways_health(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const name = "first"
		g := payment.NewGateways([]payment.Gateway{gatewaytest.NewFakeNamed(name)}, gatewaytest.NewFakeNamed("second"))
		var heard []string
		g.Watch(func(name string, healthy bool) { heard = append(heard, fmt.Sprint(name, healthy)) })
		// An answer that says no is an answer, and whoever hangs up says nothing of the gateway.
		for _, answer := range []error{payment.ErrRefused, payment.ErrNoSuchCharge, context.Canceled, nil} {
			for range 10 {
				if err := g.Ask(t.Context(), name, answers(answer)); !errors.Is(err, answer) {
					t.Fatalf("%v became %v", answer, err)
				}
			}
		}
		for i := range 5 {
			if !g.Healthy(name) {
				t.Fatalf("unhealthy after %d failures", i)
			}
			_ = g.Ask(t.Context(), name, answers(errSilence))
		}
		if g.Healthy(name) || !g.Healthy("second") || g.Healthy("third") || g.Health()[0] != (payment.Health{Name: name, Offered: true}) {
			t.Errorf("health %+v", g.Health())
		}
		begun := false
		begin := func(context.Context) error { begun = true; return nil }
		if err := g.Begin(t.Context(), name, begin); !errors.Is(err, payment.ErrUnreached) || begun {
			t.Errorf("an unhealthy gateway begins something: %v", err)
		}
		if err := g.Ask(t.Context(), name, answers(nil)); err != nil {
			t.Errorf("an unhealthy gateway is not asked: %v", err)
		}
		<-time.After(5*time.Second + time.Millisecond) // of the bubble's clock
		if err := g.Begin(t.Context(), name, begin); err != nil || !begun || !g.Health()[0].Healthy {
			t.Errorf("it is not tried again: %v", err)
		}
		if fmt.Sprint(heard) != "[firstfalse firsttrue]" {
			t.Errorf("heard %v", heard)
		}
	})
}

// TestGateways_half: a gateway that fails every other call is unhealthy too.
func TestGateways_half(t *testing.T) {
	t.Parallel()
	g := payment.NewGateways([]payment.Gateway{gatewaytest.NewFake()})
	for range 10 {
		_ = g.Ask(t.Context(), "fake", answers(nil))
		_ = g.Ask(t.Context(), "fake", answers(errSilence))
	}
	if g.Healthy("fake") {
		t.Error("it is healthy")
	}
}

// TestGateways_hanging: no more than so many calls wait for one gateway, and none for another because of them.
func TestGateways_hanging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const places = 64
		g := payment.NewGateways([]payment.Gateway{gatewaytest.NewFakeNamed("first"), gatewaytest.NewFakeNamed("second")})
		ctx, hangUp := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range places {
			all.Go(func() {
				_ = g.Ask(ctx, "first", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			})
		}
		synctest.Wait()
		if n := g.Health()[0].InFlight; n != places {
			t.Errorf("%d calls in flight", n)
		}
		began := time.Now()
		if err := g.Begin(t.Context(), "first", answers(nil)); !errors.Is(err, payment.ErrUnreached) || time.Since(began) != time.Second {
			t.Errorf("one more waits %s, %v", time.Since(began), err)
		}
		if err := g.Begin(t.Context(), "second", answers(nil)); err != nil {
			t.Errorf("the other gateway: %v", err)
		}
		hangUp()
		all.Wait()
		if err := g.Begin(t.Context(), "first", answers(nil)); err != nil || g.Health()[0].InFlight != 0 {
			t.Errorf("later %v, %+v", err, g.Health())
		}
	})
}

// TestGateways_panic: a call that dies gives its place back.
func TestGateways_panic(t *testing.T) {
	t.Parallel()
	g := payment.NewGateways([]payment.Gateway{gatewaytest.NewFake()})
	for range 10 {
		func() {
			defer func() { _ = recover() }()
			_ = g.Ask(t.Context(), "fake", func(context.Context) error { panic("death") })
		}()
	}
	if h := g.Health()[0]; h.InFlight != 0 || !h.Healthy {
		t.Errorf("health %+v", h)
	}
}

// TestGateways_unreached: what never left is told from what was sent and not answered.
func TestGateways_unreached(t *testing.T) {
	t.Parallel()
	// No other program can come to listen here, as it can at a port that was let go.
	path := filepath.Join(t.TempDir(), "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g := payment.NewGateways([]payment.Gateway{gatewaytest.NewFake()})
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	call := func() error {
		return g.Ask(t.Context(), "fake", func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway.example", http.NoBody)
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			return response.Body.Close()
		})
	}
	dropped := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			err = connection.Close()
		}
		dropped <- err
	}()
	if err := call(); err == nil || errors.Is(err, payment.ErrUnreached) {
		t.Errorf("a connection that was cut: %v", err)
	}
	if err := errors.Join(<-dropped, listener.Close()); err != nil {
		t.Fatal(err)
	}
	if err := call(); !errors.Is(err, payment.ErrUnreached) {
		t.Errorf("nobody listens: %v", err)
	}
}
