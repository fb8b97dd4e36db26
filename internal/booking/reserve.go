package booking

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/pricing"
	"marquee/internal/promotion"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// ReserveInput asks for seats of a showtime.
type ReserveInput struct {
	ShowtimeID        uuid.UUID
	SeatIDs           []uuid.UUID
	TicketTypes       []SeatType // of seats that are not an adult's
	PromoCodes        []string
	MostMinor         *int64 // that all may cost together; nil: anything
	IdempotencyKey    string
	AccessibleNeed    bool   // the party needs the places for wheelchairs that it asks for
	OverrideSeatRules bool   // by staff of the theater: no Rule counts, and it is recorded
	Address           string // that the request comes from; "": not known, and not counted
	Device            string // on which the client says that it runs; "": it says none, and is not counted

	swap *giving // what it is swapped for; nil: nothing
}

// command says what makes a request another one, beside the seats, when it comes with the same idempotency key.
func (in ReserveInput) command() string {
	command := "RESERVE"
	if in.swap != nil {
		command = in.swap.command
	}
	if in.AccessibleNeed {
		command += " ACCESSIBLE"
	}
	if in.OverrideSeatRules {
		command += " OVERRIDE"
	}
	if in.swap == nil { // of a swap it follows from what may be due
		command += under(in.MostMinor)
	}
	return command
}

// fingerprint tells the request from others with its key, as far as w says which seats it wants.
func (in ReserveInput) fingerprint(w wanted) []byte {
	return seatsFingerprint(in.command(), in.ShowtimeID, w.positions, w.types, in.PromoCodes)
}

// Validate returns BAD_USER_INPUT when there is no seat, a seat twice, a ticket type for another seat, or no usable key.
func (in ReserveInput) Validate() error {
	var bad apperr.Fields
	checkSeats(&bad, in.SeatIDs, in.TicketTypes)
	promotion.Check(&bad, "input.promoCodes", in.PromoCodes)
	checkKey(&bad, in.IdempotencyKey)
	return bad.Err()
}

// checkSeats records what keeps seats with ticket types from being a selection.
func checkSeats(bad *apperr.Fields, seats []uuid.UUID, types []SeatType) {
	if len(seats) == 0 {
		bad.Add("input.seatIds", "Choose at least one seat.")
	}
	seen := make(map[uuid.UUID]bool, len(seats))
	for i, id := range seats {
		if seen[id] {
			bad.Add(fmt.Sprintf("input.seatIds.%d", i), "This seat stands in the list twice.")
		}
		seen[id] = true
	}
	for i, of := range types {
		chosen, known := seen[of.SeatID]
		switch {
		case !known:
			bad.Add(fmt.Sprintf("input.ticketTypes.%d.seatId", i), "This seat is not one of seatIds.")
		case !chosen:
			bad.Add(fmt.Sprintf("input.ticketTypes.%d.seatId", i), "This seat has a ticket type already.")
		default:
			seen[of.SeatID] = false
		}
	}
}

func checkKey(bad *apperr.Fields, key string) {
	const path = "input.idempotencyKey"
	switch n := utf8.RuneCountInString(key); {
	case n < 8 || n > 255 || !words.Printable(key):
		bad.Add(path, "Give a key of 8 to 255 printable characters, new for each intent.")
	case words.IsCardNumber(key):
		words.CheckCardNumber(bad, path, key)
	}
}

// claimTries bounds how often a claim is repeated after it lost a race or quoted from an old price list.
const claimTries = 3

// alternatives is how many other selections a refusal offers.
const alternatives = 3

// Reserve holds seats for the viewer, all or none. Repeating it with the same key gives the same reservation as it
// stands; the same key for another request is IDEMPOTENCY_KEY_REUSED. NOT_FOUND for an unknown showtime, BAD_USER_INPUT
// for a seat that is not one of the showtime's, FORBIDDEN for rules overridden by who is not staff of the theater. One
// statement in the usual case; seats held against a rule take a transaction.
func (s *Service) Reserve(ctx context.Context, viewer auth.Viewer, in ReserveInput) (ReserveResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return contested(func() (ReserveResult, bool, error) { return s.tryReserve(ctx, viewer, in, false) })
}

// contested asks again, a few times, while the price list is old or a race for a seat or a key was lost.
func contested[Result any](ask func() (result Result, again bool, err error)) (Result, error) {
	for try := 1; ; try++ {
		result, again, err := ask()
		if err != nil || !again {
			return result, err
		}
		if try == claimTries {
			return result, apperr.New(apperr.Unavailable, "Too many people want these seats at this moment. Try again.")
		}
	}
}

