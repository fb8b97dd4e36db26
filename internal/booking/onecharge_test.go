package booking_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// answered is an answer to a payment in a line, without what differs from reading to reading.
func answered(t *testing.T, result booking.PayResult, err error) string {
	t.Helper()
	if err != nil {
		t.Errorf("the answer is %v", err)
	}
	switch result := result.(type) {
	case booking.Paid:
		return fmt.Sprint("paid ", result.Reservation.ID, result.Reservation.Status)
	case booking.Declined:
		return fmt.Sprint("declined ", result.Reservation.ID, result.Code)
	case booking.Pending:
		return "pending"
	default:
		return fmt.Sprintf("%#v", result)
	}
}

// TestP1_PM1_one_key_is_one_charge uses one key for a hold and one for its payment in sequence, fifty times at once, and after the process
// has died on either side of each call to the gateway: there is one reservation, at most one charge, and one answer, and for anything
// else the keys are refused.
func TestP1_PM1_one_key_is_one_charge(t *testing.T) {
	t.Parallel()
	const times = 50
	h := newHouse(t, fixture.Plan{Seats: 200})
	nodes := []*booking.Service{h.booking, h.process(h.gateway, settings)}
	for name, test := range map[string]struct {
		prepare func()
		op      gatewaytest.Op // whose death it is; "": nobody dies
		death   gatewaytest.Fault
		want    int64 // that is taken
	}{
		"well":             {want: 2400},
		"before_authorize": {op: gatewaytest.Authorize, death: gatewaytest.DiesBefore},
		"after_authorize":  {op: gatewaytest.Authorize, death: gatewaytest.DiesAfter, want: 2400},
		"before_capture":   {op: gatewaytest.Capture, death: gatewaytest.DiesBefore, want: 2400},
		"after_capture":    {op: gatewaytest.Capture, death: gatewaytest.DiesAfter, want: 2400},
		"before_lookup": {
			prepare: func() { h.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost) },
			op:      gatewaytest.Lookup, death: gatewaytest.DiesBefore, want: 2400,
		},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, before := newViewer(), h.captured()
			hold := h.request(h.fresh(2)...)
			result, err := h.booking.Reserve(t.Context(), viewer, hold)
			r := is[booking.Reserved](t, result, err).Reservation
			together(times, func(i int) {
				again, err := nodes[i%2].Reserve(t.Context(), viewer, hold)
				if got, ok := again.(booking.Reserved); !ok || err != nil || got.Reservation.ID != r.ID {
					t.Errorf("the same hold again is %#v, %v", again, err)
				}
			})

			in := payInput(r)
			if test.prepare != nil {
				test.prepare()
			}
			if test.op != "" {
				h.gateway.Next(test.op, test.death)
				died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, in) })
			}
			var mu sync.Mutex
			pay := func() map[string]int {
				answers := map[string]int{}
				together(times, func(i int) {
					result, err := nodes[i%2].Pay(t.Context(), viewer, in)
					mu.Lock()
					defer mu.Unlock()
					answers[answered(t, result, err)]++
				})
				return answers
			}
			pay() // beside a driver, or a lease of one that is dead
			h.reconcile(t)
			answers := pay()
			result2, err := h.booking.Pay(t.Context(), viewer, in)
			if last := answered(t, result2, err); len(answers) != 1 || answers[last] != times || last == "pending" {
				t.Errorf("the answers are %v, and then %q", answers, last)
			}
			if n := len(h.attempts(t, r)); n != 1 {
				t.Errorf("%d attempts", n)
			}
			if got := h.captured() - before; got != test.want {
				t.Errorf("the gateway has %d, want %d", got, test.want)
			}
			if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations WHERE viewer_id = $1`, viewer.UserID); n != 1 {
				t.Errorf("%d reservations", n)
			}

			calls, other := len(h.gateway.Calls()), h.hold(t, viewer, h.fresh(1)...)
			hold.SeatIDs = h.SeatIDs(h.fresh(2)...)
			again, err := h.booking.Reserve(t.Context(), viewer, hold)
			refused(t, again, err, apperr.IdempotencyKeyReused)
			in.ReservationID = other.ID
			result2, err = h.booking.Pay(t.Context(), viewer, in)
			refused(t, result2, err, apperr.IdempotencyKeyReused)
			if n := len(h.gateway.Calls()); n != calls {
				t.Errorf("a key that is refused calls the gateway %d times", n-calls)
			}
			h.rests(t)
		})
	}
}

// witness writes down what a gateway is asked for, and what it has told.
type witness struct {
	payment.Gateway

	mu    sync.Mutex
	lines []string
}

func (w *witness) write(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *witness) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	w.write("charge %s", key)
	return w.Gateway.Authorize(ctx, key, request)
}

func (w *witness) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	charge, err := w.Gateway.Lookup(ctx, key)
	if err == nil || errors.Is(err, payment.ErrNoSuchCharge) {
		w.write("told of %s", key)
	}
	return charge, err
}

// TestP9_PM8_no_answer_is_unknown: the gateway reserves or takes the money and the line is cut, also when it is looked up, and the
// customer's own line with it. They ask again, with the same key and with others, in several tabs: nothing is charged anew before
// the gateway has told what became of the first, and there is one charge.
func TestP9_PM8_no_answer_is_unknown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	for name, test := range map[string]struct {
		op      gatewaytest.Op
		fault   gatewaytest.Fault
		silence int // lookups that are not answered either
	}{
		"reserved":                          {gatewaytest.Authorize, gatewaytest.AnswerLost, 0},
		"reserved_and_silent":               {gatewaytest.Authorize, gatewaytest.AnswerLost, 3},
		"taken_at_once_and_silent":          {gatewaytest.Authorize, lost(h.gateway.Takes), 3},
		"taken":                             {gatewaytest.Capture, gatewaytest.AnswerLost, 0},
		"taken_and_silent":                  {gatewaytest.Capture, gatewaytest.AnswerLost, 3},
		"never_asked_for_all_we_know":       {gatewaytest.Authorize, gatewaytest.NeverArrives, 3},
		"declined_for_all_we_know":          {gatewaytest.Authorize, lost(h.gateway.Declines("do_not_honor")), 3},
		"reserved_and_the_customer_is_gone": {gatewaytest.Authorize, gatewaytest.AnswerLost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &witness{Gateway: h.gateway}
			node, viewer, before := h.process(seen, settings), newViewer(), h.captured()
			r := h.hold(t, viewer, h.fresh(1)...)
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			h.gateway.Next(test.op, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
				if name == "reserved_and_the_customer_is_gone" {
					hangUp()
				}
				return test.fault(ctx, key, effect)
			})
			for range test.silence {
				h.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
			}
			first := payInput(r)
			if _, err := node.Pay(ctx, viewer, first); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			ask := func() {
				together(6, func(i int) {
					in := first
					if i%2 == 0 {
						in = payInput(r)
					}
					if _, err := node.Pay(t.Context(), viewer, in); err != nil {
						t.Errorf("asking again: %v", err)
					}
				})
			}
			ask()
			for h.stored(t, r) != "CONFIRMED" && !t.Failed() {
				h.endLeases(t)
				if _, err := node.Reconcile(t.Context()); err != nil {
					t.Error(err)
				}
				ask()
			}
			open := ""
			for _, line := range seen.lines {
				var key string
				if n, _ := fmt.Sscanf(line, "charge %s", &key); n == 1 {
					if open != "" && open != key {
						t.Errorf("%s is charged while what became of %s is unknown: %q", key, open, seen.lines)
					}
					open = key
				} else if line == "told of "+open {
					open = ""
				}
			}
			if got := h.captured() - before; got != 1200 {
				t.Errorf("the gateway has %d, want 1200", got)
			}
			h.gateway.Heal()
			h.rests(t)
		})
	}
}

// lost is a fault whose answer does not arrive.
func lost(fault gatewaytest.Fault) gatewaytest.Fault {
	return func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
		_, err := fault(ctx, key, effect)
		return gatewaytest.Answer{}, errors.Join(gatewaytest.ErrNoAnswer, err)
	}
}

// TestP3_confirmed_is_paid lets gateways do what they should not, by lot, to payments that are tried again, expire and are looked after:
// for every reservation that is confirmed the gateway has its price as it was frozen, in its currency, and for no other anything.
func TestP3_confirmed_is_paid(t *testing.T) {
	t.Parallel()
	const histories = 120
	h := newHouse(t, fixture.Plan{Seats: 200})
	takes := func(minor int64, currency string) gatewaytest.Fault {
		return h.gateway.TakesInstead(money.Money{AmountMinor: minor, Currency: currency})
	}
	type mischief struct {
		op    gatewaytest.Op
		fault gatewaytest.Fault
	}
	const authorize, capture, lookup, void = gatewaytest.Authorize, gatewaytest.Capture, gatewaytest.Lookup, gatewaytest.Void
	forged := gatewaytest.Says(func(a *gatewaytest.Answer) { a.Status, a.Captured = payment.ChargeCaptured, nzd(1200) })
	all := []mischief{
		{capture, takes(1199, "NZD")},
		{capture, takes(1201, "NZD")},
		{capture, takes(1, "NZD")},
		{authorize, forged},
		{authorize, h.gateway.Takes},
		{authorize, gatewaytest.AnswerLost},
		{authorize, h.gateway.Declines("do_not_honor")},
		{authorize, h.gateway.Processes},
		{capture, gatewaytest.AnswerLost},
		{capture, h.gateway.Lapses},
		{void, h.gateway.Takes},
		{lookup, gatewaytest.NeverArrives},
	}
	prices := map[string]money.Money{} // as they were told with the hold
	for seed := range histories {
		random := rand.New(rand.NewPCG(uint64(seed), 3))
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		prices[r.ID.String()] = r.Total
		for range 1 + random.IntN(3) {
			h.gateway.Heal()
			for range random.IntN(3) {
				one := all[random.IntN(len(all))]
				h.gateway.Next(one.op, one.fault)
			}
			if random.IntN(6) == 0 {
				h.Expire(t, h.Show(), r.ID)
			}
			if _, err := h.booking.Pay(t.Context(), viewer, payInput(r)); err != nil && apperr.CodeOf(err) != apperr.Conflict {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for key, charge := range h.gateway.Charges() {
				if charge.Status.Pending() {
					h.gateway.Resolve(key, random.IntN(2) == 0)
				}
			}
			if random.IntN(2) == 0 {
				h.reconcile(t)
			}
		}
	}
	h.gateway.Heal()
	h.reconcile(t)
	h.sweep(t)
	h.reconcile(t)

	rows, err := h.DB.SQL().QueryContext(t.Context(), `SELECT r.id, r.status = 'CONFIRMED', r.amount_minor, r.currency, coalesce(array_agg(a.id::text) FILTER (WHERE a.id IS NOT NULL), '{}')::text
		FROM reservations r LEFT JOIN payments p ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id
		LEFT JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id GROUP BY r.id, r.status, r.amount_minor, r.currency`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	books, confirmed := h.gateway.Charges(), 0
	for rows.Next() {
		var (
			id, attempts string
			isConfirmed  bool
			price        money.Money
		)
		if err := rows.Scan(&id, &isConfirmed, &price.AmountMinor, &price.Currency, &attempts); err != nil {
			t.Fatal(err)
		}
		kept, charges := money.Money{Currency: price.Currency}, 0
		for key, charge := range books {
			left := charge.Captured.AmountMinor - charge.Refunded.AmountMinor
			if left == 0 || !strings.Contains(attempts, key) {
				continue
			}
			charges++
			kept = money.Money{AmountMinor: left, Currency: charge.Captured.Currency}
		}
		want, n := money.Money{Currency: price.Currency}, 0
		if isConfirmed {
			confirmed++
			want, n = prices[id], 1
		}
		if kept != want || charges != n || price != prices[id] {
			t.Errorf("reservation %s, confirmed %t, of %v as it was held, costs %v: the gateway keeps %v by %d charges", id, isConfirmed, prices[id], price, kept, charges)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if confirmed < histories/4 || confirmed > histories-histories/10 {
		t.Errorf("%d of %d are confirmed: the lots show nothing", confirmed, histories)
	}
	h.rests(t)
}
