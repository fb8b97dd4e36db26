package seating_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// claim writes a reservation of seats with its claims; without a deadline a payment has secured them.
func claim(t *testing.T, w *fixture.World, left time.Duration, positions ...int) (reservationID uuid.UUID) {
	t.Helper()
	id := typeid.New()
	var held any
	if left != 0 {
		held = left.Milliseconds()
	}
	w.Exec(t, `INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until)
		VALUES ($1, $2, $3, '{1}', 0, 'NZD', '[]', now() + $4::bigint * interval '1 millisecond')`, w.Show(), id, w.Users[0].ID, held)
	for _, position := range positions {
		w.Exec(t, `INSERT INTO seat_claims (showtime_id, seat_no, reservation_id, held_until)
			SELECT showtime_id, $2, id, held_until FROM reservations WHERE id = $1`, id, position)
	}
	return id
}

func newService(w *fixture.World) *seating.Service {
	return seating.NewService(w.DB, showtime.NewService(w.DB, clock.System{}), theater.NewService(ent.Over(w.DB.SQL())))
}

func TestService_Map(t *testing.T) {
	t.Parallel()
	var statements dbtest.Statements
	w := fixture.New(t, dbtest.New(t, dbtest.Record(&statements)), fixture.Plan{Seats: 12, Showtimes: 2})
	s := newService(w)
	letters := func(showtimeID uuid.UUID) string {
		t.Helper()
		m, err := s.Map(t.Context(), showtimeID)
		if err != nil {
			t.Fatal(err)
		}
		if m.ShowtimeID != showtimeID || len(m.States) != 12 || len(m.Seats()) != 12 {
			t.Errorf("the map of %s is of %s with %d seats", showtimeID, m.ShowtimeID, len(m.States))
		}
		for i, seat := range m.Seats() {
			if seat.Seat.ID != w.Seats[i].ID || seat.State != m.States[i] {
				t.Errorf("position %d has %+v", i+1, seat)
			}
		}
		text := m.StateLetters()
		if free := int(m.AvailableCount()); free != strings.Count(text, "A") {
			t.Errorf("%d seats of %s are free", free, text)
		}
		return text
	}
	if got := letters(w.Show()); got != "AAAAAAAAAAAA" {
		t.Errorf("an empty house is %s", got)
	}
	claim(t, w, time.Hour, 1, 2)
	claim(t, w, -time.Second, 4, 5)
	claim(t, w, 0, 7)
	w.Block(t, w.Show(), 9, 12)
	statements.Take()
	if got, want := letters(w.Show()), "HHAAAATABAAB"; got != want {
		t.Errorf("the house is %s, want %s", got, want)
	}
	if texts := statements.Take(); len(texts) != 1 {
		t.Errorf("%d statements: %q", len(texts), texts)
	}
	if got := letters(w.Showtimes[1].ID); got != "AAAAAAAAAAAA" {
		t.Errorf("the other showtime is %s", got)
	}
	m, err := s.Map(t.Context(), typeid.New())
	if apperr.CodeOf(err) != apperr.NotFound || len(m.States) != 0 {
		t.Errorf("an unknown showtime has %+v, %v", m, err)
	}
	t.Run("a_claim_outside_the_layout_is_a_fault", func(t *testing.T) {
		w.Block(t, w.Showtimes[1].ID, 13)
		if m, err := s.Map(t.Context(), w.Showtimes[1].ID); apperr.CodeOf(err) != apperr.Internal {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// TestService_RecentStates makes sure that those who share a read cannot see each other's changes.
func TestService_RecentStates(t *testing.T) {
	t.Parallel()
	w := fixture.New(t, dbtest.New(t), fixture.Plan{Seats: 12})
	s := newService(w)
	claim(t, w, time.Hour, 1, 2)
	const callers = 16
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			states, err := s.RecentStates(t.Context(), w.Show())
			if err != nil || len(states) != 12 || states[0] != seatfeed.Held || states[2] != seatfeed.Available {
				t.Errorf("%v, %v", states, err)
				return
			}
			states[2] = seating.Held
		})
	}
	wait.Wait()
	if states, err := s.RecentStates(t.Context(), typeid.New()); apperr.CodeOf(err) != apperr.NotFound || states != nil {
		t.Errorf("an unknown showtime has %v, %v", states, err)
	}
}

func TestService_States(t *testing.T) {
	t.Parallel()
	w := fixture.New(t, dbtest.New(t), fixture.Plan{Seats: 12})
	s := newService(w)
	check := func(want string, least, most time.Duration) {
		t.Helper()
		states, wait, err := s.States(t.Context(), w.Show())
		if err != nil {
			t.Fatal(err)
		}
		if got := (seating.Map{States: states}).StateLetters(); got != want || wait < least || wait > most {
			t.Errorf("%s, next after %s; want %s, %s to %s", got, wait, want, least, most)
		}
	}
	none := time.Duration(-1)
	check("AAAAAAAAAAAA", none, none)
	claim(t, w, 0, 1)
	w.Block(t, w.Show(), 2)
	claim(t, w, -time.Hour, 3)
	check("TBAAAAAAAAAA", none, none)
	later := claim(t, w, 2*time.Hour, 5)
	sooner := claim(t, w, time.Hour, 6, 7)
	check("TBAAHHHAAAAA", 59*time.Minute, time.Hour)
	w.Expire(t, w.Show(), sooner)
	check("TBAAHAAAAAAA", 119*time.Minute, 2*time.Hour)
	w.Expire(t, w.Show(), later)
	check("TBAAAAAAAAAA", none, none)
	if _, _, err := s.States(t.Context(), typeid.New()); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("an unknown showtime: %v", err)
	}
}

func TestService_Layout(t *testing.T) {
	t.Parallel()
	w := fixture.New(t, dbtest.New(t), fixture.Plan{})
	s := newService(w)
	layout, err := s.Layout(t.Context(), w.Show())
	if err != nil || layout.ID != w.LayoutID || len(layout.Seats) != len(w.Seats) {
		t.Fatalf("%+v, %v", layout, err)
	}
	// A showtime keeps the layout it was published with.
	w.Exec(t, `INSERT INTO seat_layouts (id, screen_id, version, seat_count) VALUES ($1, $2, 2, 1)`, typeid.New(), w.ScreenID)
	if again, err := s.Layout(t.Context(), w.Show()); err != nil || again != layout {
		t.Errorf("%+v, %v", again, err)
	}
	if got, err := s.Layout(t.Context(), typeid.New()); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("an unknown showtime has %+v, %v", got, err)
	}
}

func TestMap_StateLetters(t *testing.T) {
	t.Parallel()
	m := seating.Map{States: []seating.State{seatfeed.Available, seatfeed.Held, seatfeed.Taken, seatfeed.Blocked}}
	if got := m.StateLetters(); got != "AHTB" || m.AvailableCount() != 1 {
		t.Errorf("%s with %d free", got, m.AvailableCount())
	}
	if got := (seating.Map{}).StateLetters(); got != "" {
		t.Errorf("no seats are %q", got)
	}
}
