package graph_test

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/internal/apitest"
	"marquee/internal/config"
	"marquee/internal/typeid"
)

// unwritten are the texts of mutations that nobody writes for others to read: codes, tokens, passwords, addresses, and what has
// a form of its own or must be one of a list.
var unwritten = []string{
	"token", "pendingToken", "flowToken", "refreshToken", "credential", "code", "recoveryCode", "state", "iss",
	"password", "currentPassword", "newPassword", "provider", "redirectUri", "email", "customerEmail", "phone", "locale", "promoCodes", "from", "to", "currency", "gateways",
	"language", "subtitles",
}

const cardNumber = "4111 1111 1111 1111"

// P14 and PM12: the number of a card, and what turns the direction of reading, are refused by name wherever people write what is
// kept, in every field of the contract. Afterwards it, and anything else that can be the number of a card, is in no answer, no line of the log, no
// row of any table and no metric.
func TestP14_PM12_words(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) { c.LogLevel = slog.LevelDebug }))
	w := newBadWorld(t, a)
	var answers strings.Builder
	theater, factor := w.World.Theaters[0].ID(), typeid.Encode(typeid.Factor, typeid.New())
	grant := vars{"userId": w.customer.User.NodeID(), "role": "SUPPORT"}
	rule := vars{"kind": "FEE", "amountMinor": "100", "label": "Booking fee", "active": true}
	promotion := quarterOff("WORDS2026")
	cash := vars{"method": "CASH", "amountMinor": "950"}
	type place struct {
		who      apitest.Client
		mutation string
		input    vars
		within   string // the field of the input that holds the text, "" for the input itself
	}
	at := func(who apitest.Client, mutation string, input vars) place {
		return place{who: who, mutation: mutation, input: input}
	}
	places := map[string]place{
		"GrantRoleInput.reason":            at(w.admin, "grantRole", grant),
		"RevokeRoleInput.reason":           at(w.admin, "revokeRole", grant),
		"DisableUserInput.reason":          at(w.admin, "disableUser", vars{"userId": w.customer.User.NodeID()}),
		"EnableUserInput.reason":           at(w.admin, "enableUser", vars{"userId": w.customer.User.NodeID()}),
		"EraseUserInput.reason":            at(w.admin, "eraseUser", vars{"userId": w.customer.User.NodeID()}),
		"RefundReservationInput.reason":    at(w.admin, "refundReservation", vars{"reservationId": w.paid, "cause": "GOODWILL", "idempotencyKey": "words-00001"}),
		"AdjustStoreCreditInput.reason":    at(w.admin, "adjustStoreCredit", vars{"userId": w.customer.User.NodeID(), "theaterId": theater, "amountMinor": "1", "idempotencyKey": "words-00002"}),
		"RetryRefundInput.reason":          at(w.admin, "retryRefund", vars{"refundId": "ref_" + nothing + nothing}),
		"ReconcilePaymentsInput.gateway":   at(w.admin, "reconcilePayments", vars{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
		"ResolveMismatchInput.note":        at(w.admin, "resolveMismatch", vars{"mismatchId": typeid.Encode(typeid.Mismatch, typeid.New())}),
		"ConfirmSignUpInput.name":          at(w.anonymous, "confirmSignUp", vars{"token": w.link, "password": apitest.Password}),
		"ConfirmSignUpInput.username":      at(w.anonymous, "confirmSignUp", vars{"token": w.link, "password": apitest.Password, "name": "Nora"}),
		"UpdateProfileInput.name":          at(w.customer, "updateProfile", vars{}),
		"UpdateProfileInput.username":      at(w.customer, "updateProfile", vars{}),
		"UpdateProfileInput.preferredCity": at(w.customer, "updateProfile", vars{}),
		"ConfirmTotpInput.name":            at(w.customer, "confirmTotp", vars{"code": "123456"}),
		"ConfirmPasskeyInput.name":         at(w.customer, "confirmPasskey", vars{"passkey": vars{"token": "mqk_x", "credential": "{}"}}),
		"RenameFactorInput.name":           at(w.customer, "renameFactor", vars{"factorId": factor}),
		"PriceRuleInput.label":             {w.admin, "createPriceRule", vars{"theaterId": theater, "rule": rule}, "rule"},
		"PriceRuleInput.format": {w.admin, "createPriceRule", vars{"theaterId": theater, "rule": vars{
			"kind": "FORMAT", "amountMinor": "100", "label": "Better picture", "active": true,
		}}, "rule"},
		"ShowtimeInput.format":     {w.admin, "createShowtime", vars{"screenId": w.show.Screen.ID(), "showtime": plannedShow(w.show.Movie.ID(), time.Now())}, "showtime"},
		"PromotionInput.promoCode": {w.admin, "createPromotion", vars{"theaterId": theater, "promotion": promotion}, "promotion"},
		"PromotionInput.label":     {w.admin, "createPromotion", vars{"theaterId": theater, "promotion": promotion}, "promotion"},
		"WriteReviewInput.text":    at(w.customer, "writeReview", vars{"movieId": w.World.Movies[0].ID(), "rating": 7}),
		"EditReviewInput.text":     at(w.customer, "editReview", vars{"reviewId": typeid.Encode(typeid.Review, typeid.New()), "rating": 7}),
		"CounterTenderInput.terminalReference": {w.admin, "payAtCounter", vars{
			"reservationId": w.held, "idempotencyKey": "words-00002",
			"tender": vars{"method": "CARD", "amountMinor": "950"},
		}, "tender"},
		"PayReservationInput.paymentToken":        at(w.customer, "payReservation", vars{"reservationId": w.held, "idempotencyKey": "words-00004"}),
		"PayReservationInput.returnUrl":           at(w.customer, "payReservation", vars{"reservationId": w.held, "idempotencyKey": "words-00004"}),
		"PayReservationInput.gateway":             at(w.customer, "payReservation", vars{"reservationId": w.held, "idempotencyKey": "words-00004"}),
		"PayOutAtCounterInput.terminalReference":  at(w.admin, "payOutAtCounter", vars{"reservationId": w.paid, "method": "CARD", "idempotencyKey": "words-00003"}),
		"ReserveSeatsInput.idempotencyKey":        at(w.customer, "reserveSeats", vars{"showtimeId": w.show.ID(), "seatIds": w.show.Screen.SeatIDs(20)}),
		"PayReservationInput.idempotencyKey":      at(w.customer, "payReservation", vars{"reservationId": w.held}),
		"AcceptOfferedSeatsInput.idempotencyKey":  at(w.customer, "acceptOfferedSeats", vars{"reservationId": w.held}),
		"DeclineOfferedSeatsInput.idempotencyKey": at(w.customer, "declineOfferedSeats", vars{"reservationId": w.held}),
		"ChangeSeatsInput.idempotencyKey":         at(w.customer, "changeSeats", vars{"reservationId": w.held, "seatIds": w.show.Screen.SeatIDs(20)}),
		"SwapSeatsInput.idempotencyKey":           at(w.customer, "swapSeats", vars{"reservationId": w.paid, "showtimeId": w.elsewhere.ID(), "seatIds": w.elsewhere.Screen.SeatIDs(20)}),
		"RefundReservationInput.idempotencyKey":   at(w.admin, "refundReservation", vars{"reservationId": w.paid, "cause": "GOODWILL", "reason": "Sorry"}),
		"SellAtCounterInput.idempotencyKey":       at(w.admin, "sellAtCounter", vars{"showtimeId": w.show.ID(), "seatIds": w.show.Screen.SeatIDs(20), "tender": cash}),
		"PayAtCounterInput.idempotencyKey":        at(w.admin, "payAtCounter", vars{"reservationId": w.held, "tender": cash}),
		"AdjustStoreCreditInput.idempotencyKey":   at(w.admin, "adjustStoreCredit", vars{"userId": w.customer.User.NodeID(), "theaterId": theater, "amountMinor": "1", "reason": "To see."}),
		"PayOutAtCounterInput.idempotencyKey":     at(w.admin, "payOutAtCounter", vars{"reservationId": w.paid, "method": "CASH"}),
	}
	for _, field := range textsOf(schemaFrom(t, "../schema")) {
		p, known := places[field]
		if !known {
			t.Errorf("%s is written by people, and nobody tries what", field)
			continue
		}
		t.Run(field, func(t *testing.T) {
			_, name, _ := strings.Cut(field, ".")
			query := `mutation ($in: ` + strings.ToUpper(p.mutation[:1]) + p.mutation[1:] + `Input!) { ` + p.mutation + `(input: $in) { __typename } }`
			path, holder := "input."+name, p.input
			if p.within != "" {
				path, holder = "input."+p.within+"."+name, p.input[p.within].(vars)
			}
			for what, text := range map[string]string{"card": cardNumber, "hidden": "a\u202egnihton\u202c"} {
				if name == "promoCode" || name == "username" {
					text = strings.ReplaceAll("b"+text, " ", map[string]string{"promoCode": "", "username": "."}[name])
				}
				before, had := holder[name]
				holder[name] = text
				refused := p.who.With(t).Refused(query, vars{"in": p.input})
				fmt.Fprintf(&answers, "%v\n", refused)
				if delete(holder, name); had {
					holder[name] = before
				}
				problem := refused.Problems[0]
				if problem.Code != "BAD_USER_INPUT" || len(problem.Fields) != 1 || problem.Fields[0].Path != path {
					t.Errorf("%s: %v", what, refused)
				}
				if what == "card" && !strings.Contains(problem.Fields[0].Message, "payment card") {
					t.Errorf("%s: %v", what, refused)
				}
			}
		})
	}
	runs := regexp.MustCompile(`\b[3-6]\d{12,18}\b`)
	for name, sink := range map[string]string{"answers": answers.String(), "log": a.Logged(), "tables": a.DumpAll(), "metrics": string(a.Visit("/metrics").Body)} {
		for _, digits := range runs.FindAllString(sink, -1) {
			if passesLuhn(digits) {
				t.Errorf("what can be the number of a card is found in the %s: %s", name, digits)
			}
		}
		if sink == "" {
			t.Errorf("nothing came to the %s: nothing was proved", name)
		}
		sink += unhexed(sink)
		for _, form := range slices.Concat(formsOf(cardNumber), formsOf(strings.ReplaceAll(cardNumber, " ", "")), formsOf(strings.ReplaceAll(cardNumber, " ", "."))) {
			if at := strings.Index(sink, form); at >= 0 {
				t.Errorf("the number is found in the %s: …%q…", name, around(sink, at))
			}
		}
	}
}

// passesLuhn reports whether the last of the digits is the check digit of the others, as it is of cards.
func passesLuhn(digits string) bool {
	sum := 0
	for i := range digits {
		digit := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
	}
	return sum%10 == 0
}

// TestP14_contract: there is no place for the number or the security code of a card, nor for when it expires, in what clients send and read.
func TestP14_contract(t *testing.T) {
	t.Parallel()
	card := regexp.MustCompile(`(?i)^(pan|cc|card(holder)?_?(no|number|code|name|expiry)?|cvv2?|cvc2?|csc|security_?code|exp(iry|iration)?_?(month|year|date))$`)
	for _, definition := range contract(schemaFrom(t, "../schema")) {
		for _, field := range fieldsOf(definition) {
			if card.MatchString(field.Name) {
				t.Errorf("%s.%s is a place for what is on a card", definition.Name, field.Name)
			}
			for _, argument := range field.Arguments {
				if card.MatchString(argument.Name) {
					t.Errorf("%s.%s(%s) is a place for what is on a card", definition.Name, field.Name, argument.Name)
				}
			}
		}
	}
}

// textsOf returns the texts that mutations take, by the input that has them.
func textsOf(schema *ast.Schema) []string {
	var found []string
	seen := map[string]bool{}
	var visit func(of *ast.Type)
	visit = func(of *ast.Type) {
		definition := schema.Types[of.Name()]
		if definition.Kind != ast.InputObject || seen[definition.Name] {
			return
		}
		seen[definition.Name] = true
		for _, field := range definition.Fields {
			if field.Type.Name() == "String" && !slices.Contains(unwritten, field.Name) {
				found = append(found, definition.Name+"."+field.Name)
			}
			visit(field.Type)
		}
	}
	for _, mutation := range fieldsOf(schema.Mutation) {
		for _, argument := range mutation.Arguments {
			visit(argument.Type)
		}
	}
	return found
}
