// Package local owns the private PostgreSQL cluster that Marquee starts by itself when no database is named, and that
// tests run against: one folder with the data, a password, locks and a log, and at most one server on it.
//
// It makes the data folder once, starts the server or adopts a running one, and stops it when its last user leaves.
// It speaks no SQL beyond creating an empty database, never listens beyond loopback, never trusts a connection
// without a password, never installs or upgrades PostgreSQL and never deletes data.
//
// Invariants:
//   - start.lock is held by whoever starts or stops the server. Nothing else touches the data folder.
//   - users.lock is shared by every user, in any number of processes. Whoever leaves and can take it alone is the last
//     and stops the server. A killed process loses its locks by itself, so the server it leaves is adopted by the next.
//   - server.lock is inherited by every server process. It is free exactly when none lives. Process ids are only
//     signalled when their process is seen listening on the cluster's socket.
//   - The data folder appears by one rename and is complete from then on.
//
// The locks are flock(2) locks: the folder must lie on a file system that keeps them, which NFS does not.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options says where the cluster lives and how it is run.
type Options struct {
	// Dir is the cluster's folder; it is created when missing. For a process of root all folders on the way to it must
	// let the server's unprivileged user through (testing.T.TempDir does not).
	Dir string
	// BinDir is the folder of initdb, pg_ctl and postgres; empty means to search the usual places.
	BinDir string
	// Log may be nil. The password never reaches it.
	Log *slog.Logger
	// Ephemeral switches fsync, full_page_writes and synchronous_commit off: for data that may be lost with the machine.
	// An ephemeral server that is adopted without it is switched to durable on the spot, never the other way round.
	Ephemeral bool
	// MaxConnections is the server's limit, 100 when 0. An adopted server keeps the one it was started with.
	MaxConnections int
}

// Cluster is one user's claim on the running server. Its methods may be called from several goroutines.
type Cluster struct {
	log            *slog.Logger
	dir            string // absolute, without symbolic links
	ephemeral      bool
	maxConnections int
	limits         limits
	pickPort       func() (int, error)

	account  account
	bin      binaries
	password string

	port      int
	socketDir string

	start, users *lock
	probe        *lock // an open file of server.lock that never keeps the lock: it only asks who does

	leaving sync.Once
	left    error
}

// limits bound every wait for another process.
type limits struct {
	start         time.Duration // a server that is there but not ready, crash recovery included
	leftover      time.Duration // processes of a server whose main process is gone
	fastStop      time.Duration
	immediateStop time.Duration
	claim         time.Duration // the start lock, when leaving
}

const (
	defaultMaxConnections = 100
	// maxPortTries bounds the starts in which another process is faster to take the port that was free a moment before.
	maxPortTries = 5
	answerWithin = 2 * time.Second
)

// Start returns a claim on the cluster in o.Dir: it makes the data folder if there is none, starts the server or
// adopts a running one, and waits until it answers. Concurrent calls, in one process or many, share one server.
//
// ctx bounds Start only. When it ends first, Start stops what it began, unless other users are there, and returns an
// error that wraps the context's. Every other failure a person can mend is an *Error.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	return begin(ctx, o, systemSearch(o.BinDir), freePort, limits{
		start:         3 * time.Minute,
		leftover:      30 * time.Second,
		fastStop:      time.Minute,
		immediateStop: 20 * time.Second,
		claim:         5 * time.Minute,
	})
}

func begin(ctx context.Context, o Options, where search, pickPort func() (int, error), lim limits) (_ *Cluster, err error) {
	if !supported {
		return nil, problem(ErrUnsupported, nil,
			"Marquee cannot run a private PostgreSQL cluster on this system: name a running server in MARQUEE_DATABASE_URL")
	}
	c := &Cluster{log: o.Log, ephemeral: o.Ephemeral, maxConnections: o.MaxConnections, pickPort: pickPort, limits: lim}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.maxConnections <= 0 {
		c.maxConnections = defaultMaxConnections
	}
	if err := c.enter(ctx, o.Dir); err != nil {
		return nil, c.describe(errors.Join(err, c.closeFiles()))
	}
	if err := c.up(ctx, where); err != nil {
		leave := c.leave
		if errors.Is(err, ErrLeftover) {
			leave = c.closeFiles // what is left over is not this process's to stop
		}
		if left := leave(); left != nil {
			c.log.Error("private PostgreSQL cluster not left cleanly", "folder", c.dir, "error", left)
		}
		return nil, c.describe(err)
	}
	if err := unlock(c.start.file); err != nil {
		return nil, errors.Join(err, c.leave())
	}
	return c, nil
}

