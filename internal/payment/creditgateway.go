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

// CreditName is the name of the gateway that store credit goes through.
const CreditName = "credit"

// CreditGateway takes store credit as a gateway takes money. Request.Token is the key of the credit, which the caller has made sure
// belongs to the customer. What is authorized is reserved; no two payments have the same credit.
type CreditGateway struct{ db *postgres.DB }

var _ Gateway = CreditGateway{}

// Credit returns the gateway that store credit goes through.
func (s *Service) Credit() CreditGateway { return CreditGateway{s.db} }

// Name returns CreditName.
func (CreditGateway) Name() string { return CreditName }

// Capabilities are every currency, decided at once.
func (CreditGateway) Capabilities() Capabilities {
	return Capabilities{Instruments: []Instrument{InstrumentStoreCredit}, PartialCapture: true}
}

// creditCharge is a row of the books.
type creditCharge struct {
	reference, credit uuid.NullUUID
	status            ChargeStatus
	amount            money.Money
	captured          int64
	declineCode       string
}

// Authorize reserves credit, or declines where there is not enough.
func (g CreditGateway) Authorize(ctx context.Context, key string, request Request) (Charge, error) {
	if request.Amount.AmountMinor <= 0 {
		return Charge{}, fmt.Errorf("%w: a charge of nothing", ErrRefused)
	}
	return g.change(ctx, key, func(tx *sql.Tx, c *creditCharge) (*creditCharge, error) {
		if c != nil {
			return nil, nil
		}
		fresh := &creditCharge{status: ChargeDeclined, amount: request.Amount, declineCode: "insufficient_funds"}
		id, err := uuid.Parse(request.Token)
		if err != nil { // who has none has too little
			return fresh, nil //nolint:nilerr // a token of no credit
		}
		var currency string
		err = tx.QueryRowContext(ctx, `SELECT currency FROM store_credits WHERE id = $1 FOR UPDATE`, id).Scan(&currency)
		if errors.Is(err, sql.ErrNoRows) || err == nil && currency != request.Amount.Currency {
			return fresh, nil
		}
		if err != nil {
			return nil, err
		}
		var left int64
		if err := tx.QueryRowContext(ctx, `SELECT `+creditLeft+` FROM store_credits c WHERE id = $1`, id).Scan(&left); err != nil {
			return nil, err
		}
		fresh.credit = uuid.NullUUID{UUID: id, Valid: true}
		if left >= request.Amount.AmountMinor {
			fresh.status, fresh.declineCode = ChargeAuthorized, ""
		}
		return fresh, nil
	})
}

// Capture spends reserved credit, and lets go of the rest.
func (g CreditGateway) Capture(ctx context.Context, key string, amount money.Money) (Charge, error) {
	return g.change(ctx, key, func(tx *sql.Tx, c *creditCharge) (*creditCharge, error) {
		switch {
		case c == nil:
			return nil, ErrNoSuchCharge
		case c.status != ChargeAuthorized:
			return nil, nil
		case amount.Currency != c.amount.Currency || amount.AmountMinor <= 0 || amount.AmountMinor > c.amount.AmountMinor:
			return nil, fmt.Errorf("%w: not a part of what was authorized", ErrRefused)
		}
		c.status, c.captured = ChargeCaptured, amount.AmountMinor
		_, _, err := enterTx(ctx, tx, c.credit.UUID, CreditSpent, key, &key, -amount.AmountMinor)
		return c, err
	})
}

// Void lets go of reserved credit, and closes a key that is not known.
func (g CreditGateway) Void(ctx context.Context, key string) (Charge, error) {
	return g.change(ctx, key, func(_ *sql.Tx, c *creditCharge) (*creditCharge, error) {
		switch {
		case c == nil:
			return &creditCharge{status: ChargeVoided, amount: money.Money{Currency: "XXX"}}, nil
		case c.status != ChargeAuthorized:
			return nil, nil
		}
		c.status = ChargeVoided
		return c, nil
	})
}

// Lookup says how a charge stands.
func (g CreditGateway) Lookup(ctx context.Context, key string) (Charge, error) {
	return g.change(ctx, key, func(_ *sql.Tx, c *creditCharge) (*creditCharge, error) {
		if c == nil {
			return nil, ErrNoSuchCharge
		}
		return nil, nil
	})
}

