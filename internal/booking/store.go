package booking

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/seatno"
	"marquee/internal/theater"
)

// effectiveStatus is EXPIRED for a hold whose deadline has passed, whether or not the sweeper has been there.
const effectiveStatus = `CASE WHEN r.held_until <= now() THEN 'EXPIRED' ELSE r.status END`

const columns = `r.showtime_id, r.id, r.viewer_id, ` + effectiveStatus + ` AS effective_status,
	r.seats, r.released, r.amount_minor, r.currency, r.lines, CASE WHEN r.held_until > now() THEN r.held_until END, r.pay_by, r.created_at, now()`

// scan reads columns; the seats themselves are filled in by complete.
func scan(row interface{ Scan(...any) error }) (r Reservation, now time.Time, err error) {
	var lines []byte
	err = row.Scan(&r.ShowtimeID, &r.ID, &r.ViewerID, &r.Status, &r.Positions, &r.Released, &r.Total.AmountMinor, &r.Total.Currency, &lines,
		&r.HeldUntil, &r.PayBy, &r.CreatedAt, &now)
	if err != nil {
		return r, now, err
	}
	if len(r.Released) == 0 {
		r.Released = nil
	}
	if err := json.Unmarshal(lines, &r.Stored); err != nil {
		return r, now, fmt.Errorf("reading price lines: %w", err)
	}
	r.Lines, r.Types, r.PromoCodes = linesOf(r.Stored, r.Total.Currency), pricing.TypesOf(r.Stored), pricing.CodesOf(r.Stored)
	return r, now, nil
}

