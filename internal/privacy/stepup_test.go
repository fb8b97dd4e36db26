package privacy_test

import (
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/privacy"
)

// TestAU_step_up_is_asked_before_data_leaves_or_goes is that nobody takes all data of an account, or erases it, who has not
// proved lately who they are; that who may not erase is told so, with a fresh proof or an old one; and that nothing happened.
func TestAU_step_up_is_asked_before_data_leaves_or_goes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	owner, other := a.Customer().User.ID, a.Customer().User.ID
	viewer := func(ago time.Duration, grants ...auth.Grant) auth.Viewer {
		return auth.Viewer{UserID: owner, Grants: auth.NewGrants(grants...), Strong: true, ProvedAt: time.Now().Add(-ago)}
	}
	const fresh, old = time.Minute, 11 * time.Minute
	admin := auth.Grant{Role: auth.RoleAdmin}
	export := func(v auth.Viewer) error { _, err := a.Privacy.Export(t.Context(), v); return err }
	erase := func(v auth.Viewer) error {
		_, err := a.Privacy.Erase(t.Context(), v, privacy.EraseInput{UserID: owner})
		return err
	}
	eraseOther := func(v auth.Viewer) error {
		_, err := a.Privacy.Erase(t.Context(), v, privacy.EraseInput{UserID: other})
		return err
	}
	eraseUser := func(v auth.Viewer) error {
		_, err := a.Privacy.EraseUser(t.Context(), v, privacy.EraseInput{UserID: other, Reason: "asked by letter"})
		return err
	}
	before := a.Dump()
	for name, test := range map[string]struct {
		act  func(auth.Viewer) error
		v    auth.Viewer
		want apperr.Code
	}{
		"exporting_with_an_old_proof":              {export, viewer(old), apperr.StepUpRequired},
		"exporting_without_a_proof":                {export, auth.Viewer{UserID: owner}, apperr.StepUpRequired},
		"deleting_with_an_old_proof":               {erase, viewer(old), apperr.StepUpRequired},
		"deleting_somebody_else":                   {eraseOther, viewer(fresh, admin), apperr.Forbidden},
		"deleting_somebody_else_with_an_old_proof": {eraseOther, viewer(old), apperr.Forbidden},
		"erasing_as_administrator_of_an_old_proof": {eraseUser, viewer(old, admin), apperr.StepUpRequired},
		"erasing_as_support":                       {eraseUser, viewer(fresh, auth.Grant{Role: auth.RoleSupport}), apperr.Forbidden},
		"erasing_as_support_with_an_old_proof":     {eraseUser, viewer(old, auth.Grant{Role: auth.RoleSupport}), apperr.Forbidden},
		"erasing_as_customer_though_it_is_my_own":  {eraseUser, viewer(fresh), apperr.Forbidden},
	} {
		if err := test.act(test.v); apperr.CodeOf(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if after := a.Dump(); after != before {
		t.Errorf("a refusal changed the database from\n%s\nto\n%s", before, after)
	}
	for name, err := range map[string]error{
		"exporting": export(viewer(fresh)), "erasing": eraseUser(viewer(fresh, admin)), "deleting": erase(viewer(fresh)),
	} {
		if err != nil {
			t.Errorf("%s with a fresh proof: %v", name, err)
		}
	}
}
