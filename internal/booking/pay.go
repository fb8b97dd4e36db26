package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/showtime"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// PayInput asks to pay a reservation.
type PayInput struct {
	ShowtimeID     uuid.UUID
	ReservationID  uuid.UUID
	IdempotencyKey string
	Token          string // what the gateway's form calls the customer's instrument; "": the gateway asks, if it has to
	ReturnURL      string // where the gateway's pages send the customer back to; "": nowhere
	Gateway        string // the customer's choice of PaymentOptions; "": the theater's
	StoreCredit    bool   // the viewer's store credit at the theater pays, all of it, and no gateway
}

// These are more than gateways and pages need.
const (
	maxToken     = 255
	maxReturnURL = 2048
	maxGateway   = 64
)

// Validate returns BAD_USER_INPUT when there is no usable key, for a token that could be the number of a card, and for an address
// that is none.
func (in PayInput) Validate() error {
	var bad apperr.Fields
	checkKey(&bad, in.IdempotencyKey)
	if in.Token != "" {
		words.Check(&bad, "input.paymentToken", in.Token, maxToken, "Give what the gateway's form made of the card or account, 1 to %d characters.")
	}
	if in.Token != "" && in.StoreCredit {
		bad.Add("input.paymentToken", "Store credit needs no card or account: leave it out.")
	}
	if in.Gateway != "" && in.StoreCredit {
		bad.Add("input.gateway", "Store credit goes through no gateway: leave it out.")
	}
	if in.ReturnURL != "" {
		checkReturnURL(&bad, in.ReturnURL)
	}
	if in.Gateway != "" {
		words.Check(&bad, "input.gateway", in.Gateway, maxGateway, "Give one that paymentMethods names, 1 to %d characters.")
	}
	return bad.Err()
}

// checkReturnURL records what keeps an address from being one that customers are sent back to.
func checkReturnURL(bad *apperr.Fields, address string) {
	const path = "input.returnUrl"
	u, err := url.Parse(address)
	switch {
	case words.HoldsCardNumber(address):
		words.CheckCardNumber(bad, path, address)
	case err != nil, len(address) > maxReturnURL, u.Host == "", u.User != nil, u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost"):
		bad.Add(path, "Give an address that begins with https://.")
	}
}

// payOperation is what the keys of payments are stored for.
const payOperation = "PAY"

func (in PayInput) fingerprint() []byte {
	if in.StoreCredit {
		return fingerprint(payOperation+" by store credit", in.ReservationID, nil)
	}
	if in.Token == "" && in.ReturnURL == "" && in.Gateway == "" {
		return fingerprint(payOperation, in.ReservationID, nil)
	}
	asked := payOperation + " " + in.Token + " " + in.ReturnURL
	if in.Gateway != "" {
		asked += " " + in.Gateway
	}
	return fingerprint(asked, in.ReservationID, nil)
}

// Pay collects the price of a held reservation and issues its tickets. Repeating it with the same key tells how that
// attempt stands; paying what is paid already changes nothing and says so. NOT_FOUND when the reservation is missing
// or someone else's, CONFLICT when it was cancelled or no gateway takes its currency, IDEMPOTENCY_KEY_REUSED.
//
// An attempt that its gateway never heard of goes on at a sibling, unless the customer has chosen. Who chooses another gateway
// than the one where an attempt of theirs waits for them, or for an answer, gives that one up: whatever it comes to is let go.
//
// The gateway is called between transactions, never inside one; the seats are secured before money is captured. If
// this process dies at any point, Reconcile brings the attempt to its end.
func (s *Service) Pay(ctx context.Context, viewer auth.Viewer, in PayInput) (PayResult, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	opened, err := s.openAttempt(ctx, viewer, in)
	if err != nil {
		return nil, err
	}
	attempt := opened.attempt
	// The customer may close the tab, or the request run out of time: the money must come to rest all the same, and the
	// answer says how it did.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	switch {
	case opened.drive:
		s.changed(attempt.PaymentReference())
		attempt, err = s.settleFrom(ctx, attempt, func(ctx context.Context, a payment.Attempt) (_ payment.Attempt, err error) {
			if in.StoreCredit {
				if in.Token, err = s.payments.CreditOf(ctx, viewer.UserID, in.ShowtimeID, a.Amount.Currency); err != nil {
					return a, err
				}
			}
			return s.authorize(ctx, a, in, opened.siblings)
		})
		pause := time.Duration(0)
		switch {
		case errors.Is(err, errPending):
			pause = pendingPause
		case err != nil:
			s.log.WarnContext(ctx, "payment attempt left to the reconciler", "attempt", attempt.ID, "status", attempt.Status, "error", err)
		}
		if err != nil {
			if err := s.payments.Release(ctx, attempt, pause); err != nil {
				return nil, err
			}
		}
	case attempt.Status == payment.AttemptStarted && attempt.ID != uuid.Nil:
		if attempt, err = s.lookAgain(ctx, attempt); err != nil && !errors.Is(err, errPending) {
			s.log.WarnContext(ctx, "payment attempt not looked up", "attempt", attempt.ID, "error", err)
		}
	}
	pending, _ := errors.AsType[pendingError](err)
	r, now, err := s.reservation(ctx, viewer.UserID, in.ShowtimeID, in.ReservationID)
	if err != nil {
		return nil, err
	}
	if opened.calledOff {
		return ShowtimeClosed{Reason: showtime.ClosedCancelled}, nil
	}
	if opened.free {
		return Paid{Reservation: r}, nil
	}
	return payResult(opened, attempt, r, now, pending.next), nil
}

