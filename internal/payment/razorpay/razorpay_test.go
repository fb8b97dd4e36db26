package razorpay_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
)

func inr(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "INR"} }

func TestGateway_conforms(t *testing.T) {
	t.Parallel()
	d, g := open(t)
	gatewaytest.Run(t, func(*testing.T) gatewaytest.Subject {
		return gatewaytest.Subject{
			Gateway:    g,
			Good:       payment.Request{Amount: inr(1230)},
			Declined:   map[string]payment.Request{"insufficient_funds": {Amount: inr(1251)}},
			LostAnswer: payment.Request{Amount: inr(1291)},
			Foreign:    money.Money{AmountMinor: 1230, Currency: "ISK"},
			Action:     payment.Request{Amount: inr(1265)},
			Processing: payment.Request{Amount: inr(1209)},
			SlowRefund: inr(109),
			Resolve:    func(_ context.Context, key string, well bool) error { return d.resolve(key, well) },
			RefundByHand: func(_ context.Context, key string, amount money.Money) error {
				d.set(func() {
					d.refunds = append(d.refunds, &doubleRefund{
						ID: d.id("rfnd"), Payment: d.of(key)[0].Payments[0].ID, Status: "processed", Amount: amount.AmountMinor,
					})
				})
				return nil
			},
			Webhook: paidWebhook(d),
		}
	})
}

// authorized opens an order that the customer has paid.
func authorized(t *testing.T, g payment.Gateway, key string) payment.Charge {
	t.Helper()
	charge, err := g.Authorize(t.Context(), key, payment.Request{Amount: inr(1230)})
	if err != nil || charge.Status != payment.ChargeAuthorized {
		t.Fatalf("the charge is %+v, %v", charge, err)
	}
	return charge
}

func captured(t *testing.T, g payment.Gateway, key string) payment.Charge {
	t.Helper()
	authorized(t, g, key)
	charge, err := g.Capture(t.Context(), key, inr(1230))
	if err != nil || charge.Status != payment.ChargeCaptured {
		t.Fatalf("the charge is %+v, %v", charge, err)
	}
	return charge
}

func TestGateway_Authorize(t *testing.T) {
	t.Parallel()
	t.Run("tells_the_client_the_public_key_and_the_order", func(t *testing.T) {
		t.Parallel()
		_, g := open(t)
		charge, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1265)})
		want := payment.ConfirmOnClient{PublicKey: keyID, ClientSecret: charge.Reference}
		if err != nil || charge.Reference == "" || charge.Next != want {
			t.Errorf("the charge is %+v, %v; want %+v", charge, err, want)
		}
	})
	t.Run("asks_for_its_orders_first", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		for range 3 {
			authorized(t, g, "key")
		}
		if n := d.count("POST /orders"); n != 1 {
			t.Errorf("%d orders were opened", n)
		}
	})
	t.Run("opens_one_order_for_a_crowd", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1265)}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := d.count("POST /orders"); n != 1 {
			t.Errorf("%d orders were opened", n)
		}
	})
	t.Run("waits_for_its_turn_no_longer_than_its_context", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		arrived, release := make(chan struct{}), make(chan struct{})
		d.set(func() {
			d.before = func(http.ResponseWriter, *http.Request) bool {
				d.before = nil
				close(arrived)
				<-release
				return false
			}
		})
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1230)}); err != nil {
				t.Error(err)
			}
		})
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if charge, err := g.Capture(ctx, "key", inr(1230)); !errors.Is(err, context.Canceled) {
			t.Errorf("the capture gives %+v, %v", charge, err)
		}
		close(release)
		first.Wait()
		if charge, err := g.Capture(t.Context(), "key", inr(1230)); err != nil || charge.Status != payment.ChargeCaptured {
			t.Errorf("then it gives %+v, %v", charge, err)
		}
	})
	t.Run("does_not_take_a_longer_receipt_for_its_own", func(t *testing.T) {
		t.Parallel()
		_, g := open(t)
		other := authorized(t, g, "key-of-another")
		if charge, err := g.Lookup(t.Context(), "key"); !errors.Is(err, payment.ErrNoSuchCharge) {
			t.Errorf("the look-up gives %+v, %v", charge, err)
		}
		if mine := authorized(t, g, "key"); mine.Reference == other.Reference {
			t.Error("two keys share an order")
		}
	})
	t.Run("refuses_what_is_never_charged", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		for name, amount := range map[string]money.Money{
			"nothing": inr(0), "less": inr(-100), "a currency it does not list": {AmountMinor: 1230, Currency: "XXX"},
			"a third decimal": {AmountMinor: 99991, Currency: "KWD"}, "less than a rupee": inr(99),
		} {
			if charge, err := g.Authorize(t.Context(), "key", payment.Request{Amount: amount}); !errors.Is(err, payment.ErrRefused) {
				t.Errorf("%s gives %+v, %v", name, charge, err)
			}
		}
		for _, key := range []string{"", "a-key-of-41-characters-is-one-more-than-40"} {
			if charge, err := g.Authorize(t.Context(), key, payment.Request{Amount: inr(1230)}); !errors.Is(err, payment.ErrRefused) {
				t.Errorf("key %q gives %+v, %v", key, charge, err)
			}
			if charge, err := g.Void(t.Context(), key); !errors.Is(err, payment.ErrRefused) {
				t.Errorf("the void of key %q gives %+v, %v", key, charge, err)
			}
		}
		if len(d.orders) != 0 {
			t.Errorf("%d orders were opened", len(d.orders))
		}
	})
	t.Run("writes_minor_units_as_they_are", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		for _, amount := range []money.Money{{AmountMinor: 295, Currency: "JPY"}, {AmountMinor: 295990, Currency: "KWD"}, {AmountMinor: 29599, Currency: "EUR"}} {
			if _, err := g.Authorize(t.Context(), amount.Currency, payment.Request{Amount: amount}); err != nil {
				t.Fatal(err)
			}
			if o := d.of(amount.Currency)[0]; o.Amount != amount.AmountMinor || o.Currency != amount.Currency {
				t.Errorf("the order is of %d %s, want %v", o.Amount, o.Currency, amount)
			}
		}
	})
}

