// Package catalog owns movies and genres: what can be shown, wherever it is shown.
//
// It knows nothing of prices, seats or people. A movie that was ever shown is never deleted.
package catalog

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/typeid"
)

// Movie is a title that can be shown.
type Movie struct {
	ID             uuid.UUID
	Title          string
	ReleaseDate    *time.Time // midnight UTC of the day of first release; nil: unknown
	RunTimeMinutes *int32     // nil: unknown
	Certificate    *string    // of the MPA
	Director       *string
	Distributor    *string
	Rating         *Rating // nil: nobody has rated it

	// What the orders go by. A mean without votes is no Rating, but sorts as it is stored.
	meanTenths, votes int32
}

// NodeID returns the movie's public id.
func (m Movie) NodeID() string { return typeid.Encode(typeid.Movie, m.ID) }

// IsNode marks what clients can read again by its id.
func (Movie) IsNode() {}

// Rating is what audiences think of a movie.
type Rating struct {
	MeanTenths int32 // 10 to 100
	Votes      int32
	Source     RatingSource
}

// RatingSource is who collected the votes of a Rating.
type RatingSource string

// RatingSourceIMDB is the Internet Movie Database.
const RatingSourceIMDB RatingSource = "IMDB"

// Genre is a kind of movie.
type Genre struct {
	ID   uuid.UUID
	Name string
}

// NodeID returns the genre's public id.
func (g Genre) NodeID() string { return typeid.Encode(typeid.Genre, g.ID) }

// IsNode marks what clients can read again by its id.
func (Genre) IsNode() {}

// MovieFilter restricts a list of movies; nil conditions do not.
type MovieFilter struct {
	TitleContains *string // ignoring case
	Genre         *string // by name, ignoring case
	PlayingInCity *string // has a showtime that has not started in this city, ignoring case
	Playing       *bool   // has (true) or has no (false) showtime that has not started
}

// Validate returns BAD_USER_INPUT for texts that are empty or too long to match anything.
func (f MovieFilter) Validate() error {
	var bad apperr.Fields
	bad.Text("filter.titleContains", f.TitleContains, 300)
	bad.Text("filter.genre", f.Genre, 100)
	bad.Text("filter.playingInCity", f.PlayingInCity, 100)
	return bad.Err()
}

// MovieOrder is an ordering of movies.
type MovieOrder string

// The orderings of movies.
const (
	MovieOrderPopularity  MovieOrder = "POPULARITY"
	MovieOrderRating      MovieOrder = "RATING"
	MovieOrderReleaseDate MovieOrder = "RELEASE_DATE"
	MovieOrderTitle       MovieOrder = "TITLE"
)

// CursorName is what cursors of the ordering are signed for.
func (o MovieOrder) CursorName() string { return "movies:" + string(o) }

// CursorKey returns where m stands in the ordering.
func (o MovieOrder) CursorKey(m Movie) []string {
	var first string
	switch o {
	case MovieOrderPopularity:
		first = strconv.Itoa(int(m.votes))
	case MovieOrderRating:
		first = strconv.Itoa(int(m.meanTenths))
	case MovieOrderReleaseDate:
		first = unknownRelease
		if m.ReleaseDate != nil {
			first = m.ReleaseDate.Format(time.DateOnly)
		}
	case MovieOrderTitle:
		first = m.Title
	}
	return []string{first, m.ID.String()}
}

// unknownRelease stands in for a release date that is not known, so that such movies come last among the newest.
const unknownRelease = "0001-01-01"

// sorting is how the database orders movies: by an expression over the table m, of the given type, before the id.
type sorting struct {
	expression, sqlType string
	descending          bool
}

// sorting returns how the database sorts by o. Each expression has an index.
func (o MovieOrder) sorting() sorting {
	switch o {
	case MovieOrderRating:
		return sorting{"imdb_rating_tenths", "integer", true}
	case MovieOrderReleaseDate:
		return sorting{"coalesce(release_date, '" + unknownRelease + "'::date)", "date", true}
	case MovieOrderTitle:
		return sorting{"title", "text", false}
	default:
		return sorting{"imdb_votes", "integer", true}
	}
}
