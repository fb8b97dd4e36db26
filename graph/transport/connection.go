package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"marquee/internal/apperr"
)

var (
	errFlood    = errors.New("the client sends too many messages")
	errPanicked = errors.New("a callback panicked")
)

// connection is one socket that speaks graphql-transport-ws.
//
// Its goroutines are the reader, which is the goroutine of the HTTP handler and owns the protocol's state, the keeper,
// which owns everything that happens by time, and one per operation, which pulls that operation's events and writes
// each before it asks for the next. An operation that shares a stream needs no goroutine: its audience writes. Three
// contexts end them: ctx with the TCP connection, base when closing begins, and session, that of Init, with base.
type connection struct {
	*Websocket
	exec    graphql.GraphExecutor
	request *http.Request
	socket  *websocket.Conn
	line    *line // what socket writes to
	entry   *entry
	inbound allowance

	ctx     context.Context
	cut     context.CancelFunc
	base    context.Context
	endBase context.CancelFunc

	initialised bool            // reader only
	session     context.Context // written before acknowledged is closed
	// acknowledged is closed when the session begins.
	acknowledged chan struct{}

	group sync.WaitGroup

	mu         sync.Mutex
	closing    bool
	operations map[string]*operation // those whose id is taken
	running    int                   // goroutines of operations; more than len(operations) while cancelled ones end
}

func newConnection(
	ctx context.Context, cut context.CancelFunc, t *Websocket, exec graphql.GraphExecutor,
	r *http.Request, socket *websocket.Conn, line *line, entry *entry,
) *connection {
	c := &connection{
		Websocket: t, exec: exec, request: r, socket: socket, line: line, entry: entry, ctx: ctx, cut: cut,
		inbound:      newAllowance(t.MessageRate),
		acknowledged: make(chan struct{}), operations: map[string]*operation{},
	}
	c.base, c.endBase = context.WithCancel(ctx)
	line.backlog, line.spawn = c.backlog, c.group.Go
	socket.SetReadLimit(t.ReadLimit)
	countControl := func(respond func(string) error) func(string) error {
		return func(data string) error {
			if !c.inbound.take(time.Now()) {
				return errFlood
			}
			return respond(data)
		}
	}
	socket.SetPingHandler(countControl(socket.PingHandler()))
	socket.SetPongHandler(countControl(socket.PongHandler()))
	return c
}

// serve runs the connection until it has ended and nothing of it is left.
func (c *connection) serve() {
	stop := context.AfterFunc(c.ctx, func() { _ = c.socket.Close() })
	defer func() {
		c.mu.Lock()
		c.closing = true
		c.mu.Unlock()
		c.end()
		c.cut()
		stop()
		_ = c.socket.Close()
		c.line.shut() // and so nothing joins the group from outside any more
		c.group.Wait()
	}()
	c.group.Go(c.keep)
	if c.socket.Subprotocol() != subprotocol {
		c.close(closeSubprotocol, "Subprotocol not acceptable: offer "+subprotocol)
	}
	for {
		kind, data, err := c.read()
		switch {
		case err != nil:
			c.readFailed(err)
			return
		case c.isClosing():
			// Reading goes on for the peer's close frame: a connection closed with unread data is reset, which can
			// overtake our close frame.
		case !c.inbound.take(time.Now()):
			c.close(closePolicy, "Too many messages")
		case kind != websocket.TextMessage:
			c.close(closeInvalidMessage, "Invalid message received")
		default:
			c.receive(data)
		}
	}
}

// read returns the next message.
func (c *connection) read() (kind int, data []byte, err error) {
	kind, reader, err := c.socket.NextReader()
	if err != nil {
		return 0, nil, err
	}
	// A message that has begun must end soon, or a train of empty fragments would keep the reader busy for ever.
	c.expect(c.WriteTimeout)
	if data, err = io.ReadAll(reader); err != nil {
		return 0, nil, err
	}
	c.expectMessage()
	return kind, data, nil
}

// expectMessage gives the client until the deadline of the next pong. Before the acknowledgement the keeper's timer
// rules.
func (c *connection) expectMessage() {
	select {
	case <-c.acknowledged:
		c.expect(c.PingInterval + c.PongTimeout)
	default:
		c.expect(0)
	}
}

// expect sets the time until which the client must have sent more, none for 0. Once closing has begun the grace for
// the peer's close frame rules.
func (c *connection) expect(within time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	var deadline time.Time
	if within > 0 {
		deadline = time.Now().Add(within)
	}
	_ = c.socket.SetReadDeadline(deadline)
}

