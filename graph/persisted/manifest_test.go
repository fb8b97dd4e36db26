package persisted_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/persisted"
)

const tokens = 50

var schema = gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { hello(to: String): String } type Subscription { ticks: Int }`})

func TestParseManifest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		manifest string
		ids      int
		says     []string // nil: it is accepted
	}{
		"of_apollo": {manifest: `{"format":"apollo-persisted-query-manifest","version":1,"operations":[
			{"id":"` + hash("{hello}") + `","name":"A","type":"query","body":"{hello}"},
			{"id":"two","name":"B","type":"query","body":"query B{hello}"}]}`, ids: 2},
		"of_relay":                    {manifest: `{"0123456789abcdef0123456789abcdef":"{hello}","sha256:` + hash("{hello}") + `":"{hello}"}`, ids: 2},
		"the_same_twice":              {manifest: `{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","body":"{hello}"},{"id":"a","body":"{hello}"}]}`, ids: 1},
		"one_id_given_twice":          {manifest: `{"a":"{hello}","b":"{hello}","a":"{ hello }"}`, says: []string{`has "a" twice`}},
		"the_same_key_at_two_depths":  {manifest: `{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"version","body":"{hello}"}],"more":{"version":["version"]}}`, ids: 1},
		"another_format":              {manifest: `{"format":"relay","version":1,"operations":[{"id":"a","body":"{hello}"}]}`, says: []string{`the format "relay", version 1`}},
		"another_version":             {manifest: `{"format":"apollo-persisted-query-manifest","version":2,"operations":[]}`, says: []string{"version 2"}},
		"operations_that_are_no_list": {manifest: `{"operations":{}}`, says: []string{"not a manifest of Apollo's"}},
		"nothing":                     {manifest: ``, says: []string{"not a JSON object"}},
		"no_object":                   {manifest: `[]`, says: []string{"not a JSON object"}},
		"no_documents":                {manifest: `{}`, says: []string{"no documents"}},
		"no_documents_of_apollo":      {manifest: `{"format":"apollo-persisted-query-manifest","version":1,"operations":[]}`, says: []string{"no documents"}},
		"no_id":                       {manifest: `{"":"{hello}"}`, says: []string{"no id"}},
		"no_text":                     {manifest: `{"a":" "}`, says: []string{`"a" has no text`}},
		"no_texts_but_numbers":        {manifest: `{"a":1,"b":null}`, says: []string{`"a" is not a text`}},
		"one_id_of_two_documents":     {manifest: `{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","body":"{hello}"},{"id":"a","body":"{ hello }"}]}`, says: []string{`"a" has two documents`}},
		"a_hash_of_another_document":  {manifest: `{"sha256:` + hash("{ hello }") + `":"{hello}"}`, says: []string{"is not the hash"}},
		"every_fault_is_named":        {manifest: `{"a":"","b":""}`, says: []string{`"a" has`, `"b" has`}},
		"but_not_too_many":            {manifest: `{` + many(30, `""`) + `}`, says: []string{"and 20 more"}},
		"too_many_documents":          {manifest: `{` + many(10_001, `"{hello}"`) + `}`, says: []string{"more than 10000 documents"}},
		"too_large_a_file":            {manifest: strings.Repeat(" ", 16<<20+1), says: []string{"larger than"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := persisted.ParseManifest([]byte(test.manifest))
			if test.says == nil {
				if err != nil || m.Len() != test.ids {
					t.Errorf("%d ids, want %d; error %v", m.Len(), test.ids, err)
				}
				return
			}
			if err == nil || m.Len() != 0 {
				t.Fatalf("accepted with %d ids (%v)", m.Len(), err)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is not said: %v", says, err)
				}
			}
		})
	}
}

// many is the inside of a JSON object of n keys with the same value.
func many(n int, value string) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf(`"k%d":%s`, i, value)
	}
	return strings.Join(entries, ",")
}

func TestLoadManifest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manifest.json")
	if _, err := persisted.LoadManifest(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file is answered with %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := persisted.LoadManifest(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a bad file is answered with %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"a":"{hello}"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := persisted.LoadManifest(path); err != nil || m.Len() != 1 {
		t.Errorf("%d ids, error %v", m.Len(), err)
	}
}

// TestNew_checks_the_manifest refuses to start with a document that could not be executed.
func TestNew_checks_the_manifest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, says string }{
		"no_document":     {`{hello`, `line 1, column 7`},
		"another_schema":  {"{\n  goodbye\n}", `line 2, column 3: Cannot query field "goodbye"`},
		"no_operation":    {`fragment A on Query{hello}`, "no operation"},
		"too_long":        {"{" + strings.Repeat("hello ", tokens) + "}", "token limit"},
		"a_wrong_literal": {`{hello(to:1)}`, "line 1, column 11"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := persisted.New(schema, tokens, persisted.Options{Manifest: manifest(t, map[string]string{"good": "{hello}", "bad": test.text})})
			if err == nil || !strings.Contains(err.Error(), `the persisted document "bad": `) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}
