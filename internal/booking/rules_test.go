package booking_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/postgres"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// strict is a house with the program's own rules. Its blocks are seats 3-4, 5-10, 11-14, 15-20, 21-24, 25-30, and the
// pairs from 31 on; seat 1 is a place for a wheelchair and 2 its companion's.
var strict = fixture.Plan{Strict: true}

func labelsOf(seats []theater.Seat) string {
	var names []string
	for _, seat := range seats {
		names = append(names, seat.Label())
	}
	return strings.Join(names, " ")
}

// broke demands that a rule forbids a selection, and that what is offered instead can be had.
func (h *house) broke(t *testing.T, in booking.ReserveInput, rule booking.Rule, seats string) booking.RuleBroken {
	t.Helper()
	result, err := h.booking.Reserve(t.Context(), newViewer(), in)
	got := is[booking.RuleBroken](t, result, err)
	if got.Rule != rule || labelsOf(got.Seats) != seats {
		t.Errorf("%s of %q, want %s of %q", got.Rule, labelsOf(got.Seats), rule, seats)
	}
	for _, other := range got.Alternatives {
		again := h.request(1)
		again.SeatIDs, again.AccessibleNeed = idsOf(other.Seats), in.AccessibleNeed
		viewer := newViewer()
		result, err := h.booking.Reserve(t.Context(), viewer, again)
		held := is[booking.Reserved](t, result, err).Reservation
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(held)); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestService_Reserve_no_seat_left_alone(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	house := func(t *testing.T) *house { t.Helper(); return houseIn(t, db, strict) }
	t.Run("a_seat_that_would_be_left_alone_is_named", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		got := h.broke(t, h.request(16, 17), booking.RuleSeatAlone, "B5")
		if len(got.Alternatives) != 3 || labelsOf(got.Alternatives[0].Seats) != "B5 B6" {
			t.Errorf("offered %+v, want the party one seat aside first", got.Alternatives)
		}
		if letters := h.letters(t, 15, 16, 17); letters != "AAA" {
			t.Errorf("the seats are %s", letters)
		}
	})
	t.Run("what_others_hold_counts_as_it_is_at_that_moment", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		h.hold(t, newViewer(), 5, 6)
		other := h.hold(t, newViewer(), 9, 10)
		h.broke(t, h.request(7), booking.RuleSeatAlone, "A8")
		h.Expire(t, h.Show(), other.ID)
		h.hold(t, newViewer(), 7)
	})
	t.Run("half_of_a_love_seat_leaves_the_other", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		h.broke(t, h.request(31), booking.RuleSeatAlone, "D2")
		h.hold(t, newViewer(), 31, 32)
	})
	t.Run("near_the_start_anything_goes", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		h.Exec(t, `UPDATE showtimes SET starts_at = now() + interval '29 minutes' WHERE id = $1`, h.Show())
		h.hold(t, newViewer(), 16, 17)
	})
	t.Run("before_that_it_does_not", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		h.Exec(t, `UPDATE showtimes SET starts_at = now() + interval '31 minutes' WHERE id = $1`, h.Show())
		h.broke(t, h.request(16, 17), booking.RuleSeatAlone, "B5")
	})
	t.Run("near_the_end_of_the_seats_anything_goes", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		for position := range 40 {
			if position+1 < 16 || position+1 > 20 { // five are left, an eighth
				h.Block(t, h.Show(), position+1)
			}
		}
		h.broke(t, h.request(17), booking.RuleSeatAlone, "B6")
		h.Block(t, h.Show(), 20) // four, a tenth
		h = houseAgain(h)
		h.hold(t, newViewer(), 17)
	})
	t.Run("where_nobody_could_sit_otherwise_anything_goes", func(t *testing.T) {
		t.Parallel()
		h := house(t)
		for _, position := range []int{3, 5, 6, 7, 11, 15, 16, 17, 21, 25, 26, 27} { // three in a row everywhere, or two
			h.Block(t, h.Show(), position)
		}
		for position := 31; position <= 40; position++ {
			h.Block(t, h.Show(), position)
		}
		h.hold(t, newViewer(), 12, 13)
		h.broke(t, h.request(29), booking.RuleSeatAlone, "C8 C10")
	})
	t.Run("one_statement_for_who_keeps_the_rule", func(t *testing.T) {
		t.Parallel()
		var statements dbtest.Statements
		h := newHouse(t, strict, dbtest.Record(&statements))
		h.hold(t, newViewer(), 15, 16)
		statements.Take()
		h.hold(t, newViewer(), 5, 6)
		if got := statements.Take(); len(got) != 1 {
			t.Errorf("%d statements: %q", len(got), got)
		}
	})
}

