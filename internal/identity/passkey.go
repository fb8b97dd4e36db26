package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// A passkey signs a challenge with a key that never leaves its device, and only for the site it was made for. The device
// verifies its holder first, by a fingerprint, a face or a PIN, so a passkey is two factors: something that its holder has,
// and something that they are or know.
//
// A challenge is bound to whom and what it was made for, and counts once, right or wrong.

const (
	ceremonyPasskeySignIn       = "PASSKEY_SIGN_IN"
	ceremonyPasskeyRegistration = "PASSKEY_REGISTRATION"
	ceremonyPasskeyProof        = "PASSKEY_PROOF"

	challengeAge = 5 * time.Minute
	// maxPasskeyAnswer is more than any device answers.
	maxPasskeyAnswer = 32 << 10
)

// PasskeyChallenge is what a browser hands to a device.
type PasskeyChallenge struct {
	Token     string // names the ceremony in the answer
	Options   string // JSON, as PublicKeyCredential.parse…OptionsFromJSON takes it
	ExpiresAt time.Time
}

// PasskeyAnswer is what a device answered.
type PasskeyAnswer struct {
	Token      string
	Credential string // JSON, as PublicKeyCredential.toJSON gives it
}

// ServePasskeys says for which site passkeys are made: its public address, and the other origins whose pages may use them.
// An origin of another domain is left out, since no browser would. It is called once, before the first request; without
// it, and for a site that has no name but an address, passkeys are UNAVAILABLE.
func (s *Service) ServePasskeys(site *url.URL, origins []string) error {
	if net.ParseIP(site.Hostname()) != nil {
		return nil
	}
	config := &webauthn.Config{
		RPID: site.Hostname(), RPDisplayName: "Marquee", RPOrigins: []string{site.Scheme + "://" + site.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
	}
	for _, origin := range origins {
		if u, err := url.Parse(origin); err == nil && (u.Hostname() == config.RPID || strings.HasSuffix(u.Hostname(), "."+config.RPID)) {
			config.RPOrigins = append(config.RPOrigins, origin)
		}
	}
	var err error
	if s.passkeys, err = webauthn.New(config); err != nil {
		return fmt.Errorf("identity: passkeys for %s: %w", site, err)
	}
	return nil
}

// relyingParty returns what checks passkeys: UNAVAILABLE when they are not served.
func (s *Service) relyingParty() (*webauthn.WebAuthn, error) {
	if s.passkeys == nil {
		return nil, apperr.New(apperr.Unavailable, "Passkeys are not served here.")
	}
	return s.passkeys, nil
}

// holder is a user as package webauthn sees one.
type holder struct {
	User
	credentials []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return h.ID[:] }
func (h holder) WebAuthnName() string                       { return h.Email }
func (h holder) WebAuthnDisplayName() string                { return h.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.credentials }

// BeginPasskey makes the challenge with which a device makes a passkey for the viewer: CONFLICT when the account has as
// many factors as it may, STEP_UP_REQUIRED.
func (s *Service) BeginPasskey(ctx context.Context, v auth.Viewer) (PasskeyChallenge, error) {
	if err := v.Recent(s.now()); err != nil {
		return PasskeyChallenge{}, err
	}
	party, err := s.relyingParty()
	if err != nil {
		return PasskeyChallenge{}, err
	}
	h, err := s.holderOf(ctx, v.UserID)
	if err != nil {
		return PasskeyChallenge{}, err
	}
	options, state, err := party.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.credentials).CredentialDescriptors()))
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("making a challenge: %w", err)
	}
	return s.challenge(ctx, ceremony{kind: ceremonyPasskeyRegistration, user: &v.UserID, session: &v.SessionID}, options.Response, state)
}

