package bus

import "time"

// ClientAddress returns the loopback address on which the embedded server of a
// clustered node listens for clients.
func (b *Bus) ClientAddress() string { return b.server.Addr().String() }

// Reconnect breaks the connection between this process and its embedded server
// and makes the client establish another one.
func (b *Bus) Reconnect() error { return b.conn.ForceReconnect() }

// RouteSecret is what the routes exchange in place of the password.
func RouteSecret(password string) string { return routeSecret(password) }

// NeverGiveUpWriting makes a node wait for ever for a peer to take its bytes,
// so that whoever waits for the peer is found out.
func NeverGiveUpWriting(cfg *Config) { cfg.routeWriteDeadline = time.Hour }
