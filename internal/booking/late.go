package booking

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/audit"
	"marquee/internal/notify"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// Rung is how far down the ladder money went that came when the hold it was for had run out.
type Rung string

// The rungs, from the top.
const (
	RungSameSeats  Rung = "SAME_SEATS"  // the seats were free, and are the customer's again
	RungOtherSeats Rung = "OTHER_SEATS" // others that are as good or better are held for the customer, at the same price
	RungRefund     Rung = "REFUND"      // the money is let go, or goes back
)

// RecoveryAnswer is what became of an offer of other seats.
type RecoveryAnswer string

// The answers.
const (
	RecoveryAccepted RecoveryAnswer = "ACCEPTED"
	RecoveryDeclined RecoveryAnswer = "DECLINED"
	RecoveryLapsed   RecoveryAnswer = "LAPSED" // nobody answered in time, or the showtime was called off
)

// Recovery is what became of money that came too late.
type Recovery struct {
	Rung      Rung
	Lost      []theater.Seat  // that it was for
	Offered   []theater.Seat  // instead; none but where an offer was made
	AnswerBy  *time.Time      // until when an offer stands; nil where none does
	Answer    *RecoveryAnswer // nil: none is wanted, or none was given yet
	CreatedAt time.Time
}

// mostOffers bounds how many selections are tried when others are quicker.
const mostOffers = 3

// retake gives a reservation whose hold ran out its seats again for a started attempt that has the funds, in one transaction, or
// else holds others for it that are as good: errHoldLost when neither can be had, errCalledOff. A swap gets neither: what
// it gives has gone on without it.
func (s *Service) retake(ctx context.Context, a payment.Attempt, reference string) (payment.Attempt, error) {
	if a.CreditMinor != nil {
		return a, errHoldLost
	}
	r, _, err := scan(s.db.SQL().QueryRowContext(ctx, `SELECT `+columns+` FROM reservations r WHERE r.showtime_id = $1 AND r.id = $2`, a.ShowtimeID, a.ReservationID))
	if err != nil {
		return a, fmt.Errorf("reading a reservation: %w", err)
	}
	offer, err := s.showtimes.Offer(ctx, a.ShowtimeID)
	if err != nil {
		return a, err
	}
	layout, err := s.seating.Layout(ctx, a.ShowtimeID)
	if err != nil {
		return a, err
	}
	same := reseating{seats: layout.SeatsAt(r.Positions.Sorted()), positions: r.Positions, lines: r.Stored}
	next, outcome, err := s.retakeSeats(ctx, a, reference, r, offer, same, nil)
	if err != nil || outcome != seatsTaken {
		return next, err
	}
	states, _, err := s.seating.States(ctx, a.ShowtimeID)
	if err != nil {
		return a, err
	}
	for _, other := range s.equalOrBetter(offer, layout, states, r) {
		if noneAlone(offer, states, s.clock.Now()) {
			other.edges = seating.EdgesOf(layout, other.positions, offer.Prices)
		}
		next, outcome, err := s.retakeSeats(ctx, a, reference, r, offer, other, &s.cfg.OfferTime)
		if err != nil || outcome != seatsTaken {
			return next, err
		}
	}
	return a, errHoldLost
}

// What retake_seats says that its caller tells apart.
const (
	seatsRetaken = "RETAKEN"
	seatsTaken   = "TAKEN" // or they would leave one alone: others may do
)

// retakeSeats is one call of retake_seats, with the mail and the entry of the audit log that belong to it. errHoldLost for
// what no other seats would help against.
func (s *Service) retakeSeats(ctx context.Context, a payment.Attempt, reference string, r Reservation, offer *showtime.Offer, to reseating, offered *time.Duration,
) (next payment.Attempt, outcome string, err error) {
	status, kind, data := payment.AttemptAuthorized, notify.SeatsRetaken, notify.Data{}
	act := recovered{Rung: RungSameSeats, Seats: labels(to.seats)}
	var offerMS *int64
	if offered != nil {
		offerMS = new(offered.Milliseconds())
		status, act.Rung, kind = payment.AttemptOffered, RungOtherSeats, notify.SeatsOffered
		data = notify.Data{"minutes": strconv.Itoa(int(offered.Minutes())), "link": "/reservations/" + r.NodeID()}
	}
	data["seats"] = strings.Join(act.Seats, ", ")
	if next, err = a.After(payment.Step{To: status}); err != nil {
		return a, "", err
	}
	lines, err := json.Marshal(to.lines)
	if err != nil {
		return a, "", fmt.Errorf("writing price lines: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT retake_seats($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, a.ShowtimeID, a.ReservationID, a.ID, reference,
			to.positions, string(lines), to.edges.Beside, to.edges.Beyond, s.cfg.SeatsPerAddress, s.cfg.SeatsPerDevice, offerMS).Scan(&outcome)
		if err != nil || outcome != seatsRetaken {
			return err
		}
		return s.tellRecoveredTx(ctx, tx, r, offer.TheaterID, act, kind, data)
	})
	switch {
	case postgres.SQLState(err) == lostRace, err == nil && outcome == "ALONE":
		return a, seatsTaken, nil
	case postgres.SQLState(err) == calledOff:
		return a, "", errCalledOff
	case err != nil:
		return a, "", payment.Moved(fmt.Errorf("holding seats for late money: %w", err))
	case outcome == seatsTaken:
		return a, outcome, nil
	case outcome != seatsRetaken:
		return a, "", errHoldLost
	default:
		return next, outcome, nil
	}
}

