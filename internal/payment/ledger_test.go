package payment_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/postgres"
)

// finance may read every statement.
func finance() auth.Viewer {
	return auth.Viewer{UserID: uuid.New(), Strong: true, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleFinance})}
}

// refunded promises a part of a captured attempt back, and gives it back where done says so.
func (l *till) refunded(t *testing.T, a payment.Attempt, minor int64, done bool) {
	t.Helper()
	err := l.DB.InTx(t.Context(), func(tx *sql.Tx) error {
		refunds, err := l.OpenRefundsTx(t.Context(), tx, payment.Reference{ShowtimeID: a.ShowtimeID, ID: a.ReservationID},
			payment.RefundOpening{AmountMinor: minor, Cause: payment.ByCustomer, Lease: time.Hour})
		if err != nil || !done {
			return err
		}
		return l.FinishRefundTx(t.Context(), tx, refunds[0])
	})
	if err != nil {
		t.Fatal(err)
	}
}

func lines(s payment.Statement) (movements, balances []string) {
	for _, m := range s.Movements {
		movements = append(movements, fmt.Sprintf("%s %s %d x %d %s", m.Kind, m.Gateway, m.Count, m.Amount.AmountMinor, m.Amount.Currency))
	}
	for _, b := range s.Balances {
		at := ""
		if b.Gateway != nil {
			at = " " + *b.Gateway
		}
		balances = append(balances, fmt.Sprintf("%s%s %d %s", b.Account, at, b.Amount.AmountMinor, b.Amount.Currency))
	}
	return movements, balances
}

// TestP5_Ledger_follows_every_step holds that each step of an attempt is a movement exactly where it moves money, whoever
// makes the step.
func TestP5_Ledger_follows_every_step(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	for status, want := range map[payment.AttemptStatus][]string{
		payment.AttemptStarted: nil, payment.AttemptAuthorized: nil, payment.AttemptDeclined: nil, payment.AttemptVoidPending: nil, payment.AttemptVoided: nil,
		payment.AttemptCaptured:      {"TAKEN 1200 GATEWAY SALES"},
		payment.AttemptRefundPending: {"TAKEN_IN_VAIN 1200 GATEWAY RETURNS"},
		payment.AttemptRefunded:      {"RETURNED 1200 RETURNS GATEWAY", "TAKEN_IN_VAIN 1200 GATEWAY RETURNS"},
	} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			a := l.in(t, status)
			rows, err := l.DB.SQL().QueryContext(t.Context(), `SELECT concat_ws(' ', kind, amount_minor, debit, credit) FROM ledger_transfers
				WHERE showtime_id = $1 AND subject_id = $2 AND gateway = 'fake' AND currency = 'NZD' ORDER BY kind`, a.ShowtimeID, a.ID)
			if err != nil {
				t.Fatal(err)
			}
			got, err := postgres.Collect(rows, func(rows *sql.Rows) (line string, err error) {
				err = rows.Scan(&line)
				return line, err
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
}

// TestP5_Ledger_stays holds that no statement changes what is in the ledger, nor one that another table's end brings.
func TestP5_Ledger_stays(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	l.in(t, payment.AttemptCaptured)
	const stays = "transfers of the ledger are neither changed nor deleted"
	for statement, refusal := range map[string]string{
		`UPDATE ledger_transfers SET amount_minor = 1`:        stays,
		`UPDATE ledger_transfers SET created_at = created_at`: stays,
		`DELETE FROM ledger_transfers`:                        stays,
		`TRUNCATE ledger_transfers`:                           stays,
		`INSERT INTO ledger_transfers SELECT showtime_id, gen_random_uuid(), theater_id, payment_id, gen_random_uuid(), kind, credit, debit, gateway, amount_minor, currency, created_at FROM ledger_transfers`:  "ledger_transfers_kind_check",
		`INSERT INTO ledger_transfers SELECT showtime_id, gen_random_uuid(), theater_id, payment_id, gen_random_uuid(), kind, debit, credit, gateway, -amount_minor, currency, created_at FROM ledger_transfers`: "ledger_transfers_amount_check",
		`INSERT INTO ledger_transfers SELECT showtime_id, gen_random_uuid(), theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency, created_at FROM ledger_transfers`:         "ledger_transfers_subject_key",
		`SELECT record_transfer(showtime_id, gen_random_uuid(), gen_random_uuid(), 'TAKEN', 'fake', 1) FROM ledger_transfers`:                                                                                    "of no payment",
		`SELECT record_transfer(showtime_id, payment_id, gen_random_uuid(), 'LOST', 'fake', 1) FROM ledger_transfers`:                                                                                            "of no payment",
		`SET session_replication_role = replica; DELETE FROM ledger_transfers`:                                                                                                                                   stays,
	} {
		tx, err := l.DB.SQL().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: %v, want %q", statement, err, refusal)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func TestService_Statement(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	l.refunded(t, l.in(t, payment.AttemptCaptured), 500, true)
	l.refunded(t, l.in(t, payment.AttemptCaptured), 300, false)
	l.in(t, payment.AttemptRefundPending)
	theater := l.TheaterID
	var day time.Time // of what is in the ledger
	if err := l.DB.SQL().QueryRowContext(t.Context(), `SELECT (max(created_at) AT TIME ZONE $1)::date FROM ledger_transfers`, fixture.Zone).Scan(&day); err != nil {
		t.Fatal(err)
	}
	read := func(day time.Time) payment.Statement {
		t.Helper()
		s, err := l.Statement(t.Context(), finance(), theater, day)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	wantBalances := []string{"GATEWAY fake 3100 NZD", "RETURNS 1500 NZD", "SALES 1600 NZD"}
	s := read(day)
	movements, balances := lines(s)
	if want := []string{"PROMISED fake 2 x 800 NZD", "RETURNED fake 1 x 500 NZD", "TAKEN fake 2 x 2400 NZD", "TAKEN_IN_VAIN fake 1 x 1200 NZD"}; !slices.Equal(movements, want) {
		t.Errorf("%q, want %q", movements, want)
	}
	if !slices.Equal(balances, wantBalances) {
		t.Errorf("%q, want %q", balances, wantBalances)
	}
	at, err := time.LoadLocation(fixture.Zone)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, at); !s.StartsAt.Equal(want) || !s.EndsAt.Equal(want.AddDate(0, 0, 1)) {
		t.Errorf("the day is %s to %s, want %s", s.StartsAt, s.EndsAt, want)
	}
	if movements, balances := lines(read(day.AddDate(0, 0, 1))); len(movements) != 0 || !slices.Equal(balances, wantBalances) {
		t.Errorf("the day after: %q %q", movements, balances)
	}
	if movements, balances := lines(read(day.AddDate(0, 0, -1))); len(movements) != 0 || len(balances) != 0 {
		t.Errorf("the day before: %q %q", movements, balances)
	}
	for name, c := range map[string]struct {
		who     auth.Viewer
		theater uuid.UUID
		day     time.Time
		code    apperr.Code
	}{
		"customer":         {auth.Viewer{UserID: uuid.New()}, theater, day, apperr.Forbidden},
		"manager_of_other": {auth.Viewer{Strong: true, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: uuid.New()})}, theater, day, apperr.Forbidden},
		"no_theater":       {finance(), uuid.New(), day, apperr.NotFound},
		"year_0":           {finance(), theater, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), apperr.BadUserInput},
		"last_day":         {finance(), theater, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), apperr.BadUserInput},
	} {
		if _, err := l.Statement(t.Context(), c.who, c.theater, c.day); apperr.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}
