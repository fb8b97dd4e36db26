package transport

import (
	"net/http"
	"testing"
)

func TestPeerAddress(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]string{
		"192.0.2.1:443":              "192.0.2.1",
		"[::ffff:192.0.2.1]:443":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:443": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:1":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:443":         "fe80::/64",
		"@":                          "@",
	} {
		if got := peerAddress(&http.Request{RemoteAddr: peer}); got != want {
			t.Errorf("%s gives %s, want %s", peer, got, want)
		}
	}
}