// describe adds the folder to an error that is not a sentence of its own.
func (c *Cluster) describe(err error) error {
	if sentence, ok := errors.AsType[*Error](err); ok {
		return sentence
	}
	return fmt.Errorf("start the private PostgreSQL cluster in %s: %w", c.dir, err)
}

// enter opens the folder and claims the cluster. On success the start lock is held.
func (c *Cluster) enter(ctx context.Context, dir string) error {
	unwritable := func(err error) error {
		return problem(ErrUnwritable, err, "Marquee cannot write to %s, the folder of the private PostgreSQL cluster, as user %s: %v",
			dir, userName(os.Geteuid()), err)
	}
	if dir == "" {
		return errors.New("no folder is named for it")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.dir = dir
	// Somebody may remove the folder while it is being entered; a lock on a removed file would exclude nobody.
	const tries = 10
	for range tries {
		mode := fs.FileMode(0o700)
		if os.Geteuid() == 0 {
			mode = 0o711 // the server's user passes through, and only what it was given is open to it
		}
		if err := makeFolder(dir, mode); err != nil {
			return unwritable(err)
		}
		if c.dir, err = filepath.EvalSymlinks(dir); err != nil {
			return unwritable(err)
		}
		path := filepath.Join(c.dir, startLockFile)
		if c.start, err = openLock(path); err != nil {
			return unwritable(err)
		}
		free, err := c.start.tryExclusive()
		if err == nil && !free {
			c.log.Debug("waiting while another process starts or stops the private PostgreSQL cluster", "folder", c.dir)
			err = c.start.exclusive(ctx)
		}
		if err != nil {
			return err
		}
		current, err := c.start.current(path)
		if err != nil {
			return err
		}
		if current {
			return c.claim(unwritable)
		}
		if err := c.closeFiles(); err != nil {
			return err
		}
	}
	return unwritable(errors.New("it disappears again and again"))
}

// claim becomes a user. Whoever is alone with the users lock also holds the start lock, so it is free to share here.
func (c *Cluster) claim(unwritable func(error) error) (err error) {
	if c.probe, err = openLock(filepath.Join(c.dir, serverLock)); err != nil {
		return unwritable(err)
	}
	if c.users, err = openLock(filepath.Join(c.dir, usersLockFile)); err != nil {
		return unwritable(err)
	}
	got, err := c.users.tryShared()
	if err == nil && !got {
		err = errors.New("another process holds the users lock alone")
	}
	return err
}

// up finds out who and what runs the server, and runs it.
func (c *Cluster) up(ctx context.Context, where search) (err error) {
	if c.account, err = accountFor(c.dataDir()); err != nil {
		return err
	}
	major, err := c.dataMajor()
	if err != nil {
		return err
	}
	if c.bin, err = where.find(ctx, c.account, major, c.dataDir()); err != nil {
		return err
	}
	if err := c.account.reach(ctx, c.bin, c.dir); err != nil {
		return err
	}
	if err := c.loadPassword(); err != nil {
		return err
	}
	return c.bringUp(ctx)
}

// leave gives the claim up and stops the server if nobody else has one. The start lock is held.
func (c *Cluster) leave() error {
	last, err := c.users.tryExclusive()
	if err == nil && last {
		err = c.stop()
	}
	closing := c.closeFiles()
	if err != nil {
		return err // the sentence for people, not one among others
	}
	return closing
}

func (c *Cluster) closeFiles() error {
	err := errors.Join(c.probe.close(), c.users.close(), c.start.close())
	c.probe, c.users, c.start = nil, nil, nil
	return err
}

// Close gives the claim up. The last user out stops the server and waits until it is gone; connections of this
// process should be closed before. Further calls return the first one's result.
func (c *Cluster) Close() error {
	c.leaving.Do(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), c.limits.claim,
			errors.New("another process has been starting or stopping it for too long"))
		defer cancel()
		if err := c.start.exclusive(ctx); err != nil {
			c.left = errors.Join(fmt.Errorf("leave the private PostgreSQL cluster in %s: %w", c.dir, err), c.closeFiles())
			return
		}
		c.left = c.leave()
	})
	return c.left
}

