package drift_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"marquee/internal/dbtest"
	"marquee/internal/drift"
	"marquee/internal/postgres"
)

var update = flag.Bool("update", false, "write the reviewed list anew")

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

const inventoryFile = "testdata/inventory.txt"

// The migrations and ent's schema describe the same tables.
func TestPlan_is_empty(t *testing.T) {
	t.Parallel()
	if plan := plan(t, dbtest.New(t)); plan != "" {
		t.Errorf("ent would change the migrated database:\n%s", plan)
	}
}

// The gate notices what it is for.
func TestPlan_notices(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"a_column_that_ent_does_not_know":  `ALTER TABLE movies ADD COLUMN tagline text`,
		"a_column_that_is_missing":         `ALTER TABLE movies DROP COLUMN director`,
		"another_type":                     `ALTER TABLE theaters ALTER COLUMN opens_minute TYPE bigint`,
		"another_nullability":              `ALTER TABLE movies ALTER COLUMN title DROP NOT NULL`,
		"an_index_that_is_missing":         `DROP INDEX payment_attempts_live_key`,
		"an_index_that_ent_does_not_know":  `CREATE INDEX movies_extra_idx ON movies (director)`,
		"another_predicate":                `DROP INDEX tickets_seat_key; CREATE UNIQUE INDEX tickets_seat_key ON tickets (showtime_id, seat_no) WHERE (status = 'ISSUED'::text)`,
		"a_table_that_is_missing":          `DROP TABLE guesses`,
		"a_catalogue_key_that_is_composed": `ALTER TABLE genres DROP CONSTRAINT genres_pkey CASCADE; ALTER TABLE genres ADD PRIMARY KEY (id, name)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t)
			if _, err := db.SQL().ExecContext(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if plan(t, db) == "" {
				t.Error("nothing was noticed")
			}
		})
	}
}

// Every constraint, index and function is the one that was reviewed: `go test ./internal/drift -update` after a
// migration, then read the difference.
func TestInventory_is_the_reviewed_one(t *testing.T) {
	t.Parallel()
	got := inventory(t, dbtest.New(t))
	if *update {
		if err := os.WriteFile(inventoryFile, []byte(strings.Join(got, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reviewed, err := os.ReadFile(inventoryFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(reviewed)), "\n"), got); diff != "" {
		t.Errorf("the schema is not the reviewed one (-reviewed +found):\n%s", diff)
	}
}

// What keeps a seat from being sold twice, and showtimes from overlapping, is in the list; without it the list differs.
func TestInventory_notices_a_missing_guard(t *testing.T) {
	t.Parallel()
	for _, guard := range []struct{ table, constraint string }{
		{"seat_claims", "seat_claims_pkey"},
		{"showtimes", "showtimes_overlap_excl"},
		{"payments", "payments_amounts_check"},
		{"showtimes", "showtimes_layout_fkey"},
	} {
		t.Run(guard.constraint, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t)
			before := inventory(t, db)
			if !slices.ContainsFunc(before, func(line string) bool { return strings.HasPrefix(line, guard.table+" "+guard.constraint+" ") }) {
				t.Fatalf("%s is not in the list", guard.constraint)
			}
			if _, err := db.SQL().ExecContext(t.Context(), `ALTER TABLE `+guard.table+` DROP CONSTRAINT `+guard.constraint); err != nil {
				t.Fatal(err)
			}
			if slices.Equal(before, inventory(t, db)) {
				t.Error("the list did not change")
			}
		})
	}
}

// A table that only the migrations have would be in nobody's sight.
func TestStrangers(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if found, err := drift.Strangers(t.Context(), db); err != nil || len(found) > 0 {
		t.Errorf("ent does not know %v, %v", found, err)
	}
	if _, err := db.SQL().ExecContext(t.Context(), `CREATE TABLE visitors (id uuid)`); err != nil {
		t.Fatal(err)
	}
	if found, err := drift.Strangers(t.Context(), db); err != nil || !slices.Equal(found, []string{"visitors"}) {
		t.Errorf("with a table more: %v, %v", found, err)
	}
}

func plan(t *testing.T, db *postgres.DB) string {
	t.Helper()
	text, err := drift.Plan(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func inventory(t *testing.T, db *postgres.DB) []string {
	t.Helper()
	lines, err := drift.Inventory(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
