package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
)

const (
	// keptSteps and keptBytes bound what an audience remembers of its stream, and so what waits for one of its members.
	keptSteps = 128
	keptBytes = 64 << 10
	// defaultShardMembers are written to by one goroutine, in some milliseconds, before there is another.
	defaultShardMembers = 1000
	// stepsAfterWhole is how many steps somebody who joins may have to apply to a picture that exists.
	stepsAfterWhole = 16
)

// audiences are the shared streams of a [Websocket]: one for each subscription that several clients may share, as long
// as one of them watches.
type audiences struct {
	shardMembers int // members of an audience for which it has one more shard

	mu   sync.Mutex
	open map[audienceKey]*audience
}

// audienceKey is all that the answers of a shared operation depend on. Who asks is no part of it, and neither are the
// headers of the request: a shared operation is executed for nobody and without any.
type audienceKey struct{ query, operation, variables string }

func keyOf(operation *graphql.OperationContext) (audienceKey, error) {
	variables, err := json.Marshal(operation.Variables) // by ascending key, at every depth
	if err != nil {
		return audienceKey{}, fmt.Errorf("encode variables: %w", err)
	}
	return audienceKey{operation.RawQuery, operation.OperationName, string(variables)}, nil
}

// audience is those who share a stream. One goroutine, pull, executes the operation and encodes each event once; the
// members' writes are made by a goroutine for each shard of them, which runs while there is something to write and
// waits for nobody.
//
// Locks are taken in this order: a line's turn, then one of audiences.mu, shard.mu, mu or connection.mu, of which
// nobody holds two.
type audience struct {
	home    *audiences
	key     audienceKey
	sharing *Sharing
	pace    time.Duration // how long a whole picture serves those who join
	cancel  context.CancelFunc
	work    sync.WaitGroup // pull, and the shards' goroutines that it starts
	count   int            // members, guarded by home.mu
	shards  []shard

	mu    sync.Mutex
	past  past
	asked uint64 // the whole picture, by number, that the resolver was last asked for
}

// past is what an audience remembers. A copy of it stays valid: what its slices hold is never written again.
type past struct {
	steps [][]byte // the payloads of the last steps
	first uint64   // number of the first of them; they are numbered from 0
	bytes int      // of all steps

	whole   []byte    // payload of the last whole picture
	wholeAt uint64    // number of the step that follows it
	wholes  uint64    // how many whole pictures there have been
	madeAt  time.Time // when the last one was made
	sound   bool      // whether it was made without an error

	end *ending // nil while the stream goes on
}

// ending is the last message of a stream.
type ending struct {
	kind    string
	payload []byte // nil for none
}

// head is the number of the step that comes next.
func (p *past) head() uint64 { return p.first + uint64(len(p.steps)) }

// serves reports whether the last whole picture can be given to somebody who joins.
func (p *past) serves(pace time.Duration) bool {
	return p.sound && p.head()-p.wholeAt <= stepsAfterWhole && time.Since(p.madeAt) < pace
}

// add appends a step and forgets the oldest beyond the bounds.
func (p *past) add(step []byte) {
	p.steps = append(p.steps, step)
	p.bytes += len(step)
	for len(p.steps) > keptSteps || p.bytes > keptBytes && len(p.steps) > 1 {
		p.bytes -= len(p.steps[0])
		p.steps = p.steps[1:]
		p.first++
	}
}

// A write into a socket costs the kernel some 10 us, so that a round of a large shard takes a processor for tens of
// milliseconds. It leaves room for what the next event needs, and for its clients: busy processors look for what the
// network brings every 10 ms only, idle ones at once.
const (
	// roundPeriod is the least time between the beginnings of two rounds of a shard that does not come to an end.
	roundPeriod = 75 * time.Millisecond
	// breathMembers are written to without a pause.
	breathMembers = 100
	breath        = 200 * time.Microsecond
)

// shard is some of an audience's members.
type shard struct {
	mu      sync.Mutex
	members []*member
	running bool // a goroutine is writing
	again   bool // something has happened since it began
	count   int  // members, those on their way into the list included; guarded by audiences.mu

	batch  []*member // the running goroutine's copy of members, kept for the next
	frames []byte    // and its buffer
}

// member is one operation of a connection that shares a stream.
type member struct {
	audience *audience
	shard    *shard
	place    int // in the shard's list, guarded by its lock
	conn     *connection
	op       *operation
	gone     atomic.Bool // nothing more may be said to it

	// Guarded by the turn of the connection's line.
	head    []byte // {"id":"...","type":"next","payload":
	next    uint64 // number of the step that it needs next
	waiting bool   // for a whole picture
	seen    uint64 // how many whole pictures there had been when the wait began
}

