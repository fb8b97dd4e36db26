package demo_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"marquee/internal/demo"
)

func TestLayout_Validate_finds_nothing_wrong_in_the_world(t *testing.T) {
	t.Parallel()
	for _, theater := range demo.World() {
		for _, screen := range theater.Screens {
			for _, finding := range screen.Layout.Validate() {
				t.Errorf("%s: %s", screen.Key, finding)
			}
		}
	}
}

// What a sound layout need not have but a believable one does.
func TestWorld_layouts_are_believable(t *testing.T) {
	t.Parallel()
	loveSeats, aisles, crossAisles, shapes := 0, 0, 0, map[string]bool{}
	for _, theater := range demo.World() {
		for _, screen := range theater.Screens {
			layout := screen.Layout
			if n := len(layout.Seats); n < 80 || n > 400 {
				t.Errorf("%s has %d seats", screen.Key, n)
			}
			shapes[shape(layout)] = true
			places, rows := 0, map[int16][]demo.Seat{}
			for _, seat := range layout.Seats {
				rows[seat.Y] = append(rows[seat.Y], seat)
				if seat.Category == demo.Wheelchair {
					places++
				}
			}
			front, back := rows[1], rows[layout.Depth]
			if places < 2 || len(back) <= len(front) {
				t.Errorf("%s: %d wheelchair places, %d seats in front, %d at the back", screen.Key, places, len(front), len(back))
			}
			if front[0].Category == demo.Premium || front[len(front)/2].Category == demo.Premium {
				t.Errorf("%s: the first row is %s", screen.Key, front[len(front)/2].Category)
			}
			if back[0].Category == demo.LoveSeat {
				loveSeats++
			}
			if len(back) < int(layout.Width) {
				aisles++
			}
			if len(rows) < int(layout.Depth) {
				crossAisles++
			}
			checkSymmetry(t, screen.Key, layout, rows)
		}
	}
	if loveSeats < 8 || aisles < 30 || crossAisles < 20 || len(shapes) < 36 {
		t.Errorf("%d screens with love seats, %d with aisles, %d with cross aisles, %d shapes", loveSeats, aisles, crossAisles, len(shapes))
	}
}

// checkSymmetry: each row is as long to the left of the middle as to the right, and no row is much longer than the one before.
func checkSymmetry(t *testing.T, key string, layout demo.Layout, rows map[int16][]demo.Seat) {
	t.Helper()
	before := 0
	for y := int16(1); y <= layout.Depth; y++ {
		row := rows[y]
		if len(row) == 0 {
			continue
		}
		if row[0].X-1 != layout.Width-row[len(row)-1].X {
			t.Errorf("%s: row %s runs from %d to %d of %d", key, row[0].Row, row[0].X, row[len(row)-1].X, layout.Width)
		}
		if before > 0 && (len(row) < before || len(row) > before+4) {
			t.Errorf("%s: row %s has %d seats after %d", key, row[0].Row, len(row), before)
		}
		before = len(row)
	}
}

// shape draws a layout, one letter a seat.
func shape(layout demo.Layout) string {
	lines := slices.Repeat([]string{strings.Repeat(" ", int(layout.Width))}, int(layout.Depth))
	for _, seat := range layout.Seats {
		line := []byte(lines[seat.Y-1])
		line[seat.X-1] = seat.Category[0]
		lines[seat.Y-1] = string(line)
	}
	return strings.Join(lines, "\n")
}

