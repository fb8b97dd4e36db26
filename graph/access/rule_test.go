package access_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/access"
	"marquee/internal/apperr"
	"marquee/internal/auth"
)

const directives = `
	directive @auth(role: Role! = CUSTOMER, scope: AuthScope! = PLATFORM, also: Role) repeatable on OBJECT | FIELD_DEFINITION
	directive @public on OBJECT | FIELD_DEFINITION
	enum Role { CUSTOMER THEATER_STAFF THEATER_MANAGER SUPPORT FINANCE ADMIN }
	enum AuthScope { PLATFORM THEATER }
`

func load(t *testing.T, text string) (*access.Rules, error) {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: directives + text})
	if err != nil {
		t.Fatal(err)
	}
	return access.NewRules(schema)
}

// TestA7_rules reads each kind of rule, and refuses a field without one to everybody.
func TestA7_rules(t *testing.T) {
	t.Parallel()
	rules, err := load(t, `
		type Query { open: A @public signedIn: A @auth money: A @auth(role: FINANCE) house: A @auth(role: THEATER_STAFF, scope: THEATER) both: A @auth(role: THEATER_STAFF, scope: THEATER, also: FINANCE) forgotten: A }
		type A @auth(role: ADMIN) { inherited: Int own: Int @public }`)
	if err != nil {
		t.Fatal(err)
	}
	for field, may := range map[[2]string]string{
		{"Query", "open"}:       "anonymous customer staff manager support finance admin ",
		{"Query", "signedIn"}:   "customer staff manager support finance admin ",
		{"Query", "money"}:      "finance admin ",
		{"Query", "house"}:      "staff manager admin ",
		{"Query", "both"}:       "staff manager finance admin ",
		{"Query", "forgotten"}:  "",
		{"Query", "unheard"}:    "",
		{"A", "inherited"}:      "admin ",
		{"A", "own"}:            "anonymous customer staff manager support finance admin ",
		{"Query", "__typename"}: "",
	} {
		got := ""
		for _, p := range access.Personas(uuid.New()) {
			if p.May(rules.Of(field[0], field[1])) {
				got += p.Name + " "
			}
		}
		if got != may {
			t.Errorf("%v may be read by %q, want %q", field, got, may)
		}
	}
	ctx := auth.WithViewer(t.Context(), auth.Viewer{Grants: auth.NewGrants(auth.Grant{Role: auth.RoleAdmin}), Strong: true})
	if err := rules.Of("Query", "forgotten").Check(ctx); apperr.CodeOf(err) != apperr.Forbidden {
		t.Errorf("an administrator, for a field without a rule: %v", err)
	}
}

func TestNewRules_refuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`type Query { a: Int @auth @public }`,
		`type Query { a: Int @auth @auth(role: ADMIN) }`,
		`type Query { a: Int @auth(role: ADMIN, scope: THEATER) }`,
	} {
		if _, err := load(t, text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}
