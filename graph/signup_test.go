package graph_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/cookie"
)

// TestAU7_sign_up_and_recovery answer a stranger the same for an address with an account and for one without: status,
// headers, body and what is written at once.
func TestAU7_sign_up_and_recovery(t *testing.T) {
	t.Parallel()
	for name, mutation := range map[string]string{
		"signing up": signUp,
		"recovering": `mutation ($email: String!) { requestPasswordReset(input: {email: $email}) { email } }`,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			a := apitest.New(t, apitest.Bare(), apitest.Still())
			known := a.Customer().User.Email
			unknown := strings.Repeat("u", len(known)-len("@apitest.example")) + "@apitest.example"
			var seen []string
			for _, email := range []string{known, unknown} {
				answer := a.Anonymous().Raw(mutation, vars{"email": email})
				body, _, _ := strings.Cut(string(answer.Body), `"extensions"`) // what is left of the points changes
				kinds := apitest.Value[string](a, `SELECT coalesce(string_agg(kind || ' ' || state || ' ' || attempts || ' ' || octet_length(payload_sealed), ' '), 'nothing') FROM mails`)
				a.Exec(`DELETE FROM mails`)
				header := strings.Join(slices.Sorted(maps.Keys(answer.Header)), " ")
				seen = append(seen, strings.Join([]string{header, strings.ReplaceAll(body, email, "ADDRESS"), kinds, answer.Header.Get("Content-Type")}, "\n"))
				if answer.Status != 200 || !strings.Contains(body, email) {
					t.Errorf("%s is answered %s", email, answer)
				}
			}
			if seen[0] != seen[1] {
				t.Errorf("with an account:\n%s\nwithout:\n%s", seen[0], seen[1])
			}
		})
	}
}

// TestConfirmSignUp_in_a_browser keeps the session in cookies when the page asks for it.
func TestConfirmSignUp_in_a_browser(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	a.Anonymous().Get(signUp, vars{"email": "nora@example.com"}, nil)
	c, _ := browse(t, a, nil, cookie.Header, cookie.ModeCookie)
	var out struct{ ConfirmSignUp tokens }
	c.Get(`mutation ($in: ConfirmSignUpInput!) { confirmSignUp(input: $in) { `+sessionFields+` } }`, vars{"in": vars{
		"token": a.Mailed("nora@example.com", "confirm-sign-up"), "password": apitest.Password, "name": "Nora",
	}}, &out)
	if got := out.ConfirmSignUp; got.Typename != "SessionPayload" || got.Token != "" || got.RefreshToken != "" {
		t.Errorf("%+v", got)
	}
	if me := whoami(c); me != "nora@example.com" {
		t.Errorf("the next request is of %q", me)
	}
}
