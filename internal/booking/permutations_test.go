package booking_test

import (
	"maps"
	"slices"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// What can happen to a payment whose charge is pending, in whatever order. Of what a bank says the first word counts, and the others
// are what comes of being told twice, or late: whoever is told only looks.
const (
	approves = 'a' // the bank lets the charge through
	refuses  = 'd' // the bank does not
	expires  = 'e' // the hold runs out, and is swept
	told     = 'w' // a hint comes, or the reconciler: somebody who knows nothing looks
	polls    = 'p' // the customer asks again with the same key
	cancels  = 'c' // the customer gives the reservation back
)

// expected is the same in a few lines: where a payment stands, by the order of what has happened to it.
type expected struct {
	approved, refused, over bool
	attempt                 payment.AttemptStatus
	reservation             booking.Status
}

func (e *expected) happens(what rune) {
	open := e.reservation == booking.StatusHeld
	switch what {
	case approves:
		e.approved = e.approved || !e.refused && e.attempt == payment.AttemptStarted
	case refuses:
		e.refused = e.refused || !e.approved && e.attempt == payment.AttemptStarted
	case expires:
		e.over = true
		if open && e.attempt != payment.AttemptCaptured {
			e.reservation = booking.StatusExpired
		}
	case told, polls:
		switch {
		case e.attempt != payment.AttemptStarted:
		case e.approved: // in time or not, since nobody else wants the seats
			e.attempt, e.reservation = payment.AttemptCaptured, booking.StatusConfirmed
		case e.refused:
			e.attempt = payment.AttemptDeclined
		case e.over:
			e.attempt = payment.AttemptVoided
		}
	case cancels:
		if e.attempt == payment.AttemptCaptured || e.attempt == payment.AttemptDeclined && open {
			e.reservation = booking.StatusCancelled
		}
	}
}

// TestP6_permutations lets six things happen to a payment in every order, some of them twice, then lets the dust settle: it ends
// where the table of a few lines has it, which does not know who looked, nor how often.
func TestP6_permutations(t *testing.T) {
	t.Parallel()
	for _, letters := range []string{"aewwpc", "dewppc", "adeewp"} {
		t.Run(letters, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{Seats: 400, MaxSeats: 400})
			orders := map[string]bool{}
			permute([]rune(letters), func(order string) { orders[order] = true })
			for _, order := range slices.Sorted(maps.Keys(orders)) {
				h.happen(t, order)
			}
			h.rests(t)
			t.Logf("%d orders", len(orders))
		})
	}
}

// happen lets things happen to a payment of a seat of its own.
func (h *house) happen(t *testing.T, order string) {
	t.Helper()
	viewer := newViewer()
	r := h.hold(t, viewer, h.fresh(1)...)
	h.gateway.Next(gatewaytest.Authorize, h.gateway.Processes)
	in := payInput(r)
	result, err := h.booking.Pay(t.Context(), viewer, in)
	is[booking.Pending](t, result, err)
	key := h.attemptOf(t, r)
	want := expected{attempt: payment.AttemptStarted, reservation: booking.StatusHeld}
	for _, what := range order + "ew" {
		want.happens(what)
		switch what {
		case approves, refuses:
			h.gateway.Resolve(key, what == approves)
		case expires:
			h.Expire(t, h.Show(), r.ID)
			h.sweep(t)
		case told:
			h.reconcile(t)
		case polls:
			_, err = h.booking.Pay(t.Context(), viewer, in)
		case cancels:
			_, err = h.booking.Cancel(t.Context(), viewer, cancelInput(r))
		}
		if err != nil && apperr.CodeOf(err) != apperr.Conflict {
			t.Fatalf("%s: %c: %v", order, what, err)
		}
	}
	if got := h.attempts(t, r); !slices.Equal(got, []payment.AttemptStatus{want.attempt}) {
		t.Errorf("%s: attempts %v, want %s", order, got, want.attempt)
	}
	if got := h.stored(t, r); got != string(want.reservation) {
		t.Errorf("%s: the reservation is %s, want %s", order, got, want.reservation)
	}
	charge, kept := h.gateway.Charges()[key], int64(0)
	if want.reservation == booking.StatusConfirmed {
		kept = 1200
	}
	if got := charge.Captured.AmountMinor - charge.Refunded.AmountMinor; got != kept {
		t.Errorf("%s: the gateway has %d, want %d", order, got, kept)
	}
}

// permute calls do with every order of letters.
func permute(letters []rune, do func(string)) {
	var from func(n int)
	from = func(n int) {
		if n == len(letters) {
			do(string(letters))
		}
		for i := n; i < len(letters); i++ {
			letters[n], letters[i] = letters[i], letters[n]
			from(n + 1)
			letters[n], letters[i] = letters[i], letters[n]
		}
	}
	from(0)
}
