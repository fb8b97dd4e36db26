package booking

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/promotion"
	"marquee/internal/seating"
	"marquee/internal/typeid"
)

// SaleInput asks to sell seats at the counter.
type SaleInput struct {
	ShowtimeID        uuid.UUID
	SeatIDs           []uuid.UUID
	TicketTypes       []SeatType // of seats that are not an adult's
	PromoCodes        []string
	AccessibleNeed    bool
	OverrideSeatRules bool
	CustomerEmail     *string // of the account that gets them, where there is one; nil: somebody who is not known
	Tender            Tender
	IdempotencyKey    string
}

// Validate returns BAD_USER_INPUT as ReserveInput and CounterPayInput have it.
func (in SaleInput) Validate() error {
	var bad apperr.Fields
	checkSeats(&bad, in.SeatIDs, in.TicketTypes)
	promotion.Check(&bad, "input.promoCodes", in.PromoCodes)
	bad.Text("input.customerEmail", in.CustomerEmail, longestAddress)
	in.Tender.check(&bad)
	checkKey(&bad, in.IdempotencyKey)
	return bad.Err()
}

// SaleResult is PaidAtCounter, TenderRefused, SeatsUnavailable, RuleBroken, ShowtimeClosed, LimitExceeded, CoolingDown or
// PromotionRefused.
type SaleResult interface{ isSaleResult() }

func (PaidAtCounter) isSaleResult()    {}
func (TenderRefused) isSaleResult()    {}
func (SeatsUnavailable) isSaleResult() {}
func (RuleBroken) isSaleResult()       {}
func (ShowtimeClosed) isSaleResult()   {}
func (LimitExceeded) isSaleResult()    {}
func (CoolingDown) isSaleResult()      {}
func (PromotionRefused) isSaleResult() {}

// A sale has no price that was agreed to before: what the tender does not pay is TenderRefused.
func (PriceTooHigh) isSaleResult() {}

// SellAtCounter sells seats at the counter of their theater: claim, payment and tickets in one transaction, all or nothing.
// They belong to the account with the customer's address, where there is one; else to somebody under an id of their own,
// which leads to nobody, as reservations do whose account was erased. Repeating it with the same key gives the same answer. NOT_FOUND, BAD_USER_INPUT and the refusals as Reserve has them, FORBIDDEN for who does not
// work at the theater, IDEMPOTENCY_KEY_REUSED. It is recorded.
func (s *Service) SellAtCounter(ctx context.Context, viewer auth.Viewer, in SaleInput) (SaleResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	customer := typeid.New()
	if in.CustomerEmail != nil {
		account, err := s.account(ctx, *in.CustomerEmail)
		if err != nil {
			return nil, err
		}
		if account != uuid.Nil {
			customer = account
		}
	}
	asked, err := s.fingerprintOf(in)
	if err != nil {
		return nil, err
	}
	sale := counterSale{SaleInput: in, viewer: viewer, customer: customer, command: command{
		showtimeID: in.ShowtimeID, viewerID: viewer.UserID, key: in.IdempotencyKey, operation: "SELL_AT_COUNTER", asked: asked,
	}}
	return contested(func() (SaleResult, bool, error) { return s.trySell(ctx, sale, false) })
}

// counterSale is a request to sell, with whose the seats will be.
type counterSale struct {
	SaleInput

	viewer   auth.Viewer
	customer uuid.UUID
	command  command
}

// notClaimedError carries the answer to a claim out of a transaction that keeps nothing.
type notClaimedError struct{ claimed }

func (*notClaimedError) Error() string { return "booking: seats were not claimed" }

