package transport

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
	"marquee/internal/peer"
)

// DefaultKeepAlive is the default of [SSE].KeepAlive: proxies cut what is silent for a minute, some for half of it.
const DefaultKeepAlive = 15 * time.Second

// SSE carries operations of every kind as server-sent events, one operation per request: graphql-sse in its distinct
// connections mode. It is the way for networks that break websockets, and it takes the requests that want
// text/event-stream more than the media types of one answer.
//
// POST carries everything, GET queries and subscriptions, under the rules of the transports of those names. The
// stream holds a next event for each result and ends with complete. A request that is refused as HTTP (its method,
// content, size, rate) is answered as HTTP; what is wrong with its operation comes as a next event with errors, since
// a browser's EventSource shows its page nothing else.
//
// A stream ends without complete, which tells the client to come back, when the process drains, when the client does
// not read, and when a part of the service is away. When Recheck finds that the session has ended, a next event with
// the error and complete come first. The context of an operation descends from the request's and ends with the stream.
//
// The zero value is ready for use. An SSE is used by pointer and not changed once it serves.
type SSE struct {
	POST POST // limits of a request's body
	GET  GET  // limits of a request's address; its MaxAge is not asked

	// Recheck is asked every RecheckInterval, with a context that allows one interval, whether the session of ctx
	// still stands. An error ends the stream.
	Recheck         func(ctx context.Context) error
	RecheckInterval time.Duration // default 1 s

	// User names the user of a request for MaxPerUser, "" for nobody. By default nobody is known.
	User func(ctx context.Context) string

	// Address names the client of a request for MaxPerAddress. By default it is that of [peer.Address].
	Address func(r *http.Request) string

	// Registry knows the open streams beside the sockets, and the bounds below count both. By default a registry of
	// its own, which nothing can drain.
	Registry *Registry

	KeepAlive    time.Duration // between comments on a silent stream; default 15 s
	WriteTimeout time.Duration // for each event; default 5 s

	// A negative number lifts the bound.
	MaxConnections int // of the Registry; more are refused with 503; default 10,000
	MaxPerUser     int // streams and sockets; more are refused with 429; default 20
	MaxPerAddress  int // streams and sockets; more are refused with 429; default 256

	prepare sync.Once
}

var _ graphql.Transport = (*SSE)(nil)

// Supports reports whether r is a GET or POST that wants a stream of events.
func (t *SSE) Supports(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodPost) && wantsEvents(r.Header.Values("Accept"))
}

// Do answers the request.
func (t *SSE) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	t.prepare.Do(t.setDefaults)
	// The statuses of this media type tell an event source that there is no stream; those of JSON would not.
	out := answer{w, r, mediaGraphQL}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	entry, refused := t.Registry.admit(t.Address(r), t.MaxConnections, t.MaxPerAddress, cancel)
	if refused != nil {
		out.reject(refused)
		return
	}
	defer entry.release()
	if t.User != nil && !entry.identify(t.User(ctx), t.MaxPerUser) {
		out.reject(reject(http.StatusTooManyRequests, apperr.New(apperr.Throttled,
			"You have as many connections open as you may: close one first.")).with("Retry-After", "5"))
		return
	}
	s := &stream{SSE: t, w: w, control: http.NewResponseController(w), exec: exec, entry: entry, cancel: cancel}
	defer s.expectWrite() // of what the server adds to end the answer
	defer func() {
		switch panicked := recover(); panicked {
		case nil:
		case http.ErrAbortHandler:
			panic(panicked)
		default:
			refused := recovered(ctx, exec, panicked)
			if !s.begun {
				out.reject(refused)
			} else if s.next(refused.response) {
				s.complete()
			}
		}
	}()
	if refused := s.serve(ctx, r); refused != nil {
		out.reject(refused)
	}
}

