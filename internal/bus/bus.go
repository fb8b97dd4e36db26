// Package bus carries hints between the processes of one installation: short
// messages that say "look again", never what there is to see.
//
// It owns the embedded NATS server, its mesh of routes to the peers, and the
// in-process client; no other package imports NATS. It refuses to promise
// delivery: there is no persistence, no acknowledgement and no replay, and a
// decision must never rest on a message having arrived. PostgreSQL is the
// truth.
//
// Invariants:
//   - A message may be lost, but never in silence: whenever messages may have
//     been lost on the way to this process, the functions registered with
//     [Bus.OnGap] run afterwards, so that followers read the truth again.
//   - The messages of one publisher on one subject arrive in the order of
//     publication, at most once.
//   - [Bus.Publish] never waits for the network: the embedded server queues for
//     each peer, and gives up one that has not taken its bytes for two seconds.
//   - Nobody without the cluster password joins, and the client listener that
//     clustering needs is on the loopback interface and admits this process
//     alone.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// MaxPayload is the largest message, in bytes, that [Bus.Publish] accepts.
const MaxPayload = 64 << 10

const (
	// startTimeout bounds the start of the embedded server, which takes a few
	// milliseconds: nothing in it waits for a peer.
	startTimeout = 10 * time.Second

	// closeTimeout bounds Close, and drainTimeout the part of it in which
	// messages already accepted still travel.
	closeTimeout = 10 * time.Second
	drainTimeout = 2 * time.Second

	// settleTime is how long a change of the mesh needs at most before every
	// node knows again who subscribes to what: a few round trips.
	settleTime = time.Second

	// inboxMessages and inboxBytes bound what waits for one subscriber.
	inboxMessages = 65536
	inboxBytes    = 16 << 20
)

// lossSubject carries no payload: messages of the publisher may have been lost
// before they reached any server. It lies outside what validSubject admits.
const lossSubject = "_bus.loss"

// ErrClosed says that the bus has been closed.
var ErrClosed = errors.New("bus: closed")

// Bus is one process's end of the bus. All its methods may be called from any
// goroutine.
type Bus struct {
	log    *slog.Logger
	name   string
	server *server.Server
	conn   *nats.Conn

	gaps   chan struct{} // messages may have been lost
	shifts chan struct{} // the same, and subscriptions are still being told

	connClosed chan struct{}
	stop       context.CancelFunc // ends workers
	workers    sync.WaitGroup

	mu          sync.RWMutex
	gapHandlers []func()

	closeOnce sync.Once
	closeErr  error
}

// Start validates cfg, starts the embedded server and connects this process to
// it. It does not wait for peers: they are dialled, again and again, from then
// on. ctx bounds the start alone; [Bus.Close] ends the bus.
//
// It fails with one sentence when the configuration is wrong or the address to
// listen on is taken; a taken address satisfies errors.Is(err,
// syscall.EADDRINUSE).
func Start(ctx context.Context, cfg Config) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	credential, err := newLocalCredential()
	if err != nil {
		return nil, err
	}
	options, err := cfg.serverOptions(credential)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	srv, err := startServer(ctx, options, cfg.Log)
	if err != nil {
		return nil, err
	}

	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := &Bus{
		log:        cfg.Log,
		name:       cfg.ServerName,
		server:     srv,
		gaps:       make(chan struct{}, 1),
		shifts:     make(chan struct{}, 1),
		connClosed: make(chan struct{}),
		stop:       stop,
	}
	if err := b.connect(credential); err != nil {
		stop()
		shutdown(srv)
		return nil, fmt.Errorf("bus: connect to the embedded server: %w", err)
	}
	b.workers.Go(func() { b.announceGaps(run) })
	if cfg.ClusterListen != "" {
		b.workers.Go(func() { b.watchMesh(run) })
	}
	return b, nil
}

func (b *Bus) connect(credential localCredential) error {
	conn, err := nats.Connect("",
		nats.InProcessServer(b.server),
		nats.Name(b.name),
		nats.Nkey(credential.public, credential.sign),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.DrainTimeout(drainTimeout),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("The bus lost its embedded server.", "error", err)
			}
		}),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			b.shift("reconnected to the embedded server")
			b.announceLoss(conn)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("The bus reported an error.", "error", err)
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(b.connClosed) }),
	)
	if err != nil {
		return err
	}
	_, err = conn.Subscribe(lossSubject, func(*nats.Msg) { b.gap("a publisher lost messages") })
	if err != nil {
		conn.Close()
		return err
	}
	b.conn = conn
	return nil
}

// Name returns the name under which the peers know this process.
func (b *Bus) Name() string { return b.name }

// ClusterAddress returns the host:port on which peers are accepted, with the
// port the system chose where the configuration said 0. It is empty on a
// single node.
func (b *Bus) ClusterAddress() string {
	address := b.server.ClusterAddr()
	if address == nil {
		return ""
	}
	return address.String()
}

