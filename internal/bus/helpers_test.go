package bus_test

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"marquee/internal/bus"
)

const (
	password = "correct horse battery staple"

	// patience is how long a test waits for what must happen; only a failing
	// test ever waits that long.
	patience = 30 * time.Second
)

// No goroutine of NATS or of the bus may outlive the tests: no exception is
// needed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a bus that is closed when the test ends.
func start(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// startLogged is start with a log to wait on.
func startLogged(t *testing.T, cfg bus.Config) (*bus.Bus, *logBook) {
	t.Helper()
	log := newLogBook()
	cfg.Log = log.logger()
	return start(t, cfg), log
}

// node is the configuration of a clustered node with the given peers.
func node(peers ...*bus.Bus) bus.Config {
	cfg := bus.Config{ClusterListen: "127.0.0.1:0", ClusterPassword: password}
	for _, peer := range peers {
		cfg.Peers = append(cfg.Peers, "nats-route://"+peer.ClusterAddress())
	}
	return cfg
}

// subscribe returns the messages that arrive on subject.
func subscribe(t *testing.T, b *bus.Bus, subject string) <-chan string {
	t.Helper()
	messages := make(chan string, 1024)
	unsubscribe, err := b.Subscribe(subject, func(payload []byte) { messages <- string(payload) })
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	t.Cleanup(unsubscribe)
	return messages
}

func publish(t *testing.T, b *bus.Bus, subject, payload string) {
	t.Helper()
	if err := b.Publish(subject, []byte(payload)); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// gaps returns a channel that holds a value when a gap was reported since the
// last receive.
func gaps(b *bus.Bus) <-chan struct{} {
	signal := make(chan struct{}, 1)
	b.OnGap(func() {
		select {
		case signal <- struct{}{}:
		default:
		}
	})
	return signal
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s in vain for %s", patience, what)
		panic("unreachable")
	}
}

func wantMessage(t *testing.T, from <-chan string, want string) {
	t.Helper()
	if got := receive(t, from, "the message "+want); got != want {
		t.Fatalf("received %q, want %q", got, want)
	}
}

// eventually polls condition: what happens in the embedded servers gives no
// signal to wait for.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

// meshed waits until each of the nodes can hear every other.
func meshed(t *testing.T, nodes ...*bus.Bus) {
	t.Helper()
	for _, b := range nodes {
		eventually(t, "the mesh is complete", func() bool { return len(b.Peers()) == len(nodes)-1 })
	}
	for _, from := range nodes {
		for _, to := range nodes {
			hears(t, from, to)
		}
	}
}

// hears waits until a message of one node arrives at another. Subscriptions
// become known to peers a moment after the route is up, so it knocks until it is
// heard.
func hears(t *testing.T, from, to *bus.Bus) {
	t.Helper()
	heard := make(chan struct{}, 1)
	unsubscribe, err := to.Subscribe("test.knock", func([]byte) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	defer unsubscribe()
	eventually(t, from.Name()+" is heard by "+to.Name(), func() bool {
		publish(t, from, "test.knock", "")
		select {
		case <-heard:
			return true
		default:
			return false
		}
	})
}

// logBook is a log that tests can read.
type logBook struct {
	mu    sync.Mutex
	text  strings.Builder
	lines chan string
}

func newLogBook() *logBook { return &logBook{lines: make(chan string, 4096)} }

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.lines <- string(p):
	default:
	}
	return len(p), nil
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// wait returns once a line that contains text has been written.
func (l *logBook) wait(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(receive(t, l.lines, "a log line with "+text), text) {
		continue
	}
}

// settled returns once the mesh has kept still after the given number of peers
// has joined: gaps reported from then on have another cause.
func (l *logBook) settled(t *testing.T, joined int) {
	t.Helper()
	for range joined {
		l.wait(t, "A peer joined")
	}
	l.wait(t, "The bus has settled")
}

// link forwards TCP connections to a node and can be broken like a network.
type link struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	frozen chan struct{} // closed when bytes may flow
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	close(open)
	l := &link{listener: listener, target: target, frozen: open, conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		l.thaw()
		l.cut()
		l.wg.Wait()
	})
	return l
}

func (l *link) address() string { return "nats-route://" + l.listener.Addr().String() }

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		l.conns[near], l.conns[far] = struct{}{}, struct{}{}
		l.mu.Unlock()
		l.wg.Go(func() { l.forward(near, far) })
		l.wg.Go(func() { l.forward(far, near) })
	}
}

func (l *link) forward(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		l.mu.Lock()
		open := l.frozen
		l.mu.Unlock()
		<-open
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// freeze stops reading on both sides, as a peer that hangs does.
func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = make(chan struct{})
}

func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.frozen:
	default:
		close(l.frozen)
	}
}

// cut breaks all connections; new ones are accepted.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
	clear(l.conns)
}
