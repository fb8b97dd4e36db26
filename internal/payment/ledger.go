package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/postgres"
)

// Movement is what a transfer of the ledger is.
type Movement string

// The movements. Each is written in the transaction that records what moves the money.
const (
	Taken       Movement = "TAKEN"            // for seats
	TakenInVain Movement = "TAKEN_IN_VAIN"    // too late, or without us: all of it goes back
	Promised    Movement = "PROMISED"         // back to a customer
	Returned    Movement = "RETURNED"         // to a customer, of what was promised or taken in vain
	ByHand      Movement = "RETURNED_BY_HAND" // the same, by somebody at the gateway's own dashboard
	Granted     Movement = "CREDIT_GRANTED"   // store credit, by those who look after money
	Revoked     Movement = "CREDIT_REVOKED"   // the same
	CarriedOut  Movement = "CARRIED_OUT"      // to another reservation of a swap
	CarriedIn   Movement = "CARRIED_IN"       // from one
)

// LedgerAccount is an account that a theater has in each currency.
type LedgerAccount string

// The accounts. In each currency, what gateways hold is what the other four come to.
const (
	AtGateway LedgerAccount = "GATEWAY" // one for each gateway, for cash and for cards at the counter: taken, and not given back
	Sales     LedgerAccount = "SALES"   // what stands for seats
	Returns   LedgerAccount = "RETURNS" // owed back to customers
	Grants    LedgerAccount = "GRANTS"  // store credit that nobody paid for: a debit is what there is more
	Carried   LedgerAccount = "CARRIED" // on its way between two reservations of a swap
)

// entries are the account that each movement debits, and the one that it credits.
var entries = map[Movement]struct{ debit, credit LedgerAccount }{
	Taken:       {AtGateway, Sales},
	TakenInVain: {AtGateway, Returns},
	Promised:    {Sales, Returns},
	Returned:    {Returns, AtGateway},
	ByHand:      {Returns, AtGateway},
	Granted:     {Grants, AtGateway},
	Revoked:     {AtGateway, Grants},
	CarriedOut:  {Sales, Carried},
	CarriedIn:   {Carried, Sales},
}

// transfer is a movement of a payment's money, by one of its attempts or refunds.
type transfer struct {
	showtimeID, paymentID, subjectID uuid.UUID
	kind                             Movement
	gateway                          string
	minor                            int64
}

// recordTx writes a transfer into the ledger. The steps of attempts write theirs in the database.
func recordTx(ctx context.Context, tx *sql.Tx, t transfer) error {
	_, err := tx.ExecContext(ctx, `SELECT record_transfer($1, $2, $3, $4, $5, $6)`, t.showtimeID, t.paymentID, t.subjectID, t.kind, t.gateway, t.minor)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// Statement is a day of a theater's money.
type Statement struct {
	TheaterID uuid.UUID
	Day       time.Time // as midnight UTC
	StartsAt  time.Time // of the day, where the theater stands
	EndsAt    time.Time
	Movements []MovementSum
	Balances  []Balance
}

// MovementSum is all of a day that moved alike.
type MovementSum struct {
	Kind    Movement
	Gateway string // what it went through; for carried money what had taken it
	Count   int32
	Amount  money.Money
}

// Balance is what an account has at the end of a day.
type Balance struct {
	Account LedgerAccount
	Gateway *string // of AtGateway
	Amount  money.Money
}

// Statement returns what moved on a day at a theater, by kind, gateway and currency, and what its accounts came to by the
// end of that day. For the managers of the theater and those who look after money: FORBIDDEN, NOT_FOUND, BAD_USER_INPUT.
func (s *Service) Statement(ctx context.Context, viewer auth.Viewer, theaterID uuid.UUID, day time.Time) (Statement, error) {
	st := Statement{TheaterID: theaterID, Day: day}
	if !viewer.Has(auth.RoleTheaterManager, theaterID) && !viewer.Has(auth.RoleFinance, auth.Platform) {
		return st, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if year := day.Year(); year < 1970 || year > 9998 {
		return st, apperr.Invalid("day", "There are no statements of that time.")
	}
	err := s.db.SQL().QueryRowContext(ctx, `SELECT $2::date::timestamp AT TIME ZONE time_zone, ($2::date + 1)::timestamp AT TIME ZONE time_zone
		FROM theaters WHERE id = $1`, theaterID, day.Format(time.DateOnly)).Scan(&st.StartsAt, &st.EndsAt)
	if errors.Is(err, sql.ErrNoRows) {
		return st, apperr.Missing("theater")
	}
	if err != nil {
		return st, fmt.Errorf("reading a theater: %w", err)
	}
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT kind, gateway, currency, count(*) FILTER (WHERE created_at >= $2),
			coalesce(sum(amount_minor) FILTER (WHERE created_at >= $2), 0), sum(amount_minor)
		FROM ledger_transfers WHERE theater_id = $1 AND created_at < $3 GROUP BY kind, gateway, currency ORDER BY currency, gateway, kind`,
		theaterID, st.StartsAt, st.EndsAt)
	if err != nil {
		return st, fmt.Errorf("reading the ledger: %w", err)
	}
	type line struct {
		MovementSum
		ever int64 // amount of all, in minor units
	}
	lines, err := postgres.Collect(rows, func(rows *sql.Rows) (l line, err error) {
		err = rows.Scan(&l.Kind, &l.Gateway, &l.Amount.Currency, &l.Count, &l.Amount.AmountMinor, &l.ever)
		return l, err
	})
	if err != nil {
		return st, fmt.Errorf("reading the ledger: %w", err)
	}
	type account struct {
		LedgerAccount
		gateway, currency string
	}
	sums := map[account]int64{}
	for _, l := range lines {
		if l.Count > 0 {
			st.Movements = append(st.Movements, l.MovementSum)
		}
		for _, side := range []struct {
			account LedgerAccount
			minor   int64
		}{{entries[l.Kind].debit, l.ever}, {entries[l.Kind].credit, -l.ever}} {
			if side.account == AtGateway {
				sums[account{AtGateway, l.Gateway, l.Amount.Currency}] += side.minor
			} else {
				// Of these a credit is what there is more.
				sums[account{side.account, "", l.Amount.Currency}] -= side.minor
			}
		}
	}
	for a, minor := range sums {
		b := Balance{Account: a.LedgerAccount, Amount: money.Money{AmountMinor: minor, Currency: a.currency}}
		if a.LedgerAccount == AtGateway {
			b.Gateway = &a.gateway
		}
		st.Balances = append(st.Balances, b)
	}
	slices.SortFunc(st.Balances, func(a, b Balance) int { return strings.Compare(a.order(), b.order()) })
	return st, nil
}

// order sorts balances by currency, account and gateway.
func (b Balance) order() string {
	gateway := ""
	if b.Gateway != nil {
		gateway = *b.Gateway
	}
	return b.Amount.Currency + " " + string(b.Account) + " " + gateway
}
