package booking

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// Rule is what a theater demands of a selection of seats.
type Rule string

// The rules.
const (
	RuleSeatAlone  Rule = "SEAT_LEFT_ALONE"  // no seat beside the selection is left alone, see seating.EdgesOf
	RuleWheelchair Rule = "WHEELCHAIR_PLACE" // places for wheelchairs go to those who need one
	RuleCompanion  Rule = "COMPANION_SEAT"   // companion seats go with the place for a wheelchair beside them
)

// Relaxation is why a rule does not count for a selection that breaks it.
type Relaxation string

// The relaxations; "" is none.
const (
	RelaxedNearStart    Relaxation = "NEAR_START"     // the showtime starts soon
	RelaxedNearSellOut  Relaxation = "NEAR_SELL_OUT"  // hardly a seat is free
	RelaxedNoOtherSeats Relaxation = "NO_OTHER_SEATS" // as many could sit side by side nowhere without leaving a seat alone
	RelaxedReleased     Relaxation = "RELEASED"       // places for wheelchairs go to anybody by now
)

// RuleBroken says that a selection breaks a rule of the theater: the seats that it would leave alone, or those of it
// that are kept for others, and what could be had instead.
type RuleBroken struct {
	Rule         Rule
	Seats        []theater.Seat
	Alternatives []Suggestion
}

func (RuleBroken) isReserveResult() {}
func (RuleBroken) isChangeResult()  {}
func (RuleBroken) isCancelResult()  {}

// selection is seats that somebody wants, with what follows from the layout for the rules. A change of seats within a
// reservation judges the same way: examine_seats takes the reservation whose seats count as free.
type selection struct {
	positions  seatno.List
	seats      []theater.Seat
	accessible bool // the party needs a place for a wheelchair
	edges      seating.Edges
	kept       []kept
}

// kept is seats of a selection that are for others until their release.
type kept struct {
	rule  Rule
	seats []theater.Seat
}

func selectionOf(offer *showtime.Offer, layout *theater.Layout, positions seatno.List, accessible bool) selection {
	sel := selection{positions: positions, seats: layout.SeatsAt(positions), accessible: accessible}
	if offer.Rules.NoSeatLeftAlone {
		sel.edges = seating.EdgesOf(layout, positions, offer.Prices)
	}
	wheelchairs, companions := seating.Protected(sel.seats, accessible)
	if len(wheelchairs) > 0 {
		sel.kept = append(sel.kept, kept{RuleWheelchair, wheelchairs})
	}
	if len(companions) > 0 {
		sel.kept = append(sel.kept, kept{RuleCompanion, companions})
	}
	return sel
}

// keptUntil returns when the seats of a selection that are kept for others go to anybody; invalid when it has none.
func (sel selection) keptUntil(offer *showtime.Offer) sql.NullTime {
	return sql.NullTime{Time: offer.Rules.ReleasedFrom(offer.StartsAt), Valid: len(sel.kept) > 0}
}

// noneAlone reports whether a selection may leave a seat alone at no price but that of finding no other: whether the rule
// is there, and neither the start nor the end of the seats is near.
func noneAlone(offer *showtime.Offer, states []seating.State, now time.Time) bool {
	return offer.Rules.NoSeatLeftAlone && relaxedForAll(offer, states, now) == ""
}

// relaxedForAll returns why no selection is asked whether it leaves a seat alone.
func relaxedForAll(offer *showtime.Offer, states []seating.State, now time.Time) Relaxation {
	free := 0
	for _, state := range states {
		if state == seatfeed.Available {
			free++
		}
	}
	const percent = 100
	switch {
	case !now.Before(offer.Rules.RelaxedFrom(offer.StartsAt)):
		return RelaxedNearStart
	case free*percent <= int(offer.Rules.RelaxedAtFreePercent)*len(states):
		return RelaxedNearSellOut
	default:
		return ""
	}
}

// relaxation returns why a selection may leave the seats alone that it does.
func (sel selection) relaxation(offer *showtime.Offer, layout *theater.Layout, states []seating.State, alone seatno.List, now time.Time) Relaxation {
	if why := relaxedForAll(offer, states, now); why != "" {
		return why
	}
	for _, position := range alone {
		for i, beside := range sel.edges.Beside {
			if beside == position && seating.Roomy(layout, states, offer.Prices, sel.edges.Size[i]) {
				return ""
			}
		}
	}
	return RelaxedNoOtherSeats
}

