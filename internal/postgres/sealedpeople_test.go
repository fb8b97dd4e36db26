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

// TestD1_people_in_the_open_are_carried_over: accounts of an earlier version are sealed by the migration, nothing of them
// stays in the tables' files, and the way back opens them.
func TestD1_people_in_the_open_are_carried_over(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	v := dbtest.Vault()
	back := func() {
		t.Helper()
		for get[int](t, db.SQL(), `SELECT max(version_id) FROM goose_db_version v WHERE is_applied`) >= migrations.SealedPeople {
			if err := postgres.MigrateDown(timeLimit(t), db, silent(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	back()
	user, session := uuid.New(), uuid.New()
	mustExec(t, db.SQL(), `INSERT INTO users (id, email, name, password_hash) VALUES ($1, 'canary-mail@example.com', 'Canary Name', '!')`, user)
	mustExec(t, db.SQL(), `INSERT INTO sessions (id, user_id, salt, device, renewed_at, expires_at) VALUES ($1, $2, '\x00', 'canary device', now(), now()),
		(gen_random_uuid(), $2, '\x01', '', now(), now())`, session, user)

	if err := postgres.Migrate(timeLimit(t), db, silent(), nil); err == nil {
		t.Fatal("accounts were carried over without a keyset")
	}
	if err := postgres.Migrate(timeLimit(t), db, silent(), v); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[vault.Cell]string{
		{Table: "users", Column: "email_sealed", Row: user}:        "canary-mail@example.com",
		{Table: "users", Column: "name_sealed", Row: user}:         "Canary Name",
		{Table: "sessions", Column: "device_sealed", Row: session}: "canary device",
	} {
		sealed := get[[]byte](t, db.SQL(), `SELECT `+query.Column+` FROM `+query.Table+` WHERE id = $1`, query.Row)
		if got, err := v.Open(query, sealed); err != nil || got != want {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
	if index := get[[]byte](t, db.SQL(), `SELECT email_index FROM users`); !bytes.Equal(index, v.Index("email", "canary-mail@example.com")) {
		t.Errorf("the index is %x", index)
	}
	if n := get[int](t, db.SQL(), `SELECT count(*) FROM sessions WHERE device_sealed IS NULL`); n != 1 {
		t.Errorf("%d sessions of a device without a name", n)
	}
	mustExec(t, db.SQL(), `CHECKPOINT`)
	for _, table := range []string{"users", "sessions"} {
		file := get[[]byte](t, db.SQL(), `SELECT pg_read_binary_file(pg_relation_filepath($1))`, table)
		if len(file) == 0 || bytes.Contains(bytes.ToLower(file), []byte("canary")) {
			t.Errorf("the file of %s, of %d bytes, has something in the open", table, len(file))
		}
	}

	back()
	if got := get[string](t, db.SQL(), `SELECT email || ' ' || name FROM users`); got != "canary-mail@example.com Canary Name" {
		t.Errorf("the way back leads to %q", got)
	}
	if got := get[string](t, db.SQL(), `SELECT string_agg(device, ',' ORDER BY device) FROM sessions`); got != ",canary device" {
		t.Errorf("the way back leads to %q", got)
	}
}
