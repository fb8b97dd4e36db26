package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"unicode/utf8"
)

// OpenIDProvider is a provider of OpenID Connect that people may sign in with.
type OpenIDProvider struct {
	Name         string   `json:"name"`         // how clients and the database call it; it stays for ever
	Label        string   `json:"label"`        // how people call it
	Issuer       string   `json:"issuer"`       // exactly as the provider writes it
	ClientID     string   `json:"clientId"`     // what the provider calls this installation
	ClientSecret Secret   `json:"clientSecret"` // empty for a client that has none
	Scopes       []string `json:"scopes"`       // beside openid; email and profile when absent
	RedirectURIs []string `json:"redirectUris"` // the pages that it may send the browser back to, letter by letter
}

// OpenIDProviders are all of them, written as a list in JSON.
type OpenIDProviders []OpenIDProvider

// UnmarshalText reads the list. Keys that mean nothing are refused: a secret under a misspelt name is no secret.
func (p *OpenIDProviders) UnmarshalText(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		*p = nil
		return nil
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	var list []OpenIDProvider
	if err := in.Decode(&list); err != nil {
		return fmt.Errorf("it is no list of providers in JSON: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it is no list of providers in JSON: something follows the list")
	}
	*p = list
	return nil
}

var (
	providerName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	providerScope = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,100}$`) // RFC 6749, section 3.3
)

const maxProviders = 20

// validateProviders names what is wrong with each provider, never its secret.
func (c Config) validateProviders() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("MARQUEE_OIDC_PROVIDERS: "+format, args...))
	}
	if len(c.OpenIDProviders) > maxProviders {
		bad("at most %d providers", maxProviders)
	}
	// Two providers in one place could be mistaken for each other.
	taken := map[string]bool{}
	once := func(what, text string) {
		if taken[what+text] {
			bad("two providers have the %s %s", what, text)
		}
		taken[what+text] = true
	}
	for i, p := range c.OpenIDProviders {
		if !providerName.MatchString(p.Name) {
			bad("the name of provider %d must be a small letter and up to 31 small letters, digits and hyphens", i+1)
		}
		once("name", p.Name)
		once("issuer", p.Issuer)
		if n := utf8.RuneCountInString(p.Label); n < 1 || n > 100 {
			bad("%s needs a label of 1 to 100 characters", p.Name)
		}
		if !c.isOnTheWeb(p.Issuer) {
			bad("the issuer of %s must be an address like https://accounts.example, not %q", p.Name, p.Issuer)
		}
		if p.ClientID == "" {
			bad("%s needs a clientId", p.Name)
		}
		for _, scope := range p.Scopes {
			if !providerScope.MatchString(scope) {
				bad("%q is not a scope of %s", scope, p.Name)
			}
		}
		if len(p.RedirectURIs) == 0 {
			bad("%s needs redirectUris", p.Name)
		}
		for _, address := range p.RedirectURIs {
			once("redirect address", address)
			if !c.isOnTheWeb(address) {
				bad("the redirectUris of %s must be addresses like https://tickets.example/signed-in, not %q", p.Name, address)
			}
		}
	}
	return errors.Join(problems...)
}

// isOnTheWeb accepts an https address of a host, and in development an http one; no user, query or fragment.
func (c Config) isOnTheWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && c.Env == Development)
}
