//go:build linux

package main

import "testing"

// TestPlan holds that every change changes something, and that a seat's changes stand far apart.
func TestPlan(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*plan{"sales": sales(), "blocks": blocks()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, last := [seats + 1]byte{}, [seats + 1]int{}
			for i := range 10_000 {
				c := p.next()
				before := states[c.seat]
				if before == 0 {
					before = available
				}
				if before == c.state {
					t.Fatalf("change %d brings seat %d to %c, where it is", i, c.seat, c.state)
				}
				if last[c.seat] > 0 && i-last[c.seat] < distance {
					t.Fatalf("seat %d changes twice within %d changes", c.seat, i-last[c.seat])
				}
				if isBlock(c) != (name == "blocks") {
					t.Fatalf("seat %d is not in the range of %s", c.seat, name)
				}
				states[c.seat], last[c.seat] = c.state, i
			}
		})
	}
}
