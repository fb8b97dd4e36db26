package cookie_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/cookie"
)

var (
	production = cookie.Policy{RefreshPath: "/graphql"}
	tokens     = cookie.Tokens{Access: "an.access.token", Refresh: "mqr_token", Until: time.Now().Add(time.Hour)}
)

// begin is an exchange of a request with the given headers.
func begin(t *testing.T, p cookie.Policy, header ...string) (*cookie.Exchange, *httptest.ResponseRecorder) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://marquee.example/graphql", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	_, e, err := p.Begin(w, r, r.Header.Get("Authorization") != "")
	if err != nil {
		t.Fatal(err)
	}
	return e, w
}

// kept returns the Cookie header of a browser that got the tokens.
func kept(t *testing.T, p cookie.Policy, tokens cookie.Tokens) string {
	t.Helper()
	e, w := begin(t, p, cookie.Header, cookie.ModeCookie)
	if !e.Keep(tokens) {
		t.Fatal("the tokens were not kept")
	}
	var pairs []string
	for _, c := range w.Result().Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// halves are the two pairs of a session's Cookie header.
func halves(session string) (access, refresh string) {
	access, refresh, _ = strings.Cut(session, "; ")
	return access, refresh
}

// TestExchange_Keep is what makes a cookie a safe place.
func TestExchange_Keep(t *testing.T) {
	t.Parallel()
	overTLS := cookie.Policy{RefreshPath: "/graphql", Plain: true, Secure: func(*http.Request) bool { return true }}
	for name, test := range map[string]struct {
		policy  cookie.Policy
		secure  bool
		access  string
		refresh string
	}{
		"production":           {production, true, "__Host-marquee", "__Secure-marquee-refresh"},
		"development_over_tls": {overTLS, true, "__Host-marquee", "__Secure-marquee-refresh"},
		"development":          {cookie.Policy{RefreshPath: "/graphql", Plain: true}, false, "marquee", "marquee-refresh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, w := begin(t, test.policy, cookie.Header, cookie.ModeCookie)
			for range 2 {
				if !e.Keep(tokens) {
					t.Fatal("the tokens were not kept")
				}
			}
			cookies := slices.DeleteFunc(w.Result().Cookies(), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "-device") })
			if len(cookies) != 2 {
				t.Fatalf("%d cookies, want 2, also when they are set twice: %v", len(cookies), cookies)
			}
			for i, want := range []struct{ name, path, token string }{{test.access, "/", tokens.Access}, {test.refresh, "/graphql", tokens.Refresh}} {
				c := cookies[i]
				if c.Name != want.name || c.Path != want.path || !strings.HasSuffix(c.Value, "."+want.token) ||
					!c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != test.secure || c.Domain != "" || c.Expires.IsZero() {
					t.Errorf("cookie %d is %s", i, c.Raw)
				}
			}
			read, _ := begin(t, test.policy, "Cookie", kept(t, test.policy, tokens))
			if read.Access() != tokens.Access || read.Refresh() != tokens.Refresh {
				t.Errorf("read back: %q, %q", read.Access(), read.Refresh())
			}
		})
	}
}

func TestExchange_where_tokens_go(t *testing.T) {
	t.Parallel()
	session := kept(t, production, tokens)
	_, refreshAlone := halves(session)
	for name, test := range map[string]struct {
		header []string
		reads  bool
		keeps  bool
	}{
		"nothing_said":                   {nil, false, false},
		"cookies_are_asked_for":          {[]string{cookie.Header, "cookie"}, false, true},
		"a_session_in_cookies":           {[]string{"Cookie", session}, true, true},
		"bearer_is_asked_for":            {[]string{"Cookie", session, cookie.Header, "bearer"}, false, false},
		"beside_a_bearer_token":          {[]string{"Cookie", session, "Authorization", "Bearer x"}, false, false},
		"a_bearer_token_wants_cookies":   {[]string{"Cookie", session, "Authorization", "Bearer x", cookie.Header, "cookie"}, false, true},
		"cookies_of_the_plain_name":      {[]string{"Cookie", strings.ReplaceAll(strings.ReplaceAll(session, "__Host-", ""), "__Secure-", "")}, false, false},
		"the_refresh_token_alone":        {[]string{"Cookie", refreshAlone}, false, false},
		"an_access_token_without_a_bond": {[]string{"Cookie", "__Host-marquee=garbage"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := begin(t, production, test.header...)
			if reads := e.Access() != ""; reads != test.reads {
				t.Errorf("reads cookies: %t, want %t", reads, test.reads)
			}
			if keeps := e.Keep(tokens); keeps != test.keeps {
				t.Errorf("keeps tokens: %t, want %t", keeps, test.keeps)
			}
		})
	}
	t.Run("neither", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
		r.Header.Set(cookie.Header, "Cookie, bearer")
		if _, _, err := production.Begin(httptest.NewRecorder(), r, false); err == nil {
			t.Error("an unknown mode passed")
		}
	})
}

// TestExchange_planted_refresh_token is a neighbour of the same site who plants the refresh token of a session of their
// own, so that whoever visits the page is signed in to it.
func TestExchange_planted_refresh_token(t *testing.T) {
	t.Parallel()
	victim := kept(t, production, tokens)
	attacker := kept(t, production, cookie.Tokens{Access: "their.access.token", Refresh: "mqr_theirs", Until: tokens.Until})
	_, planted := halves(attacker)
	victimsAccess, _ := halves(victim)
	for name, header := range map[string]string{
		"over_nobody":         planted,
		"before_the_victims":  planted + "; " + victim,
		"behind_the_victims":  victim + "; " + planted,
		"instead_of_victims":  victimsAccess + "; " + planted,
		"beside_a_bare_token": "__Host-marquee=garbage; " + planted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := begin(t, production, "Cookie", header)
			want := ""
			if strings.Contains(header, tokens.Refresh) {
				want = tokens.Refresh
			}
			if got := e.Refresh(); got != want {
				t.Errorf("the session is renewed with %q, want %q", got, want)
			}
		})
	}
}

func TestExchange_Clear(t *testing.T) {
	t.Parallel()
	session := kept(t, production, tokens)
	accessAlone, _ := halves(session)
	for name, test := range map[string]struct {
		header string
		act    func(*cookie.Exchange)
		gone   int
	}{
		"signed_out":                     {session, (*cookie.Exchange).Clear, 2},
		"nobody":                         {"a=b", (*cookie.Exchange).Clear, 0},
		"refused_and_can_be_renewed":     {session, (*cookie.Exchange).Refuse, 0},
		"refused_and_cannot":             {accessAlone, (*cookie.Exchange).Refuse, 2},
		"signed_out_behind_another_sign": {session, func(e *cookie.Exchange) { e.Keep(tokens); e.Clear() }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, w := begin(t, production, "Cookie", test.header)
			test.act(e)
			cookies := w.Result().Cookies()
			if len(cookies) != test.gone {
				t.Fatalf("%d cookies go, want %d", len(cookies), test.gone)
			}
			for _, c := range cookies {
				if c.Value != "" || c.Expires.After(time.Now()) || !c.Secure || c.Path == "" {
					t.Errorf("a browser would not forget it: %s", c.Raw)
				}
			}
		})
	}
	t.Run("no_exchange", func(t *testing.T) {
		t.Parallel()
		var none *cookie.Exchange
		none.Clear()
		if none.Keep(tokens) || none.Stale() || none.Access()+none.Refresh() != "" {
			t.Error("no exchange keeps something")
		}
	})
}