// Refund gives spent credit back.
func (g CreditGateway) Refund(ctx context.Context, key, refundKey string, amount money.Money) (refund ChargeRefund, err error) {
	_, err = g.change(ctx, key, func(tx *sql.Tx, c *creditCharge) (*creditCharge, error) {
		if c == nil {
			return nil, ErrNoSuchCharge
		}
		refund, err = creditRefund(ctx, tx, key, refundKey)
		if !errors.Is(err, ErrNoSuchRefund) {
			return nil, err
		}
		returned, err := creditReturned(ctx, tx, key)
		if err != nil {
			return nil, err
		}
		if c.status != ChargeCaptured || amount.Currency != c.amount.Currency || amount.AmountMinor <= 0 || amount.AmountMinor > c.captured-returned {
			return nil, fmt.Errorf("%w: not a part of what is left", ErrRefused)
		}
		id, _, err := enterTx(ctx, tx, c.credit.UUID, CreditReturned, refundKey, &key, amount.AmountMinor)
		refund = ChargeRefund{Reference: id.String(), Status: RefundDone, Amount: amount}
		return nil, err
	})
	if err != nil {
		return ChargeRefund{}, err
	}
	return refund, nil
}

// LookupRefund says how a refund stands.
func (g CreditGateway) LookupRefund(ctx context.Context, key, refundKey string) (refund ChargeRefund, err error) {
	_, err = g.change(ctx, key, func(tx *sql.Tx, c *creditCharge) (*creditCharge, error) {
		if c == nil {
			return nil, ErrNoSuchCharge
		}
		refund, err = creditRefund(ctx, tx, key, refundKey)
		return nil, err
	})
	return refund, err
}

func creditRefund(ctx context.Context, tx *sql.Tx, key, refundKey string) (refund ChargeRefund, err error) {
	refund.Status = RefundDone
	err = tx.QueryRowContext(ctx, `SELECT e.id, e.amount_minor, c.currency FROM store_credit_entries e JOIN store_credits c ON c.id = e.credit_id
		WHERE e.charge_key = $1 AND e.kind = 'RETURNED' AND e.key = $2`, key, refundKey).Scan(&refund.Reference, &refund.Amount.AmountMinor, &refund.Amount.Currency)
	if errors.Is(err, sql.ErrNoRows) {
		return ChargeRefund{}, ErrNoSuchRefund
	}
	return refund, err
}

func creditReturned(ctx context.Context, tx *sql.Tx, key string) (minor int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(amount_minor), 0) FROM store_credit_entries WHERE charge_key = $1 AND kind = 'RETURNED'`, key).Scan(&minor)
	return minor, err
}

// change runs do on the charge of a key, nil when there is none, while nobody else does, and returns how it stands then. do
// returns the charge when it has made or changed it.
func (g CreditGateway) change(ctx context.Context, key string, do func(tx *sql.Tx, c *creditCharge) (*creditCharge, error)) (charge Charge, err error) {
	err = g.db.InTx(ctx, func(tx *sql.Tx) error {
		// Also of a key that has no row yet.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('store credit ' || $1))`, key); err != nil {
			return err
		}
		c := &creditCharge{}
		err := tx.QueryRowContext(ctx, `SELECT reference, credit_id, status, amount_minor, currency, captured_minor, coalesce(decline_code, '') FROM store_credit_charges WHERE key = $1`, key).
			Scan(&c.reference, &c.credit, &c.status, &c.amount.AmountMinor, &c.amount.Currency, &c.captured, &c.declineCode)
		if errors.Is(err, sql.ErrNoRows) {
			c = nil
		} else if err != nil {
			return err
		}
		changed, err := do(tx, c)
		if err != nil {
			return err
		}
		if changed != nil {
			if !changed.reference.Valid {
				changed.reference = uuid.NullUUID{UUID: typeid.New(), Valid: true}
			}
			c = changed
			_, err := tx.ExecContext(ctx, `INSERT INTO store_credit_charges (key, reference, credit_id, status, amount_minor, currency, captured_minor, decline_code)
				VALUES ($1, $2, $3, $4, $5, $6, $7, nullif($8, '')) ON CONFLICT (key) DO UPDATE SET status = excluded.status, captured_minor = excluded.captured_minor`,
				key, c.reference, c.credit, c.status, c.amount.AmountMinor, c.amount.Currency, c.captured, c.declineCode)
			if err != nil {
				return err
			}
		}
		returned, err := creditReturned(ctx, tx, key)
		charge = Charge{
			Reference: c.reference.UUID.String(), Status: c.status, DeclineCode: c.declineCode,
			Captured: money.Money{AmountMinor: c.captured, Currency: c.amount.Currency}, Refunded: money.Money{AmountMinor: returned, Currency: c.amount.Currency},
		}
		return err
	})
	if err != nil {
		return Charge{}, fmt.Errorf("store credit: %w", err)
	}
	return charge, nil
}
