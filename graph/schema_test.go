package graph_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph"
	"marquee/graph/access"
	"marquee/internal/apitest"
	"marquee/internal/config"
)

// schemaFrom loads the contract from a folder of SDL files.
func schemaFrom(t *testing.T, folder string) *ast.Schema {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.graphqls"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no schema in %s: %v", folder, err)
	}
	sources := make([]*ast.Source, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = &ast.Source{Name: filepath.Base(path), Input: string(text)}
	}
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// contract returns the types that the contract defines itself, by name.
func contract(schema *ast.Schema) []*ast.Definition {
	var own []*ast.Definition
	for _, definition := range schema.Types {
		if !definition.BuiltIn && !strings.HasPrefix(definition.Name, "__") {
			own = append(own, definition)
		}
	}
	slices.SortFunc(own, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return own
}

// TestUnions_can_be_asked_for_as_a_whole: members of a union that share the name of a field give it one type, for otherwise
// no document that reads it of both is valid.
func TestUnions_can_be_asked_for_as_a_whole(t *testing.T) {
	t.Parallel()
	schema := schemaFrom(t, "../schema")
	for _, union := range contract(schema) {
		if union.Kind != ast.Union {
			continue
		}
		given := map[string]*ast.FieldDefinition{}
		for _, member := range union.Types {
			for _, field := range fieldsOf(schema.Types[member]) {
				if other := given[field.Name]; other != nil && other.Type.String() != field.Type.String() {
					t.Errorf("%s: %s is a %s of one member and a %s of %s", union.Name, field.Name, other.Type, field.Type, member)
				}
				given[field.Name] = field
			}
		}
	}
}

// fieldsOf returns the fields that the contract gives a type.
func fieldsOf(definition *ast.Definition) []*ast.FieldDefinition {
	return slices.DeleteFunc(slices.Clone(definition.Fields), func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
}

// TestSchema holds the contract to the rules of the house.
func TestSchema(t *testing.T) {
	t.Parallel()
	schema := schemaFrom(t, filepath.Join("..", "schema"))
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, breach := range rule(schema) {
				t.Error(breach)
			}
		})
	}
}

// TestSchemaRules makes sure that each rule sees what it forbids.
func TestSchemaRules(t *testing.T) {
	t.Parallel()
	const preamble = `
		"d" directive @auth on OBJECT | FIELD_DEFINITION
		"d" directive @public on OBJECT | FIELD_DEFINITION
		"d" directive @cost(weight: Int! lane: Lane! = BROWSE) on FIELD_DEFINITION
		"d" enum Lane { "d" BROWSE "d" PURCHASE }
		"d" directive @listSize(slicingArguments: [String!] assumedSize: Int) on FIELD_DEFINITION
		type Query { a(b: Int): A }
	`
	for rule, texts := range map[string][]string{
		"descriptions": {
			`type A @public { "d" a: Int }`, `"d" type A @public { a: Int }`, `"d" type A @public { "d" a(b: Int): Int }`, `"d" enum A { B }`,
			`"d" input AInput { a: Int } "d" type A @public { "d" a("d" b: AInput): Int }`, `scalar A`,
		},
		"viewers":   {`type A { a: Int }`, `type A @public @auth { a: Int }`, `type A @public { a: Int @auth @public }`},
		"list_size": {`type A { a: [B!]! } type B { b: Int }`, `type A { a: [B!]! } type B implements C { b: Int } interface C { b: Int }`, `type A { b(first: Int): BConnection } type BConnection { a: Int }`},
		"names": {
			`type A { a: Int } type a { a: Int }`, `type A { B: Int }`, `type A { b_c: Int }`, `enum A { b }`, `enum A { BadName }`, `type A { a: Int } input B { b: Int }`,
			`type A { a(B: Int): Int }`, `type A { a: Int } interface a { a: Int }`,
			`type A { a: Int } extend type Query { x: Int } type Mutation { setName(name: String): A }`,
			`type A { a: Int } input XInput { a: Int } type Mutation { doIt(input: XInput!): A }`,
			`type A { a: Int } input DoItInput { a: Int } type Mutation { doIt(input: DoItInput!): A }`,
			`type A { a: Int } type Cinema { a: Int }`,
		},
		"costs": {
			`type A { a: Int } type Mutation { doIt: A }`, `type A { a: Int } type Subscription { watchIt: A }`,
			`type A { a: Int @cost(weight: 0) }`, `type A { a: Int @cost(weight: -1) }`,
			`type A { a: Int } type Mutation { reserveSeats: A @cost(weight: 1) }`,
			`type A { a: Int } type Mutation { doIt: A @cost(weight: 1, lane: PURCHASE) }`,
		},
		"money": {`type A { price: Float }`, `type A { totalAmount: Int }`, `type A { fee: String }`, `type A { refunded: BigInt } scalar BigInt`},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for _, text := range texts {
				schema, err := gqlparser.LoadSchema(&ast.Source{Input: preamble + text})
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if len(rules[rule](schema)) == 0 {
					t.Errorf("%s breaks no rule", text)
				}
			}
		})
	}
}

