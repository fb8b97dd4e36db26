package booking

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"marquee/internal/typeid"
)

// The code of a reservation leads back to its id, in whatever way it is written and however many years have passed.
func TestReservation_Code(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}$`)
	rapid.Check(t, func(t *rapid.T) {
		id := typeid.New()
		made := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "made"))
		for i, rest := 5, made.UnixMilli(); i >= 0; i-- {
			id[i], rest = byte(rest), rest>>8
		}
		text := Reservation{ID: id}.Code()
		if !form.MatchString(text) {
			t.Fatalf("the code is %q", text)
		}
		written := rapid.SampledFrom([]string{
			text, strings.ToLower(text), " " + strings.ReplaceAll(text, "-", "") + " ", strings.NewReplacer("0", "o", "1", "l").Replace(text), strings.ReplaceAll(text, "1", "I"),
		}).Draw(t, "written")
		c, ok := parseCode(written)
		if !ok {
			t.Fatalf("%q is no code", written)
		}
		const years = 8 * 365 * 24 * time.Hour
		now := made.Add(time.Duration(rapid.Int64Range(int64(-time.Minute), int64(years)).Draw(t, "later")))
		if got := c.made(now); !got.Equal(made) {
			t.Fatalf("%s was made at %s, want %s", text, got, made)
		}
		first, last := c.ids(made)
		if bytes.Compare(first[:], id[:]) > 0 || bytes.Compare(id[:], last[:]) > 0 {
			t.Fatalf("%s is not within %s and %s", id, first, last)
		}
		next := id
		next[7]++ // another within the millisecond, unless all are used
		if next[7] != 0 && (bytes.Compare(next[:], last[:]) <= 0 || Reservation{ID: next}.Code() == text) {
			t.Fatalf("%s has the code of %s", next, id)
		}
	})
	for _, text := range []string{"", "M82KR", "M82KR-9HCF3X", "M82KR-9HCFU", "M82KR-9HCF!", "M82KR-9HCFé", strings.Repeat("0", 1000)} {
		if c, ok := parseCode(text); ok {
			t.Errorf("%q is %d", text, c)
		}
	}
	const id, want = "01234567-89ab-7cde-8000-000000000000", "HMASW-9NF6Y"
	if got := (Reservation{ID: uuid.MustParse(id)}).Code(); got != want {
		t.Errorf("the code of %s is %s, want %s", id, got, want)
	}
}
