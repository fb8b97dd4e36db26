package showtime_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/pricing"
	"marquee/internal/showtime"
	"marquee/internal/theater"
	"marquee/internal/typeid"
)

// worker is somebody with a role who has just proved who they are.
func worker(role auth.Role, at uuid.UUID) auth.Viewer {
	return auth.Viewer{UserID: typeid.New(), Strong: true, ProvedAt: noon, Grants: auth.NewGrants(auth.Grant{Role: role, Theater: at})}
}

var child = pricing.Rule{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, BasisPoints: -5000}

func active(rule pricing.Rule) showtime.PriceRuleInput {
	return showtime.PriceRuleInput{Rule: rule, Active: true}
}

func TestService_price_rules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	manager := worker(auth.RoleTheaterManager, b.berlin.theater)
	soon := b.show(b.movie, b.berlin, time.Now().Add(time.Hour).Truncate(time.Second), map[string]int64{"STANDARD": 1000})
	elsewhere := b.show(b.movie, b.sydney, time.Now().Add(time.Hour).Truncate(time.Second), map[string]int64{"STANDARD": 1000})
	over := b.show(b.movie, b.berlin, time.Now().AddDate(0, 0, -1).Truncate(time.Second), map[string]int64{"STANDARD": 1000})
	versions := func(want ...int32) {
		t.Helper()
		for i, id := range []uuid.UUID{soon, elsewhere, over} {
			if got := fixture.Get[int32](t, b.db, `SELECT price_version FROM showtime_sales WHERE showtime_id = $1`, id); got != want[i] {
				t.Errorf("showtime %d has price version %d, want %d", i, got, want[i])
			}
		}
	}
	recorded := func() string {
		t.Helper()
		return fixture.Get[string](t, b.db, `SELECT action || ' ' || subject || ' ' || (theater_id IS NOT NULL) || ' ' || (actor_id IS NOT NULL) || ' '
			|| coalesce(before ->> 'basisPoints', '-') || ' ' || coalesce(after ->> 'basisPoints', '-') FROM audit_entries ORDER BY id DESC LIMIT 1`)
	}
	says := func(want string, rule showtime.PriceRule) {
		t.Helper()
		if got := recorded(); got != fmt.Sprintf(want, rule.NodeID()) {
			t.Errorf("recorded is %q", got)
		}
	}
	listed := func(want ...showtime.PriceRule) {
		t.Helper()
		got, err := b.PriceRules(t.Context(), worker(auth.RoleTheaterStaff, b.berlin.theater), b.berlin.theater)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
	}

	made, err := b.CreatePriceRule(t.Context(), manager, b.berlin.theater, active(child))
	if err != nil {
		t.Fatal(err)
	}
	versions(4, 3, 3)
	says("price_rule.created %s true true - -5000", made)
	listed(made)
	read, err := b.Offer(t.Context(), soon)
	if err != nil || read.PriceVersion != 4 {
		t.Fatalf("%+v, %v", read, err)
	}
	items := []pricing.Item{{Type: pricing.Child, BaseMinor: 1000}}
	if quote, err := read.Chain.Price(items, "EUR"); err != nil || quote.Total.AmountMinor != 500 {
		t.Errorf("%+v, %v", quote, err)
	}

	changed := child
	changed.BasisPoints, changed.Label = -2500, "  Child  "
	made, err = b.UpdatePriceRule(t.Context(), manager, made.ID, active(changed))
	if err != nil || made.Rule.Label != "Child" {
		t.Fatalf("%+v, %v", made, err)
	}
	versions(5, 3, 3)
	says("price_rule.changed %s true true -5000 -2500", made)
	listed(made)
	// The process that made the change remembers no price of before.
	if read, err := b.Offer(t.Context(), soon); err != nil || read.PriceVersion != 5 {
		t.Errorf("%+v, %v", read, err)
	}
	if err := b.DeletePriceRule(t.Context(), manager, made.ID); err != nil {
		t.Fatal(err)
	}
	versions(6, 3, 3)
	says("price_rule.deleted %s true true -2500 -", made)
	listed()
}

