package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"marquee/internal/bench/server"
	"marquee/internal/bench/wire"
)

// result is what a run came to.
type result struct {
	reserved, refused, failed int
	failure                   string          // the first answer that was neither
	latencies                 []time.Duration // of every request, or of reserving and paying together; ascending
	elapsed                   time.Duration
	cpu                       time.Duration // of the API's process; 0 where there is none
	client                    time.Duration // processor time of the load generator
}

func (r *result) attempts() int { return r.reserved + r.refused + r.failed }

func (r *result) attemptsPerSecond() float64 { return float64(r.attempts()) / r.elapsed.Seconds() }

func (r *result) reservedPerSecond() float64 { return float64(r.reserved) / r.elapsed.Seconds() }

// add counts one request.
func (r *result) add(o outcome, took time.Duration, body []byte) {
	r.latencies = append(r.latencies, took)
	switch o {
	case reserved:
		r.reserved++
	case refused:
		r.refused++
	default:
		r.failed++
		if r.failure == "" {
			const telling = 300
			r.failure = string(body[:min(len(body), telling)])
		}
	}
}

// merge adds another client's counts.
func (r *result) merge(other *result) {
	r.reserved += other.reserved
	r.refused += other.refused
	r.failed += other.failed
	if r.failure == "" {
		r.failure = other.failure
	}
	r.latencies = append(r.latencies, other.latencies...)
}

// load drives the API: one connection and one goroutine for each client, each with one request under way.
type load struct {
	names  *names
	server *server.Server
	spread []int // the spots in the order in which a busy day wants them
	queue  []int // those of one showtime after the other
}

func newLoad(n *names, marquee *server.Server) *load {
	l := &load{names: n, server: marquee, spread: rand.Perm(spots), queue: make([]int, spots)}
	for i := range l.queue {
		l.queue[i] = i
	}
	return l
}

// client is one connection with all that it needs, so that the run itself begins at once.
type client struct {
	conn   *wire.Conn
	writer *writer
	random *rand.Rand
	pick   pick
	result result
}

// grace is how long the last requests of a run may take.
const grace = 30 * time.Second

// run reserves, and where the scenario says so pays, for the given time.
func (l *load) run(ctx context.Context, s scenario, clients int, duration time.Duration) (_ *result, err error) {
	crew, err := l.crew(ctx, s, clients, time.Now().Add(duration+grace))
	defer func() {
		for _, c := range crew {
			err = errors.Join(err, c.conn.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	before, err := l.server.CPU()
	if err != nil {
		return nil, err
	}
	own, err := ownCPU()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range crew {
		group.Go(func() error { return c.run(ctx, s.paid, start.Add(duration)) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	total := &result{elapsed: time.Since(start)}
	after, err := l.server.CPU()
	if err != nil {
		return nil, err
	}
	ownAfter, err := ownCPU()
	if err != nil {
		return nil, err
	}
	total.cpu, total.client = after-before, ownAfter-own
	for _, c := range crew {
		total.merge(&c.result)
	}
	slices.Sort(total.latencies)
	return total, nil
}

// crew connects the clients; on failure it returns those that are connected.
func (l *load) crew(ctx context.Context, s scenario, clients int, deadline time.Time) ([]*client, error) {
	var taken atomic.Int64
	next := func() int { return int(taken.Add(1) - 1) }
	crew := make([]*client, 0, clients)
	for range clients {
		conn, err := wire.Dial(ctx, l.server.Address(), deadline)
		if err != nil {
			return crew, err
		}
		c := &client{conn: conn, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
		crew = append(crew, c)
		if c.writer, err = newWriter(l.names, l.server.Address()); err != nil {
			return crew, err
		}
		switch {
		case s.again:
			c.pick = hotPick(c.random)
		case s.spread:
			c.pick = freePick(c.random, l.spread, next)
		default:
			c.pick = freePick(c.random, l.queue, next)
		}
	}
	return crew, nil
}

// run sends one request after the other until the time is over, and waits for the last answer.
func (c *client) run(ctx context.Context, paid bool, until time.Time) error {
	for begun := time.Now(); begun.Before(until) && ctx.Err() == nil; {
		s, ok := c.pick()
		if !ok {
			return errors.New("there are no more seats to ask for: choose a shorter -duration")
		}
		status, body, err := c.conn.Do(c.writer.write(s, newKey(c.random)))
		if err != nil {
			return fmt.Errorf("a client of the API: %w", err)
		}
		came := judge(status, body)
		if paid && came == reserved {
			status, body, err = c.conn.Do(c.writer.pay(heldID(body), s.viewer, newKey(c.random)))
			if err != nil {
				return fmt.Errorf("a client of the API: %w", err)
			}
			came = judgePaid(status, body)
		}
		answered := time.Now()
		c.result.add(came, answered.Sub(begun), body)
		begun = answered
	}
	return ctx.Err()
}

// ownCPU is the processor time that this program has used.
func ownCPU() (time.Duration, error) {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("read the processor time of this program: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}
