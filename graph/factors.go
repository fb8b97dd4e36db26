package graph

import (
	"context"

	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
)

var (
	invalidProof = model.InvalidProof{
		Code: model.UserErrorCodeInvalidProof, Message: "The code is wrong, was used before or is over, or the passkey is not one of the account's.",
	}
	sessionEnded = model.SessionEnded{Code: model.UserErrorCodeSessionEnded, Message: "Your session has ended. Sign in again."}
)

// factorProof decodes the proof of a second factor.
func factorProof(code, recoveryCode *string, passkey *model.PasskeyInput) identity.FactorProof {
	return identity.FactorProof{Code: code, RecoveryCode: recoveryCode, Passkey: (*identity.PasskeyAnswer)(passkey)}
}

func passkeyChallenge(c identity.PasskeyChallenge) model.PasskeyChallenge {
	return model.PasskeyChallenge{Token: c.Token, Options: c.Options, ExpiresAt: c.ExpiresAt}
}

// ownerOf returns the caller when the account is theirs: UNAUTHENTICATED, FORBIDDEN.
func ownerOf(ctx context.Context, u *identity.User) (auth.Viewer, error) {
	viewer, err := auth.Require(ctx, auth.RoleCustomer)
	if err == nil && viewer.UserID != u.ID {
		err = apperr.New(apperr.Forbidden, "The second factors of an account are shown to its owner only.")
	}
	return viewer, err
}
