package booking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/seatno"
)

// handover is seats and money of a reservation that go over to another one, once the attempt that pays that one is captured.
// Until then they are taken: nothing changes the reservation that gives, and the tickets admit nobody.
type handover struct {
	ShowtimeID    uuid.UUID // of the reservation that gives
	ReservationID uuid.UUID
	AttemptID     uuid.UUID // of the one that takes
	To            payment.Reference
	Positions     seatno.List
	CreditMinor   int64            // that pays the other one
	Sources       []payment.Source // what that is of
	BackMinor     int64            // that goes back beside it, unless the theater calls off what is given
	Status        string
}

const (
	handoverTaken = "TAKEN"
	handoverDone  = "DONE"
)

// from names the reservation that gives.
func (h handover) from() payment.Reference {
	return payment.Reference{ShowtimeID: h.ShowtimeID, ID: h.ReservationID}
}

// errNoSwap says that the seats of a swap cannot be taken: they are gone, used or worth something else by now, another swap has
// them, or their showtime has started.
var errNoSwap = errors.New("booking: the seats cannot be swapped")

// takeSwapped takes, for an attempt whose own seats are secured, the seats that it is swapped for. One transaction at the
// showtime of those; whoever asks again for the attempt gets the same. errNoSwap.
func (s *Service) takeSwapped(ctx context.Context, a payment.Attempt) (h handover, err error) {
	var (
		from      payment.Reference
		positions seatno.List
		worth     pricing.Exchange
	)
	err = s.db.SQL().QueryRowContext(ctx, `SELECT from_showtime_id, from_reservation_id, seats, value_minor, fee_minor FROM swaps
		WHERE showtime_id = $1 AND reservation_id = $2`, a.ShowtimeID, a.ReservationID).
		Scan(&from.ShowtimeID, &from.ID, &positions, &worth.ValueMinor, &worth.FeeMinor)
	if err != nil {
		return h, fmt.Errorf("reading a swap: %w", err)
	}
	layout, err := s.layoutOf(ctx, from.ShowtimeID)
	if err != nil {
		return h, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, _, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, from.ShowtimeID, from.ID)
		if err != nil {
			return err
		}
		var found bool
		if h, found, err = handoverOf(ctx, tx, from.ShowtimeID, a.ID); err != nil {
			return err
		}
		if found {
			if h.Status != handoverTaken && h.Status != handoverDone {
				return errNoSwap
			}
			return nil
		}
		if r.Status != StatusConfirmed || slices.ContainsFunc(positions, func(p int16) bool { return !slices.Contains(r.Positions, p) }) {
			return errNoSwap
		}
		if keepsCompany(layout, r.Positions, positions) != nil {
			return errNoSwap
		}
		c, err := leaving(ctx, tx, layout, r, positions)
		if err != nil {
			return err
		}
		h = handover{
			ShowtimeID: from.ShowtimeID, ReservationID: from.ID, AttemptID: a.ID, Positions: positions, CreditMinor: *a.CreditMinor,
			To: payment.Reference{ShowtimeID: a.ShowtimeID, ID: a.ReservationID}, Status: handoverTaken,
		}
		return s.takeHandoverTx(ctx, tx, &h, c, worth)
	})
	return h, err
}

