package privacy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/privacy"
)

// TestAZ_a_grant_and_an_erasure_of_one_account takes both orders of the two, which wait for the same account: the one that
// comes second is refused, and no grant is left without its user.
func TestAZ_a_grant_and_an_erasure_of_one_account(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	admin := a.Admin()
	by, err := a.Identity.Authenticate(t.Context(), admin.Token)
	if err != nil {
		t.Fatal(err)
	}
	grant := func(id uuid.UUID) error {
		in := identity.ChangeGrantInput{UserID: id, Grant: auth.Grant{Role: auth.RoleFinance}, Reason: "closes the year"}
		_, err := a.Identity.GrantRole(t.Context(), by, in)
		return err
	}
	// An erasure that is refused is an error here.
	erased := func(result privacy.EraseResult, err error) error {
		if _, inOffice := result.(privacy.InOffice); inOffice {
			return errInOffice
		}
		return err
	}
	for name, erase := range map[string]func(id uuid.UUID) error{
		"deleteAccount": func(id uuid.UUID) error {
			return erased(a.Privacy.Erase(t.Context(), auth.Viewer{UserID: id, ProvedAt: time.Now()}, privacy.EraseInput{UserID: id}))
		},
		"eraseUser": func(id uuid.UUID) error {
			return erased(a.Privacy.EraseUser(t.Context(), by, privacy.EraseInput{UserID: id, Reason: "asked by letter"}))
		},
	} {
		id := a.Customer().User.ID
		if granted, refused := inOrder(t, a, id, grant, erase); granted != nil || !errors.Is(refused, errInOffice) {
			t.Errorf("%s after a grant: %v, then %v", name, granted, refused)
		}
		if left := apitest.Value[int](a, `SELECT count(*) FROM users u JOIN role_grants g ON g.user_id = u.id WHERE u.id = $1`, id); left != 1 {
			t.Errorf("%s after a grant left %d grants", name, left)
		}

		id = a.Customer().User.ID
		if gone, refused := inOrder(t, a, id, erase, grant); gone != nil || apperr.CodeOf(refused) != apperr.NotFound {
			t.Errorf("a grant after %s: %v, then %v", name, gone, refused)
		}
		if left := apitest.Value[int](a, `SELECT (SELECT count(*) FROM users WHERE id = $1) + (SELECT count(*) FROM role_grants WHERE user_id = $1)`, id); left != 0 {
			t.Errorf("a grant after %s left %d rows", name, left)
		}
	}
}

// TestAZ_the_last_administrator_cannot_delete_their_account, nor have it erased, nor lose it to a statement that forgot them.
func TestAZ_the_last_administrator_cannot_delete_their_account(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	admin := a.Admin()
	v, err := a.Identity.Authenticate(t.Context(), admin.Token)
	if err != nil {
		t.Fatal(err)
	}
	for name, erase := range map[string]func() (privacy.EraseResult, error){
		"deleteAccount": func() (privacy.EraseResult, error) {
			return a.Privacy.Erase(t.Context(), v, privacy.EraseInput{UserID: v.UserID})
		},
		"eraseUser": func() (privacy.EraseResult, error) {
			return a.Privacy.EraseUser(t.Context(), v, privacy.EraseInput{UserID: v.UserID, Reason: "asked by letter"})
		},
	} {
		if result, err := erase(); err != nil || result != (privacy.InOffice{}) {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
	if _, err := a.DB().SQL().ExecContext(t.Context(), `DELETE FROM users`); err == nil {
		t.Error("the database let go of the last administrator")
	}
	if left := apitest.Value[int](a, `SELECT count(*) FROM role_grants WHERE role = 'ADMIN'`); left != 1 {
		t.Errorf("%d administrators", left)
	}
}

var errInOffice = errors.New("the account is in office")

// inOrder has two acts wait for an account, the first one first, and returns what came of each.
func inOrder(t *testing.T, a *apitest.App, id uuid.UUID, first, second func(uuid.UUID) error) (one, other error) {
	t.Helper()
	held, err := a.DB().SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.ExecContext(t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, id); err != nil {
		t.Fatal(err)
	}
	ended := [2]chan error{make(chan error, 1), make(chan error, 1)}
	for i, act := range []func(uuid.UUID) error{first, second} {
		go func() { ended[i] <- act(id) }()
		waiting(t, a, i+1)
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	return <-ended[0], <-ended[1]
}

// waiting returns when so many transactions wait for a lock.
func waiting(t *testing.T, a *apitest.App, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
	defer cancel()
	for n := -1; n != want; {
		if err := a.DB().SQL().QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity, pg_sleep(0.002)
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n); err != nil {
			t.Fatalf("%d transactions wait: %v", n, err)
		}
	}
}
