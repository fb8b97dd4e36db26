// Package openid speaks OpenID Connect's authorization code flow with the providers of an installation: it makes the
// address a browser is sent to, and turns the code it comes back with into the person the provider vouches for.
//
// It is protocol alone: it knows no account and no table, keeps nothing between the two steps, and decides nothing about
// who may sign in. What always holds:
//
//   - A code is sent to the provider whose flow it came from, once, with the PKCE verifier of that flow, and to nobody
//     when the answer names another issuer (RFC 9207).
//   - An ID token counts when it is signed by a key of the provider with an asymmetric algorithm, is of its issuer, for
//     this client, of this flow by its nonce, and of this time. Nothing in the token chooses how it is verified.
//   - An address that the provider has not verified is not passed on.
//   - A provider that hangs, floods, redirects or has gone costs a bounded time and memory, and is UNAVAILABLE; see line.
package openid

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"marquee/internal/apperr"
	"marquee/internal/clock"
)

// ErrRefused is returned when what came back from a provider proves nothing.
var ErrRefused = errors.New("openid: the provider's answer proves nothing")

// Config is what an operator says about one provider.
type Config struct {
	Name         string // how the API and the database call it
	Label        string // how people call it
	Issuer       string // exactly as the provider writes it
	ClientID     string
	ClientSecret string   // "" for a client that has none
	Scopes       []string // beside openid; nil means email and profile
	RedirectURIs []string // where the provider may send the browser back to; no other provider shares one
}

// Provider is a provider as this program knows it. It is safe for concurrent use.
type Provider struct {
	config Config
	clock  clock.Clock
	log    *slog.Logger
	client *http.Client

	flight singleflight.Group
	mu     sync.Mutex
	known  *metadata
}

// New returns a provider without asking it anything. It is asked when somebody wants to sign in with it.
func New(c Config, now clock.Clock, log *slog.Logger) *Provider {
	if c.Scopes == nil {
		c.Scopes = []string{oidc.ScopeEmail, oidc.ScopeProfile}
	}
	log = log.With("provider", c.Name)
	return &Provider{config: c, clock: now, log: log, client: &http.Client{Transport: newLine(now, log)}}
}

// Name returns how the API calls the provider.
func (p *Provider) Name() string { return p.config.Name }

// Label returns how people call the provider.
func (p *Provider) Label() string { return p.config.Label }

// Issuer returns the first half of who a person of the provider is.
func (p *Provider) Issuer() string { return p.config.Issuer }

// RedirectURIs returns where the provider may send a browser back to.
func (p *Provider) RedirectURIs() []string { return slices.Clone(p.config.RedirectURIs) }

// Returns reports whether the provider may send a browser back to an address, which is compared letter by letter.
func (p *Provider) Returns(redirectURI string) bool {
	return slices.Contains(p.config.RedirectURIs, redirectURI)
}

// Flow is one attempt to sign in. Its values are unguessable, and no two attempts share one.
type Flow struct {
	State       string
	Nonce       string
	Verifier    string // of PKCE
	RedirectURI string
}

// Callback is what the browser came back with.
type Callback struct {
	Code   string
	Issuer string // "" when the provider did not say
}

// Person is somebody a provider vouches for. Issuer and Subject together are who that is, for ever; the rest is what the
// provider says of them today.
type Person struct {
	Issuer  string
	Subject string
	Email   string // "" unless the provider has verified it
	Name    string // "" when the provider does not say
}

