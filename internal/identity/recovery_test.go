package identity_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/dbtest"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

const nextPassphrase = "another horse, another battery"

// letters sends what is due and returns what an address got so far, the last first.
func (b bundle) letters(t *testing.T, box *notify.Mailbox, to string) []notify.Kept {
	t.Helper()
	words, err := notify.NewWords("https://tickets.example")
	if err != nil {
		t.Fatal(err)
	}
	w := notify.Worker{
		Outbox: notify.NewOutbox(b.db, dbtest.Vault(), b.clock), Courier: box, Words: words, Resolve: b.ResolveMail, Log: slog.New(slog.DiscardHandler),
	}
	for more := true; more; {
		if more, err = w.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return box.Letters(to)
}

// token returns that of the last letter to an address, which must be of a kind.
func (b bundle) token(t *testing.T, box *notify.Mailbox, to string, kind notify.Kind) string {
	t.Helper()
	letters := b.letters(t, box, to)
	if len(letters) == 0 || letters[0].Kind != kind {
		t.Fatalf("%s got no letter of kind %s: %+v", to, kind, letters)
	}
	_, token, ok := strings.Cut(letters[0].Link, "#token=")
	if !ok || !strings.HasPrefix(letters[0].Link, "https://tickets.example/") {
		t.Fatalf("the link is %s", letters[0].Link)
	}
	return token
}

func (b bundle) request(t *testing.T, email string) {
	t.Helper()
	if err := b.RequestPasswordReset(t.Context(), email, phone); err != nil {
		t.Fatal(err)
	}
}

func TestA6_AU14_Service_ResetPassword(t *testing.T) {
	t.Parallel()
	t.Run("all_sessions_end_the_owner_is_told_and_nobody_is_signed_in", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		tokens := b.signUp(t, "nora@example.com", passphrase)
		b.request(t, " NORA@example.com ")
		first := b.token(t, box, "nora@example.com", notify.ResetPassword)
		b.request(t, "nora@example.com")
		second := b.token(t, box, "nora@example.com", notify.ResetPassword)
		if err := b.ResetPassword(t.Context(), second, nextPassphrase); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Authenticate(t.Context(), tokens.Access); apperr.CodeOf(err) != apperr.Unauthenticated {
			t.Errorf("the session of before: %v", err)
		}
		if got := b.letters(t, box, "nora@example.com"); got[0].Kind != notify.PasswordReset {
			t.Errorf("the owner was told %s", got[0].Kind)
		}
		if n := b.value(t, `SELECT count(*) FROM sessions`); n != "0" {
			t.Errorf("%s sessions", n)
		}
		if err := b.ResetPassword(t.Context(), first, passphrase); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("another link of before: %v", err)
		}
		if _, err := b.SignIn(t.Context(), "nora@example.com", passphrase, phone); !errors.Is(err, identity.ErrInvalidCredentials) {
			t.Errorf("the password of before: %v", err)
		}
		signed, err := b.SignIn(t.Context(), "nora@example.com", nextPassphrase, phone)
		if err != nil || !signed.User.EmailVerified {
			t.Errorf("the password: %+v, %v", signed.User, err)
		}
		if n := b.value(t, `SELECT count(*) FROM audit_entries WHERE action = 'account.recovered'`); n != "1" {
			t.Errorf("%s entries in the log", n)
		}
	})
	t.Run("AU14_what_is_refused", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		b.signUp(t, "nora@example.com", passphrase)
		b.request(t, "nora@example.com")
		token := b.token(t, box, "nora@example.com", notify.ResetPassword)
		refused := func(name, token string) {
			t.Helper()
			if err := b.ResetPassword(t.Context(), token, nextPassphrase); !errors.Is(err, identity.ErrLinkExpired) {
				t.Errorf("%s: %v", name, err)
			}
		}
		refused("nothing", "")
		refused("another", "mqm_"+strings.Repeat("A", 26))
		refused("a NUL", token+"\x00")
		refused("in lower case", strings.ToLower(token))
		if _, err := b.VerifyEmail(t.Context(), token); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("for another purpose: %v", err)
		}
		err := b.ResetPassword(t.Context(), token, "too short")
		if apperr.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("a short password: %v", err)
		}
		b.clock.Advance(time.Hour)
		refused("after an hour", token)
		b.request(t, "nora@example.com")
		token = b.token(t, box, "nora@example.com", notify.ResetPassword)
		if n := b.value(t, `SELECT count(*) FROM mailed_tokens m WHERE m::text LIKE '%' || $1 || '%'`, token); n != "0" {
			t.Error("the token stands in the database")
		}
		if err := b.ResetPassword(t.Context(), token, nextPassphrase); err != nil {
			t.Errorf("the right one: %v", err)
		}
		refused("again", token)
	})
	t.Run("A6_20_at_once_one_succeeds", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		b.signUp(t, "nora@example.com", passphrase)
		b.request(t, "nora@example.com")
		token := b.token(t, box, "nora@example.com", notify.ResetPassword)
		if won := atOnce(t, func() error { return b.ResetPassword(t.Context(), token, nextPassphrase) }); won != 1 {
			t.Errorf("%d succeeded", won)
		}
	})
	t.Run("AU13_a_second_factor_is_asked_for_as_ever", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		tokens := b.signUp(t, "nora@example.com", passphrase)
		b.exec(t, `INSERT INTO factors (id, user_id, kind, name_sealed, credential_hash, credential_sealed, confirmed_at)
			VALUES (gen_random_uuid(), $1, 'PASSKEY', '\x01', sha256('\x01'), '\x01', now())`, tokens.User.ID)
		var pending *identity.SecondFactorRequired
		if _, err := b.SignIn(t.Context(), "nora@example.com", passphrase, phone); !errors.As(err, &pending) {
			t.Fatalf("before: %v", err)
		}
		b.request(t, "nora@example.com")
		if err := b.ResetPassword(t.Context(), b.token(t, box, "nora@example.com", notify.ResetPassword), nextPassphrase); err != nil {
			t.Fatal(err)
		}
		if n := b.value(t, `SELECT count(*) FROM ceremonies`); n != "0" {
			t.Error("a sign-in that was begun with the password of before goes on")
		}
		if _, err := b.SignIn(t.Context(), "nora@example.com", nextPassphrase, phone); !errors.As(err, &pending) {
			t.Errorf("after: %v", err)
		}
	})
	t.Run("a_password_that_is_changed_makes_links_worthless", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		tokens := b.signUp(t, "nora@example.com", passphrase)
		b.request(t, "nora@example.com")
		token := b.token(t, box, "nora@example.com", notify.ResetPassword)
		v, err := b.Authenticate(t.Context(), tokens.Access)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.ChangePassword(t.Context(), v, identity.ChangePasswordInput{Current: passphrase, New: nextPassphrase}, phone); err != nil {
			t.Fatal(err)
		}
		if got := b.letters(t, box, "nora@example.com"); got[0].Kind != notify.PasswordChanged {
			t.Errorf("the owner was told %s", got[0].Kind)
		}
		if err := b.ResetPassword(t.Context(), token, passphrase); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("the link: %v", err)
		}
	})
}

