package graph_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/cookie"
)

const allowedOrigin = "https://tickets.example"

// tab sends requests as a page's script does: with the browser's cookies and with what the browser says of the page.
type tab struct {
	via    http.RoundTripper // whose connections are closed before the program ends
	jar    http.CookieJar
	header http.Header
	last   *answers
}

// answers remembers the header of the last answer.
type answers struct {
	mu     sync.Mutex
	header http.Header
}

func (p tab) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, p.header)
	answer, err := p.via.RoundTrip(r)
	if err == nil {
		p.last.mu.Lock()
		p.last.header = answer.Header
		p.last.mu.Unlock()
	}
	return answer, err
}

// browse returns a client that is a page of the program's own origin, with a browser's cookies, which others may share.
// More headers come in pairs.
func browse(t *testing.T, a *apitest.App, jar http.CookieJar, header ...string) (apitest.Client, tab) {
	t.Helper()
	if jar == nil {
		var err error
		if jar, err = cookiejar.New(nil); err != nil {
			t.Fatal(err)
		}
	}
	c := a.Anonymous().With(t)
	p := tab{via: c.HTTP.Transport, jar: jar, header: http.Header{"Origin": {a.URL}, "Sec-Fetch-Site": {"same-origin"}}, last: &answers{}}
	for i := 0; i < len(header); i += 2 {
		p.header.Set(header[i], header[i+1])
	}
	c.HTTP = &http.Client{Jar: jar, Transport: p, Timeout: apitest.Patience}
	return c, p
}

// enter signs a page in with cookies.
func enter(t *testing.T, a *apitest.App, user apitest.Client) (apitest.Client, tab) {
	t.Helper()
	asks, p := browse(t, a, nil, cookie.Header, cookie.ModeCookie)
	if got := openSession(asks, user.User.Email, apitest.Password); got.Typename != "SessionPayload" || got.Token != "" || got.RefreshToken != "" {
		t.Fatalf("signed in with cookies: %+v", got)
	}
	return browse(t, a, p.jar)
}

// renew renews the session of a page's cookies.
func renew(c apitest.Client) tokens {
	var out struct{ RefreshSession tokens }
	c.Get(`mutation { refreshSession { `+sessionFields+` } }`, nil, &out)
	return out.RefreshSession
}

func whoami(c apitest.Client) string {
	var out struct{ Me *struct{ Email string } }
	c.Get(`{ me { email } }`, nil, &out)
	if out.Me == nil {
		return ""
	}
	return out.Me.Email
}

// cookies are those of the session; the browser's name stays.
func (p tab) cookies(a *apitest.App) []*http.Cookie {
	at, err := url.Parse(a.URL + "/graphql")
	if err != nil {
		panic(err)
	}
	return slices.DeleteFunc(p.jar.Cookies(at), func(c *http.Cookie) bool { return c.Name == "marquee-device" })
}

// code is the code of the first error of an answer.
func code(a apitest.Answer) string {
	var body struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if json.Unmarshal(a.Body, &body) != nil || len(body.Errors) == 0 {
		return ""
	}
	return body.Errors[0].Extensions.Code
}

