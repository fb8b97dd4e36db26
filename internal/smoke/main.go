// Package main is the smoke test: from nothing it starts the built binary, on free ports and in a temporary folder, and
// books seats through it as clients on the network do, over HTTP and graphql-transport-ws, until it has seen what a
// customer and a watcher see: a seat map that changes under their eyes, a refusal with alternatives, a payment, a
// decline, an expired hold, a refund, and a server that goes away and comes back with everything it knew.
//
// It prints one line a step and ends with exit code 0 only when every step held. It waits on events and probes with
// deadlines, never for a fixed time, and leaves neither process nor file behind.
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
	"syscall"
	"time"

	"marquee/internal/bench/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
}

const (
	// hold is how long seats are held: long enough to pay on a busy machine, short enough to see a hold expire.
	hold = 6 * time.Second

	// stopping bounds the clean-up, which begins when all else is over.
	stopping = 30 * time.Second
)

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("smoke", flag.ContinueOnError)
	binary := flags.String("binary", "bin/marquee", "the built `program`")
	within := flags.Duration("within", time.Minute, "time for everything together")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	began := time.Now()
	dir, err := server.Folder("marquee-smoke-")
	if err != nil {
		return err
	}
	s := &story{binary: *binary, dir: dir, logPath: filepath.Join(dir, "marquee.log")}
	defer func() { err = errors.Join(err, s.cleanUp()) }()

	ctx, cancel := context.WithTimeoutCause(ctx, *within, fmt.Errorf("everything together took longer than %s", *within))
	defer cancel()
	steps := s.steps()
	for i, step := range steps {
		start := time.Now()
		err := step.run(ctx)
		took := float64(time.Since(start)) / float64(time.Millisecond)
		if err != nil {
			fmt.Fprintf(out, "%8.1f ms  FAILED  %s\n\nThe server's last words:\n%s\n\nRESULT failed steps=%d of=%d seconds=%.1f\n",
				took, step.name, server.Tail(s.logPath, 20), i, len(steps), time.Since(began).Seconds())
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(out, "%8.1f ms  ok  %s\n", took, step.name)
	}
	fmt.Fprintf(out, "RESULT ok steps=%d seconds=%.1f\n", len(steps), time.Since(began).Seconds())
	return nil
}
