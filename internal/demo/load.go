package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/typeid"
)

const (
	// Days is how far ahead the demo world has showtimes.
	Days = 14
	// seed makes the plan of every installation the same.
	seed = 1
	// maxSeats is how many seats of a showtime one customer may have.
	maxSeats = 10
	// batch bounds the rows of one INSERT; PostgreSQL takes 65,535 parameters.
	batch = 1000
)

// Summary is what a load brought into the database.
type Summary struct {
	Films     Report
	Theaters  int
	Screens   int
	Seats     int
	Showtimes int
}

// wiped are the tables of everything that hangs from the demo world, in no particular order: they are emptied together. The
// ledger is none of them: it is only ever added to.
const wiped = `tickets, promotion_redemptions, promotions, till_entries, swaps, handovers, store_credit_charges, store_credit_entries, store_credits, payment_recoveries, refunds, payment_attempts, payments, idempotency_keys, seat_claims, reservations,
	showtime_sales, price_tiers, showtimes, seats, seat_layouts, screens, movie_genres, movies, genres,
	reviews, review_edits, review_reports, review_votes, movie_ratings, mismatches, reconciliations`

// Load empties the catalogue, the theaters and every reservation, and loads the demo world with showtimes from today
// on, in one transaction. Accounts stay.
func Load(ctx context.Context, db *postgres.DB, today time.Time) (Summary, error) {
	films, report := Films()
	world := World()
	summary := Summary{Films: report, Theaters: len(world)}
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `TRUNCATE `+wiped); err != nil {
			return fmt.Errorf("emptying the catalogue: %w", err)
		}
		// Not with the others: what was granted at a theater goes with it, what was granted on the platform stays.
		if _, err := tx.ExecContext(ctx, `DELETE FROM theaters`); err != nil {
			return fmt.Errorf("removing the theaters: %w", err)
		}
		l := loader{ctx: ctx, client: ent.OverTx(tx), places: map[string]place{}}
		if err := l.films(films); err != nil {
			return fmt.Errorf("loading films: %w", err)
		}
		if err := l.theaters(world, today); err != nil {
			return fmt.Errorf("loading theaters: %w", err)
		}
		n, err := l.showtimes(Plan(world, films, today, Days, seed))
		summary.Screens, summary.Seats, summary.Showtimes = len(l.places), l.seats, n
		return err
	})
	return summary, err
}

// TopUp adds the showtimes of the days that a demo world loaded earlier does not have yet. It does nothing, and says so
// by known, in a database that holds another world.
func TopUp(ctx context.Context, db *postgres.DB, today time.Time, log *slog.Logger) (added int, known bool, err error) {
	films, _ := Films()
	world := World()
	err = db.InTx(ctx, func(tx *sql.Tx) error {
		l := loader{ctx: ctx, client: ent.OverTx(tx), places: map[string]place{}}
		known, err = l.find(tx, world, films)
		if err != nil || !known {
			return err
		}
		occupied, err := occupiedUntil(ctx, tx)
		if err != nil {
			return err
		}
		var missing []Showing
		for _, s := range Plan(world, films, today, Days, seed) {
			if !s.StartsAt.Before(occupied[l.places[s.ScreenKey].screen]) {
				missing = append(missing, s)
			}
		}
		added, err = l.showtimes(missing)
		return err
	})
	if err == nil && added > 0 {
		log.InfoContext(ctx, "demo showtimes added", "showtimes", added)
	}
	return added, known, err
}

// occupiedUntil returns when the last showtime of each screen leaves it.
func occupiedUntil(ctx context.Context, tx *sql.Tx) (map[uuid.UUID]time.Time, error) {
	rows, err := tx.QueryContext(ctx, `SELECT screen_id, max(occupied_until) FROM showtimes GROUP BY screen_id`)
	if err != nil {
		return nil, fmt.Errorf("looking for the last showtimes: %w", err)
	}
	until := map[uuid.UUID]time.Time{}
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
		var t time.Time
		err = rows.Scan(&id, &t)
		until[id] = t
		return id, err
	})
	return until, err
}

