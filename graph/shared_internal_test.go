package graph

import (
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

func TestShareable(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `
		directive @auth on OBJECT | FIELD_DEFINITION
		directive @public on OBJECT | FIELD_DEFINITION
		directive @shared on FIELD_DEFINITION
		type Query { a: Int @public }
		type Subscription {
			news: News! @public @shared
			mine: News! @public
			signedIn: News! @auth @shared
			event: Event @public @shared
			node: Node @public @shared
		}
		type News @public { id: ID text: String secret: String @auth author: Author next: News }
		type Author { name: String @public mail: String @auth phone: String }
		type Account @auth { id: ID name: String @public }
		union Event = News | Account
		interface Node { id: ID @public }
		interface Named { name: String @public }
		type Open implements Node @public { id: ID }
		type Closed implements Node { id: ID @auth }
		type Visible implements Named & Node @public { id: ID name: String }
	`})
	for name, test := range map[string]struct {
		query string
		want  bool
	}{
		"public_fields":                   {`{ news { id text next { text } } }`, true},
		"under_an_alias":                  {`{ text: news { secret: text } }`, true},
		"typename":                        {`{ news { __typename } }`, true},
		"public_by_the_fields_own_rule":   {`{ news { author { name } } }`, true},
		"a_field_that_is_not_shared":      {`{ mine { text } }`, false},
		"a_shared_field_with_a_role":      {`{ signedIn { text } }`, false},
		"a_field_with_a_role":             {`{ news { text secret } }`, false},
		"a_field_with_a_role_far_below":   {`{ news { next { next { author { mail } } } } }`, false},
		"a_field_without_a_rule":          {`{ news { author { phone } } }`, false},
		"public_in_a_type_with_a_role":    {`{ event { ... on Account { name } } }`, false},
		"the_public_part_of_a_union":      {`{ event { ... on News { text } } }`, true},
		"a_role_in_a_fragment":            {`{ ...f } fragment f on Subscription { news { ...g } } fragment g on News { secret }`, false},
		"a_public_fragment":               {`{ ...f } fragment f on Subscription { news { ...g next { ...g } } } fragment g on News { text }`, true},
		"not_shared_in_a_fragment":        {`{ ...f } fragment f on Subscription { mine { text } }`, false},
		"an_inline_fragment":              {`{ ... { news { ... on News { text } } } }`, true},
		"a_role_in_an_inline_fragment":    {`{ ... { news { ... on News { secret } } } }`, false},
		"not_shared_in_an_inline_one":     {`{ ... { mine { text } } }`, false},
		"an_interface_with_a_closed_type": {`{ node { id } }`, false},
		"a_type_of_an_interface":          {`{ node { ... on Open { id } } }`, true},
		"an_interface_of_public_types":    {`{ node { ... on Named { name } } }`, true},
		"a_role_that_is_skipped":          {`{ news { secret @skip(if: true) text } }`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document, errs := gqlparser.LoadQueryWithRules(schema, "subscription "+test.query, nil)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			if got := shareable(schema)(&graphql.OperationContext{Doc: document, Operation: document.Operations[0]}); got != test.want {
				t.Errorf("shareable is %t, want %t", got, test.want)
			}
		})
	}
}
