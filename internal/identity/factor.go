package identity

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/postgres"
)

// FactorKind is a kind of second factor.
type FactorKind string

// The kinds of second factors. The last stands in for the others.
const (
	FactorTOTP         FactorKind = "TOTP"
	FactorPasskey      FactorKind = "PASSKEY"
	FactorRecoveryCode FactorKind = "RECOVERY_CODE"
)

// factorKindsTx returns the kinds of second factors that an account has, each once; none when it has none.
func factorKindsTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) ([]FactorKind, error) {
	rows, err := tx.QueryContext(ctx, `SELECT kind FROM factors WHERE user_id = $1 AND confirmed_at IS NOT NULL GROUP BY kind ORDER BY kind DESC`, user)
	if err != nil {
		return nil, fmt.Errorf("reading the kinds of factors: %w", err)
	}
	kinds, err := postgres.Collect(rows, func(rows *sql.Rows) (kind FactorKind, err error) {
		err = rows.Scan(&kind)
		return kind, err
	})
	if err != nil || len(kinds) == 0 {
		return nil, err
	}
	var saved bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM recovery_codes WHERE user_id = $1)`, user).Scan(&saved); err != nil {
		return nil, fmt.Errorf("looking for recovery codes: %w", err)
	}
	if saved {
		kinds = append(kinds, FactorRecoveryCode)
	}
	return kinds, nil
}
