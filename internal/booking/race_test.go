package booking_test

import (
	"context"
	"database/sql"
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
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/postgres"
)

const (
	raceSeats = 100
	mostSeats = 6 // of one claim
)

// TestRace lets a crowd fight for the seats of one showtime: overlapping claims in any order, holds that run out while
// they are paid, cancellations, declines, lost answers, sweepers and reconcilers, all at the same time. Every snapshot
// taken meanwhile keeps the rules, and so do the tables and the gateway's books when the dust has settled.
func TestRace(t *testing.T) {
	t.Parallel()
	r := newRace(t)
	const racers, turns = 500, 3
	r.run(t, racers, turns)
	r.settle(t)
	r.report(t)
	for _, breach := range r.judge(t) {
		t.Error(breach)
	}
	r.provesSomething(t, racers*turns)
}

// rewrite edits a function of this one database.
func (h *house) rewrite(t *testing.T, e edit) {
	t.Helper()
	text := fixture.Get[string](t, h.DB, `SELECT pg_get_functiondef($1::regproc)`, e.function)
	if !strings.Contains(text, e.text) {
		t.Fatalf("%s has no %s", e.function, e.text)
	}
	h.Exec(t, strings.ReplaceAll(text, e.text, e.with))
}

// race is a house in which a crowd books through several processes. Two of them hold seats so briefly that a hold may
// have run out when it is paid. Leases are cut short all the time, so that the reconcilers take attempts from their
// drivers.
type race struct {
	*house
	seed      uint64
	bank      *postgres.DB
	watchers  *postgres.DB // a pool of their own, past the crowd
	processes []*booking.Service
	tally     tally

	mu       sync.Mutex
	told     map[payment.Reference]answer
	breaches []string // noticed on the way
}

// answer is the last a customer heard of a reservation.
type answer string

const (
	toldPaid      answer = "paid"
	toldNotPaid   answer = "not paid"
	toldCancelled answer = "cancelled"
)

// tally counts what happened.
type tally struct {
	reserved, lost, again, kept, changed, unchanged, paid, declined, expired, pending, cancelled, lessened, conflicts, snapshots, sums, deadlocks atomic.Int64
}

func newRace(t *testing.T) *race {
	t.Helper()
	// Waiting is no fault here, however slow the machine is; and the bank is another house.
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
	h := houseIn(t, patient(), fixture.Plan{Seats: raceSeats, MaxSeats: mostSeats, Prices: map[string]int64{
		"STANDARD": 1091, "PREMIUM": 1951, "LOVE_SEAT": 2014, "WHEELCHAIR": 1054, "COMPANION": 0,
	}})
	r := &race{house: h, seed: rand.Uint64(), bank: patient(), watchers: patient(), told: map[payment.Reference]answer{}}
	for _, hold := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 10 * time.Minute, 10 * time.Minute} {
		r.processes = append(r.processes, h.process(sandbox.New(r.bank), booking.Config{
			Hold: hold, HoldLimit: 2 * hold, GatewayTimeout: patience, AttemptLease: 10 * patience,
		}))
	}
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 2})
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
	viewers := make([]auth.Viewer, (racers+1)/2)
	for i := range viewers {
		viewers[i] = newViewer()
	}
	together(racers, func(i int) {
		random := rand.New(rand.NewPCG(r.seed, uint64(i)))
		viewer := viewers[i/2] // who books in two tabs at once
		for range turns {
			r.turn(t, random, viewer)
		}
	})
	close(over)
	staff.Wait()
}

// turn is one visit of a customer.
func (r *race) turn(t *testing.T, random *rand.Rand, viewer auth.Viewer) {
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
	if choice%2 == 0 {
		r.linger(t, random, process, viewer, held)
	}
	if choice%3 == 0 {
		r.change(t, random, process, viewer, held)
	}
	if choice < 6 {
		r.pay(t, process, viewer, held)
	}
	if choice != 5 && choice != 9 {
		r.cancel(t, process, viewer, held)
	}
}

