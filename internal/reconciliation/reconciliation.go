// Package reconciliation holds the books of gateways against ours, and keeps a queue of where they disagree for those who look
// after money.
//
// A run goes through what a gateway lists of a period, and through what we say that it took. What disagrees is looked up once
// more, between two readings of our side: only what stands still on both is a mismatch. Some kinds the program heals by itself,
// as package booking does it; the others wait for somebody. Nothing here moves money.
//
// Invariants:
//   - a charge has at most one open mismatch of a kind, however often and by how many runs it is found;
//   - one run at a time goes through the books of a gateway; one that has died keeps the next from nothing;
//   - what is found is stored before anything is done about it.
package reconciliation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// Config is what a Service goes by.
type Config struct {
	Grace   time.Duration // how long an attempt is left alone after it has changed
	Timeout time.Duration // for one call to a gateway
	Lease   time.Duration // how long a run may take from one sign of life to the next; longer than what it does between
}

// Service reconciles. It is safe for concurrent use.
type Service struct {
	db       *postgres.DB
	gateways *payment.Gateways
	booking  *booking.Service
	log      *slog.Logger
	cfg      Config
}

// NewService returns a Service.
func NewService(db *postgres.DB, gateways *payment.Gateways, bookings *booking.Service, log *slog.Logger, cfg Config) *Service {
	return &Service{db: db, gateways: gateways, booking: bookings, log: log, cfg: cfg}
}

// Outcome is how a run went.
type Outcome string

// The outcomes.
const (
	Running Outcome = "RUNNING"
	Done    Outcome = "DONE"
	Failed  Outcome = "FAILED"  // the gateway did not answer, or the run's process died; what was found until then is stored
	NoList  Outcome = "NO_LIST" // the gateway does not list what it has
)

// Run is one comparison of the books.
type Run struct {
	ID        uuid.UUID
	Gateway   string
	From, To  time.Time
	Outcome   Outcome
	Compared  int32 // charges
	Found     int32 // mismatches that were not known before, those healed included
	Healed    int32
	CreatedAt time.Time
	EndedAt   *time.Time
}

// IsNode marks a run as something that can be asked for by its id.
func (Run) IsNode() {}

// NodeID returns the run's public id.
func (r Run) NodeID() string { return typeid.Encode(typeid.Reconciliation, r.ID) }

// Period is how far back the periodic runs go, and longest how much one run goes through.
const (
	Period  = 3 * 24 * time.Hour
	longest = 400 * 24 * time.Hour
)

// Reconcile holds the books of a gateway against ours, of what was begun from one moment to another, and returns how that went: also
// when the gateway does not answer, or cannot list. BAD_USER_INPUT for a gateway that there is none or a period that is none, CONFLICT
// while another run is at it.
func (s *Service) Reconcile(ctx context.Context, gateway string, from, to time.Time) (Run, error) {
	return s.reconcile(ctx, gateway, from, to, nil)
}

// ReconcileRestored is Reconcile for a database that was restored to what it was at a moment: of attempts that were made since nothing is
// known any more, so what their charges have reserved is let go, and what they took goes back.
func (s *Service) ReconcileRestored(ctx context.Context, gateway string, from, to, restored time.Time) (Run, error) {
	return s.reconcile(ctx, gateway, from, to, &restored)
}

func (s *Service) reconcile(ctx context.Context, gateway string, from, to time.Time, restored *time.Time) (Run, error) {
	from, to = from.UTC().Truncate(time.Microsecond), to.UTC().Truncate(time.Microsecond)
	const longestName = 100
	var bad apperr.Fields
	words.Check(&bad, "input.gateway", gateway, longestName, "Name a gateway of this installation, 1 to %d characters.")
	books, err := s.gateways.Named(gateway)
	if err != nil && bad.Err() == nil {
		bad.Add("input.gateway", "This installation has no such gateway.")
	}
	if !from.Before(to) || to.Sub(from) > longest {
		bad.Add("input.from", "Give a period of at most %d days.", int(longest.Hours())/24)
	}
	if err := bad.Err(); err != nil {
		return Run{}, err
	}
	run, err := s.begin(ctx, gateway, from, to, 0)
	if errors.Is(err, errNotNow) {
		return Run{}, apperr.New(apperr.Conflict, "The books of this gateway are being compared. Try again later.")
	}
	if err != nil {
		return Run{}, err
	}
	return s.carryOut(ctx, run, books, restored)
}