// Holding returns the viewer's own live reservations that have any of the seats at these positions of a showtime, the first
// made first. One statement.
func (s *Service) Holding(ctx context.Context, viewerID, showtimeID uuid.UUID, positions seatno.List) ([]Reservation, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT `+columns+` FROM reservations r
		WHERE r.showtime_id = $1 AND r.viewer_id = $2 AND r.seats && $3
		  AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > now()) ORDER BY r.created_at, r.id`,
		showtimeID, viewerID, positions)
	if err != nil {
		return nil, fmt.Errorf("reading who has seats: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (Reservation, error) {
		r, _, err := scan(rows)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return found, s.complete(ctx, found)
}

// complete fills in the seats of reservations, from the layouts in memory.
func (s *Service) complete(ctx context.Context, reservations []Reservation) error {
	showtimes := make([]uuid.UUID, len(reservations))
	for i, r := range reservations {
		showtimes[i] = r.ShowtimeID
	}
	layouts, err := s.seating.Layouts(ctx, showtimes)
	if err != nil {
		return err
	}
	for i := range reservations {
		r := &reservations[i]
		layout := layouts[r.ShowtimeID]
		if layout == nil {
			return fmt.Errorf("reservation %s is of showtime %s, which has no layout", r.ID, r.ShowtimeID)
		}
		r.Seats = layout.SeatsAt(r.Positions.Sorted())
	}
	return nil
}

// reservation returns one of the viewer's reservations and the database's clock: NOT_FOUND when it is missing or
// someone else's.
func (s *Service) reservation(ctx context.Context, viewerID, showtimeID, id uuid.UUID) (Reservation, time.Time, error) {
	r, now, err := scan(s.db.SQL().QueryRowContext(ctx, `SELECT `+columns+` FROM reservations r
		WHERE r.showtime_id = $1 AND r.id = $2 AND r.viewer_id = $3`, showtimeID, id, viewerID))
	if errors.Is(err, sql.ErrNoRows) {
		return r, now, apperr.Missing("reservation")
	}
	if err != nil {
		return r, now, fmt.Errorf("reading a reservation: %w", err)
	}
	one := []Reservation{r}
	err = s.complete(ctx, one)
	return one[0], now, err
}

// Reservation returns one of the viewer's reservations, and any to those who look after money, without its tickets: NOT_FOUND
// when it is missing or someone else's.
func (s *Service) Reservation(ctx context.Context, viewer auth.Viewer, showtimeID, id uuid.UUID) (Reservation, error) {
	r, _, err := s.reservation(ctx, viewer.UserID, showtimeID, id)
	if apperr.CodeOf(err) != apperr.NotFound || !viewer.Has(auth.RoleFinance, auth.Platform) {
		return r, err
	}
	if r, err = s.anyReservation(ctx, payment.Reference{ShowtimeID: showtimeID, ID: id}); err == nil {
		r.TicketsWithheld = true
	}
	return r, err
}

// Payment returns one of the viewer's payments, those of a theater to its staff, and any to those who look after money: NOT_FOUND
// when it is missing or the viewer may not see it.
func (s *Service) Payment(ctx context.Context, viewer auth.Viewer, ref payment.Reference) (payment.Payment, error) {
	p, ok, err := s.payments.PaymentOfViewer(ctx, viewer.UserID, ref)
	if ok || err != nil {
		return p, err
	}
	if !viewer.Has(auth.RoleFinance, auth.Platform) {
		offer, err := s.showtimes.Offer(ctx, ref.ShowtimeID)
		if code := apperr.CodeOf(err); err != nil && code != apperr.NotFound {
			return p, err
		}
		if err != nil || !viewer.Has(auth.RoleTheaterStaff, offer.TheaterID) {
			return p, apperr.Missing("payment")
		}
	}
	if p, ok, err = s.payments.Payment(ctx, ref); err == nil && !ok {
		err = apperr.Missing("payment")
	}
	return p, err
}

// anyReservation returns a reservation, whosever it is: NOT_FOUND. The caller has made sure that the viewer may see it.
func (s *Service) anyReservation(ctx context.Context, ref payment.Reference) (Reservation, error) {
	r, _, err := scan(s.db.SQL().QueryRowContext(ctx, `SELECT `+columns+` FROM reservations r WHERE r.showtime_id = $1 AND r.id = $2`, ref.ShowtimeID, ref.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return r, apperr.Missing("reservation")
	}
	if err != nil {
		return r, fmt.Errorf("reading a reservation: %w", err)
	}
	one := []Reservation{r}
	err = s.complete(ctx, one)
	return one[0], err
}

// TicketsByReservation returns the tickets of reservations, by seat. The caller has made sure that the viewer may see
// the reservations. One statement.
func (s *Service) TicketsByReservation(ctx context.Context, reservations []payment.Reference) (map[payment.Reference][]Ticket, error) {
	showtimes, ids := payment.Columns(reservations)
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT t.reservation_id, t.showtime_id, t.id, t.code, t.status, t.seat_no, r.lines
		FROM unnest($1::uuid[], $2::uuid[]) AS wanted (showtime_id, id)
		JOIN reservations r ON r.showtime_id = wanted.showtime_id AND r.id = wanted.id
		JOIN tickets t ON t.showtime_id = r.showtime_id AND t.reservation_id = r.id
		ORDER BY t.showtime_id, t.seat_no`, showtimes, ids)
	if err != nil {
		return nil, fmt.Errorf("reading tickets: %w", err)
	}
	type row struct {
		reservation uuid.UUID
		ticket      Ticket
		position    int16
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (r row, err error) {
		var lines []byte
		err = rows.Scan(&r.reservation, &r.ticket.ShowtimeID, &r.ticket.ID, &r.ticket.Code, &r.ticket.Status, &r.position, &lines)
		if err == nil {
			r.ticket.Type, err = typeAt(lines, r.position)
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	layouts, err := s.seating.Layouts(ctx, showtimes)
	if err != nil {
		return nil, err
	}
	byReservation := make(map[payment.Reference][]Ticket, len(reservations))
	for _, r := range found {
		if r.ticket.Seat, err = seatAt(layouts[r.ticket.ShowtimeID], r.position); err != nil {
			return nil, err
		}
		ref := payment.Reference{ShowtimeID: r.ticket.ShowtimeID, ID: r.reservation}
		byReservation[ref] = append(byReservation[ref], r.ticket)
	}
	return byReservation, nil
}

// Ticket returns one of the viewer's tickets: NOT_FOUND when it is missing or someone else's.
func (s *Service) Ticket(ctx context.Context, viewer auth.Viewer, showtimeID, id uuid.UUID) (Ticket, error) {
	t := Ticket{ShowtimeID: showtimeID, ID: id}
	var position int16
	var lines []byte
	err := s.db.SQL().QueryRowContext(ctx, `SELECT t.code, t.status, t.seat_no, r.lines FROM tickets t
		JOIN reservations r ON r.showtime_id = t.showtime_id AND r.id = t.reservation_id
		WHERE t.showtime_id = $1 AND t.id = $2 AND r.viewer_id = $3`, showtimeID, id, viewer.UserID).
		Scan(&t.Code, &t.Status, &position, &lines)
	if errors.Is(err, sql.ErrNoRows) {
		return t, apperr.Missing("ticket")
	}
	if err != nil {
		return t, fmt.Errorf("reading a ticket: %w", err)
	}
	if t.Type, err = typeAt(lines, position); err != nil {
		return t, err
	}
	layout, err := s.seating.Layout(ctx, showtimeID)
	if err != nil {
		return t, err
	}
	t.Seat, err = seatAt(layout, position)
	return t, err
}

// typeAt returns whom the seat at a position was sold for, by the price lines of its reservation.
func typeAt(lines []byte, position int16) (pricing.TicketType, error) {
	var stored []pricing.Line
	if err := json.Unmarshal(lines, &stored); err != nil {
		return "", fmt.Errorf("reading price lines: %w", err)
	}
	return cmp.Or(pricing.TypesOf(stored)[position], pricing.Adult), nil
}

// seatAt returns the seat of a ticket.
func seatAt(layout *theater.Layout, position int16) (theater.Seat, error) {
	if layout == nil || position < 1 || position > int16(len(layout.Seats)) {
		return theater.Seat{}, fmt.Errorf("a ticket is for seat %d, which does not exist", position)
	}
	return layout.Seats[position-1], nil
}
