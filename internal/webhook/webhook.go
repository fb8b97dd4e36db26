// Package webhook owns the inbox of what payment gateways tell by themselves.
//
// A webhook is a hint: late perhaps, doubled, out of order or forged. What is signed is stored, once, together with a job that looks
// the charge up and takes its attempt as far as it goes, as the reconciler would have done later. Nothing of what a webhook says
// is believed but which charge it is about, so nothing else of it is kept. An event of a charge that we have no record of is
// kept too, looked at again, and shown.
//
// Invariants:
//   - an event of a gateway has one row and one effect, however often and to how many nodes it is sent;
//   - it is answered when its row and its job are committed, before anybody is asked anything;
//   - a webhook that is not believed changes nothing.
package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"marquee/internal/audit"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/jobs"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// ErrNoInbox is returned for a gateway that the installation does not have, or that tells of nothing.
var ErrNoInbox = errors.New("webhook: no such gateway tells of anything")

// State is where an event stands.
type State string

// The states of an event. All but StateProcessed are looked at again.
const (
	StateReceived       State = "RECEIVED"
	StateProcessed      State = "PROCESSED"
	StateUnknownPayment State = "UNKNOWN_PAYMENT" // we have no record of the charge
	StateFailed         State = "FAILED"          // the charge could not be looked up, or its attempt not be taken on
)

// Kept is how long an event is kept.
const Kept = 90 * 24 * time.Hour

// Deps is what a Service needs.
type Deps struct {
	DB       *postgres.DB
	Gateways *payment.Gateways
	Payments *payment.Service
	Booking  *booking.Service
	Jobs     *jobs.Queue
	Clock    clock.Clock
	Observe  func(gateway string, kind payment.EventKind, outcome Outcome) // may be nil
	Log      *slog.Logger
}

// Outcome is what came of a webhook.
type Outcome string

// The outcomes.
const (
	Forged    Outcome = "forged"
	Accepted  Outcome = "accepted"
	Duplicate Outcome = "duplicate"
)

// Service is the inbox. It is safe for concurrent use.
type Service struct{ Deps }

// follow is the job that acts on an event.
type follow struct {
	Event uuid.UUID `json:"event"`
}

// Kind names the job.
func (follow) Kind() string { return "webhook" }

// attempts make up for a gateway that is away for a day. An event may also come before the charge that it is about is recorded.
const attempts = 12

// pause is 3 s after the first failed attempt, and nearly three times as long after each other, until 12 hours.
func pause(attempts int) time.Duration {
	const most = 12 * time.Hour
	return min(most, time.Duration(math.Pow(2, 1.5*float64(attempts)))*time.Second)
}

// New returns a Service, whose jobs the queue does from now on.
func New(d Deps) *Service {
	s := &Service{d}
	jobs.Handle(d.Jobs, jobs.Options{Attempts: attempts, Pause: pause}, func(ctx context.Context, args follow) error { return s.Follow(ctx, args.Event) })
	return s
}

// maxText bounds what a gateway calls things.
const maxText = 255

// Receive takes in a webhook. ErrNoInbox, or payment.ErrForged when it is not to be believed: nothing has changed then. Any other error
// is ours, and the gateway may send it again.
func (s *Service) Receive(ctx context.Context, gateway string, header http.Header, body []byte) error {
	known, err := s.Gateways.Named(gateway)
	if err != nil {
		return ErrNoInbox
	}
	teller, ok := known.(payment.Webhooks)
	if !ok {
		return ErrNoInbox
	}
	event, err := teller.Verify(header, body, s.Clock.Now())
	if err == nil {
		for _, text := range []string{event.ID, event.Key, event.Reference} {
			// What gateways call things is short; a header that they did not sign can say anything.
			if len(text) > maxText || !printable(text) {
				err = payment.ErrForged
			}
		}
	}
	if err != nil || event.ID == "" {
		s.observe(gateway, event.Kind, Forged)
		return payment.ErrForged
	}
	outcome := Duplicate
	err = s.DB.InTx(ctx, func(tx *sql.Tx) error {
		outcome = Duplicate
		id := typeid.New()
		// Of what nothing follows from there is nothing to do.
		result, err := tx.ExecContext(ctx, `INSERT INTO webhook_events (id, gateway, event_id, kind, charge_key, charge_reference, state, occurred_at, processed_at)
			VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $4 = 'OTHER' THEN 'PROCESSED' ELSE 'RECEIVED' END, $7, CASE WHEN $4 = 'OTHER' THEN now() END)
			ON CONFLICT (gateway, event_id) DO NOTHING`, id, gateway, event.ID, event.Kind, event.Key, event.Reference, event.OccurredAt)
		if err != nil {
			return fmt.Errorf("storing a webhook: %w", err)
		}
		fresh, err := result.RowsAffected()
		if err != nil || fresh == 0 {
			return err
		}
		outcome = Accepted
		if event.Kind == payment.EventOther {
			return nil
		}
		return s.Jobs.EnqueueTx(ctx, tx, follow{id})
	})
	if err == nil {
		s.observe(gateway, event.Kind, outcome)
	}
	return err
}

