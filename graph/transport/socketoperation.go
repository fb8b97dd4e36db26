package transport

import (
	"context"
	"encoding/json"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// operation is one subscribe message being served.
type operation struct {
	id     string
	head   []byte // {"id":"...","type":
	ctx    context.Context
	cancel context.CancelFunc
	member *member // where the operation shares a stream; guarded by the connection's mu
}

// subscribe begins an operation.
func (c *connection) subscribe(message map[string]any) {
	select {
	case <-c.acknowledged:
	default:
		c.close(closeUnauthorized, "Unauthorized")
		return
	}
	id, _ := message["id"].(string)
	payload, _ := message["payload"].(map[string]any)
	if id == "" || len(id) > maxOperationID || payload == nil {
		c.close(closeInvalidMessage, "Invalid message received")
		return
	}
	start := graphql.Now()
	raw, invalid := params(payload)
	if invalid != nil {
		c.close(closeInvalidMessage, invalid.Message)
		return
	}
	raw.Headers = c.request.Header
	raw.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}

	op := &operation{id: id, head: append(append([]byte(`{"id":`), encoded(id)...), `,"type":`...)}
	op.ctx, op.cancel = context.WithCancel(c.session)
	switch c.register(op) {
	case registered:
		c.group.Go(func() { c.run(op, raw) })
		return
	case duplicate:
		c.close(closeDuplicateID, "Subscriber for "+id+" already exists")
	case tooMany:
		c.send(op.failure(present(c.contextOf(op), c.exec, gqlerror.List{toGraphQL(apperr.Throttle(time.Second,
			"This connection runs as many operations as it may: complete one first."))})))
	}
	op.cancel()
}

// contextOf is the context in which an operation is served.
func (c *connection) contextOf(op *operation) context.Context {
	ctx := op.ctx
	if c.OperationContext != nil {
		ctx = c.OperationContext(ctx)
	}
	return graphql.StartOperationTrace(ctx)
}

type registration int

const (
	registered registration = iota
	duplicate
	tooMany
)

// register takes the id of an operation. Operations that the client has completed but that have not ended yet count
// against a second allowance of the same size, or a client could pile them up.
func (c *connection) register(op *operation) registration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.operations[op.id]; taken {
		return duplicate
	}
	if limit := c.MaxOperations; limit >= 0 && (len(c.operations) >= limit || c.running >= 2*limit) {
		return tooMany
	}
	c.operations[op.id] = op
	c.running++
	return registered
}

// run serves an operation from its parameters to its last message.
func (c *connection) run(op *operation, raw *graphql.RawParams) {
	ctx := op.ctx
	shared := false
	defer func() {
		if panicked := recover(); panicked != nil {
			c.finish(op, op.failure(recovered(ctx, c.exec, panicked).response))
		}
		if !shared {
			c.finish(op, nil)
		}
		op.cancel()
		c.mu.Lock()
		c.running--
		c.mu.Unlock()
	}()

	ctx = c.contextOf(op)
	ctx, admitted, refused := admit(ctx, c.exec, raw, refuseMutation)
	if refused != nil {
		c.finish(op, op.failure(refused.response))
		return
	}
	if c.Shared != nil && admitted.Operation.Operation == ast.Subscription && c.Shared(admitted) {
		shared = c.share(op, admitted)
		return
	}
	next, ctx := c.exec.DispatchOperation(ctx, admitted)
	for {
		response := next(ctx)
		switch {
		case op.ctx.Err() != nil:
			return // told by the client, or by the end of the connection: nobody waits for a message
		case response == nil && ctx.Err() != nil:
			c.finish(op, op.failure(ended(ctx).response))
			return
		case response == nil:
			c.finish(op, append(op.begin("complete", 0), '}'))
			return
		case len(response.Data) == 0:
			c.finish(op, op.failure(response))
			return
		}
		frame, err := appendResponse(append(op.begin("next", sizeOf(response)), payloadKey...), response)
		if err != nil {
			panic(err)
		}
		if !c.deliver(op, append(frame, '}')) {
			return
		}
		if admitted.Operation.Operation != ast.Subscription {
			// All there is; an extension may have ended the context of the operation with its only response.
			c.finish(op, append(op.begin("complete", 0), '}'))
			return
		}
	}
}

// share makes an operation one of those that share a stream. It reports whether the operation goes on.
func (c *connection) share(op *operation, admitted *graphql.OperationContext) bool {
	key, err := keyOf(admitted)
	if err != nil {
		panic(err)
	}
	t, exec, operation := c.Websocket, c.exec, forNobody(admitted)
	m := t.audiences.join(key, t.SharedPace, c, op, func(ctx context.Context, a *audience) {
		a.pull(ctx, exec, operation, t.OperationContext)
	})
	c.mu.Lock()
	live := !c.closing && c.operations[op.id] == op
	if live {
		op.member = m
	}
	c.mu.Unlock()
	if !live {
		c.leave(m)
		return false
	}
	m.attach()
	return true
}

// backlog appends the frames that shared operations have ready. The caller has the turn of the line.
func (c *connection) backlog(dst []byte) []byte {
	c.mu.Lock()
	shared := make([]*member, 0, len(c.operations))
	for _, op := range c.operations {
		if op.member != nil {
			shared = append(shared, op.member)
		}
	}
	c.mu.Unlock()
	for _, m := range shared {
		past := m.audience.look()
		dst = m.compose(dst, &past)
	}
	return dst
}

func refuseMutation(kind ast.Operation) *rejection {
	if kind != ast.Mutation {
		return nil
	}
	return reject(0, apperr.New(apperr.BadUserInput, "A mutation is sent with POST, not over a websocket."))
}

const payloadKey = `,"payload":`

// begin is the front of a message of the operation: all but the payload, for which it has room, and the last brace.
func (op *operation) begin(kind string, payloadSize int) []byte {
	frame := make([]byte, 0, len(op.head)+len(kind)+len(payloadKey)+payloadSize+len(`""}`))
	return append(append(append(append(frame, op.head...), '"'), kind...), '"')
}

// failure is the error message of an operation that yields no data.
func (op *operation) failure(response *graphql.Response) []byte {
	payload := failurePayload(response)
	return append(append(append(op.begin("error", len(payload)), payloadKey...), payload...), '}')
}

// failurePayload is the payload of an error message.
func failurePayload(response *graphql.Response) []byte {
	errs := response.Errors
	if len(errs) > MaxErrors {
		errs = errs[:MaxErrors]
	}
	payload, err := json.Marshal(errs)
	if err != nil || len(errs) == 0 {
		return encoded(ended(context.Background()).response.Errors)
	}
	return payload
}

// free frees the id of an operation and reports whether it was taken by it until then. It was not if the client has
// freed it, to which nothing more may be said under this id, or if the operation has had its last message.
func (c *connection) free(op *operation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.operations[op.id] != op {
		return false
	}
	delete(c.operations, op.id)
	op.member = nil
	return true
}

// finish frees the id of an operation and sends its last message, unless the id was freed before.
func (c *connection) finish(op *operation, last []byte) {
	if c.free(op) && last != nil {
		c.send(last)
	}
}

// deliver sends an event of an operation and reports whether the operation goes on.
func (c *connection) deliver(op *operation, message []byte) bool {
	return c.line.message(appendText(nil, message), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.operations[op.id] == op
	})
}
