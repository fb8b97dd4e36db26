package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/transport"
)

// board is what the shared streams of a test are about: a sum that grows step by step. It stands for the feed of a
// showtime and for its resolver.
type board struct {
	mu      sync.Mutex
	version int
	sum     int
	changed chan struct{} // closed by the next step
	padding string        // of every event
	spoil   bool          // whole events carry an error

	opened atomic.Int32 // executions
	wholes atomic.Int32 // whole events that were executed
	steps  atomic.Int32 // steps that were executed
}

func newBoard() *board { return &board{changed: make(chan struct{})} }

// step adds to the sum.
func (b *board) step(d int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version++
	b.sum += d
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *board) look() (version, sum int, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version, b.sum, b.changed
}

// open is a resolver: a whole event first, then the step to what is the case, and a whole one whenever it is wanted.
func (b *board) open(ctx context.Context, _ string, _ map[string]any) (stream, error) {
	b.opened.Add(1)
	sharing := transport.SharingOf(ctx)
	version, sum := 0, 0
	whole := func(ctx context.Context) (string, bool) {
		b.wholes.Add(1)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.spoil {
			graphql.AddError(ctx, &gqlerror.Error{Message: "spoiled"})
		}
		return fmt.Sprintf(`{"v":%d,"sum":%d,"p":%q}`, version, sum, b.padding), true
	}
	first := true
	return func(ctx context.Context) (string, bool) {
		if first {
			first = false
			version, sum, _ = b.look()
			sharing.Announce(transport.Whole)
			return whole(ctx)
		}
		for {
			v, s, changed := b.look()
			if v > version {
				event := fmt.Sprintf(`{"f":%d,"v":%d,"d":%d,"p":%q}`, version, v, s-sum, b.padding)
				version, sum = v, s
				b.steps.Add(1)
				sharing.Announce(transport.Step)
				return event, true
			}
			select {
			case <-changed:
			case <-sharing.Wanted():
				sharing.Announce(transport.Whole)
				return whole(ctx)
			case <-ctx.Done():
				return "", false
			}
		}
	}, nil
}

// shared makes all subscriptions of a server those of the board.
func (b *board) shared(_ *executor.Executor, s *schema) { s.open = b.open }

func sharing(socket *transport.Websocket) *transport.Websocket {
	socket.Shared = func(*graphql.OperationContext) bool { return true }
	if socket.SharedPace == 0 {
		socket.SharedPace = time.Hour
	}
	return socket
}

// follower is what a client makes of a board's stream.
type follower struct {
	*client
	id             string
	version, sum   int
	begun          bool
	wholes, deltas int
}

func (c *client) follow(id string) *follower {
	c.subscribe(id, "subscription{ticks}")
	return &follower{client: c, id: id}
}

