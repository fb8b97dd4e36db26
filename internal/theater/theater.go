// Package theater owns the places: theaters, their screens, and the immutable seat layouts of the screens.
//
// A published layout never changes, so it is cached for good; a screen that is rebuilt gets a new version. What is
// shown on a screen, and what a seat costs, is the business of other packages.
package theater

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/typeid"
)

// Theater is a site with screens.
type Theater struct {
	ID           uuid.UUID
	Name         string
	Address      string
	City         string
	CountryCode  string // ISO 3166-1 alpha-2
	Latitude     float64
	Longitude    float64
	TimeZone     string // IANA
	Currency     string // ISO 4217
	OpensMinute  int32  // after local midnight
	ClosesMinute int32  // after local midnight of the opening day; may pass 1440
}

// NodeID returns the theater's public id.
func (t Theater) NodeID() string { return typeid.Encode(typeid.Theater, t.ID) }

// IsNode marks what clients can read again by its id.
func (Theater) IsNode() {}

// OpensAt returns the opening hour as wall time: "10:00".
func (t Theater) OpensAt() string { return wallTime(t.OpensMinute) }

// ClosesAt returns the closing hour as wall time; after midnight it starts over: "00:30".
func (t Theater) ClosesAt() string { return wallTime(t.ClosesMinute) }

func wallTime(minute int32) string {
	const day = 24 * 60
	minute %= day
	return fmt.Sprintf("%02d:%02d", minute/60, minute%60)
}

// CursorName is what cursors of the theater list are signed for.
const CursorName = "theaters:name"

// CursorKey returns where t stands in the theater list.
func (t Theater) CursorKey() []string { return []string{t.Name, t.ID.String()} }

// Screen is one auditorium of a theater.
type Screen struct {
	ID        uuid.UUID
	TheaterID uuid.UUID
	Name      string
}

// NodeID returns the screen's public id.
func (s Screen) NodeID() string { return typeid.Encode(typeid.Screen, s.ID) }

// IsNode marks what clients can read again by its id.
func (Screen) IsNode() {}

// Layout is an immutable version of a screen's seats. It is shared between requests: do not change it.
type Layout struct {
	ID        uuid.UUID
	ScreenID  uuid.UUID
	Version   int32
	Seats     []Seat // by position: Seats[i].Position == i+1
	positions map[uuid.UUID]int16
	rowOrder  []int16
	beside    [][2]int16 // of each seat, by position
}

// NewLayout returns a layout over seats in the order of their positions.
func NewLayout(id, screenID uuid.UUID, version int32, seats []Seat) *Layout {
	l := &Layout{ID: id, ScreenID: screenID, Version: version, Seats: seats, positions: make(map[uuid.UUID]int16, len(seats))}
	for _, seat := range seats {
		l.positions[seat.ID] = seat.Position
		l.rowOrder = append(l.rowOrder, seat.Position)
	}
	slices.SortFunc(l.rowOrder, func(a, b int16) int {
		one, other := seats[a-1], seats[b-1]
		return cmp.Or(cmp.Compare(one.Y, other.Y), cmp.Compare(one.X, other.X))
	})
	l.beside = make([][2]int16, len(seats))
	for i := 1; i < len(l.rowOrder); i++ {
		left, right := l.rowOrder[i-1], l.rowOrder[i]
		if seats[left-1].Y == seats[right-1].Y && seats[left-1].X+1 == seats[right-1].X {
			l.beside[left-1][1], l.beside[right-1][0] = right, left
		}
	}
	return l
}

// Beside returns the positions of the seats on the left and on the right of the one at a position of the layout; 0 where
// an aisle is, or the end of the row.
func (l *Layout) Beside(position int16) (left, right int16) {
	pair := l.beside[position-1]
	return pair[0], pair[1]
}

// RowOrder returns the positions of the seats row by row, each row from the left. It is shared: do not change it.
func (l *Layout) RowOrder() []int16 { return l.rowOrder }

// NodeID returns the layout's public id.
func (l *Layout) NodeID() string { return typeid.Encode(typeid.SeatLayout, l.ID) }

// IsNode marks what clients can read again by its id.
func (*Layout) IsNode() {}

// SeatCount returns the number of seats.
func (l *Layout) SeatCount() int32 { return int32(len(l.Seats)) }

// PositionOf returns the position of a seat; ok is false when the seat is not of this layout.
func (l *Layout) PositionOf(seat uuid.UUID) (position int16, ok bool) {
	position, ok = l.positions[seat]
	return position, ok
}

// SeatsAt returns the seats at the positions. A position outside the layout is passed over.
func (l *Layout) SeatsAt(positions []int16) []Seat {
	seats := make([]Seat, 0, len(positions))
	for _, position := range positions {
		if position >= 1 && int(position) <= len(l.Seats) {
			seats = append(seats, l.Seats[position-1])
		}
	}
	return seats
}

// Category is a kind of place; prices go by it.
type Category string

// The kinds of places.
const (
	CategoryStandard   Category = "STANDARD"
	CategoryPremium    Category = "PREMIUM"
	CategoryRecliner   Category = "RECLINER"
	CategoryLoveSeat   Category = "LOVE_SEAT"
	CategoryWheelchair Category = "WHEELCHAIR"
	CategoryCompanion  Category = "COMPANION"
)

// Title returns the category for people: "Love seat".
func (c Category) Title() string {
	switch c {
	case CategoryPremium:
		return "Premium"
	case CategoryRecliner:
		return "Recliner"
	case CategoryLoveSeat:
		return "Love seat"
	case CategoryWheelchair:
		return "Wheelchair place"
	case CategoryCompanion:
		return "Companion"
	default:
		return "Standard"
	}
}

// Seat is a physical place in a layout.
type Seat struct {
	ID          uuid.UUID
	Position    int16 // 1 to the layout's seat count: the seat's number in the inventory
	Row         string
	Number      int16
	X, Y        int16 // drawing grid; two seats are neighbours when Y is equal and X differs by one
	Category    Category
	GroupNo     int16 // 0: single
	CompanionNo int16 // position of the wheelchair place it accompanies; 0: none
}

// NodeID returns the seat's public id.
func (s Seat) NodeID() string { return typeid.Encode(typeid.Seat, s.ID) }

// IsNode marks what clients can read again by its id.
func (Seat) IsNode() {}

// Label returns row and number as people say them: "F12".
func (s Seat) Label() string { return s.Row + strconv.Itoa(int(s.Number)) }

// Group returns the number of the group the seat is sold in; nil for a single seat.
func (s Seat) Group() *int32 { return positive(s.GroupNo) }

// CompanionOf returns the position of the wheelchair place beside a companion seat; nil for any other.
func (s Seat) CompanionOf() *int32 { return positive(s.CompanionNo) }

func positive(n int16) *int32 {
	if n <= 0 {
		return nil
	}
	wide := int32(n)
	return &wide
}

// Filter restricts a list of theaters; nil conditions do not.
type Filter struct {
	City        *string // ignoring case
	CountryCode *string
}

// Validate returns BAD_USER_INPUT for texts that are empty or too long to match anything.
func (f Filter) Validate() error {
	var bad apperr.Fields
	bad.Text("filter.city", f.City, 100)
	bad.Text("filter.countryCode", f.CountryCode, 2)
	return bad.Err()
}
