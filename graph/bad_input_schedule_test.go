package graph_test

import (
	"maps"
	"strings"
	"time"

	"marquee/internal/apitest"
)

const (
	createShowtime = `mutation ($in: CreateShowtimeInput!) { createShowtime(input: $in) {
		__typename
		... on CreateShowtimePayload { showtime { id version startsAt endsAtLocal format prices { category price { formatted } } } }
		... on UserError { code message }
		... on ScreenOccupied { showtimes { id } }
	} }`
	updateShowtime = `mutation ($in: UpdateShowtimeInput!) { updateShowtime(input: $in) {
		__typename
		... on UpdateShowtimePayload { showtime { id version startsAtLocal format } }
		... on UserError { code message }
		... on ScreenOccupied { showtimes { id } }
		... on ShowtimeReserved { reservations fields }
	} }`
)

// plannedShow is a showtime that can be had, at a time of the theater's clock.
func plannedShow(movie string, local time.Time) vars {
	var prices []vars
	for category := range strings.FieldsSeq("STANDARD PREMIUM LOVE_SEAT WHEELCHAIR COMPANION") {
		prices = append(prices, vars{"category": category, "amountMinor": "1100"})
	}
	return vars{"movieId": movie, "startsAtLocal": local.Format("2006-01-02T15:04:05"), "format": "2D", "language": "en", "prices": prices}
}

// clockChange returns a time within an hour that the clocks of a zone skip next, or show twice.
func clockChange(zone *time.Location, forward bool) time.Time {
	at := time.Now().In(zone)
	for {
		_, change := at.ZoneBounds()
		_, before := change.Add(-1).In(zone).Zone()
		_, after := change.In(zone).Zone()
		if at = change.In(zone); after > before == forward {
			return change.Add(time.Duration(before)*time.Second - time.Duration(map[bool]int{true: -30, false: 30}[forward])*time.Minute).UTC()
		}
	}
}

func (w *badWorld) schedule() []badInput {
	movie, untimed, screen := w.World.Movies[0].ID(), w.World.Movies[1].ID(), w.World.Theaters[0].Screens[0].ID()
	zone, err := time.LoadLocation(w.World.Theaters[0].Zone)
	if err != nil {
		panic(err)
	}
	soon := time.Now().AddDate(0, 4, 0)
	planned := func(movie string, local time.Time, with vars) vars {
		show := plannedShow(movie, local)
		maps.Copy(show, with)
		return show
	}
	create := func(name, screen string, show vars) badInput {
		return badInput{name: name, who: w.admin, query: strings.Replace(createShowtime, "showtimes { id }", "showtimes { format }", 1), vars: vars{"in": vars{"screenId": screen, "showtime": show}}}
	}
	by := func(b badInput, name string, who apitest.Client) badInput {
		b.name, b.who = name, who
		return b
	}
	update := func(name, showtime string, version int, show vars) badInput {
		return badInput{name: name, who: w.admin, query: updateShowtime, vars: vars{"in": vars{"showtimeId": showtime, "version": version, "showtime": show}}}
	}
	good := planned(movie, soon, nil)
	taken := w.show.Starts.In(zone).Add(time.Minute)
	return []badInput{
		by(create("", screen, good), "by a customer", w.customer),
		by(create("", screen, good), "by a manager elsewhere", w.manager),
		by(update("", w.show.ID(), 1, good), "changed by a manager elsewhere", w.manager),
		create("an unknown screen", "scr_"+nothing, good),
		create("a malformed screen", "junk", good),
		create("an unknown movie", screen, planned("mov_"+nothing, soon, nil)),
		create("a movie without run time", screen, planned(untimed, soon, nil)),
		create("a skipped time", screen, planned(movie, clockChange(zone, true), nil)),
		create("a time shown twice", screen, planned(movie, clockChange(zone, false), nil)),
		create("yesterday", screen, planned(movie, time.Now().AddDate(0, 0, -1), nil)),
		create("the year 9999", screen, planned(movie, soon, vars{"startsAtLocal": "9999-12-31T23:59:00"})),
		create("no time", screen, planned(movie, soon, vars{"startsAtLocal": "tonight"})),
		create("a negative price", screen, planned(movie, soon, vars{"prices": []vars{{"category": "STANDARD", "amountMinor": "-1"}}})),
		create("categories without a price", screen, planned(movie, soon, vars{"prices": []vars{{"category": "STANDARD", "amountMinor": "900"}}})),
		create("a category twice", screen, planned(movie, soon, vars{"prices": []vars{{"category": "STANDARD", "amountMinor": "900"}, {"category": "STANDARD", "amountMinor": "800"}}})),
		create("an unknown category", screen, planned(movie, soon, vars{"prices": []vars{{"category": "THRONE", "amountMinor": "900"}}})),
		create("a category that the screen has not", screen, planned(movie, soon, vars{"prices": append(plannedShow(movie, soon)["prices"].([]vars), vars{"category": "RECLINER", "amountMinor": "900"})})),
		create("no language", screen, planned(movie, soon, vars{"language": "Klingon?"})),
		create("no seats", screen, planned(movie, soon, vars{"maxSeatsPerCustomer": 0})),
		create("sales after the film", screen, planned(movie, soon, vars{"salesCloseMinutesAfterStart": 1440})),
		create("sales that begin after they end", screen, planned(movie, soon, vars{"salesOpenAt": "9999-12-31T23:59:00Z"})),
		create("a screen that is not free", screen, planned(movie, taken, nil)),
		update("an unknown showtime", "sho_"+nothing, 1, good),
		update("a malformed showtime", "junk", 1, good),
		update("a stale version", w.show.ID(), 7, good),
		update("a showtime that was called off", w.calledOff.ID(), 1, good),
		update("a showtime that has begun", w.started.ID(), 1, good),
		update("a showtime that is reserved", w.show.ID(), 1, good),
	}
}
