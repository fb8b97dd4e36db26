package limit_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"marquee/graph/limit"
)

// TestExtension_fragments_cost_what_they_hold writes random documents twice, with fragments and with what they hold in
// their place: both must cost the same and be refused by the same limits.
func TestExtension_fragments_cost_what_they_hold(t *testing.T) {
	t.Parallel()
	const seed, documents = 7, 60
	random := rand.New(rand.NewPCG(seed, seed))
	for i := range documents {
		g := generator{random: random, holds: make([]string, 1+random.IntN(5))}
		for n := range g.holds {
			g.defined = n
			short, long := g.selection(2)
			g.holds[n] = long
			g.written += fmt.Sprintf(" fragment f%d on Item { %s }", n, short)
		}
		g.defined = len(g.holds)
		short, long := g.selection(3)
		// Every fragment is used at least once, as validation wants it.
		for n, held := range g.holds {
			short += fmt.Sprintf(" ...f%d", n)
			long += " ... on Item { " + held + " }"
		}
		withFragments, without := "{ item { "+short+" } }"+g.written, "{ item { "+long+" } }"

		want, got := cost(t, without), cost(t, withFragments)
		if got != want {
			t.Fatalf("document %d of seed %d costs %d, what it holds %d:\n%s\n%s", i, seed, got, want, withFragments, without)
		}
		for _, limits := range []limit.Limits{
			{Cost: want, Depth: 4, Fields: enough, Aliases: enough, RootFields: 1},
			{Cost: want, Depth: enough, Fields: 20, Aliases: enough, RootFields: 1},
			{Cost: want, Depth: enough, Fields: enough, Aliases: 3, RootFields: 1},
			{Cost: want - 1, Depth: enough, Fields: enough, Aliases: enough, RootFields: 1},
		} {
			a, b := refusal(operation(t, withFragments, ""), limits), refusal(operation(t, without, ""), limits)
			if (a == nil) != (b == nil) || a != nil && a.Error() != b.Error() {
				t.Fatalf("document %d of seed %d: %v, what it holds: %v", i, seed, a, b)
			}
		}
	}
}

// cost is what an operation is charged.
func cost(t *testing.T, query string) int {
	t.Helper()
	op := operation(t, query, "")
	if err := refusal(op, unlimited); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return limit.ReportFrom(graphql.WithOperationContext(t.Context(), op)).Cost
}

// generator writes selections of an Item.
type generator struct {
	random  *rand.Rand
	defined int      // fragments that may be spread
	holds   []string // what they hold, without fragments
	written string   // their definitions
	names   int
}

// selection returns a selection as it is written, and the same without a fragment.
func (g *generator) selection(levels int) (short, long string) {
	var shorts, longs []string
	for range 1 + g.random.IntN(4) {
		s, l := g.one(levels)
		shorts, longs = append(shorts, s), append(longs, l)
	}
	return strings.Join(shorts, " "), strings.Join(longs, " ")
}

func (g *generator) one(levels int) (short, long string) {
	if g.defined > 0 && g.random.IntN(3) == 0 {
		n := g.random.IntN(g.defined)
		return fmt.Sprintf("...f%d", n), "... on Item { " + g.holds[n] + " }"
	}
	if levels == 0 || g.random.IntN(3) == 0 {
		return "name", "name"
	}
	// Fields of one name with different arguments could not be merged.
	g.names++
	size := 1 + g.random.IntN(9)
	var open string
	end := " }"
	switch g.random.IntN(3) {
	case 0:
		open = fmt.Sprintf("a%d_%d: items(first: %d) { nodes {", levels, g.names, size)
		end = " } }"
	case 1:
		open = "item {"
	default:
		open = "dear {"
	}
	s, l := g.selection(levels - 1)
	return open + s + end, open + l + end
}
