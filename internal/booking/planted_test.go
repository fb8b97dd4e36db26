package booking_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
)

// planted is a mistake that somebody could make: texts of SQL functions replaced, and what else it takes for nothing to
// stand in for what is missing. The race must notice it by every breach named.
type planted struct {
	before  []string // statements
	edits   []edit
	crowd   func(t *testing.T, r *race)
	noticed []string
}

// edit replaces a text that a function has.
type edit struct{ function, text, with string }

// rewrite edits a function of this one database.
func (h *house) rewrite(t *testing.T, e edit) {
	t.Helper()
	text := fixture.Get[string](t, h.DB, `SELECT pg_get_functiondef($1::regproc)`, e.function)
	if !strings.Contains(text, e.text) {
		t.Fatalf("%s has no %s", e.function, e.text)
	}
	h.Exec(t, strings.ReplaceAll(text, e.text, e.with))
}

// scramble is the race as it always is.
func scramble(t *testing.T, r *race) {
	t.Helper()
	r.run(t, 60, 3)
}

// hoard is a customer in many tabs who takes two seats in each, and another, and another: the connections must be open
// before claims can really meet.
func hoard(t *testing.T, r *race) {
	t.Helper()
	const customers, tabs = 5, 10
	for customer := range customers {
		viewer := newViewer()
		together(tabs, func(tab int) {
			first := 1 + 2*(tabs*customer+tab)
			_, err := r.processes[len(r.processes)-1].Reserve(t.Context(), viewer, r.request(first, first+1))
			r.failed("reserve", err)
		})
	}
	breaches, err := audit(t.Context(), r.watchers.SQL(), always)
	r.failed("audit", err)
	r.notice(breaches...)
}

// sellOut is clerks at many counters who sell to the same customers at once, each sale within what one customer may have.
func sellOut(t *testing.T, r *race) {
	t.Helper()
	const customers, sales = 5, 10
	for customer := range customers {
		together(sales, func(sale int) {
			first := 1 + 2*(sales*customer+sale)
			in := r.saleInput(cash(1_000_000), first, first+1)
			in.CustomerEmail = &r.Users[customer].Email
			_, err := r.processes[len(r.processes)-1].SellAtCounter(t.Context(), r.clerks[sale%len(r.clerks)], in)
			r.failed("sell at the counter", err)
		})
	}
	breaches, err := audit(t.Context(), r.watchers.SQL(), always)
	r.failed("audit", err)
	r.notice(breaches...)
}

// move is customers who take other seats instead of all of theirs.
func move(t *testing.T, r *race) {
	t.Helper()
	const customers, first = 10, 11
	together(customers, func(customer int) {
		process, viewer, seat := r.processes[len(r.processes)-1], auth.Viewer{UserID: r.Users[customer].ID}, first+4*customer
		result, err := process.Reserve(t.Context(), viewer, r.request(seat, seat+1))
		held, ok := result.(booking.Reserved)
		if !ok {
			r.notice(fmt.Sprintf("reserve: %#v, %v", result, err))
			return
		}
		_, err = process.ChangeSeats(t.Context(), viewer, r.changeTo(held.Reservation, seat+2, seat+3))
		r.failed("change", err)
	})
	breaches, err := audit(t.Context(), r.watchers.SQL(), always)
	r.failed("audit", err)
	r.notice(breaches...)
}

// covet is customers with a seat each, who all want the seat of the first one instead.
func covet(t *testing.T, r *race) {
	t.Helper()
	const customers, first = 10, 11
	node := r.processes[len(r.processes)-1]
	var held [customers]booking.Reservation
	for i := range held {
		result, err := node.Reserve(t.Context(), newViewer(), r.request(first+3*i))
		held[i] = is[booking.Reserved](t, result, err).Reservation
	}
	together(customers, func(i int) {
		_, err := node.ChangeSeats(t.Context(), viewerOf(held[i]), r.changeTo(held[i], first))
		r.failed("change", err)
	})
	breaches, err := audit(t.Context(), r.watchers.SQL(), always)
	r.failed("audit", err)
	r.notice(breaches...)
}

