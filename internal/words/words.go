// Package words holds what the words that people write must be before they are kept, since others read them: one form,
// nothing that hides or turns what is read, and no number of a payment card.
package words

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
)

// Clean returns a text as it is kept: in composed form, without blanks around it.
func Clean(text string) string { return strings.TrimSpace(norm.NFC.String(text)) }

// Check records what keeps a text that was cleaned from being kept as one line of 1 to most characters. The sentence says what
// is wanted, with a verb for most.
func Check(bad *apperr.Fields, path, text string, most int, sentence string) {
	if n := utf8.RuneCountInString(text); n < 1 || n > most || !Printable(text) {
		bad.Add(path, sentence, most)
		return
	}
	CheckCardNumber(bad, path, text)
}

// CheckCardNumber records that a text holds what looks like the number of a payment card.
func CheckCardNumber(bad *apperr.Fields, path, text string) {
	if HoldsCardNumber(text) {
		bad.Add(path, "This holds what looks like the number of a payment card. Leave it out: it must not be kept.")
	}
}

// Printable refuses control characters and the marks that turn the direction of writing, which make one name look like
// another.
func Printable(text string) bool {
	runes := []rune(text)
	for i, r := range runes {
		// Persian, Indian scripts and families of emoji need them; where they show nothing they have no business.
		if IsJoiner(r) && i > 0 && i+1 < len(runes) && joins(runes[i-1]) && joins(runes[i+1]) {
			continue
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// IsJoiner reports whether a character shows nothing but makes its neighbours one, or keeps them two.
func IsJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// joins reports whether a character may have a joiner beside it.
func joins(r rune) bool {
	return r > unicode.MaxASCII && !IsJoiner(r) && !unicode.Is(unicode.Latin, r) && !unicode.Is(unicode.Cyrillic, r) && !unicode.Is(unicode.Greek, r)
}
