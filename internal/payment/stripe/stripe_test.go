package stripe_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/internal/clock"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/payment/stripe"
	"marquee/internal/typeid"
)

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "NZD"} }

func pays(token string) payment.Request { return payment.Request{Amount: nzd(1200), Token: token} }

var good = pays("pm_card_visa")

// subject is what the suite needs of a gateway, with a request that requires an action.
func subject(d *double, gateway *stripe.Gateway, action payment.Request) gatewaytest.Subject {
	return gatewaytest.Subject{
		Gateway: gateway, Good: good, LostAnswer: pays("pm_lost"), Foreign: money.Money{AmountMinor: 1200, Currency: "IRR"},
		Declined: map[string]payment.Request{
			"insufficient_funds": pays("pm_declined_insufficient_funds"), "do_not_honor": pays("pm_declined_do_not_honor"),
			"generic_decline": pays("pm_declined_stolen_card"),
		},
		Action: action, Processing: pays("pm_processing"), SlowRefund: nzd(slow),
		Resolve: func(_ context.Context, key string, well bool) error { return d.resolve(key, well) },
		RefundByHand: func(_ context.Context, key string, amount money.Money) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.refunds = append(d.refunds, &refund{
				ID: d.name("re"), Object: "refund", Amount: amount.AmountMinor, Currency: "nzd", PaymentIntent: d.of(key).ID, Status: "succeeded",
			})
			return nil
		},
		Webhook: func(_ context.Context, key string, at time.Time) (http.Header, []byte, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			body := frozen(map[string]any{
				"id": "evt_" + key, "object": "event", "type": "payment_intent.succeeded", "created": at.Unix(), "data": map[string]any{"object": d.of(key)},
			})
			return sign(webhookSecret, body, at), body, nil
		},
	}
}

func TestGateway_conforms(t *testing.T) {
	t.Parallel()
	for name, action := range map[string]payment.Request{
		"with_a_redirect":                  {Amount: nzd(1200), Token: "pm_3ds", ReturnURL: "https://tickets.example/back"},
		"with_a_step_in_the_client":        pays("pm_3ds"),
		"with_the_choice_of_an_instrument": pays(""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, gateway := open(t, clock.System{})
			gatewaytest.Run(t, func(*testing.T) gatewaytest.Subject { return subject(d, gateway, action) })
		})
	}
}

// What was done once is found a day later, when Stripe has forgotten its idempotency keys, and is done no second time.
func TestGateway_after_a_day(t *testing.T) {
	t.Parallel()
	now := clock.NewFake(time.Now())
	d, gateway := open(t, now)
	captured, late, slowly := typeid.New().String(), typeid.New().String(), typeid.New().String()
	voided, untouched := typeid.New().String(), typeid.New().String()
	for _, key := range []string{captured, slowly} {
		must(t)(gateway.Authorize(t.Context(), key, good))
		must(t)(gateway.Capture(t.Context(), key, nzd(1100)))
	}
	first, err := gateway.Refund(t.Context(), slowly, slowly+"/refund", nzd(slow))
	if err != nil {
		t.Fatal(err)
	}
	must(t)(gateway.Void(t.Context(), voided))
	must(t)(gateway.Authorize(t.Context(), late, good))
	d.forget()
	now.Advance(25 * time.Hour)

	must(t)(gateway.Capture(t.Context(), late, nzd(1100)))
	for key, want := range map[string]payment.ChargeStatus{late: payment.ChargeCaptured, captured: payment.ChargeCaptured, slowly: payment.ChargeCaptured, voided: payment.ChargeVoided} {
		for name, call := range map[string]func() (payment.Charge, error){
			"Lookup":    func() (payment.Charge, error) { return gateway.Lookup(t.Context(), key) },
			"Authorize": func() (payment.Charge, error) { return gateway.Authorize(t.Context(), key, good) },
			"Capture":   func() (payment.Charge, error) { return gateway.Capture(t.Context(), key, nzd(1100)) },
			"Void":      func() (payment.Charge, error) { return gateway.Void(t.Context(), key) },
		} {
			if charge, err := call(); err != nil || charge.Status != want {
				t.Errorf("%s a day later gives %+v, %v; want %s", name, charge, err, want)
			}
		}
	}
	if err := d.resolve(slowly, true); err != nil {
		t.Fatal(err)
	}
	first.Status = payment.RefundDone
	if again, err := gateway.Refund(t.Context(), slowly, slowly+"/refund", nzd(slow)); err != nil || again != first {
		t.Errorf("the refund a day later is %+v, %v; want %+v", again, err, first)
	}
	if _, err := gateway.Lookup(t.Context(), untouched); !errors.Is(err, payment.ErrNoSuchCharge) {
		t.Errorf("an old key gives %v, want ErrNoSuchCharge", err)
	}
	if _, err := gateway.Authorize(t.Context(), untouched, good); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("authorizing an old key gives %v, want ErrRefused", err)
	}
	if charge := must(t)(gateway.Void(t.Context(), untouched)); charge.Status != payment.ChargeVoided {
		t.Errorf("the void of an old key is %+v", charge)
	}
	for _, key := range []string{captured, late, slowly, voided, untouched} {
		d.of(key) // tells of twins
	}
	if n := len(d.refunds); n != 1 {
		t.Errorf("there are %d refunds, want 1", n)
	}
}

