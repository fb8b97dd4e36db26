package identity_test

import (
	"errors"
	"testing"
	"time"

	"marquee/internal/dbtest"
	"marquee/internal/identity"
	"marquee/internal/vault"
)

// whileKeysChange returns two nodes of an installation, of which one has learned of the next key and the other has not.
func whileKeysChange(t *testing.T) (behind, ahead federation) {
	t.Helper()
	first, err := vault.ParseKeyset(dbtest.Keyset())
	if err != nil {
		t.Fatal(err)
	}
	added, err := first.Add()
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := added.Promote(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f := federate(t)
	for _, node := range []struct {
		keyset vault.Keyset
		is     *federation
	}{{added, &behind}, {promoted, &ahead}} {
		v, err := vault.New(node.keyset)
		if err != nil {
			t.Fatal(err)
		}
		*node.is = f.sealingWith(t, v)
	}
	return behind, ahead
}

// bothAtOnce runs two acts that both have looked before either has written to a table, and returns how they failed.
func (f federation) bothAtOnce(t *testing.T, table string, acts ...func() error) []error {
	t.Helper()
	tx, err := f.db.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE `+table+` IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, len(acts))
	for _, act := range acts {
		go func() { ended <- act() }()
	}
	patience := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.value(t, `SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`) != "2" {
		select {
		case <-patience:
			t.Fatal("they do not wait")
		case err := <-ended:
			t.Fatalf("one did not wait: %v", err)
		case <-tick.C:
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	var failures []error
	for range acts {
		if err := <-ended; err != nil {
			failures = append(failures, err)
		}
	}
	return failures
}

// TestD2_nobody_becomes_two_while_keys_change: while texts are indexed with two keys, a unique index sees two where there is
// one; whoever is there is found all the same, by every node, and of two who come at once one is refused.
func TestD2_nobody_becomes_two_while_keys_change(t *testing.T) {
	t.Parallel()
	t.Run("a_providers_person_is_found_by_every_node", func(t *testing.T) {
		t.Parallel()
		behind, ahead := whileKeysChange(t)
		for name, pair := range map[string][2]federation{"before": {behind, ahead}, "after": {ahead, behind}} {
			person := map[string]any{"sub": name, "email": name + "@example.com", "email_verified": true}
			made := pair[0].signInBy(t, person)
			if found := pair[1].signInBy(t, person); found.User.ID != made.User.ID {
				t.Errorf("%s: there are two", name)
			}
		}
	})
	t.Run("a_providers_person_is_linked_once", func(t *testing.T) {
		t.Parallel()
		behind, ahead := whileKeysChange(t)
		link := func(f federation, email string) func() error {
			v := f.viewer(t, f.signUp(t, email, passphrase))
			begun, err := f.BeginProviderLink(t.Context(), v, toAcme)
			if err != nil {
				t.Fatal(err)
			}
			back := f.back(t, begun, ada)
			return func() error {
				_, err := f.LinkProvider(t.Context(), v, back)
				return err
			}
		}
		failures := behind.bothAtOnce(t, "federated_identities", link(behind, "one@example.com"), link(ahead, "two@example.com"))
		if len(failures) != 1 || !errors.Is(failures[0], identity.ErrLinkTaken) {
			t.Errorf("%v", failures)
		}
		if n := behind.value(t, `SELECT count(*) FROM federated_identities`); n != "1" {
			t.Errorf("%s links", n)
		}
	})
	t.Run("an_address_gets_one_account", func(t *testing.T) {
		t.Parallel()
		behind, ahead := whileKeysChange(t)
		create := func(f federation) func() error {
			return func() error {
				_, err := f.CreateUser(t.Context(), identity.SignUpInput{Email: "nora@example.com", Password: passphrase, Name: "Nora"})
				return err
			}
		}
		failures := behind.bothAtOnce(t, "users", create(behind), create(ahead))
		if len(failures) != 1 || !errors.Is(failures[0], identity.ErrEmailTaken) {
			t.Errorf("%v", failures)
		}
		if n := behind.value(t, `SELECT count(*) FROM users`); n != "1" {
			t.Errorf("%s accounts", n)
		}
	})
}
