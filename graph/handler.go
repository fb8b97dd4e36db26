package graph

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/generated"
	"marquee/graph/limit"
	"marquee/graph/loader"
	"marquee/graph/transport"
	"marquee/internal/apperr"
)

// Options are how the endpoint behaves.
type Options struct {
	Log           *slog.Logger
	Classify      func(error) *apperr.Error                           // translates faults of the engines; nil result: unknown
	RequestID     func(context.Context) string                        // of the request in ctx
	Introspection bool                                                // whether anybody may read the schema
	Limits        limit.Limits                                        // largest operation
	MaxBody       int64                                               // bytes of a request
	Timeout       time.Duration                                       // for a query or mutation
	Websocket     *transport.Websocket                                // socket settings, with what authenticates them
	Observe       func(operation, outcome string, took time.Duration) // told of every query and mutation; may be nil
}

const (
	// sessionCookie is the one cookie that would authenticate a request: a GET that carries it could be forged.
	sessionCookie = "__Host-marquee-session"
	// parserTokens bounds the work of parsing and of the validation rules that compare fields with each other.
	parserTokens = 2000
	// cachedDocuments times cachedDocumentBytes bounds the memory of the document cache.
	cachedDocuments     = 1000
	cachedDocumentBytes = 8 << 10
)

// NewHandler returns the GraphQL endpoint: POST, GET and graphql-transport-ws at one address.
func NewHandler(r *Resolver, o Options) http.Handler {
	schema := NewSchema(r)
	exec := executor.New(schema)
	exec.SetParserTokenLimit(parserTokens)
	exec.SetDisableSuggestion(!o.Introspection)
	exec.SetQueryCache(smallDocuments{lru.New[*ast.QueryDocument](cachedDocuments)})
	p := presenter{log: o.Log, classify: o.Classify, requestID: o.RequestID}
	exec.SetErrorPresenter(p.present)
	exec.SetRecoverFunc(p.recovered)
	if o.Introspection {
		exec.Use(introspection{})
	}
	exec.Use(strictVariables{schema.Schema()})
	exec.Use(limit.Extension{Limits: o.Limits})
	exec.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
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
	// Once for each query, mutation and event of a subscription: no cache outlives what it was filled for.
	exec.AroundResponses(func(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
		return next(loader.With(ctx, r.loaders()))
	})
	return transport.Handler(exec, o.Websocket, transport.GET{SessionCookie: sessionCookie}, transport.POST{MaxBytes: o.MaxBody})
}

// NewSchema returns the executable schema over r.
func NewSchema(r *Resolver) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{
		Resolvers:  r,
		Directives: generated.DirectiveRoot{Auth: requireRole},
	})
}

// introspection lets anybody read the schema.
type introspection struct{}

var _ graphql.OperationContextMutator = introspection{}

// ExtensionName names the extension to the executor.
func (introspection) ExtensionName() string { return "Introspection" }

// Validate has nothing to check.
func (introspection) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext allows the introspection fields.
func (introspection) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	op.DisableIntrospection = false
	return nil
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

// smallDocuments caches parsed documents up to a length, so that the cache's memory is bounded by more than a count.
type smallDocuments struct {
	graphql.Cache[*ast.QueryDocument]
}

// Add remembers a document unless it is long.
func (c smallDocuments) Add(ctx context.Context, key string, document *ast.QueryDocument) {
	if len(key) <= cachedDocumentBytes {
		c.Cache.Add(ctx, key, document)
	}
}