// BinDir returns the folder of the server's binaries; pg_dump, psql and pgbench of the same version usually lie there.
func (c *Cluster) BinDir() string { return c.bin.dir }

// String names the cluster by its folder, so that printing it does not print its password.
func (c *Cluster) String() string { return "private PostgreSQL cluster in " + c.dir }

// GoString is String, for the verb %#v.
func (c *Cluster) GoString() string { return c.String() }

// URL returns a connection URL for the database over the unix socket, as lib/pq and libpq take it. It holds the
// password of a superuser: keep it out of logs and command lines.
func (c *Cluster) URL(database string) string {
	u := c.baseURL(database)
	// libpq takes a plus sign literally, so a space must not become one.
	host := strings.ReplaceAll(url.QueryEscape(c.socketDir), "+", "%20")
	u.RawQuery = "host=" + host + "&port=" + strconv.Itoa(c.port) + "&sslmode=disable"
	return u.String()
}

// TCPURL is URL over the loopback interface, for tools that take a host and a port.
func (c *Cluster) TCPURL(database string) string {
	u := c.baseURL(database)
	u.Host = loopback(c.port)
	u.RawQuery = "sslmode=disable"
	return u.String()
}

func (c *Cluster) baseURL(database string) *url.URL {
	return &url.URL{Scheme: "postgres", User: url.UserPassword(superuser, c.password), Path: "/" + database}
}

// createDatabase takes template0: template1 refuses while somebody, be it autovacuum, is connected to it.
const createDatabase = `SELECT format('CREATE DATABASE %I TEMPLATE template0', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
`

// maxIdentifier is PostgreSQL's limit in bytes; longer names would be cut silently.
const maxIdentifier = 63

// EnsureDatabase creates the database when it is missing. Concurrent calls for one name all succeed. It needs psql,
// beside the server's binaries or in PATH.
func (c *Cluster) EnsureDatabase(ctx context.Context, name string) error {
	if name == "" || len(name) > maxIdentifier || strings.ContainsRune(name, 0) {
		return fmt.Errorf("create database: %q is not a name of 1 to %d bytes", name, maxIdentifier)
	}
	psql := c.bin.path("psql")
	if !isFile(psql) {
		found, err := exec.LookPath("psql")
		if err != nil {
			return problem(ErrMissing, err, "PostgreSQL's client psql was not found: %s", installHint)
		}
		psql = found
	}
	// A second try finds the database that a concurrent call has made in between.
	const tries = 2
	var said string
	var err error
	for range tries {
		if said, err = c.psql(ctx, psql, name); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("create database %q: %w", name, context.Cause(ctx))
		}
	}
	return fmt.Errorf("create database %q: %s: %w", name, telling(said), err)
}

func (c *Cluster) psql(ctx context.Context, binary, name string) (said string, err error) {
	// psql only needs the password file, which belongs to this process's user and not to the server's.
	cmd := account{}.command(ctx, c.dir, binary,
		"--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=name="+name)
	cmd.Env = append(cmd.Env,
		"PGHOST="+c.socketDir, "PGPORT="+strconv.Itoa(c.port), "PGUSER="+superuser, "PGDATABASE=postgres",
		"PGSSLMODE=disable", "PGPASSFILE="+filepath.Join(c.dir, passwordFile), "PGCLIENTENCODING=UTF8")
	cmd.Stdin = strings.NewReader(createDatabase)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}
