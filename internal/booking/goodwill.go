package booking

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/words"
)

// RefundInput asks to give money back to a customer.
type RefundInput struct {
	CancelInput
	Cause          payment.Cause // ByTheater or Goodwill
	AmountMinor    *int64        // Goodwill: how much; nil: all
	Reason         string        // recorded
	IdempotencyKey string
}

// maxReason bounds what is recorded.
const maxReason = 500

func (in RefundInput) validate() error {
	var bad apperr.Fields
	if len(in.SeatIDs) > 0 {
		checkSeats(&bad, in.SeatIDs, nil)
	}
	checkKey(&bad, in.IdempotencyKey)
	words.Check(&bad, "input.reason", words.Clean(in.Reason), maxReason, "Say why, in 1 to %d printable characters.")
	switch {
	case in.Cause != payment.ByTheater && in.Cause != payment.Goodwill:
		bad.Add("input.cause", "Staff give back what the theater owes, or out of goodwill.")
	case in.AmountMinor != nil && in.Cause == payment.ByTheater:
		bad.Add("input.amountMinor", "What the theater owes is everything. Leave it out.")
	case in.AmountMinor != nil && *in.AmountMinor < 1:
		bad.Add("input.amountMinor", "Give at least 1.")
	}
	return bad.Err()
}

// asked tells requests apart that come with the same key.
func (in RefundInput) asked() []byte {
	amount := int64(-1)
	if in.AmountMinor != nil {
		amount = *in.AmountMinor
	}
	ids := slices.Clone(in.SeatIDs)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	sum := sha256.Sum256(fmt.Appendf(nil, "REFUND %s %s %d %s", in.ReservationID, in.Cause, amount, ids))
	return sum[:]
}

// Refunded says how a reservation stands after staff gave money back.
type Refunded struct {
	Reservation Reservation
	Paid        money.Money // in all
	Returned    money.Money // of it, what is on its way included
}

// Refund cancels a paid reservation for its customer, or some of its seats, whenever that is, and gives back what the policy
// does not: for a fault of the theater everything that the seats came to, out of goodwill as much as staff say, but no less than
// the policy gives. Of a reservation that was cancelled before, it gives back money that was kept. Repeating it with the same
// key changes nothing.
//
// For support, finance, and the managers of the theater, with a recent proof: FORBIDDEN, STEP_UP_REQUIRED. NOT_FOUND when the
// reservation is missing or of a theater that the viewer has no say in, BAD_USER_INPUT, IDEMPOTENCY_KEY_REUSED; CONFLICT when
// nothing of it was paid, all was given back, or, but for a fault of the theater, a ticket was used. It is recorded.
func (s *Service) Refund(ctx context.Context, viewer auth.Viewer, in RefundInput) (Refunded, error) {
	if err := in.validate(); err != nil {
		return Refunded{}, err
	}
	theaterID, err := s.refundableBy(ctx, viewer, in.ShowtimeID)
	if err != nil {
		return Refunded{}, err
	}
	layout, err := s.layoutOf(ctx, in.ShowtimeID)
	if err != nil {
		return Refunded{}, err
	}
	var done cancellation
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		done = cancellation{}
		r, _, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		if replayed, err := rememberTx(ctx, tx, viewer.UserID, r.Reference(), in.IdempotencyKey, "REFUND", in.asked()); err != nil || replayed {
			return err
		}
		c, err := cancellingOf(ctx, tx, layout, r, in.SeatIDs)
		if err != nil {
			return err
		}
		minor, err := s.refundTx(ctx, tx, &done, c, in)
		if err != nil {
			return err
		}
		type kept struct {
			Seats       int   `json:"seats"`
			ReturnMinor int64 `json:"returnedMinor"`
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.ReservationRefunded, Actor: viewer.UserID, Subject: r.NodeID(), Theater: theaterID, Reason: words.Clean(in.Reason),
			Before: kept{Seats: len(r.Positions)}, After: kept{Seats: len(r.Positions) - len(c.positions), ReturnMinor: minor},
		})
	})
	if err != nil {
		return Refunded{}, err
	}
	if err := s.afterwards(ctx, in.ShowtimeID, done); err != nil {
		return Refunded{}, err
	}
	return s.refunded(context.WithoutCancel(ctx), in)
}

