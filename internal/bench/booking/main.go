// Package main is the booking benchmark: how many reservations per second come through the whole of Marquee (HTTP,
// session, GraphQL, domain) beside what PostgreSQL does when pgbench calls the very same function claim_seats.
//
// Everything starts from nothing: a private durable cluster, a world of 2,000 showtimes, the built binary. Both sides
// do the same work for each reservation and take turns within minutes on the same machine, so that what else happens
// there cancels out. Load generator, API and PostgreSQL share its processors. After each run the tables are examined:
// a benchmark that sells a seat twice, or counts what is not there, fails whatever its speed.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"marquee/internal/bench/server"
	"marquee/internal/postgres"
	"marquee/internal/postgres/local"
)

// settings are what the command line says.
type settings struct {
	binary   string
	duration time.Duration
	reps     int
	clients  []int
	bar      float64
	late     float64
	profile  string
	only     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-booking:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench-booking", flag.ContinueOnError)
	flags.StringVar(&s.binary, "binary", "bin/marquee", "the built `program`")
	flags.DurationVar(&s.duration, "duration", 2*time.Second, "of each run, in whole seconds")
	flags.IntVar(&s.reps, "reps", 5, "runs of each side")
	clients := flags.String("clients", "16,64", "how many clients at once, one after the other")
	flags.Float64Var(&s.bar, "bar", 0.65, "least `ratio` of the API to the database alone")
	flags.Float64Var(&s.late, "late", 2.5, "most `times` that the API's slowest hundredth of reservations may take of the database's")
	flags.StringVar(&s.profile, "profile", "", "`folder` for CPU profiles of the API under load; none by default")
	flags.StringVar(&s.only, "only", "", "the `scenario` to run; all by default")
	short := flags.Bool("short", false, "a minute's version: two runs of each side")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *short {
		s.reps = 2
	}
	for text := range strings.SplitSeq(*clients, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostClients {
			return s, fmt.Errorf("-clients must be numbers from 1 to %d with commas between them, not %q", mostClients, *clients)
		}
		s.clients = append(s.clients, n)
	}
	if s.only != "" && !slices.ContainsFunc(scenarios, func(one scenario) bool { return one.name == s.only }) {
		return s, fmt.Errorf("-only must be a scenario, not %q", s.only)
	}
	// More would run out of seats that nobody has asked for.
	const longest = 8 * time.Second
	if s.duration < time.Second || s.duration > longest || s.duration%time.Second != 0 {
		return s, fmt.Errorf("-duration must be 1s to %s in whole seconds, not %s", longest, s.duration)
	}
	const mostReps = 20
	if s.reps < 1 || s.reps > mostReps {
		return s, fmt.Errorf("-reps must be 1 to %d, not %d", mostReps, s.reps)
	}
	return s, nil
}

const (
	mostClients = 128
	// maxConnections covers pgbench, the API's pool and this program's.
	maxConnections = mostClients + 72
	databaseName   = "marquee"
	starting       = 3 * time.Minute
	stopping       = time.Minute
	warmUp         = 2 * time.Second
)

// bench is what all runs share.
type bench struct {
	settings
	out    io.Writer
	dir    string
	url    string // of the database, with its password
	keyset string
	db     *postgres.DB
	floor  *floor
	names  *names
	told   int64 // entries of the sandbox's journal that were examined
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	began := time.Now()
	dir, err := server.Folder("marquee-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := local.Start(ctx, local.Options{
		Dir: filepath.Join(dir, "postgres"), BinDir: os.Getenv("MARQUEE_PG_BIN"), MaxConnections: maxConnections,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	if err := cluster.EnsureDatabase(ctx, databaseName); err != nil {
		return err
	}
	b := &bench{settings: s, out: out, dir: dir, url: cluster.URL(databaseName), names: newNames()}
	b.db, err = postgres.Open(ctx, postgres.Config{
		URL: b.url, MaxConns: 4, ApplicationName: "marquee bench", StatementTimeout: patience, LockTimeout: patience,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.db.Close()) }()
	if b.floor, err = newFloor(cluster.BinDir(), dir, b.url, b.db); err != nil {
		return err
	}
	if b.keyset, err = build(ctx, b.db); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d showtimes of %d seats ready after %.1f s; runs of %s, %d of each side\n",
		showtimes, seats, time.Since(began).Seconds(), s.duration, s.reps)
	if s.profile != "" {
		if err := os.MkdirAll(s.profile, 0o755); err != nil {
			return fmt.Errorf("make a folder for profiles: %w", err)
		}
	}
	r := report{bar: s.bar, late: s.late}
	for _, scenario := range scenarios {
		if s.only != "" && s.only != scenario.name {
			continue
		}
		pairs, err := b.play(ctx, scenario)
		if err != nil {
			fmt.Fprintln(out, "RESULT errors=1 verdict=failed")
			return fmt.Errorf("scenario %s: %w", scenario.name, err)
		}
		r.pairs = append(r.pairs, pairs...)
	}
	return r.print(out, time.Since(began))
}

