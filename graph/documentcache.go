package graph

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/vektah/gqlparser/v2/ast"
)

// documentCache keeps parsed documents by their text, those used last, within a number and a length of all texts together.
// It is safe for concurrent use.
type documentCache struct {
	mu    sync.Mutex
	kept  *simplelru.LRU[string, *ast.QueryDocument]
	bytes int
}

var _ graphql.Cache[*ast.QueryDocument] = (*documentCache)(nil)

func newDocumentCache() *documentCache {
	d := &documentCache{}
	kept, err := simplelru.NewLRU(cachedDocuments, func(text string, _ *ast.QueryDocument) { d.bytes -= len(text) })
	if err != nil {
		panic("graph: the cache size is positive: " + err.Error())
	}
	d.kept = kept
	return d
}

// Get returns the document of a text.
func (d *documentCache) Get(_ context.Context, text string) (*ast.QueryDocument, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept.Get(text)
}

// Add remembers a document unless it is long, and forgets those used longest ago for it.
func (d *documentCache) Add(_ context.Context, text string, document *ast.QueryDocument) {
	if len(text) > cachedDocumentBytes {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept.Contains(text) {
		return
	}
	d.kept.Add(text, document)
	d.bytes += len(text)
	for d.bytes > cachedBytes {
		d.kept.RemoveOldest()
	}
}
