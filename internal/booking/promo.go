package booking

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

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
func (PromotionRefused) isChangeResult()  {}

// refusedPromotionError carries a refusal out of a transaction that keeps nothing.
type refusedPromotionError struct{ PromotionRefused }

func (*refusedPromotionError) Error() string { return "booking: a promotion is refused" }

// quoteWith prices seats with the promotions that can be used, and says of each other one why it cannot.
func quoteWith(offer *showtime.Offer, seats []theater.Seat, types map[int16]pricing.TicketType, offers []promotion.Offer) (pricing.Quote, error) {
	for {
		var rules []pricing.Rule
		for _, o := range offers {
			if o.Reason == "" {
				rules = append(rules, o.Promotion.Rule())
			}
		}
		quote, err := quoteOf(offer, seats, types, rules...)
		// Each round but the last takes a code away.
		if err != nil || !promotion.Settle(offers, quote) {
			return quote, err
		}
	}
}

// refusedPromotion returns the first code of wanted seats that cannot be used; nil when all can.
func (w wanted) refusedPromotion() error {
	at := slices.IndexFunc(w.promos, func(o promotion.Offer) bool { return o.Reason != "" })
	if at < 0 {
		return nil
	}
	return &refusedPromotionError{PromotionRefused{Code: w.promos[at].Code, Reason: w.promos[at].Reason}}
}

// claimWith claims seats: in one statement, or, against the rules of the theater, with promotions or for a swap, in a
// transaction that records or uses them too. With promotions it returns *refusedPromotionError and promotion.ErrMoved; a request that was
// carried out before is answered as then, whatever has become of its codes.
func (s *Service) claimWith(ctx context.Context, viewer auth.Viewer, w wanted, in ReserveInput) (c claimed, err error) {
	if !in.OverrideSeatRules && len(w.promos) == 0 && in.swap == nil {
		return s.claim(ctx, s.db.SQL(), viewer.UserID, w, in)
	}
	if refused := w.refusedPromotion(); refused != nil {
		c, replayed, err := s.replayed(ctx, w.use, "RESERVE", in.IdempotencyKey, in.fingerprint(w))
		if err == nil && !replayed {
			err = refused
		}
		return c, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		if in.OverrideSeatRules {
			c, err = s.overrideClaimTx(ctx, tx, viewer, w, in)
		} else {
			c, err = s.claim(ctx, tx, viewer.UserID, w, in)
		}
		if err != nil || c.outcome != claimedSeats {
			return err
		}
		if in.swap != nil {
			if err := in.swap.recordTx(ctx, tx, in.ShowtimeID, c.reservationID.UUID); err != nil || len(w.promos) == 0 {
				return err
			}
		}
		use := w.use
		use.ReservationID = c.reservationID.UUID
		return promotion.UseTx(ctx, tx, use, w.promos, w.quote)
	})
	return c, err
}

// replayed returns the answer that claim_seats and change_seats give to a key that was used before.
func (s *Service) replayed(ctx context.Context, use promotion.Use, command, key string, asked []byte) (c claimed, found bool, err error) {
	var (
		operation string
		stored    []byte
	)
	err = s.db.SQL().QueryRowContext(ctx, `SELECT operation, fingerprint, reservation_id FROM idempotency_keys
		WHERE showtime_id = $1 AND viewer_id = $2 AND key = $3`, use.ShowtimeID, use.ViewerID, key).Scan(&operation, &stored, &c.reservationID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, false, nil
	case err != nil:
		return c, false, fmt.Errorf("reading a key: %w", err)
	case operation != command || !bytes.Equal(stored, asked):
		c.outcome = "KEY_REUSED"
	default:
		c.outcome = "REPLAYED"
	}
	return c, true, nil
}
