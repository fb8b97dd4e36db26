package demo

import (
	"time"

	"marquee/internal/pricing"
)

// priceRules are the rules of those theaters that have some, by key, in English as the other lines of a price are. The sandbox gateway reads the last two digits of an
// amount, so all that changes a total is a multiple of 50.
func priceRules() map[string][]pricing.Rule {
	weekend := pricing.DaysOf(time.Friday, time.Saturday, time.Sunday)
	return map[string][]pricing.Rule{
		"berlin-spreebogen": {
			{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, AmountMinor: -400},
			{Kind: pricing.ByType, Label: "Student", TicketType: pricing.Student, AmountMinor: -200},
			{Kind: pricing.ByType, Label: "65 and over", TicketType: pricing.Senior, AmountMinor: -150},
			{Kind: pricing.ByFormat, Label: "3D surcharge", Format: Format3D, AmountMinor: 250},
			{Kind: pricing.ByTime, Label: "Weekend evening", Weekdays: weekend, From: 18 * 60, To: 2 * 60, AmountMinor: 100},
			{Kind: pricing.Tax, Label: "VAT 7%", BasisPoints: 700, Included: true},
		},
		"tokyo-hoshinoza": {
			{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, AmountMinor: -900},
			{Kind: pricing.ByType, Label: "Student", TicketType: pricing.Student, AmountMinor: -400},
			{Kind: pricing.ByType, Label: "60 and over", TicketType: pricing.Senior, AmountMinor: -600},
			{Kind: pricing.ByFormat, Label: "3D glasses", Format: Format3D, AmountMinor: 400},
			{Kind: pricing.ByTime, Label: "Late show", Weekdays: pricing.DaysOf(time.Sunday, time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday), From: 20 * 60, To: 4 * 60, AmountMinor: -400},
			{Kind: pricing.Fee, Label: "Booking fee", AmountMinor: 100, PerReservation: true},
			{Kind: pricing.Tax, Label: "Consumption tax 10%", BasisPoints: 1000, Included: true},
		},
		"kuwait-nakheel": {
			{Kind: pricing.ByType, Label: "Child", TicketType: pricing.Child, AmountMinor: -1000},
			{Kind: pricing.ByTime, Label: "Weekend evening", Weekdays: pricing.DaysOf(time.Thursday, time.Friday), From: 18 * 60, To: 3 * 60, AmountMinor: 500},
			{Kind: pricing.Fee, Label: "Booking fee", AmountMinor: 100},
		},
	}
}

// refundPolicy is that of every theater: all comes back until an hour before the start and half of it until the start, and
// seats are swapped for nothing until two hours before.
func refundPolicy() pricing.RefundPolicy {
	return pricing.RefundPolicy{
		Steps:        []pricing.RefundStep{{Minutes: 60, BasisPoints: 10000}, {Minutes: 0, BasisPoints: 5000}},
		FeesReturned: true,
		Swap:         &pricing.SwapTerms{Minutes: 120},
	}
}
