package identity_test

import (
	"errors"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/identity"
)

// TestService_ProveAgain is how long a sign-in counts as a proof, and how a session gets another one.
func TestService_ProveAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := b.signUp(t, "a@example.com", passphrase)
	proved := func(tokens identity.Tokens) error {
		t.Helper()
		v, err := b.Authenticate(t.Context(), tokens.Access)
		if err != nil {
			t.Fatal(err)
		}
		if v.Strong {
			t.Error("nobody proved a second factor")
		}
		return v.Recent(b.clock.Now())
	}
	if err := proved(tokens); err != nil {
		t.Errorf("after the sign-up: %v", err)
	}
	b.clock.Advance(11 * time.Minute)
	renewed, err := b.Refresh(t.Context(), tokens.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if err := proved(renewed); apperr.CodeOf(err) != apperr.StepUpRequired {
		t.Errorf("renewing counts as a proof: %v", err)
	}
	v, err := b.Authenticate(t.Context(), renewed.Access)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ProveAgain(t.Context(), v, "a wrong password, so long", phone); !errors.Is(err, identity.ErrInvalidCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
	if again, err := b.Refresh(t.Context(), renewed.Refresh); err != nil || apperr.CodeOf(proved(again)) != apperr.StepUpRequired {
		t.Errorf("a wrong password counts as a proof: %v", err)
	} else {
		renewed = again
	}
	raised, err := b.ProveAgain(t.Context(), v, passphrase, phone)
	if err != nil {
		t.Fatal(err)
	}
	if err := proved(raised); err != nil {
		t.Errorf("after the proof: %v", err)
	}
	if raised.Refresh != renewed.Refresh {
		t.Error("the proof renewed the session: a device whose answer is lost would lose it")
	}
	if next, err := b.Refresh(t.Context(), raised.Refresh); err != nil || proved(next) != nil {
		t.Errorf("renewing forgets the proof: %v", err)
	}
	if err := b.SignOut(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ProveAgain(t.Context(), v, passphrase, phone); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("in a session that has ended: %v", err)
	}
}
