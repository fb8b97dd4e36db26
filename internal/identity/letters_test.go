package identity_test

import (
	"strings"
	"testing"
	"time"

	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/identity/openid/openidtest"
	"marquee/internal/notify"
	"marquee/internal/typeid"
)

// TestLetters_language is that an owner is written to in the language of the profile, else in that of their own request,
// and never in that of somebody else's.
func TestLetters_language(t *testing.T) {
	t.Parallel()
	german, english := "Ihr Passwort wurde geändert", "Your password was changed"
	for name, test := range map[string]struct{ locale, asked, subject string }{
		"profile":                {"de-CH", "en", german},
		"profile_before_request": {"en", "de", english},
		"request":                {"", "de-DE,de;q=0.9,en;q=0.5", german},
		"neither":                {"", "", english},
		"a_language_that_is_not": {"hu", "de", english},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, box := setup(t), &notify.Mailbox{}
			v := b.viewer(t, b.signUp(t, "nora@example.com", passphrase))
			if test.locale != "" {
				if _, err := b.UpdateProfile(t.Context(), v, identity.UpdateProfileInput{Locale: identity.Set(test.locale)}); err != nil {
					t.Fatal(err)
				}
			}
			ctx := notify.WithLanguages(auth.WithViewer(t.Context(), v), test.asked)
			in := identity.ChangePasswordInput{Current: passphrase, New: passphrase + " two"}
			if err := b.ChangePassword(ctx, v, in, phone); err != nil {
				t.Fatal(err)
			}
			if got := b.letters(t, box, "nora@example.com"); len(got) != 1 || got[0].Subject != test.subject {
				t.Errorf("%+v", got)
			}
			if err := b.RequestPasswordReset(ctx, "nora@example.com", phone); err != nil {
				t.Fatal(err)
			}
			if got := b.letters(t, box, "nora@example.com"); (got[0].Subject == "Wählen Sie ein anderes Passwort") != (test.subject == german) {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

// TestLetters_new_device is which sign-ins the owner of an account hears of: those on a device, in a network, from which
// nobody signed in to it within 90 days, unless nobody ever has.
func TestLetters_new_device(t *testing.T) {
	t.Parallel()
	b, box := setup(t), &notify.Mailbox{}
	chrome := identity.Device{Name: "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.1 Safari/537.36", Address: "192.0.2.1"}
	if _, err := b.CreateUser(t.Context(), identity.SignUpInput{Email: "nora@example.com", Password: passphrase, Name: "Nora"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateUser(t.Context(), identity.SignUpInput{Email: "else@example.com", Password: passphrase, Name: "Else"}); err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	for _, test := range []struct {
		what   string
		email  string
		device identity.Device
		later  time.Duration
		told   bool
	}{
		{"the first of all", "nora@example.com", chrome, 0, false},
		{"the same", "nora@example.com", chrome, time.Hour, false},
		{"updated", "nora@example.com", identity.Device{Name: "Mozilla/5.0 (X11; Linux x86_64) Chrome/132.4 Safari/537.36", Address: chrome.Address}, day, false},
		{"another address of the network", "nora@example.com", identity.Device{Name: chrome.Name, Address: "192.0.2.254"}, day, false},
		{"another network", "nora@example.com", identity.Device{Name: chrome.Name, Address: "192.0.3.1"}, day, true},
		{"that network again", "nora@example.com", identity.Device{Name: chrome.Name, Address: "192.0.3.9"}, day, false},
		{"another device", "nora@example.com", phone, day, true},
		{"one without a name", "nora@example.com", identity.Device{Address: chrome.Address}, day, true},
		{"a network of IPv6", "nora@example.com", identity.Device{Name: chrome.Name, Address: "2001:db8:1:2::/64"}, day, true},
		{"a neighbour in it", "nora@example.com", identity.Device{Name: chrome.Name, Address: "2001:db8:1:3::/64"}, day, false},
		{"a device that somebody else has", "else@example.com", chrome, day, false},
		{"that somebody's other one", "else@example.com", phone, 0, true},
		{"just known", "nora@example.com", phone, 90*day - 6*day - time.Second, false},
		{"just forgotten", "nora@example.com", phone, 90 * day, true},
		{"nobody used the account for a year", "nora@example.com", identity.Device{Name: "Tablet", Address: "198.51.100.1"}, 365 * day, true},
	} {
		b.clock.Advance(test.later)
		if _, err := b.ForgetDevices(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.signIn(t, test.email, test.device)
		before := len(box.Letters(""))
		got := b.letters(t, box, test.email)
		if told := len(box.Letters("")) > before; told != test.told {
			t.Errorf("%s: told %v", test.what, told)
		} else if told && (got[0].Kind != notify.NewDevice || test.device.Name != "" && !strings.Contains(got[0].Text, test.device.Name)) {
			t.Errorf("%s: %+v", test.what, got[0])
		}
	}
	if _, err := b.ForgetDevices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.value(t, `SELECT count(*) FROM known_devices`); n != "1" {
		t.Errorf("%s devices are known", n)
	}
}

// TestLetters_of_providers_and_roles is that an owner hears of links and roles, of their end, of an account that is shut or
// opened again; and of nothing that was
// part of making the account.
func TestLetters_of_providers_and_roles(t *testing.T) {
	t.Parallel()
	f, box := federate(t), &notify.Mailbox{}
	v := f.viewer(t, f.signUp(t, "nora@example.com", passphrase))
	f.signInBy(t, openidtest.Person{"sub": "new", "email": "new@example.com", "email_verified": true})
	if got := f.letters(t, box, ""); len(got) != 0 {
		t.Errorf("of new accounts: %+v", got)
	}
	begun, err := f.BeginProviderLink(t.Context(), v, toAcme)
	if err != nil {
		t.Fatal(err)
	}
	link, err := f.LinkProvider(t.Context(), v, f.back(t, begun, ada))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.letters(t, box, "nora@example.com"); len(got) != 1 || got[0].Kind != notify.ProviderLinked || !strings.Contains(got[0].Text, "acme") {
		t.Errorf("linked: %+v", got)
	}
	if err := f.UnlinkProvider(t.Context(), v, link.ID); err != nil {
		t.Fatal(err)
	}
	if got := f.letters(t, box, "nora@example.com"); len(got) != 2 || got[0].Kind != notify.ProviderUnlinked || !strings.Contains(got[0].Text, "acme") {
		t.Errorf("unlinked: %+v", got)
	}
	// The administrator's language is not the owner's.
	ctx := notify.WithLanguages(auth.WithViewer(t.Context(), auth.Viewer{UserID: typeid.New()}), "de")
	for range 2 { // who has it already is told nothing
		if _, err := f.GrantRole(ctx, f.Operator(), identity.ChangeGrantInput{UserID: v.UserID, Grant: auth.Grant{Role: auth.RoleFinance}, Reason: "books"}); err != nil {
			t.Fatal(err)
		}
	}
	got := f.letters(t, box, "nora@example.com")
	if len(got) != 3 || got[0].Kind != notify.RoleGranted || !strings.Contains(got[0].Text, "finance, on the whole platform") {
		t.Errorf("granted: %+v", got)
	}
	if err := f.RevokeRole(ctx, f.Operator(), identity.ChangeGrantInput{UserID: v.UserID, Grant: auth.Grant{Role: auth.RoleFinance}, Reason: "books closed"}); err != nil {
		t.Fatal(err)
	}
	got = f.letters(t, box, "nora@example.com")
	if len(got) != 4 || got[0].Kind != notify.RoleRevoked || !strings.Contains(got[0].Text, "finance, on the whole platform") {
		t.Errorf("revoked: %+v", got)
	}
	for range 2 { // what is so already is told once
		if _, err := f.DisableUser(ctx, f.Operator(), v.UserID, "a secret reason"); err != nil {
			t.Fatal(err)
		}
	}
	got = f.letters(t, box, "nora@example.com")
	if len(got) != 5 || got[0].Kind != notify.AccountDisabled || strings.Contains(got[0].Text, "secret reason") {
		t.Errorf("disabled: %+v", got)
	}
	for range 2 {
		if _, err := f.EnableUser(ctx, f.Operator(), v.UserID, "a secret reason"); err != nil {
			t.Fatal(err)
		}
	}
	got = f.letters(t, box, "nora@example.com")
	if len(got) != 6 || got[0].Kind != notify.AccountEnabled || strings.Contains(got[0].Text, "secret reason") {
		t.Errorf("enabled: %+v", got)
	}
}
