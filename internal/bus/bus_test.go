package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"marquee/internal/bus"
)

func TestBus_Publish(t *testing.T) {
	t.Parallel()

	t.Run("reaches the subscribers of the subject in order", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		first, second := subscribe(t, b, "seats.changed"), subscribe(t, b, "seats.changed")
		other := subscribe(t, b, "seats.other")

		for i := range 500 {
			publish(t, b, "seats.changed", fmt.Sprint(i))
		}
		publish(t, b, "seats.other", "end")
		for i := range 500 {
			wantMessage(t, first, fmt.Sprint(i))
			wantMessage(t, second, fmt.Sprint(i))
		}
		wantMessage(t, other, "end")
	})

	t.Run("keeps no reference to the payload", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		messages := subscribe(t, b, "seats")
		payload := []byte("x")
		for i := range 100 {
			payload[0] = byte(i)
			if err := b.Publish("seats", payload); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			wantMessage(t, messages, string([]byte{byte(i)}))
		}
	})

	t.Run("refuses an oversized payload", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		messages := subscribe(t, b, "seats")
		if err := b.Publish("seats", make([]byte, bus.MaxPayload+1)); err == nil {
			t.Error("a payload over the limit was accepted")
		}
		publish(t, b, "seats", strings.Repeat("x", bus.MaxPayload))
		if got := receive(t, messages, "the largest message"); len(got) != bus.MaxPayload {
			t.Errorf("received %d bytes, want %d", len(got), bus.MaxPayload)
		}
	})

	t.Run("does nothing without subscribers", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		publish(t, b, "seats", "nobody listens")
	})
}

func TestBus_subjects(t *testing.T) {
	t.Parallel()
	b := start(t, bus.Config{})

	valid := []string{
		"seats", "seats.changed", "seats.018f3c1e-7b1a-7c52-9a43-0f2f0e0c7d11", "A.b_c-d.0",
		strings.Repeat("x", 200), strings.TrimSuffix(strings.Repeat("a.", 16), "."),
	}
	for _, subject := range valid {
		if err := b.Publish(subject, nil); err != nil {
			t.Errorf("Publish(%q): %v", subject, err)
		}
	}
	invalid := []string{
		"", ".", "seats.", ".seats", "seats..changed", "seats.*", "seats.>", ">", "*", "seats changed", "seats\tx",
		"seats\r\nPUB x 0\r\n", "$SYS.x", "_INBOX.x", "_bus.loss", "-x", "sitz.plätze", "seats\x00", "a/b",
		strings.Repeat("x", 201), strings.TrimSuffix(strings.Repeat("a.", 17), "."),
	}
	for _, subject := range invalid {
		if err := b.Publish(subject, nil); err == nil {
			t.Errorf("Publish accepted the subject %q", subject)
		}
		if _, err := b.Subscribe(subject, func([]byte) {}); err == nil {
			t.Errorf("Subscribe accepted the subject %q", subject)
		}
	}
}

func TestBus_Subscribe(t *testing.T) {
	t.Parallel()

	t.Run("ends with unsubscribe, which may be repeated", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		ended := make(chan string, 16)
		unsubscribe, err := b.Subscribe("seats", func(payload []byte) { ended <- string(payload) })
		if err != nil {
			t.Fatal(err)
		}
		stays := subscribe(t, b, "seats")
		publish(t, b, "seats", "before")
		wantMessage(t, ended, "before")
		unsubscribe()
		unsubscribe()
		publish(t, b, "seats", "after")
		wantMessage(t, stays, "before")
		wantMessage(t, stays, "after")
		if len(ended) != 0 {
			t.Errorf("received %q after unsubscribe", <-ended)
		}
	})

	t.Run("one that is stuck does not delay another", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		stuck := make(chan struct{}, 100)
		if _, err := b.Subscribe("seats", func([]byte) {
			stuck <- struct{}{}
			<-release
		}); err != nil {
			t.Fatal(err)
		}
		free := subscribe(t, b, "seats")
		for range 100 {
			publish(t, b, "seats", "x")
		}
		receive(t, stuck, "the stuck subscriber")
		for range 100 {
			wantMessage(t, free, "x")
		}
	})

	t.Run("one that is too slow loses messages and gets a gap after the last loss", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		release := make(chan struct{})
		var received int
		finished := make(chan int, 1)
		if _, err := b.Subscribe("seats", func(payload []byte) {
			<-release
			received++
			if len(payload) == 0 {
				finished <- received
			}
		}); err != nil {
			t.Fatal(err)
		}
		lost := gaps(b)

		// 16 MiB wait at most, so 300 of 64 KiB do not fit.
		const sent = 300
		large := strings.Repeat("x", bus.MaxPayload)
		arrived := subscribe(t, b, "seats.arrived")
		for range sent {
			publish(t, b, "seats", large)
		}
		publish(t, b, "seats.arrived", "all")
		wantMessage(t, arrived, "all")
		select {
		case <-lost:
			t.Fatal("a gap before the subscriber could have looked at anything newer")
		default:
		}
		close(release)
		receive(t, lost, "the gap after the losses")
		publish(t, b, "seats", "")
		if n := receive(t, finished, "the message after the losses"); n >= sent+1 {
			t.Fatalf("all %d messages were received, so nothing was tested", n)
		}
	})
}