// next takes in one message, and fails when it does not follow from those before.
func (f *follower) next() error {
	text, err := f.receive()
	if err != nil {
		return err
	}
	var message struct {
		ID, Type string
		Payload  struct {
			Data struct {
				Ticks struct{ F, V, Sum, D *int }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &message); err != nil || message.ID != f.id || message.Type != "next" {
		return fmt.Errorf("received %.200s (%w)", text, err)
	}
	switch event := message.Payload.Data.Ticks; {
	case event.Sum != nil:
		if f.begun && *event.V < f.version {
			return fmt.Errorf("the picture of version %d follows version %d", *event.V, f.version)
		}
		f.begun, f.version, f.sum = true, *event.V, *event.Sum
		f.wholes++
	case !f.begun:
		return fmt.Errorf("the first message is a step: %.200s", text)
	case *event.F != f.version:
		return fmt.Errorf("a step from version %d follows version %d", *event.F, f.version)
	default:
		f.version = *event.V
		f.sum += *event.D
		f.deltas++
	}
	return nil
}

// until takes in messages until the version is reached.
func (f *follower) until(version int) error {
	for !f.begun || f.version < version {
		if err := f.next(); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) mustReach(version, sum int) {
	f.t.Helper()
	if err := f.until(version); err != nil {
		f.t.Fatal(err)
	}
	if f.version != version || f.sum != sum {
		f.t.Fatalf("has version %d with %d, want version %d with %d", f.version, f.sum, version, sum)
	}
}

func TestWebsocket_Shared_one_execution_serves_all(t *testing.T) {
	const n = 100
	b := newBoard()
	s := newSockets(t, transport.WithShards(sharing(&transport.Websocket{MaxPerAddress: -1}), 10), b.shared)
	followers := make([]*follower, n)
	for i := range followers {
		followers[i] = s.begin(t).follow(fmt.Sprint("id-", i))
		followers[i].mustReach(0, 0)
	}
	for version := 1; version <= 3; version++ {
		b.step(10)
		for _, f := range followers {
			f.mustReach(version, 10*version)
		}
	}
	if opened, wholes, steps := b.opened.Load(), b.wholes.Load(), b.steps.Load(); opened != 1 || wholes != 1 || steps != 3 {
		t.Errorf("%d operations, %d pictures and %d steps were executed for %d clients, want 1, 1 and 3", opened, wholes, steps, n)
	}
	// Who joins later begins with the picture that exists and the steps since.
	late := s.begin(t).follow("late")
	late.mustReach(3, 30)
	if late.wholes != 1 || late.deltas != 3 || b.wholes.Load() != 1 {
		t.Errorf("got %d pictures and %d steps; %d were executed", late.wholes, late.deltas, b.wholes.Load())
	}
}

func TestWebsocket_Shared_two_operations_of_a_socket(t *testing.T) {
	b := newBoard()
	s := newSockets(t, sharing(&transport.Websocket{}), b.shared)
	c := s.begin(t)
	c.follow("a").mustReach(0, 0)
	c.follow("b").mustReach(0, 0)
	c.send(`{"id":"a","type":"complete"}`)
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
	b.step(1)
	c.want(nextMessage("b", `{"ticks":{"f":0,"v":1,"d":1,"p":""}}`))
	if opened := b.opened.Load(); opened != 1 {
		t.Errorf("%d operations were executed", opened)
	}
}

// TestWebsocket_Shared_no_gap lets clients join, leave and join again while steps are taken, and holds what each has
// against every message it gets.
func TestWebsocket_Shared_no_gap(t *testing.T) {
	for name, pace := range map[string]time.Duration{"pictures_are_reused": time.Hour, "pictures_are_made_for_each_wait": 1} {
		t.Run(name, func(t *testing.T) {
			const clients, rounds, enough = 40, 4, 25
			b := newBoard()
			socket := sharing(&transport.Websocket{MaxPerAddress: -1, MessageRate: -1, SharedPace: pace})
			s := newSockets(t, transport.WithShards(socket, 10), b.shared)
			stop, stepping := make(chan struct{}), sync.WaitGroup{}
			stepping.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						b.step(rand.IntN(100) - 50)
					}
				}
			})
			sockets := make([]*client, clients)
			for i := range sockets {
				sockets[i] = s.begin(t)
			}
			var joining sync.WaitGroup
			last := make([]*follower, clients)
			for i, c := range sockets {
				joining.Go(func() {
					for round := range rounds {
						f := c.follow(fmt.Sprint("round-", round))
						for range enough + i {
							if err := f.next(); err != nil {
								t.Error(err)
								return
							}
						}
						if round == rounds-1 {
							last[i] = f
							return
						}
						c.send(fmt.Sprintf(`{"id":%q,"type":"complete"}`, f.id))
						c.send(`{"type":"ping"}`)
						for { // what was on its way
							if text, err := c.receive(); err != nil || text == `{"type":"pong"}` {
								break
							}
						}
					}
				})
			}
			joining.Wait()
			close(stop)
			stepping.Wait()
			if t.Failed() {
				return
			}
			b.step(1)
			version, sum, _ := b.look()
			for _, f := range last {
				f.mustReach(version, sum)
			}
		})
	}
}

