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

// payment is what the API and a gateway write of a payment that succeeds, transaction by transaction: the API's sandbox brings as
// many lines of its journal to disk. What the API reads beside it is not among it.
var payment = strings.NewReplacer(
	"$showtime", sqlKey(kindShowtime, ":showtime::int"), "$reservation", ":reservation_id::uuid",
	"$viewer", sqlKey(kindViewer, ":viewer::int"), "$new", newKeySQL, "$attempt", ":attempt_id::uuid",
	"$code", `upper(left(replace(gen_random_uuid()::text, '-', ''), 25))`,
).Replace(`SELECT outcome, attempt_id, payment_id, gateway, amount_minor, currency, status, decline_code, credit_minor FROM pay_reservation($showtime, $reservation, $viewer,
	'pay-' || lpad(to_hex(:key::bigint), 16, '0'), '\x` + strings.Repeat("5a", 32) + `'::bytea, $new, $new, 'sandbox', 60000) \gset
INSERT INTO bench_gateway.charges (key, reference, amount_minor, currency, status)
	VALUES (:attempt_id::text, 'sbx_' || $new::text, :amount::bigint, '` + currency + `', 'AUTHORIZED') ON CONFLICT (key) DO NOTHING;
SELECT secure_for_attempt($showtime, $reservation, $attempt, 'sbx_' || :attempt_id::text);
UPDATE bench_gateway.charges SET status = 'CAPTURED', captured_minor = amount_minor WHERE key = :attempt_id::text AND status = 'AUTHORIZED';
SELECT confirm_for_attempt($showtime, $reservation, $attempt, '{HELD,RESERVED}'::text[], (ARRAY[` + times(mostSeats, "$new") + `])[1 : :count::int],
	(ARRAY[` + times(mostSeats, "$code") + `])[1 : :count::int]);
`)

// times is a list of an expression that gives another value each time.
func times(n int, expression string) string {
	return strings.TrimSuffix(strings.Repeat(expression+", ", n), ", ")
}

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
		"NULL", "0", "NULL", "0", "0", "0", "NULL", "NULL", // nor is it a swap
	}
}
