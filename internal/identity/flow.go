package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/identity/openid"
	"marquee/internal/typeid"
)

// A flow is a browser that has been sent to a provider. It is bound to that browser by its token, which only the page
// that began it is given and which never goes along with the browser: whoever is lured to the page with the code and the
// state of somebody else's flow has no token that fits the state, and whoever begins a flow and lures somebody else to
// the provider has a token, but never sees the code. So neither can anybody be signed in to a foreign account without
// noticing, nor a foreign sign-in be taken over.
//
// Token, state, nonce and PKCE verifier are all derived from the flow's id and the installation's secret, each by a name
// of its own: none of them lies in the database, and who knows one of them, as the provider does, learns no other.
//
//	mqf_ base64url( flow 16 | seal 32 )

// ErrProviderRefused is returned when a browser that comes back from a provider proves nothing: its flow is unknown, over
// or of another browser, or the provider does not vouch for it.
var ErrProviderRefused = errors.New("identity: the sign-in by a provider is refused")

const (
	flowPrefix = "mqf_" // makes a leaked token recognisable to scanners
	flowBytes  = 16 + sha256.Size
	// flowAge is how long people may take at the provider.
	flowAge = 10 * time.Minute
	// maxCallback bounds what a browser comes back with; the codes of some providers are kilobytes.
	maxCallback = 4096
)

// BeginFlowInput says where a browser wants to go, and come back to.
type BeginFlowInput struct {
	Provider    string // by its name
	RedirectURI string // one of those configured for it, letter by letter
}

// BegunFlow is what the page needs that sends the browser away.
type BegunFlow struct {
	AuthorizationURL string // where to send it
	Token            string // what the page keeps for when it comes back
	ExpiresAt        time.Time
}

// CompleteFlowInput is what a browser came back with, and the token that its page has kept.
type CompleteFlowInput struct {
	FlowToken   string
	State       string
	Code        string
	Issuer      string // "" when the provider did not say
	RedirectURI string // where it came back to
}

// Provider is an OpenID provider that people may sign in with.
type Provider struct {
	Name         string // for programs
	Label        string // for people
	RedirectURIs []string
}

func providerFrom(p *openid.Provider) Provider {
	return Provider{Name: p.Name(), Label: p.Label(), RedirectURIs: p.RedirectURIs()}
}

// Providers returns the providers that people may sign in with, in the operator's order.
func (s *Service) Providers() []Provider {
	list := make([]Provider, len(s.providers))
	for i, p := range s.providers {
		list[i] = providerFrom(p)
	}
	return list
}

// provider returns the provider of a name, nil when there is none.
func (s *Service) provider(name string) *openid.Provider {
	for _, p := range s.providers {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// beginFlow sends a browser to a provider, for a session that wants to link it or, with uuid.Nil, to sign in:
// BAD_USER_INPUT, UNAVAILABLE.
func (s *Service) beginFlow(ctx context.Context, in BeginFlowInput, session uuid.UUID) (BegunFlow, error) {
	p := s.provider(in.Provider)
	if p == nil {
		return BegunFlow{}, apperr.Invalid("input.provider", "There is no such provider; signInProviders lists them.")
	}
	if !p.Returns(in.RedirectURI) {
		return BegunFlow{}, apperr.Invalid("input.redirectUri", "%s may not send a browser back there; signInProviders lists where it may.", p.Label())
	}
	id := typeid.New()
	address, err := p.AuthorizationURL(ctx, s.flow(id, in.RedirectURI))
	if err != nil {
		return BegunFlow{}, err
	}
	expires := s.now().Add(flowAge)
	_, err = s.db.SQL().ExecContext(ctx, `INSERT INTO provider_flows (id, provider, redirect_uri, session_id, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		id, p.Name(), in.RedirectURI, uuid.NullUUID{UUID: session, Valid: session != uuid.Nil}, expires)
	if err != nil {
		return BegunFlow{}, fmt.Errorf("beginning a flow: %w", err)
	}
	token := flowPrefix + base64.RawURLEncoding.EncodeToString(append(id[:], s.flowSecret(id, "token")...))
	return BegunFlow{AuthorizationURL: address, Token: token, ExpiresAt: expires}, nil
}

// completeFlow returns whom a provider vouches for: ErrProviderRefused, UNAVAILABLE. A flow of another state is not
// touched; any other is over, whatever comes of it. The provider is called outside of any transaction.
func (s *Service) completeFlow(ctx context.Context, in CompleteFlowInput, session uuid.UUID) (openid.Person, error) {
	id, ok := s.readFlowToken(in.FlowToken)
	if !ok || !hmac.Equal([]byte(in.State), []byte(s.flowText(id, "state"))) || in.Code == "" || len(in.Code)+len(in.Issuer) > maxCallback {
		return openid.Person{}, ErrProviderRefused
	}
	var name, redirectURI string
	var wanted uuid.NullUUID
	var expires time.Time
	err := s.db.SQL().QueryRowContext(ctx, `DELETE FROM provider_flows WHERE id = $1 RETURNING provider, redirect_uri, session_id, expires_at`, id).
		Scan(&name, &redirectURI, &wanted, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return openid.Person{}, ErrProviderRefused
	}
	if err != nil {
		return openid.Person{}, fmt.Errorf("ending a flow: %w", err)
	}
	p := s.provider(name)
	if p == nil || !s.now().Before(expires) || wanted.UUID != session || redirectURI != in.RedirectURI || !p.Returns(redirectURI) {
		return openid.Person{}, ErrProviderRefused
	}
	person, err := p.Identify(ctx, s.flow(id, redirectURI), openid.Callback{Code: in.Code, Issuer: in.Issuer})
	if errors.Is(err, openid.ErrRefused) {
		return openid.Person{}, ErrProviderRefused
	}
	return person, err
}

func (s *Service) flow(id uuid.UUID, redirectURI string) openid.Flow {
	return openid.Flow{
		State: s.flowText(id, "state"), Nonce: s.flowText(id, "nonce"), Verifier: s.flowText(id, "verifier"), RedirectURI: redirectURI,
	}
}

// flowSecret returns what only this installation can make of a flow's id.
func (s *Service) flowSecret(id uuid.UUID, purpose string) []byte {
	mac := hmac.New(sha256.New, s.flowKey)
	mac.Write([]byte(purpose))
	mac.Write(id[:])
	return mac.Sum(nil)
}

// flowText is flowSecret in 43 letters of base64url, which are also those of a PKCE verifier.
func (s *Service) flowText(id uuid.UUID, purpose string) string {
	return base64.RawURLEncoding.EncodeToString(s.flowSecret(id, purpose))
}

// readFlowToken returns the flow whose token it is; ok is false when it is none.
func (s *Service) readFlowToken(token string) (id uuid.UUID, ok bool) {
	text, found := strings.CutPrefix(token, flowPrefix)
	if !found || len(text) != base64.RawURLEncoding.EncodedLen(flowBytes) {
		return id, false
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return id, false
	}
	id = uuid.UUID(body[:16])
	return id, hmac.Equal(body[16:], s.flowSecret(id, "token"))
}

// ForgetFlows deletes flows whose browsers have not come back in time and returns how many. One statement.
func (s *Service) ForgetFlows(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM provider_flows WHERE expires_at <= $1`, s.now())
	if err != nil {
		return 0, fmt.Errorf("forgetting flows: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
