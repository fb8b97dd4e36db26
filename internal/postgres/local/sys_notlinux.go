//go:build !linux

package local

import "net"

// listenerPID is not known here; the id in postmaster.pid stands alone.
func listenerPID(*net.UnixConn) (pid int, known bool) { return 0, false }

// memoryBytes is not known here.
func memoryBytes() uint64 { return 0 }