// A key without a time could be of any age: it is treated as old.
func TestGateway_key_without_time_is_never_authorized(t *testing.T) {
	t.Parallel()
	d, gateway := open(t, clock.System{})
	for _, key := range []string{"an order", "ffffffff-ffff-4fff-bfff-ffffffffffff"} {
		if _, err := gateway.Authorize(t.Context(), key, good); !errors.Is(err, payment.ErrRefused) || len(d.intents) > 0 {
			t.Errorf("%s: error %v with %d intents, want ErrRefused and none", key, err, len(d.intents))
		}
	}
}

// What was refused for the state of an intent is no answer for ever: Stripe was not asked, and keeps nothing.
func TestGateway_refused_key_may_be_used_again(t *testing.T) {
	t.Parallel()
	d, gateway := open(t, clock.System{})
	key := typeid.New().String()
	must(t)(gateway.Authorize(t.Context(), key, good))
	for _, wrong := range []money.Money{nzd(1201), {AmountMinor: 1200, Currency: "AUD"}} {
		if _, err := gateway.Capture(t.Context(), key, wrong); !errors.Is(err, payment.ErrRefused) {
			t.Errorf("capturing %v gives %v, want ErrRefused", wrong, err)
		}
	}
	if charge := must(t)(gateway.Capture(t.Context(), key, nzd(1200))); charge.Captured != nzd(1200) {
		t.Errorf("the charge is %+v", charge)
	}
	if _, err := gateway.Refund(t.Context(), key, key+"/slow", nzd(slow)); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Refund(t.Context(), key, key+"/all", nzd(1200)); !errors.Is(err, payment.ErrRefused) {
		t.Errorf("giving back more than is left gives %v, want ErrRefused", err)
	}
	if err := d.resolve(key, false); err != nil {
		t.Fatal(err)
	}
	if refund, err := gateway.Refund(t.Context(), key, key+"/all", nzd(1200)); err != nil || refund.Status != payment.RefundDone {
		t.Errorf("the refund is %+v, %v", refund, err)
	}
}

// Beside each other, two prices for one key are one: the first.
func TestGateway_Authorize_price_of_a_key_is_the_first(t *testing.T) {
	t.Parallel()
	d, gateway := open(t, clock.System{})
	key := typeid.New().String()
	// The first caller has priced the intent and not yet confirmed it.
	if _, err := gateway.Authorize(t.Context(), key, pays("pm_unknown")); !errors.Is(err, payment.ErrRefused) {
		t.Fatalf("an unknown token gives %v, want ErrRefused", err)
	}
	dearer := good
	dearer.Amount = nzd(9900)
	if _, err := gateway.Authorize(t.Context(), key, dearer); !errors.Is(err, payment.ErrRefused) || d.of(key).Amount != 1200 {
		t.Errorf("the second price gives %v and the amount %d, want ErrRefused and 1200", err, d.of(key).Amount)
	}
	if charge := must(t)(gateway.Authorize(t.Context(), key, good)); charge.Status != payment.ChargeAuthorized {
		t.Errorf("the first price is %+v", charge)
	}
}

// A customer whose card was declined in Stripe's form cannot try another there: we might have let the seats go.
func TestGateway_Lookup_closes_what_was_declined(t *testing.T) {
	t.Parallel()
	d, gateway := open(t, clock.System{})
	key := typeid.New().String()
	must(t)(gateway.Authorize(t.Context(), key, pays("")))
	if err := d.resolve(key, false); err != nil {
		t.Fatal(err)
	}
	if charge := must(t)(gateway.Lookup(t.Context(), key)); charge.Status != payment.ChargeDeclined || charge.DeclineCode != "authentication_failed" {
		t.Errorf("the charge is %+v", charge)
	}
	if err := d.resolve(key, true); err == nil {
		t.Error("the customer could go on")
	}
}

func TestGateway_waits_for_its_twin(t *testing.T) {
	t.Parallel()
	d, gateway := open(t, clock.System{})
	d.busy = 3
	if charge := must(t)(gateway.Authorize(t.Context(), typeid.New().String(), good)); charge.Status != payment.ChargeAuthorized {
		t.Errorf("the charge is %+v", charge)
	}
	d.busy = 1_000_000
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := gateway.Authorize(ctx, typeid.New().String(), good); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
}

