package showtime_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// bundle is a service on a database of its own with a theater in each of two cities.
type bundle struct {
	*showtime.Service

	t              *testing.T
	db             *postgres.DB
	client         *ent.Client
	clock          *clock.Fake
	statements     *dbtest.Statements
	movie          uuid.UUID
	berlin, sydney place
}

type place struct{ theater, screen, layout uuid.UUID }

// noon is what the clock shows in the beginning.
var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func setup(t *testing.T) *bundle {
	t.Helper()
	statements := &dbtest.Statements{}
	db := dbtest.New(t, dbtest.Record(statements))
	fake := clock.NewFake(noon)
	b := &bundle{Service: showtime.NewService(db, fake), t: t, db: db, client: ent.Over(db.SQL()), clock: fake, statements: statements}
	b.movie = b.addMovie()
	b.berlin, b.sydney = b.place("Berlin", "Europe/Berlin"), b.place("Sydney", "Australia/Sydney")
	return b
}

func (b *bundle) must(exec func(context.Context) error) {
	b.t.Helper()
	if err := exec(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) addMovie() uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	b.must(b.client.Movie.Create().SetID(id).SetTitle("A Movie").Exec)
	return id
}

func (b *bundle) place(city, zone string) place {
	b.t.Helper()
	p := place{typeid.New(), typeid.New(), typeid.New()}
	b.must(b.client.Theater.Create().SetID(p.theater).SetName("Palace").SetAddress("1 Main Street").SetCity(city).SetCountryCode("XX").
		SetLatitude(1).SetLongitude(2).SetTimeZone(zone).SetCurrency("EUR").SetOpensMinute(0).SetClosesMinute(1440).Exec)
	b.must(b.client.Screen.Create().SetID(p.screen).SetTheaterID(p.theater).SetName("1").SetTrailerMinutes(0).SetCleaningMinutes(0).Exec)
	b.must(b.client.SeatLayout.Create().SetID(p.layout).SetScreenID(p.screen).SetVersion(1).SetSeatCount(10).Exec)
	return p
}

