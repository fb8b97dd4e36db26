// Package rulebook says in SQL what never happens to seats, reservations, tickets and payments, whoever fights for them
// and whatever dies meanwhile. The tests of races ask it of every snapshot and of what is left in the end.
//
// It knows the tables, not the domains, so that tests of anything that books may use it. For tests only.
package rulebook

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"marquee/internal/postgres"
)

// Rule is something that never happens.
type Rule struct {
	Name  string
	Query string // yields a line for each breach
}

// live are the reservations that have a right to their seats. The clock is read after the snapshot is taken: a deadline
// that is in the future by then had not passed for anyone whose work the snapshot contains.
const live = `WITH live AS (SELECT * FROM reservations WHERE status = 'CONFIRMED' OR status IN ('HELD', 'RESERVED')
	AND (held_until IS NULL OR held_until > clock_timestamp())) `

// moved is what the rows that move money say of it, as the ledger has to have it.
const moved = `WITH moved AS (
	SELECT showtime_id, id AS subject_id, 'TAKEN' AS kind, gateway, amount_minor FROM payment_attempts WHERE status = 'CAPTURED' AND amount_minor > 0
	UNION ALL SELECT showtime_id, id, 'TAKEN_IN_VAIN', gateway, coalesce(taken_minor, amount_minor) FROM payment_attempts WHERE status IN ('REFUND_PENDING', 'REFUNDED') AND coalesce(taken_minor, amount_minor) > 0
	UNION ALL SELECT showtime_id, id, 'CARRIED_IN', gateway, amount_minor FROM payment_attempts WHERE status = 'CARRIED'
	UNION ALL SELECT r.showtime_id, r.id, CASE WHEN r.to_reservation_id IS NULL THEN 'PROMISED' ELSE 'CARRIED_OUT' END, a.gateway, r.amount_minor
		FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id WHERE r.cause <> 'IN_VAIN'
	UNION ALL SELECT r.showtime_id, r.id, 'RETURNED', coalesce('COUNTER_' || t.method, CASE r.destination WHEN 'STORE_CREDIT' THEN 'credit' ELSE a.gateway END), r.amount_minor - r.by_hand_minor
		FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id
		LEFT JOIN till_entries t ON t.showtime_id = r.showtime_id AND t.refund_id = r.id WHERE r.status = 'DONE' AND r.to_reservation_id IS NULL AND r.by_hand_minor < r.amount_minor
	UNION ALL SELECT r.showtime_id, r.id, 'RETURNED_BY_HAND', a.gateway, r.by_hand_minor
		FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id WHERE r.status = 'DONE' AND r.by_hand_minor > 0),
	booked AS (SELECT showtime_id, subject_id, kind, gateway, amount_minor FROM ledger_transfers WHERE kind NOT IN ('CREDIT_GRANTED', 'CREDIT_REVOKED')) `

