package booking

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/promotion"
	"marquee/internal/seating"
)

// ChangeInput asks for other seats for a reservation that waits for its payment.
type ChangeInput struct {
	ShowtimeID     uuid.UUID
	ReservationID  uuid.UUID
	SeatIDs        []uuid.UUID // all that it is to have
	TicketTypes    []SeatType  // of seats that are not an adult's; nil: those that its seats have
	PromoCodes     []string    // nil: those that it uses
	MostMinor      *int64      // that all may cost together; nil: anything
	AccessibleNeed bool        // the party needs the places for wheelchairs that it asks for
	IdempotencyKey string
}

// command says what makes a request another one, as that of ReserveInput does.
func (in ChangeInput) command() string {
	command := "CHANGE"
	if in.AccessibleNeed {
		command += " ACCESSIBLE"
	}
	if in.PromoCodes != nil {
		command += " CODES"
	}
	if in.TicketTypes != nil {
		command += " TYPES"
	}
	return command + under(in.MostMinor)
}

// fingerprint tells the request from others with its key, as far as w says which seats it wants.
func (in ChangeInput) fingerprint(w wanted) []byte {
	return seatsFingerprint(in.command(), in.ReservationID, w.positions, typesOf(w.layout, in.TicketTypes), in.PromoCodes)
}

// Validate returns BAD_USER_INPUT as that of ReserveInput does.
func (in ChangeInput) Validate() error {
	var bad apperr.Fields
	checkSeats(&bad, in.SeatIDs, in.TicketTypes)
	promotion.Check(&bad, "input.promoCodes", in.PromoCodes)
	checkKey(&bad, in.IdempotencyKey)
	return bad.Err()
}

// ChangeSeats gives a reservation of the viewer that waits for its payment other seats at the price of this moment, all or
// none; its deadline stays. Seats that it keeps nobody else can have meanwhile. The codes that it uses are used for the
// seats that it gets, or those that the viewer names instead; a code that is not for them changes nothing. Repeating it
// with the same key changes nothing more; the same key for another request is IDEMPOTENCY_KEY_REUSED. NOT_FOUND when the
// reservation is missing or someone else's, CONFLICT when it does not wait for its payment any more or one is under way,
// BAD_USER_INPUT for a seat that is not one of the showtime's, THROTTLED for who has guessed too many codes.
func (s *Service) ChangeSeats(ctx context.Context, viewer auth.Viewer, in ChangeInput) (ChangeResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return contested(func() (ChangeResult, bool, error) { return s.tryChange(ctx, viewer, in, false) })
}

// tryChange is one try; again and relaxed mean what they do in tryReserve.
func (s *Service) tryChange(ctx context.Context, viewer auth.Viewer, in ChangeInput, relaxed bool) (result ChangeResult, again bool, err error) {
	w, err := s.wantedOf(ctx, wish{
		Use:     promotion.Use{ViewerID: viewer.UserID, ShowtimeID: in.ShowtimeID, ReservationID: in.ReservationID},
		seatIDs: in.SeatIDs, types: in.TicketTypes, codes: in.PromoCodes, accessible: in.AccessibleNeed,
	})
	if err != nil {
		if done, reused := s.done(ctx, w, "CHANGE", in.IdempotencyKey, in.fingerprint); !done.Valid || reused != nil {
			return nil, false, cmp.Or(reused, err)
		}
		r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		return Changed{Reservation: r, ServerTime: now}, false, err
	}
	if relaxed {
		w.edges = seating.Edges{}
	}
	if tooHigh, again, err := s.agreed(ctx, w, in.MostMinor, in.IdempotencyKey); err != nil || again || tooHigh != nil {
		return tooHigh, again, err
	}
	c, err := s.change(ctx, w, in)
	if refusal, ok := errors.AsType[*refusedPromotionError](err); ok {
		return refusal.PromotionRefused, false, nil
	}
	if hasLost(err) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	switch c.outcome {
	case "STALE_PRICE":
		_, err := s.showtimes.FreshOffer(ctx, in.ShowtimeID)
		return nil, true, err
	case "KEY_REUSED":
		return nil, false, errKeyReused()
	case "NOT_OPEN":
		return nil, false, errNotChangeable()
	case "PAYING":
		return nil, false, errPaying()
	case changedSeats, "REPLAYED", "EXPIRED":
		if c.outcome == changedSeats {
			s.hint(in.ShowtimeID)
		}
		r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		if c.outcome == "EXPIRED" {
			return Expired{Reservation: r}, false, err
		}
		return Changed{Reservation: r, ServerTime: now}, false, err
	}
	refusal, relaxed, err := s.refusal(ctx, w, c)
	if relaxed {
		return s.tryChange(ctx, viewer, in, relaxed)
	}
	return refusal, false, err
}

// changeable is the CONFLICT that ChangeSeats would answer for a reservation, whatever the seats. One statement.
func (s *Service) changeable(ctx context.Context, r Reservation) error {
	if _, open := r.Status.After(EventChange); !open {
		return errNotChangeable()
	}
	paying, err := s.payments.Engaged(ctx, r.Reference())
	if err == nil && (paying || r.HeldUntil == nil) {
		err = errPaying()
	}
	return err
}

func errPaying() error {
	return apperr.New(apperr.Conflict, "A payment for this reservation is under way, or was given back. Try again in a moment, or cancel the reservation.")
}

// changedSeats is the outcome of a change that succeeds.
const changedSeats = "CHANGED"

// change changes seats and the uses of codes in one transaction. It returns *refusedPromotionError when nothing but a code
// speaks against it, and promotion.ErrMoved, too when the codes are not those of before any more.
func (s *Service) change(ctx context.Context, w wanted, in ChangeInput) (c claimed, err error) {
	lines, err := json.Marshal(w.quote.Lines)
	if err != nil {
		return c, fmt.Errorf("writing price lines: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, _, err := s.lockTx(ctx, tx, w.use.ViewerID, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		c = claimed{}
		err = tx.QueryRowContext(ctx, `SELECT outcome, judged_at, lost, seats_left
			FROM change_seats($1, $2, $3::text[], $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			in.ShowtimeID, in.ReservationID, textArray(EventChange.from()), w.positions, w.offer.PriceVersion, w.quote.Total.AmountMinor,
			w.offer.Currency, string(lines), in.IdempotencyKey, in.fingerprint(w),
			w.edges.Beside, w.edges.Beyond, w.keptUntil(w.offer), s.cfg.SeatsPerAddress, s.cfg.SeatsPerDevice).
			Scan(&c.outcome, &c.createdAt, &c.lost, &c.seatsLeft)
		if err != nil {
			return fmt.Errorf("changing seats: %w", err)
		}
		c.part()
		switch refused := w.refusedPromotion(); {
		case c.outcome != changedSeats:
			return nil
		case in.PromoCodes == nil && !slices.Equal(r.PromoCodes, w.before.PromoCodes):
			return promotion.ErrMoved
		case refused != nil:
			return refused
		case len(w.promos)+len(r.PromoCodes) == 0:
			return nil
		}
		return promotion.ReplaceTx(ctx, tx, w.use, w.promos, w.quote)
	})
	return c, err
}
