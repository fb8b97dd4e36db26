package graph_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/gqlclient"
)

// TestOneStream asks for two streams at once, or for none, in every way that a document can, over every transport.
func TestOneStream(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	const seats = `seatMapChanged(showtimeId: $id) { __typename }`
	for name, document := range map[string]string{
		"two_aliases":               `subscription ($id: ID!) { a: ` + seats + ` b: ` + seats + ` }`,
		"an_alias_in_a_fragment":    `subscription ($id: ID!) { a: ` + seats + ` ...more } fragment more on Subscription { b: ` + seats + ` }`,
		"an_alias_in_an_inline_one": `subscription ($id: ID!) { a: ` + seats + ` ... on Subscription { b: ` + seats + ` } }`,
		"an_alias_by_a_variable":    `subscription ($id: ID!, $yes: Boolean = true) { a: ` + seats + ` b: seatMapChanged(showtimeId: $id) @include(if: $yes) { __typename } }`,
		"none":                      `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) @skip(if: true) { __typename } }`,
		"none_by_a_variable":        `subscription ($id: ID!, $no: Boolean = false) { seatMapChanged(showtimeId: $id) @include(if: $no) { __typename } }`,
		"none_by_a_fragment":        `subscription ($id: ID!) { ...more @skip(if: true) } fragment more on Subscription { ` + seats + ` }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, variables := a.Anonymous().With(t), vars{"id": a.World.Showtimes[0].ID()}
			err := c.Watch(document, variables).Try(nil)
			if refused, ok := errors.AsType[*gqlclient.Error](err); !ok || refused.Problems[0].Code != "BAD_USER_INPUT" || !strings.Contains(refused.Error(), "exactly one field") {
				t.Errorf("socket: %v", err)
			}
			if event := watchEvents(t, c, http.MethodPost, document, variables).next(); !strings.Contains(event, `"BAD_USER_INPUT"`) || !strings.Contains(event, "exactly one field") {
				t.Errorf("events: %s", event)
			}
			if answer := c.Raw(document, variables); answer.Status != http.StatusOK && answer.Status != http.StatusBadRequest || !strings.Contains(string(answer.Body), `"BAD_USER_INPUT"`) {
				t.Errorf("POST: %s", answer)
			}
		})
	}
	t.Run("one_that_directives_leave", func(t *testing.T) {
		t.Parallel()
		document := `subscription ($id: ID!) { a: ` + seats + ` b: seatMapChanged(showtimeId: $id) @skip(if: true) { __typename } }`
		if err := a.Anonymous().With(t).Watch(document, vars{"id": a.World.Showtimes[0].ID()}).Try(nil); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if lines := slices.Collect(strings.Lines(a.Logged())); slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `"ERROR"`) }) {
			t.Errorf("the log tells of errors: %s", a.Logged())
		}
	})
}