// show adds an hour's projection.
func (b *bundle) show(movie uuid.UUID, at place, starts time.Time, prices map[string]int64) uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	b.must(b.client.Showtime.Create().SetID(id).SetMovieID(movie).SetTheaterID(at.theater).SetScreenID(at.screen).SetLayoutID(at.layout).
		SetStartsAt(starts).SetEndsAt(starts.Add(time.Hour)).SetOccupiedUntil(starts.Add(time.Hour)).SetFormat("IMAX").SetLanguage("de").SetSubtitles("en").Exec)
	b.must(b.client.ShowtimeSale.Create().SetID(id).SetOpensAt(starts.AddDate(0, -1, 0)).SetClosesAt(starts.Add(15 * time.Minute)).
		SetSeatCount(10).SetMaxSeats(6).SetCurrency("EUR").SetPriceVersion(3).Exec)
	for category, amount := range prices {
		b.must(b.client.PriceTier.Create().SetID(typeid.New()).SetShowtimeID(id).SetCategory(category).SetAmountMinor(amount).Exec)
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

func ids(showtimes []showtime.Showtime) []uuid.UUID {
	var list []uuid.UUID
	for _, s := range showtimes {
		list = append(list, s.ID)
	}
	return list
}

func TestService_Showtimes(t *testing.T) {
	t.Parallel()
	t.Run("by_each_condition", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		other := b.addMovie()
		started := b.show(b.movie, b.berlin, noon.Add(-time.Second), nil)
		atNoon := b.show(b.movie, b.sydney, noon, nil)
		later := b.show(other, b.berlin, noon.Add(2*time.Hour), nil)
		latest := b.show(b.movie, b.sydney, noon.Add(4*time.Hour), nil)
		city, from, to := "BERLIN", noon.Add(-time.Hour), noon.Add(4*time.Hour)
		none := "%"
		for name, test := range map[string]struct {
			filter showtime.Filter
			want   []uuid.UUID
		}{
			"what_has_not_started": {showtime.Filter{}, []uuid.UUID{atNoon, later, latest}},
			"from_earlier":         {showtime.Filter{From: &from}, []uuid.UUID{started, atNoon, later, latest}},
			"from_then_on":         {showtime.Filter{From: &to}, []uuid.UUID{latest}},
			"until_then":           {showtime.Filter{To: &to}, []uuid.UUID{atNoon, later}},
			"of_a_movie":           {showtime.Filter{MovieID: &other}, []uuid.UUID{later}},
			"in_a_theater":         {showtime.Filter{TheaterID: &b.sydney.theater}, []uuid.UUID{atNoon, latest}},
			"in_a_city":            {showtime.Filter{City: &city}, []uuid.UUID{later}},
			"in_no_city":           {showtime.Filter{City: &none}, nil},
			"all_at_once":          {showtime.Filter{City: &city, From: &from, To: &to, MovieID: &b.movie, TheaterID: &b.berlin.theater}, []uuid.UUID{started}},
		} {
			b.sends(1, name, func() error {
				p, err := b.Showtimes(t.Context(), test.filter, page.Request{Limit: 10})
				if !slices.Equal(ids(p.Items), test.want) {
					t.Errorf("%s: %v, want %v", name, ids(p.Items), test.want)
				}
				return err
			})
		}
		b.clock.Advance(time.Nanosecond)
		if p, err := b.Showtimes(t.Context(), showtime.Filter{}, page.Request{Limit: 10}); err != nil || len(p.Items) != 3 {
			// PostgreSQL keeps microseconds: a nanosecond after its start a showtime has just started to start.
			t.Errorf("a nanosecond later: %d, %v", len(p.Items), err)
		}
		b.clock.Advance(time.Microsecond)
		if p, err := b.Showtimes(t.Context(), showtime.Filter{}, page.Request{Limit: 10}); err != nil || !slices.Equal(ids(p.Items), []uuid.UUID{later, latest}) {
			t.Errorf("a microsecond later: %v, %v", ids(p.Items), err)
		}
	})
	t.Run("by_pages_with_equal_starts", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var want []uuid.UUID
		for i := range 5 {
			p := b.place("Oslo "+string(rune('a'+i)), "Europe/Oslo")
			want = append(want, b.show(b.movie, p, noon.Add(time.Hour), nil))
		}
		slices.SortFunc(want, func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
		for _, backward := range []bool{false, true} {
			var got []uuid.UUID
			request := page.Request{Limit: 2, Backward: backward}
			for range want {
				p, err := b.Showtimes(t.Context(), showtime.Filter{}, request)
				if err != nil {
					t.Fatal(err)
				}
				if backward {
					got = append(ids(p.Items), got...)
					request.Before = p.Items[0].CursorKey()
				} else {
					got = append(got, ids(p.Items)...)
					request.After = p.Items[len(p.Items)-1].CursorKey()
				}
				if more := p.HasNext; !backward && !more || backward && !p.HasPrevious {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("backward %v: %v, want %v", backward, got, want)
			}
		}
	})
	t.Run("a_showtime_is_what_was_stored", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		// The night in which Berlin's clocks go back: the show starts in summer time and ends in winter time.
		starts := time.Date(2026, time.October, 25, 0, 30, 0, 123456000, time.UTC)
		id := b.show(b.movie, b.berlin, starts, nil)
		var found map[uuid.UUID]showtime.Showtime
		b.sends(1, "ShowtimesByID", func() (err error) {
			found, err = b.ShowtimesByID(t.Context(), []uuid.UUID{id, typeid.New()})
			return err
		})
		s := found[id]
		if len(found) != 1 || s.MovieID != b.movie || s.TheaterID != b.berlin.theater || s.ScreenID != b.berlin.screen || s.LayoutID != b.berlin.layout ||
			!s.StartsAt.Equal(starts) || !s.EndsAt.Equal(starts.Add(time.Hour)) || s.Format != "IMAX" || s.Language != "de" || *s.Subtitles != "en" ||
			s.Status != showtime.StatusScheduled || s.Currency != "EUR" || s.MaxSeats != 6 || !s.SalesCloseAt.Equal(starts.Add(15*time.Minute)) {
			t.Errorf("%+v", s)
		}
		const wall = "2006-01-02 15:04"
		if from, to := s.StartsAtLocal().Format(wall), s.EndsAtLocal().Format(wall); from != "2026-10-25 02:30" || to != "2026-10-25 02:30" {
			t.Errorf("on the theater's clock from %s to %s", from, to)
		}
		if key := s.CursorKey(); key[0] != "2026-10-25T00:30:00.123456Z" || key[1] != id.String() {
			t.Errorf("%v", key)
		}
	})
	t.Run("a_zone_that_is_none_is_a_fault", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.show(b.movie, b.place("Atlantis", "Atlantis/Poseidonis"), noon.Add(time.Hour), nil)
		if _, err := b.Showtimes(t.Context(), showtime.Filter{}, page.Request{Limit: 10}); apperr.CodeOf(err) != apperr.Internal {
			t.Errorf("%v", err)
		}
	})
}

