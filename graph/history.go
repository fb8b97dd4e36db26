package graph

import (
	"github.com/google/uuid"

	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/identity"
	"marquee/internal/page"
	"marquee/internal/typeid"
)

// atTheater encodes a customer for those who work at a theater; nil: there is none.
func atTheater(customer *identity.User) *model.ReservationCustomer {
	if customer == nil {
		return nil
	}
	return &model.ReservationCustomer{Name: customer.ShortName()}
}

// idFilter decodes an id of a filter, where it is given, into what keeps it.
func idFilter(into **uuid.UUID, kind typeid.Kind, path string, id *string) (err error) {
	*into, err = optionalID(kind, path, id)
	return err
}

func myReservationFilter(status *booking.Status, f *model.MyReservationFilter) (out booking.Filter, err error) {
	if f != nil {
		out = booking.Filter{Statuses: f.Statuses, From: f.From, To: f.To}
		if f.Period != nil {
			out.Period = *f.Period
		}
		if err := idFilter(&out.MovieID, typeid.Movie, "filter.movieId", f.MovieID); err != nil {
			return out, err
		}
		if err := idFilter(&out.TheaterID, typeid.Theater, "filter.theaterId", f.TheaterID); err != nil {
			return out, err
		}
	}
	if status != nil {
		if len(out.Statuses) > 0 {
			return out, apperr.Invalid("status", "Give either status or filter.statuses, not both.")
		}
		out.Statuses = []booking.Status{*status}
	}
	return out, nil
}

func theaterReservationFilter(f *model.TheaterReservationFilter) (out booking.Filter, err error) {
	if f == nil {
		return out, nil
	}
	out = booking.Filter{
		Statuses: f.Statuses, From: f.From, To: f.To, ReservedFrom: f.ReservedFrom, ReservedTo: f.ReservedTo, Code: f.Code,
	}
	if err := idFilter(&out.ShowtimeID, typeid.Showtime, "filter.showtimeId", f.ShowtimeID); err != nil {
		return out, err
	}
	return out, idFilter(&out.ScreenID, typeid.Screen, "filter.screenId", f.ScreenID)
}

func reservationFilter(f *model.ReservationFilter) (email *string, out booking.Filter, err error) {
	if f == nil {
		return nil, out, nil
	}
	out = booking.Filter{
		Statuses: f.Statuses, From: f.From, To: f.To, ReservedFrom: f.ReservedFrom, ReservedTo: f.ReservedTo, Code: f.Code,
	}
	if err := idFilter(&out.ShowtimeID, typeid.Showtime, "filter.showtimeId", f.ShowtimeID); err != nil {
		return nil, out, err
	}
	return f.CustomerEmail, out, idFilter(&out.TheaterID, typeid.Theater, "filter.theaterId", f.TheaterID)
}

func (r *Resolver) reservationConnection(by booking.Sort, p page.Page[booking.Listed]) *model.ReservationConnection {
	edges, info := connect(r.Cursors, by.CursorName(), p, func(l booking.Listed) []string { return l.CursorKey(by) })
	return &model.ReservationConnection{
		Edges: mapped(edges, func(e edge[booking.Listed]) model.ReservationEdge {
			return model.ReservationEdge{Cursor: e.cursor, Node: e.node.Reservation}
		}),
		Nodes:    mapped(p.Items, func(l booking.Listed) booking.Reservation { return l.Reservation }),
		PageInfo: info,
	}
}

func (r *Resolver) staffReservationConnection(by booking.Sort, p page.Page[booking.StaffReservation]) *model.StaffReservationConnection {
	edges, info := connect(r.Cursors, by.CursorName(), p, func(l booking.StaffReservation) []string { return l.CursorKey(by) })
	return &model.StaffReservationConnection{
		Edges: mapped(edges, func(e edge[booking.StaffReservation]) model.StaffReservationEdge {
			return model.StaffReservationEdge{Cursor: e.cursor, Node: e.node.Reservation, CustomerShown: e.node.CustomerShown, AccountShown: e.node.AccountShown}
		}),
		Nodes:    mapped(p.Items, func(l booking.StaffReservation) booking.Reservation { return l.Reservation }),
		PageInfo: info,
	}
}
