package booking_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// TestStories lets two customers do whatever they like with the same few seats while the gateway and the process fail in
// any way at any call: every rule holds after each step, and when all has healed, money and seats come to rest in
// agreement with the gateway's books.
func TestStories(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{MaxSeats: 4})
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 2})
	h.Exec(t, `ALTER TABLE ledger_transfers DISABLE TRIGGER ledger_transfers_stay`) // each story begins with empty books
	rapid.Check(t, func(rt *rapid.T) {
		s := newStory(t, h)
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			s.fail(rt)
			s.step(rt)
			if breaches, err := audit(t.Context(), h.DB.SQL(), always); err != nil || len(breaches) != 0 {
				rt.Fatalf("%q, %v", breaches, err)
			}
		}
		s.end(rt)
	})
}

// story is one run: customers with their reservations, and what they were told.
type story struct {
	*house
	t         *testing.T
	node      *booking.Service // the process at work; when it dies, another takes its place
	customers []*customer
}

type customer struct {
	viewer   auth.Viewer
	held     []booking.Reservation
	payments []booking.PayInput
	paid     []booking.Reservation // of which the customer was told so
}

// newStory clears the tables and the gateway's books.
func newStory(t *testing.T, h *house) *story {
	t.Helper()
	for _, table := range []string{"ledger_transfers", "tickets", "refunds", "payment_recoveries", "payment_attempts", "payments", "seat_claims", "idempotency_keys", "reservations"} {
		h.Exec(t, `DELETE FROM `+table)
	}
	h.gateway = gatewaytest.NewFake()
	s := &story{house: h, t: t, node: h.process(h.gateway, settings)}
	for range 2 {
		s.customers = append(s.customers, &customer{viewer: newViewer()})
	}
	return s
}

// fail sets what goes wrong during the next step.
func (s *story) fail(rt *rapid.T) {
	s.gateway.Heal()
	faults := map[string]gatewaytest.Fault{
		"honest": gatewaytest.Honest, "never arrives": gatewaytest.NeverArrives, "answer lost": gatewaytest.AnswerLost,
		"dies before": gatewaytest.DiesBefore, "dies after": gatewaytest.DiesAfter,
		"declines": s.gateway.Declines("do_not_honor"), "lapses": s.gateway.Lapses, "takes": s.gateway.Takes,
		"requires action": s.gateway.RequiresAction(payment.Redirect{URL: "https://bank.example"}), "processes": s.gateway.Processes,
		"refunds later":        s.gateway.RefundsLater,
		"holds run out before": gatewaytest.Before(s.expire), "holds run out after": gatewaytest.After(s.expire),
	}
	names := []string{
		"honest", "honest", "honest", "never arrives", "answer lost", "dies before", "dies after", "lapses",
		"holds run out before", "holds run out after",
	}
	for _, op := range []gatewaytest.Op{gatewaytest.Authorize, gatewaytest.Capture, gatewaytest.Void, gatewaytest.Refund, gatewaytest.Lookup} {
		possible := names
		switch op {
		case gatewaytest.Authorize:
			possible = append(slices.Clone(names), "declines", "takes", "requires action", "processes")
		case gatewaytest.Refund:
			possible = append(slices.Clone(names), "refunds later")
		case gatewaytest.Void:
			possible = append(slices.Clone(names), "takes")
		default:
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(possible), 0, 2).Draw(rt, string(op)) {
			s.gateway.Next(op, faults[name])
		}
	}
}

// expire lets every hold run out.
func (s *story) expire() {
	for _, c := range s.customers {
		for _, r := range c.held {
			s.Expire(s.t, r.ShowtimeID, r.ID)
		}
	}
}

// seats are some of the few, one of which costs nothing.
func seats(rt *rapid.T) []int {
	return rapid.SliceOfNDistinct(rapid.SampledFrom([]int{2, 11, 12, 13}), 1, 3, rapid.ID).Draw(rt, "seats")
}