// rules return a sentence for each breach.
var rules = map[string]func(*ast.Schema) []string{
	"descriptions": undescribed,
	"viewers":      unguarded,
	"list_size":    unsized,
	"names":        misnamed,
	"money":        uncounted,
	"costs":        unpriced,
}

// breaches collects sentences.
type breaches []string

func (b *breaches) add(format string, args ...any) { *b = append(*b, fmt.Sprintf(format, args...)) }

func undescribed(schema *ast.Schema) []string {
	var found breaches
	need := func(what, description string) {
		if strings.TrimSpace(description) == "" {
			found.add("%s has no description", what)
		}
	}
	arguments := func(of string, list ast.ArgumentDefinitionList) {
		for _, argument := range list {
			need(of+"("+argument.Name+":)", argument.Description)
		}
	}
	for _, definition := range contract(schema) {
		need(definition.Name, definition.Description)
		for _, field := range fieldsOf(definition) {
			need(definition.Name+"."+field.Name, field.Description)
			arguments(definition.Name+"."+field.Name, field.Arguments)
		}
		for _, value := range definition.EnumValues {
			need(definition.Name+"."+value.Name, value.Description)
		}
	}
	for _, directive := range schema.Directives {
		if directive.Position.Src != nil && !directive.Position.Src.BuiltIn {
			need("@"+directive.Name, directive.Description)
			arguments("@"+directive.Name, directive.Arguments)
		}
	}
	return found
}

// guards counts the rules about who may read.
func guards(list ast.DirectiveList) int {
	return len(list.ForNames("auth")) + len(list.ForNames("public"))
}

// unguarded finds fields of objects that say not, or say twice, who may read them. A field's own rule stands in for
// that of its type; Query, Mutation and Subscription have none for all.
func unguarded(schema *ast.Schema) []string {
	var found breaches
	for _, definition := range contract(schema) {
		if definition.Kind != ast.Object {
			continue
		}
		if n := guards(definition.Directives); n > 1 {
			found.add("%s carries %d rules about who may read it", definition.Name, n)
		}
		for _, field := range fieldsOf(definition) {
			own := guards(field.Directives)
			if own > 1 || own == 0 && guards(definition.Directives) == 0 {
				found.add("%s.%s carries %d rules about who may read it, and its type %d", definition.Name, field.Name, own, guards(definition.Directives))
			}
		}
	}
	return found
}

// unsized finds lists of objects whose cost nobody can count. The edges and nodes of a connection have the size that the
// field has which returns the connection.
func unsized(schema *ast.Schema) []string {
	var found breaches
	for _, definition := range contract(schema) {
		if definition.Kind != ast.Object && definition.Kind != ast.Interface {
			continue
		}
		for _, field := range fieldsOf(definition) {
			connection := strings.HasSuffix(field.Type.Name(), "Connection")
			listed := field.Type.Elem != nil && schema.Types[field.Type.Name()].IsCompositeType()
			inPage := strings.HasSuffix(definition.Name, "Connection") && (field.Name == "edges" || field.Name == "nodes")
			if (connection || listed && !inPage) && field.Directives.ForName("listSize") == nil {
				found.add("%s.%s has no @listSize", definition.Name, field.Name)
			}
		}
	}
	return found
}

var (
	upperCamel = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	lowerCamel = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	upperSnake = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
	// banned are words of the glossary's right column, where they would be whole words of a name.
	banned = regexp.MustCompile(`(?i)\b(cinema|venue|hall|room|chair|spot|film|screening|order|cart|voucher|pass|charge|actor)\b`)
)

