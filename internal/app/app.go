// Package app is the composition root: the one place that knows every package, builds them from a configuration, and
// starts and stops them in order.
//
// It holds no rule of its own. What it opens it closes, in the reverse order, also when a later step fails.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/graph"
	"marquee/graph/limit"
	"marquee/graph/persisted"
	"marquee/graph/transport"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/bus"
	"marquee/internal/catalog"
	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/cookie"
	"marquee/internal/httpserver"
	"marquee/internal/identity"
	"marquee/internal/jobs"
	"marquee/internal/notify"
	"marquee/internal/page"
	"marquee/internal/payment"
	"marquee/internal/peer"
	"marquee/internal/postgres"
	"marquee/internal/privacy"
	"marquee/internal/promotion"
	"marquee/internal/ratelimit"
	"marquee/internal/reconciliation"
	"marquee/internal/review"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/vault"
	"marquee/internal/vault/rekey"
	"marquee/internal/webhook"
	"marquee/web"
)

// Seams are what tests replace; the zero value is the real thing.
type Seams struct {
	Clock       clock.Clock
	Gateways    *payment.Gateways // nil: what the configuration names
	OnStatement func(sql string)  // told of every SQL statement
	LoaderWait  time.Duration
	Still       bool // no periodic work beside the requests
}

func (s Seams) withDefaults() Seams {
	if s.Clock == nil {
		s.Clock = clock.System{}
	}
	return s
}

// App is a running installation: listening when New returns, serving during Run.
type App struct {
	cfg       config.Config
	log       *slog.Logger
	closers   closers
	db        *postgres.DB
	vault     *vault.Vault
	listeners httpserver.Listeners
	server    *httpserver.Server
	metrics   *metrics
	sealer    *audit.Sealer
	post      *notify.Worker
	mailbox   *notify.Mailbox // nil: a mail server takes the mails
	bankPages http.Handler    // nil: the gateway is elsewhere
	still     bool
	promos    *promotion.Service
	payments  *payment.Service
	gateways  *payment.Gateways

	Identity *identity.Service
	Booking  *booking.Service
	Privacy  *privacy.Service
	Jobs     *jobs.Queue
	Webhooks *webhook.Service

	Reconciliation *reconciliation.Service
}

const (
	maxBody        = 100 << 10
	gatewayTimeout = 8 * time.Second
	// attemptLease covers the four calls to a gateway that one attempt can need, and the statements between them.
	attemptLease = 60 * time.Second
	// paymentGrace is longer than a lease: whoever drives a payment has ended, or the reconciler has asked the gateway instead,
	// before the seats are anybody's.
	paymentGrace = 2 * time.Minute
	// offerTime is for reading a mail and answering it.
	offerTime = 5 * time.Minute
)

// New opens the ports and the database, brings the schema up to date and builds everything. On failure nothing stays
// open; errors of the surroundings (a port, a folder, a database) are one clear sentence.
func New(ctx context.Context, cfg config.Config, log *slog.Logger, seams Seams) (_ *App, err error) {
	seams = seams.withDefaults()
	a := &App{cfg: cfg, log: log, still: seams.Still}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.listeners, err = httpserver.Listen(ctx, cfg.Listen, cfg.OpsListen); err != nil {
		return nil, err
	}
	a.closers.add(a.listeners.Close)
	if a.db, err = openDatabase(ctx, cfg, serverName, log, seams.OnStatement, &a.closers); err != nil {
		return nil, err
	}
	if a.vault, err = openVault(cfg); err != nil {
		return nil, err
	}
	if err = postgres.Migrate(ctx, a.db, log, a.vault); err != nil {
		return nil, err
	}
	if err = rekey.Check(ctx, a.db, a.vault); err != nil {
		return nil, err
	}
	key, err := secretKey(cfg)
	if err != nil {
		return nil, err
	}
	if seams.Gateways == nil {
		at := places{pages: "http://" + a.OpsAddress().String()}
		if !seams.Still {
			at.inbox = "http://" + reachable(a.Address()) + httpserver.WebhookPath + "sandbox"
		}
		seams.Gateways, a.bankPages, err = openGateways(cfg, at, seams.Clock, log, &a.closers)
		if err != nil {
			return nil, err
		}
	}
	hints, err := bus.Start(ctx, bus.Config{
		ClusterListen: cfg.ClusterListen, Peers: cfg.ClusterPeers, ClusterPassword: string(cfg.ClusterPassword), Log: log,
	})
	if err != nil {
		return nil, err
	}
	a.closers.add(hints.Close)
	err = a.build(seams, key, hints)
	return a, err
}

