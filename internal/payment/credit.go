package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// StoreCredit is what a theater owes a customer for coming back. It is not money: nobody pays it out.
type StoreCredit struct {
	ID        uuid.UUID
	TheaterID uuid.UUID
	Balance   money.Money // without what a payment under way has reserved; never below 0
	Movements []CreditMovement
}

// CreditKind is what changed a credit.
type CreditKind string

// The kinds.
const (
	CreditRefunded CreditKind = "REFUNDED" // of a payment that went another way
	CreditGranted  CreditKind = "GRANTED"  // by those who look after money
	CreditSpent    CreditKind = "SPENT"    // it paid for seats
	CreditReturned CreditKind = "RETURNED" // of what it paid for
	CreditRevoked  CreditKind = "REVOKED"  // by those who look after money
)

// CreditMovement is a change of a credit.
type CreditMovement struct {
	Kind      CreditKind
	Amount    money.Money // below 0 where the credit became less
	CreatedAt time.Time
}

// mostMovements bounds what is told of a credit.
const mostMovements = 100

// StoreCredits returns what theaters owe a customer, with the last changes of each, the latest first. Two statements.
func (s *Service) StoreCredits(ctx context.Context, customer uuid.UUID) ([]StoreCredit, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT c.id, c.theater_id, c.currency, `+creditLeft+` FROM store_credits c WHERE c.customer_id = $1 ORDER BY c.created_at, c.id`, customer)
	if err != nil {
		return nil, fmt.Errorf("reading store credits: %w", err)
	}
	credits, err := postgres.Collect(rows, func(rows *sql.Rows) (c StoreCredit, err error) {
		err = rows.Scan(&c.ID, &c.TheaterID, &c.Balance.Currency, &c.Balance.AmountMinor)
		return c, err
	})
	if err != nil || len(credits) == 0 {
		return nil, err
	}
	type line struct {
		of uuid.UUID
		CreditMovement
	}
	rows, err = s.db.SQL().QueryContext(ctx, `SELECT c.id, e.kind, e.amount_minor, c.currency, e.created_at FROM store_credits c
		CROSS JOIN LATERAL (SELECT id, kind, amount_minor, created_at FROM store_credit_entries WHERE credit_id = c.id ORDER BY created_at DESC, id DESC LIMIT $2) e
		WHERE c.customer_id = $1 ORDER BY e.created_at DESC, e.id DESC`, customer, mostMovements)
	if err != nil {
		return nil, fmt.Errorf("reading store credits: %w", err)
	}
	lines, err := postgres.Collect(rows, func(rows *sql.Rows) (l line, err error) {
		err = rows.Scan(&l.of, &l.Kind, &l.Amount.AmountMinor, &l.Amount.Currency, &l.CreatedAt)
		return l, err
	})
	for i := range credits {
		for _, l := range lines {
			if l.of == credits[i].ID {
				credits[i].Movements = append(credits[i].Movements, l.CreditMovement)
			}
		}
	}
	return credits, err
}

// creditLeft is what a credit c has, in minor units, without what payments under way have reserved.
const creditLeft = `((SELECT coalesce(sum(amount_minor), 0) FROM store_credit_entries WHERE credit_id = c.id)
	- (SELECT coalesce(sum(amount_minor), 0) FROM store_credit_charges WHERE credit_id = c.id AND status = 'AUTHORIZED'))::bigint`

// CreditOf returns the key of a customer's credit at the theater of a showtime, in a currency; "" when there is none.
func (s *Service) CreditOf(ctx context.Context, customer, showtimeID uuid.UUID, currency string) (string, error) {
	var id uuid.UUID
	err := s.db.SQL().QueryRowContext(ctx, `SELECT c.id FROM store_credits c JOIN showtimes s ON s.theater_id = c.theater_id
		WHERE c.customer_id = $1 AND s.id = $2 AND c.currency = $3`, customer, showtimeID, currency).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading a store credit: %w", err)
	}
	return id.String(), nil
}

// openCreditTx returns a customer's credit, which it makes if there is none, locked, with what is left of it.
func openCreditTx(ctx context.Context, tx *sql.Tx, customer, theater uuid.UUID, currency string) (id uuid.UUID, left int64, err error) {
	_, err = tx.ExecContext(ctx, `INSERT INTO store_credits (id, customer_id, theater_id, currency) VALUES ($1, $2, $3, $4)
		ON CONFLICT (customer_id, theater_id, currency) DO NOTHING`, typeid.New(), customer, theater, currency)
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT id FROM store_credits WHERE customer_id = $1 AND theater_id = $2 AND currency = $3 FOR UPDATE`,
			customer, theater, currency).Scan(&id)
	}
	if err == nil { // of its own snapshot, which sees what was committed while it waited
		err = tx.QueryRowContext(ctx, `SELECT `+creditLeft+` FROM store_credits c WHERE id = $1`, id).Scan(&left)
	}
	if err != nil {
		return id, 0, fmt.Errorf("opening a store credit: %w", err)
	}
	return id, left, nil
}

// enterTx writes an entry of a credit, once for its key; false when it was written before.
func enterTx(ctx context.Context, tx *sql.Tx, credit uuid.UUID, kind CreditKind, key string, charge *string, minor int64) (id uuid.UUID, written bool, err error) {
	id = typeid.New()
	result, err := tx.ExecContext(ctx, `INSERT INTO store_credit_entries (id, credit_id, kind, key, charge_key, amount_minor) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (credit_id, kind, key) DO NOTHING`, id, credit, kind, key, charge, minor)
	if err != nil {
		return id, false, fmt.Errorf("writing a store credit: %w", err)
	}
	n, err := result.RowsAffected()
	return id, n == 1, err
}

