package booking

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/postgres"
)

// Standing is what a customer has under way.
type Standing struct {
	Held  []CancelInput // reservations that are not paid, and not expired
	Ahead int           // paid reservations of showtimes that are not over
}

// StandingTx returns what a customer has under way, in the caller's transaction. Two statements.
func (s *Service) StandingTx(ctx context.Context, tx *sql.Tx, viewerID uuid.UUID) (Standing, error) {
	rows, err := tx.QueryContext(ctx, `SELECT showtime_id, id FROM reservations
		WHERE viewer_id = $1 AND status IN ('HELD', 'RESERVED') AND (held_until IS NULL OR held_until > now()) ORDER BY showtime_id, id`, viewerID)
	if err != nil {
		return Standing{}, fmt.Errorf("reading holds: %w", err)
	}
	var standing Standing
	standing.Held, err = postgres.Collect(rows, func(rows *sql.Rows) (in CancelInput, err error) {
		err = rows.Scan(&in.ShowtimeID, &in.ReservationID)
		return in, err
	})
	if err != nil {
		return Standing{}, err
	}
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM reservations r JOIN showtimes s ON s.id = r.showtime_id
		WHERE r.viewer_id = $1 AND r.status = 'CONFIRMED' AND s.status <> 'CANCELLED' AND s.ends_at > now()`, viewerID).Scan(&standing.Ahead)
	if err != nil {
		return Standing{}, fmt.Errorf("counting reservations: %w", err)
	}
	return standing, nil
}
