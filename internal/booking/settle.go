package booking

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// settle drives an attempt that the caller has leased, step by step, until it rests. Every step is one call to the
// gateway followed by one guarded transaction, and may be repeated: a step that was done already is not done again.
// An error leaves the attempt where it stands, for Reconcile: errPending when that is no failure.
func (s *Service) settle(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
	return s.settleFrom(ctx, a, s.step)
}

// settleFrom is settle with another first step.
func (s *Service) settleFrom(ctx context.Context, a payment.Attempt, step func(context.Context, payment.Attempt) (payment.Attempt, error)) (payment.Attempt, error) {
	for ; !a.Status.Settled(); step = s.step {
		before := a.Status
		next, err := step(ctx, a)
		if errors.Is(err, payment.ErrMoved) {
			// Someone else took the step; go on from where it led.
			if next, err = s.payments.Attempt(ctx, a.ShowtimeID, a.ID); err == nil && next.Status == before {
				err = fmt.Errorf("attempt %s does not leave %s", a.ID, before)
			}
		}
		if err != nil {
			return a, err
		}
		a = next
		s.changed(a.PaymentReference())
	}
	return a, nil
}

func (s *Service) step(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
	gateway, err := s.gatewayOf(a)
	if err != nil {
		return a, err
	}
	switch a.Status {
	case payment.AttemptStarted:
		return s.resume(ctx, a)
	case payment.AttemptOffered:
		return s.lapse(ctx, a)
	case payment.AttemptAuthorized:
		if a.CreditMinor == nil {
			return s.capture(ctx, gateway, a, nil)
		}
		given, err := s.takeSwapped(ctx, a)
		if errors.Is(err, errNoSwap) {
			return s.letGo(ctx, a, payment.DeclineNoSwap)
		}
		if err != nil {
			return a, err
		}
		next, err := s.capture(ctx, gateway, a, given.Sources)
		if err == nil {
			s.decided(ctx, given, next)
		}
		return next, err
	case payment.AttemptVoidPending:
		charge, err := call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Void(ctx, a.Key()) })
		if err != nil {
			return a, err
		}
		switch charge.Status {
		case payment.ChargeVoided, payment.ChargeDeclined:
			return s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptVoided, Reference: charge.Reference})
		case payment.ChargeCaptured:
			// The money was taken after all, by the gateway itself or by hand: it goes back.
			return s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptRefundPending, Reference: charge.Reference, TakenMinor: &charge.Captured.AmountMinor})
		case payment.ChargeProcessing:
			return a, errPending
		default:
			return a, fmt.Errorf("the gateway did not void attempt %s: it is %s", a.ID, charge.Status)
		}
	case payment.AttemptRefundPending:
		refund, taken, err := s.payments.Refund(ctx, payment.Reference{ShowtimeID: a.ShowtimeID, ID: a.ID}) // which has the id of its attempt
		if err != nil {
			return a, err
		}
		if !taken {
			return s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptRefunded})
		}
		if err := s.giveBack(ctx, refund); err != nil {
			return a, err
		}
		return s.payments.Attempt(ctx, a.ShowtimeID, a.ID)
	default:
		return a, fmt.Errorf("attempt %s rests at %s", a.ID, a.Status)
	}
}

// authorize is the first step of an attempt: the gateway is asked to reserve the funds, as the customer wants them taken; where it
// is not reached, one of its siblings.
func (s *Service) authorize(ctx context.Context, a payment.Attempt, in PayInput, siblings []string) (payment.Attempt, error) {
	gateway, err := s.gatewayOf(a)
	if err != nil {
		return a, err
	}
	charge, err := converse(ctx, s, gateway, s.gateways.Begin, func(ctx context.Context) (payment.Charge, error) {
		return gateway.Authorize(ctx, a.Key(), payment.Request{Amount: a.Amount, Token: in.Token, ReturnURL: in.ReturnURL})
	})
	switch {
	case errors.Is(err, payment.ErrUnreached):
		return s.unreached(ctx, a, in, siblings)
	case errors.Is(err, payment.ErrRefused):
		charge = payment.Charge{Status: payment.ChargeDeclined, DeclineCode: payment.DeclineRefused}
	case err != nil:
		// Unknown: ask before anything else. An answer to this question is as good as the lost one.
		if charge, err = s.lookup(ctx, a); err != nil {
			return a, err
		}
	}
	return s.authorized(ctx, a, charge)
}

// ErrAtGateway is in every error of a conversation with a gateway.
var ErrAtGateway = errors.New("gateway")

