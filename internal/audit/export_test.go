package audit

import (
	"context"
	"encoding/hex"
	"testing"

	"marquee/internal/postgres"
)

// Rewrite chains the entries from a position on anew, as an intruder can who has changed one of them.
func Rewrite(t *testing.T, db *postgres.DB, from int64) {
	t.Helper()
	rows, err := db.SQL().QueryContext(t.Context(), `SELECT `+recordColumns+` FROM audit_entries WHERE position >= $1 - 1 ORDER BY position`, from)
	if err != nil {
		t.Fatal(err)
	}
	records, err := postgres.Collect(rows, scanRecord)
	if err != nil {
		t.Fatal(err)
	}
	seal := records[0].seal
	for _, r := range records[1:] {
		seal = r.sealAt(r.position, seal)
		if _, err := db.SQL().ExecContext(context.WithoutCancel(t.Context()), `UPDATE audit_entries SET seal = decode($2, 'hex') WHERE position = $1`,
			r.position, hex.EncodeToString(seal[:])); err != nil {
			t.Fatal(err)
		}
	}
}
