package booking

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// QuotedPromotion is what a code does to a quote.
type QuotedPromotion struct {
	Code    string
	Off     money.Money      // nothing when it is refused
	Refusal promotion.Reason // "": it is used
}

// PromotionRefused says that a code cannot be used; nothing was reserved.
type PromotionRefused struct {
	Code   string
	Reason promotion.Reason
}

func (PromotionRefused) isReserveResult() {}

// refusedPromotionError carries a refusal out of a transaction that keeps nothing.
type refusedPromotionError struct{ PromotionRefused }

func (*refusedPromotionError) Error() string { return "booking: a promotion is refused" }

// quoteWith prices seats with the codes that the viewer can use, and says of each how it stands. No statement without
// codes.
func (s *Service) quoteWith(ctx context.Context, viewerID uuid.UUID, offer *showtime.Offer, seats []theater.Seat, types map[int16]pricing.TicketType, codes []string) (pricing.Quote, []promotion.Offer, error) {
	if len(codes) == 0 {
		quote, err := quoteOf(offer, seats, types)
		return quote, nil, err
	}
	offers, err := s.promos.Offers(ctx, viewerID, offer.ShowtimeID, promotion.Clean(codes))
	if err != nil {
		return pricing.Quote{}, nil, err
	}
	for {
		var rules []pricing.Rule
		for _, o := range offers {
			if o.Reason == "" {
				rules = append(rules, o.Promotion.Rule())
			}
		}
		quote, err := quoteOf(offer, seats, types, rules...)
		if err != nil {
			return pricing.Quote{}, nil, err
		}
		// Each round but the last takes a code away.
		if !promotion.Settle(offers, quote) {
			return quote, offers, nil
		}
	}
}

// claimWith claims seats: in one statement, or, against the rules of the theater or with promotions, in a transaction that
// records or uses them too. With promotions it returns *refusedPromotionError and promotion.ErrMoved; a request that was
// carried out before is answered as then, whatever has become of its codes.
func (s *Service) claimWith(ctx context.Context, viewer auth.Viewer, offer *showtime.Offer, sel selection, types map[int16]pricing.TicketType, quote pricing.Quote, in ReserveInput, offers []promotion.Offer) (c claimed, err error) {
	if !in.OverrideSeatRules && len(offers) == 0 {
		return s.claim(ctx, s.db.SQL(), viewer.UserID, offer, sel, types, quote, in)
	}
	if at := slices.IndexFunc(offers, func(o promotion.Offer) bool { return o.Reason != "" }); at >= 0 {
		c, replayed, err := s.replayed(ctx, viewer.UserID, in, seatsFingerprint(in.command(), in.ShowtimeID, sel.positions, types, in.PromoCodes))
		if err == nil && !replayed {
			err = &refusedPromotionError{PromotionRefused{Code: offers[at].Code, Reason: offers[at].Reason}}
		}
		return c, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		if in.OverrideSeatRules {
			c, err = s.overrideClaimTx(ctx, tx, viewer, offer, sel, types, quote, in)
		} else {
			c, err = s.claim(ctx, tx, viewer.UserID, offer, sel, types, quote, in)
		}
		if err != nil || c.outcome != claimedSeats {
			return err
		}
		use := promotion.Use{ViewerID: viewer.UserID, ShowtimeID: in.ShowtimeID, ReservationID: c.reservationID.UUID}
		return promotion.UseTx(ctx, tx, use, offers, quote)
	})
	return c, err
}

// replayed returns the answer that claim_seats gives to a key that was used before.
func (s *Service) replayed(ctx context.Context, viewerID uuid.UUID, in ReserveInput, asked []byte) (c claimed, found bool, err error) {
	var (
		operation string
		stored    []byte
	)
	err = s.db.SQL().QueryRowContext(ctx, `SELECT operation, fingerprint, reservation_id FROM idempotency_keys
		WHERE showtime_id = $1 AND viewer_id = $2 AND key = $3`, in.ShowtimeID, viewerID, in.IdempotencyKey).Scan(&operation, &stored, &c.reservationID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, false, nil
	case err != nil:
		return c, false, fmt.Errorf("reading a key: %w", err)
	case operation != "RESERVE" || !bytes.Equal(stored, asked):
		c.outcome = "KEY_REUSED"
	default:
		c.outcome = "REPLAYED"
	}
	return c, true, nil
}
