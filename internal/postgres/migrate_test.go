package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
	"marquee/internal/postgres/migrations"
)

// steps returns migrations with these up parts, numbered from 1. Their down parts drop the table named after them.
func steps(up ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i, sql := range up {
		files[fmt.Sprintf("%05d_step.sql", i+1)] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"-- +goose Up\n%s;\n-- +goose Down\nDROP TABLE step_%d;\n", sql, i+1)}
	}
	return files
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func tables(t *testing.T, db *postgres.DB) string {
	t.Helper()
	return get[string](t, db.SQL(),
		`SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class WHERE relname LIKE 'step\_%' AND relkind = 'r'`)
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("applies_each_step_once_and_takes_steps_back", func(t *testing.T) {
		t.Parallel()
		db := one(t)
		two := steps("CREATE TABLE step_1 ()", "CREATE TABLE step_2 ()")
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		for range 2 {
			if err := postgres.MigrateFS(timeLimit(t), db, logger, two); err != nil {
				t.Fatal(err)
			}
		}
		if got := tables(t, db); got != "step_1 step_2" {
			t.Errorf("tables: %q", got)
		}
		if got := strings.Count(log.String(), "database migrated"); got != 2 {
			t.Errorf("%d lines in the log, want 2:\n%s", got, &log)
		}
		status, err := postgres.MigrationStatusFS(timeLimit(t), db, steps("", "", ""))
		if err != nil || len(status) != 3 || status[0].Version != 1 || status[0].Name != "00001_step.sql" ||
			status[1].AppliedAt.IsZero() || !status[2].AppliedAt.IsZero() {
			t.Errorf("status %+v, %v; want the first two applied and the third not", status, err)
		}
		for _, want := range []string{"step_1", "", ""} {
			if err := postgres.MigrateDownFS(timeLimit(t), db, logger, two); err != nil {
				t.Fatal(err)
			}
			if got := tables(t, db); got != want {
				t.Errorf("tables after a step back: %q, want %q", got, want)
			}
		}
	})
	t.Run("keeps_the_steps_before_the_one_that_fails_and_names_it", func(t *testing.T) {
		t.Parallel()
		db := one(t)
		err := postgres.MigrateFS(timeLimit(t), db, silent(),
			steps("CREATE TABLE step_1 ()", "CREATE TABLE step_2 (); SELECT 1 / 0", "CREATE TABLE step_3 ()"))
		if err == nil || !strings.Contains(err.Error(), "00002_step.sql") || postgres.SQLState(err) != "22012" {
			t.Errorf("%v, want an error that names 00002_step.sql, with SQLSTATE 22012", err)
		}
		if got := tables(t, db); got != "step_1" {
			t.Errorf("tables: %q, want only step_1", got)
		}
	})
	t.Run("may_be_called_by_many_at_once", func(t *testing.T) {
		t.Parallel()
		url := dbtest.NewURL(t, dbtest.Empty())
		slow := steps("CREATE TABLE step_1 (); SELECT pg_sleep(0.3)", "CREATE TABLE step_2 (); SELECT pg_sleep(0.3)")
		var callers sync.WaitGroup
		for range 6 {
			db := open(t, postgres.Config{URL: url, MaxConns: 1})
			callers.Go(func() {
				if err := postgres.MigrateFS(timeLimit(t), db, silent(), slow); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		db := open(t, postgres.Config{URL: url, MaxConns: 1})
		if got := get[int](t, db.SQL(), "SELECT count(*) FROM goose_db_version WHERE version_id > 0"); got != 2 {
			t.Errorf("%d steps recorded, want 2", got)
		}
	})
	t.Run("waits_for_another_only_as_long_as_the_context_allows", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t, dbtest.Empty())
		other, err := db.SQL().Conn(timeLimit(t))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		mustExec(t, other, "SELECT pg_advisory_lock($1)", postgres.MigrationLockID)
		// Long enough to get as far as the lock, also on a busy machine.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err = postgres.MigrateFS(ctx, db, silent(), steps("CREATE TABLE step_1 ()"))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process is migrating") {
			t.Errorf("%v, want an error that tells of the other process", err)
		}
		if got := tables(t, db); got != "" {
			t.Errorf("tables: %q, want none", got)
		}
	})
	t.Run("is_free_of_the_pools_limits_but_waits_briefly_for_locks", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t, dbtest.Empty(), dbtest.With(func(c *postgres.Config) {
			c.StatementTimeout, c.LockTimeout, c.IdleInTxTimeout = 100*time.Millisecond, time.Minute, 100*time.Millisecond
		}))
		err := postgres.MigrateFS(timeLimit(t), db, silent(),
			steps("CREATE TABLE step_1 AS SELECT current_setting('lock_timeout') AS lock, pg_sleep(0.3)::text"))
		if err != nil {
			t.Fatal(err)
		}
		if got := get[string](t, db.SQL(), "SELECT lock FROM step_1"); got != "10s" {
			t.Errorf("lock_timeout %s, want 10s", got)
		}
	})
	t.Run("refuses_a_newer_database", func(t *testing.T) {
		t.Parallel()
		db := one(t)
		if err := postgres.MigrateFS(timeLimit(t), db, silent(), steps("CREATE TABLE step_1 ()", "CREATE TABLE step_2 ()")); err != nil {
			t.Fatal(err)
		}
		older := steps("CREATE TABLE step_1 ()")
		for name, call := range map[string]func(context.Context, *postgres.DB, *slog.Logger, fs.FS, ...*goose.Migration) error{
			"up": postgres.MigrateFS, "down": postgres.MigrateDownFS,
		} {
			err := call(timeLimit(t), db, silent(), older)
			if !errors.Is(err, postgres.ErrNewerDatabase) ||
				!strings.Contains(err.Error(), "at version 2 and the program knows 1") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want ErrNewerDatabase and both versions in one line", name, err)
			}
		}
		if got := tables(t, db); got != "step_1 step_2" {
			t.Errorf("tables: %q", got)
		}
	})
	t.Run("with_nothing_to_apply_it_says_so", func(t *testing.T) {
		t.Parallel()
		if err := postgres.MigrateFS(timeLimit(t), one(t), silent(), fstest.MapFS{}); err == nil {
			t.Error("a program without migrations migrated a database")
		}
	})
}

