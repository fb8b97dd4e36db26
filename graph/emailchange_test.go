package graph_test

import (
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/identity"
)

const (
	changeEmail        = `mutation ($email: String!) { changeEmail(input: {email: $email}) { email } }`
	confirmEmailChange = `mutation ($token: String!) { confirmEmailChange(input: {token: $token}) {
		__typename ... on ConfirmEmailChangePayload { applied } ... on UserError { code message }
	} }`
	cancelEmailChange = `mutation ($token: String!) { cancelEmailChange(input: {token: $token}) {
		__typename ... on CancelEmailChangePayload { cancelled } ... on UserError { code message }
	} }`
	withdrawEmailChange = `mutation { withdrawEmailChange { withdrawn } }`
	pendingEmailChange  = `{ me { email pendingEmailChange { email requestedAt takenAt leftAt consentAt } } }`
)

// changing is what the owner of an account sees of its address.
type changing struct {
	Me struct {
		Email              string
		PendingEmailChange *struct {
			Email                        string
			RequestedAt, TakenAt, LeftAt *string
			ConsentAt                    string
		}
	}
}

// TestEmailChange_by_GraphQL takes an account to another address, as its owner does: asked for, replaced, withdrawn, cancelled
// from a letter, and at last confirmed by both letters, the answer of each step as the API gives it.
func TestEmailChange_by_GraphQL(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	owner := a.Customer()
	from, tablet := owner.User.Email, a.Anonymous()
	tokens, err := a.Identity.SignIn(t.Context(), from, apitest.Password, identity.Device{Name: "Tablet", Address: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	tablet.Token = tokens.Access
	a.Mailed(from, "new-device")
	const to = "nora@elsewhere.example"

	seen := func() changing {
		t.Helper()
		var out changing
		owner.Get(pendingEmailChange, nil, &out)
		return out
	}
	ask := func(email string) (take, leave string) {
		t.Helper()
		owner.Get(changeEmail, vars{"email": email}, nil)
		return a.Mailed(email, "take-address"), a.Mailed(from, "leave-address")
	}
	// say has whoever reads a letter, whom nobody knows, say something with its token.
	say := func(mutation, token, want string) {
		t.Helper()
		if got := string(a.Anonymous().Raw(mutation, vars{"token": token}).Body); !strings.Contains(got, want) {
			t.Errorf("the answer is %s, want %s", got, want)
		}
	}

	if got := seen(); got.Me.Email != from || got.Me.PendingEmailChange != nil {
		t.Errorf("in the beginning: %+v", got)
	}
	replaced, leave := ask("nora@third.example")
	take, _ := ask(to)
	if got := seen().Me.PendingEmailChange; got == nil || got.Email != to || got.TakenAt != nil || got.LeftAt != nil {
		t.Errorf("while it waits: %+v", got)
	}
	say(confirmEmailChange, replaced, `"code":"LINK_EXPIRED"`)
	say(cancelEmailChange, leave, `"code":"LINK_EXPIRED"`)
	for _, want := range []string{`"withdrawn":true`, `"withdrawn":false`} {
		if got := string(tablet.Raw(withdrawEmailChange, nil).Body); !strings.Contains(got, want) {
			t.Errorf("withdrawing: %s, want %s", got, want)
		}
	}
	say(confirmEmailChange, take, `"code":"LINK_EXPIRED"`)

	take, leave = ask(to)
	say(cancelEmailChange, leave, `"cancelled":true`)
	say(confirmEmailChange, take, `"code":"LINK_EXPIRED"`)

	take, leave = ask(to)
	say(confirmEmailChange, leave, `"applied":false`)
	if got := seen().Me.PendingEmailChange; got == nil || got.LeftAt == nil || got.TakenAt != nil {
		t.Errorf("after the present address confirmed: %+v", got)
	}
	say(confirmEmailChange, take, `"applied":true`)
	if got := seen(); got.Me.Email != to || got.Me.PendingEmailChange != nil {
		t.Errorf("afterwards: %+v", got)
	}
	if refusal := tablet.Refused(withdrawEmailChange, nil); refusal.Problems[0].Code != apperr.Unauthenticated {
		t.Errorf("the other device: %v", refusal)
	}
	a.Mailed(from, "address-changed")
	a.Mailed(to, "address-changed")
}

// changes are requests about a change of an address that are refused.
func (w *badWorld) changes() []badInput {
	ask := func(name, email string) badInput {
		return badInput{name: name, who: w.other, query: changeEmail, vars: vars{"email": email}}
	}
	unsigned := func(name, query string, v vars) badInput {
		return badInput{name: name, who: w.anonymous, query: query, vars: v}
	}
	const madeUp = "mqm_AAAAAAAAAAAAAAAAAAAAAAAAAA"
	return []badInput{
		ask("address empty", ""),
		ask("address without a host", "nora@"),
		ask("address with a line break", "nora@example.com\r\nBcc: all@example.com"),
		ask("address with NUL", "nora\x00@example.com"),
		ask("address endless", strings.Repeat("e", 50_000)+"@example.com"),
		ask("address of one's own", w.other.User.Email),
		ask("address of one's own in capitals", strings.ToUpper(w.other.User.Email)),
		{name: "proof too old", who: w.stale, query: changeEmail, vars: vars{"email": "nora@example.com"}},
		{name: "no address", who: w.other, query: `mutation { changeEmail(input: {}) { email } }`},
		unsigned("asking without a session", changeEmail, vars{"email": "nora@example.com"}),
		unsigned("withdrawing without a session", withdrawEmailChange, nil),
		unsigned("confirming with a token made up", confirmEmailChange, vars{"token": madeUp}),
		unsigned("confirming with a token for a sign-up", confirmEmailChange, vars{"token": w.link}),
		unsigned("confirming with an empty token", confirmEmailChange, vars{"token": ""}),
		unsigned("confirming with a token with NUL", confirmEmailChange, vars{"token": madeUp + "\x00"}),
		unsigned("confirming with an endless token", confirmEmailChange, vars{"token": strings.Repeat("t", 50_000)}),
		unsigned("confirming for an address that was taken meanwhile", confirmEmailChange, vars{"token": w.outrun}),
		unsigned("cancelling with a token made up", cancelEmailChange, vars{"token": madeUp}),
		unsigned("cancelling with an empty token", cancelEmailChange, vars{"token": ""}),
	}
}

// proved returns a client of a customer who proved so long ago who they are.
func proved(t *testing.T, a *apitest.App, ago string) apitest.Client {
	t.Helper()
	c := a.Customer()
	tokens, err := a.Identity.SignIn(t.Context(), c.User.Email, apitest.Password, identity.Device{Address: c.User.Email})
	if err != nil {
		t.Fatal(err)
	}
	a.Exec(`UPDATE sessions SET proved_at = now() - $1::interval WHERE user_id = $2`, ago, c.User.ID)
	if tokens, err = a.Identity.Refresh(t.Context(), tokens.Refresh); err != nil {
		t.Fatal(err)
	}
	c.Token = tokens.Access
	return c
}
