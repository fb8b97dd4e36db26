package identity

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
)

// Allowance bounds how often an account may do something: Burst times at once, and once more with each Pause. The zero value
// bounds nothing.
type Allowance struct {
	Burst int
	Pause time.Duration
}

// SpendTx counts one more act of a kind against an account's allowance, in the caller's transaction: THROTTLED when that is
// used up. The count is shared by all nodes and sessions; its row is locked until the transaction ends. Two statements.
func (s *Service) SpendTx(ctx context.Context, tx *sql.Tx, act string, userID uuid.UUID, allowed Allowance) error {
	if allowed.Burst == 0 {
		return nil
	}
	wait, err := s.countTx(ctx, tx, s.subject("act of an account", act+" "+userID.String()), mailRule{burst: allowed.Burst, pause: allowed.Pause})
	if err != nil {
		return fmt.Errorf("counting acts of an account: %w", err)
	}
	if wait > 0 {
		return apperr.Throttle(wait, "You do this too often.")
	}
	return nil
}
