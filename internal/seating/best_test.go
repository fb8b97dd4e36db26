package seating_test

import (
	"fmt"
	"iter"
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
// two), w wheelchair, c companion of the wheelchair place before it, or else after it, a blank for an aisle; in capitals (love seats: in l) it is not free.
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
				seat.CompanionNo = seat.Position + 1
				if x > 0 && strings.ContainsRune("wW", rune(row[x-1])) {
					seat.CompanionNo = seat.Position - 1
				}
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

// prices are what the seats of a drawn hall cost.
var prices = map[theater.Category]int64{
	theater.CategoryStandard: 10, theater.CategoryPremium: 15, theater.CategoryLoveSeat: 12, theater.CategoryWheelchair: 8, theater.CategoryCompanion: 8,
}

func (h hall) best(wish seating.Wish, limit int) []seating.Selection {
	if wish.Prices == nil {
		wish.Prices = prices
	}
	return seating.Best(h.layout, h.states, wish, seating.DefaultWeights(), limit)
}

func labels(selections []seating.Selection) []string {
	var all []string
	for _, s := range selections {
		var names []string
		for _, seat := range s.Seats {
			names = append(names, seat.Label())
		}
		all = append(all, strings.Join(names, " "))
	}
	return all
}

func TestBest_instead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows   []string
		wanted string
		limit  int
		want   []string
	}{
		"beside_the_wanted_seat":                  {[]string{"sssSsss"}, "A4", 3, []string{"A3", "A5", "A1"}},
		"side_by_side_without_overlap":            {[]string{"ssssSSssss"}, "A5 A6", 3, []string{"A3 A4", "A7 A8", "A1 A2"}},
		"no_more_than_asked_for":                  {[]string{"sssSsss"}, "A4", 1, []string{"A3"}},
		"none_of_none":                            {[]string{"sss"}, "", 3, nil},
		"none_for_a_limit_of_none":                {[]string{"sSs"}, "A2", 0, nil},
		"none_in_a_full_house":                    {[]string{"SSS", "SSS"}, "A2", 3, nil},
		"not_across_an_aisle_in_one_group":        {[]string{"ss  ss", "SSSS  "}, "B1 B2 B3 B4", 3, []string{"A1 A2 A5 A6"}},
		"not_from_the_end_of_a_row_into_the_next": {[]string{"ss", "    ss", "SSSS"}, "C1 C2 C3 C4", 3, nil},
		"another_row_is_one_and_a_half_seats":     {[]string{"ssssS", "sssss"}, "A5", 3, []string{"A4", "B5", "B3"}},
		"another_category_is_further_still":       {[]string{"pSsss"}, "A2", 3, []string{"A3", "A5", "A1"}},
		"a_love_seat_whole":                       {[]string{"LLllLL"}, "A3 A4", 3, []string{"A1 A2", "A5 A6"}},
		"no_half_of_a_love_seat":                  {[]string{"LLllLL"}, "A3", 3, nil},
		"no_half_of_one_beside_a_single_seat":     {[]string{"sSLLs"}, "A1 A2", 3, []string{"A3 A4"}},
		"a_love_seat_between_single_seats":        {[]string{"sLLsSSSS"}, "A5 A6 A7 A8", 3, []string{"A1 A2 A3 A4"}},
		"not_half_taken":                          {[]string{"Llss", "SS"}, "B1 B2", 3, []string{"A3 A4"}},
		"no_wheelchair_place_for_others":          {[]string{"wcSs"}, "A3", 3, []string{"A4"}},
		"a_wheelchair_place_for_who_asked":        {[]string{"Wcw"}, "A1", 3, []string{"A3"}},
		"wheelchair_and_companion_for_both":       {[]string{"WC wc"}, "A1 A2", 3, []string{"A4 A5"}},
		"no_companion_place_by_itself":            {[]string{"wC cs"}, "A2", 3, []string{"A5"}},
		"equally_near_ones_in_the_order_of_seats": {[]string{"s", "S", "s"}, "B1", 3, []string{"A1", "C1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := draw(test.rows...)
			got := labels(h.best(seating.Instead(h.at(test.wanted), prices, true), test.limit))
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestBest(t *testing.T) {
	t.Parallel()
	ceiling := func(n int64) *int64 { return &n }
	even := []string{"sssssss", "sssssss", "sssssss", "sssssss"}
	for name, test := range map[string]struct {
		rows []string
		wish seating.Wish
		want []string
	}{
		"in_the_middle_two_thirds_from_the_screen":     {even, seating.Wish{Seats: 3}, []string{"C3 C4 C5", "B3 B4 B5", "D3 D4 D5"}},
		"no_seat_left_alone":                           {[]string{"sssss"}, seating.Wish{Seats: 2}, []string{"A1 A2", "A4 A5"}},
		"a_seat_left_alone_when_there_is_nothing_else": {[]string{"sss"}, seating.Wish{Seats: 2}, []string{"A1 A2"}},
		"a_seat_beside_a_protected_one_is_alone":       {[]string{"wcssssss"}, seating.Wish{Seats: 2}, []string{"A3 A4", "A5 A6", "A7 A8"}},
		"the_preferred_category_first":                 {[]string{"ssss", "pppp", "ssss"}, seating.Wish{Seats: 4, Categories: []theater.Category{"STANDARD", "PREMIUM"}}, []string{"C1 C2 C3 C4", "A1 A2 A3 A4", "B1 B2 B3 B4"}},
		"no_other_category":                            {[]string{"ssss", "pppp"}, seating.Wish{Seats: 2, Categories: []theater.Category{"PREMIUM"}}, []string{"B1 B2", "B3 B4"}},
		"of_one_category_rather_than_mixed":            {[]string{"sssppp"}, seating.Wish{Seats: 2}, []string{"A1 A2", "A5 A6", "A3 A4"}},
		"not_above_the_ceiling":                        {[]string{"ssss", "pppp"}, seating.Wish{Seats: 2, Ceiling: ceiling(20)}, []string{"A1 A2", "A3 A4"}},
		"at_the_ceiling":                               {[]string{"pp"}, seating.Wish{Seats: 2, Ceiling: ceiling(30)}, []string{"A1 A2"}},
		"nothing_below_the_ceiling":                    {[]string{"ssss"}, seating.Wish{Seats: 2, Ceiling: ceiling(19)}, nil},
		"not_what_is_not_sold":                         {[]string{"sspp"}, seating.Wish{Seats: 2, Prices: map[theater.Category]int64{"PREMIUM": 15}}, []string{"A3 A4"}},
		"a_wheelchair_place_with_its_companion":        {[]string{"wcss ssss"}, seating.Wish{Seats: 2, Wheelchairs: 1}, []string{"A1 A2"}},
		"a_family_beside_a_wheelchair_place":           {[]string{"wcss ssss"}, seating.Wish{Seats: 4, Wheelchairs: 1}, []string{"A1 A2 A3 A4"}},
		"two_wheelchair_places":                        {[]string{"wccw wc"}, seating.Wish{Seats: 4, Wheelchairs: 2}, []string{"A1 A2 A3 A4"}},
		"a_wheelchair_place_alone":                     {[]string{"wcss"}, seating.Wish{Seats: 1, Wheelchairs: 1}, []string{"A1"}},
		"no_companion_seat_of_another":                 {[]string{"wcC cw"}, seating.Wish{Seats: 2, Wheelchairs: 1}, []string{"A1 A2", "A5 A6"}},
		"two_and_two_one_behind_the_other":             {[]string{"Sss", "Sss", "SSS"}, seating.Wish{Seats: 4}, []string{"A2 A3 B2 B3"}},
		"two_and_two_across_an_aisle":                  {[]string{"ss ss"}, seating.Wish{Seats: 4}, []string{"A1 A2 A4 A5"}},
		"three_and_one_when_two_and_two_cannot_be":     {[]string{"sss", "sSS"}, seating.Wish{Seats: 4}, []string{"A1 A2 A3 B1"}},
		"one_in_front_of_three":                        {[]string{"sSS", "sss"}, seating.Wish{Seats: 4}, []string{"A1 B1 B2 B3"}},
		"preferred_but_not_sold":                       {[]string{"sspp"}, seating.Wish{Seats: 2, Categories: []theater.Category{"STANDARD", "PREMIUM"}, Prices: map[theater.Category]int64{"PREMIUM": 15}}, []string{"A3 A4"}},
		"two_and_two_rather_than_three_and_one":        {[]string{"sss", "Sss"}, seating.Wish{Seats: 4}, []string{"A2 A3 B2 B3"}},
		"not_in_two_groups_if_it_must_not_be":          {[]string{"ss ss"}, seating.Wish{Seats: 4, Together: true}, nil},
		"not_in_groups_that_do_not_touch":              {[]string{"ssS", "SSS", "Sss"}, seating.Wish{Seats: 4}, nil},
		"not_in_groups_with_somebody_between":          {[]string{"ssSss"}, seating.Wish{Seats: 4}, nil},
		"not_in_groups_with_a_hall_between":            {[]string{"ss   ss"}, seating.Wish{Seats: 4}, nil},
		"not_in_groups_beside_each_other_in_rows":      {[]string{"ssSS", "SSss"}, seating.Wish{Seats: 4}, nil},
		"a_wheelchair_place_in_one_of_two_groups":      {[]string{"wcSS", "ssSS"}, seating.Wish{Seats: 4, Wheelchairs: 1}, []string{"A1 A2 B1 B2"}},
		"nobody":              {even, seating.Wish{}, nil},
		"more_than_there_are": {[]string{"ss", "ss"}, seating.Wish{Seats: 5}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := labels(draw(test.rows...).best(test.wish, 3)); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestBest_reasons(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows []string
		wish seating.Wish
		want []seating.Reason
	}{
		"the_best_of_the_house": {[]string{"ssssss", "ssssss", "ssssss"}, seating.Wish{Seats: 2}, []seating.Reason{"TOGETHER", "CENTRAL", "BEST_ROWS", "NO_SINGLE_LEFT"}},
		"at_the_side_in_front":  {[]string{"ssSSSSSSSS", "SSSSSSSSSS", "SSSSSSSSSS", "SSSSSSSSSS"}, seating.Wish{Seats: 2}, []seating.Reason{"TOGETHER", "NO_SINGLE_LEFT"}},
		"in_two_groups":         {[]string{"ss ss"}, seating.Wish{Seats: 4}, []seating.Reason{"SPLIT", "CENTRAL", "BEST_ROWS", "NO_SINGLE_LEFT"}},
		"one_is_left_alone":     {[]string{"sss"}, seating.Wish{Seats: 2}, []seating.Reason{"TOGETHER", "BEST_ROWS"}},
		"accessible":            {[]string{"wcSSSSSSSS"}, seating.Wish{Seats: 2, Wheelchairs: 1}, []seating.Reason{"TOGETHER", "BEST_ROWS", "ACCESSIBLE", "NO_SINGLE_LEFT"}},
		"cheaper_than_another":  {[]string{"ss", "pp"}, seating.Wish{Seats: 2, Categories: []theater.Category{"STANDARD", "PREMIUM"}}, []seating.Reason{"TOGETHER", "CENTRAL", "BEST_ROWS", "PREFERRED_SEATS", "NO_SINGLE_LEFT", "CHEAPEST"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := draw(test.rows...).best(test.wish, 3)
			if len(got) == 0 || !slices.Equal(got[0].Reasons, test.want) {
				t.Errorf("%q %q, want %q", labels(got), got[0].Reasons, test.want)
			}
		})
	}
	h := draw("sSsssss", "SSSSSSS", "sssssss")
	near := h.best(seating.Instead(h.at("A2"), prices, true), 3)
	if len(near) != 3 || !slices.Contains(near[0].Reasons, seating.ReasonNear) {
		t.Errorf("%+v, the first of which is near", near)
	}
}

// TestBest_seed draws between what is equally good, and always the same for a seed.
func TestBest_seed(t *testing.T) {
	t.Parallel()
	h := draw("s", "S", "s") // either row is as far from the one between
	first := map[string]bool{}
	for seed := range uint64(32) {
		wish := seating.Instead(h.at("B1"), prices, true)
		wish.Seed = seed
		got := labels(h.best(wish, 1))
		if again := labels(h.best(wish, 1)); !slices.Equal(got, again) {
			t.Fatalf("seed %d: %q and then %q", seed, got, again)
		}
		first[got[0]] = true
	}
	if len(first) != 2 {
		t.Errorf("32 seeds chose from %v, want both", first)
	}
}

// TestBest_properties holds Best, in halls of any shape, against a search through all there is.
func TestBest_properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
			blocks := rapid.SliceOfN(rapid.SampledFrom([]string{"s", "S", "p", "P", "LL", "ll", "Ll", "wc", "Wc", "cw", "wC", " ", "  ", "   "}), 1, 8)
			return strings.Join(blocks.Draw(rt, "blocks"), "")
		}), 1, 4).Draw(rt, "rows")
		h := draw(rows...)
		if len(h.layout.Seats) == 0 {
			return
		}
		wish := seating.Wish{
			Seats:    rapid.IntRange(1, 6).Draw(rt, "seats"),
			Together: rapid.Bool().Draw(rt, "together"),
			Seed:     rapid.Uint64Range(0, 3).Draw(rt, "seed"),
		}
		wish.Wheelchairs = rapid.IntRange(0, min(2, wish.Seats)).Draw(rt, "wheelchairs")
		if rapid.Bool().Draw(rt, "choosy") {
			wish.Categories = rapid.SampledFrom([][]theater.Category{{"STANDARD"}, {"PREMIUM", "STANDARD"}, {"LOVE_SEAT"}}).Draw(rt, "categories")
		}
		if rapid.Bool().Draw(rt, "careful") {
			most := rapid.Int64Range(0, 90).Draw(rt, "most")
			wish.Ceiling = &most
		}
		if rapid.Bool().Draw(rt, "near") && len(h.layout.Seats) >= wish.Seats {
			wish.Near = rapid.SliceOfNDistinct(rapid.SampledFrom(h.layout.Seats), wish.Seats, wish.Seats, func(s theater.Seat) int16 { return s.Position }).Draw(rt, "wanted")
		}
		limit := rapid.IntRange(1, 4).Draw(rt, "limit")
		before, states := slices.Clone(h.layout.Seats), slices.Clone(h.states)

		got := h.best(wish, limit)

		if !slices.Equal(before, h.layout.Seats) || !slices.Equal(states, h.states) {
			rt.Fatal("the hall has changed")
		}
		if diff := cmp.Diff(got, h.best(wish, limit)); diff != "" {
			rt.Fatalf("not the same again: %s", diff)
		}
		if len(got) > limit {
			rt.Fatalf("%d selections, limit %d", len(got), limit)
		}
		used := map[int16]bool{}
		for i, s := range got {
			if why := h.wrong(s.Seats, wish); why != "" {
				rt.Fatalf("%q in %q: %s", labels(got)[i], rows, why)
			}
			for _, seat := range s.Seats {
				if used[seat.Position] {
					rt.Fatalf("%q overlap", labels(got))
				}
				used[seat.Position] = true
			}
		}
		if len(got) == limit {
			return
		}
		// Nothing that there was room for is left out.
		for seats := range h.subsets(wish.Seats) {
			free := !slices.ContainsFunc(seats, func(s theater.Seat) bool { return used[s.Position] })
			if free && h.wrong(seats, wish) == "" {
				rt.Fatalf("%q is left out of %q in %q", labels([]seating.Selection{{Seats: seats}}), labels(got), rows)
			}
		}
	})
}

