package persisted

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

const (
	// maxManifestBytes and maxManifestDocuments are far above what an application has; a file beyond is another file.
	maxManifestBytes     = 16 << 20
	maxManifestDocuments = 10_000
	// maxFaults bounds the sentences about one manifest.
	maxFaults = 10

	apolloFormat  = "apollo-persisted-query-manifest"
	apolloVersion = 1
	// hashPrefix begins an id that is the hash of the text (GraphQL-over-HTTP, appendix A).
	hashPrefix = "sha256:"
)

// Manifest is the list of documents that an operator trusts: texts by id. The zero value holds none. It is not changed
// once it is made.
type Manifest struct{ texts map[string]string }

// Len returns the number of ids.
func (m Manifest) Len() int { return len(m.texts) }

// LoadManifest reads a manifest from a file; see [ParseManifest]. Its errors name the file.
func LoadManifest(path string) (Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest of persisted documents: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxManifestBytes+1))
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest of persisted documents: %w", err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return Manifest{}, fmt.Errorf("the manifest of persisted documents %s: %w", path, err)
	}
	return m, nil
}

// apolloManifest is the format of @apollo/generate-persisted-query-manifest.
type apolloManifest struct {
	Format     string `json:"format"`
	Version    int    `json:"version"`
	Operations []struct {
		ID   string `json:"id"`
		Body string `json:"body"`
	} `json:"operations"`
}

// ParseManifest reads one of two formats: Apollo's persisted query manifest, or the map from ids to texts that Relay's
// compiler writes. Whether the texts are documents of a schema is found by [New].
func ParseManifest(data []byte) (Manifest, error) {
	if len(data) > maxManifestBytes {
		return Manifest{}, fmt.Errorf("is larger than %d bytes", maxManifestBytes)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return Manifest{}, fmt.Errorf("is not a JSON object: %w", err)
	}
	if key, twice := givenTwice(data); twice {
		return Manifest{}, fmt.Errorf("has %q twice", key)
	}
	m := Manifest{texts: map[string]string{}}
	var faults faults
	if _, apollo := object["operations"]; apollo {
		var manifest apolloManifest
		if err := json.Unmarshal(data, &manifest); err != nil {
			return Manifest{}, fmt.Errorf("is not a manifest of Apollo's: %w", err)
		}
		if manifest.Format != apolloFormat || manifest.Version != apolloVersion {
			return Manifest{}, fmt.Errorf("is of the format %q, version %d; %q, version %d, can be read",
				manifest.Format, manifest.Version, apolloFormat, apolloVersion)
		}
		for _, operation := range manifest.Operations {
			faults.add(m.put(operation.ID, operation.Body))
		}
	} else {
		for _, id := range slices.Sorted(maps.Keys(object)) {
			var text string
			if err := json.Unmarshal(object[id], &text); err != nil {
				faults.add(fmt.Errorf("the document %q is not a text", id))
				continue
			}
			faults.add(m.put(id, text))
		}
	}
	if len(m.texts) > maxManifestDocuments {
		return Manifest{}, fmt.Errorf("has more than %d documents", maxManifestDocuments)
	}
	if len(m.texts) == 0 && len(faults.shown) == 0 {
		return Manifest{}, errors.New("has no documents")
	}
	if err := faults.err(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// givenTwice returns a key that the object of a valid JSON text has twice: readers differ in which of the two counts.
func givenTwice(data []byte) (string, bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	seen := map[string]bool{}
	depth, isKey := 0, false
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			isKey = depth == 1
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth != 1 {
			continue
		}
		if key, ok := token.(string); ok && isKey {
			if seen[key] {
				return key, true
			}
			seen[key] = true
		}
		isKey = !isKey
	}
}

func (m Manifest) put(id, text string) error {
	hash, hashed := strings.CutPrefix(id, hashPrefix)
	known, twice := m.texts[id]
	switch {
	case id == "":
		return errors.New("a document has no id")
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("the document %q has no text", id)
	case hashed && hash != hashOf(text):
		return fmt.Errorf("the id %q is not the hash of its document", id)
	case twice && known != text:
		return fmt.Errorf("the id %q has two documents", id)
	}
	m.texts[id] = text
	return nil
}

// compiled is a manifest whose documents are parsed and valid.
type compiled struct {
	byID   map[string]string
	byHash map[string]string
	parsed map[string]*ast.QueryDocument // by text
}

// compile parses every document and validates it by the rules of GraphQL. What the executor asks beyond them, such as the
// size of an Int, is asked when a document is sent.
func (m Manifest) compile(schema *ast.Schema, maxTokens int) (compiled, error) {
	c := compiled{byID: m.texts, byHash: map[string]string{}, parsed: map[string]*ast.QueryDocument{}}
	var faults faults
	for _, id := range slices.Sorted(maps.Keys(m.texts)) {
		text := m.texts[id]
		if c.parsed[text] != nil {
			continue
		}
		document, err := parse(schema, text, maxTokens)
		if err != nil {
			faults.add(fmt.Errorf("the persisted document %q: %w", id, err))
			continue
		}
		c.parsed[text] = document
		c.byHash[hashOf(text)] = text
	}
	return c, faults.err()
}

func parse(schema *ast.Schema, text string, maxTokens int) (*ast.QueryDocument, error) {
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		return nil, said(err)
	}
	if len(document.Operations) == 0 {
		return nil, errors.New("has no operation")
	}
	if errs := validator.ValidateWithRules(schema, document, rules.NewDefaultRules()); len(errs) > 0 {
		return nil, said(errs[0])
	}
	return document, nil
}

// said is the message of an error of a document, with the place.
func said(err error) error {
	fault, ok := errors.AsType[*gqlerror.Error](err)
	if !ok || len(fault.Locations) == 0 {
		return err
	}
	return fmt.Errorf("line %d, column %d: %s", fault.Locations[0].Line, fault.Locations[0].Column, fault.Message)
}

// find returns the document of a reference.
func (c compiled) find(r reference) (text string, ok bool) {
	if text, ok = c.byID[r.id]; ok || r.hash == "" {
		return text, ok
	}
	text, ok = c.byHash[r.hash]
	return text, ok
}

// hashOf is the SHA-256 of a text in lower-case hexadecimal.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// faults collects what is wrong with a manifest, up to a number.
type faults struct {
	shown []error
	more  int
}

func (f *faults) add(err error) {
	switch {
	case err == nil:
	case len(f.shown) < maxFaults:
		f.shown = append(f.shown, err)
	default:
		f.more++
	}
}

func (f *faults) err() error {
	if f.more > 0 {
		return errors.Join(append(f.shown, fmt.Errorf("and %d more", f.more))...)
	}
	return errors.Join(f.shown...)
}
