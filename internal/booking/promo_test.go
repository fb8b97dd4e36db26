package booking_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
)

// code gives the house a promotion of a quarter off, changed as the test likes, which must work.
func (h *house) code(t testing.TB, code string, change func(*promotion.Input)) promotion.Promotion {
	t.Helper()
	in := promotion.Input{
		Code: code, Label: "Offer " + code, BasisPoints: -2500, StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour), Active: true,
	}
	if change != nil {
		change(&in)
	}
	made, err := promotion.NewService(h.DB, clock.System{}).Create(t.Context(), worker(auth.RoleTheaterManager, h.TheaterID), h.TheaterID, in)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// usedOf returns how often and for how much a promotion is used.
func (h *house) usedOf(t testing.TB, p promotion.Promotion) string {
	t.Helper()
	return fixture.Get[string](t, h.DB, `SELECT used_count || ' for ' || used_minor || ', ' ||
		(SELECT count(*) FROM promotion_redemptions r WHERE r.id = p.id AND returned_at IS NULL) || ' for ' ||
		(SELECT coalesce(sum(amount_minor), 0) FROM promotion_redemptions r WHERE r.id = p.id AND returned_at IS NULL) FROM promotions p WHERE id = $1`, p.ID)
}

func (h *house) wantUsed(t testing.TB, p promotion.Promotion, count, minor int) {
	t.Helper()
	if got, want := h.usedOf(t, p), fmt.Sprintf("%d for %d, %d for %d", count, minor, count, minor); got != want {
		t.Errorf("%s is used %q, want %q", p.Code, got, want)
	}
}

func using(in booking.ReserveInput, codes ...string) booking.ReserveInput {
	in.PromoCodes = codes
	return in
}

// TestBK7_single_use asks for one code that counts once, a hundred at a time.
func TestBK7_single_use(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 200})
	single := h.code(t, "SINGLE", func(in *promotion.Input) { in.MaxUses = new(int32(1)) })
	var won, refused atomic.Int32
	together(100, func(i int) {
		result, err := h.booking.Reserve(t.Context(), newViewer(), using(h.request(60+i), "single "))
		switch got := result.(type) {
		case booking.Reserved:
			won.Add(1)
		case booking.PromotionRefused:
			if got.Reason == promotion.UsedUp && got.Code == "SINGLE" {
				refused.Add(1)
			}
		default:
			t.Errorf("%#v, %v", result, err)
		}
	})
	if won.Load() != 1 || refused.Load() != 99 {
		t.Errorf("%d hold with the code, %d are refused", won.Load(), refused.Load())
	}
	h.wantUsed(t, single, 1, 300)
	if n := fixture.Get[int](t, h.DB, `SELECT count(*) FROM seat_claims WHERE showtime_id = $1`, h.Show()); n != 1 {
		t.Errorf("%d seats are taken, want 1", n)
	}
}

// TestBK7_P1_twins makes sure that a request that comes often uses its code once, and is answered the same when the code
// is used up by itself.
func TestBK7_P1_twins(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	single := h.code(t, "SINGLE", func(in *promotion.Input) { in.MaxUses = new(int32(1)) })
	in := using(h.request(11, 12), "SINGLE")
	ids := make([]uuid.UUID, 16)
	together(len(ids), func(i int) {
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		if got, ok := result.(booking.Reserved); ok {
			ids[i] = got.Reservation.ID
		} else {
			t.Errorf("%#v, %v", result, err)
		}
	})
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("reservations %v", ids)
			break
		}
	}
	h.wantUsed(t, single, 1, 600)
	for _, other := range []booking.ReserveInput{using(in), using(in, "OTHERS"), using(in, "SINGLE", "OTHERS")} {
		result, err := h.booking.Reserve(t.Context(), viewer, other)
		refused(t, result, err, apperr.IdempotencyKeyReused)
	}
}