// wrong says why a selection must not be offered, by the words of the promise; "" when it may be.
func (h hall) wrong(seats []theater.Seat, wish seating.Wish) string {
	wheelchairs, price := 0, int64(0)
	var groups [][]theater.Seat
	for i, seat := range seats {
		if i > 0 && seats[i-1].Y == seat.Y && seats[i-1].X+1 == seat.X {
			groups[len(groups)-1] = append(groups[len(groups)-1], seat)
		} else {
			groups = append(groups, []theater.Seat{seat})
		}
		price += prices[seat.Category]
		beside := func(position int16) bool {
			return slices.ContainsFunc(groups[len(groups)-1], func(s theater.Seat) bool { return s.Position == position }) ||
				i+1 < len(seats) && seats[i+1].Position == position && seats[i+1].Y == seat.Y && seats[i+1].X == seat.X+1
		}
		switch {
		case h.states[seat.Position-1] != seatfeed.Available:
			return "not free"
		case seat.GroupNo != 0 && len(slices.DeleteFunc(slices.Clone(seats), func(s theater.Seat) bool { return s.GroupNo != seat.GroupNo })) != 2:
			return "half of a love seat"
		case seat.Category == theater.CategoryWheelchair:
			wheelchairs++
		case seat.Category == theater.CategoryCompanion:
			if !beside(seat.CompanionNo) {
				return "a companion seat without its wheelchair place"
			}
		case wish.Categories != nil && !slices.Contains(wish.Categories, seat.Category):
			return "a category that nobody wants"
		}
	}
	switch {
	case len(seats) != wish.Seats:
		return "not as many as wanted"
	case wheelchairs != wish.Wheelchairs:
		return "other wheelchair places than wanted"
	case wish.Ceiling != nil && price > *wish.Ceiling:
		return "too dear"
	case len(groups) == 1:
		return ""
	case len(groups) > 2 || wish.Together:
		return "not together"
	}
	front, back := groups[0], groups[1]
	endOf := func(group []theater.Seat) theater.Seat { return group[len(group)-1] }
	if front[0].Y == back[0].Y {
		if gap := back[0].X - endOf(front).X - 1; gap < 1 || gap > 2 || h.between(endOf(front), back[0]) {
			return "too far for one party, or with somebody between"
		}
		return ""
	}
	if back[0].Y-front[0].Y > 1 && h.rowsBetween(front[0].Y, back[0].Y) {
		return "not in neighbouring rows"
	}
	if front[0].X > endOf(back).X || back[0].X > endOf(front).X {
		return "not one behind the other"
	}
	return ""
}

