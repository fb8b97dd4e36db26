package showtime

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/theater"
	"marquee/internal/words"
)

const (
	most             = 1_000_000_000 // minor units, of a price
	longestFormat    = 50            // characters
	maxSeats         = 100           // per customer
	minutesOfADay    = 24 * 60
	farthestYears    = 2 // ahead that a showtime may start
	fieldOfDetails   = "input.showtime."
	closesAtEarliest = -minutesOfADay // minutes after the start
)

// Details are what people say of a showtime.
type Details struct {
	MovieID      uuid.UUID
	Starts       Wall
	Format       string
	Language     string  // BCP 47
	Subtitles    *string // BCP 47
	Prices       map[theater.Category]int64
	MaxSeats     int32      // per customer
	SalesOpenAt  *time.Time // nil: at once
	SalesMinutes int32      // after the start, when sales end
}

// normalised returns d with its texts in the form in which they are kept: BAD_USER_INPUT for what is wrong at any theater.
func (d Details) normalised() (Details, error) {
	var bad apperr.Fields
	d.Format = words.Clean(d.Format)
	words.Check(&bad, fieldOfDetails+"format", d.Format, longestFormat, "Give 1 to %d characters, as on a poster.")
	tongue := func(name string, text *string) {
		tag, ok := words.Language(*text)
		if !ok {
			bad.Add(fieldOfDetails+name, "Give a language as BCP 47 has it: en, pt-BR.")
		}
		*text = tag
	}
	tongue("language", &d.Language)
	if d.Subtitles != nil {
		subtitles := *d.Subtitles
		d.Subtitles = &subtitles
		tongue("subtitles", d.Subtitles)
	}
	for _, amount := range d.Prices {
		if amount < 0 || amount > most {
			bad.Add(fieldOfDetails+"prices", "A price is 0 to %d minor units.", most)
		}
	}
	if d.MaxSeats < 1 || d.MaxSeats > maxSeats {
		bad.Add(fieldOfDetails+"maxSeatsPerCustomer", "Give a number from 1 to %d.", maxSeats)
	}
	if d.SalesMinutes < closesAtEarliest || d.SalesMinutes > minutesOfADay {
		bad.Add(fieldOfDetails+"salesCloseMinutesAfterStart", "Give a number from %d to %d.", closesAtEarliest, minutesOfADay)
	}
	return d, bad.Err()
}

// site is a screen with what its showtimes get from it.
type site struct {
	screen, theater    uuid.UUID
	zone               *time.Location
	currency           string
	trailers, cleaning time.Duration
	layout             uuid.UUID
	seats              int32
	categories         []string // of the layout
}

// lockSiteTx keeps all others from planning a screen: NOT_FOUND when there is none. The layout is the screen's newest.
func (s *Service) lockSiteTx(ctx context.Context, tx *sql.Tx, screen uuid.UUID) (site, error) {
	at := site{screen: screen}
	var zone string
	var trailers, cleaning int
	var categories string
	err := tx.QueryRowContext(ctx, `SELECT t.id, t.time_zone, t.currency, sc.trailer_minutes, sc.cleaning_minutes, l.id, l.seat_count,
			(SELECT coalesce(string_agg(DISTINCT category, ' '), '') FROM seats WHERE layout_id = l.id)
		FROM screens sc JOIN theaters t ON t.id = sc.theater_id
		JOIN LATERAL (SELECT id, seat_count FROM seat_layouts WHERE screen_id = sc.id ORDER BY version DESC LIMIT 1) l ON true
		WHERE sc.id = $1 FOR NO KEY UPDATE OF sc`, screen).
		Scan(&at.theater, &zone, &at.currency, &trailers, &cleaning, &at.layout, &at.seats, &categories)
	if errors.Is(err, sql.ErrNoRows) {
		return site{}, apperr.Missing("screen")
	}
	if err != nil {
		return site{}, fmt.Errorf("reading a screen: %w", err)
	}
	at.categories = strings.Fields(categories)
	at.trailers, at.cleaning = time.Duration(trailers)*time.Minute, time.Duration(cleaning)*time.Minute
	at.zone, err = s.zone(zone)
	return at, err
}

// slot is when a showtime takes its screen.
type slot struct{ starts, ends, until time.Time }

