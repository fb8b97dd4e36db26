package pricing

import (
	"slices"
	"strings"
)

// Place is a kind of seat, as lines name it and as people do.
type Place struct{ Category, Title string }

// Reseated returns the lines of a price whose tickets get other seats and cost what they cost before: those at the positions
// that moved has go to the ones it names, and those of a category that places has become of the other one. Two categories never
// become one.
func Reseated(lines []Line, moved map[int16]int16, places map[Place]Place) []Line {
	reseated := slices.Clone(lines)
	for i := range reseated {
		line := &reseated[i]
		if !line.seats() {
			continue
		}
		line.Positions = slices.Clone(line.Positions)
		for j, position := range line.Positions {
			if to, ok := moved[position]; ok {
				line.Positions[j] = to
			}
		}
		for from, to := range places {
			if lines[i].Category == from.Category {
				line.Category = to.Category
				line.Description = strings.Replace(line.Description, from.Title, to.Title, 1)
			}
		}
	}
	return reseated
}
