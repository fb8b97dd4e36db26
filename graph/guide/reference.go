package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/limit"
	"marquee/graph/transport"
)

//go:embed guide.md.tmpl
var story string

// guideOf fills in the story.
func guideOf(schema *ast.Schema) ([]byte, error) {
	tmpl, err := template.New("guide").Option("missingkey=error").Parse(story)
	if err != nil {
		return nil, fmt.Errorf("read the guide's template: %w", err)
	}
	var out bytes.Buffer
	err = tmpl.Execute(&out, map[string]any{
		"Limits": limit.Default,
		"Body":   transport.DefaultMaxBytes >> 10,
		"Query":  transport.DefaultMaxQueryBytes >> 10,
		"Socket": map[string]any{
			"Message":     transport.DefaultReadLimit >> 10,
			"Rate":        transport.DefaultMessageRate,
			"Operations":  transport.DefaultMaxOperations,
			"User":        transport.DefaultMaxPerUser,
			"Address":     transport.DefaultMaxPerAddress,
			"Recheck":     transport.DefaultRecheckInterval,
			"InitTimeout": transport.DefaultInitTimeout,
		},
		"Reference": reference(schema),
	})
	if err != nil {
		return nil, fmt.Errorf("fill in the guide: %w", err)
	}
	return out.Bytes(), nil
}

// reference describes every field of the root types and every type, as Markdown.
func reference(schema *ast.Schema) string {
	r := &renderer{schema: schema}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root != nil {
			r.root(root)
		}
	}
	for _, chapter := range []struct {
		title string
		kind  ast.DefinitionKind
	}{
		{"Objects", ast.Object},
		{"Interfaces", ast.Interface},
		{"Unions", ast.Union},
		{"Inputs", ast.InputObject},
		{"Enums", ast.Enum},
		{"Scalars", ast.Scalar},
	} {
		r.printf("\n### %s\n", chapter.title)
		for _, definition := range r.definitions(chapter.kind) {
			r.definition(definition)
		}
	}
	return strings.TrimSpace(r.out.String())
}

// renderer writes Markdown.
type renderer struct {
	schema *ast.Schema
	out    strings.Builder
}

func (r *renderer) printf(format string, args ...any) { fmt.Fprintf(&r.out, format, args...) }

