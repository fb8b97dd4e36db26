package audit_test

import (
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"marquee/internal/audit"
	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

// sealedLog is a log of ten sealed entries, of which heads were signed at 5 and 10.
func sealedLog(t *testing.T) (db *postgres.DB, heads string) {
	t.Helper()
	db, heads = dbtest.New(t), filepath.Join(t.TempDir(), "heads")
	s := newSealer(t, db, heads, slog.New(slog.DiscardHandler))
	for i := range 10 {
		record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted, Subject: "ses_1", Before: i, After: map[string]int{"n": i}})
		if i == 4 {
			seal(t, s)
		}
	}
	seal(t, s)
	exec(t, db, `ALTER TABLE audit_entries DISABLE TRIGGER USER`) // as an intruder can
	return db, heads
}

// places returns the kinds and positions of findings.
func places(r audit.Report) []string {
	var all []string
	for _, f := range r.Findings {
		place := string(f.Kind) + " "
		if f.From > 0 {
			place += strconv.FormatInt(f.From, 10)
		}
		if f.Through > 0 {
			place += "-" + strconv.FormatInt(f.Through, 10)
		}
		all = append(all, strings.TrimSpace(place))
	}
	return all
}

// DA7 and D3: whatever an intruder does to the log, the verifier names the place.
func TestD3_Verify_names_the_place(t *testing.T) {
	t.Parallel()
	const renumber = `UPDATE audit_entries SET position = position + 1000 WHERE position >= 4; UPDATE audit_entries SET position = position - 1000 `
	for name, c := range map[string]struct {
		tamper string
		want   []string
	}{
		"nothing":               {`SELECT`, nil},
		"edit":                  {`UPDATE audit_entries SET after = '{"n":40}' WHERE position = 4`, []string{"ALTERED 4-4"}},
		"edit_of_the_first":     {`UPDATE audit_entries SET reason = 'x' WHERE position = 1`, []string{"ALTERED 1-1"}},
		"edit_of_the_last":      {`UPDATE audit_entries SET reason = 'x' WHERE position = 10`, []string{"ALTERED 10-10"}},
		"edit_of_two":           {`UPDATE audit_entries SET reason = 'x' WHERE position IN (4, 8)`, []string{"ALTERED 4-4", "ALTERED 8-8"}},
		"deletion":              {`DELETE FROM audit_entries WHERE position = 4`, []string{"MISSING 4-4"}},
		"deletion_of_several":   {`DELETE FROM audit_entries WHERE position BETWEEN 4 AND 6`, []string{"MISSING 4-6"}},
		"deletion_of_the_first": {`DELETE FROM audit_entries WHERE position = 1`, []string{"MISSING 1-1"}},
		"deletion_and_closing_the_gap": {
			`DELETE FROM audit_entries WHERE position = 4; ` + renumber + `- 1 WHERE position > 1000`,
			[]string{"ALTERED 4-4", "MOVED 5-5", "MOVED 6-6", "MOVED 7-7", "MOVED 8-8", "MOVED 9-9", "CUT 10-10"},
		},
		"reorder": {
			`UPDATE audit_entries SET position = 99 WHERE position = 3; UPDATE audit_entries SET position = 3 WHERE position = 7;
				UPDATE audit_entries SET position = 7 WHERE position = 99`,
			[]string{"MOVED 3-3", "MOVED 7-7"},
		},
		"reorder_of_neighbours": {
			`UPDATE audit_entries SET position = 99 WHERE position = 3; UPDATE audit_entries SET position = 3 WHERE position = 4;
				UPDATE audit_entries SET position = 4 WHERE position = 99`,
			[]string{"MOVED 3-3", "MOVED 4-4"},
		},
		"reorder_that_leaves_the_seals": {
			`UPDATE audit_entries e SET position = o.position + 100, seal = o.seal FROM audit_entries o
				WHERE (e.position, o.position) IN ((3, 7), (7, 3)); UPDATE audit_entries SET position = position - 100 WHERE position > 100`,
			[]string{"MOVED 3-3", "MOVED 7-7"},
		},
		"insertion": {
			renumber + `+ 1 WHERE position > 1000; INSERT INTO audit_entries (id, action, position, seal)
				VALUES (gen_random_uuid(), 'session.ended', 4, decode(repeat('ab', 32), 'hex'))`,
			[]string{"INSERTED 4-4", "MOVED 5-5", "MOVED 6-6", "MOVED 7-7", "MOVED 8-8", "MOVED 9-9", "MOVED 10-10", "MOVED 11-11"},
		},
		"insertion_at_the_end": {
			`INSERT INTO audit_entries (id, action, position, seal) VALUES (gen_random_uuid(), 'session.ended', 11, decode(repeat('ab', 32), 'hex'))`,
			[]string{"ALTERED 11-11"},
		},
		"replacement": {
			`DELETE FROM audit_entries WHERE position = 4; INSERT INTO audit_entries (id, action, position, seal)
				VALUES (gen_random_uuid(), 'session.started', 4, decode(repeat('ab', 32), 'hex'))`,
			[]string{"ALTERED 4-4", "ALTERED 5-5"}, // the seal that the next one follows from is gone
		},
		"cut_tail":   {`DELETE FROM audit_entries WHERE position > 8`, []string{"CUT 9-10"}},
		"cut_whole":  {`DELETE FROM audit_entries`, []string{"CUT 1-10"}},
		"taken_back": {`UPDATE audit_entries SET position = NULL, seal = NULL WHERE position > 8`, []string{"CUT 9-10"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, heads := sealedLog(t)
			exec(t, db, c.tamper)
			if got := places(verify(t, db, heads)); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
	t.Run("a_chain_written_anew", func(t *testing.T) {
		t.Parallel()
		db, heads := sealedLog(t)
		exec(t, db, `UPDATE audit_entries SET reason = 'x' WHERE position = 7`)
		audit.Rewrite(t, db, 7)
		if got, want := places(verify(t, db, heads)), []string{"REWRITTEN 6-10"}; !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
	})
	t.Run("a_forged_head", func(t *testing.T) {
		t.Parallel()
		db, heads := sealedLog(t)
		text, err := os.ReadFile(heads)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(heads, []byte(strings.Replace(string(text), `"position":5`, `"position":6`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, want := places(verify(t, db, heads)), []string{"HEAD 6"}; !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
	})
	t.Run("no_heads", func(t *testing.T) {
		t.Parallel()
		db, _ := sealedLog(t)
		if got, want := places(verify(t, db)), []string{"NO_HEADS"}; !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
	})
}

// The seal covers every column, those to come among them.
func TestD3_Verify_notices_each_column(t *testing.T) {
	t.Parallel()
	db, heads := sealedLog(t)
	rows, err := db.SQL().QueryContext(t.Context(), `SELECT column_name, data_type FROM information_schema.columns
		WHERE table_name = 'audit_entries' AND column_name NOT IN ('position', 'seal')`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := postgres.Collect(rows, func(rows *sql.Rows) (c [2]string, err error) {
		err = rows.Scan(&c[0], &c[1])
		return c, err
	})
	if err != nil || len(columns) != 11 {
		t.Fatalf("%v, %v", columns, err)
	}
	for i, c := range columns {
		other := map[string]string{
			"uuid": "gen_random_uuid()", "text": "'session.ended'", "json": `'{"n":99}'`,
			"timestamp with time zone": c[0] + " + interval '1 microsecond'",
		}[c[1]]
		if other == "" {
			t.Fatalf("no other value for %s", c)
		}
		exec(t, db, `CREATE TABLE kept AS SELECT * FROM audit_entries`)
		exec(t, db, `UPDATE audit_entries SET `+c[0]+` = `+other+` WHERE position = $1`, i%10+1)
		want := "ALTERED " + strconv.Itoa(i%10+1) + "-" + strconv.Itoa(i%10+1)
		if got := places(verify(t, db, heads)); !slices.Equal(got, []string{want}) {
			t.Errorf("%s was changed: found %q, want %s", c[0], got, want)
		}
		exec(t, db, `TRUNCATE audit_entries; INSERT INTO audit_entries SELECT * FROM kept; DROP TABLE kept`)
	}
}
