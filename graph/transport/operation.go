package transport

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// rejection is the answer to a request that is not executed.
type rejection struct {
	response *graphql.Response
	status   int         // HTTP status; 0 leaves it to the media type and the code of the error
	header   http.Header // more headers for an answer over HTTP
}

// reject refuses a request with one error.
func reject(status int, err *apperr.Error) *rejection {
	return &rejection{status: status, response: &graphql.Response{Errors: gqlerror.List{toGraphQL(err)}}}
}

// with adds a header to the answer.
func (r *rejection) with(name, value string) *rejection {
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set(name, value)
	return r
}

// toGraphQL gives err the shape it has on the wire, for the places that no error presenter sees.
func toGraphQL(err *apperr.Error) *gqlerror.Error {
	return &gqlerror.Error{Err: err, Message: err.Message, Extensions: map[string]any{"code": string(err.Code)}}
}

// admit turns parameters into an operation that may be executed: parsed, validated, passed by the executor's
// extensions and of a kind that permit does not refuse. The returned context carries the operation, also beside a
// rejection, as far as it is known.
func admit(
	ctx context.Context, exec graphql.GraphExecutor, raw *graphql.RawParams, permit func(ast.Operation) *rejection,
) (context.Context, *graphql.OperationContext, *rejection) {
	operation, errs := exec.CreateOperationContext(ctx, raw)
	ctx = graphql.WithOperationContext(ctx, operation)
	if len(errs) > 0 {
		if operation.Doc != nil && operation.Operation == nil {
			errs = gqlerror.List{toGraphQL(unknownOperation(raw.OperationName))}
		}
		return ctx, nil, &rejection{response: present(ctx, exec, errs)}
	}
	refused := permit(operation.Operation.Operation)
	if refused == nil && defers(operation) {
		refused = reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput,
			"The directive @defer is not supported: select the fields without it."))
	}
	if refused != nil {
		refused.response = present(ctx, exec, refused.response.Errors)
		return ctx, nil, refused
	}
	return ctx, operation, nil
}

func unknownOperation(name string) *apperr.Error {
	if name == "" {
		return apperr.New(apperr.BadUserInput, "The document holds several operations: name one in operationName.")
	}
	return apperr.New(apperr.BadUserInput, "The document holds no operation of the name given in operationName.")
}

// present lets the executor's error presenter and response extensions see errors of a request that is not executed.
// Each error leaves with a code: what the presenter left without one is the request's own fault.
func present(ctx context.Context, exec graphql.GraphExecutor, errs gqlerror.List) *graphql.Response {
	response := exec.DispatchError(ctx, errs)
	if response == nil || len(response.Errors) == 0 {
		response = &graphql.Response{Errors: errs}
	}
	for i, err := range response.Errors {
		if _, coded := err.Extensions["code"]; !coded {
			response.Errors[i] = withExtension(err, "code", string(apperr.BadUserInput))
		}
	}
	return response
}

// withExtension returns a copy of err with one more extension. The original may be shared with other requests by a
// cache.
func withExtension(err *gqlerror.Error, name, value string) *gqlerror.Error {
	extended := *err
	extended.Extensions = map[string]any{}
	maps.Copy(extended.Extensions, err.Extensions)
	extended.Extensions[name] = value
	return &extended
}

// ended explains why an operation yielded no response at all.
func ended(ctx context.Context) *rejection {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return reject(http.StatusServiceUnavailable, apperr.New(apperr.Unavailable,
			"The operation took too long and was stopped."))
	}
	return reject(http.StatusInternalServerError, apperr.New(apperr.Internal, "The operation gave no answer."))
}

// recovered turns a panic that escaped the executor into a response, after the executor's recover function and error
// presenter have seen it. It does not panic itself, whatever those do: on a socket nobody above would catch it.
func recovered(ctx context.Context, exec graphql.GraphExecutor, panicked any) (refused *rejection) {
	refused = reject(http.StatusInternalServerError, apperr.New(apperr.Internal, "Something went wrong on our side."))
	executor, ok := exec.(interface {
		PresentRecoveredError(ctx context.Context, err any) error
	})
	if !ok {
		return refused
	}
	defer func() { _ = recover() }()
	if shown, ok := errors.AsType[*gqlerror.Error](executor.PresentRecoveredError(ctx, panicked)); ok && shown != nil {
		if _, coded := shown.Extensions["code"]; !coded {
			shown = withExtension(shown, "code", string(apperr.Internal))
		}
		refused.response.Errors = gqlerror.List{shown}
	}
	return refused
}

// defers reports whether the document uses @defer. The executor would answer the first part of a deferred query and
// drop the rest. A name cannot be escaped in GraphQL, so a text without it needs no walk.
func defers(operation *graphql.OperationContext) bool {
	if !strings.Contains(operation.RawQuery, "defer") {
		return false
	}
	for _, definition := range operation.Doc.Operations {
		if selectsDeferred(definition.SelectionSet) {
			return true
		}
	}
	for _, fragment := range operation.Doc.Fragments {
		if selectsDeferred(fragment.SelectionSet) {
			return true
		}
	}
	return false
}

// selectsDeferred does not follow spreads: every fragment is walked once by its definition.
func selectsDeferred(selections ast.SelectionSet) bool {
	for _, selection := range selections {
		switch selection := selection.(type) {
		case *ast.Field:
			if selectsDeferred(selection.SelectionSet) {
				return true
			}
		case *ast.FragmentSpread:
			if selection.Directives.ForName("defer") != nil {
				return true
			}
		case *ast.InlineFragment:
			if selection.Directives.ForName("defer") != nil || selectsDeferred(selection.SelectionSet) {
				return true
			}
		}
	}
	return false
}