// ConfirmPasskey keeps the passkey that a device made for the viewer: ErrInvalidProof, BAD_USER_INPUT, CONFLICT,
// STEP_UP_REQUIRED.
func (s *Service) ConfirmPasskey(ctx context.Context, v auth.Viewer, name string, answer PasskeyAnswer) (Enrolled, error) {
	if err := v.Recent(s.now()); err != nil {
		return Enrolled{}, err
	}
	name, err := factorName(name)
	if err != nil {
		return Enrolled{}, err
	}
	made, err := s.readPasskey(ctx, v, answer)
	if err != nil {
		return Enrolled{}, err
	}
	kept, err := json.Marshal(made)
	if err != nil {
		return Enrolled{}, fmt.Errorf("encoding a passkey: %w", err)
	}
	var (
		enrolled Enrolled
		row      sessionRow
		recalled []recall
	)
	f := Factor{ID: typeid.New(), Kind: FactorPasskey, Name: name, CreatedAt: s.now()}
	sealedName, err := s.vault.Seal(factorCell(f.ID, "name_sealed"), name)
	if err != nil {
		return Enrolled{}, err
	}
	sealed, err := s.vault.Seal(factorCell(f.ID, "credential_sealed"), string(kept))
	if err != nil {
		return Enrolled{}, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.lockFactorsTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		if err := hasRoomTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO factors (id, user_id, kind, name_sealed, credential_hash, credential_sealed, created_at, confirmed_at)
			VALUES ($1, $2, 'PASSKEY', $3, $4, $5, $6, $6)`, f.ID, v.UserID, sealedName, credentialHash(made.ID), sealed, f.CreatedAt)
		if postgres.IsUniqueViolation(err, "factors_credential_key") {
			return apperr.New(apperr.Conflict, "This passkey is enrolled already.")
		}
		if err != nil {
			return err
		}
		enrolled.RecoveryCodes, recalled, err = s.enrolledTx(ctx, tx, v, f, &row)
		return err
	})
	if err != nil {
		return Enrolled{}, fmt.Errorf("keeping a passkey: %w", err)
	}
	s.noteRecalled(recalled)
	enrolled.Factor = f
	enrolled.Tokens, err = s.sessionTokens(ctx, v.UserID, row)
	return enrolled, err
}

// readPasskey checks what a device answered to the viewer's challenge.
func (s *Service) readPasskey(ctx context.Context, v auth.Viewer, answer PasskeyAnswer) (*webauthn.Credential, error) {
	party, err := s.relyingParty()
	if err != nil {
		return nil, err
	}
	taken, err := s.take(ctx, answer.Token, ceremonyPasskeyRegistration)
	if err != nil {
		return nil, err
	}
	if taken.user == nil || *taken.user != v.UserID || taken.session == nil || *taken.session != v.SessionID || len(answer.Credential) > maxPasskeyAnswer {
		return nil, ErrInvalidProof
	}
	state, err := sessionData(taken.state)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer.Credential))
	if err != nil {
		return nil, ErrInvalidProof
	}
	h, err := s.holderOf(ctx, v.UserID)
	if err != nil {
		return nil, err
	}
	made, err := party.CreateCredential(h, state, parsed)
	if err != nil {
		return nil, ErrInvalidProof
	}
	return made, nil
}

// BeginPasskeySignIn makes a challenge for whoever wants to sign in with a passkey, without saying who they are.
func (s *Service) BeginPasskeySignIn(ctx context.Context) (PasskeyChallenge, error) {
	party, err := s.relyingParty()
	if err != nil {
		return PasskeyChallenge{}, err
	}
	options, state, err := party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("making a challenge: %w", err)
	}
	return s.challenge(ctx, ceremony{kind: ceremonyPasskeySignIn}, options.Response, state)
}

// SignInWithPasskey starts a session by a passkey alone, which is two factors: ErrInvalidProof.
func (s *Service) SignInWithPasskey(ctx context.Context, answer PasskeyAnswer, device Device) (Tokens, error) {
	party, err := s.relyingParty()
	if err != nil {
		return Tokens{}, err
	}
	taken, err := s.take(ctx, answer.Token, ceremonyPasskeySignIn)
	if err != nil {
		return Tokens{}, err
	}
	parsed, err := parsedAssertion(answer.Credential)
	if err != nil {
		return Tokens{}, err
	}
	user, err := uuid.FromBytes(parsed.Response.UserHandle)
	if err != nil {
		return Tokens{}, ErrInvalidProof
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		return s.assertTx(ctx, tx, user, taken.state, func(h holder, state webauthn.SessionData) (*webauthn.Credential, error) {
			return party.ValidateDiscoverableLogin(func(_, _ []byte) (webauthn.User, error) { return h, nil }, state, parsed)
		})
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("signing in with a passkey: %w", err)
	}
	u, err := s.User(ctx, user)
	if err != nil {
		return Tokens{}, err
	}
	return s.admit(ctx, u, device, ProofPasskey)
}

// BeginPasskeyProof makes a challenge for the passkeys of whoever's sign-in waits under a token; without one, of the caller,
// in their session: ErrSessionEnded when no sign-in waits under it, and for nobody; CONFLICT when the account has no passkey.
func (s *Service) BeginPasskeyProof(ctx context.Context, pendingToken *string) (PasskeyChallenge, error) {
	if pendingToken == nil {
		v, ok := auth.ViewerFrom(ctx)
		if !ok {
			return PasskeyChallenge{}, ErrSessionEnded
		}
		return s.beginProof(ctx, v.UserID, &v.SessionID)
	}
	user, err := s.pendingUser(ctx, *pendingToken)
	if err != nil {
		return PasskeyChallenge{}, err
	}
	return s.beginProof(ctx, user, nil)
}

func (s *Service) beginProof(ctx context.Context, user uuid.UUID, session *uuid.UUID) (PasskeyChallenge, error) {
	party, err := s.relyingParty()
	if err != nil {
		return PasskeyChallenge{}, err
	}
	h, err := s.holderOf(ctx, user)
	if err != nil {
		return PasskeyChallenge{}, err
	}
	if len(h.credentials) == 0 {
		return PasskeyChallenge{}, apperr.New(apperr.Conflict, "The account has no passkey.")
	}
	options, state, err := party.BeginLogin(h, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("making a challenge: %w", err)
	}
	return s.challenge(ctx, ceremony{kind: ceremonyPasskeyProof, user: &user, session: session}, options.Response, state)
}

// takePasskeyProof takes the challenge that was made for a user's proof, in a session or without one.
func (s *Service) takePasskeyProof(ctx context.Context, answer PasskeyAnswer, user uuid.UUID, session *uuid.UUID) ([]byte, error) {
	taken, err := s.take(ctx, answer.Token, ceremonyPasskeyProof)
	if err != nil {
		return nil, err
	}
	sameSession := taken.session == nil && session == nil || taken.session != nil && session != nil && *taken.session == *session
	if taken.user == nil || *taken.user != user || !sameSession {
		return nil, ErrInvalidProof
	}
	return taken.state, nil
}

// usePasskeyTx checks the answer of one of the user's passkeys to a challenge: ErrInvalidProof.
func (s *Service) usePasskeyTx(ctx context.Context, tx *sql.Tx, user uuid.UUID, challenge []byte, credential string) error {
	party, err := s.relyingParty()
	if err != nil {
		return err
	}
	parsed, err := parsedAssertion(credential)
	if err != nil {
		return err
	}
	return s.assertTx(ctx, tx, user, challenge, func(h holder, state webauthn.SessionData) (*webauthn.Credential, error) {
		return party.ValidateLogin(h, state, parsed)
	})
}

// assertTx checks a signature with the passkeys of the user and keeps what it says of the one that made it. A signature
// counter that does not rise means that the key was copied: ErrInvalidProof, as for everything else that is wrong.
func (s *Service) assertTx(
	ctx context.Context, tx *sql.Tx, user uuid.UUID, challenge []byte, check func(holder, webauthn.SessionData) (*webauthn.Credential, error),
) error {
	state, err := sessionData(challenge)
	if err != nil {
		return err
	}
	credentials, factors, err := s.credentialsOf(ctx, tx, user, " FOR UPDATE")
	if err != nil {
		return err
	}
	used, err := check(holder{User: User{ID: user}, credentials: credentials}, state)
	if err != nil || used.Authenticator.CloneWarning || !used.Flags.UserVerified {
		return ErrInvalidProof
	}
	at := slices.IndexFunc(credentials, func(c webauthn.Credential) bool { return bytes.Equal(c.ID, used.ID) })
	if at < 0 {
		return ErrInvalidProof
	}
	kept, err := json.Marshal(used)
	if err != nil {
		return fmt.Errorf("encoding a passkey: %w", err)
	}
	sealed, err := s.vault.Seal(factorCell(factors[at], "credential_sealed"), string(kept))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE factors SET credential_sealed = $2, used_at = $3 WHERE id = $1`, factors[at], sealed, s.now())
	return err
}

