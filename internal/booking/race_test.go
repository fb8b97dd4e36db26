package booking_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/dbtest/rulebook"
	"marquee/internal/payment"
	bank "marquee/internal/payment/sandbox/server"
	"marquee/internal/postgres"
)

const (
	racers    = 500 // two for each customer, who books in two tabs at once
	raceSeats = 100
	mostSeats = 6 // of one claim
)

// TestRace lets a crowd fight for the seats of one showtime: overlapping claims in any order, holds that run out while
// they are paid, cancellations, declines, lost answers, clerks who sell, take and pay out at the counter, sweepers and
// reconcilers, all at the same time. Every snapshot taken meanwhile keeps the rules, and so do the tables, the gateway's
// books and the till when the dust has settled.
func TestRace(t *testing.T) {
	t.Parallel()
	r := newRace(t)
	const turns = 3
	r.run(t, racers, turns)
	r.settle(t)
	r.report(t)
	for _, breach := range r.judge(t) {
		t.Error(breach)
	}
	r.provesSomething(t, racers*turns)
}

// race is a house in which a crowd books through several processes. Two of them hold seats so briefly that a hold may
// have run out when it is paid. Leases are cut short all the time, so that the reconcilers take attempts from their
// drivers.
type race struct {
	*house
	seed      uint64
	bank      *bank.Server
	watchers  *postgres.DB // a pool of their own, past the crowd
	processes []*booking.Service
	clerks    []auth.Viewer
	tally     tally

	mu       sync.Mutex
	told     map[payment.Reference]answer
	breaches []string // noticed on the way
}

// answer is what a customer heard of a reservation, in the order in which they can hear it.
type answer string

const (
	toldNotPaid   answer = "not paid"
	toldPaid      answer = "paid"
	toldSwapping  answer = "being swapped"
	toldCancelled answer = "cancelled"
)

var answers = []answer{toldNotPaid, toldPaid, toldSwapping, toldCancelled}

// tally counts what happened.
type tally struct {
	counters
	swappers

	reserved, lost, again, kept, changed, unchanged, paid, declined, expired, pending, cancelled, lessened, conflicts, snapshots, sums, deadlocks atomic.Int64
}

func newRace(t *testing.T) *race {
	t.Helper()
	// Waiting is no fault here, however slow the machine is.
	url := dbtest.NewURL(t)
	patient := func() *postgres.DB {
		db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 8, StatementTimeout: patience, LockTimeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
	// The sandbox loses the answer for one STANDARD seat and declines one PREMIUM seat; many sums end otherwise.
	h := houseIn(t, patient(), fixture.Plan{Seats: raceSeats, MaxSeats: mostSeats, Users: racers / 2, Prices: map[string]int64{
		"STANDARD": 1091, "PREMIUM": 1951, "LOVE_SEAT": 2014, "WHEELCHAIR": 1054, "COMPANION": 0,
	}})
	r := &race{house: h, seed: rand.Uint64(), bank: newBank(t), watchers: patient(), told: map[payment.Reference]answer{}}
	for _, hold := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 10 * time.Minute, 10 * time.Minute} {
		r.processes = append(r.processes, h.process(r.gateway(), booking.Config{
			Hold: hold, HoldLimit: 2 * hold, GatewayTimeout: patience, AttemptLease: 10 * patience,
		}))
	}
	for range 4 {
		r.clerks = append(r.clerks, h.staff())
	}
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 2})
	h.policy(t, freely)
	t.Logf("seed %d", r.seed)
	return r
}

