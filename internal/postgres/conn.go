package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lib/pq/pqerror"
)

var errRowsOpen = errors.New("the rows of an earlier query on this connection are still open: read or close them first")

// pqConn is what lib/pq's connection can do.
type pqConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// pqStmt is what lib/pq's prepared statement can do, unless it is a COPY.
type pqStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// pqRows is what lib/pq's rows can do.
type pqRows interface {
	driver.Rows
	driver.RowsNextResultSet
	driver.RowsColumnTypeScanType
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypePrecisionScale
}

var (
	_ pqConn = (*conn)(nil)
	_ pqStmt = (*preparedStatement)(nil)
	_ pqRows = (*rows)(nil)
)

// conn is one connection of the pool: lib/pq's, with a cache of prepared statements. Parameterised statements go
// through the cache and take one round trip; the others use the simple protocol, which takes one as well.
// database/sql never calls two of its methods at the same time.
type conn struct {
	pq         pqConn
	socket     *socket
	connector  *connector
	statements *statementCache
	schema     uint64 // the connector's schema number when the connection was made
	retireAt   time.Time

	broken bool // out of step with the server, or of no use any more
	inTx   bool
	busy   bool // rows or a COPY are open
}

// ExecContext runs a statement that returns no rows, or whose rows do not matter.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	release, err := c.start(ctx, query)
	if err != nil {
		return nil, err
	}
	defer release()
	var result driver.Result
	if len(args) == 0 {
		result, err = c.pq.ExecContext(ctx, query, args)
	} else {
		err = c.viaCache(ctx, query, func(st pqStmt) (err error) {
			result, err = st.ExecContext(ctx, args)
			return err
		})
	}
	if err != nil {
		return nil, c.translate(ctx, err)
	}
	return result, nil
}

// QueryContext runs a statement and leaves the connection to its rows until they are closed.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	release, err := c.start(ctx, query)
	if err != nil {
		return nil, err
	}
	var result driver.Rows
	if len(args) == 0 {
		result, err = c.pq.QueryContext(ctx, query, args)
	} else {
		err = c.viaCache(ctx, query, func(st pqStmt) (err error) {
			result, err = st.QueryContext(ctx, args)
			return err
		})
	}
	return c.open(ctx, release, result, err)
}

// start begins whatever sends a statement; release ends it.
func (c *conn) start(ctx context.Context, query string) (release func(), err error) {
	if c.busy {
		return nil, errRowsOpen
	}
	if hook := c.connector.onStatement; hook != nil {
		hook(query)
	}
	c.socket.mark()
	return c.socket.guard(ctx), nil
}

// open turns the result of a query into rows that hold the connection and its guard.
func (c *conn) open(ctx context.Context, release func(), result driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		release()
		return nil, c.translate(ctx, err)
	}
	full, ok := result.(pqRows)
	if !ok {
		release()
		c.broken = true
		return nil, fmt.Errorf("lib/pq's %T lacks a method that the pool relies on", result)
	}
	c.busy = true
	return &rows{pqRows: full, ctx: ctx, conn: c, release: release}, nil
}

// viaCache calls run with the prepared form of query. When the server refuses that form, because the schema has
// changed or because it is gone, nothing has been executed: outside a transaction the statement is prepared anew and
// run again, once; inside one, which is aborted by then, the error tells InTx to begin again.
func (c *conn) viaCache(ctx context.Context, query string, run func(pqStmt) error) error {
	st, err := c.prepared(ctx, query)
	if err != nil {
		return err
	}
	stale := run(st)
	if !isStale(stale) {
		return stale
	}
	c.connector.counters.stalePlans.Add(1)
	if SQLState(stale) == string(pqerror.FeatureNotSupported) {
		// All connections made until now may hold such statements: none of them is used a second time.
		c.connector.schema.CompareAndSwap(c.schema, c.schema+1)
	} else {
		c.retireAt = time.Time{}
	}
	c.statements.remove(query)
	if err := c.closeStatement(st); err != nil {
		return err
	}
	if c.inTx {
		return &staleStatementError{cause: stale}
	}
	if st, err = c.prepared(ctx, query); err != nil {
		return err
	}
	return run(st)
}

// prepared returns the prepared form of query, from the cache or by a further round trip.
func (c *conn) prepared(ctx context.Context, query string) (pqStmt, error) {
	if st := c.statements.get(query); st != nil {
		c.connector.counters.hits.Add(1)
		return st, nil
	}
	c.connector.counters.misses.Add(1)
	// Preparing changes nothing that a second attempt would repeat, so what it sends does not count as sent.
	defer c.socket.mark()
	if evicted := c.statements.makeRoom(); evicted != nil {
		c.connector.counters.evictions.Add(1)
		if err := c.closeStatement(evicted); err != nil {
			return nil, err
		}
	}
	st, err := c.pq.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := st.(pqStmt)
	if !ok {
		c.broken = true
		return nil, errors.New("a COPY takes no parameters")
	}
	c.statements.put(query, full)
	return full, nil
}

func (c *conn) closeStatement(st pqStmt) error {
	if err := st.Close(); err != nil {
		c.broken = true
		return fmt.Errorf("close a prepared statement: %w", err)
	}
	return nil
}

