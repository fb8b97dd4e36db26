package auth_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
)

var roles = []auth.Role{auth.RoleCustomer, auth.RoleTheaterManager, auth.RoleAdmin}

func TestRole_Includes(t *testing.T) {
	t.Parallel()
	for i, has := range roles {
		for j, needs := range roles {
			if got, want := has.Includes(needs), i >= j; got != want {
				t.Errorf("%s includes %s: %t, want %t", has, needs, got, want)
			}
		}
		if !has.Valid() {
			t.Errorf("%s is not valid", has)
		}
	}
	for _, unknown := range []auth.Role{"", "customer", "ROOT", "ADMIN "} {
		if unknown.Valid() {
			t.Errorf("%q is valid", unknown)
		}
		for _, role := range roles {
			if unknown.Includes(role) || role.Includes(unknown) {
				t.Errorf("%q and %s include each other", unknown, role)
			}
		}
		if unknown.Includes(unknown) {
			t.Errorf("%q includes itself", unknown)
		}
	}
}

func TestViewerFrom(t *testing.T) {
	t.Parallel()
	if v, ok := auth.ViewerFrom(t.Context()); ok || v != (auth.Viewer{}) {
		t.Errorf("nobody is %+v", v)
	}
	want := auth.Viewer{UserID: uuid.New(), SessionID: uuid.New(), Role: auth.RoleAdmin}
	ctx := auth.WithViewer(t.Context(), want)
	if v, ok := auth.ViewerFrom(ctx); !ok || v != want {
		t.Errorf("%+v, %t; want %+v", v, ok, want)
	}
	other := auth.Viewer{UserID: uuid.New(), Role: auth.RoleCustomer}
	if v, _ := auth.ViewerFrom(auth.WithViewer(ctx, other)); v != other {
		t.Errorf("the innermost is %+v, want %+v", v, other)
	}
	// Nobody else's key or type is taken for a viewer.
	type key struct{}
	if v, ok := auth.ViewerFrom(context.WithValue(t.Context(), key{}, want)); ok {
		t.Errorf("a foreign value is %+v", v)
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	if v, err := auth.Require(t.Context(), auth.RoleCustomer); apperr.CodeOf(err) != apperr.Unauthenticated || v != (auth.Viewer{}) {
		t.Errorf("nobody: %+v, %v", v, err)
	}
	for i, has := range roles {
		want := auth.Viewer{UserID: uuid.New(), Role: has}
		ctx := auth.WithViewer(t.Context(), want)
		for j, needs := range roles {
			v, err := auth.Require(ctx, needs)
			if i >= j && (err != nil || v != want) {
				t.Errorf("%s for %s: %+v, %v", has, needs, v, err)
			}
			if i < j && (apperr.CodeOf(err) != apperr.Forbidden || v != (auth.Viewer{})) {
				t.Errorf("%s for %s: %+v, %v; want FORBIDDEN", has, needs, v, err)
			}
		}
		if v, err := auth.Require(ctx, "UNHEARD_OF"); apperr.CodeOf(err) != apperr.Forbidden {
			t.Errorf("%s for an unknown role: %+v, %v", has, v, err)
		}
	}
}
