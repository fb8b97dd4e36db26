package identity_test

import (
	"context"
	"encoding/base64"
	"errors"
	"image/png"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

const step = 30 * time.Second

// owner is a user with an authenticator app.
type owner struct {
	bundle
	email  string
	secret string
	codes  []string
	tokens identity.Tokens
}

// enrolled signs somebody up and enrols an app.
func (b bundle) enrolled(t *testing.T, email string) owner {
	t.Helper()
	o := owner{bundle: b, email: email}
	v := b.viewer(t, b.signUp(t, email, passphrase))
	begun, err := b.BeginTOTP(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	o.secret = begun.Secret
	enrolled, err := b.ConfirmTOTP(t.Context(), v, "Phone", o.code(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	o.codes, o.tokens = enrolled.RecoveryCodes, enrolled.Tokens
	b.clock.Advance(2 * step) // the code of the enrolment is over
	return o
}

// code is what the app shows some steps from now.
func (o owner) code(t *testing.T, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(o.secret, o.clock.Now().Add(time.Duration(steps)*step))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// pending is a sign-in that waits for the second factor.
func (o owner) pending(t *testing.T) *identity.SecondFactorRequired {
	t.Helper()
	_, err := o.SignIn(t.Context(), o.email, passphrase, phone)
	needed, ok := errors.AsType[*identity.SecondFactorRequired](err)
	if !ok {
		t.Fatalf("the password alone: %v", err)
	}
	return needed
}

func (o owner) prove(ctx context.Context, pending, code string) error {
	_, err := o.ProveSecondFactor(ctx, pending, identity.FactorProof{Code: &code}, phone)
	return err
}

// TestTOTP_enrolment is how an account gets an authenticator app.
func TestTOTP_enrolment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.viewer(t, b.signUp(t, "a@example.com", passphrase))
	if _, err := b.ConfirmTOTP(t.Context(), v, "Phone", "123456"); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("confirming what was not begun: %v", err)
	}
	first, err := b.BeginTOTP(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := b.BeginTOTP(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if first.Secret == begun.Secret || len(begun.Secret) != 32 || !strings.HasPrefix(begun.URI, "otpauth://totp/Marquee:a@example.com?") || !strings.Contains(begun.URI, begun.Secret) {
		t.Errorf("%+v", begun)
	}
	picture, found := strings.CutPrefix(begun.QR, "data:image/png;base64,")
	if _, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(picture))); !found || err != nil {
		t.Errorf("the QR code is no picture: %v", err)
	}
	if n := b.value(t, `SELECT count(*) FROM factors`); n != "1" {
		t.Errorf("%s enrolments wait, want 1", n)
	}
	stale, fresh := owner{bundle: b, secret: first.Secret}, owner{bundle: b, secret: begun.Secret}
	if _, err := b.ConfirmTOTP(t.Context(), v, "Phone", stale.code(t, 0)); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("a code of the enrolment before: %v", err)
	}
	if _, err := b.ConfirmTOTP(t.Context(), v, " \t", fresh.code(t, 0)); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("without a name: %v", err)
	}
	if got, err := b.Factors(t.Context(), v); err != nil || len(got) != 0 {
		t.Errorf("before it is confirmed: %+v, %v", got, err)
	}
	if _, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone); err != nil {
		t.Errorf("an enrolment that waits is asked for: %v", err)
	}
	enrolled, err := b.ConfirmTOTP(t.Context(), v, "  My phone ", fresh.code(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	if f := enrolled.Factor; f.Name != "My phone" || f.Kind != identity.FactorTOTP || len(enrolled.RecoveryCodes) != 10 {
		t.Errorf("%+v", enrolled)
	}
	if v := b.viewer(t, enrolled.Tokens); !v.Strong {
		t.Error("the enrolment is no proof")
	}
	if got, err := b.Factors(t.Context(), v); err != nil || len(got) != 1 || got[0].ID != enrolled.Factor.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if got := b.value(t, `SELECT encode(secret_sealed, 'escape') FROM factors`); strings.Contains(got, begun.Secret) {
		t.Error("the secret is in the database as it is")
	}
	late, err := b.BeginTOTP(t.Context(), b.viewer(t, enrolled.Tokens))
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(9 * time.Minute)
	raised, err := b.ProveAgain(t.Context(), v, nil, identity.FactorProof{Code: new(fresh.code(t, 0))}, phone)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(7 * time.Minute)
	if _, err := b.ConfirmTOTP(t.Context(), b.viewer(t, raised), "Late", owner{bundle: b, secret: late.Secret}.code(t, 0)); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("after a quarter of an hour: %v", err)
	}
}

// TestAU12_A6_TOTP is which codes count, and that each counts once.
func TestAU12_A6_TOTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.enrolled(t, "a@example.com")
	for name, test := range map[string]struct {
		code func() string
		good bool
	}{
		"two_steps_ago":   {func() string { return o.code(t, -2) }, false},
		"in_two_steps":    {func() string { return o.code(t, 2) }, false},
		"of_nobody":       {func() string { return owner{bundle: b, secret: "MFRGGZDFMZTWQ2LK"}.code(t, 0) }, false},
		"no_code":         {func() string { return "" }, false},
		"too_long":        {func() string { return o.code(t, 0) + "0" }, false},
		"the_step_before": {func() string { return o.code(t, -1) }, true},
		"present":         {func() string { return o.code(t, 0) }, true},
		"with_blanks":     {func() string { c := o.code(t, 0); return " " + c[:3] + " " + c[3:] }, true},
		"the_step_after":  {func() string { return o.code(t, 1) }, true},
	} {
		b.clock.Advance(time.Hour) // no wrong code makes the next one wait, and no step was used
		needed := o.pending(t)
		code := test.code()
		if err := o.prove(t.Context(), needed.PendingToken, code); (err == nil) != test.good || err != nil && !errors.Is(err, identity.ErrInvalidProof) {
			t.Errorf("%s: %v", name, err)
		}
		if !test.good {
			continue
		}
		if err := o.prove(t.Context(), needed.PendingToken, o.code(t, 1)); !errors.Is(err, identity.ErrSessionEnded) {
			t.Errorf("%s: the sign-in is completed twice: %v", name, err)
		}
		if err := o.prove(t.Context(), o.pending(t).PendingToken, code); !errors.Is(err, identity.ErrInvalidProof) {
			t.Errorf("%s: the code counts twice: %v", name, err)
		}
	}
	b.clock.Advance(time.Hour)
	later := o.code(t, 1)
	if err := o.prove(t.Context(), o.pending(t).PendingToken, later); err != nil {
		t.Fatal(err)
	}
	if err := o.prove(t.Context(), o.pending(t).PendingToken, o.code(t, 0)); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("a step before the one that was used: %v", err)
	}
}

