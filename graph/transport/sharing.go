package transport

import (
	"context"
	"sync"
)

// EventKind says what an event of a shared stream is to those who share it.
type EventKind int

const (
	// Reset is a whole picture that everybody needs. It is also what an event is that nobody announced.
	Reset EventKind = iota
	// Step leads on from the event before it, and is of use only to those who have that.
	Step
	// Whole is the picture that the events so far add up to, for those who have none.
	Whole
)

// Sharing is how the resolver of a stream that several clients share serves those who join it later. The resolver asks
// for it with [SharingOf], announces each event before it sends it, and sends a [Whole] one, at once, each time that
// Wanted says so. The first event is a Whole one by itself. A nil Sharing is that of a stream with one client: nothing
// is ever wanted of it.
//
// It works because everything goes down one stream in one order: a whole picture and the step after it cannot miss
// each other.
type Sharing struct {
	wanted chan struct{}

	mu        sync.Mutex
	announced []EventKind
}

type sharingKey struct{}

// SharingOf returns the Sharing of the stream that a resolver is called for, nil where it has one client.
func SharingOf(ctx context.Context) *Sharing {
	sharing, _ := ctx.Value(sharingKey{}).(*Sharing)
	return sharing
}

func newSharing() *Sharing { return &Sharing{wanted: make(chan struct{}, 1)} }

// Wanted has a value when somebody waits for a whole picture.
func (s *Sharing) Wanted() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.wanted
}

// Announce says what the event is that the resolver sends next.
func (s *Sharing) Announce(kind EventKind) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced = append(s.announced, kind)
}

// next is what was announced first and has not been asked for.
func (s *Sharing) next() EventKind {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.announced) == 0 {
		return Reset
	}
	kind := s.announced[0]
	s.announced = s.announced[1:]
	return kind
}

// want asks the resolver for a whole picture.
func (s *Sharing) want() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}
