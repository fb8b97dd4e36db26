//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	connecting   = 16               // sockets that are opened at once
	connectLimit = 20 * time.Second // for each step of one
	readBuffer   = 256 << 10
	perAddress   = 100 // sockets of one client address
)

// subscriber is one socket with what came over it.
type subscriber struct {
	fd   int
	rest []byte // the beginning of a frame
	view view
}

// crowd is the subscribers of one side. One goroutine reads all sockets by epoll, so that the client leaves most of a
// small machine to the server.
type crowd struct {
	subscribers []*subscriber
	epoll       int
	wake        int // an eventfd that ends the reader
	reading     sync.WaitGroup

	due       [seats]atomic.Int64 // when the last change of each seat was due, in ns of the clock of began
	began     time.Time
	delivered atomic.Int64  // changes, counted for every subscriber
	messages  atomic.Int64  // deltas, counted for every subscriber
	begun     atomic.Int64  // subscribers that have their snapshot
	moved     chan struct{} // holds a value when something was delivered

	latency atomic.Pointer[histogram] // of the phase; the reader alone adds to it
	mu      sync.Mutex
	failure error // the first
}

// gather opens n subscribers of an address and waits for their snapshots.
func gather(ctx context.Context, address string, n int) (_ *crowd, err error) {
	c := &crowd{subscribers: make([]*subscriber, n), began: time.Now(), moved: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.disperse())
		}
	}()
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	if c.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	if err := c.watch(c.wake, -1); err != nil {
		return nil, err
	}
	c.reading.Go(c.read)
	group, opening := errgroup.WithContext(ctx)
	group.SetLimit(connecting)
	for i := range n {
		group.Go(func() error {
			if opening.Err() != nil {
				return context.Cause(opening)
			}
			s, err := open(address, i, "Live")
			if err != nil {
				return fmt.Errorf("subscriber %d: %w", i, err)
			}
			c.subscribers[i] = s
			if err := unix.SetNonblock(s.fd, true); err != nil {
				return fmt.Errorf("prepare a socket: %w", err)
			}
			return c.watch(s.fd, i)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	err = c.await(ctx, func() bool { return c.begun.Load() == int64(n) })
	return c, err
}

// watch lets the reader read a socket.
func (c *crowd) watch(fd, index int) error {
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)}); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// disperse closes everything.
func (c *crowd) disperse() error {
	if c.wake > 0 {
		if _, err := unix.Write(c.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			return fmt.Errorf("end the reader: %w", err)
		}
	}
	c.reading.Wait()
	for _, s := range c.subscribers {
		if s != nil {
			_ = unix.Close(s.fd)
		}
	}
	for _, fd := range []int{c.epoll, c.wake} {
		if fd > 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// open connects one subscriber: handshake, connection_init and subscribe, under the name of an operation.
func open(address string, index int, name string) (_ *subscriber, err error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	s := &subscriber{fd: fd}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	patience := unix.NsecToTimeval(connectLimit.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := s.upgrade(address, index); err != nil {
		return nil, err
	}
	if err := s.say(`{"type":"connection_init"}`); err != nil {
		return nil, err
	}
	if err := s.hear("connection_ack"); err != nil {
		return nil, err
	}
	// Client libraries make an id of this length for every operation.
	message, err := json.Marshal(map[string]any{
		"id": uuid.NewString(), "type": "subscribe",
		"payload": map[string]any{"query": fmt.Sprintf(document, name), "variables": map[string]any{"id": showtimeID()}},
	})
	if err != nil {
		return nil, fmt.Errorf("write a subscription: %w", err)
	}
	if err := s.say(string(message)); err != nil {
		return nil, err
	}
	return s, nil
}

// connect connects a socket. One that a signal interrupts goes on connecting by itself.
func connect(fd int, to unix.Sockaddr) error {
	err := unix.Connect(fd, to)
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(connectLimit.Milliseconds()))
	}
	if err != nil {
		return err
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// upgrade makes the handshake, as the balancer that the server trusts would pass it on for one of many clients.
func (s *subscriber) upgrade(address string, index int) error {
	client := net.IPv4(10, 1, byte(index/perAddress>>8), byte(index/perAddress))
	request := "GET /graphql HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
		"Sec-WebSocket-Protocol: graphql-transport-ws\r\nX-Forwarded-For: " + client.String() + "\r\n\r\n"
	if err := s.write([]byte(request)); err != nil {
		return err
	}
	const end = "\r\n\r\n"
	for !bytes.Contains(s.rest, []byte(end)) {
		if err := s.more(); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
	}
	head, rest, _ := bytes.Cut(s.rest, []byte(end))
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("the upgrade is refused: %.200s", s.rest)
	}
	s.rest = rest
	return nil
}

func (s *subscriber) say(message string) error {
	return s.write(clientFrame(opText, []byte(message)))
}

// write sends what is small enough to be sent at once.
func (s *subscriber) write(p []byte) error {
	for {
		switch n, err := unix.Write(s.fd, p); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("send: %w", err)
		case n < len(p):
			return fmt.Errorf("send: %w", io.ErrShortWrite)
		default:
			return nil
		}
	}
}

// more reads more of what comes.
func (s *subscriber) more() error {
	var buffer [4 << 10]byte
	for {
		switch n, err := unix.Read(s.fd, buffer[:]); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			s.rest = append(s.rest, buffer[:n]...)
			return nil
		}
	}
}