// payResult says how an attempt stands; now is the database's clock, next what its customer has to do.
func payResult(opened opened, attempt payment.Attempt, r Reservation, now time.Time, next payment.NextStep) PayResult {
	switch {
	case opened.expired:
		return Expired{Reservation: r}
	case attempt.Status == payment.AttemptCaptured:
		return Paid{Reservation: r}
	case attempt.DeclineCode != "" && attempt.Status != payment.AttemptStarted:
		return Declined{Reservation: r, ServerTime: now, Code: attempt.DeclineCode}
	case attempt.Status == payment.AttemptRefundPending, attempt.Status == payment.AttemptRefunded:
		if r.Status == StatusCancelled {
			return Paid{Reservation: r} // and given back since
		}
		return Expired{Reservation: r} // the money came when the seats were gone, and goes back
	case attempt.Status == payment.AttemptVoided, attempt.Status == payment.AttemptVoidPending:
		return Expired{Reservation: r}
	default:
		return Pending{Reservation: r, ServerTime: now, Next: next}
	}
}

// opened is what came of asking for an attempt.
type opened struct {
	attempt   payment.Attempt
	drive     bool // the attempt was made by this call: it is ours to drive
	expired   bool // the hold had run out; no attempt was made
	calledOff bool // the showtime does not take place; no attempt was made
	free      bool // nothing is to be paid: the reservation is confirmed
	siblings  []string
}

func (s *Service) openAttempt(ctx context.Context, viewer auth.Viewer, in PayInput) (opened, error) {
	to, err := s.route(ctx, in)
	if err != nil {
		return opened{}, err
	}
	outcome, attempt, err := s.payReservation(ctx, s.db.SQL(), viewer, in, to)
	if errors.Is(err, payment.ErrMoved) && in.Gateway != "" && to.gateway.Valid {
		outcome, attempt, err = s.elsewhere(ctx, viewer, in, to)
	}
	if outcome == payFree {
		outcome, attempt, err = s.confirmFree(ctx, viewer, in, to)
	}
	switch {
	case errors.Is(err, payment.ErrMoved):
		// Another attempt is under way; its owner or the reconciler will bring it to an end.
		return opened{attempt: payment.Attempt{Status: payment.AttemptStarted}}, nil
	case errors.Is(err, errHoldLost):
		return opened{expired: true}, nil
	case errors.Is(err, errCalledOff):
		return opened{calledOff: true}, nil
	case err != nil:
		return opened{}, err
	}
	switch outcome {
	case "OPENED":
		return opened{attempt: attempt, drive: true, siblings: to.siblings}, nil
	case "REPLAYED", payConfirmed:
		return opened{attempt: attempt, free: attempt.ID == uuid.Nil}, nil
	case "EXPIRED":
		return opened{expired: true}, nil
	case "CALLED_OFF":
		return opened{calledOff: true}, nil
	case "KEY_REUSED":
		return opened{}, errKeyReused()
	case "CANCELLED":
		return opened{}, apperr.New(apperr.Conflict, "This reservation was cancelled.")
	case "NO_RESERVATION":
		return opened{}, apperr.Missing("reservation")
	default:
		return opened{}, fmt.Errorf("a payment was answered %q", outcome)
	}
}

// Outcomes of pay_reservation that its caller acts on.
const (
	payFree      = "FREE"
	payConfirmed = "CONFIRMED"
)

