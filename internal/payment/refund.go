package payment

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/postgres"
	"marquee/internal/seatno"
	"marquee/internal/typeid"
)

// ErrTooMuch is returned when more would go back than was captured.
var ErrTooMuch = errors.New("payment: more would go back than was captured")

// Cause is why money goes back.
type Cause string

// The causes.
const (
	ByCustomer Cause = "CUSTOMER" // the customer cancelled
	ByTheater  Cause = "THEATER"  // the showtime was called off, or something else was the theater's doing
	Goodwill   Cause = "GOODWILL" // the theater owed nothing and gave it all the same
	BySwap     Cause = "SWAP"     // the customer swapped the seats
	InVain     Cause = "IN_VAIN"  // it was taken too late, or without us: a step of its attempt
)

// RefundStatus is where a refund stands.
type RefundStatus string

// The states of a refund.
const (
	RefundPending RefundStatus = "PENDING" // the gateway is to be told, or has not answered; it waits at the counter
	RefundDone    RefundStatus = "DONE"    // the money was given back
	RefundFailed  RefundStatus = "FAILED"  // it could not be, however often it was tried: somebody decides how it goes back
)

// Destination is how a refund goes back.
type Destination string

// The destinations.
const (
	ToOriginal    Destination = "ORIGINAL"        // the way it was paid
	ToStoreCredit Destination = "STORE_CREDIT"    // to what the customer has with the theater
	ToCash        Destination = "CASH_AT_COUNTER" // over the counter of the theater
)

// Refund is money of an attempt that goes back.
type Refund struct {
	ShowtimeID uuid.UUID
	ID         uuid.UUID
	PaymentID  uuid.UUID
	AttemptID  uuid.UUID
	Gateway    string
	Number     int16 // among those of the attempt, from 1
	Amount     money.Money
	Cause      Cause
	Seats      seatno.List // that it is for; none where money goes back for nothing that was still booked
	Status     RefundStatus
	CreatedAt  time.Time
	To         *Reference // the reservation that it pays for instead of going back; nil: it goes back
	Origin     string     // what the gateway knows the money by, of an attempt that carried it here; "": it took it

	Destination Destination
	Try         int16       // from 1; each has a key of its own
	Code        string      // why the try before failed, or the last where it has failed; "": none did
	ByHand      money.Money // of the amount, what somebody gave back without us, at the gateway's own dashboard
}

// NodeID returns the refund's public id, which carries its showtime.
func (r Refund) NodeID() string { return typeid.EncodeIn(typeid.Refund, r.ShowtimeID, r.ID) }

// Through returns what stands where attempts name their gateway for the way on which it goes back.
func (r Refund) Through() string {
	switch r.Destination {
	case ToCash:
		return string(MethodCash)
	case ToStoreCredit:
		return CreditName
	default:
		return r.Gateway
	}
}

// Due returns what the gateway is asked for.
func (r Refund) Due() money.Money {
	return money.Money{AmountMinor: r.Amount.AmountMinor - r.ByHand.AmountMinor, Currency: r.Amount.Currency}
}

// AtCounter reports whether it goes back over the counter, where no program drives it.
func (r Refund) AtCounter() bool { return AtCounter(r.Through()) }

// Shown returns where it stands for its customer: what was tried in vain is delayed, whether or not it is tried again.
func (r Refund) Shown() RefundStatus {
	if r.Status == RefundPending && r.Try > 1 && r.Destination == ToOriginal {
		return RefundFailed
	}
	return r.Status
}

// CarriedToID returns the public id of the reservation that it pays for, nil when it goes back.
func (r Refund) CarriedToID() *string {
	if r.To == nil {
		return nil
	}
	return new(typeid.EncodeIn(typeid.Reservation, r.To.ShowtimeID, r.To.ID))
}

// AttemptKey is what the gateway knows the attempt by that took the money.
func (r Refund) AttemptKey() string { return cmp.Or(r.Origin, r.AttemptID.String()) }

// Key is what the gateway knows a try of the refund by. The first of an attempt has the key that a return of the whole has;
// money that was carried may go back from several reservations, so its refunds name the attempt that has it.
func (r Refund) Key(try int16) string {
	key := r.AttemptKey() + "/refund"
	switch {
	case r.Origin != "":
		key += "/" + r.AttemptID.String() + "/" + strconv.Itoa(int(r.Number))
	case r.Number > 1:
		key += "/" + strconv.Itoa(int(r.Number))
	}
	if try > 1 {
		key += "/try/" + strconv.Itoa(int(try))
	}
	return key
}

