package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// ErrMoved is returned when an attempt or payment is not in the state a step starts from: someone else took it.
var ErrMoved = errors.New("payment: no longer in the expected state")

// Service keeps the records of payments. It is safe for concurrent use.
type Service struct {
	db *postgres.DB
}

// NewService returns a Service that keeps its records in db.
func NewService(db *postgres.DB) *Service { return &Service{db: db} }

// Opening is what a new attempt needs.
type Opening struct {
	ShowtimeID     uuid.UUID
	ReservationID  uuid.UUID
	ViewerID       uuid.UUID
	Gateway        string
	Amount         money.Money
	IdempotencyKey string
	Lease          time.Duration // how long the caller may drive the attempt before others take it over
}

// OpenAttemptTx records an attempt, and its payment when it is the first. ErrMoved when another attempt of the
// payment can still take money. The caller holds the reservation's row lock, and asks for another amount than before only
// when no attempt of before has taken money or can.
func (s *Service) OpenAttemptTx(ctx context.Context, tx *sql.Tx, o Opening) (Attempt, error) {
	attempt := Attempt{
		ShowtimeID: o.ShowtimeID, ID: typeid.New(), ReservationID: o.ReservationID,
		Gateway: o.Gateway, Amount: o.Amount, Status: AttemptStarted,
	}
	err := tx.QueryRowContext(ctx, `SELECT open_attempt($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL)`,
		o.ShowtimeID, o.ReservationID, o.ViewerID, typeid.New(), attempt.ID, o.Gateway, o.Amount.AmountMinor, o.Amount.Currency,
		o.IdempotencyKey, o.Lease.Milliseconds()).Scan(&attempt.PaymentID)
	if err != nil {
		return Attempt{}, Moved(fmt.Errorf("recording an attempt: %w", err))
	}
	return attempt, nil
}

// Moved returns ErrMoved for what the SQL functions of payments raise when an attempt or payment is not where a step
// starts, or another attempt can take money, and any other error as it is.
func Moved(err error) error {
	const moved = "MQ002"
	if postgres.SQLState(err) == moved || postgres.IsUniqueViolation(err, "payment_attempts_live_key") {
		return ErrMoved
	}
	return err
}

// GiveUpTx ends the payment of a reservation, if it has one, that has taken no money and never will.
func (s *Service) GiveUpTx(ctx context.Context, tx *sql.Tx, showtimeID, reservationID uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `UPDATE payments SET status = 'FAILED', updated_at = now()
		WHERE showtime_id = $1 AND reservation_id = $2 AND status = 'PENDING'`, showtimeID, reservationID)
	if err != nil {
		return fmt.Errorf("giving up a payment: %w", err)
	}
	return nil
}

const attemptColumns = `a.showtime_id, a.id, a.payment_id, p.reservation_id, a.gateway, a.amount_minor, p.currency, a.status,
	coalesce(a.decline_code, ''), a.credit_minor`

const attemptSource = ` FROM payment_attempts a JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id`

func scanAttempt(row interface{ Scan(...any) error }) (Attempt, error) {
	var a Attempt
	err := row.Scan(&a.ShowtimeID, &a.ID, &a.PaymentID, &a.ReservationID, &a.Gateway, &a.Amount.AmountMinor,
		&a.Amount.Currency, &a.Status, &a.DeclineCode, &a.CreditMinor)
	return a, err
}

// Attempt returns an attempt as it stands.
func (s *Service) Attempt(ctx context.Context, showtimeID, id uuid.UUID) (Attempt, error) {
	a, err := scanAttempt(s.db.SQL().QueryRowContext(ctx,
		`SELECT `+attemptColumns+attemptSource+` WHERE a.showtime_id = $1 AND a.id = $2`, showtimeID, id))
	if err != nil {
		return Attempt{}, fmt.Errorf("reading an attempt: %w", err)
	}
	return a, nil
}

// UnsettledTx reports whether an attempt for a reservation, any of them, has still to come to its end.
func (s *Service) UnsettledTx(ctx context.Context, tx *sql.Tx, showtimeID, reservationID uuid.UUID) (unsettled bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT`+attemptSource+`
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 AND a.status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'))`,
		showtimeID, reservationID).Scan(&unsettled)
	if err != nil {
		return false, fmt.Errorf("reading attempts: %w", err)
	}
	return unsettled, nil
}