// TestAU12_AU13_A6_parallel is that of twenty who show the same code at once, one passes.
func TestAU12_AU13_A6_parallel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.enrolled(t, "a@example.com")
	for name, proof := range map[string]func() identity.FactorProof{
		"AU12_totp":          func() identity.FactorProof { return identity.FactorProof{Code: new(o.code(t, 0))} },
		"AU13_recovery_code": func() identity.FactorProof { return identity.FactorProof{RecoveryCode: &o.codes[0]} },
	} {
		b.clock.Advance(time.Hour)
		const many = 20
		var pending [many]string
		for i := range pending {
			pending[i] = o.pending(t).PendingToken
		}
		shown := proof()
		var passed atomic.Int32
		var wait sync.WaitGroup
		for i, token := range pending {
			wait.Go(func() {
				// Sources of their own, so that the guess limits let all of them through.
				_, err := o.ProveSecondFactor(t.Context(), token, shown, identity.Device{Address: strings.Repeat("x", i+1)})
				if err == nil {
					passed.Add(1)
				} else if !errors.Is(err, identity.ErrInvalidProof) && apperr.CodeOf(err) != apperr.Throttled {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wait.Wait()
		if n := passed.Load(); n != 1 {
			t.Errorf("%s: %d of %d passed, want 1", name, n, many)
		}
	}
}

// TestFactors_are_told is that the owner of an account hears by mail of what could have been somebody else's doing.
func TestFactors_are_told(t *testing.T) {
	t.Parallel()
	b, box := setup(t), &notify.Mailbox{}
	o := b.enrolled(t, "a@example.com")
	if _, err := b.ProveSecondFactor(t.Context(), o.pending(t).PendingToken, identity.FactorProof{RecoveryCode: &o.codes[3]}, phone); err != nil {
		t.Fatal(err)
	}
	v := b.viewer(t, o.tokens)
	factors, err := b.Factors(t.Context(), v)
	if err != nil || len(factors) != 1 {
		t.Fatalf("%v, %v", factors, err)
	}
	if _, err := b.ReplaceRecoveryCodes(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RemoveFactor(t.Context(), v, factors[0].ID); err != nil {
		t.Fatal(err)
	}
	var kinds []notify.Kind
	for _, letter := range b.letters(t, box, "a@example.com") {
		kinds = append(kinds, letter.Kind)
	}
	want := []notify.Kind{notify.FactorRemoved, notify.RecoveryCode, notify.RecoveryCodes, notify.FactorAdded}
	slices.Sort(kinds)
	slices.Sort(want)
	if !slices.Equal(kinds, want) {
		t.Errorf("told of %v, want %v", kinds, want)
	}
}

// TestAU13_recovery_codes is that each stands in once, and what makes them worthless.
func TestAU13_recovery_codes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.enrolled(t, "a@example.com")
	v := b.viewer(t, o.tokens)
	left := func(want int) {
		t.Helper()
		if n, err := b.RecoveryCodesLeft(t.Context(), v); err != nil || n != want {
			t.Errorf("%d are left, want %d: %v", n, want, err)
		}
	}
	use := func(code string) error {
		_, err := b.ProveSecondFactor(t.Context(), o.pending(t).PendingToken, identity.FactorProof{RecoveryCode: &code}, phone)
		return err
	}
	left(10)
	if err := use(" " + strings.ToUpper(strings.ReplaceAll(o.codes[3], "-", " "))); err != nil {
		t.Errorf("written otherwise: %v", err)
	}
	if err := use(o.codes[3]); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("twice: %v", err)
	}
	left(9)
	other := b.enrolled(t, "b@example.com")
	if err := use(other.codes[0]); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("somebody else's: %v", err)
	}
	for _, code := range o.codes {
		if got := b.value(t, `SELECT count(*) FROM recovery_codes WHERE encode(hash, 'escape') LIKE '%' || $1 || '%'`, strings.ReplaceAll(code, "-", "")); got != "0" {
			t.Error("a code is in the database as it is")
		}
	}
	v = b.viewer(t, o.tokens)
	codes, err := b.ReplaceRecoveryCodes(t.Context(), v)
	if err != nil || len(codes) != 10 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	left(10)
	if err := use(o.codes[4]); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("one of before: %v", err)
	}
	if err := use(codes[4]); err != nil {
		t.Errorf("one of after: %v", err)
	}
	if got := b.value(t, `SELECT count(*) FROM audit_entries WHERE actor_id = $1 AND action IN ('recovery_codes.made', 'recovery_code.used')`, v.UserID); got != "4" {
		t.Errorf("%s entries in the audit log, want 4", got)
	}
	plain := b.viewer(t, b.signUp(t, "c@example.com", passphrase))
	if _, err := b.ReplaceRecoveryCodes(t.Context(), plain); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("without a factor: %v", err)
	}
}

