package main

import (
	"context"
	"encoding/json"
	"io"
	"testing"
)

// played is a stream of events that are known beforehand, as JSON.
type played struct{ events []string }

func (p *played) Next(_ context.Context, out any) error {
	if len(p.events) == 0 {
		return io.EOF
	}
	event := p.events[0]
	p.events = p.events[1:]
	return json.Unmarshal([]byte(`{"seatMapChanged":`+event+`}`), out)
}

func (*played) Close() {}

const snapshot = `{"__typename":"SeatMapSnapshot","version":7,"seatMap":{"stateLetters":"AAAT"}}`

func TestWatcher_Begin(t *testing.T) {
	t.Parallel()
	w := &watcher{subscription: &played{events: []string{snapshot}}}
	if err := w.begin(t.Context()); err != nil || w.version != 7 || string(w.states) != "AAAT" {
		t.Errorf("began with %v at version %d, %s", err, w.version, w.states)
	}
	for name, events := range map[string][]string{
		"a step":        {`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"1","position":1,"state":"HELD"}]}`},
		"an empty map":  {`{"__typename":"SeatMapSnapshot","version":7,"seatMap":{"stateLetters":""}}`},
		"the end of it": nil,
	} {
		t.Run(name+" is no beginning", func(t *testing.T) {
			t.Parallel()
			if err := (&watcher{subscription: &played{events: events}}).begin(t.Context()); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestWatcher_Expect(t *testing.T) {
	t.Parallel()
	const (
		first  = `{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s1","position":1,"state":"HELD"}]}`
		second = `{"__typename":"SeatMapDelta","fromVersion":8,"version":10,"changes":[{"seatId":"s2","position":2,"state":"HELD"}]}`
		both   = `{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s1","position":1,"state":"HELD"},{"seatId":"s2","position":2,"state":"HELD"}]}`
	)
	wanted := []seat{{ID: "s1", Position: 1}, {ID: "s2", Position: 2}}
	for name, row := range map[string]struct {
		events []string
		took   int // 0: an error
		after  string
	}{
		"both at once":                     {[]string{both, "never read"}, 1, "HHAT"},
		"one after the other":              {[]string{first, second}, 2, "HHAT"},
		"only one":                         {[]string{first}, 0, ""},
		"a version that does not follow":   {[]string{second}, 0, ""},
		"a version twice":                  {[]string{first, first}, 0, ""},
		"a version that goes back":         {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":7,"changes":[{"seatId":"s1","position":1,"state":"HELD"}]}`}, 0, ""},
		"nothing changes":                  {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[]}`}, 0, ""},
		"another map":                      {[]string{snapshot}, 0, ""},
		"another seat":                     {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s3","position":3,"state":"HELD"}]}`}, 0, ""},
		"another seat at the same place":   {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s9","position":1,"state":"HELD"}]}`}, 0, ""},
		"a place outside":                  {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s5","position":5,"state":"HELD"}]}`}, 0, ""},
		"another state":                    {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s1","position":1,"state":"TAKEN"}]}`}, 0, ""},
		"an unknown state":                 {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s1","position":1,"state":"SOLD"}]}`}, 0, ""},
		"the state that it had before":     {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s1","position":1,"state":"AVAILABLE"}]}`}, 0, ""},
		"the same seat twice in one event": {[]string{`{"__typename":"SeatMapDelta","fromVersion":7,"version":8,"changes":[{"seatId":"s1","position":1,"state":"HELD"},{"seatId":"s1","position":1,"state":"HELD"}]}`}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &watcher{subscription: &played{events: append([]string{snapshot}, row.events...)}}
			if err := w.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			took, err := w.expect(t.Context(), "HELD", wanted)
			if (err == nil) != (row.took > 0) {
				t.Fatalf("got %d, %v", took, err)
			}
			if err == nil && (took != row.took || string(w.states) != row.after) {
				t.Errorf("took %d events to %s", took, w.states)
			}
		})
	}

	t.Run("at once means in one event", func(t *testing.T) {
		t.Parallel()
		for want, events := range map[bool][]string{true: {both}, false: {first, second}} {
			w := &watcher{subscription: &played{events: append([]string{snapshot}, events...)}}
			if err := w.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := w.expectAtOnce(t.Context(), "HELD", wanted); (err == nil) != want {
				t.Errorf("%d events: %v", len(events), err)
			}
		}
	})
}

func TestWatcher_IsFree(t *testing.T) {
	t.Parallel()
	w := &watcher{states: []byte("AHTB")}
	for position, want := range map[int]bool{0: false, 1: true, 2: false, 3: false, 4: false, 5: false} {
		if got := w.isFree([]seat{{Position: position}}); got != want {
			t.Errorf("seat %d is free: %v", position, got)
		}
	}
}