// holderOf reads a user with their passkeys.
func (s *Service) holderOf(ctx context.Context, user uuid.UUID) (holder, error) {
	u, err := s.User(ctx, user)
	if err != nil {
		return holder{}, err
	}
	credentials, _, err := s.credentialsOf(ctx, s.db.SQL(), user, "")
	return holder{User: u, credentials: credentials}, err
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// credentialsOf returns the passkeys of a user, and the factors that they are.
func (s *Service) credentialsOf(ctx context.Context, db querier, user uuid.UUID, lock string) (credentials []webauthn.Credential, factors []uuid.UUID, err error) {
	rows, err := db.QueryContext(ctx, `SELECT id, credential_sealed FROM factors WHERE user_id = $1 AND kind = 'PASSKEY' AND confirmed_at IS NOT NULL ORDER BY id`+lock, user)
	if err != nil {
		return nil, nil, fmt.Errorf("reading passkeys: %w", err)
	}
	credentials, err = postgres.Collect(rows, func(rows *sql.Rows) (c webauthn.Credential, err error) {
		var id uuid.UUID
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return c, err
		}
		text, err := s.vault.Open(factorCell(id, "credential_sealed"), sealed)
		if err != nil {
			return c, err
		}
		factors = append(factors, id)
		err = json.Unmarshal([]byte(text), &c)
		return c, err
	})
	return credentials, factors, err
}