// takeHandoverTx settles what goes over and what comes back, and takes the seats: errNoSwap.
func (s *Service) takeHandoverTx(ctx context.Context, tx *sql.Tx, h *handover, c cancelling, agreed pricing.Exchange) error {
	if !c.contract.calledOff && !c.contract.now.Before(c.contract.startsAt) {
		return errNoSwap
	}
	worth, err := c.bill.ExchangeOf(c.positions, agreed.FeeMinor)
	if err != nil || worth != agreed {
		return errNoSwap // other seats of the reservation went, and some of what is paid once with them
	}
	if h.BackMinor, err = c.comesBack(worth, h.CreditMinor); err != nil {
		return err
	}
	sources, err := s.payments.SourcesTx(ctx, tx, c.r.Reference())
	if err != nil {
		return err
	}
	// What goes back is drawn first, so that what is carried leaves it in the sources that OpenRefundsTx draws first.
	_, left, err := payment.Draw(sources, h.BackMinor)
	if err == nil {
		h.Sources, _, err = payment.Draw(left, h.CreditMinor)
	}
	if err != nil {
		return fmt.Errorf("reservation %s: %w", c.r.ID, err)
	}
	text, err := json.Marshal(slices.Concat([]payment.Source{}, h.Sources))
	if err != nil {
		return fmt.Errorf("writing what is carried: %w", err)
	}
	var taken bool
	err = tx.QueryRowContext(ctx, `SELECT take_seats($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, h.ShowtimeID, h.ReservationID, h.AttemptID,
		h.To.ShowtimeID, h.To.ID, h.Positions, h.CreditMinor, h.BackMinor, string(text), s.cfg.AttemptLease.Milliseconds()).Scan(&taken)
	if err != nil {
		return fmt.Errorf("taking seats for a swap: %w", err)
	}
	if !taken {
		return errNoSwap
	}
	return nil
}

const handoverColumns = `h.showtime_id, h.reservation_id, h.attempt_id, h.to_showtime_id, h.to_reservation_id, h.seats, h.credit_minor,
	h.back_minor, h.sources, h.status`

func scanHandover(row interface{ Scan(...any) error }) (h handover, err error) {
	var sources []byte
	err = row.Scan(&h.ShowtimeID, &h.ReservationID, &h.AttemptID, &h.To.ShowtimeID, &h.To.ID, &h.Positions, &h.CreditMinor,
		&h.BackMinor, &sources, &h.Status)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(sources, &h.Sources); err != nil {
		return h, fmt.Errorf("reading what is carried: %w", err)
	}
	return h, nil
}

func handoverOf(ctx context.Context, on querier, showtimeID, attemptID uuid.UUID) (h handover, found bool, err error) {
	h, err = scanHandover(on.QueryRowContext(ctx, `SELECT `+handoverColumns+` FROM handovers h WHERE h.showtime_id = $1 AND h.attempt_id = $2`, showtimeID, attemptID))
	if errors.Is(err, sql.ErrNoRows) {
		return handover{}, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("reading a handover: %w", err)
	}
	return h, true, nil
}

// handoverUnderWay reports whether an attempt has taken seats of a reservation and is not decided.
func handoverUnderWay(ctx context.Context, on querier, of payment.Reference) (underWay bool, err error) {
	err = on.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM handovers WHERE showtime_id = $1 AND reservation_id = $2 AND status = 'TAKEN')`,
		of.ShowtimeID, of.ID).Scan(&underWay)
	if err != nil {
		return false, fmt.Errorf("reading a handover: %w", err)
	}
	return underWay, nil
}

// notTakenTx is CONFLICT while a payment decides whether seats of a reservation are swapped. The caller has its row lock.
func notTakenTx(ctx context.Context, tx *sql.Tx, of payment.Reference) error {
	underWay, err := handoverUnderWay(ctx, tx, of)
	if err == nil && underWay {
		err = apperr.New(apperr.Conflict, "A swap of this reservation is being paid. Try again in a moment.")
	}
	return err
}

// decided carries out what an attempt has decided. What fails is left to the reconciler: the attempt rests, and its customer
// has an answer.
func (s *Service) decided(ctx context.Context, h handover, a payment.Attempt) {
	if err := s.carryOut(ctx, h, a); err != nil {
		s.log.WarnContext(ctx, "swap left to the reconciler", "attempt", a.ID, "status", a.Status, "error", err)
		_, err = s.db.SQL().ExecContext(ctx, `UPDATE handovers SET leased_until = now() WHERE showtime_id = $1 AND attempt_id = $2`, h.ShowtimeID, h.AttemptID)
		if err != nil {
			s.log.WarnContext(ctx, "swap not released", "attempt", a.ID, "error", err)
		}
	}
}

// carryOut ends a handover as its attempt has decided; nothing while it has not.
func (s *Service) carryOut(ctx context.Context, h handover, a payment.Attempt) error {
	switch a.Status {
	case payment.AttemptStarted, payment.AttemptAuthorized:
		return fmt.Errorf("attempt %s is %s", a.ID, a.Status)
	case payment.AttemptCaptured:
		return s.finishHandover(ctx, h)
	default:
		if _, err := s.db.SQL().ExecContext(ctx, `SELECT return_seats($1, $2)`, h.ShowtimeID, h.AttemptID); err != nil {
			return fmt.Errorf("returning seats of a swap: %w", err)
		}
		return nil
	}
}

