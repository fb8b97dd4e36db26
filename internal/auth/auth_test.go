package auth_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
)

var (
	here  = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	there = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")
)

func viewer(grants ...auth.Grant) auth.Viewer {
	return auth.Viewer{UserID: uuid.New(), SessionID: uuid.New(), Grants: auth.NewGrants(grants...), Strong: true}
}

func TestViewerFrom(t *testing.T) {
	t.Parallel()
	if v, ok := auth.ViewerFrom(t.Context()); ok || v != (auth.Viewer{}) {
		t.Errorf("nobody is %+v", v)
	}
	want := viewer(auth.Grant{Role: auth.RoleAdmin})
	ctx := auth.WithViewer(t.Context(), want)
	if v, ok := auth.ViewerFrom(ctx); !ok || v != want {
		t.Errorf("%+v, %t; want %+v", v, ok, want)
	}
	other := viewer()
	if v, _ := auth.ViewerFrom(auth.WithViewer(ctx, other)); v != other {
		t.Errorf("the innermost is %+v, want %+v", v, other)
	}
	// Nobody else's key or type is taken for a viewer.
	type key struct{}
	if v, ok := auth.ViewerFrom(context.WithValue(t.Context(), key{}, want)); ok {
		t.Errorf("a foreign value is %+v", v)
	}
}

// TestRequire asks for every role everywhere as everybody. The table is that of Grant.Includes, written out.
func TestRequire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		grants                     []auth.Grant
		platform, atHere, anywhere []auth.Role // beside CUSTOMER
	}{
		{},
		{
			grants: []auth.Grant{{Role: auth.RoleTheaterStaff, Theater: here}},
			atHere: []auth.Role{auth.RoleTheaterStaff}, anywhere: []auth.Role{auth.RoleTheaterStaff},
		},
		{
			grants:   []auth.Grant{{Role: auth.RoleTheaterStaff, Theater: there}},
			anywhere: []auth.Role{auth.RoleTheaterStaff},
		},
		{
			grants: []auth.Grant{{Role: auth.RoleTheaterManager, Theater: here}},
			atHere: []auth.Role{auth.RoleTheaterStaff, auth.RoleTheaterManager}, anywhere: []auth.Role{auth.RoleTheaterStaff, auth.RoleTheaterManager},
		},
		{
			grants:   []auth.Grant{{Role: auth.RoleTheaterManager}},
			platform: []auth.Role{auth.RoleTheaterStaff, auth.RoleTheaterManager},
			atHere:   []auth.Role{auth.RoleTheaterStaff, auth.RoleTheaterManager}, anywhere: []auth.Role{auth.RoleTheaterStaff, auth.RoleTheaterManager},
		},
		{
			grants:   []auth.Grant{{Role: auth.RoleSupport}},
			platform: []auth.Role{auth.RoleSupport}, atHere: []auth.Role{auth.RoleSupport}, anywhere: []auth.Role{auth.RoleSupport},
		},
		{
			grants:   []auth.Grant{{Role: auth.RoleFinance}},
			platform: []auth.Role{auth.RoleFinance}, atHere: []auth.Role{auth.RoleFinance}, anywhere: []auth.Role{auth.RoleFinance},
		},
		{
			grants:   []auth.Grant{{Role: auth.RoleAdmin}},
			platform: auth.Roles(), atHere: []auth.Role{auth.RoleTheaterStaff, auth.RoleTheaterManager, auth.RoleSupport, auth.RoleFinance, auth.RoleAdmin}, anywhere: auth.Roles(),
		},
		{
			grants:   []auth.Grant{{Role: auth.RoleSupport}, {Role: auth.RoleTheaterStaff, Theater: here}},
			platform: []auth.Role{auth.RoleSupport}, atHere: []auth.Role{auth.RoleSupport, auth.RoleTheaterStaff}, anywhere: []auth.Role{auth.RoleSupport, auth.RoleTheaterStaff},
		},
		// What nobody can be granted gives nothing.
		{grants: []auth.Grant{{Role: "OWNER"}, {Role: auth.RoleAdmin, Theater: here}, {Role: auth.RoleFinance, Theater: here}, {Role: auth.RoleCustomer}}},
	} {
		v := viewer(c.grants...)
		ctx := auth.WithViewer(t.Context(), v)
		for _, role := range append(auth.Roles(), "OWNER", "") {
			for where, q := range map[string]struct {
				ask  func() (auth.Viewer, error)
				want []auth.Role
			}{
				"on the platform": {func() (auth.Viewer, error) { return auth.Require(ctx, role) }, c.platform},
				"here":            {func() (auth.Viewer, error) { return auth.RequireAt(ctx, role, here) }, c.atHere},
				"somewhere":       {func() (auth.Viewer, error) { return auth.RequireSomewhere(ctx, role) }, c.anywhere},
			} {
				want := role == auth.RoleCustomer
				for _, r := range q.want {
					want = want || r == role
				}
				got, err := q.ask()
				if want && (err != nil || got != v) {
					t.Errorf("%s: %q %s: %v", v.Grants, role, where, err)
				}
				if !want && (apperr.CodeOf(err) != apperr.Forbidden || got != (auth.Viewer{})) {
					t.Errorf("%s: %q %s: %v, want FORBIDDEN", v.Grants, role, where, err)
				}
			}
		}
	}
	for _, role := range append(auth.Roles(), "OWNER", "") {
		for _, err := range []error{errOf(auth.Require(t.Context(), role)), errOf(auth.RequireAt(t.Context(), role, here)), errOf(auth.RequireSomewhere(t.Context(), role))} {
			if apperr.CodeOf(err) != apperr.Unauthenticated {
				t.Errorf("nobody, %q: %v", role, err)
			}
		}
	}
}

