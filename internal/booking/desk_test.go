package booking_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/typeid"
)

func cash(minor int64) booking.Tender {
	return booking.Tender{Method: payment.TillCash, Minor: minor}
}

func card(minor int64) booking.Tender {
	return booking.Tender{Method: payment.TillCard, Minor: minor, Terminal: "T1-000123"}
}

func counterInput(r booking.Reservation, tender booking.Tender) booking.CounterPayInput {
	return booking.CounterPayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, Tender: tender, IdempotencyKey: newKey()}
}

// till returns how many entries the till has for a reservation, and what they come to.
func (h *house) till(t testing.TB, r booking.Reservation) string {
	t.Helper()
	return fixture.Get[string](t, h.DB, `SELECT count(*) || ' of ' || coalesce(sum(e.amount_minor), 0) FROM till_entries e
		JOIN payments p ON p.showtime_id = e.showtime_id AND p.id = e.payment_id WHERE p.showtime_id = $1 AND p.reservation_id = $2`, r.ShowtimeID, r.ID)
}

// audited returns how often an action on a reservation was recorded.
func (h *house) audited(t testing.TB, action string, r booking.Reservation) int {
	t.Helper()
	return fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = $1 AND subject = $2 AND theater_id = $3 AND actor_id IS NOT NULL`,
		action, r.NodeID(), h.TheaterID)
}

func TestService_PayAtCounter(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 30, MaxOpen: 100})
	staff := h.staff()
	t.Run("what_was_reserved_is_paid_in_cash", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(2)...)
		kept, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		is[booking.KeptUnpaid](t, kept, err)
		h.hints.take()
		result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(3000)))
		paid := is[booking.PaidAtCounter](t, result, err)
		if paid.Reservation.Status != booking.StatusConfirmed || len(paid.Reservation.Seats) != 2 || paid.Receipt.Change().AmountMinor != 600 || paid.Receipt.StaffID != staff.UserID {
			t.Errorf("%+v, %+v", paid.Reservation, paid.Receipt)
		}
		tickets, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()})
		if err != nil || len(tickets[r.Reference()]) != 2 {
			t.Errorf("%+v, %v", tickets, err)
		}
		if p := h.paymentOf(t, r); p.Method() != payment.MethodCash || p.Status != payment.StatusCaptured {
			t.Errorf("%+v", p)
		}
		if h.till(t, r) != "1 of 2400" || h.audited(t, "counter.paid", r) != 1 || h.hints.take()[h.Show()] != 1 {
			t.Errorf("%s in the till, %d entries", h.till(t, r), h.audited(t, "counter.paid", r))
		}
		h.rests(t)
	})
	t.Run("what_is_held_is_paid_by_card", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, card(1200)))
		paid := is[booking.PaidAtCounter](t, result, err)
		if paid.Receipt.Change().AmountMinor != 0 || *paid.Receipt.TerminalReference() != "T1-000123" || h.paymentOf(t, r).Method() != payment.MethodCard {
			t.Errorf("%+v", paid.Receipt)
		}
		h.rests(t)
	})
	t.Run("what_costs_nothing_takes_no_money", func(t *testing.T) {
		r := h.hold(t, newViewer(), 2) // a companion's seat
		result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(0)))
		if paid := is[booking.PaidAtCounter](t, result, err); paid.Receipt != nil || paid.Reservation.Status != booking.StatusConfirmed {
			t.Errorf("%+v", paid)
		}
		h.rests(t)
	})
	t.Run("repeated_it_gives_the_same_answer", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		in := counterInput(r, cash(2000))
		var changes [4]int64
		together(len(changes), func(i int) {
			result, err := h.booking.PayAtCounter(t.Context(), staff, in)
			if paid, ok := result.(booking.PaidAtCounter); ok && err == nil {
				changes[i] = paid.Receipt.Change().AmountMinor
			}
		})
		if changes != [4]int64{800, 800, 800, 800} || h.till(t, r) != "1 of 1200" {
			t.Errorf("change of %v, %s in the till", changes, h.till(t, r))
		}
		other := in
		other.Tender = cash(5000)
		result, err := h.booking.PayAtCounter(t.Context(), staff, other)
		refused(t, result, err, apperr.IdempotencyKeyReused)
		h.rests(t)
	})
	t.Run("not_for_less_nor_by_card_for_more", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		for _, tender := range []booking.Tender{cash(1199), card(1199), card(1201)} {
			result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, tender))
			if got := is[booking.TenderRefused](t, result, err); got.Due.AmountMinor != 1200 || got.Given.AmountMinor != tender.Minor {
				t.Errorf("%+v", got)
			}
		}
		if h.stored(t, r) != "HELD" || h.till(t, r) != "0 of 0" {
			t.Errorf("%s, %s", h.stored(t, r), h.till(t, r))
		}
	})
	t.Run("not_once_the_deadline_has_passed", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		h.Expire(t, r.ShowtimeID, r.ID)
		result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(1200)))
		if got := is[booking.Expired](t, result, err); got.Reservation.ID != r.ID || h.till(t, r) != "0 of 0" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("not_what_is_paid_or_cancelled", func(t *testing.T) {
		viewer := newViewer()
		paid, cancelled := h.buy(t, viewer, h.fresh(1)...), h.hold(t, viewer, h.fresh(1)...)
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(cancelled)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []booking.Reservation{paid, cancelled} {
			result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(1200)))
			refused(t, result, err, apperr.Conflict)
		}
		h.rests(t)
	})
	t.Run("bad_input", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		for name, tender := range map[string]booking.Tender{
			"less than nothing": cash(-1), "more than there is": cash(2e12), "cash of a terminal": {Method: payment.TillCash, Minor: 1200, Terminal: "T"},
			"card of no terminal": {Method: payment.TillCard, Minor: 1200}, "long": {Method: payment.TillCard, Minor: 1200, Terminal: strings.Repeat("x", 65)},
			"line break": {Method: payment.TillCard, Minor: 1200, Terminal: "a\nb"},
		} {
			if result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, tender)); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%s: %+v, %v", name, result, err)
			}
		}
	})
	t.Run("AZ1_not_by_staff_of_another_theater", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		missing := r
		missing.ID = typeid.New()
		nowhere := r
		nowhere.ShowtimeID = typeid.New()
		stranger := auth.Viewer{UserID: typeid.New(), Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: typeid.New()})}
		var said []string
		for _, ask := range []struct {
			who auth.Viewer
			r   booking.Reservation
		}{{stranger, r}, {newViewer(), r}, {support(), r}, {staff, missing}, {staff, nowhere}} {
			result, err := h.booking.PayAtCounter(t.Context(), ask.who, counterInput(ask.r, cash(1200)))
			refused(t, result, err, apperr.NotFound)
			said = append(said, err.Error())
		}
		for _, text := range said[1:] {
			if text != said[0] {
				t.Errorf("%q can be told from %q", text, said[0])
			}
		}
		if h.stored(t, r) != "HELD" {
			t.Errorf("it is %s", h.stored(t, r))
		}
	})
}

// While a payment of the customer's own is under way the counter takes nothing, whatever becomes of it.
func TestService_PayAtCounter_beside_a_payment(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	viewer, staff := newViewer(), h.staff()
	r := h.hold(t, viewer, 11)
	h.gateway.Next(gatewaytest.Authorize, gatewaytest.DiesAfter)
	died(t, func() { _, _ = h.booking.Pay(t.Context(), viewer, payInput(r)) })
	result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(1200)))
	if got := is[booking.UnderWay](t, result, err); got.Reservation.ID != r.ID || len(got.Reservation.Seats) != 1 || h.till(t, r) != "0 of 0" {
		t.Errorf("%+v", got)
	}
	h.reconcile(t)
	result, err = h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(1200)))
	if _, ok := result.(booking.PaidAtCounter); !ok && apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("%+v, %v", result, err)
	}
	h.rests(t)
}

// The customer pays and staff take the price at the same moment: one of them does, the other is told.
func TestService_PayAtCounter_races_the_customer(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	staff := h.staff()
	const rounds = 20
	var counter atomic.Int32
	for range rounds {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		together(2, func(i int) {
			if i == 0 {
				if result, err := h.booking.Pay(t.Context(), viewer, payInput(r)); err != nil {
					t.Errorf("the customer: %+v, %v", result, err)
				}
				return
			}
			result, err := h.booking.PayAtCounter(t.Context(), staff, counterInput(r, cash(1200)))
			switch result.(type) {
			case booking.PaidAtCounter:
				counter.Add(1)
			case booking.UnderWay:
			default:
				if apperr.CodeOf(err) != apperr.Conflict {
					t.Errorf("the counter: %+v, %v", result, err)
				}
			}
		})
		if h.stored(t, r) != "CONFIRMED" {
			t.Errorf("it is %s", h.stored(t, r))
		}
	}
	t.Logf("the counter was first in %d of %d", counter.Load(), rounds)
	h.rests(t)
}

func (h *house) saleInput(tender booking.Tender, positions ...int) booking.SaleInput {
	return booking.SaleInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(positions...), Tender: tender, IdempotencyKey: newKey()}
}

func TestService_SellAtCounter(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 3})
	staff := h.staff()
	t.Run("to_somebody_who_is_not_known", func(t *testing.T) {
		h.hints.take()
		owners := map[uuid.UUID]bool{}
		for range 2 { // each as many as one customer may have
			seats := h.fresh(3)
			result, err := h.booking.SellAtCounter(t.Context(), staff, h.saleInput(cash(4000), seats...))
			paid := is[booking.PaidAtCounter](t, result, err)
			r := paid.Reservation
			if r.Status != booking.StatusConfirmed || len(r.Seats) != 3 || paid.Receipt.Change().AmountMinor != 400 || h.letters(t, seats...) != "TTT" {
				t.Errorf("%+v, %+v", r, paid.Receipt)
			}
			if h.till(t, r) != "1 of 3600" || h.audited(t, "counter.sold", r) != 1 {
				t.Errorf("%s in the till, %d entries", h.till(t, r), h.audited(t, "counter.sold", r))
			}
			owners[r.ViewerID] = true
		}
		if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM users`); len(owners) != 2 || n != len(h.Users) || h.hints.take()[h.Show()] != 2 {
			t.Errorf("owners %v of %d users", owners, n)
		}
		for _, u := range h.Users {
			if owners[u.ID] {
				t.Errorf("it belongs to %s", u.Email)
			}
		}
		if owners[staff.UserID] {
			t.Error("it belongs to who sold it")
		}
		h.rests(t)
	})
	t.Run("for_an_account_by_its_address", func(t *testing.T) {
		in := h.saleInput(card(1200), h.fresh(1)...)
		in.CustomerEmail = &h.Users[0].Email
		result, err := h.booking.SellAtCounter(t.Context(), staff, in)
		r := is[booking.PaidAtCounter](t, result, err).Reservation
		mine := h.mine(t, auth.Viewer{UserID: h.Users[0].ID}).keys(t, booking.Filter{}, booking.SortNewest)
		if len(mine) != 1 || mine[0] != r.ID || h.paymentOf(t, r).Method() != payment.MethodCard {
			t.Errorf("the account has %v", mine)
		}
		in = h.saleInput(cash(1200), h.fresh(1)...)
		in.CustomerEmail = new("nobody@example.com")
		result, err = h.booking.SellAtCounter(t.Context(), staff, in)
		is[booking.PaidAtCounter](t, result, err)
		h.rests(t)
	})
	t.Run("repeated_it_sells_once", func(t *testing.T) {
		seats := h.fresh(2)
		in := h.saleInput(cash(2400), seats...)
		var sold [4]uuid.UUID
		together(len(sold), func(i int) {
			if paid, ok := result(h.booking.SellAtCounter(t.Context(), staff, in)).(booking.PaidAtCounter); ok {
				sold[i] = paid.Reservation.ID
			}
		})
		for _, id := range sold {
			if id != sold[0] || id == uuid.Nil {
				t.Errorf("sold %v", sold)
			}
		}
		in.SeatIDs = in.SeatIDs[:1]
		other, err := h.booking.SellAtCounter(t.Context(), staff, in)
		refused(t, other, err, apperr.IdempotencyKeyReused)
		h.rests(t)
	})
	t.Run("refusals_keep_nothing", func(t *testing.T) {
		taken, seats := h.fresh(1), h.fresh(1)
		h.buy(t, newViewer(), taken...)
		before := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations`)
		got, err := h.booking.SellAtCounter(t.Context(), staff, h.saleInput(cash(2400), taken[0], seats[0]))
		if lost := is[booking.SeatsUnavailable](t, got, err); len(lost.Seats) != 1 {
			t.Errorf("%+v", lost)
		}
		for _, tender := range []booking.Tender{cash(1199), card(1300)} {
			got, err = h.booking.SellAtCounter(t.Context(), staff, h.saleInput(tender, seats...))
			if refused := is[booking.TenderRefused](t, got, err); refused.Due.AmountMinor != 1200 {
				t.Errorf("%+v", refused)
			}
		}
		got, err = h.booking.SellAtCounter(t.Context(), staff, h.saleInput(cash(99999), h.fresh(4)...))
		is[booking.LimitExceeded](t, got, err)
		in := h.saleInput(cash(1200), seats...)
		in.PromoCodes = []string{"NO-SUCH-CODE"}
		got, err = h.booking.SellAtCounter(t.Context(), staff, in)
		is[booking.PromotionRefused](t, got, err)
		if after := fixture.Get[int](t, h.DB, `SELECT count(*) FROM reservations`); after != before || h.letters(t, seats...) != "A" {
			t.Errorf("%d reservations, %d before; the seat is %s", after, before, h.letters(t, seats...))
		}
		h.rests(t)
	})
	t.Run("what_fails_on_the_way_keeps_nothing", func(t *testing.T) {
		seats := h.fresh(1)
		before := fixture.Get[int](t, h.DB, `SELECT count(*) FROM tickets`)
		h.Exec(t, `ALTER TABLE till_entries ADD CONSTRAINT broken CHECK (amount_minor < 0) NOT VALID`)
		got, err := h.booking.SellAtCounter(t.Context(), staff, h.saleInput(cash(1200), seats...))
		h.Exec(t, `ALTER TABLE till_entries DROP CONSTRAINT broken`)
		refused(t, got, err, apperr.Internal)
		if after := fixture.Get[int](t, h.DB, `SELECT count(*) FROM tickets`); after != before || h.letters(t, seats...) != "A" {
			t.Errorf("%d tickets, %d before; the seat is %s", after, before, h.letters(t, seats...))
		}
		h.rests(t)
	})
	t.Run("AZ1_not_by_others", func(t *testing.T) {
		seats := h.fresh(1)
		for name, viewer := range map[string]auth.Viewer{
			"a customer": newViewer(), "support": support(),
			"staff of another theater": {UserID: typeid.New(), Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: typeid.New()})},
		} {
			if got, err := h.booking.SellAtCounter(t.Context(), viewer, h.saleInput(cash(1200), seats...)); apperr.CodeOf(err) != apperr.Forbidden {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if h.letters(t, seats...) != "A" {
			t.Error("the seat is taken")
		}
	})
	t.Run("bad_input", func(t *testing.T) {
		for name, spoil := range map[string]func(*booking.SaleInput){
			"no seat": func(in *booking.SaleInput) { in.SeatIDs = nil }, "no key": func(in *booking.SaleInput) { in.IdempotencyKey = "" },
			"no address": func(in *booking.SaleInput) { in.CustomerEmail = new("") }, "no tender": func(in *booking.SaleInput) { in.Tender.Minor = -1 },
			"a strange seat": func(in *booking.SaleInput) { in.SeatIDs = []uuid.UUID{typeid.New()} },
		} {
			in := h.saleInput(cash(1200), h.fresh(1)...)
			spoil(&in)
			if got, err := h.booking.SellAtCounter(t.Context(), staff, in); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		in := h.saleInput(cash(1200), h.fresh(1)...)
		in.ShowtimeID = typeid.New()
		got, err := h.booking.SellAtCounter(t.Context(), staff, in)
		refused(t, got, err, apperr.NotFound)
	})
}

// result drops an error, where a result of another kind says as much.
func result[T any](value T, _ error) any { return value }

// Rules of seats hold at the counter too, unless staff override them, which is recorded as theirs.
func TestService_SellAtCounter_against_rules(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Strict: true})
	staff := h.staff()
	in := h.saleInput(cash(1200), 12) // leaves the first of its row alone
	got, err := h.booking.SellAtCounter(t.Context(), staff, in)
	if broken := is[booking.RuleBroken](t, got, err); broken.Rule != booking.RuleSeatAlone {
		t.Errorf("%+v", broken)
	}
	in.IdempotencyKey, in.OverrideSeatRules = newKey(), true
	got, err = h.booking.SellAtCounter(t.Context(), staff, in)
	r := is[booking.PaidAtCounter](t, got, err).Reservation
	by := fixture.Get[string](t, h.DB, fmt.Sprintf(`SELECT actor_id::text FROM audit_entries WHERE action = 'seat_rule.overridden' AND subject = '%s'`, r.NodeID()))
	if by != staff.UserID.String() || r.ViewerID == staff.UserID {
		t.Errorf("overridden by %s, sold to %s", by, r.ViewerID)
	}
	h.rests(t)
}