// call gives one conversation with a gateway its time, and its place among those that are under way.
func call[T any](ctx context.Context, s *Service, gateway payment.Gateway, ask func(context.Context) (T, error)) (T, error) {
	return converse(ctx, s, gateway, s.gateways.Ask, ask)
}

// converse is call by one of the ways that payment.Gateways has.
func converse[T any](ctx context.Context, s *Service, gateway payment.Gateway,
	by func(context.Context, string, func(context.Context) error) error, ask func(context.Context) (T, error),
) (answer T, err error) {
	err = by(ctx, gateway.Name(), func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.GatewayTimeout)
		defer cancel()
		answer, err = ask(ctx)
		return err
	})
	if err != nil {
		return answer, fmt.Errorf("%w %s: %w", ErrAtGateway, gateway.Name(), err)
	}
	return answer, nil
}

func (s *Service) lookup(ctx context.Context, a payment.Attempt) (payment.Charge, error) {
	gateway, err := s.gatewayOf(a)
	if err != nil {
		return payment.Charge{}, err
	}
	return call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Lookup(ctx, a.Key()) })
}

// gatewayOf returns the gateway that an attempt goes through, or payment.ErrNoGateway.
func (s *Service) gatewayOf(a payment.Attempt) (payment.Gateway, error) {
	if a.Gateway == payment.NoGateway {
		return payment.Nothing{Currency: a.Amount.Currency}, nil
	}
	return s.gatewayNamed(a.Gateway)
}

// gatewayNamed returns a gateway, that of store credit too, or payment.ErrNoGateway.
func (s *Service) gatewayNamed(name string) (payment.Gateway, error) {
	if name == payment.CreditName {
		return s.payments.Credit(), nil
	}
	return s.gateways.Named(name)
}

// authorized acts on what the gateway says of a started attempt.
func (s *Service) authorized(ctx context.Context, a payment.Attempt, charge payment.Charge) (payment.Attempt, error) {
	switch charge.Status {
	case payment.ChargeDeclined, payment.ChargeVoided:
		code := charge.DeclineCode
		if code == "" {
			code = payment.DeclineNoAnswer
		}
		next, err := s.payments.Advance(ctx, a, payment.Step{To: payment.AttemptDeclined, Reference: charge.Reference, DeclineCode: code})
		if err != nil {
			return a, err
		}
		return next, s.grantGrace(ctx, a)
	case payment.ChargeRequiresAction, payment.ChargeProcessing:
		return s.pending(ctx, a, charge)
	case payment.ChargeAuthorized, payment.ChargeCaptured:
		// Captured already: a gateway that captures by itself. The seats are secured all the same, or the money goes back.
		if charge.Refunded.AmountMinor > 0 { // as it went back already, by hand or before a database was restored: that pays for nothing
			return s.payments.Advance(ctx, a, payment.Step{
				To: payment.AttemptRefundPending, Reference: charge.Reference, DeclineCode: payment.DeclineWrongAmount, TakenMinor: &charge.Captured.AmountMinor,
			})
		}
	default:
		return a, fmt.Errorf("the gateway says that attempt %s is %s before it was captured", a.ID, charge.Status)
	}
	next, err := s.secureFor(ctx, a, charge.Reference)
	if errors.Is(err, errHoldLost) {
		next, err = s.retake(ctx, a, charge.Reference)
	}
	if isCalledOff := errors.Is(err, errCalledOff); isCalledOff || errors.Is(err, errHoldLost) {
		back := payment.Step{To: payment.AttemptVoidPending, Reference: charge.Reference}
		if charge.Status == payment.ChargeCaptured {
			back.To, back.TakenMinor = payment.AttemptRefundPending, &charge.Captured.AmountMinor
		}
		if isCalledOff {
			back.DeclineCode = declineCalledOff
			return s.payments.Advance(ctx, a, back)
		}
		return s.letGoLate(ctx, a, back, "")
	}
	if err == nil {
		s.hint(a.ShowtimeID)
	}
	return next, err
}

var (
	errHoldLost  = errors.New("booking: the hold ran out")
	errCalledOff = errors.New("booking: the showtime was called off")
)

// declineCalledOff is the decline code of an attempt that was under way when its showtime was called off.
const declineCalledOff = "showtime_called_off"

