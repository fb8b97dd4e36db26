package theater

import (
	"context"
	"fmt"
	"maps"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"marquee/ent"
	"marquee/ent/predicate"
	"marquee/ent/screen"
	"marquee/ent/seat"
	"marquee/ent/seatlayout"
	"marquee/ent/theater"
	"marquee/internal/apperr"
	"marquee/internal/page"
	"marquee/internal/postgres"
)

// cachedLayouts bounds the memory of the layout cache: a layout of 400 seats takes about 60 kB.
const cachedLayouts = 1000

// Service answers questions about theaters. It is safe for concurrent use.
type Service struct {
	ent     *ent.Client
	layouts *lru.Cache[uuid.UUID, *Layout]
	reads   singleflight.Group // of layouts, by id
}

// NewService returns a Service that reads through client.
func NewService(client *ent.Client) *Service {
	layouts, err := lru.New[uuid.UUID, *Layout](cachedLayouts)
	if err != nil {
		panic("theater: the cache size is positive: " + err.Error())
	}
	return &Service{ent: client, layouts: layouts}
}

// Theaters returns a page of the theaters that match filter, by name. One statement.
func (s *Service) Theaters(ctx context.Context, filter Filter, request page.Request) (page.Page[Theater], error) {
	if err := filter.Validate(); err != nil {
		return page.Page[Theater]{}, err
	}
	var where []predicate.Theater
	if filter.City != nil {
		where = append(where, theater.CityEqualFold(*filter.City))
	}
	if filter.CountryCode != nil {
		where = append(where, theater.CountryCode(*filter.CountryCode))
	}
	rows, err := s.ent.Theater.Query().
		Where(where...).
		Where(func(sel *sql.Selector) {
			columns := []string{sel.C(theater.FieldName), sel.C(theater.FieldID)}
			if request.After != nil {
				sel.Where(sql.CompositeGT(columns, request.After[0], request.After[1]))
			}
			if request.Before != nil {
				sel.Where(sql.CompositeLT(columns, request.Before[0], request.Before[1]))
			}
			direction := sql.Asc
			if request.Backward {
				direction = sql.Desc
			}
			sel.OrderBy(direction(columns[0]), direction(columns[1]))
		}).
		Limit(request.Limit + 1).
		All(ctx)
	if err != nil {
		return page.Page[Theater]{}, fmt.Errorf("reading theaters: %w", err)
	}
	theaters := make([]Theater, len(rows))
	for i, row := range rows {
		theaters[i] = fromEnt(row)
	}
	return page.Cut(request, theaters), nil
}

// TheatersByID returns the theaters that exist among ids. One statement.
func (s *Service) TheatersByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Theater, error) {
	rows, err := s.ent.Theater.Query().Where(ent.AnyOf(theater.FieldID, "uuid[]", postgres.UUIDs(ids))).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading theaters by id: %w", err)
	}
	found := make(map[uuid.UUID]Theater, len(rows))
	for _, row := range rows {
		found[row.ID] = fromEnt(row)
	}
	return found, nil
}

// ScreensByID returns the screens that exist among ids. One statement.
func (s *Service) ScreensByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Screen, error) {
	rows, err := s.ent.Screen.Query().Where(ent.AnyOf(screen.FieldID, "uuid[]", postgres.UUIDs(ids))).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading screens by id: %w", err)
	}
	found := make(map[uuid.UUID]Screen, len(rows))
	for _, row := range rows {
		found[row.ID] = screenFromEnt(row)
	}
	return found, nil
}

// ScreensByTheater returns the screens of each theater, by name. One statement.
func (s *Service) ScreensByTheater(ctx context.Context, theaterIDs []uuid.UUID) (map[uuid.UUID][]Screen, error) {
	rows, err := s.ent.Screen.Query().
		Where(ent.AnyOf(screen.FieldTheaterID, "uuid[]", postgres.UUIDs(theaterIDs))).
		Order(screen.ByName(), screen.ByID()).
		All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading screens of theaters: %w", err)
	}
	byTheater := make(map[uuid.UUID][]Screen, len(theaterIDs))
	for _, row := range rows {
		byTheater[row.TheaterID] = append(byTheater[row.TheaterID], screenFromEnt(row))
	}
	return byTheater, nil
}

