package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"marquee/internal/httpserver"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"the_peer_itself":                       {peer: "203.0.113.7:4711", want: "203.0.113.7"},
		"a_stranger_cannot_name_another":        {peer: "203.0.113.7:4711", forwarded: []string{"198.51.100.1"}, want: "203.0.113.7"},
		"a_trusted_proxy_names_the_client":      {peer: "10.1.2.3:80", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		"a_client_cannot_forge_through_a_proxy": {peer: "10.1.2.3:80", forwarded: []string{"192.0.2.9, 198.51.100.1"}, want: "198.51.100.1"},
		"two_trusted_proxies":                   {peer: "10.1.2.3:80", forwarded: []string{"198.51.100.1", "10.9.9.9"}, want: "198.51.100.1"},
		"a_proxy_that_says_nothing":             {peer: "10.1.2.3:80", want: "10.1.2.3"},
		"nonsense_from_a_proxy":                 {peer: "10.1.2.3:80", forwarded: []string{"unknown"}, want: "10.1.2.3"},
		"ipv6_counts_by_network":                {peer: "[2001:db8:1:2:3:4:5:6]:80", want: "2001:db8:1:2::/64"},
		"ipv4_in_ipv6":                          {peer: "[::ffff:203.0.113.7]:80", want: "203.0.113.7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/graphql", http.NoBody)
			r.RemoteAddr = c.peer
			for _, value := range c.forwarded {
				r.Header.Add("X-Forwarded-For", value)
			}
			if got := httpserver.ClientAddress(trusted)(r); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
