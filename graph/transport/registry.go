package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"marquee/internal/apperr"
)

// DefaultDrainWindow is the default of [Registry].DrainWindow.
const DefaultDrainWindow = 5 * time.Second

// Registry knows every open socket and stream of events, counts them by address and by user, and ends them when the
// process is to end. [http.Server.Shutdown] neither closes upgraded connections nor waits for them. The zero value is ready for use, by
// many goroutines at once; it must not be copied.
type Registry struct {
	// DrainWindow is the time over which Drain spreads what it ends, so that the clients do not all come back at one
	// moment. Default 5 s; it is cut to half of the time that Drain's context leaves.
	DrainWindow time.Duration

	mu        sync.Mutex
	entries   map[*entry]struct{}
	addresses map[string]int
	users     map[string]int
	idle      chan struct{} // made by the first Drain, closed when no entry is left
}

// entry is the place of one socket or stream.
type entry struct {
	registry *Registry
	address  string
	user     string
	restart  chan struct{} // closed by Drain: the socket shall close with 1012, the stream end
	cut      func()        // ends it at once; safe to call at any time
}

// Len returns the number of open sockets, those in the handshake included, and streams.
func (g *Registry) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.entries)
}

// Drain refuses new sockets and streams with 503 from here on, closes the open sockets with 1012 (service restart) and
// ends the open streams, in random order and evenly over the drain window. It returns when all have ended, or with the error of ctx after cutting those
// that have not. A second call only waits.
//
// Whatever feeds subscriptions must be alive until Drain returns: a stream that ends by itself tells its client that
// it is complete, and the client does not come back for it.
func (g *Registry) Drain(ctx context.Context) error {
	g.mu.Lock()
	first := g.idle == nil
	if first {
		g.idle = make(chan struct{})
		if len(g.entries) == 0 {
			close(g.idle)
		}
	}
	idle := g.idle
	open := make([]*entry, 0, len(g.entries))
	for e := range g.entries {
		open = append(open, e)
	}
	g.mu.Unlock()

	if first {
		g.spread(ctx, open)
	}
	select {
	case <-idle:
		return nil
	default:
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain sockets: %d had to be cut: %w", g.cutAll(), context.Cause(ctx))
	}
}

// spread tells the entries one by one to close, over the drain window.
func (g *Registry) spread(ctx context.Context, open []*entry) {
	window := g.DrainWindow
	if window <= 0 {
		window = DefaultDrainWindow
	}
	if deadline, ok := ctx.Deadline(); ok {
		window = min(window, time.Until(deadline)/2)
	}
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for i, e := range open {
		timer.Reset(time.Until(start.Add(window / time.Duration(len(open)) * time.Duration(i))))
		select {
		case <-timer.C:
			close(e.restart)
		case <-g.idle:
			return
		case <-ctx.Done():
			return
		}
	}
}

// cutAll ends every socket at once and returns how many there were.
func (g *Registry) cutAll() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := range g.entries {
		e.cut()
	}
	return len(g.entries)
}

// admit takes a place for a socket from address. A negative bound is none.
func (g *Registry) admit(address string, maxTotal, maxPerAddress int, cut func()) (*entry, *rejection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.idle != nil:
		return nil, reject(http.StatusServiceUnavailable, apperr.New(apperr.Unavailable,
			"This server is restarting: connect again.")).with("Retry-After", "1")
	case maxTotal >= 0 && len(g.entries) >= maxTotal:
		return nil, reject(http.StatusServiceUnavailable, apperr.New(apperr.Unavailable,
			"This server holds as many connections as it can: try again later.")).with("Retry-After", "5")
	case maxPerAddress >= 0 && g.addresses[address] >= maxPerAddress:
		return nil, reject(http.StatusTooManyRequests, apperr.New(apperr.Throttled,
			"There are too many connections from this address: close one first.")).with("Retry-After", "5")
	}
	if g.entries == nil {
		g.entries, g.addresses, g.users = map[*entry]struct{}{}, map[string]int{}, map[string]int{}
	}
	e := &entry{registry: g, address: address, restart: make(chan struct{}), cut: cut}
	g.entries[e] = struct{}{}
	g.addresses[address]++
	return e, nil
}

// identify counts the socket for user and reports whether the bound allows it. Nobody, "", is not counted.
func (e *entry) identify(user string, maxPerUser int) bool {
	if user == "" {
		return true
	}
	g := e.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	if maxPerUser >= 0 && g.users[user] >= maxPerUser {
		return false
	}
	e.user = user
	g.users[user]++
	return true
}

// release gives the place back.
func (e *entry) release() {
	g := e.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.entries, e)
	decrement(g.addresses, e.address)
	if e.user != "" {
		decrement(g.users, e.user)
	}
	if g.idle != nil && len(g.entries) == 0 {
		close(g.idle)
	}
}

// decrement counts one down and forgets a key that reaches zero, so that the maps are no larger than what is open.
func decrement(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
