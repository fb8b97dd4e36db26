package booking

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// wish is what reserving and changing have in common: who wants which seats, for whom, with which codes.
type wish struct {
	promotion.Use // of a change, its reservation, which gives its seats and the uses of its codes back

	seatIDs    []uuid.UUID
	types      []SeatType // nil: those that the seats of the reservation have
	codes      []string   // nil: those that the reservation uses
	accessible bool
}

// wanted is seats of a showtime that somebody wants, with whom they are for and what they cost at this moment.
type wanted struct {
	selection

	use    promotion.Use
	offer  *showtime.Offer
	layout *theater.Layout
	types  map[int16]pricing.TicketType
	quote  pricing.Quote
	promos []promotion.Offer
	before Reservation // of a change; where rules are judged its seats are free
}

// wantedOf prices a selection: NOT_FOUND for an unknown showtime, and for a reservation that is not the viewer's,
// BAD_USER_INPUT for a seat that is not one of the showtime, or not for sale.
func (s *Service) wantedOf(ctx context.Context, in wish) (w wanted, err error) {
	w.use = in.Use
	look := s.promos.Offers
	if in.ReservationID != uuid.Nil {
		if w.before, _, err = s.reservation(ctx, in.ViewerID, in.ShowtimeID, in.ReservationID); err != nil {
			return w, err
		}
		if in.codes == nil {
			in.codes, look = w.before.PromoCodes, s.promos.OffersAgain
		}
	}
	if w.offer, err = s.showtimes.Offer(ctx, in.ShowtimeID); err != nil {
		return w, err
	}
	if w.layout, err = s.seating.Layout(ctx, in.ShowtimeID); err != nil {
		return w, err
	}
	positions, err := positionsOf(w.layout, in.seatIDs)
	if err != nil {
		return w, err
	}
	w.selection, w.types = selectionOf(w.offer, w.layout, positions, in.accessible), typesOf(w.layout, in.types)
	if in.types == nil {
		w.types = w.before.typesAt(positions)
	}
	if len(in.codes) > 0 {
		if in.ReservationID != uuid.Nil {
			if w.use.GivesID, err = s.givenUpFor(ctx, in.ShowtimeID, in.ReservationID); err != nil {
				return w, err
			}
		}
		if w.promos, err = look(ctx, w.use, promotion.Clean(in.codes)); err != nil {
			return w, err
		}
	}
	w.quote, err = quoteWith(w.offer, w.seats, w.types, w.promos)
	return w, err
}

// typesAt are the ticket types of the reservation's seats when it has those at the positions instead: seats that it keeps are
// for whom they were, and of as many seats as it has the others are, by position, for those whose seats they come for.
func (r Reservation) typesAt(positions seatno.List) map[int16]pricing.TicketType {
	types := maps.Clone(r.Types)
	isIn := func(list seatno.List) func(int16) bool {
		return func(position int16) bool { return slices.Contains(list, position) }
	}
	left := slices.DeleteFunc(r.Positions.Sorted(), isIn(positions))
	come := slices.DeleteFunc(positions.Sorted(), isIn(r.Positions))
	for i, position := range left {
		if of, ok := types[position]; ok && len(left) == len(come) {
			types[come[i]] = of
		}
		delete(types, position)
	}
	return types
}

func positionsOf(layout *theater.Layout, seatIDs []uuid.UUID) (seatno.List, error) {
	var bad apperr.Fields
	positions := make(seatno.List, 0, len(seatIDs))
	for i, id := range seatIDs {
		position, ok := layout.PositionOf(id)
		if !ok {
			bad.Add(fmt.Sprintf("input.seatIds.%d", i), "This seat is not one of this showtime.")
		}
		positions = append(positions, position)
	}
	return positions.Sorted(), bad.Err()
}

// under says, as part of a command, what its seats may cost.
func under(mostMinor *int64) string {
	if mostMinor == nil {
		return ""
	}
	return fmt.Sprintf(" UNDER %d", *mostMinor)
}

// done reports whether a command that cannot be priced any more was carried out before, and returns the reservation whose
// seats it gave: what was done stays done, whatever has become of seats, prices and codes. It says IDEMPOTENCY_KEY_REUSED
// of another command.
func (s *Service) done(ctx context.Context, w wanted, command, key string, fingerprint func(wanted) []byte) (reservation uuid.NullUUID, err error) {
	if w.layout == nil {
		return reservation, nil
	}
	c, found, err := s.replayed(ctx, w.use, command, key, fingerprint(w))
	if err == nil && found && c.outcome == "KEY_REUSED" {
		err = errKeyReused()
	}
	return c.reservationID, err
}

