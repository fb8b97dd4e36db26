package payment

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/seatno"
	"marquee/internal/typeid"
)

// ErrTooMuch is returned when more would go back than was captured.
var ErrTooMuch = errors.New("payment: more would go back than was captured")

// Cause is why money goes back.
type Cause string

// The causes.
const (
	ByCustomer Cause = "CUSTOMER" // the customer cancelled
	ByTheater  Cause = "THEATER"  // the showtime was called off, or something else was the theater's doing
	Goodwill   Cause = "GOODWILL" // the theater owed nothing and gave it all the same
)

// RefundStatus is where a refund stands.
type RefundStatus string

// The states of a refund.
const (
	RefundPending RefundStatus = "PENDING" // the gateway is to be told, or has not answered
	RefundDone    RefundStatus = "DONE"    // the money was given back
)

// Refund is money of a captured attempt that goes back.
type Refund struct {
	ShowtimeID uuid.UUID
	ID         uuid.UUID
	PaymentID  uuid.UUID
	AttemptID  uuid.UUID
	Gateway    string
	Number     int16 // among those of the attempt, from 1
	Amount     money.Money
	Cause      Cause
	Seats      seatno.List // that it is for; none where money goes back for nothing that was still booked
	Status     RefundStatus
	CreatedAt  time.Time
	Captured   money.Money // by the attempt
	Before     money.Money // what had gone back of the attempt when this was read
}

// AttemptKey is what the gateway knows the attempt by.
func (r Refund) AttemptKey() string { return r.AttemptID.String() }

// Key is what the gateway knows the refund by. The first of an attempt has the key that a return of the whole has.
func (r Refund) Key() string {
	key := r.AttemptKey() + "/refund"
	if r.Number > 1 {
		key += "/" + strconv.Itoa(int(r.Number))
	}
	return key
}

// Promised returns what all refunds of the payment come to, those on their way included.
func (p Payment) Promised() money.Money {
	sum := money.Money{Currency: p.Amount.Currency}
	for _, r := range p.Refunds {
		sum.AmountMinor += r.Amount.AmountMinor
	}
	return sum
}

// RefundOpening is what a new refund needs.
type RefundOpening struct {
	AmountMinor int64 // more than 0
	Cause       Cause
	Seats       seatno.List
	Lease       time.Duration // how long the caller may drive the refund before others take it over
}

