package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// sdl is what the tests ask for. Queries and mutations are answered by schema.resolve, subscriptions by streams.
const sdl = `
	scalar Any
	type Query {
		hello: String!
		self: Query
		echo(value: Any, int: Int): Any
		failing(times: Int!): String
		panicking: String
		aborting: String
		refused(code: String!): String
		unencodable: String
	}
	type Mutation { bump: Int! }
	type Subscription {
		ticks(times: Int): Int
		forever: Int
		failing: Int
		panicking: Int
		broken: Int
	}
`

// stream is the source of a subscription: it is called once and yields events until it returns false.
type stream func(ctx context.Context) (event string, ok bool)

// schema is an executable schema without generated code.
type schema struct {
	parsed *ast.Schema
	// open begins the stream of a subscription field whose name it is given.
	open func(ctx context.Context, field string, arguments map[string]any) (stream, error)
	// ran counts the executions of each root field.
	ran func(field string)
}

func newSchema() *schema {
	return &schema{
		parsed: gqlparser.MustLoadSchema(&ast.Source{Input: sdl}),
		ran:    func(string) {},
		open: func(context.Context, string, map[string]any) (stream, error) {
			return nil, errors.New("no stream in this test")
		},
	}
}

// executor returns a gqlgen executor for the schema, quiet about panics.
func (s *schema) executor() *executor.Executor {
	exec := executor.New(s)
	exec.SetRecoverFunc(func(context.Context, any) error {
		return &gqlerror.Error{Message: "masked", Extensions: map[string]any{"code": "INTERNAL"}}
	})
	return exec
}

func (s *schema) Schema() *ast.Schema { return s.parsed }

func (s *schema) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (s *schema) Exec(ctx context.Context) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	fields := graphql.CollectFields(operation, operation.Operation.SelectionSet, nil)
	if operation.Operation.Operation == ast.Subscription {
		return s.subscribe(ctx, fields[0], operation.Variables)
	}
	return func(ctx context.Context) *graphql.Response {
		if fields == nil {
			return nil
		}
		var data bytes.Buffer
		separator := byte('{')
		for _, field := range fields {
			s.ran(field.Name)
			data.WriteByte(separator)
			fmt.Fprintf(&data, "%q:%s", field.Alias, s.resolve(ctx, field, field.ArgumentMap(operation.Variables)))
			separator = ','
		}
		fields = nil
		data.WriteByte('}')
		return &graphql.Response{Data: data.Bytes()}
	}
}

// resolve returns the JSON of a field.
func (s *schema) resolve(ctx context.Context, field graphql.CollectedField, arguments map[string]any) string {
	switch field.Name {
	case "__typename":
		return fmt.Sprintf("%q", field.ObjectDefinition.Name)
	case "hello":
		return `"world"`
	case "bump":
		return "1"
	case "echo":
		value, ok := arguments["value"]
		if !ok {
			value = arguments["int"]
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return string(encoded)
	case "failing":
		times, err := graphql.UnmarshalInt(arguments["times"])
		if err != nil {
			panic(err)
		}
		for i := range times {
			graphql.AddError(ctx, &gqlerror.Error{Message: fmt.Sprintf("failure %d", i)})
		}
		return "null"
	case "unencodable":
		graphql.RegisterExtension(ctx, "unencodable", func() {})
		return "null"
	case "panicking":
		panic("a secret of the server")
	case "aborting":
		panic(http.ErrAbortHandler)
	}
	return "null"
}

func (s *schema) subscribe(ctx context.Context, field graphql.CollectedField, variables map[string]any) graphql.ResponseHandler {
	next, err := s.open(ctx, field.Name, field.ArgumentMap(variables))
	if err != nil {
		graphql.AddError(ctx, err)
		return nil
	}
	var data bytes.Buffer // generated code reuses its buffer, too
	return func(ctx context.Context) *graphql.Response {
		event, ok := next(ctx)
		if !ok {
			return nil
		}
		data.Reset()
		fmt.Fprintf(&data, "{%q:%s}", field.Alias, event)
		return &graphql.Response{Data: data.Bytes()}
	}
}

// refuser is an extension that refuses an operation that selects "refused" with the code it is given, before it runs.
type refuser struct{}

func (refuser) ExtensionName() string { return "Refuser" }

func (refuser) Validate(graphql.ExecutableSchema) error { return nil }

func (refuser) MutateOperationContext(_ context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	field, ok := operation.Operation.SelectionSet[0].(*ast.Field)
	if !ok || field.Name != "refused" {
		return nil
	}
	code := strings.Trim(field.Arguments[0].Value.Raw, `"`)
	extensions := map[string]any{"code": code}
	switch code {
	case "THROTTLED":
		extensions["retryAfter"] = 1.5
	case "UNAVAILABLE":
		extensions["retryAfter"] = 7
	case "": // an extension that knows no codes
		extensions = map[string]any{"hint": 1}
	case "UNENCODABLE":
		extensions["value"] = func() {}
	}
	return &gqlerror.Error{Message: "refused", Extensions: extensions}
}