// agreed refuses wanted seats that cost more than the viewer agreed to pay, unless the command was done before: then its
// answer stands. again says that the price was an old one.
func (s *Service) agreed(ctx context.Context, w wanted, mostMinor *int64, key string) (_ refusal, again bool, err error) {
	isRefused := func(o promotion.Offer) bool { return o.Reason != "" }
	if mostMinor == nil || w.quote.Total.AmountMinor <= *mostMinor || slices.ContainsFunc(w.promos, isRefused) {
		return nil, false, nil
	}
	fresh, err := s.showtimes.FreshOffer(ctx, w.offer.ShowtimeID)
	if err != nil || fresh.PriceVersion != w.offer.PriceVersion {
		return nil, err == nil, err
	}
	var done bool
	err = s.db.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM idempotency_keys WHERE showtime_id = $1 AND viewer_id = $2 AND key = $3)`,
		w.offer.ShowtimeID, w.use.ViewerID, key).Scan(&done)
	if err != nil {
		return nil, false, fmt.Errorf("reading a key: %w", err)
	}
	if done {
		return nil, false, nil
	}
	return PriceTooHigh{Total: w.quote.Total}, false, nil
}

// leave shows the seats of a reservation as free.
func (r Reservation) leave(states []seating.State) {
	for _, position := range r.Positions {
		states[position-1] = seatfeed.Available
	}
}

// refusal is why wanted seats are not given, where reserving and changing have the same reasons.
type refusal interface {
	ReserveResult
	ChangeResult
	SaleResult
}

// refusal says why a claim was not granted; relaxed says that it may leave alone the seats that kept it from being so.
func (s *Service) refusal(ctx context.Context, w wanted, c claimed) (_ refusal, relaxed bool, err error) {
	switch c.outcome {
	case "NOT_YET_OPEN":
		return ShowtimeClosed{Reason: showtime.ClosedNotYetOpen}, false, nil
	case "CLOSED":
		reason, err := s.closedReason(ctx, w.offer.ShowtimeID)
		return ShowtimeClosed{Reason: reason}, false, err
	case "TOO_MANY":
		return LimitExceeded{Of: LimitOfCustomer, Limit: w.offer.MaxSeats, Remaining: c.seatsLeft.Int32}, false, nil
	case "TOO_MANY_THERE":
		return LimitExceeded{Of: LimitOfAddress, Limit: int32(s.cfg.SeatsPerAddress), Remaining: c.seatsLeft.Int32}, false, nil
	case "TOO_MANY_BY_DEVICE":
		return LimitExceeded{Of: LimitOfDevice, Limit: int32(s.cfg.SeatsPerDevice), Remaining: c.seatsLeft.Int32}, false, nil
	case "PROTECTED":
		// The claim counts seats after this rule; nobody is offered more of them than they may have.
		if len(w.positions) > int(w.offer.MaxSeats) {
			sale, err := s.saleOf(ctx, w.offer, w.use.ViewerID)
			return LimitExceeded{Of: LimitOfCustomer, Limit: w.offer.MaxSeats, Remaining: max(w.offer.MaxSeats-sale.mine, 0)}, false, err
		}
	case "TAKEN", "ALONE":
	default:
		return nil, false, fmt.Errorf("a claim was answered %q", c.outcome)
	}
	states, err := s.seating.RecentStates(ctx, w.offer.ShowtimeID)
	if err != nil {
		return nil, false, err
	}
	w.before.leave(states)
	// A claim under way, or a recent one, is not in the map yet.
	for _, position := range c.lost {
		states[position-1] = seating.Held
	}
	if c.outcome == "ALONE" && w.relaxation(w.offer, w.layout, states, c.alone, c.createdAt.Time) != "" {
		return nil, true, nil
	}
	others, err := s.instead(w.offer, w.layout, states, w.selection)
	switch {
	case err != nil:
		return nil, false, err
	case c.outcome == "TAKEN":
		return SeatsUnavailable{ShowtimeID: w.offer.ShowtimeID, Seats: w.layout.SeatsAt(c.lost), Alternatives: others}, false, nil
	case c.outcome == "PROTECTED":
		return RuleBroken{Rule: w.kept[0].rule, Seats: w.kept[0].seats, Alternatives: others}, false, nil
	default:
		return RuleBroken{Rule: RuleSeatAlone, Seats: w.layout.SeatsAt(c.alone), Alternatives: others}, false, nil
	}
}

func (s *Service) closedReason(ctx context.Context, showtimeID uuid.UUID) (showtime.ClosedReason, error) {
	found, err := s.showtimes.ShowtimesByID(ctx, []uuid.UUID{showtimeID})
	if err == nil && found[showtimeID].Status == showtime.StatusCancelled {
		return showtime.ClosedCancelled, nil
	}
	return showtime.ClosedSalesEnded, err
}

// hasLost reports whether somebody else was first, at a seat, a code or the key, or waited for what this command had: to
// ask again tells how it stands.
func hasLost(err error) bool {
	const deadlock = "40P01"
	state := postgres.SQLState(err)
	return errors.Is(err, promotion.ErrMoved) || state == lostRace || state == deadlock || postgres.IsUniqueViolation(err, "idempotency_keys_pkey")
}

func errKeyReused() error {
	return apperr.New(apperr.IdempotencyKeyReused, "This idempotency key was used for another request.")
}

func errNotChangeable() error {
	return apperr.New(apperr.Conflict, "The seats of this reservation cannot be changed any more.")
}

func errPaymentUnderWay() error {
	return apperr.New(apperr.Conflict, "A payment for this reservation is under way. Try again in a moment.")
}
