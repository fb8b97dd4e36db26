package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/payment"
	"marquee/internal/payment/razorpay"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
	"marquee/internal/payment/stripe"
)

// places are where a sandbox in this process is and what it tells.
type places struct {
	pages string // URL below which customers confirm charges
	inbox string // URL that webhooks go to; "": nowhere
}

// openGateways returns the gateways that are set up, with the handler of the pages on which customers of a sandbox in this process
// confirm charges; nil where there is none.
func openGateways(cfg config.Config, at places, c clock.Clock, log *slog.Logger, closers *closers) (*payment.Gateways, http.Handler, error) {
	var pages http.Handler
	open := func(names []string) (gateways []payment.Gateway, err error) {
		for _, name := range names {
			var gateway payment.Gateway
			switch name {
			case stripe.Name:
				gateway = stripe.New(stripe.Options{
					SecretKey: string(cfg.StripeKey), PublishableKey: cfg.StripePublishableKey, WebhookSecrets: cfg.StripeWebhookSecret.List(), Clock: c,
				})
			case razorpay.Name:
				gateway = razorpay.New(razorpay.Config{
					KeyID: cfg.RazorpayKeyID, KeySecret: string(cfg.RazorpayKeySecret), WebhookSecrets: cfg.RazorpayWebhookSecret.List(),
				})
			default:
				if gateway, pages, err = openSandbox(cfg, at, c, log, closers); err != nil {
					return nil, err
				}
			}
			gateways = append(gateways, gateway)
		}
		return gateways, nil
	}
	offered, err := open(cfg.OfferedGateways())
	if err != nil {
		return nil, nil, err
	}
	others, err := open(cfg.OtherGateways())
	if err != nil {
		return nil, nil, err
	}
	return payment.NewGateways(offered, others...), pages, nil
}

// openSandbox returns a sandbox in another process, or one in this with the handler of its pages.
func openSandbox(cfg config.Config, at places, c clock.Clock, log *slog.Logger, closers *closers) (payment.Gateway, http.Handler, error) {
	if cfg.SandboxURL != "" {
		// All calls go to one host.
		const connections = 64
		lines := &http.Transport{MaxIdleConnsPerHost: connections, IdleConnTimeout: time.Minute}
		closers.add(func() error { lines.CloseIdleConnections(); return nil })
		return sandbox.New(sandbox.Config{
			URL: cfg.SandboxURL, Key: string(cfg.SandboxKey), Secrets: cfg.SandboxSecret.List(), Transport: lines,
		}), nil, nil
	}
	if cfg.DatabaseURL != "" {
		log.Warn("the sandbox gateway runs inside this process, and no other knows its charges: give all nodes of one database MARQUEE_SANDBOX_URL")
	}
	key, secret := rand.Text(), rand.Text()
	bank, err := server.Open(server.Options{
		Journal: filepath.Join(cfg.DataDir, server.JournalName), Key: key, Pages: at.pages, Secret: secret, Clock: c, Log: log,
		WebhookURL: at.inbox, Unasked: true,
	})
	if err != nil {
		return nil, nil, err
	}
	closers.add(bank.Close)
	return sandbox.New(sandbox.Config{URL: "http://sandbox", Key: key, Secrets: []string{secret}, Transport: bank.Transport()}), bank, nil
}

// SandboxGateway is the command line of a sandbox gateway.
type SandboxGateway struct {
	Listen        string  `default:"127.0.0.1:8090" env:"MARQUEE_SANDBOX_LISTEN" help:"Address that calls come to."`
	Journal       string  `required:"" env:"MARQUEE_SANDBOX_JOURNAL" help:"File that everything is written to." type:"path"`
	Key           string  `required:"" env:"MARQUEE_SANDBOX_KEY" help:"What callers must know."`
	Pages         string  `env:"MARQUEE_SANDBOX_PAGES" placeholder:"URL" help:"URL under which customers reach the gateway; by itself the address."`
	WebhookURL    string  `default:"http://localhost:8080/webhooks/sandbox" env:"MARQUEE_SANDBOX_WEBHOOK_URL" placeholder:"URL" help:"Where to tell of what happens, if there is a secret."`
	WebhookSecret string  `env:"MARQUEE_SANDBOX_WEBHOOK_SECRET" help:"What to sign that with; nobody is told of anything without."`
	Seed          uint64  `help:"With --faults: deals the same faults again."`
	Faults        float64 `placeholder:"SHARE" help:"Share of calls and webhooks that go wrong by lot, from 0 to 1."`
}

// sandboxTimeout is more than a call takes to arrive, and to be answered when nothing is done wrong.
const sandboxTimeout = 10 * time.Second

// Run serves the gateway until ctx ends.
func (g SandboxGateway) Run(ctx context.Context, log *slog.Logger) (err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", g.Listen, err)
	}
	address := "http://" + listener.Addr().String()
	pages := g.Pages
	if pages == "" {
		pages = address
	}
	if g.WebhookSecret == "" {
		g.WebhookURL = ""
	}
	bank, err := server.Open(server.Options{
		Journal: g.Journal, Key: g.Key, Pages: pages, WebhookURL: g.WebhookURL, Secret: g.WebhookSecret,
		Seed: g.Seed, Share: g.Faults, Clock: clock.System{}, Log: log,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	calls, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	web := &http.Server{
		Handler: bank, ReadHeaderTimeout: sandboxTimeout, ReadTimeout: sandboxTimeout, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return calls }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	log.InfoContext(ctx, "sandbox gateway is open", "address", address, "journal", g.Journal, "seed", g.Seed, "faults", g.Faults)
	select {
	case err = <-served:
	case <-ctx.Done():
		hangUp() // what hangs on command
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandboxTimeout)
		defer cancel()
		err = web.Shutdown(last)
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
	}
	return errors.Join(err, bank.Close())
}
