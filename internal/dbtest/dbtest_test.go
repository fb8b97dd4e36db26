package dbtest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
	"marquee/internal/postgres/local"
	"marquee/internal/postgres/migrations"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

const patience = 3 * time.Minute

func get[T any](t *testing.T, db *postgres.DB, query string, args ...any) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var value T
	if err := db.SQL().QueryRowContext(ctx, query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func exists(t *testing.T, on *postgres.DB, database string) bool {
	t.Helper()
	return get[bool](t, on, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database)
}

func TestNew(t *testing.T) {
	t.Parallel()
	t.Run("has_the_schema_of_the_program", func(t *testing.T) {
		t.Parallel()
		files, err := fs.Glob(migrations.FS, "0*") // and folders, of steps that are not only SQL
		if err != nil {
			t.Fatal(err)
		}
		status, err := postgres.MigrationStatus(t.Context(), dbtest.New(t))
		if err != nil || len(status) != len(files) { // one is not only SQL
			t.Fatalf("%d migrations, %v; want %d", len(status), err, len(files))
		}
		for _, m := range status {
			if m.AppliedAt.IsZero() {
				t.Errorf("%s is not applied", m.Name)
			}
		}
	})
	t.Run("has_nothing_when_empty", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t, dbtest.Empty())
		if got := get[int](t, db, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"); got != 0 {
			t.Errorf("%d relations, want none", got)
		}
	})
	t.Run("has_a_time_zone_that_is_far_from_UTC", func(t *testing.T) {
		t.Parallel()
		for _, db := range []*postgres.DB{dbtest.New(t), dbtest.New(t, dbtest.Empty())} {
			if got := get[string](t, db, "SHOW timezone"); got != dbtest.TimeZone {
				t.Errorf("time zone %s, want %s", got, dbtest.TimeZone)
			}
			if got := get[string](t, db, "SELECT '2026-01-01 00:00Z'::timestamptz::text"); got != "2026-01-01 11:00:00+11" {
				t.Errorf("midnight UTC is %s", got)
			}
		}
	})
	t.Run("shares_nothing_with_another", func(t *testing.T) {
		t.Parallel()
		a, b := dbtest.New(t), dbtest.New(t)
		if _, err := a.SQL().ExecContext(t.Context(), "CREATE TABLE only_here ()"); err != nil {
			t.Fatal(err)
		}
		if get[bool](t, b, "SELECT to_regclass('only_here') IS NOT NULL") {
			t.Error("a table of one database is in the other")
		}
		if name := "SELECT current_database()"; get[string](t, a, name) == get[string](t, b, name) {
			t.Error("both have the same database")
		}
	})
	t.Run("takes_the_settings_of_the_test", func(t *testing.T) {
		t.Parallel()
		var log dbtest.Statements
		db := dbtest.New(t, dbtest.Record(&log), dbtest.With(func(c *postgres.Config) {
			c.MaxConns, c.StatementTimeout = 3, 1234*time.Millisecond
		}))
		if got := get[string](t, db, "SHOW statement_timeout"); got != "1234ms" {
			t.Errorf("statement_timeout %s, want 1234ms", got)
		}
		if got := db.Stats().MaxOpenConnections; got != 3 {
			t.Errorf("%d connections, want 3", got)
		}
		if got := log.Take(); !slices.Equal(got, []string{"SHOW statement_timeout"}) {
			t.Errorf("recorded %q", got)
		}
	})
	t.Run("goes_away_with_the_test", func(t *testing.T) {
		t.Parallel()
		watch := dbtest.New(t, dbtest.Empty())
		var names []string
		t.Run("inner", func(t *testing.T) {
			db := dbtest.New(t)
			names = append(names, get[string](t, db, "SELECT current_database()"))
			raw := dbtest.NewURL(t)
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, strings.TrimPrefix(u.Path, "/"))
			// A connection that the test forgets must not keep its database.
			forgotten, err := postgres.Open(context.WithoutCancel(t.Context()), postgres.Config{URL: raw, MaxConns: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := get[string](t, forgotten, "SELECT current_database()"); got != names[1] {
				t.Errorf("connected to %s, want %s", got, names[1])
			}
			for _, name := range names {
				if !exists(t, watch, name) {
					t.Errorf("%s does not exist", name)
				}
			}
		})
		for _, name := range names {
			if exists(t, watch, name) {
				t.Errorf("%s is still there", name)
			}
		}
	})
}

