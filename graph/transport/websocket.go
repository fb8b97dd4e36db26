package transport

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"marquee/internal/apperr"
	"marquee/internal/peer"
)

// subprotocol is the only one spoken. The older graphql-ws, which other servers fall back to, is not.
const subprotocol = "graphql-transport-ws"

// Close codes: those of graphql-transport-ws, and the general ones of RFC 6455 and its registry where it has none.
// Clients reconnect with a growing delay after 1012, 1013, 4403 and 4408 and give up after the others.
const (
	closePolicy            = 1008
	closeRestart           = 1012
	closeTryLater          = 1013
	closeInvalidMessage    = 4400
	closeUnauthorized      = 4401
	closeForbidden         = 4403
	closeSubprotocol       = 4406
	closeInitTimeout       = 4408
	closeDuplicateID       = 4409
	closeTooManyInits      = 4429
	closeInternal          = 4500
	maxCloseReason         = 123 // a control frame holds 125 bytes, of which the code takes two
	closeGrace             = time.Second
	maxOperationID         = 128
	messageBurst           = 4 // seconds of messages at once that a client may send after a quiet time
	socketReadBufferBytes  = 1 << 10
	socketWriteBufferBytes = 4 << 10
)

// Defaults of [Websocket].
const (
	DefaultInitTimeout     = 10 * time.Second
	DefaultPingInterval    = 20 * time.Second
	DefaultPongTimeout     = 10 * time.Second
	DefaultWriteTimeout    = 5 * time.Second
	DefaultRecheckInterval = time.Second
	DefaultSharedPace      = 2 * time.Second
	DefaultReadLimit       = 64 << 10
	DefaultMessageRate     = 25
	DefaultMaxOperations   = 10
	DefaultMaxConnections  = 10_000
	DefaultMaxPerUser      = 20
	DefaultMaxPerAddress   = 256
)

// Websocket carries subscriptions and queries over graphql-transport-ws. Mutations are refused: they belong to POST,
// where a lost connection is told to the caller and idempotency keys, audit and rate limits apply.
//
// It closes a socket with 4400 for a message outside the protocol, 4401 for a subscribe before the acknowledgement,
// 4403 when Init or Recheck refuses, 4406 for a client that does not offer the subprotocol, 4408 when connection_init
// is late, 4409 for an id already in use, 4429 for a second connection_init, 1008 for a flood of messages, 1009 for a
// message over ReadLimit, 1012 when the process ends, 1013 when a part of the service is away or the user has too many
// sockets, and without a close frame when the client does not answer pings or does not read. An operation over
// MaxOperations is answered with an error message for its id (code THROTTLED); the socket stays.
//
// The context of an operation descends from the one that Init returned and ends with the operation or the socket.
//
// The zero value is ready for use. A Websocket is used by pointer and not changed once it serves.
type Websocket struct {
	// CheckOrigin decides from the Origin header whether the page that opens the socket may do so; the browser sends
	// its cookies whatever the page. By default the origin must have the host of the request, and a client that sends
	// no Origin, which is no browser, passes.
	CheckOrigin func(r *http.Request) bool

	// Init authenticates connection_init. Its payload, nil when there was none, may carry credentials; r is the
	// upgrade request. The returned context is that of the session; nil stands for the given one. An error closes the
	// socket: with 1013 when its code is UNAVAILABLE or THROTTLED or when it is a deadline, else with 4403.
	Init func(ctx context.Context, payload map[string]any, r *http.Request) (context.Context, error)

	// Recheck is asked every RecheckInterval, with a context that allows one interval, whether the session of ctx
	// still stands. An error closes the socket, as for Init.
	Recheck         func(ctx context.Context) error
	RecheckInterval time.Duration // default 1 s

	// User names the user of a session for MaxPerUser, "" for nobody. By default nobody is known.
	User func(ctx context.Context) string

	// Address names the client of a request for MaxPerAddress. By default it is the address of the peer, of which
	// IPv6 counts by /64, the least that one customer has.
	Address func(r *http.Request) string

	// OperationContext installs what lives as long as one operation, such as a request id or data loaders.
	OperationContext func(ctx context.Context) context.Context

	// Shared reports whether a subscription may share one stream with all others of the same document, operation name
	// and variables, whoever asks: nothing that it selects may depend on the viewer or on the request. It is executed
	// once for all of them, in a context without viewer, headers, deadline or anything else of a caller; its resolver
	// finds a [Sharing] there. Admission stays each operation's own. By default nothing is shared. A Websocket with
	// Shared serves one executor.
	Shared func(*graphql.OperationContext) bool

	// SharedPace is how long the whole picture that was made for one who joined a shared stream serves others who
	// join, with the steps since. Default 2 s.
	SharedPace time.Duration

	// Registry knows the open sockets beside the streams of events. By default a registry of its own, which nothing can drain.
	Registry *Registry

	InitTimeout  time.Duration // from the upgrade to the acknowledgement; default 10 s
	PingInterval time.Duration // between pings; default 20 s
	PongTimeout  time.Duration // how long a ping may go without any message from the client; default 10 s
	WriteTimeout time.Duration // for each message to the client; default 5 s

	ReadLimit   int64 // bytes of one message from the client; default 64 KiB
	MessageRate int   // messages a second from the client, on average; default 25

	// A negative number lifts the bound.
	MaxOperations  int // of one socket at a time; default 10
	MaxConnections int // of the Registry, streams included; more are refused with 503; default 10,000
	MaxPerUser     int // sockets and streams; more are closed with 1013; default 20
	MaxPerAddress  int // sockets and streams; more are refused with 429; default 256

	prepare   sync.Once
	buffers   sync.Pool // write buffers of gorilla, taken for the duration of a write
	audiences audiences
}

