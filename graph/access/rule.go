// Package access holds who may read and do what over GraphQL: it reads the rule of every field from the contract,
// `@auth` or `@public`, and enforces it before the field is resolved. A field without a rule is refused to everybody.
//
// A rule asks who the viewer is. Whose a thing is, and of which theater, is asked by the domains.
package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/internal/apperr"
	"marquee/internal/auth"
)

// Scope is where a viewer must hold the role that a rule names.
type Scope string

// The scopes, as the contract writes them.
const (
	OnPlatform Scope = "PLATFORM"
	AtTheater  Scope = "THEATER" // at one at least; the domain asks of which
)

// Rule is who may read a field. The zero Rule is that of a field without one.
type Rule struct {
	Public bool
	Role   auth.Role
	Scope  Scope
	Also   auth.Role // on the platform, instead of Role; "": none
}

// Check returns nil when the viewer of ctx may read what stands under the rule: UNAUTHENTICATED, FORBIDDEN or
// SECOND_FACTOR_REQUIRED when not.
func (r Rule) Check(ctx context.Context) error {
	var err error
	switch {
	case r.Public:
	case !r.Role.Valid():
		err = apperr.New(apperr.Forbidden, "Nobody may read this.")
	case r.Scope == AtTheater:
		_, err = auth.RequireSomewhere(ctx, r.Role)
	default:
		_, err = auth.Require(ctx, r.Role)
	}
	if err == nil || r.Also == "" {
		return err
	}
	if _, also := auth.Require(ctx, r.Also); apperr.CodeOf(also) != apperr.Forbidden {
		return also
	}
	return err
}

// name is a field of an object type.
type name struct{ object, field string }

// Rules are the rules of a contract. They are not changed once made.
type Rules struct{ of map[name]Rule }

// NewRules reads the rules of all fields of the object types of a contract. A field's own rule stands in for that of its
// type; the three root types have none for all. Fields that describe the contract itself are public: whether they are
// answered is decided elsewhere.
func NewRules(schema *ast.Schema) (*Rules, error) {
	rules := &Rules{of: map[name]Rule{}}
	for _, definition := range schema.Types {
		if definition.Kind != ast.Object {
			continue
		}
		for _, field := range definition.Fields {
			rule, err := ruleOf(definition, field)
			if err != nil {
				return nil, fmt.Errorf("access: %s.%s: %w", definition.Name, field.Name, err)
			}
			rules.of[name{definition.Name, field.Name}] = rule
		}
	}
	return rules, nil
}

// Of returns the rule of a field.
func (r *Rules) Of(object, field string) Rule { return r.of[name{object, field}] }

func ruleOf(definition *ast.Definition, field *ast.FieldDefinition) (Rule, error) {
	if strings.HasPrefix(definition.Name, "__") || strings.HasPrefix(field.Name, "__") {
		return Rule{Public: true}, nil
	}
	for _, directives := range []ast.DirectiveList{field.Directives, definition.Directives} {
		public, auths := directives.ForName("public"), directives.ForNames("auth")
		switch {
		case public == nil && len(auths) == 0:
			continue
		case public != nil && len(auths) > 0 || len(auths) > 1:
			return Rule{}, fmt.Errorf("more than one rule")
		case public != nil:
			return Rule{Public: true}, nil
		default:
			return read(auths[0])
		}
	}
	return Rule{}, nil
}

// read reads an @auth, with the defaults of the contract.
func read(directive *ast.Directive) (Rule, error) {
	argument := func(name string) string {
		if given := directive.Arguments.ForName(name); given != nil {
			return given.Value.Raw
		}
		if value := directive.Definition.Arguments.ForName(name); value != nil && value.DefaultValue != nil {
			return value.DefaultValue.Raw
		}
		return ""
	}
	rule := Rule{Role: auth.Role(argument("role")), Scope: Scope(argument("scope")), Also: auth.Role(argument("also"))}
	if rule.Also != "" && (!rule.Also.Valid() || rule.Also == auth.RoleCustomer) {
		return Rule{}, fmt.Errorf("nobody has the role %s on top of others", rule.Also)
	}
	if !rule.Role.Valid() || rule.Scope != OnPlatform && (rule.Scope != AtTheater || !rule.Role.OfTheater()) {
		return Rule{}, fmt.Errorf("nobody has the role %s at the scope %s", rule.Role, rule.Scope)
	}
	return rule, nil
}
