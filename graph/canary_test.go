package graph_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph"
	"marquee/internal/apitest"
	"marquee/internal/config"
)

// plain are the texts of clients that may be kept, logged and shown as they are. Every other one is taken for personal
// or secret, so a field that is new to the schema is scanned for until it is listed here on purpose.
var plain = map[string]bool{
	"AuditLogFilter.subject": true, "AuditLogFilter.action": true,
	"ReserveSeatsInput.idempotencyKey": true, "PayReservationInput.idempotencyKey": true,
	"MovieFilter.titleContains": true, "MovieFilter.genre": true, "MovieFilter.playingInCity": true,
	"ShowtimeFilter.city": true, "MovieShowtimeFilter.city": true, "TheaterFilter.city": true, "TheaterFilter.countryCode": true,
	"after": true, "before": true, // cursors
}

// canaries makes texts that are found wherever they come to rest.
type canaries struct {
	schema *ast.Schema
	texts  map[string]string // by what they were given for
	used   map[string]bool   // of plain
}

// canary returns a text for a place in the schema, and remembers it when it must not be found again.
func (c *canaries) canary(place string) string {
	if plain[place] {
		c.used[place] = true
		return "plain text"
	}
	if c.texts[place] == "" {
		text := fmt.Sprintf("canary%03d of %s", len(c.texts), strings.ReplaceAll(place, ".", " "))
		if strings.HasSuffix(strings.ToLower(place), "email") {
			text = fmt.Sprintf("canary%03d@nest.example", len(c.texts))
		}
		c.texts[place] = text
	}
	return c.texts[place]
}

// value is one of a type for variables, with a canary in every text, optional ones among them.
func (c *canaries) value(t *ast.Type, place string) any {
	if t.Elem != nil {
		return []any{c.value(t.Elem, place)}
	}
	definition := c.schema.Types[t.NamedType]
	switch {
	case definition.Kind == ast.Enum:
		return definition.EnumValues[0].Name
	case definition.Kind == ast.InputObject:
		object := map[string]any{}
		for _, field := range definition.Fields {
			object[field.Name] = c.value(field.Type, definition.Name+"."+field.Name)
		}
		return object
	case t.NamedType == "Int", t.NamedType == "Float":
		return 1
	case t.NamedType == "Boolean":
		return true
	case t.NamedType == "String":
		return c.canary(place)
	default:
		return "2026-01-02T03:04:05Z"
	}
}

// operation asks for a field of a root type with everything that can be given.
func (c *canaries) operation(kind string, field *ast.FieldDefinition) (query string, variables map[string]any) {
	variables = map[string]any{}
	var declared, passed []string
	for _, argument := range field.Arguments {
		if argument.Name == "last" || argument.Name == "before" {
			continue // not beside first and after
		}
		declared = append(declared, "$"+argument.Name+": "+argument.Type.String())
		passed = append(passed, argument.Name+": $"+argument.Name)
		variables[argument.Name] = c.value(argument.Type, argument.Name)
	}
	call := field.Name
	if len(passed) > 0 {
		kind += "(" + strings.Join(declared, ", ") + ")"
		call += "(" + strings.Join(passed, ", ") + ")"
	}
	if definition := c.schema.Types[field.Type.Name()]; definition.IsCompositeType() {
		call += " { __typename }"
	}
	return kind + " { " + call + " }", variables
}

