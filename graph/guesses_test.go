package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/gqlclient"
)

// TestA5_guesses_count_however_they_come: many in one document count like many requests, and those on one node count on
// every other.
func TestA5_guesses_count_however_they_come(t *testing.T) {
	t.Parallel()
	here := apitest.New(t)
	there := apitest.New(t, apitest.Beside(here))
	owner := here.Customer().With(t)
	with := func(password string) vars {
		return vars{"in": vars{"email": owner.User.Email, "password": password}}
	}
	const free = 5
	var guesses strings.Builder
	for i := range free {
		fmt.Fprintf(&guesses, "g%d: signIn(input: $in) { __typename } ", i)
	}
	var answers map[string]struct {
		Typename string `json:"__typename"`
	}
	here.Anonymous().With(t).Get(`mutation ($in: SignInInput!) { `+guesses.String()+`}`, with("not my password, surely"), &answers)
	for alias, answer := range answers {
		if answer.Typename != "InvalidCredentials" {
			t.Errorf("%s: %s", alias, answer.Typename)
		}
	}
	if len(answers) != free {
		t.Errorf("%d answers", len(answers))
	}
	for name, node := range map[string]*apitest.App{"the same node": here, "another node": there} {
		err := node.Anonymous().With(t).Try(`mutation ($in: SignInInput!) { signIn(input: $in) { __typename } }`, with(apitest.Password), nil)
		if code := gqlclient.CodeOf(err); code != apperr.Throttled {
			t.Errorf("one more on %s: %v", name, err)
		}
	}
}
