package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/limit"
	"marquee/internal/apperr"
)

// internalMessage is all that a caller learns of a fault on our side.
const internalMessage = "Something went wrong on our side. Tell us the request id if it happens again."

// presenter is the one place where errors become part of an answer.
type presenter struct {
	log *slog.Logger
	// classify translates faults of the engines (a database that is away, a deadline) into an *apperr.Error; nil when it
	// knows nothing.
	classify func(error) *apperr.Error
	// requestID returns the id that the request's log entries carry.
	requestID func(context.Context) string
}

// present gives err its code, fields and request id. What nobody translated is INTERNAL: its cause goes to the log only.
func (p presenter) present(ctx context.Context, err error) *gqlerror.Error {
	shown := &gqlerror.Error{Path: graphql.GetPath(ctx), Extensions: map[string]any{}}
	input := ""
	if from, ok := errors.AsType[*gqlerror.Error](err); ok {
		shown.Locations = from.Locations
		shown.Path, input = splitPath(shown.Path, from.Path)
	}
	known := p.translate(ctx, err)
	shown.Err = known
	shown.Message = known.Message
	shown.Extensions["code"] = string(known.Code)
	if known.RetryAfter > 0 {
		// Whole seconds; the transport makes a Retry-After header of it.
		shown.Extensions["retryAfter"] = int(math.Ceil(known.RetryAfter.Seconds()))
	}
	if cost, ok := costOf(err); ok {
		shown.Extensions["cost"] = cost
	}
	fields := known.Fields
	if input != "" && len(fields) == 0 && known.Code == apperr.BadUserInput {
		fields = []apperr.FieldError{{Path: input, Message: known.Message}}
	}
	if len(fields) > 0 {
		list := make([]map[string]string, len(fields))
		for i, field := range fields {
			list[i] = map[string]string{"path": field.Path, "message": field.Message}
		}
		shown.Extensions["fields"] = list
	}
	if id := p.requestID(ctx); id != "" {
		shown.Extensions["requestId"] = id
	}
	return shown
}

// costOf is what limits say of the cost of an operation that they refuse.
func costOf(err error) (any, bool) {
	refused, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		return nil, false
	}
	cost, ok := refused.Extensions["cost"].(limit.Excess)
	return cost, ok
}

// variableRoot begins the paths that the validator gives to errors of variables.
const variableRoot = ast.PathName("variable")

// splitPath tells the path in the answer, which is that of the field at hand, from the path of the input that the
// libraries append to it or put in its place.
func splitPath(field, given ast.Path) (answer ast.Path, input string) {
	switch {
	case len(given) == 0:
		return field, ""
	case len(field) == 0 && given[0] == variableRoot:
		return nil, "$" + dotted(given[1:])
	case len(field) > 0 && len(given) > len(field) && slices.Equal(given[:len(field)], field):
		return field, dotted(given[len(field):])
	default:
		return given, ""
	}
}

// dotted writes a path as inputs are named: "filter.from", "input.seatIds.2".
func dotted(path ast.Path) string {
	parts := make([]string, len(path))
	for i, part := range path {
		parts[i] = fmt.Sprint(part)
	}
	return strings.Join(parts, ".")
}

func (p presenter) translate(ctx context.Context, err error) *apperr.Error {
	if known, ok := errors.AsType[*apperr.Error](err); ok {
		if known.Code == apperr.Internal {
			return p.internal(ctx, err)
		}
		return known
	}
	if known := p.classify(err); known != nil {
		level := slog.LevelWarn
		if errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, context.Canceled) {
			level = slog.LevelDebug // who asked has gone
		}
		p.log.Log(ctx, level, "request refused", "code", known.Code, "error", err)
		return known
	}
	if fault := requestFault(err); fault != nil {
		return fault
	}
	return p.internal(ctx, err)
}

// internal hides what went wrong: it goes to the log only.
func (p presenter) internal(ctx context.Context, err error) *apperr.Error {
	p.log.ErrorContext(ctx, "internal error", "path", graphql.GetPath(ctx).String(), "error", err)
	return apperr.New(apperr.Internal, internalMessage)
}

// requestFault recognises the errors of the GraphQL libraries themselves: a document that does not parse or validate,
// a number out of range.
func requestFault(err error) *apperr.Error {
	if _, ok := errors.AsType[*graphql.NumberOverflowError](err); ok {
		return apperr.New(apperr.BadUserInput, "A number is out of range.")
	}
	if _, ok := errors.AsType[*graphql.IntegerError](err); ok {
		return apperr.New(apperr.BadUserInput, "A number is not a whole number.")
	}
	document, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		return nil
	}
	_, coded := document.Extensions["code"]
	if len(document.Path) > 0 && document.Path[0] == variableRoot && document.Err == nil {
		_, variable := splitPath(nil, document.Path)
		return apperr.New(apperr.BadUserInput, "Variable %s %s.", variable, variableFault(document.Message))
	}
	if document.Rule != "" || coded || document.Err == nil {
		return apperr.New(apperr.BadUserInput, "%s", document.Message)
	}
	return nil
}

// variableFault says what the libraries found wrong with a variable, so that it ends a sentence of which the variable is
// the subject.
func variableFault(message string) string {
	if strings.HasPrefix(message, "cannot use ") {
		if is, known := scalars[message[strings.LastIndexByte(message, ' ')+1:]]; known {
			return "must be " + is.called
		}
	}
	if _, kind, found := strings.Cut(message, " is not a valid "); found {
		return "must be a value of " + kind
	}
	switch message {
	case "unknown field":
		return "is not a field of this input"
	case "enums must be ints or strings":
		return "must be the name of a value"
	}
	return message
}

// recovered turns a panic in a resolver into an error for present, with its stack in the log.
func (p presenter) recovered(ctx context.Context, panicked any) error {
	p.log.ErrorContext(ctx, "panic", "path", graphql.GetPath(ctx).String(), "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return apperr.New(apperr.Internal, internalMessage)
}