// houseAgain is a house whose processes remember nothing of its seats.
func houseAgain(h *house) *house {
	h.booking = h.process(h.gateway, settings)
	return h
}

// TestService_SetSeatRules counts at once, in every process, however fresh its memory of the offer is.
func TestService_SetSeatRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t, strict)
	manager := auth.Viewer{UserID: newViewer().UserID, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: h.TheaterID})}
	showtimes := showtime.NewService(h.DB, clock.System{})
	h.broke(t, h.request(16, 17), booking.RuleSeatAlone, "B5")
	set := func(rules showtime.SeatRules) {
		t.Helper()
		if err := showtimes.SetSeatRules(t.Context(), manager, h.TheaterID, rules); err != nil {
			t.Fatal(err)
		}
		got, err := showtimes.SeatRulesByTheater(t.Context(), []uuid.UUID{h.TheaterID})
		if err != nil || got[h.TheaterID] != rules {
			t.Fatalf("the rules are %+v, %v", got, err)
		}
	}
	set(showtime.SeatRules{})
	h.hold(t, newViewer(), 16, 17)
	set(showtime.DefaultSeatRules())
	h.broke(t, h.request(26, 27), booking.RuleSeatAlone, "C5")

	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = 'seat_rules.set' AND actor_id = $1 AND theater_id = $2
		AND (before->>'noSeatLeftAlone')::boolean IS DISTINCT FROM (after->>'noSeatLeftAlone')::boolean`, manager.UserID, h.TheaterID); n != 2 {
		t.Errorf("%d changes are in the audit log", n)
	}
	for name, who := range map[string]auth.Viewer{
		"a customer":             newViewer(),
		"its staff":              {Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterStaff, Theater: h.TheaterID})},
		"the manager of another": {Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: typeid.New()})},
	} {
		if err := showtimes.SetSeatRules(t.Context(), who, h.TheaterID, showtime.SeatRules{}); apperr.CodeOf(err) != apperr.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	admin := auth.Viewer{Grants: auth.NewGrants(auth.Grant{Role: auth.RoleAdmin}), Strong: true}
	if err := showtimes.SetSeatRules(t.Context(), admin, typeid.New(), showtime.SeatRules{}); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("no theater: %v", err)
	}
	for field, rules := range map[string]showtime.SeatRules{
		"input.relaxedAtFreePercent":      {RelaxedAtFreePercent: 101},
		"input.relaxedMinutesBeforeStart": {RelaxedMinutes: -1},
		"input.accessibleReleaseMinutes":  {AccessibleReleaseMinutes: 10081},
	} {
		err := showtimes.SetSeatRules(t.Context(), admin, h.TheaterID, rules)
		var problem *apperr.Error
		if apperr.CodeOf(err) != apperr.BadUserInput || !errors.As(err, &problem) || len(problem.Fields) != 1 || problem.Fields[0].Path != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestService_Reserve_override(t *testing.T) {
	t.Parallel()
	h := newHouse(t, strict)
	grants := func(grant auth.Grant) auth.Viewer {
		return auth.Viewer{UserID: newViewer().UserID, Grants: auth.NewGrants(grant)}
	}
	staff := grants(auth.Grant{Role: auth.RoleTheaterStaff, Theater: h.TheaterID})
	override := func(positions ...int) booking.ReserveInput {
		in := h.request(positions...)
		in.OverrideSeatRules = true
		return in
	}
	entries := func() []string {
		t.Helper()
		return strings.Fields(fixture.Get[string](t, h.DB, `SELECT coalesce(string_agg(replace(after::text, ' ', ''), ' ' ORDER BY id), '') FROM audit_entries
			WHERE action = 'seat_rule.overridden'`))
	}
	for name, who := range map[string]auth.Viewer{
		"a customer": newViewer(), "staff of another": grants(auth.Grant{Role: auth.RoleTheaterStaff, Theater: typeid.New()}),
		"support": {UserID: newViewer().UserID, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleSupport}), Strong: true},
	} {
		result, err := h.booking.Reserve(t.Context(), who, override(16, 17))
		if apperr.CodeOf(err) != apperr.Forbidden {
			t.Errorf("%s: %v, %v", name, result, err)
		}
	}
	in := override(16, 17)
	for range 2 { // the second time it is a repetition
		result, err := h.booking.Reserve(t.Context(), staff, in)
		is[booking.Reserved](t, result, err)
	}
	if got := entries(); len(got) != 1 || !strings.Contains(got[0], `"leftAlone":["B5"]`) {
		t.Fatalf("the audit log has %q", got)
	}
	in.OverrideSeatRules = false
	result, err := h.booking.Reserve(t.Context(), staff, in)
	refused(t, result, err, apperr.IdempotencyKeyReused)

	result, err = h.booking.Reserve(t.Context(), staff, override(25, 26)) // breaks nothing
	is[booking.Reserved](t, result, err)
	result, err = h.booking.Reserve(t.Context(), staff, override(2, 3, 4))
	is[booking.Reserved](t, result, err)
	got := entries()
	var kept struct{ Seats, Kept []string }
	if len(got) != 2 || json.Unmarshal([]byte(got[1]), &kept) != nil || !slices.Equal(kept.Kept, []string{"A2"}) || !slices.Equal(kept.Seats, []string{"A2", "A3", "A4"}) {
		t.Fatalf("the audit log has %q", got)
	}

	// What cannot be recorded is not held.
	h.Exec(t, `ALTER TABLE audit_entries RENAME TO lost_entries`)
	if result, err := h.booking.Reserve(t.Context(), staff, override(12, 13)); err == nil {
		t.Errorf("held without a record: %+v", result)
	}
	if got := h.letters(t, 12, 13); got != "AA" {
		t.Errorf("the seats are %s", got)
	}
	h.hold(t, newViewer(), 11, 12) // others need no record
	h.Exec(t, `ALTER TABLE lost_entries RENAME TO audit_entries`)
}

func TestService_Reserve_accessible_places(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	needing := func(in booking.ReserveInput) booking.ReserveInput {
		in.AccessibleNeed = true
		return in
	}
	t.Run("for_those_who_need_them", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, strict)
		got := h.broke(t, h.request(1, 2), booking.RuleWheelchair, "A1")
		for _, other := range got.Alternatives {
			if w := other.Seats[0].Category; w == theater.CategoryWheelchair || w == theater.CategoryCompanion {
				t.Errorf("offered %s", labelsOf(other.Seats))
			}
		}
		h.broke(t, h.request(2), booking.RuleCompanion, "A2")
		h.broke(t, needing(h.request(2)), booking.RuleCompanion, "A2")
		result, err := h.booking.Reserve(t.Context(), newViewer(), needing(h.request(1, 2, 3)))
		is[booking.Reserved](t, result, err)
	})
	t.Run("nobody_is_offered_more_than_they_may_have", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, strict)
		eleven := h.request(1, 5, 6, 7, 8, 9, 10, 15, 16, 17, 18)
		viewer := newViewer()
		h.hold(t, viewer, 31, 32)
		result, err := h.booking.Reserve(t.Context(), viewer, eleven)
		if got, want := is[booking.LimitExceeded](t, result, err), (booking.LimitExceeded{Of: booking.LimitOfCustomer, Limit: 10, Remaining: 8}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		checked, err := h.booking.Check(t.Context(), viewer.UserID, booking.CheckInput{ShowtimeID: h.Show(), SeatIDs: eleven.SeatIDs})
		if err != nil || len(checked.Problems) != 2 || checked.Problems[0].Kind != booking.ProblemLimit || len(checked.Alternatives) != 0 {
			t.Errorf("%+v, %v", checked, err)
		}
	})
	t.Run("a_refusal_offers_what_who_needs_one_may_have", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, strict)
		h.Block(t, h.Show(), 2)
		result, err := h.booking.Reserve(t.Context(), newViewer(), needing(h.request(1, 2)))
		got := is[booking.SeatsUnavailable](t, result, err)
		for _, other := range got.Alternatives {
			if !slices.ContainsFunc(other.Seats, func(s theater.Seat) bool { return s.Category == theater.CategoryWheelchair }) {
				t.Errorf("offered %s", labelsOf(other.Seats))
			}
		}
		if len(got.Alternatives) == 0 {
			t.Error("nothing is offered")
		}
	})
	t.Run("released_before_the_start", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, strict)
		h.Exec(t, `UPDATE showtimes SET starts_at = now() + interval '61 minutes' WHERE id = $1`, h.Show())
		h.broke(t, h.request(1), booking.RuleWheelchair, "A1")
		h.Exec(t, `UPDATE showtimes SET starts_at = now() + interval '59 minutes' WHERE id = $1`, h.Show())
		h = houseAgain(h)
		h.hold(t, newViewer(), 2)
		h.hold(t, newViewer(), 1)
	})
}

// TestSeatLeftAlone_second_waits holds the seats on one side of a seat in a transaction that is not over: whoever wants
// the other side waits, and then sees what became of the first.
func TestSeatLeftAlone_second_waits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(*sql.Tx) error
		want string
	}{
		"the_first_has_its_seat":  {(*sql.Tx).Commit, "ALONE"},
		"the_first_goes_away":     {(*sql.Tx).Rollback, "CLAIMED"},
		"without_the_wait_a_trap": {(*sql.Tx).Commit, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, strict)
			h.Block(t, h.Show(), 14)
			if test.want == "" {
				h.rewrite(t, edit{"examine_seats", `NOT pg_try_advisory_xact_lock(v_house, -p_beside[i])`, "false"})
			}
			claim := func(tx *sql.Tx, seat, beyond int) (outcome string, err error) {
				err = tx.QueryRowContext(context.WithoutCancel(t.Context()), `SELECT outcome FROM claim_seats($1, gen_random_uuid(), gen_random_uuid(),
					ARRAY[$2]::smallint[], 1, 1200, 'NZD', '[]', 60000, 'a key for it', '', '{12}', ARRAY[$3]::smallint[], false, NULL, NULL, 0, NULL, 0, 0, 0, NULL, NULL)`,
					h.Show(), seat, beyond).Scan(&outcome)
				return outcome, err
			}
			first, second := h.beginTx(t), h.beginTx(t)
			if outcome, err := claim(first, 11, 13); outcome != "CLAIMED" {
				t.Fatalf("%q, %v", outcome, err)
			}
			if test.want == "" { // the other side is taken as well, and seat 12 alone
				if outcome, err := claim(second, 13, 11); outcome != "CLAIMED" {
					t.Fatalf("%q, %v", outcome, err)
				}
				return
			}
			said := make(chan string, 1)
			go func() {
				outcome, err := claim(second, 13, 11)
				said <- strings.TrimSuffix(fmt.Sprintf("%s %v", outcome, err), " <nil>")
			}()
			h.blocked(t, 1)
			if err := test.end(first); err != nil {
				t.Fatal(err)
			}
			if got := <-said; got != test.want {
				t.Errorf("the second is told %s, want %s", got, test.want)
			}
		})
	}
}

// TestService_Cancel_keeps_the_rules gives seats of a hold back, which must not be a way around the rules.
func TestService_Cancel_keeps_the_rules(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for name, test := range map[string]struct {
		seats []int // beside 13 the seat 14 is taken
		back  int
		alone string // the seat that would be left so
		paid  bool
		plan  fixture.Plan
		lead  time.Duration
	}{
		"a_seat_would_be_left_alone":         {seats: []int{11, 12, 13}, back: 13, alone: "B3", plan: strict},
		"in_a_house_that_has_no_other_seats": {seats: []int{11, 12, 13, 14}, back: 12, alone: "B2", plan: fixture.Plan{Strict: true, Seats: 14}},
		"none_is":                            {seats: []int{15, 16, 17}, back: 17, plan: strict},
		"paid_seats_come_back_all_the_same":  {seats: []int{11, 12, 13}, back: 13, plan: strict, paid: true},
		"where_no_such_rule_is":              {seats: []int{11, 12, 13}, back: 13, plan: fixture.Plan{}},
		"when_it_is_relaxed":                 {seats: []int{11, 12, 13}, back: 13, plan: strict, lead: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, viewer := houseIn(t, db, test.plan), newViewer()
			if len(test.seats) > 3 {
				h.Block(t, h.Show(), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
			} else {
				h.Block(t, h.Show(), 14)
			}
			take := h.hold
			if test.paid {
				take = h.buy
			}
			r := take(t, viewer, test.seats...)
			if test.lead > 0 {
				h.startsIn(t, test.lead)
				h.booking = h.process(h.gateway, settings) // which knows of it
			}
			result, err := h.booking.Cancel(t.Context(), viewer, h.seatsOf(r, test.back))
			if test.alone == "" {
				if got := is[booking.Cancelled](t, result, err).Reservation.Positions; len(got) != 2 {
					t.Errorf("it has %v", got)
				}
				return
			}
			broken := is[booking.RuleBroken](t, result, err)
			if broken.Rule != booking.RuleSeatAlone || labelsOf(broken.Seats) != test.alone {
				t.Errorf("it breaks %s by %v", broken.Rule, labelsOf(broken.Seats))
			}
			if got := h.letters(t, test.seats...); strings.Trim(got, "H") != "" {
				t.Errorf("seats %s, want all of them held", got)
			}
			// What it asks for, reserved as such, is told the same.
			h.Exec(t, `UPDATE reservations SET status = 'CANCELLED', held_until = NULL, ended_at = now() WHERE id = $1`, r.ID)
			h.Exec(t, `DELETE FROM seat_claims WHERE reservation_id = $1`, r.ID)
			h.booking = h.process(h.gateway, settings)
			rest := slices.DeleteFunc(slices.Clone(test.seats), func(p int) bool { return p == test.back })
			h.broke(t, h.request(rest...), booking.RuleSeatAlone, test.alone)
		})
	}
}

// TestService_Cancel_takes_one_connection: whoever holds one while waiting for another holds up everybody once all do so.
func TestService_Cancel_takes_one_connection(t *testing.T) {
	t.Parallel()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: dbtest.NewURL(t), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	h, viewer := houseIn(t, db, strict), newViewer()
	h.Block(t, h.Show(), 14)
	r := h.hold(t, viewer, 11, 12, 13)
	for _, process := range []*booking.Service{h.booking, h.process(h.gateway, settings)} { // with what it needs in memory, and without
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		result, err := process.Cancel(ctx, viewer, h.seatsOf(r, 13))
		cancel()
		is[booking.RuleBroken](t, result, err)
	}
}

// TestSeatLeftAlone_race lets two parties at a time take the two sides of a seat, through two processes: one of them gets
// its seats, and the seat between is never left alone.
func TestSeatLeftAlone_race(t *testing.T) {
	t.Parallel()
	h := newHouse(t, strict)
	processes := []*booking.Service{h.booking, h.process(h.gateway, settings)}
	h.Block(t, h.Show(), 14)
	const rounds = 300
	wins := [2]int{}
	for round := range rounds {
		var held [2]bool
		together(2, func(i int) {
			result, err := processes[(i+round)%2].Reserve(t.Context(), newViewer(), h.request(11+2*i))
			switch result.(type) {
			case booking.Reserved:
				held[i] = true
			case booking.RuleBroken:
			default:
				t.Errorf("round %d: %#v, %v", round, result, err)
			}
		})
		if held[0] == held[1] {
			t.Fatalf("round %d: %v have their seats, which leaves %s", round, held, h.letters(t, 11, 12, 13))
		}
		for i, won := range held {
			if won {
				wins[i]++
			}
		}
		h.Exec(t, `UPDATE reservations SET status = 'CANCELLED', held_until = NULL, ended_at = now() WHERE showtime_id = $1`, h.Show())
		h.Exec(t, `DELETE FROM seat_claims WHERE showtime_id = $1 AND reservation_id IS NOT NULL`, h.Show())
	}
	t.Logf("%v of %d rounds", wins, rounds)
	if wins[0] == 0 || wins[1] == 0 {
		t.Error("this was no race")
	}
}
