package booking

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/page"
	"marquee/internal/postgres"
)

// Sort is what a list of reservations is sorted by.
type Sort string

// The orders.
const (
	SortNewest  Sort = "NEWEST"           // the one made last first
	SortSoonest Sort = "SOONEST_SHOWTIME" // by the start of their showtimes, the earliest first
	SortLatest  Sort = "LATEST_SHOWTIME"  // by the start of their showtimes, the latest first
)

// CursorName returns what cursors of lists in this order are signed for.
func (s Sort) CursorName() string { return "reservations:" + strings.ToLower(string(s)) }

// Listed is a reservation in a list.
type Listed struct {
	Reservation

	StartsAt time.Time // of its showtime
}

// CursorKey returns where l stands in a list.
func (l Listed) CursorKey(by Sort) []string {
	if by == SortNewest {
		return []string{l.ID.String()}
	}
	return []string{l.StartsAt.UTC().Format(time.RFC3339Nano), l.ShowtimeID.String(), l.ID.String()}
}

// StaffReservation is a reservation as those see it who work with it.
type StaffReservation struct {
	Listed

	CustomerShown bool // the viewer may know of the customer what those see who work with them
	AccountShown  bool // and the customer's address and whole name
}

// Period tells showtimes that are over from the others.
type Period string

// The periods.
const (
	PeriodUpcoming Period = "UPCOMING" // not over
	PeriodPast     Period = "PAST"     // over
)

// Filter restricts a list of reservations; every given condition must hold.
type Filter struct {
	Statuses   []Status // empty: any
	Period     Period   // "": any
	MovieID    *uuid.UUID
	TheaterID  *uuid.UUID
	ScreenID   *uuid.UUID
	ShowtimeID *uuid.UUID
	// Of showtimes that start from the one moment until before the other.
	From, To *time.Time
	// Made from the one moment until before the other.
	ReservedFrom, ReservedTo *time.Time
	Code                     *string // see Reservation.Code
}

// mostStatuses is how many states there are.
const mostStatuses = 5

// Validate returns BAD_USER_INPUT for a filter that nothing can match.
func (f Filter) Validate() error {
	var bad apperr.Fields
	if len(f.Statuses) > mostStatuses {
		bad.Add("filter.statuses", "Name each state once at most.")
	}
	for _, period := range []struct {
		fromPath, toPath string
		from, to         *time.Time
	}{{"filter.from", "filter.to", f.From, f.To}, {"filter.reservedFrom", "filter.reservedTo", f.ReservedFrom, f.ReservedTo}} {
		checkYear(&bad, period.fromPath, period.from)
		checkYear(&bad, period.toPath, period.to)
		if period.from != nil && period.to != nil && !period.from.Before(*period.to) {
			bad.Add(period.toPath, "The period must end after it begins.")
		}
	}
	if f.Code != nil {
		if _, ok := parseCode(*f.Code); !ok {
			bad.Add("filter.code", "A code has ten letters and digits: M82KR-9HCF3.")
		}
	}
	return bad.Err()
}

func checkYear(bad *apperr.Fields, path string, moment *time.Time) {
	if moment != nil && (moment.UTC().Year() < 1 || moment.UTC().Year() > 9999) {
		bad.Add(path, "The year must be between 1 and 9999.")
	}
}

// Reservations returns a page of the viewer's reservations: BAD_USER_INPUT. One statement when the layouts are in memory.
func (s *Service) Reservations(ctx context.Context, viewer auth.Viewer, filter Filter, by Sort, request page.Request) (page.Page[Listed], error) {
	if err := filter.Validate(); err != nil {
		return page.Page[Listed]{}, err
	}
	var q listing
	q.where(`r.viewer_id = `, viewer.UserID)
	return s.list(ctx, &q, filter, by, request)
}

