//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// feed is the plan of -feed: how long a reservation takes to reach the screens of those who watch one hot showtime, with
// the pauses that the server makes when nobody has set it otherwise. Half of the events are seats that are reserved, half
// such that are given back.
func (s settings) feed() settings {
	s.subscribers, s.rate, s.interval = []int{2000}, 100, 50*time.Millisecond
	return s
}

// watchFeed measures the phase with a rate alone, of Marquee alone, and judges the delay of its slowest run.
func watchFeed(ctx context.Context, s settings, at place, out io.Writer) error {
	n, began := s.subscribers[0], time.Now()
	var worst *result
	for range s.reps {
		r, err := watchOnce(ctx, s, at, n)
		if err != nil {
			fmt.Fprintln(out, "RESULT errors=1 verdict=failed")
			return err
		}
		fmt.Fprintf(out, "%d watchers, %d events at %g a second: p50 %.1f ms, p99 %.1f ms, %.2f cores\n", n, r.events, s.rate,
			milliseconds(float64(r.latency.percentile(50))), milliseconds(float64(r.latency.percentile(99))), r.processor.Seconds()/r.elapsed.Seconds())
		if worst == nil || r.latency.percentile(99) > worst.latency.percentile(99) {
			worst = r
		}
	}
	verdict, p99 := "ok", worst.latency.percentile(99)
	var err error
	if p99 > s.p99 {
		verdict, err = "failed", fmt.Errorf("99 of 100 changes are on the screens within %s, more than %s", p99, s.p99)
	}
	fmt.Fprintln(out, strings.Join([]string{
		"RESULT", fmt.Sprintf("watchers=%d reservations_per_second=%g", n, s.rate/2), fmt.Sprintf("p50_ms=%.1f", milliseconds(float64(worst.latency.percentile(50)))),
		fmt.Sprintf("p99_ms=%.1f", milliseconds(float64(p99))), fmt.Sprintf("maps_equal=%d_of_%d", n, n), "lost=0 errors=0",
		fmt.Sprintf("seconds=%.0f", time.Since(began).Seconds()), "verdict=" + verdict,
	}, " "))
	return err
}

// watchOnce lets a fresh server tell n watchers of what is reserved and given back.
func watchOnce(ctx context.Context, s settings, at place, n int) (r *result, err error) {
	if err := reset(ctx, at.db); err != nil {
		return nil, err
	}
	sd, err := startProduct(ctx, s, at, time.Now().Add(longest))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sd.stop(ctx)) }()
	d := &drive{pid: sd.pid(), plan: sales(), publish: sd.sell, crew: &errgroup.Group{}}
	if err := d.warmUp(ctx, s, sd); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	if d.crowd, err = gather(ctx, sd.address(), n); err != nil {
		return nil, fmt.Errorf("%d watchers: %w", n, err)
	}
	defer func() { err = errors.Join(err, d.crowd.disperse()) }()
	d.sent, r = 0, &result{}
	return r, d.phase(ctx, r, func() error { return d.atRate(ctx, s.rate, s.duration) })
}
