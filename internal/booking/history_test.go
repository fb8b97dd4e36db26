package booking_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/page"
)

// reserveAt holds a seat of a showtime of the world.
func (h *house) reserveAt(t testing.TB, viewer auth.Viewer, show uuid.UUID, position int) booking.Reservation {
	t.Helper()
	in := h.request(position)
	in.ShowtimeID = show
	result, err := h.booking.Reserve(t.Context(), viewer, in)
	return is[booking.Reserved](t, result, err).Reservation
}

// everywhere is a page that holds all that a test makes.
var everywhere = page.Request{Limit: 100}

// lister asks for a page of one list.
type lister func(filter booking.Filter, by booking.Sort, request page.Request) (page.Page[booking.Listed], error)

func (h *house) mine(t testing.TB, viewer auth.Viewer) lister {
	t.Helper()
	return func(filter booking.Filter, by booking.Sort, request page.Request) (page.Page[booking.Listed], error) {
		return h.booking.Reservations(t.Context(), viewer, filter, by, request)
	}
}

// of makes a lister of a list of staff.
func of(p page.Page[booking.StaffReservation], err error) (page.Page[booking.Listed], error) {
	items := make([]booking.Listed, len(p.Items))
	for i, r := range p.Items {
		items[i] = r.Listed
	}
	return page.Page[booking.Listed]{Items: items, HasNext: p.HasNext, HasPrevious: p.HasPrevious}, err
}

func (h *house) theaters(t testing.TB, viewer auth.Viewer) lister {
	t.Helper()
	return func(filter booking.Filter, by booking.Sort, request page.Request) (page.Page[booking.Listed], error) {
		return of(h.booking.ReservationsAt(t.Context(), viewer, h.TheaterID, filter, by, request))
	}
}

func (l lister) keys(t testing.TB, filter booking.Filter, by booking.Sort) []uuid.UUID {
	t.Helper()
	p, err := l(filter, by, everywhere)
	if err != nil || p.HasNext || p.HasPrevious {
		t.Fatalf("%+v, %v", p, err)
	}
	return keysOf(p.Items)
}

func keysOf(items []booking.Listed) []uuid.UUID {
	keys := make([]uuid.UUID, len(items))
	for i, l := range items {
		keys[i] = l.ID
	}
	return keys
}

