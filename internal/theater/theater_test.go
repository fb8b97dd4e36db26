package theater_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/dbtest"
	"marquee/internal/page"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// bundle is a service on a database of its own.
type bundle struct {
	*theater.Service

	t          *testing.T
	client     *ent.Client
	statements *dbtest.Statements
}

func setup(t *testing.T) *bundle {
	t.Helper()
	statements := &dbtest.Statements{}
	client := ent.Over(dbtest.New(t, dbtest.Record(statements)).SQL())
	return &bundle{Service: theater.NewService(client), t: t, client: client, statements: statements}
}

func (b *bundle) must(exec func(context.Context) error) {
	b.t.Helper()
	if err := exec(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) theater(name, city, country string) uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	b.must(b.client.Theater.Create().SetID(id).SetName(name).SetAddress("1 Main Street").SetCity(city).SetCountryCode(country).
		SetLatitude(-33.8678).SetLongitude(151.2073).SetTimeZone("Australia/Sydney").SetCurrency("AUD").
		SetOpensMinute(9*60 + 30).SetClosesMinute(24*60 + 45).Exec)
	return id
}

func (b *bundle) screen(of uuid.UUID, name string) uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	b.must(b.client.Screen.Create().SetID(id).SetTheaterID(of).SetName(name).SetTrailerMinutes(10).SetCleaningMinutes(20).Exec)
	return id
}

// layout adds a layout with seats of the given numbers, in that order.
func (b *bundle) layout(screen uuid.UUID, numbers ...int16) uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	b.must(b.client.SeatLayout.Create().SetID(id).SetScreenID(screen).SetVersion(1).SetSeatCount(int32(len(numbers))).Exec)
	for _, n := range numbers {
		b.must(b.client.Seat.Create().SetID(typeid.New()).SetLayoutID(id).SetSeatNo(n).SetRowLabel("F").SetNumber(n + 10).
			SetX(n).SetY(3).SetCategory("LOVE_SEAT").SetGroupNo((n + 1) / 2).SetCompanionOf(0).Exec)
	}
	return id
}

// sends runs do, which must send so many statements.
func (b *bundle) sends(want int, what string, do func() error) {
	b.t.Helper()
	b.statements.Take()
	if err := do(); err != nil {
		b.t.Errorf("%s: %v", what, err)
	}
	if sent := b.statements.Take(); len(sent) != want {
		b.t.Errorf("%s sent %d statements, want %d:\n%s", what, len(sent), want, strings.Join(sent, "\n"))
	}
}