func TestService_ShowtimesOf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other, nowhere := b.addMovie(), b.addMovie()
	var mine []uuid.UUID
	for i := range 4 {
		mine = append(mine, b.show(b.movie, b.berlin, noon.Add(time.Duration(i)*2*time.Hour), nil))
	}
	its := b.show(other, b.sydney, noon.Add(time.Hour), nil)
	b.show(other, b.sydney, noon.Add(-time.Hour), nil)
	all := []uuid.UUID{b.movie, other, nowhere}
	b.sends(1, "forward", func() error {
		pages, err := b.ShowtimesOf(t.Context(), showtime.ParentMovie, all, showtime.Filter{}, page.Request{Limit: 2})
		if p := pages[b.movie]; !slices.Equal(ids(p.Items), mine[:2]) || !p.HasNext || p.HasPrevious {
			t.Errorf("%+v", p)
		}
		if p := pages[other]; !slices.Equal(ids(p.Items), []uuid.UUID{its}) || p.HasNext {
			t.Errorf("%+v", p)
		}
		if p, ok := pages[nowhere]; !ok || len(p.Items) != 0 || p.HasNext || p.HasPrevious {
			t.Errorf("%+v", p)
		}
		return err
	})
	b.sends(1, "backward", func() error {
		pages, err := b.ShowtimesOf(t.Context(), showtime.ParentMovie, all, showtime.Filter{}, page.Request{Limit: 2, Backward: true})
		if p := pages[b.movie]; !slices.Equal(ids(p.Items), mine[2:]) || !p.HasPrevious {
			t.Errorf("%+v", p)
		}
		return err
	})
	b.sends(1, "of theaters", func() error {
		to := noon.Add(3 * time.Hour)
		pages, err := b.ShowtimesOf(t.Context(), showtime.ParentTheater, []uuid.UUID{b.berlin.theater, b.sydney.theater}, showtime.Filter{To: &to, MovieID: &b.movie}, page.Request{Limit: 9})
		if p := pages[b.berlin.theater]; !slices.Equal(ids(p.Items), mine[:2]) {
			t.Errorf("%+v", p)
		}
		if p := pages[b.sydney.theater]; len(p.Items) != 0 {
			t.Errorf("%+v", p)
		}
		return err
	})
	to := noon.Add(-time.Hour)
	if _, err := b.ShowtimesOf(t.Context(), showtime.ParentMovie, all, showtime.Filter{From: &noon, To: &to}, page.Request{Limit: 2}); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("%v", err)
	}
}

func TestService_PricesByShowtime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	priced := b.show(b.movie, b.berlin, noon, map[string]int64{"STANDARD": 1200, "PREMIUM": 1500, "COMPANION": 900, "WHEELCHAIR": 900})
	free := b.show(b.movie, b.sydney, noon, nil)
	b.sends(1, "PricesByShowtime", func() error {
		found, err := b.PricesByShowtime(t.Context(), []uuid.UUID{priced, free, typeid.New()})
		want := []showtime.Price{
			{Category: theater.CategoryPremium, AmountMinor: 1500, Currency: "EUR"},
			{Category: theater.CategoryStandard, AmountMinor: 1200, Currency: "EUR"},
			{Category: theater.CategoryCompanion, AmountMinor: 900, Currency: "EUR"},
			{Category: theater.CategoryWheelchair, AmountMinor: 900, Currency: "EUR"},
		}
		if !slices.Equal(found[priced], want) || len(found[free]) != 0 {
			t.Errorf("%+v", found)
		}
		return err
	})
}

