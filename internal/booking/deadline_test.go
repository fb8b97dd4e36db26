package booking_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	auditlog "marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/typeid"
)

func holdInput(r booking.Reservation) booking.HoldInput {
	return booking.HoldInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID}
}

// setBack makes a hold look as if its seats had been chosen earlier; its deadline stays.
func (h *house) setBack(t testing.TB, r booking.Reservation, by time.Duration) {
	t.Helper()
	h.Exec(t, `UPDATE reservations SET created_at = created_at - $3 * interval '1 second' WHERE showtime_id = $1 AND id = $2`,
		r.ShowtimeID, r.ID, by.Seconds())
}

// shorten leaves a hold that much time.
func (h *house) shorten(t testing.TB, r booking.Reservation, left time.Duration) {
	t.Helper()
	for table, key := range map[string]string{"reservations": "id", "seat_claims": "reservation_id"} {
		h.Exec(t, `UPDATE `+table+` SET held_until = date_trunc('second', now()) + $3 * interval '1 second' WHERE showtime_id = $1 AND `+key+` = $2`,
			r.ShowtimeID, r.ID, left.Seconds())
	}
}

// offer lets customers of the theater pay later.
func (h *house) offer(t testing.TB, policy booking.PayLaterPolicy) {
	t.Helper()
	if err := h.booking.SetPayLaterPolicy(t.Context(), h.manager(), h.TheaterID, &policy); err != nil {
		t.Fatal(err)
	}
}

// manager returns somebody who manages the theater.
func (h *house) manager() auth.Viewer {
	return auth.Viewer{UserID: typeid.New(), Strong: true, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: h.TheaterID})}
}

func TestService_Extend(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	t.Run("a_hold_gets_its_full_time_again", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats...)
		h.shorten(t, r, time.Minute)
		h.hints.take()
		result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
		got := is[booking.Extended](t, result, err)
		if left := got.Reservation.HeldUntil.Sub(got.ServerTime); left < settings.Hold-time.Second || left > settings.Hold {
			t.Errorf("%s are left, want %s", left, settings.Hold)
		}
		if len(got.Reservation.Seats) != 2 || got.Reservation.Status != booking.StatusHeld || h.hints.take()[h.Show()] != 1 {
			t.Errorf("the reservation is %+v, and one hint is wanted", got.Reservation)
		}
		h.rests(t)
	})
	t.Run("never_beyond_the_limit", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(1)
		r := h.hold(t, viewer, seats...)
		h.setBack(t, r, settings.HoldLimit-2*time.Minute)
		h.shorten(t, r, time.Minute)
		result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
		got := is[booking.Extended](t, result, err).Reservation
		if last := got.CreatedAt.Add(settings.HoldLimit); !got.HeldUntil.Equal(last) {
			t.Errorf("it is held until %s, want %s", got.HeldUntil, last)
		}
		h.hints.take()
		for range 2 {
			result, err = h.booking.Extend(t.Context(), viewer, holdInput(r))
			if again := is[booking.HoldLimitReached](t, result, err); !again.Reservation.HeldUntil.Equal(*got.HeldUntil) || again.ServerTime.IsZero() {
				t.Errorf("the refusal is %+v", again)
			}
		}
		if h.hints.take()[h.Show()] != 0 {
			t.Error("a refusal tells the watchers something")
		}
		h.rests(t)
	})
	t.Run("a_longer_deadline_is_never_shortened", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		h.shorten(t, r, 2*settings.Hold)
		result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
		got := is[booking.Extended](t, result, err)
		if left := got.Reservation.HeldUntil.Sub(got.ServerTime); left <= settings.Hold {
			t.Errorf("%s are left", left)
		}
	})
	t.Run("not_once_it_has_run_out", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		h.Expire(t, r.ShowtimeID, r.ID)
		result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
		if got := is[booking.Expired](t, result, err).Reservation; got.ID != r.ID || got.Status != booking.StatusExpired {
			t.Errorf("the reservation is %+v", got)
		}
		if h.stored(t, r) != "HELD" {
			t.Errorf("it is %s", h.stored(t, r))
		}
	})
	t.Run("not_what_has_ended_or_is_paid", func(t *testing.T) {
		viewer := newViewer()
		paid, cancelled := h.buy(t, viewer, h.fresh(1)...), h.hold(t, viewer, h.fresh(1)...)
		if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(cancelled)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []booking.Reservation{paid, cancelled} {
			result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
			refused(t, result, err, apperr.Conflict)
		}
		h.rests(t)
	})
	t.Run("AZ1_not_by_others", func(t *testing.T) {
		r := h.hold(t, newViewer(), h.fresh(1)...)
		h.shorten(t, r, time.Minute)
		result, err := h.booking.Extend(t.Context(), newViewer(), holdInput(r))
		refused(t, result, err, apperr.NotFound)
		result, err = h.booking.Extend(t.Context(), newViewer(), booking.HoldInput{ShowtimeID: r.ShowtimeID, ReservationID: uuid.New()})
		refused(t, result, err, apperr.NotFound)
		if left := fixture.Get[bool](t, h.DB, `SELECT held_until <= now() + interval '1 minute' FROM reservations WHERE id = $1`, r.ID); !left {
			t.Error("its deadline was moved")
		}
	})
	t.Run("not_while_its_payment_is_under_way", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		h.gateway.Next(gatewaytest.Capture, gatewaytest.Before(func() {
			result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
			refused(t, result, err, apperr.Conflict)
			result2, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
			refused(t, result2, err, apperr.Conflict)
		}))
		result, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Paid](t, result, err)
		h.rests(t)
	})
}

