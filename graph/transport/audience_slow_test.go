package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"marquee/graph/transport"
)

// slowDialer keeps the client's side of a connection from taking much that is not read.
func slowDialer(readBuffer int) *websocket.Dialer {
	d := dialer()
	d.NetDialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(readBuffer)
		}
		return conn, err
	}
	return d
}

func (s *sockets) beginSlowly(t *testing.T, readBuffer int) *client {
	t.Helper()
	c, _ := s.dialWith(t, slowDialer(readBuffer), nil)
	c.send(`{"type":"connection_init"}`)
	c.want(`{"type":"connection_ack"}`)
	return c
}

// TestWebsocket_Shared_slow_reader_begins_anew lets one client not read until far more has happened than is kept for it.
func TestWebsocket_Shared_slow_reader_begins_anew(t *testing.T) {
	b := newBoard()
	b.padding = strings.Repeat("x", 4<<10)
	s := newSockets(t, sharing(&transport.Websocket{WriteTimeout: patience, MessageRate: -1}), b.shared)
	slow, quick := s.beginSlowly(t, 32<<10).follow("a"), s.begin(t).follow("b")
	slow.mustReach(0, 0)
	quick.mustReach(0, 0)
	const steps = 250 // of which the network takes some 50, and as many are kept
	for version := 1; version <= steps; version++ {
		b.step(version)
		quick.mustReach(version, version*(version+1)/2)
	}
	slow.mustReach(steps, steps*(steps+1)/2)
	if slow.wholes < 2 || slow.wholes+slow.deltas > steps/2 {
		t.Errorf("the slow reader got %d pictures and %d steps, want pictures for most of the steps", slow.wholes, slow.deltas)
	}
	if quick.wholes != 1 {
		t.Errorf("the quick reader got %d pictures", quick.wholes)
	}
	// Its control messages come in their place.
	slow.send(`{"type":"ping"}`)
	slow.want(`{"type":"pong"}`)
	b.step(1)
	slow.mustReach(steps+1, steps*(steps+1)/2+1)
}

// TestWebsocket_WS6_one_of_200_stops_reading holds that nobody waits for it, that it takes no memory, and that it is cut.
func TestWebsocket_WS6_one_of_200_stops_reading(t *testing.T) {
	const (
		n            = 200
		mostDelay    = 250 * time.Millisecond
		mostMemory   = 4 << 20
		writeTimeout = 5 * time.Second
	)
	b := newBoard()
	b.padding = strings.Repeat("x", 4<<10)
	registry := &transport.Registry{}
	s := newSockets(t, sharing(&transport.Websocket{Registry: registry, MaxPerAddress: -1, WriteTimeout: writeTimeout}), b.shared)
	stuck := s.beginSlowly(t, 4<<10).follow("stuck")
	stuck.mustReach(0, 0)
	followers := make([]*follower, n-1)
	for i := range followers {
		followers[i] = s.begin(t).follow("a")
		followers[i].mustReach(0, 0)
	}
	version := 0
	// round takes one step and returns how long it was until all but the stuck one had it.
	round := func() time.Duration {
		version++
		start := time.Now()
		b.step(1)
		var readers sync.WaitGroup
		for _, f := range followers {
			readers.Go(func() {
				if err := f.until(version); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		return time.Since(start)
	}
	// What the machine itself takes is known from a time in which the network still takes everything for the stuck one.
	var before, after []time.Duration
	for range 10 {
		before = append(before, round())
	}
	memory := heap()
	for !t.Failed() && registry.Len() == n {
		after = append(after, round())
	}
	if grown := heap() - memory; grown > mostMemory {
		t.Errorf("memory grew by %d bytes", grown)
	}
	// One round in ten may fall to whatever else the machine does, but none to the stuck one's time-out.
	slices.Sort(before)
	slices.Sort(after)
	usual := func(rounds []time.Duration) time.Duration { return rounds[len(rounds)*9/10] }
	if usual(after) > max(mostDelay, 2*usual(before)) || after[len(after)-1] > writeTimeout/2 {
		t.Errorf("the others waited %s for a step and once %s; %s before one of them stopped reading",
			usual(after), after[len(after)-1], usual(before))
	}
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse)
}

// TestWebsocket_Shared_control_messages_between_events floods a socket with pings while events flow.
func TestWebsocket_Shared_control_messages_between_events(t *testing.T) {
	const pings = 300
	b := newBoard()
	s := newSockets(t, sharing(&transport.Websocket{MessageRate: -1}), b.shared)
	c := s.begin(t)
	f := c.follow("a")
	f.mustReach(0, 0)
	controls := 0
	c.SetPongHandler(func(string) error { controls++; return nil })
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range pings {
			b.step(1)
			c.send(fmt.Sprintf(`{"type":"ping","payload":{"n":%d}}`, i))
			if err := c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)); err != nil {
				t.Error(err)
			}
		}
	})
	for pongs := 0; pongs < pings || f.version < pings || controls < pings; {
		text, err := c.receive()
		switch {
		case err != nil:
			t.Fatal(err)
		case text == fmt.Sprintf(`{"type":"pong","payload":{"n":%d}}`, pongs):
			pongs++
		default:
			var message struct {
				Payload struct {
					Data struct{ Ticks struct{ F, V int } }
				}
			}
			if err := json.Unmarshal([]byte(text), &message); err != nil || message.Payload.Data.Ticks.F != f.version {
				t.Fatalf("received %s after version %d and %d pongs", text, f.version, pongs)
			}
			f.version = message.Payload.Data.Ticks.V
		}
		if f.version >= pings && pongs >= pings && controls < pings {
			b.step(1) // a control message is seen when a message is read
		}
	}
	sending.Wait()
}

// TestWebsocket_Shared_over_a_connection_that_only_blocks: behind TLS there is no write that does not wait.
func TestWebsocket_Shared_over_a_connection_that_only_blocks(t *testing.T) {
	b := newBoard()
	schema := newSchema()
	schema.open = b.open
	registry := &transport.Registry{DrainWindow: time.Millisecond}
	server := httptest.NewTLSServer(transport.Handler(schema.executor(), sharing(&transport.Websocket{Registry: registry})))
	defer server.Close()
	defer func() {
		if err := registry.Drain(within(t, patience)); err != nil {
			t.Error(err)
		}
	}()
	d := dialer()
	d.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	conn, response, err := d.Dial("wss"+strings.TrimPrefix(server.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer conn.Close()
	c := &client{conn, t}
	c.send(`{"type":"connection_init"}`)
	c.want(`{"type":"connection_ack"}`)
	f := c.follow("a")
	for version := range 50 {
		f.mustReach(version, version)
		b.step(1)
	}
	c.send(`{"type":"connection_init"}`)
	for {
		if err := f.next(); err != nil {
			if !websocket.IsCloseError(err, 4429) {
				t.Error(err)
			}
			return
		}
	}
}
