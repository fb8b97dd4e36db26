package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// oneStream refuses subscriptions that do not come to exactly one field: several aliases of one, or none that @skip and
// @include leave. The validator cannot see it, since variables decide; what executes would find out after all else.
type oneStream struct{}

var (
	_ graphql.HandlerExtension        = oneStream{}
	_ graphql.OperationContextMutator = oneStream{}
)

// ExtensionName names the extension to the executor.
func (oneStream) ExtensionName() string { return "OneStream" }

// Validate has nothing to check.
func (oneStream) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses with BAD_USER_INPUT.
func (oneStream) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if op.Operation.Operation != ast.Subscription {
		return nil
	}
	if len(graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Subscription"})) == 1 {
		return nil
	}
	err := apperr.New(apperr.BadUserInput, "A subscription must ask for exactly one field: open one for each.")
	return &gqlerror.Error{Err: err, Message: err.Message}
}
