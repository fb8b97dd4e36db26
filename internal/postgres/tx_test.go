package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

// accounts returns a database with two accounts of 100 each.
func accounts(t *testing.T, opts ...dbtest.Option) *postgres.DB {
	t.Helper()
	db := dbtest.New(t, append(opts, dbtest.Empty())...)
	mustExec(t, db.SQL(), "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL)")
	mustExec(t, db.SQL(), "INSERT INTO account VALUES (1, 100), (2, 100)")
	return db
}

func amount(t *testing.T, db *postgres.DB, id int) int {
	t.Helper()
	return get[int](t, db.SQL(), "SELECT amount FROM account WHERE id = $1", id)
}

func add(ctx context.Context, tx *sql.Tx, id, n int) error {
	_, err := tx.ExecContext(ctx, "UPDATE account SET amount = amount + $2 WHERE id = $1", id, n)
	return err
}

// idle fails the test when a connection is still in a transaction.
func idle(t *testing.T, db *postgres.DB) {
	t.Helper()
	eventually(t, "all transactions end", func() bool {
		return get[int](t, db.SQL(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`) == 0
	})
	if used := db.Stats().InUse; used != 0 {
		t.Errorf("%d connections are still in use", used)
	}
}

func TestDB_InTx(t *testing.T) {
	t.Parallel()
	t.Run("commits_what_fn_did", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		level := ""
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			level = get[string](t, tx, "SHOW transaction_isolation")
			return errors.Join(add(t.Context(), tx, 1, -10), add(t.Context(), tx, 2, 10))
		})
		if err != nil || level != "read committed" || amount(t, db, 1) != 90 || amount(t, db, 2) != 110 {
			t.Errorf("%v, %s, %d and %d", err, level, amount(t, db, 1), amount(t, db, 2))
		}
		idle(t, db)
	})
	t.Run("rolls_back_and_returns_the_error_of_fn_as_it_is", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		refusal := errors.New("refused")
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			if err := add(t.Context(), tx, 1, -10); err != nil {
				return err
			}
			return refusal
		})
		if err != refusal { //nolint:errorlint // the very same error is promised
			t.Errorf("%v, want %v", err, refusal)
		}
		if got := amount(t, db, 1); got != 100 {
			t.Errorf("amount %d, want 100", got)
		}
		idle(t, db)
	})
	t.Run("rolls_back_and_passes_a_panic_on", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recovered %v, want boom", got)
				}
			}()
			_ = db.InTx(timeLimit(t), func(tx *sql.Tx) error {
				if err := add(t.Context(), tx, 1, -10); err != nil {
					return err
				}
				panic("boom")
			})
		}()
		if got := amount(t, db, 1); got != 100 {
			t.Errorf("amount %d, want 100", got)
		}
		idle(t, db)
	})
	t.Run("rolls_back_when_the_goroutine_ends", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		var goroutine sync.WaitGroup
		goroutine.Go(func() {
			_ = db.InTx(t.Context(), func(tx *sql.Tx) error {
				if err := add(t.Context(), tx, 1, -10); err != nil {
					return err
				}
				runtime.Goexit()
				return nil
			})
		})
		goroutine.Wait()
		if got := amount(t, db, 1); got != 100 {
			t.Errorf("amount %d, want 100", got)
		}
		idle(t, db)
	})
	t.Run("rolls_back_when_the_context_ends", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		for name, end := range map[string]func(tx *sql.Tx) error{
			"at once": func(*sql.Tx) error { return nil },
			"seen by the commit": func(tx *sql.Tx) error {
				eventually(t, "the transaction is over", func() bool {
					_, err := tx.ExecContext(t.Context(), "SELECT 1")
					return errors.Is(err, sql.ErrTxDone)
				})
				return nil
			},
			"seen by a statement": func(tx *sql.Tx) error {
				var err error
				eventually(t, "the transaction is over", func() bool {
					_, err = tx.ExecContext(t.Context(), "SELECT 1")
					return errors.Is(err, sql.ErrTxDone)
				})
				return err
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			runs := 0
			err := db.InTx(ctx, func(tx *sql.Tx) error {
				runs++
				if err := add(ctx, tx, 1, -10); err != nil {
					return err
				}
				cancel()
				return end(tx)
			})
			if !errors.Is(err, context.Canceled) || runs != 1 {
				t.Errorf("%s: %d runs, %v; want one run and context.Canceled", name, runs, err)
			}
			if got := amount(t, db, 1); got != 100 {
				t.Errorf("%s: amount %d, want 100", name, got)
			}
		}
		idle(t, db)
	})
	t.Run("does_not_begin_with_an_ended_context", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := db.InTx(ctx, func(*sql.Tx) error { t.Error("fn was called"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
	t.Run("a_failed_statement_that_fn_conceals_is_not_committed", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			if err := add(t.Context(), tx, 1, -10); err != nil {
				return err
			}
			_, _ = tx.ExecContext(t.Context(), "SELECT 1 / $1::int", 0)
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "of which a statement had failed") {
			t.Errorf("%v, want an error that tells of the failed statement", err)
		}
		if got := amount(t, db, 1); got != 100 {
			t.Errorf("amount %d, want 100", got)
		}
		idle(t, db)
	})
}

func TestDB_InTx_retries(t *testing.T) {
	t.Parallel()
	t.Run("a_deadlock", func(t *testing.T) {
		t.Parallel()
		db := accounts(t, dbtest.With(func(c *postgres.Config) { c.LockTimeout = patience }))
		var (
			runs     atomic.Int32
			both     sync.WaitGroup // released once each transaction has its first row
			finished sync.WaitGroup
		)
		both.Add(2)
		for _, order := range [][2]int{{1, 2}, {2, 1}} {
			finished.Go(func() {
				first := true
				err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
					runs.Add(1)
					if err := add(t.Context(), tx, order[0], 1); err != nil {
						return err
					}
					if first {
						first = false
						both.Done()
						both.Wait()
					}
					return add(t.Context(), tx, order[1], 1)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		finished.Wait()
		if got := runs.Load(); got < 3 {
			t.Errorf("%d runs: there was no deadlock", got)
		}
		if amount(t, db, 1) != 102 || amount(t, db, 2) != 102 {
			t.Errorf("%d and %d, want 102 each", amount(t, db, 1), amount(t, db, 2))
		}
		if got := db.Stats().TxRetries; got == 0 {
			t.Error("no retry was counted")
		}
	})
	t.Run("a_serialization_failure_of_a_statement", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		runs := 0
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			runs++
			if _, err := tx.ExecContext(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
				return err
			}
			get[int](t, tx, "SELECT amount FROM account WHERE id = 1")
			if runs == 1 {
				mustExec(t, db.SQL(), "UPDATE account SET amount = amount + 5 WHERE id = $1", 1)
			}
			if err := add(t.Context(), tx, 1, 1); err != nil {
				return fmt.Errorf("wrapped: %w", err)
			}
			return nil
		})
		if err != nil || runs != 2 || amount(t, db, 1) != 106 {
			t.Errorf("%d runs, %v, amount %d; want 2 runs and 106", runs, err, amount(t, db, 1))
		}
	})
	t.Run("a_serialization_failure_of_the_commit", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		serializable := func(ctx context.Context, tx *sql.Tx, read, write int) error {
			if _, err := tx.ExecContext(ctx, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT amount FROM account WHERE id = $1", read).Scan(&n); err != nil {
				return err
			}
			return add(ctx, tx, write, n)
		}
		runs := 0
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			runs++
			if err := serializable(t.Context(), tx, 1, 2); err != nil {
				return err
			}
			if runs == 1 {
				return db.InTx(t.Context(), func(other *sql.Tx) error { return serializable(t.Context(), other, 2, 1) })
			}
			return nil
		})
		// The inner transaction ran first and doubled account 1; the outer one must have seen that.
		if err != nil || runs != 2 || amount(t, db, 1) != 200 || amount(t, db, 2) != 300 {
			t.Errorf("%d runs, %v, %d and %d; want 2 runs, 200 and 300", runs, err, amount(t, db, 1), amount(t, db, 2))
		}
	})
	t.Run("three_times_and_no_more", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		runs := 0
		err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
			runs++
			_, err := tx.ExecContext(t.Context(), "DO $$BEGIN RAISE serialization_failure; END$$")
			return err
		})
		if runs != 4 || postgres.SQLState(err) != "40001" {
			t.Errorf("%d runs, %v; want 4 runs and SQLSTATE 40001", runs, err)
		}
	})
	t.Run("not_after_the_context_has_ended", func(t *testing.T) {
		t.Parallel()
		db := accounts(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		runs := 0
		err := db.InTx(ctx, func(tx *sql.Tx) error {
			runs++
			_, err := tx.ExecContext(t.Context(), "DO $$BEGIN RAISE serialization_failure; END$$")
			cancel()
			return err
		})
		if runs != 1 || !errors.Is(err, context.Canceled) || postgres.SQLState(err) != "40001" {
			t.Errorf("%d runs, %v; want one run, context.Canceled and SQLSTATE 40001", runs, err)
		}
	})
	t.Run("nothing_else", func(t *testing.T) {
		t.Parallel()
		db := accounts(t, dbtest.With(func(c *postgres.Config) { c.StatementTimeout = patience }))
		for state, statement := range map[string]string{
			"23505": "INSERT INTO account VALUES (1, 1)",
			"22012": "SELECT 1 / 0",
			"57014": "SET LOCAL statement_timeout = 10; SELECT pg_sleep(600)",
			"55P03": "DO $$BEGIN RAISE lock_not_available; END$$",
			"0A000": "DO $$BEGIN RAISE feature_not_supported; END$$",
		} {
			runs := 0
			err := db.InTx(timeLimit(t), func(tx *sql.Tx) error {
				runs++
				_, err := tx.ExecContext(t.Context(), statement)
				return err
			})
			if runs != 1 || postgres.SQLState(err) != state {
				t.Errorf("%s: %d runs, %v; want one run", state, runs, err)
			}
		}
	})
}