// readFailed ends what follows an error of reading, after which gorilla reads no more.
func (c *connection) readFailed(err error) {
	switch timeout := net.Error(nil); {
	case errors.Is(err, errFlood):
		c.close(closePolicy, "Too many messages")
	case errors.As(err, new(*websocket.CloseError)), errors.As(err, &timeout) && timeout.Timeout():
		return
	}
	// What is left is a connection that is gone, for which the following costs nothing, or a peer that broke the
	// framing, the read limit or the rate and was told so by a close frame. Closing over its unread data would reset
	// the connection and lose that frame.
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.end()
	_ = c.line.CloseWrite()
	_ = c.line.SetReadDeadline(time.Now().Add(closeGrace))
	_, _ = io.Copy(io.Discard, c.line)
}

// end stops every operation, once closing is set.
func (c *connection) end() {
	c.line.muted.Store(true)
	c.endBase()
	c.mu.Lock()
	var shared []*member
	for _, op := range c.operations {
		if op.member != nil {
			shared = append(shared, op.member)
			op.member = nil
		}
	}
	c.mu.Unlock()
	for _, m := range shared {
		c.leave(m)
	}
}

// leave ends a membership. What ends with the last member ends before the connection.
func (c *connection) leave(m *member) {
	if wait := m.leave(); wait != nil {
		c.group.Go(wait)
	}
}

// keep does what is due by time and ends when closing begins.
func (c *connection) keep() {
	initDue := time.NewTimer(c.InitTimeout)
	defer initDue.Stop()
	// The first of each falls at random within its interval, so that sockets that reconnected together spread out.
	ping := newPulse(c.PingInterval)
	defer ping.Stop()
	recheck := newPulse(c.RecheckInterval)
	defer recheck.Stop()

	var (
		acknowledged    = c.acknowledged
		sessionEnded    <-chan struct{}
		pings, rechecks <-chan time.Time
	)
	for {
		select {
		case <-c.base.Done():
			return
		case <-c.entry.restart:
			c.close(closeRestart, "Service restart")
		case <-c.request.Context().Done():
			c.close(closeRestart, "Service restart")
		case <-sessionEnded:
			c.close(closeForbidden, "Session ended")
		case <-acknowledged:
			acknowledged = nil
			initDue.Stop()
			sessionEnded, pings = c.session.Done(), ping.C
			if c.Recheck != nil {
				rechecks = recheck.C
			}
		case <-initDue.C:
			select {
			case <-c.acknowledged:
			default:
				c.close(closeInitTimeout, "Connection initialisation timeout")
			}
		case <-pings:
			// A line that somebody else has the turn of is being written to, or cut: it needs no ping, and a client that
			// does not read must not keep its session from being looked at.
			if c.line.claim() {
				c.line.push(appendText(nil, []byte(`{"type":"ping"}`)))
			}
			ping.Reset(c.PingInterval)
		case <-rechecks:
			if err := c.recheck(); err != nil {
				c.refuse(err)
			}
			recheck.Reset(c.RecheckInterval)
		}
	}
}

// newPulse is a timer that first fires at random within the interval.
func newPulse(interval time.Duration) *time.Timer { return time.NewTimer(rand.N(interval)) }

// recheck asks whether the session still stands.
func (c *connection) recheck() (err error) {
	ctx, cancel := context.WithTimeout(c.session, c.RecheckInterval)
	defer cancel()
	defer func() {
		if c.caught(recover()) {
			err = errPanicked
		}
	}()
	return c.Recheck(ctx)
}

// caught reports whether a callback of the configuration panicked, and lets the executor's recover function see it.
func (c *connection) caught(panicked any) bool {
	if panicked == nil {
		return false
	}
	recovered(c.base, c.exec, panicked)
	return true
}

// receive acts on one message.
func (c *connection) receive(data []byte) {
	value, err := decodeJSON(data)
	message, ok := value.(map[string]any)
	if err != nil || !ok {
		c.close(closeInvalidMessage, "Invalid message received")
		return
	}
	switch kind, _ := message["type"].(string); kind {
	case "connection_init":
		c.initialise(message)
	case "ping":
		c.pong(message)
	case "pong":
	case "subscribe":
		c.subscribe(message)
	case "complete":
		c.complete(message)
	default:
		c.close(closeInvalidMessage, "Invalid message type")
	}
}

