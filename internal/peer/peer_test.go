package peer_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"marquee/internal/peer"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:f::/48")}

func request(from string, header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/graphql", http.NoBody)
	r.RemoteAddr = from
	if header != nil {
		r.Header = header
	}
	return r
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		from      string
		forwarded []string
		want      string
	}{
		"the_peer_itself":                       {from: "203.0.113.7:4711", want: "203.0.113.7"},
		"a_stranger_cannot_name_another":        {from: "203.0.113.7:4711", forwarded: []string{"198.51.100.1"}, want: "203.0.113.7"},
		"a_trusted_proxy_names_the_client":      {from: "10.1.2.3:80", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		"a_client_cannot_forge_through_a_proxy": {from: "10.1.2.3:80", forwarded: []string{"192.0.2.9, 198.51.100.1"}, want: "198.51.100.1"},
		"two_trusted_proxies":                   {from: "10.1.2.3:80", forwarded: []string{"198.51.100.1", "10.9.9.9"}, want: "198.51.100.1"},
		"a_proxy_that_says_nothing":             {from: "10.1.2.3:80", want: "10.1.2.3"},
		"nonsense_from_a_proxy":                 {from: "10.1.2.3:80", forwarded: []string{"unknown"}, want: "10.1.2.3"},
		"a_proxy_of_ipv6":                       {from: "[2001:db8:f::1]:80", forwarded: []string{"[2001:db8:1::9]:4711"}, want: "2001:db8:1::/64"},
		"ipv6_counts_by_network":                {from: "[2001:db8:1:2:3:4:5:6]:80", want: "2001:db8:1:2::/64"},
		"another_host_of_that_network":          {from: "[2001:db8:1:2:ffff::1]:1", want: "2001:db8:1:2::/64"},
		"ipv6_with_a_zone":                      {from: "[fe80::1%eth0]:443", want: "fe80::/64"},
		"ipv4_in_ipv6":                          {from: "[::ffff:203.0.113.7]:80", want: "203.0.113.7"},
		"no_address_of_the_internet":            {from: "@", want: "@"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := peer.Address(trusted)(request(test.from, http.Header{"X-Forwarded-For": test.forwarded})); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestSecure(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		from  string
		tls   bool
		proto []string
		want  bool
	}{
		"plain":                               {from: "203.0.113.7:4711"},
		"our_own_tls":                         {from: "203.0.113.7:4711", tls: true, want: true},
		"a_stranger_says_https":               {from: "203.0.113.7:4711", proto: []string{"https"}},
		"a_trusted_proxy_says_https":          {from: "10.1.2.3:80", proto: []string{"HTTPS"}, want: true},
		"a_trusted_proxy_says_http":           {from: "10.1.2.3:80", proto: []string{"http"}},
		"a_trusted_proxy_says_nothing":        {from: "10.1.2.3:80"},
		"the_client_says_https_the_proxy_not": {from: "10.1.2.3:80", proto: []string{"https", "http"}},
		"the_last_word_in_one_header":         {from: "10.1.2.3:80", proto: []string{"http, https"}, want: true},
		"no_address_of_the_internet":          {from: "@", proto: []string{"https"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request(test.from, http.Header{"X-Forwarded-Proto": test.proto})
			if test.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if got := peer.Secure(trusted)(r); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestAllowOrigins(t *testing.T) {
	t.Parallel()
	allowed := []string{"https://tickets.example", "https://app.example:8443"}
	for name, test := range map[string]struct {
		origins []string
		want    bool
	}{
		"no_browser":                    {nil, true},
		"a_listed_page":                 {[]string{"https://tickets.example"}, true},
		"a_listed_page_in_capitals":     {[]string{"HTTPS://Tickets.Example"}, true},
		"a_listed_page_of_another_port": {[]string{"https://app.example"}, false},
		"a_listed_host_without_tls":     {[]string{"http://tickets.example"}, false},
		"our_own_page":                  {[]string{"http://API.example:8080"}, true},
		"our_own_page_behind_tls":       {[]string{"https://api.example:8080"}, true},
		"our_host_of_another_port":      {[]string{"http://api.example:9090"}, false},
		"another_site":                  {[]string{"https://evil.example"}, false},
		"a_name_that_begins_like_ours":  {[]string{"https://tickets.example.evil.example"}, false},
		"a_name_that_ends_like_ours":    {[]string{"https://eviltickets.example"}, false},
		"a_sandboxed_page":              {[]string{"null"}, false},
		"an_empty_origin":               {[]string{""}, false},
		"no_origin_at_all":              {[]string{"://"}, false},
		"two_origins":                   {[]string{"https://tickets.example", "https://tickets.example"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request("203.0.113.7:4711", http.Header{"Origin": test.origins})
			r.Host = "api.example:8080"
			if got := peer.AllowOrigins(allowed)(r); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
