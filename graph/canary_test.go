package graph_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/internal/apitest"
)

// plain are the texts of clients that may be kept, logged and shown as they are. Every other one is taken for personal
// or secret, so a field that is new to the schema is scanned for until it is listed here on purpose.
var plain = map[string]bool{
	"AuditLogFilter.subject": true, "AuditLogFilter.action": true,
	"ReserveSeatsInput.idempotencyKey": true, "PayReservationInput.idempotencyKey": true, "AcceptOfferedSeatsInput.idempotencyKey": true, "DeclineOfferedSeatsInput.idempotencyKey": true, "ChangeSeatsInput.idempotencyKey": true,
	"MovieFilter.titleContains": true, "MovieFilter.genre": true, "MovieFilter.playingInCity": true,
	"ShowtimeFilter.city": true, "MovieShowtimeFilter.city": true, "TheaterFilter.city": true, "TheaterFilter.countryCode": true,
	"after": true, "before": true, // cursors
}

// open are the tables in which what was given for a place stands as it was given, since nothing in it is personal: what an
// administrator does is recorded with the reason, which the API asks for "without personal data".
var open = map[string][]string{
	"GrantRoleInput.reason": {"public.role_grants", "public.audit_entries"}, "RevokeRoleInput.reason": {"public.audit_entries"},
	"DisableUserInput.reason": {"public.users", "public.audit_entries"}, "EnableUserInput.reason": {"public.audit_entries"},
	"EraseUserInput.reason": {"public.audit_entries"},
	"WriteReviewInput.text": {"public.reviews", "public.review_edits"}, "EditReviewInput.text": {"public.reviews"}, // everybody reads it
	"a locale": {"public.profiles"}, // language, script and region: too few to be somebody's
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
// found in no log line, no metric, no error, in no column of any table as it was given, and in none of their files.
func TestD7_canaries_are_found_nowhere(t *testing.T) {
	t.Parallel()
	s := hatch(t)
	s.signsUp()
	s.provesFactors()
	s.hasPasskey()
	s.comesFromProvider()
	s.tellsOfThemselves()
	s.changesAddress()
	s.isAdministered()
	s.usesCookies()
	s.listens()
	s.forges()
	s.recovers()
	s.asksForEverything()

	a, c := s.a, s.c
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
	for place := range open {
		if c.texts[place] == "" {
			t.Errorf("%s is listed as open and was never given", place)
		}
	}
	sinks := map[string]string{"errors": s.errors.String(), "log": a.Logged(), "metrics": metricsOf(t, a)}
	rows := a.DumpAll()
	if !strings.Contains(rows, "sign_in.failed") || !strings.Contains(sinks["log"], `"DEBUG"`) {
		t.Error("the tables or the log are not whole: nothing was proved")
	}
	for line := range strings.Lines(rows) {
		table, row, _ := strings.Cut(line, " ")
		sinks[table] += row + unhexed(row)
	}
	a.Exec(`CHECKPOINT`)
	files := filesOf(t, a)
	if files["public.users users"] == "" {
		t.Errorf("that of the users is not among %d files: nothing was proved", len(files))
	}
	maps.Copy(sinks, files)
	for name, sink := range sinks {
		if sink == "" && !strings.Contains(name, " ") {
			t.Errorf("nothing came to the %s: nothing was proved", name)
		}
	}
	for place, text := range c.texts {
		for name, sink := range sinks {
			if slices.ContainsFunc(open[place], func(table string) bool { return strings.HasPrefix(name+" ", table+" ") }) {
				continue
			}
			for _, form := range formsOf(text) {
				if at := strings.Index(sink, form); at >= 0 {
					t.Errorf("%s is found in the %s: …%q…", place, name, around(sink, at))
					break
				}
			}
		}
	}
}

// formsOf are the spellings in which a text may have come to rest.
func formsOf(text string) []string {
	bytes := []byte(text)
	quoted, _ := json.Marshal(text) // a string always can be
	return []string{
		text, strings.ToLower(text), strings.ToUpper(text), url.QueryEscape(text), strings.Trim(string(quoted), `"`), hex.EncodeToString(bytes),
		base64.RawStdEncoding.EncodeToString(bytes), base64.RawURLEncoding.EncodeToString(bytes),
	}
}

// unhexed is what the binary columns of a row hold.
func unhexed(row string) string {
	var b strings.Builder
	for _, column := range strings.Split(row, `\x`)[1:] {
		end := strings.IndexFunc(column, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
		if end < 0 {
			end = len(column)
		}
		if content, err := hex.DecodeString(column[:end]); err == nil {
			b.WriteByte(' ')
			b.Write(content)
		}
	}
	return b.String()
}

// filesOf returns the files of everything that has one, tables, what is too long for them and indexes, with what was deleted and not cleaned up, by the table they
// belong to and their own names.
func filesOf(t *testing.T, a *apitest.App) map[string]string {
	t.Helper()
	rows, err := a.DB().SQL().QueryContext(t.Context(), `SELECT coalesce(i.indrelid, owner.oid, c.oid)::regclass::text || ' ' || c.relname,
		pg_read_binary_file(pg_relation_filepath(c.oid))
		FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class owner ON owner.reltoastrelid = c.oid
		WHERE c.relkind IN ('r', 't', 'i', 'm') AND c.relnamespace <> 'pg_catalog'::regnamespace AND pg_relation_size(c.oid) > 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	files := map[string]string{}
	for rows.Next() {
		var name string
		var content []byte
		if err := rows.Scan(&name, &content); err != nil {
			t.Fatal(err)
		}
		if _, twice := files["public."+name]; twice {
			t.Fatalf("two files are called %s", name)
		}
		files["public."+name] = string(content)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return files
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
