package showtime

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // theaters keep local time on machines without a zone database

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"marquee/internal/apperr"
	"marquee/internal/clock"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
)

const (
	cachedOffers = 10_000
	// offerAge bounds how long a node may quote from memory. A stale quote is refused by the claim and read again, so
	// this is about memory, not about correctness.
	offerAge = time.Minute
)

// Service answers questions about showtimes. It is safe for concurrent use.
type Service struct {
	db     *postgres.DB
	clock  clock.Clock
	offers *lru.Cache[uuid.UUID, cachedOffer]
	reads  singleflight.Group // of offers, by showtime
	zones  sync.Map           // IANA name -> *time.Location
}

// cachedOffer is an offer with the moment from which it must be read again.
type cachedOffer struct {
	offer *Offer
	until time.Time
}

// NewService returns a Service that reads from db.
func NewService(db *postgres.DB, c clock.Clock) *Service {
	offers, err := lru.New[uuid.UUID, cachedOffer](cachedOffers)
	if err != nil {
		panic("showtime: the cache size is positive: " + err.Error())
	}
	return &Service{db: db, clock: c, offers: offers}
}

const columns = `s.id, s.movie_id, s.theater_id, s.screen_id, s.layout_id, s.starts_at, s.ends_at, t.time_zone, s.format,
	s.language, s.subtitles, s.status, s.version, sale.currency, sale.max_seats, ` + saleColumns

// saleColumns are those of Sale, in the order of its fields.
const saleColumns = `sale.opens_at, sale.closes_at, sale.status <> 'OPEN', s.status = 'CANCELLED'`

const source = ` FROM showtimes s JOIN theaters t ON t.id = s.theater_id JOIN showtime_sales sale ON sale.showtime_id = s.id`

// Showtimes returns a page of the showtimes that match filter, soonest first. One statement.
func (s *Service) Showtimes(ctx context.Context, filter Filter, request page.Request) (page.Page[Showtime], error) {
	if err := filter.Validate(); err != nil {
		return page.Page[Showtime]{}, err
	}
	q := query{}
	q.text.WriteString(`SELECT ` + columns + source + ` WHERE true`)
	s.restrict(&q, filter)
	q.page(request)
	rows, err := s.db.SQL().QueryContext(ctx, q.text.String(), q.args...)
	if err != nil {
		return page.Page[Showtime]{}, fmt.Errorf("reading showtimes: %w", err)
	}
	showtimes, err := postgres.Collect(rows, func(rows *sql.Rows) (Showtime, error) { return s.scan(rows) })
	if err != nil {
		return page.Page[Showtime]{}, err
	}
	return page.Cut(request, showtimes), nil
}

// Parent is the column that a list of showtimes hangs from.
type Parent string

// The parents of showtimes.
const (
	ParentMovie   Parent = "movie_id"
	ParentTheater Parent = "theater_id"
)

// ShowtimesOf returns for each parent a page of its showtimes that match filter, soonest first. One statement, however
// many parents.
func (s *Service) ShowtimesOf(ctx context.Context, parent Parent, ids []uuid.UUID, filter Filter, request page.Request) (map[uuid.UUID]page.Page[Showtime], error) {
	if err := filter.Validate(); err != nil {
		return nil, err
	}
	q := query{}
	q.text.WriteString(`SELECT parent.id, child.* FROM unnest(` + q.arg(postgres.UUIDs(ids)) + `::uuid[]) AS parent (id)
		CROSS JOIN LATERAL (SELECT ` + columns + source + ` WHERE s.` + string(parent) + ` = parent.id`)
	s.restrict(&q, filter)
	q.page(request)
	q.text.WriteString(`) AS child`)
	rows, err := s.db.SQL().QueryContext(ctx, q.text.String(), q.args...)
	if err != nil {
		return nil, fmt.Errorf("reading showtimes of a %s: %w", parent, err)
	}
	type pair struct {
		parent uuid.UUID
		child  Showtime
	}
	pairs, err := postgres.Collect(rows, func(rows *sql.Rows) (p pair, err error) {
		p.child, err = s.scan(rows, &p.parent)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	children := make(map[uuid.UUID][]Showtime, len(ids))
	for _, p := range pairs {
		children[p.parent] = append(children[p.parent], p.child)
	}
	pages := make(map[uuid.UUID]page.Page[Showtime], len(ids))
	for _, id := range ids {
		pages[id] = page.Cut(request, children[id])
	}
	return pages, nil
}

// ShowtimesByID returns the showtimes that exist among ids. One statement.
func (s *Service) ShowtimesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Showtime, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+columns+source+` WHERE s.id = ANY ($1::uuid[])`, postgres.UUIDs(ids))
	if err != nil {
		return nil, fmt.Errorf("reading showtimes by id: %w", err)
	}
	showtimes, err := postgres.Collect(rows, func(rows *sql.Rows) (Showtime, error) { return s.scan(rows) })
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]Showtime, len(showtimes))
	for _, one := range showtimes {
		found[one.ID] = one
	}
	return found, nil
}

