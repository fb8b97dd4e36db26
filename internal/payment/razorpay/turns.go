package razorpay

import (
	"context"
	"fmt"
	"sync"
)

// turns lets one caller at a time be at work on a key. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	busy  chan struct{} // holds one value while somebody is at work
	users int           // at work or waiting
}

// take waits for the turn of a key, which lasts until release is called, or for the end of ctx.
func (t *turns) take(ctx context.Context, key string) (release func(), err error) {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = map[string]*turn{}
	}
	mine, ok := t.keys[key]
	if !ok {
		mine = &turn{busy: make(chan struct{}, 1)}
		t.keys[key] = mine
	}
	mine.users++
	t.mu.Unlock()

	select {
	case mine.busy <- struct{}{}:
		return func() {
			<-mine.busy
			t.leave(key, mine)
		}, nil
	case <-ctx.Done():
		t.leave(key, mine)
		return nil, fmt.Errorf("razorpay: %w", ctx.Err())
	}
}

func (t *turns) leave(key string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(t.keys, key)
	}
}
