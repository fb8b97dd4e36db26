package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/pquerna/otp/totp"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph"
	"marquee/internal/apitest"
	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/cookie"
	"marquee/internal/identity/openid/openidtest"
	"marquee/internal/notify"
)

// canaryStory is one who lives through everything, with canaries for whatever is theirs. What goes well is told; how things
// go wrong is heard.
type canaryStory struct {
	t      *testing.T
	a      *apitest.App
	c      *canaries
	issuer *openidtest.Issuer
	owner  apitest.Client
	errors strings.Builder

	password string
	spare    []string // recovery codes that were not used
}

// Who the owner is, and where they come from.
const (
	canaryEmail    = "canary-owner@nest.example"
	canaryNext     = "canary-moved@nest.example"
	canaryPassword = "canary owner passphrase two"
	canaryAddress  = "198.51.100.177"
)

// hatch starts a program that serves whatever can be served.
func hatch(t *testing.T) *canaryStory {
	t.Helper()
	s := &canaryStory{t: t, issuer: openidtest.New(t, clock.System{})}
	s.a = apitest.New(t, apitest.With(func(c *config.Config) {
		c.LogLevel = slog.LevelDebug
		c.PublicURL = "https://nest.example"
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.OpenIDProviders = config.OpenIDProviders{{
			Name: "acme", Label: "Acme", Issuer: s.issuer.URL, ClientID: openidtest.ClientID, ClientSecret: openidtest.ClientSecret,
			RedirectURIs: []string{openidtest.RedirectURI},
		}}
	}))
	s.c = &canaries{schema: graph.NewSchema(&graph.Resolver{}).Schema(), texts: map[string]string{}, used: map[string]bool{}}
	s.owner, s.password = s.a.Anonymous(), canaryPassword
	return s
}

// tell remembers a text that must not be found.
func (s *canaryStory) tell(place, text string) {
	s.t.Helper()
	if text == "" {
		s.t.Fatalf("the story gives no %s", place)
	}
	s.c.texts[place] = text
}

// hear keeps what is wrong of an answer, and its headers.
func (s *canaryStory) hear(answer apitest.Answer) {
	var body struct {
		Errors json.RawMessage
	}
	if json.Unmarshal(answer.Body, &body) != nil {
		body.Errors = answer.Body
	}
	fmt.Fprintf(&s.errors, "%d %v %s\n", answer.Status, answer.Header, body.Errors)
}

