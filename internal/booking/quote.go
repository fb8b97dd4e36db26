package booking

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/money"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// SeatType says whom a seat is for.
type SeatType struct {
	SeatID uuid.UUID
	Type   pricing.TicketType
}

// QuoteInput asks what seats of a showtime cost.
type QuoteInput struct {
	ShowtimeID  uuid.UUID
	SeatIDs     []uuid.UUID
	TicketTypes []SeatType // of seats that are not an adult's
	PromoCodes  []string   // nil, of a change: those that the reservation uses
	ViewerID    uuid.UUID  // who would use the codes; of nobody without codes, or a reservation
	Instead     uuid.UUID  // a reservation of the viewer whose seats these would be; uuid.Nil: a new one
}

// Validate returns BAD_USER_INPUT when there is no seat, a seat twice, or a ticket type for another seat.
func (in QuoteInput) Validate() error {
	var bad apperr.Fields
	checkSeats(&bad, in.SeatIDs, in.TicketTypes)
	promotion.Check(&bad, "input.promoCodes", in.PromoCodes)
	return bad.Err()
}

// Quoted is what seats cost at this moment.
type Quoted struct {
	Lines      []Line
	Total      money.Money
	Promotions []QuotedPromotion      // by the order of the codes
	Closed     *showtime.ClosedReason // why nobody can have them at this moment; nil: somebody can

	// For QuotedRefund.
	showtimeID uuid.UUID
	lines      []pricing.Line
	items      []pricing.Item
}

// Quote returns what seats cost, free or not: nothing is held, and the price may change until they are. NOT_FOUND for
// an unknown showtime or reservation, BAD_USER_INPUT for a seat that is not one of the showtime's, or not for sale,
// CONFLICT for a reservation whose seats ChangeSeats would not change. What the theater changed within the last minute may be
// missing. No statement when the showtime is in memory, but one for codes, two for a reservation, and one for its codes.
func (s *Service) Quote(ctx context.Context, in QuoteInput) (Quoted, error) {
	if err := in.Validate(); err != nil {
		return Quoted{}, err
	}
	w, err := s.wantedOf(ctx, wish{
		Use:     promotion.Use{ViewerID: in.ViewerID, ShowtimeID: in.ShowtimeID, ReservationID: in.Instead},
		seatIDs: in.SeatIDs, types: in.TicketTypes, codes: in.PromoCodes,
	})
	if err != nil {
		return Quoted{}, err
	}
	if in.Instead != uuid.Nil {
		if err := s.changeable(ctx, w.before); err != nil {
			return Quoted{}, err
		}
	}
	quoted := Quoted{
		Lines: linesOf(w.quote.Lines, w.offer.Currency), Total: w.quote.Total,
		Closed: s.showtimes.Closed(w.offer.Sale), showtimeID: in.ShowtimeID, lines: w.quote.Lines, items: itemsOf(w.seats, w.types),
	}
	for _, o := range w.promos {
		quoted.Promotions = append(quoted.Promotions, QuotedPromotion{
			Code: o.Code, Refusal: o.Reason, Off: money.Money{AmountMinor: w.quote.Off(o.Code), Currency: w.offer.Currency},
		})
	}
	return quoted, nil
}

// typesOf returns the ticket types by position, those of adults left out; nil when all are adults.
func typesOf(layout *theater.Layout, list []SeatType) map[int16]pricing.TicketType {
	var types map[int16]pricing.TicketType
	for _, of := range list {
		position, ok := layout.PositionOf(of.SeatID)
		if !ok || of.Type == pricing.Adult {
			continue
		}
		if types == nil {
			types = make(map[int16]pricing.TicketType, len(list))
		}
		types[position] = of.Type
	}
	return types
}

// quoteOf prices seats by what a showtime offers: BAD_USER_INPUT for a seat that is not for sale. A seat without a type
// is an adult's.
func quoteOf(offer *showtime.Offer, seats []theater.Seat, types map[int16]pricing.TicketType, promotions ...pricing.Rule) (pricing.Quote, error) {
	items := make([]pricing.Item, len(seats))
	for i := range seats {
		seat := &seats[i]
		base, sold := offer.Prices[seat.Category]
		if !sold {
			return pricing.Quote{}, apperr.Invalid("input.seatIds", "At least one of these seats is not for sale at this showtime.")
		}
		items[i] = pricing.Item{Position: seat.Position, Category: string(seat.Category), Title: seat.Category.Title(), Type: pricing.Adult, BaseMinor: base}
		if of, ok := types[seat.Position]; ok {
			items[i].Type = of
		}
	}
	return offer.Chain.With(promotions).Price(items, offer.Currency)
}

// seatsFingerprint is fingerprint for seats of which some are not for adults, or that are had with codes.
func seatsFingerprint(operation string, showtimeID uuid.UUID, positions seatno.List, types map[int16]pricing.TicketType, codes []string) []byte {
	sum := fingerprint(operation, showtimeID, positions)
	if len(types)+len(codes) == 0 {
		return sum
	}
	h := sha256.New()
	h.Write(sum)
	for _, position := range positions {
		if of, ok := types[position]; ok {
			h.Write(binary.BigEndian.AppendUint16(nil, uint16(position)))
			h.Write([]byte(of + ";"))
		}
	}
	for _, code := range slices.Sorted(slices.Values(promotion.Clean(codes))) {
		h.Write([]byte("\x00\x00" + code))
	}
	return h.Sum(nil)
}
