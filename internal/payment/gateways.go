package payment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

var (
	// ErrNoGateway is returned for what goes through a gateway that the installation does not have, or has no longer.
	ErrNoGateway = errors.New("payment: this installation has no such gateway")
	// ErrUnreached is returned for a call that never left: the gateway has not heard of it, and never will.
	ErrUnreached = errors.New("payment: the gateway was not reached")
)

const (
	// callsAtOnce is how many calls to one gateway may be in flight, so that one that hangs keeps no more than that waiting.
	callsAtOnce = 64
	// placeWait is how long a call waits for a place among them.
	placeWait = time.Second
	// A gateway that fails so many calls in a row, or half of at least halfOf within breakerWindow, is left alone for breakerPause.
	failuresInRow = 5
	halfOf        = 20
	breakerWindow = 10 * time.Second
	breakerPause  = 5 * time.Second
)

// Gateways are the gateways of an installation, and how they are. They never change while the program runs.
//
// A gateway that fails is unhealthy: no payment is begun there, until a call goes well again. What was begun there before is asked
// all the same.
type Gateways struct {
	offered []Gateway
	lines   map[string]*line
	changed func(name string, healthy bool)
}

// line is the way to one gateway.
type line struct {
	gateway  Gateway
	offered  bool
	breaker  *gobreaker.TwoStepCircuitBreaker[struct{}]
	places   chan struct{}
	inFlight atomic.Int64
}

// NewGateways returns the gateways that payments are begun at, the preferred one first, together with others, at which is only
// brought to its end what was begun there before. No two have one name.
func NewGateways(offered []Gateway, others ...Gateway) *Gateways {
	g := &Gateways{offered: slices.Clone(offered), lines: make(map[string]*line, len(offered)+len(others)), changed: func(string, bool) {}}
	for i, gateway := range slices.Concat(offered, others) {
		g.lines[gateway.Name()] = &line{gateway: gateway, offered: i < len(offered), places: make(chan struct{}, callsAtOnce), breaker: g.breaker(gateway.Name())}
	}
	return g
}

func (g *Gateways) breaker(name string) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: name, MaxRequests: 1, Interval: breakerWindow, BucketPeriod: breakerWindow / 10, Timeout: breakerPause,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= failuresInRow || c.Requests >= halfOf && 2*c.TotalFailures >= c.Requests
		},
		IsSuccessful: func(err error) bool {
			return err == nil || errors.Is(err, ErrNoSuchCharge) || errors.Is(err, ErrNoSuchRefund) || errors.Is(err, ErrRefused)
		},
		// Of a caller that gave up, or died, the gateway is not to blame.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, errCallerGone) },
		OnStateChange: func(name string, from, to gobreaker.State) {
			if (from == gobreaker.StateClosed) != (to == gobreaker.StateClosed) {
				g.changed(name, to == gobreaker.StateClosed)
			}
		},
	})
}

// errCallerGone stands for what a call came to that panicked.
var errCallerGone = errors.New("payment: the caller is gone")

// Watch has a function told when a gateway becomes healthy or unhealthy. It must not block, and is set before the first call.
func (g *Gateways) Watch(changed func(name string, healthy bool)) { g.changed = changed }

// Offered returns the gateways that payments are begun at, the preferred one first.
func (g *Gateways) Offered() []Gateway { return slices.Clone(g.offered) }

// Named returns a gateway by its name, or ErrNoGateway.
func (g *Gateways) Named(name string) (Gateway, error) {
	l, ok := g.lines[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoGateway, name)
	}
	return l.gateway, nil
}

// Names returns the names of all, in alphabetical order.
func (g *Gateways) Names() []string {
	names := make([]string, 0, len(g.lines))
	for name := range g.lines {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Health is how a gateway is, as far as this process knows.
type Health struct {
	Name     string
	Offered  bool // payments are begun there
	Healthy  bool
	InFlight int // calls that are not answered yet
}

// Health returns how all gateways are, in alphabetical order.
func (g *Gateways) Health() []Health {
	var all []Health
	for _, name := range g.Names() {
		l := g.lines[name]
		all = append(all, Health{Name: name, Offered: l.offered, Healthy: l.breaker.State() == gobreaker.StateClosed, InFlight: int(l.inFlight.Load())})
	}
	return all
}

// Healthy reports whether a payment may be begun at a gateway: it is healthy, or it is time to try it again.
func (g *Gateways) Healthy(name string) bool {
	l, ok := g.lines[name]
	return ok && l.breaker.State() != gobreaker.StateOpen
}

// Begin is Ask for a call that begins something new: ErrUnreached also while the gateway is unhealthy.
func (g *Gateways) Begin(ctx context.Context, name string, ask func(context.Context) error) error {
	return g.ask(ctx, name, true, ask)
}

// Ask carries a call to a gateway, as one of callsAtOnce. ErrUnreached when it found no place among them in time, or no connection.
// What the gateway answers, or that it does not, says how it is.
func (g *Gateways) Ask(ctx context.Context, name string, ask func(context.Context) error) error {
	return g.ask(ctx, name, false, ask)
}

func (g *Gateways) ask(ctx context.Context, name string, begins bool, ask func(context.Context) error) (err error) {
	l, ok := g.lines[name]
	if !ok { // one that nothing goes to
		return ask(ctx)
	}
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.leave()
	done, refused := l.breaker.Allow()
	switch {
	case refused == nil:
		err = errCallerGone
		defer func() { done(err) }()
	case begins:
		return fmt.Errorf("%w: it has failed lately", ErrUnreached)
	}
	connected := false
	err = ask(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}))
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && !connected {
		err = fmt.Errorf("%w: %w", ErrUnreached, err)
	}
	return err
}

// enter waits for a place, for placeWait at most.
func (l *line) enter(ctx context.Context) error {
	patience := time.NewTimer(placeWait)
	defer patience.Stop()
	select {
	case l.places <- struct{}{}:
		l.inFlight.Add(1)
		return nil
	case <-patience.C:
		return fmt.Errorf("%w: %d calls wait for its answer", ErrUnreached, callsAtOnce)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnreached, ctx.Err())
	}
}

func (l *line) leave() {
	l.inFlight.Add(-1)
	<-l.places
}
