package demo_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/demo"
	"marquee/internal/money"
)

func TestWorld_has_the_promised_places(t *testing.T) {
	t.Parallel()
	world := demo.World()
	cities, countries, currencies, keys := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	screens := 0
	for _, theater := range world {
		cities[theater.City], countries[theater.CountryCode], currencies[theater.Currency] = true, true, true
		screens += len(theater.Screens)
		for _, key := range append([]string{theater.Key}, screenKeys(theater)...) {
			if keys[key] || !strings.HasPrefix(key, theater.Key) || key != strings.ToLower(key) {
				t.Errorf("key %q", key)
			}
			keys[key] = true
		}
	}
	got := []int{len(world), len(cities), len(countries), screens}
	if !slices.Equal(got, []int{12, 10, 8, 40}) {
		t.Errorf("theaters, cities, countries, screens: %v", got)
	}
	if !currencies["JPY"] || money.Digits("JPY") != 0 || !currencies["KWD"] || money.Digits("KWD") != 3 {
		t.Errorf("currencies %v", currencies)
	}
}

func screenKeys(theater demo.Theater) []string {
	var keys []string
	for _, screen := range theater.Screens {
		keys = append(keys, screen.Key)
	}
	return keys
}

func TestWorld_theaters_are_sound(t *testing.T) {
	t.Parallel()
	for _, theater := range demo.World() {
		zone, err := time.LoadLocation(theater.Zone)
		if err != nil || !strings.Contains(zone.String(), "/") {
			t.Errorf("%s: zone %q: %v", theater.Key, theater.Zone, err)
		}
		if _, err := money.New(1, theater.Currency); err != nil {
			t.Errorf("%s: %v", theater.Key, err)
		}
		if theater.Name == "" || theater.Address == "" || len(theater.CountryCode) != 2 {
			t.Errorf("%+v is incomplete", theater)
		}
		if theater.Lat < -60 || theater.Lat > 70 || theater.Lat == 0 || theater.Lon < -180 || theater.Lon > 180 || theater.Lon == 0 {
			t.Errorf("%s lies at %v, %v", theater.Key, theater.Lat, theater.Lon)
		}
		open := theater.Closes - theater.Opens
		if theater.Opens < 8*time.Hour || open < 12*time.Hour || open > 17*time.Hour || theater.Closes > 26*time.Hour {
			t.Errorf("%s is open from %v to %v", theater.Key, theater.Opens, theater.Closes)
		}
		for _, screen := range theater.Screens {
			if screen.Name == "" || !slices.Contains(screen.Formats, demo.Format2D) {
				t.Errorf("%s %q projects %v", screen.Key, screen.Name, screen.Formats)
			}
			if screen.CleaningMinutes < 10 || screen.TrailerMinutes < 10 {
				t.Errorf("%s: %d minutes of cleaning, %d of trailers", screen.Key, screen.CleaningMinutes, screen.TrailerMinutes)
			}
		}
	}
}

func TestWorld_is_the_same_each_time_and_the_callers_own(t *testing.T) {
	t.Parallel()
	first := demo.World()
	screen := &first[0].Screens[0]
	screen.Prices[demo.Standard], screen.Formats[0], screen.Layout.Seats[0].Row = 1, "8mm", "Z"
	second := demo.World()
	if got := second[0].Screens[0]; got.Prices[demo.Standard] == 1 || got.Formats[0] == "8mm" || got.Layout.Seats[0].Row == "Z" {
		t.Error("two calls share memory")
	}
	if !reflect.DeepEqual(second, demo.World()) {
		t.Error("two calls differ")
	}
}

// magic are the last two digits of an amount to which the sandbox gateway does anything but accept.
var magic = [100]bool{5: true, 51: true, 54: true, 91: true}

// Every mix of up to ten seats of a screen: which last two digits its total can have.
func TestWorld_prices_are_accepted_by_the_sandbox(t *testing.T) {
	t.Parallel()
	for _, theater := range demo.World() {
		for _, screen := range theater.Screens {
			prices := priceList(t, screen)
			if screen.Key == demo.DeclineScreenKey {
				continue
			}
			for digits := range reachable(prices, 10) {
				if magic[digits] {
					t.Errorf("%s: some selection costs …%02d", screen.Key, digits)
				}
			}
			if theater.Currency == "JPY" && slices.ContainsFunc(prices, func(p int64) bool { return p%100 != 0 }) {
				t.Errorf("%s: yen prices %v", screen.Key, prices)
			}
		}
	}
}