// Engaged reports whether a reservation has an attempt that took money, or may yet: one that was neither declined nor let go.
func (s *Service) Engaged(ctx context.Context, ref Reference) (engaged bool, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT`+attemptSource+`
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 AND a.status NOT IN ('DECLINED', 'VOIDED'))`, ref.ShowtimeID, ref.ID).Scan(&engaged)
	if err != nil {
		return false, fmt.Errorf("reading attempts: %w", err)
	}
	return engaged, nil
}

// LatestAttemptTx returns the newest attempt for a reservation; ok is false when there is none.
func (s *Service) LatestAttemptTx(ctx context.Context, tx *sql.Tx, showtimeID, reservationID uuid.UUID) (a Attempt, ok bool, err error) {
	a, err = scanAttempt(tx.QueryRowContext(ctx, `SELECT `+attemptColumns+attemptSource+`
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 ORDER BY a.number DESC LIMIT 1`, showtimeID, reservationID))
	if errors.Is(err, sql.ErrNoRows) {
		return Attempt{}, false, nil
	}
	if err != nil {
		return Attempt{}, false, fmt.Errorf("reading an attempt: %w", err)
	}
	return a, true, nil
}

// Step is one move of an attempt.
type Step struct {
	To          AttemptStatus
	Reference   string // the gateway's id, when it became known
	DeclineCode string
	TakenMinor  *int64 // to REFUND_PENDING: what the gateway took; nil: the amount of the attempt
}

// After returns the attempt as it stands once it has taken a step; a step that the table of states does not have is a defect.
func (a Attempt) After(step Step) (Attempt, error) {
	if !a.Status.CanBecome(step.To) {
		return a, fmt.Errorf("payment: an attempt cannot go from %s to %s", a.Status, step.To)
	}
	a.Status = step.To
	if step.DeclineCode != "" {
		a.DeclineCode = step.DeclineCode
	}
	return a, nil
}

// AdvanceTx moves an attempt one step and keeps its payment in line. ErrMoved when it is not where a stands.
func (s *Service) AdvanceTx(ctx context.Context, tx *sql.Tx, a Attempt, step Step) (Attempt, error) {
	return advance(ctx, tx, a, step)
}

// Advance is AdvanceTx for a step that nothing else happens with.
func (s *Service) Advance(ctx context.Context, a Attempt, step Step) (Attempt, error) {
	return advance(ctx, s.db.SQL(), a, step)
}

// PendingTx records that the gateway has yet to say whether there are funds for a started attempt, which it knows by reference;
// first is false when that was recorded before, or the attempt has gone on.
func (s *Service) PendingTx(ctx context.Context, tx *sql.Tx, a Attempt, reference string) (first bool, err error) {
	result, err := tx.ExecContext(ctx, `UPDATE payment_attempts SET gateway_reference = $3, updated_at = now()
		WHERE showtime_id = $1 AND id = $2 AND status = 'STARTED' AND gateway_reference IS NULL`, a.ShowtimeID, a.ID, reference)
	if err := changedOne(result, err); errors.Is(err, ErrMoved) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// IsPending reports whether PendingTx has recorded a started attempt, and nothing has come of it yet.
func (s *Service) IsPending(ctx context.Context, a Attempt) (pending bool, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT status = 'STARTED' AND gateway_reference IS NOT NULL FROM payment_attempts
		WHERE showtime_id = $1 AND id = $2`, a.ShowtimeID, a.ID).Scan(&pending)
	if err != nil {
		return false, fmt.Errorf("reading an attempt: %w", err)
	}
	return pending, nil
}

