package seatfeed_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/seatfeed"
)

// benchmarkDelta measures one change of a 300-seat map from the hint until it is
// offered to 10,000 watchers and received by the last so many of them; the
// others never receive.
func benchmarkDelta(b *testing.B, prompt int) {
	b.Helper()
	const watchers = 10_000
	var sold atomic.Int32
	source := func(context.Context, uuid.UUID) ([]seatfeed.State, time.Duration, error) {
		states := make([]seatfeed.State, 300)
		n := int(sold.Load())
		states[n%300] = seatfeed.State(1 + n%3)
		return states, -1, nil
	}
	feed, err := seatfeed.New(seatfeed.Config{Source: source, Bus: &wire{}, Window: time.Nanosecond})
	if err != nil {
		b.Fatal(err)
	}
	defer feed.Close()
	show := uuid.New()
	channels := make([]<-chan seatfeed.Event, watchers)
	for i := range channels {
		if channels[i], err = feed.Watch(b.Context(), show); err != nil {
			b.Fatal(err)
		}
		<-channels[i]
	}
	b.ReportAllocs()
	for b.Loop() {
		sold.Add(1)
		feed.Hint(show)
		for _, events := range channels[watchers-prompt:] {
			<-events
		}
	}
}

func BenchmarkFeed_delta(b *testing.B) {
	b.Run("ten thousand prompt watchers", func(b *testing.B) { benchmarkDelta(b, 10_000) })
	b.Run("ten thousand watchers, all but ten stuck", func(b *testing.B) { benchmarkDelta(b, 10) })
}
