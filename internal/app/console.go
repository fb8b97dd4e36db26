package app

import (
	"context"
	"net/http"
	"slices"

	"marquee/graph"
	"marquee/graph/transport"
	"marquee/internal/auth"
	"marquee/internal/config"
	"marquee/web"
)

// consoleSettings returns what the console's page learns of this installation: in development, the demo sign-ins whose
// accounts are in the database; in production never any.
func (a *App) consoleSettings() func(context.Context) web.Settings {
	var emails []string
	for _, u := range demoUsers {
		emails = append(emails, u.Email)
	}
	return func(ctx context.Context) web.Settings {
		settings := web.Settings{Environment: string(a.cfg.Env)}
		if a.cfg.Env != config.Development {
			return settings
		}
		there, err := a.Identity.KnownEmails(ctx, emails...)
		if err != nil {
			a.log.WarnContext(ctx, "the console offers no demo sign-ins", "error", err)
			return settings
		}
		for _, u := range demoUsers {
			if slices.Contains(there, u.Email) {
				settings.SignIns = append(settings.SignIns, web.SignIn{Role: string(u.role), Email: u.Email, Password: u.Password, Secret: u.secret()})
			}
		}
		return settings
	}
}

// adminEndpoint returns the options of the endpoint beside the console of production: those of the public one, for
// administrators and for pages of its own host alone. It takes every document, since a sign-in must pass before anybody
// is an administrator, and streams over sockets only, which is what the console speaks.
func adminEndpoint(public graph.Options, socket *transport.Websocket) graph.Options {
	socket.CheckOrigin = nil
	socket.Init = adminSocket(socket.Init)
	public.AdminsOnly, public.Websocket, public.Documents, public.Events = true, socket, nil, nil
	return public
}

// adminSocket authenticates as public sockets do and refuses everybody but administrators.
func adminSocket(
	init func(context.Context, map[string]any, *http.Request) (context.Context, error),
) func(context.Context, map[string]any, *http.Request) (context.Context, error) {
	return func(ctx context.Context, payload map[string]any, r *http.Request) (context.Context, error) {
		ctx, err := init(ctx, payload, r)
		if err == nil {
			_, err = auth.Require(ctx, auth.RoleAdmin)
		}
		return ctx, err
	}
}
