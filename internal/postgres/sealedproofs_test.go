package postgres_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
	"marquee/internal/postgres/migrations"
	"marquee/internal/vault"
)

// TestD1_proofs_in_the_open_are_carried_over: second factors and links to providers of an earlier version are sealed by the
// migration, nothing of them stays in the tables' files, and the way back opens them.
func TestD1_proofs_in_the_open_are_carried_over(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	v := dbtest.Vault()
	back := func() {
		t.Helper()
		for get[int](t, db.SQL(), `SELECT max(version_id) FROM goose_db_version v WHERE is_applied`) >= migrations.SealedProofs {
			if err := postgres.MigrateDown(timeLimit(t), db, silent(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	back()
	user, app, passkey, link := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	mustExec(t, db.SQL(), `INSERT INTO users (id, email_sealed, email_index, name_sealed) VALUES ($1, '\x00', $2, '\x00')`, user, v.Index("email", "x"))
	mustExec(t, db.SQL(), `INSERT INTO factors (id, user_id, kind, name, secret_sealed) VALUES ($1, $2, 'TOTP', 'Canary ünder glass', '\x00')`, app, user)
	// The id, base64, is "canary key".
	const credential = `{"id":"Y2FuYXJ5IGtleQ==","canary":true}`
	mustExec(t, db.SQL(), `INSERT INTO factors (id, user_id, kind, name, credential_id, credential, confirmed_at)
		VALUES ($1, $2, 'PASSKEY', 'Canary key', 'canary key', convert_to($3, 'UTF8'), now())`, passkey, user, credential)
	mustExec(t, db.SQL(), `INSERT INTO federated_identities (id, user_id, issuer, subject, used_at) VALUES ($1, $2, 'https://accounts.example', 'canary subject', now())`, link, user)
	mustExec(t, db.SQL(), `INSERT INTO ceremonies (id, kind, state, expires_at) VALUES (gen_random_uuid(), 'PASSKEY_SIGN_IN', 'canary challenge', now())`)

	if err := postgres.Migrate(timeLimit(t), db, silent(), nil); err == nil {
		t.Fatal("second factors were carried over without a keyset")
	}
	if err := postgres.Migrate(timeLimit(t), db, silent(), v); err != nil {
		t.Fatal(err)
	}
	for cell, want := range map[vault.Cell]string{
		{Table: "factors", Column: "name_sealed", Row: app}:                  "Canary ünder glass",
		{Table: "factors", Column: "name_sealed", Row: passkey}:              "Canary key",
		{Table: "factors", Column: "credential_sealed", Row: passkey}:        credential,
		{Table: "federated_identities", Column: "subject_sealed", Row: link}: "canary subject",
	} {
		sealed := get[[]byte](t, db.SQL(), `SELECT `+cell.Column+` FROM `+cell.Table+` WHERE id = $1`, cell.Row)
		if got, err := v.Open(cell, sealed); err != nil || got != want {
			t.Errorf("%s: %q, %v", cell, got, err)
		}
	}
	if index := get[[]byte](t, db.SQL(), `SELECT subject_index FROM federated_identities`); !bytes.Equal(index, v.Index("subject", "canary subject")) {
		t.Errorf("the index is %x", index)
	}
	if n := get[int](t, db.SQL(), `SELECT count(*) FROM factors WHERE credential_hash = sha256('canary key') AND id = $1`, passkey); n != 1 {
		t.Error("the passkey is not found by its id")
	}
	mustExec(t, db.SQL(), `CHECKPOINT`)
	for table, rows := range map[string]int{"factors": 2, "federated_identities": 1, "ceremonies": 0} {
		file := get[[]byte](t, db.SQL(), `SELECT pg_read_binary_file(pg_relation_filepath($1))`, table)
		if (len(file) == 0) != (rows == 0) || bytes.Contains(bytes.ToLower(file), []byte("canary")) {
			t.Errorf("the file of %s, of %d bytes, has something in the open", table, len(file))
		}
	}

	back()
	if got := get[string](t, db.SQL(), `SELECT string_agg(name, ',' ORDER BY kind) || ' ' || max(convert_from(credential_id, 'UTF8')) || ' ' || max(convert_from(credential, 'UTF8'))
		FROM factors`); got != "Canary key,Canary ünder glass canary key "+credential {
		t.Errorf("the way back leads to %q", got)
	}
	if got := get[string](t, db.SQL(), `SELECT subject FROM federated_identities`); got != "canary subject" {
		t.Errorf("the way back leads to %q", got)
	}
	if err := postgres.Migrate(timeLimit(t), db, silent(), v); err != nil {
		t.Fatal(err)
	}
}
