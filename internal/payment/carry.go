package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// Source is money that pays a reservation: that of an attempt, or what was carried to it from another reservation's. The JSON
// form is stored: do not rename.
type Source struct {
	AttemptID    uuid.UUID `json:"attemptId"`
	Gateway      string    `json:"gateway"`
	Key          string    `json:"key"`          // what the gateway knows the charge by
	ChargedMinor int64     `json:"chargedMinor"` // that the charge took
	Minor        int64     `json:"amountMinor"`  // that is left, or drawn
}

// origin is the key of the charge of an attempt that carried it here; "" of one that took it itself.
func (s Source) origin() string {
	if s.Key == s.AttemptID.String() {
		return ""
	}
	return s.Key
}

// errDry is a defect: a payment promises what none of its sources has.
var errDry = errors.New("payment: its sources have less than it says")

// Draw takes an amount, in minor units, from sources, the first first, and returns the parts that are not empty with what is
// left of each source.
func Draw(sources []Source, minor int64) (parts, left []Source, err error) {
	for _, source := range sources {
		part := source
		part.Minor = min(source.Minor, minor)
		minor -= part.Minor
		source.Minor -= part.Minor
		if part.Minor > 0 {
			parts = append(parts, part)
		}
		left = append(left, source)
	}
	if minor > 0 {
		return nil, nil, errDry
	}
	return parts, left, nil
}

// SourcesTx returns what is left of the money that pays a reservation: what it took itself, then what was carried to it. The
// caller holds the reservation's or the payment's row lock.
func (s *Service) SourcesTx(ctx context.Context, tx *sql.Tx, of Reference) ([]Source, error) {
	rows, err := tx.QueryContext(ctx, `SELECT a.id, a.gateway, coalesce(a.origin_key, a.id::text), coalesce(a.origin_minor, a.amount_minor),
			a.amount_minor - coalesce(r.promised, 0)
		FROM payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status IN ('CAPTURED', 'CARRIED')
		LEFT JOIN LATERAL (SELECT sum(amount_minor) AS promised FROM refunds WHERE showtime_id = a.showtime_id AND attempt_id = a.id) r ON true
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 ORDER BY a.number DESC`, of.ShowtimeID, of.ID)
	if err != nil {
		return nil, fmt.Errorf("reading what pays a reservation: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (source Source, err error) {
		err = rows.Scan(&source.AttemptID, &source.Gateway, &source.Key, &source.ChargedMinor, &source.Minor)
		return source, err
	})
}

// CarryOutTx records that money of a reservation's payment pays another reservation, of whatever showtime: of its sources the
// given parts. ErrTooMuch when that is more than is left.
func (s *Service) CarryOutTx(ctx context.Context, tx *sql.Tx, of, to Reference, parts []Source, o RefundOpening) error {
	var paymentID uuid.UUID
	err := tx.QueryRowContext(ctx, `UPDATE payments SET promised_minor = promised_minor + $3, refunded_minor = refunded_minor + $3, updated_at = now(),
			status = CASE WHEN refunded_minor + $3 = captured_minor THEN 'REFUNDED' WHEN promised_minor + $3 = captured_minor THEN 'REFUND_PENDING' ELSE status END
		WHERE showtime_id = $1 AND reservation_id = $2 AND status = 'CAPTURED' AND promised_minor + $3 <= captured_minor RETURNING id`,
		of.ShowtimeID, of.ID, o.AmountMinor).Scan(&paymentID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrTooMuch
	}
	if err != nil {
		return fmt.Errorf("carrying money: %w", err)
	}
	for _, part := range parts {
		id := typeid.New()
		_, err := tx.ExecContext(ctx, `INSERT INTO refunds (showtime_id, id, payment_id, attempt_id, number, amount_minor, cause, seats, status,
				leased_until, done_at, to_showtime_id, to_reservation_id)
			SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, 1 + count(*), $5::bigint, $6::text, $7::smallint[], 'DONE', now(), now(), $8::uuid, $9::uuid
			FROM refunds WHERE showtime_id = $1 AND attempt_id = $4`,
			of.ShowtimeID, id, paymentID, part.AttemptID, part.Minor, o.Cause, o.Seats, to.ShowtimeID, to.ID)
		if err != nil {
			return fmt.Errorf("recording what was carried: %w", err)
		}
		if err := recordTx(ctx, tx, transfer{of.ShowtimeID, paymentID, id, CarriedOut, part.Gateway, part.Minor}); err != nil {
			return err
		}
	}
	return nil
}

// CarryInTx records the money that an attempt of a swap brings with it, in the transaction in which it is captured.
func (s *Service) CarryInTx(ctx context.Context, tx *sql.Tx, a Attempt, parts []Source) error {
	for i, part := range parts {
		id := typeid.New()
		_, err := tx.ExecContext(ctx, `INSERT INTO payment_attempts (showtime_id, id, payment_id, number, status, gateway, amount_minor, origin_key, origin_minor,
				idempotency_key, leased_until)
			VALUES ($1, $2, $3, $4, 'CARRIED', $5, $6, $7, $8, $9, now())`,
			a.ShowtimeID, id, a.PaymentID, -1-i, part.Gateway, part.Minor, part.Key, part.ChargedMinor, a.ID.String())
		if err != nil {
			return fmt.Errorf("recording what is carried: %w", err)
		}
		if err := recordTx(ctx, tx, transfer{a.ShowtimeID, a.PaymentID, id, CarriedIn, part.Gateway, part.Minor}); err != nil {
			return err
		}
	}
	return nil
}

// NoGateway stands where attempts name their gateway when they have nothing to take.
const NoGateway = "NONE"

// Nothing is the gateway of attempts that take nothing. They go the way of all attempts, so that whatever ends on the way is
// brought to its end as well.
type Nothing struct{ Currency string }

// Name returns NoGateway.
func (Nothing) Name() string { return NoGateway }

// Capabilities are those of a gateway that is never asked for money.
func (n Nothing) Capabilities() Capabilities { return Capabilities{Currencies: []string{n.Currency}} }

// Authorize agrees.
func (n Nothing) Authorize(context.Context, string, Request) (Charge, error) {
	return n.charge(ChargeAuthorized), nil
}

// Capture takes nothing.
func (n Nothing) Capture(context.Context, string, money.Money) (Charge, error) {
	return n.charge(ChargeCaptured), nil
}

// Void agrees.
func (n Nothing) Void(context.Context, string) (Charge, error) { return n.charge(ChargeVoided), nil }

// Refund is never asked for: nothing was taken.
func (Nothing) Refund(context.Context, string, string, money.Money) (ChargeRefund, error) {
	return ChargeRefund{}, ErrRefused
}

// LookupRefund finds none.
func (Nothing) LookupRefund(context.Context, string, string) (ChargeRefund, error) {
	return ChargeRefund{}, ErrNoSuchRefund
}

// Lookup says that nothing stands in the way.
func (n Nothing) Lookup(context.Context, string) (Charge, error) {
	return n.charge(ChargeAuthorized), nil
}

func (n Nothing) charge(status ChargeStatus) Charge {
	none := money.Money{Currency: n.Currency}
	return Charge{Status: status, Captured: none, Refunded: none}
}
