package graph_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
)

// connection is a page of any list.
type connection struct {
	Edges []struct {
		Cursor string
		Node   struct{ ID string }
	}
	Nodes    []struct{ ID string }
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
}

func (c connection) ids() []string {
	ids := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		ids[i] = node.ID
	}
	return ids
}

// list is a connection field with arguments of its own beside those of the page.
type list struct {
	who       apitest.Client
	field     string
	arguments string // with a comma at its end
}

func (l list) page(arguments string) connection {
	var out map[string]connection
	l.who.Get(`{ `+l.field+`(`+l.arguments+arguments+`) { edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`, nil, &out)
	return out[l.field]
}

// walk reads the whole list page by page, forwards or backwards, and checks each page.
func (l list) walk(t *testing.T, size int, backwards bool) []string {
	t.Helper()
	var ids []string
	arguments := fmt.Sprintf("first: %d", size)
	if backwards {
		arguments = fmt.Sprintf("last: %d", size)
	}
	const endless = 1000
	for range endless {
		page := l.page(arguments)
		for i, edge := range page.Edges {
			if edge.Node.ID != page.Nodes[i].ID {
				t.Fatalf("%s: edge %d is %s, node %s", l.field, i, edge.Node.ID, page.Nodes[i].ID)
			}
		}
		if n := len(page.Edges); n == 0 {
			if page.PageInfo.StartCursor != nil || page.PageInfo.EndCursor != nil || page.PageInfo.HasNextPage && !backwards {
				t.Fatalf("%s: an empty page with %+v", l.field, page.PageInfo)
			}
			return ids
		} else if *page.PageInfo.StartCursor != page.Edges[0].Cursor || *page.PageInfo.EndCursor != page.Edges[n-1].Cursor {
			t.Fatalf("%s: the cursors of the page are not those of its ends", l.field)
		}
		if backwards {
			ids = append(page.ids(), ids...)
			if len(ids) > len(page.Nodes) != page.PageInfo.HasNextPage {
				t.Fatalf("%s: page.hasNextPage is %v after %d items from the end", l.field, page.PageInfo.HasNextPage, len(ids))
			}
			if !page.PageInfo.HasPreviousPage {
				return ids
			}
			arguments = fmt.Sprintf("last: %d, before: %q", size, *page.PageInfo.StartCursor)
			continue
		}
		if len(ids) > 0 != page.PageInfo.HasPreviousPage {
			t.Fatalf("%s: page.hasPreviousPage is %v after %d items", l.field, page.PageInfo.HasPreviousPage, len(ids))
		}
		ids = append(ids, page.ids()...)
		if !page.PageInfo.HasNextPage {
			return ids
		}
		arguments = fmt.Sprintf("first: %d, after: %q", size, *page.PageInfo.EndCursor)
	}
	t.Fatalf("%s: the list does not end", l.field)
	return nil
}

