package reconciliation_test

import (
	"strings"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
	"marquee/internal/postgres"
	"marquee/internal/reconciliation"
	"marquee/internal/typeid"
)

// openHouse opens a database that can be closed before the test is over, so that it can be copied.
func openHouse(t *testing.T, url string) (db *postgres.DB, shut func()) {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 8, ApplicationName: "marquee test"})
	if err != nil {
		t.Fatal(err)
	}
	isShut := false
	shut = func() {
		if err := db.Close(); err != nil && !isShut {
			t.Error(err)
		}
		isShut = true
	}
	t.Cleanup(shut)
	return db, shut
}

// in is the house in another state of its database.
func (h *house) in(db *postgres.DB) *house {
	world := *h.World
	world.DB = db
	next := &house{World: &world, t: h.t, used: h.used, bank: h.bank, gateway: h.gateway}
	next.booking = next.bookings(next.gateway)
	next.books = next.service(next.gateway)
	return next
}

// TestP15_money_moved_since_a_restored_backup_is_applied_or_goes_back: the database comes back as it was an hour ago, the gateway does not.
// What it has done since for attempts that were under way then is done here too, and what it took for those that nobody remembers goes
// back; the second comparison finds nothing, and nothing remains.
func TestP15_money_moved_since_a_restored_backup_is_applied_or_goes_back(t *testing.T) {
	t.Parallel()
	url := dbtest.NewURL(t)
	db, shut := openHouse(t, url)
	h := houseAt(t, db, newBank(t))
	customer := viewer()
	resolve := func(key string) { h.must(h.bank.Resolve(key, true)) }
	status := func(key string) string {
		return fixture.Get[string](t, h.DB, `SELECT a.status || ' ' || r.status FROM payment_attempts a JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
			JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id WHERE a.id = $1`, key)
	}
	cancel := func(by auth.Viewer, r booking.Reservation) {
		h.must(h.booking.Cancel(t.Context(), by, booking.CancelInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID}))
	}

	// Until the backup.
	foreign := typeid.New().String() // that was never ours
	h.must(h.gateway.Authorize(t.Context(), foreign, payment.Request{Amount: nzd(700)}))
	h.must(h.gateway.Capture(t.Context(), foreign, nzd(700)))
	_, paid := h.pay(viewer(), "")
	abandoned := h.abandoned()
	_, challenged := h.pay(viewer(), sandbox.TokenChallenge)
	returned, returnedKey := h.pay(customer, sandbox.TokenChallenge)
	_, letGo := h.pay(viewer(), sandbox.TokenChallenge)
	promised, promisedKey := h.pay(customer, "")
	h.must(nil, h.bank.Inject(server.Fault{Op: server.Refund, Do: server.Pend, Times: 1}))
	cancel(customer, promised)
	held, err := h.booking.Reserve(t.Context(), customer, booking.ReserveInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(9), IdempotencyKey: typeid.New().String()})
	if err != nil {
		t.Fatal(err)
	}
	h.must(nil, h.bank.Inject(server.Fault{Op: server.Capture, Do: server.FailBefore, Times: 1}))
	secured, securedKey := h.pay(customer, "")
	shut()
	backup, at := dbtest.CopyURL(t, url), time.Now()

	// What happens until it comes back.
	db, shut = openHouse(t, url)
	h = h.in(db)
	for _, key := range []string{abandoned, challenged, returnedKey, promisedKey} {
		if key != abandoned {
			resolve(key)
		}
	}
	h.Exec(t, `UPDATE payment_attempts SET leased_until = now() - interval '1 second'`)
	h.Exec(t, `UPDATE refunds SET leased_until = now() - interval '1 second'`)
	h.Exec(t, `UPDATE reservations SET held_until = now() - interval '1 second' WHERE id = (SELECT p.reservation_id FROM payments p JOIN payment_attempts a ON a.payment_id = p.id WHERE a.id = $1)`, letGo)
	h.must(h.booking.Reconcile(t.Context()))
	cancel(customer, returned)
	cancel(customer, secured)
	r := held.(booking.Reserved).Reservation
	h.must(h.booking.Pay(t.Context(), customer, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: typeid.New().String()}))
	_, unheard := h.pay(viewer(), "")
	reserved := h.abandoned()
	for key, want := range map[string]string{
		abandoned: "CAPTURED CONFIRMED", challenged: "CAPTURED CONFIRMED", returnedKey: "CAPTURED CANCELLED", securedKey: "CAPTURED CANCELLED", letGo: "VOIDED HELD", promisedKey: "CAPTURED CANCELLED",
		unheard: "CAPTURED CONFIRMED", reserved: "STARTED HELD",
	} {
		if got := status(key); got != want {
			t.Errorf("before the loss an attempt is %s, want %s", got, want)
		}
	}
	shut()

	// The backup comes back.
	db, _ = openHouse(t, backup)
	h = h.in(db)
	h.Exec(t, `UPDATE payment_attempts SET leased_until = now() - interval '1 second'`)
	h.Exec(t, `UPDATE refunds SET leased_until = now() - interval '1 second'`)
	h.Exec(t, `UPDATE reservations SET held_until = now() - interval '1 second' WHERE id = $1`, returned.ID)
	h.Exec(t, `UPDATE seat_claims SET held_until = now() - interval '1 second' WHERE reservation_id = $1`, returned.ID)
	run := func() reconciliation.Run {
		got, err := h.books.ReconcileRestored(t.Context(), h.gateway.Name(), at.Add(-time.Hour), time.Now().Add(time.Minute), at)
		if err != nil || got.Outcome != reconciliation.Done {
			t.Fatalf("%+v, %v", got, err)
		}
		return got
	}
	if first := run(); first.Found != 9 || first.Healed != 8 {
		t.Errorf("the first comparison is %+v: %v", first, h.queue())
	}
	h.must(h.booking.Reconcile(t.Context())) // as each node does: refunds that were promised then
	for key, want := range map[string]string{
		paid: "CAPTURED CONFIRMED", abandoned: "CAPTURED CONFIRMED", challenged: "CAPTURED CONFIRMED", returnedKey: "REFUNDED HELD", securedKey: "REFUNDED HELD", promisedKey: "CAPTURED CANCELLED",
		letGo: "DECLINED HELD",
	} {
		if got := status(key); got != want {
			t.Errorf("in the end an attempt is %s, want %s", got, want)
		}
	}
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM payment_recoveries`); n != 0 {
		t.Errorf("%d customers are told that their money came late", n)
	}
	if second := run(); second.Found != 0 || second.Healed != 0 {
		t.Errorf("the second comparison is %+v: %v", second, h.queue())
	}
	for key, line := range h.queue() {
		if want := map[bool]string{true: "UNKNOWN_CHARGE OPEN"}[key == foreign]; want != "" && line != want {
			t.Errorf("of what was never ours there is %q", line)
		} else if key != foreign && line != "UNSETTLED HEALED" && line != "UNKNOWN_CHARGE HEALED" {
			t.Errorf("of %s there is %q", key, line)
		}
	}
	left := -fixture.Get[int64](t, h.DB, `SELECT coalesce(sum(amount_minor), 0) FROM reservations WHERE status = 'CONFIRMED'`)
	ledger := fixture.Get[int64](t, h.DB, `SELECT sum(CASE 'GATEWAY' WHEN debit THEN amount_minor WHEN credit THEN -amount_minor ELSE 0 END) FROM ledger_transfers`)
	for _, charge := range h.bank.Charges() {
		if charge.Status == payment.ChargeAuthorized || charge.Status.Pending() {
			t.Errorf("funds are still reserved: %+v", charge)
		}
		kept := charge.CapturedMinor - charge.RefundedMinor
		if charge.Key == foreign {
			if kept != 700 {
				t.Errorf("of what was never ours %v are left", money.Money{AmountMinor: kept, Currency: "NZD"})
			}
			continue
		}
		left += kept
		ledger -= kept
	}
	if left != 0 || ledger != 0 {
		t.Errorf("the gateway has %d more than the reservations come to, and the ledger %d more than the gateway", left, ledger)
	}
}

// TestP15_money_given_back_since_a_restored_backup: of a seat that was given back since, and is the customer's again, the queue says that
// its money is gone; once it is given back again nothing goes back twice, and nothing remains.
func TestP15_money_given_back_since_a_restored_backup(t *testing.T) {
	t.Parallel()
	url := dbtest.NewURL(t)
	db, shut := openHouse(t, url)
	h := houseAt(t, db, newBank(t))
	customer := viewer()
	held, err := h.booking.Reserve(t.Context(), customer, booking.ReserveInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(20, 21), IdempotencyKey: typeid.New().String()})
	if err != nil {
		t.Fatal(err)
	}
	r := held.(booking.Reserved).Reservation
	h.must(h.booking.Pay(t.Context(), customer, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: typeid.New().String()}))
	cancel := func() error {
		_, err := h.booking.Cancel(t.Context(), customer, booking.CancelInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, SeatIDs: h.SeatIDs(20)})
		return err
	}
	shut()
	backup, at := dbtest.CopyURL(t, url), time.Now()
	db, shut = openHouse(t, url)
	h = h.in(db)
	h.must(nil, cancel())
	shut()

	db, _ = openHouse(t, backup)
	h = h.in(db)
	run := func() reconciliation.Run {
		got, err := h.books.ReconcileRestored(t.Context(), h.gateway.Name(), at.Add(-time.Hour), time.Now().Add(time.Minute), at)
		if err != nil || got.Outcome != reconciliation.Done {
			t.Fatalf("%+v, %v", got, err)
		}
		return got
	}
	if first := run(); first.Found != 1 || !strings.HasPrefix(h.queue()[h.bank.Charges()[0].Key], "REFUND_NOT_RECORDED") {
		t.Errorf("%+v: %v", first, h.queue())
	}
	if err := cancel(); err != nil && apperr.CodeOf(err) != apperr.Conflict {
		t.Fatal(err)
	}
	if last := run(); last.Found != 0 {
		t.Errorf("%+v: %v", last, h.queue())
	}
	if backlog, err := h.books.Backlog(t.Context()); err != nil || backlog.Open != 0 {
		t.Errorf("%+v waits, %v: %v", backlog, err, h.queue())
	}
	left := fixture.Get[int64](t, h.DB, `SELECT sum(CASE 'GATEWAY' WHEN debit THEN amount_minor WHEN credit THEN -amount_minor ELSE 0 END) FROM ledger_transfers`)
	charges := h.bank.Charges()
	if len(charges) != 1 || charges[0].CapturedMinor != 2400 || charges[0].RefundedMinor != 1200 || left != 1200 {
		t.Errorf("the gateway has %+v, and the ledger %d", charges, left)
	}
}