// atOnce runs 20 side by side and returns how many succeeded; the others must find the link used.
func atOnce(t *testing.T, run func() error) int {
	t.Helper()
	const many = 20
	failures := make([]error, many)
	var wait sync.WaitGroup
	for i := range many {
		wait.Go(func() { failures[i] = run() })
	}
	wait.Wait()
	won := 0
	for _, err := range failures {
		if err == nil {
			won++
		} else if !errors.Is(err, identity.ErrLinkExpired) && apperr.CodeOf(err) != apperr.Throttled { // on a busy machine
			t.Errorf("one failed otherwise: %v", err)
		}
	}
	return won
}

func TestAU7_Service_RequestPasswordReset(t *testing.T) {
	t.Parallel()
	t.Run("AU7_nobody_is_told_who_has_an_account", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		b.signUp(t, "nora@example.com", passphrase)
		b.request(t, "nora@example.com")
		b.request(t, "unknown@example.com")
		if got := b.letters(t, box, ""); len(got) != 1 || got[0].To != "nora@example.com" {
			t.Errorf("letters: %+v", got)
		}
	})
	t.Run("an_address_gets_a_few_and_the_rest_looks_alike", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		b.signUp(t, "nora@example.com", passphrase)
		for range 20 {
			b.request(t, "nora@example.com")
		}
		if got := b.letters(t, box, ""); len(got) != 5 {
			t.Errorf("%d letters", len(got))
		}
		b.clock.Advance(30 * time.Minute)
		for range 20 {
			b.request(t, "nora@example.com")
		}
		if got := b.letters(t, box, ""); len(got) != 7 {
			t.Errorf("%d letters half an hour later", len(got))
		}
	})
	t.Run("a_source_that_asks_for_too_many_must_wait", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ask := func(i int, from string) error {
			return b.RequestPasswordReset(t.Context(), fmt.Sprintf("someone%d@example.com", i), identity.Device{Address: from})
		}
		for i := range 60 {
			if err := ask(i, "192.0.2.9"); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		refusal, ok := errors.AsType[*apperr.Error](ask(61, "192.0.2.9"))
		if !ok || refusal.Code != apperr.Throttled || refusal.RetryAfter <= 0 || refusal.RetryAfter > time.Minute {
			t.Errorf("the 61st: %v", refusal)
		}
		if err := ask(61, "192.0.2.10"); err != nil {
			t.Errorf("another source: %v", err)
		}
		b.clock.Advance(time.Minute)
		if err := ask(61, "192.0.2.9"); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		if err := ask(62, "192.0.2.9"); apperr.CodeOf(err) != apperr.Throttled {
			t.Errorf("one more: %v", err)
		}
	})
	t.Run("what_is_no_address_is_named", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, email := range []string{"", "nobody", "a@b.example\r\nBcc: c@d.example", "a@b.example\x00", strings.Repeat("a", 250) + "@b.example"} {
			if err := b.RequestPasswordReset(t.Context(), email, phone); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%q: %v", email, err)
			}
		}
	})
}

