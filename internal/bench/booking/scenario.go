package main

import (
	"fmt"
	"strings"
	"time"
)

// scenario is a way to ask for seats.
type scenario struct {
	name   string
	spread bool // over all showtimes; else everybody wants the same one
	again  bool // the same seats again and again, while they are another's too; else each seat once
	paid   bool // what is reserved is paid, too
	hold   time.Duration
}

const (
	customary = 10 * time.Minute
	moment    = 20 * time.Millisecond
)

// scenarios: a busy day, on which people want different seats, and the minute in which one showtime goes on sale; with
// and without paying. Where nothing is paid, the holds of the one showtime are so short that seats come back and are
// claimed again for as long as the run lasts; where it is, the next showtime is the hot one when one is sold out.
var scenarios = []scenario{
	{name: "spread", spread: true, hold: customary},
	{name: "hot", again: true, hold: moment},
	{name: "spread_paid", spread: true, paid: true, hold: customary},
	{name: "hot_paid", paid: true, hold: customary},
}

// script is what each client of pgbench repeats: the selections of pick, and the call that the API makes of them. Keys
// and numbers become arguments as cheaply as pgbench allows; the largest of them, the price lines, is put together as
// text, as the API does it.
func (s scenario) script(clients int) string {
	var b strings.Builder
	set := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "\\set %s %s\n", name, fmt.Sprintf(format, args...))
	}
	set("count", "random(1, %d)", mostSeats)
	set("viewer", "random(0, %d)", viewers-1)
	set("key", "random(1, 9000000000000000000)")
	if s.again {
		set("showtime", "%d", hotShowtime)
		set("step", "1 - 2 * random(0, 1)")
		set("s0", "random(1, %d - :count) + case when :step < 0 then :count - 1 else 0 end", seats+1)
	} else {
		set("i", ":i + 1")
		set("spot", "(:i * %d + :client_id) %% %d", clients, spots)
		if s.spread {
			set("spot", "permute(:spot, %d, 7)", spots)
		}
		set("showtime", ":spot / %d", blocks)
		set("step", "1")
		set("s0", "1 + %d * (:spot %% %d)", mostSeats, blocks)
	}
	for i := 1; i < mostSeats; i++ {
		set(fmt.Sprintf("s%d", i), ":s%d + :step", i-1)
	}
	set("amount", ":count * %d", priceMinor)
	fmt.Fprintf(&b, "SELECT outcome, reservation_id, held_until, created_at, lost, seats_left FROM claim_seats(%s)",
		strings.Join(s.arguments(), ", "))
	if s.paid {
		b.WriteString(" \\gset\n" + payment)
	} else {
		b.WriteString(";\n")
	}
	return b.String()
}

