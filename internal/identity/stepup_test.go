package identity_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
)

// TestAU_step_up_is_asked_by_the_domain is that rights, accounts and ways to sign in are changed by nobody who has not
// proved lately who they are, whoever calls; that who may not at all is told so, with a fresh proof or an old one; and that
// the operator proves it by being there.
func TestAU_step_up_is_asked_by_the_domain(t *testing.T) {
	t.Parallel()
	f := federate(t)
	user := f.signUp(t, "someone@example.com", passphrase).User
	customer, admin := f.holding(user.ID)(), f.holding(f.root(t))(auth.Grant{Role: auth.RoleAdmin})
	proved := func(v auth.Viewer, ago time.Duration) auth.Viewer {
		v.ProvedAt = f.clock.Now().Add(-ago)
		return v
	}
	finance := identity.ChangeGrantInput{UserID: user.ID, Grant: auth.Grant{Role: auth.RoleFinance}, Reason: "to see who may"}
	for _, act := range []struct {
		name  string
		admin bool // for administrators only; else for everybody about themselves
		do    func(v auth.Viewer) error
	}{
		{"granting", true, func(v auth.Viewer) error { _, err := f.GrantRole(t.Context(), v, finance); return err }},
		{"revoking", true, func(v auth.Viewer) error { return f.RevokeRole(t.Context(), v, finance) }},
		{"disabling", true, func(v auth.Viewer) error { _, err := f.DisableUser(t.Context(), v, user.ID, "fraud"); return err }},
		{"enabling", true, func(v auth.Viewer) error { _, err := f.EnableUser(t.Context(), v, user.ID, "none"); return err }},
		{"beginning to link", false, func(v auth.Viewer) error { _, err := f.BeginProviderLink(t.Context(), v, toAcme); return err }},
		{"linking", false, func(v auth.Viewer) error {
			_, err := f.LinkProvider(t.Context(), v, identity.CompleteFlowInput{})
			return err
		}},
		{"unlinking", false, func(v auth.Viewer) error { return f.UnlinkProvider(t.Context(), v, uuid.New()) }},
	} {
		type asking struct {
			who  string
			v    auth.Viewer
			want apperr.Code // "": neither refusal
		}
		asks := []asking{
			{"who proved it in time", proved(customer, 10*time.Minute), ""},
			{"who proved it too long ago", proved(customer, 10*time.Minute+time.Second), apperr.StepUpRequired},
			{"who never proved it", auth.Viewer{UserID: user.ID}, apperr.StepUpRequired},
		}
		if act.admin {
			asks = []asking{
				{"a customer", proved(customer, 0), apperr.Forbidden},
				{"a customer, long ago", proved(customer, time.Hour), apperr.Forbidden},
				{"an administrator too long ago", proved(admin, 10*time.Minute+time.Second), apperr.StepUpRequired},
				{"an administrator in time", proved(admin, 10*time.Minute), ""},
				{"the operator", f.Operator(), ""},
			}
		}
		for _, ask := range asks {
			code := apperr.CodeOf(act.do(ask.v))
			if refused := code == apperr.StepUpRequired || code == apperr.Forbidden; code != ask.want && (refused || ask.want != "") {
				t.Errorf("%s, %s: %q, want %q", act.name, ask.who, code, ask.want)
			}
		}
	}
}
