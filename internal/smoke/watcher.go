package main

import (
	"context"
	"fmt"
	"slices"

	"marquee/internal/gqlclient"
)

// The letters of SeatMap.stateLetters, by state.
var letters = map[string]byte{"AVAILABLE": 'A', "HELD": 'H', "TAKEN": 'T', "BLOCKED": 'B'}

// change is a seat that has another state than before.
type change struct {
	SeatID   string
	Position int
	State    string
}

// seatEvent is a member of SeatMapEvent.
type seatEvent struct {
	Typename    string `json:"__typename"`
	FromVersion int
	Version     int
	SeatMap     struct{ StateLetters string }
	Changes     []change
}

// stream is where events come from: a *gqlclient.Subscription.
type stream interface {
	Next(ctx context.Context, out any) error
	Close()
}

// watcher keeps the picture that an anonymous visitor has of a showtime, and mistrusts every event.
type watcher struct {
	subscription stream
	version      int
	states       []byte // letters by position - 1
}

// watch subscribes and takes the first event, which must be the whole map.
func watch(ctx context.Context, visitor gqlclient.Client, showtimeID string) (*watcher, error) {
	subscription, err := visitor.Subscribe(ctx, watchDocument, map[string]any{"id": showtimeID})
	if err != nil {
		return nil, err
	}
	w := &watcher{subscription: subscription}
	if err := w.begin(ctx); err != nil {
		subscription.Close()
		return nil, err
	}
	return w, nil
}

// begin takes the first event.
func (w *watcher) begin(ctx context.Context) error {
	event, err := w.next(ctx)
	if err != nil {
		return err
	}
	if event.Typename != "SeatMapSnapshot" || event.SeatMap.StateLetters == "" {
		return fmt.Errorf("the first event is %+v", event)
	}
	w.version, w.states = event.Version, []byte(event.SeatMap.StateLetters)
	return nil
}

func (w *watcher) next(ctx context.Context) (seatEvent, error) {
	var out struct{ SeatMapChanged seatEvent }
	err := w.subscription.Next(ctx, &out)
	return out.SeatMapChanged, err
}

// expect takes events until all the seats have come to a state, and returns how many it took. Any other change, any
// change twice and any gap between versions is an error.
func (w *watcher) expect(ctx context.Context, state string, seats []seat) (events int, err error) {
	awaited := positions(seats)
	for len(awaited) > 0 {
		event, err := w.next(ctx)
		if err != nil {
			return events, fmt.Errorf("waiting for seats %v to become %s: %w", awaited, state, err)
		}
		events++
		if err := w.apply(event); err != nil {
			return events, err
		}
		for _, c := range event.Changes {
			i := slices.Index(awaited, c.Position)
			if i < 0 || c.State != state || !slices.ContainsFunc(seats, func(s seat) bool { return s.ID == c.SeatID && s.Position == c.Position }) {
				return events, fmt.Errorf("waiting for seats %v to become %s, saw %+v", awaited, state, c)
			}
			awaited = slices.Delete(awaited, i, i+1)
		}
	}
	return events, nil
}

// expectAtOnce is expect for seats that must change together.
func (w *watcher) expectAtOnce(ctx context.Context, state string, seats []seat) error {
	events, err := w.expect(ctx, state, seats)
	if err == nil && events != 1 {
		err = fmt.Errorf("seats %v became %s in %d events", positions(seats), state, events)
	}
	return err
}

// apply checks that an event is a step from the picture that the watcher has, and takes the step.
func (w *watcher) apply(event seatEvent) error {
	switch {
	case event.Typename != "SeatMapDelta":
		return fmt.Errorf("a later event is a %s", event.Typename)
	case event.FromVersion != w.version || event.Version <= w.version:
		return fmt.Errorf("a step from version %d to %d came to a watcher at version %d", event.FromVersion, event.Version, w.version)
	case len(event.Changes) == 0:
		return fmt.Errorf("the step to version %d changes nothing", event.Version)
	}
	for _, c := range event.Changes {
		letter, known := letters[c.State]
		switch {
		case !known || c.Position < 1 || c.Position > len(w.states):
			return fmt.Errorf("the step to version %d holds the change %+v of %d seats", event.Version, c, len(w.states))
		case w.states[c.Position-1] == letter:
			return fmt.Errorf("seat %d became %s, which it was already", c.Position, c.State)
		}
		w.states[c.Position-1] = letter
	}
	w.version = event.Version
	return nil
}

// isFree reports whether the watcher sees all the seats as free.
func (w *watcher) isFree(seats []seat) bool {
	for _, s := range seats {
		if s.Position < 1 || s.Position > len(w.states) || w.states[s.Position-1] != letters["AVAILABLE"] {
			return false
		}
	}
	return true
}
