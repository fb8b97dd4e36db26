// Package showtime owns projections: which movie runs on which screen when, when its seats are on sale, what a seat
// of each category costs, and by which rules the theater makes a price of that.
//
// Two showtimes never overlap on a screen, cleaning included: the database has an exclusion constraint for it. A
// showtime keeps the seat layout it was published with. Whose the seats are is the business of booking. Whatever changes a
// price gives the prices of the showtime another version in the same transaction, so that nobody buys at the old one.
package showtime

import (
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/pricing"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// Showtime is one projection of a movie on a screen.
type Showtime struct {
	ID        uuid.UUID
	MovieID   uuid.UUID
	TheaterID uuid.UUID
	ScreenID  uuid.UUID
	LayoutID  uuid.UUID
	StartsAt  time.Time
	EndsAt    time.Time
	Zone      *time.Location // the theater's
	Format    string
	Language  string  // BCP 47
	Subtitles *string // BCP 47
	Status    Status
	Version   int32 // counts its changes from 1
	Currency  string
	Sale
	MaxSeats int32 // per customer
}

// NodeID returns the showtime's public id.
func (s Showtime) NodeID() string { return typeid.Encode(typeid.Showtime, s.ID) }

// IsNode marks what clients can read again by its id.
func (Showtime) IsNode() {}

// StartsAtLocal returns the start on the theater's clock.
func (s Showtime) StartsAtLocal() time.Time { return s.StartsAt.In(s.Zone) }

// EndsAtLocal returns the end on the theater's clock.
func (s Showtime) EndsAtLocal() time.Time { return s.EndsAt.In(s.Zone) }

// Status says whether a showtime takes place.
type Status string

// The states of a showtime.
const (
	StatusScheduled Status = "SCHEDULED"
	StatusCancelled Status = "CANCELLED"
)

// Sale is when seats of a showtime are sold, and whether.
type Sale struct {
	SalesOpenAt  time.Time
	SalesCloseAt time.Time
	Stopped      bool // before its end
	CalledOff    bool // the showtime is
}

// ClosedReason is why a showtime is not on sale.
type ClosedReason string

// The reasons.
const (
	ClosedNotYetOpen ClosedReason = "NOT_YET_OPEN"
	ClosedSalesEnded ClosedReason = "SALES_ENDED"
	ClosedCancelled  ClosedReason = "CANCELLED"
)

// Closed returns why nobody can have seats at a moment; "" while they are on sale.
func (s Sale) Closed(now time.Time) ClosedReason {
	switch {
	case s.CalledOff:
		return ClosedCancelled
	case s.Stopped, !now.Before(s.SalesCloseAt):
		return ClosedSalesEnded
	case now.Before(s.SalesOpenAt):
		return ClosedNotYetOpen
	default:
		return ""
	}
}

// CursorName is what cursors of showtime lists are signed for.
const CursorName = "showtimes:starts"

// CursorKey returns where s stands in a list of showtimes.
func (s Showtime) CursorKey() []string {
	return []string{s.StartsAt.UTC().Format(time.RFC3339Nano), s.ID.String()}
}

// Filter restricts a list of showtimes; nil conditions do not.
type Filter struct {
	MovieID   *uuid.UUID
	TheaterID *uuid.UUID
	City      *string    // ignoring case
	From      *time.Time // nil: the present
	To        *time.Time
}

// Validate returns BAD_USER_INPUT for a period that ends before it begins, or outside the years 1 to 9999.
func (f Filter) Validate() error {
	var bad apperr.Fields
	for path, moment := range map[string]*time.Time{"filter.from": f.From, "filter.to": f.To} {
		if moment != nil && (moment.UTC().Year() < 1 || moment.UTC().Year() > 9999) {
			bad.Add(path, "The year must be between 1 and 9999.")
		}
	}
	bad.Text("filter.city", f.City, 100)
	if f.From != nil && f.To != nil && !f.From.Before(*f.To) {
		bad.Add("filter.to", "The period must end after it begins.")
	}
	return bad.Err()
}

// Price is what one seat of a category costs.
type Price struct {
	Category    theater.Category
	AmountMinor int64
	Currency    string
}

// Offer is what is needed to quote seats of a showtime and to judge a selection of them. It is shared between requests:
// do not change it.
type Offer struct {
	Sale

	ShowtimeID   uuid.UUID
	TheaterID    uuid.UUID
	StartsAt     time.Time
	LayoutID     uuid.UUID
	Currency     string
	PriceVersion int32
	MaxSeats     int32
	Prices       map[theater.Category]int64 // minor units; a category without a price is not sold
	Rules        SeatRules                  // of the theater, as old as PriceVersion
	Chain        pricing.Chain              // the rules of the theater that hold for this showtime
	Adult        map[theater.Category]int64 // what one adult pays in the end, but for what is paid once
	Once         int64                      // what is paid once for seats that are not free, in minor units
}

// priced fills in what the prices come to.
func (o *Offer) priced(rules []pricing.Rule, format string, starts time.Time) (err error) {
	o.Chain = pricing.NewChain(rules, format, starts)
	if o.Once, err = o.Chain.Once(); err != nil {
		return err
	}
	o.Adult = make(map[theater.Category]int64, len(o.Prices))
	for category, base := range o.Prices {
		quote, err := o.Chain.Price([]pricing.Item{{Type: pricing.Adult, BaseMinor: base}}, o.Currency)
		if err != nil {
			return err
		}
		if o.Adult[category] = quote.Total.AmountMinor; o.Adult[category] > 0 {
			o.Adult[category] -= o.Once
		}
	}
	return nil
}