// Stranded returns how many attempts and refunds are unsettled at gateways other than the given, by gateway.
func (s *Service) Stranded(ctx context.Context, gateways []string) (map[string]int, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT gateway, count(*) FROM (
			SELECT gateway FROM payment_attempts WHERE status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING')
			UNION ALL SELECT a.gateway FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id
				WHERE r.status = 'PENDING' AND r.destination = 'ORIGINAL') AS left_over
		WHERE gateway <> ALL (string_to_array($1, ',')) GROUP BY gateway`,
		strings.Join(append([]string{NoGateway, CreditName, string(MethodCash), string(MethodCard)}, gateways...), ","))
	if err != nil {
		return nil, fmt.Errorf("looking for what is stranded: %w", err)
	}
	type entry struct {
		gateway string
		count   int
	}
	entries, err := postgres.Collect(rows, func(rows *sql.Rows) (e entry, err error) {
		err = rows.Scan(&e.gateway, &e.count)
		return e, err
	})
	stranded := make(map[string]int, len(entries))
	for _, e := range entries {
		stranded[e.gateway] = e.count
	}
	return stranded, err
}

type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func advance(ctx context.Context, on executor, a Attempt, step Step) (Attempt, error) {
	next, err := a.After(step)
	if err != nil {
		return a, err
	}
	_, err = on.ExecContext(ctx, `SELECT advance_attempt($1, $2, $3, $4, $5, $6, $7)`, a.ShowtimeID, a.ID, a.Status, step.To, step.Reference, step.DeclineCode,
		step.TakenMinor)
	if err != nil {
		return a, Moved(fmt.Errorf("advancing an attempt: %w", err))
	}
	return next, nil
}

// Queue is a part of the unsettled attempts at one gateway.
type Queue struct {
	Gateway string
	Pending bool // those whose charge is pending, as PendingTx has it; else the others
}

// LeaseUnsettled takes over up to limit attempts of a queue whose driver has let its lease run out, for the given time. Two
// callers never get the same attempt.
func (s *Service) LeaseUnsettled(ctx context.Context, of Queue, limit int, lease time.Duration) ([]Attempt, error) {
	type key struct{ showtime, id uuid.UUID }
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT showtime_id, id FROM payment_attempts
		WHERE status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING') AND leased_until < now()
			AND (status <> 'REFUND_PENDING' OR taken_minor = 0) -- what was taken has a refund with a lease of its own
			AND gateway = $1 AND (status = 'STARTED' AND gateway_reference IS NOT NULL) = $2
		ORDER BY leased_until LIMIT $3`, of.Gateway, of.Pending, limit)
	if err != nil {
		return nil, fmt.Errorf("looking for unsettled attempts: %w", err)
	}
	keys, err := postgres.Collect(rows, func(rows *sql.Rows) (k key, err error) {
		err = rows.Scan(&k.showtime, &k.id)
		return k, err
	})
	if err != nil {
		return nil, err
	}
	var leased []Attempt
	for _, k := range keys {
		result, err := s.db.SQL().ExecContext(ctx, `UPDATE payment_attempts SET leased_until = now() + $3 * interval '1 millisecond'
			WHERE showtime_id = $1 AND id = $2 AND leased_until < now()`, k.showtime, k.id, lease.Milliseconds())
		if err := changedOne(result, err); errors.Is(err, ErrMoved) {
			continue
		} else if err != nil {
			return leased, err
		}
		a, err := s.Attempt(ctx, k.showtime, k.id)
		if err != nil {
			return leased, err
		}
		leased = append(leased, a)
	}
	return leased, nil
}

// LeaseAttempt takes an attempt over for the given time, at whatever step; ok is false while somebody else drives it.
func (s *Service) LeaseAttempt(ctx context.Context, ref Reference, lease time.Duration) (a Attempt, ok bool, err error) {
	result, err := s.db.SQL().ExecContext(ctx, `UPDATE payment_attempts SET leased_until = now() + $3 * interval '1 millisecond'
		WHERE showtime_id = $1 AND id = $2 AND (leased_until < now() OR status IN ('CAPTURED', 'DECLINED', 'VOIDED', 'REFUNDED'))`,
		ref.ShowtimeID, ref.ID, lease.Milliseconds())
	if err := changedOne(result, err); errors.Is(err, ErrMoved) {
		return a, false, nil
	} else if err != nil {
		return a, false, err
	}
	a, err = s.Attempt(ctx, ref.ShowtimeID, ref.ID)
	return a, err == nil, err
}

// Release lets go of an attempt's lease after the given time, so that the reconciler takes it up then.
func (s *Service) Release(ctx context.Context, a Attempt, after time.Duration) error {
	_, err := s.db.SQL().ExecContext(ctx, `UPDATE payment_attempts SET leased_until = now() + $3 * interval '1 millisecond'
		WHERE showtime_id = $1 AND id = $2`, a.ShowtimeID, a.ID, after.Milliseconds())
	if err != nil {
		return fmt.Errorf("releasing an attempt: %w", err)
	}
	return nil
}

// Reference names a thing of the booking core: its key is unique within its showtime.
type Reference struct{ ShowtimeID, ID uuid.UUID }

