package booking

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// command is what an idempotency key stands for: repeating the command gives the answer again.
type command struct {
	showtimeID uuid.UUID
	viewerID   uuid.UUID
	key        string
	operation  string
	asked      []byte // tells requests apart that come with the same key
}

// turnTx makes twins run one after the other until the transaction ends, and returns the reservation that the command was
// about if it was carried out before: IDEMPOTENCY_KEY_REUSED when the key stands for another one.
func (c command) turnTx(ctx context.Context, tx *sql.Tx) (reservation uuid.UUID, replayed bool, err error) {
	_, err = tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('key ' || $1 || $2, hashtextextended($3, 0)))`,
		c.viewerID.String(), c.key, c.showtimeID.String())
	if err != nil {
		return uuid.Nil, false, fmt.Errorf("waiting for a twin: %w", err)
	}
	var (
		operation string
		stored    []byte
	)
	err = tx.QueryRowContext(ctx, `SELECT operation, fingerprint, reservation_id FROM idempotency_keys
		WHERE showtime_id = $1 AND viewer_id = $2 AND key = $3`, c.showtimeID, c.viewerID, c.key).Scan(&operation, &stored, &reservation)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return uuid.Nil, false, nil
	case err != nil:
		return uuid.Nil, false, fmt.Errorf("reading a key: %w", err)
	case operation != c.operation || !bytes.Equal(stored, c.asked):
		return uuid.Nil, false, errKeyReused()
	default:
		return reservation, true, nil
	}
}

// rememberTx stores the key of a command that was carried out.
func (c command) rememberTx(ctx context.Context, tx *sql.Tx, reservation uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
		VALUES ($1, $2, $3, $4, $5, $6)`, c.showtimeID, c.viewerID, c.key, c.operation, c.asked, reservation)
	if err != nil {
		return fmt.Errorf("remembering a key: %w", err)
	}
	return nil
}
