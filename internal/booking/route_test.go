package booking_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

// branch is a house with two gateways.
type branch struct {
	*house
	second  *gatewaytest.Fake
	service *booking.Service
}

func newBranch(t *testing.T) *branch {
	t.Helper()
	h := newHouse(t, fixture.Plan{Seats: 100})
	b := &branch{house: h, second: gatewaytest.NewFakeNamed("second")}
	b.restart()
	return b
}

// restart replaces the process by one that holds nothing against a gateway.
func (b *branch) restart() {
	b.service = b.processOf(payment.NewGateways([]payment.Gateway{b.gateway, b.second}))
}

// agree demands that the books of both gateways, and every rule of the house, agree with what is known here.
func (b *branch) agree(t *testing.T) {
	t.Helper()
	books := b.gateway.Charges()
	maps.Copy(books, b.second.Charges())
	ctx := context.WithoutCancel(t.Context())
	breaches, err := audit(ctx, b.DB.SQL(), slices.Concat(always, atRest))
	differences, booksErr := compareBooks(ctx, b.DB.SQL(), books)
	if err := errors.Join(err, booksErr); err != nil || len(breaches)+len(differences) > 0 {
		t.Errorf("%q %q, %v", breaches, differences, err)
	}
}

// settle lets the reconciler work as long as there is something to do.
func (b *branch) settle(t *testing.T) {
	t.Helper()
	b.endLeases(t)
	if _, err := b.service.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantGateways demands the gateways of the attempts for a reservation, in order.
func (b *branch) wantGateways(t *testing.T, r booking.Reservation, want string) {
	t.Helper()
	got := fixture.Get[string](t, b.DB, `SELECT string_agg(a.gateway || ' ' || a.status, ', ' ORDER BY a.number) FROM payment_attempts a
		JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id WHERE p.showtime_id = $1 AND p.reservation_id = $2`, r.ShowtimeID, r.ID)
	if got != want {
		t.Errorf("attempts %q, want %q", got, want)
	}
}

// TestService_Pay_siblings: what one gateway never heard of goes to the other under the same key; what it may have heard of never does.
func TestService_Pay_siblings(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	viewer := newViewer()
	for name, test := range map[string]struct {
		first, second gatewaytest.Fault
		change        func(*booking.PayInput)
		result        any
		want          string
	}{
		"the_first_is_not_reached": {unreached, nil, nil, booking.Paid{}, "fake DECLINED, second CAPTURED"},
		"neither_is_reached":       {unreached, unreached, nil, booking.Declined{}, "fake DECLINED, second DECLINED"},
		"the_second_declines":      {unreached, b.second.Declines("lost_card"), nil, booking.Declined{}, "fake DECLINED, second DECLINED"},
		"the_first_declines":       {b.gateway.Declines("lost_card"), nil, nil, booking.Declined{}, "fake DECLINED"},
		"the_customer_has_chosen": {
			unreached, nil, func(in *booking.PayInput) { in.Gateway = "fake" }, booking.Declined{}, "fake DECLINED",
		},
		"the_customer_chooses_the_second": {nil, nil, func(in *booking.PayInput) { in.Gateway = "second" }, booking.Paid{}, "second CAPTURED"},
		"a_token_is_of_one_gateway": {
			unreached, nil, func(in *booking.PayInput) { in.Token = "tok_1" }, booking.Declined{}, "fake DECLINED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b.restart()
			r := b.hold(t, viewer, b.fresh(1)...)
			in := payInput(r)
			if test.change != nil {
				test.change(&in)
			}
			if test.first != nil {
				b.gateway.Next(gatewaytest.Authorize, test.first)
			}
			if test.second != nil {
				b.second.Next(gatewaytest.Authorize, test.second)
			}
			for range 2 { // the second is a repetition
				result, err := b.service.Pay(t.Context(), viewer, in)
				if err != nil || reflect.TypeOf(result) != reflect.TypeOf(test.result) {
					t.Fatalf("answered %#v, %v", result, err)
				}
				b.wantGateways(t, r, test.want)
			}
			b.agree(t)
		})
	}
	t.Run("the_answer_is_lost", func(t *testing.T) {
		b.restart()
		r := b.hold(t, viewer, b.fresh(1)...)
		b.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost)
		b.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
		result, err := b.service.Pay(t.Context(), viewer, payInput(r))
		is[booking.Pending](t, result, err)
		b.wantGateways(t, r, "fake STARTED")
		b.settle(t)
		b.wantGateways(t, r, "fake CAPTURED")
		b.agree(t)
	})
	t.Run("the_hold_runs_out_between", func(t *testing.T) {
		b.restart()
		r := b.hold(t, viewer, b.fresh(1)...)
		b.gateway.Next(gatewaytest.Authorize, func(ctx context.Context, key string, effect gatewaytest.Effect) (gatewaytest.Answer, error) {
			b.Expire(t, b.Show(), r.ID)
			return unreached(ctx, key, effect)
		})
		result, err := b.service.Pay(t.Context(), viewer, payInput(r))
		is[booking.Declined](t, result, err)
		b.wantGateways(t, r, "fake DECLINED")
	})
}

