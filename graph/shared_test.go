package graph_test

import (
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/gqlclient"
)

// TestSubscription_shared counts statements: those who watch the same ask the database once.
func TestSubscription_shared(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	const watch = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { ... on SeatMapSnapshot { seatMap { showtime { movie { title } } } } } }`
	type event struct {
		SeatMapChanged struct {
			SeatMap struct {
				Showtime struct{ Movie struct{ Title string } }
			}
		}
	}
	follow := func(c apitest.Client) *apitest.Watcher {
		w := c.Watch(watch, vars{"id": show.ID()})
		var first event
		if w.Next(&first); first.SeatMapChanged.SeatMap.Showtime.Movie.Title == "" {
			t.Errorf("the first event is %+v", first)
		}
		return w
	}
	reads := func(watchers int) (n int) {
		for _, statement := range a.Statements(func() {
			for range watchers {
				follow(a.Anonymous())
			}
		}) {
			if strings.Contains(statement, "movies") {
				n++
			}
		}
		return n
	}
	if n := reads(1); n != 1 {
		t.Fatalf("the first watcher reads the movie %d times", n)
	}
	if n := reads(20); n > 2 { // a picture serves for two seconds
		t.Errorf("20 more watchers read the movie %d times", n)
	}
	follow(a.Customer())
}

// TestSubscription_shared_maps holds that watchers who come at different times see the same map.
func TestSubscription_shared_maps(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show, c := a.World.Showtimes[0], a.Customer()
	early := a.Anonymous().WatchSeats(show.ID())
	reserve(t, c, show, 1)
	early.Until("HELD", 1)
	late := a.Customer().WatchSeats(show.ID())
	late.Until("HELD", 1)
	reserve(t, c, show, 2)
	for _, m := range []*apitest.SeatMap{early, late} {
		m.Until("HELD", 1, 2)
	}
	if early.Letters() != late.Letters() || early.Version != late.Version {
		t.Errorf("the early one sees %s at %d, the late one %s at %d", early.Letters(), early.Version, late.Letters(), late.Version)
	}
}

// TestWebsocket_WS9_subject_characters sends ids that would be patterns to a message bus.
func TestWebsocket_WS9_subject_characters(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	good := a.World.Showtimes[0].ID()
	for _, id := range []string{"*", ">", ".", " ", "sho_*", "sho_>", "sho_.", "seats.changed", good + ".>", good + " ", " " + good, good + "*", "sho_ " + good[4:]} {
		const watch = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`
		if err := a.Anonymous().Watch(watch, vars{"id": id}).Try(nil); gqlclient.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("%q is answered with %v, want BAD_USER_INPUT", id, err)
		}
	}
}
