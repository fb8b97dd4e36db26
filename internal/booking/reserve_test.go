package booking_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

func TestService_Reserve(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	t.Run("free_seats_are_held", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		result, err := h.booking.Reserve(t.Context(), viewer, h.request(22, 21, 11))
		got := is[booking.Reserved](t, result, err)
		r := got.Reservation
		want := booking.Reservation{
			ShowtimeID: h.Show(), ID: r.ID, ViewerID: viewer.UserID, Status: booking.StatusHeld, Positions: []int16{11, 21, 22},
			Total: nzd(1200 + 2*1800),
			Lines: []booking.Line{
				seatsLine("2 x Adult, Premium", theater.CategoryPremium, pricing.Adult, 2, 1800),
				seatsLine("1 x Adult, Standard", theater.CategoryStandard, pricing.Adult, 1, 1200),
			},
			Seats: r.Seats, HeldUntil: r.HeldUntil, CreatedAt: r.CreatedAt, Stored: r.Stored,
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Error(diff)
		}
		if got := idsOf(r.Seats); !slices.Equal(got, h.SeatIDs(11, 21, 22)) {
			t.Errorf("seats %v", r.Seats)
		}
		if left := r.HeldUntil.Sub(got.ServerTime); left != settings.Hold {
			t.Errorf("held for %s by the server's clock, want %s", left, settings.Hold)
		}
		read, err := h.booking.Reservation(t.Context(), viewer, r.ShowtimeID, r.ID)
		if diff := cmp.Diff(r, read, sameInstant); err != nil || diff != "" {
			t.Errorf("read again: %v, %s", err, diff)
		}
		if got := h.letters(t, 10, 11, 12, 21, 22, 23); got != "AHAHHA" {
			t.Errorf("seats %s, want AHAHHA", got)
		}
		if got := h.hints.take(); got[h.Show()] != 1 || len(got) != 1 {
			t.Errorf("hints %v, want one", got)
		}
	})
	t.Run("the_same_key_gives_the_same_reservation", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		in := h.request(11, 12)
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		first := is[booking.Reserved](t, result, err).Reservation
		slices.Reverse(in.SeatIDs)
		result, err = h.process(h.gateway, settings).Reserve(t.Context(), viewer, in)
		again := is[booking.Reserved](t, result, err).Reservation
		if diff := cmp.Diff(first, again, sameInstant); diff != "" {
			t.Error(diff)
		}
		// As it stands: also when it has expired, and when the showtime has closed meanwhile.
		h.Expire(t, h.Show(), first.ID)
		h.Exec(t, `UPDATE showtime_sales SET status = 'CLOSED' WHERE showtime_id = $1`, h.Show())
		result, err = h.booking.Reserve(t.Context(), viewer, in)
		late := is[booking.Reserved](t, result, err).Reservation
		if late.ID != first.ID || late.Status != booking.StatusExpired || late.HeldUntil != nil {
			t.Errorf("after the deadline it is %+v", late)
		}
	})
	t.Run("the_same_key_for_other_seats_is_refused", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		in := h.request(11)
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		is[booking.Reserved](t, result, err)
		for _, seats := range [][]uuid.UUID{h.SeatIDs(12), h.SeatIDs(11, 12)} {
			in.SeatIDs = seats
			result, err = h.booking.Reserve(t.Context(), viewer, in)
			refused(t, result, err, apperr.IdempotencyKeyReused)
		}
		if got := h.letters(t, 11, 12); got != "HA" {
			t.Errorf("seats %s, want HA", got)
		}
	})
	t.Run("a_key_belongs_to_its_viewer", func(t *testing.T) {
		t.Parallel()
		h := houseIn(t, db, fixture.Plan{})
		in := h.request(11)
		result, err := h.booking.Reserve(t.Context(), newViewer(), in)
		is[booking.Reserved](t, result, err)
		in.SeatIDs = h.SeatIDs(12)
		result, err = h.booking.Reserve(t.Context(), newViewer(), in)
		is[booking.Reserved](t, result, err)
	})
	t.Run("the_key_of_a_payment_is_refused", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		pay := payInput(h.hold(t, viewer, 11))
		if _, err := h.booking.Pay(t.Context(), viewer, pay); err != nil {
			t.Fatal(err)
		}
		in := h.request(12)
		in.IdempotencyKey = pay.IdempotencyKey
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		refused(t, result, err, apperr.IdempotencyKeyReused)
	})
	t.Run("the_key_of_a_payment_that_is_just_beginning_is_refused", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		in := h.request(12)
		exec, commit := h.begin(t)
		exec(`INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
			VALUES ($1, $2, $3, 'PAY', '', gen_random_uuid())`, h.Show(), viewer.UserID, in.IdempotencyKey)
		var result booking.ReserveResult
		var err error
		var call sync.WaitGroup
		call.Go(func() { result, err = h.booking.Reserve(t.Context(), viewer, in) })
		h.blocked(t, 1)
		commit()
		call.Wait()
		refused(t, result, err, apperr.IdempotencyKeyReused)
	})
	t.Run("parallel_twins_are_one_reservation", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{}), newViewer()
		in := h.request(11, 12, 13)
		const twins = 50
		var results [twins]booking.ReserveResult
		var errs [twins]error
		together(twins, func(i int) { results[i], errs[i] = h.booking.Reserve(t.Context(), viewer, in) })
		for i := range twins {
			got := is[booking.Reserved](t, results[i], errs[i]).Reservation
			first := results[0].(booking.Reserved).Reservation
			if diff := cmp.Diff(first, got, sameInstant); diff != "" {
				t.Fatalf("twin %d: %s", i, diff)
			}
		}
		if n := fixture.Get[int](t, db, `SELECT count(*) FROM reservations WHERE showtime_id = $1`, h.Show()); n != 1 {
			t.Errorf("%d reservations, want one", n)
		}
		if got := h.letters(t, 10, 11, 12, 13, 14); got != "AHHHA" {
			t.Errorf("seats %s, want AHHHA", got)
		}
	})
}

