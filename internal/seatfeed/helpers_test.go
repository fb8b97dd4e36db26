package seatfeed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"marquee/internal/seatfeed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const window = 50 * time.Millisecond

var errBroken = errors.New("the database is away")

// house is the truth about some showtimes. Its clock is the test's.
type house struct {
	mu        sync.Mutex
	showtimes map[uuid.UUID]*seats
	latency   time.Duration // how long a read takes
	failure   error         // what reads fail with
	reading   int           // reads under way
	mostReads int           // the most that ever were
}

type seats struct {
	states []seatfeed.State
	holds  map[int]time.Time // seats by index, held until
	reads  []span
	busy   bool
}

// span is when a read of a showtime began and ended.
type span struct{ began, ended time.Time }

func newHouse(size int, showtimes ...uuid.UUID) *house {
	h := &house{showtimes: map[uuid.UUID]*seats{}}
	for _, id := range showtimes {
		h.showtimes[id] = &seats{states: make([]seatfeed.State, size), holds: map[int]time.Time{}}
	}
	return h
}

func (h *house) read(ctx context.Context, id uuid.UUID) ([]seatfeed.State, time.Duration, error) {
	h.mu.Lock()
	s := h.showtimes[id]
	if s.busy {
		h.mu.Unlock()
		panic("two reads of one showtime at once")
	}
	s.busy = true
	h.reading++
	h.mostReads = max(h.mostReads, h.reading)
	began, latency := time.Now(), h.latency
	h.mu.Unlock()

	// The picture is taken halfway through.
	pause(ctx, latency/2)
	h.mu.Lock()
	states, next, err := s.look(), s.nextExpiry(), h.failure
	h.mu.Unlock()
	pause(ctx, latency/2)

	h.mu.Lock()
	defer h.mu.Unlock()
	s.busy = false
	h.reading--
	s.reads = append(s.reads, span{began: began, ended: time.Now()})
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	if err != nil {
		return nil, 0, err
	}
	return states, next, nil
}

func pause(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *seats) look() []seatfeed.State {
	states := slices.Clone(s.states)
	for i, until := range s.holds {
		if until.After(time.Now()) {
			states[i] = seatfeed.Held
		}
	}
	return states
}

func (s *seats) nextExpiry() time.Duration {
	next := time.Duration(-1)
	for _, until := range s.holds {
		if left := time.Until(until); left > 0 && (next < 0 || left < next) {
			next = left
		}
	}
	return next
}

func (h *house) set(id uuid.UUID, seatNo int, state seatfeed.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.showtimes[id].holds, seatNo-1)
	h.showtimes[id].states[seatNo-1] = state
}

func (h *house) hold(id uuid.UUID, seatNo int, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.showtimes[id].holds[seatNo-1] = time.Now().Add(d)
}

func (h *house) resize(id uuid.UUID, size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.showtimes[id].states = make([]seatfeed.State, size)
}

func (h *house) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failure = err
}

func (h *house) slow(latency time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latency = latency
}

func (h *house) states(id uuid.UUID) []seatfeed.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.showtimes[id].look()
}

// reads returns the finished reads of a showtime.
func (h *house) reads(id uuid.UUID) []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.showtimes[id].reads)
}

func (h *house) most() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mostReads
}

// wire is a bus that delivers at once and can be told to lose messages.
type wire struct {
	mu       sync.Mutex
	handlers []func([]byte)
	gaps     []func()
	lossy    bool
	refusal  error
}

func (w *wire) Publish(_ string, payload []byte) error {
	w.mu.Lock()
	handlers, lossy, refusal := slices.Clone(w.handlers), w.lossy, w.refusal
	w.mu.Unlock()
	if refusal != nil || lossy {
		return refusal
	}
	for _, fn := range handlers {
		fn(slices.Clone(payload))
	}
	return nil
}

func (w *wire) Subscribe(_ string, fn func([]byte)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refusal != nil {
		return nil, w.refusal
	}
	w.handlers = append(w.handlers, fn)
	return func() {}, nil
}

func (w *wire) OnGap(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gaps = append(w.gaps, fn)
}

func (w *wire) gap() {
	w.mu.Lock()
	gaps := slices.Clone(w.gaps)
	w.mu.Unlock()
	for _, fn := range gaps {
		fn()
	}
}

func (w *wire) lose(lossy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lossy = lossy
}

func (w *wire) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusal = err
}

