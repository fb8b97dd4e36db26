package graph

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"marquee/graph/model"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/seatno"
	"marquee/internal/showtime"
	"marquee/internal/theater"
)

// The sentences of refusals that a check of a selection gives before, and a reservation when it comes to it.
const (
	takenMessage   = "At least one of these seats is taken, or just being taken."
	coolingMessage = "Too many of your holds for this showtime ended unpaid. Wait a while before the next."
)

var ruleMessages = map[booking.Rule]string{
	booking.RuleSeatAlone:  "This would leave a single seat, which hardly anybody would take. Move by one seat, or choose others.",
	booking.RuleWheelchair: "These places are for people with wheelchairs.",
	booking.RuleCompanion:  "A companion's seat goes with the place for a wheelchair beside it.",
}

var closedMessages = map[showtime.ClosedReason]string{
	showtime.ClosedNotYetOpen: "Sales for this showtime have not begun.",
	showtime.ClosedSalesEnded: "Sales for this showtime have ended.",
	showtime.ClosedCancelled:  "This showtime was called off.",
}

func limitMessage(l booking.LimitExceeded) string {
	switch l.Of {
	case booking.LimitOfAddress:
		return fmt.Sprintf("At most %d seats of this showtime go to one network.", l.Limit)
	case booking.LimitOfDevice:
		return fmt.Sprintf("At most %d seats of this showtime go to one device.", l.Limit)
	default:
	}
	return fmt.Sprintf("One customer may have at most %d seats at this showtime.", l.Limit)
}

// seconds is a time to wait, rounded up.
func seconds(wait time.Duration) int32 { return int32(math.Ceil(max(wait.Seconds(), 1))) }

// selectionCheck encodes what booking would make of a selection of seats of a showtime.
func selectionCheck(showtimeID uuid.UUID, checked booking.Checked) *model.SelectionCheck {
	problems := mapped(checked.Problems, selectionProblem)
	for i := range problems {
		problems[i].ShowtimeID = showtimeID
	}
	return &model.SelectionCheck{Reservable: checked.Reservable(), Problems: problems, Alternatives: checked.Alternatives}
}

// holding returns the viewer's own reservations that have any of these seats.
func (r *Resolver) holding(ctx context.Context, showtimeID uuid.UUID, seats []theater.Seat) ([]booking.Reservation, error) {
	viewer, ok := auth.ViewerFrom(ctx)
	if !ok {
		return nil, nil
	}
	positions := make(seatno.List, len(seats))
	for i, seat := range seats {
		positions[i] = seat.Position
	}
	return r.Services.Booking.Holding(ctx, viewer.UserID, showtimeID, positions)
}

func selectionProblem(p booking.Problem) model.SelectionProblem {
	shown := model.SelectionProblem{Seats: p.Seats}
	switch p.Kind {
	case booking.ProblemClosed:
		shown.Code, shown.Message = model.UserErrorCodeShowtimeClosed, closedMessages[p.Closed]
	case booking.ProblemCoolingDown:
		shown.Code, shown.Message = model.UserErrorCodeCoolingDown, coolingMessage
	case booking.ProblemLimit:
		shown.Code, shown.Message = model.UserErrorCodeLimitExceeded, limitMessage(p.Limit)
	case booking.ProblemTaken:
		shown.Code, shown.Message = model.UserErrorCodeSeatsUnavailable, takenMessage
	case booking.ProblemRule:
		shown.Code, shown.Message, shown.Rule = model.UserErrorCodeSeatRuleBroken, ruleMessages[p.Rule], &p.Rule
		if p.Relaxed != "" {
			shown.Relaxed = &p.Relaxed
		}
	}
	return shown
}
