package graph

import (
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// shareable returns the rule of [transport.Websocket].Shared: a subscription may share its stream with others like it
// if its field is @shared and everybody may read all that it selects.
func shareable(schema *ast.Schema) func(*graphql.OperationContext) bool {
	return func(operation *graphql.OperationContext) bool {
		walk := publicWalk{schema: schema, fragments: map[string]bool{}}
		return isShared(operation.Operation.SelectionSet) && walk.selections(operation.Operation.SelectionSet)
	}
}

// isShared reports whether all fields of a subscription are @shared, of which validation admits one.
func isShared(selections ast.SelectionSet) bool {
	for _, selection := range selections {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Definition.Directives.ForName("shared") == nil {
				return false
			}
		case *ast.InlineFragment:
			if !isShared(s.SelectionSet) {
				return false
			}
		case *ast.FragmentSpread:
			if !isShared(s.Definition.SelectionSet) {
				return false
			}
		}
	}
	return true
}

// publicWalk looks for a field that not everybody may read.
type publicWalk struct {
	schema    *ast.Schema
	fragments map[string]bool // those seen, each of which is looked at once
}

func (w publicWalk) selections(selections ast.SelectionSet) bool {
	for _, selection := range selections {
		switch s := selection.(type) {
		case *ast.Field:
			if !w.public(s) || !w.selections(s.SelectionSet) {
				return false
			}
		case *ast.InlineFragment:
			if !w.selections(s.SelectionSet) {
				return false
			}
		case *ast.FragmentSpread:
			if w.fragments[s.Name] {
				continue
			}
			w.fragments[s.Name] = true
			if !w.selections(s.Definition.SelectionSet) {
				return false
			}
		}
	}
	return true
}

// public reports whether everybody may read a field, of every type that it may be selected on.
func (w publicWalk) public(field *ast.Field) bool {
	if field.Name == "__typename" {
		return true
	}
	on := []*ast.Definition{field.ObjectDefinition}
	if field.ObjectDefinition.IsAbstractType() {
		on = w.schema.GetPossibleTypes(field.ObjectDefinition)
	}
	for _, object := range on {
		definition := object.Fields.ForName(field.Name)
		if definition == nil || !isPublic(object, definition) {
			return false
		}
	}
	return true
}

// isPublic reports whether a field is @public, by its own rule or by that of its type.
func isPublic(object *ast.Definition, field *ast.FieldDefinition) bool {
	if field.Directives.ForName("auth") != nil || object.Directives.ForName("auth") != nil {
		return false
	}
	return field.Directives.ForName("public") != nil || object.Directives.ForName("public") != nil
}
