package payment

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// TillMethod is how money goes over the counter.
type TillMethod string

// The methods.
const (
	TillCash TillMethod = "CASH"
	TillCard TillMethod = "CARD" // at a terminal, which is no part of this program
)

// Method is how the price of a reservation is collected.
type Method string

// The methods. Those of the counter stand where attempts name their gateway, since no program is behind them: what was done,
// staff did.
const (
	MethodOnline Method = "ONLINE"
	MethodCredit Method = "STORE_CREDIT"
	MethodCash   Method = "COUNTER_CASH"
	MethodCard   Method = "COUNTER_CARD"
)

// Gateway returns what stands where attempts name their gateway.
func (m TillMethod) Gateway() string {
	if m == TillCard {
		return string(MethodCard)
	}
	return string(MethodCash)
}

// Instead returns the other way over the counter.
func (m TillMethod) Instead() TillMethod {
	if m == TillCard {
		return TillCash
	}
	return TillCard
}

// AtCounter reports whether what goes through a gateway goes over the counter, and never to a program.
func AtCounter(gateway string) bool {
	return gateway == string(MethodCash) || gateway == string(MethodCard)
}

// Method returns how the payment is collected.
func (p Payment) Method() Method { return methodOf(p.Gateway) }

// Method returns how it goes back: the way the money was collected, unless somebody has decided otherwise.
func (r Refund) Method() Method { return methodOf(r.Through()) }

func methodOf(gateway string) Method {
	if AtCounter(gateway) {
		return Method(gateway)
	}
	if gateway == CreditName {
		return MethodCredit
	}
	return MethodOnline
}

// TillKind is the direction of money over the counter.
type TillKind string

// The kinds.
const (
	TillTaken   TillKind = "TAKEN"
	TillPaidOut TillKind = "PAID_OUT"
)

// TillEntry is money that somebody of the staff took at the counter, or paid out. It is neither changed nor deleted.
type TillEntry struct {
	ShowtimeID uuid.UUID
	ID         uuid.UUID
	PaymentID  uuid.UUID
	RefundID   uuid.NullUUID // that it pays out
	TheaterID  uuid.UUID
	StaffID    uuid.UUID
	Kind       TillKind
	Method     TillMethod
	Amount     money.Money
	Given      money.Money // what the customer handed over; of CASH that was taken at least the amount, else the amount
	Terminal   string      // what the terminal calls it; of CARD
	Key        string      // of the command that wrote it
	CreatedAt  time.Time
}

// Change returns what the customer got back of what they gave.
func (e TillEntry) Change() money.Money {
	return money.Money{AmountMinor: e.Given.AmountMinor - e.Amount.AmountMinor, Currency: e.Amount.Currency}
}

// TerminalReference returns what the terminal calls it, nil for cash.
func (e TillEntry) TerminalReference() *string {
	if e.Terminal == "" {
		return nil
	}
	return &e.Terminal
}

// RecordTillTx writes an entry in the transaction that has its reason, and returns it with key and time.
func (s *Service) RecordTillTx(ctx context.Context, tx *sql.Tx, e TillEntry) (TillEntry, error) {
	e.ID = typeid.New()
	err := tx.QueryRowContext(ctx, `INSERT INTO till_entries
			(showtime_id, id, payment_id, refund_id, theater_id, staff_id, kind, method, amount_minor, given_minor, terminal_reference, idempotency_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nullif($11, ''), $12) RETURNING created_at`,
		e.ShowtimeID, e.ID, e.PaymentID, e.RefundID, e.TheaterID, e.StaffID, e.Kind, e.Method, e.Amount.AmountMinor, e.Given.AmountMinor, e.Terminal, e.Key).
		Scan(&e.CreatedAt)
	if err != nil {
		return e, fmt.Errorf("recording money at the counter: %w", err)
	}
	if e.Kind == TillPaidOut {
		err = recordTx(ctx, tx, transfer{e.ShowtimeID, e.PaymentID, e.RefundID.UUID, Returned, e.Method.Gateway(), e.Amount.AmountMinor})
	}
	return e, err
}

// TakenAtCounter returns how a reservation was paid at the counter; ok is false when it was not. The caller has made sure
// that the viewer may know.
func (s *Service) TakenAtCounter(ctx context.Context, ref Reference) (e TillEntry, ok bool, err error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT e.showtime_id, e.id, e.payment_id, e.theater_id, e.staff_id, e.kind, e.method, e.amount_minor,
			e.given_minor, p.currency, coalesce(e.terminal_reference, ''), e.created_at
		FROM payments p JOIN till_entries e ON e.showtime_id = p.showtime_id AND e.payment_id = p.id
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 AND e.kind = 'TAKEN'`, ref.ShowtimeID, ref.ID)
	if err != nil {
		return e, false, fmt.Errorf("reading money at the counter: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (e TillEntry, err error) {
		err = rows.Scan(&e.ShowtimeID, &e.ID, &e.PaymentID, &e.TheaterID, &e.StaffID, &e.Kind, &e.Method, &e.Amount.AmountMinor,
			&e.Given.AmountMinor, &e.Amount.Currency, &e.Terminal, &e.CreatedAt)
		e.Given.Currency = e.Amount.Currency
		return e, err
	})
	if err != nil || len(found) == 0 {
		return e, false, err
	}
	return found[0], true, nil
}

// PaidOutTx returns what a command with this idempotency key paid out of a reservation, in minor units.
func (s *Service) PaidOutTx(ctx context.Context, tx *sql.Tx, ref Reference, key string) (minor int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(e.amount_minor), 0) FROM payments p
		JOIN till_entries e ON e.showtime_id = p.showtime_id AND e.payment_id = p.id
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 AND e.kind = 'PAID_OUT' AND e.idempotency_key = $3`, ref.ShowtimeID, ref.ID, key).Scan(&minor)
	if err != nil {
		return 0, fmt.Errorf("reading what was paid out: %w", err)
	}
	return minor, nil
}

// DueAtCounterTx returns what is to be paid out at the counter of a reservation, with how it was paid, the first promised first. The caller holds the reservation's row lock.
func (s *Service) DueAtCounterTx(ctx context.Context, tx *sql.Tx, ref Reference) ([]Refund, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+refundColumns+refundSource+`
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 AND r.status = 'PENDING'
			AND (r.destination = $5 OR r.destination = $6 AND a.gateway IN ($3, $4)) ORDER BY r.number`,
		ref.ShowtimeID, ref.ID, MethodCash, MethodCard, ToCash, ToOriginal)
	if err != nil {
		return nil, fmt.Errorf("reading what is due at the counter: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (Refund, error) { return scanRefund(rows) })
}