// OpenRefundTx records that money of a captured attempt goes back, through its gateway or, when it was paid at the counter,
// there, where no program drives it: ErrTooMuch when that is more than is left of it. The
// payment's row stays locked until the transaction ends.
func (s *Service) OpenRefundTx(ctx context.Context, tx *sql.Tx, a Attempt, o RefundOpening) (Refund, error) {
	r := Refund{
		ShowtimeID: a.ShowtimeID, ID: typeid.New(), PaymentID: a.PaymentID, AttemptID: a.ID, Gateway: a.Gateway,
		Amount: money.Money{AmountMinor: o.AmountMinor, Currency: a.Amount.Currency}, Cause: o.Cause, Seats: o.Seats, Status: RefundPending,
		Captured: a.Amount, Before: money.Money{Currency: a.Amount.Currency},
	}
	err := tx.QueryRowContext(ctx, `UPDATE payments SET promised_minor = promised_minor + $3, updated_at = now(),
			status = CASE WHEN promised_minor + $3 = captured_minor THEN 'REFUND_PENDING' ELSE status END
		WHERE showtime_id = $1 AND id = $2 AND status = 'CAPTURED' AND promised_minor + $3 <= captured_minor RETURNING refunded_minor`,
		a.ShowtimeID, a.PaymentID, o.AmountMinor).Scan(&r.Before.AmountMinor)
	if errors.Is(err, sql.ErrNoRows) {
		return Refund{}, ErrTooMuch
	}
	if err != nil {
		return Refund{}, fmt.Errorf("promising a refund: %w", err)
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO refunds (showtime_id, id, payment_id, attempt_id, number, amount_minor, cause, seats, leased_until)
		SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, 1 + count(*), $5::bigint, $6::text, $7::smallint[],
			CASE WHEN $9 THEN 'infinity' ELSE now() + $8 * interval '1 millisecond' END
		FROM refunds WHERE showtime_id = $1 AND attempt_id = $4 RETURNING number, created_at`,
		r.ShowtimeID, r.ID, r.PaymentID, r.AttemptID, o.AmountMinor, o.Cause, o.Seats, o.Lease.Milliseconds(), AtCounter(a.Gateway)).Scan(&r.Number, &r.CreatedAt)
	if err != nil {
		return Refund{}, fmt.Errorf("recording a refund: %w", err)
	}
	return r, nil
}

// FinishRefundTx records that a gateway gave a refund back: ErrMoved when that was recorded before.
func (s *Service) FinishRefundTx(ctx context.Context, tx *sql.Tx, r Refund) error {
	result, err := tx.ExecContext(ctx, `UPDATE refunds SET status = 'DONE', done_at = now() WHERE showtime_id = $1 AND id = $2 AND status = 'PENDING'`,
		r.ShowtimeID, r.ID)
	if err := changedOne(result, err); err != nil {
		return err
	}
	return changedOne(tx.ExecContext(ctx, `UPDATE payments SET refunded_minor = refunded_minor + $3, updated_at = now(),
			status = CASE WHEN refunded_minor + $3 = captured_minor THEN 'REFUNDED' ELSE status END
		WHERE showtime_id = $1 AND id = $2`, r.ShowtimeID, r.PaymentID, r.Amount.AmountMinor))
}

// LeaseRefunds takes over up to limit refunds whose driver has let its lease run out, for the given time. Two callers never
// get the same refund.
func (s *Service) LeaseRefunds(ctx context.Context, limit int, lease time.Duration) ([]Refund, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `UPDATE refunds r SET leased_until = now() + $2 * interval '1 millisecond'
		FROM payments p, payment_attempts a
		WHERE (r.showtime_id, r.id) IN (SELECT showtime_id, id FROM refunds WHERE status = 'PENDING' AND leased_until < now()
				ORDER BY leased_until LIMIT $1 FOR UPDATE SKIP LOCKED)
			AND p.showtime_id = r.showtime_id AND p.id = r.payment_id AND a.showtime_id = r.showtime_id AND a.id = r.attempt_id
		RETURNING r.showtime_id, r.id, r.payment_id, r.attempt_id, a.gateway, r.number, r.amount_minor, p.currency, r.cause, r.seats, r.status,
			r.created_at, a.amount_minor, p.refunded_minor`, limit, lease.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("looking for refunds: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (r Refund, err error) {
		err = rows.Scan(&r.ShowtimeID, &r.ID, &r.PaymentID, &r.AttemptID, &r.Gateway, &r.Number, &r.Amount.AmountMinor, &r.Amount.Currency,
			&r.Cause, &r.Seats, &r.Status, &r.CreatedAt, &r.Captured.AmountMinor, &r.Before.AmountMinor)
		r.Captured.Currency, r.Before.Currency = r.Amount.Currency, r.Amount.Currency
		return r, err
	})
}

// ReleaseRefund lets go of a refund's lease, so that the reconciler takes it up.
func (s *Service) ReleaseRefund(ctx context.Context, r Refund) error {
	_, err := s.db.SQL().ExecContext(ctx, `UPDATE refunds SET leased_until = now() WHERE showtime_id = $1 AND id = $2`, r.ShowtimeID, r.ID)
	if err != nil {
		return fmt.Errorf("releasing a refund: %w", err)
	}
	return nil
}

// KeptTx returns what was captured of an attempt's payment and has not been promised back, in minor units.
func (s *Service) KeptTx(ctx context.Context, tx *sql.Tx, a Attempt) (minor int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT captured_minor - promised_minor FROM payments WHERE showtime_id = $1 AND id = $2 FOR UPDATE`,
		a.ShowtimeID, a.PaymentID).Scan(&minor)
	if err != nil {
		return 0, fmt.Errorf("reading a payment: %w", err)
	}
	return minor, nil
}

// refundsOf reads the refunds of a payment as its query gives them.
func refundsOf(p Payment, text []byte) ([]Refund, error) {
	var rows []struct {
		ID          uuid.UUID    `json:"id"`
		AttemptID   uuid.UUID    `json:"attemptId"`
		Number      int16        `json:"number"`
		AmountMinor int64        `json:"amountMinor"`
		Cause       Cause        `json:"cause"`
		Status      RefundStatus `json:"status"`
		Seats       seatno.List  `json:"seats"`
		CreatedAt   time.Time    `json:"createdAt"`
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("reading refunds: %w", err)
	}
	refunds := make([]Refund, len(rows))
	for i, row := range rows {
		refunds[i] = Refund{
			ShowtimeID: p.ShowtimeID, ID: row.ID, PaymentID: p.ID, AttemptID: row.AttemptID, Gateway: p.Gateway, Number: row.Number,
			Amount: money.Money{AmountMinor: row.AmountMinor, Currency: p.Amount.Currency}, Cause: row.Cause, Seats: row.Seats,
			Status: row.Status, CreatedAt: row.CreatedAt,
		}
	}
	return refunds, nil
}
