package main

import (
	_ "embed"
	"strings"

	"marquee/internal/booking"
	"marquee/internal/payment"
)

//go:embed payments.md.tmpl
var paymentsStory string

// paymentsOf returns the walk-through with its diagrams.
func paymentsOf() []byte {
	return []byte(strings.NewReplacer("{{attempts}}", attemptDiagram(), "{{reservations}}", reservationDiagram()).Replace(paymentsStory))
}

// attemptDiagram draws every step that an attempt may take.
func attemptDiagram() string {
	var d strings.Builder
	d.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> STARTED\n")
	for _, from := range payment.AttemptStatuses() {
		for _, to := range payment.AttemptStatuses() {
			if from.CanBecome(to) {
				d.WriteString("    " + string(from) + " --> " + string(to) + "\n")
			}
		}
		if from.Settled() && from != payment.AttemptCarried {
			d.WriteString("    " + string(from) + " --> [*]\n")
		}
	}
	return d.String() + "```"
}

// reservationDiagram draws the life of a reservation.
func reservationDiagram() string {
	var d strings.Builder
	d.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> HELD\n")
	for _, from := range booking.Statuses() {
		for _, event := range booking.Events() {
			if to, ok := from.After(event); ok {
				d.WriteString("    " + string(from) + " --> " + string(to) + ": " + string(event) + "\n")
			}
		}
	}
	return d.String() + "```"
}
