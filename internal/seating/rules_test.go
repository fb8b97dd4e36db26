package seating_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/seating"
	"marquee/internal/theater"
)

func positionsOf(seats []theater.Seat) (positions []int16) {
	for _, seat := range seats {
		positions = append(positions, seat.Position)
	}
	return positions
}

// alone returns the labels of the seats that a selection leaves alone.
func (h hall) alone(seats []theater.Seat) string {
	var names []string
	for _, seat := range h.layout.SeatsAt(seating.EdgesOf(h.layout, positionsOf(seats), prices).Alone(h.states).Sorted()) {
		names = append(names, seat.Label())
	}
	return strings.Join(names, " ")
}

// TestEdges is the rule about seats left alone, in pictures.
func TestEdges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows   []string
		wanted string
		alone  string
	}{
		"nobody_beside":                              {[]string{"ssss"}, "A1 A2", ""},
		"one_at_the_wall":                            {[]string{"ssss"}, "A2 A3", "A1 A4"},
		"one_at_an_aisle":                            {[]string{"sss ss"}, "A1 A2", "A3"},
		"the_aisle_between":                          {[]string{"ss ss"}, "A1 A2", ""},
		"one_beside_a_taken_seat":                    {[]string{"ssssS"}, "A2 A3", "A1 A4"},
		"two_beside_a_taken_seat":                    {[]string{"sssssS"}, "A2 A3", "A1"},
		"one_between_two_of_the_selection":           {[]string{"sssss"}, "A1 A3", "A2"},
		"two_between_two_of_the_selection":           {[]string{"ssss"}, "A1 A4", ""},
		"one_was_alone_already":                      {[]string{"sSss"}, "A3 A4", ""},
		"a_taken_seat_is_not_left":                   {[]string{"ssS"}, "A1 A2", ""},
		"the_whole_row":                              {[]string{"sss"}, "A1 A2 A3", ""},
		"half_of_a_love_seat":                        {[]string{"LLLL"}, "A1", "A2"},
		"the_other_half_was_taken":                   {[]string{"Ll"}, "A1", ""},
		"a_love_seat_whole":                          {[]string{"LLLL"}, "A1 A2", ""},
		"one_beside_a_love_seat_is_alone":            {[]string{"ssLL"}, "A1", "A2"},
		"a_love_seat_beside_the_selection_is_not":    {[]string{"ssLL"}, "A1 A2", ""},
		"one_beside_a_companion_seat_is_alone":       {[]string{"wcss"}, "A4", "A3"},
		"a_companion_seat_is_never_alone":            {[]string{"wcss"}, "A3 A4", ""},
		"a_place_for_a_wheelchair_is_never_alone":    {[]string{"cwss"}, "A3 A4", ""},
		"who_comes_with_a_wheelchair_may_leave_one":  {[]string{"wcss"}, "A1 A2 A3", ""},
		"others_of_that_party_may_not":               {[]string{"wcss ss"}, "A1 A2 A6", "A7"},
		"the_row_behind_is_not_beside":               {[]string{"ss", "ss"}, "A1", "A2"},
		"a_gap_of_one_within_a_row_of_five":          {[]string{"sSsss"}, "A3", ""},
		"both_sides_of_the_selection_at_once":        {[]string{"SssssS"}, "A3 A4", "A2 A5"},
		"neighbours_of_two_groups_in_different_rows": {[]string{"sss", "sss"}, "A1 A2 B2 B3", "A3 B1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := draw(test.rows...)
			if got := h.alone(h.at(test.wanted)); got != test.alone {
				t.Errorf("%q are left alone, want %q", got, test.alone)
			}
		})
	}
	t.Run("what_is_not_sold_is_no_neighbour", func(t *testing.T) {
		t.Parallel()
		h := draw("sspp")
		edges := seating.EdgesOf(h.layout, []int16{1}, map[theater.Category]int64{theater.CategoryStandard: 10})
		if got := edges.Alone(h.states); !slices.Equal(got, []int16{2}) {
			t.Errorf("%v are left alone, want the seat between", got)
		}
	})
	t.Run("sizes_are_those_of_the_groups", func(t *testing.T) {
		t.Parallel()
		h := draw("ssssssss")
		edges := seating.EdgesOf(h.layout, []int16{2, 3, 5}, prices)
		if !slices.Equal(edges.Beside, []int16{1, 4, 6}) || !slices.Equal(edges.Beyond, []int16{0, 0, 7}) || !slices.Equal(edges.Size, []int{2, 1, 1}) {
			t.Errorf("%+v", edges)
		}
	})
}

