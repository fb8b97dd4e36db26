package booking_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/notify"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/postgres"
	"marquee/internal/promotion"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// patience bounds what a test waits for.
const patience = 20 * time.Second

// settings leave nothing to the clock: what a test needs to be over, it ends by itself.
var settings = booking.Config{Hold: 10 * time.Minute, HoldLimit: 30 * time.Minute, GatewayTimeout: patience, AttemptLease: 10 * time.Minute, OfferTime: 5 * time.Minute}

// house is a world to book in, with one process that serves it. A database takes longer to make than a story to tell, so
// stories that leave the house at rest share one, each with seats of its own.
type house struct {
	*fixture.World
	used     int // positions handed out by fresh
	booking  *booking.Service
	gateway  *gatewaytest.Fake
	payments *payment.Service
	seating  *seating.Service
	hints    *hints
	post     *post
}

func newHouse(t testing.TB, plan fixture.Plan, opts ...dbtest.Option) *house {
	t.Helper()
	return houseIn(t, dbtest.New(t, opts...), plan)
}

func houseIn(t testing.TB, db *postgres.DB, plan fixture.Plan) *house {
	t.Helper()
	h := &house{
		World: fixture.New(t, db, plan), gateway: gatewaytest.NewFake(), payments: payment.NewService(db), hints: &hints{}, post: &post{},
	}
	h.seating = seating.NewService(db, showtime.NewService(db, clock.System{}), theater.NewService(ent.Over(db.SQL())))
	h.booking = h.process(h.gateway, settings)
	return h
}

// process returns the service of a further process, which remembers nothing.
func (h *house) process(gateway payment.Gateway, cfg booking.Config) *booking.Service {
	return h.processTelling(gateway, cfg, h.hints.add)
}

// processOf is process with several gateways.
func (h *house) processOf(gateways *payment.Gateways) *booking.Service {
	return booking.NewService(h.deps(gateways, h.hints.add), settings)
}

// processTelling is process with a line of its own to those who watch.
func (h *house) processTelling(gateway payment.Gateway, cfg booking.Config, hint func(uuid.UUID)) *booking.Service {
	return booking.NewService(h.deps(payment.NewGateways([]payment.Gateway{gateway}), hint), cfg)
}

func (h *house) deps(gateways *payment.Gateways, hint func(uuid.UUID)) booking.Deps {
	showtimes := showtime.NewService(h.DB, clock.System{})
	return booking.Deps{
		DB: h.DB, Showtimes: showtimes, Payments: payment.NewService(h.DB), Gateways: gateways,
		Promotions: promotion.NewService(h.DB, clock.System{}),
		Seating:    seating.NewService(h.DB, showtimes, theater.NewService(ent.Over(h.DB.SQL()))),
		Hint:       hint, Clock: clock.System{}, Source: source, Account: h.account, Tell: h.post.add, Log: slog.New(slog.DiscardHandler),
	}
}

// account finds a customer of the world by the address.
func (h *house) account(_ context.Context, email string) (uuid.UUID, error) {
	for _, u := range h.Users {
		if u.Email == email {
			return u.ID, nil
		}
	}
	return uuid.Nil, nil
}

// staff returns somebody who works at the theater.
func (h *house) staff() auth.Viewer {
	return auth.Viewer{UserID: typeid.New(), Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterStaff, Theater: h.TheaterID})}
}

// source names an address as it is.
func source(address string) []byte { return []byte(address) }

// hints counts what the seat feed is told.
type hints struct {
	mu    sync.Mutex
	count map[uuid.UUID]int
}

func (h *hints) add(showtimeID uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = map[uuid.UUID]int{}
	}
	h.count[showtimeID]++
}

// take returns the hints since the last take.
func (h *hints) take() map[uuid.UUID]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := h.count
	h.count = nil
	return count
}

// post is what customers are told, in transactions that committed or not.
type post struct {
	mu   sync.Mutex
	sent map[uuid.UUID][]notify.Kind
}