// childVariable makes TestChild do what it is for; its value says what.
const childVariable = "MARQUEE_DBTEST_CHILD"

// TestChild is what child processes of the other tests run.
func TestChild(t *testing.T) {
	t.Parallel()
	switch os.Getenv(childVariable) {
	case "work":
		for range 3 {
			t.Run("database", func(t *testing.T) {
				t.Parallel()
				db := dbtest.New(t)
				if got := get[string](t, db, "SELECT count(*) > 0 FROM goose_db_version"); got != "true" {
					t.Error("the schema is missing")
				}
				announce(t, get[string](t, db, "SELECT current_database()"))
			})
		}
	case "hold":
		db := dbtest.New(t)
		announce(t, get[string](t, db, "SELECT current_database()"))
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			t.Fatal(err)
		}
		get[int](t, db, "SELECT count(*) FROM goose_db_version")
	case "die":
		announce(t, get[string](t, dbtest.New(t), "SELECT current_database()"))
		os.Exit(3) // without any clean-up
	}
}

// announce tells the parent process about a database.
func announce(t *testing.T, database string) {
	t.Helper()
	if _, err := os.Stdout.WriteString("database=" + database + "=\n"); err != nil {
		t.Fatal(err)
	}
}

// announced returns the database that a line of a child's output tells of.
func announced(line string) (database string, ok bool) {
	_, after, ok := strings.Cut(line, "database=")
	database, _, _ = strings.Cut(after, "=")
	return database, ok
}

// children are test binaries that use a server of their own, in a folder of their own.
type children struct {
	folder string // TMPDIR of the children
}

func newChildren(t *testing.T) children {
	t.Helper()
	// t.TempDir would not let the server's user through.
	folder, err := os.MkdirTemp(dbtest.MemoryFolder(), "dbtest")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return children{folder: folder}
}

func (c children) server() string {
	return filepath.Join(c.folder, "marquee-test-"+strconv.Itoa(os.Getuid()))
}

func (c children) command(ctx context.Context, variables ...string) *exec.Cmd {
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$", "-test.v")
	child.Env = append(os.Environ(), "TMPDIR="+c.folder)
	child.Env = append(child.Env, variables...)
	return child
}

// run runs TestChild in another process and returns its output, and the names of its databases.
func (c children) run(t *testing.T, variables ...string) (output string, databases []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	text, err := c.command(ctx, variables...).CombinedOutput()
	for line := range strings.Lines(string(text)) {
		if database, ok := announced(line); ok {
			databases = append(databases, database)
		}
	}
	return string(text), databases, err
}

// hold lets a binary create a database and wait; release lets it go on and end.
func (c children) hold(t *testing.T) (database string, release func()) {
	t.Helper()
	child := c.command(t.Context(), childVariable+"=hold")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for found := false; !found; {
		if !lines.Scan() {
			t.Fatalf("the child has ended: %v", child.Wait())
		}
		database, found = announced(lines.Text())
	}
	return database, func() {
		if err := stdin.Close(); err != nil {
			t.Error(err)
		}
		rest, err := io.ReadAll(stdout)
		if err := errors.Join(err, child.Wait()); err != nil {
			t.Errorf("the child that held a database: %v\n%s", err, rest)
		}
	}
}

