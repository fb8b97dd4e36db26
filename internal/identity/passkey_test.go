package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
)

var site = virtualwebauthn.RelyingParty{ID: "tickets.example", Name: "Marquee", Origin: "https://tickets.example"}

// authenticator is a device with one passkey.
type authenticator struct {
	virtualwebauthn.Authenticator
	credential virtualwebauthn.Credential
}

func newAuthenticator(user identity.User) *authenticator {
	return &authenticator{
		Authenticator: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: user.ID[:]}),
		credential:    virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, deviceKey()),
	}
}

// deviceKey makes a key pair. Package virtualwebauthn leaves out leading zeros of a public key's coordinates, which one
// pair in 128 has, and a server rightly refuses what is left.
func deviceKey() []byte {
	for {
		pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		point, err := pair.PublicKey.Bytes() // 4, and two coordinates of 32 bytes
		if err != nil {
			panic(err)
		}
		if point[1] == 0 || point[33] == 0 {
			continue
		}
		encoded, err := x509.MarshalPKCS8PrivateKey(pair)
		if err != nil {
			panic(err)
		}
		return encoded
	}
}

// create makes the passkey.
func (a *authenticator) create(t *testing.T, at virtualwebauthn.RelyingParty, c identity.PasskeyChallenge) identity.PasskeyAnswer {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(c.Options)
	if err != nil {
		t.Fatal(err)
	}
	return identity.PasskeyAnswer{Token: c.Token, Credential: virtualwebauthn.CreateAttestationResponse(at, a.Authenticator, a.credential, *options)}
}

// sign answers a challenge, with a counter that rises.
func (a *authenticator) sign(t *testing.T, at virtualwebauthn.RelyingParty, c identity.PasskeyChallenge) identity.PasskeyAnswer {
	t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(c.Options)
	if err != nil {
		t.Fatal(err)
	}
	a.credential.Counter++
	return identity.PasskeyAnswer{Token: c.Token, Credential: virtualwebauthn.CreateAssertionResponse(at, a.Authenticator, a.credential, *options)}
}

func (b bundle) withPasskeys(t *testing.T) bundle {
	t.Helper()
	if err := b.ServePasskeys(&url.URL{Scheme: "https", Host: "tickets.example"}, []string{"https://app.tickets.example", "https://tickets.example.evil.example"}); err != nil {
		t.Fatal(err)
	}
	return b
}