// Promised returns what all refunds of the payment come to, those on their way included, but for what was taken in vain.
func (p Payment) Promised() money.Money {
	return p.sum(func(r Refund) bool { return r.To == nil && r.Cause != InVain })
}

// Carried returns what of the payment pays for other reservations.
func (p Payment) Carried() money.Money { return p.sum(func(r Refund) bool { return r.To != nil }) }

func (p Payment) sum(counts func(Refund) bool) money.Money {
	sum := money.Money{Currency: p.Amount.Currency}
	for _, r := range p.Refunds {
		if counts(r) {
			sum.AmountMinor += r.Amount.AmountMinor
		}
	}
	return sum
}

// RefundOpening is what a new refund needs.
type RefundOpening struct {
	AmountMinor int64 // more than 0
	Cause       Cause
	Seats       seatno.List
	To          Destination   // ToOriginal or ToStoreCredit; "": the former
	Lease       time.Duration // how long the caller may drive the refund before others take it over
}

// OpenRefundsTx records that captured money of a reservation's payment goes back, each part the way it came: through its
// gateway or, when it was taken at the counter, there, where no program drives it. What the payment took itself goes before
// what was carried to it. ErrTooMuch when that is more than is left. The payment's row stays locked until the transaction ends.
func (s *Service) OpenRefundsTx(ctx context.Context, tx *sql.Tx, of Reference, o RefundOpening) ([]Refund, error) {
	p := Payment{ShowtimeID: of.ShowtimeID}
	err := tx.QueryRowContext(ctx, `UPDATE payments SET promised_minor = promised_minor + $3, updated_at = now(),
			status = CASE WHEN promised_minor + $3 = captured_minor THEN 'REFUND_PENDING' ELSE status END
		WHERE showtime_id = $1 AND reservation_id = $2 AND status = 'CAPTURED' AND promised_minor + $3 <= captured_minor RETURNING id, currency`,
		of.ShowtimeID, of.ID, o.AmountMinor).Scan(&p.ID, &p.Amount.Currency)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrTooMuch
	}
	if err != nil {
		return nil, fmt.Errorf("promising a refund: %w", err)
	}
	sources, err := s.SourcesTx(ctx, tx, of)
	if err != nil {
		return nil, err
	}
	parts, _, err := Draw(sources, o.AmountMinor)
	if err != nil {
		return nil, fmt.Errorf("payment %s: %w", p.ID, err)
	}
	refunds := make([]Refund, len(parts))
	for i, part := range parts {
		r := Refund{
			ShowtimeID: p.ShowtimeID, ID: typeid.New(), PaymentID: p.ID, AttemptID: part.AttemptID, Gateway: part.Gateway,
			Amount: money.Money{AmountMinor: part.Minor, Currency: p.Amount.Currency}, Cause: o.Cause, Seats: o.Seats, Status: RefundPending,
			Origin: part.origin(), Destination: cmp.Or(o.To, ToOriginal), Try: 1, ByHand: money.Money{Currency: p.Amount.Currency},
		}
		err := tx.QueryRowContext(ctx, `INSERT INTO refunds (showtime_id, id, payment_id, attempt_id, number, amount_minor, cause, seats, destination, leased_until)
			SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, 1 + count(*), $5::bigint, $6::text, $7::smallint[], $10::text,
				CASE WHEN $9 THEN 'infinity' ELSE now() + $8 * interval '1 millisecond' END
			FROM refunds WHERE showtime_id = $1 AND attempt_id = $4 RETURNING number, created_at`,
			r.ShowtimeID, r.ID, r.PaymentID, r.AttemptID, part.Minor, o.Cause, o.Seats, o.Lease.Milliseconds(), r.AtCounter(), r.Destination).Scan(&r.Number, &r.CreatedAt)
		if err != nil {
			return nil, fmt.Errorf("recording a refund: %w", err)
		}
		if err := recordTx(ctx, tx, transfer{r.ShowtimeID, r.PaymentID, r.ID, Promised, r.Gateway, part.Minor}); err != nil {
			return nil, err
		}
		refunds[i] = r
	}
	return refunds, nil
}

