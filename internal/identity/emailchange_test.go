package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

const (
	oldAddress = "nora@example.com"
	newAddress = "nora@elsewhere.example"
)

// mover is somebody with an account and two devices, one of which asks for another address.
type mover struct {
	bundle

	box          *notify.Mailbox
	asks, other  auth.Viewer
	asked, spare identity.Tokens
}

func newMover(t *testing.T) *mover {
	t.Helper()
	m := &mover{bundle: setup(t), box: &notify.Mailbox{}}
	m.spare = m.signUp(t, oldAddress, passphrase)
	m.asked = m.signIn(t, oldAddress, identity.Device{Name: "Desk", Address: "192.0.2.2"})
	m.asks, m.other = m.viewer(t, m.asked), m.viewer(t, m.spare)
	m.letters(t, m.box, "") // of the other device
	return m
}

// ask asks for the next address and returns the tokens that come to it and to the present one.
func (m *mover) ask(t *testing.T) (take, leave string) {
	t.Helper()
	if err := m.ChangeEmail(t.Context(), m.asks, newAddress, phone); err != nil {
		t.Fatal(err)
	}
	return m.token(t, m.box, newAddress, notify.TakeAddress), m.token(t, m.box, oldAddress, notify.LeaveAddress)
}

// confirm confirms with a token and fails unless it does, or does not, apply the change.
func (m *mover) confirm(t *testing.T, token string, applies bool) {
	t.Helper()
	if applied, err := m.ConfirmEmailChange(m.from(t), token); err != nil || applied != applies {
		t.Fatalf("applied %t, %v; want %t", applied, err, applies)
	}
}

// refuses fails unless a token confirms and cancels nothing.
func (m *mover) refuses(t *testing.T, why string, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		if _, err := m.ConfirmEmailChange(t.Context(), token); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("%s: confirmed: %v", why, err)
		}
		if err := m.CancelEmailChange(t.Context(), token); !errors.Is(err, identity.ErrLinkExpired) {
			t.Errorf("%s: cancelled: %v", why, err)
		}
	}
}

// has fails unless the account has an address.
func (m *mover) has(t *testing.T, email string) {
	t.Helper()
	if u, err := m.User(t.Context(), m.asks.UserID); err != nil || u.Email != email {
		t.Errorf("the account has %s, %v; want %s", u.Email, err, email)
	}
}

// waits fails unless a change waits, or none does.
func (m *mover) waits(t *testing.T, wanted bool) *identity.EmailChange {
	t.Helper()
	c, err := m.PendingEmailChange(t.Context(), m.asks)
	if err != nil || (c != nil) != wanted {
		t.Fatalf("a change waits: %+v, %v; want %t", c, err, wanted)
	}
	return c
}

func (m *mover) settle(t *testing.T, want int) {
	t.Helper()
	if n, err := m.SettleEmailChanges(t.Context()); err != nil || n != want {
		t.Errorf("%d changes were applied, %v; want %d", n, err, want)
	}
}

