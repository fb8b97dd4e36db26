package postgres_test

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

func TestOpen_says_what_to_correct(t *testing.T) {
	t.Parallel()
	const secret = "S3cret-pass"
	good := dbtest.NewURL(t, dbtest.Empty())
	through := newProxy(t, good)
	withPassword := func(raw string) string {
		return changed(t, raw, func(u *url.URL, _ url.Values) { u.User = url.UserPassword(u.User.Username(), secret) })
	}
	// A port on which nothing listens, and servers that hang up and that never answer.
	closed := listen(t, nil)
	hangsUp := listen(t, func(c net.Conn) { _ = c.Close() })
	silent := listen(t, func(net.Conn) {})

	for _, c := range []struct {
		name, url, want string
		away            bool
	}{
		{"empty_url", "", "the database URL is empty", false},
		{"other_scheme", "mysql://u:" + secret + "@127.0.0.1/db", "does not begin with postgres://", false},
		{"key_value_form", "host=127.0.0.1 password=" + secret, "does not begin with postgres://", false},
		{"password_with_a_slash", "postgres://u:" + secret + "/x@127.0.0.1/db", "percent-encoded", false},
		{"password_with_a_percent_sign", "postgres://u:" + secret + "%zz@127.0.0.1/db", "percent-encoded", false},
		{"port_out_of_range", "postgres://u:" + secret + "@127.0.0.1:99999/db", "not a number from 1 to 65535", false},
		{"unknown_sslmode", "postgres://u:" + secret + "@127.0.0.1/db?sslmode=maybe", "sslmode", false},
		{"binary_parameters", "postgres://u:" + secret + "@127.0.0.1/db?binary_parameters=yes", "binary_parameters", false},
		{
			"refused_port", "postgres://u:" + secret + "@" + closed + "/db?sslmode=disable",
			"no server listens at " + closed, true,
		},
		{
			"missing_socket", "postgres://u:" + secret + "@/db?host=/nowhere&port=1234",
			"no server listens at /nowhere/.s.PGSQL.1234", true,
		},
		{
			"two_refused_ports", "postgres://u:" + secret + "@127.0.0.1,127.0.0.1/db?sslmode=disable&port=" +
				closed[strings.LastIndex(closed, ":")+1:],
			"no server listens at " + closed + " or " + closed, true,
		},
		{"wrong_password", withPassword(good), "refuses the password of user", false},
		{
			"missing_database", changed(t, good, func(u *url.URL, _ url.Values) { u.Path = "/nonesuch" }),
			`has no database "nonesuch"`, false,
		},
		{
			"no_tls", changed(t, through.URL, func(_ *url.URL, q url.Values) { q.Set("sslmode", "require") }),
			"add sslmode=disable", false,
		},
		{"not_postgresql", "postgres://u:" + secret + "@" + hangsUp + "/db?sslmode=disable", "is it a PostgreSQL server?", true},
		{
			"silent", "postgres://u:" + secret + "@" + silent + "/db?sslmode=disable&connect_timeout=1",
			"did not answer within 1s", true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, err := postgres.Open(timeLimit(t), postgres.Config{URL: c.url})
			if err == nil {
				_ = db.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q, want one line with %q", err, c.want)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				if strings.Contains(cause.Error(), secret) {
					t.Errorf("the password is in %q", cause)
				}
			}
			if got := postgres.IsConnectionFailure(err); got != c.away {
				t.Errorf("IsConnectionFailure = %t, want %t", got, c.away)
			}
		})
	}
}

// listen serves connections on loopback with handle, or returns an address where nothing listens when it is nil.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if handle == nil {
		_ = listener.Close()
		return listener.Addr().String()
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			handle(c)
		}
	}()
	return listener.Addr().String()
}

func TestOpen_explains_what_cannot_be_provoked_here(t *testing.T) {
	t.Parallel()
	for want, cause := range map[string]error{
		`the host name "db.invalid" of the database cannot be resolved`: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "db.invalid"}},
		"has no connection to spare":                                    &pq.Error{Code: "53300"},
		"is starting, stopping or recovering":                           &pq.Error{Code: "57P03"},
		"certificate that is not trusted":                               x509.UnknownAuthorityError{},
		`refuses user "u" on database "db": no entry (28000)`:           &pq.Error{Code: "28000", Message: "no entry"},
		"cannot be used: out of luck":                                   errors.New("out of luck"),
	} {
		got, err := postgres.Sentence(postgres.Config{URL: "postgres://u:p@db.invalid/db"}, cause)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: %q, %v; want %q in it", cause, got, err, want)
		}
	}
}

func TestOpen_ended_context(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := postgres.Open(ctx, postgres.Config{URL: dbtest.NewURL(t, dbtest.Empty())})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestOpen_limits_on_every_connection(t *testing.T) {
	t.Parallel()
	raw := dbtest.NewURL(t, dbtest.Empty())
	for name, c := range map[string]struct {
		cfg  postgres.Config
		want map[string]string
	}{
		"defaults": {
			postgres.Config{},
			map[string]string{
				"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s",
				"application_name": "marquee",
			},
		},
		"chosen": {
			postgres.Config{
				StatementTimeout: 1500 * time.Millisecond, LockTimeout: time.Nanosecond, IdleInTxTimeout: -1,
				ApplicationName: "a test",
			},
			map[string]string{
				"statement_timeout": "1500ms", "lock_timeout": "1ms", "idle_in_transaction_session_timeout": "0",
				"application_name": "a test",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.URL, c.cfg.MaxConns = raw, 4
			db := open(t, c.cfg)
			var held []*sql.Conn
			for range c.cfg.MaxConns {
				conn, err := db.SQL().Conn(timeLimit(t))
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
				for setting, want := range c.want {
					if got := get[string](t, conn, "SELECT current_setting($1)", setting); got != want {
						t.Errorf("%s = %s, want %s", setting, got, want)
					}
				}
			}
			stats := db.Stats()
			if stats.MaxOpenConnections != 4 || stats.InUse != 4 {
				t.Errorf("%d of %d connections in use, want 4 of 4", stats.InUse, stats.MaxOpenConnections)
			}
			for _, conn := range held {
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
			if idle := db.Stats().Idle; idle != 4 {
				t.Errorf("%d connections are kept, want all 4", idle)
			}
		})
	}
	t.Run("at_least_eight_connections", func(t *testing.T) {
		t.Parallel()
		if got := open(t, postgres.Config{URL: raw}).Stats().MaxOpenConnections; got < 8 || got%8 != 0 {
			t.Errorf("%d connections, want 8 for each CPU", got)
		}
	})
}