// do asks for a mutation that takes an input, and decodes its result.
func (s *canaryStory) do(c apitest.Client, mutation, fields string, in vars, out any) {
	s.t.Helper()
	name := strings.ToUpper(mutation[:1]) + mutation[1:]
	var all map[string]json.RawMessage
	c.Get(`mutation ($in: `+name+`Input!) { `+mutation+`(input: $in) { __typename `+fields+` } }`, vars{"in": in}, &all)
	if !strings.Contains(string(all[mutation]), `"`+name+`Payload"`) && !strings.Contains(string(all[mutation]), `"SessionPayload"`) && fields != "" {
		s.t.Fatalf("%s: %s", mutation, all[mutation])
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(all[mutation], out); err != nil {
		s.t.Fatal(err)
	}
}

// fail asks for a mutation that comes to nothing.
func (s *canaryStory) fail(c apitest.Client, mutation string, in vars) {
	name := strings.ToUpper(mutation[:1]) + mutation[1:]
	s.hear(c.Raw(`mutation ($in: `+name+`Input!) { `+mutation+`(input: $in) { __typename ... on UserError { code message } } }`, vars{"in": in}))
}

// goOn takes the tokens of a session.
func (s *canaryStory) goOn(place string, session tokens) {
	s.t.Helper()
	s.tell("an access token of "+place, session.Token)
	s.owner.Token = session.Token
}

func (s *canaryStory) signsUp() {
	maps.Copy(s.c.texts, map[string]string{
		"SignUpInput.email": canaryEmail, "ConfirmSignUpInput.name": "Canary Owner Person", "ConfirmSignUpInput.password": "canary owner passphrase one",
		"ChangePasswordInput.newPassword": canaryPassword,
	})
	link := askForLink(s.a, canaryEmail)
	s.tell("the token of a sign-up", link)
	s.fail(s.owner, "confirmSignUp", vars{"token": link, "name": "", "password": ""})
	var up tokens
	s.do(s.owner, "confirmSignUp", sessionFields, vars{
		"token": link, "name": s.c.texts["ConfirmSignUpInput.name"], "password": s.c.texts["ConfirmSignUpInput.password"],
	}, &up)
	s.goOn("a sign-up", up)
	s.tell("a refresh token", up.RefreshToken)
	next := refresh(s.a.Anonymous(), up.RefreshToken)
	s.goOn("a renewal", next)
	s.tell("a renewed refresh token", next.RefreshToken)
	s.do(s.owner, "changePassword", "", vars{"currentPassword": s.c.texts["ConfirmSignUpInput.password"], "newPassword": canaryPassword}, nil)
	s.fail(s.a.Anonymous(), "signIn", vars{"email": canaryEmail, "password": s.c.texts["ConfirmSignUpInput.password"]})

	forwarded := s.from(s.a.Anonymous(), `mutation { signIn(input: {email: "`+canaryEmail+`", password: "`+canaryPassword+`"}) { `+sessionFields+` } }`)
	var in struct {
		Data struct{ SignIn tokens }
	}
	if err := json.Unmarshal(forwarded.Body, &in); err != nil {
		s.t.Fatal(err)
	}
	s.goOn("a sign-in", in.Data.SignIn)
	s.hear(s.from(s.a.Anonymous(), `mutation { signIn(input: {email: "nobody@nest.example", password: "not my password, surely"}) { __typename } }`))
}

// from sends a document from the owner's address and device.
func (s *canaryStory) from(c apitest.Client, query string) apitest.Answer {
	s.tell("the address of a client", canaryAddress)
	body, err := json.Marshal(vars{"query": query})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.send(c, http.MethodPost, "/graphql", string(body), "Content-Type", "application/json", "X-Forwarded-For", canaryAddress,
		"User-Agent", s.c.canary("a device"), "Referer", "https://nest.example/"+s.c.canary("a page"))
}

// send sends a request with headers, in pairs.
func (s *canaryStory) send(c apitest.Client, method, path, body string, headers ...string) apitest.Answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.a.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	return c.Send(r)
}