// FinishRefundTx records that a refund was given back: ErrMoved when that was recorded before.
func (s *Service) FinishRefundTx(ctx context.Context, tx *sql.Tx, r Refund) error {
	if r.Cause == InVain {
		// Not of what was captured in order: the attempt has it.
		_, err := advance(ctx, tx, Attempt{ShowtimeID: r.ShowtimeID, ID: r.AttemptID, Status: AttemptRefundPending}, Step{To: AttemptRefunded})
		return err
	}
	result, err := tx.ExecContext(ctx, `UPDATE refunds SET status = 'DONE', done_at = now() WHERE showtime_id = $1 AND id = $2 AND status = 'PENDING'`,
		r.ShowtimeID, r.ID)
	if err := changedOne(result, err); err != nil {
		return err
	}
	if !r.AtCounter() { // there the till says which way it went
		if err := recordTx(ctx, tx, transfer{r.ShowtimeID, r.PaymentID, r.ID, Returned, r.Through(), r.Due().AmountMinor}); err != nil {
			return err
		}
	}
	if err := recordTx(ctx, tx, transfer{r.ShowtimeID, r.PaymentID, r.ID, ByHand, r.Gateway, r.ByHand.AmountMinor}); err != nil {
		return err
	}
	return changedOne(tx.ExecContext(ctx, `UPDATE payments SET refunded_minor = refunded_minor + $3, updated_at = now(),
			status = CASE WHEN refunded_minor + $3 = captured_minor THEN 'REFUNDED' ELSE status END
		WHERE showtime_id = $1 AND id = $2`, r.ShowtimeID, r.PaymentID, r.Amount.AmountMinor))
}

// LeaseRefunds takes over up to limit refunds at a gateway whose driver has let its lease run out, for the given time. Two callers
// never get the same refund.
func (s *Service) LeaseRefunds(ctx context.Context, gateway string, limit int, lease time.Duration) ([]Refund, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `UPDATE refunds r SET leased_until = now() + $2 * interval '1 millisecond'
		FROM payments p, payment_attempts a
		WHERE (r.showtime_id, r.id) IN (SELECT d.showtime_id, d.id FROM refunds d
				JOIN payment_attempts b ON b.showtime_id = d.showtime_id AND b.id = d.attempt_id
				WHERE (b.gateway = $3 OR d.destination = 'STORE_CREDIT' AND $3 = '`+CreditName+`') AND d.status = 'PENDING' AND d.leased_until < now() ORDER BY d.leased_until LIMIT $1 FOR UPDATE OF d SKIP LOCKED)
			AND p.showtime_id = r.showtime_id AND p.id = r.payment_id AND a.showtime_id = r.showtime_id AND a.id = r.attempt_id
		RETURNING `+refundColumns, limit, lease.Milliseconds(), gateway)
	if err != nil {
		return nil, fmt.Errorf("looking for refunds: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (Refund, error) { return scanRefund(rows) })
}

// GivenElsewhere returns what other refunds of the same charge have given back, or will, without its gateway: as store credit or
// over the counter, in minor units.
func (s *Service) GivenElsewhere(ctx context.Context, r Refund) (minor int64, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT coalesce(sum(r.amount_minor - r.by_hand_minor), 0)`+refundSource+`
		WHERE coalesce(a.origin_key, a.id::text) = $1 AND a.gateway = $2 AND r.id <> $3 AND r.destination <> 'ORIGINAL' AND r.status IN ('PENDING', 'DONE')`,
		r.AttemptKey(), r.Gateway, r.ID).Scan(&minor)
	if err != nil {
		return 0, fmt.Errorf("looking for refunds: %w", err)
	}
	return minor, nil
}

const refundColumns = `r.showtime_id, r.id, r.payment_id, r.attempt_id, a.gateway, r.number, r.amount_minor, p.currency, r.cause, r.seats, r.status,
	r.created_at, coalesce(a.origin_key, ''), r.destination, r.try, coalesce(r.failure_code, ''), r.by_hand_minor`

const refundSource = ` FROM refunds r JOIN payments p ON p.showtime_id = r.showtime_id AND p.id = r.payment_id
	JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id`

func scanRefund(row interface{ Scan(...any) error }) (r Refund, err error) {
	err = row.Scan(&r.ShowtimeID, &r.ID, &r.PaymentID, &r.AttemptID, &r.Gateway, &r.Number, &r.Amount.AmountMinor, &r.Amount.Currency,
		&r.Cause, &r.Seats, &r.Status, &r.CreatedAt, &r.Origin, &r.Destination, &r.Try, &r.Code, &r.ByHand.AmountMinor)
	r.ByHand.Currency = r.Amount.Currency
	return r, err
}

// GivenByHand records, before the rest is asked for, that so much of a pending refund somebody gave back without us, and returns
// it as it stands then. ErrMoved when it is not where r stands.
func (s *Service) GivenByHand(ctx context.Context, r Refund, minor int64) (Refund, error) {
	result, err := s.db.SQL().ExecContext(ctx, `UPDATE refunds SET by_hand_minor = $5
		WHERE showtime_id = $1 AND id = $2 AND status = 'PENDING' AND try = $3 AND by_hand_minor = $4`,
		r.ShowtimeID, r.ID, r.Try, r.ByHand.AmountMinor, minor)
	r.ByHand.AmountMinor = minor
	return r, changedOne(result, err)
}

// TryAgain records that a try of a pending refund has failed for good, so that the next is made under its own key once a time
// has passed. ErrMoved when r is not at that try.
func (s *Service) TryAgain(ctx context.Context, r Refund, code string, after time.Duration) error {
	return changedOne(s.db.SQL().ExecContext(ctx, `UPDATE refunds SET try = try + 1, failure_code = $4, leased_until = now() + $5 * interval '1 millisecond'
		WHERE showtime_id = $1 AND id = $2 AND status = 'PENDING' AND try = $3`, r.ShowtimeID, r.ID, r.Try, code, after.Milliseconds()))
}

// FailRefund records that the last try of a pending refund has failed for good. ErrMoved when r is not at that try.
func (s *Service) FailRefund(ctx context.Context, r Refund, code string) error {
	return changedOne(s.db.SQL().ExecContext(ctx, `UPDATE refunds SET status = 'FAILED', failure_code = $4
		WHERE showtime_id = $1 AND id = $2 AND status = 'PENDING' AND try = $3`, r.ShowtimeID, r.ID, r.Try, code))
}

// ReleaseRefund lets go of a refund's lease, so that the reconciler takes it up.
func (s *Service) ReleaseRefund(ctx context.Context, r Refund) error {
	_, err := s.db.SQL().ExecContext(ctx, `UPDATE refunds SET leased_until = now() WHERE showtime_id = $1 AND id = $2`, r.ShowtimeID, r.ID)
	if err != nil {
		return fmt.Errorf("releasing a refund: %w", err)
	}
	return nil
}

// KeptTx returns what was captured of an attempt's payment and has not been promised back, in minor units.
func (s *Service) KeptTx(ctx context.Context, tx *sql.Tx, a Attempt) (minor int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT captured_minor - promised_minor FROM payments WHERE showtime_id = $1 AND id = $2 FOR UPDATE`,
		a.ShowtimeID, a.PaymentID).Scan(&minor)
	if err != nil {
		return 0, fmt.Errorf("reading a payment: %w", err)
	}
	return minor, nil
}