// translate gives an error of lib/pq the meaning that callers rely on. A context that has ended comes first, because
// the server calls its consequence a cancelled statement. driver.ErrBadConn, upon which database/sql repeats a
// statement on another connection, remains only where nothing was sent.
func (c *conn) translate(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, io.EOF) && !c.socket.failed.Load() {
		return err
	}
	state := SQLState(err)
	lost := c.socket.failed.Load() || errors.Is(err, driver.ErrBadConn)
	if lost || state == string(pqerror.ReadOnlySQLTransaction) {
		c.broken = true
	}
	ended := ctx.Err()
	if ended != nil && state == string(pqerror.QueryCanceled) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	switch sent := c.socket.sent.Load(); {
	case !lost:
		return err
	case ended != nil && sent && !c.inTx:
		return fmt.Errorf("%w: %w", ended, ErrOutcomeUnknown)
	case ended != nil:
		return ended
	case c.inTx:
		return errConnectionLost
	case sent:
		return ErrOutcomeUnknown
	}
	return driver.ErrBadConn
}

// CheckNamedValue lets lib/pq convert slices and large integers.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error { return c.pq.CheckNamedValue(v) }

// Ping makes sure that the server answers.
func (c *conn) Ping(ctx context.Context) error {
	if c.busy {
		return errRowsOpen
	}
	c.socket.mark()
	defer c.socket.guard(ctx)()
	err := c.pq.Ping(ctx)
	c.socket.mark()
	return c.translate(ctx, err)
}

// ResetSession is called before the pool hands the connection out again.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.IsValid() || c.schema != c.connector.schema.Load() || !c.socket.usable() {
		return driver.ErrBadConn
	}
	return c.pq.ResetSession(ctx)
}

// IsValid tells whether the pool may keep the connection.
func (c *conn) IsValid() bool {
	return !c.broken && !c.busy && !c.inTx && time.Now().Before(c.retireAt) && c.pq.IsValid()
}

// Close ends the connection, and on the server whatever it has prepared.
func (c *conn) Close() error { return c.pq.Close() }

// Begin is part of driver.Conn; database/sql calls BeginTx.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if c.busy {
		return nil, errRowsOpen
	}
	defer c.socket.guard(ctx)()
	// Given ctx, lib/pq would break the connection when it ends; without, a cancelled transaction is rolled back by
	// database/sql and its connection serves on.
	tx, err := c.pq.BeginTx(context.Background(), options)
	if err != nil {
		c.socket.mark() // a BEGIN whose answer is lost has no effect
		return nil, c.translate(ctx, err)
	}
	c.inTx = true
	return &transaction{tx: tx, conn: c, ctx: ctx}, nil
}

// transaction is the open transaction of a connection.
type transaction struct {
	tx   driver.Tx
	conn *conn
	ctx  context.Context
}

func (t *transaction) Commit() error {
	// From here on a lost answer leaves the outcome open.
	t.conn.inTx = false
	t.conn.socket.mark()
	defer t.conn.socket.guard(t.ctx)()
	return t.conn.translate(t.ctx, t.tx.Commit())
}

func (t *transaction) Rollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.conn.connector.grace)
	defer cancel()
	defer t.conn.socket.guard(ctx)()
	err := t.conn.translate(ctx, t.tx.Rollback())
	t.conn.inTx = false
	return err
}

// Prepare is part of driver.Conn; database/sql calls PrepareContext.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext serves callers that prepare a statement themselves, and COPY … FROM STDIN. Such statements do not
// enter the cache: they live until they are closed.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.busy {
		return nil, errRowsOpen
	}
	defer c.socket.guard(ctx)()
	st, err := c.pq.PrepareContext(ctx, query)
	if err != nil {
		c.socket.mark()
		return nil, c.translate(ctx, err)
	}
	if full, ok := st.(pqStmt); ok {
		return &preparedStatement{pqStmt: full, conn: c, query: query}, nil
	}
	c.busy = true
	return &copyStatement{Stmt: st, conn: c}, nil
}

// preparedStatement is one that a caller has prepared.
type preparedStatement struct {
	pqStmt
	conn  *conn
	query string
}

func (s *preparedStatement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	release, err := s.conn.start(ctx, s.query)
	if err != nil {
		return nil, err
	}
	defer release()
	result, err := s.pqStmt.ExecContext(ctx, args)
	if err != nil {
		return nil, s.conn.translate(ctx, err)
	}
	return result, nil
}

func (s *preparedStatement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	release, err := s.conn.start(ctx, s.query)
	if err != nil {
		return nil, err
	}
	result, err := s.pqStmt.QueryContext(ctx, args)
	return s.conn.open(ctx, release, result, err)
}

// copyStatement is a COPY … FROM STDIN in progress; nothing else can use the connection until it is closed.
type copyStatement struct {
	driver.Stmt
	conn *conn
}

func (s *copyStatement) Close() error {
	s.conn.busy = false
	return s.conn.translate(context.Background(), s.Stmt.Close())
}

// rows are the open rows of a query.
type rows struct {
	pqRows
	ctx     context.Context
	conn    *conn
	release func()
}

func (r *rows) Next(dest []driver.Value) error {
	return r.conn.translate(r.ctx, r.pqRows.Next(dest))
}

func (r *rows) Close() error {
	err := r.conn.translate(r.ctx, r.pqRows.Close())
	r.conn.busy = false
	r.release()
	return err
}
