package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// pollEvery is short against the time a server needs to start (about 100 ms) and long against one look.
const pollEvery = 15 * time.Millisecond

// pause waits for one poll interval, or returns the context's error.
func pause(ctx context.Context) error {
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// lock is an advisory whole-file lock. It belongs to the open file, not to the process: two locks opened by one
// process exclude each other, a child that inherits the file keeps it, and the kernel drops it with its last holder.
type lock struct{ file *os.File }

func openLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &lock{f}, nil
}

// exclusive waits for the lock.
func (l *lock) exclusive(ctx context.Context) error {
	for {
		got, err := tryLock(l.file, true)
		if err != nil || got {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// tryExclusive takes the lock if nobody else has it. A shared lock held through l is lost when it fails.
func (l *lock) tryExclusive() (bool, error) { return tryLock(l.file, true) }

// tryShared takes the lock if nobody has it exclusively.
func (l *lock) tryShared() (bool, error) { return tryLock(l.file, false) }

// heldElsewhere reports whether another open file has the lock. l must not hold it.
func (l *lock) heldElsewhere() (bool, error) {
	got, err := l.tryExclusive()
	if err != nil || !got {
		return !got, err
	}
	return false, unlock(l.file)
}

// close gives the lock up. The explicit unlock matters: a process forked by another goroutine shares the open file
// until it calls exec, so closing alone could leave the lock held for a moment.
func (l *lock) close() error {
	if l == nil {
		return nil
	}
	return errors.Join(unlock(l.file), l.file.Close())
}

// drop closes the file and leaves the lock to the processes that inherited it.
func (l *lock) drop() error { return l.file.Close() }

// current reports whether path still names the locked file. It does not when somebody removed the folder between
// opening and locking, and a lock on a nameless file would exclude nobody.
func (l *lock) current(path string) (bool, error) {
	mine, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(mine, named), nil
}