// join makes an operation of a connection a member of the audience of key, which begins with run where there is none.
// Who joins must attach to see the stream, and leave.
func (h *audiences) join(key audienceKey, pace time.Duration, conn *connection, op *operation,
	run func(ctx context.Context, a *audience),
) *member {
	h.mu.Lock()
	a := h.open[key]
	founded := a == nil
	if founded {
		// Nothing of whoever comes first may reach the others: no viewer, no deadline, no end of its connection.
		ctx, cancel := context.WithCancel(context.Background())
		a = &audience{
			home: h, key: key, sharing: newSharing(), pace: pace, cancel: cancel,
			shards: make([]shard, runtime.GOMAXPROCS(0)),
		}
		if h.open == nil {
			h.open = map[audienceKey]*audience{}
		}
		h.open[key] = a
		a.work.Go(func() { run(context.WithValue(ctx, sharingKey{}, a.sharing), a) })
	}
	m := &member{
		audience: a, shard: a.smallestShard(), conn: conn, op: op, waiting: true,
		head: append(op.begin("next", 0), payloadKey...),
	}
	m.shard.count++
	a.count++
	h.mu.Unlock()
	if !founded {
		m.seen = a.look().wholes
	}
	return m
}

// smallestShard is where the next member belongs. An audience uses another shard, and so another processor, only when it
// has the members for it: what is written by one goroutine takes nothing from whoever makes the next event.
func (a *audience) smallestShard() *shard {
	smallest := &a.shards[0]
	for i := range a.shards[:min(len(a.shards), 1+a.count/a.home.shardMembers)] {
		if s := &a.shards[i]; s.count < smallest.count {
			smallest = s
		}
	}
	return smallest
}

// forget makes the next who joins begin another audience.
func (h *audiences) forget(a *audience) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetLocked(a)
}

func (h *audiences) forgetLocked(a *audience) {
	if h.open[a.key] == a {
		delete(h.open, a.key)
	}
}

// attach begins the stream of a member.
func (m *member) attach() {
	s := m.shard
	s.mu.Lock()
	m.place = len(s.members)
	s.members = append(s.members, m)
	s.mu.Unlock()
	past := m.audience.look() // from here on the shard's goroutine knows the member
	if m.gone.Load() {
		m.detach() // it left before it was in the list
	} else if m.conn.line.claim() {
		m.conn.line.push(m.compose(nil, &past))
	}
}

// detach takes a member from its shard's list.
func (m *member) detach() {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.place >= len(s.members) || s.members[m.place] != m {
		return
	}
	last := len(s.members) - 1
	s.members[m.place] = s.members[last]
	s.members[m.place].place = m.place
	s.members[last] = nil
	s.members = s.members[:last]
}

// leave ends a membership: no write to it begins from here on. The audience ends with its last member, and wait, which
// is nil otherwise, returns when nothing of it is left.
func (m *member) leave() (wait func()) {
	m.gone.Store(true)
	m.detach()
	a := m.audience
	a.home.mu.Lock()
	defer a.home.mu.Unlock()
	a.count--
	m.shard.count--
	if a.count > 0 {
		return nil
	}
	a.home.forgetLocked(a)
	a.cancel()
	return a.work.Wait
}

// look returns what the audience remembers.
func (a *audience) look() past {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.past
}

// want asks the resolver for the whole picture that follows the given number of them, once.
func (a *audience) want(wholes uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// The first comes by itself.
	if wholes == 0 || wholes < a.past.wholes || a.asked > wholes {
		return
	}
	a.asked = wholes + 1
	a.sharing.want()
}

// compose appends the frames that a member has not got. The caller has the turn of its line.
func (m *member) compose(dst []byte, past *past) []byte {
	if m.gone.Load() {
		return dst
	}
	if !m.waiting && m.next < past.first {
		// It reads more slowly than things happen. What it has missed is dropped for the picture that it adds up to.
		m.waiting, m.seen = true, past.wholes
	}
	if m.waiting && m.mayBegin(past) {
		dst = appendText(dst, m.head, past.whole, closingBrace)
		m.waiting, m.next = false, past.wholeAt
	}
	if !m.waiting {
		for ; m.next < past.head(); m.next++ {
			dst = appendText(dst, m.head, past.steps[m.next-past.first], closingBrace)
		}
	}
	if past.end != nil {
		dst = m.conclude(dst, past.end)
	}
	return dst
}

var closingBrace = []byte{'}'}

