package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/config"
	"marquee/internal/gqlclient"
	"marquee/internal/identity"
)

const introspection = `{ __schema { queryType { name } } }`

// consoleSettings is what the console's page reads.
type consoleSettings struct {
	Environment string
	SignIns     []struct{ Role, Email, Password string }
}

// page returns the answer to a GET.
func page(t *testing.T, a *apitest.App, url string) apitest.Answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return a.Anonymous().Send(r)
}

func settings(t *testing.T, a *apitest.App, root string) consoleSettings {
	t.Helper()
	answer := page(t, a, root+"/console.json")
	var got consoleSettings
	if err := json.Unmarshal(answer.Body, &got); answer.Status != http.StatusOK || err != nil {
		t.Fatalf("%d %s: %v", answer.Status, answer.Body, err)
	}
	return got
}

// addDemoCustomer makes the account of the demo customer, as an installation has it that has loaded the demo world.
func addDemoCustomer(t *testing.T, a *apitest.App) {
	t.Helper()
	_, err := a.Identity.CreateUser(t.Context(), identity.SignUpInput{
		Email: "customer@marquee.example", Password: "customer at the movies", Name: "Casey Customer",
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestApp_console_development(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare())

	if answer := page(t, a, a.URL+"/"); answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), "<title>Marquee console</title>") {
		t.Errorf("the public port answers %d", answer.Status)
	}
	if got := settings(t, a, a.URL); got.Environment != "development" || len(got.SignIns) != 0 {
		t.Errorf("without the demo accounts: %+v", got)
	}
	addDemoCustomer(t, a)
	got := settings(t, a, a.URL)
	if len(got.SignIns) != 1 || got.SignIns[0].Role != "CUSTOMER" {
		t.Fatalf("with one demo account: %+v", got)
	}
	a.Anonymous().Get(`mutation ($email: String!, $password: String!) {
		signIn(input: {email: $email, password: $password}) { ... on SessionPayload { token } ... on UserError { message } }
	}`, apitest.Vars{"email": got.SignIns[0].Email, "password": got.SignIns[0].Password}, nil)

	for _, path := range []string{"/", "/console.json", "/graphql"} {
		if answer := page(t, a, a.OpsURL+path); answer.Status != http.StatusNotFound {
			t.Errorf("the operators' port answers %s with %d", path, answer.Status)
		}
	}
}

