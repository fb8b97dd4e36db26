package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"marquee/internal/auth"
)

// requireRole carries out @auth: UNAUTHENTICATED for nobody, FORBIDDEN for too weak a role. Whose a thing is, is asked
// by the domains.
func requireRole(ctx context.Context, _ any, next graphql.Resolver, requires auth.Role) (any, error) {
	if _, err := auth.Require(ctx, requires); err != nil {
		return nil, err
	}
	return next(ctx)
}
