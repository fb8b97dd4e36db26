package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// strictVariables refuses variables that the libraries let pass where GraphQL demands an error: a text for a number, a
// number for a text, an enum value in other letters, which would reach a resolver as no value at all, and an input of
// which exactly one field must be given with none, several or null.
type strictVariables struct{ schema *ast.Schema }

var (
	_ graphql.HandlerExtension        = strictVariables{}
	_ graphql.OperationContextMutator = strictVariables{}
)

// ExtensionName names the extension to the executor.
func (strictVariables) ExtensionName() string { return "StrictVariables" }

// Validate has nothing to check.
func (strictVariables) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses an operation with a variable that is not of its type: BAD_USER_INPUT.
func (s strictVariables) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	var bad problems
	for _, definition := range op.Operation.VariableDefinitions {
		s.check(&bad, "$"+definition.Variable, definition.Type, op.Variables[definition.Variable])
	}
	if err := bad.Err(); err != nil {
		return &gqlerror.Error{Err: err, Message: err.Error()}
	}
	return nil
}

// maxProblems are as many as an answer tells of. A list in a variable can be long.
const maxProblems = 10

// problems are the first few things that are wrong with the variables.
type problems struct {
	apperr.Fields

	count int
}

func (p *problems) add(path, format string, args ...any) {
	p.count++
	p.Add(path, format, args...)
}

// check records what is wrong with the value at path. That nothing is null or missing that must be there has been
// checked before.
func (s strictVariables) check(bad *problems, path string, t *ast.Type, value any) {
	if value == nil || bad.count == maxProblems {
		return
	}
	if t.Elem != nil {
		list := reflect.ValueOf(value)
		if list.Kind() != reflect.Slice {
			s.check(bad, path, t.Elem, value)
			return
		}
		for i := range list.Len() {
			s.check(bad, fmt.Sprintf("%s.%d", path, i), t.Elem, list.Index(i).Interface())
		}
		return
	}
	definition := s.schema.Types[t.NamedType]
	switch definition.Kind {
	case ast.InputObject:
		object, _ := value.(map[string]any)
		if definition.Directives.ForName("oneOf") != nil && !isOne(object) {
			bad.add(path, "Variable %s must have exactly one field, and not null.", path)
			return
		}
		for _, field := range definition.Fields {
			s.check(bad, path+"."+field.Name, field.Type, object[field.Name])
		}
	case ast.Enum:
		if text, ok := value.(string); !ok || definition.EnumValues.ForName(text) == nil {
			bad.add(path, "Variable %s must be a value of %s.", path, t.NamedType)
		}
	default:
		if is, known := scalars[t.NamedType]; known && !is.of(value) {
			bad.add(path, "Variable %s must be %s.", path, is.called)
		}
	}
}

// isOne reports whether an input has one field, with a value.
func isOne(object map[string]any) bool {
	for _, value := range object {
		return len(object) == 1 && value != nil
	}
	return false
}

// builtIn is a scalar of the GraphQL specification. Numbers of a request are json.Number; those that the variable
// itself is, and those of defaults, have become Go's.
type builtIn struct {
	called string
	of     func(any) bool
}

var scalars = map[string]builtIn{
	"Int":     {"a whole number of 32 bits", func(v any) bool { return isWhole(v, 32) }},
	"Float":   {"a number", isNumber},
	"String":  {"a text", isA[string]},
	"Boolean": {"true or false", isA[bool]},
	"ID":      {"an id", func(v any) bool { return isA[string](v) || isWhole(v, 64) }},
}

func isA[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

func isNumber(v any) bool {
	switch v.(type) {
	case json.Number, float64, int64:
		return true
	default:
		return false
	}
}

func isWhole(v any, bits int) bool {
	switch v := v.(type) {
	case json.Number:
		_, err := strconv.ParseInt(string(v), 10, bits)
		return err == nil
	case int64:
		shift := 64 - bits
		return v<<shift>>shift == v
	default:
		return false
	}
}
