package graph

import (
	"context"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"marquee/graph/access"
	"marquee/graph/generated"
	"marquee/internal/catalog"
	"marquee/internal/typeid"
)

// fromMemory answers queries of genres without a database.
type fromMemory struct {
	*Resolver

	genres []catalog.Genre
}

func (m fromMemory) Query() generated.QueryResolver {
	return genresFromMemory{&queryResolver{m.Resolver}, m}
}

type genresFromMemory struct {
	*queryResolver

	memory fromMemory
}

func (m genresFromMemory) Genres(context.Context) ([]catalog.Genre, error) {
	return m.memory.genres, nil
}

// BenchmarkAccess is what the rules of fields cost a query of 500 things that are in memory. Nothing but the executor
// works here, so that no query pays a larger share of its time for them.
func BenchmarkAccess(b *testing.B) {
	memory := fromMemory{Resolver: &Resolver{}}
	for range 500 {
		memory.genres = append(memory.genres, catalog.Genre{ID: typeid.New(), Name: "Drama"})
	}
	schema := generated.NewExecutableSchema(generated.Config{Resolvers: memory})
	rules, err := access.NewRules(schema.Schema())
	if err != nil {
		b.Fatal(err)
	}
	for name, with := range map[string][]graphql.HandlerExtension{"without": nil, "with": {access.Extension{Rules: rules}}} {
		b.Run(name, func(b *testing.B) {
			exec := executor.New(schema)
			for _, extension := range with {
				exec.Use(extension)
			}
			ctx := graphql.StartOperationTrace(b.Context())
			op, problems := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: `{ genres { id name } }`})
			if problems != nil {
				b.Fatal(problems)
			}
			b.ReportAllocs()
			for b.Loop() {
				responses, ctx := exec.DispatchOperation(ctx, op)
				if response := responses(ctx); len(response.Errors) > 0 {
					b.Fatal(response.Errors)
				}
			}
		})
	}
}
