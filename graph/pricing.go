package graph

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/graph/loader"
	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/money"
	"marquee/internal/pricing"
	"marquee/internal/showtime"
	"marquee/internal/typeid"
)

// validity is what a quote says of how long it holds.
const validity = "The price is frozen when the seats are held. Until then the theater may change it."

// seatsInput decodes seats and whom they are for.
func seatsInput(ids []string, of []model.SeatTicketTypeInput) (seats []uuid.UUID, types []booking.SeatType, err error) {
	if len(ids) > maxSeatIDs {
		return nil, nil, apperr.Invalid("input.seatIds", "Choose at most %d seats at once.", maxSeatIDs)
	}
	if len(of) > maxSeatIDs {
		return nil, nil, apperr.Invalid("input.ticketTypes", "Give at most %d ticket types at once.", maxSeatIDs)
	}
	seats, types = make([]uuid.UUID, len(ids)), make([]booking.SeatType, len(of))
	for i, id := range ids {
		if seats[i], err = decodeID(typeid.Seat, fmt.Sprintf("input.seatIds.%d", i), id); err != nil {
			return nil, nil, err
		}
	}
	if of == nil {
		types = nil
	}
	for i, one := range of {
		types[i].Type = one.Type
		if types[i].SeatID, err = decodeID(typeid.Seat, fmt.Sprintf("input.ticketTypes.%d.seatId", i), one.SeatID); err != nil {
			return nil, nil, err
		}
	}
	return seats, types, nil
}

// insteadOf decodes a reservation of a showtime that would have other seats; uuid.Nil when there is none.
func insteadOf(showtimeID uuid.UUID, reservation *string) (uuid.UUID, error) {
	if reservation == nil {
		return uuid.Nil, nil
	}
	at, id, err := decodeIDIn(typeid.Reservation, "input.reservationId", *reservation)
	if err == nil && at != showtimeID {
		err = apperr.Invalid("input.reservationId", "This is a reservation of another showtime.")
	}
	return id, err
}

func quoteInput(input model.QuoteInput) (in booking.QuoteInput, err error) {
	if in.ShowtimeID, err = decodeID(typeid.Showtime, "input.showtimeId", input.ShowtimeID); err != nil {
		return in, err
	}
	if in.Instead, err = insteadOf(in.ShowtimeID, input.ReservationID); err != nil {
		return in, err
	}
	in.PromoCodes = input.PromoCodes
	in.SeatIDs, in.TicketTypes, err = seatsInput(input.SeatIds, input.TicketTypes)
	return in, err
}

// priceRuleInput decodes a rule as it shall be.
func priceRuleInput(input model.PriceRuleInput) (in showtime.PriceRuleInput, err error) {
	in = showtime.PriceRuleInput{Active: input.Active, Rule: pricing.Rule{
		Kind: input.Kind, Label: input.Label, PerReservation: input.PerReservation, Included: input.Included,
	}}
	r := &in.Rule
	if input.TicketType != nil {
		r.TicketType = *input.TicketType
	}
	if input.Format != nil {
		r.Format = *input.Format
	}
	for _, day := range input.Weekdays {
		r.Weekdays |= pricing.DaysOf(weekdays[day])
	}
	if r.From, err = wallTime("input.rule.from", input.From); err != nil {
		return in, err
	}
	if r.To, err = wallTime("input.rule.to", input.To); err != nil {
		return in, err
	}
	if input.PercentBasisPoints != nil {
		r.BasisPoints = *input.PercentBasisPoints
	}
	if input.AmountMinor != nil {
		r.AmountMinor = *input.AmountMinor
	}
	return in, nil
}

// priceRules encodes rules of one theater: NOT_FOUND when there is no such theater.
func priceRules(ctx context.Context, theaterID uuid.UUID, rules ...showtime.PriceRule) ([]model.PriceRule, error) {
	of, err := loader.From(ctx).Theater.Load(ctx, theaterID)
	if err != nil {
		return nil, err
	}
	return mapped(rules, func(rule showtime.PriceRule) model.PriceRule { return priceRule(rule, of.Currency) }), nil
}

// priceRule encodes a rule of a theater with a currency.
func priceRule(rule showtime.PriceRule, currency string) model.PriceRule {
	r := rule.Rule
	out := model.PriceRule{
		ID: rule.NodeID(), Kind: r.Kind, Label: r.Label, PerReservation: r.PerReservation, Included: r.Included, Active: rule.Active,
	}
	switch r.Kind {
	case pricing.ByType:
		out.TicketType = &r.TicketType
	case pricing.ByFormat:
		out.Format = &r.Format
	case pricing.ByTime:
		from, to := clockText(r.From), clockText(r.To)
		out.From, out.To = &from, &to
		for _, day := range model.AllWeekday {
			if r.Weekdays.Has(weekdays[day]) {
				out.Weekdays = append(out.Weekdays, day)
			}
		}
	default:
	}
	if r.BasisPoints != 0 {
		out.PercentBasisPoints = &r.BasisPoints
	} else {
		out.Amount = &money.Money{AmountMinor: r.AmountMinor, Currency: currency}
	}
	return out
}

var weekdays = map[model.Weekday]time.Weekday{
	model.WeekdayMonday: time.Monday, model.WeekdayTuesday: time.Tuesday, model.WeekdayWednesday: time.Wednesday, model.WeekdayThursday: time.Thursday,
	model.WeekdayFriday: time.Friday, model.WeekdaySaturday: time.Saturday, model.WeekdaySunday: time.Sunday,
}

// wallTime returns the minute of the day of a text like 18:00; 24:00 is the end of the day.
func wallTime(path string, text *string) (int16, error) {
	if text == nil {
		return 0, nil
	}
	if *text == "24:00" {
		return 24 * 60, nil
	}
	at, err := time.Parse("15:04", *text)
	if err != nil || len(*text) != len("15:04") {
		return 0, apperr.Invalid(path, "Give a time of the day as 18:00, from 00:00 to 24:00.")
	}
	return int16(at.Hour()*60 + at.Minute()), nil
}

func clockText(minute int16) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }
