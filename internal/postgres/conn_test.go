package postgres_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

func TestConn_round_trips(t *testing.T) {
	t.Parallel()
	url := dbtest.NewURL(t, dbtest.Empty())
	const query = "SELECT $1::int + $2::int"
	sum := func(t *testing.T, on queryer) {
		t.Helper()
		if got := get[int](t, on, query, 1, 2); got != 3 {
			t.Fatalf("1 + 2 = %d", got)
		}
	}

	t.Run("one_for_a_parameterised_statement", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, url)
		db := open(t, postgres.Config{URL: p.URL, MaxConns: 1})
		p.Trips()
		sum(t, db.SQL())
		if got := p.Trips(); got != 2 {
			t.Errorf("the first use took %d round trips, want 2", got)
		}
		for range 5 {
			sum(t, db.SQL())
		}
		if got := p.Trips(); got != 5 {
			t.Errorf("5 further uses took %d round trips, want 5", got)
		}
		for range 3 {
			mustExec(t, db.SQL(), query, 1, 2)
		}
		if got := p.Trips(); got != 3 {
			t.Errorf("3 uses by Exec took %d round trips, want 3", got)
		}
		if got := db.Stats(); got.StatementMisses != 1 || got.StatementHits != 8 {
			t.Errorf("hits %d, misses %d; want 8 and 1", got.StatementHits, got.StatementMisses)
		}
	})
	t.Run("two_with_the_stock_driver", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, url)
		stock, err := sql.Open("postgres", p.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer stock.Close()
		stock.SetMaxOpenConns(1)
		sum(t, stock)
		p.Trips()
		for range 5 {
			sum(t, stock)
		}
		if got := p.Trips(); got != 10 {
			t.Errorf("5 uses took %d round trips, want 10: the measurement is wrong, or the driver has improved", got)
		}
	})
	t.Run("one_for_a_statement_without_parameters", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, url)
		db := open(t, postgres.Config{URL: p.URL, MaxConns: 1})
		p.Trips()
		for range 3 {
			get[int](t, db.SQL(), "SELECT 1")
			mustExec(t, db.SQL(), "SELECT 1; SELECT 2")
		}
		if got := p.Trips(); got != 6 {
			t.Errorf("6 statements took %d round trips, want 6", got)
		}
	})
	t.Run("three_for_a_transaction_of_one_statement", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, url)
		db := open(t, postgres.Config{URL: p.URL, MaxConns: 1})
		sum(t, db.SQL())
		p.Trips()
		if err := db.InTx(timeLimit(t), func(tx *sql.Tx) error { sum(t, tx); return nil }); err != nil {
			t.Fatal(err)
		}
		if got := p.Trips(); got != 3 {
			t.Errorf("the transaction took %d round trips, want 3", got)
		}
	})
}

// prepared returns how many prepared statements the server keeps for the connection.
func prepared(t *testing.T, on queryer) int {
	t.Helper()
	return get[int](t, on, "SELECT count(*) FROM pg_prepared_statements")
}

func TestConn_keeps_a_bounded_number_of_statements(t *testing.T) {
	t.Parallel()
	db := one(t)
	use := func(i int) { get[int](t, db.SQL(), fmt.Sprintf("SELECT $1::int + %d", i), 1) }
	for i := range postgres.StatementCacheSize {
		use(i)
	}
	if got := prepared(t, db.SQL()); got != postgres.StatementCacheSize {
		t.Fatalf("the server keeps %d statements, want %d", got, postgres.StatementCacheSize)
	}
	use(0) // the last used, so not the next to go
	for i := range 10 {
		use(postgres.StatementCacheSize + i)
	}
	if got := prepared(t, db.SQL()); got != postgres.StatementCacheSize {
		t.Errorf("the server keeps %d statements, want %d", got, postgres.StatementCacheSize)
	}
	if got := db.Stats().StatementEvictions; got != 10 {
		t.Errorf("%d statements were given up, want 10", got)
	}
	before := db.Stats()
	use(0)
	if after := db.Stats(); after.StatementHits != before.StatementHits+1 {
		t.Error("a statement that was just used has been given up")
	}
	use(1)
	if after := db.Stats(); after.StatementMisses != before.StatementMisses+1 {
		t.Error("the statement that was not used for the longest time has been kept")
	}
}