// mayBegin reports whether a member that waits for a whole picture may take the last one. If not, another is asked for.
func (m *member) mayBegin(past *past) bool {
	// Without the steps that follow it a picture is of no use. One that was made during the wait is good in any case,
	// or a resolver that keeps failing would keep everybody waiting.
	if past.wholeAt >= past.first && (past.wholes > m.seen || past.serves(m.audience.pace)) {
		return true
	}
	if past.end == nil {
		m.seen = past.wholes
		m.audience.want(past.wholes)
	}
	return false
}

// conclude appends the last frame, unless the client has freed the id.
func (m *member) conclude(dst []byte, end *ending) []byte {
	m.gone.Store(true)
	if !m.conn.free(m.op) {
		return dst
	}
	last := m.op.begin(end.kind, len(end.payload))
	if end.payload != nil {
		last = append(append(last, payloadKey...), end.payload...)
	}
	return appendText(dst, last, closingBrace)
}

// pull executes the operation once for all members, in a context that prepare, unless nil, has made of ctx, until the
// operation ends or ctx does.
func (a *audience) pull(ctx context.Context, exec graphql.GraphExecutor, operation *graphql.OperationContext,
	prepare func(context.Context) context.Context,
) {
	defer a.cancel()
	defer a.home.forget(a)
	inner := ctx
	defer func() {
		if panicked := recover(); panicked != nil {
			a.finish(failed(recovered(inner, exec, panicked).response))
		}
	}()
	if prepare != nil {
		inner = prepare(inner)
	}
	inner = graphql.WithOperationContext(graphql.StartOperationTrace(inner), operation)
	next, inner := exec.DispatchOperation(inner, operation)
	for {
		response := next(inner)
		switch {
		case ctx.Err() != nil:
			return // nobody is left
		case response == nil && inner.Err() != nil:
			a.finish(failed(ended(inner).response))
			return
		case response == nil:
			a.finish(ending{kind: "complete"})
			return
		case len(response.Data) == 0:
			a.finish(failed(response))
			return
		}
		// What extensions add is about one caller.
		response.Extensions = nil
		payload, err := appendResponse(make([]byte, 0, sizeOf(response)), response)
		if err != nil {
			panic(err)
		}
		a.publish(a.sharing.next(), payload, len(response.Errors) == 0)
	}
}

// failed is the ending of an operation that yields no data.
func failed(response *graphql.Response) ending { return ending{"error", failurePayload(response)} }

// publish remembers an event and starts the writes to those who need it.
func (a *audience) publish(kind EventKind, payload []byte, sound bool) {
	a.mu.Lock()
	p := &a.past
	if p.wholes == 0 {
		kind = Whole
	}
	if kind != Whole {
		p.add(payload)
	}
	if kind != Step {
		p.whole, p.wholeAt, p.madeAt, p.sound = payload, p.head(), time.Now(), sound
		p.wholes++
	}
	a.mu.Unlock()
	a.write()
}

// finish ends the stream of every member. Who joins later begins another audience.
func (a *audience) finish(end ending) {
	a.home.forget(a)
	a.mu.Lock()
	a.past.end = &end
	a.mu.Unlock()
	a.write()
}

// write sends every member what it has not got. It is called by pull alone, so that work cannot end meanwhile.
func (a *audience) write() {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		switch {
		case s.running:
			s.again = true
		case len(s.members) > 0:
			s.running = true
			a.work.Go(func() { s.run(a) })
		}
		s.mu.Unlock()
	}
}

// run writes to the members of a shard until nothing has happened since it began. Events that happen meanwhile leave
// together.
func (s *shard) run(a *audience) {
	for {
		began := time.Now()
		s.mu.Lock()
		s.again = false
		s.batch = append(s.batch[:0], s.members...)
		s.mu.Unlock()

		past := a.look()
		for i, m := range s.batch {
			if i%breathMembers == breathMembers-1 {
				<-time.After(breath)
			}
			if m.conn.line.claim() {
				s.frames = m.compose(s.frames[:0], &past)
				m.conn.line.push(s.frames)
			}
		}
		clear(s.batch)

		s.mu.Lock()
		if !s.again {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		<-time.After(roundPeriod - time.Since(began))
	}
}

// forNobody is an operation without what belongs to the caller who came with it.
func forNobody(operation *graphql.OperationContext) *graphql.OperationContext {
	return &graphql.OperationContext{
		RawQuery: operation.RawQuery, Variables: operation.Variables, OperationName: operation.OperationName,
		Doc: operation.Doc, Operation: operation.Operation, DisableIntrospection: operation.DisableIntrospection,
		RecoverFunc: operation.RecoverFunc, ResolverMiddleware: operation.ResolverMiddleware,
		RootResolverMiddleware: operation.RootResolverMiddleware,
		Stats:                  graphql.Stats{OperationStart: graphql.Now()},
	}
}