// build wires the services. Nothing here talks to the outside.
func (a *App) build(seams Seams, key []byte, hints *bus.Bus) error {
	a.metrics = newMetrics(a.db)
	client := ent.Over(a.db.SQL())
	var err error
	if a.Identity, err = identity.NewService(a.db, client, seams.Clock, key, a.vault, openIDProviders(a.cfg, seams.Clock, a.log)...); err != nil {
		return err
	}
	a.metrics.watchPasswords(a.Identity.HashQueue)
	a.sealer, err = audit.NewSealer(audit.SealerConfig{
		DB: a.db, Secret: key, Heads: a.cfg.AuditHeadsFile(), Clock: seams.Clock, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.closers.add(a.sealer.Close)
	a.metrics.watchAudit(a.sealer)
	site, err := a.cfg.PublicBase()
	if err != nil {
		return fmt.Errorf("MARQUEE_PUBLIC_URL: %w", err)
	}
	if err := a.Identity.ServePasskeys(site, a.cfg.AllowedOrigins); err != nil {
		return err
	}
	if a.post, a.mailbox, err = newPost(a.cfg, a.db, a.vault, seams.Clock, a.Identity, a.metrics, a.log); err != nil {
		return err
	}
	theaters := theater.NewService(client)
	showtimes := showtime.NewService(a.db, seams.Clock)
	seats := seating.NewService(a.db, showtimes, theaters)
	a.payments, a.gateways = payment.NewService(a.db), seams.Gateways
	a.metrics.watchGateways(a.gateways)
	a.gateways.Watch(func(name string, healthy bool) {
		a.log.Warn("a gateway's health changed", "gateway", name, "healthy", healthy)
	})
	a.promos = promotion.NewService(a.db, seams.Clock)
	feed, err := seatfeed.New(seatfeed.Config{Source: seats.States, Bus: hints, Window: a.cfg.LiveInterval, Log: a.log})
	if err != nil {
		return err
	}
	a.closers.add(func() error { feed.Close(); return nil })
	paymentHints, err := payment.NewWatch(hints, a.log)
	if err != nil {
		return err
	}
	a.closers.add(func() error { paymentHints.Close(); return nil })
	a.Booking = booking.NewService(booking.Deps{
		DB: a.db, Showtimes: showtimes, Seating: seats, Payments: a.payments, Promotions: a.promos, Gateways: a.gateways,
		Hint: func(id uuid.UUID) { feed.Hint(id) }, Changed: paymentHints.Hint, Clock: seams.Clock, Source: a.source, Account: a.Identity.KeyByEmail, Tell: a.Identity.TellTx, Log: a.log,
	}, bookingConfig(a.cfg))
	a.Jobs, err = jobs.New(jobs.Config{DB: a.db, Workers: a.cfg.JobWorkers, Patience: a.cfg.DrainTimeout, Observe: a.metrics.job, Log: a.log})
	if err != nil {
		return err
	}
	a.Webhooks = webhook.New(webhook.Deps{
		DB: a.db, Gateways: seams.Gateways, Payments: a.payments, Booking: a.Booking, Jobs: a.Jobs, Clock: seams.Clock, Observe: a.metrics.webhook, Log: a.log,
	})
	a.Reconciliation = newReconciliation(a.db, a.gateways, a.Booking, a.log)
	a.Privacy = privacy.NewService(a.db, a.vault, a.Identity, a.Booking, seams.Clock, a.log)
	reviews := review.NewService(a.db, a.Booking, a.Identity, review.Config{
		Attendance: booking.Attendance(a.cfg.Reviewers), Writes: review.DefaultWrites, Reports: review.DefaultReports,
	})

	sockets := &transport.Registry{}
	a.metrics.watchSockets(sockets.Len)
	development := a.cfg.Env == config.Development
	resolver := &graph.Resolver{
		Services: graph.Services{
			Identity: a.Identity, Catalog: catalog.NewService(client, seams.Clock), Theater: theaters, Showtime: showtimes,
			Seating: seats, Booking: a.Booking, Payment: a.payments, Promotion: a.promos, Privacy: a.Privacy, Review: reviews, Feed: feed, Payments: paymentHints, Audit: audit.NewLog(client),
			Webhooks: a.Webhooks, Jobs: a.Jobs,
			Reconciliation: a.Reconciliation,
		},
		Cursors:    page.NewSigner(key),
		LoaderWait: seams.LoaderWait,
	}
	documents, err := a.documents(resolver)
	if err != nil {
		return err
	}
	endpoint := graph.Options{
		Log: a.log, Classify: classify, RequestID: httpserver.RequestID, Introspection: development,
		Limits: limit.Default, Rates: a.rates(seams.Clock), Address: peer.Address(a.cfg.TrustedProxies),
		MaxBody: maxBody, Timeout: a.cfg.RequestTimeout, Observe: a.metrics.operation,
		Documents: documents, Websocket: a.websocket(sockets), Events: a.events(sockets),
	}
	options := httpserver.Options{
		Listeners:      a.listeners,
		GraphQL:        graph.NewHandler(resolver, endpoint),
		BankPages:      a.bankPages,
		Webhooks:       a.receiver(seams.Clock),
		KeySet:         keySet(a.Identity.PublicKeys, a.log),
		Metrics:        a.metrics.handler(),
		Authenticate:   a.Identity.Authenticate,
		Ready:          func(ctx context.Context) error { return a.db.SQL().PingContext(ctx) },
		CloseSockets:   sockets.Drain,
		AllowedOrigins: a.cfg.AllowedOrigins,
		PlainCookies:   development,
		OpsHosts:       a.cfg.OpsHosts,
		RetireDelay:    a.cfg.RetireDelay(),
		TrustedProxies: a.cfg.TrustedProxies,
		Observe:        a.metrics.request,
		Log:            a.log,
	}
	if console := web.Console(a.consoleSettings()); development {
		options.Console = console
		if a.mailbox != nil {
			options.Mailbox = a.mailbox
		}
	} else {
		options.OpsConsole = console
		options.OpsGraphQL = graph.NewHandler(resolver, adminEndpoint(endpoint, a.websocket(sockets)))
	}
	a.server = httpserver.New(options)
	return nil
}

// source names the address that a claim came from, as the rates count it, without saying which it is.
func (a *App) source(address string) []byte { return a.vault.Index("claim source", address) }

// rates are the accounts of this node's callers.
func (a *App) rates(c clock.Clock) *ratelimit.Limiter {
	return ratelimit.New(c, ratelimit.Rates{
		Browse:   ratelimit.Rate{Viewer: a.cfg.RateViewer, Address: a.cfg.RateAddress},
		Purchase: ratelimit.Rate{Viewer: a.cfg.RatePurchaseViewer, Address: a.cfg.RatePurchaseAddress},
	})
}

// websocket is how sockets are authenticated: by connection_init, else by the upgrade request itself.
func (a *App) websocket(sockets *transport.Registry) *transport.Websocket {
	return &transport.Websocket{
		Registry:         sockets,
		Init:             a.authenticateSocket,
		Recheck:          a.recheck,
		User:             userOf,
		CheckOrigin:      peer.AllowOrigins(a.cfg.AllowedOrigins),
		Address:          peer.Address(a.cfg.TrustedProxies),
		OperationContext: httpserver.WithRequestID,
	}
}

// authenticateSocket finds the viewer of a socket: by the Authorization of its connection_init, however that is spelled,
// else as the upgrade request was authenticated.
func (a *App) authenticateSocket(ctx context.Context, payload map[string]any, _ *http.Request) (context.Context, error) {
	var headers []string
	for name, value := range payload {
		if text, ok := value.(string); ok && strings.EqualFold(name, "Authorization") {
			headers = append(headers, text)
		}
	}
	if len(headers) == 0 {
		if cookie.From(ctx).Stale() {
			return nil, apperr.New(apperr.Unauthenticated, "The session must be renewed.")
		}
		return ctx, nil
	}
	token, malformed := httpserver.BearerToken(headers...)
	if malformed != nil {
		return nil, malformed
	}
	viewer, err := a.Identity.Authenticate(ctx, token)
	return auth.WithViewer(ctx, viewer), translated(err)
}

// events is how streams of events are watched; their requests are authenticated as every request is.
func (a *App) events(sockets *transport.Registry) *transport.SSE {
	return &transport.SSE{
		Registry: sockets, Recheck: a.recheck, User: userOf, Address: peer.Address(a.cfg.TrustedProxies),
	}
}

// recheck refuses a session that has ended or whose role has changed, and no other: while the database is away, nobody
// can have signed out.
func (a *App) recheck(ctx context.Context) error {
	viewer, ok := auth.ViewerFrom(ctx)
	if !ok {
		return nil
	}
	if err := a.Identity.Recheck(ctx, viewer); apperr.CodeOf(err) == apperr.Unauthenticated {
		return err
	}
	return nil
}

// userOf names the viewer of ctx, "" for nobody.
func userOf(ctx context.Context) string {
	if viewer, ok := auth.ViewerFrom(ctx); ok {
		return viewer.UserID.String()
	}
	return ""
}

// documents loads and checks the documents that clients may name.
func (a *App) documents(resolver *graph.Resolver) (*persisted.Documents, error) {
	options := persisted.Options{Mode: persisted.Mode(a.cfg.PersistedMode), Trusted: isAdmin, Log: a.log}
	if path := a.cfg.PersistedDocuments; path != "" {
		var err error
		if options.Manifest, err = persisted.LoadManifest(path); err != nil {
			return nil, fmt.Errorf("MARQUEE_PERSISTED_DOCUMENTS: %w", err)
		}
		a.log.Info("persisted documents loaded", "ids", options.Manifest.Len(), "mode", a.cfg.PersistedMode)
	}
	documents, err := persisted.New(graph.NewSchema(resolver).Schema(), limit.Default.Tokens, options)
	if err != nil {
		return nil, fmt.Errorf("MARQUEE_PERSISTED_DOCUMENTS: %w", err)
	}
	return documents, nil
}

func isAdmin(ctx context.Context) bool {
	_, err := auth.Require(ctx, auth.RoleAdmin)
	return err == nil
}

// translated is classify for those who read codes of errors: a database that is away must not look like a session that
// has ended.
func translated(err error) error {
	if known := classify(err); known != nil {
		return known
	}
	return err
}

// classify says what a caller may know of a fault in the engines; nil: nothing.
func classify(err error) *apperr.Error {
	switch state := postgres.SQLState(err); {
	case errors.Is(err, context.DeadlineExceeded), state == "57014", state == "55P03":
		return apperr.Wrap(err, apperr.Unavailable, "This took too long. Try again.")
	case errors.Is(err, context.Canceled):
		return apperr.Wrap(err, apperr.Unavailable, "The request was given up.")
	case postgres.IsConnectionFailure(err), state == "53300", state == "40001", state == "40P01":
		return apperr.Wrap(err, apperr.Unavailable, "The service is not available at this moment. Try again.")
	case state == "22021", state == "22P05":
		return apperr.Wrap(err, apperr.BadUserInput, "A text holds characters that cannot be stored.")
	default:
		return nil
	}
}

// Address returns where the public listener listens; OpsAddress is that of the operators.
func (a *App) Address() net.Addr { return a.listeners.Public.Addr() }

// OpsAddress returns where the operators' listener listens.
func (a *App) OpsAddress() net.Addr { return a.listeners.Ops.Addr() }

// DB returns the database, for commands and tests.
func (a *App) DB() *postgres.DB { return a.db }

// Run serves until ctx ends, then drains. Background work runs beside it and ends with it.
func (a *App) Run(ctx context.Context) error {
	background, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !a.still {
			a.background(background)
		}
	}()
	err := a.server.Serve(ctx, a.cfg.DrainTimeout)
	stop()
	<-done
	return err
}

// Close releases what New opened. It is safe to call twice.
func (a *App) Close() error { return a.closers.close() }

// closers remembers what was opened, to close it in the reverse order.
type closers struct{ list []func() error }

func (c *closers) add(f func() error) { c.list = append(c.list, f) }

func (c *closers) close() error {
	var errs []error
	for len(c.list) > 0 {
		last := c.list[len(c.list)-1]
		c.list = c.list[:len(c.list)-1]
		errs = append(errs, last())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}
