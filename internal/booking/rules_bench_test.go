package booking_test

import (
	"testing"
	"time"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
)

// BenchmarkReserve_rules claims two seats in the middle of a block of six again and again, in a theater without rules and
// in one with them, in turns, so that what else the machine does counts for both. With rules a claim looks at two seats on
// either side, and has two locks more.
func BenchmarkReserve_rules(b *testing.B) {
	const rows = 300
	plan := fixture.Plan{Seats: 10 * rows, MaxSeats: 10 * rows}
	free := newHouse(b, plan)
	plan.Strict = true
	bound := newHouse(b, plan)
	var spent [2]time.Duration
	claims := 0
	for b.Loop() {
		for turn := range 2 {
			for i := range 2 { // the one that was second comes first next time
				h := []*house{free, bound}[(i+turn)%2]
				h.Exec(b, `TRUNCATE promotion_redemptions, idempotency_keys, tickets, till_entries, swaps, handovers, payment_recoveries, refunds, payment_attempts, payments, seat_claims, reservations`)
				start := time.Now()
				for row := 2; row < rows-3; row++ {
					result, err := h.booking.Reserve(b.Context(), newViewer(), h.request(10*row+7, 10*row+8))
					is[booking.Reserved](b, result, err)
				}
				spent[(i+turn)%2] += time.Since(start)
			}
			claims += rows - 5
		}
	}
	b.ReportMetric(float64(spent[0].Microseconds())/float64(claims), "µs/claim-without")
	b.ReportMetric(float64(spent[1].Microseconds())/float64(claims), "µs/claim-with")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "ratio")
}