func misnamed(schema *ast.Schema) []string {
	var found breaches
	need := func(pattern *regexp.Regexp, what, name string) {
		if !pattern.MatchString(name) {
			found.add("%s does not match %s", what, pattern)
		}
		words := regexp.MustCompile(`([a-z0-9])([A-Z])|_`).ReplaceAllString(name, "$1 $2")
		// What a list is sorted by is an order, too.
		if word := banned.FindString(strings.NewReplacer("Movie Order", "", "order By", "").Replace(words)); word != "" {
			found.add("%s says %q, which the glossary does not", what, word)
		}
	}
	for _, definition := range contract(schema) {
		need(upperCamel, definition.Name, definition.Name)
		for _, field := range fieldsOf(definition) {
			need(lowerCamel, definition.Name+"."+field.Name, field.Name)
			for _, argument := range field.Arguments {
				need(lowerCamel, definition.Name+"."+field.Name+"("+argument.Name+":)", argument.Name)
			}
		}
		for _, value := range definition.EnumValues {
			need(upperSnake, definition.Name+"."+value.Name, value.Name)
		}
		if definition.Kind == ast.InputObject && !strings.HasSuffix(definition.Name, "Input") && !strings.HasSuffix(definition.Name, "Filter") {
			found.add("the input %s is neither an Input nor a Filter", definition.Name)
		}
	}
	if schema.Mutation == nil {
		return found
	}
	for _, field := range fieldsOf(schema.Mutation) {
		verb := strings.ToUpper(field.Name[:1]) + field.Name[1:]
		if len(field.Arguments) > 1 || len(field.Arguments) == 1 && (field.Arguments[0].Name != "input" || field.Arguments[0].Type.String() != verb+"Input!") {
			found.add("the mutation %s takes something else than input: %sInput!", field.Name, verb)
		}
		if result := field.Type.Name(); result != verb+"Payload" && result != verb+"Result" {
			found.add("the mutation %s returns %s, neither %sPayload nor %sResult", field.Name, result, verb, verb)
		}
	}
	return found
}

// monetary are the names of amounts of money. Money itself holds the number.
var monetary = regexp.MustCompile(`(?i)(price|amount|total|refunded|fee|tax|discount|balance)$`)

func uncounted(schema *ast.Schema) []string {
	var found breaches
	for _, definition := range contract(schema) {
		if definition.Kind == ast.Enum || definition.Name == "Money" {
			continue
		}
		for _, field := range fieldsOf(definition) {
			if monetary.MatchString(field.Name) && field.Type.Name() != "Money" {
				found.add("%s.%s is %s, not Money", definition.Name, field.Name, field.Type)
			}
		}
	}
	return found
}

// purchases are the mutations that browsing must never keep anybody from.
var purchases = []string{"reserveSeats", "payReservation", "acceptOfferedSeats", "declineOfferedSeats", "cancelReservation", "changeSeats", "swapSeats", "extendHold", "payLater"}

// unpriced finds mutations and subscriptions that cost nothing by themselves, and those in the wrong lane.
func unpriced(schema *ast.Schema) []string {
	var found breaches
	for _, definition := range contract(schema) {
		for _, field := range fieldsOf(definition) {
			cost := field.Directives.ForName("cost")
			if cost == nil {
				if definition == schema.Mutation || definition == schema.Subscription {
					found.add("%s.%s has no @cost", definition.Name, field.Name)
				}
				continue
			}
			if weight, err := strconv.Atoi(cost.Arguments.ForName("weight").Value.Raw); err != nil || weight < 1 {
				found.add("%s.%s costs less than a point", definition.Name, field.Name)
			}
			lane := cost.Arguments.ForName("lane")
			if isPurchase := lane != nil && lane.Value.Raw == "PURCHASE"; isPurchase != slices.Contains(purchases, field.Name) {
				found.add("%s.%s is in the wrong lane", definition.Name, field.Name)
			}
		}
	}
	return found
}

