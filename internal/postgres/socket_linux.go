package postgres

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitSilence makes the kernel give up on a peer that does not acknowledge data, which by default takes a quarter of
// an hour.
func limitSilence(network, _ string, raw syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var failure error
	err := raw.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(peerTimeout.Milliseconds()))
	})
	return errors.Join(err, failure)
}

// peek looks at a socket without reading from it: whether the peer still holds it open, and the first byte that waits
// to be read, 0 when there is none.
func peek(raw syscall.RawConn) (open bool, first byte) {
	var (
		buffer  [1]byte
		n       int
		failure error
	)
	err := raw.Read(func(fd uintptr) bool {
		n, _, failure = unix.Recvfrom(int(fd), buffer[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	switch {
	case err != nil:
		return false, 0
	case errors.Is(failure, unix.EAGAIN), errors.Is(failure, unix.EINTR):
		return true, 0
	case failure != nil, n == 0:
		return false, 0
	}
	return true, buffer[0]
}
