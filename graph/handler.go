package graph

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/access"
	"marquee/graph/generated"
	"marquee/graph/limit"
	"marquee/graph/loader"
	"marquee/graph/persisted"
	"marquee/graph/transport"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/cookie"
	"marquee/internal/notify"
	"marquee/internal/peer"
	"marquee/internal/ratelimit"
)

// Options are how the endpoint behaves.
type Options struct {
	Log           *slog.Logger
	Classify      func(error) *apperr.Error                           // translates faults of the engines; nil result: unknown
	RequestID     func(context.Context) string                        // of the request in ctx
	Introspection bool                                                // whether everybody may read the schema; else administrators
	AdminsOnly    bool                                                // whether others may only sign in, renew a session and sign out
	Limits        limit.Limits                                        // largest document and operation
	Rates         *ratelimit.Limiter                                  // accounts of the callers
	Address       func(*http.Request) string                          // names the client of a request for Rates; nil: the peer
	MaxBody       int64                                               // bytes of a request
	Timeout       time.Duration                                       // for a query or mutation
	Documents     *persisted.Documents                                // documents that clients name instead of sending them; may be nil
	Websocket     *transport.Websocket                                // socket settings, with what authenticates them
	Events        *transport.SSE                                      // settings of event streams; may be nil: there are none
	Observe       func(operation, outcome string, took time.Duration) // told of every query and mutation; may be nil
}

const (
	// cachedDocuments and cachedBytes bound the document cache: how many, and the length of all their texts. What is kept
	// of a document takes some sixty times its text.
	cachedDocuments     = 1000
	cachedBytes         = 1 << 20
	cachedDocumentBytes = 8 << 10
)

// NewHandler returns the GraphQL endpoint: POST, GET, server-sent events and graphql-transport-ws at one address. It
// tells o.Websocket which streams may be shared.
func NewHandler(r *Resolver, o Options) http.Handler {
	schema := NewSchema(r)
	exec := executor.New(schema)
	rules, err := access.NewRules(schema.Schema())
	if err != nil {
		panic(err) // the contract is part of the program
	}
	exec.SetParserTokenLimit(o.Limits.Tokens)
	exec.SetDefaultRulesFn(validation(o.Introspection))
	exec.SetDisableSuggestion(!o.Introspection)
	var documents graphql.Cache[*ast.QueryDocument] = newDocumentCache()
	if o.Documents != nil {
		documents = o.Documents.Cache(documents)
		exec.Use(o.Documents)
	}
	exec.SetQueryCache(documents)
	p := presenter{log: o.Log, classify: o.Classify, requestID: o.RequestID}
	exec.SetErrorPresenter(p.present)
	exec.SetRecoverFunc(p.recovered)
	if o.AdminsOnly {
		exec.Use(adminsOnly{})
	}
	exec.Use(renewFirst{})
	exec.Use(access.Extension{Rules: rules})
	exec.Use(introspection{everybody: o.Introspection})
	exec.Use(strictVariables{schema.Schema()})
	exec.Use(oneStream{})
	exec.Use(limit.Extension{Limits: o.Limits, Schema: schema.Schema(), Documents: documents, Rates: o.Rates})
	if o.Documents != nil {
		exec.Use(o.Documents.Registration())
	}
	exec.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		ctx = audit.WithOrigin(ctx, audit.Origin{RequestID: o.RequestID(ctx), Address: limit.AddressOf(ctx)})
		ctx = notify.WithLanguages(ctx, graphql.GetOperationContext(ctx).Headers.Get("Accept-Language"))
		if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
			return next(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, o.Timeout)
		start := time.Now()
		answer := next(ctx)
		return func(ctx context.Context) *graphql.Response {
			defer cancel()
			response := answer(ctx)
			if response != nil && o.Observe != nil {
				o.Observe(kindOf(ctx), outcomeOf(response), time.Since(start))
			}
			return response
		}
	})
	// Once for each query and event of a subscription, and for each command of a mutation, which changes what the one before
	// may have read: no cache outlives what it was filled for.
	exec.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
		if isMutation(ctx) {
			return next(ctx)
		}
		return next(loader.With(ctx, r.loaders()))
	})
	exec.AroundRootFields(func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
		if !isMutation(ctx) {
			return next(ctx)
		}
		return next(loader.With(ctx, r.loaders()))
	})
	o.Websocket.Shared = shareable(schema.Schema())
	get := transport.GET{ByCookie: byCookie, CheckOrigin: o.Websocket.CheckOrigin, MaxAge: cacheable(schema.Schema())}
	post := transport.POST{MaxBytes: o.MaxBody}
	ways := []graphql.Transport{o.Websocket, get, post}
	if o.Events != nil {
		o.Events.GET, o.Events.POST = get, post
		ways = []graphql.Transport{o.Websocket, o.Events, get, post}
	}
	if o.Address == nil {
		o.Address = peer.Address(nil)
	}
	return limit.Arrivals(o.Address, transport.Handler(exec, ways...))
}

// isMutation is false for a request that names no operation, and for a refusal that has none.
func isMutation(ctx context.Context) bool {
	if !graphql.HasOperationContext(ctx) {
		return false
	}
	asked := graphql.GetOperationContext(ctx).Operation
	return asked != nil && asked.Operation == ast.Mutation
}

// byCookie reports whether a request comes with a session in cookies.
func byCookie(r *http.Request) bool { return cookie.From(r.Context()).Access() != "" }

// NewSchema returns the executable schema over r. It has no @defer, which the library adds and this server refuses.
func NewSchema(r *Resolver) graphql.ExecutableSchema {
	schema := *generated.NewExecutableSchema(generated.Config{}).Schema()
	schema.Directives = maps.Clone(schema.Directives)
	delete(schema.Directives, "defer")
	return generated.NewExecutableSchema(generated.Config{Schema: &schema, Resolvers: r})
}

// kindOf names an operation for metrics: its kind and its first field, both from the schema, never from the client.
func kindOf(ctx context.Context) string {
	operation := graphql.GetOperationContext(ctx).Operation
	for _, selection := range operation.SelectionSet {
		if field, ok := selection.(*ast.Field); ok {
			return string(operation.Operation) + "." + field.Name
		}
	}
	return string(operation.Operation)
}

func outcomeOf(response *graphql.Response) string {
	if len(response.Errors) == 0 {
		return "ok"
	}
	if code, ok := response.Errors[0].Extensions["code"].(string); ok {
		return code
	}
	return string(apperr.Internal)
}
