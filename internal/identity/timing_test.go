package identity_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"marquee/internal/identity"
)

// TestAU6_A4_signing_in_tells_nobody_who_has_an_account: whatever an account is like, and if there is none, a wrong password
// is answered alike and as fast. The hash is a cheap one here, so that what else is done weighs more;
// TestService_SignIn_work shows that all cost the same hash.
func TestAU6_A4_signing_in_tells_nobody_who_has_an_account(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accounts(t)
	source := 0
	prepare := func() {
		b.clock.Advance(25 * time.Hour) // failures of before are forgotten, so that nobody has to wait
		source++
	}
	guess := func(login string) error {
		_, err := b.SignIn(t.Context(), login, "a wrong password, so long", identity.Device{Address: fmt.Sprint(source)})
		if !errors.Is(err, identity.ErrInvalidCredentials) {
			return fmt.Errorf("a wrong password is answered by: %w", err)
		}
		return nil
	}
	alike(t, prepare, guess, "known@example.com", "nobody@example.com", "disabled@example.com", "provider@example.com")
	alike(t, prepare, guess, "known.one", "no.one")
}

// accounts makes known@example.com, who is also called known.one, disabled@example.com, and provider@example.com who has no
// password, with cheap hashes.
func (b bundle) accounts(t *testing.T) {
	t.Helper()
	hash := b.HashCheaply(passphrase)
	for _, in := range []identity.SignUpInput{
		{Email: "known@example.com", Username: identity.Set("known.one")}, {Email: "disabled@example.com"}, {Email: "provider@example.com"},
	} {
		in.Password, in.Name = passphrase, "Someone"
		u, err := b.CreateUser(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		b.exec(t, `UPDATE users SET password_hash = $2 WHERE id = $1`, u.ID, hash)
		switch in.Email {
		case "disabled@example.com":
			b.exec(t, `UPDATE users SET disabled_at = now(), disabled_reason = 'a test' WHERE id = $1`, u.ID)
		case "provider@example.com":
			b.exec(t, `UPDATE users SET password_hash = NULL WHERE id = $1`, u.ID)
		}
	}
}

// TestA4_letters_take_as_long for unknown addresses as for known ones, whatever the account is like: those of a recovery
// and those of a sign-up.
func TestA4_letters_take_as_long(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accounts(t)
	source := 0
	prepare := func() {
		b.clock.Advance(15 * time.Minute) // each is sent a mail
		source++
	}
	for _, ask := range []func(context.Context, string, identity.Device) error{b.RequestPasswordReset, b.RequestSignUp} {
		alike(t, prepare, func(email string) error {
			return ask(t.Context(), email, identity.Device{Address: fmt.Sprint(source)})
		}, "known@example.com", "nobody@example.com", "disabled@example.com", "provider@example.com")
	}
}

// alike fails unless what is done for the first name takes as long as for each of the others. It compares the ranks of
// 200 times each, taken in turns whose order is drawn, and no durations: what slows one slows all. By pure chance one
// comparison in a thousand says that two differ, so three in a row must.
func alike(t *testing.T, prepare func(), do func(name string) error, names ...string) {
	t.Helper()
	const samples, rounds, unlikely = 200, 3, 0.001
	suspects := names[1:]
	for range rounds {
		times := map[string][]float64{}
		for range samples {
			turns := append([]string{names[0]}, suspects...)
			drawn := map[string]string{}
			for _, name := range turns {
				drawn[name] = rand.Text()
			}
			slices.SortFunc(turns, func(a, b string) int { return cmp.Compare(drawn[a], drawn[b]) })
			for _, name := range turns {
				prepare()
				began := time.Now()
				err := do(name)
				took := time.Since(began)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				times[name] = append(times[name], float64(took))
			}
		}
		suspects = slices.DeleteFunc(slices.Clone(suspects), func(name string) bool {
			p := rankTest(times[names[0]], times[name])
			t.Logf("%s and %s: p = %.3g", names[0], name, p)
			return p > unlikely
		})
		if len(suspects) == 0 {
			return
		}
	}
	t.Errorf("%v can be told from %s by the time", suspects, names[0])
}

// rankTest returns how likely it is that two samples of one distribution differ as much as these: Mann and Whitney's
// test, two-sided, for samples of this size.
func rankTest(a, b []float64) float64 {
	type value struct {
		v   float64
		ofA bool
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int { return cmp.Compare(x.v, y.v) })
	var ranks float64
	for i, v := range all {
		if v.ofA {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	z := math.Abs(u-n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
	return math.Erfc(z / math.Sqrt2)
}

// TestRankTest tells samples apart that differ, and does not tell apart those that do not.
func TestRankTest(t *testing.T) {
	t.Parallel()
	var a, b, later []float64
	for i := range 200 {
		a, b, later = append(a, float64(2*i)), append(b, float64(2*i+1)), append(later, float64(2*i+80))
	}
	if p := rankTest(a, b); p < 0.5 {
		t.Errorf("the same: p = %g", p)
	}
	if p := rankTest(a, later); p > 0.001 {
		t.Errorf("later by a fifth of their range: p = %g", p)
	}
}
