package identity

import "testing"

func TestGivenName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, email, want string }{
		{"Lotte Reiniger", "lr@example.com", "Lotte"},
		{" Lotte ", "lotte.reiniger@example.com", "Lotte"},
		{"lotte.reiniger", "lotte.reiniger@example.com", ""},
		{"Lotte.Reiniger the first", "lotte.reiniger@example.com", ""},
		{"lotte@example.com", "lr@example.com", ""},
		{"admin", "lr@example.com", ""},
		{displayName("", "lotte.reiniger@example.com"), "lotte.reiniger@example.com", ""},
		{displayName("Lotte\u00a0Reiniger", "lr@example.com"), "lr@example.com", "Lotte"},
	} {
		if got := givenName(test.name, test.email); got != test.want {
			t.Errorf("of %q, %s, everybody reads %q, want %q", test.name, test.email, got, test.want)
		}
	}
}

func TestDisplayName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Lotte Reiniger":                  "Lotte Reiniger",
		"Lotte\u00a0Reiniger\u2003\u00a0": "Lotte Reiniger",
		"Lotte\nReiniger":                 "Lotte Reiniger",
		"Lo\u200btte\x00":                 "Lotte",
		"\u00a0":                          "lr",
	} {
		if got := displayName(name, "lr@example.com"); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

func TestUser_ShortName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, email, want string }{
		{"Lotte Reiniger", "lr@example.com", "Lotte R."},
		{"Anna Maria van Österreich", "am@example.com", "Anna Ö."},
		{" Lotte ", "lr@example.com", "Lotte"},
		{"lotte.reiniger", "lotte.reiniger@example.com", "l."},
		{"lotte@example.com", "lr@example.com", "l."},
		{"", "lr@example.com", ""},
	} {
		if got := (User{Name: test.name, Email: test.email}).ShortName(); got != test.want {
			t.Errorf("of %q, %s, a clerk reads %q, want %q", test.name, test.email, got, test.want)
		}
	}
}