// refundsOf reads the refunds of a payment as its query gives them.
func refundsOf(p Payment, text []byte) ([]Refund, error) {
	var rows []struct {
		ID          uuid.UUID    `json:"id"`
		AttemptID   uuid.UUID    `json:"attemptId"`
		Gateway     string       `json:"gateway"`
		Number      int16        `json:"number"`
		AmountMinor int64        `json:"amountMinor"`
		Cause       Cause        `json:"cause"`
		Status      RefundStatus `json:"status"`
		Seats       seatno.List  `json:"seats"`
		CreatedAt   time.Time    `json:"createdAt"`
		Destination Destination  `json:"destination"`
		Try         int16        `json:"try"`

		ToShowtimeID    *uuid.UUID `json:"toShowtimeId"`
		ToReservationID *uuid.UUID `json:"toReservationId"`
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("reading refunds: %w", err)
	}
	refunds := make([]Refund, len(rows))
	for i, row := range rows {
		refunds[i] = Refund{
			ShowtimeID: p.ShowtimeID, ID: row.ID, PaymentID: p.ID, AttemptID: row.AttemptID, Gateway: row.Gateway, Number: row.Number,
			Amount: money.Money{AmountMinor: row.AmountMinor, Currency: p.Amount.Currency}, Cause: row.Cause, Seats: row.Seats,
			Status: row.Status, CreatedAt: row.CreatedAt, Destination: row.Destination, Try: row.Try,
		}
		if row.ToReservationID != nil {
			refunds[i].To = &Reference{ShowtimeID: *row.ToShowtimeID, ID: *row.ToReservationID}
		}
	}
	return refunds, nil
}