func TestWebsocket_Shared_what_is_the_same(t *testing.T) {
	b := newBoard()
	s := newSockets(t, sharing(&transport.Websocket{MaxOperations: -1}), b.shared)
	c := s.begin(t)
	for i, test := range []struct {
		payload string
		opened  int32
	}{
		{`{"query":"subscription A($times:Int){ticks(times:$times)}","variables":{"times":1}}`, 1},
		{`{"query":"subscription A($times:Int){ticks(times:$times)}","variables":{"times":1},"operationName":"A"}`, 2},
		{`{"query":"subscription A($times:Int){ticks(times:$times)}","variables":{"times":2}}`, 3},
		{`{"query":"subscription A($times:Int){ticks(times:$times) }","variables":{"times":1}}`, 4},
		{`{"query":"subscription A($times:Int){ticks(times:$times)}","variables":{"times":1},"extensions":{"a":1}}`, 4},
		{`{"query":"subscription A($times:Int){ticks(times:$times)}","variables":{"unknown":1,"times":1}}`, 4},
	} {
		c.send(fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":%s}`, i, test.payload))
		if text, err := c.receive(); err != nil || !strings.HasPrefix(text, fmt.Sprintf(`{"id":"%d","type":"next"`, i)) {
			t.Fatalf("received %s (%v)", text, err)
		}
		if opened := b.opened.Load(); opened != test.opened {
			t.Errorf("%d operations were executed after %s, want %d", opened, test.payload, test.opened)
		}
	}
}

func TestWebsocket_Shared_only_where_it_is_allowed(t *testing.T) {
	b := newBoard()
	socket := &transport.Websocket{Shared: func(operation *graphql.OperationContext) bool { return operation.OperationName == "shared" }}
	s := newSockets(t, socket, b.shared)
	c := s.begin(t)
	for i := range 3 {
		c.follow(fmt.Sprint("own-", i)).mustReach(0, 0)
	}
	if opened := b.opened.Load(); opened != 3 {
		t.Errorf("%d operations were executed for three that share nothing", opened)
	}
	c.subscribe("query", "query shared{hello}")
	c.want(nextMessage("query", `{"hello":"world"}`))
	c.want(completeMessage("query"))
}

// TestWebsocket_Shared_nothing_of_a_caller_reaches_the_others: whoever comes first, the execution is nobody's.
func TestWebsocket_Shared_nothing_of_a_caller_reaches_the_others(t *testing.T) {
	type key struct{}
	b := newBoard()
	seen := make(chan context.Context, 1)
	s := newSockets(t, sharing(&transport.Websocket{
		Init: func(ctx context.Context, _ map[string]any, _ *http.Request) (context.Context, error) {
			return context.WithValue(ctx, key{}, "ann"), nil
		},
		OperationContext: func(ctx context.Context) context.Context {
			return context.WithValue(ctx, key{}, fmt.Sprint(ctx.Value(key{}), "'s operation"))
		},
	}), func(exec *executor.Executor, schema *schema) {
		schema.open = func(ctx context.Context, field string, arguments map[string]any) (stream, error) {
			seen <- ctx
			return b.open(ctx, field, arguments)
		}
		exec.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
			response := next(ctx)
			if response != nil {
				response.Extensions = map[string]any{"account": "ann's"}
			}
			return response
		})
	})
	first, _ := s.dialWith(t, dialer(), http.Header{"Cookie": {"session=1"}})
	first.send(`{"type":"connection_init"}`)
	first.want(`{"type":"connection_ack"}`)
	first.subscribe("a", "subscription{ticks}")
	first.want(nextMessage("a", `{"ticks":{"v":0,"sum":0,"p":""}}`))
	ctx := <-seen
	if value := ctx.Value(key{}); value != "<nil>'s operation" {
		t.Errorf("the execution sees %v", value)
	}
	if operation := graphql.GetOperationContext(ctx); operation.Headers != nil || operation.Extensions != nil {
		t.Errorf("the execution sees the headers %v and the extensions %v", operation.Headers, operation.Extensions)
	}
	second := s.begin(t).follow("b")
	second.mustReach(0, 0)
	_ = first.Close()
	eventually(t, "the end of the first socket", func() bool {
		b.step(1)
		version, sum, _ := b.look()
		second.mustReach(version, sum)
		return ctx.Err() == nil && version > 3
	})
}

