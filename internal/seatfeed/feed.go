// Package seatfeed tells the clients of this process how the seats of a
// showtime change while they watch.
//
// It owns the followers: one goroutine for each showtime that somebody in this
// process watches, which reads the seats again whenever they may have changed
// and hands the difference to every watcher. It refuses to know what a seat
// costs, who holds it or how it is stored: the [Source] reads the truth, and a
// hint on the bus says no more than "look again". What a viewer may see, and
// when a stream must end, is the business of whoever watches.
//
// Invariants:
//   - A watcher that keeps receiving ends with the same picture as the Source,
//     whatever hints are lost: the feed reads again after a hint, after a gap
//     on the bus, when a hold runs out, and every half minute in any case.
//   - Every event applies to what the watcher has: a delta's FromVersion is
//     the Version of the event received before it.
//   - A watcher that does not receive costs at most one map of the showtime and
//     delays nobody: what it has missed merges into its one pending event.
//   - However many hints arrive, a showtime is read once at a time and at most
//     once in a window, and the last hint is always followed by a read.
package seatfeed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Change says that a seat has come to a state. Seats are numbered from 1.
type Change struct {
	SeatNo int16
	State  State
}

// Event is a whole picture of a showtime's seats or a step from one picture to
// the next. Its slices are shared between watchers: read only.
type Event struct {
	ShowtimeID uuid.UUID

	// Snapshot tells a whole picture, in States, from a step, in Changes.
	Snapshot bool

	// FromVersion is the Version of the picture to which Changes apply: always
	// that of the event received before. It is 0 in a snapshot.
	FromVersion int32

	// Version grows with each picture. Versions of different calls of
	// [Feed.Watch] or of different processes do not compare.
	Version int32

	// States holds the state of each seat, that of seat number 1 first.
	States []State

	// Changes holds each seat that differs, by ascending number.
	Changes []Change
}

// Then returns the snapshot that this one becomes with the next event of its
// stream. It leaves both as they are.
func (e Event) Then(next Event) Event {
	if next.Snapshot {
		return next
	}
	states := slices.Clone(e.States)
	for _, change := range next.Changes {
		states[change.SeatNo-1] = change.State
	}
	return Event{ShowtimeID: e.ShowtimeID, Snapshot: true, Version: next.Version, States: states}
}

// Source reads the truth about a showtime: the state of each seat, that of seat
// number 1 first, and how long it is until the next hold runs out by the
// database's clock, or a negative duration where there is none. A hold that has
// run out counts as no hold. The feed keeps the slice; it must be a fresh one.
//
// A Source is called from many goroutines, for one showtime from one at a time,
// and must return soon after ctx has ended.
type Source func(ctx context.Context, showtimeID uuid.UUID) (states []State, nextExpiry time.Duration, err error)

// Bus carries hints between processes. It may lose any of them as long as it
// reports the gap afterwards; its Publish must not block.
type Bus interface {
	Publish(subject string, payload []byte) error
	Subscribe(subject string, fn func(payload []byte)) (unsubscribe func(), err error)
	OnGap(fn func())
}

// Config says what a Feed works with. Source and Bus are required.
type Config struct {
	Source Source
	Bus    Bus

	// Log receives failures of the Source; nil discards them.
	Log *slog.Logger

	// Window is the least time from the end of one read of a showtime to the
	// beginning of the next. The default is 50 ms.
	Window time.Duration

	// SafetyNet is the longest time a watched showtime goes without being read;
	// up to a tenth is taken off at random, so that showtimes do not keep in
	// step. The default is 30 s.
	SafetyNet time.Duration

	// ReadTimeout bounds one call of the Source. The default is 5 s.
	ReadTimeout time.Duration

	// MaxReads is how many calls of the Source may run at once, so that a gap,
	// after which every showtime is read, leaves database connections to those
	// who buy. The default is 4.
	MaxReads int
}

const (
	defaultWindow      = 50 * time.Millisecond
	defaultSafetyNet   = 30 * time.Second
	defaultReadTimeout = 5 * time.Second
	defaultMaxReads    = 4

	// hintSubject carries the sixteen bytes of a showtime's id. One subject for
	// all showtimes means that no hint is lost while a subscription for the
	// showtime is still on its way to the other nodes.
	hintSubject = "seats.changed"
)

// ErrClosed says that the feed has been closed.
var ErrClosed = errors.New("seatfeed: closed")

