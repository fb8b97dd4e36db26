package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// sessions of dbtest's databases have a short patience; VACUUM and the world take longer on a busy machine.
func patient() dbtest.Option {
	return dbtest.With(func(c *postgres.Config) { c.StatementTimeout, c.LockTimeout = patience, patience })
}

func write(t *testing.T, db *postgres.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.SQL().ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestSQLKey(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for _, n := range []int{0, 1, 255, 123_456_789} {
		var got uuid.UUID
		query := "SELECT " + sqlKey(kindSession, "$1::int")
		if err := db.SQL().QueryRowContext(t.Context(), query, n).Scan(&got); err != nil || got != key(kindSession, n) {
			t.Errorf("%d has the keys %s in SQL and %s in Go, %v", n, got, key(kindSession, n), err)
		}
	}
}

// One run of pgbench against the world shows that script and schema fit each other, and that the examination finds no
// fault with what claim_seats does.
func TestFloor_Run(t *testing.T) {
	t.Parallel()
	url := dbtest.NewURL(t)
	ctx := t.Context()
	db, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: 2, StatementTimeout: patience, LockTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := build(ctx, db); err != nil {
		t.Fatal(err)
	}
	var binDir string
	if err := db.SQL().QueryRowContext(ctx, `SELECT setting FROM pg_config WHERE name = 'BINDIR'`).Scan(&binDir); err != nil {
		t.Fatal(err)
	}
	floor, err := newFloor(binDir, t.TempDir(), url, db)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		if err := reset(ctx, db); err != nil {
			t.Fatal(err)
		}
		r, err := floor.run(ctx, s, 4, time.Second)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if r.reserved == 0 || r.failed > 0 || len(r.latencies) != r.attempts() || !s.again && r.refused > 0 {
			t.Errorf("%s came to %d reservations, %d refusals, %d failures and %d latencies",
				s.name, r.reserved, r.refused, r.failed, len(r.latencies))
		}
		found, err := examine(ctx, db, s)
		if want := (audit{reservations: r.reserved}); err != nil || found != want {
			t.Errorf("%s left %+v, %v, not %+v", s.name, found, err, want)
		}
		if !s.paid {
			continue
		}
		write(t, db, `DELETE FROM tickets WHERE id = (SELECT id FROM tickets ORDER BY id LIMIT 1)`)
		write(t, db, `INSERT INTO bench_gateway.charges (key, reference, amount_minor, captured_minor, currency, status)
			VALUES ('nobody''s', 'sbx_nobody', 1, 1, 'EUR', 'CAPTURED')`)
		if found, err := examine(ctx, db, s); err != nil || found.unpaid != 2 {
			t.Errorf("without a ticket, and with money that is nobody's, %s left %+v, %v", s.name, found, err)
		}
	}
	var sessions, seatCount int
	err = db.SQL().QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sessions WHERE id = $1 AND user_id = $2), (SELECT count(*) FROM seats)`,
		key(kindSession, viewers-1), key(kindViewer, viewers-1)).Scan(&sessions, &seatCount)
	if err != nil || sessions != 1 || seatCount != screens*seats {
		t.Errorf("the world has %d sessions of the last viewer and %d seats, %v", sessions, seatCount, err)
	}
}

// claim is a reservation as a run leaves it.
type claim struct {
	at      int    // milliseconds at which it was asked for
	ended   bool   // by the sweeper, at this place in the order of commits
	seats   string // that it was promised: "1,2"
	claims  string // that it has
	keyless bool
}

func TestExamine(t *testing.T) {
	t.Parallel()
	const hold = 20 * time.Millisecond
	for name, row := range map[string]struct {
		claims []claim // in the order in which they were granted
		late   []int   // claims that the sweeper ended after all were granted
		want   audit
	}{
		"nothing":                                       {nil, nil, audit{}},
		"two selections side by side":                   {[]claim{{seats: "1,2", claims: "1,2"}, {seats: "3", claims: "3"}}, nil, audit{reservations: 2}},
		"one after the other":                           {[]claim{{seats: "1,2"}, {at: 20, seats: "1,2", claims: "1,2"}}, nil, audit{reservations: 2}},
		"one before the other has run out":              {[]claim{{seats: "1,2"}, {at: 19, seats: "1,2", claims: "1,2"}}, nil, audit{reservations: 2, soldTwice: 2}},
		"the second asked first":                        {[]claim{{at: 5, seats: "1"}, {at: 1, seats: "1,2", claims: "1,2"}}, nil, audit{reservations: 2, soldTwice: 1}},
		"ended before the other was granted":            {[]claim{{seats: "1", ended: true}, {at: 19, seats: "1", claims: "1"}}, nil, audit{reservations: 2}},
		"ended after the other was granted":             {[]claim{{seats: "1"}, {at: 19, seats: "1", claims: "1"}}, []int{0}, audit{reservations: 2, soldTwice: 1}},
		"a selection that was claimed in part":          {[]claim{{seats: "1,2,3", claims: "1,3"}}, nil, audit{reservations: 1, misplaced: 1}},
		"a seat that still belongs to the one before":   {[]claim{{seats: "1", claims: "1"}, {at: 20, seats: "1"}}, nil, audit{reservations: 2, misplaced: 1}},
		"a seat that was not promised":                  {[]claim{{seats: "1", claims: "1,2"}}, nil, audit{reservations: 1, misplaced: 1}},
		"an ended hold has no claim":                    {[]claim{{seats: "1,2", ended: true}}, nil, audit{reservations: 1}},
		"an ended hold that kept its claim is no fault": {[]claim{{seats: "1", claims: "1", ended: true}}, nil, audit{reservations: 1}},
		"a reservation without a key":                   {[]claim{{seats: "1", keyless: true}}, nil, audit{reservations: 1, keyless: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, patient())
			for i, c := range row.claims {
				grant(t, db, i, c, hold)
			}
			for _, i := range row.late {
				end(t, db, i)
			}
			got, err := examine(t.Context(), db, scenario{hold: hold})
			if err != nil || got != row.want {
				t.Errorf("found %+v, %v, not %+v", got, err, row.want)
			}
		})
	}
}

// grant writes a reservation, its key and its claims, which it takes from whoever has them.
func grant(t *testing.T, db *postgres.DB, n int, c claim, hold time.Duration) {
	t.Helper()
	statements := []string{`INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until, created_at)
		SELECT $1, $2, $2, $3::smallint[], 1, 'EUR', '[]', at + $5 * interval '1 millisecond', at
		FROM (SELECT timestamptz '2026-01-01' + $4 * interval '1 millisecond' AS at) AS moment`}
	showtime, id := key(kindShowtime, 0), key(kindViewer, n)
	values := []any{showtime, id, "{" + c.seats + "}", c.at, hold.Milliseconds()}
	if !c.keyless {
		statements = []string{`WITH made AS (` + statements[0] + `)
			INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
			VALUES ($1, $2, 'bench-key', 'RESERVE', '\x00', $2)`}
	}
	write(t, db, statements[0], values...)
	for seat := range strings.SplitSeq(c.claims, ",") {
		if seat != "" {
			write(t, db, `INSERT INTO seat_claims AS c (showtime_id, seat_no, reservation_id, held_until) VALUES ($1, $2, $3, now())
				ON CONFLICT (showtime_id, seat_no) DO UPDATE SET reservation_id = excluded.reservation_id`, showtime, seat, id)
		}
	}
	if c.ended {
		end(t, db, n)
	}
}

// end ends a hold as the sweeper does, except that its claims stay where they are.
func end(t *testing.T, db *postgres.DB, n int) {
	t.Helper()
	write(t, db, `UPDATE reservations SET status = 'EXPIRED', held_until = NULL, ended_at = now() WHERE id = $1`, key(kindViewer, n))
}