// CreditRefundTx gives a refund to its customer as store credit, in the transaction that records it as given back.
func (s *Service) CreditRefundTx(ctx context.Context, tx *sql.Tx, r Refund) error {
	var customer, theater uuid.UUID
	err := tx.QueryRowContext(ctx, `SELECT p.viewer_id, s.theater_id FROM payments p JOIN showtimes s ON s.id = p.showtime_id WHERE p.showtime_id = $1 AND p.id = $2`,
		r.ShowtimeID, r.PaymentID).Scan(&customer, &theater)
	if err != nil {
		return fmt.Errorf("reading whose refund it is: %w", err)
	}
	credit, _, err := openCreditTx(ctx, tx, customer, theater, r.Amount.Currency)
	if err != nil {
		return err
	}
	_, _, err = enterTx(ctx, tx, credit, CreditRefunded, r.ID.String(), nil, r.Due().AmountMinor)
	return err
}

// HasAccount reports whether a payment's customer has an account, for which credit can be kept.
func (s *Service) HasAccount(ctx context.Context, r Refund) (has bool, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM payments p JOIN users u ON u.id = p.viewer_id WHERE p.showtime_id = $1 AND p.id = $2)`,
		r.ShowtimeID, r.PaymentID).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("reading whose refund it is: %w", err)
	}
	return has, nil
}

// AdjustInput asks to grant a customer credit, or to revoke some.
type AdjustInput struct {
	CustomerID     uuid.UUID
	TheaterID      uuid.UUID
	AmountMinor    int64 // below 0: revoked
	Reason         string
	IdempotencyKey string
}

// The bounds of an adjustment: what a mistake may cost, and what is recorded.
const (
	mostAdjusted   = 100_000_00
	maxReason      = 500
	minKey, maxKey = 8, 255
)

func (in AdjustInput) validate() error {
	var bad apperr.Fields
	words.Check(&bad, "input.reason", words.Clean(in.Reason), maxReason, "Say why, in 1 to %d printable characters.")
	if in.AmountMinor == 0 || in.AmountMinor > mostAdjusted || in.AmountMinor < -mostAdjusted {
		bad.Add("input.amountMinor", "Give 1 to %d, or as much below 0.", mostAdjusted)
	}
	switch n := utf8.RuneCountInString(in.IdempotencyKey); {
	case n < minKey || n > maxKey || !words.Printable(in.IdempotencyKey):
		bad.Add("input.idempotencyKey", "Give a key of %d to %d printable characters, new for each intent.", minKey, maxKey)
	case words.IsCardNumber(in.IdempotencyKey):
		words.CheckCardNumber(&bad, "input.idempotencyKey", in.IdempotencyKey)
	}
	return bad.Err()
}

// AdjustCredit grants a customer store credit at a theater, in its currency, or revokes some, and returns what is left then.
// Repeating it with the same key changes nothing. For those who look after money, with a recent proof: FORBIDDEN,
// STEP_UP_REQUIRED, NOT_FOUND for a customer or theater that does not exist, BAD_USER_INPUT, CONFLICT when more would be revoked
// than is left. It is recorded.
func (s *Service) AdjustCredit(ctx context.Context, viewer auth.Viewer, in AdjustInput, now time.Time) (left money.Money, err error) {
	if !viewer.Has(auth.RoleFinance, auth.Platform) {
		return left, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if err := in.validate(); err != nil {
		return left, err
	}
	if err := viewer.Recent(now); err != nil {
		return left, err
	}
	kind, movement := CreditGranted, Granted
	if in.AmountMinor < 0 {
		kind, movement = CreditRevoked, Revoked
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		var there bool
		err := tx.QueryRowContext(ctx, `SELECT currency, EXISTS (SELECT FROM users WHERE id = $2) FROM theaters WHERE id = $1`, in.TheaterID, in.CustomerID).
			Scan(&left.Currency, &there)
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("theater")
		}
		if err != nil {
			return fmt.Errorf("reading a theater: %w", err)
		}
		if !there {
			return apperr.Missing("user")
		}
		credit, has, err := openCreditTx(ctx, tx, in.CustomerID, in.TheaterID, left.Currency)
		if err != nil {
			return err
		}
		entry, written, err := enterTx(ctx, tx, credit, kind, in.IdempotencyKey, nil, in.AmountMinor)
		if err != nil || !written {
			left.AmountMinor = has
			return err
		}
		if left.AmountMinor = has + in.AmountMinor; left.AmountMinor < 0 {
			return apperr.New(apperr.Conflict, "This customer has less store credit than that.")
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO ledger_transfers (showtime_id, id, theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency)
			VALUES ($1, $2, $3, $1, $4, $5, $6, $7, $8, $9, $10)`, credit, typeid.New(), in.TheaterID, entry, movement, entries[movement].debit, entries[movement].credit,
			CreditName, max(in.AmountMinor, -in.AmountMinor), left.Currency)
		if err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		type adjusted struct {
			AmountMinor int64  `json:"amountMinor"`
			LeftMinor   int64  `json:"leftMinor"`
			Currency    string `json:"currency"`
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.StoreCreditAdjusted, Actor: viewer.UserID, Subject: typeid.Encode(typeid.User, in.CustomerID), Theater: in.TheaterID, Reason: words.Clean(in.Reason),
			After: adjusted{AmountMinor: in.AmountMinor, LeftMinor: left.AmountMinor, Currency: left.Currency},
		})
	})
	return left, err
}
