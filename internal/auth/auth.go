// Package auth says who is asking: the Viewer of a request, the roles, and how both travel with a context.
//
// It knows no password, no session and no table; identity finds the Viewer, the edge installs it, domains read it.
package auth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
)

// Role is what a user may do on the platform. Roles are ordered: each may do what those before it may.
type Role string

// The roles, weakest first.
const (
	RoleCustomer       Role = "CUSTOMER"        // books for themselves
	RoleTheaterManager Role = "THEATER_MANAGER" // runs theaters
	RoleAdmin          Role = "ADMIN"           // runs the platform
)

// rank orders roles; an unknown role ranks below all.
func (r Role) rank() int {
	switch r {
	case RoleAdmin:
		return 3
	case RoleTheaterManager:
		return 2
	case RoleCustomer:
		return 1
	default:
		return 0
	}
}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r.rank() > 0 }

// Includes reports whether r may do what needs may do.
func (r Role) Includes(needs Role) bool { return needs.Valid() && r.rank() >= needs.rank() }

// Viewer is the authenticated caller of this request.
type Viewer struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	Role      Role

	// What the access token of the request said beside: the state of the session it was made in, and until when it counts.
	Generation int32
	ExpiresAt  time.Time

	// ProvedAt is when somebody last proved in this session to be the user, with a second factor if the account had one;
	// zero: not since the account got one. Strong says that a second factor was proved in this session.
	ProvedAt time.Time
	Strong   bool
}

type viewerKey struct{}

// WithViewer returns a context whose requests are made by v.
func WithViewer(ctx context.Context, v Viewer) context.Context {
	return context.WithValue(ctx, viewerKey{}, v)
}

// ViewerFrom returns the caller; ok is false for an anonymous request.
func ViewerFrom(ctx context.Context) (v Viewer, ok bool) {
	v, ok = ctx.Value(viewerKey{}).(Viewer)
	return v, ok
}

// Require returns the caller when their role includes needs; UNAUTHENTICATED for nobody, FORBIDDEN for too weak a role.
func Require(ctx context.Context, needs Role) (Viewer, error) {
	v, ok := ViewerFrom(ctx)
	if !ok {
		return Viewer{}, apperr.New(apperr.Unauthenticated, "Sign in first.")
	}
	if !v.Role.Includes(needs) {
		return Viewer{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	return v, nil
}
