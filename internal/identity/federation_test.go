package identity_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/dbtest"
	"marquee/internal/identity"
	"marquee/internal/identity/openid"
	"marquee/internal/identity/openid/openidtest"
	"marquee/internal/typeid"
	"marquee/internal/vault"
)

// federation is a service whose people may sign in by two providers.
type federation struct {
	bundle

	acme, other *openidtest.Issuer
}

func federate(t *testing.T) federation {
	t.Helper()
	f := federation{bundle: setup(t)}
	f.acme, f.other = openidtest.New(t, f.clock), openidtest.New(t, f.clock)
	return f.sealingWith(t, dbtest.Vault())
}

// sealingWith returns another node, with a keyset of its own.
func (f federation) sealingWith(t *testing.T, v *vault.Vault) federation {
	t.Helper()
	provider := func(name string, far *openidtest.Issuer, redirectURI string) *openid.Provider {
		return openid.New(openid.Config{
			Name: name, Label: name, Issuer: far.URL, ClientID: openidtest.ClientID, ClientSecret: openidtest.ClientSecret, RedirectURIs: []string{redirectURI},
		}, f.clock, slog.New(slog.DiscardHandler))
	}
	var err error
	f.Service, err = identity.NewService(f.db, ent.Over(f.db.SQL()), f.clock, f.secret, v,
		provider("acme", f.acme, openidtest.RedirectURI), provider("other", f.other, openidtest.RedirectURI+"/other"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var ada = openidtest.Person{"sub": "ada", "email": "Ada@Example.com", "email_verified": true, "name": "Ada\u202e Lovelace"}

var toAcme = identity.BeginFlowInput{Provider: "acme", RedirectURI: openidtest.RedirectURI}

// away goes to acme and comes back.
func (f federation) away(t *testing.T, person openidtest.Person) identity.CompleteFlowInput {
	t.Helper()
	begun, err := f.BeginProviderSignIn(t.Context(), toAcme)
	if err != nil {
		t.Fatal(err)
	}
	return f.back(t, begun, person)
}

func (f federation) back(t *testing.T, begun identity.BegunFlow, person openidtest.Person) identity.CompleteFlowInput {
	t.Helper()
	back := f.acme.SignIn(t, begun.AuthorizationURL, person)
	return identity.CompleteFlowInput{
		FlowToken: begun.Token, State: back.State, Code: back.Code, Issuer: back.Issuer, RedirectURI: openidtest.RedirectURI,
	}
}

func (f federation) signInBy(t *testing.T, person openidtest.Person) identity.Tokens {
	t.Helper()
	tokens, err := f.SignInByProvider(t.Context(), f.away(t, person), phone)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestService_SignInByProvider(t *testing.T) {
	t.Parallel()
	t.Run("makes_an_account_once", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		first := f.signInBy(t, ada)
		if first.User.Email != "ada@example.com" || first.User.Name != "Ada Lovelace" || !first.User.EmailVerified {
			t.Errorf("%+v", first.User)
		}
		// Whatever the provider says of her later, she stays who she is.
		second := f.signInBy(t, openidtest.Person{"sub": "ada", "email": "lovelace@example.com", "email_verified": false})
		if second.User != first.User {
			t.Errorf("%+v, then %+v", first.User, second.User)
		}
		if n := f.value(t, `SELECT count(*) FROM audit_entries WHERE action = 'provider.linked'`); n != "1" {
			t.Errorf("%s links are recorded", n)
		}
	})
	t.Run("twenty_at_once_make_one_account", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		var wait sync.WaitGroup
		for range 20 {
			back := f.away(t, ada)
			wait.Go(func() {
				if _, err := f.SignInByProvider(t.Context(), back, phone); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if n := f.value(t, `SELECT count(*) FROM users`); n != "1" {
			t.Errorf("%s accounts", n)
		}
	})
	t.Run("A10_no_linking_by_an_address", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		f.signUp(t, "ada@example.com", passphrase)
		for _, verified := range []any{true, false, nil} {
			person := openidtest.Person{"sub": "ada", "email": "ADA@example.com", "email_verified": verified}
			_, err := f.SignInByProvider(t.Context(), f.away(t, person), phone)
			want := identity.ErrNoVerifiedEmail
			if verified == true {
				want = identity.ErrAccountExists
			}
			if !errors.Is(err, want) {
				t.Errorf("verified %v: %v, want %v", verified, err, want)
			}
		}
		if n := f.value(t, `SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM federated_identities)`); n != "1" {
			t.Errorf("%s accounts and links", n)
		}
	})
	t.Run("subjects_of_two_issuers_are_two_people", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		first := f.signInBy(t, ada)
		begun, err := f.BeginProviderSignIn(t.Context(), identity.BeginFlowInput{Provider: "other", RedirectURI: openidtest.RedirectURI + "/other"})
		if err != nil {
			t.Fatal(err)
		}
		back := f.other.SignIn(t, begun.AuthorizationURL, openidtest.Person{"sub": "ada", "email": "other@example.com", "email_verified": true})
		second, err := f.SignInByProvider(t.Context(), identity.CompleteFlowInput{
			FlowToken: begun.Token, State: back.State, Code: back.Code, Issuer: back.Issuer, RedirectURI: openidtest.RedirectURI + "/other",
		}, phone)
		if err != nil || second.User.ID == first.User.ID {
			t.Errorf("%+v, %v", second.User, err)
		}
	})
	t.Run("an_account_without_a_password_has_none_to_guess", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		v := f.viewer(t, f.signInBy(t, ada))
		for _, password := range []string{"", passphrase} {
			if _, err := f.SignIn(t.Context(), "ada@example.com", password, phone); !errors.Is(err, identity.ErrInvalidCredentials) {
				t.Errorf("%q: %v", password, err)
			}
		}
		if n := f.value(t, `SELECT max(failures) FROM guesses`); n != "2" {
			t.Errorf("%s guesses are counted", n)
		}
		if err := f.ChangePassword(t.Context(), v, identity.ChangePasswordInput{New: passphrase + " two"}, phone); !errors.Is(err, identity.ErrNoPassword) {
			t.Errorf("%v", err)
		}
	})
}

// TestAU15_Service_SignInByProvider: a flow is of one browser, of one page and of one time.
func TestAU15_Service_SignInByProvider(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f federation, in, foreign *identity.CompleteFlowInput){
		"state_missing":         func(_ federation, in, _ *identity.CompleteFlowInput) { in.State = "" },
		"state_of_another_flow": func(_ federation, in, foreign *identity.CompleteFlowInput) { in.State = foreign.State },
		"lured_with_a_foreign_code": func(_ federation, in, foreign *identity.CompleteFlowInput) {
			in.Code, in.State = foreign.Code, foreign.State
		},
		"code_of_another_flow":  func(_ federation, in, foreign *identity.CompleteFlowInput) { in.Code = foreign.Code },
		"token_of_another_flow": func(_ federation, in, foreign *identity.CompleteFlowInput) { in.FlowToken = foreign.FlowToken },
		"token_missing":         func(_ federation, in, _ *identity.CompleteFlowInput) { in.FlowToken = "" },
		"token_with_a_foreign_seal": func(_ federation, in, foreign *identity.CompleteFlowInput) {
			in.FlowToken = in.FlowToken[:25] + foreign.FlowToken[25:]
		},
		"code_missing":                     func(_ federation, in, _ *identity.CompleteFlowInput) { in.Code = "" },
		"code_of_ten_megabytes":            func(_ federation, in, _ *identity.CompleteFlowInput) { in.Code = strings.Repeat("c", 10<<20) },
		"issuer_mixed_up":                  func(f federation, in, _ *identity.CompleteFlowInput) { in.Issuer = f.other.URL },
		"issuer_missing":                   func(_ federation, in, _ *identity.CompleteFlowInput) { in.Issuer = "" },
		"came_back_to_the_page_of_another": func(_ federation, in, _ *identity.CompleteFlowInput) { in.RedirectURI += "/other" },
		"too_late":                         func(f federation, _, _ *identity.CompleteFlowInput) { f.clock.Advance(10 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := federate(t)
			in, foreign := f.away(t, ada), f.away(t, openidtest.Person{"sub": "eve", "email": "eve@example.com", "email_verified": true})
			change(f, &in, &foreign)
			if tokens, err := f.SignInByProvider(t.Context(), in, phone); !errors.Is(err, identity.ErrProviderRefused) {
				t.Errorf("%+v, %v", tokens.User, err)
			}
			if n := f.value(t, `SELECT count(*) FROM users`); n != "0" {
				t.Errorf("%s accounts", n)
			}
		})
	}
	t.Run("once_also_side_by_side", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		in := f.away(t, ada)
		errs := make([]error, 20)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() { _, errs[i] = f.SignInByProvider(t.Context(), in, phone) })
		}
		wait.Wait()
		right := 0
		for _, err := range errs {
			if err == nil {
				right++
			} else if !errors.Is(err, identity.ErrProviderRefused) {
				t.Error(err)
			}
		}
		if right != 1 || f.acme.Asked("/token") != 1 {
			t.Errorf("%d were let in, and the code was sent %d times", right, f.acme.Asked("/token"))
		}
	})
	t.Run("only_to_where_the_operator_said", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		for field, in := range map[string]identity.BeginFlowInput{
			"input.provider":    {Provider: "evil", RedirectURI: openidtest.RedirectURI},
			"input.redirectUri": {Provider: "acme", RedirectURI: openidtest.RedirectURI + "/"},
		} {
			_, err := f.BeginProviderSignIn(t.Context(), in)
			known, ok := errors.AsType[*apperr.Error](err)
			if !ok || len(known.Fields) != 1 || known.Fields[0].Path != field {
				t.Errorf("%+v: %v", in, err)
			}
		}
	})
	t.Run("what_nobody_came_back_for_is_forgotten", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		f.away(t, ada)
		f.clock.Advance(10 * time.Minute)
		if n, err := f.ForgetFlows(t.Context()); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestService_LinkProvider(t *testing.T) {
	t.Parallel()
	t.Run("then_signs_in_by_it", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		mine := f.signUp(t, "me@example.com", passphrase)
		v := f.viewer(t, mine)
		for range 2 { // again is fine
			begun, err := f.BeginProviderLink(t.Context(), v, toAcme)
			if err != nil {
				t.Fatal(err)
			}
			if link, err := f.LinkProvider(t.Context(), v, f.back(t, begun, ada)); err != nil || link.Provider == nil || link.Provider.Name != "acme" {
				t.Fatalf("%+v, %v", link, err)
			}
		}
		if in := f.signInBy(t, ada); in.User.ID != mine.User.ID {
			t.Errorf("signed in as %+v", in.User)
		}
		links, err := f.Links(t.Context(), v)
		if err != nil || len(links) != 1 {
			t.Fatalf("%+v, %v", links, err)
		}
		stranger := f.viewer(t, f.signUp(t, "you@example.com", passphrase))
		if err := f.UnlinkProvider(t.Context(), stranger, links[0].ID); apperr.CodeOf(err) != apperr.NotFound {
			t.Errorf("a stranger unlinks: %v", err)
		}
		if err := f.UnlinkProvider(t.Context(), v, links[0].ID); err != nil {
			t.Fatal(err)
		}
		if in := f.signInBy(t, ada); in.User.ID == mine.User.ID {
			t.Error("still signed in to the account")
		}
		if n := f.value(t, `SELECT string_agg(action, ' ' ORDER BY position) FROM audit_entries WHERE action LIKE 'provider.%'`); n != "provider.linked provider.unlinked provider.linked" {
			t.Errorf("recorded: %s", n)
		}
	})
	t.Run("A10_only_in_the_session_that_began", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		me, you := f.viewer(t, f.signUp(t, "me@example.com", passphrase)), f.viewer(t, f.signUp(t, "you@example.com", passphrase))
		tablet := f.viewer(t, f.signIn(t, "me@example.com", phone))
		begin := func() identity.CompleteFlowInput {
			begun, err := f.BeginProviderLink(t.Context(), me, toAcme)
			if err != nil {
				t.Fatal(err)
			}
			return f.back(t, begun, ada)
		}
		for name, try := range map[string]func() error{
			"another_account": func() error { _, err := f.LinkProvider(t.Context(), you, begin()); return err },
			"another_session": func() error { _, err := f.LinkProvider(t.Context(), tablet, begin()); return err },
			"a_sign_in":       func() error { _, err := f.SignInByProvider(t.Context(), begin(), phone); return err },
			"of_a_sign_in":    func() error { _, err := f.LinkProvider(t.Context(), me, f.away(t, ada)); return err },
		} {
			if err := try(); !errors.Is(err, identity.ErrProviderRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("not_whom_another_account_has", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		f.signInBy(t, ada)
		v := f.viewer(t, f.signUp(t, "me@example.com", passphrase))
		begun, err := f.BeginProviderLink(t.Context(), v, toAcme)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.LinkProvider(t.Context(), v, f.back(t, begun, ada)); !errors.Is(err, identity.ErrLinkTaken) {
			t.Errorf("%v", err)
		}
	})
	t.Run("the_last_way_in_stays", func(t *testing.T) {
		t.Parallel()
		f := federate(t)
		v := f.viewer(t, f.signInBy(t, ada))
		links, err := f.Links(t.Context(), v)
		if err != nil || len(links) != 1 || !strings.HasPrefix(links[0].NodeID(), string(typeid.Link)+"_") {
			t.Fatalf("%+v, %v", links, err)
		}
		if err := f.UnlinkProvider(t.Context(), v, links[0].ID); !errors.Is(err, identity.ErrLastWayIn) {
			t.Errorf("%v", err)
		}
		begun, err := f.BeginProviderLink(t.Context(), v, toAcme)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.LinkProvider(t.Context(), v, f.back(t, begun, openidtest.Person{"sub": "second"})); err != nil {
			t.Fatal(err)
		}
		if err := f.UnlinkProvider(t.Context(), v, links[0].ID); err != nil {
			t.Errorf("beside another link: %v", err)
		}
	})
}
