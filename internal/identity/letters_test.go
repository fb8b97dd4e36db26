package identity_test

import (
	"testing"

	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/notify"
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
