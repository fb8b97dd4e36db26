package graph

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"marquee/graph/limit"
	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/cookie"
	"marquee/internal/identity"
	"marquee/internal/money"
	"marquee/internal/page"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// decodeID returns the key of an id argument: BAD_USER_INPUT at path when it is not an id of the kind.
func decodeID(kind typeid.Kind, path, id string) (uuid.UUID, error) {
	key, err := typeid.Decode(kind, id)
	if err != nil {
		return key, apperr.Invalid(path, "This is not an id as they are given: %s_ and lower-case letters and digits.", kind)
	}
	return key, nil
}

// decodeIDIn is decodeID for a thing that lives within a showtime.
func decodeIDIn(kind typeid.Kind, path, id string) (showtimeID, key uuid.UUID, err error) {
	showtimeID, key, err = typeid.DecodeIn(kind, id)
	if err != nil {
		return showtimeID, key, apperr.Invalid(path, "This is not an id as they are given: %s_ and lower-case letters and digits.", kind)
	}
	return showtimeID, key, nil
}

// holdInput decodes which of the viewer's reservations is meant.
func holdInput(ctx context.Context, reservationID string) (auth.Viewer, booking.HoldInput, error) {
	viewer, err := auth.Require(ctx, auth.RoleCustomer)
	if err != nil {
		return viewer, booking.HoldInput{}, err
	}
	showtimeID, id, err := decodeIDIn(typeid.Reservation, "input.reservationId", reservationID)
	return viewer, booking.HoldInput{ShowtimeID: showtimeID, ReservationID: id}, err
}

// cancelInput decodes a reservation and the seats of it that somebody means; none are all.
func cancelInput(reservationID string, seatIDs []string) (in booking.CancelInput, err error) {
	if in.ShowtimeID, in.ReservationID, err = decodeIDIn(typeid.Reservation, "input.reservationId", reservationID); err != nil {
		return in, err
	}
	if seatIDs == nil {
		return in, nil
	}
	if len(seatIDs) == 0 {
		return in, apperr.Invalid("input.seatIds", "Name at least one seat, or leave the list out for all.")
	}
	in.SeatIDs, _, err = seatsInput(seatIDs, nil)
	return in, err
}

// optionalID is decodeID for an argument that may be absent.
func optionalID(kind typeid.Kind, path string, id *string) (*uuid.UUID, error) {
	if id == nil {
		return nil, nil
	}
	key, err := decodeID(kind, path, *id)
	return &key, err
}

// edge is an item of a page with its cursor.
type edge[T any] struct {
	cursor string
	node   T
}

// connect gives a page its cursors.
func connect[T any](cursors *page.Signer, order string, p page.Page[T], key func(T) []string) ([]edge[T], model.PageInfo) {
	edges := make([]edge[T], len(p.Items))
	for i, item := range p.Items {
		edges[i] = edge[T]{cursor: cursors.Encode(order, key(item)...), node: item}
	}
	info := model.PageInfo{HasNextPage: p.HasNext, HasPreviousPage: p.HasPrevious}
	if len(edges) > 0 {
		info.StartCursor, info.EndCursor = &edges[0].cursor, &edges[len(edges)-1].cursor
	}
	return edges, info
}

func mapped[T, U any](items []T, convert func(T) U) []U {
	out := make([]U, len(items))
	for i, item := range items {
		out[i] = convert(item)
	}
	return out
}

func (r *Resolver) showtimeConnection(p page.Page[showtime.Showtime]) *model.ShowtimeConnection {
	edges, info := connect(r.Cursors, showtime.CursorName, p, showtime.Showtime.CursorKey)
	return &model.ShowtimeConnection{
		Edges: mapped(edges, func(e edge[showtime.Showtime]) model.ShowtimeEdge {
			return model.ShowtimeEdge{Cursor: e.cursor, Node: e.node}
		}),
		Nodes:    p.Items,
		PageInfo: info,
	}
}

func showtimeFilter(f *model.ShowtimeFilter) (showtime.Filter, error) {
	if f == nil {
		return showtime.Filter{}, nil
	}
	out := showtime.Filter{City: f.City, From: f.From, To: f.To}
	var err error
	if out.MovieID, err = optionalID(typeid.Movie, "filter.movieId", f.MovieID); err != nil {
		return out, err
	}
	out.TheaterID, err = optionalID(typeid.Theater, "filter.theaterId", f.TheaterID)
	return out, err
}

func movieShowtimeFilter(f *model.MovieShowtimeFilter) (showtime.Filter, error) {
	if f == nil {
		return showtime.Filter{}, nil
	}
	return showtimeFilter(&model.ShowtimeFilter{TheaterID: f.TheaterID, City: f.City, From: f.From, To: f.To})
}

func theaterShowtimeFilter(f *model.TheaterShowtimeFilter) (showtime.Filter, error) {
	if f == nil {
		return showtime.Filter{}, nil
	}
	return showtimeFilter(&model.ShowtimeFilter{MovieID: f.MovieID, From: f.From, To: f.To})
}