// start returns the moment at which a showtime of a screen is to start: BAD_USER_INPUT.
func (s *Service) start(at site, w Wall) (time.Time, error) {
	const field = fieldOfDetails + "startsAtLocal"
	moments := w.Moments(at.zone)
	if len(moments) == 0 {
		return time.Time{}, apperr.Invalid(field, "The clocks of this theater skip that time, as they are set forward.")
	}
	starts := moments[0]
	if len(moments) > 1 {
		switch w.Repeated {
		case RepeatedEarlier:
		case RepeatedLater:
			starts = moments[1]
		default:
			return time.Time{}, apperr.Invalid(fieldOfDetails+"whenRepeated", "The clocks of this theater show that time twice, as they are set back. Say which one is meant.")
		}
	}
	if now := s.clock.Now(); !starts.After(now) || starts.After(now.AddDate(farthestYears, 0, 0)) {
		return time.Time{}, apperr.Invalid(field, "A showtime starts in the future, at most %d years ahead.", farthestYears)
	}
	return starts, nil
}

// slotTx returns the slot of a movie on a screen: the trailers, the film and the cleaning. NOT_FOUND, BAD_USER_INPUT for a movie whose run time nobody knows.
func slotTx(ctx context.Context, tx *sql.Tx, at site, movie uuid.UUID, starts time.Time) (slot, error) {
	var minutes sql.NullInt32
	err := tx.QueryRowContext(ctx, `SELECT run_time_minutes FROM movies WHERE id = $1 FOR KEY SHARE`, movie).Scan(&minutes)
	if errors.Is(err, sql.ErrNoRows) {
		return slot{}, apperr.Missing("movie")
	}
	if err != nil {
		return slot{}, fmt.Errorf("reading a run time: %w", err)
	}
	if !minutes.Valid {
		return slot{}, apperr.Invalid(fieldOfDetails+"movieId", "Nobody has said how long this movie runs.")
	}
	ends := starts.Add(at.trailers + time.Duration(minutes.Int32)*time.Minute)
	return slot{starts, ends, ends.Add(at.cleaning)}, nil
}

// fit returns BAD_USER_INPUT for prices that are not those of the categories of the layout, and for sales that would end before
// they begin or after the film.
func (d Details) fit(at site, of slot, opens time.Time) error {
	var bad apperr.Fields
	var missing, strange []string
	for _, category := range at.categories {
		if _, priced := d.Prices[theater.Category(category)]; !priced {
			missing = append(missing, category)
		}
	}
	for category := range d.Prices {
		if !slices.Contains(at.categories, string(category)) {
			strange = append(strange, string(category))
		}
	}
	if slices.Sort(missing); len(missing) > 0 {
		bad.Add(fieldOfDetails+"prices", "The screen has seats without a price: %s.", strings.Join(missing, ", "))
	}
	if slices.Sort(strange); len(strange) > 0 {
		bad.Add(fieldOfDetails+"prices", "The screen has no such seats: %s.", strings.Join(strange, ", "))
	}
	closes := d.closes(of.starts)
	if closes.After(of.ends) {
		bad.Add(fieldOfDetails+"salesCloseMinutesAfterStart", "Sales end with the film at the latest.")
	}
	if !opens.Before(closes) {
		bad.Add(fieldOfDetails+"salesOpenAt", "Sales begin before they end.")
	}
	return bad.Err()
}

func (d Details) closes(starts time.Time) time.Time {
	return starts.Add(time.Duration(d.SalesMinutes) * time.Minute)
}

// recorded is what the audit log knows of a showtime.
type recorded struct {
	Movie     uuid.UUID                  `json:"movieId"`
	Starts    time.Time                  `json:"startsAt"`
	Ends      time.Time                  `json:"endsAt"`
	Format    string                     `json:"format"`
	Language  string                     `json:"language"`
	Subtitles *string                    `json:"subtitles"`
	Prices    map[theater.Category]int64 `json:"pricesMinor"`
	MaxSeats  int32                      `json:"maxSeatsPerCustomer"`
	Opens     time.Time                  `json:"salesOpenAt"`
	Closes    time.Time                  `json:"salesCloseAt"`
}
