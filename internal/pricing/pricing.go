// Package pricing turns seats into money lines by the rules of a theater, and lines into what comes back of them by its
// policy. It is pure: no clock, no database.
//
// A price is made in steps, each explained by lines of its own: the seats at the price of their category, then what the
// ticket type, the format and the hour of the showtime change, then promotions, then fees, then taxes. A rule that says a percentage means
// it of the price that its step began with, so that the order of rules within a step does not matter.
//
// Rounding: every percentage is taken for one ticket (or for the fee of a reservation) and rounded to the minor unit of
// the currency, halves away from zero. Whatever counts several tickets multiplies that; nothing is rounded twice.
//
// Invariants:
//   - the lines add up to the total, those of kind IncludedTax left out: they say what the others contain;
//   - a line's amount is its unit times its quantity;
//   - no ticket, fee or tax is ever negative: what would take a price below zero takes it to zero;
//   - a ticket that costs nothing after a step costs nothing in the end: no surcharge and no fee goes on a companion's free
//     seat, and a reservation of such tickets carries no fee either;
//   - what comes back of cancelled tickets, what is kept of them, and what the rest costs add up to what all cost.
package pricing

import (
	"slices"

	"marquee/internal/money"
)

// TicketType is whom a ticket is for.
type TicketType string

// The ticket types. A type without a rule costs what an adult pays.
const (
	Adult   TicketType = "ADULT"
	Child   TicketType = "CHILD"
	Senior  TicketType = "SENIOR"
	Student TicketType = "STUDENT"
)

// TicketTypes returns all ticket types in the order of the lines.
func TicketTypes() []TicketType { return []TicketType{Adult, Child, Senior, Student} }

// Title returns the ticket type for people: "Child".
func (t TicketType) Title() string {
	switch t {
	case Child:
		return "Child"
	case Senior:
		return "Senior"
	case Student:
		return "Student"
	default:
		return "Adult"
	}
}

// Kind is a step of a price; lines come in the order of the kinds.
type Kind string

// The kinds of lines. All but Seats, Promotion, IncludedTax and Kept are kinds of the rules of theaters too.
const (
	Seats       Kind = "SEATS"        // seats at the price of their category
	ByType      Kind = "TICKET_TYPE"  // what a ticket type costs more or less
	ByFormat    Kind = "FORMAT"       // what the showtime's format costs more or less
	ByTime      Kind = "TIME_BAND"    // what the showtime's day and hour cost more or less
	Promotion   Kind = "PROMOTION"    // what a code takes off
	Fee         Kind = "FEE"          // on each ticket, or once
	Tax         Kind = "TAX"          // on top of all
	IncludedTax Kind = "INCLUDED_TAX" // contained in the other lines; does not add to the total
	Kept        Kind = "KEPT"         // what the theater keeps of tickets that were cancelled; of reservations, never of a quote
)

// Line is one line of a quote. The JSON form is stored with a reservation: do not rename. What was stored before there
// were rules has neither kind nor ticket type, and means Seats for Adult.
type Line struct {
	Kind        Kind       `json:"kind,omitempty"`
	Description string     `json:"description"`          // for people: "2 x Child, Premium"
	Category    string     `json:"category,omitempty"`   // seat category; of Seats only
	TicketType  TicketType `json:"ticketType,omitempty"` // of Seats and ByType only
	Code        string     `json:"code,omitempty"`       // of Promotion only
	Positions   []int16    `json:"positions,omitempty"`  // which seats; of Seats only, not for Adult
	Quantity    int32      `json:"quantity"`
	UnitMinor   int64      `json:"unitMinor"`   // price of one, in minor units of the quote's currency; negative for what is taken off
	AmountMinor int64      `json:"amountMinor"` // UnitMinor times Quantity

	// Each says what one ticket of each line of Seats has of this line, by the order of those lines. Lines of Seats, of what
	// is paid once, and of what was kept have none.
	Each []int64 `json:"each,omitempty"`
}

// Adds reports whether the line is part of the sum.
func (l Line) Adds() bool { return l.Kind != IncludedTax }

// Quote is the price of a selection of seats.
type Quote struct {
	Lines []Line
	Total money.Money // sum of the lines that add
}

// Off returns what a promotion takes off the lines in all, not negative.
func (q Quote) Off(code string) (minor int64) {
	for _, line := range q.Lines {
		if line.Kind == Promotion && line.Code == code {
			minor -= line.AmountMinor
		}
	}
	return minor
}

// TypesOf returns the ticket types of the seats that stored lines are about, by position; a seat that is missing is an
// adult's.
func TypesOf(lines []Line) map[int16]TicketType {
	var types map[int16]TicketType
	for _, line := range lines {
		for _, position := range line.Positions {
			if types == nil {
				types = make(map[int16]TicketType, len(line.Positions))
			}
			types[position] = line.TicketType
		}
	}
	return types
}

// CodesOf returns the codes that stored lines take something off for, each once, in the order of the lines.
func CodesOf(lines []Line) []string {
	var codes []string
	for _, line := range lines {
		if line.Kind == Promotion && !slices.Contains(codes, line.Code) {
			codes = append(codes, line.Code)
		}
	}
	return codes
}

// Item is a ticket to be priced.
type Item struct {
	Position  int16  // of the seat
	Category  string // of the seat
	Title     string // the category for people
	Type      TicketType
	BaseMinor int64 // what a seat of the category costs, not negative
}
