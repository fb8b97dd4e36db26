package graph

import (
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"marquee/graph/model"
	"marquee/internal/identity"
	"marquee/internal/privacy"
	"marquee/internal/typeid"
)

var usernameTaken = model.UsernameTaken{
	Code: model.UserErrorCodeUsernameTaken, Message: "Another account has this username, or one that looks like it.",
}

var emailTaken = model.EmailTaken{Code: model.UserErrorCodeEmailTaken, Message: "An account with this e-mail address exists."}

// change decodes a field that may be absent, null or a text.
func change(field graphql.Omittable[*string]) identity.Change {
	to, given := field.ValueOK()
	return identity.Change{Given: given, To: to}
}

// textOr decodes a field that means the same when it is absent and null.
func textOr(text *string) identity.Change {
	return identity.Change{Given: text != nil, To: text}
}

// deleteAccountResult encodes what became of the erasure of the viewer's account.
func deleteAccountResult(id uuid.UUID, result privacy.EraseResult) (model.DeleteAccountResult, error) {
	switch r := result.(type) {
	case privacy.Erased:
		return model.DeleteAccountPayload{UserID: typeid.Encode(typeid.User, id)}, nil
	case privacy.ReservationsAhead:
		return reservationsAhead(r), nil
	case privacy.InOffice:
		return accountInOffice, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// eraseUserResult encodes what became of the erasure of somebody's account.
func eraseUserResult(id uuid.UUID, result privacy.EraseResult) (model.EraseUserResult, error) {
	switch r := result.(type) {
	case privacy.Erased:
		return model.EraseUserPayload{UserID: typeid.Encode(typeid.User, id)}, nil
	case privacy.ReservationsAhead:
		return reservationsAhead(r), nil
	case privacy.InOffice:
		return accountInOffice, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

var accountInOffice = model.AccountInOffice{
	Code: model.UserErrorCodeAccountInOffice, Message: "This account can do more than a customer's. That has to be taken from it first.",
}

func reservationsAhead(r privacy.ReservationsAhead) model.ReservationsAhead {
	return model.ReservationsAhead{
		Code:    model.UserErrorCodeReservationsAhead,
		Message: "There are paid seats of showtimes that are not over. Cancel them, or leave them behind.", Count: int32(r.Count),
	}
}