// One screen in full, by the first letters of the categories: a change of the generator shows here.
func TestWorld_layout_drawn(t *testing.T) {
	t.Parallel()
	want := []string{
		"  SS SSSSSSSSSS SS  ",
		"  SS SSSSSSSSSS SS  ",
		" SSS SSSSSSSSSS SSS ",
		" SSS SSSSSSSSSS SSS ",
		"                    ",
		" SCW WCSSSSSSCW WCS ",
		" SSS SSSSSSSSSS SSS ",
		" SSS SPPPPPPPPS SSS ",
		"SSSS PPPPPPPPPP SSSS",
		"SSSS PPPPPPPPPP SSSS",
		"SSSS PPPPPPPPPP SSSS",
		"SSSS PPPPPPPPPP SSSS",
		"SSSS SSSSSSSSSS SSSS",
		"LLLL LLLLLLLLLL LLLL",
	}
	screen := findScreen(t, "kuwait-nakheel-2")
	if diff := cmp.Diff(want, strings.Split(shape(screen.Layout), "\n")); diff != "" {
		t.Errorf("layout (-want +got):\n%s", diff)
	}
	if last := screen.Layout.Seats[len(screen.Layout.Seats)-1]; last.Label() != "N18" || last.No != 216 {
		t.Errorf("the last seat is %+v", last)
	}
}

func findScreen(t *testing.T, key string) demo.Screen {
	t.Helper()
	for _, theater := range demo.World() {
		for _, screen := range theater.Screens {
			if screen.Key == key {
				return screen
			}
		}
	}
	t.Fatalf("there is no screen %q", key)
	return demo.Screen{}
}