// play runs a scenario for each number of clients, against a server whose holds last as the scenario says.
func (b *bench) play(ctx context.Context, s scenario) (_ []*pair, err error) {
	marquee, logPath, err := b.serve(s)
	if err != nil {
		return nil, err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
		defer cancel()
		err = errors.Join(err, marquee.Stop(stopCtx))
		if err != nil {
			fmt.Fprintf(b.out, "The server's last words:\n%s\n", server.Tail(logPath, 20))
		}
	}()
	startCtx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	if err := marquee.Ready(startCtx); err != nil {
		return nil, err
	}
	api := newLoad(b.names, marquee)
	// What a server remembers of showtimes, layouts and statements it has after the first seconds of its life.
	if _, err := b.measure(ctx, scenarios[0], b.clients[0], warmUp, api.run, nil); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	pairs := make([]*pair, 0, len(b.clients))
	for _, clients := range b.clients {
		p := &pair{scenario: s, clients: clients}
		for rep := range b.reps {
			if err := b.turn(ctx, p, rep, api); err != nil {
				return nil, err
			}
		}
		pairs = append(pairs, p)
		if b.profile != "" {
			if err := b.writeProfile(ctx, s, clients, marquee, api); err != nil {
				return nil, err
			}
		}
	}
	return pairs, nil
}

// serve starts the binary on the bench's database as an operator would in production.
func (b *bench) serve(s scenario) (_ *server.Server, logPath string, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the program instead
	if err := b.names.sign(secret); err != nil {
		return nil, "", err
	}
	logPath = filepath.Join(b.dir, s.name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return nil, "", fmt.Errorf("make a log: %w", err)
	}
	defer log.Close() // the process has a handle of its own
	marquee, err := server.Start(server.Options{
		Binary: b.binary,
		Args:   []string{"--empty"},
		Env: map[string]string{
			"MARQUEE_ENV":          "production",
			"MARQUEE_GATEWAYS":     "sandbox",
			"MARQUEE_PUBLIC_URL":   "http://localhost:8080",
			"MARQUEE_SMTP_URL":     "smtp://localhost:25?tls=off",
			"MARQUEE_MAIL_FROM":    "bench@marquee.example",
			"MARQUEE_DATA_DIR":     b.data(),
			"MARQUEE_DATABASE_URL": b.url,
			"MARQUEE_KEYSET":       b.keyset,
			"MARQUEE_SECRET_KEY":   base64.StdEncoding.EncodeToString(secret),
			"MARQUEE_HOLD":         s.hold.String(),
			// All clients come from one address.
			"MARQUEE_RATE_VIEWER":           "0",
			"MARQUEE_RATE_ADDRESS":          "0",
			"MARQUEE_RATE_PURCHASE_VIEWER":  "0",
			"MARQUEE_RATE_PURCHASE_ADDRESS": "0",
			"MARQUEE_SEATS_PER_ADDRESS":     "0",
			"MARQUEE_IDLE_HOLDS":            "0",
		},
		Log: log,
	})
	return marquee, logPath, err
}

// side runs one of the two.
type side func(ctx context.Context, s scenario, clients int, duration time.Duration) (*result, error)

// turn lets both sides run, the one that began last time second.
func (b *bench) turn(ctx context.Context, p *pair, rep int, api *load) error {
	turns := []struct {
		run side
		to  *[]*result
	}{{b.floor.run, &p.floor}, {api.run, &p.api}}
	if rep%2 == 1 {
		slices.Reverse(turns)
	}
	for _, turn := range turns {
		r, err := b.measure(ctx, p.scenario, p.clients, b.duration, turn.run, &p.audit)
		if err != nil {
			return err
		}
		*turn.to = append(*turn.to, r)
	}
	return nil
}

// measure makes one run on empty tables and examines what it left; findings are added to the sum, where one is given.
func (b *bench) measure(ctx context.Context, s scenario, clients int, duration time.Duration, run side, sum *audit) (*result, error) {
	if err := reset(ctx, b.db); err != nil {
		return nil, err
	}
	r, err := run(ctx, s, clients, duration)
	if err != nil {
		return nil, err
	}
	if err := b.copyCharges(ctx); err != nil {
		return nil, err
	}
	if sum == nil {
		return r, nil
	}
	found, err := examine(ctx, b.db, s)
	if err != nil {
		return nil, err
	}
	sum.add(found)
	switch {
	case r.failed > 0:
		return nil, fmt.Errorf("%d requests failed, the first with: %s", r.failed, r.failure)
	case r.reserved != found.reservations:
		return nil, fmt.Errorf("%d reservations were promised and %d are there", r.reserved, found.reservations)
	case !s.again && r.refused > 0:
		return nil, fmt.Errorf("%d reservations were refused that nobody competed for", r.refused)
	}
	return r, nil
}

// writeProfile samples the server's CPU during one more run.
func (b *bench) writeProfile(ctx context.Context, s scenario, clients int, marquee *server.Server, api *load) error {
	type page struct {
		status int
		body   string
		err    error
	}
	seconds := int(b.duration.Seconds())
	sampled := make(chan page, 1)
	go func() {
		var p page
		p.status, p.body, p.err = server.Get(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", marquee.Ops(), seconds))
		sampled <- p
	}()
	_, err := b.measure(ctx, s, clients, b.duration, api.run, nil)
	p := <-sampled
	if err := errors.Join(err, p.err); err != nil {
		return err
	}
	if p.status != http.StatusOK {
		return fmt.Errorf("no profile: %s", p.body)
	}
	path := filepath.Join(b.profile, fmt.Sprintf("%s-%d.pprof", s.name, clients))
	if err := os.WriteFile(path, []byte(p.body), 0o644); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	fmt.Fprintf(b.out, "profile: %s\n", path)
	return nil
}