// walk reads a list page by page, with one statement each, and demands whole as the result.
func (l lister) walk(t *testing.T, statements *dbtest.Statements, filter booking.Filter, by booking.Sort, whole []uuid.UUID) {
	t.Helper()
	for size := 1; size <= len(whole)+1; size++ {
		for _, backward := range []bool{false, true} {
			var seen []uuid.UUID
			request := page.Request{Limit: size, Backward: backward}
			for range len(whole) + 1 {
				statements.Take()
				p, err := l(filter, by, request)
				if texts := statements.Take(); err != nil || len(texts) != 1 {
					t.Fatalf("%v, statements %q", err, texts)
				}
				if backward {
					seen = append(keysOf(p.Items), seen...)
				} else {
					seen = append(seen, keysOf(p.Items)...)
				}
				if more := backward && p.HasPrevious || !backward && p.HasNext; !more {
					break
				}
				if backward {
					request.Before = p.Items[0].CursorKey(by)
				} else {
					request.After = p.Items[len(p.Items)-1].CursorKey(by)
				}
			}
			if !slices.Equal(seen, whole) {
				t.Errorf("by %s, pages of %d, backward %t: %v, want %v", by, size, backward, seen, whole)
			}
		}
	}
	if len(whole) < 4 {
		return
	}
	all, err := l(filter, by, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	for _, backward := range []bool{false, true} {
		between := page.Request{Limit: 9, Backward: backward, After: all.Items[0].CursorKey(by), Before: all.Items[3].CursorKey(by)}
		if p, err := l(filter, by, between); err != nil || !slices.Equal(keysOf(p.Items), whole[1:3]) {
			t.Errorf("by %s between two keys, backward %t: %v, %v", by, backward, keysOf(p.Items), err)
		}
	}
}

// pastWorld has a customer with reservations in every state, of three showtimes of which the first is over.
type pastWorld struct {
	*house
	statements *dbtest.Statements
	viewer     auth.Viewer
	// By the time they were made. past and paid are of the first showtime, expired and cancelled of the second.
	past, paid, expired, cancelled, elsewhere booking.Reservation
}

func newPastWorld(t *testing.T) *pastWorld {
	t.Helper()
	s := &pastWorld{statements: &dbtest.Statements{}}
	s.house = newHouse(t, fixture.Plan{Showtimes: 3}, dbtest.Record(s.statements))
	s.viewer = auth.Viewer{UserID: s.Users[0].ID}
	s.past, s.paid = s.reserveAt(t, s.viewer, s.Showtimes[0].ID, 11), s.buy(t, s.viewer, 12)
	s.elsewhere = s.reserveAt(t, s.viewer, s.Showtimes[2].ID, 11)
	s.expired, s.cancelled = s.reserveAt(t, s.viewer, s.Showtimes[1].ID, 13), s.reserveAt(t, s.viewer, s.Showtimes[1].ID, 14)
	s.Expire(t, s.expired.ShowtimeID, s.expired.ID)
	if _, err := s.booking.Cancel(t.Context(), s.viewer, cancelInput(s.cancelled)); err != nil {
		t.Fatal(err)
	}
	s.hold(t, newViewer(), 15)
	// The second showtime goes to where the first was before, so that the order of showtimes is not that of their keys.
	s.Exec(t, `UPDATE showtimes SET starts_at = starts_at - interval '3 days', ends_at = ends_at - interval '3 days',
		occupied_until = occupied_until - interval '3 days' WHERE id = $1`, s.Showtimes[1].ID)
	for i := range s.Showtimes {
		show := &s.Showtimes[i]
		show.StartsAt = fixture.Get[time.Time](t, s.DB, `SELECT starts_at FROM showtimes WHERE id = $1`, show.ID)
	}
	return s
}

func keys(reservations ...booking.Reservation) []uuid.UUID {
	var ids []uuid.UUID
	for _, r := range reservations {
		ids = append(ids, r.ID)
	}
	return ids
}

// A customer's reservations are all there, once and in order, whatever the page, its direction and the order.
func TestService_Reservations_pages(t *testing.T) {
	t.Parallel()
	s := newPastWorld(t)
	list := s.mine(t, s.viewer)
	list.walk(t, s.statements, booking.Filter{}, booking.SortNewest, keys(s.cancelled, s.expired, s.elsewhere, s.paid, s.past))
	soonest := keys(s.expired, s.cancelled, s.past, s.paid, s.elsewhere)
	list.walk(t, s.statements, booking.Filter{}, booking.SortSoonest, soonest)
	latest := slices.Clone(soonest)
	slices.Reverse(latest)
	list.walk(t, s.statements, booking.Filter{}, booking.SortLatest, latest)
	p, err := list(booking.Filter{}, booking.SortNewest, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Items {
		if len(r.Seats) != 1 || r.Seats[0].Position != r.Positions[0] || r.TicketsWithheld {
			t.Errorf("reservation %+v", r)
		}
	}
	if nobody := s.mine(t, newViewer()).keys(t, booking.Filter{}, booking.SortNewest); len(nobody) != 0 {
		t.Errorf("nobody has %v", nobody)
	}
}

func TestService_Reservations_filters(t *testing.T) {
	t.Parallel()
	s := newPastWorld(t)
	later, soon := s.Showtimes[0].StartsAt, s.Showtimes[2].StartsAt
	nothing := uuid.New()
	for name, test := range map[string]struct {
		filter booking.Filter
		want   []uuid.UUID // by showtime
	}{
		"held":                    {booking.Filter{Statuses: []booking.Status{booking.StatusHeld}}, keys(s.past, s.elsewhere)},
		"expired_without_sweeper": {booking.Filter{Statuses: []booking.Status{booking.StatusExpired}}, keys(s.expired)},
		"several_states": {
			booking.Filter{Statuses: []booking.Status{booking.StatusConfirmed, booking.StatusCancelled, booking.StatusExpired}},
			keys(s.expired, s.cancelled, s.paid),
		},
		"no_state_is_any":           {booking.Filter{Statuses: []booking.Status{}}, keys(s.expired, s.cancelled, s.past, s.paid, s.elsewhere)},
		"reserved":                  {booking.Filter{Statuses: []booking.Status{booking.StatusReserved}}, nil},
		"upcoming":                  {booking.Filter{Period: booking.PeriodUpcoming}, keys(s.past, s.paid, s.elsewhere)},
		"over":                      {booking.Filter{Period: booking.PeriodPast}, keys(s.expired, s.cancelled)},
		"from_a_moment_on_with_it":  {booking.Filter{From: &later}, keys(s.past, s.paid, s.elsewhere)},
		"to_a_moment_without_it":    {booking.Filter{To: &soon}, keys(s.expired, s.cancelled, s.past, s.paid)},
		"between":                   {booking.Filter{From: &later, To: &soon}, keys(s.past, s.paid)},
		"the_movie":                 {booking.Filter{MovieID: &s.MovieID}, keys(s.expired, s.cancelled, s.past, s.paid, s.elsewhere)},
		"another_movie":             {booking.Filter{MovieID: &nothing}, nil},
		"another_theater":           {booking.Filter{TheaterID: &nothing}, nil},
		"all_conditions":            {booking.Filter{TheaterID: &s.TheaterID, Period: booking.PeriodUpcoming, To: &soon, Statuses: []booking.Status{booking.StatusHeld}}, keys(s.past)},
		"made_from_a_moment_on":     {booking.Filter{ReservedFrom: &s.expired.CreatedAt}, keys(s.expired, s.cancelled)},
		"made_to_a_moment":          {booking.Filter{ReservedTo: &s.expired.CreatedAt}, keys(s.past, s.paid, s.elsewhere)},
		"by_code":                   {booking.Filter{Code: new(s.paid.Code())}, keys(s.paid)},
		"by_code_as_people_type_it": {booking.Filter{Code: new(strings.ToLower(strings.ReplaceAll(s.paid.Code(), "-", " ")))}, keys(s.paid)},
	} {
		t.Run(name, func(t *testing.T) {
			s.mine(t, s.viewer).walk(t, s.statements, test.filter, booking.SortSoonest, test.want)
		})
	}
	for name, filter := range map[string]booking.Filter{
		"filter.to":           {From: &soon, To: &soon},
		"filter.reservedTo":   {ReservedFrom: &soon, ReservedTo: &later},
		"filter.from":         {From: new(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))},
		"filter.reservedFrom": {ReservedFrom: new(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))},
		"filter.statuses":     {Statuses: make([]booking.Status, 6)},
		"filter.code":         {Code: new("M82KR-9HCF")},
	} {
		for _, list := range []lister{s.mine(t, s.viewer), s.theaters(t, s.staff())} {
			p, err := list(filter, booking.SortSoonest, everywhere)
			refused(t, p, err, apperr.BadUserInput)
			if e, ok := errors.AsType[*apperr.Error](err); !ok || len(e.Fields) != 1 || e.Fields[0].Path != name {
				t.Errorf("%s is not named: %v", name, err)
			}
		}
	}
}

