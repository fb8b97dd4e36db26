package words_test

import (
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/words"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"Weekend evening": true, "Über 65, zu zweit": true, "علی\u200cرضا": true, "年末年始": true, "👩\u200d👧": true,
		"1234 5678 9012 3456": true, "call +49 30 901820": true, "RRN 012345678901": true,
		"": false, "two\nlines": false, "a\u0000b": false, "a\u202eb\u202c": false, "a\u2066b": false, "a\ufeffb": false,
		"No\u200dra": false, "\xff": false, "more than thirty characters are": false,
		"4111111111111111": false, "card 4111-1111-1111-1111": false, "５５５５ 5555 5555 4444": false,
	} {
		var bad apperr.Fields
		if words.Check(&bad, "input.label", text, 30, "Give 1 to %d characters."); (bad.Err() == nil) != ok {
			t.Errorf("%q: %v", text, bad.Err())
		}
	}
}

func TestIsCardNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"4111 1111 1111 1111":                  true,
		"2026-11 4111-1111-1111-1111":          true,
		"4111 1111 1111 1112":                  false, // its last digit does not check the others
		"41111111-1111-1111-aaaa-000000000000": false, // made up by a program
		"":                                     false,
	} {
		if got := words.IsCardNumber(text); got != want {
			t.Errorf("IsCardNumber(%q) = %t", text, got)
		}
	}
}
