package seatfeed

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// After a failed read a follower waits firstBackoff before the next, twice as
// long after each further failure, and lastBackoff at most. Hints do not
// shorten the wait: a database in trouble needs no hurry.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// follower reads one showtime for all its watchers in this process. It lives
// from the first to the last of them.
type follower struct {
	feed       *Feed
	showtimeID uuid.UUID
	cancel     context.CancelFunc
	users      int // watchers, and callers of Watch on the way; guarded by feed.mu

	stale chan struct{} // holds a value when the seats may have changed since the last read began
	ready chan struct{} // closed when the first read is over
	err   error         // why the first read failed; set before ready is closed

	mu       sync.Mutex
	ended    bool
	current  *picture // nil before the first read
	watchers []*watcher
}

func newFollower(feed *Feed, showtimeID uuid.UUID, cancel context.CancelFunc) *follower {
	return &follower{
		feed:       feed,
		showtimeID: showtimeID,
		cancel:     cancel,
		stale:      make(chan struct{}, 1),
		ready:      make(chan struct{}),
	}
}

func (f *follower) markStale() {
	select {
	case f.stale <- struct{}{}:
	default:
	}
}

// follow reads and publishes until ctx ends.
func (f *follower) follow(ctx context.Context) {
	defer f.cancel()
	defer f.end()

	nextExpiry, err := f.refresh(ctx)
	if err != nil {
		f.err = fmt.Errorf("seatfeed: read the seats of showtime %s: %w", f.showtimeID, err)
		if ctx.Err() != nil {
			f.err = ErrClosed
		}
		f.feed.forget(f)
		close(f.ready)
		return
	}
	close(f.ready)

	failures := 0
	for {
		rest, idle := f.feed.window, f.untilDue(nextExpiry)-f.feed.window
		if err != nil {
			rest, idle = backoff(failures), 0
		}
		if !sleep(ctx, rest, nil) || !sleep(ctx, idle, f.stale) {
			return
		}
		nextExpiry, err = f.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			if failures == 1 {
				f.feed.log.Warn("The seats of a showtime cannot be read; watchers keep what they have.",
					"showtime", f.showtimeID, "error", err)
			}
		case failures > 0:
			f.feed.log.Info("The seats of a showtime can be read again.",
				"showtime", f.showtimeID, "failures", failures)
			failures = 0
		}
	}
}

// untilDue is how long after a read the next is due with no hint at all. The
// database measured nextExpiry before the read was over, so that the hold has
// run out by its clock when that time has passed here.
func (f *follower) untilDue(nextExpiry time.Duration) time.Duration {
	due := f.feed.safetyNet - rand.N(f.feed.safetyNet/10+1)
	if nextExpiry >= 0 {
		due = min(due, nextExpiry)
	}
	return due
}

func backoff(failures int) time.Duration {
	wait := firstBackoff
	for range failures - 1 {
		if wait *= 2; wait >= lastBackoff {
			return lastBackoff
		}
	}
	return wait
}

// sleep returns after d, earlier when wake has something to receive, and with
// false when ctx has ended. A nil wake never has.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}

// refresh reads the seats and publishes what has changed.
func (f *follower) refresh(ctx context.Context) (nextExpiry time.Duration, err error) {
	select {
	case f.feed.reads <- struct{}{}:
		defer func() { <-f.feed.reads }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	// The read that begins here sees what every hint so far was about; a hint
	// from here on asks for another.
	select {
	case <-f.stale:
	default:
	}
	states, nextExpiry, err := f.read(ctx)
	if err != nil {
		return 0, err
	}
	f.publish(states)
	return nextExpiry, nil
}

func (f *follower) read(ctx context.Context) (states []State, nextExpiry time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.feed.readTimeout)
	defer cancel()
	// A showtime that makes the Source panic must not end the process, with
	// everybody's streams and checkouts, over and over.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the source panicked: %v\n%s", cause, debug.Stack())
		}
	}()
	states, nextExpiry, err = f.feed.source(ctx, f.showtimeID)
	if err == nil && len(states) > math.MaxInt16 {
		err = fmt.Errorf("%d seats are more than can be numbered", len(states))
	}
	return states, nextExpiry, err
}

// publish makes states the current picture and offers it to every watcher,
// unless it is the current picture already.
func (f *follower) publish(states []State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	version := int32(1)
	if f.current != nil {
		if slices.Equal(f.current.states, states) {
			return
		}
		version = f.current.version + 1
	}
	f.current = &picture{showtimeID: f.showtimeID, version: version, states: states}
	steps := newSteps(f.current)
	for _, w := range f.watchers {
		w.offer(steps)
	}
}

// watch waits for the first read and returns the events of another watcher,
// which leaves when ctx ends.
func (f *follower) watch(ctx context.Context) (<-chan Event, error) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("seatfeed: watch showtime %s: %w", f.showtimeID, ctx.Err())
	}
	if f.err != nil {
		return nil, f.err
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, ErrClosed
	}
	w := &watcher{events: make(chan Event, 1), place: len(f.watchers)}
	w.offer(newSteps(f.current))
	f.watchers = append(f.watchers, w)
	w.forgetContext = context.AfterFunc(ctx, func() { f.dismiss(w) })
	return w.events, nil
}

// dismiss ends one watcher, unless the follower has ended before.
func (f *follower) dismiss(w *watcher) {
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return
	}
	last := len(f.watchers) - 1
	f.watchers[w.place] = f.watchers[last]
	f.watchers[w.place].place = w.place
	f.watchers[last] = nil
	f.watchers = f.watchers[:last]
	w.close()
	f.mu.Unlock()

	f.feed.leave(f)
}

// end ends all watchers.
func (f *follower) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for _, w := range f.watchers {
		w.forgetContext()
		w.close()
	}
	f.watchers = nil
}
