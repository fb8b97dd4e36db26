package graph

import (
	"context"

	"github.com/google/uuid"

	"marquee/graph/model"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

// changeGrantInput decodes a grant that is to be given or taken away.
func changeGrantInput(ctx context.Context, user string, role auth.Role, theaterID *string, reason string) (auth.Viewer, identity.ChangeGrantInput, error) {
	in := identity.ChangeGrantInput{Grant: auth.Grant{Role: role}, Reason: reason}
	viewer, err := auth.Require(ctx, auth.RoleCustomer)
	if err != nil {
		return viewer, in, err
	}
	if in.UserID, err = decodeID(typeid.User, "input.userId", user); err != nil {
		return viewer, in, err
	}
	at, err := optionalID(typeid.Theater, "input.theaterId", theaterID)
	if err == nil && at != nil {
		in.Grant.Theater = *at
	}
	return viewer, in, err
}

// accountInput decodes which account is to be changed.
func accountInput(ctx context.Context, user string) (viewer auth.Viewer, id uuid.UUID, err error) {
	if viewer, err = auth.Require(ctx, auth.RoleCustomer); err != nil {
		return viewer, id, err
	}
	id, err = decodeID(typeid.User, "input.userId", user)
	return viewer, id, err
}

func accountFilter(f *model.UserFilter) (identity.AccountFilter, error) {
	if f == nil {
		return identity.AccountFilter{}, nil
	}
	out := identity.AccountFilter{Email: f.Email, Role: f.Role, Disabled: f.Disabled}
	var err error
	if out.UserID, err = optionalID(typeid.User, "filter.userId", f.UserID); err != nil {
		return out, err
	}
	out.TheaterID, err = optionalID(typeid.Theater, "filter.theaterId", f.TheaterID)
	return out, err
}

func staffMember(m identity.StaffMember) model.StaffMember {
	return model.StaffMember{
		UserID: m.User.NodeID(), Name: m.User.Name, Email: m.User.Email, Role: m.Role, Reason: m.Reason, GrantedAt: m.CreatedAt,
	}
}

var (
	tooManyGrants = model.TooManyGrants{
		Code: model.UserErrorCodeTooManyGrants, Message: "This user has as many roles as one can have. Revoke others, or grant the role on the platform.",
	}
	lastAdmin = model.LastAdmin{
		Code: model.UserErrorCodeLastAdmin, Message: "This is the last administrator. Make another one first.",
	}
	accountDisabled = model.AccountDisabled{
		Code: model.UserErrorCodeAccountDisabled, Message: "This account was disabled. Write to the box office if this is a mistake.",
	}
)