// refundableBy returns the theater of a showtime when the viewer may give money back there.
func (s *Service) refundableBy(ctx context.Context, viewer auth.Viewer, showtimeID uuid.UUID) (uuid.UUID, error) {
	all := viewer.Has(auth.RoleSupport, auth.Platform) || viewer.Has(auth.RoleFinance, auth.Platform)
	if !all && !viewer.HasSomewhere(auth.RoleTheaterManager) {
		return uuid.Nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	offer, err := s.showtimes.Offer(ctx, showtimeID)
	if apperr.CodeOf(err) == apperr.NotFound || err == nil && !all && !viewer.Has(auth.RoleTheaterManager, offer.TheaterID) {
		return uuid.Nil, apperr.Missing("reservation")
	}
	if err != nil {
		return uuid.Nil, err
	}
	return offer.TheaterID, viewer.Recent(s.clock.Now())
}

// refundTx cancels what there is to cancel, and promises what comes back.
func (s *Service) refundTx(ctx context.Context, tx *sql.Tx, done *cancellation, c cancelling, in RefundInput) (minor int64, err error) {
	attempt, paid, err := s.payments.LatestAttemptTx(ctx, tx, c.r.ShowtimeID, c.r.ID)
	if err != nil {
		return 0, err
	}
	if !paid || attempt.Status != payment.AttemptCaptured {
		return 0, apperr.New(apperr.Conflict, "Nothing has been paid for this reservation.")
	}
	switch {
	case c.r.Status == StatusCancelled:
		kept, err := s.payments.KeptTx(ctx, tx, attempt)
		if err != nil {
			return 0, err
		}
		if kept == 0 {
			return 0, apperr.New(apperr.Conflict, "Everything that was paid was given back.")
		}
		if minor, err = in.amount(1, kept); err != nil {
			return 0, err
		}
		return minor, s.promiseTx(ctx, tx, done, c.r.Reference(), minor, in.Cause, nil, payment.ToOriginal)
	case len(c.positions) == 0:
		return 0, apperr.New(apperr.Conflict, "These seats were given back before.")
	}
	owed, err := c.refundFor(in.Cause)
	if err != nil {
		return 0, err
	}
	least, most := owed.TotalMinor, owed.TotalMinor
	if in.Cause == payment.Goodwill {
		if least = 0; c.refusal() == nil {
			own, err := c.refundFor(c.cause())
			if err != nil {
				return 0, err
			}
			least = own.TotalMinor
		}
		if c.whole {
			most = c.bill.Total() // with what was kept of other seats
		}
	}
	if minor, err = in.amount(least, most); err != nil {
		return 0, err
	}
	return minor, s.cancelTx(ctx, tx, done, c, minor, in.Cause)
}

// amount returns how much staff want to give back, which is most where they do not say.
func (in RefundInput) amount(least, most int64) (int64, error) {
	if in.AmountMinor == nil {
		return most, nil
	}
	if *in.AmountMinor < least || *in.AmountMinor > most {
		return 0, apperr.Invalid("input.amountMinor", "Give %d to %d: no less than the policy does, and no more than was paid.", least, most)
	}
	return *in.AmountMinor, nil
}

func (s *Service) refunded(ctx context.Context, in RefundInput) (Refunded, error) {
	r, _, err := scan(s.db.SQL().QueryRowContext(ctx, `SELECT `+columns+` FROM reservations r WHERE r.showtime_id = $1 AND r.id = $2`,
		in.ShowtimeID, in.ReservationID))
	if err != nil {
		return Refunded{}, fmt.Errorf("reading a reservation: %w", err)
	}
	one := []Reservation{r}
	if err := s.complete(ctx, one); err != nil {
		return Refunded{}, err
	}
	found, err := s.payments.PaymentsByReservation(ctx, []payment.Reference{r.Reference()})
	if err != nil {
		return Refunded{}, err
	}
	p, ok := found[r.Reference()]
	if !ok {
		return Refunded{}, errors.New("a refund has no payment")
	}
	return Refunded{Reservation: one[0], Paid: p.Amount, Returned: p.Promised()}, nil
}