// reseating is seats that a reservation could have, with the lines of its price as they are then.
type reseating struct {
	seats     []theater.Seat
	positions seatno.List
	lines     []pricing.Line
	edges     seating.Edges
}

// equalOrBetter returns what a party could have instead of its seats, together and without paying more: seats of the same
// categories and, where all were of one, of one that costs more. The best of each comes first, the same category before others.
func (s *Service) equalOrBetter(offer *showtime.Offer, layout *theater.Layout, states []seating.State, r Reservation) []reseating {
	lost := layout.SeatsAt(r.Positions.Sorted())
	wish := seating.Instead(lost, offer.Adult, true)
	wish.Together, wish.NoneAlone = true, noneAlone(offer, states, s.clock.Now())
	wishes := []seating.Wish{wish}
	if of := lost[0].Category; !slices.ContainsFunc(lost, func(seat theater.Seat) bool { return seat.Category != of }) && !accessible(of) {
		wishes = nil
		for _, category := range better(offer.Adult, of) {
			wish.Prices = map[theater.Category]int64{category: offer.Adult[category]}
			wishes = append(wishes, wish)
		}
	}
	var found []reseating
	for _, wish := range wishes {
		for _, selection := range seating.Best(layout, states, wish, seating.DefaultWeights(), mostOffers) {
			if to, ok := reseat(r, lost, selection.Seats); ok && len(found) < mostOffers {
				found = append(found, to)
			}
		}
	}
	return found
}

func accessible(c theater.Category) bool {
	return c == theater.CategoryWheelchair || c == theater.CategoryCompanion
}

// better returns a category and those for anybody that cost at least as much, the cheapest first after it.
func better(prices map[theater.Category]int64, of theater.Category) []theater.Category {
	var categories []theater.Category
	for category, price := range prices {
		if category != of && !accessible(category) && price >= prices[of] {
			categories = append(categories, category)
		}
	}
	slices.SortFunc(categories, func(a, b theater.Category) int { return cmp.Or(cmp.Compare(prices[a], prices[b]), cmp.Compare(a, b)) })
	return append([]theater.Category{of}, categories...)
}

// reseat puts a reservation's tickets on other seats: each on one of its category or, where both are of one category only, on
// any. False where they do not fit.
func reseat(r Reservation, from, to []theater.Seat) (reseating, bool) {
	ordered := func(seats []theater.Seat) []theater.Seat {
		return slices.SortedFunc(slices.Values(seats), func(a, b theater.Seat) int {
			return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Position, b.Position))
		})
	}
	from, to = ordered(from), ordered(to)
	moved, places := map[int16]int16{}, map[pricing.Place]pricing.Place{}
	place := func(c theater.Category) pricing.Place { return pricing.Place{Category: string(c), Title: c.Title()} }
	taken := reseating{seats: to}
	if len(from) != len(to) {
		return taken, false
	}
	for i := range from {
		was, is := place(from[i].Category), place(to[i].Category)
		if before, known := places[was]; known && before != is || was != is && from[0].Category != from[len(from)-1].Category {
			return taken, false
		}
		places[was] = is
		moved[from[i].Position] = to[i].Position
		taken.positions = append(taken.positions, to[i].Position)
	}
	taken.positions = taken.positions.Sorted()
	taken.lines = pricing.Reseated(r.Stored, moved, places)
	return taken, true
}

// letGoLate gives up an attempt whose money came too late, as a step has it, for nothing can be had for it, or an offer was not
// taken: answer says which.
func (s *Service) letGoLate(ctx context.Context, a payment.Attempt, step payment.Step, answer RecoveryAnswer) (next payment.Attempt, err error) {
	offer, err := s.showtimes.Offer(ctx, a.ShowtimeID)
	if err != nil {
		return a, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, _, err := s.lockAnyTx(ctx, tx, uuid.NullUUID{}, a.ShowtimeID, a.ReservationID)
		if err != nil {
			return err
		}
		next, err = s.letGoLateTx(ctx, tx, a, r, offer.TheaterID, step, answer)
		return err
	})
	return next, err
}

