package local

import (
	"context"
	"path/filepath"
	"time"
)

// Seams replace what Start takes from the system.
type Seams struct {
	Path, Globs []string
	PickPort    func() (int, error)
	Leftover    time.Duration
	FastStop    time.Duration
}

// StartWith is Start with seams and short waits. Without Path and Globs it searches like Start.
func StartWith(ctx context.Context, o Options, s Seams) (*Cluster, error) {
	where := systemSearch(o.BinDir)
	if s.Path != nil || s.Globs != nil {
		where.path, where.globs = s.Path, s.Globs
	}
	if s.PickPort == nil {
		s.PickPort = freePort
	}
	if s.Leftover == 0 {
		s.Leftover = 20 * time.Second
	}
	if s.FastStop == 0 {
		s.FastStop = 20 * time.Second
	}
	return begin(ctx, o, where, s.PickPort, limits{
		start: 30 * time.Second, leftover: s.Leftover,
		fastStop: s.FastStop, immediateStop: 20 * time.Second, claim: 60 * time.Second,
	})
}

// FreePort is the picker that Start uses.
func FreePort() (int, error) { return freePort() }

// SharedBuffers is the size chosen for a machine with this memory.
func SharedBuffers(memory uint64) uint64 { return sharedBuffers(memory) }

// SocketDir is where the server's socket lies.
func (c *Cluster) SocketDir() string { return c.socketDir }

// ServerLives reports whether any process of the cluster's server lives, initdb included.
func ServerLives(dir string) (bool, error) {
	l, err := openLock(filepath.Join(dir, serverLock))
	if err != nil {
		return false, err
	}
	lives, err := l.heldElsewhere()
	if err != nil {
		return false, err
	}
	return lives, l.file.Close()
}

// HoldServerLock stands for a surviving process of the server until release is called.
func HoldServerLock(dir string) (release func() error, err error) {
	l, err := openLock(filepath.Join(dir, serverLock))
	if err != nil {
		return nil, err
	}
	if _, err := l.tryExclusive(); err != nil {
		return nil, err
	}
	return l.close, nil
}

// HoldStartLock keeps everybody from starting and leaving until release is called.
func HoldStartLock(ctx context.Context, dir string) (release func() error, err error) {
	l, err := openLock(filepath.Join(dir, startLockFile))
	if err != nil {
		return nil, err
	}
	if err := l.exclusive(ctx); err != nil {
		return nil, err
	}
	return l.close, nil
}