func TestMigrate_embedded(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations.FS, "0*") // and folders, of steps that are not only SQL
	if err != nil || len(files) == 0 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	db := dbtest.New(t, dbtest.Empty())
	schema := func() string {
		return get[string](t, db.SQL(), `SELECT coalesce(string_agg(kind || ' ' || name, E'\n' ORDER BY kind, name), '') FROM (
			SELECT relkind::text, relname::text FROM pg_class
				WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose%'
			UNION ALL SELECT 'function', proname::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
				AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
			UNION ALL SELECT 'type', typname::text FROM pg_type t WHERE typnamespace = 'public'::regnamespace
				AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
				AND typelem = 0 AND typname NOT LIKE 'goose%') AS thing (kind, name)`)
	}
	bare := schema()
	if err := postgres.Migrate(timeLimit(t), db, silent(), nil); err != nil {
		t.Fatal(err)
	}
	full := schema()
	for range files {
		if err := postgres.MigrateDown(timeLimit(t), db, silent(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := schema(); got != bare {
		t.Errorf("taking every migration back leaves:\n%s", got)
	}
	if err := postgres.Migrate(timeLimit(t), db, silent(), nil); err != nil {
		t.Fatal(err)
	}
	if got := schema(); got != full {
		t.Errorf("the schema is another one the second time:\n%s\nand was:\n%s", got, full)
	}
	status, err := postgres.MigrationStatus(timeLimit(t), db)
	if err != nil || len(status) != len(files) {
		t.Fatalf("%d migrations, %v; want %d", len(status), err, len(files))
	}
	for _, m := range status {
		if m.AppliedAt.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}
}
