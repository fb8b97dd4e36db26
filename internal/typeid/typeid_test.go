package typeid_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"marquee/internal/typeid"
)

// The vectors are those of the TypeID specification (version 0.3).
func TestEncode_specification_vectors(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"00000000-0000-0000-0000-000000000000": "mov_00000000000000000000000000",
		"00000000-0000-0000-0000-000000000001": "mov_00000000000000000000000001",
		"00000000-0000-0000-0000-00000000000a": "mov_0000000000000000000000000a",
		"ffffffff-ffff-ffff-ffff-ffffffffffff": "mov_7zzzzzzzzzzzzzzzzzzzzzzzzz",
		"01890a5d-ac96-774b-bcce-b302099a8057": "mov_01h455vb4pex5vsknk084sn02q",
	} {
		if got := typeid.Encode(typeid.Movie, uuid.MustParse(key)); got != want {
			t.Errorf("Encode(%s) = %s, want %s", key, got, want)
		}
	}
}

func TestDecode_returns_what_was_encoded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		showtime := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "showtime"))
		key := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
		if got, err := typeid.Decode(typeid.Movie, typeid.Encode(typeid.Movie, key)); err != nil || got != key {
			t.Fatalf("Decode = %v, %v; want %v", got, err, key)
		}
		s, k, err := typeid.DecodeIn(typeid.Reservation, typeid.EncodeIn(typeid.Reservation, showtime, key))
		if err != nil || s != showtime || k != key {
			t.Fatalf("DecodeIn = %v, %v, %v; want %v, %v", s, k, err, showtime, key)
		}
	})
}

func TestDecode_refuses(t *testing.T) {
	t.Parallel()
	good := typeid.Encode(typeid.Movie, typeid.New())
	for name, id := range map[string]string{
		"nothing":            "",
		"the key of nothing": "mov_00000000000000000000000000",
		"another kind":       "sho" + good[3:],
		"no underscore":      strings.Replace(good, "_", "", 1),
		"upper case":         strings.ToUpper(good),
		"one letter short":   good[:len(good)-1],
		"one letter more":    good + "0",
		"a letter u":         good[:len(good)-1] + "u",
		"more than 128 bits": "mov_8zzzzzzzzzzzzzzzzzzzzzzzzz",
		"a line break":       good[:len(good)-1] + "\n",
		"a bare uuid":        uuid.NewString(),
		"invalid utf-8":      "mov_\xff\xfe",
		"a showtime in it":   typeid.EncodeIn(typeid.Movie, typeid.New(), typeid.New()),
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if _, err := typeid.Decode(typeid.Movie, id); !errors.Is(err, typeid.ErrMalformed) {
				t.Errorf("Decode(%q) = %v, want ErrMalformed", id, err)
			}
			if _, _, err := typeid.DecodeIn(typeid.Reservation, id); !errors.Is(err, typeid.ErrMalformed) {
				t.Errorf("DecodeIn(%q) = %v, want ErrMalformed", id, err)
			}
		})
	}
}