func TestConn_schema_change(t *testing.T) {
	t.Parallel()
	const query = "SELECT * FROM thing WHERE id >= $1"
	columns := func(t *testing.T, on interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	},
	) (int, error) {
		t.Helper()
		rows, err := on.QueryContext(timeLimit(t), query, 0)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			return 0, err
		}
		for rows.Next() {
		}
		return len(names), rows.Err()
	}
	prepare := func(t *testing.T, conns int) *postgres.DB {
		t.Helper()
		db := dbtest.New(t, dbtest.Empty(), dbtest.With(func(c *postgres.Config) { c.MaxConns = conns }))
		mustExec(t, db.SQL(), "CREATE TABLE thing (id int)")
		mustExec(t, db.SQL(), "INSERT INTO thing VALUES (1)")
		return db
	}
	// warm prepares the query on every connection of the pool.
	warm := func(t *testing.T, db *postgres.DB, conns int) {
		t.Helper()
		var held []*sql.Conn
		for range conns {
			c, err := db.SQL().Conn(timeLimit(t))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
			if n, err := columns(t, c); n != 1 || err != nil {
				t.Fatalf("%d columns, %v", n, err)
			}
		}
		for _, c := range held {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}

	t.Run("is_not_seen_outside_a_transaction", func(t *testing.T) {
		t.Parallel()
		db := prepare(t, 1)
		warm(t, db, 1)
		mustExec(t, db.SQL(), "ALTER TABLE thing ADD COLUMN name text")
		if n, err := columns(t, db.SQL()); n != 2 || err != nil {
			t.Errorf("%d columns, %v; want 2", n, err)
		}
		if got := db.Stats().StalePlans; got != 1 {
			t.Errorf("%d stale plans, want 1: the test did not provoke what it is about", got)
		}
	})
	t.Run("makes_InTx_begin_again_once_whatever_the_number_of_connections", func(t *testing.T) {
		t.Parallel()
		const conns = 8
		db := prepare(t, conns)
		warm(t, db, conns)
		mustExec(t, db.SQL(), "ALTER TABLE thing ADD COLUMN name text")
		runs := 0
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			runs++
			n, err := columns(t, tx)
			if err == nil && n != 2 {
				t.Errorf("%d columns, want 2", n)
			}
			return err
		})
		if err != nil || runs != 2 {
			t.Errorf("%d runs, %v; want 2 runs", runs, err)
		}
		if got := db.Stats().TxRetries; got != 1 {
			t.Errorf("%d retries counted, want 1", got)
		}
		var all, finished sync.WaitGroup // all: every connection is in a transaction
		all.Add(conns)
		for range conns {
			finished.Go(func() {
				arrive := sync.OnceFunc(all.Done)
				if err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
					arrive()
					all.Wait()
					_, err := columns(t, tx)
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		finished.Wait()
		if got := db.Stats().TxRetries; got != 1 {
			t.Errorf("%d retries counted once every connection was used, want still 1", got)
		}
	})
	t.Run("is_healed_on_a_connection_that_is_held", func(t *testing.T) {
		t.Parallel()
		db := prepare(t, 1)
		warm(t, db, 1)
		c, err := db.SQL().Conn(timeLimit(t))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mustExec(t, c, "ALTER TABLE thing ADD COLUMN name text")
		tx, err := c.BeginTx(timeLimit(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := columns(t, tx); postgres.SQLState(err) != "0A000" {
			t.Errorf("inside the transaction: %v, want SQLSTATE 0A000", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if tx, err = c.BeginTx(timeLimit(t), nil); err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if n, err := columns(t, tx); n != 2 || err != nil {
			t.Errorf("%d columns, %v; want 2", n, err)
		}
	})
	t.Run("forgotten_statements_are_prepared_again", func(t *testing.T) {
		t.Parallel()
		db := prepare(t, 1)
		warm(t, db, 1)
		mustExec(t, db.SQL(), "DEALLOCATE ALL")
		if n, err := columns(t, db.SQL()); n != 1 || err != nil {
			t.Errorf("outside a transaction: %d columns, %v; want 1", n, err)
		}
		for i := range 10 {
			get[int](t, db.SQL(), fmt.Sprintf("SELECT $1::int + %d", i), 1)
		}
		mustExec(t, db.SQL(), "DEALLOCATE ALL")
		runs := 0
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			runs++
			for i := range 10 {
				var n int
				if err := tx.QueryRowContext(t.Context(), fmt.Sprintf("SELECT $1::int + %d", i), 1).Scan(&n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || runs != 2 {
			t.Errorf("in a transaction: %d runs, %v; want 2 runs", runs, err)
		}
	})
	t.Run("other_unsupported_features_are_not_retried", func(t *testing.T) {
		t.Parallel()
		db := prepare(t, 1)
		mustExec(t, db.SQL(), "CREATE SEQUENCE calls")
		mustExec(t, db.SQL(), `CREATE FUNCTION refuse(int) RETURNS int LANGUAGE plpgsql AS
			$$BEGIN PERFORM nextval('calls'); RAISE feature_not_supported; END$$`)
		_, err := db.SQL().ExecContext(timeLimit(t), "SELECT refuse($1)", 1)
		if postgres.SQLState(err) != "0A000" {
			t.Fatalf("%v, want SQLSTATE 0A000", err)
		}
		if got := get[int](t, db.SQL(), "SELECT last_value FROM calls"); got != 1 {
			t.Errorf("the function was called %d times, want once", got)
		}
	})
}

func TestConn_rows_in_the_way(t *testing.T) {
	t.Parallel()
	db := one(t)
	err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(t.Context(), "SELECT generate_series(1, $1::int)", 1000)
		if err != nil {
			return err
		}
		if !rows.Next() {
			t.Error("no row")
		}
		for _, query := range []string{"SELECT 1", "SELECT $1::int"} {
			args := make([]any, strings.Count(query, "$"))
			for i := range args {
				args[i] = i
			}
			if _, err := tx.ExecContext(t.Context(), query, args...); err == nil || !strings.Contains(err.Error(), "still open") {
				t.Errorf("%s between rows: %v, want an error that tells of the open rows", query, err)
			}
		}
		count := 1
		for rows.Next() {
			count++
		}
		if err := rows.Err(); err != nil || count != 1000 {
			t.Errorf("%d rows, %v; want 1000", count, err)
		}
		_, err = tx.ExecContext(t.Context(), "SELECT $1::int", 1)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestConn_values(t *testing.T) {
	t.Parallel()
	db := one(t)
	id := uuid.New()
	if got := get[uuid.UUID](t, db.SQL(), "SELECT $1::uuid", id); got != id {
		t.Errorf("uuid: %v, want %v", got, id)
	}
	if got := get[int](t, db.SQL(), "SELECT cardinality($1::int[])", []int{1, 2, 3}); got != 3 {
		t.Errorf("slice: %d elements, want 3", got)
	}
	if got := get[string](t, db.SQL(), "SELECT $1::jsonb ->> 'a'", []byte(`{"a": "b"}`)); got != "b" {
		t.Errorf("jsonb from bytes: %q, want b", got)
	}
	if got := get[string](t, db.SQL(), "SELECT $1::numeric", ^uint64(0)); got != "18446744073709551615" {
		t.Errorf("uint64: %s", got)
	}
	at := time.Date(2026, 4, 5, 1, 45, 0, 123456000, time.UTC)
	if got := get[time.Time](t, db.SQL(), "SELECT $1::timestamptz", at); !got.Equal(at) {
		t.Errorf("timestamptz: %v, want %v", got, at)
	}
	if got := get[sql.Null[string]](t, db.SQL(), "SELECT $1::text", nil); got.Valid {
		t.Errorf("null: %v", got)
	}
}

func TestConn_context(t *testing.T) {
	t.Parallel()
	t.Run("cancellation_ends_the_statement_and_is_what_the_caller_sees", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t, dbtest.Empty())
		for name, run := range map[string]func(ctx context.Context) error{
			"exec": func(ctx context.Context) error {
				_, err := db.SQL().ExecContext(ctx, "SELECT pg_sleep($1)", 600)
				return err
			},
			"query": func(ctx context.Context) error {
				return db.SQL().QueryRowContext(ctx, "SELECT pg_sleep($1)", 600).Scan(new(string))
			},
			"plain": func(ctx context.Context) error {
				_, err := db.SQL().ExecContext(ctx, "SELECT pg_sleep(600)")
				return err
			},
			"transaction": func(ctx context.Context) error {
				return db.InTx(ctx, func(tx *sql.Tx) error {
					_, err := tx.ExecContext(ctx, "SELECT pg_sleep($1)", 600)
					return err
				})
			},
		} {
			ctx, cancel := context.WithCancel(timeLimit(t))
			done := make(chan error, 1)
			go func() { done <- run(ctx) }()
			sleeping := func() bool {
				return get[bool](t, db.SQL(), `SELECT EXISTS (SELECT FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event = 'PgSleep')`)
			}
			eventually(t, name+" starts", sleeping)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
			eventually(t, name+" ends on the server", func() bool { return !sleeping() })
		}
	})
	t.Run("a_cancelled_prepared_statement_does_not_cost_the_connection", func(t *testing.T) {
		t.Parallel()
		db := impatient(t, postgres.Config{URL: dbtest.NewURL(t, dbtest.Empty()), MaxConns: 1})
		pid := get[int](t, db.SQL(), "SELECT pg_backend_pid()")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := db.SQL().ExecContext(ctx, "SELECT pg_sleep($1)", 600); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want context.DeadlineExceeded", err)
		}
		// Longer than the grace of the cancelled statement.
		mustExec(t, db.SQL(), "SELECT pg_sleep($1)", 2*impatience.Seconds())
		if got := get[int](t, db.SQL(), "SELECT pg_backend_pid()"); got != pid {
			t.Error("the connection was replaced")
		}
	})
	t.Run("a_cancelled_transaction_does_not_cost_the_connection", func(t *testing.T) {
		t.Parallel()
		db := one(t)
		pid := get[int](t, db.SQL(), "SELECT pg_backend_pid()")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := db.InTx(ctx, func(*sql.Tx) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		if got := get[int](t, db.SQL(), "SELECT pg_backend_pid()"); got != pid {
			t.Error("the connection was replaced")
		}
	})
	t.Run("statement_timeout_is_not_taken_for_a_cancellation", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t, dbtest.Empty(), dbtest.With(func(c *postgres.Config) { c.StatementTimeout = 20 * time.Millisecond }))
		_, err := db.SQL().ExecContext(timeLimit(t), "SELECT pg_sleep($1)", 600)
		if postgres.SQLState(err) != "57014" || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want SQLSTATE 57014 and no context error", err)
		}
	})
}

func TestConn_frozen_server_does_not_hold_the_caller(t *testing.T) {
	t.Parallel()
	url := dbtest.NewURL(t, dbtest.Empty())
	for name, run := range map[string]func(ctx context.Context, p *proxy, db *postgres.DB) error{
		"statement": func(ctx context.Context, p *proxy, db *postgres.DB) error {
			p.Freeze()
			_, err := db.SQL().ExecContext(ctx, "SELECT $1::int", 1)
			return err
		},
		"rows": func(ctx context.Context, p *proxy, db *postgres.DB) error {
			rows, err := db.SQL().QueryContext(ctx, "SELECT repeat('x', 1000), generate_series(1, $1::int)", 100_000)
			if err != nil {
				return err
			}
			defer rows.Close()
			p.Freeze()
			for rows.Next() {
			}
			return rows.Err()
		},
		"transaction": func(ctx context.Context, p *proxy, db *postgres.DB) error {
			return db.InTx(ctx, func(tx *sql.Tx) error {
				p.Freeze()
				_, err := tx.ExecContext(ctx, "SELECT $1::int", 1)
				return err
			})
		},
		"commit": func(ctx context.Context, p *proxy, db *postgres.DB) error {
			return db.InTx(ctx, func(*sql.Tx) error { p.Freeze(); return nil })
		},
		"connect": func(ctx context.Context, p *proxy, db *postgres.DB) error {
			p.Freeze()
			other, err := postgres.Open(ctx, postgres.Config{URL: p.URL + "&connect_timeout=20"})
			if err == nil {
				_ = other.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, url)
			db := impatient(t, postgres.Config{URL: p.URL + "&connect_timeout=3", MaxConns: 1})
			get[int](t, db.SQL(), "SELECT $1::int", 1)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			started := time.Now()
			err := run(ctx, p, db)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want context.DeadlineExceeded", err)
			}
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			p.Thaw()
			if got := get[int](t, db.SQL(), "SELECT $1::int", 7); got != 7 {
				t.Errorf("afterwards the answer is %d, want 7", got)
			}
		})
	}
}

// impatient opens a pool that cuts frozen connections soon.
func impatient(t *testing.T, cfg postgres.Config) *postgres.DB {
	t.Helper()
	db, err := postgres.OpenImpatient(timeLimit(t), cfg, impatience)
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

const impatience = 200 * time.Millisecond

func TestConn_broken(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*proxy, *postgres.DB, *postgres.DB) {
		t.Helper()
		url := dbtest.NewURL(t, dbtest.Empty())
		p := newProxy(t, url)
		db := open(t, postgres.Config{URL: p.URL, MaxConns: 1})
		direct := open(t, postgres.Config{URL: url, MaxConns: 1})
		mustExec(t, direct.SQL(), "CREATE TABLE thing (id int)")
		return p, db, direct
	}
	// cutBeforeAnswer cuts the connections when the server answers the statement that contains text.
	cutBeforeAnswer := func(p *proxy, text string) {
		p.OnClient(func(data []byte) {
			if bytes.Contains(data, []byte(text)) {
				p.OnClient(nil)
				p.OnServer(func([]byte) { p.OnServer(nil); p.Cut() })
			}
		})
	}

	t.Run("a_statement_whose_answer_is_lost_is_not_repeated", func(t *testing.T) {
		t.Parallel()
		p, db, direct := setup(t)
		for name, insert := range map[string]func() error{
			"plain": func() error {
				cutBeforeAnswer(p, "INSERT")
				_, err := db.SQL().ExecContext(timeLimit(t), "INSERT INTO thing VALUES (1)")
				return err
			},
			"prepared": func() error {
				const query = "INSERT INTO thing SELECT $1 WHERE $2"
				mustExec(t, db.SQL(), query, 1, false)
				cutBeforeAnswer(p, "true")
				_, err := db.SQL().ExecContext(timeLimit(t), query, 1, true)
				return err
			},
		} {
			mustExec(t, direct.SQL(), "TRUNCATE thing")
			err := insert()
			if !errors.Is(err, postgres.ErrOutcomeUnknown) || !postgres.IsConnectionFailure(err) {
				t.Errorf("%s: %v, want ErrOutcomeUnknown", name, err)
			}
			eventually(t, name+" is stored", func() bool {
				return get[int](t, direct.SQL(), "SELECT count(*) FROM thing") > 0
			})
			if got := get[int](t, direct.SQL(), "SELECT count(*) FROM thing"); got != 1 {
				t.Errorf("%s: the row was inserted %d times", name, got)
			}
			if got := get[int](t, db.SQL(), "SELECT $1::int", 7); got != 7 {
				t.Errorf("%s: the pool did not recover", name)
			}
		}
	})
	t.Run("a_commit_whose_answer_is_lost_is_not_repeated", func(t *testing.T) {
		t.Parallel()
		p, db, direct := setup(t)
		cutBeforeAnswer(p, "COMMIT\x00")
		runs := 0
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			runs++
			_, err := tx.ExecContext(t.Context(), "INSERT INTO thing VALUES ($1)", 1)
			return err
		})
		if !errors.Is(err, postgres.ErrOutcomeUnknown) || runs != 1 {
			t.Errorf("%d runs, %v; want one run and ErrOutcomeUnknown", runs, err)
		}
		eventually(t, "the row is stored", func() bool {
			return get[int](t, direct.SQL(), "SELECT count(*) FROM thing") == 1
		})
	})
	t.Run("inside_a_transaction_the_outcome_is_known", func(t *testing.T) {
		t.Parallel()
		p, db, direct := setup(t)
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO thing VALUES (1)"); err != nil {
				return err
			}
			cutBeforeAnswer(p, "INSERT")
			_, err := tx.ExecContext(t.Context(), "INSERT INTO thing VALUES (2)")
			return err
		})
		if !postgres.IsConnectionFailure(err) || errors.Is(err, postgres.ErrOutcomeUnknown) {
			t.Errorf("%v, want a connection failure whose outcome is known", err)
		}
		if got := get[int](t, direct.SQL(), "SELECT count(*) FROM thing"); got != 0 {
			t.Errorf("%d rows, want none", got)
		}
	})
	t.Run("connections_closed_while_idle_are_replaced_unnoticed", func(t *testing.T) {
		t.Parallel()
		p, db, direct := setup(t)
		for range 3 {
			pid := get[int](t, db.SQL(), "SELECT pg_backend_pid()")
			mustExec(t, direct.SQL(), "SELECT pg_terminate_backend($1)", pid)
			eventually(t, "the farewell has come through", func() bool { return p.Open() == 0 })
			mustExec(t, db.SQL(), "SELECT $1::int", 1)
		}
	})
	t.Run("a_begin_whose_answer_is_lost_is_repeated", func(t *testing.T) {
		t.Parallel()
		p, db, _ := setup(t)
		cutBeforeAnswer(p, "BEGIN")
		if err := db.InTx(timeLimit(t), func(*sql.Tx) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	t.Run("a_preparation_whose_answer_is_lost_is_repeated", func(t *testing.T) {
		t.Parallel()
		p, db, _ := setup(t)
		cutBeforeAnswer(p, "SELECT $1::int")
		if got := get[int](t, db.SQL(), "SELECT $1::int", 7); got != 7 {
			t.Errorf("%d, want 7", got)
		}
	})
	t.Run("a_server_that_turned_read_only_is_left", func(t *testing.T) {
		t.Parallel()
		_, db, direct := setup(t)
		mustExec(t, db.SQL(), "SET default_transaction_read_only = on")
		pid := get[int](t, db.SQL(), "SELECT pg_backend_pid()")
		_, err := db.SQL().ExecContext(timeLimit(t), "INSERT INTO thing VALUES ($1)", 1)
		if !postgres.IsConnectionFailure(err) {
			t.Errorf("%v, want a connection failure", err)
		}
		if again := get[int](t, db.SQL(), "SELECT pg_backend_pid()"); again == pid {
			t.Error("the connection is still in use")
		}
		mustExec(t, db.SQL(), "INSERT INTO thing VALUES ($1)", 1)
		if got := get[int](t, direct.SQL(), "SELECT count(*) FROM thing"); got != 1 {
			t.Errorf("%d rows, want 1", got)
		}
	})
}

func TestConn_old_connections_are_replaced(t *testing.T) {
	t.Parallel()
	db := one(t)
	c, err := db.SQL().Conn(timeLimit(t))
	if err != nil {
		t.Fatal(err)
	}
	pid := get[int](t, c, "SELECT pg_backend_pid()")
	if err := postgres.Age(c); err != nil {
		t.Fatal(err)
	}
	if got := get[int](t, c, "SELECT pg_backend_pid()"); got != pid {
		t.Error("the connection was replaced while it was in use")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get[int](t, db.SQL(), "SELECT pg_backend_pid()"); got == pid {
		t.Error("the connection is still in use")
	}
}

func TestConn_reports_statements(t *testing.T) {
	t.Parallel()
	var log dbtest.Statements
	db := dbtest.New(t, dbtest.Empty(), dbtest.Record(&log))
	mustExec(t, db.SQL(), "CREATE TABLE thing (id int)")
	mustExec(t, db.SQL(), "INSERT INTO thing VALUES ($1)", 1)
	if err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO thing VALUES ($1)", 2)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	st, err := db.SQL().PrepareContext(timeLimit(t), "SELECT count(*) FROM thing")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var n int
	if err := st.QueryRowContext(timeLimit(t)).Scan(&n); err != nil || n != 2 {
		t.Fatalf("%d, %v; want 2", n, err)
	}
	want := []string{
		"CREATE TABLE thing (id int)", "INSERT INTO thing VALUES ($1)", "INSERT INTO thing VALUES ($1)",
		"SELECT count(*) FROM thing",
	}
	if got := log.Take(); !slices.Equal(got, want) {
		t.Errorf("reported %q, want %q", got, want)
	}
	if got := log.Take(); len(got) != 0 {
		t.Errorf("reported again: %q", got)
	}
}

func TestConn_copy(t *testing.T) {
	t.Parallel()
	db := one(t)
	mustExec(t, db.SQL(), "CREATE TABLE thing (id int, name text)")
	err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(t.Context(), "COPY thing (id, name) FROM STDIN")
		if err != nil {
			return err
		}
		for i := range 100 {
			if _, err := st.ExecContext(t.Context(), i, fmt.Sprint("thing ", i)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(t.Context(), "SELECT $1::int", 1); err == nil {
			t.Error("a statement passed during the copy")
		}
		if _, err := st.ExecContext(t.Context()); err != nil {
			return err
		}
		return st.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := get[int](t, db.SQL(), "SELECT count(*) FROM thing"); got != 100 {
		t.Errorf("%d rows, want 100", got)
	}
	if _, err := db.SQL().ExecContext(timeLimit(t), "COPY thing FROM STDIN", 1); err == nil {
		t.Error("a copy with parameters passed")
	}
	get[int](t, db.SQL(), "SELECT $1::int", 1)
}
