// Package promotion owns the codes that make tickets of a theater cheaper: who may use them when, for what, how often, and
// what they have cost so far.
//
// A promotion is one more step of a price, after those of the theater and before fees; package pricing makes the lines. It
// is used by a hold in the transaction that claims the seats, and goes back when the reservation ends, whichever way: that
// is part of the SQL function end_reservation.
//
// Invariants:
//   - uses and their sum never pass the budget, nor the number for each customer, however many ask at once;
//   - a reservation uses a code once, and gives it back once;
//   - several codes are used together only where each of them allows it.
package promotion

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/pricing"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// Promotion is a code of a theater. The JSON form is that of its row.
type Promotion struct {
	ID          uuid.UUID `json:"id"`
	TheaterID   uuid.UUID `json:"theater_id"`
	Code        string    `json:"code"`
	Label       string    `json:"label"`        // the words on its line
	BasisPoints int32     `json:"basis_points"` // below zero, of the price of each ticket; 0: an amount
	AmountMinor int64     `json:"amount_minor"` // below zero, of each ticket
	StartsAt    time.Time `json:"starts_at"`
	EndsAt      time.Time `json:"ends_at"`
	MaxUses     *int32    `json:"max_uses"`
	MaxMinor    *int64    `json:"max_minor"` // of all that it takes off
	PerUser     *int32    `json:"per_user"`
	Combinable  bool      `json:"combinable"`
	Scope       Scope     `json:"scope"`
	Active      bool      `json:"active"`
	Version     int32     `json:"version"`    // counts its changes, uses left out
	UsedCount   int32     `json:"used_count"` // by reservations that have not ended
	UsedMinor   int64     `json:"used_minor"`
}

// Scope is what a promotion is for; an empty list restricts nothing.
type Scope struct {
	Categories  []string             `json:"categories,omitempty"`
	TicketTypes []pricing.TicketType `json:"ticketTypes,omitempty"`
	MovieIDs    []uuid.UUID          `json:"movieIds,omitempty"`
}

// NodeID returns the promotion's public id.
func (p Promotion) NodeID() string { return typeid.Encode(typeid.Promotion, p.ID) }

// Rule is the step of a price that the promotion is.
func (p Promotion) Rule() pricing.Rule {
	return pricing.Rule{
		Kind: pricing.Promotion, Label: p.Label, Code: p.Code, BasisPoints: p.BasisPoints, AmountMinor: p.AmountMinor,
		Categories: p.Scope.Categories, TicketTypes: p.Scope.TicketTypes,
	}
}

// Reason is why a code is not used.
type Reason string

// The reasons.
const (
	Unknown       Reason = "UNKNOWN"
	NotYet        Reason = "NOT_YET"
	Ended         Reason = "ENDED"
	UsedUp        Reason = "USED_UP"
	TooLittleLeft Reason = "TOO_LITTLE_LEFT"
	NotForThis    Reason = "NOT_FOR_THIS"
	LimitReached  Reason = "LIMIT_REACHED"
	NotCombinable Reason = "NOT_COMBINABLE"
)

// MaxCodes is how many codes one reservation can use.
const MaxCodes = 3

// Clean returns codes as they are compared: capital letters without blanks around, each once.
func Clean(codes []string) []string {
	var clean []string
	seen := map[string]bool{}
	for _, code := range codes {
		code = strings.ToUpper(strings.TrimSpace(code))
		if !seen[code] {
			clean = append(clean, code)
		}
		seen[code] = true
	}
	return clean
}

// impossible reports whether no promotion can have a code.
func impossible(code string) bool {
	return len(code) < shortest || len(code) > longest || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != ""
}

// Check records what keeps codes from being asked about.
func Check(bad *apperr.Fields, path string, codes []string) {
	if len(codes) > MaxCodes {
		bad.Add(path, "Give at most %d codes.", MaxCodes)
	}
	for _, code := range codes {
		if len(code) > 64 {
			bad.Add(path, "A code has at most 32 letters and digits.")
			break
		}
	}
}

