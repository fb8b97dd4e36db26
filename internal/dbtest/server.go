package dbtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"marquee/internal/postgres"
	"marquee/internal/postgres/local"
	"marquee/internal/postgres/migrations"
)

const (
	// Names on the server: test databases are <prefix><owner>_<number>, templates <prefix><hash>.
	testPrefix     = "marquee_test_"
	keptPrefix     = "marquee_kept_"
	templatePrefix = "marquee_template_"
	building       = "marquee_building"

	maxConnections = 300

	// The second half of an advisory lock is a signed number.
	lockKeyMask = 0x7fffffff
)

// The first halves of the advisory locks by which test binaries agree with each other, all taken in the database
// "postgres". They end with the session that holds them, so a killed binary leaves none behind.
const (
	lockOwner    = 0x6d710001 // second half: an owner. Held while the binary lives; its databases are rubbish afterwards
	lockTemplate = 0x6d710002 // second half: the hash. Shared by those who copy the template
	lockServer   = 0x6d710003 // second half: 0. Held while templates are made and rubbish is removed
)

// shared is the server of this test binary. A package variable, because tests that know nothing of each other share
// it, and the testing package offers no other place for such a thing.
var shared sharedServer

type sharedServer struct {
	mu     sync.Mutex
	server *server
	err    error
}

// get starts the server on the first call. A failure is final: what did not start for one test will not for the next.
func (s *sharedServer) get(ctx context.Context) (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.server, s.err = startServer(ctx)
	}
	return s.server, s.err
}

func (s *sharedServer) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := s.server.close()
	s.server, s.err = nil, errors.New("the test database server was released")
	return err
}

// server is one binary's use of the machine's test server.
type server struct {
	cluster  *local.Cluster
	admin    *postgres.DB
	session  *sql.Conn // holds this binary's advisory locks
	owner    uint32
	template string
	keep     bool
	created  atomic.Uint64
}

