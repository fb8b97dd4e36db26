package booking_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/postgres"
)

// rule is something that never happens. Its query yields a line for each breach.
type rule struct{ name, query string }

// live are the reservations that have a right to their seats. The clock is read after the snapshot is taken: a deadline
// that is in the future by then had not passed for anyone whose work the snapshot contains.
const live = `WITH live AS (SELECT * FROM reservations WHERE status = 'CONFIRMED' OR status IN ('HELD', 'RESERVED')
	AND (held_until IS NULL OR held_until > clock_timestamp())) `

// always are the rules that every snapshot keeps, whatever is under way.
var always = []rule{
	{"a seat is claimed twice", `SELECT format('seat %s by %s', seat_no, array_agg(reservation_id)) FROM seat_claims
		GROUP BY showtime_id, seat_no HAVING count(*) > 1`},
	{"two live reservations have one seat", live + `SELECT format('seat %s in %s', seat_no, array_agg(id))
		FROM live, unnest(seats) AS seat_no GROUP BY showtime_id, seat_no HAVING count(*) > 1`},
	{"two live tickets admit to one seat", `SELECT format('seat %s by %s', seat_no, array_agg(id)) FROM tickets
		WHERE status <> 'REVOKED' GROUP BY showtime_id, seat_no HAVING count(*) > 1`},
	{"a live reservation lacks one of its seats", live + `SELECT format('%s reservation %s lacks seat %s', r.status, r.id, s.no)
		FROM live r, unnest(r.seats) AS s (no) WHERE NOT EXISTS (SELECT FROM seat_claims c
			WHERE c.showtime_id = r.showtime_id AND c.seat_no = s.no AND c.reservation_id = r.id
				AND c.held_until IS NOT DISTINCT FROM r.held_until)`},
	{"a claim is not its reservation's to have", `SELECT format('seat %s of %s reservation %s', c.seat_no, r.status, r.id)
		FROM seat_claims c JOIN reservations r ON r.showtime_id = c.showtime_id AND r.id = c.reservation_id
		WHERE r.status NOT IN ('HELD', 'RESERVED', 'CONFIRMED') OR NOT c.seat_no = ANY (r.seats)`},
	{"a seat is outside the showtime's layout", `SELECT format('seat %s of %s', c.seat_no, s.seat_count) FROM showtime_sales s
		JOIN (SELECT showtime_id, seat_no FROM seat_claims UNION ALL SELECT showtime_id, seat_no FROM tickets) c USING (showtime_id)
		WHERE c.seat_no NOT BETWEEN 1 AND s.seat_count`},
	{"free, held, taken and blocked are not the capacity", `SELECT format('%s free, %s held, %s taken, %s blocked of %s',
			free, held, taken, blocked, seat_count)
		FROM (SELECT sale.showtime_id, sale.seat_count,
				count(*) FILTER (WHERE c.seat_no IS NULL OR c.held_until <= now()) AS free,
				count(*) FILTER (WHERE c.held_until > now()) AS held,
				count(*) FILTER (WHERE c.held_until IS NULL AND c.reservation_id IS NOT NULL) AS taken,
				count(*) FILTER (WHERE c.seat_no IS NOT NULL AND c.reservation_id IS NULL) AS blocked
			FROM showtime_sales sale JOIN showtimes s ON s.id = sale.showtime_id JOIN seats ON seats.layout_id = s.layout_id
			LEFT JOIN seat_claims c ON c.showtime_id = sale.showtime_id AND c.seat_no = seats.seat_no
			GROUP BY sale.showtime_id) AS sum
		WHERE free + held + taken + blocked <> seat_count`},
	{"a viewer has more seats than one may", live + `SELECT format('%s has %s of %s', viewer_id, sum(cardinality(seats)), max_seats)
		FROM live JOIN showtime_sales USING (showtime_id) GROUP BY showtime_id, viewer_id, max_seats
		HAVING sum(cardinality(seats)) > max_seats`},
	{"the tickets are not those of the confirmed seats", `SELECT format('%s reservation %s for %s has tickets for %s', r.status, r.id, r.seats, t.seats)
		FROM reservations r LEFT JOIN LATERAL (SELECT array_agg(seat_no ORDER BY seat_no) AS seats FROM tickets t
			WHERE t.showtime_id = r.showtime_id AND t.reservation_id = r.id AND t.status <> 'REVOKED') t ON true
		WHERE t.seats IS DISTINCT FROM CASE WHEN r.status = 'CONFIRMED' THEN (SELECT array_agg(u ORDER BY u) FROM unnest(r.seats) u) END`},
	{"a confirmed reservation is not paid in full", `SELECT format('%s reservation %s of %s %s', r.status, r.id, r.amount_minor, r.currency)
		FROM reservations r LEFT JOIN payments p ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id
			AND p.status = 'CAPTURED' AND p.amount_minor = r.amount_minor AND p.currency = r.currency AND p.viewer_id = r.viewer_id
		WHERE r.status = 'CONFIRMED' AND r.amount_minor > 0 AND p.id IS NULL`},
	{"captured money is for no confirmed reservation", `SELECT format('%s payment %s of %s reservation', p.status, p.id, r.status)
		FROM payments p JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id
		WHERE (p.status = 'CAPTURED') <> (r.status = 'CONFIRMED')`},
	{"a payment's figures do not fit its state", `SELECT format('%s payment %s: %s of %s captured, %s refunded', status, id, captured_minor, amount_minor, refunded_minor)
		FROM payments WHERE (captured_minor, refunded_minor) <> CASE status WHEN 'REFUNDED' THEN (amount_minor, amount_minor)
			WHEN 'CAPTURED' THEN (amount_minor, 0::bigint) WHEN 'REFUND_PENDING' THEN (amount_minor, 0::bigint) ELSE (0::bigint, 0::bigint) END`},
	{"a payment does not follow its attempts", `SELECT format('%s payment %s with attempts %s', p.status, p.id, a.states)
		FROM payments p JOIN (SELECT showtime_id, payment_id, array_agg(status) AS states FROM payment_attempts
			GROUP BY showtime_id, payment_id) a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
		WHERE (p.status = 'CAPTURED') <> ('CAPTURED' = ANY (a.states))
			OR p.status IN ('REFUND_PENDING', 'REFUNDED') AND NOT p.status = ANY (a.states)
			OR p.status = 'FAILED' AND 'AUTHORIZED' = ANY (a.states)`},
	{"two attempts of a payment can take money", `SELECT format('payment %s: %s', payment_id, array_agg(status)) FROM payment_attempts
		WHERE status IN ('STARTED', 'AUTHORIZED', 'CAPTURED') GROUP BY showtime_id, payment_id HAVING count(*) > 1`},
	{"seats are secured without an authorized payment, or not secured with one", `SELECT format('%s reservation %s until %s with an attempt %s', r.status, r.id, r.held_until, a.status)
		FROM reservations r LEFT JOIN payments p ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id
		LEFT JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'AUTHORIZED'
		WHERE (r.status IN ('HELD', 'RESERVED') AND r.held_until IS NULL) <> (a.id IS NOT NULL)`},
}

