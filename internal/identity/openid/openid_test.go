package openid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"marquee/internal/apperr"
	"marquee/internal/clock"
	"marquee/internal/identity/openid"
	"marquee/internal/identity/openid/openidtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

var (
	ada  = openidtest.Person{"sub": "ada", "email": "ada@example.com", "email_verified": true, "name": "Ada"}
	flow = openid.Flow{State: text("s"), Nonce: text("n"), Verifier: text("v"), RedirectURI: openidtest.RedirectURI}
)

func text(letter string) string { return strings.Repeat(letter, 43) }

// bundle is a provider and the one that it is at the other end.
type bundle struct {
	*openid.Provider

	far   *openidtest.Issuer
	clock *clock.Fake
	log   *strings.Builder
}

func setup(t *testing.T) bundle {
	t.Helper()
	b := bundle{clock: clock.NewFake(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)), log: &strings.Builder{}}
	b.far = openidtest.New(t, b.clock)
	b.Provider = openid.New(openid.Config{
		Name: "acme", Label: "Acme", Issuer: b.far.URL, ClientID: openidtest.ClientID, ClientSecret: openidtest.ClientSecret,
		RedirectURIs: []string{openidtest.RedirectURI},
	}, b.clock, slog.New(slog.NewTextHandler(b.log, nil)))
	return b
}

func (b bundle) signIn(t *testing.T, person openidtest.Person) openid.Callback {
	t.Helper()
	address, err := b.AuthorizationURL(t.Context(), flow)
	if err != nil {
		t.Fatal(err)
	}
	back := b.far.SignIn(t, address, person)
	return openid.Callback{Code: back.Code, Issuer: back.Issuer}
}

func (b bundle) refuses(t *testing.T, f openid.Flow, back openid.Callback) {
	t.Helper()
	if person, err := b.Identify(t.Context(), f, back); !errors.Is(err, openid.ErrRefused) || person != (openid.Person{}) {
		t.Errorf("vouched for %+v, %v", person, err)
	}
	if !strings.Contains(b.log.String(), "was refused") {
		t.Error("the log does not say why")
	}
}

func unavailable(t *testing.T, err error) {
	t.Helper()
	if apperr.CodeOf(err) != apperr.Unavailable {
		t.Errorf("%v, want UNAVAILABLE", err)
	}
}

