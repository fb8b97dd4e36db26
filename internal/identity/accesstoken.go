package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
)

const (
	accessAge = 15 * time.Minute
	// keyPeriod is how long a key signs. The keys of the periods before and after are accepted as well, so that neither
	// a token that was made just before the change nor a clock that runs ahead is refused.
	keyPeriod = 30 * 24 * time.Hour

	tokenIssuer   = "marquee"
	tokenAudience = "marquee-api"
	tokenType     = "at+jwt" // RFC 9068
	maxTokenBytes = 2 << 10  // auth.MaxGrants of theaters fit
)

// PublicKey is a key that access tokens can be verified with, as RFC 8037 writes it.
type PublicKey struct {
	ID string
	X  string // base64url
}

// accessTokens makes and reads the signed tokens that requests carry. The keys are derived from one secret and the
// period they are for, so all nodes that share the secret agree on them and nothing has to be stored or fetched.
type accessTokens struct {
	secret []byte
	clock  clock.Clock
	keys   sync.Map // period (int64) -> signingKey
}

type signingKey struct {
	id      string
	private ed25519.PrivateKey
}

// claims are what an access token says.
type claims struct {
	jwt.RegisteredClaims

	Session    uuid.UUID        `json:"sid"`
	Generation int32            `json:"gen"`
	Grants     auth.Grants      `json:"grants"`
	ProvedAt   *jwt.NumericDate `json:"auth_time,omitempty"`
	Strong     bool             `json:"strong,omitempty"`
}

func (t *accessTokens) key(period int64) (signingKey, error) {
	if kept, ok := t.keys.Load(period); ok {
		return kept.(signingKey), nil
	}
	seed, err := hkdf.Key(sha256.New, t.secret, nil, fmt.Sprintf("marquee access token %d", period), ed25519.SeedSize)
	if err != nil {
		return signingKey{}, fmt.Errorf("identity: derive a signing key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	thumbprint := sha256.Sum256(private.Public().(ed25519.PublicKey))
	made := signingKey{id: base64.RawURLEncoding.EncodeToString(thumbprint[:12]), private: private}
	t.keys.Store(period, made)
	return made, nil
}

func (t *accessTokens) period() int64 { return t.clock.Now().Unix() / int64(keyPeriod/time.Second) }

// accepted returns the keys of the period before, this one and the next.
func (t *accessTokens) accepted() ([]signingKey, error) {
	var accepted []signingKey
	for period := t.period() - 1; period <= t.period()+1; period++ {
		key, err := t.key(period)
		if err != nil {
			return nil, err
		}
		accepted = append(accepted, key)
	}
	return accepted, nil
}

// make returns a token of a viewer, whose ExpiresAt it sets.
func (t *accessTokens) make(v *auth.Viewer) (string, error) {
	key, err := t.key(t.period())
	if err != nil {
		return "", err
	}
	now := t.clock.Now().Truncate(time.Second)
	v.ExpiresAt = now.Add(accessAge)
	says := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: tokenIssuer, Audience: jwt.ClaimStrings{tokenAudience}, Subject: v.UserID.String(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(v.ExpiresAt),
		},
		Session: v.SessionID, Generation: v.Generation, Grants: v.Grants, Strong: v.Strong,
	}
	if !v.ProvedAt.IsZero() {
		says.ProvedAt = jwt.NewNumericDate(v.ProvedAt)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, says)
	token.Header["typ"], token.Header["kid"] = tokenType, key.id
	signed, err := token.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("identity: sign an access token: %w", err)
	}
	return signed, nil
}

// MintAccessToken returns the access token that a Service with the same secret would give to a viewer. Only whoever
// knows the secret can; benchmarks do, whose viewers have sessions without ever signing in.
func MintAccessToken(secret []byte, c clock.Clock, v auth.Viewer) (string, error) {
	key, err := derived(secret, "access tokens")
	if err != nil {
		return "", err
	}
	return (&accessTokens{secret: key, clock: c}).make(&v)
}

var errToken = errors.New("identity: not an access token of ours")

// read returns the viewer that a token names: UNAUTHENTICATED unless it is ours, of this kind, whole and of this time.
// Nothing in the token chooses how it is verified: a key is looked up among ours, the algorithm is fixed, and a header
// that would bring a key along is refused.
func (t *accessTokens) read(token string) (auth.Viewer, error) {
	if len(token) > maxTokenBytes {
		return auth.Viewer{}, errEnded()
	}
	var c claims
	parsed, err := jwt.ParseWithClaims(token, &c, t.keyFor,
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(tokenIssuer), jwt.WithAudience(tokenAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(t.clock.Now), jwt.WithStrictDecoding())
	if err != nil || !parsed.Valid {
		return auth.Viewer{}, errEnded()
	}
	user, err := uuid.Parse(c.Subject)
	if err != nil || c.Session == uuid.Nil {
		return auth.Viewer{}, errEnded()
	}
	v := auth.Viewer{UserID: user, SessionID: c.Session, Grants: c.Grants, Generation: c.Generation, ExpiresAt: c.ExpiresAt.Time, Strong: c.Strong}
	if c.ProvedAt != nil {
		v.ProvedAt = c.ProvedAt.Time
	}
	return v, nil
}

// clockSkew is how far the clocks of two nodes may be apart.
const clockSkew = 5 * time.Second

func (t *accessTokens) keyFor(token *jwt.Token) (any, error) {
	for name := range token.Header {
		if name != "alg" && name != "typ" && name != "kid" {
			return nil, errToken
		}
	}
	if token.Header["typ"] != tokenType {
		return nil, errToken
	}
	accepted, err := t.accepted()
	if err != nil {
		return nil, err
	}
	for _, key := range accepted {
		if token.Header["kid"] == key.id {
			return key.private.Public(), nil
		}
	}
	return nil, errToken
}

// errEnded is what everybody learns whose token does not count, whatever is wrong with it.
func errEnded() error {
	return apperr.New(apperr.Unauthenticated, "Your session has ended. Sign in again.")
}

// PublicKeys returns the keys that access tokens are verified with, for those who verify them elsewhere.
func (s *Service) PublicKeys() ([]PublicKey, error) {
	accepted, err := s.tokens.accepted()
	keys := make([]PublicKey, len(accepted))
	for i, key := range accepted {
		keys[i] = PublicKey{ID: key.id, X: base64.RawURLEncoding.EncodeToString(key.private.Public().(ed25519.PublicKey))}
	}
	return keys, err
}
