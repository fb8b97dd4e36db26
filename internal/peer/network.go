package peer

import "net/netip"

// How much of an address names a network: about as much as one provider gives to a town, or to one customer of IPv6.
const (
	network4 = 24
	network6 = 48
)

// Network returns the network of a client's address, as Address names it: its /24 for IPv4 and its /48 for IPv6. What is
// no address has the network "".
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if prefix, isPrefix := netip.ParsePrefix(address); isPrefix == nil {
		ip, err = prefix.Addr(), nil
	}
	if err != nil {
		return ""
	}
	bits := network4
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		bits = network6
	}
	network, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}
