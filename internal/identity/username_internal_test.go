package identity

import (
	"strings"
	"testing"

	"marquee/internal/apperr"
)

// TestUsername_twins cannot be told apart: whoever comes second is refused.
func TestUsername_twins(t *testing.T) {
	t.Parallel()
	for name, twins := range map[string][]string{
		"paypal":  {"PayPal", "ｐａｙｐａｌ", "paypa1", " paypal "},
		"modern":  {"modem"},
		"bob0":    {"bobo", "bob\u043e"},
		"scope":   {"\u0455\u0441\u043e\u0440\u0435"}, // Cyrillic altogether
		"kate":    {"\u212Aate"},
		"omikron": {"0mikron", "οmikron"},
		"josé":    {"jose\u0301", "JOSÉ"},
		"ann_lee": {"Ann_Lee"},
		"l1l":     {"lll", "1l1"},
	} {
		look := skeleton(normaliseUsername(name))
		for _, twin := range twins {
			kept := normaliseUsername(twin)
			var bad apperr.Fields
			checkUsername(&bad, "input.username", kept)
			if bad.Err() == nil && skeleton(kept) != look {
				t.Errorf("%q beside %q: %q looks like %q, not %q", twin, name, kept, skeleton(kept), look)
			}
		}
	}
	for _, pair := range [][2]string{{"anna", "hanna"}, {"josé", "jose"}, {"bill", "bi11y"}, {"ann_lee", "ann-lee"}} {
		if skeleton(normaliseUsername(pair[0])) == skeleton(normaliseUsername(pair[1])) {
			t.Errorf("%q and %q are taken for one", pair[0], pair[1])
		}
	}
}

func TestCheckUsername(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"abc": true, "björn": true, "ann.lee-1_x": true, "美咲さん": true, "ドラえもん": true, "김철수": true, "анна": true, "a23": true, strings.Repeat("a", 30): true,
		"देवी": true, "Ｗｉｄｅ": true, "modder": true,
		"": false, "ab": false, strings.Repeat("a", 31): false, "a b": false, ".abc": false, "abc.": false, "a..b": false, "a.-b": false,
		"123": false, "a@b.example": false, "a/b": false, "a\x00b": false, "a\xffb": false, "a\u200bb": false, "a\u202eb": false, "a😀b": false,
		"раypal": false, "abcд": false, "oﬃce": false, "a\u0301\u0301\u0301b c": false, "\u0301abc": false,
		"admin": false, "Admin": false, "ADMIN1": false, "ad.min": false, "ädmin": false, "аdmin": false, "support_24": false, "supp0rt": false,
		"marquee": false, "marquee-support": false, "the.marquee": false, "rnarquee": false, "m4rquee": true,
	} {
		var bad apperr.Fields
		checkUsername(&bad, "input.username", normaliseUsername(name))
		if (bad.Err() == nil) != good {
			t.Errorf("%q: %v", name, bad.Err())
		}
	}
}

func TestNormalisePhone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"+49 30 901820":                  "+4930901820",
		"+49 (0)30 90 18 20":             "+4930901820",
		" +1 650-253-0000 ":              "+16502530000",
		"+91 98765 43210":                "+919876543210",
		"+44 20 7946 0018":               "+442079460018",
		"030 901820":                     "",
		"0049 30 901820":                 "",
		"+999 123456789":                 "",
		"+49 1":                          "",
		"+1 650-253-0000 x12":            "",
		"+١٦٥٠٢٥٣٠٠٠٠":                   "",
		"+1 650-CALL-NOW":                "",
		"":                               "",
		"+":                              "",
		"+1\x006502530000":               "",
		"tel:+16502530000":               "",
		"+" + strings.Repeat("1", 1<<20): "",
	} {
		if got, ok := normalisePhone(text); got != want || ok != (want != "") {
			t.Errorf("%.30q is %q, %t; want %q", text, got, ok, want)
		}
	}
}