func auditFilter(f *model.AuditLogFilter) (audit.Filter, error) {
	if f == nil {
		return audit.Filter{}, nil
	}
	out := audit.Filter{Subject: f.Subject, Action: f.Action, From: f.From, To: f.To}
	var err error
	if out.Actor, err = optionalID(typeid.User, "filter.userId", f.UserID); err != nil {
		return out, err
	}
	out.Theater, err = optionalID(typeid.Theater, "filter.theaterId", f.TheaterID)
	return out, err
}

func seatPrice(p showtime.Price) model.SeatPrice {
	return model.SeatPrice{Category: p.Category, Price: money.Money{AmountMinor: p.AmountMinor, Currency: p.Currency}}
}

// seatMapEvent gives an event of the feed the seats it is about.
func seatMapEvent(layout *theater.Layout, event seatfeed.Event) model.SeatMapEvent {
	if event.Snapshot {
		return model.SeatMapSnapshot{
			Version: event.Version,
			SeatMap: seating.Map{ShowtimeID: event.ShowtimeID, Layout: layout, States: event.States},
		}
	}
	return model.SeatMapDelta{
		FromVersion: event.FromVersion,
		Version:     event.Version,
		Changes: mapped(event.Changes, func(c seatfeed.Change) model.SeatChange {
			return model.SeatChange{SeatID: layout.Seats[c.SeatNo-1].NodeID(), Position: int32(c.SeatNo), State: c.State}
		}),
	}
}

// maxSeatIDs is more seats than any house lets one customer have. It bounds an answer that names each wrong one.
const maxSeatIDs = 100

func reserveInput(ctx context.Context, input model.ReserveSeatsInput) (booking.ReserveInput, error) {
	in := booking.ReserveInput{
		IdempotencyKey: input.IdempotencyKey, PromoCodes: input.PromoCodes, AccessibleNeed: input.AccessibleNeed, OverrideSeatRules: input.OverrideSeatRules,
		MostMinor: input.MaxTotalMinor, Address: limit.AddressOf(ctx), Device: cookie.DeviceOf(ctx),
	}
	var err error
	if in.ShowtimeID, err = decodeID(typeid.Showtime, "input.showtimeId", input.ShowtimeID); err != nil {
		return in, err
	}
	in.SeatIDs, in.TicketTypes, err = seatsInput(input.SeatIds, input.TicketTypes)
	return in, err
}

func bestInput(input model.BestAvailableInput) (in booking.BestInput, err error) {
	in = booking.BestInput{
		Seats: input.Seats, Wheelchairs: input.WheelchairPlaces, Categories: input.Categories, MostMinor: input.MaxTotalMinor,
		Together: !input.AllowSplit, Limit: input.Limit,
	}
	if input.Seed != nil {
		in.Seed = uint64(*input.Seed)
	}
	in.ShowtimeID, err = decodeID(typeid.Showtime, "input.showtimeId", input.ShowtimeID)
	return in, err
}

// sessionPayload encodes the tokens of a session: as cookies, where the request wants them there, else in the answer.
func sessionPayload(ctx context.Context, t identity.Tokens) model.SessionPayload {
	payload := model.SessionPayload{ExpiresAt: t.AccessExpiresAt, RefreshExpiresAt: t.RefreshExpiresAt, User: t.User, SecondFactorDue: t.SecondFactorDue}
	if !cookie.From(ctx).Keep(cookie.Tokens{Access: t.Access, Refresh: t.Refresh, Until: t.RefreshExpiresAt}) {
		payload.Token, payload.RefreshToken = &t.Access, &t.Refresh
	}
	return payload
}

// refreshToken is what renews the session of a request: the token that it gives, else the one of its cookies.
func refreshToken(ctx context.Context, input model.RefreshSessionInput) (string, error) {
	kept := cookie.From(ctx)
	switch {
	case input.RefreshToken != nil:
		return *input.RefreshToken, nil
	case !kept.Wanted():
		return "", apperr.Invalid("input.refreshToken", "Give the session's latest refresh token.")
	}
	return kept.Refresh(), nil
}

// signInResult encodes what a way of signing in came to.
func signInResult(ctx context.Context, t identity.Tokens, err error) (model.SignInResult, error) {
	if needed, ok := errors.AsType[*identity.SecondFactorRequired](err); ok {
		return model.SecondFactorRequired{
			Code: model.UserErrorCodeSecondFactorRequired, Message: "Prove your second factor as well.",
			PendingToken: needed.PendingToken, ExpiresAt: needed.ExpiresAt, Factors: needed.Factors,
		}, nil
	}
	if errors.Is(err, identity.ErrInvalidCredentials) {
		return invalidCredentials, nil
	}
	if errors.Is(err, identity.ErrDisabled) {
		return accountDisabled, nil
	}
	if err != nil {
		return nil, err
	}
	return sessionPayload(ctx, t), nil
}

// deviceOf is the device that sent the operation.
func deviceOf(ctx context.Context) identity.Device {
	return identity.Device{Name: graphql.GetOperationContext(ctx).Headers.Get("User-Agent"), Address: limit.AddressOf(ctx)}
}

var linkExpired = model.LinkExpired{
	Code: model.UserErrorCodeLinkExpired, Message: "This link was used or is too old. Ask for another.",
}

var invalidCredentials = model.InvalidCredentials{
	Code: model.UserErrorCodeInvalidCredentials, Message: "The e-mail address, the username or the password is wrong.",
}

// orEmpty returns a text, "" where there is none.
func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
