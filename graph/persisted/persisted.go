// Package persisted finds the documents that clients name instead of sending them.
//
// It owns the manifest of documents that an operator trusts, the texts that clients register by their hash (Apollo's
// automatic persisted queries), and the rule of who may execute what is in neither. A request names a document by
// extensions.persistedQuery (Apollo, urql), by documentId (GraphQL-over-HTTP, appendix A) or by Relay's ids, which the
// transport reads into the extension of that name.
//
// It refuses to know what a document does, what it costs and how it came here.
//
// Invariants:
//   - A hash stands for one text. A request whose text has another hash is refused.
//   - A text is registered only when it has passed validation and the limits, and what is registered is bounded in
//     number and bytes. No request can change or push out the manifest, nor its parsed documents.
//   - In mode require nothing is executed but the manifest, unless the caller is trusted, and nothing is registered.
package persisted

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/graph/transport"
	"marquee/internal/apperr"
)

// Mode says what happens to a document that is not in the manifest.
type Mode string

// The modes.
const (
	Off     Mode = "off"     // it is executed
	Log     Mode = "log"     // it is executed and told to the log
	Require Mode = "require" // it is refused
)

// NotFound is the code for a document that nobody has registered. Clients know it by its message, too, and send the text.
const NotFound apperr.Code = "PERSISTED_QUERY_NOT_FOUND"

const notFoundMessage = "PersistedQueryNotFound"

// apolloExtension is the extension of automatic persisted queries.
const apolloExtension = "persistedQuery"

// Options are how documents are found.
type Options struct {
	Manifest Manifest
	Mode     Mode                           // default Off
	Trusted  func(ctx context.Context) bool // whether the caller may execute any document in mode require; nil: nobody may
	Log      *slog.Logger                   // needed in mode log
}

// Documents is the extension of an executor that puts the text of the named document into a request. It goes before
// every extension that reads the text, and what [Documents.Registration] returns goes after all others. It is safe for
// use by many goroutines.
type Documents struct {
	o          Options
	manifest   compiled
	registered *texts
	strangers  *strangers
}

var (
	_ graphql.HandlerExtension          = (*Documents)(nil)
	_ graphql.OperationParameterMutator = (*Documents)(nil)
	_ graphql.HandlerExtension          = registration{}
	_ graphql.OperationContextMutator   = registration{}
)

// New returns the documents of a schema. It fails with one sentence for each document of the manifest that is not
// valid, or has more than maxTokens tokens.
func New(schema *ast.Schema, maxTokens int, o Options) (*Documents, error) {
	manifest, err := o.Manifest.compile(schema, maxTokens)
	if err != nil {
		return nil, err
	}
	d := &Documents{o: o, manifest: manifest, registered: newTexts()}
	if o.Mode == Log {
		d.strangers = newStrangers(o.Log)
	}
	return d, nil
}

// ExtensionName names the extension to the executor.
func (*Documents) ExtensionName() string { return "PersistedDocuments" }

// Validate has nothing to check.
func (*Documents) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters puts the text of the named document into the request.
func (d *Documents) MutateOperationParameters(ctx context.Context, raw *graphql.RawParams) *gqlerror.Error {
	named, err := referenceIn(raw.Extensions)
	if err != nil {
		return refuse(err)
	}
	if named == (reference{}) {
		return d.mayExecute(ctx, raw.Query)
	}
	trusted, listed := d.manifest.find(named)
	bare := strings.TrimSpace(raw.Query) == ""
	switch {
	case bare && listed:
		raw.Query = trusted
		return nil
	case bare:
		text, known := d.registered.get(named.hash)
		if !known {
			return refuse(apperr.New(NotFound, notFoundMessage))
		}
		raw.Query = text
	case listed && raw.Query == trusted:
		return nil
	case listed, named.hash != "" && named.hash != hashOf(raw.Query):
		return refuse(apperr.New(apperr.BadUserInput, "The text of the document is not the one that is named beside it."))
	}
	return d.mayExecute(ctx, raw.Query)
}