// TestS3_extension_at_the_deadline lets a hold run out while its extension waits: whoever takes the seats then has them,
// and the hold is told that it is over.
func TestS3_extension_at_the_deadline(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	viewer, other := newViewer(), newViewer()
	r := h.hold(t, viewer, 11, 12)
	// The extension has read the reservation as held, and waits for the viewer's turn at the showtime.
	exec, done := h.begin(t)
	exec(`SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, hashtextextended($2::uuid::text, 0)))`, viewer.UserID, h.Show())
	type answer struct {
		result booking.ExtendResult
		err    error
	}
	answers := make(chan answer, 1)
	h.shorten(t, r, 5*time.Minute)
	go func() {
		result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
		answers <- answer{result, err}
	}()
	h.blocked(t, 1)
	// The row is locked by the extension: only the seats can be made to look free.
	h.Exec(t, `UPDATE seat_claims SET held_until = now() - interval '1 second' WHERE reservation_id = $1`, r.ID)
	taken := h.hold(t, other, 11, 12)
	done()
	got := <-answers
	if ended := is[booking.Expired](t, got.result, got.err); ended.Reservation.ID != r.ID {
		t.Errorf("the reservation is %+v", ended.Reservation)
	}
	if mine := fixture.Get[int](t, h.DB, `SELECT count(*) FROM seat_claims WHERE reservation_id = $1`, taken.ID); mine != 2 {
		t.Errorf("who took the seats has %d of 2", mine)
	}
	if again := fixture.Get[bool](t, h.DB, `SELECT held_until < now() + interval '6 minutes' FROM reservations WHERE id = $1`, r.ID); !again {
		t.Error("the extension moved the deadline although the seats were gone")
	}
}

