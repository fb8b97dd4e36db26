package loader

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"marquee/internal/apperr"
)

// wait is long enough for a busy machine to ask for everything that belongs together.
const wait = 500 * time.Millisecond

// source is a read that remembers what it was asked for.
type source struct {
	mu      sync.Mutex
	batches [][]int
	err     error
}

// squares knows the keys below a hundred.
func (s *source) squares(_ context.Context, keys []int) (map[int]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, slices.Sorted(slices.Values(keys)))
	found := map[int]int{}
	for _, key := range keys {
		if key < 100 {
			found[key] = key * key
		}
	}
	return found, s.err
}

// together calls load for each key at once.
func together(keys []int, load func(key int)) {
	var all sync.WaitGroup
	for _, key := range keys {
		all.Go(func() { load(key) })
	}
	all.Wait()
}

func TestOne_Load(t *testing.T) {
	t.Parallel()
	t.Run("keys_share_one_read", func(t *testing.T) {
		t.Parallel()
		var s source
		l := one("square", s.squares, wait)
		together([]int{1, 2, 3, 2, 1}, func(key int) {
			if v, err := l.Load(t.Context(), key); err != nil || *v != key*key {
				t.Errorf("%d: %v, %v", key, v, err)
			}
		})
		if len(s.batches) != 1 || !slices.Equal(s.batches[0], []int{1, 2, 3}) {
			t.Errorf("the reads are %v", s.batches)
		}
	})
	t.Run("a_key_is_read_once", func(t *testing.T) {
		t.Parallel()
		var s source
		l := one("square", s.squares, time.Millisecond)
		for range 3 {
			if _, err := l.Load(t.Context(), 7); err != nil {
				t.Error(err)
			}
		}
		if len(s.batches) != 1 {
			t.Errorf("the reads are %v", s.batches)
		}
	})
	t.Run("a_missing_one_is_not_found_and_spoils_no_other", func(t *testing.T) {
		t.Parallel()
		var s source
		l := one("square", s.squares, wait)
		together([]int{5, 500}, func(key int) {
			v, err := l.Load(t.Context(), key)
			if key == 5 && (err != nil || *v != 25) {
				t.Errorf("5: %v, %v", v, err)
			}
			if key == 500 && (apperr.CodeOf(err) != apperr.NotFound || v != nil || err.Error() != "There is no such square.") {
				t.Errorf("500: %v, %v", v, err)
			}
		})
	})
	t.Run("a_failure_is_everybodys", func(t *testing.T) {
		t.Parallel()
		s := source{err: errors.New("away")}
		l := one("square", s.squares, wait)
		together([]int{1, 500}, func(key int) {
			if _, err := l.Load(t.Context(), key); !errors.Is(err, s.err) {
				t.Errorf("%d: %v", key, err)
			}
		})
	})
	t.Run("values_do_not_share_memory", func(t *testing.T) {
		t.Parallel()
		var s source
		l := one("square", s.squares, time.Millisecond)
		first, err := l.Load(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		*first = 0
		if second, err := l.Load(t.Context(), 3); err != nil || *second != 9 {
			t.Errorf("%v, %v", second, err)
		}
	})
}

func TestMany_Load(t *testing.T) {
	t.Parallel()
	l := many(func(_ context.Context, keys []int) (map[int][]string, error) {
		return map[int][]string{1: {"a", "b"}}, nil
	}, time.Millisecond)
	if list, err := l.Load(t.Context(), 1); err != nil || !slices.Equal(list, []string{"a", "b"}) {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := l.Load(t.Context(), 2); err != nil || len(list) != 0 {
		t.Errorf("a list that nobody knows: %v, %v", list, err)
	}
}

func TestMaybe_Load(t *testing.T) {
	t.Parallel()
	var s source
	l := maybe(s.squares, time.Millisecond)
	if v, err := l.Load(t.Context(), 4); err != nil || v == nil || *v != 16 {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := l.Load(t.Context(), 400); err != nil || v != nil {
		t.Errorf("what is missing: %v, %v", v, err)
	}
}

func TestBatched(t *testing.T) {
	t.Parallel()
	t.Run("capacity_bounds_a_read", func(t *testing.T) {
		t.Parallel()
		var s source
		l := many(func(ctx context.Context, keys []int) (map[int][]int, error) {
			_, err := s.squares(ctx, keys)
			return nil, err
		}, time.Minute)
		keys := make([]int, batchCapacity)
		for i := range keys {
			keys[i] = i
		}
		// Nobody waits a minute: a full batch goes at once.
		together(keys, func(key int) {
			if _, err := l.Load(t.Context(), key); err != nil {
				t.Error(err)
			}
		})
		if len(s.batches) != 1 {
			t.Errorf("%d reads", len(s.batches))
		}
	})
}

func TestFrom(t *testing.T) {
	t.Parallel()
	l := &Loaders{}
	if From(With(t.Context(), l)) != l {
		t.Error("other loaders came out than went in")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic without loaders")
		}
	}()
	From(t.Context())
}

func TestValueOf(t *testing.T) {
	t.Parallel()
	text, dash, moment := `a"|"b`, "-", time.Unix(0, 0).UTC()
	seen := map[string]bool{}
	for _, one := range []string{valueOf[string](nil), valueOf(&text), valueOf(&dash), valueOf(&moment)} {
		if seen[one] {
			t.Errorf("%s stands for two values", one)
		}
		seen[one] = true
	}
}
