//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// side is one of the two that are compared.
type side interface {
	name() string
	address() string
	pid() int
	sell(c change) error  // as a viewer
	block(c change) error // as the house; it returns when the next change may follow
	stop(ctx context.Context) error
}

// inFlight is how many events may be on their way at once when they flow as fast as they are delivered: enough that a server
// which writes what it has in rounds always has something, and fewer than lie between two changes of a seat.
const inFlight = 48

// result is what a phase came to.
type result struct {
	events, messages int
	elapsed          time.Duration // from the first event to the last delivery
	processor        time.Duration // of the server
	client           time.Duration // processor time of this program
	latency          histogram     // from the moment an event was due to its arrival, at each subscriber
}

func (r *result) messagesPerSecond() float64 { return float64(r.messages) / r.elapsed.Seconds() }

// processorPerMessage is in microseconds.
func (r *result) processorPerMessage() float64 {
	return float64(r.processor.Microseconds()) / float64(max(r.messages, 1))
}

// outcome is what a side came to with a number of subscribers.
type outcome struct {
	rated, fast       result
	idleKiB, afterKiB float64 // memory that each subscriber adds: before the first event, after the last
}

// measure runs both phases of a side with n subscribers.
func measure(ctx context.Context, s settings, sd side, n int) (_ *outcome, err error) {
	d := &drive{pid: sd.pid(), plan: sales(), publish: sd.sell}
	if err := d.warmUp(ctx, s, sd); err != nil {
		return nil, fmt.Errorf("%s: %w", sd.name(), err)
	}
	before, err := residentKiB(sd.pid())
	if err != nil {
		return nil, err
	}
	c, err := gather(ctx, sd.address(), n)
	if err != nil {
		return nil, fmt.Errorf("%s with %d subscribers: %w", sd.name(), n, err)
	}
	defer func() { err = errors.Join(err, c.disperse()) }()
	o := &outcome{}
	perSubscriber := func() float64 {
		after, readErr := residentKiB(sd.pid())
		err = errors.Join(err, readErr)
		return float64(after-before) / float64(n)
	}
	o.idleKiB = perSubscriber()
	d.crowd, d.sent = c, 0
	if err := d.phase(ctx, &o.rated, func() error { return d.atRate(ctx, s.rate, s.duration) }); err != nil {
		return nil, fmt.Errorf("%s with %d subscribers at %g events a second: %w", sd.name(), n, s.rate, err)
	}
	d.plan, d.publish = blocks(), sd.block
	if err := d.phase(ctx, &o.fast, func() error { return d.asDelivered(ctx, s.duration) }); err != nil {
		return nil, fmt.Errorf("%s with %d subscribers as fast as delivered: %w", sd.name(), n, err)
	}
	o.afterKiB = perSubscriber()
	return o, err
}

// drive publishes the changes of a plan to a crowd.
type drive struct {
	crowd   *crowd
	pid     int // of the server
	plan    *plan
	publish func(change) error
	truth   [seats]byte
	sent    int64 // changes
	// crew publishes events at a rate beside each other, so that a slow one holds up nobody; nil: one after the other.
	crew *errgroup.Group
}

// send publishes the next change, which was due at a time of the crowd's clock.
func (d *drive) send(due time.Duration) error {
	c := d.plan.next()
	d.crowd.due[c.seat-1].Store(int64(due))
	d.truth[c.seat-1] = c.state
	d.sent++
	if d.crew != nil {
		d.crew.Go(func() error { return d.publish(c) })
		return nil
	}
	return d.publish(c)
}

// warmUp lets a few subscribers watch for a moment: what a server keeps for the first of them, whoever comes later, is no
// memory of a subscriber.
func (d *drive) warmUp(ctx context.Context, s settings, sd side) (err error) {
	const few = 20
	if d.crowd, err = gather(ctx, sd.address(), few); err != nil {
		return err
	}
	err = d.phase(ctx, &result{}, func() error { return d.atRate(ctx, s.rate, 2*time.Second) })
	return errors.Join(err, d.crowd.disperse())
}

// outstanding is how many deliveries are still to come.
func (d *drive) outstanding() int64 {
	return d.sent*int64(len(d.crowd.subscribers)) - d.crowd.delivered.Load()
}

// phase runs publish, waits until everybody has everything, and holds everybody's map against the truth.
func (d *drive) phase(ctx context.Context, r *result, publish func() error) error {
	events, messages := d.sent, d.crowd.messages.Load()
	server, err := processorTime(d.pid)
	if err != nil {
		return err
	}
	own, err := processorTime(selfPID())
	if err != nil {
		return err
	}
	d.crowd.measure(&r.latency)
	start := time.Now()
	if err := publish(); err != nil {
		return err
	}
	if d.crew != nil {
		if err := d.crew.Wait(); err != nil {
			return err
		}
	}
	if err := d.crowd.await(ctx, func() bool { return d.outstanding() <= 0 }); err != nil {
		return err
	}
	r.elapsed = time.Since(start)
	d.crowd.measure(nil)
	r.events, r.messages = int(d.sent-events), int(d.crowd.messages.Load()-messages)
	serverAfter, err := processorTime(d.pid)
	if err != nil {
		return err
	}
	ownAfter, err := processorTime(selfPID())
	r.processor, r.client = serverAfter-server, ownAfter-own
	return errors.Join(err, d.crowd.verify(d.truth))
}

// atRate sends events when they are due, however long the earlier ones take.
func (d *drive) atRate(ctx context.Context, perSecond float64, duration time.Duration) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Since(d.crowd.began)
	for k := range int(perSecond * duration.Seconds()) {
		due := start + time.Duration(float64(k)/perSecond*float64(time.Second))
		timer.Reset(due - time.Since(d.crowd.began))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := d.send(due); err != nil {
			return err
		}
	}
	return nil
}

// asDelivered sends an event whenever fewer than inFlight are on their way.
func (d *drive) asDelivered(ctx context.Context, duration time.Duration) error {
	most := int64((inFlight - 1) * len(d.crowd.subscribers))
	for start := time.Now(); time.Since(start) < duration; {
		if err := d.crowd.await(ctx, func() bool { return d.outstanding() <= most }); err != nil {
			return err
		}
		if err := d.send(time.Since(d.crowd.began)); err != nil {
			return err
		}
	}
	return nil
}