// finishHandover takes seats and money that another reservation has from the one that had them; what is left over goes back.
func (s *Service) finishHandover(ctx context.Context, h handover) error {
	layout, err := s.layoutOf(ctx, h.ShowtimeID)
	if err != nil {
		return err
	}
	var done cancellation
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		done = cancellation{}
		r, _, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, h.ShowtimeID, h.ReservationID)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `UPDATE handovers SET status = 'DONE' WHERE showtime_id = $1 AND attempt_id = $2 AND status = 'TAKEN'`, h.ShowtimeID, h.AttemptID)
		if err != nil {
			return fmt.Errorf("finishing a swap: %w", err)
		}
		if changed, err := result.RowsAffected(); err != nil || changed == 0 {
			return err // somebody else saw to it
		}
		c, err := leaving(ctx, tx, layout, r, h.Positions)
		if err != nil {
			return err
		}
		if err := calledOffTx(ctx, tx, &h, c); err != nil {
			return err
		}
		return s.leaveTx(ctx, tx, &done, c, h.CreditMinor+h.BackMinor, payment.BySwap, func() error { return s.payOverTx(ctx, tx, &done, h) })
	})
	if err != nil {
		return err
	}
	return s.afterwards(ctx, h.ShowtimeID, done)
}

// calledOffTx lets everything come back that does not pay the other reservation, where the showtime of the seats was called off
// after they were taken.
func calledOffTx(ctx context.Context, tx *sql.Tx, h *handover, c cancelling) error {
	if !c.contract.calledOff {
		return nil
	}
	worth, err := c.bill.ExchangeOf(c.positions, 0)
	if err != nil {
		return undivided(err)
	}
	if h.BackMinor, err = c.comesBack(worth, h.CreditMinor); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE handovers SET back_minor = $3 WHERE showtime_id = $1 AND attempt_id = $2`, h.ShowtimeID, h.AttemptID, h.BackMinor)
	if err != nil {
		return fmt.Errorf("returning what a swap keeps: %w", err)
	}
	return nil
}

// payOverTx records where the money of a handover goes. What is carried is settled, source by source; what goes back is drawn
// from what that leaves.
func (s *Service) payOverTx(ctx context.Context, tx *sql.Tx, done *cancellation, h handover) error {
	if h.CreditMinor > 0 {
		err := s.payments.CarryOutTx(ctx, tx, h.from(), h.To, h.Sources, payment.RefundOpening{
			AmountMinor: h.CreditMinor, Cause: payment.BySwap, Seats: h.Positions,
		})
		if err != nil {
			return err
		}
	}
	if h.BackMinor == 0 {
		return nil
	}
	return s.promiseTx(ctx, tx, done, h.from(), h.BackMinor, payment.BySwap, h.Positions, payment.ToOriginal)
}

// reconcileSwaps takes over handovers whose driver has vanished, one at a time, as Reconcile does with attempts.
func (s *Service) reconcileSwaps(ctx context.Context) (settled int, err error) {
	for range reconcileBatches {
		rows, err := s.db.SQL().QueryContext(ctx, `UPDATE handovers h SET leased_until = now() + $1 * interval '1 millisecond'
			WHERE (h.showtime_id, h.attempt_id) IN (SELECT showtime_id, attempt_id FROM handovers WHERE status = 'TAKEN' AND leased_until < now()
				ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING `+handoverColumns, s.cfg.AttemptLease.Milliseconds())
		if err != nil {
			return settled, fmt.Errorf("looking for handovers: %w", err)
		}
		leased, err := postgres.Collect(rows, func(rows *sql.Rows) (handover, error) { return scanHandover(rows) })
		if err != nil || len(leased) == 0 {
			return settled, err
		}
		for _, h := range leased {
			a, err := s.payments.Attempt(ctx, h.To.ShowtimeID, h.AttemptID)
			if err == nil {
				err = s.carryOut(ctx, h, a)
			}
			if err != nil {
				s.log.WarnContext(ctx, "swap not settled yet", "attempt", h.AttemptID, "error", err)
				continue
			}
			settled++
		}
	}
	return settled, nil
}
