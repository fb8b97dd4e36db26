package page_test

import (
	"slices"
	"sort"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/apperr"
	"marquee/internal/page"
)

func TestSigner_Parse_refuses(t *testing.T) {
	t.Parallel()
	signer := page.NewSigner([]byte("key of this installation"))
	good := signer.Encode("movies by title", "Alien", "1")
	tampered := []byte(good)
	tampered[20] ^= 1
	for name, args := range map[string]page.Args{
		"neither_first_nor_last":        {},
		"both":                          {First: new(int32(1)), Last: new(int32(1))},
		"zero":                          {First: new(int32(0))},
		"negative":                      {Last: new(int32(-1))},
		"too_many":                      {First: new(int32(101))},
		"a_cursor_that_is_not_base64":   {First: new(int32(1)), After: new("%%%")},
		"an_empty_cursor":               {First: new(int32(1)), After: new("")},
		"a_tampered_cursor":             {First: new(int32(1)), After: new(string(tampered))},
		"a_cursor_of_another_ordering":  {First: new(int32(1)), After: new(signer.Encode("movies by date", "Alien", "1"))},
		"a_cursor_of_another_key":       {First: new(int32(1)), Before: new(page.NewSigner([]byte("other")).Encode("movies by title", "Alien", "1"))},
		"a_cursor_without_any_sort_key": {First: new(int32(1)), After: new(signer.Encode("movies by title"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := signer.Parse("movies by title", args); apperr.CodeOf(err) != apperr.BadUserInput {
				t.Errorf("Parse = %v, want BAD_USER_INPUT", err)
			}
		})
	}
	request, err := signer.Parse("movies by title", page.Args{First: new(int32(7)), After: new(good)})
	if err != nil || request.Limit != 7 || !slices.Equal(request.After, []string{"Alien", "1"}) {
		t.Errorf("Parse = %+v, %v", request, err)
	}
}

// Walking a list by its cursors, in either direction and any page size, visits each item once and in order.
func TestCut_walks_the_whole_list(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfNDistinct(rapid.IntRange(0, 500), 0, 60, rapid.ID).Draw(t, "items")
		sort.Ints(items)
		backward := rapid.Bool().Draw(t, "backward")
		size := rapid.Int32Range(1, 20).Draw(t, "size")
		signer := page.NewSigner([]byte("k"))
		var seen []int
		var cursor *string
		for range len(items) + 2 {
			args := page.Args{First: &size, After: cursor}
			if backward {
				args = page.Args{Last: &size, Before: cursor}
			}
			request, err := signer.Parse("ints", args)
			if err != nil {
				t.Fatal(err)
			}
			got := page.Cut(request, read(items, request))
			if backward {
				seen = append(slices.Clone(got.Items), seen...)
			} else {
				seen = append(seen, got.Items...)
			}
			if (backward && !got.HasPrevious) || (!backward && !got.HasNext) {
				break
			}
			edge := got.Items[len(got.Items)-1]
			if backward {
				edge = got.Items[0]
			}
			cursor = new(signer.Encode("ints", strconv.Itoa(edge)))
		}
		if !slices.Equal(seen, items) {
			t.Fatalf("saw %v, want %v", seen, items)
		}
	})
}

// read is a list in memory that answers as a keyset query would.
func read(items []int, request page.Request) []int {
	var rows []int
	for _, item := range items {
		if request.After != nil && item <= must(strconv.Atoi(request.After[0])) {
			continue
		}
		if request.Before != nil && item >= must(strconv.Atoi(request.Before[0])) {
			continue
		}
		rows = append(rows, item)
	}
	if request.Backward {
		slices.Reverse(rows)
	}
	return rows[:min(len(rows), request.Limit+1)]
}

func must(n int, err error) int {
	if err != nil {
		panic(err)
	}
	return n
}
