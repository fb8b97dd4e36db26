package graph

import (
	"context"

	"github.com/google/uuid"

	"marquee/graph/model"
)

// watchSeatMap turns the feed of a showtime into the events of a subscription. It hands on one event at a time: while
// the client has not taken it, the feed merges what follows.
func (r *Resolver) watchSeatMap(ctx context.Context, showtimeID uuid.UUID) (<-chan model.SeatMapEvent, error) {
	layout, err := r.Services.Seating.Layout(ctx, showtimeID)
	if err != nil {
		return nil, err
	}
	events, err := r.Services.Feed.Watch(ctx, showtimeID)
	if err != nil {
		return nil, err
	}
	out := make(chan model.SeatMapEvent)
	go func() {
		defer close(out)
		for event := range events {
			select {
			case out <- seatMapEvent(layout, event):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