// linger is asking for more time, in one way or the other.
func (r *race) linger(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	if random.IntN(2) == 0 {
		_, err := process.Extend(t.Context(), viewer, holdInput(held))
		r.failed("extend", err)
		return
	}
	result, err := process.PayLater(t.Context(), viewer, holdInput(held))
	r.failed("pay later", err)
	if _, kept := result.(booking.KeptUnpaid); kept {
		r.tally.kept.Add(1)
	}
}

// change is taking other seats, some of those of before among them at times.
func (r *race) change(t *testing.T, random *rand.Rand, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	positions := slices.Clone(r.choose(random))
	if kept := int(held.Positions[0]); random.IntN(2) == 0 && !slices.Contains(positions, kept) {
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
			r.failed("change", err)
		}
	}
}

func (r *race) pay(t *testing.T, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	result, err := process.Pay(t.Context(), viewer, payInput(held))
	switch result.(type) {
	case booking.Paid:
		r.tally.paid.Add(1)
		r.tell(held, toldPaid)
	case booking.Declined:
		r.tally.declined.Add(1)
		r.tell(held, toldNotPaid)
	case booking.Expired:
		r.tally.expired.Add(1)
		r.tell(held, toldNotPaid)
	case booking.Pending:
		r.tally.pending.Add(1)
	default:
		r.failed("pay", err)
	}
}

// cancel gives a reservation back, often its last seat first, which leaves no companion behind.
func (r *race) cancel(t *testing.T, process *booking.Service, viewer auth.Viewer, held booking.Reservation) {
	if first := cancelInput(held); len(held.Seats) > 1 && held.ID[15]%2 == 0 {
		first.SeatIDs = []uuid.UUID{held.Seats[len(held.Seats)-1].ID}
		_, err := process.Cancel(t.Context(), viewer, first)
		switch code := apperr.CodeOf(err); {
		case err == nil:
			r.tally.lessened.Add(1)
		case code != apperr.Conflict && code != apperr.BadUserInput: // it may have taken other seats since
			r.failed("cancel a seat", err)
		}
		if held.ID[15]%4 == 0 {
			return
		}
	}
	_, err := process.Cancel(t.Context(), viewer, cancelInput(held))
	switch {
	case err == nil:
		r.tally.cancelled.Add(1)
		r.tell(held, toldCancelled)
	case apperr.CodeOf(err) == apperr.Conflict:
		r.tally.conflicts.Add(1)
	default:
		r.failed("cancel", err)
	}
}

