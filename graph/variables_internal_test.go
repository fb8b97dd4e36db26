package graph

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"marquee/internal/apperr"
)

// oneOfs is a contract with inputs of which one field must be given.
const oneOfs = `
	input By @oneOf { id: ID name: String place: Place either: By any: [By!] }
	input Place { city: String near: By }
	type Query { find(by: By): Int all(by: [By!]): Int table(by: [[By]]): Int at(place: Place!): Int }
`

// TestStrictVariables_oneOf gives inputs in variables, of which the libraries check nothing but the names and types.
func TestStrictVariables_oneOf(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: oneOfs})
	for name, test := range map[string]struct {
		query, variables string
		wrong            []string // paths; none: it is right
	}{
		"one":                      {`query ($v: By) { find(by: $v) }`, `{"v":{"id":"1"}}`, nil},
		"another":                  {`query ($v: By) { find(by: $v) }`, `{"v":{"name":"x"}}`, nil},
		"no_input_at_all":          {`query ($v: By) { find(by: $v) }`, `{}`, nil},
		"a_null_input":             {`query ($v: By) { find(by: $v) }`, `{"v":null}`, nil},
		"none":                     {`query ($v: By) { find(by: $v) }`, `{"v":{}}`, []string{"$v"}},
		"two":                      {`query ($v: By) { find(by: $v) }`, `{"v":{"id":"1","name":"x"}}`, []string{"$v"}},
		"null":                     {`query ($v: By) { find(by: $v) }`, `{"v":{"id":null}}`, []string{"$v"}},
		"one_and_null":             {`query ($v: By) { find(by: $v) }`, `{"v":{"id":"1","name":null}}`, []string{"$v"}},
		"in_an_input":              {`query ($v: Place!) { at(place: $v) }`, `{"v":{"city":"x","near":{"id":"1","name":"x"}}}`, []string{"$v.near"}},
		"in_an_input_in_itself":    {`query ($v: By) { find(by: $v) }`, `{"v":{"place":{"near":{}}}}`, []string{"$v.place.near"}},
		"in_itself":                {`query ($v: By) { find(by: $v) }`, `{"v":{"either":{"either":{"id":"1","name":"x"}}}}`, []string{"$v.either.either"}},
		"right_in_itself":          {`query ($v: By) { find(by: $v) }`, `{"v":{"either":{"any":[{"id":"1"},{"place":{"near":{"name":"x"}}}]}}}`, nil},
		"in_a_list":                {`query ($v: [By!]) { all(by: $v) }`, `{"v":[{"id":"1"},{},{"name":"x"},{"id":"1","name":"x"}]}`, []string{"$v.1", "$v.3"}},
		"instead_of_a_list":        {`query ($v: [By!]) { all(by: $v) }`, `{"v":{}}`, []string{"$v.0"}},
		"right_instead_of_a_list":  {`query ($v: [By!]) { all(by: $v) }`, `{"v":{"id":"1"}}`, nil},
		"in_a_list_of_lists":       {`query ($v: [[By]]) { table(by: $v) }`, `{"v":[[{"id":"1"}],[null,{"id":null}]]}`, []string{"$v.1.1"}},
		"in_a_list_in_itself":      {`query ($v: By) { find(by: $v) }`, `{"v":{"any":[{"any":[{}]}]}}`, []string{"$v.any.0.any.0"}},
		"in_two_variables":         {`query ($v: By, $w: By) { find(by: $v) a: find(by: $w) }`, `{"v":{},"w":{"id":"1","name":"x"}}`, []string{"$v", "$w"}},
		"a_field_of_another_type":  {`query ($v: By) { find(by: $v) }`, `{"v":{"id":true}}`, []string{"$v.id"}},
		"a_default":                {`query ($v: By = {id: "1"}) { find(by: $v) }`, `{}`, nil},
		"more_than_anybody_reads":  {`query ($v: [By!]) { all(by: $v) }`, `{"v":[` + strings.Repeat(`{},`, 5000) + `{}]}`, numberedPaths("$v.", maxProblems)},
		"a_default_that_is_wrong":  {`query ($v: By = {}) { find(by: $v) }`, `{}`, []string{"?"}},
		"a_literal_that_is_wrong":  {`{ find(by: {id: "1", name: "x"}) }`, `{}`, []string{"?"}},
		"a_literal_that_may_be":    {`query ($v: ID) { find(by: {id: $v}) }`, `{}`, []string{"?"}},
		"a_literal_with_variables": {`query ($v: ID!) { find(by: {id: $v}) }`, `{"v":"1"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document, errs := gqlparser.LoadQueryWithRules(schema, test.query, nil)
			if len(errs) > 0 {
				// What a document itself says is the libraries' to refuse.
				if !slices.Equal(test.wrong, []string{"?"}) {
					t.Fatal(errs)
				}
				return
			}
			decoder := json.NewDecoder(strings.NewReader(test.variables))
			decoder.UseNumber()
			var given map[string]any
			if err := decoder.Decode(&given); err != nil {
				t.Fatal(err)
			}
			op := &graphql.OperationContext{Operation: document.Operations[0]}
			var err error
			if op.Variables, err = validator.VariableValues(schema, op.Operation, given); err == nil {
				if refused := (strictVariables{schema}).MutateOperationContext(t.Context(), op); refused != nil {
					err = refused
				}
			}
			var wrong []string
			if refused, ok := errors.AsType[*apperr.Error](err); ok {
				for _, field := range refused.Fields {
					wrong = append(wrong, field.Path)
				}
			} else if err != nil {
				shown := presenter{classify: func(error) *apperr.Error { return nil }}.translate(t.Context(), err)
				_, path, _ := strings.Cut(shown.Message, " ")
				path, _, _ = strings.Cut(path, " ")
				wrong = append(wrong, path)
			}
			slices.Sort(wrong)
			slices.Sort(test.wrong)
			if !slices.Equal(wrong, test.wrong) {
				t.Errorf("%q are wrong, want %q: %v", wrong, test.wrong, err)
			}
		})
	}
}

// numberedPaths are the first n paths below a prefix.
func numberedPaths(prefix string, n int) []string {
	paths := make([]string, n)
	for i := range paths {
		paths[i] = prefix + string(rune('0'+i))
	}
	return paths
}
