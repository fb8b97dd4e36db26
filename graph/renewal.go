package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
	"marquee/internal/cookie"
)

// renewFirst refuses the operations of a page whose cookie holds an access token that is over, except mutations that are
// for everybody: those open a session, renew it, or ask for nothing that it would be needed for. Serving the others as
// nobody's would hide from the page that its session wants to be renewed.
type renewFirst struct{}

var (
	_ graphql.HandlerExtension        = renewFirst{}
	_ graphql.OperationContextMutator = renewFirst{}
)

// ExtensionName names the extension to the executor.
func (renewFirst) ExtensionName() string { return "RenewFirst" }

// Validate has nothing to check.
func (renewFirst) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses with UNAUTHENTICATED.
func (renewFirst) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if !cookie.From(ctx).Stale() || isForEverybody(op.Operation) {
		return nil
	}
	err := apperr.New(apperr.Unauthenticated, "Your session has ended, or must be renewed by refreshSession.")
	return &gqlerror.Error{Err: err, Message: err.Message}
}

// isForEverybody reports whether an operation is a mutation whose fields, written in the operation itself, are all public.
func isForEverybody(operation *ast.OperationDefinition) bool {
	if operation.Operation != ast.Mutation {
		return false
	}
	for _, selection := range operation.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok || field.Name != "__typename" && field.Definition.Directives.ForName("public") == nil {
			return false
		}
	}
	return true
}
