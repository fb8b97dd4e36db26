package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"marquee/internal/apitest"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

// root is the repository.
var root = filepath.Join("..", "..")

// TestDocuments holds the committed documents to the contract.
func TestDocuments(t *testing.T) {
	t.Parallel()
	documents, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range documents {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the schema says: run make generate (%v)", name, err)
		}
	}
}

// TestGuide_Codes makes sure that the guide explains every code of an error, and no other.
func TestGuide_Codes(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join(root, "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(guide), "\n## Errors\n")
	if !ok {
		t.Fatal("the guide has no chapter on errors")
	}
	table, _, _ := strings.Cut(chapter, "```")
	explained := codesOf(regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\|"), table)
	var defined []string
	for _, folder := range []string{"graph", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			defined = append(defined, codesOf(regexp.MustCompile(`\bCode\s+= "([A-Z_]+)"`), string(text))...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(explained)
	slices.Sort(defined)
	if !slices.Equal(explained, defined) {
		t.Errorf("the guide explains %v, the program has %v", explained, defined)
	}
}

// codesOf returns what the first group of a pattern finds in a text.
func codesOf(pattern *regexp.Regexp, text string) []string {
	var codes []string
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		codes = append(codes, match[1])
	}
	return codes
}

func TestRun(t *testing.T) {
	t.Parallel()
	t.Run("writes_the_documents", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		const contract = "\"What can be read.\"\ntype Query {\n  \"\"\"\n  One | two\n  lines.\n  \"\"\"\n  a(\"How.\" b: Int = 3): C @deprecated(reason: \"old\")\n}\n" +
			"\"What.\"\nenum C {\n  \"This.\"\n  D\n}\n"
		for name, text := range map[string]string{"docs/.keep": "", "schema/a.graphqls": contract} {
			path := filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := run(folder); err != nil {
			t.Fatal(err)
		}
		for name, wants := range map[string][]string{
			"docs/schema.graphql": {"\n\n\"\"\"\nWhat.\n\"\"\"\nenum C {", "@deprecated(reason: \"old\")"},
			"docs/api.md": {
				"#### Query.a\n\nOne \\| two lines.\n\nGives [`C`](#c). For whoever may read its fields. **Deprecated:** old\n",
				"| `b` | `Int` | How. Otherwise `3`. |\n", "#### C\n\nWhat.\n", "| `D` | This. |\n",
			},
		} {
			text, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range wants {
				if !bytes.Contains(text, []byte(want)) {
					t.Errorf("%s lacks %q:\n%s", name, want, text)
				}
			}
		}
	})
	t.Run("needs_a_schema", func(t *testing.T) {
		t.Parallel()
		if err := run(t.TempDir()); err == nil {
			t.Error("it made documents of nothing")
		}
	})
}
