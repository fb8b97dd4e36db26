package graph

import (
	"marquee/graph/model"
	"marquee/internal/identity"
)

var providerSignInFailed = model.ProviderSignInFailed{
	Code:    model.UserErrorCodeProviderSignInFailed,
	Message: "The provider did not confirm who you are, or it took too long. Begin again.",
}

var lastWayToSignIn = model.LastWayToSignIn{
	Code:    model.UserErrorCodeLastWayToSignIn,
	Message: "You could not sign in any more. Set a password by a recovery mail, or link a provider first.",
}

// completeFlowInput decodes what a browser came back with, whatever it had been sent away for.
func completeFlowInput(input model.LinkProviderInput) identity.CompleteFlowInput {
	in := identity.CompleteFlowInput{FlowToken: input.FlowToken, State: input.State, Code: input.Code, RedirectURI: input.RedirectURI}
	if input.Iss != nil {
		in.Issuer = *input.Iss
	}
	return in
}
