package graph_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
	"marquee/internal/identity"
)

const sessionFields = `__typename ... on SessionPayload { token refreshToken expiresAt refreshExpiresAt } ... on UserError { code }`

// tokens is a session as the API gives it.
type tokens struct {
	Typename     string `json:"__typename"`
	Code         string
	Token        string
	RefreshToken string
}

func openSession(c apitest.Client, email, password string) tokens {
	var out struct{ SignIn tokens }
	c.Get(`mutation ($in: SignInInput!) { signIn(input: $in) { `+sessionFields+` } }`, vars{"in": vars{"email": email, "password": password}}, &out)
	return out.SignIn
}

func refresh(c apitest.Client, token string) tokens {
	var out struct{ RefreshSession tokens }
	c.Get(`mutation ($in: RefreshSessionInput!) { refreshSession(input: $in) { `+sessionFields+` } }`, vars{"in": vars{"refreshToken": token}}, &out)
	return out.RefreshSession
}

type device struct {
	ID, Device string
	Current    bool
}

func devices(c apitest.Client) []device {
	var out struct{ Me struct{ Sessions []device } }
	c.Get(`{ me { sessions { id device current createdAt renewedAt expiresAt } } }`, nil, &out)
	return out.Me.Sessions
}

// TestSessions is what an account's owner does with devices.
func TestSessions(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	owner := a.Customer()
	phone, tablet := owner, owner
	first := openSession(owner, owner.User.Email, apitest.Password)
	second := openSession(owner, owner.User.Email, apitest.Password)
	phone.Token, tablet.Token = first.Token, second.Token

	list := devices(phone)
	if len(list) != 3 {
		t.Fatalf("%d devices, want 3: %+v", len(list), list)
	}
	current := 0
	for _, d := range list {
		if d.Device == "" && d.Current {
			t.Errorf("a device that sent its User-Agent has no name: %+v", d)
		}
		if d.Current {
			current++
		}
	}
	if current != 1 {
		t.Errorf("%d devices are the one that asks", current)
	}

	renewed := refresh(a.Anonymous(), first.RefreshToken)
	if renewed.Typename != "SessionPayload" || renewed.RefreshToken == first.RefreshToken {
		t.Fatalf("renewed: %+v", renewed)
	}
	phone.Token = renewed.Token
	if got := devices(phone); len(got) != 3 {
		t.Errorf("renewing made a device: %+v", got)
	}

	var ended struct{ EndOtherSessions struct{ Ended int } }
	phone.Get(`mutation { endOtherSessions { ended } }`, nil, &ended)
	if ended.EndOtherSessions.Ended != 2 {
		t.Errorf("%d others ended, want 2", ended.EndOtherSessions.Ended)
	}
	if answer := tablet.Raw(`{ me { id } }`, nil); answer.Status != http.StatusUnauthorized {
		t.Errorf("the tablet is answered %s", answer)
	}
	if got := refresh(a.Anonymous(), second.RefreshToken); got.Code != "SESSION_ENDED" {
		t.Errorf("the tablet renews: %+v", got)
	}

	stranger := a.Customer()
	if err := stranger.Refused(`mutation ($in: EndSessionInput!) { endSession(input: $in) { sessionId } }`, vars{"in": vars{"sessionId": devices(phone)[0].ID}}); gqlclient.CodeOf(err) != "NOT_FOUND" {
		t.Errorf("a stranger ends the phone's session: %v", err)
	}

	const another = "another long enough phrase"
	change := func(c apitest.Client, from string) string {
		var out struct {
			ChangePassword struct {
				Typename string `json:"__typename"`
			}
		}
		c.Get(`mutation ($in: ChangePasswordInput!) { changePassword(input: $in) { __typename } }`,
			vars{"in": vars{"currentPassword": from, "newPassword": another}}, &out)
		return out.ChangePassword.Typename
	}
	if got := change(phone, "not my password, surely"); got != "InvalidCredentials" {
		t.Errorf("with a wrong password: %s", got)
	}
	if got := change(phone, apitest.Password); got != "ChangePasswordPayload" {
		t.Errorf("with the right one: %s", got)
	}
	if got := openSession(a.Anonymous(), owner.User.Email, apitest.Password); got.Code != "INVALID_CREDENTIALS" {
		t.Errorf("the old password: %+v", got)
	}
	if got := openSession(a.Anonymous(), owner.User.Email, another); got.Typename != "SessionPayload" {
		t.Errorf("the other password: %+v", got)
	}
}

// bites makes sure that an act of one node ends within 5 s, on the other, what somebody's session may ask and the seat map
// that they watch.
func bites(t *testing.T, c apitest.Client, other *apitest.App, show, ask string, variables vars, act func()) {
	t.Helper()
	const bar = 5 * time.Second
	far := other.Anonymous().With(t)
	far.Token = c.Token
	socket := far.Watch(`subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`, vars{"id": show})
	socket.Next(nil)
	far.Get(ask, variables, nil)
	start := time.Now()
	act()
	for far.Raw(ask, variables).Status != http.StatusUnauthorized {
		if time.Since(start) > 2*bar {
			t.Fatal("the other node still answers")
		}
	}
	request := time.Since(start)
	err := socket.Try(nil)
	took := time.Since(start)
	if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != 4403 {
		t.Errorf("the socket ended with %v, want the close code 4403", err)
	}
	t.Logf("felt on the other node after %.1f s by a request, after %.1f s by an open socket", request.Seconds(), took.Seconds())
	if request > bar || took > bar {
		t.Errorf("it took %s and %s, want at most %s", request, took, bar)
	}
}

// TestA3_revocation_on_two_nodes is A3 on two nodes: what is done on one is felt on the other, by requests and by an open socket.
func TestA3_revocation_on_two_nodes(t *testing.T) {
	t.Parallel()
	here := apitest.New(t)
	there := apitest.New(t, apitest.Beside(here))
	for name, revoke := range map[string]func(t *testing.T, c apitest.Client){
		"sign_out": func(_ *testing.T, c apitest.Client) { c.Get(`mutation { signOut { signedOut } }`, nil, nil) },
		"role_change": func(t *testing.T, c apitest.Client) {
			in := identity.ChangeGrantInput{UserID: c.User.ID, Grant: auth.Grant{Role: auth.RoleTheaterStaff, Theater: here.World.Theaters[0].Key}, Reason: "hired"}
			if _, err := here.Identity.GrantRole(t.Context(), here.Identity.Operator(), in); err != nil {
				t.Fatal(err)
			}
		},
		"password_change_elsewhere": func(t *testing.T, c apitest.Client) {
			other := c
			other.Token = openSession(c, c.User.Email, apitest.Password).Token
			other.Get(`mutation ($in: ChangePasswordInput!) { changePassword(input: $in) { __typename } }`,
				vars{"in": vars{"currentPassword": apitest.Password, "newPassword": "another long enough phrase"}}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := here.Customer().With(t)
			bites(t, c, there, here.World.Showtimes[0].ID(), `{ me { id } }`, nil, func() { revoke(t, c) })
		})
	}
}
