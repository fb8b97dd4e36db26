package booking_test

import (
	"regexp"
	"strings"
	"testing"

	"marquee/internal/dbtest/fixture"
)

func TestTmpRed(t *testing.T) {
	for name, guards := range map[string][]string{
		"pk_only": {`(?s)ON CONFLICT \(showtime_id, seat_no\) DO UPDATE.*?WHERE c.held_until <= v_now`},
		"pk_and_trylock": {`(?s)ON CONFLICT \(showtime_id, seat_no\) DO UPDATE.*?WHERE c.held_until <= v_now`,
			`NOT pg_try_advisory_xact_lock\(hashtext\(p_showtime_id::text\), v_seat\)`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRace(t)
			r.Exec(t, `ALTER TABLE seat_claims DROP CONSTRAINT seat_claims_pkey`)
			r.Exec(t, `CREATE INDEX plain ON seat_claims (showtime_id, seat_no)`)
			claim := fixture.Get[string](t, r.DB, `SELECT pg_get_functiondef('claim_seats'::regproc)`)
			for i, g := range guards {
				w := ""
				if i == 1 {
					w = "false"
				}
				claim = regexp.MustCompile(g).ReplaceAllLiteralString(claim, w)
			}
			claim = regexp.MustCompile(`INSERT INTO seat_claims AS c`).ReplaceAllLiteralString(claim, `DELETE FROM seat_claims d WHERE d.showtime_id = p_showtime_id AND d.seat_no = v_seat AND d.held_until <= v_now; INSERT INTO seat_claims AS c`)
			r.Exec(t, claim)
			r.run(t, 500, 3); r.settle(t)
			found := r.judge(t)
			n := map[string]int{}
			for _, f := range found {
				k := f
				if len(k) > 24 {
					k = k[:24]
				}
				n[k]++
			}
			r.report(t)
			for k, c := range n {
				t.Errorf("%4d x %s", c, k)
			}
			for _, f := range found { if strings.HasPrefix(f, "two live") { t.Log(f) } }
			if false {
				t.Error(found[0])
			}
		})
	}
}
