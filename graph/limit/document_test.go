package limit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/limit"
	"marquee/internal/apperr"
)

// read gives a document to the extension.
func read(e limit.Extension, query string) *gqlerror.Error {
	return e.MutateOperationParameters(context.Background(), &graphql.RawParams{Query: query})
}

// TestExtension_MutateOperationParameters admits a document at exactly its measure, and refuses it one below.
func TestExtension_MutateOperationParameters(t *testing.T) {
	t.Parallel()
	bounds := map[string]func(l *limit.Limits, n int){
		"tokens":      func(l *limit.Limits, n int) { l.Tokens = n },
		"directives":  func(l *limit.Limits, n int) { l.Directives = n },
		"comparisons": func(l *limit.Limits, n int) { l.Comparisons = n },
	}
	for _, test := range []struct {
		name, bound, query string
		want               int
	}{
		{"words_and_signs", "tokens", `{ item(id: "a b c") { name } }`, 11},
		{"directives_everywhere", "directives", `query ($a: Int @once) @once { name @once ... @once { id } ...f @once } fragment f on Query @once { name @once @once }`, 8},
		{"directives_nobody_knows", "directives", `{ name ` + strings.Repeat("@a ", 50) + `}`, 50},
		{"directives_of_a_fragment_spread_twice", "directives", `{ item { ...f ...f } } fragment f on Item { id @once }`, 1},
		{"no_field_twice", "comparisons", `{ a b c }`, 0},
		{"one_field_five_times", "comparisons", `{ a a a a a }`, 10},
		{"two_fields_thrice", "comparisons", `{ a b a b a b }`, 6},
		{"one_name_of_several_fields", "comparisons", `{ a: b a: c a }`, 3},
		{"several_names_of_one_field", "comparisons", `{ a: d b: d c: d }`, 0},
		{"fields_below_each_other", "comparisons", `{ a { b } a { b } a { b } }`, 6},
		{"fields_in_fragments", "comparisons", `{ ...f a ... on Query { a } } fragment f on Query { a a }`, 24},
		{"fields_in_nested_fragments", "comparisons", `{ ... { ... { a a } ... { b } } }`, 9},
		{"gathering_alone", "comparisons", `{ ... { a b c d } }`, 8},
		{"a_fragment_of_several_operations", "comparisons", `query A { ...f } query B { ...f } fragment f on Query { a a }`, 6},
		{"fields_of_several_operations", "comparisons", `query A { a } query B { a }`, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			limits := unlimited
			bounds[test.bound](&limits, test.want)
			if err := read(limit.Extension{Limits: limits}, test.query); err != nil {
				t.Errorf("with %d: %v", test.want, err)
			}
			if test.want == 0 {
				return
			}
			bounds[test.bound](&limits, test.want-1)
			if err := read(limit.Extension{Limits: limits}, test.query); err == nil || apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("with %d: %v", test.want-1, err)
			}
		})
	}
}

func TestExtension_MutateOperationParameters_sentences(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		query, want string
		line        int
	}{
		"not_a_document": {"{ name ", "The document cannot be read: expected Name, found the end.", 1},
		"a_text_open":    {"{\n name(a: \"b) }", "The document cannot be read: unexpected sign.", 2},
		"nothing":        {"", "The document holds no operation.", 0},
		"a_remark":       {"# hello", "The document holds no operation.", 0},
		"no_operation":   {"fragment f on Item { id }", "The document holds no operation.", 0},
		"too_long":       {"{" + strings.Repeat(" name", 2000) + "}", "This document has more than 2000 words and signs. Ask for less at once.", 0},
		"too_repetitive": {"{" + strings.Repeat(" name", 1500) + "}", "This document names the same fields too often, or in too many fragments. Ask for each once.", 0},
		"too_directed":   {"{ name" + strings.Repeat(" @once", 101) + "}", "This document has more than 100 directives. Ask for less at once.", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := read(limit.Extension{Limits: limit.Default}, test.query)
			if err == nil || err.Message != test.want || apperr.CodeOf(err) != apperr.BadUserInput {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if test.line == 0 && len(err.Locations) > 0 || test.line > 0 && (len(err.Locations) != 1 || err.Locations[0].Line != test.line) {
				t.Errorf("at %v, want line %d", err.Locations, test.line)
			}
		})
	}
}

// TestExtension_known_documents makes sure that a document that was read before is neither read nor charged again.
func TestExtension_known_documents(t *testing.T) {
	t.Parallel()
	known := graphql.MapCache[*ast.QueryDocument]{}
	query := "{" + strings.Repeat(" name", 5) + "}"
	e := limit.Extension{Limits: limit.Limits{Tokens: 3}, Documents: known}
	if err := read(e, query); err == nil {
		t.Fatal("an unknown document was not read")
	}
	known.Add(context.Background(), query, &ast.QueryDocument{})
	if err := read(e, query); err != nil {
		t.Errorf("a known document was read: %v", err)
	}
}

// BenchmarkReading prints what it takes to admit documents that take as long as they may.
func BenchmarkReading(b *testing.B) {
	schema := contract()
	e := limit.Extension{Limits: limit.Default, Schema: schema}
	for name, query := range map[string]string{
		"one_name_again_and_again":         "{ item {" + strings.Repeat(" id", 500) + " } }",
		"inline_fragments_around_names":    "{" + strings.Repeat("...{", 490) + strings.Repeat(" name", 22) + strings.Repeat("}", 491),
		"operations_over_nested_fragments": manyOperations(40, strings.Repeat("...{", 100)+strings.Repeat(" name", 8)+strings.Repeat("}", 100)),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := read(e, query); err != nil {
					b.Fatal(err)
				}
				if _, errs := gqlparser.LoadQueryWithRules(schema, query, nil); len(errs) > 0 {
					b.Fatal(errs)
				}
			}
		})
	}
}

// manyOperations is a document of n operations that all spread one fragment.
func manyOperations(n int, selection string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "query Q%d{...F} ", i)
	}
	return text.String() + "fragment F on Query{" + selection + "}"
}

// BenchmarkRefusal prints what it takes to refuse documents that are made to choke the server, from the text on.
func BenchmarkRefusal(b *testing.B) {
	schema := contract()
	e := limit.Extension{Limits: limit.Default, Schema: schema}
	for _, test := range []struct{ name, query string }{
		{"fragment_bomb", bomb(22, "a: item { name }")},
		{"duplicates", "{ item {" + strings.Repeat(" id", 4000) + " } }"},
		{"duplicates_within_the_tokens", "{ item {" + strings.Repeat(" id", 1980) + " } }"},
		{"inline_fragments_around_duplicates", "{" + strings.Repeat("...{", 240) + strings.Repeat(" name", 500) + strings.Repeat("}", 241)},
		{"operations_over_a_fragment", manyOperations(120, strings.Repeat("...{", 240)+strings.Repeat(" name", 500)+strings.Repeat("}", 240))},
		{"directives", "{ name " + strings.Repeat("@a", 50_000) + "}"},
		{"aliases", "{" + strings.Repeat(" a: name", 660) + "}"},
	} {
		b.Run(fmt.Sprintf("%s_%d_bytes", test.name, len(test.query)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if read(e, test.query) != nil {
					continue
				}
				document, errs := gqlparser.LoadQueryWithRules(schema, test.query, nil)
				if len(errs) > 0 {
					b.Fatal(errs)
				}
				if refusal(&graphql.OperationContext{Operation: document.Operations[0], Doc: document}, limit.Default) == nil {
					b.Fatal("it is not refused")
				}
			}
		})
	}
}
