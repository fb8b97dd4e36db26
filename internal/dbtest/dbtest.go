// Package dbtest gives every test a PostgreSQL database of its own, with the schema of this program in it.
//
// The server is a private one that all test binaries of the machine's user share; it starts by itself, and where it
// cannot, the test fails. A database is a copy of a template that is migrated once for each state of the migrations,
// so a test may run in parallel with any other, in this binary and in others, and may change whatever it likes. The
// time zone of the databases has an odd offset and daylight saving by half an hour, so that code which forgets UTC
// does not pass. For tests only.
//
// A test binary that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }
//
// which stops the server when the last binary is done. With MARQUEE_KEEP_TEST_DB set, databases stay where they are,
// the server goes on, and the test log shows each URL.
package dbtest

import (
	"context"
	"net/url"
	"os"
	"path"
	"sync"
	"testing"
	"time"

	"marquee/internal/postgres"
)

// TimeZone is the time zone of the sessions of every test database: UTC+10:30, in summer UTC+11.
const TimeZone = "Australia/Lord_Howe"

// keepVariable names the environment variable that keeps databases after their tests.
const keepVariable = "MARQUEE_KEEP_TEST_DB"

// opening bounds the work for one database, which includes the start of the server and the migrations for the first.
const opening = 3 * time.Minute

// Option changes what New and NewURL provide.
type Option func(*options)

type options struct {
	empty  bool
	config postgres.Config
}

// Empty asks for a database without the schema.
func Empty() Option {
	return func(o *options) { o.empty = true }
}

// With changes how New opens the database; its URL is set already, and MaxConns is 8.
func With(change func(*postgres.Config)) Option {
	return func(o *options) { change(&o.config) }
}

// Record makes New write down every statement that is sent through the pool.
func Record(s *Statements) Option {
	return With(func(c *postgres.Config) { c.OnStatement = s.Record })
}

// New returns a pool on a database that no other test sees. Both go away when the test and its subtests are over.
func New(t testing.TB, opts ...Option) *postgres.DB {
	t.Helper()
	o := options{config: postgres.Config{MaxConns: 8, ApplicationName: "marquee test"}}
	o.config.URL = NewURL(t, opts...)
	for _, opt := range opts {
		opt(&o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	db, err := postgres.Open(ctx, o.config)
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the test database: %v", err)
		}
	})
	return db
}

// NewURL returns the URL of a database that no other test sees, for tests that connect by themselves. The database
// goes away when the test and its subtests are over, with whatever connections are left on it. Of the options only
// Empty has an effect.
func NewURL(t testing.TB, opts ...Option) string {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return makeURL(t, func(ctx context.Context, s *server) (string, error) { return s.create(ctx, s.templateFor(o.empty)) })
}

// CopyURL returns the URL of a copy of a database of NewURL, to which nothing is connected at this moment: what a backup has of it, or
// what comes back from one.
func CopyURL(t testing.TB, of string) string {
	t.Helper()
	parsed, err := url.Parse(of)
	if err != nil {
		t.Fatalf("the URL of a test database: %v", err)
	}
	return makeURL(t, func(ctx context.Context, s *server) (string, error) { return s.create(ctx, path.Base(parsed.Path)) })
}

// makeURL makes a database, which goes away with the test, and returns its URL.
func makeURL(t testing.TB, create func(context.Context, *server) (name string, err error)) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	s, err := shared.get(ctx)
	if err != nil {
		t.Fatalf("start the test database server: %v", err)
	}
	name, err := create(ctx, s)
	if err != nil {
		t.Fatalf("create a test database: %v", err)
	}
	t.Cleanup(func() {
		if s.keep {
			t.Logf("test database kept: %s", s.cluster.URL(name))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), opening)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return s.cluster.URL(name)
}

// Main runs the tests of a binary and then lets go of the server, which stops when no other binary uses it. It returns
// the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if err := shared.release(); err != nil {
		_, _ = os.Stderr.WriteString("release the test database server: " + err.Error() + "\n")
		return max(code, 1)
	}
	return code
}

// Statements is a list of the SQL texts that were sent. The zero value is ready; it is safe for concurrent use.
type Statements struct {
	mu    sync.Mutex
	texts []string
}

// Record adds a text. It fits postgres.Config.OnStatement.
func (s *Statements) Record(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, sql)
}

// Take returns what was recorded since the last Take, in the order of sending.
func (s *Statements) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := s.texts
	s.texts = nil
	return texts
}