// secureFor makes the seats of a held reservation stop expiring, since the attempt has the funds reserved; errHoldLost when
// its deadline has passed, errCalledOff when its showtime does not take place.
func (s *Service) secureFor(ctx context.Context, a payment.Attempt, reference string) (payment.Attempt, error) {
	next, err := a.After(payment.Step{To: payment.AttemptAuthorized})
	if err != nil {
		return a, err
	}
	row := s.db.SQL().QueryRowContext(ctx, `SELECT secure_for_attempt($1, $2, $3, $4)`, a.ShowtimeID, a.ReservationID, a.ID, reference)
	return next, secured(row)
}

// secureTx makes the seats of a held reservation stop expiring; errHoldLost and errCalledOff as secureFor has them.
func (s *Service) secureTx(ctx context.Context, tx *sql.Tx, showtimeID, id uuid.UUID) error {
	return secured(tx.QueryRowContext(ctx, `SELECT secure_reservation($1, $2)`, showtimeID, id))
}

func secured(row *sql.Row) error {
	var secured bool
	err := row.Scan(&secured)
	switch {
	case postgres.SQLState(err) == lostRace, err == nil && !secured:
		return errHoldLost
	case postgres.SQLState(err) == calledOff:
		return errCalledOff
	case err != nil:
		return payment.Moved(fmt.Errorf("securing seats: %w", err))
	default:
		return nil
	}
}

// capture takes the money of an attempt whose seats are secured, and confirms its reservation with what was carried to it.
func (s *Service) capture(ctx context.Context, gateway payment.Gateway, a payment.Attempt, carried []payment.Source) (payment.Attempt, error) {
	charge, err := call(ctx, s, gateway, func(ctx context.Context) (payment.Charge, error) { return gateway.Capture(ctx, a.Key(), a.Amount) })
	if err != nil || charge.Status == payment.ChargeCaptured && charge.Captured != a.Amount {
		if charge, err = s.lookup(ctx, a); err != nil {
			return a, err
		}
	}
	return s.captured(ctx, a, charge, carried)
}

// captured acts on what the gateway says of an attempt whose seats are secured.
func (s *Service) captured(ctx context.Context, a payment.Attempt, charge payment.Charge, carried []payment.Source) (payment.Attempt, error) {
	switch charge.Status {
	case payment.ChargeCaptured:
		if charge.Captured.Currency != a.Amount.Currency {
			return a, fmt.Errorf("the gateway captured %s of %s for attempt %s", charge.Captured.Formatted(), a.Amount.Formatted(), a.ID)
		}
		if charge.Captured != a.Amount || charge.Refunded.AmountMinor > 0 {
			return s.letGo(ctx, a, payment.DeclineWrongAmount)
		}
		next, err := s.confirmFor(ctx, a, carried)
		if err == nil {
			s.hint(a.ShowtimeID)
		}
		return next, err
	case payment.ChargeVoided, payment.ChargeDeclined:
		// The issuer went back on its word. The seats get a deadline again, so that another card can be tried.
		code := charge.DeclineCode
		if code == "" {
			code = "authorization_lapsed"
		}
		return s.letGo(ctx, a, code)
	default:
		return a, fmt.Errorf("the gateway says that attempt %s is %s after its capture", a.ID, charge.Status)
	}
}

// letGo gives up an attempt whose seats are secured; they get a deadline again, but no more than Config.HoldLimit from when they
// were first held, however often they are paid, and Config.PaymentGrace to try another card. What is held for a swap that cannot
// be had has no such grace.
func (s *Service) letGo(ctx context.Context, a payment.Attempt, code string) (payment.Attempt, error) {
	next := a
	err := s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		grace := s.cfg.PaymentGrace
		if code == payment.DeclineNoSwap {
			grace = 0
		}
		if err := s.reholdTx(ctx, tx, a.ShowtimeID, a.ReservationID, grace); err != nil {
			return err
		}
		next, err = s.payments.AdvanceTx(ctx, tx, a, payment.Step{To: payment.AttemptVoidPending, DeclineCode: code})
		return err
	})
	if err == nil {
		s.hint(a.ShowtimeID)
	}
	return next, err
}

