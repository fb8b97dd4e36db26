// Package peer says who is at the other end of an HTTP request: the client's address, whether the client speaks TLS,
// and which site's page sent it.
//
// Proxies speak for their clients in X-Forwarded-For and X-Forwarded-Proto. Those are believed from the networks that
// the caller trusts and from nobody else, for anybody can send them. Nothing here reads a cookie or a token, and
// nothing is decided from an address but how requests are counted.
package peer

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// clientBits is how much of an IPv6 address names one customer: providers give each at least a /64.
const clientBits = 64

// Address returns a function that names the client of a request: the peer, or what the trusted proxies in front say
// of theirs. X-Forwarded-For is read from its end, where our own proxies write; the first address that is not one of
// them is the client's. IPv6 counts by /64.
func Address(trusted []netip.Prefix) func(*http.Request) string {
	return func(r *http.Request) string {
		client, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return r.RemoteAddr
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && contains(trusted, client); i-- {
			hop, ok := parseAddress(strings.TrimSpace(hops[i]))
			if !ok {
				break
			}
			client = hop
		}
		if client.Is6() {
			if network, err := client.Prefix(clientBits); err == nil {
				return network.String()
			}
		}
		return client.String()
	}
}

// Secure returns a function that reports whether the client's own connection is TLS: ours, or that of the trusted
// proxy in front, which says so last in X-Forwarded-Proto.
func Secure(trusted []netip.Prefix) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.TLS != nil {
			return true
		}
		proxy, ok := parseAddress(r.RemoteAddr)
		if !ok || !contains(trusted, proxy) {
			return false
		}
		said := strings.Join(r.Header.Values("X-Forwarded-Proto"), ",")
		return strings.EqualFold(strings.TrimSpace(said[strings.LastIndexByte(said, ',')+1:]), "https")
	}
}

// AllowOrigins returns a function that reports whether the page that sent a request may use what the browser adds to
// it by itself: a page of one of the origins, or of the request's own host. A client that sends no Origin is no
// browser and passes. Scheme and host are compared without regard to letter case; of the own host only the host is,
// since a proxy may have ended TLS.
func AllowOrigins(origins []string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		given := r.Header.Values("Origin")
		if len(given) != 1 {
			return len(given) == 0
		}
		for _, origin := range origins {
			if strings.EqualFold(origin, given[0]) {
				return true
			}
		}
		site, err := url.Parse(given[0])
		return err == nil && site.Host != "" && strings.EqualFold(site.Host, r.Host)
	}
}

func contains(networks []netip.Prefix, address netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	address, err := netip.ParseAddr(text)
	return address.Unmap().WithZone(""), err == nil
}