// TestA6_roles_of_the_platform makes sure that what is held on the platform counts only where a second factor was proved.
func TestA6_roles_of_the_platform(t *testing.T) {
	t.Parallel()
	for _, role := range auth.Roles()[1:] {
		weak := viewer(auth.Grant{Role: role}, auth.Grant{Role: auth.RoleTheaterStaff, Theater: here})
		weak.Strong = false
		ctx := auth.WithViewer(t.Context(), weak)
		if _, err := auth.Require(ctx, role); apperr.CodeOf(err) != apperr.SecondFactorRequired {
			t.Errorf("%s on the platform: %v", role, err)
		}
		if _, err := auth.RequireAt(ctx, role, there); apperr.CodeOf(err) != apperr.SecondFactorRequired {
			t.Errorf("%s at a theater: %v", role, err)
		}
		if weak.Has(role, auth.Platform) || weak.Has(role, there) {
			t.Errorf("%s counts", role)
		}
		// The role of a theater and that of everybody count.
		if _, err := auth.RequireAt(ctx, auth.RoleTheaterStaff, here); err != nil {
			t.Errorf("staff, beside %s: %v", role, err)
		}
		if v, err := auth.Require(ctx, auth.RoleCustomer); err != nil || v != weak {
			t.Errorf("a customer, beside %s: %v", role, err)
		}
		if role != auth.RoleAdmin && role != auth.RoleFinance {
			if _, err := auth.Require(ctx, auth.RoleFinance); apperr.CodeOf(err) != apperr.Forbidden {
				t.Errorf("%s asks for another role: %v", role, err)
			}
		}
	}
}

func errOf(_ auth.Viewer, err error) error { return err }

func TestGrants(t *testing.T) {
	t.Parallel()
	staff, manager, admin := auth.Grant{Role: auth.RoleTheaterStaff, Theater: here}, auth.Grant{Role: auth.RoleTheaterManager, Theater: there}, auth.Grant{Role: auth.RoleAdmin}
	one, two := auth.NewGrants(admin, staff, manager, staff), auth.NewGrants(manager, admin, staff)
	if one != two {
		t.Errorf("%q and %q hold the same", one, two)
	}
	if one.Title() != auth.RoleAdmin || (auth.Grants{}).Title() != auth.RoleCustomer {
		t.Errorf("titles %s and %s", one.Title(), (auth.Grants{}).Title())
	}
	text, err := one.MarshalText()
	var read auth.Grants
	if err != nil || read.UnmarshalText(text) != nil || read != one {
		t.Errorf("%q is read as %q, %v", text, read, err)
	}
	for _, wrong := range []string{
		"OWNER", "CUSTOMER", "admin", "ADMIN ", " ADMIN", "ADMIN ADMIN", "ADMIN\tFINANCE", "ADMIN FINANCE", "ADMIN@" + staff.String(), "THEATER_STAFF@", "THEATER_STAFF@the_x",
		"FINANCE@the_01h455vb4pex5vsknk084sn02q",
	} {
		kept := one
		if err := kept.UnmarshalText([]byte(wrong)); err == nil || kept != one {
			t.Errorf("%q is read as %q", wrong, kept)
		}
	}
}
