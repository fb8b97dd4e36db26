package identity

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
	"marquee/internal/words"
)

// Lengths of a username in code points.
const (
	minUsername = 3
	maxUsername = 30
)

// normaliseUsername returns the one form in which a username is kept and looked for, or "" for what is none: the profile
// UsernameCaseMapped of RFC 8265, in lower case.
func normaliseUsername(text string) string {
	if len(text) > 4*maxUsername {
		return ""
	}
	name, err := precis.UsernameCaseMapped.String(strings.TrimSpace(text))
	if err != nil || norm.NFKC.String(name) != name {
		return ""
	}
	return name
}

// checkUsername records what keeps a username from being used.
func checkUsername(bad *apperr.Fields, path, name string) {
	switch n := utf8.RuneCountInString(name); {
	case n < minUsername || n > maxUsername || !wellFormedUsername(name):
		bad.Add(path, "The username must have %d to %d letters, digits, dots, hyphens and underscores, begin and end with a letter or digit, and hold a letter.",
			minUsername, maxUsername)
	case !oneScript(name):
		bad.Add(path, "The username mixes letters of different scripts.")
	case isReserved(name):
		bad.Add(path, "This username is kept for those who run the house.")
	default:
		words.CheckCardNumber(bad, path, name)
	}
}

// wellFormedUsername accepts words of letters and digits with single dots, hyphens and underscores between them.
func wellFormedUsername(name string) bool {
	lettered, joint := false, true
	for _, r := range name {
		switch {
		case unicode.IsLetter(r):
			lettered, joint = true, false
		case unicode.IsDigit(r):
			joint = false
		case unicode.Is(unicode.M, r):
			if joint {
				return false
			}
		case r == '.' || r == '-' || r == '_':
			if joint {
				return false
			}
			joint = true
		default:
			return false
		}
	}
	return lettered && !joint
}

// scriptsTogether are the scripts that are written together, by the highly restrictive level of UTS 39 without its mixes
// with Latin.
var scriptsTogether = [][]string{
	{"Han", "Hiragana", "Katakana"},
	{"Han", "Bopomofo"},
	{"Han", "Hangul"},
}

// oneScript reports whether the letters of a username are of one script, or of such as are written together.
func oneScript(name string) bool {
	used := map[string]bool{}
	for _, r := range name {
		if unicode.In(r, unicode.Common, unicode.Inherited) {
			continue
		}
		for script, table := range unicode.Scripts {
			if unicode.Is(table, r) {
				used[script] = true
				break
			}
		}
	}
	if len(used) <= 1 {
		return true
	}
	for _, together := range scriptsTogether {
		covered := 0
		for _, script := range together {
			if used[script] {
				covered++
			}
		}
		if covered == len(used) {
			return true
		}
	}
	return false
}

// reservedUsernames are names that would be taken for the house's own.
var reservedUsernames = []string{
	"abuse", "account", "accounts", "admin", "administrator", "anonymous", "billing", "boxoffice", "contact", "customer", "customerservice",
	"everyone", "finance", "help", "helpdesk", "hostmaster", "info", "mail", "manager", "marquee", "me", "moderator", "nobody",
	"noreply", "null", "official", "operator", "owner", "payment", "payments", "postmaster", "privacy", "refund", "refunds", "root",
	"sales", "security", "service", "staff", "superuser", "support", "sysadmin", "system", "team", "theater", "theatre",
	"undefined", "user", "username", "webmaster",
}

// isReserved reports whether a username looks like one of the house's own: like one that is reserved, with whatever
// digits and joints around, or like one that begins or ends with the house's name.
func isReserved(name string) bool {
	house := skeleton("marquee")
	for _, look := range []string{letters(skeleton(name)), skeleton(letters(name))} {
		if strings.HasPrefix(look, house) || strings.HasSuffix(look, house) {
			return true
		}
		for _, reserved := range reservedUsernames {
			if look == skeleton(reserved) {
				return true
			}
		}
	}
	return false
}

// letters drops digits, joints and accents.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, norm.NFD.String(text))
}

//go:embed confusables.txt
var confusables string

// looks says what characters look like.
var looks = sync.OnceValue(func() map[rune]string {
	table := map[rune]string{}
	for line := range strings.Lines(confusables) {
		look, characters, found := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !found {
			continue
		}
		for _, r := range characters {
			table[r] = look
		}
	}
	return table
})

// skeleton returns what a normalised username looks like, by UTS 39: two names with one skeleton cannot be told apart at a
// glance. It is compared and never shown. Case is folded on top, since the tables draw nought as a capital O.
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(name) {
		if look, found := looks()[r]; found {
			b.WriteString(look)
		} else {
			b.WriteRune(r)
		}
	}
	return strings.ToLower(norm.NFD.String(b.String()))
}