// Each way a layout can be unsound, made from a sound one by one change to one seat, is found and names that seat.
func TestLayout_Validate_names_the_seat(t *testing.T) {
	t.Parallel()
	// Row A: a wheelchair place, its companion, an aisle, two seats. Row B: a pair of love seats, two seats.
	sound := demo.Layout{Rows: 2, Width: 5, Depth: 2, Seats: []demo.Seat{
		{No: 1, Row: "A", Number: 1, X: 1, Y: 1, Category: demo.Wheelchair},
		{No: 2, Row: "A", Number: 2, X: 2, Y: 1, Category: demo.Companion, CompanionOf: 1},
		{No: 3, Row: "A", Number: 3, X: 4, Y: 1, Category: demo.Standard},
		{No: 4, Row: "A", Number: 4, X: 5, Y: 1, Category: demo.Premium},
		{No: 5, Row: "B", Number: 1, X: 1, Y: 2, Category: demo.LoveSeat, Group: 1},
		{No: 6, Row: "B", Number: 2, X: 2, Y: 2, Category: demo.LoveSeat, Group: 1},
		{No: 7, Row: "B", Number: 3, X: 3, Y: 2, Category: demo.Recliner},
		{No: 8, Row: "B", Number: 4, X: 4, Y: 2, Category: demo.Standard},
	}}
	if findings := sound.Validate(); len(findings) != 0 {
		t.Fatalf("the sound layout: %v", findings)
	}
	for name, c := range map[string]struct {
		seat   int16 // the one changed
		change func(*demo.Seat)
		want   string // one of the findings
	}{
		"a_number_twice":                  {4, func(s *demo.Seat) { s.No = 3 }, "seat 3 (A4): is number 4 of the layout"},
		"outside_of_the_grid":             {8, func(s *demo.Seat) { s.X = 6 }, "seat 8 (B4): stands at 6,2, outside of the grid of 5 by 2"},
		"above_the_grid":                  {1, func(s *demo.Seat) { s.Y = 0 }, "seat 1 (A1): stands at 1,0, outside of the grid of 5 by 2"},
		"two_on_one_place":                {4, func(s *demo.Seat) { s.X = 4 }, "seat 4 (A4): stands at 4,1, not after A3 at 4,1"},
		"not_left_to_right":               {7, func(s *demo.Seat) { s.X = 1 }, "seat 7 (B3): stands at 1,2, not after B2 at 2,2"},
		"not_from_the_screen_outwards":    {8, func(s *demo.Seat) { s.Y = 1 }, "seat 8 (B4): stands at 4,1, not after B3 at 3,2"},
		"the_letter_of_a_digit":           {1, func(s *demo.Seat) { s.Row = "O" }, `seat 1 (O1): has the row label "O"`},
		"no_letter":                       {1, func(s *demo.Seat) { s.Row = "" }, `seat 1 (1): has the row label ""`},
		"a_label_on_two_lines":            {8, func(s *demo.Seat) { s.Row = "A" }, "seat 8 (A4): row A is also on line 1"},
		"two_labels_on_a_line":            {8, func(s *demo.Seat) { s.Row = "C" }, "seat 8 (C4): line 2 has a second row label, C"},
		"too_many_rows":                   {8, func(s *demo.Seat) { s.Row = "C" }, "the layout has 3 rows and says 2"},
		"a_gap_in_the_printed_numbers":    {4, func(s *demo.Seat) { s.Number = 5 }, "seat 4 (A5): should be printed 4"},
		"an_unknown_category":             {8, func(s *demo.Seat) { s.Category = "THRONE" }, `seat 8 (B4): has the unknown category "THRONE"`},
		"a_love_seat_alone":               {8, func(s *demo.Seat) { s.Category = demo.LoveSeat }, "seat 8 (B4): is LOVE_SEAT in group 0"},
		"a_group_of_other_seats":          {8, func(s *demo.Seat) { s.Group = 2 }, "seat 8 (B4): is STANDARD in group 2"},
		"a_group_of_one":                  {6, func(s *demo.Seat) { s.Group = 2 }, "seat 6 (B2): is in group 2 of 1 seats"},
		"a_group_of_three":                {7, func(s *demo.Seat) { s.Category, s.Group = demo.LoveSeat, 1 }, "seat 5 (B1): is in group 1 of 3 seats"},
		"a_pair_apart":                    {5, func(s *demo.Seat) { s.X = 0 }, "seat 5 (B1): is in group 1 with B2, which is not beside it"},
		"a_companion_of_nobody":           {2, func(s *demo.Seat) { s.CompanionOf = 0 }, "seat 2 (A2): is a companion of seat 0, which is no wheelchair place beside it"},
		"a_companion_of_a_common_seat":    {2, func(s *demo.Seat) { s.CompanionOf = 3 }, "seat 2 (A2): is a companion of seat 3, which is no wheelchair place beside it"},
		"a_companion_across_the_aisle":    {2, func(s *demo.Seat) { s.X = 3 }, "seat 2 (A2): is a companion of seat 1, which is no wheelchair place beside it"},
		"a_common_seat_as_a_companion":    {3, func(s *demo.Seat) { s.CompanionOf = 1 }, "seat 3 (A3): is STANDARD and a companion of seat 1"},
		"a_wheelchair_place_by_itself":    {2, func(s *demo.Seat) { s.Category, s.CompanionOf = demo.Standard, 0 }, "seat 1 (A1): has no companion seat"},
		"a_second_place_no_one_is_beside": {4, func(s *demo.Seat) { s.Category = demo.Wheelchair }, "seat 4 (A4): has no companion seat"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			layout := sound
			layout.Seats = slices.Clone(sound.Seats)
			c.change(&layout.Seats[c.seat-1])
			var findings []string
			for _, finding := range layout.Validate() {
				findings = append(findings, finding.String())
			}
			if !slices.Contains(findings, c.want) {
				t.Errorf("findings %q, want %q", findings, c.want)
			}
		})
	}
}

func TestLayout_Validate_of_nothing(t *testing.T) {
	t.Parallel()
	if findings := (demo.Layout{}).Validate(); len(findings) != 1 {
		t.Errorf("findings %v", findings)
	}
}

func TestSeat_Neighbours(t *testing.T) {
	t.Parallel()
	seat := demo.Seat{X: 5, Y: 3}
	for _, c := range []struct {
		other demo.Seat
		want  bool
	}{
		{demo.Seat{X: 4, Y: 3}, true},
		{demo.Seat{X: 6, Y: 3}, true},
		{demo.Seat{X: 5, Y: 3}, false},
		{demo.Seat{X: 7, Y: 3}, false},
		{demo.Seat{X: 5, Y: 2}, false},
		{demo.Seat{X: 6, Y: 4}, false},
	} {
		if got := seat.Neighbours(c.other); got != c.want {
			t.Errorf("neighbours of %+v: %t", c.other, got)
		}
	}
}
