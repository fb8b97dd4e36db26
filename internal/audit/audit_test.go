package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/audit"
	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

// record writes an entry in a transaction of its own.
func record(t *testing.T, ctx context.Context, db *postgres.DB, e audit.Entry) {
	t.Helper()
	if err := db.InTx(ctx, func(tx *sql.Tx) error { return audit.RecordTx(ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}

func TestRecordTx(t *testing.T) {
	t.Parallel()
	t.Run("keeps_all_it_is_given", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t)
		actor, theater := uuid.New(), uuid.New()
		ctx := audit.WithOrigin(t.Context(), audit.Origin{RequestID: "r1", Address: "192.0.2.7"})
		record(t, ctx, db, audit.Entry{
			Action: audit.RoleGranted, Actor: actor, Subject: "usr_1", Theater: theater, Reason: "promoted",
			Before: map[string]string{"role": "CUSTOMER"}, After: map[string]string{"role": "ADMIN"},
		})
		var got string
		if err := db.SQL().QueryRowContext(ctx, `SELECT concat_ws('|', action, actor_id, subject, theater_id, reason, before, after, request_id, address,
			position, seal, created_at BETWEEN now() - interval '1 minute' AND now()) FROM audit_entries`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		want := strings.Join([]string{
			"role.granted", actor.String(), "usr_1", theater.String(), "promoted", `{"role":"CUSTOMER"}`, `{"role":"ADMIN"}`, "r1", "192.0.2.0/24", "t",
		}, "|")
		if got != want {
			t.Errorf("recorded %s\nwant     %s", got, want)
		}
	})
	// D3: no act without its entry, no entry without its act.
	t.Run("D3_shares_the_fate_of_the_transaction", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t)
		failed := errors.New("the act failed")
		err := db.InTx(t.Context(), func(tx *sql.Tx) error {
			return errors.Join(audit.RecordTx(t.Context(), tx, audit.Entry{Action: audit.SessionStarted}), failed)
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if n := count(t, db); n != 0 {
			t.Errorf("%d entries of an act that never was", n)
		}
	})
	t.Run("refuses_what_cannot_be_recorded", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t)
		for name, e := range map[string]audit.Entry{
			"an_unknown_action":   {Action: "session.borrowed"},
			"no_action":           {},
			"what_is_no_JSON":     {Action: audit.SessionStarted, After: func() {}},
			"too_long_a_reason":   {Action: audit.SessionStarted, Reason: strings.Repeat("x", 1001)},
			"too_large_an_object": {Action: audit.SessionStarted, Before: strings.Repeat("x", 1<<16)},
		} {
			if err := db.InTx(t.Context(), func(tx *sql.Tx) error { return audit.RecordTx(t.Context(), tx, e) }); err == nil {
				t.Errorf("%s is recorded", name)
			}
		}
	})
}

// D3: whatever a statement of the program asks for, entries stay as they were written.
func TestD3_entries_are_neither_changed_nor_deleted(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted, Subject: "ses_1"})
	const seal = `seal = decode(repeat('00', 32), 'hex')`
	refused := func(statement string) {
		t.Helper()
		if _, err := db.SQL().ExecContext(t.Context(), statement); postgres.SQLState(err) != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
	refused(`DELETE FROM audit_entries`)
	refused(`TRUNCATE audit_entries`)
	refused(`UPDATE audit_entries SET subject = 'ses_2'`)
	refused(`UPDATE audit_entries SET subject = 'ses_2', position = 1, ` + seal)
	refused(`SET session_replication_role = replica; DELETE FROM audit_entries`)
	if _, err := db.SQL().ExecContext(t.Context(), `UPDATE audit_entries SET position = 1, `+seal); err != nil {
		t.Fatalf("the sealer cannot seal: %v", err)
	}
	refused(`UPDATE audit_entries SET position = 2`)
	refused(`UPDATE audit_entries SET position = NULL, seal = NULL`)
	if n := count(t, db); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func count(t *testing.T, db *postgres.DB) (n int) {
	t.Helper()
	if err := db.SQL().QueryRowContext(t.Context(), `SELECT count(*) FROM audit_entries`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
