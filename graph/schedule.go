package graph

import (
	"fmt"

	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// showtimeDetails decodes what shall be shown: BAD_USER_INPUT.
func showtimeDetails(in model.ShowtimeInput) (showtime.Details, error) {
	movieID, err := decodeID(typeid.Movie, "input.showtime.movieId", in.MovieID)
	if err != nil {
		return showtime.Details{}, err
	}
	d := showtime.Details{
		MovieID: movieID, Starts: showtime.Wall{Time: in.StartsAtLocal}, Format: in.Format, Language: in.Language, Subtitles: in.Subtitles,
		Prices: make(map[theater.Category]int64, len(in.Prices)), MaxSeats: in.MaxSeatsPerCustomer,
		SalesOpenAt: in.SalesOpenAt, SalesMinutes: in.SalesCloseMinutesAfterStart,
	}
	if in.WhenRepeated != nil {
		d.Starts.Repeated = *in.WhenRepeated
	}
	for i, price := range in.Prices {
		if _, twice := d.Prices[price.Category]; twice {
			return d, apperr.Invalid(fmt.Sprintf("input.showtime.prices.%d.category", i), "Give each category once.")
		}
		d.Prices[price.Category] = price.AmountMinor
	}
	return d, nil
}

func createShowtimeResult(result showtime.CreateResult) (model.CreateShowtimeResult, error) {
	switch r := result.(type) {
	case showtime.Created:
		return model.CreateShowtimePayload{Showtime: r.Showtime}, nil
	case showtime.Occupied:
		return screenOccupied(r), nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

func updateShowtimeResult(result showtime.UpdateResult) (model.UpdateShowtimeResult, error) {
	switch r := result.(type) {
	case showtime.Updated:
		return model.UpdateShowtimePayload{Showtime: r.Showtime}, nil
	case showtime.Occupied:
		return screenOccupied(r), nil
	case showtime.Reserved:
		return model.ShowtimeReserved{
			Code: model.UserErrorCodeShowtimeReserved, Message: "Customers have reserved this showtime as it is.",
			Reservations: r.Reservations, Fields: r.Fields,
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

func screenOccupied(r showtime.Occupied) model.ScreenOccupied {
	return model.ScreenOccupied{Code: model.UserErrorCodeScreenOccupied, Message: "Other showtimes have the screen at this time.", Showtimes: r.By}
}