// Layout returns a layout with its seats: NOT_FOUND when there is none. From memory after the first time; those who ask
// for it together share one read.
func (s *Service) Layout(ctx context.Context, id uuid.UUID) (*Layout, error) {
	if l, ok := s.layouts.Get(id); ok {
		return l, nil
	}
	read, err, _ := s.reads.Do(string(id[:]), func() (any, error) {
		// Whoever asked first may leave; the others still wait for the answer.
		found, err := s.readLayouts(context.WithoutCancel(ctx), []uuid.UUID{id})
		return found[id], err
	})
	if err != nil {
		return nil, err
	}
	if l := read.(*Layout); l != nil {
		return l, nil
	}
	return nil, apperr.Missing("seat layout")
}

// LayoutsByID returns the layouts that exist among ids, with their seats. Two statements when one is not in memory.
func (s *Service) LayoutsByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Layout, error) {
	layouts := make(map[uuid.UUID]*Layout, len(ids))
	var unknown []uuid.UUID
	for _, id := range ids {
		if l, ok := s.layouts.Get(id); ok {
			layouts[id] = l
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return layouts, nil
	}
	read, err := s.readLayouts(ctx, unknown)
	maps.Copy(layouts, read)
	return layouts, err
}

func (s *Service) readLayouts(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Layout, error) {
	rows, err := s.ent.SeatLayout.Query().
		Where(ent.AnyOf(seatlayout.FieldID, "uuid[]", postgres.UUIDs(ids))).
		WithSeats(func(q *ent.SeatQuery) { q.Order(seat.BySeatNo()) }).
		All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading seat layouts: %w", err)
	}
	layouts := make(map[uuid.UUID]*Layout, len(rows))
	for _, row := range rows {
		seats := make([]Seat, len(row.Edges.Seats))
		for i, r := range row.Edges.Seats {
			seats[i] = seatFromEnt(r)
			if int(r.SeatNo) != i+1 {
				return nil, fmt.Errorf("layout %s has no seat %d", row.ID, i+1)
			}
		}
		layouts[row.ID] = NewLayout(row.ID, row.ScreenID, row.Version, seats)
	}
	for id, l := range layouts {
		s.layouts.Add(id, l)
	}
	return layouts, nil
}

// SeatsByID returns the seats that exist among ids. One statement.
func (s *Service) SeatsByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Seat, error) {
	rows, err := s.ent.Seat.Query().Where(ent.AnyOf(seat.FieldID, "uuid[]", postgres.UUIDs(ids))).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading seats by id: %w", err)
	}
	found := make(map[uuid.UUID]Seat, len(rows))
	for _, row := range rows {
		found[row.ID] = seatFromEnt(row)
	}
	return found, nil
}

func fromEnt(row *ent.Theater) Theater {
	return Theater{
		ID: row.ID, Name: row.Name, Address: row.Address, City: row.City, CountryCode: row.CountryCode,
		Latitude: row.Latitude, Longitude: row.Longitude, TimeZone: row.TimeZone, Currency: row.Currency,
		OpensMinute: row.OpensMinute, ClosesMinute: row.ClosesMinute,
	}
}

func screenFromEnt(row *ent.Screen) Screen {
	return Screen{ID: row.ID, TheaterID: row.TheaterID, Name: row.Name}
}

func seatFromEnt(row *ent.Seat) Seat {
	return Seat{
		ID: row.ID, Position: row.SeatNo, Row: row.RowLabel, Number: row.Number, X: row.X, Y: row.Y,
		Category: Category(row.Category), GroupNo: row.GroupNo, CompanionNo: row.CompanionOf,
	}
}