// credentialHash finds a passkey by its id, which is random and too long to be guessed.
func credentialHash(id []byte) []byte {
	hash := sha256.Sum256(id)
	return hash[:]
}

// challenge keeps a ceremony with what package webauthn wants to see again.
func (s *Service) challenge(ctx context.Context, c ceremony, options any, state *webauthn.SessionData) (PasskeyChallenge, error) {
	shown, err := json.Marshal(options)
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("encoding a challenge: %w", err)
	}
	if c.state, err = json.Marshal(state); err != nil {
		return PasskeyChallenge{}, fmt.Errorf("encoding a challenge: %w", err)
	}
	made := PasskeyChallenge{Options: string(shown)}
	err = s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		made.Token, made.ExpiresAt, err = s.beginTx(ctx, tx, c, challengeAge)
		return err
	})
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("keeping a challenge: %w", err)
	}
	return made, nil
}

func sessionData(state []byte) (data webauthn.SessionData, err error) {
	if err := json.Unmarshal(state, &data); err != nil {
		return data, fmt.Errorf("identity: malformed challenge: %w", err)
	}
	return data, nil
}

func parsedAssertion(credential string) (*protocol.ParsedCredentialAssertionData, error) {
	if len(credential) > maxPasskeyAnswer {
		return nil, ErrInvalidProof
	}
	parsed, err := protocol.ParseCredentialRequestResponseBody(bytes.NewReader([]byte(credential)))
	if err != nil {
		return nil, ErrInvalidProof
	}
	return parsed, nil
}