func TestWebsocket_Shared_each_is_admitted_by_itself(t *testing.T) {
	b := newBoard()
	var admitted atomic.Int32
	s := newSockets(t, sharing(&transport.Websocket{MaxOperations: 2}), b.shared, func(exec *executor.Executor, _ *schema) {
		exec.Use(turnstile{&admitted, 5})
	})
	c, d := s.begin(t), s.begin(t)
	c.follow("1").mustReach(0, 0)
	c.follow("2").mustReach(0, 0)
	c.follow("3")
	c.want(errorMessage("3", throttled, "THROTTLED"))
	c.send(`{"id":"1","type":"complete"}`)
	c.follow("4").mustReach(0, 0)
	d.follow("1").mustReach(0, 0)
	d.follow("2").mustReach(0, 0)
	d.send(`{"id":"1","type":"complete"}`)
	d.follow("3")
	d.want(errorMessage("3", "full", "THROTTLED"))
	if opened := b.opened.Load(); opened != 1 {
		t.Errorf("%d operations were executed", opened)
	}
}

// turnstile is an extension that admits a number of operations.
type turnstile struct {
	admitted *atomic.Int32
	most     int32
}

func (turnstile) ExtensionName() string { return "Turnstile" }

func (turnstile) Validate(graphql.ExecutableSchema) error { return nil }

func (l turnstile) MutateOperationContext(context.Context, *graphql.OperationContext) *gqlerror.Error {
	if l.admitted.Add(1) > l.most {
		return &gqlerror.Error{Message: "full", Extensions: map[string]any{"code": "THROTTLED"}}
	}
	return nil
}

