package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if apperr.CodeOf(err) != apperr.Unauthenticated && !errors.Is(err, identity.ErrSessionEnded) {
		t.Errorf("%s: %v", what, err)
	}
}

func (b bundle) viewer(t *testing.T, tokens identity.Tokens) auth.Viewer {
	t.Helper()
	v, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (b bundle) signIn(t *testing.T, email string, device identity.Device) identity.Tokens {
	t.Helper()
	tokens, err := b.SignIn(t.Context(), email, passphrase, device)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestService_Authenticate(t *testing.T) {
	t.Parallel()
	t.Run("until_the_access_token_ends", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.signUp(t, "a@example.com", passphrase)
		b.clock.Advance(15*time.Minute - time.Second)
		v := b.viewer(t, s)
		if v.UserID != s.User.ID || v.Grants != (auth.Grants{}) || v.SessionID == uuid.Nil {
			t.Fatalf("a second before: %+v", v)
		}
		if err := b.Recheck(t.Context(), v); err != nil {
			t.Errorf("a second before: %v", err)
		}
		const skew = 5 * time.Second
		b.clock.Advance(time.Second + skew)
		_, err := b.Authenticate(t.Context(), s.Access)
		refused(t, "at its time", err)
		refused(t, "at its time, seen again", b.Recheck(t.Context(), v))
	})
	t.Run("a_node_that_has_heard_asks_nobody", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.signUp(t, "a@example.com", passphrase)
		if err := b.SyncRevocations(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a statement would fail
		if _, err := b.Authenticate(ctx, s.Access); err != nil {
			t.Errorf("%v", err)
		}
	})
	t.Run("a_node_that_has_not_heard_asks_and_a_database_that_is_away_ends_none", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.signUp(t, "a@example.com", passphrase)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Authenticate(ctx, s.Access); err == nil || apperr.CodeOf(err) == apperr.Unauthenticated {
			t.Errorf("%v", err)
		}
		b.exec(t, `UPDATE sessions SET generation = generation + 1`)
		_, err := b.Authenticate(t.Context(), s.Access)
		refused(t, "of before a change of the account", err)
		b.exec(t, `DELETE FROM users`)
		_, err = b.Authenticate(t.Context(), s.Access)
		refused(t, "without an account", err)
	})
}

// TestService_revocation_on_every_node is A3: what ends or changes a session is felt on a node that has not done it.
func TestService_revocation_on_every_node(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, b bundle, v, other auth.Viewer) error{
		"sign_out": func(t *testing.T, b bundle, v, _ auth.Viewer) error { return b.SignOut(t.Context(), v) },
		"ended_by_other": func(t *testing.T, b bundle, v, other auth.Viewer) error {
			return b.EndSession(t.Context(), other, v.SessionID)
		},
		"ended_with_all_others": func(t *testing.T, b bundle, _, other auth.Viewer) error {
			_, err := b.EndOtherSessions(t.Context(), other)
			return err
		},
		"password_changed": func(t *testing.T, b bundle, _, other auth.Viewer) error {
			return b.ChangePassword(t.Context(), other, identity.ChangePasswordInput{Current: passphrase, New: passphrase + " two"}, phone)
		},
		"role_changed": func(t *testing.T, b bundle, v, _ auth.Viewer) error {
			return b.grant(t, v.UserID, auth.Grant{Role: auth.RoleTheaterManager})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first := b.signUp(t, "a@example.com", passphrase)
			v, other := b.viewer(t, first), b.viewer(t, b.signIn(t, "a@example.com", phone))
			far := b.node(t)
			learn := func() {
				t.Helper()
				for _, node := range []*identity.Service{b.Service, far} {
					if err := node.SyncRevocations(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			learn()
			if _, err := far.Authenticate(t.Context(), first.Access); err != nil {
				t.Fatal(err)
			}
			if err := change(t, b, v, other); err != nil {
				t.Fatal(err)
			}
			_, err := b.Authenticate(t.Context(), first.Access)
			refused(t, "here, at once", err)
			learn()
			_, err = far.Authenticate(t.Context(), first.Access)
			refused(t, "elsewhere, as soon as it has heard", err)
			refused(t, "elsewhere, on an open socket", far.Recheck(t.Context(), v))
			if name == "role_changed" {
				renewed, err := far.Refresh(t.Context(), first.Refresh)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := far.Authenticate(t.Context(), renewed.Access); err != nil || v.Grants != auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager}) || !renewed.SecondFactorDue {
					t.Errorf("renewed: %+v, %v", v, err)
				}
				return
			}
			_, err = far.Refresh(t.Context(), first.Refresh)
			refused(t, "renewed", err)
			if name != "sign_out" && name != "ended_by_other" {
				if err := far.Recheck(t.Context(), other); err != nil {
					t.Errorf("the session that asked for it: %v", err)
				}
			}
		})
	}
}