// payReservation is the SQL function pay_reservation; the attempt is a zero one where there is none. Where one would be opened
// and its route leads nowhere, nothing is, and the route's refusal is returned.
func (s *Service) payReservation(ctx context.Context, on querier, viewer auth.Viewer, in PayInput, to route) (outcome string, a payment.Attempt, err error) {
	var (
		attemptID, paymentID                   uuid.NullUUID
		gateway, currency, status, declineCode sql.NullString
		amount                                 sql.NullInt64
		credit                                 *int64
		moved                                  bool
	)
	err = on.QueryRowContext(ctx, `SELECT outcome, attempt_id, payment_id, gateway, amount_minor, currency, status, decline_code, credit_minor,
			CASE WHEN outcome = 'OPENED' AND $10::bigint > 0 THEN grant_grace($1, $2, $10, $11) ELSE false END
		FROM pay_reservation($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		in.ShowtimeID, in.ReservationID, viewer.UserID, in.IdempotencyKey, in.fingerprint(), typeid.New(), typeid.New(),
		to.gateway, s.cfg.AttemptLease.Milliseconds(), s.cfg.PaymentGrace.Milliseconds(), s.cfg.HoldLimit.Milliseconds()).
		Scan(&outcome, &attemptID, &paymentID, &gateway, &amount, &currency, &status, &declineCode, &credit, &moved)
	if postgres.SQLState(err) == notNull && !to.gateway.Valid {
		return "", payment.Attempt{}, to.refusal
	}
	if postgres.SQLState(err) == lostRace {
		return "", payment.Attempt{}, errHoldLost
	}
	if err != nil {
		return "", payment.Attempt{}, payment.Moved(fmt.Errorf("opening a payment: %w", err))
	}
	if moved {
		s.hint(in.ShowtimeID)
	}
	if !attemptID.Valid {
		return outcome, payment.Attempt{}, nil
	}
	return outcome, payment.Attempt{
		ShowtimeID: in.ShowtimeID, ID: attemptID.UUID, PaymentID: paymentID.UUID, ReservationID: in.ReservationID, Gateway: gateway.String,
		Amount: money.Money{AmountMinor: amount.Int64, Currency: currency.String}, Status: payment.AttemptStatus(status.String), DeclineCode: declineCode.String,
		CreditMinor: credit,
	}, nil
}

// confirmFree confirms a reservation that costs nothing, if that is still so: errHoldLost when its deadline
// has passed, errCalledOff when its showtime does not take place.
func (s *Service) confirmFree(ctx context.Context, viewer auth.Viewer, in PayInput, to route) (outcome string, a payment.Attempt, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, _, err := s.lockTx(ctx, tx, viewer.UserID, in.ShowtimeID, in.ReservationID)
		if err != nil {
			return err
		}
		if outcome, a, err = s.payReservation(ctx, tx, viewer, in, to); err != nil || outcome != payFree {
			return err
		}
		if _, err := rememberTx(ctx, tx, viewer.UserID, r.Reference(), in.IdempotencyKey, payOperation, in.fingerprint()); err != nil {
			return err
		}
		if err := s.secureTx(ctx, tx, in.ShowtimeID, in.ReservationID); err != nil {
			return err
		}
		if err := s.confirmTx(ctx, tx, r); err != nil {
			return err
		}
		// Attempts for seats that it had before, and that cost something, came to nothing.
		return s.payments.GiveUpTx(ctx, tx, in.ShowtimeID, in.ReservationID)
	})
	if err == nil && outcome == payFree {
		s.hint(in.ShowtimeID)
		outcome = payConfirmed
	}
	return outcome, a, err
}

// rememberTx stores the key of an operation on a reservation with what was asked; replayed is true when it was stored before
// for the same, and IDEMPOTENCY_KEY_REUSED is returned when for something else.
func rememberTx(ctx context.Context, tx *sql.Tx, viewerID uuid.UUID, of payment.Reference, key, operation string, asked []byte) (replayed bool, err error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, of.ShowtimeID, viewerID, key, operation, asked, of.ID)
	if err != nil {
		return false, fmt.Errorf("remembering a key: %w", err)
	}
	if stored, err := result.RowsAffected(); err != nil || stored == 1 {
		return false, err
	}
	var same bool
	err = tx.QueryRowContext(ctx, `SELECT operation = $4 AND fingerprint = $5 FROM idempotency_keys
		WHERE showtime_id = $1 AND viewer_id = $2 AND key = $3`, of.ShowtimeID, viewerID, key, operation, asked).Scan(&same)
	if err != nil {
		return false, fmt.Errorf("reading a key: %w", err)
	}
	if !same {
		return false, errKeyReused()
	}
	return true, nil
}

// lockTx reads one of the viewer's reservations, with the database's clock, and keeps others from changing it: NOT_FOUND
// when it is missing or someone else's. The seats are not filled in.
func (s *Service) lockTx(ctx context.Context, tx *sql.Tx, viewerID, showtimeID, id uuid.UUID) (Reservation, time.Time, error) {
	return s.lockAnyTx(ctx, tx, uuid.NullUUID{UUID: viewerID, Valid: true}, showtimeID, id)
}

// lockAnyTx is lockTx for a reservation of anybody where no viewer is given.
func (s *Service) lockAnyTx(ctx context.Context, tx *sql.Tx, viewerID uuid.NullUUID, showtimeID, id uuid.UUID) (Reservation, time.Time, error) {
	r, now, err := scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM reservations r
		WHERE r.showtime_id = $1 AND r.id = $2 AND ($3::uuid IS NULL OR r.viewer_id = $3) FOR UPDATE`, showtimeID, id, viewerID))
	if errors.Is(err, sql.ErrNoRows) {
		return r, now, apperr.Missing("reservation")
	}
	if err != nil {
		return r, now, fmt.Errorf("locking a reservation: %w", err)
	}
	return r, now, nil
}