// D7 and D1: whatever is personal or secret and goes through the API, with every operation and every way of failing, is
// found in no log line, no metric, no error, and in no column of any table as it was given.
func TestD7_canaries_are_found_nowhere(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.With(func(c *config.Config) { c.LogLevel = slog.LevelDebug }))
	c := &canaries{schema: graph.NewSchema(&graph.Resolver{}).Schema(), texts: map[string]string{}, used: map[string]bool{}}
	sinks := map[string]*strings.Builder{"errors": {}, "log": {}, "metrics": {}, "tables": {}}
	hear := func(answer apitest.Answer) {
		var body struct {
			Errors json.RawMessage
		}
		if json.Unmarshal(answer.Body, &body) != nil {
			body.Errors = answer.Body
		}
		fmt.Fprintf(sinks["errors"], "%d %v %s\n", answer.Status, answer.Header, body.Errors)
	}

	// One who lives through it all, with canaries for whoever looks like them.
	maps.Copy(c.texts, map[string]string{
		"SignUpInput.email": "canary-owner@nest.example", "ConfirmSignUpInput.name": "Canary Owner Person", "ConfirmSignUpInput.password": "canary owner passphrase one",
		"ChangePasswordInput.newPassword": "canary owner passphrase two",
	})
	owner := a.Anonymous()
	tell := func(place, text string) {
		if text == "" {
			t.Fatalf("the story gives no %s", place)
		}
		c.texts[place] = text
	}
	link := askForLink(a, c.texts["SignUpInput.email"])
	tell("the token of a mail", link)
	hear(owner.Raw(confirmSignUp, vars{"in": vars{"token": link, "name": "", "password": ""}}))
	var up struct{ ConfirmSignUp tokens }
	owner.Get(`mutation ($in: ConfirmSignUpInput!) { confirmSignUp(input: $in) { `+sessionFields+` } }`, vars{"in": vars{
		"token": link, "name": c.texts["ConfirmSignUpInput.name"], "password": c.texts["ConfirmSignUpInput.password"],
	}}, &up)
	tell("an access token", up.ConfirmSignUp.Token)
	tell("a refresh token", up.ConfirmSignUp.RefreshToken)
	owner.Token = up.ConfirmSignUp.Token
	next := refresh(a.Anonymous(), up.ConfirmSignUp.RefreshToken)
	tell("a renewed access token", next.Token)
	tell("a renewed refresh token", next.RefreshToken)
	owner.Token = next.Token
	owner.Get(`mutation ($in: ChangePasswordInput!) { changePassword(input: $in) { __typename ... on ChangePasswordPayload { user { id email name } } } }`, vars{"in": vars{
		"currentPassword": c.texts["ConfirmSignUpInput.password"], "newPassword": c.texts["ChangePasswordInput.newPassword"],
	}}, nil)
	again := openSession(a.Anonymous(), c.texts["SignUpInput.email"], c.texts["ChangePasswordInput.newPassword"])
	tell("another access token", again.Token)
	hear(a.Anonymous().Raw(`mutation ($in: SignInInput!) { signIn(input: $in) { __typename } }`, vars{"in": vars{
		"email": c.texts["SignUpInput.email"], "password": c.texts["ConfirmSignUpInput.password"],
	}}))

	// Everything that can be asked for, by everybody, well and badly formed.
	kinds := map[string]*ast.Definition{"query": c.schema.Query, "mutation": c.schema.Mutation}
	askers := []apitest.Client{a.Anonymous(), owner, a.Manager(), a.Admin()}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for _, field := range fieldsOf(kinds[kind]) {
			query, variables := c.operation(kind, field)
			for i, asker := range askers {
				if field.Name == "signOut" && i > 0 {
					continue // the others are asked as well
				}
				hear(asker.Raw(query, variables))
			}
			for name, given := range variables {
				hear(owner.Raw(query, vars{name: []any{given, map[string]any{"k": given}}}))
				hear(owner.Raw(query, vars{name: vars{"unknown": given, "input": given}}))
			}
			encoded, err := json.Marshal(variables)
			if err != nil {
				t.Fatal(err)
			}
			hear(owner.Raw(strings.Replace(query, "{", "{ "+c.canary("a document")+" ", 1), variables))
			hear(owner.Post(`{"query": "` + c.canary("a body") + `", "variables": ` + string(encoded) + `, `))
			hear(owner.Post(`{"query": ` + string(encoded) + `}`))
		}
	}
	forged := owner
	for _, forged.Token = range []string{up.ConfirmSignUp.Token + "x", "canary-forged-token", up.ConfirmSignUp.RefreshToken} {
		hear(forged.Raw(`{ me { id } }`, nil))
	}
	c.texts["a forged token"] = "canary-forged-token"
	hear(a.Visit("/graphql?query=%7B%22" + strings.ReplaceAll(c.canary("an address"), " ", "%20")))
	hear(a.Visit("/canary-path"))

	// What only fields inside others are asked with is not sent: it must be plain.
	known := len(c.texts)
	for _, definition := range c.schema.Types {
		if definition.Kind == ast.Object && !definition.BuiltIn {
			for _, field := range fieldsOf(definition) {
				for _, argument := range field.Arguments {
					c.value(argument.Type, argument.Name)
				}
			}
		}
	}
	if len(c.texts) > known {
		t.Errorf("no operation sends all of %d more, of %q", len(c.texts)-known, slices.Sorted(maps.Keys(c.texts)))
	}
	for place := range plain {
		if !c.used[place] {
			t.Errorf("%s is listed as plain and is not in the schema", place)
		}
	}
	sinks["log"].WriteString(a.Logged())
	sinks["metrics"].WriteString(metricsOf(t, a))
	sinks["tables"].WriteString(a.DumpAll())
	for name, sink := range sinks {
		if sink.Len() == 0 {
			t.Errorf("nothing came to the %s: nothing was proved", name)
		}
	}
	if !strings.Contains(sinks["tables"].String(), "sign_in.failed") || !strings.Contains(sinks["log"].String(), `"DEBUG"`) {
		t.Error("the tables or the log are not whole: nothing was proved")
	}
	for place, text := range c.texts {
		for name, sink := range sinks {
			for _, form := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), strings.ToLower(text)} {
				if at := strings.Index(sink.String(), form); at >= 0 {
					t.Errorf("%s is found in the %s: …%s…", place, name, around(sink.String(), at))
				}
			}
		}
	}
}

// around is what stands at a place of a text.
func around(text string, at int) string {
	const reach = 120
	return text[max(0, at-reach):min(len(text), at+reach)]
}

func metricsOf(t *testing.T, a *apitest.App) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.OpsURL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return string(a.Anonymous().Send(r).Body)
}