// Publish hands payload to every subscriber of subject in every process of the
// installation, this one included. It keeps no reference to payload and never
// waits for the network: a nil error says that the message is on its way, not
// that it will arrive.
//
// A subject is one to sixteen words of letters, digits, "-" and "_", joined by
// dots, and begins with a letter or a digit. The errors are ErrClosed and
// sentences about a malformed subject or an oversized payload; any other is the
// embedded server's, and the message is lost.
func (b *Bus) Publish(subject string, payload []byte) error {
	if err := validSubject(subject); err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("bus: a message of %d bytes exceeds the limit of %d", len(payload), MaxPayload)
	}
	if err := b.conn.Publish(subject, payload); err != nil {
		return connError("publish to "+subject, err)
	}
	return nil
}

// connError is what the client's refusal to act means to callers of the bus.
func connError(act string, err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
		return ErrClosed
	}
	return fmt.Errorf("bus: %s: %w", act, err)
}

// announceLoss tells all processes that messages of this one may be lost.
func (b *Bus) announceLoss(conn *nats.Conn) {
	if err := conn.Publish(lossSubject, nil); err != nil {
		// The connection is down once more; the next reconnect says it.
		b.log.Debug("The bus could not announce a loss.", "error", err)
	}
}

// Subscribe calls fn with every message that arrives on subject, one at a time,
// on a goroutine of this subscription alone. The payload belongs to fn. A fn
// that falls 65536 messages behind loses messages, and a gap follows.
//
// Once Subscribe has returned, what this process publishes reaches fn; peers
// need a moment longer to learn of the subscription.
//
// unsubscribe ends the subscription and may be called more than once; a call of
// fn under way when it returns still finishes.
func (b *Bus) Subscribe(subject string, fn func(payload []byte)) (unsubscribe func(), err error) {
	if err := validSubject(subject); err != nil {
		return nil, err
	}
	// The client counts what it drops but says so only when dropping begins.
	// Comparing the count after each call reports every loss: messages are
	// dropped only while others wait, so another call always follows.
	lost := 0
	subscription, err := b.conn.Subscribe(subject, func(m *nats.Msg) {
		fn(m.Data)
		if n, err := m.Sub.Dropped(); err == nil && n != lost {
			lost = n
			b.gap("a subscriber was too slow")
		}
	})
	if err != nil {
		return nil, connError("subscribe to "+subject, err)
	}
	if err := subscription.SetPendingLimits(inboxMessages, inboxBytes); err != nil {
		return nil, connError("bound the inbox of "+subject, err)
	}
	return func() {
		// It fails only where the subscription is gone already.
		_ = subscription.Unsubscribe()
	}, nil
}

// OnGap has fn called whenever messages may have been lost on the way to this
// process: a subscriber was too slow, a peer came or went, or this process or
// another had to reconnect to its own embedded server. Gaps close together
// may share a call, and a call may turn out to have been for nothing; no loss
// goes without a call after it. All functions run one after the other on one
// goroutine and should return quickly.
func (b *Bus) OnGap(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gapHandlers = append(b.gapHandlers, fn)
}

// gap notes that messages may have been lost. It never blocks.
func (b *Bus) gap(reason string) { b.note(b.gaps, reason) }

// shift notes that the way messages travel has changed: some may have been
// lost, and more may be until all nodes know again who subscribes to what.
func (b *Bus) shift(reason string) { b.note(b.shifts, reason) }

func (b *Bus) note(signal chan<- struct{}, reason string) {
	b.log.Debug("The bus may have lost messages.", "reason", reason)
	select {
	case signal <- struct{}{}:
	default:
	}
}

// announceGaps runs the gap functions after each gap, and after a shift at once
// and again when no other has followed it for the settling time.
func (b *Bus) announceGaps(ctx context.Context) {
	settled := time.NewTimer(settleTime)
	settled.Stop()
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.gaps:
			b.runGapHandlers()
		case <-b.shifts:
			settled.Reset(settleTime)
			b.runGapHandlers()
		case <-settled.C:
			b.runGapHandlers()
			b.log.Debug("The bus has settled.")
		}
	}
}

func (b *Bus) runGapHandlers() {
	b.mu.RLock()
	handlers := slices.Clone(b.gapHandlers)
	b.mu.RUnlock()
	for _, fn := range handlers {
		fn()
	}
}

// Close refuses further messages, gives those already accepted two seconds to
// travel, leaves the mesh and waits for the goroutines of the bus. A subscriber
// that is still running after two seconds is left behind. Close takes at most ten
// seconds, and returns an error when a gap function, say, has not returned by then.
// Later calls return the same.
func (b *Bus) Close() error {
	b.closeOnce.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Bus) close() error {
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		b.stop()
		if err := b.conn.Drain(); err != nil {
			b.conn.Close()
		}
		<-b.connClosed
		shutdown(b.server)
		b.workers.Wait()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-finished:
		return nil
	case <-timer.C:
		return fmt.Errorf("bus: not closed after %s: a gap function or the embedded server is still busy", closeTimeout)
	}
}
