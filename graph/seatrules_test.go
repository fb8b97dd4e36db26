package graph_test

import (
	"net/http"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/config"
	"marquee/internal/gqlclient"
)

const (
	askSeats = `mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) {
		__typename
		... on UserError { code message }
		... on SeatRuleBroken { rule seats { label } alternatives { seats { label } } }
		... on CoolingDown { retryAfter }
		... on LimitExceeded { of limit remaining }
		... on ReserveSeatsPayload { reservation { id } }
	} }`
	checkSeats = `query ($in: ValidateSelectionInput!) { validateSelection(input: $in) {
		reservable problems { code message rule relaxed seats { label } } alternatives { seats { label } }
	} }`
	setRules = `mutation ($in: SetSeatRulesInput!) { setSeatRules(input: $in) { theater { id seatRules {
		noSeatLeftAlone relaxedAtFreePercent relaxedMinutesBeforeStart accessibleReleaseMinutes
	} } } }`
)

type labelled struct{ Label string }

type asked struct {
	ReserveSeats struct {
		Typename   string `json:"__typename"`
		Code, Rule string
		Of         string
		Limit      int
		RetryAfter int
		Seats      []labelled
	}
}

type checked struct {
	ValidateSelection struct {
		Reservable bool
		Problems   []struct {
			Code, Message string
			Rule, Relaxed *string
			Seats         []labelled
		}
		Alternatives []struct{ Seats []labelled }
	}
}

// codes puts what a check found in a line.
func (c checked) codes() string {
	var all []string
	for _, p := range c.ValidateSelection.Problems {
		name := p.Code
		if p.Rule != nil {
			name = *p.Rule
		}
		if p.Relaxed != nil {
			name += "/" + *p.Relaxed
		}
		for _, seat := range p.Seats {
			name += " " + seat.Label
		}
		if p.Message == "" {
			name += " without a message"
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// TestSeatRules_through_the_API asks before and reserves after, as customers, staff and managers of a strict theater do.
func TestSeatRules_through_the_API(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) {
		c.SeatsPerAddress, c.IdleHolds, c.IdleWindow = 8, 2, 3600e9
	}))
	show := a.World.Showtimes[0]
	a.Strict(show.Theater)
	at := func(role auth.Role) apitest.Client { return a.As(auth.Grant{Role: role, Theater: show.Theater.Key}) }
	seats := func(positions ...int16) vars {
		return vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(positions...)}
	}
	check := func(who apitest.Client, in vars) checked {
		t.Helper()
		var got checked
		who.Get(checkSeats, vars{"in": in}, &got)
		return got
	}
	keys := 0
	reserve := func(who apitest.Client, in vars) asked {
		t.Helper()
		keys++
		in["idempotencyKey"] = "a key of the rules " + strings.Repeat("x", keys)
		var got asked
		who.Get(askSeats, vars{"in": in}, &got)
		return got
	}
	need := func(in vars) vars { in["accessibleNeed"] = true; return in }

	visitor, customer := a.Anonymous(), a.Customer()
	for name, c := range map[string]struct {
		in         vars
		codes      string
		reservable bool
	}{
		"a good one":                  {seats(1, 2), "", true},
		"one left alone":              {seats(2), "SEAT_LEFT_ALONE A1", false},
		"half of a love seat":         {seats(17), "SEAT_LEFT_ALONE C2", false},
		"a place for a wheelchair":    {seats(15, 16), "WHEELCHAIR_PLACE B7", false},
		"with the need":               {need(seats(15, 16)), "", true},
		"a companion seat alone":      {need(seats(16)), "COMPANION_SEAT B8", false},
		"more than one may have":      {seats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), "LIMIT_EXCEEDED", false},
		"everything at the same time": {seats(2, 13, 16), "COMPANION_SEAT B8, SEAT_LEFT_ALONE A1 B6", false},
	} {
		if got := check(visitor, c.in); got.codes() != c.codes || got.ValidateSelection.Reservable != c.reservable {
			t.Errorf("%s: %q, reservable: %t", name, got.codes(), got.ValidateSelection.Reservable)
		}
	}
	if got := reserve(customer, seats(2)).ReserveSeats; got.Typename != "SeatRuleBroken" || got.Code != "SEAT_RULE_BROKEN" || got.Rule != "SEAT_LEFT_ALONE" || got.Seats[0].Label != "A1" {
		t.Errorf("%+v", got)
	}
	if got := reserve(customer, need(seats(15, 16))).ReserveSeats; got.Typename != "ReserveSeatsPayload" {
		t.Errorf("%+v", got)
	}
	if got := check(visitor, seats(15)); got.codes() != "SEATS_UNAVAILABLE B7, WHEELCHAIR_PLACE B7" {
		t.Errorf("a held place: %q", got.codes())
	}

	// Only its staff may override, and it is told by nobody else's.
	override := seats(2)
	override["overrideSeatRules"] = true
	for name, who := range map[string]apitest.Client{
		"a customer": customer, "staff elsewhere": a.As(auth.Grant{Role: auth.RoleTheaterStaff, Theater: a.World.Theaters[1].Key}), "support": a.As(auth.Grant{Role: auth.RoleSupport}),
	} {
		override["idempotencyKey"] = "to override the rules"
		if err := who.Try(askSeats, vars{"in": override}, nil); gqlclient.CodeOf(err) != apperr.Forbidden {
			t.Errorf("%s overrides: %v", name, err)
		}
	}
	if got := reserve(at(auth.RoleTheaterStaff), override).ReserveSeats; got.Typename != "ReserveSeatsPayload" {
		t.Errorf("staff: %+v", got)
	}

	// Managers change the rules, which count at once.
	rules := vars{"theaterId": show.Theater.ID(), "noSeatLeftAlone": true, "relaxedAtFreePercent": 100, "relaxedMinutesBeforeStart": 0, "accessibleReleaseMinutes": 10080}
	for name, who := range map[string]apitest.Client{"a customer": customer, "its staff": at(auth.RoleTheaterStaff)} {
		if err := who.Try(setRules, vars{"in": rules}, nil); gqlclient.CodeOf(err) != apperr.Forbidden {
			t.Errorf("%s sets rules: %v", name, err)
		}
	}
	if err := visitor.Try(setRules, vars{"in": rules}, nil); gqlclient.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("nobody sets rules: %v", err)
	}
	var set struct {
		SetSeatRules struct {
			Theater struct {
				SeatRules struct{ RelaxedAtFreePercent, AccessibleReleaseMinutes int }
			}
		}
	}
	at(auth.RoleTheaterManager).Get(setRules, vars{"in": rules}, &set)
	if got := set.SetSeatRules.Theater.SeatRules; got.RelaxedAtFreePercent != 100 || got.AccessibleReleaseMinutes != 10080 {
		t.Errorf("the rules are %+v", got)
	}
	if got := check(visitor, seats(18)); got.codes() != "SEAT_LEFT_ALONE/NEAR_SELL_OUT C1" || !got.ValidateSelection.Reservable {
		t.Errorf("relaxed: %q", got.codes())
	}

	// Who holds in vain again and again waits; and one address gets so much.
	restless := a.Customer()
	for range 2 {
		if got := reserve(restless, seats(18)).ReserveSeats; got.Typename != "ReserveSeatsPayload" {
			t.Fatalf("%+v", got)
		}
		a.Exec(`UPDATE reservations SET held_until = now() - interval '1 second' WHERE viewer_id = $1 AND held_until > now()`, restless.User.ID)
		a.Exec(`UPDATE seat_claims c SET held_until = r.held_until FROM reservations r WHERE r.id = c.reservation_id AND r.viewer_id = $1`, restless.User.ID)
	}
	if got := reserve(restless, seats(18)).ReserveSeats; got.Typename != "CoolingDown" || got.RetryAfter < 3000 || got.RetryAfter > 3600 {
		t.Errorf("%+v", got)
	}
	if got := check(restless, seats(18)); !strings.HasPrefix(got.codes(), "COOLING_DOWN") || got.ValidateSelection.Reservable {
		t.Errorf("%q", got.codes())
	}
	if got := reserve(a.Customer(), seats(5, 6, 7, 8, 9, 10)).ReserveSeats; got.Typename != "LimitExceeded" || got.Of != "ADDRESS" || got.Limit != 8 {
		t.Errorf("%+v", got)
	}
}

