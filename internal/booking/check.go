package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// CheckInput is a selection of seats that somebody thinks of reserving.
type CheckInput struct {
	ShowtimeID     uuid.UUID
	SeatIDs        []uuid.UUID
	AccessibleNeed bool
	Instead        uuid.UUID // a reservation of the viewer whose seats these would be; uuid.Nil: a new one
}

// Problem is something that speaks against a selection.
type Problem struct {
	Kind    ProblemKind
	Rule    Rule                  // of ProblemRule
	Seats   []theater.Seat        // that it is about: lost ones, those left alone, those kept for others
	Relaxed Relaxation            // of ProblemRule: why it keeps nobody from reserving; "": it does
	Closed  showtime.ClosedReason // of ProblemClosed
	Limit   LimitExceeded         // of ProblemLimit
	Wait    time.Duration         // of ProblemCoolingDown
}

// ProblemKind is which refusal of Reserve a problem would become.
type ProblemKind int

// The kinds.
const (
	ProblemClosed ProblemKind = iota
	ProblemCoolingDown
	ProblemLimit
	ProblemTaken
	ProblemRule
)

// Checked is what Reserve would make of a selection at this moment.
type Checked struct {
	Problems     []Problem
	Alternatives []Suggestion // where other seats would help; none for more than the viewer may have, nor while nobody can have any
}

// Reservable reports whether nothing keeps anybody from reserving the selection.
func (c Checked) Reservable() bool {
	for _, p := range c.Problems {
		if p.Relaxed == "" {
			return false
		}
	}
	return true
}

// Check says what Reserve would refuse, or ChangeSeats, and why, without holding anything: all of it, not the first alone.
// The viewer is uuid.Nil where nobody is signed in, who is asked neither what they have nor to wait; addresses are not asked
// about, nor codes. NOT_FOUND, BAD_USER_INPUT and CONFLICT as these. Three statements, five of a change.
func (s *Service) Check(ctx context.Context, viewerID uuid.UUID, in CheckInput) (Checked, error) {
	var bad apperr.Fields
	checkSeats(&bad, in.SeatIDs, nil)
	if err := bad.Err(); err != nil {
		return Checked{}, err
	}
	// The rules must not be a minute old here: nothing would refuse their version.
	offer, err := s.showtimes.FreshOffer(ctx, in.ShowtimeID)
	if err != nil {
		return Checked{}, err
	}
	layout, err := s.seating.Layout(ctx, in.ShowtimeID)
	if err != nil {
		return Checked{}, err
	}
	positions, err := positionsOf(layout, in.SeatIDs)
	if err != nil {
		return Checked{}, err
	}
	sel := selectionOf(offer, layout, positions, in.AccessibleNeed)
	if _, err := quoteOf(offer, sel.seats, nil); err != nil {
		return Checked{}, err
	}
	sale, err := s.saleOf(ctx, offer, viewerID)
	if err != nil {
		return Checked{}, err
	}
	var before Reservation
	if in.Instead != uuid.Nil {
		if before, _, err = s.reservation(ctx, viewerID, in.ShowtimeID, in.Instead); err != nil {
			return Checked{}, err
		}
		if err := s.changeable(ctx, before); err != nil {
			return Checked{}, err
		}
		sale.ready = sql.NullTime{} // who changes seats holds none in vain
	}
	states, _, err := s.seating.States(ctx, in.ShowtimeID)
	if err != nil {
		return Checked{}, err
	}
	before.leave(states)
	checked := Checked{Problems: sale.problems(offer, len(positions)-len(before.Positions))}
	hopeless := slices.ContainsFunc(checked.Problems, func(p Problem) bool { return p.Kind == ProblemLimit || p.Kind == ProblemClosed })
	about := sel.problems(offer, layout, states, sale.now)
	checked.Problems = append(checked.Problems, about...)
	if !hopeless && !(Checked{Problems: about}).Reservable() {
		checked.Alternatives, err = s.instead(offer, layout, states, sel)
	}
	return checked, err
}