// hear waits for a message.
func (s *subscriber) hear(what string) error {
	for {
		opcode, payload, rest, ok := cutFrame(s.rest)
		switch {
		case !ok:
			if err := s.more(); err != nil {
				return fmt.Errorf("wait for %s: %w", what, err)
			}
			continue
		case opcode == opClose || !strings.Contains(string(payload), what):
			return fmt.Errorf("wait for %s: received %.200q", what, payload)
		}
		s.rest = bytes.Clone(rest)
		return nil
	}
}

// read reads all sockets until it is woken.
func (c *crowd) read() {
	events, buffer := make([]unix.EpollEvent, 512), make([]byte, readBuffer)
	for {
		n, err := unix.EpollWait(c.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			c.fail(fmt.Errorf("wait for sockets: %w", err))
			return
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd < 0 {
				return
			}
			s := c.subscribers[event.Fd]
			if err := c.receive(s, buffer); err != nil {
				c.fail(fmt.Errorf("subscriber %d: %w", event.Fd, err))
				_ = unix.EpollCtl(c.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
			}
		}
		select {
		case c.moved <- struct{}{}:
		default:
		}
	}
}

// receive takes in what has come over one socket.
func (c *crowd) receive(s *subscriber, buffer []byte) error {
	kept := copy(buffer, s.rest)
	n, err := unix.Read(s.fd, buffer[kept:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return errors.New("the connection has ended")
	}
	now := time.Since(c.began)
	changes, deltas, version := s.view.changes, s.view.deltas, s.view.version
	rest := buffer[:kept+n]
	for {
		opcode, payload, after, ok := cutFrame(rest)
		if !ok {
			break
		}
		rest = after
		if err := c.frame(s, opcode, payload, now); err != nil {
			return err
		}
	}
	s.rest = append(s.rest[:0], rest...)
	if version == 0 && s.view.version > 0 {
		c.begun.Add(1)
	}
	c.delivered.Add(int64(s.view.changes - changes))
	c.messages.Add(int64(s.view.deltas - deltas))
	return nil
}

func (c *crowd) frame(s *subscriber, opcode byte, payload []byte, now time.Duration) error {
	switch opcode {
	case opPing:
		return s.write(clientFrame(opPong, payload))
	case opText:
		if bytes.HasPrefix(payload, []byte(`{"type":"ping"`)) {
			return s.say(`{"type":"pong"}`)
		}
		return s.view.apply(payload, func(ch change) {
			if latency := c.latency.Load(); latency != nil {
				latency.add(now - time.Duration(c.due[ch.seat-1].Load()))
			}
		})
	default:
		return fmt.Errorf("received the frame %d %.200q", opcode, payload)
	}
}

// measure counts latencies in h from here on; nil counts none. What is on its way must have been delivered.
func (c *crowd) measure(h *histogram) { c.latency.Store(h) }

// verify holds every subscriber's map against the truth, in which a seat that was never touched is available. It is for
// times when nothing is on its way.
func (c *crowd) verify(truth [seats]byte) error {
	for i := range truth {
		if truth[i] == 0 {
			truth[i] = available
		}
	}
	for i, s := range c.subscribers {
		if s.view.states != truth {
			return fmt.Errorf("subscriber %d has the map %s, which should be %s", i, s.view.states, truth)
		}
	}
	return nil
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
	}
}

// err is the first failure of a subscriber.
func (c *crowd) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// stalled is how long a crowd waits while nothing at all is delivered.
const stalled = 20 * time.Second

// await waits for a condition that deliveries bring about.
func (c *crowd) await(ctx context.Context, condition func() bool) error {
	timer := time.NewTimer(stalled)
	defer timer.Stop()
	for !condition() {
		if err := c.err(); err != nil {
			return err
		}
		timer.Reset(stalled)
		select {
		case <-c.moved:
		case <-timer.C:
			return fmt.Errorf("nothing has come for %s; %d of %d have their map, %d changes were delivered",
				stalled, c.begun.Load(), len(c.subscribers), c.delivered.Load())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.err()
}
