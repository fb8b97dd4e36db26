// Package limit refuses operations that would cost too much, before any of their fields is resolved, and callers who ask
// for more than their rate.
//
// It looks twice. A document that was not read before is refused before it is validated, when it is so long, or names
// fields so often, that validating it would be the attack ([Extension.MutateOperationParameters]). An operation is
// measured on the validated document with its arguments, charged to the caller's accounts and refused if it is too large
// or too soon ([Extension.MutateOperationContext]).
//
// Invariants:
//   - The work of refusing is linear in the length of the document: each fragment is looked at once, however often it is
//     spread, and sums saturate.
//   - Work is paid for before it is done: reading a new document by its length and the comparisons it takes, executing an
//     operation by its cost, and no operation costs nothing.
//   - A purchase is never charged to the account for browsing, nor browsing to that for purchases.
package limit

import (
	"context"
	"math"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
	"marquee/internal/ratelimit"
)

// Limits are the largest document that is read and the largest operation that is served.
type Limits struct {
	Tokens      int // words and signs of a document
	Directives  int // in a document
	Comparisons int // pairs of fields of one name in a document, which validation compares with each other

	Cost       int // points: see the directives @cost and @listSize
	Depth      int // fields inside fields
	Fields     int // fragments spread out
	Aliases    int // renamed fields, fragments spread out
	RootFields int // fields of the operation itself
}

// Default admits a page of a hundred movies with some showtimes each, and no more; one field may stand in a document
// five hundred times.
var Default = Limits{
	Tokens: 2000, Directives: 100, Comparisons: 125_000,
	Cost: 10_000, Depth: 15, Fields: 2000, Aliases: 60, RootFields: 20,
}

// Extension refuses documents and operations beyond its limits with BAD_USER_INPUT, and callers beyond their rate with
// THROTTLED. Of operations that it passed, [ReportFrom] tells the cost, and so does extensions.cost of the answer.
type Extension struct {
	Limits Limits

	// Schema tells which mutations are purchases. By default none is.
	Schema *ast.Schema
	// Documents holds the documents that were read before. By default none was.
	Documents graphql.Cache[*ast.QueryDocument]
	// Rates keeps the callers' accounts. By default nobody is limited.
	Rates *ratelimit.Limiter
}

var (
	_ graphql.HandlerExtension          = Extension{}
	_ graphql.OperationParameterMutator = Extension{}
	_ graphql.OperationContextMutator   = Extension{}
	_ graphql.ResponseInterceptor       = Extension{}
)

// ExtensionName names the extension to the executor, and its report among an operation's statistics.
func (Extension) ExtensionName() string { return "Limit" }

// Validate has nothing to check.
func (Extension) Validate(graphql.ExecutableSchema) error { return nil }

// bound is a limit in words.
type bound struct {
	what       string
	have, most int
}

// beyond refuses the first bound that is broken.
func beyond(thing string, bounds ...bound) *gqlerror.Error {
	for _, b := range bounds {
		if b.have > b.most {
			return refusal("This %s has more than %d %s. Ask for less at once.", thing, b.most, b.what)
		}
	}
	return nil
}

func refusal(format string, args ...any) *gqlerror.Error {
	err := apperr.New(apperr.BadUserInput, format, args...)
	return &gqlerror.Error{Err: err, Message: err.Message}
}

// MutateOperationContext refuses an operation beyond the limits or the caller's rate, and charges any other.
func (e Extension) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	w := walker{variables: op.Variables, fragments: map[string]measure{}}
	m := w.selections(op.Operation.SelectionSet)
	if refused := beyond("operation",
		bound{"root fields", m.width, e.Limits.RootFields},
		bound{"levels of fields", m.depth, e.Limits.Depth},
		bound{"fields", m.fields, e.Limits.Fields},
		bound{"aliases", m.aliases, e.Limits.Aliases},
	); refused != nil {
		return refused
	}
	if m.cost > e.Limits.Cost {
		refused := refusal("This operation costs %d points, and at most %d are served. Ask for less at once.", m.cost, e.Limits.Cost)
		refused.Extensions = map[string]any{"cost": Excess{RequestedQueryCost: m.cost, MaximumQueryCost: e.Limits.Cost}}
		return refused
	}
	// What yields no thing has been sent, read and answered all the same.
	cost := max(m.cost, 1)
	standing, throttled := e.charge(ctx, e.lane(op.Operation), cost)
	op.Stats.SetExtension(e.ExtensionName(), Report{Cost: cost, Standing: standing})
	return throttled
}

// Excess is extensions.cost of the refusal of an operation that costs too much, in points.
type Excess struct {
	RequestedQueryCost int `json:"requestedQueryCost"` // math.MaxInt32 for any that is beyond counting
	MaximumQueryCost   int `json:"maximumQueryCost"`
}

// measure is what a selection amounts to.
type measure struct {
	cost, depth, fields, aliases int
	width                        int // fields of the selection itself, fragments spread out
}

func (m measure) and(other measure) measure {
	return measure{
		cost: add(m.cost, other.cost), depth: max(m.depth, other.depth), fields: add(m.fields, other.fields),
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
	m := measure{cost: weight(f), depth: 1, fields: 1, width: 1}
	if f.Alias != f.Name {
		m.aliases = 1
	}
	if len(f.SelectionSet) == 0 {
		return m
	}
	child := w.selections(f.SelectionSet)
	m.cost = add(m.cost, multiply(w.size(f), add(1, child.cost)))
	m.depth = add(1, child.depth)
	m.fields = add(1, child.fields)
	m.aliases = add(m.aliases, child.aliases)
	return m
}

// introspectionWeight is that of reading the schema, whose lists say nothing of their size.
const introspectionWeight = 1000

// weight is what a field costs by itself, by its @cost.
func weight(f *ast.Field) int {
	if f.Name == "__schema" || f.Name == "__type" {
		return introspectionWeight
	}
	if f.Definition == nil {
		return 0
	}
	directive := f.Definition.Directives.ForName("cost")
	if directive == nil {
		return 0
	}
	// The schema was loaded, so that its numbers are such.
	points, _ := strconv.Atoi(directive.Arguments.ForName("weight").Value.Raw)
	return points
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