func TestBus_mesh(t *testing.T) {
	t.Parallel()

	t.Run("two nodes hear each other", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		b := start(t, node(a))
		meshed(t, a, b)

		atA, atB := subscribe(t, a, "seats"), subscribe(t, b, "seats")
		hears(t, b, a)
		hears(t, a, b)
		publish(t, a, "seats", "from a")
		wantMessage(t, atA, "from a")
		wantMessage(t, atB, "from a")
		publish(t, b, "seats", "from b")
		wantMessage(t, atA, "from b")
		wantMessage(t, atB, "from b")
	})

	t.Run("three nodes that know one of them become a full mesh", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		b := start(t, node(a))
		c := start(t, node(a))
		meshed(t, a, b, c)
		if got, want := fmt.Sprint(b.Peers()), b.Name(); strings.Contains(got, want) {
			t.Errorf("%s counts itself among its peers %s", want, got)
		}
	})

	t.Run("a node that names itself as a peer ignores that", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		address := freeAddress(t)
		cfg := node(a)
		cfg.ClusterListen = address
		cfg.Peers = append(cfg.Peers, "nats-route://"+address)
		b := start(t, cfg)
		meshed(t, a, b)
	})

	t.Run("a node that is lost and back is heard again, after gaps", func(t *testing.T) {
		t.Parallel()
		a, logA := startLogged(t, node())
		b, logB := startLogged(t, node(a))
		cfg := node(a, b)
		cfg.ServerName, cfg.ClusterListen = "box-office-3", freeAddress(t)
		c, err := bus.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		meshed(t, a, b, c)
		logA.settled(t, 2)
		logB.settled(t, 2)
		lostAtA, lostAtB := gaps(a), gaps(b)

		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		receive(t, lostAtA, "the gap at a after c left")
		receive(t, lostAtB, "the gap at b after c left")
		meshed(t, a, b)
		logA.settled(t, 0)
		logB.settled(t, 0)
		drain(lostAtA)
		drain(lostAtB)

		c = start(t, cfg)
		receive(t, lostAtA, "the gap at a after c came back")
		receive(t, lostAtB, "the gap at b after c came back")
		receive(t, gaps(c), "the gap at c itself")
		meshed(t, a, b, c)
	})

	t.Run("a learnt peer that is away for a while is found again", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		b, logB := startLogged(t, node(a))
		cfg := node(a)
		cfg.ClusterListen = freeAddress(t)
		c, err := bus.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		meshed(t, a, b, c)
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		logB.wait(t, "Error trying to connect to route")

		// It comes back knowing nobody: only b, which nobody told of it but a,
		// can make the connection.
		cfg.Peers = nil
		c = start(t, cfg)
		hears(t, b, c)
		hears(t, c, b)
	})

	t.Run("a route that breaks and heals at once is a gap on both sides", func(t *testing.T) {
		t.Parallel()
		a, logA := startLogged(t, node())
		wire := newLink(t, a.ClusterAddress())
		cfg := node()
		cfg.Peers = []string{wire.address()}
		b, logB := startLogged(t, cfg)
		meshed(t, a, b)
		logA.settled(t, 1)
		logB.settled(t, 1)
		lostAtA, lostAtB := gaps(a), gaps(b)

		wire.cut()
		receive(t, lostAtA, "the gap at a")
		receive(t, lostAtB, "the gap at b")
		meshed(t, a, b)
	})

	t.Run("a peer that stops reading delays neither publishers nor other subscribers", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		wire := newLink(t, a.ClusterAddress())
		cfg := node()
		cfg.Peers = []string{wire.address()}
		bus.NeverGiveUpWriting(&cfg)
		b := start(t, cfg)
		meshed(t, a, b)
		_ = subscribe(t, a, "seats")
		own := subscribe(t, b, "seats")
		hears(t, a, b)
		hears(t, b, a)

		// More than the sockets between the two can hold.
		const messages = 400
		wire.freeze()
		large := strings.Repeat("x", bus.MaxPayload)
		for range messages {
			publish(t, b, "seats", large)
		}
		for range messages {
			wantMessage(t, own, large)
		}
		if peers := b.Peers(); len(peers) != 1 {
			t.Error("the messages arrived only after the peer had been given up")
		}
		wire.thaw()
	})

	t.Run("a peer that stops reading is given up, and heard again when it recovers", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		wire := newLink(t, a.ClusterAddress())
		cfg := node()
		cfg.Peers = []string{wire.address()}
		b, logB := startLogged(t, cfg)
		meshed(t, a, b)
		logB.settled(t, 1)
		_ = subscribe(t, a, "seats")
		hears(t, b, a)
		lost := gaps(b)

		wire.freeze()
		large := strings.Repeat("x", bus.MaxPayload)
		for range 400 {
			publish(t, b, "seats", large)
		}
		receive(t, lost, "the gap when the peer is given up")
		wire.thaw()
		meshed(t, a, b)
	})

	t.Run("a node with another password never joins", func(t *testing.T) {
		t.Parallel()
		a, log := startLogged(t, node())
		b := start(t, node(a))
		intruderCfg := node(a, b)
		intruderCfg.ClusterPassword = "guessed"
		intruder := start(t, intruderCfg)
		meshed(t, a, b)
		overheard := subscribe(t, intruder, "seats")

		// Turned away twice: the intruder has tried again.
		log.wait(t, "authentication error")
		log.wait(t, "authentication error")
		publish(t, a, "seats", "secret")
		hears(t, a, b)
		if len(overheard) != 0 {
			t.Errorf("the intruder heard %q", <-overheard)
		}
		if peers := intruder.Peers(); len(peers) != 0 {
			t.Errorf("the intruder is connected to %v", peers)
		}
		for _, b := range []*bus.Bus{a, b} {
			if peers := b.Peers(); len(peers) != 1 {
				t.Errorf("%s has the peers %v", b.Name(), peers)
			}
		}
	})

	t.Run("routes protected by TLS admit no plain node and no unknown certificate", func(t *testing.T) {
		t.Parallel()
		ours, theirs := newAuthority(t), newAuthority(t)
		cfg, log := node(), newLogBook()
		cfg.ClusterTLS, cfg.Log = ours.config(t), log.logger()
		a := start(t, cfg)
		cfg = node(a)
		cfg.ClusterTLS = ours.config(t)
		b := start(t, cfg)
		meshed(t, a, b)

		plain := start(t, node(a))
		log.wait(t, "TLS route handshake error")
		cfg = node(a)
		cfg.ClusterTLS = theirs.config(t)
		cfg.ClusterTLS.RootCAs = ours.config(t).RootCAs
		stranger := start(t, cfg)
		log.wait(t, "unknown authority")
		for _, outsider := range []*bus.Bus{plain, stranger} {
			if peers := outsider.Peers(); len(peers) != 0 {
				t.Errorf("%s has joined %v", outsider.Name(), peers)
			}
		}
	})

	t.Run("the log shows neither the password nor what is made of it", func(t *testing.T) {
		t.Parallel()
		log := newLogBook()
		first := node()
		first.Log = log.logger()
		a := start(t, first)
		second := node(a)
		second.Peers = append(second.Peers, "nats-route://"+freeAddress(t))
		second.Log = log.logger()
		b := start(t, second)
		meshed(t, a, b)
		log.wait(t, "Error trying to connect to route")
		for _, secret := range []string{password, bus.RouteSecret(password)} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
	})

	t.Run("the loopback listener admits no other program", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		host, _, err := net.SplitHostPort(a.ClientAddress())
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("the client listener is on %s, which is not loopback (%v)", a.ClientAddress(), err)
		}
		for _, option := range []nats.Option{nats.Name("anonymous"), nats.UserInfo("marquee", password)} {
			conn, err := nats.Connect("nats://"+a.ClientAddress(), option)
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("connecting gave %v, want %v", err, nats.ErrAuthorization)
			}
			if err == nil {
				conn.Close()
			}
		}
	})
}