func TestService_Refresh(t *testing.T) {
	t.Parallel()
	t.Run("renews_both_tokens_again_and_again", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tokens := b.signUp(t, "a@example.com", passphrase)
		v := b.viewer(t, tokens)
		for range 5 {
			b.clock.Advance(20 * 24 * time.Hour / 2)
			next, err := b.Refresh(t.Context(), tokens.Refresh)
			if err != nil {
				t.Fatal(err)
			}
			if next.Refresh == tokens.Refresh || next.Access == tokens.Access || next.User != tokens.User {
				t.Errorf("%+v after %+v", next, tokens)
			}
			if again := b.viewer(t, next); again.SessionID != v.SessionID || again.UserID != v.UserID {
				t.Errorf("%+v, want the session of %+v", again, v)
			}
			tokens = next
		}
	})
	t.Run("not_past_the_idle_time", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tokens := b.signUp(t, "a@example.com", passphrase)
		b.clock.Advance(30 * 24 * time.Hour)
		_, err := b.Refresh(t.Context(), tokens.Refresh)
		refused(t, "after 30 days of silence", err)
	})
	t.Run("not_past_the_age_of_a_session", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tokens := b.signUp(t, "a@example.com", passphrase)
		end := b.clock.Now().Add(90 * 24 * time.Hour)
		for b.clock.Now().Before(end.Add(-21 * 24 * time.Hour)) {
			b.clock.Advance(20 * 24 * time.Hour)
			var err error
			if tokens, err = b.Refresh(t.Context(), tokens.Refresh); err != nil {
				t.Fatal(err)
			}
		}
		if !tokens.RefreshExpiresAt.Equal(end) {
			t.Errorf("it says it ends at %s, want %s", tokens.RefreshExpiresAt, end)
		}
		b.clock.Advance(end.Sub(b.clock.Now()))
		_, err := b.Refresh(t.Context(), tokens.Refresh)
		refused(t, "after 90 days", err)
	})
	t.Run("AU4_a_token_used_again_after_the_grace_ends_the_session", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.signUp(t, "a@example.com", passphrase)
		second, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.Advance(31 * time.Second)
		_, err = b.Refresh(t.Context(), first.Refresh)
		refused(t, "the old token", err)
		_, err = b.Refresh(t.Context(), second.Refresh)
		refused(t, "the present token, which may be the thief's", err)
		_, err = b.Authenticate(t.Context(), second.Access)
		refused(t, "its access token", err)
	})
	t.Run("a_token_of_two_renewals_ago_ends_the_session_at_once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.signUp(t, "a@example.com", passphrase)
		second, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.Advance(31 * time.Second)
		third, err := b.Refresh(t.Context(), second.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Refresh(t.Context(), first.Refresh)
		refused(t, "the first token", err)
		_, err = b.Refresh(t.Context(), third.Refresh)
		refused(t, "the present token", err)
	})
	t.Run("AU5_tabs_of_which_one_has_the_next_token_already", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.signUp(t, "a@example.com", passphrase)
		second, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		for _, held := range []string{second.Refresh, first.Refresh, second.Refresh} {
			if again, err := b.Refresh(t.Context(), held); err != nil || again.Refresh != second.Refresh {
				t.Errorf("another token than the next one: %v", err)
			}
		}
	})
	t.Run("a_lost_answer_within_the_grace_costs_nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.signUp(t, "a@example.com", passphrase)
		lost, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.Advance(29 * time.Second)
		again, err := b.Refresh(t.Context(), first.Refresh)
		if err != nil || again.Refresh != lost.Refresh {
			t.Fatalf("%+v, %v; want the token of %+v", again, err, lost)
		}
		if _, err := b.Refresh(t.Context(), again.Refresh); err != nil {
			t.Error(err)
		}
	})
	t.Run("AU5_fifty_at_once_get_one_successor", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.signUp(t, "a@example.com", passphrase)
		const rivals = 50
		got, errs := make([]identity.Tokens, rivals), make([]error, rivals)
		var wait sync.WaitGroup
		for i := range rivals {
			wait.Go(func() { got[i], errs[i] = b.Refresh(t.Context(), first.Refresh) })
		}
		wait.Wait()
		for i := range rivals {
			if errs[i] != nil || got[i].Refresh != got[0].Refresh {
				t.Errorf("%d: %s, %v; want %s", i, got[i].Refresh, errs[i], got[0].Refresh)
			}
		}
		if n := b.value(t, `SELECT renewals FROM sessions`); n != "1" {
			t.Errorf("%s renewals", n)
		}
	})
	t.Run("nothing_else_renews", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		mine, theirs := b.signUp(t, "a@example.com", passphrase), b.signUp(t, "b@example.com", passphrase)
		swapped := mine.Refresh[:30] + theirs.Refresh[30:]
		for _, wrong := range []string{
			"", "mqr_", mine.Access, mine.Refresh[:len(mine.Refresh)-1], mine.Refresh + "A", strings.ToUpper(mine.Refresh),
			strings.TrimPrefix(mine.Refresh, "mqr_"), swapped, mine.Refresh[:len(mine.Refresh)-4] + "AAAA", "mqr_\xff", strings.Repeat("m", 1<<20),
		} {
			_, err := b.Refresh(t.Context(), wrong)
			refused(t, fmt.Sprintf("%.60s", wrong), err)
		}
		if _, err := b.Refresh(t.Context(), mine.Refresh); err != nil {
			t.Errorf("the right one, after all that: %v", err)
		}
	})
}