func (s *canaryStory) provesFactors() {
	var begun struct {
		BeginTotp struct{ Secret, URI, QR string }
	}
	s.owner.Get(`mutation { beginTotp { secret uri qr } }`, nil, &begun)
	s.tell("an app's secret", begun.BeginTotp.Secret)
	s.tell("an app's address", begun.BeginTotp.URI)
	s.fail(s.owner, "confirmTotp", vars{"name": s.c.canary("ConfirmTotpInput.name"), "code": s.c.canary("ConfirmTotpInput.code")})
	code, err := totp.GenerateCode(begun.BeginTotp.Secret, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	var enrolled struct {
		Factor        struct{ ID string }
		RecoveryCodes []string
		Session       tokens
	}
	const fields = `... on ConfirmTotpPayload { factor { id name } recoveryCodes session { token refreshToken } }`
	s.do(s.owner, "confirmTotp", fields, vars{"name": s.c.canary("ConfirmTotpInput.name"), "code": code}, &enrolled)
	s.goOn("an enrolment", enrolled.Session)
	for i, saved := range enrolled.RecoveryCodes {
		s.tell(fmt.Sprint("recovery code ", i), saved)
	}
	s.spare = enrolled.RecoveryCodes
	s.do(s.owner, "renameFactor", "", vars{"factorId": enrolled.Factor.ID, "name": s.c.canary("RenameFactorInput.name")}, nil)
	s.proves()
}

// proves signs in with the password and a recovery code.
func (s *canaryStory) proves() {
	s.t.Helper()
	var out struct{ SignIn proof }
	s.a.Anonymous().Get(`mutation ($in: SignInInput!) { signIn(input: $in) { `+sessionFields+neededFields+` } }`,
		vars{"in": vars{"email": canaryEmail, "password": s.password}}, &out)
	pending := out.SignIn
	s.tell("a sign-in that waits", pending.PendingToken)
	thief := s.a.Anonymous()
	thief.Token = pending.PendingToken
	s.hear(thief.Raw(`{ me { id } }`, nil))
	s.fail(s.a.Anonymous(), "proveSecondFactor", vars{"pendingToken": pending.PendingToken, "recoveryCode": s.c.canary("ProveSecondFactorInput.recoveryCode")})
	var session tokens
	s.do(s.a.Anonymous(), "proveSecondFactor", sessionFields, vars{"pendingToken": pending.PendingToken, "recoveryCode": s.spare[0]}, &session)
	s.spare = s.spare[1:]
	s.goOn("a second factor", session)
}

// hasPasskey makes a passkey, and signs in with it.
func (s *canaryStory) hasPasskey() {
	site := virtualwebauthn.RelyingParty{ID: "nest.example", Name: "Marquee", Origin: "https://nest.example"}
	device := virtualwebauthn.NewAuthenticator()
	// Of RSA, since the package leaves out zeros at the front of elliptic keys, and one in 128 has them.
	passkey := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeRSA)
	type begun struct {
		Challenge struct{ Token, Options string }
	}
	var begin struct{ BeginPasskey, BeginPasskeySignIn begun }
	s.owner.Get(`mutation { beginPasskey { challenge { token options } } }`, nil, &begin)
	made, err := virtualwebauthn.ParseAttestationOptions(begin.BeginPasskey.Challenge.Options)
	if err != nil {
		s.t.Fatal(err)
	}
	device.Options.UserHandle = []byte(made.UserID)
	answer := virtualwebauthn.CreateAttestationResponse(site, device, passkey, *made)
	s.tell("a passkey's ceremony", begin.BeginPasskey.Challenge.Token)
	s.tell("a passkey's challenge", string(made.Challenge))
	s.tell("a passkey's id", string(passkey.ID))
	const inside = 100 // bytes of the key, from its middle
	s.tell("a passkey's public key", string(passkey.Key.AttestationData()[inside:2*inside]))
	in := vars{"name": s.c.canary("ConfirmPasskeyInput.name"), "passkey": vars{"token": s.c.canary("PasskeyInput.token"), "credential": answer}}
	s.fail(s.owner, "confirmPasskey", in)
	in["passkey"] = vars{"token": begin.BeginPasskey.Challenge.Token, "credential": answer}
	var kept struct{ Session tokens }
	s.do(s.owner, "confirmPasskey", `... on ConfirmPasskeyPayload { session { token refreshToken } }`, in, &kept)
	s.goOn("a passkey", kept.Session)

	s.a.Anonymous().Get(`mutation { beginPasskeySignIn { challenge { token options } } }`, nil, &begin)
	asked, err := virtualwebauthn.ParseAssertionOptions(begin.BeginPasskeySignIn.Challenge.Options)
	if err != nil {
		s.t.Fatal(err)
	}
	signed := virtualwebauthn.CreateAssertionResponse(site, device, passkey, *asked)
	wrong := strings.Replace(signed, `"signature":"`, `"signature":"AAAA`, 1)
	s.fail(s.a.Anonymous(), "signInWithPasskey", vars{"passkey": vars{"token": begin.BeginPasskeySignIn.Challenge.Token, "credential": wrong}})
	s.a.Anonymous().Get(`mutation { beginPasskeySignIn { challenge { token options } } }`, nil, &begin)
	if asked, err = virtualwebauthn.ParseAssertionOptions(begin.BeginPasskeySignIn.Challenge.Options); err != nil {
		s.t.Fatal(err)
	}
	var session tokens
	s.do(s.a.Anonymous(), "signInWithPasskey", sessionFields, vars{"passkey": vars{
		"token": begin.BeginPasskeySignIn.Challenge.Token, "credential": virtualwebauthn.CreateAssertionResponse(site, device, passkey, *asked),
	}}, &session)
	s.goOn("a sign-in by a passkey", session)
	// A challenge that nobody answers waits with the ids of the passkeys that could.
	s.do(s.owner, "beginPasskeyProof", "", vars{}, nil)
}

