// Package main writes what docs/ says about the API: docs/schema.graphql, the contract as one file with its directives
// and descriptions, docs/api.md, the guide to it, docs/authorization.md, who may ask for what, and docs/payments.md, the way of a
// payment, whose diagrams are drawn from the tables that the program goes by.
//
// The guide's story is guide.md.tmpl, written by hand; its numbers come from the code that enforces them and its
// reference from the contract. It is run by make generate, in the root of the repository, and reads and writes nothing
// but these files. Its tests hold the committed files to the contract and send every example of the guide to the whole
// program.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph/access"
)

func main() {
	root := flag.String("root", ".", "the repository's root `folder`")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "guide:", err)
		os.Exit(1)
	}
}

// run writes the documents of a repository.
func run(root string) error {
	documents, err := generate(root)
	if err != nil {
		return err
	}
	for name, text := range documents {
		const readable = 0o644
		if err := os.WriteFile(filepath.Join(root, name), text, readable); err != nil {
			return fmt.Errorf("write a document: %w", err)
		}
	}
	return nil
}

// generate returns the documents by their path in the repository.
func generate(root string) (map[string][]byte, error) {
	schema, err := load(root)
	if err != nil {
		return nil, err
	}
	guide, err := guideOf(schema)
	if err != nil {
		return nil, err
	}
	matrix, err := access.Matrix(schema)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		filepath.Join("docs", "payments.md"):      paymentsOf(),
		filepath.Join("docs", "authorization.md"): matrix,
		filepath.Join("docs", "schema.graphql"):   sdlOf(schema),
		filepath.Join("docs", "api.md"):           guide,
	}, nil
}

// load reads the contract.
func load(root string) (*ast.Schema, error) {
	paths, err := filepath.Glob(filepath.Join(root, "schema", "*.graphqls"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("there is no schema in %s", filepath.Join(root, "schema"))
	}
	sources := make([]*ast.Source, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the contract: %w", err)
		}
		sources[i] = &ast.Source{Name: filepath.Base(path), Input: string(text)}
	}
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	return schema, nil
}