// TestPages visits every item of every list once, in one order, whatever the size of the page and the direction.
func TestPages(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	movies := append(slices.Clone(a.World.Movies), a.AddMovies(7)...)
	movies = append(movies, a.AddMovie(apitest.Movie{Title: "Sequel 003", Votes: 50, Tenths: 50}))
	customer := a.Customer()
	for i, show := range a.World.Showtimes[:7] {
		id := reserve(t, customer, show, int16(i+1))
		if i == 3 {
			runOut(a, id)
		}
	}
	for i := range 5 {
		a.AddTheater(apitest.Theater{Name: "Lumen", City: fmt.Sprintf("Town %d", i), Country: "DE", Zone: "Europe/Berlin", Currency: "EUR"}, 0)
	}
	lists := map[string]list{
		"theaters":                   {field: "theaters"},
		"showtimes":                  {field: "showtimes"},
		"reservations":               {who: customer, field: "myReservations"},
		"reservations by showtime":   {who: customer, field: "myReservations", arguments: "sort: SOONEST_SHOWTIME, "},
		"reservations from the last": {who: customer, field: "myReservations", arguments: "sort: LATEST_SHOWTIME, filter: {period: UPCOMING}, "},
		"none":                       {field: "movies", arguments: `filter: {titleContains: "no such title"}, `},
	}
	sizes := map[string]int{"theaters": 8, "showtimes": len(a.World.Showtimes), "reservations": 7, "reservations by showtime": 7, "reservations from the last": 7, "none": 0}
	for _, order := range []string{"POPULARITY", "RATING", "RELEASE_DATE", "TITLE"} {
		lists["movies by "+order] = list{field: "movies", arguments: "orderBy: " + order + ", "}
		sizes["movies by "+order] = len(movies)
	}
	for name, l := range lists {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			if l.who.URL == "" {
				l.who = a.Anonymous()
			}
			l.who = l.who.With(t)
			whole := l.page("first: 100").ids()
			if unique := slices.Compact(slices.Sorted(slices.Values(whole))); len(whole) != sizes[name] || len(unique) != len(whole) {
				t.Fatalf("%d items, %d of them different; want %d", len(whole), len(unique), sizes[name])
			}
			for _, size := range []int{1, 2, 3, max(1, len(whole)-1), max(1, len(whole)), 100} {
				for _, backwards := range []bool{false, true} {
					if ids := l.walk(t, size, backwards); !slices.Equal(ids, whole) {
						t.Errorf("by pages of %d, backwards %v:\n%v\nwant\n%v", size, backwards, ids, whole)
					}
				}
			}
			if len(whole) < 5 {
				return
			}
			all := l.page("first: 100")
			between := fmt.Sprintf("after: %q, before: %q", all.Edges[0].Cursor, all.Edges[4].Cursor)
			if ids := l.page("first: 2, " + between).ids(); !slices.Equal(ids, whole[1:3]) {
				t.Errorf("the first two between two cursors are %v", ids)
			}
			if ids := l.page("last: 2, " + between).ids(); !slices.Equal(ids, whole[2:4]) {
				t.Errorf("the last two between two cursors are %v", ids)
			}
		})
	}
	t.Run("movies_are_in_the_order_asked_for", func(t *testing.T) {
		byID := map[string]apitest.Movie{}
		for _, m := range movies {
			byID[m.ID()] = m
		}
		for order, compare := range map[string]func(a, b apitest.Movie) int{
			"POPULARITY":   func(a, b apitest.Movie) int { return cmp.Compare(b.Votes, a.Votes) },
			"RATING":       func(a, b apitest.Movie) int { return cmp.Compare(b.Tenths, a.Tenths) },
			"RELEASE_DATE": func(a, b apitest.Movie) int { return b.Day.Compare(a.Day) },
			"TITLE":        func(a, b apitest.Movie) int { return cmp.Compare(a.Title, b.Title) },
		} {
			ids := list{who: a.Anonymous().With(t), field: "movies", arguments: "orderBy: " + order + ", "}.page("first: 100").ids()
			if !slices.IsSortedFunc(ids, func(x, y string) int { return compare(byID[x], byID[y]) }) {
				t.Errorf("by %s: %v", order, ids)
			}
		}
	})
	t.Run("nested_lists", func(t *testing.T) {
		whole := list{who: a.Anonymous().With(t), field: "showtimes", arguments: fmt.Sprintf("filter: {theaterId: %q}, ", a.World.Theaters[1].ID())}.page("first: 100").ids()
		var ids []string
		cursor := "null"
		for {
			var out struct {
				Theater struct{ Showtimes connection }
			}
			a.Anonymous().With(t).Get(fmt.Sprintf(`{ theater(id: %q) { showtimes(first: 3, after: %s) { nodes { id } pageInfo { hasNextPage endCursor } } } }`,
				a.World.Theaters[1].ID(), cursor), nil, &out)
			ids = append(ids, out.Theater.Showtimes.ids()...)
			if !out.Theater.Showtimes.PageInfo.HasNextPage {
				break
			}
			cursor = fmt.Sprintf("%q", *out.Theater.Showtimes.PageInfo.EndCursor)
		}
		if !slices.Equal(ids, whole) || len(ids) != 8 {
			t.Errorf("%v, want %v", ids, whole)
		}
	})
}

