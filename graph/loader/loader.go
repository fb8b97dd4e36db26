// Package loader batches the reads that resolvers make one by one: fields of the same kind anywhere in one operation,
// or in one event of a subscription, cost one statement together.
//
// A set of loaders lives for one query, one command of a mutation or one event, so that its cache can never show one
// viewer what another asked for, nor what a command before has changed. It decides nothing: who may see a thing was decided where the key came from.
package loader

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/graph-gophers/dataloader/v7"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/catalog"
	"marquee/internal/identity"
	"marquee/internal/page"
	"marquee/internal/payment"
	"marquee/internal/promotion"
	"marquee/internal/review"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// Services are where the loaders read.
type Services struct {
	Identity  *identity.Service
	Catalog   *catalog.Service
	Theater   *theater.Service
	Showtime  *showtime.Service
	Booking   *booking.Service
	Payment   *payment.Service
	Promotion *promotion.Service
	Review    *review.Service
}

// DefaultWait is how long the first key of a batch waits for others.
const DefaultWait = time.Millisecond

// Loaders is the set of one operation or event.
type Loaders struct {
	Movie         *One[uuid.UUID, catalog.Movie]
	MovieGenres   *Many[uuid.UUID, catalog.Genre]
	Genre         *One[uuid.UUID, catalog.Genre]
	Seat          *One[uuid.UUID, theater.Seat]
	Theater       *One[uuid.UUID, theater.Theater]
	Screen        *One[uuid.UUID, theater.Screen]
	Screens       *Many[uuid.UUID, theater.Screen]
	SeatRules     *One[uuid.UUID, showtime.SeatRules]
	Layout        *One[uuid.UUID, *theater.Layout]
	Showtime      *One[uuid.UUID, showtime.Showtime]
	Prices        *Many[uuid.UUID, showtime.Price]
	PayLater      *Maybe[uuid.UUID, booking.PayLaterPolicy]     // by theater
	RefundPolicy  *One[uuid.UUID, booking.RefundPolicy]         // by theater
	Contract      *One[payment.Reference, booking.RefundPolicy] // by reservation
	Swap          *Maybe[payment.Reference, booking.Swap]       // by the reservation that comes
	PriceRules    *Many[uuid.UUID, showtime.PriceRule]          // by theater
	Promotions    *Many[uuid.UUID, promotion.Promotion]         // by theater
	Staff         *Many[uuid.UUID, identity.StaffMember]        // by theater
	Payment       *Maybe[payment.Reference, payment.Payment]
	Recovery      *Maybe[payment.Reference, booking.Recovery] // by payment
	Tickets       *Many[payment.Reference, booking.Ticket]
	Customer      *Maybe[uuid.UUID, identity.User]
	ReviewRating  *Maybe[uuid.UUID, review.Rating] // by movie
	ReviewReports *Many[uuid.UUID, review.ReportCount]
	ReviewEdits   *Many[uuid.UUID, review.Edit]
	AuthorName    *Maybe[uuid.UUID, string]
	services      Services
	wait          time.Duration
	mu            sync.Mutex
	showtimePages map[showtimeList]*batch[uuid.UUID, page.Page[showtime.Showtime]]
}

// New returns a fresh set.
func New(s Services, wait time.Duration) *Loaders {
	return &Loaders{
		Movie:         one("movie", s.Catalog.MoviesByID, wait),
		MovieGenres:   many(s.Catalog.GenresByMovie, wait),
		Genre:         one("genre", s.Catalog.GenresByID, wait),
		Seat:          one("seat", s.Theater.SeatsByID, wait),
		Theater:       one("theater", s.Theater.TheatersByID, wait),
		Screen:        one("screen", s.Theater.ScreensByID, wait),
		Screens:       many(s.Theater.ScreensByTheater, wait),
		SeatRules:     one("theater", s.Showtime.SeatRulesByTheater, wait),
		Layout:        one("seat layout", s.Theater.LayoutsByID, wait),
		Showtime:      one("showtime", s.Showtime.ShowtimesByID, wait),
		Prices:        many(s.Showtime.PricesByShowtime, wait),
		PriceRules:    many(s.Showtime.PriceRulesByTheater, wait),
		Promotions:    many(s.Promotion.PromotionsByTheater, wait),
		PayLater:      maybe(s.Booking.PayLaterPolicies, wait),
		RefundPolicy:  one("theater", s.Booking.RefundPolicies, wait),
		Contract:      one("reservation", s.Booking.RefundPoliciesOf, wait),
		Swap:          maybe(s.Booking.SwapsOf, wait),
		Staff:         many(s.Identity.StaffByTheater, wait),
		Payment:       maybe(s.Payment.PaymentsByReservation, wait),
		Recovery:      maybe(s.Booking.RecoveriesByPayment, wait),
		Tickets:       many(s.Booking.TicketsByReservation, wait),
		Customer:      maybe(s.Identity.UsersByID, wait),
		ReviewRating:  maybe(s.Review.RatingsByMovie, wait),
		ReviewReports: many(s.Review.ReportsByReview, wait),
		ReviewEdits:   many(s.Review.EditsByReview, wait),
		AuthorName:    maybe(s.Review.AuthorNames, wait),
		services:      s,
		wait:          wait,
		showtimePages: map[showtimeList]*batch[uuid.UUID, page.Page[showtime.Showtime]]{},
	}
}

