package identity_test

import (
	"testing"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/identity"
)

// grant gives a role as the operator would.
func (b bundle) grant(t *testing.T, user uuid.UUID, g auth.Grant) error {
	t.Helper()
	_, err := b.GrantRole(t.Context(), identity.Operator(), identity.ChangeGrantInput{UserID: user, Grant: g, Reason: "as agreed"})
	return err
}
