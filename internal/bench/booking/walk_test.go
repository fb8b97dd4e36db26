package main

import (
	"math/rand/v2"
	"testing"
)

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestSpotAt(t *testing.T) {
	t.Parallel()

	t.Run("no two spots share a seat", func(t *testing.T) {
		t.Parallel()
		owner := map[[2]int]int{}
		for n := range spots {
			showtime, first := spotAt(n)
			for seat := first; seat < first+mostSeats; seat++ {
				if showtime < 0 || showtime >= showtimes || seat < 1 || seat > seats {
					t.Fatalf("spot %d has seat %d of showtime %d", n, seat, showtime)
				}
				if other, taken := owner[[2]int{showtime, seat}]; taken {
					t.Fatalf("spots %d and %d share seat %d of showtime %d", other, n, seat, showtime)
				}
				owner[[2]int{showtime, seat}] = n
			}
		}
	})
}

func TestFreePick(t *testing.T) {
	t.Parallel()
	order := rand.Perm(spots)
	taken := -1
	pick := freePick(random(), order, func() int { taken++; return taken })
	spot := map[[2]int]bool{}
	counts := map[int]int{}
	for {
		s, ok := pick()
		if !ok {
			break
		}
		spot[[2]int{s.showtime, s.first}] = true
		counts[s.count]++
		if s.step != 1 || s.viewer < 0 || s.viewer >= viewers {
			t.Fatalf("picked %+v", s)
		}
	}
	if len(spot) != spots {
		t.Errorf("%d spots of %d were picked", len(spot), spots)
	}
	for count := 1; count <= mostSeats; count++ {
		if counts[count] < spots/mostSeats*9/10 {
			t.Errorf("%d of %d picks are of %d seats", counts[count], spots, count)
		}
	}
	if len(counts) != mostSeats {
		t.Errorf("picks have these sizes: %v", counts)
	}
}

func TestHotPick(t *testing.T) {
	t.Parallel()
	pick := hotPick(random())
	asked := map[int]bool{}
	down := 0
	const picks = 20_000
	for range picks {
		s, ok := pick()
		if !ok || s.showtime != hotShowtime || s.count < 1 || s.count > mostSeats {
			t.Fatalf("picked %+v, %v", s, ok)
		}
		if s.step == -1 {
			down++
		}
		for i := range s.count {
			if s.seat(i) < 1 || s.seat(i) > seats {
				t.Fatalf("picked seat %d: %+v", s.seat(i), s)
			}
			asked[s.seat(i)] = true
		}
	}
	if len(asked) != seats {
		t.Errorf("%d of %d seats were ever asked for", len(asked), seats)
	}
	if down < picks*4/10 || down > picks*6/10 {
		t.Errorf("%d of %d picks are in descending order", down, picks)
	}
}
