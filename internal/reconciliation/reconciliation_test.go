package reconciliation_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
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
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
	"marquee/internal/postgres"
	"marquee/internal/promotion"
	"marquee/internal/reconciliation"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// house is a world to book in, with a bank of its own.
type house struct {
	*fixture.World
	t       *testing.T
	used    int
	bank    *server.Server
	gateway *sandbox.Gateway
	booking *booking.Service
	books   *reconciliation.Service
}

var settings = reconciliation.Config{Timeout: 20 * time.Second, Lease: 10 * time.Minute}

func newHouse(t *testing.T) *house {
	t.Helper()
	return houseAt(t, dbtest.New(t), newBank(t))
}

func newBank(t *testing.T) *server.Server {
	t.Helper()
	bank, err := server.Open(server.Options{
		Journal: filepath.Join(t.TempDir(), "journal.jsonl"), Key: "key", Pages: "https://bank.example", Secret: "secret",
		Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bank.Close(); err != nil {
			t.Error(err)
		}
	})
	return bank
}

// houseAt is newHouse in a database, at a bank.
func houseAt(t *testing.T, db *postgres.DB, bank *server.Server) *house {
	t.Helper()
	h := &house{
		World: fixture.New(t, db, fixture.Plan{Seats: 200}), t: t, bank: bank,
		gateway: sandbox.New(sandbox.Config{URL: "http://sandbox", Key: "key", Secrets: []string{"secret"}, Transport: bank.Transport()}),
	}
	h.booking = h.bookings(h.gateway)
	h.books = h.service(h.gateway)
	return h
}

// bookings is the service of a further process, at a gateway.
func (h *house) bookings(gateway payment.Gateway) *booking.Service {
	showtimes, theaters := showtime.NewService(h.DB, clock.System{}), theater.NewService(ent.Over(h.DB.SQL()))
	return booking.NewService(booking.Deps{
		DB: h.DB, Showtimes: showtimes, Seating: seating.NewService(h.DB, showtimes, theaters), Payments: payment.NewService(h.DB),
		Promotions: promotion.NewService(h.DB, clock.System{}), Gateways: payment.NewGateways([]payment.Gateway{gateway}), Hint: func(uuid.UUID) {}, Clock: clock.System{},
		Source:  func(address string) []byte { return []byte(address) },
		Account: func(context.Context, string) (uuid.UUID, error) { return uuid.Nil, nil }, Log: slog.New(slog.DiscardHandler),
	}, booking.Config{Hold: 10 * time.Minute, HoldLimit: 30 * time.Minute, GatewayTimeout: 20 * time.Second, AttemptLease: 10 * time.Minute})
}

// service is that of a further process, with a gateway.
func (h *house) service(gateway payment.Gateway) *reconciliation.Service {
	return reconciliation.NewService(h.DB, payment.NewGateways([]payment.Gateway{gateway}), h.booking, slog.New(slog.DiscardHandler), settings)
}