// letGoLateTx is letGoLate for who has the reservation's row lock.
func (s *Service) letGoLateTx(ctx context.Context, tx *sql.Tx, a payment.Attempt, r Reservation, theaterID uuid.UUID, step payment.Step, answer RecoveryAnswer) (payment.Attempt, error) {
	next, err := s.payments.AdvanceTx(ctx, tx, a, step)
	if err != nil {
		return a, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO payment_recoveries (showtime_id, attempt_id, reservation_id, rung, lost) VALUES ($1, $2, $3, 'REFUND', $4)
		ON CONFLICT (showtime_id, attempt_id) DO UPDATE SET rung = excluded.rung, answer = nullif($5, ''), answered_at = now()`,
		a.ShowtimeID, a.ID, a.ReservationID, r.Positions, answer)
	if err != nil {
		return a, fmt.Errorf("recording that money goes back: %w", err)
	}
	return next, s.tellRecoveredTx(ctx, tx, r, theaterID, recovered{Rung: RungRefund, Answer: answer}, notify.LateRefund, notify.Data{})
}

// lapse gives up an offer of other seats whose time is over; errPending while it stands.
func (s *Service) lapse(ctx context.Context, a payment.Attempt) (payment.Attempt, error) {
	var stands bool
	err := s.db.SQL().QueryRowContext(ctx, `SELECT coalesce(held_until > now(), false) FROM reservations WHERE showtime_id = $1 AND id = $2`, a.ShowtimeID, a.ReservationID).Scan(&stands)
	if err != nil {
		return a, fmt.Errorf("reading a reservation: %w", err)
	}
	if stands {
		return a, errPending
	}
	return s.letGoLate(ctx, a, payment.Step{To: payment.AttemptVoidPending}, RecoveryLapsed)
}

// recovered is what the audit log keeps of a rung.
type recovered struct {
	Rung   Rung           `json:"rung"`
	Seats  []string       `json:"seats,omitempty"`
	Answer RecoveryAnswer `json:"answer,omitempty"`
}

// tellRecoveredTx records a rung and tells the customer.
func (s *Service) tellRecoveredTx(ctx context.Context, tx *sql.Tx, r Reservation, theaterID uuid.UUID, act recovered, kind notify.Kind, data notify.Data) error {
	err := audit.RecordTx(ctx, tx, audit.Entry{Action: audit.PaymentRecovered, Subject: r.NodeID(), Theater: theaterID, After: act})
	if err != nil {
		return err
	}
	return s.tell(ctx, tx, r.ViewerID, kind, data)
}

// RecoveriesByPayment returns what became of the latest money of payments that came too late; a payment without is absent. One
// statement.
func (s *Service) RecoveriesByPayment(ctx context.Context, payments []payment.Reference) (map[payment.Reference]Recovery, error) {
	showtimes, ids := payment.Columns(payments)
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT DISTINCT ON (a.showtime_id, a.payment_id) a.showtime_id, a.payment_id, v.rung, v.lost, coalesce(v.offered, '{}'), v.answer,
			v.created_at, CASE WHEN a.status = 'OFFERED' AND r.held_until > now() THEN r.held_until END
		FROM unnest($1::uuid[], $2::uuid[]) AS wanted (showtime_id, id)
		JOIN payment_attempts a ON a.showtime_id = wanted.showtime_id AND a.payment_id = wanted.id
		JOIN payment_recoveries v ON v.showtime_id = a.showtime_id AND v.attempt_id = a.id
		JOIN reservations r ON r.showtime_id = v.showtime_id AND r.id = v.reservation_id
		ORDER BY a.showtime_id, a.payment_id, a.number DESC`, showtimes, ids)
	if err != nil {
		return nil, fmt.Errorf("reading recoveries: %w", err)
	}
	type row struct {
		of            payment.Reference
		lost, offered seatno.List
		recovery      Recovery
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (v row, err error) {
		err = rows.Scan(&v.of.ShowtimeID, &v.of.ID, &v.recovery.Rung, &v.lost, &v.offered, &v.recovery.Answer, &v.recovery.CreatedAt, &v.recovery.AnswerBy)
		return v, err
	})
	if err != nil {
		return nil, err
	}
	recoveries := make(map[payment.Reference]Recovery, len(found))
	for _, v := range found {
		layout, err := s.seating.Layout(ctx, v.of.ShowtimeID)
		if err != nil {
			return nil, err
		}
		v.recovery.Lost, v.recovery.Offered = layout.SeatsAt(v.lost.Sorted()), layout.SeatsAt(v.offered.Sorted())
		recoveries[v.of] = v.recovery
	}
	return recoveries, nil
}