// In production the console stands on the operators' port and opens for administrators only.
func TestApp_console_production(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.With(func(c *config.Config) { c.Env = config.Production }))
	addDemoCustomer(t, a)
	there := func(c apitest.Client) apitest.Client {
		c.URL = a.OpsURL + "/graphql"
		return c
	}
	anonymous, customer, manager, admin := there(a.Anonymous()), there(a.Customer()), there(a.Manager()), there(a.Admin())

	t.Run("the_public_port_has_none", func(t *testing.T) {
		for _, path := range []string{"/", "/console.json", "/licenses.md", "/assets/"} {
			if answer := page(t, a, a.URL+path); answer.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, answer.Status)
			}
		}
	})
	t.Run("the_page_tells_no_password", func(t *testing.T) {
		answer := page(t, a, a.OpsURL+"/")
		if answer.Status != http.StatusOK || answer.Header.Get("Content-Security-Policy") == "" || answer.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%d %v", answer.Status, answer.Header)
		}
		if got := settings(t, a, a.OpsURL); got.Environment != "production" || len(got.SignIns) != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("nothing_works_before_an_administrator_has_signed_in", func(t *testing.T) {
		for name, refused := range map[string]struct {
			client apitest.Client
			code   apperr.Code
		}{
			"nobody": {anonymous, apperr.Unauthenticated}, "a customer": {customer, apperr.Forbidden}, "a manager": {manager, apperr.Forbidden},
		} {
			for _, operation := range []string{
				introspection, `{ genres { name } }`, `{ me { id } }`, `{ __typename }`, `{ __type(name: "User") { name } }`,
				`mutation { signUp(input: {email: "a@b.example"}) { __typename } }`,
				`mutation { signIn(input: {email: "a@b.example", password: "x"}) { __typename } signUp(input: {email: "a@b.example"}) { __typename } }`,
				`mutation { refreshSession(input: {refreshToken: "mqr_x"}) { __typename } signUp(input: {email: "a@b.example"}) { __typename } }`,
				`mutation { ...way } fragment way on Mutation { signIn(input: {email: "a@b.example", password: "x"}) { __typename } }`,
			} {
				if got := gqlclient.CodeOf(refused.client.With(t).Refused(operation, nil)); got != refused.code {
					t.Errorf("%s: %s\nis refused with %s, want %s", name, operation, got, refused.code)
				}
			}
		}
		if n := apitest.Value[int](a, `SELECT count(*) FROM mails WHERE kind = 'sign-up-requested'`); n != 0 {
			t.Errorf("operations that were refused sent %d mails", n)
		}
	})
	t.Run("a_get_is_refused_as_a_post_is", func(t *testing.T) {
		answer := page(t, a, a.OpsURL+"/graphql?query=%7B__typename%7D")
		if !strings.Contains(string(answer.Body), "UNAUTHENTICATED") || strings.Contains(string(answer.Body), `"data"`) {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
	})
	t.Run("an_administrator_signs_in_with_two_factors_and_may_do_everything", func(t *testing.T) {
		user, err := a.Identity.CreateUser(t.Context(),
			identity.SignUpInput{Email: "boss@example.com", Name: "Boss", Password: apitest.Password}, auth.Grant{Role: auth.RoleAdmin})
		if err != nil {
			t.Fatal(err)
		}
		type session struct {
			Token, RefreshToken string
			SecondFactorDue     bool
			User                struct{ Role string }
		}
		var first struct{ SignIn session }
		anonymous.With(t).Get(`mutation ($email: String!, $password: String!) {
			signIn(input: {email: $email, password: $password}) { ... on SessionPayload { token secondFactorDue user { role } } }
		}`, apitest.Vars{"email": user.Email, "password": apitest.Password}, &first)
		if first.SignIn.User.Role != "ADMIN" || !first.SignIn.SecondFactorDue {
			t.Fatalf("%+v", first)
		}
		signedIn := anonymous.With(t)
		signedIn.Token = first.SignIn.Token
		for _, operation := range []string{introspection, `{ genres { name } }`, `{ me { role } }`} {
			if err := signedIn.Refused(operation, nil); gqlclient.CodeOf(err) != apperr.SecondFactorRequired {
				t.Errorf("%s before the second factor: %v", operation, err)
			}
		}
		var begun struct{ BeginTotp struct{ Secret string } }
		signedIn.Get(`mutation { beginTotp { secret } }`, nil, &begun)
		code, err := totp.GenerateCode(begun.BeginTotp.Secret, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ ConfirmTotp struct{ Session session } }
		signedIn.Get(`mutation ($code: String!) { confirmTotp(input: {name: "App", code: $code}) {
			... on ConfirmTotpPayload { session { token refreshToken secondFactorDue user { role } } } ... on UserError { message }
		} }`, apitest.Vars{"code": code}, &got)
		if got.ConfirmTotp.Session.SecondFactorDue {
			t.Error("a second factor is due after it was enrolled")
		}
		signedIn.Token = got.ConfirmTotp.Session.Token
		signedIn.Get(introspection, nil, nil)
		signedIn.Get(`{ genres { name } me { role } }`, nil, nil)

		// As somebody whose access token is over: without one.
		var renewed struct{ RefreshSession struct{ Token string } }
		anonymous.With(t).Get(`mutation ($token: String!) {
			refreshSession(input: {refreshToken: $token}) { ... on SessionPayload { token } ... on UserError { message } }
		}`, apitest.Vars{"token": got.ConfirmTotp.Session.RefreshToken}, &renewed)
		if signedIn.Token = renewed.RefreshSession.Token; signedIn.Token == "" {
			t.Fatal("the session was not renewed")
		}
		signedIn.Get(introspection, nil, nil)
		signedIn.Get(`mutation { signOut { signedOut } }`, nil, nil)
		if err := signedIn.Refused(introspection, nil); gqlclient.CodeOf(err) != apperr.Unauthenticated {
			t.Errorf("after the sign-out: %v", err)
		}
	})
	t.Run("a_customer_who_came_in_may_leave", func(t *testing.T) {
		customer.With(t).Get(`mutation { signOut { signedOut } }`, nil, nil)
	})
	t.Run("sockets_are_for_administrators", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
		defer cancel()
		live := `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`
		vars := apitest.Vars{"id": a.World.Showtimes[0].ID()}
		for name, client := range map[string]apitest.Client{"nobody": anonymous, "a manager": manager} {
			s, err := client.Subscribe(ctx, live, vars)
			if err == nil {
				err = s.Next(ctx, nil)
				s.Close()
			}
			if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != 4403 {
				t.Errorf("%s: %v", name, err)
			}
		}
		admin.With(t).Watch(live, vars).Next(nil)
	})
	t.Run("pages_of_other_hosts_are_refused", func(t *testing.T) {
		r, err := http.NewRequest(http.MethodPost, a.OpsURL+"/graphql", strings.NewReader(`{"query":"mutation { signOut { signedOut } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "https://evil.example")
		if answer := admin.With(t).Send(r); answer.Status != http.StatusForbidden {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
	})
	t.Run("operators_still_have_their_pages", func(t *testing.T) {
		for _, path := range []string{"/metrics", "/debug/pprof/"} {
			if answer := page(t, a, a.OpsURL+path); answer.Status != http.StatusOK {
				t.Errorf("%s: %d", path, answer.Status)
			}
		}
	})
}