// swell is customers with two holds each, who let both grow at once to what one of them may have, and shrink again, until
// two of them have met.
func swell(t *testing.T, r *race) {
	t.Helper()
	const customers, grown, rounds = 10, mostSeats - 1, 25
	node := r.processes[len(r.processes)-1]
	var held [2 * customers]booking.Reservation
	for i := range held {
		viewer := newViewer()
		if i%2 == 1 {
			viewer = viewerOf(held[i-1])
		}
		result, err := node.Reserve(t.Context(), viewer, r.request(1+grown*i))
		held[i] = is[booking.Reserved](t, result, err).Reservation
	}
	resize := func(i, size int) {
		seats := make([]int, size)
		for seat := range seats {
			seats[seat] = 1 + grown*i + seat
		}
		_, err := node.ChangeSeats(t.Context(), viewerOf(held[i]), r.changeTo(held[i], seats...))
		r.failed("change", err)
	}
	for range rounds {
		together(len(held), func(i int) { resize(i, grown) })
		breaches, err := audit(t.Context(), r.watchers.SQL(), always)
		r.failed("audit", err)
		r.notice(breaches...)
		if len(breaches) > 0 {
			return
		}
		together(len(held), func(i int) { resize(i, 1) })
	}
}

// haggle is customers who bought a seat and hold another two for it, in two tabs, and pay in both at once.
func haggle(t *testing.T, r *race) {
	t.Helper()
	const customers = 20
	process := r.processes[len(r.processes)-1]
	var held [2 * customers]booking.Reservation
	for i := range customers {
		viewer := newViewer()
		first := 11 + 3*i // of STANDARD
		result, err := process.Reserve(t.Context(), viewer, r.request(first))
		bought := is[booking.Reserved](t, result, err).Reservation
		for !r.pay(t, process, viewer, bought) {
			r.endLeases(t)
			_, err := process.Reconcile(t.Context())
			r.failed("reconcile", err)
		}
		r.tell(bought, toldSwapping)
		for tab := range 2 {
			result, err := process.SwapSeats(t.Context(), viewer, r.swapInput(bought, nil, 0, first+1+tab))
			held[2*i+tab] = is[booking.SwapHeld](t, result, err).Reservation
		}
	}
	together(len(held), func(i int) {
		_, err := process.Pay(t.Context(), viewerOf(held[i]), payInput(held[i]))
		r.failed("pay", err)
	})
	breaches, err := audit(t.Context(), r.watchers.SQL(), always)
	r.failed("audit", err)
	r.notice(breaches...)
}

const (
	takeOver = ` ON CONFLICT (showtime_id, seat_no) DO UPDATE
                SET reservation_id = excluded.reservation_id, held_until = excluded.held_until
                WHERE c.held_until <= v_now`
	allOrNone  = `IF v_won <> cardinality(p_seats) THEN`
	ownTurn    = `PERFORM pg_advisory_xact_lock(hashtextextended(p_viewer_id::text, hashtextextended(p_showtime_id::text, 0)));`
	changeTurn = `PERFORM pg_advisory_xact_lock(hashtextextended(v_own.viewer_id::text, hashtextextended(p_showtime_id::text, 0)));`
	secure     = `UPDATE reservations SET held_until = NULL`
	unexpire   = `UPDATE seat_claims SET held_until = NULL`
)

// The claim looks at the seats before it takes them.
var (
	unlocked = edit{"examine_seats", `NOT pg_try_advisory_xact_lock(v_house, v_seat)`, `false`}
	unseen   = edit{"examine_seats", `v_taken && p_seats`, `false`}
)

