package postgres

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is the network connection below a database connection, below TLS where there is TLS. It remembers what
// lib/pq does not tell: whether a statement left the machine, and whether the stream is still in step.
type socket struct {
	net.Conn
	raw   syscall.RawConn // nil where the connection has none
	grace time.Duration   // see guard

	sent   atomic.Bool // bytes were written since mark
	failed atomic.Bool // a read or a write failed: what follows on the stream is undefined

	mu    sync.Mutex
	watch uint64 // the current guard; a guard that is not current any more has no effect
	armed bool   // the current guard has set a deadline
}

func newSocket(c net.Conn, grace time.Duration) *socket {
	s := &socket{Conn: c, grace: grace}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.failed.Store(true)
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if n > 0 {
		s.sent.Store(true)
	}
	if err != nil {
		s.failed.Store(true)
	}
	return n, err
}

// mark forgets what was sent, so that sent speaks of what follows.
func (s *socket) mark() { s.sent.Store(false) }

// usable tells whether an idle socket can carry a statement: the server has neither hung up nor sent a farewell.
// It costs one system call and no round trip.
func (s *socket) usable() bool {
	if s.failed.Load() {
		return false
	}
	if s.raw == nil {
		return true
	}
	open, pending := peek(s.raw)
	switch {
	case !open:
		return false
	case pending == 0, pending == 'N', pending == 'S', pending == 'A':
		// Nothing, or one of the messages that a server may send at any time: notice, parameter, notification.
		return true
	}
	return false
}

// guard cuts the connection when ctx has ended and the server has still not come to an end a grace period later.
// lib/pq asks the server to cancel at once, which is enough unless the server or the network is frozen.
// release takes the guard away; it may be called more than once.
func (s *socket) guard(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	s.mu.Lock()
	s.watch++
	id := s.watch
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.watch == id {
			s.armed = true
			_ = s.SetDeadline(time.Now().Add(s.grace))
		}
	})
	return func() {
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.watch != id {
			return
		}
		s.watch++
		if s.armed {
			s.armed = false
			_ = s.SetDeadline(time.Time{})
		}
	}
}