// pay holds a seat and pays it, by a token of the sandbox, and returns the key of the attempt.
func (h *house) pay(viewer auth.Viewer, token string) (r booking.Reservation, key string) {
	h.t.Helper()
	h.used++
	held, err := h.booking.Reserve(h.t.Context(), viewer, booking.ReserveInput{
		ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(10 + h.used), IdempotencyKey: typeid.New().String(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	r = held.(booking.Reserved).Reservation
	// What the bank does wrong is an error, of which the attempt tells.
	_, _ = h.booking.Pay(h.t.Context(), viewer, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, Token: token, IdempotencyKey: typeid.New().String()})
	return r, fixture.Get[string](h.t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
		WHERE p.reservation_id = $1`, r.ID)
}

func (h *house) must(_ any, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// abandoned is an attempt whose answer was lost, with its driver.
func (h *house) abandoned() string {
	h.t.Helper()
	h.must(nil, h.bank.Inject(server.Fault{Op: server.Authorize, Do: server.FailAfter, Times: 1}))
	h.must(nil, h.bank.Inject(server.Fault{Op: server.Lookup, Do: server.FailBefore, Times: 1}))
	_, key := h.pay(viewer(), "")
	h.Exec(h.t, `UPDATE payment_attempts SET leased_until = now() - interval '1 second' WHERE id = $1`, key)
	return key
}

// late is an attempt that was declined here, whose funds the bank reserves afterwards.
func (h *house) late() string {
	h.t.Helper()
	_, key := h.pay(viewer(), sandbox.TokenChallenge)
	h.Exec(h.t, `UPDATE payment_attempts SET status = 'DECLINED', decline_code = 'gateway_no_answer' WHERE id = $1`, key)
	h.must(h.bank.Resolve(key, true))
	return key
}

func viewer() auth.Viewer { return auth.Viewer{UserID: typeid.New()} }

func (h *house) price() int64 {
	return fixture.Get[int64](h.t, h.DB, `SELECT max(amount_minor) FROM payment_attempts`)
}

func (h *house) run(s *reconciliation.Service) reconciliation.Run {
	h.t.Helper()
	run, err := s.Reconcile(h.t.Context(), h.gateway.Name(), time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
	return run
}

// queue is every mismatch as "KIND STATE" by the key of its charge; those of one charge are joined.
func (h *house) queue() map[string]string {
	h.t.Helper()
	rows, err := h.DB.SQL().QueryContext(h.t.Context(), `SELECT charge_key, string_agg(kind || ' ' || state, ', ' ORDER BY created_at, id) FROM mismatches GROUP BY charge_key`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	queue := map[string]string{}
	for rows.Next() {
		var key, line string
		if err := rows.Scan(&key, &line); err != nil {
			h.t.Fatal(err)
		}
		queue[key] = line
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return queue
}

func (h *house) wantQueue(want map[string]string) {
	h.t.Helper()
	if got := h.queue(); !maps.Equal(got, want) {
		h.t.Errorf("the queue is %v\nwant %v", got, want)
	}
}

// seedHealed plants the kinds that the program heals.
func (h *house) seedHealed() map[string]string {
	captured := h.late()
	h.must(h.gateway.Capture(h.t.Context(), captured, nzd(h.price())))
	return map[string]string{h.abandoned(): "UNSETTLED", captured: "LATE_CAPTURE", h.late(): "AUTHORIZATION_LEFT"}
}

// seedFlagged plants the others.
func (h *house) seedFlagged() map[string]string {
	ctx, seeded := h.t.Context(), map[string]string{}
	_, not := h.pay(viewer(), sandbox.TokenChallenge)
	h.Exec(h.t, `UPDATE payment_attempts SET status = 'CAPTURED' WHERE id = $1`, not)
	_, amount := h.pay(viewer(), "")
	h.Exec(h.t, `UPDATE payment_attempts SET amount_minor = amount_minor + 100 WHERE id = $1`, amount)
	_, currency := h.pay(viewer(), "")
	h.Exec(h.t, `UPDATE payments SET currency = 'AUD' WHERE id = (SELECT payment_id FROM payment_attempts WHERE id = $1)`, currency)
	_, byHand := h.pay(viewer(), "")
	h.must(h.bank.RefundByHand(byHand, 100, "NZD"))
	customer := viewer()
	r, promised := h.pay(customer, "")
	h.must(nil, h.bank.Inject(server.Fault{Op: server.Refund, Do: server.Pend, Times: 1}))
	h.must(h.booking.Cancel(ctx, customer, booking.CancelInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID}))
	h.Exec(h.t, `UPDATE refunds SET status = 'DONE', done_at = now() WHERE attempt_id = $1`, promised)
	foreign := typeid.New().String()
	h.must(h.gateway.Authorize(ctx, foreign, payment.Request{Amount: nzd(700)}))
	h.must(h.gateway.Capture(ctx, foreign, nzd(700)))
	seeded[not], seeded[amount], seeded[currency] = "NOT_CAPTURED", "AMOUNT_DIFFERS", "CURRENCY_DIFFERS"
	seeded[byHand], seeded[promised], seeded[foreign] = "REFUND_NOT_RECORDED", "REFUND_NOT_GIVEN", "UNKNOWN_CHARGE"
	return seeded
}

// TestP10_reconciliation_heals_or_flags_and_finds_nothing_again seeds all nine kinds.
func TestP10_reconciliation_heals_or_flags_and_finds_nothing_again(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 3 {
		h.pay(viewer(), "")
	}
	want := map[string]string{}
	for key, kind := range h.seedHealed() {
		want[key] = kind + " HEALED"
	}
	flagged := h.seedFlagged()
	for key, kind := range flagged {
		want[key] = kind + " OPEN"
	}
	if run := h.run(h.books); run.Outcome != reconciliation.Done || run.Found != 9 || run.Healed != 3 || run.Compared != 12 || run.EndedAt == nil {
		t.Errorf("the first run is %+v", run)
	}
	h.wantQueue(want)
	if run := h.run(h.books); run.Outcome != reconciliation.Done || run.Found != 0 || run.Healed != 0 {
		t.Errorf("the second run is %+v", run)
	}
	h.wantQueue(want)
	if backlog, err := h.books.Backlog(t.Context()); err != nil || backlog.Open != 6 || backlog.Oldest <= 0 {
		t.Errorf("%+v waits, %v", backlog, err)
	}

	// What somebody sets right at the gateway's dashboard vanishes.
	for key, kind := range flagged {
		if kind == "UNKNOWN_CHARGE" {
			h.must(h.bank.RefundByHand(key, 700, "NZD"))
			want[key] = kind + " VANISHED"
		}
	}
	h.run(h.books)
	h.wantQueue(want)
}

// TestService_Reconcile_leaves_no_remainder joins the bank's books with the ledger after the program has healed what it can.
func TestService_Reconcile_leaves_no_remainder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.pay(viewer(), "")
	seeded := h.seedHealed()
	if run := h.run(h.books); run.Found != 3 || run.Healed != 3 {
		t.Errorf("the run is %+v", run)
	}
	for key, kind := range seeded {
		want := map[string]string{"UNSETTLED": "CAPTURED", "LATE_CAPTURE": "REFUNDED", "AUTHORIZATION_LEFT": "DECLINED"}[kind]
		if got := fixture.Get[string](t, h.DB, `SELECT status FROM payment_attempts WHERE id = $1`, key); got != want {
			t.Errorf("the attempt with %s is %s, want %s", kind, got, want)
		}
	}
	left := fixture.Get[int64](t, h.DB, `SELECT sum(CASE 'GATEWAY' WHEN debit THEN amount_minor WHEN credit THEN -amount_minor ELSE 0 END) FROM ledger_transfers`)
	for _, charge := range h.bank.Charges() {
		if charge.Status == payment.ChargeAuthorized {
			t.Errorf("funds are still reserved: %+v", charge)
		}
		left -= charge.CapturedMinor - charge.RefundedMinor
	}
	if left != 0 {
		t.Errorf("the ledger has %d more at the bank than the bank has", left)
	}
}

// dying is a gateway in whose answer the process dies.
type dying struct {
	*sandbox.Gateway
	lookups int // until then
}

func (d *dying) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	if d.lookups--; d.lookups == 0 {
		panic("dead")
	}
	return d.Gateway.Lookup(ctx, key)
}

// A process dies after each step in turn; another goes on, and nothing is found twice.
func TestService_Reconcile_after_a_death(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seeded := h.seedHealed()
	maps.Copy(seeded, h.seedFlagged())
	deaths := 0
	for lookups := 1; ; lookups += 3 {
		died := func() (died bool) {
			defer func() { died = recover() != nil }()
			h.run(h.service(&dying{h.gateway, lookups}))
			return false
		}()
		if !died {
			break
		}
		deaths++
		if _, err := h.books.Reconcile(t.Context(), "sandbox", time.Now().Add(-time.Hour), time.Now()); apperr.CodeOf(err) != apperr.Conflict {
			t.Errorf("beside a run that may be alive: %v", err)
		}
		h.Exec(t, `UPDATE reconciliations SET leased_until = now() - interval '1 second' WHERE outcome = 'RUNNING'`)
	}
	if deaths < 3 {
		t.Errorf("%d have died", deaths)
	}
	for key, line := range h.queue() {
		kind := seeded[key]
		if line != kind+" OPEN" && line != kind+" HEALED" && line != kind+" VANISHED" {
			t.Errorf("of %s there is %q", kind, line)
		}
	}
	if n := len(h.queue()); n != len(seeded) {
		t.Errorf("%d of %d are in the queue", n, len(seeded))
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reconciliations WHERE outcome = 'RUNNING'`); n != 0 {
		t.Errorf("%d runs go on", n)
	}
	if run := h.run(h.books); run.Found != 0 {
		t.Errorf("the last run is %+v", run)
	}
}

func TestService_Reconcile_of_what_does_not_answer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.seedFlagged()
	h.must(nil, h.bank.Inject(server.Fault{Op: server.List, Do: server.FailBefore, Times: 1}))
	if run := h.run(h.books); run.Outcome != reconciliation.Failed || run.Found != 0 {
		t.Errorf("the run at a gateway that is away is %+v", run)
	}
	if run := h.run(h.service(struct{ payment.Gateway }{h.gateway})); run.Outcome != reconciliation.NoList {
		t.Errorf("the run at a gateway without a list is %+v", run)
	}
	now := time.Now()
	for _, period := range [][2]time.Time{{now, now}, {now, now.Add(-time.Hour)}, {{}, now}} {
		if _, err := h.books.Reconcile(t.Context(), "sandbox", period[0], period[1]); apperr.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("the period %v gives %v", period, err)
		}
	}
	if _, err := h.books.Reconcile(t.Context(), "nobody", time.Now().Add(-time.Hour), time.Now()); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("a gateway that there is none gives %v", err)
	}
}