// TestAZ3_Service_price_rules asks as everybody who may not, and with what cannot be.
func TestAZ3_Service_price_rules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	manager := worker(auth.RoleTheaterManager, b.berlin.theater)
	made, err := b.CreatePriceRule(t.Context(), manager, b.berlin.theater, active(child))
	if err != nil {
		t.Fatal(err)
	}
	stale := manager
	stale.ProvedAt = noon.Add(-11 * time.Minute)
	count := func() (n int) {
		return fixture.Get[int](t, b.db, `SELECT count(*) + (SELECT count(*) FROM audit_entries) + (SELECT sum(price_version) FROM showtime_sales) FROM price_rules`)
	}
	b.show(b.movie, b.berlin, time.Now().Add(time.Hour).Truncate(time.Second), nil)
	before := count()
	for name, c := range map[string]struct {
		viewer         auth.Viewer
		create, change apperr.Code
		reads          bool
	}{
		"nobody":                {auth.Viewer{ProvedAt: noon}, apperr.Forbidden, apperr.NotFound, false},
		"staff":                 {worker(auth.RoleTheaterStaff, b.berlin.theater), apperr.Forbidden, apperr.NotFound, true},
		"manager_elsewhere":     {worker(auth.RoleTheaterManager, b.sydney.theater), apperr.Forbidden, apperr.NotFound, false},
		"support":               {worker(auth.RoleSupport, auth.Platform), apperr.Forbidden, apperr.NotFound, false},
		"finance":               {worker(auth.RoleFinance, auth.Platform), apperr.Forbidden, apperr.NotFound, true},
		"manager_without_proof": {stale, apperr.StepUpRequired, apperr.StepUpRequired, true},
	} {
		_, err := b.CreatePriceRule(t.Context(), c.viewer, b.berlin.theater, active(pricing.Rule{Kind: pricing.Fee, Label: "Fee", AmountMinor: 1}))
		if apperr.CodeOf(err) != c.create {
			t.Errorf("%s creates: %v, want %s", name, err, c.create)
		}
		if _, err = b.UpdatePriceRule(t.Context(), c.viewer, made.ID, active(child)); apperr.CodeOf(err) != c.change {
			t.Errorf("%s updates: %v, want %s", name, err, c.change)
		}
		if err = b.DeletePriceRule(t.Context(), c.viewer, made.ID); apperr.CodeOf(err) != c.change {
			t.Errorf("%s deletes: %v, want %s", name, err, c.change)
		}
		if rules, err := b.PriceRules(t.Context(), c.viewer, b.berlin.theater); (err == nil) != c.reads || !c.reads && apperr.CodeOf(err) != apperr.Forbidden || len(rules) > 0 != c.reads {
			t.Errorf("%s reads %v, %v", name, rules, err)
		}
	}
	admin := worker(auth.RoleAdmin, auth.Platform)
	included := pricing.Rule{Kind: pricing.Tax, Label: "VAT", BasisPoints: 700, Included: true}
	if _, err := b.CreatePriceRule(t.Context(), admin, b.sydney.theater, active(included)); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	before += 2
	other := included
	other.Included = false
	for field, ask := range map[string]func() error{
		"input.rule.ticketType": func() error {
			_, err := b.CreatePriceRule(t.Context(), manager, b.berlin.theater, active(child))
			return err
		},
		"input.rule.included": func() error {
			_, err := b.CreatePriceRule(t.Context(), admin, b.sydney.theater, active(other))
			return err
		},
		"input.rule.label": func() error {
			_, err := b.UpdatePriceRule(t.Context(), manager, made.ID, active(pricing.Rule{Kind: pricing.Fee, Label: " ", AmountMinor: 1}))
			return err
		},
	} {
		if e, ok := errors.AsType[*apperr.Error](ask()); !ok || e.Code != apperr.BadUserInput || len(e.Fields) != 1 || e.Fields[0].Path != field {
			t.Errorf("%s: %v", field, e)
		}
	}
	for name, err := range map[string]error{
		"no theater":   errOf(b.CreatePriceRule(t.Context(), admin, uuid.Max, active(child))),
		"no rule":      errOf(b.UpdatePriceRule(t.Context(), admin, uuid.Max, active(child))),
		"none deletes": b.DeletePriceRule(t.Context(), admin, uuid.Max),
	} {
		if apperr.CodeOf(err) != apperr.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := count(); after != before {
		t.Errorf("something was changed: %d, want %d", after, before)
	}
	// Switched off, a tax of the other way may wait for its day.
	if _, err := b.CreatePriceRule(t.Context(), admin, b.sydney.theater, showtime.PriceRuleInput{Rule: other}); err != nil {
		t.Error(err)
	}
	for i := range 99 {
		if _, err := b.CreatePriceRule(t.Context(), manager, b.berlin.theater, active(pricing.Rule{Kind: pricing.Fee, Label: fmt.Sprint(i), AmountMinor: 1})); err != nil {
			t.Fatal(err)
		}
	}
	_, err = b.CreatePriceRule(t.Context(), manager, b.berlin.theater, active(pricing.Rule{Kind: pricing.Fee, Label: "one too many", AmountMinor: 1}))
	if apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("the 101st: %v", err)
	}
}

