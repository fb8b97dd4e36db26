package app_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

// configuration is one that serves on free ports.
func configuration(t *testing.T, database string) config.Config {
	t.Helper()
	return config.Config{
		Env: config.Development, Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", DataDir: t.TempDir(), DatabaseConns: 4,
		DatabaseURL: config.Secret(database), Demo: new(true), Hold: time.Minute, HoldLimit: time.Hour, RequestTimeout: apitest.Patience, DrainTimeout: 4 * time.Second,
	}
}

func timeLimit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*apitest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// elsewhere is the command for another process of this binary, which runs one test and is told by variables. What it keeps
// in temporary folders goes away with t: by itself a process that is killed would leave it.
func elsewhere(ctx context.Context, t *testing.T, test string, variables ...string) *exec.Cmd {
	t.Helper()
	process := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$")
	process.Env = slices.Concat(os.Environ(), []string{"TMPDIR=" + t.TempDir()}, variables)
	return process
}

func open(t *testing.T, url string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(timeLimit(t), postgres.Config{URL: url, MaxConns: 2, ApplicationName: "looking on"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func texts(t *testing.T, db *postgres.DB, query string) []string {
	t.Helper()
	rows, err := db.SQL().QueryContext(timeLimit(t), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := postgres.Collect(rows, func(row *sql.Rows) (text string, err error) {
		err = row.Scan(&text)
		return text, err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return list
}

// eventually waits until another process has done something.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx := timeLimit(t)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: it does not come to that", what)
		case <-ticker.C:
		}
	}
}

// output is what a command shows to the operator.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

var quiet = slog.New(slog.DiscardHandler)

func command(cfg config.Config) (app.Command, *output) {
	out := &output{}
	return app.Command{Config: cfg, Log: quiet, Out: out}, out
}

// sentence fails the test unless err is one sentence for a person, without any of the secrets.
func sentence(t *testing.T, err error, says string, secrets ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it went well")
	}
	text := err.Error()
	if strings.Contains(text, "\n") || strings.Contains(text, "goroutine") || strings.Contains(text, "%!") || len(text) > 500 || !strings.Contains(text, says) {
		t.Errorf("no sentence that says %q: %s", says, text)
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("it tells a secret: %s", text)
		}
	}
}

// free fails the test unless an address can be listened on.
func free(t *testing.T, address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Errorf("the port is not free again: %v", err)
		return
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

// taken returns an address that nobody else can listen on until the test is over.
func taken(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// spare returns an address that nobody listens on at this moment.
func spare(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

// nobody fails the test unless the program has left the database alone.
func nobody(t *testing.T, database string) {
	t.Helper()
	db := open(t, database)
	eventually(t, "the program leaves the database", func() bool {
		return texts(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'looking on'`)[0] == "0"
	})
}