// TestCookieSession is a page with its session in cookies, from sign-in to sign-out, on two nodes.
func TestCookieSession(t *testing.T) {
	t.Parallel()
	here := apitest.New(t)
	there := apitest.New(t, apitest.Beside(here))
	user := here.Customer()

	t.Run("on_both_nodes_until_it_signs_out", func(t *testing.T) {
		t.Parallel()
		c, p := enter(t, here, user)
		if got := len(p.cookies(here)); got != 2 {
			t.Fatalf("the browser has %d cookies, want 2", got)
		}
		far, _ := browse(t, there, p.jar)
		if whoami(c) != user.User.Email || whoami(far) != user.User.Email {
			t.Error("the cookies do not say who asks")
		}
		before := p.cookies(here)[0].Value
		if got := renew(far); got.Typename != "SessionPayload" || got.Token+got.RefreshToken != "" {
			t.Errorf("renewed: %+v", got)
		}
		if p.cookies(here)[0].Value == before || whoami(c) != user.User.Email {
			t.Error("renewing gave no cookie that counts")
		}
		far.Get(`mutation { signOut { signedOut } }`, nil, nil)
		if left := p.cookies(here); len(left) != 0 {
			t.Errorf("signing out leaves %v", left)
		}
		if whoami(c) != "" {
			t.Error("still signed in")
		}
	})

	// A1 and AU11: the tabs of a browser renew at once, with the same token.
	t.Run("fifty_renewals_at_once", func(t *testing.T) {
		t.Parallel()
		c, p := enter(t, here, user)
		far, _ := browse(t, there, p.jar)
		var tabs sync.WaitGroup
		for i := range 50 {
			one := c
			if i%2 == 1 {
				one = far
			}
			tabs.Go(func() {
				var out struct{ RefreshSession tokens }
				if err := one.Try(`mutation { refreshSession { `+sessionFields+` } }`, nil, &out); err != nil || out.RefreshSession.Typename != "SessionPayload" {
					t.Errorf("tab %d: %+v, %v", i, out, err)
				}
			})
		}
		tabs.Wait()
		if got := renew(c); got.Typename != "SessionPayload" || whoami(far) != user.User.Email {
			t.Errorf("afterwards: %+v", got)
		}
	})

	t.Run("ended_elsewhere", func(t *testing.T) {
		t.Parallel()
		owner := here.Customer().With(t)
		c, p := enter(t, here, owner)
		owner.Get(`mutation { endOtherSessions { ended } }`, nil, nil)
		for _, query := range []string{`{ me { email } }`, `{ genres { id } }`, `mutation { signOut { signedOut } }`} {
			r, err := http.NewRequest(http.MethodPost, c.URL, strings.NewReader(`{"query":"`+query+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/graphql-response+json")
			if answer := c.Send(r); answer.Status != http.StatusUnauthorized || code(answer) != "UNAUTHENTICATED" {
				t.Errorf("%s is answered %s", query, answer)
			}
		}
		if len(p.cookies(here)) != 2 {
			t.Error("cookies are gone that might have been renewed")
		}
		if got := renew(c); got.Code != "SESSION_ENDED" {
			t.Errorf("renewed: %+v", got)
		}
		if left := p.cookies(here); len(left) != 0 {
			t.Errorf("a session that is over leaves %v", left)
		}
		if whoami(c) != "" {
			t.Error("still signed in")
		}
	})

	// What came in a cookie must not be told to a script, however it asks.
	t.Run("no_script_learns_a_token", func(t *testing.T) {
		t.Parallel()
		_, p := enter(t, here, user)
		for name, header := range map[string][]string{
			"without_the_header": nil, "with_it": {cookie.Header, cookie.ModeCookie}, "with_an_empty_authorization": {"Authorization", " "},
		} {
			c, _ := browse(t, here, p.jar, header...)
			if got := renew(c); got.Typename != "SessionPayload" || got.Token+got.RefreshToken != "" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		bearer, _ := browse(t, here, p.jar, cookie.Header, cookie.ModeBearer)
		if err := bearer.Refused(`mutation { refreshSession { __typename } }`, nil); !strings.Contains(err.Error(), "input.refreshToken") {
			t.Errorf("bearer mode renews by the cookie: %v", err)
		}
		if whoami(bearer) != "" {
			t.Error("bearer mode reads the cookie")
		}
		if got := openSession(bearer, user.User.Email, apitest.Password); got.Token == "" || got.RefreshToken == "" {
			t.Errorf("bearer mode gives no tokens: %+v", got)
		}
		for _, c := range p.cookies(here) {
			if !strings.HasPrefix(c.Name, "marquee") {
				t.Errorf("an unexpected cookie %s", c.Name)
			}
		}
	})

	t.Run("a_bearer_token_wins", func(t *testing.T) {
		t.Parallel()
		other := here.Customer()
		_, p := enter(t, here, user)
		c, _ := browse(t, here, p.jar)
		c.Token = other.Token
		if got := whoami(c); got != other.User.Email {
			t.Errorf("asked as %q", got)
		}
		c.Token = "no.such.token"
		if answer := c.Raw(`{ me { email } }`, nil); answer.Status != http.StatusUnauthorized {
			t.Errorf("a bearer token that is no good is answered %s", answer)
		}
		if len(p.cookies(here)) != 2 {
			t.Error("and it cost the page its session")
		}
	})

	t.Run("another_mode", func(t *testing.T) {
		t.Parallel()
		c, _ := browse(t, here, nil, cookie.Header, "both")
		if answer := c.Raw(`{ me { email } }`, nil); answer.Status != http.StatusBadRequest || code(answer) != "BAD_USER_INPUT" {
			t.Errorf("answered %s", answer)
		}
	})

	t.Run("over_an_event_stream", func(t *testing.T) {
		t.Parallel()
		c, p := browse(t, here, nil, cookie.Header, cookie.ModeCookie, "Accept", "text/event-stream")
		answer := c.Raw(`mutation ($in: SignInInput!) { signIn(input: $in) { __typename } }`, vars{"in": vars{"email": user.User.Email, "password": apitest.Password}})
		if len(p.cookies(here)) != 2 {
			t.Errorf("signed in by %s, %v", answer, answer.Header)
		}
	})

	t.Run("nothing_may_be_stored", func(t *testing.T) {
		t.Parallel()
		_, p := enter(t, here, user)
		for signedIn, jar := range map[bool]http.CookieJar{true: p.jar, false: nil} {
			c, _ := browse(t, here, jar)
			persisted := url.Values{"query": {"{genres{name}}"}, "extensions": {`{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf("{genres{name}}") + `"}}`}}
			r, err := http.NewRequest(http.MethodGet, c.URL+"?"+persisted.Encode(), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer := c.Send(r)
			control, vary := answer.Header.Get("Cache-Control"), strings.Join(answer.Header.Values("Vary"), ",")
			if signedIn && control != "private, no-store" || !signedIn && (!strings.HasPrefix(control, "public") || !strings.Contains(vary, "Cookie")) {
				t.Errorf("signed in %t: Cache-Control %q, Vary %q: %s", signedIn, control, vary, answer)
			}
		}
	})
}

// TestCookieSession_access_token_is_over is what a page learns when its quarter of an hour is over.
func TestCookieSession_access_token_is_over(t *testing.T) {
	t.Parallel()
	now := clock.NewFake(time.Now())
	a := apitest.New(t, apitest.Still(), apitest.WithSeams(func(s *app.Seams) { s.Clock = now }))
	user := a.Customer()
	c, p := enter(t, a, user)
	now.Advance(16 * time.Minute)

	if answer := c.Raw(`{ genres { name } }`, nil); code(answer) != "UNAUTHENTICATED" {
		t.Errorf("the page is answered as nobody: %s", answer)
	}
	if answer := c.Raw(`mutation { refreshSession { __typename } signOut { signedOut } }`, nil); code(answer) != "UNAUTHENTICATED" {
		t.Errorf("a mutation that is not for everybody is answered %s", answer)
	}
	socket := dialPage(t, a, p, a.URL)
	defer socket.Close()
	if err := socket.WriteJSON(map[string]string{"type": "connection_init"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := socket.ReadMessage(); !websocket.IsCloseError(err, 4403) {
		t.Errorf("the socket ends with %v, want the close code 4403", err)
	}
	if got := renew(c); got.Typename != "SessionPayload" {
		t.Fatalf("renewed: %+v", got)
	}
	if whoami(c) != user.User.Email {
		t.Error("not signed in")
	}
}

// tryPage opens a socket as a page of an origin does. Its status is that of the answer.
func tryPage(a *apitest.App, p tab, origin string) (*websocket.Conn, int, error) {
	dialer := websocket.Dialer{Jar: p.jar, Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: apitest.Patience}
	socket, answer, err := dialer.Dial("ws"+strings.TrimPrefix(a.URL, "http")+"/graphql", http.Header{"Origin": {origin}})
	if answer == nil {
		return socket, 0, err
	}
	return socket, answer.StatusCode, errors.Join(err, answer.Body.Close())
}

func dialPage(t *testing.T, a *apitest.App, p tab, origin string) *websocket.Conn {
	t.Helper()
	socket, status, err := tryPage(a, p, origin)
	if err != nil {
		t.Fatalf("a socket of a page of %s: %v (%d)", origin, err, status)
	}
	return socket
}

// TestCookieSession_forged_requests, WS1, GQ15 and GQ16, are those that a page of another site makes a browser send with its user's
// cookies.
func TestCookieSession_forged_requests(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.With(func(c *config.Config) { c.AllowedOrigins = []string{allowedOrigin} }))
	user := a.Customer()
	_, p := enter(t, a, user)
	lookAlike := a.URL + ".evil.example"

	const signOut = `{"query":"mutation { signOut { signedOut } }"}`
	get := "?query=" + url.QueryEscape(`{ me { email } }`)
	for name, test := range map[string]struct {
		method, parameters, body string
		header                   []string
		status                   int
	}{
		"GQ15_query_by_get":               {"GET", get, "", nil, 403},
		"GQ15_query_by_get_of_a_sibling":  {"GET", get, "", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"GQ15_query_by_get_cross_site":    {"GET", get, "", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"GQ15_query_by_get_sandboxed":     {"GET", get, "", []string{"Origin", "null"}, 403},
		"GQ15_query_by_get_allowed":       {"GET", get, "", []string{"Sec-Fetch-Site", "same-site", "Origin", allowedOrigin}, 200},
		"GQ15_query_by_get_own":           {"GET", get, "", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"GQ15_mutation_by_get":            {"GET", "?query=" + url.QueryEscape(`mutation { signOut { signedOut } }`), "", []string{"Sec-Fetch-Site", "same-origin"}, 405},
		"stream_by_get":                   {"GET", get, "", []string{"Accept", "text/event-stream", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"GQ16_mutation_as_text":           {"POST", "", signOut, []string{"Content-Type", "text/plain"}, 415},
		"GQ16_mutation_as_a_form":         {"POST", "", "query=mutation{signOut{signedOut}}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"GQ16_mutation_as_multipart":      {"POST", "", "--x--", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		"mutation_of_a_foreign_origin":    {"POST", "", signOut, []string{"Origin", "https://evil.example"}, 403},
		"mutation_of_a_look_alike":        {"POST", "", signOut, []string{"Origin", lookAlike}, 403},
		"mutation_of_a_sandboxed_page":    {"POST", "", signOut, []string{"Origin", "null"}, 403},
		"mutation_of_a_sibling":           {"POST", "", signOut, []string{"Origin", "https://other.tickets.example", "Sec-Fetch-Site", "same-site"}, 403},
		"mutation_cross_site":             {"POST", "", signOut, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"event_stream_of_a_foreign_page":  {"POST", "", signOut, []string{"Accept", "text/event-stream", "Origin", "https://evil.example"}, 403},
		"preflighted_but_foreign":         {"POST", "", signOut, []string{"Origin", "https://evil.example", "Apollo-Require-Preflight", "1"}, 403},
		"query_of_an_allowed_page":        {"POST", "", `{"query":"{ me { email } }"}`, []string{"Origin", allowedOrigin, "Sec-Fetch-Site", "same-site"}, 200},
		"signing_in_from_a_foreign_page_": {"POST", "", `{"query":"mutation { refreshSession { __typename } }"}`, []string{"Origin", "https://evil.example", cookie.Header, "cookie"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequest(test.method, a.URL+"/graphql"+test.parameters, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.method == http.MethodPost {
				r.Header.Set("Content-Type", "application/json")
			}
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Set(test.header[i], test.header[i+1])
			}
			c := a.Anonymous().With(t)
			c.HTTP = &http.Client{Jar: p.jar, Timeout: apitest.Patience}
			answer := c.Send(r)
			if answer.Status != test.status {
				t.Errorf("answered %s, want %d", answer, test.status)
			}
			if test.status == 200 && !strings.Contains(string(answer.Body), user.User.Email) {
				t.Errorf("the page's cookie was not believed: %s", answer)
			}
			readable := answer.Header.Get("Access-Control-Allow-Origin")
			if given := r.Header.Get("Origin"); readable != "" && (given != allowedOrigin || readable != allowedOrigin || answer.Header.Get("Access-Control-Allow-Credentials") != "true") {
				t.Errorf("a page of %q may read it: %q", given, readable)
			} else if given == allowedOrigin && readable == "" {
				t.Error("the allowed page may not read it")
			}
		})
	}

	for name, origin := range map[string]string{
		"WS1_foreign": "https://evil.example", "WS1_null": "null", "WS1_look_alike": lookAlike,
		"WS1_prefix_of_an_allowed_one": strings.TrimSuffix(allowedOrigin, "e"), "WS1_allowed_one_inside": "https://evil.example/" + allowedOrigin,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket, status, err := tryPage(a, p, origin)
			if err == nil {
				_ = socket.Close()
				t.Fatal("the socket was opened")
			}
			if status != http.StatusForbidden {
				t.Errorf("refused with %d, %v; want 403 before the upgrade", status, err)
			}
		})
	}
	for name, origin := range map[string]string{"WS1_own": a.URL, "WS1_allowed": allowedOrigin} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := dialPage(t, a, p, origin)
			defer socket.Close()
			for _, message := range []string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":{"query":"{ me { email } }"}}`} {
				if err := socket.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
					t.Fatal(err)
				}
				_, got, err := socket.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(message, "subscribe") && !strings.Contains(string(got), user.User.Email) {
					t.Errorf("asked who it is, the socket says %s", got)
				}
			}
		})
	}
	if c, _ := browse(t, a, p.jar); whoami(c) != user.User.Email {
		t.Error("one of the forged requests ended the session")
	}
}

// TestSocket_authorization is how a socket's connection_init may spell the name of its credential.
func TestSocket_authorization(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	user := a.Customer()
	for name, test := range map[string]struct {
		payload map[string]any
		code    int // 0: acknowledged
	}{
		"as_the_header":    {vars{"Authorization": "Bearer " + user.Token}, 0},
		"in_lower_case":    {vars{"authorization": "Bearer " + user.Token}, 0},
		"but_no_good":      {vars{"authorization": "Bearer no.such.token"}, 4403},
		"given_twice":      {vars{"authorization": "Bearer " + user.Token, "Authorization": "Bearer " + user.Token}, 4403},
		"of_another_class": {vars{"AUTHORIZATION": "Basic x"}, 4403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := dialPage(t, a, tab{}, a.URL)
			defer socket.Close()
			if err := socket.WriteJSON(map[string]any{"type": "connection_init", "payload": test.payload}); err != nil {
				t.Fatal(err)
			}
			_, got, err := socket.ReadMessage()
			if test.code != 0 {
				if !websocket.IsCloseError(err, test.code) {
					t.Fatalf("%s, %v; want the close code %d", got, err, test.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","id":"1","payload":{"query":"{ me { email } }"}}`)); err != nil {
				t.Fatal(err)
			}
			if _, got, err = socket.ReadMessage(); err != nil || !strings.Contains(string(got), user.User.Email) {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

// TestCookieSession_over_TLS is how it stands in production: TLS ends at a proxy, and the cookies' names keep them from
// whoever may not set them.
func TestCookieSession_over_TLS(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.With(func(c *config.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }))
	behind, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}})
	defer proxy.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := a.Customer()
	email := c.User.Email
	c.Token, c.URL, c.HTTP = "", proxy.URL+"/graphql", proxy.Client()
	c.HTTP.Jar = jar
	answer := c.Post(`{"query":"{ me { email } }"}`)
	if strings.Contains(string(answer.Body), email) {
		t.Fatal("signed in already")
	}
	body, err := json.Marshal(map[string]any{
		"query":     `mutation ($in: SignInInput!) { signIn(input: $in) { ` + sessionFields + ` } }`,
		"variables": vars{"in": vars{"email": email, "password": apitest.Password}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, c.URL, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(cookie.Header, cookie.ModeCookie)
	set := c.Send(r).Header.Values("Set-Cookie")
	if len(set) != 3 || !strings.HasPrefix(set[0], "__Host-marquee=") || !strings.HasPrefix(set[1], "__Secure-marquee-refresh=") ||
		!strings.HasPrefix(set[2], "__Host-marquee-device=") {
		t.Fatalf("set: %v", set)
	}
	for i, attributes := range []string{"Path=/;", "Path=/graphql;", "Path=/;"} {
		for _, attribute := range []string{attributes, "HttpOnly", "Secure", "SameSite=Strict"} {
			if !strings.Contains(set[i], attribute) {
				t.Errorf("%s lacks %s", set[i], attribute)
			}
		}
	}
	if whoami(c) != email || renew(c).Typename != "SessionPayload" || whoami(c) != email {
		t.Error("not signed in")
	}
}
