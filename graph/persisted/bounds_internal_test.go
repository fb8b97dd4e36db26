package persisted

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTexts_bounds(t *testing.T) {
	t.Parallel()
	kept := newTexts()
	const size = 100 << 10
	for i := range 200 {
		kept.add(fmt.Sprint(i), strings.Repeat("x", size))
		if kept.bytes > maxRegisteredBytes || kept.bytes != kept.lru.Len()*size {
			t.Fatalf("%d bytes in %d texts after %d", kept.bytes, kept.lru.Len(), i+1)
		}
	}
	if want := maxRegisteredBytes / size; kept.lru.Len() != want {
		t.Errorf("%d texts, want %d", kept.lru.Len(), want)
	}
	kept.add("199", "another text")
	if text, ok := kept.get("199"); !ok || len(text) != size {
		t.Error("a text was replaced")
	}
	for i := range 2 * maxRegistered {
		kept.add(fmt.Sprint("small", i), "x")
	}
	if kept.lru.Len() != maxRegistered || kept.bytes != maxRegistered {
		t.Errorf("%d bytes in %d texts", kept.bytes, kept.lru.Len())
	}
}

func TestStrangers_take(t *testing.T) {
	t.Parallel()
	s := newStrangers(nil)
	now := time.Unix(1_000_000, 0)
	for i := range tellAtMost {
		if untold, tell := s.take(fmt.Sprint(i), now); !tell || untold != 0 {
			t.Fatalf("document %d is not told", i)
		}
	}
	for i := range 5 {
		if _, tell := s.take(fmt.Sprint("late", i), now); tell {
			t.Fatal("more than a minute's lines are told")
		}
	}
	if _, tell := s.take("0", now.Add(tellEvery)); tell {
		t.Error("a document is told twice")
	}
	if untold, tell := s.take("late0", now.Add(tellEvery)); !tell || untold != 5 {
		t.Errorf("told %t, of %d untold, want 5", tell, untold)
	}
}