func TestService_ChangeEmail(t *testing.T) {
	t.Parallel()
	t.Run("both_addresses_confirm_and_the_account_moves", func(t *testing.T) {
		t.Parallel()
		for _, first := range []string{"take", "leave"} {
			m := newMover(t)
			m.request(t, oldAddress)
			reset := m.token(t, m.box, oldAddress, notify.ResetPassword)
			take, leave := m.ask(t)
			if c := m.waits(t, true); c.Email != newAddress || c.TakenAt != nil || c.LeftAt != nil || !c.ConsentAt().Equal(c.RequestedAt.Add(7*24*time.Hour)) {
				t.Errorf("%+v", c)
			}
			if first == "leave" {
				m.confirm(t, leave, false)
				m.confirm(t, leave, false)
				m.confirm(t, take, true)
			} else {
				m.confirm(t, take, false)
				m.confirm(t, leave, true)
			}
			m.has(t, newAddress)
			m.waits(t, false)
			if u, err := m.User(t.Context(), m.asks.UserID); err != nil || !u.EmailVerified {
				t.Errorf("%+v, %v", u, err)
			}
			if _, err := m.Authenticate(t.Context(), m.asked.Access); err != nil {
				t.Errorf("the session that asked: %v", err)
			}
			if _, err := m.Authenticate(t.Context(), m.spare.Access); apperr.CodeOf(err) != apperr.Unauthenticated {
				t.Errorf("the other session: %v", err)
			}
			m.refuses(t, "afterwards", take, leave)
			if err := m.ResetPassword(t.Context(), reset, nextPassphrase); !errors.Is(err, identity.ErrLinkExpired) {
				t.Errorf("a recovery by the address of before: %v", err)
			}
			for _, email := range []string{oldAddress, newAddress} {
				if got := m.letters(t, m.box, email); got[0].Kind != notify.AddressChanged {
					t.Errorf("%s was told %s", email, got[0].Kind)
				}
			}
			if _, err := m.SignIn(t.Context(), oldAddress, passphrase, phone); !errors.Is(err, identity.ErrInvalidCredentials) {
				t.Errorf("signing in by the address of before: %v", err)
			}
			m.signIn(t, newAddress, phone)
			m.link(t, m.box, oldAddress) // it is free again
			if acts := strings.Join(m.acts(t, m.asks.UserID), " "); !strings.Contains(acts, "account.email_change_asked:usr:self") || !strings.Contains(acts, "account.email_changed:usr:") {
				t.Errorf("recorded %s", acts)
			}
		}
	})
	t.Run("seven_days_of_silence_are_consent_once_the_next_address_has_confirmed", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		m.confirm(t, take, false)
		m.clock.Advance(7*24*time.Hour - time.Second)
		m.settle(t, 0)
		m.has(t, oldAddress)
		m.clock.Advance(time.Second)
		m.settle(t, 1)
		m.settle(t, 0)
		m.has(t, newAddress)
		m.refuses(t, "afterwards", take, leave)
	})
	t.Run("an_address_that_does_not_confirm_in_a_day_gets_no_account", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		m.confirm(t, leave, false)
		m.clock.Advance(24 * time.Hour)
		m.refuses(t, "after a day", take, leave)
		m.waits(t, false)
		m.settle(t, 0)
		if n := m.value(t, `SELECT count(*) FROM email_changes`); n != "0" {
			t.Errorf("%s changes are kept", n)
		}
		m.clock.Advance(7 * 24 * time.Hour)
		m.settle(t, 0)
		m.has(t, oldAddress)
	})
	t.Run("a_thief_is_stopped_from_the_present_address", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		m.confirm(t, take, false)
		m.clock.Advance(6 * 24 * time.Hour)
		if err := m.CancelEmailChange(t.Context(), leave); err != nil {
			t.Fatal(err)
		}
		m.refuses(t, "cancelled", take, leave)
		m.clock.Advance(2 * 24 * time.Hour)
		m.settle(t, 0)
		m.has(t, oldAddress)
	})
	t.Run("so_is_one_whose_account_is_disabled_meanwhile", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		m.confirm(t, take, false)
		if _, err := m.DisableUser(t.Context(), m.Operator(), m.asks.UserID, "taken over"); err != nil {
			t.Fatal(err)
		}
		m.refuses(t, "while it is disabled", take, leave)
		m.clock.Advance(8 * 24 * time.Hour)
		if _, err := m.EnableUser(t.Context(), m.Operator(), m.asks.UserID, "given back"); err != nil {
			t.Fatal(err)
		}
		m.settle(t, 0)
		m.has(t, oldAddress)
	})
	t.Run("another_password_stops_a_thief_too", func(t *testing.T) {
		t.Parallel()
		for name, choose := range map[string]func(m *mover) error{
			"recovered": func(m *mover) error {
				m.request(t, oldAddress)
				return m.ResetPassword(t.Context(), m.token(t, m.box, oldAddress, notify.ResetPassword), nextPassphrase)
			},
			"changed": func(m *mover) error {
				return m.ChangePassword(t.Context(), m.other, identity.ChangePasswordInput{Current: passphrase, New: nextPassphrase}, phone)
			},
		} {
			m := newMover(t)
			take, leave := m.ask(t)
			m.confirm(t, take, false)
			if err := choose(m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			m.refuses(t, name, take, leave)
			m.clock.Advance(8 * 24 * time.Hour)
			m.settle(t, 0)
			m.has(t, oldAddress)
		}
	})
	t.Run("the_owner_withdraws_it_and_another_request_replaces_it", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		again, leaveAgain := m.ask(t)
		m.refuses(t, "replaced", take, leave)
		for _, want := range []bool{true, false} {
			if withdrawn, err := m.WithdrawEmailChange(t.Context(), m.other); err != nil || withdrawn != want {
				t.Errorf("withdrawn %t, %v; want %t", withdrawn, err, want)
			}
		}
		m.refuses(t, "withdrawn", again, leaveAgain)
		m.waits(t, false)
	})
	t.Run("AU7_an_address_with_an_account_is_told_by_letter_only", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		m.signUp(t, newAddress, passphrase)
		if err := m.ChangeEmail(t.Context(), m.asks, newAddress, phone); err != nil {
			t.Fatal(err)
		}
		if c := m.waits(t, true); c.Email != newAddress {
			t.Errorf("%+v", c)
		}
		if got := m.letters(t, m.box, newAddress); len(got) != 1 || got[0].Kind != notify.AddressWanted || got[0].Link != "" {
			t.Errorf("the owner of the address got %+v", got)
		}
		m.confirm(t, m.token(t, m.box, oldAddress, notify.LeaveAddress), false)
		m.has(t, oldAddress)
	})
	t.Run("an_address_that_was_taken_meanwhile_stays_with_its_account", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		m.confirm(t, take, false)
		m.signUp(t, newAddress, passphrase)
		if _, err := m.ConfirmEmailChange(t.Context(), leave); !errors.Is(err, identity.ErrEmailTaken) {
			t.Errorf("%v", err)
		}
		m.clock.Advance(7 * 24 * time.Hour)
		m.settle(t, 0)
		m.waits(t, false)
		m.has(t, oldAddress)
		if _, err := m.Authenticate(t.Context(), m.spare.Access); apperr.CodeOf(err) == apperr.Internal {
			t.Error(err)
		}
		if n := m.value(t, `SELECT count(*) FROM sessions`); n != "3" {
			t.Errorf("%s sessions", n)
		}
	})
	t.Run("it_demands_a_recent_proof_and_another_address", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		for _, email := range []string{"", "nobody", "Nora@EXAMPLE.com", "a@b.example\r\nBcc: c@d.example"} {
			if err := m.ChangeEmail(t.Context(), m.asks, email, phone); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%q: %v", email, err)
			}
		}
		m.clock.Advance(11 * time.Minute)
		if err := m.ChangeEmail(t.Context(), m.asks, newAddress, phone); apperr.CodeOf(err) != apperr.StepUpRequired {
			t.Errorf("an old proof: %v", err)
		}
		m.waits(t, false)
		m.refuses(t, "made up", "", "mqm_AAAAAAAAAAAAAAAAAAAAAAAAAA")
	})
	t.Run("A6_20_at_once_one_succeeds", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		if won := atOnce(t, func() error { _, err := m.ConfirmEmailChange(t.Context(), take); return err }); won != 1 {
			t.Errorf("%d confirmed", won)
		}
		if won := atOnce(t, func() error { _, err := m.ConfirmEmailChange(t.Context(), leave); return err }); won != 1 {
			t.Errorf("%d applied", won)
		}
		m.has(t, newAddress)
	})
	t.Run("of_both_addresses_at_once_the_second_applies_it", func(t *testing.T) {
		t.Parallel()
		m := newMover(t)
		take, leave := m.ask(t)
		var applied [2]bool
		var faults [2]error
		var wait sync.WaitGroup
		for i, token := range []string{take, leave} {
			wait.Go(func() { applied[i], faults[i] = m.ConfirmEmailChange(t.Context(), token) })
		}
		wait.Wait()
		if applied[0] == applied[1] || errors.Join(faults[:]...) != nil {
			t.Errorf("%v, %v", applied, faults)
		}
		m.has(t, newAddress)
	})
}

