package transport

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/internal/apperr"
)

// Handler serves a GraphQL endpoint over the given ways in. The first that supports a request carries it, and
// [Fallback] what none does. Order matters: Websocket and SSE before GET and POST, whose requests they take over.
//
// It does the work of gqlgen's handler.Server for an executor that the caller has configured.
func Handler(exec graphql.GraphExecutor, transports ...graphql.Transport) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(graphql.StartOperationTrace(r.Context()))
		for _, transport := range transports {
			if transport.Supports(r) {
				transport.Do(w, r, exec)
				return
			}
		}
		Fallback{}.Do(w, r, exec)
	})
}

// Fallback answers requests whose method no other transport takes: OPTIONS with what is allowed, anything else with
// 405. It supports every request, so it is registered last.
type Fallback struct{}

var _ graphql.Transport = Fallback{}

// Supports reports true.
func (Fallback) Supports(*http.Request) bool { return true }

// Do answers the request.
func (Fallback) Do(w http.ResponseWriter, r *http.Request, _ graphql.GraphExecutor) {
	const allow = "GET, HEAD, POST, OPTIONS"
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", allow)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	media, ok := negotiate(r.Header.Values("Accept"))
	if !ok {
		media = mediaJSON
	}
	answer{w, r, media}.reject(reject(http.StatusMethodNotAllowed, apperr.New(apperr.BadUserInput,
		"This method is not supported here: send the operation with POST.")).with("Allow", allow))
}

// exchange is what differs between the ways in that give one answer.
type exchange struct {
	read   func() (*graphql.RawParams, *rejection)
	permit func(ast.Operation) *rejection
	// maxAge is for how long the answer to an operation may be shared; nil: no answer is.
	maxAge func(context.Context, *graphql.OperationContext) time.Duration
}

// serve carries one HTTP exchange: it reads the parameters, executes the operation unless its kind is refused, and
// writes one answer. A panic before the answer becomes a 500 that the executor's recover function has seen.
func serve(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor, x exchange) {
	media, acceptable := negotiate(r.Header.Values("Accept"))
	if !acceptable {
		answer{w, r, mediaJSON}.reject(reject(http.StatusNotAcceptable, apperr.New(apperr.BadUserInput,
			"Answers come as %s or %s: accept one of them.", mediaGraphQL, mediaJSON)))
		return
	}
	out := answer{w, r, media}
	ctx := r.Context()
	defer func() {
		switch panicked := recover(); panicked {
		case nil:
		case http.ErrAbortHandler:
			panic(panicked)
		default:
			out.reject(recovered(ctx, exec, panicked))
		}
	}()

	start := graphql.Now()
	raw, refused := x.read()
	if refused != nil {
		out.reject(refused)
		return
	}
	raw.Headers = r.Header
	raw.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}

	ctx, operation, refused := admit(ctx, exec, raw, x.permit)
	if refused != nil {
		out.reject(refused)
		return
	}
	var maxAge time.Duration
	if x.maxAge != nil {
		maxAge = x.maxAge(ctx, operation)
	}
	next, ctx := exec.DispatchOperation(ctx, operation)
	response := next(ctx)
	if response == nil || len(response.Data) == 0 && len(response.Errors) == 0 {
		out.reject(ended(ctx))
		return
	}
	out.respond(response, maxAge)
}

// refuseSubscription refuses what needs a stream. Subscriptions answered with their first event alone would look as
// if they worked.
func refuseSubscription(kind ast.Operation) *rejection {
	if kind != ast.Subscription {
		return nil
	}
	return reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput,
		"A subscription needs a stream: open a websocket on this address with the subprotocol %s, or accept %s.",
		subprotocol, mediaEvents))
}
