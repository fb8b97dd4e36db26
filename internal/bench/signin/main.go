// Package main proves that the cost of signing in is bounded: while 200 clients sign in without a pause, an anonymous
// visitor who asks for movies gets 99 of 100 answers within a quarter of a second.
//
// Everything starts from nothing: a private cluster, the demo world, the built binary. The clients are of four kinds, and
// each sends its next request as soon as it has an answer, even when that says to wait. Three kinds come as a crowd would,
// from another address with every request, so that no limit refuses them before a password is hashed: with the right
// password, with a wrong one, for addresses that nobody has. The fourth guesses at one account from one address, which
// the limits of guesses and of calls refuse. The visitor's requests are due at a fixed rate and are counted from the
// moment they were due, so that a request that waits for the one before it is late too.
//
// Beside the visitor's time the bars are: no wrong password gets a session and no right one is called wrong, no answer
// is anything but a session, a refusal or THROTTLED, both of the latter are seen, people with the right password get in
// all the while, no more hashes run or wait than the server says it allows, and all of its memory stays within a bound.
//
// Clients, server and PostgreSQL share the processors.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"

	"marquee/internal/bench/server"
	"marquee/internal/postgres"
	"marquee/internal/postgres/local"
	"marquee/internal/typeid"
)

// settings are what the command line says.
type settings struct {
	binary   string
	duration time.Duration
	p99      time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove-signin:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("prove-signin", flag.ContinueOnError)
	flags.StringVar(&s.binary, "binary", "bin/marquee", "the built `program`")
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "of the flood, 1s to 1m")
	flags.DurationVar(&s.p99, "p99", 250*time.Millisecond, "longest 99th percentile of the visitor's times")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	const longest = time.Minute
	if s.duration < time.Second || s.duration > longest {
		return s, fmt.Errorf("-duration must be 1s to %s, not %s", longest, s.duration)
	}
	return s, nil
}

const (
	databaseName = "marquee"
	starting     = 3 * time.Minute
	stopping     = 30 * time.Second
	// calm is how long the visitor is alone before the flood and after it.
	calm = 3 * time.Second
	// patience is what each phase gets beyond its duration, for the answers that are under way.
	patience = 15 * time.Second
)

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	began := time.Now()
	dir, err := server.Folder("marquee-signin-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := local.Start(ctx, local.Options{Dir: filepath.Join(dir, "postgres"), BinDir: os.Getenv("MARQUEE_PG_BIN")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	if err := cluster.EnsureDatabase(ctx, databaseName); err != nil {
		return err
	}
	url := cluster.URL(databaseName)
	db, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: 2, ApplicationName: "marquee prove-signin"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	keyset, err := makeAccounts(ctx, db)
	if err != nil {
		return err
	}
	marquee, logPath, err := serve(ctx, s.binary, dir, url, keyset)
	if err != nil {
		return err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
		defer cancel()
		err = errors.Join(err, marquee.Stop(stopCtx))
		if err != nil {
			fmt.Fprintf(out, "The server's last words:\n%s\n", server.Tail(logPath, 20))
		}
	}()
	if err := givePasswords(ctx, db); err != nil {
		return err
	}
	fmt.Fprintf(out, "ready after %.1f s: %d accounts; %s of calm, %s of %d clients who sign in, %s of calm\n",
		time.Since(began).Seconds(), accounts, calm, s.duration, clients, calm)
	r, err := measure(ctx, marquee, s)
	if err != nil {
		fmt.Fprintln(out, "RESULT errors=1 verdict=failed")
		return err
	}
	return r.print(out, time.Since(began))
}

// makeAccounts makes the accounts that are signed in to, with no password yet.
func makeAccounts(ctx context.Context, db *postgres.DB) (keyset string, err error) {
	if err := postgres.Migrate(ctx, db, slog.New(slog.DiscardHandler), nil); err != nil {
		return "", err
	}
	ids := make([]uuid.UUID, accounts)
	for i := range ids {
		ids[i] = typeid.New()
	}
	return server.Viewers(ctx, db, ids)
}

// givePasswords gives all accounts the password of a demo account: hashing one for each would take longer than the proof.
func givePasswords(ctx context.Context, db *postgres.DB) error {
	done, err := db.SQL().ExecContext(ctx, `UPDATE users SET password_hash = (SELECT min(d.password_hash) FROM users d
		WHERE d.password_hash <> 'none' AND NOT EXISTS (SELECT FROM role_grants WHERE user_id = d.id)) WHERE password_hash = 'none'`)
	if err != nil {
		return fmt.Errorf("give the accounts a password: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n != accounts {
		return errors.Join(err, fmt.Errorf("%d of %d accounts got a password", n, accounts))
	}
	return nil
}

// serve starts the binary with the demo world, behind a proxy that names the clients, and waits until it is ready.
func serve(ctx context.Context, binary, dir, url, keyset string) (_ *server.Server, logPath string, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the program instead
	logPath = filepath.Join(dir, "marquee.log")
	log, err := os.Create(logPath)
	if err != nil {
		return nil, "", fmt.Errorf("make a log: %w", err)
	}
	defer log.Close() // the process has a handle of its own
	marquee, err := server.Start(server.Options{
		Binary: binary,
		Env: map[string]string{
			"MARQUEE_ENV":             "development",
			"MARQUEE_DATA_DIR":        filepath.Join(dir, "data"),
			"MARQUEE_DATABASE_URL":    url,
			"MARQUEE_DEMO":            "true",
			"MARQUEE_KEYSET":          keyset,
			"MARQUEE_SECRET_KEY":      base64.StdEncoding.EncodeToString(secret),
			"MARQUEE_TRUSTED_PROXIES": "127.0.0.0/8",
		},
		Log: log,
	})
	if err != nil {
		return nil, logPath, err
	}
	startCtx, cancel := context.WithTimeoutCause(ctx, starting, errors.New("the start took too long"))
	defer cancel()
	if err := marquee.Ready(startCtx); err != nil {
		return nil, logPath, errors.Join(err, fmt.Errorf("its last words:\n%s", server.Tail(logPath, 20)), marquee.Stop(startCtx))
	}
	return marquee, logPath, nil
}
