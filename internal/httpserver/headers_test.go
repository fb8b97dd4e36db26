package httpserver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/httpserver"
)

func TestServer_security_headers(t *testing.T) {
	t.Parallel()
	t.Run("answers_are_no_pages", func(t *testing.T) {
		t.Parallel()
		o := options()
		const own = "default-src 'self'"
		o.Console = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Security-Policy", own) })
		for path, want := range map[string]string{
			"/graphql": "default-src 'none'; frame-ancestors 'none'", "/healthz": "default-src 'none'; frame-ancestors 'none'", "/": own,
		} {
			w := ask(o, http.MethodGet, path)
			if got := w.Header().Values("Content-Security-Policy"); len(got) != 1 || got[0] != want {
				t.Errorf("%s: the policy is %q, want %q", path, got, want)
			}
			if got := w.Header().Get("Cross-Origin-Resource-Policy"); got != "same-origin" {
				t.Errorf("%s: Cross-Origin-Resource-Policy is %q", path, got)
			}
		}
	})
	t.Run("tls_is_remembered_where_there_is_some", func(t *testing.T) {
		t.Parallel()
		behind := options()
		behind.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // that of httptest's requests
		for name, test := range map[string]struct {
			o    httpserver.Options
			url  string
			said string
			want string
		}{
			"plain":                   {behind, "http://example.com/graphql", "", ""},
			"our_own_tls":             {options(), "https://example.com/graphql", "", "max-age=31536000"},
			"a_proxy_that_says_https": {behind, "http://example.com/graphql", "https", "max-age=31536000"},
			"a_proxy_that_says_http":  {behind, "http://example.com/graphql", "http", ""},
			"a_stranger_says_https":   {options(), "http://example.com/graphql", "https", ""},
		} {
			r := httptest.NewRequest(http.MethodGet, test.url, http.NoBody)
			if test.said != "" {
				r.Header.Set("X-Forwarded-Proto", test.said)
			}
			w := httptest.NewRecorder()
			httpserver.New(test.o).Handler().ServeHTTP(w, r)
			if got := w.Header().Get("Strict-Transport-Security"); got != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}
	})
}

// TestServer_cors_headers asks whether pages of an allowed origin may send what GraphQL clients send with a GET.
func TestServer_cors_headers(t *testing.T) {
	t.Parallel()
	const ours = "https://tickets.example"
	o := options()
	o.AllowedOrigins = []string{ours}
	for _, header := range []string{"authorization", "content-type", "apollo-require-preflight", "graphql-require-preflight", "x-apollo-operation-name", "x-requested-with",
		"marquee-session", "apollographql-client-name", "apollographql-client-version", "traceparent", "tracestate", "x-request-id",
		"cache-control", "if-none-match",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			w := ask(o, http.MethodOptions, "/graphql", "Origin", ours, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", header)
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != ours {
				t.Errorf("%s with %s is not allowed", method, header)
			}
		}
	}
	w := ask(o, http.MethodOptions, "/graphql", "Origin", ours, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-anything")
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Error("any header is allowed")
	}
	if vary := strings.Join(ask(o, http.MethodPost, "/graphql").Header().Values("Vary"), ","); !strings.Contains(vary, "Origin") {
		t.Errorf("Vary is %q", vary)
	}
}

func TestBearerToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers []string
		token   string
		says    string
	}{
		"a_token":             {[]string{"Bearer mqs_a.b~c+d/e-f=="}, "mqs_a.b~c+d/e-f==", ""},
		"the_scheme_anyhow":   {[]string{" bEARER  x "}, "x", ""},
		"none":                {nil, "", "one Authorization header"},
		"two":                 {[]string{"Bearer x", "Bearer x"}, "", "one Authorization header"},
		"another_scheme":      {[]string{"Basic x"}, "", "of the scheme Bearer"},
		"no_scheme":           {[]string{"mqs_x"}, "", "of the scheme Bearer"},
		"no_token":            {[]string{"Bearer"}, "", "no well-formed token"},
		"two_tokens":          {[]string{"Bearer x y"}, "", "no well-formed token"},
		"two_in_one_header":   {[]string{"Bearer x, Bearer y"}, "", "no well-formed token"},
		"a_sign_out_of_place": {[]string{"Bearer x=y"}, "", "no well-formed token"},
		"quotes":              {[]string{`Bearer "x"`}, "", "no well-formed token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := httpserver.BearerToken(test.headers...)
			if token != test.token || (err != nil) != (test.says != "") {
				t.Fatalf("%q, error %v", token, err)
			}
			if err != nil && (err.Code != apperr.Unauthenticated || !strings.Contains(err.Message, test.says)) {
				t.Errorf("%s: %s, want %q", err.Code, err.Message, test.says)
			}
		})
	}
}

// TestServer_authentication_says_what_is_wrong tells a header of the wrong form from a session that has ended.
func TestServer_authentication_says_what_is_wrong(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct{ says, challenge string }{
		"Basic x":    {"of the scheme Bearer", "Bearer"},
		"Bearer":     {"no well-formed token", "Bearer"},
		"Bearer bad": {"Your session has ended", `Bearer error="invalid_token"`},
	} {
		w := ask(options(), http.MethodPost, "/graphql", "Authorization", header)
		var body struct{ Errors []struct{ Message string } }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Errors) != 1 || !strings.Contains(body.Errors[0].Message, want.says) {
			t.Errorf("%s: %s (%v)", header, w.Body, err)
		}
		if got := w.Header().Get("WWW-Authenticate"); w.Code != http.StatusUnauthorized || got != want.challenge {
			t.Errorf("%s: %d, WWW-Authenticate %q", header, w.Code, got)
		}
	}
	if w := ask(options(), http.MethodPost, "/graphql", "Authorization", " "); w.Code != http.StatusOK {
		t.Errorf("an empty header is answered with %d", w.Code)
	}
}