func TestService_Offer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.show(b.movie, b.berlin, noon, map[string]int64{"STANDARD": 1200, "PREMIUM": 1500})
	var offer *showtime.Offer
	read := func(want int, what string, from func(context.Context, uuid.UUID) (*showtime.Offer, error)) {
		t.Helper()
		b.sends(want, what, func() (err error) {
			offer, err = from(t.Context(), id)
			return err
		})
	}
	read(1, "the first Offer", b.Offer)
	if offer.ShowtimeID != id || offer.LayoutID != b.berlin.layout || offer.Currency != "EUR" || offer.PriceVersion != 3 || offer.MaxSeats != 6 ||
		len(offer.Prices) != 2 || offer.Prices[theater.CategoryPremium] != 1500 {
		t.Errorf("%+v", offer)
	}
	if _, err := b.db.SQL().ExecContext(t.Context(), `UPDATE showtime_sales SET price_version = 4`); err != nil {
		t.Fatal(err)
	}
	read(0, "an Offer from memory", b.Offer)
	if offer.PriceVersion != 3 {
		t.Errorf("%+v", offer)
	}
	read(1, "a FreshOffer", b.FreshOffer)
	read(0, "an Offer after that", b.Offer)
	if offer.PriceVersion != 4 {
		t.Errorf("%+v", offer)
	}
	b.clock.Advance(time.Minute - time.Nanosecond)
	read(0, "an Offer of nearly a minute", b.Offer)
	b.clock.Advance(time.Nanosecond)
	read(1, "an Offer of a minute", b.Offer)

	unpriced := b.show(b.movie, b.sydney, noon, nil)
	if offer, err := b.Offer(t.Context(), unpriced); err != nil || len(offer.Prices) != 0 || offer.LayoutID != b.sydney.layout {
		t.Errorf("without prices: %+v, %v", offer, err)
	}
	for range 2 {
		b.sends(1, "an Offer of nothing", func() error {
			if _, err := b.Offer(t.Context(), uuid.Max); apperr.CodeOf(err) != apperr.NotFound {
				t.Errorf("an unknown showtime: %v", err)
			}
			return nil
		})
	}
}

func TestFilter_Validate(t *testing.T) {
	t.Parallel()
	moment := func(year int) *time.Time {
		m := time.Date(year, time.June, 1, 0, 0, 0, 0, time.UTC)
		return &m
	}
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		filter showtime.Filter
		fields []string
	}{
		"nothing":                 {showtime.Filter{}, nil},
		"a_period":                {showtime.Filter{From: moment(2026), To: moment(2027)}, nil},
		"the_whole_calendar":      {showtime.Filter{From: moment(1), To: moment(9999)}, nil},
		"a_period_of_nothing":     {showtime.Filter{From: moment(2026), To: moment(2026)}, []string{"filter.to"}},
		"a_period_backwards":      {showtime.Filter{From: moment(2027), To: moment(2026)}, []string{"filter.to"}},
		"a_year_before_the_first": {showtime.Filter{From: moment(0)}, []string{"filter.from"}},
		"a_year_after_the_last":   {showtime.Filter{To: moment(10000)}, []string{"filter.to"}},
		"an_empty_city":           {showtime.Filter{City: text("")}, []string{"filter.city"}},
		"a_long_city":             {showtime.Filter{City: text(strings.Repeat("x", 101))}, []string{"filter.city"}},
		"a_city_with_nul":         {showtime.Filter{City: text("a\x00")}, []string{"filter.city"}},
		"all_wrong":               {showtime.Filter{From: moment(10000), To: moment(0), City: text("")}, []string{"filter.city", "filter.from", "filter.to", "filter.to"}},
	} {
		var named []string
		if refusal, ok := errors.AsType[*apperr.Error](test.filter.Validate()); ok {
			for _, field := range refusal.Fields {
				named = append(named, field.Path)
			}
		}
		if !slices.Equal(named, test.fields) {
			t.Errorf("%s: it names %v, want %v", name, named, test.fields)
		}
	}
}