// TestWorld_rules_are_rules makes sure that a theater could have them, and that what they change of a total keeps it among
// the amounts that the sandbox gateway accepts.
func TestWorld_rules_are_rules(t *testing.T) {
	t.Parallel()
	with := 0
	for _, theater := range demo.World() {
		if len(theater.Rules) > 0 {
			with++
		}
		var odd apperr.Fields
		theater.Refunds.Check(&odd, theater.Key+" ")
		if err := odd.Err(); err != nil || theater.Refunds.Swap == nil || theater.Refunds.Swap.FeeMinor%50 != 0 {
			t.Errorf("%s: %+v: %v", theater.Key, theater.Refunds, err)
		}
		for _, rule := range theater.Rules {
			var bad apperr.Fields
			rule.Check(&bad, theater.Key+" "+rule.Label+": ")
			if err := bad.Err(); err != nil {
				t.Error(err)
			}
			if rule.AmountMinor%50 != 0 || rule.BasisPoints != 0 && !rule.Included {
				t.Errorf("%s: %+v makes odd totals", theater.Key, rule)
			}
		}
	}
	if with != 3 {
		t.Errorf("%d theaters have rules, want 3", with)
	}
}

func TestWorld_one_screen_declines_a_single_standard_seat(t *testing.T) {
	t.Parallel()
	declining := findScreen(t, demo.DeclineScreenKey)
	smallest := 1 << 30
	for _, theater := range demo.World() {
		for _, screen := range theater.Screens {
			if theater.City == "London" {
				smallest = min(smallest, len(screen.Layout.Seats))
			}
		}
	}
	if len(declining.Layout.Seats) != smallest {
		t.Errorf("%q has %d seats, the smallest screen of London %d", demo.DeclineScreenKey, len(declining.Layout.Seats), smallest)
	}
	standard := declining.Prices[demo.Standard]
	if standard%100 != 51 {
		t.Errorf("a STANDARD seat costs %d", standard)
	}
	var others []int64
	for category, price := range declining.Prices {
		if category != demo.Standard {
			others = append(others, price)
		}
	}
	for n := range int64(11) {
		for digits := range reachable(others, 10-int(n)) {
			if total := (n*standard + digits) % 100; magic[total] != (n == 1) {
				t.Errorf("%d STANDARD seats and others for …%02d cost …%02d", n, digits, total)
			}
		}
	}
}

// priceList returns a screen's prices after checking that they are those of its seats and sensible among themselves.
func priceList(t *testing.T, screen demo.Screen) []int64 {
	t.Helper()
	categories := map[demo.SeatCategory]bool{}
	for _, seat := range screen.Layout.Seats {
		categories[seat.Category] = true
	}
	var prices []int64
	for category := range categories {
		price := screen.Prices[category]
		if price <= 0 {
			t.Errorf("%s: no price for %s", screen.Key, category)
		}
		prices = append(prices, price)
	}
	if len(screen.Prices) != len(categories) {
		t.Errorf("%s: prices %v for the categories %v", screen.Key, screen.Prices, categories)
	}
	ladder := []demo.SeatCategory{demo.Standard, demo.Premium, demo.LoveSeat, demo.Recliner}
	var before int64
	for _, category := range ladder {
		if price, sold := screen.Prices[category]; sold {
			if price <= before {
				t.Errorf("%s: %s costs %d, the category below it %d", screen.Key, category, price, before)
			}
			before = price
		}
	}
	return prices
}

// reachable returns the last two digits of the totals of up to seats seats.
func reachable(prices []int64, seats int) map[int64]bool {
	totals := map[int64]bool{0: true}
	for range seats {
		for total := range maps.Clone(totals) {
			for _, price := range prices {
				totals[(total+price)%100] = true
			}
		}
	}
	return totals
}
