package identity

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/postgres"
)

// EraseTx ends all sessions of an account in the caller's transaction and deletes it with everything that belongs to it,
// so that its address and username are free again. Whoever commits calls the function that it returns. An account that
// is gone already is fine.
func (s *Service) EraseTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID) (committed func(), err error) {
	rows, err := tx.QueryContext(ctx, endAll, userID)
	if err != nil {
		return nil, fmt.Errorf("ending sessions: %w", err)
	}
	gone, err := postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = $1`, userID); err != nil {
		return nil, fmt.Errorf("deleting an account: %w", err)
	}
	return func() { s.noteEnded(gone...) }, nil
}

// endAll deletes all sessions of an account; their access tokens are recalled.
const endAll = `WITH gone AS (DELETE FROM sessions WHERE user_id = $1 RETURNING id)` + recallGone