func (s *canaryStory) comesFromProvider() {
	person := openidtest.Person{"sub": "canary subject at acme", "email": "canary-guest@nest.example", "email_verified": true, "name": "Canary Guest"}
	s.tell("a provider's subject", "canary subject at acme")
	s.tell("a provider's address", "canary-guest@nest.example")
	s.tell("a provider's name", "Canary Guest")
	s.tell("a provider's access token", s.issuer.AccessToken)
	s.issuer.Sign = func(claims jwt.MapClaims) string {
		s.tell("a provider's nonce", fmt.Sprint(claims["nonce"]))
		token := s.issuer.Signed(claims)
		s.tell("a provider's ID token", token)
		return token
	}
	come := func(c apitest.Client, begin, complete, fields string, spoil func(vars)) {
		var begun struct{ AuthorizationURL, FlowToken string }
		s.do(c, begin, "authorizationUrl flowToken", vars{"provider": "acme", "redirectUri": openidtest.RedirectURI}, &begun)
		back := s.issuer.SignIn(s.t, begun.AuthorizationURL, person)
		s.tell("a provider's flow", begun.FlowToken)
		s.tell("a provider's state", back.State)
		s.tell("a provider's code", back.Code)
		in := vars{"flowToken": begun.FlowToken, "state": back.State, "code": back.Code, "iss": back.Issuer, "redirectUri": openidtest.RedirectURI}
		if spoil != nil {
			spoil(in)
			s.fail(c, complete, in)
			return
		}
		var session tokens
		s.do(c, complete, fields, in, &session)
	}
	for field, place := range map[string]string{"code": "a wrong code", "state": "a wrong state", "flowToken": "a wrong flow"} {
		come(s.a.Anonymous(), "beginProviderSignIn", "completeProviderSignIn", "", func(in vars) { in[field] = s.c.canary(place) })
	}
	honest := s.issuer.Sign
	s.issuer.Sign = func(claims jwt.MapClaims) string { return honest(claims) + s.c.canary("a broken ID token") }
	come(s.a.Anonymous(), "beginProviderSignIn", "completeProviderSignIn", "", func(vars) {})
	s.issuer.Instead["/token"] = func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error": "server_error", "error_description": "`+s.c.canary("what a provider says is wrong")+`"}`, http.StatusBadRequest)
	}
	come(s.a.Anonymous(), "beginProviderSignIn", "completeProviderSignIn", "", func(vars) {})
	delete(s.issuer.Instead, "/token")
	s.issuer.Sign = honest
	come(s.a.Anonymous(), "beginProviderSignIn", "completeProviderSignIn", sessionFields, nil)
	come(s.owner, "beginProviderLink", "linkProvider", "", func(vars) {}) // the guest is somebody else
}