// PricesByShowtime returns the prices of each showtime, dearest first. One statement.
func (s *Service) PricesByShowtime(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]Price, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT p.showtime_id, p.category, p.amount_minor, sale.currency
		FROM price_tiers p JOIN showtime_sales sale ON sale.showtime_id = p.showtime_id
		WHERE p.showtime_id = ANY ($1::uuid[]) ORDER BY p.amount_minor DESC, p.category`, postgres.UUIDs(ids))
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	type pair struct {
		showtime uuid.UUID
		price    Price
	}
	pairs, err := postgres.Collect(rows, func(rows *sql.Rows) (p pair, err error) {
		err = rows.Scan(&p.showtime, &p.price.Category, &p.price.AmountMinor, &p.price.Currency)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	byShowtime := make(map[uuid.UUID][]Price, len(ids))
	for _, p := range pairs {
		byShowtime[p.showtime] = append(byShowtime[p.showtime], p.price)
	}
	return byShowtime, nil
}

// Offer returns what is needed to quote seats of a showtime: NOT_FOUND when there is none. It may come from memory and
// be up to a minute old; the price version tells. Those who ask for it together share one statement.
func (s *Service) Offer(ctx context.Context, id uuid.UUID) (*Offer, error) {
	if offer, ok := s.remembered(id); ok {
		return offer, nil
	}
	read, err, _ := s.reads.Do(string(id[:]), func() (any, error) {
		// Whoever asked first may leave; the others still wait for the answer.
		return s.FreshOffer(context.WithoutCancel(ctx), id)
	})
	if err != nil {
		return nil, err
	}
	return read.(*Offer), nil
}

// Offers returns the offers of the showtimes that exist among ids, as Offer does. At most one statement.
func (s *Service) Offers(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Offer, error) {
	offers := make(map[uuid.UUID]*Offer, len(ids))
	var unknown []uuid.UUID
	for _, id := range ids {
		if offer, ok := s.remembered(id); ok {
			offers[id] = offer
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return offers, nil
	}
	read, err := s.readOffers(ctx, unknown)
	maps.Copy(offers, read)
	return offers, err
}

// FreshOffer is Offer past the memory.
func (s *Service) FreshOffer(ctx context.Context, id uuid.UUID) (*Offer, error) {
	offers, err := s.readOffers(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if offers[id] == nil {
		return nil, apperr.Missing("showtime")
	}
	return offers[id], nil
}

func (s *Service) remembered(id uuid.UUID) (*Offer, bool) {
	cached, ok := s.offers.Get(id)
	return cached.offer, ok && s.clock.Now().Before(cached.until)
}

// readOffers reads prices, rules and version in one statement, so that they are of one moment.
func (s *Service) readOffers(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Offer, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT s.id, s.theater_id, s.layout_id, s.format, s.starts_at, t.time_zone, sale.currency, sale.price_version, sale.max_seats,
			`+saleColumns+`, `+seatRuleColumns+`,
			(SELECT json_object_agg(p.category, p.amount_minor) FROM price_tiers p WHERE p.showtime_id = s.id),
			(SELECT json_agg(json_build_object('kind', r.kind, 'label', r.label, 'ticketType', r.ticket_type, 'format', r.format,
					'weekdays', r.weekdays, 'from', r.from_minute, 'to', r.to_minute, 'basisPoints', r.basis_points, 'amountMinor', r.amount_minor,
					'perReservation', r.per_reservation, 'included', r.included))
				FROM price_rules r WHERE r.theater_id = s.theater_id AND r.active)
		FROM showtimes s JOIN theaters t ON t.id = s.theater_id JOIN showtime_sales sale ON sale.showtime_id = s.id
		LEFT JOIN seat_rules rule ON rule.theater_id = s.theater_id
		WHERE s.id = ANY($1)`, postgres.UUIDs(ids))
	if err != nil {
		return nil, fmt.Errorf("reading offers: %w", err)
	}
	read, err := postgres.Collect(rows, s.scanOffer)
	if err != nil {
		return nil, err
	}
	offers := make(map[uuid.UUID]*Offer, len(read))
	until := s.clock.Now().Add(offerAge)
	for _, offer := range read {
		offers[offer.ShowtimeID] = offer
		s.offers.Add(offer.ShowtimeID, cachedOffer{offer, until})
	}
	return offers, nil
}

