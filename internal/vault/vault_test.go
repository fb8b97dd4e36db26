package vault_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/vault"
)

const secret = "anna.canary@example.com"

var (
	row   = uuid.MustParse("01990000-0001-7000-8000-000000000001")
	email = vault.Cell{Table: "users", Column: "email_sealed", Row: row}
)

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func fresh(t testing.TB) (vault.Keyset, *vault.Vault) {
	t.Helper()
	ks := must[vault.Keyset](t)(vault.NewKeyset())
	return ks, must[*vault.Vault](t)(vault.New(ks))
}

func TestVault_Seal(t *testing.T) {
	t.Parallel()
	t.Run("opens_to_what_was_sealed", func(t *testing.T) {
		t.Parallel()
		_, v := fresh(t)
		for _, text := range []string{"", secret, "Ана 美咲\x00", strings.Repeat("x", 100_000)} {
			sealed := must[[]byte](t)(v.Seal(email, text))
			if got := must[string](t)(v.Open(email, sealed)); got != text {
				t.Errorf("%d bytes became %d", len(text), len(got))
			}
			if text != "" && bytes.Contains(sealed, []byte(text)) {
				t.Error("the text is in the open")
			}
		}
	})
	t.Run("twice_gives_two_texts", func(t *testing.T) {
		t.Parallel()
		_, v := fresh(t)
		if a, b := must[[]byte](t)(v.Seal(email, secret)), must[[]byte](t)(v.Seal(email, secret)); bytes.Equal(a, b) || bytes.Equal(a[5:60], b[5:60]) && bytes.Equal(a[9:], b[9:]) {
			t.Error("equal texts look equal")
		}
	})
	t.Run("refuses_a_column_that_is_not_in_the_list", func(t *testing.T) {
		t.Parallel()
		_, v := fresh(t)
		if _, err := v.Seal(vault.Cell{Table: "users", Column: "hobby_sealed", Row: row}, secret); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	})
}

// TestDA6_swapped is D1's second half: a text opens only in the cell for which it was sealed.
func TestDA6_swapped(t *testing.T) {
	t.Parallel()
	_, v := fresh(t)
	sealed := must[[]byte](t)(v.Seal(email, secret))
	for name, cell := range map[string]vault.Cell{
		"another_row":    {Table: "users", Column: "email_sealed", Row: uuid.MustParse("01990000-0001-7000-8000-000000000002")},
		"another_column": {Table: "users", Column: "name_sealed", Row: row},
		"another_table":  {Table: "sessions", Column: "email_sealed", Row: row},
		"shifted_border": {Table: "usersemail_seal", Column: "ed", Row: row},
		"nowhere":        {},
	} {
		text, err := v.Open(cell, sealed)
		if err == nil || text != "" || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), cell.String()) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestVault_Open_damaged(t *testing.T) {
	t.Parallel()
	_, v := fresh(t)
	_, other := fresh(t)
	sealed := must[[]byte](t)(v.Seal(email, secret))
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if text, err := v.Open(email, damaged); err == nil || text != "" || strings.Contains(err.Error(), secret) {
			t.Errorf("byte %d: %q, %v", i, text, err)
		}
	}
	for name, foreign := range map[string][]byte{
		"nil": nil, "empty": {}, "plain": []byte(secret), "cut": sealed[:len(sealed)-1], "head": sealed[:9], "more": append(bytes.Clone(sealed), 0),
		"of_another_keyset": must[[]byte](t)(other.Seal(email, secret)),
	} {
		if text, err := v.Open(email, foreign); err == nil || text != "" || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), email.String()) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestVault_Index(t *testing.T) {
	t.Parallel()
	ks, v := fresh(t)
	again := must[*vault.Vault](t)(vault.New(ks))
	_, other := fresh(t)
	index := v.Index("email", secret)
	if !bytes.Equal(index, again.Index("email", secret)) {
		t.Error("two vaults of a keyset disagree")
	}
	if got := v.Indexes("email", secret); len(got) != 1 || !bytes.Equal(got[0], index) {
		t.Errorf("%x is not what a row is found by", got)
	}
	if len(index) != 36 || binary.BigEndian.Uint32(index) != ks.Primary() {
		t.Errorf("%d bytes that do not begin with the number of the key", len(index))
	}
	for name, different := range map[string][]byte{
		"another_text": v.Index("email", secret+"x"), "another_kind": v.Index("phone", secret), "another_keyset": other.Index("email", secret),
		"shifted_border": v.Index("emaila", secret[1:]),
	} {
		if bytes.Equal(index[4:], different[4:]) {
			t.Errorf("%s has the same index", name)
		}
	}
}

// TestD2_keyset_change walks through a change of keys with a process that is always one step behind: it reads and finds
// whatever the other writes, and the other way round.
func TestD2_keyset_change(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one, _ := fresh(t)
	added := must[vault.Keyset](t)(one.Add())
	promoted := must[vault.Keyset](t)(added.Promote(now))
	retired := must[vault.Keyset](t)(promoted.Retire(now.Add(vault.Settling)))
	steps := []vault.Keyset{one, added, promoted, retired}
	found := func(v *vault.Vault, index []byte) bool {
		return slices.ContainsFunc(v.Indexes("email", secret), func(known []byte) bool { return bytes.Equal(known, index) })
	}
	for i := range len(steps) - 1 {
		behind, ahead := must[*vault.Vault](t)(vault.New(steps[i])), must[*vault.Vault](t)(vault.New(steps[i+1]))
		// By the time the last step is made, nobody writes with the first key.
		if i == 2 {
			if oldest, first := behind.Indexes("email", secret)[0], ahead.Indexes("email", secret)[0]; bytes.Equal(oldest, first) {
				t.Error("the retired key is still used")
			}
		} else if !bytes.Equal(behind.Indexes("email", secret)[0], ahead.Indexes("email", secret)[0]) {
			t.Errorf("step %d: they lock different things", i)
		}
		for _, pair := range [][2]*vault.Vault{{behind, ahead}, {ahead, behind}} {
			sealed := must[[]byte](t)(pair[0].Seal(email, secret))
			if got, err := pair[1].Open(email, sealed); err != nil || got != secret {
				t.Errorf("step %d: %q, %v", i, got, err)
			}
			if !found(pair[1], pair[0].Index("email", secret)) {
				t.Errorf("step %d: the row is not found", i)
			}
		}
	}
	old := must[*vault.Vault](t)(vault.New(one))
	last := must[*vault.Vault](t)(vault.New(retired))
	if _, err := last.Open(email, must[[]byte](t)(old.Seal(email, secret))); err == nil {
		t.Error("a retired key opens")
	}
}