// payment is what the API and the sandbox gateway write of a payment that succeeds, transaction by transaction. What
// the API reads beside it is not among it.
var payment = strings.NewReplacer(
	"$showtime", sqlKey(kindShowtime, ":showtime::int"), "$reservation", ":reservation_id::uuid",
	"$viewer", sqlKey(kindViewer, ":viewer::int"), "$new", newKeySQL, "$currency", "'"+currency+"'",
	"$payment", ":payment_id::uuid", "$attempt", ":attempt_id::uuid",
).Replace(`BEGIN;
SELECT status FROM reservations WHERE showtime_id = $showtime AND id = $reservation AND viewer_id = $viewer FOR UPDATE;
INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
	VALUES ($showtime, $viewer, 'pay-' || lpad(to_hex(:key::bigint), 16, '0'), 'PAY', '\x` + strings.Repeat("5a", 32) + `'::bytea, $reservation) ON CONFLICT DO NOTHING;
INSERT INTO payments (showtime_id, id, reservation_id, viewer_id, gateway, amount_minor, currency)
	VALUES ($showtime, $new, $reservation, $viewer, 'sandbox', :amount::bigint, $currency)
	ON CONFLICT (showtime_id, reservation_id) DO UPDATE SET gateway = excluded.gateway, updated_at = now(),
	amount_minor = CASE WHEN payments.captured_minor = 0 THEN excluded.amount_minor ELSE payments.amount_minor END RETURNING id AS payment_id \gset
INSERT INTO payment_attempts (showtime_id, id, payment_id, number, amount_minor, idempotency_key, leased_until)
	SELECT $showtime, $new, $payment, 1 + count(*), :amount::bigint, 'pay-' || lpad(to_hex(:key::bigint), 16, '0'), now() + interval '1 minute'
	FROM payment_attempts WHERE showtime_id = $showtime AND payment_id = $payment RETURNING id AS attempt_id \gset
COMMIT;
INSERT INTO sandbox_gateway.charges (key, reference, amount_minor, currency, status)
	VALUES (:attempt_id::text, 'sbx_' || $new::text, :amount::bigint, $currency, 'AUTHORIZED') ON CONFLICT (key) DO NOTHING;
BEGIN;
SELECT secure_reservation($showtime, $reservation);
UPDATE payment_attempts SET status = 'AUTHORIZED', updated_at = now(), gateway_reference = 'sbx_' || :attempt_id::text
	WHERE showtime_id = $showtime AND id = $attempt AND status = 'STARTED';
COMMIT;
UPDATE sandbox_gateway.charges SET status = 'CAPTURED', captured_minor = amount_minor WHERE key = :attempt_id::text AND status = 'AUTHORIZED';
BEGIN;
UPDATE reservations SET status = 'CONFIRMED', confirmed_at = now()
	WHERE showtime_id = $showtime AND id = $reservation AND status = ANY ('{HELD,RESERVED}'::text[]) AND held_until IS NULL;
INSERT INTO tickets (showtime_id, id, reservation_id, seat_no, code)
	SELECT r.showtime_id, $new, r.id, seat_no, upper(left(replace(gen_random_uuid()::text, '-', ''), 25))
	FROM reservations r, unnest(r.seats) AS seat_no WHERE r.showtime_id = $showtime AND r.id = $reservation;
UPDATE payment_attempts SET status = 'CAPTURED', updated_at = now() WHERE showtime_id = $showtime AND id = $attempt AND status = 'AUTHORIZED';
UPDATE payments p SET status = 'CAPTURED', amount_minor = a.amount_minor, captured_minor = a.amount_minor, refunded_minor = 0, promised_minor = 0,
	updated_at = now() FROM payment_attempts a
	WHERE a.showtime_id = $showtime AND a.id = $attempt AND p.showtime_id = a.showtime_id AND p.id = a.payment_id AND p.status = 'PENDING';
COMMIT;
`)

// newKeySQL is a fresh key as an SQL expression. The first half of a UUID of version 7 is the time in milliseconds.
const newKeySQL = `(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') ||
	'7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid`

// arguments are those of claim_seats in its order.
func (s scenario) arguments() []string {
	numbers := make([]string, mostSeats)
	for i := range numbers {
		numbers[i] = fmt.Sprintf(":s%d", i)
	}
	return []string{
		sqlKey(kindShowtime, ":showtime::int"),
		newKeySQL,
		sqlKey(kindViewer, ":viewer::int"),
		"(ARRAY[" + strings.Join(numbers, ", ") + "]::smallint[])[1 : :count::int]",
		"1",
		":amount::bigint",
		"'" + currency + "'",
		fmt.Sprintf(`('[{"kind":"SEATS","description":"' || :count::text || ' x Adult, Standard","category":"STANDARD","ticketType":"ADULT","quantity":' || :count::text ||
		',"unitMinor":%d,"amountMinor":' || :amount::text || '}]')::jsonb`, priceMinor),
		fmt.Sprint(s.hold.Milliseconds()),
		"'bench-' || lpad(to_hex(:key::bigint), 16, '0')",
		`'\x` + strings.Repeat("5a", 32) + `'::bytea`,
		"'{}'", "'{}'", "false", "NULL", // the theater has no rules
		"NULL", "0", "NULL", "0", "0", "0",
	}
}