func errOf(_ showtime.PriceRule, err error) error { return err }

// TestService_price_rules_of_formats sets rules for formats: one of which the theater has no showtime would hold for nothing.
func TestService_price_rules_of_formats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin := worker(auth.RoleAdmin, auth.Platform)
	b.show(b.movie, b.berlin, time.Now().AddDate(0, 0, -30).Truncate(time.Second), nil) // in IMAX
	of := func(format string) showtime.PriceRuleInput {
		return active(pricing.Rule{Kind: pricing.ByFormat, Label: "Large", Format: format, AmountMinor: 300})
	}
	made, err := b.CreatePriceRule(t.Context(), admin, b.berlin.theater, of("IMAX"))
	if err != nil {
		t.Fatal(err)
	}
	waits := of("3D")
	waits.Active = false
	for _, at := range []place{b.berlin, b.sydney} {
		if _, err := b.CreatePriceRule(t.Context(), admin, at.theater, waits); err != nil {
			t.Errorf("a rule that waits for its showtimes: %v", err)
		}
	}
	before := fixture.Get[int](t, b.db, `SELECT count(*) FROM audit_entries`)
	for name, err := range map[string]error{
		"spelled otherwise":        errOf(b.CreatePriceRule(t.Context(), admin, b.berlin.theater, of("Imax"))),
		"changed to what is not":   errOf(b.UpdatePriceRule(t.Context(), admin, made.ID, of("3D"))),
		"shown by another theater": errOf(b.CreatePriceRule(t.Context(), admin, b.sydney.theater, of("IMAX"))),
	} {
		if e, ok := errors.AsType[*apperr.Error](err); !ok || e.Code != apperr.BadUserInput || len(e.Fields) != 1 || e.Fields[0].Path != "input.rule.format" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := fixture.Get[int](t, b.db, `SELECT count(*) FROM audit_entries`); after != before {
		t.Errorf("%d changes were recorded", after-before)
	}
}

// TestService_Offer_rules makes sure that the hours of a rule are those of the theater's clock, and that an offer knows
// what an adult pays in the end.
func TestService_Offer_rules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	evening := pricing.Rule{Kind: pricing.ByTime, Label: "Sunday evening", Weekdays: pricing.DaysOf(time.Sunday), From: 20 * 60, To: 24 * 60, AmountMinor: 300}
	rules := []pricing.Rule{
		evening,
		{Kind: pricing.ByFormat, Label: "3D", Format: "3D", AmountMinor: 7},
		{Kind: pricing.Fee, Label: "Fee", AmountMinor: 50},
		{Kind: pricing.Fee, Label: "Once", AmountMinor: 100, PerReservation: true},
		{Kind: pricing.Tax, Label: "Tax", BasisPoints: 1000},
	}
	for _, at := range []place{b.berlin, b.sydney} {
		glasses := b.show(b.movie, at, noon.Add(5*time.Hour), nil)
		b.must(b.client.Showtime.UpdateOneID(glasses).SetFormat("3D").Exec)
		for _, rule := range rules {
			if _, err := b.CreatePriceRule(t.Context(), worker(auth.RoleAdmin, auth.Platform), at.theater, active(rule)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// noon in Greenwich is one o'clock in Berlin and eleven at night in Sydney, on a Sunday.
	prices := map[string]int64{"STANDARD": 1000, "COMPANION": 0}
	day, night := b.show(b.movie, b.berlin, noon, prices), b.show(b.movie, b.sydney, noon, prices)
	var offers map[uuid.UUID]*showtime.Offer
	b.sends(1, "Offers", func() (err error) {
		offers, err = b.Offers(context.WithoutCancel(t.Context()), []uuid.UUID{day, night})
		return err
	})
	for id, want := range map[uuid.UUID]int64{day: 1155, night: 1485} {
		got := offers[id]
		if got == nil || got.Once != 110 || got.Adult[theater.CategoryStandard] != want || got.Adult[theater.CategoryCompanion] != 0 || len(got.Adult) != 2 {
			t.Errorf("%+v, want %d", got, want)
		}
	}
}
