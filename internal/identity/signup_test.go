package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

// link asks for an account and returns the token that comes by mail.
func (b bundle) link(t *testing.T, box *notify.Mailbox, email string) string {
	t.Helper()
	if err := b.RequestSignUp(t.Context(), email, phone); err != nil {
		t.Fatal(err)
	}
	return b.token(t, box, email, notify.ConfirmSignUp)
}

func nora() identity.SignUpInput {
	return identity.SignUpInput{Name: "Nora", Password: passphrase, Username: identity.Set("nora.n"), Phone: identity.Set("+49 30 901820")}
}

func TestService_RequestSignUp(t *testing.T) {
	t.Parallel()
	t.Run("AU7_known_and_unknown_addresses_get_the_same_answer_and_other_letters", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		b.signUp(t, "nora@example.com", passphrase)
		for email, want := range map[string]notify.Kind{
			"nora@example.com": notify.AccountExists, "NORA@Example.com": notify.AccountExists,
			"nora+movies@example.com": notify.ConfirmSignUp, "noга@example.com": notify.ConfirmSignUp, "ben@example.com": notify.ConfirmSignUp,
		} {
			if err := b.RequestSignUp(t.Context(), email, phone); err != nil {
				t.Fatalf("%s: %v", email, err)
			}
			if kinds := b.value(t, `SELECT coalesce(string_agg(DISTINCT kind, ' '), 'nothing') FROM mails WHERE state = 'QUEUED'`); kinds != string(notify.SignUpRequested) {
				t.Errorf("%s: %s waits", email, kinds)
			}
			letters := b.letters(t, box, email)
			if len(letters) == 0 || letters[0].Kind != want || (want == notify.AccountExists) != (letters[0].Link == "https://tickets.example/sign-in") {
				t.Errorf("%s got %+v, want %s", email, letters, want)
			}
		}
		if n := b.value(t, `SELECT count(*) FROM users`); n != "1" {
			t.Errorf("%s accounts before anybody has confirmed", n)
		}
		if n := b.value(t, `SELECT count(*) FROM mailed_tokens`); n != "3" {
			t.Errorf("%s tokens of 3 links", n)
		}
	})
	t.Run("an_address_gets_a_few_and_a_source_must_wait", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		for range 20 {
			if err := b.RequestSignUp(t.Context(), "nora@example.com", phone); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.letters(t, box, ""); len(got) != 5 {
			t.Errorf("%d letters", len(got))
		}
		var err error
		for i := 0; i < 60 && err == nil; i++ {
			err = b.RequestSignUp(t.Context(), fmt.Sprintf("someone%d@example.com", i), phone)
		}
		if refusal, ok := errors.AsType[*apperr.Error](err); !ok || refusal.Code != apperr.Throttled || refusal.RetryAfter <= 0 {
			t.Errorf("a source with many addresses: %v", err)
		}
	})
	t.Run("what_is_no_address_is_named", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, email := range []string{"", "nobody", "a@b.example\r\nBcc: c@d.example", strings.Repeat("a", 250) + "@b.example"} {
			if err := b.RequestSignUp(t.Context(), email, phone); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%q: %v", email, err)
			}
		}
	})
}