func TestProtected(t *testing.T) {
	t.Parallel()
	h := draw("wcss cw")
	for name, test := range map[string]struct {
		wanted     string
		needed     bool
		wheelchair string
		companion  string
	}{
		"ordinary_seats":               {"A3 A4", false, "", ""},
		"a_place_without_need":         {"A1", false, "A1", ""},
		"a_place_with_need":            {"A1", true, "", ""},
		"with_its_companion":           {"A1 A2", true, "", ""},
		"a_companion_seat_alone":       {"A2 A3", true, "", "A2"},
		"companion_of_the_other_place": {"A1 A6", true, "", "A6"},
		"both_without_need":            {"A1 A2", false, "A1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wheelchairs, companions := seating.Protected(h.at(test.wanted), test.needed)
			if !slices.Equal(wheelchairs, h.at(test.wheelchair)) || !slices.Equal(companions, h.at(test.companion)) {
				t.Errorf("%v and %v are kept for others", wheelchairs, companions)
			}
		})
	}
}

func TestRoomy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows []string
		n    int
		want bool
	}{
		"an_empty_row":                     {[]string{"ssss"}, 2, true},
		"only_with_one_left":               {[]string{"sss"}, 2, false},
		"two_rows_one_of_which_will_do":    {[]string{"sss", "ss"}, 2, true},
		"not_in_places_for_wheelchairs":    {[]string{"wc"}, 2, false},
		"not_with_half_of_a_love_seat":     {[]string{"LL"}, 1, false},
		"a_love_seat":                      {[]string{"LL"}, 2, true},
		"not_across_an_aisle":              {[]string{"s s"}, 2, false},
		"a_full_house":                     {[]string{"SS"}, 1, false},
		"one_more_than_there_are":          {[]string{"ss"}, 3, false},
		"one_between_a_love_seat_and_wall": {[]string{"sLL"}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := draw(test.rows...)
			if got := seating.Roomy(h.layout, h.states, prices, test.n); got != test.want {
				t.Errorf("roomy: %t", got)
			}
		})
	}
}

// TestBest_none_alone holds what is suggested against the rule, in halls of any shape: no seat is left alone that need not
// be, and the wanted seats are kept as far as they can be.
func TestBest_none_alone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
			blocks := rapid.SliceOfN(rapid.SampledFrom([]string{"s", "ss", "S", "p", "LL", "ll", "Ll", "wc", "Wc", "cw", "wC", " ", "  "}), 1, 8)
			return strings.Join(blocks.Draw(rt, "blocks"), "")
		}), 1, 4).Draw(rt, "rows")
		h := draw(rows...)
		wish := seating.Wish{Seats: rapid.IntRange(1, 5).Draw(rt, "seats"), NoneAlone: true}
		wish.Wheelchairs = rapid.IntRange(0, 1).Draw(rt, "wheelchairs")
		if rapid.Bool().Draw(rt, "choosy") {
			wish.Categories = []theater.Category{theater.CategoryStandard}
		}
		found := h.best(wish, 3)
		for i, s := range found {
			edges := seating.EdgesOf(h.layout, positionsOf(s.Seats), prices)
			for _, position := range edges.Alone(h.states) {
				at := slices.Index(edges.Beside, position)
				if seating.Roomy(h.layout, h.states, prices, edges.Size[at]) {
					rt.Fatalf("%q in %q leaves seat %d alone", labels(found)[i], rows, position)
				}
			}
			if w, c := seating.Protected(s.Seats, wish.Wheelchairs > 0); len(w)+len(c) > 0 {
				rt.Fatalf("%q in %q takes what is kept for others", labels(found)[i], rows)
			}
		}
		// Where nothing is suggested, nothing could be.
		wish.NoneAlone = false
		if len(found) > 0 || !seating.Roomy(h.layout, h.states, prices, wish.Seats) {
			return
		}
		for _, s := range h.best(wish, 20) {
			if !slices.Contains(s.Reasons, seating.ReasonSplit) && h.alone(s.Seats) == "" {
				rt.Fatalf("%v in %q was not suggested", s.Seats, rows)
			}
		}
	})
}

// TestBest_instead_of_a_broken_rule moves a party that must move by as little as can be.
func TestBest_instead_of_a_broken_rule(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows   []string
		wanted string
		want   []string
	}{
		"by_one_seat":                           {[]string{"ssssss", "ssssss"}, "A2 A3", []string{"A1 A2", "A3 A4", "B1 B2"}},
		"rather_along_the_row_than_another_one": {[]string{"SsssssssS", "SssssssSS"}, "A3 A4 A5", []string{"A2 A3 A4", "B2 B3 B4", "A6 A7 A8"}},
		"the_whole_of_a_love_seat_or_none":      {[]string{"LL", "ss"}, "A1", []string{"B1", "B2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := draw(test.rows...)
			wish := seating.Instead(h.at(test.wanted), prices, false)
			wish.NoneAlone = true
			if got := labels(h.best(wish, 3)); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
