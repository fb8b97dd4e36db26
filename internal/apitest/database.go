package apitest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"marquee/internal/postgres"
)

// statements counts what is sent to the database.
type statements struct {
	mu    sync.Mutex
	texts []string
}

func (s *statements) record(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
}

func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := s.texts
	s.texts = nil
	return texts
}

// Statements returns the texts of the statements that do sends to the database. The program was started Still.
func (a *App) Statements(do func()) []string {
	a.t.Helper()
	a.statements.take()
	do()
	return a.statements.take()
}

// Count returns how many statements do sends to the database. The program was started Still.
func (a *App) Count(do func()) int {
	a.t.Helper()
	return len(a.Statements(do))
}

// Exec changes the database behind the program's back.
func (a *App) Exec(statement string, args ...any) {
	a.t.Helper()
	ctx, cancel := a.patience()
	defer cancel()
	if _, err := a.DB().SQL().ExecContext(ctx, statement, args...); err != nil {
		a.t.Fatalf("%s: %v", statement, err)
	}
}

// Value reads one value from the database.
func Value[T any](a *App, query string, args ...any) T {
	a.t.Helper()
	ctx, cancel := a.patience()
	defer cancel()
	var value T
	if err := a.DB().SQL().QueryRowContext(ctx, query, args...).Scan(&value); err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	return value
}

// Dump returns every row of every table, a line each, in an order that depends on nothing but the rows. It leaves out
// what is counted and recorded of wrong guesses, which is all that a refused request may write.
func (a *App) Dump() string {
	return a.dump(`AND tablename NOT IN ('guesses', 'code_guesses', 'audit_entries')`)
}

// DumpAll is Dump with nothing left out.
func (a *App) DumpAll() string { return a.dump("") }

func (a *App) dump(where string) string {
	a.t.Helper()
	ctx, cancel := a.patience()
	defer cancel()
	var text strings.Builder
	for _, table := range a.texts(ctx, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema') `+where+` ORDER BY 1`) {
		for _, row := range a.texts(ctx, "SELECT t::text FROM "+table+` AS t ORDER BY t::text COLLATE "C"`) {
			fmt.Fprintf(&text, "%s %s\n", table, row)
		}
	}
	return text.String()
}

func (a *App) texts(ctx context.Context, query string) []string {
	a.t.Helper()
	rows, err := a.DB().SQL().QueryContext(ctx, query)
	if err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	texts, err := postgres.Collect(rows, func(row *sql.Rows) (text string, err error) {
		err = row.Scan(&text)
		return text, err
	})
	if err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	return texts
}

func (a *App) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), Patience)
}

// line is a way to the database that can be cut.
type line struct {
	url      string
	listener net.Listener
	to       string // address of the database's socket
	open     atomic.Bool
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// newLine lays a line to the database of a URL that names a unix socket.
func newLine(t testing.TB, database string) *line {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatalf("read the database's URL: %v", err)
	}
	query := u.Query()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("lay a line to the database: %v", err)
	}
	l := &line{listener: listener, to: query.Get("host") + "/.s.PGSQL." + query.Get("port"), conns: map[net.Conn]struct{}{}}
	query.Del("host")
	query.Del("port")
	u.Host, u.RawQuery = listener.Addr().String(), query.Encode()
	l.url = u.String()
	l.open.Store(true)
	l.running.Go(l.accept)
	return l
}

func (l *line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		if !l.open.Load() {
			_ = near.Close()
			continue
		}
		far, err := (&net.Dialer{}).Dial("unix", l.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		l.conns[near], l.conns[far] = struct{}{}, struct{}{}
		l.mu.Unlock()
		l.running.Go(func() { l.pump(near, far) })
		l.running.Go(func() { l.pump(far, near) })
	}
}

// pump hands on what one end says until either has gone.
func (l *line) pump(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, from)
	delete(l.conns, to)
}

func (l *line) cut() {
	l.open.Store(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
}

func (l *line) mend() { l.open.Store(true) }

func (l *line) close() {
	_ = l.listener.Close()
	l.cut()
	l.running.Wait()
}
