package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// clientBits is how much of an IPv6 address names one customer: providers give each at least a /64.
const clientBits = 64

// ClientAddress returns a function that names the client of a request: the peer, or what the trusted proxies in front
// say of theirs. X-Forwarded-For is read from its end, where our own proxies write; the first address that is not one
// of them is the client's. IPv6 counts by /64.
func ClientAddress(trusted []netip.Prefix) func(*http.Request) string {
	isTrusted := func(a netip.Addr) bool {
		for _, p := range trusted {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	return func(r *http.Request) string {
		client, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return r.RemoteAddr
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && isTrusted(client); i-- {
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

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err == nil
}
