// Package limit refuses operations that would cost too much, before any of their fields is resolved.
//
// The cost is counted on the validated document with its arguments: each fragment is looked at once, however often it
// is spread, and sums saturate, so that the counting itself is linear in the length of the document.
package limit

import (
	"context"
	"math"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// Limits are the largest operation that is served.
type Limits struct {
	Cost       int // objects and lists the answer may hold, weighted; a leaf costs nothing
	Depth      int // fields inside fields
	Aliases    int // renamed fields, fragments spread out
	RootFields int // fields of the operation itself
}

// Default admits a page of a hundred movies with some showtimes each, and no more.
var Default = Limits{Cost: 10_000, Depth: 15, Aliases: 60, RootFields: 20}

// Extension refuses operations beyond its limits with BAD_USER_INPUT.
type Extension struct{ Limits Limits }

var (
	_ graphql.HandlerExtension        = Extension{}
	_ graphql.OperationContextMutator = Extension{}
)

// ExtensionName names the extension to the executor.
func (Extension) ExtensionName() string { return "Limit" }

// Validate has nothing to check.
func (Extension) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses an operation beyond the limits.
func (e Extension) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	w := walker{variables: op.Variables, fragments: map[string]measure{}}
	m := w.selections(op.Operation.SelectionSet)
	for _, bound := range []struct {
		what       string
		have, most int
	}{
		{"root fields", m.width, e.Limits.RootFields},
		{"levels of fields", m.depth, e.Limits.Depth},
		{"aliases", m.aliases, e.Limits.Aliases},
		{"cost points", m.cost, e.Limits.Cost},
	} {
		if bound.have > bound.most {
			err := apperr.New(apperr.BadUserInput, "This operation has more than %d %s. Ask for less at once.", bound.most, bound.what)
			return &gqlerror.Error{Err: err, Message: err.Message}
		}
	}
	return nil
}

// measure is what a selection amounts to.
type measure struct {
	cost, depth, aliases int
	width                int // fields of the selection itself, fragments spread out
}

func (m measure) and(other measure) measure {
	return measure{
		cost: add(m.cost, other.cost), depth: max(m.depth, other.depth),
		aliases: add(m.aliases, other.aliases), width: add(m.width, other.width),
	}
}

type walker struct {
	variables map[string]any
	fragments map[string]measure
}

func (w walker) selections(set ast.SelectionSet) measure {
	var total measure
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			total = total.and(w.field(s))
		case *ast.InlineFragment:
			total = total.and(w.selections(s.SelectionSet))
		case *ast.FragmentSpread:
			m, known := w.fragments[s.Name]
			if !known {
				m = w.selections(s.Definition.SelectionSet)
				w.fragments[s.Name] = m
			}
			total = total.and(m)
		}
	}
	return total
}

func (w walker) field(f *ast.Field) measure {
	m := measure{depth: 1, width: 1}
	if f.Alias != f.Name {
		m.aliases = 1
	}
	if len(f.SelectionSet) == 0 {
		return m
	}
	child := w.selections(f.SelectionSet)
	m.cost = multiply(w.size(f), add(1, child.cost))
	m.depth = add(1, child.depth)
	m.aliases = add(m.aliases, child.aliases)
	return m
}

// size is how many objects a field yields at most, by its @listSize. Inside a connection it counts once: edges and
// nodes are the page that the connection's own arguments sized.
func (w walker) size(f *ast.Field) int {
	if f.Definition == nil {
		return 1
	}
	directive := f.Definition.Directives.ForName("listSize")
	if directive == nil {
		return 1
	}
	largest := 0
	if names := directive.Arguments.ForName("slicingArguments"); names != nil {
		for _, name := range names.Value.Children {
			if argument := f.Arguments.ForName(name.Value.Raw); argument != nil {
				largest = max(largest, w.number(argument.Value))
			}
		}
	}
	if largest == 0 {
		if assumed := directive.Arguments.ForName("assumedSize"); assumed != nil {
			largest = w.number(assumed.Value)
		}
	}
	return max(largest, 1)
}

// number is an integer argument's value, or the length of a list.
func (w walker) number(value *ast.Value) int {
	v, err := value.Value(w.variables)
	if err != nil {
		return 0
	}
	switch v := v.(type) {
	case int64:
		return int(min(v, math.MaxInt32))
	case int:
		return min(v, math.MaxInt32)
	case []any:
		return len(v)
	case interface{ Int64() (int64, error) }:
		if n, err := v.Int64(); err == nil {
			return int(min(n, math.MaxInt32))
		}
	}
	return 0
}

func add(a, b int) int {
	if a > math.MaxInt32-b {
		return math.MaxInt32
	}
	return a + b
}

func multiply(a, b int) int {
	if a != 0 && b > math.MaxInt32/a {
		return math.MaxInt32
	}
	return a * b
}
