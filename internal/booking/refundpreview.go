package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/pricing"
	"marquee/internal/theater"
)

// RefundStep says what comes back when something is cancelled until a moment, and after the step before it.
type RefundStep struct {
	Until  time.Time
	Refund money.Money
}

// SeatRefund says what comes back of one seat.
type SeatRefund struct {
	Seat   theater.Seat
	Paid   money.Money // with fees and taxes
	Refund money.Money
}

// RefundPreview says what Cancel would do at this moment.
type RefundPreview struct {
	Seats        []SeatRefund // by position; none when the price is not known seat by seat
	FeesPaid     money.Money  // for the whole reservation, where they go with these seats
	FeesRefunded money.Money
	Kept         money.Money // once, of what would come back
	Paid         money.Money // for all this; nothing before the reservation is paid
	Refund       money.Money // what comes back
	Remaining    money.Money // what of the price is left afterwards: of a reservation that is cancelled what was kept
	Until        *time.Time  // the last moment at which it is so; nil where time does not matter
	Steps        []RefundStep
	ServerTime   time.Time // the database's clock
}

// PreviewResult is RefundPreview, CancellationClosed or ShowtimeClosed.
type PreviewResult interface{ isPreviewResult() }

func (RefundPreview) isPreviewResult()      {}
func (CancellationClosed) isPreviewResult() {}
func (ShowtimeClosed) isPreviewResult()     {}

// PreviewRefund says what Cancel would do with the same request at this moment, and what it will do later. Refusals and errors
// are those of Cancel, but for a payment that is under way. Of what is not paid nothing comes back; the steps say what will
// once it is.
func (s *Service) PreviewRefund(ctx context.Context, viewer auth.Viewer, in CancelInput) (PreviewResult, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	layout, err := s.layoutOf(ctx, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	if err != nil {
		return nil, err
	}
	c, err := cancellingOf(ctx, s.db.SQL(), layout, r, in.SeatIDs)
	if err != nil {
		return nil, err
	}
	of := func(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: r.Total.Currency} }
	preview := RefundPreview{FeesPaid: of(0), FeesRefunded: of(0), Kept: of(0), Paid: of(0), Refund: of(0), Remaining: of(0), ServerTime: now}
	if len(c.positions) == 0 {
		preview.Remaining, err = s.left(ctx, r)
		return preview, err
	}
	switch refusal := c.refusal().(type) {
	case CancellationClosed:
		return refusal, nil
	case ShowtimeClosed:
		return refusal, nil
	}
	// One that a swap has taken may come back: the command tells.
	if err := s.checkTickets(ctx, c, append(revocable(c.cause()), string(TicketSuspended))...); err != nil {
		return nil, err
	}
	back, err := c.refund()
	if err != nil {
		return nil, err
	}
	for _, ticket := range back.Tickets {
		preview.Seats = append(preview.Seats, SeatRefund{
			Seat: layout.Seats[ticket.Position-1], Paid: of(ticket.PriceMinor + ticket.FeeMinor), Refund: of(ticket.BackMinor + ticket.FeeBackMinor),
		})
	}
	preview.FeesPaid, preview.FeesRefunded, preview.Kept = of(back.OnceMinor), of(back.OnceBack), of(back.KeptOnce)
	preview.Paid, preview.Refund = of(back.PaidMinor), of(back.TotalMinor)
	if c.whole && r.Status == StatusConfirmed {
		preview.Remaining = of(r.Total.AmountMinor - back.TotalMinor)
	} else if !c.whole {
		rest, err := c.rest(back.TotalMinor)
		if err != nil {
			return nil, err
		}
		preview.Remaining = of(pricing.Sum(rest))
	}
	if c.contract.calledOff {
		return preview, nil
	}
	preview.Steps, err = c.contract.steps(c.bill, c.positions, r.Total.Currency)
	if err == nil && r.Status == StatusConfirmed && len(preview.Steps) > 0 {
		preview.Until = &preview.Steps[0].Until
	}
	return preview, err
}

// left returns what of the price of a reservation stays with the theater, as it stands.
func (s *Service) left(ctx context.Context, r Reservation) (money.Money, error) {
	if r.Status != StatusCancelled {
		return r.Total, nil
	}
	found, err := s.payments.PaymentsByReservation(ctx, []payment.Reference{r.Reference()})
	kept := money.Money{Currency: r.Total.Currency}
	if p, paid := found[r.Reference()]; paid && p.Status == payment.StatusCaptured {
		kept.AmountMinor = p.Amount.AmountMinor - p.Promised().AmountMinor - p.Carried().AmountMinor
	}
	return kept, err
}

// steps says what comes back of tickets from now on, step by step, to customers who cancel.
func (c contract) steps(b pricing.Bill, positions []int16, currency string) ([]RefundStep, error) {
	var steps []RefundStep
	for _, terms := range c.policy.From(c.now, c.startsAt) {
		back, err := c.policy.Refund(b, positions, terms)
		if err != nil {
			return nil, undivided(err)
		}
		steps = append(steps, RefundStep{Until: terms.Until, Refund: money.Money{AmountMinor: back.TotalMinor, Currency: currency}})
	}
	return steps, nil
}

// checkTickets returns CONFLICT when a ticket that is to go is in another state than these.
func (s *Service) checkTickets(ctx context.Context, c cancelling, states ...string) error {
	if c.r.Status != StatusConfirmed {
		return nil
	}
	var usable int
	err := s.db.SQL().QueryRowContext(ctx, `SELECT count(*) FROM tickets WHERE showtime_id = $1 AND reservation_id = $2
		AND seat_no = ANY ($3::smallint[]) AND status = ANY ($4::text[])`, c.r.ShowtimeID, c.r.ID, c.positions, textArray(states)).Scan(&usable)
	if err != nil {
		return fmt.Errorf("reading tickets: %w", err)
	}
	if usable != len(c.positions) {
		return errUsed()
	}
	return nil
}

// QuotedRefund says what would come back of what was quoted if it were held at this moment, paid, and cancelled as a whole. One
// statement.
func (s *Service) QuotedRefund(ctx context.Context, q Quoted) ([]RefundStep, error) {
	var c contract
	var err error
	c.policy, err = scanPolicy(s.db.SQL().QueryRowContext(ctx, `SELECT now(), s.starts_at, `+policyColumns+`
		FROM showtimes s JOIN theaters t ON t.id = s.theater_id`+policyAt(`now()`)+` WHERE s.id = $1`, q.showtimeID), &c.now, &c.startsAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, apperr.Missing("showtime")
	}
	if err != nil {
		return nil, fmt.Errorf("reading a refund policy: %w", err)
	}
	return c.steps(pricing.BillOf(q.lines, q.items), positionsIn(q.items), q.Total.Currency)
}

// itemsOf returns what a bill asks of seats.
func itemsOf(seats []theater.Seat, types map[int16]pricing.TicketType) []pricing.Item {
	items := make([]pricing.Item, len(seats))
	for i := range seats {
		items[i] = pricing.Item{Position: seats[i].Position, Category: string(seats[i].Category), Type: types[seats[i].Position]}
	}
	return items
}

func positionsIn(items []pricing.Item) []int16 {
	positions := make([]int16, len(items))
	for i := range items {
		positions[i] = items[i].Position
	}
	return positions
}
