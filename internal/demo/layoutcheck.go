package demo

import (
	"fmt"
	"slices"
	"strings"
)

// LayoutFinding is one thing wrong with a layout.
type LayoutFinding struct {
	SeatNo int16  // 0 when the finding is about the layout as a whole
	Seat   string // the seat's label, such as F12
	Detail string
}

// String returns the finding for people.
func (f LayoutFinding) String() string {
	if f.SeatNo == 0 {
		return f.Detail
	}
	return fmt.Sprintf("seat %d (%s): %s", f.SeatNo, f.Seat, f.Detail)
}

// Validate returns what is wrong with the layout; nothing for a sound one, in which
//   - seats are numbered 1 to N row by row from the screen outwards and left to right, on a grid place of their own;
//   - a row has one label without I and O, no other row shares it, and its printed numbers are 1 to n;
//   - love seats, and only they, come in groups of two neighbours;
//   - every wheelchair place has a companion beside it, and every companion a wheelchair place.
func (l Layout) Validate() []LayoutFinding {
	c := layoutCheck{layout: l}
	if len(l.Seats) == 0 {
		c.findings = append(c.findings, LayoutFinding{Detail: "the layout has no seats"})
		return c.findings
	}
	c.order()
	c.rows()
	c.groups()
	c.companions()
	return c.findings
}

// Neighbours reports whether two seats of one layout are side by side.
func (s Seat) Neighbours(other Seat) bool {
	return s.Y == other.Y && (s.X == other.X+1 || s.X == other.X-1)
}

type layoutCheck struct {
	layout   Layout
	findings []LayoutFinding
}

func (c *layoutCheck) report(s Seat, format string, args ...any) {
	c.findings = append(c.findings, LayoutFinding{SeatNo: s.No, Seat: s.Label(), Detail: fmt.Sprintf(format, args...)})
}

func (c *layoutCheck) order() {
	var before Seat
	for i, seat := range c.layout.Seats {
		if int(seat.No) != i+1 {
			c.report(seat, "is number %d of the layout", i+1)
		}
		if seat.X < 1 || seat.X > c.layout.Width || seat.Y < 1 || seat.Y > c.layout.Depth {
			c.report(seat, "stands at %d,%d, outside of the grid of %d by %d", seat.X, seat.Y, c.layout.Width, c.layout.Depth)
		}
		if i > 0 && (seat.Y < before.Y || seat.Y == before.Y && seat.X <= before.X) {
			c.report(seat, "stands at %d,%d, not after %s at %d,%d", seat.X, seat.Y, before.Label(), before.X, before.Y)
		}
		before = seat
	}
}

func (c *layoutCheck) rows() {
	labels := map[string]int16{} // label -> grid line
	printed := map[int16]int16{} // grid line -> last printed number
	for _, seat := range c.layout.Seats {
		if seat.Row == "" || strings.Trim(seat.Row, "ABCDEFGHJKLMNPQRSTUVWXYZ") != "" {
			c.report(seat, "has the row label %q", seat.Row)
		}
		if line, known := labels[seat.Row]; known && line != seat.Y {
			c.report(seat, "row %s is also on line %d", seat.Row, line)
		}
		if printed[seat.Y] > 0 && labels[seat.Row] != seat.Y {
			c.report(seat, "line %d has a second row label, %s", seat.Y, seat.Row)
		}
		labels[seat.Row] = seat.Y
		if seat.Number != printed[seat.Y]+1 {
			c.report(seat, "should be printed %d", printed[seat.Y]+1)
		}
		printed[seat.Y] = seat.Number
	}
	if len(labels) != c.layout.Rows {
		detail := fmt.Sprintf("the layout has %d rows and says %d", len(labels), c.layout.Rows)
		c.findings = append(c.findings, LayoutFinding{Detail: detail})
	}
}

func (c *layoutCheck) groups() {
	members := map[int16][]Seat{}
	for _, seat := range c.layout.Seats {
		if (seat.Group != 0) != (seat.Category == LoveSeat) {
			c.report(seat, "is %s in group %d", seat.Category, seat.Group)
		}
		if seat.Group != 0 {
			members[seat.Group] = append(members[seat.Group], seat)
		}
	}
	for _, seat := range c.layout.Seats {
		group := members[seat.Group]
		if seat.Group == 0 || group[0].No != seat.No {
			continue
		}
		if len(group) != 2 {
			c.report(seat, "is in group %d of %d seats", seat.Group, len(group))
		} else if !group[0].Neighbours(group[1]) {
			c.report(seat, "is in group %d with %s, which is not beside it", seat.Group, group[1].Label())
		}
	}
}

func (c *layoutCheck) companions() {
	known := []SeatCategory{Standard, Premium, Recliner, LoveSeat, Wheelchair, Companion}
	places := map[int16]Seat{}
	accompanied := map[int16]bool{}
	for _, seat := range c.layout.Seats {
		if !slices.Contains(known, seat.Category) {
			c.report(seat, "has the unknown category %q", seat.Category)
		}
		if seat.Category == Wheelchair {
			places[seat.No] = seat
		}
	}
	for _, seat := range c.layout.Seats {
		if seat.Category != Companion {
			if seat.CompanionOf != 0 {
				c.report(seat, "is %s and a companion of seat %d", seat.Category, seat.CompanionOf)
			}
			continue
		}
		place, ok := places[seat.CompanionOf]
		if !ok || !seat.Neighbours(place) {
			c.report(seat, "is a companion of seat %d, which is no wheelchair place beside it", seat.CompanionOf)
		}
		accompanied[seat.CompanionOf] = true
	}
	for _, seat := range c.layout.Seats {
		if seat.Category == Wheelchair && !accompanied[seat.No] {
			c.report(seat, "has no companion seat")
		}
	}
}
