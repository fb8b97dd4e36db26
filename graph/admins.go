package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/auth"
)

// adminsOnly refuses the operations of everybody but administrators, except the way in and out: a mutation that does
// nothing but sign in, with the second factor that an administrator must have, renew a session or sign out.
type adminsOnly struct{}

var (
	_ graphql.HandlerExtension        = adminsOnly{}
	_ graphql.OperationContextMutator = adminsOnly{}
)

// ExtensionName names the extension to the executor.
func (adminsOnly) ExtensionName() string { return "AdminsOnly" }

// Validate has nothing to check.
func (adminsOnly) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses with UNAUTHENTICATED, FORBIDDEN or SECOND_FACTOR_REQUIRED.
func (adminsOnly) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	_, err := auth.Require(ctx, auth.RoleAdmin)
	if err == nil || isWayIn(op.Operation) {
		return nil
	}
	return &gqlerror.Error{Err: err, Message: err.Error()}
}

// isWayIn reports whether an operation does nothing but sign in, enrol and prove second factors, renew a session, whose
// access token may be over by then, or sign out. Root fields inside fragments count as something else: no client needs them here.
func isWayIn(operation *ast.OperationDefinition) bool {
	if operation.Operation != ast.Mutation {
		return false
	}
	for _, selection := range operation.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok {
			return false
		}
		switch field.Name {
		case "signIn", "refreshSession", "signOut", "__typename",
			"proveSecondFactor", "proveAgain", "beginTotp", "confirmTotp",
			"beginPasskey", "confirmPasskey", "beginPasskeySignIn", "signInWithPasskey", "beginPasskeyProof":
		default:
			return false
		}
	}
	return true
}
