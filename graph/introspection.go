package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/auth"
)

// introspection lets everybody read the schema, or administrators only.
type introspection struct{ everybody bool }

var (
	_ graphql.HandlerExtension        = introspection{}
	_ graphql.OperationContextMutator = introspection{}
)

// ExtensionName names the extension to the executor.
func (introspection) ExtensionName() string { return "Introspection" }

// Validate has nothing to check.
func (introspection) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses an operation that reads the schema for somebody who may not: UNAUTHENTICATED or
// FORBIDDEN.
func (i introspection) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if _, err := auth.Require(ctx, auth.RoleAdmin); err != nil && !i.everybody {
		if readsSchema(op.Operation.SelectionSet, map[string]bool{}) {
			return &gqlerror.Error{Err: err, Message: err.Error()}
		}
		return nil
	}
	op.DisableIntrospection = false
	return nil
}

// readsSchema reports whether the selection of an operation holds one of the fields that describe the schema. Each
// fragment is looked at once.
func readsSchema(set ast.SelectionSet, seen map[string]bool) bool {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Name == "__schema" || s.Name == "__type" {
				return true
			}
		case *ast.InlineFragment:
			if readsSchema(s.SelectionSet, seen) {
				return true
			}
		case *ast.FragmentSpread:
			if !seen[s.Name] {
				seen[s.Name] = true
				if readsSchema(s.Definition.SelectionSet, seen) {
					return true
				}
			}
		}
	}
	return false
}