// Input is a promotion as it shall be.
type Input struct {
	Code, Label      string
	BasisPoints      int32
	AmountMinor      int64
	StartsAt, EndsAt time.Time
	MaxUses          *int32
	MaxMinor         *int64
	PerUser          *int32
	Combinable       bool
	Scope            Scope
	Active           bool
}

const (
	shortest, longest = 6, 32
	mostOff           = 1_000_000_000
	longestLabel      = 60
	// maxMovies bounds what every use looks at.
	maxMovies = 100
)

func (in *Input) validate() error {
	in.Code, in.Label = strings.ToUpper(strings.TrimSpace(in.Code)), words.Clean(in.Label)
	in.StartsAt, in.EndsAt = in.StartsAt.UTC(), in.EndsAt.UTC()
	var bad apperr.Fields
	if impossible(in.Code) {
		bad.Add("input.promotion.promoCode", "Give a code of %d to %d letters and digits.", shortest, longest)
	}
	words.CheckCardNumber(&bad, "input.promotion.promoCode", in.Code)
	words.Check(&bad, "input.promotion.label", in.Label, longestLabel, "Give 1 to %d printable characters.")
	switch {
	case (in.BasisPoints == 0) == (in.AmountMinor == 0):
		bad.Add("input.promotion.percentOffBasisPoints", "Say a percentage or an amount: one of them, and not nothing.")
	case in.BasisPoints > 0 || in.BasisPoints < -10_000:
		bad.Add("input.promotion.percentOffBasisPoints", "Give 1 to 10000 hundredths of a percent.")
	case in.AmountMinor > 0 || in.AmountMinor < -mostOff:
		bad.Add("input.promotion.amountOffMinor", "Give 1 to %d minor units.", mostOff)
	}
	const firstYear, lastYear = 2000, 9999
	switch {
	case in.StartsAt.Year() < firstYear || in.StartsAt.Year() > lastYear:
		bad.Add("input.promotion.startsAt", "A promotion begins in the years from %d to %d.", firstYear, lastYear)
	case in.EndsAt.Year() > lastYear:
		bad.Add("input.promotion.endsAt", "A promotion ends in the year %d at the latest.", lastYear)
	case !in.StartsAt.Before(in.EndsAt):
		bad.Add("input.promotion.endsAt", "A promotion ends after it begins.")
	}
	if in.MaxUses != nil && *in.MaxUses < 1 {
		bad.Add("input.promotion.maxUses", "Give at least 1, or nothing for as many as come.")
	}
	if in.MaxMinor != nil && *in.MaxMinor < 1 {
		bad.Add("input.promotion.maxTotalMinor", "Give at least 1, or nothing for as much as comes.")
	}
	if in.PerUser != nil && *in.PerUser < 1 {
		bad.Add("input.promotion.maxUsesPerCustomer", "Give at least 1, or nothing for as many as come.")
	}
	if len(in.Scope.MovieIDs) > maxMovies {
		bad.Add("input.promotion.movieIds", "Name at most %d movies.", maxMovies)
	}
	return bad.Err()
}

// applied returns p as in wants it.
func (in *Input) applied(p Promotion) Promotion {
	p.Code, p.Label, p.BasisPoints, p.AmountMinor, p.StartsAt, p.EndsAt = in.Code, in.Label, in.BasisPoints, in.AmountMinor, in.StartsAt, in.EndsAt
	p.MaxUses, p.MaxMinor, p.PerUser, p.Combinable, p.Scope, p.Active = in.MaxUses, in.MaxMinor, in.PerUser, in.Combinable, in.Scope, in.Active
	return p
}

func read(row []byte) (p Promotion, err error) {
	err = json.Unmarshal(row, &p)
	p.StartsAt, p.EndsAt = p.StartsAt.UTC(), p.EndsAt.UTC()
	return p, err
}
