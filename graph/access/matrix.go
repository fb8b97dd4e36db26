package access

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/internal/auth"
)

// Persona is a kind of caller that the matrix has a column for.
type Persona struct {
	Name   string
	Grants auth.Grants
	known  bool // signed in
}

// Personas returns all kinds of callers: nobody, a customer, and who was granted one role, of a theater where it has any.
func Personas(theater uuid.UUID) []Persona {
	personas := []Persona{{Name: "anonymous"}}
	for _, role := range auth.Roles() {
		grant := auth.Grant{Role: role}
		if role.OfTheater() {
			grant.Theater = theater
		}
		name := strings.ToLower(strings.TrimPrefix(string(role), "THEATER_"))
		personas = append(personas, Persona{Name: name, Grants: auth.NewGrants(grant), known: true})
	}
	return personas
}

// May reports whether the persona passes a rule, asked as every request asks it.
func (p Persona) May(rule Rule) bool {
	ctx := context.Background()
	if p.known {
		ctx = auth.WithViewer(ctx, auth.Viewer{UserID: uuid.Max, SessionID: uuid.Max, Grants: p.Grants, Strong: true})
	}
	return rule.Check(ctx) == nil
}

// Matrix returns the document that says which persona may ask for which field of a contract.
func Matrix(schema *ast.Schema) ([]byte, error) {
	rules, err := NewRules(schema)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.WriteString(preamble)
	var objects []*ast.Definition
	for _, definition := range schema.Types {
		if definition.Kind == ast.Object && !definition.BuiltIn && !strings.HasPrefix(definition.Name, "__") {
			objects = append(objects, definition)
		}
	}
	roots := []string{"Subscription", "Mutation", "Query"}
	slices.SortFunc(objects, func(a, b *ast.Definition) int {
		if first := slices.Index(roots, b.Name) - slices.Index(roots, a.Name); first != 0 {
			return first
		}
		return strings.Compare(a.Name, b.Name)
	})
	personas := Personas(uuid.Max)
	for _, object := range objects {
		fmt.Fprintf(&text, "\n## %s\n\n| field |", object.Name)
		for _, p := range personas {
			fmt.Fprintf(&text, " %s |", p.Name)
		}
		text.WriteString(" rule |\n|---|" + strings.Repeat(":-:|", len(personas)) + "---|\n")
		for _, field := range object.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			rule := rules.Of(object.Name, field.Name)
			fmt.Fprintf(&text, "| `%s` |", field.Name)
			for _, p := range personas {
				mark := " "
				if p.May(rule) {
					mark = " ✓ "
				}
				text.WriteString(mark + "|")
			}
			fmt.Fprintf(&text, " %s |\n", rule)
		}
	}
	return text.Bytes(), nil
}

// String says the rule as people say it.
func (r Rule) String() string {
	if also := r.Also; also != "" {
		r.Also = ""
		return r.String() + ", or `" + string(also) + "`"
	}
	switch {
	case r.Public:
		return "everybody"
	case !r.Role.Valid():
		return "nobody"
	case r.Role == auth.RoleCustomer:
		return "signed in"
	case r.Scope == AtTheater:
		return "`" + string(r.Role) + "` of the theater in question"
	default:
		return "`" + string(r.Role) + "`"
	}
}

const preamble = `# Who may do what

Written by ` + "`make generate`" + ` from the rules that are enforced before each field is resolved: do not edit. A field without a
rule is refused to everybody, and the tests ask for every field of the root types as every kind of caller.

Staff and managers stand here with a grant at one theater; administrators, support and finance with one on the platform.
What each role includes is the table at ` + "`auth.Grant.Includes`" + `.

What is held on the platform counts only in sessions in which a second factor was proved; the table takes that for granted.

Beside the rule of a field the domains ask whose a thing is. Reservations, tickets, payments, sessions and ` + "`User`" + ` are
shown to their owner only: for everybody else they are as if they did not exist. Staff find reservations in the lists that
are theirs, and finance by their ids as well, without customers and tickets. Who looks after accounts sees them as
` + "`Account`" + `, and a theater's managers see its staff. What belongs to a theater is asked of by its own staff and managers only, or by who holds the role on the platform.
`