// instead returns what could be had instead of a selection. A party that leaves a seat alone is shown first what it gets by
// moving one seat aside, which keeps all others that it wanted.
func (s *Service) instead(offer *showtime.Offer, layout *theater.Layout, states []seating.State, sel selection) ([]Suggestion, error) {
	return s.suggest(offer, layout, states, seating.Instead(sel.seats, offer.Adult, sel.accessible), alternatives)
}

// overridden is what the audit log keeps of seats that staff held against a rule, as people call them.
type overridden struct {
	Seats     []string `json:"seats"`
	LeftAlone []string `json:"leftAlone,omitempty"`
	Kept      []string `json:"kept,omitempty"` // for wheelchairs and companions
}

func labels(seats []theater.Seat) []string {
	var names []string
	for _, seat := range seats {
		names = append(names, seat.Label())
	}
	return names
}

// overrideClaimTx claims seats, for whom they are wanted, against the rules of the theater, and records it in the same transaction when they would
// have kept the viewer from it.
func (s *Service) overrideClaimTx(ctx context.Context, tx *sql.Tx, viewer auth.Viewer, w wanted, in ReserveInput) (claimed, error) {
	c, err := s.claim(ctx, tx, w.use.ViewerID, w, in)
	if err != nil || c.outcome != claimedSeats {
		return c, err
	}
	act := overridden{Seats: labels(w.seats), LeftAlone: labels(w.layout.SeatsAt(c.alone))}
	if until := w.keptUntil(w.offer); until.Valid && c.createdAt.Time.Before(until.Time) {
		for _, k := range w.kept {
			act.Kept = append(act.Kept, labels(k.seats)...)
		}
	}
	if len(act.LeftAlone)+len(act.Kept) == 0 {
		return c, nil
	}
	held := Reservation{ShowtimeID: w.offer.ShowtimeID, ID: c.reservationID.UUID}
	return c, audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.SeatRuleOverridden, Actor: viewer.UserID, Subject: held.NodeID(), Theater: w.offer.TheaterID, After: act,
	})
}

// leftAloneError says that seats would be left alone beside what is left of an unpaid reservation.
type leftAloneError struct {
	of    Reservation
	rest  selection
	alone seatno.List
	now   time.Time // the database's clock
}

func (*leftAloneError) Error() string { return "booking: seats would be left alone" }

// leavesAloneTx is *leftAloneError when the rest of an unpaid reservation would leave a seat alone. Who wants fewer seats passes
// the rules as who had asked for these alone.
func leavesAloneTx(ctx context.Context, tx *sql.Tx, offer *showtime.Offer, layout *theater.Layout, c cancelling) error {
	if offer == nil || !offer.Rules.NoSeatLeftAlone || c.whole || c.r.Status == StatusConfirmed || c.contract.calledOff {
		return nil
	}
	rest := slices.DeleteFunc(c.r.Positions.Sorted(), func(p int16) bool { return slices.Contains(c.positions, p) })
	left := selectionOf(offer, layout, rest, true)
	var found claimed
	err := tx.QueryRowContext(ctx, `SELECT examine_seats($1, $2, '{}', $3, $4)`, c.r.ShowtimeID, c.r.ID, left.edges.Beside, left.edges.Beyond).Scan(&found.lost)
	if err != nil {
		return fmt.Errorf("examining the seats that are left: %w", err)
	}
	if found.part(); len(found.alone) > 0 {
		return &leftAloneError{of: c.r, rest: left, alone: found.alone, now: c.contract.now}
	}
	return nil
}

// restBroken says which rule what is left of an unpaid reservation breaks, and what could be had instead; relaxed: none.
func (s *Service) restBroken(ctx context.Context, offer *showtime.Offer, layout *theater.Layout, e *leftAloneError) (broken RuleBroken, relaxed bool, err error) {
	states, err := s.seating.RecentStates(ctx, e.of.ShowtimeID)
	if err != nil {
		return broken, false, err
	}
	e.of.leave(states)
	if e.rest.relaxation(offer, layout, states, e.alone, e.now) != "" {
		return broken, true, nil
	}
	others, err := s.instead(offer, layout, states, e.rest)
	return RuleBroken{Rule: RuleSeatAlone, Seats: layout.SeatsAt(e.alone), Alternatives: others}, false, err
}
