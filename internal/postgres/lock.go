package postgres

import (
	"context"
	"database/sql"
	"fmt"
)

// Lock is work that one node of an installation does at a time.
type Lock int64

// LockAuditSeal is held while entries of the audit log are chained.
const LockAuditSeal Lock = 0x6d61727175656502

// TryLockTx takes a lock until the transaction ends and reports whether it did; it never waits for another holder.
func TryLockTx(ctx context.Context, tx *sql.Tx, lock Lock) (taken bool, err error) {
	if err = tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(lock)).Scan(&taken); err != nil {
		return false, fmt.Errorf("take a lock: %w", err)
	}
	return taken, nil
}