// The periodic runs are one an hour, whichever node does them; one that failed is done again at once.
func TestService_Periodic(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must(nil, h.bank.Inject(server.Fault{Op: server.List, Do: server.FailBefore, Times: 1}))
	for i, want := range []int{1, 1, 0, 0} {
		if runs, err := h.books.Periodic(t.Context(), time.Now(), time.Hour); err != nil || len(runs) != want {
			t.Errorf("round %d has the runs %+v, %v; want %d", i, runs, err, want)
		}
	}
	h.Exec(t, `UPDATE reconciliations SET created_at = created_at - interval '1 hour'`)
	if runs, err := h.books.Periodic(t.Context(), time.Now(), time.Hour); err != nil || len(runs) != 1 {
		t.Errorf("an hour later there are the runs %+v, %v", runs, err)
	}
}

// moving is a gateway at which something happens after it has listed, and before it looks up.
type moving struct {
	*sandbox.Gateway
	listed, asked func()
}

func (m *moving) Booked(ctx context.Context, from, to time.Time, after string) ([]payment.BookedCharge, string, error) {
	page, next, err := m.Gateway.Booked(ctx, from, to, after)
	m.listed()
	return page, next, err
}

func (m *moving) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	m.asked()
	return m.Gateway.Lookup(ctx, key)
}

