package review

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
	"marquee/internal/words"
)

const (
	leastRating = 1
	mostRating  = 10
	longestText = 5000 // characters, in composed form
)

// Content is what an author says.
type Content struct {
	Rating  int32
	Text    *string // nil or only blanks: none
	Aspects Aspects
	Spoiler bool
	Named   bool // let the first word of the author's name be shown
}

// checked returns the content as it is kept: BAD_USER_INPUT naming every field that cannot be.
func (c Content) checked() (Content, error) {
	var bad apperr.Fields
	ratings := map[string]*int32{
		"rating": &c.Rating, "aspects.movie": c.Aspects.Movie, "aspects.picture": c.Aspects.Picture,
		"aspects.sound": c.Aspects.Sound, "aspects.seat": c.Aspects.Seat,
	}
	for name, rating := range ratings {
		if rating != nil && (*rating < leastRating || *rating > mostRating) {
			bad.Add("input."+name, "Rate with whole numbers from %d to %d.", leastRating, mostRating)
		}
	}
	if c.Text != nil {
		text, problem := normaliseText(*c.Text)
		if problem != "" {
			bad.Add("input.text", "%s", problem)
		}
		if c.Text = &text; text == "" {
			c.Text = nil
		}
	}
	return c, bad.Err()
}

// normaliseText returns a text as it is kept, or a sentence about what is wrong with it.
func normaliseText(text string) (normalised, problem string) {
	if !utf8.ValidString(text) {
		return "", "The text must be text."
	}
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n\n", "\t", " ").Replace(text)
	text = strings.TrimSpace(norm.NFC.String(text))
	switch {
	case utf8.RuneCountInString(text) > longestText:
		return "", fmt.Sprintf("The text must have at most %d characters.", longestText)
	case strings.ContainsFunc(text, func(r rune) bool { return !readable(r) }):
		return "", "The text holds control characters, or others that show nothing."
	case words.HoldsCardNumber(text):
		return "", "The text holds what looks like the number of a payment card. Leave it out: everybody reads reviews."
	}
	return text, ""
}

// readable accepts what shows something, line breaks, and what joins letters and emoji. The marks that turn the direction
// of writing, by which a text can look like another, are not among them.
func readable(r rune) bool {
	const (
		nonJoiner, joiner = '\u200c', '\u200d'
		firstTag, lastTag = '\U000e0020', '\U000e007f' // of flags
	)
	return unicode.IsGraphic(r) && r != utf8.RuneError || r == '\n' || r == nonJoiner || r == joiner || r >= firstTag && r <= lastTag
}