func TestService_VerifyEmail(t *testing.T) {
	t.Parallel()
	b, box := setup(t), &notify.Mailbox{}
	tokens := b.signUp(t, "nora@example.com", passphrase)
	v, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if tokens.User.EmailVerified {
		t.Error("verified without a mail")
	}
	ask := func() string {
		t.Helper()
		if email, err := b.RequestVerification(t.Context(), v, phone); err != nil || email != "nora@example.com" {
			t.Fatalf("%s, %v", email, err)
		}
		return b.token(t, box, "nora@example.com", notify.VerifyAddress)
	}
	old := ask()
	b.clock.Advance(24 * time.Hour)
	if _, err := b.VerifyEmail(t.Context(), old); !errors.Is(err, identity.ErrLinkExpired) {
		t.Errorf("after a day: %v", err)
	}
	if _, err := b.ForgetMailedTokens(t.Context()); err != nil {
		t.Error(err)
	}
	token := ask()
	if err := b.ResetPassword(t.Context(), token, nextPassphrase); !errors.Is(err, identity.ErrLinkExpired) {
		t.Errorf("for another purpose: %v", err)
	}
	if won := atOnce(t, func() error { _, err := b.VerifyEmail(t.Context(), token); return err }); won != 1 {
		t.Errorf("A6: %d of 20 succeeded", won)
	}
	if u, err := b.User(t.Context(), v.UserID); err != nil || !u.EmailVerified {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := b.RequestVerification(t.Context(), v, phone); err != nil {
		t.Error(err)
	}
	if got := b.letters(t, box, ""); len(got) != 2 {
		t.Errorf("%d letters, though the address is proved", len(got))
	}
}