// Feed is the live seat availability of this process. All its methods may be
// called from any goroutine.
type Feed struct {
	source      Source
	bus         Bus
	log         *slog.Logger
	window      time.Duration
	safetyNet   time.Duration
	readTimeout time.Duration
	reads       chan struct{} // holds one value for each read under way

	unsubscribe func()
	run         context.Context // of every follower
	stop        context.CancelFunc
	running     sync.WaitGroup

	mu        sync.RWMutex
	closed    bool
	followers map[uuid.UUID]*follower
}

// New returns a feed that listens for hints until [Feed.Close]. It fails when a
// required part of cfg is missing or the bus refuses the subscription.
func New(cfg Config) (*Feed, error) {
	if cfg.Source == nil || cfg.Bus == nil {
		return nil, errors.New("seatfeed: a source and a bus are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f := &Feed{
		source:      cfg.Source,
		bus:         cfg.Bus,
		log:         cfg.Log,
		window:      positiveOr(cfg.Window, defaultWindow),
		safetyNet:   positiveOr(cfg.SafetyNet, defaultSafetyNet),
		readTimeout: positiveOr(cfg.ReadTimeout, defaultReadTimeout),
		reads:       make(chan struct{}, positiveOr(cfg.MaxReads, defaultMaxReads)),
		followers:   map[uuid.UUID]*follower{},
	}
	f.run, f.stop = context.WithCancel(context.Background())
	unsubscribe, err := cfg.Bus.Subscribe(hintSubject, f.heard)
	if err != nil {
		f.stop()
		return nil, fmt.Errorf("seatfeed: listen for hints: %w", err)
	}
	f.unsubscribe = unsubscribe
	cfg.Bus.OnGap(f.markAllStale)
	return f, nil
}

func positiveOr[T int | time.Duration](value, fallback T) T {
	if value > 0 {
		return value
	}
	return fallback
}

// Hint tells this process and all others that seats of a showtime have changed.
// It belongs after the commit, never blocks and cannot fail: a hint that is lost
// delays a screen.
func (f *Feed) Hint(showtimeID uuid.UUID) {
	if err := f.bus.Publish(hintSubject, showtimeID[:]); err != nil {
		f.log.Debug("A hint did not reach the bus.", "showtime", showtimeID, "error", err)
		f.markStale(showtimeID)
	}
}

func (f *Feed) heard(payload []byte) {
	showtimeID, err := uuid.FromBytes(payload)
	if err != nil {
		f.log.Warn("A hint on the bus is not the id of a showtime.", "bytes", len(payload))
		return
	}
	f.markStale(showtimeID)
}

func (f *Feed) markStale(showtimeID uuid.UUID) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if follower, ok := f.followers[showtimeID]; ok {
		follower.markStale()
	}
}

func (f *Feed) markAllStale() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, follower := range f.followers {
		follower.markStale()
	}
}

// Watch returns the seats of a showtime and all that happens to them: a
// snapshot first, then deltas, and another snapshot should the number of seats
// change. The channel holds one event; while it is not received, later changes
// merge into it, and a seat that is back where the watcher has it drops out.
//
// The channel is closed when ctx ends or the feed is closed, and nothing is
// delivered after that. Failures of the Source close it not: the watcher keeps
// what it has until the Source recovers. Only where the very first read fails
// does Watch fail, with the Source's error within. Otherwise it fails with
// ErrClosed or the error of ctx.
func (f *Feed) Watch(ctx context.Context, showtimeID uuid.UUID) (<-chan Event, error) {
	follower, err := f.join(showtimeID)
	if err != nil {
		return nil, err
	}
	events, err := follower.watch(ctx)
	if err != nil {
		f.leave(follower)
		return nil, err
	}
	return events, nil
}

// join returns the follower of a showtime, started where there was none. Each
// join must be followed by one leave.
func (f *Feed) join(showtimeID uuid.UUID) (*follower, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	joined, ok := f.followers[showtimeID]
	if !ok {
		ctx, cancel := context.WithCancel(f.run)
		joined = newFollower(f, showtimeID, cancel)
		f.followers[showtimeID] = joined
		f.running.Go(func() { joined.follow(ctx) })
	}
	joined.users++
	return joined, nil
}

// leave ends the follower with its last user.
func (f *Feed) leave(left *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left.users--
	if left.users == 0 {
		f.forgetLocked(left)
		left.cancel()
	}
}

// forget makes the next join start another follower.
func (f *Feed) forget(ended *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgetLocked(ended)
}

func (f *Feed) forgetLocked(ended *follower) {
	if f.followers[ended.showtimeID] == ended {
		delete(f.followers, ended.showtimeID)
	}
}

// Close closes the channels of all watchers and returns when every follower has
// ended, which takes as long as the Source takes to notice. Later calls do
// nothing.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.unsubscribe()
	f.stop()
	f.running.Wait()
}
