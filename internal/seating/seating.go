// Package seating owns the view of a showtime's seats: which are free, held, taken or blocked at this moment, and which
// of them are the best for a party.
//
// It only reads. The claims themselves are made by booking; a hold whose deadline has passed counts as free here at
// once, by the database's clock, whether or not anything has cleaned it up.
package seating

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"marquee/internal/postgres"
	"marquee/internal/seatfeed"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// State is whether a seat can be had.
type State = seatfeed.State

// Held is the State of a seat in someone's hands, for callers that know of a claim before the map does.
const Held = seatfeed.Held

// Map is the seats of a showtime and their states. It is a snapshot.
type Map struct {
	ShowtimeID uuid.UUID
	Layout     *theater.Layout
	States     []State // by position: States[i] is of the seat at position i+1
}

// Seat is a seat of a Map with its state.
type Seat struct {
	Seat  theater.Seat
	State State
}

// Seats returns the seats by position, each with its state.
func (m Map) Seats() []Seat {
	seats := make([]Seat, len(m.States))
	for i, state := range m.States {
		seats[i] = Seat{Seat: m.Layout.Seats[i], State: state}
	}
	return seats
}

// StateLetters returns one letter a seat by position: A, H, T or B.
func (m Map) StateLetters() string {
	letters := make([]byte, len(m.States))
	for i, state := range m.States {
		letters[i] = letter(state)
	}
	return string(letters)
}

func letter(s State) byte {
	switch s {
	case seatfeed.Held:
		return 'H'
	case seatfeed.Taken:
		return 'T'
	case seatfeed.Blocked:
		return 'B'
	default:
		return 'A'
	}
}

// AvailableCount returns how many seats are free.
func (m Map) AvailableCount() int32 {
	var n int32
	for _, state := range m.States {
		if state == seatfeed.Available {
			n++
		}
	}
	return n
}

// Service reads seat maps. It is safe for concurrent use.
type Service struct {
	db        *postgres.DB
	showtimes *showtime.Service
	theaters  *theater.Service
	recent    *lru.Cache[uuid.UUID, snapshot]
	reads     singleflight.Group
}

// snapshot is the states of a showtime's seats as they were. It is shared: do not change it.
type snapshot struct {
	states []State
	at     time.Time
}

const (
	// recently is how old the states may be that a suggestion is made of: a refused crowd asks at once, and a suggestion
	// is out of date sooner than it is read anyway.
	recently = 20 * time.Millisecond
	// recentShowtimes bounds the memory of the snapshots: one takes a byte a seat.
	recentShowtimes = 1000
)

// NewService returns a Service over the primary database.
func NewService(db *postgres.DB, showtimes *showtime.Service, theaters *theater.Service) *Service {
	recent, err := lru.New[uuid.UUID, snapshot](recentShowtimes)
	if err != nil {
		panic("seating: the cache size is positive: " + err.Error())
	}
	return &Service{db: db, showtimes: showtimes, theaters: theaters, recent: recent}
}

// Layout returns the seat layout that a showtime was published with: NOT_FOUND when there is no such showtime.
func (s *Service) Layout(ctx context.Context, showtimeID uuid.UUID) (*theater.Layout, error) {
	offer, err := s.showtimes.Offer(ctx, showtimeID)
	if err != nil {
		return nil, err
	}
	return s.theaters.Layout(ctx, offer.LayoutID)
}

// Layouts returns the layouts of the showtimes that exist among ids, as Layout does. At most three statements, none when
// all is in memory.
func (s *Service) Layouts(ctx context.Context, showtimeIDs []uuid.UUID) (map[uuid.UUID]*theater.Layout, error) {
	offers, err := s.showtimes.Offers(ctx, showtimeIDs)
	if err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	for _, offer := range offers {
		ids = append(ids, offer.LayoutID)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	layouts, err := s.theaters.LayoutsByID(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	byShowtime := make(map[uuid.UUID]*theater.Layout, len(offers))
	for id, offer := range offers {
		if l := layouts[offer.LayoutID]; l != nil {
			byShowtime[id] = l
		}
	}
	return byShowtime, nil
}

// Map returns the seat map of a showtime: NOT_FOUND when there is none. One statement when the layout is in memory.
func (s *Service) Map(ctx context.Context, showtimeID uuid.UUID) (Map, error) {
	layout, err := s.Layout(ctx, showtimeID)
	if err != nil {
		return Map{}, err
	}
	states, _, err := s.read(ctx, showtimeID, layout)
	return Map{ShowtimeID: showtimeID, Layout: layout, States: states}, err
}

// States returns the states of a showtime's seats by position, and how long until the next hold runs out by the
// database's clock; negative when there is no hold.
func (s *Service) States(ctx context.Context, showtimeID uuid.UUID) (states []State, nextExpiry time.Duration, err error) {
	layout, err := s.Layout(ctx, showtimeID)
	if err != nil {
		return nil, 0, err
	}
	return s.read(ctx, showtimeID, layout)
}

// RecentStates returns the states of a showtime's seats by position as they were within the last 20 ms. Refusals of one
// hot showtime share a read this way; whoever must know calls States. The slice is the caller's own.
func (s *Service) RecentStates(ctx context.Context, showtimeID uuid.UUID) ([]State, error) {
	if kept, ok := s.recent.Get(showtimeID); ok && time.Since(kept.at) < recently {
		return slices.Clone(kept.states), nil
	}
	read, err, _ := s.reads.Do(string(showtimeID[:]), func() (any, error) {
		at := time.Now()
		// Whoever asked first may leave; the others still wait for the answer.
		states, _, err := s.States(context.WithoutCancel(ctx), showtimeID)
		if err == nil {
			s.recent.Add(showtimeID, snapshot{states, at})
		}
		return states, err
	})
	if err != nil {
		return nil, err
	}
	return slices.Clone(read.([]State)), nil
}

func (s *Service) read(ctx context.Context, showtimeID uuid.UUID, layout *theater.Layout) ([]State, time.Duration, error) {
	var held, taken, blocked seatno.List
	var nextExpiry sql.NullFloat64
	err := s.db.SQL().QueryRowContext(ctx, `SELECT
			array_agg(seat_no) FILTER (WHERE held_until IS NOT NULL),
			array_agg(seat_no) FILTER (WHERE held_until IS NULL AND reservation_id IS NOT NULL),
			array_agg(seat_no) FILTER (WHERE reservation_id IS NULL),
			EXTRACT(EPOCH FROM min(held_until) - now())::float8
		FROM seat_claims WHERE showtime_id = $1 AND (held_until IS NULL OR held_until > now())`, showtimeID).
		Scan(&held, &taken, &blocked, &nextExpiry)
	if err != nil {
		return nil, 0, fmt.Errorf("reading a seat map: %w", err)
	}
	states := make([]State, len(layout.Seats))
	for state, positions := range map[State]seatno.List{seatfeed.Held: held, seatfeed.Taken: taken, seatfeed.Blocked: blocked} {
		for _, position := range positions {
			if int(position) > len(states) {
				return nil, 0, fmt.Errorf("showtime %s has a claim on seat %d of %d", showtimeID, position, len(states))
			}
			states[position-1] = state
		}
	}
	wait := time.Duration(-1)
	if nextExpiry.Valid {
		wait = time.Duration(nextExpiry.Float64 * float64(time.Second))
	}
	return states, wait, nil
}
