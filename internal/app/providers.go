package app

import (
	"log/slog"

	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/identity/openid"
)

// openIDProviders are the providers that people may sign in with. None is asked anything before somebody wants to.
func openIDProviders(cfg config.Config, c clock.Clock, log *slog.Logger) []*openid.Provider {
	providers := make([]*openid.Provider, len(cfg.OpenIDProviders))
	for i, p := range cfg.OpenIDProviders {
		providers[i] = openid.New(openid.Config{
			Name: p.Name, Label: p.Label, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: string(p.ClientSecret),
			Scopes: p.Scopes, RedirectURIs: p.RedirectURIs,
		}, c, log)
	}
	return providers
}