func TestWebsocket_Shared_ends_with_the_last_member(t *testing.T) {
	for name, leave := range map[string]func(*follower){
		"by_complete":     func(f *follower) { f.send(fmt.Sprintf(`{"id":%q,"type":"complete"}`, f.id)) },
		"by_going":        func(f *follower) { _ = f.Close() },
		"by_being_closed": func(f *follower) { f.send(`{"type":"connection_init"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard()
			contexts := make(chan context.Context, 2)
			s := newSockets(t, sharing(&transport.Websocket{}), func(_ *executor.Executor, schema *schema) {
				schema.open = func(ctx context.Context, field string, arguments map[string]any) (stream, error) {
					contexts <- ctx
					return b.open(ctx, field, arguments)
				}
			})
			first, second := s.begin(t).follow("a"), s.begin(t).follow("b")
			first.mustReach(0, 0)
			second.mustReach(0, 0)
			ctx := <-contexts
			leave(first)
			b.step(1)
			second.mustReach(1, 1)
			if ctx.Err() != nil {
				t.Fatal("the stream has ended while one member was left")
			}
			leave(second)
			(&source{ctx: ctx}).mustEnd(t)

			third := s.begin(t).follow("c")
			third.mustReach(1, 1)
			if <-contexts == ctx || third.deltas != 0 {
				t.Error("the stream that has ended was joined")
			}
		})
	}
}

func TestWebsocket_Shared_stream_that_ends(t *testing.T) {
	s := newSockets(t, sharing(&transport.Websocket{}))
	c, d := s.begin(t), s.begin(t)
	c.subscribe("a", "subscription{ticks}")
	from := s.next(t)
	from.feed(t, "1")
	c.want(nextMessage("a", `{"ticks":1}`))
	d.subscribe("b", "subscription{ticks}") // an event that nobody announced is whole, and for everybody
	d.want(nextMessage("b", `{"ticks":1}`))
	from.feed(t, "2")
	c.want(nextMessage("a", `{"ticks":2}`))
	d.want(nextMessage("b", `{"ticks":2}`))
	close(from.events)
	c.want(completeMessage("a"))
	d.want(completeMessage("b"))

	c.subscribe("a", "subscription{ticks}") // the id is free again, and the stream another
	again := s.next(t)
	again.feed(t, "3")
	c.want(nextMessage("a", `{"ticks":3}`))
}

func TestWebsocket_Shared_stream_that_fails(t *testing.T) {
	fail := make(chan struct{})
	s := newSockets(t, sharing(&transport.Websocket{}), func(_ *executor.Executor, schema *schema) {
		schema.open = func(_ context.Context, field string, _ map[string]any) (stream, error) {
			if field == "failing" {
				return nil, errors.New("no source")
			}
			events := 0
			return func(context.Context) (string, bool) {
				if events++; events > 1 {
					<-fail
					panic("a secret")
				}
				return "1", true
			}, nil
		}
	})
	c, d := s.begin(t), s.begin(t)
	c.subscribe("a", "subscription{failing}")
	c.want(`{"id":"a","type":"error","payload":[{"message":"no source"}]}`)
	c.subscribe("a", "subscription{panicking}")
	c.want(nextMessage("a", `{"panicking":1}`))
	d.subscribe("b", "subscription{panicking}")
	d.want(nextMessage("b", `{"panicking":1}`))
	close(fail)
	c.want(errorMessage("a", "masked", "INTERNAL"))
	d.want(errorMessage("b", "masked", "INTERNAL"))
}

func TestWebsocket_Shared_panic_before_the_execution(t *testing.T) {
	first := true
	s := newSockets(t, sharing(&transport.Websocket{OperationContext: func(ctx context.Context) context.Context {
		if !first { // the first call is for the operation's own admission
			panic("a secret")
		}
		first = false
		return ctx
	}}))
	c := s.begin(t)
	c.subscribe("a", "subscription{ticks}")
	c.want(errorMessage("a", "masked", "INTERNAL"))
}

func TestWebsocket_Shared_picture_with_an_error_serves_only_those_who_waited(t *testing.T) {
	b := newBoard()
	b.spoil = true
	s := newSockets(t, sharing(&transport.Websocket{}), b.shared)
	s.begin(t).follow("a").mustReach(0, 0)
	b.mu.Lock()
	b.spoil = false
	b.mu.Unlock()
	c := s.begin(t)
	c.subscribe("b", "subscription{ticks}")
	c.want(nextMessage("b", `{"ticks":{"v":0,"sum":0,"p":""}}`))
	s.begin(t).follow("c").mustReach(0, 0)
	if wholes := b.wholes.Load(); wholes != 2 {
		t.Errorf("%d pictures were executed, want the spoiled one and another", wholes)
	}
}

func TestWebsocket_Shared_session_that_ends_ends_only_its_own(t *testing.T) {
	b := newBoard()
	verdicts := make(chan error)
	type key struct{}
	s := newSockets(t, sharing(&transport.Websocket{
		RecheckInterval: 5 * time.Millisecond,
		Init: func(ctx context.Context, payload map[string]any, _ *http.Request) (context.Context, error) {
			return context.WithValue(ctx, key{}, payload["user"]), nil
		},
		Recheck: func(ctx context.Context) error {
			if ctx.Value(key{}) != "ann" {
				return nil
			}
			return <-verdicts
		},
	}), b.shared)
	ann := s.dial(t)
	ann.send(`{"type":"connection_init","payload":{"user":"ann"}}`)
	ann.want(`{"type":"connection_ack"}`)
	f, other := ann.follow("a"), s.begin(t).follow("b")
	f.mustReach(0, 0)
	other.mustReach(0, 0)
	verdicts <- nil
	b.step(1)
	f.mustReach(1, 1)
	verdicts <- errPanic
	ann.wantClose(4403, "Forbidden")
	other.mustReach(1, 1)
	b.step(1)
	other.mustReach(2, 2)
}