func startServer(ctx context.Context) (_ *server, err error) {
	cluster, err := local.Start(ctx, local.Options{
		Dir:            folder(),
		Log:            slog.New(slog.DiscardHandler),
		Ephemeral:      true,
		MaxConnections: maxConnections,
	})
	if err != nil {
		return nil, err
	}
	s := &server{
		cluster: cluster,
		owner:   rand.Uint32() & lockKeyMask,
		keep:    os.Getenv(keepVariable) != "",
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.admin, err = postgres.Open(ctx, postgres.Config{
		URL:              cluster.URL("postgres"),
		MaxConns:         8,
		ApplicationName:  "marquee test administration",
		StatementTimeout: opening,
		LockTimeout:      opening,
	})
	if err != nil {
		return nil, err
	}
	if s.session, err = s.admin.SQL().Conn(ctx); err != nil {
		return nil, fmt.Errorf("open the session that holds the locks: %w", err)
	}
	if _, err := s.session.ExecContext(ctx, "SELECT pg_advisory_lock($1, $2)", lockOwner, s.owner); err != nil {
		return nil, fmt.Errorf("announce this test binary: %w", err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// folder returns where the server of the machine's user lives: in TMPDIR when it is set, else in memory if there is
// room, else in the folder for temporary files.
func folder() string {
	base := memoryFolder()
	if base == "" || os.Getenv("TMPDIR") != "" {
		base = os.TempDir()
	}
	return filepath.Join(base, "marquee-test-"+strconv.Itoa(os.Getuid()))
}

func (s *server) close() error {
	var errs []error
	if s.session != nil {
		errs = append(errs, s.session.Close())
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	if !s.keep {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}

// prepare removes what killed binaries have left behind, and makes sure of the template.
func (s *server) prepare(ctx context.Context) (err error) {
	if _, err := s.session.ExecContext(ctx, "SELECT pg_advisory_lock($1, 0)", lockServer); err != nil {
		return fmt.Errorf("wait for other test binaries: %w", err)
	}
	defer func() {
		_, unlockErr := s.session.ExecContext(ctx, "SELECT pg_advisory_unlock($1, 0)", lockServer)
		err = errors.Join(err, unlockErr)
	}()
	hash, err := schemaHash()
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	s.template = templatePrefix + hash
	_, err = s.session.ExecContext(ctx, "SELECT pg_advisory_lock_shared($1, $2)", lockTemplate, lockKey(hash))
	if err != nil {
		return fmt.Errorf("lock the template: %w", err)
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("remove leftover databases: %w", err)
	}
	if err := s.ensureTemplate(ctx); err != nil {
		return fmt.Errorf("make the template database: %w", err)
	}
	return nil
}

// sweep drops the databases of owners that live no more, and the templates that nobody uses.
func (s *server) sweep(ctx context.Context) error {
	names, err := s.databases(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		class := lockOwner
		digits, ours := strings.CutPrefix(name, testPrefix)
		if !ours {
			class = lockTemplate
			if digits, ours = strings.CutPrefix(name, templatePrefix); !ours {
				continue
			}
		}
		inUse, err := s.isLocked(ctx, class, lockKey(digits))
		if err != nil {
			return err
		}
		if inUse {
			continue
		}
		if err := s.drop(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) databases(ctx context.Context) ([]string, error) {
	rows, err := s.session.QueryContext(ctx, "SELECT datname FROM pg_database ORDER BY datname")
	if err != nil {
		return nil, err
	}
	return postgres.Collect(rows, func(row *sql.Rows) (name string, err error) {
		err = row.Scan(&name)
		return name, err
	})
}

func (s *server) isLocked(ctx context.Context, class int, key uint32) (locked bool, err error) {
	err = s.session.QueryRowContext(ctx, `SELECT EXISTS (
		SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND classid = $1::bigint::oid AND objid = $2::bigint::oid)`, class, key).Scan(&locked)
	return locked, err
}

// ensureTemplate migrates a database under another name first, so that a template which exists is complete.
func (s *server) ensureTemplate(ctx context.Context) error {
	var exists bool
	err := s.session.QueryRowContext(ctx,
		"SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.template).Scan(&exists)
	if err != nil || exists {
		return err
	}
	if err := s.drop(ctx, building); err != nil {
		return err
	}
	if err := s.exec(ctx, "CREATE DATABASE "+building+" TEMPLATE template0"); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: s.cluster.URL(building), MaxConns: 2})
	if err != nil {
		return err
	}
	err = postgres.Migrate(ctx, db, slog.New(slog.DiscardHandler), nil)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Nobody may connect to a template: it could not be copied meanwhile.
	if err := s.exec(ctx, "ALTER DATABASE "+building+" WITH ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	return s.exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+s.template)
}

// templateFor returns the database to copy for one with the schema, or an empty one.
func (s *server) templateFor(empty bool) string {
	if empty {
		return "template0"
	}
	return s.template
}

// create makes a copy of a database, to which nothing is connected, and returns its name.
func (s *server) create(ctx context.Context, template string) (string, error) {
	prefix := testPrefix
	if s.keep {
		prefix = keptPrefix
	}
	name := fmt.Sprintf("%s%08x_%d", prefix, s.owner, s.created.Add(1))
	if err := s.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		return "", err
	}
	return name, s.exec(ctx, "ALTER DATABASE "+name+" SET timezone TO '"+TimeZone+"'")
}

func (s *server) drop(ctx context.Context, name string) error {
	return s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

func (s *server) exec(ctx context.Context, statement string) error {
	if _, err := s.admin.SQL().ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// schemaHash identifies the state of the migrations.
func schemaHash() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.FS, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%s\x00%d\x00%s", path, len(content), content)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

// lockKey is the second half of the advisory lock for an owner or a template, from the eight or more hexadecimal
// digits in its name.
func lockKey(digits string) uint32 {
	var key [4]byte
	if len(digits) >= 8 {
		_, _ = hex.Decode(key[:], []byte(digits[:8]))
	}
	return binary.BigEndian.Uint32(key[:]) & lockKeyMask
}
