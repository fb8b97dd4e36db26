package booking_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/dbtest/rulebook"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/postgres"
)

// always and atRest are the rules of [rulebook].
var (
	always = rulebook.Always()
	atRest = rulebook.AtRest()
)

// audit returns a line for each breach of the rules.
func audit(ctx context.Context, q rulebook.Querier, rules []rulebook.Rule) ([]string, error) {
	return rulebook.Breaches(ctx, q, rules...)
}

// compareBooks returns a line for each difference between the attempts, all settled, and the gateway's books.
func compareBooks(ctx context.Context, q rulebook.Querier, books map[string]payment.Charge) ([]string, error) {
	type attempt struct {
		payment.Attempt
		back int64 // by refunds that are done
	}
	rows, err := q.QueryContext(ctx, `SELECT a.id, a.status, coalesce(a.decline_code, ''), coalesce(a.taken_minor, a.amount_minor), p.currency, (SELECT coalesce(sum(CASE r.destination WHEN 'ORIGINAL' THEN r.amount_minor ELSE r.by_hand_minor END), 0) FROM refunds r
			JOIN payment_attempts c ON c.showtime_id = r.showtime_id AND c.id = r.attempt_id
			WHERE (c.id = a.id OR c.origin_key = a.id::text) AND r.status = 'DONE' AND r.to_reservation_id IS NULL) FROM payment_attempts a
		JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
		WHERE a.gateway NOT LIKE 'COUNTER%' AND a.gateway NOT IN ('NONE', 'credit') AND a.status <> 'CARRIED'`)
	if err != nil {
		return nil, err
	}
	attempts, err := postgres.Collect(rows, func(rows *sql.Rows) (a attempt, err error) {
		err = rows.Scan(&a.ID, &a.Status, &a.DeclineCode, &a.Amount.AmountMinor, &a.Amount.Currency, &a.back)
		return a, err
	})
	if err != nil {
		return nil, err
	}
	var differences []string
	unknown := maps.Clone(books)
	for _, a := range attempts {
		charge, known := books[a.Key()]
		delete(unknown, a.Key())
		if !known && (a.DeclineCode == payment.DeclineRefused || a.DeclineCode == payment.DeclineUnreached) {
			continue // the gateway keeps nothing of what it refuses, or never heard of
		}
		if !known || !agrees(a.Attempt, a.back, charge) {
			differences = append(differences, fmt.Sprintf("books differ: %s attempt %s of %v is %+v at the gateway", a.Status, a.ID, a.Amount, charge))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(unknown)) {
		differences = append(differences, fmt.Sprintf("books differ: the gateway has %+v for %s, of which nothing is known here", unknown[key], key))
	}
	if len(differences) > 0 {
		return differences, nil
	}
	ledger, err := ledgerAtGateways(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, charge := range books {
		ledger[charge.Captured.Currency] -= charge.Captured.AmountMinor - charge.Refunded.AmountMinor
	}
	for _, currency := range slices.Sorted(maps.Keys(ledger)) {
		if ledger[currency] != 0 {
			differences = append(differences, fmt.Sprintf("books differ: the ledger has %d %s more at the gateway than the gateway has", ledger[currency], currency))
		}
	}
	return differences, nil
}

// ledgerAtGateways is what the ledger says that gateways have, by currency.
func ledgerAtGateways(ctx context.Context, q rulebook.Querier) (map[string]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT currency, sum(CASE 'GATEWAY' WHEN debit THEN amount_minor WHEN credit THEN -amount_minor ELSE 0 END)
		FROM ledger_transfers WHERE gateway NOT LIKE 'COUNTER%' AND gateway <> 'credit' GROUP BY currency`)
	if err != nil {
		return nil, err
	}
	type balance struct {
		currency string
		minor    int64
	}
	balances, err := postgres.Collect(rows, func(rows *sql.Rows) (b balance, err error) {
		err = rows.Scan(&b.currency, &b.minor)
		return b, err
	})
	ledger := map[string]int64{}
	for _, b := range balances {
		ledger[b.currency] = b.minor
	}
	return ledger, err
}

func agrees(a payment.Attempt, back int64, charge payment.Charge) bool {
	taken := charge.Captured.AmountMinor != 0 || charge.Refunded.AmountMinor != 0
	switch a.Status {
	case payment.AttemptCaptured:
		return charge.Status == payment.ChargeCaptured && charge.Captured == a.Amount && charge.Refunded.AmountMinor == back
	case payment.AttemptRefunded:
		return charge.Status == payment.ChargeCaptured && charge.Captured == a.Amount && charge.Refunded == a.Amount
	case payment.AttemptDeclined, payment.AttemptVoided:
		return (charge.Status == payment.ChargeDeclined || charge.Status == payment.ChargeVoided) && !taken
	default:
		return false
	}
}

// TestAudit plants one breach after the other, of each rule, and demands that the audit finds it: the audit is what the
// tests of races rely on.
func TestAudit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	viewer := newViewer()
	h.buy(t, viewer, 11, 12)
	h.hold(t, viewer, 13, 14)
	returned := h.buy(t, viewer, 15)
	if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(returned)); err != nil {
		t.Fatal(err)
	}
	paidOut, err := h.booking.PayOutAtCounter(t.Context(), h.staff(), payOutInput(h.soldAtCounter(t, 16), true))
	is[booking.PaidOut](t, paidOut, err)
	credited := cancelInput(h.buy(t, viewer, 18))
	credited.RefundTo = payment.ToStoreCredit
	h.cancels(t, viewer, credited)
	h.gateway.Next(gatewaytest.Capture, h.gateway.TakesInstead(nzd(600)))
	wrong, err := h.booking.Pay(t.Context(), viewer, payInput(h.hold(t, viewer, 17)))
	is[booking.Declined](t, wrong, err)
	h.rests(t)

	drop := func(table, constraint string) string {
		return `ALTER TABLE ` + table + ` DROP CONSTRAINT ` + constraint
	}
	plants := map[string][]string{
		"a seat is claimed twice": {
			drop("seat_claims", "seat_claims_pkey"),
			`INSERT INTO seat_claims SELECT showtime_id, 11, id, held_until FROM reservations WHERE status = 'HELD'`,
		},
		"two live reservations have one seat": {`UPDATE reservations SET seats = '{12,13}' WHERE status = 'HELD'`},
		"two live tickets admit to one seat": {
			`DROP INDEX tickets_seat_key`,
			`UPDATE tickets SET seat_no = 11 WHERE seat_no = 12`,
		},
		"a live reservation lacks one of its seats": {`DELETE FROM seat_claims WHERE seat_no = 14`},
		"a claim is not its reservation's to have":  {`UPDATE seat_claims c SET reservation_id = r.id FROM reservations r WHERE r.status = 'CANCELLED' AND c.seat_no = 14`},
		"a seat is outside the showtime's layout":   {`UPDATE seat_claims SET seat_no = 41 WHERE seat_no = 14`},
		"free, held, taken and blocked are not the capacity": {
			drop("seat_claims", "seat_claims_pkey"),
			`INSERT INTO seat_claims SELECT * FROM seat_claims WHERE seat_no = 13`,
		},
		"a viewer has more seats than one may":                    {`UPDATE showtime_sales SET max_seats = 3`},
		"the tickets are not those of the confirmed seats":        {`UPDATE tickets SET status = 'REVOKED' WHERE seat_no = 12`},
		"a confirmed reservation is not paid in full":             {`UPDATE payments SET amount_minor = amount_minor - 1, captured_minor = captured_minor - 1 WHERE status = 'CAPTURED'`},
		"captured money is for no reservation that was confirmed": {`UPDATE reservations SET confirmed_at = NULL WHERE status = 'CANCELLED'`},
		"a payment's figures do not fit its state":                {`UPDATE payments SET status = 'CAPTURED' WHERE status = 'REFUNDED'`},
		"a payment does not follow its attempts":                  {`UPDATE payments SET status = 'PENDING' WHERE status = 'CAPTURED'`},
		"refunds are not what their payment says":                 {`UPDATE payments SET refunded_minor = refunded_minor - 1 WHERE status = 'REFUNDED'`},
		"what was taken in vain has not the refund that it needs": {`UPDATE refunds SET amount_minor = amount_minor - 1 WHERE cause = 'IN_VAIN'`},
		"the lines of a reservation are not its price":            {`UPDATE reservations SET amount_minor = amount_minor + 1 WHERE status = 'HELD'`},
		"a refund is not settled":                                 {`UPDATE refunds SET status = 'PENDING', done_at = NULL`},
		"two attempts of a payment can take money": {`DROP INDEX payment_attempts_live_key`, `INSERT INTO payment_attempts (showtime_id, id, payment_id, number, gateway, amount_minor, status, idempotency_key, leased_until)
			SELECT showtime_id, gen_random_uuid(), payment_id, 2, gateway, amount_minor, 'STARTED', 'another key', now() FROM payment_attempts WHERE status = 'CAPTURED'`},
		"an offer of seats is not held for its customer, or was not made":          {`UPDATE payment_attempts SET status = 'OFFERED' WHERE status = 'CAPTURED'`},
		"seats are secured without an authorized payment, or not secured with one": {`UPDATE reservations SET held_until = NULL`},
		"the till has not what was taken at the counter":                           {`UPDATE payment_attempts SET gateway = 'COUNTER_CASH' WHERE status = 'CAPTURED'`},
		"the till has not paid out what was given back at the counter": {
			`DROP INDEX till_entries_refund_key`, `DROP INDEX ledger_transfers_subject_key`,
			`INSERT INTO till_entries SELECT showtime_id, gen_random_uuid(), payment_id, refund_id, theater_id, staff_id, kind, method, amount_minor, given_minor,
				terminal_reference, idempotency_key, created_at FROM till_entries WHERE kind = 'PAID_OUT'`,
		},
		"a store credit is spent that is not there":  {`INSERT INTO store_credit_entries (id, credit_id, kind, key, amount_minor) SELECT gen_random_uuid(), id, 'SPENT', 'a key', -1201 FROM store_credits`},
		"store credits are not what the ledger says": {`UPDATE store_credit_entries SET amount_minor = amount_minor + 1`},
		"the ledger lacks money that was moved":      {`ALTER TABLE ledger_transfers DISABLE TRIGGER ledger_transfers_stay`, `DELETE FROM ledger_transfers WHERE kind = 'PROMISED'`},
		"the ledger has money that was not moved": {`INSERT INTO ledger_transfers (showtime_id, id, theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency)
			SELECT showtime_id, gen_random_uuid(), theater_id, payment_id, payment_id, kind, debit, credit, gateway, amount_minor, currency FROM ledger_transfers WHERE kind = 'PROMISED'`},
		"an attempt is not settled":                 {`UPDATE payment_attempts SET status = 'VOID_PENDING' WHERE status = 'CAPTURED'`},
		"a payment of an ended reservation is open": {`UPDATE payments SET status = 'REFUND_PENDING', refunded_minor = 0 WHERE status = 'REFUNDED'`},
		"captures are not the confirmed totals":     {`UPDATE reservations SET amount_minor = amount_minor + 1 WHERE status = 'CONFIRMED'`},
	}
	// Of swaps, in a house with one.
	swapped := newHouse(t, fixture.Plan{Showtimes: 2})
	swapped.policy(t, freely)
	swapped.swaps(t, viewer, swapped.swapInput(swapped.buy(t, viewer, 11), nil, 1, 12, 13))
	swapped.rests(t)
	swapPlants := map[string][]string{
		"more goes back of an attempt than it has":     {`UPDATE payment_attempts a SET amount_minor = a.amount_minor - 1 FROM refunds r WHERE r.attempt_id = a.id`},
		"a swap pays with money that it does not have": {`DELETE FROM payment_attempts WHERE status = 'CARRIED'`},
		"a handover is not what its attempt decided":   {`UPDATE handovers SET status = 'RETURNED'`},
		"a seat is swapped twice": {`INSERT INTO handovers SELECT showtime_id, gen_random_uuid(), reservation_id, to_showtime_id, to_reservation_id, seats, credit_minor,
			back_minor, sources, status, leased_until, created_at FROM handovers`},
		"a seat that was swapped is still had":                             {`UPDATE reservations SET status = 'CONFIRMED', ended_at = NULL WHERE status = 'CANCELLED'`},
		"a ticket admits that a swap has taken, or does not that none has": {`UPDATE tickets SET status = 'SUSPENDED' WHERE status = 'ISSUED'`},
		"money of a swap is between two reservations":                      {`ALTER TABLE ledger_transfers DISABLE TRIGGER ledger_transfers_stay`, `DELETE FROM ledger_transfers WHERE kind = 'CARRIED_IN'`},
		"a swap is not settled":                                            {`UPDATE handovers SET status = 'TAKEN'`},
	}
	rules := slices.Concat(always, atRest)
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.Name, " ", "_"), func(t *testing.T) {
			h, plants := h, plants
			if swapPlants[r.Name] != nil {
				h, plants = swapped, swapPlants
			}
			tx, err := h.DB.SQL().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			for _, plant := range plants[r.Name] {
				if _, err := tx.ExecContext(t.Context(), plant); err != nil {
					t.Fatalf("%s: %v", plant, err)
				}
			}
			breaches, err := audit(t.Context(), tx, rules)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(breaches, func(line string) bool { return strings.HasPrefix(line, r.Name+": ") }) {
				t.Errorf("not found among %q", breaches)
			}
		})
	}
	if planted := len(plants) + len(swapPlants); planted != len(rules) {
		t.Errorf("%d plants for %d rules", planted, len(rules))
	}
	t.Run("books_that_differ", func(t *testing.T) {
		t.Parallel()
		key := fixture.Get[string](t, h.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
			WHERE p.status = 'CAPTURED'`)
		for name, spoil := range map[string]func(map[string]payment.Charge){
			"the gateway lacks a charge": func(books map[string]payment.Charge) { delete(books, key) },
			"the gateway has one more":   func(books map[string]payment.Charge) { books["foreign"] = books[key] },
			"another amount was taken": func(books map[string]payment.Charge) {
				charge := books[key]
				charge.Captured.AmountMinor++
				books[key] = charge
			},
			"it was given back": func(books map[string]payment.Charge) {
				charge := books[key]
				charge.Refunded = charge.Captured
				books[key] = charge
			},
		} {
			books := h.gateway.Charges()
			spoil(books)
			if differences, err := compareBooks(t.Context(), h.DB.SQL(), books); err != nil || len(differences) != 1 {
				t.Errorf("%s: %q, %v; want one difference", name, differences, err)
			}
		}
	})
}
