// Package drift holds ent's schema and the SQL migrations together.
//
// The migrations are the truth. Plan says what ent would change in a migrated database to make it look like ent/schema;
// it must be nothing. Inventory lists what ent cannot see, for comparison with a reviewed list.
package drift

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"

	atlas "ariga.io/atlas/sql/schema"
	"entgo.io/ent/dialect/sql/schema"

	"marquee/ent"
	"marquee/ent/migrate"
	"marquee/internal/postgres"
)

// core are the tables whose primary key is composite, those of the booking core first; ent knows one id column only.
var core = []string{
	"showtime_sales", "reservations", "seat_claims", "idempotency_keys", "payments", "payment_attempts", "refunds", "till_entries", "ledger_transfers", "tickets", "promotion_redemptions", "movie_ratings",
	"refund_policies", "swaps", "handovers", "payment_recoveries", "theater_gateways",
}

// onlyInSQL are the indexes that ent cannot say: on an expression, behind an exclusion constraint, on the table of a
// many-to-many edge, where nulls are equal.
var onlyInSQL = []string{"movies_release_idx", "price_rules_taxes_excl", "showtimes_overlap_excl", "movie_genres_genre_idx", "role_grants_key"}

// planning: ent's generated tables are shared by the whole process, and a plan writes into them.
var planning sync.Mutex

// Plan returns the statements that ent would run to make the database look like its schema, "" for none. What ent
// cannot express is not drift: checks, foreign keys between composite or core keys, composite primary keys, indexes on
// expressions. Inventory covers those.
func Plan(ctx context.Context, db *postgres.DB) (string, error) {
	planning.Lock()
	defer planning.Unlock()
	var plan bytes.Buffer
	err := ent.Over(db.SQL()).Schema.WriteTo(ctx, &plan,
		schema.WithDropColumn(true), schema.WithDropIndex(true), schema.WithForeignKeys(true),
		schema.WithDiffHook(func(next schema.Differ) schema.Differ {
			return schema.DiffFunc(func(current, desired *atlas.Schema) ([]atlas.Change, error) {
				changes, err := next.Diff(current, desired)
				if err != nil {
					return nil, err
				}
				return knowable(changes), nil
			})
		}))
	if err != nil {
		return "", fmt.Errorf("planning ent's changes: %w", err)
	}
	return strings.TrimSpace(plan.String()), nil
}

// versions is the table of the migrations themselves.
const versions = "goose_db_version"

// Strangers returns the tables that ent's schema does not have, which Plan does not look at; those of the job queue have a schema of
// their own, and a test in package jobs.
func Strangers(ctx context.Context, db *postgres.DB) ([]string, error) {
	rows, err := db.SQL().QueryContext(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("listing the tables: %w", err)
	}
	tables, err := postgres.Collect(rows, func(rows *sql.Rows) (string, error) {
		var name string
		err := rows.Scan(&name)
		return name, err
	})
	return slices.DeleteFunc(tables, func(name string) bool {
		return name == versions || slices.ContainsFunc(migrate.Tables, func(t *schema.Table) bool { return t.Name == name })
	}), err
}

// knowable drops the changes that only say what ent cannot know, and table changes that are empty without them.
func knowable(changes []atlas.Change) []atlas.Change {
	var kept []atlas.Change
	for _, change := range changes {
		modify, ok := change.(*atlas.ModifyTable)
		if !ok {
			kept = append(kept, change)
			continue
		}
		modify.Changes = slices.DeleteFunc(modify.Changes, func(c atlas.Change) bool { return unknowable(modify.T.Name, c) })
		if len(modify.Changes) > 0 {
			kept = append(kept, modify)
		}
	}
	return kept
}

func unknowable(table string, change atlas.Change) bool {
	switch c := change.(type) {
	case *atlas.DropCheck, *atlas.DropForeignKey:
		return true
	case *atlas.AddPrimaryKey, *atlas.ModifyPrimaryKey, *atlas.DropPrimaryKey:
		return slices.Contains(core, table)
	case *atlas.DropIndex:
		return slices.Contains(onlyInSQL, c.I.Name)
	default:
		return false
	}
}

// Inventory lists every constraint, index, function and trigger of the schema, and of that of the job queue, as PostgreSQL prints
// them, sorted.
func Inventory(ctx context.Context, db *postgres.DB) ([]string, error) {
	rows, err := db.SQL().QueryContext(ctx, `
		SELECT format('%s %s', conrelid::regclass, conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
			WHERE connamespace IN ('public'::regnamespace, 'river'::regnamespace) AND conrelid <> 0 AND conrelid::regclass::text <> 'goose_db_version'
		UNION ALL
		SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'river') AND tablename <> 'goose_db_version'
		UNION ALL
		SELECT format('FUNCTION %s(%s) md5 %s', p.oid::regproc, pg_get_function_identity_arguments(p.oid), md5(p.prosrc)) FROM pg_proc p
			WHERE p.pronamespace IN ('public'::regnamespace, 'river'::regnamespace)
				AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
		UNION ALL
		SELECT pg_get_triggerdef(oid) || ' enabled ' || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
		ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("listing the schema: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (string, error) {
		var line string
		err := rows.Scan(&line)
		return line, err
	})
}