var _ graphql.Transport = (*Websocket)(nil)

// Supports reports whether r asks for an upgrade to a websocket.
func (t *Websocket) Supports(r *http.Request) bool {
	return r.Method == http.MethodGet && websocket.IsWebSocketUpgrade(r)
}

// Do upgrades the connection and serves it until it ends.
func (t *Websocket) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	t.prepare.Do(t.setDefaults)
	out := answer{w, r, mediaJSON}
	if !t.CheckOrigin(r) {
		out.reject(reject(http.StatusForbidden, apperr.New(apperr.Forbidden,
			"This site may not open a connection here.")))
		return
	}
	// The server cancels the context of a request only when its handler returns, so that the socket keeps the
	// values alone and ends by a cancel of its own.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	entry, refused := t.Registry.admit(t.Address(r), t.MaxConnections, t.MaxPerAddress, cancel)
	if refused != nil {
		out.reject(refused)
		return
	}
	defer entry.release()

	upgrader := websocket.Upgrader{
		HandshakeTimeout: t.WriteTimeout,
		ReadBufferSize:   socketReadBufferBytes,
		WriteBufferSize:  socketWriteBufferBytes,
		WriteBufferPool:  &t.buffers,
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true },
		Error: func(_ http.ResponseWriter, _ *http.Request, status int, _ error) {
			code := apperr.BadUserInput
			if status >= http.StatusInternalServerError {
				code = apperr.Internal
			}
			out.reject(reject(status, apperr.New(code,
				"The connection cannot be upgraded to a websocket.")).with("Sec-Websocket-Version", "13"))
		},
	}
	taken := &hijackable{ResponseWriter: w, timeout: t.WriteTimeout, cut: cancel}
	socket, err := upgrader.Upgrade(taken, r, nil)
	if err != nil {
		return // answered by upgrader.Error, or the client has gone
	}
	newConnection(ctx, cancel, t, exec, r, socket, taken.line, entry).serve()
}

// setDefaults fills in what was left zero.
func (t *Websocket) setDefaults() {
	if t.CheckOrigin == nil {
		t.CheckOrigin = peer.AllowOrigins(nil)
	}
	if t.Address == nil {
		t.Address = peer.Address(nil)
	}
	if t.Registry == nil {
		t.Registry = &Registry{}
	}
	positive(&t.RecheckInterval, DefaultRecheckInterval)
	positive(&t.SharedPace, DefaultSharedPace)
	positive(&t.InitTimeout, DefaultInitTimeout)
	positive(&t.PingInterval, DefaultPingInterval)
	positive(&t.PongTimeout, DefaultPongTimeout)
	positive(&t.WriteTimeout, DefaultWriteTimeout)
	positive(&t.ReadLimit, DefaultReadLimit)
	fill(&t.audiences.shardMembers, defaultShardMembers)
	fill(&t.MessageRate, DefaultMessageRate)
	fill(&t.MaxOperations, DefaultMaxOperations)
	fill(&t.MaxConnections, DefaultMaxConnections)
	fill(&t.MaxPerUser, DefaultMaxPerUser)
	fill(&t.MaxPerAddress, DefaultMaxPerAddress)
}

// positive sets what is not positive, for settings without which a socket could be held for ever.
func positive[T time.Duration | int64](setting *T, value T) {
	if *setting <= 0 {
		*setting = value
	}
}

// fill sets what is zero.
func fill(setting *int, value int) {
	if *setting == 0 {
		*setting = value
	}
}

// hijackable lets gorilla take over a connection whose writer is wrapped by middleware that only offers Unwrap, and puts
// a line before it.
type hijackable struct {
	http.ResponseWriter

	timeout time.Duration
	cut     context.CancelFunc
	line    *line
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.line = newLine(conn, h.timeout, h.cut)
	return h.line, buffered, nil
}