func TestProvider_Identify(t *testing.T) {
	t.Parallel()
	for name, person := range map[string]openidtest.Person{
		"true": ada, "text": {"sub": "ada", "email": "ada@example.com", "email_verified": "true", "name": "Ada"},
	} {
		t.Run("verified_address_"+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			got, err := b.Identify(t.Context(), flow, b.signIn(t, person))
			if want := (openid.Person{Issuer: b.far.URL, Subject: "ada", Email: "ada@example.com", Name: "Ada"}); err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for name, verified := range map[string]any{"false": false, "missing": nil, "text_false": "false", "number": 1, "list": []bool{true}} {
		t.Run("AU15_email_verified_"+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			person := openidtest.Person{"sub": "ada", "email": "ada@example.com", "email_verified": verified}
			if got, err := b.Identify(t.Context(), flow, b.signIn(t, person)); err != nil || got.Email != "" || got.Subject != "ada" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("asks_who_it_is_when_the_token_does_not_say", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Tells = func(p openidtest.Person) openidtest.Person { return p }
		eve := openidtest.Person{"sub": "eve", "email": "eve@example.com", "email_verified": false}
		for subject, email := range map[string]string{"ada": "ada@example.com", "eve": ""} {
			person := map[string]openidtest.Person{"ada": ada, "eve": eve}[subject]
			if got, err := b.Identify(t.Context(), flow, b.signIn(t, person)); err != nil || got.Subject != subject || got.Email != email {
				t.Errorf("%+v, %v", got, err)
			}
		}
		if n := b.far.Asked("/userinfo"); n != 2 {
			t.Errorf("asked %d times about two people", n)
		}
		b.far.Tells = func(openidtest.Person) openidtest.Person { return eve }
		b.refuses(t, flow, b.signIn(t, ada))
		b.far.Instead["/userinfo"] = http.NotFound
		_, err := b.Identify(t.Context(), flow, b.signIn(t, ada))
		unavailable(t, err)
	})
	t.Run("asks_for_configuration_and_keys_once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 3 {
			if _, err := b.Identify(t.Context(), flow, b.signIn(t, ada)); err != nil {
				t.Fatal(err)
			}
			b.clock.Advance(time.Minute)
		}
		if c, k := b.far.Asked("/.well-known/openid-configuration"), b.far.Asked("/keys"); c != 1 || k != 1 {
			t.Errorf("asked %d times for the configuration and %d for the keys", c, k)
		}
		b.clock.Advance(time.Hour)
		if _, err := b.Identify(t.Context(), flow, b.signIn(t, ada)); err != nil || b.far.Asked("/keys") != 2 {
			t.Errorf("after an hour: %v, keys asked for %d times", err, b.far.Asked("/keys"))
		}
	})
}

// TestAU15_Provider_Identify is what a hostile or confused provider, or whoever stands between, gets past nobody.
func TestAU15_Provider_Identify(t *testing.T) {
	t.Parallel()
	claim := func(name string, value any) func(b bundle) {
		return func(b bundle) {
			b.far.Change = func(c jwt.MapClaims) {
				if c[name] = value; value == nil {
					delete(c, name)
				}
			}
		}
	}
	at := func(d time.Duration) any {
		return time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC).Add(d).Unix()
	}
	signed := func(sign func(b bundle, c jwt.MapClaims) string) func(b bundle) {
		return func(b bundle) { b.far.Sign = func(c jwt.MapClaims) string { return sign(b, c) } }
	}
	for name, change := range map[string]func(b bundle){
		"nonce_missing":         claim("nonce", nil),
		"nonce_of_another_flow": claim("nonce", text("x")),
		"another_audience":      claim("aud", "somebody-else"),
		"no_audience":           claim("aud", nil),
		"two_audiences_no_azp":  claim("aud", []string{openidtest.ClientID, "somebody-else"}),
		"azp_of_another":        claim("azp", "somebody-else"),
		"another_issuer":        claim("iss", "https://evil.example"),
		"no_issuer":             claim("iss", nil),
		"expired":               claim("exp", at(-time.Second)),
		"no_expiry":             claim("exp", nil),
		"not_yet":               claim("nbf", at(time.Hour)),
		"at_hash_of_another":    claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"no_subject":            claim("sub", nil),
		"an_endless_subject":    claim("sub", strings.Repeat("a", 256)),
		"a_subject_of_no_text":  claim("sub", 7),
		"alg_none": signed(func(b bundle, c jwt.MapClaims) string {
			return b.far.SignedWith(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, c)
		}),
		"alg_HS256_with_the_public_key": signed(func(b bundle, c jwt.MapClaims) string {
			return b.far.SignedWith(jwt.SigningMethodHS256, b.far.PublicPoint(), map[string]any{"kid": "one"}, c)
		}),
		"alg_HS256_with_the_client_secret": signed(func(b bundle, c jwt.MapClaims) string {
			return b.far.SignedWith(jwt.SigningMethodHS256, []byte(openidtest.ClientSecret), nil, c)
		}),
		"signed_by_another": signed(func(b bundle, c jwt.MapClaims) string {
			return b.far.SignedWith(jwt.SigningMethodES256, another(), map[string]any{"kid": "one"}, c)
		}),
		"a_key_it_brings_along": signed(func(b bundle, c jwt.MapClaims) string {
			return b.far.SignedWith(jwt.SigningMethodES256, another(), map[string]any{"jku": b.far.URL + "/jku", "x5u": b.far.URL + "/x5u"}, c)
		}),
		"signature_cut_off": signed(func(b bundle, c jwt.MapClaims) string {
			whole := b.far.Signed(c)
			return whole[:strings.LastIndexByte(whole, '.')+1]
		}),
		"no_token":        signed(func(bundle, jwt.MapClaims) string { return "" }),
		"no_token_at_all": signed(func(bundle, jwt.MapClaims) string { return "<html>" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			change(b)
			b.refuses(t, flow, b.signIn(t, ada))
			if b.far.Asked("/jku")+b.far.Asked("/x5u") != 0 {
				t.Error("the token chose where its key comes from")
			}
		})
	}
	t.Run("code_replayed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		back := b.signIn(t, ada)
		if _, err := b.Identify(t.Context(), flow, back); err != nil {
			t.Fatal(err)
		}
		b.refuses(t, flow, back)
	})
	t.Run("PKCE_verifier_of_another_flow_or_missing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, verifier := range []string{text("x"), ""} {
			f := flow
			f.Verifier = verifier
			b.refuses(t, f, b.signIn(t, ada))
		}
	})
	t.Run("PKCE_plain_only", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Describe = func(c map[string]any) { c["code_challenge_methods_supported"] = []string{"plain"} }
		_, err := b.AuthorizationURL(t.Context(), flow)
		unavailable(t, err)
	})
	t.Run("issuer_mixed_up", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, issuer := range []string{"https://evil.example", "", b.far.URL + "/"} {
			back := b.signIn(t, ada)
			back.Issuer = issuer
			b.refuses(t, flow, back)
		}
		if n := b.far.Asked("/token"); n != 0 {
			t.Errorf("%d codes were given away", n)
		}
	})
	t.Run("issuer_not_named_by_one_that_names_none", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Describe = func(c map[string]any) { delete(c, "authorization_response_iss_parameter_supported") }
		back := b.signIn(t, ada)
		back.Issuer = ""
		if _, err := b.Identify(t.Context(), flow, back); err != nil {
			t.Error(err)
		}
		back = b.signIn(t, ada)
		back.Issuer = "https://evil.example"
		b.refuses(t, flow, back)
	})
	t.Run("configuration_of_another_issuer", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Describe = func(c map[string]any) { c["issuer"] = "https://evil.example" }
		_, err := b.AuthorizationURL(t.Context(), flow)
		unavailable(t, err)
	})
	for _, address := range []string{"javascript:alert(1)", "file:///etc/passwd", "//host", ""} {
		t.Run("configuration_that_sends_people_to_"+url.PathEscape(address), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.far.Describe = func(c map[string]any) { c["authorization_endpoint"] = address }
			_, err := b.AuthorizationURL(t.Context(), flow)
			unavailable(t, err)
		})
	}
}