// setDefaults fills in what was left zero.
func (t *SSE) setDefaults() {
	if t.Address == nil {
		t.Address = peer.Address(nil)
	}
	if t.Registry == nil {
		t.Registry = &Registry{}
	}
	positive(&t.RecheckInterval, DefaultRecheckInterval)
	positive(&t.KeepAlive, DefaultKeepAlive)
	positive(&t.WriteTimeout, DefaultWriteTimeout)
	fill(&t.MaxConnections, DefaultMaxConnections)
	fill(&t.MaxPerUser, DefaultMaxPerUser)
	fill(&t.MaxPerAddress, DefaultMaxPerAddress)
}

// stream is one request that is answered with events.
//
// Its goroutines are that of the HTTP handler, which alone writes, one that pulls the results of the operation, each
// when the one before it was written, and one that rechecks the session.
type stream struct {
	*SSE
	w       http.ResponseWriter
	control *http.ResponseController
	exec    graphql.GraphExecutor
	entry   *entry
	cancel  context.CancelFunc
	begun   bool // the answer is a stream
}

// result is one yield of an operation. The response is nil at its end.
type result struct {
	response *graphql.Response
	last     bool // nothing may be asked of the operation any more
}

// serve answers the request from its parameters to the last event. It returns the refusal of a request that gets an
// answer of plain HTTP.
func (s *stream) serve(ctx context.Context, r *http.Request) *rejection {
	start := graphql.Now()
	raw, refused := s.read(r)
	if refused != nil {
		return refused
	}
	raw.Headers = r.Header
	raw.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}

	permit := func(ast.Operation) *rejection { return nil }
	if r.Method == http.MethodGet {
		permit = s.GET.permit
	}
	ctx, operation, refused := admit(ctx, s.exec, raw, permit)
	switch {
	case refused == nil:
	case refused.status != 0, mediaJSON.status(refused.response.Errors) != http.StatusOK:
		return refused
	default:
		if s.next(refused.response) {
			s.complete()
		}
		return nil
	}

	// The context of the operation may end before the stream: an extension that gave it a deadline ends it with its
	// result.
	next, operationCtx := s.exec.DispatchOperation(ctx, operation)
	results, more := make(chan result), make(chan struct{}, 1)
	sessionEnded := make(chan error, 1)
	var group sync.WaitGroup
	// The operation ends with the stream, whatever ended that, and nothing of either is left afterwards.
	defer group.Wait()
	defer s.cancel()
	streams := operation.Operation.Operation == ast.Subscription
	silence := time.NewTimer(s.KeepAlive)
	defer silence.Stop()
	silent := silence.C
	// The head of the answer to a mutation waits for its result, which may add a cookie to it.
	if operation.Operation.Operation == ast.Mutation {
		silent = nil
	} else if !s.write(nil) {
		return nil
	}
	group.Go(func() { s.pull(ctx, func() result { return s.ask(operationCtx, next) }, results, more) })
	if s.Recheck != nil && streams {
		group.Go(func() { s.watchSession(ctx, sessionEnded) })
	}
	var restart <-chan struct{}
	if streams {
		restart = s.entry.restart // what ends by itself, and soon, is not cut short
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-restart:
			return nil
		case err := <-sessionEnded:
			s.refuse(ctx, err)
			return nil
		case <-silent:
			if !s.write([]byte(":\n\n")) {
				return nil
			}
		case result := <-results:
			if !s.deliver(result, operation) {
				return nil
			}
			more <- struct{}{}
		}
		silence.Reset(s.KeepAlive)
	}
}

func (s *stream) read(r *http.Request) (*graphql.RawParams, *rejection) {
	if r.Method == http.MethodGet {
		return s.GET.read(r)
	}
	return s.POST.read(s.w, r)
}

