package graph_test

import (
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"marquee/internal/apitest"
	"marquee/internal/gqlclient"
)

const neededFields = ` ... on SecondFactorRequired { pendingToken expiresAt factors }`

// proof is what a step of a sign-in comes to.
type proof struct {
	tokens
	PendingToken string
	Factors      []string
}

// TestSecondFactor is the life of an authenticator app and its recovery codes, as a client sees it.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	c := a.Customer()
	var begun struct {
		BeginTotp struct{ Secret, URI, QR string }
	}
	c.Get(`mutation { beginTotp { secret uri qr expiresAt } }`, nil, &begun)
	code := func(steps int) string {
		code, err := totp.GenerateCode(begun.BeginTotp.Secret, time.Now().Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	var confirmed struct {
		ConfirmTotp struct {
			Typename      string `json:"__typename"`
			Code          string
			Factor        struct{ ID, Kind, Name string }
			RecoveryCodes []string
			Session       tokens
		}
	}
	const confirm = `mutation ($in: ConfirmTotpInput!) { confirmTotp(input: $in) {
		__typename
		... on ConfirmTotpPayload { factor { id kind name createdAt usedAt } recoveryCodes session { token } }
		... on UserError { code message }
	} }`
	c.Get(confirm, vars{"in": vars{"name": "Phone", "code": "12345"}}, &confirmed)
	if confirmed.ConfirmTotp.Code != "INVALID_PROOF" {
		t.Errorf("no code: %+v", confirmed.ConfirmTotp)
	}
	c.Get(confirm, vars{"in": vars{"name": "Phone", "code": code(-1)}}, &confirmed)
	f := confirmed.ConfirmTotp.Factor
	if f.Kind != "TOTP" || f.Name != "Phone" || len(confirmed.ConfirmTotp.RecoveryCodes) != 10 {
		t.Fatalf("%+v", confirmed.ConfirmTotp)
	}
	c.Token = confirmed.ConfirmTotp.Session.Token

	signIn := func() proof {
		var out struct{ SignIn proof }
		a.Anonymous().Get(`mutation ($in: SignInInput!) { signIn(input: $in) { `+sessionFields+neededFields+` } }`, vars{"in": vars{"email": c.User.Email, "password": apitest.Password}}, &out)
		return out.SignIn
	}
	prove := func(in vars) proof {
		var out struct{ ProveSecondFactor proof }
		a.Anonymous().Get(`mutation ($in: ProveSecondFactorInput!) { proveSecondFactor(input: $in) { `+sessionFields+` } }`, vars{"in": in}, &out)
		return out.ProveSecondFactor
	}
	pending := signIn()
	if pending.Typename != "SecondFactorRequired" || pending.Token != "" || len(pending.Factors) != 2 {
		t.Fatalf("the password alone: %+v", pending)
	}
	thief := a.Anonymous()
	thief.Token = pending.PendingToken
	if answer := thief.Raw(`{ me { id } }`, nil); answer.Status != 401 {
		t.Errorf("AU2: a sign-in that waits as an access token: %s", answer)
	}
	if got := prove(vars{"pendingToken": pending.PendingToken, "code": code(-1)}); got.Code != "INVALID_PROOF" {
		t.Errorf("AU12: the code of the enrolment: %+v", got)
	}
	if got := prove(vars{"pendingToken": pending.PendingToken, "code": code(1)}); got.Typename != "SessionPayload" || got.Token == "" {
		t.Errorf("the code: %+v", got)
	}
	if got := prove(vars{"pendingToken": pending.PendingToken, "code": code(1)}); got.Code != "SESSION_ENDED" {
		t.Errorf("the sign-in again: %+v", got)
	}
	saved := confirmed.ConfirmTotp.RecoveryCodes[0]
	if got := prove(vars{"pendingToken": signIn().PendingToken, "recoveryCode": saved}); got.Typename != "SessionPayload" {
		t.Errorf("a recovery code: %+v", got)
	}
	if got := prove(vars{"pendingToken": signIn().PendingToken, "recoveryCode": saved}); got.Code != "INVALID_PROOF" {
		t.Errorf("AU13: a recovery code again: %+v", got)
	}
	var me struct {
		Me struct {
			Factors           []struct{ ID, Kind string }
			RecoveryCodesLeft int
		}
	}
	c.Get(`{ me { factors { id kind name usedAt } recoveryCodesLeft } }`, nil, &me)
	if len(me.Me.Factors) != 1 || me.Me.Factors[0].ID != f.ID || me.Me.RecoveryCodesLeft != 9 {
		t.Errorf("%+v", me.Me)
	}
	if err := c.Refused(`mutation ($in: ProveAgainInput!) { proveAgain(input: $in) { __typename } }`, vars{"in": vars{"password": apitest.Password}}); gqlclient.CodeOf(err) != "SECOND_FACTOR_REQUIRED" {
		t.Errorf("the password proves again: %v", err)
	}
	if err := a.Customer().Refused(`mutation ($in: RemoveFactorInput!) { removeFactor(input: $in) { __typename } }`, vars{"in": vars{"factorId": f.ID}}); gqlclient.CodeOf(err) != "NOT_FOUND" {
		t.Errorf("a stranger removes it: %v", err)
	}
	var removed struct {
		RemoveFactor struct{ Session tokens }
	}
	c.Get(`mutation ($in: RemoveFactorInput!) { removeFactor(input: $in) { ... on RemoveFactorPayload { factorId session { token } } } }`, vars{"in": vars{"factorId": f.ID}}, &removed)
	c.Token = removed.RemoveFactor.Session.Token
	c.Get(`{ me { factors { id } recoveryCodesLeft } }`, nil, &me)
	if len(me.Me.Factors) != 0 || me.Me.RecoveryCodesLeft != 0 {
		t.Errorf("after the removal: %+v", me.Me)
	}
	if got := signIn(); got.Typename != "SessionPayload" {
		t.Errorf("after the removal: %+v", got)
	}
}
