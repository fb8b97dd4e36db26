package peer_test

import (
	"testing"

	"marquee/internal/peer"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.77":           "203.0.113.0/24",
		"::ffff:203.0.113.77":    "203.0.113.0/24",
		"2001:db8:1:2::/64":      "2001:db8:1::/48",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1::/48",
		"fe80::1%eth0":           "fe80::/48",
		"":                       "",
		"somewhere":              "",
		"203.0.113.77:443":       "",
		"203.0.113.77, 10.0.0.1": "",
	} {
		if got := peer.Network(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
