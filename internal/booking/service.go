package booking

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

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
}

// Service carries out what customers do with reservations. It is safe for concurrent use.
type Service struct {
	db        *postgres.DB
	showtimes *showtime.Service
	seating   *seating.Service
	payments  *payment.Service
	promos    *promotion.Service
	gateway   payment.Gateway
	hint      func(showtimeID uuid.UUID)
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
	Gateway    payment.Gateway
	Hint       func(showtimeID uuid.UUID) // called after each commit that changed seats; must not block
	Log        *slog.Logger
}

// NewService returns a Service.
func NewService(d Deps, cfg Config) *Service {
	return &Service{
		db: d.DB, showtimes: d.Showtimes, seating: d.Seating, payments: d.Payments, promos: d.Promotions, gateway: d.Gateway,
		hint: d.Hint, log: d.Log, cfg: cfg,
	}
}

// settleTime bounds what a command does after its caller may have gone.
const settleTime = time.Minute

// lostRace is raised by the SQL functions when a seat changes hands between a check and a write.
const lostRace = "MQ001"
