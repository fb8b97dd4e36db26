package booking_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
)

// swappers counts what became of swaps.
type swappers struct {
	swapsHeld, unavailable, swapped, unswapped, undecided atomic.Int64
}

// swap is a customer who wants other seats for those that are paid, in two tabs at once, and may be cancelling in a third.
func (r *race) swap(t *testing.T, random *rand.Rand, viewer auth.Viewer, bought booking.Reservation) {
	// Nobody knows any more, until all is over: a tab may not have heard how its payment went.
	r.tell(bought, toldSwapping)
	seeds := [3]uint64{random.Uint64(), random.Uint64(), random.Uint64()}
	together(len(seeds), func(i int) {
		random := rand.New(rand.NewPCG(seeds[i], 0))
		process := r.processes[2+random.IntN(2)] // those that hold long enough
		if i == 2 {
			if random.IntN(3) == 0 {
				r.cancel(t, process, viewer, bought)
			}
			return
		}
		for range 5 { // few seats are free
			if r.trySwap(t, random, process, viewer, bought) {
				return
			}
		}
	})
}

// trySwap asks for seats instead of those of a reservation, or of its last one, and reports whether that was all.
func (r *race) trySwap(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, bought booking.Reservation) (over bool) {
	in := r.swapInput(bought, nil, 0, r.choose(random)...)
	if random.IntN(2) == 0 {
		in.SeatIDs = r.SeatIDs(int(bought.Positions[len(bought.Positions)-1]))
	}
	result, err := process.SwapSeats(t.Context(), viewer, in)
	switch result := result.(type) {
	case booking.SwapHeld:
		r.tally.swapsHeld.Add(1)
		r.paySwap(t, random, process, viewer, result.Reservation)
		return true
	case booking.SeatsUnavailable, booking.LimitExceeded, booking.SwapUnavailable:
		r.tally.unavailable.Add(1)
		return false
	}
	// Its own seats, a companion that would stay alone, a reservation that is gone.
	r.tally.unavailable.Add(1)
	code := apperr.CodeOf(err)
	if code != apperr.BadUserInput && code != apperr.Unavailable {
		r.conflict("swap", err)
	}
	return code == apperr.Conflict
}

// paySwap pays what is due, and gives back what came at times.
func (r *race) paySwap(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, came booking.Reservation) {
	result, err := process.Pay(t.Context(), viewer, payInput(came))
	switch result.(type) {
	case booking.Paid:
		r.tally.swapped.Add(1)
		r.tell(came, toldPaid)
	case booking.Declined, booking.Expired:
		r.tally.unswapped.Add(1)
		r.tell(came, toldNotPaid)
	case booking.Pending:
		r.tally.undecided.Add(1)
	default:
		r.failed("pay a swap", err)
	}
	if random.IntN(2) == 0 {
		r.cancel(t, process, viewer, came)
	}
}

func (s *swappers) String() string {
	return fmt.Sprintf("%d held, %d not, %d done, %d not, %d undecided", s.swapsHeld.Load(), s.unavailable.Load(), s.swapped.Load(), s.unswapped.Load(), s.undecided.Load())
}

// counts is what a race with swaps must have seen.
func (s *swappers) counts() map[string]int64 {
	return map[string]int64{"swaps": s.swapped.Load(), "swaps that cannot be held": s.unavailable.Load()}
}