func another() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// TestProvider_away is what a provider that is broken costs: an answer, in a bounded time and memory.
func TestProvider_away(t *testing.T) {
	t.Parallel()
	html := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>We are closed.</html>") }
	flood := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(" ", 10<<20)+"{}")
	}
	broken := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) }
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the caller has gone
		<-r.Context().Done()
	}
	for what, does := range map[string]http.HandlerFunc{"html": html, "ten_megabytes": flood, "fails": broken, "redirects": elsewhere, "hangs": hang} {
		t.Run("configuration_"+what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.far.Instead["/.well-known/openid-configuration"] = does
			_, err := b.AuthorizationURL(t.Context(), flow)
			unavailable(t, err)
			if b.far.Asked("/elsewhere") != 0 {
				t.Error("a redirect was followed")
			}
		})
		t.Run("token_"+what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			back := b.signIn(t, ada)
			b.far.Instead["/token"] = does
			_, err := b.Identify(t.Context(), flow, back)
			unavailable(t, err)
			if b.far.Asked("/elsewhere") != 0 || b.far.Asked("/token") != 1 {
				t.Errorf("the code was sent %d times, and %d times elsewhere", b.far.Asked("/token"), b.far.Asked("/elsewhere"))
			}
			for _, secret := range []string{back.Code, flow.Verifier, openidtest.ClientSecret} {
				if strings.Contains(b.log.String(), secret) {
					t.Errorf("a secret was logged: %s", b.log)
				}
			}
			if b.log.Len() > 4<<10 {
				t.Errorf("%d bytes were logged", b.log.Len())
			}
		})
	}
	t.Run("keys_fail", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Instead["/keys"] = broken
		_, err := b.Identify(t.Context(), flow, b.signIn(t, ada))
		unavailable(t, err)
	})
	t.Run("client_that_the_provider_does_not_know", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Instead["/token"] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
		}
		_, err := b.Identify(t.Context(), flow, b.signIn(t, ada))
		unavailable(t, err)
	})
	t.Run("is_left_alone_for_ten_seconds_after_three_failures", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.far.Instead["/.well-known/openid-configuration"] = broken
		for range 20 {
			_, err := b.AuthorizationURL(t.Context(), flow)
			unavailable(t, err)
		}
		if n := b.far.Asked("/.well-known/openid-configuration"); n != 3 {
			t.Errorf("asked %d times", n)
		}
		b.clock.Advance(10 * time.Second)
		delete(b.far.Instead, "/.well-known/openid-configuration")
		if _, err := b.Identify(t.Context(), flow, b.signIn(t, ada)); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
	t.Run("fifty_at_once_ask_once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				if _, err := b.AuthorizationURL(t.Context(), flow); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if n := b.far.Asked("/.well-known/openid-configuration"); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("A9_unknown_keys_are_looked_up_every_thirty_seconds_at_most", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := 0
		b.far.Sign = func(c jwt.MapClaims) string {
			n++
			return b.far.SignedWith(jwt.SigningMethodES256, another(), map[string]any{"kid": fmt.Sprint("unknown ", n)}, c)
		}
		for range 20 {
			b.refuses(t, flow, b.signIn(t, ada))
		}
		if asked := b.far.Asked("/keys"); asked != 1 {
			t.Errorf("the keys were asked for %d times", asked)
		}
		b.clock.Advance(31 * time.Second)
		b.far.Sign = b.far.Signed
		if _, err := b.Identify(t.Context(), flow, b.signIn(t, ada)); err != nil {
			t.Error(err)
		}
	})
}
