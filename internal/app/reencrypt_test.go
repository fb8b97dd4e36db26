package app_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/postgres"
	"marquee/internal/vault"
	"marquee/internal/vault/rekey"
)

// What the process of reencryptElsewhere is told by.
const (
	reencryptDatabase = "MARQUEE_TEST_REENCRYPT_DATABASE"
	reencryptKeyset   = "MARQUEE_TEST_REENCRYPT_KEYSET"
)

// TestReencryptChild is what another process does that a test has started; by itself it does nothing.
func TestReencryptChild(t *testing.T) {
	t.Parallel()
	database, told := os.LookupEnv(reencryptDatabase)
	if !told {
		return
	}
	cfg := configuration(t, database)
	cfg.KeysetFile = os.Getenv(reencryptKeyset)
	if err := (app.Command{Config: cfg, Log: quiet, Out: os.Stdout}).KeysReencrypt(timeLimit(t)); err != nil {
		t.Fatal(err)
	}
}

// reencryptElsewhere starts marquee keys reencrypt in another process.
func reencryptElsewhere(t *testing.T, database config.Secret, keyset string) (process *exec.Cmd, said *output) {
	t.Helper()
	said = &output{}
	process = elsewhere(timeLimit(t), t, "TestReencryptChild", reencryptDatabase+"="+string(database), reencryptKeyset+"="+keyset)
	process.Stdout, process.Stderr = said, said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	return process, said
}

// cellsOf is how many cells need a key.
func cellsOf(t *testing.T, db *postgres.DB, key uint32) (cells int64) {
	t.Helper()
	counts, err := rekey.Counts(timeLimit(t), db)
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range counts {
		if count.Key == key {
			cells += count.Cells
		}
	}
	return cells
}

// TestD2_reencryption_is_killed kills the process that re-encrypts between two of its batches, and starts it again: it goes
// on where it was, every cell opens, and none is left on the key before.
func TestD2_reencryption_is_killed(t *testing.T) {
	t.Parallel()
	const people = 1100 // three batches, the last of which waits
	database := config.Secret(dbtest.NewURL(t))
	db := open(t, string(database))
	w := fixture.New(t, db, fixture.Plan{Users: people})
	first, err := vault.ParseKeyset(dbtest.Keyset())
	if err != nil {
		t.Fatal(err)
	}
	added, err := first.Add()
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := added.Promote(time.Now().Add(-vault.Settling))
	if err != nil {
		t.Fatal(err)
	}
	text, err := promoted.Text()
	if err != nil {
		t.Fatal(err)
	}
	keyset := filepath.Join(t.TempDir(), "keyset")
	if err := os.WriteFile(keyset, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := cellsOf(t, db, first.Primary())

	// Whoever holds a row of the last batch keeps the process from coming to the end.
	holder, err := db.SQL().BeginTx(timeLimit(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback() }()
	if _, err := holder.ExecContext(timeLimit(t), `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(timeLimit(t), `SELECT FROM users WHERE id = $1 FOR UPDATE`, w.Users[people-1].ID); err != nil {
		t.Fatal(err)
	}
	process, said := reencryptElsewhere(t, database, keyset)
	eventually(t, "a batch is done", func() bool { return cellsOf(t, db, promoted.Primary()) > 0 })
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := process.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:forcetypeassert // of this system
		t.Fatalf("it was not killed: %v\n%s", err, said)
	}
	if err := holder.Rollback(); err != nil {
		t.Fatal(err)
	}
	// What the process was doing may still be undone.
	eventually(t, "the server has let it go", func() bool {
		return texts(t, db, `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'looking on'
			AND backend_type = 'client backend'`)[0] == "0"
	})
	done, left := cellsOf(t, db, promoted.Primary()), cellsOf(t, db, first.Primary())
	if done == 0 || left == 0 || done+left != all {
		t.Fatalf("it was killed with %d cells done and %d left of %d: in the middle of nothing", done, left, all)
	}

	process, said = reencryptElsewhere(t, database, keyset)
	if err := process.Wait(); err != nil {
		t.Fatalf("the second run: %v\n%s", err, said)
	}
	// An address goes with its index, and the names come after the addresses.
	const cellsOfAddress = 2
	if goneOn := fmt.Sprintf("%d rows were re-encrypted", 2*people-done/cellsOfAddress); !strings.Contains(said.String(), goneOn) {
		t.Errorf("it does not say %q: %s", goneOn, said)
	}
	if old := cellsOf(t, db, first.Primary()); old != 0 || cellsOf(t, db, promoted.Primary()) != all {
		t.Errorf("%d of %d cells are left on the key before", old, all)
	}
	retired, err := promoted.Retire(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	alone, err := vault.New(retired)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range w.Users {
		var email, name []byte
		if err := db.SQL().QueryRowContext(timeLimit(t), `SELECT email_sealed, name_sealed FROM users WHERE email_index = $1`,
			alone.Index("email", user.Email)).Scan(&email, &name); err != nil {
			t.Fatalf("%s is not found: %v", user.Email, err)
		}
		if got, err := alone.Open(vault.Cell{Table: "users", Column: "email_sealed", Row: user.ID}, email); err != nil || got != user.Email {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := alone.Open(vault.Cell{Table: "users", Column: "name_sealed", Row: user.ID}, name); err != nil {
			t.Fatal(err)
		}
	}
}