// TestService_Pay_unhealthy: a gateway whose calls fail is passed over, and named no more.
func TestService_Pay_unhealthy(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	viewer := newViewer()
	for range 5 {
		b.gateway.Next(gatewaytest.Authorize, unreached)
		result, err := b.service.Pay(t.Context(), viewer, payInput(b.hold(t, viewer, b.fresh(1)...)))
		is[booking.Paid](t, result, err)
	}
	asked := b.gateway.Count(gatewaytest.Authorize)
	other := newViewer()
	mine := b.hold(t, other, b.fresh(1)...)
	if got := b.methods(t, other, mine); got != "second COUNTER_CASH COUNTER_CARD" {
		t.Errorf("methods %s", got)
	}
	result, err := b.service.Pay(t.Context(), other, payInput(mine))
	is[booking.Paid](t, result, err)
	b.wantGateways(t, mine, "second CAPTURED")
	if n := b.gateway.Count(gatewaytest.Authorize); n != asked {
		t.Errorf("an unhealthy gateway was asked %d times", n-asked)
	}
	b.agree(t)
}

// methods names the ways in which a reservation can be paid.
func (b *branch) methods(t *testing.T, viewer auth.Viewer, r booking.Reservation) (names string) {
	t.Helper()
	options, err := b.service.PaymentOptions(t.Context(), viewer, r.ShowtimeID, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, option := range options {
		if i > 0 {
			names += " "
		}
		if option.Gateway != nil {
			names += *option.Gateway
		} else {
			names += string(option.Method)
		}
	}
	return names
}

// TestService_Pay_elsewhere: who chooses another gateway pays once, whatever the first comes to.
func TestService_Pay_elsewhere(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	for name, test := range map[string]struct {
		faults    func()
		meanwhile func(key string)
		want      string
	}{
		"the_customer_was_at_the_bank": {
			func() {
				b.gateway.Next(gatewaytest.Authorize, b.gateway.RequiresAction(payment.Redirect{URL: "https://bank.example"}))
			}, func(string) {}, "fake VOIDED, second CAPTURED",
		},
		"it_ends_well_at_the_bank_too": {
			func() {
				b.gateway.Next(gatewaytest.Authorize, b.gateway.RequiresAction(payment.Redirect{URL: "https://bank.example"}))
			}, func(key string) { b.gateway.Resolve(key, true) }, "fake VOIDED, second CAPTURED",
		},
		"the_answer_was_lost": {
			func() {
				b.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost)
				b.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
			}, func(string) {}, "fake VOIDED, second CAPTURED",
		},
		"it_never_arrived": {
			func() {
				b.gateway.Next(gatewaytest.Authorize, gatewaytest.NeverArrives)
				b.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
			}, func(string) {}, "fake VOIDED, second CAPTURED",
		},
		"the_first_takes_the_money_by_itself": {
			func() {
				b.gateway.Next(gatewaytest.Authorize, gatewaytest.AnswerLost)
				b.gateway.Next(gatewaytest.Lookup, gatewaytest.NeverArrives)
				b.gateway.Next(gatewaytest.Void, b.gateway.Takes)
			}, func(string) {}, "fake REFUNDED, second CAPTURED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b.restart()
			viewer := newViewer()
			r := b.hold(t, viewer, b.fresh(1)...)
			test.faults()
			first := payInput(r)
			result, err := b.service.Pay(t.Context(), viewer, first)
			is[booking.Pending](t, result, err)
			key := fixture.Get[string](t, b.DB, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1`, r.ID)
			// Without a choice, and of others, nothing is given up.
			result, err = b.service.Pay(t.Context(), viewer, payInput(r))
			is[booking.Pending](t, result, err)
			again := payInput(r)
			again.Gateway = "second"
			if _, err := b.service.Pay(t.Context(), newViewer(), again); apperr.CodeOf(err) != apperr.NotFound {
				t.Errorf("a stranger is told %v", err)
			}
			b.wantGateways(t, r, "fake STARTED")
			test.meanwhile(key)
			result, err = b.service.Pay(t.Context(), viewer, again)
			is[booking.Paid](t, result, err)
			result, err = b.service.Pay(t.Context(), viewer, first)
			if code := is[booking.Declined](t, result, err).Code; code != payment.DeclineLeft {
				t.Errorf("the first was declined as %q", code)
			}
			b.settle(t)
			b.settle(t)
			b.wantGateways(t, r, test.want)
			b.agree(t)
		})
	}
}

// TestService_SetTheaterGateways leads a theater through its choices.
func TestService_SetTheaterGateways(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	b.second = gatewaytest.NewFakeNamed("second")
	yen := onlyIn{gatewaytest.NewFakeNamed("yen"), "JPY"}
	b.service = b.processOf(payment.NewGateways([]payment.Gateway{b.gateway, b.second, yen}))
	manager := auth.Viewer{
		UserID: newViewer().UserID, Strong: true, ProvedAt: time.Now(),
		Grants: auth.NewGrants(auth.Grant{Role: auth.RoleTheaterManager, Theater: b.TheaterID}),
	}
	viewer := newViewer()
	r := b.hold(t, viewer, b.fresh(1)...)
	for _, step := range []struct {
		choice []string
		want   string
	}{
		{nil, "fake second COUNTER_CASH COUNTER_CARD"},
		{[]string{"second", "fake"}, "second fake COUNTER_CASH COUNTER_CARD"},
		{[]string{"second"}, "second COUNTER_CASH COUNTER_CARD"},
		{[]string{}, "fake second COUNTER_CASH COUNTER_CARD"},
		{[]string{"second"}, "second COUNTER_CASH COUNTER_CARD"},
	} {
		if step.choice != nil {
			if _, err := b.service.SetTheaterGateways(t.Context(), manager, b.TheaterID, "NZD", step.choice); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.methods(t, viewer, r); got != step.want {
			t.Errorf("after %v: %s", step.choice, got)
		}
	}
	in := payInput(r)
	in.Gateway = "fake"
	if _, err := b.service.Pay(t.Context(), viewer, in); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("a gateway that the theater did not choose: %v", err)
	}
	in.Gateway = ""
	result, err := b.service.Pay(t.Context(), viewer, in)
	is[booking.Paid](t, result, err)
	b.wantGateways(t, r, "second CAPTURED")
	if got := b.methods(t, viewer, r); got != "" {
		t.Errorf("a paid reservation can be paid by %s", got)
	}
	for name, wrong := range map[string]struct {
		viewer   auth.Viewer
		theater  uuid.UUID
		currency string
		gateways []string
		code     apperr.Code
	}{
		"staff":                       {b.staff(), b.TheaterID, "NZD", []string{"fake"}, apperr.Forbidden},
		"another_theater":             {manager, uuid.New(), "NZD", []string{"fake"}, apperr.Forbidden},
		"no_proof":                    {auth.Viewer{UserID: manager.UserID, Strong: true, Grants: manager.Grants}, b.TheaterID, "NZD", []string{"fake"}, apperr.StepUpRequired},
		"twice":                       {manager, b.TheaterID, "NZD", []string{"fake", "fake"}, apperr.BadUserInput},
		"unknown":                     {manager, b.TheaterID, "NZD", []string{"paypal"}, apperr.BadUserInput},
		"a_currency_it_does_not_take": {manager, b.TheaterID, "NZD", []string{"yen"}, apperr.BadUserInput},
		"no_currency":                 {manager, b.TheaterID, "nzd", []string{"fake"}, apperr.BadUserInput},
	} {
		if _, err := b.service.SetTheaterGateways(t.Context(), wrong.viewer, wrong.theater, wrong.currency, wrong.gateways); apperr.CodeOf(err) != wrong.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, err := b.service.TheaterGateways(t.Context(), manager, b.TheaterID)
	if err != nil || len(all) != 1 || all[0].Currency != "NZD" || !slices.Equal(all[0].Gateways, []string{"second"}) || all[0].UpdatedAt == nil {
		t.Errorf("chosen %+v, %v", all, err)
	}
	if n := fixture.Get[int](t, b.DB, `SELECT count(*) FROM audit_entries WHERE action = 'theater_gateways.set'`); n != 4 {
		t.Errorf("%d choices on record", n)
	}
}

// onlyIn is a gateway that takes one currency.
type onlyIn struct {
	*gatewaytest.Fake
	currency string
}

func (o onlyIn) Capabilities() payment.Capabilities {
	c := o.Fake.Capabilities()
	c.Currencies = []string{o.currency}
	return c
}

// TestService_Pay_currency: where no gateway takes the currency nothing is recorded, and what needs none goes on.
func TestService_Pay_currency(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fixture.Plan{Seats: 100})
	service := h.processOf(payment.NewGateways([]payment.Gateway{onlyIn{h.gateway, "JPY"}}))
	viewer := newViewer()
	paid, r := h.hold(t, viewer, h.fresh(1)...), h.hold(t, viewer, h.fresh(1)...)
	in := payInput(paid)
	result, err := h.booking.Pay(t.Context(), viewer, in)
	is[booking.Paid](t, result, err)
	if _, err := service.Pay(t.Context(), viewer, payInput(r)); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("answered %v", err)
	}
	if n := len(h.attempts(t, r)); n != 0 {
		t.Errorf("%d attempts", n)
	}
	result, err = service.Pay(t.Context(), viewer, in)
	is[booking.Paid](t, result, err)
	h.rests(t)
}
