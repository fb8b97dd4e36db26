// Package sandbox is a payment gateway that moves no money: for development, demonstrations and tests.
//
// It keeps books of its own in the schema sandbox_gateway, written on its own connection and never in a transaction of
// Marquee's, so that they bear witness to what a real gateway would have done. Amounts decide the outcome, by their
// last two digits in minor units; the numbers are the response codes of ISO 8583:
//
//	05  declined: do_not_honor
//	51  declined: insufficient_funds
//	54  declined: expired_card
//	91  the charge is authorized, but the answer is lost
package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// ErrNoAnswer is the sandbox's lost answer: the effect may or may not have happened.
var ErrNoAnswer = errors.New("sandbox gateway: the answer was lost")

const lostAnswer = 91

// declines maps the last two digits of an amount to the reason it is declined for.
var declines = map[int64]string{5: "do_not_honor", 51: "insufficient_funds", 54: "expired_card"}

// Gateway is the sandbox. It is safe for concurrent use, also by several processes on one database.
type Gateway struct {
	db *postgres.DB
}

var _ payment.Gateway = (*Gateway)(nil)

// New returns a sandbox that keeps its books in db.
func New(db *postgres.DB) *Gateway { return &Gateway{db: db} }

// Name returns "sandbox".
func (*Gateway) Name() string { return "sandbox" }

// Capabilities are few: it takes every currency, and decides everything at once.
func (*Gateway) Capabilities() payment.Capabilities {
	return payment.Capabilities{Instruments: []payment.Instrument{payment.InstrumentCard}}
}

// Authorize reserves amount, or declines it by its last two digits.
func (g *Gateway) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	amount := request.Amount
	status, code := payment.ChargeAuthorized, ""
	if reason, declined := declines[amount.AmountMinor%100]; declined {
		status, code = payment.ChargeDeclined, reason
	}
	charge, err := g.charge(ctx, `INSERT INTO sandbox_gateway.charges (key, reference, amount_minor, currency, status, decline_code)
		VALUES ($1, $2, $3, $4, $5, nullif($6, '')) ON CONFLICT (key) DO NOTHING RETURNING `+chargeColumns,
		key, "sbx_"+typeid.New().String(), amount.AmountMinor, amount.Currency, status, code)
	switch {
	case errors.Is(err, payment.ErrNoSuchCharge):
		return g.Lookup(ctx, key) // it was asked before
	case err == nil && amount.AmountMinor%100 == lostAnswer:
		return payment.Charge{}, ErrNoAnswer
	default:
		return charge, err
	}
}

// Capture takes the whole authorized amount.
func (g *Gateway) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	charge, err := g.charge(ctx, `UPDATE sandbox_gateway.charges SET status = 'CAPTURED', captured_minor = amount_minor
		WHERE key = $1 AND status = 'AUTHORIZED' AND amount_minor = $2 AND currency = $3 RETURNING `+chargeColumns, key, amount.AmountMinor, amount.Currency)
	if !errors.Is(err, payment.ErrNoSuchCharge) {
		return charge, err
	}
	charge, err = g.Lookup(ctx, key)
	if err == nil && charge.Status == payment.ChargeAuthorized {
		return payment.Charge{}, payment.ErrRefused
	}
	return charge, err
}

// Void lets go of an uncaptured charge; an unknown key is marked so that it can never be authorized.
func (g *Gateway) Void(ctx context.Context, key string) (payment.Charge, error) {
	_, err := g.db.SQL().ExecContext(ctx, `INSERT INTO sandbox_gateway.charges AS c (key, reference, amount_minor, currency, status)
		VALUES ($1, $2, 0, 'XXX', 'VOIDED')
		ON CONFLICT (key) DO UPDATE SET status = 'VOIDED' WHERE c.status = 'AUTHORIZED'`, key, "sbx_"+typeid.New().String())
	if err != nil {
		return payment.Charge{}, fmt.Errorf("sandbox gateway: %w", err)
	}
	return g.Lookup(ctx, key)
}

// Refund gives back part or all of a captured charge, once per refundKey.
func (g *Gateway) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	if _, err := g.Lookup(ctx, key); err != nil {
		return payment.ChargeRefund{}, err
	}
	if amount.AmountMinor <= 0 {
		return payment.ChargeRefund{}, payment.ErrRefused
	}
	err := g.db.InTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO sandbox_gateway.refunds (key, charge_key, amount_minor)
			VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING`, refundKey, key, amount.AmountMinor)
		if err != nil {
			return fmt.Errorf("sandbox gateway: %w", err)
		}
		if made, err := result.RowsAffected(); err != nil || made == 0 {
			return err
		}
		result, err = tx.ExecContext(ctx, `UPDATE sandbox_gateway.charges SET refunded_minor = refunded_minor + $2
			WHERE key = $1 AND status = 'CAPTURED' AND currency = $3 AND refunded_minor + $2 <= captured_minor`,
			key, amount.AmountMinor, amount.Currency)
		if err != nil {
			return fmt.Errorf("sandbox gateway: %w", err)
		}
		if changed, err := result.RowsAffected(); err != nil || changed == 1 {
			return err
		}
		return payment.ErrRefused
	})
	if err != nil {
		return payment.ChargeRefund{}, err
	}
	return payment.ChargeRefund{Reference: refundKey, Status: payment.RefundDone, Amount: amount}, nil
}

// Lookup says how a charge stands.
func (g *Gateway) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	return g.charge(ctx, `SELECT `+chargeColumns+` FROM sandbox_gateway.charges WHERE key = $1`, key)
}

const chargeColumns = `reference, status, coalesce(decline_code, ''), captured_minor, refunded_minor, currency`

// charge returns what a statement says of a charge, ErrNoSuchCharge when nothing.
func (g *Gateway) charge(ctx context.Context, statement string, args ...any) (payment.Charge, error) {
	var c payment.Charge
	err := g.db.SQL().QueryRowContext(ctx, statement, args...).
		Scan(&c.Reference, &c.Status, &c.DeclineCode, &c.Captured.AmountMinor, &c.Refunded.AmountMinor, &c.Captured.Currency)
	if errors.Is(err, sql.ErrNoRows) {
		return payment.Charge{}, payment.ErrNoSuchCharge
	}
	if err != nil {
		return payment.Charge{}, fmt.Errorf("sandbox gateway: %w", err)
	}
	c.Refunded.Currency = c.Captured.Currency
	return c, nil
}
