//go:build !linux

package postgres

import "syscall"

// limitSilence leaves the kernel's own limit.
func limitSilence(string, string, syscall.RawConn) error { return nil }

// peek cannot look here; a connection that the server has closed is found out by its next statement.
func peek(syscall.RawConn) (open bool, first byte) { return true, 0 }
