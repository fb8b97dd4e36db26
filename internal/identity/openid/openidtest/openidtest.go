// Package openidtest is an OpenID provider inside a test: it does what an honest one does, to the letter, and whatever a
// test tells it to do instead. For tests only.
package openidtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"marquee/internal/clock"
)

// What a client is known by, and where it is sent back to.
const (
	ClientID     = "marquee"
	ClientSecret = "client secret of the tests"
	RedirectURI  = "https://tickets.example/signed-in"
)

// Person is what the provider says of somebody: the claims of an ID token, beside those that are the token's own.
type Person map[string]any

// Issuer is a running provider. Set its fields before it is asked; nil is the honest way.
type Issuer struct {
	URL   string
	Clock clock.Clock
	// Change is given the claims of each ID token before it is signed.
	Change func(claims jwt.MapClaims)
	// AccessToken is what the client is given beside the ID token.
	AccessToken string
	// Sign makes the ID token.
	Sign func(claims jwt.MapClaims) string
	// Describe is given the configuration before it is told.
	Describe func(configuration map[string]any)
	// Tells makes the ID token say nothing of people but their subjects; the answer of /userinfo says what Tells returns.
	Tells func(Person) Person
	// Instead answers requests for a path.
	Instead map[string]http.HandlerFunc

	t   testing.TB
	key *ecdsa.PrivateKey

	mu    sync.Mutex
	codes map[string]grant
	told  Person // whom the last ID token was about
	asked map[string]int
}

// grant is what a code stands for.
type grant struct {
	challenge, nonce, redirectURI string
	person                        Person
}

// New starts a provider that ends with the test.
func New(t testing.TB, c clock.Clock) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{Clock: c, AccessToken: rand.Text(), Instead: map[string]http.HandlerFunc{}, t: t, key: key, codes: map[string]grant{}, asked: map[string]int{}}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.URL = server.URL
	i.Sign = i.Signed
	return i
}

// Asked returns how often a path was requested.
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// Callback is what the browser is sent back with.
type Callback struct{ State, Code, Issuer string }

// SignIn is a person who goes to an authorization address, signs in there, and is sent back. An address that an honest
// provider would refuse fails the test.
func (i *Issuer) SignIn(t testing.TB, address string, person Person) Callback {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, i.URL+"/authorize?") {
		t.Fatalf("sent to %s, %v", address, err)
	}
	q := u.Query()
	for name, want := range map[string]string{"response_type": "code", "client_id": ClientID, "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	const hash = 43 // letters
	if len(q.Get("code_challenge")) != hash || len(q.Get("state")) != hash || len(q.Get("nonce")) != hash || !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		t.Errorf("sent to %s", address)
	}
	code := rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.codes[code] = grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri"), person}
	return Callback{State: q.Get("state"), Code: code, Issuer: i.URL}
}

// ServeHTTP implements http.Handler.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked[r.URL.Path]++
	i.mu.Unlock()
	if instead, ok := i.Instead[r.URL.Path]; ok {
		instead(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		configuration := map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"authorization_response_iss_parameter_supported": true, "code_challenge_methods_supported": []string{"S256"},
		}
		if i.Tells != nil {
			configuration["userinfo_endpoint"] = i.URL + "/userinfo"
		}
		if i.Describe != nil {
			i.Describe(configuration)
		}
		answer(w, http.StatusOK, configuration)
	case "/keys":
		answer(w, http.StatusOK, map[string]any{"keys": []any{i.publicKey()}})
	case "/userinfo":
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.Tells == nil || r.Header.Get("Authorization") != "Bearer "+i.AccessToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, http.StatusOK, i.Tells(i.told))
	case "/token":
		i.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if unescaped, err := url.QueryUnescape(secret); id != ClientID || err != nil || unescaped != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	i.mu.Lock()
	given, ok := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	i.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != given.challenge || r.PostFormValue("redirect_uri") != given.redirectURI {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	now := i.Clock.Now()
	claims := jwt.MapClaims{
		"iss": i.URL, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": given.nonce, "at_hash": half(i.AccessToken),
	}
	maps.Copy(claims, given.person)
	if i.Tells != nil {
		for _, name := range []string{"email", "email_verified", "name"} {
			delete(claims, name)
		}
	}
	i.mu.Lock()
	i.told = given.person
	i.mu.Unlock()
	if i.Change != nil {
		i.Change(claims)
	}
	answer(w, http.StatusOK, map[string]any{"access_token": i.AccessToken, "token_type": "Bearer", "expires_in": 60, "id_token": i.Sign(claims)})
}

// Signed is how the provider signs.
func (i *Issuer) Signed(claims jwt.MapClaims) string {
	return i.SignedWith(jwt.SigningMethodES256, i.key, map[string]any{"kid": "one"}, claims)
}

// SignedWith signs in any way.
func (i *Issuer) SignedWith(method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil {
		i.t.Errorf("sign: %v", err)
	}
	return signed
}

// PublicPoint is what everybody knows of the key, for those who take it for a secret.
func (i *Issuer) PublicPoint() []byte {
	point, err := i.key.PublicKey.Bytes()
	if err != nil {
		i.t.Errorf("encode a key: %v", err)
	}
	return point
}

func (i *Issuer) publicKey() map[string]any {
	point := i.PublicPoint()[1:]
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "kid": "one", "x": b64(point[:32]), "y": b64(point[32:])}
}

// half is an at_hash.
func half(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // a client that has gone needs no answer
}
