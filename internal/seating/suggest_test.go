package seating_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"marquee/internal/seatfeed"
	"marquee/internal/seating"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// hall is a layout with the states of its seats.
type hall struct {
	layout *theater.Layout
	states []seating.State
}

// draw makes a hall of a picture, a line for a row and a letter for a seat: s standard, p premium, L love seats (two and
// two), w wheelchair, c companion, a blank for an aisle; in capitals (love seats: in l) it is not free.
func draw(rows ...string) hall {
	var h hall
	var seats []theater.Seat
	var group int16
	for y, row := range rows {
		half := false
		for x, letter := range row {
			if letter == ' ' {
				continue
			}
			seat := theater.Seat{
				ID: typeid.New(), Position: int16(len(seats) + 1), Row: string(rune('A' + y)), Number: int16(x + 1), X: int16(x), Y: int16(y),
			}
			state := seatfeed.Available
			switch letter {
			case 'S', 'P', 'W', 'C', 'l':
				state = seatfeed.Taken
			}
			switch strings.ToLower(string(letter)) {
			case "p":
				seat.Category = theater.CategoryPremium
			case "w":
				seat.Category = theater.CategoryWheelchair
			case "c":
				seat.Category = theater.CategoryCompanion
			case "l":
				seat.Category = theater.CategoryLoveSeat
				if !half {
					group++
				}
				seat.GroupNo, half = group, !half
			default:
				seat.Category = theater.CategoryStandard
			}
			seats = append(seats, seat)
			h.states = append(h.states, state)
		}
	}
	h.layout = theater.NewLayout(uuid.New(), uuid.New(), 1, seats)
	return h
}

// at returns seats by their labels.
func (h hall) at(labels string) []theater.Seat {
	var seats []theater.Seat
	for label := range strings.FieldsSeq(labels) {
		i := slices.IndexFunc(h.layout.Seats, func(s theater.Seat) bool { return s.Label() == label })
		seats = append(seats, h.layout.Seats[i])
	}
	return seats
}

func labels(selections [][]theater.Seat) []string {
	var all []string
	for _, seats := range selections {
		var names []string
		for _, seat := range seats {
			names = append(names, seat.Label())
		}
		all = append(all, strings.Join(names, " "))
	}
	return all
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows   []string
		wanted string
		limit  int
		want   []string
	}{
		"beside_the_wanted_seat":                  {[]string{"sssSsss"}, "A4", 3, []string{"A3", "A5", "A2"}},
		"side_by_side_without_overlap":            {[]string{"ssssSSssss"}, "A5 A6", 3, []string{"A3 A4", "A7 A8", "A1 A2"}},
		"no_more_than_asked_for":                  {[]string{"sssSsss"}, "A4", 1, []string{"A3"}},
		"none_of_none":                            {[]string{"sss"}, "", 3, nil},
		"none_for_a_limit_of_none":                {[]string{"sSs"}, "A2", 0, nil},
		"none_in_a_full_house":                    {[]string{"SSS", "SSS"}, "A2", 3, nil},
		"none_when_no_row_is_long_enough":         {[]string{"ssSss", "ssSss"}, "A1 A2 A3", 3, nil},
		"not_across_an_aisle":                     {[]string{"ss ss", "SSS  "}, "B1 B2 B3", 3, nil},
		"not_across_rows":                         {[]string{"Sss", "ssS"}, "A1 A2 A3", 3, nil},
		"not_from_the_end_of_a_row_into_the_next": {[]string{"ss", "  ss", "SSS"}, "C1 C2 C3", 3, nil},
		"another_row_is_one_and_a_half_seats":     {[]string{"ssssS", "sssss"}, "A5", 4, []string{"A4", "B5", "A3", "B4"}},
		"another_category_is_further_still":       {[]string{"pSsss"}, "A2", 4, []string{"A3", "A4", "A5", "A1"}},
		"a_love_seat_whole":                       {[]string{"LLllLL"}, "A3 A4", 3, []string{"A1 A2", "A5 A6"}},
		"no_half_of_a_love_seat":                  {[]string{"LLllLL"}, "A3", 3, nil},
		"no_half_of_one_beside_a_single_seat":     {[]string{"sSLLs"}, "A1 A2", 3, []string{"A3 A4"}},
		"a_love_seat_between_single_seats":        {[]string{"sLLsSSSS"}, "A5 A6 A7 A8", 3, []string{"A1 A2 A3 A4"}},
		"not_half_taken":                          {[]string{"Llss", "SS"}, "B1 B2", 3, []string{"A3 A4"}},
		"no_wheelchair_place_for_others":          {[]string{"wcSs"}, "A3", 3, []string{"A4"}},
		"a_wheelchair_place_for_who_asked":        {[]string{"Wcw"}, "A1", 3, []string{"A3", "A2"}},
		"wheelchair_and_companion_for_both":       {[]string{"WC wc"}, "A1 A2", 3, []string{"A4 A5"}},
		"a_companion_place_for_who_asked":         {[]string{"CC cs"}, "A1", 3, []string{"A4", "A5"}},
		"equally_near_ones_in_the_order_of_seats": {[]string{"s", "S", "s"}, "B1", 3, []string{"A1", "C1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := draw(test.rows...)
			got := labels(seating.Suggest(h.layout, h.states, h.at(test.wanted), test.limit))
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// TestSuggest_properties compares Suggest, in halls of any shape, with a search through all there is.
func TestSuggest_properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
			blocks := rapid.SliceOfN(rapid.SampledFrom([]string{"s", "S", "p", "P", "LL", "ll", "Ll", "w", "W", "c", "C", " "}), 1, 10)
			return strings.Join(blocks.Draw(rt, "blocks"), "")
		}), 1, 5).Draw(rt, "rows")
		h := draw(rows...)
		if len(h.layout.Seats) == 0 {
			return
		}
		wanted := rapid.SliceOfNDistinct(rapid.SampledFrom(h.layout.Seats), 1, 4, func(s theater.Seat) int16 { return s.Position }).Draw(rt, "wanted")
		slices.SortFunc(wanted, func(a, b theater.Seat) int { return int(a.Position) - int(b.Position) })
		limit := rapid.IntRange(0, 4).Draw(rt, "limit")
		before, states := slices.Clone(h.layout.Seats), slices.Clone(h.states)

		got := seating.Suggest(h.layout, h.states, wanted, limit)

		if !slices.Equal(before, h.layout.Seats) || !slices.Equal(states, h.states) {
			rt.Fatal("the hall has changed")
		}
		if diff := cmp.Diff(got, seating.Suggest(h.layout, h.states, wanted, limit)); diff != "" {
			rt.Fatalf("not the same again: %s", diff)
		}
		possible := h.possible(wanted)
		if len(got) > limit {
			rt.Fatalf("%d suggestions, limit %d", len(got), limit)
		}
		used := map[int16]bool{}
		last := 0
		for i, seats := range got {
			if !slices.ContainsFunc(possible, func(p []theater.Seat) bool { return slices.Equal(p, seats) }) {
				rt.Fatalf("%q cannot be had in %q", labels(got)[i], rows)
			}
			for _, seat := range seats {
				if used[seat.Position] {
					rt.Fatalf("%q overlap", labels(got))
				}
				used[seat.Position] = true
			}
			if d := farness(seats, wanted); d < last {
				rt.Fatalf("%q of %q is nearer than the one before it", labels(got)[i], labels(got))
			} else {
				last = d
			}
		}
		// Nothing that is nearer than the last, or that there was room for, is left out.
		for _, seats := range possible {
			free := !slices.ContainsFunc(seats, func(s theater.Seat) bool { return used[s.Position] })
			if free && (len(got) < limit || limit > 0 && farness(seats, wanted) < last) {
				rt.Fatalf("%q is left out of %q", labels([][]theater.Seat{seats}), labels(got))
			}
		}
		if len(got) > 0 {
			for _, seats := range possible {
				if farness(seats, wanted) < farness(got[0], wanted) {
					rt.Fatalf("%q is nearer than the first of %q", labels([][]theater.Seat{seats}), labels(got))
				}
			}
		}
	})
}