// trySell is one try, as tryReserve has them.
func (s *Service) trySell(ctx context.Context, in counterSale, relaxed bool) (result SaleResult, again bool, err error) {
	w, err := s.wantedOf(ctx, wish{
		Use:     promotion.Use{ViewerID: in.customer, ShowtimeID: in.ShowtimeID, StaffID: in.viewer.UserID},
		seatIDs: in.SeatIDs, types: in.TicketTypes, codes: in.PromoCodes, accessible: in.AccessibleNeed,
	})
	if err != nil {
		return nil, false, err
	}
	if !in.viewer.Has(auth.RoleTheaterStaff, w.offer.TheaterID) {
		return nil, false, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if relaxed {
		w.edges = seating.Edges{}
	}
	var id uuid.UUID
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		before, replayed, err := in.command.turnTx(ctx, tx)
		if id = before; err != nil || replayed {
			return err
		}
		id, err = s.sellTx(ctx, tx, in, w)
		return err
	})
	if refusal, ok := errors.AsType[*refusedPromotionError](err); ok {
		return refusal.PromotionRefused, false, nil
	}
	if refusal, ok := errors.AsType[*refusedTenderError](err); ok {
		return refusal.TenderRefused, false, nil
	}
	if lost, ok := errors.AsType[*notClaimedError](err); ok {
		return s.notSold(ctx, in, w, lost.claimed)
	}
	if hasLost(err) || errors.Is(err, errHoldLost) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	s.hint(in.ShowtimeID)
	paid, err := s.paidAtCounter(ctx, payment.Reference{ShowtimeID: in.ShowtimeID, ID: id})
	return paid, false, err
}

// refusedTenderError carries a refusal out of a transaction that keeps nothing.
type refusedTenderError struct{ TenderRefused }

func (*refusedTenderError) Error() string { return "booking: a tender is refused" }

// sellTx claims the seats and takes the money. What is refused is an error, so that nothing is kept.
func (s *Service) sellTx(ctx context.Context, tx *sql.Tx, in counterSale, w wanted) (id uuid.UUID, err error) {
	if err := w.refusedPromotion(); err != nil {
		return id, err
	}
	// The claim has a key of its own, which nobody uses twice: the sale's stands for the whole of it.
	claim := ReserveInput{
		ShowtimeID: in.ShowtimeID, PromoCodes: in.PromoCodes, AccessibleNeed: in.AccessibleNeed,
		OverrideSeatRules: in.OverrideSeatRules, IdempotencyKey: typeid.New().String(),
	}
	var c claimed
	if in.OverrideSeatRules {
		c, err = s.overrideClaimTx(ctx, tx, in.viewer, w, claim)
	} else {
		c, err = s.claim(ctx, tx, in.customer, w, claim)
	}
	if err != nil {
		return id, err
	}
	if c.outcome != claimedSeats {
		return id, &notClaimedError{c}
	}
	if !in.Tender.pays(w.quote.Total) {
		return id, &refusedTenderError{TenderRefused{Due: w.quote.Total, Given: money.Money{AmountMinor: in.Tender.Minor, Currency: w.offer.Currency}}}
	}
	r := Reservation{ShowtimeID: in.ShowtimeID, ID: c.reservationID.UUID, ViewerID: in.customer, Positions: w.positions, Total: w.quote.Total}
	err = s.takeTx(ctx, tx, in.viewer, w.offer.TheaterID, r, in.Tender, in.IdempotencyKey)
	if errors.Is(err, errCalledOff) {
		err = &notClaimedError{claimed{outcome: "CLOSED"}}
	}
	if err != nil {
		return id, err
	}
	if len(w.promos) > 0 {
		use := w.use
		use.ReservationID = r.ID
		if err := promotion.UseTx(ctx, tx, use, w.promos, w.quote); err != nil {
			return id, err
		}
	}
	if err := in.command.rememberTx(ctx, tx, r.ID); err != nil {
		return id, err
	}
	return r.ID, recordCounterTx(ctx, tx, audit.CounterSold, in.viewer, w.offer.TheaterID, r, takenFor(r, in.Tender.Method))
}

// notSold says why a claim was not granted; again asks for another try.
func (s *Service) notSold(ctx context.Context, in counterSale, w wanted, c claimed) (result SaleResult, again bool, err error) {
	switch c.outcome {
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
		return s.trySell(ctx, in, relaxed)
	}
	return refusal, false, err
}
