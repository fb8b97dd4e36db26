package booking_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/page"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

func TestService_Reservation(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer()
	r := h.hold(t, viewer, 12, 11)
	read, err := h.booking.Reservation(t.Context(), viewer, r.ShowtimeID, r.ID)
	if diff := cmp.Diff(r, read, sameInstant); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	foreign, foreignErr := h.booking.Reservation(t.Context(), newViewer(), r.ShowtimeID, r.ID)
	refused(t, foreign, foreignErr, apperr.NotFound)
	for name, key := range map[string][2]uuid.UUID{
		"missing": {r.ShowtimeID, typeid.New()}, "of another showtime": {h.Showtimes[1].ID, r.ID},
	} {
		got, err := h.booking.Reservation(t.Context(), viewer, key[0], key[1])
		refused(t, got, err, apperr.NotFound)
		if err.Error() != foreignErr.Error() {
			t.Errorf("%s: %q can be told from %q", name, err, foreignErr)
		}
	}
	show, id, err := typeid.DecodeIn(typeid.Reservation, r.NodeID())
	if err != nil || show != r.ShowtimeID || id != r.ID {
		t.Errorf("%s names %s, %s, %v", r.NodeID(), show, id, err)
	}
}

func TestService_Reservations(t *testing.T) {
	t.Parallel()
	var statements dbtest.Statements
	h := newHouse(t, fixture.Plan{Showtimes: 2}, dbtest.Record(&statements))
	viewer := newViewer()
	held, paid := h.hold(t, viewer, 11), h.buy(t, viewer, 12)
	expired, cancelled := h.hold(t, viewer, 13), h.hold(t, viewer, 14)
	h.Expire(t, h.Show(), expired.ID)
	if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(cancelled)); err != nil {
		t.Fatal(err)
	}
	in := h.request(11)
	in.ShowtimeID = h.Showtimes[1].ID
	result, err := h.booking.Reserve(t.Context(), viewer, in)
	elsewhere := is[booking.Reserved](t, result, err).Reservation
	h.hold(t, newViewer(), 15)
	newest := []uuid.UUID{elsewhere.ID, cancelled.ID, expired.ID, paid.ID, held.ID}
	is := func(s booking.Status) *booking.Status { return &s }
	key := func(r booking.Reservation) []string { return r.CursorKey() }
	for name, test := range map[string]struct {
		status               *booking.Status
		request              page.Request
		want                 []uuid.UUID
		hasNext, hasPrevious bool
	}{
		"all_newest_first":   {nil, page.Request{Limit: 100}, newest, false, false},
		"the_first_two":      {nil, page.Request{Limit: 2}, newest[:2], true, false},
		"the_next_two":       {nil, page.Request{Limit: 2, After: key(cancelled)}, newest[2:4], true, true},
		"the_rest":           {nil, page.Request{Limit: 2, After: key(paid)}, newest[4:], false, true},
		"the_last_two":       {nil, page.Request{Limit: 2, Backward: true}, newest[3:], false, true},
		"two_before_another": {nil, page.Request{Limit: 2, Backward: true, Before: key(paid)}, newest[1:3], true, true},
		"held":               {is(booking.StatusHeld), page.Request{Limit: 100}, []uuid.UUID{elsewhere.ID, held.ID}, false, false},
		"expired":            {is(booking.StatusExpired), page.Request{Limit: 100}, []uuid.UUID{expired.ID}, false, false},
		"confirmed":          {is(booking.StatusConfirmed), page.Request{Limit: 100}, []uuid.UUID{paid.ID}, false, false},
		"cancelled":          {is(booking.StatusCancelled), page.Request{Limit: 100}, []uuid.UUID{cancelled.ID}, false, false},
		"reserved":           {is(booking.StatusReserved), page.Request{Limit: 100}, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			statements.Take()
			got, err := h.booking.Reservations(t.Context(), viewer, test.status, test.request)
			if err != nil {
				t.Fatal(err)
			}
			if texts := statements.Take(); len(texts) != 1 {
				t.Errorf("%d statements: %q", len(texts), texts)
			}
			var ids []uuid.UUID
			for _, r := range got.Items {
				ids = append(ids, r.ID)
				if len(r.Seats) != 1 || r.Seats[0].Position != r.Positions[0] {
					t.Errorf("reservation %s has the seats %v", r.ID, r.Seats)
				}
			}
			if !slices.Equal(ids, test.want) || got.HasNext != test.hasNext || got.HasPrevious != test.hasPrevious {
				t.Errorf("%v, next %t, previous %t; want %v, %t, %t", ids, got.HasNext, got.HasPrevious, test.want, test.hasNext, test.hasPrevious)
			}
		})
	}
	t.Run("of_nobody", func(t *testing.T) {
		got, err := h.booking.Reservations(t.Context(), newViewer(), nil, page.Request{Limit: 100})
		if err != nil || len(got.Items) != 0 || got.HasNext || got.HasPrevious {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestService_Tickets(t *testing.T) {
	t.Parallel()
	var statements dbtest.Statements
	h := newHouse(t, fixture.Plan{}, dbtest.Record(&statements))
	viewer, other := newViewer(), newViewer()
	first, second, held := h.buy(t, viewer, 13, 11, 12), h.buy(t, other, 15), h.hold(t, viewer, 16)
	statements.Take()
	found, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{
		first.Reference(), second.Reference(), held.Reference(), {ShowtimeID: h.Show(), ID: typeid.New()},
	})
	if texts := statements.Take(); err != nil || len(texts) != 1 {
		t.Errorf("%v, statements %q", err, texts)
	}
	var seats []string
	for _, ticket := range found[first.Reference()] {
		seats = append(seats, ticket.Seat.Label())
	}
	if !slices.Equal(seats, []string{"B1", "B2", "B3"}) || len(found) != 2 || len(found[second.Reference()]) != 1 {
		t.Errorf("tickets %+v", found)
	}
	ticket := found[first.Reference()][0]
	got, err := h.booking.Ticket(t.Context(), viewer, ticket.ShowtimeID, ticket.ID)
	if err != nil || got != ticket {
		t.Errorf("%+v, %v; want %+v", got, err, ticket)
	}
	foreign, foreignErr := h.booking.Ticket(t.Context(), other, ticket.ShowtimeID, ticket.ID)
	refused(t, foreign, foreignErr, apperr.NotFound)
	missing, err := h.booking.Ticket(t.Context(), viewer, ticket.ShowtimeID, typeid.New())
	refused(t, missing, err, apperr.NotFound)
	if err.Error() != foreignErr.Error() {
		t.Errorf("%q can be told from %q", err, foreignErr)
	}
	show, id, err := typeid.DecodeIn(typeid.Ticket, ticket.NodeID())
	if err != nil || show != h.Show() || id != ticket.ID {
		t.Errorf("%s names %s, %s, %v", ticket.NodeID(), show, id, err)
	}
}

// A row that does not fit its layout is a fault that is told, never a wrong seat.
func TestService_Tickets_of_no_seat(t *testing.T) {
	t.Parallel()
	h, viewer := newHouse(t, fixture.Plan{}), newViewer()
	r := h.buy(t, viewer, 11)
	h.Exec(t, `UPDATE tickets SET seat_no = 999`)
	if found, err := h.booking.TicketsByReservation(t.Context(), []payment.Reference{r.Reference()}); apperr.CodeOf(err) != apperr.Internal {
		t.Errorf("%+v, %v", found, err)
	}
}
