package identity_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
)

func TestService_UpdateProfile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.viewer(t, b.signUp(t, "someone@example.com", passphrase))
	update := func(in identity.UpdateProfileInput) (identity.User, identity.Profile) {
		t.Helper()
		u, err := b.UpdateProfile(t.Context(), v, in)
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.Profile(t.Context(), v.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return u, p
	}
	u, p := update(identity.UpdateProfileInput{
		Name: identity.Set("  Ange\u0301la "), Username: identity.Set("Some.One"), Phone: identity.Set("+49 30 901820"), Locale: identity.Set("DE_at"),
		PreferredCity: identity.Set("Linz"), Needs: []identity.AccessibilityNeed{identity.NeedCaptions, identity.NeedWheelchair, identity.NeedCaptions},
	})
	if u.Name != "Angéla" || *p.Username != "some.one" || *p.Phone != "+4930901820" || *p.Locale != "de-AT" || *p.PreferredCity != "Linz" ||
		!slices.Equal(p.Needs, []identity.AccessibilityNeed{identity.NeedWheelchair, identity.NeedCaptions}) {
		t.Errorf("%+v, %+v", u, p)
	}
	stored := b.value(t, `SELECT string_agg(p::text, ' ') FROM profiles p`)
	for _, open := range []string{"some.one", "4930901820", "Linz", "WHEELCHAIR"} {
		if strings.Contains(stored, open) {
			t.Errorf("%s is stored in the open", open)
		}
	}
	// What is absent stays, what is nil is cleared.
	u, p = update(identity.UpdateProfileInput{Phone: identity.Change{Given: true}, Needs: []identity.AccessibilityNeed{}})
	if u.Name != "Angéla" || p.Phone != nil || len(p.Needs) != 0 || p.Username == nil || p.PreferredCity == nil || p.Locale == nil {
		t.Errorf("%+v, %+v", u, p)
	}
	if entry := b.value(t, `SELECT after::text FROM audit_entries WHERE action = 'account.profile_changed' ORDER BY id DESC LIMIT 1`); entry != `{"changed":["phone","accessibilityNeeds"]}` {
		t.Errorf("recorded: %s", entry)
	}
	for field, in := range map[string]identity.UpdateProfileInput{
		"input.name":          {Name: identity.Change{Given: true}},
		"input.username":      {Username: identity.Set("admin")},
		"input.phone":         {Phone: identity.Set("030 901820")},
		"input.locale":        {Locale: identity.Set("x-secret-text")},
		"input.preferredCity": {PreferredCity: identity.Set("a\x1bb")},
	} {
		_, err := b.UpdateProfile(t.Context(), v, in)
		if refusal, ok := errors.AsType[*apperr.Error](err); !ok || refusal.Code != apperr.BadUserInput || refusal.Fields[0].Path != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestUsername_has_one_owner whoever looks like whom, however many ask at once.
func TestUsername_has_one_owner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := identity.SignUpInput{Email: "first@example.com", Password: passphrase, Name: "First", Username: identity.Set("Scope")}
	first, err := b.SignUp(t.Context(), in, phone)
	if err != nil {
		t.Fatal(err)
	}
	second := b.viewer(t, b.signUp(t, "second@example.com", passphrase+" 2"))
	for _, twin := range []string{"scope", "SCOPE", "ｓｃｏｐｅ", "\u0455\u0441\u043e\u0440\u0435", "sc0pe"} {
		if _, err := b.UpdateProfile(t.Context(), second, identity.UpdateProfileInput{Username: identity.Set(twin)}); !errors.Is(err, identity.ErrUsernameTaken) {
			t.Errorf("%q: %v", twin, err)
		}
		in := in
		in.Email, in.Username = "third@example.com", identity.Set(twin)
		if _, err := b.SignUp(t.Context(), in, phone); !errors.Is(err, identity.ErrUsernameTaken) {
			t.Errorf("signing up as %q: %v", twin, err)
		}
	}
	// Signing in takes the name itself, and what is the same name to Unicode; what looks like it signs in to nothing.
	for login, known := range map[string]bool{
		"scope": true, " SCOPE ": true, "ｓｃｏｐｅ": true, "first@example.com": true,
		"\u0455\u0441\u043e\u0440\u0435": false, "sc0pe": false, "scop": false, "": false, "scope\x00": false, strings.Repeat("s", 1<<20): false,
	} {
		tokens, err := b.SignIn(t.Context(), login, passphrase, identity.Device{Address: login})
		if known && (err != nil || tokens.User.ID != first.User.ID) || !known && !errors.Is(err, identity.ErrInvalidCredentials) {
			t.Errorf("signing in as %.20q: %v", login, err)
		}
	}
	if n := b.value(t, `SELECT count(*) FROM users`); n != "2" {
		t.Errorf("%s accounts, want 2", n)
	}
	const rivals = 8
	errs := make([]error, rivals)
	viewers := make([]auth.Viewer, rivals)
	for i := range rivals {
		viewers[i] = b.viewer(t, b.signUp(t, strings.Repeat("r", i+1)+"@example.com", passphrase))
	}
	var wait sync.WaitGroup
	for i := range rivals {
		wait.Go(func() {
			_, errs[i] = b.UpdateProfile(t.Context(), viewers[i], identity.UpdateProfileInput{Username: identity.Set("the-one")})
		})
	}
	wait.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, identity.ErrUsernameTaken) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d have the name", won)
	}
}

// TestA5_guesses_at_one_account count together, by whatever it is signed in to.
func TestA5_guesses_at_one_account(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := identity.SignUpInput{Email: "victim@example.com", Password: passphrase, Name: "Victim", Username: identity.Set("victim")}
	if _, err := b.SignUp(t.Context(), in, phone); err != nil {
		t.Fatal(err)
	}
	logins := []string{"victim", "victim@example.com"}
	admitted := 0
	for i := range 12 {
		_, err := b.SignIn(t.Context(), logins[i%2], "not the password, surely", phone)
		if errors.Is(err, identity.ErrInvalidCredentials) {
			admitted++
		} else if apperr.CodeOf(err) != apperr.Throttled {
			t.Fatal(err)
		}
	}
	if admitted > 6 {
		t.Errorf("%d guesses were admitted in a row", admitted)
	}
}