func TestService_Reserve_bad_input(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	h, other, viewer := houseIn(t, db, fixture.Plan{}), houseIn(t, db, fixture.Plan{}), newViewer()
	h.Exec(t, `DELETE FROM price_tiers WHERE showtime_id = $1 AND category = 'PREMIUM'`, h.Show())
	everything := make([]int, len(h.Seats))
	for i := range everything {
		everything[i] = i + 1
	}
	for name, test := range map[string]struct {
		spoil  func(*booking.ReserveInput)
		code   apperr.Code
		fields []string
	}{
		"no_seat": {func(in *booking.ReserveInput) { in.SeatIDs = nil }, apperr.BadUserInput, []string{"input.seatIds"}},
		"a_seat_twice": {
			func(in *booking.ReserveInput) { in.SeatIDs = h.SeatIDs(11, 12, 11) }, apperr.BadUserInput, []string{"input.seatIds.2"},
		},
		"a_seat_of_another_layout": {
			func(in *booking.ReserveInput) { in.SeatIDs = append(h.SeatIDs(11), other.SeatIDs(12)...) }, apperr.BadUserInput, []string{"input.seatIds.1"},
		},
		"an_unknown_seat": {
			func(in *booking.ReserveInput) { in.SeatIDs = []uuid.UUID{typeid.New()} }, apperr.BadUserInput, []string{"input.seatIds.0"},
		},
		"a_thousand_unknown_seats": {
			func(in *booking.ReserveInput) {
				in.SeatIDs = make([]uuid.UUID, 1000)
				for i := range in.SeatIDs {
					in.SeatIDs[i] = typeid.New()
				}
			}, apperr.BadUserInput, nil,
		},
		"a_seat_that_is_not_sold": {
			func(in *booking.ReserveInput) { in.SeatIDs = h.SeatIDs(20, 21) }, apperr.BadUserInput, []string{"input.seatIds"},
		},
		"no_key": {func(in *booking.ReserveInput) { in.IdempotencyKey = "" }, apperr.BadUserInput, []string{"input.idempotencyKey"}},
		"a_key_of_seven": {
			func(in *booking.ReserveInput) { in.IdempotencyKey = "1234567" }, apperr.BadUserInput, []string{"input.idempotencyKey"},
		},
		"a_key_of_ten_thousand": {
			func(in *booking.ReserveInput) { in.IdempotencyKey = strings.Repeat("k", 10_000) }, apperr.BadUserInput, []string{"input.idempotencyKey"},
		},
		"a_key_that_is_no_text": {
			func(in *booking.ReserveInput) { in.IdempotencyKey = "12345678\xff" }, apperr.BadUserInput, []string{"input.idempotencyKey"},
		},
		"a_key_with_a_zero": {
			func(in *booking.ReserveInput) { in.IdempotencyKey = "12345678\x00" }, apperr.BadUserInput, []string{"input.idempotencyKey"},
		},
		"everything_at_once": {
			func(in *booking.ReserveInput) { in.SeatIDs, in.IdempotencyKey = nil, "" }, apperr.BadUserInput,
			[]string{"input.idempotencyKey", "input.seatIds"},
		},
		"an_unknown_showtime": {func(in *booking.ReserveInput) { in.ShowtimeID = typeid.New() }, apperr.NotFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := h.request(11)
			test.spoil(&in)
			result, err := h.booking.Reserve(t.Context(), viewer, in)
			refused(t, result, err, test.code)
			var fields []string
			refusal, _ := errors.AsType[*apperr.Error](err)
			for _, field := range refusal.Fields {
				fields = append(fields, field.Path)
			}
			if test.fields != nil && !slices.Equal(fields, test.fields) {
				t.Errorf("the error names %v, want %v", fields, test.fields)
			}
		})
	}
	t.Run("the_whole_screen_is_above_the_limit", func(t *testing.T) {
		t.Parallel()
		full := houseIn(t, db, fixture.Plan{})
		result, err := full.booking.Reserve(t.Context(), viewer, full.request(everything...))
		if got, want := is[booking.LimitExceeded](t, result, err), (booking.LimitExceeded{Of: booking.LimitOfCustomer, Limit: 10, Remaining: 10}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
	t.Run("keys_of_8_and_255_characters_are_good", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{"12345678", strings.Repeat("ü", 255)} {
			in := booking.ReserveInput{SeatIDs: h.SeatIDs(11), IdempotencyKey: key}
			if err := in.Validate(); err != nil {
				t.Errorf("%d bytes: %v", len(key), err)
			}
		}
	})
}

func TestService_Reserve_closed_showtime(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for name, test := range map[string]struct {
		statement string
		want      showtime.ClosedReason
	}{
		"not_yet_open": {`UPDATE showtime_sales SET opens_at = now() + interval '1 minute' WHERE showtime_id = $1`, showtime.ClosedNotYetOpen},
		"ended":        {`UPDATE showtime_sales SET closes_at = now() - interval '1 second' WHERE showtime_id = $1`, showtime.ClosedSalesEnded},
		"closed":       {`UPDATE showtime_sales SET status = 'CLOSED' WHERE showtime_id = $1`, showtime.ClosedSalesEnded},
		"cancelled": {
			`WITH cancelled AS (UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1)
				UPDATE showtime_sales SET status = 'CLOSED' WHERE showtime_id = $1`, showtime.ClosedCancelled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := houseIn(t, db, fixture.Plan{})
			h.hold(t, newViewer(), 11) // what is in memory does not keep the doors open
			if quoted, err := h.booking.Quote(t.Context(), asked(h.request(12))); err != nil || quoted.Closed != nil {
				t.Errorf("the quote before is %+v, %v", quoted, err)
			}
			h.Exec(t, test.statement, h.Show())
			result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(12))
			if got := is[booking.ShowtimeClosed](t, result, err).Reason; got != test.want {
				t.Errorf("closed because %s, want %s", got, test.want)
			}
			if got := h.letters(t, 12); got != "A" {
				t.Errorf("the seat is %s", got)
			}
			// Who asks before is told the same, and offered nothing.
			h = houseAgain(h)
			quoted, err := h.booking.Quote(t.Context(), asked(h.request(12)))
			if err != nil || quoted.Closed == nil || *quoted.Closed != test.want || quoted.Total != nzd(1200) {
				t.Errorf("the quote is %+v, %v", quoted, err)
			}
			best, err := h.booking.Best(t.Context(), booking.BestInput{ShowtimeID: h.Show(), Seats: 2, Limit: 3})
			if err != nil || len(best) != 0 {
				t.Errorf("the best seats are %+v, %v", best, err)
			}
			checked, err := h.booking.Check(t.Context(), uuid.Nil, booking.CheckInput{ShowtimeID: h.Show(), SeatIDs: h.SeatIDs(11)})
			if err != nil || len(checked.Problems) != 2 || checked.Problems[0].Closed != test.want || len(checked.Alternatives) != 0 {
				t.Errorf("the check is %+v, %v", checked, err)
			}
		})
	}
}

