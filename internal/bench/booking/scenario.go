package main

import (
	"fmt"
	"strings"
	"time"
)

// scenario is a way to ask for seats.
type scenario struct {
	name   string
	spread bool // over all showtimes, each seat once; else one showtime, again and again
	hold   time.Duration
}

// scenarios: a busy day, on which people want different seats, and the minute in which one showtime goes on sale.
// There the holds are so short that seats come back and are claimed again for as long as the run lasts.
var scenarios = []scenario{
	{name: "spread", spread: true, hold: 10 * time.Minute},
	{name: "hot", hold: 20 * time.Millisecond},
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
	if s.spread {
		set("i", ":i + 1")
		set("spot", "permute((:i * %d + :client_id) %% %d, %[2]d, 7)", clients, spots)
		set("showtime", ":spot %% %d", showtimes)
		set("step", "1")
		set("s0", "1 + %d * (:spot / %d)", mostSeats, showtimes)
	} else {
		set("showtime", "%d", hotShowtime)
		set("step", "1 - 2 * random(0, 1)")
		set("s0", "random(1, %d - :count) + case when :step < 0 then :count - 1 else 0 end", seats+1)
	}
	for i := 1; i < mostSeats; i++ {
		set(fmt.Sprintf("s%d", i), ":s%d + :step", i-1)
	}
	set("amount", ":count * %d", priceMinor)
	fmt.Fprintf(&b, "SELECT outcome, reservation_id, held_until, created_at, lost, seats_left FROM claim_seats(%s);\n",
		strings.Join(s.arguments(), ", "))
	return b.String()
}

// arguments are those of claim_seats in its order.
func (s scenario) arguments() []string {
	// The first half of a UUID of version 7 is the time in milliseconds.
	reservation := `(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') ||
		'7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid`
	numbers := make([]string, mostSeats)
	for i := range numbers {
		numbers[i] = fmt.Sprintf(":s%d", i)
	}
	return []string{
		sqlKey(kindShowtime, ":showtime::int"),
		reservation,
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
		"NULL", "0", "0", "0",
	}
}
