package persisted

import (
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Bounds of what clients register. The one whose use lies back furthest goes first.
const (
	maxRegistered      = 1000
	maxRegisteredBytes = 4 << 20
)

// texts are documents by their hash.
type texts struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[string, string]
	bytes int
}

func newTexts() *texts {
	t := &texts{}
	t.lru = newLRU(maxRegistered, func(_, text string) { t.bytes -= len(text) })
	return t
}

func (t *texts) get(hash string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lru.Get(hash)
}

// add keeps a text, unless it is known.
func (t *texts) add(hash, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lru.Contains(hash) {
		return
	}
	// The text may be a part of the whole request, which shall not be kept with it.
	t.lru.Add(strings.Clone(hash), strings.Clone(text))
	t.bytes += len(text)
	for t.bytes > maxRegisteredBytes {
		t.lru.RemoveOldest()
	}
}

func newLRU[V any](size int, evicted func(string, V)) *simplelru.LRU[string, V] {
	lru, err := simplelru.NewLRU(size, evicted)
	if err != nil {
		panic("persisted: the size of a cache: " + err.Error())
	}
	return lru
}
