package apitest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/typeid"
)

// World is what the database holds when a test begins: three theaters in three currencies with two screens each, six
// movies, and four showtimes on each screen, from tomorrow on.
type World struct {
	Genres    []Genre
	Movies    []Movie
	Theaters  []Theater
	Showtimes []Showtime // by start
}

// Genre is a kind of movie.
type Genre struct {
	Key  uuid.UUID
	Name string
}

// Movie is a title. Of those in the world, the last is shown nowhere, two have as many votes and the same rating, two
// have no known release date, and one is not rated.
type Movie struct {
	Key    uuid.UUID
	Title  string
	Votes  int32
	Tenths int32     // of the rating
	Day    time.Time // of release; zero: not known
	Genres []Genre
}

// ID returns the movie's public id.
func (m Movie) ID() string { return typeid.Encode(typeid.Movie, m.Key) }

// Theater is a site with screens.
type Theater struct {
	Key      uuid.UUID
	Name     string
	City     string
	Country  string
	Zone     string
	Currency string
	Screens  []Screen
}

// ID returns the theater's public id.
func (t Theater) ID() string { return typeid.Encode(typeid.Theater, t.Key) }

// Screen has a layout of three rows of eight: standard seats with an aisle in the middle; six premium seats, a
// wheelchair place and its companion; four love seats.
type Screen struct {
	Key    uuid.UUID
	Layout uuid.UUID
	Seats  []Seat // by position
}

// ID returns the screen's public id.
func (s Screen) ID() string { return typeid.Encode(typeid.Screen, s.Key) }

// SeatIDs returns the public ids of the seats at the positions.
func (s Screen) SeatIDs(positions ...int16) []string {
	ids := make([]string, len(positions))
	for i, position := range positions {
		ids[i] = s.Seats[position-1].ID()
	}
	return ids
}

// Seat is a place.
type Seat struct {
	Key      uuid.UUID
	Position int16
	Category string
}

// ID returns the seat's public id.
func (s Seat) ID() string { return typeid.Encode(typeid.Seat, s.Key) }

// Showtime is a projection.
type Showtime struct {
	Key     uuid.UUID
	Movie   Movie
	Theater Theater
	Screen  Screen
	Starts  time.Time
}

// ID returns the showtime's public id.
func (s Showtime) ID() string { return typeid.Encode(typeid.Showtime, s.Key) }

// Prices of the world's seats, in minor units of whatever currency. Nothing that can be made of them up to ten seats of
// one category is an amount that the sandbox gateway declines or loses.
var Prices = map[string]int64{
	"STANDARD": 1200, "PREMIUM": 1500, "LOVE_SEAT": 1700, "WHEELCHAIR": 900, "COMPANION": 900,
}

// SeatsPerScreen is the size of every layout.
const SeatsPerScreen = 24

// categories are those of the seats of a layout, by position.
var categories = [SeatsPerScreen]string{
	"STANDARD", "STANDARD", "STANDARD", "STANDARD", "STANDARD", "STANDARD", "STANDARD", "STANDARD",
	"PREMIUM", "PREMIUM", "PREMIUM", "PREMIUM", "PREMIUM", "PREMIUM", "WHEELCHAIR", "COMPANION",
	"LOVE_SEAT", "LOVE_SEAT", "LOVE_SEAT", "LOVE_SEAT", "LOVE_SEAT", "LOVE_SEAT", "LOVE_SEAT", "LOVE_SEAT",
}