// TestBK7_returned ends reservations in every way, twice and at once: a code is given back once.
func TestBK7_returned(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	two := h.code(t, "TWOTIMES", func(in *promotion.Input) { in.MaxUses, in.Combinable = new(int32(2)), true })
	other := h.code(t, "ANOTHER", func(in *promotion.Input) { in.BasisPoints, in.AmountMinor, in.Combinable = 0, -100, true })
	hold := func(position int) (auth.Viewer, booking.Reservation) {
		t.Helper()
		viewer := newViewer()
		result, err := h.booking.Reserve(t.Context(), viewer, using(h.request(position), "TWOTIMES", "ANOTHER"))
		r := is[booking.Reserved](t, result, err).Reservation
		if r.Total != nzd(800) {
			t.Fatalf("the hold costs %v: %+v", r.Total, r.Lines)
		}
		return viewer, r
	}
	_, kept := hold(11)
	h.wantUsed(t, two, 1, 300)
	for name, end := range map[string]func(viewer auth.Viewer, r booking.Reservation){
		"cancelled": func(viewer auth.Viewer, r booking.Reservation) {
			_, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			if err != nil {
				t.Error(err)
			}
		},
		"expired": func(_ auth.Viewer, r booking.Reservation) {
			h.Expire(t, h.Show(), r.ID)
			if _, _, err := h.booking.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"refunded": func(viewer auth.Viewer, r booking.Reservation) {
			paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
			is[booking.Paid](t, paid, err)
			h.wantUsed(t, two, 2, 600)
			if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r)); err != nil {
				t.Error(err)
			}
		},
		"cancelled_and_swept_at_once": func(viewer auth.Viewer, r booking.Reservation) {
			h.Expire(t, h.Show(), r.ID)
			together(8, func(i int) {
				if i%2 == 0 {
					_, _ = h.booking.Cancel(context.WithoutCancel(t.Context()), viewer, cancelInput(r))
					return
				}
				if _, _, err := h.booking.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			})
			// A sweep passes by what a command has locked, and comes again.
			if _, _, err := h.booking.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			viewer, r := hold(12)
			h.wantUsed(t, two, 2, 600)
			result, err := h.booking.Reserve(t.Context(), newViewer(), using(h.request(13), "TWOTIMES"))
			if got := is[booking.PromotionRefused](t, result, err); got.Reason != promotion.UsedUp {
				t.Errorf("%+v", got)
			}
			end(viewer, r)
			h.wantUsed(t, two, 1, 300)
			h.wantUsed(t, other, 1, 100)
			end2, err := h.booking.Cancel(t.Context(), viewer, cancelInput(r))
			if err != nil && apperr.CodeOf(err) != apperr.Conflict {
				t.Errorf("again: %v, %v", end2, err)
			}
			h.wantUsed(t, two, 1, 300)
		})
	}
	if got := h.stored(t, kept); got != "HELD" {
		t.Errorf("the other hold is %s", got)
	}
}

