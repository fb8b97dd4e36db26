package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
)

func tokens(now time.Time) (*accessTokens, *clock.Fake) {
	fake := clock.NewFake(now)
	return &accessTokens{secret: []byte("a secret of thirty-two bytes, yes"), clock: fake}, fake
}

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// TestAccessTokens_read is A1: what was not made here, for this purpose and this time, is refused (AU1, AU2, AU3).
func TestAccessTokens_read(t *testing.T) {
	t.Parallel()
	mint, _ := tokens(noon)
	key, err := mint.key(mint.period())
	if err != nil {
		t.Fatal(err)
	}
	public := key.private.Public().(ed25519.PublicKey)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	user := uuid.New()
	good := func() claims {
		return claims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer: tokenIssuer, Audience: jwt.ClaimStrings{tokenAudience}, Subject: user.String(),
				IssuedAt: jwt.NewNumericDate(noon), NotBefore: jwt.NewNumericDate(noon), ExpiresAt: jwt.NewNumericDate(noon.Add(time.Minute)),
			},
			Session: uuid.New(), Generation: 3, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleAdmin}), Strong: true,
		}
	}
	sign := func(method jwt.SigningMethod, with any, header map[string]any, c claims) string {
		t.Helper()
		token := jwt.NewWithClaims(method, c)
		token.Header["typ"], token.Header["kid"] = tokenType, key.id
		for name, value := range header {
			if token.Header[name] = value; value == nil {
				delete(token.Header, name)
			}
		}
		text, err := token.SignedString(with)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ours := func(header map[string]any, change func(*claims)) string {
		c := good()
		if change != nil {
			change(&c)
		}
		return sign(jwt.SigningMethodEdDSA, key.private, header, c)
	}
	right := ours(nil, nil)
	if v, err := mint.read(right); err != nil || v.UserID != user || !v.Has(auth.RoleAdmin, auth.Platform) || v.Generation != 3 || !v.ExpiresAt.Equal(noon.Add(time.Minute)) {
		t.Fatalf("the right one: %+v, %v", v, err)
	}
	parts := strings.Split(right, ".")
	embedded := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(stranger.Public().(ed25519.PublicKey))}
	at := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(noon.Add(d)) }
	for name, token := range map[string]string{
		"AU1_alg_none":                        sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good()),
		"AU1_alg_none_with_our_signature":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"`+key.id+`"}`)) + "." + parts[1] + "." + parts[2],
		"AU1_HS256_with_the_public_key":       sign(jwt.SigningMethodHS256, []byte(public), nil, good()),
		"AU1_kid_is_a_path":                   ours(map[string]any{"kid": "../../../../dev/null"}, nil),
		"AU1_kid_is_SQL":                      ours(map[string]any{"kid": "' OR 1=1--"}, nil),
		"AU1_kid_is_a_number":                 ours(map[string]any{"kid": 7}, nil),
		"AU1_no_kid":                          ours(map[string]any{"kid": nil}, nil),
		"AU1_jku":                             ours(map[string]any{"jku": "http://127.0.0.1:1/keys"}, nil),
		"AU1_x5u":                             ours(map[string]any{"x5u": "http://127.0.0.1:1/cert"}, nil),
		"AU1_embedded_jwk":                    sign(jwt.SigningMethodEdDSA, stranger, map[string]any{"jwk": embedded}, good()),
		"AU1_crit":                            ours(map[string]any{"crit": []string{"exp"}}, nil),
		"AU1_a_strangers_key":                 sign(jwt.SigningMethodEdDSA, stranger, nil, good()),
		"AU2_type_JWT":                        ours(map[string]any{"typ": "JWT"}, nil),
		"AU2_no_type":                         ours(map[string]any{"typ": nil}, nil),
		"AU2_wrong_audience":                  ours(nil, func(c *claims) { c.Audience = jwt.ClaimStrings{"someone-else"} }),
		"AU2_no_audience":                     ours(nil, func(c *claims) { c.Audience = nil }),
		"AU2_wrong_issuer":                    ours(nil, func(c *claims) { c.Issuer = "marquee.example" }),
		"AU2_expired":                         ours(nil, func(c *claims) { c.ExpiresAt = at(-6 * time.Second) }),
		"AU2_without_end":                     ours(nil, func(c *claims) { c.ExpiresAt = nil }),
		"AU2_not_yet":                         ours(nil, func(c *claims) { c.NotBefore = at(6 * time.Second) }),
		"AU2_made_in_the_future":              ours(nil, func(c *claims) { c.IssuedAt = at(6 * time.Second) }),
		"AU2_of_nobody":                       ours(nil, func(c *claims) { c.Subject = "" }),
		"AU2_of_no_session":                   ours(nil, func(c *claims) { c.Session = uuid.Nil }),
		"AU3_a_million_dots":                  strings.Repeat(".", 1_000_000),
		"AU3_four_parts":                      right + ".",
		"AU3_nothing":                         "",
		"claims_of_another_under_our_signing": parts[0] + "." + strings.Split(ours(nil, func(c *claims) { c.Grants = auth.Grants{} }), ".")[1] + "." + parts[2],
		"padded":                              right + "=",
		"one_letter_more":                     right + "A",
		"one_letter_less":                     right[:len(right)-1],
		"in_capitals":                         strings.ToUpper(right),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v, err := mint.read(token); apperr.CodeOf(err) != apperr.Unauthenticated || v != (auth.Viewer{}) {
				t.Errorf("it is read as %+v, %v", v, err)
			}
		})
	}
}

// TestAccessTokens_rotation is A9: the change of the key refuses no token that was made before it or by a node whose
// clock is ahead, and a key two periods old is gone.
func TestAccessTokens_rotation(t *testing.T) {
	t.Parallel()
	edge := time.Unix(0, 0).Add(700 * keyPeriod)
	before, _ := tokens(edge.Add(-time.Second))
	after, hands := tokens(edge)
	same := auth.Viewer{UserID: uuid.New(), SessionID: uuid.New()}
	mint := func(by *accessTokens) string {
		v := same
		token, err := by.make(&v)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	old, fresh := mint(before), mint(after)
	if strings.Split(old, ".")[0] == strings.Split(fresh, ".")[0] {
		t.Error("the key did not change")
	}
	if _, err := after.read(old); err != nil {
		t.Errorf("made before the change, read after: %v", err)
	}
	if _, err := before.read(fresh); err != nil {
		t.Errorf("made by a clock ahead, read by one behind: %v", err)
	}
	keys, err := after.accepted()
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	hands.Advance(2 * keyPeriod)
	for range 2 {
		keys, err = after.accepted()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		if key.id == mustKey(t, before).id {
			t.Error("a key of two periods ago is still accepted")
		}
	}
	other := &accessTokens{secret: []byte("another secret of thirty-two byte"), clock: hands}
	if _, err := other.read(mint(after)); err == nil {
		t.Error("an installation reads the tokens of another")
	}
}

func mustKey(t *testing.T, tokens *accessTokens) signingKey {
	t.Helper()
	key, err := tokens.key(tokens.period())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func BenchmarkAccessTokens_read(b *testing.B) {
	mint, _ := tokens(noon)
	token, err := mint.make(&auth.Viewer{UserID: uuid.New(), SessionID: uuid.New()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mint.read(token); err != nil {
			b.Fatal(err)
		}
	}
}
