package access

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
)

// Extension enforces the rules: every field of every operation and event passes here before it is resolved.
type Extension struct{ Rules *Rules }

var (
	_ graphql.HandlerExtension = Extension{}
	_ graphql.FieldInterceptor = Extension{}
)

// ExtensionName names the extension to the executor.
func (Extension) ExtensionName() string { return "Access" }

// Validate has nothing to check.
func (Extension) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptField refuses a field to those who may not read it: UNAUTHENTICATED, FORBIDDEN or SECOND_FACTOR_REQUIRED.
func (e Extension) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	field := graphql.GetFieldContext(ctx)
	if err := e.Rules.Of(field.Object, field.Field.Name).Check(ctx); err != nil {
		return nil, err
	}
	return next(ctx)
}
