package rekey_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/postgres"
	"marquee/internal/vault"
	"marquee/internal/vault/rekey"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// TestColumns_are_those_of_the_database: every column named *_sealed is in the registry, and what is in it exists.
func TestColumns_are_those_of_the_database(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for _, c := range vault.Columns() {
		for column, kind := range map[string]string{c.Name: "bytea", c.Key: "uuid", c.Index: "bytea"} {
			if column != "" && fixture.Get[int](t, db, `SELECT count(*) FROM information_schema.columns
				WHERE table_schema = 'public' AND table_name = $1 AND column_name = $2 AND data_type = $3`, c.Table, column, kind) != 1 {
				t.Errorf("%s.%s is no column of the type %s", c.Table, column, kind)
			}
		}
		if !strings.HasSuffix(c.Name, "_sealed") || (c.Index == "") != (c.Kind == "") {
			t.Errorf("%+v", c)
		}
	}
	var names []string
	for _, c := range vault.Columns() {
		names = append(names, c.Table+"."+c.Name)
	}
	slices.Sort(names)
	found := fixture.Get[string](t, db, `SELECT string_agg(table_name || '.' || column_name, ' ' ORDER BY (table_name || '.' || column_name) COLLATE "C") FROM information_schema.columns
		WHERE table_schema = 'public' AND column_name LIKE '%\_sealed'`)
	if got := strings.Join(names, " "); got != found {
		t.Errorf("the registry has  %s\nthe database has %s", got, found)
	}
}

func emailOf(user fixture.User) vault.Cell {
	return vault.Cell{Table: "users", Column: "email_sealed", Row: user.ID}
}