func (a *App) seed() World {
	a.t.Helper()
	var w World
	for _, name := range []string{"Comedy", "Drama", "Science Fiction"} {
		w.Genres = append(w.Genres, a.AddGenre(name))
	}
	released := func(year int) time.Time { return time.Date(year, time.March, 14, 0, 0, 0, 0, time.UTC) }
	w.Movies = []Movie{
		a.AddMovie(Movie{Title: "Metropolis", Votes: 900, Tenths: 83, Day: released(1927), Genres: w.Genres[1:]}),
		a.AddMovie(Movie{Title: "Brazil", Votes: 700, Tenths: 79, Day: released(1985), Genres: w.Genres}),
		a.AddMovie(Movie{Title: "Playtime", Votes: 400, Tenths: 75, Day: released(1967), Genres: w.Genres[:1]}),
		a.AddMovie(Movie{Title: "Stalker", Votes: 400, Tenths: 75, Day: released(1979), Genres: w.Genres[1:]}),
		a.AddMovie(Movie{Title: "100% Wolf_", Votes: 100, Tenths: 60}),
		a.AddMovie(Movie{Title: "Lost Reel", Genres: w.Genres[1:2]}),
	}
	w.Theaters = []Theater{
		a.AddTheater(Theater{Name: "Lumen", City: "Berlin", Country: "DE", Zone: "Europe/Berlin", Currency: "EUR"}, 2),
		a.AddTheater(Theater{Name: "Kinza", City: "Tokyo", Country: "JP", Zone: "Asia/Tokyo", Currency: "JPY"}, 2),
		a.AddTheater(Theater{Name: "Sahara", City: "Kuwait City", Country: "KW", Zone: "Asia/Kuwait", Currency: "KWD"}, 2),
	}
	// Noon of tomorrow: far enough for no test to meet a start, whatever it takes.
	first := time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)
	var showtimes []Showtime
	for round := range 4 {
		for i, theater := range w.Theaters {
			for j, screen := range theater.Screens {
				showtimes = append(showtimes, Showtime{
					Movie: w.Movies[(round+i+j)%(len(w.Movies)-1)], Theater: theater, Screen: screen,
					Starts: first.Add(time.Duration(round) * 4 * time.Hour),
				})
			}
		}
	}
	w.Showtimes = a.AddShowtimes(showtimes...)
	return w
}

// client reads and writes the database as the domains do.
func (a *App) client() *ent.Client { return ent.Over(a.DB().SQL()) }

func (a *App) must(what string, do func(context.Context) error) {
	a.t.Helper()
	ctx, cancel := a.patience()
	defer cancel()
	if err := do(ctx); err != nil {
		a.t.Fatalf("add %s: %v", what, err)
	}
}

// AddGenre adds a genre.
func (a *App) AddGenre(name string) Genre {
	a.t.Helper()
	g := Genre{Key: typeid.New(), Name: name}
	a.must("a genre", a.client().Genre.Create().SetID(g.Key).SetName(name).Exec)
	return g
}

// AddMovie adds a movie, with a key of its own.
func (a *App) AddMovie(m Movie) Movie {
	a.t.Helper()
	m.Key = typeid.New()
	create := a.client().Movie.Create().SetID(m.Key).SetTitle(m.Title).SetImdbVotes(m.Votes).SetImdbRatingTenths(m.Tenths)
	if !m.Day.IsZero() {
		create.SetReleaseDate(m.Day)
	}
	for _, g := range m.Genres {
		create.AddGenreIDs(g.Key)
	}
	a.must("a movie", create.Exec)
	return m
}

// AddMovies adds movies that are all alike but for their titles.
func (a *App) AddMovies(n int) []Movie {
	a.t.Helper()
	movies := make([]Movie, n)
	for i := range movies {
		movies[i] = a.AddMovie(Movie{
			Title: fmt.Sprintf("Sequel %03d", i), Votes: 50, Tenths: 50,
			Day: time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC), Genres: a.World.Genres[:2],
		})
	}
	return movies
}

// AddTheater adds a theater with a number of screens. It lets anybody take any seat; see Strict.
func (a *App) AddTheater(t Theater, screens int) Theater {
	a.t.Helper()
	t.Key = typeid.New()
	const opens, closes = 10 * 60, 25 * 60
	a.must("a theater", a.client().Theater.Create().SetID(t.Key).SetName(t.Name).SetAddress("1 "+t.Name+" Street").
		SetCity(t.City).SetCountryCode(t.Country).SetLatitude(1).SetLongitude(2).SetTimeZone(t.Zone).SetCurrency(t.Currency).
		SetOpensMinute(opens).SetClosesMinute(closes).Exec)
	const week = 7 * 24 * 60
	a.must("seat rules", a.client().SeatRules.Create().SetID(t.Key).SetNoSeatLeftAlone(false).SetRelaxedAtFreePercent(0).
		SetRelaxedMinutesBeforeStart(0).SetAccessibleReleaseMinutes(week).SetUpdatedAt(time.Now()).Exec)
	for i := range screens {
		t.Screens = append(t.Screens, a.addScreen(t.Key, fmt.Sprintf("Screen %d", i+1)))
	}
	return t
}