// between reports whether there is a seat between two of one row.
func (h hall) between(left, right theater.Seat) bool {
	return slices.ContainsFunc(h.layout.Seats, func(s theater.Seat) bool { return s.Y == left.Y && s.X > left.X && s.X < right.X })
}

// rowsBetween reports whether there is a row of seats between two.
func (h hall) rowsBetween(front, back int16) bool {
	return slices.ContainsFunc(h.layout.Seats, func(s theater.Seat) bool { return s.Y > front && s.Y < back })
}

// subsets yields every selection of one run of neighbours, or of two, that has n seats, in the order of the seats.
func (h hall) subsets(n int) iter.Seq[[]theater.Seat] {
	return func(yield func([]theater.Seat) bool) {
		all := h.layout.Seats
		for size := 1; size <= n; size++ {
			for one := 0; one+size <= len(all); one++ {
				if size == n {
					if !yield(all[one : one+n]) {
						return
					}
					continue
				}
				for other := one + size; other+n-size <= len(all); other++ {
					if !yield(slices.Concat(all[one:one+size], all[other:other+n-size])) {
						return
					}
				}
			}
		}
	}
}

func BenchmarkBest(b *testing.B) {
	row := strings.Repeat("s", 12) + " " + strings.Repeat("s", 13)
	for name, third := range map[string]int{"empty": 0, "a_third_sold": 3} {
		h := draw(slices.Repeat([]string{row}, 16)...)
		for i := range h.states {
			if third > 0 && i%third == 0 {
				h.states[i] = seatfeed.Taken
			}
		}
		for _, size := range []int{1, 2, 6, 10} {
			b.Run(fmt.Sprintf("%s/%d_seats_of_%d", name, size, len(h.states)), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					h.best(seating.Wish{Seats: size}, 3)
				}
			})
		}
	}
	b.Run("empty/20_seats_in_two_groups", func(b *testing.B) {
		h := draw(slices.Repeat([]string{row}, 16)...)
		for b.Loop() {
			h.best(seating.Wish{Seats: 20}, 3)
		}
	})
}
