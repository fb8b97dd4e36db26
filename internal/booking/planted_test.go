package booking_test

import (
	"slices"
	"strings"
	"testing"

	"marquee/internal/dbtest/fixture"
)

// planted is a mistake that somebody could make: texts of SQL functions replaced, and what else it takes for nothing to
// stand in for what is missing. The race must notice it by at least one of the breaches named.
type planted struct {
	before   []string // statements
	function string
	edits    [][2]string // a text that the function has, and what stands there instead
	crowd    func(t *testing.T, r *race)
	noticed  []string
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

const (
	tryLock  = `NOT pg_try_advisory_xact_lock(hashtext(p_showtime_id::text), v_seat)`
	seeTaken = `c.seat_no = ANY (p_seats) AND (c.held_until IS NULL OR c.held_until > v_now)`
	takeOver = ` ON CONFLICT (showtime_id, seat_no) DO UPDATE
                SET reservation_id = excluded.reservation_id, held_until = excluded.held_until
                WHERE c.held_until <= v_now`
	allOrNone = `IF v_won <> cardinality(p_seats) THEN`
	ownTurn   = `PERFORM pg_advisory_xact_lock(hashtextextended(p_viewer_id::text, hashtextextended(p_showtime_id::text, 0)));`
	secure    = `UPDATE reservations SET held_until = NULL`
	unexpire  = `UPDATE seat_claims SET held_until = NULL`
)

var plants = map[string]planted{
	"no_unique_index": {
		before: []string{
			`ALTER TABLE seat_claims DROP CONSTRAINT seat_claims_pkey`,
			`DROP INDEX tickets_seat_key`,
		},
		function: "claim_seats",
		edits:    [][2]string{{takeOver, ``}, {tryLock, `false`}, {seeTaken, `false`}},
		noticed:  []string{"a seat is claimed twice", "two live reservations have one seat", "free, held, taken and blocked are not the capacity"},
	},
	"read_before_lock": {
		function: "claim_seats",
		edits:    [][2]string{{ownTurn, ``}},
		crowd:    hoard,
		noticed:  []string{"a viewer has more seats than one may"},
	},
	"sweeper_ignores_a_payment_in_flight": {
		function: "secure_reservation",
		edits:    [][2]string{{secure, `UPDATE reservations SET held_until = held_until`}, {unexpire, `UPDATE seat_claims SET held_until = held_until`}},
		noticed:  []string{"seats are secured without an authorized payment, or not secured with one"},
	},
	"claim_takes_what_it_can_get": {
		function: "claim_seats",
		edits:    [][2]string{{tryLock, `false`}, {seeTaken, `false`}, {allOrNone, `IF false THEN`}},
		noticed:  []string{"a live reservation lacks one of its seats"},
	},
	"a_taken_seat_is_taken_over": {
		function: "claim_seats",
		edits:    [][2]string{{tryLock, `false`}, {seeTaken, `false`}, {`WHERE c.held_until <= v_now`, `WHERE true`}},
		noticed:  []string{"a live reservation lacks one of its seats"},
	},
	"an_ended_reservation_keeps_its_seats": {
		function: "end_reservation",
		edits:    [][2]string{{`AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id`, `AND false`}},
		noticed:  []string{"a claim is not its reservation's to have"},
	},
	"an_end_takes_the_seats_of_others": {
		function: "end_reservation",
		edits:    [][2]string{{`AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id`, `AND seat_no = ANY (v_seats)`}},
		noticed:  []string{"a live reservation lacks one of its seats"},
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
			text := fixture.Get[string](t, r.DB, `SELECT pg_get_functiondef($1::regproc)`, bug.function)
			for _, edit := range bug.edits {
				if !strings.Contains(text, edit[0]) {
					t.Fatalf("%s has no %s", bug.function, edit[0])
				}
				text = strings.ReplaceAll(text, edit[0], edit[1])
			}
			r.Exec(t, text)
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
