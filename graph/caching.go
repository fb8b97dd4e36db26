package graph

import (
	"context"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/persisted"
	"marquee/internal/auth"
)

// cacheable returns the rule of [transport.GET].MaxAge: the answer to a persisted query of nobody may be given to
// anybody if everybody may read all that it selects, for the shortest time that its fields allow by @cacheControl.
func cacheable(schema *ast.Schema) func(context.Context, *graphql.OperationContext) time.Duration {
	return func(ctx context.Context, operation *graphql.OperationContext) time.Duration {
		if _, signedIn := auth.ViewerFrom(ctx); signedIn || !persisted.Named(operation.Extensions) {
			return 0
		}
		selections := operation.Operation.SelectionSet
		public := publicWalk{schema: schema, fragments: map[string]bool{}}
		if !public.selections(selections) {
			return 0
		}
		age := ageWalk{fragments: map[string]bool{}, least: -1}
		if !age.selections(selections, true) || age.least < 0 {
			return 0
		}
		return time.Duration(age.least) * time.Second
	}
}

// ageWalk looks for the shortest time that the fields of a query allow.
type ageWalk struct {
	fragments map[string]bool // those seen, each of which is looked at once
	least     int             // seconds; negative while no field has said any
}

// selections reports whether every field of the query itself allows a time.
func (w *ageWalk) selections(selections ast.SelectionSet, root bool) bool {
	for _, selection := range selections {
		allowed := true
		switch s := selection.(type) {
		case *ast.Field:
			allowed = w.field(s, root)
		case *ast.InlineFragment:
			allowed = w.selections(s.SelectionSet, root)
		case *ast.FragmentSpread:
			if !w.fragments[s.Name] {
				w.fragments[s.Name] = true
				allowed = w.selections(s.Definition.SelectionSet, root)
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

func (w *ageWalk) field(field *ast.Field, root bool) bool {
	if directive := field.Definition.Directives.ForName("cacheControl"); directive != nil {
		age, err := strconv.Atoi(directive.Arguments.ForName("maxAge").Value.Raw)
		if err != nil {
			return false
		}
		if w.least < 0 || age < w.least {
			w.least = age
		}
	} else if root && field.Name != "__typename" {
		return false
	}
	return w.selections(field.SelectionSet, false)
}