// passkey enrols a passkey for somebody.
func (b bundle) passkey(t *testing.T, v auth.Viewer, user identity.User) (*authenticator, identity.Enrolled) {
	t.Helper()
	c, err := b.BeginPasskey(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthenticator(user)
	enrolled, err := b.ConfirmPasskey(t.Context(), v, "Key", a.create(t, site, c))
	if err != nil {
		t.Fatal(err)
	}
	return a, enrolled
}

func (b bundle) passkeySignIn(t *testing.T) identity.PasskeyChallenge {
	t.Helper()
	c, err := b.BeginPasskeySignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPasskey is what a passkey is good for: signing in alone, as a second factor, and proving again.
func TestPasskey(t *testing.T) {
	t.Parallel()
	b := setup(t).withPasskeys(t)
	mine := b.signUp(t, "a@example.com", passphrase)
	a, enrolled := b.passkey(t, b.viewer(t, mine), mine.User)
	if f := enrolled.Factor; f.Kind != identity.FactorPasskey || f.Name != "Key" || len(enrolled.RecoveryCodes) != 10 || !b.viewer(t, enrolled.Tokens).Strong {
		t.Errorf("%+v", enrolled)
	}
	for _, at := range []virtualwebauthn.RelyingParty{site, {ID: site.ID, Name: site.Name, Origin: "https://app.tickets.example"}} {
		tokens, err := b.SignInWithPasskey(t.Context(), a.sign(t, at, b.passkeySignIn(t)), phone)
		if err != nil {
			t.Fatalf("at %s: %v", at.Origin, err)
		}
		if v := b.viewer(t, tokens); !v.Strong || v.UserID != mine.User.ID {
			t.Errorf("%+v", v)
		}
	}
	_, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone)
	needed, ok := errors.AsType[*identity.SecondFactorRequired](err)
	if !ok || !slices.Equal(needed.Factors, []identity.FactorKind{identity.FactorPasskey, identity.FactorRecoveryCode}) {
		t.Fatalf("the password alone: %v", err)
	}
	c, err := b.BeginPasskeyProof(t.Context(), &needed.PendingToken)
	if err != nil {
		t.Fatal(err)
	}
	answer := a.sign(t, site, c)
	tokens, err := b.ProveSecondFactor(t.Context(), needed.PendingToken, identity.FactorProof{Passkey: &answer}, phone)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(14 * time.Minute)
	v := b.viewer(t, tokens)
	if c, err = b.BeginPasskeyProof(auth.WithViewer(t.Context(), v), nil); err != nil {
		t.Fatal(err)
	}
	answer = a.sign(t, site, c)
	raised, err := b.ProveAgain(t.Context(), v, nil, identity.FactorProof{Passkey: &answer}, phone)
	if err != nil || b.viewer(t, raised).Recent(b.clock.Now()) != nil {
		t.Errorf("proved again: %v", err)
	}
	if _, err := b.BeginPasskeyProof(t.Context(), nil); !errors.Is(err, identity.ErrSessionEnded) {
		t.Errorf("nobody's: %v", err)
	}
	if err := setup(t).ServePasskeys(&url.URL{Scheme: "http", Host: "127.0.0.1:8080"}, nil); err != nil {
		t.Errorf("a site without a name: %v", err)
	}
	if _, err := setup(t).BeginPasskeySignIn(t.Context()); apperr.CodeOf(err) != apperr.Unavailable {
		t.Errorf("where none are served: %v", err)
	}
}

// TestAU16_A10_passkeys is what no passkey passes with.
func TestAU16_A10_passkeys(t *testing.T) {
	t.Parallel()
	b := setup(t).withPasskeys(t)
	mine, theirs := b.signUp(t, "a@example.com", passphrase), b.signUp(t, "b@example.com", passphrase)
	me, them := b.viewer(t, mine), b.viewer(t, theirs)
	a, enrolled := b.passkey(t, me, mine.User)
	other, _ := b.passkey(t, them, theirs.User)
	me = b.viewer(t, enrolled.Tokens)
	signIn := func(answer identity.PasskeyAnswer) error {
		_, err := b.SignInWithPasskey(t.Context(), answer, phone)
		return err
	}
	evil := site
	evil.Origin = "https://tickets.example.evil.example"
	abroad := virtualwebauthn.RelyingParty{ID: "evil.example", Origin: "https://evil.example"}
	register := func(change func(a *authenticator, c *identity.PasskeyChallenge), at virtualwebauthn.RelyingParty, by auth.Viewer) error {
		c, err := b.BeginPasskey(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newAuthenticator(mine.User)
		change(fresh, &c)
		_, err = b.ConfirmPasskey(t.Context(), by, "Key", fresh.create(t, at, c))
		return err
	}
	same := func(*authenticator, *identity.PasskeyChallenge) {}
	used := a.sign(t, site, b.passkeySignIn(t))
	if err := signIn(used); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"replay":           signIn(used),
		"another_origin":   signIn(a.sign(t, evil, b.passkeySignIn(t))),
		"another_site":     signIn(a.sign(t, abroad, b.passkeySignIn(t))),
		"another_sign_ins": signIn(identity.PasskeyAnswer{Token: b.passkeySignIn(t).Token, Credential: a.sign(t, site, b.passkeySignIn(t)).Credential}),
		"another_users_handle": func() error {
			thief := *other
			thief.Options.UserHandle = mine.User.ID[:]
			return signIn(thief.sign(t, site, b.passkeySignIn(t)))
		}(),
		"holder_not_verified": func() error {
			careless := *a
			careless.Options.UserNotVerified = true
			return signIn(careless.sign(t, site, b.passkeySignIn(t)))
		}(),
		"another_key": func() error {
			copied := *newAuthenticator(mine.User)
			copied.credential.ID, copied.credential.Counter = a.credential.ID, 50
			return signIn(copied.sign(t, site, b.passkeySignIn(t)))
		}(),
		"counter_back": func() error {
			clone := *a
			clone.credential.Counter = 0
			return signIn(clone.sign(t, site, b.passkeySignIn(t)))
		}(),
		"no_json":                      signIn(identity.PasskeyAnswer{Token: b.passkeySignIn(t).Token, Credential: "{"}),
		"no_challenge":                 signIn(identity.PasskeyAnswer{Credential: used.Credential}),
		"registration_of_another_site": register(same, abroad, me),
		"registration_at_another_page": register(same, evil, me),
		"registration_by_another":      register(same, site, them),
		"registration_in_another_sitting": register(same, site, b.viewer(t, func() identity.Tokens {
			tokens, err := b.SignInWithPasskey(t.Context(), a.sign(t, site, b.passkeySignIn(t)), phone)
			if err != nil {
				t.Fatal(err)
			}
			return tokens
		}())),
		"registration_without_verification": register(func(a *authenticator, _ *identity.PasskeyChallenge) { a.Options.UserNotVerified = true }, site, me),
		"registration_with_a_sign_ins_challenge": register(func(_ *authenticator, c *identity.PasskeyChallenge) {
			c.Token = b.passkeySignIn(t).Token
		}, site, me),
	} {
		if !errors.Is(err, identity.ErrInvalidProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := register(func(fresh *authenticator, _ *identity.PasskeyChallenge) { fresh.credential = other.credential }, site, me); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("the passkey of another: %v", err)
	}
	late := b.passkeySignIn(t)
	answer := a.sign(t, site, late)
	b.clock.Advance(6 * time.Minute)
	if err := signIn(answer); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("after its time: %v", err)
	}

	// As a second factor: for whom and what the challenge was made, and with whose passkey.
	_, err := b.SignIn(t.Context(), "a@example.com", passphrase, phone)
	needed, ok := errors.AsType[*identity.SecondFactorRequired](err)
	if !ok {
		t.Fatal(err)
	}
	prove := func(c identity.PasskeyChallenge, with *authenticator) error {
		answer := with.sign(t, site, c)
		_, err := b.ProveSecondFactor(t.Context(), needed.PendingToken, identity.FactorProof{Passkey: &answer}, phone)
		return err
	}
	begin := func(v auth.Viewer, pending *string) identity.PasskeyChallenge {
		c, err := b.BeginPasskeyProof(auth.WithViewer(t.Context(), v), pending)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, err := range map[string]error{
		"somebody_elses_passkey":     prove(begin(me, &needed.PendingToken), other),
		"the_challenge_of_another":   prove(begin(them, nil), other),
		"the_challenge_of_a_sitting": prove(begin(me, nil), a),
		"the_challenge_of_a_sign_in": prove(b.passkeySignIn(t), a),
	} {
		if !errors.Is(err, identity.ErrInvalidProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := prove(begin(me, &needed.PendingToken), a); err != nil {
		t.Errorf("after all that, mine: %v", err)
	}
}

// TestAU16_A10_challenges_are_used_up: an answer counts once and for what its challenge was made for. The device keeps no
// counter, as most that synchronise their passkeys, so nothing but the challenge tells a replay.
func TestAU16_A10_challenges_are_used_up(t *testing.T) {
	t.Parallel()
	b := setup(t).withPasskeys(t)
	mine := b.signUp(t, "a@example.com", passphrase)
	a, enrolled := b.passkey(t, b.viewer(t, mine), mine.User)
	me := b.viewer(t, enrolled.Tokens)
	answerTo := func(token string, challenge []byte) identity.PasskeyAnswer {
		return identity.PasskeyAnswer{Token: token, Credential: virtualwebauthn.CreateAssertionResponse(site, a.Authenticator, a.credential,
			virtualwebauthn.AssertionOptions{Challenge: challenge, RelyingPartyID: site.ID})}
	}
	signingIn := func() identity.PasskeyAnswer {
		c := b.passkeySignIn(t)
		options, err := virtualwebauthn.ParseAssertionOptions(c.Options)
		if err != nil {
			t.Fatal(err)
		}
		return answerTo(c.Token, options.Challenge)
	}
	signIn := func(answer identity.PasskeyAnswer) error {
		_, err := b.SignInWithPasskey(t.Context(), answer, phone)
		return err
	}
	used := signingIn()
	if err := signIn(used); err != nil {
		t.Fatal(err)
	}
	if err := signIn(used); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("a replay: %v", err)
	}
	rivals := signingIn()
	won := make(chan bool, 20)
	for range cap(won) {
		go func() { won <- signIn(rivals) == nil }()
	}
	winners := 0
	for range cap(won) {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("of 20 at once %d got in", winners)
	}
	c, err := b.BeginPasskey(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	options, err := virtualwebauthn.ParseAttestationOptions(c.Options)
	if err != nil {
		t.Fatal(err)
	}
	foreign := answerTo(c.Token, options.Challenge)
	if _, err := b.ProveAgain(t.Context(), me, nil, identity.FactorProof{Passkey: &foreign}, phone); !errors.Is(err, identity.ErrInvalidProof) {
		t.Errorf("a proof by the challenge of a registration: %v", err)
	}
}
