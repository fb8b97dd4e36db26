package payment

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoGateway is returned for what goes through a gateway that the installation does not have, or has no longer.
var ErrNoGateway = errors.New("payment: this installation has no such gateway")

// Gateways are the gateways of an installation. They never change while the program runs.
type Gateways struct {
	offered []Gateway
	all     map[string]Gateway
}

// NewGateways returns the gateways that payments are begun at, the preferred one first, together with others, at which is only
// brought to its end what was begun there before. No two have one name.
func NewGateways(offered []Gateway, others ...Gateway) *Gateways {
	g := &Gateways{offered: slices.Clone(offered), all: make(map[string]Gateway, len(offered)+len(others))}
	for _, gateway := range slices.Concat(offered, others) {
		g.all[gateway.Name()] = gateway
	}
	return g
}

// Offered returns the gateways that payments are begun at, the preferred one first.
func (g *Gateways) Offered() []Gateway { return slices.Clone(g.offered) }

// Named returns a gateway by its name, or ErrNoGateway.
func (g *Gateways) Named(name string) (Gateway, error) {
	gateway, ok := g.all[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoGateway, name)
	}
	return gateway, nil
}

// Names returns the names of all, in alphabetical order.
func (g *Gateways) Names() []string {
	names := make([]string, 0, len(g.all))
	for name := range g.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
