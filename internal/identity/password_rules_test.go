package identity_test

import (
	_ "embed"
	"errors"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
	"marquee/internal/identity"
)

// TestAU9_passwords_that_are_unusual work whole where they may be had, and are refused where they may not.
func TestAU9_passwords_that_are_unusual(t *testing.T) {
	t.Parallel()
	b := setup(t)
	emoji := strings.Repeat("🎬🍿🎟️🎞️📽️🎥👏🎭", 8)
	long := strings.Repeat("the quick brown fox jumps over it ", 3)[:72]
	for name, test := range map[string]struct {
		password string
		also     []string // that are the same one
		not      []string // that are not
	}{
		"64_emoji":                {emoji, nil, []string{emoji[:len(emoji)-len("🎭")], emoji + "🎬"}},
		"equal_in_72_bytes":       {long + " and a dog", nil, []string{long + " and a cat", long, long + " and a dog "}},
		"spaces_around_and_among": {"  blanks   count  everywhere ", nil, []string{"blanks   count  everywhere", "  blanks count everywhere "}},
		"composed": {
			"crème brûlée für Zoë",
			[]string{norm.NFD.String("crème brûlée für Zoë"), norm.NFKD.String("crème brûlée für Zoë")},
			[]string{"creme brulee fur Zoe"},
		},
		"decomposed": {norm.NFD.String("çà et là, où ça naît"), []string{"çà et là, où ça naît"}, []string{"ca et la, ou ca nait"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			email := name + "@example.com"
			b.signUp(t, email, test.password)
			source := 0
			try := func(password string) error {
				source++
				_, err := b.SignIn(t.Context(), email, password, identity.Device{Address: name + strings.Repeat("x", source)})
				return err
			}
			for _, same := range append(test.also, test.password) {
				if err := try(same); err != nil {
					t.Errorf("%q: %v", same, err)
				}
			}
			for _, other := range test.not {
				if err := try(other); !errors.Is(err, identity.ErrInvalidCredentials) {
					t.Errorf("%q: %v", other, err)
				}
			}
		})
	}
	for name, password := range map[string]string{
		"nul": "a password\x00 with more behind", "no_text": "a password \xff\xfe of bytes", "a_megabyte": strings.Repeat("long pass phrase", 1<<16),
	} {
		_, err := b.SignUp(t.Context(), identity.SignUpInput{Email: name + "@example.com", Password: password, Name: "N"}, phone)
		if refusal, ok := errors.AsType[*apperr.Error](err); !ok || refusal.Code != apperr.BadUserInput || refusal.Fields[0].Path != "input.password" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

//go:embed commonpasswords.txt
var commonPasswords string

// TestAU10_passwords_that_are_refused, each for a reason that is told, and by no rule about kinds of characters. The list
// of ASVS 6.2.4 is 3,000 passwords of breaches that would be long enough.
func TestAU10_passwords_that_are_refused(t *testing.T) {
	t.Parallel()
	refusal := func(password string) string {
		err := identity.SignUpInput{Email: "bartholomew.smith@cinema.example", Name: "Bartholomew Smith", Password: password}.Validate()
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for password, reason := range map[string]string{
		"fourteen chars":                   "at least 15 characters",
		"qwertyuiopasdfghjkl":              "among the first that are guessed",
		"1qaz2wsx3edc4rfv":                 "among the first that are guessed",
		"Bartholomew Smith":                "among the first that are guessed",
		"bartholomew.smith":                "among the first that are guessed",
		"bartholomew.smith@cinema.example": "among the first that are guessed",
		"marqueemarquee2024":               "among the first that are guessed",
		"passwordpassword":                 "among the first that are guessed",
		"abcabcabcabcabcabc":               "among the first that are guessed",
	} {
		if got := refusal(password); !strings.Contains(got, reason) {
			t.Errorf("%q: %q, want %q", password, got, reason)
		}
	}
	for _, good := range []string{
		"only small letters here", "4071 8823 9915 2206 3", "ALL CAPITALS AND A HORSE", "ñandú über façade 東京", "<script>alert('hi')</script>",
	} {
		if got := refusal(good); got != "" {
			t.Errorf("%q: %s", good, got)
		}
	}
	count := 0
	for password := range strings.Lines(commonPasswords) {
		count++
		password = strings.TrimSuffix(password, "\n")
		for _, written := range []string{password, strings.ToUpper(password)} {
			if refusal(written) == "" {
				t.Errorf("%q is accepted", written)
			}
		}
	}
	if count < 3000 {
		t.Errorf("the list has %d passwords, want 3,000", count)
	}
}