func (r *race) tell(held booking.Reservation, what answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told[held.Reference()] = what
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

// settle ends the holds that are left and lets the reconciler finish.
func (r *race) settle(t *testing.T) {
	t.Helper()
	last := r.process(sandbox.New(r.bank), settings)
	r.endLeases(t)
	for left := 1; left > 0; {
		if _, err := last.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		const unsettled = `SELECT (SELECT count(*) FROM payment_attempts WHERE leased_until < now()
				AND status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'))
			+ (SELECT count(*) FROM refunds WHERE leased_until < now() AND status = 'PENDING')`
		left = fixture.Get[int](t, r.DB, unsettled)
	}
	for _, table := range []string{"reservations", "seat_claims"} {
		r.Exec(t, `UPDATE `+table+` SET held_until = now() - interval '1 second' WHERE held_until IS NOT NULL`)
	}
	if _, _, err := last.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// judge returns a line for everything that was not as it must be, and for what is not in the tables and the bank's books.
func (r *race) judge(t *testing.T) []string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	breaches, err := audit(ctx, r.DB.SQL(), slices.Concat(always, atRest))
	if err != nil {
		t.Fatal(err)
	}
	books := bankBooks(t, r.bank)
	unequal, err := compareBooks(ctx, r.DB.SQL(), books)
	if err != nil {
		t.Fatal(err)
	}
	breaches = slices.Concat(r.breaches, breaches, unequal)
	var taken int64
	for _, charge := range books {
		taken += charge.Captured.AmountMinor - charge.Refunded.AmountMinor
	}
	sold := fixture.Get[int64](t, r.DB, `SELECT coalesce(sum(amount_minor), 0) FROM reservations WHERE status = 'CONFIRMED'`)
	if taken != sold {
		breaches = append(breaches, fmt.Sprintf("the bank has %d for reservations of %d", taken, sold))
	}
	wants := map[answer][]string{toldPaid: {"CONFIRMED"}, toldNotPaid: {"EXPIRED", "CANCELLED"}, toldCancelled: {"CANCELLED"}}
	for ref, what := range r.told {
		status := fixture.Get[string](t, r.DB, `SELECT status FROM reservations WHERE showtime_id = $1 AND id = $2`, ref.ShowtimeID, ref.ID)
		if !slices.Contains(wants[what], status) {
			breaches = append(breaches, fmt.Sprintf("a customer was told %q of reservation %s, which is %s", what, ref.ID, status))
		}
	}
	if n := r.tally.deadlocks.Load() + int64(r.DB.Stats().TxRetries) + int64(r.bank.Stats().TxRetries); n != 0 {
		breaches = append(breaches, fmt.Sprintf("%d deadlocks", n))
	}
	return breaches
}

func bankBooks(t *testing.T, bank *postgres.DB) map[string]payment.Charge {
	t.Helper()
	rows, err := bank.SQL().QueryContext(t.Context(), `SELECT key, status, captured_minor, refunded_minor, currency FROM sandbox_gateway.charges`)
	if err != nil {
		t.Fatal(err)
	}
	books := map[string]payment.Charge{}
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var key, currency string
		var charge payment.Charge
		err := rows.Scan(&key, &charge.Status, &charge.Captured.AmountMinor, &charge.Refunded.AmountMinor, &currency)
		charge.Captured, charge.Refunded = money.Money{AmountMinor: charge.Captured.AmountMinor, Currency: currency},
			money.Money{AmountMinor: charge.Refunded.AmountMinor, Currency: currency}
		books[key] = charge
		return struct{}{}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return books
}

func (r *race) report(t *testing.T) {
	t.Helper()
	n := &r.tally
	t.Logf("%d reserved, %d lost, %d told to try again; %d kept unpaid, %d changed, %d not; %d paid, %d declined, %d expired, %d pending; %d cancelled, %d in part, %d not; %d snapshots, %d sums",
		n.reserved.Load(), n.lost.Load(), n.again.Load(), n.kept.Load(), n.changed.Load(), n.unchanged.Load(), n.paid.Load(), n.declined.Load(), n.expired.Load(), n.pending.Load(),
		n.cancelled.Load(), n.lessened.Load(), n.conflicts.Load(), n.snapshots.Load(), n.sums.Load())
}

// provesSomething demands that the race was one.
func (r *race) provesSomething(t *testing.T, claims int64) {
	t.Helper()
	n := &r.tally
	for what, count := range map[string]int64{
		"holds": n.reserved.Load(), "lost claims": n.lost.Load() * 20 / claims, "payments": n.paid.Load(), "unpaid ones kept": n.kept.Load(),
		"changes of seats": n.changed.Load(), "changes that came too late": n.unchanged.Load(),
		"declines": n.declined.Load(), "holds that ran out on the way": n.expired.Load(), "cancellations": n.cancelled.Load(), "seats given back": n.lessened.Load(),
		"snapshots": n.snapshots.Load() / 10, "sums": n.sums.Load() / 10,
		"lost answers":  fixture.Get[int64](t, r.bank, `SELECT count(*) FROM sandbox_gateway.charges WHERE amount_minor % 100 = 91`),
		"expired holds": fixture.Get[int64](t, r.DB, `SELECT count(*) FROM reservations WHERE status = 'EXPIRED'`),
		"sold seats":    fixture.Get[int64](t, r.DB, `SELECT count(*) FROM tickets WHERE status = 'ISSUED'`),
	} {
		if count == 0 {
			t.Errorf("the race had too few %s", what)
		}
	}
}