// Periodic reconciles the last days of each gateway of which nobody has in the last hour or so. What one gateway fails to answer
// keeps the others from nothing. It returns the runs that it did.
func (s *Service) Periodic(ctx context.Context, now time.Time, pause time.Duration) (runs []Run, err error) {
	for _, name := range s.gateways.Names() {
		gateway, nameErr := s.gateways.Named(name)
		if nameErr != nil {
			return runs, nameErr
		}
		run, runErr := s.begin(ctx, name, now.UTC().Add(-Period), now.UTC(), pause)
		if errors.Is(runErr, errNotNow) {
			continue
		}
		if runErr == nil {
			run, runErr = s.carryOut(ctx, run, gateway, nil)
			runs = append(runs, run)
		}
		err = errors.Join(err, runErr)
	}
	return runs, err
}

var errNotNow = errors.New("reconciliation: another run is at it, or was lately")

// begin claims the books of a gateway for a run, unless another has them, or was begun within a pause. A run that has given no sign
// of life for its lease has failed.
func (s *Service) begin(ctx context.Context, gateway string, from, to time.Time, pause time.Duration) (run Run, err error) {
	run = Run{ID: typeid.New(), Gateway: gateway, From: from, To: to, Outcome: Running}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE reconciliations SET outcome = 'FAILED', ended_at = now()
			WHERE gateway = $1 AND outcome = 'RUNNING' AND leased_until < now()`, gateway); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `INSERT INTO reconciliations (id, gateway, period_from, period_to, leased_until)
			SELECT $1, $2, $3, $4, now() + $5 * interval '1 millisecond'
			WHERE NOT EXISTS (SELECT FROM reconciliations WHERE gateway = $2 AND outcome <> 'FAILED' AND created_at > now() - $6 * interval '1 millisecond')
			ON CONFLICT DO NOTHING RETURNING created_at`,
			run.ID, gateway, run.From, run.To, s.cfg.Lease.Milliseconds(), pause.Milliseconds()).Scan(&run.CreatedAt)
		if errors.Is(err, sql.ErrNoRows) {
			return errNotNow
		}
		return err
	})
	run.CreatedAt = run.CreatedAt.UTC()
	if err != nil && !errors.Is(err, errNotNow) {
		err = fmt.Errorf("beginning a reconciliation: %w", err)
	}
	return run, err
}

var errLostRun = errors.New("reconciliation: another run took over")

// alive tells that a run goes on, and how far it has come.
func (s *Service) alive(ctx context.Context, run Run) error {
	return s.store(ctx, run, `leased_until = now() + $5 * interval '1 millisecond'`, s.cfg.Lease.Milliseconds())
}

// end stores how a run went.
func (s *Service) end(ctx context.Context, run *Run, outcome Outcome) error {
	run.Outcome = outcome
	ended := time.Now().UTC()
	run.EndedAt = &ended
	return s.store(ctx, *run, `outcome = $5, ended_at = now()`, outcome)
}

func (s *Service) store(ctx context.Context, run Run, set string, arg any) error {
	result, err := s.db.SQL().ExecContext(ctx, `UPDATE reconciliations SET compared = $2, found = $3, healed = $4, `+set+`
		WHERE id = $1 AND outcome = 'RUNNING'`, run.ID, run.Compared, run.Found, run.Healed, arg)
	if err != nil {
		return fmt.Errorf("storing a reconciliation: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errLostRun, err)
	}
	return nil
}
