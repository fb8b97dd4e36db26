package demo

import (
	"html"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/charmap"
)

var (
	htmlEntity    = regexp.MustCompile(`&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});`)
	doubledQuotes = regexp.MustCompile(`"{2,}`)
)

// clean repairs a text field. encoding/json made it valid UTF-8; the result has no control characters either, of which
// PostgreSQL would refuse NUL.
func (n *notes) clean(text string) string {
	apply := func(kind string, repair func(string) string) {
		if repaired := repair(text); repaired != text {
			n.repair(kind, text+" became "+repaired)
			text = repaired
		}
	}
	apply(RepairEntity, func(s string) string { return htmlEntity.ReplaceAllStringFunc(s, html.UnescapeString) })
	apply(RepairSpacing, tidySpaces)
	apply(RepairEncoding, undoMacRoman)
	apply(RepairQuotes, func(s string) string { return doubledQuotes.ReplaceAllString(s, `"`) })
	if strings.ContainsRune(text, unicode.ReplacementChar) {
		n.doubt(DoubtUnreadable, text)
	}
	return text
}

// tidySpaces makes every run of white space one blank, trims, and drops characters nobody can see. Joiners stay: the
// scripts of India and Persia are misspelt without them.
func tidySpaces(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), r == '\ufeff', r == '\u200b':
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// undoMacRoman repairs text whose Windows-1252 bytes were once read as Mac Roman: LÈon, Die F‰lscher, 2Ω.
//
// The evidence must be complete: each letter that would change has to become one that belongs where it stands. So
// Léon, Öffentlich, L'Île and Alien³, which are right, stay as they are.
func undoMacRoman(s string) string {
	runes := []rune(s)
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return 0
		}
		return runes[i]
	}
	repaired := make([]rune, len(runes))
	for i, r := range runes {
		repaired[i] = r
		if r < 0x80 {
			continue
		}
		b, ok := charmap.Macintosh.EncodeRune(r)
		if !ok {
			return s
		}
		decoded := charmap.Windows1252.DecodeByte(b)
		if decoded != r && !belongs(decoded, at(i-1), at(i+1)) {
			return s
		}
		repaired[i] = decoded
	}
	return string(repaired)
}

// belongs reports whether r, decoded from something that was not, makes sense between its neighbours.
func belongs(r, before, after rune) bool {
	switch {
	case r == '…':
		return before == ' ' && after == ' '
	case r == '¼', r == '½', r == '¾':
		return unicode.IsDigit(before)
	case unicode.IsLower(r):
		return unicode.IsLetter(before) && (unicode.IsLower(before) || unicode.IsLower(after))
	}
	return false
}