// TestAU2_pending_token is that a sign-in that waits opens nothing.
func TestAU2_pending_token(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.enrolled(t, "a@example.com")
	needed := o.pending(t)
	if len(needed.Factors) != 2 || needed.Factors[0] != identity.FactorTOTP || needed.Factors[1] != identity.FactorRecoveryCode {
		t.Errorf("%+v", needed.Factors)
	}
	if _, err := b.Authenticate(t.Context(), needed.PendingToken); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("as an access token: %v", err)
	}
	if _, err := b.Refresh(t.Context(), needed.PendingToken); !errors.Is(err, identity.ErrSessionEnded) {
		t.Errorf("as a refresh token: %v", err)
	}
	for name, token := range map[string]string{
		"an_access_token": o.tokens.Access, "a_refresh_token": o.tokens.Refresh, "nothing": "", "NUL": "\x00", "an_altered_one": needed.PendingToken + "A",
	} {
		if err := o.prove(t.Context(), token, o.code(t, 0)); !errors.Is(err, identity.ErrSessionEnded) {
			t.Errorf("%s as a sign-in that waits: %v", name, err)
		}
	}
	if n := b.value(t, `SELECT count(*) FROM sessions`); n != "1" {
		t.Errorf("%s sessions, want the first one only", n)
	}
	b.clock.Advance(11 * time.Minute)
	if err := o.prove(t.Context(), needed.PendingToken, o.code(t, 0)); !errors.Is(err, identity.ErrSessionEnded) {
		t.Errorf("after its time: %v", err)
	}
	if n, err := b.ForgetCeremonies(t.Context()); err != nil || n != 1 {
		t.Errorf("%d forgotten, %v", n, err)
	}
	last := o.pending(t)
	raised, err := b.ProveAgain(t.Context(), b.viewer(t, o.tokens), nil, identity.FactorProof{Code: new(o.code(t, 0))}, phone)
	if err != nil {
		t.Fatal(err)
	}
	change := identity.ChangePasswordInput{Current: passphrase, New: "another long enough phrase"}
	if err := b.ChangePassword(t.Context(), b.viewer(t, raised), change, phone); err != nil {
		t.Fatal(err)
	}
	if err := o.prove(t.Context(), last.PendingToken, o.code(t, 1)); !errors.Is(err, identity.ErrSessionEnded) {
		t.Errorf("after the password was changed: %v", err)
	}
}

