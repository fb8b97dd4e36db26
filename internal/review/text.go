package review

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
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
	case holdsCardNumber(text):
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

// holdsCardNumber reports whether a text has 13 to 19 digits in a row, blanks, dashes and dots between them aside, that begin
// as the numbers of payment cards do and whose last one checks the others. Whole groups of digits before and after it, such
// as a year or a security code, do not hide it.
func holdsCardNumber(text string) bool {
	var (
		digits []byte
		starts []int // of the groups among the digits
		within bool  // a group
	)
	for _, r := range norm.NFKC.String(text) + "\n" {
		isDigit := r >= '0' && r <= '9'
		switch {
		case isDigit:
			if !within {
				starts = append(starts, len(digits))
			}
			digits = append(digits, byte(r))
		case within && endsInCardNumber(digits, starts):
			return true
		case r != '.' && !unicode.In(r, unicode.Zs, unicode.Pd):
			digits, starts = digits[:0], starts[:0]
		}
		within = isDigit
	}
	return false
}

const shortestCard, longestCard = 13, 19

// endsInCardNumber reports whether the digits from the start of a group to the last of all are the number of a card.
func endsInCardNumber(digits []byte, starts []int) bool {
	for _, start := range slices.Backward(starts) {
		if len(digits)-start > longestCard {
			return false
		}
		if isCardNumber(digits[start:]) {
			return true
		}
	}
	return false
}

func isCardNumber(number []byte) bool {
	if len(number) < shortestCard || len(number) > longestCard || !luhn(number) {
		return false
	}
	const firstOfSeries2, lastOfSeries2 = "2221", "2720"
	series := string(number[:4])
	return number[0] >= '3' && number[0] <= '6' || series >= firstOfSeries2 && series <= lastOfSeries2
}

// luhn reports whether the last digit checks the others.
func luhn(number []byte) bool {
	sum := 0
	for i := range number {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
