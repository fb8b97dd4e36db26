package booking_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/postgres"
)

// counters counts what happened at the counters.
type counters struct {
	sold, refused, taken, late, underWay, paidOut, nothing atomic.Int64
}

// clerk is one of those who work at the theater.
func (r *race) clerk(random *rand.Rand) auth.Viewer { return r.clerks[random.IntN(len(r.clerks))] }

// tender is more than anything costs.
func tender(random *rand.Rand, price int64) booking.Tender {
	if random.IntN(2) == 0 {
		return card(price)
	}
	return cash(price + 1000)
}

// buyAtCounter is a visit of a customer who walks up to the counter, and some of whom come back with their tickets. Every
// other has an account, in which they may be buying at home as well.
func (r *race) buyAtCounter(t *testing.T, random *rand.Rand, customer fixture.User) {
	process, positions := r.processes[random.IntN(len(r.processes))], r.choose(random)
	in := r.saleInput(cash(1_000_000), positions...)
	if random.IntN(2) == 0 {
		in.CustomerEmail = &customer.Email
	}
	result, err := process.SellAtCounter(t.Context(), r.clerk(random), in)
	switch result := result.(type) {
	case booking.PaidAtCounter:
		r.tally.sold.Add(1)
		r.tell(result.Reservation, toldPaid)
		r.comeBack(t, random, result.Reservation, payment.TillCash)
	case booking.SeatsUnavailable, booking.LimitExceeded:
		r.tally.refused.Add(1)
	default:
		if apperr.CodeOf(err) == apperr.Unavailable {
			r.tally.again.Add(1)
		} else {
			r.failed("sell at the counter", err)
		}
	}
}

// payAtCounter is two clerks who are asked for the price of one reservation, whatever its customer does meanwhile.
func (r *race) payAtCounter(t *testing.T, random *rand.Rand, held booking.Reservation) {
	process, clerks := r.processes[random.IntN(len(r.processes))], [2]auth.Viewer{r.clerk(random), r.clerk(random)}
	price := tender(random, held.Total.AmountMinor)
	together(len(clerks), func(i int) {
		result, err := process.PayAtCounter(t.Context(), clerks[i], counterInput(held, price))
		switch result.(type) {
		case booking.PaidAtCounter:
			r.tally.taken.Add(1)
			r.tell(held, toldPaid)
		case booking.Expired, booking.TenderRefused: // other seats cost more
			r.tally.late.Add(1)
		case booking.UnderWay:
			r.tally.underWay.Add(1)
		default:
			r.conflict("pay at the counter", err)
		}
	})
	r.comeBack(t, random, held, price.Method)
}

// comeBack is a customer who wants back what was paid at the counter, all of it or a seat, and whom two clerks serve at once.
// Some have cancelled at home and only come for the money.
func (r *race) comeBack(t *testing.T, random *rand.Rand, bought booking.Reservation, method payment.TillMethod) {
	process, clerks := r.processes[random.IntN(len(r.processes))], [2]auth.Viewer{r.clerk(random), r.clerk(random)}
	some := len(bought.Seats) > 1 && random.IntN(2) == 0
	atHome := random.IntN(2) == 0
	if random.IntN(3) == 0 {
		return
	}
	if atHome {
		r.cancel(t, process, viewerOf(bought), bought)
	}
	together(len(clerks), func(i int) {
		in := payOutBy(method, bought, !atHome)
		if some && !atHome {
			in.SeatIDs = []uuid.UUID{bought.Seats[len(bought.Seats)-1].ID}
		}
		result, err := process.PayOutAtCounter(t.Context(), clerks[i], in)
		if apperr.CodeOf(err) == apperr.BadUserInput { // it may have taken other seats since
			r.tally.nothing.Add(1)
			return
		}
		out, paid := result.(booking.PaidOut)
		if !paid {
			r.tally.nothing.Add(1)
			r.conflict("pay out at the counter", err)
			return
		}
		r.tally.paidOut.Add(1)
		if out.Reservation.Status == booking.StatusCancelled {
			r.tell(bought, toldCancelled)
		}
	})
}

// payOutTheRest gives every customer of the counters what they are promised: no program does.
func (r *race) payOutTheRest(t *testing.T, process *booking.Service) {
	t.Helper()
	const due = `SELECT DISTINCT p.reservation_id, CASE a.gateway WHEN 'COUNTER_CARD' THEN 'CARD' ELSE 'CASH' END FROM refunds f
		JOIN payments p ON p.showtime_id = f.showtime_id AND p.id = f.payment_id
		JOIN payment_attempts a ON a.showtime_id = f.showtime_id AND a.id = f.attempt_id
		WHERE f.status = 'PENDING' AND f.leased_until = 'infinity'`
	rows, err := r.DB.SQL().QueryContext(t.Context(), due)
	if err != nil {
		t.Fatal(err)
	}
	type debt struct {
		to     uuid.UUID
		method payment.TillMethod
	}
	owed, err := postgres.Collect(rows, func(rows *sql.Rows) (d debt, err error) {
		err = rows.Scan(&d.to, &d.method)
		return d, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range owed {
		in := payOutBy(d.method, booking.Reservation{ShowtimeID: r.Show(), ID: d.to}, false)
		result, err := process.PayOutAtCounter(t.Context(), r.clerks[0], in)
		is[booking.PaidOut](t, result, err)
	}
}

// inTheTill returns what the clerks have taken and not paid out, in minor units.
func (r *race) inTheTill(t *testing.T) int64 {
	t.Helper()
	return fixture.Get[int64](t, r.DB, `SELECT coalesce(sum(CASE kind WHEN 'TAKEN' THEN amount_minor ELSE -amount_minor END), 0) FROM till_entries`)
}

func (c *counters) String() string {
	return fmt.Sprintf("%d sold, %d not; %d taken, %d too late, %d under way; %d paid out, %d not",
		c.sold.Load(), c.refused.Load(), c.taken.Load(), c.late.Load(), c.underWay.Load(), c.paidOut.Load(), c.nothing.Load())
}

// counts is what a race at the counters must have seen.
func (c *counters) counts() map[string]int64 {
	return map[string]int64{
		"counter sales": c.sold.Load(), "counter sales that came too late": c.refused.Load(), "payments at the counter": c.taken.Load(),
		"payments at the counter that came too late": c.late.Load(), "pay-outs": c.paidOut.Load(), "pay-outs of nothing": c.nothing.Load(),
	}
}
