package words

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// HoldsCardNumber reports whether a text has 13 to 19 digits in a row, blanks, dashes and dots between them aside, that begin
// as the numbers of payment cards do and whose last one checks the others. Whole groups of digits before and after it, such
// as a year or a security code, do not hide it.
func HoldsCardNumber(text string) bool {
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

// IsCardNumber reports whether a text is the number of a payment card and nothing else: what is asked of keys that programs make
// up, in which digits may stand as those of a number by chance.
func IsCardNumber(text string) bool {
	return HoldsCardNumber(text) && !strings.ContainsFunc(text, unicode.IsLetter)
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