// look starts or adopts the children's server and returns a pool on it.
func (c children) look(t *testing.T) *postgres.DB {
	t.Helper()
	cluster, err := local.Start(t.Context(), local.Options{Dir: c.server(), Log: slog.New(slog.DiscardHandler), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	db, err := postgres.Open(t.Context(), postgres.Config{URL: cluster.URL("postgres"), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func (c children) running(t *testing.T) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(c.server(), "data", "postmaster.pid"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestMain_several_binaries(t *testing.T) {
	t.Parallel()
	family := newChildren(t)

	// At once, from nothing: they make one server and one template between them.
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			output, databases, err := family.run(t, childVariable+"=work")
			if err != nil || len(databases) != 3 {
				t.Errorf("%d databases, %v; want 3:\n%s", len(databases), err, output)
			}
		})
	}
	all.Wait()
	if family.running(t) {
		t.Error("the server goes on after the last binary")
	}

	// A binary that dies leaves its database; the next one removes it.
	output, left, err := family.run(t, childVariable+"=die")
	if err == nil || len(left) != 1 {
		t.Fatalf("%q, %v; want one database and an error:\n%s", left, err, output)
	}
	db := family.look(t)
	if !exists(t, db, left[0]) {
		t.Fatalf("%s is gone already", left[0])
	}
	if _, err := db.SQL().ExecContext(t.Context(), "CREATE DATABASE marquee_template_0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
	if output, _, err := family.run(t, childVariable+"=work"); err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	const count = "SELECT count(*) FROM pg_database WHERE datname LIKE $1"
	if got := get[int](t, db, count, `marquee\_test\_%`); got != 0 {
		t.Errorf("%d test databases are left", got)
	}
	if got := get[int](t, db, count, `marquee\_template\_%`); got != 1 {
		t.Errorf("%d templates are left, want one", got)
	}
}

func TestMain_keeps_what_others_use(t *testing.T) {
	t.Parallel()
	family := newChildren(t)
	database, release := family.hold(t)
	db := family.look(t)
	// What a binary with another schema would have and hold.
	const template = "marquee_template_0000045600000000"
	if _, err := db.SQL().ExecContext(t.Context(), "CREATE DATABASE "+template); err != nil {
		t.Fatal(err)
	}
	session, err := db.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	_, err = session.ExecContext(t.Context(), "SELECT pg_advisory_lock_shared($1, $2)", dbtest.LockTemplate, 0x456)
	if err != nil {
		t.Fatal(err)
	}
	if output, _, err := family.run(t, childVariable+"=work"); err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	for _, name := range []string{database, template} {
		if !exists(t, db, name) {
			t.Errorf("%s was dropped", name)
		}
	}
	release()
}

func TestMain_keeps_databases_on_demand(t *testing.T) {
	t.Parallel()
	family := newChildren(t)
	output, databases, err := family.run(t, childVariable+"=work", "MARQUEE_KEEP_TEST_DB=1")
	if err != nil || len(databases) != 3 {
		t.Fatalf("%q, %v; want 3 databases:\n%s", databases, err, output)
	}
	if !family.running(t) {
		t.Error("the server has stopped")
	}
	if got := strings.Count(output, "test database kept: postgres://"); got != 3 {
		t.Errorf("%d URLs in the log, want 3:\n%s", got, output)
	}
	db := family.look(t)
	if output, _, err := family.run(t, childVariable+"=work"); err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	for _, name := range databases {
		if !exists(t, db, name) {
			t.Errorf("%s was dropped", name)
		}
	}
}

func TestMain_server_that_cannot_start_fails_the_test(t *testing.T) {
	t.Parallel()
	family := newChildren(t)
	if err := os.WriteFile(family.server(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	output, _, err := family.run(t, childVariable+"=work")
	if err == nil || !strings.Contains(output, "start the test database server") || strings.Contains(output, "SKIP") {
		t.Errorf("%v; want a failure that tells why:\n%s", err, output)
	}
}