// atRest are the rules that hold besides when nothing is under way, expired holds are swept and payments settled.
var atRest = []rule{
	{"an attempt is not settled", `SELECT format('%s attempt %s', status, id) FROM payment_attempts
		WHERE status NOT IN ('CAPTURED', 'DECLINED', 'VOIDED', 'REFUNDED')`},
	{"a payment of an ended reservation is open", `SELECT format('%s payment %s of %s reservation', p.status, p.id, r.status)
		FROM payments p JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id
		WHERE p.status IN ('PENDING', 'REFUND_PENDING') AND r.status IN ('CANCELLED', 'EXPIRED')`},
	{"captures are not the confirmed totals", `SELECT format('%s %s captured for %s %s confirmed', paid, currency, total, currency)
		FROM (SELECT currency, sum(amount_minor) AS total FROM reservations WHERE status = 'CONFIRMED' GROUP BY currency) r
		FULL JOIN (SELECT currency, sum(captured_minor - refunded_minor) AS paid FROM payments GROUP BY currency) p USING (currency)
		WHERE coalesce(total, 0) <> coalesce(paid, 0)`},
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// audit returns a line for each breach of the rules, which begins with the rule's name. All rules look at one snapshot.
func audit(ctx context.Context, q querier, rules []rule) ([]string, error) {
	queries := make([]string, len(rules))
	for i, r := range rules {
		queries[i] = `SELECT $rule$` + r.name + `: $rule$ || line FROM (` + r.query + `) AS breach (line)`
	}
	rows, err := q.QueryContext(ctx, strings.Join(queries, ` UNION ALL `))
	if err != nil {
		return nil, err
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (line string, err error) {
		err = rows.Scan(&line)
		return line, err
	})
}

// compareBooks returns a line for each difference between the attempts, all settled, and the gateway's books.
func compareBooks(ctx context.Context, q querier, books map[string]payment.Charge) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT a.id, a.status, p.amount_minor, p.currency FROM payment_attempts a
		JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id`)
	if err != nil {
		return nil, err
	}
	attempts, err := postgres.Collect(rows, func(rows *sql.Rows) (a payment.Attempt, err error) {
		err = rows.Scan(&a.ID, &a.Status, &a.Amount.AmountMinor, &a.Amount.Currency)
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
		if !known || !agrees(a, charge) {
			differences = append(differences, fmt.Sprintf("books differ: %s attempt %s of %v is %+v at the gateway", a.Status, a.ID, a.Amount, charge))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(unknown)) {
		differences = append(differences, fmt.Sprintf("books differ: the gateway has %+v for %s, of which nothing is known here", unknown[key], key))
	}
	return differences, nil
}

func agrees(a payment.Attempt, charge payment.Charge) bool {
	taken := charge.Captured.AmountMinor != 0 || charge.Refunded.AmountMinor != 0
	switch a.Status {
	case payment.AttemptCaptured:
		return charge.Status == payment.ChargeCaptured && charge.Captured == a.Amount && charge.Refunded.AmountMinor == 0
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
		"a viewer has more seats than one may":             {`UPDATE showtime_sales SET max_seats = 3`},
		"the tickets are not those of the confirmed seats": {`UPDATE tickets SET status = 'REVOKED' WHERE seat_no = 12`},
		"a confirmed reservation is not paid in full":      {`UPDATE payments SET amount_minor = amount_minor - 1, captured_minor = captured_minor - 1 WHERE status = 'CAPTURED'`},
		"captured money is for no confirmed reservation":   {`UPDATE payments SET status = 'CAPTURED', refunded_minor = 0 WHERE status = 'REFUNDED'`},
		"a payment's figures do not fit its state":         {`UPDATE payments SET refunded_minor = 1 WHERE status = 'CAPTURED'`},
		"a payment does not follow its attempts":           {`UPDATE payment_attempts SET status = 'CAPTURED' WHERE status = 'REFUNDED'`},
		"two attempts of a payment can take money": {`DROP INDEX payment_attempts_live_key`, `INSERT INTO payment_attempts (showtime_id, id, payment_id, number, status, idempotency_key, leased_until)
			SELECT showtime_id, gen_random_uuid(), payment_id, 2, 'STARTED', 'another key', now() FROM payment_attempts WHERE status = 'CAPTURED'`},
		"seats are secured without an authorized payment, or not secured with one": {`UPDATE reservations SET held_until = NULL`},
		"an attempt is not settled":                 {`UPDATE payment_attempts SET status = 'VOID_PENDING' WHERE status = 'CAPTURED'`},
		"a payment of an ended reservation is open": {`UPDATE payments SET status = 'REFUND_PENDING', refunded_minor = 0 WHERE status = 'REFUNDED'`},
		"captures are not the confirmed totals":     {`UPDATE reservations SET amount_minor = amount_minor + 1 WHERE status = 'CONFIRMED'`},
	}
	rules := slices.Concat(always, atRest)
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			tx, err := h.DB.SQL().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			for _, plant := range plants[r.name] {
				if _, err := tx.ExecContext(t.Context(), plant); err != nil {
					t.Fatalf("%s: %v", plant, err)
				}
			}
			breaches, err := audit(t.Context(), tx, rules)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(breaches, func(line string) bool { return strings.HasPrefix(line, r.name+": ") }) {
				t.Errorf("not found among %q", breaches)
			}
		})
	}
	if len(plants) != len(rules) {
		t.Errorf("%d plants for %d rules", len(plants), len(rules))
	}
	t.Run("books_that_differ", func(t *testing.T) {
		t.Parallel()
		key := fixture.Get[string](t, h.DB, `SELECT id FROM payment_attempts WHERE status = 'CAPTURED'`)
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
