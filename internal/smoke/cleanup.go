package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postmaster is the main process of the private PostgreSQL server.
type postmaster struct {
	pid  int
	port int
}

// errNoPostmaster says that no PostgreSQL server runs on the folder, or that it stopped in order.
var errNoPostmaster = errors.New("there is no postmaster.pid")

// findPostmaster reads postmaster.pid, which PostgreSQL keeps in its data folder while it runs and removes as its last
// act, when all its other processes have ended.
func findPostmaster(dir string) (postmaster, error) {
	var found string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // files come and go under a running server
			return nil
		case err != nil:
			return err
		case entry.Name() == "postmaster.pid":
			found = path
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return postmaster{}, fmt.Errorf("look for PostgreSQL: %w", err)
	}
	content, err := os.ReadFile(found)
	if errors.Is(err, fs.ErrNotExist) {
		return postmaster{}, errNoPostmaster
	}
	if err != nil {
		return postmaster{}, fmt.Errorf("look for PostgreSQL: %w", err)
	}
	return parsePostmaster(string(content))
}

// parsePostmaster reads the file's first and fourth line.
func parsePostmaster(content string) (postmaster, error) {
	lines := strings.Split(content, "\n")
	const portLine = 3
	if len(lines) <= portLine {
		return postmaster{}, fmt.Errorf("postmaster.pid holds %q", content)
	}
	pid, pidErr := strconv.Atoi(lines[0])
	port, portErr := strconv.Atoi(lines[portLine])
	if err := errors.Join(pidErr, portErr); err != nil || pid <= 1 || port <= 0 {
		return postmaster{}, errors.Join(fmt.Errorf("postmaster.pid holds %q", content), err)
	}
	return postmaster{pid: pid, port: port}, nil
}

// listens reports whether the server can be connected to. A look at the process would not tell: an ended process is
// there until its parent has asked for it.
func (p postmaster) listens(ctx context.Context) bool {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

// cleanUp ends what is still running, whatever has happened, and removes the folder.
func (s *story) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopping)
	defer cancel()
	if s.watcher != nil {
		s.watcher.subscription.Close()
	}
	if s.marquee != nil {
		_ = s.marquee.Stop(ctx) // one that failed has been reported already
	}
	return errors.Join(endPostgres(ctx, s.dir), os.RemoveAll(s.dir))
}

// endPostgres ends a PostgreSQL server that has outlived Marquee, as it does when Marquee is killed.
func endPostgres(ctx context.Context, dir string) error {
	p, err := findPostmaster(dir)
	if errors.Is(err, errNoPostmaster) || err == nil && !p.listens(ctx) {
		return nil
	}
	if err != nil {
		return err
	}
	process, err := os.FindProcess(p.pid)
	if err == nil {
		err = process.Signal(os.Interrupt) // PostgreSQL's fast shutdown
	}
	if err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := findPostmaster(dir); errors.Is(err, errNoPostmaster) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("PostgreSQL's process %d did not stop", p.pid), process.Kill())
		}
	}
}
