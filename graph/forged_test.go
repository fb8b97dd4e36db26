package graph_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"marquee/internal/apitest"
)

// TestAZ6_headers_make_nobody_anybody sends what proxies of other houses add to say who asks, and from where: it is not
// believed.
func TestAZ6_headers_make_nobody_anybody(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	admin := a.Admin()
	for _, header := range []string{"X-User-Id", "X-Forwarded-User", "X-Remote-User", "X-Auth-Request-User", "X-Marquee-User", "Remote-User", "X-Role", "X-Original-URL"} {
		for _, value := range []string{admin.User.NodeID(), admin.User.ID.String(), admin.User.Email, "ADMIN"} {
			for field, want := range map[string]string{`{ me { email } }`: `{"me":null}`, `{ users(first: 1) { nodes { email } } }`: `"UNAUTHENTICATED"`} {
				r, err := http.NewRequest(http.MethodGet, a.Anonymous().GetURL(field), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set(header, value)
				if answer := a.Anonymous().Send(r); !strings.Contains(string(answer.Body), want) {
					t.Errorf("%s: %s: %s", header, value, answer)
				}
			}
		}
	}
	// The address that guesses are counted for is that of the connection, whatever a client says of it.
	victim := a.Customer()
	const forged = 8
	throttled := false
	for i := range forged {
		r, err := http.NewRequest(http.MethodPost, a.URL+"/graphql", strings.NewReader(`{"query": "mutation { signIn(input: {email: \"`+victim.User.Email+`\", password: \"not my password, surely\"}) { __typename } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", "198.51.100."+strconv.Itoa(i))
		throttled = throttled || strings.Contains(string(a.Anonymous().Send(r).Body), `"THROTTLED"`)
	}
	if !throttled {
		t.Errorf("%d wrong passwords with forged addresses were all tried", forged)
	}
}
