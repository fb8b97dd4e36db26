package transport

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// sendBufferBytes is asked of the kernel for each socket. Left alone it grows to megabytes for a client that does not
// read; this much holds a seat map or a few hundred changes, and bounds what such a client costs.
const sendBufferBytes = 64 << 10

var errLineClosed = errors.New("the connection is closing")

// line is the sending half of a socket: a net.Conn whose writes, whoever makes them, go out whole and one after the
// other. gorilla writes the handshake and control frames through it, operations write their messages, and the members
// of an [audience] write without ever waiting.
//
// Who writes has the turn. A write first takes what the kernel has room for; the rest waits at most the write timeout
// for the client, and a line that was too slow is cut. Who may not wait leaves that to a goroutine, which takes the
// turn over, and who does not even get the turn leaves a note: it is read by whoever gives the turn back.
type line struct {
	net.Conn

	raw     syscall.RawConn // nil where the connection can only be written to by waiting
	timeout time.Duration
	cut     func()                  // ends the connection
	backlog func(dst []byte) []byte // appends the frames that shared operations have ready
	spawn   func(func())            // runs a goroutine that the connection waits for
	attempt func(fd uintptr) bool   // writes what is in trying; made once, since it is passed to raw each time
	trying  struct {                // arguments and results of attempt
		frames  []byte
		written int
		err     error
	}

	turn   sync.Mutex
	closed bool        // guarded by turn: a close frame was sent, or nothing can be sent any more
	owed   atomic.Bool // a shared operation has frames and did not get the turn
	muted  atomic.Bool // no more messages, only control frames
}

// newLine takes over the connection of an upgrade. cut ends it; what else it needs is set before it is shared.
func newLine(conn net.Conn, timeout time.Duration, cut func()) *line {
	l := &line{Conn: conn, timeout: timeout, cut: cut}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBufferBytes)
	}
	if system, ok := conn.(syscall.Conn); ok {
		if raw, err := system.SyscallConn(); err == nil {
			l.raw, l.attempt = raw, l.writeOnce
		}
	}
	return l
}

// SetWriteDeadline does nothing: each write has the line's own.
func (l *line) SetWriteDeadline(time.Time) error { return nil }

// CloseWrite ends the sending half, where the connection has halves.
func (l *line) CloseWrite() error {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write sends bytes of gorilla: the handshake, or a control frame in one piece. Nothing follows a close frame.
func (l *line) Write(p []byte) (int, error) {
	const closeFrame = 0x80 | websocket.CloseMessage
	l.turn.Lock()
	defer l.release()
	if l.closed {
		return 0, errLineClosed
	}
	if len(p) > 0 && p[0] == closeFrame {
		l.closed = true
	}
	if err := l.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// message sends frames unless live says no when the turn has come. It waits for the turn and for the client.
func (l *line) message(frames []byte, live func() bool) bool {
	l.turn.Lock()
	defer l.release()
	return !l.silent() && live() && l.send(frames) == nil
}

// silent reports whether no message may be sent any more. The caller has the turn.
func (l *line) silent() bool { return l.closed || l.muted.Load() }

// send writes everything within the timeout, or cuts the connection. The caller has the turn.
func (l *line) send(p []byte) error {
	n, err := l.try(p)
	if err == nil && n < len(p) {
		err = l.wait(p[n:])
	}
	if err != nil {
		l.fail()
	}
	return err
}

// fail ends a line that cannot be written to. The caller has the turn.
func (l *line) fail() {
	l.closed = true
	l.cut()
}

// wait writes everything within the timeout.
func (l *line) wait(p []byte) error {
	_ = l.Conn.SetWriteDeadline(time.Now().Add(l.timeout))
	_, err := l.Conn.Write(p)
	// Without a deadline, since one that has passed fails the next attempt.
	_ = l.Conn.SetWriteDeadline(time.Time{})
	return err
}

// try writes what there is room for. The caller has the turn.
func (l *line) try(p []byte) (written int, err error) {
	if l.raw == nil || len(p) == 0 {
		return 0, nil
	}
	l.trying.frames, l.trying.written, l.trying.err = p, 0, nil
	if err = l.raw.Write(l.attempt); err == nil {
		err = l.trying.err
	}
	l.trying.frames = nil
	return l.trying.written, err
}

// writeOnce makes one attempt to write, and asks not to be called again whatever comes of it.
func (l *line) writeOnce(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), l.trying.frames)
		switch {
		case err == nil:
			l.trying.written = n
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EAGAIN):
			l.trying.err = err
		}
		return true
	}
}

// claim takes the turn if nobody has it, else it leaves a note for who has.
func (l *line) claim() bool {
	if l.turn.TryLock() {
		return true
	}
	l.owed.Store(true)
	return l.turn.TryLock() // who gave it back between the two attempts may not have seen the note
}

// push sends frames without waiting and gives the turn back, by itself or through a goroutine. The caller has the turn
// and may use the frames again.
func (l *line) push(frames []byte) {
	if l.silent() || l.start(frames) {
		l.release()
	}
}

// start sends frames without waiting and reports whether the caller still has the turn. If not, a goroutine has it.
func (l *line) start(frames []byte) bool {
	if len(frames) == 0 {
		return true
	}
	n, err := l.try(frames)
	switch {
	case err != nil:
		l.fail()
	case n < len(frames):
		rest := append([]byte(nil), frames[n:]...)
		l.spawn(func() {
			if l.wait(rest) != nil {
				l.fail()
			}
			l.release()
		})
		return false
	}
	return true
}

// release gives the turn back, after what shared operations did not get the turn for.
func (l *line) release() {
	for {
		l.turn.Unlock()
		if !l.owed.Load() || !l.turn.TryLock() {
			return
		}
		l.owed.Store(false)
		if !l.silent() && !l.start(l.backlog(nil)) {
			return
		}
	}
}

// shut makes sure that no write is under way and that none follows. The connection must have been closed, so that
// nobody waits for the client.
func (l *line) shut() {
	l.turn.Lock()
	l.closed = true
	l.turn.Unlock()
}

// appendText appends a text frame of a server whose payload is made of parts.
func appendText(dst []byte, parts ...[]byte) []byte {
	const (
		head     = 0x80 | websocket.TextMessage
		longest7 = 125
		is16     = 126
		is64     = 127
	)
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	switch {
	case size <= longest7:
		dst = append(dst, head, byte(size))
	case size < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, head, is16), uint16(size))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, head, is64), uint64(size))
	}
	for _, part := range parts {
		dst = append(dst, part...)
	}
	return dst
}
