package graph_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
)

const createRule = `mutation ($in: CreatePriceRuleInput!) { createPriceRule(input: $in) { rule {
	id kind label ticketType format weekdays from to percentBasisPoints amount { formatted } perReservation included active } } }`

// TestAZ3_price_rules sets the prices of a theater as its manager, and reads them as everybody.
func TestAZ3_price_rules(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	ours, theirs := newTenant(a, a.World.Theaters[0]), newTenant(a, a.World.Theaters[1])
	evening := vars{
		"kind": "TIME_BAND", "label": "Evening", "weekdays": []string{"SATURDAY", "MONDAY"}, "from": "18:30", "to": "24:00", "percentBasisPoints": 1250,
	}
	var made struct{ CreatePriceRule struct{ Rule map[string]any } }
	ours.manager.With(t).Get(createRule, vars{"in": vars{"theaterId": ours.theater.ID(), "rule": evening}}, &made)
	rule := made.CreatePriceRule.Rule
	want := map[string]any{
		"id": rule["id"], "kind": "TIME_BAND", "label": "Evening", "ticketType": nil, "format": nil, "weekdays": []any{"MONDAY", "SATURDAY"},
		"from": "18:30", "to": "24:00", "percentBasisPoints": 1250.0, "amount": nil, "perReservation": false, "included": false, "active": true,
	}
	if diff := cmp.Diff(want, rule); diff != "" {
		t.Error(diff)
	}
	const read = `query ($id: ID!) { theater(id: $id) { priceRules { id label } } }`
	for name, c := range map[string]struct {
		who  apitest.Client
		code apperr.Code
	}{
		"nobody": {a.Anonymous(), "UNAUTHENTICATED"}, "customer": {ours.customer, "FORBIDDEN"}, "manager of another": {theirs.manager, "FORBIDDEN"},
		"staff": {ours.staff, ""}, "manager": {ours.manager, ""}, "administrator": {a.Admin(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			who := c.who.With(t)
			if c.code != "" {
				if err := who.Refused(read, vars{"id": ours.theater.ID()}); gqlclient.CodeOf(err) != c.code {
					t.Errorf("%v, want %s", err, c.code)
				}
				return
			}
			var out struct {
				Theater struct{ PriceRules []struct{ ID, Label string } }
			}
			who.Get(read, vars{"id": ours.theater.ID()}, &out)
			if rules := out.Theater.PriceRules; len(rules) != 1 || rules[0].ID != rule["id"] {
				t.Errorf("%+v", rules)
			}
		})
	}
	var out struct{ PriceRules []struct{ Label string } }
	a.As(auth.Grant{Role: auth.RoleFinance}).Get(`query ($id: ID!) { priceRules(theaterId: $id) { label } }`, vars{"id": ours.theater.ID()}, &out)
	if len(out.PriceRules) != 1 {
		t.Errorf("finance reads %+v", out)
	}
	for field, change := range map[string]vars{
		"input.rule.from": {"from": "6:30 pm"}, "input.rule.to": {"to": "24:01"}, "input.rule.weekdays": {"weekdays": nil},
		"input.rule.format": {"format": "2D"}, "input.rule.percentBasisPoints": {"percentBasisPoints": -10001},
	} {
		bad := maps.Clone(evening)
		maps.Copy(bad, change)
		err := ours.manager.With(t).Refused(createRule, vars{"in": vars{"theaterId": ours.theater.ID(), "rule": bad}})
		if text := fmt.Sprint(err.Problems); gqlclient.CodeOf(err) != "BAD_USER_INPUT" || !strings.Contains(text, field) {
			t.Errorf("%s: %s", field, text)
		}
	}
}