// ReservationsAt returns a page of the reservations of a theater to those who work there: FORBIDDEN, BAD_USER_INPUT.
// Tickets are withheld, since they admit whoever has read them, unless filter names a reservation by its code, as its customer
// does at the counter. To those who look after money it returns them as well, always without customers and tickets.
// Without a time, a showtime or a code it begins with the showtimes of the last 24 hours. One statement when the layouts
// are in memory.
func (s *Service) ReservationsAt(ctx context.Context, viewer auth.Viewer, theaterID uuid.UUID, filter Filter, by Sort, request page.Request) (page.Page[StaffReservation], error) {
	works := viewer.Has(auth.RoleTheaterStaff, theaterID)
	if !works && !viewer.Has(auth.RoleFinance, auth.Platform) {
		return page.Page[StaffReservation]{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	filter.TheaterID = &theaterID
	var q listing
	if err := q.bound(filter, by, s.clock.Now()); err != nil {
		return page.Page[StaffReservation]{}, err
	}
	p, err := s.list(ctx, &q, filter, by, request)
	return staffPage(p, func(r *StaffReservation) { r.CustomerShown, r.TicketsWithheld = works, !works || filter.Code == nil }), err
}

// AllReservations returns a page of the reservations of all theaters, or of the one customer with an address, to those who
// help customers: FORBIDDEN, BAD_USER_INPUT. Of a customer it lists all that match filter; else it begins as ReservationsAt
// does, and is for those who look after money, too, from whom customers are withheld. Tickets are withheld: they admit whoever has read them. At most two statements when the layouts are in memory.
func (s *Service) AllReservations(ctx context.Context, viewer auth.Viewer, email *string, filter Filter, by Sort, request page.Request) (page.Page[StaffReservation], error) {
	var none page.Page[StaffReservation]
	helps := viewer.Has(auth.RoleSupport, auth.Platform)
	if !helps && (email != nil || !viewer.Has(auth.RoleFinance, auth.Platform)) {
		return none, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	var q listing
	if email == nil {
		if err := q.bound(filter, by, s.clock.Now()); err != nil {
			return none, err
		}
	} else {
		var bad apperr.Fields
		if bad.Text("filter.customerEmail", email, longestAddress); bad.Err() != nil {
			return none, bad.Err()
		}
		if err := filter.Validate(); err != nil {
			return none, err
		}
		customer, err := s.account(ctx, *email)
		if err != nil {
			return none, err
		}
		q.where(`r.viewer_id = `, customer)
	}
	p, err := s.list(ctx, &q, filter, by, request)
	return staffPage(p, func(r *StaffReservation) { r.CustomerShown, r.AccountShown, r.TicketsWithheld = helps, helps, true }), err
}

func staffPage(p page.Page[Listed], show func(*StaffReservation)) page.Page[StaffReservation] {
	items := make([]StaffReservation, len(p.Items))
	for i, listed := range p.Items {
		items[i] = StaffReservation{Listed: listed}
		show(&items[i])
	}
	return page.Page[StaffReservation]{Items: items, HasNext: p.HasNext, HasPrevious: p.HasPrevious}
}

// longestAddress bounds an e-mail address.
const longestAddress = 254

// past is how long ago a showtime may have started for which somebody reserves seats, or looks for their reservation.
const past = 24 * time.Hour

// listing is the statement of a list under construction.
type listing struct {
	source     string // "": reservations with their showtimes, in whichever order PostgreSQL likes
	conditions strings.Builder
	args       []any
}

func (q *listing) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

// where adds a condition that ends with a value.
func (q *listing) where(condition string, value any) {
	q.conditions.WriteString(` AND ` + condition + q.arg(value))
}

// bound keeps a list that is not one customer's from reading what nobody has asked for: by showtime it is read from their
// index, and by reservation only within one.
func (q *listing) bound(filter Filter, by Sort, now time.Time) error {
	if err := filter.Validate(); err != nil {
		return err
	}
	switch {
	case filter.ShowtimeID != nil:
	case by == SortNewest:
		return apperr.Invalid("sort", "The reservations of several showtimes are listed by showtime.")
	case filter.Code != nil:
		c, _ := parseCode(*filter.Code)
		made := c.made(now)
		first, last := c.ids(made)
		// One look into the primary key for each showtime: ids alone would be looked for among those of all showtimes.
		q.source = `showtimes s CROSS JOIN LATERAL (SELECT showtime_id, id FROM reservations
			WHERE showtime_id = s.id AND id BETWEEN ` + q.arg(first) + ` AND ` + q.arg(last) + ` OFFSET 0) found
			JOIN reservations r ON r.showtime_id = found.showtime_id AND r.id = found.id`
		q.where(`s.starts_at >= `, made.Add(-past))
	case filter.From != nil:
	default:
		q.conditions.WriteString(` AND s.starts_at >= now() - ` + q.arg(past.Seconds()) + ` * interval '1 second'`)
	}
	return nil
}

func (q *listing) restrict(filter Filter, now time.Time) {
	if len(filter.Statuses) > 0 {
		words := make([]string, len(filter.Statuses))
		for i, status := range filter.Statuses {
			words[i] = string(status)
		}
		q.conditions.WriteString(` AND ` + effectiveStatus + ` = ANY (` + q.arg(textArray(words)) + `::text[])`)
	}
	switch filter.Period {
	case PeriodUpcoming:
		q.conditions.WriteString(` AND s.ends_at > now()`)
	case PeriodPast:
		q.conditions.WriteString(` AND s.ends_at <= now()`)
	}
	for _, is := range []struct {
		condition string
		id        *uuid.UUID
	}{{`s.movie_id = `, filter.MovieID}, {`s.theater_id = `, filter.TheaterID}, {`s.screen_id = `, filter.ScreenID}, {`s.id = `, filter.ShowtimeID}} {
		if is.id != nil {
			q.where(is.condition, *is.id)
		}
	}
	for _, is := range []struct {
		condition string
		moment    *time.Time
	}{{`s.starts_at >= `, filter.From}, {`s.starts_at < `, filter.To}, {`r.created_at >= `, filter.ReservedFrom}, {`r.created_at < `, filter.ReservedTo}} {
		if is.moment != nil {
			q.where(is.condition, *is.moment)
		}
	}
	if filter.Code != nil {
		c, _ := parseCode(*filter.Code)
		first, last := c.ids(c.made(now))
		q.where(`r.id >= `, first)
		q.where(`r.id <= `, last)
	}
}

// page adds the keys between which the page lies, and returns the order. The start of the showtime stands alone beside the
// whole key as well, since an index of one table answers no comparison of two.
func (q *listing) page(by Sort, request page.Request) (order string) {
	columns, types := []string{"s.starts_at", "s.id", "r.id"}, []string{"timestamptz", "uuid", "uuid"}
	if by == SortNewest {
		columns, types = []string{"r.id"}, []string{"uuid"}
	}
	after, before := ">", "<"
	if by != SortSoonest {
		after, before = before, after
	}
	for _, end := range []struct {
		compare string
		key     []string
	}{{after, request.After}, {before, request.Before}} {
		if end.key == nil {
			continue
		}
		values := make([]string, len(columns))
		for i := range columns {
			values[i] = q.arg(end.key[i]) + "::" + types[i]
		}
		fmt.Fprintf(&q.conditions, ` AND %s %s= %s AND (%s) %s (%s)`,
			columns[0], end.compare, values[0], strings.Join(columns, ", "), end.compare, strings.Join(values, ", "))
	}
	direction := ""
	if (by != SortSoonest) != request.Backward {
		direction = " DESC"
	}
	return strings.Join(columns, direction+", ") + direction
}

// list reads a page of those that are in q already and match filter.
func (s *Service) list(ctx context.Context, q *listing, filter Filter, by Sort, request page.Request) (page.Page[Listed], error) {
	q.restrict(filter, s.clock.Now())
	order := q.page(by, request)
	source := cmp.Or(q.source, `reservations r JOIN showtimes s ON s.id = r.showtime_id`)
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+columns+`, s.starts_at FROM `+source+`
		WHERE true`+q.conditions.String()+` ORDER BY `+order+` LIMIT `+q.arg(request.Limit+1), q.args...)
	if err != nil {
		return page.Page[Listed]{}, fmt.Errorf("reading reservations: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (l Listed, err error) {
		l.Reservation, _, err = scan(trailing{rows, []any{&l.StartsAt}})
		return l, err
	})
	if err != nil {
		return page.Page[Listed]{}, err
	}
	reservations := make([]Reservation, len(found))
	for i := range found {
		reservations[i] = found[i].Reservation
	}
	if err := s.complete(ctx, reservations); err != nil {
		return page.Page[Listed]{}, err
	}
	for i := range found {
		found[i].Reservation = reservations[i]
	}
	return page.Cut(request, found), nil
}

// trailing scans columns that follow those of a reservation.
type trailing struct {
	rows *sql.Rows
	into []any
}

func (t trailing) Scan(into ...any) error { return t.rows.Scan(append(into, t.into...)...) }