// Every currency has the decimals that Razorpay writes it with.
func TestGateway_Capabilities(t *testing.T) {
	t.Parallel()
	_, g := open(t)
	others := map[string]int{"JPY": 0, "KWD": 3, "BHD": 3, "OMR": 3}
	for _, currency := range g.Capabilities().Currencies {
		want, other := others[currency]
		if !other {
			want = 2
		}
		if got := money.Digits(currency); got != want {
			t.Errorf("%s has %d decimals, and %d at Razorpay", currency, got, want)
		}
	}
}

func TestGateway_Void(t *testing.T) {
	t.Parallel()
	t.Run("keeps_the_notes_of_others", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		d.set(func() { d.orders[0].Notes = map[string]any{"by hand": "ask Asha", "tries": 3.0} })
		if charge, err := g.Void(t.Context(), "key"); err != nil || charge.Status != payment.ChargeVoided {
			t.Fatalf("the void gives %+v, %v", charge, err)
		}
		if n := d.orders[0].Notes; n["by hand"] != "ask Asha" || n["tries"] != 3.0 || len(n) != 3 {
			t.Errorf("the notes are %v", n)
		}
	})
	t.Run("holds_for_another_process", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1265)}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Void(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		other := beside(t, d)
		charge, err := other.Authorize(t.Context(), "key", payment.Request{Amount: inr(1265)})
		if err != nil || charge.Status != payment.ChargeVoided {
			t.Errorf("another process is told %+v, %v", charge, err)
		}
	})
	t.Run("ends_what_was_declined", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		if charge, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1251)}); err != nil || charge.Status != payment.ChargeDeclined {
			t.Fatalf("the charge is %+v, %v", charge, err)
		}
		if _, err := g.Void(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		d.set(func() { d.orders[0].Payments[0].Status = "authorized" })
		if charge, err := g.Capture(t.Context(), "key", inr(1251)); err != nil || charge.Status != payment.ChargeVoided {
			t.Errorf("the capture gives %+v, %v", charge, err)
		}
	})
}