func TestService_Sessions(t *testing.T) {
	t.Parallel()
	t.Run("lists_devices", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.signUp(t, "a@example.com", passphrase)
		b.clock.Advance(time.Hour)
		b.signIn(t, "a@example.com", identity.Device{Name: " Tab\x00let\n\u202e" + strings.Repeat("x", 300)})
		b.signUp(t, "b@example.com", passphrase)
		v := b.viewer(t, identity.Tokens{Access: b.refresh(t, first).Access})
		sessions, err := b.Sessions(t.Context(), v)
		if err != nil || len(sessions) != 2 {
			t.Fatalf("%+v, %v", sessions, err)
		}
		names := sessions[0].Device + " " + sessions[1].Device
		if want := "Tablet" + strings.Repeat("x", 193) + " Phone"; names != want && names != "Phone Tablet"+strings.Repeat("x", 193) {
			t.Errorf("%q, want %q in some order", names, want)
		}
	})
	t.Run("nobody_ends_anothers", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		mine, theirs := b.viewer(t, b.signUp(t, "a@example.com", passphrase)), b.viewer(t, b.signUp(t, "b@example.com", passphrase))
		for _, id := range []uuid.UUID{theirs.SessionID, typeid.New()} {
			if err := b.EndSession(t.Context(), mine, id); apperr.CodeOf(err) != apperr.NotFound {
				t.Errorf("%v", err)
			}
		}
		forged := theirs
		forged.UserID = mine.UserID
		if err := b.SignOut(t.Context(), forged); err != nil {
			t.Error(err)
		}
		if n, err := b.EndOtherSessions(t.Context(), mine); err != nil || n != 0 {
			t.Errorf("%d others, %v", n, err)
		}
		if err := b.Recheck(t.Context(), theirs); err != nil {
			t.Errorf("theirs: %v", err)
		}
	})
	t.Run("the_oldest_makes_room", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.viewer(t, b.signUp(t, "a@example.com", passphrase))
		b.exec(t, `INSERT INTO sessions (id, user_id, salt, renewed_at, created_at, expires_at)
			SELECT gen_random_uuid(), user_id, salt, renewed_at + n * interval '1 second', created_at, expires_at FROM sessions, generate_series(1, 49) n`)
		b.clock.Advance(time.Hour)
		b.signIn(t, "a@example.com", phone)
		if n := b.value(t, `SELECT count(*) FROM sessions`); n != "50" {
			t.Errorf("%s sessions", n)
		}
		refused(t, "the oldest", b.Recheck(t.Context(), first))
	})
	t.Run("those_that_are_over_are_forgotten", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signUp(t, "a@example.com", passphrase)
		b.clock.Advance(24 * time.Hour)
		fresh := b.signUp(t, "b@example.com", passphrase)
		b.clock.Advance(29 * 24 * time.Hour)
		if n, err := b.ForgetSessions(t.Context()); err != nil || n != 1 {
			t.Errorf("forgot %d, %v; want 1", n, err)
		}
		b.refresh(t, fresh)
	})
}

func (b bundle) refresh(t *testing.T, tokens identity.Tokens) identity.Tokens {
	t.Helper()
	next, err := b.Refresh(t.Context(), tokens.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestService_ChangePassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const next = "another long enough phrase"
	tokens := b.signUp(t, "a@example.com", passphrase)
	v := b.viewer(t, tokens)
	change := func(current, wanted string) error {
		return b.ChangePassword(t.Context(), v, identity.ChangePasswordInput{Current: current, New: wanted}, phone)
	}
	if err := change("not the present password", next); !errors.Is(err, identity.ErrInvalidCredentials) {
		t.Errorf("with a wrong one: %v", err)
	}
	if err := change(passphrase, "short"); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("to a short one: %v", err)
	}
	if err := change(passphrase, next); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone); !errors.Is(err, identity.ErrInvalidCredentials) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := b.SignIn(t.Context(), "a@example.com", next, phone); err != nil {
		t.Errorf("the other one: %v", err)
	}
	b.refresh(t, tokens)
}