// confirmFor confirms the reservation of an attempt whose money was captured, with what was carried to it, and issues one
// ticket a seat.
func (s *Service) confirmFor(ctx context.Context, a payment.Attempt, carried []payment.Source) (payment.Attempt, error) {
	next, err := a.After(payment.Step{To: payment.AttemptCaptured})
	if err != nil {
		return a, err
	}
	var seats int
	err = s.db.SQL().QueryRowContext(ctx, `SELECT cardinality(seats) FROM reservations WHERE showtime_id = $1 AND id = $2`, a.ShowtimeID, a.ReservationID).Scan(&seats)
	if err != nil {
		return a, fmt.Errorf("reading a reservation: %w", err)
	}
	ids, codes := newTickets(seats)
	confirm := func(on executor) error {
		_, err := on.ExecContext(ctx, `SELECT confirm_for_attempt($1, $2, $3, $4::text[], $5::uuid[], $6::text[])`,
			a.ShowtimeID, a.ReservationID, a.ID, textArray(EventConfirm.from()), ids, textArray(codes))
		if err != nil {
			return payment.Moved(fmt.Errorf("confirming a reservation: %w", err))
		}
		return nil
	}
	if len(carried) == 0 {
		err = confirm(s.db.SQL())
	} else {
		err = s.db.InTx(ctx, func(tx *sql.Tx) error {
			if err := confirm(tx); err != nil {
				return err
			}
			return s.payments.CarryInTx(ctx, tx, a, carried)
		})
	}
	if err != nil {
		return a, err
	}
	return next, nil
}

// confirmTx confirms a reservation whose seats are secured and issues one ticket a seat.
func (s *Service) confirmTx(ctx context.Context, tx *sql.Tx, r Reservation) error {
	ids, codes := newTickets(len(r.Positions))
	_, err := tx.ExecContext(ctx, `SELECT confirm_reservation($1, $2, $3::text[], $4::uuid[], $5::text[])`,
		r.ShowtimeID, r.ID, textArray(EventConfirm.from()), ids, textArray(codes))
	if err != nil {
		return payment.Moved(fmt.Errorf("confirming a reservation: %w", err))
	}
	return nil
}

// newTickets makes up keys and codes of tickets.
func newTickets(n int) (ids postgres.UUIDs, codes []string) {
	ids, codes = make(postgres.UUIDs, n), make([]string, n)
	for i := range n {
		ids[i], codes[i] = typeid.New(), newTicketCode()
	}
	return ids, codes
}

// grantGrace gives the customer of an attempt that was declined the time to try another card, if the hold has less left.
func (s *Service) grantGrace(ctx context.Context, a payment.Attempt) error {
	if s.cfg.PaymentGrace == 0 {
		return nil
	}
	var moved bool
	err := s.db.SQL().QueryRowContext(ctx, `SELECT grant_grace($1, $2, $3, $4)`, a.ShowtimeID, a.ReservationID,
		s.cfg.PaymentGrace.Milliseconds(), s.cfg.HoldLimit.Milliseconds()).Scan(&moved)
	if err != nil && postgres.SQLState(err) != lostRace {
		return fmt.Errorf("giving a hold more time: %w", err)
	}
	if moved {
		s.hint(a.ShowtimeID)
	}
	return nil
}

// reholdTx gives secured seats a deadline again, no earlier than the one that their theater set, and at most Config.HoldLimit after
// they were first held; where that has passed, they are held for grace more than that, from now on, or the hold ends.
// payment.ErrMoved when they are not secured.
func (s *Service) reholdTx(ctx context.Context, tx *sql.Tx, showtimeID, id uuid.UUID, grace time.Duration) error {
	var (
		until  time.Time
		passed bool
	)
	err := tx.QueryRowContext(ctx, `UPDATE reservations
		SET held_until = greatest(least(now() + $3 * interval '1 millisecond', created_at + $4 * interval '1 millisecond'),
			least(now(), coalesce(pay_by, created_at + $4 * interval '1 millisecond')) + $5 * interval '1 millisecond', pay_by)
		WHERE showtime_id = $1 AND id = $2 AND status IN ('HELD', 'RESERVED') AND held_until IS NULL RETURNING held_until, held_until <= now()`,
		showtimeID, id, s.cfg.Hold.Milliseconds(), s.cfg.HoldLimit.Milliseconds(), grace.Milliseconds()).Scan(&until, &passed)
	if errors.Is(err, sql.ErrNoRows) {
		return payment.ErrMoved
	}
	if err != nil {
		return fmt.Errorf("holding seats again: %w", err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE seat_claims SET held_until = $3 WHERE showtime_id = $1 AND reservation_id = $2`,
		showtimeID, id, until)
	if err != nil {
		return fmt.Errorf("holding seats again: %w", err)
	}
	if passed {
		_, err = s.endTx(ctx, tx, showtimeID, id, EventExpire)
	}
	return err
}

var codeAlphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newTicketCode returns 125 random bits in letters that people can read to each other.
func newTicketCode() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return codeAlphabet.EncodeToString(random[:])[:25]
}

// textArray is a list of plain words (states, codes) as one text[] parameter.
func textArray(words []string) string {
	return "{" + strings.Join(words, ",") + "}"
}
