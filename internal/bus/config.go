package bus

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Config says how a process takes part in the bus. Its zero value is a single
// node that opens no port.
type Config struct {
	// ServerName tells this process from its peers and must be unique among
	// them. The default is the host name and eight random digits.
	ServerName string

	// ClusterListen is the host:port on which peers are accepted; port 0 lets
	// the system choose. Empty means a single node: no listener, no peers.
	ClusterListen string

	// Peers are the addresses of other nodes, nats-route://host:port. They are
	// dialled until they answer. A node also learns the peers of its peers, and
	// dials one that it has lost for about an hour; so naming one or two nodes
	// does, and naming all is safest. Naming itself is harmless. A full mesh is
	// sound up to about ten nodes.
	Peers []string

	// ClusterPassword is the secret that admits a peer, the same on every node.
	// It is required with ClusterListen. Only a digest of it is used.
	ClusterPassword string

	// ClusterTLS protects the routes, in both directions: it needs a
	// certificate, RootCAs for the peers dialled, and ClientCAs with
	// tls.RequireAndVerifyClientCert for those accepted. Where it is nil the
	// routes are plain TCP, which suits a private network only.
	ClusterTLS *tls.Config

	// Log receives what happens on the bus; nil discards it.
	Log *slog.Logger

	// routeWriteDeadline is how long a peer may take no bytes before its route
	// is given up. Only tests change it.
	routeWriteDeadline time.Duration
}

const (
	clusterName = "marquee"
	routeUser   = "marquee"
	routeScheme = "nats-route"

	// A route over which nothing has come for fifteen seconds is given up, and
	// one that takes no bytes for two: its ends reconnect, and gaps follow.
	routePingInterval         = 5 * time.Second
	routePingsMissed          = 2
	defaultRouteWriteDeadline = 2 * time.Second

	// The wait between two dials doubles from one second to thirty. Routes do
	// not forward, so that a learnt peer that was given up would stay unheard;
	// yet addresses of nodes that were replaced must be forgotten some day.
	learntPeerDials = 120
)

// withDefaults checks c and fills in what it leaves open. The error joins every
// problem found.
func (c Config) withDefaults() (Config, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.routeWriteDeadline == 0 {
		c.routeWriteDeadline = defaultRouteWriteDeadline
	}
	if c.ServerName == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("bus: find the name of this host: %w", err)
		}
		var digits [4]byte
		_, _ = rand.Read(digits[:]) // never fails, by its contract
		c.ServerName = host + "-" + hex.EncodeToString(digits[:])
	}

	var problems []error
	if strings.ContainsAny(c.ServerName, " \t\r\n") {
		problems = append(problems, fmt.Errorf("bus: the server name %q must not contain white space", c.ServerName))
	}
	if c.ClusterListen == "" && len(c.Peers) > 0 {
		problems = append(problems, errors.New("bus: peers are configured but no address to listen on for them"))
	}
	if c.ClusterListen != "" {
		if _, _, err := splitListen(c.ClusterListen); err != nil {
			problems = append(problems, err)
		}
		if c.ClusterPassword == "" {
			problems = append(problems, errors.New("bus: a clustered node needs a cluster password"))
		}
	}
	for i, peer := range c.Peers {
		if _, err := parsePeer(peer); err != nil {
			problems = append(problems, fmt.Errorf("bus: peer %d %w", i+1, err))
		}
	}
	return c, errors.Join(problems...)
}

func splitListen(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("bus: the address %q to listen on for peers must be host:port", address)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("bus: the address %q to listen on for peers has no valid port", address)
	}
	return host, int(number), nil
}

// parsePeer returns errors that complete the sentence "peer 1 …". They do not
// repeat the address where it may hold a password.
func parsePeer(address string) (*url.URL, error) {
	if strings.Contains(address, "@") {
		return nil, errors.New("must not carry a user or a password: the cluster password is configured by itself")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("must be an address like nats-route://host:port, not %q", address)
	case u.Scheme != routeScheme || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("must be an address like nats-route://host:port, not %q", address)
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
		return nil, fmt.Errorf("must name a port, unlike %q", address)
	}
	return u, nil
}

// serverOptions expects a configuration that withDefaults has passed.
func (c Config) serverOptions(credential localCredential) (*server.Options, error) {
	options := &server.Options{
		ServerName:      c.ServerName,
		Host:            "127.0.0.1",
		DontListen:      true,
		Nkeys:           []*server.NkeyUser{{Nkey: credential.public}},
		MaxPayload:      MaxPayload,
		NoSystemAccount: true,
		NoSigs:          true,
		NoLog:           true,
	}
	if c.ClusterListen == "" {
		return options, nil
	}

	host, port, err := splitListen(c.ClusterListen)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	// Routing starts only once a client listener is open.
	options.DontListen = false
	options.Port = server.RANDOM_PORT
	secret := routeSecret(c.ClusterPassword)
	options.Cluster = server.ClusterOpts{
		Name:           clusterName,
		Host:           host,
		Port:           port,
		Username:       routeUser,
		Password:       secret,
		TLSConfig:      c.ClusterTLS.Clone(),
		ConnectBackoff: true,
		ConnectRetries: learntPeerDials,
		NoAdvertise:    true, // of the client listener; peers still learn of each other
		PoolSize:       -1,   // one connection per peer: hints are few and small
		PingInterval:   routePingInterval,
		MaxPingsOut:    routePingsMissed,
		WriteDeadline:  c.routeWriteDeadline,
		WriteTimeout:   server.WriteTimeoutPolicyClose,
	}
	for _, peer := range c.Peers {
		u, err := parsePeer(peer)
		if err != nil {
			return nil, err
		}
		u.User = url.UserPassword(routeUser, secret)
		options.Routes = append(options.Routes, u)
	}
	return options, nil
}

// routeSecret turns the configured password into what the routes exchange. NATS
// would take a password that looks like a bcrypt hash for one; a digest never
// does, and it keeps the password itself off the wire.
func routeSecret(password string) string {
	digest := sha256.Sum256([]byte("marquee bus route\x00" + password))
	return hex.EncodeToString(digest[:])
}

// localCredential admits this process, and nothing else, to its embedded
// server. It lives as long as the process's connection.
type localCredential struct {
	public string
	sign   func(nonce []byte) ([]byte, error)
}

func newLocalCredential() (localCredential, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return localCredential{}, fmt.Errorf("bus: create the local credential: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return localCredential{}, fmt.Errorf("bus: create the local credential: %w", err)
	}
	return localCredential{public: public, sign: pair.Sign}, nil
}
