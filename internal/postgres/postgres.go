// Package postgres owns the way to the database: the connection pool, transactions with retry, the meaning of the
// database's errors, and the schema migrations.
//
// It knows no table and no domain, and it is the only package that imports lib/pq: everything above it speaks
// database/sql. It never repeats a statement that may have taken effect, and it never prints a password.
//
// Invariants:
//   - a parameterised statement costs one round trip, because each connection keeps its prepared statements;
//   - every connection carries statement_timeout, lock_timeout and idle_in_transaction_session_timeout;
//   - a call returns soon after its context ends, even when the server is frozen or the network swallows everything;
//   - a broken connection, or one to a server that turned read-only, is not used a second time.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"runtime"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	connsPerCPU             = 8
	defaultStatementTimeout = 5 * time.Second
	defaultLockTimeout      = 2 * time.Second
	defaultIdleInTxTimeout  = 10 * time.Second
)

// Config says which database to use and how. Only URL is required.
type Config struct {
	// URL is postgres://user:password@host:port/database?sslmode=…, with the parameters that lib/pq understands.
	URL string

	// MaxConns bounds the pool; callers beyond it wait for a connection until their context ends.
	// Zero means 8 for each CPU, which suits a database on a machine of the same size.
	MaxConns int

	// Limits which the server enforces on every connection, with a resolution of one millisecond. Zero means 5 s,
	// 2 s and 10 s; a negative value means no limit. Deadlines of contexts should be longer than StatementTimeout:
	// the server ends a statement at no cost, while a cancelled context costs a second connection.
	StatementTimeout time.Duration
	LockTimeout      time.Duration
	IdleInTxTimeout  time.Duration

	// ApplicationName shows in pg_stat_activity; empty means that of the URL, or "marquee".
	ApplicationName string

	// OnStatement, when set, is called with the text of every statement just before it goes to the server, from the
	// goroutine that runs it; BEGIN, COMMIT and ROLLBACK of the transaction methods are not reported. For tests that
	// count statements; nil in production.
	OnStatement func(sql string)
}

func (c Config) withDefaults() Config {
	if c.MaxConns <= 0 {
		c.MaxConns = connsPerCPU * max(1, runtime.GOMAXPROCS(0))
	}
	c.StatementTimeout = cmp.Or(c.StatementTimeout, defaultStatementTimeout)
	c.LockTimeout = cmp.Or(c.LockTimeout, defaultLockTimeout)
	c.IdleInTxTimeout = cmp.Or(c.IdleInTxTimeout, defaultIdleInTxTimeout)
	return c
}

// DB is a pool of connections to one database. It is safe for concurrent use.
type DB struct {
	pool      *sql.DB
	connector *connector
	txRetries atomic.Uint64
}

// Open connects to the database and makes sure that it answers. The error is one sentence that says what to correct,
// without the password; IsConnectionFailure tells whether the database was away.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	connector, err := newConnector(cfg)
	if err != nil {
		return nil, err
	}
	return open(ctx, connector, cfg.MaxConns)
}

func open(ctx context.Context, connector *connector, maxConns int) (*DB, error) {
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	pool.SetConnMaxLifetime(maxConnAge)
	if err := pool.PingContext(ctx); err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("cannot open the database: %w", err)
	}
	return &DB{pool: pool, connector: connector}, nil
}

// SQL returns the pool, for single statements and for libraries. Transactions belong in InTx.
func (db *DB) SQL() *sql.DB { return db.pool }

// Session is how the connections of a pool are made, for a library that makes connections of its own.
type Session struct {
	URL             string // with the password
	ApplicationName string
	ConnectTimeout  time.Duration
	MaxAge          time.Duration     // of a connection
	Settings        map[string]string // that the server is told at the start, the limits among them
}

// Session returns how connections to the database are made.
func (db *DB) Session() Session {
	c := &db.connector.config
	return Session{
		URL: db.connector.url, ApplicationName: c.ApplicationName, ConnectTimeout: c.ConnectTimeout, MaxAge: maxConnAge,
		Settings: maps.Clone(c.Runtime),
	}
}

// Close closes every connection. It waits for statements that the server has begun to process.
func (db *DB) Close() error {
	if err := db.pool.Close(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// Stats are numbers of a pool: gauges of its connections, and counters that start at zero when it is opened.
type Stats struct {
	sql.DBStats

	// StatementHits and StatementMisses count parameterised statements that were already prepared on their
	// connection, and those that were not; StatementEvictions counts prepared ones given up for a newer one.
	StatementHits, StatementMisses, StatementEvictions uint64

	// StalePlans counts executions refused because the schema changed after the statement was prepared.
	StalePlans uint64

	// TxRetries counts transactions that InTx began again.
	TxRetries uint64
}

// Stats returns the pool's numbers.
func (db *DB) Stats() Stats {
	counters := &db.connector.counters
	return Stats{
		DBStats:            db.pool.Stats(),
		StatementHits:      counters.hits.Load(),
		StatementMisses:    counters.misses.Load(),
		StatementEvictions: counters.evictions.Load(),
		StalePlans:         counters.stalePlans.Load(),
		TxRetries:          db.txRetries.Load(),
	}
}