// place is a screen of the world with its keys in the database.
type place struct {
	theater, screen, layout uuid.UUID
	seatCount               int16
	currency                string
	prices                  map[SeatCategory]int64
}

// loader writes one world through one transaction.
type loader struct {
	ctx    context.Context
	client *ent.Client
	movies []uuid.UUID // by the index of the film
	places map[string]place
	seats  int
}

func (l *loader) films(films []Film) error {
	genres := map[string]uuid.UUID{}
	l.movies = make([]uuid.UUID, len(films))
	creates := make([]*ent.MovieCreate, len(films))
	for i, f := range films {
		l.movies[i] = typeid.New()
		create := l.client.Movie.Create().SetID(l.movies[i]).SetTitle(f.Title).
			SetImdbRatingTenths(int32(f.IMDBRatingTenths)).SetImdbVotes(int32(f.IMDBVotes)).
			SetNillableCertificate(known(f.Certificate)).SetNillableDirector(known(f.Director)).SetNillableDistributor(known(f.Distributor))
		if !f.ReleaseDate.IsZero() {
			create.SetReleaseDate(f.ReleaseDate)
		}
		if f.RunTimeMinutes > 0 {
			create.SetRunTimeMinutes(int32(f.RunTimeMinutes))
		}
		for _, name := range genresOf(f) {
			id, ok := genres[name]
			if !ok {
				id = typeid.New()
				genres[name] = id
				if err := l.client.Genre.Create().SetID(id).SetName(name).Exec(l.ctx); err != nil {
					return err
				}
			}
			create.AddGenreIDs(id)
		}
		creates[i] = create
	}
	return inBatches(creates, func(some []*ent.MovieCreate) error { return l.client.Movie.CreateBulk(some...).Exec(l.ctx) })
}

