package cookie_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"marquee/internal/cookie"
)

func TestDeviceOf(t *testing.T) {
	t.Parallel()
	const app, browser = "an-app-named-this-device", "A-BROWSER-THAT-GOT-A-NAME"
	named := "__Host-marquee-device=" + browser
	for name, test := range map[string]struct {
		header []string
		want   string
		fails  bool
	}{
		"nothing_said":                {nil, "", false},
		"an_app":                      {[]string{cookie.DeviceHeader, app}, app, false},
		"an_app_with_a_token":         {[]string{cookie.DeviceHeader, app, "Authorization", "Bearer x"}, app, false},
		"a_browser":                   {[]string{"Cookie", named}, browser, false},
		"a_browser_that_says_more":    {[]string{"Cookie", named, cookie.DeviceHeader, app}, app, false},
		"a_browser_with_a_token":      {[]string{"Cookie", named, "Authorization", "Bearer x"}, "", false},
		"a_browser_without_cookies":   {[]string{"Cookie", named, cookie.Header, "bearer"}, "", false},
		"a_cookie_that_we_never_made": {[]string{"Cookie", "__Host-marquee-device=short"}, "", false},
		"a_cookie_of_the_plain_name":  {[]string{"Cookie", "marquee-device=" + browser}, "", false},
		"an_empty_name":               {[]string{cookie.DeviceHeader, ""}, "", true},
		"a_short_name":                {[]string{cookie.DeviceHeader, "fifteen-letters"}, "", true},
		"a_long_name":                 {[]string{cookie.DeviceHeader, strings.Repeat("x", 129)}, "", true},
		"other_letters":               {[]string{cookie.DeviceHeader, "a name with blanks in it"}, "", true},
		"two_names":                   {[]string{cookie.DeviceHeader, app, cookie.DeviceHeader, app}, "", true},
		"a_bad_name_beside_bearer":    {[]string{cookie.DeviceHeader, "x", cookie.Header, "bearer"}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Add(test.header[i], test.header[i+1])
			}
			ctx, _, err := production.Begin(httptest.NewRecorder(), r, r.Header.Get("Authorization") != "")
			if (err != nil) != test.fails {
				t.Fatalf("got %v", err)
			}
			if err == nil && cookie.DeviceOf(ctx) != test.want {
				t.Errorf("the device is %q, want %q", cookie.DeviceOf(ctx), test.want)
			}
		})
	}
}

// TestExchange_Keep_names_the_browser once, for longer than any session.
func TestExchange_Keep_names_the_browser(t *testing.T) {
	t.Parallel()
	e, w := begin(t, production, cookie.Header, cookie.ModeCookie)
	e.Keep(tokens)
	cookies := w.Result().Cookies()
	i := len(cookies) - 1
	if i != 2 || cookies[i].Name != "__Host-marquee-device" || len(cookies[i].Value) < 26 || !cookies[i].HttpOnly || !cookies[i].Secure ||
		cookies[i].Path != "/" || cookies[i].Expires.Before(tokens.Until.Add(300*24*time.Hour)) {
		t.Fatalf("got %v", cookies)
	}
	again, w := begin(t, production, "Cookie", kept(t, production, tokens))
	again.Keep(tokens)
	if n := len(w.Result().Cookies()); n != 2 {
		t.Errorf("%d cookies are set on a browser that has a name", n)
	}
	upgraded, fresh := begin(t, production, "Cookie", kept(t, production, tokens), "Authorization", "Bearer x", cookie.Header, cookie.ModeCookie)
	upgraded.Keep(tokens)
	if n := len(fresh.Result().Cookies()); n != 2 {
		t.Errorf("%d cookies are set on a browser that has a name and asked with a bearer token", n)
	}
	again.Clear()
	for _, c := range w.Result().Cookies() {
		if strings.HasSuffix(c.Name, "-device") {
			t.Errorf("signing out takes the name: %s", c.Raw)
		}
	}
}