// Always returns the rules that every snapshot keeps, whatever is under way.
func Always() []Rule {
	return []Rule{
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
		{"a viewer has more seats than one may", live + `SELECT format('%s has %s of %s, and gives %s', m.viewer_id, m.seats, max_seats, g.seats)
		FROM (SELECT showtime_id, viewer_id, sum(cardinality(seats)) AS seats FROM live GROUP BY showtime_id, viewer_id) m JOIN showtime_sales USING (showtime_id)
		LEFT JOIN (SELECT n.showtime_id, n.viewer_id, count(DISTINCT s.no) AS seats FROM live n
			JOIN swaps w ON w.showtime_id = n.showtime_id AND w.reservation_id = n.id AND w.from_showtime_id = n.showtime_id
			JOIN live o ON o.showtime_id = w.from_showtime_id AND o.id = w.from_reservation_id AND o.status = 'CONFIRMED', unnest(o.seats) AS s (no)
			WHERE s.no = ANY (w.seats) GROUP BY n.showtime_id, n.viewer_id) g ON (g.showtime_id, g.viewer_id) = (m.showtime_id, m.viewer_id)
		WHERE m.seats - coalesce(g.seats, 0) > max_seats`},
		{"the tickets are not those of the confirmed seats", `SELECT format('%s reservation %s for %s has tickets for %s', r.status, r.id, r.seats, t.seats)
		FROM reservations r LEFT JOIN LATERAL (SELECT array_agg(seat_no ORDER BY seat_no) AS seats FROM tickets t
			WHERE t.showtime_id = r.showtime_id AND t.reservation_id = r.id AND t.status <> 'REVOKED') t ON true
		WHERE t.seats IS DISTINCT FROM CASE WHEN r.status = 'CONFIRMED' THEN (SELECT array_agg(u ORDER BY u) FROM unnest(r.seats) u) END`},
		{"a confirmed reservation is not paid in full", `SELECT format('%s reservation %s of %s %s', r.status, r.id, r.amount_minor, r.currency)
		FROM reservations r LEFT JOIN payments p ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id
			AND p.status = 'CAPTURED' AND p.captured_minor - p.promised_minor = r.amount_minor AND p.currency = r.currency AND p.viewer_id = r.viewer_id
		WHERE r.status = 'CONFIRMED' AND r.amount_minor > 0 AND p.id IS NULL`},
		{"captured money is for no reservation that was confirmed", `SELECT format('%s payment %s of %s reservation', p.status, p.id, r.status)
		FROM payments p JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id
		WHERE CASE WHEN EXISTS (SELECT FROM payment_attempts a WHERE a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'CAPTURED')
			THEN r.confirmed_at IS NULL ELSE r.confirmed_at IS NOT NULL AND r.amount_minor > 0 END`},
		{"a payment's figures do not fit its state", `SELECT format('%s payment %s: %s of %s captured, %s promised back, %s refunded',
			status, id, captured_minor, amount_minor, promised_minor, refunded_minor)
		FROM payments WHERE NOT CASE status WHEN 'REFUNDED' THEN captured_minor = amount_minor AND refunded_minor = amount_minor
			WHEN 'REFUND_PENDING' THEN captured_minor = amount_minor AND promised_minor = amount_minor AND refunded_minor < amount_minor
			WHEN 'CAPTURED' THEN captured_minor = amount_minor AND (promised_minor < amount_minor OR amount_minor = 0) ELSE captured_minor = 0 END`},
		{"a payment does not follow its attempts", `SELECT format('%s payment %s with attempts %s', p.status, p.id, a.states)
		FROM payments p JOIN (SELECT showtime_id, payment_id, array_agg(status) AS states FROM payment_attempts
			GROUP BY showtime_id, payment_id) a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
		WHERE CASE p.status WHEN 'CAPTURED' THEN NOT 'CAPTURED' = ANY (a.states)
			WHEN 'REFUND_PENDING' THEN NOT a.states && '{CAPTURED,REFUND_PENDING}' WHEN 'REFUNDED' THEN NOT a.states && '{CAPTURED,REFUNDED}'
			ELSE 'CAPTURED' = ANY (a.states) OR p.status = 'FAILED' AND 'AUTHORIZED' = ANY (a.states) END`},
		{"refunds are not what their payment says", `SELECT format('%s payment %s: %s of %s promised, %s of %s refunded', p.status, p.id,
			coalesce(r.promised, 0), p.promised_minor, coalesce(r.done, 0), p.refunded_minor)
		FROM payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'CAPTURED'
		LEFT JOIN (SELECT showtime_id, payment_id, sum(amount_minor) AS promised, sum(amount_minor) FILTER (WHERE status = 'DONE') AS done
			FROM refunds WHERE cause <> 'IN_VAIN' GROUP BY showtime_id, payment_id) r ON r.showtime_id = p.showtime_id AND r.payment_id = p.id
		WHERE (coalesce(r.promised, 0), coalesce(r.done, 0)) <> (p.promised_minor, p.refunded_minor)`},
		{"the lines of a reservation are not its price", `SELECT format('%s reservation %s of %s has lines of %s', r.status, r.id, r.amount_minor, l.sum)
		FROM reservations r, LATERAL (SELECT sum((line ->> 'amountMinor')::bigint) AS sum FROM jsonb_array_elements(r.lines) AS line
			WHERE line ->> 'kind' IS DISTINCT FROM 'INCLUDED_TAX') l
		WHERE l.sum <> r.amount_minor`},
		{"two attempts of a payment can take money", `SELECT format('payment %s: %s', payment_id, array_agg(status)) FROM payment_attempts
		WHERE status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'CAPTURED') GROUP BY showtime_id, payment_id HAVING count(*) > 1`},
		{"seats are secured without an authorized payment, or not secured with one", `SELECT format('%s reservation %s until %s with an attempt %s', r.status, r.id, r.held_until, a.status)
		FROM reservations r LEFT JOIN payments p ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id
		LEFT JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'AUTHORIZED'
		WHERE (r.status IN ('HELD', 'RESERVED') AND r.held_until IS NULL) <> (a.id IS NOT NULL)`},
		{"an offer of seats is not held for its customer, or was not made", `SELECT format('%s attempt %s of %s reservation until %s: %s %s', a.status, a.id, r.status, r.held_until, v.rung, v.answer)
		FROM payment_attempts a JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
		JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id
		LEFT JOIN payment_recoveries v ON v.showtime_id = a.showtime_id AND v.attempt_id = a.id
		WHERE (a.status = 'OFFERED') <> (coalesce(v.rung, '') = 'OTHER_SEATS' AND v.answer IS NULL)
			OR a.status = 'OFFERED' AND NOT (r.status = 'HELD' AND r.held_until IS NOT NULL AND r.seats = v.offered OR r.status = 'EXPIRED')`},
		{"more goes back of an attempt than it has", `SELECT format('attempt %s of %s promises %s', a.id, a.amount_minor, r.promised) FROM payment_attempts a
		JOIN (SELECT showtime_id, attempt_id, sum(amount_minor) AS promised FROM refunds WHERE cause <> 'IN_VAIN' GROUP BY showtime_id, attempt_id) r
			ON r.showtime_id = a.showtime_id AND r.attempt_id = a.id
		WHERE r.promised > a.amount_minor OR a.status NOT IN ('CAPTURED', 'CARRIED')`},
		{"what was taken in vain has not the refund that it needs", `SELECT format('%s attempt %s, %s refund of %s', a.status, a.id, r.status, r.amount_minor)
		FROM (SELECT *, coalesce(taken_minor, amount_minor) AS taken FROM payment_attempts WHERE status IN ('REFUND_PENDING', 'REFUNDED')) a
		FULL JOIN (SELECT * FROM refunds WHERE cause = 'IN_VAIN') r ON r.showtime_id = a.showtime_id AND r.id = a.id AND r.attempt_id = a.id
		WHERE CASE WHEN a.id IS NULL THEN true WHEN a.taken = 0 THEN r.id IS NOT NULL
			ELSE r.id IS NULL OR r.amount_minor <> a.taken OR (r.status = 'DONE') <> (a.status = 'REFUNDED') END`},
		{"a swap pays with money that it does not have", `SELECT format('%s attempt %s with %s: %s carried, handover of %s %s', a.status, a.id, a.credit_minor, c.carried, h.credit_minor, h.status)
		FROM payment_attempts a JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
		LEFT JOIN handovers h ON h.to_showtime_id = a.showtime_id AND h.attempt_id = a.id AND h.status IN ('TAKEN', 'DONE')
		LEFT JOIN (SELECT showtime_id, payment_id, sum(amount_minor) AS carried FROM payment_attempts WHERE status = 'CARRIED' GROUP BY showtime_id, payment_id) c
			ON c.showtime_id = p.showtime_id AND c.payment_id = p.id
		WHERE a.status = 'CAPTURED' AND (a.credit_minor IS DISTINCT FROM h.credit_minor OR coalesce(a.credit_minor, 0) <> coalesce(c.carried, 0)
			OR p.captured_minor <> a.amount_minor + coalesce(a.credit_minor, 0))`},
		{"a handover is not what its attempt decided", `SELECT format('%s handover of %s for %s attempt %s: %s of %s carried', h.status, h.reservation_id, a.status, h.attempt_id, r.carried, h.credit_minor)
		FROM handovers h LEFT JOIN payment_attempts a ON a.showtime_id = h.to_showtime_id AND a.id = h.attempt_id
		LEFT JOIN (SELECT showtime_id, to_showtime_id, to_reservation_id, sum(amount_minor) AS carried FROM refunds WHERE to_reservation_id IS NOT NULL
			GROUP BY showtime_id, to_showtime_id, to_reservation_id) r ON r.showtime_id = h.showtime_id
			AND (r.to_showtime_id, r.to_reservation_id) = (h.to_showtime_id, h.to_reservation_id)
		WHERE CASE h.status WHEN 'DONE' THEN a.status IS DISTINCT FROM 'CAPTURED' OR coalesce(r.carried, 0) <> h.credit_minor
			WHEN 'RETURNED' THEN a.status IN ('STARTED', 'AUTHORIZED', 'CAPTURED') ELSE a.id IS NULL OR r.carried > 0 END`},
		{"a seat is swapped twice", `SELECT format('seat %s of reservation %s by %s', s.no, h.reservation_id, array_agg(h.attempt_id)) FROM handovers h, unnest(h.seats) AS s (no)
		WHERE h.status IN ('TAKEN', 'DONE') GROUP BY h.showtime_id, h.reservation_id, s.no HAVING count(*) > 1`},
		{"a seat that was swapped is still had", `SELECT format('seat %s of reservation %s', s.no, r.id) FROM handovers h
		JOIN reservations r ON r.showtime_id = h.showtime_id AND r.id = h.reservation_id AND r.status = 'CONFIRMED', unnest(r.seats) AS s (no)
		WHERE h.status = 'DONE' AND s.no = ANY (h.seats)`},
		{"a ticket admits that a swap has taken, or does not that none has", `SELECT format('%s ticket for seat %s of %s', t.status, t.seat_no, t.reservation_id) FROM tickets t
		LEFT JOIN handovers h ON h.showtime_id = t.showtime_id AND h.reservation_id = t.reservation_id AND t.seat_no = ANY (h.seats) AND h.status = 'TAKEN'
		WHERE (t.status = 'SUSPENDED') <> (h.attempt_id IS NOT NULL)`},
		{"the till has not what was taken at the counter", `SELECT format('%s payment %s of %s through %s, %s in the till', p.status, p.id, p.captured_minor, a.gateway, e.amount_minor)
		FROM payments p LEFT JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'CAPTURED'
		FULL JOIN (SELECT * FROM till_entries WHERE kind = 'TAKEN') e ON e.showtime_id = p.showtime_id AND e.payment_id = p.id
		WHERE CASE WHEN a.gateway LIKE 'COUNTER%' THEN p.captured_minor END IS DISTINCT FROM e.amount_minor`},
		{"the till has not paid out what was given back at the counter", `SELECT format('%s refund %s of %s, %s out of the till', f.status, f.id, f.amount_minor, o.sum)
		FROM (SELECT f.* FROM refunds f JOIN payment_attempts a ON a.showtime_id = f.showtime_id AND a.id = f.attempt_id
			WHERE f.to_reservation_id IS NULL AND (f.destination = 'CASH_AT_COUNTER' OR f.destination = 'ORIGINAL' AND a.gateway LIKE 'COUNTER%')) f
		FULL JOIN (SELECT showtime_id, refund_id, sum(amount_minor) AS sum FROM till_entries WHERE kind = 'PAID_OUT' GROUP BY showtime_id, refund_id) o
			ON o.showtime_id = f.showtime_id AND o.refund_id = f.id
		WHERE CASE WHEN f.status = 'DONE' THEN nullif(f.amount_minor - f.by_hand_minor, 0) END IS DISTINCT FROM o.sum`},
		{"a store credit is spent that is not there", `SELECT format('%s of credit %s are entered, %s reserved', coalesce(e.sum, 0), c.id, coalesce(h.sum, 0)) FROM store_credits c
		LEFT JOIN (SELECT credit_id, sum(amount_minor) AS sum FROM store_credit_entries GROUP BY credit_id) e ON e.credit_id = c.id
		LEFT JOIN (SELECT credit_id, sum(amount_minor) AS sum FROM store_credit_charges WHERE status = 'AUTHORIZED' GROUP BY credit_id) h ON h.credit_id = c.id
		WHERE coalesce(e.sum, 0) < coalesce(h.sum, 0)`},
		{"the ledger lacks money that was moved", moved + `SELECT format('%s of %s', kind, subject_id) FROM (TABLE moved EXCEPT ALL TABLE booked) AS d`},
		{"the ledger has money that was not moved", moved + `SELECT format('%s of %s', kind, subject_id) FROM (TABLE booked EXCEPT ALL TABLE moved) AS d`},
	}
}