func printable(text string) bool {
	for _, r := range text {
		if r < ' ' || r == utf8.RuneError {
			return false
		}
	}
	return true
}

func (s *Service) observe(gateway string, kind payment.EventKind, outcome Outcome) {
	if s.Observe != nil {
		s.Observe(gateway, kind, outcome)
	}
}

// Follow acts on an event, unless that was done: its charge is looked up, and its attempt and refunds taken as far as they go. An
// error says that it has to be done again, and the event says why.
func (s *Service) Follow(ctx context.Context, id uuid.UUID) error {
	e, err := scanEvent(s.DB.SQL().QueryRowContext(ctx, `SELECT `+eventColumns+` FROM webhook_events WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil // as old as that
	}
	if err != nil || e.State == StateProcessed {
		return err
	}
	a, known, err := s.Payments.Charged(ctx, e.Gateway, e.ChargeKey, e.ChargeReference)
	switch {
	case err != nil:
		return s.failed(ctx, e, err)
	case !known:
		s.Log.WarnContext(ctx, "a gateway tells of a charge that there is no record of", "gateway", e.Gateway, "event", e.EventID, "reference", e.ChargeReference)
		err := errors.New("webhook: no record of the charge")
		return jobs.Because(jobs.UnknownCharge, errors.Join(err, s.mark(ctx, e, StateUnknownPayment, nil)))
	case e.Kind == payment.EventDispute:
		return s.disputed(ctx, e, a)
	}
	if err := s.Booking.Follow(ctx, a); err != nil {
		return s.failed(ctx, e, err)
	}
	return s.mark(ctx, e, StateProcessed, &a)
}

func (s *Service) failed(ctx context.Context, e Event, err error) error {
	// The job's time may be over.
	err = errors.Join(err, s.mark(context.WithoutCancel(ctx), e, StateFailed, nil))
	if errors.Is(err, booking.ErrAtGateway) {
		return jobs.Because(jobs.GatewayUnavailable, err)
	}
	return err
}

// mark says how an event stands, unless it was processed meanwhile.
func (s *Service) mark(ctx context.Context, e Event, state State, of *payment.Attempt) error {
	_, err := s.DB.SQL().ExecContext(ctx, marking, marks(e, state, of)...)
	if err != nil {
		return fmt.Errorf("marking a webhook: %w", err)
	}
	return nil
}

const marking = `UPDATE webhook_events SET state = $2, processed_at = CASE WHEN $2 = 'PROCESSED' THEN now() END,
		showtime_id = $3, reservation_id = $4, payment_id = $5
	WHERE id = $1 AND state <> 'PROCESSED'`

func marks(e Event, state State, of *payment.Attempt) []any {
	if of == nil {
		return []any{e.ID, state, nil, nil, nil}
	}
	return []any{e.ID, state, of.ShowtimeID, of.ReservationID, of.PaymentID}
}

// disputed records that a customer contests a charge at their bank. What becomes of the money is decided there.
func (s *Service) disputed(ctx context.Context, e Event, a payment.Attempt) error {
	return s.DB.InTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, marking, marks(e, StateProcessed, &a)...)
		if err != nil {
			return fmt.Errorf("marking a webhook: %w", err)
		}
		if marked, err := result.RowsAffected(); err != nil || marked == 0 {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.PaymentDisputed, Subject: typeid.EncodeIn(typeid.Payment, a.ShowtimeID, a.PaymentID),
			After: map[string]any{"gateway": e.Gateway, "event": e.EventID, "reference": e.ChargeReference},
		})
	})
}

// Forget deletes events that have been kept for long enough, and returns how many.
func (s *Service) Forget(ctx context.Context) (int, error) {
	result, err := s.DB.SQL().ExecContext(ctx, `DELETE FROM webhook_events WHERE received_at < now() - $1 * interval '1 second'`, Kept.Seconds())
	if err != nil {
		return 0, fmt.Errorf("deleting old webhooks: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}