func (l *post) add(_ context.Context, _ *sql.Tx, userID uuid.UUID, kind notify.Kind, _ notify.Data) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent == nil {
		l.sent = map[uuid.UUID][]notify.Kind{}
	}
	l.sent[userID] = append(l.sent[userID], kind)
	return nil
}

// to returns what somebody was told.
func (l *post) to(viewer auth.Viewer) []notify.Kind {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[viewer.UserID]
}

// fresh returns the positions of n STANDARD seats side by side that no other story has.
func (h *house) fresh(n int) []int {
	const first = 11 // the seats before it are special
	positions := make([]int, n)
	for i := range positions {
		positions[i] = first + h.used
		h.used++
	}
	return positions
}

func newViewer() auth.Viewer { return auth.Viewer{UserID: typeid.New()} }

func newKey() string { return typeid.New().String() }

// request asks for seats of the first showtime under a fresh key.
func (h *house) request(positions ...int) booking.ReserveInput {
	return booking.ReserveInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(positions...), IdempotencyKey: newKey()}
}

// hold reserves seats of the first showtime, which must work.
func (h *house) hold(t testing.TB, viewer auth.Viewer, positions ...int) booking.Reservation {
	t.Helper()
	result, err := h.booking.Reserve(t.Context(), viewer, h.request(positions...))
	return is[booking.Reserved](t, result, err).Reservation
}

func payInput(r booking.Reservation) booking.PayInput {
	return booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: newKey()}
}

func cancelInput(r booking.Reservation) booking.CancelInput {
	return booking.CancelInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID}
}

// buy reserves seats of the first showtime and pays them, which must work.
func (h *house) buy(t testing.TB, viewer auth.Viewer, positions ...int) booking.Reservation {
	t.Helper()
	result, err := h.booking.Pay(t.Context(), viewer, payInput(h.hold(t, viewer, positions...)))
	return is[booking.Paid](t, result, err).Reservation
}

// is demands a result of one kind.
func is[Want any](t testing.TB, result any, err error) Want {
	t.Helper()
	got, ok := result.(Want)
	if err != nil || !ok {
		t.Fatalf("the result is %#v, %v; want a %T", result, err, got)
	}
	return got
}

// refused demands an error with a code, and no result beside it.
func refused(t testing.TB, result any, err error, code apperr.Code) {
	t.Helper()
	if apperr.CodeOf(err) != code {
		t.Fatalf("the result is %#v, %v; want %s", result, err, code)
	}
}

// letters returns the states of the seats at the positions: A, H, T or B each.
func (h *house) letters(t testing.TB, positions ...int) string {
	t.Helper()
	m, err := h.seating.Map(t.Context(), h.Show())
	if err != nil {
		t.Fatal(err)
	}
	all, picked := m.StateLetters(), make([]byte, len(positions))
	for i, position := range positions {
		picked[i] = all[position-1]
	}
	return string(picked)
}

// stored is a reservation as the tables have it.
func (h *house) stored(t testing.TB, r booking.Reservation) (status string) {
	t.Helper()
	return fixture.Get[string](t, h.DB, `SELECT status FROM reservations WHERE showtime_id = $1 AND id = $2`, r.ShowtimeID, r.ID)
}

