package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/page"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// CursorName names the ordering of the list of events, the latest first.
const CursorName = "webhooks"

// Event is what a gateway told.
type Event struct {
	ID              uuid.UUID
	Gateway         string
	EventID         string // the gateway's
	Kind            payment.EventKind
	ChargeKey       string // ours; "" where the gateway does not say
	ChargeReference string // the gateway's; "" where it does not say
	State           State
	OccurredAt      time.Time
	ReceivedAt      time.Time
	ProcessedAt     *time.Time
	Reservation     *payment.Reference // nil until the attempt is found
	Payment         *payment.Reference
}

// NodeID is the event's public id.
func (e Event) NodeID() string { return typeid.Encode(typeid.WebhookEvent, e.ID) }

// IsNode marks what clients can read again by its id.
func (Event) IsNode() {}

// CursorKey is where the event stands in the list.
func (e Event) CursorKey() []string {
	return []string{e.ReceivedAt.Format(time.RFC3339Nano), e.ID.String()}
}

// PaymentID is the public id of the payment that it is about, nil until that is known.
func (e Event) PaymentID() *string { return publicID(typeid.Payment, e.Payment) }

// ReservationID is the public id of the reservation that the payment is for, nil until that is known.
func (e Event) ReservationID() *string { return publicID(typeid.Reservation, e.Reservation) }

func publicID(kind typeid.Kind, of *payment.Reference) *string {
	if of == nil {
		return nil
	}
	return new(typeid.EncodeIn(kind, of.ShowtimeID, of.ID))
}

const eventColumns = `id, gateway, event_id, kind, charge_key, charge_reference, state, occurred_at, received_at, processed_at, showtime_id, reservation_id, payment_id`

func scanEvent(row interface{ Scan(...any) error }) (Event, error) {
	var (
		e                              Event
		showtime, reservation, charged uuid.NullUUID
	)
	err := row.Scan(&e.ID, &e.Gateway, &e.EventID, &e.Kind, &e.ChargeKey, &e.ChargeReference, &e.State, &e.OccurredAt, &e.ReceivedAt, &e.ProcessedAt,
		&showtime, &reservation, &charged)
	if err != nil {
		return Event{}, fmt.Errorf("reading a webhook: %w", err)
	}
	e.OccurredAt, e.ReceivedAt = e.OccurredAt.UTC(), e.ReceivedAt.UTC()
	if e.ProcessedAt != nil {
		e.ProcessedAt = new(e.ProcessedAt.UTC())
	}
	if showtime.Valid {
		e.Reservation = &payment.Reference{ShowtimeID: showtime.UUID, ID: reservation.UUID}
		e.Payment = &payment.Reference{ShowtimeID: showtime.UUID, ID: charged.UUID}
	}
	return e, nil
}

// Filter restricts the list; nil conditions hold for every event.
type Filter struct {
	Gateway *string
	Kind    *payment.EventKind
	State   *State
}

// Events returns a page of events, the latest first. For those who look after money. One statement.
func (s *Service) Events(ctx context.Context, filter Filter, request page.Request) (page.Page[Event], error) {
	if _, err := auth.Require(ctx, auth.RoleFinance); err != nil {
		return page.Page[Event]{}, err
	}
	// Conditions that are written out are found in the indexes of the few.
	conditions := []string{`($1::text IS NULL OR gateway = $1)`, `($2::text IS NULL OR kind = $2)`, `($3::text IS NULL OR state = $3)`}
	if filter.Kind != nil && *filter.Kind == payment.EventDispute {
		conditions = append(conditions, `kind = 'DISPUTE'`)
	}
	if filter.State != nil && *filter.State != StateProcessed {
		conditions = append(conditions, `state <> 'PROCESSED'`)
	}
	args := []any{filter.Gateway, filter.Kind, filter.State, request.Limit + 1}
	for bound, key := range map[string][]string{"<": request.After, ">": request.Before} {
		if key != nil {
			args = append(args, key[0], key[1])
			conditions = append(conditions, fmt.Sprintf(`(received_at, id) %s ($%d::timestamptz, $%d::uuid)`, bound, len(args)-1, len(args)))
		}
	}
	order := "DESC"
	if request.Backward {
		order = "ASC"
	}
	rows, err := s.DB.SQL().QueryContext(ctx, `SELECT `+eventColumns+` FROM webhook_events WHERE `+strings.Join(conditions, ` AND `)+`
		ORDER BY received_at `+order+`, id `+order+` LIMIT $4`, args...)
	if err != nil {
		return page.Page[Event]{}, fmt.Errorf("reading webhooks: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (Event, error) { return scanEvent(rows) })
	return page.Cut(request, found), err
}

// Event returns an event: NOT_FOUND when there is none. For those who look after money.
func (s *Service) Event(ctx context.Context, id uuid.UUID) (Event, error) {
	if _, err := auth.Require(ctx, auth.RoleFinance); err != nil {
		return Event{}, err
	}
	e, err := scanEvent(s.DB.SQL().QueryRowContext(ctx, `SELECT `+eventColumns+` FROM webhook_events WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Event{}, apperr.Missing("webhook event")
	}
	return e, err
}

// Replay has an event acted on once more, whatever came of it: NOT_FOUND when there is none. For those who look after money; recorded
// in the audit log.
func (s *Service) Replay(ctx context.Context, id uuid.UUID) (e Event, err error) {
	viewer, err := auth.Require(ctx, auth.RoleFinance)
	if err != nil {
		return Event{}, err
	}
	err = s.DB.InTx(ctx, func(tx *sql.Tx) error {
		before, err := scanEvent(tx.QueryRowContext(ctx, `SELECT `+eventColumns+` FROM webhook_events WHERE id = $1 FOR UPDATE`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("webhook event")
		}
		if err != nil {
			return err
		}
		if before.Kind == payment.EventOther {
			return apperr.New(apperr.Conflict, "Nothing follows from an event of this kind.")
		}
		e, err = scanEvent(tx.QueryRowContext(ctx, `UPDATE webhook_events SET state = 'RECEIVED', processed_at = NULL WHERE id = $1 RETURNING `+eventColumns, id))
		if err != nil {
			return err
		}
		if err := s.Jobs.EnqueueTx(ctx, tx, follow{id}); err != nil {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.WebhookReplayed, Actor: viewer.UserID, Subject: e.NodeID(),
			Before: map[string]any{"state": before.State}, After: map[string]any{"state": e.State},
		})
	})
	return e, err
}