// AuthorizationURL returns where to send the browser: UNAVAILABLE when the provider does not tell.
func (p *Provider) AuthorizationURL(ctx context.Context, f Flow) (string, error) {
	meta, err := p.metadata(ctx)
	if err != nil {
		return "", p.unavailable(ctx, "reading the provider's configuration", err)
	}
	return p.oauth(meta, f).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// Identify gives the code of a flow to the provider and returns whom it vouches for: ErrRefused when it vouches for
// nobody, or not credibly; UNAVAILABLE when it does not answer. That the callback's state is the flow's is checked by
// whoever keeps flows.
func (p *Provider) Identify(ctx context.Context, f Flow, back Callback) (Person, error) {
	meta, err := p.metadata(ctx)
	if err != nil {
		return Person{}, p.unavailable(ctx, "reading the provider's configuration", err)
	}
	if back.Issuer != p.config.Issuer && (back.Issuer != "" || meta.NamesIssuer) {
		return Person{}, p.refused(ctx, errors.New("the answer names another issuer, or none"))
	}
	token, err := p.oauth(meta, f).Exchange(oidc.ClientContext(ctx, p.client), back.Code, oauth2.VerifierOption(f.Verifier))
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok && isRefusal(refusal) {
		return Person{}, p.refused(ctx, fmt.Errorf("the code is not accepted: %.40q", refusal.ErrorCode))
	}
	if err != nil {
		return Person{}, p.unavailable(ctx, "exchanging a code", err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Person{}, p.refused(ctx, errors.New("there is no ID token"))
	}
	keys := &watchedKeys{KeySet: meta.keys}
	id, err := oidc.NewVerifier(p.config.Issuer, keys, &oidc.Config{
		ClientID: p.config.ClientID, SupportedSigningAlgs: algorithms, Now: p.clock.Now,
	}).Verify(ctx, raw)
	if keys.away != nil {
		return Person{}, p.unavailable(ctx, "reading the provider's keys", keys.away)
	}
	if err != nil {
		return Person{}, p.refused(ctx, err)
	}
	return p.person(ctx, meta, id, f, token)
}

// says is what a provider tells of a person, in the ID token or beside it.
type says struct {
	Email         string `json:"email"`
	EmailVerified truth  `json:"email_verified"`
	Name          string `json:"name"`
}

// person checks what Verify leaves to its caller.
func (p *Provider) person(ctx context.Context, meta *metadata, id *oidc.IDToken, f Flow, token *oauth2.Token) (Person, error) {
	var claims struct {
		says

		AuthorizedParty string `json:"azp"`
	}
	const longest = 255 // of a subject, in OpenID Connect Core
	switch err := id.Claims(&claims); {
	case err != nil:
		return Person{}, p.refused(ctx, fmt.Errorf("the claims cannot be read: %w", err))
	case id.Subject == "" || len(id.Subject) > longest:
		return Person{}, p.refused(ctx, errors.New("the subject is empty, or too long"))
	case f.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		return Person{}, p.refused(ctx, errors.New("the nonce is that of another flow"))
	case claims.AuthorizedParty != p.config.ClientID && (claims.AuthorizedParty != "" || len(id.Audience) > 1):
		return Person{}, p.refused(ctx, errors.New("the token was given to another client"))
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return Person{}, p.refused(ctx, err)
		}
	}
	told := claims.says
	if told.Email == "" && meta.found.UserInfoEndpoint() != "" {
		// Providers that go by OpenID Connect Core, section 5.4, keep addresses and names out of the ID token.
		info, err := meta.found.UserInfo(oidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(token))
		if err != nil {
			return Person{}, p.unavailable(ctx, "asking who somebody is", err)
		}
		if info.Subject != id.Subject {
			return Person{}, p.refused(ctx, errors.New("the provider told about somebody else"))
		}
		if err := info.Claims(&told); err != nil {
			return Person{}, p.refused(ctx, fmt.Errorf("what the provider told cannot be read: %w", err))
		}
	}
	person := Person{Issuer: p.config.Issuer, Subject: id.Subject, Name: told.Name}
	if told.EmailVerified {
		person.Email = told.Email
	}
	return person, nil
}

// truth is a boolean that some providers write as a text. Everything else is false.
type truth bool

// UnmarshalJSON never fails: what is not clearly true is not true.
func (t *truth) UnmarshalJSON(text []byte) error {
	*t = string(text) == `true` || string(text) == `"true"`
	return nil
}

// isRefusal tells a code that is not accepted from a provider that does not know this program, or is broken.
func isRefusal(err *oauth2.RetrieveError) bool {
	return err.Response.StatusCode < http.StatusInternalServerError && (err.ErrorCode == "invalid_grant" || err.ErrorCode == "invalid_request")
}

// watchedKeys tells keys that could not be fetched from a signature that is wrong. For one token.
type watchedKeys struct {
	oidc.KeySet

	away error
}

// VerifySignature implements oidc.KeySet.
func (k *watchedKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	if _, failed := errors.AsType[*url.Error](err); failed {
		k.away = err
	}
	return payload, err
}

// refused logs why an answer proves nothing; who sent it is told that it does not.
func (p *Provider) refused(ctx context.Context, why error) error {
	p.log.WarnContext(ctx, "a sign-in by a provider was refused", "reason", brief(why))
	return ErrRefused
}

// unavailable logs why a provider cannot be used; who wanted to use it learns that it cannot.
func (p *Provider) unavailable(ctx context.Context, doing string, err error) error {
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok { // its text repeats the answer
		err = fmt.Errorf("%s: %.40q", refusal.Response.Status, refusal.ErrorCode)
	}
	p.log.WarnContext(ctx, "a provider cannot be used", "doing", doing, "error", brief(err))
	return apperr.New(apperr.Unavailable, "%s does not answer as it should. Try again in a minute, or sign in another way.", p.config.Label)
}

// brief bounds what a provider can write into the log: libraries repeat its answers.
func brief(err error) string { return fmt.Sprintf("%.300q", err.Error()) }

// metadata is what the provider says of itself.
type metadata struct {
	found    *oidc.Provider
	endpoint oauth2.Endpoint
	keys     oidc.KeySet
	until    time.Time

	Keys        string   `json:"jwks_uri"`
	NamesIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	Challenges  []string `json:"code_challenge_methods_supported"`
	ClientAuth  []string `json:"token_endpoint_auth_methods_supported"`
}

// algorithms are what an ID token may be signed with: public keys only, so that nobody signs with what everybody knows.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// metadataAge is how long a provider's configuration is believed; keys that it no longer has are forgotten with it.
const metadataAge = time.Hour

// metadata returns the provider's configuration, which is read once however many ask at the same time.
func (p *Provider) metadata(ctx context.Context) (*metadata, error) {
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	if known != nil && p.clock.Now().Before(known.until) {
		return known, nil
	}
	// It is read for everybody who waits, not only for who came first.
	answer := p.flight.DoChan("", func() (any, error) { return p.discover(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-answer:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*metadata), nil
	}
}

func (p *Provider) discover(ctx context.Context) (*metadata, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.config.Issuer)
	if err != nil {
		return nil, err
	}
	meta := &metadata{found: found, endpoint: found.Endpoint(), until: p.clock.Now().Add(metadataAge)}
	if err := found.Claims(meta); err != nil {
		return nil, fmt.Errorf("the provider's configuration cannot be read: %w", err)
	}
	addresses := []string{meta.endpoint.AuthURL, meta.endpoint.TokenURL, meta.Keys}
	if optional := found.UserInfoEndpoint(); optional != "" {
		addresses = append(addresses, optional)
	}
	for _, address := range addresses {
		if err := p.trusts(address); err != nil {
			return nil, err
		}
	}
	if meta.Challenges != nil && !slices.Contains(meta.Challenges, "S256") {
		return nil, errors.New("the provider does not know PKCE with S256")
	}
	// Left to find out by itself, the library would send a code twice.
	meta.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	basic := meta.ClientAuth == nil || slices.Contains(meta.ClientAuth, "client_secret_basic")
	if p.config.ClientSecret == "" || !basic {
		meta.endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	// The keys are fetched by whoever needs one that is not known, and outlive the request.
	meta.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), p.client), meta.Keys)
	p.mu.Lock()
	p.known = meta
	p.mu.Unlock()
	return meta, nil
}

// trusts refuses an address that is not on the web, or is less protected than the issuer's.
func (p *Provider) trusts(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && (parsed.Scheme != "http" || !isPlain(p.config.Issuer)) {
		return fmt.Errorf("the provider's configuration names %.200q, which cannot be used", address)
	}
	return nil
}

func isPlain(issuer string) bool {
	parsed, err := url.Parse(issuer)
	return err == nil && parsed.Scheme == "http"
}

func (p *Provider) oauth(meta *metadata, f Flow) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: meta.endpoint,
		RedirectURL: f.RedirectURI, Scopes: append([]string{oidc.ScopeOpenID}, p.config.Scopes...),
	}
}