// initialise answers connection_init. It runs in the reader: what a client sends before it may is read afterwards.
func (c *connection) initialise(message map[string]any) {
	if c.initialised {
		c.close(closeTooManyInits, "Too many initialisation requests")
		return
	}
	c.initialised = true
	payload, invalid := objectParam(message, "payload")
	if invalid != nil {
		c.close(closeInvalidMessage, "Invalid message received")
		return
	}
	session, user, err := c.authenticate(payload)
	if err != nil {
		c.refuse(err)
		return
	}
	if !c.entry.identify(user, c.MaxPerUser) {
		c.close(closeTryLater, "Too many connections")
		return
	}
	session, end := context.WithCancel(session)
	context.AfterFunc(c.base, end) // Init may have returned a context of other descent
	c.session = session
	close(c.acknowledged)
	c.expectMessage()
	c.send([]byte(`{"type":"connection_ack"}`))
}

// authenticate begins the session that a connection_init asks for.
func (c *connection) authenticate(payload map[string]any) (session context.Context, user string, err error) {
	defer func() {
		if c.caught(recover()) {
			err = errPanicked
		}
	}()
	if c.Init != nil {
		if session, err = c.Init(c.base, payload, c.request); err != nil {
			return nil, "", err
		}
	}
	if session == nil {
		session = c.base
	}
	if c.User != nil {
		user = c.User(session)
	}
	return session, user, nil
}

// refuse closes the connection when its session is refused or does not stand any more.
func (c *connection) refuse(err error) {
	switch code := apperr.CodeOf(err); {
	case errors.Is(err, errPanicked):
		c.close(closeInternal, "Internal server error")
	case code == apperr.Unavailable, code == apperr.Throttled, errors.Is(err, context.DeadlineExceeded):
		c.close(closeTryLater, "Try again later")
	default:
		c.close(closeForbidden, "Forbidden")
	}
}

// pong answers a ping with its payload.
func (c *connection) pong(message map[string]any) {
	payload, invalid := objectParam(message, "payload")
	if invalid != nil {
		c.close(closeInvalidMessage, "Invalid message received")
		return
	}
	if payload == nil {
		c.send([]byte(`{"type":"pong"}`))
		return
	}
	c.send(append(append([]byte(`{"type":"pong","payload":`), encoded(payload)...), '}'))
}

// complete cancels an operation. One that has just ended, and so is not known any more, is no mistake of the client.
func (c *connection) complete(message map[string]any) {
	id, ok := message["id"].(string)
	if !ok {
		c.close(closeInvalidMessage, "Invalid message received")
		return
	}
	c.mu.Lock()
	op := c.operations[id]
	delete(c.operations, id)
	var shared *member
	if op != nil {
		shared, op.member = op.member, nil
	}
	c.mu.Unlock()
	if op != nil {
		op.cancel()
	}
	if shared != nil {
		c.leave(shared)
	}
}

// send sends a message within the write timeout, or ends the connection.
func (c *connection) send(message []byte) {
	c.line.message(appendText(nil, message), func() bool { return true })
}

func (c *connection) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// close begins the end of the connection: no message but the close frame is sent from here on, every operation is
// cancelled, and the peer has a moment to answer. Only the first call counts.
func (c *connection) close(code int, reason string) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	// The reader must end even if the close frame cannot be written.
	_ = c.socket.SetReadDeadline(time.Now().Add(c.WriteTimeout + closeGrace))
	c.mu.Unlock()
	c.end()
	frame := websocket.FormatCloseMessage(code, truncate(reason, maxCloseReason))
	if err := c.socket.WriteControl(websocket.CloseMessage, frame, time.Now().Add(c.WriteTimeout)); err != nil {
		c.cut()
		return
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(closeGrace))
}

// encoded is the JSON of a value that cannot fail to have one: text, or what JSON was decoded to.
func encoded(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}

// truncate cuts text to at most limit bytes, between characters.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return strings.Clone(text[:limit])
}

// allowance bounds the messages of a client to a rate with bursts (the generic cell rate algorithm). It belongs to one
// goroutine.
type allowance struct {
	cost, burst time.Duration
	due         time.Time // when all messages so far are paid for
}

func newAllowance(perSecond int) allowance {
	if perSecond < 0 {
		return allowance{}
	}
	return allowance{cost: time.Second / time.Duration(perSecond), burst: messageBurst * time.Second}
}

// take reports whether one more message is within the allowance.
func (a *allowance) take(now time.Time) bool {
	if a.due.Before(now) {
		a.due = now
	}
	if a.due.Sub(now) > a.burst {
		return false
	}
	a.due = a.due.Add(a.cost)
	return true
}