// genresOf splits the source's combined genres.
func genresOf(f Film) []string {
	var names []string
	for name := range strings.SplitSeq(f.Genre, "/") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// theaters writes the theaters, whose refund policies hold from a moment before anybody can hold seats there.
func (l *loader) theaters(world []Theater, today time.Time) error {
	for _, t := range world {
		theaterID := typeid.New()
		err := l.client.Theater.Create().SetID(theaterID).SetName(t.Name).SetAddress(t.Address).SetCity(t.City).
			SetCountryCode(t.CountryCode).SetLatitude(t.Lat).SetLongitude(t.Lon).SetTimeZone(t.Zone).SetCurrency(t.Currency).
			SetOpensMinute(int32(t.Opens / time.Minute)).SetClosesMinute(int32(t.Closes / time.Minute)).Exec(l.ctx)
		if err != nil {
			return err
		}
		for _, r := range t.Rules {
			err := l.client.PriceRule.Create().SetID(typeid.New()).SetTheaterID(theaterID).SetKind(string(r.Kind)).SetLabel(r.Label).
				SetTicketType(string(r.TicketType)).SetFormat(r.Format).SetWeekdays(int16(r.Weekdays)).SetFromMinute(r.From).SetToMinute(r.To).
				SetBasisPoints(r.BasisPoints).SetAmountMinor(r.AmountMinor).SetPerReservation(r.PerReservation).SetIncluded(r.Included).Exec(l.ctx)
			if err != nil {
				return fmt.Errorf("price rule %q: %w", r.Label, err)
			}
		}
		if err := l.refundPolicy(theaterID, t.Refunds, today); err != nil {
			return fmt.Errorf("refund policy: %w", err)
		}
		for _, s := range t.Screens {
			p := place{
				theater: theaterID, screen: typeid.New(), layout: typeid.New(),
				seatCount: int16(len(s.Layout.Seats)), currency: t.Currency, prices: s.Prices,
			}
			if err := l.screen(p, s); err != nil {
				return fmt.Errorf("screen %s: %w", s.Key, err)
			}
			l.places[s.Key] = p
		}
	}
	return nil
}

func (l *loader) refundPolicy(theater uuid.UUID, p pricing.RefundPolicy, from time.Time) error {
	steps, err := json.Marshal(p.Steps)
	if err != nil {
		return err
	}
	return l.client.RefundPolicy.Create().SetTheaterID(theater).SetID(1).SetSteps(steps).SetLateWithoutRefund(p.LateWithoutRefund).
		SetKeptPerTicketMinor(p.KeptPerTicketMinor).SetKeptOnceMinor(p.KeptOnceMinor).SetFeesReturned(p.FeesReturned).
		SetSwapMinutes(p.Swap.Minutes).SetSwapFeeMinor(p.Swap.FeeMinor).SetHoldsFrom(from).Exec(l.ctx)
}

func (l *loader) screen(p place, s Screen) error {
	err := l.client.Screen.Create().SetID(p.screen).SetTheaterID(p.theater).SetName(s.Name).
		SetTrailerMinutes(int32(s.TrailerMinutes)).SetCleaningMinutes(int32(s.CleaningMinutes)).Exec(l.ctx)
	if err != nil {
		return err
	}
	err = l.client.SeatLayout.Create().SetID(p.layout).SetScreenID(p.screen).SetVersion(1).SetSeatCount(int32(p.seatCount)).Exec(l.ctx)
	if err != nil {
		return err
	}
	creates := make([]*ent.SeatCreate, len(s.Layout.Seats))
	for i, seat := range s.Layout.Seats {
		creates[i] = l.client.Seat.Create().SetID(typeid.New()).SetLayoutID(p.layout).SetSeatNo(seat.No).
			SetRowLabel(seat.Row).SetNumber(seat.Number).SetX(seat.X).SetY(seat.Y).SetCategory(string(seat.Category)).
			SetGroupNo(seat.Group).SetCompanionOf(seat.CompanionOf)
	}
	l.seats += len(creates)
	return inBatches(creates, func(some []*ent.SeatCreate) error { return l.client.Seat.CreateBulk(some...).Exec(l.ctx) })
}

// salesClose is how long after its start a showtime can still be bought.
const salesClose = 15 * time.Minute

func (l *loader) showtimes(plan []Showing) (int, error) {
	showtimes := make([]*ent.ShowtimeCreate, len(plan))
	sales := make([]*ent.ShowtimeSaleCreate, len(plan))
	var tiers []*ent.PriceTierCreate
	var claims []*ent.SeatClaimCreate
	for i, s := range plan {
		p, ok := l.places[s.ScreenKey]
		if !ok {
			return 0, fmt.Errorf("the plan names screen %q, which the world does not have", s.ScreenKey)
		}
		id := typeid.New()
		showtimes[i] = l.client.Showtime.Create().SetID(id).SetMovieID(l.movies[s.Film]).SetTheaterID(p.theater).
			SetScreenID(p.screen).SetLayoutID(p.layout).SetStartsAt(s.StartsAt).SetEndsAt(s.EndsAt).
			SetOccupiedUntil(s.OccupiedUntil).SetFormat(s.Format).SetLanguage(s.Language).SetNillableSubtitles(known(s.Subtitles))
		sales[i] = l.client.ShowtimeSale.Create().SetID(id).SetOpensAt(s.StartsAt.AddDate(0, -1, 0)).
			SetClosesAt(s.StartsAt.Add(salesClose)).SetSeatCount(p.seatCount).SetMaxSeats(maxSeats).SetCurrency(p.currency)
		for category, amount := range p.prices {
			tiers = append(tiers, l.client.PriceTier.Create().SetID(typeid.New()).SetShowtimeID(id).
				SetCategory(string(category)).SetAmountMinor(amount))
		}
		// The house keeps the two seats at the end of the last row of its large screens.
		if p.seatCount >= houseSeatsFrom {
			for _, no := range []int16{p.seatCount - 1, p.seatCount} {
				claims = append(claims, l.client.SeatClaim.Create().SetID(no).SetShowtimeID(id))
			}
		}
	}
	if err := inBatches(showtimes, func(some []*ent.ShowtimeCreate) error { return l.client.Showtime.CreateBulk(some...).Exec(l.ctx) }); err != nil {
		return 0, fmt.Errorf("loading showtimes: %w", err)
	}
	if err := inBatches(sales, func(some []*ent.ShowtimeSaleCreate) error {
		return l.client.ShowtimeSale.CreateBulk(some...).Exec(l.ctx)
	}); err != nil {
		return 0, fmt.Errorf("loading sales: %w", err)
	}
	if err := inBatches(tiers, func(some []*ent.PriceTierCreate) error { return l.client.PriceTier.CreateBulk(some...).Exec(l.ctx) }); err != nil {
		return 0, fmt.Errorf("loading prices: %w", err)
	}
	if err := inBatches(claims, func(some []*ent.SeatClaimCreate) error { return l.client.SeatClaim.CreateBulk(some...).Exec(l.ctx) }); err != nil {
		return 0, fmt.Errorf("blocking house seats: %w", err)
	}
	return len(plan), nil
}

// houseSeatsFrom is the size from which a screen keeps house seats back.
const houseSeatsFrom = 200

// find looks the world up in the database; known is false when any of it is not there.
func (l *loader) find(tx *sql.Tx, world []Theater, films []Film) (known bool, err error) {
	rows, err := tx.QueryContext(l.ctx, `SELECT t.city, t.name, s.name, t.id, s.id, y.id, y.seat_count FROM theaters t
		JOIN screens s ON s.theater_id = t.id JOIN seat_layouts y ON y.screen_id = s.id AND y.version = 1`)
	if err != nil {
		return false, fmt.Errorf("looking for screens: %w", err)
	}
	type key struct{ city, theater, screen string }
	stored := map[key]place{}
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (k key, err error) {
		var p place
		err = rows.Scan(&k.city, &k.theater, &k.screen, &p.theater, &p.screen, &p.layout, &p.seatCount)
		stored[k] = p
		return k, err
	})
	if err != nil {
		return false, err
	}
	for _, t := range world {
		for _, s := range t.Screens {
			p, ok := stored[key{t.City, t.Name, s.Name}]
			if !ok || int(p.seatCount) != len(s.Layout.Seats) {
				return false, nil
			}
			p.currency, p.prices = t.Currency, s.Prices
			l.places[s.Key] = p
		}
	}
	return l.findFilms(tx, films)
}