func (s *canaryStory) tellsOfThemselves() {
	maps.Copy(s.c.texts, map[string]string{
		"a username": "canarybird", "a phone": "+4930901820177", "a city": "Canary-les-Bains", "a locale": "gsw-Cyrl-LI", "a need": "AUDIO_DESCRIPTION",
	})
	s.do(s.owner, "updateProfile", "", vars{
		"name": s.c.canary("UpdateProfileInput.name"), "username": s.c.texts["a username"], "phone": s.c.texts["a phone"],
		"preferredCity": s.c.texts["a city"], "locale": s.c.texts["a locale"], "accessibilityNeeds": []string{s.c.texts["a need"]},
	}, nil)
	var me struct {
		Me struct {
			Profile struct{ Phone, Locale string }
		}
	}
	s.owner.Get(`{ me { profile { phone locale } } }`, nil, &me)
	if me.Me.Profile.Phone != s.c.texts["a phone"] || me.Me.Profile.Locale != s.c.texts["a locale"] {
		s.t.Fatalf("%+v", me)
	}
	for field, wrong := range map[string]string{"phone": "+49canary", "username": "canary bird!", "locale": "de-x-canary", "preferredCity": "canary\u202ecity"} {
		s.tell("a wrong "+field, wrong)
		s.fail(s.owner, "updateProfile", vars{field: wrong})
	}
}

func (s *canaryStory) changesAddress() {
	s.tell("ChangeEmailInput.email", canaryNext)
	s.do(s.owner, "changeEmail", "", vars{"email": canaryNext}, nil)
	take, leave := s.mailed(canaryNext, notify.TakeAddress), s.mailed(canaryEmail, notify.LeaveAddress)
	s.tell("the token to take an address", take)
	s.tell("the token to leave an address", leave)
	s.fail(s.a.Anonymous(), "confirmEmailChange", vars{"token": take + "x"})
	s.do(s.a.Anonymous(), "confirmEmailChange", "", vars{"token": take}, nil)
	s.do(s.a.Anonymous(), "cancelEmailChange", "", vars{"token": leave}, nil)
	s.fail(s.a.Anonymous(), "confirmEmailChange", vars{"token": leave})
	s.do(s.owner, "changeEmail", "", vars{"email": canaryNext}, nil) // waits
}

// isAdministered gives and takes rights, with reasons.
func (s *canaryStory) isAdministered() {
	admin, other := s.a.Admin(), s.a.Customer()
	for _, act := range []string{"grantRole", "revokeRole", "disableUser", "enableUser", "eraseUser"} {
		in := vars{"userId": other.User.NodeID(), "reason": s.c.canary(strings.ToUpper(act[:1]) + act[1:] + "Input.reason")}
		if strings.HasSuffix(act, "Role") {
			in["role"] = "SUPPORT"
		}
		s.fail(s.owner, act, in)
		s.do(admin, act, "", in, nil)
	}
}

// usesCookies opens a session of a browser, and asks with its cookies from a page that may not.
func (s *canaryStory) usesCookies() {
	guest := s.a.Customer()
	in := s.send(s.a.Anonymous(), http.MethodPost, "/graphql",
		`{"query": "mutation { signIn(input: {email: \"`+guest.User.Email+`\", password: \"`+apitest.Password+`\"}) { __typename } }"}`,
		"Content-Type", "application/json", cookie.Header, cookie.ModeCookie)
	var jar []string
	for i, set := range in.Header.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(set, ";")
		name, token, _ := strings.Cut(pair, "=")
		s.tell(fmt.Sprint("the token of cookie ", i), token)
		jar = append(jar, name+"="+token)
		s.hear(s.send(s.a.Anonymous(), http.MethodPost, "/graphql", `{"query": "{ me { id } }"}`, "Content-Type", "application/json",
			"Cookie", name+"="+s.c.canary("a forged cookie"), "Origin", s.a.URL))
	}
	if len(jar) != 3 {
		s.t.Fatalf("%d cookies", len(jar))
	}
	page := "https://canary-page.example"
	s.tell("a foreign page", page)
	for _, body := range []string{`{"query": "{ me { id } }"}`, `{"query": "` + s.c.canary("a foreign body")} {
		s.hear(s.send(s.a.Anonymous(), http.MethodPost, "/graphql", body, "Content-Type", "application/json", "Cookie", strings.Join(jar, "; "), "Origin", page))
	}
	s.hear(s.send(s.a.Anonymous(), http.MethodGet, "/graphql?query={me{id}}", "", "Cookie", strings.Join(jar, "; "), "Sec-Fetch-Site", "cross-site", "Origin", page))
}

