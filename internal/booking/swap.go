package booking

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
	"marquee/internal/seatno"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// SwapInput asks for other seats instead of seats that are paid.
type SwapInput struct {
	CancelInput // which reservation gives which seats

	Take         ReserveInput // what comes instead; of the same theater
	MostDueMinor *int64       // that may be due beside what was paid; nil: anything
}

// validate returns BAD_USER_INPUT as CancelInput and ReserveInput have it.
func (in SwapInput) validate() error {
	return errors.Join(in.Take.Validate(), in.validateGiving())
}

// validateGiving is validate without what comes.
func (in SwapInput) validateGiving() error {
	var bad apperr.Fields
	if in.MostDueMinor != nil && *in.MostDueMinor < 0 {
		bad.Add("input.maxDueMinor", "What is due cannot be negative.")
	}
	return errors.Join(givingBack(in.CancelInput.validate()), bad.Err())
}

// givingBack names the field of a swap that an error about seats to cancel is about.
func givingBack(err error) error { return apperr.Renamed(err, "input.seatIds", "input.giveBack") }

// command says what makes a request another one, beside what it takes, when it comes with the same idempotency key.
func (in SwapInput) command() string {
	seats := slices.SortedFunc(slices.Values(in.SeatIDs), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return fmt.Sprintf("SWAP %s %s", in.ReservationID, seats) + under(in.MostDueMinor)
}

// giving is seats of a paid reservation that are to be swapped, with what they are worth.
type giving struct {
	cancelling

	from    payment.Reference
	worth   pricing.Exchange
	command string
}

// goes returns the reservation that gives, if it gives all that it has; uuid.Nil: it stays, or there is none.
func (g *giving) goes() uuid.UUID {
	if g == nil || !g.whole {
		return uuid.Nil
	}
	return g.from.ID
}

// givenUpFor returns the reservation that goes when one that is held for a swap is paid, as giving.goes does.
func (s *Service) givenUpFor(ctx context.Context, showtimeID, reservationID uuid.UUID) (goes uuid.UUID, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT f.id FROM swaps w
		JOIN reservations f ON f.showtime_id = w.from_showtime_id AND f.id = w.from_reservation_id AND f.seats <@ w.seats
		WHERE w.showtime_id = $1 AND w.reservation_id = $2`, showtimeID, reservationID).Scan(&goes)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return goes, fmt.Errorf("reading a swap: %w", err)
	}
	return goes, nil
}

// recordTx notes what a reservation that was just held is swapped for.
func (g *giving) recordTx(ctx context.Context, tx *sql.Tx, showtimeID, reservationID uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO swaps (showtime_id, reservation_id, from_showtime_id, from_reservation_id, seats, value_minor, fee_minor)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, showtimeID, reservationID, g.from.ShowtimeID, g.from.ID, g.positions, g.worth.ValueMinor, g.worth.FeeMinor)
	if err != nil {
		return fmt.Errorf("recording a swap: %w", err)
	}
	return nil
}

// SwapReason is why seats cannot be swapped.
type SwapReason string

// The reasons.
const (
	SwapNotOffered   SwapReason = "NOT_OFFERED"   // by the policy under which they were held
	SwapTooLate      SwapReason = "TOO_LATE"      // the policy's deadline has passed, or the showtime has started
	SwapOtherTheater SwapReason = "OTHER_THEATER" // what is to come instead is of another theater, or paid in another currency
	SwapUnderWay     SwapReason = "UNDER_WAY"     // a payment decides just now whether seats of the reservation are swapped
)

// SwapUnavailable says that seats cannot be swapped; nothing was held.
type SwapUnavailable struct {
	Reason   SwapReason
	ClosedAt *time.Time // of TOO_LATE: until when they could be
}

// SwapHeld says that other seats are held, to be paid with what was paid before.
type SwapHeld struct {
	Reservation Reservation
	ServerTime  time.Time // the database's clock
}

// SwapResult is SwapHeld, SwapUnavailable, or a refusal of Reserve.
type SwapResult interface{ isSwapResult() }

func (SwapHeld) isSwapResult()         {}
func (SwapUnavailable) isSwapResult()  {}
func (SeatsUnavailable) isSwapResult() {}
func (RuleBroken) isSwapResult()       {}
func (PriceTooHigh) isSwapResult()     {}
func (PromotionRefused) isSwapResult() {}
func (ShowtimeClosed) isSwapResult()   {}
func (LimitExceeded) isSwapResult()    {}
func (CoolingDown) isSwapResult()      {}

// SwapSeats holds seats for the viewer, as Reserve does, that are to come instead of seats of a paid reservation. That one stays
// as it is, and its tickets admit, until the new one is paid: with what the seats are worth, and with what is due beside it. A
// new one that is not paid changes nothing. Seats that are given back in the same showtime count for no limit.
//
// Repeating it with the same key gives the same reservation as it stands. Errors are those of Reserve and of Cancel, and
// CONFLICT when the reservation is not paid.
func (s *Service) SwapSeats(ctx context.Context, viewer auth.Viewer, in SwapInput) (SwapResult, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	take := in.Take
	take.OverrideSeatRules, take.swap = false, &giving{command: in.command()}
	given, refusal, err := s.givenFor(ctx, viewer, in)
	if err != nil || refusal != nil {
		return s.swappedBefore(ctx, viewer, take, refusal, err)
	}
	take.swap = &given
	if take.MostMinor = in.MostDueMinor; take.MostMinor != nil {
		credit := given.worth.ValueMinor - given.worth.FeeMinor
		take.MostMinor = new(credit + min(*in.MostDueMinor, math.MaxInt64-credit))
	}
	result, err := contested(func() (ReserveResult, bool, error) { return s.tryReserve(ctx, viewer, take, false) })
	if err != nil {
		return nil, err
	}
	if held, ok := result.(Reserved); ok {
		return SwapHeld(held), nil
	}
	refused, ok := result.(SwapResult)
	if !ok {
		return nil, fmt.Errorf("a swap was answered %T", result)
	}
	return refused, nil
}

// swappedBefore returns a refusal, unless the command was carried out before: then its answer stands.
func (s *Service) swappedBefore(ctx context.Context, viewer auth.Viewer, take ReserveInput, refusal SwapResult, refused error) (SwapResult, error) {
	w, _ := s.wantedOf(ctx, wish{
		Use:     promotion.Use{ViewerID: viewer.UserID, ShowtimeID: take.ShowtimeID},
		seatIDs: take.SeatIDs, types: take.TicketTypes, accessible: take.AccessibleNeed,
	})
	done, err := s.done(ctx, w, "RESERVE", take.IdempotencyKey, take.fingerprint)
	if err != nil {
		return nil, err
	}
	if !done.Valid {
		return refusal, refused
	}
	r, now, err := s.reservation(ctx, viewer.UserID, take.ShowtimeID, done.UUID)
	return SwapHeld{Reservation: r, ServerTime: now}, err
}

// givenFor finds out what a request for a swap gives, and what that is worth.
func (s *Service) givenFor(ctx context.Context, viewer auth.Viewer, in SwapInput) (g giving, refusal SwapResult, err error) {
	g.from, g.command = payment.Reference{ShowtimeID: in.ShowtimeID, ID: in.ReservationID}, in.command()
	layout, err := s.layoutOf(ctx, in.ShowtimeID)
	if err != nil {
		return g, nil, err
	}
	r, _, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	if err != nil {
		return g, nil, err
	}
	if g.cancelling, err = cancellingOf(ctx, s.db.SQL(), layout, r, in.SeatIDs); err != nil {
		return g, nil, givingBack(err)
	}
	if r.Status != StatusConfirmed || len(g.positions) == 0 {
		return g, nil, apperr.New(apperr.Conflict, "Only seats that are paid and not given back can be swapped.")
	}
	offer, err := s.showtimes.Offer(ctx, in.Take.ShowtimeID)
	if err != nil {
		return g, nil, err
	}
	if offer.TheaterID != g.contract.theaterID || offer.Currency != r.Total.Currency {
		return g, SwapUnavailable{Reason: SwapOtherTheater}, nil
	}
	if in.Take.ShowtimeID == in.ShowtimeID {
		if err := foreign(layout, r, in.Take.SeatIDs); err != nil {
			return g, nil, err
		}
	}
	if refusal := g.contract.swapRefusal(); refusal != nil {
		return g, refusal, nil
	}
	taken, err := handoverUnderWay(ctx, s.db.SQL(), g.from)
	if err != nil || taken {
		return g, SwapUnavailable{Reason: SwapUnderWay}, err
	}
	if err := s.checkTickets(ctx, g.cancelling, string(TicketIssued)); err != nil {
		return g, nil, err
	}
	g.worth, err = g.exchange()
	return g, nil, err
}

// foreign is BAD_USER_INPUT when a seat that is to come is one that the reservation has.
func foreign(layout *theater.Layout, r Reservation, seatIDs []uuid.UUID) error {
	var bad apperr.Fields
	for i, id := range seatIDs {
		if position, known := layout.PositionOf(id); known && slices.Contains(r.Positions, position) {
			bad.Add(fmt.Sprintf("input.seatIds.%d", i), "The reservation has this seat already. Leave out of giveBack what it is to keep.")
		}
	}
	return bad.Err()
}

// swapRefusal says why customers cannot swap; nil: nothing keeps them from it.
func (c contract) swapRefusal() SwapResult {
	switch terms := c.policy.Swap; {
	case terms == nil:
		return SwapUnavailable{Reason: SwapNotOffered}
	case !c.calledOff && (c.now.After(terms.Until(c.startsAt)) || !c.now.Before(c.startsAt)):
		return SwapUnavailable{Reason: SwapTooLate, ClosedAt: new(terms.Until(c.startsAt))}
	default:
		return nil
	}
}

// exchange returns what the seats are worth: everything that was paid for them when the showtime was called off.
func (c cancelling) exchange() (pricing.Exchange, error) {
	var fee int64
	if terms := c.contract.policy.Swap; terms != nil && !c.contract.calledOff {
		fee = terms.FeeMinor
	}
	worth, err := c.bill.ExchangeOf(c.positions, fee)
	return worth, undivided(err)
}

// comesBack returns what comes back of seats that pay so much of others, in minor units.
func (c cancelling) comesBack(worth pricing.Exchange, creditMinor int64) (int64, error) {
	if c.contract.calledOff {
		return worth.ValueMinor - creditMinor, nil
	}
	back, err := c.contract.policy.Surplus(c.bill, c.positions, worth, creditMinor, c.contract.terms())
	return back, undivided(err)
}

// SwapPreview says what a swap would cost at this moment.
type SwapPreview struct {
	Value      money.Money // that was paid for the seats that go
	Fee        money.Money // kept of it
	Price      money.Money // of the seats that come
	Credit     money.Money // of their price, paid with the value
	Due        money.Money // of their price, to be paid
	ComesBack  money.Money // of the value
	Until      *time.Time  // the last moment at which it may be asked for; nil when the showtime was called off
	ServerTime time.Time   // the database's clock
}

// SwapPreviewResult is SwapPreview, SwapUnavailable or PromotionRefused.
type SwapPreviewResult interface{ isSwapPreviewResult() }

func (SwapPreview) isSwapPreviewResult()      {}
func (SwapUnavailable) isSwapPreviewResult()  {}
func (PromotionRefused) isSwapPreviewResult() {}

// PreviewSwap says what SwapSeats would come to with the same request, without holding anything. Whether the seats are free it
// does not say. The idempotency key is not looked at. Errors are those of SwapSeats.
func (s *Service) PreviewSwap(ctx context.Context, viewer auth.Viewer, in SwapInput) (SwapPreviewResult, error) {
	quote := QuoteInput{SeatIDs: in.Take.SeatIDs, TicketTypes: in.Take.TicketTypes, PromoCodes: in.Take.PromoCodes}
	if err := errors.Join(quote.Validate(), in.validateGiving()); err != nil {
		return nil, err
	}
	g, refusal, err := s.givenFor(ctx, viewer, in)
	if err != nil {
		return nil, err
	}
	if unavailable, ok := refusal.(SwapUnavailable); ok {
		return unavailable, nil
	}
	w, err := s.wantedOf(ctx, wish{
		Use:     promotion.Use{ViewerID: viewer.UserID, ShowtimeID: in.Take.ShowtimeID, GivesID: g.goes()},
		seatIDs: in.Take.SeatIDs, types: in.Take.TicketTypes, codes: in.Take.PromoCodes,
	})
	if err != nil {
		return nil, err
	}
	if refused, ok := errors.AsType[*refusedPromotionError](w.refusedPromotion()); ok {
		return refused.PromotionRefused, nil
	}
	credit := g.worth.Credit(w.quote.Total.AmountMinor)
	back, err := g.comesBack(g.worth, credit)
	if err != nil {
		return nil, err
	}
	of := func(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: w.offer.Currency} }
	preview := SwapPreview{
		Value: of(g.worth.ValueMinor), Fee: of(g.worth.FeeMinor), Price: w.quote.Total, Credit: of(credit),
		Due: of(w.quote.Total.AmountMinor - credit), ComesBack: of(back), ServerTime: g.contract.now,
	}
	if !g.contract.calledOff {
		preview.Until = new(g.contract.policy.Swap.Until(g.contract.startsAt))
	}
	return preview, nil
}

// SwapState is how far a swap is.
type SwapState string

// The states of a swap.
const (
	SwapOpen    SwapState = "OPEN"     // the new reservation waits for its payment
	SwapDone    SwapState = "DONE"     // it is paid
	SwapGivenUp SwapState = "GIVEN_UP" // it ended unpaid
)

// Swap is what a reservation is taken for.
type Swap struct {
	From   payment.Reference
	Seats  []theater.Seat // of that reservation, by position
	Value  money.Money    // that was paid for them
	Fee    money.Money    // kept of it
	Credit money.Money    // of the price of the new reservation, paid with the value
	Due    money.Money    // of its price, paid or to be paid beside it
	State  SwapState
}

// ReplacesID returns the public id of the reservation that gives its seats.
func (s Swap) ReplacesID() string {
	return typeid.EncodeIn(typeid.Reservation, s.From.ShowtimeID, s.From.ID)
}

// SwapsOf returns what those among reservations that are swaps are taken for. The caller has made sure that the viewer may see
// them. One statement when the layouts are in memory.
func (s *Service) SwapsOf(ctx context.Context, reservations []payment.Reference) (map[payment.Reference]Swap, error) {
	showtimes, ids := payment.Columns(reservations)
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT w.showtime_id, w.reservation_id, w.from_showtime_id, w.from_reservation_id, w.seats, w.value_minor,
			w.fee_minor, r.amount_minor, r.currency, a.credit_minor, a.amount_minor,
			CASE WHEN r.confirmed_at IS NOT NULL THEN 'DONE' WHEN r.ended_at IS NULL AND (r.held_until IS NULL OR r.held_until > now()) THEN 'OPEN' ELSE 'GIVEN_UP' END
		FROM unnest($1::uuid[], $2::uuid[]) AS wanted (showtime_id, id)
		JOIN swaps w ON w.showtime_id = wanted.showtime_id AND w.reservation_id = wanted.id
		JOIN reservations r ON r.showtime_id = w.showtime_id AND r.id = w.reservation_id
		LEFT JOIN (payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'CAPTURED')
			ON p.showtime_id = r.showtime_id AND p.reservation_id = r.id AND r.confirmed_at IS NOT NULL`, showtimes, ids)
	if err != nil {
		return nil, fmt.Errorf("reading swaps: %w", err)
	}
	type row struct {
		of        payment.Reference
		swap      Swap
		positions seatno.List
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (r row, err error) {
		var (
			worth    pricing.Exchange
			price    int64
			currency string
			paid     struct{ credit, due *int64 } // by the attempt that confirmed it, whatever was given back of it since
		)
		err = rows.Scan(&r.of.ShowtimeID, &r.of.ID, &r.swap.From.ShowtimeID, &r.swap.From.ID, &r.positions, &worth.ValueMinor, &worth.FeeMinor,
			&price, &currency, &paid.credit, &paid.due, &r.swap.State)
		of := func(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: currency} }
		credit := worth.Credit(price)
		due := price - credit
		if paid.credit != nil {
			credit, due = *paid.credit, *paid.due
		}
		r.swap.Value, r.swap.Fee, r.swap.Credit, r.swap.Due = of(worth.ValueMinor), of(worth.FeeMinor), of(credit), of(due)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	from := make([]uuid.UUID, len(found))
	for i := range found {
		from[i] = found[i].swap.From.ShowtimeID
	}
	layouts, err := s.seating.Layouts(ctx, from)
	if err != nil {
		return nil, err
	}
	swaps := make(map[payment.Reference]Swap, len(found))
	for _, r := range found {
		if layout := layouts[r.swap.From.ShowtimeID]; layout != nil {
			r.swap.Seats = layout.SeatsAt(r.positions.Sorted())
		}
		swaps[r.of] = r.swap
	}
	return swaps, nil
}

// notSwapTx is CONFLICT for a reservation that is held for a swap: what pays it is known, and only a payment can bring both.
func notSwapTx(ctx context.Context, tx *sql.Tx, of payment.Reference) error {
	var swap bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM swaps WHERE showtime_id = $1 AND reservation_id = $2)`, of.ShowtimeID, of.ID).Scan(&swap)
	if err != nil {
		return fmt.Errorf("reading a swap: %w", err)
	}
	if swap {
		return apperr.New(apperr.Conflict, "These seats are held for a swap: their customer pays what is due online, or gives them back.")
	}
	return nil
}
