package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

const (
	maxTxRetries = 3
	// The first pause before a retry; each further one is twice as long, and all are spread by half either way so
	// that two transactions that met once do not meet again.
	txRetryPause = 20 * time.Millisecond
)

// InTx runs fn in a READ COMMITTED transaction: committed when fn returns nil, rolled back when it returns an error,
// panics or ends its goroutine, and when ctx ends first.
//
// When the server aborts the transaction by a serialization failure (40001), a deadlock (40P01) or a schema change,
// the whole of it is run again, at most three times, so fn must touch nothing but the database, and must return the
// errors of its statements (wrapped with %w, if at all). Every other error is returned as it is, and matches ctx.Err()
// when that was the reason; one that matches ErrOutcomeUnknown says that the commit may have happened.
func (db *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	pause := txRetryPause
	for retries := 0; ; retries++ {
		err := db.runTx(ctx, fn)
		if err == nil || !isRetryable(err) || retries == maxTxRetries {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting to repeat a transaction: %w", ctx.Err(), err)
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause *= 2
		db.txRetries.Add(1)
	}
}

func (db *DB) runTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := db.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	// Also reached by a panic and by runtime.Goexit. After a commit it does nothing; when it fails, the connection
	// is closed and the server rolls back.
	defer func() { _ = tx.Rollback() }()
	if err = fn(tx); err == nil {
		if err = tx.Commit(); errors.Is(err, pq.ErrInFailedTransaction) {
			err = fmt.Errorf("commit a transaction of which a statement had failed: %w", err)
		} else if err != nil {
			err = fmt.Errorf("commit a transaction: %w", err)
		}
	}
	// database/sql rolls back by itself when ctx ends, and then only says that the transaction is over.
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

func isRetryable(err error) bool {
	if pq.As(err, pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected) != nil {
		return true
	}
	_, ok := errors.AsType[*staleStatementError](err)
	return ok
}
