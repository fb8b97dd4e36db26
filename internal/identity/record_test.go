package identity_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

// acts returns the actions recorded so far with their subjects and whether the actor is that of the account.
func (b bundle) acts(t *testing.T, actor uuid.UUID) []string {
	t.Helper()
	return strings.Fields(b.value(t, `SELECT coalesce(string_agg(action || ':' || left(subject, 3) || ':' ||
		CASE actor_id WHEN $1 THEN 'self' ELSE coalesce(actor_id::text, 'nobody') END, ' ' ORDER BY id), '') FROM audit_entries`, actor))
}

// D3: one entry for each critical act on accounts and sessions, in the order of the acts.
func TestD3_acts_on_accounts_are_recorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := audit.WithOrigin(t.Context(), audit.Origin{RequestID: "r1", Address: phone.Address})
	tokens, err := b.SignUp(ctx, identity.SignUpInput{Email: "a@example.com", Name: "Ada", Password: passphrase}, phone)
	if err != nil {
		t.Fatal(err)
	}
	self := tokens.User.ID
	for _, email := range []string{"a@example.com", "nobody@example.com"} {
		if _, err := b.SignIn(ctx, email, "not "+passphrase, phone); !errors.Is(err, identity.ErrInvalidCredentials) {
			t.Fatal(err)
		}
	}
	v := b.viewer(t, tokens)
	as := auth.WithViewer(ctx, v)
	if err := b.ChangePassword(as, v, identity.ChangePasswordInput{Current: "not " + passphrase, New: "another horse battery"}, phone); !errors.Is(err, identity.ErrInvalidCredentials) {
		t.Fatal(err)
	}
	b.signIn(t, "a@example.com", phone)
	if err := b.ChangePassword(as, v, identity.ChangePasswordInput{Current: passphrase, New: "another horse battery"}, phone); err != nil {
		t.Fatal(err)
	}
	if err := b.grant(t, self, auth.Grant{Role: auth.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	stolen := tokens.Refresh
	for range 2 {
		b.clock.Advance(time.Minute)
		if tokens, err = b.Refresh(ctx, tokens.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Refresh(ctx, stolen); !errors.Is(err, identity.ErrSessionEnded) {
		t.Fatal(err)
	}
	third, err := b.SignIn(ctx, "a@example.com", "another horse battery", phone)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SignOut(ctx, b.viewer(t, third)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"account.created:usr:self", "session.started:ses:self",
		"sign_in.failed:usr:nobody", "sign_in.failed::nobody", "proof.failed:usr:self",
		"session.started:ses:self", "session.ended:ses:self", "account.password_changed:usr:self",
		"role.granted:usr:nobody", "session.token_reused:ses:nobody",
		"session.started:ses:self", "session.ended:ses:self",
	}
	if got := b.acts(t, self); !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := b.value(t, `SELECT after || ' ' || reason || ' ' || subject FROM audit_entries WHERE action = 'role.granted'`); got !=
		`{"grants":["ADMIN"]} as agreed `+typeid.Encode(typeid.User, self) {
		t.Errorf("the change of role is %s", got)
	}
	if got := b.value(t, `SELECT request_id || ' ' || address FROM audit_entries WHERE action = 'account.created'`); got != "r1 192.0.2.0/24" {
		t.Errorf("the account was made by %s", got)
	}
}

// Failures cannot fill the disk: one that comes too early is refused before it is looked at, and not recorded.
func TestD3_failures_are_bounded_by_the_limits_of_guesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.signUp(t, "a@example.com", passphrase)
	const tries, free = 40, 5
	for range tries {
		_, _ = b.SignIn(t.Context(), "a@example.com", "wrong", phone)
	}
	_, _ = b.SignIn(t.Context(), "a@example.com", strings.Repeat("x", 1<<20), phone)
	_, _ = b.SignIn(t.Context(), strings.Repeat("x", 1<<20), "wrong", phone)
	if got := b.value(t, `SELECT count(*) FROM audit_entries WHERE action = 'sign_in.failed'`); got != strconv.Itoa(free) {
		t.Errorf("%d tries left %s entries, want %d", tries, got, free)
	}
}