var plants = map[string]planted{
	"no_unique_index": {
		before: []string{
			`ALTER TABLE seat_claims DROP CONSTRAINT seat_claims_pkey`,
			`DROP INDEX tickets_seat_key`,
		},
		edits:   []edit{{"claim_seats", takeOver, ``}, unlocked, unseen},
		noticed: []string{"a seat is claimed twice", "two live reservations have one seat", "free, held, taken and blocked are not the capacity"},
	},
	"read_before_lock": {
		edits:   []edit{{"claim_seats", ownTurn, ``}},
		crowd:   hoard,
		noticed: []string{"a viewer has more seats than one may"},
	},
	"a_counter_sells_out_of_turn": {
		edits:   []edit{{"claim_seats", ownTurn, ``}},
		crowd:   sellOut,
		noticed: []string{"a viewer has more seats than one may"},
	},
	"a_deadline_moves_without_its_seats": {
		edits:   []edit{{"move_deadline", `UPDATE seat_claims SET held_until = p_until`, `UPDATE seat_claims SET held_until = held_until`}},
		noticed: []string{"a live reservation lacks one of its seats"},
	},
	"sweeper_ignores_a_payment_in_flight": {
		edits:   []edit{{"secure_reservation", secure, `UPDATE reservations SET held_until = held_until`}, {"secure_reservation", unexpire, `UPDATE seat_claims SET held_until = held_until`}},
		noticed: []string{"seats are secured without an authorized payment, or not secured with one"},
	},
	"claim_takes_what_it_can_get": {
		edits:   []edit{unlocked, unseen, {"claim_seats", allOrNone, `IF false THEN`}},
		noticed: []string{"a live reservation lacks one of its seats"},
	},
	"a_taken_seat_is_taken_over": {
		edits:   []edit{unlocked, unseen, {"claim_seats", `WHERE c.held_until <= v_now`, `WHERE true`}},
		noticed: []string{"a live reservation lacks one of its seats"},
	},
	"a_change_takes_what_it_can_get": {
		edits:   []edit{unlocked, unseen, {"change_seats", `IF v_rows <> 1 THEN`, `IF false THEN`}},
		crowd:   covet,
		noticed: []string{"a live reservation lacks one of its seats"},
	},
	"a_change_keeps_what_it_gives_back": {
		edits:   []edit{{"change_seats", `ELSIF v_seat = ANY (p_seats) THEN`, `ELSIF true THEN`}},
		crowd:   move,
		noticed: []string{"a claim is not its reservation's to have"},
	},
	"a_change_out_of_turn": {
		edits:   []edit{{"change_seats", changeTurn, ``}},
		crowd:   swell,
		noticed: []string{"a viewer has more seats than one may"},
	},
	"a_seat_is_swapped_in_two_tabs": {
		before: []string{`DROP INDEX handovers_taken_key`},
		edits: []edit{
			{"take_seats", `IF FOUND THEN RETURN false; END IF;`, ``},
			{"take_seats", `AND seat_no = ANY (p_seats) AND status = 'ISSUED';
    IF`, `AND seat_no = ANY (p_seats);
    IF`},
		},
		crowd:   haggle,
		noticed: []string{"a seat is swapped twice"},
	},
	"a_seat_that_is_being_swapped_admits": {
		edits:   []edit{{"take_seats", `SET status = 'SUSPENDED'`, `SET status = 'ISSUED'`}},
		crowd:   haggle,
		noticed: []string{"a ticket admits that a swap has taken, or does not that none has"},
	},
	"an_ended_reservation_keeps_its_seats": {
		edits:   []edit{{"end_reservation", `AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id`, `AND false`}},
		noticed: []string{"a claim is not its reservation's to have"},
	},
	"an_end_takes_the_seats_of_others": {
		edits:   []edit{{"end_reservation", `AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id`, `AND seat_no = ANY (v_seats)`}},
		noticed: []string{"a live reservation lacks one of its seats"},
	},
}

// TestRace_notices_planted_bugs plants mistakes into the database of a race, one a race: each must turn it red.
// `make prove-checks` prints the verdicts.
func TestRace_notices_planted_bugs(t *testing.T) {
	t.Parallel()
	for name, bug := range plants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRace(t)
			for _, statement := range bug.before {
				r.Exec(t, statement)
			}
			for _, e := range bug.edits {
				r.rewrite(t, e)
			}
			if bug.crowd == nil {
				bug.crowd = scramble
			}
			bug.crowd(t, r)
			r.settle(t)
			found := r.judge(t)
			for _, name := range bug.noticed {
				if !slices.ContainsFunc(found, func(line string) bool { return strings.HasPrefix(line, name) }) {
					t.Errorf("%q is not among the %d breaches found: %.600q", name, len(found), found)
				}
			}
			if !t.Failed() {
				t.Logf("VERDICT %s: red, by %q and %d breaches in all", strings.TrimPrefix(t.Name(), "TestRace_notices_planted_bugs/"), bug.noticed[0], len(found))
			}
		})
	}
}