// possible returns every selection that may be suggested, by the words of the promise.
func (h hall) possible(wanted []theater.Seat) [][]theater.Seat {
	special := func(s theater.Seat) bool {
		return s.Category == theater.CategoryWheelchair || s.Category == theater.CategoryCompanion
	}
	asked := slices.ContainsFunc(wanted, special)
	var all [][]theater.Seat
	for first := range h.layout.Seats {
		if first+len(wanted) > len(h.layout.Seats) {
			break
		}
		seats := h.layout.Seats[first : first+len(wanted)]
		good := true
		for i, seat := range seats {
			good = good && h.states[seat.Position-1] == seatfeed.Available && (asked || !special(seat))
			good = good && seat.Y == seats[0].Y && seat.X == seats[0].X+int16(i)
			for _, other := range h.layout.Seats {
				good = good && (seat.GroupNo == 0 || other.GroupNo != seat.GroupNo || slices.Contains(seats, other))
			}
		}
		if good {
			all = append(all, seats)
		}
	}
	return all
}

// farness is the documented distance: from middle to middle in quarter seats, a row as one and a half seats, another
// category as three.
func farness(seats, wanted []theater.Seat) int {
	middle := func(seats []theater.Seat) (x, y int) {
		for _, seat := range seats {
			x, y = x+4*int(seat.X), y+4*int(seat.Y)
		}
		return x / len(seats), y / len(seats)
	}
	ax, ay := middle(seats)
	bx, by := middle(wanted)
	d := max(ax-bx, bx-ax) + max(ay-by, by-ay)*3/2
	for i := range seats {
		if seats[i].Category != wanted[i].Category {
			d += 12
		}
	}
	return d
}

func BenchmarkSuggest(b *testing.B) {
	row := strings.Repeat("s", 12) + " " + strings.Repeat("s", 12)
	h := draw(slices.Repeat([]string{row}, 16)...)
	for i := range h.states {
		if i%3 == 0 {
			h.states[i] = seatfeed.Taken
		}
	}
	for _, size := range []int{1, 2, 6} {
		b.Run(fmt.Sprintf("%d_seats_of_%d", size, len(h.states)), func(b *testing.B) {
			for b.Loop() {
				seating.Suggest(h.layout, h.states, h.layout.Seats[100:100+size], 3)
			}
		})
	}
}
