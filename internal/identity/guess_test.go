package identity_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/identity"
)

// tries signs in with a wrong password and returns how many of the tries were looked at.
func (b bundle) tries(t *testing.T, n int, email func(int) string, address func(int) string) (admitted int) {
	t.Helper()
	for i := range n {
		_, err := b.SignIn(t.Context(), email(i), "a wrong password, so long", identity.Device{Address: address(i)})
		switch {
		case errors.Is(err, identity.ErrInvalidCredentials):
			admitted++
		case apperr.CodeOf(err) != apperr.Throttled:
			t.Fatal(err)
		}
	}
	return admitted
}

func always(text string) func(int) string { return func(int) string { return text } }

func numbered(format string) func(int) string {
	return func(i int) string { return fmt.Sprintf(format, i) }
}

// TestA5_AU8_Guesses is A5: wrong passwords have limits, and nobody is locked out by somebody else's.
func TestA5_AU8_Guesses(t *testing.T) {
	t.Parallel()
	const victim = "victim@example.com"
	t.Run("of_one_source_at_one_account", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signUp(t, victim, passphrase)
		if n := b.tries(t, 12, always(victim), always("198.51.100.1")); n != 5 {
			t.Errorf("%d tries were looked at, want 5", n)
		}
		if _, err := b.SignIn(t.Context(), victim, passphrase, identity.Device{Address: "198.51.100.1"}); apperr.CodeOf(err) != apperr.Throttled {
			t.Errorf("the right password from there: %v", err)
		}
		b.signIn(t, victim, phone)
	})
	t.Run("an_unknown_account_is_counted_alike", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if n := b.tries(t, 12, always("nobody@example.com"), always("198.51.100.1")); n != 5 {
			t.Errorf("%d tries were looked at, want 5", n)
		}
	})
	t.Run("letters_of_an_address_make_no_difference", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		spelling := []string{victim, "VICTIM@example.com", " victim@example.com", "Victim@Example.Com"}
		if n := b.tries(t, 12, func(i int) string { return spelling[i%len(spelling)] }, always("198.51.100.1")); n != 5 {
			t.Errorf("%d tries were looked at, want 5", n)
		}
	})
	t.Run("side_by_side_they_count_like_in_a_row", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		const rivals = 30
		errs := make([]error, rivals)
		var wait sync.WaitGroup
		for i := range rivals {
			wait.Go(func() {
				_, errs[i] = b.SignIn(t.Context(), victim, "a wrong password, so long", identity.Device{Address: "198.51.100.1"})
			})
		}
		wait.Wait()
		admitted := 0
		for _, err := range errs {
			if errors.Is(err, identity.ErrInvalidCredentials) {
				admitted++
			} else if apperr.CodeOf(err) != apperr.Throttled {
				t.Error(err)
			}
		}
		if admitted != 5 {
			t.Errorf("%d tries were looked at, want 5", admitted)
		}
	})
	t.Run("of_many_sources_at_one_account", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		home := identity.Device{Address: "192.0.2.1"}
		b.signUp(t, victim, passphrase)
		b.signIn(t, victim, home)
		if n := b.tries(t, 40, always(victim), numbered("198.51.100.%d")); n != 20 {
			t.Errorf("%d tries were looked at, want 20", n)
		}
		if _, err := b.SignIn(t.Context(), victim, passphrase, identity.Device{Address: "203.0.113.9"}); apperr.CodeOf(err) != apperr.Throttled {
			t.Errorf("the right password from somewhere else: %v", err)
		}
		b.signIn(t, victim, home) // the owner is at home
	})
	t.Run("of_one_source_at_many_accounts", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if n := b.tries(t, 70, numbered("user%d@example.com"), always("198.51.100.1")); n != 50 {
			t.Errorf("%d tries were looked at, want 50", n)
		}
	})
	t.Run("waiting_twice_as_long_each_time", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		source := always("198.51.100.1")
		b.tries(t, 5, always(victim), source)
		for _, wait := range []int{1, 2, 4, 8, 900, 900} {
			if wait == 900 {
				b.exec(t, `UPDATE guesses SET failures = 40`)
			}
			const half = time.Second / 2
			b.clock.Advance(time.Duration(wait)*time.Second - half)
			if n := b.tries(t, 1, always(victim), source); n != 0 {
				t.Errorf("half a second before %d s a try was looked at", wait)
			}
			b.clock.Advance(half)
			if n := b.tries(t, 1, always(victim), source); n != 1 {
				t.Errorf("after %d s a try was not looked at", wait)
			}
		}
	})
	t.Run("AU8_a_known_device_is_delayed_and_never_locked_out", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signUp(t, victim, passphrase)
		b.signIn(t, victim, phone)
		failed := 0
		for range 100 {
			if failed += b.tries(t, 1, always(victim), always(phone.Address)); failed == 11 {
				break
			}
			b.clock.Advance(5 * time.Second)
		}
		_, err := b.SignIn(t.Context(), victim, passphrase, phone)
		refusal, ok := errors.AsType[*apperr.Error](err)
		if failed != 11 || !ok || refusal.Code != apperr.Throttled || refusal.RetryAfter <= 0 || refusal.RetryAfter > 15*time.Minute {
			t.Fatalf("after %d failures: %v", failed, err)
		}
		b.clock.Advance(refusal.RetryAfter)
		b.signIn(t, victim, phone)
	})
	t.Run("a_right_password_ends_the_row", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signUp(t, victim, passphrase)
		for range 4 {
			if n := b.tries(t, 4, always(victim), always(phone.Address)); n != 4 {
				t.Errorf("%d tries were looked at, want 4", n)
			}
			b.signIn(t, victim, phone)
		}
	})
	t.Run("changing_the_password_counts_too", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		v := b.viewer(t, b.signUp(t, victim, passphrase))
		wrong := 0
		for range 10 {
			err := b.ChangePassword(t.Context(), v, identity.ChangePasswordInput{Current: "a wrong password, so long", New: passphrase + "!"}, phone)
			if errors.Is(err, identity.ErrInvalidCredentials) {
				wrong++
			}
		}
		if wrong != 5 {
			t.Errorf("%d tries were looked at, want 5", wrong)
		}
	})
	t.Run("they_are_forgotten_and_name_nobody", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signUp(t, victim, passphrase)
		b.signIn(t, victim, phone)
		b.tries(t, 2, always("other@example.com"), always("198.51.100.1"))
		b.clock.Advance(25 * time.Hour)
		if n, err := b.ForgetGuesses(t.Context()); err != nil || n != 5 {
			t.Errorf("forgot %d, %v; want all but the source that signed in", n, err)
		}
	})
}