// TestA8_reservations_of_a_theater: those who work at a theater see its reservations, and nobody else does.
func TestA8_reservations_of_a_theater(t *testing.T) {
	t.Parallel()
	s := newPastWorld(t)
	other := &house{World: fixture.New(t, s.DB, fixture.Plan{}), gateway: s.gateway, payments: s.payments, hints: s.hints}
	other.booking, other.seating = s.booking, s.seating
	theirs := other.hold(t, s.viewer, 11)
	stranger := fixture.Get[uuid.UUID](t, s.DB, `SELECT id FROM reservations WHERE viewer_id <> $1`, s.viewer.UserID)
	current := []uuid.UUID{s.past.ID, s.paid.ID, stranger, s.elsewhere.ID}

	list := s.theaters(t, s.staff())
	if got := list.keys(t, booking.Filter{}, booking.SortSoonest); !slices.Equal(got, current) {
		t.Errorf("%v, want %v", got, current)
	}
	t.Run("pages", func(t *testing.T) {
		long := booking.Filter{From: new(time.Unix(0, 0))}
		whole := append(keys(s.expired, s.cancelled), current...)
		list.walk(t, s.statements, long, booking.SortSoonest, whole)
		slices.Reverse(whole)
		list.walk(t, s.statements, long, booking.SortLatest, whole)
	})
	t.Run("of_one_showtime_by_age", func(t *testing.T) {
		list.walk(t, s.statements, booking.Filter{ShowtimeID: &s.Showtimes[0].ID}, booking.SortNewest, []uuid.UUID{stranger, s.paid.ID, s.past.ID})
		p, err := list(booking.Filter{}, booking.SortNewest, everywhere)
		refused(t, p, err, apperr.BadUserInput)
	})
	t.Run("by_screen", func(t *testing.T) {
		if got := list.keys(t, booking.Filter{ScreenID: &s.ScreenID}, booking.SortSoonest); !slices.Equal(got, current) {
			t.Errorf("%v, want %v", got, current)
		}
		if got := list.keys(t, booking.Filter{ScreenID: &other.ScreenID}, booking.SortSoonest); len(got) != 0 {
			t.Errorf("of the other theater's screen: %v", got)
		}
	})
	t.Run("by_code_though_the_showtime_is_over", func(t *testing.T) {
		old := s.cancelled
		old.ID = aged(s.cancelled.ID, 3*24*time.Hour)
		s.Exec(t, `UPDATE reservations SET id = $2 WHERE id = $1`, s.cancelled.ID, old.ID)
		if got := list.keys(t, booking.Filter{Code: new(old.Code())}, booking.SortSoonest); !slices.Equal(got, keys(old)) {
			t.Errorf("%v, want %v", got, old.ID)
		}
	})
	t.Run("AZ1_nothing_of_another_theater", func(t *testing.T) {
		for name, filter := range map[string]booking.Filter{
			"by theater": {TheaterID: &other.TheaterID}, "by showtime": {ShowtimeID: &theirs.ShowtimeID}, "by code": {Code: new(theirs.Code())},
		} {
			if got := list.keys(t, filter, booking.SortSoonest); slices.Contains(got, theirs.ID) {
				t.Errorf("%s: %v", name, got)
			}
		}
		for name, viewer := range map[string]auth.Viewer{
			"staff of the other theater": other.staff(), "a customer": s.viewer, "support": support(), "staff of all theaters, unproved": unproved(auth.RoleTheaterStaff),
		} {
			p, err := s.booking.ReservationsAt(t.Context(), viewer, s.TheaterID, booking.Filter{}, booking.SortSoonest, everywhere)
			if apperr.CodeOf(err) != apperr.Forbidden || len(p.Items) != 0 {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
		}
	})
	t.Run("tickets_are_withheld_from_those_who_work_there_unless_they_know_the_code", func(t *testing.T) {
		p, err := s.booking.ReservationsAt(t.Context(), s.manager(), s.TheaterID, booking.Filter{}, booking.SortSoonest, everywhere)
		if err != nil || len(p.Items) != len(current) {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, r := range p.Items {
			if r.AccountShown || !r.TicketsWithheld {
				t.Errorf("%+v", r)
			}
			code := r.Code()
			one, err := s.booking.ReservationsAt(t.Context(), s.manager(), s.TheaterID, booking.Filter{Code: &code}, booking.SortSoonest, everywhere)
			if err != nil || len(one.Items) != 1 || one.Items[0].AccountShown || one.Items[0].TicketsWithheld {
				t.Errorf("by its code: %+v, %v", one, err)
			}
		}
	})
}

// aged is a key as it would have been made earlier.
func aged(key uuid.UUID, by time.Duration) uuid.UUID {
	milliseconds := time.Now().Add(-by).UnixMilli()
	for i := 5; i >= 0; i-- {
		key[i], milliseconds = byte(milliseconds), milliseconds>>8
	}
	return key
}

func support() auth.Viewer {
	viewer := unproved(auth.RoleSupport)
	viewer.Strong = true
	return viewer
}

// unproved is somebody with a role on the platform who has not proved a second factor.
func unproved(role auth.Role) auth.Viewer {
	return auth.Viewer{UserID: uuid.New(), Grants: auth.NewGrants(auth.Grant{Role: role})}
}

func TestService_AllReservations(t *testing.T) {
	t.Parallel()
	s := newPastWorld(t)
	other := &house{World: fixture.New(t, s.DB, fixture.Plan{}), gateway: s.gateway, payments: s.payments, hints: s.hints}
	other.booking, other.seating = s.booking, s.seating
	theirs := other.hold(t, newViewer(), 11)
	find := func(email *string) lister {
		return func(filter booking.Filter, by booking.Sort, request page.Request) (page.Page[booking.Listed], error) {
			return of(s.booking.AllReservations(t.Context(), support(), email, filter, by, request))
		}
	}
	t.Run("of_all_theaters", func(t *testing.T) {
		if got := find(nil).keys(t, booking.Filter{}, booking.SortSoonest); len(got) != 5 || !slices.Contains(got, theirs.ID) {
			t.Errorf("%v", got)
		}
		if got := find(nil).keys(t, booking.Filter{TheaterID: &other.TheaterID}, booking.SortLatest); !slices.Equal(got, keys(theirs)) {
			t.Errorf("%v", got)
		}
	})
	t.Run("of_a_customer_by_address", func(t *testing.T) {
		list := find(&s.Users[0].Email)
		list.walk(t, s.statements, booking.Filter{}, booking.SortNewest, keys(s.cancelled, s.expired, s.elsewhere, s.paid, s.past))
		list.walk(t, s.statements, booking.Filter{Period: booking.PeriodPast}, booking.SortLatest, keys(s.cancelled, s.expired))
		if got := find(new("nobody@example.com")).keys(t, booking.Filter{}, booking.SortNewest); len(got) != 0 {
			t.Errorf("nobody has %v", got)
		}
	})
	t.Run("bad_input", func(t *testing.T) {
		for name, ask := range map[string]func() (page.Page[booking.Listed], error){
			"no address": func() (page.Page[booking.Listed], error) {
				return find(new(""))(booking.Filter{}, booking.SortNewest, everywhere)
			},
			"bad code": func() (page.Page[booking.Listed], error) {
				return find(&s.Users[0].Email)(booking.Filter{Code: new("x")}, booking.SortNewest, everywhere)
			},
			"newest": func() (page.Page[booking.Listed], error) {
				return find(nil)(booking.Filter{}, booking.SortNewest, everywhere)
			},
		} {
			if p, err := ask(); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
		}
	})
	t.Run("A7_for_those_who_help_customers", func(t *testing.T) {
		p, err := s.booking.AllReservations(t.Context(), support(), nil, booking.Filter{}, booking.SortSoonest, everywhere)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Items {
			if !r.AccountShown || !r.TicketsWithheld {
				t.Errorf("%+v", r)
			}
		}
		finance := auth.Viewer{Strong: true, Grants: unproved(auth.RoleFinance).Grants}
		if p, err = s.booking.AllReservations(t.Context(), finance, nil, booking.Filter{}, booking.SortSoonest, everywhere); err != nil || len(p.Items) == 0 {
			t.Errorf("finance: %+v, %v", p, err)
		}
		for _, r := range p.Items {
			if r.CustomerShown || r.AccountShown || !r.TicketsWithheld {
				t.Errorf("finance: %+v", r)
			}
			if one, err := s.booking.Reservation(t.Context(), finance, r.ShowtimeID, r.ID); err != nil || one.ID != r.ID || !one.TicketsWithheld {
				t.Errorf("finance: %+v, %v", one, err)
			}
			if one, err := s.booking.Reservation(t.Context(), unproved(auth.RoleFinance), r.ShowtimeID, r.ID); apperr.CodeOf(err) != apperr.NotFound {
				t.Errorf("finance, unproved: %+v, %v", one, err)
			}
		}
		for name, viewer := range map[string]auth.Viewer{
			"a customer": s.viewer, "a manager": s.manager(), "support, unproved": unproved(auth.RoleSupport), "finance": finance,
		} {
			p, err := s.booking.AllReservations(t.Context(), viewer, &s.Users[0].Email, booking.Filter{}, booking.SortNewest, everywhere)
			if apperr.CodeOf(err) != apperr.Forbidden || len(p.Items) != 0 {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
		}
	})
}