func TestBus_OnGap(t *testing.T) {
	t.Parallel()

	t.Run("follows a reconnect, and messages flow again", func(t *testing.T) {
		t.Parallel()
		a, logA := startLogged(t, node())
		b, logB := startLogged(t, node(a))
		meshed(t, a, b)
		logA.settled(t, 1)
		logB.settled(t, 1)
		messages := subscribe(t, a, "seats")
		lostAtA, lostAtB := gaps(a), gaps(b)
		if err := a.Reconnect(); err != nil {
			t.Fatal(err)
		}
		receive(t, lostAtA, "the gap after the reconnect")
		receive(t, lostAtB, "the gap at the peer")
		receive(t, lostAtA, "the gap when subscriptions are known again")
		publish(t, a, "seats", "again")
		wantMessage(t, messages, "again")
		hears(t, b, a)
	})

	t.Run("is silent on a healthy node", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		lost := gaps(b)
		messages := subscribe(t, b, "seats")
		for range 1000 {
			publish(t, b, "seats", "x")
			wantMessage(t, messages, "x")
		}
		if len(lost) != 0 {
			t.Error("a gap was reported although nothing was lost")
		}
	})
}

func TestStart(t *testing.T) {
	t.Parallel()

	refused := []struct {
		name string
		cfg  bus.Config
		want string
	}{
		{
			"no password",
			bus.Config{ClusterListen: "127.0.0.1:0"},
			"bus: a clustered node needs a cluster password",
		},
		{
			"peers without a listener",
			bus.Config{Peers: []string{"nats-route://10.0.0.1:6222"}, ClusterPassword: password},
			"bus: peers are configured but no address to listen on for them",
		},
		{
			"no port to listen on",
			bus.Config{ClusterListen: "127.0.0.1", ClusterPassword: password},
			`bus: the address "127.0.0.1" to listen on for peers must be host:port`,
		},
		{
			"a port that is none",
			bus.Config{ClusterListen: "127.0.0.1:65536", ClusterPassword: password},
			`bus: the address "127.0.0.1:65536" to listen on for peers has no valid port`,
		},
		{
			"a peer without a scheme",
			bus.Config{ClusterListen: "127.0.0.1:0", ClusterPassword: password, Peers: []string{"10.0.0.1:6222"}},
			`bus: peer 1 must be an address like nats-route://host:port, not "10.0.0.1:6222"`,
		},
		{
			"a peer with the scheme of clients",
			bus.Config{ClusterListen: "127.0.0.1:0", ClusterPassword: password, Peers: []string{"nats://10.0.0.1:4222"}},
			`bus: peer 1 must be an address like nats-route://host:port, not "nats://10.0.0.1:4222"`,
		},
		{
			"a peer without a port",
			bus.Config{ClusterListen: "127.0.0.1:0", ClusterPassword: password, Peers: []string{"nats-route://a:1", "nats-route://b"}},
			`bus: peer 2 must name a port, unlike "nats-route://b"`,
		},
		{
			"a peer with a password",
			bus.Config{ClusterListen: "127.0.0.1:0", ClusterPassword: password, Peers: []string{"nats-route://u:hush@a:1"}},
			"bus: peer 1 must not carry a user or a password: the cluster password is configured by itself",
		},
		{
			"a name with a space",
			bus.Config{ServerName: "box office"},
			`bus: the server name "box office" must not contain white space`,
		},
		{
			"several problems at once",
			bus.Config{ClusterListen: "nowhere", Peers: []string{"a"}},
			`bus: the address "nowhere" to listen on for peers must be host:port` + "\n" +
				"bus: a clustered node needs a cluster password\n" +
				`bus: peer 1 must be an address like nats-route://host:port, not "a"`,
		},
	}
	for _, tc := range refused {
		t.Run("refuses "+tc.name, func(t *testing.T) {
			t.Parallel()
			b, err := bus.Start(t.Context(), tc.cfg)
			if err == nil {
				_ = b.Close()
				t.Fatal("it started")
			}
			if err.Error() != tc.want {
				t.Errorf("it said\n%s\nwant\n%s", err, tc.want)
			}
		})
	}

	t.Run("says in one sentence that the address is taken", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		cfg := node()
		cfg.ClusterListen = a.ClusterAddress()
		b, err := bus.Start(t.Context(), cfg)
		if err == nil {
			_ = b.Close()
			t.Fatal("it started on an address that is taken")
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the error %v is not EADDRINUSE", err)
		}
		want := "bus: cannot listen for peers on " + a.ClusterAddress() + ": bind: address already in use"
		if err.Error() != want {
			t.Errorf("it said %q, want %q", err, want)
		}
	})

	t.Run("gives up when its context ends", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b, err := bus.Start(ctx, node())
		if err == nil {
			_ = b.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Start gave %v, want %v", err, context.Canceled)
		}
	})

	t.Run("outlives the context it was started with", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		b, err := bus.Start(ctx, bus.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		cancel()
		messages := subscribe(t, b, "seats")
		publish(t, b, "seats", "alive")
		wantMessage(t, messages, "alive")
	})

	t.Run("opens no port on a single node", func(t *testing.T) {
		t.Parallel()
		b := start(t, bus.Config{})
		if address := b.ClusterAddress(); address != "" {
			t.Errorf("it listens on %s", address)
		}
		if peers := b.Peers(); len(peers) != 0 {
			t.Errorf("it has the peers %v", peers)
		}
	})

	t.Run("names each process differently", func(t *testing.T) {
		t.Parallel()
		a, b := start(t, bus.Config{}), start(t, bus.Config{})
		if a.Name() == b.Name() {
			t.Errorf("both are called %s", a.Name())
		}
	})
}