// A customer gives back one seat after the other while their charge is examined.
func TestService_Reconcile_of_what_moves(t *testing.T) {
	t.Parallel()
	h, customer := newHouse(t), viewer()
	result, err := h.booking.Reserve(t.Context(), customer, booking.ReserveInput{
		ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(20, 21), IdempotencyKey: typeid.New().String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := result.(booking.Reserved).Reservation
	h.must(h.booking.Pay(t.Context(), customer, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: typeid.New().String()}))
	cancelled := 0
	giveBack := func(position int) func() {
		return func() {
			h.must(h.booking.Cancel(t.Context(), customer, booking.CancelInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, SeatIDs: h.SeatIDs(position)}))
			cancelled++
		}
	}
	if run := h.run(h.service(&moving{h.gateway, giveBack(20), giveBack(21)})); run.Found != 0 || cancelled != 2 {
		t.Errorf("the run is %+v after %d cancellations: %v", run, cancelled, h.queue())
	}
}

// Money that moves meanwhile is no mismatch.
func TestService_Reconcile_beside_customers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const customers, rounds = 4, 8
	var wait sync.WaitGroup
	for i := range customers {
		wait.Go(func() {
			for n := range rounds {
				v := viewer()
				result, err := h.booking.Reserve(t.Context(), v, booking.ReserveInput{
					ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(20 + i*rounds + n), IdempotencyKey: typeid.New().String(),
				})
				held, ok := result.(booking.Reserved)
				if err != nil || !ok {
					t.Errorf("%#v, %v", result, err)
					return
				}
				r := held.Reservation
				_, payErr := h.booking.Pay(t.Context(), v, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: typeid.New().String()})
				_, cancelErr := h.booking.Cancel(t.Context(), v, booking.CancelInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID})
				if payErr != nil || cancelErr != nil {
					t.Error(payErr, cancelErr)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { wait.Wait(); close(over) }()
	for going := true; going; {
		select {
		case <-over:
			going = false
		default:
		}
		if run := h.run(h.books); run.Found != 0 || run.Outcome != reconciliation.Done {
			t.Errorf("a run beside customers is %+v: %v", run, slices.Collect(maps.Values(h.queue())))
		}
	}
	if got := fmt.Sprint(h.queue()); got != "map[]" {
		t.Errorf("the queue is %s", got)
	}
}
