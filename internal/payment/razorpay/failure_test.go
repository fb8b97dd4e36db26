package razorpay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"marquee/internal/payment"
	"marquee/internal/payment/razorpay"
)

// calls are all that a gateway is asked.
func calls(g payment.Gateway) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Authorize": func(ctx context.Context) error {
			_, err := g.Authorize(ctx, "key", payment.Request{Amount: inr(1230)})
			return err
		},
		"Capture": func(ctx context.Context) error { _, err := g.Capture(ctx, "key", inr(1230)); return err },
		"Void":    func(ctx context.Context) error { _, err := g.Void(ctx, "key"); return err },
		"Refund":  func(ctx context.Context) error { _, err := g.Refund(ctx, "key", "key/refund", inr(1230)); return err },
		"Lookup":  func(ctx context.Context) error { _, err := g.Lookup(ctx, "key"); return err },
	}
}

// Whatever is no answer of the API leaves the outcome unknown, and tells nobody a secret.
func TestGateway_what_is_no_answer_is_unknown(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = fmt.Fprint(w, `{"items":[]}`)
	}))
	t.Cleanup(trap.Close)
	for name, answer := range map[string]http.HandlerFunc{
		"a page":             func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>404 no such order</html>") },
		"a page of an error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
		"not found":          func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"too many requests":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"nobody's key":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"another JSON":       func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"items":"none"}`) },
		"three megabytes": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"items":[],"x":"`+strings.Repeat("x", 3<<20)+`"}`)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, trap.URL, http.StatusTemporaryRedirect)
		},
		"a broken line":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"an order of one word": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"items":["order"]}`) },
		"a payment unheard of": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, paidAs("teleported")) },
		"an error of one word": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprint(w, `{"error":"no"}`)
		},
		"an error of many words": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"error":{"code":"BAD_REQUEST_ERROR","description":"%s"}}`, strings.Repeat("no", 1<<10))
		},
		"a wrong amount, it says": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprint(w, `{"error":{"code":"SERVER_ERROR","field":"amount"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answer)
			t.Cleanup(server.Close)
			g := razorpay.New(razorpay.Config{KeyID: keyID, KeySecret: keySecret, WebhookSecrets: []string{webhookSecret}, URL: server.URL})
			for call, do := range calls(g) {
				err := do(t.Context())
				if err == nil || errors.Is(err, payment.ErrNoSuchCharge) || errors.Is(err, payment.ErrRefused) {
					t.Errorf("%s gives %v", call, err)
				}
				if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, keySecret) || len(text) > 1<<10 {
					t.Errorf("%s tells %.2000s", call, text)
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("%d requests followed a redirect", n)
		}
	})
}

// paidAs is an order with a payment of a status.
func paidAs(status string) string {
	return `{"items":[{"id":"order_1","amount":1230,"currency":"INR","receipt":"key","notes":[],"payments":{"items":[
		{"id":"pay_1","amount":1230,"currency":"INR","status":"failed"},{"id":"pay_2","amount":1230,"currency":"INR","status":"` + status + `"}]}}]}`
}

func TestGateway_a_wrong_request_is_typed(t *testing.T) {
	t.Parallel()
	d, _ := open(t)
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	g := razorpay.New(razorpay.Config{KeyID: keyID, KeySecret: "a secret of before", URL: server.URL})
	for call, do := range calls(g) {
		err := do(t.Context())
		if wrong, ok := errors.AsType[*razorpay.Error](err); !ok || wrong.Status != http.StatusUnauthorized || wrong.Description != "Authentication failed" {
			t.Errorf("%s gives %#v", call, err)
		}
	}
}

// A failure of Razorpay's own that names the amount is no refusal: the order may have been opened.
func TestGateway_a_failure_over_an_order_is_unknown(t *testing.T) {
	t.Parallel()
	d, g := open(t)
	d.set(func() {
		d.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			refuse(w, http.StatusInternalServerError, wrong{"amount", "We are facing some trouble."})
			return true
		}
	})
	if charge, err := g.Authorize(t.Context(), "key", payment.Request{Amount: inr(1230)}); err == nil || errors.Is(err, payment.ErrRefused) {
		t.Errorf("the charge is %+v, %v; want an error that is no ErrRefused", charge, err)
	}
}

// breaks lets the effect of the first request whose method and path begin so happen, and loses its answer.
func breaks(d *double, prefix string) {
	broken := false
	d.set(func() {
		d.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if broken || !strings.HasPrefix(r.Method+" "+r.URL.Path, prefix) {
				return false
			}
			broken = true
			_, _ = d.answer(r)
			panic(http.ErrAbortHandler)
		}
	})
}

func TestGateway_a_lost_answer_is_asked_for_again(t *testing.T) {
	t.Parallel()
	t.Run("of_a_capture", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		breaks(d, "POST /payments/")
		if charge, err := g.Capture(t.Context(), "key", inr(1230)); err != nil || charge.Captured != inr(1230) {
			t.Errorf("the capture gives %+v, %v", charge, err)
		}
	})
	t.Run("of_a_refund", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		captured(t, g, "key")
		breaks(d, "POST /payments/")
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(410)); err == nil || errors.Is(err, payment.ErrRefused) {
			t.Fatalf("the answer was to be lost, but is %+v, %v", refund, err)
		}
		refund, err := g.Refund(t.Context(), "key", "key/refund", inr(410))
		if err != nil || refund.Status != payment.RefundDone || refund.Amount != inr(410) || len(d.refunds) != 1 {
			t.Errorf("the refund is %+v, %v, one of %d", refund, err, len(d.refunds))
		}
	})
	t.Run("of_a_void", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		breaks(d, "PATCH /orders/")
		if charge, err := g.Void(t.Context(), "key"); err == nil {
			t.Fatalf("the answer was to be lost, but is %+v", charge)
		}
		if charge, err := g.Capture(t.Context(), "key", inr(1230)); err != nil || charge.Status != payment.ChargeVoided {
			t.Errorf("the capture gives %+v, %v", charge, err)
		}
	})
}

// A capture that Razorpay turns down says how the payment stands, or that nobody knows.
func TestGateway_a_capture_turned_down(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meanwhile func(p *doublePayment)
		want      payment.ChargeStatus
	}{
		"it lapsed":             {func(p *doublePayment) { p.Status = "refunded" }, payment.ChargeVoided},
		"somebody captured it":  {func(p *doublePayment) { p.Status, p.Captured = "captured", true }, payment.ChargeCaptured},
		"the bank took it back": {func(p *doublePayment) { p.Status, p.Reason = "failed", "payment_declined" }, payment.ChargeDeclined},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := open(t)
			authorized(t, g, "key")
			d.set(func() {
				d.before = func(_ http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/capture") {
						test.meanwhile(d.orders[0].Payments[0])
					}
					return false
				}
			})
			if charge, err := g.Capture(t.Context(), "key", inr(1230)); err != nil || charge.Status != test.want {
				t.Errorf("the capture gives %+v, %v; want %s", charge, err, test.want)
			}
		})
	}
	t.Run("for_no_reason", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		authorized(t, g, "key")
		d.set(func() {
			d.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/capture") {
					return false
				}
				refuse(w, http.StatusBadRequest, wrong{description: "The server encountered an error."})
				return true
			}
		})
		_, err := g.Capture(t.Context(), "key", inr(1230))
		if _, typed := errors.AsType[*razorpay.Error](err); !typed || errors.Is(err, payment.ErrRefused) {
			t.Errorf("the capture gives %v; want an Error that is no ErrRefused", err)
		}
	})
}

func TestGateway_Refund(t *testing.T) {
	t.Parallel()
	t.Run("beside_one_by_hand_is_refused", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		captured(t, g, "key")
		d.set(func() {
			d.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/refund") {
					d.refunds = append(d.refunds, &doubleRefund{ID: d.id("rfnd"), Payment: d.orders[0].Payments[0].ID, Status: "processed", Amount: 100})
				}
				return false
			}
		})
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(1230)); !errors.Is(err, payment.ErrRefused) {
			t.Errorf("the refund gives %+v, %v", refund, err)
		}
	})
	t.Run("that_the_account_cannot_pay_may_be_asked_for_again", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		captured(t, g, "key")
		d.set(func() {
			d.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/refund") {
					return false
				}
				d.before = nil
				refuse(w, http.StatusBadRequest, wrong{description: "Your account does not have enough balance to carry out the refund operation."})
				return true
			}
		})
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(1230)); err == nil || errors.Is(err, payment.ErrRefused) {
			t.Errorf("the refund gives %+v, %v; want an Error that is no ErrRefused", refund, err)
		}
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(1230)); err != nil || refund.Status != payment.RefundDone {
			t.Errorf("then it gives %+v, %v", refund, err)
		}
	})
	t.Run("that_failed_is_not_added_up", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		captured(t, g, "key")
		for i, minor := range []int64{109, 410} {
			if _, err := g.Refund(t.Context(), "key", fmt.Sprintf("key/refund/%d", i), inr(minor)); err != nil {
				t.Fatal(err)
			}
		}
		for _, well := range []bool{false, true} {
			if err := d.resolve("key", well); err != nil {
				t.Fatal(err)
			}
			if charge, err := g.Lookup(t.Context(), "key"); err != nil || charge.Refunded != inr(410) {
				t.Errorf("the charge is %+v, %v", charge, err)
			}
		}
	})
	t.Run("counts_those_of_every_page", func(t *testing.T) {
		t.Parallel()
		d, g := open(t)
		captured(t, g, "key")
		d.set(func() {
			for range 230 {
				d.refunds = append(d.refunds, &doubleRefund{ID: d.id("rfnd"), Payment: d.orders[0].Payments[0].ID, Status: "processed", Amount: 1})
			}
		})
		if charge, err := g.Lookup(t.Context(), "key"); err != nil || charge.Refunded != inr(230) {
			t.Errorf("the charge is %+v, %v", charge, err)
		}
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(1001)); !errors.Is(err, payment.ErrRefused) {
			t.Errorf("a refund of more than is left gives %+v, %v", refund, err)
		}
		if refund, err := g.Refund(t.Context(), "key", "key/refund", inr(1000)); err != nil || refund.Amount != inr(1000) {
			t.Errorf("a refund of all that is left gives %+v, %v", refund, err)
		}
	})
}