// client is what somebody makes of the events of one Watch.
type client struct {
	events  <-chan seatfeed.Event
	leave   context.CancelFunc
	hint    func()
	version int32
	states  []seatfeed.State
}

// apply returns an error when an event does not follow from those before it, or
// says what the client knows already.
func (c *client) apply(event seatfeed.Event) error {
	if event.Version <= c.version {
		return fmt.Errorf("version %d follows version %d", event.Version, c.version)
	}
	if event.Snapshot {
		if event.FromVersion != 0 || len(event.Changes) != 0 {
			return fmt.Errorf("the snapshot %+v is also a delta", event)
		}
		c.version, c.states = event.Version, slices.Clone(event.States)
		return nil
	}
	if c.states == nil {
		return errors.New("the first event is not a snapshot")
	}
	if event.FromVersion != c.version {
		return fmt.Errorf("a delta from version %d came to a client with version %d", event.FromVersion, c.version)
	}
	if len(event.Changes) == 0 || event.States != nil {
		return fmt.Errorf("the delta %+v changes nothing", event)
	}
	for i, change := range event.Changes {
		if i > 0 && event.Changes[i-1].SeatNo >= change.SeatNo {
			return fmt.Errorf("the changes %v are not by ascending seat", event.Changes)
		}
		if c.states[change.SeatNo-1] == change.State {
			return fmt.Errorf("the client has seat %d as %d already", change.SeatNo, change.State)
		}
		c.states[change.SeatNo-1] = change.State
	}
	c.version = event.Version
	return nil
}

// receive applies up to n events that are waiting.
func (c *client) receive(n int) error {
	for range n {
		select {
		case event, open := <-c.events:
			if !open {
				return errors.New("the channel is closed")
			}
			if err := c.apply(event); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// stage is a feed in a bubble of fake time, with its house and its wire.
type stage struct {
	t     *testing.T
	house *house
	wire  *wire
	feed  *seatfeed.Feed
	show  uuid.UUID
}

// onStage runs a test in a bubble. The bubble fails the test when a goroutine is
// left after the feed is closed.
func onStage(t *testing.T, size int, test func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		show := uuid.New()
		s := &stage{t: t, house: newHouse(size, show), wire: &wire{}, show: show}
		s.feed = newFeed(t, seatfeed.Config{Source: s.house.read, Bus: s.wire})
		defer s.feed.Close()
		test(s)
	})
}

func newFeed(t *testing.T, cfg seatfeed.Config) *seatfeed.Feed {
	t.Helper()
	feed, err := seatfeed.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return feed
}

func (s *stage) watch() *client {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	events, err := s.feed.Watch(ctx, s.show)
	if err != nil {
		s.t.Fatalf("Watch: %v", err)
	}
	return &client{events: events, leave: cancel}
}

// watchFromNow watches and has the snapshot, a window after the first read: the
// next hint is read at once.
func (s *stage) watchFromNow() *client {
	s.t.Helper()
	c := s.watch()
	s.receive(c)
	advance(window)
	return c
}

// change sets a seat and hints.
func (s *stage) change(seatNo int, state seatfeed.State) {
	s.house.set(s.show, seatNo, state)
	s.feed.Hint(s.show)
	synctest.Wait()
}

func (s *stage) receive(c *client) {
	s.t.Helper()
	if err := c.receive(1); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) wantEvent(c *client, want seatfeed.Event) {
	s.t.Helper()
	want.ShowtimeID = s.show
	select {
	case got := <-c.events:
		if fmt.Sprint(got) != fmt.Sprint(want) {
			s.t.Fatalf("received\n%+v\nwant\n%+v", got, want)
		}
	default:
		s.t.Fatalf("nothing is waiting, want\n%+v", want)
	}
}

func (s *stage) wantNothing(c *client) {
	s.t.Helper()
	select {
	case got, open := <-c.events:
		s.t.Fatalf("received %+v (channel open: %t), want nothing", got, open)
	default:
	}
}

func (s *stage) wantReads(want int) {
	s.t.Helper()
	if got := len(s.house.reads(s.show)); got != want {
		s.t.Fatalf("the showtime was read %d times, want %d", got, want)
	}
}

// advance lets fake time pass, and all that happens in it.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func changes(pairs ...int) []seatfeed.Change {
	var changes []seatfeed.Change
	for pair := range slices.Chunk(pairs, 2) {
		changes = append(changes, seatfeed.Change{SeatNo: int16(pair[0]), State: seatfeed.State(pair[1])})
	}
	return changes
}
