package catalog_test

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/catalog"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// bundle is a service on a database of its own.
type bundle struct {
	*catalog.Service

	t          *testing.T
	db         *postgres.DB
	client     *ent.Client
	clock      *clock.Fake
	statements *dbtest.Statements
}

func setup(t *testing.T) *bundle {
	t.Helper()
	statements := &dbtest.Statements{}
	db := dbtest.New(t, dbtest.Record(statements))
	client := ent.Over(db.SQL())
	fake := clock.NewFake(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	return &bundle{
		Service: catalog.NewService(client, fake), t: t, db: db, client: client, clock: fake, statements: statements,
	}
}

func (b *bundle) must(exec func(context.Context) error) {
	b.t.Helper()
	if err := exec(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) genre(name string) uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	b.must(b.client.Genre.Create().SetID(id).SetName(name).Exec)
	return id
}

func (b *bundle) movie(title string, change func(*ent.MovieCreate)) uuid.UUID {
	b.t.Helper()
	id := typeid.New()
	create := b.client.Movie.Create().SetID(id).SetTitle(title)
	if change != nil {
		change(create)
	}
	b.must(create.Exec)
	return id
}

// showtime adds a projection in a theater of its own.
func (b *bundle) showtime(movie uuid.UUID, city, status string, starts time.Time) {
	b.t.Helper()
	theater, screen, layout := typeid.New(), typeid.New(), typeid.New()
	b.must(b.client.Theater.Create().SetID(theater).SetName(theater.String()).SetAddress("1 Main Street").SetCity(city).
		SetCountryCode("DE").SetLatitude(1).SetLongitude(2).SetTimeZone("Europe/Berlin").SetCurrency("EUR").
		SetOpensMinute(0).SetClosesMinute(1440).Exec)
	b.must(b.client.Screen.Create().SetID(screen).SetTheaterID(theater).SetName("1").SetTrailerMinutes(0).SetCleaningMinutes(0).Exec)
	b.must(b.client.SeatLayout.Create().SetID(layout).SetScreenID(screen).SetVersion(1).SetSeatCount(1).Exec)
	b.must(b.client.Showtime.Create().SetID(typeid.New()).SetMovieID(movie).SetTheaterID(theater).SetScreenID(screen).
		SetLayoutID(layout).SetStartsAt(starts).SetEndsAt(starts.Add(time.Hour)).SetOccupiedUntil(starts.Add(time.Hour)).
		SetFormat("2D").SetLanguage("de").SetStatus(status).Exec)
}

// one runs do, which must send one statement.
func (b *bundle) one(what string, do func() error) {
	b.t.Helper()
	b.statements.Take()
	if err := do(); err != nil {
		b.t.Errorf("%s: %v", what, err)
	}
	if sent := b.statements.Take(); len(sent) != 1 {
		b.t.Errorf("%s sent %d statements:\n%s", what, len(sent), strings.Join(sent, "\n"))
	}
}

var signer = page.NewSigner([]byte("a key"))

// all reads a list by pages, as clients do.
func (b *bundle) all(order catalog.MovieOrder, size int32) []string {
	b.t.Helper()
	var titles []string
	args := page.Args{First: &size}
	for range 100 {
		request, err := signer.Parse(order.CursorName(), args)
		if err != nil {
			b.t.Fatal(err)
		}
		p, err := b.Movies(b.t.Context(), catalog.MovieFilter{}, order, request)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, m := range p.Items {
			titles = append(titles, m.Title)
		}
		if !p.HasNext {
			return titles
		}
		cursor := signer.Encode(order.CursorName(), order.CursorKey(p.Items[len(p.Items)-1])...)
		args.After = &cursor
	}
	b.t.Fatalf("the list by %s does not end: %v", order, titles)
	return nil
}

func TestService_Movies(t *testing.T) {
	t.Parallel()
	t.Run("each_order_visits_all_once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		// Without their indexes, movies that are alike have no order but the one that is asked for.
		if _, err := b.db.SQL().ExecContext(t.Context(), `DROP INDEX movies_votes_idx, movies_rating_idx, movies_release_idx, movies_title_idx`); err != nil {
			t.Fatal(err)
		}
		day := func(d int) func(*ent.MovieCreate) {
			return func(c *ent.MovieCreate) { c.SetReleaseDate(time.Date(2000, time.January, d, 0, 0, 0, 0, time.UTC)) }
		}
		rated := func(tenths, votes int32) func(*ent.MovieCreate) {
			return func(c *ent.MovieCreate) { c.SetImdbRatingTenths(tenths).SetImdbVotes(votes) }
		}
		b.movie("rated without votes", rated(75, 0))
		b.movie("voted without rating", rated(0, 10))
		b.movie("neither", nil)
		b.movie("neither either", nil)
		b.movie("both", rated(80, 20))
		b.movie("both again", rated(80, 20))
		b.movie("first", day(1))
		b.movie("second", day(2))
		b.movie("second too", day(2))
		b.movie("the oldest day", func(c *ent.MovieCreate) { c.SetReleaseDate(time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC)) })
		for _, order := range []catalog.MovieOrder{
			catalog.MovieOrderPopularity, catalog.MovieOrderRating, catalog.MovieOrderReleaseDate, catalog.MovieOrderTitle,
		} {
			whole := b.all(order, 100)
			if unique := slices.Compact(slices.Sorted(slices.Values(whole))); len(unique) != 10 || len(whole) != 10 {
				t.Fatalf("by %s: %v", order, whole)
			}
			for _, size := range []int32{1, 2, 3} {
				if titles := b.all(order, size); !slices.Equal(titles, whole) {
					t.Errorf("by %s, %d at a time:\n%v, want\n%v", order, size, titles, whole)
				}
			}
		}
	})
	t.Run("a_movie_is_what_was_stored", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		released := time.Date(1985, time.February, 20, 0, 0, 0, 0, time.UTC)
		full := b.movie("Brazil", func(c *ent.MovieCreate) {
			c.SetReleaseDate(released).SetRunTimeMinutes(132).SetCertificate("R").SetDirector("Terry Gilliam").SetDistributor("Universal").
				SetImdbRatingTenths(80).SetImdbVotes(76635)
		})
		bare := b.movie("Untitled", nil)
		var found map[uuid.UUID]catalog.Movie
		b.one("MoviesByID", func() (err error) {
			found, err = b.MoviesByID(t.Context(), []uuid.UUID{full, bare, typeid.New()})
			return err
		})
		if len(found) != 2 {
			t.Errorf("%d movies", len(found))
		}
		m := found[full]
		if m.ReleaseDate == nil || m.ReleaseDate.Format(time.DateOnly) != "1985-02-20" || *m.RunTimeMinutes != 132 || *m.Certificate != "R" ||
			*m.Director != "Terry Gilliam" || *m.Distributor != "Universal" || *m.Rating != (catalog.Rating{MeanTenths: 80, Votes: 76635, Source: catalog.RatingSourceIMDB}) {
			t.Errorf("%+v", m)
		}
		if m := found[bare]; m.ReleaseDate != nil || m.RunTimeMinutes != nil || m.Certificate != nil || m.Director != nil || m.Distributor != nil || m.Rating != nil {
			t.Errorf("%+v", m)
		}
	})
	t.Run("a_page_is_one_statement", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		title, genre, city, playing := "a", "b", "c", true
		b.one("Movies", func() error {
			filter := catalog.MovieFilter{TitleContains: &title, Genre: &genre, PlayingInCity: &city, Playing: &playing}
			_, err := b.Movies(t.Context(), filter, catalog.MovieOrderTitle, page.Request{Limit: 10})
			return err
		})
	})
	t.Run("playing_is_by_the_clock", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		now := b.clock.Now()
		b.showtime(b.movie("later", nil), "Berlin", "SCHEDULED", now.Add(time.Minute))
		b.showtime(b.movie("at this moment", nil), "Berlin", "SCHEDULED", now)
		b.showtime(b.movie("started", nil), "Berlin", "SCHEDULED", now.Add(-time.Second))
		b.showtime(b.movie("called off", nil), "Berlin", "CANCELLED", now.Add(time.Hour))
		b.movie("nowhere", nil)
		list := func(filter catalog.MovieFilter) string {
			p, err := b.Movies(t.Context(), filter, catalog.MovieOrderTitle, page.Request{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			titles := []string{}
			for _, m := range p.Items {
				titles = append(titles, m.Title)
			}
			return strings.Join(titles, ", ")
		}
		yes, no, city := true, false, "berlin"
		for _, test := range []struct {
			filter catalog.MovieFilter
			want   string
		}{
			{catalog.MovieFilter{Playing: &yes}, "at this moment, later"},
			{catalog.MovieFilter{PlayingInCity: &city}, "at this moment, later"},
			{catalog.MovieFilter{Playing: &no}, "called off, nowhere, started"},
		} {
			if got := list(test.filter); got != test.want {
				t.Errorf("%+v: %s; want %s", test.filter, got, test.want)
			}
		}
		b.clock.Advance(time.Minute)
		if got := list(catalog.MovieFilter{Playing: &yes}); got != "later" {
			t.Errorf("a minute later: %s", got)
		}
	})
	t.Run("bad_conditions_reach_no_database", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.statements.Take()
		for _, text := range []string{"", strings.Repeat("x", 301), "a\x00", "a\xff"} {
			_, err := b.Movies(t.Context(), catalog.MovieFilter{TitleContains: &text, Genre: &text, PlayingInCity: &text}, catalog.MovieOrderTitle, page.Request{Limit: 1})
			if apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%q: %v", text, err)
			}
		}
		if sent := b.statements.Take(); len(sent) > 0 {
			t.Errorf("%v", sent)
		}
	})
	t.Run("a_condition_is_no_pattern", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		horror := b.genre("Horror_100%")
		b.movie("Ünder 100% _ \\ 'x'", func(c *ent.MovieCreate) { c.AddGenreIDs(horror) })
		b.movie("Other", func(c *ent.MovieCreate) { c.AddGenreIDs(b.genre("Horror")) })
		for condition, want := range map[string]int{"%": 1, "_": 1, `\`: 1, "'": 1, "ünder": 1, "ÜNDER": 1, "0% _ ": 1, "o": 1, "%r": 0, `\_`: 0} {
			p, err := b.Movies(t.Context(), catalog.MovieFilter{TitleContains: &condition}, catalog.MovieOrderTitle, page.Request{Limit: 10})
			if err != nil || len(p.Items) != want {
				t.Errorf("title %q: %d movies, %v; want %d", condition, len(p.Items), err, want)
			}
		}
		for condition, want := range map[string]int{"horror": 1, "HORROR_100%": 1, "horror%": 0, "horror_": 0, "%": 0} {
			p, err := b.Movies(t.Context(), catalog.MovieFilter{Genre: &condition}, catalog.MovieOrderTitle, page.Request{Limit: 10})
			if err != nil || len(p.Items) != want {
				t.Errorf("genre %q: %d movies, %v; want %d", condition, len(p.Items), err, want)
			}
		}
	})
}

func TestService_Genres(t *testing.T) {
	t.Parallel()
	b := setup(t)
	western, comedy, drama := b.genre("Western"), b.genre("Comedy"), b.genre("Drama")
	both := b.movie("Both", func(c *ent.MovieCreate) { c.AddGenreIDs(western, comedy) })
	onlyOne := b.movie("One", func(c *ent.MovieCreate) { c.AddGenreIDs(drama) })
	none := b.movie("None", nil)
	names := func(genres []catalog.Genre) string {
		list := make([]string, len(genres))
		for i, g := range genres {
			list[i] = g.Name
		}
		return strings.Join(list, ", ")
	}
	b.one("Genres", func() error {
		genres, err := b.Genres(t.Context())
		if got := names(genres); got != "Comedy, Drama, Western" {
			t.Errorf("%s", got)
		}
		return err
	})
	b.one("GenresByID", func() error {
		found, err := b.GenresByID(t.Context(), []uuid.UUID{drama, typeid.New()})
		if len(found) != 1 || found[drama].Name != "Drama" {
			t.Errorf("%v", found)
		}
		return err
	})
	b.one("GenresByMovie", func() error {
		found, err := b.GenresByMovie(t.Context(), []uuid.UUID{both, onlyOne, none, typeid.New()})
		if len(found) != 2 || names(found[both]) != "Comedy, Western" || names(found[onlyOne]) != "Drama" || found[onlyOne][0].ID != drama {
			t.Errorf("%v", found)
		}
		return err
	})
}

func TestMovieOrder_CursorKey(t *testing.T) {
	t.Parallel()
	id := typeid.New()
	released := time.Date(926, time.March, 1, 0, 0, 0, 0, time.UTC)
	m := catalog.Movie{ID: id, Title: "A, \"B\"\n"}
	for order, want := range map[catalog.MovieOrder]string{
		catalog.MovieOrderPopularity: "0", catalog.MovieOrderRating: "0", catalog.MovieOrderReleaseDate: "0001-01-01", catalog.MovieOrderTitle: m.Title,
	} {
		if key := order.CursorKey(m); len(key) != 2 || key[0] != want || key[1] != id.String() {
			t.Errorf("%s: %q", order, key)
		}
	}
	m.ReleaseDate = &released
	if key := catalog.MovieOrderReleaseDate.CursorKey(m); key[0] != "0926-03-01" {
		t.Errorf("%q", key)
	}
}

// TestIndexes makes sure that each order of the movie list is read from an index, whatever the page.
func TestIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const many = 2000
	if _, err := b.db.SQL().ExecContext(t.Context(), `INSERT INTO movies (id, title, release_date, imdb_votes, imdb_rating_tenths)
		SELECT gen_random_uuid(), 'Movie ' || n, date '1950-01-01' + n, n, n % 100 FROM generate_series(1, $1::int) n`, many); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.SQL().ExecContext(t.Context(), `ANALYZE movies`); err != nil {
		t.Fatal(err)
	}
	for order, key := range map[catalog.MovieOrder]string{
		catalog.MovieOrderPopularity: "1000", catalog.MovieOrderRating: "50", catalog.MovieOrderReleaseDate: "1952-01-01", catalog.MovieOrderTitle: "Movie 5",
	} {
		for _, request := range []page.Request{
			{Limit: 10},
			{Limit: 10, Backward: true},
			{Limit: 10, After: []string{key, uuid.Nil.String()}},
			{Limit: 10, Backward: true, Before: []string{key, uuid.Nil.String()}},
		} {
			b.statements.Take()
			if _, err := b.Movies(t.Context(), catalog.MovieFilter{}, order, request); err != nil {
				t.Fatal(err)
			}
			plan := b.explain(b.statements.Take()[0], request)
			if strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("by %s, %+v:\n%s", order, request, plan)
			}
		}
	}
}

// explain returns the plan of a statement of the movie list.
func (b *bundle) explain(statement string, request page.Request) string {
	b.t.Helper()
	key := request.After
	if request.Before != nil {
		key = request.Before
	}
	for i, value := range key {
		statement = strings.ReplaceAll(statement, "$"+strconv.Itoa(i+1), "'"+value+"'")
	}
	rows, err := b.db.SQL().QueryContext(b.t.Context(), "EXPLAIN "+statement)
	if err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			b.t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return plan.String()
}
