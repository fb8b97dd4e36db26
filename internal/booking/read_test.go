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
	"marquee/internal/payment"
	"marquee/internal/seatno"
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

// TestAZ1_Service_Holding asks who has seats: viewers learn of their own reservations, while they live.
func TestAZ1_Service_Holding(t *testing.T) {
	t.Parallel()
	h, viewer, other := newHouse(t, fixture.Plan{Showtimes: 2}), newViewer(), newViewer()
	held, paid, gone, over := h.hold(t, viewer, 11, 12), h.buy(t, viewer, 13), h.hold(t, viewer, 14), h.hold(t, viewer, 15)
	h.hold(t, other, 16)
	if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(gone)); err != nil {
		t.Fatal(err)
	}
	h.Expire(t, over.ShowtimeID, over.ID)
	for name, c := range map[string]struct {
		viewer, showtime uuid.UUID
		want             []booking.Reservation
	}{
		"the_viewer":      {viewer.UserID, h.Show(), []booking.Reservation{held, paid}},
		"somebody_else":   {newViewer().UserID, h.Show(), nil},
		"nobody":          {uuid.Nil, h.Show(), nil},
		"another_evening": {viewer.UserID, h.Showtimes[1].ID, nil},
	} {
		found, err := h.booking.Holding(t.Context(), c.viewer, c.showtime, seatno.List{12, 13, 14, 15, 16})
		if diff := cmp.Diff(c.want, found, sameInstant); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", name, err, diff)
		}
	}
	if found, err := h.booking.Holding(t.Context(), viewer.UserID, h.Show(), seatno.List{16, 17}); err != nil || len(found) != 0 {
		t.Errorf("of others' seats: %+v, %v", found, err)
	}
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