// TestD2_reencryption changes the key under readers and a writer, of which some are a step behind, ends the re-encryption
// in the middle, and finishes it: nobody fails, and nothing is left on the key before.
func TestD2_reencryption(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	w := fixture.New(t, db, fixture.Plan{Users: 1300})
	first := must[vault.Keyset](t)(vault.ParseKeyset(dbtest.Keyset()))
	added := must[vault.Keyset](t)(first.Add())
	promoted := must[vault.Keyset](t)(added.Promote(time.Now().Add(-vault.Settling)))
	behind, ahead := must[*vault.Vault](t)(vault.New(added)), must[*vault.Vault](t)(vault.New(promoted))

	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	var reads, writes atomic.Int64
	for i, v := range []*vault.Vault{behind, ahead} {
		others.Go(func() { // reads, by key and by address
			for n := i; ctx.Err() == nil; n += 7 {
				user := w.Users[n%len(w.Users)]
				var sealed []byte
				err := db.SQL().QueryRowContext(t.Context(), `SELECT email_sealed FROM users WHERE email_index = ANY ($1::bytea[])`,
					postgres.Blobs(v.Indexes("email", user.Email))).Scan(&sealed)
				if err == nil {
					_, err = v.Open(emailOf(user), sealed)
				}
				if err != nil {
					t.Errorf("a read failed: %v", err)
					return
				}
				reads.Add(1)
			}
		})
	}
	var late atomic.Bool // the writer has learned of the key
	names := make([]string, len(w.Users))
	others.Go(func() {
		for n := 0; ctx.Err() == nil; n = (n + 11) % len(w.Users) {
			v := behind
			if late.Load() {
				v = ahead
			}
			cell := vault.Cell{Table: "users", Column: "name_sealed", Row: w.Users[n].ID}
			names[n] = time.Now().String()
			sealed, err := v.Seal(cell, names[n])
			if err == nil {
				_, err = db.SQL().ExecContext(t.Context(), `UPDATE users SET name_sealed = $2 WHERE id = $1`, cell.Row, sealed)
			}
			if err != nil {
				t.Errorf("a write failed: %v", err)
				return
			}
			writes.Add(1)
		}
	})

	killed, kill := context.WithCancel(t.Context())
	if _, err := rekey.Run(killed, db, ahead, func(int) { kill() }); !errors.Is(err, context.Canceled) {
		t.Fatalf("it went on: %v", err)
	}
	if old, done := left(t, db, first.Primary()), left(t, db, promoted.Primary()); old == 0 || done == 0 {
		t.Errorf("it was ended with %d cells on the key before and %d on the next", old, done)
	}
	late.Store(true)
	if _, err := rekey.Run(t.Context(), db, ahead, nil); err != nil {
		t.Fatal(err)
	}
	stop()
	others.Wait()
	// A process that learns of the key between the two may seal an address with the next key and index it with the one before.
	if _, err := db.SQL().ExecContext(t.Context(), `UPDATE users SET email_index = $2 WHERE id = $1`,
		w.Users[0].ID, must[*vault.Vault](t)(vault.New(first)).Index("email", w.Users[0].Email)); err != nil {
		t.Fatal(err)
	}
	// What the writer had begun to write with the key before is found by whoever looks again.
	if _, err := rekey.Run(t.Context(), db, ahead, nil); err != nil {
		t.Fatal(err)
	}
	if old := left(t, db, first.Primary()); old != 0 {
		t.Errorf("%d cells are left on the key before", old)
	}
	if reads.Load() == 0 || writes.Load() == 0 {
		t.Errorf("%d reads and %d writes meanwhile", reads.Load(), writes.Load())
	}
	alone := must[*vault.Vault](t)(vault.New(must[vault.Keyset](t)(promoted.Retire(time.Now()))))
	for i, user := range w.Users {
		sealed := fixture.Get[[]byte](t, db, `SELECT email_sealed FROM users WHERE email_index = $1`, alone.Index("email", user.Email))
		if got, err := alone.Open(emailOf(user), sealed); err != nil || got != user.Email {
			t.Fatalf("%q, %v", got, err)
		}
		if names[i] == "" {
			continue
		}
		sealed = fixture.Get[[]byte](t, db, `SELECT name_sealed FROM users WHERE id = $1`, user.ID)
		if got, err := alone.Open(vault.Cell{Table: "users", Column: "name_sealed", Row: user.ID}, sealed); err != nil || got != names[i] {
			t.Fatalf("a write was lost: %q, want %q, %v", got, names[i], err)
		}
	}
	if err := rekey.Check(t.Context(), db, alone); err != nil {
		t.Error(err)
	}
	if err := rekey.Check(t.Context(), db, dbtest.Vault()); err == nil {
		t.Error("a keyset passes that does not belong to the database")
	}
}

// left is how many cells need a key.
func left(t *testing.T, db *postgres.DB, key uint32) (cells int64) {
	t.Helper()
	for _, c := range must[[]rekey.Count](t)(rekey.Counts(t.Context(), db)) {
		if c.Key == key {
			cells += c.Cells
		}
	}
	return cells
}

// TestDA6_swapped_in_the_database: two accounts' addresses that were exchanged open for neither, are named, and stop
// nothing else from being re-encrypted.
func TestDA6_swapped_in_the_database(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	w := fixture.New(t, db, fixture.Plan{Users: 4})
	w.Exec(t, `UPDATE users u SET email_sealed = o.email_sealed FROM users o WHERE u.id <> o.id AND u.id IN ($1, $2) AND o.id IN ($1, $2)`, w.Users[0].ID, w.Users[1].ID)
	first := must[vault.Keyset](t)(vault.ParseKeyset(dbtest.Keyset()))
	next := must[*vault.Vault](t)(vault.New(must[vault.Keyset](t)(must[vault.Keyset](t)(first.Add()).Promote(time.Now()))))
	_, err := rekey.Run(t.Context(), db, next, nil)
	for i, user := range w.Users {
		if named := err != nil && strings.Contains(err.Error(), user.ID.String()); named != (i < 2) {
			t.Errorf("account %d: %v", i, err)
		}
	}
	if strings.Contains(err.Error(), "@example.com") {
		t.Errorf("the error tells an address: %v", err)
	}
	if old := left(t, db, first.Primary()); old != 4 { // two addresses and their indexes
		t.Errorf("%d cells are left", old)
	}
}