// mayExecute refuses a text that is not in the manifest where nothing else may be executed.
func (d *Documents) mayExecute(ctx context.Context, text string) *gqlerror.Error {
	if d.o.Mode != Require || d.manifest.parsed[text] != nil || d.o.Trusted != nil && d.o.Trusted(ctx) {
		return nil
	}
	return refuse(apperr.New(apperr.Forbidden, "Only documents that were registered beforehand are executed here: name one by its id."))
}

// Registration returns the extension that registers the texts of operations under the hashes that come with them, and
// tells of those outside the manifest. Used after every extension that can refuse an operation, it does neither for
// what is not executed.
func (d *Documents) Registration() graphql.HandlerExtension { return registration{d} }

type registration struct{ d *Documents }

// ExtensionName names the extension to the executor.
func (registration) ExtensionName() string { return "PersistedDocumentsRegistration" }

// Validate has nothing to check.
func (registration) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext registers the text of an operation that is about to be executed.
func (r registration) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	d := r.d
	if d.o.Mode == Require || d.manifest.parsed[operation.RawQuery] != nil {
		return nil
	}
	if named, err := referenceIn(operation.Extensions); err == nil && isHash(named.hash) {
		d.registered.add(named.hash, operation.RawQuery)
	}
	if d.strangers != nil {
		d.strangers.tell(ctx, operation)
	}
	return nil
}

// Cache returns a cache of parsed documents before which the manifest stands: its documents are parsed once and for
// all, whatever is asked of next.
func (d *Documents) Cache(next graphql.Cache[*ast.QueryDocument]) graphql.Cache[*ast.QueryDocument] {
	return pinned{d.manifest.parsed, next}
}

type pinned struct {
	parsed map[string]*ast.QueryDocument
	graphql.Cache[*ast.QueryDocument]
}

// Get returns the parsed document of a text.
func (p pinned) Get(ctx context.Context, text string) (*ast.QueryDocument, bool) {
	if document := p.parsed[text]; document != nil {
		return document, true
	}
	return p.Cache.Get(ctx, text)
}

// Named reports whether a request named its document, so that its address says all that the answer depends on in few
// bytes.
func Named(extensions map[string]any) bool {
	named, err := referenceIn(extensions)
	return err == nil && named != reference{}
}

// reference is how a request names its document. Apollo's clients send the ids of a manifest where they send hashes,
// so that one text may be both.
type reference struct {
	id   string // as given
	hash string // what the client takes for the SHA-256 of the text, in lower-case hexadecimal; "" for an id alone
}

var isHash = regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString

// referenceIn reads how the extensions of a request name its document; the zero reference: not at all. The error is
// BAD_USER_INPUT.
func referenceIn(extensions map[string]any) (reference, *apperr.Error) {
	id, _ := extensions[transport.DocumentID].(string)
	apollo, given := extensions[apolloExtension]
	switch {
	case !given || apollo == nil:
		if id == "" {
			return reference{}, nil
		}
		hash, prefixed := strings.CutPrefix(id, hashPrefix)
		if prefixed && !isHash(hash) {
			return reference{}, apperr.New(apperr.BadUserInput,
				"A document id that begins with %s continues with 64 hexadecimal digits in lower case.", hashPrefix)
		}
		if !prefixed {
			hash = ""
		}
		return reference{id: id, hash: hash}, nil
	case id != "":
		return reference{}, apperr.New(apperr.BadUserInput,
			"Name the document by %s or by extensions.%s, not by both.", transport.DocumentID, apolloExtension)
	}
	parameters, _ := apollo.(map[string]any)
	id, _ = parameters["sha256Hash"].(string)
	if version, ok := parameters["version"].(json.Number); !ok || version != "1" || id == "" {
		return reference{}, apperr.New(apperr.BadUserInput,
			"extensions.%s needs the version 1 and a sha256Hash.", apolloExtension)
	}
	return reference{id: id, hash: id}, nil
}

func refuse(err *apperr.Error) *gqlerror.Error {
	return &gqlerror.Error{Err: err, Message: err.Message, Extensions: map[string]any{"code": string(err.Code)}}
}
