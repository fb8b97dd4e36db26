package limit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/limit"
	"marquee/internal/apperr"
)

const sdl = `
	directive @listSize(slicingArguments: [String!], assumedSize: Int) on FIELD_DEFINITION
	directive @cost(weight: Int!, lane: Lane! = BROWSE) on FIELD_DEFINITION
	directive @once on FIELD | QUERY | VARIABLE_DEFINITION | FRAGMENT_DEFINITION | FRAGMENT_SPREAD | INLINE_FRAGMENT
	enum Lane { BROWSE PURCHASE }
	type Query {
		item(id: ID): Item
		items(first: Int, last: Int): Page @listSize(slicingArguments: ["first", "last"])
		five(first: Int = 5): Page @listSize(slicingArguments: ["first"])
		some: [Item!] @listSize(assumedSize: 7)
		named(ids: [ID!]!): [Item] @listSize(slicingArguments: ["ids"])
		either: Either
		name: String
		dear: Item @cost(weight: 30)
		number: Int @cost(weight: 5)
		dearPage(first: Int): Page @cost(weight: 30) @listSize(slicingArguments: ["first"])
	}
	type Mutation {
		buy: Item @cost(weight: 20, lane: PURCHASE)
		pay: Item @cost(weight: 20, lane: PURCHASE)
		rename: Item @cost(weight: 1, lane: BROWSE)
		touch: Item
	}
	union Either = Item | Page
	type Page { nodes: [Item!] edges: [Edge!] }
	type Edge { node: Item }
	type Item { id: ID name: String item: Item items(first: Int): Page @listSize(slicingArguments: ["first"]) dear: Item @cost(weight: 30) }
`

var contract = sync.OnceValue(func() *ast.Schema { return gqlparser.MustLoadSchema(&ast.Source{Input: sdl}) })

// operation parses and validates a query.
func operation(t *testing.T, query, variables string) *graphql.OperationContext {
	t.Helper()
	document, errs := gqlparser.LoadQueryWithRules(contract(), query, nil)
	if len(errs) > 0 {
		t.Fatalf("%s: %v", query, errs)
	}
	decoder := json.NewDecoder(strings.NewReader(variables))
	decoder.UseNumber()
	values := map[string]any{}
	if variables != "" {
		if err := decoder.Decode(&values); err != nil {
			t.Fatal(err)
		}
	}
	return &graphql.OperationContext{Operation: document.Operations[0], Doc: document, Variables: values}
}

// enough is more than anything here costs, but not more than can be counted.
const enough = 1 << 30

var unlimited = limit.Limits{
	Tokens: enough, Directives: enough, Comparisons: enough,
	Cost: enough, Depth: enough, Fields: enough, Aliases: enough, RootFields: enough,
}

func refusal(op *graphql.OperationContext, limits limit.Limits) error {
	if err := (limit.Extension{Limits: limits}).MutateOperationContext(context.Background(), op); err != nil {
		return err
	}
	return nil
}