// run lets the crowd loose and returns when everyone has gone home.
func (r *race) run(t *testing.T, racers, turns int) {
	t.Helper()
	over := make(chan struct{})
	var staff sync.WaitGroup
	until := func(work func()) {
		staff.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					work()
				}
			}
		})
	}
	for _, process := range r.processes[:2] {
		until(func() { _, _, err := process.Sweep(t.Context()); r.failed("sweep", err) })
		until(func() { _, err := process.Reconcile(t.Context()); r.failed("reconcile", err) })
	}
	until(func() {
		_, err := r.watchers.SQL().ExecContext(t.Context(), `UPDATE payment_attempts SET leased_until = now() - interval '1 second'
			WHERE leased_until > now() AND status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING')`)
		r.failed("end leases", err)
		_, err = r.watchers.SQL().ExecContext(t.Context(), `UPDATE handovers SET leased_until = now() - interval '1 second'
			WHERE leased_until > now() AND status = 'TAKEN'`)
		r.failed("end leases", err)
	})
	watch := func(rules []rulebook.Rule, snapshots *atomic.Int64) func() {
		return func() {
			breaches, err := audit(t.Context(), r.watchers.SQL(), rules)
			r.failed("audit", err)
			r.notice(breaches...)
			snapshots.Add(1)
		}
	}
	sum := slices.IndexFunc(always, func(r rulebook.Rule) bool { return strings.HasPrefix(r.Name, "free, held") })
	until(watch(always, &r.tally.snapshots))
	until(watch(always[sum:sum+1], &r.tally.sums))
	together(racers, func(i int) {
		random := rand.New(rand.NewPCG(r.seed, uint64(i)))
		for range turns {
			r.turn(t, random, r.Users[i/2])
		}
	})
	close(over)
	staff.Wait()
}

// turn is one visit of a customer.
func (r *race) turn(t *testing.T, random *rand.Rand, customer fixture.User) {
	if random.IntN(8) == 0 {
		r.buyAtCounter(t, random, customer)
		return
	}
	viewer := auth.Viewer{UserID: customer.ID}
	process := r.processes[random.IntN(len(r.processes))]
	positions := r.choose(random)
	result, err := process.Reserve(t.Context(), viewer, r.request(positions...))
	switch result := result.(type) {
	case booking.Reserved:
		r.tally.reserved.Add(1)
		r.decide(t, random, process, viewer, result.Reservation)
	case booking.SeatsUnavailable, booking.LimitExceeded:
		r.tally.lost.Add(1)
	default:
		if apperr.CodeOf(err) == apperr.Unavailable {
			r.tally.again.Add(1)
		} else {
			r.failed("reserve", err)
		}
	}
}

// choose is what a customer asks for: mostly some seats anywhere, in any order.
func (r *race) choose(random *rand.Rand) []int {
	one := func(category string) []int {
		positions := r.Positions(category)
		return positions[random.IntN(len(positions)):][:1]
	}
	switch random.IntN(6) {
	case 0:
		return one("STANDARD")
	case 1:
		return one("PREMIUM")
	default:
		positions := random.Perm(raceSeats)[:1+random.IntN(mostSeats)]
		for i := range positions {
			positions[i]++
		}
		return positions
	}
}

// decide is what a customer does with a hold.
func (r *race) decide(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	choice := random.IntN(10)
	if random.IntN(3) == 0 {
		var counter sync.WaitGroup // where a friend stands
		other := rand.New(rand.NewPCG(random.Uint64(), 0))
		counter.Go(func() { r.payAtCounter(t, other, held) })
		defer counter.Wait()
	}
	if choice%2 == 0 {
		r.linger(t, random, process, viewer, held)
	}
	if choice%3 == 0 {
		r.change(t, random, process, viewer, held)
	}
	if choice < 6 && r.pay(t, process, viewer, held) && choice%3 != 0 { // its seats are those of before
		r.swap(t, random, viewer, held)
	}
	if choice != 5 && choice != 9 {
		r.cancel(t, process, viewer, held)
	}
}

// linger is asking for more time, in one way or the other.
func (r *race) linger(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	if random.IntN(2) == 0 {
		_, err := process.Extend(t.Context(), viewer, holdInput(held))
		r.conflict("extend", err)
		return
	}
	result, err := process.PayLater(t.Context(), viewer, holdInput(held))
	r.conflict("pay later", err)
	if _, kept := result.(booking.KeptUnpaid); kept {
		r.tally.kept.Add(1)
	}
}

