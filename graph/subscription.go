package graph

import (
	"context"

	"github.com/google/uuid"

	"marquee/graph/model"
	"marquee/graph/transport"
	"marquee/internal/seatfeed"
)

// watchSeatMap turns the feed of a showtime into the events of a subscription. It hands on one event at a time: while
// the client has not taken it, the feed merges what follows. Clients that share the stream are given the whole map
// whenever one of them needs it, as it is after the events so far.
func (r *Resolver) watchSeatMap(ctx context.Context, showtimeID uuid.UUID) (<-chan model.SeatMapEvent, error) {
	layout, err := r.Services.Seating.Layout(ctx, showtimeID)
	if err != nil {
		return nil, err
	}
	events, err := r.Services.Feed.Watch(ctx, showtimeID)
	if err != nil {
		return nil, err
	}
	sharing := transport.SharingOf(ctx)
	out := make(chan model.SeatMapEvent)
	go func() {
		defer close(out)
		var whole seatfeed.Event
		for {
			event, kind, ok := nextSeatMapEvent(events, sharing, &whole)
			if !ok {
				return
			}
			sharing.Announce(kind)
			select {
			case out <- seatMapEvent(layout, event):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// nextSeatMapEvent returns the next event of the feed or, when it is wanted, the whole map that the events so far have
// led to. It returns false when the feed has ended.
func nextSeatMapEvent(
	events <-chan seatfeed.Event, sharing *transport.Sharing, whole *seatfeed.Event,
) (seatfeed.Event, transport.EventKind, bool) {
	select {
	case event, open := <-events:
		if !open {
			return event, 0, false
		}
		kind := transport.Step
		if event.Snapshot {
			kind = transport.Reset
		}
		if sharing != nil {
			*whole = whole.Then(event)
		}
		return event, kind, true
	case <-sharing.Wanted():
		return *whole, transport.Whole, true
	}
}