// showtimeList is what tells lists of showtimes under different parents apart: the arguments of the field, by value.
type showtimeList struct {
	parent showtime.Parent
	text   string
}

// ShowtimesOf returns a page of the showtimes of one parent; pages with the same arguments are read together.
func (l *Loaders) ShowtimesOf(ctx context.Context, parent showtime.Parent, id uuid.UUID, filter showtime.Filter, request page.Request) (page.Page[showtime.Showtime], error) {
	list := showtimeList{parent: parent, text: fmt.Sprintf("%v|%v|%v|%v|%v|%+v",
		valueOf(filter.MovieID), valueOf(filter.TheaterID), valueOf(filter.City), valueOf(filter.From), valueOf(filter.To), request)}
	l.mu.Lock()
	pages := l.showtimePages[list]
	if pages == nil {
		pages = &batch[uuid.UUID, page.Page[showtime.Showtime]]{
			wait: l.wait,
			fetch: func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]page.Page[showtime.Showtime], error) {
				return l.services.Showtime.ShowtimesOf(ctx, parent, ids, filter, request)
			},
		}
		l.showtimePages[list] = pages
	}
	l.mu.Unlock()
	return pages.load(ctx, id)
}

// valueOf prints what a pointer points to, quoted so that no value can look like two.
func valueOf[T any](p *T) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%q", fmt.Sprint(*p))
}

type contextKey struct{}

// With returns a context that carries l.
func With(ctx context.Context, l *Loaders) context.Context {
	return context.WithValue(ctx, contextKey{}, l)
}

// From returns the loaders of the operation or event. It panics outside one, which is a defect of the wiring.
func From(ctx context.Context) *Loaders {
	l, ok := ctx.Value(contextKey{}).(*Loaders)
	if !ok {
		panic("loader: no loaders in this context")
	}
	return l
}

// batch is a loader that is built when it is first asked, since most operations ask few of the set.
type batch[K comparable, V any] struct {
	fetch   func(context.Context, []K) (map[K]V, error)
	missing error // of a key that fetch does not return; nil gives the zero value
	wait    time.Duration
	once    sync.Once
	inner   *dataloader.Loader[K, V]
}

func (b *batch[K, V]) load(ctx context.Context, key K) (V, error) {
	b.once.Do(func() {
		b.inner = dataloader.NewBatchedLoader(b.read, dataloader.WithWait[K, V](b.wait), dataloader.WithBatchCapacity[K, V](batchCapacity))
	})
	return b.inner.Load(ctx, key)()
}

func (b *batch[K, V]) read(ctx context.Context, keys []K) []*dataloader.Result[V] {
	found, err := b.fetch(ctx, keys)
	results := make([]*dataloader.Result[V], len(keys))
	for i, key := range keys {
		v, ok := found[key]
		result := &dataloader.Result[V]{Data: v, Error: err}
		if err == nil && !ok {
			result.Error = b.missing
		}
		results[i] = result
	}
	return results
}

// batchCapacity bounds one statement's array.
const batchCapacity = 1000

// One loads things that must exist: a missing one is NOT_FOUND.
type One[K comparable, V any] struct{ batch batch[K, V] }

// Load returns the thing with the key.
func (o *One[K, V]) Load(ctx context.Context, key K) (*V, error) {
	v, err := o.batch.load(ctx, key)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

func one[K comparable, V any](thing string, fetch func(context.Context, []K) (map[K]V, error), wait time.Duration) *One[K, V] {
	return &One[K, V]{batch[K, V]{fetch: fetch, missing: apperr.Missing(thing), wait: wait}}
}

// Many loads lists; one that nobody knows is empty.
type Many[K comparable, V any] struct{ batch batch[K, []V] }

// Load returns the list of the key.
func (m *Many[K, V]) Load(ctx context.Context, key K) ([]V, error) { return m.batch.load(ctx, key) }

func many[K comparable, V any](fetch func(context.Context, []K) (map[K][]V, error), wait time.Duration) *Many[K, V] {
	return &Many[K, V]{batch[K, []V]{fetch: fetch, wait: wait}}
}

// Maybe loads things that may be missing.
type Maybe[K comparable, V any] struct{ batch batch[K, *V] }

// Load returns the thing with the key, or nil.
func (m *Maybe[K, V]) Load(ctx context.Context, key K) (*V, error) { return m.batch.load(ctx, key) }

func maybe[K comparable, V any](fetch func(context.Context, []K) (map[K]V, error), wait time.Duration) *Maybe[K, V] {
	pointers := func(ctx context.Context, keys []K) (map[K]*V, error) {
		found, err := fetch(ctx, keys)
		pointers := make(map[K]*V, len(found))
		for key, v := range found {
			pointers[key] = &v
		}
		return pointers, err
	}
	return &Maybe[K, V]{batch[K, *V]{fetch: pointers, wait: wait}}
}
