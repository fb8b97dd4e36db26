package booking

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
)

// Attendance is what it takes to count as having seen a movie.
type Attendance string

// The ways to have seen a movie.
const (
	// AttendedByTicket takes a ticket, not revoked, for a showtime that is over. Whoever stayed at home counts too.
	AttendedByTicket Attendance = "ticket"
	// AttendedByDoor takes a ticket that was redeemed at the door of a showtime that has begun.
	AttendedByDoor Attendance = "used"
)

// AttendedTx reports whether a customer has seen a movie, in the caller's transaction. Showtimes that were called off do not
// count. One statement, over the customer's own reservations.
func (s *Service) AttendedTx(ctx context.Context, tx *sql.Tx, viewerID, movieID uuid.UUID, by Attendance) (bool, error) {
	var attended bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM reservations r
			JOIN showtimes s ON s.id = r.showtime_id
			JOIN tickets t ON t.showtime_id = r.showtime_id AND t.reservation_id = r.id
		WHERE r.viewer_id = $1 AND r.status = 'CONFIRMED' AND s.movie_id = $2 AND s.status <> 'CANCELLED'
			AND CASE WHEN $3 THEN t.status = 'REDEEMED' AND s.starts_at <= now() ELSE t.status <> 'REVOKED' AND s.ends_at <= now() END)`,
		viewerID, movieID, by == AttendedByDoor).Scan(&attended)
	if err != nil {
		return false, fmt.Errorf("looking for a past ticket: %w", err)
	}
	return attended, nil
}