// pull asks for results until ctx ends, the next one when it is told that there shall be more.
func (*stream) pull(ctx context.Context, ask func() result, results chan<- result, more <-chan struct{}) {
	for {
		select {
		case results <- ask():
		case <-ctx.Done():
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// ask returns the next result. A panic of an extension becomes the last one.
func (s *stream) ask(ctx context.Context, next graphql.ResponseHandler) (yield result) {
	defer func() {
		if panicked := recover(); panicked != nil {
			yield = result{recovered(ctx, s.exec, panicked).response, true}
		}
	}()
	response := next(ctx)
	if response == nil && ctx.Err() != nil {
		response = ended(ctx).response
	}
	return result{response, response == nil || len(response.Data) == 0}
}

// watchSession asks every interval whether the session still stands, until it does not or ctx ends.
func (s *stream) watchSession(ctx context.Context, sessionEnded chan<- error) {
	// The first time is at random within the interval, so that streams that came together spread out.
	pulse := newPulse(s.RecheckInterval)
	defer pulse.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pulse.C:
		}
		if err := s.recheck(ctx); err != nil {
			sessionEnded <- err
			return
		}
		pulse.Reset(s.RecheckInterval)
	}
}

func (s *stream) recheck(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.RecheckInterval)
	defer cancel()
	defer func() {
		if panicked := recover(); panicked != nil {
			recovered(ctx, s.exec, panicked)
			err = errPanicked
		}
	}()
	return s.Recheck(ctx)
}

// refuse ends a stream whose session does not stand any more, and silently, so that the client comes back, one whose
// session nobody can look up.
func (s *stream) refuse(ctx context.Context, err error) {
	known, ok := errors.AsType[*apperr.Error](err)
	switch {
	case errors.Is(err, errPanicked), errors.Is(err, context.DeadlineExceeded),
		ok && (known.Code == apperr.Unavailable || known.Code == apperr.Throttled):
		return
	case !ok:
		known = apperr.New(apperr.Unauthenticated, "Your session has ended. Sign in again.")
	}
	if s.next(present(ctx, s.exec, gqlerror.List{toGraphQL(known)})) {
		s.complete()
	}
}

// deliver writes one result and reports whether the stream goes on.
func (s *stream) deliver(r result, operation *graphql.OperationContext) bool {
	if r.response != nil && !s.next(r.response) {
		return false
	}
	if r.last || operation.Operation.Operation != ast.Subscription {
		s.complete()
		return false
	}
	return true
}

// begin writes the head of the answer, with which the client knows the stream to be open.
func (s *stream) begin() {
	s.begun = true
	header := s.w.Header()
	header.Set("Content-Type", mediaEvents.contentType())
	header.Set("Cache-Control", "private, no-store")
	header.Add("Vary", varyAnswers)
	// nginx would gather events until it has a block of them.
	header.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

// lineBreaks makes one line of JSON, in which they are nothing but white space.
func lineBreaks(r rune) rune {
	if r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

func (s *stream) next(response *graphql.Response) bool {
	const head = "event: next\ndata: "
	event, err := appendResponse(append(make([]byte, 0, len(head)+sizeOf(response)+2), head...), response)
	if err != nil {
		panic(err)
	}
	if bytes.ContainsAny(event[len(head):], "\r\n") {
		event = append(event[:len(head)], bytes.Map(lineBreaks, event[len(head):])...)
	}
	return s.write(append(event, "\n\n"...))
}

// complete writes the last event. An event source passes on only events that have data, though it be empty.
func (s *stream) complete() { s.write([]byte("event: complete\ndata: \n\n")) }

// write sends what is given, after the head of the answer, within the write timeout and reports whether the stream goes on.
func (s *stream) write(event []byte) bool {
	s.expectWrite()
	if !s.begun {
		s.begin()
	}
	if _, err := s.w.Write(event); err != nil {
		return false
	}
	if err := s.control.Flush(); err != nil {
		return false
	}
	// A deadline that passes between two events would end a stream of HTTP/2.
	_ = s.control.SetWriteDeadline(time.Time{})
	return true
}

// expectWrite gives the client the write timeout to take what is written next. A writer that cannot set deadlines is
// not on a network.
func (s *stream) expectWrite() {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.WriteTimeout))
}
