package demo

import (
	"testing"

	"pgregory.net/rapid"
)

// Every plan within the generator's limits gives a sound layout with the seats it was planned to have, blocks with an
// odd number of love seats and rows beyond Z among them.
func TestSeatPlan_builds_sound_layouts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wing := rapid.IntRange(4, 12).Draw(t, "wing")
		p := seatPlan{
			rows:        rapid.IntRange(1, 30).Draw(t, "rows"),
			wings:       [2]int{wing, wing + rapid.IntRange(0, 8).Draw(t, "growth")},
			aisle:       rapid.Bool().Draw(t, "aisle"),
			loveSeats:   rapid.Bool().Draw(t, "love seats"),
			wheelchairs: rapid.IntRange(0, 4).Draw(t, "wheelchairs"),
			premium:     [2]int{rapid.IntRange(0, 20).Draw(t, "premium from"), rapid.IntRange(0, 20).Draw(t, "premium to")},
			recliners:   rapid.IntRange(0, 10).Draw(t, "recliners"),
		}
		if rapid.Bool().Draw(t, "three blocks") {
			p.centre = rapid.IntRange(4, 15).Draw(t, "centre")
		}
		if p.rows > 3 {
			p.crossAisle = rapid.IntRange(0, p.rows-2).Draw(t, "cross aisle")
		}
		if p.loveSeats && p.crossAisle+1 == p.rows {
			p.wheelchairs = 0
		}
		layout := p.build()
		if findings := layout.Validate(); len(findings) > 0 {
			t.Fatalf("%+v: %v", p, findings)
		}
		counts := map[SeatCategory]int{}
		for _, seat := range layout.Seats {
			counts[seat.Category]++
		}
		blocks := p.blocks(p.rows)
		places := min(p.wheelchairs, 2*len(blocks), 4)
		if counts[Wheelchair] != places || counts[Companion] != places {
			t.Fatalf("%+v: %d wheelchair places, %d companions", p, counts[Wheelchair], counts[Companion])
		}
		inPairs := 0
		for _, block := range blocks {
			inPairs += int(block.to-block.from+1) / 2 * 2
		}
		if !p.loveSeats {
			inPairs = 0
		}
		if counts[LoveSeat] != inPairs {
			t.Fatalf("%+v: %d love seats, not %d", p, counts[LoveSeat], inPairs)
		}
	})
}
