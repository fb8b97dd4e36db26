package limit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/limit"
	"marquee/internal/apperr"
)

const sdl = `
	directive @listSize(slicingArguments: [String!], assumedSize: Int) on FIELD_DEFINITION
	type Query {
		item(id: ID): Item
		items(first: Int, last: Int): Page @listSize(slicingArguments: ["first", "last"])
		five(first: Int = 5): Page @listSize(slicingArguments: ["first"])
		some: [Item!] @listSize(assumedSize: 7)
		named(ids: [ID!]!): [Item] @listSize(slicingArguments: ["ids"])
		either: Either
		name: String
	}
	union Either = Item | Page
	type Page { nodes: [Item!] edges: [Edge!] }
	type Edge { node: Item }
	type Item { id: ID name: String item: Item items(first: Int): Page @listSize(slicingArguments: ["first"]) }
`

// operation parses and validates a query.
func operation(t *testing.T, query, variables string) *graphql.OperationContext {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: sdl})
	document, errs := gqlparser.LoadQueryWithRules(schema, query, nil)
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

var unlimited = limit.Limits{Cost: enough, Depth: enough, Aliases: enough, RootFields: enough}

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
		"fields": func(l *limit.Limits, n int) { l.RootFields = n },
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

		{"one_root_field", "fields", `{ item { name id } }`, "", 1},
		{"root_fields", "fields", `{ name item { name } some { name } }`, "", 3},
		{"root_fields_in_fragments", "fields", `{ ...f ... on Query { name } } fragment f on Query { name item { name } }`, "", 3},
		{"one_root_field_many_times", "fields", `{ name name name }`, "", 3},
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
		t.Run(fmt.Sprintf("%d_levels", levels), func(t *testing.T) {
			t.Parallel()
			var query strings.Builder
			query.WriteString("{ item { ...f0 } }\n")
			for i := range levels {
				fmt.Fprintf(&query, "fragment f%d on Item { ...f%d ...f%d }\n", i, i+1, i+1)
			}
			fmt.Fprintf(&query, "fragment f%d on Item { a: item { name } }", levels)
			op := operation(t, query.String(), "")
			start := time.Now()
			err := refusal(op, limit.Default)
			if took := time.Since(start); took > time.Second {
				t.Errorf("counting took %s", took)
			}
			if apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestExtension_cycles(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: sdl})
	for _, query := range []string{
		`{ item { ...a } } fragment a on Item { item { ...a } }`,
		`{ item { ...a } } fragment a on Item { ...b } fragment b on Item { ...a }`,
	} {
		if _, errs := gqlparser.LoadQueryWithRules(schema, query, nil); len(errs) == 0 {
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
