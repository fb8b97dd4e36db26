package booking

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"marquee/internal/clock"
	"marquee/internal/notify"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/promotion"
	"marquee/internal/seating"
	"marquee/internal/showtime"
)

// Config is what the owner of the house decides.
type Config struct {
	Hold           time.Duration // how long seats are held for payment
	HoldLimit      time.Duration // how long they can be held with all extensions; at least Hold
	GatewayTimeout time.Duration // for one call to a gateway
	AttemptLease   time.Duration // how long one process may drive an attempt; longer than its calls to the gateway together

	OfferTime    time.Duration // how long other seats are held for money that came too late
	PaymentGrace time.Duration // least time that seats are held from when they are being paid, also beyond their last deadline; 0: none

	// SeatsPerAddress is how many seats of a showtime may go to one network address within KeyAge, whoever asks; 0: any.
	SeatsPerAddress int
	// SeatsPerDevice is the same for one device, as far as clients say on which they run.
	SeatsPerDevice int
	// A viewer with so many holds of a showtime that ended unpaid within the window waits before the next; 0: nobody waits.
	IdleHolds  int
	IdleWindow time.Duration
}

// Service carries out what customers do with reservations. It is safe for concurrent use.
type Service struct {
	db        *postgres.DB
	showtimes *showtime.Service
	seating   *seating.Service
	payments  *payment.Service
	promos    *promotion.Service
	gateways  *payment.Gateways
	choices   choices
	hint      func(showtimeID uuid.UUID)
	changed   func(of payment.Reference)
	clock     clock.Clock
	source    func(address string) []byte
	account   func(ctx context.Context, email string) (uuid.UUID, error)
	tell      func(ctx context.Context, tx *sql.Tx, userID uuid.UUID, kind notify.Kind, data notify.Data) error
	log       *slog.Logger
	cfg       Config
}

// Deps is what a Service needs.
type Deps struct {
	DB         *postgres.DB
	Showtimes  *showtime.Service
	Seating    *seating.Service
	Payments   *payment.Service
	Promotions *promotion.Service
	Gateways   *payment.Gateways
	Hint       func(showtimeID uuid.UUID)  // called after each commit that changed seats; must not block
	Changed    func(of payment.Reference)  // called after each commit that changed a payment; must not block; nil: nobody follows
	Clock      clock.Clock                 // for suggestions, which may be a moment off; deadlines are the database's
	Source     func(address string) []byte // a keyed hash, by which requests from one place are counted
	// Account returns the key of the account with an e-mail address, uuid.Nil for none. For staff alone.
	Account func(ctx context.Context, email string) (uuid.UUID, error)
	// Tell queues a letter to the owner of an account, whose name is added to the data, in the caller's transaction; it does nothing
	// where there is no such account.
	Tell func(ctx context.Context, tx *sql.Tx, userID uuid.UUID, kind notify.Kind, data notify.Data) error
	Log  *slog.Logger
}

// NewService returns a Service.
func NewService(d Deps, cfg Config) *Service {
	if d.Changed == nil {
		d.Changed = func(payment.Reference) {}
	}
	return &Service{
		db: d.DB, showtimes: d.Showtimes, seating: d.Seating, payments: d.Payments, promos: d.Promotions, gateways: d.Gateways,
		hint: d.Hint, changed: d.Changed, clock: d.Clock, source: d.Source, account: d.Account, tell: d.Tell, log: d.Log, cfg: cfg,
	}
}

// sourceOf names the address that a request comes from; nil when it is not counted.
func (s *Service) sourceOf(address string) any {
	if s.cfg.SeatsPerAddress <= 0 || address == "" {
		return nil
	}
	return s.source(address)
}

// deviceOf names the device that a request comes from; nil when it is not counted.
func (s *Service) deviceOf(device string) any {
	if s.cfg.SeatsPerDevice <= 0 || device == "" {
		return nil
	}
	return s.source("device " + device) // which no address looks like
}

// settleTime bounds what a command does after its caller may have gone.
const settleTime = time.Minute

// lostRace is raised by the SQL functions when a seat changes hands between a check and a write.
const lostRace = "MQ001"

// calledOff is raised by the SQL functions when seats would be sold of a showtime that does not take place.
const calledOff = "MQ003"
