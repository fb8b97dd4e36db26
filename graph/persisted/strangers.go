package persisted

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxStrangers is how many documents are remembered as told.
	maxStrangers = 1000
	// tellEvery and tellAtMost bound the lines: so many in each such time.
	tellEvery  = time.Minute
	tellAtMost = 20
	maxName    = 100
)

// strangers tells the log of documents that are not in the manifest: once of each, and of no more than a few a minute.
// The text is not told: a careless client writes secrets into it.
type strangers struct {
	log *slog.Logger

	mu     sync.Mutex
	told   *simplelru.LRU[string, struct{}]
	since  time.Time
	lines  int // since then
	untold int // documents that found no line
}

func newStrangers(log *slog.Logger) *strangers {
	return &strangers{log: log, told: newLRU[struct{}](maxStrangers, nil)}
}

func (s *strangers) tell(ctx context.Context, operation *graphql.OperationContext) {
	hash := hashOf(operation.RawQuery)
	untold, tell := s.take(hash, time.Now())
	if !tell {
		return
	}
	name := operation.Operation.Name
	s.log.WarnContext(ctx, "document outside the manifest", "sha256", hash, "operation", name[:min(len(name), maxName)],
		"kind", operation.Operation.Operation, "bytes", len(operation.RawQuery), "untold", untold)
}

// take reports whether a document shall be told of, and how many were not since the last line.
func (s *strangers) take(hash string, now time.Time) (untold int, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.told.Get(hash); known {
		return 0, false
	}
	if now.Sub(s.since) >= tellEvery {
		s.since, s.lines = now, 0
	}
	if s.lines == tellAtMost {
		s.untold++
		return 0, false
	}
	s.told.Add(hash, struct{}{})
	s.lines++
	untold, s.untold = s.untold, 0
	return untold, true
}
