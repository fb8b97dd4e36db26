// Package graph is the GraphQL face of Marquee: it decodes arguments, calls one domain service, and encodes the result.
//
// It holds no business rule, no SQL and no transaction. Object types bind to the structs of the domains; inputs,
// payloads and unions are generated into model; everything in generated is output.
package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"marquee/graph/loader"
	"marquee/internal/audit"
	"marquee/internal/booking"
	"marquee/internal/catalog"
	"marquee/internal/identity"
	"marquee/internal/jobs"
	"marquee/internal/page"
	"marquee/internal/payment"
	"marquee/internal/privacy"
	"marquee/internal/promotion"
	"marquee/internal/reconciliation"
	"marquee/internal/review"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/webhook"
)

// Watcher is the live feed of seat maps.
type Watcher interface {
	Watch(ctx context.Context, showtimeID uuid.UUID) (<-chan seatfeed.Event, error)
}

// Services are what the resolvers call.
type Services struct {
	Identity  *identity.Service
	Catalog   *catalog.Service
	Theater   *theater.Service
	Showtime  *showtime.Service
	Seating   *seating.Service
	Booking   *booking.Service
	Payment   *payment.Service
	Promotion *promotion.Service
	Privacy   *privacy.Service
	Review    *review.Service
	Feed      Watcher
	Payments  *payment.Watch
	Audit     *audit.Log
	Webhooks  *webhook.Service
	Jobs      *jobs.Queue

	Reconciliation *reconciliation.Service
}

// Resolver is the root of all resolvers.
type Resolver struct {
	Services Services
	Cursors  *page.Signer
	// LoaderWait is how long the first key of a batch waits for others; 0 means loader.DefaultWait.
	LoaderWait time.Duration
}

// loaders returns a fresh set for one operation or event.
func (r *Resolver) loaders() *loader.Loaders {
	wait := r.LoaderWait
	if wait == 0 {
		wait = loader.DefaultWait
	}
	s := r.Services
	return loader.New(loader.Services{
		Identity: s.Identity, Catalog: s.Catalog, Theater: s.Theater, Showtime: s.Showtime, Booking: s.Booking, Payment: s.Payment,
		Promotion: s.Promotion, Review: s.Review,
	}, wait)
}