// change is taking other seats, some of those of before among them at times, or one of those alone.
func (r *race) change(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	positions := slices.Clone(r.choose(random))
	switch kept, way := int(held.Positions[0]), random.IntN(4); {
	case way == 0 && len(held.Positions) > 1: // which is had unless it comes too late
		positions = []int{kept}
	case way < 2 && !slices.Contains(positions, kept):
		positions[0] = kept
	}
	result, err := process.ChangeSeats(t.Context(), viewer, r.changeTo(held, positions...))
	switch result.(type) {
	case booking.Changed:
		r.tally.changed.Add(1)
	case booking.SeatsUnavailable, booking.LimitExceeded, booking.Expired:
		r.tally.unchanged.Add(1)
	default:
		if apperr.CodeOf(err) == apperr.Unavailable {
			r.tally.again.Add(1)
		} else {
			r.conflict("change", err)
		}
	}
}

// pay is paying a reservation, and reports whether it is paid.
func (r *race) pay(t *testing.T, process *booking.Service, viewer auth.Viewer, held booking.Reservation) (paid bool) {
	result, err := process.Pay(t.Context(), viewer, payInput(held))
	switch result.(type) {
	case booking.Paid:
		r.tally.paid.Add(1)
		r.tell(held, toldPaid)
		return true
	case booking.Declined:
		r.tally.declined.Add(1)
		r.tell(held, toldNotPaid)
	case booking.Expired:
		r.tally.expired.Add(1)
		r.tell(held, toldNotPaid)
	case booking.Pending:
		r.tally.pending.Add(1)
	default:
		r.conflict("pay", err)
	}
	return false
}

// cancel gives a reservation back, often its last seat first, which leaves no companion behind.
func (r *race) cancel(t *testing.T, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	if first := cancelInput(held); len(held.Seats) > 1 && held.ID[15]%2 == 0 {
		first.SeatIDs = []uuid.UUID{held.Seats[len(held.Seats)-1].ID}
		result, err := process.Cancel(t.Context(), viewer, first)
		switch code := apperr.CodeOf(err); {
		case err == nil:
			r.tally.lessened.Add(1)
			if cancelled, ok := result.(booking.Cancelled); ok && cancelled.Reservation.Status == booking.StatusCancelled {
				r.tell(held, toldCancelled) // that seat was its last
			}
		case code != apperr.Conflict && code != apperr.BadUserInput: // it may have taken other seats since
			r.failed("cancel a seat", err)
		}
		if held.ID[15]%4 == 0 {
			return
		}
	}
	_, err := process.Cancel(t.Context(), viewer, cancelInput(held))
	if err != nil {
		r.conflict("cancel", err)
		return
	}
	r.tally.cancelled.Add(1)
	r.tell(held, toldCancelled)
}

// tell notes what was heard of a reservation. Of two who hear of it at once, the answer counts that can only be the later.
func (r *race) tell(held booking.Reservation, what answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Index(answers, what) > slices.Index(answers, r.told[held.Reference()]) {
		r.told[held.Reference()] = what
	}
}

// conflict notes an error, unless it says that somebody else has changed the reservation meanwhile.
func (r *race) conflict(what string, err error) {
	if apperr.CodeOf(err) == apperr.Conflict {
		r.tally.conflicts.Add(1)
	} else {
		r.failed(what, err)
	}
}

// failed notes an error, which nothing in the race should meet.
func (r *race) failed(what string, err error) {
	if postgres.SQLState(err) == "40P01" {
		r.tally.deadlocks.Add(1)
	}
	if err != nil {
		r.notice(fmt.Sprintf("%s: %v", what, err))
	}
}

func (r *race) notice(breaches ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaches = append(r.breaches, breaches...)
}