// listens sends canaries over sockets and streams of events, well and badly formed.
func (s *canaryStory) listens() {
	quote := func(place string) string { return `"` + s.c.canary(place) + `"` }
	id := s.a.World.Showtimes[0].ID()
	const query = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`
	const hello = `{"type":"connection_init"}`
	for _, messages := range [][]string{
		{`{"type":"connection_init","payload":{"Authorization":` + quote("a socket's credential") + `}}`},
		{`{"type":"connection_init","payload":{"Authorization":"Bearer ` + s.c.canary("a socket's token") + `"}}`},
		{`{"type":"connection_init","payload":{"secret":` + quote("a socket's payload") + `}}`, `{"type":"subscribe","id":"1","payload":{"query":"` + query + `","variables":{"id":` + quote("a socket's variable") + `}}}`},
		{hello, `{"type":"subscribe","id":"1","payload":{"query":"` + query + `","variables":{"id":"` + id + `","more":` + quote("a socket's spare variable") + `}}}`},
		{hello, `{"type":"subscribe","id":"1","payload":{"query":"subscription { ` + s.c.canary("a socket's document") + ` }"}}`},
		{hello, `{"type":"subscribe","id":` + quote("a socket's operation") + `,"payload":{"query":"{ movies(first: 0) { nodes { id } } }"}}`},
		{hello, `{"type":"ping","payload":{"is":` + quote("a socket's ping") + `}}`, `{"type":` + quote("a socket's kind of message") + `}`},
		{hello, `{"type":"subscribe","payload":` + quote("a broken message")},
	} {
		s.converse(messages)
	}
	for _, body := range []string{
		`{"query":"` + query + `","variables":{"id":` + quote("a stream's variable") + `}}`,
		`{"query":"subscription { ` + s.c.canary("a stream's document") + ` }"}`,
		`{"query":"{ me { id } }","variables":{"x":` + quote("a stream's spare variable") + `}}`,
		`{"query":` + quote("a stream's broken body"),
	} {
		s.hear(s.send(s.owner, http.MethodPost, "/graphql", body, "Content-Type", "application/json", "Accept", "text/event-stream"))
	}
}

// converse says messages on a socket, and hears what is answered to each.
func (s *canaryStory) converse(messages []string) {
	s.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: apitest.Patience}
	//nolint:bodyclose // gorilla has read what there is of the body
	socket, _, err := dialer.DialContext(s.t.Context(), strings.Replace(s.a.URL, "http", "ws", 1)+"/graphql", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer socket.Close()
	for _, message := range messages {
		if err := socket.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			s.t.Fatal(err)
		}
		_, answer, err := socket.ReadMessage()
		// What comes back by the protocol, to whom it belongs, is no error: the payload of a ping, the id of an operation.
		if !strings.Contains(string(answer), `"type":"pong"`) {
			fmt.Fprintf(&s.errors, "%s %v\n", strings.ReplaceAll(string(answer), `"id":"`+s.c.texts["a socket's operation"]+`"`, ""), err)
		}
		if err != nil {
			return
		}
	}
}

