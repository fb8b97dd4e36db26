package graph_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/gqlclient"
)

const updateProfile = `mutation ($in: UpdateProfileInput!) { updateProfile(input: $in) {
	__typename
	... on UpdateProfilePayload { user { name profile { username phone locale preferredCity accessibilityNeeds } } }
	... on UserError { code }
} }`

type profiled struct {
	UpdateProfile struct {
		Typename string `json:"__typename"`
		Code     string
		User     struct {
			Name    string
			Profile struct {
				Username, Phone, Locale, PreferredCity *string
				AccessibilityNeeds                     []string
			}
		}
	}
}

// TestProfile is what an account's owner does with it: what is absent stays, null clears.
func TestProfile(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	owner, other := a.Customer(), a.Customer()
	var out profiled
	owner.Get(updateProfile, vars{"in": vars{
		"username": "Movie.Goer", "phone": "+49 (30) 901820", "locale": "de-at", "preferredCity": "Berlin", "accessibilityNeeds": []string{"CAPTIONS", "WHEELCHAIR"},
	}}, &out)
	if p := out.UpdateProfile.User.Profile; out.UpdateProfile.User.Name != owner.User.Name || *p.Username != "movie.goer" || *p.Phone != "+4930901820" ||
		*p.Locale != "de-AT" || *p.PreferredCity != "Berlin" || strings.Join(p.AccessibilityNeeds, " ") != "WHEELCHAIR CAPTIONS" {
		t.Errorf("%+v", out)
	}
	owner.Get(updateProfile, vars{"in": vars{"name": "Another", "phone": nil, "accessibilityNeeds": nil}}, &out)
	if p := out.UpdateProfile.User.Profile; out.UpdateProfile.User.Name != "Another" || p.Phone != nil || len(p.AccessibilityNeeds) != 0 || *p.Username != "movie.goer" {
		t.Errorf("%+v", out)
	}
	other.Get(updateProfile, vars{"in": vars{"username": "m0vie.goer"}}, &out)
	if out.UpdateProfile.Code != "USERNAME_TAKEN" {
		t.Errorf("a twin: %+v", out)
	}
	if got := openSession(a.Anonymous(), "MOVIE.GOER", apitest.Password); got.Typename != "SessionPayload" {
		t.Errorf("signing in by the username: %+v", got)
	}
}

// TestAZ2_what_an_owner_may_not_change is no field of any input: the request is refused before anything runs.
func TestAZ2_what_an_owner_may_not_change(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	c := a.Customer()
	before := a.Dump()
	for field, value := range map[string]any{"role": "ADMIN", "verified": true, "emailVerified": true, "balance": 1_000_000, "id": "usr_x", "email": "a@b.example", "createdAt": "2020-01-01T00:00:00Z"} {
		if err := c.Refused(updateProfile, vars{"in": vars{"name": "Changed", field: value}}); gqlclient.CodeOf(err) != "BAD_USER_INPUT" {
			t.Errorf("%s: %v", field, err)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		literal := c.Raw(`mutation { updateProfile(input: {name: "Changed", `+field+`: `+string(text)+`}) { __typename } }`, nil)
		if !strings.Contains(string(literal.Body), `"errors"`) || literal.Status >= http.StatusInternalServerError {
			t.Errorf("%s in the document: %s", field, literal)
		}
	}
	if a.Dump() != before {
		t.Error("something was changed")
	}
}

// TestDeleteAccount is how an owner leaves: with everything, by a recent proof, and leaving paid seats behind knowingly.
func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	c, admin := a.Customer(), a.Admin()
	pay(t, c, reserve(t, c, a.World.Showtimes[0], 1))

	var export struct {
		ExportMyData struct{ FileName, Document string }
	}
	c.Get(`mutation { exportMyData { fileName document } }`, nil, &export)
	if !json.Valid([]byte(export.ExportMyData.Document)) || !strings.Contains(export.ExportMyData.Document, c.User.Email) {
		t.Errorf("%+v", export)
	}

	type outcome struct {
		Typename string `json:"__typename"`
		Code     string
		Count    int
	}
	const fields = `{ __typename ... on UserError { code } ... on ReservationsAhead { count } }`
	leave := func(leaveReservations bool) outcome {
		var out struct{ DeleteAccount outcome }
		c.Get(`mutation ($in: DeleteAccountInput!) { deleteAccount(input: $in) `+fields+` }`, vars{"in": vars{"leaveReservations": leaveReservations}}, &out)
		return out.DeleteAccount
	}
	if got := leave(false); got.Code != "RESERVATIONS_AHEAD" || got.Count != 1 {
		t.Errorf("with a paid seat: %+v", got)
	}
	if got := leave(true); got.Typename != "DeleteAccountPayload" {
		t.Errorf("knowingly: %+v", got)
	}
	if answer := c.Raw(`{ me { id } }`, nil); answer.Status != http.StatusUnauthorized {
		t.Errorf("the session of nobody is answered %s", answer)
	}
	if got := openSession(a.Anonymous(), c.User.Email, apitest.Password); got.Code != "INVALID_CREDENTIALS" {
		t.Errorf("signing in: %+v", got)
	}

	const erase = `mutation ($in: EraseUserInput!) { eraseUser(input: $in) ` + fields + ` }`
	other := a.Customer()
	in := vars{"userId": other.User.NodeID(), "reason": "asked by letter"}
	if err := other.Refused(erase, vars{"in": in}); gqlclient.CodeOf(err) != "FORBIDDEN" {
		t.Errorf("a customer: %v", err)
	}
	if err := admin.Refused(erase, vars{"in": vars{"userId": other.User.NodeID(), "reason": ""}}); gqlclient.CodeOf(err) != "BAD_USER_INPUT" {
		t.Errorf("without a reason: %v", err)
	}
	var out struct{ EraseUser outcome }
	admin.Get(erase, vars{"in": in}, &out)
	if out.EraseUser.Typename != "EraseUserPayload" {
		t.Errorf("%+v", out)
	}
}
