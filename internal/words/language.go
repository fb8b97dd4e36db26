package words

import (
	"strings"

	"golang.org/x/text/language"
)

// Language returns a BCP 47 tag as it is kept: language, script and region of it, and nothing in which a text could be hidden;
// false for what names no language.
func Language(text string) (string, bool) {
	const longest = 35 // of RFC 5646
	if len(text) > longest {
		return "", false
	}
	tag, err := language.Parse(strings.TrimSpace(text))
	if err != nil {
		return "", false
	}
	base, script, region := tag.Raw()
	if tag, err = language.Compose(base, script, region); err != nil || tag == language.Und || base.String() == "und" {
		return "", false
	}
	return tag.String(), true
}