// Funds that Stripe let go of with a capture of a part are no refund, although it may list them as one.
func TestGateway_released_funds_are_no_refund(t *testing.T) {
	t.Parallel()
	d, gateway := open(t, clock.System{})
	key, reason := typeid.New().String(), "partial_capture"
	must(t)(gateway.Authorize(t.Context(), key, good))
	must(t)(gateway.Capture(t.Context(), key, nzd(400)))
	d.refunds = append(d.refunds, &refund{ID: "re_rest", Object: "refund", Amount: 800, Currency: "nzd", PaymentIntent: d.of(key).ID, Status: "succeeded", Reason: &reason})
	if charge := must(t)(gateway.Lookup(t.Context(), key)); charge.Captured != nzd(400) || charge.Refunded != nzd(0) {
		t.Errorf("the charge is %+v", charge)
	}
	if _, err := gateway.Refund(t.Context(), key, key+"/refund", nzd(400)); err != nil {
		t.Error(err)
	}
}

// Whatever is no answer of Stripe's leaves open what has happened, and tells no secret.
func TestGateway_answers_that_are_none(t *testing.T) {
	t.Parallel()
	const secret = "pi_1_secret_of_the_customer"
	for name, odd := range map[string]http.HandlerFunc{
		"a page":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>" + secret)) },
		"a broken page": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>"+secret, http.StatusBadGateway) },
		"a redirection": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"ten megabytes": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"id": "pi_1", "status": "requires_payment_method", "more": "` + strings.Repeat("x", 10<<20) + `"}`))
		},
		"a wrong secret": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusUnauthorized, map[string]any{"error": apiError{Type: "invalid_request_error"}})
		},
		"too many": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusTooManyRequests, map[string]any{"error": apiError{Type: "invalid_request_error", Code: "rate_limit"}})
		},
		"a defect": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusInternalServerError, map[string]any{"error": apiError{Type: "api_error", Intent: &intent{ClientSecret: secret}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, gateway := open(t, clock.System{})
			asked := 0
			d.odd = func(w http.ResponseWriter, r *http.Request) {
				asked++
				odd(w, r)
			}
			_, err := gateway.Authorize(t.Context(), typeid.New().String(), good)
			if err == nil || errors.Is(err, payment.ErrRefused) || errors.Is(err, payment.ErrNoSuchCharge) {
				t.Errorf("error %v, want one that leaves it open", err)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), secretKey) || len(err.Error()) > 500) {
				t.Errorf("the error says too much: %v", err)
			}
			if asked != 1 {
				t.Errorf("Stripe was asked %d times, want once", asked)
			}
		})
	}
}

func TestGateway_writes_amounts_as_Stripe_does(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount money.Money
		want   int64 // 0: refused
	}{
		{money.Money{AmountMinor: 1250, Currency: "EUR"}, 1250},
		{money.Money{AmountMinor: 1900, Currency: "JPY"}, 1900},
		{money.Money{AmountMinor: 3500, Currency: "KWD"}, 3500},
		{money.Money{AmountMinor: 3505, Currency: "KWD"}, 0},
		{money.Money{AmountMinor: 1900, Currency: "ISK"}, 190000},
		{money.Money{AmountMinor: 36000, Currency: "UGX"}, 3600000},
		{money.Money{AmountMinor: 0, Currency: "EUR"}, 0},
		{money.Money{AmountMinor: -100, Currency: "EUR"}, 0},
		{money.Money{AmountMinor: 1, Currency: "EUR"}, 0},          // less than Stripe charges
		{money.Money{AmountMinor: 1<<62 + 12, Currency: "ISK"}, 0}, // a hundredfold overflows to 1200
		{money.Money{AmountMinor: 1200, Currency: "XXX"}, 0},
	} {
		t.Run(c.amount.Formatted(), func(t *testing.T) {
			t.Parallel()
			d, gateway := open(t, clock.System{})
			key := typeid.New().String()
			_, err := gateway.Authorize(t.Context(), key, payment.Request{Amount: c.amount, Token: "pm_card_visa"})
			if c.want == 0 {
				if !errors.Is(err, payment.ErrRefused) {
					t.Fatalf("error %v, want ErrRefused", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := d.of(key); got.Amount != c.want || got.Currency != strings.ToLower(c.amount.Currency) {
				t.Errorf("Stripe was asked for %d %s, want %d", got.Amount, got.Currency, c.want)
			}
			if charge := must(t)(gateway.Capture(t.Context(), key, c.amount)); charge.Captured != c.amount {
				t.Errorf("captured %v, want %v", charge.Captured, c.amount)
			}
		})
	}
}

// must returns the charge of a call that may not fail.
func must(t *testing.T) func(payment.Charge, error) payment.Charge {
	t.Helper()
	return func(charge payment.Charge, err error) payment.Charge {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return charge
	}
}
