package booking

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/seating"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// BestInput asks for the best seats that a party could take.
type BestInput struct {
	ShowtimeID  uuid.UUID
	Seats       int32              // the whole party
	Wheelchairs int32              // how many of the seats are wheelchair places
	Categories  []theater.Category // of the other seats, the preferred one first; none: any
	MostMinor   *int64             // the price that all seats together may not exceed, in minor units
	Together    bool               // not in two groups either
	Seed        uint64             // decides between what is equally good
	Limit       int32              // how many selections
}

const maxSelections = 10

// validate returns BAD_USER_INPUT and names each field that cannot be used at a showtime.
func (in BestInput) validate(offer *showtime.Offer) error {
	var bad apperr.Fields
	if in.Seats < 1 || in.Seats > offer.MaxSeats {
		bad.Add("input.seats", "Ask for 1 to %d seats: one customer may have no more at this showtime.", offer.MaxSeats)
	}
	if in.Wheelchairs < 0 || in.Wheelchairs > max(in.Seats, 0) {
		bad.Add("input.wheelchairPlaces", "At most all seats of the party can be wheelchair places.")
	}
	if slices.Contains(in.Categories, theater.CategoryWheelchair) || slices.Contains(in.Categories, theater.CategoryCompanion) {
		bad.Add("input.categories", "Say in wheelchairPlaces how many wheelchair places the party needs. The seats beside them come with them.")
	}
	for i, c := range in.Categories {
		if slices.Contains(in.Categories[:i], c) {
			bad.Add("input.categories", "Name each category once, the preferred one first.")
			break
		}
	}
	if in.MostMinor != nil && *in.MostMinor < 0 {
		bad.Add("input.maxTotalMinor", "A price cannot be negative.")
	}
	if in.Limit < 1 || in.Limit > maxSelections {
		bad.Add("input.limit", "Ask for 1 to %d selections.", maxSelections)
	}
	return bad.Err()
}

// Best returns the best seats that a party could take, the best selection first, none overlapping another; fewer than
// asked for, or none, when there are no more, and none of a showtime that is not on sale. Nothing is held. NOT_FOUND for an
// unknown showtime, BAD_USER_INPUT. What others took within the last 20 ms may be among them, and that sales were stopped
// within the last minute may be missing. One statement at most.
func (s *Service) Best(ctx context.Context, in BestInput) ([]Suggestion, error) {
	offer, err := s.showtimes.Offer(ctx, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	if err := in.validate(offer); err != nil {
		return nil, err
	}
	if offer.Closed(s.clock.Now()) != "" {
		return []Suggestion{}, nil
	}
	layout, err := s.seating.Layout(ctx, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	states, err := s.seating.RecentStates(ctx, in.ShowtimeID)
	if err != nil {
		return nil, err
	}
	ceiling := in.MostMinor
	if ceiling != nil {
		left := max(*ceiling-offer.Once, 0) // what costs nothing pays nothing once either
		ceiling = &left
	}
	return s.suggest(offer, layout, states, seating.Wish{
		Seats: int(in.Seats), Wheelchairs: int(in.Wheelchairs), Categories: in.Categories, Prices: offer.Adult,
		Ceiling: ceiling, Together: in.Together, Seed: in.Seed,
	}, int(in.Limit))
}

// suggest returns the best selections with what adults pay for them. None of them breaks a rule of the theater.
func (s *Service) suggest(offer *showtime.Offer, layout *theater.Layout, states []seating.State, wish seating.Wish, limit int) ([]Suggestion, error) {
	wish.NoneAlone = noneAlone(offer, states, s.clock.Now())
	found := []Suggestion{} // none is an answer, too
	for _, selection := range seating.Best(layout, states, wish, seating.DefaultWeights(), limit) {
		quote, err := quoteOf(offer, selection.Seats, nil)
		if err != nil {
			return nil, err
		}
		found = append(found, Suggestion{Seats: selection.Seats, Total: quote.Total, Reasons: selection.Reasons})
	}
	return found, nil
}
