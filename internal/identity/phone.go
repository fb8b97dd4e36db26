package identity

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// normalisePhone returns a telephone number as E.164 has it, "+4930123456"; ok is false for what is no number that a
// country gives out. It must be written with its country's code, since nothing says where its owner is.
func normalisePhone(text string) (number string, ok bool) {
	text = strings.TrimSpace(text)
	const longest = 40 // with blanks, brackets and hyphens
	if len(text) > longest || !strings.HasPrefix(text, "+") || strings.ContainsFunc(text[1:], notOfNumbers) {
		return "", false
	}
	parsed, err := phonenumbers.Parse(text, phonenumbers.UNKNOWN_REGION)
	if err != nil || parsed.GetExtension() != "" || !phonenumbers.IsValidNumber(parsed) {
		return "", false
	}
	return phonenumbers.Format(parsed, phonenumbers.E164), true
}

// notOfNumbers refuses what numbers are not written with, the letters of keypads among them.
func notOfNumbers(r rune) bool { return !strings.ContainsRune("0123456789 ()-./", r) }