// TestA5_codes is that codes are guessed no faster than passwords, and that a right password forgives no wrong code.
func TestA5_codes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.enrolled(t, "a@example.com")
	far := b.node(t)
	throttled := 0
	for i := range 20 {
		pending := o.pending(t).PendingToken
		s := b.Service
		if i%2 == 1 {
			s = far
		}
		_, err := s.ProveSecondFactor(t.Context(), pending, identity.FactorProof{Code: new("000000")}, phone)
		if apperr.CodeOf(err) == apperr.Throttled {
			throttled++
		} else if !errors.Is(err, identity.ErrInvalidProof) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if throttled != 15 {
		t.Errorf("%d of 20 guesses were not looked at, want 15", throttled)
	}
	v := b.viewer(t, o.tokens)
	if _, err := b.ProveAgain(t.Context(), v, nil, identity.FactorProof{Code: new(o.code(t, 0))}, phone); apperr.CodeOf(err) != apperr.Throttled {
		t.Errorf("by the other way in: %v", err)
	}
	b.clock.Advance(time.Hour)
	if err := o.prove(t.Context(), o.pending(t).PendingToken, o.code(t, 0)); err != nil {
		t.Errorf("the owner is locked out: %v", err)
	}
}

// TestStepUp is what a second factor changes in the sessions of its account.
func TestStepUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.signUp(t, "a@example.com", passphrase)
	other, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone)
	if err != nil {
		t.Fatal(err)
	}
	v := b.viewer(t, mine)
	begun, err := b.BeginTOTP(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	o := owner{bundle: b, email: "a@example.com", secret: begun.Secret}
	enrolled, err := b.ConfirmTOTP(t.Context(), v, "Phone", o.code(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(t.Context(), other.Access); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("the other session's token says what was proved before: %v", err)
	}
	renewed, err := b.Refresh(t.Context(), other.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	weak := b.viewer(t, renewed)
	if weak.Strong || !weak.ProvedAt.IsZero() || apperr.CodeOf(weak.Recent(b.clock.Now())) != apperr.StepUpRequired {
		t.Errorf("the other session is %+v", weak)
	}
	for name, try := range map[string]func(v auth.Viewer) error{
		"begin an app":    func(v auth.Viewer) error { _, err := b.BeginTOTP(t.Context(), v); return err },
		"confirm an app":  func(v auth.Viewer) error { _, err := b.ConfirmTOTP(t.Context(), v, "x", "1"); return err },
		"begin a passkey": func(v auth.Viewer) error { _, err := b.BeginPasskey(t.Context(), v); return err },
		"confirm a passkey": func(v auth.Viewer) error {
			_, err := b.ConfirmPasskey(t.Context(), v, "x", identity.PasskeyAnswer{})
			return err
		},
		"remove a factor": func(v auth.Viewer) error { _, err := b.RemoveFactor(t.Context(), v, enrolled.Factor.ID); return err },
		"replace codes":   func(v auth.Viewer) error { _, err := b.ReplaceRecoveryCodes(t.Context(), v); return err },
		"change the password": func(v auth.Viewer) error {
			return b.ChangePassword(t.Context(), v, identity.ChangePasswordInput{Current: passphrase, New: "another long enough phrase"}, phone)
		},
	} {
		if err := try(weak); apperr.CodeOf(err) != apperr.StepUpRequired {
			t.Errorf("%s: %v, want STEP_UP_REQUIRED", name, err)
		}
	}
	if _, err := b.ProveAgain(t.Context(), weak, new(passphrase), identity.FactorProof{}, phone); apperr.CodeOf(err) != apperr.SecondFactorRequired {
		t.Errorf("the password alone proves: %v", err)
	}
	for name, proof := range map[string]identity.FactorProof{"none": {}, "two": {Code: new("1"), RecoveryCode: new("1")}} {
		if _, err := b.ProveAgain(t.Context(), weak, nil, proof, phone); apperr.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.ProveSecondFactor(t.Context(), "", proof, phone); apperr.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.clock.Advance(time.Minute)
	raised, err := b.ProveAgain(t.Context(), weak, nil, identity.FactorProof{Code: new(o.code(t, 0))}, phone)
	if err != nil {
		t.Fatal(err)
	}
	if v := b.viewer(t, raised); !v.Strong || v.Recent(b.clock.Now()) != nil {
		t.Errorf("after the proof: %+v", v)
	}

	// Without a factor there is nothing left that was proved.
	stranger := b.viewer(t, b.signUp(t, "b@example.com", passphrase))
	if _, err := b.RemoveFactor(t.Context(), stranger, enrolled.Factor.ID); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("a stranger removes it: %v", err)
	}
	if _, err := b.RenameFactor(t.Context(), stranger, enrolled.Factor.ID, "Mine"); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("a stranger renames it: %v", err)
	}
	if f, err := b.RenameFactor(t.Context(), v, enrolled.Factor.ID, " Tablet "); err != nil || f.Name != "Tablet" {
		t.Errorf("renamed: %+v, %v", f, err)
	}
	after, err := b.RemoveFactor(t.Context(), b.viewer(t, enrolled.Tokens), enrolled.Factor.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(t.Context(), enrolled.Tokens.Access); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("a token goes on saying that a second factor was proved: %v", err)
	}
	if v := b.viewer(t, after); v.Strong || v.ProvedAt.IsZero() {
		t.Errorf("after the removal: %+v", v)
	}
	if _, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone); err != nil {
		t.Errorf("a factor that is gone is asked for: %v", err)
	}
	if n := b.value(t, `SELECT count(*) FROM recovery_codes`); n != "0" {
		t.Errorf("%s recovery codes are left", n)
	}
}