// forges shows tokens that are none, wherever a token or an address may stand.
func (s *canaryStory) forges() {
	forged := s.owner
	for _, forged.Token = range []string{s.owner.Token + "x", s.c.canary("a forged token"), s.c.texts["a refresh token"], s.c.texts["a sign-in that waits"], s.spare[0]} {
		s.hear(forged.Raw(`{ me { id } }`, nil))
	}
	for _, header := range []string{"Authorization", "X-Forwarded-For", "Forwarded", "X-User-Id", "Origin", "Referer", "X-Request-Id", "Accept-Language", "Traceparent", cookie.Header} {
		for _, text := range []string{s.c.canary("header " + header), "Bearer " + s.c.canary("header "+header), "Basic " + s.c.canary("header "+header)} {
			s.hear(s.send(s.a.Anonymous(), http.MethodPost, "/graphql", `{"query": "{ me { id } }"}`, "Content-Type", "application/json", header, text))
		}
	}
	s.hear(s.send(s.a.Anonymous(), http.MethodPost, "/graphql", s.c.canary("a text"), "Content-Type", "text/"+s.c.canary("a kind of text")))
	for _, query := range []url.Values{
		{"query": {`{ "` + s.c.canary("an address")}},
		{"query": {"{ me { id } }"}, "variables": {s.c.canary("variables of an address")}},
		{"query": {"{ me { id } }"}, "extensions": {`{"persistedQuery": "` + s.c.canary("extensions of an address") + `"}`}},
		{"documentId": {s.c.canary("a document's id")}},
		{"query": {"query A { me { id } }"}, "operationName": {s.c.canary("an operation's name")}},
		{s.c.canary("a parameter"): {"x"}},
	} {
		s.hear(s.a.Visit("/graphql?" + query.Encode()))
	}
	s.hear(s.a.Visit("/" + url.PathEscape(s.c.canary("a path"))))
}

// asksForEverything that can be asked for, as everybody, well and badly formed.
func (s *canaryStory) asksForEverything() {
	kinds := map[string]*ast.Definition{"query": s.c.schema.Query, "mutation": s.c.schema.Mutation}
	askers := []apitest.Client{s.a.Anonymous(), s.owner, s.a.Manager(), s.a.Admin()}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for _, field := range fieldsOf(kinds[kind]) {
			query, variables := s.c.operation(kind, field)
			for i, asker := range askers {
				if field.Name == "signOut" && i > 0 {
					continue // the others are asked as well
				}
				s.hear(asker.Raw(query, variables))
			}
			for name, given := range variables {
				s.hear(s.owner.Raw(query, vars{name: []any{given, map[string]any{"k": given}}}))
				s.hear(s.owner.Raw(query, vars{name: vars{"unknown": given, "input": given}}))
			}
			encoded, err := json.Marshal(variables)
			if err != nil {
				s.t.Fatal(err)
			}
			s.hear(s.owner.Raw(strings.Replace(query, "{", "{ "+s.c.canary("a document")+" ", 1), variables))
			s.hear(s.owner.Post(`{"query": "` + s.c.canary("a body") + `", "variables": ` + string(encoded) + `, `))
			s.hear(s.owner.Post(`{"query": ` + string(encoded) + `}`))
		}
	}
}

// mailed waits for a letter of a kind and returns its token. Other letters may come after it.
func (s *canaryStory) mailed(to string, kind notify.Kind) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), apitest.Patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if err := s.a.DeliverMail(ctx); err != nil {
			s.t.Fatalf("deliver: %v", err)
		}
		for _, letter := range s.a.Mailbox().Letters(to) {
			if letter.Kind == kind {
				_, token, _ := strings.Cut(letter.Link, "#token=")
				return token
			}
		}
		<-again.C
	}
}

func (s *canaryStory) recovers() {
	s.do(s.a.Anonymous(), "requestPasswordReset", "", vars{"email": canaryEmail}, nil)
	token := s.mailed(canaryEmail, notify.ResetPassword)
	s.tell("the token of a reset", token)
	s.fail(s.a.Anonymous(), "resetPassword", vars{"token": token, "newPassword": "canary short"})
	s.fail(s.a.Anonymous(), "resetPassword", vars{"token": token + "x", "newPassword": s.c.canary("ResetPasswordInput.newPassword")})
	s.password = s.c.canary("ResetPasswordInput.newPassword")
	s.do(s.a.Anonymous(), "resetPassword", "", vars{"token": token, "newPassword": s.password}, nil)
	s.fail(s.a.Anonymous(), "resetPassword", vars{"token": token, "newPassword": s.password})
	s.proves()
}