// TestBK7_refusals gives every reason, in a quote and at the hold, which then keeps nothing.
func TestBK7_refusals(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	other := fixture.New(t, h.DB, fixture.Plan{}).MovieID
	h.code(t, "EARLYBIRD", func(in *promotion.Input) { in.StartsAt = time.Now().Add(time.Minute) })
	h.code(t, "TOOLATE", func(in *promotion.Input) { in.EndsAt = time.Now().Add(-time.Minute) })
	h.code(t, "SWITCHEDOFF", func(in *promotion.Input) { in.Active = false })
	h.code(t, "OTHERMOVIE", func(in *promotion.Input) { in.Scope.MovieIDs = []uuid.UUID{other} })
	h.code(t, "THISMOVIE", func(in *promotion.Input) { in.Scope.MovieIDs = []uuid.UUID{other, h.MovieID} })
	h.code(t, "PREMIUMS", func(in *promotion.Input) { in.Scope.Categories = []string{"PREMIUM"} })
	h.code(t, "CHILDREN", func(in *promotion.Input) { in.Scope.TicketTypes = []pricing.TicketType{pricing.Child} })
	h.code(t, "LITTLELEFT", func(in *promotion.Input) { most := int64(299); in.MaxMinor = &most })
	h.code(t, "ALLSPENT", func(in *promotion.Input) { in.MaxMinor = new(int64(300)) })
	spent, err := h.booking.Reserve(t.Context(), newViewer(), using(h.request(14), "ALLSPENT"))
	is[booking.Reserved](t, spent, err)
	h.code(t, "ONCEEACH", func(in *promotion.Input) { in.PerUser, in.Combinable = new(int32(1)), true })
	h.code(t, "MINGLES", func(in *promotion.Input) { in.Combinable = true })
	result, err := h.booking.Reserve(t.Context(), viewer, using(h.request(11), "ONCEEACH"))
	is[booking.Reserved](t, result, err)
	for _, c := range []struct {
		codes []string
		want  promotion.Reason
	}{
		{[]string{"NOSUCHCODE"}, promotion.Unknown},
		{[]string{"'; DROP \x00 {"}, promotion.Unknown},
		{[]string{"SWITCHEDOFF"}, promotion.Unknown},
		{[]string{"EARLYBIRD"}, promotion.NotYet},
		{[]string{"TOOLATE"}, promotion.Ended},
		{[]string{"OTHERMOVIE"}, promotion.NotForThis},
		{[]string{"PREMIUMS"}, promotion.NotForThis},
		{[]string{"CHILDREN"}, promotion.NotForThis},
		{[]string{"LITTLELEFT"}, promotion.TooLittleLeft},
		{[]string{"ALLSPENT"}, promotion.UsedUp},
		{[]string{"ONCEEACH"}, promotion.LimitReached},
		{[]string{"THISMOVIE", "MINGLES"}, promotion.NotCombinable},
	} {
		in := using(h.request(12), c.codes...)
		asking := asked(in)
		asking.PromoCodes, asking.ViewerID = c.codes, viewer.UserID
		quoted, err := h.booking.Quote(t.Context(), asking)
		if err != nil || len(quoted.Promotions) != len(c.codes) || quoted.Promotions[0].Refusal != c.want {
			t.Errorf("%v: quoted %+v, %v", c.codes, quoted.Promotions, err)
		}
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		if got := is[booking.PromotionRefused](t, result, err); got.Reason != c.want {
			t.Errorf("%v: %+v, want %s", c.codes, got, c.want)
		}
	}
	if got := h.letters(t, 11, 12); got != "HA" {
		t.Errorf("seats %s, want HA", got)
	}
	result, err = h.booking.Reserve(t.Context(), viewer, using(h.request(12), "THISMOVIE"))
	if r := is[booking.Reserved](t, result, err).Reservation; r.Total != nzd(900) {
		t.Errorf("%v", r.Total)
	}
	_, err = h.booking.Quote(t.Context(), booking.QuoteInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(13), PromoCodes: []string{"a", "b", "c", "d"}})
	if e, ok := errors.AsType[*apperr.Error](err); !ok || len(e.Fields) != 1 || e.Fields[0].Path != "input.promoCodes" {
		t.Errorf("four codes: %v", err)
	}
}

// TestBK7_never_below_nothing takes everything off, and more: the tickets cost nothing, and are had without a payment.
func TestBK7_never_below_nothing(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	h.office().rule(t, feeRule)
	all := h.code(t, "ALLOFIT", func(in *promotion.Input) { in.BasisPoints, in.Combinable = -10_000, true })
	more := h.code(t, "ANDMORE", func(in *promotion.Input) { in.BasisPoints, in.AmountMinor, in.Combinable = 0, -5_000, true })
	result, err := h.booking.Reserve(t.Context(), viewer, using(h.request(11, 12), "ALLOFIT"))
	r := is[booking.Reserved](t, result, err).Reservation
	paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	if got := is[booking.Paid](t, paid, err).Reservation; got.Total != nzd(0) || got.Status != booking.StatusConfirmed || len(h.gateway.Charges()) != 0 {
		t.Errorf("%+v, charges %v", got, h.gateway.Charges())
	}
	h.wantUsed(t, all, 1, 2400)
	// Where one code takes all there is, the other is not for these tickets.
	result, err = h.booking.Reserve(t.Context(), viewer, using(h.request(13), "ALLOFIT", "ANDMORE"))
	if got := is[booking.PromotionRefused](t, result, err); got.Reason != promotion.NotForThis {
		t.Errorf("%+v", got)
	}
	h.wantUsed(t, more, 0, 0)
	h.rests(t)
}