func TestKeyset_order_of_steps(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one, _ := fresh(t)
	refused := func(what string, _ vault.Keyset, err error) {
		t.Helper()
		if err == nil {
			t.Error(what)
		}
	}
	ks, err := one.Promote(now)
	refused("nothing was added, and something promoted", ks, err)
	ks, err = one.Retire(now)
	refused("the only key was retired", ks, err)
	added := must[vault.Keyset](t)(one.Add())
	ks, err = added.Add()
	refused("two keys wait", ks, err)
	ks, err = added.Retire(now)
	refused("a key was retired before the next one was promoted", ks, err)
	promoted := must[vault.Keyset](t)(added.Promote(now))
	ks, err = promoted.Retire(now.Add(vault.Settling - time.Second))
	refused("a key was retired that a request may be writing with", ks, err)
	ks, err = promoted.Promote(now)
	refused("the primary key was promoted", ks, err)
	retired := must[vault.Keyset](t)(promoted.Retire(now.Add(vault.Settling)))
	if keys := retired.Keys(); len(keys) != 2 || !keys[0].Disabled || keys[0].Primary || keys[1].Disabled || !keys[1].Primary || keys[0].ID != one.Primary() {
		t.Errorf("%+v", keys)
	}
	if keys := one.Keys(); len(keys) != 1 || keys[0].Disabled {
		t.Errorf("the keyset before has changed: %+v", keys)
	}
	must[vault.Keyset](t)(retired.Add())
}

func TestParseKeyset(t *testing.T) {
	t.Parallel()
	ks, v := fresh(t)
	ks = must[vault.Keyset](t)(must[vault.Keyset](t)(ks.Add()).Promote(time.Now()))
	text := must[string](t)(ks.Text())
	if strings.ContainsAny(text, " \n\"$") {
		t.Errorf("it does not pass through a shell")
	}
	read := must[vault.Keyset](t)(vault.ParseKeyset(" " + text + "\n"))
	if again := must[string](t)(read.Text()); again != text || !slices.Equal(read.Keys(), ks.Keys()) {
		t.Error("it reads as another one")
	}
	sealed := must[[]byte](t)(v.Seal(email, secret))
	if got := must[string](t)(must[*vault.Vault](t)(vault.New(read)).Open(email, sealed)); got != secret {
		t.Errorf("%q", got)
	}
	if _, err := read.Retire(time.Now()); err == nil {
		t.Error("it does not know when its key became the primary one")
	}
	for _, bad := range []string{"", "nonsense", "e30=", text[:len(text)/2], text[4:]} {
		if _, err := vault.ParseKeyset(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	if _, err := vault.New(vault.Keyset{}); err == nil {
		t.Error("no keyset is a keyset")
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	t.Run("a_key_that_is_not_known_is_looked_for_at_once", func(t *testing.T) {
		t.Parallel()
		one, _ := fresh(t)
		present := one
		v := must[*vault.Vault](t)(vault.Follow(func() (vault.Keyset, error) { return present, nil }))
		present = must[vault.Keyset](t)(must[vault.Keyset](t)(one.Add()).Promote(time.Now()))
		sealed := must[[]byte](t)(must[*vault.Vault](t)(vault.New(present)).Seal(email, secret))
		if got, err := v.Open(email, sealed); err != nil || got != secret {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("a_foreign_cell_does_not_make_it_read_again_and_again", func(t *testing.T) {
		t.Parallel()
		one, _ := fresh(t)
		_, other := fresh(t)
		reads := 0
		v := must[*vault.Vault](t)(vault.Follow(func() (vault.Keyset, error) { reads++; return one, nil }))
		sealed := must[[]byte](t)(other.Seal(email, secret))
		for range 100 {
			if _, err := v.Open(email, sealed); err == nil {
				t.Fatal("it opened")
			}
		}
		if reads > 10 {
			t.Errorf("%d reads", reads)
		}
	})
	t.Run("a_keyset_that_cannot_be_read_leaves_the_one_before", func(t *testing.T) {
		t.Parallel()
		one, _ := fresh(t)
		var broken error
		v := must[*vault.Vault](t)(vault.Follow(func() (vault.Keyset, error) { return one, broken }))
		sealed := must[[]byte](t)(v.Seal(email, secret))
		broken = errors.New("the file is away")
		if err := v.Refresh(); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		if got, err := v.Open(email, sealed); err != nil || got != secret {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func BenchmarkVault(b *testing.B) {
	_, v := fresh(b)
	sealed := must[[]byte](b)(v.Seal(email, secret))
	b.Run("Seal", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.Seal(email, secret)
		}
	})
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.Open(email, sealed)
		}
	})
	b.Run("Index", func(b *testing.B) {
		for b.Loop() {
			v.Index("email", secret)
		}
	})
}