// Whether an address has an account does not show in the time that asking for it as one's own takes.
func TestA4_a_change_of_address_takes_as_long_for_known_addresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accounts(t)
	v := b.viewer(t, b.signUp(t, "mover@example.com", passphrase))
	source := 0
	alike(t, func() {
		b.clock.Advance(15 * time.Minute) // each is sent a mail
		v.ProvedAt = b.clock.Now()
		source++
	}, func(email string) error {
		return b.ChangeEmail(t.Context(), v, email, identity.Device{Address: fmt.Sprint(source)})
	}, "known@example.com", "nobody@example.com", "disabled@example.com")
}

// TestService_ConfirmEmailChange_replaced_meanwhile: the word of the present address about one change is none about the
// next, though it comes while that takes the place of the first.
func TestService_ConfirmEmailChange_replaced_meanwhile(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	_, leave := m.ask(t)
	replacing, err := m.db.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replacing.Rollback() }()
	// As a change of address does, which has the account first and makes the links of the change before it worthless.
	for _, statement := range []string{`SELECT FROM users WHERE id = $1 FOR UPDATE`, `DELETE FROM mailed_tokens WHERE user_id = $1`} {
		if _, err := replacing.ExecContext(t.Context(), statement, m.asks.UserID); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := m.ConfirmEmailChange(t.Context(), leave)
		ended <- err
	}()
	patience := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for m.value(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) != "1" {
		select {
		case <-patience:
			t.Fatal("the confirmation does not wait")
		case err := <-ended:
			t.Fatalf("the confirmation did not wait: %v", err)
		case <-tick.C:
		}
	}
	if err := replacing.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, identity.ErrLinkExpired) {
		t.Errorf("confirmed: %v", err)
	}
	if c := m.waits(t, true); c.LeftAt != nil {
		t.Errorf("%+v has the consent of the one before", c)
	}
}