// TestFilters asks for lists by each condition.
func TestFilters(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	movies, theaters, shows := a.World.Movies, a.World.Theaters, a.World.Showtimes
	started := a.AddShowtime(movies[5], theaters[0], theaters[0].Screens[0], -time.Hour)
	off := a.AddShowtime(movies[5], theaters[0], theaters[0].Screens[0], 40*24*time.Hour)
	a.Exec(`UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, off.Key)
	customer := a.Customer()
	held, ended, sold := reserve(t, customer, shows[0], 1), reserve(t, customer, shows[1], 1), reserve(t, customer, shows[2], 1)
	runOut(a, ended)
	pay(t, customer, sold)

	titles := func(which ...int) []string {
		ids := []string{}
		for _, i := range which {
			ids = append(ids, movies[i].ID())
		}
		return ids
	}
	showtimes := func(accept func(apitest.Showtime) bool) []string {
		ids := []string{}
		for _, s := range shows {
			if accept(s) {
				ids = append(ids, s.ID())
			}
		}
		return ids
	}
	stamp := func(t time.Time) string { return t.Format(time.RFC3339) }
	for name, test := range map[string]struct {
		field, arguments string
		want             []string // in any order
	}{
		"part of a title":                   {"movies", `filter: {titleContains: "TROPO"}`, titles(0)},
		"percent is no wildcard":            {"movies", `filter: {titleContains: "%"}`, titles(4)},
		"underscore is no wildcard":         {"movies", `filter: {titleContains: "_"}`, titles(4)},
		"backslash is no escape":            {"movies", `filter: {titleContains: "\\"}`, nil},
		"genre":                             {"movies", `filter: {genre: "science fiction"}`, titles(0, 1, 3)},
		"genre is the whole name":           {"movies", `filter: {genre: "Science"}`, nil},
		"genre without wildcards":           {"movies", `filter: {genre: "Com%"}`, nil},
		"playing":                           {"movies", `filter: {playing: true}`, titles(0, 1, 2, 3, 4)},
		"not playing":                       {"movies", `filter: {playing: false}`, titles(5)},
		"playing in a city":                 {"movies", `filter: {playingInCity: "TOKYO"}`, titles(0, 1, 2, 3, 4)},
		"playing in a city without theater": {"movies", `filter: {playingInCity: "Paris"}`, nil},
		"playing in no city like it":        {"movies", `filter: {playingInCity: "%"}`, nil},
		"not playing though in a city":      {"movies", `filter: {playing: false, playingInCity: "Berlin"}`, nil},
		"all conditions":                    {"movies", `filter: {titleContains: "a", genre: "Drama", playing: true, playingInCity: "Berlin"}`, titles(1, 3)},
		"no condition":                      {"movies", `filter: {}`, titles(0, 1, 2, 3, 4, 5)},
		"null conditions":                   {"movies", `filter: {titleContains: null, genre: null, playing: null}`, titles(0, 1, 2, 3, 4, 5)},
		"theaters of a city":                {"theaters", `filter: {city: "kuwait city"}`, []string{theaters[2].ID()}},
		"theaters of a country":             {"theaters", `filter: {countryCode: "JP"}`, []string{theaters[1].ID()}},
		"theaters of a city elsewhere":      {"theaters", `filter: {city: "Tokyo", countryCode: "DE"}`, nil},
		"showtimes of a movie": {
			"showtimes", fmt.Sprintf(`filter: {movieId: %q}`, movies[2].ID()),
			showtimes(func(s apitest.Showtime) bool { return s.Movie.Key == movies[2].Key }),
		},
		"showtimes of a theater": {
			"showtimes", fmt.Sprintf(`filter: {theaterId: %q}`, theaters[2].ID()),
			showtimes(func(s apitest.Showtime) bool { return s.Theater.Key == theaters[2].Key }),
		},
		"showtimes in a city": {
			"showtimes", `filter: {city: "BERLIN", to: "9999-01-01T00:00:00Z"}`,
			append(showtimes(func(s apitest.Showtime) bool { return s.Theater.City == "Berlin" }), off.ID()),
		},
		"showtimes from a moment on, with it": {
			"showtimes", fmt.Sprintf(`filter: {city: "Tokyo", from: %q}`, stamp(shows[6].Starts)),
			showtimes(func(s apitest.Showtime) bool { return s.Theater.City == "Tokyo" && !s.Starts.Before(shows[6].Starts) }),
		},
		"showtimes to a moment, without it": {
			"showtimes", fmt.Sprintf(`filter: {to: %q}`, stamp(shows[6].Starts)),
			showtimes(func(s apitest.Showtime) bool { return s.Starts.Before(shows[6].Starts) }),
		},
		"showtimes by a clock elsewhere": {
			"showtimes", fmt.Sprintf(`filter: {city: "Tokyo", to: %q}`, stamp(shows[6].Starts.In(time.FixedZone("", -7*3600)))),
			showtimes(func(s apitest.Showtime) bool { return s.Theater.City == "Tokyo" && s.Starts.Before(shows[6].Starts) }),
		},
		"showtimes of the past":         {"showtimes", fmt.Sprintf(`filter: {from: %q, to: %q}`, stamp(started.Starts), stamp(started.Starts.Add(time.Minute))), []string{started.ID()}},
		"showtimes of an unknown movie": {"showtimes", `filter: {movieId: "mov_` + nothing + `"}`, nil},
		"my reservations held":          {"myReservations", `status: HELD`, []string{held}},
		"my reservations expired":       {"myReservations", `status: EXPIRED`, []string{ended}},
		"my reservations confirmed":     {"myReservations", `status: CONFIRMED`, []string{sold}},
		"my reservations cancelled":     {"myReservations", `status: CANCELLED`, nil},
		"my reservations in two states": {"myReservations", `filter: {statuses: [HELD, CONFIRMED]}`, []string{held, sold}},
		"my reservations ahead":         {"myReservations", `filter: {period: UPCOMING}`, []string{held, ended, sold}},
		"my reservations of the past":   {"myReservations", `filter: {period: PAST}`, nil},
		"my reservations of a movie":    {"myReservations", fmt.Sprintf(`filter: {movieId: %q}`, shows[1].Movie.ID()), ofMovie(shows[1].Movie, shows, held, ended, sold)},
		"my reservations at a theater": {
			"myReservations", fmt.Sprintf(`filter: {theaterId: %q, movieId: %q, from: %q, to: %q}, sort: LATEST_SHOWTIME`, shows[0].Theater.ID(), shows[0].Movie.ID(), stamp(shows[0].Starts), stamp(shows[0].Starts.Add(time.Minute))),
			[]string{held},
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			got := list{who: customer.With(t), field: test.field, arguments: test.arguments + ", "}.page("first: 100").ids()
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(test.want)); !slices.Equal(got, want) {
				t.Errorf("%s(%s):\n%v\nwant\n%v", test.field, test.arguments, got, want)
			}
		})
	}
}

// ofMovie returns those of the reservations, of the first showtimes one each, whose showtime shows a movie.
func ofMovie(movie apitest.Movie, shows []apitest.Showtime, reservations ...string) []string {
	var ids []string
	for i, id := range reservations {
		if shows[i].Movie.Key == movie.Key {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestStatements counts what nested lists cost: it must not depend on how many items they hold.
func TestStatements(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.Batched())
	const few, many = 3, 30
	a.AddMovies(many)
	var shows []apitest.Showtime
	base := time.Now().UTC().Truncate(time.Hour).Add(30 * 24 * time.Hour)
	for i := range many {
		theater := a.AddTheater(apitest.Theater{Name: fmt.Sprintf("Palace %02d", i), City: "Oslo", Country: "NO", Zone: "Europe/Oslo", Currency: "NOK"}, 1)
		for j := range few {
			movie := a.World.Movies[(i+j)%len(a.World.Movies)]
			shows = append(shows, apitest.Showtime{
				Movie: movie, Theater: theater, Screen: theater.Screens[0], Starts: base.Add(time.Duration(j) * 5 * time.Hour),
			})
		}
	}
	// Each of the added movies is shown too, by name.
	a.AddShowtimes(shows...)
	a.Exec(`UPDATE showtimes s SET movie_id = m.id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM movies) m,
		(SELECT id, row_number() OVER (ORDER BY starts_at, id) AS n FROM showtimes) x WHERE x.id = s.id AND m.n = 1 + x.n % (SELECT count(*) FROM movies)`)
	customer := a.Customer()
	for i := range many {
		pay(t, customer, reserve(t, customer, shows[i*few], 1))
	}
	const projection = `startsAtLocal endsAtLocal movie { title } theater { name } screen { name theater { city } } prices { price { formatted } }`
	for name, test := range map[string]struct {
		query string
		most  int
	}{
		"movies_with_showtimes_ratings_and_genres": {
			// session; movies; genres, showtimes; movie, theater, screen, prices
			`query ($n: Int!) { movies(first: $n) { nodes { title rating { meanTenths } genres { name } showtimes(first: 3) { nodes { ` + projection + ` } } } } }`, 8,
		},
		"theaters_with_showtimes_and_movies": {
			// session; theaters; screens, showtimes; theater; movie, screen, prices; genres
			`query ($n: Int!) { theaters(first: $n) { nodes { name screens { name theater { name } } showtimes(first: 3) { nodes { ` + projection + ` movie { genres { name } } } } } } }`, 9,
		},
		"reservations_with_showtimes_payments_and_tickets": {
			// session; reservations; showtime, swap, payment, tickets; movie, theater, screen, prices
			`query ($n: Int!) { myReservations(first: $n) { nodes { status seats { label } swap { state } payment { status } tickets { code seat { label } } showtime { ` + projection + ` } } } }`, 10,
		},
		"showtimes_with_layouts": {
			// session; showtimes; movie, theater, screen, prices
			`query ($n: Int!) { showtimes(first: $n) { nodes { seatLayout { seatCount } ` + projection + ` } } }`, 6,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := customer.With(t)
			c.Get(test.query, vars{"n": many}, nil) // layouts and offers come into memory
			measure := func(n int) []string {
				return a.Statements(func() { c.Get(test.query, vars{"n": n}, nil) })
			}
			forFew, forMany := measure(few), measure(many)
			t.Logf("%d statements for %d, %d for %d", len(forFew), few, len(forMany), many)
			if len(forFew) != len(forMany) || len(forMany) > test.most {
				t.Errorf("%d statements for %d, want at most %d:\n%s\n\n%d for %d:\n%s", len(forFew), few, test.most, strings.Join(forFew, "\n"),
					len(forMany), many, strings.Join(forMany, "\n"))
			}
			// Offers, layouts and their seats come into the memory of another node.
			const memory = 3
			cold := apitest.New(t, apitest.Beside(a), apitest.Still(), apitest.Batched())
			c.URL = cold.URL + "/graphql"
			if first := cold.Statements(func() { c.Get(test.query, vars{"n": many}, nil) }); len(first) > test.most+memory {
				t.Errorf("%d statements on a node that just started, want at most %d:\n%s", len(first), test.most+memory, strings.Join(first, "\n"))
			}
		})
	}
	t.Run("theaters_with_what_their_managers_set", func(t *testing.T) {
		const query = `query ($n: Int!) { theaters(first: $n) { nodes {
			seatRules { noSeatLeftAlone } payLaterPolicy { leadMinutes } priceRules { id } promotions { id } staff { name } } } }`
		admin := a.As(auth.Grant{Role: auth.RoleAdmin}).With(t)
		admin.Get(query, vars{"n": few}, nil) // the session comes into memory
		forFew := a.Statements(func() { admin.Get(query, vars{"n": few}, nil) })
		forMany := a.Statements(func() { admin.Get(query, vars{"n": many}, nil) })
		const most = 2 + 4 + 2 // session, theaters; each of the four; staff, and who they are
		if len(forFew) != len(forMany) || len(forMany) > most {
			t.Errorf("%d statements for %d theaters and %d for %d, want at most %d:\n%s", len(forFew), few, len(forMany), many, most, strings.Join(forMany, "\n"))
		}
	})
	t.Run("lists_with_the_same_arguments_share_a_statement_and_others_do_not", func(t *testing.T) {
		type page struct{ Nodes []struct{ ID string } }
		var out struct {
			Movies struct {
				Nodes []struct{ Short, Again, Long, Oslo, Berlin page }
			}
		}
		n := a.Count(func() {
			a.Anonymous().With(t).Get(`{ movies(first: 5) { nodes {
				short: showtimes(first: 1) { nodes { id } } again: showtimes(first: 1) { nodes { id } } long: showtimes(first: 3) { nodes { id } }
				oslo: showtimes(first: 3, filter: {city: "Oslo"}) { nodes { id } } berlin: showtimes(first: 3, filter: {city: "Berlin"}) { nodes { id } }
			} } }`, nil, &out)
		})
		const want = 1 + 4
		if n != want {
			t.Errorf("%d statements, want %d", n, want)
		}
		for _, m := range out.Movies.Nodes {
			if len(m.Short.Nodes) > 1 || !slices.Equal(m.Short.Nodes, m.Again.Nodes) || !slices.Equal(m.Long.Nodes[:len(m.Short.Nodes)], m.Short.Nodes) {
				t.Errorf("pages of one list: %+v", m)
			}
			for _, node := range m.Oslo.Nodes {
				if slices.Contains(m.Berlin.Nodes, node) {
					t.Errorf("%s is in Oslo and in Berlin", node.ID)
				}
			}
		}
	})
}
