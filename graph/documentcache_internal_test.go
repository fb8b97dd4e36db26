package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
)

func TestDocumentCache(t *testing.T) {
	t.Parallel()
	d, ctx := newDocumentCache(), t.Context()
	has := func(text string) bool { _, ok := d.Get(ctx, text); return ok }
	long := strings.Repeat("x", cachedDocumentBytes)
	d.Add(ctx, long+"x", &ast.QueryDocument{})
	if has(long+"x") || d.bytes != 0 {
		t.Error("a document beyond the length is kept")
	}
	text := func(n int) string { return fmt.Sprintf("%08d", n) + long[8:] }
	const enough = cachedBytes / cachedDocumentBytes
	for n := range enough {
		d.Add(ctx, text(n), &ast.QueryDocument{})
		d.Add(ctx, text(n), &ast.QueryDocument{})
	}
	if !has(text(0)) || d.bytes != cachedBytes {
		t.Errorf("%d bytes are counted, want %d", d.bytes, cachedBytes)
	}
	d.Add(ctx, "one more", &ast.QueryDocument{})
	if !has(text(0)) || has(text(1)) || !has("one more") || d.bytes > cachedBytes {
		t.Errorf("not the one used longest ago made room; %d bytes are counted", d.bytes)
	}
	for n := range 2 * cachedDocuments {
		d.Add(ctx, fmt.Sprint(n), &ast.QueryDocument{})
	}
	sum := 0
	for _, kept := range d.kept.Keys() {
		sum += len(kept)
	}
	if d.kept.Len() != cachedDocuments || d.bytes != sum {
		t.Errorf("%d documents are kept, and %d bytes counted for %d", d.kept.Len(), d.bytes, sum)
	}
}
