package persisted_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"marquee/graph/persisted"
)

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func manifest(t *testing.T, texts map[string]string) persisted.Manifest {
	t.Helper()
	data, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := persisted.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// apollo are the extensions of an automatic persisted query.
func apollo(hash string) map[string]any {
	return map[string]any{"persistedQuery": map[string]any{"version": json.Number("1"), "sha256Hash": hash}}
}

func byID(id string) map[string]any { return map[string]any{"documentId": id} }

// execute goes the way of an operation through the extensions of an executor and returns the text that is executed.
func execute(ctx context.Context, d *persisted.Documents, text string, extensions map[string]any) (string, *gqlerror.Error) {
	raw := &graphql.RawParams{Query: text, Extensions: extensions}
	if err := d.MutateOperationParameters(ctx, raw); err != nil {
		return "", err
	}
	document, err := parser.ParseQuery(&ast.Source{Input: raw.Query})
	if err != nil {
		return "", gqlerror.WrapIfUnwrapped(err)
	}
	operation := &graphql.OperationContext{RawQuery: raw.Query, Extensions: raw.Extensions, Doc: document, Operation: document.Operations[0]}
	return raw.Query, d.Registration().(graphql.OperationContextMutator).MutateOperationContext(ctx, operation)
}

func code(err *gqlerror.Error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprint(err.Extensions["code"])
}

const (
	listed   = "query Listed{hello}"
	stranger = "query Stranger{hello}"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	type trusted struct{}
	admin := context.WithValue(t.Context(), trusted{}, true)
	texts := map[string]string{"listed-1": listed, strings.Repeat("0", 64): listed}
	const notFound, bad, forbidden = "PERSISTED_QUERY_NOT_FOUND", "BAD_USER_INPUT", "FORBIDDEN"

	for name, test := range map[string]struct {
		ctx        context.Context // nil: a caller like any other
		before     []string        // texts that were sent with their hash before
		text       string
		extensions map[string]any
		executes   string
		code       string          // of the refusal in every mode
		required   map[bool]string // true: the code of the refusal in mode require, where it differs
	}{
		"text_alone":                      {text: stranger, executes: stranger, required: map[bool]string{true: forbidden}},
		"text_alone_of_the_manifest":      {text: listed, executes: listed},
		"text_alone_of_an_administrator":  {ctx: admin, text: stranger, executes: stranger},
		"apollo_hash_of_the_manifest":     {extensions: apollo(hash(listed)), executes: listed},
		"apollo_hash_as_id":               {extensions: apollo(strings.Repeat("0", 64)), executes: listed},
		"apollo_id_of_the_manifest":       {extensions: apollo("listed-1"), executes: listed},
		"apollo_hash_and_text_listed":     {text: listed, extensions: apollo(hash(listed)), executes: listed},
		"apollo_hash_unknown":             {extensions: apollo(hash(stranger)), code: notFound},
		"apollo_hash_registered":          {before: []string{stranger}, extensions: apollo(hash(stranger)), executes: stranger, required: map[bool]string{true: notFound}},
		"apollo_hash_and_text":            {text: stranger, extensions: apollo(hash(stranger)), executes: stranger, required: map[bool]string{true: forbidden}},
		"apollo_hash_of_another_text":     {text: stranger, extensions: apollo(hash(listed)), code: bad},
		"apollo_hash_of_no_text":          {text: stranger, extensions: apollo(hash("other")), code: bad},
		"apollo_hash_that_is_none":        {text: stranger, extensions: apollo("abc"), code: bad},
		"apollo_hash_in_capitals":         {text: stranger, extensions: apollo(strings.ToUpper(hash(stranger))), code: bad},
		"document_id_of_a_hash":           {extensions: byID("sha256:" + hash(listed)), executes: listed},
		"document_id_of_the_manifest":     {extensions: byID("listed-1"), executes: listed},
		"document_id_unknown":             {extensions: byID("listed-2"), code: notFound},
		"document_id_of_unknown_hash":     {extensions: byID("sha256:" + hash(stranger)), code: notFound},
		"document_id_registered":          {before: []string{stranger}, extensions: byID("sha256:" + hash(stranger)), executes: stranger, required: map[bool]string{true: notFound}},
		"document_id_of_another_text":     {text: stranger, extensions: byID("sha256:" + hash(listed)), code: bad},
		"document_id_listed_another_text": {text: stranger, extensions: byID("listed-1"), code: bad},
		"document_id_of_half_a_hash":      {extensions: byID("sha256:00ff"), code: bad},
		"document_id_that_is_a_bare_hash": {extensions: byID(hash(listed)), code: notFound},
		"both_ways": {
			extensions: map[string]any{"documentId": "listed-1", "persistedQuery": apollo(hash(listed))["persistedQuery"]}, code: bad,
		},
		"no_version":      {text: stranger, extensions: map[string]any{"persistedQuery": map[string]any{"sha256Hash": hash(stranger)}}, code: bad},
		"another_version": {text: stranger, extensions: map[string]any{"persistedQuery": map[string]any{"version": json.Number("2"), "sha256Hash": hash(stranger)}}, code: bad},
		"no_hash":         {text: stranger, extensions: map[string]any{"persistedQuery": map[string]any{"version": json.Number("1")}}, code: bad},
		"no_object":       {text: stranger, extensions: map[string]any{"persistedQuery": "x"}, code: bad},
		"null":            {text: listed, extensions: map[string]any{"persistedQuery": nil}, executes: listed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []persisted.Mode{persisted.Off, persisted.Log, persisted.Require} {
				d, err := persisted.New(schema, tokens, persisted.Options{
					Manifest: manifest(t, texts), Mode: mode, Log: slog.New(slog.DiscardHandler),
					Trusted: func(ctx context.Context) bool { return ctx.Value(trusted{}) != nil },
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range test.before {
					_, _ = execute(t.Context(), d, text, apollo(hash(text)))
				}
				ctx := test.ctx
				if ctx == nil {
					ctx = t.Context()
				}
				executes, want := test.executes, test.code
				if differs, ok := test.required[mode == persisted.Require]; ok {
					executes, want = "", differs
				}
				got, refused := execute(ctx, d, test.text, test.extensions)
				if got != executes || code(refused) != want {
					t.Errorf("%s: executes %q, code %q; want %q, %q", mode, got, code(refused), executes, want)
				}
				if want == notFound && refused.Message != "PersistedQueryNotFound" {
					t.Errorf("%s: %q is not the message that clients know", mode, refused.Message)
				}
			}
		})
	}
}

// TestDocuments_registers_what_was_executed holds that a text is known by its hash only after it passed everything.
func TestDocuments_registers_what_was_executed(t *testing.T) {
	t.Parallel()
	d, err := persisted.New(schema, tokens, persisted.Options{})
	if err != nil {
		t.Fatal(err)
	}
	raw := &graphql.RawParams{Query: stranger, Extensions: apollo(hash(stranger))}
	if err := d.MutateOperationParameters(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	// Here another extension refuses the operation, or it is not valid.
	if _, err := execute(t.Context(), d, "", apollo(hash(stranger))); code(err) != "PERSISTED_QUERY_NOT_FOUND" {
		t.Errorf("what was not executed is registered: %v", err)
	}
}

// TestDocuments_GQ19_random_hashes churns through the registered texts. The manifest and its parsed documents stay.
func TestDocuments_GQ19_random_hashes(t *testing.T) {
	t.Parallel()
	d, err := persisted.New(schema, tokens, persisted.Options{Manifest: manifest(t, map[string]string{"listed-1": listed})})
	if err != nil {
		t.Fatal(err)
	}
	cache := d.Cache(graphql.NoCache[*ast.QueryDocument]{})
	parsed, ok := cache.Get(t.Context(), listed)
	if !ok {
		t.Fatal("the manifest is not parsed")
	}
	text := func(i int) string { return fmt.Sprintf("query Q%d{hello}", i) }
	const sent = 10_000
	for i := range sent {
		if _, err := execute(t.Context(), d, "", apollo(hash(text(i)))); code(err) != "PERSISTED_QUERY_NOT_FOUND" {
			t.Fatalf("an unknown hash is answered with %v", err)
		}
		if _, err := execute(t.Context(), d, text(i), apollo(hash(text(i)))); err != nil {
			t.Fatal(err)
		}
	}
	known := 0
	for i := range sent {
		if _, err := execute(t.Context(), d, "", apollo(hash(text(i)))); err == nil {
			known++
		}
	}
	if known != 1000 {
		t.Errorf("%d texts are kept, want 1000", known)
	}
	if got, err := execute(t.Context(), d, "", apollo(hash(listed))); err != nil || got != listed {
		t.Errorf("the manifest is churned out: %v", err)
	}
	if again, _ := cache.Get(t.Context(), listed); again != parsed {
		t.Error("the manifest's document was parsed again")
	}
}

func TestDocuments_log(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d, err := persisted.New(schema, tokens, persisted.Options{
		Manifest: manifest(t, map[string]string{"listed-1": listed}), Mode: persisted.Log, Log: slog.New(slog.NewJSONHandler(&out, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	const secret = `query Stranger{hello(to:"a secret")}`
	for _, text := range []string{listed, secret, secret} {
		if _, err := execute(t.Context(), d, text, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 1 {
		t.Fatalf("%d lines, want 1: %s", got, out.String())
	}
	for _, part := range []string{`"operation":"Stranger"`, `"kind":"query"`, `"sha256":"` + hash(secret) + `"`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the line lacks %s: %s", part, out.String())
		}
	}
	if strings.Contains(out.String(), "a secret") {
		t.Errorf("the text is told: %s", out.String())
	}
	for i := range 1000 {
		if _, err := execute(t.Context(), d, fmt.Sprintf("query Q%d{hello}", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 20 {
		t.Errorf("%d lines in a minute, want 20", got)
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		extensions map[string]any
		want       bool
	}{
		"nothing":    {nil, false},
		"others":     {map[string]any{"trace": true}, false},
		"apollo":     {apollo(hash(listed)), true},
		"id":         {byID("listed-1"), true},
		"ill_formed": {apollo(""), false},
	} {
		if got := persisted.Named(test.extensions); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
