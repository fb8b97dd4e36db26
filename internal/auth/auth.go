// Package auth says who is asking: the Viewer of a request, the roles, where they are held, and how all of it travels
// with a context.
//
// It knows no password, no session and no table; identity finds the Viewer, the edge installs it, domains read it. Every
// question about what a viewer may do ends in Grant.Includes, the one table of roles.
package auth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
)

// Viewer is the authenticated caller of this request. Two of the same session and moment are equal.
type Viewer struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	Grants    Grants

	// What the access token of the request said beside: the state of the session it was made in, and until when it counts.
	Generation int32
	ExpiresAt  time.Time

	// ProvedAt is when somebody last proved in this session to be the user, with a second factor if the account had one;
	// zero: not since the account got one. Strong says that a second factor was proved in this session.
	ProvedAt time.Time
	Strong   bool
}

// Has reports whether the viewer may do, in this session, what takes a role at a place: a theater, or Platform.
func (v Viewer) Has(role Role, at uuid.UUID) bool {
	return role == RoleCustomer || v.has(func(Grant) Grant { return Grant{Role: role, Theater: at} })
}

// HasSomewhere reports whether the viewer may do, in this session, what takes a role at one theater at least.
func (v Viewer) HasSomewhere(role Role) bool {
	return role == RoleCustomer || v.has(func(held Grant) Grant { return Grant{Role: role, Theater: held.Theater} })
}

// has reports whether one of the grants that count in this session includes what is needed where it is held.
func (v Viewer) has(need func(held Grant) Grant) bool {
	for held := range v.Grants.All() {
		if held.Includes(need(held)) && (v.Strong || !held.NeedsSecondFactor()) {
			return true
		}
	}
	return false
}

// SecondFactorDue reports whether a role of the viewer waits for a second factor to be proved in this session.
func (v Viewer) SecondFactorDue() bool {
	for held := range v.Grants.All() {
		if !v.Strong && held.NeedsSecondFactor() {
			return true
		}
	}
	return false
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

// Require returns the caller when they may do what takes a role on the platform; UNAUTHENTICATED for nobody, FORBIDDEN
// for others, SECOND_FACTOR_REQUIRED for those who may once they have proved one in this session. RoleCustomer takes no
// more than to be signed in.
func Require(ctx context.Context, role Role) (Viewer, error) {
	return require(ctx, func(v Viewer) bool { return v.Has(role, Platform) })
}

// RequireAt is Require for a role at a theater.
func RequireAt(ctx context.Context, role Role, theater uuid.UUID) (Viewer, error) {
	return require(ctx, func(v Viewer) bool { return v.Has(role, theater) })
}

// RequireSomewhere is Require for a role at one theater at least. Whoever calls it asks RequireAt about the theater
// itself before anything of it is told or done.
func RequireSomewhere(ctx context.Context, role Role) (Viewer, error) {
	return require(ctx, func(v Viewer) bool { return v.HasSomewhere(role) })
}

func require(ctx context.Context, may func(Viewer) bool) (Viewer, error) {
	v, ok := ViewerFrom(ctx)
	if !ok {
		return Viewer{}, apperr.New(apperr.Unauthenticated, "Sign in first.")
	}
	if may(v) {
		return v, nil
	}
	if v.Strong = true; may(v) {
		return Viewer{}, apperr.New(apperr.SecondFactorRequired, "Your role counts only with a second factor. Enrol one, or prove yours in this session.")
	}
	return Viewer{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
}