// tryReserve is one try; again asks for another, because the price list was old, or a race for a seat or for the key
// was lost. relaxed says that the seats may leave others alone.
func (s *Service) tryReserve(ctx context.Context, viewer auth.Viewer, in ReserveInput, relaxed bool) (result ReserveResult, again bool, err error) {
	w, err := s.wantedOf(ctx, wish{
		Use:     promotion.Use{ViewerID: viewer.UserID, ShowtimeID: in.ShowtimeID, GivesID: in.swap.goes()},
		seatIDs: in.SeatIDs, types: in.TicketTypes, codes: in.PromoCodes, accessible: in.AccessibleNeed,
	})
	if err != nil {
		done, reused := s.done(ctx, w, "RESERVE", in.IdempotencyKey, in.fingerprint)
		if !done.Valid || reused != nil {
			return nil, false, cmp.Or(reused, err)
		}
		r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, done.UUID)
		return Reserved{Reservation: r, ServerTime: now}, false, err
	}
	if in.OverrideSeatRules && !viewer.Has(auth.RoleTheaterStaff, w.offer.TheaterID) {
		return nil, false, apperr.New(apperr.Forbidden, "Only staff of the theater may hold seats against its rules.")
	}
	if relaxed {
		w.edges = seating.Edges{}
	}
	if tooHigh, again, err := s.agreed(ctx, w, in.MostMinor, in.IdempotencyKey); err != nil || again || tooHigh != nil {
		return tooHigh, again, err
	}
	c, err := s.claimWith(ctx, viewer, w, in)
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
	case claimedSeats:
		s.hint(in.ShowtimeID)
		held := Reservation{
			ShowtimeID: in.ShowtimeID, ID: c.reservationID.UUID, ViewerID: viewer.UserID, Status: StatusHeld,
			Positions: w.positions, Seats: w.seats, Types: w.types, Lines: linesOf(w.quote.Lines, w.offer.Currency),
			PromoCodes: pricing.CodesOf(w.quote.Lines), Total: w.quote.Total, Stored: w.quote.Lines, HeldUntil: &c.heldUntil.Time, CreatedAt: c.createdAt.Time,
		}
		return Reserved{Reservation: held, ServerTime: c.createdAt.Time}, false, nil
	case "REPLAYED":
		r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, c.reservationID.UUID)
		return Reserved{Reservation: r, ServerTime: now}, false, err
	case "KEY_REUSED":
		return nil, false, errKeyReused()
	case "STALE_PRICE":
		_, err := s.showtimes.FreshOffer(ctx, in.ShowtimeID)
		return nil, true, err
	case "COOLING_DOWN":
		return CoolingDown{Wait: c.heldUntil.Time.Sub(c.createdAt.Time)}, false, nil
	case "NO_SHOWTIME":
		return nil, false, apperr.Missing("showtime")
	}
	refusal, relaxed, err := s.refusal(ctx, w, c)
	if relaxed {
		return s.tryReserve(ctx, viewer, in, relaxed)
	}
	return refusal, false, err
}

// claimedSeats is the outcome of a claim that succeeds.
const claimedSeats = "CLAIMED"

// claimed is the answer of claim_seats, or of change_seats.
type claimed struct {
	outcome       string
	reservationID uuid.NullUUID
	heldUntil     sql.NullTime
	createdAt     sql.NullTime // by when it was judged
	lost          seatno.List  // of TAKEN
	alone         seatno.List  // of ALONE; of a claim against the rules, left so
	seatsLeft     sql.NullInt32
}

func (s *Service) claim(ctx context.Context, on querier, viewerID uuid.UUID, w wanted, in ReserveInput) (claimed, error) {
	lines, err := json.Marshal(w.quote.Lines)
	if err != nil {
		return claimed{}, fmt.Errorf("writing price lines: %w", err)
	}
	var c claimed
	keptUntil := w.keptUntil(w.offer)
	keptUntil.Valid = keptUntil.Valid && !in.OverrideSeatRules
	var from uuid.NullUUID
	var given seatno.List
	if in.swap != nil && in.swap.from.ShowtimeID == in.ShowtimeID {
		from, given = uuid.NullUUID{UUID: in.swap.from.ID, Valid: true}, in.swap.positions
	}
	err = on.QueryRowContext(ctx, `SELECT outcome, reservation_id, held_until, created_at, lost, seats_left
		FROM claim_seats($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)`,
		in.ShowtimeID, typeid.New(), viewerID, w.positions, w.offer.PriceVersion, w.quote.Total.AmountMinor, w.offer.Currency,
		string(lines), s.cfg.Hold.Milliseconds(), in.IdempotencyKey, in.fingerprint(w),
		w.edges.Beside, w.edges.Beyond, in.OverrideSeatRules, keptUntil,
		s.sourceOf(in.Address), s.cfg.SeatsPerAddress, s.deviceOf(in.Device), s.cfg.SeatsPerDevice, s.cfg.IdleHolds, s.cfg.IdleWindow.Milliseconds(), from, given).
		Scan(&c.outcome, &c.reservationID, &c.heldUntil, &c.createdAt, &c.lost, &c.seatsLeft)
	if err != nil {
		return claimed{}, fmt.Errorf("claiming seats: %w", err)
	}
	c.part()
	return c, nil
}

// part tells seats that are lost from those that would be left alone, which examine_seats gives a minus.
func (c *claimed) part() {
	if len(c.lost) == 0 || c.lost[0] > 0 {
		return
	}
	for _, position := range c.lost {
		c.alone = append(c.alone, -position)
	}
	c.lost = nil
}

// fingerprint tells requests apart that come with the same idempotency key.
func fingerprint(operation string, subject uuid.UUID, positions seatno.List) []byte {
	h := sha256.New()
	h.Write([]byte(operation))
	h.Write(subject[:])
	for _, position := range positions {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(position)))
	}
	return h.Sum(nil)
}