// Strict gives a theater the program's own rules for selections of seats. Call it before anybody asks for its showtimes.
func (a *App) Strict(t Theater) {
	a.t.Helper()
	a.must("stricter rules", a.client().SeatRules.DeleteOneID(t.Key).Exec)
}

func (a *App) addScreen(theater uuid.UUID, name string) Screen {
	a.t.Helper()
	s := Screen{Key: typeid.New(), Layout: typeid.New()}
	a.must("a screen", a.client().Screen.Create().SetID(s.Key).SetTheaterID(theater).SetName(name).
		SetTrailerMinutes(10).SetCleaningMinutes(20).Exec)
	a.must("a layout", a.client().SeatLayout.Create().SetID(s.Layout).SetScreenID(s.Key).SetVersion(1).
		SetSeatCount(SeatsPerScreen).Exec)
	const perRow = SeatsPerScreen / 3
	creates := make([]*ent.SeatCreate, SeatsPerScreen)
	for i := range creates {
		seat := Seat{Key: typeid.New(), Position: int16(i + 1), Category: categories[i]}
		row, number := i/perRow, i%perRow+1
		x := int16(number)
		if row == 0 && number > perRow/2 {
			x++
		}
		creates[i] = a.client().Seat.Create().SetID(seat.Key).SetLayoutID(s.Layout).SetSeatNo(seat.Position).
			SetRowLabel("ABC"[row : row+1]).SetNumber(int16(number)).SetX(x).SetY(int16(row + 1)).SetCategory(seat.Category)
		switch seat.Category {
		case "LOVE_SEAT":
			creates[i].SetGroupNo(int16((number + 1) / 2))
		case "COMPANION":
			creates[i].SetCompanionOf(seat.Position - 1)
		}
		s.Seats = append(s.Seats, seat)
	}
	a.must("seats", a.client().Seat.CreateBulk(creates...).Exec)
	return s
}

// lasts is how long a showtime takes its screen.
const lasts = 2 * time.Hour

// AddShowtimes adds showtimes that are on sale from a month before until a quarter of an hour after their start, with
// the world's prices and ten seats for each customer. Keys are their own.
func (a *App) AddShowtimes(showtimes ...Showtime) []Showtime {
	a.t.Helper()
	rows := make([]*ent.ShowtimeCreate, len(showtimes))
	sales := make([]*ent.ShowtimeSaleCreate, len(showtimes))
	var tiers []*ent.PriceTierCreate
	for i := range showtimes {
		s := &showtimes[i]
		s.Key = typeid.New()
		rows[i] = a.client().Showtime.Create().SetID(s.Key).SetMovieID(s.Movie.Key).SetTheaterID(s.Theater.Key).
			SetScreenID(s.Screen.Key).SetLayoutID(s.Screen.Layout).SetStartsAt(s.Starts).SetEndsAt(s.Starts.Add(lasts)).
			SetOccupiedUntil(s.Starts.Add(lasts + 20*time.Minute)).SetFormat("2D").SetLanguage("en").SetSubtitles("de")
		sales[i] = a.client().ShowtimeSale.Create().SetID(s.Key).SetOpensAt(s.Starts.AddDate(0, -1, 0)).
			SetClosesAt(s.Starts.Add(15 * time.Minute)).SetSeatCount(SeatsPerScreen).SetMaxSeats(10).SetCurrency(s.Theater.Currency)
		for category, amount := range Prices {
			tiers = append(tiers, a.client().PriceTier.Create().SetID(typeid.New()).SetShowtimeID(s.Key).
				SetCategory(category).SetAmountMinor(amount))
		}
	}
	a.must("showtimes", a.client().Showtime.CreateBulk(rows...).Exec)
	a.must("sales", a.client().ShowtimeSale.CreateBulk(sales...).Exec)
	a.must("prices", a.client().PriceTier.CreateBulk(tiers...).Exec)
	return showtimes
}

// AddShowtime is AddShowtimes for one: a movie on a screen, at a time after now that no other showtime of the screen
// takes.
func (a *App) AddShowtime(movie Movie, theater Theater, screen Screen, in time.Duration) Showtime {
	a.t.Helper()
	return a.AddShowtimes(Showtime{Movie: movie, Theater: theater, Screen: screen, Starts: time.Now().UTC().Truncate(time.Second).Add(in)})[0]
}
