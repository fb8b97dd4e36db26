package review

import (
	"time"

	"marquee/internal/booking"
	"marquee/internal/identity"
	"marquee/internal/postgres"
)

// Config is what the owner of the house decides.
type Config struct {
	// Attendance is what it takes to count as having seen a movie. Where nobody redeems tickets at a door, AttendedByTicket is
	// the one that lets anybody write; AttendedByDoor is stricter.
	Attendance booking.Attendance
	// How often an account may write or edit a review, and how often report one.
	Writes, Reports identity.Allowance
}

// DefaultWrites and DefaultReports are more than a person does who means it.
var (
	DefaultWrites  = identity.Allowance{Burst: 10, Pause: 15 * time.Minute}
	DefaultReports = identity.Allowance{Burst: 20, Pause: 5 * time.Minute}
)

// Service carries out what people do with reviews. It is safe for concurrent use.
type Service struct {
	db       *postgres.DB
	booking  *booking.Service
	accounts *identity.Service
	cfg      Config
}

// NewService returns a Service.
func NewService(db *postgres.DB, bookings *booking.Service, accounts *identity.Service, cfg Config) *Service {
	return &Service{db: db, booking: bookings, accounts: accounts, cfg: cfg}
}
