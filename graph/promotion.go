package graph

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"marquee/graph/loader"
	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/booking"
	"marquee/internal/money"
	"marquee/internal/promotion"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

var promotionWords = map[promotion.Reason]string{
	promotion.Unknown:       "There is no such code.",
	promotion.NotYet:        "This code does not hold yet.",
	promotion.Ended:         "This code does not hold any more.",
	promotion.UsedUp:        "This code is used up.",
	promotion.TooLittleLeft: "Too little is left of this code for these seats. It may do for fewer.",
	promotion.NotForThis:    "This code is not for these tickets.",
	promotion.LimitReached:  "You have used this code as often as one can.",
	promotion.NotCombinable: "This code cannot be used together with others.",
}

func quotedPromotion(p booking.QuotedPromotion) model.QuotedPromotion {
	if p.Refusal != "" {
		return model.QuotedPromotion{Code: p.Code, Refusal: &p.Refusal}
	}
	return model.QuotedPromotion{Code: p.Code, AmountOff: &p.Off}
}

// promotionInput decodes a promotion as it shall be.
func promotionInput(input model.PromotionInput) (in promotion.Input, err error) {
	in = promotion.Input{
		Code: input.PromoCode, Label: input.Label, StartsAt: input.StartsAt, EndsAt: input.EndsAt, MaxUses: input.MaxUses, MaxMinor: input.MaxTotalMinor,
		PerUser: input.MaxUsesPerCustomer, Combinable: input.Combinable, Active: input.Active, Scope: promotion.Scope{TicketTypes: input.TicketTypes},
	}
	if input.PercentOffBasisPoints != nil {
		in.BasisPoints = -*input.PercentOffBasisPoints
	}
	if input.AmountOffMinor != nil {
		in.AmountMinor = -*input.AmountOffMinor
	}
	for _, category := range input.Categories {
		in.Scope.Categories = append(in.Scope.Categories, string(category))
	}
	if len(input.MovieIds) > maxSeatIDs {
		return in, apperr.Invalid("input.promotion.movieIds", "Name at most %d movies.", maxSeatIDs)
	}
	for i, id := range input.MovieIds {
		movie, err := decodeID(typeid.Movie, fmt.Sprintf("input.promotion.movieIds.%d", i), id)
		if err != nil {
			return in, err
		}
		in.Scope.MovieIDs = append(in.Scope.MovieIDs, movie)
	}
	return in, nil
}

// promotionOf encodes a promotion of its theater.
func promotionOf(ctx context.Context, p promotion.Promotion) (model.Promotion, error) {
	of, err := loader.From(ctx).Theater.Load(ctx, p.TheaterID)
	if err != nil {
		return model.Promotion{}, err
	}
	return shownPromotion(p, of.Currency), nil
}

func shownPromotion(p promotion.Promotion, currency string) model.Promotion {
	in := func(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: currency} }
	out := model.Promotion{
		ID: p.NodeID(), PromoCode: p.Code, Label: p.Label, StartsAt: p.StartsAt, EndsAt: p.EndsAt, MaxUses: p.MaxUses, MaxUsesPerCustomer: p.PerUser,
		Combinable: p.Combinable, TicketTypes: p.Scope.TicketTypes, Active: p.Active, Uses: p.UsedCount, UsedTotal: in(p.UsedMinor),
		MovieIds:   mapped(p.Scope.MovieIDs, func(id uuid.UUID) string { return typeid.Encode(typeid.Movie, id) }),
		Categories: mapped(p.Scope.Categories, func(c string) theater.Category { return theater.Category(c) }),
	}
	if p.BasisPoints != 0 {
		off := -p.BasisPoints
		out.PercentOffBasisPoints = &off
	} else {
		off := in(-p.AmountMinor)
		out.AmountOff = &off
	}
	if p.MaxMinor != nil {
		most := in(*p.MaxMinor)
		out.MaxTotal = &most
	}
	return out
}