// TestExtension_MutateOperationContext admits an operation at exactly its measure, and refuses it one below.
func TestExtension_MutateOperationContext(t *testing.T) {
	t.Parallel()
	bounds := map[string]func(l *limit.Limits, n int){
		"cost":   func(l *limit.Limits, n int) { l.Cost = n },
		"depth":  func(l *limit.Limits, n int) { l.Depth = n },
		"alias":  func(l *limit.Limits, n int) { l.Aliases = n },
		"roots":  func(l *limit.Limits, n int) { l.RootFields = n },
		"fields": func(l *limit.Limits, n int) { l.Fields = n },
	}
	for _, test := range []struct {
		name, bound, query, variables string
		want                          int
	}{
		{"a_leaf_costs_nothing", "cost", `{ name }`, "", 0},
		{"an_object_costs_one", "cost", `{ item { name } }`, "", 1},
		{"an_object_in_an_object", "cost", `{ item { item { name } } }`, "", 2},
		{"a_list_of_assumed_size", "cost", `{ some { name } }`, "", 7},
		{"an_object_in_a_list", "cost", `{ some { item { name } } }`, "", 14},
		{"a_page_by_first", "cost", `{ items(first: 10) { nodes { name } } }`, "", 20},
		{"a_page_by_last", "cost", `{ items(last: 10) { nodes { name } } }`, "", 20},
		{"a_page_by_the_larger", "cost", `{ items(first: 3, last: 10) { nodes { name } } }`, "", 20},
		{"a_page_of_edges", "cost", `{ items(first: 10) { edges { node { name } } } }`, "", 30},
		{"a_page_by_a_variable", "cost", `query ($n: Int) { items(first: $n) { nodes { name } } }`, `{"n": 10}`, 20},
		{"a_page_by_the_default_of_a_variable", "cost", `query ($n: Int = 10) { items(first: $n) { nodes { name } } }`, "", 20},
		{"a_page_by_no_variable", "cost", `query ($n: Int) { items(first: $n) { nodes { name } } }`, "", 2},
		{"a_page_without_a_size", "cost", `{ items { nodes { name } } }`, "", 2},
		{"a_page_of_less_than_nothing", "cost", `{ items(first: -10) { nodes { name } } }`, "", 2},
		{"pages_in_pages", "cost", `{ items(first: 10) { nodes { items(first: 10) { nodes { name } } } } }`, "", 220},
		{"a_list_by_its_ids", "cost", `{ named(ids: ["a", "b", "c"]) { name } }`, "", 3},
		{"a_list_by_ids_in_a_variable", "cost", `query ($ids: [ID!]!) { named(ids: $ids) { name } }`, `{"ids": ["a", "b", "c", "d"]}`, 4},
		{"a_list_by_ids_of_which_some_are_variables", "cost", `query ($a: ID!) { named(ids: [$a, "b"]) { name } }`, `{"a": "a"}`, 2},
		{"fields_add_up", "cost", `{ some { name } item { name } }`, "", 8},
		{"a_fragment_counts_where_it_is_spread", "cost", `{ some { ...f } item { ...f } } fragment f on Item { item { name } }`, "", 16},
		{"an_inline_fragment_counts", "cost", `{ either { ... on Item { item { name } } ... on Page { nodes { name } } } }`, "", 3},
		{"a_field_that_is_skipped_counts", "cost", `{ some @skip(if: true) { name } }`, "", 7},
		{"more_than_can_be_counted", "cost", `{ items(first: 2147483647) { nodes { items(first: 2147483647) { nodes { name } } } } }`, "", 1<<31 - 1},
		{"more_than_64_bits_can_count", "cost", `query ($n: Int) { items(first: $n) { nodes { name } } }`, `{"n": 99999999999999999999}`, 2},

		{"one_level", "depth", `{ name }`, "", 1},
		{"three_levels", "depth", `{ item { item { name } } }`, "", 3},
		{"the_deepest_branch", "depth", `{ name item { item { name } name } }`, "", 3},
		{"levels_of_a_fragment", "depth", `{ item { ...f } } fragment f on Item { item { ...g } } fragment g on Item { item { name } }`, "", 4},
		{"an_inline_fragment_is_no_level", "depth", `{ ... { ... on Query { name } } }`, "", 1},

		{"no_alias", "alias", `{ name item { name } }`, "", 0},
		{"an_alias_that_changes_nothing", "alias", `{ name: name }`, "", 0},
		{"aliases", "alias", `{ a: name b: item { c: name d: name } }`, "", 4},
		{"aliases_of_a_fragment_spread_twice", "alias", `{ a: item { ...f } b: item { ...f } } fragment f on Item { c: name d: name }`, "", 6},

		{"a_field_that_is_dear", "cost", `{ dear { name } }`, "", 31},
		{"a_leaf_that_is_dear", "cost", `{ number }`, "", 5},
		{"a_page_that_is_dear", "cost", `{ dearPage(first: 10) { nodes { name } } }`, "", 50},
		{"a_dear_field_in_a_list", "cost", `{ some { dear { name } } }`, "", 7 * 32},
		{"a_dear_field_twice", "cost", `{ a: dear { name } b: dear { name } }`, "", 62},
		{"the_schema", "cost", `{ __schema { types { name } } __type(name: "Item") { name } }`, "", 2003},

		{"fields_at_every_level", "fields", `{ name item { name item { name } } }`, "", 5},
		{"fields_of_a_fragment_spread_twice", "fields", `{ a: item { ...f } b: item { ...f } } fragment f on Item { name id }`, "", 6},

		{"one_root_field", "roots", `{ item { name id } }`, "", 1},
		{"root_fields", "roots", `{ name item { name } some { name } }`, "", 3},
		{"root_fields_in_fragments", "roots", `{ ...f ... on Query { name } } fragment f on Query { name item { name } }`, "", 3},
		{"one_root_field_many_times", "roots", `{ name name name }`, "", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			op := operation(t, test.query, test.variables)
			limits := unlimited
			if test.want > enough {
				limits.Cost = 1<<31 - 1
			}
			bounds[test.bound](&limits, test.want)
			if err := refusal(op, limits); err != nil {
				t.Errorf("with %d: %v", test.want, err)
			}
			bounds[test.bound](&limits, test.want-1)
			if err := refusal(op, limits); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("with %d: %v", test.want-1, err)
			}
		})
	}
}

// TestExtension_fragmentBomb spreads each of a chain of fragments twice: the document doubles with each.
func TestExtension_fragmentBomb(t *testing.T) {
	t.Parallel()
	for _, levels := range []int{22, 200} {
		for _, last := range []string{"a: item { name }", "item { name }", "name"} {
			t.Run(fmt.Sprintf("%d_levels_of_%s", levels, last), func(t *testing.T) {
				t.Parallel()
				op := operation(t, bomb(levels, last), "")
				// Who looked at a fragment as often as it is spread would not come back from 2 to the power of 200.
				if err := refusal(op, limit.Default); apperr.CodeOf(err) != apperr.BadUserInput {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// bomb is a document that doubles with each of its levels.
func bomb(levels int, last string) string {
	var query strings.Builder
	query.WriteString("{ item { ...f0 } }\n")
	for i := range levels {
		fmt.Fprintf(&query, "fragment f%d on Item { ...f%d ...f%d }\n", i, i+1, i+1)
	}
	fmt.Fprintf(&query, "fragment f%d on Item { %s }", levels, last)
	return query.String()
}

func TestExtension_cycles(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		`{ item { ...a } } fragment a on Item { item { ...a } }`,
		`{ item { ...a } } fragment a on Item { ...b } fragment b on Item { ...a }`,
	} {
		if _, errs := gqlparser.LoadQueryWithRules(contract(), query, nil); len(errs) == 0 {
			t.Errorf("validation lets a cycle through: %s", query)
		}
	}
}

func TestExtension_Validate(t *testing.T) {
	t.Parallel()
	if err := (limit.Extension{}).Validate(nil); err != nil {
		t.Error(err)
	}
	if (limit.Extension{}).ExtensionName() == "" {
		t.Error("no name")
	}
}
