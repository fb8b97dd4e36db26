package payment

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/typeid"
)

// DeclineLeft is the decline code of an attempt that its customer gave up for another gateway. The gateway is told to let go.
const DeclineLeft = "gateway_left"

// Reroute declines a started attempt that its gateway never heard of, and opens one at another gateway in its place, under the same
// key. ok is false when the seats are not held any more: then next is the attempt, declined. ErrMoved when it is not started.
func (s *Service) Reroute(ctx context.Context, a Attempt, gateway string, lease time.Duration) (next Attempt, ok bool, err error) {
	next, id := a, typeid.New()
	err = s.db.SQL().QueryRowContext(ctx, `SELECT reroute_attempt($1, $2, $3, $4, $5, $6, $7)`,
		a.ShowtimeID, a.ReservationID, a.ID, DeclineUnreached, id, gateway, lease.Milliseconds()).Scan(&ok)
	if err != nil {
		return a, false, Moved(fmt.Errorf("opening an attempt at another gateway: %w", err))
	}
	if !ok {
		next.Status, next.DeclineCode = AttemptDeclined, DeclineUnreached
		return next, false, nil
	}
	next.ID, next.Gateway = id, gateway
	return next, true, nil
}

// Leave gives up the started attempt for one of the viewer's reservations, if it is at another gateway than the given; the
// reconciler tells that one to let go. left is false when there is none.
func (s *Service) Leave(ctx context.Context, of Reference, viewerID uuid.UUID, gateway string) (left bool, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT leave_gateway($1, $2, $3, $4, $5)`, of.ShowtimeID, of.ID, viewerID, gateway, DeclineLeft).Scan(&left)
	if err != nil {
		return false, Moved(fmt.Errorf("leaving a gateway: %w", err))
	}
	return left, nil
}
