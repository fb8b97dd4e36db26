package identity

import (
	"strings"
	"testing"
)

// TestNormaliseEmail_spellings are of one mailbox each.
func TestNormaliseEmail_spellings(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		"someone@example.com":                 {"someone@example.com", "SomeOne@Example.COM", "  someone@example.com\t", "someone@ｅｘａｍｐｌｅ．com", "someone@example。com", "someone@examp\u217ce.com"},
		"günther@xn--bcher-kva.example":       {"günther@bücher.example", "gu\u0308nther@bu\u0308cher.example", "GÜNTHER@BÜCHER.example", "günther@XN--BCHER-KVA.example"},
		"a+tag@example.com":                   {"A+Tag@example.com"},
		"o'neil.x_y-z%~{}!#$&*/=?^`|@a.co.uk": {"O'Neil.X_Y-Z%~{}!#$&*/=?^`|@a.co.uk"},
		"用户@xn--fsqu00a.xn--0zwm56d":          {"用户@例子.测试"},
	} {
		for _, spelling := range spellings {
			if got := normaliseEmail(spelling); got != want {
				t.Errorf("%q is kept as %q, want %q", spelling, got, want)
			}
		}
		if !validEmail(want) || normaliseEmail(want) != want {
			t.Errorf("%q is not its own normal form, %q", want, normaliseEmail(want))
		}
	}
}

// TestNormaliseEmail_twins look alike and are different mailboxes, or none at all; no two of them meet in one account.
func TestNormaliseEmail_twins(t *testing.T) {
	t.Parallel()
	const none = ""
	for victim, twins := range map[string][]struct{ twin, want string }{
		"mike@example.com": {
			{"mike+promo@example.com", "mike+promo@example.com"},
			{"mi.ke@example.com", "mi.ke@example.com"},
			{"mıke@example.com", "mıke@example.com"},             // dotless i
			{"mİke@example.com", "mi\u0307ke@example.com"},       // capital I with a dot
			{"m\u0456ke@example.com", "m\u0456ke@example.com"},   // Cyrillic
			{"mike@ex\u0430mple.com", "mike@xn--exmple-4nf.com"}, // Cyrillic
			{"mi\u212Ae@example.com", none},                      // Kelvin
			{"ｍｉｋｅ@example.com", none},                           // wide
			{"mi\u200bke@example.com", none},
			{"mi\u00adke@example.com", none}, // nothing to see
			{"\u202emike@example.com", none},
			{"ع\u200dل@example.com", none},
		},
		"strasse@example.com":  {{"straße@example.com", "straße@example.com"}},
		"mike@strasse.example": {{"mike@straße.example", "mike@xn--strae-oqa.example"}},
		"office@example.com":   {{"oﬃce@example.com", none}},
		"sam@example.com":      {{"ſam@example.com", none}},
	} {
		for _, test := range twins {
			if got := normaliseEmail(test.twin); got != test.want {
				t.Errorf("%q is kept as %q (%+q), want %q", test.twin, got, got, test.want)
			} else if got == victim {
				t.Errorf("%q is taken for %q", test.twin, victim)
			}
		}
	}
	for _, no := range []string{
		"", "@", "a@", "@example.com", "a", "a@exa mple.com", "a@-example.com", "a@example..com", "a@example.com.", "a@[127.0.0.1]",
		"a\x00@example.com", "a@example.com\r\nBcc: b@example.com", "a\xff@example.com", strings.Repeat("a", 1<<20) + "@example.com",
		"a@xn--a.example", strings.Repeat("ﷺ", 80) + "@example.com",
	} {
		if got := normaliseEmail(no); got != "" && validEmail(got) {
			t.Errorf("%.40q is the address %q", no, got)
		}
	}
}
