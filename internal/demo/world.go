package demo

import (
	"fmt"
	"maps"
	"time"

	"marquee/internal/pricing"
)

// DeclineScreenKey names the smallest screen of London, where the sandbox gateway declines a selection that holds
// exactly one STANDARD seat: its price ends in 51, the magic amount of a declined card, and every other price there is
// a multiple of 100. All other selections of up to ten seats, there and everywhere in the world, are accepted.
const DeclineScreenKey = "london-meridian-3"

// Theater is one site of the demo world. Names and addresses are invented, cities, zones and currencies are real.
type Theater struct {
	Key           string // unique, stable, lower case with dashes: "london-lantern"
	Name          string
	City          string
	CountryCode   string // ISO 3166-1 alpha-2
	Address       string
	Zone          string // IANA
	Currency      string // ISO 4217
	Lat, Lon      float64
	Opens, Closes time.Duration // wall time since local midnight; Closes may pass 24 hours, not Opens + 24
	Screens       []Screen
	Rules         []pricing.Rule
	Refunds       pricing.RefundPolicy
}

// Screen is one auditorium.
type Screen struct {
	Key             string   // unique in the world: the theater's key and the screen's number
	Name            string   // as on the ticket
	Formats         []string // "2D" always, then "3D" and "IMAX"
	Layout          Layout
	Prices          map[SeatCategory]int64 // minor units of the theater's currency, for each category of the layout
	CleaningMinutes int                    // between the end of a film and the next audience
	TrailerMinutes  int                    // before each film
}

// Formats a screen can project.
const (
	Format2D   = "2D"
	Format3D   = "3D"
	FormatIMAX = "IMAX"
)

// World returns the theaters of the demo world: 12 in 10 cities of 8 countries, 40 screens. Every call returns the same
// values in slices and maps of the caller's own.
func World() []Theater {
	sites, rules := theaterTable(), priceRules()
	theaters := make([]Theater, len(sites))
	for i, site := range sites {
		theaters[i] = site.Theater
		theaters[i].Rules, theaters[i].Refunds = rules[site.Key], refundPolicy()
		theaters[i].Screens = make([]Screen, len(site.screens))
		for j, plan := range site.screens {
			theaters[i].Screens[j] = plan.screen(fmt.Sprintf("%s-%d", site.Key, j+1), site.tariff)
		}
	}
	return theaters
}

// site is a theater with the plans its screens are built from.
type site struct {
	Theater
	tariff  tariff
	screens []screenPlan
}

// tariff is a theater's price list in minor units. Wheelchair places and their companions' seats cost what a STANDARD
// seat does. The sandbox gateway reads the last two digits of an amount, so every price is a multiple of 50.
type tariff struct{ standard, premium, recliner, loveSeat int64 }

type screenPlan struct {
	name               string
	formats            []string
	supplement         int64 // on every seat, for the better screen
	standard           int64 // instead of the tariff's, where not 0
	trailers, cleaning int
	seats              seatPlan
}

func (p screenPlan) screen(key string, t tariff) Screen {
	prices := map[SeatCategory]int64{
		Standard:   t.standard + p.supplement,
		Premium:    t.premium + p.supplement,
		Recliner:   t.recliner + p.supplement,
		LoveSeat:   t.loveSeat + p.supplement,
		Wheelchair: t.standard + p.supplement,
		Companion:  t.standard + p.supplement,
	}
	if p.standard != 0 {
		prices[Standard] = p.standard
	}
	layout := p.seats.build()
	present := map[SeatCategory]bool{}
	for _, seat := range layout.Seats {
		present[seat.Category] = true
	}
	maps.DeleteFunc(prices, func(c SeatCategory, _ int64) bool { return !present[c] })
	return Screen{
		Key:             key,
		Name:            p.name,
		Formats:         p.formats,
		Layout:          layout,
		Prices:          prices,
		CleaningMinutes: p.cleaning,
		TrailerMinutes:  p.trailers,
	}
}