// TestSchemaServed makes sure that what is served is the contract, directives and all.
func TestSchemaServed(t *testing.T) {
	t.Parallel()
	served := graph.NewSchema(&graph.Resolver{}).Schema()
	written := schemaFrom(t, filepath.Join("..", "schema"))
	describe := func(schema *ast.Schema) map[string]string {
		lines := map[string]string{}
		for _, definition := range contract(schema) {
			for _, field := range fieldsOf(definition) {
				var directives []string
				for _, directive := range append(slices.Clone(field.Directives), definition.Directives...) {
					directives = append(directives, "@"+directive.Name)
				}
				lines[definition.Name+"."+field.Name] = field.Type.String() + " " + strings.Join(directives, " ")
			}
		}
		return lines
	}
	want, got := describe(written), describe(served)
	for name, line := range want {
		if got[name] != line {
			t.Errorf("%s is served as %q, written as %q", name, got[name], line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d fields are served, %d written", len(got), len(want))
	}
}

// TestA7_matrix executes every field of the root types as every kind of caller, and compares with the rules that
// docs/authorization.md is written from: who may not ask is told so before anything is done, and nobody else is. AZ4: to
// nobody, everything is refused that is not public.
func TestA7_matrix(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	schema := graph.NewSchema(&graph.Resolver{}).Schema()
	rules, err := access.NewRules(schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, persona := range access.Personas(a.World.Theaters[0].Key) {
		newClient := a.Anonymous
		if persona.Name != "anonymous" {
			newClient = func() apitest.Client { return a.As(slices.Collect(persona.Grants.All())...) }
		}
		shared := newClient()
		for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
			for _, field := range fieldsOf(root) {
				t.Run(field.Name+"_as_"+persona.Name, func(t *testing.T) {
					client := shared
					if field.Name == "signOut" || field.Name == "deleteAccount" { // they end the session
						client = newClient()
					}
					answer := string(client.With(t).Raw(probe(root, field, schema), nil).Body)
					refused := strings.Contains(answer, `"UNAUTHENTICATED"`) || strings.Contains(answer, `"FORBIDDEN"`)
					if may := persona.May(rules.Of(root.Name, field.Name)); may == refused {
						t.Errorf("may %s: %t, but: %s", rules.Of(root.Name, field.Name), may, answer)
					}
				})
			}
		}
	}
}

// probe is an operation that asks for a field with whatever arguments it must have.
func probe(root *ast.Definition, field *ast.FieldDefinition, schema *ast.Schema) string {
	var arguments []string
	for _, argument := range field.Arguments {
		if argument.Type.NonNull && argument.DefaultValue == nil {
			arguments = append(arguments, argument.Name+": "+anything(argument.Type, schema))
		}
	}
	call := field.Name
	if len(arguments) > 0 {
		call += "(" + strings.Join(arguments, ", ") + ")"
	}
	kind := "query"
	if root == schema.Mutation {
		kind = "mutation"
	}
	return kind + " { " + call + " { __typename } }"
}

// anything is a literal of a type.
func anything(t *ast.Type, schema *ast.Schema) string {
	if t.Elem != nil {
		return "[]"
	}
	definition := schema.Types[t.NamedType]
	switch {
	case definition.Kind == ast.Enum:
		return definition.EnumValues[0].Name
	case definition.Kind == ast.InputObject:
		var fields []string
		for _, field := range definition.Fields {
			if field.Type.NonNull {
				fields = append(fields, field.Name+": "+anything(field.Type, schema))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case t.NamedType == "Int" || t.NamedType == "Float":
		return "1"
	case t.NamedType == "BigInt":
		return `"1"`
	case t.NamedType == "LocalDateTime":
		return `"2026-11-22T20:30:00"`
	case t.NamedType == "DateTime":
		return `"2026-11-22T19:30:00Z"`
	case t.NamedType == "Date":
		return `"2026-11-22"`
	case t.NamedType == "Boolean":
		return "true"
	default:
		return `"anything"`
	}
}

// introspectionQuery is what GraphiQL asks first; types nest nine times in it, as deep as the reference client goes.
const introspectionQuery = `query IntrospectionQuery { __schema {
	queryType { name } mutationType { name } subscriptionType { name } types { ...FullType }
	directives { name description locations args { ...InputValue } } } }
	fragment FullType on __Type { kind name description specifiedByURL
		fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
		inputFields { ...InputValue } interfaces { ...TypeRef }
		enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
	fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
	fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
		ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }`

func TestIntrospection(t *testing.T) {
	t.Parallel()
	t.Run("development_shows_the_schema", func(t *testing.T) {
		t.Parallel()
		var out struct {
			Schema struct{ Types []struct{ Name string } } `json:"__schema"`
		}
		apitest.New(t, apitest.Bare()).Anonymous().Get(introspectionQuery, nil, &out)
		if len(out.Schema.Types) < 50 {
			t.Errorf("%d types", len(out.Schema.Types))
		}
	})
	t.Run("production_hides_it", func(t *testing.T) {
		t.Parallel()
		a := apitest.New(t, apitest.Bare(), apitest.With(func(c *config.Config) { c.Env = config.Production }))
		answer := string(a.Anonymous().Raw(`{ __schema { types { name } } }`, nil).Body)
		if strings.Contains(answer, "MovieConnection") || !strings.Contains(answer, `"errors"`) {
			t.Error(answer)
		}
		if answer := string(a.Anonymous().Raw(`{ movie { titel } }`, nil).Body); strings.Contains(answer, "title") {
			t.Errorf("a misspelt field is answered with a suggestion: %s", answer)
		}
		if answer := a.Visit("/"); answer.Status != 404 {
			t.Errorf("the console is served in production: %d", answer.Status)
		}
	})
}