// definitions returns the contract's own types of a kind by name, the root types aside.
func (r *renderer) definitions(kind ast.DefinitionKind) []*ast.Definition {
	var found []*ast.Definition
	for _, definition := range r.schema.Types {
		isRoot := definition == r.schema.Query || definition == r.schema.Mutation || definition == r.schema.Subscription
		if definition.Kind == kind && !isRoot && !definition.BuiltIn && !strings.HasPrefix(definition.Name, "__") {
			found = append(found, definition)
		}
	}
	slices.SortFunc(found, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// root describes a root type, with a heading for each of its fields.
func (r *renderer) root(root *ast.Definition) {
	r.printf("\n### %s\n\n%s\n", root.Name, text(root.Description))
	for _, field := range fieldsOf(root) {
		r.printf("\n#### %s.%s\n\n%s\n\n", root.Name, field.Name, text(field.Description))
		r.printf("Gives %s. For %s.%s\n", r.link(field.Type), audience(field.Directives, root.Directives), deprecated(field.Directives))
		if len(field.Arguments) == 0 {
			continue
		}
		r.printf("\n| argument | type | meaning |\n|---|---|---|\n")
		for _, argument := range field.Arguments {
			r.printf("| `%s` | %s | %s%s%s |\n", argument.Name, r.link(argument.Type), text(argument.Description),
				otherwise(argument.DefaultValue), deprecated(argument.Directives))
		}
	}
}

// definition describes a type.
func (r *renderer) definition(d *ast.Definition) {
	r.printf("\n#### %s\n\n%s", d.Name, text(d.Description))
	if d.Kind == ast.Object {
		r.printf(" For %s.", audience(d.Directives, nil))
	}
	if len(d.Interfaces) > 0 {
		r.printf(" Implements %s.", r.names(d.Interfaces))
	}
	if d.Kind == ast.Interface {
		var by []string
		for _, implementation := range r.schema.GetPossibleTypes(d) {
			by = append(by, implementation.Name)
		}
		slices.Sort(by)
		r.printf(" Implemented by %s.", r.names(by))
	}
	if d.Kind == ast.Union {
		r.printf(" One of %s.", r.names(d.Types))
	}
	r.printf("\n")
	switch d.Kind {
	case ast.Enum:
		r.printf("\n| value | meaning |\n|---|---|\n")
		for _, value := range d.EnumValues {
			r.printf("| `%s` | %s%s |\n", value.Name, text(value.Description), deprecated(value.Directives))
		}
	case ast.Object, ast.Interface, ast.InputObject:
		r.printf("\n| field | type | meaning |\n|---|---|---|\n")
		for _, field := range fieldsOf(d) {
			r.printf("| `%s` | %s | %s%s%s |\n", signature(field), r.link(field.Type), text(field.Description),
				otherwise(field.DefaultValue), deprecated(field.Directives))
		}
	case ast.Scalar, ast.Union:
	}
}

// fieldsOf are the fields that the contract gives a type.
func fieldsOf(d *ast.Definition) []*ast.FieldDefinition {
	return slices.DeleteFunc(slices.Clone(d.Fields), func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
}

// signature is a field's name with the names of its arguments.
func signature(field *ast.FieldDefinition) string {
	if len(field.Arguments) == 0 {
		return field.Name
	}
	names := make([]string, len(field.Arguments))
	for i, argument := range field.Arguments {
		names[i] = argument.Name
	}
	return field.Name + "(" + strings.Join(names, ", ") + ")"
}

// link is a type as code that leads to its description.
func (r *renderer) link(t *ast.Type) string {
	if r.schema.Types[t.Name()].BuiltIn {
		return "`" + t.String() + "`"
	}
	return "[`" + t.String() + "`](#" + strings.ToLower(t.Name()) + ")"
}

func (r *renderer) names(names []string) string {
	links := make([]string, len(names))
	for i, name := range names {
		links[i] = r.link(ast.NamedType(name, nil))
	}
	return strings.Join(links, ", ")
}

// audience says who may read a field, by its own rule or else by its type's.
func audience(own, inherited ast.DirectiveList) string {
	for _, list := range []ast.DirectiveList{own, inherited} {
		if list.ForName("public") != nil {
			return "everybody"
		}
		if rule := list.ForName("auth"); rule != nil {
			role := rule.Arguments.ForName("role")
			if role == nil {
				return "signed-in viewers"
			}
			who := "viewers with the role `" + role.Value.Raw + "`" + whereOf(rule)
			if also := rule.Arguments.ForName("also"); also != nil {
				who += ", or with the role `" + also.Value.Raw + "`"
			}
			return who
		}
	}
	return "whoever may read its fields"
}

// whereOf tells where a viewer must have the role of a rule, when not on the whole platform.
func whereOf(rule *ast.Directive) string {
	if scope := rule.Arguments.ForName("scope"); scope != nil && scope.Value.Raw == "THEATER" {
		return " at the theater"
	}
	return ""
}

// otherwise tells a default.
func otherwise(value *ast.Value) string {
	if value == nil {
		return ""
	}
	return " Otherwise `" + value.String() + "`."
}

// deprecated tells what to use instead.
func deprecated(list ast.DirectiveList) string {
	directive := list.ForName("deprecated")
	if directive == nil {
		return ""
	}
	reason := "it will be removed"
	if argument := directive.Arguments.ForName("reason"); argument != nil {
		reason = text(argument.Value.Raw)
	}
	return " **Deprecated:** " + reason
}

// text is a description on one line, fit for the cell of a table.
func text(description string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(description), " "), "|", `\|`)
}