// step does one thing, in a process that may die of it.
func (s *story) step(rt *rapid.T) {
	c := rapid.SampledFrom(s.customers).Draw(rt, "customer")
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case gatewaytest.Death:
			s.node = s.process(s.gateway, settings)
		default:
			panic(cause)
		}
	}()
	switch rapid.SampledFrom([]string{
		"reserve", "reserve", "pay", "pay", "pay again", "extend", "pay later", "change", "change", "cancel", "reconcile", "sweep", "expire", "resolve",
	}).Draw(rt, "step") {
	case "reserve":
		result, err := s.node.Reserve(s.t.Context(), c.viewer, s.request(seats(rt)...))
		if reserved, ok := result.(booking.Reserved); ok {
			c.held = append(c.held, reserved.Reservation)
		} else if err != nil {
			rt.Fatal(err)
		}
	case "pay":
		if len(c.held) > 0 {
			in := payInput(rapid.SampledFrom(c.held).Draw(rt, "reservation"))
			c.payments = append(c.payments, in)
			s.pay(rt, c, in)
		}
	case "pay again":
		if len(c.payments) > 0 {
			s.pay(rt, c, rapid.SampledFrom(c.payments).Draw(rt, "payment"))
		}
	case "extend":
		if len(c.held) > 0 {
			in := holdInput(rapid.SampledFrom(c.held).Draw(rt, "reservation"))
			if result, err := s.node.Extend(s.t.Context(), c.viewer, in); err != nil && apperr.CodeOf(err) != apperr.Conflict {
				rt.Fatalf("extend: %#v, %v", result, err)
			}
		}
	case "change":
		if len(c.held) > 0 {
			in := s.changeTo(rapid.SampledFrom(c.held).Draw(rt, "reservation"), seats(rt)...)
			if result, err := s.node.ChangeSeats(s.t.Context(), c.viewer, in); err != nil && apperr.CodeOf(err) != apperr.Conflict {
				rt.Fatalf("change: %#v, %v", result, err)
			}
		}
	case "pay later":
		if len(c.held) > 0 {
			in := holdInput(rapid.SampledFrom(c.held).Draw(rt, "reservation"))
			if result, err := s.node.PayLater(s.t.Context(), c.viewer, in); err != nil && apperr.CodeOf(err) != apperr.Conflict {
				rt.Fatalf("pay later: %#v, %v", result, err)
			}
		}
	case "cancel":
		if len(c.held) > 0 {
			in := cancelInput(rapid.SampledFrom(c.held).Draw(rt, "reservation"))
			if result, err := s.node.Cancel(s.t.Context(), c.viewer, in); err != nil && apperr.CodeOf(err) != apperr.Conflict {
				rt.Fatalf("cancel: %#v, %v", result, err)
			}
		}
	case "reconcile":
		s.endLeases(s.t)
		if _, err := s.node.Reconcile(s.t.Context()); err != nil {
			rt.Fatal(err)
		}
	case "sweep":
		if _, _, err := s.node.Sweep(s.t.Context()); err != nil {
			rt.Fatal(err)
		}
	case "expire":
		s.expire()
	case "resolve":
		s.resolve(rt)
	}
}

// resolve lets everything be decided that waits for customers and banks. Refunds go back in the end.
func (s *story) resolve(rt *rapid.T) {
	charges := s.gateway.Charges()
	for _, key := range slices.Sorted(maps.Keys(charges)) {
		s.gateway.Resolve(key, charges[key].Status == payment.ChargeCaptured || rapid.Bool().Draw(rt, "well"))
	}
}

func (s *story) pay(rt *rapid.T, c *customer, in booking.PayInput) {
	result, err := s.node.Pay(s.t.Context(), c.viewer, in)
	switch result := result.(type) {
	case booking.Paid:
		c.paid = append(c.paid, result.Reservation)
	case booking.Declined, booking.Expired, booking.Pending:
	default:
		if apperr.CodeOf(err) != apperr.Conflict {
			rt.Fatalf("pay: %#v, %v", result, err)
		}
	}
}

// end heals everything and looks at what has become of it.
func (s *story) end(rt *rapid.T) {
	s.gateway.Heal()
	s.resolve(rt)
	s.reconcile(s.t)
	if _, _, err := s.booking.Sweep(s.t.Context()); err != nil {
		rt.Fatal(err)
	}
	if breaches := s.audit(s.t); len(breaches) != 0 {
		rt.Fatal(breaches)
	}
	for i, c := range s.customers {
		for _, r := range c.paid {
			read, err := s.booking.Reservation(s.t.Context(), c.viewer, r.ShowtimeID, r.ID)
			if err != nil || read.Status != booking.StatusConfirmed && read.Status != booking.StatusCancelled {
				rt.Fatal(fmt.Sprintf("customer %d was told that %s is paid; it is %s, %v", i, r.ID, read.Status, err))
			}
		}
	}
}