func TestService_PayLater(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	startsAt := fixture.Get[time.Time](t, h.DB, `SELECT starts_at FROM showtimes WHERE id = $1`, h.Show())
	t.Run("not_where_the_theater_does_not_offer_it", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		h.hints.take()
		result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		got := is[booking.PayLaterUnavailable](t, result, err)
		if got.Reason != booking.PayLaterNotOffered || got.Reservation.Status != booking.StatusHeld || h.hints.take()[h.Show()] != 0 {
			t.Errorf("the refusal is %+v, and no hint is wanted", got)
		}
	})
	h.offer(t, booking.PayLaterPolicy{LeadMinutes: 45, MaxOpen: 2})
	t.Run("the_seats_are_kept_until_the_theaters_deadline", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats...)
		h.hints.take()
		for range 2 {
			result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
			got := is[booking.KeptUnpaid](t, result, err)
			payBy := startsAt.Add(-45 * time.Minute)
			if got.Reservation.Status != booking.StatusReserved || !got.Reservation.HeldUntil.Equal(payBy) || !got.Reservation.PayBy.Equal(payBy) || got.ServerTime.IsZero() {
				t.Errorf("the reservation is %+v, want it kept until %s", got.Reservation, payBy)
			}
		}
		if got := h.letters(t, seats...); got != "HH" || h.hints.take()[h.Show()] != 1 {
			t.Errorf("seats %s, want HH and one hint", got)
		}
		result, err := h.booking.Extend(t.Context(), viewer, holdInput(r))
		refused(t, result, err, apperr.Conflict)
		lost, err := h.booking.Reserve(t.Context(), newViewer(), h.request(seats...))
		is[booking.SeatsUnavailable](t, lost, err)
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		if got := is[booking.Paid](t, paid, err).Reservation; got.Status != booking.StatusConfirmed || got.PayBy == nil {
			t.Errorf("the reservation is %+v", got)
		}
		h.rests(t)
	})
	t.Run("it_runs_out_unless_it_is_paid", func(t *testing.T) {
		viewer, seats := newViewer(), h.fresh(2)
		r := h.hold(t, viewer, seats...)
		result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		is[booking.KeptUnpaid](t, result, err)
		h.Expire(t, r.ShowtimeID, r.ID)
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		is[booking.Expired](t, paid, err)
		later, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		is[booking.Expired](t, later, err)
		if _, _, err := h.booking.Sweep(t.Context()); err != nil || h.stored(t, r) != "EXPIRED" {
			t.Errorf("it is %s, %v", h.stored(t, r), err)
		}
		h.hold(t, newViewer(), seats...)
		h.rests(t)
	})
	t.Run("a_card_that_lapses_leaves_the_deadline_that_was_promised", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		payBy := is[booking.KeptUnpaid](t, result, err).Reservation.PayBy
		h.gateway.Next(gatewaytest.Capture, h.gateway.Lapses)
		paid, err := h.booking.Pay(t.Context(), viewer, payInput(r))
		got := is[booking.Declined](t, paid, err)
		if got.Reservation.Status != booking.StatusReserved || !got.Reservation.HeldUntil.Equal(*payBy) || got.ServerTime.IsZero() {
			t.Errorf("the reservation is %+v, want it kept until %s", got.Reservation, payBy)
		}
		h.wantAttempts(t, r, payment.AttemptVoided)
		h.rests(t)
	})
	t.Run("not_more_than_the_theater_allows_even_at_once", func(t *testing.T) {
		viewer := newViewer()
		var held []booking.Reservation
		for range 6 {
			held = append(held, h.hold(t, viewer, h.fresh(1)...))
		}
		var kept, refused atomic.Int64
		together(len(held), func(i int) {
			switch result, err := h.booking.PayLater(t.Context(), viewer, holdInput(held[i])); result := result.(type) {
			case booking.KeptUnpaid:
				kept.Add(1)
			case booking.PayLaterUnavailable:
				refused.Add(1)
				if result.Reason != booking.PayLaterTooMany {
					t.Errorf("the reason is %s", result.Reason)
				}
			default:
				t.Errorf("%#v, %v", result, err)
			}
		})
		if kept.Load() != 2 || refused.Load() != 4 {
			t.Errorf("%d kept and %d refused, want 2 and 4", kept.Load(), refused.Load())
		}
		h.rests(t)
	})
	t.Run("not_when_the_deadline_comes_before_the_holds", func(t *testing.T) {
		h.Exec(t, `UPDATE showtimes SET starts_at = now() + interval '50 minutes' WHERE id = $1`, h.Show())
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		if got := is[booking.PayLaterUnavailable](t, result, err); got.Reason != booking.PayLaterTooLate || got.Reservation.Status != booking.StatusHeld {
			t.Errorf("the refusal is %+v", got)
		}
		h.Exec(t, `UPDATE showtimes SET starts_at = $2 WHERE id = $1`, h.Show(), startsAt)
	})
	t.Run("not_for_a_showtime_that_was_called_off", func(t *testing.T) {
		viewer := newViewer()
		r := h.hold(t, viewer, h.fresh(1)...)
		h.Exec(t, `UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, h.Show())
		result, err := h.booking.PayLater(t.Context(), viewer, holdInput(r))
		if got := is[booking.PayLaterUnavailable](t, result, err); got.Reason != booking.PayLaterNotOffered {
			t.Errorf("the refusal is %+v", got)
		}
		h.Exec(t, `UPDATE showtimes SET status = 'SCHEDULED' WHERE id = $1`, h.Show())
	})
	t.Run("what_is_paid_or_over_is_not_kept", func(t *testing.T) {
		viewer := newViewer()
		paid := h.buy(t, viewer, h.fresh(1)...)
		result, err := h.booking.PayLater(t.Context(), viewer, holdInput(paid))
		refused(t, result, err, apperr.Conflict)
		r := h.hold(t, newViewer(), h.fresh(1)...)
		result, err = h.booking.PayLater(t.Context(), viewer, holdInput(r))
		refused(t, result, err, apperr.NotFound)
		if h.stored(t, r) != "HELD" {
			t.Errorf("it is %s", h.stored(t, r))
		}
	})
}

func TestService_SetPayLaterPolicy(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{})
	policies := func(t *testing.T) map[uuid.UUID]booking.PayLaterPolicy {
		t.Helper()
		found, err := h.booking.PayLaterPolicies(t.Context(), []uuid.UUID{h.TheaterID, uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	entries := func(t *testing.T) int {
		t.Helper()
		return fixture.Get[int](t, h.DB, `SELECT count(*) FROM audit_entries WHERE action = $1 AND theater_id = $2`, auditlog.PayLaterPolicySet, h.TheaterID)
	}
	one := booking.PayLaterPolicy{LeadMinutes: 60, MaxOpen: 3}
	t.Run("only_its_managers", func(t *testing.T) {
		elsewhere := auth.Viewer{UserID: typeid.New(), Strong: true, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: typeid.New()})}
		for _, viewer := range []auth.Viewer{newViewer(), elsewhere} {
			refused(t, nil, h.booking.SetPayLaterPolicy(t.Context(), viewer, h.TheaterID, &one), apperr.Forbidden)
		}
		if len(policies(t)) != 0 || entries(t) != 0 {
			t.Errorf("%v, %d entries", policies(t), entries(t))
		}
	})
	t.Run("terms_within_bounds", func(t *testing.T) {
		for _, bad := range []booking.PayLaterPolicy{{LeadMinutes: -1, MaxOpen: 1}, {LeadMinutes: 10081, MaxOpen: 1}, {MaxOpen: 0}, {MaxOpen: 101}} {
			refused(t, nil, h.booking.SetPayLaterPolicy(t.Context(), h.manager(), h.TheaterID, &bad), apperr.BadUserInput)
		}
		for _, good := range []booking.PayLaterPolicy{{LeadMinutes: 0, MaxOpen: 1}, {LeadMinutes: 10080, MaxOpen: 100}, one} {
			h.offer(t, good)
			if got := policies(t); len(got) != 1 || got[h.TheaterID] != good {
				t.Errorf("%+v, want %+v", got, good)
			}
		}
	})
	t.Run("every_change_is_recorded", func(t *testing.T) {
		before := entries(t)
		if err := h.booking.SetPayLaterPolicy(t.Context(), h.manager(), h.TheaterID, nil); err != nil || len(policies(t)) != 0 {
			t.Fatalf("%v, %v", err, policies(t))
		}
		if entries(t) != before+1 {
			t.Errorf("%d entries, want %d", entries(t), before+1)
		}
		was := fixture.Get[string](t, h.DB, `SELECT before::text || ' ' || coalesce(after::text, 'nothing') FROM audit_entries
			WHERE action = $1 ORDER BY id DESC LIMIT 1`, auditlog.PayLaterPolicySet)
		if was != `{"leadMinutes":60,"maxOpen":3} nothing` {
			t.Errorf("the entry says %s", was)
		}
	})
	t.Run("an_unknown_theater", func(t *testing.T) {
		unknown := typeid.New()
		viewer := auth.Viewer{UserID: typeid.New(), Strong: true, Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: unknown})}
		refused(t, nil, h.booking.SetPayLaterPolicy(t.Context(), viewer, unknown, &one), apperr.NotFound)
	})
}
