//go:build linux

// Package main is the live benchmark: how many seat map events reach the subscribers of one showtime through the whole of
// Marquee, beside a bare gorilla broadcast of messages that are encoded once and written one by one.
//
// Both sides are processes of their own, take turns within the same run, and are read by the same client, which checks
// every message: a delta that does not follow the version before it, or a map that is not the truth in the end, fails the
// run whatever its speed. The floor is told of each change over HTTP and does nothing but write. On the side of Marquee,
// at a rate, every event is a seat that a signed-in viewer reserves or gives back over HTTP: transaction, hint, one read
// of the seats and one execution stand between the request and the subscribers. As fast as all are delivered, reserving
// would be what is measured: there each event is a seat that the house blocks or frees in the database, and the hint comes
// from another node of the cluster.
//
// Marquee hands on at most one delta in MARQUEE_LIVE_INTERVAL, 50 ms by default, so that it would never be asked for more
// than 20 events a second. The benchmark sets it to the least there is, and makes the next change when the server has taken
// in the one before it, so that each becomes a delta of its own: changes that come faster become one message, and messages
// are what is counted.
//
// With -feed it asks another question, of Marquee alone: how soon the watchers of a hot showtime see what is reserved.
//
// Client, server and PostgreSQL share the processors. The client of an event is counted from the moment it was due.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"marquee/internal/bench/server"
	"marquee/internal/postgres"
	"marquee/internal/postgres/local"
)

// settings are what the command line says.
type settings struct {
	binary      string
	duration    time.Duration
	reps        int
	subscribers []int
	rate        float64
	interval    time.Duration
	bar         float64
	p99         time.Duration
	feedAlone   bool
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == broadcastCommand {
		fmt.Fprintln(os.Stderr, "bench-live:", broadcast(os.Stdout))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-live:", err)
		os.Exit(1)
	}
}

const (
	mostSubscribers = 9000 // the server takes 10,000 sockets, and each needs a file on either side
	spareFiles      = 200
	databaseName    = "marquee"
	starting        = 3 * time.Minute
	stopping        = time.Minute
	longest         = 30 * time.Minute // of a whole run
)

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench-live", flag.ContinueOnError)
	flags.StringVar(&s.binary, "binary", "bin/marquee", "the built `program`")
	flags.DurationVar(&s.duration, "duration", 5*time.Second, "of each phase, in whole seconds")
	flags.IntVar(&s.reps, "reps", 3, "runs of each side")
	subscribers := flags.String("subscribers", "1000,5000", "how many sockets watch, one after the other")
	flags.Float64Var(&s.rate, "rate", 20, "`events` a second of the phase with a rate")
	flags.DurationVar(&s.interval, "interval", time.Millisecond, "the server's MARQUEE_LIVE_INTERVAL")
	flags.Float64Var(&s.bar, "bar", 1, "least `ratio` of messages a second to the broadcast")
	flags.DurationVar(&s.p99, "p99", 150*time.Millisecond, "longest 99th percentile of the phase with a rate")
	flags.BoolVar(&s.feedAlone, "feed", false, "how soon 2,000 watchers see 50 reservations a second, and nothing else")
	short := flags.Bool("short", false, "a minute's version for machines that do other things too: 1,000 sockets, and a p99 of half a second")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.feedAlone {
		return s.feed(), nil
	}
	if *short {
		*subscribers, s.duration, s.p99 = "1000", 2*time.Second, 500*time.Millisecond
	}
	for text := range strings.SplitSeq(*subscribers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostSubscribers {
			return s, fmt.Errorf("-subscribers must be numbers from 1 to %d with commas between them, not %q", mostSubscribers, *subscribers)
		}
		s.subscribers = append(s.subscribers, n)
	}
	const longestPhase = time.Minute
	if s.duration < time.Second || s.duration > longestPhase || s.duration%time.Second != 0 {
		return s, fmt.Errorf("-duration must be 1s to %s in whole seconds, not %s", longestPhase, s.duration)
	}
	const mostReps = 20
	if s.reps < 1 || s.reps > mostReps {
		return s, fmt.Errorf("-reps must be 1 to %d, not %d", mostReps, s.reps)
	}
	// A seat is taken again only after the others: faster than this its events could overtake each other.
	if s.rate < 1 || s.rate > distance {
		return s, fmt.Errorf("-rate must be 1 to %d, not %g", distance, s.rate)
	}
	return s, nil
}

// allowFiles raises the limit of open files of this process and of those it starts.
func allowFiles(n int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Cur >= uint64(n) {
		return nil
	}
	limit.Cur = uint64(n)
	limit.Max = max(limit.Max, limit.Cur)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", n, err)
	}
	return nil
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
	ctx, done := context.WithTimeout(ctx, longest)
	defer done()
	most := 0
	for _, n := range s.subscribers {
		most = max(most, n)
	}
	if err := allowFiles(most + spareFiles); err != nil {
		return err
	}
	dir, err := server.Folder("marquee-live-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := local.Start(ctx, local.Options{
		Dir: filepath.Join(dir, "postgres"), BinDir: os.Getenv("MARQUEE_PG_BIN"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	if err := cluster.EnsureDatabase(ctx, databaseName); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Config{
		URL: cluster.URL(databaseName), MaxConns: 2, ApplicationName: "marquee bench", StatementTimeout: patience, LockTimeout: patience,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keyset, err := build(ctx, db)
	if err != nil {
		return err
	}
	at := place{dir: dir, url: cluster.URL(databaseName), keyset: keyset, db: db}
	if s.feedAlone {
		return watchFeed(ctx, s, at, out)
	}
	r := report{settings: s}
	for _, n := range s.subscribers {
		p := &pair{subscribers: n}
		for rep := range s.reps {
			if err := p.turn(ctx, s, rep, at); err != nil {
				fmt.Fprintln(out, "RESULT errors=1 verdict=failed")
				return err
			}
		}
		r.pairs = append(r.pairs, p)
	}
	return r.print(out, time.Since(began))
}

// turn lets both sides run, the one that began last time second.
func (p *pair) turn(ctx context.Context, s settings, rep int, at place) error {
	deadline := time.Now().Add(longest)
	floor := func() (side, error) { return startFloor(ctx, deadline) }
	product := func() (side, error) {
		if err := reset(ctx, at.db); err != nil {
			return nil, err
		}
		return startProduct(ctx, s, at, deadline)
	}
	first, second := floor, product
	to, then := &p.floor, &p.product
	if rep%2 == 1 {
		first, second, to, then = second, first, then, to
	}
	if err := one(ctx, s, first, p.subscribers, to); err != nil {
		return err
	}
	return one(ctx, s, second, p.subscribers, then)
}

// one starts a side, measures it and stops it.
func one(ctx context.Context, s settings, start func() (side, error), n int, to *[]*outcome) (err error) {
	sd, err := start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sd.stop(ctx)) }()
	o, err := measure(ctx, s, sd, n)
	*to = append(*to, o)
	return err
}

func selfPID() int { return os.Getpid() }