func TestBus_Close(t *testing.T) {
	t.Parallel()

	t.Run("delivers what was accepted and refuses what follows", func(t *testing.T) {
		t.Parallel()
		b, err := bus.Start(t.Context(), bus.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var received int
		if _, err := b.Subscribe("seats", func([]byte) { received++ }); err != nil {
			t.Fatal(err)
		}
		for range 5000 {
			publish(t, b, "seats", "x")
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if received != 5000 {
			t.Errorf("received %d of 5000 messages", received)
		}
		if err := b.Publish("seats", nil); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Publish gave %v, want %v", err, bus.ErrClosed)
		}
		if _, err := b.Subscribe("seats", func([]byte) {}); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Subscribe gave %v, want %v", err, bus.ErrClosed)
		}
	})

	t.Run("reaches the peers with what was accepted", func(t *testing.T) {
		t.Parallel()
		a := start(t, node())
		b, err := bus.Start(t.Context(), node(a))
		if err != nil {
			t.Fatal(err)
		}
		meshed(t, a, b)
		messages := subscribe(t, a, "seats")
		hears(t, b, a)
		publish(t, b, "seats", "farewell")
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantMessage(t, messages, "farewell")
	})

	t.Run("is bounded when a subscriber is stuck", func(t *testing.T) {
		t.Parallel()
		b, err := bus.Start(t.Context(), node())
		if err != nil {
			t.Fatal(err)
		}
		release, stuck := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() { close(release) })
		if _, err := b.Subscribe("seats", func([]byte) {
			close(stuck)
			<-release
		}); err != nil {
			t.Fatal(err)
		}
		publish(t, b, "seats", "x")
		receive(t, stuck, "the stuck subscriber")
		closed := make(chan error, 1)
		go func() { closed <- b.Close() }()
		if err := receive(t, closed, "Close"); err != nil {
			t.Errorf("Close: %v", err)
		}
	})

	t.Run("is safe beside everything else", func(t *testing.T) {
		t.Parallel()
		b, err := bus.Start(t.Context(), node())
		if err != nil {
			t.Fatal(err)
		}
		var others sync.WaitGroup
		for range 4 {
			others.Go(func() {
				for {
					unsubscribe, err := b.Subscribe("seats", func([]byte) {})
					if errors.Is(err, bus.ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("Subscribe: %v", err)
						return
					}
					unsubscribe()
				}
			})
			others.Go(func() {
				for {
					err := b.Publish("seats", nil)
					if errors.Is(err, bus.ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("Publish: %v", err)
						return
					}
					b.OnGap(func() {})
				}
			})
		}
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() {
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		closers.Wait()
		others.Wait()
	})
}

// freeAddress returns a loopback address that nobody listened on a moment ago.
// Its port lies below those the system hands out by itself, so that no other
// test gets it in the meantime.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err != nil {
			continue
		}
		address := listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("found no free port")
	panic("unreachable")
}

func drain(signal <-chan struct{}) {
	select {
	case <-signal:
	default:
	}
}

func BenchmarkBus_Publish(b *testing.B) {
	node, err := bus.Start(b.Context(), bus.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer node.Close()
	arrived := make(chan struct{}, 1)
	if _, err := node.Subscribe("seats", func([]byte) { arrived <- struct{}{} }); err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		if err := node.Publish("seats", payload); err != nil {
			b.Fatal(err)
		}
		<-arrived
	}
}