// PaymentsByReservation returns the payments of reservations; one without a payment is absent. One statement.
func (s *Service) PaymentsByReservation(ctx context.Context, reservations []Reference) (map[Reference]Payment, error) {
	return s.payments(ctx, `p.reservation_id = wanted.id`, reservations, func(p Payment) Reference {
		return Reference{p.ShowtimeID, p.ReservationID}
	}, uuid.NullUUID{})
}

// PaymentOfViewer returns one of the viewer's payments; ok is false when it is missing or someone else's.
func (s *Service) PaymentOfViewer(ctx context.Context, viewerID uuid.UUID, ref Reference) (p Payment, ok bool, err error) {
	found, err := s.payments(ctx, `p.id = wanted.id`, []Reference{ref}, func(p Payment) Reference {
		return Reference{p.ShowtimeID, p.ID}
	}, uuid.NullUUID{UUID: viewerID, Valid: true})
	p, ok = found[ref]
	return p, ok, err
}

// Payment returns a payment, whosever it is; ok is false when there is none. The caller makes sure that the viewer may see it.
func (s *Service) Payment(ctx context.Context, ref Reference) (p Payment, ok bool, err error) {
	found, err := s.payments(ctx, `p.id = wanted.id`, []Reference{ref}, func(p Payment) Reference {
		return Reference{p.ShowtimeID, p.ID}
	}, uuid.NullUUID{})
	p, ok = found[ref]
	return p, ok, err
}

func (s *Service) payments(ctx context.Context, join string, wanted []Reference, key func(Payment) Reference, viewer uuid.NullUUID) (map[Reference]Payment, error) {
	showtimes, ids := Columns(wanted)
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT p.showtime_id, p.id, p.reservation_id,
			(SELECT coalesce(c.gateway, a.gateway) FROM payment_attempts a
				LEFT JOIN payment_attempts c ON a.gateway = $4 AND c.showtime_id = a.showtime_id AND c.payment_id = a.payment_id AND c.number = -1
				WHERE a.showtime_id = p.showtime_id AND a.payment_id = p.id ORDER BY a.number DESC LIMIT 1),
			p.status, p.amount_minor, p.refunded_minor, p.currency, p.created_at,
			(SELECT json_agg(json_build_object('id', r.id, 'attemptId', r.attempt_id, 'gateway', a.gateway, 'number', r.number, 'amountMinor', r.amount_minor, 'cause', r.cause,
					'status', r.status, 'seats', array_to_json(r.seats), 'toShowtimeId', r.to_showtime_id, 'toReservationId', r.to_reservation_id,
					'createdAt', r.created_at, 'destination', r.destination, 'try', r.try) ORDER BY r.created_at, r.id)
				FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id
				WHERE r.showtime_id = p.showtime_id AND r.payment_id = p.id)
		FROM unnest($1::uuid[], $2::uuid[]) AS wanted (showtime_id, id)
		JOIN payments p ON p.showtime_id = wanted.showtime_id AND `+join+`
		WHERE $3::uuid IS NULL OR p.viewer_id = $3`, showtimes, ids, viewer, NoGateway)
	if err != nil {
		return nil, fmt.Errorf("reading payments: %w", err)
	}
	payments, err := postgres.Collect(rows, func(rows *sql.Rows) (p Payment, err error) {
		var refunds []byte
		err = rows.Scan(&p.ShowtimeID, &p.ID, &p.ReservationID, &p.Gateway, &p.Status, &p.Amount.AmountMinor,
			&p.Refunded.AmountMinor, &p.Amount.Currency, &p.CreatedAt, &refunds)
		p.Refunded.Currency = p.Amount.Currency
		if err == nil && refunds != nil {
			p.Refunds, err = refundsOf(p, refunds)
			p.Refunded.AmountMinor -= p.Carried().AmountMinor
		}
		return p, err
	})
	found := make(map[Reference]Payment, len(payments))
	for _, p := range payments {
		found[key(p)] = p
	}
	return found, err
}

// Columns splits references into two array parameters, for unnest side by side.
func Columns(refs []Reference) (showtimes, ids postgres.UUIDs) {
	showtimes, ids = make(postgres.UUIDs, len(refs)), make(postgres.UUIDs, len(refs))
	for i, ref := range refs {
		showtimes[i], ids[i] = ref.ShowtimeID, ref.ID
	}
	return showtimes, ids
}

func changedOne(result sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("changing a payment: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("changing a payment: %w", err)
	}
	if n != 1 {
		return ErrMoved
	}
	return nil
}