func TestService_ConfirmSignUp(t *testing.T) {
	t.Parallel()
	t.Run("makes_the_account_of_the_address_proves_it_and_signs_in", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		in := nora()
		in.Email = "victim@example.com"
		tokens, err := b.ConfirmSignUp(t.Context(), b.link(t, box, "nora@example.com"), in, phone)
		if err != nil {
			t.Fatal(err)
		}
		u, err := b.User(t.Context(), b.viewer(t, tokens).UserID)
		if err != nil || u != tokens.User || u.Email != "nora@example.com" || !u.EmailVerified || u.Name != "Nora" {
			t.Errorf("%+v, %v", u, err)
		}
		if p, err := b.Profile(t.Context(), u.ID); err != nil || p.Username == nil || *p.Username != "nora.n" || p.Phone == nil || *p.Phone != "+4930901820" {
			t.Errorf("%+v, %v", p, err)
		}
		if proofs := b.value(t, `SELECT after::json ->> 'proofs' FROM audit_entries WHERE action = 'session.started'`); proofs != `["MAIL","PASSWORD"]` {
			t.Errorf("the session began with %s", proofs)
		}
		b.signIn(t, "nora@example.com", phone)
	})
	t.Run("a_link_works_once_for_a_day_and_for_nothing_else", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		refused := func(why, token string) {
			t.Helper()
			if _, err := b.ConfirmSignUp(t.Context(), token, nora(), phone); !errors.Is(err, identity.ErrLinkExpired) {
				t.Errorf("%s: %v", why, err)
			}
		}
		late := b.link(t, box, "late@example.com")
		b.clock.Advance(24 * time.Hour)
		refused("after a day", late)
		token := b.link(t, box, "nora@example.com")
		if err := b.ResetPassword(t.Context(), token, nextPassphrase); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("for a password: %v", err)
		}
		if _, err := b.VerifyEmail(t.Context(), token); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("for an address: %v", err)
		}
		if _, err := b.ConfirmSignUp(t.Context(), token, nora(), phone); err != nil {
			t.Fatal(err)
		}
		refused("again", token)
		refused("made up", "mqm_AAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused("empty", "")
		b.request(t, "nora@example.com")
		refused("of a recovery", b.token(t, box, "nora@example.com", notify.ResetPassword))
		if n := b.value(t, `SELECT count(*) FROM users`); n != "1" {
			t.Errorf("%s accounts", n)
		}
	})
	t.Run("A6_20_at_once_one_succeeds", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		token := b.link(t, box, "nora@example.com")
		if won := atOnce(t, func() error { _, err := b.ConfirmSignUp(t.Context(), token, nora(), phone); return err }); won != 1 {
			t.Errorf("%d succeeded", won)
		}
	})
	t.Run("of_two_links_to_one_address_one_makes_the_account", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		links := []string{b.link(t, box, "nora@example.com"), b.link(t, box, "nora@example.com")}
		faults := make([]error, len(links))
		var wait sync.WaitGroup
		for i, token := range links {
			in := nora()
			in.Username = identity.Set(fmt.Sprintf("nora.%d", i))
			wait.Go(func() { _, faults[i] = b.ConfirmSignUp(t.Context(), token, in, phone) })
		}
		wait.Wait()
		if a, b := faults[0], faults[1]; (a == nil) == (b == nil) || a != nil && !errors.Is(a, identity.ErrEmailTaken) || b != nil && !errors.Is(b, identity.ErrEmailTaken) {
			t.Errorf("%v and %v", a, b)
		}
		if n := b.value(t, `SELECT count(*) || ' ' || (SELECT count(*) FROM sessions) FROM users`); n != "1 1" {
			t.Errorf("accounts and sessions: %s", n)
		}
	})
	t.Run("a_refusal_leaves_the_link_as_it_was", func(t *testing.T) {
		t.Parallel()
		b, box := setup(t), &notify.Mailbox{}
		if _, err := b.SignUp(t.Context(), identity.SignUpInput{Email: "first@example.com", Password: passphrase, Name: "First", Username: identity.Set("nora.n")}, phone); err != nil {
			t.Fatal(err)
		}
		token := b.link(t, box, "nora@example.com")
		if _, err := b.ConfirmSignUp(t.Context(), token, nora(), phone); !errors.Is(err, identity.ErrUsernameTaken) {
			t.Errorf("a username that is taken: %v", err)
		}
		weak := nora()
		weak.Password, weak.Name = "nora@example.com", ""
		_, err := b.ConfirmSignUp(t.Context(), token, weak, phone)
		if refusal, ok := errors.AsType[*apperr.Error](err); !ok || refusal.Code != apperr.BadUserInput || len(refusal.Fields) != 2 {
			t.Errorf("the address as the password, and no name: %v", err)
		}
		in := nora()
		in.Username = identity.Set("nora.two")
		if _, err := b.ConfirmSignUp(t.Context(), token, in, phone); err != nil {
			t.Errorf("with another: %v", err)
		}
	})
}
