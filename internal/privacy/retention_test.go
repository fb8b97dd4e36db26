package privacy_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/clock"
	"marquee/internal/privacy"
	"marquee/internal/typeid"
)

// aged are rows that live as long as any of their table, made from p: the present, the id of an account, and one that
// nothing has. What the database's own clock times is made older instead: by $1 seconds.
var aged = map[string]struct{ insert, age string }{
	"sessions": {insert: `INSERT INTO sessions (id, user_id, salt, created_at, renewed_at, expires_at)
		SELECT id, owner, '\x00', now, now + interval '89 days', now + interval '90 days' FROM p`},
	"known_devices": {insert: `INSERT INTO known_devices (id, user_id, seen_at) SELECT id, owner, now FROM p`},
	"ceremonies": {insert: `INSERT INTO ceremonies (id, user_id, kind, state_sealed, expires_at)
		SELECT id, owner, 'SIGN_IN', '\x00', now + interval '10 minutes' FROM p`},
	"provider_flows": {insert: `INSERT INTO provider_flows (id, provider, redirect_uri, session_id, expires_at)
		SELECT id, 'acme', '', id, now + interval '10 minutes' FROM p`},
	"mailed_tokens": {insert: `INSERT INTO mailed_tokens (id, user_id, purpose, email_sealed, created_at, expires_at)
		SELECT id, owner, 'LEAVE', '\x00', now, now + interval '7 days' FROM p`},
	"guesses": {insert: `INSERT INTO guesses (id, failed_at, succeeded_at) SELECT id, now, now FROM p`},
	"mails": {insert: `INSERT INTO mails (id, kind, state, due_at, created_at, settled_at)
		SELECT id, 'new-device', 'SENT', now, now, now + interval '1 day' FROM p`},
	"code_guesses": {insert: `INSERT INTO code_guesses (id, wrong, began_at) SELECT owner, 1, now FROM p`},
	"webhook_events": {
		insert: `INSERT INTO webhook_events (id, gateway, event_id, kind, charge_key, charge_reference, state, occurred_at)
			SELECT id, 'sandbox', 'evt_1', 'CHARGE', '', 'cha_1', 'UNKNOWN_PAYMENT', now FROM p`,
		age: `UPDATE webhook_events SET received_at = now() - $1 * interval '1 second'`,
	},
	"idempotency_keys": {
		insert: `INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
			SELECT id, owner, 'a key of some length', 'reserve', '\x00', id FROM p`,
		age: `UPDATE idempotency_keys SET created_at = now() - $1 * interval '1 second'`,
	},
	"session_revocations": {
		insert: `INSERT INTO session_revocations (session_id, generation, noted_at) SELECT id, 1, now FROM p`,
		age:    `UPDATE session_revocations SET noted_at = now() - $1 * interval '1 second'`,
	},
}

// TestD6_retention fills every table whose rows are kept for a time with rows that live as long as any, and moves the
// clock: just before its limit none is gone, just after it the table is empty. A limit that nobody keeps fails it, and a
// table that has neither a limit nor a ground.
func TestD6_retention(t *testing.T) {
	t.Parallel()
	began := time.Now().UTC().Truncate(time.Microsecond)
	present := clock.NewFake(began)
	a := apitest.New(t, apitest.Bare(), apitest.Still(), apitest.WithSeams(func(s *app.Seams) { s.Clock = present }))
	owner := a.Customer().User.ID
	for name := range aged {
		a.Exec(`DELETE FROM ` + name)
	}
	var limited []privacy.Table
	for _, table := range privacy.Tables() {
		if table.Limit == 0 {
			if table.Fate == privacy.Kept && table.Why == "" {
				t.Errorf("%s is kept for ever, and nobody says why", table.Name)
			}
			continue
		}
		row, known := aged[table.Name]
		if !known {
			t.Errorf("%s has a limit and no row here", table.Name)
			continue
		}
		a.Exec(`WITH p AS (SELECT $1::timestamptz AS now, $2::uuid AS owner, $3::uuid AS id) `+row.insert, began, owner, typeid.New())
		limited = append(limited, table)
	}
	if len(limited) != len(aged) {
		t.Errorf("%d tables have a limit, %d rows are here", len(limited), len(aged))
	}
	// An authenticator app that nobody confirms has no table of its own.
	a.Exec(`INSERT INTO factors (id, user_id, kind, name_sealed, secret_sealed, created_at) VALUES ($1, $2, 'TOTP', '\x00', '\x00', $3)`, typeid.New(), owner, began)
	limited = append(limited, privacy.Table{Name: "factors", Limit: 15 * time.Minute})

	// keep moves the clock, and the rows that are timed by the database's, which stands still for nobody.
	keep := func(age time.Duration) {
		t.Helper()
		present.Advance(began.Add(age).Sub(present.Now()))
		for _, row := range aged {
			if row.age != "" {
				a.Exec(row.age, age.Seconds())
			}
		}
		if err := a.Housekeeping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count := func(table string) int64 { return apitest.Value[int64](a, `SELECT count(*) FROM `+table) }
	slices.SortStableFunc(limited, func(x, y privacy.Table) int { return cmp.Compare(x.Limit, y.Limit) })
	for at := 0; at < len(limited); {
		edge := time.Second
		end := at
		for ; end < len(limited) && limited[end].Limit == limited[at].Limit; end++ {
			if aged[limited[end].Name].age != "" {
				edge = time.Minute // what the test takes itself is no second
			}
		}
		keep(limited[at].Limit - edge)
		for _, table := range limited[at:end] {
			if n := count(table.Name); n != 1 {
				t.Errorf("%s: %d rows just before %s", table.Name, n, table.Limit)
			}
		}
		keep(limited[at].Limit + edge)
		for _, table := range limited[at:end] {
			if n := count(table.Name); n != 0 {
				t.Errorf("%s: %d rows just after %s", table.Name, n, table.Limit)
			}
		}
		at = end
	}
}
