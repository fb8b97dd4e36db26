package limit

import (
	"context"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"marquee/internal/ratelimit"
)

// The price of reading a document that was not read before, in the time that parsing and validating take: a point stands
// for some microseconds.
const (
	bytesPerPoint       = 16
	comparisonsPerPoint = 25
	valuesPerPoint      = 16 // of the variables
)

// MutateOperationParameters refuses a document that is no document, or whose validation would take too long, and charges
// the caller for the reading. What is in the cache of documents has passed before and is free, but for its variables.
func (e Extension) MutateOperationParameters(ctx context.Context, raw *graphql.RawParams) *gqlerror.Error {
	if e.Documents != nil {
		if document, known := e.Documents.Get(ctx, raw.Query); known {
			points := valuesIn(raw.Variables) / valuesPerPoint
			if points == 0 {
				return nil
			}
			_, throttled := e.charge(ctx, e.lane(document.Operations.ForName(raw.OperationName)), points)
			return throttled
		}
	}
	points, lane := 1+len(raw.Query)/bytesPerPoint+valuesIn(raw.Variables)/valuesPerPoint, ratelimit.Browse
	document, refused := e.parse(raw.Query)
	if refused == nil {
		lane = e.lane(document.Operations.ForName(raw.OperationName))
		s := shapeOf(document)
		if refused = s.beyond(e.Limits); refused == nil {
			points += s.comparisons() / comparisonsPerPoint
		}
	}
	if _, throttled := e.charge(ctx, lane, points); throttled != nil {
		return throttled
	}
	return refused
}

// valuesIn counts what a variable holds, however deep.
func valuesIn(value any) int {
	n := 1
	switch value := value.(type) {
	case map[string]any:
		for _, part := range value {
			n += valuesIn(part)
		}
	case []any:
		for _, part := range value {
			n += valuesIn(part)
		}
	}
	return n
}

// parse reads a document within the limit of tokens. The executor does so again: it keeps to itself what it parsed.
func (e Extension) parse(text string) (*ast.QueryDocument, *gqlerror.Error) {
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, e.Limits.Tokens)
	switch {
	case err == nil && len(document.Operations) == 0:
		return nil, refusal("The document holds no operation.")
	case err == nil:
		return document, nil
	}
	syntax, ok := errors.AsType[*gqlerror.Error](err)
	switch {
	case !ok:
		return nil, refusal("The document cannot be read.")
	case strings.HasPrefix(syntax.Message, "exceeded token limit"):
		return nil, beyond("document", bound{"words and signs", e.Limits.Tokens + 1, e.Limits.Tokens})
	}
	refused := refusal("The document cannot be read: %s.", phrase(syntax.Message))
	refused.Locations = syntax.Locations
	return nil, refused
}

// phrase makes the end of a sentence of what the parser says.
func phrase(message string) string {
	message = strings.NewReplacer("<EOF>", "the end", "<Invalid>", "sign").Replace(strings.TrimSuffix(message, "."))
	first, size := utf8.DecodeRuneInString(message)
	return string(unicode.ToLower(first)) + message[size:]
}

// shape is what the validation of a document depends on.
type shape struct {
	directives int
	operations int
	fields     int
	fragments  int            // named ones
	nesting    int            // inline fragments inside one another, at most
	named      map[string]int // how many fields have a name in the answer
}

func shapeOf(document *ast.QueryDocument) *shape {
	s := &shape{operations: len(document.Operations), fragments: len(document.Fragments), named: map[string]int{}}
	for _, operation := range document.Operations {
		s.directives += len(operation.Directives)
		for _, variable := range operation.VariableDefinitions {
			s.directives += len(variable.Directives)
		}
		s.add(operation.SelectionSet, 0)
	}
	for _, fragment := range document.Fragments {
		s.directives += len(fragment.Directives)
		s.add(fragment.SelectionSet, 0)
	}
	return s
}

func (s *shape) add(set ast.SelectionSet, nesting int) {
	s.nesting = max(s.nesting, nesting)
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			s.named[selection.Alias]++
			s.fields++
			s.directives += len(selection.Directives)
			s.add(selection.SelectionSet, nesting)
		case *ast.InlineFragment:
			s.directives += len(selection.Directives)
			s.add(selection.SelectionSet, nesting+1)
		case *ast.FragmentSpread:
			s.directives += len(selection.Directives)
		}
	}
}

// comparisons bounds the work of the rule that fields of one name must be the same: it gathers the fields that could meet
// in one object and compares the pairs among them. It does so again for each inline fragment that stands around them, and
// looks at a named fragment once for itself and once for every operation.
func (s *shape) comparisons() int {
	pairs := 0
	for _, n := range s.named {
		pairs = add(pairs, n*(n-1)/2)
	}
	again := 1 + s.nesting
	if s.fragments > 0 {
		again = multiply(again, 1+s.operations)
	}
	if again == 1 {
		return pairs
	}
	return multiply(max(s.fields, pairs), again)
}

func (s *shape) beyond(most Limits) *gqlerror.Error {
	if s.comparisons() > most.Comparisons {
		return refusal("This document names the same fields too often, or in too many fragments. Ask for each once.")
	}
	return beyond("document", bound{"directives", s.directives, most.Directives})
}
