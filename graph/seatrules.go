package graph

import (
	"fmt"
	"math"
	"time"

	"marquee/graph/model"
	"marquee/internal/booking"
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

var closedMessages = map[booking.ClosedReason]string{
	booking.ClosedNotYetOpen: "Sales for this showtime have not begun.",
	booking.ClosedSalesEnded: "Sales for this showtime have ended.",
	booking.ClosedCancelled:  "This showtime was called off.",
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

// selectionCheck encodes what booking would make of a selection.
func selectionCheck(checked booking.Checked) *model.SelectionCheck {
	return &model.SelectionCheck{
		Reservable: checked.Reservable(), Problems: mapped(checked.Problems, selectionProblem), Alternatives: checked.Alternatives,
	}
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