func TestService_Reserve_price(t *testing.T) {
	t.Parallel()
	const raise = `WITH raised AS (UPDATE price_tiers SET amount_minor = amount_minor + 100 WHERE showtime_id = $1)
		UPDATE showtime_sales SET price_version = price_version + 1 WHERE showtime_id = $1`
	t.Run("a_price_in_memory_is_not_charged_when_it_has_changed", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		if got := h.hold(t, newViewer(), 11).Total; got != nzd(1200) {
			t.Fatalf("the total is %v", got)
		}
		h.Exec(t, raise, h.Show())
		r := h.hold(t, newViewer(), 12)
		if r.Total != nzd(1300) || r.Lines[0].UnitPrice != nzd(1300) {
			t.Errorf("the total is %v by %v, want 1300", r.Total, r.Lines)
		}
		if stored := fixture.Get[int64](t, h.DB, `SELECT amount_minor FROM reservations WHERE id = $1`, r.ID); stored != 1300 {
			t.Errorf("%d is stored, want 1300", stored)
		}
	})
	t.Run("no_more_than_was_agreed_to", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		most := int64(1200)
		in := h.request(11)
		in.MostMinor = &most
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		r := is[booking.Reserved](t, result, err).Reservation
		h.Exec(t, raise, h.Show())
		// What is in memory is cheaper than what is asked for, and what was done stays done.
		result, err = h.booking.Reserve(t.Context(), viewer, in)
		if again := is[booking.Reserved](t, result, err).Reservation; again.ID != r.ID {
			t.Errorf("the same request made %s and %s", r.ID, again.ID)
		}
		other := h.request(12)
		other.MostMinor = &most
		result, err = h.booking.Reserve(t.Context(), viewer, other)
		if got := is[booking.PriceTooHigh](t, result, err); got.Total != nzd(1300) {
			t.Errorf("refused with %+v", got)
		}
		result, err = h.booking.Reserve(t.Context(), viewer, in)
		if again := is[booking.Reserved](t, result, err).Reservation; again.ID != r.ID {
			t.Errorf("at a higher price the same request made %s and %s", r.ID, again.ID)
		}
		change := h.changeTo(r, 12)
		change.MostMinor = &most
		changed, err := h.booking.ChangeSeats(t.Context(), viewer, change)
		if got := is[booking.PriceTooHigh](t, changed, err); got.Total != nzd(1300) {
			t.Errorf("refused with %+v", got)
		}
		if got := h.letters(t, 11, 12); got != "HA" {
			t.Errorf("the seats are %s", got)
		}
		// Another limit is another request, whatever it comes to.
		most = 1300
		_, err = h.booking.Reserve(t.Context(), viewer, in)
		refused(t, nil, err, apperr.IdempotencyKeyReused)
		result, err = h.booking.Reserve(t.Context(), viewer, other)
		is[booking.Reserved](t, result, err)
		h.Exec(t, `WITH cut AS (UPDATE price_tiers SET amount_minor = 1000 WHERE showtime_id = $1)
			UPDATE showtime_sales SET price_version = price_version + 1 WHERE showtime_id = $1`, h.Show())
		// What is in memory is dearer than what is asked for.
		least, cheaper := int64(1000), h.request(13)
		cheaper.MostMinor = &least
		result, err = h.booking.Reserve(t.Context(), viewer, cheaper)
		if got := is[booking.Reserved](t, result, err).Reservation.Total; got != nzd(1000) {
			t.Errorf("the total is %v", got)
		}
	})
	t.Run("another_currency_is_a_change", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, fixture.Plan{})
		h.hold(t, newViewer(), 11)
		h.Exec(t, `UPDATE showtime_sales SET currency = 'AUD' WHERE showtime_id = $1`, h.Show())
		if got, want := h.hold(t, newViewer(), 12).Total, (money.Money{AmountMinor: 1200, Currency: "AUD"}); got != want {
			t.Errorf("the total is %v, want %v", got, want)
		}
	})
	t.Run("a_held_price_is_frozen", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{}), newViewer()
		r := h.hold(t, viewer, 11)
		h.Exec(t, raise, h.Show())
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		if got := is[booking.Paid](t, result, err).Reservation.Total; got != nzd(1200) || h.captured() != 1200 {
			t.Errorf("paid %v, captured %d; want 1200", got, h.captured())
		}
		h.rests(t)
	})
	// The price changes just before each of the first claims reaches the database.
	for name, test := range map[string]struct {
		changes int32
		total   int64 // 0: refused
	}{
		"a_change_on_the_way_is_noticed":         {1, 1300},
		"two_changes_on_the_way_are_noticed":     {2, 1400},
		"who_never_sees_a_price_hold_is_refused": {3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left atomic.Int32
			var onClaim func()
			url := dbtest.NewURL(t)
			h := houseIn(t, openAt(t, url, func(sql string) {
				if strings.Contains(sql, "claim_seats") && left.Add(-1) >= 0 {
					onClaim()
				}
			}), fixture.Plan{})
			onClaim = func() { h.Exec(t, raise, h.Show()) }
			left.Store(test.changes)
			result, err := h.booking.Reserve(t.Context(), newViewer(), h.request(11))
			if test.total == 0 {
				refused(t, result, err, apperr.Unavailable)
				if got := h.letters(t, 11); got != "A" {
					t.Errorf("the seat is %s", got)
				}
				return
			}
			if got := is[booking.Reserved](t, result, err).Reservation.Total; got != nzd(test.total) {
				t.Errorf("the total is %v, want %d", got, test.total)
			}
		})
	}
}