// named sends requests with the name of a device.
type named string

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Marquee-Device", string(n))
	return http.DefaultTransport.RoundTrip(r)
}

// TestBK4_device_through_the_API lets two accounts ask on one device, by turns.
func TestBK4_device_through_the_API(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) { c.SeatsPerDevice = 3 }))
	show := a.World.Showtimes[0]
	reserve := func(device named, seats ...int16) asked {
		t.Helper()
		who := a.Customer()
		if device != "" {
			who.HTTP = &http.Client{Transport: device}
		}
		var got asked
		who.Get(askSeats, vars{"in": vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(seats...), "idempotencyKey": "a key of a device"}}, &got)
		return got
	}
	const living, bed = named("the-one-in-the-living-room"), named("the-one-beside-the-bed")
	if got := reserve(living, 1, 2).ReserveSeats; got.Typename != "ReserveSeatsPayload" {
		t.Fatalf("%+v", got)
	}
	if got := reserve(living, 3, 4).ReserveSeats; got.Typename != "LimitExceeded" || got.Of != "DEVICE" || got.Limit != 3 {
		t.Errorf("%+v", got)
	}
	for _, device := range []named{bed, ""} {
		if got := reserve(device, 3, 4).ReserveSeats; device == bed && got.Typename != "ReserveSeatsPayload" || device == "" && got.Typename != "SeatsUnavailable" {
			t.Errorf("%q: %+v", device, got)
		}
	}
	someone := a.Customer()
	someone.HTTP = &http.Client{Transport: named("a name with blanks")}
	if refusal := someone.Refused(`{ me { id } }`, nil); refusal.Status != http.StatusBadRequest || gqlclient.CodeOf(refusal) != apperr.BadUserInput {
		t.Errorf("a malformed name: %v", refusal)
	}
}
