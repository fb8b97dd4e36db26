package identity_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

// changes returns what the log has of changes of address: what was done, how it ended or from where, and by whom.
func (m *mover) changes(t *testing.T) []string {
	t.Helper()
	text := m.value(t, `SELECT coalesce(string_agg(concat_ws(' ', substr(action, 21), after ->> 'ended', after ->> 'address',
		CASE actor_id WHEN $1 THEN 'owner' ELSE coalesce('user ' || actor_id, 'system') END), '; ' ORDER BY id), '')
		FROM audit_entries WHERE action LIKE 'account.email_change%'`, m.asks.UserID)
	return strings.Split(text, "; ")
}

// fill has an address get as many letters as it may that ask whether it is to be an account's.
func (m *mover) fill(t *testing.T, email string) {
	t.Helper()
	viewer := m.viewer(t, m.signUp(t, "filler@example.com", passphrase))
	for i := range 5 {
		if err := m.ChangeEmail(t.Context(), viewer, email, identity.Device{Address: fmt.Sprintf("198.51.100.%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestD3_changes_of_address_are_recorded is that each step of a change, and each way to end it, is in the log with who took it.
func TestD3_changes_of_address_are_recorded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(t *testing.T, m *mover, take, leave string)
		want []string
	}{
		"confirmed_and_applied": {func(t *testing.T, m *mover, take, leave string) {
			t.Helper()
			m.confirm(t, leave, false)
			m.confirm(t, leave, false) // recorded once
			m.confirm(t, take, true)
		}, []string{"_confirmed PRESENT owner", "_confirmed NEXT owner", "d owner"}},
		"confirmed_and_applied_by_silence": {func(t *testing.T, m *mover, take, _ string) {
			t.Helper()
			m.confirm(t, take, false)
			m.clock.Advance(7 * 24 * time.Hour)
			m.settleInBackground(t)
		}, []string{"_confirmed NEXT owner", "d system"}},
		"cancelled_from_the_present_address": {func(t *testing.T, m *mover, _, leave string) {
			t.Helper()
			if err := m.CancelEmailChange(m.from(t), leave); err != nil {
				t.Fatal(err)
			}
		}, []string{"_ended CANCELLED PRESENT owner"}},
		"cancelled_from_the_next_address": {func(t *testing.T, m *mover, take, _ string) {
			t.Helper()
			if err := m.CancelEmailChange(m.from(t), take); err != nil {
				t.Fatal(err)
			}
		}, []string{"_ended CANCELLED NEXT owner"}},
		"withdrawn": {func(t *testing.T, m *mover, _, _ string) {
			t.Helper()
			if _, err := m.WithdrawEmailChange(t.Context(), m.other); err != nil {
				t.Fatal(err)
			}
		}, []string{"_ended WITHDRAWN owner"}},
		"replaced": {func(t *testing.T, m *mover, _, _ string) {
			t.Helper()
			m.ask(t)
		}, []string{"_ended REPLACED owner", "_asked owner"}},
		"lapsed": {func(t *testing.T, m *mover, _, leave string) {
			t.Helper()
			m.confirm(t, leave, false)
			m.clock.Advance(24 * time.Hour)
			m.settleInBackground(t)
			m.settleInBackground(t)
		}, []string{"_confirmed PRESENT owner", "_ended LAPSED system"}},
		"lapsed_and_asked_for_again_before_it_was_forgotten": {func(t *testing.T, m *mover, _, leave string) {
			t.Helper()
			m.clock.Advance(24 * time.Hour)
			m.asks.ProvedAt = m.clock.Now()
			m.ask(t)
			m.refuses(t, "a link of the change before", leave)
		}, []string{"_ended LAPSED system", "_asked owner"}},
		"the_password_was_changed": {func(t *testing.T, m *mover, _, _ string) {
			t.Helper()
			if err := m.ChangePassword(t.Context(), m.other, identity.ChangePasswordInput{Current: passphrase, New: nextPassphrase}, phone); err != nil {
				t.Fatal(err)
			}
		}, []string{"_ended PASSWORD_CHANGED owner"}},
		"the_account_was_recovered": {func(t *testing.T, m *mover, _, _ string) {
			t.Helper()
			m.request(t, oldAddress)
			if err := m.ResetPassword(t.Context(), m.token(t, m.box, oldAddress, notify.ResetPassword), nextPassphrase); err != nil {
				t.Fatal(err)
			}
		}, []string{"_ended PASSWORD_CHANGED system"}},
		"the_account_was_disabled": {func(t *testing.T, m *mover, _, _ string) {
			t.Helper()
			if _, err := m.DisableUser(t.Context(), m.Operator(), m.asks.UserID, "taken over"); err != nil {
				t.Fatal(err)
			}
		}, []string{"_ended ACCOUNT_DISABLED system"}},
		"the_address_was_taken_meanwhile": {func(t *testing.T, m *mover, take, _ string) {
			t.Helper()
			m.confirm(t, take, false)
			m.signUp(t, newAddress, passphrase)
			m.clock.Advance(7 * 24 * time.Hour)
			m.settleInBackground(t)
		}, []string{"_confirmed NEXT owner", "_ended TAKEN system"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMover(t)
			take, leave := m.ask(t)
			test.do(t, m, take, leave)
			if got, want := m.changes(t), append([]string{"_asked owner"}, test.want...); !slices.Equal(got, want) {
				t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestService_ChangeEmail_to_an_address_that_got_its_letters is that asking for an address which may get no more letters
// looks like asking for any other, from the account's side, from the present address, and in what a second device is shown;
// only the address itself is spared. It can be asked for again when the address may get letters.
func TestService_ChangeEmail_to_an_address_that_got_its_letters(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.fill(t, newAddress)
	before := len(m.letters(t, m.box, newAddress))
	if err := m.ChangeEmail(t.Context(), m.asks, newAddress, phone); err != nil {
		t.Fatal(err)
	}
	if c := m.waits(t, true); c.Email != newAddress {
		t.Errorf("%+v", c)
	}
	leave := m.token(t, m.box, oldAddress, notify.LeaveAddress)
	if got := m.letters(t, m.box, newAddress); len(got) != before {
		t.Errorf("the address got %s", got[0].Kind)
	}
	m.confirm(t, leave, false)
	m.clock.Advance(15 * time.Minute)
	m.asks.ProvedAt = m.clock.Now()
	take, again := m.ask(t)
	m.refuses(t, "replaced", leave)
	m.confirm(t, again, false)
	m.confirm(t, take, true)
	m.has(t, newAddress)
}

// TestService_ChangeEmail_often bounds how many letters an account sends to others, from however many networks it asks.
func TestService_ChangeEmail_often(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	ask := func(i int) error {
		device := identity.Device{Address: fmt.Sprintf("198.51.100.%d", i)}
		return m.ChangeEmail(t.Context(), m.asks, fmt.Sprintf("stranger%d@example.com", i), device)
	}
	for i := range 5 {
		if err := ask(i); err != nil {
			t.Fatal(err)
		}
	}
	before := m.waits(t, true).Email
	if err := ask(5); apperr.CodeOf(err) != apperr.Throttled {
		t.Errorf("%v, want to be throttled", err)
	}
	if c := m.waits(t, true); c.Email != before {
		t.Errorf("%+v waits in the place of %s", c, before)
	}
	m.clock.Advance(15 * time.Minute)
	m.asks.ProvedAt = m.clock.Now()
	if err := ask(6); err != nil {
		t.Error(err)
	}
	if err := ask(7); apperr.CodeOf(err) != apperr.Throttled {
		t.Errorf("%v, want to be throttled", err)
	}
}

// TestA4_letters_of_one_kind_keep_none_of_another_away lets nobody keep an owner from recovery by asking for other letters.
func TestA4_letters_of_one_kind_keep_none_of_another_away(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	for i := range 8 {
		if err := m.RequestSignUp(t.Context(), oldAddress, identity.Device{Address: fmt.Sprintf("198.51.100.%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	for _, letter := range m.letters(t, m.box, oldAddress) {
		if letter.Kind == notify.AccountExists {
			told++
		}
	}
	if told != 5 {
		t.Errorf("%d letters of one kind, want 5", told)
	}
	for i := range 5 {
		other := m.viewer(t, m.signUp(t, fmt.Sprintf("other%d@example.com", i), passphrase))
		if err := m.ChangeEmail(t.Context(), other, oldAddress, phone); err != nil {
			t.Fatal(err)
		}
	}
	m.letters(t, m.box, "")
	m.request(t, oldAddress)
	m.token(t, m.box, oldAddress, notify.ResetPassword)
}

// TestService_SettleEmailChanges is that changes which cannot be applied, however many, keep no other from it, that what
// is told of them is bounded, and that all of many which have lapsed are forgotten and recorded.
func TestService_SettleEmailChanges(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	const many = 205
	broken := func(prefix string, age time.Duration, taken any) {
		t.Helper()
		m.exec(t, `WITH people AS (INSERT INTO users (id, email_sealed, email_index, name_sealed, created_at)
			SELECT gen_random_uuid(), '\x00', '\x00000000' || sha256(convert_to($1 || n, 'UTF8')), '\x00', $2 FROM generate_series(1, $3::integer) n RETURNING id)
			INSERT INTO email_changes (id, user_id, session_id, email_sealed, created_at, taken_at)
			SELECT gen_random_uuid(), id, gen_random_uuid(), '\x00', $2, $4 FROM people`, prefix, m.clock.Now().Add(-age), many, taken)
	}
	broken("waits", 7*24*time.Hour, m.clock.Now())
	broken("lapsed", 24*time.Hour, nil)
	take, _ := m.ask(t)
	m.confirm(t, take, false)
	m.clock.Advance(7 * 24 * time.Hour)
	applied, err := m.SettleEmailChanges(t.Context())
	if applied != 1 || err == nil || strings.Count(err.Error(), "applying a change") > 10 {
		t.Errorf("%d changes were applied, %v", applied, err)
	}
	m.has(t, newAddress)
	if n := m.value(t, `SELECT count(*) FROM email_changes`); n != fmt.Sprint(many) {
		t.Errorf("%s changes are left", n)
	}
	if n := m.value(t, `SELECT count(DISTINCT subject) FROM audit_entries WHERE after ->> 'ended' = 'LAPSED' AND actor_id IS NULL`); n != fmt.Sprint(many) {
		t.Errorf("%s have lapsed in the log", n)
	}
}

// TestService_settleEmailChange is that the end of a change whose address was taken is the end of that one only, and not of
// another that was asked for in between.
func TestService_settleEmailChange(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.ask(t)
	first := uuid.MustParse(m.value(t, `SELECT id FROM email_changes`))
	if err := m.ChangeEmail(t.Context(), m.asks, "nora@third.example", phone); err != nil {
		t.Fatal(err)
	}
	if err := m.GiveUpEmailChange(t.Context(), first, m.asks.UserID); !errors.Is(err, identity.ErrLinkExpired) {
		t.Errorf("giving up the first: %v", err)
	}
	if c := m.waits(t, true); c.Email != "nora@third.example" {
		t.Errorf("%+v", c)
	}
	second := uuid.MustParse(m.value(t, `SELECT id FROM email_changes`))
	if err := m.GiveUpEmailChange(t.Context(), second, m.asks.UserID); err != nil {
		t.Errorf("giving up the second: %v", err)
	}
	m.waits(t, false)
}

// from is the context of a request that nobody is signed in to: what follows a link.
func (m *mover) from(t *testing.T) context.Context {
	t.Helper()
	return audit.WithOrigin(t.Context(), audit.Origin{RequestID: "r1", Address: phone.Address})
}

// settleInBackground is what a node does each hour, by nobody's request.
func (m *mover) settleInBackground(t *testing.T) {
	t.Helper()
	if _, err := m.SettleEmailChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
}
