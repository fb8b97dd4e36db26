package bus

import (
	"context"
	"maps"
	"slices"
	"time"
)

// meshPoll is how soon a peer's coming or going is noticed.
const meshPoll = 250 * time.Millisecond

// Peers returns the names of the peers this process is connected to, sorted.
func (b *Bus) Peers() []string {
	return slices.Sorted(maps.Values(b.routes()))
}

// routes returns the name of the peer at the other end of each route. The key
// is the number of the connection, so that a peer that was gone for a moment
// shows as a difference.
func (b *Bus) routes() map[uint64]string {
	status, err := b.server.Routez(nil)
	if err != nil {
		return nil
	}
	routes := make(map[uint64]string, len(status.Routes))
	for _, route := range status.Routes {
		routes[route.Rid] = route.RemoteName
	}
	return routes
}

// watchMesh reports every change in the set of routes: what was published while
// a route was down did not cross it.
func (b *Bus) watchMesh(ctx context.Context) {
	ticker := time.NewTicker(meshPoll)
	defer ticker.Stop()
	known := map[uint64]string{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		routes := b.routes()
		if maps.Equal(routes, known) {
			continue
		}
		b.logMesh(known, routes)
		known = routes
		b.shift("a peer came or went")
	}
}

func (b *Bus) logMesh(before, after map[uint64]string) {
	for route, peer := range after {
		if _, ok := before[route]; !ok {
			b.log.Info("A peer joined the bus.", "peer", peer)
		}
	}
	for route, peer := range before {
		if _, ok := after[route]; !ok {
			b.log.Warn("A peer left the bus.", "peer", peer)
		}
	}
}