// AtRest returns the rules that hold besides when nothing is under way, expired holds are swept and payments settled.
func AtRest() []Rule {
	return []Rule{
		{"money of a swap is between two reservations", `SELECT format('%s %s', sum(CASE kind WHEN 'CARRIED_OUT' THEN amount_minor WHEN 'CARRIED_IN' THEN -amount_minor END), currency)
		FROM ledger_transfers GROUP BY currency HAVING sum(CASE kind WHEN 'CARRIED_OUT' THEN amount_minor WHEN 'CARRIED_IN' THEN -amount_minor END) <> 0`},
		{"store credits are not what the ledger says", `SELECT format('%s of %s %s at %s', e.sum, l.sum, currency, theater_id)
		FROM (SELECT c.theater_id, c.currency, sum(e.amount_minor) AS sum FROM store_credit_entries e JOIN store_credits c ON c.id = e.credit_id GROUP BY c.theater_id, c.currency) e
		FULL JOIN (SELECT theater_id, currency, sum(CASE 'GATEWAY' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor END) AS sum FROM ledger_transfers
			WHERE gateway = 'credit' AND 'GATEWAY' IN (debit, credit) GROUP BY theater_id, currency) l USING (theater_id, currency)
		WHERE coalesce(e.sum, 0) <> coalesce(l.sum, 0)`},
		{"an attempt is not settled", `SELECT format('%s attempt %s', status, id) FROM payment_attempts
		WHERE status NOT IN ('CAPTURED', 'DECLINED', 'VOIDED', 'REFUNDED', 'CARRIED')`},
		{"a swap is not settled", `SELECT format('handover of %s', reservation_id) FROM handovers WHERE status = 'TAKEN'`},
		{"a refund is not settled", `SELECT format('%s refund %s', status, id) FROM refunds WHERE status <> 'DONE'`},
		{"a payment of an ended reservation is open", `SELECT format('%s payment %s of %s reservation', p.status, p.id, r.status)
		FROM payments p JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id
		WHERE p.status IN ('PENDING', 'REFUND_PENDING') AND r.status IN ('CANCELLED', 'EXPIRED')`},
		{"captures are not the confirmed totals", `SELECT format('%s %s captured for %s %s confirmed', paid, currency, total, currency)
		FROM (SELECT currency, sum(amount_minor) AS total FROM reservations WHERE status = 'CONFIRMED' GROUP BY currency) r
		FULL JOIN (SELECT p.currency, sum(p.captured_minor - p.refunded_minor) AS paid FROM payments p
			JOIN reservations r ON r.showtime_id = p.showtime_id AND r.id = p.reservation_id AND (r.status, p.status) <> ('CANCELLED', 'CAPTURED')
			GROUP BY p.currency) p USING (currency) -- a policy may keep something of what was cancelled
		WHERE coalesce(total, 0) <> coalesce(paid, 0)`},
	}
}

// Querier is a database, or a transaction of one.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Breaches returns a line for each breach of the rules, which begins with the rule's name. All rules look at one snapshot.
func Breaches(ctx context.Context, q Querier, rules ...Rule) ([]string, error) {
	queries := make([]string, len(rules))
	for i, r := range rules {
		queries[i] = `SELECT $rule$` + r.Name + `: $rule$ || line FROM (` + r.Query + `) AS breach (line)`
	}
	rows, err := q.QueryContext(ctx, strings.Join(queries, ` UNION ALL `))
	if err != nil {
		return nil, fmt.Errorf("looking for breaches: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (line string, err error) {
		err = rows.Scan(&line)
		return line, err
	})
}
