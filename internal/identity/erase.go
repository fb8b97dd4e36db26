package identity

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/audit"
)

// EraseTx ends all sessions of an account in the caller's transaction and deletes it with everything that belongs to it,
// so that its address and username are free again. Whoever commits calls the function that it returns. An account that
// is gone already is fine. The actor is who asked for it, nil for the command line.
func (s *Service) EraseTx(ctx context.Context, tx *sql.Tx, actor, userID uuid.UUID) (committed func(), err error) {
	gone, err := s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded, Actor: actor}, endAll, userID)
	if err != nil {
		return nil, fmt.Errorf("ending sessions: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = $1`, userID); err != nil {
		return nil, fmt.Errorf("deleting an account: %w", err)
	}
	return func() { s.noteEnded(gone...) }, nil
}