// A bank that says yes when we have given up: what it authorized is never captured and goes back by itself.
func TestGateway_late_authorization(t *testing.T) {
	t.Parallel()
	t.Run("is_left_to_lapse_after_a_void", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1265)}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Void(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		if err := d.resolve("key", true); err != nil {
			t.Fatal(err)
		}
		if charge, err := g.Capture(t.Context(), "key", inr(1265)); err != nil || charge.Status != payment.ChargeVoided {
			t.Errorf("the capture gives %+v, %v", charge, err)
		}
		if n := d.count("POST /payments/"); n != 0 {
			t.Errorf("%d calls moved the late payment", n)
		}
		if expiry := time.Duration(d.orders[0].Expiry) * time.Minute; expiry != time.Hour {
			t.Errorf("it lapses after %s", expiry)
		}
		d.set(func() { d.orders[0].Payments[0].Status = "refunded" })
		if charge, err := g.Lookup(t.Context(), "key"); err != nil || charge.Status != payment.ChargeVoided || charge.Captured.AmountMinor != 0 {
			t.Errorf("when it has lapsed the charge is %+v, %v", charge, err)
		}
	})
	t.Run("that_lapses_uncaptured_is_voided", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		d.set(func() {
			p := d.orders[0].Payments[0]
			p.Status = "refunded"
			d.refunds = append(d.refunds, &doubleRefund{ID: d.id("rfnd"), Payment: p.ID, Status: "processed", Amount: p.Amount})
		})
		charge, err := g.Capture(t.Context(), "key", inr(1230))
		if err != nil || charge.Status != payment.ChargeVoided || charge.Captured != inr(0) || charge.Refunded != inr(0) {
			t.Errorf("the capture gives %+v, %v", charge, err)
		}
	})
	t.Run("counts_while_nobody_has_given_up", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		if _, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1251)}); err != nil {
			t.Fatal(err)
		}
		d.set(func() { d.orders[0].Payments[0].Status = "authorized" })
		if charge, err := g.Lookup(t.Context(), "key"); err != nil || charge.Status != payment.ChargeAuthorized || charge.DeclineCode != "" {
			t.Errorf("the charge is %+v, %v", charge, err)
		}
	})
	t.Run("that_the_account_captured_by_itself_is_told", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		if _, err := g.Void(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		d.set(func() { p := d.orders[0].Payments[0]; p.Status, p.Captured = "captured", true })
		for range 2 {
			if charge, err := g.Void(t.Context(), "key"); err != nil || charge.Status != payment.ChargeCaptured || charge.Captured != inr(1230) {
				t.Errorf("the charge is %+v, %v", charge, err)
			}
		}
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(1230)); err != nil || refund.Status != payment.RefundDone {
			t.Errorf("the refund gives %+v, %v", refund, err)
		}
	})
}

func TestGateway_Capture(t *testing.T) {
	t.Parallel()
	t.Run("refuses_a_payment_of_another_amount", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(p *doublePayment){
			"one more": func(p *doublePayment) { p.Amount++ }, "one less": func(p *doublePayment) { p.Amount-- },
		} {
			d, g := open(t)
			authorized(t, g, "key")
			d.set(func() { change(d.orders[0].Payments[0]) })
			for _, minor := range []int64{1230, d.orders[0].Payments[0].Amount} {
				if charge, err := g.Capture(t.Context(), "key", inr(minor)); !errors.Is(err, payment.ErrRefused) {
					t.Errorf("%s: the capture of %d gives %+v, %v", name, minor, charge, err)
				}
			}
			if n := d.count("POST /payments/"); n != 0 {
				t.Errorf("%s: %d calls moved the payment", name, n)
			}
		}
	})
	t.Run("takes_one_of_two_payments", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		// Another process has opened an order for the same key, and the customer has paid that as well.
		d.set(func() {
			twin := &doubleOrder{ID: d.id("order"), Receipt: "key", Currency: "INR", Amount: 1230, CreatedAt: time.Now().Unix()}
			d.orders = append(d.orders, twin)
			d.pay(twin, "authorized")
		})
		for range 2 {
			charge, err := g.Capture(t.Context(), "key", inr(1230))
			if err != nil || charge.Captured != inr(1230) || charge.Reference != d.orders[0].ID {
				t.Errorf("the capture gives %+v, %v", charge, err)
			}
		}
		if n := d.count("POST /payments/"); n != 1 {
			t.Errorf("%d captures", n)
		}
	})
}
