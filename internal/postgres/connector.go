package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

const (
	// Connections are replaced at this age, so that a change of the server's address or of its settings arrives, and
	// up to a fifth earlier, so that those opened together are not replaced together.
	maxConnAge = 5 * time.Minute

	// Bounds dialling, TLS and authentication when the URL has no connect_timeout.
	defaultConnectTimeout = 5 * time.Second

	// How long a server may take to acknowledge a cancelled statement before its connection is cut.
	cancelGrace = 3 * time.Second

	// Keep-alive probes find a dead peer of an idle connection within this time, and on Linux unacknowledged data
	// does so for a busy one.
	peerTimeout = 30 * time.Second

	defaultApplicationName = "marquee"
)

// connector opens connections for the pool. It is shared by all of them.
type connector struct {
	url         string
	config      pq.Config
	onStatement func(sql string)
	grace       time.Duration
	counters    counters

	// schema grows by one whenever a prepared statement turns out not to fit the schema any more. A connection that
	// has prepared its statements under a lower number drops them all before its next use.
	schema atomic.Uint64
}

type counters struct {
	hits, misses, evictions, stalePlans atomic.Uint64
}

func newConnector(cfg Config) (*connector, error) {
	config, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if config.ConnectTimeout <= 0 {
		config.ConnectTimeout = defaultConnectTimeout
	}
	if cfg.ApplicationName != "" {
		config.ApplicationName = cfg.ApplicationName
	} else if config.ApplicationName == "" {
		config.ApplicationName = defaultApplicationName
	}
	c := &connector{url: cfg.URL, config: config, onStatement: cfg.OnStatement, grace: cancelGrace}
	c.setLimits(cfg.StatementTimeout, cfg.LockTimeout, cfg.IdleInTxTimeout)
	return c, nil
}

// setLimits makes the limits part of what every connection tells the server when it starts.
func (c *connector) setLimits(statement, lock, idleInTx time.Duration) {
	runtime := maps.Clone(c.config.Runtime)
	if runtime == nil {
		runtime = make(map[string]string)
	}
	for name, limit := range map[string]time.Duration{
		"statement_timeout":                   statement,
		"lock_timeout":                        lock,
		"idle_in_transaction_session_timeout": idleInTx,
	} {
		milliseconds := int64(0)
		if limit > 0 {
			milliseconds = max(1, limit.Milliseconds())
		}
		runtime[name] = strconv.FormatInt(milliseconds, 10)
	}
	c.config.Runtime = runtime
}

// forMigrations returns a connector to the same database whose statements may take as long as they need, while their
// locks must be granted soon: a migration that waits for a lock makes everyone behind it wait as well.
func (c *connector) forMigrations() *connector {
	m := &connector{url: c.url, config: c.config.Clone(), grace: c.grace}
	m.config.ApplicationName += " migrations"
	m.setLimits(0, migrationLockTimeout, 0)
	return m
}

// parseURL understands a database URL. Its errors never quote the URL, because a mistake in it may turn a part of the
// password into what looks like a host or a port.
func parseURL(raw string) (pq.Config, error) {
	const form = "it must look like postgres://user:password@host:port/database?sslmode=verify-full"
	if raw == "" {
		return pq.Config{}, errors.New("the database URL is empty: " + form)
	}
	if !strings.HasPrefix(raw, "postgres://") && !strings.HasPrefix(raw, "postgresql://") {
		return pq.Config{}, errors.New("the database URL does not begin with postgres:// : " + form)
	}
	parsed, err := url.Parse(raw)
	if err != nil {
		return pq.Config{}, errors.New("the database URL cannot be understood: " + form +
			", with special characters of the password percent-encoded")
	}
	if port := parsed.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return pq.Config{}, errors.New("the port of the database URL is not a number from 1 to 65535: " + form)
		}
	}
	config, err := pq.NewConfig(raw)
	if err != nil {
		return pq.Config{}, fmt.Errorf("the database URL or a PG* environment variable has a wrong parameter: %w", err)
	}
	if config.BinaryParameters {
		return pq.Config{}, errors.New("the database URL sets binary_parameters, which breaks every jsonb parameter: remove it")
	}
	return config, nil
}

// Driver returns lib/pq's driver; database/sql asks for it and never opens a connection with it.
func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// Connect opens one connection. Its errors are sentences that name the server, the database and the user.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	d := &dialer{grace: c.grace, net: net.Dialer{
		Control: limitSilence,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: peerTimeout / 2, Interval: peerTimeout / 6, Count: 3,
		},
	}}
	inner, err := pq.NewConnectorConfig(c.config)
	if err != nil {
		return nil, c.explain(err)
	}
	inner.Dialer(d)

	// lib/pq does not look at the context after dialling.
	stop := context.AfterFunc(ctx, d.abort)
	connection, err := inner.Connect(ctx)
	if !stop() {
		if err == nil {
			_ = connection.Close()
		}
		return nil, fmt.Errorf("connecting to the database: %w", ctx.Err())
	}
	if err != nil {
		return nil, c.explain(err)
	}
	full, ok := connection.(pqConn)
	if !ok {
		_ = connection.Close()
		return nil, fmt.Errorf("lib/pq's %T lacks a method that the pool relies on", connection)
	}
	return &conn{
		pq:         full,
		socket:     d.established(),
		connector:  c,
		statements: newStatementCache(statementCacheSize),
		schema:     c.schema.Load(),
		retireAt:   time.Now().Add(maxConnAge - rand.N(maxConnAge/5)),
	}, nil
}

// dialer makes the sockets of one connection: the one that lib/pq talks through, and later those by which it cancels
// a statement.
type dialer struct {
	net   net.Dialer
	grace time.Duration

	mu     sync.Mutex
	socket *socket // the last one dialled until established
	sealed bool
}

// Dial and DialTimeout are demanded by pq.Dialer, which prefers DialContext.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := newSocket(connection, d.grace)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sealed {
		d.socket = s
	}
	return s, nil
}

// abort interrupts a handshake.
func (d *dialer) abort() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket != nil && !d.sealed {
		_ = d.socket.Close()
	}
}

// established returns the socket that lib/pq has settled on; the dialer keeps none of the later ones.
func (d *dialer) established() *socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
	return d.socket
}