// attempts returns the states of the attempts for a reservation, in order.
func (h *house) attempts(t testing.TB, r booking.Reservation) []payment.AttemptStatus {
	t.Helper()
	rows, err := h.DB.SQL().QueryContext(t.Context(), `SELECT a.status FROM payment_attempts a
		JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
		WHERE p.showtime_id = $1 AND p.reservation_id = $2 ORDER BY a.number`, r.ShowtimeID, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	states, err := postgres.Collect(rows, func(rows *sql.Rows) (s payment.AttemptStatus, err error) {
		err = rows.Scan(&s)
		return s, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return states
}

func (h *house) wantAttempts(t testing.TB, r booking.Reservation, want ...payment.AttemptStatus) {
	t.Helper()
	if got := h.attempts(t, r); !slices.Equal(got, want) {
		t.Errorf("attempts %v, want %v", got, want)
	}
}

// paymentOf returns the payment of a reservation.
func (h *house) paymentOf(t testing.TB, r booking.Reservation) payment.Payment {
	t.Helper()
	found, err := h.payments.PaymentsByReservation(t.Context(), []payment.Reference{r.Reference()})
	if err != nil || len(found) != 1 {
		t.Fatalf("payments %v, %v", found, err)
	}
	return found[r.Reference()]
}

// wantRefunds demands the refunds of a reservation, in order: amount, cause, status.
func (h *house) wantRefunds(t testing.TB, r booking.Reservation, want ...string) {
	t.Helper()
	var got []string
	for _, one := range h.paymentOf(t, r).Refunds {
		got = append(got, fmt.Sprintf("%d %s %s", one.Amount.AmountMinor, one.Cause, one.Status))
	}
	if !slices.Equal(got, want) {
		t.Errorf("refunds %q, want %q", got, want)
	}
}

// captured returns what the gateway has taken and not given back, in minor units.
func (h *house) captured() (minor int64) {
	for _, charge := range h.gateway.Charges() {
		minor += charge.Captured.AmountMinor - charge.Refunded.AmountMinor
	}
	return minor
}

// endLeases lets the reconciler take over every attempt.
func (h *house) endLeases(t testing.TB) {
	t.Helper()
	for _, table := range []string{"payment_attempts", "handovers", "refunds"} {
		h.Exec(t, `UPDATE `+table+` SET leased_until = now() - interval '1 second' WHERE leased_until > now()`)
	}
}

// reconcile lets a process that knows nothing take over everything, and returns how much it settled.
func (h *house) reconcile(t testing.TB) int {
	t.Helper()
	h.endLeases(t)
	settled, err := h.process(h.gateway, settings).Reconcile(t.Context())
	if err != nil {
		t.Fatalf("reconcile: %v", err)
	}
	return settled
}

// rests demands that every rule of the house holds, nothing is left to do and the books agree.
func (h *house) rests(t testing.TB) {
	t.Helper()
	for _, breach := range h.audit(t) {
		t.Error(breach)
	}
}

func (h *house) audit(t testing.TB) []string {
	t.Helper()
	breaches, err := audit(context.WithoutCancel(t.Context()), h.DB.SQL(), slices.Concat(always, atRest))
	if err != nil {
		t.Fatal(err)
	}
	unequal, err := compareBooks(context.WithoutCancel(t.Context()), h.DB.SQL(), h.gateway.Charges())
	if err != nil {
		t.Fatal(err)
	}
	return append(breaches, unequal...)
}

// died runs a call that is to die in the gateway.
func died(t testing.TB, call func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != gatewaytest.Death {
			t.Fatalf("the call ended with %v, want %q", got, gatewaytest.Death)
		}
	}()
	call()
}

// together makes n calls at once and returns when all are done.
func together(n int, call func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	all.Wait()
}

// blocked waits until n statements in the house's database wait for a lock.
func (h *house) blocked(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		var waiting int
		err := h.DB.SQL().QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity, pg_sleep(0.002)
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatalf("waiting for %d blocked statements: %v", n, err)
		}
		if waiting >= n {
			return
		}
	}
}

// beginTx opens a transaction of the test's own, which ends with the test.
func (h *house) beginTx(t testing.TB) *sql.Tx {
	t.Helper()
	tx, err := h.DB.SQL().BeginTx(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
	})
	return tx
}

// begin opens a transaction of the test's own. It is over when done is called, or the test.
func (h *house) begin(t testing.TB) (exec func(statement string, args ...any), done func()) {
	t.Helper()
	ctx, tx := context.WithoutCancel(t.Context()), h.beginTx(t)
	exec = func(statement string, args ...any) {
		t.Helper()
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	done = func() {
		t.Helper()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	return exec, done
}
