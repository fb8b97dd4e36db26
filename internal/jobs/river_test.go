package jobs_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"marquee/internal/dbtest"
	"marquee/internal/jobs"
	"marquee/internal/postgres"
)

func pool(t *testing.T, db *postgres.DB) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), db.Session().URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func texts(t *testing.T, db *postgres.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.SQL().QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (text string, err error) {
		err = rows.Scan(&text)
		return text, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestMigration_is_Rivers compares our migration with what River's own make, so that an upgrade of River that needs another is seen.
func TestMigration_is_Rivers(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if _, err := db.SQL().ExecContext(t.Context(), `CREATE SCHEMA theirs`); err != nil {
		t.Fatal(err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool(t, db)), &rivermigrate.Config{Schema: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	inventory := func(schema string) []string {
		return texts(t, db, `SELECT replace(line, $1::text || '.', '') FROM (
			SELECT format('COLUMN %s.%s %s %s not null %s default %s', c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
				FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
				WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT format('TABLE %s %s', relname, relpersistence) FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'
			UNION ALL SELECT format('CONSTRAINT %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
				WHERE connamespace = $1::text::regnamespace
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1::text
			UNION ALL SELECT format('FUNCTION %s(%s) %s %s', proname, pg_get_function_identity_arguments(oid), provolatile, regexp_replace(prosrc, '\s+', ' ', 'g'))
				FROM pg_proc WHERE pronamespace = $1::text::regnamespace
			UNION ALL SELECT format('LABEL %s', enumlabel) FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE typnamespace = $1::text::regnamespace
			UNION ALL SELECT format('TRIGGER %s', tgname) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE relnamespace = $1::text::regnamespace AND NOT tgisinternal
		) AS all_lines (line) ORDER BY 1`, schema)
	}
	ours := inventory("river")
	if len(ours) < 40 {
		t.Errorf("only %d lines are compared", len(ours))
	}
	if diff := cmp.Diff(inventory("theirs"), ours); diff != "" {
		t.Errorf("theirs (-), ours (+):\n%s", diff)
	}
	if diff := cmp.Diff(texts(t, db, `SELECT line || ' ' || version FROM theirs.river_migration ORDER BY line, version`),
		texts(t, db, `SELECT line || ' ' || version FROM river.river_migration ORDER BY line, version`)); diff != "" {
		t.Errorf("their versions (-), ours (+):\n%s", diff)
	}
}

// TestInserter_inserts_as_River_does queues the same jobs by ours and by River's own driver.
func TestInserter_inserts_as_River_does(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	connections := pool(t, db)
	soon := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	for name, opts := range map[string]*river.InsertOpts{
		"plain":     nil,
		"all":       {MaxAttempts: 3, Priority: 4, Queue: "other", ScheduledAt: soon, Tags: []string{"one", "two"}, Metadata: []byte(`{"a": 1}`)},
		"pending":   {Pending: true},
		"unique":    {UniqueOpts: river.UniqueOpts{ByArgs: true}},
		"by_period": {UniqueOpts: river.UniqueOpts{ByPeriod: 24 * time.Hour, ByQueue: true}},
	} {
		theirs, err := river.NewClient(riverpgxv5.New(connections), jobs.Inserts())
		if err != nil {
			t.Fatal(err)
		}
		ours, err := jobs.Inserting()
		if err != nil {
			t.Fatal(err)
		}
		heard := listen(t, connections)
		var want, got [2]bool // whether it was there
		for n := range 2 {
			tx, err := connections.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			result, err := theirs.InsertTx(t.Context(), tx, greet{"Ada"}, opts)
			if err != nil {
				t.Fatal(err)
			}
			want[n] = result.UniqueSkippedAsDuplicate
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		const rows = `SELECT ((to_jsonb(j) - '{id,created_at}'::text[]) || jsonb_build_object('scheduled_at', CASE WHEN state = 'scheduled' THEN scheduled_at END,
			'recent', now() - created_at < interval '1 hour'))::text FROM river.river_job j ORDER BY id`
		stored, told := texts(t, db, rows), heard()
		if _, err := db.SQL().ExecContext(t.Context(), `DELETE FROM river.river_job`); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			err := db.InTx(t.Context(), func(tx *sql.Tx) error {
				result, err := ours.InsertTx(t.Context(), tx, greet{"Ada"}, opts)
				if err == nil {
					got[n] = result.UniqueSkippedAsDuplicate
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(stored, texts(t, db, rows)); diff != "" || got != want {
			t.Errorf("%s: they say %v, we %v; theirs (-), ours (+):\n%s", name, want, got, diff)
		}
		if diff := cmp.Diff(told, heard()); diff != "" {
			t.Errorf("%s: what nodes are told by them (-), by us (+):\n%s", name, diff)
		}
		if _, err := db.SQL().ExecContext(t.Context(), `DELETE FROM river.river_job`); err != nil {
			t.Fatal(err)
		}
	}
}

// listen returns a function that returns what nodes were told since it was last called.
func listen(t *testing.T, connections *pgxpool.Pool) func() []string {
	t.Helper()
	connection, err := pgx.ConnectConfig(t.Context(), connections.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.Background()) })
	for _, statement := range []string{`LISTEN "river.river_insert"`, `LISTEN mark`} {
		if _, err := connection.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() (told []string) {
		if _, err := connection.Exec(t.Context(), `NOTIFY mark`); err != nil {
			t.Fatal(err)
		}
		for {
			heard, err := connection.WaitForNotification(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if heard.Channel == "mark" {
				return told
			}
			told = append(told, heard.Channel+" "+heard.Payload)
		}
	}
}