func TestService_Theaters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := []uuid.UUID{
		b.theater("Alpha", "Berlin", "DE"), b.theater("Beta", "Berlin", "DE"), b.theater("Beta", "Bern", "CH"), b.theater("Gamma", "100%", "DE"),
	}
	slices.SortFunc(ids[1:3], func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
	city, country := func(s string) theater.Filter { return theater.Filter{City: &s} }, func(s string) theater.Filter { return theater.Filter{CountryCode: &s} }
	key := func(i int, name string) []string { return []string{name, ids[i].String()} }
	for name, test := range map[string]struct {
		filter  theater.Filter
		request page.Request
		want    []uuid.UUID
		next    bool
		before  bool
	}{
		"all_by_name":                  {theater.Filter{}, page.Request{Limit: 10}, ids, false, false},
		"the_first":                    {theater.Filter{}, page.Request{Limit: 2}, ids[:2], true, false},
		"after_one_of_two_namesakes":   {theater.Filter{}, page.Request{Limit: 2, After: key(1, "Beta")}, ids[2:], false, true},
		"the_last":                     {theater.Filter{}, page.Request{Limit: 2, Backward: true}, ids[2:], false, true},
		"before_one_of_two_namesakes":  {theater.Filter{}, page.Request{Limit: 2, Backward: true, Before: key(2, "Beta")}, ids[:2], true, false},
		"of_a_city":                    {city("BERLIN"), page.Request{Limit: 10}, nil, false, false},
		"of_a_city_with_a_wildcard":    {city("100%"), page.Request{Limit: 10}, ids[3:], false, false},
		"of_no_city":                   {city("%"), page.Request{Limit: 10}, []uuid.UUID{}, false, false},
		"of_a_country":                 {country("CH"), page.Request{Limit: 10}, nil, false, false},
		"of_a_country_in_small_letter": {country("ch"), page.Request{Limit: 10}, []uuid.UUID{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var p page.Page[theater.Theater]
			b.sends(1, "Theaters", func() (err error) {
				p, err = b.Theaters(t.Context(), test.filter, test.request)
				return err
			})
			var got []uuid.UUID
			for _, one := range p.Items {
				got = append(got, one.ID)
			}
			if test.want == nil {
				want := map[string]int{"of_a_city": 2, "of_a_country": 1}[name]
				if len(got) != want {
					t.Errorf("%d theaters, want %d", len(got), want)
				}
				return
			}
			if !slices.Equal(got, test.want) || p.HasNext != test.next || p.HasPrevious != test.before {
				t.Errorf("%v, next %v, previous %v; want %v", got, p.HasNext, p.HasPrevious, test.want)
			}
		})
	}
	t.Run("bad_conditions", func(t *testing.T) {
		for _, text := range []string{"", strings.Repeat("x", 101), "a\x00"} {
			if _, err := b.Theaters(t.Context(), theater.Filter{City: &text, CountryCode: &text}, page.Request{Limit: 1}); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func TestService_byID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	palace, empty := b.theater("Palace", "Sydney", "AU"), b.theater("Empty", "Sydney", "AU")
	second, first := b.screen(palace, "2"), b.screen(palace, "1")
	layout := b.layout(first, 1, 2)
	unknown := typeid.New()
	b.sends(1, "TheatersByID", func() error {
		found, err := b.TheatersByID(t.Context(), []uuid.UUID{palace, unknown})
		p := found[palace]
		if len(found) != 1 || p.Name != "Palace" || p.City != "Sydney" || p.CountryCode != "AU" || p.Latitude != -33.8678 || p.Longitude != 151.2073 ||
			p.TimeZone != "Australia/Sydney" || p.Currency != "AUD" || p.OpensAt() != "09:30" || p.ClosesAt() != "00:45" || p.Address != "1 Main Street" {
			t.Errorf("%+v", found)
		}
		return err
	})
	b.sends(1, "ScreensByID", func() error {
		found, err := b.ScreensByID(t.Context(), []uuid.UUID{second, unknown})
		if len(found) != 1 || found[second] != (theater.Screen{ID: second, TheaterID: palace, Name: "2"}) {
			t.Errorf("%+v", found)
		}
		return err
	})
	b.sends(1, "ScreensByTheater", func() error {
		found, err := b.ScreensByTheater(t.Context(), []uuid.UUID{palace, empty, unknown})
		if len(found) != 1 || len(found[palace]) != 2 || found[palace][0].ID != first || found[palace][1].ID != second {
			t.Errorf("%+v", found)
		}
		return err
	})
	l, err := b.Layout(t.Context(), layout)
	if err != nil {
		t.Fatal(err)
	}
	b.sends(1, "SeatsByID", func() error {
		found, err := b.SeatsByID(t.Context(), []uuid.UUID{l.Seats[1].ID, unknown})
		if len(found) != 1 || found[l.Seats[1].ID] != l.Seats[1] {
			t.Errorf("%+v", found)
		}
		return err
	})
}

func TestService_Layout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	screen := b.screen(b.theater("Palace", "Sydney", "AU"), "1")
	id := b.layout(screen, 3, 1, 2)
	var l *theater.Layout
	b.sends(2, "the first Layout", func() (err error) {
		l, err = b.Layout(t.Context(), id)
		return err
	})
	if l.ID != id || l.ScreenID != screen || l.Version != 1 || l.SeatCount() != 3 {
		t.Errorf("%+v", l)
	}
	for i, seat := range l.Seats {
		if position, ok := l.PositionOf(seat.ID); !ok || int(position) != i+1 || seat.Position != position {
			t.Errorf("seat %d is at %d (%v)", i+1, position, ok)
		}
	}
	if seat := l.Seats[2]; seat.Label() != "F13" || seat.X != 3 || seat.Y != 3 || seat.Category != theater.CategoryLoveSeat || *seat.Group() != 2 || seat.CompanionOf() != nil {
		t.Errorf("%+v", seat)
	}
	b.sends(0, "the second Layout", func() error {
		again, err := b.Layout(t.Context(), id)
		if again != l {
			t.Error("another layout came out of memory")
		}
		return err
	})
	for name, positions := range map[string][]int16{"3 1": {3, 1}, "1": {0, 1, 4, -1}, "": nil} {
		var labels []string
		for _, seat := range l.SeatsAt(positions) {
			labels = append(labels, strings.TrimPrefix(seat.Label(), "F1"))
		}
		if strings.Join(labels, " ") != name {
			t.Errorf("the seats at %v are %v", positions, labels)
		}
	}
	if _, ok := l.PositionOf(typeid.New()); ok {
		t.Error("a seat of another layout has a position")
	}
	if _, err := b.Layout(t.Context(), typeid.New()); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("an unknown layout: %v", err)
	}
	// A gap would give every seat behind it another's place.
	gap := b.layout(b.screen(b.theater("Ruin", "Sydney", "AU"), "1"), 1, 3)
	for range 2 {
		if _, err := b.Layout(t.Context(), gap); apperr.CodeOf(err) != apperr.Internal {
			t.Errorf("a layout with a gap: %v", err)
		}
	}
}

func TestTheater_hours(t *testing.T) {
	t.Parallel()
	for minutes, want := range map[int32]string{0: "00:00", 9*60 + 5: "09:05", 1439: "23:59", 1440: "00:00", 25*60 + 30: "01:30", 2879: "23:59"} {
		if got := (theater.Theater{OpensMinute: minutes}).OpensAt(); got != want {
			t.Errorf("opens at %d: %s, want %s", minutes, got, want)
		}
		if got := (theater.Theater{ClosesMinute: minutes}).ClosesAt(); got != want {
			t.Errorf("closes at %d: %s, want %s", minutes, got, want)
		}
	}
}

func TestCategory_Title(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range []theater.Category{
		theater.CategoryStandard, theater.CategoryPremium, theater.CategoryRecliner, theater.CategoryLoveSeat, theater.CategoryWheelchair, theater.CategoryCompanion,
	} {
		title := c.Title()
		if title == "" || seen[title] || strings.ToUpper(title[:1]) != title[:1] || strings.Contains(title, "_") {
			t.Errorf("%s is called %q", c, title)
		}
		seen[title] = true
	}
}

func TestSeat_places(t *testing.T) {
	t.Parallel()
	single := theater.Seat{Row: "AA", Number: 7}
	if single.Group() != nil || single.CompanionOf() != nil || single.Label() != "AA7" {
		t.Errorf("%+v", single)
	}
	companion := theater.Seat{CompanionNo: 4}
	if *companion.CompanionOf() != 4 {
		t.Errorf("%+v", companion)
	}
}
