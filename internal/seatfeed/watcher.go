package seatfeed

import "github.com/google/uuid"

// picture is the state of all seats at one version. It never changes, so that
// any number of watchers may share it.
type picture struct {
	showtimeID uuid.UUID
	version    int32
	states     []State
}

// watcher is one client. Its follower's lock guards it; only the client's side
// of the channel is free.
//
// The event that waits in the channel is never edited. It is taken back, and
// another takes its place that leads from what the client has to the current
// picture: this is the merge, it cannot lose a change, and it needs no more than
// the one picture.
type watcher struct {
	events  chan Event
	has     *picture // what the client has without the event waiting in the channel; nil is nothing
	offered *picture // what the client has with it
	place   int      // in the follower's list

	forgetContext func() bool
}

// offer replaces what waits in the channel by the step that leads to the
// picture of steps. It never blocks: the channel has room for one event and
// nobody else sends.
func (w *watcher) offer(steps *steps) {
	select {
	case <-w.events:
	default:
		w.has = w.offered
	}
	w.offered = w.has
	if event, ok := steps.from(w.has); ok {
		w.events <- event
		w.offered = steps.to
	}
}

// close ends the client's channel. What still waits in it is withdrawn: the
// client may not be entitled to it any more.
func (w *watcher) close() {
	select {
	case <-w.events:
	default:
	}
	close(w.events)
}

// steps makes the events that lead to one picture, each once for all watchers
// that have the same picture before it.
type steps struct {
	to    *picture
	known map[*picture]Event
}

func newSteps(to *picture) *steps {
	return &steps{to: to, known: make(map[*picture]Event, 1)}
}

// from returns the step from the picture a client has, or false when there is
// no difference.
func (s *steps) from(has *picture) (Event, bool) {
	event, ok := s.known[has]
	if !ok {
		event = step(has, s.to)
		s.known[has] = event
	}
	return event, event.Snapshot || len(event.Changes) > 0
}

func step(has, to *picture) Event {
	if has == nil || len(has.states) != len(to.states) {
		return Event{ShowtimeID: to.showtimeID, Snapshot: true, Version: to.version, States: to.states}
	}
	var changes []Change
	for i, state := range to.states {
		if state != has.states[i] {
			changes = append(changes, Change{SeatNo: int16(i + 1), State: state})
		}
	}
	return Event{ShowtimeID: to.showtimeID, FromVersion: has.version, Version: to.version, Changes: changes}
}