// TestA5_guessed_codes makes sure that who asks for many codes that do not exist learns nothing of those that do.
func TestA5_guessed_codes(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	h.code(t, "RIGHTONE", nil)
	ask := func(viewer auth.Viewer, code string) error {
		_, err := h.booking.Quote(t.Context(), booking.QuoteInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(11), PromoCodes: []string{code}, ViewerID: viewer.UserID})
		return err
	}
	for i := range 10 {
		if err := ask(viewer, fmt.Sprintf("GUESS%d", i)); err != nil {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if err := ask(viewer, "RIGHTONE"); apperr.CodeOf(err) != apperr.Throttled {
		t.Errorf("after ten guesses: %v", err)
	}
	result, err := h.booking.Reserve(t.Context(), viewer, using(h.request(11), "RIGHTONE"))
	refused(t, result, err, apperr.Throttled)
	if err := ask(newViewer(), "RIGHTONE"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	// Another process knows of it too.
	result, err = h.process(h.gateway, settings).Reserve(t.Context(), viewer, using(h.request(11), "RIGHTONE"))
	refused(t, result, err, apperr.Throttled)
	// Without a code nothing is kept from anybody.
	result, err = h.booking.Reserve(t.Context(), viewer, h.request(11))
	is[booking.Reserved](t, result, err)
}

// TestBK7_per_customer makes sure that a customer's uses at many showtimes at once never pass the limit.
func TestBK7_per_customer(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 12}), newViewer()
	twice := h.code(t, "TWOEACH", func(in *promotion.Input) { in.PerUser = new(int32(2)) })
	var won atomic.Int32
	together(len(h.Showtimes), func(i int) {
		in := using(h.request(11), "TWOEACH")
		in.ShowtimeID = h.Showtimes[i].ID
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		switch got := result.(type) {
		case booking.Reserved:
			won.Add(1)
		case booking.PromotionRefused:
			if got.Reason != promotion.LimitReached {
				t.Errorf("%+v", got)
			}
		default:
			if apperr.CodeOf(err) != apperr.Unavailable {
				t.Errorf("%#v, %v", result, err)
			}
		}
	})
	if won.Load() != 2 {
		t.Errorf("%d holds with the code, want 2", won.Load())
	}
	h.wantUsed(t, twice, 2, 600)
}

// A code that one customer has once goes over with the seats: what goes for all that comes does not count beside it.
func TestBK7_SwapSeats_code_for_one_use(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	h.policy(t, freely)
	code := h.code(t, "ONLYONCE", func(in *promotion.Input) { in.PerUser = new(int32(1)) })
	reserved, err := h.booking.Reserve(t.Context(), viewer, using(h.request(11, 12), "ONLYONCE"))
	r := is[booking.Reserved](t, reserved, err).Reservation
	result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
	is[booking.Paid](t, result, err)
	swap := func(give []int, take ...int) booking.SwapInput {
		in := h.swapInput(r, give, 1, take...)
		in.Take = using(in.Take, "ONLYONCE")
		return in
	}
	refusedOnce := func(result any, err error) {
		t.Helper()
		if got := is[booking.PromotionRefused](t, result, err); got.Reason != promotion.LimitReached {
			t.Errorf("refused is %+v", got)
		}
	}

	// What stays has the code, so some of its seats leave none.
	some, err := h.booking.SwapSeats(t.Context(), viewer, swap([]int{11}, 11))
	refusedOnce(some, err)
	preview, err := h.booking.PreviewSwap(t.Context(), viewer, swap([]int{11}, 11))
	refusedOnce(preview, err)

	// Given up, a swap leaves everything as it was.
	held, told := h.holds(t, viewer, swap([]int{11, 12}, 11, 12))
	if held.Total != nzd(1800) || told.Due != nzd(0) {
		t.Errorf("%v are due of %v", told.Due, held.Total)
	}
	h.wantUsed(t, code, 2, 1200)
	second, err := h.booking.SwapSeats(t.Context(), viewer, swap([]int{11, 12}, 13, 14))
	refusedOnce(second, err)
	other, err := h.booking.Reserve(t.Context(), viewer, using(h.request(20), "ONLYONCE"))
	refusedOnce(other, err)
	h.cancels(t, viewer, cancelInput(held))
	h.wantUsed(t, code, 1, 600)

	held, _ = h.holds(t, viewer, swap([]int{11, 12}, 11, 12))
	changed, err := h.booking.ChangeSeats(t.Context(), viewer, h.changeTo(held, 12, 13))
	if got := is[booking.Changed](t, changed, err).Reservation; got.Total != nzd(1800) {
		t.Errorf("other seats cost %v", got.Total)
	}
	result, err = h.booking.Pay(t.Context(), viewer, payInput(held))
	is[booking.Paid](t, result, err)
	h.wantUsed(t, code, 1, 600)
	other, err = h.booking.Reserve(t.Context(), viewer, using(h.request(20), "ONLYONCE"))
	refusedOnce(other, err)
	h.rests(t)
}