// problems are those of the seats themselves.
func (sel selection) problems(offer *showtime.Offer, layout *theater.Layout, states []seating.State, now time.Time) []Problem {
	var found []Problem
	var lost seatno.List
	for _, position := range sel.positions {
		if states[position-1] != seatfeed.Available {
			lost = append(lost, position)
		}
	}
	if len(lost) > 0 {
		found = append(found, Problem{Kind: ProblemTaken, Seats: layout.SeatsAt(lost)})
	}
	for _, k := range sel.kept {
		p := Problem{Kind: ProblemRule, Rule: k.rule, Seats: k.seats}
		if !now.Before(sel.keptUntil(offer).Time) {
			p.Relaxed = RelaxedReleased
		}
		found = append(found, p)
	}
	if alone := sel.edges.Alone(states); len(alone) > 0 {
		found = append(found, Problem{
			Kind: ProblemRule, Rule: RuleSeatAlone, Seats: layout.SeatsAt(alone.Sorted()),
			Relaxed: sel.relaxation(offer, layout, states, alone, now),
		})
	}
	return found
}

// sale is how a showtime's sale stands for a viewer.
type sale struct {
	showtime.Sale

	now   time.Time
	mine  int32
	ready sql.NullTime // when the last of the holds that ended in vain is forgotten
}

// saleOf reads it by the database's clock. One statement.
func (s *Service) saleOf(ctx context.Context, offer *showtime.Offer, viewerID uuid.UUID) (sale, error) {
	var one sale
	err := s.db.SQL().QueryRowContext(ctx, `SELECT now(), sale.opens_at, sale.closes_at, sale.status <> 'OPEN', s.status = 'CANCELLED',
			(SELECT coalesce(sum(cardinality(r.seats)), 0) FROM reservations r
				WHERE r.showtime_id = sale.showtime_id AND r.viewer_id = $2
				  AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > now())),
			(SELECT coalesce(r.ended_at, r.held_until) + $4 * interval '1 millisecond' FROM reservations r
				WHERE $3 > 0 AND r.showtime_id = sale.showtime_id AND r.viewer_id = $2 AND r.confirmed_at IS NULL
				  AND coalesce(r.ended_at, r.held_until) BETWEEN now() - $4 * interval '1 millisecond' AND now()
				ORDER BY 1 DESC OFFSET greatest($3 - 1, 0) LIMIT 1)
		FROM showtime_sales sale JOIN showtimes s ON s.id = sale.showtime_id WHERE sale.showtime_id = $1`,
		offer.ShowtimeID, viewerID, s.cfg.IdleHolds, s.cfg.IdleWindow.Milliseconds()).
		Scan(&one.now, &one.SalesOpenAt, &one.SalesCloseAt, &one.Stopped, &one.CalledOff, &one.mine, &one.ready)
	if errors.Is(err, sql.ErrNoRows) {
		return one, apperr.Missing("showtime")
	}
	if err != nil {
		return one, fmt.Errorf("reading a sale: %w", err)
	}
	return one, nil
}

// problems are those that no other seats would help against, where the viewer would have so many more.
func (s sale) problems(offer *showtime.Offer, seats int) []Problem {
	var found []Problem
	if why := s.Closed(s.now); why != "" {
		found = append(found, Problem{Kind: ProblemClosed, Closed: why})
	}
	if s.ready.Valid {
		found = append(found, Problem{Kind: ProblemCoolingDown, Wait: s.ready.Time.Sub(s.now)})
	}
	if left := max(offer.MaxSeats-s.mine, 0); int32(seats) > left {
		found = append(found, Problem{Kind: ProblemLimit, Limit: LimitExceeded{Of: LimitOfCustomer, Limit: offer.MaxSeats, Remaining: left}})
	}
	return found
}
