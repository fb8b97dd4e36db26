package booking_test

import (
	"sync"
	"testing"

	"marquee/internal/dbtest/fixture"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// TestSeats_are_locked_in_ascending_order stops each function of the core at the middle one of three seats and looks
// which of the others it has: the lower one, and never the higher. That is what keeps any two of them from a deadlock.
func TestSeats_are_locked_in_ascending_order(t *testing.T) {
	t.Parallel()
	const (
		reserve = `INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until)
			VALUES ($1, $2, $3, '{12,13,11}', 0, 'NZD', '[]', now() + $4::bigint * interval '1 hour')`
		// Against the order of the seats, so that a plain scan meets them in the wrong one.
		hold = `INSERT INTO seat_claims (showtime_id, seat_no, reservation_id, held_until)
			SELECT showtime_id, seat, id, held_until FROM reservations, unnest('{13,12,11}'::smallint[]) WITH ORDINALITY AS s (seat, i) WHERE id = $1 ORDER BY i`
		lockMiddle = `SELECT FROM seat_claims WHERE seat_no = 12 FOR UPDATE`
	)
	for name, test := range map[string]struct {
		held  bool  // whether there is a reservation of the seats already
		hours int64 // until its deadline
		brake string
		call  string // of a showtime and a key
		probe string // takes a seat, or waits for whoever has it
	}{
		"claim_seats": {
			brake: `INSERT INTO seat_claims (showtime_id, seat_no) SELECT showtime_id, 12 FROM showtime_sales`,
			call:  `SELECT claim_seats($1, gen_random_uuid(), $2, '{12,13,11}', 1, 3600, 'NZD', '[]', 60000, 'a key for it', '', '{}', '{}', false, NULL, NULL, 0, NULL, 0, 0, 0, NULL, NULL)`,
			probe: `INSERT INTO seat_claims (showtime_id, seat_no) SELECT showtime_id, $1 FROM showtime_sales`,
		},
		"claim_seats_of_an_expired_hold": {
			held: true, hours: -1, brake: lockMiddle,
			call:  `SELECT claim_seats($1, gen_random_uuid(), $2, '{12,13,11}', 1, 3600, 'NZD', '[]', 60000, 'a key for it', '', '{}', '{}', false, NULL, NULL, 0, NULL, 0, 0, 0, NULL, NULL)`,
			probe: `SELECT FROM seat_claims WHERE seat_no = $1 FOR UPDATE`,
		},
		"secure_reservation": {
			held: true, hours: 1, brake: lockMiddle,
			call:  `SELECT secure_reservation($1, $2)`,
			probe: `SELECT FROM seat_claims WHERE seat_no = $1 FOR UPDATE`,
		},
		"change_seats": {
			held: true, hours: 1, brake: lockMiddle,
			call:  `SELECT change_seats($1, $2, '{HELD}', '{14,13,12}', 1, 3600, 'NZD', '[]', 'a key for it', '', '{}', '{}', NULL, 0, 0)`,
			probe: `SELECT FROM seat_claims WHERE seat_no = $1 FOR UPDATE`,
		},
		"end_reservation": {
			held: true, hours: -1, brake: lockMiddle,
			call:  `SELECT end_reservation($1, $2, '{HELD}', 'EXPIRED')`,
			probe: `SELECT FROM seat_claims WHERE seat_no = $1 FOR UPDATE`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{})
			key := typeid.New()
			if test.held {
				h.Exec(t, reserve, h.Show(), key, newViewer().UserID, test.hours)
				h.Exec(t, hold, key)
			}
			brake, release := h.begin(t)
			brake(test.brake)
			tx := h.beginTx(t)
			for _, scan := range []string{"indexscan", "indexonlyscan", "bitmapscan"} {
				// An index would put the seats in order by accident.
				if _, err := tx.ExecContext(t.Context(), `SET LOCAL enable_`+scan+` = off`); err != nil {
					t.Fatal(err)
				}
			}
			var call sync.WaitGroup
			call.Go(func() {
				// What becomes of the call is told by other tests.
				_, _ = tx.ExecContext(t.Context(), test.call, h.Show(), key)
			})
			h.blocked(t, 1)
			for seat, taken := range map[int]bool{11: true, 13: false} {
				if got := h.isTaken(t, test.probe, seat); got != taken {
					t.Errorf("seat %d is taken while the call waits for seat 12: %t, want %t", seat, got, taken)
				}
			}
			release()
			call.Wait()
		})
	}
}

// TestReservation_is_locked_before_its_viewers_turn keeps whoever has the row of a reservation, and waits for its viewer's
// turn, from waiting in a circle with who comes to it without.
func TestReservation_is_locked_before_its_viewers_turn(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]string{
		"secure_reservation": `SELECT secure_reservation($1, $2)`,
		"change_seats":       `SELECT change_seats($1, $2, '{HELD}', '{12}', 1, 1200, 'NZD', '[]', 'a key for it', '', '{}', '{}', NULL, 0, 0)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{})
			r := h.hold(t, newViewer(), 11)
			exec, done := h.begin(t)
			exec(`SELECT FROM reservations WHERE id = $1 FOR UPDATE`, r.ID)
			tx := h.beginTx(t)
			var other sync.WaitGroup
			other.Go(func() { _, _ = tx.ExecContext(t.Context(), call, r.ShowtimeID, r.ID) })
			h.blocked(t, 1)
			exec(`SET LOCAL lock_timeout = '200ms'`) // sooner than a deadlock is looked for
			exec(`SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, hashtextextended($2::uuid::text, 0)))`, r.ViewerID, r.ShowtimeID)
			done()
			other.Wait()
		})
	}
}

// isTaken tells whether somebody else's transaction keeps a seat from one that would like to have it.
func (h *house) isTaken(t *testing.T, probe string, seat int) bool {
	t.Helper()
	tx := h.beginTx(t)
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SET LOCAL lock_timeout = '20ms'`); err != nil {
		t.Fatal(err)
	}
	_, err := tx.ExecContext(t.Context(), probe, seat)
	if err != nil && postgres.SQLState(err) != "55P03" {
		t.Fatal(err)
	}
	return err != nil
}