func TestService_Reserve_limit(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	t.Run("a_customer_has_no_more_seats_than_one_may", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{MaxSeats: 4}), newViewer()
		h.buy(t, viewer, 11, 12)
		held := h.hold(t, viewer, 13)
		result, err := h.booking.Reserve(t.Context(), viewer, h.request(14, 15))
		if got, want := is[booking.LimitExceeded](t, result, err), (booking.LimitExceeded{Of: booking.LimitOfCustomer, Limit: 4, Remaining: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		// What is another's, cancelled or expired does not count.
		h.hold(t, newViewer(), 14, 15, 16, 17)
		h.Expire(t, h.Show(), held.ID)
		back := h.hold(t, viewer, 18, 19)
		if result, err := h.booking.Cancel(t.Context(), viewer, cancelInput(back)); err != nil {
			t.Fatalf("%v, %v", result, err)
		}
		h.hold(t, viewer, 13, 18)
		result, err = h.booking.Reserve(t.Context(), viewer, h.request(20))
		if got, want := is[booking.LimitExceeded](t, result, err), (booking.LimitExceeded{Of: booking.LimitOfCustomer, Limit: 4}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
	t.Run("each_showtime_counts_for_itself", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{MaxSeats: 2, Showtimes: 2}), newViewer()
		h.hold(t, viewer, 11, 12)
		in := h.request(11, 12)
		in.ShowtimeID = h.Showtimes[1].ID
		result, err := h.booking.Reserve(t.Context(), viewer, in)
		is[booking.Reserved](t, result, err)
	})
	t.Run("parallel_requests_do_not_get_past_it", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{Seats: 100, MaxSeats: 10}), newViewer()
		var reserved, exceeded atomic.Int32
		together(50, func(i int) {
			result, err := h.booking.Reserve(t.Context(), viewer, h.request(2*i+1, 2*i+2))
			switch result.(type) {
			case booking.Reserved:
				reserved.Add(1)
			case booking.LimitExceeded:
				exceeded.Add(1)
			default:
				t.Errorf("%#v, %v", result, err)
			}
		})
		if reserved.Load() != 5 || exceeded.Load() != 45 {
			t.Errorf("%d reserved and %d refused, want 5 and 45", reserved.Load(), exceeded.Load())
		}
		const seats = `SELECT sum(cardinality(seats)) FROM reservations WHERE showtime_id = $1`
		if n := fixture.Get[int](t, db, seats, h.Show()); n != 10 {
			t.Errorf("%d seats, want 10", n)
		}
	})
	// A payment that secures an expired hold beside a claim that no longer counts it would give both.
	t.Run("a_hold_is_not_secured_after_its_deadline", func(t *testing.T) {
		t.Parallel()
		h, viewer := houseIn(t, db, fixture.Plan{MaxSeats: 2}), newViewer()
		r := h.hold(t, viewer, 11, 12)
		tx := h.beginTx(t)
		var began time.Time
		if err := tx.QueryRowContext(t.Context(), `SELECT now()`).Scan(&began); err != nil {
			t.Fatal(err)
		}
		// The payment's transaction has begun before the deadline and goes on after it.
		for table, key := range map[string]string{"reservations": "id", "seat_claims": "reservation_id"} {
			h.Exec(t, `UPDATE `+table+` SET held_until = $2 WHERE `+key+` = $1`, r.ID, began.Add(time.Microsecond))
		}
		h.hold(t, viewer, 13, 14)
		var secured bool
		if err := tx.QueryRowContext(t.Context(), `SELECT secure_reservation($1, $2)`, h.Show(), r.ID).Scan(&secured); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil || secured {
			t.Errorf("secured %t, %v: the customer has four seats of two", secured, err)
		}
	})
	t.Run("a_claim_waits_for_the_payment_that_secures", func(t *testing.T) {
		t.Parallel()
		h, viewer := newHouse(t, fixture.Plan{MaxSeats: 2}), newViewer()
		r := h.hold(t, viewer, 11, 12)
		exec, commit := h.begin(t)
		exec(`SELECT secure_reservation($1, $2)`, h.Show(), r.ID)
		h.Exec(t, `SELECT 1`)
		var result booking.ReserveResult
		var err error
		var call sync.WaitGroup
		call.Go(func() { result, err = h.booking.Reserve(t.Context(), viewer, h.request(13, 14)) })
		h.blocked(t, 1)
		commit()
		call.Wait()
		is[booking.LimitExceeded](t, result, err)
	})
}

func TestService_Reserve_ended_context(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	ended, end := context.WithCancel(t.Context())
	end()
	if result, err := h.booking.Reserve(ended, newViewer(), h.request(11)); err == nil {
		t.Errorf("the result is %#v", result)
	}
	if got := h.letters(t, 11); got != "A" {
		t.Errorf("the seat is %s", got)
	}
}

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: fixture.Currency} }

func idsOf(seats []theater.Seat) []uuid.UUID {
	ids := make([]uuid.UUID, len(seats))
	for i, seat := range seats {
		ids[i] = seat.ID
	}
	return ids
}

// sameInstant compares times by what they mean, whatever the session's zone.
var sameInstant = cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })

// openAt opens a database of the test's own and reports each statement to it.
func openAt(t *testing.T, url string, onStatement func(sql string)) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 8, OnStatement: onStatement})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
