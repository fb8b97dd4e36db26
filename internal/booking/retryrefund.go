package booking

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/payment"
	"marquee/internal/words"
)

// RetryRefundInput says how money goes back that a gateway could not give back.
type RetryRefundInput struct {
	ShowtimeID uuid.UUID
	RefundID   uuid.UUID
	To         payment.Destination
	Reason     string // recorded
}

func (in RetryRefundInput) validate() error {
	var bad apperr.Fields
	words.Check(&bad, "input.reason", words.Clean(in.Reason), maxReason, "Say why, in 1 to %d printable characters.")
	return bad.Err()
}

// RetryRefund lets a failed refund go back: once more the way it was paid, or otherwise. What the gateway has given back
// after all is not given back again, nor what somebody gave back by hand.
//
// For finance and the managers of the theater, with a recent proof: FORBIDDEN, STEP_UP_REQUIRED. NOT_FOUND when the refund is
// missing or of a theater that the viewer has no say in, BAD_USER_INPUT; CONFLICT when it has not failed; UNAVAILABLE when the
// gateway does not say how it stands. It is recorded.
func (s *Service) RetryRefund(ctx context.Context, viewer auth.Viewer, in RetryRefundInput) (payment.Refund, error) {
	if err := in.validate(); err != nil {
		return payment.Refund{}, err
	}
	theaterID, err := s.decidableBy(ctx, viewer, in.ShowtimeID)
	if err != nil {
		return payment.Refund{}, err
	}
	ref := payment.Reference{ShowtimeID: in.ShowtimeID, ID: in.RefundID}
	r, ok, err := s.payments.Refund(ctx, ref)
	if err != nil {
		return r, err
	}
	if !ok {
		return r, apperr.Missing("refund")
	}
	if r.Status != payment.RefundFailed {
		return r, errNotFailed()
	}
	if in.To == payment.ToStoreCredit {
		has, err := s.payments.HasAccount(ctx, r)
		if err != nil {
			return r, err
		}
		if !has {
			return r, apperr.New(apperr.Conflict, "This customer has no account that store credit can be kept for.")
		}
	}
	to, byHand, err := s.decidable(ctx, r, in.To)
	if err != nil {
		return r, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		next, err := s.payments.DecideTx(ctx, tx, r, to, byHand, s.cfg.AttemptLease)
		if err != nil {
			return err
		}
		type decided struct {
			To          payment.Destination `json:"to"`
			AmountMinor int64               `json:"amountMinor"`
			ByHandMinor int64               `json:"byHandMinor,omitempty"`
		}
		r = next
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.RefundDecided, Actor: viewer.UserID, Subject: r.NodeID(), Theater: theaterID, Reason: words.Clean(in.Reason),
			After: decided{To: to, AmountMinor: r.Amount.AmountMinor, ByHandMinor: byHand},
		})
	})
	if errors.Is(err, payment.ErrMoved) {
		return r, errNotFailed()
	}
	if err != nil {
		return r, err
	}
	if !r.AtCounter() {
		if err := s.afterwards(ctx, in.ShowtimeID, cancellation{refunds: []payment.Refund{r}}); err != nil {
			return r, err
		}
	}
	r, _, err = s.payments.Refund(context.WithoutCancel(ctx), ref)
	return r, err
}

func errNotFailed() error {
	return apperr.New(apperr.Conflict, "This refund has not failed: it is on its way, or was given back.")
}

// decidableBy returns the theater of a showtime when the viewer may decide on failed refunds there.
func (s *Service) decidableBy(ctx context.Context, viewer auth.Viewer, showtimeID uuid.UUID) (uuid.UUID, error) {
	all := viewer.Has(auth.RoleFinance, auth.Platform)
	if !all && !viewer.HasSomewhere(auth.RoleTheaterManager) {
		return uuid.Nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	offer, err := s.showtimes.Offer(ctx, showtimeID)
	if apperr.CodeOf(err) == apperr.NotFound || err == nil && !all && !viewer.Has(auth.RoleTheaterManager, offer.TheaterID) {
		return uuid.Nil, apperr.Missing("refund")
	}
	if err != nil {
		return uuid.Nil, err
	}
	return offer.TheaterID, viewer.Recent(s.clock.Now())
}

// decidable asks the gateway how a failed refund stands before it goes elsewhere: back to the original where nothing is left to
// give, and with what was given back by hand.
func (s *Service) decidable(ctx context.Context, r payment.Refund, to payment.Destination) (payment.Destination, int64, error) {
	silent := func(err error) error {
		return apperr.Wrap(err, apperr.Unavailable, "The gateway does not say how this refund stands. Try again later.")
	}
	gateway, err := s.gatewayNamed(r.Gateway)
	if err != nil {
		return to, 0, silent(err)
	}
	back, err := s.wentBack(ctx, gateway, r, r.Try)
	if back || errors.Is(err, errPending) {
		return payment.ToOriginal, r.ByHand.AmountMinor, nil // it will be found when it is looked up again
	}
	if errors.Is(err, payment.ErrNoSuchCharge) {
		return to, r.ByHand.AmountMinor, nil
	}
	if err != nil {
		return to, 0, silent(err)
	}
	left, err := s.leftOf(ctx, gateway, r)
	if err != nil {
		return to, 0, silent(err)
	}
	byHand := max(r.ByHand.AmountMinor, r.Amount.AmountMinor-left)
	if byHand == r.Amount.AmountMinor {
		to = payment.ToOriginal
	}
	return to, byHand, nil
}
