package main

import (
	"bytes"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
)

// sdlNotice is a comment of SDL.
const sdlNotice = "# The contract as one file, written by `make generate` from schema/.\n"

// sdlOf prints a schema in one order, whatever files it came from, with an empty line before each definition.
func sdlOf(schema *ast.Schema) []byte {
	var printed strings.Builder
	formatter.NewFormatter(&printed, formatter.WithIndent("  ")).FormatSchema(schema)
	var out bytes.Buffer
	out.WriteString(sdlNotice)
	within := false
	for line := range strings.Lines(printed.String()) {
		// The quotation marks of a definition's own description stand at the margin, those of its fields do not.
		if strings.HasPrefix(line, `"""`) {
			if within = !within; within {
				out.WriteByte('\n')
			}
		}
		out.WriteString(line)
	}
	return out.Bytes()
}
