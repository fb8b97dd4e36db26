package main

import (
	"slices"
	"testing"
)

func TestNeighbours(t *testing.T) {
	t.Parallel()
	seats := []seat{
		{Position: 1, X: 1, Y: 1, Category: "STANDARD"},
		{Position: 2, X: 2, Y: 1, Category: "STANDARD"},
		{Position: 3, X: 4, Y: 1, Category: "STANDARD"}, // behind an aisle
		{Position: 4, X: 5, Y: 2, Category: "PREMIUM"},  // in the next row
		{Position: 5, X: 6, Y: 2, Category: "RECLINER"},
		{Position: 6, X: 7, Y: 2, Category: "WHEELCHAIR"},
		{Position: 7, X: 8, Y: 2, Category: "COMPANION"},
		{Position: 8, X: 1, Y: 3, Category: "LOVE_SEAT"},
		{Position: 9, X: 2, Y: 3, Category: "LOVE_SEAT"},
	}
	var got []int
	for _, pair := range neighbours(seats) {
		got = append(got, positions(pair)...)
	}
	if want := []int{1, 2, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("got the pairs %v, not %v", got, want)
	}
}