func (s *Service) scanOffer(rows *sql.Rows) (*Offer, error) {
	var (
		o            Offer
		format, zone string
		seatRules    storedRules
		prices, told []byte // JSON; nil: none
	)
	into := []any{&o.ShowtimeID, &o.TheaterID, &o.LayoutID, &format, &o.StartsAt, &zone, &o.Currency, &o.PriceVersion, &o.MaxSeats}
	if err := rows.Scan(slices.Concat(into, saleFields(&o.Sale), seatRules.fields(), []any{&prices, &told})...); err != nil {
		return nil, err
	}
	o.Rules = seatRules.orDefault()
	if prices != nil {
		if err := json.Unmarshal(prices, &o.Prices); err != nil {
			return nil, fmt.Errorf("reading prices: %w", err)
		}
	}
	var rules []pricing.Rule
	if told != nil {
		if err := json.Unmarshal(told, &rules); err != nil {
			return nil, fmt.Errorf("reading price rules: %w", err)
		}
	}
	at, err := s.zone(zone)
	if err != nil {
		return nil, err
	}
	return &o, o.priced(rules, format, o.StartsAt.In(at))
}

func (s *Service) restrict(q *query, f Filter) {
	from := s.clock.Now()
	if f.From != nil {
		from = *f.From
	}
	q.text.WriteString(` AND s.starts_at >= ` + q.arg(from))
	if f.To != nil {
		q.text.WriteString(` AND s.starts_at < ` + q.arg(*f.To))
	}
	if f.MovieID != nil {
		q.text.WriteString(` AND s.movie_id = ` + q.arg(*f.MovieID))
	}
	if f.TheaterID != nil {
		q.text.WriteString(` AND s.theater_id = ` + q.arg(*f.TheaterID))
	}
	if f.City != nil {
		q.text.WriteString(` AND lower(t.city) = lower(` + q.arg(*f.City) + `)`)
	}
}

// saleFields are where saleColumns are read into.
func saleFields(s *Sale) []any {
	return []any{&s.SalesOpenAt, &s.SalesCloseAt, &s.Stopped, &s.CalledOff}
}

// Closed returns why seats of a sale cannot be had at this moment; nil while they can.
func (s *Service) Closed(sale Sale) *ClosedReason {
	if why := sale.Closed(s.clock.Now()); why != "" {
		return &why
	}
	return nil
}

// query is an SQL text under construction with its arguments.
type query struct {
	text strings.Builder
	args []any
}

func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

func (q *query) page(r page.Request) {
	if r.After != nil {
		q.text.WriteString(` AND (s.starts_at, s.id) > (` + q.arg(r.After[0]) + `::timestamptz, ` + q.arg(r.After[1]) + `::uuid)`)
	}
	if r.Before != nil {
		q.text.WriteString(` AND (s.starts_at, s.id) < (` + q.arg(r.Before[0]) + `::timestamptz, ` + q.arg(r.Before[1]) + `::uuid)`)
	}
	direction := ``
	if r.Backward {
		direction = ` DESC`
	}
	q.text.WriteString(` ORDER BY s.starts_at` + direction + `, s.id` + direction + ` LIMIT ` + q.arg(r.Limit+1))
}

// scan reads the columns of a showtime, after those of leading.
func (s *Service) scan(rows *sql.Rows, leading ...any) (Showtime, error) {
	var one Showtime
	var zone string
	into := append(leading, &one.ID, &one.MovieID, &one.TheaterID, &one.ScreenID, &one.LayoutID, &one.StartsAt, &one.EndsAt, &zone,
		&one.Format, &one.Language, &one.Subtitles, &one.Status, &one.Version, &one.Currency, &one.MaxSeats)
	into = append(into, saleFields(&one.Sale)...)
	if err := rows.Scan(into...); err != nil {
		return Showtime{}, err
	}
	var err error
	one.Zone, err = s.zone(zone)
	return one, err
}

func (s *Service) zone(name string) (*time.Location, error) {
	if zone, ok := s.zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("a theater's time zone: %w", err)
	}
	s.zones.Store(name, zone)
	return zone, nil
}
