// Package apitest runs the whole program inside a test: a database of its own, a small world in it, both listeners on
// loopback, and clients that speak to it as clients on the network do.
//
// It starts what internal/app starts and replaces nothing but what internal/app lets tests replace. When a test is
// over, the program drains as it does in production; a drain that fails, and a connection to the database that is left,
// fail the test. For tests only.
//
// A test binary that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }
//
// which stops the database server and fails when a goroutine is left after the last test.
package apitest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	bank "marquee/internal/payment/sandbox/server"
)

const (
	// Patience bounds every wait for the program or the database; nothing takes that long on a machine that works.
	Patience = time.Minute

	// drain is long enough for a busy machine. What is open at the end of a test takes a fraction of it.
	drain = 4 * time.Second
)

// Option changes how New starts the program.
type Option func(*options)

type options struct {
	config    config.Config
	seams     app.Seams
	bare      bool
	cuttable  bool
	otherData string
	bank      *bank.Server
	gateways  []payment.Gateway
}

// With changes the configuration. Addresses, the folder and the database are set already.
func With(change func(*config.Config)) Option {
	return func(o *options) { change(&o.config) }
}

// WithSeams replaces parts of the program.
func WithSeams(change func(*app.Seams)) Option {
	return func(o *options) { change(&o.seams) }
}

// Still keeps the program from working when it is not asked: holds that ran out stay in the tables until the test
// sweeps, and every statement belongs to a request.
func Still() Option {
	return WithSeams(func(s *app.Seams) { s.Still = true })
}

// Batched gives the loaders time to gather all keys of a level, also on a busy machine, so that the number of
// statements does not depend on chance.
func Batched() Option {
	const enough = 100 * time.Millisecond
	return WithSeams(func(s *app.Seams) { s.LoaderWait = enough })
}

// Bare leaves the database without a world.
func Bare() Option {
	return func(o *options) { o.bare = true }
}

// Cuttable puts a line between the program and its database that App.CutDatabase can cut.
func Cuttable() Option {
	return func(o *options) { o.cuttable = true }
}

// AlsoAt offers gateways after the one that App.Bank is.
func AlsoAt(gateways ...payment.Gateway) Option {
	return func(o *options) { o.gateways = gateways }
}

// Beside starts another node of an installation: on the database and with the secret key of a.
func Beside(a *App) Option {
	return func(o *options) {
		o.bare = true
		o.otherData = a.Config.DataDir
		o.bank = a.Bank
		o.config.DatabaseURL = a.Config.DatabaseURL
	}
}

// App is a running program. Its methods fail the test that started it, and may be called from its goroutine only,
// unless they say otherwise.
type App struct {
	*app.App

	Config config.Config
	World  World
	Bank   *bank.Server // the payment gateway, which knows BankKey; nodes beside each other share one

	URL    string // of the public listener, without a path
	OpsURL string // of the operators' listener

	t          testing.TB
	http       *http.Client
	log        log
	statements statements
	line       *line
	stop       func()
}

// New starts the program. It ends with the test.
func New(t testing.TB, opts ...Option) *App {
	t.Helper()
	o := options{config: config.Config{
		Env: config.Development, Keyset: config.Secret(dbtest.Keyset()), Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", DatabaseConns: 8,
		Hold: 10 * time.Minute, HoldLimit: 30 * time.Minute, RequestTimeout: 20 * time.Second, DrainTimeout: drain, LogLevel: slog.LevelInfo,
	}}
	for _, opt := range opts {
		opt(&o)
	}
	o.config.DataDir = o.otherData
	if o.config.DataDir == "" {
		o.config.DataDir = t.TempDir()
	}
	if o.config.DatabaseURL == "" {
		o.config.DatabaseURL = config.Secret(dbtest.NewURL(t))
	}
	if o.bank == nil {
		o.bank = newBank(t)
	}
	if o.seams.Gateways == nil {
		atBank := sandbox.New(sandbox.Config{URL: "http://sandbox", Key: BankKey, Secrets: []string{"the next secret", BankSecret}, Transport: o.bank.Transport()})
		o.seams.Gateways = payment.NewGateways(append([]payment.Gateway{atBank}, o.gateways...))
	}
	a := &App{t: t, Bank: o.bank, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: Patience}}
	if o.cuttable {
		a.line = newLine(t, string(o.config.DatabaseURL))
		o.config.DatabaseURL = config.Secret(a.line.url)
	}
	a.Config = o.config
	o.seams.OnStatement = a.statements.record

	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var err error
	if a.App, err = app.New(ctx, o.config, slog.New(app.LogHandler(&a.log, o.config.LogLevel)), o.seams); err != nil {
		t.Fatalf("start the program: %v", err)
	}
	a.URL, a.OpsURL = "http://"+a.Address().String(), "http://"+a.OpsAddress().String()
	a.run()
	if !o.bare {
		a.World = a.seed()
	}
	return a
}

// run serves until the test is over or Stop is called.
func (a *App) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		a.http.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			a.t.Errorf("the program did not end in order: %v", err)
		}
		if err := a.Close(); err != nil {
			a.t.Errorf("close the program: %v", err)
		}
		if open := a.DB().Stats().OpenConnections; open != 0 {
			a.t.Errorf("the program left %d connections to the database", open)
		}
		if a.line != nil {
			a.line.close()
		}
		if a.t.Failed() {
			a.t.Logf("the program's log:\n%s", a.log.String())
		}
	})
	a.t.Cleanup(a.stop)
}

// Stop ends the program before the test does.
func (a *App) Stop() { a.stop() }

// Logged returns what the program has written to its log, one JSON object a line. Safe in any goroutine.
func (a *App) Logged() string { return a.log.String() }

// CutDatabase breaks every connection to the database and refuses further ones. The program was started Cuttable.
func (a *App) CutDatabase() { a.line.cut() }

// MendDatabase lets connections through again.
func (a *App) MendDatabase() { a.line.mend() }

// Main runs the tests of a binary, stops the database server, and looks for goroutines that were left. It returns the
// exit code.
func Main(m *testing.M) int {
	code := dbtest.Main(m)
	if err := goleak.Find(); err != nil {
		_, _ = io.WriteString(os.Stderr, "goroutines are left after the last test: "+err.Error()+"\n")
		return max(code, 1)
	}
	return code
}

// log is what the program wrote. The zero value is ready.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