func (l *loader) findFilms(tx *sql.Tx, films []Film) (known bool, err error) {
	rows, err := tx.QueryContext(l.ctx, `SELECT title, coalesce(release_date, '0001-01-01'::date), id FROM movies`)
	if err != nil {
		return false, fmt.Errorf("looking for films: %w", err)
	}
	type key struct{ title, released string }
	stored := map[key]uuid.UUID{}
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (k key, err error) {
		var id uuid.UUID
		var released time.Time
		err = rows.Scan(&k.title, &released, &id)
		k.released = released.Format(time.DateOnly)
		stored[k] = id
		return k, err
	})
	if err != nil {
		return false, err
	}
	l.movies = make([]uuid.UUID, len(films))
	for i, f := range films {
		id, ok := stored[key{f.Title, f.ReleaseDate.Format(time.DateOnly)}]
		if !ok {
			return false, nil
		}
		l.movies[i] = id
	}
	return true, nil
}

func inBatches[T any](all []T, do func([]T) error) error {
	for len(all) > 0 {
		n := min(batch, len(all))
		if err := do(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// Lines tells the report in sentences' bones: what was repaired, then why records were skipped, most frequent first.
func (r *Report) Lines() []string {
	var lines []string
	for _, part := range []struct {
		verb   string
		counts map[string]int
	}{{"repaired", r.Repairs}, {"skipped", r.Skips}} {
		kinds := slices.Sorted(maps.Keys(part.counts))
		slices.SortStableFunc(kinds, func(a, b string) int { return part.counts[b] - part.counts[a] })
		for _, kind := range kinds {
			lines = append(lines, fmt.Sprintf("%s %4d  %s", part.verb, part.counts[kind], kind))
		}
	}
	return lines
}
